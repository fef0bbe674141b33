//! An API over a catalog in a temporary folder, with a clock and an outage that tests control.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use api::{Api, Config, app};
use async_trait::async_trait;
use poem::http::{HeaderMap, Method};
use poem::{Endpoint, Request, Response};
use serde_json::Value;
use shared::adapters::embedded::catalog::EmbeddedCatalog;
use shared::config::Environment;
use shared::domain::{Asin, ListedOpportunity, Opportunity, OpportunityId, StoredProduct, UnixMillis};
use shared::health::Health;
use shared::ports::Catalog;
use shared::ports::catalog::{
    CatalogError, Condition, Facets, OpportunityQuery, Page, ProductQuery, StateKind, StateQuery, StateRecord, Statistics, Versioned, Write, WriteOutcome,
};
use tempfile::TempDir;

use crate::samples::NOW;

/// The catalog, which can be taken away; counts searches.
pub struct FlakyCatalog {
    inner: EmbeddedCatalog,
    pub is_away: AtomicBool,
    pub searches: AtomicUsize,
}

impl FlakyCatalog {
    fn reach(&self) -> Result<&EmbeddedCatalog, CatalogError> {
        if self.is_away.load(Ordering::SeqCst) {
            let reason = "http://user:secret@internal:9200 refused".into();
            return Err(CatalogError::Unavailable { reason });
        }
        Ok(&self.inner)
    }
}

#[async_trait]
impl Catalog for FlakyCatalog {
    async fn prepare(&self) -> Result<(), CatalogError> {
        self.reach()?.prepare().await
    }

    async fn check(&self) -> Result<(), CatalogError> {
        self.reach()?.check().await
    }

    async fn read_products(&self, asins: &[Asin]) -> Result<Vec<Option<Versioned<StoredProduct>>>, CatalogError> {
        self.reach()?.read_products(asins).await
    }

    async fn write_products(&self, writes: &[Write<StoredProduct>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.reach()?.write_products(writes).await
    }

    async fn search_products(&self, query: &ProductQuery) -> Result<Page<StoredProduct>, CatalogError> {
        self.searches.fetch_add(1, Ordering::SeqCst);
        self.reach()?.search_products(query).await
    }

    async fn read_opportunities(&self, ids: &[OpportunityId]) -> Result<Vec<Option<Versioned<Opportunity>>>, CatalogError> {
        self.reach()?.read_opportunities(ids).await
    }

    async fn write_opportunities(&self, writes: &[Write<Opportunity>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.reach()?.write_opportunities(writes).await
    }

    async fn search_opportunities(&self, query: &OpportunityQuery) -> Result<Page<Opportunity>, CatalogError> {
        self.searches.fetch_add(1, Ordering::SeqCst);
        self.reach()?.search_opportunities(query).await
    }

    async fn list_opportunities(&self, query: &OpportunityQuery) -> Result<Page<ListedOpportunity>, CatalogError> {
        self.searches.fetch_add(1, Ordering::SeqCst);
        self.reach()?.list_opportunities(query).await
    }

    async fn statistics(&self, priced_after: UnixMillis, legs_since: UnixMillis) -> Result<Statistics, CatalogError> {
        self.searches.fetch_add(1, Ordering::SeqCst);
        self.reach()?.statistics(priced_after, legs_since).await
    }

    async fn facets(&self, legs_since: UnixMillis) -> Result<Facets, CatalogError> {
        self.searches.fetch_add(1, Ordering::SeqCst);
        self.reach()?.facets(legs_since).await
    }

    async fn read_states(&self, kind: StateKind, ids: &[String]) -> Result<Vec<Option<Versioned<StateRecord>>>, CatalogError> {
        self.reach()?.read_states(kind, ids).await
    }

    async fn write_states(&self, kind: StateKind, writes: &[Write<StateRecord>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.reach()?.write_states(kind, writes).await
    }

    async fn list_states(&self, kind: StateKind, query: &StateQuery) -> Result<Page<Versioned<StateRecord>>, CatalogError> {
        self.searches.fetch_add(1, Ordering::SeqCst);
        self.reach()?.list_states(kind, query).await
    }
}

/// An answer, read to its end.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of text"))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The ids or ASINs of a list, in order.
    pub fn ids(&self) -> Vec<String> {
        let json = self.json();
        let items = json["items"].as_array().unwrap_or_else(|| panic!("no list: {json}"));
        let id = |item: &Value| item["id"].as_str().or(item["asin"].as_str()).expect("an id").to_owned();
        items.iter().map(id).collect()
    }
}

/// See the module.
pub struct TestApi {
    pub api: Arc<Api>,
    pub catalog: Arc<FlakyCatalog>,
    pub health: Health,
    clock: Arc<AtomicI64>,
    endpoint: Box<dyn Fn(Request) -> futures_util::future::BoxFuture<'static, Response> + Send + Sync>,
    _folder: TempDir,
}

impl TestApi {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let environment = Environment::of(variables.iter().copied());
        let config = environment.finish(Config::read(&environment)).expect("valid settings");
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = Arc::new(FlakyCatalog {
            inner: EmbeddedCatalog::open(&folder.path().join("catalog.db")).await.expect("a catalog"),
            is_away: AtomicBool::new(false),
            searches: AtomicUsize::new(0),
        });
        let clock = Arc::new(AtomicI64::new(NOW.0));
        let health = Health::default();
        let time = Arc::clone(&clock);
        let port: Arc<dyn Catalog> = catalog.clone();
        let api = Api::new(config, port, health.clone(), Arc::new(move || UnixMillis(time.load(Ordering::SeqCst))));
        let endpoint = Arc::new(app(Arc::clone(&api)));
        TestApi {
            api,
            catalog,
            health,
            clock,
            endpoint: Box::new(move |request| {
                let endpoint = Arc::clone(&endpoint);
                Box::pin(async move { endpoint.get_response(request).await })
            }),
            _folder: folder,
        }
    }

    pub fn advance(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::SeqCst);
    }

