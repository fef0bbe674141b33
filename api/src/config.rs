//! What the API needs to know.

use std::net::SocketAddr;
use std::sync::Arc;

use rust_decimal::Decimal;
use shared::config::Environment;
use shared::domain::profit::Seller;
use shared::domain::{Marketplace, Staleness};

/// Settings of the API.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `API_LISTEN`: where it listens; port 0 = any free one.
    pub listen: SocketAddr,
    /// `MARKETS`: whose routes `/stats` lists.
    pub markets: Vec<Marketplace>,
    /// `STALE_AFTER`, `LEG_STALE_AFTER`.
    pub staleness: Staleness,
    /// `MIN_MARGIN_PERCENT`: counts until the detector has published what it evaluates by.
    pub min_margin_percent: Decimal,
    /// `CORS_ORIGINS`: whose pages may read the answers; empty = none but our own.
    pub cors_origins: Vec<Origin>,
    /// `SELLER_PROFILE`, `VAT_TABLE`, `FEE_TABLE`: what profit is computed with where a question leaves it open.
    pub seller: Arc<Seller>,
}

/// Who may read answers from a page of another site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `*`.
    Any,
    /// `https://example.com` or `http://localhost:3000`, as browsers send it.
    Exactly(String),
}

impl Config {
    /// Reads the settings; mistakes are noted on the environment.
    #[must_use]
    pub fn read(environment: &Environment) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 8080));
        Config {
            listen: environment.parsed("API_LISTEN", loopback, "an address and port such as 127.0.0.1:8080", |text| text.parse().ok()),
            markets: environment.markets(),
            staleness: environment.staleness(),
            min_margin_percent: environment.decimal("MIN_MARGIN_PERCENT", Decimal::TEN, Decimal::ZERO..=Decimal::ONE_THOUSAND),
            seller: environment.seller(),
            cors_origins: environment.parsed("CORS_ORIGINS", Vec::new(), "a list of origins such as https://example.com, or *", parse_origins),
        }
    }
}

fn parse_origins(text: &str) -> Option<Vec<Origin>> {
    text.split(',').map(|origin| parse_origin(origin.trim())).collect()
}

fn parse_origin(text: &str) -> Option<Origin> {
    if text == "*" {
        return Some(Origin::Any);
    }
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    // The form in which browsers send it: lower case, without the scheme's own port and a trailing slash.
    is_bare.then(|| Origin::Exactly(url.origin().ascii_serialization()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_settings_it_listens_on_loopback_and_cors_is_off() {
        let environment = Environment::of([]);
        let config = environment.finish(Config::read(&environment)).expect("defaults");
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!((config.markets.len(), config.cors_origins.len()), (5, 0));
    }

    #[test]
    fn origins_are_taken_as_browsers_send_them() {
        for (text, expected) in [
            ("https://Example.com/", Some("https://example.com")),
            ("https://example.com:443", Some("https://example.com")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("https://example.com/app", None),
            ("https://user@example.com", None),
            ("ftp://example.com", None),
            ("example.com", None),
            ("", None),
        ] {
            assert_eq!(parse_origin(text), expected.map(|origin| Origin::Exactly(origin.into())), "{text:?}");
        }
        assert_eq!(parse_origins("*"), Some(vec![Origin::Any]));
    }

    #[test]
    fn mistakes_name_their_variable() {
        let environment = Environment::of([("API_LISTEN", "8080"), ("CORS_ORIGINS", "https://a.example,b"), ("MIN_MARGIN_PERCENT", "-1")]);
        let error = environment.finish(Config::read(&environment)).expect_err("three mistakes");
        for name in ["API_LISTEN", "CORS_ORIGINS", "MIN_MARGIN_PERCENT"] {
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
