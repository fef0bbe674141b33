//! The producer against the simulator and a scripted Keepa, on the embedded log and catalog.

// Helpers of tests are tests, too.
#![allow(clippy::unwrap_used)]

mod client;
mod double;
mod faults;
mod harness;
mod mutations;
mod ownership;
mod runs;
mod samples;
mod watchlist;
