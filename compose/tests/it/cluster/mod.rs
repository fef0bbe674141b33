//! The five services as processes of their own, three enrichers among them, on a real Kafka and a real Elasticsearch.
//!
//! Runs where `KAFKA_BROKERS` and `ELASTICSEARCH_URL` are set; says so loudly where not, and fails where `CI` is `true`.
//! Tests that stop servers also need a script that does it, `COMPOSE_SERVERS` or `compose/servers`. How long faults last
//! is said in seconds by `CLUSTER_FAULT_SECONDS`, how often they are repeated by `CLUSTER_FAULT_ROUNDS`.
//!
//! One test at a time: each starts seven processes, and some stop the servers of all.

mod accounts;
mod bench;
mod catch_up;
mod end_to_end;
mod faults;
mod ledger;
mod load;
mod memory;
mod positions;
pub mod proxy;
mod recorder;
mod secrets;
pub mod servers;
mod services;
mod shutdown;
mod stale;
mod standalone;
