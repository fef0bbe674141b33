//! [`Client`]: one HTTP client for Keepa, whatever server answers.
//!
//! The key is part of every URL, so no URL ever leaves this file: not in an error, not in a log line.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use reqwest::redirect::Policy;
use shared::config::Secret;
use shared::domain::{Asin, Marketplace};
use url::Url;

use super::request::{MAX_ASINS, MAX_ASINS_WITH_HISTORY, Request};
use super::response::{self, BodyError, Category, Deals, Envelope, Found, KeepaError, MAX_BODY_BYTES, Products, Seller};
use super::tokens::Meter;
use crate::metrics;

/// Why there is no answer, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// 429: not enough tokens. Wait, then ask the same again.
    #[error("keepa has no tokens left for /{endpoint}")]
    Wait {
        /// The endpoint asked.
        endpoint: &'static str,
        /// Until the next tick; none where the answer did not say.
        refill_in: Option<Duration>,
    },
    /// 400, 405: the request, one of its values or the key is wrong. Asking the same again does not help.
    #[error("keepa refuses the request to /{endpoint}: {kind}: {message}")]
    Refused {
        /// The endpoint asked.
        endpoint: &'static str,
        /// Keepa's type, `invalidParameter`, or the status.
        kind: String,
        /// What Keepa said.
        message: String,
    },
    /// 402: no subscription, or the endpoint is not part of it.
    #[error("keepa asks for payment for /{endpoint}: {message}")]
    PaymentRequired {
        /// The endpoint asked.
        endpoint: &'static str,
        /// What Keepa said.
        message: String,
    },
    /// 404: the server has no such endpoint, or the plan does not include it.
    #[error("keepa has no /{endpoint}, or the plan does not include it")]
    NotFound {
        /// The endpoint asked.
        endpoint: &'static str,
    },
    /// 500: ask again a few times.
    #[error("keepa failed at /{endpoint}: {message}")]
    Failed {
        /// The endpoint asked.
        endpoint: &'static str,
        /// What Keepa said.
        message: String,
    },
    /// 502, 503, 504, a page instead of an answer, a time-out, a broken connection: back off and ask the same again.
    #[error("keepa cannot be reached at /{endpoint}: {reason}")]
    Retry {
        /// The endpoint asked.
        endpoint: &'static str,
        /// What happened.
        reason: String,
    },
}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the http client cannot be set up: {0}")]
pub struct ClientError(String);

/// How long to wait for Keepa.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes of an answer. Long, because a request that is given up here is charged there.
    pub read: Duration,
}

impl Default for Timeouts {
    /// Those of Keepa's own client: 30 s and 120 s.
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(30),
            read: Duration::from_secs(120),
        }
    }
}

/// What came of a request.
#[derive(Debug)]
pub struct Answer<T> {
    /// The bucket after the request, where the answer told.
    pub meter: Option<Meter>,
    /// What was charged; `None` where nobody knows (the answer did not arrive).
    pub tokens_consumed: Option<i64>,
    /// What was asked for.
    pub result: Result<T, AskError>,
}

impl<T> Answer<T> {
    /// The same answer with its payload turned into something else.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            meter: self.meter,
            tokens_consumed: self.tokens_consumed,
            result: self.result.map(map),
        }
    }
}

/// What kind of body came with a status.
#[derive(Debug, Clone, Copy)]
pub enum Body<'b> {
    /// An envelope.
    Envelope(&'b Envelope<'b>),
    /// A page of some proxy.
    Html,
    /// Neither.
    Other,
}

/// What a status and a body mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Use the payload.
    Use,
    /// Not enough tokens.
    Wait,
    /// The request or the key is wrong.
    Refused,
    /// Not paid for.
    PaymentRequired,
    /// No such endpoint.
    NotFound,
    /// A server error: a few more tries.
    Failed,
    /// Something on the way: back off, try again.
    Retry,
}

