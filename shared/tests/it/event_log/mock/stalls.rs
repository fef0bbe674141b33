//! Partitions that bring nothing, and clients that are kept busy by other things.

use std::time::{Duration, Instant};

use shared::adapters::kafka::{ConsumerLimits, EventLog, EventLogConfig, Message, Topic};

use super::Mock;
use crate::event_log::bench::{Recorder, RunningConsumer, Seen, eventually, metric, publish_numbers, within};

/// A statistics event every five milliseconds, and one broker that refuses a connection as often: the same queue brings the one
/// record. Guard: a poll that was spent on events is followed by the next one at once. Taken out (an event a poll, ten polls a
/// second), not even the partitions came within a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t25_a_record_on_an_idle_partition_comes_through_a_flood_of_events() {
    const RECORDS: usize = 9;
    let flood = [
        ("statistics.interval.ms", "5"),
        ("reconnect.backoff.ms", "1"),
        ("reconnect.backoff.max.ms", "1"),
    ];
    // The mock answers an empty fetch no earlier than it has to.
    let prompt = ("fetch.wait.max.ms", "20");
    let mock = Mock::with(3, &[&flood[..], &[prompt]].concat());
    (0..3).for_each(|partition| mock.set_leader(partition, 1));
    mock.set_coordinator(1);
    let log = mock.bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, &mock.bench.group, ConsumerLimits::default(), &recorder);
    recorder.until("the partitions", |seen| seen.assigned.len() == 3).await;
    mock.cluster.broker_down(3).expect("it was up");
    let mut took = Vec::new();
    for number in 0..RECORDS {
        publish_numbers(&publisher, 1, number..number + 1).await;
        let began = Instant::now();
        recorder.settled(number + 1).await;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    eprintln!("from confirmation to settled: median {:?}, longest {:?}", took[RECORDS / 2], took[RECORDS - 1]);
    // Less than a second is promised, and some milliseconds are usual; a machine that does other things as well gets more.
    assert!(took[RECORDS / 2] < Duration::from_secs(10), "{took:?}");
    consumer.stop().await;
}

/// A partition's broker takes requests and never answers, while another one has long become the leader. The client library
/// would find out when its request or its metadata is old, which is put off here for longer than the test waits.
///
/// Guard: `Silence` and `stalled_after`; taken out, nothing came any more within a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t26_a_partition_that_is_frozen_in_the_client_is_noticed_and_healed() {
    const FROZEN: i32 = 2;
    const COUNT: usize = 60;
    let mock = Mock::with(
        3,
        &[
            ("statistics.interval.ms", "100"),
            ("socket.timeout.ms", "300000"),
            ("topic.metadata.refresh.interval.ms", "300000"),
        ],
    );
    mock.set_coordinator(1);
    for partition in 0..3 {
        mock.set_leader(partition, if partition == 0 { FROZEN } else { 1 });
    }
    let log = EventLog::new(EventLogConfig {
        stalled_after: Duration::from_secs(2),
        ..mock.bench.config.clone()
    });
    let publisher = log.publisher().expect("a publisher");
    // Each a batch of its own, and the mock brings one batch per request.
    let mut published = 0;
    for number in 0.. {
        let message = Message::new(format!("key-{number}"), Some(published.to_string().into_bytes()));
        let position = within("a confirmation", publisher.publish(Topic::RawUpdates, message))
            .await
            .expect("published");
        published += usize::from(position.partition == 0);
        if published == COUNT {
            break;
        }
    }
    // So slow that the rest is still to come when it freezes.
    mock.cluster.broker_round_trip_time(FROZEN, Duration::from_millis(300)).expect("a broker");
    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, &mock.bench.group, ConsumerLimits::default(), &recorder);
    let of_frozen = |seen: &Seen| seen.settled.iter().filter(|record| record.partition == 0).count();
    recorder.until("some of it", |seen| of_frozen(seen) >= 3).await;
    eventually("lag to be known", || metric("consumer_lag", &mock.bench.group) > 0.0).await;
    mock.cluster.broker_round_trip_time(FROZEN, Duration::from_secs(3600)).expect("a broker");
    mock.set_leader(0, 1);

    eventually("the stall to be noticed", || metric("partition_stalls_total", &mock.bench.group) >= 1.0).await;
    let seen = recorder.until("the rest", |seen| of_frozen(seen) >= COUNT).await;
    seen.assert_settled_once_per_lease();
    assert_eq!(metric("partition_stalls_total", &mock.bench.group), 1.0, "once was enough");
    consumer.stop().await;
}
