//! [`Deliverer`]: sends what is due, one message of a channel after another, and closes digests.
//!
//! Whoever writes an attempt into a delivery is the one that sends; the attempt counts as lost after a minute, and whoever
//! finds it then sends again under the same key. A channel that does not take a message is left alone for a moment, so that
//! a queue of a thousand is not tried a thousand times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use shared::domain::UnixMillis;
use shared::domain::alert::{ChannelName, RuleId};
use shared::health::{self, Health};
use shared::ports::catalog::{Condition, StateKind, StateRecord, Write};
use shared::wire::alert::{ClosingDigest, Delivery, DeliveryKind, DeliveryStatus, RuleTally};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::backoff::{Chance, begun, ended};
use super::channels::Outcome;
use super::config::AlertsConfig;
use super::decide::{count, digest_due};
use super::judge::{CLOSING, TALLIES, tally_record};
use super::records::{Found, Put, Records};
use super::rules::RuleBoard;
use crate::basis::Clock;
use crate::metrics;

/// How often the catalog is looked through for what is due,
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// and where there is no channel to send by: what waits only has to be given up some day.
const LOOK_WITHOUT_CHANNELS_EVERY: Duration = Duration::from_secs(60);
/// Deliveries of one look.
const MOST_AT_ONCE: usize = 2_000;
/// A channel that failed is left alone this long, or as long as it asked for.
const PAUSE_MILLIS: i64 = 5_000;
/// That a channel was away is forgotten this long after it was to be tried again.
const FORGET_MILLIS: i64 = 2 * 60 * 60 * 1_000;
/// Alerts of one digest; with so many it is sent before its time.
pub(crate) const MOST_IN_DIGEST: usize = 200;
/// The component on the health board: a channel that is away makes it degraded, which keeps nobody from being ready.
const COMPONENT: &str = "alerts";

/// See the module.
pub(crate) struct Deliverer {
    records: Records,
    rules: Arc<RuleBoard>,
    config: AlertsConfig,
    client: reqwest::Client,
    health: Health,
    clock: Clock,
    chance: Arc<dyn Fn() -> Chance + Send + Sync>,
    /// Channels that are left alone, until when and why.
    paused: Mutex<BTreeMap<ChannelName, (UnixMillis, String)>>,
}

impl Deliverer {
    pub(crate) fn new(
        records: Records,
        rules: Arc<RuleBoard>,
        config: AlertsConfig,
        client: reqwest::Client,
        health: Health,
        clock: Clock,
        chance: Arc<dyn Fn() -> Chance + Send + Sync>,
    ) -> Deliverer {
        Deliverer {
            records,
            rules,
            config,
            client,
            health,
            clock,
            chance,
            paused: Mutex::default(),
        }
    }

