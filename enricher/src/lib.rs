//! The enricher: raw updates in, products out.
//!
//! Per partition of `raw.keepa_updates`: [`decode`] (validate, cents to money, [`statistics`]), [`fold`] into the product,
//! write conditionally, publish to `enriched.products`, then let the offset go. What is done when is decided by
//! [`machine`], which does no I/O, and carried out by [`shell`]. Delivery is at least once, the state is effectively-once:
//! what is merged twice changes nothing. Any number of replicas up to the partitions.
//!
//! Services need [`Config`] and [`run()`]; the rest is public for tests of the whole.

mod cache;
mod config;
pub mod decode;
pub mod dlq;
pub mod fold;
mod histories;
mod limit;
pub mod machine;
mod metrics;
mod publish;
pub mod reindex;
mod run;
#[cfg(test)]
mod samples;
mod settled;
pub mod shell;
pub mod statistics;
mod status;
mod trouble;

pub use config::Config;
pub use run::{GROUP, run};
