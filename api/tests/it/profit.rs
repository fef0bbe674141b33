//! `POST /profit`.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use shared::ports::catalog::StateKind;

use crate::harness::TestApi;
use crate::samples::{NOW, opportunity, producer_status, rates_record};

/// Buy in Spain at 49.90, sell in Italy at 89.90: the example of the documentation. As text, for the digits.
pub fn question() -> Value {
    let text = r#"{"regime":"RC","source_market":"ES","target_market":"IT","source_price":49.90,"target_price":89.90,
        "vat_source":0.21,"vat_target":0.22,"referral":{"rate":0.15},"referral_minimum":0.30,"closing_fee":0,"fba_fee":4.05,
        "dsf_rate":0.02,"freight":2.50,"prep":0.40,"storage":0.27,"returns":0,"duty":0,"broker":0,"other":0,
        "exchange_rate":{"units_per_eur":0.85363,"spread":0.015}}"#;
    serde_json::from_str(text).expect("JSON")
}

/// A question with other fields; null takes one away.
fn with(changes: Value) -> Value {
    let mut question = question();
    let fields = question.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => drop(fields.remove(name)),
            value => drop(fields.insert(name.clone(), value.clone())),
        }
    }
    question
}

async fn ledger(api: &TestApi, question: &Value) -> Value {
    let answer = api.post("/profit", question).await;
    assert_eq!(answer.status, 200, "{question}: {}", answer.text());
    answer.json()
}

/// The digits of a number, as they were sent.
fn digits(value: &Value) -> String {
    value.to_string()
}

#[tokio::test]
async fn the_example_comes_out_line_by_line() {
    let api = TestApi::start().await;
    // No catalog is needed.
    api.take_catalog_away(true);
    let ledger = ledger(&api, &question()).await;
    for (name, expected) in [
        ("purchase_cost", "41.24"),
        ("sale_net", "73.69"),
        ("output_vat", "16.21"),
        ("referral_fee", "13.49"),
        ("dsf", "0.35"),
        ("profit", "11.39"),
        ("capital", "44.14"),
        ("roi_percentage", "25.80"),
        ("net_margin_percentage", "15.46"),
        ("gross_gap_percentage", "44.49"),
        ("break_even_price", "72.81"),
        ("max_purchase_price", "63.68"),
        ("buffer_percentage", "19.01"),
    ] {
        assert_eq!(digits(&ledger[name]), expected, "{name}");
    }
    let lines = ledger["lines"].as_array().expect("lines");
    let names: Vec<&str> = lines.iter().map(|line| line["name"].as_str().expect("a name")).collect();
    let expected = "source_price input_vat purchase_cost target_price output_vat sale_net referral_fee closing_fee fba_fee dsf proceeds \
                    freight prep storage returns duty broker other profit";
    assert_eq!(names.join(" "), expected);
    assert!(lines.iter().all(|line| line["assumed"] == json!(false)), "everything was said");
    let referral = lines.iter().find(|line| line["name"] == "referral_fee").expect("the line");
    assert_eq!((digits(&referral["rate"]), referral["source"].as_str()), ("0.15".to_owned(), Some("given")));
}

#[tokio::test]
async fn what_is_left_out_comes_from_profile_and_tables_and_says_so() {
    let api = TestApi::start().await;
    let bare = json!({"regime": "RC", "source_market": "ES", "target_market": "IT", "source_price": 49.9, "target_price": 89.9});
    let ledger = ledger(&api, &bare).await;
    assert_eq!(digits(&ledger["purchase_cost"]), "41.24");
    assert_eq!(digits(&ledger["referral_fee"]), "13.49");
    for line in ledger["lines"].as_array().expect("lines") {
        let (name, source, assumed) = (line["name"].as_str().expect("a name"), &line["source"], line["assumed"] == json!(true));
        let expected = match name {
            "input_vat" | "output_vat" => Some("vat_table"),
            "referral_fee" | "fba_fee" => Some("fee_table"),
            "dsf" | "closing_fee" | "freight" | "prep" | "storage" | "returns" | "duty" | "broker" | "other" => Some("default"),
            _ => None,
        };
        assert_eq!(assumed, expected.is_some(), "{line}");
        if let Some(expected) = expected {
            assert_eq!(source, expected, "{line}");
        }
        // A table's row holds from its day on.
        assert_eq!(line["date"].is_string(), expected.is_some_and(|expected| expected.ends_with("table")), "{line}");
    }
}

