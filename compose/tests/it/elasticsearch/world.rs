//! An event log inside this process, a fake Elasticsearch, and the whole enricher between them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use shared::adapters::elastic::{ElasticCatalog, ElasticConfig};
use shared::adapters::embedded::broker::EmbeddedBroker;
use shared::adapters::kafka::{EventLog, EventLogConfig, Message, Record, Topic};
use shared::config::Environment;
use shared::domain::{Marketplace, UnixMillis};
use shared::health::{Condition, Health};
use shared::ports::Ports;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::oracle::{Books, Entry};
use super::server::Server;
use crate::independent;

/// Nothing here takes longer, however busy the machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Messages on their way to the event log at a time.
const AT_ONCE: usize = 200;

/// How long faults last: `FAULT_SECONDS`.
pub fn fault_length() -> Duration {
    let seconds = std::env::var("FAULT_SECONDS").map_or(2, |value| value.parse().expect("FAULT_SECONDS: a whole number is expected"));
    Duration::from_secs(seconds)
}

/// What a test stands in. Event logs of one world are told apart by their prefixes; there is one partition in each.
pub struct World {
    pub server: Server,
    pub log: EventLog,
    pub books: Mutex<Books>,
    pub config: EventLogConfig,
    prefix: String,
    /// Asks about the enricher's group; is no member of it.
    asking: Arc<BaseConsumer>,
    broker: Arc<Broker>,
}

/// The broker ends with the last world on it.
struct Broker {
    bootstrap: String,
    folder: tempfile::TempDir,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Broker {
    async fn start(folder: tempfile::TempDir) -> Broker {
        let broker = EmbeddedBroker::start(folder.path(), Duration::from_secs(86_400), 1 << 32)
            .await
            .expect("a broker");
        let bootstrap = broker.bootstrap();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let stopped = stop.clone();
        tasks.spawn(async move { broker.run(stopped).await });
        Broker {
            bootstrap,
            folder,
            stop,
            tasks,
        }
    }
}

/// A running enricher; stopped at once when dropped.
pub struct Enricher {
    pub health: Health,
    shutdown: CancellationToken,
    task: JoinSet<anyhow::Result<()>>,
    background: JoinSet<()>,
}

/// An update of one marketplace: a lowest new price in minor units, as of an instant.
#[derive(Debug, Clone)]
pub struct Update {
    pub asin: String,
    pub marketplace: Marketplace,
    pub fetched_at: i64,
    pub price: i64,
    pub title: String,
    /// Bytes that nobody reads.
    pub ballast: usize,
    /// It brings what the price was before.
    pub has_history: bool,
}

/// The time tests start from: an hour ago, so that no clock is offended.
pub fn base() -> i64 {
    UnixMillis::now().0 - 3_600_000
}

pub fn asin(number: usize) -> String {
    format!("B{number:09}")
}

pub fn update(number: usize, marketplace: Marketplace, fetched_at: i64, price: i64) -> Update {
    Update {
        asin: asin(number),
        marketplace,
        fetched_at,
        price,
        title: format!("Article {number}"),
        ballast: 0,
        has_history: false,
    }
}

/// One update each of articles of these numbers.
pub fn updates(numbers: std::ops::Range<usize>, fetched_at: i64) -> Vec<Update> {
    numbers.map(|number| update(number, Marketplace::DE, fetched_at, 5000)).collect()
}

impl Update {
    /// As the producer publishes it.
    pub fn payload(&self) -> Vec<u8> {
        let Update {
            asin,
            marketplace,
            fetched_at,
            price,
            title,
            ballast,
            has_history,
        } = self;
        let minute = independent::keepa_minutes(*fetched_at);
        let stats = json!({"current": [-1, price], "avg90": [-1, price]});
        let ballast = "x".repeat(*ballast);
        let history = has_history.then(|| json!([null, [minute - 60, price + 1, minute, price]]));
        let product = json!({
            "asin": asin, "domainId": marketplace.keepa_id(), "lastUpdate": minute, "title": title, "stats": stats, "csv": history,
            "ballast": ballast,
        });
        let envelope: Value = json!({
            "v": 1, "asin": asin, "domain_id": marketplace.keepa_id(), "fetched_at_ms": fetched_at, "source": "watchlist", "run_id": null, "product": product,
        });
        envelope.to_string().into_bytes()
    }

