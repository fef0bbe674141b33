//! A catalog that fails when told to.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use shared::adapters::embedded::catalog::EmbeddedCatalog;
use shared::domain::{Asin, ListedOpportunity, Opportunity, OpportunityId, StoredProduct, UnixMillis};
use shared::ports::Catalog;
use shared::ports::catalog::{
    CatalogError, Facets, OpportunityQuery, Page, ProductQuery, StateKind, StateQuery, StateRecord, Statistics, Versioned, Write, WriteOutcome,
};

/// The embedded catalog, with a number of failures to come.
pub(crate) struct FlakyCatalog {
    inner: EmbeddedCatalog,
    failing_reads: AtomicU32,
    failing_writes: AtomicU32,
    conflicting_writes: AtomicU32,
}

fn take_one(counter: &AtomicU32) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn away() -> CatalogError {
    CatalogError::Unavailable { reason: "told to fail".into() }
}

impl FlakyCatalog {
    pub(crate) fn new(inner: EmbeddedCatalog) -> FlakyCatalog {
        FlakyCatalog {
            inner,
            failing_reads: AtomicU32::new(0),
            failing_writes: AtomicU32::new(0),
            conflicting_writes: AtomicU32::new(0),
        }
    }

    /// The next reads of state records fail.
    pub(crate) fn fail_reads(&self, count: u32) {
        self.failing_reads.store(count, Ordering::SeqCst);
    }

    /// The next writes of state records are lost, with an unknown outcome.
    pub(crate) fn fail_writes(&self, count: u32) {
        self.failing_writes.store(count, Ordering::SeqCst);
    }

    /// The next writes of state records find that somebody else wrote.
    pub(crate) fn conflict_writes(&self, count: u32) {
        self.conflicting_writes.store(count, Ordering::SeqCst);
    }
}

#[async_trait]
impl Catalog for FlakyCatalog {
    async fn prepare(&self) -> Result<(), CatalogError> {
        self.inner.prepare().await
    }

    async fn check(&self) -> Result<(), CatalogError> {
        self.inner.check().await
    }

    async fn read_products(&self, asins: &[Asin]) -> Result<Vec<Option<Versioned<StoredProduct>>>, CatalogError> {
        self.inner.read_products(asins).await
    }

    async fn write_products(&self, writes: &[Write<StoredProduct>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.inner.write_products(writes).await
    }

    async fn search_products(&self, query: &ProductQuery) -> Result<Page<StoredProduct>, CatalogError> {
        self.inner.search_products(query).await
    }

    async fn read_opportunities(&self, ids: &[OpportunityId]) -> Result<Vec<Option<Versioned<Opportunity>>>, CatalogError> {
        self.inner.read_opportunities(ids).await
    }

    async fn write_opportunities(&self, writes: &[Write<Opportunity>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.inner.write_opportunities(writes).await
    }

    async fn search_opportunities(&self, query: &OpportunityQuery) -> Result<Page<Opportunity>, CatalogError> {
        self.inner.search_opportunities(query).await
    }

    async fn list_opportunities(&self, query: &OpportunityQuery) -> Result<Page<ListedOpportunity>, CatalogError> {
        self.inner.list_opportunities(query).await
    }

    async fn statistics(&self, priced_after: UnixMillis, legs_since: UnixMillis) -> Result<Statistics, CatalogError> {
        self.inner.statistics(priced_after, legs_since).await
    }

    async fn facets(&self, legs_since: UnixMillis) -> Result<Facets, CatalogError> {
        self.inner.facets(legs_since).await
    }

    async fn read_states(&self, kind: StateKind, ids: &[String]) -> Result<Vec<Option<Versioned<StateRecord>>>, CatalogError> {
        if take_one(&self.failing_reads) {
            return Err(away());
        }
        self.inner.read_states(kind, ids).await
    }

    async fn write_states(&self, kind: StateKind, writes: &[Write<StateRecord>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        if take_one(&self.failing_writes) {
            return Err(away());
        }
        if take_one(&self.conflicting_writes) {
            return Ok(vec![WriteOutcome::Conflict; writes.len()]);
        }
        self.inner.write_states(kind, writes).await
    }

    async fn list_states(&self, kind: StateKind, query: &StateQuery) -> Result<Page<Versioned<StateRecord>>, CatalogError> {
        self.inner.list_states(kind, query).await
    }
}
