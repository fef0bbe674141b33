//! Runs of the detector's jobs in the catalog: creating one owns it, progress is written conditionally, so that of two
//! that work on one run the slower finds out at its next step and stops.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use shared::domain::UnixMillis;
use shared::ports::Catalog;
use shared::ports::catalog::{CatalogError, Condition, StateKind, StateQuery, StateRecord, Version, Versioned, Write, WriteOutcome};
use shared::retry::Backoff;
use shared::wire::state::{Run, RunProgress, RunStatus};
use shared::wire::{JobKind, JobRequest};

use crate::basis::Clock;
use crate::patience::Patience;

/// Unfinished runs looked at in one go.
const PAGE: usize = 100;

/// The kinds of job that are the detector's.
pub(crate) fn is_ours(kind: JobKind) -> bool {
    matches!(kind, JobKind::Sweep | JobKind::Rates)
}

/// A run that this process owns, with what the next write needs.
#[derive(Debug, Clone)]
pub(crate) struct OwnedRun {
    pub(crate) run: Run,
    version: Version,
}

/// Somebody else works on the run, or the catalog refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;

/// What became of creating a run.
#[derive(Debug)]
pub(crate) enum Created {
    /// It is ours.
    Owned(Box<OwnedRun>),
    /// It was there before.
    Exists(Box<OwnedRun>),
    /// The catalog refuses it for what it is.
    Refused(String),
}

/// The run records.
#[derive(Clone)]
pub(crate) struct Runs {
    catalog: Arc<dyn Catalog>,
    patience: Patience,
    pub(crate) clock: Clock,
    /// Runs that wait or are under way in this process.
    at_hand: Arc<Mutex<BTreeSet<String>>>,
}

impl Runs {
    pub(crate) fn new(catalog: Arc<dyn Catalog>, patience: Patience, clock: Clock) -> Self {
        Runs {
            catalog,
            patience,
            clock,
            at_hand: Arc::default(),
        }
    }

