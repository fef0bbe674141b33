//! A new index in the place of the one in use, on a real Elasticsearch.

mod faults;
mod load;

use std::sync::Arc;

use elasticsearch::http::Method;
use serde_json::{Value, json};
use shared::adapters::elastic::reindex::{Documents, Plan, ReindexError, Reindexed, Step};
use shared::adapters::elastic::{ElasticCatalog, ElasticConfig};
use shared::domain::{Asin, OpportunityId, StoredProduct};
use shared::ports::Catalog as _;
use tokio_util::sync::CancellationToken;

use super::indices::operate;
use super::samples::{asin, opportunities, product_query, products};
use super::{all_written, creates, elasticsearch, update};

/// A catalog of its own.
pub(super) struct Own {
    pub(super) config: ElasticConfig,
    pub(super) catalog: Arc<ElasticCatalog>,
}

impl Own {
    /// None where there is no server.
    pub(super) async fn prepared(test: &str) -> Option<Own> {
        let config = elasticsearch(test)?;
        let catalog = Arc::new(ElasticCatalog::connect(config.clone()).unwrap());
        catalog.prepare().await.unwrap();
        Some(Own { config, catalog })
    }

    pub(super) fn products(&self) -> String {
        format!("{}products", self.config.index_prefix)
    }

    /// As a command of its own does it.
    pub(super) async fn reindex(&self, plan: &Plan, report: &mut (dyn FnMut(Step) + Send)) -> Result<Reindexed, ReindexError> {
        let command = ElasticCatalog::connect(self.config.clone()).unwrap();
        let done = command.reindex(plan, &CancellationToken::new(), report).await?;
        Ok(done.expect("a new index"))
    }

    /// The index behind `products` and all of its aliases.
    pub(super) async fn current(&self) -> (String, Vec<String>) {
        let (status, text) = operate(&self.config, Method::Get, &format!("/{}/_alias", self.products()), None).await;
        assert_eq!(status, 200, "{text}");
        let indices: Value = serde_json::from_str(&text).unwrap();
        let indices = indices.as_object().unwrap();
        assert_eq!(indices.len(), 1, "{text}");
        let (index, aliases) = indices.iter().next().unwrap();
        (index.clone(), aliases["aliases"].as_object().unwrap().keys().cloned().collect())
    }

    pub(super) async fn write(&self, stored: &[StoredProduct]) {
        for stored in stored.chunks(1_000) {
            all_written(&self.catalog.write_products(&creates(stored)).await.unwrap());
        }
    }

    /// All products have to be these.
    pub(super) async fn holds(&self, expected: &[StoredProduct]) {
        let fresh = ElasticCatalog::connect(self.config.clone()).unwrap();
        let asins: Vec<Asin> = expected.iter().map(|stored| stored.product.asin).collect();
        let read = fresh.read_products(&asins).await.unwrap();
        for (read, expected) in read.into_iter().zip(expected) {
            assert_eq!(read.map(|read| read.value).as_ref(), Some(expected));
        }
        fresh.refresh().await.unwrap();
        let found = fresh.search_products(&product_query()).await.unwrap();
        assert_eq!(found.total.value, expected.len() as u64);
    }

    /// A product is changed, on the version that it has.
    pub(super) async fn takes_writes(&self, stored: &mut StoredProduct) {
        let read = self.catalog.read_products(std::slice::from_ref(&stored.product.asin)).await.unwrap().remove(0);
        stored.revision += 1;
        let write = update(stored.clone(), read.expect("it is there").version);
        all_written(&self.catalog.write_products(&[write]).await.unwrap());
    }

    pub(super) async fn remove(self) {
        self.catalog.remove_everything().await.unwrap();
    }
}

/// Made-up products with small revisions.
pub(super) fn some(seed: u64, count: usize) -> Vec<StoredProduct> {
    let mut stored = products(seed, count);
    for (revision, stored) in (1..).zip(&mut stored) {
        stored.revision = revision;
    }
    stored
}

