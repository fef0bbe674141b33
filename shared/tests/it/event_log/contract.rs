//! What holds over every broker.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::adapters::kafka::{
    ConsumerLimits, EventLogError, FollowFrom, Health, MAX_DEAD_LETTER_BYTES, MAX_RECORD_BYTES, Message, PublishError, Record, TRACEPARENT, Topic, TraceParent,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, Misbehaves, Recorder, RunningConsumer, metric, numbers, publish_numbers, within};

macro_rules! over_every_broker {
    ($($test:ident,)*) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(super::Bench::embedded().await).await;
                }
            )*
        }
        mod kafka {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    if let Some(bench) = super::Bench::real() {
                        super::$test(bench).await;
                    }
                }
            )*
        }
    };
}

over_every_broker! {
    records_arrive_as_they_were_published,
    records_of_one_key_keep_their_order,
    creating_topics_twice_changes_nothing,
    what_is_too_large_is_refused_and_the_largest_goes_through,
    a_consumer_that_comes_back_goes_on_where_it_stopped,
    what_was_not_settled_is_read_again,
    a_blocked_handler_pauses_its_partition_and_bounds_memory,
    a_batch_that_is_settled_while_draining_counts,
    a_batch_that_is_not_settled_in_time_is_left_to_the_next_owner,
    a_second_member_takes_over_partitions_without_settling_anything_twice,
    nothing_is_lost_while_members_come_and_go,
    lag_counts_what_is_not_settled_and_is_zero_at_rest,
    a_panic_of_a_handler_ends_the_consumer,
    a_handler_that_gives_up_gets_its_batch_again,
    an_idle_worker_is_told_so,
    a_topic_that_is_not_there_yet_is_waited_for,
    following_starts_where_it_was_told_to,
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
        assert_eq!(got.payload, sent.payload);
        let headers: Vec<(String, Vec<u8>)> = got
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().unwrap_or_default()))
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
    let mut wider = bench.config.clone();
    wider.partitions = 9;
    shared::adapters::kafka::EventLog::new(wider)
        .ensure_topics()
        .await
        .expect("those that are there are left alone");
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
    assert_eq!(recorder.settled(1).await[0].payload, largest.payload);
    within("as a dead letter", publisher.publish(Topic::RawUpdatesDlq, of_size(MAX_DEAD_LETTER_BYTES)))
        .await
        .expect("published");
    consumer.stop().await;
}

async fn a_consumer_that_comes_back_goes_on_where_it_stopped(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");

    let first = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &first);
    publish_numbers(&publisher, 10, 0..50).await;
    first.settled(50).await;
    consumer.stop().await;
    assert_eq!(first.seen().dropped, 3, "every worker is dropped with its partition");

    publish_numbers(&publisher, 10, 50..80).await;
    let second = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &second);
    let settled = second.settled(30).await;
    consumer.stop().await;
    assert_eq!(numbers(&settled), (50..80).collect::<Vec<_>>(), "nothing is read twice after a clean stop");
    assert_eq!(second.seen().taken.len(), 30);
}

async fn what_was_not_settled_is_read_again(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 10, 0..50).await;

    let first = Recorder::holding();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &first);
    first.until("records in hand", |seen| !seen.taken.is_empty()).await;
    consumer.drop_abruptly();
    assert!(first.seen().settled.is_empty());

    let second = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &second);
    let settled = second.settled(50).await;
    consumer.stop().await;
    assert_eq!(numbers(&settled), (0..50).collect::<Vec<_>>());
}

async fn a_blocked_handler_pauses_its_partition_and_bounds_memory(bench: Bench) {
    const PAYLOAD: usize = 20_000;
    const COUNT: usize = 300;
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let group = bench.group.clone();
    let limits = ConsumerLimits {
        batch_records: 5,
        high_water_bytes: 20 * PAYLOAD,
        low_water_bytes: 5 * PAYLOAD,
        ..ConsumerLimits::default()
    };
    for _ in 0..COUNT {
        // One key, so one partition.
        publisher
            .publish(Topic::RawUpdates, Message::new("k", Some(vec![b'x'; PAYLOAD])))
            .await
            .expect("published");
    }
    let recorder = Recorder::holding();
    let consumer = RunningConsumer::start(&log, &group, limits, &recorder);
    // The workers of the other partitions say once a second that nothing came: time enough to look.
    recorder
        .until("the partition to be paused", |_| metric("partitions_paused", &group) >= 1.0)
        .await;
    // Two seconds later it still holds no more.
    let idles = recorder.seen().idles;
    recorder.until("time to pass", |seen| seen.idles >= idles + 4).await;
    let read = metric("records_consumed_total", &group);
    assert!((20.0..=22.0).contains(&read), "read ahead {read} records, the mark is at 20");
    assert!(recorder.seen().settled.is_empty());

    recorder.hold(false);
    let settled = recorder.settled(COUNT).await;
    assert_eq!(settled.len(), COUNT);
    assert!(
        settled.windows(2).all(|pair| pair[0].offset.0 + 1 == pair[1].offset.0),
        "no gap and nothing twice over pause and resume"
    );
    consumer.stop().await;
}

