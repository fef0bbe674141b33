//! The detector as a process of its own, on Kafka and Elasticsearch.

use std::process::ExitCode;

use shared::boot::{self, Program};

const PROGRAM: Program = Program {
    name: "detector",
    about: "Computes the margin of every pair of marketplaces and keeps the opportunities.",
    version: env!("CARGO_PKG_VERSION"),
    variables: "  MARKETS, MIN_MARGIN_PERCENT, LEG_STALE_AFTER, RATES_FILE, ECB_RATES_URL, SELLER_PROFILE, VAT_TABLE, FEE_TABLE\n  ALERT_CHANNELS, ALERT_RULES\n  KAFKA_BROKERS, TOPIC_PREFIX, INSTANCE_NAME, ELASTICSEARCH_URL, INDEX_PREFIX, METRICS_LISTEN, RUST_LOG, LOG_FORMAT\n  The README says what each means.",
    components: &["detector"],
};

fn main() -> ExitCode {
    boot::service(PROGRAM, detector::Config::read, detector::run)
}
