//! `/products/{asin}/history`: steps of every marketplace, exact, in EUR beside.

use serde_json::json;
use shared::domain::price::PriceKind;
use shared::domain::{KeepaMinutes, Marketplace, ObservedAt, UnixMillis};
use shared::ports::catalog::StateKind;
use shared::wire::state::HistoryRecord;

use crate::harness::TestApi;
use crate::samples::{NOW, REFERENCE, asin, rates_record, reference};

fn minutes_ago(minutes: i64) -> KeepaMinutes {
    KeepaMinutes::from_unix(NOW.plus_millis(-minutes * 60_000))
}

/// A number with its digits.
fn amount(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("a number")
}

async fn put(api: &TestApi, marketplace: Marketplace, kind: PriceKind, to: i64, points: &[(i64, Option<i64>)]) {
    let record = HistoryRecord {
        observed_at: ObservedAt {
            last_update: minutes_ago(to),
            fetched_at: UnixMillis(1),
        },
        kind,
        to: minutes_ago(to),
        points: points.iter().map(|&(minutes, price)| (minutes_ago(minutes), price)).collect(),
    };
    let id = HistoryRecord::id(asin(REFERENCE), marketplace);
    api.put_state(StateKind::Histories, &id, Some(REFERENCE), None, minutes_ago(to).to_unix(), record)
        .await;
}

#[tokio::test]
async fn a_series_ends_with_the_present_price_of_its_kind_or_where_it_ends() {
    let api = TestApi::start().await;
    api.put_products(vec![reference()]).await;
    api.put_state(StateKind::Rates, "current", None, None, NOW, rates_record()).await;
    put(
        &api,
        Marketplace::DE,
        PriceKind::New,
        60,
        &[(300, Some(5_199)), (200, None), (100, Some(4_899))],
    )
    .await;
    put(&api, Marketplace::UK, PriceKind::New, 60, &[(300, Some(1))]).await;
    // What is shown there is a buy box.
    put(&api, Marketplace::ES, PriceKind::New, 60, &[(300, Some(9_999_999))]).await;
    let history = api.json(&format!("/products/{}/history", REFERENCE.to_lowercase())).await;
    assert_eq!(
        history["markets"]["DE"],
        json!({
            "currency": "EUR", "kind": "new", "to": "2026-01-11T11:00:00.000Z",
            "points": [
                {"at": "2026-01-11T07:00:00.000Z", "amount": 51.99, "amount_eur": 51.99},
                {"at": "2026-01-11T08:40:00.000Z", "amount": null, "amount_eur": null},
                {"at": "2026-01-11T10:20:00.000Z", "amount": 48.99, "amount_eur": 48.99},
                {"at": "2026-01-11T12:00:00.000Z", "amount": 49.99, "amount_eur": 49.99},
            ],
        })
    );
    assert_eq!(
        history["markets"]["UK"]["points"],
        json!([
            {"at": "2026-01-11T07:00:00.000Z", "amount": 0.01, "amount_eur": 0.01},
            {"at": "2026-01-11T12:00:00.000Z", "amount": amount("49.90"), "amount_eur": 57.94},
        ])
    );
    assert_eq!(
        history["markets"]["ES"]["points"],
        json!([
            {"at": "2026-01-11T07:00:00.000Z", "amount": 99999.99, "amount_eur": 99999.99},
            {"at": "2026-01-11T11:00:00.000Z", "amount": 99999.99, "amount_eur": 99999.99},
        ])
    );
    assert_eq!(history["markets"].get("IT"), None, "none is held");
}

#[tokio::test]
async fn an_article_without_history_has_none_and_an_unknown_one_is_unknown() {
    let api = TestApi::start().await;
    api.put_products(vec![reference()]).await;
    assert_eq!(
        api.json(&format!("/products/{REFERENCE}/history")).await,
        json!({"asin": REFERENCE, "markets": {}})
    );
    assert_eq!(api.get("/products/B000000000/history").await.status, 404);
    assert_eq!(api.get("/products/short/history").await.status, 400);
}
