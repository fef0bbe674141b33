//! Conditional writes by `_bulk`, split by size, in order.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use super::classify::{BulkOutcome, classify_bulk};
use super::client::Client;
use super::indices::versioned;
use super::metrics;
use crate::adapters::paging::refuse_id;
use crate::ports::catalog::{CatalogError, Condition, WriteOutcome};

/// A request has at most this many bytes, unless a single document is larger.
const MAX_BYTES: usize = 5 * 1024 * 1024;
/// And this many documents.
const MAX_DOCUMENTS: usize = 2_000;
/// Of each item only this is sent back. `status` is always present, so items keep their places.
const ANSWER: &str = "took,errors,items.*.status,items.*._index,items.*._seq_no,items.*._primary_term,items.*.error.type,items.*.error.reason";

/// One write, ready to be sent.
pub(super) struct BulkWrite {
    pub(super) id: String,
    pub(super) condition: Condition,
    /// JSON without line breaks.
    pub(super) source: Vec<u8>,
}

/// The line before a document.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Action<'a> {
    Create {
        #[serde(rename = "_id")]
        id: &'a str,
    },
    Index {
        #[serde(rename = "_index")]
        alias: String,
        #[serde(rename = "_id")]
        id: &'a str,
        if_seq_no: u64,
        if_primary_term: u64,
    },
}

impl BulkWrite {
    fn append(&self, body: &mut BytesMut) {
        let action = match &self.condition {
            Condition::Absent => Action::Create { id: &self.id },
            Condition::Unchanged(version) => Action::Index {
                // Not the alias of the request: it may just have moved to an index where these numbers mean something else.
                alias: versioned(&version.index),
                id: &self.id,
                if_seq_no: version.seq_no,
                if_primary_term: version.primary_term,
            },
        };
        serde_json::to_writer(body.writer(), &action).expect("an action is a plain struct, and memory takes it");
        body.put_u8(b'\n');
        body.extend_from_slice(&self.source);
        body.put_u8(b'\n');
    }

    /// About what it adds to a request.
    fn bytes(&self) -> usize {
        self.source.len() + self.id.len() + 160
    }
}

/// Writes to the index behind an alias; `current_index` is the one that versions have to be of.
pub(super) async fn write(client: &Client, alias: &str, current_index: Option<&str>, writes: &[BulkWrite]) -> Result<Vec<WriteOutcome>, CatalogError> {
    let mut outcomes: Vec<Option<WriteOutcome>> = writes.iter().map(|write| decided(write, current_index)).collect();
    let to_send: Vec<usize> = (0..writes.len()).filter(|&index| outcomes[index].is_none()).collect();
    let mut requests: VecDeque<Range<usize>> = split(&to_send.iter().map(|&index| writes[index].bytes()).collect::<Vec<_>>()).into();
    while let Some(request) = requests.pop_front() {
        let indices = &to_send[request.clone()];
        match send(client, alias, indices.iter().map(|&index| &writes[index])).await? {
            BulkOutcome::Items(items) => {
                for (&index, outcome) in indices.iter().zip(items) {
                    outcomes[index] = Some(outcome);
                }
            }
            BulkOutcome::Halve(reason) if indices.len() == 1 => outcomes[indices[0]] = Some(WriteOutcome::Refused { reason }),
            BulkOutcome::Halve(_) => {
                let middle = request.start + request.len() / 2;
                requests.push_front(middle..request.end);
                requests.push_front(request.start..middle);
            }
        }
    }
    let outcomes: Vec<WriteOutcome> = outcomes
        .into_iter()
        .map(|outcome| outcome.expect("every write was decided or sent in a request"))
        .collect();
    for outcome in &outcomes {
        metrics::BULK_ITEMS.with_label_values(&[class(outcome)]).inc();
    }
    Ok(outcomes)
}

/// What is known without asking.
fn decided(write: &BulkWrite, current_index: Option<&str>) -> Option<WriteOutcome> {
    if let Some(reason) = refuse_id(&write.id) {
        return Some(WriteOutcome::Refused { reason });
    }
    match &write.condition {
        // Sequence numbers belong to one index: in the one the alias has moved to, the same number means something else.
        Condition::Unchanged(version) if current_index.is_some_and(|current| *version.index != *current) => Some(WriteOutcome::Conflict),
        Condition::Unchanged(_) | Condition::Absent => None,
    }
}