#[tokio::test]
async fn a_referral_fee_is_a_rate_a_category_or_a_rule() {
    let api = TestApi::start().await;
    let steps = json!([{"up_to": 250, "rate": 0.15}, {"rate": 0.05}]);
    for (referral, price, expected) in [
        (json!({"rate": 0.15}), 399.0, "59.85"),
        (json!({"category": "watches"}), 399.0, "44.95"),
        (json!({"kind": "marginal", "steps": steps}), 399.0, "44.95"),
        (json!({"kind": "whole", "steps": steps}), 399.0, "19.95"),
        (json!({"category": "car_and_motorbike"}), 100.0, "12.00"),
        (json!({"category": "beauty"}), 10.0, "0.80"),
        // The minimum.
        (json!({"rate": 0.15}), 1.0, "0.30"),
    ] {
        let ledger = ledger(&api, &with(json!({"referral": referral, "target_price": price}))).await;
        assert_eq!(digits(&ledger["referral_fee"]), expected, "{referral} of {price}");
    }
}

#[tokio::test]
async fn a_route_over_currencies_takes_the_rate_given_or_todays() {
    let api = TestApi::start().await;
    let question = |exchange: Value| {
        with(
            json!({"regime": "IMPORT", "source_market": "DE", "target_market": "UK", "vat_source": 0.19, "vat_target": 0.20,
            "referral_minimum": 0.25, "fba_fee": 3.04, "exchange_rate": exchange}),
        )
    };
    let given = ledger(&api, &question(json!({"units_per_eur": 0.85363, "spread": 0.015}))).await;
    // 58.06 GBP = 68.02 EUR, less 1.02 for the conversion, 49.90 and 3.17.
    assert_eq!(digits(&given["profit"]), "13.93");

    let answer = api.post("/profit", &question(Value::Null)).await;
    assert_eq!(answer.status, 400, "no rate is known yet: {}", answer.text());
    assert!(answer.text().contains("no exchange rate of GBP"), "{}", answer.text());

    api.put_state(StateKind::Rates, "current", None, None, NOW, rates_record()).await;
    api.put_state(StateKind::Status, "producer", None, None, NOW, producer_status(true)).await;
    api.advance(60_000);
    let todays = ledger(&api, &question(Value::Null)).await;
    let line = |name: &str| {
        todays["lines"]
            .as_array()
            .expect("lines")
            .iter()
            .find(|line| line["name"] == name)
            .expect("the line")
            .clone()
    };
    assert_eq!(line("proceeds_eur")["date"], json!(rates_record().date.to_string()));
    assert_eq!(line("fx_spread")["assumed"], json!(true));

    api.take_catalog_away(true);
    api.advance(60_000);
    // Rates are held; and where one is given none is asked for.
    assert_eq!(ledger(&api, &question(json!({"units_per_eur": 0.85363}))).await["capital"], given["capital"]);
}

#[tokio::test]
async fn a_question_that_cannot_be_read_names_the_field() {
    let api = TestApi::start().await;
    for (changes, named) in [
        (json!({"regime": null}), "field regime: is missing"),
        (json!({"regime": "XX"}), "field regime: \"XX\" is not a VAT regime"),
        (json!({"source_market": "NL"}), "field source_market"),
        (json!({"source_market": "IT"}), "field target_market: is the market where it is bought"),
        (json!({"source_price": null}), "field source_price: is missing"),
        (json!({"source_price": 0}), "field source_price"),
        (json!({"source_price": -1}), "field source_price"),
        (json!({"source_price": 1.001}), "field source_price"),
        (json!({"source_price": 1e30}), "field source_price"),
        (json!({"target_price": "89.90"}), "field target_price: is \"89.90\": a number is expected"),
        (json!({"target_price": 1e15}), "target_price"),
        (json!({"vat_source": 21}), "field vat_source: 21 is no share"),
        (json!({"freight": -1}), "field freight"),
        (json!({"freight": 0.001}), "field freight"),
        (json!({"freight": [2]}), "field freight: is [2]"),
        (json!({"referral": {}}), "field referral"),
        (json!({"referral": {"rate": 0.1, "category": "watches"}}), "field referral"),
        (json!({"referral": {"category": "nothing"}}), "no category of the fee table"),
        (json!({"referral": {"kind": "odd", "steps": []}}), "field referral.kind"),
        (json!({"referral": {"kind": "whole", "steps": []}}), "at least one step"),
        (json!({"referral": {"kind": "whole", "steps": [{"up_to": 5, "rate": 0.1}]}}), "the last step"),
        (json!({"exchange_rate": {"units_per_eur": 0}}), "field exchange_rate.units_per_eur"),
        (json!({"exchange_rate": {"spread": 2}}), "field exchange_rate.spread"),
        (json!({"profit": 5}), "profit"),
        (
            json!({"target_market": "US", "vat_target": null, "exchange_rate": {"units_per_eur": 1.1}}),
            "no table has a VAT rate for US: say vat_target",
        ),
    ] {
        let answer = api.post("/profit", &with(changes.clone())).await;
        assert_eq!(answer.status, 400, "{changes}: {}", answer.text());
        let detail = answer.json()["detail"].as_str().expect("a problem").to_owned();
        assert!(detail.contains(named), "{changes}: {detail}");
    }
    for (body, content_type, status) in [("{", "application/json", 400), ("[]", "application/json", 400), ("{}", "text/plain", 415)] {
        let request = poem::Request::builder()
            .method(poem::http::Method::POST)
            .uri_str("/profit")
            .content_type(content_type);
        let answer = api.send(request.body(body)).await;
        assert_eq!(answer.status, status, "{body} as {content_type}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    // Of no announced length.
    let endless = poem::Body::from_bytes_stream(futures_util::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1_000]))));
    let request = poem::Request::builder()
        .method(poem::http::Method::POST)
        .uri_str("/profit")
        .content_type("application/json");
    assert_eq!(api.send(request.body(endless)).await.status, 413);
}

