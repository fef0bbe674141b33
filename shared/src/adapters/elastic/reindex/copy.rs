//! Copies what has changed since the pass before, as often as one likes.
//!
//! A document's place in the order of all writes to an index (`_primary_term`, `_seq_no`) becomes the version of its copy:
//! an older state never replaces a newer one, whichever pass, retry or straggler brings it. A pass begins where every
//! write was certainly visible to the pass before (the *global checkpoint* before its refresh), so passes overlap and
//! leave nothing out. In an index of several shards, places of different shards are not comparable: the least checkpoint
//! counts, so passes overlap more.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::classify::{BulkOutcome, classify_bulk};
use super::super::client::{Client, malformed};
use super::super::documents::{Document, decode};
use super::super::search::{SHARD_TIMEOUT, refuse_partial};
use super::compare::{Sample, count};
use super::{ReindexError, Report, Step};
use crate::ports::catalog::{CatalogError, WriteOutcome};
use crate::retry::Backoff;

/// Documents read at once.
const PAGE: usize = 500;
/// Bytes written at once, unless a single document is larger.
const MAX_BYTES: usize = 5 * 1024 * 1024;
/// Progress is told after so many documents.
const TOLD_AFTER: u64 = 10_000;
/// How long the reading of one page may take.
const KEEP_ALIVE: &str = "1m";
/// Sequence numbers are below this, or a version could not hold term and number.
const SEQUENCE_BITS: u32 = 40;

/// The way from one index to another.
pub(super) struct Copying<'a> {
    client: &'a Client,
    from: &'a str,
    /// An alias that this run alone has: another one's index of the same name is out of reach.
    to: String,
    /// Every write up to here was visible to the last pass.
    seen: i64,
    passes: u32,
    sample: Sample,
    stop: &'a CancellationToken,
}

/// One document on its way.
struct Item {
    id: String,
    version: u64,
    source: Vec<u8>,
}

#[derive(Deserialize)]
struct Opened {
    id: String,
}

#[derive(Deserialize)]
struct Page<'a> {
    pit_id: String,
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    #[serde(borrow)]
    hits: Hits<'a>,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

#[derive(Deserialize)]
struct Hits<'a> {
    #[serde(borrow)]
    hits: Vec<Hit<'a>>,
}

#[derive(Deserialize)]
struct Hit<'a> {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_seq_no")]
    seq_no: u64,
    #[serde(rename = "_primary_term")]
    primary_term: u64,
    #[serde(borrow, rename = "_source")]
    source: &'a RawValue,
    sort: Vec<Value>,
}

impl<'a> Copying<'a> {
    pub(super) fn new(client: &'a Client, from: &'a str, to: String, sample: Sample, stop: &'a CancellationToken) -> Self {
        Copying {
            client,
            from,
            to,
            seen: -1,
            passes: 0,
            sample,
            stop,
        }
    }

