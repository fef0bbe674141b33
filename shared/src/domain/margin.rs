//! The gap between two landed prices: each in EUR first, then the difference and its percentage.
//!
//! This is a gross gap, not a profit: VAT, fees and freight come on top.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::money::{ExchangeRate, Money, MoneyError, divide_half_up};

/// A percentage in hundredths: 1459 is 14.59 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percentage(pub i64);

impl Percentage {
    /// `100 * part / whole`, half up (away from zero); `None` where the whole is zero or the result too large.
    #[must_use]
    pub fn of(part: i64, whole: i64) -> Option<Percentage> {
        if whole == 0 {
            return None;
        }
        let hundredths = divide_half_up(i128::from(part) * 10_000, whole.into());
        i64::try_from(hundredths).ok().map(Percentage)
    }

    /// As a decimal with two decimals.
    #[must_use]
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.0, 2)
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_decimal().fmt(formatter)
    }
}

/// A gap in euro cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Margin {
    /// Buy price in EUR, rounded half up to the cent.
    pub source_eur: Money,
    /// Sell price in EUR, rounded half up to the cent.
    pub target_eur: Money,
    /// `target - source` in EUR.
    pub margin: Money,
    /// `100 * margin / source`, two decimals, half up.
    pub percentage: Percentage,
}

/// The margin of buying at `source` and selling at `target`.
///
/// # Errors
/// A rate of another currency than its price, amounts beyond 64 bits, and a source price that rounds to zero euros
/// ([`MoneyError::Overflow`]: the percentage is unbounded).
pub fn margin(source: Money, source_rate: &ExchangeRate, target: Money, target_rate: &ExchangeRate) -> Result<Margin, MoneyError> {
    Margin::between(source_rate.to_eur(source)?, target_rate.to_eur(target)?)
}

impl Margin {
    /// The margin between two prices in EUR.
    ///
    /// # Errors
    /// As [`margin`].
    pub fn between(source_eur: Money, target_eur: Money) -> Result<Margin, MoneyError> {
        let margin = target_eur.minus(source_eur)?;
        let percentage = Percentage::of(margin.minor, source_eur.minor).ok_or(MoneyError::Overflow)?;
        Ok(Margin {
            source_eur,
            target_eur,
            margin,
            percentage,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Currency;

    fn euro_margin(source: i64, target: i64) -> (i64, String) {
        let eur = |minor| Money::new(minor, Currency::EUR);
        let margin = margin(eur(source), &ExchangeRate::EUR, eur(target), &ExchangeRate::EUR).expect("small amounts");
        (margin.margin.minor, margin.percentage.to_string())
    }

    #[test]
    fn the_reference_case_is_seven_euros_and_14_59_percent() {
        assert_eq!(euro_margin(4799, 5499), (700, "14.59".into()));
        assert_eq!(euro_margin(4999, 5499), (500, "10.00".into()));
        assert_eq!(euro_margin(4799, 4999), (200, "4.17".into()));
        assert_eq!(euro_margin(5499, 4799), (-700, "-12.73".into()));
    }

    #[test]
    fn each_price_is_rounded_in_euros_before_the_difference() {
        let rate = ExchangeRate::new(Currency::GBP, Decimal::new(86120, 5)).expect("a rate");
        let margin = margin(Money::new(4999, Currency::GBP), &rate, Money::new(6499, Currency::EUR), &ExchangeRate::EUR).expect("small amounts");
        assert_eq!((margin.source_eur.minor, margin.margin.minor, margin.percentage), (5805, 694, Percentage(1196)));
    }

    #[test]
    fn a_source_price_of_zero_has_no_percentage() {
        let eur = |minor| Money::new(minor, Currency::EUR);
        assert!(super::margin(eur(0), &ExchangeRate::EUR, eur(1), &ExchangeRate::EUR).is_err());
    }
}