    /// Sends until `stop`: what it is told of at once, and what it finds.
    pub(crate) async fn work(&self, mut fresh: mpsc::Receiver<String>, stop: &CancellationToken) {
        let every = if self.config.channels.is_empty() {
            LOOK_WITHOUT_CHANNELS_EVERY
        } else {
            LOOK_EVERY
        };
        let mut look_at = tokio::time::Instant::now();
        while !stop.is_cancelled() {
            if tokio::time::Instant::now() >= look_at {
                self.look(stop).await;
                look_at = tokio::time::Instant::now() + every;
                continue;
            }
            let mut ids = Vec::new();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(look_at) => {}
                count = fresh.recv_many(&mut ids, MOST_AT_ONCE) => {
                    if count == 0 {
                        // Nobody decides any more; what waits is still sent.
                        tokio::time::sleep_until(look_at).await;
                    }
                }
            }
            self.send_all(&ids, stop).await;
        }
    }

    /// Closes the digests that are due and sends all that is due.
    pub(crate) async fn look(&self, stop: &CancellationToken) {
        let mut ids = self.close_digests().await;
        let waiting = DeliveryStatus::Waiting.name();
        let listed = self.records.list(StateKind::Deliveries, None, waiting, MOST_AT_ONCE).await;
        metrics::ALERT_DELIVERIES_WAITING.set(i64::try_from(listed.len()).unwrap_or(i64::MAX));
        ids.extend(listed.into_iter().map(|record| record.id));
        self.send_all(&ids, stop).await;
    }

    /// Sends those of the deliveries that are due, channels beside each other.
    async fn send_all(&self, ids: &[String], stop: &CancellationToken) {
        if ids.is_empty() {
            return;
        }
        let ids: BTreeSet<&String> = ids.iter().collect();
        let ids: Vec<String> = ids.into_iter().cloned().collect();
        let found: Vec<Found<Delivery>> = self.records.read(StateKind::Deliveries, &ids).await;
        let now = (self.clock)();
        let mut by_channel: BTreeMap<ChannelName, Vec<(Delivery, Condition)>> = BTreeMap::new();
        for found in found {
            let Some(delivery) = found
                .value
                .filter(|delivery| delivery.status == DeliveryStatus::Waiting && delivery.next_attempt_at <= now)
            else {
                continue;
            };
            by_channel.entry(delivery.channel.clone()).or_default().push((delivery, found.condition));
        }
        join_all(by_channel.into_iter().map(|(channel, mut deliveries)| async move {
            deliveries.sort_by(|(left, _), (right, _)| (left.created_at, &left.id).cmp(&(right.created_at, &right.id)));
            for (delivery, condition) in deliveries {
                if stop.is_cancelled() || self.is_paused(&channel) {
                    return;
                }
                self.send(delivery, condition).await;
            }
        }))
        .await;
        self.tell_health();
    }

    async fn send(&self, delivery: Delivery, condition: Condition) {
        let begun = begun(&delivery, (self.clock)());
        let put = self.records.write_one(StateKind::Deliveries, begun.to_record(), condition).await;
        let Put::Written(version) = put else {
            // Somebody else sends it.
            return;
        };
        let outcome = match self.config.channels.get(&begun.channel) {
            Some(channel) => channel.send(&self.client, &begun, (self.clock)()).await,
            // Another replica's file may have it, or this one's may get it back.
            None => Outcome::Later {
                reason: format!("there is no channel {}", begun.channel),
                after_millis: None,
            },
        };
        let now = (self.clock)();
        let ended = ended(&begun, &outcome, now, (self.chance)());
        self.note(&ended, &outcome, now);
        let put = self
            .records
            .write_one(StateKind::Deliveries, ended.to_record(), Condition::Unchanged(version))
            .await;
        if put == Put::Conflict {
            tracing::warn!(delivery = ended.id, "somebody else took a delivery over while it was sent");
        }
    }

    /// Logs and counts an attempt, and leaves a channel alone that did not take it.
    fn note(&self, delivery: &Delivery, outcome: &Outcome, now: UnixMillis) {
        let kind = self.config.channels.get(&delivery.channel).map_or("none", |channel| channel.kind());
        let label = match (outcome, delivery.status) {
            (Outcome::Delivered, _) => "delivered",
            (_, DeliveryStatus::Failed) => "failed",
            _ => "retried",
        };
        metrics::ALERT_DELIVERIES.with_label_values(&[label, kind]).inc();
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Delivered => {
                paused.remove(&delivery.channel);
                tracing::debug!(delivery = delivery.id, channel = %delivery.channel, "an alert was delivered");
            }
            Outcome::Refused { reason } => {
                tracing::warn!(delivery = delivery.id, channel = %delivery.channel, reason, "an alert was refused");
            }
            Outcome::Later { reason, after_millis } => {
                let until = now.plus_millis(after_millis.unwrap_or(0).max(PAUSE_MILLIS));
                paused.insert(delivery.channel.clone(), (until, reason.clone()));
                tracing::warn!(delivery = delivery.id, channel = %delivery.channel, attempts = delivery.attempts, reason, "an alert was not taken");
            }
        }
    }

    fn is_paused(&self, channel: &ChannelName) -> bool {
        let paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        paused.get(channel).is_some_and(|(until, _)| *until > (self.clock)())
    }

    fn tell_health(&self) {
        let now = (self.clock)();
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing that waits longer is tried again: the channel is not known to be away any more.
        paused.retain(|_, (until, _)| until.plus_millis(FORGET_MILLIS) > now);
        let condition = if paused.is_empty() {
            health::Condition::Up
        } else {
            // Without what it said, which changes from attempt to attempt.
            let names: Vec<&str> = paused.keys().map(ChannelName::as_str).collect();
            health::Condition::Degraded {
                reason: format!("channels that take nothing at present: {}", names.join(", ")),
            }
        };
        self.health.set(COMPONENT, condition, now);
    }

    /// Closes the digests that are due, and those that were begun; returns their deliveries.
    async fn close_digests(&self) -> Vec<String> {
        let rules = self.rules.current().await;
        let mut held: BTreeMap<RuleId, Vec<StateRecord>> = BTreeMap::new();
        let listed = self.records.list(StateKind::Deliveries, None, DeliveryStatus::Held.name(), MOST_AT_ONCE).await;
        for record in listed {
            if let Some(rule) = record.group.as_deref().and_then(|group| group.parse().ok()) {
                held.entry(rule).or_default().push(record);
            }
        }
        // Begun before a crash: nothing of it may be held any more.
        for record in self.records.list(StateKind::Alerts, Some(TALLIES), CLOSING, MOST_AT_ONCE).await {
            if let Ok(rule) = record.id.parse() {
                held.entry(rule).or_default();
            }
        }
        let mut closed = Vec::new();
        for (id, held) in held {
            let rule = rules.iter().map(|rule| &rule.rule).find(|rule| rule.id == id);
            closed.extend(self.close_digest(&id, rule, held).await);
        }
        closed
    }

    async fn close_digest(&self, id: &RuleId, rule: Option<&shared::domain::alert::Rule>, held: Vec<StateRecord>) -> Option<String> {
        let found: Found<RuleTally> = self.records.read_one(StateKind::Alerts, id.as_str()).await;
        let tally = found.value.unwrap_or_default();
        let channel = rule.map(|rule| &rule.channel);
        if let Some(closing) = &tally.closing {
            return self.finish_digest(id, channel, closing).await;
        }
        let oldest = held.first()?.at;
        let now = (self.clock)();
        if held.len() < MOST_IN_DIGEST && digest_due(rule, oldest, tally.digest_at) > now {
            return None;
        }
        // The list may lag: what is held is read in real time.
        let ids: Vec<String> = held.into_iter().take(MOST_IN_DIGEST).map(|record| record.id).collect();
        let found_held: Vec<Found<Delivery>> = self.records.read(StateKind::Deliveries, &ids).await;
        let members = found_held.into_iter().filter_map(|found| found.value);
        let members: Vec<String> = members
            .filter(|delivery| delivery.status == DeliveryStatus::Held)
            .map(|delivery| delivery.id)
            .collect();
        if members.is_empty() {
            return None;
        }
        let closing = ClosingDigest {
            id: format!("{id}.digest.{}", now.0),
            at: now,
            held: members,
        };
        let mut next = match rule {
            // Where the day's messages are used up it waits for the next day.
            Some(rule) => count(rule, &tally, &closing.id, now)?,
            None => tally,
        };
        next.digest_at = Some(now);
        next.closing = Some(closing.clone());
        let put = self.records.write_one(StateKind::Alerts, tally_record(id, &next, now), found.condition).await;
        if !matches!(put, Put::Written(_)) {
            // Somebody else closes it.
            return None;
        }
        self.finish_digest(id, channel, &closing).await
    }

    /// Everything from here on can be repeated, by several at once.
    async fn finish_digest(&self, id: &RuleId, channel: Option<&ChannelName>, closing: &ClosingDigest) -> Option<String> {
        let members = loop {
            let found: Vec<Found<Delivery>> = self.records.read(StateKind::Deliveries, &closing.held).await;
            let still_held = found.iter().filter_map(|found| {
                let delivery = found.value.as_ref().filter(|delivery| delivery.status == DeliveryStatus::Held)?;
                let digested = Delivery {
                    status: DeliveryStatus::Digested,
                    digest: Some(closing.id.clone()),
                    ..delivery.clone()
                };
                Some(Write {
                    value: digested.to_record(),
                    condition: found.condition.clone(),
                })
            });
            let writes: Vec<_> = still_held.collect();
            if writes.is_empty() {
                break found.into_iter().filter_map(|found| found.value).collect::<Vec<Delivery>>();
            }
            self.records.write(StateKind::Deliveries, &writes).await;
        };
        let first = members.first()?;
        let digest = Delivery {
            id: closing.id.clone(),
            channel: channel.unwrap_or(&first.channel).clone(),
            kind: DeliveryKind::Digest,
            status: DeliveryStatus::Waiting,
            created_at: closing.at,
            due_since: closing.at,
            next_attempt_at: closing.at,
            attempts: 0,
            last_error: None,
            finished_at: None,
            digest: None,
            simulated: members.iter().any(|member| member.simulated),
            alerts: members.iter().flat_map(|member| member.alerts.iter().cloned()).collect(),
            ..first.clone()
        };
        self.records.create(std::slice::from_ref(&digest)).await;
        loop {
            let found: Found<RuleTally> = self.records.read_one(StateKind::Alerts, id.as_str()).await;
            let tally = found.value.unwrap_or_default();
            if tally.closing.as_ref().is_none_or(|other| other.id != closing.id) {
                break;
            }
            let next = RuleTally { closing: None, ..tally };
            let record = tally_record(id, &next, (self.clock)());
            if self.records.write_one(StateKind::Alerts, record, found.condition).await != Put::Conflict {
                break;
            }
        }
        Some(digest.id)
    }
}
