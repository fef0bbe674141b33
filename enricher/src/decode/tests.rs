use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use shared::domain::price::{BuyBoxFacts, OfferFacts, PriceFacts, StatisticsOrigin};
use shared::domain::{BySource, KeepaMinutes, Listing, MarketState, Marketplace, ObservedAt, Source, Staleness, StoredProduct, UnixMillis};

use super::*;

mod mutations;

const ASIN: &str = "B0D1XD1ZV3";
/// 2026-01-11T12:00Z, and the same in Keepa's minutes.
const NOW: UnixMillis = UnixMillis(1_768_132_800_000);
const NOW_MINUTES: i64 = 7_904_880;

fn decode_bytes(key: &[u8], payload: &[u8]) -> Result<Decoded, Refusal> {
    let input = Input {
        key: Some(key),
        payload: Some(payload),
        timestamp: NOW,
    };
    decode(&input, NOW)
}

fn envelope(product: &str) -> String {
    format!(
        r#"{{"v":1,"asin":"{ASIN}","domain_id":3,"fetched_at_ms":{},"source":"watchlist","run_id":null,"product":{product}}}"#,
        NOW.0
    )
}

/// The state that a product object in an envelope becomes.
fn state_of(product: &Value) -> MarketState {
    let payload = envelope(&product.to_string());
    let decoded = decode_bytes(ASIN.as_bytes(), payload.as_bytes()).unwrap_or_else(|refusal| panic!("{refusal}: {payload}"));
    MarketState::clone(&decoded.update.markets[&Marketplace::DE][Source::Keepa])
}

fn refusal_of(payload: &str) -> RefusalClass {
    decode_bytes(ASIN.as_bytes(), payload.as_bytes()).expect_err(payload).class
}

/// Keepa's array of a slot per series, -1 but for the given ones.
fn slots(length: usize, values: &[(usize, i64)]) -> Value {
    let mut slots = vec![-1; length];
    for &(index, value) in values {
        slots[index] = value;
    }
    json!(slots)
}

fn with_stats(stats: Value) -> Value {
    json!({"asin": ASIN, "domainId": 3, "productType": 0, "lastUpdate": NOW_MINUTES, "stats": stats})
}

type Carried = (Option<(Option<i64>, Option<i64>)>, Option<Option<i64>>);

/// What a state carries: new and Amazon's, buy box; outer `None` = not asked for.
fn carried(state: &MarketState) -> Carried {
    let prices = state.prices.as_ref().map(|register| (register.facts.new, register.facts.amazon));
    (prices, state.buy_box.as_ref().map(|register| register.facts.landed))
}

