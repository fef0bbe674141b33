//! Publishing with the broker's confirmation.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::config::EventLogConfig;
use super::error::{EventLogError, PublishError};
use super::health::{HealthSensor, SensorContext};
use super::metrics;
use super::record::{Message, Position, RecordOffset};
use super::topic::Topic;

/// What may be on its way to the broker at a time, all topics together.
const IN_FLIGHT_BYTES: usize = 16 * 1024 * 1024;
/// What a message costs the client library besides its bytes.
const MESSAGE_OVERHEAD_BYTES: usize = 512;
/// How long to wait before offering a message again that the client library had no room for.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(20);

/// Publishes records. Cheap to clone; all clones share the connections and the bound on bytes in flight.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

struct Shared {
    config: EventLogConfig,
    sensor: Arc<HealthSensor>,
    records: ProducerSlot,
    /// Dead letters have a size limit of their own and go uncompressed, which is a property of the whole client.
    dead_letters: ProducerSlot,
    in_flight: Arc<Semaphore>,
    in_flight_count: Arc<AtomicUsize>,
}

/// An idempotent producer that met a fatal error is of no more use: the slot is emptied and filled anew.
#[derive(Default)]
struct ProducerSlot(Mutex<Option<Arc<Client>>>);

type Client = ThreadedProducer<Deliveries>;

impl Publisher {
    pub(super) fn new(config: EventLogConfig, sensor: Arc<HealthSensor>) -> Result<Publisher, EventLogError> {
        let shared = Shared {
            config,
            sensor,
            records: ProducerSlot::default(),
            dead_letters: ProducerSlot::default(),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT_BYTES)),
            in_flight_count: Arc::default(),
        };
        // Made at once, so that a setting the client library refuses is known at start and not at the first record.
        shared
            .client(Topic::RawUpdates)
            .map_err(|source| EventLogError::classify("create a producer", source))?;
        Ok(Publisher { shared: Arc::new(shared) })
    }

    /// Publishes one record and returns where it lies once the broker has confirmed it.
    ///
    /// Bounded by bytes in flight: waits while too much is on its way. Records of one key published one after another
    /// keep their order. An error means *not confirmed*, see [`PublishError`].
    ///
    /// # Errors
    /// By what the caller does next: make it smaller or dead-letter it, publish it again, or stop.
    pub async fn publish(&self, topic: Topic, mut message: Message) -> Result<Position, PublishError> {
        // A dead letter has the headers of its record, whatever they are.
        if topic != Topic::RawUpdatesDlq {
            message.ensure_traceparent();
        }
        let bytes = message.size();
        let result = self.try_publish(topic, message, bytes).await;
        if let Err(error) = &result {
            metrics::PRODUCE_FAILURES.with_label_values(&[error.class()]).inc();
        }
        result
    }

    async fn try_publish(&self, topic: Topic, message: Message, bytes: usize) -> Result<Position, PublishError> {
        let limit = topic.max_record_bytes();
        if bytes > limit {
            return Err(PublishError::TooLarge { topic, bytes, limit });
        }
        let in_flight = self.reserve(bytes, topic).await?;
        let (reply, confirmed) = oneshot::channel();
        self.enqueue(topic, &message, bytes, Delivery { reply, _in_flight: in_flight }).await?;
        // The client library has a copy: no need to hold a second one until the broker has answered.
        drop(message);

        // Two layers: the answer may be missing altogether, and it may be an error.
        match confirmed.await {
            Ok(Ok(position)) => Ok(position),
            Ok(Err(source)) => {
                self.shared.replace_if_fatal(topic);
                Err(PublishError::classify(topic, bytes, source))
            }
            Err(_) => Err(PublishError::Unavailable {
                topic,
                source: KafkaError::Canceled,
            }),
        }
    }

    async fn reserve(&self, bytes: usize, topic: Topic) -> Result<InFlight, PublishError> {
        let weight = (bytes + MESSAGE_OVERHEAD_BYTES).min(IN_FLIGHT_BYTES);
        let permits = u32::try_from(weight).expect("the bound on bytes in flight fits u32");
        let permit = Arc::clone(&self.shared.in_flight)
            .acquire_many_owned(permits)
            .await
            .map_err(|_closed| PublishError::Unavailable {
                topic,
                source: KafkaError::Canceled,
            })?;
        Ok(InFlight::new(permit, weight, Arc::clone(&self.shared.in_flight_count)))
    }

    async fn enqueue(&self, topic: Topic, message: &Message, bytes: usize, delivery: Delivery) -> Result<(), PublishError> {
        let name = self.shared.config.topic_name(topic);
        let mut delivery = Box::new(delivery);
        loop {
            let client = self.shared.client(topic).map_err(|source| PublishError::classify(topic, bytes, source))?;
            match client.send(to_record(&name, message, delivery)) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    delivery = refused.delivery_opaque;
                }
                Err((source, _)) => {
                    self.shared.replace_if_fatal(topic);
                    return Err(PublishError::classify(topic, bytes, source));
                }
            }
            tokio::time::sleep(QUEUE_FULL_WAIT).await;
        }
    }

    /// Waits until all that was published before is confirmed or given up, and says how many records are not.
    pub async fn flush(&self, timeout: Duration) -> usize {
        let everything = u32::try_from(IN_FLIGHT_BYTES).expect("the bound on bytes in flight fits u32");
        // All permits back means nothing is on its way. The queue of waiters is fair, so later records wait meanwhile.
        let _ = tokio::time::timeout(timeout, self.shared.in_flight.acquire_many(everything)).await;
        self.shared.in_flight_count.load(Ordering::Acquire)
    }
}

