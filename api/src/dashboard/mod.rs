//! `/`: a page that lists opportunities and asks for them again and again. It knows nothing but the public API.

use poem::Route;

use crate::assets::Asset;

/// Only our own files, and Amazon's product images.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https://m.media-amazon.com \
                      https://images-na.ssl-images-amazon.com; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page and its files.
pub(crate) fn add_to(routes: Route) -> Route {
    let asset = |content_type, file: &'static str, content_security_policy| {
        Asset {
            content_type,
            body: file.into(),
            content_security_policy,
        }
        .route()
    };
    routes
        .at("/", asset("text/html; charset=utf-8", include_str!("index.html"), Some(POLICY)))
        .at("/dashboard.js", asset("text/javascript; charset=utf-8", include_str!("dashboard.js"), None))
        .at("/dashboard.css", asset("text/css; charset=utf-8", include_str!("dashboard.css"), None))
}
