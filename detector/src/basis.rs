//! [`BasisBoard`]: the settings, rates and kind of data that all replicas evaluate by, read from the catalog.
//!
//! A process puts its own rules in force when it starts and goes by the catalog from then on, so that replicas agree: the
//! one that started last has the say. A request to evaluate again is worked on with a basis read after it was made.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::UnixMillis;
use shared::ports::Catalog;
use shared::ports::catalog::{CatalogError, Condition, StateKind, StateRecord, Version, Write, WriteOutcome, read_rates};
use shared::wire::state::{DetectorSettings, ProducerStatus};
use tokio::sync::{Mutex, watch};

use crate::detect::Basis;
use crate::patience::Patience;
use crate::settings::{Rules, Settings, put_in_force};

/// How old the basis may grow in a replica.
pub(crate) const REFRESH_EVERY: Duration = Duration::from_secs(5);

const SETTINGS_ID: &str = "detector";
const PRODUCER_ID: &str = "producer";

/// The machine's clock, or a test's.
pub(crate) type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// The basis and when it was read.
#[derive(Debug, Clone)]
pub(crate) struct BasisRead {
    pub(crate) basis: Arc<Basis>,
    pub(crate) at: UnixMillis,
}

/// The present basis, shared by all partitions of a process.
pub(crate) struct BasisBoard {
    catalog: Arc<dyn Catalog>,
    patience: Patience,
    rules: Rules,
    clock: Clock,
    current: watch::Sender<Option<BasisRead>>,
    /// One reading at a time; who waited finds it done.
    reading: Mutex<()>,
}

impl BasisBoard {
    pub(crate) fn new(catalog: Arc<dyn Catalog>, patience: Patience, rules: Rules, clock: Clock) -> Self {
        BasisBoard {
            catalog,
            patience,
            rules,
            clock,
            current: watch::Sender::new(None),
            reading: Mutex::default(),
        }
    }

    /// Tells of every reading.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<BasisRead>> {
        self.current.subscribe()
    }

    /// The present basis, as soon as there is one.
    pub(crate) async fn current(&self) -> BasisRead {
        let mut current = self.current.subscribe();
        let read = current.wait_for(Option::is_some).await.expect("the board holds the sender");
        read.clone().expect("waited for")
    }

    /// A basis that was read at `instant` or later.
    pub(crate) async fn read_since(&self, instant: UnixMillis) -> BasisRead {
        let current = self.current().await;
        if current.at >= instant {
            return current;
        }
        let _one_at_a_time = self.reading.lock().await;
        let current = self.current().await;
        if current.at >= instant { current } else { self.read().await }
    }

    /// Reads it anew.
    pub(crate) async fn refresh(&self) -> BasisRead {
        let _one_at_a_time = self.reading.lock().await;
        self.read().await
    }

    /// Puts this process's rules in force, then reads the basis.
    pub(crate) async fn begin(&self) -> BasisRead {
        self.put_rules_in_force().await;
        self.refresh().await
    }

    async fn read(&self) -> BasisRead {
        let at = (self.clock)();
        let settings = match self.stored_settings().await {
            Some((settings, _version)) => settings,
            // Lost or unreadable: somebody has to say it again.
            None => self.put_rules_in_force().await,
        };
        let catalog = self.catalog.as_ref();
        let rates = self.patience.until_answered("read rates", || read_rates(catalog)).await;
        let simulated = self.patience.until_answered("read the producer's status", || read_simulated(catalog)).await;
        let basis = Basis { settings, rates, simulated };
        // One that says the same stays the same: what was worked out from it still holds.
        let held = self.current.borrow().as_ref().map(|read| Arc::clone(&read.basis));
        let basis = held.filter(|held| **held == basis).unwrap_or_else(|| Arc::new(basis));
        let read = BasisRead { basis, at };
        self.current.send_replace(Some(read.clone()));
        read
    }

    async fn put_rules_in_force(&self) -> Settings {
        loop {
            let records = self.read_settings_record().await;
            let stored = records.as_ref().and_then(|(settings, _)| settings.clone());
            let now = (self.clock)();
            let Some(settings) = put_in_force(&self.rules, stored.as_ref(), now) else {
                return stored.expect("only stored rules can be in force");
            };
            let write = Write {
                value: StateRecord {
                    id: SETTINGS_ID.into(),
                    group: None,
                    status: None,
                    at: now,
                    body: serde_json::to_value(settings.to_wire()).expect("settings are plain"),
                },
                condition: records.map_or(Condition::Absent, |(_, version)| Condition::Unchanged(version)),
            };
            let writes = [write];
            let outcomes = self
                .patience
                .until_answered("write settings", || self.catalog.write_states(StateKind::Settings, &writes))
                .await;
            match outcomes.into_iter().next() {
                Some(WriteOutcome::Written(_)) => {
                    tracing::info!(version = settings.version, min_margin_percent = %settings.min_margin_percent, markets = ?settings.markets, "settings are in force");
                    return settings;
                }
                // Somebody else wrote, or our own write arrived after all: read again.
                Some(WriteOutcome::Conflict) => {}
                outcome @ (Some(WriteOutcome::Retry { .. } | WriteOutcome::Refused { .. }) | None) => {
                    tracing::warn!(?outcome, "settings were not written and are written again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn stored_settings(&self) -> Option<(Settings, Version)> {
        let (settings, version) = self.read_settings_record().await?;
        Some((settings?, version))
    }

    /// The record's version, and the settings in it where they can be read.
    async fn read_settings_record(&self) -> Option<(Option<Settings>, Version)> {
        let ids = [SETTINGS_ID.to_owned()];
        let records = self
            .patience
            .until_answered("read settings", || self.catalog.read_states(StateKind::Settings, &ids))
            .await;
        let record = records.into_iter().flatten().next()?;
        let document = serde_json::from_value::<DetectorSettings>(record.value.body).ok();
        Some((document.as_ref().and_then(Settings::from_wire), record.version))
    }
}

async fn read_simulated(catalog: &dyn Catalog) -> Result<Option<bool>, CatalogError> {
    let records = catalog.read_states(StateKind::Status, &[PRODUCER_ID.to_owned()]).await?;
    let record = records.into_iter().flatten().next();
    Ok(record
        .and_then(|record| serde_json::from_value::<ProducerStatus>(record.value.body).ok())
        .map(|status| status.simulated))
}
