//! Topic `job.requests`: what the scheduler (or a user) wants done, and by whom.

use serde::{Deserialize, Serialize};

use crate::domain::{Marketplace, UnixMillis};

/// Kinds of job. Each service takes the kinds it knows and lets the others pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Producer: best sellers of categories, then their details in all markets.
    Scrape,
    /// Producer: recent deals, then their details in all markets.
    Deals,
    /// Detector: evaluate every product again.
    Sweep,
    /// Detector: fetch exchange rates.
    Rates,
}

impl JobKind {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            JobKind::Scrape => "scrape",
            JobKind::Deals => "deals",
            JobKind::Sweep => "sweep",
            JobKind::Rates => "rates",
        }
    }
}

/// One request, key = job name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRequest {
    /// Format version, 1.
    pub v: u8,
    /// The job's name in the schedule, `category-scrape`.
    pub job: String,
    /// `job@tick`: the worker that creates this run in the catalog owns it.
    pub run_id: String,
    /// What to do.
    pub kind: JobKind,
    /// The instant the job was due.
    pub tick: UnixMillis,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// Tokens the run may spend; none = no bound but the bucket.
    #[serde(default)]
    pub token_budget: Option<i64>,
    /// What the kind needs.
    #[serde(default)]
    pub parameters: JobParameters,
}

/// Parameters of a job; each kind reads its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobParameters {
    /// Marketplace whose categories or deals are asked; none = the first of `MARKETS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market: Option<Marketplace>,
    /// Category ids; empty = the marketplace's root categories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<i64>,
    /// ASINs taken per category or page; none = the job's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl JobRequest {
    /// `job@tick` with the tick in RFC 3339: one id per job and due time.
    #[must_use]
    pub fn run_id(job: &str, tick: UnixMillis) -> String {
        format!("{job}@{}", tick.to_rfc3339())
    }

    /// The id of a further attempt at a tick whose run failed: `job@tick#2`. The first attempt is the plain `job@tick`.
    #[must_use]
    pub fn attempt_id(job: &str, tick: UnixMillis, attempt: u32) -> String {
        let first = Self::run_id(job, tick);
        if attempt <= 1 { first } else { format!("{first}#{attempt}") }
    }

    /// Which attempt at its tick this request is, counted from 1: what the run's `attempts` begins with.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        let number = self.run_id.rsplit_once('#').and_then(|(_, number)| number.parse().ok());
        number.unwrap_or(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attempt_stands_in_the_run_id() {
        for attempt in [1, 2, 3, 10] {
            let request = JobRequest {
                v: 1,
                job: "sweep".into(),
                run_id: JobRequest::attempt_id("sweep", UnixMillis(1_768_132_800_000), attempt),
                kind: JobKind::Sweep,
                tick: UnixMillis(1_768_132_800_000),
                priority: 0,
                token_budget: None,
                parameters: JobParameters::default(),
            };
            assert_eq!(request.attempt(), attempt, "{}", request.run_id);
        }
        assert_eq!(JobRequest::attempt_id("sweep", UnixMillis(0), 1), "sweep@1970-01-01T00:00:00.000Z");
        assert_eq!(JobRequest::attempt_id("sweep", UnixMillis(0), 2), "sweep@1970-01-01T00:00:00.000Z#2");
    }
}
