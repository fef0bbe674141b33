//! What Elasticsearch's answers mean to the caller. Pure; retrying is somebody else's.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;

use crate::ports::catalog::{CatalogError, Version, WriteOutcome};

/// Answers that are cured by an operator, not by trying again or by another document.
const CONFIGURATION_FAULTS: [&str; 7] = [
    "index_not_found_exception",
    "aliases_not_found_exception",
    "alias_not_found_exception",
    "invalid_alias_name_exception",
    "index_closed_exception",
    "security_exception",
    "cluster_block_exception",
];

/// Answers of a single item that is to be sent again.
const TRANSIENT: [&str; 3] = ["es_rejected_execution_exception", "unavailable_shards_exception", "circuit_breaking_exception"];

/// At most this much of what a server says is kept: it may be a page of HTML.
const MAX_REASON_CHARACTERS: usize = 500;

/// An error as Elasticsearch writes it; a text where it is of a plugin or of old age.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ErrorCause {
    pub(super) kind: String,
    pub(super) reason: String,
}

impl<'de> Deserialize<'de> for ErrorCause {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let text = |name: &str| value.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        Ok(match value.as_str() {
            Some(reason) => ErrorCause {
                kind: String::new(),
                reason: reason.to_owned(),
            },
            None => ErrorCause {
                kind: text("type"),
                reason: text("reason"),
            },
        })
    }
}

impl std::fmt::Display for ErrorCause {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown: String = format!("{}: {}", self.kind, self.reason).chars().take(MAX_REASON_CHARACTERS).collect();
        formatter.write_str(&shown)
    }
}

#[derive(Debug, Deserialize)]
struct BulkAnswer<'a> {
    #[serde(default, borrow)]
    items: Option<Vec<BulkAction<'a>>>,
}

/// One item of a bulk answer under the name of its action; any other name cannot be understood, nor two of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BulkAction<'a> {
    #[serde(borrow)]
    Create(BulkItem<'a>),
    #[serde(borrow)]
    Index(BulkItem<'a>),
}

/// What is said of an item.
#[derive(Debug, Default, Deserialize)]
struct BulkItem<'a> {
    #[serde(default)]
    status: Option<u16>,
    /// Empty where it is not said.
    #[serde(default, borrow, rename = "_index")]
    index: Cow<'a, str>,
    #[serde(default, rename = "_seq_no")]
    seq_no: Option<u64>,
    #[serde(default, rename = "_primary_term")]
    primary_term: Option<u64>,
    #[serde(default)]
    error: Option<ErrorCause>,
}

/// What became of a bulk request of some items.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum BulkOutcome {
    /// One outcome per item, in their order.
    Items(Vec<WriteOutcome>),
    /// Too much at once, or one item makes the whole unreadable: send it in halves. A single item is refused.
    Halve(String),
}

/// Reads the answer to a bulk request of `count` items.
pub(super) fn classify_bulk(status: u16, body: &[u8], count: usize) -> Result<BulkOutcome, CatalogError> {
    match status {
        200..=299 => {}
        413 => return Ok(BulkOutcome::Halve("the request is larger than the server accepts (413)".into())),
        _ => {
            let error = classify_call(status, body);
            // Elasticsearch itself says so, in its own words; a proxy's 400 says nothing of the documents.
            return match (status, error_cause(body), &error) {
                (400, Some(cause), CatalogError::Unavailable { .. }) if !cause.kind.is_empty() => Ok(BulkOutcome::Halve(cause.to_string())),
                _ => Err(error),
            };
        }
    }
    let malformed = |what: String| CatalogError::Unavailable {
        reason: format!("the answer to a bulk request cannot be understood: {what}"),
    };
    // What is skipped has to be text as well: bytes that were damaged on the way may be damaged elsewhere too.
    let text = std::str::from_utf8(body).map_err(|error| malformed(format!("{error}; it begins {:?}", beginning(body))))?;
    let answer: BulkAnswer<'_> = serde_json::from_str(text).map_err(|error| malformed(format!("{error}; it begins {:?}", beginning(body))))?;
    let items = answer.items.ok_or_else(|| malformed("it has no items".into()))?;
    if items.len() != count {
        return Err(malformed(format!("{} items stand for {count}", items.len())));
    }
    let mut outcomes = Vec::with_capacity(count);
    // All of a request are of one index: its name is held once.
    let mut index = Arc::from("");
    for BulkAction::Create(item) | BulkAction::Index(item) in items {
        outcomes.push(classify_item(item, &mut index)?);
    }
    Ok(BulkOutcome::Items(outcomes))
}

