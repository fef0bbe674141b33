//! Odd answers, by a server that says what a test wants: Elasticsearch's adapter never panics, loops or takes them for success.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use shared::adapters::elastic::{ElasticCatalog, ElasticConfig, ElasticCredentials};
use shared::config::Secret;
use shared::ports::Catalog as _;
use shared::ports::catalog::{CatalogError, WriteOutcome};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::samples::{asin, product_query, products};
use super::{all_written, creates};

/// Status and body; none = no answer at all.
type Script = dyn Fn(&Request) -> Option<(u16, String)> + Send + Sync;

struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    /// The ids of a bulk request's items, in order.
    fn bulk_ids(&self) -> Vec<String> {
        let text = std::str::from_utf8(&self.body).expect("UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        let id = |line: &str| {
            serde_json::from_str::<Value>(line).expect("JSON")["create"]["_id"]
                .as_str()
                .expect("an id")
                .to_owned()
        };
        lines.chunks(2).map(|lines| id(lines[0])).collect()
    }

    /// An answer in which all items are written.
    fn all_written(&self) -> String {
        let items: Vec<Value> = (0..self.bulk_ids().len())
            .map(|number| json!({"create": {"_index": "products-v1", "_seq_no": number, "_primary_term": 1, "status": 201}}))
            .collect();
        json!({"errors": false, "items": items}).to_string()
    }
}

struct Server {
    config: ElasticConfig,
    _tasks: JoinSet<()>,
}

async fn serve(script: impl Fn(&Request) -> Option<(u16, String)> + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let script: Arc<Script> = Arc::new(script);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.spawn(answer(connection, Arc::clone(&script)));
        }
    });
    let mut config = ElasticConfig::open(format!("http://{address}").parse().unwrap());
    config.request_timeout = Duration::from_secs(5);
    Server { config, _tasks: tasks }
}

