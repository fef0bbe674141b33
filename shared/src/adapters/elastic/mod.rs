//! The catalog on Elasticsearch 8.19 and 9.x: the only code that speaks to it.
//!
//! - Documents live in versioned indices behind aliases; [`crate::ports::catalog::Version::index`] is the index itself.
//! - Writes are `_bulk` requests of `create` and `index` with `if_seq_no`, each item classified by itself
//!   ([`classify`]), never to an index that is made by accident (`require_alias`).
//! - A write on a version goes to the index that the version is of and to no other ([`indices`]), so an alias that moves
//!   ([`reindex`]) makes no write hit what it was not meant for.
//! - Reads by id are real time (`_mget`); a search lags by the refresh interval, a second.
//! - Nothing is retried, no server is contacted before the first call, and `GET /` is never asked.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use shared::adapters::elastic::{ElasticCatalog, ElasticConfig};
//! use shared::ports::Catalog;
//! let catalog = ElasticCatalog::connect(ElasticConfig::open("http://127.0.0.1:9200".parse()?))?;
//! catalog.prepare().await?;
//! assert_eq!(catalog.read_products(&["B0D1XD1ZV3".parse()?]).await?, [None]);
//! # Ok(()) }
//! ```

mod bulk;
mod classify;
mod client;
mod config;
mod documents;
mod indices;
mod languages;
mod metrics;
mod nodes;
pub mod reindex;
mod schema;
mod search;
mod statistics;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use elasticsearch::http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use config::{ElasticConfig, ElasticCredentials};

use self::client::{Client, malformed};
use self::documents::Document;
use self::schema::Collection;
use crate::adapters::paging::{StateList, place_of_opportunity, place_of_product, place_of_state};
use crate::domain::{Asin, ListedOpportunity, Opportunity, OpportunityId, StoredProduct, UnixMillis};
use crate::ports::Catalog;
use crate::ports::catalog::{
    CatalogError, Condition, Facets, OpportunityQuery, Page, ProductQuery, StateKind, StateQuery, StateRecord, Statistics, Versioned, Write, WriteOutcome,
};
use crate::wire::{OpportunityDocument, ProductDocument};

/// A [`Catalog`] in an Elasticsearch cluster.
#[derive(Debug)]
pub struct ElasticCatalog {
    client: Client,
    config: ElasticConfig,
    /// The index behind each alias, as last seen.
    indices: RwLock<BTreeMap<String, Arc<str>>>,
    /// Memory of bulk requests, used again.
    buffers: bulk::Buffers,
}

impl ElasticCatalog {
    /// Makes a catalog; contacts nobody.
    ///
    /// # Errors
    /// `Misconfigured` if the certificate file cannot be read, or the client refuses the settings.
    pub fn connect(config: ElasticConfig) -> Result<ElasticCatalog, CatalogError> {
        Ok(ElasticCatalog {
            client: Client::new(&config)?,
            config,
            indices: RwLock::default(),
            buffers: bulk::Buffers::default(),
        })
    }

    /// Makes everything written before visible to searches. For tests: in production the refresh interval does.
    ///
    /// # Errors
    /// As reads.
    pub async fn refresh(&self) -> Result<(), CatalogError> {
        self.client.call(Method::Post, &format!("/{}/_refresh", self.aliases()), &[], None).await?;
        Ok(())
    }

    /// Deletes the indices and templates of this prefix. For tests.
    ///
    /// # Errors
    /// `Misconfigured` without a prefix, since these would be the real ones; else as reads.
    pub async fn remove_everything(&self) -> Result<(), CatalogError> {
        if self.config.index_prefix.is_empty() {
            return Err(CatalogError::Misconfigured {
                reason: "only indices with a prefix are removed".into(),
            });
        }
        for collection in Collection::all() {
            let alias = self.alias(collection);
            for index in indices::list(&self.client, &alias).await? {
                self.client.call(Method::Delete, &format!("/{}", index.name), &[], None).await?;
            }
            let template = format!("/_index_template/{alias}");
            let answer = self.client.send(Method::Delete, &template, &[], None).await?;
            if answer.status != 404 {
                answer.success()?;
            }
        }
        Ok(())
    }

