//! Three real brokers, killed one after the other: `export $(compose/servers up --only kafka --brokers 3)`. `SERVERS_DIR` is
//! whichever folder they were brought up in.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use shared::adapters::kafka::{ConsumerLimits, Message, Publisher, Topic};
use tokio::task::JoinSet;

use super::bench::{Bench, Recorder, RunningConsumer, eventually, within};

const BROKERS: usize = 3;

/// The script that stops and starts the brokers in use: `COMPOSE_SERVERS`, or the repository's own.
fn script() -> PathBuf {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../compose/servers");
    std::env::var_os("COMPOSE_SERVERS").map_or_else(|| PathBuf::from(own), PathBuf::from)
}

async fn order(words: [&'static str; 3]) {
    let ended = tokio::task::spawn_blocking(move || Command::new(script()).args(words).output());
    let output = within("the script", ended).await.expect("no panic").expect("it runs");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Publishes one number after the other, each again until it is confirmed, until it is told to stop.
async fn publish_until(publisher: Publisher, stop: Arc<AtomicBool>, confirmed: Arc<AtomicUsize>) {
    while !stop.load(Ordering::Acquire) {
        let number = confirmed.load(Ordering::Acquire);
        let message = Message::new(format!("key-{}", number % 30), Some(number.to_string().into_bytes()));
        if publisher.publish(Topic::RawUpdates, message).await.is_ok() {
            confirmed.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Guard: `acks=all` with `min.insync.replicas=2`, and every client's patience; with one replica in sync it would be the
/// luck of who was killed. `acks=all` taken out, the client library refuses an idempotent producer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t30_nothing_is_lost_while_leaders_and_coordinators_are_killed() {
    let Some(mut bench) = Bench::real() else { return };
    if bench.config.brokers.split(',').count() < BROKERS {
        // Past the test runner, which keeps the output of tests that pass to itself.
        let _ = writeln!(
            std::io::stderr(),
            "NOT RUN: leaders and coordinators are killed where KAFKA_BROKERS names three"
        );
        return;
    }
    bench.config.replication = 3;
    bench.config.min_insync_replicas = 2;
    let log = bench.ready().await;
    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    let (stop, confirmed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut publishing = JoinSet::new();
    publishing.spawn(publish_until(log.publisher().expect("a publisher"), Arc::clone(&stop), Arc::clone(&confirmed)));

    // Each leads one of the three partitions, and one of them looks after the group.
    for number in ["1", "2", "3"] {
        let so_far = confirmed.load(Ordering::Acquire);
        eventually("work before the fault", || confirmed.load(Ordering::Acquire) >= so_far + 200).await;
        order(["kill", "kafka", number]).await;
        let so_far = confirmed.load(Ordering::Acquire);
        eventually("work without the broker", || confirmed.load(Ordering::Acquire) >= so_far + 500).await;
        let target = confirmed.load(Ordering::Acquire);
        recorder.until("what was confirmed meanwhile", |seen| seen.distinct() >= target).await;
        order(["start", "kafka", number]).await;
    }
    stop.store(true, Ordering::Release);
    within("the publisher to end", publishing.join_all()).await;
    let confirmed = confirmed.load(Ordering::Acquire);
    let seen = recorder
        .until("everything that was confirmed", |seen| {
            let numbers: std::collections::BTreeSet<_> = seen.settled.iter().map(|record| record.payload.clone()).collect();
            numbers.len() == confirmed
        })
        .await;
    seen.assert_settled_once_per_lease();
    eprintln!("{confirmed} records confirmed, {} places, {} settled", seen.distinct(), seen.settled.len());
    bench.all_is_committed().await;
    consumer.stop().await;
}
