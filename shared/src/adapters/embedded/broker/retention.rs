//! What is old goes, and what is too much.
//!
//! tansu's own maintenance deletes by a join over all records and headers, which takes hours on a million of them, keeps
//! no place of an empty partition, and gives no space back.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libsql::{Connection, params};
use prometheus::{IntGauge, register_int_gauge};

use super::gate::Gate;
use super::log_file::{LogFile, StoredPartition, pragma};
use crate::domain::UnixMillis;

static EVENT_LOG_BYTES: LazyLock<IntGauge> =
    LazyLock::new(|| register_int_gauge!("event_log_bytes", "What the embedded event log takes on disk").expect("metric names are unique and well formed"));

/// Records deleted while tansu waits. Some milliseconds' worth.
const SLICE: i64 = 2_000;
/// Pages given back while tansu waits.
const PAGES: i64 = 2_000;
/// Over the limit, the log is brought down to this part of it, so that the next record does not exceed it again.
const DOWN_TO_PERCENT: u64 = 90;

/// What one round of maintenance did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Records deleted because of their age.
    pub expired: u64,
    /// Records deleted because the log exceeded its limit.
    pub evicted: u64,
}

/// Looks after the size of the log.
#[derive(Debug)]
pub(super) struct Retention {
    file: Arc<LogFile>,
    gate: Gate,
    retention: Duration,
    size_limit: u64,
}

impl Retention {
    pub(super) fn new(file: Arc<LogFile>, gate: Gate, retention: Duration, size_limit: u64) -> Retention {
        Retention {
            file,
            gate,
            retention,
            size_limit,
        }
    }

    /// Deletes what came in before the retention began, then what is too much.
    ///
    /// Counted from arrival and not from a record's own time: an old price that was fed in just now is still to be read.
    pub(super) async fn run(&self, now: UnixMillis) -> Result<Maintained, libsql::Error> {
        let retention_ms = i64::try_from(self.retention.as_millis()).unwrap_or(i64::MAX);
        let before = now.0.saturating_sub(retention_ms) / 1000;
        let mut expired = 0;
        for partition in self.partitions().await? {
            let end = self.first_since(partition, before).await?;
            expired += self.delete_below(partition, end).await?;
        }
        if expired > 0 {
            tracing::info!(expired, "records older than the retention were deleted");
        }
        self.give_back().await?;
        let evicted = self.keep_below_limit().await?;
        Ok(Maintained { expired, evicted })
    }

    /// Deletes the oldest records while the log exceeds its limit.
    pub(super) async fn keep_below_limit(&self) -> Result<u64, libsql::Error> {
        let bytes = self.file.size_bytes();
        EVENT_LOG_BYTES.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        if bytes <= self.size_limit || self.used_bytes().await? <= self.size_limit {
            return Ok(0);
        }
        let target = self.size_limit / 100 * DOWN_TO_PERCENT;
        let mut evicted = 0;
        while self.used_bytes().await? > target {
            let Some(oldest) = self.oldest_partition().await? else {
                break;
            };
            evicted += self.delete_below(oldest, oldest.low + SLICE).await?;
        }
        self.give_back().await?;
        let after = self.file.size_bytes();
        EVENT_LOG_BYTES.set(i64::try_from(after).unwrap_or(i64::MAX));
        // Nothing to spare: the limit is below what an empty log takes. Looked at every few seconds, so not worth a warning each time.
        if evicted == 0 {
            tracing::debug!(bytes, limit_bytes = self.size_limit, "the event log exceeds its limit and has nothing to spare");
            return Ok(0);
        }
        tracing::warn!(
            evicted,
            bytes,
            limit_bytes = self.size_limit,
            "the event log exceeds its limit: its oldest records were deleted early, whether they were read or not"
        );
        Ok(evicted)
    }

    /// What records take, without pages that are free again.
    async fn used_bytes(&self) -> Result<u64, libsql::Error> {
        let writer = self.file.writer().await;
        let used: i64 = one(
            &writer,
            "select (page_count - freelist_count) * page_size
             from pragma_page_count(), pragma_freelist_count(), pragma_page_size()",
        )
        .await?;
        Ok(u64::try_from(used).unwrap_or(0))
    }

