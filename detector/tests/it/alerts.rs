//! Alerts, from a product to a message, over the embedded event log and catalog.

use serde_json::json;
use shared::domain::Marketplace::{ES, IT};
use shared::domain::UnixMillis;
use shared::ports::catalog::{StateKind, StateQuery};

use crate::bench::{Bench, product, until};
use crate::pipeline::Running;
use crate::receiver::HttpReceiver;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_that_opens_improves_and_closes_is_told_as_it_happens_and_a_restart_tells_nothing_twice() {
    let bench = Bench::start().await;
    bench.say_simulated(true).await;
    let receiver = HttpReceiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: serde_json::Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, text.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let channels = json!({"channels": {"hook": {"type": "webhook", "url": receiver.url("/"), "secret": "correct horse battery"}}});
    let rules = json!({"rules": [{"id": "es-it", "channel": "hook", "source_markets": ["ES"], "min_margin": 12}]});
    let (channels, rules) = (write("channels.json", channels), write("rules.json", rules));
    let variables = [("ALERT_CHANNELS", channels.as_str()), ("ALERT_RULES", rules.as_str())];

    let detector = Running::start(&bench, &variables);
    until("the rule", async || {
        let read = bench.catalog.read_states(StateKind::AlertRules, &["es-it".to_owned()]).await.unwrap();
        read.into_iter().flatten().next()
    })
    .await;
    let now = UnixMillis::now();
    for (revision, (price, messages)) in [(Some(5_499), 1), (Some(6_499), 2), (None, 3)].into_iter().enumerate() {
        let revision = now.0 + i64::try_from(revision).unwrap();
        bench
            .bring(&product("B0D1XD1ZV3", revision, UnixMillis(revision), &[(ES, Some(4_799)), (IT, price)]))
            .await;
        until("a message", async || (receiver.keys().len() >= messages).then_some(())).await;
    }
    detector.stop().await;
    let keys = [1, 2, 3].map(|number| format!("es-it.B0D1XD1ZV3.ES.IT.{number}"));
    assert_eq!(receiver.keys(), keys);
    let told = receiver.received();
    let events: Vec<_> = told.iter().map(|told| told.json()["alerts"][0]["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events, ["opened", "improved", "closed"]);
    let improved = told[1].json();
    assert_eq!(improved["simulated"], json!(true));
    let alert = &improved["alerts"][0];
    assert_eq!(
        [&alert["margin"], &alert["previous"]["margin"], &alert["delta"]["margin"]].map(ToString::to_string),
        ["17.00", "7.00", "10.00"]
    );

    // Another process reads on, or reads the last seconds again.
    let detector = Running::start(&bench, &variables);
    bench.bring(&product("B0D1XD1ZV4", now.0, now, &[(ES, Some(4_799)), (IT, Some(5_499))])).await;
    until("a message", async || (receiver.keys().len() >= 4).then_some(())).await;
    detector.stop().await;
    assert_eq!(receiver.keys()[3..], ["es-it.B0D1XD1ZV4.ES.IT.1"]);
    let query = StateQuery {
        group: Some("es-it".into()),
        status: Some("delivered".into()),
        ascending: true,
        limit: 10,
        cursor: None,
    };
    assert_eq!(bench.catalog.list_states(StateKind::Deliveries, &query).await.unwrap().items.len(), 4);
}
