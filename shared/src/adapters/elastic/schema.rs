//! Templates, indices and aliases: what has to be there before anything is written.
//!
//! Documents live in versioned indices (`products-v1`) behind aliases (`products`); all traffic names the alias. The
//! mappings are the files of `schemas/elasticsearch`, embedded.

use elasticsearch::http::Method;
use serde_json::{Value, json};

use super::classify::error_cause;
use super::client::Client;
use super::config::ElasticConfig;
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

    /// The index that the alias names at first.
    pub(super) fn first_index(self, prefix: &str) -> String {
        format!("{prefix}{}-v1", self.name())
    }

    /// Settings and mappings.
    fn template(self, strict: bool) -> Value {
        let text = match self {
            Collection::Products => PRODUCTS,
            Collection::Opportunities => OPPORTUNITIES,
            Collection::State(_) => STATE,
        };
        let mut template: Value = serde_json::from_str(text).expect("a test reads the embedded schemas");
        if strict {
            template["mappings"]["dynamic"] = "strict".into();
        }
        template
    }
}

/// Makes what is missing; adds to the mappings of what is there.
pub(super) async fn prepare(client: &Client, config: &ElasticConfig) -> Result<(), CatalogError> {
    for collection in Collection::all() {
        prepare_collection(client, config, collection).await?;
    }
    Ok(())
}

async fn prepare_collection(client: &Client, config: &ElasticConfig, collection: Collection) -> Result<(), CatalogError> {
    let alias = collection.alias(&config.index_prefix);
    let template = collection.template(config.strict_mappings);
    let mappings = template["mappings"].clone();
    let body = json!({"index_patterns": [format!("{alias}-v*")], "priority": TEMPLATE_PRIORITY, "template": template});
    let path = format!("/_index_template/{alias}");
    client.call(Method::Put, &path, &[], Some(&body)).await.map_err(|error| at_step(&path, error))?;

    if alias_exists(client, &alias).await? {
        // Fields may be added to an index; anything else needs a new one, and a move of the alias.
        let path = format!("/{alias}/_mapping");
        client
            .call(Method::Put, &path, &[], Some(&mappings))
            .await
            .map_err(|error| at_step(&path, error))?;
        return Ok(());
    }
    let index = collection.first_index(&config.index_prefix);
    let path = format!("/{index}");
    let body = json!({"aliases": {&alias: {}}});
    let answer = client.send(Method::Put, &path, &[], Some(body.to_string().into())).await?;
    let exists = error_cause(&answer.body).is_some_and(|cause| cause.kind == "resource_already_exists_exception");
    if !exists {
        answer.success().map_err(|error| at_step(&path, error))?;
        return Ok(());
    }
    // Another process made it at the same moment, or it has lost its alias.
    if !alias_exists(client, &alias).await? {
        let body = json!({"actions": [{"add": {"index": index, "alias": alias}}]});
        client
            .call(Method::Post, "/_aliases", &[], Some(&body))
            .await
            .map_err(|error| at_step("/_aliases", error))?;
    }
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

/// A refusal (400) of a step is no passing fault: nothing but a change of the cluster or of the program cures it.
fn at_step(path: &str, error: CatalogError) -> CatalogError {
    match error {
        CatalogError::Unavailable { reason } if reason.starts_with("400") => CatalogError::Misconfigured {
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
        fields(&collection.template(false)["mappings"]["properties"], "", &mut found);
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
        let mapping = &collection.template(false)["mappings"];
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
                "first_seen": 1, "last_updated": 1, "last_priced_at": 1, "prices": {"DE": 1, "UK": 2}, "markets": {},
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
            assert_eq!(collection.template(false)["mappings"]["dynamic"], false);
            assert_eq!(collection.template(true)["mappings"]["dynamic"], "strict");
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
                    .any(|other| other != name && format!("{other}-v1").starts_with(&format!("{name}-v")))
            );
        }
    }
}
