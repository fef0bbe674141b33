//! A broker, a catalog that can be made to fail, and a worker of one partition between them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use enricher::Config;
use enricher::shell::Shell;
use serde_json::{Value, json};
use shared::adapters::embedded::broker::EmbeddedBroker;
use shared::adapters::embedded::catalog::EmbeddedCatalog;
use shared::adapters::kafka::{EventLog, EventLogConfig, Intake, Intakes as _, Lease, LeaseLost, Record, RecordOffset, Topic};
use shared::config::Environment;
use shared::domain::{Asin, ListedOpportunity, Marketplace, Opportunity, OpportunityId, Product, StoredProduct, UnixMillis};
use shared::health::{Condition as Health, Health as Board};
use shared::ports::catalog::{
    CatalogError, Facets, OpportunityQuery, Page, ProductQuery, StateKind, StateQuery, StateRecord, Statistics, Version, Versioned, Write, WriteOutcome,
};
use shared::ports::{Catalog, Ports};
use shared::wire::ProductDocument;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer, however busy the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a test stands in.
pub(crate) struct World {
    pub(crate) ports: Ports,
    pub(crate) catalog: Arc<FaultyCatalog>,
    /// The same event log as a command finds it, which cannot know that its broker is an embedded one.
    pub(crate) of_commands: EventLog,
    pub(crate) folder: tempfile::TempDir,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl World {
    pub(crate) async fn new() -> World {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let broker = EmbeddedBroker::start(folder.path(), Duration::from_secs(86_400), 1 << 32)
            .await
            .expect("a broker");
        let bootstrap = broker.bootstrap();
        let event_log = event_log(&bootstrap, "test.", BTreeMap::new());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let stopped = stop.clone();
        tasks.spawn(async move { broker.run(stopped).await });
        let of_commands = EventLog::new(EventLogConfig {
            embedded: false,
            ..settings(&bootstrap, "test.", BTreeMap::new())
        });
        World::over(event_log, of_commands, folder, stop, tasks).await
    }

    /// The same over a real Kafka, where there is one.
    pub(crate) async fn over_kafka() -> Option<World> {
        let Ok(brokers) = std::env::var("KAFKA_BROKERS") else {
            assert!(
                std::env::var("REAL_SERVERS").as_deref() != Ok("required"),
                "KAFKA_BROKERS is not set, and nothing is left out in CI"
            );
            // Past the test runner, which keeps the output of tests that pass to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED over a real Kafka: KAFKA_BROKERS is not set");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        // The folder's random name is nobody else's.
        let name = folder
            .path()
            .file_name()
            .expect("it has a name")
            .to_string_lossy()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "");
        let event_log = EventLog::new(EventLogConfig {
            embedded: false,
            ..settings(&brokers, &format!("test-{name}."), BTreeMap::new())
        });
        let of_commands = event_log.clone();
        Some(World::over(event_log, of_commands, folder, CancellationToken::new(), JoinSet::new()).await)
    }

    async fn over(event_log: EventLog, of_commands: EventLog, folder: tempfile::TempDir, stop: CancellationToken, tasks: JoinSet<()>) -> World {
        tokio::time::timeout(PATIENCE, event_log.ensure_topics())
            .await
            .expect("in time")
            .expect("topics");
        let catalog = Arc::new(FaultyCatalog::open(&folder.path().join("catalog.db")).await);
        let ports = Ports {
            event_log,
            catalog: Arc::clone(&catalog) as Arc<dyn Catalog>,
            health: Board::default(),
        };
        World {
            ports,
            catalog,
            of_commands,
            folder,
            stop,
            tasks,
        }
    }

    /// The same world, but whatever is published is never confirmed.
    pub(crate) fn with_dead_event_log(&self) -> Ports {
        let never = BTreeMap::from([("message.timeout.ms".to_owned(), "300".to_owned())]);
        Ports {
            event_log: event_log("127.0.0.1:1", "test.", never),
            catalog: Arc::clone(&self.ports.catalog),
            health: Board::default(),
        }
    }

    pub(crate) fn worker(&self) -> Worker {
        worker_of(&self.ports, config(), Lease::for_test(0))
    }

    /// All records of a topic, in order. There is one partition.
    pub(crate) async fn records(&self, topic: Topic) -> Vec<Record> {
        let log = &self.ports.event_log;
        let found: Arc<Mutex<Vec<Record>>> = Arc::default();
        let into = Arc::clone(&found);
        let reading = async {
            let extent = log.extent(topic).await?;
            let read = log.read(topic, extent, CancellationToken::new(), move |record| {
                into.lock().expect("not poisoned").push(record);
                ControlFlow::Continue(())
            });
            read.await
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("in time").expect("read");
        found.lock().expect("not poisoned").clone()
    }

    /// What was published of products: ASIN and revision, in order.
    pub(crate) async fn published(&self) -> Vec<(String, i64)> {
        let records = self.records(Topic::EnrichedProducts).await;
        let document = |record: Record| -> ProductDocument { serde_json::from_slice(&record.payload.expect("a value")).expect("a document") };
        records
            .into_iter()
            .map(document)
            .map(|document| (document.asin.to_string(), document.revision))
            .collect()
    }

    pub(crate) async fn dead_letters(&self) -> Vec<Record> {
        self.records(Topic::RawUpdatesDlq).await
    }

    pub(crate) async fn stored(&self, asin: &str) -> Option<StoredProduct> {
        let asin: Asin = asin.parse().expect("an ASIN");
        let read = self.catalog.inner.read_products(&[asin]).await.expect("read");
        read.into_iter().flatten().next().map(|versioned| versioned.value)
    }

    pub(crate) fn is_down_for(&self, reason: &str) -> bool {
        is_down_for(&self.ports.health, reason)
    }

    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(PATIENCE, async { while self.tasks.join_next().await.is_some() {} }).await;
    }
}

pub(crate) fn is_down_for(board: &Board, reason: &str) -> bool {
    let components = board.snapshot();
    matches!(components.get("enricher").map(|component| &component.condition), Some(Health::Down { reason: why }) if why.contains(reason))
}

fn event_log(brokers: &str, prefix: &str, extra: BTreeMap<String, String>) -> EventLog {
    EventLog::new(settings(brokers, prefix, extra))
}

fn settings(brokers: &str, prefix: &str, extra: BTreeMap<String, String>) -> EventLogConfig {
    EventLogConfig {
        brokers: brokers.to_owned(),
        topic_prefix: prefix.to_owned(),
        partitions: 1,
        replication: 1,
        embedded: true,
        instance_name: None,
        client_id: "enricher-test".into(),
        extra,
        ..EventLogConfig::default()
    }
}

pub(crate) fn config() -> Config {
    let environment = Environment::of([("DLQ_LIMIT_PAUSE", "20ms")]);
    let mut config = Config::read(&environment);
    // What is pushed together is written together, and nothing waits for more.
    config.machine.linger = Duration::ZERO;
    environment.finish(config).expect("valid settings")
}

/// A member that owns the partition of its records, without a group: records are handed to it, and what it lets go is looked at.
pub(crate) struct Worker {
    shell: Arc<Shell>,
    intake: Arc<dyn Intake>,
    lease: Lease,
    partition: i32,
    next: i64,
    /// Ends with the worker.
    _working: JoinSet<()>,
}

pub(crate) fn worker_of(ports: &Ports, config: Config, lease: Lease) -> Worker {
    let (shell, work) = Shell::new(&config, ports).expect("a publisher");
    let intake = Arc::clone(&shell).assigned(0, 1);
    let mut working = JoinSet::new();
    let working_shell = Arc::clone(&shell);
    working.spawn(async move { working_shell.carry_out(work, std::future::pending::<()>()).await.expect("no panic") });
    Worker {
        shell,
        intake,
        lease,
        partition: 0,
        next: 0,
        _working: working,
    }
}

impl Worker {
    /// Hands in records at once and waits until all are let go. Their offsets go on from those of earlier calls.
    pub(crate) async fn settle(&mut self, mut records: Vec<Record>) -> Result<(), LeaseLost> {
        if records[0].partition != self.partition {
            self.partition = records[0].partition;
            self.intake = Arc::clone(&self.shell).assigned(self.partition, 1);
            self.next = 0;
        }
        let shift = (self.next - records[0].offset.0).max(0);
        for record in &mut records {
            record.offset.0 += shift;
        }
        self.next = records[records.len() - 1].offset.next().0;
        self.shell.push_all(records);
        while self.intake.load().records > 0 {
            if !self.lease.is_held() {
                return Err(self.fence());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if !self.lease.is_held() {
            return Err(self.fence());
        }
        assert_eq!(self.intake.take_settled().map(|next| next.0), Some(self.next), "what is settled is let go");
        Ok(())
    }

    /// As the reading thread does it.
    fn fence(&self) -> LeaseLost {
        self.intake.fence();
        LeaseLost
    }
}

/// Waits for something that another task brings about.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"));
}

/// The time tests start from: an hour ago, so that no clock is offended.
pub(crate) fn base() -> i64 {
    UnixMillis::now().0 - 3_600_000
}

/// One record of the raw topic.
pub(crate) fn record(offset: i64, key: &str, payload: impl Into<Vec<u8>>) -> Record {
    Record {
        topic: Topic::RawUpdates,
        partition: 0,
        offset: RecordOffset(offset),
        key: Some(key.to_owned().into()),
        payload: Some(payload.into().into()),
        timestamp_ms: base(),
        headers: vec![("traceparent".into(), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()))],
    }
}

/// An update of one marketplace: a lowest new price in minor units, as of an instant.
pub(crate) fn update(asin: &str, marketplace: Marketplace, fetched_at: i64, new: i64) -> Record {
    let stats = json!({"current": [-1, new], "avg90": [-1, new]});
    update_of(
        asin,
        marketplace,
        fetched_at,
        &json!({"asin": asin, "domainId": marketplace.keepa_id(), "title": format!("Article {asin}"), "stats": stats}),
    )
}

pub(crate) fn update_of(asin: &str, marketplace: Marketplace, fetched_at: i64, product: &Value) -> Record {
    let envelope = json!({
        "v": 1, "asin": asin, "domain_id": marketplace.keepa_id(), "fetched_at_ms": fetched_at, "source": "watchlist", "run_id": null, "product": product,
    });
    record(0, asin, envelope.to_string())
}

/// Gives records their offsets.
pub(crate) fn batch(records: Vec<Record>) -> Vec<Record> {
    let numbered = records.into_iter().zip(0..).map(|(record, offset)| Record {
        offset: RecordOffset(offset),
        ..record
    });
    numbered.collect()
}

/// What all records together have to end in: an independent merge, one by one.
pub(crate) fn merged(records: &[Record]) -> BTreeMap<Asin, Product> {
    let mut products: BTreeMap<Asin, Product> = BTreeMap::new();
    for record in records {
        let decoded = enricher::decode::decode(&enricher::decode::Input::of(record), UnixMillis::now()).expect("a valid record");
        match products.get_mut(&decoded.update.asin) {
            Some(held) => {
                held.merge(&decoded.update);
            }
            None => {
                products.insert(decoded.update.asin, decoded.update);
            }
        }
    }
    products
}

/// What a fault does to one call of `write_products`.
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The call fails and nothing was written.
    Fails(CatalogError),
    /// The call fails though everything was written.
    FailsAfterwards(CatalogError),
    /// Items with an outcome here get it and are not written.
    Items(Vec<Option<WriteOutcome>>),
    /// Somebody else writes these first.
    After(Vec<Write<StoredProduct>>),
}

