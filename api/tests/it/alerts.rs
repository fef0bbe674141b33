//! `/alerts/rules` and `/alerts/deliveries`.

use poem::Request;
use poem::http::Method;
use serde_json::{Value, json};
use shared::domain::UnixMillis;
use shared::domain::alert::{Figures, Rule};
use shared::domain::opportunity::EventKind;
use shared::domain::{Currency, Money, OpportunityId, Percentage, TrapReason};
use shared::ports::catalog::StateKind;
use shared::wire::alert::{Alert, AlertSettings, ChannelRecord, Delivery, DeliveryKind, DeliveryStatus, RuleOrigin, RuleRecord, Told};

use crate::harness::{Answer, TestApi};
use crate::samples::{NOW, producer_status};

/// What the detector says of the operator's file.
async fn with_channels(names: &[&str]) -> TestApi {
    let api = TestApi::start().await;
    let channel = |name: &&str| ChannelRecord {
        name: name.parse().expect("a name"),
        kind: "smtp".into(),
    };
    let settings = AlertSettings {
        channels: names.iter().map(channel).collect(),
    };
    api.put_state(StateKind::Settings, AlertSettings::ID, None, None, NOW, settings).await;
    api
}

async fn send(api: &TestApi, method: Method, uri: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri_str(uri).content_type("application/json");
    api.send(request.body(body.to_string())).await
}

async fn put_rule(api: &TestApi, rule: Value, origin: RuleOrigin) {
    let rule = Rule::parse(&rule, None).expect("a rule");
    let record = RuleRecord {
        rule: rule.to_json(),
        origin,
        created_at: NOW,
        updated_at: NOW,
        removed: false,
    };
    let (group, status) = (Some(origin.name()), Some(record.status()));
    api.put_state(StateKind::AlertRules, rule.id.as_str(), group, status, NOW, &record).await;
}

fn delivery(rule: &str, number: i64, status: DeliveryStatus) -> Delivery {
    let opportunity: OpportunityId = "B0D1XD1ZV3:ES:IT".parse().expect("an id");
    let eur = |minor| Money::new(minor, Currency::EUR);
    let figures = |margin, percentage| Figures {
        margin,
        margin_percentage: Percentage(percentage),
        profit: Some(310),
        roi: None,
        buffer: None,
        confidence: Some(Percentage(5_000)),
    };
    let at = NOW.plus_millis(number);
    Delivery {
        id: format!("{rule}.B0D1XD1ZV3.ES.IT.{number}"),
        rule: rule.parse().expect("a name"),
        rule_name: "Everything".into(),
        channel: "mail".parse().expect("a name"),
        kind: DeliveryKind::Alert,
        status,
        created_at: at,
        due_since: at,
        next_attempt_at: at,
        attempts: 20,
        last_error: Some("it answers 503".into()),
        finished_at: Some(at),
        digest: None,
        simulated: true,
        alerts: vec![Alert {
            alert_id: format!("{opportunity}#{number}"),
            event: EventKind::Improved,
            at,
            asin: opportunity.asin,
            source_market: opportunity.source,
            target_market: opportunity.target,
            opportunity,
            title: Some("Kettle".into()),
            brand: None,
            category: None,
            source_price: eur(4_799),
            target_price: eur(5_699),
            source_price_eur: eur(4_799),
            target_price_eur: eur(5_699),
            closed_reason: None,
            figures: figures(900, 1_875),
            traps: vec![TrapReason::PriceOutlier],
            previous: Some(Told {
                event: EventKind::Opened,
                at: NOW,
                figures: figures(700, 1_459),
            }),
        }],
    }
}

async fn put_delivery(api: &TestApi, delivery: &Delivery) {
    let record = delivery.to_record();
    api.put_state(
        StateKind::Deliveries,
        &record.id,
        record.group.as_deref(),
        record.status.as_deref(),
        record.at,
        delivery,
    )
    .await;
}

/// A rule `all` and a delivery of it.
pub async fn fill(api: &TestApi) {
    put_rule(api, json!({"id": "all", "channel": "mail", "min_profit": 5, "digest": "1h"}), RuleOrigin::File).await;
    put_delivery(api, &delivery("all", 7, DeliveryStatus::Failed)).await;
}

