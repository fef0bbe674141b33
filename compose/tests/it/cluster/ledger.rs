//! What was acknowledged, what became of it, and what readers saw: whether the books balance. Pure.
//!
//! An update is *settled* when the catalog holds an observation of its article and marketplace that is as new or newer,
//! or when it lies in the dead-letter topic. Once settled, always settled: what is held only gets newer. So the books may
//! be looked at in any moment in which nobody writes.

use std::collections::{BTreeMap, BTreeSet};

/// Partition and offset in `raw.keepa_updates`.
pub type Position = (i32, i64);
/// ASIN and marketplace.
pub type Place = (String, String);
/// Keepa's minute and the fetch in milliseconds: what "newer" means.
pub type Observed = (i64, i64);

/// A record of `raw.keepa_updates`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An observation.
    Update(Place, Observed),
    /// Nothing anybody can read: these bytes belong into the dead-letter topic.
    Bad(Vec<u8>),
}

/// A product as a reader saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whose.
    pub asin: String,
    /// At which revision.
    pub revision: i64,
}

/// Everything that is known at one moment.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// All records that the event log acknowledged.
    pub acknowledged: BTreeMap<Position, Record>,
    /// Where each dead letter says it comes from, and its bytes.
    pub dead_letters: Vec<(Position, Vec<u8>)>,
    /// The newest observation held per article and marketplace.
    pub catalog: BTreeMap<Place, Observed>,
    /// The revision held per article.
    pub revisions: BTreeMap<String, i64>,
    /// The next offset of the group per partition.
    pub committed: BTreeMap<i32, i64>,
    /// `enriched.products`, per partition in its order.
    pub published: Vec<Seen>,
    /// What readers of the API saw, each reader's reads in their order.
    pub reads: Vec<Vec<Seen>>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Acknowledged, and neither in the catalog nor dead-lettered.
    Lost {
        position: Position,
        record: Record,
        held: Option<Observed>,
    },
    /// The catalog holds what nobody ever said.
    Invented { place: Place, held: Observed },
    /// The group has gone past a record that is not settled.
    CommittedPast { position: Position, committed: i64 },
    /// The log is longer than what was committed although all is at rest.
    NotCommitted { partition: i32, committed: i64, end: i64 },
    /// A dead letter of a record that can be read.
    RefusedWithoutCause { position: Position },
    /// A dead letter of no record.
    LetterOfNothing { position: Position },
    /// A dead letter with other bytes than its record.
    LetterDiffers { position: Position },
    /// A reader saw a revision, then a lower one.
    WentBack { reader: String, asin: String, from: i64, to: i64 },
    /// The revision held was never published.
    NotPublished { asin: String, held: i64, published: Option<i64> },
    /// An offset is missing below one that is there: the books themselves are not complete.
    Gap { position: Position },
}

impl Ledger {
    /// What is wrong in a moment in which nobody writes, whatever is still to be done.
    pub fn check_at_any_time(&self) -> Vec<Violation> {
        let mut violations = self.gaps();
        for ((partition, offset), record) in &self.acknowledged {
            let committed = self.committed.get(partition).copied().unwrap_or(0);
            if *offset < committed && !self.is_settled((*partition, *offset), record) {
                violations.push(Violation::CommittedPast {
                    position: (*partition, *offset),
                    committed,
                });
            }
        }
        violations.extend(self.invented());
        violations.extend(self.wrong_letters());
        for (number, reads) in self.reads.iter().enumerate() {
            violations.extend(went_back(&format!("reader {number}"), reads));
        }
        violations
    }

    /// What is wrong once there is nothing more to be done.
    pub fn check_at_rest(&self) -> Vec<Violation> {
        let mut violations = self.check_at_any_time();
        for (&position, record) in &self.acknowledged {
            if !self.is_settled(position, record) {
                let held = match record {
                    Record::Update(place, _) => self.catalog.get(place).copied(),
                    Record::Bad(_) => None,
                };
                violations.push(Violation::Lost {
                    position,
                    record: record.clone(),
                    held,
                });
            }
        }
        for (partition, end) in self.ends() {
            let committed = self.committed.get(&partition).copied().unwrap_or(0);
            if committed != end {
                violations.push(Violation::NotCommitted { partition, committed, end });
            }
        }
        let mut published: BTreeMap<&str, i64> = BTreeMap::new();
        for seen in &self.published {
            let highest = published.entry(&seen.asin).or_insert(seen.revision);
            *highest = seen.revision.max(*highest);
        }
        for (asin, &held) in &self.revisions {
            let published = published.get(asin.as_str()).copied();
            if published != Some(held) {
                violations.push(Violation::NotPublished {
                    asin: asin.clone(),
                    held,
                    published,
                });
            }
        }
        violations
    }

