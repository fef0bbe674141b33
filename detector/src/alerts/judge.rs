//! [`Judge`]: one partition of `alerts.opportunities`: events in, deliveries created.
//!
//! Order per event and rule: read what was told, decide, count the message, write what is now told together with the
//! delivery it asks for, create the delivery; the offset goes after the last of a batch. A crash at any point is made good
//! by the event coming again: counting the same message twice counts once, a standing that has decided the event says which
//! delivery it asked for, and creating what is there changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use shared::adapters::kafka::{Lease, LeaseLost, PartitionHandler, PartitionHandlers, Record};
use shared::domain::UnixMillis;
use shared::domain::alert::RuleId;
use shared::ports::catalog::{Condition, StateKind, Write};
use shared::wire::OpportunityEvent;
use shared::wire::alert::{Alert, Delivery, DeliveryKind, DeliveryStatus, RuleTally, Standing, StandingRecord, Told};
use tokio::sync::mpsc;

use super::decide::{Decision, Occasion, RuleInForce, concerns, decide, delivery_key, standing_key};
use super::records::{Found, Put, Records, record};
use super::rules::RuleBoard;
use crate::basis::{BasisBoard, Clock};
use crate::metrics;

/// Events decided at once.
const EVENTS_AT_ONCE: usize = 200;

/// What every partition's worker needs.
#[derive(Clone)]
pub(crate) struct Judge {
    pub(crate) records: Records,
    pub(crate) rules: Arc<RuleBoard>,
    pub(crate) basis: Arc<BasisBoard>,
    pub(crate) clock: Clock,
    /// Told of every delivery to be sent, as a short cut: what does not fit is found in the catalog.
    pub(crate) fresh: mpsc::Sender<String>,
}

impl PartitionHandlers for Judge {
    type Handler = JudgeOfPartition;

    fn assigned(&self, _partition: i32, lease: Lease) -> JudgeOfPartition {
        JudgeOfPartition { judge: self.clone(), lease }
    }
}

/// The worker of one partition. It alone decides on its opportunities while it holds the lease.
pub(crate) struct JudgeOfPartition {
    judge: Judge,
    lease: Lease,
}

#[async_trait]
impl PartitionHandler for JudgeOfPartition {
    async fn settle(&mut self, batch: Vec<Record>) -> Result<(), LeaseLost> {
        let lease = self.lease.clone();
        tokio::select! {
            biased;
            () = lease.lost() => Err(LeaseLost),
            () = self.judge.settle(&batch) => Ok(()),
        }
    }
}

/// An event, and how far it goes with one rule.
struct Case<'a> {
    rule: &'a RuleInForce,
    event: &'a OpportunityEvent,
    occasion: &'a Occasion,
}

impl Judge {
    pub(crate) async fn settle(&self, batch: &[Record]) {
        let mut events = Vec::with_capacity(batch.len());
        for record in batch {
            match serde_json::from_slice::<OpportunityEvent>(record.payload.as_deref().unwrap_or_default()) {
                Ok(event) => events.push(event),
                Err(error) => {
                    metrics::RECORDS_REFUSED.with_label_values(&[record.topic.base_name()]).inc();
                    tracing::error!(partition = record.partition, offset = record.offset.0, error = %error, "an event cannot be read");
                }
            }
        }
        let rules = self.rules.current().await;
        if rules.is_empty() || events.is_empty() {
            return;
        }
        let simulated = match self.basis.current().await.basis.simulated {
            Some(simulated) => simulated,
            // In a fresh catalog it may have been said a moment ago.
            None => self.basis.refresh().await.basis.simulated.unwrap_or(false),
        };
        let mut rest = &events[..];
        while !rest.is_empty() {
            let (round, later) = rest.split_at(round_of(rest));
            self.decide_all(round, &rules, simulated).await;
            rest = later;
        }
    }

