//! Publishing what was paid for: nothing is dropped while the log is away, and nothing more is paid for meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use shared::adapters::kafka::{EventLog, Health as LogHealth, Message, PublishError, Publisher, Topic};
use shared::domain::{Asin, UnixMillis};
use shared::health::Health;
use shared::retry::Backoff;
use shared::wire::RawUpdate;
use tokio_util::sync::CancellationToken;

use crate::keepa::response::Product;
use crate::metrics;

/// Keys remembered by name; older ones share a common floor.
const MOST_KEYS: usize = 200_000;

/// Gives every record of a key a later time than the one before, also where the machine's clock goes back. Pure.
#[derive(Debug, Default)]
pub struct FetchClock {
    last: HashMap<Asin, i64>,
    /// Every key that is not remembered got at most this.
    floor: i64,
}

impl FetchClock {
    /// The time of the next record of a key: `now`, or one millisecond after its last.
    pub fn stamp(&mut self, key: Asin, now: UnixMillis) -> UnixMillis {
        let last = self.last.get(&key).copied().unwrap_or(self.floor);
        let stamp = now.0.max(last.saturating_add(1));
        if self.last.len() >= MOST_KEYS && !self.last.contains_key(&key) {
            self.floor = self.last.values().copied().fold(self.floor, i64::max);
            self.last.clear();
        }
        self.last.insert(key, stamp);
        UnixMillis(stamp)
    }
}

/// Why products are asked for, as the records say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'o> {
    pub(crate) source: &'static str,
    pub(crate) run_id: Option<&'o str>,
}

/// What became of the products of one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// The log confirmed them.
    pub(crate) confirmed: usize,
    /// Too large for the log: reported, and nothing else can be done.
    pub(crate) too_large: usize,
    /// The work ended before the log confirmed them.
    pub(crate) unconfirmed: usize,
}

/// Publishes the products of one answer, each as its own record, and returns when each is confirmed.
///
/// While the log is away it is waited for, until `over` is cancelled.
pub(crate) async fn publish_all(
    publisher: &Publisher,
    clock: &mut FetchClock,
    products: Vec<Product>,
    origin: Origin<'_>,
    health: &Health,
    over: &CancellationToken,
) -> Published {
    let now = UnixMillis::now();
    let records = products.into_iter().map(|product| {
        let fetched_at = clock.stamp(product.asin, now);
        let update = RawUpdate::new(product.asin, product.marketplace, fetched_at, origin.source, origin.run_id, &product.json);
        let message = Message::new(product.asin.as_str(), Some(update.to_bytes())).with_timestamp_ms(fetched_at.0);
        publish_one(publisher, product.asin, message, health, over)
    });
    let mut published = Published::default();
    for outcome in join_all(records.collect::<Vec<_>>()).await {
        match outcome {
            Outcome::Confirmed => published.confirmed += 1,
            Outcome::TooLarge => published.too_large += 1,
            Outcome::Unconfirmed => published.unconfirmed += 1,
        }
    }
    let confirmed = u64::try_from(published.confirmed).unwrap_or(u64::MAX);
    metrics::PUBLISHED.with_label_values(&[origin.source]).inc_by(confirmed);
    published
}

enum Outcome {
    Confirmed,
    TooLarge,
    Unconfirmed,
}

async fn publish_one(publisher: &Publisher, asin: Asin, message: Message, health: &Health, over: &CancellationToken) -> Outcome {
    let confirmed = async {
        let mut backoff = Backoff::for_outside_systems();
        loop {
            match publisher.publish(Topic::RawUpdates, message.clone()).await {
                Ok(_) => {
                    if backoff.attempts() > 0 {
                        health.up("event_log", UnixMillis::now());
                    }
                    return Outcome::Confirmed;
                }
                // Counted as produce_failures_total{class="too_large"} by the publisher.
                Err(error @ PublishError::TooLarge { .. }) => {
                    tracing::error!(%asin, %error, "a product is larger than the log takes and is not published");
                    return Outcome::TooLarge;
                }
                // A refusal may be cured by an operator; until then it is as if the log were away.
                Err(error) => health.down("event_log", error.to_string(), UnixMillis::now()),
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    };
    tokio::select! {
        outcome = confirmed => outcome,
        () = over.cancelled() => Outcome::Unconfirmed,
    }
}

/// Returns once the log answers; nothing is asked of Keepa before. False if `stop` came first.
pub(crate) async fn log_answers(event_log: &EventLog, health: &Health, stop: &CancellationToken) -> bool {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        if *event_log.health().borrow() == LogHealth::Up {
            return true;
        }
        let checked = tokio::select! {
            checked = event_log.check() => checked,
            () = stop.cancelled() => return false,
        };
        match checked {
            Ok(()) => {
                health.up("event_log", UnixMillis::now());
                return true;
            }
            Err(error) => health.down("event_log", error.to_string(), UnixMillis::now()),
        }
        if backoff.wait(stop).await.is_err() {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Guard: a key's next time is its last and one more at least; taken out: times went 100, 100, 50.
    #[test]
    fn t17_times_of_a_key_grow_also_when_the_clock_goes_back() {
        let mut clock = FetchClock::default();
        let (one, other) = ("B0D1XD1ZV3".parse().unwrap(), "0441013597".parse().unwrap());
        let stamps = [(one, 100), (one, 100), (other, 100), (one, 50), (one, 200), (other, 99)].map(|(key, now)| clock.stamp(key, UnixMillis(now)).0);
        assert_eq!(stamps, [100, 101, 100, 102, 200, 101]);
        // An hour back, and for an hour nothing is frozen or equal.
        const HOUR: i64 = 3_600_000;
        let mut last = clock.stamp(one, UnixMillis(2 * HOUR)).0;
        for now in (HOUR..3 * HOUR).step_by(60_000) {
            let stamp = clock.stamp(one, UnixMillis(now)).0;
            assert!(stamp > last && stamp <= now.max(2 * HOUR + 61), "{stamp} after {last} at {now}");
            last = stamp;
        }
    }

    #[test]
    fn memory_is_bounded_and_times_still_grow() {
        let mut clock = FetchClock::default();
        let key = |number: usize| format!("B{number:09}").parse::<Asin>().unwrap();
        for number in 0..=MOST_KEYS {
            clock.stamp(key(number), UnixMillis(1_000));
        }
        assert!(clock.last.len() <= MOST_KEYS);
        assert_eq!(clock.stamp(key(0), UnixMillis(5)).0, 1_001);
    }

    proptest! {
        #[test]
        fn times_of_a_key_grow_strictly(steps in proptest::collection::vec((0usize..3, -1_000i64..1_000), 1..100)) {
            let mut clock = FetchClock::default();
            let mut last = [i64::MIN; 3];
            for (key, now) in steps {
                let stamp = clock.stamp(format!("B{key:09}").parse().unwrap(), UnixMillis(now)).0;
                prop_assert!(stamp > last[key] && stamp >= now);
                last[key] = stamp;
            }
        }
    }
}
