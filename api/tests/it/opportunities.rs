use serde_json::{Value, json};
use shared::domain::assessment::OpportunityScore;
use shared::domain::opportunity::ClosedReason;
use shared::domain::{Assessment, Marketplace, Opportunity, Percentage, Trap, TrapReason};
use shared::ports::catalog::StateKind;
use shared::wire::state::DetectorSettings;

use crate::harness::TestApi;
use crate::samples::{NOW, opportunity};

const REFERENCE: &str = "B0D1XD1ZV3:ES:IT";

async fn seeded() -> TestApi {
    let api = TestApi::start().await;
    let mut closed = opportunity("B000000003:DE:FR", 1000, 1300);
    (closed.is_active, closed.closed_reason) = (false, Some(ClosedReason::Gap));
    let mut stale = opportunity("B000000004:DE:FR", 1000, 1900);
    stale.source_observed_at = NOW.plus_millis(-86_400_001);
    api.put_opportunities(vec![
        opportunity(REFERENCE, 4799, 5499),
        opportunity("B000000001:UK:DE", 4999, 6990),
        opportunity("B000000002:DE:FR", 1000, 1500),
        closed,
        stale,
    ])
    .await;
    api
}

#[tokio::test]
async fn the_reference_case_is_shown_whole() {
    let api = seeded().await;
    let expected: Value = serde_json::from_str(
        r#"{
        "id": "B0D1XD1ZV3:ES:IT", "asin": "B0D1XD1ZV3", "title": "Article B0D1XD1ZV3", "brand": "Acme", "image_url": null,
        "source_market": "ES", "target_market": "IT",
        "source_price": 47.99, "source_currency": "EUR", "target_price": 54.99, "target_currency": "EUR",
        "source_price_eur": 47.99, "target_price_eur": 54.99,
        "margin": 7.00, "margin_percentage": 14.59, "profit": -9.52, "roi_percentage": -22.37, "buffer_percentage": -25.84, "currency": "EUR", "exchange_rate": null,
        "traps": null, "unchecked": [], "confidence": null, "score": null,
        "is_active": true, "closed_reason": null,
        "first_seen": "2026-01-11T11:00:00.000Z", "opened_at": "2026-01-11T11:59:00.000Z", "last_seen": "2026-01-11T12:00:00.000Z",
        "source_observed_at": "2026-01-11T11:58:00.000Z", "target_observed_at": "2026-01-11T11:57:00.000Z",
        "buy_url": "https://www.amazon.es/dp/B0D1XD1ZV3", "sell_url": "https://www.amazon.it/dp/B0D1XD1ZV3"
    }"#,
    )
    .unwrap();
    let mut detail = api.json(&format!("/opportunities/{REFERENCE}")).await;
    let fields = detail.as_object_mut().expect("an object");
    // Why a gap of 7.00 is a loss of 9.52: the ledger's lines have tests of their own.
    assert_eq!(fields.remove("ledger").expect("a ledger")["profit"], expected["profit"]);
    assert_eq!(fields.remove("alternatives"), Some(json!([])));
    assert_eq!(detail, expected);
    let list = api.get("/opportunities?asin=B0D1XD1ZV3").await;
    assert_eq!(
        list.json(),
        json!({"items": [expected], "total": {"value": 1, "relation": "eq"}, "next_cursor": null})
    );
    assert!(list.text().contains("\"margin\":7.00,\"margin_percentage\":14.59,"), "{}", list.text());
}

/// With these reasons to distrust it, this confidence and score, in hundredths.
fn assessed(id: &str, reasons: &[TrapReason], confidence: i64, score: Option<i64>) -> Opportunity {
    Opportunity {
        assessment: Some(Assessment {
            traps: reasons
                .iter()
                .map(|&reason| Trap {
                    reason,
                    market: (reason == TrapReason::StaleLeg).then_some(Marketplace::IT),
                })
                .collect(),
            unchecked: vec![TrapReason::OfferFlood],
            confidence: Percentage(confidence),
            score: score.map(|value| OpportunityScore {
                value: Percentage(value),
                market: Percentage(59_25),
                safety: Percentage(10_000),
                cheapness: Percentage(75_00),
            }),
        }),
        ..opportunity(id, 1000, 2000)
    }
}

