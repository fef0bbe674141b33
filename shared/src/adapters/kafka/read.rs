//! Reading what a topic holds now, and no more: no group, nothing committed.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::config::EventLogConfig;
use super::error::EventLogError;
use super::health::{HealthSensor, SensorContext};
use super::record::{Record, RecordOffset};
use super::topic::Topic;
use super::topics::off_the_async_threads;

const POLL: Duration = Duration::from_millis(100);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A broker that brings nothing for this long although there is more is not waited for.
const PROGRESS_WITHIN: Duration = Duration::from_secs(30);

/// The call-backs of a client that reads without a group.
pub(super) struct ReadContext(pub(super) SensorContext);

impl ClientContext for ReadContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.0.log(level, facility, line);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.stats(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ConsumerContext for ReadContext {}

/// Copies the bytes of records that follow each other into one piece of memory, which goes with the last of them: an
/// allocation for half a dozen records in the place of four for each, which are freed on other threads.
#[derive(Default)]
pub(super) struct Copier {
    room: BytesMut,
}

impl Copier {
    /// As much as a record that is held may hold back of others that are settled.
    const PIECE_BYTES: usize = 32 * 1024;

    fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if self.room.capacity() < bytes.len() {
            self.room = BytesMut::with_capacity(bytes.len().max(Copier::PIECE_BYTES));
        }
        self.room.extend_from_slice(bytes);
        self.room.split().freeze()
    }

    /// The record that the client library holds.
    pub(super) fn record(&mut self, topic: Topic, message: &BorrowedMessage<'_>) -> Record {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            let copied = headers.iter().map(|header| (header.key.into(), header.value.map(|value| self.copy(value))));
            copied.collect()
        });
        Record {
            topic,
            partition: message.partition(),
            offset: RecordOffset(message.offset()),
            key: message.key().map(|key| self.copy(key)),
            payload: message.payload().map(|payload| self.copy(payload)),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
            headers,
        }
    }
}

/// What a topic holds at one moment: per partition from the first offset to the one after the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// By partition.
    pub partitions: BTreeMap<i32, Range<i64>>,
}

/// Asks for the extent of a topic.
pub(super) async fn extent(config: EventLogConfig, sensor: Arc<HealthSensor>, topic: Topic) -> Result<Extent, EventLogError> {
    off_the_async_threads(move || {
        let name = config.topic_name(topic);
        let consumer = reader(&config, sensor)?;
        let unavailable = |source| EventLogError::classify("ask what a topic holds", source);
        let mut extent = Extent::default();
        for partition in partitions_of(&consumer, &name, ANSWER_WITHIN).map_err(unavailable)? {
            let (low, high) = consumer.fetch_watermarks(&name, partition, ANSWER_WITHIN).map_err(unavailable)?;
            extent.partitions.insert(partition, low..high);
        }
        Ok(extent)
    })
    .await
}

/// Reads an extent, partition by partition in order, all partitions at once.
pub(super) async fn read(
    config: EventLogConfig,
    sensor: Arc<HealthSensor>,
    topic: Topic,
    extent: Extent,
    shutdown: CancellationToken,
    mut on_record: impl FnMut(Record) -> ControlFlow<()> + Send + 'static,
) -> Result<(), EventLogError> {
    let stop = shutdown.child_token();
    let _stop_when_dropped = stop.clone().drop_guard();
    off_the_async_threads(move || {
        let consumer = reader(&config, sensor)?;
        let unavailable = |source| EventLogError::classify("read a topic to its end", source);
        let mut left = extent.partitions;
        left.retain(|_, range| !range.is_empty());
        let mut assignment = TopicPartitionList::with_capacity(left.len());
        for (&partition, range) in &left {
            assignment
                .add_partition_offset(&config.topic_name(topic), partition, Offset::Offset(range.start))
                .map_err(unavailable)?;
        }
        consumer.assign(&assignment).map_err(unavailable)?;
        let mut copier = Copier::default();
        let mut progress = Instant::now();
        while !left.is_empty() && !stop.is_cancelled() {
            match consumer.poll(POLL) {
                Some(Ok(message)) => {
                    progress = Instant::now();
                    let (partition, offset) = (message.partition(), message.offset());
                    // What expired meanwhile is left out, what came meanwhile as well.
                    let Some(range) = left.get(&partition).cloned() else { continue };
                    if range.contains(&offset) && on_record(copier.record(topic, &message)).is_break() {
                        return Ok(());
                    }
                    if offset + 1 >= range.end {
                        left.remove(&partition);
                    }
                }
                // There may be nothing behind the last offset that can be read: markers of transactions, for example.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    left.remove(&partition);
                }
                Some(Err(error)) if !EventLogError::classify("", error.clone()).is_retryable() => return Err(unavailable(error)),
                Some(Err(_)) | None => {}
            }
            if progress.elapsed() > PROGRESS_WITHIN {
                return Err(unavailable(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)));
            }
        }
        Ok(())
    })
    .await
}

fn reader(config: &EventLogConfig, sensor: Arc<HealthSensor>) -> Result<BaseConsumer<ReadContext>, EventLogError> {
    // The library wants a name even where no group is joined.
    let mut settings = config.follower(&format!("{}-read", config.client_id));
    settings.set("enable.partition.eof", "true");
    BaseConsumer::from_config_and_context(&settings, ReadContext(SensorContext(sensor))).map_err(|source| EventLogError::classify("create a consumer", source))
}

/// The partitions of a topic.
pub(super) fn partitions_of<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic_name: &str, within: Duration) -> KafkaResult<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic_name), within)?;
    let partitions: Vec<i32> = metadata
        .topics()
        .iter()
        .filter(|topic| topic.name() == topic_name && topic.error().is_none())
        .flat_map(|topic| topic.partitions().iter().map(rdkafka::metadata::MetadataPartition::id))
        .collect();
    if partitions.is_empty() {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
    }
    Ok(partitions)
}
