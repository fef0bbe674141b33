//! [`Rule`]: what somebody wants to be told of, where to, and how often at most. Its JSON is the same in a file, in the API
//! and in the catalog; all mistakes in it are found at once, each with the name of its field.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::figures::{Figures, Measure};
use crate::config::parse_duration;
use crate::domain::assessment::TrapReason;
use crate::domain::listing::name_key;
use crate::domain::marketplace::Marketplace;
use crate::domain::opportunity::EventKind;

/// Characters of an id or of a channel's name.
const LONGEST_NAME: usize = 64;
const LONGEST_TEXT: usize = 300;
const MOST_NAMES: usize = 100;
/// A threshold or hysteresis, hundredths of its unit: a million euros, or a million percent.
const FURTHEST_THRESHOLD: i64 = 100_000_000;
const MOST_MESSAGES_A_DAY: u32 = 1_000;
/// Messages a day unless a rule says otherwise: nobody reads more, and the first look at a catalog finds hundreds.
const USUAL_MESSAGES_A_DAY: u32 = 100;
/// Hundredths: 1.00 euro or percentage point.
const USUAL_HYSTERESIS: i64 = 100;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const LONGEST_COOLDOWN: i64 = 30 * DAY;
const LONGEST_DIGEST: i64 = 7 * DAY;

macro_rules! name_type {
    ($(#[$docs:meta])* $type:ident) => {
        $(#[$docs])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NotAName;

            fn from_str(text: &str) -> Result<Self, NotAName> {
                let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
                let fits = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(is_plain);
                if fits { Ok($type(text.to_owned())) } else { Err(NotAName { text: shown(text) }) }
            }
        }

        impl TryFrom<String> for $type {
            type Error = NotAName;

            fn try_from(text: String) -> Result<Self, NotAName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// Names a rule for ever: part of the idempotency key of everything it sends.
    RuleId
);
name_type!(
    /// Names a channel of the operator's file.
    ChannelName
);

/// The text names no rule and no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no name: 1 to {LONGEST_NAME} of a-z, 0-9, '-' and '_' are expected")]
pub struct NotAName {
    /// What was given, cut.
    pub text: String,
}

/// One thing that is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The field's name.
    pub field: String,
    /// What is wrong with it, to stand behind the name.
    pub reason: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.field, self.reason)
    }
}

/// A kind of event that a rule can want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Wanted {
    Opened,
    Improved,
    Closed,
}

impl Wanted {
    /// All of them.
    pub const ALL: [Wanted; 3] = [Wanted::Opened, Wanted::Improved, Wanted::Closed];

    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Wanted::Opened => "opened",
            Wanted::Improved => "improved",
            Wanted::Closed => "closed",
        }
    }

    /// That of an event; none for an update, which is no news to anybody.
    #[must_use]
    pub fn of(kind: EventKind) -> Option<Wanted> {
        match kind {
            EventKind::Opened => Some(Wanted::Opened),
            EventKind::Improved => Some(Wanted::Improved),
            EventKind::Closed => Some(Wanted::Closed),
            EventKind::Updated => None,
        }
    }
}

/// What somebody wants to be told of. Thresholds and hysteresis are hundredths of their unit (cents, or hundredths of
/// percent), times milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Unique among all rules.
    pub id: RuleId,
    /// For people.
    pub name: String,
    /// Whether it tells anything at present.
    pub enabled: bool,
    /// Never empty.
    pub events: BTreeSet<Wanted>,
    /// All of them have to be reached; a number that is not known reaches none.
    pub thresholds: BTreeMap<Measure, i64>,
    /// Bought in one of these; none = anywhere.
    pub source_markets: BTreeSet<Marketplace>,
    /// Sold in one of these; none = anywhere.
    pub target_markets: BTreeSet<Marketplace>,
    /// As they were written; compared whole and without case; none = any.
    pub brands: Vec<String>,
    /// Likewise.
    pub categories: Vec<String>,
    /// What shows one of these is not told.
    pub without_traps: BTreeSet<TrapReason>,
    /// Where it tells.
    pub channel: ChannelName,
    /// How far below a threshold a number has to fall before reaching it is news again; also by how much the margin has to
    /// grow since it was last told.
    pub hysteresis: i64,
    /// Between two messages about one opportunity; 0 = none.
    pub cooldown_millis: i64,
    /// Messages on a day (UTC) at most.
    pub daily_cap: u32,
    /// Collects, and tells once in this time; none = tells at once.
    pub digest_millis: Option<i64>,
}

