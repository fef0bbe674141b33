//! [`Net`]: what an opportunity is worth to the configured seller. It holds what the ledger is computed from, so that the
//! ledger of a stored opportunity comes out the same for ever, and the numbers that lists are filtered and sorted by.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::costs::{Costs, LedgerError, Route};
use super::ledger::{Ledger, ledger};
use crate::domain::margin::Percentage;
use crate::domain::money::Money;

/// The profit of a route under costs that were resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Net {
    /// What the ledger is computed from.
    pub costs: Costs,
    /// EUR.
    pub profit: Money,
    /// Of the capital tied up; none where there is none.
    pub roi: Option<Percentage>,
    /// How far the target price may fall; none where no price breaks even.
    pub buffer: Option<Percentage>,
}

impl Net {
    /// Computes the ledger and keeps its numbers.
    ///
    /// # Errors
    /// As [`ledger`].
    pub fn of(route: &Route, costs: Costs) -> Result<Net, LedgerError> {
        let Ledger {
            profit,
            roi_percentage,
            buffer_percentage,
            ..
        } = ledger(route, &costs)?;
        Ok(Net {
            costs,
            profit,
            roi: roi_percentage.and_then(hundredths),
            buffer: buffer_percentage.and_then(hundredths),
        })
    }
}

/// A percentage of two decimals.
fn hundredths(percent: Decimal) -> Option<Percentage> {
    (percent * Decimal::ONE_HUNDRED).to_i64().map(Percentage)
}