async fn a_batch_that_is_settled_while_draining_counts(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 1, 0..5).await;
    let first = Recorder::holding();
    let consumer = RunningConsumer::start(
        &log,
        &bench.group,
        ConsumerLimits {
            drain: Duration::from_secs(30),
            ..ConsumerLimits::default()
        },
        &first,
    );
    first.until("records in hand", |seen| !seen.taken.is_empty()).await;
    let in_hand = first.seen().taken.len();

    // Stopping waits for the batch; the batch is let go once the stop is under way.
    let stopping = consumer.stop();
    tokio::pin!(stopping);
    tokio::select! {
        biased;
        () = &mut stopping => panic!("it does not wait for the batch in hand"),
        () = std::future::ready(()) => {}
    }
    first.hold(false);
    stopping.await;
    assert!(first.seen().settled.len() >= in_hand);

    let settled = first.seen().settled.len();
    publish_numbers(&publisher, 1, 5..6).await;
    let second = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &second);
    let rest = second.settled(6 - settled).await;
    consumer.stop().await;
    assert_eq!(numbers(&rest), (settled..6).collect::<Vec<_>>());
}

async fn a_batch_that_is_not_settled_in_time_is_left_to_the_next_owner(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 1, 0..5).await;
    let group = bench.group.clone();
    let first = Recorder::holding();
    let consumer = RunningConsumer::start(
        &log,
        &group,
        ConsumerLimits {
            drain: Duration::from_millis(50),
            ..ConsumerLimits::default()
        },
        &first,
    );
    first.until("records in hand", |seen| !seen.taken.is_empty()).await;
    consumer.stop().await;
    assert!(first.seen().settled.is_empty());
    assert!(metric("skipped_revoked_total", &group) >= 1.0);

    let second = Recorder::new();
    let consumer = RunningConsumer::start(&log, &group, ConsumerLimits::default(), &second);
    assert_eq!(numbers(&second.settled(5).await), (0..5).collect::<Vec<_>>());
    consumer.stop().await;
}

async fn a_second_member_takes_over_partitions_without_settling_anything_twice(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let (first, second) = (Recorder::new(), Recorder::new());
    let one = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &first);
    publish_numbers(&publisher, 30, 0..100).await;
    first.settled(100).await;

    // Something is in hand on every partition when the second one joins, and is settled while the first one drains.
    first.hold(true);
    publish_numbers(&publisher, 30, 100..200).await;
    first
        .until("a batch in hand on all partitions", |seen| {
            (0..3).all(|partition| seen.taken.iter().skip(100).any(|record| record.partition == partition))
        })
        .await;
    let two = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &second);
    first.hold(false);
    second.until("the second member to own something", |seen| !seen.assigned.is_empty()).await;
    publish_numbers(&publisher, 30, 200..300).await;

    let all = || [first.seen().settled, second.seen().settled].concat();
    // Whoever has nothing to do says so once a second: time enough to look.
    second.until("everything to be settled", |_| all().len() >= 300).await;
    assert_eq!(numbers(&all()), (0..300).collect::<Vec<_>>());
    assert!(!second.seen().settled.is_empty(), "both members work");
    one.stop().await;
    two.stop().await;
}

async fn nothing_is_lost_while_members_come_and_go(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let recorder = Recorder::new();
    let join = || RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    let mut members = vec![join()];
    let mut published = 0;
    for round in 0..6 {
        members.push(join());
        let owned = recorder.seen().assigned.len();
        publish_numbers(&publisher, 30, published..published + 200).await;
        published += 200;
        recorder.until("a rebalance", |seen| seen.assigned.len() > owned).await;
        let leaving = members.remove(0);
        if round % 2 == 0 {
            leaving.stop().await;
        } else {
            leaving.drop_abruptly();
        }
        publish_numbers(&publisher, 30, published..published + 200).await;
        published += 200;
    }
    let seen = recorder
        .until("everything to be settled", |seen| {
            let distinct: std::collections::BTreeSet<_> = seen.settled.iter().map(|record| (record.partition, record.offset)).collect();
            distinct.len() == published
        })
        .await;
    eprintln!("{} records, {} settled more than once", published, seen.settled.len() - published);
    for member in members {
        member.stop().await;
    }
}