    /// Takes a run up in this process; false if it is at hand already.
    pub(crate) fn take_up(&self, id: &str) -> bool {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned())
    }

    /// The run is no longer at hand.
    pub(crate) fn put_down(&self, id: &str) {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Creates the run of a request, queued.
    pub(crate) async fn create(&self, request: JobRequest) -> Created {
        let run = Run {
            id: request.run_id.clone(),
            request,
            status: RunStatus::Queued,
            started_at: (self.clock)(),
            finished_at: None,
            attempts: 0,
            products: 0,
            tokens: 0,
            error: None,
            progress: RunProgress::default(),
        };
        match self.write(&run, Condition::Absent).await {
            Ok(version) => Created::Owned(Box::new(OwnedRun { run, version })),
            Err(NotWritten::Refused(reason)) => Created::Refused(reason),
            Err(NotWritten::Conflict(None)) => Created::Refused("the run's record cannot be read".into()),
            Err(NotWritten::Conflict(Some(stored))) => Created::Exists(stored),
        }
    }

    /// Writes the run as it is now.
    pub(crate) async fn save(&self, owned: &mut OwnedRun) -> Result<(), Lost> {
        match self.write(&owned.run, Condition::Unchanged(owned.version.clone())).await {
            Ok(version) => {
                owned.version = version;
                Ok(())
            }
            Err(NotWritten::Conflict(_)) => {
                tracing::info!(run_id = owned.run.id, "a run was taken over by somebody else");
                Err(Lost)
            }
            Err(NotWritten::Refused(reason)) => {
                tracing::error!(run_id = owned.run.id, reason, "the catalog refuses a run's record");
                Err(Lost)
            }
        }
    }

    /// Begins the run, or goes on with it: one more attempt.
    pub(crate) async fn begin(&self, owned: &mut OwnedRun) -> Result<(), Lost> {
        owned.run.status = RunStatus::Running;
        owned.run.attempts = owned.run.attempts.saturating_add(1);
        self.save(owned).await
    }

    /// Ends the run, with an error if it failed.
    pub(crate) async fn finish(&self, owned: &mut OwnedRun, error: Option<String>) -> Result<(), Lost> {
        owned.run.status = if error.is_some() { RunStatus::Failed } else { RunStatus::Succeeded };
        owned.run.finished_at = Some((self.clock)());
        owned.run.error = error;
        self.save(owned).await
    }

    /// The detector's runs that are neither finished nor at hand, oldest first.
    pub(crate) async fn unfinished(&self) -> Vec<OwnedRun> {
        let mut unfinished = Vec::new();
        for status in [RunStatus::Running, RunStatus::Queued] {
            let mut cursor = None;
            loop {
                let query = StateQuery {
                    group: None,
                    status: Some(status.name().into()),
                    ascending: true,
                    limit: PAGE,
                    cursor: cursor.take(),
                };
                let page = self.patience.until_answered("list runs", || self.list(&query)).await;
                let Some(page) = page else { break };
                unfinished.extend(page.items.into_iter().filter_map(to_owned_run).filter(|owned| is_ours(owned.run.request.kind)));
                match page.next_cursor {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
        }
        unfinished
    }

    async fn list(&self, query: &StateQuery) -> Result<Option<shared::ports::catalog::Page<Versioned<StateRecord>>>, CatalogError> {
        match self.catalog.list_states(StateKind::Runs, query).await {
            // Its own cursor: what was listed so far has to do.
            Err(CatalogError::InvalidCursor { .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }

    async fn write(&self, run: &Run, condition: Condition) -> Result<Version, NotWritten> {
        let record = StateRecord {
            id: run.id.clone(),
            group: Some(run.request.job.clone()),
            status: Some(run.status.name().into()),
            at: run.started_at,
            body: serde_json::to_value(run).expect("a run is plain structs with string keys"),
        };
        let writes = [Write { value: record, condition }];
        let mut retries = Backoff::for_outside_systems();
        loop {
            let outcomes = self
                .patience
                .until_answered("write a run", || self.catalog.write_states(StateKind::Runs, &writes))
                .await;
            match outcomes.into_iter().next() {
                Some(WriteOutcome::Written(version)) => return Ok(version),
                Some(WriteOutcome::Conflict) => {
                    let stored = self.read(&run.id).await;
                    return match stored {
                        // Our own write, whose answer was lost.
                        Some(stored) if stored.run == *run => Ok(stored.version),
                        stored => Err(NotWritten::Conflict(stored.map(Box::new))),
                    };
                }
                Some(WriteOutcome::Refused { reason }) => return Err(NotWritten::Refused(reason)),
                Some(WriteOutcome::Retry { .. }) | None => tokio::time::sleep(retries.next_delay()).await,
            }
        }
    }

    async fn read(&self, id: &str) -> Option<OwnedRun> {
        let ids = [id.to_owned()];
        let records = self
            .patience
            .until_answered("read a run", || self.catalog.read_states(StateKind::Runs, &ids))
            .await;
        records.into_iter().flatten().next().and_then(to_owned_run)
    }
}

enum NotWritten {
    /// What is stored instead; none if it cannot be read.
    Conflict(Option<Box<OwnedRun>>),
    Refused(String),
}

fn to_owned_run(record: Versioned<StateRecord>) -> Option<OwnedRun> {
    let run = serde_json::from_value(record.value.body).ok()?;
    Some(OwnedRun { run, version: record.version })
}

/// Whether a run that exists is to be taken up here: it is not finished, and was left behind before this process began.
///
/// It may be under way in another process that began earlier; then the slower of the two stops at its next step.
pub(crate) fn is_left_behind(run: &Run, process_began: UnixMillis) -> bool {
    matches!(run.status, RunStatus::Queued | RunStatus::Running) && run.started_at < process_began
}
