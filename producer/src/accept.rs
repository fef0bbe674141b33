//! Accepting job requests: a run is created in the catalog, then the offset goes. Whoever holds partition 0 owns the key.

use std::sync::Arc;

use async_trait::async_trait;
use shared::adapters::kafka::{Lease, LeaseLost, PartitionHandler, PartitionHandlers, Record};
use shared::domain::UnixMillis;
use shared::ports::Catalog;
use shared::ports::catalog::{Condition, StateKind, Write, WriteOutcome};
use shared::retry::Backoff;
use shared::wire::job::JobRequest;
use shared::wire::state::Run;
use tokio::sync::{Notify, watch};

use crate::jobs;

/// The partition whose holder asks Keepa.
const OWNING_PARTITION: i32 = 0;
/// The longest id a state record may have, in bytes.
const MAX_RUN_ID_BYTES: usize = 512;

/// Makes the workers of the job requests' partitions.
pub(crate) struct Acceptors {
    pub(crate) catalog: Arc<dyn Catalog>,
    /// Tells the owner that there may be a new run.
    pub(crate) accepted: Arc<Notify>,
    /// The lease of partition 0, whenever it is given to this member.
    pub(crate) owner: watch::Sender<Option<Lease>>,
}

impl PartitionHandlers for Acceptors {
    type Handler = Acceptor;

    fn assigned(&self, partition: i32, lease: Lease) -> Acceptor {
        if partition == OWNING_PARTITION {
            self.owner.send_replace(Some(lease.clone()));
        }
        Acceptor {
            catalog: Arc::clone(&self.catalog),
            accepted: Arc::clone(&self.accepted),
            lease,
        }
    }
}

/// Accepts the requests of one partition.
pub(crate) struct Acceptor {
    catalog: Arc<dyn Catalog>,
    accepted: Arc<Notify>,
    lease: Lease,
}

#[async_trait]
impl PartitionHandler for Acceptor {
    async fn settle(&mut self, batch: Vec<Record>) -> Result<(), LeaseLost> {
        let now = UnixMillis::now();
        let mut runs: Vec<Run> = Vec::new();
        for run in batch
            .iter()
            .filter_map(|record| request_of(record.payload.as_deref()))
            .map(|request| jobs::queued(request, now))
        {
            // One write per id and call; the same request twice is one run.
            if !runs.iter().any(|held| held.id == run.id) {
                runs.push(run);
            }
        }
        let mut backoff = Backoff::for_outside_systems();
        while !runs.is_empty() {
            let writes: Vec<_> = runs
                .iter()
                .map(|run| Write {
                    value: jobs::record_of(run),
                    condition: Condition::Absent,
                })
                .collect();
            match self.catalog.write_states(StateKind::Runs, &writes).await {
                Ok(outcomes) => runs = unsettled(runs, outcomes),
                Err(error) => tracing::warn!(%error, "runs cannot be created yet"),
            }
            self.accepted.notify_one();
            if runs.is_empty() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next_delay()) => {}
                () = self.lease.lost() => return Err(LeaseLost),
            }
        }
        Ok(())
    }
}

/// The runs that are neither created, nor there already, nor refused for good.
fn unsettled(runs: Vec<Run>, outcomes: Vec<WriteOutcome>) -> Vec<Run> {
    let mut left = Vec::new();
    for (run, outcome) in runs.into_iter().zip(outcomes) {
        match outcome {
            WriteOutcome::Written(_) => tracing::info!(run_id = run.id, job = run.request.job, "run accepted"),
            WriteOutcome::Conflict => tracing::debug!(run_id = run.id, "run was accepted before"),
            WriteOutcome::Retry { .. } => left.push(run),
            WriteOutcome::Refused { reason } => tracing::error!(run_id = run.id, reason, "catalog refuses a run, the request is dropped"),
        }
    }
    left
}

/// A request of ours; other services' kinds, and kinds yet to come, pass.
fn request_of(payload: Option<&[u8]>) -> Option<JobRequest> {
    let payload = payload?;
    let request: JobRequest = match serde_json::from_slice(payload) {
        Ok(request) => request,
        Err(error) => {
            tracing::warn!(%error, "job request cannot be read and passes");
            return None;
        }
    };
    if !jobs::is_ours(request.kind) {
        return None;
    }
    if request.v != 1 || request.run_id.is_empty() || request.run_id.len() > MAX_RUN_ID_BYTES {
        tracing::warn!(
            job = request.job,
            v = request.v,
            "job request is of an unknown version or without a run id and passes"
        );
        return None;
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_other_services_and_nonsense_pass() {
        let request = |kind: &str, v: u8, id: &str| format!(r#"{{"v":{v},"job":"j","run_id":"{id}","kind":"{kind}","tick":5}}"#);
        for (payload, expected) in [
            (request("scrape", 1, "j@1"), true),
            (request("deals", 1, "j@1"), true),
            (request("sweep", 1, "j@1"), false),
            (request("compaction", 1, "j@1"), false),
            (request("scrape", 2, "j@1"), false),
            (request("scrape", 1, ""), false),
            (request("scrape", 1, &"x".repeat(513)), false),
            ("nonsense".to_owned(), false),
        ] {
            assert_eq!(request_of(Some(payload.as_bytes())).is_some(), expected, "{payload}");
        }
        assert!(request_of(None).is_none());
    }
}
