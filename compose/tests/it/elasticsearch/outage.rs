//! It does not answer, or not to the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shared::adapters::elastic::ElasticConfig;
use shared::domain::Marketplace;

use super::overload::{produce_much, rebalances};
use super::own_process::{alone, metric};
use super::script::Fault;
use super::store::item_error;
use super::world::{World, asin, base, fault_length, until, update, updates};

/// A running enricher has drained and left within this time.
const DRAINED_WITHIN: Duration = Duration::from_secs(15);

/// Guard: the high-water mark at which a partition is paused; taken out: it is never paused, and all of the topic is read
/// into memory.
#[tokio::test(flavor = "multi_thread")]
async fn t04_a_catalog_that_refuses_connections_is_waited_for_inside_the_group() {
    alone(
        "elasticsearch::outage::t04_a_catalog_that_refuses_connections_is_waited_for_inside_the_group",
        async || {
            let world = World::new().await;
            let enricher = world.start();
            enricher.becomes_ready().await;
            let at = base();
            world.produce(&updates(0..10, at)).await;
            assert!(world.balance().await.is_empty());
            let (before, committed) = (rebalances(), world.committed().await);
            world.server.stop().await;
            produce_much(&world, at).await;
            until("the partition is paused", async || metric("partitions_paused", &[]) > 0.0).await;
            until("the lag is seen", async || metric("consumer_lag", &[]) > 0.0).await;
            let seen = metric("consumer_lag", &[]);
            world.produce(&updates(0..10, at + 1)).await;
            until("it grows", async || {
                metric("consumer_lag", &[]) > seen && metric("consumer_lag_seconds", &[]) > 2.0
            })
            .await;
            enricher.is_down_for("Connection refused").await;
            tokio::time::sleep(fault_length()).await;
            assert_eq!(world.committed().await, committed, "nothing was let go");
            world.server.resume().await;
            assert!(world.balance().await.is_empty());
            enricher.becomes_ready().await;
            until("the lag is gone", async || metric("consumer_lag", &[]) == 0.0).await;
            assert_eq!(rebalances(), before, "the partition stayed where it was");
            enricher.stop().await;
        },
    )
    .await;
}

/// Guard: the transport's time limit; taken out: the first request is never given up.
#[tokio::test(flavor = "multi_thread")]
async fn t05_a_catalog_that_never_answers_is_retried_and_does_not_hold_up_the_shutdown() {
    let world = World::new().await;
    let impatient = ElasticConfig {
        request_timeout: Duration::from_millis(300),
        ..world.elastic()
    };
    let enricher = world.start_with(&[], impatient);
    enricher.becomes_ready().await;
    world.server.products_go_by(|_| Fault::Hang);
    world.produce(&updates(0..20, base())).await;
    until("it is tried again", async || world.server.product_writes().len() >= 3).await;
    enricher.is_down_for("unavailable").await;
    world.assert_nothing_unsettled_was_let_go().await;
    assert_eq!(world.committed().await, 0);
    let took = enricher.stop().await;
    assert!(took < DRAINED_WITHIN, "{took:?}");

    // A time limit of a minute holds nothing up either.
    let patient = ElasticConfig {
        request_timeout: Duration::from_secs(60),
        ..world.elastic()
    };
    let sent = world.server.product_writes().len();
    let enricher = world.start_with(&[], patient);
    until("it is tried", async || world.server.product_writes().len() > sent).await;
    let took = enricher.stop().await;
    assert!(took < DRAINED_WITHIN, "{took:?}");
    assert_eq!(world.committed().await, 0);

    world.server.heal();
    let enricher = world.start();
    assert!(world.balance().await.is_empty());
    enricher.stop().await;
}

/// Guard: `if_seq_no` and `create` of every write; taken out (`index` without a condition): revisions are applied twice.
#[tokio::test(flavor = "multi_thread")]
async fn t43_a_node_that_leaves_in_the_middle_of_a_bulk_costs_no_second_revision() {
    let world = World::new().await;
    let other = world.server.another_node().await;
    // The shard of every second article moves; then a node goes without an answer; then all is well.
    let round = Arc::new(AtomicUsize::new(0));
    for node in [&world.server, &other] {
        let round = Arc::clone(&round);
        node.products_go_by(move |_| match round.fetch_add(1, Ordering::SeqCst) {
            0..=1 => Fault::Items(Box::new(|item| {
                let moves = item.id.as_bytes()[9].is_multiple_of(2);
                moves.then(|| item_error(503, "unavailable_shards_exception", "primary shard is not active"))
            })),
            2 => Fault::CutAfterwards,
            _ => Fault::None,
        });
    }
    let at = base();
    world.produce(&updates(0..50, at)).await;
    let both = ElasticConfig {
        urls: vec![world.server.url(), other.url()],
        ..world.elastic()
    };
    let enricher = world.start_with(&[], both);
    assert!(world.balance().await.is_empty());
    assert!(round.load(Ordering::SeqCst) > 3, "it was not cut");
    world.server.stop().await;
    world.produce(&updates(0..50, at + 1)).await;
    assert!(world.balance().await.is_empty());
    for number in 0..50 {
        let revisions = world.server.store().revisions(&asin(number));
        assert!(revisions.len() <= 2 && revisions.is_sorted_by(|a, b| a < b), "{number}: {revisions:?}");
    }
    assert!(!other.product_writes().is_empty());
    enricher.stop().await;
}

/// Guard: as of T43; taken out: the same revision is applied a second time.
#[tokio::test(flavor = "multi_thread")]
async fn t44_a_connection_cut_before_the_answer_makes_the_revision_grow_once() {
    let world = World::new().await;
    let enricher = world.start();
    enricher.becomes_ready().await;
    let at = base();
    for (round, fault) in [0, 1, 2].into_iter().enumerate() {
        let mut once = Some(match fault {
            0 => Fault::CutAfterwards,
            1 => Fault::Truncated(25),
            _ => Fault::Cut,
        });
        world.server.products_go_by(move |_| once.take().unwrap_or(Fault::None));
        let sent = world.server.product_writes().len();
        world
            .produce(&[update(1, Marketplace::DE, at + i64::try_from(round).expect("few"), 5000)])
            .await;
        assert!(world.balance().await.is_empty());
        assert!(world.server.product_writes().len() >= sent + 2, "it was sent again");
        let applied = world.server.store().revisions(&asin(1));
        assert_eq!(applied.len(), round + 1, "{applied:?}");
    }
    let published: Vec<i64> = world.published().await.into_iter().map(|(_, revision)| revision).collect();
    assert_eq!(published, world.server.store().revisions(&asin(1)), "each revision was published, once");
    enricher.stop().await;
}
