//! The whole enricher over an Elasticsearch that goes wrong: a server of our own, scripted request by request, that
//! holds documents and enforces conditions, so that it tells what really became of each write.
//!
//! How long an outage lasts is said in seconds by `FAULT_SECONDS`. Every test ends with the books of [`oracle`].

mod access;
mod answers;
mod crash_points;
mod indices;
mod nodes;
mod oracle;
mod order;
mod outage;
mod overload;
mod own_process;
mod refusals;
mod script;
mod security;
mod server;
mod store;
mod world;
