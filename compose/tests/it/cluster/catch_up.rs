//! Catching up with a long log: how fast, with how much memory, how fresh what is shown becomes.
//!
//! `CATCH_UP_RECORDS` says how long the log is; a million by hand. Figures are printed. Where it is set, the rate is
//! compared with what the same machine does in the same minute with a bare loop that only reads, decodes and writes;
//! where it is not, other tests run beside, and a rate says nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use enricher::decode::{Input, decode};
use shared::adapters::kafka::{FollowFrom, Record, Topic};
use shared::domain::{Marketplace, UnixMillis};
use shared::ports::Catalog as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::accounts::Accounts;
use super::bench::{Bench, on_real_servers};
use super::load::{Update, asin};
use super::memory::MOST_KIB;
use super::servers::whole_number;

/// A bare loop folds nothing, reads nothing before it writes, publishes nothing and answers to nobody.
const LEAST_OF_BARE: f64 = 0.2;
/// What a single key may cost: its partition has two thirds of all records, and one worker.
const LEAST_OF_EVEN: f64 = 0.33;
/// Articles among which records are shared: five records fold into one document.
const PER_ARTICLE: usize = 5;
const BULK: usize = 2_000;
/// Looking costs the enricher time that the bare loop has for itself.
const LOOK_EVERY: Duration = Duration::from_millis(200);

fn records() -> usize {
    usize::try_from(whole_number("CATCH_UP_RECORDS", 10_000)).expect("a number of records")
}

/// Whether rates mean something: other tests run beside, unless somebody asks for a measurement.
fn is_measured() -> bool {
    std::env::var_os("CATCH_UP_RECORDS").is_some()
}

/// As long as a slow machine takes.
fn patience() -> Duration {
    Duration::from_secs(60) + Duration::from_millis(u64::try_from(records()).expect("a number of records") * 10)
}

fn price(number: usize) -> i64 {
    1_000 + i64::try_from(number).expect("few")
}

/// The record of a number in a log, of an article.
fn update(article: usize, number: usize) -> Update {
    Update {
        article,
        // In the order of the log, and none in the future.
        fetched_at: UnixMillis::now().0 - i64::try_from(records()).expect("few") + i64::try_from(number).expect("few"),
        price: Some(price(number)),
        weight: 4_000,
    }
}

/// What one process did.
struct CaughtUp {
    per_second: f64,
    peak_kib: u64,
    fresh_p99: f64,
}

impl std::fmt::Display for CaughtUp {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rate, peak, fresh) = (self.per_second, self.peak_kib, self.fresh_p99);
        write!(
            formatter,
            "{rate:.0} records per second, {peak} KiB, 99 % written within {fresh} s of their fetch"
        )
    }
}