/// What became of one item; an error is one of the whole call. `latest_index` is the index of the one before.
fn classify_item(item: BulkItem<'_>, latest_index: &mut Arc<str>) -> Result<WriteOutcome, CatalogError> {
    if let (Some(200..=299), Some(seq_no), Some(primary_term), None) = (item.status, item.seq_no, item.primary_term, &item.error)
        && !item.index.is_empty()
    {
        if **latest_index != *item.index {
            *latest_index = Arc::from(&*item.index);
        }
        return Ok(WriteOutcome::Written(Version {
            index: Arc::clone(latest_index),
            seq_no,
            primary_term,
        }));
    }
    let cause = item.error.unwrap_or_default();
    let reason = cause.to_string();
    if is_configuration_fault(item.status.unwrap_or(0), &cause) {
        return Err(CatalogError::Misconfigured { reason });
    }
    if TRANSIENT.contains(&cause.kind.as_str()) {
        return Ok(WriteOutcome::Retry { reason });
    }
    match item.status {
        Some(409) => Ok(WriteOutcome::Conflict),
        Some(429 | 502 | 503 | 504) => Ok(WriteOutcome::Retry { reason }),
        Some(400 | 413 | 422) => Ok(WriteOutcome::Refused { reason }),
        // Success and an error at once is neither, nor is success without the numbers that come with it.
        status => Err(CatalogError::Unavailable {
            reason: format!("an item's answer cannot be understood: status {status:?}, {reason}"),
        }),
    }
}

/// What the failure of a whole call means.
pub(super) fn classify_call(status: u16, body: &[u8]) -> CatalogError {
    let cause = error_cause(body);
    let reason = match &cause {
        Some(cause) => format!("{status}: {cause}"),
        None => format!("{status}: {:?}", beginning(body)),
    };
    // A 404 that is not Elasticsearch's own may be a proxy's while a node is away.
    if is_configuration_fault(status, &cause.unwrap_or_default()) {
        CatalogError::Misconfigured { reason }
    } else {
        CatalogError::Unavailable { reason }
    }
}

/// The cause that an error answer gives, if it is one of Elasticsearch's.
pub(super) fn error_cause(body: &[u8]) -> Option<ErrorCause> {
    #[derive(Deserialize)]
    struct Answer {
        error: ErrorCause,
    }
    serde_json::from_slice::<Answer>(body).ok().map(|answer| answer.error)
}

pub(super) fn is_configuration_fault(status: u16, cause: &ErrorCause) -> bool {
    // While a node starts or has lost its master, all is blocked with 503: that passes.
    let passes = status == 503;
    let no_write_index = cause.kind == "illegal_argument_exception" && cause.reason.contains("for alias [");
    let several_indices = cause.kind == "illegal_argument_exception" && cause.reason.contains("has more than one ind");
    matches!(status, 401 | 403) || no_write_index || several_indices || (!passes && CONFIGURATION_FAULTS.contains(&cause.kind.as_str()))
}

fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * 200)]);
    text.chars().take(200).collect()
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq)]
    enum Expected {
        Written,
        Conflict,
        Retry,
        Refused,
        Misconfigured,
        Unavailable,
        Halve,
    }
    use Expected::{Conflict, Halve, Misconfigured, Refused, Retry, Unavailable, Written};

    fn error(error: &CatalogError) -> Expected {
        match error {
            CatalogError::Misconfigured { .. } => Misconfigured,
            CatalogError::Unavailable { .. } => Unavailable,
            CatalogError::InvalidCursor { .. } => panic!("not of a write"),
        }
    }

    fn bulk(status: u16, body: &str, count: usize) -> Expected {
        match classify_bulk(status, body.as_bytes(), count) {
            Err(cause) => error(&cause),
            Ok(BulkOutcome::Halve(_)) => Halve,
            Ok(BulkOutcome::Items(outcomes)) => {
                assert_eq!(outcomes.len(), count);
                match &outcomes[0] {
                    WriteOutcome::Written(_) => Written,
                    WriteOutcome::Conflict => Conflict,
                    WriteOutcome::Retry { .. } => Retry,
                    WriteOutcome::Refused { .. } => Refused,
                }
            }
        }
    }

    #[test]
    fn every_item_is_classified_by_itself() {
        let failed = |status: u16, kind: &str| json!({"_index": "products-v1", "status": status, "error": {"type": kind, "reason": "why"}});
        for (item, expected) in [
            (json!({"_index": "products-v1", "_seq_no": 7, "_primary_term": 1, "status": 201}), Written),
            (json!({"_index": "products-v1", "_seq_no": 7, "_primary_term": 1, "status": 200}), Written),
            (failed(409, "version_conflict_engine_exception"), Conflict),
            (failed(429, "es_rejected_execution_exception"), Retry),
            (failed(429, "circuit_breaking_exception"), Retry),
            (failed(500, "es_rejected_execution_exception"), Retry),
            (failed(503, "unavailable_shards_exception"), Retry),
            (failed(502, ""), Retry),
            (failed(504, "process_cluster_event_timeout_exception"), Retry),
            (failed(400, "document_parsing_exception"), Refused),
            (failed(400, "mapper_parsing_exception"), Refused),
            (failed(400, "strict_dynamic_mapping_exception"), Refused),
            (failed(400, "illegal_argument_exception"), Refused),
            (failed(413, ""), Refused),
            (failed(401, "security_exception"), Misconfigured),
            (failed(403, "security_exception"), Misconfigured),
            (failed(403, "cluster_block_exception"), Misconfigured),
            (failed(429, "cluster_block_exception"), Misconfigured),
            (failed(503, "cluster_block_exception"), Retry),
            (failed(404, "index_not_found_exception"), Misconfigured),
            (failed(400, "index_closed_exception"), Misconfigured),
            (
                json!({"status": 400, "error": {"type": "illegal_argument_exception", "reason": "no write index is defined for alias [products]. The write index…"}}),
                Misconfigured,
            ),
            (json!({"status": 400}), Refused),
            (json!({"status": 400, "error": {"type": "document_parsing_exception"}}), Refused),
            (json!({"status": 400, "error": "a text"}), Refused),
            (json!({"status": 400, "error": 7}), Refused),
            (failed(500, "null_pointer_exception"), Unavailable),
            (failed(302, ""), Unavailable),
            (json!({"status": 201, "_index": "products-v1"}), Unavailable),
            (json!({"status": 201}), Unavailable),
            (
                json!({"_index": "products-v1", "_seq_no": 7, "_primary_term": 1, "status": 201, "error": {"type": "odd"}}),
                Unavailable,
            ),
            (json!({}), Unavailable),
        ] {
            let body = json!({"errors": true, "items": [{"index": item}]}).to_string();
            assert_eq!(bulk(200, &body, 1), expected, "{body}");
        }
    }

    #[test]
    fn a_written_item_gives_the_physical_index_and_its_numbers() {
        let body = br#"{"items":[{"create":{"_index":"products-v3","_seq_no":18446744073709551615,"_primary_term":2,"status":201}}]}"#;
        let version = Version {
            index: "products-v3".into(),
            seq_no: u64::MAX,
            primary_term: 2,
        };
        assert_eq!(classify_bulk(200, body, 1).unwrap(), BulkOutcome::Items(vec![WriteOutcome::Written(version)]));
    }

    #[test]
    fn whole_answers_are_classified_or_of_unknown_outcome() {
        let written = r#"{"create":{"_index":"a","_seq_no":1,"_primary_term":1,"status":201}}"#;
        for (status, body, count, expected) in [
            (200, format!(r#"{{"items":[{written}]}}"#), 1, Written),
            (200, format!(r#"{{"items":[{written}]}}"#), 2, Unavailable),
            (200, format!(r#"{{"items":[{written},{written}]}}"#), 1, Unavailable),
            (200, format!(r#"{{"items":[{written}"#), 1, Unavailable),
            (200, r#"{"errors":false}"#.into(), 1, Unavailable),
            (200, r#"{"items":null}"#.into(), 1, Unavailable),
            (200, r#"{"items":[{}]}"#.into(), 1, Unavailable),
            (200, r#"{"items":[7]}"#.into(), 1, Unavailable),
            (200, r#"{"items":[{"delete":{"status":200}}]}"#.into(), 1, Unavailable),
            (200, "<html>welcome</html>".into(), 1, Unavailable),
            (200, String::new(), 1, Unavailable),
            (413, "<html>413 Request Entity Too Large</html>".into(), 1, Halve),
            (413, r#"{"ok":false}"#.into(), 1, Halve),
            (
                400,
                r#"{"error":{"type":"illegal_argument_exception","reason":"Malformed action/metadata line [3]"},"status":400}"#.into(),
                1,
                Halve,
            ),
            (400, "<html>bad request</html>".into(), 1, Unavailable),
            (
                400,
                r#"{"error":"Content-Type header [x] is not supported","status":400}"#.into(),
                1,
                Unavailable,
            ),
            (
                401,
                r#"{"error":{"type":"security_exception","reason":"missing authentication credentials"},"status":401}"#.into(),
                1,
                Misconfigured,
            ),
            (403, "<html>forbidden</html>".into(), 1, Misconfigured),
            (
                404,
                r#"{"error":{"type":"index_not_found_exception","reason":"no such index [products]"},"status":404}"#.into(),
                1,
                Misconfigured,
            ),
            (404, "<html>not found</html>".into(), 1, Unavailable),
            (
                429,
                r#"{"error":{"type":"es_rejected_execution_exception","reason":"…"},"status":429}"#.into(),
                1,
                Unavailable,
            ),
            (
                429,
                r#"{"error":{"type":"cluster_block_exception","reason":"flood stage"},"status":429}"#.into(),
                1,
                Misconfigured,
            ),
            (
                503,
                r#"{"error":{"type":"cluster_block_exception","reason":"no master"},"status":503}"#.into(),
                1,
                Unavailable,
            ),
            (500, String::new(), 1, Unavailable),
            (502, "<html>bad gateway</html>".into(), 1, Unavailable),
            (302, String::new(), 1, Unavailable),
        ] {
            assert_eq!(bulk(status, &body, count), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_configuration_fault_of_one_item_is_one_of_the_call() {
        let body = json!({"items": [
            {"create": {"_index": "a", "_seq_no": 1, "_primary_term": 1, "status": 201}},
            {"create": {"status": 404, "error": {"type": "index_not_found_exception", "reason": "no such index [x] and [require_alias] request flag is [true]"}}},
        ]});
        let cause = classify_bulk(200, body.to_string().as_bytes(), 2).unwrap_err();
        assert!(
            matches!(&cause, CatalogError::Misconfigured { reason } if reason.contains("require_alias")),
            "{cause}"
        );
    }

    #[test]
    fn what_a_server_says_is_cut() {
        let page = "ü".repeat(100_000);
        assert!(classify_call(502, page.as_bytes()).to_string().len() < 1_000);
        let cause = json!({"error": {"type": "x", "reason": page}}).to_string();
        assert!(classify_call(400, cause.as_bytes()).to_string().chars().count() < 600);
    }

    proptest! {
        #[test]
        fn no_answer_panics(status in 100_u16..600, body: Vec<u8>, count in 0_usize..4) {
            let _ = classify_bulk(status, &body, count);
        }

        #[test]
        fn a_cut_answer_is_never_taken_for_a_whole_one(cut in 0_usize..70) {
            let body = br#"{"items":[{"create":{"_index":"a","_seq_no":1,"_primary_term":1,"status":201}}]}"#;
            prop_assert!(classify_bulk(200, &body[..cut], 1).is_err());
        }
    }
}
