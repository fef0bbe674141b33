//! `/docs`: Swagger UI over `/openapi.json`. Its script and stylesheet come out of the page that poem-openapi makes, as
//! files of their own, so that the page needs no inline script.

use bytes::Bytes;
use poem::web::Redirect;
use poem::{Route, RouteMethod, endpoint::make_sync};
use poem_openapi::OpenApiService;

use crate::assets::{Asset, Lifetime};

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API documentation</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="docs/swagger-ui.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"#;

const START: &str = r##"SwaggerUIBundle({
  dom_id: "#ui",
  url: "openapi.json",
  deepLinking: true,
  docExpansion: "list",
  // Never asks the public validator.
  validatorUrl: null,
});
"##;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page, its files, and `/openapi.json`.
pub(crate) fn add_to(routes: Route, document: String) -> Route {
    let (stylesheet, script) = swagger_ui();
    routes
        .at("/openapi.json", asset("application/json; charset=utf-8", document.into(), None))
        .at("/docs", asset("text/html; charset=utf-8", PAGE.into(), Some(POLICY)))
        .at("/docs/", poem::get(make_sync(|_| Redirect::permanent("../docs"))))
        .at("/docs/swagger-ui.css", asset("text/css; charset=utf-8", stylesheet.into(), None))
        .at("/docs/swagger-ui.js", asset("text/javascript; charset=utf-8", script.into(), None))
        .at("/docs/start.js", asset("text/javascript; charset=utf-8", START.into(), None))
}

fn asset(content_type: &'static str, body: Bytes, content_security_policy: Option<&'static str>) -> RouteMethod {
    Asset {
        content_type,
        body,
        content_security_policy,
        lifetime: Lifetime::UntilChanged,
    }
    .route()
}

/// Stylesheet and script of Swagger UI; empty if the page is not as expected, which a test would tell.
fn swagger_ui() -> (String, String) {
    let page = OpenApiService::<(), ()>::new((), "", "").swagger_ui_html();
    let parts = || {
        let (_, rest) = page.split_once("<style charset=\"UTF-8\">")?;
        let (stylesheet, rest) = rest.split_once("</style>")?;
        let (_, rest) = rest.split_once("<script charset=\"UTF-8\">")?;
        let (script, _) = rest.split_once("</script>")?;
        Some((stylesheet.to_owned(), script.to_owned()))
    };
    parts().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_and_stylesheet_are_whole() {
        let (stylesheet, script) = swagger_ui();
        assert!(stylesheet.len() > 100_000 && stylesheet.contains(".swagger-ui"), "{}", stylesheet.len());
        assert!(script.len() > 1_000_000 && script.contains("SwaggerUIBundle"), "{}", script.len());
    }
}
