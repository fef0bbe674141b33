//! A Keepa to try things on: a real HTTP server that speaks Keepa's wire format about a made-up world.
//!
//! - [`World`] is pure: what is true about an article in a market at an instant follows from the seed.
//!   A restart goes on with the same prices. Times are real: points of histories lie in Keepa minutes
//!   up to now, never ahead of it.
//! - Prices change [`SimulatorConfig::speed`] times as fast as real ones, but for the reference
//!   article [`REFERENCE_ASIN`], whose prices stand still.
//! - Tokens are metered by Keepa's rules; statistics agree with the histories by Keepa's rules.
//! - What goes wrong with real servers can be made to go wrong: [`Faults`] by chance, [`FaultScript`]
//!   on order.
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use producer::simulator::{SimulatorConfig, start};
//! let simulator = start(SimulatorConfig::default()).await?;
//! println!("{}/token?key=any", simulator.url());
//! simulator.serve(tokio_util::sync::CancellationToken::new()).await
//! # }
//! ```

mod assortment;
mod bucket;
mod category_tree;
mod config;
mod connection;
mod endpoints;
mod envelope;
mod faults;
mod history;
mod listing;
mod noise;
mod parameters;
mod price_type;
mod product;
mod sellers;
mod server;
#[cfg(test)]
mod server_tests;
mod statistics;
mod vocabulary;
mod wire;
mod world;
#[cfg(test)]
mod world_tests;

pub use assortment::REFERENCE_ASIN;
pub use config::{Clock, Command, HELP, SimulatorConfig, parse_flags};
pub use faults::{Fault, FaultScript, Faults};
pub use server::{Simulator, SimulatorHandle, start};
pub use world::{DEFAULT_SPEED, ProductOptions, StatsInterval, World};
