//! What the ports promise, provided: the event log over rdkafka, the catalog over SQLite or Elasticsearch.

pub mod elastic;
pub mod embedded;
pub mod kafka;
mod paging;
mod words;
