//! The detector as it runs, over the embedded event log and catalog.

// Helpers of tests may unwrap as tests do; clippy only knows functions marked as tests.
#![allow(clippy::unwrap_used)]

mod alerts;
mod bench;
mod http;
mod pipeline;
mod rates;
// The unit tests of the channels use all of it.
#[allow(dead_code)]
mod receiver;
