//! Whether the broker answers, as the clients last saw it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use tokio::sync::watch;

use super::start::AcceptedGap;
use crate::domain::UnixMillis;

/// Whether the event log can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The broker answered when last heard of.
    Up,
    /// It did not, or was never asked.
    Down {
        /// Since when.
        since: UnixMillis,
        /// What the client library said.
        reason: String,
    },
}

/// Takes what every client of one event log sees and keeps the newest.
pub(super) struct HealthSensor {
    state: watch::Sender<Health>,
    log_quota: Mutex<BTreeMap<String, Instant>>,
    /// Why nobody lets us in, since the broker last answered.
    denied: Mutex<Option<String>>,
    /// Partitions that wait for an operator, and why.
    held: Mutex<Vec<(AcceptedGap, String)>>,
}

/// A line of one kind is a warning at most this often; in between it is at debug level. A broker that is away makes
/// librdkafka repeat itself several times a second.
const SAME_WARNING_EVERY: Duration = Duration::from_secs(30);

impl HealthSensor {
    pub(super) fn new() -> HealthSensor {
        let unknown = Health::Down {
            since: UnixMillis::now(),
            reason: "not contacted yet".to_owned(),
        };
        HealthSensor {
            state: watch::Sender::new(unknown),
            log_quota: Mutex::default(),
            denied: Mutex::default(),
            held: Mutex::default(),
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Health> {
        self.state.subscribe()
    }

    pub(super) fn up(&self) {
        *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.state.send_if_modified(|state| {
            let changed = *state != Health::Up;
            *state = Health::Up;
            changed
        });
    }

    pub(super) fn down(&self, why: &str) {
        self.state.send_if_modified(|state| match state {
            Health::Up => {
                *state = Health::Down {
                    since: UnixMillis::now(),
                    reason: why.to_owned(),
                };
                true
            }
            // It was down before: what it says now is news, since when is not.
            Health::Down { reason, .. } => {
                let changed = reason != why;
                if changed {
                    *reason = why.to_owned();
                }
                changed
            }
        });
    }

    /// Why the broker does not let us in, or is not trusted, if that is what is wrong.
    pub(super) fn denied(&self) -> Option<String> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn hold(&self, gap: AcceptedGap, reason: String) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(other, _)| *other != gap);
        held.push((gap, reason));
    }

    pub(super) fn release(&self, group: &str, topic: &str, partition: i32) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(gap, _)| !gap.is_of(group, topic, partition));
    }

    pub(super) fn held(&self) -> Vec<String> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().map(|(_, reason)| reason.clone()).collect()
    }

    fn observe_error(&self, error: &KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // Its password or its certificate, or ours. All brokers are down then as well, which would hide why.
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed | RDKafkaErrorCode::SSL) => {
                *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
                self.down(reason);
                self.warn_sometimes("DENIED", reason);
            }
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.down(self.denied().as_deref().unwrap_or(reason));
                self.warn_sometimes("ALL_DOWN", reason);
            }
            // One connection of several, or an idle one that the broker closed.
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
                tracing::debug!(reason, "lost a connection to the event log");
            }
            _ => self.warn_sometimes(&error.to_string(), reason),
        }
    }

    fn observe_statistics(&self, statistics: &Statistics) {
        // Bootstrap entries stay in the list; a broker that answered carries a node id and is up.
        if statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP") {
            self.up();
        }
    }

    fn observe_log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                self.warn_sometimes(facility, line)
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, line, "event log client");
            }
        }
    }

    fn warn_sometimes(&self, kind: &str, line: &str) {
        let now = Instant::now();
        let mut quota = self.log_quota.lock().unwrap_or_else(PoisonError::into_inner);
        let due = quota.get(kind).is_none_or(|last| now.duration_since(*last) >= SAME_WARNING_EVERY);
        if due {
            quota.insert(kind.to_owned(), now);
            tracing::warn!(kind, line, "event log client");
        } else {
            tracing::debug!(kind, line, "event log client");
        }
    }
}

/// The client library's call-backs, for clients that need no others.
#[derive(Clone)]
pub(super) struct SensorContext(pub(super) std::sync::Arc<HealthSensor>);

impl ClientContext for SensorContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.0.observe_log(level, facility, line);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.observe_statistics(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.observe_error(&error, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_nobody_lets_us_in_is_not_hidden_by_what_follows_from_it() {
        let sensor = HealthSensor::new();
        sensor.observe_error(&KafkaError::Global(RDKafkaErrorCode::Authentication), "wrong password");
        sensor.observe_error(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert!(matches!(&*sensor.subscribe().borrow(), Health::Down { reason, .. } if reason == "wrong password"));
        assert_eq!(sensor.denied().as_deref(), Some("wrong password"));
        sensor.up();
        assert_eq!(sensor.denied(), None);
    }

    #[test]
    fn down_keeps_its_beginning_and_takes_the_newest_reason() {
        let sensor = HealthSensor::new();
        let seen = sensor.subscribe();
        sensor.up();
        assert_eq!(*seen.borrow(), Health::Up);
        sensor.down("first");
        let Health::Down { since, .. } = seen.borrow().clone() else {
            panic!("it is down")
        };
        sensor.down("second");
        assert_eq!(
            *seen.borrow(),
            Health::Down {
                since,
                reason: "second".to_owned()
            }
        );
    }
}
