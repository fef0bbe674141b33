//! The API over the embedded catalog, and once over a socket.

mod alerts;
mod caching;
mod document;
mod harness;
mod history;
mod http;
mod opportunities;
mod overview;
mod pages;
mod products;
mod profit;
mod samples;
mod server;
