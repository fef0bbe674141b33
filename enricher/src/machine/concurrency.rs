//! How many calls of the catalog run at a time: grown by one per round while it helps, halved when it hurts (AIMD).
//!
//! It hurts when the catalog says so (an item put off, a call that failed), or when an answer takes both long and much
//! longer than answers took lately. A catalog that is always slow is not overloaded by us: what it usually takes is
//! learnt anew every few dozen calls.

use std::time::Duration;

/// One call, in the fixed-point numbers of the limit.
const ONE: u32 = 1_000;
/// What is answered faster is never taken for congestion.
const SLOW: Duration = Duration::from_secs(1);
/// Congestion is an answer that takes this many times what is usual.
const TIMES_USUAL: u32 = 3;
/// Answers after which what is usual is learnt anew.
const LEARNT_FROM: u32 = 32;

/// What an answer said of the catalog's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It took everything.
    Taken,
    /// It failed, or put something off.
    Overloaded,
}

/// The limit and what runs.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimit {
    limit: u32,
    max: u32,
    running: u32,
    /// Answers to calls that began before are about the load that was halved already.
    halved_at: Option<Duration>,
    usual: Usual,
}

/// The fastest answer of this period and the one before.
#[derive(Debug, Default)]
struct Usual {
    before: Option<Duration>,
    now: Option<Duration>,
    answers: u32,
}

impl ConcurrencyLimit {
    /// Begins with two calls (or `max`, if less) and never lets more than `max` run, nor fewer than one.
    pub(crate) fn new(max: u32) -> Self {
        let max = max.clamp(1, u32::MAX / ONE);
        ConcurrencyLimit {
            limit: max.min(2) * ONE,
            max: max * ONE,
            running: 0,
            halved_at: None,
            usual: Usual::default(),
        }
    }

    /// Whether another call may begin.
    pub(crate) fn has_room(&self) -> bool {
        self.running < self.calls()
    }

    /// How many calls may run at a time.
    pub(crate) fn calls(&self) -> u32 {
        self.limit / ONE
    }

    /// How many do.
    pub(crate) fn running(&self) -> u32 {
        self.running
    }

    /// A call begins.
    pub(crate) fn begin(&mut self) {
        self.running += 1;
    }

    /// A call ends that nobody waits for.
    pub(crate) fn abandon(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// A call that began at `began` was answered.
    pub(crate) fn end(&mut self, began: Duration, now: Duration, answer: Answer) {
        // Only a full house says that more would have been used.
        let was_full = self.running >= self.calls();
        self.running = self.running.saturating_sub(1);
        let took = now.saturating_sub(began);
        let hurts = match answer {
            Answer::Overloaded => true,
            Answer::Taken => {
                let congested = took > SLOW && self.usual.is_exceeded_by(took);
                self.usual.learn(took);
                congested
            }
        };
        if !hurts {
            if was_full {
                self.limit = (self.limit + ONE * ONE / self.limit).min(self.max);
            }
        } else if self.halved_at.is_none_or(|halved_at| began >= halved_at) {
            self.limit = (self.limit / 2).max(ONE);
            self.halved_at = Some(now);
        }
    }
}

impl Usual {
    fn is_exceeded_by(&self, took: Duration) -> bool {
        let usual = [self.before, self.now].into_iter().flatten().min();
        usual.is_some_and(|usual| took > usual.saturating_mul(TIMES_USUAL))
    }