impl Rule {
    /// Reads a rule. `id` stands in where the JSON has none.
    ///
    /// # Errors
    /// All mistakes.
    pub fn parse(value: &Value, id: Option<RuleId>) -> Result<Rule, Vec<Mistake>> {
        let Value::Object(fields) = value else {
            return Err(vec![Mistake {
                field: "rule".into(),
                reason: "is no object".into(),
            }]);
        };
        let mut reader = Reader::new(fields);
        let given_id = reader.name("id").or(id);
        let id = reader.required("id", given_id);
        let name = reader.text("name");
        let name = name.or_else(|| id.as_ref().map(|id: &RuleId| id.to_string()));
        let enabled = reader.flag("enabled").unwrap_or(true);
        let events = reader.list("events", |text| {
            Wanted::ALL
                .into_iter()
                .find(|wanted| wanted.name() == text)
                .ok_or("opened, improved or closed is expected")
        });
        let events: BTreeSet<Wanted> = events.map_or_else(|| Wanted::ALL.into(), |events| events.into_iter().collect());
        if events.is_empty() {
            reader.mistake("events", "is empty: at least one of opened, improved and closed is expected");
        }
        let bounds = -FURTHEST_THRESHOLD..=FURTHEST_THRESHOLD;
        let thresholds = Measure::ALL
            .into_iter()
            .filter_map(|measure| Some((measure, reader.hundredths(measure.field(), bounds.clone())?)));
        let thresholds = thresholds.collect();
        let market = |text: &str| text.parse::<Marketplace>().map_err(|_| "a marketplace's code such as DE is expected");
        let source_markets = reader.list("source_markets", market).unwrap_or_default().into_iter().collect();
        let target_markets = reader.list("target_markets", market).unwrap_or_default().into_iter().collect();
        let named = |text: &str| {
            let text = text.trim();
            let fits = (1..=LONGEST_TEXT).contains(&text.chars().count());
            fits.then(|| text.to_owned()).ok_or("a name of 1 to 300 characters is expected")
        };
        let brands = reader.list("brands", named).unwrap_or_default();
        let categories = reader.list("categories", named).unwrap_or_default();
        let trap = |text: &str| text.parse::<TrapReason>().map_err(|_| "a reason such as price_outlier is expected");
        let without_traps = reader.list("without_traps", trap).unwrap_or_default().into_iter().collect();
        let channel = reader.name("channel");
        let channel = reader.required("channel", channel);
        let hysteresis = reader.hundredths("hysteresis", 0..=FURTHEST_THRESHOLD).unwrap_or(USUAL_HYSTERESIS);
        let cooldown_millis = reader
            .duration("cooldown", 0..=LONGEST_COOLDOWN, "a duration up to 30d such as 6h")
            .unwrap_or(0);
        let daily_cap = reader.count("daily_cap", 1..=MOST_MESSAGES_A_DAY).unwrap_or(USUAL_MESSAGES_A_DAY);
        let digest_millis = reader.duration("digest", MINUTE..=LONGEST_DIGEST, "a duration from 1m to 7d such as 1h");
        reader.nothing_else();
        match (reader.mistakes.is_empty(), id, name, channel) {
            (true, Some(id), Some(name), Some(channel)) => Ok(Rule {
                id,
                name,
                enabled,
                events,
                thresholds,
                source_markets,
                target_markets,
                brands,
                categories,
                without_traps,
                channel,
                hysteresis,
                cooldown_millis,
                daily_cap,
                digest_millis,
            }),
            _ => Err(reader.mistakes),
        }
    }

