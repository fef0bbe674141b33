//! Asking the broker where partitions begin and end, and where the group stands; what follows from it is decided in
//! [`super::start`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::read::partitions_of;
use super::record::NextOffset;
use super::start::{Start, decide_start};

/// The partitions of one topic, and whom to ask about them.
pub(super) struct Places<'a, C: ConsumerContext> {
    pub(super) consumer: &'a BaseConsumer<C>,
    pub(super) topic_name: &'a str,
    /// What is not known by then is left out.
    pub(super) deadline: Instant,
}

impl<C: ConsumerContext> Places<'_, C> {
    /// What is known before the deadline; one partition whose leader is away keeps none of the others back.
    pub(super) fn decide(&self, partitions: &[i32]) -> KafkaResult<BTreeMap<i32, Start>> {
        let committed = self.committed(partitions)?;
        let mut anywhere = (!committed.is_empty()).then_some(true);
        let mut starts = BTreeMap::new();
        let mut failed = Ok(());
        for &partition in partitions {
            let (low, high) = match self.consumer.fetch_watermarks(self.topic_name, partition, self.left()) {
                Ok(watermarks) => watermarks,
                Err(error) => {
                    failed = Err(error);
                    continue;
                }
            };
            let stood = committed.get(&partition).copied();
            let has_commits = match anywhere {
                Some(anywhere) => anywhere,
                None if low == 0 => false,
                None => *anywhere.insert(!self.committed(&partitions_of(self.consumer, self.topic_name, self.left())?)?.is_empty()),
            };
            starts.insert(partition, decide_start(stood, low, high, has_commits));
        }
        // Something is known: the rest is asked for again without a word.
        if starts.is_empty() { failed.map(|()| starts) } else { Ok(starts) }
    }

    fn left(&self) -> Duration {
        // Zero would be taken for "do not wait at all" by some calls and for "for ever" by others.
        self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(10))
    }

    fn committed(&self, partitions: &[i32]) -> KafkaResult<BTreeMap<i32, NextOffset>> {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for &partition in partitions {
            asked.add_partition(self.topic_name, partition);
        }
        let answer = self.consumer.committed_offsets(asked, self.left())?;
        let mut committed = BTreeMap::new();
        for element in answer.elements() {
            element.error()?;
            if let Offset::Offset(next) = element.offset() {
                committed.insert(element.partition(), NextOffset(next));
            }
        }
        Ok(committed)
    }
}
