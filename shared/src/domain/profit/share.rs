//! [`Share`]: a part of a whole, from 0 to 1: a tax or fee rate.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize};

use super::decimal;
use crate::domain::money::power_of_ten;

/// More decimals than any rate has; products with amounts stay exact.
const MOST_DECIMALS: u32 = 10;

/// A fraction from 0 to 1 with at most ten decimals: `0.15` is 15 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(into = "Decimal")]
pub struct Share(Decimal);

/// The number is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given} is no share: a fraction from 0 to 1 with at most {MOST_DECIMALS} decimals is expected (0.15 for 15 %)")]
pub struct NotAShare {
    /// What was given.
    pub given: Decimal,
}

impl Share {
    /// Nothing.
    pub const ZERO: Share = Share(Decimal::ZERO);
    /// All of it.
    pub const ONE: Share = Share(Decimal::ONE);

    /// Parts of a whole, for calculating with integers.
    pub(super) const PARTS: i128 = 10_i128.pow(MOST_DECIMALS);

    /// As so many of [`Share::PARTS`].
    pub(super) fn parts(self) -> i128 {
        self.0.mantissa() * power_of_ten(MOST_DECIMALS - self.0.scale())
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`NotAShare`] below 0, above 1 and with more than ten decimals.
    pub fn new(given: Decimal) -> Result<Share, NotAShare> {
        let share = given.normalize();
        let is_share = Decimal::ZERO <= share && share <= Decimal::ONE && share.scale() <= MOST_DECIMALS;
        if is_share { Ok(Share(share)) } else { Err(NotAShare { given }) }
    }

    /// From percent: 15.01 is 0.1501.
    ///
    /// # Errors
    /// As [`Share::new`].
    pub fn of_percent(percent: Decimal) -> Result<Share, NotAShare> {
        let share = percent.checked_div(Decimal::ONE_HUNDRED).ok_or(NotAShare { given: percent })?;
        Share::new(share)
    }

    /// The fraction.
    #[must_use]
    pub fn get(self) -> Decimal {
        self.0
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Share::new(decimal::read(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl From<Share> for Decimal {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
