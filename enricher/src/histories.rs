//! What articles cost over time, for people to look at: kept beside the product, since it comes rarely and is larger than
//! all else that is known of an article.
//!
//! A history waits here from its record's arrival until the article's product is written, and is written just before it. So
//! the order holds: history, product, offset; a crash between two of them brings the record again. A history whose record
//! changes nothing of the product is one that was written before: it waits for the article's next write, or makes room.

use std::collections::BTreeMap;

use shared::domain::{Asin, Marketplace};
use shared::ports::Catalog;
use shared::ports::catalog::{Condition, StateKind, StateRecord, Write, WriteOutcome};
use shared::wire::state::HistoryRecord;

/// Changes of prices that wait at most, all articles together: 16 MiB, and more than the records in flight can bring, of
/// which each change takes a dozen bytes and only one series of many is kept.
const MOST_POINTS: usize = 1_000_000;
/// Another owner of the partition may write at the same time, during a rebalance only.
const TRIES: usize = 3;

/// Histories that wait for their article's product to be written.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    waiting: BTreeMap<(Asin, Marketplace), (u64, HistoryRecord)>,
    /// The longest waiting first: what is in flight came last.
    by_arrival: BTreeMap<u64, (Asin, Marketplace)>,
    arrivals: u64,
    points: usize,
}

impl Histories {
    /// Takes in what a record brought; the newer of two stays.
    pub(crate) fn put(&mut self, asin: Asin, marketplace: Marketplace, history: HistoryRecord) {
        let key = (asin, marketplace);
        if self.waiting.get(&key).is_some_and(|(_, held)| held.observed_at >= history.observed_at) {
            return;
        }
        self.remove(key);
        self.arrivals += 1;
        self.points += history.points.len();
        self.by_arrival.insert(self.arrivals, key);
        self.waiting.insert(key, (self.arrivals, history));
        while self.points > MOST_POINTS
            && let Some((_, &oldest)) = self.by_arrival.first_key_value()
        {
            self.remove(oldest);
        }
    }

    /// Gives away those of some articles.
    pub(crate) fn take(&mut self, asins: impl IntoIterator<Item = Asin>) -> Vec<(Asin, Marketplace, HistoryRecord)> {
        let mut taken = Vec::new();
        for asin in asins {
            for marketplace in Marketplace::ALL {
                taken.extend(self.remove((asin, marketplace)).map(|history| (asin, marketplace, history)));
            }
        }
        taken
    }

    fn remove(&mut self, key: (Asin, Marketplace)) -> Option<HistoryRecord> {
        let (arrival, history) = self.waiting.remove(&key)?;
        self.by_arrival.remove(&arrival);
        self.points -= history.points.len();
        Some(history)
    }
}

/// Writes histories that are newer than those held.
///
/// # Errors
/// What the catalog said; any part may have been written, and writing it again is safe.
pub(crate) async fn write(catalog: &dyn Catalog, histories: &[(Asin, Marketplace, HistoryRecord)]) -> Result<(), String> {
    for _ in 0..TRIES {
        let ids: Vec<String> = histories.iter().map(|(asin, marketplace, _)| HistoryRecord::id(*asin, *marketplace)).collect();
        let held = catalog.read_states(StateKind::Histories, &ids).await.map_err(|error| error.to_string())?;
        let mut writes = Vec::new();
        for (((asin, _, history), id), held) in histories.iter().zip(ids).zip(held) {
            let known = held
                .as_ref()
                .and_then(|held| serde_json::from_value::<HistoryRecord>(held.value.body.clone()).ok());
            if known.is_some_and(|known| known.observed_at >= history.observed_at) {
                continue;
            }
            writes.push(Write {
                value: StateRecord {
                    id,
                    group: Some(asin.to_string()),
                    status: None,
                    at: history.to.to_unix(),
                    body: serde_json::to_value(history).expect("a history is plain data with string keys"),
                },
                condition: held.map_or(Condition::Absent, |held| Condition::Unchanged(held.version)),
            });
        }
        if writes.is_empty() {
            return Ok(());
        }
        let outcomes = catalog.write_states(StateKind::Histories, &writes).await.map_err(|error| error.to_string())?;
        let mut has_conflict = false;
        for (write, outcome) in writes.iter().zip(outcomes) {
            match outcome {
                WriteOutcome::Written(_) => {}
                WriteOutcome::Conflict => has_conflict = true,
                WriteOutcome::Retry { reason } => return Err(format!("the catalog puts writes off: {reason}")),
                // No reason to hold the product up.
                WriteOutcome::Refused { reason } => tracing::warn!(id = write.value.id, reason, "a history is refused and left out"),
            }
        }
        if !has_conflict {
            return Ok(());
        }
    }
    Err("histories are written by somebody else at the same time".to_owned())
}

