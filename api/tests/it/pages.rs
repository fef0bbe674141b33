//! The pages and the documentation: complete, from our own origin only.

use poem::http::Method;

use crate::harness::{Answer, TestApi};

/// Every page, with an example of what stands in its place.
const PAGES: [&str; 5] = ["/", "/o/B0D1XD1ZV3:ES:IT", "/p/B0D1XD1ZV3", "/routes", "/system"];

/// Every `src` and `href` of a page.
fn links(page: &str) -> Vec<String> {
    let attribute = |name: &'static str| page.split(name).skip(1).map(|rest| rest.split('"').next().unwrap_or_default().to_owned());
    attribute(" src=\"").chain(attribute(" href=\"")).filter(|link| link != "data:,").collect()
}

async fn page(api: &TestApi, path: &str, headers: &[(&str, &str)]) -> Answer {
    let answer = api.request(Method::GET, path, headers).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/html; charset=utf-8")),
        "{path}"
    );
    answer
}

/// The address of a page's file.
fn file(page: &Answer, name: &str) -> String {
    let links = links(&page.text());
    let found = links.iter().find(|link| link.contains(name));
    found.unwrap_or_else(|| panic!("no {name} in {links:?}")).clone()
}

fn is_from_here(policy: &str) -> bool {
    let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
    let has = |directive: &str| directives.contains(&directive);
    let sources = directives.iter().flat_map(|directive| directive.split(' ').skip(1));
    let known = ["'none'", "'self'", "'unsafe-inline'", "data:", "https://m.media-amazon.com"];
    has("default-src 'none'")
        && has("script-src 'self'")
        && has("connect-src 'self'")
        && has("base-uri 'none'")
        && has("frame-ancestors 'none'")
        && sources.clone().all(|source| known.contains(&source))
}

#[tokio::test]
async fn pages_load_nothing_but_what_is_served_here() {
    let api = TestApi::start().await;
    for path in PAGES {
        let page = page(&api, path, &[]).await;
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(is_from_here(policy), "{path}: {policy}");
        let text = page.text();
        for inline in ["<script>", "<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!text.contains(inline), "{path} has {inline}");
        }
        for link in links(&text).iter().filter(|link| link.as_str() != "#content") {
            assert!(link.starts_with('/') && !link.starts_with("//"), "{path}: {link}");
            let answer = api.get(link).await;
            assert_eq!(answer.status, 200, "{path}: {link}");
            if link.starts_with("/assets/") {
                assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"), "{link}");
            }
        }
    }
    let docs = page(&api, "/docs", &[]).await;
    assert!(
        docs.header("content-security-policy")
            .is_some_and(|policy| policy.starts_with("default-src 'none'"))
    );
    for link in links(&docs.text()) {
        assert_eq!(api.get(&format!("/{link}")).await.status, 200, "{link}");
    }
}

#[tokio::test]
async fn plotly_comes_only_where_there_is_a_chart_and_after_everything_else() {
    let api = TestApi::start().await;
    for path in PAGES {
        let page = page(&api, path, &[]).await;
        assert_eq!(page.text().contains("/assets/plotly-"), path.starts_with("/p/"), "{path}");
    }
    let product = page(&api, "/p/B0D1XD1ZV3", &[]).await;
    assert!(product.text().contains("<script async id=\"plotly\""));
    let script = api.get(&file(&product, "/assets/plotly-")).await;
    assert!(script.body.len() > 1_000_000 && script.header("content-type") == Some("text/javascript; charset=utf-8"));
}

