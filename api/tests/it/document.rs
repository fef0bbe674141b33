//! `schemas/openapi/openapi.json` is what the code serves, and the document says what a client needs.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::harness::TestApi;

async fn document() -> Value {
    TestApi::start().await.json("/openapi.json").await
}

/// `UPDATE_SCHEMAS=1 cargo test -p api` rewrites the file.
#[tokio::test]
async fn the_file_in_schemas_is_the_document_served() {
    let api = TestApi::start().await;
    let served = api.get("/openapi.json").await.text();
    assert_eq!(api::openapi_document(api.api.clone()), served);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/openapi/openapi.json");
    let served = format!("{}\n", served.trim_end());
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, &served).expect("written");
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    // As values: whether keys are sorted depends on features of serde_json that other crates may turn on.
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    assert!(
        parse(&held) == parse(&served),
        "schemas/openapi/openapi.json is not what the code serves: run with UPDATE_SCHEMAS=1"
    );
}

#[tokio::test]
async fn every_operation_parameter_field_and_answer_is_described() {
    let document = document().await;
    let is_described = |value: &Value| value["description"].as_str().is_some_and(|text| !text.is_empty());
    for (path, item) in document["paths"].as_object().expect("as in the document") {
        for (method, operation) in item.as_object().expect("as in the document") {
            let what = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{what}");
            assert!(operation["operationId"].is_string(), "{what}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(is_described(parameter), "{what}: {}", parameter["name"]);
            }
            for (status, response) in operation["responses"].as_object().expect("as in the document") {
                assert!(is_described(response), "{what}: {status}");
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().expect("as in the document") {
        assert!(is_described(schema) && schema["title"].is_string(), "{name}");
        for (field, property) in schema["properties"].as_object().expect("as in the document") {
            assert!(is_described(property), "{name}.{field}");
        }
    }
}

#[tokio::test]
async fn paths_and_parameters_are_the_agreed_ones() {
    let document = document().await;
    let paths: BTreeSet<&str> = document["paths"].as_object().expect("as in the document").keys().map(String::as_str).collect();
    let expected = [
        "/alerts/deliveries",
        "/alerts/deliveries/{id}/retry",
        "/alerts/rules",
        "/alerts/rules/{id}",
        "/alerts/rules/{id}/test",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/opportunities",
        "/opportunities/{id}",
        "/opportunities/facets",
        "/opportunities/what-if",
        "/products",
        "/products/{asin}",
        "/products/{asin}/history",
        "/profit",
        "/runs",
        "/stats",
    ];
    assert_eq!(paths, BTreeSet::from(expected));
    for (path, expected) in [
        ("/products", "q market brand category active min_price max_price sort limit cursor"),
        (
            "/opportunities",
            "q min_margin min_profit min_roi min_buffer min_confidence trap without_traps source_market target_market asin brand category active sort limit cursor",
        ),
        ("/runs", "job status limit cursor"),
        ("/alerts/rules", "limit cursor"),
        ("/alerts/deliveries", "rule status limit cursor"),
        ("/products/{asin}", "asin"),
    ] {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().expect("as in the document");
        let names: Vec<&str> = parameters
            .iter()
            .map(|parameter| parameter["name"].as_str().expect("as in the document"))
            .collect();
        assert_eq!(names.join(" "), expected, "{path}");
    }
}

#[tokio::test]
async fn answers_fit_their_schemas() {
    use crate::samples::{NOW, opportunity, producer_status, rates_record, reference};
    use shared::ports::catalog::StateKind;

    let api = TestApi::start().await;
    api.put_state(StateKind::Rates, "current", None, None, NOW, rates_record()).await;
    api.put_state(StateKind::Status, "producer", None, None, NOW, producer_status(true)).await;
    api.put_products(vec![reference()]).await;
    api.put_opportunities(vec![opportunity("B0D1XD1ZV3:ES:IT", 4799, 5499), opportunity("B000000001:UK:DE", 4999, 6990)])
        .await;
    crate::alerts::fill(&api).await;
    let document = document().await;
    for (path, template) in [
        ("/products", "/products"),
        ("/products/B0D1XD1ZV3", "/products/{asin}"),
        ("/opportunities", "/opportunities"),
        ("/opportunities?min_margin=1", "/opportunities"),
        ("/opportunities/B0D1XD1ZV3:ES:IT", "/opportunities/{id}"),
        ("/stats", "/stats"),
        ("/runs", "/runs"),
        ("/alerts/rules", "/alerts/rules"),
        ("/alerts/rules/all", "/alerts/rules/{id}"),
        ("/alerts/deliveries", "/alerts/deliveries"),
        ("/health/live", "/health/live"),
    ] {
        let schema = &document["paths"][template]["get"]["responses"]["200"]["content"]["application/json; charset=utf-8"]["schema"];
        assert!(schema.is_object(), "{path}");
        check(&document, schema, &api.json(path).await, path);
    }
    let post = &document["paths"]["/profit"]["post"];
    let question = crate::profit::question();
    check(
        &document,
        &post["requestBody"]["content"]["application/json; charset=utf-8"]["schema"],
        &question,
        "a question",
    );
    let ledger = api.post("/profit", &question).await;
    assert_eq!(ledger.status, 200, "{}", ledger.text());
    check(
        &document,
        &post["responses"]["200"]["content"]["application/json; charset=utf-8"]["schema"],
        &ledger.json(),
        "/profit",
    );
    let post = &document["paths"]["/opportunities/what-if"]["post"];
    let question = serde_json::json!({"regime": "LOST", "freight": 3.2, "limit": 10});
    check(
        &document,
        &post["requestBody"]["content"]["application/json; charset=utf-8"]["schema"],
        &question,
        "what if",
    );
    let answer = api.post("/opportunities/what-if", &question).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    check(
        &document,
        &post["responses"]["200"]["content"]["application/json; charset=utf-8"]["schema"],
        &answer.json(),
        "/opportunities/what-if",
    );
    let problem = api.get("/nothing").await.json();
    check(&document, &document["components"]["schemas"]["Problem"], &problem, "problem");
}

/// As much of JSON Schema as the document uses.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{at}: {reference}"));
        return check(document, target, value, at);
    }
    if value.is_null() {
        assert_eq!(schema["nullable"], Value::Bool(true), "{at} is null");
        return;
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check(document, part, value, at);
    }
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{at}: {value}");
    }
    match schema["type"].as_str() {
        Some("object") => {
            let fields = value.as_object().unwrap_or_else(|| panic!("{at}: {value}"));
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(required.as_str().expect("as in the document")), "{at} lacks {required}");
            }
            for (name, field) in fields {
                let schema = schema["properties"].get(name).or(schema.get("additionalProperties"));
                check(
                    document,
                    schema.unwrap_or_else(|| panic!("{at}.{name} is not in the document")),
                    field,
                    &format!("{at}.{name}"),
                );
            }
        }
        Some("array") => {
            for item in value.as_array().unwrap_or_else(|| panic!("{at}: {value}")) {
                check(document, &schema["items"], item, &format!("{at}[]"));
            }
        }
        Some("string") => assert!(value.is_string(), "{at}: {value}"),
        Some("boolean") => assert!(value.is_boolean(), "{at}: {value}"),
        Some("integer") => assert!(value.is_i64() || value.is_u64(), "{at}: {value}"),
        Some("number") => assert!(value.is_number(), "{at}: {value}"),
        other => assert!(other.is_none(), "{at}: {other:?}"),
    }
}
