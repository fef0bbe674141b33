//! What the services need from outside, in domain words.

pub mod catalog;
mod connect;

pub use catalog::Catalog;
pub use connect::{EventLogSettings, Ports};
