//! The process dies after each step of a record's way, and where the catalog has written and not yet answered.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shared::adapters::kafka::{EventLog, EventLogConfig};
use shared::crash::CrashPoint;
use shared::domain::Marketplace;
use tokio::process::{Child, Command};

use super::script::Fault;
use super::world::{PATIENCE, Update, World, base, elastic_at, start_over, update};

/// Says to the process that is to die where the event log and the catalog are.
const EVENT_LOG: &str = "CRASH_EVENT_LOG";
const PREFIX: &str = "CRASH_TOPIC_PREFIX";
const CATALOG: &str = "CRASH_CATALOG";
/// The `fail` crate's own variable.
const WHERE: &str = "FAILPOINTS";
const ARTICLES: i64 = 60;
/// At which time of passing a point the process dies.
const TIMES: [usize; 3] = [1, 2, 4];

/// This very test binary, running an enricher that dies at a point or is killed.
fn doomed(world: &World, at: Option<(CrashPoint, usize)>) -> Child {
    let binary = std::env::current_exe().expect("a test runs in a binary");
    let mut command = Command::new(binary);
    command
        .args(["elasticsearch::crash_points::an_enricher_that_is_to_die", "--exact", "--ignored", "--nocapture"])
        .env(EVENT_LOG, &world.config.brokers)
        .env(PREFIX, &world.config.topic_prefix)
        .env(CATALOG, world.server.url().as_str())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if let Some((point, time)) = at {
        command.env(WHERE, format!("{}={}*off->return", point.name(), time - 1));
    }
    command.spawn().expect("it starts")
}

/// The process of [`doomed`].
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by other tests, as a process of its own"]
async fn an_enricher_that_is_to_die() {
    let (Ok(brokers), Ok(url)) = (std::env::var(EVENT_LOG), std::env::var(CATALOG)) else {
        return;
    };
    let _points = fail::FailScenario::setup();
    let log = EventLog::new(EventLogConfig {
        brokers,
        topic_prefix: std::env::var(PREFIX).expect("it is set beside"),
        partitions: 1,
        embedded: true,
        client_id: "doomed".into(),
        ..EventLogConfig::default()
    });
    let _enricher = start_over(log, &[], elastic_at(url.parse().expect("a URL")));
    std::future::pending::<()>().await;
}

/// Goes on producing: prices that move, one of them twice, an older one, and what is no product.
struct Production {
    step: i64,
    began: i64,
}

impl Production {
    fn new() -> Production {
        Production { step: 0, began: base() }
    }

    async fn step(&mut self, world: &World) {
        self.step += 1;
        let at = self.began + self.step * 100;
        let article = |of: i64| usize::try_from((self.step * 3 + of) % ARTICLES).expect("small");
        let mut updates: Vec<Update> = (0..3).map(|of| update(article(of), Marketplace::DE, at, 5_000 + self.step)).collect();
        // Every third article always comes with its history.
        updates[0].has_history = true;
        updates.push(update(article(0), Marketplace::ES, at, 4_000 + self.step));
        updates.push(updates[0].clone());
        updates.push(update(article(1), Marketplace::DE, at - 50, 1));
        world.produce_garbage("B000000001").await;
        world.produce(&updates).await;
    }

    /// Until the process has died.
    async fn until_ended(&mut self, world: &World, child: &mut Child) -> ExitStatus {
        let producing = async {
            loop {
                self.step(world).await;
                if let Some(status) = child.try_wait().expect("it ran") {
                    return status;
                }
            }
        };
        tokio::time::timeout(PATIENCE, producing).await.expect("it dies in time")
    }
}

/// Guard: the offset goes after the publication, and what is met again is published again (`fold.rs`, `machine/partition.rs`);
/// taken out (offset stored with the write): a revision was never published.
#[tokio::test(flavor = "multi_thread")]
async fn t01_a_process_that_dies_after_any_step_loses_nothing() {
    let mut world = World::new().await;
    let mut production = Production::new();
    for point in CrashPoint::ALL {
        for time in TIMES {
            let mut child = doomed(&world, Some((point, time)));
            let status = production.until_ended(&world, &mut child).await;
            assert!(status.code().is_none(), "{point:?} was not passed {time} times: {status}");
            // The next one does not wait for the dead member: the broker has forgotten it.
            world = world.restart_event_log().await;
            world.assert_nothing_unsettled_was_let_go().await;
        }
    }
    let enricher = world.start();
    let letters = world.balance().await;
    assert!(!letters.is_empty());
    enricher.stop().await;
}

/// Guard: a call of unknown outcome is not taken for a failed one; taken out (revision grown at each try): it grows twice.
#[tokio::test(flavor = "multi_thread")]
async fn t01_a_process_that_dies_before_the_answer_to_a_write_loses_nothing() {
    let mut world = World::new().await;
    let mut production = Production::new();
    for round in 1..=3 {
        let held_back = Arc::new(AtomicBool::new(false));
        let (mut writes, holds_back) = (0, Arc::clone(&held_back));
        world.server.products_go_by(move |_| {
            writes += 1;
            if writes < round {
                return Fault::None;
            }
            holds_back.store(true, Ordering::SeqCst);
            Fault::Late(Duration::from_secs(3_600))
        });
        let before = world.server.store().applied();
        let mut child = doomed(&world, None);
        let is_held_back = || held_back.load(Ordering::SeqCst) && world.server.store().applied() > before;
        let producing = async {
            while !is_held_back() {
                production.step(&world).await;
            }
        };
        tokio::time::timeout(PATIENCE, producing).await.expect("a write is not answered in time");
        child.kill().await.expect("it still ran");
        world.server.heal();
        world = world.restart_event_log().await;
        world.assert_nothing_unsettled_was_let_go().await;
    }
    let enricher = world.start();
    world.balance().await;
    enricher.stop().await;
}
