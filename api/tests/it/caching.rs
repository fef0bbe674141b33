use std::sync::Arc;
use std::sync::atomic::Ordering;

use poem::http::Method;
use serde_json::json;
use shared::domain::Marketplace;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::TestApi;
use crate::samples::{NOW, opportunity, product};

const STALE: &str = "110 - \"Response is Stale\"";

async fn seeded() -> TestApi {
    let api = TestApi::start().await;
    api.put_products(vec![product("B000000001", "Anvil", &[(Marketplace::DE, 1000)])]).await;
    api.put_opportunities(vec![opportunity("B0D1XD1ZV3:ES:IT", 4799, 5499)]).await;
    api.health.up("event_log", NOW);
    api.health.up("catalog", NOW);
    api.api.set_following(true);
    // The follower has taken its place.
    api.advance(20_000);
    api
}

#[tokio::test]
async fn lists_say_their_tag_and_age_and_ask_to_be_checked() {
    let api = seeded().await;
    for path in ["/opportunities", "/products", "/stats", "/runs"] {
        let first = api.get(path).await;
        assert_eq!(
            (first.header("age"), first.header("cache-control"), first.header("warning")),
            (Some("0"), Some("no-cache"), None),
            "{path}"
        );
        let etag = first.header("etag").expect("a tag").to_owned();

        let again = api.request(Method::GET, path, &[("if-none-match", &etag)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(
            (again.header("etag"), again.header("cache-control")),
            (Some(&*etag), Some("no-cache")),
            "{path}"
        );
        assert!(again.header("x-request-id").is_some());

        let other = api.request(Method::GET, path, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(other.status, 200, "{path}");
    }
}

#[tokio::test]
async fn opportunities_are_searched_once_a_minute_until_one_changes() {
    let api = seeded().await;
    api.get("/opportunities").await;
    let searches = api.searches();
    api.advance(59_000);
    let answer = api.get("/opportunities").await;
    assert_eq!((api.searches() - searches, answer.header("age")), (0, Some("59")));
    // The same question in other words has the same answer.
    api.get("/opportunities?sort=-margin_percentage&limit=050&active=true").await;
    assert_eq!(api.searches() - searches, 0);

    api.put_opportunities(vec![opportunity("B000000002:ES:IT", 1000, 2000)]).await;
    api.api.note_change();
    let answer = api.get("/opportunities").await;
    assert_eq!((answer.ids().len(), answer.header("age")), (2, Some("0")));

    // A search may lag behind the announcement: right after it, an answer is trusted for a second only.
    let searches = api.searches();
    api.advance(999);
    api.get("/opportunities").await;
    assert_eq!(api.searches() - searches, 0);
    api.advance(1_001);
    api.get("/opportunities").await;
    assert_eq!(api.searches() - searches, 1);
    api.advance(59_999);
    api.get("/opportunities").await;
    assert_eq!(api.searches() - searches, 1);
    api.advance(1);
    api.get("/opportunities").await;
    assert_eq!(api.searches() - searches, 2);
}

#[tokio::test]
async fn a_change_is_searched_for_once_while_all_are_served_what_was_held() {
    let api = seeded().await;
    let mut renewing = JoinSet::new();
    let renewed = Arc::clone(&api.api);
    renewing.spawn(async move { renewed.renew(CancellationToken::new()).await });
    tokio::task::yield_now().await;
    let gzip = [("accept-encoding", "gzip")];
    api.request(Method::GET, "/opportunities", &gzip).await;
    api.advance(59_000);
    api.get("/opportunities").await;
    let searches = api.searches();
    api.put_opportunities(vec![opportunity("B000000002:ES:IT", 1000, 2000)]).await;
    api.api.note_change();
    let answer = api.get("/opportunities").await;
    assert_eq!((answer.ids().len(), answer.header("warning")), (1, None));
    // It comes by itself, and no call waits for it.
    while api.get("/opportunities").await.ids().len() == 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(api.searches() - searches, 1);
    let compressed = api.request(Method::GET, "/opportunities", &gzip).await;
    assert_eq!(
        (compressed.header("content-encoding"), compressed.header("vary")),
        (Some("gzip"), Some("Accept-Encoding"))
    );
}

#[tokio::test]
async fn many_changes_cost_one_search_a_second() {
    let api = seeded().await;
    api.get("/opportunities").await;
    let searches = api.searches();
    for _ in 0..50 {
        api.advance(100);
        api.api.note_change();
        api.get("/opportunities").await;
    }
    assert_eq!(api.searches() - searches, 5);
}

#[tokio::test]
async fn without_the_event_log_lists_are_searched_again_soon() {
    let api = seeded().await;
    api.health.down("event_log", "gone", NOW);
    api.get("/opportunities").await;
    let searches = api.searches();
    api.advance(2_000);
    api.get("/opportunities").await;
    assert_eq!(api.searches() - searches, 1);
}

#[tokio::test]
async fn a_new_price_shows_within_two_seconds() {
    let api = seeded().await;
    assert_eq!(api.get("/products").await.ids().len(), 1);
    api.put_products(vec![product("B000000002", "Bucket", &[(Marketplace::DE, 1000)])]).await;
    api.advance(2_000);
    assert_eq!(api.get("/products").await.ids().len(), 2);
}

#[tokio::test]
async fn concurrent_questions_are_searched_once() {
    let api = seeded().await;
    let searches = api.searches();
    let answers = futures_util::future::join_all((0..20).map(|_| api.get("/opportunities"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(api.searches() - searches, 1);
}

#[tokio::test]
async fn without_the_catalog_the_last_good_answer_is_served_whatever_its_age() {
    let api = seeded().await;
    let before = api.get("/opportunities").await;
    api.get("/products/B000000001").await;
    api.take_catalog_away(true);
    api.advance(7 * 86_400_000);
    let answer = api.get("/opportunities").await;
    assert_eq!(
        (answer.status, answer.header("warning"), answer.header("age")),
        (200, Some(STALE), Some("604800"))
    );
    assert_eq!(answer.body, before.body);
    let etag = before.header("etag").unwrap().to_owned();
    let unchanged = api.request(Method::GET, "/opportunities", &[("if-none-match", &etag)]).await;
    assert_eq!((unchanged.status, unchanged.header("warning")), (304, Some(STALE)));
    assert_eq!(api.get("/products/B000000001").await.header("warning"), Some(STALE));

    // What was never asked before cannot be answered; the catalog's own words stay here.
    for path in [
        "/products",
        "/stats",
        "/runs",
        "/opportunities?sort=asin",
        "/products/B000000002",
        "/opportunities/B0D1XD1ZV3:ES:IT",
    ] {
        let answer = api.get(path).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{path}");
        assert_eq!(answer.json()["detail"], json!("the catalog does not answer at the moment"), "{path}");
        assert!(!answer.text().contains("secret"), "{path}");
    }

    api.take_catalog_away(false);
    api.advance(1_000);
    let answer = api.get("/opportunities").await;
    assert_eq!((answer.header("warning"), answer.header("age")), (None, Some("0")));
}

#[tokio::test]
async fn a_catalog_known_to_be_down_is_not_waited_for() {
    let api = seeded().await;
    api.get("/opportunities").await;
    api.health.down("catalog", "gone", NOW);
    api.advance(120_000);
    let searches = api.catalog.searches.load(Ordering::SeqCst);
    let answer = api.get("/opportunities").await;
    assert_eq!((answer.status, answer.header("warning")), (200, Some(STALE)));
    assert_eq!(api.searches(), searches);
}
