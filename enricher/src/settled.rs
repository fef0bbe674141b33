//! Which records need nothing when they are read again. Pure.
//!
//! Merging is idempotent: once everything a record says is in the catalog, and its product was published since, the same
//! record brings nothing. A replay is then settled by a look at its bytes, without decoding or reading. It holds for
//! the owner of a partition alone, and is dropped with it.

use std::collections::HashSet;

use shared::adapters::kafka::Record;
use shared::domain::Source;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::decode::timestamp_of;

/// A record in 128 bits. Two share one by accident once in 10^19 years of a million a second; the seed, which nobody
/// knows, keeps them from doing so by intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Of key and value: all that an envelope says.
    content: u128,
    /// When the record was made, milliseconds since the Unix epoch: the bare form has no other time.
    made_at: i64,
}

impl Fingerprint {
    /// None of a record without a value.
    pub(crate) fn of(record: &Record, seed: u64) -> Option<Fingerprint> {
        let of_key = xxh3_64_with_seed(record.key.as_deref().unwrap_or_default(), seed);
        Some(Fingerprint {
            content: xxh3_128_with_seed(record.payload.as_deref()?, of_key),
            made_at: timestamp_of(record).0,
        })
    }

    fn of_bare_form(self) -> u128 {
        xxh3_128_with_seed(&self.content.to_le_bytes(), self.made_at.cast_unsigned())
    }
}

/// Records that were settled, the last ones of so many: at least half of the bound, in two generations. Once the younger
/// one is full, it becomes the older, and what was that is forgotten.
#[derive(Debug)]
pub(crate) struct SettledRecords {
    younger: HashSet<u128>,
    older: HashSet<u128>,
    generation: usize,
}

impl SettledRecords {
    pub(crate) fn new(at_most: usize) -> Self {
        SettledRecords {
            younger: HashSet::new(),
            older: HashSet::new(),
            generation: at_most / 2,
        }
    }

    /// Holds no more than this from now on.
    pub(crate) fn resize(&mut self, at_most: usize) {
        self.generation = at_most / 2;
        for held in [&mut self.younger, &mut self.older] {
            if held.len() > self.generation {
                *held = HashSet::new();
            }
        }
    }

    pub(crate) fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.has(fingerprint.content) || self.has(fingerprint.of_bare_form())
    }

    /// Holds a record of this source.
    pub(crate) fn insert(&mut self, fingerprint: Fingerprint, source: Source) {
        if self.generation == 0 {
            return;
        }
        if self.younger.len() >= self.generation {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(match source {
            Source::Feed => fingerprint.of_bare_form(),
            Source::Keepa | Source::Observation => fingerprint.content,
        });
    }

    fn has(&self, number: u128) -> bool {
        self.younger.contains(&number) || self.older.contains(&number)
    }
}

#[cfg(test)]
mod tests {
    use shared::adapters::kafka::{RecordOffset, Topic};

    use super::*;

    fn record(key: Option<&str>, payload: Option<&str>, timestamp_ms: i64) -> Record {
        Record {
            topic: Topic::RawUpdates,
            partition: 0,
            offset: RecordOffset(0),
            key: key.map(|key| key.to_owned().into()),
            payload: payload.map(|payload| payload.to_owned().into()),
            timestamp_ms,
            headers: vec![],
        }
    }

    #[test]
    fn with_less_room_it_keeps_what_fits_and_drops_the_rest() {
        let mut settled = SettledRecords::new(8);
        (0..4).for_each(|of| settled.insert(number(of), Source::Keepa));
        settled.resize(8);
        assert!((0..4).all(|of| settled.contains(number(of))), "a half of the room is full");
        settled.resize(6);
        assert!(!(0..4).any(|of| settled.contains(number(of))), "a half of the room is less");
    }

    fn number(number: u128) -> Fingerprint {
        Fingerprint { content: number, made_at: 0 }
    }

    fn insert(settled: &mut SettledRecords, one: u128) {
        settled.insert(number(one), Source::Keepa);
    }

    #[test]
    fn a_record_is_known_again_by_key_value_and_seed_and_in_the_bare_form_by_its_time() {
        let of = |key, payload, made_at, seed| Fingerprint::of(&record(key, payload, made_at), seed);
        let one = of(Some("A"), Some("x"), 5, 1).expect("it has a value");
        assert_eq!(of(Some("A"), None, 5, 1), None);
        for (source, at_another_time) in [(Source::Keepa, true), (Source::Observation, true), (Source::Feed, false)] {
            let mut settled = SettledRecords::new(10);
            settled.insert(one, source);
            for (other, is_known) in [
                (of(Some("A"), Some("x"), 5, 1), true),
                (of(Some("A"), Some("x"), 6, 1), at_another_time),
                (of(Some("B"), Some("x"), 5, 1), false),
                (of(None, Some("x"), 5, 1), false),
                (of(Some("A"), Some("y"), 5, 1), false),
                (of(Some("A"), Some("x"), 5, 2), false),
            ] {
                assert_eq!(settled.contains(other.expect("it has a value")), is_known, "{source:?} {other:?}");
            }
        }
    }

    #[test]
    fn the_last_half_is_always_held_and_never_more_than_all() {
        let mut settled = SettledRecords::new(10);
        for last in 0..100_u128 {
            insert(&mut settled, last);
            let held = (0..=last).filter(|&one| settled.contains(number(one))).count();
            assert!(held <= 10, "{held} after {last}");
            assert!((last.saturating_sub(4)..=last).all(|one| settled.contains(number(one))));
        }
    }

    #[test]
    fn a_smaller_bound_holds_at_once_and_none_holds_nothing() {
        let mut settled = SettledRecords::new(100);
        (0..40).for_each(|one| insert(&mut settled, one));
        settled.resize(10);
        assert!((0..40).all(|one| !settled.contains(number(one))));
        settled.resize(0);
        insert(&mut settled, 1);
        assert!(!settled.contains(number(1)));
    }
}
