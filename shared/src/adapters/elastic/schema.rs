//! Templates, indices and aliases: what has to be there before anything is written.
//!
//! Documents live in versioned indices (`products-v1`) behind aliases (`products`); all traffic names the alias. The
//! mappings are the files of `schemas/elasticsearch`, embedded. An index keeps the mapping it was made with, to which
//! fields may be added; anything else, the analyzers of [`super::languages`] among it, takes a new index: `reindex`.

use std::collections::{BTreeMap, BTreeSet};

use elasticsearch::http::Method;
use serde_json::{Value, json};

use super::classify::error_cause;
use super::client::{Client, malformed};
use super::config::ElasticConfig;
use super::indices;
use super::languages::{self, Language};
use crate::ports::catalog::{CatalogError, StateKind};

const PRODUCTS: &str = include_str!("../../../../schemas/elasticsearch/products.json");
const OPPORTUNITIES: &str = include_str!("../../../../schemas/elasticsearch/opportunities.json");
const STATE: &str = include_str!("../../../../schemas/elasticsearch/state.json");

/// Above the default of 0, so that a catch-all template of an operator does not win.
const TEMPLATE_PRIORITY: u32 = 500;

/// One kind of document: its name is that of the alias, after the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collection {
    Products,
    Opportunities,
    State(StateKind),
}

impl Collection {
    pub(super) fn all() -> impl Iterator<Item = Collection> {
        [Collection::Products, Collection::Opportunities]
            .into_iter()
            .chain(StateKind::ALL.map(Collection::State))
    }

    fn name(self) -> &'static str {
        match self {
            Collection::Products => "products",
            Collection::Opportunities => "opportunities",
            Collection::State(kind) => kind.collection(),
        }
    }

    /// The alias that all traffic names.
    pub(super) fn alias(self, prefix: &str) -> String {
        format!("{prefix}{}", self.name())
    }

    /// Settings and mappings, for a server that has the analyzers of these languages.
    pub(super) fn template(self, strict: bool, languages: &BTreeSet<Language>) -> Value {
        let text = match self {
            Collection::Products => PRODUCTS,
            Collection::Opportunities => OPPORTUNITIES,
            Collection::State(_) => STATE,
        };
        let mut template: Value = serde_json::from_str(text).expect("a test reads the embedded schemas");
        if strict {
            template["mappings"]["dynamic"] = "strict".into();
        }
        languages::restrict(&mut template["mappings"], languages);
        template
    }
}

/// Makes what is missing; adds to the mappings of what is there.
pub(super) async fn prepare(client: &Client, config: &ElasticConfig) -> Result<(), CatalogError> {
    let languages = languages::ask(client).await?;
    for collection in Collection::all() {
        prepare_collection(client, config, collection, &languages).await?;
    }
    Ok(())
}

/// What indices of this collection are made from, now and by whoever makes one.
pub(super) async fn put_template(
    client: &Client,
    config: &ElasticConfig,
    collection: Collection,
    languages: &BTreeSet<Language>,
) -> Result<Value, CatalogError> {
    let alias = collection.alias(&config.index_prefix);
    let template = collection.template(config.strict_mappings, languages);
    let body = json!({"index_patterns": [format!("{alias}-v*")], "priority": TEMPLATE_PRIORITY, "template": template});
    let path = format!("/_index_template/{alias}");
    client.call(Method::Put, &path, &[], Some(&body)).await.map_err(|error| at_step(&path, error))?;
    Ok(template)
}

/// The settings that an index of this collection is used with.
pub(super) fn settings(collection: Collection) -> Value {
    collection.template(false, &BTreeSet::new())["settings"].clone()
}

async fn prepare_collection(client: &Client, config: &ElasticConfig, collection: Collection, languages: &BTreeSet<Language>) -> Result<(), CatalogError> {
    let alias = collection.alias(&config.index_prefix);
    let template = put_template(client, config, collection, languages).await?;
    if alias_exists(client, &alias).await? {
        return add_to_mapping(client, &alias, template["mappings"].clone()).await;
    }
    let existing = indices::list(client, &alias).await?;
    // It may have lost its alias. One that a run of `reindex` has not finished lacks documents.
    let newest = existing.into_iter().rfind(|index| !index.is_unfinished());
    let index = match newest {
        Some(index) => index.name,
        None => {
            let index = indices::index_name(&alias, 1);
            let path = format!("/{index}");
            let body = json!({"aliases": {&alias: {}, indices::versioned(&index): {}}});
            let answer = client.send(Method::Put, &path, &[], Some(body.to_string().into())).await?;
            let exists = error_cause(&answer.body).is_some_and(|cause| cause.kind == "resource_already_exists_exception");
            if !exists {
                return answer.success().map(drop).map_err(|error| at_step(&path, error));
            }
            // Another process made it at the same moment.
            index
        }
    };
    if !alias_exists(client, &alias).await? {
        let actions = vec![indices::add(&index, &alias), indices::add(&index, &indices::versioned(&index))];
        indices::change_aliases(client, actions).await.map_err(|error| at_step("/_aliases", error))?;
    }
    Ok(())
}

