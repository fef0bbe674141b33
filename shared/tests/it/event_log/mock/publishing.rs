//! Records that the log does not take.

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use shared::adapters::kafka::{Extent, Message, Position, PublishError, Publisher, Topic};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Mock;
use crate::event_log::bench::{publish_numbers, within};

/// Publishes all of them at once: what became of each.
async fn publish_all(publisher: &Publisher, numbers: impl IntoIterator<Item = usize>) -> Vec<(usize, Result<Position, PublishError>)> {
    let mut in_flight = JoinSet::new();
    for number in numbers {
        let publisher = publisher.clone();
        let message = Message::new(format!("key-{number}"), Some(number.to_string().into_bytes()));
        in_flight.spawn(async move { (number, publisher.publish(Topic::RawUpdates, message).await) });
    }
    within("an outcome of each", in_flight.join_all()).await
}

/// The numbers that the log holds.
async fn held(mock: &Mock) -> Vec<(Position, usize)> {
    let log = mock.bench.log();
    let extent: Extent = within("an extent", log.extent(Topic::RawUpdates)).await.expect("an answer");
    let (sender, receiver) = std::sync::mpsc::channel();
    let reading = log.read(Topic::RawUpdates, extent, CancellationToken::new(), move |record| {
        let number = String::from_utf8_lossy(record.payload.as_deref().unwrap_or_default())
            .parse()
            .expect("a number");
        let position = Position {
            partition: record.partition,
            offset: record.offset,
        };
        sender.send((position, number)).expect("somebody listens");
        std::ops::ControlFlow::Continue(())
    });
    within("the end of the log", reading).await.expect("it ends well");
    receiver.iter().collect()
}

fn code_of(outcome: &Result<Position, PublishError>) -> Option<RDKafkaErrorCode> {
    match outcome {
        Err(PublishError::Unavailable { source, .. } | PublishError::Fatal { source, .. }) => source.rdkafka_error_code(),
        _ => None,
    }
}

/// Guard: a full queue is waited for, and the delivery report's own result is looked at; taken out (an error
/// taken for a confirmation), records were said to lie at offset -1001.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t45_what_a_broker_that_is_away_does_not_take_is_an_error_for_each_record() {
    let mock = Mock::with(1, &[("message.timeout.ms", "3000"), ("queue.buffering.max.messages", "10")]);
    let log = mock.bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 3, 0..3).await;
    mock.cluster.broker_down(-1).expect("it was up");
    // Three times what the client library has room for.
    let outcomes = publish_all(&publisher, 3..33).await;
    for (number, outcome) in &outcomes {
        assert!(matches!(outcome, Err(PublishError::Unavailable { .. })), "{number}: {outcome:?}");
        assert_eq!(code_of(outcome), Some(RDKafkaErrorCode::MessageTimedOut), "{number}: {outcome:?}");
    }
    assert_eq!(outcomes.len(), 30);
    assert_eq!(publisher.flush(Duration::from_secs(10)).await, 0, "nothing is left behind");

    mock.cluster.broker_up(-1).expect("it was down");
    // As the services do: again until it is confirmed.
    let mut unconfirmed: Vec<usize> = (3..33).collect();
    within("confirmations", async {
        while !unconfirmed.is_empty() {
            let outcomes = publish_all(&publisher, unconfirmed.drain(..)).await;
            unconfirmed = outcomes.into_iter().filter(|(_, outcome)| outcome.is_err()).map(|(number, _)| number).collect();
        }
    })
    .await;
    let mut numbers: Vec<usize> = held(&mock).await.into_iter().map(|(_, number)| number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..33).collect::<Vec<_>>());
}

/// Guard: `PublishError::classify`; taken out (a size that the broker refuses not told apart), it was to be tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t45_what_the_broker_refuses_is_sorted_by_what_to_do_next() {
    use RDKafkaRespErr as Code;
    let mock = Mock::of(1);
    let log = mock.bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 1, 0..1).await;
    let refused = async |code| {
        mock.cluster.request_errors(RDKafkaApiKey::Produce, &[code]);
        within("an answer", publisher.publish(Topic::RawUpdates, Message::new("k", Some(b"1".to_vec())))).await
    };
    let outcome = refused(Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE).await;
    assert!(matches!(outcome, Err(PublishError::TooLarge { .. })), "{outcome:?}");
    // What passes is tried again by the client library.
    for code in [Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, Code::RD_KAFKA_RESP_ERR__TRANSPORT] {
        let outcome = refused(code).await;
        assert!(outcome.is_ok(), "{code:?}: {outcome:?}");
    }
    assert_eq!(held(&mock).await.len(), 3, "and is in the log once");
    // Last, as the client library remembers it until it asks for metadata again.
    let outcome = refused(Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).await;
    assert!(matches!(outcome, Err(PublishError::Fatal { .. })), "{outcome:?}");
}

/// A fatal error makes the client useless, and what it still holds is purged. Guard: `replace_if_fatal`; taken out, nothing
/// was published any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t45_what_is_purged_with_a_client_is_an_error_for_each_record_and_the_next_client_goes_on() {
    let mock = Mock::of(1);
    let log = mock.bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    // Before the first record is confirmed, so that all of them wait.
    mock.cluster.request_errors(
        RDKafkaApiKey::InitProducerId,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED; 1],
    );
    let outcomes = publish_all(&publisher, 0..50).await;
    let confirmed: Vec<(Position, usize)> = outcomes
        .iter()
        .filter_map(|(number, outcome)| outcome.as_ref().ok().map(|position| (*position, *number)))
        .collect();
    assert!(confirmed.len() < 50, "the client was given up");
    let again: Vec<usize> = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).map(|(number, _)| *number).collect();
    eprintln!("{} confirmed, {} not: {:?}", confirmed.len(), again.len(), code_of(&outcomes[0].1));
    for (number, outcome) in publish_all(&publisher, again).await {
        assert!(outcome.is_ok(), "{number}: {outcome:?}");
    }
    let held = held(&mock).await;
    assert!(
        confirmed.iter().all(|place| held.contains(place)),
        "what was confirmed lies where it was said to"
    );
    let mut numbers: Vec<usize> = held.into_iter().map(|(_, number)| number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
}
