//! What a test of the scheduler has around it: a broker, a catalog, and an eye on the topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{Datelike as _, NaiveDate};
use scheduler::Config;
use shared::adapters::embedded::broker::EmbeddedBroker;
use shared::adapters::embedded::catalog::EmbeddedCatalog;
use shared::adapters::kafka::{EventLog, EventLogConfig, FollowFrom, Topic};
use shared::config::Environment;
use shared::domain::UnixMillis;
use shared::health::{Condition as HealthCondition, Health};
use shared::ports::catalog::{Condition, StateKind, StateRecord, Write, WriteOutcome};
use shared::ports::{Catalog, Ports};
use shared::runtime::Tasks;
use shared::wire::state::{RequestedJob, Run, RunProgress, RunStatus, SchedulerStatus};
use shared::wire::{JobKind, JobRequest};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::flaky::FlakyCatalog;

/// Long enough for two cores that do other things as well; nothing waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The broker and the reader of the topic live in here until the world is dropped.
pub(crate) struct World {
    pub(crate) catalog: Arc<FlakyCatalog>,
    ports: Ports,
    requests: mpsc::UnboundedReceiver<JobRequest>,
    schedulers: Option<Tasks>,
    _surroundings: Tasks,
    _folder: tempfile::TempDir,
}

/// The tick that yearly schedules issue.
pub(crate) fn latest_new_year() -> UnixMillis {
    let year = UnixMillis::now().to_utc().year();
    let midnight = NaiveDate::from_ymd_opt(year, 1, 1).and_then(|day| day.and_hms_opt(0, 0, 0)).expect("a date");
    UnixMillis(midnight.and_utc().timestamp_millis())
}

/// Notes that an attempt at a tick was requested.
pub(crate) fn note_requested(status: &mut SchedulerStatus, job: &str, tick: UnixMillis, run_id: Option<String>, attempt: u32) {
    let requested_at = UnixMillis::now();
    status.jobs.insert(
        job.to_owned(),
        RequestedJob {
            tick,
            attempt,
            run_id,
            requested_at,
        },
    );
}

impl World {
    pub(crate) async fn new() -> World {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut surroundings = Tasks::new(CancellationToken::new());
        let shutdown = surroundings.shutdown().clone();
        let broker = EmbeddedBroker::start(folder.path(), Duration::from_secs(3_600), 1 << 30)
            .await
            .expect("a broker");
        let event_log = EventLog::new(EventLogConfig {
            brokers: broker.bootstrap(),
            topic_prefix: format!("t{:x}.", rand::random::<u32>()),
            partitions: 1,
            replication: 1,
            embedded: true,
            instance_name: None,
            client_id: "scheduler-test".into(),
            extra: BTreeMap::new(),
            ..EventLogConfig::default()
        });
        let serving = shutdown.clone();
        surroundings.spawn("broker", async move {
            broker.run(serving).await;
            Ok(())
        });
        let catalog = EmbeddedCatalog::open(&folder.path().join("catalog.sqlite")).await.expect("a catalog");
        let catalog = Arc::new(FlakyCatalog::new(catalog));
        let ports = Ports {
            event_log: event_log.clone(),
            catalog: Arc::clone(&catalog) as Arc<dyn Catalog>,
            health: Health::default(),
        };
        ports.prepare(&shutdown).await;
        let (sender, requests) = mpsc::unbounded_channel();
        let following = event_log.follow(Topic::JobRequests, FollowFrom::Beginning, shutdown.clone(), move |record| {
            assert!(record.header("traceparent").is_some());
            let request: JobRequest = serde_json::from_slice(&record.payload.expect("a payload")).expect("a request");
            assert_eq!(record.key.as_deref(), Some(request.job.as_bytes()));
            let _ = sender.send(request);
        });
        surroundings.spawn("follower", async move { Ok(following.await?) });
        World {
            catalog,
            ports,
            requests,
            schedulers: None,
            _surroundings: surroundings,
            _folder: folder,
        }
    }

