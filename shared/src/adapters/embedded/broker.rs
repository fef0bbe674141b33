//! A broker for the event log inside the process, for when no Kafka is installed: tansu over SQLite.
//!
//! It speaks Kafka's protocol on a free loopback port, so [`crate::adapters::kafka`] is its only client too. Records and
//! committed offsets are in one SQLite file and survive a kill of the process; a crash of the machine may cost the last
//! second, and one broker on one disk is no more durable than that disk.
//!
//! What differs from tansu as it comes:
//! - *Fetching* is done here (`broker/fetch.rs`): answered as soon as records arrive, at a cost that does not grow with
//!   the backlog, and with `OFFSET_OUT_OF_RANGE` where records are gone.
//! - *Storage* goes through one gate (`broker/gate.rs`): maintenance and tansu never write at the same time, a topic that
//!   does not exist is refused before it ends tansu's storage task, and a storage task that ended is started again.
//! - *Retention* (`broker/retention.rs`): records older than the retention go, and the oldest go early when the file
//!   exceeds its limit. Space is given back.
//! - *Groups* start without members: all of them lived in the process that ended. What the coordinator keeps of a member
//!   that is gone is forgotten (`broker/groups.rs`), or the others would wait for it for ever.
//! - *Threads* are its own (`broker/engine.rs`): SQLite blocks them, and what tansu says on them is not heard. It logs every
//!   integer it decodes at info, keys and values at others.

mod engine;
mod fetch;
mod gate;
mod groups;
mod log_file;
mod retention;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rama::layer::{MapErrLayer, MapStateLayer};
use rama::{Context, Layer as _, Service as _};
use tansu_broker::coordinator::group::administrator::Controller;
use tansu_broker::service as tansu;
use tansu_sans_io::{ApiKey as _, FetchRequest};
use tansu_service::{BytesFrameLayer, FrameRequestLayer, FrameRouteService, TcpBytesLayer, TcpContext, TcpContextLayer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use url::Url;

use engine::Engine;
use fetch::Fetch;
use gate::Gate;
use log_file::LogFile;
use retention::Retention;

use crate::domain::UnixMillis;

/// The file under the data folder.
const FILE_NAME: &str = "event_log.db";
const CLUSTER: &str = "embedded";
const NODE: i32 = 1;

/// How often old records are looked for.
const RETAIN_EVERY: Duration = Duration::from_secs(60);
/// How often the size is looked at.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// Why the broker does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The data folder or the file in it cannot be used: full, read-only, locked by another process, or damaged.
    #[error("the event log's file {path} cannot be used")]
    File {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system has no threads to spare.
    #[error("the event log's threads cannot be started")]
    Threads(#[source] std::io::Error),
    /// No loopback port to be had.
    #[error("the event log cannot listen on the loopback address")]
    Listen(#[source] std::io::Error),
}

/// The broker. It listens from [`EmbeddedBroker::start`] on and answers while [`EmbeddedBroker::run`] runs.
pub struct EmbeddedBroker {
    engine: Engine,
    listener: TcpListener,
    address: SocketAddr,
    gate: Gate,
    file: Arc<LogFile>,
    retention: Retention,
}

impl EmbeddedBroker {
    /// Opens or creates the log under `data_dir` and takes a free loopback port.
    ///
    /// Records are kept for `retention`. `size_limit` is in bytes: beyond it the oldest records go early, whether they
    /// were read or not, with a warning; a full disk would take the catalog down as well, and what is lost can be asked
    /// of Keepa again.
    ///
    /// # Errors
    /// Where the file cannot be used or no port is to be had.
    pub async fn start(data_dir: &Path, retention: Duration, size_limit: u64) -> Result<EmbeddedBroker, BrokerError> {
        EmbeddedBroker::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), data_dir, retention, size_limit).await
    }

    /// As [`EmbeddedBroker::start`], on an address of the caller's choice: a broker that comes back where it was.
    ///
    /// # Errors
    /// Where the file cannot be used or the address is taken.
    pub async fn start_on(address: SocketAddr, data_dir: &Path, retention: Duration, size_limit: u64) -> Result<EmbeddedBroker, BrokerError> {
        let began = std::time::Instant::now();
        let path = data_dir.join(FILE_NAME);
        let engine = Engine::start().map_err(BrokerError::Threads)?;
        let (listener, address, file, gate) = engine
            .run(open(address, path.clone(), tracing::dispatcher::get_default(tracing::Dispatch::clone)))
            .await?;
        let broker = EmbeddedBroker {
            engine,
            listener,
            address,
            retention: Retention::new(Arc::clone(&file), gate.clone(), retention, size_limit),
            gate,
            file,
        };
        tracing::info!(
            address = %broker.address,
            path = %path.display(),
            bytes = broker.size_bytes(),
            elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "embedded event log ready"
        );
        Ok(broker)
    }

    /// The address for clients, `host:port`.
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// What the log takes on disk: the file and what is about to be moved into it.
    pub fn size_bytes(&self) -> u64 {
        self.file.size_bytes()
    }

    /// Deletes what is too old or too much, now. [`EmbeddedBroker::run`] does so every minute; tests do not wait.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn maintain(&self) -> Result<Maintained, libsql::Error> {
        self.retention.run(UnixMillis::now()).await
    }

    /// Serves until `shutdown`. Stop the clients first: their last offsets are committed here.
    pub async fn run(&self, shutdown: CancellationToken) {
        // Dropped at the end, connections and all: a client that is still there finds its connection closed.
        let mut connections = JoinSet::new();
        let mut retain = tokio::time::interval(RETAIN_EVERY);
        retain.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut measure = tokio::time::interval(MEASURE_EVERY);
        measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let maintain = async {
            loop {
                let outcome = tokio::select! {
                    _ = retain.tick() => self.retention.run(UnixMillis::now()).await.map(drop),
                    _ = measure.tick() => self.retention.keep_below_limit().await.map(drop),
                };
                if let Err(error) = outcome {
                    tracing::warn!(%error, "the event log's file could not be maintained");
                }
            }
        };
        tokio::pin!(maintain);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn_on(serve(stream, self.gate.clone(), Arc::clone(&self.file)), self.engine.handle());
                    }
                    Err(error) => {
                        // Out of file handles, most likely: give others time to close some.
                        tracing::warn!(%error, "the embedded event log cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = &mut maintain => {}
            }
        }
        // A request that is cut off in the middle ends tansu's storage task, so it is let finish first.
        self.gate.close().await;
        connections.shutdown().await;
        if let Err(error) = self.file.checkpoint().await {
            tracing::warn!(%error, "the event log's file was left with its write-ahead log");
        }
    }
}

