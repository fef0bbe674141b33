//! Alerts: who is told what happened, where, and how often at most.
//!
//! Group `alerts` reads `alerts.opportunities`. What happens to an opportunity is decided in the one member that owns its
//! partition (`judge.rs`): rules in force (`rules.rs`), what each told before, a pure decision (`decide.rs`), written
//! conditionally, then a delivery created under its idempotency key; then the offset goes. From there on the catalog has it:
//! `deliver.rs` sends what is due, writes what became of it, and tries again (`backoff.rs`). Several replicas may do so at
//! once: an attempt belongs to the one that wrote it down first.
//!
//! Guarantees: an alert is sent at least once. It is repeated at most once per crash, between the channel's answer and its
//! record, and then under the same idempotency key. What a digest collects is in exactly one digest.

mod backoff;
mod channels;
mod config;
mod decide;
mod deliver;
mod judge;
mod message;
mod records;
mod rules;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use shared::health::Health;
use shared::ports::Catalog;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::basis::{BasisBoard, Clock};
use crate::patience::Patience;

pub use config::AlertsConfig;
pub(crate) use deliver::Deliverer;
pub(crate) use judge::Judge;
pub(crate) use rules::RuleBoard;

/// Deliveries handed over at once; what does not fit is found by the next look.
const QUEUE: usize = 1_000;
/// How soon a new or changed rule is in force.
pub(crate) const REFRESH_EVERY: Duration = Duration::from_secs(2);

/// The parts, wired.
pub(crate) struct Alerts {
    pub(crate) judge: Judge,
    pub(crate) deliverer: Deliverer,
    pub(crate) fresh: mpsc::Receiver<String>,
    pub(crate) rules: Arc<RuleBoard>,
}

impl Alerts {
    /// # Errors
    /// If the TLS library cannot be set up.
    pub(crate) fn new(
        config: &AlertsConfig,
        catalog: Arc<dyn Catalog>,
        patience: Patience,
        health: Health,
        basis: Arc<BasisBoard>,
        clock: Clock,
    ) -> reqwest::Result<Alerts> {
        let records = records::Records::new(catalog, patience);
        let rules = Arc::new(RuleBoard::new(records.clone(), config.clone(), Arc::clone(&clock)));
        let (told, fresh) = mpsc::channel(QUEUE);
        Ok(Alerts {
            judge: Judge {
                records: records.clone(),
                rules: Arc::clone(&rules),
                basis,
                clock: Arc::clone(&clock),
                fresh: told,
            },
            deliverer: Deliverer::new(
                records,
                Arc::clone(&rules),
                config.clone(),
                channels::client()?,
                health,
                clock,
                Arc::new(|| rand::rng().random_range(0..1_000)),
            ),
            fresh,
            rules,
        })
    }
}

/// Puts the file's rules in force and keeps the board of rules fresh.
pub(crate) async fn keep_rules(rules: &RuleBoard) {
    rules.begin().await;
    loop {
        tokio::time::sleep(REFRESH_EVERY).await;
        rules.refresh().await;
    }
}

/// Sends until `stop`; what is on its way then may be finished.
pub(crate) async fn deliver(deliverer: Deliverer, fresh: mpsc::Receiver<String>, stop: CancellationToken) {
    /// Less than a process may drain.
    const FINISH: Duration = Duration::from_secs(3);
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(FINISH).await;
    };
    tokio::select! {
        () = deliverer.work(fresh, &stop) => {}
        () = too_late => tracing::warn!("messages on their way are left behind: they are sent again under the same idempotency key"),
    }
}
