//! Contract suites of the ports' adapters.

mod catalog;
mod event_log;
mod schemas;
mod servers;
