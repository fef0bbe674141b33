//! Simulator in, API answer out: the product with nothing configured.

use serde_json::json;

use crate::system::{System, command};

#[tokio::test(flavor = "multi_thread")]
async fn with_nothing_configured_simulated_opportunities_appear_and_the_reference_case_is_right() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let system = System::start(data.path(), &[]).await;
    assert!(system.banner.contains("simulated data"), "{}", system.banner);
    let reference = system
        .api
        .eventually("/opportunities?asin=B0D1XD1ZV3&active=true", "the reference case", |page| {
            page["items"].as_array().filter(|items| !items.is_empty()).cloned()
        })
        .await;
    assert_eq!(reference.len(), 1, "{reference:?}");
    let shown = &reference[0];
    for (field, expected) in [
        ("id", "\"B0D1XD1ZV3:ES:IT\""),
        ("margin", "7.00"),
        ("margin_percentage", "14.59"),
        ("source_price", "47.99"),
        ("target_price", "54.99"),
        ("exchange_rate", "null"),
    ] {
        assert_eq!(shown[field].to_string(), expected, "{field}");
    }
    // Its record may come after the two that make the gap.
    let germany = system
        .api
        .eventually("/products/B0D1XD1ZV3", "the price in Germany", |product| {
            Some(product["current_prices"]["DE"]["amount"].clone()).filter(|amount| !amount.is_null())
        })
        .await;
    assert_eq!(germany.to_string(), "49.99");
    let stats = system
        .api
        .eventually("/stats", "the feed is counted", |stats| {
            let is_counted = stats["feed"]["records_total"].as_u64() > Some(0);
            // What the producer says of itself shows a moment after it has said it.
            let is_told = stats["simulated"] == json!(true);
            (is_counted && is_told).then(|| stats.clone())
        })
        .await;
    assert!(stats["products_total"].as_u64() > Some(0), "{stats}");
    assert_eq!(system.api.get("/health").await["status"], json!("up"));
    system
        .api
        .eventually("/runs", "the scheduler's first jobs", |page| {
            page["items"].as_array().filter(|runs| !runs.is_empty()).cloned()
        })
        .await;
    assert_eq!(system.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_folder_is_refused_by_name() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let first = System::start(data.path(), &[]).await;
    let second = command(data.path(), &[]).output().await.expect("it runs");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success() && said.contains("in use by another process") && said.contains(data.path().to_str().expect("UTF-8")),
        "{said}"
    );
    first.kill().await;
}

#[tokio::test]
async fn all_mistakes_of_a_configuration_are_named_at_once() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let wrong = [
        ("MARKETS", "DE,NL"),
        ("REFRESH_SECONDS", "soon"),
        ("API_LISTEN", "nowhere"),
        ("SCHEDULE_SWEEP", "now and then"),
        ("WATCHLIST", "missing.txt"),
        ("KAFKA_BROKERS", "no-port"),
    ];
    let output = command(data.path(), &wrong).output().await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for (name, _) in wrong {
        assert!(said.contains(name), "{name} is not named in: {said}");
    }
}

#[tokio::test]
async fn check_shows_the_settings_without_the_key() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let output = command(data.path(), &[("KEEPA_API_KEY", "abcdef123456"), ("KEEPA_URL", "http://127.0.0.1:9")])
        .arg("--check")
        .output()
        .await
        .expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "nobody answers at the discard port");
    assert!(
        said.contains("KEEPA_API_KEY") && said.contains("****") && said.contains("FAIL keepa") && !said.contains("abcdef123456"),
        "{said}"
    );
}
