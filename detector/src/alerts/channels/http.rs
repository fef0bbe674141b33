//! What the channels over HTTP have in common: the client, what an answer means, and which parts of a URL are secret.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode, Url, header, redirect};
use serde_json::Value;
use shared::config::Secret;

use super::Outcome;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// What is read of an answer: enough for a reason.
const MAX_BYTES: usize = 4 * 1024;

/// The client: with time-outs, and without following redirects, which would lead a signed message elsewhere.
///
/// # Errors
/// If the TLS library cannot be set up.
pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("arbitrage-tracker/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Scheme, host and port.
pub(super) fn origin(url: &Secret) -> String {
    Url::parse(url.expose()).map_or_else(|_| "?".into(), |url| url.origin().ascii_serialization())
}

/// A path, a query and a password let in whoever knows them. Parts of a few characters hide nothing and would blot out
/// half of every reason.
pub(super) fn secret_parts(url: &Secret) -> Vec<Secret> {
    let Ok(parsed) = Url::parse(url.expose()) else { return vec![url.clone()] };
    let segments = parsed.path().split('/').filter(|segment| segment.len() > 5).map(str::to_owned);
    let others = [parsed.query(), parsed.password()].into_iter().flatten().map(str::to_owned);
    let whole = [url.expose().to_owned()];
    whole
        .into_iter()
        .chain(segments.chain(others).filter(|part| part.len() > 3))
        .map(Secret::new)
        .collect()
}

/// Sends a request and reads what came back. Errors of the library are told without the URL.
pub(super) async fn send(request: RequestBuilder) -> Outcome {
    let later = |error: reqwest::Error| Outcome::Later {
        reason: causes(&error.without_url()),
        after_millis: None,
    };
    let mut response = match request.send().await {
        Ok(response) => response,
        // Nothing that time mends.
        Err(error) if error.is_builder() => {
            return Outcome::Refused {
                reason: causes(&error.without_url()),
            };
        }
        Err(error) => return later(error),
    };
    let status = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    if status.is_success() {
        return Outcome::Delivered;
    }
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_BYTES {
            body.truncate(MAX_BYTES);
            break;
        }
    }
    classify(status, retry_after.as_deref(), &String::from_utf8_lossy(&body))
}

/// What an answer that is no success means.
fn classify(status: StatusCode, retry_after: Option<&str>, body: &str) -> Outcome {
    let said = body.trim();
    let reason = if said.is_empty() {
        format!("it answers {status}")
    } else {
        format!("it answers {status}: {said}")
    };
    if status.is_redirection() {
        return Outcome::Refused {
            reason: format!("it answers {status}: redirects are not followed"),
        };
    }
    let is_passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    if !is_passing {
        return Outcome::Refused { reason };
    }
    Outcome::Later {
        reason,
        after_millis: retry_after.and_then(seconds).or_else(|| retry_after_of(body)),
    }
}

/// Whole seconds, or with a fraction, rounded up; dates are not used by any of these services.
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
    let whole: u32 = whole.parse().ok()?;
    let is_fraction = fraction.bytes().any(|byte| byte != b'0');
    Some((i64::from(whole) + i64::from(is_fraction)) * 1_000)
}

/// Telegram says it in `parameters.retry_after`, Discord in `retry_after`.
fn retry_after_of(body: &str) -> Option<i64> {
    let body: Value = serde_json::from_str(body).ok()?;
    let said = body.pointer("/parameters/retry_after").or_else(|| body.get("retry_after"))?;
    seconds(&said.as_number()?.to_string())
}

/// An error with what lies beneath it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, retry_after: Option<&str>, body: &str, expected: Result<Option<i64>, ()>) {
        let outcome = classify(StatusCode::from_u16(status).unwrap(), retry_after, body);
        let actual = match outcome {
            Outcome::Later { after_millis, .. } => Ok(after_millis),
            Outcome::Refused { .. } => Err(()),
            Outcome::Delivered => panic!("{status} is no success"),
        };
        assert_eq!(actual, expected, "{status} {retry_after:?} {body}");
    }

    #[test]
    fn what_passes_is_tried_again_and_what_is_refused_is_not() {
        check(500, None, "", Ok(None));
        check(503, Some("30"), "", Ok(Some(30_000)));
        check(408, None, "", Ok(None));
        check(429, Some("1.2"), "", Ok(Some(2_000)));
        check(429, None, r#"{"ok":false,"parameters":{"retry_after":7}}"#, Ok(Some(7_000)));
        check(429, None, r#"{"message":"slow","retry_after":0.65}"#, Ok(Some(1_000)));
        check(429, Some("soon"), "", Ok(None));
        check(429, Some("99999999999999"), "", Ok(None));
        for refused in [301, 302, 307, 400, 401, 403, 404, 410, 422] {
            check(refused, None, "", Err(()));
        }
    }

    #[test]
    fn the_parts_of_a_url_that_let_somebody_in_are_secret() {
        let url = Secret::new("https://me:hunter22@example.org/api/webhooks/123456/abcdefgh?key=xyzzy");
        let parts: Vec<String> = secret_parts(&url).iter().map(|part| part.expose().to_owned()).collect();
        for part in ["123456", "abcdefgh", "key=xyzzy", "hunter22"] {
            assert!(parts.iter().any(|known| known == part), "{part}: {parts:?}");
        }
        assert_eq!(origin(&url), "https://example.org");
    }
}
