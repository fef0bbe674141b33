//! What the enricher counts, in the process-wide registry. Labels never carry ASINs.

use std::sync::LazyLock;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts};

/// Registers a metric. One that cannot be registered still counts, unseen: a metric is no reason to stop.
fn registered<M: Collector + Clone + 'static>(metric: prometheus::Result<M>) -> M {
    let metric = metric.expect("names and labels of metrics are well formed");
    if let Err(error) = prometheus::register(Box::new(metric.clone())) {
        tracing::warn!(%error, "a metric is not shown");
    }
    metric
}

fn counter(name: &str, help: &str) -> IntCounter {
    registered(IntCounter::new(name, help))
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(IntCounterVec::new(Opts::new(name, help), labels))
}

fn seconds(name: &str, help: &str) -> HistogramOpts {
    let buckets = vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 120.0, 600.0, 3_600.0, 86_400.0];
    HistogramOpts::new(name, help).buckets(buckets)
}

pub(crate) static RECORDS_SETTLED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "records_settled_total",
        "Records of raw.keepa_updates by what became of them: written, unchanged, stale, dlq",
        &["outcome"],
    )
});

pub(crate) static DEAD_LETTERS: LazyLock<IntCounterVec> = LazyLock::new(|| counters("dlq_total", "Records that became dead letters, by class", &["class"]));

pub(crate) static DEAD_LETTERS_HALTED: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    registered(IntGaugeVec::new(
        Opts::new("dlq_halted", "1 while a partition is halted because too many of its records are refused"),
        &["partition"],
    ))
});

pub(crate) static WRITE_CONFLICTS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("write_conflicts_total", "Product writes that found another writer's and were merged again"));

pub(crate) static CACHE_HITS: LazyLock<IntCounter> = LazyLock::new(|| counter("merge_cache_hits_total", "Products merged without reading them"));

pub(crate) static CACHE_MISSES: LazyLock<IntCounter> = LazyLock::new(|| counter("merge_cache_misses_total", "Products read before they were merged"));

pub(crate) static IGNORED_FIELDS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("ignored_fields_total", "Fields of a wrong type that were left out of a record"));

pub(crate) static WRITE_SECONDS: LazyLock<Histogram> =
    LazyLock::new(|| registered(Histogram::with_opts(seconds("write_seconds", "How long a conditional write of products took"))));

pub(crate) static FRESHNESS_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    registered(HistogramVec::new(
        seconds(
            "freshness_seconds",
            "Age of an update once it is written, since its fetch or since Keepa's last update",
        ),
        &["since"],
    ))
});

pub(crate) static BATCH_RECORDS: LazyLock<Histogram> = LazyLock::new(|| {
    let buckets = vec![1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 2_000.0];
    registered(Histogram::with_opts(
        HistogramOpts::new("batch_records", "Records settled together").buckets(buckets),
    ))
});
