//! Where a group starts, and what it does when records are gone. Rows T14, T15 and T32 of the fault list.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shared::adapters::embedded::catalog::EmbeddedCatalog;
use shared::adapters::kafka::{ConsumerLimits, EventLog, EventLogConfig, Message, Publisher, Topic};
use shared::health::{Condition, Health as Board};
use shared::ports::Ports;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, Recorder, RunningConsumer, eventually, metric, numbers, publish_numbers, within};
use super::mock::Mock;

over_every_broker! {
    t14_a_group_that_stands_behind_the_end_starts_at_the_beginning_with_an_alarm,
}

fn admin(bench: &Bench) -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", &bench.config.brokers)
        .create()
        .expect("plain settings")
}

fn options() -> AdminOptions {
    let patience = Some(Duration::from_secs(30));
    AdminOptions::new().request_timeout(patience).operation_timeout(patience)
}

/// Lets all records of a partition before an offset expire, as retention would.
async fn expire(bench: &Bench, topic: &str, partition: i32, before: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
    let done = admin(bench).delete_records(&offsets, &options()).await.expect("an answer");
    done.elements().iter().for_each(|element| element.error().expect("records are deleted"));
}

/// Publishes numbers into one partition: under keys that lead there.
async fn publish_into(publisher: &Publisher, partition: i32, range: std::ops::Range<usize>) -> Vec<usize> {
    let mut there = Vec::new();
    for number in range {
        let found = publish_number(publisher, &key_of(publisher, partition).await, number).await;
        assert_eq!(found, partition);
        there.push(number);
    }
    there
}

async fn publish_number(publisher: &Publisher, key: &str, number: usize) -> i32 {
    let message = Message::new(key, Some(number.to_string().into_bytes()));
    publisher.publish(Topic::RawUpdates, message).await.expect("published").partition
}

/// A key that leads to a partition. Tried out on another topic, which has as many.
async fn key_of(publisher: &Publisher, partition: i32) -> String {
    for number in 0.. {
        let key = format!("key-{number}");
        let position = publisher.publish(Topic::Alerts, Message::new(key.as_str(), None)).await.expect("published");
        if position.partition == partition {
            return key;
        }
    }
    unreachable!("every partition has keys")
}

/// Moves a group that has no members.
fn commit(bench: &Bench, topic: &str, partition: i32, next: i64) -> KafkaResult<()> {
    let group: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &bench.config.brokers)
        .set("group.id", format!("{}{}", bench.config.topic_prefix, bench.group))
        .create()?;
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(next))?;
    group.commit(&offsets, CommitMode::Sync)
}

fn accepting(bench: &Bench, gap: &str) -> EventLog {
    EventLog::new(EventLogConfig {
        accepted_gaps: vec![gap.parse().expect("a gap")],
        ..bench.config.clone()
    })
}

/// What the health board of a process with this log says of it.
async fn board_of(log: &EventLog) -> Option<Condition> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ports = Ports {
        event_log: log.clone(),
        catalog: Arc::new(EmbeddedCatalog::open(&folder.path().join("catalog.db")).await.expect("a catalog")),
        health: Board::default(),
    };
    let never = CancellationToken::new();
    let watched = async {
        while ports.health.snapshot().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = ports.watch(&never) => {}
        () = within("the board to be filled", watched) => {}
    }
    ports.health.snapshot().get("event_log").map(|component| component.condition.clone())
}

