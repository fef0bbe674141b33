//! What the services have in common; it knows none of them.
//!
//! `domain` is pure. `wire` holds the serde twins of what leaves a process. `ports` says what the services need from
//! outside, `adapters` provides it: Kafka (real or embedded), Elasticsearch, SQLite.

pub mod adapters;
pub mod boot;
pub mod config;
pub mod crash;
pub mod domain;
pub mod health;
pub mod ports;
pub mod probes;
pub mod retry;
pub mod runtime;
pub mod telemetry;
pub mod wire;
