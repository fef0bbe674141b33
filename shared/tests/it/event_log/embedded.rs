//! What holds over the embedded broker alone: it lives in a process that may be killed, on a disk that may fill up.

use std::io::BufRead as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shared::adapters::embedded::broker::{BrokerError, EmbeddedBroker};
use shared::adapters::kafka::{ConsumerLimits, EventLog, EventLogConfig, FollowFrom, Health, Message, PublishError, Topic};

use super::bench::{DAY, NO_LIMIT, Recorder, RunningBroker, RunningConsumer, config, metric, numbers, publish_numbers, within};
use super::reading::followed;

/// Set in the process that is to be killed.
const CHILD_DIR: &str = "EVENT_LOG_CHILD_DIR";
const CHILD_PREFIX: &str = "killed.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_and_committed_offsets_survive_a_kill() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut child = Command::new(std::env::current_exe().expect("this test's own binary"))
        .args(["event_log::embedded::the_process_to_be_killed", "--exact", "--nocapture"])
        .env(CHILD_DIR, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a second process");
    let stdout = child.stdout.take().expect("its output");
    let committed = tokio::task::spawn_blocking(move || {
        std::io::BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains("committed"))
    });
    assert!(within("the other process", committed).await.expect("no panic"), "it ended by itself");
    // SIGKILL, in the middle of publishing.
    child.kill().expect("it runs");
    child.wait().expect("it is gone");

    let broker = RunningBroker::start_in(dir.path()).await;
    let log = EventLog::new(EventLogConfig {
        topic_prefix: CHILD_PREFIX.to_owned(),
        ..config(&broker.bootstrap, true)
    });
    let all = followed(&log, FollowFrom::Beginning, 100).await;
    assert_eq!(all[..100], (0..100).collect::<Vec<_>>(), "what was confirmed is there");

    let began = Instant::now();
    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, "g", ConsumerLimits::default(), &recorder);
    publish_numbers(&log.publisher().expect("a publisher"), 3, 1_000_000..1_000_001).await;
    let seen = recorder
        .until("the record after the kill", |seen| numbers(&seen.settled).contains(&1_000_000))
        .await;
    assert!(
        numbers(&seen.settled).iter().all(|number| *number >= 100),
        "what was committed is not read again"
    );
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "the killed member is not waited for: {:?}",
        began.elapsed()
    );
    consumer.stop().await;
    broker.stop().await;
}

/// Not a test: the other half of the one above. Alone it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_to_be_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else {
        return;
    };
    let broker = RunningBroker::start_in(Path::new(&dir)).await;
    let settings = EventLogConfig {
        topic_prefix: CHILD_PREFIX.to_owned(),
        ..config(&broker.bootstrap, true)
    };
    let log = EventLog::new(settings);
    log.ensure_topics().await.expect("topics are created");
    let recorder = Recorder::new();
    let _consumer = RunningConsumer::start(&log, "g", ConsumerLimits::default(), &recorder);
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 10, 0..100).await;
    recorder.settled(100).await;
    recorder.hold(true);
    let (bootstrap, topic) = (broker.bootstrap.clone(), log.topic_name(Topic::RawUpdates));
    let watch = tokio::task::spawn_blocking(move || while committed(&bootstrap, &format!("{CHILD_PREFIX}g"), &topic) < 100 {});
    within("a commit", watch).await.expect("no panic");
    println!("committed");
    for number in 100..1_000_000 {
        publish_numbers(&publisher, 10, number..number + 1).await;
    }
}

/// The sum of a group's committed offsets.
fn committed(bootstrap: &str, group: &str, topic: &str) -> i64 {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .create()
        .expect("plain settings");
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_range(topic, 0, 2);
    let offsets = consumer.committed_offsets(partitions, Duration::from_secs(10)).expect("an answer");
    let next = |offset| if let Offset::Offset(next) = offset { next } else { 0 };
    offsets.elements().iter().map(|element| next(element.offset())).sum()
}