/// Starts an enricher on what is there and stops it when all is done.
async fn catch_up(bench: &Bench) -> CaughtUp {
    let before: i64 = bench.committed().await.values().sum();
    let todo = bench.positions.count(Topic::RawUpdates).await - before;
    let enricher = bench.start_service("enricher", &[]);
    let mut began = None;
    let reading = async {
        loop {
            let accounts = Accounts::of(&enricher).await;
            if accounts.consumed > 0 {
                began.get_or_insert_with(Instant::now);
            }
            if i64::try_from(accounts.settled.values().sum::<u64>()).expect("few") >= todo {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(patience(), reading).await.expect("it catches up");
    let took = began.expect("it read something").elapsed();
    bench.reads_all(patience()).await;
    let fresh_p99 = quantile(&enricher.metrics().await, "freshness_seconds", "since=\"fetch\"", 0.99);
    let peak_kib = enricher.peak_kib();
    enricher.terminate().await;
    CaughtUp {
        per_second: todo as f64 / took.as_secs_f64(),
        peak_kib,
        fresh_p99,
    }
}

/// The bound of the bucket that a quantile of a histogram lies in.
fn quantile(metrics: &str, name: &str, label: &str, quantile: f64) -> f64 {
    let buckets: Vec<(f64, f64)> = metrics
        .lines()
        .filter(|line| line.starts_with(&format!("{name}_bucket")) && line.contains(label))
        .filter_map(|line| {
            let (bound, rest) = line.split_once("le=\"")?.1.split_once('"')?;
            Some((bound.replace("+Inf", "inf").parse().ok()?, rest.rsplit(' ').next()?.parse().ok()?))
        })
        .collect();
    let all = buckets.last().map_or(0.0, |&(_, count)| count);
    buckets.iter().find(|(_, count)| *count >= quantile * all).map_or(f64::NAN, |&(bound, _)| bound)
}

/// The whole topic once, by one loop: read, decode, write by thousands, wait. Records a second.
async fn bare_loop(bench: &Bench) -> f64 {
    let total = usize::try_from(bench.positions.count(Topic::RawUpdates).await).expect("few");
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel::<Record>();
    let end = CancellationToken::new();
    let following = bench.log.follow(Topic::RawUpdates, FollowFrom::Beginning, end.clone(), move |record| {
        // The test may have seen enough.
        let _ = sender.send(record);
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { following.await.expect("following goes on") });
    let url = format!("{}/{}/_bulk", bench.servers.elasticsearch.trim_end_matches('/'), bench.scratch_index());
    let http = reqwest::Client::new();
    let (mut done, mut body, mut began) = (0, String::new(), None);
    while done < total {
        let record = received.recv().await.expect("it follows");
        began.get_or_insert_with(Instant::now);
        let update = decode(&Input::of(&record), UnixMillis::now()).expect("a record").update;
        let shown = update.markets.len();
        body.push_str(&format!("{{\"index\":{{}}}}\n{{\"asin\":\"{}\",\"markets\":{shown}}}\n", update.asin));
        done += 1;
        if done % BULK == 0 || done == total {
            let answer = http
                .post(&url)
                .header("content-type", "application/x-ndjson")
                .body(std::mem::take(&mut body))
                .send()
                .await;
            assert!(answer.expect("an answer").status().is_success());
        }
    }
    end.cancel();
    total as f64 / began.expect("something was read").elapsed().as_secs_f64()
}

/// Guard: products are written by hundreds. Taken out (one product a call), 0.04 of the bare loop's rate; without folding or
/// without the cache it is still in time, in a debug build.
#[tokio::test(flavor = "multi_thread")]
async fn t52_catching_up_is_no_slower_than_the_machine_allows() {
    on_real_servers("t52_catching_up", async |bench: &Bench| {
        let records = records();
        bench
            .publish_updates((0..records).map(|number| update(number % (records / PER_ARTICLE), number)))
            .await;
        let caught_up = catch_up(bench).await;
        let bare = bare_loop(bench).await;
        let ratio = caught_up.per_second / bare;
        eprintln!("{records} records: {caught_up}; a bare loop: {bare:.0} per second; ratio {ratio:.2}");
        assert!(ratio >= LEAST_OF_BARE || !is_measured(), "{ratio:.2} of a bare loop's rate");
        assert!(caught_up.fresh_p99.is_finite(), "freshness is told");
        assert!(caught_up.peak_kib < MOST_KIB, "{caught_up}");
        for article in [0, 1, records / PER_ARTICLE - 1] {
            let newest = records - records / PER_ARTICLE + article;
            let held = bench
                .catalog
                .read_products(&[asin(article)])
                .await
                .expect("it answers")
                .remove(0)
                .expect("it is there");
            assert_eq!(held.value.listing.prices.get(&Marketplace::DE), Some(&price(newest)));
        }
    })
    .await;
}

/// Guard: the updates of one article in a batch are folded into one write. Taken out, it did not catch up in time.
#[tokio::test(flavor = "multi_thread")]
async fn t53_a_key_of_half_of_all_records_neither_reorders_nor_starves() {
    on_real_servers("t53_a_key_of_half", async |bench: &Bench| {
        let records = records();
        let revisions: Arc<Mutex<BTreeMap<Vec<u8>, Vec<i64>>>> = Arc::default();
        bench
            .publish_updates((0..records).map(|number| update(1_000_000 + number / PER_ARTICLE, number)))
            .await;
        let even = catch_up(bench).await;
        // Every other record is of article 0.
        let article = |number: usize| if number.is_multiple_of(2) { 0 } else { 2_000_000 + number / PER_ARTICLE };
        bench.publish_updates((0..records).map(|number| update(article(number), number))).await;
        let hot = catch_up(bench).await;
        let ratio = hot.per_second / even.per_second;
        eprintln!("{records} records, evenly: {even}; half of one key: {hot}; ratio {ratio:.2}");
        assert!(ratio >= LEAST_OF_EVEN || !is_measured(), "the others wait: {ratio:.2} of the even rate");

        let newest = (0..records).rev().find(|number| number % 2 == 0).expect("there are some");
        let held = bench
            .catalog
            .read_products(&[asin(0)])
            .await
            .expect("it answers")
            .remove(0)
            .expect("it is there")
            .value;
        assert_eq!(held.listing.prices.get(&Marketplace::DE), Some(&price(newest)));
        let noted = Arc::clone(&revisions);
        let end = CancellationToken::new();
        let following = bench.log.follow(Topic::EnrichedProducts, FollowFrom::Beginning, end.clone(), move |record| {
            let product: serde_json::Value = serde_json::from_slice(&record.payload.unwrap_or_default()).expect("JSON");
            let revision = product["revision"].as_i64().expect("a revision");
            noted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(record.key.unwrap_or_default().into())
                .or_default()
                .push(revision);
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { following.await.expect("following goes on") });
        let published = usize::try_from(bench.positions.count(Topic::EnrichedProducts).await).expect("few");
        let reading = async {
            while revisions.lock().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum::<usize>() < published {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(patience(), reading).await.expect("all is read");
        end.cancel();
        let revisions = revisions.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(revisions.values().all(|of_key| of_key.is_sorted()), "a key's revisions go back");
        let of_hot = &revisions[asin(0).as_str().as_bytes()];
        assert_eq!(of_hot.last(), Some(&held.revision));
        assert!(
            of_hot.len() * 10 < records / 2,
            "{} writes for {} records of one key",
            of_hot.len(),
            records / 2
        );
        eprintln!("{} writes for {} records of the hot key", of_hot.len(), records / 2);
    })
    .await;
}
