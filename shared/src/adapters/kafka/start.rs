//! Where a group starts to read a partition that it was given. Pure.
//!
//! The client library would start at the beginning wherever the group's place is gone. That hides a loss: records that
//! expired unread look like a log that always began there. So the place is decided here, at every assignment.

use std::fmt;
use std::str::FromStr;

use super::record::NextOffset;

/// Where reading starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Where the group stands.
    Committed(NextOffset),
    /// At the first record there is: the group, or the partition, is new.
    Beginning(NextOffset),
    /// At the first record there is, with an alarm: the group stands behind the end, so the topic was made anew.
    Recreated {
        /// Where the group stood in the topic that is gone.
        committed: NextOffset,
        /// Where the log begins now.
        low: NextOffset,
    },
    /// Nowhere, until an operator says so: records expired before the group read them.
    Gap(Gap),
}

/// Records that are gone and were never read by the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// Where the group stood; none where it never committed a place in this partition, though in others it did.
    pub(super) committed: Option<NextOffset>,
    /// Where the log begins now.
    pub(super) low: NextOffset,
}

/// Decides from what the group committed, the first offset there is, the one after the last, and whether the group
/// committed anything in any partition of the topic.
///
/// A topic that was made anew and has meanwhile grown beyond the group's place cannot be told from the old one here.
/// Kafka forgets a group's places in a topic that is deleted, so it takes a commit that comes after the deletion.
pub(super) fn decide_start(committed: Option<NextOffset>, low: i64, high: i64, group_has_commits: bool) -> Start {
    let beginning = NextOffset(low);
    match committed {
        None if low > 0 && group_has_commits => Start::Gap(Gap {
            committed: None,
            low: beginning,
        }),
        None => Start::Beginning(beginning),
        Some(committed) if committed.0 > high => Start::Recreated { committed, low: beginning },
        Some(committed) if committed.0 < low => Start::Gap(Gap {
            committed: Some(committed),
            low: beginning,
        }),
        Some(committed) => Start::Committed(committed),
    }
}

/// An operator's word that a gap is to be passed over: `GROUP:TOPIC:PARTITION@OFFSET`, the topic with its prefix.
///
/// `OFFSET` is where the group stood, or `none`. It ties the word to one gap: the next one is an alarm again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedGap {
    group: String,
    topic: String,
    partition: i32,
    committed: Option<i64>,
}

impl AcceptedGap {
    pub(super) fn new(group: &str, topic: &str, partition: i32, gap: Gap) -> AcceptedGap {
        AcceptedGap {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partition,
            committed: gap.committed.map(|committed| committed.0),
        }
    }

    pub(super) fn is_of(&self, group: &str, topic: &str, partition: i32) -> bool {
        (self.group.as_str(), self.topic.as_str(), self.partition) == (group, topic, partition)
    }
}

/// As the operator has to write it.
impl fmt::Display for AcceptedGap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AcceptedGap {
            group,
            topic,
            partition,
            committed,
        } = self;
        match committed {
            Some(committed) => write!(formatter, "{group}:{topic}:{partition}@{committed}"),
            None => write!(formatter, "{group}:{topic}:{partition}@none"),
        }
    }
}

/// It is not of the form `GROUP:TOPIC:PARTITION@OFFSET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("GROUP:TOPIC:PARTITION@OFFSET is expected")]
pub struct NoGap;

impl FromStr for AcceptedGap {
    type Err = NoGap;