#[test]
fn what_is_no_update_is_refused_by_class() {
    use RefusalClass::{Asin, Clock, Domain, Json, Key, Shape, Version};
    let head = format!(r#""v":1,"asin":"{ASIN}","domain_id":3,"fetched_at_ms":{}"#, NOW.0);
    let with = |product: &str| format!(r#"{{{head},"product":{product}}}"#);
    let late = NOW.0 + CLOCK_TOLERANCE_MILLIS + 1;
    let late_minutes = NOW_MINUTES + 6;
    for (payload, class) in [
        (" ".to_owned(), Json),
        ("null".into(), Json),
        ("[]".into(), Json),
        (format!("[1,\"{ASIN}\",3,1,null,{{}}]"), Json),
        ("\"text\"".into(), Json),
        ("4".into(), Json),
        ("{".into(), Json),
        ("{}{}".into(), Json),
        ("{\"asin\":NaN}".into(), Json),
        ("{\"asin\":01}".into(), Json),
        ("{'asin':1}".into(), Json),
        ("{\"asin\":1,}".into(), Json),
        ("<html>".into(), Json),
        (format!(r#"{{"asin":"{ASIN}","asin":"{ASIN}","domain":3}}"#), Shape),
        (with("{}").replace("\"v\":1", "\"v\":2"), Version),
        (with("{}").replace("\"v\":1", "\"v\":\"1\""), Version),
        (with("{}").replace("\"v\":1", "\"v\":1.5"), Version),
        (with("{}").replace("\"v\":1,", ""), Version),
        (with("{}").replace("\"v\":1", "\"v\":null"), Version),
        ("{}".into(), Asin),
        ("{\"v\":1}".into(), Asin),
        (with("{}").replace(ASIN, "B0D1XD1ZV"), Asin),
        (with("{}").replace(&format!("\"{ASIN}\""), "1886940606"), Asin),
        (with("{}").replace(ASIN, "B000000000"), Key),
        (with(r#"{"asin":"B000000000"}"#), Asin),
        (with(r#"{"asin":7}"#), Asin),
        (with("{}").replace("\"domain_id\":3", "\"domain_id\":7"), Domain),
        (with("{}").replace("\"domain_id\":3", "\"domain_id\":0"), Domain),
        (with("{}").replace("\"domain_id\":3", "\"domain_id\":13"), Domain),
        (with("{}").replace("\"domain_id\":3", "\"domain_id\":\"3\""), Domain),
        (with("{}").replace("\"domain_id\":3", "\"domain_id\":3.5"), Domain),
        (with("{}").replace("\"domain_id\":3,", ""), Domain),
        (with(r#"{"domainId":1}"#), Domain),
        (with(r#"{"domainId":"x"}"#), Domain),
        (with("{}").replace(&NOW.0.to_string(), &late.to_string()), Clock),
        (with("{}").replace(&NOW.0.to_string(), "0"), Clock),
        (with("{}").replace(&NOW.0.to_string(), "-5"), Clock),
        (with("{}").replace(&NOW.0.to_string(), &i64::MAX.to_string()), Clock),
        (with(&format!(r#"{{"lastUpdate":{late_minutes}}}"#)), Clock),
        (with(&format!(r#"{{"lastUpdate":{}}}"#, i64::MAX)), Clock),
        (with("{}").replace(&NOW.0.to_string(), "true"), Shape),
        (with("{}").replace(&NOW.0.to_string(), "\"soon\""), Shape),
        (with("{}").replace(&NOW.0.to_string(), "null"), Shape),
        (format!("{{{head}}}"), Shape),
        (with("null"), Shape),
        (with("[]"), Shape),
        (with("\"{}\""), Shape),
        (format!(r#"{{{head},"source":5,"product":{{}}}}"#), Shape),
        (with(r#"{"stats":[]}"#), Shape),
        (with(r#"{"stats":"none"}"#), Shape),
        (with(r#"{"stats":{"current":4999}}"#), Shape),
        (with(r#"{"stats":{"current":{"1":4999}}}"#), Shape),
        (with(r#"{"stats":{"current":[-1,"4999"]}}"#), Shape),
        (with(r#"{"stats":{"current":[-1,49.99]}}"#), Shape),
        (with(r#"{"stats":{"current":[-1,99999999999]}}"#), Shape),
        (with(r#"{"stats":{"current":[-1,4999],"buyBoxPrice":"4999"}}"#), Shape),
        (with(r#"{"stats":{"current":[-1,4999],"buyBoxPrice":4999,"buyBoxShipping":[]}}"#), Shape),
        (with(r#"{"stats":{"current":[-1,4999],"current":[]}}"#), Shape),
        (with(r#"{"csv":{}}"#), Shape),
        (with(r#"{"csv":"[]"}"#), Shape),
        (with(r#"{"csv":[null,5]}"#), Shape),
        (with(r#"{"csv":[null,[1,2,3]]}"#), Shape),
        (with(r#"{"csv":[null,[1,"2"]]}"#), Shape),
        (with(r#"{"csv":[null,[1,null]]}"#), Shape),
        (with(r#"{"productType":"0"}"#), Shape),
        (with(r#"{"lastUpdate":{}}"#), Shape),
        (with(r#"{"lastUpdate":1,"lastUpdate":2}"#), Shape),
        (format!(r#"{{"asin":"{ASIN}"}}"#), Domain),
        (format!(r#"{{"asin":"{ASIN}","domain":7}}"#), Domain),
        (format!(r#"{{"asin":"{ASIN}","domain":"DE"}}"#), Domain),
        (format!(r#"{{"asin":"{ASIN}","domain":3,"stats":4999}}"#), Shape),
        (format!(r#"{{"asin":"{ASIN}","domain":3,"stats":{{"current":"4999"}}}}"#), Shape),
        (format!(r#"{{"asin":"{ASIN}","domain":3,"stats":{{"current":[4999]}}}}"#), Shape),
        (format!(r#"{{"asin":"{ASIN}","domain":3,"stats":{{"current":49.99}}}}"#), Shape),
    ] {
        assert_eq!(refusal_of(&payload), class, "{payload}");
    }
}

#[test]
fn bytes_that_are_no_text_and_no_bytes_at_all_are_refused() {
    for (payload, class) in [
        (None, RefusalClass::Empty),
        (Some(&b""[..]), RefusalClass::Empty),
        (Some(&b"{\"asin\":\"\xff\"}"[..]), RefusalClass::Json),
        (Some(&b"\xef\xbb\xbf{}"[..]), RefusalClass::Json),
    ] {
        let input = Input {
            key: Some(ASIN.as_bytes()),
            payload,
            timestamp: NOW,
        };
        assert_eq!(decode(&input, NOW).expect_err("refused").class, class);
    }
}

#[test]
fn the_key_has_to_be_the_asin_in_upper_case() {
    let payload = envelope("{}");
    for key in [Some(&b"b0d1xd1zv3"[..]), Some(b""), Some(b"\xff\xfe"), Some(b"B0D1XD1ZV3 "), None] {
        let input = Input {
            key,
            payload: Some(payload.as_bytes()),
            timestamp: NOW,
        };
        assert_eq!(decode(&input, NOW).expect_err("refused").class, RefusalClass::Key);
    }
    let lower = payload.replace(ASIN, &ASIN.to_lowercase());
    assert!(decode_bytes(ASIN.as_bytes(), lower.as_bytes()).is_ok());
}

#[test]
fn messages_never_grow_with_the_record() {
    let long = "x".repeat(100_000);
    for payload in [
        format!(r#"{{"asin":"{long}"}}"#),
        envelope(&format!(r#"{{"stats":"{long}"}}"#)),
        format!(r#"{{"asin":"{ASIN}","domain":"{long}"}}"#),
    ] {
        let refusal = decode_bytes(long.as_bytes(), payload.as_bytes()).expect_err("refused");
        assert!(refusal.message.len() <= 500, "{}", refusal.message);
    }
}

#[test]
fn sources_are_keepa_unless_a_user_observed_it() {
    for (source, expected) in [
        ("\"observation\"", Source::Observation),
        ("\"watchlist\"", Source::Keepa),
        ("\"deals\"", Source::Keepa),
        ("\"\"", Source::Keepa),
        ("null", Source::Keepa),
    ] {
        let payload = envelope("{}").replace("\"watchlist\"", source);
        let decoded = decode_bytes(ASIN.as_bytes(), payload.as_bytes()).expect("decoded");
        assert_eq!(decoded.update.markets[&Marketplace::DE].keys().collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn a_product_that_lacks_everything_is_an_update_that_erases_nothing() {
    for product in [
        "{}",
        r#"{"csv":null,"stats":null,"title":null,"categories":null,"brand":null}"#,
        r#"{"stats":{},"csv":[]}"#,
    ] {
        let decoded = decode_bytes(ASIN.as_bytes(), envelope(product).as_bytes()).expect(product);
        let state = &decoded.update.markets[&Marketplace::DE][Source::Keepa];
        let expected = MarketState::observed(ObservedAt {
            last_update: KeepaMinutes::from_unix(NOW),
            fetched_at: NOW,
        });
        assert_eq!(**state, expected, "{product}");
        assert_eq!(decoded.update.last_priced_at, None);
    }
}

#[test]
fn the_last_update_is_keepas_or_else_the_minute_of_the_fetch() {
    let fetch = KeepaMinutes::from_unix(NOW);
    assert_eq!(i64::from(fetch.0), NOW_MINUTES);
    for (given, expected) in [
        ("7900000", KeepaMinutes(7_900_000)),
        ("7900000.0", KeepaMinutes(7_900_000)),
        ("\"7900000\"", KeepaMinutes(7_900_000)),
        ("7904885", KeepaMinutes(7_904_885)),
        ("0", fetch),
        ("-1", fetch),
        ("-912280", fetch),
        ("null", fetch),
    ] {
        let payload = envelope(&format!(r#"{{"lastUpdate":{given}}}"#));
        let decoded = decode_bytes(ASIN.as_bytes(), payload.as_bytes()).expect(given);
        assert_eq!(decoded.update.markets[&Marketplace::DE][Source::Keepa].latest.last_update, expected, "{given}");
    }
}

#[test]
fn prices_of_stats_are_carried_or_not() {
    let current = |values: &[(usize, i64)]| slots(36, values);
    for (stats, prices, buy_box) in [
        // Buy box landed, with and without shipping.
        (
            json!({"current": current(&[(1, 5000), (0, 5100)]), "buyBoxPrice": 4600, "buyBoxShipping": 399}),
            Some((Some(5000), Some(5100))),
            Some(Some(4999)),
        ),
        (
            json!({"current": current(&[(1, 5000)]), "buyBoxPrice": 4999, "buyBoxShipping": 0}),
            Some((Some(5000), None)),
            Some(Some(4999)),
        ),
        // A price of unknown shipping is no buy box, whatever current[18] hides.
        (
            json!({"current": current(&[(1, 5000), (18, 4600)]), "buyBoxPrice": 4600, "buyBoxShipping": -1}),
            Some((Some(5000), None)),
            Some(None),
        ),
        (
            json!({"current": current(&[(1, 5000), (18, 4600)]), "buyBoxPrice": 4600}),
            Some((Some(5000), None)),
            Some(None),
        ),
        // Asked for and none.
        (
            json!({"current": current(&[(1, 5000), (18, 4600)]), "buyBoxPrice": -1, "buyBoxShipping": -1}),
            Some((Some(5000), None)),
            Some(None),
        ),
        (
            json!({"current": current(&[(1, 5000)]), "buyBoxPrice": 0, "buyBoxShipping": 0}),
            Some((Some(5000), None)),
            Some(None),
        ),
        // Not asked for.
        (
            json!({"current": current(&[(1, 5000)]), "buyBoxPrice": -2, "buyBoxShipping": -2}),
            Some((Some(5000), None)),
            None,
        ),
        (json!({"current": current(&[(1, 5000)])}), Some((Some(5000), None)), None),
        (json!({"current": current(&[(1, 5000)]), "buyBoxPrice": null}), Some((Some(5000), None)), None),
        // Not asked for, but known all the same.
        (
            json!({"current": current(&[(1, 5000), (18, 4998)]), "buyBoxPrice": -2, "buyBoxShipping": -2}),
            Some((Some(5000), None)),
            Some(Some(4998)),
        ),
        (
            json!({"current": current(&[(1, 5000), (18, 4998)])}),
            Some((Some(5000), None)),
            Some(Some(4998)),
        ),
        // Nothing offered: asked and none.
        (json!({"current": current(&[])}), Some((None, None)), None),
        (json!({"current": current(&[(1, 0), (0, -2)])}), Some((None, None)), None),
        // 34 entries, short, sparse, empty.
        (json!({"current": slots(34, &[(1, 5000)])}), Some((Some(5000), None)), None),
        (json!({"current": [5100]}), Some((None, Some(5100))), None),
        (json!({"current": [null, 5000, null]}), Some((Some(5000), None)), None),
        (json!({"current": [null, null, 7]}), None, None),
        (json!({"current": []}), None, None),
        (json!({"current": null}), None, None),
        (json!({}), None, None),
        // Whole numbers in other clothes.
        (json!({"current": [5100.0, 5e3]}), Some((Some(5000), Some(5100))), None),
    ] {
        let state = state_of(&with_stats(stats.clone()));
        assert_eq!(carried(&state), (prices, buy_box), "{stats}");
        assert_eq!(state.buy_box_statistics.is_some(), buy_box.is_some(), "{stats}");
    }
}

#[test]
fn prices_of_history_are_the_last_points() {
    let csv = |new: Value, amazon: Value, buy_box: Value| {
        let mut series = vec![Value::Null; 36];
        (series[0], series[1], series[18]) = (amazon, new, buy_box);
        json!({"lastUpdate": NOW_MINUTES, "csv": series, "stats": null})
    };
    for (product, prices, buy_box) in [
        (
            csv(json!([1, 4000, 5, 5000]), json!([1, 5100]), json!([1, 4600, 399])),
            Some((Some(5000), Some(5100))),
            Some(Some(4999)),
        ),
        (csv(json!([1, 4000, 5, -1]), json!([1, -1]), Value::Null), Some((None, None)), None),
        (
            csv(json!([1, 5000]), Value::Null, json!([1, 4600, 0, 5, -1, -1])),
            Some((Some(5000), None)),
            Some(None),
        ),
        (csv(json!([1, 5000]), Value::Null, json!([1, 4600, -1])), Some((Some(5000), None)), Some(None)),
        (csv(json!([1, 5000]), Value::Null, json!([])), Some((Some(5000), None)), None),
        (csv(Value::Null, Value::Null, Value::Null), None, None),
        // Twelve numbers are four triples here, though they would also be six pairs.
        (
            csv(Value::Null, Value::Null, json!([1, 10, 1, 2, 20, 2, 3, 30, 3, 4, 40, 4])),
            None,
            Some(Some(44)),
        ),
        (json!({"csv": [[1, 5100]]}), Some((None, Some(5100))), None),
    ] {
        assert_eq!(carried(&state_of(&product)), (prices, buy_box), "{product}");
    }
}

#[test]
fn stats_come_before_history() {
    let mut series = vec![Value::Null; 36];
    (series[1], series[18]) = (json!([1, 7777]), json!([1, 6666, 0]));
    let mut product = with_stats(json!({"current": slots(36, &[(1, 5000)]), "buyBoxPrice": -2}));
    product["csv"] = json!(series);
    assert_eq!(carried(&state_of(&product)), (Some((Some(5000), None)), None));
    // Stats without current prices are no stats.
    product["stats"] = json!({"totalOfferCount": 5});
    assert_eq!(carried(&state_of(&product)), (Some((Some(7777), None)), Some(Some(6666))));
}

#[test]
fn other_product_types_have_no_marketplace_price_and_say_so() {
    for product_type in [1, 2, 3, 4, 5, -1] {
        let mut product = with_stats(json!({"current": slots(36, &[(1, 5000), (18, 4999)]), "buyBoxPrice": 4999, "buyBoxShipping": 0}));
        product["productType"] = json!(product_type);
        let state = state_of(&product);
        assert_eq!(carried(&state), (Some((None, None)), Some(None)), "{product_type}");
        assert!(!state.carries_price() && state.statistics.is_none());
    }
    let mut product = with_stats(json!({"current": slots(36, &[(1, 5000)])}));
    product["productType"] = Value::Null;
    assert!(state_of(&product).carries_price(), "an absent type counts as 0");
    let stub = state_of(&json!({"asin": ASIN, "domainId": 3, "productType": 4, "title": null, "csv": null}));
    assert!(stub.attributes.is_none(), "a stub of an unknown article erases no title");
}

#[test]
fn rank_list_price_and_the_holder_of_the_buy_box_are_kept() {
    let stats = json!({
        "current": slots(36, &[(1, 5000), (3, 1234), (4, 5999)]),
        "buyBoxPrice": 4999, "buyBoxShipping": 0, "lastBuyBoxUpdate": NOW_MINUTES - 60,
        "buyBoxSellerId": "A3JWKAKR8XB7XF", "buyBoxIsFBA": true, "buyBoxIsAmazon": null,
    });
    let state = state_of(&with_stats(stats.clone()));
    let expected = PriceFacts {
        new: Some(5000),
        amazon: None,
        list_price: Some(5999),
        sales_rank: Some(1234),
        // Counted, and none.
        new_offers: Some(0),
        new_offers_fba: Some(0),
        new_offers_fbm: Some(0),
        ..PriceFacts::default()
    };
    assert_eq!(state.prices.as_ref().expect("prices").facts, expected);
    let expected = BuyBoxFacts {
        landed: Some(4999),
        updated_at: Some(KeepaMinutes(7_904_820)),
        seller_id: Some("A3JWKAKR8XB7XF".into()),
        is_fba: Some(true),
        ..BuyBoxFacts::default()
    };
    assert_eq!(state.buy_box.as_ref().expect("buy box").facts, expected);
    for nobody in ["-1", "-2", ""] {
        let mut stats = stats.clone();
        stats["buyBoxSellerId"] = json!(nobody);
        stats["lastBuyBoxUpdate"] = json!(-1);
        let facts = state_of(&with_stats(stats)).buy_box.expect("buy box").facts;
        assert_eq!((&facts.seller_id, facts.updated_at), (&None, None));
    }
}

#[test]
fn what_says_how_well_it_sells_and_who_competes_is_kept() {
    let mut stats = json!({
        "current": slots(36, &[(1, 5000), (11, 9), (34, 4), (35, 5)]), "avg30": slots(36, &[(1, 5000), (11, 3)]),
        "buyBoxPrice": 4999, "buyBoxShipping": 0, "salesRankDrops30": 12, "buyBoxIsMAP": false,
        "buyBoxMinOrderQuantity": 2, "buyBoxMaxOrderQuantity": 3,
        "buyBoxStats": {"A1": {"percentageWon": 75.5, "isFBA": true}, "B2": {"percentageWon": 24.5}},
    });
    let mut product = with_stats(stats.clone());
    product["newPriceIsMAP"] = json!(true);
    let state = state_of(&product);
    let prices = &state.prices.as_ref().expect("prices").facts;
    assert_eq!((prices.new_offers, prices.new_offers_avg30), (Some(9), Some(3)));
    assert_eq!((prices.new_offers_fba, prices.new_offers_fbm), (Some(4), Some(5)));
    assert_eq!((prices.rank_drops_30, prices.is_map), (Some(12), Some(true)));
    let buy_box = &state.buy_box.as_ref().expect("buy box").facts;
    assert_eq!(
        (buy_box.min_order_quantity, buy_box.max_order_quantity, buy_box.is_map),
        (Some(2), Some(3), Some(false))
    );
    let shares: Vec<_> = buy_box.shares.iter().map(|share| (share.seller_id.as_str(), share.share.0)).collect();
    assert_eq!(
        (shares, buy_box.shares_origin),
        (vec![("A1", 75_50), ("B2", 24_50)], Some(StatisticsOrigin::Keepa))
    );
    // The history of holders goes before Keepa's shares.
    product["buyBoxSellerIdHistory"] = json!([(NOW_MINUTES - 1440).to_string(), "B2"]);
    let buy_box = state_of(&product).buy_box.expect("buy box").facts;
    assert_eq!(
        (buy_box.shares[0].seller_id.as_str(), buy_box.shares_origin),
        ("B2", Some(StatisticsOrigin::History))
    );
    // Numbers that say nothing are left out: one unit is no limit, and -2 is not known.
    stats["buyBoxMinOrderQuantity"] = json!(1);
    stats["buyBoxMaxOrderQuantity"] = json!(-1);
    stats["salesRankDrops30"] = json!(-1);
    stats["buyBoxStats"] = Value::Null;
    stats["current"] = slots(36, &[(1, 5000), (11, -2)]);
    let state = state_of(&with_stats(stats));
    let (prices, buy_box) = (state.prices.expect("prices").facts, state.buy_box.expect("buy box").facts);
    assert_eq!((prices.new_offers, prices.rank_drops_30, prices.is_map), (None, None, None));
    assert_eq!(
        (buy_box.min_order_quantity, buy_box.max_order_quantity, buy_box.shares_origin),
        (None, None, None)
    );
}

#[test]
fn hazards_heat_and_the_category_of_the_rank_are_attributes() {
    let attributes = |extra: Value| {
        let mut product = with_stats(json!({"current": slots(36, &[(1, 5000)])}));
        product["title"] = json!("Lamp");
        product["categoryTree"] = json!([{"catId": 10, "name": "Garden"}, {"catId": 20, "name": "Lamps"}]);
        product
            .as_object_mut()
            .expect("an object")
            .extend(extra.as_object().expect("an object").clone());
        state_of(&product).attributes.expect("attributes").facts.as_ref().clone()
    };
    let known = attributes(json!({
        "hazardousMaterials": [{"aspect": "contains_liquid_contents", "value": "true"}], "isHeatSensitive": true, "salesRankReference": 20,
    }));
    assert_eq!(
        (known.is_hazardous, known.is_heat_sensitive, known.rank_category.as_deref()),
        (Some(true), Some(true), Some("Lamps"))
    );
    for (extra, expected) in [
        (json!({"hazardousMaterials": null, "salesRankReference": -1}), (None, None, Some("Garden"))),
        (
            json!({"hazardousMaterials": [], "isHeatSensitive": false, "salesRankReference": 30}),
            (Some(false), Some(false), Some("Garden")),
        ),
    ] {
        let known = attributes(extra.clone());
        assert_eq!(
            (known.is_hazardous, known.is_heat_sensitive, known.rank_category.as_deref()),
            expected,
            "{extra}"
        );
    }
}

#[test]
fn history_says_how_prices_were_spread_and_what_was_not_asked_for_erases_none_of_it() {
    let mut product = with_stats(json!({"current": slots(36, &[(1, 5000)])}));
    let mut csv = vec![Value::Null; 36];
    csv[1] = json!([NOW_MINUTES - 40 * 1440, 6000, NOW_MINUTES - 20 * 1440, 5000]);
    product["csv"] = json!(csv);
    let state = state_of(&product);
    let history = &state.history.as_ref().expect("it came with history").facts;
    let spread = history.new.as_ref().expect("offers");
    assert_eq!((spread.average, spread.p10, spread.p90, spread.previous), (5500, 5000, 6000, Some(6000)));
    assert_eq!((&history.amazon, &history.buy_box), (&None, &None));
    product["csv"] = Value::Null;
    assert_eq!(state_of(&product).history, None);
    product["csv"] = json!([null, null, null, [NOW_MINUTES - 10, 5]]);
    assert_eq!(state_of(&product).history, None, "a history of ranks is none of prices");
}

#[test]
fn offers_are_carried_only_where_they_were_asked_for() {
    let offers = |extra: Value| {
        let mut stats = json!({"current": slots(36, &[(1, 5000)]), "totalOfferCount": 1});
        stats.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        state_of(&with_stats(stats)).offers.map(|register| register.facts)
    };
    assert_eq!(offers(json!({"retrievedOfferCount": -2, "offerCountFBA": -2, "offerCountFBM": -2})), None);
    assert_eq!(offers(json!({})), None);
    let expected = OfferFacts {
        total: Some(1),
        fba: Some(0),
        fbm: None,
        lowest_fba: Some(5100),
        lowest_fbm_landed: Some(5299),
    };
    let current = slots(36, &[(1, 5000), (10, 5100), (7, 5299)]);
    assert_eq!(
        offers(json!({"retrievedOfferCount": 1, "offerCountFBA": 0, "offerCountFBM": -1, "current": current})),
        Some(expected)
    );
}

#[test]
fn keepas_own_statistics_are_taken_with_their_sentinels() {
    let stats = json!({
        "current": slots(34, &[(1, 5000), (18, 4999)]),
        "avg30": slots(34, &[(1, 5010)]), "avg90": slots(34, &[(1, 5020), (18, 4950)]), "avg180": null, "avg365": [null, 5040],
        "min": [null, [411_180, 4500], null], "max": [[-1, -1], [411_181, 9900]],
        "outOfStockPercentage30": slots(34, &[(1, 0)]), "outOfStockPercentage90": slots(34, &[(1, 12), (0, 100)]),
        "outOfStockPercentage365": slots(34, &[(1, 101)]),
    });
    let state = state_of(&with_stats(stats));
    let statistics = state.statistics.expect("statistics").facts;
    let new = &statistics.new;
    assert_eq!((new.avg30, new.avg90, new.avg180, new.avg365), (Some(5010), Some(5020), None, Some(5040)));
    assert_eq!(
        (new.min, new.min_at, new.max, new.max_at),
        (Some(4500), Some(KeepaMinutes(411_180)), Some(9900), Some(KeepaMinutes(411_181)))
    );
    assert_eq!(
        (
            new.out_of_stock_percentage_30,
            new.out_of_stock_percentage_90,
            new.out_of_stock_percentage_180,
            new.out_of_stock_percentage_365
        ),
        (Some(0), Some(12), None, None)
    );
    assert_eq!(
        (statistics.amazon.max, statistics.amazon.max_at, statistics.amazon.out_of_stock_percentage_90),
        (None, None, Some(100))
    );
    assert_eq!(new.origin, StatisticsOrigin::Keepa);
    assert_eq!(state.buy_box_statistics.expect("the buy box's").facts.avg90, Some(4950));
}

#[test]
fn without_stats_statistics_come_from_history() {
    let day = 24 * 60;
    let mut series = vec![Value::Null; 36];
    series[1] = json!([NOW_MINUTES - 60 * day, 1000, NOW_MINUTES - 15 * day, 2001]);
    series[18] = json!([NOW_MINUTES - 60 * day, 900, 100, NOW_MINUTES - 15 * day, -1, -1]);
    let state = state_of(&json!({"lastUpdate": NOW_MINUTES, "csv": series}));
    let new = &state.statistics.as_ref().expect("statistics").facts.new;
    assert_eq!((new.avg30, new.avg90, new.origin), (Some(1501), Some(1250), StatisticsOrigin::History));
    let buy_box = state.buy_box_statistics.expect("the buy box's").facts;
    assert_eq!(
        (buy_box.avg30, buy_box.out_of_stock_percentage_30, buy_box.out_of_stock_percentage_90),
        (Some(1000), Some(50), Some(25))
    );
}

#[test]
fn a_history_comes_only_from_a_record_that_is_taken() {
    let series = |csv: Value| json!({"lastUpdate": NOW_MINUTES, "csv": csv});
    let prices = json!([null, [NOW_MINUTES - 60, 2000, NOW_MINUTES - 30, -1]]);
    let good = envelope(&series(prices.clone()).to_string());
    let tomorrow = (NOW.0 + 86_400_000).to_string();
    let from_tomorrow = json!({"lastUpdate": NOW_MINUTES + 24 * 60, "csv": prices});
    let points = vec![(-60, Some(2000)), (-30, None)];
    for (name, key, payload, expected) in [
        ("good", ASIN, good.clone(), Some(points)),
        ("another article's key", "B000000001", good.clone(), None),
        ("fetched tomorrow", ASIN, good.replace(&NOW.0.to_string(), &tomorrow), None),
        ("updated tomorrow", ASIN, envelope(&from_tomorrow.to_string()), None),
        ("no history", ASIN, envelope(&json!({"lastUpdate": NOW_MINUTES}).to_string()), None),
        ("a history that was not asked for", ASIN, envelope(&series(Value::Null).to_string()), None),
        ("no prices", ASIN, envelope(&series(json!([null, [NOW_MINUTES - 60, -1]])).to_string()), None),
        ("cut off", ASIN, good[..good.len() - 1].to_owned(), None),
    ] {
        let input = Input {
            key: Some(key.as_bytes()),
            payload: Some(payload.as_bytes()),
            timestamp: NOW,
        };
        let points = decode_with_history(&input, NOW)
            .ok()
            .and_then(|decoded| decoded.history)
            .map(|(asin, marketplace, history)| {
                assert_eq!((asin.as_str(), marketplace), (ASIN, Marketplace::DE), "{name}");
                let ago = |minutes: KeepaMinutes| i64::from(minutes.0) - NOW_MINUTES;
                history.points.into_iter().map(|(minutes, price)| (ago(minutes), price)).collect::<Vec<_>>()
            });
        assert_eq!(points, expected, "{name}");
    }
}

#[test]
fn attributes_are_read_and_their_sentinels_left_out() {
    let state = state_of(&json!({
        "title": "Salt &amp; <b>Pepper</b>", "brand": "M&uuml;ller",
        "images": [{"l": null, "m": "41h4gNwsdiL.jpg"}, {"l": "71Y--60KcYL.jpg"}], "imagesCSV": "other.jpg",
        "rootCategory": 2, "categoryTree": [{"catId": 1, "name": "Above"}, {"catId": 2, "name": "B&#252;cher"}, {"catId": i64::MAX, "name": "?"}, {"catId": 3, "name": "Leaf"}],
        "categories": null, "eanList": ["0188781000089"], "upcList": ["188781000089", "0188781000089"], "gtinList": null,
        "parentAsin": "b000000001", "monthlySold": 300, "numberOfItems": 10, "packageQuantity": -1, "numberOfPages": -1,
        "packageWeight": 235, "packageLength": 156, "packageWidth": 102, "packageHeight": 52,
        "fbaFees": {"pickAndPackFee": 435, "lastUpdate": 8047688}, "referralFeePercentage": 15.010, "referralFeePercent": 15, "variableClosingFee": 180,
        "listedSince": -912280, "publicationDate": 0, "releaseDate": -1, "ebayListingIds": [0, 84343788],
        "salesRanks": {"45": [7202316, -1]}, "buyBoxSellerIdHistory": ["7202316", "-1"], "buyBoxUsedHistory": ["7202316", "", "", ""],
        "languages": [["English"], ["English", "Published"]], "isAdultProduct": null, "coupon": null,
    }));
    let facts = state.attributes.expect("attributes").facts;
    assert_eq!((facts.title.as_deref(), facts.brand.as_deref()), (Some("Salt & Pepper"), Some("Müller")));
    assert_eq!(facts.image_url.as_deref(), Some("https://m.media-amazon.com/images/I/41h4gNwsdiL.jpg"));
    let categories: Vec<_> = facts.categories.iter().map(|category| (category.id, category.name.as_str())).collect();
    assert_eq!(categories, [(2, "Bücher"), (3, "Leaf")]);
    assert_eq!(facts.product_codes, ["0188781000089", "188781000089"]);
    assert_eq!(facts.parent_asin.as_deref(), Some("B000000001"));
    assert_eq!((facts.monthly_sold, facts.number_of_items, facts.package_quantity), (Some(300), Some(10), None));
    assert_eq!((facts.package_weight_g, facts.package_mm), (Some(235), Some([156, 102, 52])));
    assert_eq!((facts.fba_fee, facts.closing_fee), (Some(435), Some(180)));
    assert_eq!(facts.referral_fee_percentage, Some(Decimal::new(1501, 2)));
    assert_eq!(facts.referral_fee_percentage.expect("a fee").to_string(), "15.01");
}

#[test]
fn images_come_from_either_list_and_only_by_plain_name() {
    let image = |product: Value| {
        state_of(&product)
            .attributes
            .and_then(|register| register.facts.image_url.clone())
            .map(String::from)
    };
    let url = |name: &str| Some(format!("https://m.media-amazon.com/images/I/{name}"));
    assert_eq!(image(json!({"imagesCSV": "61hZSqbBYwL.jpg,second.jpg"})), url("61hZSqbBYwL.jpg"));
    assert_eq!(image(json!({"images": [], "imagesCSV": "a.jpg"})), url("a.jpg"));
    assert_eq!(image(json!({"images": [{"l": "a%2Bb.jpg", "m": "c.jpg"}]})), url("a%2Bb.jpg"));
    for product in [
        json!({"title": "x"}),
        json!({"title": "x", "imagesCSV": ""}),
        json!({"title": "x", "imagesCSV": "../../../evil\"><script>"}),
        json!({"title": "x", "images": [{"l": "https://elsewhere/x.jpg"}]}),
        json!({"title": "x", "images": null, "imagesCSV": null}),
    ] {
        assert_eq!(image(product.clone()), None, "{product}");
    }
}

#[test]
fn fees_fall_back_to_the_deprecated_whole_number() {
    let fee = |product: Value| state_of(&product).attributes.and_then(|register| register.facts.referral_fee_percentage);
    for (exact, whole, expected) in [
        (json!(12.0), json!(12), Some("12")),
        (json!(14.98), json!(15), Some("14.98")),
        (json!(null), json!(15), Some("15")),
        (json!(-1), json!(15), Some("15")),
        (json!(0), json!(null), None),
        (json!("15"), json!(8), Some("8")),
    ] {
        let product = json!({"title": "x", "referralFeePercentage": exact, "referralFeePercent": whole});
        assert_eq!(fee(product.clone()).map(|fee| fee.to_string()).as_deref(), expected, "{product}");
    }
}

#[test]
fn a_wrong_type_where_no_price_depends_on_it_is_left_out_and_counted() {
    let product = json!({
        "lastUpdate": NOW_MINUTES, "title": ["a"], "brand": 5, "images": "x", "imagesCSV": {}, "categoryTree": {"catId": 1}, "rootCategory": "root",
        "eanList": "978", "upcList": [null, 5, "ok"], "parentAsin": [], "monthlySold": "many", "numberOfItems": 1.5, "packageWeight": i64::MAX,
        "fbaFees": [1, 2], "referralFeePercentage": {}, "variableClosingFee": "1", "newField": {"deep": [[[]]]}, "offers": 5,
        "stats": {"current": [-1, 5000], "avg30": "x", "avg90": [1, "x"], "min": [[1], [1, 2, 3], 5], "max": {}, "outOfStockPercentage30": [true],
                  "buyBoxSellerId": 5, "totalOfferCount": [], "buyBoxIsFBA": "yes", "salesRankDrops30": "x"},
    });
    let payload = envelope(&product.to_string());
    let decoded = decode_bytes(ASIN.as_bytes(), payload.as_bytes()).expect("decoded");
    let state = &decoded.update.markets[&Marketplace::DE][Source::Keepa];
    assert_eq!(carried(state), (Some((Some(5000), None)), None));
    assert_eq!(state.attributes.as_ref().expect("codes").facts.product_codes, ["ok"]);
    assert!(decoded.ignored_fields >= 15, "{}", decoded.ignored_fields);
    let clean = decode_bytes(ASIN.as_bytes(), envelope(r#"{"title":null,"monthlySold":-1,"brand":""}"#).as_bytes()).expect("decoded");
    assert_eq!(clean.ignored_fields, 0);
}

#[test]
fn a_broken_escape_costs_the_title_and_nothing_else() {
    let payload = envelope(r#"{"title":"half \ud83d of a pair","brand":"whole","stats":{"current":[-1,5000]}}"#);
    let decoded = decode_bytes(ASIN.as_bytes(), payload.as_bytes()).expect("decoded");
    let state = &decoded.update.markets[&Marketplace::DE][Source::Keepa];
    let facts = &state.attributes.as_ref().expect("attributes").facts;
    assert_eq!(
        (facts.title.as_deref(), facts.brand.as_deref(), state.carries_price()),
        (None, Some("whole"), true)
    );
}

#[test]
fn yen_are_not_divided() {
    let payload = envelope(&with_stats(json!({"current": [-1, 4900]})).to_string())
        .replace("\"domain_id\":3", "\"domain_id\":5")
        .replace("\"domainId\":3", "\"domainId\":5");
    let decoded = decode_bytes(ASIN.as_bytes(), payload.as_bytes()).expect("decoded");
    let shown = decoded.update.shown_price(Marketplace::JP, NOW, Staleness::default()).expect("a price");
    assert_eq!(shown.price.to_string(), "4900 JPY");
}

#[test]
fn all_eleven_domains_are_known() {
    for marketplace in Marketplace::ALL {
        let payload = envelope("{}").replace("\"domain_id\":3", &format!("\"domain_id\":{}", marketplace.keepa_id()));
        let decoded = decode_bytes(ASIN.as_bytes(), payload.as_bytes()).expect("decoded");
        assert_eq!(decoded.update.markets.keys().collect::<Vec<_>>(), [&marketplace]);
    }
}

#[test]
fn the_bare_form_is_a_new_price_of_the_feed_at_the_records_time() {
    for (stats, expected) in [
        (r#","stats":{"current":4999}"#, Some(Some(4999))),
        (r#","stats":{"current":4999.0,"avg":1}"#, Some(Some(4999))),
        (r#","stats":{"current":-1}"#, Some(None)),
        (r#","stats":{"current":0}"#, Some(None)),
        (r#","stats":{"current":null}"#, None),
        (r#","stats":{}"#, None),
        (r#","stats":null"#, None),
        ("", None),
    ] {
        let payload = format!(r#"{{"asin":"{ASIN}","domain":3,"title":"Lamp &amp; Co"{stats},"extra":[]}}"#);
        let decoded = decode_bytes(ASIN.as_bytes(), payload.as_bytes()).expect(&payload);
        let state = &decoded.update.markets[&Marketplace::DE][Source::Feed];
        assert_eq!(state.prices.as_ref().map(|register| register.facts.new), expected, "{payload}");
        assert_eq!(state.attributes.as_ref().expect("a title").facts.title.as_deref(), Some("Lamp & Co"));
        assert_eq!((state.latest.fetched_at, state.latest.last_update), (NOW, KeepaMinutes::from_unix(NOW)));
        assert_eq!(decoded.update.last_priced_at.is_some(), expected.flatten().is_some());
    }
}

/// Guard: `check_clock`; taken out, either half of it: such a record was taken for good.
#[test]
fn t17_a_bare_record_of_no_time_or_of_the_future_is_refused() {
    let payload = format!(r#"{{"asin":"{ASIN}","domain":3,"stats":{{"current":4999}}}}"#);
    for (timestamp, refused) in [
        (NOW.0 + CLOCK_TOLERANCE_MILLIS, false),
        (NOW.0 + CLOCK_TOLERANCE_MILLIS + 1, true),
        (0, true),
        (-1, true),
        (1, false),
    ] {
        let input = Input {
            key: Some(ASIN.as_bytes()),
            payload: Some(payload.as_bytes()),
            timestamp: UnixMillis(timestamp),
        };
        let class = decode(&input, NOW).err().map(|refusal| refusal.class);
        assert_eq!(class, refused.then_some(RefusalClass::Clock), "{timestamp}");
    }
}

#[test]
fn a_replayed_dead_letter_has_the_time_of_its_first_life() {
    let record = |value: Option<&str>| Record {
        topic: shared::adapters::kafka::Topic::RawUpdates,
        partition: 0,
        offset: shared::adapters::kafka::RecordOffset(1),
        key: None,
        payload: None,
        timestamp_ms: 5,
        headers: vec![(DEAD_LETTER_TIMESTAMP.into(), value.map(|value| value.as_bytes().to_vec().into()))],
    };
    for (header, expected) in [(Some("1700000000000"), 1_700_000_000_000), (Some("soon"), 5), (Some(""), 5), (None, 5)] {
        assert_eq!(timestamp_of(&record(header)), UnixMillis(expected), "{header:?}");
    }
}

/// Guard: `ObservedAt` decides, register by register, not the order of arrival; taken out (the last to arrive wins): a
/// price that was gone was shown again.
#[test]
fn t18_an_older_record_brings_no_price_back() {
    let at = |fetched: i64, current: Value| {
        let payload = envelope(&with_stats(json!({"current": current})).to_string()).replace(&NOW.0.to_string(), &fetched.to_string());
        decode_bytes(ASIN.as_bytes(), payload.as_bytes()).expect("decoded").update
    };
    let priced = at(NOW.0 - 61_000, json!([-1, 5000]));
    let gone = at(NOW.0, json!([-1, -1]));
    let mut held = gone.clone();
    assert!(held.shown_price(Marketplace::DE, NOW, Staleness::default()).is_none());
    for late in [NOW, UnixMillis(NOW.0 + 61_000)] {
        held.merge(&priced);
        assert_eq!(held.shown_price(Marketplace::DE, late, Staleness::default()), None);
        assert_eq!(held.markets, gone.markets);
    }
}

/// Guard: the fetch is the second half of `ObservedAt`; taken out (Keepa's minute alone): the first fetch's price stayed.
#[test]
fn t16_within_one_keepa_minute_the_later_fetch_is_newer() {
    let at = |fetched: i64, price: i64| {
        let payload = envelope(&with_stats(json!({"current": [-1, price]})).to_string()).replace(&NOW.0.to_string(), &fetched.to_string());
        decode_bytes(ASIN.as_bytes(), payload.as_bytes()).expect("decoded").update
    };
    let (first, second) = (at(NOW.0 - 2, 5000), at(NOW.0 - 1, 4000));
    for mut product in [first.clone(), second.clone()] {
        product.merge(&first);
        product.merge(&second);
        assert_eq!(
            product.shown_price(Marketplace::DE, NOW, Staleness::default()).map(|shown| shown.price.minor),
            Some(4000)
        );
    }
}

/// Guard: `check_clock`, for the fetch and for Keepa's minute; taken out: the record of the future was merged.
#[test]
fn t17_a_clock_an_hour_ahead_freezes_no_product() {
    const HOUR: i64 = 3_600_000;
    let told = |fetched: i64, price: i64| {
        let product =
            json!({"asin": ASIN, "domainId": 3, "productType": 0, "lastUpdate": (fetched - NOW.0) / 60_000 + NOW_MINUTES, "stats": {"current": [-1, price]}});
        envelope(&product.to_string()).replace(&NOW.0.to_string(), &fetched.to_string())
    };
    let mut held = decode_bytes(ASIN.as_bytes(), told(NOW.0 - HOUR, 1000).as_bytes())
        .expect("an hour back is a record as any")
        .update;
    assert_eq!(refusal_of(&told(NOW.0 + HOUR, 2000)), RefusalClass::Clock);
    assert_eq!(refusal_of(&envelope(&json!({"lastUpdate": NOW_MINUTES + 60}).to_string())), RefusalClass::Clock);
    // Within the tolerance it is taken, and after it has passed the true time is the newer one.
    let ahead = CLOCK_TOLERANCE_MILLIS;
    let later = UnixMillis(NOW.0 + ahead + 60_000);
    for (payload, now) in [(told(NOW.0 + ahead, 3000), NOW), (told(later.0, 4000), later)] {
        let input = Input {
            key: Some(ASIN.as_bytes()),
            payload: Some(payload.as_bytes()),
            timestamp: now,
        };
        held.merge(&decode(&input, now).expect("decoded").update);
    }
    let shown = held.shown_price(Marketplace::DE, later, Staleness::default());
    assert_eq!(shown.map(|shown| shown.price.minor), Some(4000));
}

/// Guard: fields are taken by name and the rest is left; taken out (unknown fields refused), the record was a dead letter.
#[test]
fn t42_fields_of_a_later_version_are_ignored() {
    let known = with_stats(json!({"current": slots(36, &[(1, 5000)]), "avg30": [-1, 5100]}));
    let mut later = known.clone();
    later["newText"] = json!("x");
    later["newTree"] = json!({"deep": [[{"er": null}]]});
    later["stats"]["newStatistic"] = json!([1, [2]]);
    later["stats"]["current"] = slots(50, &[(1, 5000)]);
    let payload = envelope(&later.to_string()).replacen('{', r#"{"new_optional":{"a":1},"priority":7,"#, 1);
    let decoded = decode_bytes(ASIN.as_bytes(), payload.as_bytes()).expect("decoded");
    assert_eq!(decoded.ignored_fields, 0, "what is not known is not counted as wrong");
    assert_eq!(*decoded.update.markets[&Marketplace::DE][Source::Keepa], state_of(&known));
}

/// Guard: `json::needed_*` refuse another type; taken out (for numbers, for arrays): the record passed as one without a price.
#[test]
fn t42_a_changed_type_of_what_a_price_depends_on_is_a_dead_letter() {
    let good: Value = serde_json::from_str(&envelope(&with_stats(json!({"current": [-1, 5000], "buyBoxPrice": 4000})).to_string())).expect("JSON");
    for (place, changed, class) in [
        ("/v", json!("1"), RefusalClass::Version),
        ("/asin", json!(1_886_940_606), RefusalClass::Asin),
        ("/domain_id", json!("DE"), RefusalClass::Domain),
        ("/fetched_at_ms", json!("2026-01-11"), RefusalClass::Shape),
        ("/source", json!(["watchlist"]), RefusalClass::Shape),
        ("/product", json!([]), RefusalClass::Shape),
        ("/product/stats", json!([]), RefusalClass::Shape),
        ("/product/stats/current", json!({"NEW": 5000}), RefusalClass::Shape),
        ("/product/stats/current/1", json!("50.00"), RefusalClass::Shape),
        ("/product/stats/buyBoxPrice", json!({"amount": 4000}), RefusalClass::Shape),
        ("/product/lastUpdate", json!({}), RefusalClass::Shape),
    ] {
        let mut record = good.clone();
        *record.pointer_mut(place).expect(place) = changed;
        assert_eq!(refusal_of(&record.to_string()), class, "{place}");
    }
}

/// Guard: what is absent is not asked for, not empty; taken out (no statistics: no price): the price held was erased.
#[test]
fn t42_a_field_that_was_removed_erases_nothing() {
    let full = with_stats(json!({"current": [-1, 5000], "buyBoxPrice": 4000, "buyBoxShipping": 0}));
    let mut held = decode_bytes(ASIN.as_bytes(), envelope(&full.to_string()).as_bytes()).expect("decoded").update;
    for removed in ["stats", "productType", "lastUpdate", "asin", "domainId"] {
        let mut product = full.clone();
        product.as_object_mut().expect("an object").remove(removed);
        let payload = envelope(&product.to_string()).replace(&NOW.0.to_string(), &(NOW.0 + 1).to_string());
        held.merge(&decode_bytes(ASIN.as_bytes(), payload.as_bytes()).expect(removed).update);
        let state = &held.markets[&Marketplace::DE][Source::Keepa];
        assert_eq!(carried(state), (Some((Some(5000), None)), Some(Some(4000))), "without {removed}");
    }
    // What makes a record one is missed, though.
    for (needed, class) in [
        ("v", RefusalClass::Version),
        ("asin", RefusalClass::Asin),
        ("domain_id", RefusalClass::Domain),
        ("fetched_at_ms", RefusalClass::Shape),
        ("product", RefusalClass::Shape),
    ] {
        let mut record: Value = serde_json::from_str(&envelope(&full.to_string())).expect("JSON");
        record.as_object_mut().expect("an object").remove(needed);
        assert_eq!(refusal_of(&record.to_string()), class, "without {needed}");
    }
}

/// A real response's product object, and when it was fetched.
fn sample(name: &str) -> Option<(Value, UnixMillis)> {
    let text = crate::samples::read(&format!("keepa-samples/{name}"))?;
    let response: Value = serde_json::from_str(&text).expect("a response is JSON");
    let product = response.get("products").map_or(&response, |products| &products[0]).clone();
    let fetched = response.get("timestamp").and_then(Value::as_i64).map(UnixMillis);
    // One sample is a product without its envelope.
    let updated = || {
        KeepaMinutes(
            product["lastUpdate"]
                .as_i64()
                .and_then(|minutes| i32::try_from(minutes).ok())
                .expect("a last update"),
        )
        .to_unix()
    };
    let fetched = fetched.unwrap_or_else(updated);
    Some((product, fetched))
}

fn decode_sample(product: &Value, fetched: UnixMillis) -> Decoded {
    let asin = product["asin"].as_str().expect("an ASIN");
    let payload =
        json!({"v": 1, "asin": asin, "domain_id": 1, "fetched_at_ms": fetched.0, "source": "watchlist", "run_id": null, "product": product}).to_string();
    let input = Input {
        key: Some(asin.as_bytes()),
        payload: Some(payload.as_bytes()),
        timestamp: fetched,
    };
    decode(&input, fetched).unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn sample_state(decoded: &Decoded) -> &MarketState {
    &decoded.update.markets[&Marketplace::US][Source::Keepa]
}

#[test]
fn real_responses_lose_no_price() {
    for name in ["product-us-B0F7XPYCSJ-full.json", "product-us-1886940606-offers-nohistory.json"] {
        let Some((product, fetched)) = sample(name) else { return };
        let decoded = decode_sample(&product, fetched);
        assert_eq!(decoded.ignored_fields, 0, "{name}");
        let state = sample_state(&decoded);
        let stats = &product["stats"];
        let told = |array: &str, index: usize| stats[array][index].as_i64().filter(|&value| value > 0);
        let prices = &state.prices.as_ref().expect("prices").facts;
        assert_eq!(
            (prices.amazon, prices.new, prices.sales_rank, prices.list_price),
            (told("current", 0), told("current", 1), told("current", 3), told("current", 4))
        );
        let buy_box = state.buy_box.as_ref().and_then(|register| register.facts.landed);
        assert_eq!(buy_box, told("current", 18), "{name}");
        let statistics = &state.statistics.as_ref().expect("statistics").facts;
        for (own, index) in [(&statistics.amazon, 0), (&statistics.new, 1)] {
            let extreme = |array: &str| stats[array][index][1].as_i64().filter(|&value| value > 0);
            assert_eq!(
                (own.avg30, own.avg90, own.avg180, own.avg365),
                (told("avg30", index), told("avg90", index), told("avg180", index), told("avg365", index))
            );
            assert_eq!((own.min, own.max), (extreme("min"), extreme("max")));
        }
        let facts = &state.attributes.as_ref().expect("attributes").facts;
        assert!(facts.title.is_some() && facts.brand.is_some() && facts.image_url.is_some() && !facts.categories.is_empty() && !facts.product_codes.is_empty());
        assert_eq!(Some(facts.categories[0].id), product["rootCategory"].as_i64());
    }
}

#[test]
fn the_real_book_asked_for_its_buy_box_and_has_none() {
    let Some((product, fetched)) = sample("product-us-1886940606-offers-nohistory.json") else {
        return;
    };
    let decoded = decode_sample(&product, fetched);
    let state = sample_state(&decoded);
    assert_eq!(decoded.update.asin.as_str(), "1886940606");
    assert_eq!(carried(state), (Some((None, None)), Some(None)));
    assert_eq!(state.buy_box_statistics.as_ref().expect("asked for").facts.avg180, Some(129_663));
    assert_eq!(state.offers.as_ref().expect("asked for").facts.total, Some(1));
    assert_eq!(state.attributes.as_ref().expect("attributes").facts.closing_fee, Some(180));
}

#[test]
fn the_real_history_gives_the_prices_and_statistics_that_keepas_stats_give() {
    let Some((mut product, fetched)) = sample("product-us-B0F7XPYCSJ-full.json") else {
        return;
    };
    let with_stats = decode_sample(&product, fetched);
    product["stats"] = Value::Null;
    let with_history = decode_sample(&product, fetched);
    let (keepas, own) = (sample_state(&with_stats), sample_state(&with_history));
    assert_eq!(carried(own), (Some((Some(2599), None)), None));
    let prices = |state: &MarketState| {
        let facts = state.prices.as_ref().expect("asked for").facts.clone();
        (
            facts.new,
            facts.amazon,
            facts.list_price,
            facts.sales_rank,
            facts.new_offers,
            facts.new_offers_fba,
        )
    };
    assert_eq!(prices(keepas), prices(own));
    assert_eq!(keepas.history, own.history);
    let spread = own.history.as_ref().expect("it came with history").facts.new.clone().expect("offers");
    let near = |keepas: Option<i64>, own: i64| keepas.is_some_and(|keepas| (keepas - own).abs() <= 1);
    let keepas_new = &keepas.statistics.as_ref().expect("Keepa's").facts.new;
    assert!(near(keepas_new.avg90, spread.average), "{keepas_new:?} {spread:?}");
    assert!(
        near(keepas_new.out_of_stock_percentage_90.map(i64::from), (spread.out_of_stock.0 + 99) / 100),
        "{spread:?}"
    );
    assert!(spread.p1 <= spread.p50 && spread.p50 <= spread.p99 && spread.p50 == 2599, "{spread:?}");
    let (keepas, own) = (
        keepas.statistics.as_ref().expect("Keepa's").facts.clone(),
        own.statistics.as_ref().expect("own").facts.clone(),
    );
    for (keepas, own) in [(&keepas.new, &own.new), (&keepas.amazon, &own.amazon)] {
        let close = |left: Option<i64>, right: Option<i64>| match (left, right) {
            (Some(left), Some(right)) => (left - right).abs() <= 1,
            (left, right) => left == right,
        };
        assert!(close(keepas.avg30, own.avg30) && close(keepas.avg90, own.avg90), "{keepas:?} {own:?}");
        assert!(close(keepas.avg180, own.avg180) && close(keepas.avg365, own.avg365), "{keepas:?} {own:?}");
        assert_eq!(
            (keepas.min, keepas.min_at, keepas.max, keepas.max_at),
            (own.min, own.min_at, own.max, own.max_at)
        );
        for (keepas, own) in [
            (keepas.out_of_stock_percentage_30, own.out_of_stock_percentage_30),
            (keepas.out_of_stock_percentage_90, own.out_of_stock_percentage_90),
            (keepas.out_of_stock_percentage_180, own.out_of_stock_percentage_180),
            (keepas.out_of_stock_percentage_365, own.out_of_stock_percentage_365),
        ] {
            assert!(close(keepas.map(i64::from), own.map(i64::from)), "{keepas:?} {own:?}");
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2_i64..3).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!([-1, -1])),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let names = proptest::sample::select(vec![
            "asin",
            "domain",
            "domain_id",
            "v",
            "product",
            "stats",
            "current",
            "csv",
            "title",
            "lastUpdate",
            "x",
        ]);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(names.prop_map(str::to_owned), inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn full_record() -> Value {
    let series: Vec<Value> = (0..36)
        .map(|index| if index == 18 { json!([1, 4600, 399]) } else { json!([1, 5000, 9, -1]) })
        .collect();
    let product = json!({
        "asin": ASIN, "domainId": 3, "productType": 0, "lastUpdate": NOW_MINUTES, "title": "T", "brand": "B", "images": [{"l": "a.jpg"}], "imagesCSV": "a.jpg",
        "categoryTree": [{"catId": 1, "name": "N"}], "rootCategory": 1, "eanList": ["1"], "fbaFees": {"pickAndPackFee": 1}, "referralFeePercentage": 15.01,
        "csv": series,
        "stats": {"current": slots(36, &[(1, 5000)]), "avg90": slots(36, &[(1, 5000)]), "min": [[1, 2], [3, 4]], "buyBoxPrice": 1, "buyBoxShipping": 0, "lastBuyBoxUpdate": 1},
    });
    json!({"v": 1, "asin": ASIN, "domain_id": 3, "fetched_at_ms": NOW.0, "source": "watchlist", "run_id": null, "product": product})
}

/// Every place in a JSON value.
fn pointers(value: &Value, here: &str, into: &mut Vec<String>) {
    into.push(here.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| pointers(value, &format!("{here}/{name}"), into)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| pointers(value, &format!("{here}/{index}"), into)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), key in proptest::collection::vec(any::<u8>(), 0..12)) {
        let _ = decode_bytes(&key, &bytes);
    }

    #[test]
    fn no_json_panics(value in any_json()) {
        let _ = decode_bytes(ASIN.as_bytes(), value.to_string().as_bytes());
        let _ = decode_bytes(ASIN.as_bytes(), envelope(&value.to_string()).as_bytes());
        let stats = json!({"csv": value.clone(), "stats": {"current": value.clone(), "avg30": value.clone(), "min": value}});
        let _ = decode_bytes(ASIN.as_bytes(), envelope(&stats.to_string()).as_bytes());
    }

    #[test]
    fn no_mutation_of_a_valid_record_panics_or_invents_a_price(places in proptest::collection::vec((any::<prop::sample::Index>(), any_json()), 1..4)) {
        let mut record = full_record();
        for (index, value) in places {
            let mut all = Vec::new();
            pointers(&record, "", &mut all);
            if let Some(place) = record.pointer_mut(&all[index.index(all.len())]) {
                *place = value;
            }
        }
        if let Ok(decoded) = decode_bytes(ASIN.as_bytes(), record.to_string().as_bytes()) {
            for shown in decoded.update.shown_prices(NOW, Staleness::default()).values() {
                prop_assert!(shown.price.minor > 0);
            }
            // Whatever was decoded survives the way through the catalog.
            let stored = StoredProduct { listing: Listing::of(&decoded.update, &[], NOW, Staleness::default()), product: decoded.update, revision: 1 };
            let document = shared::wire::product::to_json(&stored);
            let read: shared::wire::ProductDocument = serde_json::from_slice(&document).expect("read");
            prop_assert_eq!(StoredProduct::from(read), stored);
        }
    }

    #[test]
    fn no_cut_of_a_valid_record_is_taken_for_a_record(cut in any::<prop::sample::Index>()) {
        let record = full_record().to_string();
        let length = cut.index(record.len());
        let class = decode_bytes(ASIN.as_bytes(), &record.as_bytes()[..length]).expect_err("cut").class;
        prop_assert!(matches!(class, RefusalClass::Json | RefusalClass::Empty));
    }
}
