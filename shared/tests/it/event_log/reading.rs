//! Reading without a group: following, and reading what is there.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use shared::adapters::kafka::{ConsumerLimits, EventLog, Extent, FollowFrom, Topic};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, Recorder, RunningConsumer, numbers, publish_numbers, within};

over_every_broker! {
    following_starts_where_it_was_told_to,
    what_a_topic_holds_is_read_to_its_end_and_no_further,
    how_far_a_group_is_behind_is_told_to_one_who_is_not_in_it,
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

/// The numbers of so many records, or a few more.
pub async fn followed(log: &EventLog, from: FollowFrom, count: usize) -> Vec<usize> {
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

async fn what_a_topic_holds_is_read_to_its_end_and_no_further(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    assert!(read(&log, log.extent(Topic::RawUpdates).await.expect("an extent")).await.is_empty());
    publish_numbers(&publisher, 20, 0..100).await;
    let extent = log.extent(Topic::RawUpdates).await.expect("an extent");
    publish_numbers(&publisher, 20, 100..120).await;
    assert_eq!(extent.partitions.values().map(|range| range.end - range.start).sum::<i64>(), 100);
    assert_eq!(read(&log, extent.clone()).await, (0..100).collect::<Vec<_>>());

    // One record alone.
    let (&partition, range) = extent.partitions.iter().find(|(_, range)| range.end > 2).expect("a partition with records");
    let one = Extent {
        partitions: [(partition, range.end - 2..range.end - 1)].into(),
    };
    assert_eq!(read(&log, one).await.len(), 1);

    // Who has seen enough says so.
    let mut left = 7;
    let enough = log.read(Topic::RawUpdates, extent.clone(), CancellationToken::new(), move |_| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    within("an early end", enough).await.expect("it ends well");
    let stopped = CancellationToken::new();
    stopped.cancel();
    let stopped = log.read(Topic::RawUpdates, extent, stopped, |_| ControlFlow::Continue(()));
    within("a stop", stopped).await.expect("it ends well");
}

async fn how_far_a_group_is_behind_is_told_to_one_who_is_not_in_it(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let groups = [(bench.group.as_str(), Topic::RawUpdates)];
    let lag = async || within("the lag", log.lag(&groups)).await.expect("an answer");
    let behind = |records| BTreeMap::from([(bench.group.clone(), records)]);
    publish_numbers(&publisher, 20, 0..100).await;
    assert_eq!(lag().await, behind(100), "it never committed");

    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    recorder.settled(100).await;
    consumer.stop().await;
    assert_eq!(lag().await, behind(0));
    publish_numbers(&publisher, 20, 100..107).await;
    assert_eq!(lag().await, behind(7));
}

async fn read(log: &EventLog, extent: Extent) -> Vec<usize> {
    let got = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&got);
    let reading = log.read(Topic::RawUpdates, extent, CancellationToken::new(), move |record| {
        into.lock().expect("no panic").push(record);
        ControlFlow::Continue(())
    });
    within("the end", reading).await.expect("it ends well");
    let records = got.lock().expect("no panic");
    numbers(&records)
}
