//! What holds over every broker: what is published arrives.

use std::time::Duration;

use shared::adapters::kafka::{
    ConsumerLimits, EventLog, EventLogConfig, Health, MAX_DEAD_LETTER_BYTES, MAX_RECORD_BYTES, Message, PublishError, Record, TRACEPARENT, Topic, TraceParent,
};
use tokio::task::JoinSet;

use super::bench::{Bench, Recorder, RunningConsumer, publish_numbers, within};

over_every_broker! {
    records_arrive_as_they_were_published,
    records_of_one_key_keep_their_order,
    creating_topics_twice_changes_nothing,
    what_is_too_large_is_refused_and_the_largest_goes_through,
    an_idle_worker_is_told_so,
    a_topic_that_is_not_there_yet_is_waited_for,
    the_broker_is_known_to_be_up,
}

/// The whole record, bit for bit.
async fn records_arrive_as_they_were_published(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);

    let odd = Message::new(vec![0xff, 0x00, b'k'], Some(vec![0, 159, 146, 150, b'\n']))
        .with_header("dlq.offset", "7")
        .with_header("empty", "")
        .with_header("twice", "1")
        .with_header("twice", "2")
        .with_header("binary", vec![0u8, 255])
        .with_timestamp_ms(1_768_132_800_123);
    let tombstone = Message::new("B0D1XD1ZV3", None).with_header("reason", "reevaluate");
    for message in [odd.clone(), tombstone.clone()] {
        let position = within("a confirmation", publisher.publish(Topic::RawUpdates, message))
            .await
            .expect("published");
        assert!(position.offset.0 >= 0);
    }

    let settled = recorder.settled(2).await;
    for sent in [odd, tombstone] {
        let got = settled.iter().find(|record| record.key.as_deref() == Some(&sent.key)).expect("it arrived");
        assert_eq!(got.payload.as_deref(), sent.payload.as_deref());
        let headers: Vec<(String, Vec<u8>)> = got
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_deref().unwrap_or_default().to_vec()))
            .collect();
        assert_eq!(headers, sent.headers);
        assert!(TraceParent::parse(got.header(TRACEPARENT).expect("a trace")).is_some());
        if let Some(timestamp_ms) = sent.timestamp_ms {
            assert_eq!(got.timestamp_ms, timestamp_ms);
        }
    }
    consumer.stop().await;
}

async fn records_of_one_key_keep_their_order(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(
        &log,
        &bench.group,
        ConsumerLimits {
            batch_records: 7,
            ..ConsumerLimits::default()
        },
        &recorder,
    );

    // Twenty keys at a time, each publishing one record after another.
    let mut keys = JoinSet::new();
    for key in 0..20 {
        let publisher = publisher.clone();
        keys.spawn(async move {
            for number in 0..20 {
                let message = Message::new(format!("key-{key}"), Some(format!("{number}").into_bytes()));
                publisher.publish(Topic::RawUpdates, message).await.expect("published");
            }
        });
    }
    while let Some(done) = within("confirmations", keys.join_next()).await {
        done.expect("publishing does not panic");
    }
    let settled = recorder.settled(400).await;
    for key in 0..20 {
        let key = format!("key-{key}");
        let of_key: Vec<&Record> = settled.iter().filter(|record| record.key.as_deref() == Some(key.as_bytes())).collect();
        let payloads: Vec<String> = of_key
            .iter()
            .map(|record| String::from_utf8_lossy(record.payload.as_deref().unwrap_or_default()).into_owned())
            .collect();
        assert_eq!(payloads, (0..20).map(|number: i32| number.to_string()).collect::<Vec<_>>(), "{key}");
        assert!(
            of_key
                .windows(2)
                .all(|pair| pair[0].partition == pair[1].partition && pair[0].offset < pair[1].offset)
        );
    }
    assert_eq!(publisher.flush(Duration::from_secs(5)).await, 0);
    consumer.stop().await;
}

async fn creating_topics_twice_changes_nothing(bench: Bench) {
    let log = bench.ready().await;
    log.ensure_topics().await.expect("they are there");
    let wider = EventLogConfig {
        partitions: 9,
        ..bench.config.clone()
    };
    EventLog::new(wider).ensure_topics().await.expect("those that are there are left alone");
    log.check().await.expect("the broker answers");
    assert_eq!(
        log.topic_name(Topic::RawUpdatesDlq),
        format!("{}raw.keepa_updates.dlq", bench.config.topic_prefix)
    );
}

async fn what_is_too_large_is_refused_and_the_largest_goes_through(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let of_size = |bytes: usize| {
        let empty = Message::new("k", Some(Vec::new()));
        let padding = bytes - empty.size();
        // Not compressible: what counts is what arrives at the broker.
        Message {
            payload: Some((0..padding).map(|_| rand::random()).collect()),
            ..empty
        }
    };

    let over = publisher.publish(Topic::RawUpdates, of_size(MAX_RECORD_BYTES + 1)).await;
    assert!(matches!(over, Err(PublishError::TooLarge { limit: MAX_RECORD_BYTES, .. })), "{over:?}");

    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    let largest = of_size(MAX_RECORD_BYTES);
    within("the largest", publisher.publish(Topic::RawUpdates, largest.clone()))
        .await
        .expect("published");
    assert_eq!(recorder.settled(1).await[0].payload.as_deref(), largest.payload.as_deref());
    within("as a dead letter", publisher.publish(Topic::RawUpdatesDlq, of_size(MAX_DEAD_LETTER_BYTES)))
        .await
        .expect("published");
    consumer.stop().await;
}

async fn an_idle_worker_is_told_so(bench: Bench) {
    let log = bench.ready().await;
    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    recorder.until("every worker to be idle", |seen| seen.idles >= 3).await;
    consumer.stop().await;
}

async fn a_topic_that_is_not_there_yet_is_waited_for(bench: Bench) {
    let log = bench.log();
    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    within("the broker to be heard of", log.health().wait_for(|health| *health == Health::Up))
        .await
        .expect("the log lives");
    log.ensure_topics().await.expect("topics are created");
    publish_numbers(&log.publisher().expect("a publisher"), 3, 0..10).await;
    recorder.settled(10).await;
    consumer.stop().await;
}

async fn the_broker_is_known_to_be_up(bench: Bench) {
    let log = bench.log();
    assert!(matches!(*log.health().borrow(), Health::Down { .. }));
    log.check().await.expect("it answers");
    assert_eq!(*log.health().borrow(), Health::Up);
}
