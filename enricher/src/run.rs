//! The loop: the event log calls the partitions' workers until shutdown.

use anyhow::Context as _;
use shared::adapters::kafka::Topic;
use shared::ports::Ports;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::partition::Handlers;

/// The consumer group: as many members as partitions can share the work.
pub const GROUP: &str = "enricher";

/// Turns raw updates into products until `shutdown`, then settles what is in hand and leaves the group.
///
/// Waits for an event log or a catalog that is away, and never gives a record up.
///
/// # Errors
/// Settings that the event log refuses, an instance name that another process uses, or a panic.
pub async fn run(config: Config, ports: Ports, shutdown: CancellationToken) -> anyhow::Result<()> {
    let limits = config.limits;
    let handlers = Handlers::new(config, &ports).context("the enricher cannot publish")?;
    ports
        .event_log
        .consume(GROUP, Topic::RawUpdates, limits, handlers, shutdown)
        .await
        .context("the enricher cannot consume")
}
