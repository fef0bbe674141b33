//! The query string of a request, checked parameter by parameter.

use shared::domain::{Asin, KeepaMinutes, Marketplace, UnixMillis};

use super::envelope::Rejection;
use super::world::StatsInterval;

/// Decoded names and values, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn parse(query: &str) -> Self {
        Parameters(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The last value of a name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, Rejection> {
        self.get(name)
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Rejection::parameter(name))
    }

    /// `0` or `1`; absent is the default.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, Rejection> {
        match self.get(name) {
            None => Ok(default),
            Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(_) => Err(Rejection::parameter(name)),
        }
    }

    /// A whole number within bounds, if it is there.
    pub(super) fn number(&self, name: &str, bounds: std::ops::RangeInclusive<i64>) -> Result<Option<i64>, Rejection> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.trim()
            .parse()
            .ok()
            .filter(|number| bounds.contains(number))
            .map(Some)
            .ok_or_else(|| Rejection::parameter(name))
    }

    /// The comma-separated values of a name, none empty.
    pub(super) fn list(&self, name: &str, most: usize) -> Result<Vec<&str>, Rejection> {
        let values: Vec<&str> = self.required(name)?.split(',').map(str::trim).collect();
        if values.len() > most || values.iter().any(|value| value.is_empty()) {
            return Err(Rejection::parameter(name));
        }
        Ok(values)
    }

    pub(super) fn marketplace(&self) -> Result<Marketplace, Rejection> {
        let id = self.number("domain", 0..=i64::from(i32::MAX))?.ok_or_else(|| Rejection::parameter("domain"))?;
        Marketplace::from_keepa_id(id).map_err(|_| Rejection::parameter("domain"))
    }

    /// As [`Parameters::marketplace`], for the endpoints that do not know Brazil.
    pub(super) fn marketplace_but_brazil(&self) -> Result<Marketplace, Rejection> {
        self.marketplace().and_then(not_brazil)
    }

    pub(super) fn asins(&self, most: usize) -> Result<Vec<Asin>, Rejection> {
        self.list("asin", most)?
            .into_iter()
            .map(|asin| asin.parse().map_err(|_| Rejection::parameter("asin")))
            .collect()
    }

    /// `stats=90`, `stats=2026-01-01,2026-02-01` or `stats=1767225600000,1769904000000`.
    pub(super) fn stats(&self) -> Result<Option<StatsInterval>, Rejection> {
        let Some(text) = self.get("stats") else { return Ok(None) };
        let invalid = || Rejection::parameter("stats");
        let Some((from, to)) = text.split_once(',') else {
            let days = text.trim().parse().ok().filter(|days| (1..=36_500).contains(days)).ok_or_else(invalid)?;
            return Ok(Some(StatsInterval::Days(days)));
        };
        let (from, to) = (instant(from).ok_or_else(invalid)?, instant(to).ok_or_else(invalid)?);
        if from >= to {
            Err(invalid())
        } else {
            Ok(Some(StatsInterval::Between(from, to)))
        }
    }
}

pub(super) fn not_brazil(marketplace: Marketplace) -> Result<Marketplace, Rejection> {
    if marketplace == Marketplace::BR {
        Err(Rejection::parameter("domain"))
    } else {
        Ok(marketplace)
    }
}

/// An ISO date or Unix milliseconds.
fn instant(text: &str) -> Option<KeepaMinutes> {
    let text = text.trim();
    if let Ok(millis) = text.parse() {
        return Some(KeepaMinutes::from_unix(UnixMillis(millis)));
    }
    let date = text.get(..10)?.parse::<chrono::NaiveDate>().ok()?;
    let midnight = date.and_hms_opt(0, 0, 0)?.and_utc();
    Some(KeepaMinutes::from_unix(UnixMillis(midnight.timestamp_millis())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: Result<Option<StatsInterval>, ()>) {
        assert_eq!(Parameters::parse(query).stats().map_err(|_| ()), expected, "{query}");
    }

    #[test]
    fn an_interval_is_a_number_of_days_two_dates_or_two_instants() {
        let between = |from, to| Ok(Some(StatsInterval::Between(KeepaMinutes(from), KeepaMinutes(to))));
        check("", Ok(None));
        check("stats=90", Ok(Some(StatsInterval::Days(90))));
        check("stats=2011-01-02,2011-01-03", between(1440, 2880));
        check("stats=1293840060000%2C1293840120000", between(1, 2));
        for wrong in [
            "stats=",
            "stats=0",
            "stats=x",
            "stats=2011-01-03,2011-01-02",
            "stats=1,",
            "stats=2011-13-01,2012-01-01",
        ] {
            check(wrong, Err(()));
        }
    }

    #[test]
    fn only_keepas_domains_are_domains() {
        for (id, known) in [
            ("1", true),
            ("6", true),
            ("8", true),
            ("12", true),
            ("0", false),
            ("7", false),
            ("13", false),
            ("DE", false),
            ("", false),
            ("-1", false),
        ] {
            assert_eq!(Parameters::parse(&format!("domain={id}")).marketplace().is_ok(), known, "{id}");
        }
        assert!(Parameters::parse("domain=12").marketplace_but_brazil().is_err());
    }

    #[test]
    fn lists_have_no_empty_places_and_an_end() {
        assert_eq!(Parameters::parse("a=1%2C2").list("a", 2), Ok(vec!["1", "2"]));
        for wrong in ["a=", "a=1,", "a=,1", "a=1,2,3", "b=1"] {
            assert!(Parameters::parse(wrong).list("a", 2).is_err(), "{wrong}");
        }
        assert!(Parameters::parse("asin=B0D1XD1ZV").asins(100).is_err());
    }
}
