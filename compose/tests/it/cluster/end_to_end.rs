//! Nothing breaks: every product, every opportunity and the books are as they must be.

use serde_json::{Value, json};

use super::bench::{assert_no_violations, on_real_servers};
use crate::double::KEY;

#[tokio::test(flavor = "multi_thread")]
async fn five_processes_with_three_enrichers_show_what_an_independent_computation_expects() {
    on_real_servers("five_processes_with_three_enrichers", async |bench| {
        let cluster = bench.start(3).await;
        let recorder = bench.record(&cluster);
        bench.converges(&cluster.address).await;
        let stats = cluster.address.get("/stats").await;
        assert_eq!(stats["simulated"], json!(false), "{stats}");
        // None of the consumers runs in the API's process: the broker tells.
        let keeps_up = |stats: &Value| {
            let (lag, settled) = (stats["feed"]["lag"].as_object()?, stats["feed"]["records_total"].as_u64()?);
            assert_eq!(lag.keys().collect::<Vec<_>>(), ["detector", "enricher"]);
            // A group that has committed nothing would be behind by all records.
            lag["enricher"].as_u64().filter(|lag| *lag < settled / 2)
        };
        cluster.address.eventually("/stats", "the lag", keeps_up).await;

        // The work is shared: each enricher has its partition.
        for enricher in &cluster.enrichers {
            let metrics = enricher.metrics().await;
            let written = metrics
                .lines()
                .find_map(|line| line.strip_prefix("records_settled_total{outcome=\"written\"} "));
            assert!(written.is_some_and(|count| count != "0"), "an enricher has written nothing: {metrics}");
            assert!(!metrics.contains(KEY), "the key is in the metrics");
        }

        bench.publish_bad_records().await;
        bench.double.turn();
        bench.converges(&cluster.address).await;
        let ledger = bench.balance(cluster, &recorder).await;
        assert_no_violations(&ledger.published_late());
    })
    .await;
}