async fn answer(mut connection: TcpStream, script: Arc<Script>) {
    let mut bytes = Vec::new();
    let (head_end, length) = loop {
        if connection.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        break (end, length.unwrap_or(0));
    };
    while bytes.len() < head_end + 4 + length {
        if connection.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = Request {
        head: String::from_utf8_lossy(&bytes[..head_end]).into_owned(),
        body: bytes[head_end + 4..].to_vec(),
    };
    match script(&request) {
        Some((status, body)) => {
            let answer = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = connection.write_all(answer.as_bytes()).await;
        }
        None => std::future::pending().await,
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_halved_until_only_the_oversized_document_is_refused() {
    let sizes: Arc<Mutex<Vec<usize>>> = Arc::default();
    let seen = Arc::clone(&sizes);
    let server = serve(move |request| {
        seen.lock().unwrap().push(request.bulk_ids().len());
        if request.body.len() > 20_000 {
            return Some((413, "<html>413 Request Entity Too Large</html>".into()));
        }
        Some((200, request.all_written()))
    })
    .await;
    let catalog = ElasticCatalog::connect(server.config).unwrap();
    let mut stored = products(1, 100);
    stored[37].listing.image_url = Some("x".repeat(30_000));
    let outcomes = catalog.write_products(&creates(&stored)).await.unwrap();
    for (index, outcome) in outcomes.iter().enumerate() {
        let refused = matches!(outcome, WriteOutcome::Refused { .. });
        assert_eq!(refused, index == 37, "{index}: {outcome:?}");
        assert!(refused || matches!(outcome, WriteOutcome::Written(_)));
    }
    let sizes = sizes.lock().unwrap();
    assert_eq!(sizes[0], 100);
    assert!(sizes.len() < 40, "no loop: {sizes:?}");
}

#[tokio::test]
async fn only_the_items_that_say_so_are_to_be_sent_again_and_the_order_is_kept() {
    let server = serve(|request| {
        let items: Vec<Value> = request
            .bulk_ids()
            .iter()
            .enumerate()
            .map(|(number, _)| match number % 4 {
                0 => json!({"create": {"_index": "products-v1", "_seq_no": number, "_primary_term": 1, "status": 201}}),
                1 => json!({"create": {"_index": "products-v1", "status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "full"}}}),
                2 => json!({"create": {"_index": "products-v1", "status": 409, "error": {"type": "version_conflict_engine_exception"}}}),
                _ => json!({"create": {"_index": "products-v1", "status": 400, "error": {"type": "document_parsing_exception", "reason": "no"}}}),
            })
            .collect();
        Some((200, json!({"errors": true, "items": items}).to_string()))
    })
    .await;
    let catalog = ElasticCatalog::connect(server.config).unwrap();
    let outcomes = catalog.write_products(&creates(&products(1, 40))).await.unwrap();
    for (index, outcome) in outcomes.iter().enumerate() {
        let expected = match index % 4 {
            0 => matches!(outcome, WriteOutcome::Written(version) if version.seq_no == index as u64),
            1 => matches!(outcome, WriteOutcome::Retry { reason } if reason.contains("full")),
            2 => *outcome == WriteOutcome::Conflict,
            _ => matches!(outcome, WriteOutcome::Refused { .. }),
        };
        assert!(expected, "{index}: {outcome:?}");
    }
}

#[tokio::test]
async fn answers_of_proxies_and_faults_are_told_apart() {
    for (status, body, misconfigured) in [
        (200, "<html>welcome</html>", false),
        (200, "", false),
        (200, "{\"items\":[", false),
        (200, "{}", false),
        (200, "[]", false),
        (302, "", false),
        (400, "<html>bad</html>", false),
        (401, "{\"error\":{\"type\":\"security_exception\",\"reason\":\"missing\"},\"status\":401}", true),
        (403, "", true),
        (404, "<html>not here</html>", false),
        (
            404,
            "{\"error\":{\"type\":\"index_not_found_exception\",\"reason\":\"no such index\"},\"status\":404}",
            true,
        ),
        (429, "", false),
        (500, "", false),
        (503, "<html>unavailable</html>", false),
    ] {
        let server = serve(move |_| Some((status, body.to_owned()))).await;
        let catalog = ElasticCatalog::connect(server.config).unwrap();
        let results = [
            catalog.write_products(&creates(&products(1, 3))).await.map(|_| ()),
            catalog.read_products(&[asin(1)]).await.map(|_| ()),
            catalog.search_products(&product_query()).await.map(|_| ()),
            catalog.statistics(super::samples::at(0), super::samples::at(0)).await.map(|_| ()),
            catalog.check().await,
        ];
        for (call, result) in results.into_iter().enumerate() {
            // `{}` is an answer without indices or blocks, but none with a health.
            let error = result.expect_err(&format!("call {call} took {status} {body:?} for success"));
            assert_eq!(
                matches!(error, CatalogError::Misconfigured { .. }),
                misconfigured,
                "call {call}, {status} {body:?}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_never_answers_or_is_not_there_is_unavailable_within_the_limit() {
    let mut server = serve(|_| None).await;
    server.config.request_timeout = Duration::from_millis(200);
    let silent = ElasticCatalog::connect(server.config.clone()).unwrap();
    let error = silent.write_products(&creates(&products(1, 3))).await.unwrap_err();
    assert!(matches!(error, CatalogError::Unavailable { .. }), "{error}");
    drop(server);
    let error = silent.read_products(&[asin(1)]).await.unwrap_err();
    assert!(matches!(error, CatalogError::Unavailable { .. }), "{error}");
    let error = silent.check().await.unwrap_err();
    assert!(matches!(error, CatalogError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn an_incomplete_search_is_no_answer() {
    for (timed_out, failed) in [(true, 0), (false, 1)] {
        let answer = json!({"timed_out": timed_out, "_shards": {"failed": failed}, "hits": {"total": {"value": 0, "relation": "eq"}, "hits": []}});
        let server = serve(move |_| Some((200, answer.to_string()))).await;
        let catalog = ElasticCatalog::connect(server.config).unwrap();
        let error = catalog.search_products(&product_query()).await.unwrap_err();
        assert!(matches!(error, CatalogError::Unavailable { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_total_beyond_the_bound_of_counting_says_so() {
    let server = serve(|_| {
        let hits = json!({"total": {"value": 10_000, "relation": "gte"}, "hits": []});
        Some((200, json!({"timed_out": false, "_shards": {"failed": 0}, "hits": hits}).to_string()))
    })
    .await;
    let catalog = ElasticCatalog::connect(server.config).unwrap();
    let total = catalog.search_products(&product_query()).await.unwrap().total;
    assert_eq!((total.value, total.exact), (10_000, false));
}

#[tokio::test]
async fn credentials_are_sent_and_never_shown() {
    for (credentials, expected) in [
        (ElasticCredentials::ApiKey(Secret::new("ZW5jb2RlZA==")), "ApiKey ZW5jb2RlZA=="),
        (ElasticCredentials::ApiKey(Secret::new("id:key")), "ApiKey aWQ6a2V5"),
        (
            ElasticCredentials::Basic {
                username: "elastic".into(),
                password: Secret::new("pass"),
            },
            "Basic ZWxhc3RpYzpwYXNz",
        ),
    ] {
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&heads);
        let mut server = serve(move |request| {
            seen.lock().unwrap().push(request.head.clone());
            Some((401, String::new()))
        })
        .await;
        server.config.credentials = Some(credentials);
        let catalog = ElasticCatalog::connect(server.config).unwrap();
        let error = catalog.read_products(&[asin(1)]).await.unwrap_err();
        let shown = format!("{error:?}");
        assert!(!shown.contains(expected.split(' ').nth(1).unwrap()), "{shown}");
        assert!(heads.lock().unwrap()[0].contains(expected), "{:?}", heads.lock().unwrap());
    }
}

#[tokio::test]
async fn large_batches_go_in_requests_of_bounded_size() {
    let sizes: Arc<Mutex<Vec<(usize, usize)>>> = Arc::default();
    let seen = Arc::clone(&sizes);
    let server = serve(move |request| {
        seen.lock().unwrap().push((request.bulk_ids().len(), request.body.len()));
        assert!(
            request.head.contains("require_alias=true") && request.head.contains("filter_path="),
            "{}",
            request.head
        );
        Some((200, request.all_written()))
    })
    .await;
    let catalog = ElasticCatalog::connect(server.config).unwrap();
    let mut stored = products(1, 2_500);
    for product in &mut stored[..200] {
        product.listing.image_url = Some("x".repeat(100_000));
    }
    all_written(&catalog.write_products(&creates(&stored)).await.unwrap());
    let sizes = sizes.lock().unwrap();
    assert_eq!(sizes.iter().map(|(count, _)| count).sum::<usize>(), 2_500);
    assert!(sizes.iter().all(|&(count, bytes)| count <= 2_000 && bytes <= 5 * 1024 * 1024), "{sizes:?}");
}
