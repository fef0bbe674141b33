//! Answers as Elasticsearch gives them, with something wrong: whatever it is, nothing counts as written that does not say so.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::*;

/// One item as the filter of a bulk request leaves it.
fn item() -> impl Strategy<Value = Value> {
    let written = (any::<bool>(), 0_u64..1_000_000, 1_u64..9).prop_map(|(created, seq_no, term)| {
        let status = if created { 201 } else { 200 };
        json!({"_index": "products-v1", "_seq_no": seq_no, "_primary_term": term, "status": status})
    });
    let failed = prop::sample::select(vec![
        (
            409,
            "version_conflict_engine_exception",
            "[B0D1XD1ZV3]: version conflict, required seqNo [3], primary term [1]",
        ),
        (
            429,
            "es_rejected_execution_exception",
            "rejected execution of primary operation [coordinating_and_primary_bytes=0]",
        ),
        (
            503,
            "unavailable_shards_exception",
            "[products-v1][0] primary shard is not active Timeout: [1m]",
        ),
        (400, "document_parsing_exception", "[1:31] failed to parse field [revision] of type [long]"),
        (413, "too_large", "\"quoted\" \u{fc} \\ \n"),
    ]);
    let failed = failed.prop_map(|(status, kind, reason)| json!({"_index": "products-v1", "status": status, "error": {"type": kind, "reason": reason}}));
    let outcome = prop_oneof![3 => written, 2 => failed];
    (any::<bool>(), outcome).prop_map(|(create, outcome)| json!({if create { "create" } else { "index" }: outcome}))
}

fn answer() -> impl Strategy<Value = (usize, Value)> {
    prop::collection::vec(item(), 0..8).prop_map(|items| (items.len(), json!({"took": 3, "errors": false, "items": items})))
}

/// What happens to the bytes of an answer.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Cut(Index),
    Delete(Index, Index),
    Repeat(Index, Index),
    Insert(Index, Vec<u8>),
    Replace(Index, &'static str),
}

fn damage() -> impl Strategy<Value = Damage> {
    let piece = prop::sample::select(vec![
        "null",
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        "201",
        "-1",
        "1e9",
        "0.5",
        "{}",
        "[]",
        "\"create\"",
        "\"status\":201",
        "\\u0000",
        "\u{0}",
    ]);
    prop_oneof![
        (any::<Index>(), 1_u8..).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Delete(from, to)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (any::<Index>(), piece).prop_map(|(at, piece)| Damage::Replace(at, piece)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: Vec<Damage>) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let range = |from: Index, to: Index, length: usize| {
            let (from, to) = (from.index(length), to.index(length));
            from.min(to)..from.max(to)
        };
        let length = bytes.len();
        match damage {
            Damage::Flip(at, bits) => bytes[at.index(length)] ^= bits,
            Damage::Cut(at) => bytes.truncate(at.index(length)),
            Damage::Delete(from, to) => drop(bytes.drain(range(from, to, length))),
            Damage::Repeat(from, to) => {
                let range = range(from, to, length);
                let again = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, again);
            }
            Damage::Insert(at, inserted) => drop(bytes.splice(at.index(length)..at.index(length), inserted)),
            Damage::Replace(at, piece) => {
                let at = at.index(length);
                let end = (at + piece.len()).min(length);
                bytes.splice(at..end, piece.bytes());
            }
        }
    }
    bytes
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u64..600).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["", "create", "index", "products-v1", "201"]).prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "create",
        "index",
        "delete",
        "status",
        "_index",
        "_seq_no",
        "_primary_term",
        "error",
        "type",
        "reason",
        "items",
    ]);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Puts another value, or none, into one place of a document.
fn replaced(value: &mut Value, at: &mut usize, by: &Option<Value>) {
    fn inside(value: &mut Value) -> Vec<&mut Value> {
        match value {
            Value::Array(items) => items.iter_mut().collect(),
            Value::Object(fields) => fields.values_mut().collect(),
            _ => Vec::new(),
        }
    }
    if let (Some(by), 0) = (by, *at) {
        *value = by.clone();
    }
    if by.is_none() && *at == 0 {
        match value {
            Value::Array(items) => drop(items.pop()),
            Value::Object(fields) => {
                let last = fields.keys().next_back().cloned();
                last.map(|last| fields.remove(&last));
            }
            _ => *value = Value::Null,
        }
    }
    *at = at.wrapping_sub(1);
    for inner in inside(value) {
        replaced(inner, at, by);
    }
}

/// What the answer itself says of an item, read without the parser under test: its version, if it was written.
fn says_written(item: &Value) -> Option<Version> {
    let fields = item.as_object().filter(|fields| fields.len() == 1)?;
    let (action, item) = fields.iter().next()?;
    let is_written = ["create", "index"].contains(&action.as_str()) && (200..300).contains(&item["status"].as_u64()?) && item["error"].is_null();
    is_written.then_some(Version {
        index: Arc::from(item["_index"].as_str()?),
        seq_no: item["_seq_no"].as_u64()?,
        primary_term: item["_primary_term"].as_u64()?,
    })
}

fn check(count: usize, bytes: &[u8]) -> Result<(), TestCaseError> {
    let outcomes = match classify_bulk(200, bytes, count) {
        Err(_) => return Ok(()),
        Ok(BulkOutcome::Halve(reason)) => return Err(TestCaseError::fail(format!("a success is halved: {reason}"))),
        Ok(BulkOutcome::Items(outcomes)) => outcomes,
    };
    prop_assert_eq!(outcomes.len(), count);
    let answer: Value = serde_json::from_slice(bytes).map_err(|error| TestCaseError::fail(format!("it was understood, and is no JSON: {error}")))?;
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    prop_assert_eq!(items.len(), count);
    for (item, outcome) in items.iter().zip(outcomes) {
        if let WriteOutcome::Written(version) = outcome {
            prop_assert_eq!(Some(version), says_written(item), "{}", item);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_sound_answer_is_understood_item_by_item((count, answer) in answer()) {
        let Ok(BulkOutcome::Items(outcomes)) = classify_bulk(200, answer.to_string().as_bytes(), count) else {
            return Err(TestCaseError::fail(answer.to_string()));
        };
        for (item, outcome) in answer["items"].as_array().expect("items").iter().zip(outcomes) {
            let written = match outcome {
                WriteOutcome::Written(version) => Some(version),
                _ => None,
            };
            prop_assert_eq!(written, says_written(item));
        }
    }

    #[test]
    fn damaged_bytes_never_make_a_write((count, answer) in answer(), damages in prop::collection::vec(damage(), 1..4)) {
        check(count, &damaged(answer.to_string().into_bytes(), damages))?;
    }

    #[test]
    fn other_json_in_any_place_never_makes_a_write((count, mut answer) in answer(), at in 0_usize..60, by in prop::option::of(any_json())) {
        replaced(&mut answer, &mut at.clone(), &by);
        check(count, answer.to_string().as_bytes())?;
    }

    #[test]
    fn an_answer_to_another_request_is_of_unknown_outcome((count, answer) in answer(), other in 0_usize..9) {
        let outcome = classify_bulk(200, answer.to_string().as_bytes(), other);
        prop_assert_eq!(outcome.is_ok(), other == count);
    }

    #[test]
    fn any_json_is_no_panic(answer in any_json(), count in 0_usize..3, status in 100_u16..600) {
        let _ = classify_bulk(status, answer.to_string().as_bytes(), count);
        check(count, answer.to_string().as_bytes())?;
        check(count, json!({"items": answer}).to_string().as_bytes())?;
    }
}
