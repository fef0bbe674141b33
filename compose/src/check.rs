//! `--check`: whether each outside system answers.

use std::sync::Arc;

use shared::adapters::elastic::ElasticCatalog;
use shared::ports::Catalog;

use crate::config::Config;
use crate::data_dir::DataDir;

/// Prints a line per outside system; whether all answer.
pub async fn check(config: &Config) -> bool {
    let mut all_well = true;
    let mut report = |name: &str, result: Result<String, String>| {
        let (mark, text) = match result {
            Ok(text) => ("ok  ", text),
            Err(text) => {
                all_well = false;
                ("FAIL", text)
            }
        };
        println!("{mark} {name:<10} {text}");
    };

    if config.event_log.brokers.is_none() || config.elastic.is_none() {
        let locked = DataDir::lock(&config.data_dir, config.simulator.is_some());
        report(
            "data",
            locked.map(|folder| folder.path().display().to_string()).map_err(|error| error.to_string()),
        );
    }
    match &config.event_log.brokers {
        None => report("event log", Ok("embedded".into())),
        Some(brokers) => {
            let answer = config.event_log.connect(brokers.clone(), false, "compose-check").check().await;
            report("event log", answer.map(|()| brokers.clone()).map_err(|error| format!("{brokers}: {error}")));
        }
    }
    match &config.elastic {
        None => report("catalog", Ok("embedded".into())),
        Some(elastic) => {
            let answer = match ElasticCatalog::connect(elastic.clone()) {
                Err(error) => Err(error.to_string()),
                Ok(catalog) => (Arc::new(catalog) as Arc<dyn Catalog>).check().await.map_err(|error| error.to_string()),
            };
            report("catalog", answer.map(|()| "elasticsearch".into()));
        }
    }
    match &config.simulator {
        Some(_) => report("keepa", Ok("simulated data".into())),
        None => {
            let answer = producer::check_keepa(&config.producer).await;
            report("keepa", answer.map(|tokens| format!("{tokens} tokens left")).map_err(|error| error.to_string()));
        }
    }
    all_well
}
