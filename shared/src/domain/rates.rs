//! [`ExchangeRates`]: one day's reference rates, units per 1 EUR.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::keepa_time::UnixMillis;
use super::money::{Currency, ExchangeRate};

/// Where rates come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RatesOrigin {
    /// The European Central Bank's daily reference rates, or a file in the same format.
    Ecb,
    /// The dated set that ships with the product, for simulated data only.
    Shipped,
}

/// Reference rates of one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeRates {
    /// The day they were published for.
    pub date: NaiveDate,
    /// Where they come from.
    pub origin: RatesOrigin,
    /// Units per 1 EUR, without EUR itself.
    pub units_per_eur: BTreeMap<Currency, Decimal>,
}

/// ECB publishes on working days; after this many days rates are shown as stale.
const SHOWN_STALE_DAYS: i64 = 4;
/// With real data a route over currencies needs a rate at most this old.
const USABLE_DAYS: i64 = 7;

impl ExchangeRates {
    /// The rate of a currency; EUR always has one.
    #[must_use]
    pub fn rate(&self, currency: Currency) -> Option<ExchangeRate> {
        if currency == Currency::EUR {
            return Some(ExchangeRate::EUR);
        }
        ExchangeRate::new(currency, *self.units_per_eur.get(&currency)?).ok()
    }

    /// Whole days from the rates' date to today (UTC).
    #[must_use]
    pub fn age_days(&self, now: UnixMillis) -> i64 {
        now.to_utc().date_naive().signed_duration_since(self.date).num_days()
    }

    /// Older than four days: shown as stale.
    #[must_use]
    pub fn is_stale(&self, now: UnixMillis) -> bool {
        self.age_days(now) > SHOWN_STALE_DAYS
    }

    /// Whether a route over currencies may use them: always the shipped set with simulated data; with real
    /// data only ECB's, at most seven days old.
    #[must_use]
    pub fn usable(&self, now: UnixMillis, simulated: bool) -> bool {
        match self.origin {
            RatesOrigin::Shipped => simulated,
            RatesOrigin::Ecb => simulated || self.age_days(now) <= USABLE_DAYS,
        }
    }
}
