//! An index or an alias is missing.

use std::sync::PoisonError;

use shared::adapters::elastic::ElasticCatalog;
use shared::ports::Catalog as _;

use super::script::Fault;
use super::store::Store;
use super::world::{World, base, fault_length, updates};

const MISSING: &str = "misconfigured: index_not_found_exception";

/// What an operator does who has seen the alarm.
async fn prepare(world: &World) {
    ElasticCatalog::connect(world.elastic()).expect("a client").prepare().await.expect("prepared");
}

/// Guard: `require_alias=true` in `bulk::send`; taken out: the index `products` was made by accident.
#[tokio::test(flavor = "multi_thread")]
async fn t18b_a_write_while_the_index_is_missing_makes_none() {
    let world = World::new().await;
    let enricher = world.start();
    enricher.becomes_ready().await;
    // It goes between the read and the write of articles that are new, and before the write of articles that are known.
    for round in 0..2 {
        let committed = world.committed().await;
        let mut once = Some(Fault::After(Box::new(|store: &mut Store| store.delete_index("products-v1"))));
        world.server.products_go_by(move |_| once.take().unwrap_or(Fault::None));
        let at = base() + round;
        world.produce(&updates(0..20, at)).await;
        enricher.is_down_for(MISSING).await;
        tokio::time::sleep(fault_length()).await;
        assert!(!world.server.store().has_index("products"));
        assert!(world.server.store().made_by_accident().is_empty());
        assert_eq!(world.committed().await, committed);
        assert!(world.dead_letters().await.is_empty());
        prepare(&world).await;
        assert!(world.balance().await.is_empty());
        enricher.becomes_ready().await;
    }
    enricher.stop().await;
}

/// Guard: `index_not_found_exception` among the configuration faults of `classify.rs`; taken out: the board says that the
/// catalog is unavailable, which no operator cures.
#[tokio::test(flavor = "multi_thread")]
async fn t40_a_missing_alias_stops_the_partition_until_it_is_there_again() {
    let world = World::new().await;
    let enricher = world.start();
    enricher.becomes_ready().await;
    let at = base();
    world.produce(&updates(0..50, at)).await;
    assert!(world.balance().await.is_empty());
    let committed = world.committed().await;
    world.server.store().delete_alias("products");
    // Known articles are written at once, as they were read before.
    world.produce(&updates(25..100, at + 1)).await;
    enricher.is_down_for(MISSING).await;
    tokio::time::sleep(fault_length()).await;
    assert!(!enricher.is_ready());
    assert_eq!(world.committed().await, committed);
    assert!(!world.server.store().has_index("products"), "made by accident");
    prepare(&world).await;
    assert!(world.balance().await.is_empty());
    enricher.becomes_ready().await;
    enricher.stop().await;
}

/// Guard: as above; and `require_alias=true`, taken out: an index was made by accident.
#[tokio::test(flavor = "multi_thread")]
async fn t40_an_index_deleted_under_load_is_not_made_by_accident_and_is_filled_once_it_is_there() {
    let world = World::new().await;
    let enricher = world.start();
    enricher.becomes_ready().await;
    let at = base();
    world.produce(&updates(0..50, at)).await;
    assert!(world.balance().await.is_empty());
    let committed = world.committed().await;
    world.server.store().delete_index("products-v1");
    world.produce(&updates(0..100, at + 1)).await;
    enricher.is_down_for(MISSING).await;
    tokio::time::sleep(fault_length()).await;
    assert!(!enricher.is_ready());
    assert_eq!(world.committed().await, committed, "nothing was let go");
    assert!(world.dead_letters().await.is_empty());
    assert!(world.server.store().made_by_accident().is_empty());
    prepare(&world).await;
    // What the deleted index held is the operator's loss; what came since is not.
    world.books.lock().unwrap_or_else(PoisonError::into_inner).forget_before(committed);
    assert!(world.balance().await.is_empty());
    assert_eq!(world.products().len(), 100);
    enricher.becomes_ready().await;
    enricher.stop().await;
}