#[tokio::test]
async fn a_page_speaks_the_language_that_was_asked_for_then_chosen_then_preferred() {
    let api = TestApi::start().await;
    for (path, headers, expected) in [
        ("/", &[][..], "en"),
        ("/", &[("accept-language", "de-AT,de;q=0.9,en;q=0.5")][..], "de"),
        ("/", &[("accept-language", "fr")][..], "en"),
        ("/", &[("accept-language", "en"), ("cookie", "theme=dark; language=de")][..], "de"),
        ("/?lang=en", &[("accept-language", "de"), ("cookie", "language=de")][..], "en"),
        ("/system?lang=de", &[][..], "de"),
    ] {
        let page = page(&api, path, headers).await;
        let text = page.text();
        assert!(text.contains(&format!("<html lang=\"{expected}\"")), "{path} {headers:?}");
        assert_eq!(text.contains("Betrieb"), expected == "de", "{path} {headers:?}");
        assert_eq!(page.header("vary").map(|vary| vary.contains("Accept-Language")), Some(true));
        let words = api.get(&file(&page, "/words.js")).await.text();
        assert_eq!(words.contains("Betrieb"), expected == "de", "the scripts speak the same");
    }
}

#[tokio::test]
async fn a_chosen_theme_is_in_the_page_from_the_first_byte() {
    let api = TestApi::start().await;
    for (cookie, expected) in [
        ("theme=dark", Some("data-theme=\"dark\"")),
        ("theme=light", Some("data-theme=\"light\"")),
        ("theme=<b>", None),
    ] {
        let text = page(&api, "/", &[("cookie", cookie)]).await.text();
        assert_eq!(text.split_once("data-theme=").map(|_| ()), expected.map(|_| ()), "{cookie}");
        assert!(expected.is_none_or(|expected| text.contains(expected)), "{cookie}");
    }
}

#[tokio::test]
async fn a_browser_that_is_lost_gets_a_page_and_a_program_a_problem() {
    let api = TestApi::start().await;
    for path in [
        "/nowhere",
        "/p/%3Cscript%3E",
        "/p/tooshort",
        "/o/B0D1XD1ZV3",
        "/o/B0D1XD1ZV3:ES:ES",
        "/assets/style-0.css",
    ] {
        let browser = api
            .request(Method::GET, path, &[("accept", "text/html,*/*;q=0.8"), ("accept-language", "de")])
            .await;
        assert_eq!(
            (browser.status, browser.header("content-type")),
            (404, Some("text/html; charset=utf-8")),
            "{path}"
        );
        assert!(browser.text().contains("Hier ist nichts") && !browser.text().contains("<script>"), "{path}");
        assert!(browser.header("content-security-policy").is_some_and(is_from_here), "{path}");
        let program = api.get(path).await;
        assert_eq!(
            (program.status, program.header("content-type")),
            (404, Some("application/problem+json")),
            "{path}"
        );
    }
    // What the API says is not known stays a problem for everybody.
    let unknown = api.request(Method::GET, "/products/B000000000", &[("accept", "text/html")]).await;
    assert_eq!((unknown.status, unknown.header("content-type")), (404, Some("application/problem+json")));
}

#[tokio::test]
async fn names_in_an_address_go_into_the_page_in_one_form() {
    let api = TestApi::start().await;
    let text = page(&api, "/p/b0d1xd1zv3", &[]).await.text();
    assert!(text.contains("data-asin=\"B0D1XD1ZV3\""));
    let text = page(&api, "/o/b0d1xd1zv3:gb:it", &[]).await.text();
    assert!(text.contains("data-id=\"B0D1XD1ZV3:UK:IT\""));
}

#[tokio::test]
async fn files_are_checked_by_tag_and_not_sent_twice() {
    let api = TestApi::start().await;
    let paths: Vec<&str> = PAGES.into_iter().chain(["/docs", "/docs/swagger-ui.js", "/openapi.json"]).collect();
    for path in paths {
        let first = api.get(path).await;
        let etag = first.header("etag").expect("a tag").to_owned();
        let again = api.request(Method::GET, path, &[("if-none-match", &etag)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        let german = api.request(Method::GET, path, &[("if-none-match", &etag), ("accept-language", "de")]).await;
        assert_eq!(german.status, if PAGES.contains(&path) { 200 } else { 304 }, "{path}");
    }
    assert_eq!(api.get("/docs/").await.header("location"), Some("../docs"));
}
