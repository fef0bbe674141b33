//! Products in, opportunities and alerts out; sweeps, settings, runs.

use std::time::Duration;

use detector::Config;
use shared::adapters::kafka::{Message, Topic};
use shared::config::Environment;
use shared::domain::Marketplace::{DE, ES, IT, UK};
use shared::domain::opportunity::{ClosedReason, EventKind};
use shared::domain::{OpportunityId, UnixMillis};
use shared::ports::catalog::{StateKind, StateQuery, StateRecord};
use shared::wire::job::JobParameters;
use shared::wire::state::{Run, RunProgress, RunStatus};
use shared::wire::{JobKind, JobRequest};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bench::{Bench, product, until, within};

/// A detector at work.
pub struct Running {
    stop: CancellationToken,
    task: JoinSet<anyhow::Result<()>>,
}

impl Running {
    pub fn start(bench: &Bench, variables: &[(&str, &str)]) -> Running {
        let environment = Environment::of(variables.iter().copied());
        let config = Config::read(&environment);
        let config = environment.finish(config).unwrap();
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(detector::run(config, bench.ports(), stop.clone()));
        Running { stop, task }
    }

    pub async fn stop(mut self) {
        self.stop.cancel();
        let began = std::time::Instant::now();
        within("the end", self.task.join_next()).await.unwrap().unwrap().unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }

    /// As kill -9 leaves it: nothing is drained.
    pub async fn kill(mut self) {
        self.task.shutdown().await;
    }
}

pub async fn until_stored(bench: &Bench, id: &str, is_so: impl Fn(&shared::domain::Opportunity) -> bool) -> shared::domain::Opportunity {
    until(id, async || bench.opportunity(id).await.filter(|stored| is_so(stored))).await
}

pub async fn runs(bench: &Bench) -> Vec<Run> {
    let query = StateQuery {
        group: None,
        status: None,
        ascending: true,
        limit: 100,
        cursor: None,
    };
    let page = bench.catalog.list_states(StateKind::Runs, &query).await.unwrap();
    page.items
        .into_iter()
        .map(|record| serde_json::from_value(record.value.body).unwrap())
        .collect()
}

pub async fn until_run(bench: &Bench, job: &str, is_so: impl Fn(&Run) -> bool) -> Run {
    until(job, async || runs(bench).await.into_iter().find(|run| run.request.job == job && is_so(run))).await
}

pub fn job(job: &str, kind: JobKind, tick: i64) -> JobRequest {
    JobRequest {
        v: 1,
        job: job.into(),
        run_id: JobRequest::run_id(job, UnixMillis(tick)),
        kind,
        tick: UnixMillis(tick),
        priority: 0,
        token_budget: None,
        parameters: JobParameters::default(),
    }
}

pub async fn ask(bench: &Bench, request: &JobRequest) {
    let message = Message::new(request.job.as_str(), Some(serde_json::to_vec(request).unwrap()));
    bench.publish(Topic::JobRequests, message).await;
}

