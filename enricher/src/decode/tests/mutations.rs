//! Real records, spoilt: bytes flipped, cut, spliced, values of another type. `PROPTEST_CASES` says how many.

use std::sync::LazyLock;

use proptest::sample::Index;

use super::*;

/// What is done to a record.
#[derive(Debug, Clone)]
enum Mutation {
    /// Other bits in one byte.
    Flip(Index, u8),
    /// The end is missing.
    Cut(Index),
    /// A piece of it once more, somewhere else.
    Splice(Index, Index, Index),
    /// Another value in the tree.
    Retype(Index, Value),
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => (any::<Index>(), 1..=u8::MAX).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        1 => any::<Index>().prop_map(Mutation::Cut),
        2 => (any::<Index>(), any::<Index>(), any::<Index>()).prop_map(|(from, length, to)| Mutation::Splice(from, length, to)),
        6 => (any::<Index>(), any_json()).prop_map(|(place, value)| Mutation::Retype(place, value)),
        6 => (any::<Index>(), any_number()).prop_map(|(place, value)| Mutation::Retype(place, value)),
    ]
}

/// What is tempting where a price stands.
fn any_number() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![0_i64, -1, -2, 1, i64::MIN, i64::MAX, 2_147_483_647, 2_147_483_648]).prop_map(|number| json!(number)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<u64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        (0_i64..1_000_000).prop_map(|number| json!(number)),
        (0_i64..1_000_000).prop_map(|number| json!(number.to_string())),
    ]
}

fn spoil(record: &mut Vec<u8>, mutation: &Mutation) {
    if record.is_empty() {
        return;
    }
    match mutation {
        Mutation::Flip(at, bits) => {
            let at = at.index(record.len());
            record[at] ^= bits;
        }
        Mutation::Cut(at) => record.truncate(at.index(record.len())),
        Mutation::Splice(from, length, to) => {
            let from = from.index(record.len());
            let piece = record[from..from + length.index((record.len() - from).min(2_000))].to_vec();
            let to = to.index(record.len());
            record.splice(to..to, piece);
        }
        Mutation::Retype(place, value) => {
            let Ok(mut tree) = serde_json::from_slice::<Value>(record) else { return };
            let mut all = Vec::new();
            pointers(&tree, "", &mut all);
            if let Some(held) = tree.pointer_mut(&all[place.index(all.len())]) {
                *held = value.clone();
            }
            *record = tree.to_string().into_bytes();
        }
    }
}

/// Envelopes around real products where those are at hand, and around one that is made up.
fn originals() -> &'static [(String, UnixMillis)] {
    static ORIGINALS: LazyLock<Vec<(String, UnixMillis)>> = LazyLock::new(read_originals);
    &ORIGINALS
}

fn read_originals() -> Vec<(String, UnixMillis)> {
    let real = ["product-us-B0F7XPYCSJ-full.json", "product-us-1886940606-offers-nohistory.json"]
        .into_iter()
        .filter_map(sample);
    let envelopes = real.map(|(mut product, fetched)| {
        // The first points of each history are enough, and a hundred times as many cases.
        for series in product["csv"].as_array_mut().into_iter().flatten().filter_map(Value::as_array_mut) {
            series.truncate(24);
        }
        let head =
            json!({"v": 1, "asin": product["asin"], "domain_id": 1, "fetched_at_ms": fetched.0, "source": "watchlist", "run_id": null, "product": product});
        (head.to_string(), fetched)
    });
    envelopes.chain([(full_record().to_string(), NOW)]).collect()
}

/// A slot of Keepa's current values as an independent reader sees it: none = nothing certain can be said.
fn told(record: &Value, slot: usize) -> Option<Option<i64>> {
    let kind = record.pointer("/product/productType").filter(|kind| !kind.is_null());
    if kind.map_or(Some(0.0), Value::as_f64)? != 0.0 {
        // Anything but a physical article has no price of a marketplace.
        return Some(None);
    }
    let value = record.pointer("/product/stats/current")?.get(slot)?;
    let whole = value.as_i64().or_else(|| {
        value
            .as_f64()
            .filter(|number| number.fract() == 0.0 && number.abs() < 1e15)
            .map(|number| number as i64)
    })?;
    Some((whole > 0).then_some(whole))
}

fn decode_at(payload: &[u8], now: UnixMillis) -> Option<Decoded> {
    let key = serde_json::from_slice::<Value>(payload)
        .ok()
        .and_then(|record| Some(record["asin"].as_str()?.to_uppercase()));
    let key = key.unwrap_or_else(|| ASIN.to_owned());
    let input = Input {
        key: Some(key.as_bytes()),
        payload: Some(payload),
        timestamp: now,
    };
    let decoded = decode(&input, now);
    let again = decode(&input, now);
    assert_eq!(decoded, again, "the same bytes, the same outcome");
    decoded.ok()
}

proptest! {
    /// Guard: `json::needed_*` and the sentinels' end in `keepa.rs`.
    #[test]
    fn a_spoilt_record_is_refused_or_says_what_its_bytes_say(which in any::<Index>(), mutations in proptest::collection::vec(any_mutation(), 1..4)) {
        let originals = originals();
        let (original, now) = &originals[which.index(originals.len())];
        let mut record = original.clone().into_bytes();
        for mutation in &mutations {
            spoil(&mut record, mutation);
        }
        let Some(decoded) = decode_at(&record, *now) else { return Ok(()) };
        // Money is positive or absent, and that of the bytes.
        for (marketplace, sources) in &decoded.update.markets {
            for state in sources.values() {
                let prices = state.prices.as_ref().map(|register| &register.facts);
                let money = prices.into_iter().flat_map(|facts| [facts.amazon, facts.new, facts.list_price]);
                let landed = state.buy_box.as_ref().and_then(|register| register.facts.landed);
                for amount in money.chain([landed]).flatten() {
                    prop_assert!(amount > 0, "{amount} in {marketplace}");
                }
                let tree: Option<Value> = serde_json::from_slice(&record).ok();
                if let (Some(tree), Some(facts)) = (tree, prices) {
                    for (held, slot) in [(facts.amazon, 0), (facts.new, 1)] {
                        if let Some(told) = told(&tree, slot) {
                            prop_assert_eq!(held, told, "slot {}", slot);
                        }
                    }
                }
            }
        }
        // What was accepted comes back from the catalog, and is nothing new when it comes again.
        let mut held = decoded.update.clone();
        held.merge(&decoded.update);
        prop_assert_eq!(&held, &decoded.update);
        let listing = Listing::of(&decoded.update, &[], *now, Staleness::default());
        let stored = StoredProduct { listing, product: decoded.update, revision: 1 };
        let document = shared::wire::product::to_json(&stored);
        let read: shared::wire::ProductDocument = serde_json::from_slice(&document).expect("read");
        prop_assert_eq!(StoredProduct::from(read), stored);
    }
}

#[test]
fn the_originals_are_records_and_the_oracle_knows_their_prices() {
    for (original, now) in originals() {
        let decoded = decode_at(original.as_bytes(), *now).expect("an original is a record");
        let tree: Value = serde_json::from_str(original).expect("JSON");
        let state = decoded.update.markets.values().flat_map(BySource::values).next().expect("a state");
        let facts = &state.prices.as_ref().expect("prices").facts;
        assert_eq!((told(&tree, 0), told(&tree, 1)), (Some(facts.amazon), Some(facts.new)));
    }
}
