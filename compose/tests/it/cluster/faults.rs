//! Something breaks while the work goes on: afterwards all is as if it had not.
//!
//! Prices move before, during and after the fault; records that nobody can read come in between. At the end everything
//! shown equals the independent computation and the books balance, see [`super::ledger`].

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::bench::{self, Bench, Cluster, assert_no_violations};
use super::proxy::{Fault, Proxy};
use super::recorder::Recorder;
use super::servers::{Server, whole_number};
use crate::independent::Dice;

/// What [`Bench::start_service`] gives every service.
const SESSION: Duration = Duration::from_secs(6);

/// How long a fault lasts: `CLUSTER_FAULT_SECONDS`.
fn fault_length() -> Duration {
    Duration::from_secs(whole_number("CLUSTER_FAULT_SECONDS", 5))
}

/// How often it is repeated: `CLUSTER_FAULT_ROUNDS`.
fn rounds() -> u64 {
    whole_number("CLUSTER_FAULT_ROUNDS", 2)
}

/// What a follower of `enriched.products` may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Publications {
    /// Revisions grow.
    InOrder,
    /// A process that lost its partition without knowing, or whose broker was away, publishes late.
    MayBeLate,
}

async fn survives(bench: &Bench, mut cluster: Cluster, publications: Publications, fault: impl AsyncFnOnce(&Recorder, &mut Cluster)) {
    let recorder = bench.record(&cluster);
    bench.converges(&cluster.address).await;
    bench.double.turn();
    bench.publish_bad_records().await;
    fault(&recorder, &mut cluster).await;
    bench.double.turn();
    bench.publish_bad_records().await;
    let healed = Instant::now();
    bench.converges(&cluster.address).await;
    eprintln!("all is right again after {:.1} s", healed.elapsed().as_secs_f32());
    cluster.assert_all_run();
    let ledger = bench.balance(cluster, &recorder).await;
    if publications == Publications::InOrder {
        assert_no_violations(&ledger.published_late());
    }
}

/// Whether the fault suite was asked for: it takes a quarter of an hour, so it has a run of its own (`.ci/long`).
fn is_wanted(test: &str) -> bool {
    let wanted = std::env::var_os("CLUSTER_FAULTS").is_some();
    if !wanted {
        // Not eprintln: the test runner would keep that to itself.
        let _ = writeln!(
            std::io::stderr(),
            "NOT RUN: {test} belongs to the fault suite, CLUSTER_FAULTS=1 or .ci/long runs it"
        );
    }
    wanted
}

async fn on_real_servers(test: &str, body: impl AsyncFnOnce(&Bench)) {
    if is_wanted(test) {
        bench::on_real_servers(test, body).await;
    }
}

async fn on_controlled_servers(test: &str, body: impl AsyncFnOnce(&Bench)) {
    if is_wanted(test) {
        bench::on_controlled_servers(test, body).await;
    }
}

