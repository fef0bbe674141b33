//! One set of tests over both catalogs: the embedded one always, Elasticsearch where `ELASTICSEARCH_URL` is set.

#![allow(clippy::unwrap_used, reason = "a failed test says where; clippy.toml knows helpers of tests not as such")]

mod access;
mod answers;
mod indices;
mod languages;
mod opportunities;
mod products;
mod reindex;
mod samples;
mod states;
mod statistics;
mod storage;
mod writes;

use std::future::Future;
use std::sync::Arc;

use shared::adapters::elastic::{ElasticCatalog, ElasticConfig};
use shared::adapters::embedded::catalog::EmbeddedCatalog;
use shared::config::Environment;
use shared::ports::Catalog;
use shared::ports::catalog::{Condition, Version, Write, WriteOutcome};

use crate::servers::address_from;

/// The catalog under test.
pub(crate) struct Subject {
    pub(crate) catalog: Arc<dyn Catalog>,
    elastic: Option<Arc<ElasticCatalog>>,
}

impl Subject {
    /// Makes what was written before visible to searches.
    pub(crate) async fn refresh(&self) {
        if let Some(elastic) = &self.elastic {
            elastic.refresh().await.expect("refreshed");
        }
    }
}

async fn run_embedded<Fut: Future<Output = ()>>(test: impl FnOnce(Arc<Subject>) -> Fut) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let catalog = EmbeddedCatalog::open(&folder.path().join("catalog.db")).await.expect("opened");
    let catalog: Arc<dyn Catalog> = Arc::new(catalog);
    catalog.prepare().await.expect("prepared");
    test(Arc::new(Subject { catalog, elastic: None })).await;
}

async fn run_elasticsearch<Fut: Future<Output = ()> + Send + 'static>(name: &str, test: impl FnOnce(Arc<Subject>) -> Fut) {
    let Some(config) = elasticsearch(name) else { return };
    let elastic = Arc::new(ElasticCatalog::connect(config).expect("a client"));
    let catalog: Arc<dyn Catalog> = elastic.clone();
    catalog.prepare().await.expect("prepared");
    let subject = Subject {
        catalog,
        elastic: Some(Arc::clone(&elastic)),
    };
    // A task, so that the indices go also after a failed test.
    let mut task = tokio::task::JoinSet::new();
    task.spawn(test(Arc::new(subject)));
    let result = task.join_next().await.expect("one task");
    elastic.remove_everything().await.expect("removed");
    if let Err(error) = result {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Settings with a prefix of their own, where there is a server.
fn elasticsearch(test: &str) -> Option<ElasticConfig> {
    address_from("ELASTICSEARCH_URL", test)?;
    let environment = Environment::from_process();
    let config = ElasticConfig::read(&environment).expect("ELASTICSEARCH_URL is set");
    let mut config = environment.finish(config).expect("settings are valid");
    config.index_prefix = format!("test-{:016x}-", rand::random::<u64>());
    config.strict_mappings = true;
    Some(config)
}

/// Each test once per catalog.
macro_rules! contract {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $test() {
                $crate::catalog::run_embedded(super::$test).await;
            })+
        }
        mod elasticsearch {
            $(#[tokio::test]
            async fn $test() {
                $crate::catalog::run_elasticsearch(stringify!($test), super::$test).await;
            })+
        }
    };
}
pub(crate) use contract;

/// Writes of new documents.
pub(crate) fn creates<T: Clone>(values: &[T]) -> Vec<Write<T>> {
    values.iter().map(|value| create(value.clone())).collect()
}

pub(crate) fn create<T>(value: T) -> Write<T> {
    Write {
        value,
        condition: Condition::Absent,
    }
}

pub(crate) fn update<T>(value: T, version: Version) -> Write<T> {
    Write {
        value,
        condition: Condition::Unchanged(version),
    }
}

/// The version of a write that has to be written.
pub(crate) fn written(outcome: &WriteOutcome) -> Version {
    match outcome {
        WriteOutcome::Written(version) => version.clone(),
        other => panic!("not written: {other:?}"),
    }
}

/// All have to be written.
pub(crate) fn all_written(outcomes: &[WriteOutcome]) -> Vec<Version> {
    outcomes.iter().map(written).collect()
}
