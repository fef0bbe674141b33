//! What the services need from outside, in domain words.

pub mod catalog;
mod connect;
mod kafka_access;

pub use catalog::Catalog;
pub use connect::{EventLogSettings, Ports};
pub use kafka_access::KafkaAccess;