/// The published vectors, which lie beside the workspace. Where they are missing the test says so and is skipped, except
/// in CI, where that is a failure.
fn vectors() -> Option<Value> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/profit.json");
    match std::fs::read_to_string(&file) {
        Ok(text) => Some(serde_json::from_str(&text).expect("the vectors are JSON")),
        Err(error) => {
            let said = format!("{} cannot be read: {error}", file.display());
            assert!(std::env::var("CI").is_err(), "{said}");
            // Not eprintln: the test runner would keep that to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {said}");
            None
        }
    }
}

/// Minor units as a number with two decimals.
fn decimals(minor: &Value) -> Value {
    let minor = minor.as_i64().expect("minor units");
    serde_json::from_str(&format!("{}.{:02}", minor / 100, minor % 100)).expect("a number")
}

#[tokio::test]
async fn the_published_vectors_come_out() {
    let Some(file) = vectors() else { return };
    let api = TestApi::start().await;
    let all = file["vectors"].as_array().expect("a list");
    for vector in all {
        let inputs = vector
            .get("inputs_of")
            .map_or(vector, |id| all.iter().find(|vector| vector["id"] == *id).expect("the vector it is about"));
        let share = |name: &str| serde_json::from_str::<Value>(inputs[name].as_str().expect(name)).expect("a number");
        let mut question = json!({
            "regime": inputs["regime"], "source_market": inputs["source_market"], "target_market": inputs["target_market"],
            "source_price": decimals(&inputs["buy_gross"]), "target_price": decimals(&inputs["sell_gross"]),
            "vat_source": share("v_src"), "vat_target": share("v_dst"), "referral": {"rate": share("referral_rate")},
            "referral_minimum": decimals(&inputs["referral_min"]), "closing_fee": decimals(&inputs["closing"]), "fba_fee": decimals(&inputs["fba"]),
            "dsf_rate": share("dsf_rate"), "freight": decimals(&inputs["freight"]), "prep": decimals(&inputs["prep"]),
            "storage": decimals(&inputs["storage"]), "returns": 0, "duty": 0, "broker": 0, "other": 0,
        });
        if inputs.get("fee_vat").is_some() {
            question["fee_vat"] = share("fee_vat");
        }
        let ledger = ledger(&api, &question).await;
        if let Some(wrong) = vector.get("expect_not") {
            assert_ne!(ledger["profit"], decimals(&wrong["profit"]), "{}", vector["id"]);
            continue;
        }
        for (name, shown) in [
            ("buy_cost", "purchase_cost"),
            ("sell_net", "sale_net"),
            ("vat_out", "output_vat"),
            ("referral", "referral_fee"),
            ("dsf", "dsf"),
            ("profit", "profit"),
            ("capital", "capital"),
            ("break_even", "break_even_price"),
            ("max_buy_gross", "max_purchase_price"),
        ] {
            if let Some(expected) = vector["expect"].get(name) {
                assert_eq!(ledger[shown], decimals(expected), "{} {name}", vector["id"]);
            }
        }
        for (name, shown) in [
            ("roi_pct", "roi_percentage"),
            ("net_margin_pct", "net_margin_percentage"),
            ("gross_gap_pct", "gross_gap_percentage"),
            ("buffer_pct", "buffer_percentage"),
        ] {
            if let Some(expected) = vector["expect"].get(name) {
                assert_eq!(Some(&*digits(&ledger[shown])), expected.as_str(), "{} {name}", vector["id"]);
            }
        }
    }
}

/// Opportunities of three routes, and the profit of each as it is listed.
async fn three_routes() -> TestApi {
    let api = TestApi::start().await;
    api.put_opportunities(vec![
        opportunity("B0D1XD1ZV3:ES:IT", 4_990, 8_990),
        opportunity("B0D1XD1ZV3:ES:DE", 4_990, 6_990),
        opportunity("B000000001:FR:IT", 4_990, 7_990),
    ])
    .await;
    api
}

