//! Waiting for the catalog and the event log: every call is made again until it is answered.
//!
//! Nothing here gives up. Who waits is ended from outside: a partition's worker with its lease, a task with the process.

use std::time::Duration;

use shared::adapters::kafka::{Message, PublishError, Publisher, Topic};
use shared::domain::UnixMillis;
use shared::health::Health;
use shared::ports::catalog::CatalogError;
use shared::retry::Backoff;

use crate::metrics;

/// Waits before the same is tried again: 100 ms, doubling up to 10 s. Shorter than elsewhere at most, because alerts wait.
fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(10))
}

/// The component on the health board. Not the catalog's own: whether that answers is found out apart from it, and a
/// catalog that answers may still refuse what the detector asks.
const COMPONENT: &str = "detector";

/// The catalog, asked until it answers.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    health: Health,
}

impl Patience {
    pub(crate) fn new(health: Health) -> Self {
        health.up(COMPONENT, UnixMillis::now());
        Patience { health }
    }

    /// Makes the call until it succeeds; `what` names it in logs. A cursor is never invalid here: callers that send one
    /// turn that answer into a value.
    pub(crate) async fn until_answered<T, F, Fut>(&self, what: &'static str, mut call: F) -> T
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, CatalogError>>,
    {
        let mut backoff = backoff();
        loop {
            match call().await {
                Ok(answer) => {
                    self.answered(&mut backoff);
                    return answer;
                }
                Err(error) => self.wait(what, &error, &mut backoff).await,
            }
        }
    }

    /// Notes that the catalog answers again, if it did not.
    pub(crate) fn answered(&self, backoff: &mut Backoff) {
        if backoff.attempts() > 0 {
            self.health.up(COMPONENT, UnixMillis::now());
            backoff.reset();
        }
    }

    /// Notes that the catalog does not answer, and waits.
    pub(crate) async fn wait(&self, what: &'static str, error: &CatalogError, backoff: &mut Backoff) {
        self.health.down(COMPONENT, error.to_string(), UnixMillis::now());
        let delay = backoff.next_delay();
        tracing::debug!(what, error = %error, delay_ms = delay.as_millis(), "catalog call failed and is made again");
        tokio::time::sleep(delay).await;
    }
}

/// Publishes until the broker confirms. Only a record that is too large is given up, loudly: no retry makes it smaller.
pub(crate) async fn publish_until_confirmed(publisher: &Publisher, topic: Topic, message: Message) {
    let mut backoff = backoff();
    loop {
        match publisher.publish(topic, message.clone()).await {
            Ok(_position) => return,
            Err(error @ PublishError::TooLarge { .. }) => {
                metrics::RECORDS_REFUSED.with_label_values(&[topic.base_name()]).inc();
                tracing::error!(topic = topic.base_name(), error = %error, "a record is too large and cannot be published");
                return;
            }
            Err(error @ (PublishError::Unavailable { .. } | PublishError::Fatal { .. })) => {
                let delay = backoff.next_delay();
                tracing::warn!(topic = topic.base_name(), error = %error, delay_ms = delay.as_millis(), "a record was not confirmed and is published again");
                tokio::time::sleep(delay).await;
            }
        }
    }
}
