//! [`StatusBoard`]: what others need to know of the feed, in the catalog: whether it is simulated, the tokens, Keepa's condition.

use std::time::Duration;

use shared::domain::UnixMillis;
use shared::ports::Catalog;
use shared::ports::catalog::{CatalogError, Condition, StateKind, StateRecord, Version, Write, WriteOutcome};
use shared::wire::state::ProducerStatus;
use tokio::time::Instant;

/// Changes are written at most this often.
const EVERY: Duration = Duration::from_secs(5);
/// After a write that failed or met another writer's.
const SOON: Duration = Duration::from_secs(1);
const ID: &str = "producer";

/// Writes the status as it changes.
#[derive(Debug, Default)]
pub(crate) struct StatusBoard {
    version: Option<Version>,
    written: Option<ProducerStatus>,
    due: Option<Instant>,
}

impl StatusBoard {
    /// Writes the status if it differs from what was written last, and that is not just now.
    ///
    /// # Errors
    /// As the catalog's; it is tried again a second later.
    pub(crate) async fn tend(&mut self, catalog: &dyn Catalog, status: ProducerStatus, now: Instant) -> Result<(), CatalogError> {
        let is_news = self.written.as_ref().is_none_or(|written| {
            ProducerStatus {
                at: written.at,
                ..status.clone()
            } != *written
        });
        if !is_news || self.due.is_some_and(|due| due > now) {
            return Ok(());
        }
        self.due = Some(now + SOON);
        if self.version.is_none() {
            let held = catalog.read_states(StateKind::Status, &[ID.to_owned()]).await?;
            self.version = held.into_iter().flatten().next().map(|record| record.version);
        }
        let value = StateRecord {
            id: ID.to_owned(),
            group: None,
            status: None,
            at: status.at,
            body: serde_json::to_value(&status).expect("a status is a plain struct"),
        };
        let condition = self.version.take().map_or(Condition::Absent, Condition::Unchanged);
        if let Some(WriteOutcome::Written(version)) = catalog.write_states(StateKind::Status, &[Write { value, condition }]).await?.pop() {
            self.version = Some(version);
            self.written = Some(status);
            self.due = Some(now + EVERY);
        }
        Ok(())
    }
}

/// The wall clock at a beginning, moved by monotonic time: an hour's jump of the machine's clock neither floods nor starves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SteadyClock {
    wall: UnixMillis,
    since: Instant,
}

impl SteadyClock {
    pub(crate) fn starting(wall: UnixMillis, since: Instant) -> Self {
        SteadyClock { wall, since }
    }

    pub(crate) fn at(&self, now: Instant) -> UnixMillis {
        let elapsed = now.saturating_duration_since(self.since).as_millis();
        self.wall.plus_millis(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }
}
