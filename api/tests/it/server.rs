//! Once for real: a socket, HTTP as bytes, an event log that is away.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{Config, bind};
use shared::adapters::embedded::catalog::EmbeddedCatalog;
use shared::adapters::kafka::{EventLog, EventLogConfig};
use shared::config::Environment;
use shared::domain::UnixMillis;
use shared::health::Health;
use shared::ports::catalog::{Condition, Write};
use shared::ports::{Catalog, Ports};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::samples::opportunity;

fn config(listen: &str) -> Config {
    let environment = Environment::of([("API_LISTEN", listen)]);
    environment.finish(Config::read(&environment)).expect("valid settings")
}

/// Ports whose event log nobody serves.
async fn ports(folder: &std::path::Path) -> Ports {
    let event_log = EventLog::new(EventLogConfig {
        brokers: "127.0.0.1:1".into(),
        topic_prefix: "test.".into(),
        partitions: 1,
        replication: 1,
        embedded: true,
        instance_name: None,
        client_id: "test".into(),
        extra: BTreeMap::new(),
        ..EventLogConfig::default()
    });
    let catalog: Arc<dyn Catalog> = Arc::new(EmbeddedCatalog::open(&folder.join("catalog.db")).await.expect("a catalog"));
    Ports {
        event_log,
        catalog,
        health: Health::default(),
    }
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n", address.port());
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_without_an_event_log_and_stops_within_seconds_whoever_holds_a_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(folder.path()).await;
    let mut fresh = opportunity("B0D1XD1ZV3:ES:IT", 4799, 5499);
    (fresh.source_observed_at, fresh.target_observed_at) = (UnixMillis::now(), UnixMillis::now());
    let write = Write {
        value: fresh,
        condition: Condition::Absent,
    };
    ports.catalog.write_opportunities(&[write]).await.expect("written");

    let bound = bind(&config("127.0.0.1:0")).await.expect("a free port");
    let address = bound.local_addr();
    assert_ne!(address.port(), 0);
    let shutdown = CancellationToken::new();
    let mut tasks = shared::runtime::Tasks::new(shutdown.clone());
    tasks.spawn("api", bound.run(ports.clone(), shutdown.clone()));

    let answer = get(address, "/opportunities").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\"margin\":7.00,\"margin_percentage\":14.59,"), "{answer}");
    assert!(get(address, "/").await.contains("Cross-market arbitrage"));
    assert!(get(address, "/products?limit=0").await.contains("parameter limit: "));
    assert!(get(address, "/health").await.starts_with("HTTP/1.1 503 "));

    // One connection idles, one has sent half a request.
    let idle = TcpStream::connect(address).await.expect("connected");
    let mut half = TcpStream::connect(address).await.expect("connected");
    half.write_all(b"GET /stats HTTP/1.1\r\nHost: local").await.expect("sent");
    let stopping = std::time::Instant::now();
    shutdown.cancel();
    tasks.join(Duration::from_secs(5)).await.expect("a clean stop");
    assert!(stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());
    drop((idle, half));
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_setting() {
    let first = bind(&config("127.0.0.1:0")).await.expect("a free port");
    let taken = first.local_addr().to_string();
    let error = bind(&config(&taken)).await.expect_err("taken").to_string();
    assert!(
        error.contains("API_LISTEN") && error.contains(&taken) && error.contains("another process"),
        "{error}"
    );
}
