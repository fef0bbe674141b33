//! Finds price gaps: one product in, its opportunities out.
//!
//! Reads `enriched.products` (group `detector`) and `job.requests` (group `detector-jobs`), writes opportunities, settings,
//! rates and runs to the catalog, and publishes to `alerts.opportunities`; reads that topic again (group `alerts`) and tells
//! people (`alerts/`).
//!
//! What happens to an ASIN happens in the one member that owns its partition: read what is stored, decide (`detect.rs`,
//! pure), write conditionally, publish, let the offset go (`partition.rs`). Sweeps only publish requests to evaluate again
//! (`sweep.rs`).

mod alerts;
mod basis;
mod book;
mod config;
pub mod detect;
mod jobs;
mod metrics;
mod partition;
mod patience;
pub mod rates;
mod rates_keeper;
mod rates_source;
mod run;
mod runs;
pub mod settings;
mod sweep;

pub use alerts::AlertsConfig;
pub use config::Config;
pub use rates_source::RatesSource;
pub use run::run;

#[cfg(test)]
#[path = "../tests/it/bench.rs"]
#[allow(dead_code, missing_docs, clippy::unwrap_used)]
mod bench;

#[cfg(test)]
#[path = "../tests/it/receiver.rs"]
#[allow(dead_code, missing_docs, clippy::unwrap_used)]
mod receiver;