/// Fields may be added to an index; anything else needs a new one.
async fn add_to_mapping(client: &Client, alias: &str, mut mappings: Value) -> Result<(), CatalogError> {
    let path = format!("/{alias}/_mapping");
    let answer = client.call(Method::Get, &path, &[], None).await?;
    let existing: BTreeMap<String, Value> = serde_json::from_slice(&answer).map_err(|error| malformed("a question for mappings", &error))?;
    for (index, existing) in existing {
        let different = languages::keep_what_is_there(&mut mappings, &existing["mappings"]);
        if !different.is_empty() {
            let languages: Vec<&str> = different.into_iter().map(Language::name).collect();
            tracing::warn!(
                index,
                languages = languages.join(","),
                "the index analyses texts in another way than the server can now: `enricher reindex` makes a new one"
            );
        }
    }
    client
        .call(Method::Put, &path, &[], Some(&mappings))
        .await
        .map_err(|error| at_step(&path, error))?;
    Ok(())
}

async fn alias_exists(client: &Client, alias: &str) -> Result<bool, CatalogError> {
    let answer = client.send(Method::Get, &format!("/_alias/{alias}"), &[], None).await?;
    // The answer for a missing alias is a 404 of its own shape; a proxy's has no such JSON.
    if answer.status == 404 && error_cause(&answer.body).is_some() {
        return Ok(false);
    }
    answer.success().map(|_| true)
}

