use serde_json::{Value, json};
use shared::domain::history::{HistoryFacts, SellerShare, SeriesHistory};
use shared::domain::price::{BuyBoxFacts, StatisticsFacts, StatisticsOrigin};
use shared::domain::{KeepaMinutes, Marketplace, Percentage, Product, Register, Source};
use shared::ports::catalog::StateKind;

use crate::harness::TestApi;
use crate::samples::{NOW, REFERENCE, asin, market, product, product_at, rates_record, reference, stored};

async fn seeded() -> TestApi {
    let api = TestApi::start().await;
    api.put_state(StateKind::Rates, "current", None, None, NOW, rates_record()).await;
    api.put_products(vec![
        reference(),
        product("B000000001", "Anvil", &[(Marketplace::DE, 1000), (Marketplace::UK, 2000)]),
        product_at("B000000002", "Bucket", &[(Marketplace::FR, 2500)], NOW.plus_millis(-8 * 86_400_000)),
        stored(Product::from_record(
            asin("B000000003"),
            Marketplace::JP,
            Source::Keepa,
            market(Some(1650), NOW),
        )),
        stored(Product::from_record(asin("B000000004"), Marketplace::DE, Source::Keepa, market(None, NOW))),
    ])
    .await;
    api
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[tokio::test]
async fn a_product_is_shown_whole_with_decimals_as_they_are() {
    let api = seeded().await;
    let none = "null";
    let competition = |rank: &str, availability: &str, score: &str| {
        format!(
            r#"{{
            "sales_rank": {rank}, "sales_rank_category": {none}, "sales_rank_drops_30": {none}, "monthly_sold": {none},
            "offers_new": {none}, "offers_fba": {none}, "offers_fbm": {none}, "amazon_in_stock": false,
            "sellers": [], "sellers_origin": {none},
            "score": {{
                "value": {score}, "demand": {none}, "openness": {none}, "room": {none}, "stability": {none}, "availability": {availability}
            }}
        }}"#
        )
    };
    let (of_germany, unknown) = (competition("42", "97.00", "57.05"), competition(none, none, "50.00"));
    let expected = parse(&format!(
        r#"{{
        "asin": "B0D1XD1ZV3", "title": "Kettle \"1.7 l\" <b>", "brand": "Acme", "category": "Küche, Haushalt & Wohnen",
        "image_url": "https://m.media-amazon.com/images/I/made-up.jpg",
        "amazon_urls": {{
            "DE": "https://www.amazon.de/dp/B0D1XD1ZV3", "IT": "https://www.amazon.it/dp/B0D1XD1ZV3",
            "ES": "https://www.amazon.es/dp/B0D1XD1ZV3", "UK": "https://www.amazon.co.uk/dp/B0D1XD1ZV3"
        }},
        "current_prices": {{
            "DE": {{"amount": 49.99, "currency": "EUR", "amount_eur": 49.99, "kind": "new", "observed_at": "2026-01-11T12:00:00.000Z"}},
            "IT": {{"amount": 54.99, "currency": "EUR", "amount_eur": 54.99, "kind": "new", "observed_at": "2026-01-11T12:00:00.000Z"}},
            "ES": {{"amount": 47.99, "currency": "EUR", "amount_eur": 47.99, "kind": "buy_box", "observed_at": "2026-01-11T11:50:00.000Z"}},
            "UK": {{"amount": 49.90, "currency": "GBP", "amount_eur": 57.94, "kind": "new", "observed_at": "2026-01-11T12:00:00.000Z"}}
        }},
        "price_statistics": {{"DE": {{
            "avg30": 50.10, "avg90": 51.00, "avg180": {none}, "avg365": {none},
            "min": 39.90, "min_at": "2026-01-10T12:00:00.000Z", "max": {none}, "max_at": {none},
            "out_of_stock_percentage_30": {none}, "out_of_stock_percentage_90": 3,
            "out_of_stock_percentage_180": {none}, "out_of_stock_percentage_365": {none}, "origin": "keepa",
            "drop_percentage": 1.98, "history": {none}
        }}}},
        "competition": {{"DE": {of_germany}, "IT": {unknown}, "ES": {unknown}, "UK": {unknown}}}, "score": 57.05,
        "sales_rank": {{"DE": 42}},
        "first_seen": "2026-01-11T12:00:00.000Z", "last_updated": "2026-01-11T12:00:00.000Z",
        "is_active": true, "revision": 1768132800000
    }}"#
    ));
    let answer = api.get(&format!("/products/{REFERENCE}")).await;
    assert_eq!(answer.json(), expected);
    assert!(answer.text().contains("\"amount\":49.90,"), "trailing zeros stay: {}", answer.text());
    assert_eq!(api.json("/api/v1/products/b0d1xd1zv3").await, expected);
    assert_eq!(api.json(&format!("/products?q={REFERENCE}")).await["items"], json!([expected]));
}

