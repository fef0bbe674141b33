//! SIGTERM: under load, and while the servers are away. Each service ends by itself, in time and with code 0.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use shared::adapters::kafka::Topic;
use shared::domain::UnixMillis;

use super::bench::{Bench, on_real_servers};
use super::load::Update;
use super::proxy::{Fault, Proxy};
use super::services::Service;

/// Records that are settled before the load begins.
const FIRST: usize = 100;
const PATIENCE: Duration = Duration::from_secs(120);
/// What may be on its way: `ENRICHER_WRITES` calls of `ENRICHER_BATCH_PRODUCTS`, but for the one that all others stand behind.
const IN_FLIGHT: i64 = 7 * 100;

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "in vain: {what}");
}

/// Guard: a closing partition waits for its batch and its offset is committed. Taken out (neither), what had been published
/// was not committed.
#[tokio::test(flavor = "multi_thread")]
async fn t27_an_enricher_told_to_end_under_load_commits_what_it_wrote_but_for_what_was_in_flight() {
    on_real_servers("t27_an_enricher_told_to_end", async |bench: &Bench| {
        let now = UnixMillis::now().0;
        // Each record is an article of its own: a publication more than records is a record that was repeated.
        let update = |article| Update {
            article,
            fetched_at: now,
            price: Some(1_999),
            weight: 1_000,
        };
        // First a few: an index that has just been made refuses for a moment, and what is settled behind a record that waits for
        // its next try is rightly repeated.
        let first = bench.publish_updates((0..FIRST).map(update)).await;
        let first = i64::try_from(first).expect("few");
        // Where other tests run, what was begun may take longer than it usually does.
        let enricher = bench.start_service("enricher", &[("ENRICHER_DRAIN", "8s")]);
        bench.reads_all(PATIENCE).await;
        let records = first + i64::try_from(bench.publish_updates((FIRST..30_000).map(update)).await).expect("few");
        until("the first of them are done", async || {
            bench.positions.count(Topic::EnrichedProducts).await > first
        })
        .await;
        let told = Instant::now();
        enricher.terminate().await;
        let ended_after = told.elapsed();
        let committed: i64 = bench.committed().await.values().sum();
        let published = bench.positions.count(Topic::EnrichedProducts).await;
        assert!(first <= committed && committed < records, "{committed} of {records} committed: not under load");
        // What was begun had the time to end. What had only been read by then was not written, and stands before others that were.
        let at_most = committed + IN_FLIGHT;
        assert!((committed..=at_most).contains(&published), "{published} published, {committed} committed");

        let next = bench.start_service("enricher", &[]);
        until("all is committed", async || bench.committed().await.values().sum::<i64>() == records).await;
        let repeated = bench.positions.count(Topic::EnrichedProducts).await - records;
        assert_eq!(repeated, published - committed, "repeated");
        eprintln!("ended after {ended_after:.1?} with {committed} of {records} committed");
        next.terminate().await;
    })
    .await;
}

/// Guard: every loop ends with the shutdown, in `shared::runtime`. Taken out in the scheduler, it was aborted when its time was
/// over and ended with code 1.
#[tokio::test(flavor = "multi_thread")]
async fn t27_every_service_told_to_end_under_load_ends_in_time() {
    on_real_servers("t27_every_service_told_to_end", async |bench: &Bench| {
        let cluster = bench.start(3).await;
        bench.converges(&cluster.address).await;
        bench.double.turn();
        end_all(cluster.into_services()).await;
    })
    .await;
}

/// Tells all to end at once and waits for the last.
async fn end_all(services: Vec<Service>) {
    let told = Instant::now();
    join_all(services.into_iter().map(Service::terminate)).await;
    eprintln!("all have ended after {:.1?}", told.elapsed());
}

async fn is_not_ready(service: &Service) -> bool {
    service.readiness().await.0 == 503
}

/// Guard: waiting for an outside system ends with the shutdown, and every request has a timeout. Taken out in the scheduler, it
/// was aborted and ended with code 1.
#[tokio::test(flavor = "multi_thread")]
async fn t28_a_service_told_to_end_while_a_server_is_away_ends_in_time() {
    on_real_servers("t28_a_service_told_to_end", async |bench: &Bench| {
        let refuse = Fault {
            refuse: true,
            ..Fault::default()
        };
        // Connections are taken, and nothing is ever answered.
        let hang = Fault {
            delay: Duration::from_secs(3_600),
            ..Fault::default()
        };
        let fine = Fault::default();
        for (what, of_kafka, of_elasticsearch) in [
            ("kafka is gone", refuse, fine),
            ("elasticsearch is gone", fine, refuse),
            ("elasticsearch never answers", fine, hang),
            ("both are gone", refuse, refuse),
        ] {
            let kafka = Proxy::start(bench.servers.brokers.split(',').next().expect("one at least")).await;
            let elasticsearch = Proxy::start(bench.servers.elasticsearch.trim_start_matches("http://").trim_end_matches('/')).await;
            let (brokers, url) = (kafka.address.to_string(), format!("http://{}", elasticsearch.address));
            let services = bench.start_all_with(1, &[("KAFKA_BROKERS", &brokers), ("ELASTICSEARCH_URL", &url)]).await;
            bench.converges(&services.address).await;
            kafka.set(of_kafka);
            elasticsearch.set(of_elasticsearch);
            bench.double.turn();
            until("the enricher notices", async || is_not_ready(&services.enrichers[0]).await).await;
            eprintln!("{what}");
            end_all(services.into_services()).await;
        }
    })
    .await;
}
