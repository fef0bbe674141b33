//! `/health/live`, `/health/ready` and `/metrics` of a standalone service, on `METRICS_LISTEN`; and how a container asks.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::web::Data;
use poem::{EndpointExt, IntoResponse, Response, Route, Server, get, handler};
use tokio_util::sync::CancellationToken;

use crate::health::{Condition, Health};
use crate::telemetry::prometheus_text;

/// What the service cannot work without; it is not ready while one of them is down.
#[derive(Debug, Clone)]
struct Needs {
    health: Health,
    components: Arc<[&'static str]>,
}

#[handler]
fn live() -> &'static str {
    "live\n"
}

#[handler]
fn ready(Data(needs): Data<&Needs>) -> Response {
    let mut body = String::new();
    for (name, component) in needs.health.snapshot() {
        let line = match component.condition {
            Condition::Up => format!("{name}: up since {}\n", component.since),
            Condition::Degraded { reason } => format!("{name}: degraded since {}: {reason}\n", component.since),
            Condition::Down { reason } => format!("{name}: down since {}: {reason}\n", component.since),
        };
        body.push_str(&line);
    }
    let status = if needs.health.is_ready(&needs.components) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    body.with_status(status).into_response()
}

#[handler]
fn metrics() -> Response {
    Response::builder()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(prometheus_text())
}

/// How long [`ask`] waits for a connection, and for each part of the answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// More of an answer is not read.
const MAX_ANSWER: u64 = 64 * 1024;

/// Asks the process that listens at this address on the same machine for `/health/ready`: for images that hold no HTTP
/// client. `Ok` and `Err` hold what it says.
///
/// # Errors
/// If it does not answer, or with another status than 200.
pub fn ask(listen: SocketAddr) -> Result<String, String> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let address = SocketAddr::new(ip, listen.port());
    let exchange = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        write!(stream, "GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| format!("{address} does not answer: {error}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") {
        Ok(body.to_owned())
    } else {
        Err(format!("not ready: {}\n{body}", head.lines().next().unwrap_or_default()))
    }
}

/// Serves the probes until `shutdown`.
///
/// # Errors
/// If the address cannot be bound.
pub async fn serve(listen: SocketAddr, health: Health, components: Vec<&'static str>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let acceptor = TcpListener::bind(listen)
        .into_acceptor()
        .await
        .map_err(|error| anyhow::anyhow!("METRICS_LISTEN: {listen} cannot be bound: {error}"))?;
    if let Some(address) = acceptor.local_addr().first().and_then(|address| address.as_socket_addr()) {
        tracing::info!(%address, "probes and metrics are served");
    }
    let routes = Route::new()
        .at("/health/live", get(live))
        .at("/health/ready", get(ready))
        .at("/metrics", get(metrics))
        .data(Needs {
            health,
            components: components.into(),
        });
    Server::new_with_acceptor(acceptor)
        .run_with_graceful_shutdown(routes, shutdown.cancelled(), Some(Duration::from_secs(1)))
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UnixMillis;

    fn free_address() -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_container_is_told_whether_its_service_is_ready() {
        let address = free_address();
        let everywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
        let (health, shutdown) = (Health::default(), CancellationToken::new());
        let mut server = tokio::task::JoinSet::new();
        server.spawn(serve(address, health.clone(), vec!["catalog"], shutdown.clone()));
        let said = async || tokio::task::spawn_blocking(move || ask(everywhere)).await.expect("no panic");
        while said().await.is_err_and(|said| said.contains("does not answer")) {
            tokio::task::yield_now().await;
        }

        health.down("catalog", "is away", UnixMillis::now());
        let unready = said().await.unwrap_err();
        assert!(unready.contains("503") && unready.contains("is away"), "{unready}");
        health.up("catalog", UnixMillis::now());
        let answer = said().await.unwrap();
        assert!(answer.contains("catalog: up"), "{answer}");

        shutdown.cancel();
        server.join_next().await.expect("one task").expect("no panic").expect("served");
        assert!(said().await.unwrap_err().contains("does not answer"));
    }
}