type Script = Box<dyn FnMut(&[Write<StoredProduct>]) -> Fault + Send>;

/// The embedded catalog, with faults in its product writes.
pub(crate) struct FaultyCatalog {
    pub(crate) inner: EmbeddedCatalog,
    script: Mutex<Script>,
    calls: Mutex<Vec<Vec<String>>>,
}

impl FaultyCatalog {
    async fn open(path: &Path) -> FaultyCatalog {
        FaultyCatalog {
            inner: EmbeddedCatalog::open(path).await.expect("a catalog"),
            script: Mutex::new(Box::new(|_| Fault::None)),
            calls: Mutex::default(),
        }
    }

    /// From now on each write of products goes by the script.
    pub(crate) fn go_by(&self, script: impl FnMut(&[Write<StoredProduct>]) -> Fault + Send + 'static) {
        *self.script.lock().expect("not poisoned") = Box::new(script);
    }

    /// The ASINs of every write call so far.
    pub(crate) fn calls(&self) -> Vec<Vec<String>> {
        self.calls.lock().expect("not poisoned").clone()
    }
}

#[async_trait]
impl Catalog for FaultyCatalog {
    async fn prepare(&self) -> Result<(), CatalogError> {
        self.inner.prepare().await
    }

    async fn check(&self) -> Result<(), CatalogError> {
        self.inner.check().await
    }

