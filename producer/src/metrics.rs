//! What the producer counts, in the process-wide registry. Labels never carry ASINs or keys.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec, IntGauge, register_int_counter, register_int_counter_vec, register_int_gauge};

/// Names are fixed and registered once, so a refusal is a mistake in this file.
const REGISTERED_ONCE: &str = "metric names are unique and well formed";

pub(crate) static TOKENS_LEFT: LazyLock<IntGauge> =
    LazyLock::new(|| register_int_gauge!("keepa_tokens_left", "Tokens in Keepa's bucket, as the last answer said").expect(REGISTERED_ONCE));

pub(crate) static TOKENS_SPENT: LazyLock<IntCounterVec> =
    LazyLock::new(|| register_int_counter_vec!("keepa_tokens_spent_total", "Tokens that Keepa charged", &["endpoint"]).expect(REGISTERED_ONCE));

pub(crate) static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("keepa_requests_total", "Requests by status, or timeout, or connection", &["endpoint", "status"]).expect(REGISTERED_ONCE)
});

pub(crate) static PUBLISHED: LazyLock<IntCounterVec> =
    LazyLock::new(|| register_int_counter_vec!("products_published_total", "Product records that the log confirmed", &["source"]).expect(REGISTERED_ONCE));

pub(crate) static REFUSED_ASINS: LazyLock<IntCounter> =
    LazyLock::new(|| register_int_counter!("keepa_refused_asins_total", "ASINs that Keepa refuses to be asked for").expect(REGISTERED_ONCE));
