//! From a record of `raw.keepa_updates` to what it says of one product in one marketplace. Pure.
//!
//! Two forms are read: envelope v1 around Keepa's product object, and the bare form of an older feed
//! (`{"asin","domain","title","stats":{"current":4999}}`). Keepa's sentinels (-1, -2, 0, [-1,-1], "") end here.
//!
//! What a record was *not asked for* is left out of the update, so that it erases nothing; what it was asked for and has
//! not is an empty fact, which does (`keepa.rs` says which is which).
//!
//! ```
//! # use enricher::decode::{Input, decode};
//! # use shared::domain::{KeepaMinutes, Marketplace, Source, UnixMillis};
//! let payload = br#"{"asin":"B0D1XD1ZV3","domain":3,"title":"Lamp","stats":{"current":4999}}"#;
//! let input = Input { key: Some(b"B0D1XD1ZV3"), payload: Some(payload), timestamp: UnixMillis(1_768_132_800_000) };
//! let decoded = decode(&input, UnixMillis(1_768_132_800_500)).unwrap();
//! let state = &decoded.update.markets[&Marketplace::DE][Source::Feed];
//! assert_eq!(state.prices.as_ref().unwrap().facts.new, Some(4999));
//! ```

mod json;
mod keepa;
mod scan;
mod sellers;
#[cfg(test)]
mod tests;
mod title;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::IgnoredAny;
use shared::adapters::kafka::Record;
use shared::domain::price::{AttributeFacts, PriceFacts};
use shared::domain::{Asin, KeepaMinutes, MarketState, Marketplace, ObservedAt, Product, Register, Source, UnixMillis};
use shared::wire::state::HistoryRecord;

use json::{Wishes, told};
use scan::{Field, Members, Object, Scanner, Stop};

/// How far ahead of this machine's clock a record may be. Beyond, it would freeze its marketplace: nothing true would
/// ever be newer.
pub const CLOCK_TOLERANCE_MILLIS: i64 = 5 * 60_000;

/// The header that carries a dead letter's own time: its replay has the present one.
pub const DEAD_LETTER_TIMESTAMP: &str = "dlq.timestamp";

/// What of a record is decoded.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Has to be the record's ASIN, upper case: the key decides who works on it.
    pub key: Option<&'a [u8]>,
    /// The JSON.
    pub payload: Option<&'a [u8]>,
    /// When the record was made; the bare form has no time of its own.
    pub timestamp: UnixMillis,
}

impl<'a> Input<'a> {
    /// A record as it was read. A replayed dead letter has the time of its first life.
    #[must_use]
    pub fn of(record: &'a Record) -> Self {
        Input {
            key: record.key.as_deref(),
            payload: record.payload.as_deref(),
            timestamp: timestamp_of(record),
        }
    }
}

/// When a record was made: `dlq.timestamp` where it is a replayed dead letter, else the record's timestamp.
#[must_use]
pub fn timestamp_of(record: &Record) -> UnixMillis {
    let replayed = record
        .header(DEAD_LETTER_TIMESTAMP)
        .and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok());
    UnixMillis(replayed.unwrap_or(record.timestamp_ms))
}

/// A record that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// One marketplace of one source.
    pub update: Product,
    /// Fields of a wrong type that were left out because nothing depends on them.
    pub ignored_fields: u32,
}

/// Why a record is no update, and never will be: it goes to the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For headers and metrics.
    pub class: RefusalClass,
    /// For people; names what is wrong, at most 500 bytes, never the payload.
    pub message: String,
}

