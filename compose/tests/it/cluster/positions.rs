//! Where topics end and where groups stand.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shared::adapters::kafka::{EventLog, Topic};

const PARTITIONS: i32 = 3;
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Asks the broker.
#[derive(Clone)]
pub struct Positions {
    brokers: String,
    log: EventLog,
}

/// Asks again where the answer is that another broker has to be asked, or none is ready yet.
fn patiently<T>(mut question: impl FnMut() -> KafkaResult<T>) -> T {
    let until = Instant::now() + ANSWER_WITHIN;
    loop {
        match question() {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < until, "the broker answers: {error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Positions {
    /// Of the topics of a log.
    pub fn new(brokers: &str, log: EventLog) -> Positions {
        Positions {
            brokers: brokers.to_owned(),
            log,
        }
    }

    /// The next offset of a group, per partition of a topic.
    pub async fn committed(&self, group: String, topic: Topic) -> BTreeMap<i32, i64> {
        let name = self.log.topic_name(topic);
        self.ask(group, move |client| {
            let mut partitions = TopicPartitionList::new();
            partitions.add_partition_range(&name, 0, PARTITIONS - 1);
            let offsets = patiently(|| client.committed_offsets(partitions.clone(), ANSWER_WITHIN));
            let next = |offset| if let Offset::Offset(next) = offset { next } else { 0 };
            offsets.elements().iter().map(|element| (element.partition(), next(element.offset()))).collect()
        })
        .await
    }

    /// Where a topic ends, per partition.
    pub async fn ends(&self, topic: Topic) -> BTreeMap<i32, i64> {
        let name = self.log.topic_name(topic);
        self.ask("ends".to_owned(), move |client| {
            let end = |partition| patiently(|| client.fetch_watermarks(&name, partition, ANSWER_WITHIN)).1;
            (0..PARTITIONS).map(|partition| (partition, end(partition))).collect()
        })
        .await
    }

    /// How many records a topic has: nothing of a test's topics expires.
    pub async fn count(&self, topic: Topic) -> i64 {
        self.ends(topic).await.values().sum()
    }

    async fn ask<T: Send + 'static>(&self, group: String, question: impl FnOnce(&BaseConsumer) -> T + Send + 'static) -> T {
        let brokers = self.brokers.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let client: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", brokers)
                .set("group.id", group)
                .create()
                .expect("plain settings");
            question(&client)
        });
        asked.await.expect("the broker answers")
    }
}
