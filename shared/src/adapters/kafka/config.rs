//! Settings of the event log, and what they mean to the client library.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::start::AcceptedGap;
use super::topic::Topic;

/// Where the event log is and how it is used.
#[derive(Clone)]
pub struct EventLogConfig {
    /// Bootstrap addresses, `host:port`, comma-separated.
    pub brokers: String,
    /// Put before every topic's name.
    pub topic_prefix: String,
    /// Partitions of topics that are created here.
    pub partitions: i32,
    /// Replication factor of topics that are created here.
    pub replication: i32,
    /// `min.insync.replicas` of topics that are created here: so many replicas have a record before it is confirmed.
    pub min_insync_replicas: i32,
    /// The broker is the one inside this process: short waits, a short session, no compression.
    pub embedded: bool,
    /// A name that stays the same over restarts and is unique in the group (a StatefulSet's pod name): static membership.
    /// Without meaning on the embedded broker.
    pub instance_name: Option<String>,
    /// How the broker's logs and quotas name this process.
    pub client_id: String,
    /// Further settings of librdkafka, security for example. They win over those made here.
    pub extra: BTreeMap<String, String>,
    /// Gaps that an operator has accepted: records that expired before a group read them. Each other one keeps its
    /// partition from being read. Without meaning on the embedded broker, which passes over gaps with an alarm.
    pub accepted_gaps: Vec<AcceptedGap>,
    /// A partition with lag that is not paused, holds nothing and brought nothing for this long is stuck in the client:
    /// the member joins its group anew.
    pub stalled_after: Duration,
}

impl Default for EventLogConfig {
    fn default() -> EventLogConfig {
        EventLogConfig {
            brokers: String::new(),
            topic_prefix: String::new(),
            partitions: 3,
            replication: 1,
            min_insync_replicas: 1,
            embedded: false,
            instance_name: None,
            client_id: "unnamed".to_owned(),
            extra: BTreeMap::new(),
            accepted_gaps: Vec::new(),
            stalled_after: Duration::from_secs(60),
        }
    }
}

/// The extra settings may hold passwords: only their names are shown.
impl std::fmt::Debug for EventLogConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventLogConfig")
            .field("brokers", &self.brokers)
            .field("topic_prefix", &self.topic_prefix)
            .field("partitions", &self.partitions)
            .field("replication", &self.replication)
            .field("min_insync_replicas", &self.min_insync_replicas)
            .field("embedded", &self.embedded)
            .field("instance_name", &self.instance_name)
            .field("client_id", &self.client_id)
            .field("extra", &self.extra.keys().collect::<Vec<_>>())
            .field("accepted_gaps", &self.accepted_gaps)
            .field("stalled_after", &self.stalled_after)
            .finish()
    }
}

/// Extra settings that only members of a group know; other clients would warn of them.
const OF_MEMBERS: [&str; 2] = ["session.timeout.ms", "max.poll.interval.ms"];
/// A member learns from the answer that the group is balanced anew. Until the last one has, those that gave their partitions
/// back stand still: at 3,000, the library's default, for as long as that.
const HEARTBEAT_MS: &str = "500";

/// What a fetch brings of one partition, compressed: a few megabytes of records where they shrink as Keepa's do. They are
/// unpacked at once and stay until the last of them is taken over, outside of what `queued.max.messages.kbytes` bounds.
/// A broker sends a first batch that is larger all the same (KIP-74).
const FETCH_BYTES: usize = 512 * 1024;
/// What an answer may have: the largest record there is, several times over.
const ANSWER_BYTES: usize = 16 * Topic::RawUpdatesDlq.max_message_bytes();

impl EventLogConfig {
    /// The name of a topic in the broker.
    pub(super) fn topic_name(&self, topic: Topic) -> String {
        format!("{}{}", self.topic_prefix, topic.base_name())
    }

    /// The name of a consumer group in the broker. With the topics' prefix, as two installations on one broker would else
    /// share groups: each member that comes or goes in one would stop the work of the other.
    pub(super) fn group_name(&self, group: &str) -> String {
        format!("{}{group}", self.topic_prefix)
    }

    fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", &self.client_id)
            .set("allow.auto.create.topics", "false")
            .set("statistics.interval.ms", "5000")
            // Idle connections are closed by brokers as a matter of course.
            .set("log.connection.close", "false")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "5000")
            // New partitions, and topics that appear after their consumers, are noticed within this time.
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("socket.nagle.disable", "true")
            .set_log_level(RDKafkaLogLevel::Info);
        if self.embedded {
            // The address is a literal and the broker answers at once or not at all.
            config.set("broker.address.family", "v4").set("reconnect.backoff.max.ms", "500");
        }
        config
    }

    fn with_extra(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in self.extra.iter().filter(|(name, _)| !OF_MEMBERS.contains(&name.as_str())) {
            config.set(name, value);
        }
        config
    }

    /// For topics, metadata and reachability.
    pub(super) fn admin(&self) -> ClientConfig {
        self.with_extra(self.common())
    }

    /// For records of a topic with the given size limit, compressed or not.
    pub(super) fn producer(&self, max_message_bytes: usize, compressed: bool) -> ClientConfig {
        let mut config = self.common();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // A backlog is short of CPU: reading 100,000 records of 5 kB takes 0.7 seconds of it, and 1.1 where zstd packed them.
            .set("compression.type", if compressed { "lz4" } else { "none" })
            .set("linger.ms", "5")
            .set("message.timeout.ms", "120000")
            // librdkafka's own default hashes otherwise than Java's clients, so keys would move between partitions.
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", max_message_bytes.to_string())
            // Bytes in flight are bounded by the publisher; this only has to be out of the way.
            .set("queue.buffering.max.kbytes", "131072")
            .set("queue.buffering.max.messages", "500000");
        self.with_extra(config)
    }

    /// For a member of a consumer group.
    pub(super) fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.reader();
        config
            .set("group.id", self.group_name(group))
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("enable.auto.offset.store", "false")
            // Records that are gone are an alarm, and where to go on is decided in start.rs.
            .set("auto.offset.reset", "error")
            .set("partition.assignment.strategy", "range,roundrobin")
            .set("max.poll.interval.ms", "300000")
            .set("session.timeout.ms", if self.embedded { "6000" } else { "30000" })
            .set("heartbeat.interval.ms", HEARTBEAT_MS);
        if let Some(instance) = self.instance_id(group) {
            config.set("group.instance.id", instance);
        }
        let mut config = self.with_extra(config);
        for (name, value) in self.extra.iter().filter(|(name, _)| OF_MEMBERS.contains(&name.as_str())) {
            config.set(name, value);
        }
        config
    }

    /// For one who follows a topic on his own: no group is joined and nothing is committed.
    pub(super) fn follower(&self, group: &str) -> ClientConfig {
        let mut config = self.reader();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false");
        self.with_extra(config)
    }

    fn reader(&self) -> ClientConfig {
        let mut config = self.common();
        config
            .set("auto.offset.reset", "earliest")
            // The default of one second costs a quarter of the rate under back-pressure.
            .set("fetch.queue.backoff.ms", "10")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.message.max.bytes", FETCH_BYTES.to_string())
            .set("fetch.max.bytes", (2 * FETCH_BYTES).to_string())
            .set("receive.message.max.bytes", ANSWER_BYTES.to_string());
        if self.embedded {
            // Records are answered with at once; this only bounds how long a change of partitions waits for a quiet fetch.
            config.set("fetch.wait.max.ms", "250");
        }
        config
    }

    /// Static membership where the instance has a name: a restart within the session time-out causes no rebalance.
    ///
    /// Never on the embedded broker: tansu 0.6 lets static members wait three seconds to join and three more to sync, at
    /// every start, without hearing their heartbeats meanwhile, so that a session of six seconds is over before it began.
    /// Nor is it needed there: that broker starts without members, so there is no killed one to be waited for.
    fn instance_id(&self, group: &str) -> Option<String> {
        let name = self.instance_name.as_ref().filter(|_| !self.embedded)?;
        Some(format!("{name}-{group}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> EventLogConfig {
        EventLogConfig {
            brokers: "127.0.0.1:1".to_owned(),
            topic_prefix: "t.".to_owned(),
            partitions: 3,
            replication: 1,
            embedded: false,
            instance_name: None,
            client_id: "test".to_owned(),
            extra: BTreeMap::from([("sasl.password".to_owned(), "s3cret".to_owned())]),
            ..EventLogConfig::default()
        }
    }

    #[test]
    fn debug_output_never_shows_the_value_of_an_extra_setting() {
        let shown = format!("{:?}", config());
        assert!(shown.contains("sasl.password"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn membership_is_static_where_the_instance_has_a_name() {
        let plain = config();
        assert_eq!(plain.member("g").get("group.instance.id"), None);
        let embedded = EventLogConfig { embedded: true, ..config() };
        assert_eq!(embedded.member("g").get("group.instance.id"), None);
        assert_eq!(embedded.member("g").get("session.timeout.ms"), Some("6000"));
        assert_eq!(embedded.member("g").get("fetch.wait.max.ms"), Some("250"));
        let named = EventLogConfig {
            instance_name: Some("pod-1".to_owned()),
            ..config()
        };
        assert_eq!(named.member("g").get("group.instance.id"), Some("pod-1-g"));
        let both = EventLogConfig { embedded: true, ..named };
        assert_eq!(both.member("g").get("group.instance.id"), None);
    }

    #[test]
    fn a_password_without_encryption_needs_no_tls_and_encryption_does() {
        use rdkafka::consumer::BaseConsumer;
        let made = |settings: &[(&str, &str)]| {
            let extra = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let made: Result<BaseConsumer, _> = EventLogConfig { extra, ..config() }.admin().create();
            made.is_ok()
        };
        let user = [("sasl.username", "us"), ("sasl.password", "s3cret")];
        assert!(made(
            &[&user[..], &[("security.protocol", "sasl_plaintext"), ("sasl.mechanisms", "PLAIN")]].concat()
        ));
        let has_tls = cfg!(feature = "kafka-tls");
        assert_eq!(made(&[("security.protocol", "ssl"), ("ssl.ca.location", "probe")]), has_tls);
        assert_eq!(
            made(&[&user[..], &[("security.protocol", "sasl_plaintext"), ("sasl.mechanisms", "SCRAM-SHA-512")]].concat()),
            has_tls
        );
    }

    #[test]
    fn extra_settings_win() {
        let custom = EventLogConfig {
            extra: BTreeMap::from([("linger.ms".to_owned(), "50".to_owned())]),
            ..config()
        };
        assert_eq!(custom.producer(1000, true).get("linger.ms"), Some("50"));
    }

    #[test]
    fn a_member_s_own_settings_are_given_to_members_only() {
        let custom = EventLogConfig {
            extra: BTreeMap::from([("session.timeout.ms".to_owned(), "6000".to_owned())]),
            ..config()
        };
        assert_eq!(custom.member("g").get("session.timeout.ms"), Some("6000"));
        assert_eq!(custom.producer(1000, true).get("session.timeout.ms"), None);
        assert_eq!(custom.member("g").get("group.id"), Some("t.g"));
    }
}