#[tokio::test]
async fn reasons_to_distrust_are_shown_and_filtered_by_and_scores_make_an_order() {
    let api = TestApi::start().await;
    api.put_opportunities(vec![
        assessed("B000000001:ES:IT", &[TrapReason::EanMismatch, TrapReason::StaleLeg], 1_649, Some(730)),
        assessed("B000000002:ES:IT", &[TrapReason::StaleLeg], 8_245, Some(3_664)),
        assessed("B000000003:ES:IT", &[], 9_700, None),
        opportunity("B000000004:ES:IT", 1000, 2000),
    ])
    .await;
    let found = async |query: &str| -> Vec<String> {
        let list = api.json(&format!("/opportunities?{query}")).await;
        let items = list["items"].as_array().expect("a list");
        items.iter().map(|item| item["asin"].as_str().expect("a text")[9..].to_owned()).collect()
    };
    for (query, expected) in [
        ("trap=ean_mismatch", "1"),
        ("trap=stale_leg&sort=asin", "1 2"),
        ("without_traps=ean_mismatch&sort=asin", "2 3 4"),
        ("without_traps=stale_leg,ean_mismatch&sort=asin", "3 4"),
        ("without_traps=all&sort=asin", "3 4"),
        ("min_confidence=82.45&sort=asin", "2 3"),
        ("sort=-score", "2 1 3 4"),
        ("sort=score", "1 2 3 4"),
        ("trap=hazardous", ""),
    ] {
        assert_eq!(found(query).await.join(" "), expected, "{query}");
    }
    let shown = api.json("/opportunities/B000000001:ES:IT").await;
    let expected = json!([
        {"reason": "ean_mismatch", "market": null, "weight": 80},
        {"reason": "stale_leg", "market": "IT", "weight": 15},
    ]);
    assert_eq!((&shown["traps"], &shown["unchecked"]), (&expected, &json!(["offer_flood"])));
    let expected: Value = serde_json::from_str(r#"{"value": 7.30, "market": 59.25, "safety": 100.00, "cheapness": 75.00, "confidence": 16.49}"#).unwrap();
    assert_eq!(shown["score"], expected);
    for (query, named) in [
        ("trap=stale", "trap"),
        ("without_traps=", "without_traps"),
        ("min_confidence=high", "min_confidence"),
    ] {
        let refused = api.get(&format!("/opportunities?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.text().contains(named), "{}", refused.text());
    }
}

#[tokio::test]
async fn a_route_over_currencies_carries_its_rate() {
    let api = seeded().await;
    let item = api.json("/opportunities/B000000001:gb:de").await;
    let expected: Value = serde_json::from_str(r#"{"date": "2026-01-09", "rates": {"GBP": 0.8612}}"#).unwrap();
    assert_eq!(item["exchange_rate"], expected);
    assert_eq!(
        (&item["source_currency"], item["source_price_eur"].to_string()),
        (&json!("GBP"), "58.05".into())
    );
    assert_eq!(item["buy_url"], json!("https://www.amazon.co.uk/dp/B000000001"));
}

#[tokio::test]
async fn active_ones_come_by_margin_and_filters_narrow_them() {
    let api = seeded().await;
    for (query, expected) in [
        ("", &["B000000002:DE:FR", "B000000001:UK:DE", REFERENCE][..]),
        ("min_margin=14.59", &["B000000002:DE:FR", "B000000001:UK:DE", REFERENCE]),
        ("min_margin=14.591", &["B000000002:DE:FR", "B000000001:UK:DE"]),
        ("source_market=ES", &[REFERENCE]),
        ("target_market=de", &["B000000001:UK:DE"]),
        ("source_market=ES&target_market=DE", &[]),
        ("asin=b000000002", &["B000000002:DE:FR"]),
        ("brand=acme&limit=1", &["B000000002:DE:FR"]),
        ("category=garten&sort=asin&limit=1", &["B000000001:UK:DE"]),
        ("category=gart", &[]),
        ("sort=margin", &["B000000002:DE:FR", REFERENCE, "B000000001:UK:DE"]),
        ("sort=-source_price_eur", &["B000000001:UK:DE", REFERENCE, "B000000002:DE:FR"]),
        ("active=false&sort=asin", &["B000000003:DE:FR", "B000000004:DE:FR"]),
    ] {
        let answer = api.get(&format!("/opportunities?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        assert_eq!(answer.ids(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_leg_that_aged_since_the_last_evaluation_is_told() {
    let api = seeded().await;
    for (id, reason) in [("B000000003:DE:FR", "gap"), ("B000000004:DE:FR", "stale")] {
        let item = api.json(&format!("/opportunities/{id}")).await;
        assert_eq!((&item["is_active"], &item["closed_reason"]), (&json!(false), &json!(reason)), "{id}");
    }
    api.advance(86_400_000);
    assert_eq!(api.json("/opportunities").await["total"]["value"], json!(0));
}

#[tokio::test]
async fn pages_go_on_where_they_ended() {
    let api = seeded().await;
    let first = api.get("/opportunities?limit=2").await;
    let cursor = first.json()["next_cursor"].as_str().expect("more").to_owned();
    api.advance(5_000);
    let second = api.get(&format!("/opportunities?limit=2&cursor={cursor}")).await;
    assert_eq!([first.ids(), second.ids()].concat(), ["B000000002:DE:FR", "B000000001:UK:DE", REFERENCE]);
    assert_eq!(second.json()["next_cursor"], Value::Null);
    // The cursor belongs to its query.
    let answer = api.get(&format!("/opportunities?limit=2&sort=asin&cursor={cursor}")).await;
    assert_eq!(answer.status, 400);
    assert!(answer.json()["detail"].as_str().unwrap().starts_with("parameter cursor: "), "{}", answer.text());
}

#[tokio::test]
async fn a_margin_below_what_is_recorded_is_answered_with_a_notice() {
    let api = seeded().await;
    assert_eq!(api.json("/opportunities?min_margin=10").await.get("notice"), None);
    let notice = api.json("/opportunities?min_margin=5").await["notice"].as_str().expect("a notice").to_owned();
    assert!(notice.contains("10 %") && notice.contains("min_margin=5"), "{notice}");

    let settings = DetectorSettings {
        version: 1,
        min_margin_percent: "2.5".into(),
        leg_stale_after_ms: 1,
        markets: vec![],
        seller: None,
    };
    api.put_state(StateKind::Settings, "detector", None, None, NOW, settings).await;
    api.advance(60_000);
    assert_eq!(
        api.json("/opportunities?min_margin=5").await.get("notice"),
        None,
        "the detector's own floor counts"
    );
}

#[tokio::test]
async fn one_that_never_was_is_404_and_a_malformed_id_400() {
    let api = seeded().await;
    assert_eq!(api.get("/opportunities/B0D1XD1ZV3:IT:ES").await.status, 404);
    for id in ["B0D1XD1ZV3:ES:ES", "B0D1XD1ZV3", "x", "B0D1XD1ZV3:ES:NL"] {
        let answer = api.get(&format!("/opportunities/{id}")).await;
        assert_eq!(answer.status, 400, "{id}");
        assert!(answer.json()["detail"].as_str().unwrap().starts_with("parameter id: "), "{}", answer.text());
    }
}

#[tokio::test]
async fn words_names_and_every_column_order_the_list() {
    let api = seeded().await;
    for (query, expected) in [
        ("q=b0d1xd1zv3", vec![REFERENCE]),
        ("q=Article%20acme%20b000000001", vec!["B000000001:UK:DE"]),
        ("q=nothing", vec![]),
        ("q=article&sort=title", vec!["B000000001:UK:DE", "B000000002:DE:FR", REFERENCE]),
        ("sort=-title&limit=1", vec![REFERENCE]),
        ("sort=confidence", vec!["B000000001:UK:DE", "B000000002:DE:FR", REFERENCE]),
        ("sort=-oldest_leg", vec!["B000000001:UK:DE", "B000000002:DE:FR", REFERENCE]),
    ] {
        assert_eq!(api.get(&format!("/opportunities?{query}")).await.ids(), expected, "{query}");
    }
    assert_eq!(
        api.json("/opportunities/facets").await,
        json!({"brands": [{"name": "Acme", "count": 3}], "categories": [{"name": "Garten", "count": 3}]})
    );
}
