//! Keeps the exchange rates in the catalog: looks for them when they are due or asked for, and has everything evaluated
//! again when they are new. Rates that cannot be had leave those held in their place.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::{Currency, ExchangeRates, UnixMillis};
use shared::health::{Condition as HealthCondition, Health};
use shared::ports::Catalog;
use shared::ports::catalog::{Condition, StateKind, StateRecord, Version, Write, WriteOutcome};
use shared::retry::Backoff;
use shared::wire::JobKind;
use shared::wire::state::RatesRecord;
use tokio::sync::mpsc;

use crate::basis::BasisBoard;
use crate::detect::Basis;
use crate::metrics;
use crate::patience::Patience;
use crate::rates::{is_due, replaces};
use crate::rates_source::RatesSource;
use crate::runs::{Created, Lost, OwnedRun, Runs};
use crate::sweep::{SweepRequests, own_request};

const RATES_ID: &str = "current";
/// The component on the health board.
const COMPONENT: &str = "exchange_rates";

/// Looks for rates, one look at a time.
pub(crate) struct RatesKeeper {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) patience: Patience,
    pub(crate) health: Health,
    pub(crate) board: Arc<BasisBoard>,
    pub(crate) runs: Runs,
    pub(crate) sweeps: SweepRequests,
    /// `RATES_FILE` or `ECB_RATES_URL`.
    pub(crate) configured: Option<RatesSource>,
    pub(crate) client: reqwest::Client,
    pub(crate) memory: Memory,
}

/// What this process knows of its looks so far.
pub(crate) struct Memory {
    last_found: Option<UnixMillis>,
    last_error: Option<String>,
    failures: Backoff,
    /// After a failure, no look of our own before this.
    not_before: UnixMillis,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            last_found: None,
            last_error: None,
            failures: Backoff::new(Duration::from_secs(5), Duration::from_secs(900)),
            not_before: UnixMillis(i64::MIN),
        }
    }
}