#[tokio::test]
async fn history_and_competitors_of_a_market_are_shown_with_what_follows_from_the_present_price() {
    let api = TestApi::start().await;
    let mut state = market(Some(4_000), NOW);
    let observed_at = state.latest;
    let spread = SeriesHistory {
        from: KeepaMinutes::from_unix(NOW.plus_millis(-90 * 86_400_000)),
        to: KeepaMinutes::from_unix(NOW),
        average: 5_000,
        deviation: 300,
        variation: Percentage(6_00),
        p1: 3_990,
        p10: 4_000,
        p25: 4_800,
        p50: 5_000,
        p75: 5_200,
        p90: 6_000,
        p99: 6_500,
        previous: Some(5_000),
        out_of_stock: Percentage(1_25),
        changes_per_month: Percentage(3_33),
        trend: Some(Percentage(-2_50)),
        trend_fit: None,
        robust_trend: Some(Percentage(0)),
        drawdown: Percentage(38_62),
    };
    let facts = HistoryFacts {
        new: Some(spread),
        ..HistoryFacts::default()
    };
    state.history = Some(Register::new(observed_at, facts));
    state.statistics = Some(Register::new(observed_at, StatisticsFacts::default()));
    let amazon = Marketplace::DE.amazon_seller_id().expect("known");
    let buy_box = BuyBoxFacts {
        shares: vec![SellerShare {
            seller_id: amazon.into(),
            share: Percentage(60_00),
        }],
        shares_origin: Some(StatisticsOrigin::History),
        ..BuyBoxFacts::default()
    };
    state.buy_box = Some(Register::new(observed_at, buy_box));
    api.put_products(vec![stored(Product::from_record(asin(REFERENCE), Marketplace::DE, Source::Keepa, state))])
        .await;
    let shown = api.json(&format!("/products/{REFERENCE}")).await;
    let statistics = &shown["price_statistics"]["DE"];
    let expected = parse(
        r#"{
        "from": "2025-10-13T12:00:00.000Z", "to": "2026-01-11T12:00:00.000Z", "average": 50.00, "standard_deviation": 3.00,
        "variation_percentage": 6.00, "p1": 39.90, "p10": 40.00, "p25": 48.00, "p50": 50.00, "p75": 52.00, "p90": 60.00, "p99": 65.00,
        "out_of_stock_percentage": 1.25, "changes_per_30_days": 3.33, "stability_percentage": 80.00, "robust_spread_percentage": 8.00,
        "trend_percentage_per_30_days": -2.50, "trend_fit_percentage": null, "robust_trend_percentage_per_30_days": 0.00,
        "max_drawdown_percentage": 38.62, "drop_from_previous_percentage": 20.00, "position_in_range_percentage": 0.00
    }"#,
    );
    assert_eq!((&statistics["history"], &statistics["drop_percentage"]), (&expected, &parse("20.00")));
    let competition = &shown["competition"]["DE"];
    let expected = parse(&format!(r#"[{{"seller_id": "{amazon}", "buy_box_percentage": 60.00, "is_amazon": true}}]"#));
    assert_eq!((&competition["sellers"], &competition["sellers_origin"]), (&expected, &json!("history")));
    assert_eq!(competition["score"]["openness"], parse("40.00"));
    assert_eq!(competition["score"]["stability"], parse("80.00"));
}

#[tokio::test]
async fn a_list_has_items_a_total_and_a_cursor() {
    let api = seeded().await;
    let list = api.json("/products?limit=2").await;
    assert_eq!(list["total"], json!({"value": 5, "relation": "eq"}));
    let mut keys: Vec<&String> = list.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["items", "next_cursor", "total"]);

    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page = api.get(&format!("/products?limit=2{next}")).await;
        seen.extend(page.ids());
        match page.json()["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
        // Pages hold while the clock goes on.
        api.advance(5_000);
    }
    assert_eq!(seen, ["B000000001", "B000000002", "B000000003", "B000000004", REFERENCE]);
}

