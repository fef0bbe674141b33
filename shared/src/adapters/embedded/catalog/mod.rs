//! The catalog on SQLite, through `libsql` with FTS5: one file, nothing to install.
//!
//! - *Durable.* WAL with `synchronous=FULL`: `Written` is on the disk.
//! - *Conditional.* One connection writes, one transaction per call; a counter per collection is the sequence number.
//! - *Reads never wait for writes.* A few connections of their own see what was committed before.
//! - SQLite blocks, so everything runs on threads that may; a call that is given up still ends its transaction.
//!
//! ```
//! # async fn example(path: &std::path::Path) -> Result<(), shared::ports::catalog::CatalogError> {
//! use shared::adapters::embedded::catalog::EmbeddedCatalog;
//! use shared::ports::Catalog;
//! let catalog = EmbeddedCatalog::open(path).await?;
//! assert_eq!(catalog.read_products(&["B0D1XD1ZV3".parse().unwrap()]).await?, [None]);
//! # Ok(()) }
//! # let folder = tempfile::tempdir().unwrap();
//! # tokio::runtime::Runtime::new().unwrap().block_on(example(&folder.path().join("catalog.db"))).unwrap();
//! ```

mod connection;
mod filter;
mod opportunities;
mod products;
mod schema;
mod states;
mod statistics;
mod table;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use libsql::Connection;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard};

use self::connection::{Session, classify, transaction};
use self::table::{RowWrite, Table};
use crate::domain::{Asin, ListedOpportunity, Opportunity, OpportunityId, StoredProduct, UnixMillis};
use crate::ports::Catalog;
use crate::ports::catalog::{
    CatalogError, Facets, OpportunityQuery, Page, ProductQuery, StateKind, StateQuery, StateRecord, Statistics, Versioned, Write, WriteOutcome,
};

/// Connections that read at the same time; more would only queue for the processor.
const READERS: usize = 4;

/// A [`Catalog`] in one SQLite file. The file belongs to one process at a time.
pub struct EmbeddedCatalog {
    path: PathBuf,
    writer: Arc<Mutex<Session>>,
    readers: Vec<Arc<Mutex<Session>>>,
    next_reader: AtomicUsize,
}

impl fmt::Debug for EmbeddedCatalog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EmbeddedCatalog").field("path", &self.path).finish_non_exhaustive()
    }
}

impl EmbeddedCatalog {
    /// Opens the file, or makes it; its folder has to be there. Tables are made or migrated, so it is ready for use.
    ///
    /// # Errors
    /// `Misconfigured`, naming the file, if it cannot be opened or written, is no catalog, or of a newer version;
    /// `Unavailable` while another process holds it locked.
    pub async fn open(path: &Path) -> Result<EmbeddedCatalog, CatalogError> {
        let opened = path.to_owned();
        blocking(async move || {
            let writer = Session::open(&opened).await?;
            schema::migrate(&writer.connection).await?;
            let mut readers = Vec::with_capacity(READERS);
            for _ in 0..READERS {
                readers.push(Arc::new(Mutex::new(Session::open_reader(&opened).await?)));
            }
            Ok(EmbeddedCatalog {
                path: opened,
                writer: Arc::new(Mutex::new(writer)),
                readers,
                next_reader: AtomicUsize::new(0),
            })
        })
        .await
    }

    async fn write<T: Send + 'static>(&self, work: impl AsyncFnOnce(&Connection) -> Result<T, CatalogError> + Send + 'static) -> Result<T, CatalogError> {
        let session = Arc::clone(&self.writer).lock_owned().await;
        blocking(async move || work(&session.connection).await).await
    }

    async fn read<T: Send + 'static>(&self, work: impl AsyncFnOnce(&Connection) -> Result<T, CatalogError> + Send + 'static) -> Result<T, CatalogError> {
        let session = self.reader().await;
        blocking(async move || work(&session.connection).await).await
    }

    async fn reader(&self) -> OwnedMutexGuard<Session> {
        let first = self.next_reader.fetch_add(1, Ordering::Relaxed);
        let reader = |offset: usize| Arc::clone(&self.readers[first.wrapping_add(offset) % self.readers.len()]);
        for offset in 0..self.readers.len() {
            if let Ok(free) = reader(offset).try_lock_owned() {
                return free;
            }
        }
        reader(0).lock_owned().await
    }

    async fn write_rows<T, R>(&self, table: Table, writes: &[Write<T>], row: R) -> Result<Vec<WriteOutcome>, CatalogError>
    where
        T: Clone + Send + 'static,
        R: Fn(Write<T>) -> RowWrite + Send + 'static,
    {
        let writes = writes.to_vec();
        // Serialized before the lock is taken: the writer only writes.
        let rows = blocking(async move || Ok(writes.into_iter().map(row).collect::<Vec<_>>())).await?;
        self.write(async move |connection| table::write(connection, &table, rows).await).await
    }
}

/// Runs work that blocks on a thread that may, to its end, also if the caller goes away.
async fn blocking<T: Send + 'static>(work: impl AsyncFnOnce() -> Result<T, CatalogError> + Send + 'static) -> Result<T, CatalogError> {
    let handle = Handle::current();
    let task = tokio::task::spawn_blocking(move || handle.block_on(work()));
    task.await.unwrap_or_else(|error| {
        Err(CatalogError::Unavailable {
            reason: format!("the catalog's thread did not finish: {error}"),
        })
    })
}

#[async_trait]
impl Catalog for EmbeddedCatalog {
    async fn prepare(&self) -> Result<(), CatalogError> {
        self.write(async |connection| schema::migrate(connection).await).await
    }

