//! The shell: which tasks there are, and how they hang together.

use std::sync::Arc;
use std::time::Duration;

use shared::adapters::kafka::{ConsumerLimits, EventLog, EventLogError, PartitionHandlers, Topic};
use shared::domain::{Staleness, UnixMillis};
use shared::health::Health;
use shared::ports::{Catalog, Ports};
use shared::retry::Backoff;
use shared::runtime::Tasks;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::alerts::{self, Alerts};
use crate::basis::{BasisBoard, Clock, REFRESH_EVERY};
use crate::config::Config;
use crate::jobs::{Jobs, Queues};
use crate::metrics;
use crate::partition::Detector;
use crate::patience::Patience;
use crate::rates_keeper::{Memory, RatesKeeper};
use crate::rates_source::http_client;
use crate::runs::Runs;
use crate::sweep::{SweepRequests, Sweeper};

/// The group that evaluates.
const GROUP: &str = "detector";
/// The group that accepts jobs.
const JOBS_GROUP: &str = "detector-jobs";
/// The group that tells people.
const ALERTS_GROUP: &str = "alerts";
/// Products are 4 to 10 kB; a batch larger than this only makes its first event wait.
const BATCH_RECORDS: usize = 500;
/// Runs that wait for their worker.
const QUEUE: usize = 64;
/// How soon the basis is read again while something of it is missing.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const MEASURE_EVERY: Duration = Duration::from_secs(15);
/// Longer than what the consumers take to drain.
const DRAIN: Duration = Duration::from_secs(9);

/// Detects gaps until `shutdown`. A fault of the event log, the catalog or the source of rates is waited out.
///
/// # Errors
/// Settings that the client libraries refuse, another process under this one's instance name, and panics.
pub async fn run(config: Config, ports: Ports, shutdown: CancellationToken) -> anyhow::Result<()> {
    let clock: Clock = Arc::new(UnixMillis::now);
    let began = clock();
    let Ports { event_log, catalog, health } = ports;
    let publisher = event_log.publisher()?;
    let client = http_client()?;
    let patience = Patience::new(health.clone());
    let board = Arc::new(BasisBoard::new(Arc::clone(&catalog), patience.clone(), config.rules(), Arc::clone(&clock)));
    let runs = Runs::new(Arc::clone(&catalog), patience.clone(), Arc::clone(&clock));
    let (sweeps, sweep_queue) = mpsc::channel(QUEUE);
    let (rates, rates_queue) = mpsc::channel(QUEUE);
    let queues = Queues { sweeps, rates };
    let sweep_requests = SweepRequests::new(runs.clone(), queues.clone());
    let left_behind = Arc::new(Notify::new());
    left_behind.notify_one();

    let Alerts {
        judge,
        deliverer,
        fresh,
        rules,
    } = Alerts::new(
        &config.alerts,
        Arc::clone(&catalog),
        patience.clone(),
        health.clone(),
        Arc::clone(&board),
        Arc::clone(&clock),
    )?;
    let detector = Detector {
        catalog: Arc::clone(&catalog),
        publisher: publisher.clone(),
        basis: Arc::clone(&board),
        patience: patience.clone(),
        clock,
    };
    let jobs = Jobs {
        runs: runs.clone(),
        queues: queues.clone(),
        left_behind: Arc::clone(&left_behind),
        began,
    };
    let sweeper = Sweeper {
        catalog: Arc::clone(&catalog),
        publisher,
        patience: patience.clone(),
        runs: runs.clone(),
        requests: sweep_requests.clone(),
    };
    let keeper = RatesKeeper {
        catalog: Arc::clone(&catalog),
        patience: patience.clone(),
        health: health.clone(),
        board: Arc::clone(&board),
        runs: runs.clone(),
        sweeps: sweep_requests.clone(),
        configured: config.rates.clone(),
        client,
        memory: Memory::default(),
    };
    let limits = ConsumerLimits {
        batch_records: BATCH_RECORDS,
        ..ConsumerLimits::default()
    };

    let mut tasks = Tasks::new(shutdown.child_token());
    let stop = tasks.shutdown().clone();
    let until_stopped = |stop: &CancellationToken| stop.clone().cancelled_owned();
    tasks.spawn("detector", {
        let (event_log, health, stop) = (event_log.clone(), health.clone(), stop.clone());
        async move { Box::pin(consume(&event_log, GROUP, Topic::EnrichedProducts, limits, detector, &health, &stop)).await }
    });
    tasks.spawn("alerts", {
        let (event_log, health, stop) = (event_log.clone(), health.clone(), stop.clone());
        async move { Box::pin(consume(&event_log, ALERTS_GROUP, Topic::Alerts, limits, judge, &health, &stop)).await }
    });
    tasks.spawn("alerts-rules", unless(until_stopped(&stop), async move { alerts::keep_rules(&rules).await }));
    tasks.spawn("alerts-deliveries", {
        let stop = stop.clone();
        async move {
            alerts::deliver(deliverer, fresh, stop).await;
            Ok(())
        }
    });
    tasks.spawn("detector-jobs", {
        let (event_log, health, stop) = (event_log, health, stop.clone());
        async move { Box::pin(consume(&event_log, JOBS_GROUP, Topic::JobRequests, limits, jobs, &health, &stop)).await }
    });
    tasks.spawn("detector-basis", {
        let board = Arc::clone(&board);
        unless(until_stopped(&stop), async move { keep_basis(&board, &sweep_requests).await })
    });
    tasks.spawn(
        "detector-left-behind",
        unless(until_stopped(&stop), async move { take_up_left_behind(&left_behind, &runs, &queues).await }),
    );
    tasks.spawn("detector-sweeps", unless(until_stopped(&stop), async move { sweeper.work(sweep_queue).await }));
    tasks.spawn("detector-rates", unless(until_stopped(&stop), keeper.work(rates_queue)));
    tasks.spawn(
        "detector-metrics",
        unless(until_stopped(&stop), async move { measure(&catalog, &board, config.staleness).await }),
    );
    Ok(tasks.join(DRAIN).await?)
}

