//! The api as a process of its own, on Kafka and Elasticsearch.

use std::process::ExitCode;

use shared::boot::{self, Program};

const PROGRAM: Program = Program {
    name: "api",
    about: "Serves products, opportunities and statistics.",
    version: env!("CARGO_PKG_VERSION"),
    variables: "  API_LISTEN, MARKETS, STALE_AFTER, LEG_STALE_AFTER, MIN_MARGIN_PERCENT, CORS_ORIGINS\n  SELLER_PROFILE, VAT_TABLE, FEE_TABLE\n  KAFKA_BROKERS, TOPIC_PREFIX, INSTANCE_NAME, ELASTICSEARCH_URL, INDEX_PREFIX, METRICS_LISTEN, RUST_LOG, LOG_FORMAT\n  The README says what each means.",
    components: &[],
};

fn main() -> ExitCode {
    boot::service(PROGRAM, api::Config::read, api::run)
}
