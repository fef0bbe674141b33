//! One run at a time per collection.
//!
//! A record in the catalog's state says which run is at work; the run writes it anew every few seconds. Nobody's clock is
//! compared: who finds the record watches it. If it changes the other run lives; if it does not change for long enough it
//! was killed, and the record is taken over. A run that cannot write its record stops before others may think it dead.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::super::ElasticCatalog;
use super::{ReindexError, Report, Step};
use crate::domain::UnixMillis;
use crate::ports::Catalog as _;
use crate::ports::catalog::{CatalogError, Condition, StateKind, StateRecord, Version, Write, WriteOutcome};

/// The record is written anew this often.
const BEAT: Duration = Duration::from_secs(1);
/// A run whose record is older than this stops.
const SILENT_TOO_LONG: Duration = Duration::from_secs(10);
/// A run whose record did not change for this long was killed.
const THOUGHT_DEAD: Duration = Duration::from_secs(15);
/// How often the record of another run is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// The right to be the run at work.
pub(super) struct Lease<'a> {
    catalog: &'a ElasticCatalog,
    /// Of the record.
    id: String,
    run: String,
    /// As last written.
    version: Mutex<Version>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Body {
    run: String,
    /// No longer at work.
    ended: bool,
}

impl<'a> Lease<'a> {
    /// Takes it where it is free or left by a run that was killed.
    pub(super) async fn take(catalog: &'a ElasticCatalog, alias: &str, shutdown: &CancellationToken, report: Report<'_>) -> Result<Lease<'a>, ReindexError> {
        let id = format!("reindex-{alias}");
        let run = format!("{:016x}", rand::random::<u64>());
        let mut watched: Option<(Version, Instant)> = None;
        loop {
            let found = catalog
                .read_states(StateKind::Status, std::slice::from_ref(&id))
                .await?
                .into_iter()
                .next()
                .flatten();
            let condition = match found {
                None => Condition::Absent,
                Some(record) => {
                    let is_at_work = serde_json::from_value::<Body>(record.value.body).is_ok_and(|body| !body.ended);
                    match &watched {
                        _ if !is_at_work => {}
                        None => {
                            report(Step::Waiting);
                            watched = Some((record.version, Instant::now()));
                            wait(shutdown).await?;
                            continue;
                        }
                        Some((version, _)) if *version != record.version => return Err(ReindexError::AnotherRun(alias.to_owned())),
                        Some((_, since)) if since.elapsed() < THOUGHT_DEAD => {
                            wait(shutdown).await?;
                            continue;
                        }
                        Some(_) => {}
                    }
                    Condition::Unchanged(record.version)
                }
            };
            match write(catalog, &id, &run, false, condition).await? {
                WriteOutcome::Written(version) => {
                    return Ok(Lease {
                        catalog,
                        id,
                        run,
                        version: Mutex::new(version),
                    });
                }
                WriteOutcome::Conflict => return Err(ReindexError::AnotherRun(alias.to_owned())),
                WriteOutcome::Retry { .. } => wait(shutdown).await?,
                WriteOutcome::Refused { reason } => return Err(CatalogError::Misconfigured { reason }.into()),
            }
        }
    }

    /// The name of this run.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    fn version(&self) -> Version {
        self.version.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps it until the work is `done`; tells the work to `stop` if it is lost.
    pub(super) async fn keep(&self, done: &CancellationToken, stop: &CancellationToken) -> Result<(), ReindexError> {
        let mut last = Instant::now();
        loop {
            tokio::select! {
                () = done.cancelled() => return Ok(()),
                () = tokio::time::sleep(BEAT) => {}
            }
            let writing = write(self.catalog, &self.id, &self.run, false, Condition::Unchanged(self.version()));
            // The last attempt ends before anybody thinks this run dead.
            let left = SILENT_TOO_LONG.saturating_sub(last.elapsed());
            let lost = match tokio::time::timeout(left, writing).await {
                Ok(Ok(WriteOutcome::Written(version))) => {
                    *self.version.lock().unwrap_or_else(PoisonError::into_inner) = version;
                    last = Instant::now();
                    false
                }
                Ok(Ok(WriteOutcome::Conflict)) => !self.is_ours().await,
                _ => last.elapsed() >= SILENT_TOO_LONG,
            };
            if lost {
                stop.cancel();
                done.cancelled().await;
                return Err(ReindexError::TakenOver);
            }
        }
    }

    /// An answer that was lost makes the next write a conflict with our own.
    async fn is_ours(&self) -> bool {
        let found = self.catalog.read_states(StateKind::Status, std::slice::from_ref(&self.id)).await;
        let Ok(Some(record)) = found.map(|found| found.into_iter().next().flatten()) else {
            return false;
        };
        let ours = serde_json::from_value::<Body>(record.value.body).is_ok_and(|body| body.run == self.run);
        if ours {
            *self.version.lock().unwrap_or_else(PoisonError::into_inner) = record.version;
        }
        ours
    }

    /// Says that the work is over. Where that fails the next run waits a few seconds.
    pub(super) async fn end(&self) {
        let ended = write(self.catalog, &self.id, &self.run, true, Condition::Unchanged(self.version())).await;
        if !matches!(ended, Ok(WriteOutcome::Written(_))) {
            tracing::warn!(record = self.id, outcome = ?ended, "the end of the run could not be noted");
        }
    }
}

async fn wait(shutdown: &CancellationToken) -> Result<(), ReindexError> {
    tokio::select! {
        () = shutdown.cancelled() => Err(ReindexError::Interrupted),
        () = tokio::time::sleep(LOOK) => Ok(()),
    }
}

async fn write(catalog: &ElasticCatalog, id: &str, run: &str, ended: bool, condition: Condition) -> Result<WriteOutcome, CatalogError> {
    let body = Body { run: run.to_owned(), ended };
    let value = StateRecord {
        id: id.to_owned(),
        group: Some("reindex".to_owned()),
        status: None,
        at: UnixMillis::now(),
        body: serde_json::to_value(body).expect("a plain struct"),
    };
    let outcomes = catalog.write_states(StateKind::Status, &[Write { value, condition }]).await?;
    Ok(outcomes.into_iter().next().expect("an outcome for each write"))
}
