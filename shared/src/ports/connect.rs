//! [`Ports`]: the one place where the environment picks the adapters.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use prometheus::{IntGauge, register_int_gauge};
use tokio_util::sync::CancellationToken;

use super::{Catalog, KafkaAccess};
use crate::adapters::kafka::{AcceptedGap, EventLog, EventLogConfig};
use crate::config::{Environment, parse_duration};
use crate::domain::UnixMillis;
use crate::health::{Condition, Health};
use crate::retry::Backoff;

/// What every service is given: the event log, the catalog, and the board on which it notes their condition.
#[derive(Clone)]
pub struct Ports {
    /// Topics.
    pub event_log: EventLog,
    /// Products, opportunities, state.
    pub catalog: Arc<dyn Catalog>,
    /// One board per process.
    pub health: Health,
}

static EVENT_LOG_UP: LazyLock<IntGauge> =
    LazyLock::new(|| register_int_gauge!("event_log_up", "1 while the event log answers this process, else 0").expect("a name of its own"));
static CATALOG_UP: LazyLock<IntGauge> =
    LazyLock::new(|| register_int_gauge!("catalog_up", "1 while the catalog answers this process, else 0").expect("a name of its own"));

/// What brokers allow by default.
const SHORTEST_SESSION: Duration = Duration::from_secs(6);
/// Brokers allow more by default, the client library no more than its `max.poll.interval.ms`.
const LONGEST_SESSION: Duration = Duration::from_secs(5 * 60);

/// Where the event log is.
#[derive(Debug, Clone)]
pub struct EventLogSettings {
    /// `KAFKA_BROKERS`; none = embedded, where there is one.
    pub brokers: Option<String>,
    /// `TOPIC_PREFIX`.
    pub topic_prefix: String,
    /// `TOPIC_PARTITIONS`, of topics that are created.
    pub partitions: i32,
    /// `TOPIC_REPLICATION`, likewise.
    pub replication: i32,
    /// `TOPIC_MIN_INSYNC_REPLICAS`, likewise: 2 where there are three replicas or more, else 1.
    pub min_insync_replicas: i32,
    /// `INSTANCE_NAME`: stable and unique; static membership.
    pub instance_name: Option<String>,
    /// `KAFKA_SESSION_TIMEOUT` (30s): a member of a consumer group that is silent for this long loses its partitions.
    pub session_timeout: Option<Duration>,
    /// `KAFKA_SECURITY_PROTOCOL`, `KAFKA_SASL_*` and `KAFKA_SSL_CA`.
    pub access: KafkaAccess,
    /// `KAFKA_ACCEPT_GAP`: records that expired before a group read them and that are to be passed over. The alarm says
    /// what to write.
    pub accepted_gaps: Vec<AcceptedGap>,
}

impl EventLogSettings {
    /// Reads the variables above.
    #[must_use]
    pub fn read(environment: &Environment) -> Self {
        let brokers = environment.parsed("KAFKA_BROKERS", None, "host:port, several separated by commas", |text| {
            let valid = text.split(',').all(|broker| {
                broker
                    .trim()
                    .rsplit_once(':')
                    .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
            });
            valid.then(|| Some(text.to_owned()))
        });
        let name = |variable: &str| {
            environment.parsed(variable, String::new(), "letters, digits, '.', '_' and '-', at most 100", |text| {
                let valid = text.len() <= 100 && text.chars().all(|character| character.is_ascii_alphanumeric() || "._-".contains(character));
                valid.then(|| text.to_owned())
            })
        };
        let instance_name = name("INSTANCE_NAME");
        let access = KafkaAccess::read(environment);
        if brokers.is_none() && access.is_set() {
            environment.mistake("KAFKA_SECURITY_PROTOCOL is set but KAFKA_BROKERS is not: there is no Kafka to be reached");
        }
        let replication = environment.integer("TOPIC_REPLICATION", 1, 1..=15);
        let in_sync = if replication >= 3 { 2 } else { 1 };
        let accepted_gaps = environment.parsed(
            "KAFKA_ACCEPT_GAP",
            Vec::new(),
            "GROUP:TOPIC:PARTITION@OFFSET as the alarm shows it, several separated by commas",
            |text| text.split(',').map(|gap| gap.parse().ok()).collect(),
        );
        EventLogSettings {
            brokers,
            topic_prefix: name("TOPIC_PREFIX"),
            partitions: environment.integer("TOPIC_PARTITIONS", 3, 1..=1_000),
            replication,
            min_insync_replicas: environment.integer("TOPIC_MIN_INSYNC_REPLICAS", in_sync, 1..=replication),
            instance_name: (!instance_name.is_empty()).then_some(instance_name),
            session_timeout: environment.parsed("KAFKA_SESSION_TIMEOUT", None, "a duration from 6s to 5m", |text| {
                let timeout = parse_duration(text)?;
                (SHORTEST_SESSION..=LONGEST_SESSION).contains(&timeout).then_some(Some(timeout))
            }),
            access,
            accepted_gaps,
        }
    }

