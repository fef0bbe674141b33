//! The judge and the deliverer over the embedded catalog and scripted servers, with a clock of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::{Value, json};
use shared::adapters::embedded::catalog::EmbeddedCatalog;
use shared::adapters::kafka::{Record, RecordOffset, Topic};
use shared::config::Environment;
use shared::domain::opportunity::EventKind;
use shared::domain::{Asin, ListedOpportunity, Opportunity, OpportunityId, Percentage, StoredProduct, UnixMillis};
use shared::ports::catalog::{
    CatalogError, Facets, OpportunityQuery, Page, ProductQuery, StateKind, StateQuery, StateRecord, Statistics, Versioned, Write, WriteOutcome,
};
use shared::wire::OpportunityEvent;
use shared::wire::alert::{Delivery, DeliveryStatus};
use tokio::sync::Notify;

use super::*;
use crate::receiver::{Answer, HttpReceiver, SmtpReceiver};
use crate::settings::Rules;

const HOUR: i64 = 60 * 60 * 1_000;
/// 2026-07-10T12:00Z.
const NOON: i64 = 1_783_684_800_000;
const SECRET: &str = "correct horse battery";

/// A catalog at whose n-th write of state the process dies: nothing is answered any more.
struct Dying {
    inner: Arc<dyn Catalog>,
    writes: AtomicUsize,
    /// At which write, and whether it arrives.
    at: Option<(usize, bool)>,
    died: Notify,
}

#[async_trait]
impl Catalog for Dying {
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
        self.inner.write_products(writes).await
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
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        if let Some((at, arrives)) = self.at
            && number >= at
        {
            if arrives && number == at {
                self.inner.write_states(kind, writes).await?;
            }
            self.died.notify_one();
            return std::future::pending().await;
        }
        self.inner.write_states(kind, writes).await
    }
    async fn list_states(&self, kind: StateKind, query: &StateQuery) -> Result<Page<Versioned<StateRecord>>, CatalogError> {
        self.inner.list_states(kind, query).await
    }
}

struct World {
    catalog: Arc<dyn Catalog>,
    clock: Arc<AtomicI64>,
    http: HttpReceiver,
    smtp: SmtpReceiver,
    config: AlertsConfig,
    health: Health,
    folder: tempfile::TempDir,
}

impl World {
    async fn with(rules: Value) -> World {
        let folder = tempfile::tempdir().unwrap();
        let catalog = EmbeddedCatalog::open(&folder.path().join("catalog.db")).await.unwrap();
        let (http, smtp) = (HttpReceiver::start().await, SmtpReceiver::start().await);
        let channels = json!({"channels": {
            "hook": {"type": "webhook", "url": http.url("/hidden-hook"), "secret": SECRET},
            "other": {"type": "webhook", "url": http.url("/other"), "secret": SECRET},
            "tg": {"type": "telegram", "token": "123:hidden-token", "chat_id": -100, "url": http.url("/telegram/")},
            "dc": {"type": "discord", "url": http.url("/api/webhooks/1/hidden-discord")},
            "push": {"type": "ntfy", "url": http.url("/hidden-topic"), "token": "tk_hidden"},
            "mail": {
                "type": "smtp", "host": "127.0.0.1", "port": smtp.address.port(), "tls": "none", "username": "me", "password": "hidden-password",
                "from": "Tracker <tracker@example.org>", "to": ["Ann <ann@example.org>"],
            },
        }});
        let mut world = World {
            catalog: Arc::new(catalog),
            clock: Arc::new(AtomicI64::new(NOON)),
            http,
            smtp,
            config: AlertsConfig::default(),
            health: Health::default(),
            folder,
        };
        std::fs::write(world.folder.path().join("channels.json"), channels.to_string()).unwrap();
        world.configure(rules);
        world
    }

