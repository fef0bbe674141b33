//! A catalog that nobody waits for longer than a process may take to end.
//!
//! Work in hand may finish for a while after the shutdown. What is not answered by then fails as a catalog that is away
//! does, with which every caller deals: nothing it has not confirmed counts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::Catalog;
use super::catalog::{
    CatalogError, Facets, OpportunityQuery, Page, ProductQuery, StateKind, StateQuery, StateRecord, Statistics, Versioned, Write, WriteOutcome,
};
use crate::domain::{Asin, ListedOpportunity, Opportunity, OpportunityId, StoredProduct, UnixMillis};

/// Passes calls on to the catalog inside, until it is too late.
pub struct EndingCatalog {
    inner: Arc<dyn Catalog>,
    shutdown: CancellationToken,
    grace: Duration,
}

impl EndingCatalog {
    /// Calls that are not answered `grace` after `shutdown` fail.
    pub fn new(inner: Arc<dyn Catalog>, shutdown: CancellationToken, grace: Duration) -> EndingCatalog {
        EndingCatalog { inner, shutdown, grace }
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, CatalogError>>) -> Result<T, CatalogError> {
        let too_late = async {
            self.shutdown.cancelled().await;
            tokio::time::sleep(self.grace).await;
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            () = too_late => Err(CatalogError::Unavailable { reason: "it did not answer before the process ended".to_owned() }),
        }
    }
}

#[async_trait]
impl Catalog for EndingCatalog {
    async fn prepare(&self) -> Result<(), CatalogError> {
        self.in_time(self.inner.prepare()).await
    }

    async fn check(&self) -> Result<(), CatalogError> {
        self.in_time(self.inner.check()).await
    }

    async fn read_products(&self, asins: &[Asin]) -> Result<Vec<Option<Versioned<StoredProduct>>>, CatalogError> {
        self.in_time(self.inner.read_products(asins)).await
    }

    async fn write_products(&self, writes: &[Write<StoredProduct>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.in_time(self.inner.write_products(writes)).await
    }

    async fn search_products(&self, query: &ProductQuery) -> Result<Page<StoredProduct>, CatalogError> {
        self.in_time(self.inner.search_products(query)).await
    }

    async fn read_opportunities(&self, ids: &[OpportunityId]) -> Result<Vec<Option<Versioned<Opportunity>>>, CatalogError> {
        self.in_time(self.inner.read_opportunities(ids)).await
    }

    async fn write_opportunities(&self, writes: &[Write<Opportunity>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.in_time(self.inner.write_opportunities(writes)).await
    }

    async fn search_opportunities(&self, query: &OpportunityQuery) -> Result<Page<Opportunity>, CatalogError> {
        self.in_time(self.inner.search_opportunities(query)).await
    }

    async fn list_opportunities(&self, query: &OpportunityQuery) -> Result<Page<ListedOpportunity>, CatalogError> {
        self.in_time(self.inner.list_opportunities(query)).await
    }

    async fn statistics(&self, priced_after: UnixMillis, legs_since: UnixMillis) -> Result<Statistics, CatalogError> {
        self.in_time(self.inner.statistics(priced_after, legs_since)).await
    }

    async fn facets(&self, legs_since: UnixMillis) -> Result<Facets, CatalogError> {
        self.in_time(self.inner.facets(legs_since)).await
    }

    async fn read_states(&self, kind: StateKind, ids: &[String]) -> Result<Vec<Option<Versioned<StateRecord>>>, CatalogError> {
        self.in_time(self.inner.read_states(kind, ids)).await
    }

    async fn write_states(&self, kind: StateKind, writes: &[Write<StateRecord>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.in_time(self.inner.write_states(kind, writes)).await
    }

    async fn list_states(&self, kind: StateKind, query: &StateQuery) -> Result<Page<Versioned<StateRecord>>, CatalogError> {
        self.in_time(self.inner.list_states(kind, query)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::elastic::{ElasticCatalog, ElasticConfig};

    /// Guard: the race with the shutdown; taken out: the call ends with its own time limit, half a minute later.
    #[tokio::test(start_paused = true)]
    async fn t28_a_call_that_is_not_answered_ends_soon_after_the_shutdown() {
        // Connections are taken by the system and never by anybody here.
        let deaf = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", deaf.local_addr().expect("it is bound")).parse().expect("a URL");
        let inner = Arc::new(ElasticCatalog::connect(ElasticConfig::open(url)).expect("a client"));
        let shutdown = CancellationToken::new();
        let catalog = EndingCatalog::new(inner, shutdown.clone(), Duration::from_secs(4));
        let began = tokio::time::Instant::now();
        shutdown.cancel();
        let error = catalog.check().await.expect_err("nobody answers");
        assert!(matches!(error, CatalogError::Unavailable { .. }), "{error}");
        assert_eq!(began.elapsed().as_secs(), 4);
    }
}
