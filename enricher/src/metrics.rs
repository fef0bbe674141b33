//! What the enricher counts, in the process-wide registry. Labels never carry ASINs.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};
use shared::domain::{ObservedAt, UnixMillis};

use crate::machine::Tally;

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

pub(crate) static LATE_RESULTS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("late_results_total", "Answers that came after their partition was taken back"));

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

pub(crate) static BATCH_PRODUCTS: LazyLock<Histogram> = LazyLock::new(|| {
    let buckets = vec![1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0];
    registered(Histogram::with_opts(
        HistogramOpts::new("batch_products", "Products written together").buckets(buckets),
    ))
});

pub(crate) static CALL_LIMIT: LazyLock<IntGauge> = LazyLock::new(|| {
    registered(IntGauge::new(
        "bulk_concurrency_limit",
        "Calls of the catalog that may run at a time, as learnt from its answers",
    ))
});

pub(crate) static OLDEST_RETRY_SECONDS: LazyLock<Gauge> = LazyLock::new(|| {
    registered(Gauge::new(
        "oldest_retry_age_seconds",
        "For how long the catalog has failed to take what is repeated; 0 while it takes everything",
    ))
});

/// Counts what the machine counted between two steps.
pub(crate) fn count(before: &Tally, after: &Tally) {
    for (outcome, before, after) in [
        ("written", before.written, after.written),
        ("unchanged", before.unchanged, after.unchanged),
        ("stale", before.stale, after.stale),
        ("dlq", before.dead_letters, after.dead_letters),
    ] {
        if after > before {
            RECORDS_SETTLED.with_label_values(&[outcome]).inc_by(after - before);
        }
    }
    for (counter, before, after) in [
        (&WRITE_CONFLICTS, before.conflicts, after.conflicts),
        (&CACHE_HITS, before.cache_hits, after.cache_hits),
        (&CACHE_MISSES, before.cache_misses, after.cache_misses),
        (&IGNORED_FIELDS, before.ignored_fields, after.ignored_fields),
        (&LATE_RESULTS, before.late_results, after.late_results),
    ] {
        if after > before {
            counter.inc_by(after - before);
        }
    }
}

/// How old an update is, now that it is written.
pub(crate) fn observe_freshness(observed_at: &ObservedAt) {
    let now = UnixMillis::now();
    for (since, instant) in [("fetch", observed_at.fetched_at), ("last_update", observed_at.last_update.to_unix())] {
        let seconds = Duration::from_millis(u64::try_from(now.millis_since(instant)).unwrap_or(0)).as_secs_f64();
        FRESHNESS_SECONDS.with_label_values(&[since]).observe(seconds);
    }
}