    /// As the client library takes them.
    fn extra(&self, embedded: bool) -> BTreeMap<String, String> {
        let session = self.session_timeout.filter(|_| !embedded);
        let settings = session.into_iter().map(|timeout| ("session.timeout.ms", timeout.as_millis()));
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_string()));
        // The embedded broker listens on this machine alone and knows neither.
        let access = if embedded { BTreeMap::new() } else { self.access.settings() };
        settings.chain(access).collect()
    }

    /// The event log at `brokers`.
    #[must_use]
    pub fn connect(&self, brokers: String, embedded: bool, client_id: &str) -> EventLog {
        EventLog::new(EventLogConfig {
            brokers,
            topic_prefix: self.topic_prefix.clone(),
            partitions: self.partitions,
            replication: if embedded { 1 } else { self.replication },
            min_insync_replicas: if embedded { 1 } else { self.min_insync_replicas },
            embedded,
            instance_name: self.instance_name.clone(),
            client_id: client_id.to_owned(),
            extra: self.extra(embedded),
            accepted_gaps: self.accepted_gaps.clone(),
            ..EventLogConfig::default()
        })
    }
}

impl Ports {
    /// Makes topics and indices where they are missing, trying again until it is done or `shutdown` is cancelled.
    ///
    /// Services need not wait for it: until it is done their calls fail, are retried, and they are not ready.
    pub async fn prepare(&self, shutdown: &CancellationToken) {
        // Until they answer for the first time, they are away.
        EVENT_LOG_UP.set(0);
        CATALOG_UP.set(0);
        let topics = prepare_one("event_log", &self.health, shutdown, || async {
            self.event_log.ensure_topics().await.map_err(|error| error.to_string())
        });
        let indices = prepare_one("catalog", &self.health, shutdown, || async {
            self.catalog.prepare().await.map_err(|error| error.to_string())
        });
        tokio::join!(topics, indices);
    }

    /// It answers, and yet some of it may not be read.
    fn condition_of_answering_log(&self) -> Condition {
        let held = self.event_log.held();
        if held.is_empty() {
            return Condition::Up;
        }
        Condition::Degraded { reason: held.join("; ") }
    }

    /// Keeps the board true: asks the event log and the catalog every five seconds whether they answer.
    pub async fn watch(&self, shutdown: &CancellationToken) {
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            // A catalog that takes connections and never answers keeps a question longer than a shutdown may take.
            let (event_log, catalog) = tokio::select! {
                both = async { tokio::join!(self.event_log.check(), self.catalog.check()) } => both,
                () = shutdown.cancelled() => return,
            };
            EVENT_LOG_UP.set(i64::from(event_log.is_ok()));
            CATALOG_UP.set(i64::from(catalog.is_ok()));
            let now = UnixMillis::now();
            match event_log {
                Ok(()) => self.health.set("event_log", self.condition_of_answering_log(), now),
                Err(error) => self.health.down("event_log", error.to_string(), now),
            }
            match catalog {
                Ok(()) => self.health.up("catalog", now),
                Err(error) => self.health.down("catalog", error.to_string(), now),
            }
        }
    }
}

async fn prepare_one<F, Fut>(component: &'static str, health: &Health, shutdown: &CancellationToken, attempt: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<(), String>>,
{
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        let outcome = tokio::select! {
            outcome = attempt() => outcome,
            () = shutdown.cancelled() => return,
        };
        match outcome {
            Ok(()) => {
                health.up(component, UnixMillis::now());
                return;
            }
            Err(reason) => {
                health.down(component, reason, UnixMillis::now());
                if backoff.wait(shutdown).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<EventLogSettings, Vec<String>> {
        let environment = Environment::of(variables.iter().copied());
        let settings = EventLogSettings::read(&environment);
        environment.finish(settings).map_err(|error| error.mistakes)
    }

    #[test]
    fn replicas_in_sync_follow_from_the_replicas_unless_they_are_given() {
        for (replication, given, expected) in [
            ("1", None, Some(1)),
            ("2", None, Some(1)),
            ("3", None, Some(2)),
            ("5", None, Some(2)),
            ("5", Some("3"), Some(3)),
            ("3", Some("1"), Some(1)),
            ("2", Some("3"), None),
            ("3", Some("0"), None),
        ] {
            let mut variables = vec![("TOPIC_REPLICATION", replication)];
            variables.extend(given.map(|given| ("TOPIC_MIN_INSYNC_REPLICAS", given)));
            let read = read(&variables).ok().map(|settings| settings.min_insync_replicas);
            assert_eq!(read, expected, "{variables:?}");
        }
    }

    #[test]
    fn gaps_are_accepted_one_by_one() {
        let settings = read(&[("KAFKA_ACCEPT_GAP", "enricher:raw.keepa_updates:2@17, detector:enriched.products:0@none")]).expect("valid");
        let shown: Vec<String> = settings.accepted_gaps.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["enricher:raw.keepa_updates:2@17", "detector:enriched.products:0@none"]);
        for wrong in ["all", "enricher:raw.keepa_updates:2", "enricher:raw.keepa_updates:2@17,x"] {
            let mistakes = read(&[("KAFKA_ACCEPT_GAP", wrong)]).expect_err("a mistake");
            assert!(mistakes[0].starts_with("KAFKA_ACCEPT_GAP"), "{mistakes:?}");
        }
    }

    #[test]
    fn access_settings_are_for_a_kafka_alone_and_never_shown() {
        let sasl = [
            ("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
            ("KAFKA_SASL_USERNAME", "us"),
            ("KAFKA_SASL_PASSWORD", "correct horse"),
        ];
        assert!(read(&sasl).expect_err("no brokers")[0].contains("KAFKA_BROKERS"));
        let settings = read(&[&sasl[..], &[("KAFKA_BROKERS", "kafka:9092")]].concat()).expect("valid");
        assert!(!format!("{settings:?}").contains("correct horse"), "{settings:?}");
        assert_eq!(settings.extra(false).get("sasl.password").map(String::as_str), Some("correct horse"));
        assert!(settings.extra(true).is_empty());
    }
}