/// Guard: `Start::Gap` holds the partition, the others go on, and only the operator's word for this very gap ends it;
/// taken out (every gap accepted): nothing was held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t32_records_that_expired_unread_hold_their_partition_until_an_operator_accepts_it() {
    let Some(bench) = Bench::real() else { return };
    let log = bench.ready().await;
    let topic = log.topic_name(Topic::RawUpdates);
    let publisher = log.publisher().expect("a publisher");
    for partition in [0, 1] {
        publish_into(&publisher, partition, 0..3).await;
    }
    let before = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &before);
    before.settled(6).await;
    consumer.stop().await;

    // While nobody reads: two records of partition 0 expire unread, and all of partition 2, where the group never was.
    publish_into(&publisher, 0, 100..104).await;
    publish_into(&publisher, 1, 200..202).await;
    publish_into(&publisher, 2, 300..303).await;
    expire(&bench, &topic, 0, 5).await;
    expire(&bench, &topic, 2, 3).await;

    for _ in 0..2 {
        // A restart without the operator's word changes nothing.
        let log = bench.log();
        let held = Recorder::new();
        let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &held);
        eventually("both partitions to be held", || metric("partitions_held", &bench.group) == 2.0).await;
        publish_into(&publisher, 1, 202..203).await;
        held.until("the third one to go on", |seen| !seen.settled.is_empty()).await;
        // Idle workers tell once a second: time enough for a record that should not come.
        let idles = held.seen().idles;
        held.until("time to pass", |seen| seen.idles >= idles + 6).await;
        assert!(held.seen().settled.iter().all(|record| record.partition == 1), "{:?}", held.seen().settled);
        let reasons = log.held();
        assert_eq!(reasons.len(), 2, "{reasons:?}");
        for gap in [format!("{}:{topic}:0@3", bench.group), format!("{}:{topic}:2@none", bench.group)] {
            assert!(
                reasons.iter().any(|reason| reason.contains(&format!("KAFKA_ACCEPT_GAP={gap} "))),
                "{gap} in {reasons:?}"
            );
        }
        let board = board_of(&log).await;
        assert!(
            matches!(&board, Some(Condition::Degraded { reason }) if reason.contains("KAFKA_ACCEPT_GAP=")),
            "{board:?}"
        );
        consumer.stop().await;
        assert_eq!((log.held(), metric("partitions_held", &bench.group)), (vec![], 0.0));
    }

    // A word for another place of the group is none.
    let other = accepting(&bench, &format!("{}:{topic}:0@4", bench.group));
    let held = Recorder::new();
    let consumer = RunningConsumer::start(&other, &bench.group, ConsumerLimits::default(), &held);
    eventually("both partitions to be held", || metric("partitions_held", &bench.group) == 2.0).await;
    consumer.stop().await;

    let accepted = accepting(&bench, &format!("{}:{topic}:0@3", bench.group));
    let rest = Recorder::new();
    let consumer = RunningConsumer::start(&accepted, &bench.group, ConsumerLimits::default(), &rest);
    assert_eq!(numbers(&rest.settled(2).await), [102, 103]);
    consumer.stop().await;

    // The empty partition as well: the group's place is moved although nothing of it can be settled.
    let accepted = accepting(&bench, &format!("{}:{topic}:2@none", bench.group));
    let nothing = Recorder::new();
    let consumer = RunningConsumer::start(&accepted, &bench.group, ConsumerLimits::default(), &nothing);
    nothing.until("time to pass", |seen| seen.idles >= 9).await;
    consumer.stop().await;
    let after = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &after);
    publish_into(&publisher, 2, 303..304).await;
    assert_eq!(numbers(&after.settled(1).await), [303], "nothing is held any more and nothing is read twice");
    assert!(log.held().is_empty());
    consumer.stop().await;
}

/// Guard: `auto.offset.reset=error` for members; taken out (`earliest`): the library went on behind
/// the gap by itself, and the partition was never held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t32_records_that_expire_before_a_slow_member_hold_their_partition_as_well() {
    const PAYLOAD: usize = 20_000;
    let Some(mut bench) = Bench::real() else { return };
    bench.config.partitions = 1;
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    for _ in 0..100 {
        let message = Message::new("k", Some(vec![b'x'; PAYLOAD]));
        publisher.publish(Topic::RawUpdates, message).await.expect("published");
    }
    let limits = ConsumerLimits {
        batch_records: 5,
        high_water_bytes: 20 * PAYLOAD,
        low_water_bytes: 5 * PAYLOAD,
        ..ConsumerLimits::default()
    };
    let recorder = Recorder::holding();
    let consumer = RunningConsumer::start(&log, &bench.group, limits, &recorder);
    eventually("the partition to be paused", || metric("partitions_paused", &bench.group) >= 1.0).await;
    expire(&bench, &log.topic_name(Topic::RawUpdates), 0, 90).await;
    recorder.hold(false);
    eventually("the partition to be held", || metric("partitions_held", &bench.group) == 1.0).await;
    let settled = recorder.seen().settled;
    assert!(settled.len() < 30, "{} records were read before the gap", settled.len());
    let stands = settled.last().expect("some were read").offset.0 + 1;
    assert!(log.held()[0].contains(&format!(":0@{stands} ")), "{:?} at {stands}", log.held());
    assert!(metric("offset_gap_total", &bench.group) >= 1.0);
    consumer.stop().await;
}

/// Guard: `Start::Recreated` starts at the beginning and moves the group back; taken out (taken for a place like any): nothing
/// was read.
async fn t14_a_group_that_stands_behind_the_end_starts_at_the_beginning_with_an_alarm(bench: Bench) {
    let log = bench.ready().await;
    let topic = log.topic_name(Topic::RawUpdates);
    let publisher = log.publisher().expect("a publisher");
    let there = publish_into(&publisher, 1, 0..4).await;
    commit(&bench, &topic, 1, 1_000).expect("a group without members can be moved");

    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    assert_eq!(numbers(&recorder.settled(4).await), there);
    assert_eq!(metric("offset_gap_total", &bench.group), 1.0);
    consumer.stop().await;

    let again = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &again);
    publish_into(&publisher, 1, 4..5).await;
    assert_eq!(numbers(&again.settled(1).await), [4], "the group goes on where it stopped");
    assert_eq!(metric("offset_gap_total", &bench.group), 1.0, "and there is no further alarm");
    assert!(log.held().is_empty());
    consumer.stop().await;
}

