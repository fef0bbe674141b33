//! [`Ports`]: the one place where the environment picks the adapters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Catalog;
use crate::adapters::kafka::{EventLog, EventLogConfig};
use crate::config::{Environment, parse_duration};
use crate::domain::UnixMillis;
use crate::health::Health;
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

/// What brokers allow by default.
const SHORTEST_SESSION: Duration = Duration::from_secs(6);
const LONGEST_SESSION: Duration = Duration::from_secs(30 * 60);

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
    /// `INSTANCE_NAME`: stable and unique; static membership.
    pub instance_name: Option<String>,
    /// `KAFKA_SESSION_TIMEOUT` (30s): a member of a consumer group that is silent for this long loses its partitions.
    pub session_timeout: Option<Duration>,
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
        EventLogSettings {
            brokers,
            topic_prefix: name("TOPIC_PREFIX"),
            partitions: environment.integer("TOPIC_PARTITIONS", 3, 1..=1_000),
            replication: environment.integer("TOPIC_REPLICATION", 1, 1..=15),
            instance_name: (!instance_name.is_empty()).then_some(instance_name),
            session_timeout: environment.parsed("KAFKA_SESSION_TIMEOUT", None, "a duration from 6s to 30m", |text| {
                let timeout = parse_duration(text)?;
                (SHORTEST_SESSION..=LONGEST_SESSION).contains(&timeout).then_some(Some(timeout))
            }),
        }
    }

    /// As the client library takes them.
    fn extra(&self, embedded: bool) -> BTreeMap<String, String> {
        let session = self.session_timeout.filter(|_| !embedded);
        let settings = session.into_iter().flat_map(|timeout| {
            [
                ("session.timeout.ms", timeout.as_millis()),
                // Some may get lost before the member does.
                ("heartbeat.interval.ms", (timeout / 6).min(Duration::from_secs(3)).as_millis()),
            ]
        });
        settings.map(|(name, value)| (name.to_owned(), value.to_string())).collect()
    }

    /// The event log at `brokers`.
    #[must_use]
    pub fn connect(&self, brokers: String, embedded: bool, client_id: &str) -> EventLog {
        EventLog::new(EventLogConfig {
            brokers,
            topic_prefix: self.topic_prefix.clone(),
            partitions: self.partitions,
            replication: self.replication,
            embedded,
            instance_name: self.instance_name.clone(),
            client_id: client_id.to_owned(),
            extra: self.extra(embedded),
        })
    }
}

impl Ports {
    /// Makes topics and indices where they are missing, trying again until it is done or `shutdown` is cancelled.
    ///
    /// Services need not wait for it: until it is done their calls fail, are retried, and they are not ready.
    pub async fn prepare(&self, shutdown: &CancellationToken) {
        let topics = prepare_one("event_log", &self.health, shutdown, || async {
            self.event_log.ensure_topics().await.map_err(|error| error.to_string())
        });
        let indices = prepare_one("catalog", &self.health, shutdown, || async {
            self.catalog.prepare().await.map_err(|error| error.to_string())
        });
        tokio::join!(topics, indices);
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
            let (event_log, catalog) = tokio::join!(self.event_log.check(), self.catalog.check());
            let now = UnixMillis::now();
            match event_log {
                Ok(()) => self.health.up("event_log", now),
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
        match attempt().await {
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