    pub(super) fn from(&self) -> &'a str {
        self.from
    }

    pub(super) fn passes(&self) -> u32 {
        self.passes
    }

    /// Of the documents copied in any pass.
    pub(super) fn sample(&mut self) -> &mut Sample {
        &mut self.sample
    }

    /// Copies what was written since the pass before; the first copies everything. Returns how many documents that were.
    pub(super) async fn pass<T: Document>(&mut self, report: Report<'_>) -> Result<u64, ReindexError> {
        let checkpoint = checkpoint(self.client, self.from).await?;
        self.client.call(Method::Post, &format!("/{}/_refresh", self.from), &[], None).await?;
        // Later passes are short, and the last one is in a hurry.
        let of = if self.passes == 0 { count(self.client, self.from).await? } else { 0 };
        let path = format!("/{}/_pit", self.from);
        let opened = self.client.call(Method::Post, &path, &[("keep_alive", KEEP_ALIVE)], None).await?;
        let Opened { id: mut view } = serde_json::from_slice(&opened).map_err(|error| malformed("a request for a view", &error))?;
        let copied = self.copy_view::<T>(&mut view, of, report).await;
        // It would go by itself within a minute.
        let closed = self.client.call(Method::Delete, "/_pit", &[], Some(&json!({"id": view}))).await;
        let copied = copied?;
        closed?;
        self.seen = checkpoint;
        self.passes += 1;
        Ok(copied)
    }

    async fn copy_view<T: Document>(&mut self, view: &mut String, of: u64, report: Report<'_>) -> Result<u64, ReindexError> {
        let (mut copied, mut told, mut after) = (0_u64, 0_u64, None);
        loop {
            if self.stop.is_cancelled() {
                return Err(ReindexError::Interrupted);
            }
            let mut body = json!({
                "size": PAGE,
                "pit": {"id": &*view, "keep_alive": KEEP_ALIVE},
                "query": {"range": {"_seq_no": {"gt": self.seen}}},
                "sort": [{"_shard_doc": {"order": "asc"}}],
                "track_total_hits": false,
                "seq_no_primary_term": true,
                "timeout": SHARD_TIMEOUT,
            });
            if let Some(after) = after {
                body["search_after"] = Value::Array(after);
            }
            let parameters = [("allow_partial_search_results", "false")];
            let answer = self.client.call(Method::Post, "/_search", &parameters, Some(&body)).await?;
            let page: Page<'_> = serde_json::from_slice(&answer).map_err(|error| malformed("a search", &error))?;
            refuse_partial(page.timed_out, page.shards.failed)?;
            let items = page.hits.hits.iter().map(again::<T>).collect::<Result<Vec<Item>, CatalogError>>()?;
            self.write(&items).await?;
            for item in &items {
                self.sample.offer(&item.id);
            }
            copied += items.len() as u64;
            if of > 0 && copied >= told + TOLD_AFTER {
                told = copied;
                report(Step::Copying { copied, of });
            }
            *view = page.pit_id;
            match page.hits.hits.into_iter().last() {
                Some(last) if items.len() == PAGE => after = Some(last.sort),
                _ => return Ok(copied),
            }
        }
    }

    async fn write(&self, items: &[Item]) -> Result<(), ReindexError> {
        let mut requests: VecDeque<Range<usize>> = chunks(items.iter().map(|item| item.source.len())).into();
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        while let Some(range) = requests.pop_front() {
            let sent = &items[range.clone()];
            match self.send(sent).await {
                Ok(BulkOutcome::Items(outcomes)) => {
                    let mut again = false;
                    for (item, outcome) in sent.iter().zip(outcomes) {
                        match outcome {
                            // A conflict: what is there is newer.
                            WriteOutcome::Written(_) | WriteOutcome::Conflict => {}
                            WriteOutcome::Retry { .. } => again = true,
                            WriteOutcome::Refused { reason } => return Err(refused(item, reason)),
                        }
                    }
                    if !again {
                        backoff.reset();
                        continue;
                    }
                    requests.push_front(range);
                }
                Ok(BulkOutcome::Halve(reason)) if sent.len() == 1 => return Err(refused(&sent[0], reason)),
                Ok(BulkOutcome::Halve(_)) => {
                    let middle = range.start + range.len() / 2;
                    requests.push_front(middle..range.end);
                    requests.push_front(range.start..middle);
                    continue;
                }
                // Sending the same again is safe: versions decide.
                Err(CatalogError::Unavailable { .. }) => requests.push_front(range),
                Err(error) => return Err(error.into()),
            }
            backoff.wait(self.stop).await.map_err(|_| ReindexError::Interrupted)?;
        }
        Ok(())
    }

    async fn send(&self, items: &[Item]) -> Result<BulkOutcome, CatalogError> {
        let mut body = BytesMut::new();
        for item in items {
            let action = json!({"index": {"_id": item.id, "version": item.version, "version_type": "external_gte"}});
            body.put_slice(action.to_string().as_bytes());
            body.put_u8(b'\n');
            body.put_slice(&item.source);
            body.put_u8(b'\n');
        }
        let path = format!("/{}/_bulk", self.to);
        let answer = self.client.send_lines(&path, &[("require_alias", "true")], body.freeze()).await?;
        classify_bulk(answer.status, &answer.body, items.len())
    }
}

fn refused(item: &Item, reason: String) -> ReindexError {
    ReindexError::Refused { id: item.id.clone(), reason }
}

/// A document as the present code writes it.
fn again<T: Document>(hit: &Hit<'_>) -> Result<Item, CatalogError> {
    let value: T = decode(&hit.id, hit.source)?;
    Ok(Item {
        id: hit.id.clone(),
        version: place(hit.primary_term, hit.seq_no)?,
        source: value.to_source(),
    })
}

/// The place of a write in the order of all writes to its shard, as one number.
fn place(primary_term: u64, seq_no: u64) -> Result<u64, CatalogError> {
    if seq_no >> SEQUENCE_BITS != 0 || primary_term >> (62 - SEQUENCE_BITS) != 0 {
        return Err(CatalogError::Misconfigured {
            reason: format!("a write has the number {seq_no} of term {primary_term}, more than a version can hold"),
        });
    }
    Ok(primary_term << SEQUENCE_BITS | seq_no)
}

