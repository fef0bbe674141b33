//! What holds over a real Kafka alone.

use shared::adapters::kafka::{ConsumerLimits, EventLog, EventLogConfig, EventLogError};

use super::bench::{Bench, Recorder, RunningConsumer, eventually, publish_numbers};

/// Guard: `FencedInstanceId` ends the member; taken out, it went on for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t24_of_two_processes_with_one_instance_name_one_ends_with_a_clear_error() {
    let Some(bench) = Bench::real() else { return };
    bench.ready().await;
    let log = || {
        EventLog::new(EventLogConfig {
            instance_name: Some("pod-1".to_owned()),
            ..bench.config.clone()
        })
    };
    let (first, second) = (Recorder::new(), Recorder::new());
    let elder = RunningConsumer::start(&log(), &bench.group, ConsumerLimits::default(), &first);
    first.until("partitions", |seen| seen.assigned.len() == 3).await;
    let younger = RunningConsumer::start(&log(), &bench.group, ConsumerLimits::default(), &second);
    let ended = elder.ended().await;
    assert!(
        matches!(&ended, Err(EventLogError::InstanceNameTaken { group }) if *group == bench.group),
        "{ended:?}"
    );

    publish_numbers(&log().publisher().expect("a publisher"), 3, 0..10).await;
    second.settled(10).await;
    younger.stop().await;
}

/// Guard: `group.instance.id`; taken out, the member that stays had its partitions taken away and given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t23_a_named_instance_that_restarts_in_time_causes_no_rebalance() {
    let Some(bench) = Bench::real() else { return };
    bench.ready().await;
    let log = |name: &str| {
        EventLog::new(EventLogConfig {
            instance_name: Some(name.to_owned()),
            ..bench.config.clone()
        })
    };
    let (staying, restarting) = (Recorder::new(), Recorder::new());
    let one = RunningConsumer::start(&log("pod-1"), &bench.group, ConsumerLimits::default(), &staying);
    let two = RunningConsumer::start(&log("pod-2"), &bench.group, ConsumerLimits::default(), &restarting);
    // Whoever came first had all partitions for a while: records of that time would never reach the other.
    for member in [&staying, &restarting] {
        member.until("its share", |seen| !seen.assigned.is_empty()).await;
    }
    publish_numbers(&log("x").publisher().expect("a publisher"), 30, 0..100).await;
    staying.until("records", |seen| !seen.settled.is_empty()).await;
    let before = staying.seen().assigned;

    two.stop().await;
    let again = Recorder::new();
    let two = RunningConsumer::start(&log("pod-2"), &bench.group, ConsumerLimits::default(), &again);
    again.until("its old share", |seen| !seen.assigned.is_empty()).await;
    publish_numbers(&log("x").publisher().expect("a publisher"), 30, 100..200).await;
    eventually("what comes then", || staying.seen().and(restarting.seen()).and(again.seen()).distinct() == 200).await;
    assert_eq!(staying.seen().assigned, before, "the other member kept its partitions all along");
    one.stop().await;
    two.stop().await;
}
