//! When too much is refused, the fault is more likely ours than the records'. Pure.
//!
//! Of the last 200 records of a partition, more than half (and no fewer than 100) refused: the partition halts. It does
//! not stop for good: each further refused record waits, is tried once more, and only then becomes a dead letter, at
//! the pace of a back-off up to a minute. So a bad deployment costs at most about a hundred dead letters and heals by
//! itself once cured, and a flood of records that really are bad still drains, slowly and loudly. Records that are
//! understood pass without waiting. A small bad batch never halts anything.

use std::collections::VecDeque;

/// How many records are looked back at.
const WINDOW: usize = 200;
/// Fewer refusals than this never halt.
const AT_LEAST: usize = 100;

/// The last verdicts of one partition, in the order of its records.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetterLimit {
    verdicts: VecDeque<bool>,
    refused: usize,
    percent: usize,
}

impl DeadLetterLimit {
    /// Halts above this share of refusals; 100 never halts.
    pub(crate) fn new(percent: u8) -> Self {
        DeadLetterLimit {
            verdicts: VecDeque::with_capacity(WINDOW),
            refused: 0,
            percent: usize::from(percent),
        }
    }

    /// Takes in the verdict on the next record.
    pub(crate) fn note(&mut self, refused: bool) {
        if self.verdicts.len() == WINDOW && self.verdicts.pop_front() == Some(true) {
            self.refused -= 1;
        }
        self.verdicts.push_back(refused);
        self.refused += usize::from(refused);
    }

    /// Whether another dead letter would be one too many.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.refused >= AT_LEAST && self.refused * 100 > self.percent * self.verdicts.len()
    }

    /// For messages: how many of how many.
    pub(crate) fn share(&self) -> (usize, usize) {
        (self.refused, self.verdicts.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(verdicts: impl IntoIterator<Item = bool>, percent: u8) -> DeadLetterLimit {
        let mut limit = DeadLetterLimit::new(percent);
        verdicts.into_iter().for_each(|refused| limit.note(refused));
        limit
    }

    #[test]
    fn only_a_flood_of_refusals_halts() {
        let bad = |count| std::iter::repeat_n(true, count);
        let good = |count| std::iter::repeat_n(false, count);
        let alternating = || (0..1000).map(|index| index % 2 == 0);
        for (verdicts, percent, expected) in [
            (bad(99).collect::<Vec<_>>(), 50, false),
            (bad(100).collect(), 50, true),
            (good(1000).chain(bad(99)).collect(), 50, false),
            (good(1000).chain(bad(100)).collect(), 50, false),
            (good(1000).chain(bad(101)).collect(), 50, true),
            (alternating().collect(), 50, false),
            (alternating().chain(bad(3)).collect(), 50, true),
            (bad(1000).chain(good(100)).collect(), 50, false),
            (bad(1000).chain(good(99)).collect(), 50, true),
            (bad(1000).collect(), 100, false),
            (good(100).chain(bad(100)).collect(), 49, true),
            (vec![], 50, false),
        ] {
            let limit = after(verdicts, percent);
            assert_eq!(limit.is_exceeded(), expected, "{:?} at {percent} %", limit.share());
        }
    }

    #[test]
    fn a_bad_deployment_costs_at_most_a_hundred_dead_letters_at_once() {
        let mut limit = DeadLetterLimit::new(50);
        let mut letters = 0;
        while !limit.is_exceeded() {
            limit.note(true);
            letters += 1;
        }
        assert_eq!(letters, 100);
    }
}
