//! Members that come, go, are thrown out, stop and stand still.

use std::time::{Duration, Instant};

use shared::adapters::kafka::ConsumerLimits;

use super::Mock;
use crate::event_log::bench::{Recorder, RunningConsumer, Seen, eventually, metric, publish_numbers};

fn draining(drain: Duration) -> ConsumerLimits {
    ConsumerLimits {
        drain,
        ..ConsumerLimits::default()
    }
}

/// Guard: the reading thread never waits for a worker; taken out (it waits for the mailbox to be drained), the member is
/// thrown out of its group after `max.poll.interval.ms` and the partitions are assigned once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t22_a_handler_that_is_blocked_beyond_the_poll_interval_costs_no_membership() {
    let mock = Mock::with(1, &[("max.poll.interval.ms", "4000")]);
    let log = mock.bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let recorder = Recorder::holding();
    let consumer = RunningConsumer::start(&log, &mock.bench.group, ConsumerLimits::default(), &recorder);
    // One key: two of three partitions stay idle, and their workers say so once a second.
    publish_numbers(&publisher, 1, 0..20).await;
    recorder.until("a batch in hand", |seen| !seen.taken.is_empty()).await;
    let idles = recorder.seen().idles;
    let seen = recorder.until("two poll intervals to pass", |seen| seen.idles >= idles + 16).await;
    assert!(seen.settled.is_empty());
    assert_eq!(seen.assigned.len(), 3, "nobody was thrown out");
    recorder.hold(false);
    let settled = recorder.settled(20).await;
    assert_eq!((settled.len(), metric("rebalances_total", &mock.bench.group)), (20, 1.0));
    mock.bench.all_is_committed().await;
    consumer.stop().await;
}

/// Guard: the drain has a deadline, and closing waits for nothing but the library's own leaving; taken out (a drain
/// without a deadline), the stop ends by the watchdog and not in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t29_a_stop_in_any_moment_of_a_rebalance_ends_in_time() {
    const DRAIN: Duration = Duration::from_secs(1);
    /// When the stop comes.
    #[derive(Debug)]
    enum Moment {
        AtOnce,
        WhileDraining,
        WhileMembersJoin,
    }
    for moment in [Moment::AtOnce, Moment::WhileDraining, Moment::WhileMembersJoin] {
        let mock = Mock::of(1);
        let log = mock.bench.ready().await;
        publish_numbers(&log.publisher().expect("a publisher"), 30, 0..60).await;
        let (holding, second) = (Recorder::holding(), Recorder::new());
        let one = RunningConsumer::start(&log, &mock.bench.group, draining(DRAIN), &holding);
        holding.until("a batch in hand on all partitions", Seen::has_all_partitions_in_hand).await;
        let two = RunningConsumer::start(&log, &mock.bench.group, draining(DRAIN), &second);
        let group = &mock.bench.group;
        match moment {
            Moment::AtOnce => {}
            // The first one is the assignment.
            Moment::WhileDraining => eventually("a revoke", || metric("rebalances_total", group) >= 2.0).await,
            Moment::WhileMembersJoin => eventually("the drain to end", || metric("skipped_revoked_total", group) >= 3.0).await,
        }
        let began = Instant::now();
        tokio::join!(one.stop(), two.stop());
        let took = began.elapsed();
        // A thread that does not come back is given up only after the drain and five seconds more.
        assert!(took < DRAIN + Duration::from_secs(5), "{moment:?}: {took:?}");
        assert!(
            holding.seen().settled.is_empty() && mock.bench.committed().is_empty(),
            "{moment:?}: nothing was settled by the first"
        );
    }
}
