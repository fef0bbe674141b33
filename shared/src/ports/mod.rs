//! What the services need from outside, in domain words.

pub mod catalog;
mod connect;
mod ending;
mod kafka_access;

pub use catalog::Catalog;
pub use connect::{EventLogSettings, Ports};
pub use ending::EndingCatalog;
pub use kafka_access::KafkaAccess;
