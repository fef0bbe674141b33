//! The client against the simulator: every endpoint, every fault.

use std::time::Duration;

use producer::keepa::{AskError, Client, Timeouts};
use producer::simulator::{Fault, REFERENCE_ASIN, SimulatorConfig};
use shared::domain::{Asin, Marketplace};
use url::Url;

use crate::harness::{self, Simulated};

async fn simulated() -> (Simulated, Client) {
    harness::listen_for_leaks();
    let simulated = Simulated::start(SimulatorConfig {
        products: 40,
        ..SimulatorConfig::default()
    })
    .await;
    let timeouts = Timeouts {
        connect: Duration::from_secs(5),
        read: Duration::from_millis(700),
    };
    let client = Client::new(Url::parse(&simulated.handle.url()).unwrap(), harness::key(), timeouts).unwrap();
    (simulated, client)
}

fn reference() -> Asin {
    REFERENCE_ASIN.to_string().parse().unwrap()
}

#[tokio::test]
async fn every_endpoint_that_the_product_uses_is_asked_and_read() {
    let (simulated, client) = simulated().await;
    let market = Marketplace::DE;
    let asins: Vec<Asin> = simulated.handle.world().asins().iter().copied().take(5).collect();
    let missing: Asin = "B000000000".parse().unwrap();
    let asked: Vec<Asin> = asins.iter().copied().chain([missing, asins[0]]).collect();

    let answer = client.products(market, &asked, true).await;
    assert!(answer.meter.is_some());
    let products = answer.result.unwrap();
    assert!(products.found.iter().any(|product| product.asin == reference()));
    assert!(products.left_out.contains(&missing) || products.found.iter().any(|product| product.asin == missing && product.is_invalid_asin()));
    assert_eq!(products.found.iter().filter(|product| product.asin == asins[0]).count(), 1);

    let roots = client.categories(market, &[0]).await.result.unwrap();
    assert!(!roots.is_empty() && roots.iter().all(|root| root.parent.is_none()));
    let best = client.best_sellers(market, roots[0].id).await;
    assert_eq!(best.tokens_consumed, Some(50));
    assert!(!best.result.unwrap().is_empty());
    let found = client.search_categories(market, &roots[0].name).await.result.unwrap();
    assert!(found.iter().any(|category| category.id == roots[0].id), "{found:?}");
    assert!(client.search_products(market, "das").await.result.is_ok());
    let query = client.query(market, serde_json::json!({"perPage": 50, "page": 0})).await.result.unwrap();
    assert!(!query.asins.is_empty());
    let deals = client.deals(market, 0).await.result.unwrap();
    assert!(!deals.deals.is_empty() && deals.unreadable == 0);
    assert!(deals.deals.iter().filter_map(|deal| deal.image.as_deref()).all(|image| image.ends_with(".jpg")));
    assert!(client.sellers(market, &["A000".to_owned()], false).await.result.is_ok());
    assert_eq!(client.token().await.tokens_consumed, Some(0));
    simulated.stop().await;
    harness::assert_no_leak();
}

/// Guard: `redact` in the client; taken out: the key stood in the log lines of the same run.
#[tokio::test]
async fn t54_every_fault_is_sorted_by_what_to_do_next_and_tells_no_key() {
    let (simulated, client) = simulated().await;
    let ask = || client.products(Marketplace::DE, &[], false);
    assert!(matches!(ask().await.result, Err(AskError::Refused { .. })));
    let slow = Duration::from_secs(30);
    for (fault, expected) in [
        (Fault::Status429 { refill_in_ms: 5_000 }, "wait"),
        (Fault::Status(500), "failed"),
        (Fault::Status(502), "retry"),
        (Fault::Status(503), "retry"),
        (Fault::Status(504), "retry"),
        (Fault::Html, "retry"),
        (Fault::Slow(slow), "retry"),
        (Fault::Drop, "retry"),
        (Fault::Truncate, "retry"),
    ] {
        simulated.handle.faults().next(1, "/product", fault.clone());
        let answer = client.products(Marketplace::DE, &[reference()], false).await;
        let error = answer.result.expect_err("a fault");
        let kind = match &error {
            AskError::Wait { refill_in, .. } => {
                assert_eq!(*refill_in, Some(Duration::from_secs(5)));
                "wait"
            }
            AskError::Failed { .. } => "failed",
            AskError::Retry { .. } => "retry",
            _ => "other",
        };
        assert_eq!(kind, expected, "{fault:?}: {error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("S3CRET") && !shown.contains("key="), "{shown}");
        // What may have been charged is not known to be free.
        let may_be_charged = matches!(fault, Fault::Slow(_) | Fault::Drop | Fault::Truncate);
        assert!(!may_be_charged || answer.tokens_consumed.is_none(), "{fault:?}");
        assert!(client.products(Marketplace::DE, &[reference()], false).await.result.is_ok(), "after {fault:?}");
    }
    simulated.stop().await;
    harness::assert_no_leak();
}

#[tokio::test]
async fn a_wrong_key_and_an_unknown_domain_are_refused_without_a_reading() {
    harness::listen_for_leaks();
    let simulated = Simulated::start(SimulatorConfig {
        products: 10,
        key: Some("right".into()),
        ..SimulatorConfig::default()
    })
    .await;
    let client = Client::new(Url::parse(&simulated.handle.url()).unwrap(), harness::key(), Timeouts::default()).unwrap();
    let answer = client.token().await;
    assert_eq!(answer.meter, None);
    assert!(
        matches!(answer.result, Err(AskError::Refused { ref kind, .. }) if kind == "invalidParameter"),
        "{:?}",
        answer.result
    );
    simulated.stop().await;
    harness::assert_no_leak();
}
