//! Pure: the ECB's daily reference rates as XML, and which rates replace which.
//!
//! The document (`eurofxref-daily.xml`) nests `Cube` elements: one of them has a `time`, the ones inside it `currency` and
//! `rate`, units per 1 EUR. Namespaces, quotes and the number of decimals vary; of several days the newest counts.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use rust_decimal::Decimal;
use shared::domain::rates::RatesOrigin;
use shared::domain::{Currency, ExchangeRates, UnixMillis};
use shared::wire::state::RatesRecord;

/// Rates are looked for again when the last look is this old, milliseconds.
const DUE_AFTER_MILLIS: i64 = 24 * 3_600_000;

/// The rates that ship for simulated data: made up, plausible, dated.
const SHIPPED: &str = include_str!("rates_shipped.xml");

/// What is wrong with a document of rates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum RatesError {
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("it is not well-formed XML: {reason}")]
    NotXml { reason: String },
    #[error("it ends in the middle")]
    Truncated,
    #[error("it has no <Cube> with a time: these are not the ECB's reference rates")]
    NoDay,
    #[error("{text:?} is not a date")]
    InvalidDate { text: String },
    #[error("it has no rate of a currency that is needed")]
    NoRates,
    #[error("a <Cube> has a {present} and no {missing}")]
    Incomplete { present: &'static str, missing: &'static str },
    #[error("the rate of {currency}, {text:?}, is not a number")]
    NotANumber { currency: Currency, text: String },
    #[error("the rate of {currency}, {rate} per euro, is beyond belief: between 0.000001 and 1000000 is expected")]
    Absurd { currency: Currency, rate: Decimal },
    #[error("{currency} has two rates on one day")]
    Contradiction { currency: Currency },
    #[error("its date {date} lies ahead of today")]
    Ahead { date: NaiveDate },
}

/// Reads a document of reference rates.
///
/// Currencies of no marketplace are passed over. `now` bounds the date: rates of a day to come would never be replaced.
///
/// # Errors
/// What is wrong with the document, see [`RatesError`]. Rates are taken whole or not at all.
pub fn parse(xml: &[u8], origin: RatesOrigin, now: UnixMillis) -> Result<ExchangeRates, RatesError> {
    let text = std::str::from_utf8(xml).map_err(|_| RatesError::NotUtf8)?;
    let days = read_days(text.trim_start_matches('\u{feff}'))?;
    let (date, units_per_eur) = days.into_iter().next_back().ok_or(RatesError::NoDay)?;
    if units_per_eur.is_empty() {
        return Err(RatesError::NoRates);
    }
    // The ECB's day may have begun before the day of UTC has.
    if date.signed_duration_since(now.to_utc().date_naive()).num_days() > 1 {
        return Err(RatesError::Ahead { date });
    }
    Ok(ExchangeRates { date, origin, units_per_eur })
}

/// The rates that ship with the product, for simulated data.
#[must_use]
pub fn shipped() -> ExchangeRates {
    parse(SHIPPED.as_bytes(), RatesOrigin::Shipped, UnixMillis(i64::MAX)).expect("the shipped rates are well formed, a test reads them")
}

type Day = BTreeMap<Currency, Decimal>;

fn read_days(text: &str) -> Result<BTreeMap<NaiveDate, Day>, RatesError> {
    let mut reader = Reader::from_str(text);
    let mut days: BTreeMap<NaiveDate, Day> = BTreeMap::new();
    let mut day = None;
    let mut depth = 0_u32;
    loop {
        let event = reader.read_event().map_err(|error| RatesError::NotXml {
            reason: shorten(&error.to_string()),
        })?;
        let element = match &event {
            Event::Eof if depth > 0 => return Err(RatesError::Truncated),
            Event::Eof => return Ok(days),
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                continue;
            }
            Event::Start(element) => {
                depth = depth.saturating_add(1);
                element
            }
            Event::Empty(element) => element,
            _ => continue,
        };
        if element.local_name().as_ref() != b"Cube" {
            continue;
        }
        let cube = Cube::read(element)?;
        if let Some(text) = cube.time {
            let date = text.trim().parse().map_err(|_| RatesError::InvalidDate { text: shorten(&text) })?;
            days.entry(date).or_default();
            day = Some(date);
        }
        let (currency, text) = match (cube.currency, cube.rate) {
            (Some(currency), Some(rate)) => (currency, rate),
            (None, None) => continue,
            (Some(_), None) => {
                return Err(RatesError::Incomplete {
                    present: "currency",
                    missing: "rate",
                });
            }
            (None, Some(_)) => {
                return Err(RatesError::Incomplete {
                    present: "rate",
                    missing: "currency",
                });
            }
        };
        let Ok(currency) = currency.trim().parse::<Currency>() else { continue };
        let rate = read_rate(currency, &text)?;
        let rates = days.get_mut(&day.ok_or(RatesError::NoDay)?).expect("a day is entered when it is met");
        if rates.insert(currency, rate).is_some_and(|before| before != rate) {
            return Err(RatesError::Contradiction { currency });
        }
    }
}

