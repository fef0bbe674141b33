//! Starts everything in order, and stops it in order: services drain and commit, the embedded broker goes last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use producer::simulator;
use shared::adapters::elastic::ElasticCatalog;
use shared::adapters::embedded::broker::EmbeddedBroker;
use shared::adapters::embedded::catalog::EmbeddedCatalog;
use shared::boot::PREPARE_FIRST;
use shared::health::Health;
use shared::ports::{Catalog, EndingCatalog, Ports};
use shared::runtime::Tasks;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::data_dir::DataDir;

/// How long the services may drain after the first signal.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the broker and the simulator, which have nothing to drain, may take afterwards.
const DRAIN_INFRASTRUCTURE: Duration = Duration::from_secs(1);

/// Where the started product is reached.
#[derive(Clone)]
pub struct Ready {
    /// The API's address.
    pub api: SocketAddr,
    /// The event log's bootstrap address.
    pub brokers: String,
    /// The simulator's address; none with real Keepa.
    pub simulator_url: Option<String>,
    /// What the services were given.
    pub ports: Ports,
}

/// How long an Elasticsearch that does not answer is waited for after the shutdown: less than the services may drain.
const CATALOG_GRACE: Duration = Duration::from_secs(3);

/// Runs the whole product until `shutdown` is cancelled or a task fails.
///
/// `on_ready` is called once, when the API answers.
///
/// # Errors
/// What cannot be used at start (data folder, ports), and the first failure of a task.
pub async fn run_all(config: Config, shutdown: CancellationToken, on_ready: impl FnOnce(Ready)) -> anyhow::Result<()> {
    let simulated = config.simulator.is_some();
    let needs_folder = config.event_log.brokers.is_none() || config.elastic.is_none();
    let data_dir = if needs_folder {
        Some(DataDir::lock(&config.data_dir, simulated)?)
    } else {
        None
    };

    // What has to outlive the services has a token of its own.
    let infrastructure_shutdown = CancellationToken::new();
    let mut infrastructure = Tasks::new(infrastructure_shutdown.clone());

    let brokers = match (&config.event_log.brokers, &data_dir) {
        (Some(brokers), _) => brokers.clone(),
        (None, folder) => {
            let folder = folder.as_ref().context("the embedded event log needs DATA_DIR")?;
            let broker = EmbeddedBroker::start(folder.path(), config.event_log_retention, config.event_log_limit).await?;
            let bootstrap = broker.bootstrap();
            let ended = infrastructure_shutdown.clone();
            infrastructure.spawn("embedded event log", async move {
                broker.run(ended).await;
                Ok(())
            });
            bootstrap
        }
    };
    let catalog: Arc<dyn Catalog> = match (&config.elastic, &data_dir) {
        (Some(elastic), _) => {
            let elastic = Arc::new(ElasticCatalog::connect(elastic.clone())?);
            Arc::new(EndingCatalog::new(elastic, shutdown.clone(), CATALOG_GRACE))
        }
        (None, folder) => Arc::new(EmbeddedCatalog::open(&folder.as_ref().context("the embedded catalog needs DATA_DIR")?.catalog()).await?),
    };
    let mut producer_config = config.producer;
    let simulator_url = match config.simulator {
        None => None,
        Some(simulator_config) => {
            let simulator = simulator::start(simulator_config).await.context("the Keepa simulator cannot start")?;
            let url = simulator.url();
            producer_config.keepa_url = url.parse().context("the simulator's address is no URL")?;
            producer_config.initial_asins = simulator.handle().world().asins().to_vec();
            let ended = infrastructure_shutdown.clone();
            infrastructure.spawn("keepa simulator", async move { Ok(simulator.serve(ended).await?) });
            Some(url)
        }
    };

    let embedded_log = config.event_log.brokers.is_none();
    let ports = Ports {
        event_log: config.event_log.connect(brokers.clone(), embedded_log, "compose"),
        catalog,
        health: Health::default(),
    };
    let api = api::bind(&config.api).await?;
    let ready = Ready {
        api: api.local_addr(),
        brokers,
        simulator_url,
        ports: ports.clone(),
    };

    let mut services = Tasks::new(shutdown.clone());
    // It answers from the start, also while there are no topics yet.
    services.spawn("api", api.run(ports.clone(), shutdown.clone()));
    let prepared = tokio::time::timeout(PREPARE_FIRST, ports.prepare(&shutdown)).await;
    if prepared.is_err() {
        let (ports, shutdown) = (ports.clone(), shutdown.clone());
        services.spawn("prepare", async move {
            ports.prepare(&shutdown).await;
            Ok(())
        });
    }
    {
        let (ports, shutdown) = (ports.clone(), shutdown.clone());
        services.spawn("watch", async move {
            ports.watch(&shutdown).await;
            Ok(())
        });
    }
    services.spawn("enricher", enricher::run(config.enricher, ports.clone(), shutdown.clone()));
    services.spawn("detector", detector::run(config.detector, ports.clone(), shutdown.clone()));
    services.spawn("producer", producer::run(producer_config, ports.clone(), shutdown.clone()));
    services.spawn("scheduler", scheduler::run(config.scheduler, ports, shutdown.clone()));
    on_ready(ready);

    // A clean stop takes the services first. A broker or simulator that dies takes the services along.
    let services = async {
        let result = services.join(DRAIN).await;
        infrastructure_shutdown.cancel();
        result
    };
    let infrastructure = async {
        let result = infrastructure.join(DRAIN_INFRASTRUCTURE).await;
        shutdown.cancel();
        result
    };
    let (services, infrastructure) = tokio::join!(services, infrastructure);
    services?;
    infrastructure?;
    Ok(())
}
