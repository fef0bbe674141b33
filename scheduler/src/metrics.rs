//! What the scheduler counts.

use std::sync::LazyLock;

use prometheus::{IntCounterVec, Opts};
use shared::wire::state::RunStatus;

use crate::jobs::Job;

static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| counter("job_requests_total", "Requests published for a job, confirmed by the log", &["job"]));
static RUNS: LazyLock<IntCounterVec> = LazyLock::new(|| counter("job_runs_total", "Ended runs of those requested by this process", &["job", "outcome"]));

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let counter = IntCounterVec::new(Opts::new(name, help), labels).expect("name and labels are valid");
    // Taken already only if another part of the process uses the name: then this one counts without being shown.
    let _ = prometheus::register(Box::new(counter.clone()));
    counter
}

/// A request was confirmed.
pub(crate) fn count_request(job: Job) {
    REQUESTS.with_label_values(&[job.name()]).inc();
}

/// A run ended.
pub(crate) fn count_run(job: Job, outcome: RunStatus) {
    RUNS.with_label_values(&[job.name(), outcome.name()]).inc();
}

/// Makes the counters appear before anything is counted.
pub(crate) fn register() {
    for job in Job::ALL {
        let _ = REQUESTS.with_label_values(&[job.name()]);
        for outcome in [RunStatus::Succeeded, RunStatus::Failed] {
            let _ = RUNS.with_label_values(&[job.name(), outcome.name()]);
        }
    }
}
