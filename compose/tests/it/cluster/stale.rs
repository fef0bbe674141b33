//! What is older stays away, whatever the catalog has forgotten.

use std::time::Duration;

use shared::domain::{Marketplace, StoredProduct, UnixMillis};
use shared::ports::Catalog as _;

use super::bench::{Bench, on_controlled_servers};
use super::load::{Update, asin};
use super::servers::Server;

const READ_WITHIN: Duration = Duration::from_secs(120);

async fn held(bench: &Bench) -> StoredProduct {
    let mut products = bench.catalog.read_products(&[asin(1)]).await.expect("the catalog answers");
    products.remove(0).expect("it is there").value
}

/// The same facts, and no price; when it last had one may be known better.
fn assert_gone(held: &StoredProduct, gone: &StoredProduct) {
    assert_eq!(held.product.markets, gone.product.markets);
    assert!(held.listing.prices.is_empty(), "{:?}", held.listing.prices);
}

/// Guard: nothing is deleted, so there is no tombstone to be forgotten, and `ObservedAt` decides; taken out (an older
/// observation wins), the older price was back.
#[tokio::test(flavor = "multi_thread")]
async fn t18_an_older_record_brings_nothing_back_after_the_catalog_forgot_its_deletes_and_restarted() {
    on_controlled_servers("t18_an_older_record", async |bench: &Bench| {
        let now = UnixMillis::now().0;
        let update = |fetched_at, price| Update {
            article: 1,
            fetched_at,
            price,
            weight: 10,
        };
        let enricher = bench.start_service("enricher", &[]);
        bench.publish_updates([update(now - 2, Some(4_999)), update(now, None)]).await;
        bench.reads_all(READ_WITHIN).await;
        let gone = held(bench).await;
        assert!(
            gone.product.markets.contains_key(&Marketplace::DE) && gone.listing.prices.is_empty(),
            "{gone:?}"
        );
        // Elasticsearch remembers a delete for a minute: this is that minute.
        bench.forget_deletes().await;
        let older = update(now - 1, Some(3_999));
        bench.publish_updates([older]).await;
        bench.reads_all(READ_WITHIN).await;
        assert_gone(&held(bench).await, &gone);
        // And without anything in memory, neither there nor in the enricher.
        enricher.terminate().await;
        bench.servers.kill(Server::Elasticsearch).await;
        bench.servers.start(Server::Elasticsearch).await;
        let enricher = bench.start_service("enricher", &[]);
        bench.publish_updates([older]).await;
        bench.reads_all(READ_WITHIN).await;
        assert_gone(&held(bench).await, &gone);
        enricher.terminate().await;
    })
    .await;
}
