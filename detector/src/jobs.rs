//! Requests on `job.requests`: sweeps and rates are accepted by creating their run; all other kinds pass.
//!
//! The offset goes once the run exists: from then on it is in the catalog, and a restart goes on with it.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use shared::adapters::kafka::{Lease, LeaseLost, PartitionHandler, PartitionHandlers, Record};
use shared::domain::UnixMillis;
use shared::wire::{JobKind, JobRequest};
use tokio::sync::{Notify, mpsc};

use crate::metrics;
use crate::runs::{Created, OwnedRun, Runs, is_left_behind};

/// What the workers are told.
#[derive(Clone)]
pub(crate) struct Queues {
    pub(crate) sweeps: mpsc::Sender<OwnedRun>,
    pub(crate) rates: mpsc::Sender<OwnedRun>,
}

impl Queues {
    /// Hands a run to its worker, once; waits while too many wait there.
    pub(crate) async fn hand_over(&self, runs: &Runs, owned: OwnedRun) {
        let queue = match owned.run.request.kind {
            JobKind::Sweep => &self.sweeps,
            JobKind::Rates => &self.rates,
            JobKind::Scrape | JobKind::Deals => return,
        };
        let id = owned.run.id.clone();
        if runs.take_up(&id) && queue.send(owned).await.is_err() {
            // The worker is gone: the process ends, and the run is gone on with by the next one.
            runs.put_down(&id);
        }
    }
}

/// Makes the workers of `job.requests`.
#[derive(Clone)]
pub(crate) struct Jobs {
    pub(crate) runs: Runs,
    pub(crate) queues: Queues,
    /// Told when a partition comes: its last owner may have left runs behind.
    pub(crate) left_behind: Arc<Notify>,
    pub(crate) began: UnixMillis,
}

impl PartitionHandlers for Jobs {
    type Handler = JobsWorker;

    fn assigned(&self, _partition: i32, lease: Lease) -> JobsWorker {
        self.left_behind.notify_one();
        JobsWorker { jobs: self.clone(), lease }
    }
}

/// Accepts the requests of one partition.
pub(crate) struct JobsWorker {
    jobs: Jobs,
    lease: Lease,
}

#[async_trait]
impl PartitionHandler for JobsWorker {
    async fn settle(&mut self, batch: Vec<Record>) -> Result<(), LeaseLost> {
        let lease = self.lease.clone();
        tokio::select! {
            biased;
            () = lease.lost() => Err(LeaseLost),
            () = self.jobs.accept_all(&batch) => Ok(()),
        }
    }
}

impl Jobs {
    async fn accept_all(&self, batch: &[Record]) {
        for record in batch {
            match read_request(record) {
                Ok(Some(request)) => self.accept(request).await,
                Ok(None) => {}
                Err(error) => {
                    metrics::RECORDS_REFUSED.with_label_values(&[record.topic.base_name()]).inc();
                    tracing::error!(partition = record.partition, offset = record.offset.0, error = %error, "a job request cannot be read");
                }
            }
        }
    }

    async fn accept(&self, request: JobRequest) {
        let run_id = request.run_id.clone();
        match self.runs.create(request).await {
            Created::Owned(owned) => self.queues.hand_over(&self.runs, *owned).await,
            Created::Exists(owned) if is_left_behind(&owned.run, self.began) => self.queues.hand_over(&self.runs, *owned).await,
            Created::Exists(_) => tracing::debug!(run_id, "a run is somebody else's or done"),
            Created::Refused(reason) => tracing::error!(run_id, reason, "a job request cannot be accepted"),
        }
    }
}

/// The request, if its kind is the detector's. Kinds that are not known here are others' business.
fn read_request(record: &Record) -> Result<Option<JobRequest>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    let Some(payload) = &record.payload else { return Ok(None) };
    let Kind { kind } = serde_json::from_slice(payload)?;
    if ![JobKind::Sweep, JobKind::Rates].iter().any(|ours| ours.name() == kind) {
        return Ok(None);
    }
    serde_json::from_slice(payload).map(Some)
}

#[cfg(test)]
mod tests {
    use shared::adapters::kafka::{RecordOffset, Topic};

    use super::*;

    fn kind_of(payload: &str) -> Result<Option<JobKind>, String> {
        let record = Record {
            topic: Topic::JobRequests,
            partition: 0,
            offset: RecordOffset(0),
            key: Some("sweep".into()),
            payload: Some(payload.to_owned().into()),
            timestamp_ms: 0,
            headers: Vec::new(),
        };
        read_request(&record)
            .map(|request| request.map(|request| request.kind))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn sweeps_and_rates_are_taken_and_all_other_kinds_pass() {
        let request = |kind: &str| format!(r#"{{"v":1,"job":"sweep","run_id":"sweep@t","kind":"{kind}","tick":1}}"#);
        assert_eq!(kind_of(&request("sweep")), Ok(Some(JobKind::Sweep)));
        assert_eq!(kind_of(&request("rates")), Ok(Some(JobKind::Rates)));
        for other in ["scrape", "deals", "compaction", ""] {
            assert_eq!(kind_of(&request(other)), Ok(None), "{other}");
        }
        // A kind that is not ours may look as it likes.
        assert_eq!(kind_of(r#"{"kind":"compaction","anything":[1]}"#), Ok(None));
        assert!(kind_of(r#"{"kind":"sweep"}"#).unwrap_err().contains("missing field"));
        assert!(kind_of("{").is_err());
    }
}
