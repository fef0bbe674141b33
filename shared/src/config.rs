//! Settings from the environment: read before any port opens, all mistakes reported together.
//!
//! [`Environment`] is a value (tests pass a map); every reader method notes its mistake and goes on with the default,
//! and [`Environment::finish`] turns the notes into one error.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;

use crate::domain::profit::tables::{FeeTable, Tables, VatTable};
use crate::domain::profit::{Seller, SellerProfile};
use crate::domain::{Marketplace, Staleness};

/// A value that is never shown: key, password, token.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Secret(secret.into())
    }

    /// The secret itself, for the request that needs it and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("****")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("****")
    }
}

/// All that is wrong with the configuration, one line each, naming the variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// One sentence per mistake.
    pub mistakes: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "the configuration has {} mistake(s):", self.mistakes.len())?;
        for mistake in &self.mistakes {
            writeln!(formatter, "  - {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The variables of the process, or of a test.
#[derive(Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    mistakes: RefCell<Vec<String>>,
    /// What was read and came out, for `--check`; secrets masked.
    effective: RefCell<BTreeMap<String, String>>,
}

impl Environment {
    /// The process environment. A variable that is set to nothing counts as not set.
    #[must_use]
    pub fn from_process() -> Self {
        let mut environment = Environment::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) if !value.trim().is_empty() => {
                    environment.variables.insert(name, value);
                }
                Ok(_) => {}
                // Only reported when a reader asks for it: others' variables are not ours to judge.
                Err(_) => {
                    environment.variables.insert(name, "\u{FFFD}".into());
                }
            }
        }
        environment
    }

    /// Variables given by name.
    #[must_use]
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Environment {
            variables,
            ..Default::default()
        }
    }

    /// Notes a mistake; the same one by several readers of a variable is told once.
    pub fn mistake(&self, mistake: impl Into<String>) {
        let (mistake, mut mistakes) = (mistake.into(), self.mistakes.borrow_mut());
        if !mistakes.contains(&mistake) {
            mistakes.push(mistake);
        }
    }

    /// Notes what came out of a variable, for `--check`; never a secret.
    pub fn note(&self, name: &str, value: impl fmt::Display) {
        self.effective.borrow_mut().insert(name.to_owned(), value.to_string());
    }

    /// A text, if set.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        let value = self.variables.get(name).map(|value| value.trim().to_owned());
        self.note(name, value.as_deref().unwrap_or("(not set)"));
        value
    }

    /// A path, or the default.
    #[must_use]
    pub fn path(&self, name: &str, default: &str) -> PathBuf {
        PathBuf::from(self.parsed(name, default.to_owned(), "a path", |text| Some(text.to_owned())))
    }

    /// A secret from `NAME` or the file that `NAME_FILE` names; both at once are a mistake.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<Secret> {
        let file_name = format!("{name}_FILE");
        let direct = self.variables.get(name);
        let secret = match (direct, self.variables.get(&file_name)) {
            (Some(_), Some(_)) => {
                self.mistake(format!("{name} and {file_name} are both set: one of them is enough"));
                None
            }
            (Some(value), None) => Some(value.trim().to_owned()),
            (None, Some(path)) => match std::fs::read_to_string(path.trim()) {
                Ok(value) if !value.trim().is_empty() => Some(value.trim().to_owned()),
                Ok(_) => {
                    self.mistake(format!("{file_name}: {path} is empty"));
                    None
                }
                Err(error) => {
                    self.mistake(format!("{file_name}: {path} cannot be read: {error}"));
                    None
                }
            },
            (None, None) => None,
        };
        self.note(name, if secret.is_some() { "****" } else { "(not set)" });
        secret.map(Secret::new)
    }

    /// A value by a parser of the caller's; what does not parse is a mistake that names the variable and what is expected.
    #[must_use]
    pub fn parsed<T: Clone + fmt::Debug>(&self, name: &str, default: T, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> T {
        let Some(text) = self.variables.get(name).map(|text| text.trim()) else {
            self.note(name, format!("{default:?} (default)"));
            return default;
        };
        match parse(text) {
            Some(value) => {
                self.note(name, text);
                value
            }
            None => {
                self.mistake(format!("{name}: {expected} is expected, not {text:?}"));
                default
            }
        }
    }

    /// A whole number within bounds.
    #[must_use]
    pub fn integer<T>(&self, name: &str, default: T, range: std::ops::RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + fmt::Display + fmt::Debug + Clone,
    {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(name, default, &expected, |text| text.parse().ok().filter(|value| range.contains(value)))
    }

    /// A decimal within bounds.
    #[must_use]
    pub fn decimal(&self, name: &str, default: Decimal, range: std::ops::RangeInclusive<Decimal>) -> Decimal {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.parsed(name, default, &expected, |text| text.parse().ok().filter(|value| range.contains(value)))
    }

    /// A duration greater than zero: `90s`, `5m`, `24h`, `7d`, `1500ms`; a bare number is seconds.
    #[must_use]
    pub fn duration(&self, name: &str, default: Duration) -> Duration {
        self.parsed(name, default, "a duration such as 90s, 5m, 24h or 7d", |text| {
            parse_duration(text).filter(|duration| !duration.is_zero())
        })
    }

    /// `MARKETS`: a list without repetitions, two at least.
    #[must_use]
    pub fn markets(&self) -> Vec<Marketplace> {
        use Marketplace::{DE, ES, FR, IT, UK};
        self.parsed(
            "MARKETS",
            vec![DE, FR, IT, ES, UK],
            "a list of different marketplaces such as DE,FR,IT,ES,UK",
            |text| {
                let markets: Vec<Marketplace> = text.split(',').map(|code| code.trim().parse().ok()).collect::<Option<_>>()?;
                let distinct: std::collections::BTreeSet<_> = markets.iter().collect();
                (distinct.len() == markets.len()).then_some(markets)
            },
        )
    }

    /// `STALE_AFTER` and `LEG_STALE_AFTER`.
    #[must_use]
    pub fn staleness(&self) -> Staleness {
        let default = Staleness::default();
        let millis = |name, default: i64| {
            let default = Duration::from_millis(default.unsigned_abs());
            i64::try_from(self.duration(name, default).as_millis()).unwrap_or(i64::MAX)
        };
        Staleness {
            product_millis: millis("STALE_AFTER", default.product_millis),
            leg_millis: millis("LEG_STALE_AFTER", default.leg_millis),
        }
    }

    /// What a file holds, if one is named and there is anything in it.
    fn file<T>(&self, name: &str, parse: impl FnOnce(&str) -> anyhow::Result<T>) -> Option<T> {
        self.file_of_many(name, |text| parse(text).map_err(|error| vec![format!("{error:#}")]))
    }

    /// As a file whose parser finds all mistakes at once: each is told with the variable and the path before it.
    pub fn file_of_many<T>(&self, name: &str, parse: impl FnOnce(&str) -> Result<T, Vec<String>>) -> Option<T> {
        let path = self.text(name)?;
        let read = std::fs::read_to_string(&path).map_err(|error| vec![format!("cannot be read: {error}")]);
        let parsed = read.and_then(|text| {
            // Where containers are given no file they have an empty one.
            let is_empty = text.trim().is_empty();
            if is_empty { Ok(None) } else { parse(&text).map(Some) }
        });
        match parsed {
            Ok(value) => value,
            Err(mistakes) => {
                mistakes.into_iter().for_each(|mistake| self.mistake(format!("{name}: {path}: {mistake}")));
                None
            }
        }
    }

    /// `SELLER_PROFILE`, `VAT_TABLE` and `FEE_TABLE`: files in place of what ships with the product.
    #[must_use]
    pub fn seller(&self) -> Arc<Seller> {
        let mut tables = Tables::shipped();
        if let Some(vat) = self.file("VAT_TABLE", |text| Ok(VatTable::parse(text)?)) {
            tables.vat = vat;
        }
        if let Some(fees) = self.file("FEE_TABLE", |text| Ok(FeeTable::parse(text)?)) {
            tables.fees = fees;
        }
        let profile = self.file("SELLER_PROFILE", |text| Ok(SellerProfile::parse(text, &tables)?));
        Arc::new(Seller {
            profile: profile.unwrap_or_default(),
            tables,
        })
    }

    /// What came out, by variable, secrets masked.
    #[must_use]
    pub fn effective(&self) -> BTreeMap<String, String> {
        self.effective.borrow().clone()
    }

    /// The value, unless mistakes were noted.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn finish<T>(&self, value: T) -> Result<T, ConfigError> {
        let mistakes = self.mistakes.borrow();
        if mistakes.is_empty() {
            Ok(value)
        } else {
            Err(ConfigError { mistakes: mistakes.clone() })
        }
    }
}