    fn from_str(text: &str) -> Result<AcceptedGap, NoGap> {
        let (place, committed) = text.trim().rsplit_once('@').ok_or(NoGap)?;
        let (topic, partition) = place.rsplit_once(':').ok_or(NoGap)?;
        let (group, topic) = topic.rsplit_once(':').ok_or(NoGap)?;
        if group.is_empty() || topic.is_empty() {
            return Err(NoGap);
        }
        let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0).ok_or(NoGap);
        Ok(AcceptedGap {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partition: i32::try_from(number(partition)?).map_err(|_| NoGap)?,
            committed: if committed == "none" { None } else { Some(number(committed)?) },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn where_to_start_is_decided_per_partition() {
        let gap = |committed: Option<i64>, low| {
            Start::Gap(Gap {
                committed: committed.map(NextOffset),
                low: NextOffset(low),
            })
        };
        let recreated = |committed, low| Start::Recreated {
            committed: NextOffset(committed),
            low: NextOffset(low),
        };
        let committed = |offset| Start::Committed(NextOffset(offset));
        let beginning = |offset| Start::Beginning(NextOffset(offset));
        for (case, stood, low, high, has_commits, expected) in [
            ("a new group on a new topic", None, 0, 0, false, beginning(0)),
            ("a new group on a topic with records", None, 0, 9, false, beginning(0)),
            ("a new group on a topic whose first records expired", None, 4, 9, false, beginning(4)),
            ("a partition that was added", None, 0, 3, true, beginning(0)),
            ("a partition whose records expired before the group came to it", None, 4, 9, true, gap(None, 4)),
            ("in the middle", Some(5), 0, 9, true, committed(5)),
            ("all read", Some(9), 0, 9, true, committed(9)),
            ("nothing read, nothing expired", Some(0), 0, 9, true, committed(0)),
            ("the next record is the first there is", Some(4), 4, 9, true, committed(4)),
            ("all read and all expired", Some(9), 9, 9, true, committed(9)),
            ("one record expired unread", Some(3), 4, 9, true, gap(Some(3), 4)),
            ("all records expired unread", Some(3), 9, 9, true, gap(Some(3), 9)),
            ("the topic was made anew", Some(10), 0, 9, true, recreated(10, 0)),
            ("the topic was made anew and is empty", Some(10), 0, 0, true, recreated(10, 0)),
            ("the topic was made anew and its first records expired", Some(10), 2, 9, true, recreated(10, 2)),
        ] {
            assert_eq!(decide_start(stood.map(NextOffset), low, high, has_commits), expected, "{case}");
        }
    }

    proptest! {
        /// No record is passed over silently, and reading never starts outside of the log.
        #[test]
        fn nothing_is_skipped_without_an_alarm(stood in proptest::option::of(0i64..20), low in 0i64..20, length in 0i64..20, others in any::<bool>()) {
            let high = low + length;
            match decide_start(stood.map(NextOffset), low, high, others || stood.is_some()) {
                Start::Committed(next) => prop_assert!(Some(next.0) == stood && (low..=high).contains(&next.0)),
                Start::Beginning(next) => {
                    prop_assert_eq!((stood, next.0), (None, low));
                    prop_assert!(low == 0 || !others);
                }
                Start::Recreated { committed, low: from } => prop_assert!(committed.0 > high && from.0 == low),
                Start::Gap(gap) => prop_assert!(gap.low.0 == low && gap.committed.map_or(0, |next| next.0) < low),
            }
        }
    }

    #[test]
    fn an_accepted_gap_is_read_as_it_is_shown() {
        for text in ["enricher:raw.keepa_updates:2@17", "a:eu.raw.keepa_updates:0@none", "with:colons:t:11@0"] {
            let gap: AcceptedGap = text.parse().expect(text);
            assert_eq!(gap.to_string(), text);
        }
        for text in [
            "",
            "g:t:1",
            "g:t@1",
            "t:1@1",
            ":t:1@1",
            "g::1@1",
            "g:t:-1@1",
            "g:t:1@-1",
            "g:t:1@all",
            "g:t:x@1",
            "g:t:1@",
            "g:t:99999999999@1",
        ] {
            assert_eq!(text.parse::<AcceptedGap>(), Err(NoGap), "{text:?}");
        }
    }

    #[test]
    fn a_word_holds_for_the_gap_it_names_alone() {
        let gap = |committed: Option<i64>| Gap {
            committed: committed.map(NextOffset),
            low: NextOffset(100),
        };
        let accepted: AcceptedGap = "g:t:1@7".parse().expect("a gap");
        for (group, topic, partition, committed, expected) in [
            ("g", "t", 1, Some(7), true),
            ("g", "t", 1, Some(8), false),
            ("g", "t", 1, None, false),
            ("g", "t", 2, Some(7), false),
            ("g", "u", 1, Some(7), false),
            ("h", "t", 1, Some(7), false),
        ] {
            assert_eq!(accepted == AcceptedGap::new(group, topic, partition, gap(committed)), expected);
        }
    }
}
