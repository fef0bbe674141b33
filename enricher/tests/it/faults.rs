//! What holds while the catalog or the event log fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use shared::adapters::kafka::{Lease, LeaseLost};
use shared::domain::{Marketplace, StoredProduct};
use shared::ports::Catalog as _;
use shared::ports::catalog::{CatalogError, Condition, Write};
use tokio::task::JoinSet;

use crate::harness::{Fault, World, base, batch, config, is_down_for, merged, put_off, record, refused, until, update, version_of, worker_of};

const A: &str = "B0D1XD1ZV3";

fn asins(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("B{number:09}")).collect()
}

fn unavailable() -> CatalogError {
    CatalogError::Unavailable { reason: "on purpose".into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_write_and_publish_hides_nothing() {
    let world = World::new().await;
    let records = batch(vec![update(A, Marketplace::DE, base(), 5000)]);

    // The first owner writes, and dies before anything is confirmed.
    let dead = world.with_dead_event_log();
    let lease = Lease::for_test(0);
    let mut first = worker_of(&dead, config(), lease.clone());
    let mut tasks = JoinSet::new();
    let taken = records.clone();
    tasks.spawn(async move { first.settle(taken).await });
    until("the write", async || world.stored(A).await.is_some()).await;
    until("the trouble", async || is_down_for(&dead.health, "did not confirm")).await;
    lease.end();
    assert_eq!(tasks.join_next().await.expect("one task").expect("no panic"), Err(LeaseLost));
    let written = world.stored(A).await.expect("written");
    assert!(world.published().await.is_empty());

    // The next owner starts with the same batch.
    world.worker().settle(records).await.expect("settled");
    assert_eq!(world.stored(A).await, Some(written.clone()), "the revision is unchanged");
    assert_eq!(world.published().await, [(A.to_owned(), written.revision)]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_that_nobody_takes_hold_the_partition() {
    let world = World::new().await;
    let dead = world.with_dead_event_log();
    let lease = Lease::for_test(0);
    let mut worker = worker_of(&dead, config(), lease.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { worker.settle(batch(vec![record(0, A, "not json")])).await });
    until("the trouble", async || is_down_for(&dead.health, "raw.keepa_updates.dlq")).await;
    assert!(tasks.try_join_next().is_none(), "not settled");
    lease.end();
    assert_eq!(tasks.join_next().await.expect("one task").expect("no panic"), Err(LeaseLost));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_wrote_is_merged_and_not_overwritten() {
    let world = World::new().await;
    let at = base();
    let other = update(A, Marketplace::IT, at + 5, 7000);
    let own = update(A, Marketplace::DE, at + 1, 5000);
    let theirs = StoredProduct {
        product: merged(std::slice::from_ref(&other)).remove(&A.parse().expect("an ASIN")).expect("decoded"),
        revision: at,
        listing: shared::domain::Listing::default(),
    };
    let mut others = Some(vec![Write {
        value: theirs,
        condition: Condition::Absent,
    }]);
    world.catalog.go_by(move |_| others.take().map_or(Fault::None, Fault::After));
    let mut worker = world.worker();
    worker.settle(batch(vec![own.clone()])).await.expect("settled");
    let stored = world.stored(A).await.expect("stored");
    assert_eq!(
        stored.product,
        merged(&[own.clone(), other]).remove(&A.parse().expect("an ASIN")).expect("merged")
    );
    assert!(stored.revision > at);
    assert_eq!(world.published().await, [(A.to_owned(), stored.revision)]);

    // A warm cache that somebody else made stale.
    let read = world
        .catalog
        .inner
        .read_products(&[A.parse().expect("an ASIN")])
        .await
        .expect("read")
        .remove(0)
        .expect("there");
    let newer = update(A, Marketplace::ES, at + 9, 3000);
    let mut theirs = read.value.clone();
    theirs
        .product
        .merge(&merged(std::slice::from_ref(&newer)).remove(&A.parse().expect("an ASIN")).expect("decoded"));
    theirs.revision += 1;
    let outcome = world
        .catalog
        .inner
        .write_products(&[Write {
            value: theirs,
            condition: Condition::Unchanged(read.version),
        }])
        .await;
    version_of(&outcome.expect("written")[0]);
    worker.settle(batch(vec![update(A, Marketplace::DE, at + 10, 4000)])).await.expect("settled");
    let stored = world.stored(A).await.expect("stored");
    let prices: Vec<_> = stored.listing.prices.into_iter().collect();
    assert_eq!(prices, [(Marketplace::DE, 4000), (Marketplace::IT, 7000), (Marketplace::ES, 3000)]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_owners_at_once_lose_nothing() {
    let world = World::new().await;
    let at = base();
    let asins = asins(5);
    let record_of = |step: i64| {
        let number = usize::try_from(step).expect("small");
        update(&asins[number % 5], [Marketplace::DE, Marketplace::FR][number % 2], at + step, 1000 + step)
    };
    let records: Vec<_> = (0..80).map(record_of).collect();
    let mut tasks = JoinSet::new();
    // Both see everything, in opposite order.
    for reverse in [false, true] {
        let mut mine = records.clone();
        if reverse {
            mine.reverse();
        }
        let mut worker = world.worker();
        tasks.spawn(async move {
            for some in mine.chunks(7) {
                worker.settle(batch(some.to_vec())).await.expect("settled");
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no panic");
    }
    for (asin, product) in merged(&records) {
        assert_eq!(world.stored(asin.as_str()).await.expect("stored").product, product);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_items_that_were_put_off_are_sent_again() {
    let world = World::new().await;
    let at = base();
    let all = asins(4);
    let mut round = 0;
    world.catalog.go_by(move |writes| {
        round += 1;
        // The second and third item twice, then one of them once more.
        Fault::Items(match round {
            1 => vec![None, Some(put_off()), Some(put_off()), None],
            2 => vec![Some(put_off()), Some(put_off())],
            3 => vec![None, Some(put_off())],
            _ => vec![None; writes.len()],
        })
    });
    let records = all.iter().map(|asin| update(asin, Marketplace::DE, at, 5000)).collect();
    world.worker().settle(batch(records)).await.expect("settled");
    let expected = [all.clone(), all[1..3].to_vec(), all[1..3].to_vec(), all[2..3].to_vec()];
    assert_eq!(world.catalog.calls(), expected);
    assert_eq!(world.published().await.len(), 4);
    assert!(world.dead_letters().await.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_unknown_outcome_is_repeated_and_the_revision_grows_once() {
    let world = World::new().await;
    let mut round = 0;
    let revisions: Arc<std::sync::Mutex<Vec<i64>>> = Arc::default();
    let seen = Arc::clone(&revisions);
    world.catalog.go_by(move |writes| {
        round += 1;
        seen.lock().expect("not poisoned").push(writes[0].value.revision);
        match round {
            1 => Fault::Fails(unavailable()),
            2 => Fault::FailsAfterwards(unavailable()),
            _ => Fault::None,
        }
    });
    world
        .worker()
        .settle(batch(vec![update(A, Marketplace::DE, base(), 5000)]))
        .await
        .expect("settled");
    let revisions = revisions.lock().expect("not poisoned").clone();
    assert_eq!(revisions.len(), 3);
    assert!(revisions.iter().all(|&revision| revision == revisions[0]), "the very same write: {revisions:?}");
    assert_eq!(world.stored(A).await.expect("stored").revision, revisions[0]);
    assert_eq!(world.published().await, [(A.to_owned(), revisions[0])]);
    assert!(!world.is_down_for(""), "it is up again");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misconfigured_catalog_keeps_the_records_and_is_not_ready_until_cured() {
    let world = World::new().await;
    let cured = Arc::new(AtomicBool::new(false));
    let is_cured = Arc::clone(&cured);
    world.catalog.go_by(move |_| {
        if is_cured.load(Ordering::SeqCst) {
            return Fault::None;
        }
        Fault::Fails(CatalogError::Misconfigured {
            reason: "401 for everybody".into(),
        })
    });
    let mut worker = world.worker();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { worker.settle(batch(vec![update(A, Marketplace::DE, base(), 5000)])).await });
    until("the trouble", async || world.is_down_for("401 for everybody")).await;
    assert!(tasks.try_join_next().is_none());
    cured.store(true, Ordering::SeqCst);
    assert_eq!(tasks.join_next().await.expect("one task").expect("no panic"), Ok(()));
    assert!(world.stored(A).await.is_some() && !world.is_down_for(""));
    assert!(world.dead_letters().await.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_the_catalog_ends_with_the_lease() {
    let world = World::new().await;
    world.catalog.go_by(|_| Fault::Fails(unavailable()));
    let lease = Lease::for_test(0);
    let mut worker = worker_of(&world.ports, config(), lease.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { worker.settle(batch(vec![update(A, Marketplace::DE, base(), 5000)])).await });
    until("the trouble", async || world.is_down_for("on purpose")).await;
    lease.end();
    assert_eq!(tasks.join_next().await.expect("one task").expect("no panic"), Err(LeaseLost));
    assert!(!world.is_down_for(""), "a partition that is gone is no trouble of this member");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_record_of_a_folded_document_is_alone_in_the_dead_letters() {
    use Marketplace::{DE, ES, FR, IT, UK};
    let world = World::new().await;
    let at = base();
    world.catalog.go_by(|writes| {
        let poisoned = |write: &Write<StoredProduct>| write.value.listing.prices.values().any(|&price| price == 666);
        Fault::Items(writes.iter().map(|write| poisoned(write).then(refused)).collect())
    });
    let mut records: Vec<_> = [DE, FR, IT, ES, UK]
        .map(|marketplace| update(A, marketplace, at + 1, if marketplace == FR { 666 } else { 5000 }))
        .into();
    records.extend(asins(20).iter().map(|asin| update(asin, DE, at, 5000)));
    let records = batch(records);
    world.worker().settle(records.clone()).await.expect("settled");

    let stored = world.stored(A).await.expect("stored");
    assert_eq!(stored.product.markets.keys().copied().collect::<Vec<_>>(), [UK, DE, IT, ES]);
    for asin in asins(20) {
        assert!(world.stored(&asin).await.is_some(), "{asin}");
    }
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].payload, records[1].payload);
    assert_eq!(letters[0].header("dlq.error.class"), Some(&b"catalog"[..]));
    assert_eq!(letters[0].header("dlq.offset"), Some(&b"1"[..]));
    // Written one by one, and published before the next write.
    let of_a: Vec<i64> = world
        .published()
        .await
        .into_iter()
        .filter(|(asin, _)| asin == A)
        .map(|(_, revision)| revision)
        .collect();
    assert_eq!(of_a.len(), 4);
    assert!(of_a.is_sorted() && of_a[3] == stored.revision);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_undecodable_records_halts_the_partition() {
    let world = World::new().await;
    let mut slow = config();
    slow.machine.dead_letter_pause = std::time::Duration::from_secs(3_600);
    let lease = Lease::for_test(0);
    let mut worker = worker_of(&world.ports, slow, lease.clone());
    let mut records: Vec<_> = (0..300).map(|_| record(0, A, "not json")).collect();
    records.push(update(A, Marketplace::DE, base(), 5000));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { worker.settle(batch(records)).await });
    until("the halt", async || world.is_down_for("halted")).await;
    until("the letters", async || world.dead_letters().await.len() == 100).await;
    until("the product, which is not held up by it", async || world.stored(A).await.is_some()).await;
    assert!(tasks.try_join_next().is_none(), "the offset stays");
    lease.end();
    assert_eq!(tasks.join_next().await.expect("one task").expect("no panic"), Err(LeaseLost));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_refuses_everything_halts_and_heals_without_loss() {
    let world = World::new().await;
    let at = base();
    let cured = Arc::new(AtomicBool::new(false));
    let refusals = Arc::new(AtomicUsize::new(0));
    let (is_cured, count) = (Arc::clone(&cured), Arc::clone(&refusals));
    world.catalog.go_by(move |writes| {
        if is_cured.load(Ordering::SeqCst) {
            return Fault::None;
        }
        count.fetch_add(1, Ordering::SeqCst);
        Fault::Items(writes.iter().map(|_| Some(refused())).collect())
    });
    let asins = asins(250);
    let records = batch(asins.iter().map(|asin| update(asin, Marketplace::DE, at, 5000)).collect());
    let mut slow = config();
    slow.machine.dead_letter_pause = std::time::Duration::from_secs(1);
    let mut worker = worker_of(&world.ports, slow, Lease::for_test(0));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { worker.settle(records).await });
    until("the halt", async || world.is_down_for("halted")).await;
    cured.store(true, Ordering::SeqCst);
    assert_eq!(tasks.join_next().await.expect("one task").expect("no panic"), Ok(()));
    // The halt let no more than the window's limit go; the rest was written once the catalog took it.
    let letters = world.dead_letters().await.len();
    let mut stored = 0;
    for asin in &asins {
        stored += usize::from(world.stored(asin).await.is_some());
    }
    assert_eq!((letters, stored), (100, 150));
    assert!(!world.is_down_for("on purpose"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_that_is_really_bad_drains_slowly() {
    let world = World::new().await;
    let records: Vec<_> = (0..110).map(|_| record(0, A, "not json")).collect();
    let mut worker = world.worker();
    worker.settle(batch(records)).await.expect("settled");
    assert_eq!(world.dead_letters().await.len(), 110);
    assert!(world.is_down_for("halted"), "still loud");
    // What is good again makes it go on.
    let good = (0..120).map(|step| update(A, Marketplace::DE, base() + step, 5000)).collect();
    worker.settle(batch(good)).await.expect("settled");
    assert!(!world.is_down_for(""));
    world.end().await;
}