/// Consecutive ranges within both bounds; what is too large alone stands alone.
fn split(sizes: &[usize]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (index, size) in sizes.iter().enumerate() {
        if index > start && (bytes + size > MAX_BYTES || index - start == MAX_DOCUMENTS) {
            ranges.push(start..index);
            start = index;
            bytes = 0;
        }
        bytes += size;
    }
    if start < sizes.len() {
        ranges.push(start..sizes.len());
    }
    ranges
}

async fn send<'a>(client: &Client, alias: &str, writes: impl ExactSizeIterator<Item = &'a BulkWrite> + Clone) -> Result<BulkOutcome, CatalogError> {
    let count = writes.len();
    // Growing would copy megabytes again and again.
    let mut body = BytesMut::with_capacity(writes.clone().map(BulkWrite::bytes).sum());
    for write in writes {
        write.append(&mut body);
    }
    metrics::BULK_BYTES.inc_by(u64::try_from(body.len()).unwrap_or(u64::MAX));
    let timer = metrics::BULK_SECONDS.start_timer();
    let query = [("require_alias", "true"), ("filter_path", ANSWER)];
    let answer = client.send_lines(&format!("/{alias}/_bulk"), &query, body.freeze()).await;
    timer.observe_duration();
    let outcome = answer.and_then(|answer| classify_bulk(answer.status, &answer.body, count));
    let label = match &outcome {
        Ok(BulkOutcome::Items(_)) => "answered",
        Ok(BulkOutcome::Halve(_)) => "too_large",
        Err(CatalogError::Misconfigured { .. }) => "misconfigured",
        Err(_) => "unavailable",
    };
    metrics::BULK_REQUESTS.with_label_values(&[label]).inc();
    outcome
}

fn class(outcome: &WriteOutcome) -> &'static str {
    match outcome {
        WriteOutcome::Written(_) => "written",
        WriteOutcome::Conflict => "conflict",
        WriteOutcome::Retry { .. } => "retry",
        WriteOutcome::Refused { .. } => "refused",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ports::catalog::Version;

    fn version(index: &str) -> Version {
        Version {
            index: index.into(),
            seq_no: 7,
            primary_term: 2,
        }
    }

    fn write(id: &str, condition: Condition) -> BulkWrite {
        BulkWrite {
            id: id.into(),
            condition,
            source: br#"{"a":1}"#.to_vec(),
        }
    }

    #[test]
    fn a_write_is_two_lines() {
        let mut body = BytesMut::new();
        write("B\n\"1", Condition::Absent).append(&mut body);
        write("B2", Condition::Unchanged(version("products-v1"))).append(&mut body);
        let expected = concat!(
            r#"{"create":{"_id":"B\n\"1"}}"#,
            "\n",
            r#"{"a":1}"#,
            "\n",
            r#"{"index":{"_index":"products-v1-versioned","_id":"B2","if_seq_no":7,"if_primary_term":2}}"#,
            "\n",
            r#"{"a":1}"#,
            "\n"
        );
        assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
    }

    #[test]
    fn a_version_of_another_index_conflicts_without_being_sent() {
        let of = |index: &str| write("B1", Condition::Unchanged(version(index)));
        assert_eq!(decided(&of("products-v1"), Some("products-v2")), Some(WriteOutcome::Conflict));
        assert_eq!(decided(&of("products-v2"), Some("products-v2")), None);
        assert_eq!(decided(&write("B1", Condition::Absent), Some("products-v2")), None);
        let long = decided(&write(&"x".repeat(513), Condition::Absent), None);
        assert!(matches!(long, Some(WriteOutcome::Refused { .. })), "{long:?}");
    }

    proptest! {
        #[test]
        fn requests_are_within_bounds_and_leave_nothing_out(sizes in prop::collection::vec(0_usize..3 * MAX_BYTES / 2, 0..50), small in 0_usize..5_000) {
            let sizes: Vec<usize> = sizes.into_iter().chain(std::iter::repeat_n(10, small)).collect();
            let ranges = split(&sizes);
            let mut next = 0;
            for range in ranges {
                prop_assert_eq!(range.start, next);
                prop_assert!(range.len() == 1 || (range.len() <= MAX_DOCUMENTS && sizes[range.clone()].iter().sum::<usize>() <= MAX_BYTES));
                prop_assert!(!range.is_empty());
                next = range.end;
            }
            prop_assert_eq!(next, sizes.len());
        }
    }
}
