//! The application: routes inside, what holds for every request and answer around them.
//!
//! Around, from the outside in: request id, problems, security headers, CORS, compression; host, size, parameters, time
//! limit and panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use poem::endpoint::BoxEndpoint;
use poem::error::ReadBodyError;
use poem::http::uri::PathAndQuery;
use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use poem::{Endpoint, IntoEndpoint as _, Request, Response, Route};
use poem_openapi::{ContactObject, LicenseObject, OpenApiService};
use rand::Rng as _;

use crate::answer::Answer;
use crate::api::Api;
use crate::encoding::{Forms, choose, is_compressible};
use crate::error::{PROBLEM_JSON, Problem};
use crate::operations::Operations;
use crate::routes::{Routes, routes};
use crate::{dashboard, docs, encoding, host, origins};

/// No answer takes longer.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// No operation needs a larger body.
const MAX_BODY: u64 = 64 * 1024;
/// A second name of every path, the one that stays when there is a version 2.
const PREFIX: &str = "/api/v1";
const REQUEST_ID: &str = "x-request-id";

/// Everything the API serves.
pub fn app(api: Arc<Api>) -> impl Endpoint<Output = Response> + 'static {
    let service = service(Arc::clone(&api));
    let document = service.spec();
    let around = Around {
        operations: Operations::of_document(&serde_json::from_str(&document).unwrap_or_default()),
        api: Arc::clone(&api),
    };
    Outside {
        around,
        operations: service.into_endpoint(),
        files: dashboard::add_to(docs::add_to(Route::new(), document), &api),
    }
}

/// The API's document (OpenAPI 3.0, JSON) as the code has it.
#[must_use]
pub fn openapi_document(api: Arc<Api>) -> String {
    service(api).spec()
}

fn service(api: Arc<Api>) -> OpenApiService<Routes, ()> {
    OpenApiService::new(routes(api), "Amazon cross-market arbitrage", env!("CARGO_PKG_VERSION"))
        .summary("The same article, two marketplaces, two prices.")
        .description(
            "Products, their prices in every marketplace, and the gaps between them.\n\n\
             Amounts are JSON numbers with the decimals of their currency. Times are RFC 3339, UTC, milliseconds. Every \
             path is also served under `/api/v1`. Every answer carries `x-request-id`; errors are problems (RFC 9457). \
             A parameter that is unknown, repeated, empty or malformed is refused.",
        )
        .contact(ContactObject::new().name("The operators of this installation"))
        .license(LicenseObject::new("Apache-2.0").url("https://www.apache.org/licenses/LICENSE-2.0"))
}

struct Around {
    api: Arc<Api>,
    operations: Operations,
}

struct Outside {
    around: Around,
    /// What the document names.
    operations: BoxEndpoint<'static>,
    /// Everything else.
    files: Route,
}

impl Endpoint for Outside {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let started = tokio::time::Instant::now();
        let request_id = request_id(request.headers());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let encoding = choose(request.headers());
        let readable_by = origins::allowed(&self.around.api.config.cors_origins, request.headers());
        let reader = dashboard::takes_pages(request.headers()).then(|| (request.uri().query().map(str::to_owned), request.headers().clone()));

        let mut response = match self.answer(request, readable_by.is_some()).await {
            Ok(response) => response,
            Err(problem) => {
                let page = reader.and_then(|(query, headers)| dashboard::instead_of(&problem, query.as_deref(), &headers));
                page.unwrap_or_else(|| problem.to_response(&request_id))
            }
        };

        let headers = response.headers_mut();
        if let Ok(request_id) = HeaderValue::from_str(&request_id) {
            headers.insert(REQUEST_ID, request_id);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if !self.around.api.config.cors_origins.is_empty() {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = readable_by {
            origins::permit(&mut response, origin);
        }
        let status = response.status().as_u16();
        tracing::debug!(%method, path, status, elapsed_ms = started.elapsed().as_millis(), request_id, "answered");
        let response = compress(response, encoding).await;
        Ok(if method == Method::HEAD { without_body(response).await } else { response })
    }
}

impl Outside {
    async fn answer(&self, mut request: Request, is_permitted_origin: bool) -> Result<Response, Problem> {
        self.around.check_host(&request)?;
        check_size(request.headers())?;
        if is_permitted_origin && origins::is_preflight(request.method(), request.headers()) {
            return Ok(origins::preflight());
        }
        if let Some(origin) = origins::foreign(request.method(), request.headers()).filter(|_| !is_permitted_origin) {
            return Err(Problem::Foreign { origin });
        }
        strip_prefix(&mut request);
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        if request.method() == Method::HEAD {
            request.set_method(Method::GET);
        }
        if !path.starts_with('/') {
            // `OPTIONS *` and `CONNECT host:port`: the router takes paths only.
            return Err(Problem::NoSuchPath { path });
        }
        let values = self.around.operations.check(request.method(), &path, request.uri().query())?;
        let call = async {
            match values {
                Some(values) => {
                    request.set_data(values);
                    limit_body(&mut request).await?;
                    self.operations.call(request).await
                }
                None => self.files.call(request).await,
            }
        };
        match tokio::time::timeout(TIME_LIMIT, AssertUnwindSafe(call).catch_unwind()).await {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(error))) => Err(Problem::of_error(&error, &method, &path)),
            Ok(Err(_panic)) => {
                tracing::error!(method, path, "a handler panicked");
                Err(Problem::Internal)
            }
            Err(_elapsed) => Err(Problem::TooSlow { seconds: TIME_LIMIT.as_secs() }),
        }
    }
}