    async fn read_products(&self, asins: &[Asin]) -> Result<Vec<Option<Versioned<StoredProduct>>>, CatalogError> {
        self.inner.read_products(asins).await
    }

    async fn write_products(&self, writes: &[Write<StoredProduct>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        let asins = writes.iter().map(|write| write.value.product.asin.to_string()).collect();
        self.calls.lock().expect("not poisoned").push(asins);
        let fault = (self.script.lock().expect("not poisoned"))(writes);
        match fault {
            Fault::None => self.inner.write_products(writes).await,
            Fault::Fails(error) => Err(error),
            Fault::FailsAfterwards(error) => {
                self.inner.write_products(writes).await?;
                Err(error)
            }
            Fault::After(others) => {
                self.inner.write_products(&others).await?;
                self.inner.write_products(writes).await
            }
            Fault::Items(items) => {
                let passed: Vec<_> = writes
                    .iter()
                    .zip(&items)
                    .filter(|(_, item)| item.is_none())
                    .map(|(write, _)| write.clone())
                    .collect();
                let mut outcomes = self.inner.write_products(&passed).await?.into_iter();
                Ok(items
                    .into_iter()
                    .map(|item| item.unwrap_or_else(|| outcomes.next().expect("an outcome per write")))
                    .collect())
            }
        }
    }

    async fn search_products(&self, query: &ProductQuery) -> Result<Page<StoredProduct>, CatalogError> {
        self.inner.search_products(query).await
    }

    async fn read_opportunities(&self, ids: &[OpportunityId]) -> Result<Vec<Option<Versioned<Opportunity>>>, CatalogError> {
        self.inner.read_opportunities(ids).await
    }

    async fn write_opportunities(&self, writes: &[Write<Opportunity>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.inner.write_opportunities(writes).await
    }

    async fn search_opportunities(&self, query: &OpportunityQuery) -> Result<Page<Opportunity>, CatalogError> {
        self.inner.search_opportunities(query).await
    }

    async fn list_opportunities(&self, query: &OpportunityQuery) -> Result<Page<ListedOpportunity>, CatalogError> {
        self.inner.list_opportunities(query).await
    }

    async fn statistics(&self, priced_after: UnixMillis, legs_since: UnixMillis) -> Result<Statistics, CatalogError> {
        self.inner.statistics(priced_after, legs_since).await
    }

    async fn facets(&self, legs_since: UnixMillis) -> Result<Facets, CatalogError> {
        self.inner.facets(legs_since).await
    }

    async fn read_states(&self, kind: StateKind, ids: &[String]) -> Result<Vec<Option<Versioned<StateRecord>>>, CatalogError> {
        self.inner.read_states(kind, ids).await
    }

    async fn write_states(&self, kind: StateKind, writes: &[Write<StateRecord>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.inner.write_states(kind, writes).await
    }

    async fn list_states(&self, kind: StateKind, query: &StateQuery) -> Result<Page<Versioned<StateRecord>>, CatalogError> {
        self.inner.list_states(kind, query).await
    }
}

pub(crate) fn refused() -> WriteOutcome {
    WriteOutcome::Refused {
        reason: "mapper_parsing_exception: on purpose".into(),
    }
}

pub(crate) fn put_off() -> WriteOutcome {
    WriteOutcome::Retry { reason: "429".into() }
}

pub(crate) fn version_of(outcome: &WriteOutcome) -> Version {
    match outcome {
        WriteOutcome::Written(version) => version.clone(),
        other => panic!("not written: {other:?}"),
    }
}
