//! Seeded records like Keepa's, and the truth that has to come out of them. Pure: the same seed gives the same bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;
use serde_json::value::RawValue;
use shared::adapters::kafka::Message;
use shared::domain::{Asin, Marketplace, Money, UnixMillis};
use shared::wire::RawUpdate;

/// Where each article is sold.
const MARKETS: [Marketplace; 5] = [Marketplace::DE, Marketplace::FR, Marketplace::IT, Marketplace::ES, Marketplace::UK];
/// Of a hundred records so many are cut off, come twice, and are older than one before them.
const ODD_PERCENT: usize = 1;
/// Keepa's price series.
const SERIES: usize = 34;
/// Where `NEW` stands in them.
const NEW: usize = 1;
/// Statistics that have a value for each series.
const STATISTICS: [&str; 12] = [
    "avg",
    "avg30",
    "avg90",
    "avg180",
    "avg365",
    "atIntervalStart",
    "outOfStockPercentage30",
    "outOfStockPercentage90",
    "outOfStockPercentageInInterval",
    "outOfStockCountAmazon30",
    "deltaPercent30_monthlySold",
    "deltaPercent90_monthlySold",
];

/// In which order records come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The marketplaces of an article one after the other, as a backfill asks for them.
    Close,
    /// Any.
    Shuffled,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Good,
    /// Cut off: it belongs into the dead letters.
    Malformed,
    /// Of an earlier moment than one that came before, with another price.
    Older,
}

#[derive(Debug, Clone, Copy)]
struct Planned {
    article: usize,
    market: Marketplace,
    kind: Kind,
}

/// A number of records, and what they come to.
#[derive(Debug, Clone)]
pub struct Records {
    planned: Vec<Planned>,
    fetched_at: UnixMillis,
    /// Prices differ with it: 0 is what a first fill brings, 1 overwrites it.
    generation: i64,
}

impl Records {
    /// About so many, the odd ones among them. `fetched_at` is when the newest were fetched.
    #[must_use]
    pub fn plan(count: usize, order: Order, seed: u64, generation: i64, fetched_at: UnixMillis) -> Records {
        let mut random = SmallRng::seed_from_u64(seed);
        let good = (0..count.div_ceil(MARKETS.len())).flat_map(|article| {
            MARKETS.into_iter().map(move |market| Planned {
                article,
                market,
                kind: Kind::Good,
            })
        });
        let mut good: Vec<Planned> = good.collect();
        if order == Order::Shuffled {
            good.shuffle(&mut random);
        }
        let mut planned = Vec::with_capacity(good.len() + good.len() * 3 * ODD_PERCENT / 100);
        for record in good {
            planned.push(record);
            for kind in [Kind::Good, Kind::Malformed, Kind::Older] {
                if random.random_range(0..100) < ODD_PERCENT {
                    planned.push(Planned { kind, ..record });
                }
            }
        }
        Records {
            planned,
            fetched_at,
            generation,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.planned.len()
    }

    /// How many belong into the dead letters.
    #[must_use]
    pub fn malformed(&self) -> usize {
        self.planned.iter().filter(|planned| planned.kind == Kind::Malformed).count()
    }

    /// One after the other.
    pub fn messages(&self) -> impl Iterator<Item = Message> + '_ {
        self.planned.iter().map(|planned| self.message(*planned))
    }

    /// What has to be shown in the end: every article's price in each marketplace.
    #[must_use]
    pub fn truth(&self) -> BTreeMap<Asin, BTreeMap<Marketplace, Money>> {
        let mut truth: BTreeMap<Asin, BTreeMap<Marketplace, Money>> = BTreeMap::new();
        for planned in &self.planned {
            let price = Money::new(self.price(*planned, Kind::Good), planned.market.currency());
            truth.entry(asin(planned.article)).or_default().insert(planned.market, price);
        }
        truth
    }

    /// Minor units.
    fn price(&self, planned: Planned, kind: Kind) -> i64 {
        let article = i64::try_from(planned.article).expect("few");
        let of_market = i64::from(planned.market.keepa_id());
        1_000 + (article * 7 + of_market * 113 + self.generation * 31) % 20_000 + if kind == Kind::Older { 50_000 } else { 0 }
    }

    fn message(&self, planned: Planned) -> Message {
        let fetched_at = match planned.kind {
            Kind::Older => self.fetched_at.plus_millis(-60_000),
            Kind::Good | Kind::Malformed => self.fetched_at,
        };
        let asin = asin(planned.article);
        let mut message = message(asin, planned.article, planned.market, self.price(planned, planned.kind), fetched_at);
        if planned.kind == Kind::Malformed
            && let Some(payload) = &mut message.payload
        {
            payload.truncate(payload.len() / 2);
        }
        message
    }
}

/// An article of its own that is for sale in two marketplaces, far apart in price.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    number: usize,
    asin: Asin,
    at: UnixMillis,
}

impl Probe {
    /// The one of this number, seen at a moment.
    #[must_use]
    pub fn new(number: usize, at: UnixMillis) -> Probe {
        let asin = format!("BP{number:08}").parse().expect("an ASIN");
        Probe { number, asin, at }
    }

    /// Its price in the dear marketplace.
    #[must_use]
    pub fn first(&self) -> Message {
        message(self.asin, self.number, Marketplace::IT, 9_000, self.at)
    }

    /// Its price in the cheap one.
    #[must_use]
    pub fn second(&self) -> Message {
        message(self.asin, self.number, Marketplace::DE, 4_000, self.at)
    }