    fn learn(&mut self, took: Duration) {
        self.now = Some(self.now.map_or(took, |fastest| fastest.min(took)));
        self.answers += 1;
        if self.answers == LEARNT_FROM {
            *self = Usual {
                before: self.now,
                now: None,
                answers: 0,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a catalog that takes `latency(running)` and puts off what exceeds `capacity`; returns calls done, and the limit.
    fn simulate(limit: &mut ConcurrencyLimit, calls: usize, capacity: u32, latency: impl Fn(u32) -> Duration) -> Duration {
        let mut now = Duration::from_secs(100);
        let mut running: Vec<(Duration, Duration, Answer)> = Vec::new();
        for _ in 0..calls {
            while limit.has_room() {
                limit.begin();
                let answer = if limit.running() > capacity { Answer::Overloaded } else { Answer::Taken };
                running.push((now + latency(limit.running()), now, answer));
            }
            running.sort();
            let (done, began, answer) = running.remove(0);
            now = done.max(now);
            limit.end(began, now, answer);
        }
        // Nobody is left who runs.
        running.iter().for_each(|_| limit.abandon());
        now - Duration::from_secs(100)
    }

    impl PartialOrd for Answer {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Ord for Answer {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            (*self as u8).cmp(&(*other as u8))
        }
    }

    #[test]
    fn it_grows_to_the_maximum_while_everything_is_taken() {
        let mut limit = ConcurrencyLimit::new(8);
        assert_eq!(limit.calls(), 2);
        simulate(&mut limit, 200, u32::MAX, |_| Duration::from_millis(20));
        assert_eq!(limit.calls(), 8);
    }

    #[test]
    fn it_does_not_grow_while_nothing_more_would_be_used() {
        let mut limit = ConcurrencyLimit::new(8);
        for second in 0..100 {
            limit.begin();
            limit.end(Duration::from_secs(second), Duration::from_secs(second + 1), Answer::Taken);
        }
        assert_eq!(limit.calls(), 2);
    }

    #[test]
    fn one_burst_of_refusals_halves_it_once_and_it_never_ends_below_one() {
        let mut limit = ConcurrencyLimit::new(8);
        simulate(&mut limit, 200, u32::MAX, |_| Duration::from_millis(20));
        let second = Duration::from_secs;
        (0..8).for_each(|_| limit.begin());
        (0..8).for_each(|_| limit.end(second(1_000), second(1_001), Answer::Overloaded));
        assert_eq!(limit.calls(), 4);
        for round in 0..10 {
            limit.begin();
            limit.end(second(2_000 + 2 * round), second(2_001 + 2 * round), Answer::Overloaded);
        }
        assert_eq!((limit.calls(), limit.running(), limit.has_room()), (1, 0, true));
    }

    /// Guard: congestion is measured against what is usual, which is learnt anew; taken out (a fixed bound): the limit of
    /// the slow catalog stays at one.
    #[test]
    fn t37_the_limit_converges_on_a_fast_a_slow_and_a_bounded_catalog() {
        for (what, capacity, latency, expected) in [
            ("fast", u32::MAX, Duration::from_millis(5), 8..=8),
            ("always slow", u32::MAX, Duration::from_secs(5), 8..=8),
            ("takes four at a time", 4, Duration::from_millis(50), 1..=5),
        ] {
            let mut limit = ConcurrencyLimit::new(8);
            simulate(&mut limit, 400, capacity, |_| latency);
            assert!(expected.contains(&limit.calls()), "{what}: {}", limit.calls());
        }
    }

    /// Guard: additive growth back after each halving; taken out (never growing): under a half of the best.
    #[test]
    fn t37_no_less_than_four_fifths_of_the_best_fixed_limit_gets_through() {
        // A server whose answers slow down in proportion beyond four calls: four is the best fixed limit.
        let latency = |running: u32| Duration::from_millis(400) * running.max(4) / 4;
        let fixed = (1..=16)
            .map(|calls| Duration::from_millis(400) * 1_000 * calls.max(4) / 4 / calls)
            .min()
            .expect("some");
        let mut limit = ConcurrencyLimit::new(16);
        let took = simulate(&mut limit, 1_000, u32::MAX, latency);
        assert!(
            took.as_secs_f64() <= fixed.as_secs_f64() / 0.8,
            "{took:?} against {fixed:?}, limit {}",
            limit.calls()
        );
    }

    /// A limit with `calls` of 8 that knows answers of `usual`, and one call that began.
    fn used_to(usual: Duration) -> ConcurrencyLimit {
        let mut limit = ConcurrencyLimit::new(8);
        simulate(&mut limit, 200, u32::MAX, |_| usual);
        limit.begin();
        limit
    }

    #[test]
    fn an_answer_hurts_when_it_takes_more_than_a_second_and_more_than_three_times_what_is_usual() {
        let millis = Duration::from_millis;
        for (usual, took, hurts) in [
            (millis(20), millis(1_000), false),
            (millis(20), millis(1_001), true),
            (millis(500), millis(1_500), false),
            (millis(500), millis(1_501), true),
        ] {
            let mut limit = used_to(usual);
            limit.end(millis(1_000_000), millis(1_000_000) + took, Answer::Taken);
            assert_eq!(limit.calls() < 8, hurts, "{took:?} where {usual:?} is usual");
        }
    }

    #[test]
    fn what_is_usual_is_forgotten_after_two_periods() {
        let mut limit = used_to(Duration::from_millis(20));
        limit.abandon();
        let second = Duration::from_secs;
        let mut now = second(1_000);
        // A catalog that has become slow for good: relieved at first, trusted again once that is what it takes.
        let mut calls = Vec::new();
        for _ in 0..6 * LEARNT_FROM {
            while limit.has_room() {
                limit.begin();
            }
            limit.end(now, now + second(2), Answer::Taken);
            now += second(2);
            calls.push(limit.calls());
        }
        assert_eq!((calls.iter().min(), calls.last()), (Some(&1), Some(&8)), "{calls:?}");
    }

    #[test]
    fn as_many_calls_begin_as_the_limit_says() {
        let mut limit = ConcurrencyLimit::new(8);
        let mut begun = 0;
        while limit.has_room() {
            limit.begin();
            begun += 1;
        }
        assert_eq!((begun, limit.running()), (2, 2));
    }

    #[test]
    fn a_catalog_that_becomes_slow_is_relieved() {
        let mut limit = ConcurrencyLimit::new(8);
        simulate(&mut limit, 200, u32::MAX, |_| Duration::from_millis(20));
        let second = Duration::from_secs;
        limit.begin();
        limit.end(second(1_000), second(1_002), Answer::Taken);
        assert_eq!(limit.calls(), 4);
    }
}