#[tokio::test]
async fn all_documents_are_in_the_new_index_as_the_present_code_writes_them() {
    let Some(own) = Own::prepared("all_documents_are_in_the_new_index_as_the_present_code_writes_them").await else {
        return;
    };
    let mut stored = some(1, 1_200);
    own.write(&stored[1..]).await;
    // Written before there were words to search by.
    let mut source: Value = json!({"asin": stored[0].product.asin, "revision": 1, "title": "Gramophone", "first_seen": 1, "last_updated": 1, "markets": {}});
    let path = format!("/{}/_doc/{}", own.products(), stored[0].product.asin);
    let (status, text) = operate(&own.config, Method::Put, &path, Some(source.take())).await;
    assert_eq!(status, 201, "{text}");
    stored[0] = own.catalog.read_products(&[asin(0)]).await.unwrap().remove(0).unwrap().value;
    let query = shared::ports::catalog::ProductQuery {
        text: Some("gramophone".into()),
        ..product_query()
    };
    own.catalog.refresh().await.unwrap();
    assert_eq!(own.catalog.search_products(&query).await.unwrap().items, []);

    let mut steps = Vec::new();
    let plan = Plan::of(Documents::Products);
    let done = own.reindex(&plan, &mut |step| steps.push(step)).await.unwrap();
    let v = |number: u32| format!("{}-v{number}", own.products());
    assert_eq!((&done.from, &done.to, done.documents), (&v(1), &v(2), 1_200));
    assert_eq!(steps.first(), Some(&Step::Began));
    assert!(steps.contains(&Step::Copied { pass: 1, documents: 1_200 }), "{steps:?}");
    assert_eq!(steps.last(), Some(&Step::Swapped));
    assert_eq!(own.current().await, (v(2), vec![own.products(), format!("{}-versioned", v(2))]));
    own.holds(&stored).await;
    own.takes_writes(&mut stored[5]).await;
    assert_eq!(own.catalog.search_products(&query).await.unwrap().items, [stored[0].clone()]);
    // What is still on its way to the old index is refused, not lost.
    let (status, text) = operate(&own.config, Method::Put, &format!("/{}/_doc/late", v(1)), Some(json!({"asin": "B000000000"}))).await;
    assert_eq!(status, 403, "{text}");
    // And again, to a number of one's own choice.
    let plan = Plan { to: Some(7), ..plan };
    assert_eq!(own.reindex(&plan, &mut |_| {}).await.unwrap().to, v(7));
    own.holds(&stored).await;
    let again = own.catalog.reindex(&plan, &CancellationToken::new(), &mut |_| {}).await.unwrap();
    assert_eq!(again, None, "it is in use");
    let refused = own.reindex(&Plan { to: Some(6), ..plan }, &mut |_| {}).await;
    assert!(matches!(refused, Err(ReindexError::Target { .. })), "{refused:?}");
    own.remove().await;
}

#[tokio::test]
async fn opportunities_keep_their_first_seen_their_events_and_their_evaluations() {
    let Some(own) = Own::prepared("opportunities_keep_their_first_seen_their_events_and_their_evaluations").await else {
        return;
    };
    let stored = opportunities(3, 40);
    all_written(&own.catalog.write_opportunities(&creates(&stored)).await.unwrap());
    let done = own.reindex(&Plan::of(Documents::Opportunities), &mut |_| {}).await.unwrap();
    assert_eq!(done.documents, stored.len() as u64);
    assert!(done.to.ends_with("opportunities-v2"), "{done:?}");
    let ids: Vec<OpportunityId> = stored.iter().map(|opportunity| opportunity.id).collect();
    let read = own.catalog.read_opportunities(&ids).await.unwrap();
    assert!(read.iter().flatten().all(|read| *read.version.index == *done.to));
    let read: Vec<_> = read.into_iter().map(|read| read.expect("it is there").value).collect();
    assert_eq!(read, stored);
    own.remove().await;
}

#[tokio::test]
async fn an_empty_catalog_is_rebuilt_too() {
    let Some(own) = Own::prepared("an_empty_catalog_is_rebuilt_too").await else {
        return;
    };
    assert_eq!(own.reindex(&Plan::of(Documents::Products), &mut |_| {}).await.unwrap().documents, 0);
    own.write(&some(1, 3)).await;
    own.holds(&some(1, 3)).await;
    own.remove().await;
}
