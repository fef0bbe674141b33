//! Settings and records for the tests of the machine.

use std::time::Duration;

use shared::adapters::kafka::{Record, RecordOffset, Topic};
use shared::domain::{Marketplace, Staleness};
use shared::ports::catalog::Version;

use super::Settings;

pub(super) const START: i64 = 1_768_132_800_000;
pub(super) const HIGH_WATER: usize = 12_000;
/// What is refused by the catalog, in every document that carries it.
const POISON: i64 = 666;

pub(super) fn settings(seed: u64) -> Settings {
    Settings {
        markets: vec![Marketplace::DE, Marketplace::IT, Marketplace::ES, Marketplace::UK],
        staleness: Staleness::default(),
        batch_products: 3,
        linger: Duration::from_millis(5),
        max_calls: 3,
        high_water_bytes: HIGH_WATER,
        low_water_bytes: HIGH_WATER / 4,
        member_bytes: 2 * HIGH_WATER,
        window_records: 20,
        cache_bytes: 12_000,
        known_records: 16,
        new_in_a_row: 2,
        dead_letter_percent: 50,
        dead_letter_pause: Duration::from_millis(20),
        seed,
    }
}

/// One record of the log that is to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Written {
    /// A price of an article in a marketplace, as of a moment.
    Price { article: u8, market: Marketplace, at: i64, price: i64 },
    /// Not JSON.
    Garbage { article: u8 },
    /// A price that the catalog refuses, in a marketplace of its own.
    Poison { article: u8, at: i64 },
}

impl Written {
    pub(super) fn is_bad(self) -> bool {
        !matches!(self, Written::Price { .. })
    }

    pub(super) fn record(self, partition: i32, offset: i64) -> Record {
        let (article, at, payload) = match self {
            Written::Garbage { article } => (article, 0, "not json".to_owned()),
            Written::Price { article, market, at, price } => (article, at, body(article, partition, market, price)),
            Written::Poison { article, at } => (article, at, body(article, partition, Marketplace::UK, POISON)),
        };
        Record {
            topic: Topic::RawUpdates,
            partition,
            offset: RecordOffset(offset),
            key: Some(asin(article, partition).into()),
            payload: Some(payload.into()),
            timestamp_ms: START + at,
            headers: vec![],
        }
    }
}

pub(super) fn asin(article: u8, partition: i32) -> String {
    format!("B0000{partition}00{article:02}")
}

fn body(article: u8, partition: i32, market: Marketplace, price: i64) -> String {
    format!(
        r#"{{"asin":"{}","domain":{},"stats":{{"current":{price}}}}}"#,
        asin(article, partition),
        market.keepa_id()
    )
}

pub(super) fn version(seq_no: u64) -> Version {
    Version {
        index: "products-v1".into(),
        seq_no,
        primary_term: 1,
    }
}
