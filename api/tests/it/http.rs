//! What holds for every request: problems, ids, hosts, CORS, compression, hostile input.

use poem::Request;
use poem::http::Method;
use serde_json::json;
use shared::domain::Marketplace;

use crate::harness::{Answer, TestApi};
use crate::samples::product;

fn assert_problem(answer: &Answer, status: u16, detail: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    let problem = answer.json();
    assert!(problem["detail"].as_str().expect("a detail").contains(detail), "{what}: {problem}");
    let title = problem["title"].as_str().expect("a title");
    assert!(!title.is_empty());
    assert_eq!(
        problem,
        json!({"type": "about:blank", "title": title, "status": status, "detail": problem["detail"], "request_id": answer.header("x-request-id")}),
        "{what}"
    );
}

#[tokio::test]
async fn a_parameter_that_cannot_be_used_is_a_400_that_names_it() {
    let api = TestApi::start().await;
    for (path, name) in [
        ("/products?page=2", "page"),
        ("/products?Q=a", "Q"),
        ("/products?min_margin=5", "min_margin"),
        ("/products?q=a&q=b", "q"),
        ("/products?q=", "q"),
        ("/products?q", "q"),
        ("/products?q=%20", "q"),
        ("/products?q=%FF", "q"),
        ("/products?q=a%00", "q"),
        ("/products?market=NL", "market"),
        ("/products?market=DE,FR", "market"),
        ("/products?active=yes", "active"),
        ("/products?active=TRUE", "active"),
        ("/products?min_price=-1", "min_price"),
        ("/products?min_price=abc", "min_price"),
        ("/products?max_price=1e3", "max_price"),
        ("/products?max_price=99999999999", "max_price"),
        ("/products?min_price=5&max_price=4.99", "min_price"),
        ("/products?sort=price", "sort"),
        ("/products?sort=asin,title", "sort"),
        ("/products?sort=margin", "sort"),
        ("/products?limit=0", "limit"),
        ("/products?limit=501", "limit"),
        ("/products?limit=ten", "limit"),
        ("/products?limit=-5", "limit"),
        ("/products?cursor=x", "cursor"),
        ("/products?cursor=%C3%A4", "cursor"),
        ("/products?cursor=eyJxIjoiIn0", "cursor"),
        ("/products/B0D1XD1ZV3?q=a", "q"),
        ("/opportunities?min_margin=ten", "min_margin"),
        ("/opportunities?min_margin=10%25", "min_margin"),
        ("/opportunities?source_market=XX", "source_market"),
        ("/opportunities?target_market=", "target_market"),
        ("/opportunities?asin=short", "asin"),
        ("/opportunities?asin=B0D1XD1ZV3&asin=B0D1XD1ZV3", "asin"),
        ("/opportunities?market=DE", "market"),
        ("/opportunities?sort=price", "sort"),
        ("/opportunities?active=", "active"),
        ("/opportunities?cursor=x", "cursor"),
        ("/runs?status=done", "status"),
        ("/runs?job=", "job"),
        ("/runs?limit=1000", "limit"),
        ("/runs?cursor=x", "cursor"),
        ("/stats?market=DE", "market"),
        ("/health?verbose=1", "verbose"),
        ("/metrics?x=y", "x"),
    ] {
        for prefix in ["", "/api/v1"] {
            let answer = api.get(&format!("{prefix}{path}")).await;
            assert_problem(&answer, 400, &format!("parameter {name}: "), path);
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_404_problem() {
    let api = TestApi::start().await;
    for path in [
        "/nothing",
        "/products/",
        "/products/B0D1XD1ZV3/x",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v2/products",
        "/docs/nothing",
        "//",
        "/..",
        "/%00",
    ] {
        assert_problem(&api.get(path).await, 404, "there is nothing at", path);
    }
}

#[tokio::test]
async fn another_method_is_a_405_problem_that_says_what_is_allowed() {
    let api = TestApi::start().await;
    for path in [
        "/products",
        "/opportunities/B0D1XD1ZV3:ES:IT",
        "/health",
        "/",
        "/docs",
        "/openapi.json",
        "/api/v1/stats",
    ] {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE] {
            let answer = api.request(method.clone(), path, &[]).await;
            assert_problem(&answer, 405, method.as_str(), path);
            assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let api = TestApi::start().await;
    for path in ["/products", "/stats", "/", "/docs", "/openapi.json"] {
        let (answer, get) = (api.request(Method::HEAD, path, &[]).await, api.get(path).await);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
        assert_eq!(answer.header("content-length"), Some(&*get.body.len().to_string()), "{path}");
        assert!(answer.header("etag").is_some(), "{path}");
    }
}

#[tokio::test]
async fn every_answer_carries_a_request_id() {
    let api = TestApi::start().await;
    for path in ["/products", "/nothing", "/", "/health", "/products?x=1"] {
        let given = api.request(Method::GET, path, &[("x-request-id", "trace-1")]).await;
        assert_eq!(given.header("x-request-id"), Some("trace-1"), "{path}");
        let (first, second) = (api.get(path).await, api.get(path).await);
        assert_ne!(
            first.header("x-request-id").expect("an id"),
            second.header("x-request-id").expect("an id"),
            "{path}"
        );
        let hostile = api.request(Method::GET, path, &[("x-request-id", "<script>alert(1)</script>")]).await;
        assert!(!hostile.header("x-request-id").expect("an id").contains('<'));
    }
}

#[tokio::test]
async fn on_loopback_only_names_of_this_computer_are_answered() {
    let api = TestApi::start().await;
    for host in ["localhost", "localhost:8080", "127.0.0.1:9", "[::1]:8080"] {
        assert_eq!(api.request(Method::GET, "/stats", &[("host", host)]).await.status, 200, "{host}");
    }
    for host in ["evil.example", "evil.example:8080", "192.168.1.5", "localhost.evil.example", ""] {
        let answer = api.request(Method::GET, "/stats", &[("host", host)]).await;
        assert_problem(&answer, 421, "localhost", host);
    }
    let answer = api.request(Method::GET, "http://evil.example/stats", &[("host", "localhost")]).await;
    assert_problem(&answer, 421, "evil.example", "the authority counts as well");

    let public = TestApi::with(&[("API_LISTEN", "0.0.0.0:8080")]).await;
    assert_eq!(public.request(Method::GET, "/stats", &[("host", "shop.example")]).await.status, 200);
}

#[tokio::test]
async fn other_sites_may_read_only_if_they_are_listed() {
    let closed = TestApi::start().await;
    let answer = closed.request(Method::GET, "/stats", &[("origin", "https://a.example")]).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));

    let api = TestApi::with(&[("CORS_ORIGINS", "https://a.example, http://localhost:3000")]).await;
    for (origin, expected) in [
        ("https://a.example", Some("https://a.example")),
        ("http://localhost:3000", Some("http://localhost:3000")),
        ("https://b.example", None),
        ("null", None),
    ] {
        let answer = api.request(Method::GET, "/nothing", &[("origin", origin)]).await;
        assert_eq!(answer.header("access-control-allow-origin"), expected, "{origin}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{origin}");
        let preflight = api
            .request(Method::OPTIONS, "/stats", &[("origin", origin), ("access-control-request-method", "GET")])
            .await;
        assert_eq!(preflight.status, if expected.is_some() { 204 } else { 405 }, "{origin}");
    }
}

#[tokio::test]
async fn large_answers_are_compressed_if_the_client_says_so() {
    let api = TestApi::start().await;
    let prices = [(Marketplace::DE, 1000), (Marketplace::FR, 1000), (Marketplace::IT, 1100)];
    api.put_products((0..20).map(|number| product(&format!("B0000000{number:02}"), "Anvil", &prices)).collect())
        .await;
    let plain = api.get("/products").await;
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("Accept-Encoding")));
    for (accepted, expected) in [("gzip, deflate, br, zstd", Some("br")), ("gzip", Some("gzip")), ("gzip;q=0", None), ("*", None)] {
        let answer = api.request(Method::GET, "/products", &[("accept-encoding", accepted)]).await;
        assert_eq!(answer.header("content-encoding"), expected, "{accepted}");
        assert_eq!(answer.header("etag"), plain.header("etag"), "{accepted}");
        assert_eq!(
            answer.body.len() < plain.body.len() / 3,
            expected.is_some(),
            "{accepted}: {} of {}",
            answer.body.len(),
            plain.body.len()
        );
    }
    let small = api.request(Method::GET, "/runs", &[("accept-encoding", "gzip")]).await;
    assert_eq!(small.header("content-encoding"), None);
}

