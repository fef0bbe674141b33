//! [`TokenBucket`]: what Keepa's meter said last, and what follows from it. [`Pace`]: how calls are spread when little is left.
//!
//! The server's meter is the truth; between its readings the balance is predicted, never too high. Pure: every call is
//! told the instant.

use std::num::NonZeroU32;
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);
/// After a 429, on top of `refillIn`: what Keepa's own Java client waits.
const AFTER_REFILL: Duration = Duration::from_millis(100);
/// How long to wait where the bucket does not refill (all of it goes to trackings).
const NO_REFILL: Duration = MINUTE;

/// A reading of the bucket, from the envelope of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter {
    /// The balance; may be negative.
    pub tokens_left: i64,
    /// Until the next tick.
    pub refill_in: Duration,
    /// Tokens per minute, greater than zero.
    pub refill_rate: i64,
    /// Thousandths of a token per minute lost to product tracking.
    pub flow_reduction_milli: i64,
}

impl Meter {
    /// The most tokens the bucket holds: those of an hour.
    #[must_use]
    pub fn capacity(&self) -> i64 {
        self.refill_rate.saturating_mul(60).max(self.tokens_left)
    }

    /// Thousandths of a token gained per minute.
    #[must_use]
    pub fn net_milli(&self) -> i64 {
        self.refill_rate.saturating_mul(1_000).saturating_sub(self.flow_reduction_milli).max(0)
    }
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// The balance pays for it.
    Now,
    /// Not before this long has passed.
    Wait(Duration),
    /// The bucket was never read, or an answer that may have been charged never came: ask `/token` first.
    ReadFirst,
    /// It costs more than the bucket ever holds: make it smaller.
    Never {
        /// What the bucket holds at most.
        capacity: i64,
    },
}

/// The bucket as its owner knows it. One call at a time is in flight; what it may cost is subtracted meanwhile.
#[derive(Debug, Clone, Default)]
pub struct TokenBucket {
    reading: Option<(Meter, Instant)>,
    /// What was asked for since the reading and may have been charged.
    reserved: i64,
    blocked_until: Option<Instant>,
    /// Tokens come once a minute, as Keepa's do. Assumed only after a reading proved it: a server that ticks faster gives less per tick.
    ticks_by_the_minute: bool,
}

impl TokenBucket {
    /// Takes a reading; it holds from `at` on and accounts for all that was reserved.
    pub fn observe(&mut self, meter: Meter, at: Instant) {
        // Ticks divide the minute, so one that is further away than half of it comes once a minute.
        self.ticks_by_the_minute |= meter.refill_in > MINUTE / 2;
        self.reading = Some((meter, at));
        self.reserved = 0;
    }

    /// Subtracts what a call may cost until the next reading.
    pub fn reserve(&mut self, cost: i64) {
        self.reserved = self.reserved.saturating_add(cost);
    }

    /// Gives a reservation back: the call is known not to have been charged.
    pub fn release(&mut self, cost: i64) {
        self.reserved = self.reserved.saturating_sub(cost).max(0);
    }

    /// Nothing is asked before the tick that a 429 announced.
    pub fn block(&mut self, refill_in: Duration, now: Instant) {
        self.blocked_until = Some(now + refill_in + AFTER_REFILL);
    }

    /// The last reading.
    #[must_use]
    pub fn meter(&self) -> Option<&Meter> {
        self.reading.as_ref().map(|(meter, _)| meter)
    }

    /// What is left by now at least, reservations subtracted; none before the first reading.
    #[must_use]
    pub fn balance(&self, now: Instant) -> Option<i64> {
        let (meter, at) = self.reading.as_ref()?;
        let gained = self.gain(meter, now.saturating_duration_since(*at));
        Some(meter.tokens_left.saturating_add(gained).min(meter.capacity()) - self.reserved)
    }

    /// Tokens gained for certain within a time since a reading.
    ///
    /// By the minute: `net` at each tick. Else, for ticks of any length from `refill_in` on, at least what a steady flow
    /// brings in the time since the first of them, and one whole tick.
    fn gain(&self, meter: &Meter, elapsed: Duration) -> i64 {
        let Some(since_tick) = elapsed.checked_sub(meter.refill_in) else { return 0 };
        let minutes_milli = if self.ticks_by_the_minute {
            u128::from(since_tick.as_secs() / 60 + 1) * 1_000
        } else {
            since_tick.max(meter.refill_in).as_millis() * 1_000 / MINUTE.as_millis()
        };
        let gained = minutes_milli.saturating_mul(u128::try_from(meter.net_milli()).unwrap_or(0)) / 1_000_000;
        i64::try_from(gained).unwrap_or(i64::MAX)
    }

