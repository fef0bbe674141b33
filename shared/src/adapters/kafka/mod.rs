//! The event log: the only code that names rdkafka, for a real Kafka and the embedded broker alike.
//!
//! Guarantees:
//! - *At least once.* The offset of a record is let go only when the record and all before it in its partition are
//!   settled, and only while the partition is owned.
//! - *Order per key.* Records of one key are in one partition; a partition is worked on by one task, batch after batch.
//! - *Bounded memory.* Per partition and per member by bytes when reading (the partition is paused), in all by bytes when
//!   publishing (the publisher waits).
//! - *Patience.* A broker that is away is waited for, at start and later; see [`EventLog::health`].
//!
//! ```no_run
//! # async fn example(log: shared::adapters::kafka::EventLog) -> Result<(), Box<dyn std::error::Error>> {
//! use shared::adapters::kafka::{Message, Topic};
//! let publisher = log.publisher()?;
//! let position = publisher.publish(Topic::RawUpdates, Message::new("B0D1XD1ZV3", Some(b"{}".to_vec()))).await?;
//! # let _ = position; Ok(()) }
//! ```

mod config;
mod consumer;
mod error;
mod follow;
mod health;
mod intake;
mod lag;
mod metrics;
mod partition;
mod places;
mod publisher;
mod read;
mod record;
mod start;
mod topic;
mod topics;
mod trace;
mod workers;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use config::EventLogConfig;
pub use error::{EventLogError, PublishError};
pub use follow::FollowFrom;
pub use health::Health;
pub use intake::{Fenced, Intake, Intakes, Load};
pub use metrics::consumer_lag;
pub use partition::{ConsumerLimits, Lease, LeaseLost};
pub use publisher::Publisher;
pub use read::Extent;
pub use record::{Message, NextOffset, Position, Record, RecordOffset};
pub use start::{AcceptedGap, NoGap};
pub use topic::{MAX_DEAD_LETTER_BYTES, MAX_RECORD_BYTES, Topic};
pub use trace::{TRACEPARENT, TraceParent};
pub use workers::{PartitionHandler, PartitionHandlers};

use consumer::Membership;
use health::HealthSensor;

/// A handle on the event log. Cheap to clone; making one contacts nobody.
#[derive(Clone)]
pub struct EventLog {
    shared: Arc<Shared>,
}

struct Shared {
    config: EventLogConfig,
    sensor: Arc<HealthSensor>,
    publisher: Mutex<Option<Publisher>>,
}

impl EventLog {
    /// A handle on the log that the settings name.
    pub fn new(config: EventLogConfig) -> EventLog {
        EventLog {
            shared: Arc::new(Shared {
                config,
                sensor: Arc::new(HealthSensor::new()),
                publisher: Mutex::default(),
            }),
        }
    }

    /// The name of a topic in the broker: prefix and base name.
    pub fn topic_name(&self, topic: Topic) -> String {
        self.shared.config.topic_name(topic)
    }

