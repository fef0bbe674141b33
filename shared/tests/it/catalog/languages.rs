//! Other forms of a word, on servers with and without analyzers.

use elasticsearch::http::Method;
use serde_json::{Value, json};
use shared::adapters::elastic::reindex::{Documents, Plan};
use shared::adapters::elastic::{ElasticCatalog, ElasticConfig};
use shared::domain::price::AttributeFacts;
use shared::domain::{BySource, Marketplace, Register, Source, StoredProduct};
use shared::ports::Catalog as _;
use shared::ports::catalog::ProductQuery;
use tokio_util::sync::CancellationToken;

use super::indices::operate;
use super::reindex::some;
use super::samples::product_query;
use super::{all_written, creates, elasticsearch};

/// A product that is called so in these marketplaces.
fn called(number: usize, titles: &[(Marketplace, &str)]) -> StoredProduct {
    let mut stored = some(1, number + 1).remove(number);
    let state = stored.product.markets.remove(&Marketplace::DE).unwrap().remove(Source::Keepa).unwrap();
    for (marketplace, title) in titles {
        let mut state = (*state).clone();
        state.attributes = Some(Register::new(
            state.latest,
            AttributeFacts {
                title: Some((*title).into()),
                ..AttributeFacts::default()
            },
        ));
        stored.product.markets.insert(*marketplace, BySource::from([(Source::Keepa, state.into())]));
    }
    stored.listing.title = Some(titles[0].1.to_owned());
    (stored.listing.brand, stored.listing.category) = (None, None);
    stored
}

async fn finds(catalog: &ElasticCatalog, text: &str) -> usize {
    catalog.refresh().await.unwrap();
    let query = ProductQuery {
        text: Some(text.into()),
        ..product_query()
    };
    catalog.search_products(&query).await.unwrap().items.len()
}

async fn can_analyse(config: &ElasticConfig) -> bool {
    let body = json!({"analyzer": "german", "text": "Kopfhörern"});
    operate(config, Method::Post, "/_analyze", Some(body)).await.0 == 200
}

async fn analyzer_of(config: &ElasticConfig, language: &str) -> Option<String> {
    let (status, text) = operate(config, Method::Get, &format!("/{}products/_mapping", config.index_prefix), None).await;
    assert_eq!(status, 200, "{text}");
    let mapping: Value = serde_json::from_str(&text).unwrap();
    let field = mapping
        .as_object()?
        .values()
        .next()?
        .pointer(&format!("/mappings/properties/texts/properties/{language}"))?;
    Some(field.get("analyzer").and_then(Value::as_str).unwrap_or("standard").to_owned())
}

#[tokio::test]
async fn another_form_of_a_word_is_found_in_the_language_of_its_marketplace_where_the_server_has_the_analyzer() {
    let Some(config) = elasticsearch("another_form_of_a_word_is_found_in_the_language_of_its_marketplace") else {
        return;
    };
    let catalog = ElasticCatalog::connect(config.clone()).unwrap();
    catalog.prepare().await.unwrap();
    let stored = called(
        0,
        &[
            (Marketplace::DE, "Kabelloser Kopfhörer für Zuhause"),
            (Marketplace::FR, "Écouteur sans fil"),
            (Marketplace::IT, "Cuffia senza fili"),
            (Marketplace::ES, "Auricular inalámbrico"),
            (Marketplace::UK, "Wireless headphone"),
        ],
    );
    all_written(&catalog.write_products(&creates(&[stored])).await.unwrap());
    let has_analyzers = can_analyse(&config).await;
    // As they stand in the title that is shown, folded, as a beginning: on every server.
    for text in ["Kopfhörer", "kopfhorer ZUHAUSE", "kabellos"] {
        assert_eq!(finds(&catalog, text).await, 1, "{text}");
    }
    for (language, text) in [
        ("german", "Kopfhörern"),
        ("german", "kabellose Kopfhörer für zuhause"),
        ("french", "écouteurs"),
        ("italian", "cuffie"),
        ("spanish", "auriculares inalámbricos"),
        ("english", "headphones"),
    ] {
        assert_eq!(finds(&catalog, text).await, usize::from(has_analyzers), "{text}");
        let expected = if has_analyzers { language } else { "standard" };
        assert_eq!(analyzer_of(&config, language).await.as_deref(), Some(expected));
    }
    // All words have to be there, and in one language.
    for text in ["Kopfhörern Bluetooth", "Kopfhörern écouteurs", "Bohrmaschine"] {
        assert_eq!(finds(&catalog, text).await, 0, "{text}");
    }
    catalog.remove_everything().await.unwrap();
}

#[tokio::test]
async fn an_index_of_before_is_analysed_by_language_once_it_is_rebuilt() {
    let Some(config) = elasticsearch("an_index_of_before_is_analysed_by_language_once_it_is_rebuilt") else {
        return;
    };
    let catalog = ElasticCatalog::connect(config.clone()).unwrap();
    // As on a server that had no analyzers when the index was made.
    let text = json!({"type": "text", "analyzer": "standard"});
    let alias = format!("{}products", config.index_prefix);
    let index = json!({"aliases": {&alias: {}}, "mappings": {"dynamic": false, "properties": {
        "words": {"type": "text", "analyzer": "whitespace", "norms": false, "index_options": "docs"},
        "markets": {"type": "object", "enabled": false},
        "texts": {"properties": {"german": text}},
    }}});
    let (status, answer) = operate(&config, Method::Put, &format!("/{alias}-v1"), Some(index)).await;
    assert_eq!(status, 200, "{answer}");
    catalog.prepare().await.unwrap();
    all_written(&catalog.write_products(&creates(&[called(0, &[(Marketplace::DE, "Kopfhörer")])])).await.unwrap());
    assert_eq!(
        analyzer_of(&config, "german").await.as_deref(),
        Some("standard"),
        "an index keeps its analyzers"
    );
    assert_eq!((finds(&catalog, "Kopfhörer").await, finds(&catalog, "Kopfhörern").await), (1, 0));

    let plan = Plan::of(Documents::Products);
    catalog.reindex(&plan, &CancellationToken::new(), &mut |_| {}).await.unwrap().unwrap();
    let has_analyzers = can_analyse(&config).await;
    let expected = if has_analyzers { "german" } else { "standard" };
    assert_eq!(analyzer_of(&config, "german").await.as_deref(), Some(expected));
    assert_eq!(
        (finds(&catalog, "Kopfhörer").await, finds(&catalog, "Kopfhörern").await),
        (1, usize::from(has_analyzers))
    );
    catalog.remove_everything().await.unwrap();
}