/// Lets the load go on for a random part of a length.
async fn some(dice: &mut Dice, at_most: Duration) {
    let millis = u64::try_from(at_most.as_millis()).expect("short");
    tokio::time::sleep(Duration::from_millis(dice.roll(millis))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enricher_killed_under_load_loses_nothing() {
    on_real_servers("an_enricher_killed", async |bench| {
        let cluster = bench.start(3).await;
        survives(bench, cluster, Publications::MayBeLate, async |_, cluster| {
            let mut dice = Dice(whole_number("KILL_SEED", 11));
            for _ in 0..rounds() {
                some(&mut dice, Duration::from_secs(1)).await;
                cluster.enrichers.remove(0).kill().await;
                // The others take over before it comes back.
                tokio::time::sleep(SESSION + fault_length()).await;
                bench.double.turn();
                cluster.enrichers.push(bench.start_service("enricher", &[]));
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_all_enrichers_are_killed_what_was_committed_is_settled() {
    on_real_servers("whenever_all_enrichers_are_killed", async |bench| {
        let cluster = bench.start(3).await;
        survives(bench, cluster, Publications::MayBeLate, async |recorder, cluster| {
            let mut dice = Dice(whole_number("KILL_SEED", 12));
            for _ in 0..rounds() {
                some(&mut dice, Duration::from_secs(4)).await;
                for enricher in cluster.enrichers.drain(..) {
                    enricher.kill().await;
                }
                // What was on its way has arrived.
                tokio::time::sleep(Duration::from_secs(1)).await;
                let ledger = bench.ledger(recorder).await;
                assert_no_violations(&ledger.check_at_any_time());
                let committed: i64 = ledger.committed.values().sum();
                assert!(committed > 0, "nothing was committed: the check proves nothing");
                eprintln!("{committed} of {} records were committed at the kill", ledger.acknowledged.len());
                cluster.enrichers.extend((0..3).map(|_| bench.start_service("enricher", &[])));
                bench.double.turn();
                bench.converges(&cluster.address).await;
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enricher_that_sleeps_longer_than_its_session_does_no_harm_when_it_wakes() {
    on_real_servers("an_enricher_that_sleeps", async |bench| {
        let cluster = bench.start(3).await;
        survives(bench, cluster, Publications::MayBeLate, async |_, cluster| {
            for round in 0..rounds() {
                let sleeper = &cluster.enrichers[usize::try_from(round).expect("few") % 3];
                sleeper.signal("STOP").await;
                tokio::time::sleep(SESSION + fault_length()).await;
                bench.double.turn();
                sleeper.signal("CONT").await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_every_service_loses_nothing() {
    on_real_servers("a_rolling_restart", async |bench| {
        let cluster = bench.start(3).await;
        survives(bench, cluster, Publications::InOrder, async |_, cluster| {
            for _ in 0..3 {
                cluster.enrichers.remove(0).terminate().await;
                cluster.enrichers.push(bench.start_service("enricher", &[]));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            for service in [&mut cluster.detector, &mut cluster.producer, &mut cluster.scheduler] {
                let next = bench.start_service(service.name, &[]);
                std::mem::replace(service, next).terminate().await;
                bench.double.turn();
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_and_go_every_few_seconds_lose_nothing() {
    on_real_servers("members_that_come_and_go", async |bench| {
        let cluster = bench.start(3).await;
        survives(bench, cluster, Publications::MayBeLate, async |_, cluster| {
            let mut dice = Dice(whole_number("KILL_SEED", 13));
            let until = Instant::now() + 3 * fault_length();
            while Instant::now() < until {
                some(&mut dice, Duration::from_secs(3)).await;
                match dice.roll(3) {
                    0 if cluster.enrichers.len() > 1 => cluster.enrichers.remove(0).terminate().await,
                    1 if cluster.enrichers.len() > 1 => cluster.enrichers.remove(0).kill().await,
                    _ => cluster.enrichers.push(bench.start_service("enricher", &[])),
                }
            }
            // More members than partitions: some have nothing to do.
            while cluster.enrichers.len() < 4 {
                cluster.enrichers.push(bench.start_service("enricher", &[]));
            }
        })
        .await;
    })
    .await;
}

async fn server_dies(test: &str, server: Server, publications: Publications) {
    on_controlled_servers(test, async |bench| {
        let cluster = bench.start(3).await;
        survives(bench, cluster, publications, async |_, cluster| {
            for _ in 0..rounds() {
                bench.servers.kill(server).await;
                tokio::time::sleep(fault_length()).await;
                bench.double.turn();
                // Nobody gives up, nobody crashes.
                cluster.assert_all_run();
                bench.servers.start(server).await;
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn elasticsearch_killed_and_started_again_loses_nothing() {
    server_dies("elasticsearch_killed", Server::Elasticsearch, Publications::InOrder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_killed_and_started_again_loses_nothing() {
    server_dies("kafka_killed", Server::Kafka, Publications::MayBeLate).await;
}

/// One fault after the other on every connection through the proxy.
async fn misbehave(proxy: &Proxy, dice: &mut Dice) {
    let bytes = |dice: &mut Dice| Some(usize::try_from(1 + dice.roll(60_000)).expect("few"));
    let before = proxy.connections();
    for _ in 0..rounds() {
        for kind in 0..4 {
            let mut fault = Fault::default();
            match kind {
                0 => fault.cut_after = bytes(dice),
                1 => fault.truncate_after = bytes(dice),
                2 => fault.delay = Duration::from_millis(20 + dice.roll(300)),
                _ => fault.refuse = true,
            }
            proxy.set(fault);
            tokio::time::sleep(fault_length() / 2).await;
        }
        proxy.set(Fault::default());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(proxy.connections() > before + 3, "nobody connected anew: nothing was cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_way_between_enrichers_and_elasticsearch_loses_nothing() {
    on_real_servers("a_bad_way_to_elasticsearch", async |bench| {
        let upstream = bench.servers.elasticsearch.trim_start_matches("http://").trim_end_matches('/');
        let proxy = Proxy::start(upstream).await;
        let url = format!("http://{}", proxy.address);
        let cluster = bench.start_with(3, &[("ELASTICSEARCH_URL", &url)]).await;
        survives(bench, cluster, Publications::InOrder, async |_, _| {
            misbehave(&proxy, &mut Dice(whole_number("FAULT_SEED", 14))).await;
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_way_between_enrichers_and_kafka_loses_nothing() {
    on_real_servers("a_bad_way_to_kafka", async |bench| {
        // One broker is enough: the others, if there are any, are reached directly.
        let upstream = bench.servers.brokers.split(',').next().expect("one at least");
        let proxy = Proxy::start(upstream).await;
        let brokers = proxy.address.to_string();
        let cluster = bench.start_with(3, &[("KAFKA_BROKERS", &brokers)]).await;
        survives(bench, cluster, Publications::MayBeLate, async |_, _| {
            misbehave(&proxy, &mut Dice(whole_number("FAULT_SEED", 15))).await;
        })
        .await;
    })
    .await;
}
