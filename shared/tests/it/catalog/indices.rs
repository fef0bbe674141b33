//! What a missing, moved or blocked index means, on a real Elasticsearch.

use elasticsearch::auth::Credentials;
use elasticsearch::http::Method;
use elasticsearch::http::headers::HeaderMap;
use elasticsearch::http::request::JsonBody;
use elasticsearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};
use serde_json::{Value, json};
use shared::adapters::elastic::{ElasticCatalog, ElasticConfig};
use shared::ports::Catalog as _;
use shared::ports::catalog::{CatalogError, WriteOutcome};

use super::samples::{asin, product_query, products};
use super::{all_written, create, creates, elasticsearch, update};

/// A request beside the catalog, as an operator sends it: where access is controlled, with the superuser's password.
pub(super) async fn operate(config: &ElasticConfig, method: Method, path: &str, body: Option<Value>) -> (u16, String) {
    let superuser = std::env::var("ELASTIC_PASSWORD").ok().map(|password| ("elastic".to_owned(), password));
    request_as(superuser, config, method, path, body).await
}

/// A request of this user with this password.
pub(super) async fn request_as(user: Option<(String, String)>, config: &ElasticConfig, method: Method, path: &str, body: Option<Value>) -> (u16, String) {
    let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(config.urls[0].clone()));
    if let Some((name, password)) = user {
        builder = builder.auth(Credentials::Basic(name, password));
    }
    let transport = builder.build().unwrap();
    let body = body.map(JsonBody::new);
    let answer = transport.send(method, path, HeaderMap::new(), None::<&()>, body, None).await.unwrap();
    (answer.status_code().as_u16(), answer.text().await.unwrap())
}

fn is_misconfigured<T>(result: &Result<T, CatalogError>, what: &str) {
    match result {
        Err(CatalogError::Misconfigured { reason }) => eprintln!("{what}: {reason}"),
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what} succeeded"),
    }
}

#[tokio::test]
async fn without_indices_everything_is_a_configuration_fault_and_none_is_made_by_accident() {
    let Some(config) = elasticsearch("without_indices_everything_is_a_configuration_fault") else {
        return;
    };
    let catalog = ElasticCatalog::connect(config.clone()).unwrap();
    is_misconfigured(&catalog.check().await, "check");
    is_misconfigured(&catalog.write_products(&creates(&products(1, 3))).await, "write");
    is_misconfigured(&catalog.read_products(&[asin(1)]).await, "read");
    is_misconfigured(&catalog.search_products(&product_query()).await, "search");
    is_misconfigured(&catalog.statistics(super::samples::at(0), super::samples::at(0)).await, "statistics");
    let (status, _) = operate(&config, Method::Get, &format!("/{}products", config.index_prefix), None).await;
    assert_eq!(status, 404);
    // Cured by itself once the indices are there.
    catalog.prepare().await.unwrap();
    catalog.check().await.unwrap();
    all_written(&catalog.write_products(&creates(&products(1, 3))).await.unwrap());
    catalog.remove_everything().await.unwrap();
}

#[tokio::test]
async fn versions_of_an_index_that_the_alias_has_left_conflict() {
    let Some(config) = elasticsearch("versions_of_an_index_that_the_alias_has_left_conflict") else {
        return;
    };
    let catalog = ElasticCatalog::connect(config.clone()).unwrap();
    catalog.prepare().await.unwrap();
    let product = products(1, 1).remove(0);
    let old = all_written(&catalog.write_products(&[create(product.clone())]).await.unwrap()).remove(0);
    let alias = format!("{}products", config.index_prefix);
    assert_eq!(*old.index, format!("{alias}-v1"));
    // The new index has a document with the very same numbers.
    operate(&config, Method::Put, &format!("/{alias}-v2"), Some(json!({}))).await;
    let actions = json!({"actions": [
        {"remove": {"index": format!("{alias}-v1"), "alias": alias}},
        {"add": {"index": format!("{alias}-v2"), "alias": alias}},
    ]});
    let (status, text) = operate(&config, Method::Post, "/_aliases", Some(actions)).await;
    assert_eq!(status, 200, "{text}");
    let another = ElasticCatalog::connect(config.clone()).unwrap();
    let new = all_written(&another.write_products(&[create(product.clone())]).await.unwrap()).remove(0);
    assert_eq!((new.seq_no, new.primary_term), (old.seq_no, old.primary_term));
    assert_eq!(*new.index, format!("{alias}-v2"));
    let outcomes = another.write_products(&[update(product.clone(), old.clone())]).await.unwrap();
    assert_eq!(outcomes, [WriteOutcome::Conflict]);
    // The first one still believes in the old index until it meets the new one.
    let read = catalog.read_products(&[asin(0)]).await.unwrap().remove(0).unwrap();
    assert_eq!(read.version, new);
    let outcomes = catalog.write_products(&[update(product.clone(), read.version)]).await.unwrap();
    all_written(&outcomes);
    let outcomes = catalog.write_products(&[update(product, old)]).await.unwrap();
    assert_eq!(outcomes, [WriteOutcome::Conflict]);
    operate(&config, Method::Delete, &format!("/{alias}-v2"), None).await;
    catalog.remove_everything().await.unwrap();
}