/// Guard: nothing but patience: no client is given up because its broker is away. Taken out (a member ends when all brokers
/// are down), nothing was settled any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t30_a_broker_that_comes_back_is_found_again() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let broker = RunningBroker::start_in(dir.path()).await;
    let address: SocketAddr = broker.bootstrap.parse().expect("an address");
    let log = EventLog::new(config(&broker.bootstrap, true));
    log.ensure_topics().await.expect("topics are created");
    let publisher = log.publisher().expect("a publisher");
    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, "g", ConsumerLimits::default(), &recorder);
    publish_numbers(&publisher, 5, 0..20).await;
    recorder.settled(20).await;

    let mut health = log.health();
    within("up", health.wait_for(|health| *health == Health::Up)).await.expect("the log lives");
    broker.stop().await;
    within("down", health.wait_for(|health| matches!(health, Health::Down { .. })))
        .await
        .expect("the log lives");
    // Published while nobody is there: confirmed once the broker is back.
    let published = publish_numbers(&publisher, 5, 20..40);
    let back = async {
        let broker = RunningBroker::start_on(address, dir.path()).await;
        within("up again", health.wait_for(|health| *health == Health::Up))
            .await
            .expect("the log lives");
        broker
    };
    let ((), broker) = tokio::join!(published, back);
    let settled = recorder.settled(40).await;
    let mut distinct = numbers(&settled);
    distinct.dedup();
    assert_eq!(distinct, (0..40).collect::<Vec<_>>());
    consumer.stop().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_and_a_publisher_may_be_there_before_the_broker() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Taken and given back: most likely still free a moment later.
    let address = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let log = EventLog::new(config(&address.to_string(), true));
    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, "g", ConsumerLimits::default(), &recorder);
    let publisher = log.publisher().expect("a publisher needs no broker to be made");
    assert!(log.check().await.expect_err("nobody is there").is_retryable());
    assert!(log.ensure_topics().await.expect_err("nobody is there").is_retryable());

    let broker = RunningBroker::start_on(address, dir.path()).await;
    log.ensure_topics().await.expect("topics are created");
    publish_numbers(&publisher, 3, 0..5).await;
    recorder.settled(5).await;
    consumer.stop().await;
    broker.stop().await;
}

/// Guard: leaving has a deadline of its own; and where the broker is away nothing is committed at the end, which would only
/// wait. The latter alone taken out, it still ended in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t28_stopping_without_a_broker_does_not_hang() {
    let broker = RunningBroker::start_anew().await;
    let log = EventLog::new(config(&broker.bootstrap, true));
    log.ensure_topics().await.expect("topics are created");
    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, "g", ConsumerLimits::default(), &recorder);
    publish_numbers(&log.publisher().expect("a publisher"), 3, 0..5).await;
    recorder.settled(5).await;
    broker.stop().await;
    let began = Instant::now();
    consumer.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_does_not_exist_does_no_harm() {
    let broker = RunningBroker::start_anew().await;
    let mut settings = config(&broker.bootstrap, true);
    settings.extra.insert("message.timeout.ms".to_owned(), "1500".to_owned());
    let log = EventLog::new(settings);
    let publisher = log.publisher().expect("a publisher");
    let refused = within("an answer", publisher.publish(Topic::RawUpdates, Message::new("k", None))).await;
    assert!(matches!(refused, Err(PublishError::Unavailable { .. })), "{refused:?}");
    log.ensure_topics().await.expect("the broker is well");
    within("a confirmation", publisher.publish(Topic::RawUpdates, Message::new("k", None)))
        .await
        .expect("published");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_folder_may_have_any_name() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let odd = dir.path().join("Daten für #1 ?");
    let broker = RunningBroker::start_in(&odd).await;
    let log = EventLog::new(config(&broker.bootstrap, true));
    log.ensure_topics().await.expect("topics are created");
    publish_numbers(&log.publisher().expect("a publisher"), 3, 0..3).await;
    assert!(broker.broker.size_bytes() > 0);
    assert!(odd.join("event_log.db").exists());
    broker.stop().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_said_so() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("not-a-folder");
    std::fs::write(&file, "x").expect("a file");
    let refused = EmbeddedBroker::start(&file.join("data"), DAY, NO_LIMIT).await;
    assert!(matches!(refused, Err(BrokerError::File { .. })));
    std::fs::write(
        dir.path().join("event_log.db"),
        "this is no database, and long enough to be seen as none at all",
    )
    .expect("a file");
    let refused = EmbeddedBroker::start(dir.path(), DAY, NO_LIMIT).await;
    assert!(matches!(refused, Err(BrokerError::File { .. })));
}

