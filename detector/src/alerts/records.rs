//! Records of alerts in the catalog, read and written until it answers.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::domain::UnixMillis;
use shared::ports::Catalog;
use shared::ports::catalog::{CatalogError, Condition, StateKind, StateQuery, StateRecord, Version, Write, WriteOutcome};
use shared::retry::Backoff;
use shared::wire::alert::{Delivery, DeliveryStatus};

use crate::metrics;
use crate::patience::Patience;

/// Records of a page.
const PAGE: usize = 500;

/// What is stored under an id, with what the next write needs.
#[derive(Debug, Clone)]
pub(crate) struct Found<T> {
    /// None where there is nothing, or nothing that can be read.
    pub(crate) value: Option<T>,
    pub(crate) condition: Condition,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Put {
    Written(Version),
    /// Somebody else wrote.
    Conflict,
    /// The catalog refuses it for what it is; that was logged.
    Refused,
}

#[derive(Clone)]
pub(crate) struct Records {
    catalog: Arc<dyn Catalog>,
    patience: Patience,
}

impl Records {
    pub(crate) fn new(catalog: Arc<dyn Catalog>, patience: Patience) -> Records {
        Records { catalog, patience }
    }

    /// In real time, in the order asked for.
    pub(crate) async fn read<T: DeserializeOwned>(&self, kind: StateKind, ids: &[String]) -> Vec<Found<T>> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(PAGE) {
            let answers = self
                .patience
                .until_answered("read records of alerts", || self.catalog.read_states(kind, ids))
                .await;
            found.extend(answers.into_iter().map(|answer| match answer {
                None => Found {
                    value: None,
                    condition: Condition::Absent,
                },
                Some(record) => Found {
                    value: decode(kind, record.value),
                    condition: Condition::Unchanged(record.version),
                },
            }));
        }
        found
    }

    pub(crate) async fn read_one<T: DeserializeOwned>(&self, kind: StateKind, id: &str) -> Found<T> {
        let found = self.read(kind, &[id.to_owned()]).await.pop();
        found.expect("one was asked for")
    }

    /// All records of a status and group, oldest first, `most` at most. A search: it may lag.
    pub(crate) async fn list(&self, kind: StateKind, group: Option<&str>, status: &str, most: usize) -> Vec<StateRecord> {
        let mut records = Vec::new();
        let mut cursor = None;
        loop {
            let query = StateQuery {
                group: group.map(str::to_owned),
                status: Some(status.to_owned()),
                ascending: true,
                limit: PAGE.min(most),
                cursor: cursor.take(),
            };
            let list = || async {
                match self.catalog.list_states(kind, &query).await {
                    // Its own cursor: what was listed so far has to do.
                    Err(CatalogError::InvalidCursor { .. }) => Ok(None),
                    answer => answer.map(Some),
                }
            };
            let Some(page) = self.patience.until_answered("list records of alerts", list).await else {
                return records;
            };
            records.extend(page.items.into_iter().map(|item| item.value));
            cursor = page.next_cursor;
            if cursor.is_none() || records.len() >= most {
                return records;
            }
        }
    }

    /// Writes until every outcome is known. What may have arrived at a try that failed counts as written.
    pub(crate) async fn write(&self, kind: StateKind, writes: &[Write<StateRecord>]) -> Vec<Put> {
        let mut puts: Vec<Option<Put>> = vec![None; writes.len()];
        let mut left: Vec<usize> = (0..writes.len()).collect();
        let mut retries = Backoff::for_outside_systems();
        let mut is_unsure = false;
        while !left.is_empty() {
            let some: Vec<Write<StateRecord>> = left.iter().take(PAGE).map(|&index| writes[index].clone()).collect();
            let outcomes = match self.catalog.write_states(kind, &some).await {
                Ok(outcomes) if outcomes.len() == some.len() => outcomes,
                Ok(_) => {
                    is_unsure = true;
                    tokio::time::sleep(retries.next_delay()).await;
                    continue;
                }
                Err(error) => {
                    is_unsure = true;
                    self.patience.wait("write records of alerts", &error, &mut retries).await;
                    continue;
                }
            };
            let mut is_busy = false;
            for (index, outcome) in left.clone().into_iter().zip(outcomes) {
                puts[index] = match outcome {
                    WriteOutcome::Written(version) => Some(Put::Written(version)),
                    WriteOutcome::Conflict if is_unsure => Some(self.whose(kind, &writes[index].value).await),
                    WriteOutcome::Conflict => Some(Put::Conflict),
                    WriteOutcome::Refused { reason } => {
                        metrics::WRITES_REFUSED.inc();
                        tracing::error!(id = writes[index].value.id, reason, "the catalog refuses a record of alerts");
                        Some(Put::Refused)
                    }
                    WriteOutcome::Retry { reason } => {
                        tracing::debug!(reason, "the catalog does not take a record of alerts now");
                        is_busy = true;
                        None
                    }
                };
            }
            left.retain(|&index| puts[index].is_none());
            if is_busy {
                tokio::time::sleep(retries.next_delay()).await;
            } else {
                self.patience.answered(&mut retries);
            }
        }
        puts.into_iter().map(|put| put.expect("none is left")).collect()
    }

    pub(crate) async fn write_one(&self, kind: StateKind, record: StateRecord, condition: Condition) -> Put {
        let put = self.write(kind, &[Write { value: record, condition }]).await.pop();
        put.expect("one was written")
    }

    /// A write whose answer was lost stands there as it was sent.
    async fn whose(&self, kind: StateKind, sent: &StateRecord) -> Put {
        let ids = [sent.id.clone()];
        let answers = self
            .patience
            .until_answered("read records of alerts", || self.catalog.read_states(kind, &ids))
            .await;
        match answers.into_iter().flatten().next() {
            Some(stored) if stored.value.body == sent.body => Put::Written(stored.version),
            _ => Put::Conflict,
        }
    }

    /// Creates deliveries; those that are there already are left as they are. Returns how many are new.
    pub(crate) async fn create(&self, deliveries: &[Delivery]) -> usize {
        let writes: Vec<_> = deliveries
            .iter()
            .map(|delivery| Write {
                value: delivery.to_record(),
                condition: Condition::Absent,
            })
            .collect();
        let puts = self.write(StateKind::Deliveries, &writes).await;
        let mut created = 0;
        for (delivery, put) in deliveries.iter().zip(puts) {
            if matches!(put, Put::Written(_)) {
                created += 1;
                if delivery.status == DeliveryStatus::Held {
                    metrics::ALERTS_HELD.inc();
                }
            }
        }
        created
    }
}

/// What cannot be read is left out: a newer version may have written it.
pub(crate) fn decode<T: DeserializeOwned>(kind: StateKind, record: StateRecord) -> Option<T> {
    match serde_json::from_value(record.body) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(collection = kind.collection(), id = record.id, error = %error, "a record cannot be read");
            None
        }
    }
}

/// A record of the state collections.
pub(crate) fn record(id: &str, group: Option<&str>, status: Option<&str>, at: UnixMillis, body: &impl Serialize) -> StateRecord {
    StateRecord {
        id: id.to_owned(),
        group: group.map(str::to_owned),
        status: status.map(str::to_owned),
        at,
        body: serde_json::to_value(body).expect("plain structs with string keys"),
    }
}
