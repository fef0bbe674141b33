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

/// Whether this is a browser asking before the request itself.
pub(crate) fn is_preflight(method: &Method, request: &HeaderMap) -> bool {
    method == Method::OPTIONS && request.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a page that may read.
pub(crate) fn preflight() -> Response {
    Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST")
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