async fn lag_counts_what_is_not_settled_and_is_zero_at_rest(bench: Bench) {
    let mut config = bench.config.clone();
    config.extra.insert("statistics.interval.ms".to_owned(), "200".to_owned());
    let log = shared::adapters::kafka::EventLog::new(config);
    log.ensure_topics().await.expect("topics are created");
    publish_numbers(&log.publisher().expect("a publisher"), 10, 0..40).await;
    let recorder = Recorder::holding();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    // A second member that owns nothing would do as well: something has to happen every second, or nobody looks.
    let clock = Recorder::new();
    let other = RunningConsumer::start(&log, &format!("{}-clock", bench.group), ConsumerLimits::default(), &clock);
    clock
        .until("lag", |_| {
            metric("consumer_lag", &bench.group) >= 40.0 && metric("consumer_lag_seconds", &bench.group) > 0.0
        })
        .await;
    recorder.hold(false);
    recorder.settled(40).await;
    clock.until("no lag", |_| metric("consumer_lag", &bench.group) == 0.0).await;
    clock.until("nothing in flight", |_| metric("records_in_flight", &bench.group) == 0.0).await;
    assert_eq!(metric("records_consumed_total", &bench.group), 40.0);
    consumer.stop().await;
    other.stop().await;
}

async fn a_panic_of_a_handler_ends_the_consumer(bench: Bench) {
    let log = bench.ready().await;
    let recorder = Recorder::misbehaving(Misbehaves::PanicsOn(b"bad"));
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    let publisher = log.publisher().expect("a publisher");
    publisher
        .publish(Topic::RawUpdates, Message::new("k", Some(b"bad".to_vec())))
        .await
        .expect("published");
    let ended = consumer.ended().await;
    assert!(
        matches!(&ended, Err(EventLogError::HandlerPanicked { message, .. }) if message == "the handler fell over"),
        "{ended:?}"
    );

    let next = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &next);
    assert_eq!(next.settled(1).await[0].payload.as_deref(), Some(&b"bad"[..]), "it was not let go");
    consumer.stop().await;
}

async fn a_handler_that_gives_up_gets_its_batch_again(bench: Bench) {
    let log = bench.ready().await;
    let recorder = Recorder::misbehaving(Misbehaves::GivesUpOnce);
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 1, 0..3).await;
    assert_eq!(numbers(&recorder.settled(3).await), vec![0, 1, 2]);
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

async fn following_starts_where_it_was_told_to(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 1, 0..10).await;

    assert_eq!(followed(&log, FollowFrom::Beginning, 10).await, (0..10).collect::<Vec<_>>());
    assert_eq!(followed(&log, FollowFrom::LastN(3), 3).await, vec![7, 8, 9]);

    // From the end: publishes until one arrives, as nobody says when following began.
    let got = Arc::new((Mutex::new(Vec::new()), Notify::new()));
    let stop = CancellationToken::new();
    let mut follower = JoinSet::new();
    follower.spawn(log.follow(Topic::RawUpdates, FollowFrom::End, stop.clone(), {
        let got = Arc::clone(&got);
        move |record| {
            got.0.lock().expect("no panic").push(record);
            got.1.notify_one();
        }
    }));
    within("something new", async {
        for number in 10.. {
            publish_numbers(&publisher, 1, number..number + 1).await;
            if !got.0.lock().expect("no panic").is_empty() {
                break;
            }
        }
    })
    .await;
    assert!(numbers(&got.0.lock().expect("no panic")).iter().all(|number| *number >= 10));
    stop.cancel();
    within("following to end", follower.join_next())
        .await
        .expect("it ran")
        .expect("no panic")
        .expect("it ends well");
}

async fn followed(log: &shared::adapters::kafka::EventLog, from: FollowFrom, count: usize) -> Vec<usize> {
    let got = Arc::new((Mutex::new(Vec::new()), Notify::new()));
    let stop = CancellationToken::new();
    let mut follower = JoinSet::new();
    follower.spawn(log.follow(Topic::RawUpdates, from, stop.clone(), {
        let got = Arc::clone(&got);
        move |record| {
            got.0.lock().expect("no panic").push(record);
            got.1.notify_one();
        }
    }));
    within("records to follow", async {
        while got.0.lock().expect("no panic").len() < count {
            got.1.notified().await;
        }
    })
    .await;
    stop.cancel();
    within("following to end", follower.join_next())
        .await
        .expect("it ran")
        .expect("no panic")
        .expect("it ends well");
    let records = got.0.lock().expect("no panic");
    numbers(&records)
}

async fn the_broker_is_known_to_be_up(bench: Bench) {
    let log = bench.log();
    assert!(matches!(*log.health().borrow(), Health::Down { .. }));
    log.check().await.expect("it answers");
    assert_eq!(*log.health().borrow(), Health::Up);
}