#[tokio::test]
async fn a_rule_is_made_read_replaced_and_removed() {
    let api = with_channels(&["mail"]).await;
    let sent = json!({"id": "spain", "name": "Spain to Italy", "channel": "mail", "min_profit": 5.5, "source_markets": ["ES"], "cooldown": "90m"});
    let made = send(&api, Method::POST, "/alerts/rules", &sent).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let rule = made.json();
    assert_eq!((rule["min_profit"].to_string(), rule["hysteresis"].to_string()), ("5.50".into(), "1.00".into()));
    for (field, expected) in [
        ("origin", json!("api")),
        ("enabled", json!(true)),
        ("events", json!(["opened", "improved", "closed"])),
        ("min_margin", Value::Null),
        ("source_markets", json!(["ES"])),
        ("cooldown", json!("90m")),
        ("daily_cap", json!(100)),
        ("digest", Value::Null),
    ] {
        assert_eq!(rule[field], expected, "{field}");
    }
    assert_eq!(api.json("/alerts/rules/spain").await, rule);
    assert_eq!(api.json("/api/v1/alerts/rules").await["items"], json!([rule]));
    assert_eq!(send(&api, Method::POST, "/alerts/rules", &sent).await.status, 409);

    api.advance(1_000);
    let replaced = send(&api, Method::PUT, "/alerts/rules/spain", &json!({"channel": "mail", "enabled": false}))
        .await
        .json();
    assert_eq!((replaced["min_profit"].clone(), replaced["enabled"].clone()), (Value::Null, json!(false)));
    assert_eq!(
        (&replaced["created_at"], &replaced["updated_at"]),
        (&rule["created_at"], &json!(NOW.plus_millis(1_000).to_rfc3339()))
    );

    assert_eq!(api.request(Method::DELETE, "/alerts/rules/spain", &[]).await.status, 204);
    assert_eq!(api.get("/alerts/rules/spain").await.status, 404);
    assert_eq!(api.request(Method::DELETE, "/alerts/rules/spain", &[]).await.status, 404);
    assert_eq!(api.json("/alerts/rules").await["items"], json!([]));
    // Its name is free again.
    assert_eq!(send(&api, Method::POST, "/alerts/rules", &sent).await.status, 201);
}

#[tokio::test]
async fn a_rule_without_an_id_gets_one() {
    let api = with_channels(&["mail"]).await;
    let made = send(&api, Method::POST, "/alerts/rules", &json!({"channel": "mail"})).await.json();
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("rule-"), "{id}");
    assert_eq!(api.json(&format!("/alerts/rules/{id}")).await, made);
}

#[tokio::test]
async fn what_is_wrong_with_a_rule_is_told_by_field() {
    let api = with_channels(&["mail", "push"]).await;
    for (sent, expected) in [
        (json!({}), "field channel: is missing"),
        (
            json!({"channel": "hook"}),
            "field channel: is hook, which the operator's file (ALERT_CHANNELS) does not have; known: mail, push",
        ),
        (json!({"channel": "mail", "min_profit": "5"}), "field min_profit: is \"5\""),
        (json!({"channel": "mail", "min_profit": 5.001}), "field min_profit: is 5.001"),
        (json!({"channel": "mail", "events": []}), "field events: is empty"),
        (json!({"channel": "mail", "events": "opened"}), "field events: is \"opened\""),
        (json!({"channel": "mail", "source_markets": ["XX"]}), "field source_markets: has \"XX\""),
        (json!({"channel": "mail", "digest": "1s"}), "field digest: is \"1s\""),
        (json!({"channel": "mail", "cooldown": "soon", "daily_cap": 0}), "; field daily_cap: is 0"),
        (json!({"id": "A b", "channel": "mail"}), "field id: is \"A b\""),
        (json!({"channel": "mail", "min_gain": 1}), "min_gain"),
    ] {
        let answer = send(&api, Method::POST, "/alerts/rules", &sent).await;
        assert_eq!(answer.status, 400, "{sent}: {}", answer.text());
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(expected), "{sent}: {detail}");
    }
    assert_eq!(api.json("/alerts/rules").await["total"]["value"], json!(0));
    let without = TestApi::start().await;
    let answer = send(&without, Method::POST, "/alerts/rules", &json!({"channel": "mail"})).await;
    assert!(answer.text().contains("known: none"), "{}", answer.text());
    let other = send(&api, Method::PUT, "/alerts/rules/a", &json!({"id": "b", "channel": "mail"})).await;
    assert!(other.text().contains("field id: is b"), "{}", other.text());
}

#[tokio::test]
async fn rules_of_the_file_are_shown_and_not_changed() {
    let api = with_channels(&["mail"]).await;
    fill(&api).await;
    assert_eq!(api.json("/alerts/rules/all").await["origin"], json!("file"));
    for answer in [
        send(&api, Method::PUT, "/alerts/rules/all", &json!({"channel": "mail"})).await,
        api.request(Method::DELETE, "/alerts/rules/all", &[]).await,
        send(&api, Method::POST, "/alerts/rules", &json!({"id": "all", "channel": "mail"})).await,
    ] {
        assert_eq!(answer.status, 409, "{}", answer.text());
    }
    // They can be tried out.
    assert_eq!(api.request(Method::POST, "/alerts/rules/all/test", &[]).await.status, 202);
}

