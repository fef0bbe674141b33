//! What the event log counts, in the process-wide registry. Labels never carry keys of records.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use prometheus::core::Collector as _;
use prometheus::{GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, register_gauge_vec, register_int_counter_vec, register_int_gauge, register_int_gauge_vec};

/// Names are fixed and registered once, so a refusal is a mistake in this file.
const REGISTERED_ONCE: &str = "metric names are unique and well formed";

pub(super) static RECORDS_CONSUMED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("records_consumed_total", "Records handed to a partition's worker", &["topic", "group"]).expect(REGISTERED_ONCE)
});

pub(super) static RECORDS_IN_FLIGHT: LazyLock<IntGaugeVec> =
    LazyLock::new(|| register_int_gauge_vec!("records_in_flight", "Records read and not yet settled", &["group"]).expect(REGISTERED_ONCE));

pub(super) static PARTITIONS_PAUSED: LazyLock<IntGaugeVec> =
    LazyLock::new(|| register_int_gauge_vec!("partitions_paused", "Partitions held back because their worker is behind", &["group"]).expect(REGISTERED_ONCE));

pub(super) static PARTITIONS_HELD: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!(
        "partitions_held",
        "Partitions that are not read: where to start is not known yet, or an operator has to accept a gap",
        &["group"]
    )
    .expect(REGISTERED_ONCE)
});

pub(super) static REBALANCES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("rebalances_total", "Partitions given to or taken from this member", &["group", "kind"]).expect(REGISTERED_ONCE)
});

pub(super) static SKIPPED_REVOKED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!("skipped_revoked_total", "Records read here and left to the partition's next owner", &["group"]).expect(REGISTERED_ONCE)
});

pub(super) static CONSUMER_LAG: LazyLock<IntGaugeVec> =
    LazyLock::new(|| register_int_gauge_vec!("consumer_lag", "Records behind the end of the partition", &["group", "partition"]).expect(REGISTERED_ONCE));

/// Records behind the end of the log, by group, of the groups that this process has members of.
#[must_use]
pub fn consumer_lag() -> BTreeMap<String, i64> {
    let mut groups = BTreeMap::new();
    for metric in CONSUMER_LAG.collect().iter().flat_map(|family| family.get_metric()) {
        let labels: BTreeMap<&str, &str> = metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
        if let (Some(&group), Some(&partition)) = (labels.get("group"), labels.get("partition")) {
            // As the gauge has it: a family tells whole numbers as floating point.
            let records = CONSUMER_LAG.with_label_values(&[group, partition]).get();
            *groups.entry(group.to_owned()).or_insert(0) += records;
        }
    }
    groups
}

pub(super) static CONSUMER_LAG_SECONDS: LazyLock<GaugeVec> =
    LazyLock::new(|| register_gauge_vec!("consumer_lag_seconds", "Age of the oldest unsettled record", &["group", "partition"]).expect(REGISTERED_ONCE));

pub(super) static PARTITION_STALLS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "partition_stalls_total",
        "Times a partition with lag brought nothing for so long that the consumer was made anew",
        &["group"]
    )
    .expect(REGISTERED_ONCE)
});

pub(super) static OFFSET_GAPS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "offset_gap_total",
        "Times that a partition was found not to hold the records the group would have read next",
        &["group"]
    )
    .expect(REGISTERED_ONCE)
});

pub(super) static DRAIN_SECONDS: LazyLock<GaugeVec> =
    LazyLock::new(|| register_gauge_vec!("drain_seconds", "How long the last drain waited for batches in flight", &["group"]).expect(REGISTERED_ONCE));

pub(super) static PRODUCE_FAILURES: LazyLock<IntCounterVec> =
    LazyLock::new(|| register_int_counter_vec!("produce_failures_total", "Records the log did not take", &["class"]).expect(REGISTERED_ONCE));

pub(super) static PRODUCER_QUEUE_BYTES: LazyLock<IntGauge> =
    LazyLock::new(|| register_int_gauge!("producer_queue_bytes", "Bytes on their way to the log and not yet confirmed").expect(REGISTERED_ONCE));
