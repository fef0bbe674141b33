//! The enricher over the embedded event log and the embedded catalog.

mod dlq;
mod faults;
mod harness;
mod settle;
mod whole;
