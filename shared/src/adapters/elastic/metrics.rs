//! What writing to Elasticsearch counts, in the process-wide registry.

use std::sync::LazyLock;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, register_histogram, register_int_counter, register_int_counter_vec, register_int_gauge};

/// Names are fixed and registered once, so a refusal is a mistake in this file.
const REGISTERED_ONCE: &str = "metric names are unique and well formed";

pub(super) static BULK_REQUESTS: LazyLock<IntCounterVec> =
    LazyLock::new(|| register_int_counter_vec!("bulk_requests_total", "Bulk requests to the catalog", &["outcome"]).expect(REGISTERED_ONCE));

pub(super) static BULK_ITEMS: LazyLock<IntCounterVec> =
    LazyLock::new(|| register_int_counter_vec!("bulk_items_total", "Items of bulk requests that were answered", &["class"]).expect(REGISTERED_ONCE));

pub(super) static BULK_BYTES: LazyLock<IntCounter> =
    LazyLock::new(|| register_int_counter!("bulk_bytes", "Bytes of bulk requests before compression").expect(REGISTERED_ONCE));

pub(super) static BULK_SECONDS: LazyLock<Histogram> =
    LazyLock::new(|| register_histogram!("bulk_seconds", "Time from a bulk request to its answer").expect(REGISTERED_ONCE));

pub(super) static NODES_QUARANTINED: LazyLock<IntGauge> = LazyLock::new(|| {
    register_int_gauge!(
        "catalog_nodes_quarantined",
        "Elasticsearch nodes that are left out for a while because they did not answer"
    )
    .expect(REGISTERED_ONCE)
});
