//! [`Money`]: amounts in a currency's minor unit; [`ExchangeRate`]: the only way between currencies.
//!
//! No binary floating point. Rounding is half up (away from zero), to the minor unit.

use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use super::margin::Percentage;

/// The currencies of the marketplaces Keepa follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Currency {
    EUR,
    GBP,
    USD,
    CAD,
    JPY,
    INR,
    MXN,
    BRL,
}

impl Currency {
    /// All of them.
    pub const ALL: [Currency; 8] = [
        Currency::EUR,
        Currency::GBP,
        Currency::USD,
        Currency::CAD,
        Currency::JPY,
        Currency::INR,
        Currency::MXN,
        Currency::BRL,
    ];

    /// How many decimals the minor unit has: 2, for JPY 0.
    #[must_use]
    pub fn minor_digits(self) -> u32 {
        match self {
            Currency::JPY => 0,
            _ => 2,
        }
    }

    /// The ISO 4217 code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Currency::EUR => "EUR",
            Currency::GBP => "GBP",
            Currency::USD => "USD",
            Currency::CAD => "CAD",
            Currency::JPY => "JPY",
            Currency::INR => "INR",
            Currency::MXN => "MXN",
            Currency::BRL => "BRL",
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.code())
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|currency| currency.code() == text)
            .ok_or_else(|| MoneyError::UnknownCurrency {
                text: text.chars().take(10).collect(),
            })
    }
}

/// What can go wrong with amounts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum MoneyError {
    #[error("{left} and {right} cannot be calculated together without an exchange rate")]
    CurrencyMismatch { left: Currency, right: Currency },
    #[error("the amount is beyond what 64 bits of minor units hold")]
    Overflow,
    #[error("an exchange rate must be greater than zero, not {rate}")]
    InvalidRate { rate: Decimal },
    #[error("{text:?} is not a currency")]
    UnknownCurrency { text: String },
}

/// An amount of money in a currency's minor unit (cents; JPY has none: yen). Its fields keep their order: catalogs hold costs by
/// position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units: 4999 is 49.99 EUR, or 4999 JPY.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// An amount from minor units.
    #[must_use]
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Money { minor, currency }
    }

    /// As a decimal with the currency's number of digits: `49.99`, and `49.90` for 4990 cents.
    #[must_use]
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.minor, self.currency.minor_digits())
    }

    /// The nearest amount of minor units, half up.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] beyond 64 bits.
    pub fn from_decimal(amount: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        let scale = Decimal::from(10_i64.pow(currency.minor_digits()));
        let minor = amount.checked_mul(scale).ok_or(MoneyError::Overflow)?;
        let minor = i64::try_from(round_half_up(minor, 0)).map_err(|_| MoneyError::Overflow)?;
        Ok(Money { minor, currency })
    }

    /// The sum.
    ///
    /// # Errors
    /// Unlike currencies and overflow.
    pub fn plus(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        Ok(Money::new(self.minor.checked_add(other.minor).ok_or(MoneyError::Overflow)?, self.currency))
    }

    /// The difference.
    ///
    /// # Errors
    /// Unlike currencies and overflow.
    pub fn minus(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        Ok(Money::new(self.minor.checked_sub(other.minor).ok_or(MoneyError::Overflow)?, self.currency))
    }

    fn same_currency(self, other: Money) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::CurrencyMismatch {
                left: self.currency,
                right: other.currency,
            })
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.to_decimal(), self.currency)
    }
}

/// Units of a currency per 1 EUR, as the European Central Bank publishes its reference rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedRate", into = "UncheckedRate")]
pub struct ExchangeRate {
    currency: Currency,
    units_per_eur: Decimal,
}

/// A rate as it is written. Its fields keep their order, too.
#[derive(Serialize, Deserialize)]
struct UncheckedRate {
    currency: Currency,
    units_per_eur: Decimal,
}

impl TryFrom<UncheckedRate> for ExchangeRate {
    type Error = MoneyError;

    fn try_from(rate: UncheckedRate) -> Result<Self, Self::Error> {
        ExchangeRate::new(rate.currency, rate.units_per_eur)
    }
}

impl From<ExchangeRate> for UncheckedRate {
    fn from(rate: ExchangeRate) -> Self {
        UncheckedRate {
            currency: rate.currency,
            units_per_eur: rate.units_per_eur,
        }
    }
}

