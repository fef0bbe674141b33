//! Which records of a partition are not yet settled, and how far all of them are.
//!
//! The group may go on from the first record that is not settled, whatever was settled behind it.

use std::collections::VecDeque;
use std::sync::Arc;

use shared::adapters::kafka::{NextOffset, Record, RecordOffset};

/// The records of one partition between being read and being let go.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    /// In the order of their offsets, which grow but need not be dense.
    entries: VecDeque<Entry>,
    bytes: usize,
    unsettled: usize,
    /// One more than the greatest offset taken in.
    end: Option<NextOffset>,
}

#[derive(Debug)]
struct Entry {
    offset: RecordOffset,
    bytes: usize,
    /// None once settled: what waits behind an unsettled record costs a few bytes, not its payload.
    record: Option<Arc<Record>>,
}

impl Tracker {
    /// Takes in a record that weighs `bytes`. False for one that was taken in before.
    pub(crate) fn begin(&mut self, record: Arc<Record>, bytes: usize) -> bool {
        if self.end.is_some_and(|end| record.offset.0 < end.0) {
            return false;
        }
        self.end = Some(record.offset.next());
        self.bytes += bytes;
        self.unsettled += 1;
        self.entries.push_back(Entry {
            offset: record.offset,
            bytes,
            record: Some(record),
        });
        true
    }

    /// Settles a record. Returns how far the group may go on, if that changed.
    pub(crate) fn settle(&mut self, offset: RecordOffset) -> Option<NextOffset> {
        let position = self.position(offset)?;
        let entry = &mut self.entries[position];
        entry.record.take()?;
        self.bytes -= std::mem::take(&mut entry.bytes);
        self.unsettled -= 1;
        let mut next = None;
        while let Some(first) = self.entries.pop_front_if(|first| first.record.is_none()) {
            next = Some(first.offset.next());
        }
        next
    }

    /// A record that is not settled.
    pub(crate) fn record(&self, offset: RecordOffset) -> Option<&Arc<Record>> {
        self.entries[self.position(offset)?].record.as_ref()
    }

    /// Bytes of what is not settled.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Records that are not settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Records that are not let go: the unsettled ones and what was settled behind them.
    pub(crate) fn window(&self) -> usize {
        self.entries.len()
    }

    /// When the oldest unsettled record was made, milliseconds since the Unix epoch.
    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        // The first is always unsettled: else it would have been let go.
        self.entries.front()?.record.as_ref().map(|record| record.timestamp_ms)
    }

    fn position(&self, offset: RecordOffset) -> Option<usize> {
        self.entries.binary_search_by_key(&offset, |entry| entry.offset).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use shared::adapters::kafka::Topic;

    use super::*;

    fn record(offset: i64) -> Arc<Record> {
        Arc::new(Record {
            topic: Topic::RawUpdates,
            partition: 0,
            offset: RecordOffset(offset),
            key: None,
            payload: None,
            timestamp_ms: 1_000 + offset,
            headers: vec![],
        })
    }

    #[test]
    fn a_record_that_was_read_twice_is_taken_in_once() {
        let mut tracker = Tracker::default();
        assert!(tracker.begin(record(7), 1));
        assert!(!tracker.begin(record(7), 1));
        assert!(!tracker.begin(record(3), 1));
        assert_eq!((tracker.unsettled(), tracker.bytes()), (1, 1));
        assert_eq!(tracker.settle(RecordOffset(7)), Some(NextOffset(8)));
        assert_eq!(tracker.settle(RecordOffset(7)), None, "settled once");
        assert!(!tracker.begin(record(7), 1), "nor after it was let go");
    }

    /// Guard: the payload is dropped when a record is settled, not when it is let go; taken out: the bytes stay.
    #[test]
    fn t39_a_million_records_settled_behind_a_stuck_one_hold_no_payload() {
        let mut tracker = Tracker::default();
        let stuck = record(0);
        tracker.begin(Arc::clone(&stuck), 5_000);
        for offset in 1..=1_000_000 {
            let record = record(offset);
            tracker.begin(Arc::clone(&record), 5_000);
            assert_eq!(tracker.settle(record.offset), None);
            assert_eq!(Arc::strong_count(&record), 1, "nobody holds the payload any more");
        }
        assert_eq!((tracker.bytes(), tracker.unsettled(), tracker.window()), (5_000, 1, 1_000_001));
        assert_eq!(tracker.settle(RecordOffset(0)), Some(NextOffset(1_000_001)));
        assert_eq!(tracker.window(), 0);
    }

    proptest! {
        /// Compared with a set of everything that is open.
        #[test]
        fn the_group_goes_on_from_the_first_record_that_is_not_settled(
            gaps in prop::collection::vec(1i64..4, 1..60),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..90),
        ) {
            let offsets: Vec<i64> = gaps.iter().scan(0, |last, gap| { *last += gap; Some(*last) }).collect();
            let mut tracker = Tracker::default();
            let mut naive: BTreeSet<i64> = BTreeSet::new();
            for &offset in &offsets {
                tracker.begin(record(offset), 10);
                naive.insert(offset);
            }
            let mut at = None;
            for index in order {
                let offset = *index.get(&offsets);
                if let Some(next) = tracker.settle(RecordOffset(offset)) {
                    prop_assert!(at < Some(next), "it only goes forward");
                    at = Some(next);
                }
                naive.remove(&offset);
                let expected = match naive.first() {
                    Some(&first) => offsets.iter().rev().find(|&&offset| offset < first).map(|offset| NextOffset(offset + 1)),
                    None => offsets.last().map(|offset| NextOffset(offset + 1)),
                };
                prop_assert_eq!(at, expected);
                prop_assert_eq!((tracker.unsettled(), tracker.bytes()), (naive.len(), naive.len() * 10));
                prop_assert_eq!(tracker.oldest_ms(), naive.first().map(|first| 1_000 + first));
            }
        }
    }
}