#[tokio::test]
async fn opportunities_are_filtered_and_sorted_by_what_is_left_of_them() {
    let api = three_routes().await;
    let all = api.json("/opportunities?sort=-profit").await;
    let profits: Vec<String> = all["items"].as_array().expect("items").iter().map(|item| digits(&item["profit"])).collect();
    assert_eq!(
        api.get("/opportunities?sort=-profit").await.ids(),
        ["B0D1XD1ZV3:ES:IT", "B000000001:FR:IT", "B0D1XD1ZV3:ES:DE"]
    );
    for sort in ["profit", "roi", "buffer"] {
        let ids = api.get(&format!("/opportunities?sort={sort}")).await.ids();
        assert_eq!(ids, ["B0D1XD1ZV3:ES:DE", "B000000001:FR:IT", "B0D1XD1ZV3:ES:IT"], "{sort}");
    }
    let found = api.get(&format!("/opportunities?min_profit={}", profits[1])).await.ids();
    assert_eq!(found, ["B0D1XD1ZV3:ES:IT", "B000000001:FR:IT"]);
    let roi = digits(&all["items"][0]["roi_percentage"]);
    assert_eq!(api.get(&format!("/opportunities?min_roi={roi}")).await.ids(), ["B0D1XD1ZV3:ES:IT"]);
    let buffer = digits(&all["items"][0]["buffer_percentage"]);
    assert_eq!(api.get(&format!("/opportunities?min_buffer={buffer}")).await.ids(), ["B0D1XD1ZV3:ES:IT"]);
    assert_eq!(api.get("/opportunities?min_profit=1000000").await.ids(), Vec::<String>::new());
}

#[tokio::test]
async fn an_opportunity_shows_its_ledger_and_the_articles_other_routes() {
    let api = three_routes().await;
    let detail = api.json("/opportunities/B0D1XD1ZV3:ES:IT").await;
    assert_eq!(detail["ledger"]["profit"], detail["profit"]);
    assert_eq!(detail["ledger"]["regime"], "RC");
    assert_eq!(digits(&detail["ledger"]["purchase_cost"]), "41.24");
    let lines = detail["ledger"]["lines"].as_array().expect("lines");
    assert_eq!(
        (lines[0]["name"].as_str(), lines[0]["source"].as_str()),
        (Some("source_price"), Some("observed"))
    );
    let vat = lines.iter().find(|line| line["name"] == "output_vat").expect("the line");
    assert_eq!(
        (vat["source"].as_str(), vat["date"].as_str(), &vat["assumed"]),
        (Some("vat_table"), Some("2013-10-01"), &json!(true))
    );
    let others = detail["alternatives"].as_array().expect("alternatives");
    assert_eq!((others.len(), others[0]["id"].as_str()), (1, Some("B0D1XD1ZV3:ES:DE")));
    assert_eq!(api.get("/opportunities/B0D1XD1ZV3:DE:ES").await.status, 404);
}

#[tokio::test]
async fn what_if_shows_which_opportunities_survive_other_costs() {
    let api = three_routes().await;
    let before = api.json("/opportunities?sort=-profit").await;
    let answer = api.post("/opportunities/what-if", &json!({"regime": "LOST", "freight": 3.20})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let items = answer["items"].as_array().expect("items");
    assert_eq!(digits(&answer["total"]["value"]), "3");
    for (item, before) in items.iter().zip(before["items"].as_array().expect("items")) {
        assert_eq!((&item["id"], &item["profit_before"]), (&before["id"], &before["profit"]));
    }
    // Dearer by 0.70 of freight and by the VAT in 49.90: 8.66 in Spain, 8.32 in France.
    let cents = |value: &Value| digits(value).replace('.', "").parse::<i64>().expect("cents");
    let lost: Vec<i64> = items.iter().map(|item| cents(&item["profit_before"]) - cents(&item["profit"])).collect();
    assert_eq!(lost, [936, 902, 936]);
    let survivors = items.iter().filter(|item| item["survives"] == json!(true)).count();
    assert!(digits(&answer["survivors"]) == survivors.to_string() && survivors < 3, "{answer}");

    let of_france = api.post("/opportunities/what-if", &json!({"source_market": "FR"})).await.json();
    assert_eq!(of_france["items"].as_array().expect("items").len(), 1);
    assert_eq!(of_france["items"][0]["profit"], of_france["items"][0]["profit_before"], "nothing is different");
    for (question, named) in [
        (json!({"limit": 0}), "field limit"),
        (json!({"limit": 501}), "field limit"),
        (json!({"regime": 5}), "field regime"),
        (json!({"freigth": 5}), "freigth"),
    ] {
        let answer = api.post("/opportunities/what-if", &question).await;
        assert_eq!(answer.status, 400, "{question}: {}", answer.text());
        assert!(answer.text().contains(named), "{question}: {}", answer.text());
    }
    assert_eq!(api.get("/opportunities/what-if").await.status, 405);
}
