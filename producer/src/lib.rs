//! Asks Keepa and publishes what it said, unchanged: the only owner of the Keepa key and its token bucket.
//!
//! Guarantees:
//! - *One owner.* Of several producers the one that holds partition 0 of the job requests asks; the others accept jobs.
//! - *Nothing paid for is dropped.* A product is confirmed by the log before what was asked is noted as asked; while the log
//!   is away nothing is asked.
//! - *Nothing is paid for twice.* The watchlist's order and each run's progress are stored after every request, so that a
//!   crash repeats at most one.
//! - *The balance never goes below zero* by what this process asks.
//!
//! Tokens are shared like this: while watchlist and jobs both have work, jobs get at most half of them, in the order of
//! their priorities; who has work alone gets all.

mod accept;
mod check;
mod config;
pub mod jobs;
pub mod keepa;
mod metrics;
mod owner;
pub mod plan;
pub mod publish;
pub mod round;
mod run;
pub mod simulator;
mod status;
pub mod watchlist;

pub use check::check_keepa;
pub use config::Config;
pub use run::run;