#[tokio::test]
async fn an_index_blocked_by_a_full_disk_is_a_configuration_fault_until_it_is_cured() {
    let Some(config) = elasticsearch("an_index_blocked_by_a_full_disk_is_a_configuration_fault") else {
        return;
    };
    let catalog = ElasticCatalog::connect(config.clone()).unwrap();
    catalog.prepare().await.unwrap();
    let settings = format!("/{}products/_settings", config.index_prefix);
    // What Elasticsearch itself does at the flood stage of its disk watermarks.
    operate(&config, Method::Put, &settings, Some(json!({"index.blocks.read_only_allow_delete": true}))).await;
    is_misconfigured(&catalog.check().await, "check");
    is_misconfigured(&catalog.write_products(&creates(&products(1, 3))).await, "write");
    assert_eq!(catalog.read_products(&[asin(1)]).await.unwrap(), [None], "reads go on");
    operate(&config, Method::Put, &settings, Some(json!({"index.blocks.read_only_allow_delete": null}))).await;
    catalog.check().await.unwrap();
    all_written(&catalog.write_products(&creates(&products(1, 3))).await.unwrap());
    catalog.remove_everything().await.unwrap();
}

#[tokio::test]
async fn a_lost_alias_is_given_back_to_its_index() {
    let Some(config) = elasticsearch("a_lost_alias_is_given_back_to_its_index") else {
        return;
    };
    let catalog = ElasticCatalog::connect(config.clone()).unwrap();
    catalog.prepare().await.unwrap();
    all_written(&catalog.write_products(&creates(&products(1, 3))).await.unwrap());
    let alias = format!("{}products", config.index_prefix);
    operate(&config, Method::Delete, &format!("/{alias}-v1/_alias/{alias}"), None).await;
    is_misconfigured(&catalog.read_products(&[asin(1)]).await, "read");
    catalog.prepare().await.unwrap();
    assert!(catalog.read_products(&[asin(1)]).await.unwrap()[0].is_some());
    catalog.remove_everything().await.unwrap();
}

#[tokio::test]
async fn a_document_that_the_mapping_refuses_fails_alone() {
    let Some(config) = elasticsearch("a_document_that_the_mapping_refuses_fails_alone") else {
        return;
    };
    let alias = format!("{}products", config.index_prefix);
    // An operator's mistake: revisions are not that small.
    let index = json!({"aliases": {&alias: {}}, "mappings": {"dynamic": false, "properties": {"revision": {"type": "byte"}}}});
    let (status, text) = operate(&config, Method::Put, &format!("/{alias}-v1"), Some(index)).await;
    assert_eq!(status, 200, "{text}");
    let catalog = ElasticCatalog::connect(config.clone()).unwrap();
    let mut stored = products(1, 3);
    for (product, revision) in stored.iter_mut().zip([1, 1_000, 2]) {
        product.revision = revision;
    }
    let outcomes = catalog.write_products(&creates(&stored)).await.unwrap();
    assert!(matches!(outcomes[0], WriteOutcome::Written(_)), "{outcomes:?}");
    assert!(
        matches!(&outcomes[1], WriteOutcome::Refused { reason } if reason.contains("revision")),
        "{outcomes:?}"
    );
    assert!(matches!(outcomes[2], WriteOutcome::Written(_)), "{outcomes:?}");
    // Preparing cannot change a field's type, and says so.
    is_misconfigured(&catalog.prepare().await, "prepare");
    catalog.remove_everything().await.unwrap();
}
