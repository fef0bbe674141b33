//! What has to be true after every fault, computed from what was produced alone.
//!
//! The newest observation of each article in each marketplace is in the catalog, or its record is a dead letter; nothing
//! is there that was not produced; each product's last revision was published, and none goes back; what was committed is
//! settled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use serde::Deserialize;
use serde_json::Value;
use shared::adapters::kafka::{Record, Topic};
use shared::domain::{Marketplace, Source, StoredProduct};
use shared::wire::ProductDocument;
use shared::wire::state::HistoryRecord;

use super::world::World;

/// An article in a marketplace.
pub type Place = (String, Marketplace);
/// Keepa's minute and the time of our fetch.
pub type Observed = (i64, i64);

/// A record of the raw topic.
#[derive(Debug, Clone)]
pub struct Entry {
    pub place: Place,
    pub observed: Observed,
    /// The record brought what the price was before, and so did every other of its place.
    pub has_history: bool,
}

/// What was produced, by offset.
#[derive(Debug, Default)]
pub struct Books {
    produced: BTreeMap<i64, Entry>,
}

impl Books {
    pub fn note(&mut self, offset: i64, entry: Entry) {
        self.produced.insert(offset, entry);
    }

    /// The next offset.
    pub fn end(&self) -> i64 {
        self.produced.last_key_value().map_or(0, |(offset, _)| offset + 1)
    }

    /// What was produced before this offset was not.
    pub fn forget_before(&mut self, offset: i64) {
        self.produced = self.produced.split_off(&offset);
    }
}

#[derive(Deserialize)]
struct Published {
    asin: String,
    revision: i64,
}

impl World {
    /// The products behind the alias, as stored.
    pub fn products(&self) -> BTreeMap<String, StoredProduct> {
        let documents = self.server.store().documents("products");
        let product = |source| -> StoredProduct { serde_json::from_value::<ProductDocument>(source).expect("a product").into() };
        documents.into_iter().map(|(id, source)| (id, product(source))).collect()
    }

    fn stored(&self) -> BTreeMap<Place, Observed> {
        let mut stored = BTreeMap::new();
        for (asin, product) in self.products() {
            for (marketplace, sources) in product.product.markets {
                let latest = sources[Source::Keepa].latest;
                let observed = (i64::from(latest.last_update.0), latest.fetched_at.0);
                stored.insert((asin.clone(), marketplace), observed);
            }
        }
        stored
    }

    fn stored_histories(&self) -> BTreeMap<Place, Observed> {
        let documents = self.server.store().documents("state-histories");
        let history = |(id, source): (String, Value)| {
            let (asin, marketplace) = id.split_once(':').expect("ASIN:MARKET");
            let history: HistoryRecord = serde_json::from_value(source["body"].clone()).expect("a history");
            let observed = (i64::from(history.observed_at.last_update.0), history.observed_at.fetched_at.0);
            ((asin.to_owned(), marketplace.parse().expect("a marketplace")), observed)
        };
        documents.into_iter().map(history).collect()
    }

    /// What was published of products: ASIN and revision, in order.
    pub async fn published(&self) -> Vec<(String, i64)> {
        let records = self.records(Topic::EnrichedProducts).await.into_iter();
        let published = records.map(|record| {
            let product: Published = serde_json::from_slice(&record.payload.expect("a value")).expect("a product");
            (product.asin, product.revision)
        });
        published.collect()
    }

    pub async fn dead_letters(&self) -> Vec<Record> {
        self.records(Topic::RawUpdatesDlq).await
    }

    /// What has to hold at any moment, with a fault or without: what was let go is settled.
    pub async fn assert_nothing_unsettled_was_let_go(&self) {
        // In this order: what is settled later does not matter.
        let committed = self.committed().await;
        let letters = origins(&self.dead_letters().await);
        let stored = self.stored();
        let histories = self.stored_histories();
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        for (offset, entry) in books.produced.range(..committed) {
            let is_in = |stored: &BTreeMap<Place, Observed>| stored.get(&entry.place).is_some_and(|held| *held >= entry.observed);
            let held = is_in(&stored) && (!entry.has_history || is_in(&histories));
            assert!(
                held || letters.contains(offset),
                "offset {offset} was let go of {committed}, and {entry:?} is nowhere"
            );
        }
    }

    /// Waits until all is settled, and checks the books. Gives the dead letters.
    pub async fn balance(&self) -> Vec<Record> {
        self.settled().await;
        let letters = self.dead_letters().await;
        self.check_stored(&origins(&letters));
        self.check_published(&self.published().await);
        let unknown = self.server.store().unknown.clone();
        assert!(unknown.is_empty(), "the fake server was asked for {unknown:?}");
        assert_eq!(self.server.store().made_by_accident(), Vec::<String>::new(), "an index was made by accident");
        letters
    }

    fn check_stored(&self, letters: &BTreeSet<i64>) {
        let stored = self.stored();
        let histories = self.stored_histories();
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newest: BTreeMap<&Place, Observed> = BTreeMap::new();
        for (offset, entry) in &books.produced {
            let held = stored.get(&entry.place);
            assert!(
                letters.contains(offset) || held.is_some_and(|held| *held >= entry.observed),
                "{entry:?} of offset {offset} is neither in the catalog, which has {held:?}, nor a dead letter"
            );
            if entry.has_history {
                assert_eq!(histories.get(&entry.place), stored.get(&entry.place), "the history of {:?}", entry.place);
            }
            let newest = newest.entry(&entry.place).or_insert(entry.observed);
            *newest = entry.observed.max(*newest);
        }
        for (place, observed) in &stored {
            let produced = newest.get(place);
            assert!(
                produced.is_some_and(|newest| observed <= newest),
                "{place:?} of {observed:?} was never produced"
            );
        }
    }

    fn check_published(&self, published: &[(String, i64)]) {
        let mut last: BTreeMap<&str, i64> = BTreeMap::new();
        for (asin, revision) in published {
            let before = last.insert(asin, *revision);
            assert!(
                before.is_none_or(|before| before <= *revision),
                "{asin} {revision} was published after {before:?}"
            );
        }
        for (asin, product) in self.products() {
            assert_eq!(
                last.get(asin.as_str()),
                Some(&product.revision),
                "the last revision of {asin} was not published last"
            );
        }
    }
}

/// The offsets of the records that became these dead letters.
pub fn origins(letters: &[Record]) -> BTreeSet<i64> {
    let origin = |letter: &Record| -> i64 {
        let text = letter.header("dlq.offset").and_then(|value| std::str::from_utf8(value).ok());
        text.and_then(|text| text.parse().ok()).expect("a dead letter says where it comes from")
    };
    letters.iter().map(origin).collect()
}
