//! [`RuleBoard`]: the rules in force, read from the catalog every few seconds. Those of the operator's file are written
//! there when a process starts, so that all see the same.

use std::sync::Arc;

use shared::domain::alert::Rule;
use shared::ports::catalog::{Condition, StateKind};
use shared::wire::alert::{AlertSettings, RuleOrigin, RuleRecord};
use tokio::sync::watch;

use super::config::AlertsConfig;
use super::decide::RuleInForce;
use super::records::{Found, Put, Records, decode, record};
use crate::basis::Clock;

/// More rules than anybody reads the messages of.
const MOST_RULES: usize = 1_000;

/// The present rules, shared by all partitions of a process.
pub(crate) struct RuleBoard {
    records: Records,
    config: AlertsConfig,
    clock: Clock,
    current: watch::Sender<Option<Arc<Vec<RuleInForce>>>>,
}

impl RuleBoard {
    pub(crate) fn new(records: Records, config: AlertsConfig, clock: Clock) -> RuleBoard {
        RuleBoard {
            records,
            config,
            clock,
            current: watch::Sender::new(None),
        }
    }

    /// The present rules, as soon as they are known.
    pub(crate) async fn current(&self) -> Arc<Vec<RuleInForce>> {
        let mut current = self.current.subscribe();
        let read = current.wait_for(Option::is_some).await.expect("the board holds the sender");
        read.clone().expect("waited for")
    }

    /// Says which channels there are, puts the file's rules in force, takes away those that are no longer in it, and reads
    /// all rules.
    pub(crate) async fn begin(&self) {
        self.tell_channels().await;
        for rule in self.config.rules.iter() {
            self.put(rule).await;
        }
        let listed = self
            .records
            .list(StateKind::AlertRules, Some(RuleOrigin::File.name()), RuleRecord::ACTIVE, MOST_RULES)
            .await;
        for stored in listed {
            if !self.config.rules.iter().any(|rule| rule.id.as_str() == stored.id) {
                self.take_away(&stored.id).await;
            }
        }
        self.refresh().await;
    }

    /// Reads them anew.
    pub(crate) async fn refresh(&self) {
        // A list may lag behind what was just written; the file's rules are read by id.
        let ids: Vec<String> = self.config.rules.iter().map(|rule| rule.id.to_string()).collect();
        let of_file: Vec<Found<RuleRecord>> = self.records.read(StateKind::AlertRules, &ids).await;
        let listed = self.records.list(StateKind::AlertRules, None, RuleRecord::ACTIVE, MOST_RULES).await;
        let listed = listed.into_iter().filter(|stored| !ids.contains(&stored.id));
        let listed = listed.filter_map(|stored| decode::<RuleRecord>(StateKind::AlertRules, stored));
        let of_file = of_file.into_iter().filter_map(|found| found.value);
        let rules: Vec<RuleInForce> = of_file
            .chain(listed)
            .filter(|stored| !stored.removed)
            .filter_map(|stored| in_force(&stored))
            .collect();
        self.current.send_if_modified(|current| {
            let is_news = current.as_ref().is_none_or(|current| **current != rules);
            if is_news {
                tracing::info!(rules = rules.len(), "rules of alerts are in force");
                *current = Some(Arc::new(rules));
            }
            is_news
        });
    }

    async fn tell_channels(&self) {
        let settings = AlertSettings {
            channels: self.config.channels.records(),
        };
        loop {
            let found: Found<AlertSettings> = self.records.read_one(StateKind::Settings, AlertSettings::ID).await;
            if found.value.as_ref() == Some(&settings) {
                return;
            }
            let record = record(AlertSettings::ID, None, None, (self.clock)(), &settings);
            if self.records.write_one(StateKind::Settings, record, found.condition).await != Put::Conflict {
                return;
            }
        }
    }

    async fn put(&self, rule: &Rule) {
        loop {
            let found: Found<RuleRecord> = self.records.read_one(StateKind::AlertRules, rule.id.as_str()).await;
            let stored = found.value.filter(|stored| !stored.removed);
            let json = rule.to_json();
            if stored.as_ref().is_some_and(|stored| stored.origin == RuleOrigin::File && stored.rule == json) {
                return;
            }
            if stored.as_ref().is_some_and(|stored| stored.origin == RuleOrigin::Api) {
                tracing::warn!(rule = %rule.id, "a rule of the file takes the place of one that was made through the API");
            }
            let now = (self.clock)();
            let next = RuleRecord {
                rule: json,
                origin: RuleOrigin::File,
                created_at: stored.map_or(now, |stored| stored.created_at),
                updated_at: now,
                removed: false,
            };
            if self.write(rule.id.as_str(), &next, found.condition).await != Put::Conflict {
                return;
            }
        }
    }

    async fn take_away(&self, id: &str) {
        loop {
            let found: Found<RuleRecord> = self.records.read_one(StateKind::AlertRules, id).await;
            let Some(stored) = found.value.filter(|stored| stored.origin == RuleOrigin::File && !stored.removed) else {
                return;
            };
            let next = RuleRecord {
                removed: true,
                updated_at: (self.clock)(),
                ..stored
            };
            if self.write(id, &next, found.condition).await != Put::Conflict {
                tracing::info!(rule = id, "a rule is no longer in the file and is taken away");
                return;
            }
        }
    }

    async fn write(&self, id: &str, next: &RuleRecord, condition: Condition) -> Put {
        let record = record(id, Some(next.origin.name()), Some(next.status()), next.created_at, next);
        self.records.write_one(StateKind::AlertRules, record, condition).await
    }
}

/// A rule that is switched off is not in force; one that cannot be read was written by a newer version.
fn in_force(stored: &RuleRecord) -> Option<RuleInForce> {
    match Rule::parse(&stored.rule, None) {
        Ok(rule) => Some(RuleInForce {
            rule,
            since: stored.created_at,
        }),
        Err(mistakes) => {
            let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            tracing::warn!(mistakes = mistakes.join("; "), "a stored rule cannot be read");
            None
        }
    }
}