impl Refusal {
    /// A refusal; the message is cut where it is too long for a header.
    #[must_use]
    pub fn new(class: RefusalClass, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        message.truncate(message.floor_char_boundary(500));
        Refusal { class, message }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.class.name(), self.message)
    }
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalClass {
    /// Not UTF-8, not JSON, or not an object.
    Json,
    /// No value.
    Empty,
    /// An envelope of an unknown version.
    Version,
    /// The record's key is not its ASIN.
    Key,
    /// No ASIN, or two different ones.
    Asin,
    /// No marketplace, an unknown or reserved one, or two different ones.
    Domain,
    /// A time that is missing, or too far ahead of the clock.
    Clock,
    /// A field that a price depends on has another type than it should.
    Shape,
    /// The catalog refuses the document.
    Catalog,
}

impl RefusalClass {
    /// The name in headers and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RefusalClass::Json => "json",
            RefusalClass::Empty => "empty",
            RefusalClass::Version => "version",
            RefusalClass::Key => "key",
            RefusalClass::Asin => "asin",
            RefusalClass::Domain => "domain",
            RefusalClass::Clock => "clock",
            RefusalClass::Shape => "shape",
            RefusalClass::Catalog => "catalog",
        }
    }
}

/// The fields of both forms. Borrowed and unread, so that each can be refused for its own reason.
#[derive(Debug, Default)]
struct Head<'a> {
    v: Field<'a>,
    asin: Field<'a>,
    domain_id: Field<'a>,
    fetched_at_ms: Field<'a>,
    source: Field<'a>,
    product: Object<'a, keepa::KeepaProduct<'a>>,
    domain: Field<'a>,
    title: Field<'a>,
    stats: Object<'a, BareStats<'a>>,
}

impl<'a> Members<'a> for Head<'a> {
    fn member(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
        let field = match name {
            "v" => &mut self.v,
            "asin" => &mut self.asin,
            "domain_id" => &mut self.domain_id,
            "fetched_at_ms" => &mut self.fetched_at_ms,
            "source" => &mut self.source,
            "product" => return scanner.descend(&mut self.product),
            "domain" => &mut self.domain,
            "title" => &mut self.title,
            "stats" => return scanner.descend(&mut self.stats),
            _ => return scanner.pass_over(),
        };
        scanner.keep(field)
    }
}

#[derive(Debug, Default)]
struct BareStats<'a> {
    current: Field<'a>,
}

impl<'a> Members<'a> for BareStats<'a> {
    fn member(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
        match name {
            "current" => scanner.keep(&mut self.current),
            _ => scanner.pass_over(),
        }
    }
}

/// What a record says, as of `now`.
///
/// # Errors
/// The refusal, by class.
pub fn decode(input: &Input<'_>, now: UnixMillis) -> Result<Decoded, Refusal> {
    understand(input, &head_of(input)?, now)
}

/// A record that was understood, and what it tells of its marketplace's price over time; none where it brought no history.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedWithHistory {
    /// As [`decode`] gives it.
    pub decoded: Decoded,
    /// What the record tells of its marketplace's price over time; most bring nothing of it.
    pub history: Option<(Asin, Marketplace, HistoryRecord)>,
}

/// [`decode`], and the history that a record brought: it is read once for both.
///
/// # Errors
/// The refusal, by class.
pub fn decode_with_history(input: &Input<'_>, now: UnixMillis) -> Result<DecodedWithHistory, Refusal> {
    let head = head_of(input)?;
    let decoded = understand(input, &head, now)?;
    let history = history_of(&head, &decoded.update, now);
    Ok(DecodedWithHistory { decoded, history })
}

/// The history of a record that was taken: that of what becomes a dead letter, were it of tomorrow, would stand for ever.
fn history_of(head: &Head<'_>, update: &Product, now: UnixMillis) -> Option<(Asin, Marketplace, HistoryRecord)> {
    told(head.product.text)?;
    let history = head.product.members.history(update.last_updated, now)?;
    let (&marketplace, _) = update.markets.first_key_value()?;
    Some((update.asin, marketplace, history))
}

