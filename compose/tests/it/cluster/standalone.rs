//! Each service by itself: arguments, `--check`, probes, metrics.

use std::time::Duration;

use super::bench::on_real_servers;
use super::services::{Service, command};
use crate::system::Api;

const SERVICES: [&str; 5] = ["producer", "enricher", "detector", "api", "scheduler"];

async fn run(name: &str, argument: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let output = command(name, &variables).args(Some(argument).filter(|argument| !argument.is_empty())).output();
    let output = output.await.expect("it runs");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (output.status.code(), said.concat())
}

#[tokio::test]
async fn every_service_says_what_it_is_and_refuses_what_it_does_not_know() {
    for name in SERVICES {
        let (code, said) = run(name, "--version", &[]).await;
        assert_eq!((code, said.trim()), (Some(0), format!("{name} {}", env!("CARGO_PKG_VERSION")).as_str()));
        let (code, said) = run(name, "--help", &[]).await;
        assert!(
            code == Some(0) && said.contains("--check") && said.contains("KAFKA_BROKERS") && said.contains("METRICS_LISTEN"),
            "{said}"
        );
        let (code, said) = run(name, "--chekc", &[]).await;
        assert!(code == Some(2) && said.contains("--chekc"), "{said}");
    }
}

#[tokio::test]
async fn every_service_names_all_that_is_missing_at_once() {
    for name in SERVICES {
        let (code, said) = run(name, "", &[("METRICS_LISTEN", "nowhere")]).await;
        assert_eq!(code, Some(2), "{name}: {said}");
        for variable in ["KAFKA_BROKERS", "ELASTICSEARCH_URL", "METRICS_LISTEN"] {
            assert!(said.contains(variable), "{name} does not name {variable}: {said}");
        }
        assert_eq!(said.contains("KEEPA_API_KEY"), name == "producer", "{said}");
    }
}

#[tokio::test]
async fn check_says_of_each_outside_system_whether_it_answers() {
    // Nobody listens at the discard port.
    let away = [
        ("KAFKA_BROKERS", "127.0.0.1:9"),
        ("ELASTICSEARCH_URL", "http://127.0.0.1:9"),
        ("KEEPA_API_KEY", "abcdef123456"),
        ("KEEPA_URL", "http://127.0.0.1:9"),
    ];
    for name in ["producer", "api"] {
        let (code, said) = run(name, "--check", &away).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("FAIL event log") && said.contains("FAIL catalog"), "{said}");
        assert_eq!(said.contains("FAIL keepa"), name == "producer", "{said}");
        assert!(!said.contains("abcdef123456"), "the key is shown: {said}");
    }
}

async fn status(probes: &Api, path: &str) -> u16 {
    let answer = reqwest::get(format!("{}{path}", probes.url)).await;
    answer.map_or(0, |answer| answer.status().as_u16())
}

/// What `/health/ready` says once it answers with this status.
async fn ready(service: &Service, probes: &Api, wanted: u16) -> String {
    let began = std::time::Instant::now();
    loop {
        let answer = reqwest::get(format!("{}/health/ready", probes.url)).await.expect("the probes answer");
        let (status, body) = (answer.status().as_u16(), answer.text().await.expect("text"));
        if status == wanted {
            return body;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{} answers {status} instead of {wanted}: {body}",
            service.name
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the service tells of a metric.
async fn tells(service: &Service, probes: &Api, metric: &str) {
    let mut metrics = String::new();
    let look = async {
        while !metrics.lines().any(|line| line.starts_with(metric)) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            metrics = reqwest::get(format!("{}/metrics", probes.url))
                .await
                .expect("metrics")
                .text()
                .await
                .expect("text");
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(60), look).await;
    assert!(found.is_ok(), "{} tells nothing of {metric}: {metrics}", service.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_is_live_at_once_ready_with_its_servers_and_tells_its_metrics() {
    on_real_servers("every_service_is_live_at_once", async |bench| {
        let cluster = bench.start(3).await;
        for (service, component, metric) in [
            (&cluster.producer, "keepa", "keepa_tokens_left"),
            (&cluster.enrichers[0], "enricher", "records_settled_total"),
            (&cluster.enrichers[2], "enricher", "consumer_lag"),
            (&cluster.detector, "detector", "opportunities_active"),
            (&cluster.api, "catalog", "catalog_up 1"),
            (&cluster.scheduler, "scheduler", "job_requests_total"),
        ] {
            let probes = service.probes().await;
            let body = ready(service, &probes, 200).await;
            for named in ["event_log", "catalog", component] {
                assert!(body.contains(&format!("{named}: ")), "{} does not tell of {named}: {body}", service.name);
            }
            assert_eq!(status(&probes, "/health/live").await, 200);
            assert_eq!(status(&probes, "/nothing").await, 404);
            tells(service, &probes, metric).await;
        }
        cluster.terminate().await;
    })
    .await;
}

/// Guard: starting waits for nobody, and waiting ends with the shutdown. Taken out (the scheduler waits for the catalog), it
/// was aborted and ended with code 1.
#[tokio::test(flavor = "multi_thread")]
async fn t28_a_service_whose_servers_are_away_is_live_not_ready_and_ends_when_told() {
    on_real_servers("a_service_whose_servers_are_away", async |bench| {
        let away = [("KAFKA_BROKERS", "127.0.0.1:9"), ("ELASTICSEARCH_URL", "http://127.0.0.1:9")];
        for name in SERVICES {
            let service = bench.start_service(name, &away);
            let probes = service.probes().await;
            let body = ready(&service, &probes, 503).await;
            assert_eq!(status(&probes, "/health/live").await, 200);
            let told = async {
                let mut body = body;
                while !(body.contains("event_log: down") && body.contains("catalog: down")) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    body = ready(&service, &probes, 503).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), told).await.expect("both are told of");
            service.terminate().await;
        }
    })
    .await;
}
