//! What the detector counts, in the process-wide registry. Labels never carry ASINs.

use std::sync::LazyLock;

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, register_gauge, register_int_counter, register_int_counter_vec, register_int_gauge};

/// Names are fixed and registered once, so a refusal is a mistake in this file.
const REGISTERED_ONCE: &str = "metric names are unique and well formed";

pub(crate) static OPPORTUNITIES: LazyLock<IntCounterVec> =
    LazyLock::new(|| register_int_counter_vec!("opportunities_total", "What happened to opportunities", &["event"]).expect(REGISTERED_ONCE));

pub(crate) static OPPORTUNITIES_ACTIVE: LazyLock<IntGauge> =
    LazyLock::new(|| register_int_gauge!("opportunities_active", "Open opportunities with fresh prices").expect(REGISTERED_ONCE));

pub(crate) static EVALUATIONS: LazyLock<IntCounter> =
    LazyLock::new(|| register_int_counter!("detector_evaluations_total", "Products evaluated over all their routes").expect(REGISTERED_ONCE));

pub(crate) static CONFLICTS: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!(
        "opportunity_conflicts_total",
        "Opportunities that somebody else wrote first: read and decided again"
    )
    .expect(REGISTERED_ONCE)
});

pub(crate) static WRITES_REFUSED: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("opportunity_writes_refused_total", "Opportunities that the catalog refused for what they are").expect(REGISTERED_ONCE)
});

pub(crate) static REPUBLISHED: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!(
        "opportunity_events_republished_total",
        "Stored events published again, since they may not have left before a crash"
    )
    .expect(REGISTERED_ONCE)
});

pub(crate) static RECORDS_REFUSED: LazyLock<IntCounterVec> =
    LazyLock::new(|| register_int_counter_vec!("records_refused_total", "Records that could not be decoded or published", &["topic"]).expect(REGISTERED_ONCE));

pub(crate) static EXCHANGE_RATE_AGE: LazyLock<Gauge> =
    LazyLock::new(|| register_gauge!("exchange_rate_age_seconds", "Seconds since the beginning of the exchange rates' day").expect(REGISTERED_ONCE));

pub(crate) static RATES_FETCHES: LazyLock<IntCounterVec> =
    LazyLock::new(|| register_int_counter_vec!("exchange_rate_fetches_total", "Looks for exchange rates", &["outcome"]).expect(REGISTERED_ONCE));

pub(crate) static ALERTS_SUPPRESSED: LazyLock<IntCounterVec> =
    LazyLock::new(|| register_int_counter_vec!("alerts_suppressed_total", "Events that a rule did not tell, by reason", &["reason"]).expect(REGISTERED_ONCE));

pub(crate) static ALERTS_HELD: LazyLock<IntCounter> =
    LazyLock::new(|| register_int_counter!("alerts_held_total", "Alerts kept for a digest").expect(REGISTERED_ONCE));

pub(crate) static ALERT_DELIVERIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "alert_deliveries_total",
        "Attempts to deliver an alert: delivered, retried or failed, by kind of channel",
        &["outcome", "channel"]
    )
    .expect(REGISTERED_ONCE)
});

pub(crate) static ALERT_DELIVERIES_WAITING: LazyLock<IntGauge> =
    LazyLock::new(|| register_int_gauge!("alert_deliveries_waiting", "Alerts that are to be delivered, for the first time or again").expect(REGISTERED_ONCE));