pub use retention::Maintained;

async fn open(address: SocketAddr, path: PathBuf, log: tracing::Dispatch) -> Result<(TcpListener, SocketAddr, Arc<LogFile>, Gate), BrokerError> {
    let in_file = |source: Box<dyn std::error::Error + Send + Sync>| BrokerError::File { path: path.clone(), source };
    let listener = TcpListener::bind(address).await.map_err(BrokerError::Listen)?;
    let address = listener.local_addr().map_err(BrokerError::Listen)?;
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(|error| in_file(error.into()))?;
    let file = LogFile::open(&path).await.map_err(|error| in_file(error.into()))?;
    let advertised = Url::parse(&format!("tcp://{address}")).map_err(|error| in_file(error.into()))?;
    let gate = Gate::open(&path, CLUSTER, NODE, advertised, Arc::clone(&file), log)
        .await
        .map_err(|error| in_file(error.into()))?;
    // tansu has made its tables by now.
    file.prepare().await.map_err(|error| in_file(error.into()))?;
    Ok((listener, address, file, gate))
}

/// Serves one connection until its client goes.
async fn serve(stream: TcpStream, gate: Gate, file: Arc<LogFile>) {
    let served = async {
        stream.set_nodelay(true)?;
        routes(gate, file)?.serve(Context::default(), stream).await
    };
    if let Err(error) = served.await {
        // A client that closes its connection comes by here as well.
        tracing::debug!(%error, "a connection to the embedded event log ended");
    }
}

/// All of tansu's routes but the one for fetching.
fn routes(gate: Gate, file: Arc<LogFile>) -> Result<impl rama::Service<(), TcpStream, Response = (), Error = tansu_broker::Error>, tansu_broker::Error> {
    let builder = FrameRouteService::<(), tansu_broker::Error>::builder();
    let builder = [
        tansu::storage::create_topics,
        tansu::storage::delete_groups,
        tansu::storage::delete_records,
        tansu::storage::delete_topics,
        tansu::storage::describe_cluster,
        tansu::storage::describe_configs,
        tansu::storage::describe_groups,
        tansu::storage::describe_topic_partitions,
        tansu::storage::consumer_group_describe,
        tansu::storage::find_coordinator,
        tansu::storage::get_telemetry_subscriptions,
        tansu::storage::incremental_alter_configs,
        tansu::storage::init_producer_id,
        tansu::storage::list_groups,
        tansu::storage::list_offsets,
        tansu::storage::list_partition_reassignments,
        tansu::storage::metadata,
        tansu::storage::produce,
    ]
    .iter()
    .try_fold(builder, |builder, route| route(builder, gate.clone()))?;
    let builder = builder.with_route(
        FetchRequest::KEY,
        (
            MapErrLayer::new(tansu_broker::Error::from),
            MapStateLayer::new(|_| file),
            FrameRequestLayer::<FetchRequest>::new(),
        )
            .into_layer(Fetch)
            .boxed(),
    )?;
    let route = tansu::coordinator::services(builder, gate.groups())?.build()?;
    Ok((
        TcpContextLayer::new(TcpContext::default().cluster_id(Some(CLUSTER.to_owned()))),
        TcpBytesLayer::<()>::default(),
        BytesFrameLayer::default(),
    )
        .into_layer(route))
}

/// tansu's group coordinator over the gate.
type Groups = Controller<Gate>;