/// Consecutive ranges of at most [`MAX_BYTES`] or one document.
fn chunks(sizes: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut chunks: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (index, size) in sizes.enumerate() {
        bytes += size;
        match chunks.last_mut() {
            Some(last) if bytes <= MAX_BYTES => last.end = index + 1,
            _ => {
                chunks.push(index..index + 1);
                bytes = size;
            }
        }
    }
    chunks
}

#[derive(Deserialize)]
struct Numbers {
    indices: BTreeMap<String, IndexNumbers>,
}

#[derive(Deserialize)]
struct IndexNumbers {
    shards: BTreeMap<String, Vec<ShardNumbers>>,
}

#[derive(Deserialize)]
struct ShardNumbers {
    routing: Routing,
    seq_no: Sequence,
}

#[derive(Deserialize)]
struct Routing {
    primary: bool,
}

#[derive(Deserialize)]
struct Sequence {
    global_checkpoint: i64,
}

/// Every write up to this one has been applied on every copy of its shard.
async fn checkpoint(client: &Client, index: &str) -> Result<i64, CatalogError> {
    let path = format!("/{index}/_stats/docs");
    let parameters = [
        ("level", "shards"),
        ("filter_path", "indices.*.shards.*.routing.primary,indices.*.shards.*.seq_no.global_checkpoint"),
    ];
    let answer = client.call(Method::Get, &path, &parameters, None).await?;
    least_checkpoint(&answer, index)
}

fn least_checkpoint(answer: &[u8], index: &str) -> Result<i64, CatalogError> {
    let numbers: Numbers = serde_json::from_slice(answer).map_err(|error| malformed("a question for checkpoints", &error))?;
    let shards = numbers.indices.get(index).into_iter().flat_map(|index| index.shards.values());
    let mut least = None;
    for shard in shards {
        let primary = shard.iter().find(|copy| copy.routing.primary);
        let primary = primary.ok_or_else(|| malformed("a question for checkpoints", &"a shard has no primary"))?;
        least = Some(least.unwrap_or(i64::MAX).min(primary.seq_no.global_checkpoint));
    }
    least.ok_or_else(|| malformed("a question for checkpoints", &"no shard is named"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_later_term_is_later_whatever_the_number() {
        assert!(place(1, 5).unwrap() < place(1, 6).unwrap());
        assert!(place(1, 500).unwrap() < place(2, 0).unwrap());
        assert!(place(1, 1 << SEQUENCE_BITS).is_err());
        assert!(place(1 << 22, 0).is_err());
        assert!(i64::try_from(place((1 << 22) - 1, (1 << SEQUENCE_BITS) - 1).unwrap()).is_ok());
    }

    #[test]
    fn the_least_checkpoint_of_all_primaries_counts() {
        let copy = |primary: bool, checkpoint: i64| json!({"routing": {"primary": primary}, "seq_no": {"global_checkpoint": checkpoint}});
        let answer = |shards: Value| json!({"indices": {"p-v1": {"shards": shards}}}).to_string();
        let read = |shards: Value| least_checkpoint(answer(shards).as_bytes(), "p-v1");
        assert_eq!(read(json!({"0": [copy(true, 7), copy(false, 3)]})).unwrap(), 7);
        assert_eq!(read(json!({"0": [copy(true, 7)], "1": [copy(true, -1)]})).unwrap(), -1);
        assert!(read(json!({})).is_err());
        assert!(read(json!({"0": [copy(false, 3)]})).is_err());
        assert!(least_checkpoint(answer(json!({"0": [copy(true, 7)]})).as_bytes(), "p-v2").is_err());
        assert!(least_checkpoint(b"<html>", "p-v1").is_err());
    }

    proptest! {
        #[test]
        fn chunks_are_within_bounds_and_leave_nothing_out(sizes in prop::collection::vec(0_usize..MAX_BYTES + 10, 0..40)) {
            let mut next = 0;
            for chunk in chunks(sizes.iter().copied()) {
                prop_assert_eq!(chunk.start, next);
                prop_assert!(chunk.len() == 1 || sizes[chunk.clone()].iter().sum::<usize>() <= MAX_BYTES);
                next = chunk.end;
            }
            prop_assert_eq!(next, sizes.len());
        }
    }
}