#[cfg(test)]
mod tests {
    use shared::adapters::embedded::catalog::EmbeddedCatalog;
    use shared::domain::price::PriceKind;
    use shared::domain::{KeepaMinutes, ObservedAt, UnixMillis};

    use super::*;

    fn history(minute: i32) -> HistoryRecord {
        HistoryRecord {
            observed_at: ObservedAt {
                last_update: KeepaMinutes(minute),
                fetched_at: UnixMillis(1),
            },
            kind: PriceKind::New,
            to: KeepaMinutes(minute),
            points: vec![(KeepaMinutes(minute - 10), Some(4_799)), (KeepaMinutes(minute - 5), None)],
        }
    }

    fn asin(number: usize) -> Asin {
        format!("B{number:09}").parse().expect("an ASIN")
    }

    #[test]
    fn the_newer_of_two_waits_and_goes_with_its_article() {
        let mut histories = Histories::default();
        histories.put(asin(1), Marketplace::DE, history(200));
        histories.put(asin(1), Marketplace::DE, history(100));
        histories.put(asin(1), Marketplace::IT, history(50));
        histories.put(asin(2), Marketplace::DE, history(1));
        let taken = histories.take([asin(1), asin(3)]);
        assert_eq!(taken, [(asin(1), Marketplace::DE, history(200)), (asin(1), Marketplace::IT, history(50))]);
        assert_eq!(histories.take([asin(1)]), []);
    }

    #[test]
    fn what_has_waited_longest_makes_room() {
        let mut histories = Histories::default();
        let long = |minute| HistoryRecord {
            points: vec![(KeepaMinutes(1), Some(4_799)); MOST_POINTS / 2],
            ..history(minute)
        };
        // The greater ASIN came first.
        histories.put(asin(9), Marketplace::DE, long(1));
        histories.put(asin(1), Marketplace::DE, long(1));
        histories.put(asin(1), Marketplace::DE, long(2));
        assert_eq!((histories.waiting.len(), histories.points), (2, MOST_POINTS));
        histories.put(asin(5), Marketplace::DE, history(1));
        assert_eq!(histories.take([asin(9)]), []);
        assert_eq!(histories.take([asin(1), asin(5)]).len(), 2);
        assert_eq!((histories.points, histories.by_arrival.len()), (0, 0));
    }

    #[tokio::test]
    async fn an_older_history_never_takes_the_place_of_a_newer_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = EmbeddedCatalog::open(&folder.path().join("catalog.db")).await.expect("a catalog");
        for (minute, expected) in [(200, 200), (100, 200), (200, 200), (300, 300)] {
            write(&catalog, &[(asin(1), Marketplace::DE, history(minute))]).await.expect("written");
            let ids = [HistoryRecord::id(asin(1), Marketplace::DE)];
            let held = catalog.read_states(StateKind::Histories, &ids).await.expect("read").remove(0).expect("there");
            let held: HistoryRecord = serde_json::from_value(held.value.body).expect("a history");
            assert_eq!(held, history(expected), "{minute}");
        }
    }
}