/// The record, read once from front to back.
fn head_of<'a>(input: &Input<'a>) -> Result<Head<'a>, Refusal> {
    let refuse = |class, message: &str| Err(Refusal::new(class, message));
    let Some(payload) = input.payload.filter(|payload| !payload.is_empty()) else {
        return refuse(RefusalClass::Empty, "the record has no value");
    };
    let Ok(text) = std::str::from_utf8(payload) else {
        return refuse(RefusalClass::Json, "the value is not UTF-8");
    };
    if !text.trim_ascii_start().starts_with('{') {
        // Syntax first: the message of something cut in the middle should say so.
        return match Scanner::new(text).only_value() {
            Ok(value) => Err(Refusal::new(
                RefusalClass::Json,
                format!("the value is {}, an object is expected", value.kind()),
            )),
            Err(_) => Err(Refusal::new(
                RefusalClass::Json,
                format!("the value is not JSON: {}", scan::trouble::<IgnoredAny>(text)),
            )),
        };
    }
    let mut head = Head::default();
    let mut scanner = Scanner::new(text);
    let read = scanner.members(&mut head).and_then(|()| Ok(scanner.end()?));
    let (class, why) = match read {
        Ok(()) => return Ok(head),
        Err(Stop::Twice(why)) => (RefusalClass::Shape, why),
        Err(_) => (RefusalClass::Json, scan::trouble::<BTreeMap<String, IgnoredAny>>(text)),
    };
    Err(Refusal::new(class, format!("the value cannot be read: {why}")))
}

fn understand(input: &Input<'_>, head: &Head<'_>, now: UnixMillis) -> Result<Decoded, Refusal> {
    let is_envelope = told(head.v).or(told(head.product.text)).or(told(head.domain_id)).is_some();
    if is_envelope { envelope(input, head, now) } else { bare(input, head, now) }
}

/// `{"v":1,"asin","domain_id","fetched_at_ms","source","run_id","product"}`.
fn envelope(input: &Input<'_>, head: &Head<'_>, now: UnixMillis) -> Result<Decoded, Refusal> {
    match told(head.v).map(|version| (json::integer(version), version)) {
        Some((Some(1), _)) => {}
        Some((Some(version), _)) => return Err(Refusal::new(RefusalClass::Version, format!("envelope version {version} is not known, 1 is"))),
        Some((None, version)) => {
            return Err(Refusal::new(
                RefusalClass::Version,
                format!("the envelope's version is {}, 1 is expected", version.kind()),
            ));
        }
        None => return Err(Refusal::new(RefusalClass::Version, "the envelope has no version (v)")),
    }
    let asin = asin_of("asin", head.asin)?;
    check_key(input, asin)?;
    let marketplace = marketplace_of("domain_id", head.domain_id)?;
    let fetched_at = json::needed_time("fetched_at_ms", head.fetched_at_ms)?
        .map(UnixMillis)
        .ok_or_else(|| Refusal::new(RefusalClass::Shape, "the envelope has no fetched_at_ms"))?;
    check_clock("fetched_at_ms", fetched_at, now)?;
    let source = match told(head.source) {
        None => Source::Keepa,
        Some(source) => match source.text().as_deref() {
            Some("observation") => Source::Observation,
            Some(_) => Source::Keepa,
            None => return Err(Refusal::new(RefusalClass::Shape, format!("source is {}, a text is expected", source.kind()))),
        },
    };
    let product = json::needed_object("product", &head.product)?.ok_or_else(|| Refusal::new(RefusalClass::Shape, "the envelope has no product"))?;
    if told(product.asin).is_some() {
        let inner = asin_of("product.asin", product.asin)?;
        if inner != asin {
            return Err(Refusal::new(RefusalClass::Asin, format!("the envelope is of {asin}, its product of {inner}")));
        }
    }
    if told(product.domain_id).is_some() {
        let inner = marketplace_of("product.domainId", product.domain_id)?;
        if inner != marketplace {
            return Err(Refusal::new(
                RefusalClass::Domain,
                format!("the envelope is of {marketplace}, its product of {inner}"),
            ));
        }
    }
    let wishes = Wishes::default();
    let state = product.state(fetched_at, now, &wishes)?;
    Ok(Decoded {
        update: Product::from_record(asin, marketplace, source, state),
        ignored_fields: wishes.ignored(),
    })
}