    fn alias(&self, collection: Collection) -> String {
        collection.alias(&self.config.index_prefix)
    }

    fn aliases(&self) -> String {
        Collection::all().map(|collection| self.alias(collection)).collect::<Vec<_>>().join(",")
    }

    async fn read<T: Document>(&self, collection: Collection, ids: &[String]) -> Result<Vec<Option<Versioned<T>>>, CatalogError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        documents::read(&self.client, &self.alias(collection), ids).await
    }

    async fn find_opportunities<C: DeserializeOwned>(&self, query: &OpportunityQuery) -> Result<Page<Opportunity<C>>, CatalogError> {
        let place_of = |opportunity: &Opportunity<C>| place_of_opportunity(opportunity, query.sort.field);
        let alias = self.alias(Collection::Opportunities);
        search::values::<OpportunityDocument<C>, _>(&self.client, &alias, query, search::opportunities(query), place_of).await
    }

    async fn write<T: Document>(&self, collection: Collection, writes: &[Write<T>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let alias = self.alias(collection);
        let index = self.index_for(&alias, writes).await?;
        let outcomes = bulk::write(&self.client, &alias, index.as_deref(), writes, &self.buffers).await;
        match &outcomes {
            Ok(outcomes) => {
                let written = outcomes.iter().find_map(|outcome| match outcome {
                    WriteOutcome::Written(version) => Some(Arc::clone(&version.index)),
                    _ => None,
                });
                // The alias may have moved between the question and the write.
                if let Some(written) = written {
                    self.remember(&alias, written);
                }
            }
            Err(_) => self.forget(&alias),
        }
        outcomes
    }

    /// The index that versions have to be of; none if no write has a version.
    async fn index_for<T>(&self, alias: &str, writes: &[Write<T>]) -> Result<Option<Arc<str>>, CatalogError> {
        let mut versions = writes.iter().filter_map(|write| match &write.condition {
            Condition::Unchanged(version) => Some(&version.index),
            Condition::Absent => None,
        });
        let known = self.indices.read().unwrap_or_else(PoisonError::into_inner).get(alias).cloned();
        match known {
            Some(known) if versions.clone().all(|index| *index == known) => Ok(Some(known)),
            _ if versions.next().is_none() => Ok(None),
            // A version of another index than the one last seen: either it or that is out of date.
            _ => {
                let index = self.resolve(alias).await?;
                self.remember(alias, Arc::clone(&index));
                Ok(Some(index))
            }
        }
    }

    async fn resolve(&self, alias: &str) -> Result<Arc<str>, CatalogError> {
        let index = indices::current(&self.client, alias).await?;
        let versioned = indices::versioned(&index.name);
        if !index.aliases.contains(&versioned) {
            // Made by an operator, or before there were such aliases.
            indices::change_aliases(&self.client, vec![indices::add(&index.name, &versioned)]).await?;
        }
        Ok(Arc::from(index.name))
    }

    fn remember(&self, alias: &str, index: Arc<str>) {
        let mut indices = self.indices.write().unwrap_or_else(PoisonError::into_inner);
        indices.insert(alias.to_owned(), index);
    }

    fn forget(&self, alias: &str) {
        self.indices.write().unwrap_or_else(PoisonError::into_inner).remove(alias);
    }
}

#[async_trait]
impl Catalog for ElasticCatalog {
    async fn prepare(&self) -> Result<(), CatalogError> {
        schema::prepare(&self.client, &self.config).await
    }