    /// The article.
    #[must_use]
    pub fn asin(&self) -> Asin {
        self.asin
    }

    /// The id of the opportunity that they make.
    #[must_use]
    pub fn opportunity(&self) -> String {
        format!("{}:DE:IT", self.asin)
    }
}

/// A record as the producer publishes it.
fn message(asin: Asin, number: usize, market: Marketplace, price: i64, fetched_at: UnixMillis) -> Message {
    let product = RawValue::from_string(product(asin, number, market, price)).expect("JSON");
    let bytes = RawUpdate::new(asin, market, fetched_at, "watchlist", None, &product).to_bytes();
    Message::new(asin.as_str(), Some(bytes))
}

/// As Keepa tells it without its history, which comes every 30 days only: 4 to 6 kB.
fn product(asin: Asin, number: usize, market: Marketplace, price: i64) -> String {
    let mut random = SmallRng::seed_from_u64(u64::try_from(price).unwrap_or_default() ^ (u64::try_from(number).unwrap_or_default() << 20));
    let mut text = String::with_capacity(6_000);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        r#"{{"asin":"{asin}","domainId":{},"productType":0,"title":"Brightwell Schreibtischlampe {} dimmbar, warmweiß","brand":"Brightwell","manufacturer":"Brightwell Ltd","model":"BW-{}","rootCategory":1000,"categoryTree":[{{"catId":1000,"name":"Lighting"}},{{"catId":1001,"name":"Desk lamps"}}],"imagesCSV":"61{asin}L.jpg,71{asin}L.jpg","eanList":["40000{:08}"],"packageWeight":840,"packageLength":310,"packageWidth":180,"packageHeight":120,"features":["#,
        market.keepa_id(),
        number,
        number % 1_000,
        number
    );
    for feature in 0..5 {
        let _ = write!(
            text,
            r#"{}"{}: {} lumen, {} hours, a line of text that shops write about what they sell, number {}""#,
            if feature == 0 { "" } else { "," },
            ["Bright", "Frugal", "Sturdy", "Quiet", "Safe"][feature],
            random.random_range(200..900),
            random.random_range(1_000..9_000),
            random.random_range(0..1_000_000)
        );
    }
    text.push_str(r#"],"description":""#);
    for _ in 0..12 {
        let _ = write!(
            text,
            "Sentence {} of what the shop tells about the article, which nobody here reads. ",
            random.random_range(0..1_000_000)
        );
    }
    text.push_str(r#"","stats":{"current":"#);
    series(&mut text, &mut random, Values::Current(price));
    for name in STATISTICS {
        let _ = write!(text, r#","{name}":"#);
        series(
            &mut text,
            &mut random,
            if name.contains("ercent") { Values::Percentages } else { Values::Averages },
        );
    }
    for name in ["min", "max"] {
        let _ = write!(text, r#","{name}":["#);
        for index in 0..SERIES {
            let comma = if index == 0 { "" } else { "," };
            if random.random_bool(0.5) {
                let _ = write!(text, "{comma}null");
            } else {
                let _ = write!(
                    text,
                    "{comma}[{},{}]",
                    7_000_000 + random.random_range(0..500_000),
                    random.random_range(500..40_000)
                );
            }
        }
        text.push(']');
    }
    let _ = write!(
        text,
        r#","salesRankDrops30":{},"salesRankDrops90":{},"totalOfferCount":{}}}}}"#,
        random.random_range(0..40),
        random.random_range(0..120),
        random.random_range(1..30)
    );
    text
}

/// What a row of values holds.
#[derive(Debug, Clone, Copy)]
enum Values {
    /// The price of `NEW`, and no other that might be shown in its place.
    Current(i64),
    Averages,
    Percentages,
}

/// A value for each of Keepa's series.
fn series(text: &mut String, random: &mut SmallRng, values: Values) {
    text.push('[');
    for index in 0..SERIES {
        let comma = if index == 0 { "" } else { "," };
        let is_there = random.random_bool(0.6);
        let value = match values {
            Values::Current(price) if index == NEW => price,
            Values::Averages if is_there => random.random_range(0..40_000),
            Values::Percentages if is_there => random.random_range(0..100),
            _ => -1,
        };
        let _ = write!(text, "{comma}{value}");
    }
    text.push(']');
}

fn asin(article: usize) -> Asin {
    format!("BN{article:08}").parse().expect("an ASIN")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixMillis = UnixMillis(1_768_132_800_000);

    #[test]
    fn a_seed_gives_the_same_records_and_they_are_as_large_as_keepas() {
        let plan = || Records::plan(1_000, Order::Shuffled, 7, 0, NOON);
        let payloads: Vec<_> = plan().messages().map(|message| message.payload).collect();
        assert_eq!(payloads, plan().messages().map(|message| message.payload).collect::<Vec<_>>());
        let sizes: Vec<usize> = payloads.iter().flatten().map(Vec::len).collect();
        let mean = sizes.iter().sum::<usize>() / sizes.len();
        assert!((4_000..6_000).contains(&mean), "{mean}");
    }

    #[test]
    fn every_article_has_five_prices_whatever_the_odd_ones_say() {
        let records = Records::plan(1_000, Order::Close, 7, 0, NOON);
        let truth = records.truth();
        assert_eq!(truth.len(), 200);
        assert!(truth.values().all(|prices| prices.len() == 5));
        assert!(records.malformed() > 0 && records.len() > 1_000 + records.malformed());
    }
}
