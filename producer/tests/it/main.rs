//! The producer against the simulator and a scripted Keepa, on the embedded log and catalog.

mod client;
mod double;
mod faults;
mod harness;
mod ownership;
mod runs;
mod samples;
mod watchlist;