/// The attributes of a `Cube`, whatever their quotes, order and prefixes.
#[derive(Default)]
struct Cube {
    time: Option<String>,
    currency: Option<String>,
    rate: Option<String>,
}

impl Cube {
    fn read(element: &BytesStart<'_>) -> Result<Self, RatesError> {
        let not_xml = |reason: String| RatesError::NotXml { reason: shorten(&reason) };
        let mut cube = Cube::default();
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|error| not_xml(error.to_string()))?;
            let slot = match attribute.key.local_name().as_ref() {
                b"time" => &mut cube.time,
                b"currency" => &mut cube.currency,
                b"rate" => &mut cube.rate,
                _ => continue,
            };
            let value = attribute.unescape_value().map_err(|error| not_xml(error.to_string()))?;
            *slot = Some(value.into_owned());
        }
        Ok(cube)
    }
}

fn read_rate(currency: Currency, text: &str) -> Result<Decimal, RatesError> {
    let text = text.trim();
    // Plain digits and a point: a Decimal also reads underscores.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b".-+".contains(&byte));
    let rate = is_plain.then(|| text.parse::<Decimal>().ok()).flatten();
    let rate = rate.ok_or_else(|| RatesError::NotANumber { currency, text: shorten(text) })?;
    let believable = rate >= Decimal::new(1, 6) && rate <= Decimal::from(1_000_000) && (currency != Currency::EUR || rate == Decimal::ONE);
    if believable { Ok(rate) } else { Err(RatesError::Absurd { currency, rate }) }
}

fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Whether new rates take the place of those held: of a later day, corrected, or from another kind of source (the shipped
/// ones give way to the ECB's, and the other way round when data becomes simulated).
#[must_use]
pub fn replaces(new: &ExchangeRates, held: Option<&ExchangeRates>) -> bool {
    held.is_none_or(|held| new.origin != held.origin || new.date > held.date || (new.date == held.date && new.units_per_eur != held.units_per_eur))
}

/// Whether rates have to be looked for, having last been found in this process at `last_found`.
///
/// A file or the shipped set is looked at once in every process: it costs nothing, and it may have been changed.
#[must_use]
pub fn is_due(held: Option<&RatesRecord>, origin: RatesOrigin, is_local: bool, last_found: Option<UnixMillis>, now: UnixMillis) -> bool {
    let Some(held) = held else { return true };
    if last_found.is_none() && (is_local || held.to_rates().origin != origin) {
        return true;
    }
    let last_look = last_found.map_or(held.fetched_at, |found| found.max(held.fetched_at));
    now.millis_since(last_look) >= DUE_AFTER_MILLIS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-07-10T12:00Z.
    const NOON: UnixMillis = UnixMillis(1_783_684_800_000);

    fn ecb(xml: &str) -> Result<ExchangeRates, RatesError> {
        parse(xml.as_bytes(), RatesOrigin::Ecb, NOON)
    }

    fn cubes(cubes: &str) -> String {
        format!("<Envelope><Cube><Cube time='2026-07-09'>{cubes}</Cube></Cube></Envelope>")
    }

    fn rate(rates: &ExchangeRates, currency: Currency) -> Option<String> {
        rates.units_per_eur.get(&currency).map(ToString::to_string)
    }

    const AS_PUBLISHED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
	<gesmes:subject>Reference rates</gesmes:subject>
	<gesmes:Sender><gesmes:name>European Central Bank</gesmes:name></gesmes:Sender>
	<Cube>
		<Cube time='2026-07-09'>
			<Cube currency='USD' rate='1.1400'/>
			<Cube currency='JPY' rate='171.02'/>
			<Cube currency='BGN' rate='1.9558'/>
			<Cube currency='GBP' rate='0.86120'/>
			<Cube currency='ISK' rate='-'/>
		</Cube>
	</Cube>
</gesmes:Envelope>"#;

    #[test]
    fn the_document_as_published_is_read() {
        let rates = ecb(AS_PUBLISHED).unwrap();
        assert_eq!((rates.date.to_string(), rates.origin), ("2026-07-09".to_owned(), RatesOrigin::Ecb));
        assert_eq!(rates.units_per_eur.len(), 3);
        assert_eq!(rate(&rates, Currency::GBP).as_deref(), Some("0.86120"));
        assert_eq!(rate(&rates, Currency::JPY).as_deref(), Some("171.02"));
    }

    #[test]
    fn quotes_prefixes_order_and_decimals_may_vary() {
        let plain = ecb(AS_PUBLISHED).unwrap();
        for (what, xml) in [
            ("double quotes", AS_PUBLISHED.replace('\'', "\"")),
            ("a byte order mark", format!("\u{feff}{AS_PUBLISHED}")),
            ("carriage returns", AS_PUBLISHED.replace('\n', "\r\n")),
            ("a prefix", AS_PUBLISHED.replace("<Cube", "<e:Cube").replace("</Cube", "</e:Cube")),
            (
                "order",
                AS_PUBLISHED.replace("currency='GBP' rate='0.86120'", "rate = '0.86120'  currency = 'GBP'"),
            ),
            ("elements with an end tag", AS_PUBLISHED.replace("rate='0.86120'/>", "rate='0.86120'></Cube>")),
            ("decimals", AS_PUBLISHED.replace("1.1400", "1.14").replace("171.02", "171.0200")),
            (
                "an older day as well",
                AS_PUBLISHED.replace("<Cube time", "<Cube time='2026-07-08'><Cube currency='USD' rate='9'/></Cube><Cube time"),
            ),
            (
                "an older day after it",
                AS_PUBLISHED.replace(
                    "</gesmes:Envelope>",
                    "<Cube time='2026-07-08'><Cube currency='USD' rate='9'/></Cube></gesmes:Envelope>",
                ),
            ),
            ("comments", AS_PUBLISHED.replace("<Cube>", "<!-- <Cube currency='USD' rate='0'/> --><Cube>")),
            (
                "the same rate twice",
                AS_PUBLISHED.replace("<Cube currency='USD'", "<Cube currency='USD' rate='1.14'/><Cube currency='USD'"),
            ),
        ] {
            assert_eq!(ecb(&xml).as_ref(), Ok(&plain), "{what}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let gbp = |text: &str| cubes(&format!("<Cube currency='GBP' rate='{text}'/>"));
        for (xml, expected) in [
            (String::new(), "no <Cube> with a time"),
            ("<html><body><p>Not found</p></body></html>".into(), "no <Cube> with a time"),
            ("<html><br></html>".into(), "not well-formed"),
            ("{\"rates\":{}}".into(), "no <Cube> with a time"),
            ("<Envelope><Cube currency='GBP' rate='0.86'/></Envelope>".into(), "no <Cube> with a time"),
            (cubes(""), "no rate"),
            (cubes("<Cube currency='XXX' rate='1'/>"), "no rate"),
            (cubes("<Cube currency='GBP'/>"), "a currency and no rate"),
            (cubes("<Cube rate='1'/>"), "a rate and no currency"),
            (cubes("<Cube currency=GBP rate='1'/>"), "not well-formed"),
            (cubes("<Cube currency='GBP' rate='&bad;'/>"), "not well-formed"),
            (gbp(""), "GBP, \"\", is not a number"),
            (gbp("-"), "GBP, \"-\", is not a number"),
            (gbp("0,86"), "GBP, \"0,86\", is not a number"),
            (gbp("1_0"), "not a number"),
            (gbp("8.6e-1"), "not a number"),
            (gbp("NaN"), "not a number"),
            (gbp("99999999999999999999999999999999999999"), "not a number"),
            (gbp("0"), "GBP, 0 per euro, is beyond belief"),
            (gbp("-0.86"), "beyond belief"),
            (gbp("0.0000001"), "beyond belief"),
            (gbp("1000000.1"), "beyond belief"),
            (cubes("<Cube currency='EUR' rate='1.1'/>"), "EUR, 1.1 per euro, is beyond belief"),
            (
                cubes("<Cube currency='GBP' rate='0.86'/><Cube currency='GBP' rate='0.87'/>"),
                "GBP has two rates",
            ),
            (gbp("0.86").replace("2026-07-09", "09.07.2026"), "\"09.07.2026\" is not a date"),
            (gbp("0.86").replace("2026-07-09", "2026-02-30"), "\"2026-02-30\" is not a date"),
            (gbp("0.86").replace("2026-07-09", "2026-07-12"), "2026-07-12 lies ahead"),
        ] {
            let error = ecb(&xml).expect_err(&xml).to_string();
            assert!(error.contains(expected), "{error:?} for {xml}");
        }
        assert_eq!(parse(b"\xff<Cube/>", RatesOrigin::Ecb, NOON), Err(RatesError::NotUtf8));
    }

    #[test]
    fn a_document_cut_anywhere_is_refused_whole() {
        let complete = AS_PUBLISHED.trim_end();
        for end in 0..complete.len() {
            let cut = complete.get(..end).expect("the sample is ASCII");
            assert!(ecb(cut).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn the_shipped_rates_have_every_currency_and_are_named_as_such() {
        let rates = shipped();
        assert_eq!(rates.origin, RatesOrigin::Shipped);
        for currency in Currency::ALL.into_iter().filter(|&currency| currency != Currency::EUR) {
            assert!(rates.units_per_eur.contains_key(&currency), "{currency}");
        }
        assert_eq!(rate(&rates, Currency::GBP).as_deref(), Some("0.85363"));
    }

    #[test]
    fn rates_are_replaced_by_later_corrected_and_other_ones() {
        let of = |date: &str, origin, pounds: &str| ExchangeRates {
            date: date.parse().unwrap(),
            origin,
            units_per_eur: BTreeMap::from([(Currency::GBP, pounds.parse().unwrap())]),
        };
        let held = of("2026-07-09", RatesOrigin::Ecb, "0.86");
        for (new, expected) in [
            (of("2026-07-10", RatesOrigin::Ecb, "0.87"), true),
            (of("2026-07-09", RatesOrigin::Ecb, "0.860"), false),
            (of("2026-07-09", RatesOrigin::Ecb, "0.861"), true),
            (of("2026-07-08", RatesOrigin::Ecb, "0.87"), false),
            (of("2026-01-09", RatesOrigin::Shipped, "0.87"), true),
        ] {
            assert_eq!(replaces(&new, Some(&held)), expected, "{new:?}");
        }
        assert!(replaces(&held, None));
    }

    #[test]
    fn rates_are_due_when_there_are_none_or_a_day_after_the_last_look() {
        let day = DUE_AFTER_MILLIS;
        let record = |fetched_at| RatesRecord::new(&ecb(AS_PUBLISHED).unwrap(), UnixMillis(fetched_at));
        let due = |held: Option<i64>, origin, is_local, found: Option<i64>, now| {
            is_due(held.map(record).as_ref(), origin, is_local, found.map(UnixMillis), UnixMillis(now))
        };
        use RatesOrigin::{Ecb, Shipped};
        assert!(due(None, Ecb, false, None, 0));
        assert!(!due(Some(0), Ecb, false, None, day - 1));
        assert!(due(Some(0), Ecb, false, None, day));
        // A file is read once in every process; another kind of source than before is asked at once.
        assert!(due(Some(0), Ecb, true, None, 1) && !due(Some(0), Ecb, true, Some(1), 2));
        assert!(due(Some(0), Shipped, false, None, 1));
        // What was found and not taken counts as looked at.
        assert!(!due(Some(0), Ecb, false, Some(day), day + 1) && due(Some(0), Ecb, false, Some(day), 2 * day));
    }
}