impl ExchangeRate {
    /// A rate; EUR itself is always 1.
    ///
    /// # Errors
    /// [`MoneyError::InvalidRate`] unless the rate is greater than zero (and 1 for EUR).
    pub fn new(currency: Currency, units_per_eur: Decimal) -> Result<Self, MoneyError> {
        if units_per_eur <= Decimal::ZERO || (currency == Currency::EUR && units_per_eur != Decimal::ONE) {
            return Err(MoneyError::InvalidRate { rate: units_per_eur });
        }
        Ok(ExchangeRate { currency, units_per_eur })
    }

    /// The euro in euros.
    pub const EUR: ExchangeRate = ExchangeRate {
        currency: Currency::EUR,
        units_per_eur: Decimal::ONE,
    };

    /// The currency.
    #[must_use]
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// Units of the currency per 1 EUR.
    #[must_use]
    pub fn units_per_eur(&self) -> Decimal {
        self.units_per_eur
    }

    /// `EUR = amount / rate`, rounded half up to the cent.
    ///
    /// # Errors
    /// An amount in another currency, and overflow.
    pub fn to_eur(&self, amount: Money) -> Result<Money, MoneyError> {
        if amount.currency != self.currency {
            return Err(MoneyError::CurrencyMismatch {
                left: amount.currency,
                right: self.currency,
            });
        }
        if self.currency == Currency::EUR {
            return Ok(amount);
        }
        // minor / 10^digits / (mantissa / 10^scale) * 100, as one division.
        let rate = self.units_per_eur;
        let overflow = MoneyError::Overflow;
        let cents_per_unit = power_of_ten(Currency::EUR.minor_digits()).checked_mul(power_of_ten(rate.scale()));
        let part = cents_per_unit
            .and_then(|factor| i128::from(amount.minor).checked_mul(factor))
            .ok_or(overflow.clone())?;
        let whole = rate
            .mantissa()
            .checked_mul(power_of_ten(self.currency.minor_digits()))
            .ok_or(overflow.clone())?;
        let minor = i64::try_from(divide_half_up(part, whole)).map_err(|_| overflow)?;
        Ok(Money::new(minor, Currency::EUR))
    }

    /// `amount = EUR * rate`, rounded half up to the currency's minor unit.
    ///
    /// # Errors
    /// An amount that is not in EUR, and overflow.
    pub fn from_eur(&self, euros: Money) -> Result<Money, MoneyError> {
        if euros.currency != Currency::EUR {
            return Err(MoneyError::CurrencyMismatch {
                left: euros.currency,
                right: Currency::EUR,
            });
        }
        let amount = euros.to_decimal().checked_mul(self.units_per_eur).ok_or(MoneyError::Overflow)?;
        Money::from_decimal(amount, self.currency)
    }
}

/// Rounds half up, which for negative numbers is away from zero.
#[must_use]
pub fn round_half_up(value: Decimal, digits: u32) -> Decimal {
    value.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero)
}

/// As many as a decimal has digits behind the point.
const POWERS_OF_TEN: [i128; 29] = {
    let mut powers = [1; 29];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = 10 * powers[exponent - 1];
        exponent += 1;
    }
    powers
};

/// `10^exponent`, looked up.
///
/// # Panics
/// Above 28, the greatest scale of a decimal.
pub(crate) fn power_of_ten(exponent: u32) -> i128 {
    POWERS_OF_TEN[exponent as usize]
}

/// `numerator / denominator`, half up (away from zero).
///
/// # Panics
/// If the denominator is zero.
#[must_use]
pub fn divide_half_up(numerator: i128, denominator: i128) -> i128 {
    let (magnitude, divisor) = (numerator.unsigned_abs(), denominator.unsigned_abs());
    let raised = magnitude + divisor / 2;
    // Amounts of this world fit into 64 bits, which are divided in a fraction of the time.
    let quotient = match (u64::try_from(raised), u64::try_from(divisor)) {
        (Ok(raised), Ok(divisor)) => i128::from(raised / divisor),
        _ => i128::try_from(raised / divisor).unwrap_or(i128::MAX),
    };
    if (numerator < 0) == (denominator < 0) { quotient } else { -quotient }
}