    /// Whether the broker answers, as this handle's clients last saw it. The receiver also tells of changes.
    ///
    /// Before anything was asked it is [`Health::Down`] with the reason "not contacted yet".
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.sensor.subscribe()
    }

    /// Partitions that nobody reads until an operator accepts that records expired unread, each with the reason and what
    /// to set: see [`EventLogConfig::accepted_gaps`].
    pub fn held(&self) -> Vec<String> {
        self.shared.sensor.held()
    }

    /// Creates the topics that are missing, with the configured partitions and replication. Those that are there are
    /// left alone.
    ///
    /// # Errors
    /// `Unavailable` while the broker is away: call again. `Refused` where it does not let topics be created like this.
    pub async fn ensure_topics(&self) -> Result<(), EventLogError> {
        topics::ensure(&self.shared.config, &self.shared.sensor).await
    }

    /// Asks the broker for metadata, for five seconds at most.
    ///
    /// # Errors
    /// `Unavailable` or `Refused`, as the broker or the way to it has it.
    pub async fn check(&self) -> Result<(), EventLogError> {
        topics::check(&self.shared.config, &self.shared.sensor).await
    }

    /// The publisher; all callers get the same one.
    ///
    /// # Errors
    /// Where the client library refuses the settings. A broker that is away is none.
    pub fn publisher(&self) -> Result<Publisher, EventLogError> {
        let mut publisher = self.shared.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(publisher) = publisher.as_ref() {
            return Ok(publisher.clone());
        }
        let made = Publisher::new(self.shared.config.clone(), Arc::clone(&self.shared.sensor))?;
        Ok(publisher.insert(made).clone())
    }

    /// Reads a topic as a member of a group until `shutdown`, then drains, commits and leaves.
    ///
    /// A broker that is away, or a topic that is not there yet, is waited for. Dropping the future stops at once:
    /// batches in flight are not settled and will be read again.
    ///
    /// # Errors
    /// A panic of a handler, settings that the client library or the broker refuses, or an instance name that another
    /// process uses in the same group.
    pub fn consume<H: PartitionHandlers>(
        &self,
        group: &str,
        topic: Topic,
        limits: ConsumerLimits,
        handlers: H,
        shutdown: CancellationToken,
    ) -> impl Future<Output = Result<(), EventLogError>> + Send + use<H> {
        workers::consume(self.membership(group, topic, limits.drain), limits, handlers, shutdown)
    }

    /// As [`EventLog::consume`], for work that is not done batch after batch: records go to the intake of their
    /// partition, and the offsets that it says are settled are let go. `drain` is how long a partition that is taken back
    /// waits for what was begun.
    ///
    /// # Errors
    /// As [`EventLog::consume`].
    pub fn consume_into(
        &self,
        group: &str,
        topic: Topic,
        drain: Duration,
        intakes: Arc<dyn Intakes>,
        shutdown: CancellationToken,
    ) -> impl Future<Output = Result<(), EventLogError>> + Send + use<> {
        consumer::consume(self.membership(group, topic, drain), intakes, shutdown)
    }

    fn membership(&self, group: &str, topic: Topic, drain: Duration) -> Membership {
        Membership {
            config: self.shared.config.clone(),
            sensor: Arc::clone(&self.shared.sensor),
            group: group.to_owned(),
            topic,
            drain,
        }
    }

    /// What a topic holds now.
    ///
    /// # Errors
    /// `Unavailable` or `Refused`, as the broker or the way to it has it.
    pub fn extent(&self, topic: Topic) -> impl Future<Output = Result<Extent, EventLogError>> + Send + use<> {
        read::extent(self.shared.config.clone(), Arc::clone(&self.shared.sensor), topic)
    }

    /// How many records each of some groups is behind the end of its topic; of one that never committed, all there are. Asked
    /// of the broker, whoever is in the group.
    ///
    /// # Errors
    /// `Unavailable` or `Refused`, as the broker or the way to it has it.
    pub fn lag(&self, groups: &[(&str, Topic)]) -> impl Future<Output = Result<BTreeMap<String, i64>, EventLogError>> + Send + use<> {
        let groups = groups.iter().map(|(group, topic)| ((*group).to_owned(), *topic)).collect();
        lag::lag(self.shared.config.clone(), Arc::clone(&self.shared.sensor), groups)
    }

    /// Reads an extent of a topic without a group and without committing, and ends: with its last record, when `on_record`
    /// breaks off, or with `shutdown`. Records that expired meanwhile are left out. `on_record` runs on a thread of its own
    /// and may block.
    ///
    /// # Errors
    /// `Unavailable` where the broker brings nothing for half a minute, `Refused` where it never will.
    pub fn read<F>(
        &self,
        topic: Topic,
        extent: Extent,
        shutdown: CancellationToken,
        on_record: F,
    ) -> impl Future<Output = Result<(), EventLogError>> + Send + use<F>
    where
        F: FnMut(Record) -> ControlFlow<()> + Send + 'static,
    {
        read::read(self.shared.config.clone(), Arc::clone(&self.shared.sensor), topic, extent, shutdown, on_record)
    }

    /// Reads all partitions of a topic without a group and without committing, until `shutdown`. `on_record` runs on a
    /// thread of its own and must not block for long.
    ///
    /// # Errors
    /// Settings that the client library refuses, or a panic in `on_record`.
    pub fn follow<F>(
        &self,
        topic: Topic,
        from: FollowFrom,
        shutdown: CancellationToken,
        on_record: F,
    ) -> impl Future<Output = Result<(), EventLogError>> + Send + use<F>
    where
        F: FnMut(Record) + Send + 'static,
    {
        follow::follow(self.shared.config.clone(), Arc::clone(&self.shared.sensor), topic, from, shutdown, on_record)
    }
}