    /// Where a follower of `enriched.products` saw a revision go back. Not part of the checks: a process that was stopped
    /// or cut off may publish late what its successor has published or gone beyond, which is why consumers ignore a
    /// revision lower than one they have seen. Without such a process there is none.
    pub fn published_late(&self) -> Vec<Violation> {
        went_back("enriched.products", &self.published)
    }

    /// How many records are in the catalog (or superseded there), and how many in the dead-letter topic.
    pub fn balance(&self) -> (usize, usize) {
        let letters: BTreeSet<&Position> = self.dead_letters.iter().map(|(position, _)| position).collect();
        let settled = self
            .acknowledged
            .iter()
            .filter(|(position, record)| !letters.contains(position) && self.is_settled(**position, record));
        (settled.count(), letters.len())
    }

    fn is_settled(&self, position: Position, record: &Record) -> bool {
        let in_catalog = match record {
            Record::Update(place, observed) => self.catalog.get(place).is_some_and(|held| held >= observed),
            Record::Bad(_) => false,
        };
        in_catalog || self.dead_letters.iter().any(|(letter, _)| *letter == position)
    }

    fn invented(&self) -> impl Iterator<Item = Violation> {
        let mut newest: BTreeMap<&Place, Observed> = BTreeMap::new();
        for record in self.acknowledged.values() {
            if let Record::Update(place, observed) = record {
                let held = newest.entry(place).or_insert(*observed);
                *held = (*observed).max(*held);
            }
        }
        self.catalog.iter().filter_map(move |(place, held)| {
            let known = newest.get(place).is_some_and(|newest| held <= newest);
            (!known).then(|| Violation::Invented {
                place: place.clone(),
                held: *held,
            })
        })
    }

    fn wrong_letters(&self) -> impl Iterator<Item = Violation> {
        self.dead_letters
            .iter()
            .filter_map(|&(position, ref bytes)| match self.acknowledged.get(&position) {
                None => Some(Violation::LetterOfNothing { position }),
                Some(Record::Update(..)) => Some(Violation::RefusedWithoutCause { position }),
                Some(Record::Bad(original)) => (original != bytes).then_some(Violation::LetterDiffers { position }),
            })
    }

    fn ends(&self) -> BTreeMap<i32, i64> {
        // Positions stand in order: the last of a partition is its highest.
        self.acknowledged.keys().map(|&(partition, offset)| (partition, offset + 1)).collect()
    }

    fn gaps(&self) -> Vec<Violation> {
        let mut next: BTreeMap<i32, i64> = BTreeMap::new();
        let mut gaps = Vec::new();
        for &(partition, offset) in self.acknowledged.keys() {
            let expected = next.insert(partition, offset + 1).unwrap_or(0);
            if offset != expected {
                gaps.push(Violation::Gap {
                    position: (partition, expected),
                });
            }
        }
        gaps
    }
}