    /// What the operator's file of rules says from the next start on.
    fn configure(&mut self, rules: Value) {
        let path = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("rules.json"), json!({"rules": rules}).to_string()).unwrap();
        let (channels, rules) = (path("channels.json"), path("rules.json"));
        let environment = Environment::of([("ALERT_CHANNELS", channels.as_str()), ("ALERT_RULES", rules.as_str())]);
        self.config = AlertsConfig::read(&environment);
        environment.finish(()).unwrap();
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(self.clock.load(Ordering::SeqCst))
    }

    fn advance(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::SeqCst);
    }

    /// A process that has just started.
    async fn start(&self) -> Alerts {
        self.start_on(Arc::clone(&self.catalog)).await
    }

    async fn start_on(&self, catalog: Arc<dyn Catalog>) -> Alerts {
        let time = Arc::clone(&self.clock);
        let clock: Clock = Arc::new(move || UnixMillis(time.load(Ordering::SeqCst)));
        let patience = Patience::new(self.health.clone());
        let rules = Rules {
            min_margin_percent: rust_decimal::Decimal::TEN,
            leg_stale_after_ms: 86_400_000,
            markets: shared::domain::Marketplace::ALL.to_vec(),
            seller: Arc::default(),
        };
        let basis = Arc::new(BasisBoard::new(Arc::clone(&self.catalog), patience.clone(), rules, Arc::clone(&clock)));
        basis.begin().await;
        let mut alerts = Alerts::new(&self.config, catalog, patience, self.health.clone(), basis, clock).unwrap();
        // Chance, the same every time.
        alerts.deliverer = Deliverer::new(
            alerts.judge.records.clone(),
            Arc::clone(&alerts.rules),
            self.config.clone(),
            channels::client().unwrap(),
            self.health.clone(),
            Arc::clone(&alerts.judge.clock),
            Arc::new(|| 999),
        );
        alerts.rules.begin().await;
        alerts
    }

    async fn deliveries(&self) -> BTreeMap<String, Delivery> {
        let query = StateQuery {
            group: None,
            status: None,
            ascending: true,
            limit: 500,
            cursor: None,
        };
        let page = self.catalog.list_states(StateKind::Deliveries, &query).await.unwrap();
        let deliveries = page.items.into_iter().map(|item| {
            assert!(!item.value.body.to_string().contains("hidden"), "{}", item.value.body);
            serde_json::from_value::<Delivery>(item.value.body).unwrap()
        });
        deliveries.map(|delivery| (delivery.id.clone(), delivery)).collect()
    }

    async fn status(&self, id: &str) -> DeliveryStatus {
        self.deliveries().await[id].status
    }
}

impl Alerts {
    async fn hear(&self, events: &[OpportunityEvent]) {
        let records: Vec<Record> = events.iter().map(record).collect();
        self.judge.settle(&records).await;
    }

    async fn look(&self) {
        self.deliverer.look(&CancellationToken::new()).await;
    }
}

fn record(event: &OpportunityEvent) -> Record {
    Record {
        topic: Topic::Alerts,
        partition: 0,
        offset: RecordOffset(0),
        key: Some(event.opportunity.asin.as_str().to_owned().into()),
        payload: Some(serde_json::to_vec(event).unwrap().into()),
        timestamp_ms: event.at.0,
        headers: Vec::new(),
    }
}

/// Of the published sample, with another id, number, kind and margin (hundredths of percent, and as many cents).
fn event(id: &str, seq: i64, kind: EventKind, margin: i64, at: UnixMillis) -> OpportunityEvent {
    let mut event: OpportunityEvent = serde_json::from_str(include_str!("../../../schemas/samples/alerts.opportunities.v1.json")).unwrap();
    let id: OpportunityId = id.parse().unwrap();
    event.alert_id = Some(format!("{id}#{seq}"));
    event.event = kind;
    event.at = at;
    let opportunity = &mut event.opportunity;
    opportunity.id = id;
    (opportunity.asin, opportunity.source_market, opportunity.target_market) = (id.asin, id.source, id.target);
    opportunity.event_seq = seq;
    opportunity.opened_at = UnixMillis(NOON);
    opportunity.margin.minor = margin;
    opportunity.margin_percentage = Percentage(margin);
    opportunity.evaluation.revision = seq;
    event
}

const A: &str = "B0D1XD1ZV3:ES:IT";
const B: &str = "B0D1XD1ZV3:DE:IT";

fn hook_rule() -> Value {
    json!({"id": "all", "name": "Everything", "channel": "hook"})
}

/// Opened, improved, closed.
fn a_life(at: UnixMillis) -> Vec<OpportunityEvent> {
    vec![
        event(A, 1, EventKind::Opened, 1_500, at),
        event(A, 2, EventKind::Improved, 1_700, at),
        event(B, 1, EventKind::Opened, 2_000, at),
        event(A, 3, EventKind::Closed, 1_700, at),
    ]
}

