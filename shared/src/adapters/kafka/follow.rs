//! Reading a topic on one's own: all partitions, no group, nothing committed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::config::EventLogConfig;
use super::error::EventLogError;
use super::health::{HealthSensor, SensorContext};
use super::read::{Copier, ReadContext, partitions_of};
use super::record::Record;
use super::topic::Topic;

const POLL: Duration = Duration::from_millis(100);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// How soon a partition that was added to the topic is followed as well.
const LOOK_FOR_PARTITIONS_EVERY: Duration = Duration::from_secs(30);

/// Where following starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowFrom {
    /// Only what comes from now on.
    End,
    /// All there is.
    Beginning,
    /// The last so many records of every partition, then what comes.
    LastN(u64),
}

pub(super) async fn follow<F>(
    config: EventLogConfig,
    sensor: Arc<HealthSensor>,
    topic: Topic,
    from: FollowFrom,
    shutdown: CancellationToken,
    on_record: F,
) -> Result<(), EventLogError>
where
    F: FnMut(Record) + Send + 'static,
{
    let stop = shutdown.child_token();
    let _stop_when_dropped = stop.clone().drop_guard();
    let (report, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name(format!("follow-{topic}"))
        .spawn(move || {
            let outcome = Follower::new(&config, sensor, topic, from).map(|mut follower| follower.run(&stop, on_record));
            let _ = report.send(outcome);
        })
        .map_err(|error| EventLogError::ThreadEnded { message: error.to_string() })?;
    ended.await.unwrap_or_else(|_| {
        Err(EventLogError::ThreadEnded {
            message: format!("the follower of {topic} panicked"),
        })
    })
}

struct Follower {
    consumer: BaseConsumer<ReadContext>,
    topic: Topic,
    topic_name: String,
    from: FollowFrom,
    /// Per partition the offset to go on from.
    positions: BTreeMap<i32, i64>,
}

impl Follower {
    fn new(config: &EventLogConfig, sensor: Arc<HealthSensor>, topic: Topic, from: FollowFrom) -> Result<Follower, EventLogError> {
        // The library wants a name even where no group is joined.
        let settings = config.follower(&format!("{}-follow", config.client_id));
        let consumer = BaseConsumer::from_config_and_context(&settings, ReadContext(SensorContext(sensor)))
            .map_err(|source| EventLogError::classify("create a consumer", source))?;
        Ok(Follower {
            consumer,
            topic,
            topic_name: config.topic_name(topic),
            from,
            positions: BTreeMap::new(),
        })
    }

    /// A broker that is away, or a topic that is not there yet, is waited for.
    fn run(&mut self, stop: &CancellationToken, mut on_record: impl FnMut(Record)) {
        let mut copier = Copier::default();
        let mut look_again = Instant::now();
        while !stop.is_cancelled() {
            if Instant::now() >= look_again {
                let found = self.take_new_partitions();
                if let Err(error) = &found {
                    tracing::debug!(topic = %self.topic, %error, "cannot follow yet");
                }
                let settled = found.is_ok() && !self.positions.is_empty();
                look_again = Instant::now() + if settled { LOOK_FOR_PARTITIONS_EVERY } else { RETRY_EVERY };
            }
            if let Some(Ok(message)) = self.consumer.poll(POLL) {
                self.positions.insert(message.partition(), message.offset() + 1);
                on_record(copier.record(self.topic, &message));
            }
        }
    }

    fn take_new_partitions(&mut self) -> KafkaResult<()> {
        let partitions = partitions_of(&self.consumer, &self.topic_name, ANSWER_WITHIN)?;
        let late = !self.positions.is_empty();
        let mut positions = self.positions.clone();
        for partition in partitions {
            if let Entry::Vacant(vacant) = positions.entry(partition) {
                let (low, high) = self.consumer.fetch_watermarks(&self.topic_name, partition, ANSWER_WITHIN)?;
                // A partition that appears while following is new as a whole.
                let from = if late { FollowFrom::Beginning } else { self.from };
                vacant.insert(start(from, low, high));
            }
        }
        if positions.len() > self.positions.len() {
            let mut assignment = TopicPartitionList::with_capacity(positions.len());
            for (&partition, &offset) in &positions {
                assignment.add_partition_offset(&self.topic_name, partition, Offset::Offset(offset))?;
            }
            self.consumer.assign(&assignment)?;
            self.positions = positions;
        }
        Ok(())
    }
}

fn start(from: FollowFrom, low: i64, high: i64) -> i64 {
    match from {
        FollowFrom::Beginning => low,
        FollowFrom::End => high,
        FollowFrom::LastN(count) => high.saturating_sub_unsigned(count).max(low),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn following_starts_inside_the_log() {
        assert_eq!(start(FollowFrom::Beginning, 3, 10), 3);
        assert_eq!(start(FollowFrom::End, 3, 10), 10);
        assert_eq!(start(FollowFrom::LastN(4), 3, 10), 6);
        assert_eq!(start(FollowFrom::LastN(400), 3, 10), 3);
        assert_eq!(start(FollowFrom::LastN(u64::MAX), 0, 0), 0);
    }
}