pub fn is_done(run: &Run) -> bool {
    run.status == RunStatus::Succeeded
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reference_case_is_found_and_told() {
    let bench = Bench::start().await;
    let detector = Running::start(&bench, &[]);
    let now = UnixMillis::now();
    bench
        .bring(&product("B0D1XD1ZV3", now.0, now, &[(DE, Some(4999)), (IT, Some(5499)), (ES, Some(4799))]))
        .await;
    let stored = until_stored(&bench, "B0D1XD1ZV3:ES:IT", |_| true).await;
    assert_eq!((stored.margin.minor, stored.margin_percentage.to_string()), (700, "14.59".to_owned()));
    assert_eq!(bench.alert_ids(1).await, ["B0D1XD1ZV3:ES:IT#1"]);
    let others: Vec<OpportunityId> = OpportunityId::routes("B0D1XD1ZV3".parse().unwrap(), &[DE, IT, ES])
        .filter(|id| (id.source, id.target) != (ES, IT))
        .collect();
    assert_eq!(bench.catalog.read_opportunities(&others).await.unwrap(), vec![None; 5]);
    detector.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_while_it_was_down_is_found_by_the_sweep_at_start() {
    let bench = Bench::start().await;
    let now = UnixMillis::now();
    for number in 0..450 {
        bench
            .store(&product(&format!("B{number:09}"), now.0, now, &[(ES, Some(4799)), (IT, Some(5499))]))
            .await;
    }
    let detector = Running::start(&bench, &[]);
    let run = until_run(&bench, "sweep-on-start", is_done).await;
    assert_eq!((run.products, run.attempts, run.progress), (450, 1, RunProgress::default()));
    until_stored(&bench, "B000000449:ES:IT", |_| true).await;
    assert_eq!(bench.alert_ids(450).await.len(), 450);
    detector.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_threshold_or_marketplace_closes_and_opens_what_is_stored() {
    let bench = Bench::start().await;
    let now = UnixMillis::now();
    let id = "B0D1XD1ZV3:ES:IT";
    bench.store(&product("B0D1XD1ZV3", now.0, now, &[(ES, Some(4799)), (IT, Some(5499))])).await;
    let detector = Running::start(&bench, &[]);
    until_stored(&bench, id, |stored| stored.is_active).await;
    detector.stop().await;

    let detector = Running::start(&bench, &[("MIN_MARGIN_PERCENT", "15")]);
    let stored = until_stored(&bench, id, |stored| !stored.is_active).await;
    assert_eq!((stored.closed_reason, stored.margin_percentage.0), (Some(ClosedReason::Config), 1459));
    detector.stop().await;

    let detector = Running::start(&bench, &[("MIN_MARGIN_PERCENT", "14.58")]);
    until_stored(&bench, id, |stored| stored.is_active).await;
    detector.stop().await;

    let detector = Running::start(&bench, &[("MARKETS", "DE,IT"), ("MIN_MARGIN_PERCENT", "14.58")]);
    let stored = until_stored(&bench, id, |stored| !stored.is_active).await;
    assert_eq!((stored.closed_reason, stored.event_seq), (Some(ClosedReason::Config), 4));
    detector.stop().await;
    // Alerts of the last seconds before a stop may be told again, under the same id.
    let ids = until("all alerts", async || {
        Some(bench.alert_ids(4).await).filter(|ids| ids.last().is_some_and(|last| last.ends_with("#4")))
    })
    .await;
    let distinct: std::collections::BTreeSet<String> = ids.into_iter().collect();
    assert_eq!(distinct, [1, 2, 3, 4].map(|number| format!("{id}#{number}")).into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pounds_count_once_it_is_known_that_the_data_is_simulated() {
    let bench = Bench::start().await;
    let detector = Running::start(&bench, &[]);
    let now = UnixMillis::now();
    bench
        .bring(&product("B0D1XD1ZV3", now.0, now, &[(UK, Some(4000)), (DE, Some(5499)), (ES, Some(4000))]))
        .await;
    until_stored(&bench, "B0D1XD1ZV3:ES:DE", |_| true).await;
    assert_eq!(bench.opportunity("B0D1XD1ZV3:UK:DE").await, None);
    bench.say_simulated(true).await;
    let stored = until_stored(&bench, "B0D1XD1ZV3:UK:DE", |_| true).await;
    // 40.00 / 0.85363 = 46.8586…
    assert_eq!(stored.source_price_eur.minor, 4686);
    assert_eq!(stored.exchange_rate.unwrap().date.to_string(), "2026-01-09");
    // Real data after all: the shipped rates are for simulated data only.
    bench.say_simulated(false).await;
    let stored = until_stored(&bench, "B0D1XD1ZV3:UK:DE", |stored| !stored.is_active).await;
    assert_eq!(stored.closed_reason, Some(ClosedReason::Rate));
    assert!(bench.opportunity("B0D1XD1ZV3:ES:DE").await.unwrap().is_active);
    detector.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requested_sweep_runs_once_and_other_jobs_pass() {
    let bench = Bench::start().await;
    let detector = Running::start(&bench, &[]);
    until_run(&bench, "sweep-on-start", is_done).await;
    let now = UnixMillis::now();
    // Written and never told: a crash of the enricher.
    bench.store(&product("B0D1XD1ZV3", now.0, now, &[(ES, Some(4799)), (IT, Some(5499))])).await;
    bench.publish(Topic::JobRequests, Message::new("odd", Some(b"no JSON".to_vec()))).await;
    bench
        .publish(Topic::JobRequests, Message::new("compaction", Some(br#"{"v":1,"kind":"compaction"}"#.to_vec())))
        .await;
    ask(&bench, &job("category-scrape", JobKind::Scrape, 1)).await;
    for _ in 0..3 {
        ask(&bench, &job("sweep", JobKind::Sweep, 60_000)).await;
    }
    let run = until_run(&bench, "sweep", is_done).await;
    assert_eq!((run.id.as_str(), run.attempts, run.products), ("sweep@1970-01-01T00:01:00.000Z", 1, 1));
    assert!(run.finished_at.is_some() && run.error.is_none());
    until_stored(&bench, "B0D1XD1ZV3:ES:IT", |_| true).await;
    // The next one comes after all of them.
    ask(&bench, &job("sweep", JobKind::Sweep, 120_000)).await;
    until("the next sweep", async || {
        runs(&bench).await.into_iter().find(|run| run.id.contains("00:02") && is_done(run))
    })
    .await;
    let ids: Vec<_> = runs(&bench).await.into_iter().map(|run| run.request.job).collect();
    assert!(!ids.contains(&"category-scrape".to_owned()), "{ids:?}");
    detector.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_left_behind_is_gone_on_with_from_its_cursor() {
    let bench = Bench::start().await;
    let now = UnixMillis::now();
    for number in 0..250 {
        bench
            .store(&product(&format!("B{number:09}"), now.0, now, &[(ES, Some(4799)), (IT, Some(5499))]))
            .await;
    }
    // A sweep whose process was killed after its first page.
    let query = shared::ports::catalog::ProductQuery {
        text: None,
        market: None,
        brand: None,
        category: None,
        active: None,
        price_bounds: std::collections::BTreeMap::new(),
        sort: shared::ports::catalog::Sort {
            field: shared::ports::catalog::ProductSort::Asin,
            descending: false,
        },
        limit: 200,
        cursor: None,
    };
    let cursor = bench.catalog.search_products(&query).await.unwrap().next_cursor;
    let request = job("sweep", JobKind::Sweep, 60_000);
    let run = Run {
        id: request.run_id.clone(),
        request: request.clone(),
        status: RunStatus::Running,
        started_at: UnixMillis(60_001),
        finished_at: None,
        attempts: 1,
        products: 200,
        tokens: 0,
        error: None,
        progress: RunProgress {
            cursor,
            ..RunProgress::default()
        },
    };
    let record = StateRecord {
        id: run.id.clone(),
        group: Some("sweep".into()),
        status: Some("running".into()),
        at: run.started_at,
        body: serde_json::to_value(&run).unwrap(),
    };
    bench.write_state(StateKind::Runs, record).await;
    // Its request comes again, since the offset was never let go.
    ask(&bench, &request).await;
    let detector = Running::start(&bench, &[]);
    let run = until_run(&bench, "sweep", is_done).await;
    assert_eq!((run.attempts, run.products), (2, 250));
    detector.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_tells_every_alert_under_one_id() {
    let bench = Bench::start().await;
    let now = UnixMillis::now();
    let asins: Vec<String> = (0..60).map(|number| format!("B{number:09}")).collect();
    for (round, millis) in [40, 150, 300, 450, 700].into_iter().enumerate() {
        let detector = Running::start(&bench, &[]);
        for (number, asin) in asins.iter().enumerate() {
            let target = if (number + round) % 2 == 0 { 6000 } else { 4800 };
            bench
                .bring(&product(
                    asin,
                    now.0 + i64::try_from(round).unwrap(),
                    now,
                    &[(ES, Some(4799)), (IT, Some(target))],
                ))
                .await;
        }
        // Not a wait for something: the moment of the kill.
        tokio::time::sleep(Duration::from_millis(millis)).await;
        detector.kill().await;
    }
    let detector = Running::start(&bench, &[]);
    for (number, asin) in asins.iter().enumerate() {
        let is_open = (number + 4) % 2 == 0;
        until(asin, async || {
            let stored = bench.opportunity(&format!("{asin}:ES:IT")).await;
            (stored.is_some_and(|stored| stored.is_active) == is_open).then_some(())
        })
        .await;
    }
    for asin in &asins {
        let Some(stored) = bench.opportunity(&format!("{asin}:ES:IT")).await else {
            continue;
        };
        // Each number was told, the last one as it is stored, and never two things under one.
        until(asin, async || {
            let told: std::collections::BTreeMap<String, EventKind> = bench
                .events()
                .into_iter()
                .filter(|event| event.opportunity.asin.as_str() == asin)
                .filter_map(|event| Some((event.alert_id?, event.event)))
                .collect();
            let complete = (1..=stored.event_seq).all(|number| told.contains_key(&format!("{asin}:ES:IT#{number}")));
            complete.then_some(())
        })
        .await;
        let mut by_id = std::collections::BTreeMap::new();
        for event in bench.events().into_iter().filter(|event| event.opportunity.asin.as_str() == asin) {
            let Some(id) = event.alert_id else { continue };
            let before = by_id.insert(id.clone(), (event.event, event.at));
            assert!(before.is_none_or(|before| before == (event.event, event.at)), "{id}");
        }
        assert_eq!(by_id.len(), usize::try_from(stored.event_seq).unwrap(), "{asin}");
    }
    detector.stop().await;
}
