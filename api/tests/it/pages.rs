//! The dashboard and the documentation: complete, from our own origin only.

use poem::http::Method;

use crate::harness::TestApi;

/// Every `src` and `href` of a page.
fn links(page: &str) -> Vec<String> {
    let attribute = |name: &'static str| page.split(name).skip(1).map(|rest| rest.split('"').next().unwrap_or_default().to_owned());
    attribute(" src=\"").chain(attribute(" href=\"")).filter(|link| link != "data:,").collect()
}

#[tokio::test]
async fn pages_load_nothing_but_what_is_served_here() {
    let api = TestApi::start().await;
    for (path, wanted) in [("/", "dashboard.js"), ("/docs", "docs/swagger-ui.js"), ("/api/v1/docs", "docs/start.js")] {
        let page = api.get(path).await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")), "{path}");
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        let text = page.text();
        assert!(
            !text.contains("<script>") && !text.contains(" style=") && !text.contains(" onclick="),
            "nothing inline: {path}"
        );
        let links = links(&text);
        assert!(links.iter().any(|link| link == wanted), "{links:?}");
        for link in links {
            assert!(!link.contains("//") && !link.starts_with('/'), "relative: {link}");
            let base = path.rsplit_once('/').map_or("", |(base, _)| base);
            let answer = api.get(&format!("{base}/{link}")).await;
            let is_health = link == "health";
            assert!(answer.status == 200 || is_health, "{path}: {link} is {}", answer.status);
        }
    }
}

#[tokio::test]
async fn the_dashboard_knows_how_to_tell_simulated_stale_empty_and_failed() {
    let api = TestApi::start().await;
    let (page, script) = (api.get("/").await.text(), api.get("/dashboard.js").await.text());
    assert!(page.contains("simulated data") && page.contains("No gap fits"));
    for text in ["stats.simulated", "opportunities?", "The catalog is away", "Cannot be refreshed"] {
        assert!(script.contains(text), "{text}");
    }
    assert!(!script.contains("innerHTML"), "text goes in as text");
}

#[tokio::test]
async fn files_are_checked_by_tag_and_not_sent_twice() {
    let api = TestApi::start().await;
    for path in ["/", "/dashboard.js", "/docs", "/docs/swagger-ui.js", "/openapi.json"] {
        let first = api.get(path).await;
        let etag = first.header("etag").expect("a tag").to_owned();
        let again = api.request(Method::GET, path, &[("if-none-match", &etag)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
    assert_eq!(api.get("/docs/").await.header("location"), Some("../docs"));
}