    /// Whether a call of this cost may be made: never one that would take the balance below zero. To be asked while no
    /// call is in flight.
    #[must_use]
    pub fn admit(&self, cost: i64, now: Instant) -> Admit {
        if let Some(blocked_until) = self.blocked_until.filter(|until| *until > now) {
            return Admit::Wait(blocked_until - now);
        }
        let (Some((meter, at)), Some(balance)) = (&self.reading, self.balance(now)) else {
            return if cost == 0 { Admit::Now } else { Admit::ReadFirst };
        };
        if cost <= balance || cost == 0 {
            return Admit::Now;
        }
        if cost > meter.capacity() {
            return Admit::Never { capacity: meter.capacity() };
        }
        if self.reserved > 0 {
            return Admit::ReadFirst;
        }
        let net_milli = meter.net_milli();
        if net_milli == 0 {
            return Admit::Wait(NO_REFILL);
        }
        let due = *at + self.time_to_gain(meter, cost - meter.tokens_left, net_milli);
        Admit::Wait(due.saturating_duration_since(now).clamp(Duration::from_millis(1), MINUTE))
    }

    /// The time since the reading after which [`TokenBucket::gain`] is at least `deficit`.
    fn time_to_gain(&self, meter: &Meter, deficit: i64, net_milli: i64) -> Duration {
        let deficit_milli = u64::try_from(deficit.saturating_mul(1_000)).unwrap_or(0);
        let net_milli = u64::try_from(net_milli).unwrap_or(1).max(1);
        if self.ticks_by_the_minute {
            let ticks = deficit_milli.div_ceil(net_milli).max(1);
            return meter
                .refill_in
                .saturating_add(MINUTE.saturating_mul(u32::try_from(ticks - 1).unwrap_or(u32::MAX)));
        }
        let flow = Duration::from_millis(deficit_milli.saturating_mul(60_000).div_ceil(net_milli).saturating_add(61));
        if flow <= meter.refill_in {
            meter.refill_in
        } else {
            meter.refill_in.saturating_add(flow)
        }
    }

    /// Whether so little would be left after a call that calls are to be spread: less than one minute brings. A bucket
    /// that is fuller is spent at once, so that it never overflows while work is waiting.
    #[must_use]
    pub fn is_nearly_empty_after(&self, cost: i64, now: Instant) -> bool {
        let (Some(meter), Some(balance)) = (self.meter(), self.balance(now)) else {
            return false;
        };
        (balance - cost).saturating_mul(1_000) < meter.net_milli()
    }
}

/// Spreads calls at the rate at which tokens come, so that a nearly empty bucket is not spent in one burst per tick.
#[derive(Debug)]
pub struct Pace {
    clock: GivenTime,
    start: Instant,
    limiter: Option<(NonZeroU32, Limiter)>,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, GivenTime, NoOpMiddleware<Given>>;

impl Pace {
    /// No rate yet; `start` is where time begins.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        Pace {
            clock: GivenTime::default(),
            start,
            limiter: None,
        }
    }

    /// Follows the net refill rate of a reading; a changed one starts a new limiter.
    pub fn follow(&mut self, meter: &Meter) {
        let per_minute = u32::try_from(meter.net_milli() / 1_000).ok().and_then(NonZeroU32::new);
        if self.limiter.as_ref().map(|(rate, _)| *rate) != per_minute {
            self.limiter = per_minute.map(|rate| (rate, RateLimiter::direct_with_clock(Quota::per_minute(rate), self.clock.clone())));
        }
    }

    /// Counts a call, or says how long it should wait. A call of more tokens than a minute brings is not spread: the
    /// bucket has saved up for it.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&self, cost: i64, now: Instant) -> Result<(), Duration> {
        self.clock.set(now.saturating_duration_since(self.start));
        let (Some((_, limiter)), Some(cells)) = (&self.limiter, u32::try_from(cost).ok().and_then(NonZeroU32::new)) else {
            return Ok(());
        };
        match limiter.check_n(cells) {
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.clock.now())),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

/// A clock that shows what it is told: the limiter needs one, and time is an argument here.
#[derive(Debug, Clone, Default)]
struct GivenTime(Arc<AtomicU64>);

impl GivenTime {
    fn set(&self, since_start: Duration) {
        self.0.store(u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX / 2), Ordering::Relaxed);
    }
}

/// Nanoseconds since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Given(u64);

impl Add<Nanos> for Given {
    type Output = Given;

    fn add(self, duration: Nanos) -> Given {
        Given(self.0.saturating_add(duration.as_u64()))
    }
}

impl Reference for Given {
    fn duration_since(&self, earlier: Self) -> Nanos {
        Nanos::new(self.0.saturating_sub(earlier.0))
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Given(self.0.saturating_sub(duration.as_u64()))
    }
}

impl Clock for GivenTime {
    type Instant = Given;