impl Shared {
    fn slot(&self, topic: Topic) -> &ProducerSlot {
        match topic {
            Topic::RawUpdatesDlq => &self.dead_letters,
            _ => &self.records,
        }
    }

    fn client(&self, topic: Topic) -> Result<Arc<Client>, KafkaError> {
        let mut slot = self.slot(topic).0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = slot.as_ref() {
            return Ok(Arc::clone(client));
        }
        // Within one machine compression costs more than it saves, and the embedded broker would undo and redo it.
        let compressed = topic != Topic::RawUpdatesDlq && !self.config.embedded;
        let settings = self.config.producer(topic.max_message_bytes(), compressed);
        let deliveries = Deliveries {
            sensor: SensorContext(Arc::clone(&self.sensor)),
        };
        let client = Arc::new(Client::from_config_and_context(&settings, deliveries)?);
        *slot = Some(Arc::clone(&client));
        Ok(client)
    }

    fn replace_if_fatal(&self, topic: Topic) {
        let mut slot = self.slot(topic).0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, reason)) = slot.as_ref().and_then(|client| client.client().fatal_error()) {
            tracing::warn!(%code, reason, "the producer met a fatal error and is made anew");
            *slot = None;
        }
    }
}

fn to_record<'a>(topic: &'a str, message: &'a Message, delivery: Box<Delivery>) -> BaseRecord<'a, [u8], [u8], Box<Delivery>> {
    let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
    for (key, value) in &message.headers {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    BaseRecord {
        topic,
        partition: None,
        payload: message.payload.as_deref(),
        key: Some(message.key.as_slice()),
        timestamp: message.timestamp_ms,
        headers: Some(headers),
        delivery_opaque: delivery,
    }
}

/// Travels through the client library with its message and comes back with the outcome.
struct Delivery {
    reply: oneshot::Sender<Result<Position, KafkaError>>,
    /// Given back when the library lets go of the message, also where nobody waits for it any more.
    _in_flight: InFlight,
}

struct InFlight {
    _permit: OwnedSemaphorePermit,
    bytes: i64,
    count: Arc<AtomicUsize>,
}

impl InFlight {
    fn new(permit: OwnedSemaphorePermit, bytes: usize, count: Arc<AtomicUsize>) -> InFlight {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        count.fetch_add(1, Ordering::AcqRel);
        metrics::PRODUCER_QUEUE_BYTES.add(bytes);
        InFlight { _permit: permit, bytes, count }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
        metrics::PRODUCER_QUEUE_BYTES.sub(self.bytes);
    }
}

struct Deliveries {
    sensor: SensorContext,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.sensor.log(level, facility, line);
    }

    fn stats(&self, statistics: Statistics) {
        self.sensor.stats(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.sensor.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let outcome = match result {
            Ok(message) => {
                self.sensor.0.up();
                Ok(Position {
                    partition: message.partition(),
                    offset: RecordOffset(message.offset()),
                })
            }
            Err((error, _)) => Err(error.clone()),
        };
        // Nobody waiting is fine: the caller was cancelled, the record is on its way all the same.
        let _ = delivery.reply.send(outcome);
    }
}