#[tokio::test]
async fn filters_and_orders_find_what_they_say() {
    let api = seeded().await;
    for (query, expected) in [
        ("q=kettle", &[REFERENCE][..]),
        ("q=Acme+anvil", &["B000000001"]),
        ("q=b000000002", &["B000000002"]),
        ("q=nothing", &[]),
        ("market=FR", &["B000000002"]),
        ("market=gb", &["B000000001", REFERENCE]),
        ("market=UK&sort=-asin", &[REFERENCE, "B000000001"]),
        ("brand=ACME", &["B000000001", "B000000002", REFERENCE]),
        ("brand=Acm", &[]),
        ("category=k%C3%9CCHE%2C+haushalt+%26+wohnen&limit=1", &["B000000001"]),
        ("active=true", &["B000000001", "B000000003", REFERENCE]),
        ("active=false", &["B000000002", "B000000004"]),
        ("sort=-title&limit=3", &[REFERENCE, "B000000002", "B000000001"]),
        ("sort=last_updated&limit=1", &["B000000002"]),
        // Bounds are EUR: 49.90 GBP are 57.94, 20.00 GBP are 23.22; yen have no rate and match nothing.
        ("min_price=57.94&max_price=57.94", &[REFERENCE]),
        ("min_price=57.95", &[]),
        ("min_price=57.935", &[REFERENCE]),
        ("max_price=23.22", &["B000000001"]),
        ("min_price=23.22&max_price=23.22", &["B000000001"]),
        ("min_price=23.22&max_price=23.22&market=DE", &[]),
        // Both bounds hold in one and the same marketplace: 10.00 and 23.22 do not make a 15.00.
        ("min_price=11&max_price=23", &[]),
        ("min_price=0", &["B000000001", "B000000002", REFERENCE]),
    ] {
        let answer = api.get(&format!("/products?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        assert_eq!(answer.ids(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_product_without_any_price_is_listed_and_inactive() {
    let api = seeded().await;
    let product = api.json("/products/B000000004").await;
    assert_eq!(
        (&product["current_prices"], &product["is_active"], &product["title"]),
        (&json!({}), &json!(false), &Value::Null)
    );
}

#[tokio::test]
async fn without_a_rate_there_is_no_amount_in_euros() {
    let api = seeded().await;
    let product = api.json("/products/B000000003").await;
    assert_eq!(
        product["current_prices"]["JP"],
        parse(r#"{"amount": 1650, "currency": "JPY", "amount_eur": null, "kind": "new", "observed_at": "2026-01-11T12:00:00.000Z"}"#)
    );
}

#[tokio::test]
async fn a_product_ages_while_nothing_is_written() {
    let api = seeded().await;
    api.advance(8 * 86_400_000);
    assert_eq!(api.json(&format!("/products/{REFERENCE}")).await["is_active"], json!(false));
    assert_eq!(api.json("/products?active=true").await["total"]["value"], json!(0));
}

#[tokio::test]
async fn an_article_never_found_is_404_and_a_malformed_one_400() {
    let api = seeded().await;
    let answer = api.get("/products/B0NEVERSEE").await;
    assert_eq!(
        (answer.status, answer.json()["detail"].as_str()),
        (404, Some("product B0NEVERSEE is not known"))
    );
    let answer = api.get("/products/nope").await;
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(answer.status == 400 && detail.starts_with("parameter asin: "), "{} {detail}", answer.status);
}
