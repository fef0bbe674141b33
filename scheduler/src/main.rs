//! The scheduler as a process of its own, on Kafka and Elasticsearch.

use std::process::ExitCode;

use shared::boot::{self, Program};

const PROGRAM: Program = Program {
    name: "scheduler",
    about: "Says when categories are scraped, deals scanned, products swept and rates fetched.",
    version: env!("CARGO_PKG_VERSION"),
    variables: "  SCHEDULE_CATEGORY_SCRAPE, SCHEDULE_DEALS_SCAN, SCHEDULE_SWEEP, SCHEDULE_RATES, SCRAPE_*, DEALS_*\n  KAFKA_BROKERS, TOPIC_PREFIX, INSTANCE_NAME, ELASTICSEARCH_URL, INDEX_PREFIX, METRICS_LISTEN, RUST_LOG, LOG_FORMAT\n  The README says what each means.",
    components: &["scheduler"],
};

fn main() -> ExitCode {
    boot::service(PROGRAM, scheduler::Config::read, scheduler::run)
}
