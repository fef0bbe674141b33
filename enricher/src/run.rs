//! The loop: the event log feeds the machine's shell until shutdown.

use std::sync::Arc;

use anyhow::Context as _;
use shared::adapters::kafka::Topic;
use shared::ports::Ports;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::shell::Shell;

/// The consumer group: as many members as partitions can share the work.
pub const GROUP: &str = "enricher";

/// Turns raw updates into products until `shutdown`, then settles what was begun and leaves the group.
///
/// Waits for an event log or a catalog that is away, and never gives a record up.
///
/// # Errors
/// Settings that the event log refuses, an instance name that another process uses, or a panic.
pub async fn run(config: Config, ports: Ports, shutdown: CancellationToken) -> anyhow::Result<()> {
    let (shell, work) = Shell::new(&config, &ports).context("the enricher cannot publish")?;
    let consumed = ports
        .event_log
        .consume_into(GROUP, Topic::RawUpdates, config.drain, Arc::clone(&shell) as _, shutdown.clone());
    let stopping = Arc::clone(&shell);
    let consuming = async move {
        tokio::pin!(consumed);
        tokio::select! {
            ended = &mut consumed => return ended,
            () = shutdown.cancelled() => stopping.shut_down(),
        }
        consumed.await
    };
    let ended = shell.carry_out(work, consuming).await.context("the enricher stopped working")?;
    ended.context("the enricher cannot consume")
}
