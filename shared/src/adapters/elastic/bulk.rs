//! Conditional writes by `_bulk`, split by size, in order.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde::Serialize;

use super::classify::{BulkOutcome, classify_bulk};
use super::client::Client;
use super::documents::Document;
use super::indices::versioned;
use super::metrics;
use crate::adapters::paging::refuse_id;
use crate::ports::catalog::{CatalogError, Condition, Write, WriteOutcome};

/// A request has at most this many bytes, unless a single document is larger.
const MAX_BYTES: usize = 5 * 1024 * 1024;
/// And this many documents.
const MAX_DOCUMENTS: usize = 2_000;
/// Of each item only this is sent back. `status` is always present, so items keep their places.
const ANSWER: &str = "took,errors,items.*.status,items.*._index,items.*._seq_no,items.*._primary_term,items.*.error.type,items.*.error.reason";

/// Larger buffers are not kept for another request, nor more of them.
const KEPT_BYTES: usize = 2 * 1024 * 1024;
const KEPT_BUFFERS: usize = 8;

/// Memory of requests that were answered, for those to come: at each piece of that size that is asked for or given back,
/// the system's allocator first joins all small ones that were freed before.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps the memory of what was sent, unless somebody still holds a part of it.
    fn keep(&self, mut sent: Bytes) {
        if !sent.is_unique() {
            return;
        }
        sent.clear();
        let buffer = Vec::from(sent);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.capacity() <= KEPT_BYTES && kept.len() < KEPT_BUFFERS {
            kept.push(buffer);
        }
    }
}

/// The lines of some writes, one after another, and where those of each end.
struct Lines {
    bytes: Bytes,
    ends: Vec<usize>,
}

impl Lines {
    fn of<'a, T: Document + 'a>(writes: impl Iterator<Item = (&'a str, &'a Write<T>)>, mut buffer: Vec<u8>) -> Lines {
        let mut ends = Vec::new();
        for (id, write) in writes {
            append_action(&mut buffer, id, &write.condition);
            buffer.push(b'\n');
            write.value.append_source(&mut buffer);
            buffer.push(b'\n');
            ends.push(buffer.len());
        }
        Lines { bytes: buffer.into(), ends }
    }

    /// Those of consecutive writes.
    fn of_range(&self, range: &Range<usize>) -> Bytes {
        let end_before = |index: usize| index.checked_sub(1).map_or(0, |last| self.ends[last]);
        self.bytes.slice(end_before(range.start)..end_before(range.end))
    }

