//! All five services in one process: on the embedded event log, catalog and Keepa simulator, each unless the real one
//! is configured.

mod check;
mod config;
mod data_dir;
mod progress;
mod run;

pub use check::check;
pub use config::Config;
pub use data_dir::{DataDir, DataDirError};
pub use progress::{Foot, Progress};
pub use run::{Ready, run_all};
