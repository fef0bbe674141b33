//! The memory of an enricher while Elasticsearch is away and the topic grows.
//!
//! `MEMORY_FAULT_SECONDS` says for how long; ten minutes (600) show what five seconds cannot.

use std::time::{Duration, Instant};

use shared::adapters::kafka::Topic;
use shared::domain::UnixMillis;

use super::bench::{Bench, on_real_servers};
use super::load::Update;
use super::proxy::{Fault, Proxy};
use super::servers::whole_number;

/// The most that an enricher may take, while it waits and while it works off what has piled up.
pub const MOST_KIB: u64 = 200 * 1024;
/// A record as large as Keepa's are.
const WEIGHT: usize = 5_000;
const PORTION: usize = 1_000;
/// More than a paused partition keeps, of each of the three, many times over.
const AT_LEAST_BYTES: usize = 150 * 1024 * 1024;
const RECOVERED_WITHIN: Duration = Duration::from_secs(300);

/// Guard: partitions are paused above the high-water mark of their mailbox; taken out, it took 267,520 KiB.
#[tokio::test(flavor = "multi_thread")]
async fn t04_the_memory_of_an_enricher_is_bounded_while_elasticsearch_is_away_and_the_topic_grows() {
    on_real_servers("t04_the_memory_of_an_enricher", async |bench: &Bench| {
        let length = Duration::from_secs(whole_number("MEMORY_FAULT_SECONDS", 5));
        let proxy = Proxy::start(bench.servers.elasticsearch.trim_start_matches("http://").trim_end_matches('/')).await;
        let url = format!("http://{}", proxy.address);
        let began = UnixMillis::now().0;
        let mut published = 0;
        let portion = |from: usize| {
            (from..from + PORTION).map(move |number| Update {
                article: number % 3_000,
                fetched_at: began - 86_400_000 + i64::try_from(number).expect("few"),
                price: Some(1_000 + i64::try_from(number % 500).expect("few")),
                weight: WEIGHT,
            })
        };
        published += bench.publish_updates(portion(published)).await;
        let mut enricher = bench.start_service("enricher", &[("ELASTICSEARCH_URL", &url)]);
        bench.reads_all(RECOVERED_WITHIN).await;
        let before = enricher.peak_kib();

        proxy.set(Fault {
            refuse: true,
            ..Fault::default()
        });
        let away = Instant::now();
        let mut told = Instant::now();
        while away.elapsed() < length || published * WEIGHT < AT_LEAST_BYTES {
            published += bench.publish_updates(portion(published)).await;
            if told.elapsed() > Duration::from_secs(30) {
                told = Instant::now();
                eprintln!("{:.0?} away: {published} records, {} KiB", away.elapsed(), enricher.peak_kib());
            }
            // Beyond what shows the point, no faster than a disk bears for ten minutes.
            if published * WEIGHT > AT_LEAST_BYTES {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
            assert!(enricher.is_running(), "it ended");
        }
        let during = enricher.peak_kib();
        proxy.set(Fault::default());
        bench.reads_all(RECOVERED_WITHIN).await;
        let after = enricher.peak_kib();
        eprintln!(
            "{published} records of {WEIGHT} bytes, {:.0?} away: {before} KiB before, {during} KiB while away, {after} KiB after catching up",
            away.elapsed()
        );
        assert!(during < MOST_KIB, "{during} KiB");
        assert!(after < MOST_KIB, "{after} KiB");
        assert_eq!(bench.positions.count(Topic::RawUpdates).await, i64::try_from(published).expect("few"));
        enricher.terminate().await;
    })
    .await;
}
