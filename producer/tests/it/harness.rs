//! A producer with everything it needs, in one temporary folder.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use producer::Config;
use producer::keepa::Timeouts;
use producer::simulator::{self, SimulatorConfig, SimulatorHandle};
use producer::watchlist::WatchlistFile;
use shared::adapters::embedded::broker::EmbeddedBroker;
use shared::adapters::embedded::catalog::EmbeddedCatalog;
use shared::adapters::kafka::{EventLog, EventLogConfig, FollowFrom, Message, Record, Topic};
use shared::config::Secret;
use shared::domain::{Asin, Marketplace, UnixMillis};
use shared::health::{Condition, Health};
use shared::ports::catalog::{StateKind, StateQuery};
use shared::ports::{Catalog, Ports};
use shared::wire::job::{JobKind, JobParameters, JobRequest};
use shared::wire::raw_update::RawEnvelope;
use shared::wire::state::{ProducerStatus, Run, RunStatus, WatchedAsin};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;
use url::Url;

/// Every key that tests use begins like this, so that one is found wherever it leaks.
const KEY_MARK: &str = "S3CRETK3Y";

/// What stands in every product of a scripted or simulated Keepa: a payload that is logged has it.
const PAYLOAD_MARK: &str = "\"lastUpdate\"";

/// Log lines of all tests in which a key stood, whatever their level, or a payload, at info and above.
static LEAKS: LazyLock<Arc<Mutex<Vec<String>>>> = LazyLock::new(|| {
    let leaks = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(KeySearch(Arc::clone(&leaks)))
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("nobody else installs a subscriber");
    leaks
});

#[derive(Clone)]
struct KeySearch(Arc<Mutex<Vec<String>>>);