impl Around {
    fn check_host(&self, request: &Request) -> Result<(), Problem> {
        if !self.api.config.listen.ip().is_loopback() {
            return Ok(());
        }
        let header = request
            .headers()
            .get(header::HOST)
            .map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
        let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
        // Browsers always name a host; who does not is no browser.
        let names = [header, authority].into_iter().flatten();
        match names.into_iter().find(|name| !host::is_loopback(name)) {
            None => Ok(()),
            Some(name) => Err(Problem::Host {
                host: name.chars().take(100).collect(),
            }),
        }
    }
}

fn check_size(headers: &HeaderMap) -> Result<(), Problem> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BODY) {
        return Err(Problem::TooLarge { limit: MAX_BODY });
    }
    Ok(())
}

/// Whatever length was announced, or none: no more than this is read.
async fn limit_body(request: &mut Request) -> Result<(), Problem> {
    let limit = usize::try_from(MAX_BODY).unwrap_or(usize::MAX);
    let body = request.take_body().into_bytes_limit(limit).await.map_err(|error| match error {
        ReadBodyError::PayloadTooLarge => Problem::TooLarge { limit: MAX_BODY },
        error => Problem::Refused {
            status: StatusCode::BAD_REQUEST,
            reason: error.to_string(),
        },
    })?;
    request.set_body(body);
    Ok(())
}

/// The client's id if it is a sane one, else one of our own.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_sane = |id: &&str| (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    given
        .filter(is_sane)
        .map_or_else(|| format!("{:032x}", rand::rng().random::<u128>()), str::to_owned)
}

fn strip_prefix(request: &mut Request) {
    let uri = request.uri();
    let Some(rest) = uri.path().strip_prefix(PREFIX).filter(|rest| rest.starts_with('/')) else {
        return;
    };
    let stripped = match uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    // A part of a valid path is one.
    if let Ok(stripped) = stripped.parse::<PathAndQuery>() {
        parts.path_and_query = Some(stripped);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

async fn compress(mut response: Response, encoding: Option<poem::web::CompressionAlgo>) -> Response {
    let content_type = response.content_type().unwrap_or_default();
    let is_unchanged = response.status() == StatusCode::NOT_MODIFIED;
    if !is_unchanged && !is_compressible(content_type) {
        return response;
    }
    let is_problem = content_type == PROBLEM_JSON;
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let is_done = response.headers().contains_key(header::CONTENT_ENCODING);
    let Some(algorithm) = encoding.filter(|_| !is_unchanged && !is_problem && !is_done) else {
        return response;
    };
    let form = match response.data::<Answer>() {
        Some(answer) => answer.compressed(algorithm).await,
        None => match response.take_body().into_bytes().await {
            Ok(body) => {
                let form = Forms::default().get(&body, algorithm).await;
                response.set_body(body);
                form
            }
            Err(error) => {
                tracing::error!(error = %error, "a body could not be read");
                return Problem::Internal.to_response("");
            }
        },
    };
    if let Some(form) = form {
        response.set_body(form);
        response.headers_mut().insert(header::CONTENT_ENCODING, encoding::name(algorithm));
    }
    response
}

/// The answer to HEAD: that to GET, with its length, without its body.
async fn without_body(mut response: Response) -> Response {
    if let Ok(body) = response.take_body().into_bytes().await {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_request_id_is_kept_and_any_other_replaced() {
        for (sent, kept) in [
            ("a-b_c.1:2", true),
            ("01HZY3", true),
            ("", false),
            ("two words", false),
            ("<script>", false),
            (&*"x".repeat(65), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(sent).unwrap());
            let id = request_id(&headers);
            assert_eq!(id == sent, kept, "{sent:?} became {id}");
            assert!(!id.is_empty());
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn the_version_prefix_is_a_second_name_of_every_path() {
        for (uri, expected) in [
            ("/api/v1/products?q=a%20b", "/products?q=a%20b"),
            ("/api/v1/", "/"),
            ("/api/v1", "/api/v1"),
            ("/api/v1x/products", "/api/v1x/products"),
            ("/api/v1/api/v1/products", "/api/v1/products"),
            ("/products", "/products"),
        ] {
            let mut request = Request::builder().uri_str(uri).finish();
            strip_prefix(&mut request);
            assert_eq!(request.uri().to_string(), expected, "{uri}");
        }
    }
}
