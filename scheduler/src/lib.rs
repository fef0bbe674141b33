//! The scheduler: says when, by requests on the topic `job.requests`. It does none of the work itself.
//!
//! Guarantees:
//! - *At least once per tick that counts.* A request is confirmed by the log before its tick is marked as issued, so a
//!   crash in between publishes it again, under the same run id. A worker accepts a job by creating that run in the
//!   catalog, so a repeated request starts nothing twice.
//! - *Missed ticks collapse.* However long the scheduler, the log or the catalog was away: per job one request follows,
//!   for the latest tick.
//! - *No run twice at once.* While a job's run is requested, queued or running, its next tick waits (and collapses with
//!   those after it). Only a run that has shown no end for the job's ceiling is no obstacle any more.
//! - *Several replicas are one scheduler.* What was issued stands in one record of the catalog, written conditionally:
//!   whoever writes first has issued the tick, the others read again. No leader, no lease.
//!
//! All schedules are in UTC: no hour occurs twice and none is left out.

mod config;
mod decide;
mod due;
mod jobs;
mod metrics;
mod run;
mod schedule;

pub use config::Config;
pub use run::run;