/// `100 * part / whole` with two decimals, half up; `None` where the whole is zero or the result too large.
#[must_use]
pub fn percentage(part: i64, whole: i64) -> Option<Decimal> {
    Percentage::of(part, whole).map(Percentage::to_decimal)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a decimal in a test")
    }

    #[test]
    fn rounding_is_half_up_and_away_from_zero() {
        for (value, expected) in [
            ("13.485", "13.49"),
            ("13.4849", "13.48"),
            ("0.005", "0.01"),
            ("-0.005", "-0.01"),
            ("2.5", "2.5"),
            ("-13.485", "-13.49"),
        ] {
            assert_eq!(round_half_up(decimal(value), 2), decimal(expected), "{value}");
        }
    }

    #[test]
    fn the_yen_has_no_minor_unit() {
        assert_eq!(Money::new(4900, Currency::JPY).to_string(), "4900 JPY");
        assert_eq!(Money::new(4990, Currency::EUR).to_string(), "49.90 EUR");
        assert_eq!(Money::from_decimal(decimal("4900.5"), Currency::JPY), Ok(Money::new(4901, Currency::JPY)));
    }

    #[test]
    fn unlike_currencies_are_not_added() {
        let error = Money::new(1, Currency::EUR).plus(Money::new(1, Currency::GBP));
        assert_eq!(
            error,
            Err(MoneyError::CurrencyMismatch {
                left: Currency::EUR,
                right: Currency::GBP
            })
        );
    }

    #[test]
    fn pounds_become_euros_at_units_per_euro() {
        let rate = ExchangeRate::new(Currency::GBP, decimal("0.86120")).unwrap();
        assert_eq!(rate.to_eur(Money::new(4999, Currency::GBP)), Ok(Money::new(5805, Currency::EUR)));
        assert!(ExchangeRate::new(Currency::GBP, Decimal::ZERO).is_err());
        assert!(ExchangeRate::new(Currency::EUR, decimal("1.1")).is_err());
    }

    #[test]
    fn percentages_have_two_decimals_half_up() {
        for (part, whole, expected) in [(700, 4799, Some("14.59")), (500, 4999, Some("10.00")), (1, 0, None), (-1, 3, Some("-33.33"))] {
            assert_eq!(percentage(part, whole).map(|percent| percent.to_string()).as_deref(), expected);
        }
    }

    fn any_currency() -> impl Strategy<Value = Currency> {
        proptest::sample::select(Currency::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn money_round_trips_through_decimals(minor: i64, currency in any_currency()) {
            let money = Money::new(minor, currency);
            prop_assert_eq!(Money::from_decimal(money.to_decimal(), currency), Ok(money));
        }

        #[test]
        fn adding_and_subtracting_are_inverse(left in -1_000_000_000_i64..1_000_000_000, right in -1_000_000_000_i64..1_000_000_000, currency in any_currency()) {
            let (left, right) = (Money::new(left, currency), Money::new(right, currency));
            prop_assert_eq!(left.plus(right).unwrap().minus(right), Ok(left));
        }

        /// Amounts up to ten billion at rates of at most ten decimals: decimals lose no digit of those that count.
        #[test]
        fn one_division_of_integers_converts_as_decimals_do(minor in 0_i64..1_000_000_000_000, rate in 1_i64..1_000_000_000_000, scale in 0_u32..=10, currency in any_currency()) {
            let units = Decimal::new(rate, scale);
            if let Ok(rate) = ExchangeRate::new(currency, units) {
                let amount = Money::new(minor, currency);
                let plain = amount.to_decimal().checked_div(units).ok_or(MoneyError::Overflow);
                let plain = plain.and_then(|euros| Money::from_decimal(euros, Currency::EUR));
                prop_assert_eq!(rate.to_eur(amount), plain);
            }
        }

        #[test]
        fn a_percentage_of_integers_is_that_of_decimals(part in -1_000_000_000_000_i64..1_000_000_000_000, whole in 1_i64..1_000_000_000_000) {
            let plain = round_half_up(Decimal::from(part) * Decimal::ONE_HUNDRED / Decimal::from(whole), 2);
            prop_assert_eq!(percentage(part, whole), Some(plain));
        }

        #[test]
        fn no_amount_panics(minor: i64, other: i64, rate in 1_i64..i64::MAX, scale in 0_u32..20, currency in any_currency()) {
            if let Ok(rate) = ExchangeRate::new(currency, Decimal::new(rate, scale)) {
                let _ = rate.to_eur(Money::new(minor, currency));
                let _ = rate.from_eur(Money::new(minor, Currency::EUR));
            }
            let _ = Money::new(minor, currency).plus(Money::new(other, currency));
            let _ = percentage(minor, other);
        }
    }
}