    /// Decides on events of different opportunities.
    async fn decide_all(&self, events: &[OpportunityEvent], rules: &[RuleInForce], simulated: bool) {
        let occasions: Vec<Occasion> = events.iter().map(Occasion::of).collect();
        let mut cases = Vec::new();
        for (event, occasion) in events.iter().zip(&occasions) {
            for rule in rules.iter().filter(|rule| rule.rule.enabled) {
                match concerns(rule, occasion) {
                    Ok(()) => cases.push(Case { rule, event, occasion }),
                    Err(reason) => metrics::ALERTS_SUPPRESSED.with_label_values(&[reason.name()]).inc(),
                }
            }
        }
        while !cases.is_empty() {
            cases = self.attempt(cases, simulated).await;
        }
    }

    /// One round; returns what has to be decided again, since somebody else wrote.
    async fn attempt<'a>(&self, cases: Vec<Case<'a>>, simulated: bool) -> Vec<Case<'a>> {
        let ids: Vec<String> = cases.iter().map(|case| standing_key(&case.rule.rule.id, &case.occasion.id)).collect();
        let standings: Vec<Found<StandingRecord>> = self.records.read(StateKind::Alerts, &ids).await;
        let mut tallies = self.read_tallies(&cases).await;
        let now = (self.clock)();

        let mut decided = Vec::with_capacity(cases.len());
        for (case, stored) in cases.iter().zip(&standings) {
            let tally = tallies.get_mut(&case.rule.rule.id).expect("read for every rule");
            let stored_record = stored.value.as_ref();
            let verdict = decide(case.rule, stored_record.map(|record| &record.standing), &tally.now, case.occasion, now);
            if let Some(counted) = verdict.tally {
                tally.now = counted;
            }
            let key = delivery_key(&case.rule.rule.id, case.occasion);
            let delivery = match verdict.decision {
                Decision::Send | Decision::Hold => {
                    let previous = stored_record.and_then(|record| record.standing.told.clone());
                    Some(Box::new(delivery_of(case, &key, verdict.decision, previous, simulated, now)))
                }
                Decision::Suppress(reason) => {
                    metrics::ALERTS_SUPPRESSED.with_label_values(&[reason.name()]).inc();
                    // What an earlier try decided and may not have created.
                    stored_record.and_then(|record| record.delivery.clone()).filter(|delivery| delivery.id == key)
                }
            };
            decided.push((verdict.standing, delivery));
        }
        if !self.write_tallies(tallies, now).await {
            return cases;
        }
        self.write_standings(cases, ids, standings, decided, now).await
    }

    async fn read_tallies(&self, cases: &[Case<'_>]) -> BTreeMap<RuleId, Tally> {
        let ids: BTreeSet<&RuleId> = cases.iter().map(|case| &case.rule.rule.id).collect();
        let keys: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let found: Vec<Found<RuleTally>> = self.records.read(StateKind::Alerts, &keys).await;
        let tallies = ids.into_iter().zip(found).map(|(id, found)| {
            let before = found.value.unwrap_or_default();
            let tally = Tally {
                now: before.clone(),
                before,
                condition: found.condition,
            };
            (id.clone(), tally)
        });
        tallies.collect()
    }

    /// Whether all are written. Those that are, count what is decided again once.
    async fn write_tallies(&self, tallies: BTreeMap<RuleId, Tally>, now: UnixMillis) -> bool {
        let changed: Vec<_> = tallies.into_iter().filter(|(_, tally)| tally.now != tally.before).collect();
        let writes: Vec<_> = changed
            .into_iter()
            .map(|(id, tally)| Write {
                value: tally_record(&id, &tally.now, now),
                condition: tally.condition,
            })
            .collect();
        if writes.is_empty() {
            return true;
        }
        let puts = self.records.write(StateKind::Alerts, &writes).await;
        !puts.contains(&Put::Conflict)
    }

    async fn write_standings<'a>(
        &self,
        cases: Vec<Case<'a>>,
        ids: Vec<String>,
        stored: Vec<Found<StandingRecord>>,
        decided: Vec<(Option<Standing>, Option<Box<Delivery>>)>,
        now: UnixMillis,
    ) -> Vec<Case<'a>> {
        let mut writes = Vec::new();
        let mut writers = Vec::new();
        let mut deliveries = Vec::new();
        for (index, ((standing, delivery), (id, stored))) in decided.into_iter().zip(ids.into_iter().zip(stored)).enumerate() {
            match standing {
                Some(standing) => {
                    let body = StandingRecord {
                        standing,
                        delivery: delivery.clone(),
                    };
                    writes.push(Write {
                        value: record(&id, Some(cases[index].rule.rule.id.as_str()), None, now, &body),
                        condition: stored.condition,
                    });
                    writers.push((index, delivery));
                }
                None => deliveries.extend(delivery.map(|delivery| *delivery)),
            }
        }
        let puts = if writes.is_empty() {
            Vec::new()
        } else {
            self.records.write(StateKind::Alerts, &writes).await
        };
        let mut again = BTreeSet::new();
        for ((index, delivery), put) in writers.into_iter().zip(puts) {
            match put {
                Put::Written(_) => deliveries.extend(delivery.map(|delivery| *delivery)),
                Put::Conflict => drop(again.insert(index)),
                // It cannot happen with a record of ours and must not stop the partition for ever.
                Put::Refused => {}
            }
        }
        if !deliveries.is_empty() {
            let created = self.records.create(&deliveries).await;
            tracing::debug!(deliveries = deliveries.len(), created, "alerts are to be told");
            for delivery in deliveries.into_iter().filter(|delivery| delivery.status == DeliveryStatus::Waiting) {
                let _ = self.fresh.try_send(delivery.id);
            }
        }
        cases
            .into_iter()
            .enumerate()
            .filter(|(index, _)| again.contains(index))
            .map(|(_, case)| case)
            .collect()
    }
}