/// Does the work until it ends or `stop` does. What it was at is left as it is: all of it is stored step by step.
async fn unless(stop: impl Future<Output = ()>, work: impl Future<Output = ()>) -> anyhow::Result<()> {
    tokio::select! {
        () = stop => {}
        () = work => {}
    }
    Ok(())
}

/// Consumes until `stop`, again and again while the event log refuses.
async fn consume<H: PartitionHandlers + Clone>(
    event_log: &EventLog,
    group: &'static str,
    topic: Topic,
    limits: ConsumerLimits,
    handlers: H,
    health: &Health,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut backoff = Backoff::for_outside_systems();
    loop {
        match event_log.consume(group, topic, limits, handlers.clone(), stop.clone()).await {
            Ok(()) => return Ok(()),
            Err(error @ (EventLogError::Unavailable { .. } | EventLogError::Refused { .. } | EventLogError::AccessDenied { .. })) => {
                health.down("event_log", error.to_string(), UnixMillis::now());
                if backoff.wait(stop).await.is_err() {
                    return Ok(());
                }
            }
            Err(error @ (EventLogError::InstanceNameTaken { .. } | EventLogError::HandlerPanicked { .. } | EventLogError::ThreadEnded { .. })) => {
                return Err(error.into());
            }
        }
    }
}

/// Puts the rules in force, has everything evaluated by them, and reads the basis every few seconds.
async fn keep_basis(board: &BasisBoard, sweeps: &SweepRequests) {
    let mut basis = board.begin().await.basis;
    let mut simulated = basis.simulated;
    sweeps.request("sweep-on-start").await;
    loop {
        // In a fresh catalog the others are about to say what is missing: routes over currencies wait for it.
        let is_complete = simulated.is_some() && basis.rates.is_some();
        tokio::time::sleep(if is_complete { REFRESH_EVERY } else { LOOK_AGAIN }).await;
        basis = board.refresh().await.basis;
        // New settings and rates are swept for by those who write them.
        if basis.simulated != simulated {
            simulated = basis.simulated;
            tracing::info!(simulated, "the kind of data is known");
            sweeps.request("sweep-on-source").await;
        }
    }
}

/// Goes on with runs that nobody works on: at start, and when partitions of the requests come from another member.
async fn take_up_left_behind(left_behind: &Notify, runs: &Runs, queues: &Queues) {
    loop {
        left_behind.notified().await;
        for owned in runs.unfinished().await {
            tracing::info!(run_id = owned.run.id, "an unfinished run is gone on with");
            queues.hand_over(runs, owned).await;
        }
    }
}

async fn measure(catalog: &Arc<dyn Catalog>, board: &BasisBoard, staleness: Staleness) {
    loop {
        let now = UnixMillis::now();
        // The health board knows of a catalog that does not answer; the gauge keeps its last value.
        if let Ok(statistics) = catalog
            .statistics(now.plus_millis(-staleness.product_millis), now.plus_millis(-staleness.leg_millis))
            .await
        {
            metrics::OPPORTUNITIES_ACTIVE.set(i64::try_from(statistics.opportunities_active).unwrap_or(i64::MAX));
        }
        if let Some(rates) = &board.current().await.basis.rates {
            let began = rates.date.and_time(chrono::NaiveTime::MIN).and_utc();
            let age = now.to_utc().signed_duration_since(began).num_seconds();
            metrics::EXCHANGE_RATE_AGE.set(f64::from(i32::try_from(age).unwrap_or(i32::MAX)));
        }
        tokio::time::sleep(MEASURE_EVERY).await;
    }
}
