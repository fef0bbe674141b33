//! [`Surroundings`]: what other services have written down and every answer may need: rates, settings, the feed's state.

use rust_decimal::Decimal;
use serde::de::DeserializeOwned;
use shared::domain::rates::RatesOrigin;
use shared::domain::{Currency, ExchangeRate, ExchangeRates};
use shared::ports::Catalog;
use shared::ports::catalog::{CatalogError, StateKind, read_rates};
use shared::wire::state::{DetectorSettings, ProducerStatus};

use crate::cache::Keep;

/// As of one instant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Surroundings {
    /// The exchange rates all replicas use.
    pub(crate) rates: Option<ExchangeRates>,
    /// What the detector evaluates by.
    pub(crate) settings: Option<DetectorSettings>,
    /// What the producer tells of the feed.
    pub(crate) producer: Option<ProducerStatus>,
}

impl Keep for std::sync::Arc<Surroundings> {
    fn weight(&self) -> usize {
        1_000
    }
}

impl Surroundings {
    /// Reads the three records.
    pub(crate) async fn read(catalog: &dyn Catalog) -> Result<Self, CatalogError> {
        let rates = read_rates(catalog).await?;
        let settings = read_record(catalog, StateKind::Settings, "detector").await?;
        let producer = read_record(catalog, StateKind::Status, "producer").await?;
        Ok(Surroundings { rates, settings, producer })
    }

    /// Whether the data comes from the simulator.
    pub(crate) fn is_simulated(&self) -> bool {
        self.producer.as_ref().is_some_and(|producer| producer.simulated)
    }

    /// The rate amounts are shown in EUR by; the shipped set is no rate for real data.
    pub(crate) fn rate(&self, currency: Currency) -> Option<ExchangeRate> {
        if currency == Currency::EUR {
            return Some(ExchangeRate::EUR);
        }
        self.usable_rates()?.rate(currency)
    }

    /// The rates, unless they are the shipped set and the data is real.
    pub(crate) fn usable_rates(&self) -> Option<&ExchangeRates> {
        let is_real = self.producer.as_ref().is_some_and(|producer| !producer.simulated);
        self.rates.as_ref().filter(|rates| !(is_real && rates.origin == RatesOrigin::Shipped))
    }

    /// Gaps at or below this margin (percent) are not recorded: the detector's own setting, else ours.
    pub(crate) fn min_margin_percent(&self, configured: Decimal) -> Decimal {
        let detectors = self.settings.as_ref().and_then(|settings| settings.min_margin_percent.parse().ok());
        detectors.unwrap_or(configured)
    }
}

/// A record that cannot be decoded counts as none: a newer version may have written it.
async fn read_record<T: DeserializeOwned>(catalog: &dyn Catalog, kind: StateKind, id: &str) -> Result<Option<T>, CatalogError> {
    let records = catalog.read_states(kind, &[id.to_owned()]).await?;
    let record = records.into_iter().flatten().next();
    Ok(record.and_then(|record| serde_json::from_value(record.value.body).ok()))
}

#[cfg(test)]
mod tests {
    use shared::domain::UnixMillis;

    use super::*;

    fn surroundings(origin: RatesOrigin, simulated: Option<bool>) -> Surroundings {
        let producer = simulated.map(|simulated| ProducerStatus {
            simulated,
            tokens_left: None,
            refill_rate: None,
            keepa: "up".into(),
            at: UnixMillis(0),
        });
        Surroundings {
            rates: Some(ExchangeRates {
                date: chrono::NaiveDate::default(),
                origin,
                units_per_eur: [(Currency::GBP, Decimal::new(86, 2))].into(),
            }),
            settings: None,
            producer,
        }
    }

    #[test]
    fn shipped_rates_are_never_applied_to_real_data() {
        for (origin, simulated, expected) in [
            (RatesOrigin::Shipped, Some(true), true),
            (RatesOrigin::Shipped, None, true),
            (RatesOrigin::Shipped, Some(false), false),
            (RatesOrigin::Ecb, Some(false), true),
        ] {
            let surroundings = surroundings(origin, simulated);
            assert_eq!(surroundings.rate(Currency::GBP).is_some(), expected, "{origin:?} {simulated:?}");
            assert!(surroundings.rate(Currency::EUR).is_some());
            assert!(surroundings.rate(Currency::JPY).is_none());
        }
    }

    #[test]
    fn the_detectors_own_floor_counts() {
        let mut surroundings = surroundings(RatesOrigin::Ecb, None);
        assert_eq!(surroundings.min_margin_percent(Decimal::TEN), Decimal::TEN);
        surroundings.settings = Some(DetectorSettings {
            version: 1,
            min_margin_percent: "7.5".into(),
            leg_stale_after_ms: 1,
            markets: vec![],
            seller: None,
        });
        assert_eq!(surroundings.min_margin_percent(Decimal::TEN), Decimal::new(75, 1));
    }
}