    pub fn take_catalog_away(&self, is_away: bool) {
        self.catalog.is_away.store(is_away, Ordering::SeqCst);
    }

    pub fn searches(&self) -> usize {
        self.catalog.searches.load(Ordering::SeqCst)
    }

    pub async fn send(&self, request: Request) -> Answer {
        let response = (self.endpoint)(request).await;
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.into_body().into_vec().await.expect("a body"),
        }
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.request(Method::GET, uri, &[]).await
    }

    pub async fn request(&self, method: Method, uri: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri_str(uri);
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        self.send(request.finish()).await
    }

    /// Sends JSON.
    pub async fn post(&self, uri: &str, body: &Value) -> Answer {
        let request = Request::builder().method(Method::POST).uri_str(uri).content_type("application/json");
        self.send(request.body(body.to_string())).await
    }

    /// The JSON of an answer that has to be 200.
    pub async fn json(&self, uri: &str) -> Value {
        let answer = self.get(uri).await;
        assert_eq!(answer.status, 200, "{uri}: {}", answer.text());
        answer.json()
    }

    pub async fn put_products(&self, products: Vec<StoredProduct>) {
        let writes: Vec<_> = products.into_iter().map(absent).collect();
        assert_written(self.catalog.write_products(&writes).await);
    }

    pub async fn put_opportunities(&self, opportunities: Vec<Opportunity>) {
        let writes: Vec<_> = opportunities.into_iter().map(absent).collect();
        assert_written(self.catalog.write_opportunities(&writes).await);
    }

    pub async fn put_state(&self, kind: StateKind, id: &str, group: Option<&str>, status: Option<&str>, at: UnixMillis, body: impl serde::Serialize) {
        let record = StateRecord {
            id: id.into(),
            group: group.map(str::to_owned),
            status: status.map(str::to_owned),
            at,
            body: serde_json::to_value(body).expect("JSON"),
        };
        assert_written(self.catalog.write_states(kind, &[absent(record)]).await);
    }
}

fn absent<T>(value: T) -> Write<T> {
    Write {
        value,
        condition: Condition::Absent,
    }
}

fn assert_written(outcomes: Result<Vec<WriteOutcome>, CatalogError>) {
    for outcome in outcomes.expect("the catalog answers") {
        assert!(matches!(outcome, WriteOutcome::Written(_)), "{outcome:?}");
    }
}
