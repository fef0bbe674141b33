//! Requests and their answers: one place that names the transport of the `elasticsearch` crate.

use std::error::Error as _;

use bytes::Bytes;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::Method;
use elasticsearch::http::headers::{CONTENT_TYPE, HeaderMap, HeaderValue};
use elasticsearch::http::transport::{MultiNodeConnectionPool, Transport, TransportBuilder};
use serde_json::Value;

use super::classify::classify_call;
use super::config::ElasticConfig;
use crate::ports::catalog::CatalogError;

/// A client of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Client {
    transport: Transport,
}

/// An answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Client {
    /// Makes a client; contacts nobody.
    pub(super) fn new(config: &ElasticConfig) -> Result<Client, CatalogError> {
        let misconfigured = |what: &str, error: &dyn std::fmt::Display| CatalogError::Misconfigured {
            reason: format!("{what}: {error}"),
        };
        if config.urls.is_empty() {
            return Err(misconfigured("elasticsearch", &"no address is given"));
        }
        let nodes = MultiNodeConnectionPool::round_robin(config.urls.clone(), None);
        let mut builder = TransportBuilder::new(nodes)
            .timeout(config.request_timeout)
            .request_body_compression(!config.is_loopback());
        if config.is_loopback() {
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
        Ok(Client { transport })
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
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let response = self
            .transport
            .send(method, path, headers, Some(query), body, None)
            .await
            .map_err(|error| unavailable(&error))?;
        let status = response.status_code().as_u16();
        let body = response.bytes().await.map_err(|error| unavailable(&error))?;
        Ok(Answer { status, body })
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

/// The outer message says "error sending request", the inner ones why.
fn unavailable(error: &elasticsearch::Error) -> CatalogError {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !reason.contains(&cause_text) {
            reason += ": ";
            reason += &cause_text;
        }
        source = cause.source();
    }
    CatalogError::Unavailable { reason }
}
