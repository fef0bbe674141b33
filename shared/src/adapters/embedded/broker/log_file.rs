//! tansu's SQLite file, read and looked after beside tansu itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use libsql::{Connection, Database, params};
use tokio::sync::{Mutex, MutexGuard, watch};
use uuid::Uuid;

/// One partition as tansu stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredPartition {
    /// tansu's key of it.
    pub(super) id: i64,
    /// The oldest offset that is kept.
    pub(super) low: i64,
    /// One past the newest.
    pub(super) high: i64,
}

/// Batches appended per partition, by tansu's key of it.
pub(super) type Appended = BTreeMap<i64, u64>;

/// How a fetch names its topic.
#[derive(Clone, Copy, Debug)]
pub(super) enum TopicName<'a> {
    Name(&'a str),
    Id(Uuid),
}

/// One record as tansu stores it.
#[derive(Debug)]
pub(super) struct StoredRecord {
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl StoredRecord {
    fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// The file, with connections of its own beside tansu's.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    _database: Database,
    /// For fetching. One is enough: a read is short, and all of it is this machine's.
    reader: Mutex<Connection>,
    /// For maintenance; used only behind the gate.
    writer: Mutex<Connection>,
    /// Counts the batches appended to each partition, so that a fetch can wait for the next one of its own.
    appended: watch::Sender<Appended>,
}

impl LogFile {
    /// Opens or creates the file. Settings that must be there before the first table are made here.
    pub(super) async fn open(path: &Path) -> Result<Arc<LogFile>, libsql::Error> {
        let database = libsql::Builder::new_local(path).build().await?;
        let writer = database.connect()?;
        writer.busy_timeout(Duration::from_secs(10))?;
        // Without effect on a file that has tables: those that are older keep what they have.
        pragma(&writer, "auto_vacuum = INCREMENTAL").await?;
        pragma(&writer, "journal_mode = WAL").await?;
        pragma(&writer, "synchronous = NORMAL").await?;
        // Header rows are deleted with their records here, not row by row by SQLite.
        pragma(&writer, "foreign_keys = OFF").await?;
        let reader = database.connect()?;
        reader.busy_timeout(Duration::from_secs(10))?;
        pragma(&reader, "query_only = ON").await?;
        Ok(Arc::new(LogFile {
            path: path.to_owned(),
            _database: database,
            reader: Mutex::new(reader),
            writer: Mutex::new(writer),
            appended: watch::Sender::default(),
        }))
    }

    /// What the tables lack: an index without which reading or deleting one record looks through all headers there are.
    /// And what they have too much: members of groups, all of which ended with the process they lived in. Left there,
    /// they would keep their partitions until they are missed.
    pub(super) async fn prepare(&self) -> Result<(), libsql::Error> {
        let writer = self.writer.lock().await;
        writer
            .execute("create index if not exists header_of_record on header (topition, offset_id)", ())
            .await?;
        writer.execute("delete from consumer_group_detail", ()).await?;
        Ok(())
    }

    pub(super) async fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().await
    }

    pub(super) fn appended(&self) -> watch::Receiver<Appended> {
        self.appended.subscribe()
    }

    pub(super) fn note_append(&self, partition: StoredPartition) {
        self.appended.send_modify(|counts| *counts.entry(partition.id).or_default() += 1);
    }

    pub(super) fn size_bytes(&self) -> u64 {
        let of = |suffix: &str| {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            std::fs::metadata(name).map_or(0, |metadata| metadata.len())
        };
        of("") + of("-wal")
    }

    /// Moves the write-ahead log into the file and empties it.
    pub(super) async fn checkpoint(&self) -> Result<(), libsql::Error> {
        pragma(&*self.writer.lock().await, "wal_checkpoint(TRUNCATE)").await
    }

    pub(super) async fn partition(&self, topic: TopicName<'_>, partition: i32) -> Result<Option<StoredPartition>, libsql::Error> {
        const SELECT: &str = "select tp.id, coalesce(w.low, 0), coalesce(w.high, 0)
            from topic t join topition tp on tp.topic = t.id join watermark w on w.topition = tp.id
            where tp.partition = ?1 and ";
        let reader = self.reader.lock().await;
        let mut rows = match topic {
            TopicName::Name(name) => reader.query(&format!("{SELECT} t.name = ?2"), params![partition, name]).await?,
            TopicName::Id(id) => reader.query(&format!("{SELECT} t.uuid = ?2"), params![partition, id.to_string()]).await?,
        };
        let Some(row) = rows.next().await? else {
            return Ok(None);
        };
        Ok(Some(StoredPartition {
            id: row.get(0)?,
            low: row.get(1)?,
            high: row.get(2)?,
        }))
    }

    /// Records from an offset on, until they weigh `max_bytes`; at least one, so that a large one does not block.
    pub(super) async fn records(&self, partition: StoredPartition, from: i64, max_bytes: usize) -> Result<Vec<StoredRecord>, libsql::Error> {
        let reader = self.reader.lock().await;
        let mut records: Vec<StoredRecord> = Vec::new();
        let mut bytes = 0;
        let mut rows = reader
            .query(
                "select offset_id, timestamp, k, v from record
                 where topition = ?1 and offset_id >= ?2 and offset_id < ?3 order by offset_id",
                params![partition.id, from, partition.high],
            )
            .await?;
        while let Some(row) = rows.next().await? {
            let record = StoredRecord {
                offset: row.get(0)?,
                timestamp: row.get::<Option<i64>>(1)?.unwrap_or(-1),
                key: row.get(2)?,
                value: row.get(3)?,
                headers: Vec::new(),
            };
            bytes += record.size();
            if bytes > max_bytes && !records.is_empty() {
                break;
            }
            records.push(record);
        }
        drop(rows);
        if let (Some(first), Some(last)) = (records.first(), records.last()) {
            let mut rows = reader
                .query(
                    "select offset_id, k, v from header
                     where topition = ?1 and offset_id between ?2 and ?3 order by offset_id, rowid",
                    params![partition.id, first.offset, last.offset],
                )
                .await?;
            let mut at = 0;
            while let Some(row) = rows.next().await? {
                let offset: i64 = row.get(0)?;
                while records.get(at).is_some_and(|record| record.offset < offset) {
                    at += 1;
                }
                if let Some(record) = records.get_mut(at).filter(|record| record.offset == offset) {
                    record.headers.push((row.get::<Option<Vec<u8>>>(1)?.unwrap_or_default(), row.get(2)?));
                }
            }
        }
        Ok(records)
    }
}

/// Some pragmas answer with a row and some do not; neither matters.
pub(super) async fn pragma(connection: &Connection, pragma: &str) -> Result<(), libsql::Error> {
    let mut rows = connection.query(&format!("PRAGMA {pragma}"), ()).await?;
    while rows.next().await?.is_some() {}
    Ok(())
}
