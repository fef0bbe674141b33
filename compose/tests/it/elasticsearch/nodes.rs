//! Several nodes of which some do not answer.

use std::time::Duration;

use shared::adapters::elastic::{ElasticCatalog, ElasticConfig};
use shared::ports::Catalog as _;
use shared::ports::catalog::CatalogError;

use super::script::Fault;
use super::server::Server;

/// Two nodes of one cluster and a catalog over both.
async fn cluster() -> (Server, Server, ElasticCatalog) {
    let first = Server::start().await;
    let second = first.another_node().await;
    let config = ElasticConfig {
        urls: vec![first.url(), second.url()],
        request_timeout: Duration::from_millis(400),
        ..ElasticConfig::open(first.url())
    };
    let catalog = ElasticCatalog::connect(config).expect("a client");
    catalog.prepare().await.expect("prepared");
    (first, second, catalog)
}

async fn read(catalog: &ElasticCatalog) -> Result<(), CatalogError> {
    catalog.read_products(&["B0D1XD1ZV3".parse().expect("an ASIN")]).await.map(drop)
}

#[tokio::test]
async fn nodes_are_used_in_turn() {
    let (first, second, catalog) = cluster().await;
    let before = [first.requests().len(), second.requests().len()];
    for _ in 0..10 {
        read(&catalog).await.expect("read");
    }
    assert_eq!([first.requests().len() - before[0], second.requests().len() - before[1]], [5, 5]);
}

#[tokio::test]
async fn a_node_that_refuses_connections_costs_no_request() {
    let (first, second, catalog) = cluster().await;
    first.stop().await;
    let before = second.requests().len();
    for _ in 0..10 {
        read(&catalog).await.expect("the other node answers");
    }
    assert_eq!(second.requests().len() - before, 10);
    // Nobody is there: an error, and no endless search.
    second.stop().await;
    assert!(matches!(read(&catalog).await, Err(CatalogError::Unavailable { .. })));
    // All are left out, and yet the first that is back is found.
    first.resume().await;
    let back = async { while read(&catalog).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(30), back).await.expect("it is tried");
}

#[tokio::test]
async fn a_node_that_is_away_fails_one_request_and_is_left_out() {
    for fault in [502, 503, 504, 0] {
        let (first, second, catalog) = cluster().await;
        let before = second.requests().len();
        first.go_by(move |_| match fault {
            0 => Fault::Hang,
            status => Fault::Answer(status, "<html>bad gateway</html>".into()),
        });
        let began = std::time::Instant::now();
        let (mut failed, mut asked) = (0, 0);
        // Within its first second aside.
        while began.elapsed() < Duration::from_millis(900) && asked < 20 {
            failed += usize::from(read(&catalog).await.is_err());
            asked += 1;
        }
        assert_eq!(failed, 1, "{fault}: of {asked} requests");
        assert_eq!(second.requests().len() - before, asked - 1);
        first.heal();
        let before = first.requests().len();
        let back = async {
            while first.requests().len() < before + 3 {
                read(&catalog).await.expect("read");
            }
        };
        tokio::time::timeout(Duration::from_secs(30), back).await.expect("it has its turn again");
    }
}

#[tokio::test]
async fn a_node_that_answers_with_an_error_of_its_own_is_not_left_out() {
    let (first, _second, catalog) = cluster().await;
    let before = first.requests().len();
    first.go_by(|_| Fault::error(429, "es_rejected_execution_exception", "rejected"));
    for _ in 0..10 {
        let _ = read(&catalog).await;
    }
    assert_eq!(first.requests().len() - before, 5);
}