    /// As [`Rule::parse`] reads it, every field spelled out.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let codes = |markets: &BTreeSet<Marketplace>| markets.iter().map(|market| json!(market.code())).collect::<Vec<_>>();
        let mut fields = Map::new();
        fields.insert("id".into(), json!(self.id));
        fields.insert("name".into(), json!(self.name));
        fields.insert("enabled".into(), json!(self.enabled));
        fields.insert("events".into(), self.events.iter().map(|wanted| json!(wanted.name())).collect());
        for (measure, threshold) in &self.thresholds {
            fields.insert(measure.field().into(), number(*threshold));
        }
        fields.insert("source_markets".into(), codes(&self.source_markets).into());
        fields.insert("target_markets".into(), codes(&self.target_markets).into());
        fields.insert("brands".into(), json!(self.brands));
        fields.insert("categories".into(), json!(self.categories));
        fields.insert("without_traps".into(), json!(self.without_traps));
        fields.insert("channel".into(), json!(self.channel));
        fields.insert("hysteresis".into(), number(self.hysteresis));
        fields.insert("cooldown".into(), json!(duration_text(self.cooldown_millis)));
        fields.insert("daily_cap".into(), json!(self.daily_cap));
        if let Some(digest) = self.digest_millis {
            fields.insert("digest".into(), json!(duration_text(digest)));
        }
        Value::Object(fields)
    }

    /// Whether a route, a brand and a category are among those it is about. Names as [`name_key`] makes them.
    #[must_use]
    pub fn covers(&self, source: Marketplace, target: Marketplace, brand_key: Option<&str>, category_key: Option<&str>) -> bool {
        let among = |markets: &BTreeSet<Marketplace>, market| markets.is_empty() || markets.contains(&market);
        let named = |names: &[String], key: Option<&str>| names.is_empty() || key.is_some_and(|key| names.iter().any(|name| name_key(name) == key));
        among(&self.source_markets, source) && among(&self.target_markets, target) && named(&self.brands, brand_key) && named(&self.categories, category_key)
    }

    /// Whether something speaks against an opportunity that the rule does not put up with.
    #[must_use]
    pub fn is_kept_from(&self, traps: &[TrapReason]) -> bool {
        traps.iter().any(|trap| self.without_traps.contains(trap))
    }

    /// Whether all thresholds are reached.
    #[must_use]
    pub fn is_reached(&self, figures: &Figures) -> bool {
        self.thresholds
            .iter()
            .all(|(&measure, &threshold)| figures.get(measure).is_some_and(|value| value >= threshold))
    }

    /// Whether a number is known to be below its threshold by more than the hysteresis.
    #[must_use]
    pub fn is_left(&self, figures: &Figures) -> bool {
        self.thresholds
            .iter()
            .any(|(&measure, &threshold)| figures.get(measure).is_some_and(|value| value < threshold.saturating_sub(self.hysteresis)))
    }
}

/// Hundredths as a JSON number with as few decimals as it needs.
fn number(hundredths: i64) -> Value {
    let text = Decimal::new(hundredths, 2).normalize().to_string();
    text.parse::<serde_json::Number>().map_or(Value::Null, Value::Number)
}