#[tokio::test]
async fn opened_improved_and_closed_arrive_signed_and_with_what_changed() {
    let world = World::with(json!([hook_rule()])).await;
    let alerts = world.start().await;
    alerts.hear(&a_life(world.now())).await;
    alerts.look().await;
    let received = world.http.received();
    let keys = [
        "all.B0D1XD1ZV3.DE.IT.1",
        "all.B0D1XD1ZV3.ES.IT.1",
        "all.B0D1XD1ZV3.ES.IT.2",
        "all.B0D1XD1ZV3.ES.IT.3",
    ];
    assert_eq!(world.http.keys(), keys);
    for (received, key) in received.iter().zip(keys) {
        let body = received.json();
        assert_eq!((body["idempotency_key"].as_str(), body["simulated"].as_bool()), (Some(key), Some(false)));
        let (time, signature) = received.header("x-signature").split_once(",v1=").unwrap();
        let time = time.strip_prefix("t=").unwrap();
        assert_eq!(time, (NOON / 1_000).to_string());
        assert_eq!(signature, hmac_of(SECRET, &format!("{time}.{}", received.body)));
    }
    let told: Vec<Value> = received[1..].iter().map(|received| received.json()["alerts"][0].clone()).collect();
    let events: Vec<&str> = told.iter().map(|alert| alert["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["opened", "improved", "closed"]);
    assert_eq!(told[0]["previous"], Value::Null);
    let numbers = |alert: &Value, pointer: &str| alert.pointer(pointer).unwrap().to_string();
    assert_eq!(numbers(&told[1], "/previous/margin_percentage"), "15.00");
    assert_eq!(numbers(&told[1], "/delta/margin_percentage"), "2.00");
    assert_eq!(numbers(&told[1], "/delta/margin"), "2.00");
    assert_eq!(
        (told[2]["previous"]["event"].as_str(), numbers(&told[2], "/delta/margin")),
        (Some("improved"), "0.00".into())
    );
    // What comes again is told no more.
    alerts.hear(&a_life(world.now())).await;
    alerts.look().await;
    assert_eq!(world.http.received().len(), 4);
}

/// Computed apart from the channel's own code.
fn hmac_of(key: &str, text: &str) -> String {
    use hmac::{Hmac, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn what_is_not_taken_is_tried_again_under_the_same_key_and_others_are_not_held_up() {
    let world = World::with(json!([hook_rule(), {"id": "more", "channel": "other"}])).await;
    let alerts = world.start().await;
    world.http.answers([Answer::Status(500, None, "a reason".into())]);
    alerts.hear(&a_life(world.now())[..1]).await;
    // Channels go beside each other; whose turn is first does not matter.
    alerts.look().await;
    let failed: Vec<Delivery> = world
        .deliveries()
        .await
        .into_values()
        .filter(|delivery| delivery.status == DeliveryStatus::Waiting)
        .collect();
    let [failed] = &failed[..] else { panic!("{failed:?}") };
    assert_eq!(failed.attempts, 1);
    assert!(failed.last_error.as_deref().unwrap().contains("500"), "{failed:?}");
    assert!(matches!(
        world.health.snapshot()["alerts"].condition,
        shared::health::Condition::Degraded { .. }
    ));
    // Not before its time.
    alerts.look().await;
    assert_eq!(world.http.received().len(), 2);
    world.advance(10_001);
    alerts.look().await;
    assert_eq!(world.status(&failed.id).await, DeliveryStatus::Delivered);
    let keys = world.http.keys();
    assert_eq!((keys.len(), keys.iter().filter(|key| **key == failed.id).count()), (3, 2));
    assert_eq!(world.health.snapshot()["alerts"].condition, shared::health::Condition::Up);
}

#[tokio::test]
async fn a_channel_that_asks_for_time_gets_it_and_its_queue_is_not_tried() {
    let world = World::with(json!([hook_rule()])).await;
    let alerts = world.start().await;
    world.http.answers([Answer::Status(429, Some(("retry-after", "120")), String::new())]);
    alerts.hear(&a_life(world.now())).await;
    alerts.look().await;
    world.advance(119_000);
    alerts.look().await;
    assert_eq!(world.http.received().len(), 1);
    world.advance(2_000);
    alerts.look().await;
    assert_eq!(world.http.received().len(), 5);
    assert!(world.deliveries().await.values().all(|delivery| delivery.status == DeliveryStatus::Delivered));
}

#[tokio::test]
async fn what_is_refused_fails_at_once_and_somebody_can_have_it_sent_again() {
    let world = World::with(json!([hook_rule()])).await;
    let alerts = world.start().await;
    world
        .http
        .answers([Answer::Status(302, Some(("location", "http://127.0.0.1:1/")), String::new())]);
    alerts.hear(&a_life(world.now())[..1]).await;
    alerts.look().await;
    let (id, failed) = world.deliveries().await.into_iter().next().unwrap();
    assert_eq!(
        (failed.status, failed.attempts, failed.finished_at),
        (DeliveryStatus::Failed, 1, Some(world.now()))
    );
    world.advance(HOUR);
    alerts.look().await;
    assert_eq!(world.http.received().len(), 1);
    let found = alerts.judge.records.read_one::<Delivery>(StateKind::Deliveries, &id).await;
    let again = found.value.unwrap().again(world.now());
    alerts.judge.records.write_one(StateKind::Deliveries, again.to_record(), found.condition).await;
    alerts.look().await;
    assert_eq!(world.status(&id).await, DeliveryStatus::Delivered);
    assert_eq!(world.http.keys(), [id.clone(), id]);
}

#[tokio::test]
async fn a_digest_collects_and_comes_once_in_its_time_also_after_a_restart() {
    let world = World::with(json!([{"id": "daily", "channel": "hook", "digest": "1h"}])).await;
    let alerts = world.start().await;
    alerts.look().await;
    alerts.hear(&a_life(world.now())[..2]).await;
    world.advance(HOUR / 2);
    alerts.hear(&a_life(world.now())[2..]).await;
    alerts.look().await;
    assert_eq!(world.http.received().len(), 0);
    drop(alerts);
    let alerts = world.start().await;
    world.advance(HOUR / 2);
    alerts.look().await;
    let received = world.http.received();
    assert_eq!(received.len(), 1);
    let body = received[0].json();
    assert_eq!((body["kind"].as_str(), body["alerts"].as_array().unwrap().len()), (Some("digest"), 4));
    // Nothing happened: nothing is sent.
    world.advance(5 * HOUR);
    alerts.look().await;
    assert_eq!(world.http.received().len(), 1);
    let states: BTreeSet<&str> = world.deliveries().await.into_values().map(|delivery| delivery.status.name()).collect();
    assert_eq!(states, ["delivered", "digested"].into());
}

#[tokio::test]
async fn a_rule_that_is_taken_out_of_the_file_tells_nothing_more_and_its_digest_is_still_sent() {
    let mut world = World::with(json!([{"id": "daily", "channel": "hook", "digest": "1h"}, hook_rule()])).await;
    let alerts = world.start().await;
    alerts.hear(&a_life(world.now())[..1]).await;
    alerts.look().await;
    assert_eq!(world.http.keys(), ["all.B0D1XD1ZV3.ES.IT.1"]);
    world.configure(json!([]));
    let alerts = world.start().await;
    assert!(alerts.rules.current().await.is_empty());
    alerts.hear(&a_life(world.now())).await;
    alerts.look().await;
    assert_eq!(world.http.keys()[1..], [format!("daily.digest.{NOON}")]);
}

#[tokio::test]
async fn the_daily_cap_holds_over_partitions_and_replicas() {
    let rule = json!([{"id": "few", "channel": "hook", "daily_cap": 3}]);
    let world = World::with(rule).await;
    let (one, other) = (world.start().await, world.start().await);
    let of = |prefix: &str| -> Vec<OpportunityEvent> {
        (0..10)
            .map(|number| event(&format!("{prefix}{number:09}:ES:IT"), 1, EventKind::Opened, 1_500, world.now()))
            .collect()
    };
    let (of_one, of_other) = (of("A"), of("B"));
    tokio::join!(one.hear(&of_one), other.hear(&of_other));
    tokio::join!(one.look(), other.look());
    assert_eq!(world.http.received().len(), 3);
    world.advance(24 * HOUR);
    one.hear(&[event(A, 1, EventKind::Opened, 1_500, world.now())]).await;
    one.look().await;
    assert_eq!(world.http.received().len(), 4);
}

#[tokio::test]
async fn every_channel_gets_the_message_and_no_secret_is_told() {
    let names = ["hook", "tg", "dc", "push", "mail"];
    let rules: Vec<Value> = names
        .iter()
        .map(|name| json!({"id": name, "name": "Everything <all>", "channel": name}))
        .collect();
    let world = World::with(rules.into()).await;
    let alerts = world.start().await;
    let records = &alerts.judge.records;
    let status = json!({"simulated": true, "tokens_left": null, "refill_rate": null, "keepa": "up", "at": 1});
    let status = super::records::record("producer", None, None, world.now(), &status);
    records.write_one(StateKind::Status, status, shared::ports::catalog::Condition::Absent).await;
    alerts.judge.basis.refresh().await;
    // Each channel refuses first, saying what it was told.
    world.http.answers((0..4).map(|_| Answer::Echo(503)));
    world.smtp.answers("451 not now, hidden-password");
    alerts.hear(&a_life(world.now())[..1]).await;
    alerts.look().await;
    for delivery in world.deliveries().await.values() {
        assert_eq!((delivery.status, delivery.attempts), (DeliveryStatus::Waiting, 1), "{delivery:?}");
        let error = delivery.last_error.as_deref().unwrap();
        assert!(error.contains("503") || error.contains("not now"), "{error}");
    }
    world.advance(10_001);
    alerts.look().await;
    for delivery in world.deliveries().await.values() {
        assert_eq!(delivery.status, DeliveryStatus::Delivered, "{delivery:?}");
    }
    let received = world.http.received();
    let to = |path: &str| {
        received
            .iter()
            .rev()
            .find(|received| received.path == path)
            .unwrap_or_else(|| panic!("{path}: {received:?}"))
    };
    let telegram = to("/telegram/bot123:hidden-token/sendMessage").json();
    assert_eq!(telegram["chat_id"], json!("-100"));
    let discord = to("/api/webhooks/1/hidden-discord").json();
    assert_eq!(discord["allowed_mentions"], json!({"parse": []}));
    let ntfy = to("/hidden-topic");
    assert_eq!(
        (ntfy.header("authorization"), ntfy.header("title").starts_with("[simulated] Opened: 15.00 %")),
        ("Bearer tk_hidden", true)
    );
    let texts = [telegram["text"].as_str().unwrap(), discord["content"].as_str().unwrap(), &ntfy.body];
    for text in texts {
        assert!(text.contains("Simulated data") && text.contains("B0D1XD1ZV3.ES.IT.1"), "{text}");
    }
    assert_eq!(to("/hidden-hook").json()["simulated"], json!(true));
    let mails = world.smtp.mails();
    assert_eq!(mails.len(), 1);
    for expected in [
        "Message-ID: <mail.B0D1XD1ZV3.ES.IT.1@example.org>",
        "Idempotency-Key: mail.B0D1XD1ZV3.ES.IT.1",
        "Subject: [simulated] Opened: 15.00 %",
        "To: Ann <ann@example.org>",
        "text/plain",
        "text/html",
        "Everything &lt;all&gt;",
        "Simulated data",
    ] {
        assert!(mails[0].contains(expected), "{expected}: {}", mails[0]);
    }
}

#[tokio::test]
async fn a_test_message_that_was_asked_for_is_sent_and_one_to_an_unknown_channel_waits_for_it() {
    let world = World::with(json!([hook_rule()])).await;
    let alerts = world.start().await;
    let rule = alerts.rules.current().await[0].rule.clone();
    let mut lost = Delivery::test(&rule, false, world.now().plus_millis(-1));
    lost.channel = "gone".parse().unwrap();
    alerts.judge.records.create(&[Delivery::test(&rule, false, world.now()), lost.clone()]).await;
    alerts.look().await;
    assert_eq!(world.http.received()[0].json()["kind"], json!("test"));
    let lost = &world.deliveries().await[&lost.id];
    assert_eq!(
        (lost.status, lost.last_error.as_deref()),
        (DeliveryStatus::Waiting, Some("there is no channel gone"))
    );
}

#[tokio::test]
async fn a_record_that_is_no_event_holds_nothing_up() {
    let world = World::with(json!([hook_rule()])).await;
    let alerts = world.start().await;
    let mut records: Vec<Record> = a_life(world.now()).iter().map(record).collect();
    records[0].payload = Some("{".into());
    records[1].payload = None;
    alerts.judge.settle(&records).await;
    alerts.look().await;
    assert_eq!(world.http.keys(), ["all.B0D1XD1ZV3.DE.IT.1"]);
}

#[tokio::test]
async fn a_process_that_dies_while_the_channel_thinks_sends_once_more_under_the_same_key() {
    let world = World::with(json!([hook_rule()])).await;
    world.http.answers([Answer::Silence]);
    let alerts = world.start().await;
    alerts.hear(&a_life(world.now())[..1]).await;
    tokio::select! {
        () = alerts.look() => panic!("the channel does not answer"),
        () = crate::bench::until("a message", async || (!world.http.received().is_empty()).then_some(())) => {}
    }
    drop(alerts);
    let alerts = world.start().await;
    // It may still be on its way.
    alerts.look().await;
    assert_eq!(world.http.received().len(), 1);
    world.advance(60_001);
    alerts.look().await;
    alerts.hear(&a_life(world.now())[..1]).await;
    world.advance(60_001);
    alerts.look().await;
    assert_eq!(world.http.keys(), ["all.B0D1XD1ZV3.ES.IT.1", "all.B0D1XD1ZV3.ES.IT.1"]);
    assert_eq!(world.status("all.B0D1XD1ZV3.ES.IT.1").await, DeliveryStatus::Delivered);
}

/// The process dies at every write in turn, once before and once after it arrived; started anew, it reads all again.
#[tokio::test]
async fn wherever_it_dies_everything_is_told_and_at_most_one_message_twice_under_its_key() {
    let rules = json!([hook_rule(), {"id": "digest", "channel": "other", "digest": "1h", "daily_cap": 5}]);
    let mut reached_the_end = false;
    let mut repetitions = 0;
    for at in 0.. {
        if reached_the_end {
            break;
        }
        for arrives in [false, true] {
            let world = World::with(rules.clone()).await;
            let dying = Arc::new(Dying {
                inner: Arc::clone(&world.catalog),
                writes: AtomicUsize::new(0),
                at: Some((at, arrives)),
                died: Notify::new(),
            });
            let events = a_life(world.now());
            let way = async {
                let alerts = world.start_on(dying.clone()).await;
                alerts.hear(&events).await;
                alerts.look().await;
                world.advance(HOUR);
                alerts.look().await;
            };
            tokio::select! {
                () = way => reached_the_end = true,
                () = dying.died.notified() => {}
            }
            // The attempt under way counts as lost after a minute.
            world.advance(61_000);
            let alerts = world.start().await;
            // Rules that were not there yet tell of what happens from now on.
            let created = alerts.rules.current().await.iter().map(|rule| rule.since).max().unwrap();
            let events: Vec<OpportunityEvent> = events
                .into_iter()
                .map(|event| OpportunityEvent {
                    at: event.at.max(created),
                    ..event
                })
                .collect();
            alerts.hear(&events).await;
            for _ in 0..3 {
                alerts.look().await;
                world.advance(HOUR);
            }
            alerts.look().await;

            let mut counts = BTreeMap::<String, usize>::new();
            let mut in_digests = BTreeMap::<String, BTreeSet<String>>::new();
            for received in world.http.received() {
                let body = received.json();
                *counts.entry(received.header("idempotency-key").to_owned()).or_default() += 1;
                if body["kind"] == "digest" {
                    for alert in body["alerts"].as_array().unwrap() {
                        let digests = in_digests.entry(alert["alert_id"].as_str().unwrap().to_owned()).or_default();
                        digests.insert(received.header("idempotency-key").to_owned());
                    }
                }
            }
            let case = format!("write {at}, which arrives: {arrives}: {counts:?}");
            assert_eq!(counts.keys().filter(|key| key.starts_with("all.")).count(), 4, "{case}");
            let repeated: usize = counts.values().map(|count| count - 1).sum();
            assert!(repeated <= 1, "{case}");
            repetitions += repeated;
            assert_eq!(in_digests.len(), 4, "{case}");
            assert!(in_digests.values().all(|digests| digests.len() == 1), "{case}: {in_digests:?}");
            for delivery in world.deliveries().await.values() {
                let is_done = matches!(delivery.status, DeliveryStatus::Delivered | DeliveryStatus::Digested);
                assert!(is_done, "{case}: {delivery:?}");
            }
        }
    }
    // Dying between the channel's answer and its record is one of the cases.
    assert!(repetitions > 0);
}
