//! The enricher over the embedded event log and the embedded catalog.

mod faults;
mod harness;
mod settle;
mod whole;