/// In the greatest unit that divides it.
fn duration_text(millis: i64) -> String {
    let units = [(DAY, "d"), (60 * MINUTE, "h"), (MINUTE, "m"), (1_000, "s")];
    let fitting = units.into_iter().find(|(unit, _)| millis != 0 && millis % unit == 0);
    match fitting {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None if millis == 0 => "0s".into(),
        None => format!("{millis}ms"),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Reads fields one by one and notes what is wrong. Null counts as left out.
struct Reader<'a> {
    fields: &'a Map<String, Value>,
    known: Vec<&'static str>,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    fn new(fields: &'a Map<String, Value>) -> Self {
        Reader {
            fields,
            known: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    fn mistake(&mut self, field: &str, reason: impl Into<String>) {
        self.mistakes.push(Mistake {
            field: field.to_owned(),
            reason: reason.into(),
        });
    }

    fn get(&mut self, field: &'static str) -> Option<&'a Value> {
        self.known.push(field);
        self.fields.get(field).filter(|value| !value.is_null())
    }

    fn read<T>(&mut self, field: &'static str, expected: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let value = self.get(field)?;
        let read = read(value);
        if read.is_none() {
            self.mistake(field, format!("is {}: {expected} is expected", shown(&value.to_string())));
        }
        read
    }

    /// A field that is missing is a mistake, unless it has been told to be one already.
    fn required<T>(&mut self, field: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.mistakes.iter().any(|mistake| mistake.field == field) {
            self.mistake(field, "is missing");
        }
        value
    }

    fn name<T: FromStr>(&mut self, field: &'static str) -> Option<T> {
        let expected = "a name of 1 to 64 of a-z, 0-9, '-' and '_'";
        self.read(field, expected, |value| value.as_str()?.parse().ok())
    }

    fn text(&mut self, field: &'static str) -> Option<String> {
        self.read(field, "a text of 1 to 300 characters in one line", |value| {
            let text = value.as_str()?.trim();
            let fits = (1..=LONGEST_TEXT).contains(&text.chars().count()) && !text.chars().any(char::is_control);
            fits.then(|| text.to_owned())
        })
    }

    fn flag(&mut self, field: &'static str) -> Option<bool> {
        self.read(field, "true or false", Value::as_bool)
    }

    fn hundredths(&mut self, field: &'static str, bounds: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let shown = |bound: i64| Decimal::new(bound, 2).normalize();
        let expected = format!("a number from {} to {} with at most two decimals", shown(*bounds.start()), shown(*bounds.end()));
        self.read(field, &expected, |value| {
            let Value::Number(number) = value else { return None };
            let text = number.to_string();
            let decimal = Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text)).ok()?;
            let hundredths = decimal.checked_mul(Decimal::ONE_HUNDRED)?;
            let hundredths = hundredths.is_integer().then(|| i64::try_from(hundredths).ok()).flatten()?;
            bounds.contains(&hundredths).then_some(hundredths)
        })
    }

    fn count(&mut self, field: &'static str, bounds: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        self.read(field, &expected, |value| {
            u32::try_from(value.as_u64()?).ok().filter(|count| bounds.contains(count))
        })
    }

    fn duration(&mut self, field: &'static str, bounds: std::ops::RangeInclusive<i64>, expected: &str) -> Option<i64> {
        self.read(field, expected, |value| {
            let millis = i64::try_from(parse_duration(value.as_str()?)?.as_millis()).ok()?;
            bounds.contains(&millis).then_some(millis)
        })
    }

    fn list<T>(&mut self, field: &'static str, read: impl Fn(&str) -> Result<T, &'static str>) -> Option<Vec<T>> {
        let value = self.get(field)?;
        let Some(items) = value.as_array().filter(|items| items.len() <= MOST_NAMES) else {
            self.mistake(field, format!("is {}: a list of at most {MOST_NAMES} is expected", shown(&value.to_string())));
            return None;
        };
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            match item.as_str().map_or(Err("a text is expected"), &read) {
                Ok(item) => list.push(item),
                Err(expected) => self.mistake(field, format!("has {}: {expected}", shown(&item.to_string()))),
            }
        }
        Some(list)
    }

    fn nothing_else(&mut self) {
        let unknown: Vec<&String> = self.fields.keys().filter(|name| !self.known.contains(&name.as_str())).collect();
        for name in unknown {
            let known = self.known.join(", ");
            self.mistake(&shown(name), format!("is unknown; known: {known}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(json: &str) -> Result<Rule, Vec<Mistake>> {
        Rule::parse(&serde_json::from_str(json).expect("JSON"), None)
    }

    fn mistakes(json: &str) -> String {
        let mistakes = parse(json).expect_err("a mistake");
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_rule_needs_an_id_and_a_channel_and_has_defaults_for_the_rest() {
        let rule = parse(r#"{"id": "all", "channel": "mail"}"#).expect("a rule");
        assert_eq!((rule.name.as_str(), rule.enabled, rule.events.len(), rule.daily_cap), ("all", true, 3, 100));
        assert_eq!((rule.hysteresis, rule.cooldown_millis, rule.digest_millis), (100, 0, None));
        assert!(rule.thresholds.is_empty());
    }

    #[test]
    fn all_mistakes_are_told_at_once_by_field() {
        let told = mistakes(
            r#"{"id": "No Name", "events": ["opened", "sold"], "min_margin": "ten", "min_profit": 5.001, "source_markets": ["XX"],
                "brands": [""], "without_traps": ["bad_luck"], "min_confidence": "high", "hysteresis": -1, "cooldown": "soon", "daily_cap": 0, "digest": "1s", "min_gain": 3}"#,
        );
        let fields = "id channel events min_margin min_profit source_markets brands without_traps min_confidence hysteresis cooldown daily_cap digest min_gain";
        for field in fields.split(' ') {
            assert!(told.contains(&format!("{field} ")), "{field}: {told}");
        }
        assert!(mistakes(r#"{"id": "a", "channel": "b", "events": []}"#).starts_with("events is empty"));
        assert!(mistakes("[]").contains("no object"));
    }

    #[test]
    fn amounts_are_exact_to_the_cent_and_no_digit_is_dropped() {
        for (text, expected) in [
            ("5", Some(500)),
            ("5.5", Some(550)),
            ("-0.01", Some(-1)),
            ("1e2", Some(10_000)),
            ("0.005", None),
            ("1e9", None),
        ] {
            let rule = parse(&format!(r#"{{"id": "a", "channel": "b", "min_profit": {text}}}"#));
            let threshold = rule.ok().and_then(|rule| rule.thresholds.get(&Measure::Profit).copied());
            assert_eq!(threshold, expected, "{text}");
        }
    }

    #[test]
    fn routes_brands_and_categories_are_compared_whole_and_without_case() {
        use Marketplace::{DE, ES, IT};
        let rule = parse(r#"{"id": "a", "channel": "b", "source_markets": ["es"], "brands": ["Bosch "], "categories": ["Küche"]}"#).expect("a rule");
        for (source, target, brand, category, expected) in [
            (ES, IT, Some("bosch"), Some("küche"), true),
            (DE, IT, Some("bosch"), Some("küche"), false),
            (ES, DE, Some("bosch siemens"), Some("küche"), false),
            (ES, DE, None, Some("küche"), false),
            (ES, DE, Some("bosch"), None, false),
        ] {
            assert_eq!(
                rule.covers(source, target, brand, category),
                expected,
                "{source} {target} {brand:?} {category:?}"
            );
        }
    }

    fn rule() -> impl Strategy<Value = Rule> {
        let names = prop::collection::vec("[a-zäß]{1,5}", 0..3);
        let markets = prop::sample::subsequence(Marketplace::ALL.to_vec(), 0..3);
        let thresholds = prop::collection::btree_map(prop::sample::select(Measure::ALL.to_vec()), -FURTHEST_THRESHOLD..FURTHEST_THRESHOLD, 0..5);
        let events = prop::sample::subsequence(Wanted::ALL.to_vec(), 1..=3);
        let traps = prop::sample::subsequence(TrapReason::ALL.to_vec(), 0..3);
        let times = (
            0..LONGEST_COOLDOWN,
            prop::option::of(MINUTE..LONGEST_DIGEST),
            0..FURTHEST_THRESHOLD,
            1..=MOST_MESSAGES_A_DAY,
        );
        (
            "[a-z0-9_-]{1,20}",
            any::<bool>(),
            names.clone(),
            names,
            markets.clone(),
            (markets, traps),
            thresholds,
            events,
            times,
        )
            .prop_map(|(id, enabled, brands, categories, source, (target, traps), thresholds, events, times)| Rule {
                name: format!("rule {id}"),
                channel: id.parse().expect("a name"),
                id: id.parse().expect("a name"),
                enabled,
                events: events.into_iter().collect(),
                thresholds,
                source_markets: source.into_iter().collect(),
                target_markets: target.into_iter().collect(),
                brands,
                categories,
                without_traps: traps.into_iter().collect(),
                hysteresis: times.2,
                cooldown_millis: times.0,
                daily_cap: times.3,
                digest_millis: times.1,
            })
    }

    proptest! {
        #[test]
        fn a_rule_comes_back_from_its_json(rule in rule()) {
            let text = rule.to_json().to_string();
            prop_assert_eq!(Rule::parse(&serde_json::from_str(&text).expect("JSON"), None), Ok(rule));
        }
    }
}
