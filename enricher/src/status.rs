//! How many records a partition's owners have settled so far, in the catalog, for `/stats`.
//!
//! Written now and then, by a task of its own; a failure is no reason to hold anything up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::domain::UnixMillis;
use shared::ports::Catalog;
use shared::ports::catalog::{CatalogError, Condition, StateKind, StateRecord, Version, Write, WriteOutcome};
use shared::wire::state::EnricherStatus;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

const AT_MOST_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Records that were settled in a partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) partition: i32,
    pub(crate) records: u64,
    pub(crate) dead_letters: u64,
}

/// Saves what is counted until nobody counts any more.
pub(crate) async fn keep(catalog: Arc<dyn Catalog>, mut counts: UnboundedReceiver<Count>) {
    let mut statuses: BTreeMap<i32, Status> = BTreeMap::new();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            count = counts.recv() => match count {
                Some(count) => {
                    let status = statuses.entry(count.partition).or_insert_with(|| Status::of(count.partition));
                    status.add(count.records, count.dead_letters);
                }
                None => break,
            },
            _ = look.tick() => for status in statuses.values_mut() {
                status.save_if_due(catalog.as_ref()).await;
            },
        }
    }
    for status in statuses.values_mut() {
        status.due = Instant::now();
        status.save_if_due(catalog.as_ref()).await;
    }
}

/// The record of one partition.
struct Status {
    id: String,
    /// As it stands in the catalog; none until it was read.
    held: Option<(EnricherStatus, Condition)>,
    /// Counted since.
    added: EnricherStatus,
    /// A total whose write had an unknown outcome.
    perhaps_written: Option<EnricherStatus>,
    due: Instant,
}

impl Status {
    fn of(partition: i32) -> Self {
        Status {
            id: format!("enricher-{partition}"),
            held: None,
            added: EnricherStatus::default(),
            perhaps_written: None,
            due: Instant::now(),
        }
    }

    /// Counts settled records.
    fn add(&mut self, records: u64, dead_letters: u64) {
        self.added = sum(&self.added, records, dead_letters);
    }

    /// Writes the totals if there is something new and the last write is a while ago.
    async fn save_if_due(&mut self, catalog: &dyn Catalog) {
        if self.added == EnricherStatus::default() || Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + AT_MOST_EVERY;
        if let Err(reason) = self.save(catalog).await {
            tracing::debug!(id = self.id, reason, "the status of a partition is saved later");
        }
    }

    async fn save(&mut self, catalog: &dyn Catalog) -> Result<(), String> {
        let (held, condition) = match self.held.take() {
            Some(held) => held,
            None => self.read(catalog).await.map_err(|error| error.to_string())?,
        };
        if self.perhaps_written.take().as_ref() == Some(&held) {
            self.added = EnricherStatus::default();
        }
        let total = sum(&held, self.added.records_total, self.added.dlq_total);
        let body = serde_json::to_value(&total).map_err(|error| error.to_string())?;
        let value = StateRecord {
            id: self.id.clone(),
            group: None,
            status: None,
            at: UnixMillis::now(),
            body,
        };
        match catalog.write_states(StateKind::Status, &[Write { value, condition }]).await {
            Ok(outcomes) => match outcomes.into_iter().next() {
                Some(WriteOutcome::Written(version)) => {
                    self.held = Some((total, Condition::Unchanged(version)));
                    self.added = EnricherStatus::default();
                    Ok(())
                }
                other => Err(format!("{other:?}")),
            },
            Err(error) => {
                self.perhaps_written = Some(total);
                Err(error.to_string())
            }
        }
    }

    async fn read(&self, catalog: &dyn Catalog) -> Result<(EnricherStatus, Condition), CatalogError> {
        let ids = [self.id.clone()];
        let record = catalog.read_states(StateKind::Status, &ids).await?.into_iter().next().flatten();
        Ok(match record {
            None => (EnricherStatus::default(), Condition::Absent),
            Some(record) => {
                let version: Version = record.version;
                (serde_json::from_value(record.value.body).unwrap_or_default(), Condition::Unchanged(version))
            }
        })
    }
}

fn sum(status: &EnricherStatus, records: u64, dead_letters: u64) -> EnricherStatus {
    EnricherStatus {
        records_total: status.records_total.saturating_add(records),
        dlq_total: status.dlq_total.saturating_add(dead_letters),
    }
}
