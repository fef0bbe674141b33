//! The producer's two tasks: accept job requests, and, while this process holds partition 0 of them, own the key.

use std::sync::Arc;

use anyhow::Context as _;
use shared::adapters::kafka::{ConsumerLimits, Lease, Topic};
use shared::domain::UnixMillis;
use shared::health::Condition;
use shared::ports::Ports;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::accept::Acceptors;
use crate::config::Config;
use crate::keepa::Client;
use crate::owner::{GRACE, Means, Owner};
use crate::publish::FetchClock;

/// What the health board says until partition 0 is given to this process, if ever.
const WAITING: &str = "waiting to own the key: another producer does, or nobody yet";
/// The consumer group; its member with partition 0 owns the key.
const GROUP: &str = "producer";
/// Requests accepted in one write.
const REQUESTS_AT_ONCE: usize = 100;
/// Bad lines of the watchlist that are named one by one.
const BAD_LINES_SHOWN: usize = 20;

/// Asks and publishes until `shutdown`, then finishes what is in flight.
///
/// Outside systems that are away are waited for, at start and later.
///
/// # Errors
/// Only what no waiting cures: settings that the event log's client refuses, a panic.
pub async fn run(config: Config, ports: Ports, shutdown: CancellationToken) -> anyhow::Result<()> {
    report_bad_lines(&config);
    let client = Client::new(config.keepa_url.clone(), config.keepa_api_key.clone(), config.timeouts)?;
    let waiting = Condition::Degraded { reason: WAITING.to_owned() };
    ports.health.set("keepa", waiting, UnixMillis::now());
    let accepted = Arc::new(Notify::new());
    let (owner, leases) = watch::channel(None);
    let acceptors = Acceptors {
        catalog: Arc::clone(&ports.catalog),
        accepted: Arc::clone(&accepted),
        owner,
    };
    let limits = ConsumerLimits {
        batch_records: REQUESTS_AT_ONCE,
        ..ConsumerLimits::default()
    };
    let accepting = ports.event_log.consume(GROUP, Topic::JobRequests, limits, acceptors, shutdown.clone());
    let accepting = async { accepting.await.context("job requests cannot be accepted") };
    let owning = own(&config, &ports, &client, &accepted, leases, &shutdown);
    tokio::try_join!(accepting, owning)?;
    Ok(())
}

/// Owns the key whenever the lease is held.
async fn own(
    config: &Config,
    ports: &Ports,
    client: &Client,
    accepted: &Notify,
    mut leases: watch::Receiver<Option<Lease>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let publisher = ports.event_log.publisher().context("products cannot be published")?;
    // One for all ownerships: times of a key grow over the life of the process.
    let mut clock = FetchClock::default();
    loop {
        let lease = leases.borrow_and_update().clone().filter(Lease::is_held);
        if let Some(lease) = lease.filter(|_| !shutdown.is_cancelled()) {
            let stop = shutdown.child_token();
            let over = CancellationToken::new();
            let means = Means {
                config,
                ports,
                client,
                publisher: &publisher,
                clock: &mut clock,
                accepted,
                stop: &stop,
                over: &over,
            };
            let work = async {
                Box::pin(Owner::new(means, Instant::now()).run()).await;
                stop.cancel();
                over.cancel();
            };
            let ends = async {
                tokio::select! {
                    () = lease.lost() => stop.cancel(),
                    () = stop.cancelled() => {}
                }
                // Without the lease nothing new is asked, but what was paid for is still published, however long that takes.
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = over.cancelled() => return,
                }
                tokio::select! {
                    () = tokio::time::sleep(GRACE) => over.cancel(),
                    () = over.cancelled() => {}
                }
            };
            tokio::join!(work, ends);
        }
        if shutdown.is_cancelled() {
            return Ok(());
        }
        let idle = Condition::Degraded { reason: WAITING.to_owned() };
        ports.health.set("keepa", idle, UnixMillis::now());
        tokio::select! {
            changed = leases.changed() => if changed.is_err() {
                // The consumer ended, and with it this process's part.
                shutdown.cancelled().await;
            },
            () = shutdown.cancelled() => {}
        }
    }
}

fn report_bad_lines(config: &Config) {
    let bad = &config.watchlist.bad_lines;
    for line in bad.iter().take(BAD_LINES_SHOWN) {
        tracing::warn!(line = line.number, text = line.text, "line of the watchlist is no asin and is left out");
    }
    if bad.len() > BAD_LINES_SHOWN {
        tracing::warn!(more = bad.len() - BAD_LINES_SHOWN, "further lines of the watchlist are no asins");
    }
}
