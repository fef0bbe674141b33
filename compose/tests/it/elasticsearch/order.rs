//! The order of writes and answers decides nothing.

use std::time::Duration;

use shared::domain::{Marketplace, Source};

use super::own_process::{alone, metric};
use super::script::Fault;
use super::world::{World, asin, base, until, update, updates};
use crate::independent::Dice;

/// Guard: `if_seq_no` and `create` of every write; taken out (`index` without a condition): a marketplace goes back.
#[tokio::test(flavor = "multi_thread")]
async fn t12_the_newest_observation_wins_whoever_writes_last_and_whoever_is_answered_first() {
    let world = World::new().await;
    let beside = world.beside().await;
    let at = base();
    // Two writers of the same ten articles, each with half of the observations of each marketplace, in no order.
    let mut dice = Dice(7);
    let mut both = [Vec::new(), Vec::new()];
    for step in 0..400 {
        let number = usize::try_from(dice.roll(10)).expect("few");
        let marketplace = [Marketplace::DE, Marketplace::FR, Marketplace::IT][usize::try_from(dice.roll(3)).expect("few")];
        let minutes = i64::try_from(dice.roll(200)).expect("few");
        both[step % 2].push(update(number, marketplace, at - minutes * 60_000, 1_000 + minutes));
    }
    // Answers come late and out of order; what is written is written at once.
    for (seed, node) in [(1, &world.server), (2, &beside.server)] {
        let mut dice = Dice(seed);
        node.products_go_by(move |_| Fault::Late(Duration::from_millis(dice.roll(60))));
    }
    let small = [("ENRICHER_BATCH_PRODUCTS", "3")];
    let first = world.start_with(&small, world.elastic());
    let second = beside.start_with(&small, beside.elastic());
    for (here, there) in both[0].chunks(25).zip(both[1].chunks(25)) {
        tokio::join!(world.produce(here), beside.produce(there));
    }
    world.settled().await;
    beside.settled().await;
    for update in both.iter().flatten() {
        let newest = both
            .iter()
            .flatten()
            .filter(|other| other.asin == update.asin && other.marketplace == update.marketplace);
        let newest = newest.max_by_key(|other| other.fetched_at).expect("itself at least");
        let stored = &world.products()[&update.asin];
        let state = &stored.product.markets[&update.marketplace][Source::Keepa];
        assert_eq!(state.latest.fetched_at.0, newest.fetched_at, "{} {}", update.asin, update.marketplace);
        assert_eq!(stored.listing.prices.get(&update.marketplace), Some(&newest.price));
    }
    for number in 0..10 {
        let revisions = world.server.store().revisions(&asin(number));
        assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    }
    assert!(world.dead_letters().await.is_empty() && beside.dead_letters().await.is_empty());
    first.stop().await;
    second.stop().await;
}

/// Guard: a fold that changes nothing is not written; taken out: documents are written again.
#[tokio::test(flavor = "multi_thread")]
async fn t13_a_topic_read_again_from_its_beginning_changes_nothing() {
    alone("elasticsearch::order::t13_a_topic_read_again_from_its_beginning_changes_nothing", async || {
        let world = World::new().await;
        let at = base();
        for step in 0..3 {
            world.produce(&updates(0..200, at + step)).await;
        }
        let enricher = world.start();
        assert!(world.balance().await.is_empty());
        enricher.stop().await;
        let before = (world.products(), world.server.store().applied(), metric("records_settled_total", &[]));
        assert_eq!(before.2, 600.0);
        world.rewind().await;
        assert_eq!(world.committed().await, 0);
        let enricher = world.start();
        assert!(world.balance().await.is_empty());
        until("all is counted", async || metric("records_settled_total", &[]) >= 1_200.0).await;
        assert_eq!(world.products(), before.0, "contents and revisions");
        assert_eq!(world.server.store().applied(), before.1, "nothing was written");
        let again = metric("records_settled_total", &[("outcome", "stale")]) + metric("records_settled_total", &[("outcome", "unchanged")]);
        assert!(again >= 600.0, "{again} were stale or unchanged");
        enricher.stop().await;
    })
    .await;
}
