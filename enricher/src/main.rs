//! The enricher as a process of its own, on Kafka and Elasticsearch.

use std::process::ExitCode;

use enricher::{dlq, reindex};
use shared::boot::{self, Program};

const PROGRAM: Program = Program {
    name: "enricher",
    about: "Turns raw records into products: checks, converts, merges, writes.\n`enricher dlq --help`: dead letters, listed, shown, replayed.\n`enricher reindex --help`: a new index with the present mapping, while all goes on.",
    version: env!("CARGO_PKG_VERSION"),
    variables: "  MARKETS, STALE_AFTER, LEG_STALE_AFTER\n  KAFKA_BROKERS, TOPIC_PREFIX, INSTANCE_NAME, ELASTICSEARCH_URL, INDEX_PREFIX, METRICS_LISTEN, RUST_LOG, LOG_FORMAT\n  The README says what each means.",
    components: &["enricher"],
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((first, rest)) if first == "dlq" => dead_letters(rest),
        Some((first, rest)) if first == "reindex" => new_index(rest),
        _ => boot::service(PROGRAM, enricher::Config::read, enricher::run),
    }
}

fn dead_letters(arguments: &[String]) -> ExitCode {
    match dlq::parse(arguments) {
        Ok(dlq::Command::Help) => {
            println!("{}", dlq::HELP);
            ExitCode::SUCCESS
        }
        Ok(command) => boot::command_on_event_log(&PROGRAM, |event_log, shutdown| async move {
            dlq::run(command, event_log, &mut std::io::stdout().lock(), shutdown).await
        }),
        Err(mistake) => {
            eprintln!("enricher: {mistake}\n\n{}", dlq::HELP);
            ExitCode::from(2)
        }
    }
}

fn new_index(arguments: &[String]) -> ExitCode {
    match reindex::parse(arguments) {
        Ok(reindex::Command::Help) => {
            println!("{}", reindex::HELP);
            ExitCode::SUCCESS
        }
        Ok(reindex::Command::Run(plans)) => boot::command_on_catalog(&PROGRAM, |catalog, shutdown| async move {
            reindex::run(&plans, &catalog, &mut std::io::stdout(), &shutdown).await
        }),
        Err(mistake) => {
            eprintln!("enricher: {mistake}\n\n{}", reindex::HELP);
            ExitCode::from(2)
        }
    }
}
