//! Requests and their answers: one place that names the transport of the `elasticsearch` crate.
//!
//! The crate's own pool of nodes goes on asking one that is away, so each node has a transport of its own here, and
//! [`Nodes`] decides which is asked.

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::Method;
use elasticsearch::http::headers::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use serde_json::Value;
use url::Url;

use super::classify::classify_call;
use super::config::{ElasticConfig, is_loopback};
use super::metrics;
use super::nodes::Nodes;
use crate::ports::catalog::CatalogError;

/// What the TLS library says of a server whose certificate it does not accept: no passing fault.
const UNTRUSTED: &str = "invalid peer certificate";

/// A client of one cluster. Cloning shares what is known of its nodes.
#[derive(Clone)]
pub(super) struct Client {
    nodes: Arc<[Node]>,
    state: Arc<Mutex<Nodes>>,
}

struct Node {
    /// Without credentials: the configuration allows none in it.
    url: Url,
    transport: Transport,
    /// On this machine: what is compressed and at once unpacked again only costs time.
    is_local: bool,
}

/// An answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// A request, as often as it is sent.
struct Request<'a> {
    method: Method,
    path: &'a str,
    query: &'a [(&'a str, &'a str)],
    body: Option<Bytes>,
    content_type: &'static str,
}

/// Why there is no answer.
struct NoAnswer {
    reason: String,
    /// Nobody listened, so nothing was sent.
    is_refused: bool,
}

/// A transport shows its credentials: only the addresses are shown.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let urls = self.nodes.iter().map(|node| node.url.as_str());
        f.debug_struct("Client").field("nodes", &urls.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client; contacts nobody.
    pub(super) fn new(config: &ElasticConfig) -> Result<Client, CatalogError> {
        if config.urls.is_empty() {
            return Err(misconfigured("elasticsearch", &"no address is given"));
        }
        let nodes: Vec<Node> = config.urls.iter().map(|url| Node::new(url, config)).collect::<Result<_, _>>()?;
        Ok(Client {
            state: Arc::new(Mutex::new(Nodes::new(nodes.len()))),
            nodes: nodes.into(),
        })
    }

    /// Sends a request; any status is an answer.
    ///
    /// # Errors
    /// `Unavailable` if there is none: the outcome is unknown.
    pub(super) async fn send(&self, method: Method, path: &str, query: &[(&str, &str)], body: Option<Bytes>) -> Result<Answer, CatalogError> {
        self.send_as(method, path, query, body, "application/json").await
    }

    /// Sends lines of JSON.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub(super) async fn send_lines(&self, path: &str, query: &[(&str, &str)], body: Bytes) -> Result<Answer, CatalogError> {
        self.send_as(Method::Post, path, query, Some(body), "application/x-ndjson").await
    }

    async fn send_as(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Bytes>,
        content_type: &'static str,
    ) -> Result<Answer, CatalogError> {
        let request = Request {
            method,
            path,
            query,
            body,
            content_type,
        };
        let mut others = self.nodes.len() - 1;
        loop {
            let began = Instant::now();
            let place = self.state().pick(began);
            let answer = self.nodes[place].send(&request).await;
            let works = matches!(&answer, Ok(answer) if !matches!(answer.status, 502..=504));
            self.note(place, began, works);
            match answer {
                Ok(answer) => return Ok(answer),
                // It was not sent: another node may as well have it at once.
                Err(NoAnswer { is_refused: true, .. }) if others > 0 => others -= 1,
                Err(NoAnswer { reason, .. }) if reason.contains(UNTRUSTED) => return Err(CatalogError::Misconfigured { reason }),
                Err(NoAnswer { reason, .. }) => return Err(CatalogError::Unavailable { reason }),
            }
        }
    }

    fn note(&self, place: usize, began: Instant, works: bool) {
        let node = &self.nodes[place].url;
        let mut state = self.state();
        if works {
            if state.answered(place) {
                tracing::info!(%node, "elasticsearch node answers again");
            }
        } else if let Some(left_out) = state.failed(place, began, Instant::now()) {
            tracing::warn!(%node, left_out_seconds = left_out.as_secs(), "elasticsearch node does not answer");
        }
        metrics::NODES_QUARANTINED.set(i64::try_from(state.quarantined()).unwrap_or(i64::MAX));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Nodes> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request with a JSON body and takes only success for an answer.
    ///
    /// # Errors
    /// As the answer is classified.
    pub(super) async fn call(&self, method: Method, path: &str, query: &[(&str, &str)], body: Option<&Value>) -> Result<Bytes, CatalogError> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        self.send(method, path, query, body).await?.success()
    }
}

impl Node {
    fn new(url: &Url, config: &ElasticConfig) -> Result<Node, CatalogError> {
        let local = is_loopback(url);
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url.clone()))
            .timeout(config.request_timeout)
            .request_body_compression(!local);
        if local {
            builder = builder.disable_proxy();
        }
        if let Some(credentials) = &config.credentials {
            builder = builder.auth(credentials.to_client());
        }
        if let Some(path) = &config.certificate_authority {
            let file = path.display().to_string();
            let pem = std::fs::read(path).map_err(|error| misconfigured(&file, &error))?;
            let certificate = Certificate::from_pem(&pem).map_err(|error| misconfigured(&file, &error))?;
            builder = builder.cert_validation(CertificateValidation::Full(certificate));
        }
        let transport = builder.build().map_err(|error| misconfigured("elasticsearch client", &error))?;
        Ok(Node {
            url: url.clone(),
            transport,
            is_local: local,
        })
    }

    async fn send(&self, request: &Request<'_>) -> Result<Answer, NoAnswer> {
        let Request {
            method,
            path,
            query,
            ref body,
            content_type,
        } = *request;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if self.is_local {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        let response = self.transport.send(method, path, headers, Some(query), body.clone(), None).await?;
        let status = response.status_code().as_u16();
        Ok(Answer {
            status,
            body: response.bytes().await?,
        })
    }
}

impl From<elasticsearch::Error> for NoAnswer {
    /// The outer message says "error sending request", the inner ones why.
    fn from(error: elasticsearch::Error) -> NoAnswer {
        let mut reason = error.to_string();
        let mut is_refused = false;
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !reason.contains(&cause_text) {
                reason += ": ";
                reason += &cause_text;
            }
            let io = cause.downcast_ref::<std::io::Error>();
            is_refused |= io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused);
            source = cause.source();
        }
        NoAnswer { reason, is_refused }
    }
}

impl Answer {
    /// The body of a success.
    ///
    /// # Errors
    /// As the answer is classified.
    pub(super) fn success(self) -> Result<Bytes, CatalogError> {
        match self.status {
            200..=299 => Ok(self.body),
            status => Err(classify_call(status, &self.body)),
        }
    }
}

/// An answer that is not what was expected.
pub(super) fn malformed(what: &str, error: &dyn std::fmt::Display) -> CatalogError {
    CatalogError::Unavailable {
        reason: format!("the answer to {what} cannot be understood: {error}"),
    }
}

fn misconfigured(what: &str, error: &dyn std::fmt::Display) -> CatalogError {
    CatalogError::Misconfigured {
        reason: format!("{what}: {error}"),
    }
}
