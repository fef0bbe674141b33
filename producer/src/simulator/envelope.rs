//! What surrounds every answer: the bucket, the cost, and the payload or the error.

use super::bucket::Reading;
use super::world::json;

/// What an endpoint answers: named members in Keepa's JSON, and what they cost.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) cost: i64,
    /// Name and JSON text.
    pub(super) members: Vec<(&'static str, String)>,
}

impl Payload {
    pub(super) fn new(cost: i64) -> Self {
        Payload { cost, members: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: &impl serde::Serialize) -> Self {
        self.members.push((name, json(value)));
        self
    }
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) status: u16,
    kind: &'static str,
    message: &'static str,
    /// A string that holds JSON, or nothing.
    details: String,
}

impl Rejection {
    /// A wrong key: the error names no parameter.
    pub(super) fn key() -> Self {
        Rejection {
            status: 400,
            kind: "invalidParameter",
            message: INVALID_PARAMETER,
            details: String::new(),
        }
    }

    pub(super) fn parameter(name: &str) -> Self {
        #[derive(serde::Serialize)]
        struct Detail<'t> {
            r#type: &'t str,
            message: &'static str,
        }
        Rejection {
            details: json(&[Detail {
                r#type: name,
                message: "invalid",
            }]),
            ..Self::key()
        }
    }

    pub(super) fn unknown_path() -> Self {
        Rejection {
            status: 404,
            kind: "notFound",
            message: "There is no such endpoint.",
            details: String::new(),
        }
    }

    pub(super) fn method() -> Self {
        Rejection {
            status: 405,
            kind: "methodNotAllowed",
            message: "Method not allowed.",
            details: String::new(),
        }
    }

    pub(super) fn server_error() -> Self {
        Rejection {
            status: 500,
            kind: "internalError",
            message: "An internal error occurred.",
            details: String::new(),
        }
    }

    /// Its envelope. The token fields are all zero: this is no reading of the bucket.
    pub(super) fn envelope(&self, now_ms: i64) -> String {
        let error = format!(
            r#"{{"details":{},"message":{},"type":{}}}"#,
            json(&self.details),
            json(&self.message),
            json(&self.kind)
        );
        let zero = Reading {
            tokens_left: 0,
            refill_in: 0,
            refill_rate: 0,
            token_flow_reduction: 0.0,
        };
        envelope(now_ms, zero, 0, 0, &[("error", error)])
    }
}

const INVALID_PARAMETER: &str = "You used an invalid parameter for this API call.";

/// The JSON of a whole response.
pub(super) fn envelope(now_ms: i64, reading: Reading, consumed: i64, processing_ms: i64, members: &[(&'static str, String)]) -> String {
    let Reading {
        tokens_left,
        refill_in,
        refill_rate,
        token_flow_reduction,
    } = reading;
    let mut text = String::with_capacity(256 + members.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>());
    text.push_str(&format!(
        r#"{{"timestamp":{now_ms},"tokensLeft":{tokens_left},"refillIn":{refill_in},"refillRate":{refill_rate},"tokenFlowReduction":{},"tokensConsumed":{consumed},"processingTimeInMs":{processing_ms}"#,
        json(&token_flow_reduction)
    ));
    for (name, value) in members {
        text.push_str(",\"");
        text.push_str(name);
        text.push_str("\":");
        text.push_str(value);
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_a_string_that_holds_json() {
        let envelope: serde_json::Value = serde_json::from_str(&Rejection::parameter("domain").envelope(5)).expect("JSON");
        let details = envelope["error"]["details"].as_str().expect("a string");
        let details: serde_json::Value = serde_json::from_str(details).expect("JSON");
        assert_eq!(details[0]["type"], "domain");
    }

    #[test]
    fn an_error_envelope_is_no_reading_of_the_bucket() {
        let envelope: serde_json::Value = serde_json::from_str(&Rejection::key().envelope(5)).expect("JSON");
        for field in ["tokensLeft", "refillIn", "refillRate", "tokensConsumed"] {
            assert_eq!(envelope[field].as_i64(), Some(0), "{field}");
        }
        assert_eq!(envelope["error"]["details"], "");
        assert_eq!(envelope["timestamp"].as_i64(), Some(5));
    }
}
