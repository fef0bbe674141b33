//! Refused records of one partition: at once a dead letter each, or held back where there are too many of them.
//!
//! Of a halted partition one refused record at a time is tried once more, after a wait that grows; what is refused again
//! is a dead letter then, what is not says that the fault is cured, and the next is tried at once.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use shared::adapters::kafka::RecordOffset;

use super::delay::Delays;
use crate::decode::Refusal;
use crate::limit::DeadLetterLimit;

/// The refusals of one partition.
#[derive(Debug)]
pub(super) struct Refusals {
    limit: DeadLetterLimit,
    delays: Delays,
    /// Refused while there were too many.
    held: VecDeque<(RecordOffset, Refusal)>,
    /// Being tried once more.
    retrying: BTreeSet<RecordOffset>,
    /// When the next of those held is tried.
    next_try: Duration,
    /// Tries in a row that ended in a refusal.
    in_vain: u32,
    halted: bool,
}

/// What becomes of a refused record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A dead letter.
    Bury(Refusal),
    /// It waits to be tried once more.
    Hold,
}

impl Refusals {
    pub(super) fn new(percent: u8, pause: Duration) -> Self {
        Refusals {
            limit: DeadLetterLimit::new(percent),
            delays: Delays {
                first: pause,
                max: pause.saturating_mul(6),
            },
            held: VecDeque::new(),
            retrying: BTreeSet::new(),
            next_try: Duration::ZERO,
            in_vain: 0,
            halted: false,
        }
    }

    /// A record is refused.
    pub(super) fn refuse(&mut self, offset: RecordOffset, refusal: Refusal, now: Duration, random: &mut rand::rngs::SmallRng) -> Verdict {
        if self.retrying.remove(&offset) {
            self.limit.note(true);
            if self.limit.is_exceeded() {
                self.in_vain = self.in_vain.saturating_add(1);
                self.next_try = now + self.delays.after(self.in_vain, random);
            }
            return Verdict::Bury(refusal);
        }
        if self.held.is_empty() && !self.limit.is_exceeded() {
            self.limit.note(true);
            return Verdict::Bury(refusal);
        }
        if self.held.is_empty() && self.retrying.is_empty() && self.in_vain == 0 {
            self.in_vain = 1;
            self.next_try = now + self.delays.after(self.in_vain, random);
        }
        self.halted = true;
        self.held.push_back((offset, refusal));
        Verdict::Hold
    }

    /// A record is settled and was not refused.
    pub(super) fn accept(&mut self, offset: RecordOffset, now: Duration) {
        self.limit.note(false);
        if self.retrying.remove(&offset) || !self.limit.is_exceeded() {
            self.in_vain = 0;
            self.next_try = now;
        }
        if self.held.is_empty() && self.retrying.is_empty() && !self.limit.is_exceeded() {
            self.halted = false;
        }
    }

    /// The held record whose turn it is to be tried once more.
    pub(super) fn next_to_try(&mut self, now: Duration) -> Option<RecordOffset> {
        if self.wake_at()? > now {
            return None;
        }
        let (offset, _) = self.held.pop_front()?;
        self.retrying.insert(offset);
        Some(offset)
    }

