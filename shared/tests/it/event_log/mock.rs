//! What holds over the client library's own cluster of mock brokers: they refuse, move, answer late and go away as told.
//!
//! What they lack: named instances, commits while members join, creation of topics, and leaders that move by themselves
//! when a broker goes away.

mod commits;
mod membership;
mod publishing;
mod stalls;

use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::DefaultProducerContext;
use shared::adapters::kafka::Topic;

use super::bench::Bench;

/// Mock brokers, and what is needed to test with them.
pub struct Mock {
    pub cluster: MockCluster<'static, DefaultProducerContext>,
    pub bench: Bench,
}

impl Mock {
    /// So many brokers, with all topics. They wait for further members for three seconds before they hand out partitions.
    pub fn of(brokers: i32) -> Mock {
        Mock::with(brokers, &[])
    }

    /// Likewise, with further settings for the clients.
    fn with(brokers: i32, settings: &[(&str, &str)]) -> Mock {
        let cluster = MockCluster::new(brokers).expect("brokers within the client library");
        let mut bench = Bench::at(&cluster.bootstrap_servers());
        let mut set = |name: &str, value: &str| bench.config.extra.insert(name.to_owned(), value.to_owned());
        // Longer than that wait, during which no heartbeat is heard.
        set("session.timeout.ms", "4000");
        set("heartbeat.interval.ms", "100");
        for (name, value) in settings {
            set(name, value);
        }
        for topic in Topic::ALL {
            let name = format!("{}{}", bench.config.topic_prefix, topic.base_name());
            cluster.create_topic(&name, bench.config.partitions, brokers.min(3)).expect("a topic");
        }
        Mock { cluster, bench }
    }

    /// Lets a broker look after the group.
    fn set_coordinator(&self, broker: i32) {
        let group = format!("{}{}", self.bench.config.topic_prefix, self.bench.group);
        self.cluster.coordinator(MockCoordinator::Group(group), broker).expect("a coordinator");
    }

    /// Lets a broker lead a partition of all topics.
    fn set_leader(&self, partition: i32, broker: i32) {
        for topic in Topic::ALL {
            let name = self.bench.log().topic_name(topic);
            self.cluster.partition_leader(&name, partition, Some(broker)).expect("a leader");
        }
    }
}