/// `90s`, `5m`, `24h`, `7d`, `1500ms`; a bare number is seconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    match unit.trim() {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => seconds(1),
        "m" | "min" => seconds(60),
        "h" => seconds(3_600),
        "d" => seconds(86_400),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_are_reported_together_and_name_their_variable() {
        let environment = Environment::of([
            ("MARKETS", "DE,XX"),
            ("STALE_AFTER", "soon"),
            ("TOPIC_PARTITIONS", "0"),
            ("MIN_MARGIN_PERCENT", "ten"),
        ]);
        let _ = environment.markets();
        let _ = environment.staleness();
        let _ = environment.integer("TOPIC_PARTITIONS", 3, 1..=1000);
        let _ = environment.decimal("MIN_MARGIN_PERCENT", Decimal::TEN, Decimal::ZERO..=Decimal::ONE_THOUSAND);
        let error = environment.finish(()).expect_err("four mistakes");
        assert_eq!(error.mistakes.len(), 4, "{error}");
        for name in ["MARKETS", "STALE_AFTER", "TOPIC_PARTITIONS", "MIN_MARGIN_PERCENT"] {
            assert!(error.to_string().contains(name), "{name} in {error}");
        }
    }

    #[test]
    fn durations_have_units() {
        for (text, expected) in [
            ("90s", Some(90_000)),
            ("90", Some(90_000)),
            ("5m", Some(300_000)),
            ("24h", Some(86_400_000)),
            ("7d", Some(604_800_000)),
            ("1500ms", Some(1_500)),
            ("7w", None),
            ("", None),
            ("-1s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(parse_duration(text).map(|duration| duration.as_millis()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_seller_comes_from_files_and_a_mistake_names_the_variable() {
        let folder = tempfile::tempdir().expect("a folder");
        let seller = |name: &str, text: &str| {
            let path = folder.path().join("file.json");
            std::fs::write(&path, text).expect("written");
            let environment = Environment::of([(name, path.to_str().expect("UTF-8"))]);
            let seller = environment.seller();
            environment.finish(seller).map_err(|error| error.to_string())
        };
        assert!(Environment::of([]).seller().profile.is_default);
        assert!(seller("SELLER_PROFILE", " \n").expect("an empty file is none").profile.is_default);
        let given = r#"{"home": "GB", "spread": 0.015, "efn_factor": 2, "costs": {"freight": 3.2}, "routes": {"*:UK": {"regime": "IMPORT", "costs": {"broker": "1.50"}}}}"#;
        let profile = &seller("SELLER_PROFILE", given).expect("a profile").profile;
        assert_eq!((profile.home.as_str(), profile.is_default), ("UK", false));
        for (name, text, expected) in [
            ("SELLER_PROFILE", "{", "SELLER_PROFILE"),
            ("SELLER_PROFILE", r#"{"hom": "DE"}"#, "unknown field `hom`"),
            ("SELLER_PROFILE", r#"{"home": "Germany"}"#, "two capital letters"),
            ("SELLER_PROFILE", r#"{"regime": "XX"}"#, "XX"),
            ("SELLER_PROFILE", r#"{"costs": {"freight": -1}}"#, "-1 is no cost"),
            ("SELLER_PROFILE", r#"{"costs": {"freight": 0.001}}"#, "0.001 is no cost"),
            ("SELLER_PROFILE", r#"{"spread": 2}"#, "2 is no share"),
            ("SELLER_PROFILE", r#"{"spread": "half"}"#, "half is no decimal number"),
            ("SELLER_PROFILE", r#"{"routes": {"DE-IT": {}}}"#, "names no route"),
            ("SELLER_PROFILE", r#"{"vat_class": "gold"}"#, "class of goods"),
            ("SELLER_PROFILE", r#"{"efn_factor": "0.5"}"#, "efn_factor"),
            ("VAT_TABLE", r#"{"rates": []}"#, "VAT_TABLE"),
            ("FEE_TABLE", "[]", "FEE_TABLE"),
        ] {
            let refused = seller(name, text).expect_err("a mistake");
            assert!(refused.contains(name) && refused.contains(expected), "{text}: {refused}");
        }
    }

    #[test]
    fn secrets_are_masked_wherever_they_are_shown() {
        let environment = Environment::of([("KEEPA_API_KEY", "abc123")]);
        let secret = environment.secret("KEEPA_API_KEY").expect("set");
        assert_eq!(secret.expose(), "abc123");
        let shown = format!("{secret} {secret:?} {:?}", environment.effective());
        assert!(!shown.contains("abc123"), "{shown}");
    }

    #[test]
    fn a_secret_may_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "from-file\n").expect("written");
        let path = file.path().to_str().expect("UTF-8").to_owned();
        let environment = Environment::of([("KEEPA_API_KEY_FILE", path.as_str())]);
        assert_eq!(environment.secret("KEEPA_API_KEY").expect("read").expose(), "from-file");
        let both = Environment::of([("KEEPA_API_KEY_FILE", path.as_str()), ("KEEPA_API_KEY", "x")]);
        assert!(both.secret("KEEPA_API_KEY").is_none() && both.finish(()).is_err());
    }
}
