//! Settings from the environment.

use std::sync::Arc;

use reqwest::Url;
use rust_decimal::Decimal;
use shared::config::Environment;
use shared::domain::profit::Seller;
use shared::domain::rates::RatesOrigin;
use shared::domain::{Marketplace, Staleness, UnixMillis};

use crate::alerts::AlertsConfig;
use crate::rates;
use crate::rates_source::RatesSource;
use crate::settings::Rules;

/// What the detector needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// `MIN_MARGIN_PERCENT`: a gap has to be above it.
    pub min_margin_percent: Decimal,
    /// `STALE_AFTER` and `LEG_STALE_AFTER`.
    pub staleness: Staleness,
    /// `MARKETS`: every ordered pair of them is a route.
    pub markets: Vec<Marketplace>,
    /// `SELLER_PROFILE`, `VAT_TABLE`, `FEE_TABLE`: for whom profits are computed.
    pub seller: Arc<Seller>,
    /// `RATES_FILE`, else `ECB_RATES_URL`; none = the ECB with real data, the shipped set with simulated data.
    pub rates: Option<RatesSource>,
    /// `ALERT_CHANNELS` and `ALERT_RULES`: who is told, and of what.
    pub alerts: AlertsConfig,
}

impl Config {
    /// Reads the variables above. A `RATES_FILE` that holds no rates now is a mistake; later it is only a failed look.
    #[must_use]
    pub fn read(environment: &Environment) -> Config {
        Config {
            min_margin_percent: environment.decimal("MIN_MARGIN_PERCENT", Decimal::TEN, Decimal::ZERO..=Decimal::from(100_000)),
            staleness: environment.staleness(),
            markets: environment.markets(),
            seller: environment.seller(),
            rates: read_rates_source(environment),
            alerts: AlertsConfig::read(environment),
        }
    }

    /// What products are evaluated by, as configured.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            min_margin_percent: self.min_margin_percent,
            leg_stale_after_ms: self.staleness.leg_millis,
            markets: self.markets.clone(),
            seller: Arc::clone(&self.seller),
        }
    }
}

fn read_rates_source(environment: &Environment) -> Option<RatesSource> {
    let url = environment.parsed("ECB_RATES_URL", None, "an http(s) URL of the ECB's XML", |text| {
        let url = Url::parse(text).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(Some(url))
    });
    let Some(path) = environment.text("RATES_FILE") else {
        return url.map(RatesSource::Url);
    };
    match std::fs::read(&path) {
        Err(error) => environment.mistake(format!("RATES_FILE: {path} cannot be read: {error}")),
        Ok(xml) => {
            if let Err(error) = rates::parse(&xml, RatesOrigin::Ecb, UnixMillis::now()) {
                environment.mistake(format!("RATES_FILE: {path}: {error}"));
            }
        }
    }
    Some(RatesSource::File(path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(variables: &[(&str, &str)]) -> String {
        let environment = Environment::of(variables.iter().copied());
        let config = Config::read(&environment);
        environment.finish(config).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn the_defaults_are_those_of_the_table() {
        let config = Config::read(&Environment::default());
        assert_eq!((config.min_margin_percent, config.rates), (Decimal::TEN, None));
        assert_eq!(config.markets.len(), 5);
    }

    #[test]
    fn mistakes_name_their_variable() {
        for (name, value, expected) in [
            ("MIN_MARGIN_PERCENT", "ten", "MIN_MARGIN_PERCENT"),
            ("MIN_MARGIN_PERCENT", "-1", "MIN_MARGIN_PERCENT"),
            ("ECB_RATES_URL", "ftp://example.org/x", "ECB_RATES_URL"),
            ("ECB_RATES_URL", "eurofxref-daily.xml", "ECB_RATES_URL"),
            ("RATES_FILE", "/nowhere/rates.xml", "RATES_FILE: /nowhere/rates.xml cannot be read"),
        ] {
            let mistakes = mistakes(&[(name, value)]);
            assert!(mistakes.contains(expected), "{mistakes}");
        }
        assert_eq!(mistakes(&[("ECB_RATES_URL", "http://127.0.0.1:1/x.xml")]), "");
    }

    #[test]
    fn a_file_comes_before_a_url_and_has_to_hold_rates() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates.xml");
        let name = path.to_str().unwrap();
        std::fs::write(&path, "<Cube time='2026-01-09'><Cube currency='GBP' rate='0'/></Cube>").unwrap();
        assert!(mistakes(&[("RATES_FILE", name)]).contains("the rate of GBP, 0"));
        std::fs::write(&path, "<Cube time='2026-01-09'><Cube currency='GBP' rate='0.86'/></Cube>").unwrap();
        let environment = Environment::of([("RATES_FILE", name), ("ECB_RATES_URL", "http://127.0.0.1/")]);
        assert_eq!(Config::read(&environment).rates, Some(RatesSource::File(path.clone())));
        environment.finish(()).unwrap();
    }
}
