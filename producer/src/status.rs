//! [`StatusBoard`]: what others need to know of the feed, in the catalog: whether it is simulated, the tokens, Keepa's condition.

use std::time::Duration;

use shared::domain::UnixMillis;
use shared::ports::Catalog;
use shared::ports::catalog::{CatalogError, Condition, StateKind, StateRecord, Version, Write, WriteOutcome};
use shared::wire::state::ProducerStatus;
use tokio::time::Instant;

/// Changes are written at most this often.
const EVERY: Duration = Duration::from_secs(5);
/// A status without news is written this often: one that is much older means that nobody asks.
const HEARTBEAT_MS: i64 = 60_000;
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
                || status.at.millis_since(written.at) >= HEARTBEAT_MS
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

/// Refuses a catalog that was filled from the other kind of source: prices that people trade on never mix with made-up ones.
///
/// # Errors
/// `Misconfigured` if it was; otherwise as the catalog's reads.
pub(crate) async fn refuse_mixed_data(catalog: &dyn Catalog, simulated: bool) -> Result<(), CatalogError> {
    let held = catalog.read_states(StateKind::Status, &[ID.to_owned()]).await?;
    let record = held.into_iter().flatten().next();
    // A status that cannot be read says nothing, and is about to be written anew.
    let status = record.and_then(|record| serde_json::from_value::<ProducerStatus>(record.value.body).ok());
    match status {
        Some(status) if status.simulated != simulated => {
            let (holds, asks) = if simulated {
                ("real", "the simulator is asked")
            } else {
                ("simulated", "the real Keepa is asked")
            };
            Err(CatalogError::Misconfigured {
                reason: format!("it holds {holds} data and {asks}: use an INDEX_PREFIX and a TOPIC_PREFIX of their own for either"),
            })
        }
        _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use shared::adapters::embedded::catalog::EmbeddedCatalog;

    use super::*;

    fn status(simulated: bool, at: i64) -> ProducerStatus {
        ProducerStatus {
            simulated,
            tokens_left: Some(1),
            refill_rate: Some(20),
            keepa: "up".into(),
            at: UnixMillis(at),
        }
    }

    #[tokio::test]
    async fn a_catalog_of_simulated_data_is_refused_to_a_producer_of_real_data_and_the_reverse() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = EmbeddedCatalog::open(&folder.path().join("catalog.db")).await.unwrap();
        assert!(refuse_mixed_data(&catalog, true).await.is_ok(), "an empty catalog takes either");
        StatusBoard::default().tend(&catalog, status(true, 0), Instant::now()).await.unwrap();
        assert!(refuse_mixed_data(&catalog, true).await.is_ok());
        let error = refuse_mixed_data(&catalog, false).await.unwrap_err().to_string();
        assert!(error.contains("INDEX_PREFIX") && error.contains("simulated"), "{error}");
    }

    #[tokio::test]
    async fn a_status_without_news_is_written_once_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = EmbeddedCatalog::open(&folder.path().join("catalog.db")).await.unwrap();
        let mut board = StatusBoard::default();
        let start = Instant::now();
        let mut written = Vec::new();
        for second in [0, 10, 59, 60, 61] {
            board
                .tend(&catalog, status(false, second * 1_000), start + Duration::from_secs(second.unsigned_abs()))
                .await
                .unwrap();
            written.push(board.written.as_ref().unwrap().at.0 / 1_000);
        }
        assert_eq!(written, [0, 0, 0, 60, 60]);
    }
}
