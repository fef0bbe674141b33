//! [`TokenBucket`]: Keepa's way of metering. Pure: every call is told the time.

use std::time::Duration;

/// Tokens are counted in millionths, so that small ticks lose nothing.
const MICRO: i64 = 1_000_000;

/// A balance that grows in ticks up to a capacity, and may be overdrawn by the last request.
#[derive(Debug, Clone)]
pub(super) struct TokenBucket {
    refill_rate: u32,
    token_flow_reduction: f64,
    capacity: i64,
    balance: i64,
    per_tick: i64,
    tick_ms: i64,
    last_tick_ms: i64,
}

/// What every envelope says about the bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    pub(super) tokens_left: i64,
    /// Milliseconds.
    pub(super) refill_in: i64,
    pub(super) refill_rate: u32,
    pub(super) token_flow_reduction: f64,
}

impl TokenBucket {
    /// A bucket that starts with `initial` tokens, or full.
    pub(super) fn new(refill_rate: u32, capacity: u32, initial: Option<i64>, token_flow_reduction: f64, tick: Duration, now_ms: i64) -> Self {
        let tick_ms = i64::try_from(tick.as_millis()).unwrap_or(i64::MAX).clamp(1, 60_000);
        let per_minute = (f64::from(refill_rate) - token_flow_reduction).max(0.0);
        let capacity = i64::from(capacity) * MICRO;
        TokenBucket {
            refill_rate,
            token_flow_reduction,
            capacity,
            balance: initial.map_or(capacity, |tokens| tokens.saturating_mul(MICRO)).min(capacity),
            per_tick: (per_minute * MICRO as f64 * tick_ms as f64 / 60_000.0).ceil() as i64,
            tick_ms,
            last_tick_ms: now_ms,
        }
    }

    /// The state at an instant.
    pub(super) fn reading(&mut self, now_ms: i64) -> Reading {
        self.refill(now_ms);
        Reading {
            tokens_left: self.balance.div_euclid(MICRO),
            refill_in: (self.tick_ms - (now_ms - self.last_tick_ms)).clamp(0, self.tick_ms),
            refill_rate: self.refill_rate,
            token_flow_reduction: self.token_flow_reduction,
        }
    }

    /// Whether a request may run: with any balance above zero, whatever it costs.
    pub(super) fn admits(&mut self, now_ms: i64) -> bool {
        self.reading(now_ms).tokens_left > 0
    }

    /// Takes what a request cost; the balance may go below zero.
    pub(super) fn charge(&mut self, cost: i64, now_ms: i64) -> Reading {
        self.refill(now_ms);
        self.balance -= cost * MICRO;
        self.reading(now_ms)
    }

    fn refill(&mut self, now_ms: i64) {
        // A clock that went back refills nothing.
        let ticks = (now_ms - self.last_tick_ms).max(0) / self.tick_ms;
        self.last_tick_ms += ticks * self.tick_ms;
        self.balance = self.balance.saturating_add(ticks.saturating_mul(self.per_tick)).min(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(initial: i64, reduction: f64) -> TokenBucket {
        TokenBucket::new(20, 1200, Some(initial), reduction, Duration::from_mins(1), 0)
    }

    #[test]
    fn a_request_runs_on_the_last_token_and_overdraws() {
        let mut bucket = bucket(1, 0.0);
        assert!(bucket.admits(0));
        assert_eq!(bucket.charge(300, 0).tokens_left, -299);
        assert!(!bucket.admits(0));
    }

    #[test]
    fn tokens_come_in_ticks_of_a_minute_and_refill_in_counts_down_to_them() {
        let mut bucket = bucket(-10, 0.0);
        assert_eq!((bucket.reading(0).tokens_left, bucket.reading(0).refill_in), (-10, 60_000));
        assert_eq!((bucket.reading(59_999).tokens_left, bucket.reading(59_999).refill_in), (-10, 1));
        assert_eq!((bucket.reading(60_000).tokens_left, bucket.reading(60_000).refill_in), (10, 60_000));
        assert!(bucket.admits(60_000));
    }

    #[test]
    fn a_balance_of_zero_admits_nothing() {
        assert!(!bucket(0, 0.0).admits(0));
    }

    #[test]
    fn the_bucket_never_holds_more_than_its_capacity() {
        let mut bucket = bucket(1190, 0.0);
        assert_eq!(bucket.reading(600_000).tokens_left, 1200);
        assert_eq!(TokenBucket::new(20, 1200, None, 0.0, Duration::from_mins(1), 0).reading(0).tokens_left, 1200);
    }

    #[test]
    fn tracking_slows_the_refill() {
        let mut bucket = bucket(0, 4.5);
        assert_eq!(bucket.reading(120_000).tokens_left, 31);
        assert_eq!(bucket.reading(120_000).token_flow_reduction, 4.5);
    }

    #[test]
    fn short_ticks_add_up_to_the_same_rate() {
        let mut bucket = TokenBucket::new(50, 3000, Some(0), 0.0, Duration::from_secs(1), 0);
        assert_eq!(bucket.reading(1_000).tokens_left, 0);
        assert_eq!(bucket.reading(2_000).tokens_left, 1);
        assert_eq!(bucket.reading(60_001).tokens_left, 50);
    }
}
