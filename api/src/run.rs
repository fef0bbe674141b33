//! Bind, then serve until told to stop, following what changes meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use poem::Server;
use poem::listener::TcpAcceptor;
use shared::adapters::kafka::{EventLog, FollowFrom, Topic};
use shared::domain::UnixMillis;
use shared::ports::Ports;
use shared::runtime::Tasks;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::app::app;
use crate::config::Config;
use crate::idle::ClosingIdle;
use crate::lag;

/// Requests under way may take this long after the stop.
const FINISH: Duration = Duration::from_secs(3);
const DRAIN: Duration = Duration::from_secs(4);
/// Connections without traffic are closed after this long.
const IDLE: Duration = Duration::from_secs(75);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
const FOLLOW_AGAIN: Duration = Duration::from_secs(5);
/// How often the board is looked at until the event log is there.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The API's address cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("API_LISTEN: {address} cannot be listened on{hint}")]
pub struct BindError {
    address: SocketAddr,
    hint: &'static str,
    #[source]
    source: std::io::Error,
}

/// An API that has its address but does not serve yet.
#[derive(Debug)]
pub struct BoundApi {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
}

/// Takes the address.
///
/// # Errors
/// The address is taken by another process, is not this computer's, or may not be used.
pub async fn bind(config: &Config) -> Result<BoundApi, BindError> {
    let fail = |source: std::io::Error| BindError {
        address: config.listen,
        hint: match source.kind() {
            std::io::ErrorKind::AddrInUse => ": another process listens there",
            _ => "",
        },
        source,
    };
    let listener = listen(config.listen).map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok(BoundApi {
        config: config.clone(),
        listener,
        address,
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Connections have it from here: an answer's last part does not wait for the client's word on the parts before it.
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl BoundApi {
    /// Where it listens; the port is the real one, also if any free one was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then finishes what is under way, for three seconds at most.
    ///
    /// The board has to be kept by somebody else ([`Ports::watch`]).
    ///
    /// # Errors
    /// If the server fails.
    pub async fn run(self, ports: Ports, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Ports { event_log, catalog, health } = ports;
        let api = Api::new(self.config, catalog, health, Arc::new(UnixMillis::now));
        let acceptor = TcpAcceptor::from_tokio(self.listener)?;
        tracing::info!(address = %self.address, "api listens");
        let mut tasks = Tasks::new(shutdown.child_token());
        let stop = tasks.shutdown().clone();
        tasks.spawn("consumer lag", lag::ask(Arc::clone(&api), event_log.clone(), stop.clone()));
        tasks.spawn("api changes", follow_changes(Arc::clone(&api), event_log, stop.clone()));
        let (renewing, ended) = (Arc::clone(&api), stop.clone());
        tasks.spawn("api renewals", async move {
            renewing.renew(ended).await;
            Ok(())
        });
        tasks.spawn("api server", async move {
            let server = Server::new_with_acceptor(ClosingIdle::new(acceptor, IDLE)).name("api");
            Ok(server.run_with_graceful_shutdown(app(api), stop.cancelled_owned(), Some(FINISH)).await?)
        });
        Ok(tasks.join(DRAIN).await?)
    }
}

/// Binds and serves: the API as a service of its own.
///
/// # Errors
/// As [`bind`] and [`BoundApi::run`].
pub async fn run(config: Config, ports: Ports, shutdown: CancellationToken) -> anyhow::Result<()> {
    bind(&config).await?.run(ports, shutdown).await
}

/// Notes every announced change, without a group: each instance follows by itself. A log that is away is waited for.
async fn follow_changes(api: Arc<Api>, event_log: EventLog, shutdown: CancellationToken) -> anyhow::Result<()> {
    while !shutdown.is_cancelled() {
        if !api.health.is_ready(&["event_log"]) {
            // When it starts, topics are made meanwhile; while the log is away, the board says so.
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            continue;
        }
        api.set_following(true);
        let noting = Arc::clone(&api);
        let followed = event_log.follow(Topic::Alerts, FollowFrom::End, shutdown.clone(), move |_record| noting.note_change());
        let error = tokio::select! {
            // Not left to the follower: while the log is away it may sit in a call for seconds.
            () = shutdown.cancelled() => break,
            followed = followed => match followed {
                Ok(()) => continue,
                Err(error) => error,
            },
        };
        api.set_following(false);
        tracing::error!(error = %error, "opportunities cannot be followed, lists are asked for more often");
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(FOLLOW_AGAIN) => {}
        }
    }
    Ok(())
}