    fn now(&self) -> Given {
        Given(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meter(tokens_left: i64, refill_in_ms: u64, refill_rate: i64) -> Meter {
        Meter {
            tokens_left,
            refill_in: Duration::from_millis(refill_in_ms),
            refill_rate,
            flow_reduction_milli: 0,
        }
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn the_bucket_is_read_before_anything_that_costs_is_asked() {
        let bucket = TokenBucket::default();
        assert_eq!(bucket.admit(3, Instant::now()), Admit::ReadFirst);
        assert_eq!(bucket.admit(0, Instant::now()), Admit::Now);
    }

    #[test]
    fn tokens_come_once_a_minute_and_the_balance_never_exceeds_the_capacity() {
        let start = Instant::now();
        let mut bucket = TokenBucket::default();
        bucket.observe(meter(-5, 40_000, 20), start);
        assert_eq!(bucket.balance(start), Some(-5));
        assert_eq!(bucket.balance(start + Duration::from_millis(39_999)), Some(-5));
        assert_eq!(bucket.balance(start + seconds(40)), Some(15));
        assert_eq!(bucket.balance(start + seconds(99)), Some(15));
        assert_eq!(bucket.balance(start + seconds(100)), Some(35));
        assert_eq!(bucket.balance(start + seconds(100_000)), Some(1_200));
        assert_eq!(bucket.admit(15, start), Admit::Wait(seconds(40)));
        assert_eq!(bucket.admit(15, start + seconds(40)), Admit::Now);
        assert_eq!(
            bucket.admit(50, start + seconds(10)),
            Admit::Wait(MINUTE),
            "looked at again after a minute at the latest"
        );
        assert_eq!(bucket.admit(1_201, start), Admit::Never { capacity: 1_200 });
    }

    #[test]
    fn what_is_in_flight_is_subtracted_until_the_next_reading() {
        let start = Instant::now();
        let mut bucket = TokenBucket::default();
        bucket.observe(meter(100, 50_000, 5), start);
        bucket.reserve(60);
        assert_eq!(bucket.balance(start), Some(40));
        assert_eq!(bucket.admit(50, start), Admit::ReadFirst, "what was charged for the last answer is not known");
        bucket.release(60);
        assert_eq!(bucket.admit(50, start), Admit::Now);
        bucket.reserve(60);
        bucket.observe(meter(41, 49_000, 5), start + seconds(1));
        assert_eq!(bucket.balance(start + seconds(1)), Some(41));
    }

    /// Guard: `block` keeps every call until the announced tick; taken out: the next call was admitted at once.
    #[test]
    fn t47_a_429_blocks_until_its_tick() {
        let start = Instant::now();
        let mut bucket = TokenBucket::default();
        bucket.observe(meter(1_000, 12_000, 20), start);
        bucket.block(seconds(12), start);
        assert_eq!(bucket.admit(3, start), Admit::Wait(Duration::from_millis(12_100)));
        assert_eq!(bucket.admit(3, start + Duration::from_millis(12_100)), Admit::Now);
    }

    #[test]
    fn trackings_lower_the_refill() {
        let start = Instant::now();
        let mut bucket = TokenBucket::default();
        bucket.observe(
            Meter {
                flow_reduction_milli: 19_100,
                ..meter(0, 60_000, 20)
            },
            start,
        );
        assert_eq!(bucket.balance(start + seconds(60)), Some(0), "0.9 tokens are none");
        assert_eq!(bucket.balance(start + seconds(120)), Some(1));
        bucket.observe(
            Meter {
                flow_reduction_milli: 30_000,
                ..meter(0, 60_000, 20)
            },
            start,
        );
        assert_eq!(bucket.admit(1, start), Admit::Wait(NO_REFILL));
    }

    #[test]
    fn calls_are_spread_only_when_little_is_left() {
        let start = Instant::now();
        let mut bucket = TokenBucket::default();
        bucket.observe(meter(1_200, 60_000, 20), start);
        assert!(!bucket.is_nearly_empty_after(300, start), "a full bucket is spent at once");
        bucket.observe(meter(22, 60_000, 20), start);
        assert!(bucket.is_nearly_empty_after(3, start));

        let mut pace = Pace::new(start);
        assert_eq!(pace.take(3, start), Ok(()), "no rate is known");
        pace.follow(&meter(22, 60_000, 20));
        for _ in 0..6 {
            assert_eq!(pace.take(3, start), Ok(()), "a minute's worth may go at once");
        }
        let wait = pace.take(3, start).expect_err("the minute's worth is gone");
        assert!(wait > seconds(1) && wait <= seconds(9), "{wait:?}");
        assert_eq!(pace.take(3, start + wait), Ok(()));
        assert_eq!(pace.take(50, start), Ok(()), "what was saved up for is not spread");
    }

    /// Keepa's bucket, written down independently: ticks of any length, a request runs on any balance above zero.
    struct Server {
        micro: i128,
        per_tick_micro: i128,
        capacity_micro: i128,
        tick_ms: u64,
        now_ms: u64,
        phase_ms: u64,
    }

    impl Server {
        fn advance(&mut self, by_ms: u64) {
            let ticks = |now: u64| (now + self.phase_ms) / self.tick_ms;
            let passed = ticks(self.now_ms + by_ms) - ticks(self.now_ms);
            self.now_ms += by_ms;
            self.micro = (self.micro + i128::from(passed) * self.per_tick_micro).min(self.capacity_micro);
        }

        fn meter(&self, rate: i64, reduction_milli: i64) -> Meter {
            let refill_in = self.tick_ms - (self.now_ms + self.phase_ms) % self.tick_ms;
            Meter {
                tokens_left: i64::try_from(self.micro.div_euclid(1_000_000)).unwrap(),
                refill_in: Duration::from_millis(refill_in),
                refill_rate: rate,
                flow_reduction_milli: reduction_milli,
            }
        }
    }

    proptest! {
        /// Whatever the rate, the length of a tick, its phase, the costs and the delays: a caller who does as the model
        /// says never takes the balance below zero, and is never told to wait for more than a minute at a time.
        #[test]
        fn no_admitted_call_takes_the_servers_balance_below_zero(
            rate in 1i64..400,
            reduction_milli in 0i64..3_000,
            tick_ms in prop_oneof![Just(60_000u64), Just(30_000), Just(10_000), Just(1_000), Just(100)],
            phase_ms in 0u64..60_000,
            initial in -300i64..2_000,
            steps in proptest::collection::vec((1i64..301, 0u64..90_000, 0u64..3_000, 0.0f64..1.0), 1..60),
        ) {
            let start = Instant::now();
            let net_micro = i128::from((rate * 1_000 - reduction_milli).max(0)) * 1_000;
            let mut server = Server {
                micro: i128::from(initial.min(rate * 60)) * 1_000_000,
                per_tick_micro: net_micro * i128::from(tick_ms) / 60_000 + 1,
                capacity_micro: i128::from(rate * 60) * 1_000_000,
                tick_ms, now_ms: 0, phase_ms,
            };
            let mut bucket = TokenBucket::default();
            bucket.observe(server.meter(rate, reduction_milli), start);
            for (cost, idle_ms, on_the_way_ms, charged) in steps {
                server.advance(idle_ms);
                let now = |server: &Server| start + Duration::from_millis(server.now_ms);
                match bucket.admit(cost, now(&server)) {
                    Admit::Now => {
                        bucket.reserve(cost);
                        // Not every call costs what it may cost.
                        let actual = if charged < 0.3 { cost / 2 } else { cost };
                        server.advance(on_the_way_ms / 2);
                        server.micro -= i128::from(actual) * 1_000_000;
                        prop_assert!(server.micro >= 0, "balance {} after {cost}", server.micro);
                        let said = server.meter(rate, reduction_milli);
                        server.advance(on_the_way_ms / 2);
                        // A tenth of the answers never arrives; what they cost stays reserved.
                        if charged < 0.9 {
                            bucket.observe(said, now(&server));
                        }
                    }
                    Admit::Wait(wait) => {
                        prop_assert!(wait <= MINUTE + AFTER_REFILL && wait > Duration::ZERO);
                        server.advance(u64::try_from(wait.as_millis()).unwrap());
                    }
                    Admit::Never { capacity } => prop_assert!(cost > capacity),
                    Admit::ReadFirst => bucket.observe(server.meter(rate, reduction_milli), now(&server)),
                }
            }
        }

        /// Who waits as told gets there: with nothing else going on, a call that the bucket can hold is admitted.
        #[test]
        fn a_waiting_call_is_admitted_in_the_end(rate in 1i64..100, tokens_left in -200i64..50, refill_in_ms in 0u64..60_000, cost in 1i64..61) {
            let start = Instant::now();
            let mut bucket = TokenBucket::default();
            bucket.observe(meter(tokens_left, refill_in_ms, rate), start);
            let mut now = start;
            let mut waits = 0;
            while let Admit::Wait(wait) = bucket.admit(cost, now) {
                now += wait;
                waits += 1;
                prop_assert!(waits < 400, "still waiting");
            }
            prop_assert_eq!(bucket.admit(cost, now), Admit::Now);
            let needed_minutes = u64::try_from((cost - tokens_left).max(0)).unwrap().div_ceil(u64::try_from(rate).unwrap());
            prop_assert!(now - start <= seconds(60 * (needed_minutes + 2)), "not longer than the refill takes");
        }
    }
}