    /// Of each write, in bytes.
    fn sizes(&self) -> Vec<usize> {
        let starts = std::iter::once(&0).chain(&self.ends);
        self.ends.iter().zip(starts).map(|(end, start)| end - start).collect()
    }
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

fn append_action(json: &mut Vec<u8>, id: &str, condition: &Condition) {
    let action = match condition {
        Condition::Absent => Action::Create { id },
        Condition::Unchanged(version) => Action::Index {
            // Not the alias of the request: it may just have moved to an index where these numbers mean something else.
            alias: versioned(&version.index),
            id,
            if_seq_no: version.seq_no,
            if_primary_term: version.primary_term,
        },
    };
    serde_json::to_writer(json, &action).expect("an action is a plain struct, and memory takes it");
}

/// Writes to the index behind an alias; `current_index` is the one that versions have to be of.
pub(super) async fn write<T: Document>(
    client: &Client,
    alias: &str,
    current_index: Option<&str>,
    writes: &[Write<T>],
    buffers: &Buffers,
) -> Result<Vec<WriteOutcome>, CatalogError> {
    let ids: Vec<String> = writes.iter().map(|write| write.value.id()).collect();
    let mut outcomes: Vec<Option<WriteOutcome>> = ids.iter().zip(writes).map(|(id, write)| decided(id, &write.condition, current_index)).collect();
    let to_send: Vec<usize> = (0..writes.len()).filter(|&index| outcomes[index].is_none()).collect();
    let lines = Lines::of(to_send.iter().map(|&index| (ids[index].as_str(), &writes[index])), buffers.take());
    let mut requests: VecDeque<Range<usize>> = split(&lines.sizes()).into();
    while let Some(request) = requests.pop_front() {
        let indices = &to_send[request.clone()];
        match send(client, alias, lines.of_range(&request), indices.len()).await? {
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
    buffers.keep(lines.bytes);
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
fn decided(id: &str, condition: &Condition, current_index: Option<&str>) -> Option<WriteOutcome> {
    if let Some(reason) = refuse_id(id) {
        return Some(WriteOutcome::Refused { reason });
    }
    match condition {
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

async fn send(client: &Client, alias: &str, body: Bytes, count: usize) -> Result<BulkOutcome, CatalogError> {
    metrics::BULK_BYTES.inc_by(u64::try_from(body.len()).unwrap_or(u64::MAX));
    let timer = metrics::BULK_SECONDS.start_timer();
    let query = [("require_alias", "true"), ("filter_path", ANSWER)];
    let answer = client.send_lines(&format!("/{alias}/_bulk"), &query, body).await;
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
    use serde_json::json;

    use super::*;
    use crate::domain::UnixMillis;
    use crate::ports::catalog::{StateRecord, Version};

    fn version(index: &str) -> Version {
        Version {
            index: index.into(),
            seq_no: 7,
            primary_term: 2,
        }
    }

    fn record(id: &str) -> StateRecord {
        StateRecord {
            id: id.into(),
            group: None,
            status: None,
            at: UnixMillis(5),
            body: json!({"a": 1}),
        }
    }

    fn lines(writes: &[Write<StateRecord>], buffer: Vec<u8>) -> Lines {
        Lines::of(writes.iter().map(|write| (write.value.id.as_str(), write)), buffer)
    }

    #[test]
    fn a_write_is_two_lines() {
        let conditions = [("B\n\"1", Condition::Absent), ("B2", Condition::Unchanged(version("products-v1")))];
        let writes = conditions.map(|(id, condition)| Write { value: record(id), condition });
        let lines = lines(&writes, Vec::new());
        let expected = [
            concat!(r#"{"create":{"_id":"B\n\"1"}}"#, "\n", r#"{"id":"B\n\"1","at":5,"body":{"a":1}}"#, "\n"),
            concat!(
                r#"{"index":{"_index":"products-v1-versioned","_id":"B2","if_seq_no":7,"if_primary_term":2}}"#,
                "\n",
                r#"{"id":"B2","at":5,"body":{"a":1}}"#,
                "\n"
            ),
        ];
        assert_eq!(lines.bytes, expected.concat().as_bytes());
        assert_eq!(
            [lines.of_range(&(0..1)), lines.of_range(&(1..2))],
            expected.map(|lines| Bytes::from_static(lines.as_bytes()))
        );
        assert_eq!(lines.sizes(), expected.map(str::len));
    }

    #[test]
    fn memory_is_used_again_once_nobody_holds_what_was_sent() {
        let buffers = Buffers::default();
        let writes = [Write {
            value: record("B1"),
            condition: Condition::Absent,
        }];
        let sent = lines(&writes, Vec::with_capacity(1_000)).bytes;
        let part = sent.slice(3..5);
        buffers.keep(sent);
        assert_eq!(buffers.take().capacity(), 0, "a part of it is still held");
        assert_eq!(&*part, b"re");

        let sent = lines(&writes, Vec::with_capacity(1_000)).bytes;
        buffers.keep(sent);
        let again = buffers.take();
        assert!(again.is_empty() && again.capacity() >= 1_000, "{} of {}", again.len(), again.capacity());

        buffers.keep(Bytes::from(vec![0; KEPT_BYTES + 1]));
        (0..=KEPT_BUFFERS).for_each(|_| buffers.keep(lines(&writes, Vec::with_capacity(1_000)).bytes));
        let kept: Vec<usize> = buffers.0.lock().unwrap().iter().map(Vec::capacity).collect();
        assert!(kept.len() == KEPT_BUFFERS && kept.iter().all(|&bytes| bytes <= KEPT_BYTES), "{kept:?}");
    }

    #[test]
    fn a_version_of_another_index_conflicts_without_being_sent() {
        let of = |index: &str, current| decided("B1", &Condition::Unchanged(version(index)), current);
        assert_eq!(of("products-v1", Some("products-v2")), Some(WriteOutcome::Conflict));
        assert_eq!(of("products-v2", Some("products-v2")), None);
        assert_eq!(of("products-v1", None), None);
        assert_eq!(decided("B1", &Condition::Absent, Some("products-v2")), None);
        let long = decided(&"x".repeat(513), &Condition::Absent, None);
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
