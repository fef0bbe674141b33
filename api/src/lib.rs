//! The HTTP API: reads the catalog and answers; its document is served at `/openapi.json`, for people at `/docs`.
//!
//! - Every error, 404 and 405 included, is a problem (RFC 9457) that carries the request's id.
//! - Lists are cached for moments and renewed in the background, so that many who poll cost the catalog one search and none
//!   of them waits for it; while the catalog is away the last good answer is served and says that it is stale.
//! - Amounts are decimals from the catalog's integers to the last byte of JSON.
//!
//! ```no_run
//! # async fn example(ports: shared::ports::Ports, shutdown: tokio_util::sync::CancellationToken) -> anyhow::Result<()> {
//! let environment = shared::config::Environment::from_process();
//! let config = environment.finish(api::Config::read(&environment))?;
//! let bound = api::bind(&config).await?;
//! println!("http://{}", bound.local_addr());
//! bound.run(ports, shutdown).await
//! # }
//! ```

mod answer;
mod api;
mod app;
mod assets;
mod cache;
mod config;
mod dashboard;
mod docs;
mod encoding;
mod error;
mod freshness;
mod host;
mod idle;
mod lag;
mod operations;
mod origins;
mod params;
mod prices;
mod renewals;
mod routes;
mod run;
mod sent;
mod surroundings;
mod values;

pub use api::{Api, Clock};
pub use app::{app, openapi_document};
pub use config::{Config, Origin};
pub use run::{BindError, BoundApi, bind, run};
