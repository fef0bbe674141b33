//! It refuses documents.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use shared::domain::Marketplace;

use super::oracle::origins;
use super::script::{Fault, Item};
use super::store::item_error;
use super::world::{World, asin, base, update, updates};

/// A price that the mapping does not like.
const ODD_PRICE: i64 = 666;

fn refuse_odd_prices(item: &Item) -> Option<Value> {
    let prices = item.source["prices"].as_object()?;
    let odd = prices.values().any(|price| price.as_i64() == Some(ODD_PRICE));
    odd.then(|| item_error(400, "document_parsing_exception", "[1:190] failed to parse field [prices.FR] of type [byte]"))
}

/// Guard: a refused document of several records is written again record by record; taken out: all of its records are dead
/// letters.
#[tokio::test(flavor = "multi_thread")]
async fn t08_one_refused_record_is_a_dead_letter_alone_also_where_it_was_folded_with_others() {
    use Marketplace::{DE, ES, FR, IT, UK};
    let world = World::new().await;
    world.server.products_go_by(|_| Fault::Items(Box::new(refuse_odd_prices)));
    let at = base();
    let mut all = updates(0..2_000, at);
    all[999].price = ODD_PRICE;
    let folded = all.len();
    all.extend([DE, FR, IT, ES, UK].map(|marketplace| update(5_000, marketplace, at, if marketplace == FR { ODD_PRICE } else { 5000 })));
    let offsets = world.produce(&all).await;
    let enricher = world.start();
    let letters = world.balance().await;
    assert_eq!(origins(&letters), BTreeSet::from([offsets[999], offsets[folded + 1]]));
    assert_eq!(letters.len(), 2);
    for letter in &letters {
        let of = |name: &str| letter.header(name).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
        let origin: i64 = of("dlq.offset").parse().expect("a number");
        let refused = offsets.iter().position(|&offset| offset == origin).expect("it was produced");
        assert_eq!(letter.payload.as_deref(), Some(&*all[refused].payload()), "bit for bit");
        assert_eq!(letter.key.as_deref(), Some(all[refused].asin.as_bytes()));
        assert_eq!(
            (of("dlq.topic"), of("dlq.partition"), of("dlq.error.class"), of("dlq.attempts")),
            ("test.raw.keepa_updates".into(), "0".into(), "catalog".into(), "1".into())
        );
        assert!(of("dlq.error.message").contains("failed to parse field"), "{}", of("dlq.error.message"));
        assert!(of("dlq.timestamp").parse::<i64>().is_ok_and(|timestamp| timestamp > at));
        assert!(!of("traceparent").is_empty());
    }
    assert_eq!(world.products().len(), 2_000, "all but the one refused as a whole");
    let markets: Vec<Marketplace> = world.products()[&asin(5_000)].product.markets.keys().copied().collect();
    assert_eq!(markets, [UK, DE, IT, ES]);
    enricher.stop().await;
}

/// Guard: `DeadLetterLimit`; taken out: nothing halts, and every record is a dead letter.
#[tokio::test(flavor = "multi_thread")]
async fn t09_a_catalog_that_refuses_everything_halts_the_partition() {
    let world = World::new().await;
    let refuse_all = |_: &Item| {
        Some(item_error(
            400,
            "strict_dynamic_mapping_exception",
            "mapping set to strict, dynamic introduction is not allowed",
        ))
    };
    world.server.products_go_by(move |_| Fault::Items(Box::new(refuse_all)));
    world.produce(&updates(0..400, base())).await;
    let enricher = world.start_with(&[("DLQ_LIMIT_PAUSE", "1h")], world.elastic());
    enricher.is_down_for("halted").await;
    assert!(!enricher.is_ready());
    let letters = world.dead_letters().await.len();
    assert!((1..=200).contains(&letters), "{letters} dead letters");
    let committed = world.committed().await;
    assert!(committed <= 200, "the offset went to {committed}");
    world.assert_nothing_unsettled_was_let_go().await;
    // A halt is no reason not to end.
    assert!(enricher.stop().await < Duration::from_secs(15));

    // The template is mended, and the enricher deployed again.
    world.server.heal();
    let enricher = world.start();
    let letters = world.balance().await;
    assert!(letters.len() <= 200, "{} dead letters", letters.len());
    assert!(world.products().len() >= 200, "the rest was written");
    enricher.becomes_ready().await;
    enricher.stop().await;
}
