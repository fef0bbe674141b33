//! The producer as a process of its own, on Kafka and Elasticsearch.

use std::process::ExitCode;

use shared::boot::{self, Answered, Program};

const PROGRAM: Program = Program {
    name: "producer",
    about: "Asks Keepa within its token budget and publishes every product record, unchanged.",
    version: env!("CARGO_PKG_VERSION"),
    variables: "  KEEPA_API_KEY, KEEPA_URL, MARKETS, WATCHLIST, REFRESH_SECONDS\n  KAFKA_BROKERS, TOPIC_PREFIX, INSTANCE_NAME, ELASTICSEARCH_URL, INDEX_PREFIX, METRICS_LISTEN, RUST_LOG, LOG_FORMAT\n  The README says what each means.",
    components: &["keepa"],
};

fn main() -> ExitCode {
    boot::service_that_asks(PROGRAM, producer::Config::read, ask, producer::run)
}

async fn ask(config: &producer::Config) -> Vec<Answered> {
    let answer = producer::check_keepa(config).await;
    vec![("keepa", answer.map(drop).map_err(|error| format!("{error:#}")))]
}
