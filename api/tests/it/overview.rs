//! `/stats`, `/runs`, `/health`, `/metrics`.

use serde_json::{Value, json};
use shared::domain::UnixMillis;
use shared::health::Condition;
use shared::ports::catalog::StateKind;
use shared::wire::state::{EnricherStatus, Run, RunProgress, RunStatus};
use shared::wire::{JobKind, JobRequest};

use crate::harness::TestApi;
use crate::samples::{NOW, opportunity, producer_status, rates_record, reference};

#[tokio::test]
async fn stats_of_nothing_are_zeros_and_nulls() {
    let api = TestApi::with(&[("MARKETS", "DE,UK")]).await;
    let route = |source: &str, target: &str| json!({"source_market": source, "target_market": target, "opportunities": 0, "best_margin_percentage": null, "average_margin_percentage": null});
    let mut stats = api.json("/stats").await;
    assert_eq!(stats["min_margin_percentage"].to_string(), "10.00");
    assert_eq!(stats["total_margin"].to_string(), "0.00");
    stats["min_margin_percentage"] = json!(0);
    stats["total_margin"] = json!(0);
    assert_eq!(
        stats,
        json!({
            "simulated": false, "products_total": 0, "products_active": 0, "opportunities_active": 0, "min_margin_percentage": 0,
            "best_margin_percentage": null, "average_margin_percentage": null, "total_margin": 0, "last_updated": null,
            "routes": [route("DE", "UK"), route("UK", "DE")],
            "markets": {"DE": {"products": 0, "last_updated": null}, "UK": {"products": 0, "last_updated": null}},
            "feed": {"records_total": 0, "dlq_total": 0, "tokens_left": null, "refill_rate": null, "lag": null, "oldest_leg": null},
            "exchange_rates": null
        })
    );
}