impl RatesKeeper {
    /// Works until the queue of requested runs is closed.
    pub(crate) async fn work(mut self, mut queue: mpsc::Receiver<OwnedRun>) {
        let mut basis = self.board.subscribe();
        loop {
            let present = self.board.current().await.basis;
            let Some(source) = RatesSource::choose(self.configured.as_ref(), present.simulated) else {
                // Requested runs wait as well: only the producer knows what kind of data this is.
                if basis.changed().await.is_err() {
                    return;
                }
                continue;
            };
            self.look_if_due(&source).await;
            self.show(&present);
            tokio::select! {
                requested = queue.recv() => match requested {
                    Some(mut owned) => {
                        let _ = self.carry_out(&mut owned, &source).await;
                        self.runs.put_down(&owned.run.id);
                    }
                    None => return,
                },
                // The basis is read every few seconds: time to see what is due.
                changed = basis.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    async fn look_if_due(&mut self, source: &RatesSource) {
        let now = (self.runs.clock)();
        if now < self.memory.not_before {
            return;
        }
        let held = self.read().await.and_then(|(record, _)| record);
        let failed_before = self.memory.last_error.is_some();
        if !failed_before && !is_due(held.as_ref(), source.origin(), source.is_local(), self.memory.last_found, now) {
            return;
        }
        // A failure is recorded once; further tries show in the health and the metric.
        let run = if failed_before {
            None
        } else {
            Some(self.runs.create(own_request("rates-refresh", JobKind::Rates, now)).await)
        };
        match run {
            Some(Created::Owned(mut owned)) => {
                self.runs.take_up(&owned.run.id);
                let _ = self.carry_out(&mut owned, source).await;
                self.runs.put_down(&owned.run.id);
            }
            _ => {
                let _ = self.look(source).await;
            }
        }
    }

    async fn carry_out(&mut self, owned: &mut OwnedRun, source: &RatesSource) -> Result<(), Lost> {
        self.runs.begin(owned).await?;
        let error = self.look(source).await.err();
        self.runs.finish(owned, error).await
    }

    /// One look: fetched, stored if new, everything evaluated again if so.
    async fn look(&mut self, source: &RatesSource) -> Result<(), String> {
        let now = (self.runs.clock)();
        match source.fetch(&self.client, now).await {
            Ok(rates) => {
                metrics::RATES_FETCHES.with_label_values(&["found"]).inc();
                self.memory = Memory {
                    last_found: Some(now),
                    ..Memory::default()
                };
                if self.store(&rates, now).await {
                    tracing::info!(date = %rates.date, origin = ?rates.origin, currencies = rates.units_per_eur.len(), "new exchange rates");
                    self.board.refresh().await;
                    self.sweeps.request("sweep-on-rates").await;
                }
                Ok(())
            }
            Err(error) => {
                metrics::RATES_FETCHES.with_label_values(&["failed"]).inc();
                let delay = self.memory.failures.next_delay();
                tracing::warn!(error = %error, delay_ms = delay.as_millis(), "exchange rates cannot be had: those held stay");
                self.memory.not_before = now.plus_millis(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX));
                self.memory.last_error = Some(error.to_string());
                Err(error.to_string())
            }
        }
    }

    /// Stores rates unless those held are to stay; says whether they are others than before.
    async fn store(&self, rates: &ExchangeRates, now: UnixMillis) -> bool {
        let mut retries = Backoff::for_outside_systems();
        loop {
            let (held, version) = self.read().await.map_or((None, None), |(record, version)| (record, Some(version)));
            let held = held.map(|record| record.to_rates());
            let is_new = replaces(rates, held.as_ref());
            if !is_new && held.as_ref().is_some_and(|held| held.date > rates.date) {
                tracing::warn!(found = %rates.date, "exchange rates are older than those held, which stay");
                return false;
            }
            let writes = [Write {
                value: StateRecord {
                    id: RATES_ID.into(),
                    group: None,
                    status: None,
                    at: now,
                    body: serde_json::to_value(RatesRecord::new(rates, now)).expect("rates are plain structs with string keys"),
                },
                condition: version.map_or(Condition::Absent, Condition::Unchanged),
            }];
            let outcomes = self
                .patience
                .until_answered("write rates", || self.catalog.write_states(StateKind::Rates, &writes))
                .await;
            match outcomes.into_iter().next() {
                Some(WriteOutcome::Written(_)) => return is_new,
                // Another replica, or our own write whose answer was lost: then nothing is new, and asking for another
                // sweep is the safe side.
                Some(WriteOutcome::Conflict) if is_new => {
                    if self
                        .read()
                        .await
                        .and_then(|(record, _)| record)
                        .is_some_and(|record| record == RatesRecord::new(rates, now))
                    {
                        return true;
                    }
                }
                Some(WriteOutcome::Conflict) => {}
                Some(WriteOutcome::Refused { reason }) => {
                    tracing::error!(reason, "the catalog refuses exchange rates");
                    return false;
                }
                Some(WriteOutcome::Retry { .. }) | None => tokio::time::sleep(retries.next_delay()).await,
            }
        }
    }

    async fn read(&self) -> Option<(Option<RatesRecord>, Version)> {
        let ids = [RATES_ID.to_owned()];
        let records = self
            .patience
            .until_answered("read rates", || self.catalog.read_states(StateKind::Rates, &ids))
            .await;
        let record = records.into_iter().flatten().next()?;
        Some((serde_json::from_value(record.value.body).ok(), record.version))
    }

    fn show(&self, basis: &Basis) {
        let now = (self.runs.clock)();
        self.health.set(COMPONENT, condition(basis, self.memory.last_error.as_deref(), now), now);
    }
}

/// How the rates are, for the health board.
fn condition(basis: &Basis, error: Option<&str>, now: UnixMillis) -> HealthCondition {
    let degraded = |reason: String| HealthCondition::Degraded { reason };
    let is_needed = basis.settings.markets.iter().any(|marketplace| marketplace.currency() != Currency::EUR);
    match (&basis.rates, error) {
        _ if !is_needed => HealthCondition::Up,
        (_, Some(error)) => degraded(format!("exchange rates cannot be had: {error}")),
        (None, None) => degraded("there are no exchange rates yet".into()),
        (Some(rates), None) if basis.simulated == Some(false) && rates.is_stale(now) => degraded(format!("exchange rates are of {}", rates.date)),
        (Some(_), None) => HealthCondition::Up,
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::Marketplace::{DE, IT, UK};
    use shared::domain::rates::RatesOrigin;

    use super::*;
    use crate::settings::{Rules, Settings};

    #[test]
    fn rates_that_are_missing_old_or_cannot_be_had_degrade_where_they_are_needed() {
        let now = UnixMillis(1_783_684_800_000);
        let basis = |markets: &[shared::domain::Marketplace], date: Option<&str>, simulated| Basis {
            settings: Settings::new(
                &Rules {
                    min_margin_percent: 10.into(),
                    leg_stale_after_ms: 1,
                    markets: markets.to_vec(),
                    seller: Arc::default(),
                },
                1,
            ),
            rates: date.map(|date| ExchangeRates {
                date: date.parse().unwrap(),
                origin: RatesOrigin::Ecb,
                units_per_eur: std::collections::BTreeMap::new(),
            }),
            simulated: Some(simulated),
        };
        let is_up = |basis: &Basis, error| condition(basis, error, now) == HealthCondition::Up;
        assert!(is_up(&basis(&[DE, UK], Some("2026-07-06"), false), None));
        assert!(!is_up(&basis(&[DE, UK], Some("2026-07-05"), false), None));
        assert!(is_up(&basis(&[DE, UK], Some("2026-01-09"), true), None));
        assert!(!is_up(&basis(&[DE, UK], None, false), None));
        assert!(!is_up(&basis(&[DE, UK], Some("2026-07-09"), false), Some("refused")));
        assert!(is_up(&basis(&[DE, IT], None, false), Some("refused")));
    }
}