    async fn partitions(&self) -> Result<Vec<StoredPartition>, libsql::Error> {
        let writer = self.file.writer().await;
        let mut rows = writer.query("select topition, coalesce(low, 0), coalesce(high, 0) from watermark", ()).await?;
        let mut partitions = Vec::new();
        while let Some(row) = rows.next().await? {
            partitions.push(StoredPartition {
                id: row.get(0)?,
                low: row.get(1)?,
                high: row.get(2)?,
            });
        }
        Ok(partitions)
    }

    /// The first offset that arrived at that second or later. Offsets arrive in order, so all below it are older.
    async fn first_since(&self, partition: StoredPartition, seconds: i64) -> Result<i64, libsql::Error> {
        let writer = self.file.writer().await;
        let mut rows = writer
            .query(
                "select offset_id from record
                 where topition = ?1 and offset_id >= ?2 and created_at >= datetime(?3, 'unixepoch')
                 order by offset_id limit 1",
                params![partition.id, partition.low, seconds],
            )
            .await?;
        match rows.next().await? {
            Some(row) => row.get(0),
            None => Ok(partition.high),
        }
    }

    /// The partition whose oldest record came in first, among those that have one to spare.
    async fn oldest_partition(&self) -> Result<Option<StoredPartition>, libsql::Error> {
        let mut oldest: Option<(String, StoredPartition)> = None;
        for partition in self.partitions().await? {
            let writer = self.file.writer().await;
            let mut rows = writer
                .query(
                    "select created_at, offset_id from record where topition = ?1 and offset_id >= ?2
                     order by offset_id limit 1",
                    params![partition.id, partition.low],
                )
                .await?;
            if let Some(row) = rows.next().await? {
                let (arrived, low): (String, i64) = (row.get(0)?, row.get(1)?);
                let to_spare = low < partition.high - 1;
                if to_spare && oldest.as_ref().is_none_or(|(first, _)| arrived < *first) {
                    oldest = Some((arrived, StoredPartition { low, ..partition }));
                }
            }
        }
        Ok(oldest.map(|(_, partition)| partition))
    }

    /// Deletes in slices, tansu taking its turn in between.
    ///
    /// The newest record of a partition always stays: tansu reads the end of the log off it, and would start an empty
    /// partition anew at offset 0 in its answers.
    async fn delete_below(&self, partition: StoredPartition, end: i64) -> Result<u64, libsql::Error> {
        let end = end.min(partition.high - 1);
        let mut deleted = 0;
        let mut from = partition.low;
        while from < end {
            let to = (from + SLICE).min(end);
            let _held = self.gate.hold().await;
            let writer = self.file.writer().await;
            let transaction = writer.transaction_with_behavior(libsql::TransactionBehavior::Immediate).await?;
            transaction
                .execute("delete from header where topition = ?1 and offset_id < ?2", params![partition.id, to])
                .await?;
            deleted += transaction
                .execute("delete from record where topition = ?1 and offset_id < ?2", params![partition.id, to])
                .await?;
            transaction
                .execute("update watermark set low = ?2 where topition = ?1", params![partition.id, to])
                .await?;
            transaction.commit().await?;
            from = to;
        }
        Ok(deleted)
    }

    /// Gives free pages back to the system and empties the write-ahead log, in slices as well.
    async fn give_back(&self) -> Result<(), libsql::Error> {
        let mut free = i64::MAX;
        loop {
            let _held = self.gate.hold().await;
            let writer = self.file.writer().await;
            let left: i64 = one(&writer, "select freelist_count from pragma_freelist_count()").await?;
            // None left, or a file from before space could be given back.
            if left == 0 || left >= free {
                break;
            }
            free = left;
            pragma(&writer, &format!("incremental_vacuum({PAGES})")).await?;
        }
        let _held = self.gate.hold().await;
        self.file.checkpoint().await
    }
}

async fn one(connection: &Connection, query: &str) -> Result<i64, libsql::Error> {
    let mut rows = connection.query(query, ()).await?;
    rows.next().await?.map_or(Ok(0), |row| row.get(0))
}