/// Fills the topic's partitions past the broker, half of it as if it had come two days ago.
async fn fill(dir: &Path, topic: &str, per_partition: i64, payload: i64) {
    let database = libsql::Builder::new_local(dir.join("event_log.db")).build().await.expect("the broker's file");
    let connection = database.connect().expect("a connection");
    connection.busy_timeout(Duration::from_secs(10)).expect("a setting");
    let sql = "
        create temp table n as with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < PER) select i from n;
        begin;
        insert into record (topition, offset_id, attributes, timestamp, k, v, created_at)
            select tp.id, n.i, 0, 1768132800000 + n.i, cast('k' || n.i as blob), zeroblob(SIZE),
                datetime('now', iif(n.i < PER / 2, '-2 days', '-1 minutes'))
            from topic t join topition tp on tp.topic = t.id, n where t.name = 'TOPIC' order by tp.id, n.i;
        insert into header (topition, offset_id, k, v)
            select tp.id, n.i, cast('traceparent' as blob), cast('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' as blob)
            from topic t join topition tp on tp.topic = t.id, n where t.name = 'TOPIC' order by tp.id, n.i;
        update watermark set low = 0, high = PER
            where topition in (select tp.id from topic t join topition tp on tp.topic = t.id where t.name = 'TOPIC');
        commit;"
        .replace("PER", &per_partition.to_string())
        .replace("SIZE", &payload.to_string())
        .replace("TOPIC", topic);
    connection.execute_batch(&sql).await.expect("records are made");
    let mut moved = connection.query("PRAGMA wal_checkpoint(TRUNCATE)", ()).await.expect("the file takes them");
    while moved.next().await.expect("an answer").is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_records_go_and_space_is_given_back_on_a_million_records() {
    const PER_PARTITION: i64 = 333_334;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let broker = RunningBroker::start_in(dir.path()).await;
    let log = EventLog::new(config(&broker.bootstrap, true));
    log.ensure_topics().await.expect("topics are created");
    let topic = log.topic_name(Topic::RawUpdates);
    fill(dir.path(), &topic, PER_PARTITION, 100).await;
    let full = broker.broker.size_bytes();

    let began = Instant::now();
    let maintained = broker.broker.maintain().await.expect("maintenance");
    eprintln!(
        "maintenance of a million records: {:?}, {full} -> {} bytes",
        began.elapsed(),
        broker.broker.size_bytes()
    );
    assert_eq!(maintained.expired, 500_001);
    assert!(broker.broker.size_bytes() < full * 55 / 100, "{full} -> {}", broker.broker.size_bytes());
    assert_eq!(broker.broker.maintain().await.expect("maintenance").expired, 0);

    // What is left is read from where it begins, headers and all; a group that starts now as well.
    let recorder = Recorder::new();
    let group = format!("late-{:08x}", rand::random::<u32>());
    let consumer = RunningConsumer::start(&log, &group, ConsumerLimits::default(), &recorder);
    let seen = recorder
        .until("all partitions", |seen| {
            seen.assigned.len() == 3 && (0..3).all(|p| seen.settled.iter().any(|r| r.partition == p))
        })
        .await;
    for partition in 0..3 {
        let first = seen
            .settled
            .iter()
            .find(|record| record.partition == partition)
            .expect("records of every partition");
        assert_eq!(first.offset.0, PER_PARTITION / 2);
        assert_eq!(first.key.as_deref(), Some(format!("k{}", PER_PARTITION / 2).as_bytes()));
        assert!(first.header("traceparent").is_some(), "the record behind a gap keeps its headers");
    }
    let began = Instant::now();
    let all = recorder.settled(500_001).await;
    eprintln!("read the rest in {:?}", began.elapsed());
    assert_eq!(all.len(), 500_001);
    consumer.stop().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_partition_keeps_its_place() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Everything is old at once.
    let broker = RunningBroker::run(EmbeddedBroker::start(dir.path(), Duration::ZERO, NO_LIMIT).await.expect("the broker starts"));
    let log = EventLog::new(EventLogConfig {
        partitions: 1,
        ..config(&broker.bootstrap, true)
    });
    log.ensure_topics().await.expect("topics are created");
    fill(dir.path(), &log.topic_name(Topic::RawUpdates), 1000, 10).await;
    assert_eq!(broker.broker.maintain().await.expect("maintenance").expired, 999, "the newest one stays");
    let publisher = log.publisher().expect("a publisher");
    let position = publisher
        .publish(Topic::RawUpdates, Message::new("k", Some(b"1".to_vec())))
        .await
        .expect("published");
    assert_eq!(position.offset.0, 1000);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_over_its_limit_drops_its_oldest_records_and_readers_are_alarmed() {
    const LIMIT: u64 = 8 * 1024 * 1024;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let broker = RunningBroker::run(EmbeddedBroker::start(dir.path(), 30 * DAY, LIMIT).await.expect("the broker starts"));
    let log = EventLog::new(EventLogConfig {
        partitions: 1,
        ..config(&broker.bootstrap, true)
    });
    log.ensure_topics().await.expect("topics are created");
    let group = format!("behind-{:08x}", rand::random::<u32>());
    let publisher = log.publisher().expect("a publisher");
    let first = Recorder::new();
    let consumer = RunningConsumer::start(&log, &group, ConsumerLimits::default(), &first);
    publish_numbers(&publisher, 1, 0..3).await;
    first.settled(3).await;
    consumer.stop().await;

    // Twenty megabytes come while the group is away.
    for _ in 0..200 {
        publisher
            .publish(Topic::RawUpdates, Message::new("k", Some(vec![b'7'; 100_000])))
            .await
            .expect("published");
    }
    let maintained = broker.broker.maintain().await.expect("maintenance");
    assert!(maintained.evicted > 0 || broker.broker.size_bytes() <= LIMIT, "{maintained:?}");
    assert!(broker.broker.size_bytes() <= LIMIT, "{} bytes", broker.broker.size_bytes());

    let second = Recorder::new();
    let consumer = RunningConsumer::start(&log, &group, ConsumerLimits::default(), &second);
    let seen = second
        .until("what is left", |seen| seen.settled.last().is_some_and(|record| record.offset.0 == 202))
        .await;
    assert!(
        seen.settled.first().is_some_and(|record| record.offset.0 > 3),
        "it goes on where the log begins now"
    );
    assert!(metric("offset_gap_total", &group) >= 1.0, "and says so");
    consumer.stop().await;
    broker.stop().await;
}
