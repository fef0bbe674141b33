//! Fetching from the embedded log.
//!
//! tansu's own fetch reads the whole backlog for every answer, waits out `max_wait_ms` even when it has records, loses
//! the headers of a record behind a gap and has no word for offsets that are gone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rama::{Context, Service};
use tansu_sans_io::fetch_request::{FetchPartition, FetchTopic};
use tansu_sans_io::fetch_response::{FetchableTopicResponse, PartitionData};
use tansu_sans_io::record::{Header, Record, deflated, inflated};
use tansu_sans_io::{ErrorCode, FetchRequest, FetchResponse};
use tokio::time::Instant;
use uuid::Uuid;

use super::log_file::{LogFile, StoredPartition, StoredRecord, TopicName};

/// What one answer carries at most, whatever was asked for; a larger record goes alone.
const MAX_BYTES: usize = 8 * 1024 * 1024;

#[derive(Clone, Copy, Debug)]
pub(super) struct Fetch;

impl Service<Arc<LogFile>, FetchRequest> for Fetch {
    type Response = FetchResponse;
    type Error = tansu_storage::Error;

    async fn serve(&self, ctx: Context<Arc<LogFile>>, request: FetchRequest) -> Result<FetchResponse, Self::Error> {
        let file = ctx.state();
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        let deadline = Instant::now() + wait;
        let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
        let max_bytes = request.max_bytes.and_then(|max| usize::try_from(max).ok()).unwrap_or(MAX_BYTES).min(MAX_BYTES);
        let topics = request.topics.unwrap_or_default();
        let mut appended = file.appended();
        loop {
            // Taken before reading: what is appended meanwhile ends the wait at once.
            let before = appended.borrow().clone();
            let answer = read(file, &topics, max_bytes).await?;
            if answer.has_error || answer.bytes >= min_bytes.max(1) || Instant::now() >= deadline {
                return Ok(FetchResponse::default()
                    .throttle_time_ms(Some(0))
                    .error_code(Some(ErrorCode::None.into()))
                    .session_id(Some(0))
                    .node_endpoints(Some([].into()))
                    .responses(Some(answer.topics)));
            }
            let news = appended.wait_for(|now| answer.partitions.iter().any(|id| now.get(id) != before.get(id)));
            let _ = tokio::time::timeout_at(deadline, news).await;
        }
    }
}

struct Answer {
    topics: Vec<FetchableTopicResponse>,
    /// Those that were asked for and are there.
    partitions: Vec<i64>,
    bytes: usize,
    has_error: bool,
}

async fn read(file: &LogFile, topics: &[FetchTopic], max_bytes: usize) -> Result<Answer, tansu_storage::Error> {
    let mut answer = Answer {
        topics: Vec::with_capacity(topics.len()),
        partitions: Vec::new(),
        bytes: 0,
        has_error: false,
    };
    for topic in topics {
        let wanted = topic.partitions.as_deref().unwrap_or_default();
        let mut partitions = Vec::with_capacity(wanted.len());
        for partition in wanted {
            let left = max_bytes.saturating_sub(answer.bytes);
            let (data, stored, bytes) = read_partition(file, topic, partition, left).await?;
            answer.partitions.extend(stored.map(|stored| stored.id));
            answer.bytes += bytes;
            answer.has_error |= data.error_code != i16::from(ErrorCode::None);
            partitions.push(data);
        }
        answer.topics.push(
            FetchableTopicResponse::default()
                .topic(topic.topic.clone())
                .topic_id(topic.topic_id)
                .partitions(Some(partitions)),
        );
    }
    Ok(answer)
}

async fn read_partition(
    file: &LogFile,
    topic: &FetchTopic,
    wanted: &FetchPartition,
    left: usize,
) -> Result<(PartitionData, Option<StoredPartition>, usize), tansu_storage::Error> {
    let name = match (&topic.topic, &topic.topic_id) {
        (Some(name), _) => TopicName::Name(name),
        (None, Some(id)) => TopicName::Id(Uuid::from_bytes(*id)),
        (None, None) => return Ok((refusal(wanted.partition, ErrorCode::UnknownTopicOrPartition, None), None, 0)),
    };
    let Some(stored) = file.partition(name, wanted.partition).await? else {
        let code = match name {
            TopicName::Name(_) => ErrorCode::UnknownTopicOrPartition,
            TopicName::Id(_) => ErrorCode::UnknownTopicId,
        };
        return Ok((refusal(wanted.partition, code, None), None, 0));
    };
    if wanted.fetch_offset < stored.low || wanted.fetch_offset > stored.high {
        return Ok((refusal(wanted.partition, ErrorCode::OffsetOutOfRange, Some(stored)), Some(stored), 0));
    }
    let max_bytes = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(left);
    let records = if left == 0 {
        Vec::new()
    } else {
        file.records(stored, wanted.fetch_offset, max_bytes).await?
    };
    let batch = to_batch(records)?;
    let bytes = batch.as_ref().map_or(0, |batch| batch.record_data.len());
    let data = partition_data(wanted.partition, ErrorCode::None, Some(stored)).records(batch.map(|batch| deflated::Frame { batches: vec![batch] }));
    Ok((data, Some(stored), bytes))
}

fn refusal(partition: i32, code: ErrorCode, stored: Option<StoredPartition>) -> PartitionData {
    partition_data(partition, code, stored).records(None)
}

fn partition_data(partition: i32, code: ErrorCode, stored: Option<StoredPartition>) -> PartitionData {
    PartitionData::default()
        .partition_index(partition)
        .error_code(code.into())
        .high_watermark(stored.map_or(-1, |stored| stored.high))
        // No transactions here, so all that is there is stable.
        .last_stable_offset(Some(stored.map_or(-1, |stored| stored.high)))
        .log_start_offset(Some(stored.map_or(-1, |stored| stored.low)))
        .diverging_epoch(None)
        .current_leader(None)
        .snapshot_id(None)
        .aborted_transactions(Some([].into()))
        .preferred_read_replica(Some(-1))
}

/// One uncompressed batch: the client is on the same machine.
fn to_batch(records: Vec<StoredRecord>) -> Result<Option<deflated::Batch>, tansu_sans_io::Error> {
    let Some(first) = records.first() else {
        return Ok(None);
    };
    let (base_offset, base_timestamp) = (first.offset, first.timestamp);
    let max_timestamp = records.iter().map(|record| record.timestamp).max().unwrap_or(base_timestamp);
    let mut last_offset_delta = 0;
    let mut encoded = Vec::with_capacity(records.len());
    for record in records {
        last_offset_delta = i32::try_from(record.offset - base_offset)?;
        let builder = Record::builder()
            .offset_delta(last_offset_delta)
            .timestamp_delta(record.timestamp - base_timestamp)
            .key(record.key.map(Bytes::from))
            .value(record.value.map(Bytes::from));
        let builder = record.headers.into_iter().fold(builder, |builder, (key, value)| {
            let header = Header::builder().key(Bytes::from(key));
            builder.header(match value {
                Some(value) => header.value(Bytes::from(value)),
                None => header,
            })
        });
        encoded.push(builder.build()?);
    }
    inflated::Batch {
        base_offset,
        // Length and checksum are made with the encoding.
        batch_length: 0,
        crc: 0,
        partition_leader_epoch: -1,
        magic: 2,
        attributes: 0,
        last_offset_delta,
        base_timestamp,
        max_timestamp,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        records: encoded,
    }
    .try_into()
    .map(Some)
}
