//! Commits that are refused, lost, or answered by somebody else.

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use shared::adapters::kafka::ConsumerLimits;

use super::Mock;
use crate::event_log::bench::{Recorder, RunningConsumer, numbers, publish_numbers};

/// Guard: settled offsets stay with the client library until a commit of them, or of later ones, is confirmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t30_commits_go_on_when_the_coordinator_refuses_moves_and_goes_away() {
    use RDKafkaRespErr as Code;
    let mock = Mock::of(3);
    mock.set_coordinator(1);
    (0..3).for_each(|partition| mock.set_leader(partition, 3));
    let log = mock.bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let recorder = Recorder::new();
    let consumer = RunningConsumer::start(&log, &mock.bench.group, ConsumerLimits::default(), &recorder);

    mock.cluster.request_errors(
        RDKafkaApiKey::OffsetCommit,
        &[
            Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
            Code::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
            Code::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
            Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            Code::RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    );
    publish_numbers(&publisher, 30, 0..60).await;
    recorder.until("what came with a coordinator that refuses", |seen| seen.distinct() == 60).await;
    mock.bench.all_is_committed().await;

    mock.set_coordinator(2);
    publish_numbers(&publisher, 30, 60..120).await;
    recorder.until("what came with a coordinator that moved", |seen| seen.distinct() == 120).await;
    mock.bench.all_is_committed().await;

    // The coordinator goes away, then another one takes over.
    mock.cluster.broker_down(2).expect("it was up");
    publish_numbers(&publisher, 30, 120..180).await;
    recorder.until("what came without a coordinator", |seen| seen.distinct() == 180).await;
    mock.set_coordinator(1);
    mock.bench.all_is_committed().await;
    mock.cluster.broker_up(2).expect("it was down");

    // The leader goes away, another one takes over.
    (0..3).for_each(|partition| mock.set_leader(partition, 2));
    mock.cluster.broker_down(3).expect("it was up");
    publish_numbers(&publisher, 30, 180..240).await;
    let seen = recorder.until("what came with another leader", |seen| seen.distinct() == 240).await;
    seen.assert_settled_once_per_lease();
    mock.bench.all_is_committed().await;
    consumer.stop().await;

    publish_numbers(&publisher, 30, 240..250).await;
    let after = Recorder::new();
    let consumer = RunningConsumer::start(&log, &mock.bench.group, ConsumerLimits::default(), &after);
    assert_eq!(numbers(&after.settled(10).await), (240..250).collect::<Vec<_>>(), "nothing is read twice");
    consumer.stop().await;
}

/// Guard: a commit that is refused is no error of the reading loop: it is tried again with the next one, or the partition
/// is somebody else's by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t31_commits_that_a_rebalance_refuses_are_neither_fatal_nor_a_loop() {
    const REFUSALS: usize = 3;
    for refusal in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
    ] {
        let mock = Mock::of(1);
        let log = mock.bench.ready().await;
        let publisher = log.publisher().expect("a publisher");
        let recorder = Recorder::new();
        let consumer = RunningConsumer::start(&log, &mock.bench.group, ConsumerLimits::default(), &recorder);
        recorder.until("the partitions", |seen| seen.assigned.len() == 3).await;
        mock.cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[refusal; REFUSALS]);
        publish_numbers(&publisher, 30, 0..60).await;
        recorder.until("the records", |seen| seen.distinct() == 60).await;
        mock.bench.all_is_committed().await;

        // Quiet again: what comes now is settled once, under the leases there are.
        let assigned = recorder.seen().assigned.len();
        assert!(assigned <= 3 * (1 + REFUSALS), "{refusal:?}: {assigned} assignments of three partitions");
        publish_numbers(&publisher, 30, 60..120).await;
        let seen = recorder.until("further records", |seen| seen.distinct() == 120).await;
        seen.assert_settled_once_per_lease();
        mock.bench.all_is_committed().await;
        assert_eq!(recorder.seen().assigned.len(), assigned, "{refusal:?}: the group came to rest");
        consumer.stop().await;
    }
}
