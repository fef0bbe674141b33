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
use super::world::{PATIENCE, Update, World, base, elastic_at, start_over, until, update};

/// Says to the process that is to die where the event log and the catalog are.
const EVENT_LOG: &str = "CRASH_EVENT_LOG";
const PREFIX: &str = "CRASH_TOPIC_PREFIX";
const CATALOG: &str = "CRASH_CATALOG";
/// The `fail` crate's own variable.
const WHERE: &str = "FAILPOINTS";
const ARTICLES: usize = 12;
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

/// Enough that every point is passed some times: prices that move, a price twice, an older one, and what is no product.
async fn produce(world: &World, round: i64) {
    let at = base() + round * 1_000;
    let mut updates: Vec<Update> = (0..ARTICLES).map(|number| update(number, Marketplace::DE, at, 5_000 + round)).collect();
    updates.extend((0..ARTICLES / 2).map(|number| update(number, Marketplace::ES, at + 1, 4_000 + round)));
    updates.push(update(0, Marketplace::DE, at, 5_000 + round));
    updates.push(update(1, Marketplace::DE, at - 500, 1));
    // In pieces, so that there are several calls, and several letters.
    for some in updates.chunks(5) {
        world.produce_garbage("B000000001").await;
        world.produce(some).await;
    }
}

async fn ends(mut child: Child) -> ExitStatus {
    tokio::time::timeout(PATIENCE, child.wait()).await.expect("it dies in time").expect("it ran")
}

/// Guard: the offset goes after the publication, and what is met again is published again (`fold.rs`, `machine/partition.rs`);
/// taken out (offset stored with the write): a revision was never published.
#[tokio::test(flavor = "multi_thread")]
async fn t01_a_process_that_dies_after_any_step_loses_nothing() {
    let mut world = World::new().await;
    let mut round = 0;
    for point in CrashPoint::ALL {
        for time in TIMES {
            round += 1;
            produce(&world, round).await;
            let status = ends(doomed(&world, Some((point, time)))).await;
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
    for round in 1..=3 {
        produce(&world, round).await;
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
        until("the write that is not answered", async || {
            held_back.load(Ordering::SeqCst) && world.server.store().applied() > before
        })
        .await;
        child.start_kill().expect("it still runs");
        ends(child).await;
        world.server.heal();
        world = world.restart_event_log().await;
        world.assert_nothing_unsettled_was_let_go().await;
    }
    let enricher = world.start();
    world.balance().await;
    enricher.stop().await;
}