/// Guard: where to start is decided anew when the topic is back; taken out (the place is kept): what came into the new topic
/// was not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t14_what_comes_into_a_topic_that_was_made_anew_is_read() {
    let Some(mut bench) = Bench::real() else { return };
    bench.config.extra.insert("topic.metadata.refresh.interval.ms".to_owned(), "500".to_owned());
    let log = bench.ready().await;
    let topic = log.topic_name(Topic::RawUpdates);
    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    publish_numbers(&log.publisher().expect("a publisher"), 20, 0..60).await;
    recorder.settled(60).await;

    let deleted = admin(&bench).delete_topics(&[&topic], &options()).await.expect("an answer");
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    within("the topic to be made anew", async {
        // Deletion goes on after its answer.
        while log.extent(Topic::RawUpdates).await.is_err() {
            let _ = log.ensure_topics().await;
        }
    })
    .await;
    // Brokers hear of a new topic one after the other: published until it is confirmed, as the services do.
    let publisher = bench.log().publisher().expect("a publisher");
    for number in 60..75 {
        let message = Message::new(format!("key-{number}"), Some(number.to_string().into_bytes()));
        within("a confirmation", async {
            while publisher.publish(Topic::RawUpdates, message.clone()).await.is_err() {}
        })
        .await;
    }
    let seen = recorder
        .until("what came into the new topic", |seen| {
            let new: std::collections::BTreeSet<usize> = numbers(&seen.settled).into_iter().filter(|number| *number >= 60).collect();
            new.len() == 15
        })
        .await;
    assert!(
        seen.settled
            .iter()
            .any(|record| record.offset.0 == 0 && numbers(std::slice::from_ref(record))[0] >= 60)
    );
    assert!(log.held().is_empty());
    consumer.stop().await;
}

/// Guard: `Start::Beginning` for a partition in which the group never was; taken out (its end): not all of them were read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t15_partitions_that_are_added_are_read_from_their_beginning() {
    let Some(mut bench) = Bench::real() else { return };
    bench.config.extra.insert("topic.metadata.refresh.interval.ms".to_owned(), "500".to_owned());
    let log = bench.ready().await;
    let topic = log.topic_name(Topic::RawUpdates);
    let publisher = log.publisher().expect("a publisher");
    let recorder = Recorder::new();
    let one = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    let two = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    publish_numbers(&publisher, 50, 0..200).await;
    recorder.settled(200).await;

    let wider = NewPartitions::new(&topic, 6);
    let grown = admin(&bench).create_partitions([&wider], &options()).await.expect("an answer");
    assert!(grown.iter().all(Result::is_ok), "{grown:?}");
    // Whether producer or consumers notice first is theirs to know: published until the new ones have got some.
    let mut published = 200;
    let mut found = 0;
    within("records in the new partitions", async {
        while found < 20 {
            found += usize::from(publish_number(&publisher, &format!("key-{published}"), published).await >= 3);
            published += 1;
        }
    })
    .await;
    let seen = recorder
        .until("all of them", |seen| {
            let distinct: std::collections::BTreeSet<usize> = numbers(&seen.settled).into_iter().collect();
            distinct.len() == published
        })
        .await;
    for partition in 3..6 {
        let first = seen
            .settled
            .iter()
            .filter(|record| record.partition == partition)
            .map(|record| record.offset.0)
            .min();
        assert!(first.is_none_or(|first| first == 0), "partition {partition} was read from {first:?}");
    }
    assert!(seen.settled.iter().any(|record| record.partition >= 3));
    assert_eq!(metric("offset_gap_total", &bench.group), 0.0);
    one.stop().await;
    two.stop().await;
}

/// Guard: a partition whose place is not known yet is held and asked for again, not started somewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_is_held_while_its_broker_does_not_say_where_it_begins() {
    let mock = Mock::of(1);
    let (log, group, cluster) = (mock.bench.log(), &mock.bench.group, &mock.cluster);
    publish_numbers(&log.publisher().expect("a publisher"), 1, 0..5).await;
    // Enough that no answer comes before the partition is assigned, and none while it is first asked for again.
    cluster.request_errors(RDKafkaApiKey::ListOffsets, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE; 200]);
    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, group, ConsumerLimits::default(), &recorder);
    eventually("the partitions to be held", || metric("partitions_held", group) == 3.0).await;
    assert!(recorder.seen().settled.is_empty());
    assert!(log.held().is_empty(), "it is not an operator who is waited for");
    cluster.clear_request_errors(RDKafkaApiKey::ListOffsets);
    assert_eq!(numbers(&recorder.settled(5).await), [0, 1, 2, 3, 4]);
    eventually("nothing to be held", || metric("partitions_held", group) == 0.0).await;
    consumer.stop().await;
}
