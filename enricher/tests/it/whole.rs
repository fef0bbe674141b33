//! The service as it is run: records in the log, products in the catalog, offsets committed.

use shared::adapters::kafka::{Message, Topic};
use shared::domain::{Marketplace, StoredProduct};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::{World, base, config, merged, record, until, update};

#[tokio::test(flavor = "multi_thread")]
async fn records_become_products_and_a_restart_begins_where_it_was() {
    let world = World::new().await;
    assert!(world.folder.path().is_dir());
    let at = base();
    let asins: Vec<String> = (0..40).map(|number| format!("B{number:09}")).collect();
    let records: Vec<_> = (0..200)
        .map(|step: i64| {
            let number = usize::try_from(step).expect("small");
            let marketplace = [Marketplace::DE, Marketplace::FR, Marketplace::IT, Marketplace::ES, Marketplace::UK][number % 5];
            update(&asins[number / 5], marketplace, at + step, 1000 + step)
        })
        .collect();
    let publisher = world.ports.event_log.publisher().expect("a publisher");
    for record in records.iter().chain([&record(0, &asins[0], "not json")]) {
        let message = Message::new(record.key.clone().expect("a key"), record.payload.clone().map(Into::into));
        publisher.publish(Topic::RawUpdates, message).await.expect("published");
    }

    let run = async |world: &World, wait_for: &dyn Fn(usize) -> bool| {
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(enricher::run(config(), world.ports.clone(), shutdown.clone()));
        until("the letters", async || wait_for(world.dead_letters().await.len())).await;
        shutdown.cancel();
        tasks.join_next().await.expect("one task").expect("no panic").expect("a clean end");
    };
    run(&world, &|letters| letters == 1).await;
    let expected = merged(&records);
    let mut before: Vec<StoredProduct> = Vec::new();
    for (asin, product) in &expected {
        let stored = world.stored(asin.as_str()).await.expect("stored");
        assert_eq!(stored.product, *product);
        before.push(stored);
    }
    let published = world.published().await;
    for stored in &before {
        let last = published
            .iter()
            .rev()
            .find(|(asin, _)| *asin == stored.product.asin.as_str())
            .expect("published");
        assert_eq!(last.1, stored.revision);
    }

    // A second life: what was settled stays settled, what is new is taken.
    publisher
        .publish(Topic::RawUpdates, Message::new(asins[0].as_str(), Some(b"[]".to_vec())))
        .await
        .expect("published");
    run(&world, &|letters| letters >= 2).await;
    assert_eq!(world.dead_letters().await.len(), 2, "nothing was read a second time");
    assert_eq!(world.published().await.len(), published.len());
    world.end().await;
}
