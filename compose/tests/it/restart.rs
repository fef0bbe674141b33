//! kill -9 at any moment, start again: nothing lost, nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::adapters::kafka::{FollowFrom, Topic};
use shared::config::Environment;
use shared::domain::opportunity::EventKind;
use shared::ports::EventLogSettings;
use shared::wire::OpportunityEvent;
use tokio_util::sync::CancellationToken;

use crate::double::{Double, Inputs, converges};
use crate::independent::Dice;
use crate::system::System;

/// Kills per run; each starts the product again.
const KILLS: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn after_kills_at_any_moment_nothing_is_missing_and_nothing_is_there_twice() {
    let seed = std::env::var("KILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut dice = Dice(seed);
    let (double, address) = Double::start().await;
    let inputs = Inputs::new(address);
    let data = tempfile::tempdir().expect("a temporary folder");
    for _ in 0..KILLS {
        let system = System::start(data.path(), &inputs.variables()).await;
        tokio::time::sleep(Duration::from_millis(dice.roll(4_000))).await;
        if dice.roll(2) == 0 {
            double.turn();
            tokio::time::sleep(Duration::from_millis(dice.roll(1_500))).await;
        }
        system.kill().await;
    }
    let system = System::start(data.path(), &inputs.variables()).await;
    converges(&system.api, &double).await;

    let runs = system.api.get_all("/runs").await;
    let ids: BTreeSet<&str> = runs.iter().filter_map(|run| run["id"].as_str()).collect();
    assert_eq!(ids.len(), runs.len(), "a run is listed twice");
    let products = system.api.get_all("/products").await;
    let asins: BTreeSet<&str> = products.iter().filter_map(|product| product["asin"].as_str()).collect();
    assert_eq!(asins.len(), products.len(), "a product is listed twice");

    check_alerts(&system).await;
    assert_eq!(system.terminate().await, Some(0));
}

/// Every alert has one id and one content, however often it was published, and an opportunity's ids have no gap.
async fn check_alerts(system: &System) {
    let settings = EventLogSettings::read(&Environment::default());
    let log = settings.connect(system.brokers.clone(), true, "restart-test");
    let opportunities = system.api.get_all("/opportunities?active=true").await;
    let wanted: BTreeSet<String> = opportunities
        .iter()
        .filter_map(|opportunity| opportunity["id"].as_str().map(str::to_owned))
        .collect();
    let seen: Arc<Mutex<Vec<OpportunityEvent>>> = Arc::default();
    let shutdown = CancellationToken::new();
    let follow = {
        let seen = Arc::clone(&seen);
        log.follow(Topic::Alerts, FollowFrom::Beginning, shutdown.clone(), move |record| {
            let payload = record.payload.expect("an event has a body");
            seen.lock().expect("no panic").push(serde_json::from_slice(&payload).expect("an event"));
        })
    };
    let enough = async {
        loop {
            let opened: BTreeSet<String> = seen.lock().expect("no panic").iter().map(|event| event.opportunity.id.to_string()).collect();
            if wanted.is_subset(&opened) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        ended = follow => panic!("following ended: {ended:?}"),
        waited = tokio::time::timeout(Duration::from_secs(60), enough) => waited.expect("every open opportunity was told"),
    }
    shutdown.cancel();

    let events = seen.lock().expect("no panic");
    let mut by_alert: BTreeMap<&str, (EventKind, i64)> = BTreeMap::new();
    let mut sequences: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for event in events.iter() {
        let Some(alert_id) = &event.alert_id else {
            assert_eq!(event.event, EventKind::Updated);
            continue;
        };
        let content = (event.event, event.at.0);
        let first = by_alert.entry(alert_id).or_insert(content);
        assert_eq!(*first, content, "{alert_id} has two contents");
        sequences
            .entry(event.opportunity.id.to_string())
            .or_default()
            .insert(event.opportunity.event_seq);
    }
    assert!(!by_alert.is_empty());
    for (id, sequence) in sequences {
        let expected: BTreeSet<i64> = (1..=i64::try_from(sequence.len()).expect("few")).collect();
        assert_eq!(sequence, expected, "{id}: an alert is missing");
    }
}