/// Keepa's table of status codes. The envelope comes before the status: an error without a payload is a refusal even with 200.
#[must_use]
pub fn classify(status: u16, body: Body<'_>) -> Outcome {
    match (status, body) {
        // Never parsed as an envelope, whatever the status.
        (429, Body::Html | Body::Other) => Outcome::Wait,
        (_, Body::Html) => Outcome::Retry,
        (200..=299, Body::Envelope(envelope)) if envelope.error.is_some() && !envelope.has_payload() => Outcome::Refused,
        (200..=299, Body::Envelope(_)) => Outcome::Use,
        (200..=299, Body::Other) => Outcome::Retry,
        (402, _) => Outcome::PaymentRequired,
        (404, _) => Outcome::NotFound,
        (405, _) => Outcome::Refused,
        (429, _) => Outcome::Wait,
        (400..=499, Body::Envelope(_)) => Outcome::Refused,
        (500, _) => Outcome::Failed,
        _ => Outcome::Retry,
    }
}

/// Asks Keepa. One request at a time is what the token bucket expects of its owner; the client itself does not mind.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: Secret,
}

/// Without the key.
impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// What arrived: status and decoded body, or why nothing did.
struct Arrived {
    status: u16,
    body: Result<String, BodyError>,
}

impl Client {
    /// A client for the server at `base`; contacts nobody.
    ///
    /// # Errors
    /// If the TLS library cannot be set up.
    pub fn new(base: Url, key: Secret, timeouts: Timeouts) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(timeouts.connect)
            .read_timeout(timeouts.read)
            // A redirect would carry the key to wherever it points.
            .redirect(Policy::none())
            .referer(false)
            // Requests go one by one; and HTTP/2 libraries trace header frames, the path with the key among them.
            .http1_only()
            // Bodies are gunzipped by their first bytes here. Another crate may have switched this on for the whole process.
            .no_gzip()
            .no_deflate()
            .no_brotli()
            .no_zstd()
            .user_agent(concat!("keepa-producer/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| ClientError(error.without_url().to_string()))?;
        Ok(Client { http, base, key })
    }

    /// `/product`: at most 100 ASINs, 20 with history; what is asked twice is asked once.
    pub async fn products(&self, market: Marketplace, asins: &[Asin], history: bool) -> Answer<Products> {
        let mut seen = BTreeSet::new();
        let asins: Vec<Asin> = asins.iter().copied().filter(|asin| seen.insert(*asin)).collect();
        let most = if history { MAX_ASINS_WITH_HISTORY } else { MAX_ASINS };
        if asins.is_empty() || asins.len() > most {
            let message = format!("{} products at once: 1 to {most} can be asked for", asins.len());
            return Answer {
                meter: None,
                tokens_consumed: Some(0),
                result: Err(AskError::Refused {
                    endpoint: "product",
                    kind: "tooManyProducts".to_owned(),
                    message,
                }),
            };
        }
        let request = Request::Products {
            market,
            asins: asins.clone(),
            history,
        };
        self.ask(request, move |envelope| response::products(envelope, market, &asins)).await
    }

    /// `/bestsellers`, best first.
    pub async fn best_sellers(&self, market: Marketplace, category: i64) -> Answer<Vec<Asin>> {
        self.ask(Request::BestSellers { market, category }, response::best_sellers).await
    }

    /// `/category`; the id 0 stands for all roots.
    pub async fn categories(&self, market: Marketplace, ids: &[i64]) -> Answer<Vec<Category>> {
        self.ask(Request::Categories { market, ids: ids.to_vec() }, response::categories).await
    }

    /// `/search` for categories.
    pub async fn search_categories(&self, market: Marketplace, term: &str) -> Answer<Vec<Category>> {
        let term = term.to_owned();
        self.ask(Request::SearchCategories { market, term }, response::categories).await
    }

    /// `/search` for products.
    pub async fn search_products(&self, market: Marketplace, term: &str) -> Answer<Products> {
        let term = term.to_owned();
        self.ask(Request::SearchProducts { market, term }, move |envelope| {
            response::products(envelope, market, &[])
        })
        .await
    }

    /// `/query`, the product finder.
    pub async fn query(&self, market: Marketplace, selection: serde_json::Value) -> Answer<Found> {
        self.ask(Request::Query { market, selection }, response::found).await
    }

    /// `/deal`, one page, from 0.
    pub async fn deals(&self, market: Marketplace, page: u32) -> Answer<Deals> {
        self.ask(Request::Deals { market, page }, response::deals).await
    }

    /// `/seller`, at most 100 ids; one with `storefront`.
    pub async fn sellers(&self, market: Marketplace, ids: &[String], storefront: bool) -> Answer<Vec<Seller>> {
        let ids = ids.to_vec();
        self.ask(Request::Sellers { market, ids, storefront }, response::sellers).await
    }

    /// `/token`: only the meter. Costs nothing; for the first reading and after an answer that was lost, not before every call.
    pub async fn token(&self) -> Answer<()> {
        self.ask(Request::Token, |_| ()).await
    }

    async fn ask<T, F>(&self, request: Request, read: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnOnce(&Envelope<'_>) -> T + Send + 'static,
    {
        let endpoint = request.endpoint();
        let arrived = match self.fetch(&request).await {
            Ok(arrived) => arrived,
            Err((label, never_sent, reason)) => {
                metrics::REQUESTS.with_label_values(&[endpoint, label]).inc();
                tracing::debug!(endpoint, reason, "keepa gave no answer");
                return Answer {
                    meter: None,
                    tokens_consumed: never_sent.then_some(0),
                    result: Err(AskError::Retry { endpoint, reason }),
                };
            }
        };
        metrics::REQUESTS.with_label_values(&[endpoint, &arrived.status.to_string()]).inc();
        let key = self.key.clone();
        // Up to tens of megabytes of JSON: not on the threads that keep connections alive.
        let answer = tokio::task::spawn_blocking(move || judge(endpoint, arrived, &key, read)).await;
        let answer = answer.unwrap_or_else(|_panicked_or_stopped| Answer {
            meter: None,
            tokens_consumed: None,
            result: Err(AskError::Retry {
                endpoint,
                reason: "reading the answer was broken off".to_owned(),
            }),
        });
        if let Some(meter) = &answer.meter {
            metrics::TOKENS_LEFT.set(meter.tokens_left);
        }
        if let Some(consumed) = answer.tokens_consumed.and_then(|tokens| u64::try_from(tokens).ok()) {
            metrics::TOKENS_SPENT.with_label_values(&[endpoint]).inc_by(consumed);
        }
        answer
    }

    /// The raw answer; an error carries a label for the metric, whether the request is known not to have reached Keepa, and what happened.
    async fn fetch(&self, request: &Request) -> Result<Arrived, (&'static str, bool, String)> {
        let mut url = self.base.clone();
        let path = format!("{}/{}", url.path().trim_end_matches('/'), request.endpoint());
        url.set_path(&path);
        url.query_pairs_mut().append_pair("key", self.key.expose()).extend_pairs(request.parameters());
        let failed = |error: reqwest::Error| {
            let never_sent = error.is_connect() || error.is_builder();
            let label = if error.is_timeout() { "timeout" } else { "connection" };
            (label, never_sent, redact(&chain(&error.without_url()), &self.key))
        };
        let response = self.http.get(url).header("accept-encoding", "gzip").send().await;
        let mut response = response.map_err(failed)?;
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_BODY_BYTES {
                return Ok(Arrived {
                    status,
                    body: Err(BodyError::TooLarge { limit: MAX_BODY_BYTES }),
                });
            }
        }
        let decoded = tokio::task::spawn_blocking(move || response::decode_body(bytes, MAX_BODY_BYTES)).await;
        let body = decoded.map_err(|_stopped| ("connection", false, "reading the answer was broken off".to_owned()))?;
        Ok(Arrived { status, body })
    }
}

/// Reads the envelope, then the status, then the payload. Pure.
fn judge<T>(endpoint: &'static str, arrived: Arrived, key: &Secret, read: impl FnOnce(&Envelope<'_>) -> T) -> Answer<T> {
    let unknown = |result| Answer {
        meter: None,
        tokens_consumed: None,
        result: Err(result),
    };
    let status = arrived.status;
    let text = match arrived.body {
        Ok(text) => text,
        // The same request would bring the same: it has to become smaller.
        Err(error @ BodyError::TooLarge { .. }) => {
            let kind = "answerTooLarge".to_owned();
            return unknown(AskError::Refused {
                endpoint,
                kind,
                message: error.to_string(),
            });
        }
        Err(error @ BodyError::Gzip(_)) => {
            let reason = format!("status {status}: {error}");
            return unknown(AskError::Retry { endpoint, reason });
        }
    };
    let envelope = Envelope::read(&text);
    let body = match &envelope {
        Some(envelope) => Body::Envelope(envelope),
        None if text.trim_start().starts_with('<') => Body::Html,
        None => Body::Other,
    };
    let outcome = classify(status, body);
    let said = envelope.as_ref().and_then(|envelope| envelope.error.clone()).unwrap_or_default();
    let message = redact(&said.text(), key);
    let kind = if said.kind.is_empty() {
        format!("status {status}")
    } else {
        redact(&said.kind, key)
    };
    let meter = envelope.as_ref().and_then(|envelope| envelope.meter);
    let result = match outcome {
        Outcome::Use => {
            let envelope = envelope.as_ref().expect("only an envelope is classified as to be used");
            warn_of_partial_failure(endpoint, envelope.error.as_ref(), &kind, &message);
            Ok(read(envelope))
        }
        Outcome::Wait => Err(AskError::Wait {
            endpoint,
            refill_in: meter.map(|meter| meter.refill_in),
        }),
        Outcome::Refused => Err(AskError::Refused { endpoint, kind, message }),
        Outcome::PaymentRequired => Err(AskError::PaymentRequired { endpoint, message }),
        Outcome::NotFound => Err(AskError::NotFound { endpoint }),
        Outcome::Failed => Err(AskError::Failed {
            endpoint,
            message: format!("status {status} {message}").trim_end().to_owned(),
        }),
        Outcome::Retry => {
            let what = match body {
                Body::Envelope(_) => message,
                Body::Html => "a page instead of an answer".to_owned(),
                Body::Other => format!("{} bytes that are no answer", text.len()),
            };
            Err(AskError::Retry {
                endpoint,
                reason: format!("status {status}: {what}"),
            })
        }
    };
    let consumed = envelope.as_ref().and_then(|envelope| envelope.tokens_consumed);
    // What Keepa refused or could not pay for is not charged; a page from somewhere on the way says nothing.
    let is_free = matches!(outcome, Outcome::Wait | Outcome::Refused | Outcome::PaymentRequired | Outcome::NotFound);
    Answer {
        meter,
        tokens_consumed: consumed.or(is_free.then_some(0)),
        result,
    }
}

fn warn_of_partial_failure(endpoint: &str, error: Option<&KeepaError>, kind: &str, message: &str) {
    if error.is_some() {
        tracing::warn!(endpoint, kind, message, "keepa answered in part");
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// An error and its causes on one line. Displays do not repeat their causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Keepa or a library might quote the request: wherever the key stands in a text, it is struck out.
fn redact(text: &str, key: &Secret) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(key.expose().as_bytes()).collect();
    let mut text = text.to_owned();
    for secret in [key.expose(), encoded.as_str()] {
        if !secret.is_empty() {
            text = text.replace(secret, "****");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "k3y+that/nobody=sees";

    fn secret() -> Secret {
        Secret::new(KEY)
    }

    fn judged(status: u16, body: &str) -> Answer<bool> {
        let arrived = Arrived {
            status,
            body: Ok(body.to_owned()),
        };
        judge("product", arrived, &secret(), |envelope| envelope.has_payload())
    }

    #[test]
    fn status_and_body_are_classified_by_keepas_table() {
        use Outcome::*;
        let payload = r#"{"timestamp":1,"tokensLeft":1,"refillIn":1,"refillRate":5,"products":[]}"#;
        let bare = r#"{"timestamp":1,"tokensLeft":1,"refillIn":1,"refillRate":5}"#;
        let error = r#"{"timestamp":1,"refillRate":0,"error":{"type":"invalidParameter","message":"no"}}"#;
        let both = r#"{"timestamp":1,"products":[{}],"error":{"type":"partial","message":"some"}}"#;
        let html = "<html><body>Bad gateway</body></html>";
        for (status, body, expected) in [
            (200, payload, Use),
            (200, bare, Use),
            (200, both, Use),
            (200, error, Refused),
            (200, html, Retry),
            (200, "{}", Retry),
            (200, "", Retry),
            (301, "", Retry),
            (400, error, Refused),
            (400, html, Retry),
            (400, "", Retry),
            (401, error, Refused),
            (402, error, PaymentRequired),
            (402, "", PaymentRequired),
            (404, error, NotFound),
            (404, "no such path", NotFound),
            (404, html, Retry),
            (405, error, Refused),
            (429, bare, Wait),
            (429, "", Wait),
            (429, html, Wait),
            (500, error, Failed),
            (500, "", Failed),
            (500, html, Retry),
            (502, html, Retry),
            (503, bare, Retry),
            (503, html, Retry),
            (504, "", Retry),
            (999, "", Retry),
        ] {
            let envelope = Envelope::read(body);
            let kind = match &envelope {
                Some(envelope) => Body::Envelope(envelope),
                None if body.starts_with('<') => Body::Html,
                None => Body::Other,
            };
            assert_eq!(classify(status, kind), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_429_tells_when_the_next_tick_is_and_what_is_left() {
        let answer = judged(429, r#"{"timestamp":1,"tokensLeft":-12,"refillIn":41000,"refillRate":5,"tokensConsumed":0}"#);
        assert_eq!(answer.meter.map(|meter| meter.tokens_left), Some(-12));
        let expected = AskError::Wait {
            endpoint: "product",
            refill_in: Some(Duration::from_secs(41)),
        };
        assert_eq!(answer.result, Err(expected));
        assert_eq!(
            judged(429, "busy").result,
            Err(AskError::Wait {
                endpoint: "product",
                refill_in: None
            })
        );
    }

    #[test]
    fn a_refusal_carries_keepas_words_and_the_details_that_hold_json() {
        let body = r#"{"refillRate":0,"tokensLeft":0,"error":{"type":"invalidParameter","message":"bad","details":"[{\"type\":\"domain\"}]"}}"#;
        let answer = judged(400, body);
        assert_eq!(answer.meter, None, "zeros are no reading");
        assert_eq!(answer.tokens_consumed, Some(0));
        let Err(AskError::Refused { kind, message, .. }) = answer.result else {
            panic!("refused")
        };
        assert_eq!((kind.as_str(), message.as_str()), ("invalidParameter", r#"bad [{"type":"domain"}]"#));
    }

    #[test]
    fn an_answer_that_is_too_large_has_to_be_asked_in_parts() {
        let arrived = Arrived {
            status: 200,
            body: Err(BodyError::TooLarge { limit: 5 }),
        };
        assert!(matches!(judge("product", arrived, &secret(), |_| ()).result, Err(AskError::Refused { .. })));
        let arrived = Arrived {
            status: 200,
            body: Err(BodyError::Gzip("cut".into())),
        };
        assert!(matches!(judge("product", arrived, &secret(), |_| ()).result, Err(AskError::Retry { .. })));
    }

    #[test]
    fn the_key_is_struck_out_of_whatever_keepa_says() {
        let encoded: String = url::form_urlencoded::byte_serialize(KEY.as_bytes()).collect();
        for status in [200, 400, 402, 404, 405, 429, 500, 503] {
            let body = format!(r#"{{"timestamp":1,"error":{{"type":"{KEY}","message":"key {KEY} or {encoded}","details":"{KEY}"}}}}"#);
            let error = judged(status, &body).result.expect_err("an error");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(KEY) && !shown.contains(&encoded), "{status}: {shown}");
        }
        let client = Client::new(Url::parse("http://127.0.0.1:1/").unwrap(), secret(), Timeouts::default()).unwrap();
        assert!(!format!("{client:?}").contains(KEY));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_retried_charged_nothing_and_tells_no_key() {
        // Port 1 of the loopback interface: nobody listens there.
        let client = Client::new(Url::parse("http://127.0.0.1:1").unwrap(), secret(), Timeouts::default()).unwrap();
        let answer = client.token().await;
        assert_eq!(answer.tokens_consumed, Some(0));
        let error = answer.result.expect_err("refused");
        assert!(matches!(error, AskError::Retry { .. }), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("nobody") && !shown.contains("key="), "{shown}");
    }

    #[tokio::test]
    async fn more_products_than_keepa_takes_are_refused_without_asking() {
        let client = Client::new(Url::parse("http://127.0.0.1:1").unwrap(), secret(), Timeouts::default()).unwrap();
        let asins: Vec<Asin> = (0..21).map(|number| format!("B{number:09}").parse().unwrap()).collect();
        assert!(matches!(
            client.products(Marketplace::DE, &asins, true).await.result,
            Err(AskError::Refused { .. })
        ));
        assert!(matches!(
            client.products(Marketplace::DE, &[], false).await.result,
            Err(AskError::Refused { .. })
        ));
    }
}
