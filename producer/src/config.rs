//! Settings of the producer.

use std::time::Duration;

use shared::config::{Environment, Secret};
use shared::domain::{Asin, Marketplace};
use url::Url;

use crate::keepa::Timeouts;
use crate::watchlist::{self, WatchlistFile};

const KEEPA_URL: &str = "https://api.keepa.com/";

/// What the producer needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// `KEEPA_URL`: the server.
    pub keepa_url: Url,
    /// `KEEPA_API_KEY`.
    pub keepa_api_key: Secret,
    /// `MARKETS`: what is asked, in this order.
    pub markets: Vec<Marketplace>,
    /// `WATCHLIST`: what the file holds; nothing where none is named.
    pub watchlist: WatchlistFile,
    /// `REFRESH_SECONDS`: an article is due again this long after it was last asked.
    pub refresh: Duration,
    /// The server is the simulator. Set by whoever starts it, not read.
    pub simulated: bool,
    /// Articles watched besides the file, `added_by` "demo". Likewise.
    pub initial_asins: Vec<Asin>,
    /// How long Keepa is waited for.
    pub timeouts: Timeouts,
}

impl Config {
    /// Reads the variables; a missing key is a mistake.
    #[must_use]
    pub fn read(environment: &Environment) -> Self {
        let key = environment.secret("KEEPA_API_KEY");
        let names_a_file = environment.text("KEEPA_API_KEY_FILE").is_some();
        if key.is_none() && !names_a_file {
            environment.mistake("KEEPA_API_KEY: the key of a Keepa subscription is needed (or KEEPA_API_KEY_FILE)");
        }
        let keepa_url = environment.parsed("KEEPA_URL", default_url(), "an http or https URL without user, query or fragment", parse_url);
        Config {
            keepa_url,
            ..Self::common(environment, key.unwrap_or_else(|| Secret::new("")), false)
        }
    }

    /// Reads the variables for a simulator at `keepa_url`, which takes any key; its articles are watched.
    #[must_use]
    pub fn read_simulated(environment: &Environment, keepa_url: Url, initial_asins: Vec<Asin>) -> Self {
        Config {
            keepa_url,
            initial_asins,
            ..Self::common(environment, Secret::new("simulated"), true)
        }
    }

    fn common(environment: &Environment, keepa_api_key: Secret, simulated: bool) -> Self {
        let watchlist = environment.text("WATCHLIST").map(|path| {
            watchlist::read(path.as_ref()).unwrap_or_else(|error| {
                environment.mistake(format!("WATCHLIST: {error}"));
                WatchlistFile::default()
            })
        });
        Config {
            keepa_url: default_url(),
            keepa_api_key,
            markets: environment.markets(),
            watchlist: watchlist.unwrap_or_default(),
            refresh: Duration::from_secs(environment.integer("REFRESH_SECONDS", 60, 1..=31_536_000)),
            simulated,
            initial_asins: Vec::new(),
            timeouts: Timeouts::default(),
        }
    }
}

fn default_url() -> Url {
    Url::parse(KEEPA_URL).expect("the constant is a URL")
}

fn parse_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_is_a_mistake_unless_simulated() {
        let environment = Environment::of([]);
        let _ = Config::read(&environment);
        let error = environment.finish(()).unwrap_err().to_string();
        assert!(error.contains("KEEPA_API_KEY"), "{error}");
        let environment = Environment::of([]);
        let config = Config::read_simulated(&environment, Url::parse("http://127.0.0.1:7070").unwrap(), Vec::new());
        assert!(environment.finish(()).is_ok() && config.simulated);
    }

    #[test]
    fn mistakes_name_the_variable_and_the_key_is_never_shown() {
        let environment = Environment::of([
            ("KEEPA_API_KEY", "s3cr3tkey"),
            ("KEEPA_URL", "ftp://x"),
            ("WATCHLIST", "/nowhere/list.txt"),
            ("REFRESH_SECONDS", "0"),
        ]);
        let config = Config::read(&environment);
        let error = environment.finish(()).unwrap_err();
        for name in ["KEEPA_URL", "WATCHLIST", "/nowhere/list.txt", "REFRESH_SECONDS"] {
            assert!(error.to_string().contains(name), "{error}");
        }
        let shown = format!("{config:?} {error} {:?}", environment.effective());
        assert!(!shown.contains("s3cr3tkey"), "{shown}");
    }

    #[test]
    fn defaults_are_those_of_the_design() {
        let environment = Environment::of([("KEEPA_API_KEY", "k")]);
        let config = environment.finish(Config::read(&environment)).unwrap();
        assert_eq!(config.keepa_url.as_str(), "https://api.keepa.com/");
        assert_eq!((config.refresh, config.markets.len(), config.simulated), (Duration::from_secs(60), 5, false));
        assert_eq!(
            parse_url("http://127.0.0.1:9/keepa").map(|url| url.path().to_owned()),
            Some("/keepa".to_owned())
        );
        for bad in ["http://u:p@x/", "https://x/?key=1", "nonsense", "https://x/#a"] {
            assert_eq!(parse_url(bad), None, "{bad}");
        }
    }
}