#[tokio::test]
async fn stats_count_products_opportunities_and_the_feed() {
    let api = TestApi::start().await;
    api.put_state(StateKind::Rates, "current", None, None, NOW, rates_record()).await;
    api.put_state(StateKind::Status, "producer", None, None, NOW, producer_status(true)).await;
    for (partition, records_total, dlq_total) in [(0, 100, 1), (1, 50, 0), (2, 7, 2)] {
        let status = EnricherStatus { records_total, dlq_total };
        api.put_state(StateKind::Status, &format!("enricher-{partition}"), None, None, NOW, status)
            .await;
    }
    api.put_products(vec![reference()]).await;
    api.put_opportunities(vec![opportunity("B0D1XD1ZV3:ES:IT", 4799, 5499), opportunity("B000000002:ES:IT", 1000, 1500)])
        .await;

    let stats = api.json("/stats").await;
    let numbers = [
        "products_total",
        "opportunities_active",
        "best_margin_percentage",
        "average_margin_percentage",
        "total_margin",
    ];
    // 14.59 and 50.00 have the mean 32.295.
    assert_eq!(numbers.map(|name| stats[name].to_string()), ["1", "2", "50.00", "32.30", "12.00"]);
    assert_eq!(stats["simulated"], json!(true));
    assert_eq!(stats["last_updated"], json!("2026-01-11T12:00:00.000Z"));
    assert_eq!(stats["routes"].as_array().unwrap().len(), 20);
    let route = stats["routes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|route| route["opportunities"] != json!(0))
        .unwrap();
    assert_eq!((route["source_market"].as_str(), route["target_market"].as_str()), (Some("ES"), Some("IT")));
    assert_eq!(
        [&route["best_margin_percentage"], &route["average_margin_percentage"]].map(Value::to_string),
        ["50.00", "32.30"]
    );
    assert_eq!(stats["markets"]["ES"], json!({"products": 1, "last_updated": "2026-01-11T12:00:00.000Z"}));
    assert_eq!(stats["markets"]["FR"], json!({"products": 0, "last_updated": null}));
    assert_eq!(
        stats["feed"],
        json!({"records_total": 157, "dlq_total": 3, "tokens_left": 1180, "refill_rate": 20, "lag": null, "oldest_leg": "2026-01-11T11:57:00.000Z"})
    );
    let rates: Value = serde_json::from_str(r#"{"date": "2026-01-09", "rates": {"GBP": 0.8612}, "stale": false, "origin": "shipped"}"#).unwrap();
    assert_eq!(stats["exchange_rates"], rates);
    api.advance(3 * 86_400_000);
    assert_eq!(api.json("/stats").await["exchange_rates"]["stale"], json!(true));
}

fn run(job: &str, hour: i64, status: RunStatus) -> Run {
    let tick = NOW.plus_millis(hour * 3_600_000);
    let id = JobRequest::run_id(job, tick);
    Run {
        request: JobRequest {
            v: 1,
            job: job.into(),
            run_id: id.clone(),
            kind: JobKind::Scrape,
            tick,
            priority: 0,
            token_budget: None,
            parameters: Default::default(),
        },
        id,
        status,
        started_at: tick.plus_millis(250),
        finished_at: (status == RunStatus::Succeeded).then_some(tick.plus_millis(1_500)),
        attempts: 1,
        products: 500,
        tokens: 1_500,
        error: (status == RunStatus::Failed).then(|| "no tokens".into()),
        progress: RunProgress::default(),
    }
}

#[tokio::test]
async fn what_the_feed_is_shows_a_moment_after_the_producer_has_said_it() {
    let api = TestApi::start().await;
    assert_eq!(api.json("/stats").await["simulated"], json!(false));
    api.put_state(StateKind::Status, "producer", None, None, NOW, producer_status(true)).await;
    api.advance(99);
    assert_eq!(api.json("/stats").await["simulated"], json!(false));
    api.advance(1);
    assert_eq!(api.json("/stats").await["simulated"], json!(true));
}

#[tokio::test]
async fn runs_are_listed_newest_first_and_filtered() {
    let api = TestApi::start().await;
    for run in [
        run("category-scrape", -4, RunStatus::Succeeded),
        run("category-scrape", -2, RunStatus::Failed),
        run("sweep", -1, RunStatus::Running),
    ] {
        let (id, job, status, at) = (run.id.clone(), run.request.job.clone(), run.status.name(), run.started_at);
        api.put_state(StateKind::Runs, &id, Some(&job), Some(status), at, run).await;
    }
    let list = api.json("/runs").await;
    assert_eq!(list["total"], json!({"value": 3, "relation": "eq"}));
    assert_eq!(
        list["items"][1],
        json!({
            "id": "category-scrape@2026-01-11T10:00:00.000Z", "job": "category-scrape", "status": "failed",
            "started_at": "2026-01-11T10:00:00.250Z", "finished_at": null, "attempts": 1, "products": 500, "tokens": 1500, "error": "no tokens"
        })
    );
    for (query, expected) in [
        (
            "",
            &[
                "sweep@2026-01-11T11:00:00.000Z",
                "category-scrape@2026-01-11T10:00:00.000Z",
                "category-scrape@2026-01-11T08:00:00.000Z",
            ][..],
        ),
        ("job=category-scrape&status=succeeded", &["category-scrape@2026-01-11T08:00:00.000Z"]),
        ("status=running", &["sweep@2026-01-11T11:00:00.000Z"]),
        ("job=none", &[]),
    ] {
        assert_eq!(api.get(&format!("/runs?{query}")).await.ids(), expected, "{query}");
    }
    let page = api.json("/runs?limit=1").await;
    let rest = api.get(&format!("/runs?limit=5&cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!(rest.ids().len(), 2);
}

#[tokio::test]
async fn health_tells_each_component_and_only_the_vital_ones_make_it_503() {
    let api = TestApi::start().await;
    for path in ["/health", "/health/ready"] {
        let answer = api.get(path).await;
        assert_eq!(
            (answer.status, answer.json()["status"].clone()),
            (503, json!("down")),
            "{path} before anything was looked at"
        );
    }
    assert_eq!(api.get("/health/live").await.status, 200);

    api.health.up("event_log", UnixMillis(NOW.0 - 1_000));
    api.health.up("catalog", NOW);
    api.put_state(StateKind::Status, "producer", None, None, NOW, producer_status(true)).await;
    api.advance(5_000);
    let answer = api.get("/health").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"status": "up", "components": {
            "event_log": {"status": "up", "since": "2026-01-11T11:59:59.000Z", "reason": null},
            "catalog": {"status": "up", "since": "2026-01-11T12:00:00.000Z", "reason": null},
            "keepa": {"status": "up", "since": "2026-01-11T12:00:00.000Z", "reason": null}
        }})
    );
    api.health.set("keepa", Condition::Degraded { reason: "HTTP 429".into() }, NOW);
    let answer = api.get("/health").await;
    assert_eq!(
        (answer.status, &answer.json()["status"], &answer.json()["components"]["keepa"]["reason"]),
        (200, &json!("degraded"), &json!("HTTP 429"))
    );
    assert_eq!(api.get("/health/ready").await.status, 200);

    api.health.down("catalog", "disk full", NOW);
    for (path, expected) in [("/health", 503), ("/health/ready", 503), ("/health/live", 200)] {
        assert_eq!(api.get(path).await.status, expected, "{path}");
    }
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let api = TestApi::start().await;
    let answer = api.get("/metrics").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
}