/// `{"asin","domain","title","stats":{"current"}}`: no envelope, the price is the lowest new offer.
fn bare(input: &Input<'_>, head: &Head<'_>, now: UnixMillis) -> Result<Decoded, Refusal> {
    let asin = asin_of("asin", head.asin)?;
    check_key(input, asin)?;
    let marketplace = marketplace_of("domain", head.domain)?;
    check_clock("the record's timestamp", input.timestamp, now)?;
    let observed_at = ObservedAt {
        last_update: KeepaMinutes::from_unix(input.timestamp),
        fetched_at: input.timestamp,
    };
    let mut state = MarketState::observed(observed_at);
    if let Some(stats) = json::needed_object("stats", &head.stats)?
        && let Some(current) = json::needed_integer("stats.current", stats.current)?
    {
        let facts = PriceFacts {
            new: (current > 0).then_some(current),
            ..PriceFacts::default()
        };
        state.prices = Some(Register::new(observed_at, facts));
    }
    let wishes = Wishes::default();
    if let Some(title) = wishes.text(head.title).as_deref().and_then(title::plain) {
        let facts = AttributeFacts {
            title: Some(title),
            ..AttributeFacts::default()
        };
        state.attributes = Some(Register::new(observed_at, facts));
    }
    Ok(Decoded {
        update: Product::from_record(asin, marketplace, Source::Feed, state),
        ignored_fields: wishes.ignored(),
    })
}

fn asin_of(name: &str, field: Field<'_>) -> Result<Asin, Refusal> {
    let refuse = |message| Err(Refusal::new(RefusalClass::Asin, message));
    let Some(json) = told(field) else {
        return refuse(format!("{name} is missing"));
    };
    // A number is refused on purpose: leading zeros would be gone.
    let Some(text) = json.text() else {
        return refuse(format!("{name} is {}, a text is expected", json.kind()));
    };
    text.parse().or_else(|error: shared::domain::asin::InvalidAsin| refuse(error.to_string()))
}

fn marketplace_of(name: &str, field: Field<'_>) -> Result<Marketplace, Refusal> {
    let refuse = |message| Err(Refusal::new(RefusalClass::Domain, message));
    let Some(json) = told(field) else {
        return refuse(format!("{name} is missing"));
    };
    let Some(id) = json::integer(json) else {
        return refuse(format!(
            "{name} is {}, a Keepa domain id is expected",
            if json::decimal(json).is_some() { "no whole number" } else { json.kind() }
        ));
    };
    Marketplace::from_keepa_id(id).or_else(|error| refuse(error.to_string()))
}

fn check_key(input: &Input<'_>, asin: Asin) -> Result<(), Refusal> {
    if input.key == Some(asin.as_str().as_bytes()) {
        return Ok(());
    }
    let key = input.key.map_or_else(
        || "missing".to_owned(),
        |key| format!("{:?}", String::from_utf8_lossy(&key[..key.len().min(40)])),
    );
    Err(Refusal::new(RefusalClass::Key, format!("the record's key is {key}, its ASIN {asin}")))
}

fn check_clock(name: &str, instant: UnixMillis, now: UnixMillis) -> Result<(), Refusal> {
    if instant.0 <= 0 {
        return Err(Refusal::new(
            RefusalClass::Clock,
            format!("{name} is {}, which is no time after 1970", instant.0),
        ));
    }
    let ahead = instant.millis_since(now);
    if ahead > CLOCK_TOLERANCE_MILLIS {
        let seconds = ahead / 1000;
        return Err(Refusal::new(
            RefusalClass::Clock,
            format!("{name} ({instant}) lies {seconds} s ahead of the clock"),
        ));
    }
    Ok(())
}