    fn entry(&self) -> Entry {
        Entry {
            place: (self.asin.clone(), self.marketplace),
            observed: (independent::keepa_minutes(self.fetched_at), self.fetched_at),
            has_history: self.has_history,
        }
    }
}

impl World {
    pub async fn new() -> World {
        let broker = Broker::start(tempfile::tempdir().expect("a temporary folder")).await;
        World::on(Arc::new(broker), "test.", Server::start().await).await
    }

    /// The same world once its broker was stopped and started again, which makes it forget the members of groups.
    pub async fn restart_event_log(self) -> World {
        let World {
            server,
            books,
            prefix,
            log,
            asking,
            broker,
            ..
        } = self;
        drop((log, asking));
        let mut broker = Arc::into_inner(broker).expect("nobody else uses the broker");
        broker.stop.cancel();
        let ended = async { while broker.tasks.join_next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("it ends in time");
        let broker = Broker::start(broker.folder).await;
        World {
            books,
            ..World::on(Arc::new(broker), &prefix, server).await
        }
    }

    /// Another event log, with a group of its own, over the same catalog: a second writer of the same articles.
    pub async fn beside(&self) -> World {
        World::on(Arc::clone(&self.broker), "beside.", self.server.another_node().await).await
    }

    async fn on(broker: Arc<Broker>, prefix: &str, server: Server) -> World {
        assert!(broker.folder.path().is_dir());
        let config = EventLogConfig {
            brokers: broker.bootstrap.clone(),
            topic_prefix: prefix.to_owned(),
            partitions: 1,
            embedded: true,
            client_id: "enricher-test".into(),
            ..EventLogConfig::default()
        };
        let log = EventLog::new(config.clone());
        tokio::time::timeout(PATIENCE, log.ensure_topics()).await.expect("in time").expect("topics");
        let asking: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &broker.bootstrap)
            .set("group.id", format!("{prefix}{}", enricher::GROUP))
            .create()
            .expect("plain settings");
        World {
            server,
            log,
            books: Mutex::default(),
            config,
            prefix: prefix.to_owned(),
            asking: Arc::new(asking),
            broker,
        }
    }

    /// Settings of the catalog: this world's one node, which has to answer soon.
    pub fn elastic(&self) -> ElasticConfig {
        elastic_at(self.server.url())
    }

    /// Starts an enricher as its binary does.
    pub fn start(&self) -> Enricher {
        self.start_with(&[], self.elastic())
    }

    /// The same with these variables set, over this catalog.
    pub fn start_with(&self, variables: &[(&'static str, &'static str)], elastic: ElasticConfig) -> Enricher {
        start_over(self.log.clone(), variables, elastic)
    }

    /// Publishes what is no product.
    pub async fn produce_garbage(&self, key: &str) {
        let publisher = self.log.publisher().expect("a publisher");
        let message = Message::new(key, Some(b"not json".to_vec()));
        publisher.publish(Topic::RawUpdates, message).await.expect("published");
    }

    /// Publishes updates and notes where they lie. Gives their offsets: updates that are published together may change places.
    pub async fn produce(&self, updates: &[Update]) -> Vec<i64> {
        let publisher = self.log.publisher().expect("a publisher");
        let mut offsets = Vec::with_capacity(updates.len());
        for some in updates.chunks(AT_ONCE) {
            let published = join_all(some.iter().map(|update| {
                let message = Message::new(update.asin.as_str(), Some(update.payload()));
                publisher.publish(Topic::RawUpdates, message)
            }));
            for (position, update) in published.await.into_iter().zip(some) {
                let offset = position.expect("published").offset.0;
                self.books.lock().unwrap_or_else(PoisonError::into_inner).note(offset, update.entry());
                offsets.push(offset);
            }
        }
        offsets
    }

    /// The next offset of the group: everything before it is let go.
    pub async fn committed(&self) -> i64 {
        let name = self.log.topic_name(Topic::RawUpdates);
        self.ask(move |client| {
            let mut partitions = TopicPartitionList::new();
            partitions.add_partition(&name, 0);
            let offsets = client.committed_offsets(partitions, ANSWER_WITHIN).expect("offsets");
            match offsets.elements()[0].offset() {
                Offset::Offset(next) => next,
                _ => 0,
            }
        })
        .await
    }

