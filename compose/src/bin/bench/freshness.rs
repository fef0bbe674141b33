//! How soon a record that was produced is an opportunity that readers see, while others come in at a given rate.
//!
//! A probe is an article of its own in two marketplaces, far apart in price; the second record makes the gap. Its time runs
//! from just before that record is handed to the client library until an answer of the API has the opportunity.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use shared::adapters::kafka::{EventLog, Publisher, Topic};
use shared::config::Environment;
use shared::domain::UnixMillis;
use shared::ports::EventLogSettings;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::process::{Service, free_address};
use crate::records::{Order, Probe, Records};
use crate::servers::Servers;
use crate::start::until_answered;

const RATES: [u32; 3] = [10, 100, 1_000];
const PROBE_EVERY: Duration = Duration::from_millis(200);
const ASK_EVERY: Duration = Duration::from_millis(5);
/// A probe that is not seen within this time...
const PATIENCE: Duration = Duration::from_secs(60);
/// ... counts as this long.
const NEVER: Duration = Duration::from_secs(3_600);
/// Handed over at a time.
const TICK: Duration = Duration::from_millis(10);

/// How long probes took, milliseconds; an hour stands for "not within a minute".
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Half were sooner.
    pub p50: f64,
    /// One in a hundred took longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
    /// How many probes.
    pub probes: usize,
}

/// At one rate.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Freshness {
    /// `servers`: five processes on Kafka and Elasticsearch; `embedded`: one process with nothing else.
    pub on: &'static str,
    /// Records a second that come in beside the probes.
    pub records_per_second: u32,
    /// Until `/opportunities/{id}` has it.
    pub by_id: Latency,
    /// Until a list that is cached has it: `/opportunities?asin=…`.
    pub in_list: Latency,
}

/// Measures on both, at every rate, for some seconds each.
///
/// # Errors
/// A process that does not start, or a probe that is never seen.
pub async fn run(seconds: u64, seed: u64) -> anyhow::Result<Vec<Freshness>> {
    let mut results = Vec::new();
    let servers = Servers::find()?;
    let outcome = on_servers(&servers, seconds, seed).await;
    servers.remove_everything().await;
    results.extend(outcome?);
    results.extend(embedded(seconds, seed).await?);
    Ok(results)
}

async fn on_servers(servers: &Servers, seconds: u64, seed: u64) -> anyhow::Result<Vec<Freshness>> {
    servers.log.ensure_topics().await?;
    let address = free_address()?;
    let api = Service::start("api", servers, &[("API_LISTEN", &address)])?;
    let enricher = Service::start("enricher", servers, &[])?;
    let rates = tempfile::tempdir()?;
    let detector = Service::start("detector", servers, &[("RATES_FILE", &shipped_rates(rates.path())?)])?;
    let measured = measure(&servers.log, &address, "servers", seconds, seed).await?;
    for service in [api, enricher, detector] {
        service.terminate().await?;
    }
    Ok(measured)
}

/// A file with the rates that ship: the detector asks nobody outside here.
///
/// # Errors
/// The folder cannot be written to.
pub fn shipped_rates(folder: &std::path::Path) -> anyhow::Result<String> {
    let path = folder.join("rates.xml");
    std::fs::write(&path, include_str!("../../../../detector/src/rates_shipped.xml"))?;
    Ok(path.to_string_lossy().into_owned())
}

async fn embedded(seconds: u64, seed: u64) -> anyhow::Result<Vec<Freshness>> {
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let mut process = Service::start_embedded(&folder.path().join("data"), &address)?;
    let brokers = process.brokers()?;
    let settings = EventLogSettings::read(&Environment::default());
    let log = settings.connect(brokers, true, "bench");
    let measured = measure(&log, &address, "embedded", seconds, seed).await?;
    process.terminate().await?;
    Ok(measured)
}

