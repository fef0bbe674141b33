//! Price bounds in EUR as bounds in the minor units of each marketplace's currency, for the catalog to search by.

#![deny(clippy::float_arithmetic, clippy::cast_precision_loss, clippy::cast_possible_truncation)]

use std::collections::BTreeMap;

use shared::domain::{Currency, ExchangeRate, Marketplace, Money};

/// Inclusive bounds in minor units.
pub(crate) type Bounds = BTreeMap<Marketplace, (Option<i64>, Option<i64>)>;

/// Per marketplace the prices whose amount in EUR, rounded half up to the cent as it is shown, lies within the bounds
/// (euro cents, inclusive). A marketplace without a rate, or without any such price, is left out: nothing matches there.
///
/// No bound at all is an empty map.
pub(crate) fn bounds(min_cents: Option<i64>, max_cents: Option<i64>, rate: impl Fn(Currency) -> Option<ExchangeRate>) -> Bounds {
    if min_cents.is_none() && max_cents.is_none() {
        return Bounds::new();
    }
    let of_market = |marketplace: Marketplace| {
        let rate = rate(marketplace.currency())?;
        // Both searches rely on the shown amount never falling while the price grows.
        let lower = min_cents.map(|cents| least_price(&rate, cents));
        let upper = max_cents.map(|cents| least_price(&rate, cents.saturating_add(1)) - 1);
        let is_empty = upper.is_some_and(|upper| lower.unwrap_or(0) > upper);
        (!is_empty).then_some((marketplace, (lower, upper)))
    };
    Marketplace::ALL.into_iter().filter_map(of_market).collect()
}

/// The least price whose amount in EUR is not below `cents`.
fn least_price(rate: &ExchangeRate, cents: i64) -> i64 {
    let is_below = |minor: i64| match rate.to_eur(Money::new(minor, rate.currency())) {
        Ok(euros) => euros.minor < cents,
        // Beyond 64 bits of cents: above every bound.
        Err(_) => false,
    };
    let (mut low, mut high) = (0, i64::MAX);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_below(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;

    fn rates(units: impl Fn(Currency) -> Option<Decimal>) -> impl Fn(Currency) -> Option<ExchangeRate> {
        move |currency| match currency {
            Currency::EUR => Some(ExchangeRate::EUR),
            other => ExchangeRate::new(other, units(other)?).ok(),
        }
    }

    #[test]
    fn euros_are_taken_as_they_are() {
        let bounds = bounds(Some(4799), Some(5000), rates(|_| None));
        assert_eq!(bounds.get(&Marketplace::DE), Some(&(Some(4799), Some(5000))));
        assert_eq!(bounds.len(), 4, "only marketplaces in EUR have a rate: {bounds:?}");
    }

    #[test]
    fn other_currencies_go_by_the_amount_shown() {
        // 1 EUR = 0.8612 GBP: 49.99 GBP show as 58.05 EUR, 49.98 as 58.04 (58.0353), 50.00 as 58.06.
        let gbp = || rates(|currency| (currency == Currency::GBP).then(|| Decimal::new(8612, 4)));
        assert_eq!(bounds(Some(5805), Some(5805), gbp())[&Marketplace::UK], (Some(4999), Some(4999)));
        // 1 EUR = 163.21 JPY: two yen lie in one cent, or none at all in 10.00 EUR exactly.
        let yen = || rates(|currency| (currency == Currency::JPY).then(|| Decimal::new(16321, 2)));
        assert_eq!(bounds(Some(1000), Some(1001), yen())[&Marketplace::JP], (Some(1632), Some(1634)));
    }

    #[test]
    fn bounds_between_two_prices_match_nothing() {
        // 1 yen = 5 EUR: there is no price between 5.01 and 9.99 EUR.
        let yen = rates(|currency| (currency == Currency::JPY).then(|| Decimal::new(2, 1)));
        assert_eq!(bounds(Some(501), Some(999), yen).get(&Marketplace::JP), None);
    }

    #[test]
    fn one_bound_leaves_the_other_side_open() {
        assert_eq!(bounds(Some(100), None, rates(|_| None))[&Marketplace::DE], (Some(100), None));
        assert_eq!(bounds(None, Some(100), rates(|_| None))[&Marketplace::DE], (None, Some(100)));
        assert!(bounds(None, None, rates(|_| None)).is_empty());
    }

    proptest! {
        #[test]
        fn a_price_matches_exactly_when_its_shown_amount_does(
            rate in 1_i64..100_000_000,
            scale in 0_u32..8,
            price in 1_i64..10_000_000_000,
            low in -3_i64..=3,
            width in 0_i64..6,
        ) {
            let units = rates(move |_| Some(Decimal::new(rate, scale)));
            for marketplace in [Marketplace::UK, Marketplace::JP, Marketplace::DE] {
                let market_rate = units(marketplace.currency()).unwrap();
                let Ok(shown) = market_rate.to_eur(Money::new(price, marketplace.currency())) else { continue };
                // Bounds close to the price, where rounding decides.
                let min = shown.minor.saturating_add(low).max(0);
                let max = min.saturating_add(width);
                let found = bounds(Some(min), Some(max), &units);
                let matches = found.get(&marketplace).is_some_and(|(lower, upper)| {
                    lower.is_none_or(|lower| price >= lower) && upper.is_none_or(|upper| price <= upper)
                });
                prop_assert_eq!(matches, (min..=max).contains(&shown.minor), "{} {}..={} {:?}", shown, min, max, found);
            }
        }
    }
}