    async fn check(&self) -> Result<(), CatalogError> {
        let aliases = self.aliases();
        // 404 if one is missing.
        let path = format!("/{aliases}/_settings/index.blocks.*");
        let settings = self.client.call(Method::Get, &path, &[("flat_settings", "true")], None).await?;
        let settings: BTreeMap<String, Value> = serde_json::from_slice(&settings).map_err(|error| malformed("a question for settings", &error))?;
        for (index, settings) in settings {
            let blocks = settings["settings"].as_object().into_iter().flatten();
            let blocked = blocks.filter(|(_, value)| value.as_str() == Some("true")).map(|(name, _)| name.as_str());
            for block in blocked {
                if block == reindex::WRITE_BLOCK && reindex::reopen_abandoned(&self.client, &index, UnixMillis::now()).await? {
                    continue;
                }
                return Err(CatalogError::Misconfigured {
                    reason: format!("{index} is blocked by {block}"),
                });
            }
        }
        let path = format!("/_cluster/health/{aliases}");
        let health = self.client.call(Method::Get, &path, &[("timeout", "5s")], None).await?;
        let health: Value = serde_json::from_slice(&health).map_err(|error| malformed("a question for health", &error))?;
        match health["status"].as_str() {
            Some("green" | "yellow") => Ok(()),
            status => Err(CatalogError::Unavailable {
                reason: format!("the health of the indices is {}", status.unwrap_or("unknown")),
            }),
        }
    }

    async fn read_products(&self, asins: &[Asin]) -> Result<Vec<Option<Versioned<StoredProduct>>>, CatalogError> {
        let ids: Vec<String> = asins.iter().map(Asin::to_string).collect();
        self.read(Collection::Products, &ids).await
    }

    async fn write_products(&self, writes: &[Write<StoredProduct>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.write(Collection::Products, writes).await
    }

    async fn search_products(&self, query: &ProductQuery) -> Result<Page<StoredProduct>, CatalogError> {
        let place_of = |stored: &StoredProduct| place_of_product(stored, query.sort.field);
        let alias = self.alias(Collection::Products);
        search::values::<ProductDocument, _>(&self.client, &alias, query, search::products(query), place_of).await
    }

    async fn read_opportunities(&self, ids: &[OpportunityId]) -> Result<Vec<Option<Versioned<Opportunity>>>, CatalogError> {
        let ids: Vec<String> = ids.iter().map(OpportunityId::to_string).collect();
        self.read(Collection::Opportunities, &ids).await
    }

    async fn write_opportunities(&self, writes: &[Write<Opportunity>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.write(Collection::Opportunities, writes).await
    }

    async fn search_opportunities(&self, query: &OpportunityQuery) -> Result<Page<Opportunity>, CatalogError> {
        self.find_opportunities(query).await
    }

    async fn list_opportunities(&self, query: &OpportunityQuery) -> Result<Page<ListedOpportunity>, CatalogError> {
        self.find_opportunities(query).await
    }

    async fn statistics(&self, priced_after: UnixMillis, legs_since: UnixMillis) -> Result<Statistics, CatalogError> {
        let (products, opportunities) = (self.alias(Collection::Products), self.alias(Collection::Opportunities));
        statistics::compute(&self.client, &products, &opportunities, priced_after, legs_since).await
    }

    async fn facets(&self, legs_since: UnixMillis) -> Result<Facets, CatalogError> {
        statistics::facets(&self.client, &self.alias(Collection::Opportunities), legs_since).await
    }

    async fn read_states(&self, kind: StateKind, ids: &[String]) -> Result<Vec<Option<Versioned<StateRecord>>>, CatalogError> {
        self.read(Collection::State(kind), ids).await
    }

    async fn write_states(&self, kind: StateKind, writes: &[Write<StateRecord>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.write(Collection::State(kind), writes).await
    }

    async fn list_states(&self, kind: StateKind, query: &StateQuery) -> Result<Page<Versioned<StateRecord>>, CatalogError> {
        let list = StateList { kind, query };
        let search = search::states(&list);
        search::page(&self.client, &self.alias(Collection::State(kind)), &list, search, place_of_state).await
    }
}
