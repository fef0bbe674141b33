//! Pure: what to do about one job now, given what was requested of it and what became of that.

use shared::domain::UnixMillis;
use shared::wire::JobRequest;
use shared::wire::state::{RequestedJob, RunStatus};

use crate::due::{CLOCK_TOLERANCE_MS, Due, due};
use crate::jobs::Job;
use crate::schedule::Schedule;

/// A failed run is requested again this often, after 1, 2 and 4 minutes; then its next tick is waited for.
const RETRIES: u32 = 3;
const FIRST_RETRY_AFTER_MS: i64 = 60_000;
/// How soon a job that waits for its previous run is looked at again.
const LOOK_AGAIN_MS: i64 = 5_000;

/// A job's run as the catalog has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastRun {
    /// How far it is.
    pub(crate) status: RunStatus,
    /// When it began, or was accepted.
    pub(crate) started_at: UnixMillis,
    /// When it ended.
    pub(crate) finished_at: Option<UnixMillis>,
}

/// What to do about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Request this attempt at this tick, unless another run of the job turns out to be under way.
    Request { tick: UnixMillis, attempt: u32 },
    /// Note that counting begins at this tick.
    CountFrom(UnixMillis),
    /// Nothing before this instant; none = its schedule has no tick any more.
    Wait { until: Option<UnixMillis> },
}

/// Decides about one job. `held` is what was last requested, `run` the run of that id, if a worker has created it.
pub(crate) fn decide(job: Job, schedule: &Schedule, held: Option<&RequestedJob>, run: Option<LastRun>, now: UnixMillis) -> Decision {
    match due(schedule, job.first_start(), held.map(|held| held.tick), now) {
        Due::CountFrom(tick) => Decision::CountFrom(tick),
        Due::Tick(_) if held.is_some_and(|held| is_outstanding(job, held, run, now)) => look_again(now),
        Due::Tick(tick) => Decision::Request { tick, attempt: 1 },
        Due::Nothing => {
            let next_tick = schedule.next_after(now);
            let Some((held, at)) = held.and_then(|held| Some((held, retry_at(job, held, run?, now)?))) else {
                return Decision::Wait { until: next_tick };
            };
            if at <= now {
                Decision::Request {
                    tick: held.tick,
                    attempt: held.attempt.saturating_add(1),
                }
            } else {
                Decision::Wait {
                    until: Some(next_tick.map_or(at, |tick| tick.min(at))),
                }
            }
        }
    }
}

/// The job's previous run is in the way.
pub(crate) fn look_again(now: UnixMillis) -> Decision {
    Decision::Wait {
        until: Some(now.plus_millis(LOOK_AGAIN_MS)),
    }
}

/// Whether what began at `since` still counts as going on: not once the job's ceiling has passed.
///
/// An instant ahead of the clock by as much is no obstacle either: the clock was wrong once, and the worker is gone.
pub(crate) fn is_under_way(job: Job, since: UnixMillis, now: UnixMillis) -> bool {
    now.millis_since(since).saturating_abs() < job.ceiling_ms()
}

/// Whether the last request is still in the log or its run not ended.
fn is_outstanding(job: Job, held: &RequestedJob, run: Option<LastRun>, now: UnixMillis) -> bool {
    match run {
        _ if held.run_id.is_none() => false,
        None => is_under_way(job, held.requested_at, now),
        Some(run) => match run.status {
            RunStatus::Queued | RunStatus::Running => is_under_way(job, run.started_at, now),
            RunStatus::Succeeded | RunStatus::Failed => false,
        },
    }
}

