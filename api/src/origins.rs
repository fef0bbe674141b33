//! CORS: which other sites' pages may read answers. Nothing is said to those that are not listed.

use poem::Response;
use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::config::Origin;

const EXPOSED: &str = "x-request-id, etag, age, warning, retry-after";

/// The value of `Access-Control-Allow-Origin` for a request, if its page may read the answer.
pub(crate) fn allowed(origins: &[Origin], request: &HeaderMap) -> Option<HeaderValue> {
    let origin = request.get(header::ORIGIN)?;
    origins.iter().find_map(|allowed| match allowed {
        Origin::Any => Some(HeaderValue::from_static("*")),
        Origin::Exactly(allowed) => (origin.as_bytes() == allowed.as_bytes()).then(|| origin.clone()),
    })
}

/// The origin of a page elsewhere that has something changed here without being allowed to read the answer. Browsers send
/// such requests without asking first where they have no body; our own pages come from the host that they ask.
pub(crate) fn foreign(method: &Method, request: &HeaderMap) -> Option<String> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return None;
    }
    let origin = String::from_utf8_lossy(request.get(header::ORIGIN)?.as_bytes()).into_owned();
    let host = request.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    let is_own = origin
        .split_once("://")
        .is_some_and(|(_, name)| host.is_some_and(|host| host.eq_ignore_ascii_case(name)));
    (!is_own).then(|| origin.chars().take(100).collect())
}

/// Whether this is a browser asking before the request itself.
pub(crate) fn is_preflight(method: &Method, request: &HeaderMap) -> bool {
    method == Method::OPTIONS && request.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a page that may read.
pub(crate) fn preflight() -> Response {
    Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, DELETE")
        .header(header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type, if-none-match, x-request-id")
        .header(header::ACCESS_CONTROL_MAX_AGE, "600")
        .finish()
}

/// Lets the page read the answer.
pub(crate) fn permit(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_change_nothing() {
        for (method, origin, host, expected) in [
            (Method::POST, Some("http://localhost:8080"), "localhost:8080", None),
            (Method::POST, Some("http://localhost:3000"), "localhost:8080", Some("http://localhost:3000")),
            (Method::DELETE, Some("null"), "localhost:8080", Some("null")),
            (Method::POST, None, "localhost:8080", None),
            (Method::GET, Some("https://a.example"), "localhost:8080", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(foreign(&method, &headers).as_deref(), expected, "{method} {origin:?}");
        }
    }

    #[test]
    fn only_listed_origins_may_read() {
        let listed = [Origin::Exactly("https://a.example".into())];
        for (origins, origin, expected) in [
            (&listed[..], "https://a.example", Some("https://a.example")),
            (&listed[..], "https://b.example", None),
            (&listed[..], "null", None),
            (&[], "https://a.example", None),
            (&[Origin::Any], "https://b.example", Some("*")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            let value = allowed(origins, &headers);
            assert_eq!(value.as_ref().and_then(|value| value.to_str().ok()), expected, "{origin}");
        }
        assert_eq!(allowed(&[Origin::Any], &HeaderMap::new()), None);
    }
}