#[tokio::test]
async fn hostile_requests_get_an_answer_and_leave_everything_as_it_was() {
    let api = TestApi::start().await;
    let long = "a".repeat(60_000);
    for path in [
        format!("/products?q={long}"),
        format!("/products?{long}=1"),
        format!("/products?cursor={long}"),
        format!("/products/{long}"),
        format!("/{long}"),
        format!("/products?{}", "q=a&".repeat(10_000)),
        "/products?q=%22%20OR%201%3D1%20--".into(),
        "/products?q=*%20AND%20NEAR(%22".into(),
        "/products?q=%F0%9F%92%A9%27%3B%20DROP%20TABLE%20products".into(),
        "/products?brand=%25&category=_".into(),
        "/products/%2e%2e%2f%2e%2e%2fetc%2fpasswd".into(),
        "/docs/..%2f..%2fetc%2fpasswd".into(),
        "/opportunities?min_margin=-99999999&limit=500".into(),
        "/opportunities?min_margin=999999999".into(),
        "/products?min_price=999999999.999999".into(),
    ] {
        let answer = api.get(&path).await;
        let shown = &path[..path.len().min(60)];
        assert!(matches!(answer.status, 200 | 400 | 404), "{shown}: {} {}", answer.status, answer.text());
        assert!(answer.body.len() < 70_000, "{shown}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{shown}");
    }
    for (method, uri) in [(Method::OPTIONS, "*"), (Method::CONNECT, "localhost:80")] {
        let answer = api.send(Request::builder().method(method).uri(uri.parse().unwrap()).finish()).await;
        assert_problem(&answer, 404, "there is nothing", uri);
    }
    let answer = api.request(Method::POST, "/products", &[("content-length", "999999999")]).await;
    assert_problem(&answer, 413, "larger", "a body that is announced");
    let answer = api
        .request(
            Method::GET,
            "/products",
            &[("accept-encoding", "gzip;q=NaN;;;,,,br;q=-1"), ("if-none-match", "W/,\"")],
        )
        .await;
    assert_eq!(answer.status, 200);
}
