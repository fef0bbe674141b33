//! Contract suites of the ports' adapters.

mod catalog;
mod event_log;
mod profit;
mod schemas;
mod servers;
