//! [`Job`]: which jobs there are, who does them, and when by default.

use shared::wire::JobKind;

/// A job of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    /// Best sellers of categories, then their details in all markets.
    CategoryScrape,
    /// Recent deals, then their details in all markets.
    DealsScan,
    /// Every product evaluated again: legs grow stale by time alone, without any record.
    Sweep,
    /// Exchange rates fetched.
    Rates,
}

/// What happens to a job that has never been requested, as on a fresh install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstStart {
    /// It is requested at once, for its latest tick.
    AtOnce,
    /// It waits for its next tick.
    NextTick,
}

/// The constants of a job.
struct Row {
    job: Job,
    name: &'static str,
    kind: JobKind,
    variable: &'static str,
    schedule: &'static str,
    first_start: FirstStart,
    ceiling_ms: i64,
    priority: i32,
}

const HOUR_MS: i64 = 3_600_000;

/// In the order of the enum: `Job as usize` indexes it (a test checks).
const JOBS: [Row; 4] = [
    Row {
        job: Job::CategoryScrape,
        name: "category-scrape",
        kind: JobKind::Scrape,
        variable: "SCHEDULE_CATEGORY_SCRAPE",
        schedule: "0 0 */2 * * *",
        first_start: FirstStart::AtOnce,
        ceiling_ms: 6 * HOUR_MS,
        priority: 0,
    },
    Row {
        job: Job::DealsScan,
        name: "deals-scan",
        kind: JobKind::Deals,
        variable: "SCHEDULE_DEALS_SCAN",
        // In the odd hours, between two category scrapes.
        schedule: "0 0 1-23/2 * * *",
        // A fresh install's tokens go to the watchlist and the categories first.
        first_start: FirstStart::NextTick,
        ceiling_ms: 6 * HOUR_MS,
        // A deal is gone sooner than a best seller.
        priority: 10,
    },
    Row {
        job: Job::Sweep,
        name: "sweep",
        kind: JobKind::Sweep,
        variable: "SCHEDULE_SWEEP",
        schedule: "0 */5 * * * *",
        // The detector sweeps on its own start.
        first_start: FirstStart::NextTick,
        ceiling_ms: HOUR_MS,
        priority: 0,
    },
    Row {
        job: Job::Rates,
        name: "rates",
        kind: JobKind::Rates,
        variable: "SCHEDULE_RATES",
        // The ECB publishes at about 16:00 Central European time on its working days: 14:00 UTC in summer, 15:00 in
        // winter. Hourly over that time with two hours to spare, and once in the morning to catch up. Without days of
        // the week: on a holiday the file is the same as before, and asking costs one small request.
        schedule: "0 15 6,14-17 * * *",
        first_start: FirstStart::AtOnce,
        ceiling_ms: HOUR_MS,
        priority: 10,
    },
];

impl Job {
    /// All of them.
    pub(crate) const ALL: [Job; 4] = [JOBS[0].job, JOBS[1].job, JOBS[2].job, JOBS[3].job];

    fn row(self) -> &'static Row {
        &JOBS[self as usize]
    }

    /// Its name in run ids, records and metrics.
    pub(crate) fn name(self) -> &'static str {
        self.row().name
    }

    /// What the workers understand.
    pub(crate) fn kind(self) -> JobKind {
        self.row().kind
    }

    /// The variable that sets its cron expression.
    pub(crate) fn variable(self) -> &'static str {
        self.row().variable
    }

    /// Its cron expression by default.
    pub(crate) fn default_schedule(self) -> &'static str {
        self.row().schedule
    }

    /// What happens when it has never been requested.
    pub(crate) fn first_start(self) -> FirstStart {
        self.row().first_start
    }

    /// How long a request that nobody accepts, or a run without an end, holds up the next one, milliseconds.
    ///
    /// Workers take their unfinished runs up again at start, so a run older than this has a worker that died for good.
    pub(crate) fn ceiling_ms(self) -> i64 {
        self.row().ceiling_ms
    }

    /// Of two requests waiting at one worker the higher goes first.
    pub(crate) fn priority(self) -> i32 {
        self.row().priority
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;

    #[test]
    fn the_table_is_in_the_order_of_the_enum_and_its_schedules_are_valid() {
        for (index, row) in JOBS.iter().enumerate() {
            assert_eq!(row.job as usize, index);
            row.schedule.parse::<Schedule>().unwrap_or_else(|error| panic!("{}: {error}", row.name));
        }
    }

    #[test]
    fn the_categories_are_scraped_every_two_hours_and_swept_every_five_minutes() {
        use shared::domain::UnixMillis;
        for (job, expected_ms) in [(Job::CategoryScrape, 2 * HOUR_MS), (Job::DealsScan, 2 * HOUR_MS), (Job::Sweep, 300_000)] {
            let schedule: Schedule = job.default_schedule().parse().unwrap();
            let first = schedule.next_after(UnixMillis(1_768_132_800_000)).unwrap();
            assert_eq!(schedule.next_after(first).unwrap().millis_since(first), expected_ms, "{}", job.name());
        }
    }
}
