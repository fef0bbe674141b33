//! What a settled batch leaves behind where nothing fails.

use rand_like::Shuffled;
use serde_json::json;
use shared::adapters::kafka::{MAX_RECORD_BYTES, Record, Topic};
use shared::domain::{Marketplace, UnixMillis};
use shared::ports::Catalog as _;
use shared::ports::catalog::StateKind;

use crate::harness::{World, base, batch, merged, record, until, update, update_of};

const A: &str = "B0D1XD1ZV3";
const B: &str = "B000000002";

/// Reproducible disorder without a crate for it.
mod rand_like {
    pub(crate) struct Shuffled(pub(crate) u64);

    impl Shuffled {
        pub(crate) fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).expect("31 bits") % bound
        }

        pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
            for index in (1..items.len()).rev() {
                items.swap(index, self.below(index + 1));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_marketplaces_are_one_write_and_one_publication() {
    use Marketplace::{DE, ES, FR, IT, UK};
    let world = World::new().await;
    let at = base();
    let records: Vec<_> = [DE, FR, IT, ES, UK]
        .into_iter()
        .zip(1..)
        .map(|(marketplace, step)| update(A, marketplace, at + step, 5000 + step))
        .collect();
    world.worker().settle(batch(records.clone())).await.expect("settled");

    assert_eq!(world.catalog.calls(), [[A]]);
    let stored = world.stored(A).await.expect("stored");
    assert_eq!(stored.product, merged(&records)[&A.parse().expect("an ASIN")]);
    assert_eq!(stored.listing.title.as_deref(), Some("Article B0D1XD1ZV3"));
    assert_eq!(stored.listing.prices[&DE], 5001);
    let published = world.records(Topic::EnrichedProducts).await;
    assert_eq!(published.len(), 1);
    let document: shared::wire::ProductDocument = serde_json::from_slice(published[0].payload.as_deref().expect("a value")).expect("a document");
    assert_eq!(
        (shared::domain::StoredProduct::from(document), published[0].key.as_deref()),
        (stored, Some(A.as_bytes()))
    );
    // The trace goes on: same trace, another span.
    let traceparent = String::from_utf8_lossy(published[0].header("traceparent").expect("a trace")).into_owned();
    assert!(
        traceparent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && !traceparent.contains("00f067aa0ba902b7"),
        "{traceparent}"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_replay_changes_nothing_and_an_owner_publishes_the_newest_again_once() {
    let world = World::new().await;
    let at = base();
    let records = batch(vec![
        update(A, Marketplace::DE, at + 1, 5000),
        update(A, Marketplace::DE, at + 3, 4900),
        update(B, Marketplace::IT, at + 1, 1000),
    ]);
    world.worker().settle(records.clone()).await.expect("settled");
    let (a, b) = (world.stored(A).await.expect("stored"), world.stored(B).await.expect("stored"));
    let first = vec![(A.to_owned(), a.revision), (B.to_owned(), b.revision)];
    assert_eq!(world.published().await, first);

    // The next owner cannot know what was published before it; once it has done so itself, it does not again.
    let mut next_owner = world.worker();
    for (round, expected) in [(1, 4), (2, 4)] {
        next_owner.settle(records.clone()).await.expect("settled");
        assert_eq!(
            (world.stored(A).await, world.stored(B).await),
            (Some(a.clone()), Some(b.clone())),
            "round {round}"
        );
        let published = world.published().await;
        assert_eq!(published.len(), expected, "{published:?}");
        assert_eq!(published[expected - 2..], first);
    }
    assert_eq!(world.catalog.calls().len(), 1, "a replay writes nothing");

    // What is older than what is held is stale: neither written nor published.
    next_owner.settle(batch(vec![update(A, Marketplace::DE, at + 2, 5000)])).await.expect("settled");
    assert_eq!(world.published().await.len(), 4);
    assert!(world.dead_letters().await.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_updates_within_one_minute_the_later_fetch_is_in_the_catalog() {
    let world = World::new().await;
    let at = base();
    let minute = at / 60_000 - 21_564_000;
    let product = |new: i64| json!({"asin": A, "domainId": 3, "lastUpdate": minute, "stats": {"current": [-1, new]}});
    let later = update_of(A, Marketplace::DE, at + 20, &product(4000));
    let earlier = update_of(A, Marketplace::DE, at + 10, &product(5000));
    let mut worker = world.worker();
    worker.settle(batch(vec![later])).await.expect("settled");
    worker.settle(batch(vec![earlier])).await.expect("settled");
    let stored = world.stored(A).await.expect("stored");
    assert_eq!(stored.listing.prices[&Marketplace::DE], 4000);
    assert_eq!(
        stored.product.first_seen,
        UnixMillis(at + 10),
        "the earlier one still proves when it was first seen"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_order_repetition_and_batching_ends_in_the_same_products() {
    let world = World::new().await;
    let at = base();
    let mut random = Shuffled(7);
    for round in 0..6_u64 {
        let asins: Vec<String> = (0..3).map(|number| format!("B0{round:04}{number:04}")).collect();
        let mut records: Vec<Record> = (0..30)
            .map(|step| {
                let asin = &asins[random.below(asins.len())];
                let marketplace = [Marketplace::DE, Marketplace::IT, Marketplace::ES][random.below(3)];
                update(asin, marketplace, at + step, 1000 + step)
            })
            .collect();
        let expected = merged(&records);
        let again: Vec<Record> = (0..10).map(|_| records[random.below(records.len())].clone()).collect();
        records.extend(again);
        random.shuffle(&mut records);
        let mut worker = world.worker();
        let mut rest = records.as_slice();
        while !rest.is_empty() {
            let (some, later) = rest.split_at((1 + random.below(8)).min(rest.len()));
            worker.settle(batch(some.to_vec())).await.expect("settled");
            rest = later;
        }
        for (asin, product) in expected {
            let stored = world.stored(asin.as_str()).await.expect("stored");
            assert_eq!(stored.product, product, "round {round}");
            let published = world.published().await;
            let last = published.iter().rev().find(|(published, _)| published == asin.as_str()).expect("published");
            assert_eq!(last.1, stored.revision, "the last revision of a product is published");
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_records_become_dead_letters_bit_for_bit_and_the_partition_goes_on() {
    let world = World::new().await;
    let at = base();
    let huge = vec![b'{'; MAX_RECORD_BYTES - 200];
    let mut records = batch(vec![
        record(0, A, "not json"),
        update(A, Marketplace::DE, at + 1, 5000),
        record(0, A, vec![0xff, 0xfe, 0x00]),
        update(B, Marketplace::DE, at + 1, 5000).clone(),
        record(0, A, huge.clone()),
        record(0, A, ""),
        update("B000000009", Marketplace::DE, UnixMillis::now().0 + 3_600_000, 5000),
    ]);
    records[3].key = Some(A.into());
    records[5].payload = None;
    records[5].key = None;
    let originals = records.clone();
    world.worker().settle(records).await.expect("settled");

    assert!(world.stored(A).await.is_some() && world.stored(B).await.is_none());
    let letters = world.dead_letters().await;
    let text = |record: &Record, name: &str| String::from_utf8_lossy(record.header(name).unwrap_or_default()).into_owned();
    let classes: Vec<String> = letters.iter().map(|letter| text(letter, "dlq.error.class")).collect();
    assert_eq!(classes, ["json", "json", "key", "json", "empty", "clock"]);
    for (letter, offset) in letters.iter().zip([0, 2, 3, 4, 5, 6]) {
        let original = &originals[offset];
        assert_eq!(letter.payload, original.payload);
        assert_eq!(letter.key.as_deref().unwrap_or_default(), original.key.as_deref().unwrap_or_default());
        assert_eq!(letter.header("traceparent"), original.header("traceparent"));
        assert_eq!(text(letter, "dlq.topic"), "test.raw.keepa_updates");
        assert_eq!((text(letter, "dlq.partition"), text(letter, "dlq.offset")), ("0".into(), offset.to_string()));
        assert_eq!(text(letter, "dlq.timestamp"), original.timestamp_ms.to_string());
        assert_eq!(text(letter, "dlq.attempts"), "1");
        assert!(!text(letter, "dlq.error.message").is_empty());
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_settled_is_counted_over_owners() {
    let world = World::new().await;
    let counted = async || {
        let records = world.catalog.read_states(StateKind::Status, &["enricher-0".to_owned()]).await.expect("read");
        records.into_iter().flatten().next().map(|record| record.value.body)
    };
    let at = base();
    let good = || batch(vec![update(A, Marketplace::DE, at + 1, 5000), record(0, A, "{")]);
    let (mut first, mut second) = (world.worker(), world.worker());
    first.settle(good()).await.expect("settled");
    until("the first count", async || counted().await == Some(json!({"records_total": 2, "dlq_total": 1}))).await;
    second.settle(good()).await.expect("settled");
    until("the sum", async || counted().await == Some(json!({"records_total": 4, "dlq_total": 2}))).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_too_large_for_the_log_is_evaluated_from_the_catalog() {
    let world = World::new().await;
    let title = "long ".repeat(300_000);
    let product = json!({"asin": A, "domainId": 3, "title": title, "stats": {"current": [-1, 5000]}});
    world
        .worker()
        .settle(batch(vec![update_of(A, Marketplace::DE, base(), &product)]))
        .await
        .expect("settled");
    let stored = world.stored(A).await.expect("stored");
    assert_eq!(stored.listing.title.as_deref(), Some(title.trim()), "titles are never shortened");
    let published = world.records(Topic::EnrichedProducts).await;
    assert_eq!(published.len(), 1);
    assert_eq!((published[0].key.as_deref(), published[0].payload.as_deref()), (Some(A.as_bytes()), None));
    assert_eq!(published[0].header("reason"), Some(&b"reevaluate"[..]));
    assert!(!world.is_down_for(""));
    world.end().await;
}
