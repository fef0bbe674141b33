//! The enricher as a process of its own, on Kafka and Elasticsearch.

use std::process::ExitCode;

use shared::boot::{self, Program};

const PROGRAM: Program = Program {
    name: "enricher",
    about: "Turns raw records into products: checks, converts, merges, writes.",
    version: env!("CARGO_PKG_VERSION"),
    variables: "  MARKETS, STALE_AFTER, LEG_STALE_AFTER\n  KAFKA_BROKERS, TOPIC_PREFIX, INSTANCE_NAME, ELASTICSEARCH_URL, INDEX_PREFIX, METRICS_LISTEN, RUST_LOG, LOG_FORMAT\n  The README says what each means.",
    components: &["enricher"],
};

fn main() -> ExitCode {
    boot::service(PROGRAM, enricher::Config::read, enricher::run)
}