struct Tally {
    before: RuleTally,
    now: RuleTally,
    condition: Condition,
}

/// The record of a rule's tally. Its status leads to a digest that is being closed, whatever became of the rule.
pub(super) fn tally_record(rule: &RuleId, tally: &RuleTally, now: UnixMillis) -> shared::ports::catalog::StateRecord {
    let status = tally.closing.is_some().then_some(CLOSING);
    record(rule.as_str(), Some(TALLIES), status, now, tally)
}

/// The group of tallies among the standings.
pub(super) const TALLIES: &str = "tallies";
/// The status of a tally with a digest that is being closed.
pub(super) const CLOSING: &str = "closing";

/// How many events from the beginning are of different opportunities.
fn round_of(events: &[OpportunityEvent]) -> usize {
    let mut seen = BTreeSet::new();
    events.iter().take(EVENTS_AT_ONCE).take_while(|event| seen.insert(event.opportunity.id)).count()
}

fn delivery_of(case: &Case<'_>, key: &str, decision: Decision, previous: Option<Told>, simulated: bool, now: UnixMillis) -> Delivery {
    let rule = &case.rule.rule;
    let opportunity = &case.event.opportunity;
    let status = if decision == Decision::Hold {
        DeliveryStatus::Held
    } else {
        DeliveryStatus::Waiting
    };
    Delivery {
        id: key.to_owned(),
        rule: rule.id.clone(),
        rule_name: rule.name.clone(),
        channel: rule.channel.clone(),
        kind: DeliveryKind::Alert,
        status,
        created_at: now,
        due_since: now,
        next_attempt_at: now,
        attempts: 0,
        last_error: None,
        finished_at: None,
        digest: None,
        simulated,
        alerts: vec![Alert {
            alert_id: case.event.alert_id.clone().unwrap_or_default(),
            event: case.event.event,
            at: case.event.at,
            opportunity: opportunity.id,
            asin: opportunity.asin,
            source_market: opportunity.source_market,
            target_market: opportunity.target_market,
            title: opportunity.title.clone(),
            brand: opportunity.brand.clone(),
            category: opportunity.category.clone(),
            source_price: opportunity.source_price,
            target_price: opportunity.target_price,
            source_price_eur: opportunity.source_price_eur,
            target_price_eur: opportunity.target_price_eur,
            closed_reason: opportunity.closed_reason,
            figures: case.occasion.figures,
            traps: case.occasion.traps.clone(),
            previous,
        }],
    }
}