/// When a failed run is to be requested again; none if it did not fail, or too often.
fn retry_at(job: Job, held: &RequestedJob, run: LastRun, now: UnixMillis) -> Option<UnixMillis> {
    let is_of_this_tick = held.run_id.as_deref() == Some(&JobRequest::attempt_id(job.name(), held.tick, held.attempt));
    if run.status != RunStatus::Failed || !is_of_this_tick || held.attempt > RETRIES {
        return None;
    }
    let failed_at = run.finished_at.unwrap_or(run.started_at);
    if failed_at.millis_since(now) > CLOCK_TOLERANCE_MS {
        // The clock was set back since: how long ago it was is unknown.
        return Some(now);
    }
    let delay_ms = FIRST_RETRY_AFTER_MS << held.attempt.saturating_sub(1);
    Some(failed_at.plus_millis(delay_ms))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    /// 2026-01-11T12:00:00Z.
    const NOON: UnixMillis = UnixMillis(1_768_132_800_000);

    fn noon_plus(minutes: i64) -> UnixMillis {
        NOON.plus_millis(minutes * MINUTE)
    }

    fn requested(minutes: i64, attempt: u32) -> RequestedJob {
        RequestedJob {
            tick: NOON,
            attempt,
            run_id: Some(JobRequest::attempt_id("category-scrape", NOON, attempt)),
            requested_at: noon_plus(minutes),
        }
    }

    fn run(status: RunStatus, started: i64, finished: Option<i64>) -> Option<LastRun> {
        Some(LastRun {
            status,
            started_at: noon_plus(started),
            finished_at: finished.map(noon_plus),
        })
    }

    /// What is decided about a job due every two hours, `now` minutes after noon.
    fn check(held: Option<RequestedJob>, run: Option<LastRun>, now: i64, expected: Decision) {
        let schedule: Schedule = "0 0 */2 * * *".parse().unwrap();
        let decided = decide(Job::CategoryScrape, &schedule, held.as_ref(), run, noon_plus(now));
        assert_eq!(decided, expected, "held {held:?}, run {run:?}, {now} minutes after noon");
    }

    fn request(tick: i64, attempt: u32) -> Decision {
        Decision::Request {
            tick: noon_plus(tick),
            attempt,
        }
    }

    fn wait(minutes: i64) -> Decision {
        Decision::Wait {
            until: Some(noon_plus(minutes)),
        }
    }

    #[test]
    fn a_job_that_was_never_requested_is_requested_for_its_latest_tick() {
        check(None, None, 7, request(0, 1));
    }

    #[test]
    fn a_job_whose_run_has_ended_waits_for_its_next_tick() {
        check(Some(requested(0, 1)), run(RunStatus::Succeeded, 0, Some(9)), 10, wait(120));
        check(Some(requested(0, 1)), run(RunStatus::Succeeded, 0, Some(9)), 120, request(120, 1));
    }

    #[test]
    fn a_tick_waits_while_the_previous_run_is_requested_queued_or_running() {
        let soon = Decision::Wait {
            until: Some(noon_plus(125).plus_millis(LOOK_AGAIN_MS)),
        };
        check(Some(requested(0, 1)), None, 125, soon);
        check(Some(requested(0, 1)), run(RunStatus::Queued, 1, None), 125, soon);
        check(Some(requested(0, 1)), run(RunStatus::Running, 1, None), 125, soon);
        // As soon as it has ended, the latest tick follows: those that waited have collapsed.
        check(Some(requested(0, 1)), run(RunStatus::Succeeded, 1, Some(244)), 245, request(240, 1));
    }

    #[test]
    fn a_run_without_an_end_is_no_obstacle_after_the_ceiling() {
        let ceiling = Job::CategoryScrape.ceiling_ms() / MINUTE;
        check(Some(requested(0, 1)), run(RunStatus::Running, 1, None), ceiling + 1, request(ceiling, 1));
        check(Some(requested(0, 1)), None, ceiling, request(ceiling, 1));
        // Nor one that began in a far future, when the clock was wrong.
        check(Some(requested(0, 1)), run(RunStatus::Running, 120 + ceiling, None), 120, request(120, 1));
    }

    #[test]
    fn a_failed_run_is_requested_again_after_one_two_and_four_minutes() {
        for (attempt, delay) in [(1, 1), (2, 2), (3, 4)] {
            let failed = run(RunStatus::Failed, 0, Some(10));
            check(Some(requested(0, attempt)), failed, 10, wait(10 + delay));
            check(Some(requested(0, attempt)), failed, 10 + delay, request(0, attempt + 1));
        }
        check(Some(requested(0, 4)), run(RunStatus::Failed, 0, Some(10)), 60, wait(120));
    }

    #[test]
    fn a_new_tick_comes_before_a_retry_of_the_old_one() {
        check(Some(requested(0, 1)), run(RunStatus::Failed, 0, Some(119)), 120, request(120, 1));
    }

    #[test]
    fn a_retry_of_a_run_that_failed_in_the_future_is_not_put_off_for_ever() {
        check(Some(requested(0, 1)), run(RunStatus::Failed, 0, Some(100_000)), 10, request(0, 2));
    }

    #[test]
    fn after_a_clock_set_back_the_run_of_before_is_not_retried_under_another_tick() {
        let held = RequestedJob {
            run_id: Some("category-scrape@2026-01-11T16:00:00.000Z".into()),
            ..requested(0, 1)
        };
        check(Some(held), run(RunStatus::Failed, 0, Some(10)), 30, wait(120));
    }

    proptest! {
        /// A worker that takes any time, fails at will or is away; a clock that jumps: never two runs at once within the
        /// ceiling, and never more requests for a tick than there are attempts.
        #[test]
        fn no_run_is_requested_while_another_is_under_way(
            steps in proptest::collection::vec((prop_oneof![8 => Just(30_000_i64), 2 => Just(10 * MINUTE), 1 => Just(HOUR), 1 => Just(-HOUR)], 0..10_u8), 1..300),
        ) {
            let schedule: Schedule = "0 */5 * * * *".parse().unwrap();
            let mut now = NOON;
            let mut held: Option<RequestedJob> = None;
            let mut runs: std::collections::BTreeMap<String, LastRun> = std::collections::BTreeMap::new();
            let mut requests: std::collections::BTreeMap<(UnixMillis, u32), u32> = std::collections::BTreeMap::new();
            let mut passes = 1;
            for (step, luck) in steps {
                now = now.plus_millis(step);
                passes += u32::from(step < 0);
                let id = held.as_ref().and_then(|held| held.run_id.clone());
                let run = id.as_ref().and_then(|id| runs.get(id).copied());
                let busy = id.is_some() && run.is_none_or(|run| matches!(run.status, RunStatus::Queued | RunStatus::Running));
                let since = run.map_or(held.as_ref().map(|held| held.requested_at), |run| Some(run.started_at));
                match decide(Job::CategoryScrape, &schedule, held.as_ref(), run, now) {
                    Decision::Request { tick, attempt } => {
                        if busy {
                            prop_assert!(!is_under_way(Job::CategoryScrape, since.unwrap(), now));
                        }
                        prop_assert!(attempt <= RETRIES + 1);
                        let count = requests.entry((tick, attempt)).or_default();
                        *count += 1;
                        prop_assert!(*count <= passes, "only a clock that repeats itself repeats a request");
                        let run_id = Some(JobRequest::attempt_id("category-scrape", tick, attempt));
                        held = Some(RequestedJob { tick, attempt, run_id, requested_at: now });
                    }
                    Decision::CountFrom(tick) => held = Some(RequestedJob { tick, ..held.unwrap_or(requested(0, 1)) }),
                    Decision::Wait { until } => prop_assert!(until.is_none_or(|until| until > now)),
                }
                // The worker's turn.
                let Some(id) = held.as_ref().and_then(|held| held.run_id.clone()) else { continue };
                let run = runs.get(&id).copied();
                let next = match (run.map(|run| run.status), luck) {
                    (None, 0..=2) => Some(LastRun { status: RunStatus::Running, started_at: now, finished_at: None }),
                    (Some(RunStatus::Running), 0) => run.map(|run| LastRun { status: RunStatus::Succeeded, finished_at: Some(now), ..run }),
                    (Some(RunStatus::Running), 1) => run.map(|run| LastRun { status: RunStatus::Failed, finished_at: Some(now), ..run }),
                    _ => run,
                };
                if let Some(next) = next {
                    runs.insert(id, next);
                }
            }
        }
    }
}
