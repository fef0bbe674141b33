//! The loop: read what was issued, decide, publish, mark, sleep.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::adapters::kafka::{EventLogError, Message, PublishError, Topic};
use shared::domain::UnixMillis;
use shared::health;
use shared::ports::Ports;
use shared::ports::catalog::{CatalogError, Condition, StateKind, StateQuery, StateRecord, Write, WriteOutcome};
use shared::retry::Backoff;
use shared::wire::JobRequest;
use shared::wire::state::{RequestedJob, Run, RunStatus, SchedulerStatus};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ScheduledJob};
use crate::decide::{Decision, LastRun, decide, is_under_way, look_again};
use crate::jobs::Job;
use crate::metrics;

/// The record's id in `state-status`.
const RECORD_ID: &str = "scheduler";
/// The component on the health board.
const COMPONENT: &str = "scheduler";
/// The longest sleep: a clock that was set, or another replica's doing, is noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// The shortest, for when another replica was faster.
const SHORTEST_SLEEP: Duration = Duration::from_millis(100);
/// Runs under way of one job and status are looked for among this many: there is one, or none.
const RUNS_LOOKED_AT: usize = 20;

/// Why a step could not be finished. All of it is tried again: what is due stays due.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("the schedule's record cannot be read or written")]
    Catalog(#[from] CatalogError),
    #[error("the catalog does not take the schedule's record: {reason}")]
    NotTaken { reason: String },
    #[error("a job cannot be requested")]
    EventLog(#[from] EventLogError),
    #[error("a job cannot be requested")]
    Publish(#[from] PublishError),
}

/// Requests jobs as they fall due, until `shutdown`.
///
/// While the catalog or the log is away the component `scheduler` is degraded and the step is tried again with
/// back-off; the ticks missed meanwhile collapse into one. Stopping needs no drain: a step that is cut off is repeated at
/// the next start under the same run ids.
///
/// # Errors
/// None: every fault of an outside system is waited out.
pub async fn run(config: Config, ports: Ports, shutdown: CancellationToken) -> anyhow::Result<()> {
    metrics::register();
    for scheduled in &config.jobs {
        tracing::info!(job = scheduled.job.name(), schedule = %scheduled.schedule, "job scheduled");
    }
    let mut scheduler = Scheduler {
        jobs: config.jobs,
        ports,
        awaited: BTreeMap::new(),
    };
    let mut backoff = Backoff::for_outside_systems();
    loop {
        let outcome = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            outcome = scheduler.step(UnixMillis::now()) => outcome,
        };
        let now = UnixMillis::now();
        let delay = match outcome {
            Ok(wake_at) => {
                backoff.reset();
                scheduler.ports.health.up(COMPONENT, now);
                let millis = u64::try_from(wake_at.millis_since(now)).unwrap_or(0);
                Duration::from_millis(millis).clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
            }
            Err(error) => {
                let reason = format!("{:#}", anyhow::Error::new(error));
                scheduler.ports.health.set(COMPONENT, health::Condition::Degraded { reason }, now);
                backoff.next_delay()
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(delay) => {}
        }
    }
}

struct Scheduler {
    jobs: Vec<ScheduledJob>,
    ports: Ports,
    /// Runs requested by this process whose end was not seen yet.
    awaited: BTreeMap<Job, BTreeSet<String>>,
}

/// The record as read, and what a write of its successor depends on.
struct Held {
    status: SchedulerStatus,
    condition: Condition,
}

impl Scheduler {
    /// Does what is due at `now` and says when to look again.
    async fn step(&mut self, now: UnixMillis) -> Result<UnixMillis, StepError> {
        let mut held = self.read_record().await?;
        let runs = self.read_last_runs(&held.status).await?;
        self.note_ends(&runs);
        let mut wake_at: Option<UnixMillis> = None;
        for index in 0..self.jobs.len() {
            let scheduled = &self.jobs[index];
            let job = scheduled.job;
            let requested = held.status.jobs.get(job.name());
            let last_run = requested.and_then(|requested| runs.get(requested.run_id.as_ref()?)).map(last_run);
            let mut decision = decide(job, &scheduled.schedule, requested, last_run, now);
            if let Decision::Request { .. } = decision
                && self.is_run_under_way(job, now).await?
            {
                decision = look_again(now);
            }
            let entry = match decision {
                Decision::Wait { until } => {
                    wake_at = wake_at.into_iter().chain(until).min();
                    continue;
                }
                Decision::CountFrom(tick) => RequestedJob {
                    tick,
                    attempt: 1,
                    // A run of before the clock was set back may still be under way.
                    run_id: requested.and_then(|requested| requested.run_id.clone()),
                    requested_at: requested.map_or(now, |requested| requested.requested_at),
                },
                Decision::Request { tick, attempt } => {
                    let request = scheduled.request(tick, attempt);
                    let entry = RequestedJob {
                        tick,
                        attempt,
                        run_id: Some(request.run_id.clone()),
                        requested_at: now,
                    };
                    self.publish_unless_accepted(job, &request).await?;
                    entry
                }
            };
            held.status.jobs.insert(job.name().to_owned(), entry);
            match self.write_record(&held, now).await? {
                Some(condition) => held.condition = condition,
                // Another replica has issued something: read again, decide again.
                None => return Ok(now),
            }
            // A job that was just dealt with is looked at again soon enough for its next tick.
            wake_at = wake_at.into_iter().chain(self.jobs[index].schedule.next_after(now)).min();
        }
        Ok(wake_at.unwrap_or(UnixMillis(i64::MAX)))
    }

    /// Publishes a request and waits for the log's confirmation.
    ///
    /// Nothing is published if the run exists already: a worker accepted the request, and the tick was not marked before
    /// a crash, or the clock shows the same time for the second time.
    async fn publish_unless_accepted(&mut self, job: Job, request: &JobRequest) -> Result<(), StepError> {
        let existing = self.ports.catalog.read_states(StateKind::Runs, std::slice::from_ref(&request.run_id)).await?;
        if existing.iter().any(Option::is_some) {
            tracing::info!(job = job.name(), run_id = request.run_id, "job was accepted already");
            return Ok(());
        }
        let payload = serde_json::to_vec(request).expect("a request is a plain struct");
        let publisher = self.ports.event_log.publisher()?;
        publisher.publish(Topic::JobRequests, Message::new(job.name(), Some(payload))).await?;
        metrics::count_request(job);
        tracing::info!(job = job.name(), run_id = request.run_id, attempt = request.attempt(), "job requested");
        self.awaited.entry(job).or_default().insert(request.run_id.clone());
        Ok(())
    }

    async fn read_record(&self) -> Result<Held, StepError> {
        let records = self.ports.catalog.read_states(StateKind::Status, &[RECORD_ID.to_owned()]).await?;
        let Some(record) = records.into_iter().flatten().next() else {
            return Ok(Held {
                status: SchedulerStatus::default(),
                condition: Condition::Absent,
            });
        };
        let status = serde_json::from_value(record.value.body).unwrap_or_else(|error| {
            tracing::error!(%error, "the schedule's record cannot be decoded: jobs count as never requested");
            SchedulerStatus::default()
        });
        Ok(Held {
            status,
            condition: Condition::Unchanged(record.version),
        })
    }

    /// Writes the record; none if another replica wrote since it was read.
    async fn write_record(&self, held: &Held, now: UnixMillis) -> Result<Option<Condition>, StepError> {
        let body = serde_json::to_value(&held.status).expect("a record is a plain struct");
        let write = Write {
            value: StateRecord {
                id: RECORD_ID.to_owned(),
                group: None,
                status: None,
                at: now,
                body,
            },
            condition: held.condition.clone(),
        };
        let outcomes = self.ports.catalog.write_states(StateKind::Status, &[write]).await?;
        match outcomes.into_iter().next() {
            Some(WriteOutcome::Written(version)) => Ok(Some(Condition::Unchanged(version))),
            Some(WriteOutcome::Conflict) => Ok(None),
            Some(WriteOutcome::Retry { reason } | WriteOutcome::Refused { reason }) => Err(StepError::NotTaken { reason }),
            None => Err(StepError::NotTaken {
                reason: "no outcome was given".to_owned(),
            }),
        }
    }

    /// The runs last requested, by id, as far as workers have accepted them.
    async fn read_last_runs(&self, status: &SchedulerStatus) -> Result<BTreeMap<String, StateRecord>, StepError> {
        let requested = status.jobs.values().filter_map(|requested| requested.run_id.clone());
        let awaited = self.awaited.values().flatten().cloned();
        let ids: Vec<String> = requested.chain(awaited).collect::<BTreeSet<_>>().into_iter().collect();
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let records = self.ports.catalog.read_states(StateKind::Runs, &ids).await?;
        Ok(records.into_iter().flatten().map(|record| (record.value.id.clone(), record.value)).collect())
    }

    /// Whether any run of the job, by whomever requested, is queued or running.
    async fn is_run_under_way(&self, job: Job, now: UnixMillis) -> Result<bool, StepError> {
        for status in [RunStatus::Queued, RunStatus::Running] {
            let query = StateQuery {
                group: Some(job.name().to_owned()),
                status: Some(status.name().to_owned()),
                ascending: false,
                limit: RUNS_LOOKED_AT,
                cursor: None,
            };
            let page = self.ports.catalog.list_states(StateKind::Runs, &query).await?;
            if page.items.iter().any(|run| is_under_way(job, run.value.at, now)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Counts and logs the runs of this process that have ended.
    fn note_ends(&mut self, runs: &BTreeMap<String, StateRecord>) {
        for (&job, run_ids) in &mut self.awaited {
            run_ids.retain(|run_id| {
                let Some(record) = runs.get(run_id) else { return true };
                let outcome = last_run(record).status;
                match outcome {
                    RunStatus::Queued | RunStatus::Running => return true,
                    RunStatus::Succeeded => tracing::debug!(job = job.name(), run_id, "job succeeded"),
                    RunStatus::Failed => {
                        let error = record.body.get("error").and_then(serde_json::Value::as_str).unwrap_or_default();
                        tracing::warn!(job = job.name(), run_id, error, "job failed");
                    }
                }
                metrics::count_run(job, outcome);
                false
            });
            // Requests that nobody accepts are not awaited for ever.
            while run_ids.len() > RUNS_LOOKED_AT {
                run_ids.pop_first();
            }
        }
    }
}

/// A run as the decision needs it. One that cannot be decoded is as far as its record's status says.
fn last_run(record: &StateRecord) -> LastRun {
    match serde_json::from_value::<Run>(record.body.clone()) {
        Ok(run) => LastRun {
            status: run.status,
            started_at: run.started_at,
            finished_at: run.finished_at,
        },
        Err(_) => LastRun {
            status: match record.status.as_deref() {
                Some("queued") => RunStatus::Queued,
                Some("succeeded") => RunStatus::Succeeded,
                Some("failed") => RunStatus::Failed,
                _ => RunStatus::Running,
            },
            started_at: record.at,
            finished_at: None,
        },
    }
}