#[tokio::test]
async fn a_test_is_a_delivery_that_waits() {
    let api = with_channels(&["mail"]).await;
    api.put_state(StateKind::Status, "producer", None, None, NOW, producer_status(true)).await;
    put_rule(&api, json!({"id": "all", "channel": "mail"}), RuleOrigin::Api).await;
    let answer = api.request(Method::POST, "/alerts/rules/all/test", &[]).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let delivery = answer.json();
    for (field, expected) in [
        ("id", json!(format!("all.test.{}", NOW.0))),
        ("kind", json!("test")),
        ("status", json!("waiting")),
        ("simulated", json!(true)),
        ("alerts", json!([])),
    ] {
        assert_eq!(delivery[field], expected, "{field}");
    }
    assert_eq!(api.json("/alerts/deliveries").await["items"], json!([delivery]));
    assert_eq!(api.request(Method::POST, "/alerts/rules/none/test", &[]).await.status, 404);
}

#[tokio::test]
async fn deliveries_are_listed_newest_first_by_rule_and_status() {
    let api = TestApi::start().await;
    for (rule, number, status) in [
        ("all", 1, DeliveryStatus::Failed),
        ("all", 2, DeliveryStatus::Delivered),
        ("few", 3, DeliveryStatus::Failed),
    ] {
        put_delivery(&api, &delivery(rule, number, status)).await;
    }
    for (query, expected) in [
        ("", "3 2 1"),
        ("?rule=all", "2 1"),
        ("?status=failed", "3 1"),
        ("?rule=all&status=failed", "1"),
        ("?status=held", ""),
    ] {
        let ids = api.get(&format!("/alerts/deliveries{query}")).await.ids();
        let numbers: Vec<&str> = ids.iter().map(|id| id.rsplit('.').next().unwrap()).collect();
        assert_eq!(numbers.join(" "), expected, "{query}");
    }
    let first = api.json("/alerts/deliveries?limit=2").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(
        api.get(&format!("/alerts/deliveries?limit=2&cursor={cursor}")).await.ids(),
        ["all.B0D1XD1ZV3.ES.IT.1"]
    );
    for query in ["status=lost", "rule=A%20b", "limit=0", "job=x"] {
        assert_eq!(api.get(&format!("/alerts/deliveries?{query}")).await.status, 400, "{query}");
    }
    let alert = &first["items"][1]["alerts"][0];
    let numbers = [
        "/figures/margin",
        "/previous/figures/margin",
        "/delta/margin",
        "/delta/margin_percentage",
        "/delta/profit",
    ];
    assert_eq!(
        numbers.map(|pointer| alert.pointer(pointer).unwrap().to_string()),
        ["9.00", "7.00", "2.00", "4.16", "0.00"]
    );
}

#[tokio::test]
async fn only_a_delivery_that_failed_is_sent_again() {
    let api = TestApi::start().await;
    put_delivery(&api, &delivery("all", 1, DeliveryStatus::Failed)).await;
    put_delivery(&api, &delivery("all", 2, DeliveryStatus::Delivered)).await;
    api.advance(60_000);
    let retry = |number: i64| format!("/alerts/deliveries/all.B0D1XD1ZV3.ES.IT.{number}/retry");
    let answer = api.request(Method::POST, &retry(1), &[]).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let again = answer.json();
    let now = UnixMillis(NOW.0 + 60_000).to_rfc3339();
    assert_eq!(
        (&again["status"], &again["attempts"], &again["next_attempt_at"]),
        (&json!("waiting"), &json!(0), &json!(now))
    );
    assert_eq!(api.request(Method::POST, &retry(1), &[]).await.status, 409);
    assert_eq!(api.request(Method::POST, &retry(2), &[]).await.status, 409);
    assert_eq!(api.request(Method::POST, &retry(3), &[]).await.status, 404);
}

#[tokio::test]
async fn with_the_catalog_away_nothing_is_promised_and_pages_of_other_sites_change_nothing() {
    let api = with_channels(&["mail"]).await;
    fill(&api).await;
    for origin in ["https://evil.example", "null"] {
        let headers = [("host", "localhost:8080"), ("origin", origin)];
        let answer = api.request(Method::POST, "/alerts/rules/all/test", &headers).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
    let own = [("host", "localhost:8080"), ("origin", "http://localhost:8080")];
    assert_eq!(api.request(Method::POST, "/alerts/rules/all/test", &own).await.status, 202);
    api.take_catalog_away(true);
    for (method, uri) in [
        (Method::GET, "/alerts/rules"),
        (Method::GET, "/alerts/deliveries"),
        (Method::DELETE, "/alerts/rules/all"),
        (Method::POST, "/alerts/rules/all/test"),
    ] {
        let answer = api.request(method, uri, &[]).await;
        assert_eq!(answer.status, 503, "{uri}: {}", answer.text());
        assert!(!answer.text().contains("secret"), "{}", answer.text());
    }
}
