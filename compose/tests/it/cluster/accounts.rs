//! What a running enricher counts, and whether its books balance: every record it read is settled, left to the next owner
//! of its partition, or still in its hands.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::domain::UnixMillis;

use super::bench::{BAD_RECORDS, Bench, Cluster, DONE_WITHIN, assert_no_violations, on_real_servers};
use super::load::Update;
use super::services::Service;

/// More than most machines do within the time a new member needs to join; where all is done by then, four times as many come
/// before the next one.
const BACKLOG: usize = 20_000;
const TRIES: usize = 3;
/// The gauge of what is in flight is set once in a while, so the books balance a little later than the work is done.
const BALANCED_WITHIN: Duration = Duration::from_secs(30);

/// The counters of `/metrics`, in records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Read.
    pub consumed: u64,
    /// Settled, by outcome: written, unchanged, stale, dlq.
    pub settled: BTreeMap<String, u64>,
    /// Read, and left to the next owner of a partition that was taken away.
    pub left: u64,
    /// Read and not settled.
    pub in_flight: u64,
}

impl Accounts {
    /// Of a text in Prometheus' format.
    pub fn read(metrics: &str) -> Accounts {
        let mut accounts = Accounts::default();
        for line in metrics.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<u64>() else { continue };
            let label = |label: &str| name.split_once(&format!("{label}=\""))?.1.split('"').next();
            if name.starts_with("records_consumed_total{") && label("topic") == Some("raw.keepa_updates") {
                accounts.consumed += value;
            } else if name.starts_with("skipped_revoked_total{") {
                accounts.left += value;
            } else if name.starts_with("records_in_flight{") {
                accounts.in_flight += value;
            } else if name.starts_with("records_settled_total{") {
                let outcome = label("outcome").expect("an outcome");
                accounts.settled.insert(outcome.to_owned(), value);
            }
        }
        accounts
    }

    /// Of a running process.
    pub async fn of(service: &Service) -> Accounts {
        Accounts::read(&service.metrics().await)
    }

    /// Of several together.
    pub async fn of_all(services: &[Service]) -> Accounts {
        let mut sum = Accounts::default();
        for service in services {
            let one = Accounts::of(service).await;
            sum.consumed += one.consumed;
            sum.left += one.left;
            sum.in_flight += one.in_flight;
            for (outcome, count) in one.settled {
                *sum.settled.entry(outcome).or_default() += count;
            }
        }
        sum
    }

    /// Whether each record read is in one of the other columns, and in one only.
    pub fn balance(&self) -> bool {
        self.settled.values().sum::<u64>() + self.left + self.in_flight == self.consumed
    }
}

/// Waits until the books of each process balance with nothing in its hands. For moments in which nothing more comes.
pub async fn assert_balanced(enrichers: &[Service]) {
    for enricher in enrichers {
        let mut accounts = Accounts::of(enricher).await;
        let balancing = async {
            while !accounts.balance() || accounts.in_flight > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                accounts = Accounts::of(enricher).await;
            }
        };
        let balanced = tokio::time::timeout(BALANCED_WITHIN, balancing).await;
        assert!(balanced.is_ok(), "the books of an enricher do not balance: {accounts:?}");
    }
}

/// Waits until a new member is ready: its group gave it what it gets.
async fn newcomer_has_its_share(newcomer: &Service) {
    let waiting = async {
        while newcomer.readiness().await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(DONE_WITHIN, waiting).await.expect("the newcomer is ready");
}

/// Guard: what a member leaves when it is revoked is counted, and what it settles once. Taken out (what is left is not
/// counted), the books of an enricher did not balance.
#[tokio::test(flavor = "multi_thread")]
async fn t51_every_record_that_was_read_is_settled_left_or_in_flight() {
    on_real_servers("t51_every_record_that_was_read", async |bench: &Bench| {
        let mut cluster = bench.start(2).await;
        let recorder = bench.record(&cluster);
        bench.converges(&cluster.address).await;
        bench.publish_bad_records().await;
        // Members come under load: partitions are taken from the others.
        for _ in 0..2 {
            cluster.enrichers.push(bench.start_service("enricher", &[]));
            bench.double.turn();
            bench.converges(&cluster.address).await;
        }
        // And once while all hands are full: something is left to the next owner.
        let now = UnixMillis::now().0;
        let update = |article| Update {
            article,
            fetched_at: now,
            price: Some(1_999),
            weight: 500,
        };
        let (mut published, mut backlog) = (0, BACKLOG);
        for _ in 0..TRIES {
            bench.publish_updates((published..published + backlog).map(update)).await;
            (published, backlog) = (published + backlog, backlog * 4);
            let newcomer = bench.start_service("enricher", &[]);
            newcomer_has_its_share(&newcomer).await;
            cluster.enrichers.push(newcomer);
            if Accounts::of_all(&cluster.enrichers).await.left > 0 {
                break;
            }
        }
        let Cluster {
            producer,
            enrichers,
            detector,
            api,
            scheduler,
            ..
        } = cluster;
        producer.terminate().await;
        bench.is_done(DONE_WITHIN).await;
        assert_balanced(&enrichers).await;
        let all = Accounts::of_all(&enrichers).await;
        let ledger = bench.ledger(&recorder).await;
        assert_no_violations(&ledger.check_at_rest());
        let acknowledged = u64::try_from(ledger.acknowledged.len()).expect("few");
        // All members that ever were are still there: what one left, another read. What was settled behind a record that was
        // left is read again too, and changes nothing.
        let settled = all.consumed - all.left;
        assert!(settled >= acknowledged, "{all:?} of {acknowledged} records");
        assert!(all.left > 0, "nothing was left, so nothing is shown of it: {all:?}");
        let count = |outcome: &str| all.settled.get(outcome).copied().unwrap_or_default();
        assert!(
            (1..=acknowledged - BAD_RECORDS).contains(&count("written")),
            "{all:?} of {acknowledged} records"
        );
        assert!(count("dlq") >= BAD_RECORDS, "{all:?}");
        eprintln!("{all:?} of {acknowledged} records");
        for service in [detector, api, scheduler].into_iter().chain(enrichers) {
            service.terminate().await;
        }
    })
    .await;
}

#[test]
fn counters_are_read_from_the_text_and_a_record_too_many_is_noticed() {
    let text = r#"# HELP records_consumed_total Records
records_consumed_total{group="enricher",topic="raw.keepa_updates"} 12
records_consumed_total{group="other",topic="job.requests"} 99
records_in_flight{group="enricher"} 2
skipped_revoked_total{group="enricher"} 3
records_settled_total{outcome="dlq"} 1
records_settled_total{outcome="written"} 6
"#;
    let accounts = Accounts::read(text);
    let settled = BTreeMap::from([("dlq".to_owned(), 1), ("written".to_owned(), 6)]);
    let expected = Accounts {
        consumed: 12,
        settled,
        left: 3,
        in_flight: 2,
    };
    assert_eq!(accounts, expected);
    assert!(accounts.balance());
    for left in [2, 4] {
        assert!(!Accounts { left, ..accounts.clone() }.balance());
    }
}
