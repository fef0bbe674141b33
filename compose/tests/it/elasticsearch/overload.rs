//! It has too much to do, or is given too much at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::domain::Marketplace;

use super::own_process::{alone, metric, resident_bytes};
use super::script::Fault;
use super::store::item_error;
use super::world::{World, asin, base, fault_length, until, update, updates};

/// Records that are held in memory at most, and what their work takes.
const MEMORY: usize = 160 * 1024 * 1024;

/// Guard: `WriteOutcome::Retry` of one item in `classify_item`; taken out (the whole call is of unknown outcome): items that
/// were written are sent again.
#[tokio::test(flavor = "multi_thread")]
async fn t02_items_that_were_put_off_are_sent_again_and_no_others() {
    alone(
        "elasticsearch::overload::t02_items_that_were_put_off_are_sent_again_and_no_others",
        async || {
            let world = World::new().await;
            // Every third article is put off as often as its last digit says.
            let put_off: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
            let counted = Arc::clone(&put_off);
            let times = |id: &str| {
                if id.as_bytes()[9].is_ascii_digit() {
                    usize::from(id.as_bytes()[9] - b'0') % 4
                } else {
                    0
                }
            };
            world.server.products_go_by(move |_| {
                let counted = Arc::clone(&counted);
                Fault::Items(Box::new(move |item| {
                    let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
                    let so_far = counted.entry(item.id.clone()).or_default();
                    (*so_far < times(&item.id)).then(|| {
                        *so_far += 1;
                        item_error(429, "es_rejected_execution_exception", "the queue is full")
                    })
                }))
            });
            let at = base();
            world.produce(&updates(0..60, at)).await;
            let enricher = world.start();
            assert!(world.balance().await.is_empty());
            for number in 0..60 {
                let id = asin(number);
                let sent = world.server.product_writes().iter().flatten().filter(|sent| **sent == id).count();
                assert_eq!(sent, 1 + times(&id), "{id} was sent {sent} times");
                assert_eq!(world.server.store().revisions(&id).len(), 1, "{id}");
            }
            // A second round for the same articles: their order is kept.
            world.produce(&updates(0..60, at + 1)).await;
            assert!(world.balance().await.is_empty());
            assert_eq!(metric("records_settled_total", &[("outcome", "written")]), 120.0, "each record is counted once");
            assert_eq!(metric("records_settled_total", &[]), 120.0);
            enricher.stop().await;
        },
    )
    .await;
}

/// Guard: 429 of a whole request is an unknown outcome in `classify_bulk`; taken out (it is halved like 413): dead letters.
#[tokio::test(flavor = "multi_thread")]
async fn t03_an_overloaded_catalog_costs_neither_memory_nor_membership() {
    alone(
        "elasticsearch::overload::t03_an_overloaded_catalog_costs_neither_memory_nor_membership",
        async || {
            let world = World::new().await;
            let enricher = world.start();
            enricher.becomes_ready().await;
            let at = base();
            world.produce(&updates(0..10, at)).await;
            assert!(world.balance().await.is_empty());
            let before = (rebalances(), resident_bytes());
            world
                .server
                .go_by(|_| Fault::error(429, "es_rejected_execution_exception", "rejected execution of coordinating operation"));
            produce_much(&world, at).await;
            until("the partition is paused", async || metric("partitions_paused", &[]) > 0.0).await;
            let paused = resident_bytes();
            tokio::time::sleep(fault_length()).await;
            let at_the_end = resident_bytes();
            assert!(at_the_end < paused + MEMORY / 4, "{paused} bytes became {at_the_end}");
            assert!(at_the_end < before.1 + MEMORY, "{} bytes became {at_the_end}", before.1);
            assert!(!enricher.is_ready());
            world.assert_nothing_unsettled_was_let_go().await;
            world.server.heal();
            assert!(world.balance().await.is_empty());
            enricher.becomes_ready().await;
            assert_eq!(rebalances(), before.0, "the partition stayed where it was");
            enricher.stop().await;
        },
    )
    .await;
}

/// More than a partition holds: its high-water mark is 16 MiB.
pub(super) async fn produce_much(world: &World, at: i64) {
    let much = (0..800).map(|number| {
        let mut update = update(number % 200, Marketplace::FR, at + i64::try_from(number).expect("few"), 7000);
        update.ballast = 40_000;
        update
    });
    world.produce(&much.collect::<Vec<_>>()).await;
}

pub(super) fn rebalances() -> f64 {
    metric("rebalances_total", &[])
}

/// Guard: `BulkOutcome::Halve` for 413 in `classify_bulk`; taken out (an unknown outcome): the batch is sent for ever.
#[tokio::test(flavor = "multi_thread")]
async fn t10_a_request_over_the_limit_is_halved_and_a_document_over_it_is_a_dead_letter() {
    const LIMIT: usize = 16 * 1024;
    let world = World::new().await;
    world.server.products_go_by(|request| {
        if request.body.len() > LIMIT {
            return Fault::Answer(413, String::new());
        }
        Fault::None
    });
    let at = base();
    let mut all = updates(0..200, at);
    // One article is too large by one of its two marketplaces.
    all[77].title = "x".repeat(LIMIT);
    all.push(update(77, Marketplace::IT, at, 6000));
    world.produce(&all).await;
    let enricher = world.start();
    let letters = world.balance().await;
    assert_eq!(letters.len(), 1, "the oversized record alone");
    assert_eq!(letters[0].header("dlq.error.class"), Some(&b"catalog"[..]));
    assert_eq!(letters[0].payload.as_deref(), Some(&*all[77].payload()));
    assert_eq!(world.products().len(), 200, "the article's other marketplace is there");
    let requests = world.server.product_writes().len();
    assert!(requests < 150, "{requests} requests for 200 documents of which 15 or so fit into one");
    let oversized = world.server.product_writes().iter().flatten().filter(|id| **id == asin(77)).count();
    assert!(oversized < 30, "it was sent {oversized} times");
    enricher.stop().await;
}

/// Guard: `CALL_BYTES` and `MAX_BYTES`; both without a bound: the one request holds all.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_never_larger_than_five_megabytes() {
    let world = World::new().await;
    let at = base();
    let mut large = updates(0..250, at);
    for update in &mut large {
        update.title = "long ".repeat(8_000);
    }
    world.produce(&large).await;
    let enricher = world.start();
    assert!(world.balance().await.is_empty());
    let largest = world.server.requests().iter().map(|request| request.body.len()).max();
    // And yet large, else this proves little.
    assert!(
        largest.is_some_and(|largest| largest > 1024 * 1024 && largest <= 5 * 1024 * 1024),
        "{largest:?} bytes"
    );
    assert!(enricher.stop().await < Duration::from_secs(10));
}