    /// Starts a scheduler; a second one runs beside the first.
    pub(crate) fn start(&mut self, variables: &[(&str, &str)]) {
        let environment = Environment::of(variables.iter().copied());
        let config = Config::read(&environment);
        let config = environment.finish(config).expect("a valid configuration");
        let schedulers = self.schedulers.get_or_insert_with(|| Tasks::new(CancellationToken::new()));
        let shutdown = schedulers.shutdown().clone();
        schedulers.spawn("scheduler", scheduler::run(config, self.ports.clone(), shutdown));
    }

    /// Stops all schedulers.
    pub(crate) async fn stop(&mut self) {
        let schedulers = self.schedulers.take().expect("a scheduler was started");
        schedulers.shutdown().cancel();
        schedulers.join(Duration::from_secs(5)).await.expect("a clean stop");
    }

    /// The next request on the topic.
    pub(crate) async fn next_request(&mut self) -> JobRequest {
        let request = tokio::time::timeout(PATIENCE, self.requests.recv()).await.expect("a request in time");
        request.expect("the follower runs")
    }

    async fn read(&self, kind: StateKind, id: &str) -> (Option<StateRecord>, Condition) {
        let mut records = loop {
            // The scheduler's failures may hit the test's reads.
            if let Ok(records) = self.catalog.read_states(kind, &[id.to_owned()]).await {
                break records;
            }
        };
        match records.pop().flatten() {
            Some(record) => (Some(record.value), Condition::Unchanged(record.version)),
            None => (None, Condition::Absent),
        }
    }

    async fn write(&self, kind: StateKind, value: StateRecord, condition: Condition) {
        let outcomes = self.catalog.write_states(kind, &[Write { value, condition }]).await.expect("an answer");
        assert!(matches!(outcomes[..], [WriteOutcome::Written(_)]), "{outcomes:?}");
    }

    async fn status(&self) -> (SchedulerStatus, Condition) {
        let (record, condition) = self.read(StateKind::Status, "scheduler").await;
        let status = record.map(|record| serde_json::from_value(record.body).expect("a status"));
        (status.unwrap_or_default(), condition)
    }

    /// The scheduler's record, once it is as expected.
    pub(crate) async fn status_when(&self, is_expected: impl Fn(&SchedulerStatus) -> bool) -> SchedulerStatus {
        let looking = async {
            loop {
                let (status, _) = self.status().await;
                if is_expected(&status) {
                    return status;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("the record in time")
    }

    /// Changes the scheduler's record while none runs.
    pub(crate) async fn edit_status(&self, edit: impl FnOnce(&mut SchedulerStatus)) {
        let (mut status, condition) = self.status().await;
        edit(&mut status);
        let record = StateRecord {
            id: "scheduler".into(),
            group: None,
            status: None,
            at: UnixMillis::now(),
            body: serde_json::to_value(&status).expect("a record"),
        };
        self.write(StateKind::Status, record, condition).await;
    }

    /// Does as a worker does with a run of the category scrape.
    pub(crate) async fn put_run(&self, id: &str, status: RunStatus, at: UnixMillis) {
        let (_, condition) = self.read(StateKind::Runs, id).await;
        let is_ended = matches!(status, RunStatus::Succeeded | RunStatus::Failed);
        let run = Run {
            id: id.into(),
            request: JobRequest {
                v: 1,
                job: "category-scrape".into(),
                run_id: id.into(),
                kind: JobKind::Scrape,
                tick: at,
                priority: 0,
                token_budget: None,
                parameters: Default::default(),
            },
            status,
            started_at: at,
            finished_at: is_ended.then_some(at),
            attempts: 1,
            products: 0,
            tokens: 0,
            error: None,
            progress: RunProgress::default(),
        };
        let record = StateRecord {
            id: id.into(),
            group: Some("category-scrape".into()),
            status: Some(status.name().into()),
            at,
            body: serde_json::to_value(&run).expect("a record"),
        };
        self.write(StateKind::Runs, record, condition).await;
    }

    /// Waits until the scheduler's condition is as expected.
    pub(crate) async fn health_when(&self, is_expected: impl Fn(&HealthCondition) -> bool) {
        let looking = async {
            while !self
                .ports
                .health
                .snapshot()
                .get("scheduler")
                .is_some_and(|component| is_expected(&component.condition))
            {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("the condition in time");
    }
}