impl io::Write for KeySearch {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let is_shown = [" INFO ", " WARN ", "ERROR "].iter().any(|level| line.contains(level));
        if line.contains(KEY_MARK) || (is_shown && line.contains(PAYLOAD_MARK)) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone().into_owned());
        }
        let is_ours = (line.contains(" producer::") || line.contains(" shared::")) && !line.contains("TRACE");
        if is_ours && std::env::var_os("SHOW_LOGS").is_some() {
            eprint!("{line}");
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for KeySearch {
    type Writer = KeySearch;

    fn make_writer(&'a self) -> KeySearch {
        self.clone()
    }
}

/// Starts listening for leaks; call before anything else.
pub fn listen_for_leaks() {
    LazyLock::force(&LEAKS);
}

/// No key and no payload stood in any log line so far.
pub fn assert_no_leak() {
    let leaks = LEAKS.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(
        leaks.is_empty(),
        "a key or a payload is in the logs: {:#?}",
        leaks.iter().take(3).collect::<Vec<_>>()
    );
}

/// A key that a leak search finds.
pub fn key() -> Secret {
    Secret::new(format!("{KEY_MARK}{:016x}", rand::random::<u64>()))
}

pub fn asin(number: usize) -> Asin {
    format!("B{number:09}").parse().unwrap()
}

/// Waits until a condition holds.
pub async fn eventually<F, Fut>(what: &str, mut holds: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The embedded log and catalog in a folder, and what was published.
pub struct World {
    folder: tempfile::TempDir,
    prefix: String,
    broker: Option<(CancellationToken, JoinSet<()>)>,
    address: std::net::SocketAddr,
    pub catalog: Arc<EmbeddedCatalog>,
    pub ports: Ports,
    pub records: Arc<Mutex<Vec<Record>>>,
    tasks: JoinSet<()>,
    end: CancellationToken,
}

impl World {
    pub async fn new() -> World {
        listen_for_leaks();
        let folder = tempfile::tempdir().unwrap();
        let broker = EmbeddedBroker::start(folder.path(), Duration::from_secs(3_600), 1 << 30).await.unwrap();
        let address = broker.bootstrap().parse().unwrap();
        let catalog = Arc::new(EmbeddedCatalog::open(&folder.path().join("catalog.db")).await.unwrap());
        catalog.prepare().await.unwrap();
        let prefix = format!("t{:08x}.", rand::random::<u32>());
        let ports = ports(&prefix, address, &catalog, None);
        let mut world = World {
            folder,
            prefix,
            broker: Some(running(broker)),
            address,
            catalog,
            ports,
            records: Arc::default(),
            tasks: JoinSet::new(),
            end: CancellationToken::new(),
        };
        world.ports.event_log.ensure_topics().await.unwrap();
        let records = Arc::clone(&world.records);
        let following = world
            .ports
            .event_log
            .follow(Topic::RawUpdates, FollowFrom::Beginning, world.end.clone(), move |record| {
                let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
                // A follower that reconnects may see a record again.
                if !records
                    .iter()
                    .any(|held: &Record| (held.partition, held.offset) == (record.partition, record.offset))
                {
                    records.push(record);
                }
            });
        world.tasks.spawn(async move { following.await.unwrap() });
        world
    }

    /// Takes the broker away.
    pub async fn stop_broker(&mut self) {
        let (end, mut running) = self.broker.take().expect("the broker runs");
        end.cancel();
        while running.join_next().await.is_some() {}
    }

    /// Brings it back where it was.
    pub async fn start_broker(&mut self) {
        let broker = EmbeddedBroker::start_on(self.address, self.folder.path(), Duration::from_secs(3_600), 1 << 30)
            .await
            .unwrap();
        self.broker = Some(running(broker));
    }

    /// Ports of another member of the same groups.
    pub fn other_ports(&self, instance: &str) -> Ports {
        ports(&self.prefix, self.address, &self.catalog, Some(instance))
    }

    /// What was published: per (ASIN, market) the envelopes' times, and of all records the sources.
    pub fn published(&self) -> BTreeMap<(Asin, Marketplace), Vec<i64>> {
        let mut published: BTreeMap<(Asin, Marketplace), Vec<i64>> = BTreeMap::new();
        for record in self.records.lock().unwrap().iter() {
            let envelope: RawEnvelope<'_> = serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap();
            let asin: Asin = envelope.asin.as_deref().unwrap().parse().unwrap();
            assert_eq!(record.key.as_deref(), Some(asin.as_str().as_bytes()));
            assert_eq!(envelope.v, Some(1));
            assert_eq!(envelope.fetched_at_ms, Some(record.timestamp_ms));
            assert!(record.header("traceparent").is_some());
            let market = Marketplace::from_keepa_id(envelope.domain_id.unwrap()).unwrap();
            published.entry((asin, market)).or_default().push(record.timestamp_ms);
        }
        published
    }

    pub fn published_count(&self) -> usize {
        self.records.lock().unwrap().len()
    }

    /// Sources and run ids of all records.
    pub fn origins(&self) -> BTreeSet<(String, Option<String>)> {
        let records = self.records.lock().unwrap();
        let origin = |record: &Record| {
            let envelope: RawEnvelope<'_> = serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap();
            (envelope.source.unwrap().into_owned(), envelope.run_id.map(std::borrow::Cow::into_owned))
        };
        records.iter().map(origin).collect()
    }

    /// Times of every key grow strictly, in the order of its partition.
    pub fn assert_times_grow(&self) {
        let mut last: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for record in self.records.lock().unwrap().iter() {
            let before = last.insert(record.key.clone().unwrap().to_vec(), record.timestamp_ms);
            assert!(before.is_none_or(|before| before < record.timestamp_ms));
        }
    }

    pub async fn request_job(&self, job: &str, kind: JobKind, parameters: JobParameters, token_budget: Option<i64>) -> String {
        let run_id = format!("{job}@{:08x}", rand::random::<u32>());
        let request = JobRequest {
            v: 1,
            job: job.into(),
            run_id: run_id.clone(),
            kind,
            tick: UnixMillis::now(),
            priority: 0,
            token_budget,
            parameters,
        };
        let message = Message::new(job, Some(serde_json::to_vec(&request).unwrap()));
        let publisher = self.ports.event_log.publisher().unwrap();
        // The same request twice is one run.
        for _ in 0..2 {
            publisher.publish(Topic::JobRequests, message.clone()).await.unwrap();
        }
        run_id
    }

    pub async fn run(&self, run_id: &str) -> Option<Run> {
        let records = self.catalog.read_states(StateKind::Runs, &[run_id.to_owned()]).await.unwrap();
        records
            .into_iter()
            .flatten()
            .next()
            .map(|record| serde_json::from_value(record.value.body).unwrap())
    }

    pub async fn run_ended(&self, run_id: &str) -> Run {
        eventually("the run ends", || async {
            self.run(run_id)
                .await
                .is_some_and(|run| matches!(run.status, RunStatus::Succeeded | RunStatus::Failed))
        })
        .await;
        self.run(run_id).await.unwrap()
    }

    pub async fn watched(&self) -> BTreeMap<Asin, WatchedAsin> {
        let query = StateQuery {
            group: None,
            status: None,
            ascending: true,
            limit: 10_000,
            cursor: None,
        };
        let page = self.catalog.list_states(StateKind::Watchlist, &query).await.unwrap();
        page.items
            .into_iter()
            .map(|item| (item.value.id.parse().unwrap(), serde_json::from_value(item.value.body).unwrap()))
            .collect()
    }

    pub async fn status(&self) -> Option<ProducerStatus> {
        let records = self.catalog.read_states(StateKind::Status, &["producer".to_owned()]).await.unwrap();
        records
            .into_iter()
            .flatten()
            .next()
            .map(|record| serde_json::from_value(record.value.body).unwrap())
    }

    pub fn keepa_health(&self) -> Option<Condition> {
        self.ports.health.snapshot().get("keepa").map(|component| component.condition.clone())
    }

    pub fn start(&self, config: Config) -> Producer {
        Producer::start(config, self.ports.clone())
    }

    /// Ends everything.
    pub async fn end(mut self) {
        assert_no_leak();
        self.end.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.stop_broker().await;
    }
}

fn ports(prefix: &str, address: std::net::SocketAddr, catalog: &Arc<EmbeddedCatalog>, instance: Option<&str>) -> Ports {
    let event_log = EventLog::new(EventLogConfig {
        brokers: address.to_string(),
        topic_prefix: prefix.to_owned(),
        partitions: 3,
        replication: 1,
        embedded: true,
        instance_name: instance.map(str::to_owned),
        client_id: "producer-test".to_owned(),
        extra: BTreeMap::new(),
        ..EventLogConfig::default()
    });
    Ports {
        event_log,
        catalog: Arc::<EmbeddedCatalog>::clone(catalog),
        health: Health::default(),
    }
}

fn running(broker: EmbeddedBroker) -> (CancellationToken, JoinSet<()>) {
    let end = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let ended = end.clone();
    tasks.spawn(async move { broker.run(ended).await });
    (end, tasks)
}

/// A running producer.
pub struct Producer {
    shutdown: CancellationToken,
    task: JoinSet<anyhow::Result<()>>,
}

impl Producer {
    pub fn start(config: Config, ports: Ports) -> Producer {
        let shutdown = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(producer::run(config, ports, shutdown.clone()));
        Producer { shutdown, task }
    }

    /// Stops it in an orderly manner, within five seconds.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.task.join_next()).await;
        ended
            .expect("it stops in time")
            .expect("it ran")
            .expect("it does not panic")
            .expect("it does not fail");
    }

    /// Stops it where it stands.
    pub async fn kill(mut self) {
        self.task.shutdown().await;
    }
}

/// The settings of a producer that watches these articles.
pub fn config(url: &str, asins: Vec<Asin>) -> Config {
    use Marketplace::{DE, ES, FR, IT, UK};
    Config {
        keepa_url: Url::parse(url).unwrap(),
        keepa_api_key: key(),
        markets: vec![DE, FR, IT, ES, UK],
        watchlist: WatchlistFile { asins, bad_lines: Vec::new() },
        refresh: Duration::from_secs(3_600),
        simulated: true,
        initial_asins: Vec::new(),
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(3),
        },
    }
}

/// A simulator at work.
pub struct Simulated {
    pub handle: SimulatorHandle,
    end: CancellationToken,
    task: JoinSet<io::Result<()>>,
}

impl Simulated {
    pub async fn start(config: SimulatorConfig) -> Simulated {
        let simulator = simulator::start(config).await.unwrap();
        let handle = simulator.handle();
        let end = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(simulator.serve(end.clone()));
        Simulated { handle, end, task }
    }

    pub async fn stop(mut self) {
        self.end.cancel();
        while self.task.join_next().await.is_some() {}
    }
}
