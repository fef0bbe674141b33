//! What goes into the log and what comes out of it.

use bytes::Bytes;
use compact_str::CompactString;

use super::topic::Topic;
use super::trace::{TRACEPARENT, TraceParent};

/// What a record costs in memory besides its bytes: without it, a flood of tiny records would slip under every bound
/// that counts bytes.
const RECORD_OVERHEAD_BYTES: usize = 256;

/// The offset of one record. Not what a group commits: that is the next one, [`NextOffset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordOffset(pub i64);

impl RecordOffset {
    /// The offset a group goes on from once this record is settled.
    pub fn next(self) -> NextOffset {
        NextOffset(self.0 + 1)
    }
}

/// The offset a group goes on from: one more than that of the last settled record.
///
/// Apart from [`RecordOffset`], because the client library has one call that adds the one and one that does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NextOffset(pub i64);

/// Where a published record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The partition the key chose.
    pub partition: i32,
    /// The offset the broker confirmed.
    pub offset: RecordOffset,
}

/// A record to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Chooses the partition; records of one key keep their order.
    pub key: Vec<u8>,
    /// The value; `None` is the null value (design: a request to evaluate again).
    pub payload: Option<Vec<u8>>,
    /// Headers in order; names may repeat.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Milliseconds since the Unix epoch; the present time when absent.
    pub timestamp_ms: Option<i64>,
}

impl Message {
    /// A message with a `traceparent` of its own: a new trace, or the span at work where spans are collected.
    pub fn new(key: impl Into<Vec<u8>>, payload: Option<Vec<u8>>) -> Message {
        Message {
            key: key.into(),
            payload,
            headers: vec![(TRACEPARENT.to_owned(), TraceParent::current_or_new().to_header())],
            timestamp_ms: None,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Message {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the record's time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn with_timestamp_ms(mut self, timestamp_ms: i64) -> Message {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// Makes the message a step in the trace of the record that caused it: same trace id, a span of its own.
    #[must_use]
    pub fn caused_by(self, parent: &Record) -> Message {
        self.with_parent(parent.header(TRACEPARENT))
    }

    /// As [`Message::caused_by`], from the parent's `traceparent` value. Without a valid one the message keeps its own.
    #[must_use]
    pub fn with_parent(mut self, traceparent: Option<&[u8]>) -> Message {
        if let Some(parent) = traceparent.and_then(TraceParent::parse) {
            self.headers.retain(|(name, _)| name != TRACEPARENT);
            self.headers.push((TRACEPARENT.to_owned(), parent.child().to_header()));
        }
        self
    }

    /// Bytes of key, payload and headers: what the size limit of a topic counts.
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.len() + self.payload.as_ref().map_or(0, Vec::len) + headers
    }

    /// Every record carries a valid `traceparent`, also one that was built field by field.
    pub(super) fn ensure_traceparent(&mut self) {
        let carried = self
            .headers
            .iter()
            .any(|(name, value)| name == TRACEPARENT && TraceParent::parse(value).is_some());
        if !carried {
            self.headers.retain(|(name, _)| name != TRACEPARENT);
            self.headers.push((TRACEPARENT.to_owned(), TraceParent::current_or_new().to_header()));
        }
    }
}

/// A record as it was read. It carries its position until it is settled. Its bytes lie in a piece of memory that it shares with
/// some of its neighbours (`read.rs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it was read from.
    pub topic: Topic,
    /// Where it was read from.
    pub partition: i32,
    /// Where it was read from.
    pub offset: RecordOffset,
    /// Raw bytes; other producers may leave it out.
    pub key: Option<Bytes>,
    /// Raw bytes; `None` is the null value.
    pub payload: Option<Bytes>,
    /// Milliseconds since the Unix epoch, as the producer set it; 0 where it set none.
    pub timestamp_ms: i64,
    /// Headers in order; names may repeat.
    pub headers: Vec<(CompactString, Option<Bytes>)>,
}

impl Record {
    /// What the record weighs in memory: its bytes and what holding it costs.
    pub fn size(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + length(value)).sum();
        length(&self.key) + length(&self.payload) + headers + RECORD_OVERHEAD_BYTES
    }

    /// The value of the last header of that name: the last one added counts.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .rev()
            .find(|(present, _)| present == name)
            .and_then(|(_, value)| value.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_continues_the_trace_of_the_record_that_caused_it() {
        let parent = TraceParent::random();
        let message = Message::new("k", None).with_parent(Some(&parent.to_header()));

        let headers: Vec<_> = message.headers.iter().filter(|(n, _)| n == TRACEPARENT).collect();
        assert_eq!(headers.len(), 1);
        let own = TraceParent::parse(&headers[0].1).expect("a message carries a valid traceparent");
        assert_eq!(own.trace_id(), parent.trace_id());
        assert_ne!(own.span_id(), parent.span_id());
    }

    #[test]
    fn a_message_built_by_hand_gets_a_traceparent_and_keeps_a_valid_one() {
        let mut bare = Message {
            key: b"k".to_vec(),
            payload: None,
            headers: vec![],
            timestamp_ms: None,
        };
        bare.ensure_traceparent();
        assert_eq!(bare.headers.len(), 1);

        let before = bare.clone();
        bare.ensure_traceparent();
        assert_eq!(bare, before);

        let mut broken = Message {
            headers: vec![(TRACEPARENT.to_owned(), b"nonsense".to_vec())],
            ..before
        };
        broken.ensure_traceparent();
        assert_eq!(broken.headers.len(), 1);
        assert!(TraceParent::parse(&broken.headers[0].1).is_some());
    }

    #[test]
    fn the_last_header_of_a_name_counts() {
        let record = Record {
            topic: Topic::RawUpdates,
            partition: 0,
            offset: RecordOffset(7),
            key: None,
            payload: None,
            timestamp_ms: 0,
            headers: vec![("a".into(), Some("1".into())), ("a".into(), Some("2".into())), ("b".into(), None)],
        };
        assert_eq!(record.header("a"), Some(&b"2"[..]));
        assert_eq!(record.header("b"), None);
        assert_eq!(record.offset.next(), NextOffset(8));
    }
}
