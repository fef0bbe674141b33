//! How soon a process answers, how large it is, and what it holds while nothing happens.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::measure::Spread;
use crate::process::{Service, free_address};
use crate::servers::Servers;

const SERVICES: [&str; 5] = ["producer", "enricher", "detector", "api", "scheduler"];
const ASK_EVERY: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(60);
/// The producer finds nobody where it asks, and waits.
const NO_KEEPA: (&str, &str) = ("KEEPA_URL", "http://127.0.0.1:9");
const SOME_KEY: (&str, &str) = ("KEEPA_API_KEY", "0123456789012345678901234567890123456789012345678901234567890123");
/// What a process does at its start is over by then.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// What a start costs.
#[derive(Debug, Clone, Serialize)]
pub struct Start {
    /// `compose` on its embedded default with an empty folder: milliseconds to the first answer of `/health/live`.
    pub first_answer_ms: Spread,
    /// Likewise, to the first list of products.
    pub first_list_ms: Spread,
    /// Megabytes of the executables.
    pub binary_mb: BTreeMap<&'static str, f64>,
    /// Resident MiB of each service on real servers, ten seconds after it answered, with nothing to do.
    pub idle_mib: BTreeMap<&'static str, f64>,
    /// Likewise of `compose` on its embedded default, with the broker, the catalog and the simulator at work in it.
    pub embedded_mib: f64,
}

/// Starts everything.
///
/// # Errors
/// A process that does not start or does not answer.
pub async fn run(rounds: usize) -> anyhow::Result<Start> {
    let (mut answers, mut lists) = (Vec::new(), Vec::new());
    let mut embedded_mib = f64::NAN;
    for round in 0..rounds {
        let folder = tempfile::tempdir()?;
        let address = free_address()?;
        let data = folder.path().join("data");
        let began = Instant::now();
        let process = Service::start_embedded(&data, &address)?;
        answers.push(until_answered(&format!("http://{address}/health/live"), began).await?);
        lists.push(until_answered(&format!("http://{address}/products"), began).await?);
        if round + 1 == rounds {
            tokio::time::sleep(SETTLES_WITHIN).await;
            embedded_mib = process.resident_mib()?;
        }
        process.terminate().await?;
    }
    let folder = std::env::current_exe()?;
    let mut binary_mb = BTreeMap::new();
    for name in SERVICES.into_iter().chain(["compose"]) {
        let size = std::fs::metadata(folder.with_file_name(name))
            .with_context(|| format!("{name} is not built"))?
            .len();
        binary_mb.insert(name, size as f64 / 1e6);
    }
    let servers = Servers::find()?;
    let idle = idle(&servers).await;
    servers.remove_everything().await;
    Ok(Start {
        first_answer_ms: Spread::of(answers),
        first_list_ms: Spread::of(lists),
        binary_mb,
        idle_mib: idle?,
        embedded_mib,
    })
}

async fn idle(servers: &Servers) -> anyhow::Result<BTreeMap<&'static str, f64>> {
    let mut idle = BTreeMap::new();
    for name in SERVICES {
        let address = free_address()?;
        let process = Service::start(name, servers, &[("API_LISTEN", &address), NO_KEEPA, SOME_KEY])?;
        until_answered(&process.url("/health/live"), Instant::now()).await?;
        tokio::time::sleep(SETTLES_WITHIN).await;
        idle.insert(name, process.resident_mib()?);
        process.terminate().await?;
    }
    Ok(idle)
}

/// Milliseconds from `began` to a success.
///
/// # Errors
/// There is none within a minute.
pub async fn until_answered(url: &str, began: Instant) -> anyhow::Result<f64> {
    let http = reqwest::Client::new();
    loop {
        if let Ok(answer) = http.get(url).send().await
            && answer.status().is_success()
        {
            return Ok(began.elapsed().as_secs_f64() * 1_000.0);
        }
        ensure!(began.elapsed() < PATIENCE, "{url} does not answer");
        tokio::time::sleep(ASK_EVERY).await;
    }
}
