//! What a member holds in memory when it can do nothing with what it reads.

use std::time::Duration;

use shared::adapters::kafka::{Message, Topic};
use tokio::task::JoinSet;

use super::bench::{Bench, within};
use super::mock::Mock;
use super::processes::MemberProcess;

const MIB: usize = 1024 * 1024;
/// What one process with one member may hold, whatever the number of its partitions: a container has 384 MiB, of which the
/// service needs as much again.
const LIMIT: usize = 192 * MIB;
const PARTITIONS: i32 = 24;
/// More in every partition than any of them may hold back.
const BYTES_PER_PARTITION: usize = 20 * MIB;
const PAYLOAD: usize = 100_000;

/// Guard: `ConsumerLimits::among`, by which many partitions share what a member may hold; taken out, 483 MiB instead of 97.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t38_a_member_of_many_partitions_that_are_all_paused_stays_below_its_limit_on_mock_brokers() {
    stays_below_its_limit(&Mock::wide(1, PARTITIONS, &[]).bench).await;
}

/// Guard: as above; taken out, 424 MiB instead of 99.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t38_a_member_of_many_partitions_that_are_all_paused_stays_below_its_limit_on_kafka() {
    if let Some(mut bench) = Bench::real() {
        bench.config.partitions = PARTITIONS;
        bench.config.extra.insert("session.timeout.ms".to_owned(), "6000".to_owned());
        stays_below_its_limit(&bench).await;
    }
}

/// Fills all partitions, has a member that settles nothing read them, and weighs it.
async fn stays_below_its_limit(bench: &Bench) {
    fill(bench).await;
    let member = MemberProcess::start(bench, true);
    let partitions = usize::try_from(PARTITIONS).expect("a count");
    member.until("all partitions to be paused", |said| said.paused == partitions).await;
    // The client library reads ahead for a while longer.
    let mut looks = tokio::time::interval(Duration::from_millis(100));
    let mut largest = 0;
    for _ in 0..50 {
        looks.tick().await;
        largest = largest.max(member.resident_bytes());
    }
    eprintln!(
        "{PARTITIONS} partitions paused: {} MiB resident, the limit is {} MiB",
        largest / MIB,
        LIMIT / MIB
    );
    assert!(largest < LIMIT, "{} MiB", largest / MIB);
}

/// Zeros weigh nothing on their way and at the broker, and all of it here: records are bounded as they are unpacked.
async fn fill(bench: &Bench) {
    let publisher = bench.ready().await.publisher().expect("a publisher");
    let mut held = std::collections::BTreeMap::<i32, usize>::new();
    let mut in_flight = JoinSet::new();
    for number in 0.. {
        let message = Message::new(format!("key-{number}"), Some(vec![0; PAYLOAD]));
        let publisher = publisher.clone();
        in_flight.spawn(async move { publisher.publish(Topic::RawUpdates, message).await.expect("published") });
        if in_flight.len() > 200
            && let Some(done) = within("a confirmation", in_flight.join_next()).await
        {
            *held.entry(done.expect("no panic").partition).or_default() += PAYLOAD;
        }
        if held.len() == usize::try_from(PARTITIONS).expect("a count") && held.values().all(|bytes| *bytes >= BYTES_PER_PARTITION) {
            break;
        }
    }
    within("confirmations", in_flight.join_all()).await;
}
