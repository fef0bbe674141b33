//! The contract of the event log: one suite over the embedded broker, and over a real Kafka where `KAFKA_BROKERS` is set.

mod bench;
mod contract;
mod embedded;
mod real;
mod start;
