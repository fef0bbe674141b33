//! The watchlist, end to end on a scripted Keepa.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::domain::Marketplace::{self, DE, ES, FR, IT, UK};
use shared::health::Condition;

use crate::double::{Asked, Double};
use crate::harness::{World, asin, assert_no_leak, config, eventually};

const MARKETS: [Marketplace; 5] = [DE, FR, IT, ES, UK];

#[tokio::test]
async fn all_markets_group_by_group_unchanged_and_only_once_per_refresh() {
    let (world, keepa) = (World::new().await, Double::start().await);
    keepa.change(|script| script.unknown.extend([asin(3)]));
    let producer = world.start(config(&keepa.url, (0..25).map(asin).collect()));
    eventually("all are published", || async { world.published_count() == 24 * 5 }).await;

    let first = MARKETS.map(|market| Asked {
        market,
        asins: (0..20).map(asin).collect(),
        history: true,
    });
    let second = MARKETS.map(|market| Asked {
        market,
        asins: (20..25).map(asin).collect(),
        history: true,
    });
    assert_eq!(keepa.product_requests(), [first, second].concat());
    assert_eq!(keepa.requests("token"), 1, "read once at the start");
    let payload = world.records.lock().unwrap()[0].payload.clone().unwrap();
    assert!(String::from_utf8(payload.into()).unwrap().contains(r#""odd": 1.50}"#), "byte for byte");
    assert_eq!(world.origins(), BTreeSet::from([("watchlist".to_owned(), None)]));
    world.assert_times_grow();

    eventually("the order is stored", || async {
        world.watched().await.values().all(|record| record.last_asked_at.is_some())
    })
    .await;
    let watched = world.watched().await;
    assert_eq!(watched.len(), 25);
    assert_eq!(
        watched[&asin(3)].misses,
        MARKETS.map(|market| (market, 1)).into_iter().collect::<BTreeMap<_, _>>()
    );
    assert!(watched[&asin(3)].history_asked_at.is_empty() && watched[&asin(4)].history_asked_at.len() == 5);
    let status = world.status().await.unwrap();
    assert!(status.simulated);
    eventually("the status is up", || async {
        world
            .status()
            .await
            .is_some_and(|status| status.keepa == "up" && status.refill_rate == Some(2_000))
    })
    .await;
    assert_eq!(world.keepa_health(), Some(Condition::Up));
    producer.stop().await;

    // Another start on the same catalog asks nothing again.
    let asked = keepa.requests("product");
    let producer = world.start(config(&keepa.url, (0..26).map(asin).collect()));
    eventually("the new one is published", || async { world.published_count() == 25 * 5 }).await;
    let again = &keepa.product_requests()[asked..];
    assert!(again.iter().all(|asked| asked.asins == [asin(25)]), "{again:?}");
    producer.stop().await;
    keepa.stop().await;
    world.end().await;
}

#[tokio::test]
async fn a_refused_asin_is_found_and_the_others_are_served() {
    let (world, keepa) = (World::new().await, Double::start().await);
    keepa.change(|script| script.bad.extend([asin(7)]));
    let producer = world.start(config(&keepa.url, (0..20).map(asin).collect()));
    eventually("the others are published", || async { world.published_count() == 19 * 5 }).await;
    let published = world.published();
    assert!(published.values().all(|times| times.len() == 1), "each once");
    assert!(!published.keys().any(|(published, _)| *published == asin(7)));
    assert!(keepa.script.lock().unwrap().refused <= 10, "{} refusals", keepa.script.lock().unwrap().refused);
    assert_eq!(world.keepa_health(), Some(Condition::Up));
    eventually("the refused one is noted", || async { world.watched().await[&asin(7)].last_asked_at.is_some() }).await;
    producer.stop().await;
    keepa.stop().await;
    world.end().await;
}

/// Guard: `redact` in the client, for servers quote what they were asked; taken out: the key stood in two lines of the log.
#[tokio::test]
async fn t54_a_refused_key_stops_the_asking_and_is_in_no_log() {
    let (world, keepa) = (World::new().await, Double::start().await);
    keepa.change(|script| script.bad_key = true);
    let producer = world.start(config(&keepa.url, (0..20).map(asin).collect()));
    let is_down = || {
        world
            .keepa_health()
            .is_some_and(|health| matches!(health, Condition::Down { reason } if reason.contains("invalidParameter")))
    };
    eventually("keepa is down", || async { is_down() }).await;
    eventually("one asin is tried", || async { keepa.requests("product") == 1 }).await;
    eventually("the status says so", || async {
        world.status().await.is_some_and(|status| status.keepa.contains("invalidParameter"))
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((keepa.requests("product"), keepa.requests("token")), (1, 1), "one a minute");
    assert_eq!(world.published_count(), 0);
    producer.stop().await;
    keepa.stop().await;
    assert_no_leak();
    world.end().await;
}

#[tokio::test]
async fn a_server_without_a_token_endpoint_is_used_all_the_same() {
    let (world, keepa) = (World::new().await, Double::start().await);
    keepa.change(|script| script.no_token_endpoint = true);
    let producer = world.start(config(&keepa.url, (0..3).map(asin).collect()));
    eventually("all are published", || async { world.published().len() == 15 }).await;
    assert!(
        world.published().values().all(|times| times.len() == 1),
        "the article that was tried first is not asked again"
    );
    assert_eq!(world.keepa_health(), Some(Condition::Up));
    producer.stop().await;
    keepa.stop().await;
    world.end().await;
}

#[tokio::test]
async fn a_plan_that_does_not_pay_is_reported_and_asked_once_a_minute() {
    let (world, keepa) = (World::new().await, Double::start().await);
    keepa.change(|script| script.status = Some(402));
    let producer = world.start(config(&keepa.url, vec![asin(1)]));
    let is_down = || {
        world
            .keepa_health()
            .is_some_and(|health| matches!(health, Condition::Down { reason } if reason.contains("payment")))
    };
    eventually("keepa is down", || async { is_down() }).await;
    eventually("one asin is tried", || async { keepa.requests("product") == 1 }).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(keepa.requests("product"), 1);
    producer.stop().await;
    keepa.stop().await;
    world.end().await;
}
