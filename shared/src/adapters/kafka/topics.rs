//! Creating topics and asking whether the broker answers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::config::EventLogConfig;
use super::error::EventLogError;
use super::health::{HealthSensor, SensorContext};
use super::read::ReadContext;
use super::topic::Topic;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long events are waited for that say why there was no answer.
const EVENTS_WITHIN: Duration = Duration::from_millis(50);
const MOST_EVENTS: usize = 20;
const CREATED_WITHIN: Duration = Duration::from_secs(15);

/// Creates what is missing and leaves alone what is there.
///
/// The client lives only for this call: the library queues log lines on clients that nobody polls.
pub(super) async fn ensure(config: &EventLogConfig, sensor: &Arc<HealthSensor>) -> Result<(), EventLogError> {
    let config = config.clone();
    let sensor = Arc::clone(sensor);
    off_the_async_threads(move || {
        let present = present_topics(&config, &sensor)?;
        let admin: AdminClient<SensorContext> = AdminClient::from_config_and_context(&quiet(&config), SensorContext(Arc::clone(&sensor)))
            .map_err(|source| EventLogError::classify("create an admin client", source))?;
        sensor.up();
        tokio::runtime::Handle::current().block_on(create_missing(&config, &admin, &present))
    })
    .await
}

/// Asks the broker for metadata.
pub(super) async fn check(config: &EventLogConfig, sensor: &Arc<HealthSensor>) -> Result<(), EventLogError> {
    let config = config.clone();
    let for_client = Arc::clone(sensor);
    let answer = off_the_async_threads(move || {
        // One topic: the list of all topics of a large cluster is long.
        metadata(&config, &for_client, Some(&config.topic_name(Topic::RawUpdates))).map(drop)
    })
    .await;
    match &answer {
        Ok(()) => sensor.up(),
        Err(EventLogError::Unavailable { source, .. } | EventLogError::Refused { source, .. }) => {
            sensor.down(&source.to_string());
        }
        // It said so itself.
        Err(EventLogError::AccessDenied { reason }) => sensor.down(reason),
        Err(error) => sensor.down(&error.to_string()),
    }
    answer
}

fn metadata(config: &EventLogConfig, sensor: &Arc<HealthSensor>, topic: Option<&str>) -> Result<Metadata, EventLogError> {
    let client: BaseConsumer<ReadContext> = BaseConsumer::from_config_and_context(&quiet(config), ReadContext(SensorContext(Arc::clone(sensor))))
        .map_err(|source| EventLogError::classify("create a client", source))?;
    client.fetch_metadata(topic, ANSWER_WITHIN).map_err(|source| {
        // The library only says that there was no answer. Why is in the events that wait.
        let _events = (0..MOST_EVENTS).find(|_| client.poll(EVENTS_WITHIN).is_none());
        sensor.denied().map_or_else(
            || EventLogError::classify("ask for metadata", source),
            |reason| EventLogError::AccessDenied { reason },
        )
    })
}

fn present_topics(config: &EventLogConfig, sensor: &Arc<HealthSensor>) -> Result<HashSet<String>, EventLogError> {
    Ok(metadata(config, sensor, None)?
        .topics()
        .iter()
        .filter(|topic| topic.error().is_none())
        .map(|topic| topic.name().to_owned())
        .collect())
}

async fn create_missing(config: &EventLogConfig, admin: &AdminClient<SensorContext>, present: &HashSet<String>) -> Result<(), EventLogError> {
    for topic in Topic::ALL {
        let name = config.topic_name(topic);
        if present.contains(&name) {
            continue;
        }
        let retention = topic.retention_ms().to_string();
        let max_message = topic.max_message_bytes().to_string();
        let mut wanted = NewTopic::new(&name, config.partitions, TopicReplication::Fixed(config.replication))
            .set("cleanup.policy", "delete")
            .set("retention.ms", &retention)
            .set("max.message.bytes", &max_message)
            .set("message.timestamp.type", "CreateTime");
        // Where there is one replica there is nothing to say, and the embedded broker would not know the setting.
        let in_sync = config.min_insync_replicas.to_string();
        if config.min_insync_replicas > 1 {
            wanted = wanted.set("min.insync.replicas", &in_sync);
        }
        if topic == Topic::RawUpdatesDlq {
            wanted = wanted.set("compression.type", "uncompressed");
        }
        let options = AdminOptions::new()
            .request_timeout(Some(CREATED_WITHIN))
            .operation_timeout(Some(CREATED_WITHIN));
        let outcome = admin
            .create_topics([&wanted], &options)
            .await
            .map_err(|source| EventLogError::classify("create topics", source))?;
        for result in outcome {
            match result {
                Ok(_) => tracing::info!(topic = name, partitions = config.partitions, "topic created"),
                // Another replica was faster.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => {
                    return Err(EventLogError::classify("create a topic", KafkaError::AdminOp(code)));
                }
            }
        }
    }
    Ok(())
}

/// Statistics of a client that lives for one question are of no use.
fn quiet(config: &EventLogConfig) -> rdkafka::ClientConfig {
    let mut settings = config.admin();
    settings.set("statistics.interval.ms", "0");
    settings
}

/// The client library blocks, also when a client is dropped.
pub(super) async fn off_the_async_threads<T: Send + 'static>(work: impl FnOnce() -> Result<T, EventLogError> + Send + 'static) -> Result<T, EventLogError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) => Err(EventLogError::ThreadEnded { message: ended.to_string() }),
    }
}
