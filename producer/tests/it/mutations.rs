//! Keepa's answers, spoilt: bytes flipped, cut, spliced, values of another type. `PROPTEST_CASES` says how many.

use std::io::Write as _;

use producer::keepa::response::{self, Envelope};
use producer::simulator::{ProductOptions, SimulatorConfig};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use shared::domain::{Marketplace, UnixMillis};

use crate::harness::Simulated;
use crate::samples::sample;

/// Answers of the simulator, and real ones where those are at hand.
async fn originals() -> Vec<String> {
    let simulated = Simulated::start(SimulatorConfig {
        products: 5,
        ..SimulatorConfig::default()
    })
    .await;
    let world = simulated.handle.world();
    let products: Vec<String> = world
        .asins()
        .iter()
        .filter_map(|&asin| world.product_json(asin, Marketplace::DE, UnixMillis(1_768_132_800_000), &ProductOptions::default()))
        .collect();
    simulated.stop().await;
    assert!(!products.is_empty());
    let answer = format!(
        r#"{{"timestamp":1768132800000,"tokensLeft":42,"refillIn":3000,"refillRate":60,"tokenFlowReduction":0.0,"tokensConsumed":{},"products":[{}]}}"#,
        products.len(),
        products.join(",")
    );
    let names = [
        "product-us-B0F7XPYCSJ-full.json",
        "deal-us-150-a.json",
        "token-status-de-plan.json",
        "error-invalid-key.json",
    ];
    let mut originals: Vec<String> = names.into_iter().filter_map(sample).collect();
    originals.push(answer);
    originals
}

/// What is done to an answer: the place, and what is put there.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Cut(Index),
    Splice(Index, Index, Index),
    Retype(Index, Value),
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    let value = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([null, 7, []])),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
    ];
    prop_oneof![
        4 => (any::<Index>(), 1..=u8::MAX).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        1 => any::<Index>().prop_map(Mutation::Cut),
        2 => (any::<Index>(), any::<Index>(), any::<Index>()).prop_map(|(from, length, to)| Mutation::Splice(from, length, to)),
        6 => (any::<Index>(), value).prop_map(|(place, value)| Mutation::Retype(place, value)),
    ]
}

fn pointers(value: &Value, here: &str, into: &mut Vec<String>) {
    into.push(here.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| pointers(value, &format!("{here}/{name}"), into)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| pointers(value, &format!("{here}/{index}"), into)),
        _ => {}
    }
}

fn spoil(body: &mut Vec<u8>, mutation: &Mutation) {
    if body.is_empty() {
        return;
    }
    match mutation {
        Mutation::Flip(at, bits) => {
            let at = at.index(body.len());
            body[at] ^= bits;
        }
        Mutation::Cut(at) => body.truncate(at.index(body.len())),
        Mutation::Splice(from, length, to) => {
            let from = from.index(body.len());
            let piece = body[from..from + length.index((body.len() - from).min(2_000))].to_vec();
            let to = to.index(body.len());
            body.splice(to..to, piece);
        }
        Mutation::Retype(place, value) => {
            let Ok(mut tree) = serde_json::from_slice::<Value>(body) else { return };
            let mut all = Vec::new();
            pointers(&tree, "", &mut all);
            if let Some(held) = tree.pointer_mut(&all[place.index(all.len())]) {
                *held = value.clone();
            }
            *body = tree.to_string().into_bytes();
        }
    }
}

/// Reads everything that an answer may hold; what is found of products is a piece of the answer, byte for byte.
fn read(body: &str) -> Result<Option<(usize, i64)>, TestCaseError> {
    let Some(envelope) = Envelope::read(body) else { return Ok(None) };
    if let Some(meter) = envelope.meter {
        prop_assert!(meter.refill_rate > 0 && meter.flow_reduction_milli >= 0 && meter.net_milli() >= 0);
        prop_assert!(meter.capacity() >= meter.tokens_left);
    }
    let _ = (response::categories(&envelope), response::sellers(&envelope), response::best_sellers(&envelope));
    for deal in response::deals(&envelope).deals {
        prop_assert!(deal.current.iter().flatten().all(|&price| price >= 0), "{:?}", deal.current);
    }
    let products = response::products(&envelope, Marketplace::DE, &[]);
    for product in &products.found {
        let json = product.json.get();
        prop_assert!(body.contains(json), "bytes that nobody sent");
        let again = format!(r#"{{"timestamp":1,"products":[{json}]}}"#);
        let again = response::products(&Envelope::read(&again).expect("an envelope"), Marketplace::DE, &[]);
        let [again] = &again.found[..] else {
            return Err(TestCaseError::fail("a product that was found is not found again"));
        };
        prop_assert_eq!((again.asin, again.marketplace, again.json.get()), (product.asin, product.marketplace, json));
    }
    Ok(Some((products.found.len(), envelope.tokens_consumed.unwrap_or(0))))
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_spoilt_answer_is_none_or_gives_only_what_it_holds() {
    let originals = originals().await;
    for original in &originals {
        assert!(read(original).unwrap().is_some(), "the originals are answers");
    }
    let mut runner = proptest::test_runner::TestRunner::default();
    let spoilt = (any::<Index>(), proptest::collection::vec(any_mutation(), 1..4), any::<bool>());
    let outcome = runner.run(&spoilt, |(which, mutations, is_compressed)| {
        let mut body = originals[which.index(originals.len())].clone().into_bytes();
        if is_compressed {
            // What is spoilt on the way is the stream, not the text.
            body = gzip(&body);
        }
        for mutation in &mutations {
            spoil(&mut body, mutation);
        }
        if let Ok(text) = response::decode_body(body, 4 * 1024 * 1024) {
            read(&text)?;
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
