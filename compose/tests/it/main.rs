//! The product as users start it: shape of the workspace, simulator in to API answer out, a scripted Keepa, kill -9,
//! the enricher over an Elasticsearch that goes wrong, the five services as processes of their own on real servers, the
//! dashboard in a browser, and the table of what is tested against which fault.

mod browser;
mod cluster;
mod double;
mod elasticsearch;
mod fault_table;
mod independent;
mod pipeline;
mod restart;
mod system;
mod workspace_shape;