    /// Makes the group, which must have no member, start at the very beginning.
    pub async fn rewind(&self) {
        let name = self.log.topic_name(Topic::RawUpdates);
        self.ask(move |client| {
            let mut partitions = TopicPartitionList::new();
            partitions.add_partition_offset(&name, 0, Offset::Offset(0)).expect("an offset");
            client.commit(&partitions, CommitMode::Sync).expect("committed");
        })
        .await;
    }

    async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&BaseConsumer) -> T + Send + 'static) -> T {
        let client = Arc::clone(&self.asking);
        let asked = tokio::task::spawn_blocking(move || question(&client));
        asked.await.expect("the broker answers")
    }

    /// Waits until the group has let go of all that was produced.
    pub async fn settled(&self) {
        let end = self.books.lock().unwrap_or_else(PoisonError::into_inner).end();
        until(&format!("{} of {end} settled", self.prefix), async || self.committed().await >= end).await;
    }

    /// All records of a topic, in order.
    pub async fn records(&self, topic: Topic) -> Vec<Record> {
        let found: Arc<Mutex<Vec<Record>>> = Arc::default();
        let into = Arc::clone(&found);
        let reading = async {
            let extent = self.log.extent(topic).await?;
            let read = self.log.read(topic, extent, CancellationToken::new(), move |record| {
                into.lock().unwrap_or_else(PoisonError::into_inner).push(record);
                ControlFlow::Continue(())
            });
            read.await
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("in time").expect("read");
        std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Settings of a catalog of one node, which has to answer soon.
pub fn elastic_at(url: url::Url) -> ElasticConfig {
    ElasticConfig {
        request_timeout: Duration::from_secs(5),
        ..ElasticConfig::open(url)
    }
}

/// Starts an enricher between an event log and a catalog.
pub fn start_over(event_log: EventLog, variables: &[(&'static str, &'static str)], elastic: ElasticConfig) -> Enricher {
    let environment = Environment::of(variables.iter().copied());
    let config = enricher::Config::read(&environment);
    let config = environment.finish(config).expect("valid settings");
    let ports = Ports {
        event_log,
        catalog: Arc::new(ElasticCatalog::connect(elastic).expect("a client")),
        health: Health::default(),
    };
    let shutdown = CancellationToken::new();
    let mut background = JoinSet::new();
    let (watched, ended) = (ports.clone(), shutdown.clone());
    background.spawn(async move {
        watched.prepare(&ended).await;
        watched.watch(&ended).await;
    });
    let health = ports.health.clone();
    let mut task = JoinSet::new();
    task.spawn(enricher::run(config, ports, shutdown.clone()));
    Enricher {
        health,
        shutdown,
        task,
        background,
    }
}

impl Enricher {
    /// Whether its replica would be given traffic.
    pub fn is_ready(&self) -> bool {
        self.health.is_ready(&["event_log", "catalog", "enricher"])
    }

    /// Why it is not ready, component by component.
    pub fn troubles(&self) -> BTreeMap<&'static str, String> {
        let components = self.health.snapshot().into_iter();
        let down = components.filter_map(|(name, component)| match component.condition {
            Condition::Down { reason } => Some((name, reason)),
            _ => None,
        });
        down.collect()
    }

    pub async fn becomes_ready(&self) {
        until("readiness", async || self.is_ready()).await;
    }

    /// Waits until something is wrong for this reason.
    pub async fn is_down_for(&self, reason: &str) {
        let told = async || self.troubles().values().any(|trouble| trouble.contains(reason));
        let waiting = tokio::time::timeout(PATIENCE, until_holds(told)).await;
        assert!(waiting.is_ok(), "it is not down for {reason:?} but for {:?}", self.troubles());
    }

    /// As SIGTERM does. Gives how long it took.
    pub async fn stop(mut self) -> Duration {
        let began = tokio::time::Instant::now();
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.task.join_next()).await.expect("it ends");
        ended.expect("one task").expect("no panic").expect("a clean end");
        let took = began.elapsed();
        self.background.shutdown().await;
        took
    }
}

/// Waits for something that others bring about.
pub async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    let waiting = tokio::time::timeout(PATIENCE, until_holds(holds)).await;
    assert!(waiting.is_ok(), "{what} did not happen");
}

async fn until_holds(mut holds: impl AsyncFnMut() -> bool) {
    while !holds().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