    async fn check(&self) -> Result<(), CatalogError> {
        // A write to the disk, since that is what fails when it is full or gone.
        self.write(async |connection| {
            transaction(connection, "BEGIN IMMEDIATE", async || {
                connection
                    .execute(
                        "INSERT INTO probe (id, checks) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET checks = checks + 1",
                        (),
                    )
                    .await
                    .map_err(classify)?;
                Ok(())
            })
            .await
        })
        .await
    }

    async fn read_products(&self, asins: &[Asin]) -> Result<Vec<Option<Versioned<StoredProduct>>>, CatalogError> {
        let asins = asins.to_vec();
        self.read(async move |connection| products::read(connection, &asins).await).await
    }

    async fn write_products(&self, writes: &[Write<StoredProduct>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.write_rows(products::table(), writes, |write| products::row(&write)).await
    }

    async fn search_products(&self, query: &ProductQuery) -> Result<Page<StoredProduct>, CatalogError> {
        let query = query.clone();
        self.read(async move |connection| products::search(connection, &query).await).await
    }

    async fn read_opportunities(&self, ids: &[OpportunityId]) -> Result<Vec<Option<Versioned<Opportunity>>>, CatalogError> {
        let ids = ids.to_vec();
        self.read(async move |connection| opportunities::read(connection, &ids).await).await
    }

    async fn write_opportunities(&self, writes: &[Write<Opportunity>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.write_rows(opportunities::table(), writes, opportunities::row).await
    }

    async fn search_opportunities(&self, query: &OpportunityQuery) -> Result<Page<Opportunity>, CatalogError> {
        let query = query.clone();
        self.read(async move |connection| opportunities::search(connection, &query).await).await
    }

    async fn list_opportunities(&self, query: &OpportunityQuery) -> Result<Page<ListedOpportunity>, CatalogError> {
        let query = query.clone();
        self.read(async move |connection| opportunities::search(connection, &query).await).await
    }

    async fn statistics(&self, priced_after: UnixMillis, legs_since: UnixMillis) -> Result<Statistics, CatalogError> {
        self.read(async move |connection| statistics::compute(connection, priced_after, legs_since).await)
            .await
    }

    async fn facets(&self, legs_since: UnixMillis) -> Result<Facets, CatalogError> {
        self.read(async move |connection| statistics::facets(connection, legs_since).await).await
    }

    async fn read_states(&self, kind: StateKind, ids: &[String]) -> Result<Vec<Option<Versioned<StateRecord>>>, CatalogError> {
        let ids = ids.to_vec();
        self.read(async move |connection| states::read(connection, kind, &ids).await).await
    }

    async fn write_states(&self, kind: StateKind, writes: &[Write<StateRecord>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.write_rows(states::table(kind), writes, move |write| states::row(kind, write)).await
    }

    async fn list_states(&self, kind: StateKind, query: &StateQuery) -> Result<Page<Versioned<StateRecord>>, CatalogError> {
        let query = query.clone();
        self.read(async move |connection| states::list(connection, kind, &query).await).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;
    use crate::ports::catalog::Condition;

    async fn catalog(folder: &tempfile::TempDir) -> EmbeddedCatalog {
        EmbeddedCatalog::open(&folder.path().join("catalog.db")).await.unwrap()
    }

    fn records(count: usize) -> Vec<Write<StateRecord>> {
        let record = |number| StateRecord {
            id: format!("{number}"),
            group: None,
            status: None,
            at: UnixMillis(0),
            body: json!({"filler": "x".repeat(1_000)}),
        };
        (0..count)
            .map(|number| Write {
                value: record(number),
                condition: Condition::Absent,
            })
            .collect()
    }

    #[tokio::test]
    async fn a_full_disk_is_a_configuration_fault_that_writes_nothing_and_is_cured() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog(&folder).await;
        let limit = async |pages: u32| {
            let writer = catalog.writer.lock().await;
            writer
                .connection
                .query(&format!("PRAGMA max_page_count = {pages}"), ())
                .await
                .unwrap()
                .next()
                .await
                .unwrap();
        };
        limit(60).await;
        let error = catalog.write_states(StateKind::Runs, &records(2_000)).await.unwrap_err();
        assert!(matches!(error, CatalogError::Misconfigured { .. }), "{error}");
        assert_eq!(catalog.read_states(StateKind::Runs, &["0".into()]).await.unwrap(), [None]);
        limit(1_000_000).await;
        let outcomes = catalog.write_states(StateKind::Runs, &records(2_000)).await.unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, WriteOutcome::Written(_))));
    }

    #[tokio::test]
    async fn a_file_locked_by_another_process_is_waited_for_only_shortly() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog(&folder).await;
        catalog.writer.lock().await.connection.busy_timeout(Duration::from_millis(20)).unwrap();
        let other = Session::open(&folder.path().join("catalog.db")).await.unwrap();
        other.connection.execute("BEGIN IMMEDIATE", ()).await.unwrap();
        let start = Instant::now();
        for result in [catalog.check().await, catalog.write_states(StateKind::Runs, &records(1)).await.map(|_| ())] {
            assert!(matches!(result, Err(CatalogError::Unavailable { .. })), "{result:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(3));
        // Reads go on.
        assert_eq!(catalog.read_states(StateKind::Runs, &["0".into()]).await.unwrap(), [None]);
        other.connection.execute("ROLLBACK", ()).await.unwrap();
        catalog.check().await.unwrap();
    }
}
