//! What the tests need: an embedded broker and catalog in a folder of their own, products, and the events that came out.
//! Tests wait for conditions, with a deadline, never for time to pass.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::adapters::embedded::broker::EmbeddedBroker;
use shared::adapters::embedded::catalog::EmbeddedCatalog;
use shared::adapters::kafka::{EventLog, EventLogConfig, FollowFrom, Message, Topic};
use shared::domain::price::PriceFacts;
use shared::domain::{
    Asin, KeepaMinutes, Listing, MarketState, Marketplace, ObservedAt, Opportunity, Product, Register, Source, Staleness, StoredProduct, UnixMillis,
};
use shared::health::Health;
use shared::ports::catalog::{Condition, StateKind, StateRecord, Write, WriteOutcome};
use shared::ports::{Catalog, Ports};
use shared::wire::OpportunityEvent;
use shared::wire::product::to_json;
use shared::wire::state::ProducerStatus;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// No condition takes longer, on a busy machine either.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits, and says what for when it was in vain.
pub async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// Asks until there is an answer.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

pub struct Bench {
    pub catalog: Arc<dyn Catalog>,
    pub log: EventLog,
    pub health: Health,
    events: Arc<Mutex<Vec<OpportunityEvent>>>,
    stop: CancellationToken,
    _tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub async fn start() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let (log, mut tasks, stop) = start_log(folder.path()).await;
        let catalog = EmbeddedCatalog::open(&folder.path().join("catalog.db")).await.unwrap();
        within("topics", log.ensure_topics()).await.unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let follow = log.follow(Topic::Alerts, FollowFrom::Beginning, stop.clone(), {
            let events = Arc::clone(&events);
            move |record| {
                let event: OpportunityEvent = serde_json::from_slice(&record.payload.unwrap()).unwrap();
                assert_eq!(record.key.as_deref(), Some(event.opportunity.asin.as_str().as_bytes()));
                events.lock().unwrap().push(event);
            }
        });
        tasks.spawn(async move { follow.await.unwrap() });
        Bench {
            catalog: Arc::new(catalog),
            log,
            health: Health::default(),
            events,
            stop,
            _tasks: tasks,
            _folder: folder,
        }
    }

    pub fn ports(&self) -> Ports {
        Ports {
            event_log: self.log.clone(),
            catalog: Arc::clone(&self.catalog),
            health: self.health.clone(),
        }
    }

    pub fn events(&self) -> Vec<OpportunityEvent> {
        self.events.lock().unwrap().clone()
    }

    /// The events' alert ids, once there are so many; `-` stands for an update.
    pub async fn alert_ids(&self, count: usize) -> Vec<String> {
        let events = until("events", async || Some(self.events()).filter(|events| events.len() >= count)).await;
        events.into_iter().map(|event| event.alert_id.unwrap_or("-".into())).collect()
    }

    pub async fn publish(&self, topic: Topic, message: Message) {
        within("a confirmation", self.log.publisher().unwrap().publish(topic, message)).await.unwrap();
    }

    /// Writes a product as the enricher does, then publishes it.
    pub async fn bring(&self, product: &StoredProduct) {
        self.store(product).await;
        self.publish(Topic::EnrichedProducts, document(product)).await;
    }

    /// Writes a product without telling anybody.
    pub async fn store(&self, product: &StoredProduct) {
        let held = self.catalog.read_products(&[product.product.asin]).await.unwrap().remove(0);
        let write = Write {
            value: product.clone(),
            condition: held.map_or(Condition::Absent, |held| Condition::Unchanged(held.version)),
        };
        let outcomes = self.catalog.write_products(&[write]).await.unwrap();
        assert!(matches!(outcomes[..], [WriteOutcome::Written(_)]), "{outcomes:?}");
    }

    pub async fn opportunity(&self, id: &str) -> Option<Opportunity> {
        let stored = self.catalog.read_opportunities(&[id.parse().unwrap()]).await.unwrap().remove(0);
        stored.map(|stored| stored.value)
    }

    pub async fn write_state(&self, kind: StateKind, record: StateRecord) {
        let held = self.catalog.read_states(kind, std::slice::from_ref(&record.id)).await.unwrap().remove(0);
        let write = Write {
            value: record,
            condition: held.map_or(Condition::Absent, |held| Condition::Unchanged(held.version)),
        };
        let outcomes = self.catalog.write_states(kind, &[write]).await.unwrap();
        assert!(matches!(outcomes[..], [WriteOutcome::Written(_)]), "{outcomes:?}");
    }

    /// What the producer says of its data.
    pub async fn say_simulated(&self, simulated: bool) {
        let status = ProducerStatus {
            simulated,
            tokens_left: None,
            refill_rate: None,
            keepa: "up".into(),
            at: UnixMillis::now(),
        };
        let record = StateRecord {
            id: "producer".into(),
            group: None,
            status: None,
            at: status.at,
            body: serde_json::to_value(status).unwrap(),
        };
        self.write_state(StateKind::Status, record).await;
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn start_log(folder: &Path) -> (EventLog, JoinSet<()>, CancellationToken) {
    let broker = EmbeddedBroker::start(folder, Duration::from_secs(86_400), u64::MAX).await.unwrap();
    let log = EventLog::new(EventLogConfig {
        brokers: broker.bootstrap(),
        topic_prefix: String::new(),
        partitions: 3,
        replication: 1,
        embedded: true,
        instance_name: None,
        client_id: "test".into(),
        extra: BTreeMap::new(),
        ..EventLogConfig::default()
    });
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let stop = stop.clone();
        async move { broker.run(stop).await }
    });
    (log, tasks, stop)
}

/// A product whose new prices Keepa saw at an instant.
pub fn product(asin: &str, revision: i64, seen_at: UnixMillis, prices: &[(Marketplace, Option<i64>)]) -> StoredProduct {
    let asin: Asin = asin.parse().unwrap();
    let observed_at = ObservedAt {
        last_update: KeepaMinutes::from_unix(seen_at),
        fetched_at: seen_at,
    };
    let product = prices
        .iter()
        .map(|&(marketplace, new)| {
            let mut state = MarketState::observed(observed_at);
            state.prices = Some(Register::new(observed_at, PriceFacts { new, ..PriceFacts::default() }));
            Product::from_record(asin, marketplace, Source::Keepa, state)
        })
        .reduce(|mut product, other| {
            product.merge(&other);
            product
        })
        .unwrap();
    let listing = Listing::of(&product, &[], seen_at, Staleness::default());
    StoredProduct { product, revision, listing }
}

/// The record that the enricher publishes.
pub fn document(product: &StoredProduct) -> Message {
    let payload = to_json(product);
    Message::new(product.product.asin.as_str(), Some(payload))
}