/// A refusal (400) of a step is no passing fault: nothing but a change of the cluster or of the program cures it. Of the
/// differences between two mappings, some are refused as a fault of the server's own (500).
fn at_step(path: &str, error: CatalogError) -> CatalogError {
    match error {
        CatalogError::Unavailable { reason } if reason.starts_with("400") || reason.starts_with("500: mapper_exception") => CatalogError::Misconfigured {
            reason: format!("{path}: {reason}"),
        },
        CatalogError::Misconfigured { reason } => CatalogError::Misconfigured {
            reason: format!("{path}: {reason}"),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::documents::Document;
    use super::*;
    use crate::domain::{Opportunity, StoredProduct};
    use crate::ports::catalog::StateRecord;

    fn all_languages() -> BTreeSet<Language> {
        Language::ALL.into()
    }

    /// Names of all fields, `keys.title` for those inside an object; an object that is not indexed has none.
    fn fields(properties: &Value, before: &str, found: &mut Vec<(String, Value)>) {
        for (name, field) in properties.as_object().expect("properties are an object") {
            let name = format!("{before}{name}");
            match field.get("properties") {
                Some(inner) => fields(inner, &format!("{name}."), found),
                None => found.push((name, field.clone())),
            }
        }
    }

    fn mapped(collection: Collection) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        fields(&collection.template(false, &all_languages())["mappings"]["properties"], "", &mut found);
        found
    }

    #[test]
    fn money_is_a_whole_number_and_nothing_needs_a_plugin() {
        for collection in Collection::all() {
            for (name, field) in mapped(collection) {
                let kind = field["type"].as_str().expect("every field has a type");
                assert!(
                    ["keyword", "long", "date", "boolean", "text", "object"].contains(&kind),
                    "{collection:?} {name}: {kind}"
                );
                if kind == "object" {
                    assert_eq!(field["enabled"], false, "{collection:?} {name}");
                }
                if kind == "date" {
                    assert_eq!(field["format"], "epoch_millis", "{collection:?} {name}");
                }
            }
        }
    }

    /// Fields of a document that the mapping says nothing of.
    fn unmapped(document: &Value, mapping: &Value, before: &str) -> Vec<String> {
        if let Value::Array(documents) = document {
            return documents.iter().flat_map(|document| unmapped(document, mapping, before)).collect();
        }
        let mut missing = Vec::new();
        for (name, value) in document.as_object().expect("an object") {
            let name_in_full = format!("{before}{name}");
            match mapping["properties"].get(name) {
                None => missing.push(name_in_full),
                Some(field) if field["properties"].is_object() => missing.extend(unmapped(value, field, &format!("{name_in_full}."))),
                Some(_) => {}
            }
        }
        missing
    }

    fn check<T: Document>(collection: Collection, complete: &Value) {
        let value = T::from_source(&complete.to_string()).expect("a complete document");
        let source: Value = serde_json::from_slice(&value.to_source()).expect("JSON");
        let mapping = &collection.template(false, &all_languages())["mappings"];
        assert_eq!(unmapped(&source, mapping, ""), Vec::<String>::new(), "{collection:?}");
        // And the document was a complete one, else the above says little.
        let properties = mapping["properties"].as_object().expect("an object");
        let absent: Vec<&String> = properties.keys().filter(|name| source.get(name.as_str()).is_none()).collect();
        assert!(absent.is_empty(), "{collection:?} lacks {absent:?}");
    }

    #[test]
    fn mappings_and_documents_have_the_same_fields() {
        check::<StoredProduct>(
            Collection::Products,
            &json!({
                "asin": "B0D1XD1ZV3", "revision": 1, "title": "t", "brand": "b", "category": "c", "image_url": "i",
                "first_seen": 1, "last_updated": 1, "last_priced_at": 1, "prices": {"DE": 1, "UK": 2}, "score": 1,
                "markets": {},
            }),
        );
        let evaluation = json!({"revision": 1, "rates_date": "2026-01-09", "settings_version": 1, "evaluated_at": 1});
        let money = json!({"minor": 1, "currency": "EUR"});
        check::<Opportunity>(
            Collection::Opportunities,
            &json!({
                "id": "B0D1XD1ZV3:ES:IT", "asin": "B0D1XD1ZV3", "source_market": "ES", "target_market": "IT",
                "title": "t", "brand": "b", "category": "c", "image_url": "i",
                "source_price": money, "target_price": money, "source_price_eur": money, "target_price_eur": money, "margin": money,
                "margin_percentage": 1, "exchange_rate": {"date": "2026-01-09", "rates": {"GBP": "0.86"}},
                "net": crate::wire::opportunity::tests::any_net(),
                "assessment": {
                    "traps": [{"reason": "stale_leg", "market": "ES"}], "unchecked": ["hazardous"], "confidence": 1,
                    "score": {"value": 1, "market": 1, "safety": 1, "cheapness": 1},
                },
                "is_active": false, "closed_reason": "gap", "first_seen": 1, "opened_at": 1, "last_seen": 1,
                "source_observed_at": 1, "target_observed_at": 1, "oldest_leg_at": 1, "event_seq": 1,
                "last_event": {"kind": "opened", "at": 1, "margin_percentage": 1, "evaluation": evaluation}, "evaluation": evaluation,
            }),
        );
        check::<StateRecord>(
            Collection::State(StateKind::Runs),
            &json!({"id": "a", "group": "g", "status": "s", "at": 1, "body": {"any": ["thing"]}}),
        );
    }

    #[test]
    fn unknown_fields_are_ignored_or_in_tests_refused() {
        for collection in Collection::all() {
            assert_eq!(collection.template(false, &all_languages())["mappings"]["dynamic"], false);
            assert_eq!(collection.template(true, &all_languages())["mappings"]["dynamic"], "strict");
        }
    }

    #[test]
    fn every_language_has_a_field_with_its_analyzer_or_the_standard_one() {
        for (languages, has) in [(all_languages(), true), (BTreeSet::new(), false)] {
            let mapping = Collection::Products.template(false, &languages);
            let texts = mapping["mappings"]["properties"]["texts"]["properties"].as_object().expect("an object").clone();
            assert_eq!(texts.len(), Language::ALL.len());
            for language in Language::ALL {
                let expected = if has { language.name() } else { "standard" };
                assert_eq!(texts[language.name()]["analyzer"], expected);
            }
        }
    }

    #[test]
    fn every_marketplace_has_a_price_field() {
        let mapped = mapped(Collection::Products);
        for marketplace in crate::domain::Marketplace::ALL {
            let name = format!("prices.{marketplace}");
            assert!(mapped.iter().any(|(field, mapping)| *field == name && mapping["type"] == "long"), "{name}");
        }
    }

    #[test]
    fn templates_of_different_prefixes_never_overlap_by_accident() {
        let names: Vec<String> = Collection::all().map(|collection| collection.alias("x-")).collect();
        assert_eq!(names[0], "x-products");
        assert_eq!(names[2], "x-state-runs");
        for name in &names {
            assert!(
                !names
                    .iter()
                    .any(|other| other != name && indices::index_name(other, 1).starts_with(&format!("{name}-v")))
            );
        }
    }
}
