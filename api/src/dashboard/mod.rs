//! The pages that people look at: opportunities, one opportunity, a product, routes, the system.
//!
//! The server renders a page's frame in the reader's language (`templates/`, checked when it is compiled); everything that
//! moves comes from the public API by our own scripts (`assets/`), which write it as text. One file per page here, the words
//! of both languages in `words.rs`.

mod files;
mod frame;
mod language;
mod missing;
mod opportunities;
mod opportunity;
mod product;
mod routes;
mod system;
mod words;

use std::sync::Arc;

use poem::endpoint::make_sync;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::{Endpoint, Request, Response, Route};

use self::frame::Frame;
use crate::answer::{client_has, entity_tag};
use crate::api::Api;
use crate::error::Problem;

/// Only our own files, and Amazon's product images; styles as told.
macro_rules! policy {
    ($styles:literal) => {
        concat!(
            "default-src 'none'; script-src 'self'; ",
            $styles,
            "; img-src 'self' https://m.media-amazon.com; connect-src 'self'; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'"
        )
    };
}
const POLICY: &str = policy!("style-src 'self'");
/// Plotly writes rules of its own into a style element.
const POLICY_WITH_CHART: &str = policy!("style-src 'self' 'unsafe-inline'");

/// A page, rendered.
struct Page {
    html: String,
    policy: &'static str,
}

impl Page {
    fn new(template: &impl askama::Template) -> Result<Page, Problem> {
        Page::with_policy(template, POLICY)
    }

    fn with_policy(template: &impl askama::Template, policy: &'static str) -> Result<Page, Problem> {
        let html = template.render().map_err(|error| {
            tracing::error!(error = %error, "a page could not be rendered");
            Problem::Internal
        })?;
        Ok(Page { html, policy })
    }

    /// The answer to a request with these headers.
    fn respond(self, status: StatusCode, request: &HeaderMap) -> Response {
        let etag = entity_tag(self.html.as_bytes());
        let mut response = if status == StatusCode::OK && client_has(request, &etag) {
            Response::builder().status(StatusCode::NOT_MODIFIED).finish()
        } else {
            Response::builder().status(status).content_type("text/html; charset=utf-8").body(self.html)
        };
        let headers = response.headers_mut();
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            headers.insert(header::ETAG, etag);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Language, Cookie"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(self.policy));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        response
    }
}

/// The pages and their files.
pub(crate) fn add_to(routes: Route, api: &Arc<Api>) -> Route {
    let floor = api.config.min_margin_percent;
    files::FILES
        .add_to(routes)
        .at("/", page(move |request| opportunities::page(Frame::of(request), floor)))
        .at("/o/:id", page(|request| opportunity::page(Frame::of(request), &place(request, "id"))))
        .at("/p/:asin", page(|request| product::page(Frame::of(request), &place(request, "asin"))))
        .at("/routes", page(|request| routes::page(Frame::of(request))))
        .at("/system", page(|request| system::page(Frame::of(request))))
}

fn page(
    render: impl Fn(&Request) -> Result<Page, Problem> + Send + Sync + 'static,
) -> impl poem::IntoEndpoint<Endpoint: Endpoint<Output = Response> + 'static> {
    poem::get(make_sync(move |request: Request| match render(&request) {
        Ok(page) => Ok(page.respond(StatusCode::OK, request.headers())),
        Err(problem) => Err(poem::Error::from(problem)),
    }))
}

fn place(request: &Request, name: &str) -> String {
    request.raw_path_param(name).unwrap_or_default().to_owned()
}

/// Whether this is a browser that was led to an address, not a script that asks.
pub(crate) fn takes_pages(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

/// The page in the place of a problem, for whoever [`takes_pages`], at an address where nothing is; none for any other problem.
pub(crate) fn instead_of(problem: &Problem, query: Option<&str>, headers: &HeaderMap) -> Option<Response> {
    let is_lost = matches!(problem, Problem::NoSuchPath { .. });
    let page = is_lost.then(|| missing::page(Frame::of_headers(query, headers)).ok()).flatten()?;
    Some(page.respond(StatusCode::NOT_FOUND, headers))
}

/// A cookie's value.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}