async fn measure(log: &EventLog, address: &str, on: &'static str, seconds: u64, seed: u64) -> anyhow::Result<Vec<Freshness>> {
    let publisher = log.publisher()?;
    let http = reqwest::Client::new();
    let base: Arc<str> = format!("http://{address}").into();
    until_answered(&format!("{base}/opportunities"), Instant::now()).await?;
    let mut probes = 0;
    // The first way through everything is not what is measured.
    for _ in 0..5 {
        probe(&publisher, &http, &base, next(&mut probes)).await?;
    }
    let mut results = Vec::new();
    for rate in RATES {
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut beside = JoinSet::new();
        beside.spawn(load(publisher.clone(), rate, seconds, seed + u64::from(rate)));
        let mut probing = JoinSet::new();
        let mut tick = interval(PROBE_EVERY);
        while Instant::now() < until {
            tick.tick().await;
            let (publisher, http, base, probed) = (publisher.clone(), http.clone(), Arc::clone(&base), next(&mut probes));
            probing.spawn(async move { probe(&publisher, &http, &base, probed).await });
        }
        let (mut by_id, mut in_list) = (Vec::new(), Vec::new());
        while let Some(seen) = probing.join_next().await {
            let seen = seen??;
            by_id.push(seen.by_id.as_secs_f64() * 1_000.0);
            in_list.push(seen.in_list.as_secs_f64() * 1_000.0);
        }
        while let Some(published) = beside.join_next().await {
            published??;
        }
        let freshness = Freshness {
            on,
            records_per_second: rate,
            by_id: Latency::of(by_id),
            in_list: Latency::of(in_list),
        };
        eprintln!("{}", serde_json::to_string(&freshness)?);
        results.push(freshness);
    }
    Ok(results)
}

fn next(probes: &mut usize) -> Probe {
    *probes += 1;
    Probe::new(*probes, UnixMillis::now())
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    by_id: Duration,
    in_list: Duration,
}

/// Makes a gap and waits until it is seen, one way and the other.
async fn probe(publisher: &Publisher, http: &reqwest::Client, base: &str, probe: Probe) -> anyhow::Result<Seen> {
    // Its own list, held from before there is anything in it: in one of all, newer ones would push it off the page.
    let list = format!("{base}/opportunities?asin={}&sort=-last_seen", probe.asin());
    publisher.publish(Topic::RawUpdates, probe.first()).await?;
    seen(http, &list, Instant::now(), |_| true).await?;
    let began = Instant::now();
    publisher.publish(Topic::RawUpdates, probe.second()).await?;
    let one = format!("{base}/opportunities/{}", probe.opportunity());
    let (by_id, in_list) = tokio::join!(
        seen(http, &one, began, |_| true),
        seen(http, &list, began, |text| text.contains(&probe.opportunity()))
    );
    Ok(Seen {
        by_id: by_id?,
        in_list: in_list?,
    })
}

async fn seen(http: &reqwest::Client, url: &str, began: Instant, has_it: impl Fn(&str) -> bool) -> anyhow::Result<Duration> {
    loop {
        let answer = http.get(url).send().await.context("the API is away")?;
        if answer.status().is_success() && has_it(&answer.text().await?) {
            return Ok(began.elapsed());
        }
        if began.elapsed() >= PATIENCE {
            return Ok(NEVER);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Publishes at a rate.
async fn load(publisher: Publisher, per_second: u32, seconds: u64, seed: u64) -> anyhow::Result<()> {
    let count = usize::try_from(u64::from(per_second) * seconds)?;
    let records = Records::plan(count, Order::Shuffled, seed, 0, UnixMillis::now());
    let began = Instant::now();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut confirmations = JoinSet::new();
    for (sent, message) in (0_u64..).zip(records.messages().take(count)) {
        while u128::from(sent) * 1_000 > began.elapsed().as_millis() * u128::from(per_second) {
            tick.tick().await;
        }
        let publisher = publisher.clone();
        confirmations.spawn(async move { publisher.publish(Topic::RawUpdates, message).await });
        while let Some(confirmed) = confirmations.try_join_next() {
            confirmed??;
        }
    }
    while let Some(confirmed) = confirmations.join_next().await {
        confirmed??;
    }
    Ok(())
}

impl Latency {
    /// Of at least one.
    fn of(mut values: Vec<f64>) -> Latency {
        values.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            values
                .get((values.len() * percent / 100).min(values.len().saturating_sub(1)))
                .copied()
                .unwrap_or(f64::NAN)
        };
        Latency {
            p50: at(50),
            p99: at(99),
            max: at(100),
            probes: values.len(),
        }
    }
}