fn went_back(reader: &str, seen: &[Seen]) -> Vec<Violation> {
    let mut highest: BTreeMap<&str, i64> = BTreeMap::new();
    let mut violations = Vec::new();
    for Seen { asin, revision } in seen {
        let before = highest.entry(asin).or_insert(*revision);
        if revision < before {
            violations.push(Violation::WentBack {
                reader: reader.to_owned(),
                asin: asin.clone(),
                from: *before,
                to: *revision,
            });
        }
        *before = (*revision).max(*before);
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(asin: &str) -> Place {
        (asin.to_owned(), "DE".to_owned())
    }

    fn update(asin: &str, minute: i64, fetched: i64) -> Record {
        Record::Update(place(asin), (minute, fetched))
    }

    fn seen(asin: &str, revision: i64) -> Seen {
        Seen {
            asin: asin.to_owned(),
            revision,
        }
    }

    /// Two articles, a superseded update, a bad record, all settled and committed.
    fn balanced() -> Ledger {
        Ledger {
            acknowledged: BTreeMap::from([
                ((0, 0), update("A", 1, 10)),
                ((0, 1), Record::Bad(b"?".to_vec())),
                ((0, 2), update("A", 1, 11)),
                ((1, 0), update("B", 5, 12)),
            ]),
            dead_letters: vec![((0, 1), b"?".to_vec())],
            catalog: BTreeMap::from([(place("A"), (1, 11)), (place("B"), (5, 12))]),
            revisions: BTreeMap::from([("A".to_owned(), 7), ("B".to_owned(), 9)]),
            committed: BTreeMap::from([(0, 3), (1, 1)]),
            published: vec![seen("A", 6), seen("A", 7), seen("B", 9), seen("B", 9)],
            reads: vec![vec![seen("A", 6), seen("B", 9), seen("A", 7), seen("A", 7)], vec![seen("A", 6)]],
        }
    }

    #[test]
    fn books_that_balance_have_no_violation() {
        let ledger = balanced();
        assert_eq!(ledger.check_at_rest(), []);
        assert_eq!(ledger.published_late(), []);
        assert_eq!(ledger.balance(), (3, 1));
        // A letter may be there twice: delivery is at least once.
        let mut twice = balanced();
        twice.dead_letters.push(((0, 1), b"?".to_vec()));
        assert_eq!((twice.check_at_rest(), twice.balance()), (vec![], (3, 1)));
    }

    #[test]
    fn every_violation_is_found_and_named() {
        type Spoil = fn(&mut Ledger);
        let cases: [(&str, Spoil, Vec<Violation>); 12] = [
            (
                "an update that never arrived",
                |ledger| {
                    ledger.catalog.remove(&place("B"));
                    ledger.committed.insert(1, 0);
                },
                vec![
                    Violation::Lost {
                        position: (1, 0),
                        record: update("B", 5, 12),
                        held: None,
                    },
                    Violation::NotCommitted {
                        partition: 1,
                        committed: 0,
                        end: 1,
                    },
                ],
            ),
            (
                "an older observation is visible, and the group went past the newer one",
                |ledger| {
                    ledger.catalog.insert(place("A"), (1, 10));
                },
                vec![
                    Violation::CommittedPast {
                        position: (0, 2),
                        committed: 3,
                    },
                    Violation::Lost {
                        position: (0, 2),
                        record: update("A", 1, 11),
                        held: Some((1, 10)),
                    },
                ],
            ),
            (
                "a bad record that is nowhere",
                |ledger| ledger.dead_letters.clear(),
                vec![
                    Violation::CommittedPast {
                        position: (0, 1),
                        committed: 3,
                    },
                    Violation::Lost {
                        position: (0, 1),
                        record: Record::Bad(b"?".to_vec()),
                        held: None,
                    },
                ],
            ),
            (
                "an observation newer than any that was told",
                |ledger| {
                    ledger.catalog.insert(place("A"), (2, 0));
                },
                vec![Violation::Invented {
                    place: place("A"),
                    held: (2, 0),
                }],
            ),
            (
                "an article nobody told of",
                |ledger| {
                    ledger.catalog.insert(place("C"), (1, 1));
                },
                vec![Violation::Invented {
                    place: place("C"),
                    held: (1, 1),
                }],
            ),
            (
                "a good record dead-lettered",
                |ledger| ledger.dead_letters.push(((1, 0), vec![])),
                vec![Violation::RefusedWithoutCause { position: (1, 0) }],
            ),
            (
                "a dead letter of a record that does not exist",
                |ledger| ledger.dead_letters.push(((2, 4), vec![])),
                vec![Violation::LetterOfNothing { position: (2, 4) }],
            ),
            (
                "a dead letter with other bytes",
                |ledger| ledger.dead_letters[0].1 = b"!".to_vec(),
                vec![Violation::LetterDiffers { position: (0, 1) }],
            ),
            (
                "a reader sees a product go back",
                |ledger| ledger.reads[1].push(seen("A", 5)),
                vec![Violation::WentBack {
                    reader: "reader 1".to_owned(),
                    asin: "A".to_owned(),
                    from: 6,
                    to: 5,
                }],
            ),
            (
                "the last revision was written and not published",
                |ledger| {
                    ledger.revisions.insert("B".to_owned(), 10);
                },
                vec![Violation::NotPublished {
                    asin: "B".to_owned(),
                    held: 10,
                    published: Some(9),
                }],
            ),
            (
                "a product was never published",
                |ledger| ledger.published.retain(|seen| seen.asin != "A"),
                vec![Violation::NotPublished {
                    asin: "A".to_owned(),
                    held: 7,
                    published: None,
                }],
            ),
            (
                "the books are not complete",
                |ledger| {
                    ledger.acknowledged.remove(&(0, 0));
                },
                vec![Violation::Gap { position: (0, 0) }],
            ),
        ];
        for (what, spoil, expected) in cases {
            let mut ledger = balanced();
            spoil(&mut ledger);
            assert_eq!(ledger.check_at_rest(), expected, "{what}");
        }
    }

    #[test]
    fn in_the_middle_of_the_work_only_what_was_committed_has_to_be_settled() {
        let mut ledger = balanced();
        ledger.catalog.remove(&place("B"));
        ledger.revisions.remove("B");
        ledger.committed = BTreeMap::from([(0, 2)]);
        assert_eq!(ledger.check_at_any_time(), []);
        ledger.committed.insert(1, 1);
        assert_eq!(
            ledger.check_at_any_time(),
            [Violation::CommittedPast {
                position: (1, 0),
                committed: 1
            }]
        );
    }

    #[test]
    fn a_late_publication_is_told_apart() {
        let mut ledger = balanced();
        ledger.published.push(seen("A", 6));
        assert_eq!(ledger.check_at_rest(), []);
        let late = Violation::WentBack {
            reader: "enriched.products".to_owned(),
            asin: "A".to_owned(),
            from: 7,
            to: 6,
        };
        assert_eq!(ledger.published_late(), [late]);
    }
}
