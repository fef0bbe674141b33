//! [`Net`]: what an opportunity is worth to the configured seller. It holds what the ledger is computed from, so that the
//! ledger of a stored opportunity comes out the same for ever, and the numbers that lists are filtered and sorted by.

use serde::{Deserialize, Deserializer};

use super::costs::{Costs, LedgerError, Route};
use super::ledger::{buffer, money, roi};
use crate::domain::margin::Percentage;
use crate::domain::money::{Currency, Money};

/// The profit of a route under costs that were resolved. `C` is [`Unread`] where nobody asks for a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Net<C = Costs> {
    /// What the ledger is computed from.
    pub costs: C,
    /// EUR.
    pub profit: Money,
    /// Of the capital tied up; none where there is none.
    pub roi: Option<Percentage>,
    /// How far the target price may fall; none where no price breaks even.
    pub buffer: Option<Percentage>,
}

/// Stands for [`Costs`] that were stored and not read: the most of a stored opportunity, of which lists show nothing. It
/// cannot be written, so what was listed is never stored again without its costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread;

impl<'de> Deserialize<'de> for Unread {
    /// Takes whatever stands there.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Unread)
    }
}

impl Net {
    /// The numbers of the ledger that are kept; its lines, and what else is told of it, are computed where it is shown.
    ///
    /// # Errors
    /// As [`super::ledger`].
    pub fn of(route: &Route, costs: Costs) -> Result<Net, LedgerError> {
        costs.check(route)?;
        let formula = costs.formula();
        let figures = formula.figures(route.source_price.minor, route.target_price.minor);
        let profit = money(figures.profit, Currency::EUR)?;
        let roi = roi(profit, money(figures.capital, Currency::EUR)?);
        let buffer = formula.break_even(route).and_then(|price| buffer(route, price));
        Ok(Net { costs, profit, roi, buffer })
    }
}
