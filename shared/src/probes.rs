//! `/health/live`, `/health/ready` and `/metrics` of a standalone service, on `METRICS_LISTEN`.

use std::net::SocketAddr;
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
