//! It answers what cannot be understood.

use serde_json::{Value, json};

use super::script::Fault;
use super::world::{World, asin, base, updates};

/// A change of the items of an answer.
fn items(change: impl FnOnce(&mut Vec<Value>) + Send + 'static) -> Fault {
    Fault::Garbled(Box::new(move |answer| {
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        change(answer["items"].as_array_mut().expect("items"));
        answer.to_string()
    }))
}

fn garbled(garble: impl FnOnce(String) -> String + Send + 'static) -> Fault {
    Fault::Garbled(Box::new(garble))
}

/// What the answer to a bulk request that was carried out becomes.
fn malformed() -> Vec<(&'static str, Fault)> {
    vec![
        ("an item too few", items(|items| drop(items.pop()))),
        ("an item too many", items(|items| items.push(items[0].clone()))),
        ("no items", garbled(|_| json!({"took": 1, "errors": false}).to_string())),
        ("items that are none", garbled(|_| json!({"items": {"0": 1}}).to_string())),
        ("an item of nothing", items(|items| items[1] = json!({}))),
        ("an item of null", items(|items| items[1] = Value::Null)),
        (
            "an item of two actions",
            items(|items| items[1] = json!({"create": items[0]["create"], "index": items[0]["create"]})),
        ),
        ("an unknown action", items(|items| items[1] = json!({"upsert": items[0]["create"]}))),
        (
            "an item without a status",
            items(|items| items[1] = json!({"create": {"_index": "products-v1", "_seq_no": 1, "_primary_term": 1}})),
        ),
        (
            "a written item without its version",
            items(|items| items[1] = json!({"create": {"status": 201}})),
        ),
        (
            "a written item with an error",
            items(|items| items[1]["create"]["error"] = json!({"type": "odd", "reason": "odd"})),
        ),
        (
            "an error without a reason",
            items(|items| items[1] = json!({"create": {"status": 500, "error": {"type": "odd"}}})),
        ),
        ("an error without anything", items(|items| items[1] = json!({"create": {"status": 500}}))),
        ("a status of its own", items(|items| items[1] = json!({"create": {"status": 299_999}}))),
        (
            "an error of 503 without a reason",
            items(|items| items[1] = json!({"create": {"status": 503, "error": {}}})),
        ),
        (
            "JSON that ends early",
            garbled(|mut answer| {
                answer.truncate(answer.len() / 2);
                answer
            }),
        ),
        ("an answer that ends early", Fault::Truncated(40)),
        ("nothing", garbled(|_| String::new())),
        ("HTML", garbled(|_| "<html><body>Welcome to nginx!</body></html>".into())),
        ("a number", garbled(|_| "1e400".into())),
        ("bytes of another kind", garbled(|answer| answer.replace("_seq_no", "_seq\u{0}no"))),
        ("deep nesting", garbled(|_| "[".repeat(200_000))),
    ]
}

/// Guard: the checks of `classify_bulk`, each an unknown outcome; the one of the count taken out: a write without an outcome
/// ends the enricher.
#[tokio::test(flavor = "multi_thread")]
async fn t11_an_answer_that_cannot_be_understood_is_an_unknown_outcome_and_all_is_sent_again() {
    let world = World::new().await;
    let enricher = world.start();
    enricher.becomes_ready().await;
    let at = base();
    for (number, (what, fault)) in malformed().into_iter().enumerate() {
        let mut once = Some(fault);
        // Only a batch of several has the places that are garbled.
        world.server.products_go_by(move |request| match once.take() {
            Some(fault) if request.items().len() >= 2 => fault,
            fault => {
                once = fault;
                Fault::None
            }
        });
        let sent = world.server.product_writes().len();
        let articles = 100 * number..100 * number + 20;
        world.produce(&updates(articles.clone(), at)).await;
        let letters = world.balance().await;
        assert!(letters.is_empty(), "{what}: {} dead letters", letters.len());
        let writes = world.server.product_writes().split_off(sent);
        let hit = writes
            .iter()
            .find(|ids| ids.len() >= 2)
            .unwrap_or_else(|| panic!("{what}: nothing was garbled"));
        for article in articles {
            let id = asin(article);
            let times = writes.iter().flatten().filter(|sent| **sent == id).count();
            let expected = 1 + usize::from(hit.contains(&id));
            // An item that was put off is the one that is sent again.
            let partly = what.contains("503") && times == 1;
            assert!(times == expected || partly, "{what}: {id} was sent {times} times instead of {expected}");
            assert_eq!(world.server.store().revisions(&id).len(), 1, "{what}: {id}");
        }
    }
    enricher.becomes_ready().await;
    enricher.stop().await;
}