    /// When [`Refusals::next_to_try`] has something.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        (!self.held.is_empty() && self.retrying.is_empty()).then_some(self.next_try)
    }

    /// Why the partition is halted, if it is.
    pub(super) fn halted(&self) -> Option<String> {
        let (refused, of) = self.limit.share();
        let last = self.held.back().map(|(_, refusal)| format!(", one of those held for {refusal}"));
        self.halted
            .then(|| format!("halted: {refused} of the last {of} records were refused{}", last.unwrap_or_default()))
    }

    /// Tries nothing more: the partition is taken back.
    pub(super) fn close(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::decode::RefusalClass;

    const PAUSE: Duration = Duration::from_secs(10);

    /// The refusals of a partition that halts above a half, and what its waits are drawn from.
    struct Bench {
        refusals: Refusals,
        random: SmallRng,
        /// Draws the same numbers, for what is expected.
        twin: SmallRng,
        offset: i64,
    }

    impl Bench {
        fn new() -> Self {
            Bench {
                refusals: Refusals::new(50, PAUSE),
                random: SmallRng::seed_from_u64(1),
                twin: SmallRng::seed_from_u64(1),
                offset: 0,
            }
        }

        /// After as many refusals as are buried at once.
        fn flooded() -> Self {
            let mut bench = Bench::new();
            for _ in 0..100 {
                assert_eq!(bench.refuse_next(0), Verdict::Bury(refusal()));
            }
            bench
        }

        /// The next record is refused.
        fn refuse_next(&mut self, second: u64) -> Verdict {
            self.offset += 1;
            self.refuse(self.offset, second)
        }

        fn refuse(&mut self, offset: i64, second: u64) -> Verdict {
            let now = Duration::from_secs(second);
            self.refusals.refuse(RecordOffset(offset), refusal(), now, &mut self.random)
        }

        /// The next records are not.
        fn accept_next(&mut self, records: usize, second: u64) {
            for _ in 0..records {
                self.offset += 1;
                self.accept(self.offset, second);
            }
        }

        fn accept(&mut self, offset: i64, second: u64) {
            self.refusals.accept(RecordOffset(offset), Duration::from_secs(second));
        }

        fn try_at(&mut self, now: Duration) -> Option<i64> {
            self.refusals.next_to_try(now).map(|offset| offset.0)
        }

        /// The next wait, after so many tries in a row that ended in a refusal.
        fn wait(&mut self, in_vain: u32) -> Duration {
            let delays = Delays { first: PAUSE, max: PAUSE * 6 };
            delays.after(in_vain, &mut self.twin)
        }

        fn says(&self) -> String {
            self.refusals.halted().unwrap_or_default()
        }
    }

    fn refusal() -> Refusal {
        Refusal::new(RefusalClass::Json, "no object")
    }

    fn second(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn few_refusals_are_buried_at_once_and_too_many_are_held() {
        let mut bench = Bench::flooded();
        assert_eq!((bench.refusals.halted(), bench.refusals.wake_at()), (None, None));
        assert_eq!(bench.refuse_next(3), Verdict::Hold);
        assert_eq!(
            bench.says(),
            "halted: 100 of the last 100 records were refused, one of those held for json: no object"
        );
        // The first wait begins with the first that is held; others do not put it off.
        let due = second(3) + bench.wait(1);
        assert_eq!(bench.refuse_next(7), Verdict::Hold);
        assert_eq!(bench.refusals.wake_at(), Some(due));
    }

    #[test]
    fn nothing_is_held_before_more_than_half_of_the_last_records_were_refused() {
        let mut bench = Bench::new();
        bench.accept_next(100, 0);
        let verdicts: Vec<bool> = (0..102).map(|_| bench.refuse_next(0) == Verdict::Hold).collect();
        assert_eq!(verdicts.iter().position(|is_held| *is_held), Some(101));
    }

    #[test]
    fn what_is_held_is_tried_one_at_a_time_after_waits_that_grow() {
        let mut bench = Bench::flooded();
        let held: Vec<i64> = (101..=105).collect();
        held.iter().for_each(|_| assert_eq!(bench.refuse_next(0), Verdict::Hold));
        let mut due = bench.wait(1);
        for (offset, in_vain) in held.into_iter().zip(2..) {
            assert_eq!(bench.refusals.wake_at(), Some(due));
            assert_eq!(bench.try_at(due - Duration::from_nanos(1)), None, "too early");
            assert_eq!(bench.try_at(due), Some(offset));
            // While it is on its way nothing is due, however late it is.
            assert_eq!((bench.refusals.wake_at(), bench.try_at(due + PAUSE * 100)), (None, None));
            let now = due.as_secs() + 1;
            assert_eq!(bench.refuse(offset, now), Verdict::Bury(refusal()));
            due = second(now) + bench.wait(in_vain);
        }
        assert_eq!(bench.says(), "halted: 105 of the last 105 records were refused");
        // A record that is refused now waits as long as the last try said.
        assert_eq!(bench.refuse_next(due.as_secs()), Verdict::Hold);
        assert_eq!(bench.refusals.wake_at(), Some(due));
    }

    #[test]
    fn what_is_refused_while_another_is_tried_does_not_begin_a_new_wait() {
        let mut bench = Bench::flooded();
        bench.refuse_next(0);
        let due = bench.wait(1);
        assert_eq!(bench.try_at(due), Some(101));
        assert_eq!(bench.refuse_next(30), Verdict::Hold);
        bench.refuse(101, 31);
        assert_eq!(bench.refusals.wake_at(), Some(second(31) + bench.wait(2)));
    }

    #[test]
    fn one_that_is_accepted_when_tried_again_lets_the_next_be_tried_at_once() {
        let mut bench = Bench::flooded();
        (0..3).for_each(|_| drop(bench.refuse_next(0)));
        let due = bench.wait(1);
        assert_eq!(bench.try_at(due), Some(101));
        bench.accept(101, 50);
        assert_eq!(bench.refusals.wake_at(), Some(second(50)));
        // Nor does a refusal that comes between put it off.
        assert_eq!(bench.refuse_next(51), Verdict::Hold);
        assert_eq!(bench.try_at(second(51)), Some(102));
        // The tries in vain are counted anew.
        bench.refuse(102, 60);
        assert_eq!(bench.refusals.wake_at(), Some(second(60) + bench.wait(1)));
    }

    #[test]
    fn ordinary_records_do_not_shorten_the_wait_until_they_outweigh_the_refused() {
        let mut bench = Bench::flooded();
        bench.refuse_next(0);
        let due = bench.wait(1);
        bench.accept_next(99, 1);
        assert_eq!(bench.refusals.wake_at(), Some(due));
        bench.accept_next(1, 2);
        assert_eq!(bench.refusals.wake_at(), Some(second(2)), "a half is not too many");
        // Whoever is refused meanwhile waits behind those that are held.
        assert_eq!(bench.refuse_next(2), Verdict::Hold);
        assert_eq!((bench.try_at(second(2)), bench.try_at(second(2))), (Some(101), None));
    }

    #[test]
    fn a_halt_ends_when_nothing_is_held_or_tried_and_few_are_refused() {
        let mut bench = Bench::flooded();
        (0..2).for_each(|_| drop(bench.refuse_next(0)));
        bench.accept_next(100, 0);
        assert_eq!(
            bench.says(),
            "halted: 100 of the last 200 records were refused, one of those held for json: no object"
        );
        assert_eq!(bench.try_at(second(0)), Some(101));
        bench.accept(101, 1);
        assert!(bench.refusals.halted().is_some(), "one is held");
        assert_eq!(bench.try_at(second(1)), Some(102));
        bench.accept_next(1, 1);
        assert_eq!(bench.says(), "halted: 98 of the last 200 records were refused", "one is being tried");
        bench.accept(102, 2);
        assert_eq!(bench.refusals.halted(), None);
        assert_eq!(bench.refuse_next(3), Verdict::Bury(refusal()));
    }

    #[test]
    fn a_halt_goes_on_while_too_many_of_the_last_records_were_refused() {
        let mut bench = Bench::flooded();
        bench.refuse_next(0);
        let due = bench.wait(1);
        assert_eq!(bench.try_at(due), Some(101));
        bench.accept(101, 20);
        assert_eq!(bench.says(), "halted: 100 of the last 101 records were refused");
        bench.accept_next(98, 20);
        assert!(bench.refusals.halted().is_some());
        bench.accept_next(1, 20);
        assert_eq!(bench.refusals.halted(), None);
    }

    #[test]
    fn one_refused_when_tried_again_starts_no_wait_once_few_are_refused() {
        let mut bench = Bench::flooded();
        (0..2).for_each(|_| drop(bench.refuse_next(0)));
        bench.accept_next(150, 1);
        assert_eq!(bench.try_at(second(1)), Some(101));
        assert_eq!(bench.refuse(101, 9), Verdict::Bury(refusal()));
        assert_eq!(bench.refusals.wake_at(), Some(second(1)), "the next is due");
    }

    #[test]
    fn a_partition_that_is_taken_back_tries_nothing_more() {
        let mut bench = Bench::flooded();
        bench.refuse_next(0);
        bench.refusals.close();
        assert_eq!((bench.refusals.wake_at(), bench.try_at(second(1_000))), (None, None));
    }
}
