//! Conditional writes, the same for every table.

use std::sync::Arc;

use libsql::{Connection, Row, Value};

use super::connection::{self, classify, column_integer};
use crate::adapters::paging::refuse_id;
use crate::ports::catalog::{CatalogError, Condition, Version, WriteOutcome};

/// The statements that write one collection. Parameter 1 is the id everywhere.
pub(super) struct Table {
    /// Its name in versions.
    pub(super) index: &'static str,
    /// Finds the sequence number.
    pub(super) find: String,
    /// Inserts or replaces; parameter 2 is the new sequence number, then come the row's columns.
    pub(super) upsert: String,
    /// Inserts or replaces the document beside it, parameter 2.
    pub(super) upsert_document: Option<String>,
}

/// One write, ready for SQLite.
pub(super) struct RowWrite {
    pub(super) id: String,
    pub(super) condition: Condition,
    pub(super) columns: Vec<Value>,
    pub(super) document: Option<String>,
}

/// The version that a sequence number stands for.
pub(super) fn version(index: &str, seq_no: i64) -> Version {
    Version {
        index: Arc::from(index),
        seq_no: seq_no.unsigned_abs(),
        primary_term: 1,
    }
}

/// The row of each key, in the order of the keys; the key is parameter 1 of `select`.
pub(super) async fn find_rows<T>(
    connection: &Connection,
    select: &str,
    keys: impl IntoIterator<Item = Value>,
    decode: impl Fn(&Row) -> Result<T, CatalogError>,
) -> Result<Vec<Option<T>>, CatalogError> {
    let statement = connection.prepare(select).await.map_err(classify)?;
    let mut found = Vec::new();
    for key in keys {
        statement.reset();
        let mut rows = statement.query([key]).await.map_err(classify)?;
        found.push(rows.next().await.map_err(classify)?.as_ref().map(&decode).transpose()?);
    }
    Ok(found)
}

/// Writes rows in one transaction; outcomes stand in their order.
pub(super) async fn write(connection: &Connection, table: &Table, rows: Vec<RowWrite>) -> Result<Vec<WriteOutcome>, CatalogError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    connection::transaction(connection, "BEGIN IMMEDIATE", async || {
        let find = connection.prepare(&table.find).await.map_err(classify)?;
        let upsert = connection.prepare(&table.upsert).await.map_err(classify)?;
        let upsert_document = match &table.upsert_document {
            Some(sql) => Some(connection.prepare(sql).await.map_err(classify)?),
            None => None,
        };
        let mut sequence = last_sequence(connection, table.index).await?;
        let before = sequence;
        let mut outcomes = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(reason) = refuse_id(&row.id) {
                outcomes.push(WriteOutcome::Refused { reason });
                continue;
            }
            find.reset();
            let mut found = find.query([row.id.as_str()]).await.map_err(classify)?;
            let held = match found.next().await.map_err(classify)? {
                Some(row) => Some(version(table.index, column_integer(&row, 0)?)),
                None => None,
            };
            if !applies(&row.condition, held.as_ref()) {
                outcomes.push(WriteOutcome::Conflict);
                continue;
            }
            sequence += 1;
            let mut parameters = vec![Value::Text(row.id.clone()), Value::Integer(sequence)];
            parameters.extend(row.columns);
            upsert.reset();
            upsert.execute(parameters).await.map_err(classify)?;
            if let (Some(upsert_document), Some(document)) = (&upsert_document, row.document) {
                upsert_document.reset();
                upsert_document.execute([row.id, document]).await.map_err(classify)?;
            }
            outcomes.push(WriteOutcome::Written(version(table.index, sequence)));
        }
        if sequence != before {
            store_sequence(connection, table.index, sequence).await?;
        }
        Ok(outcomes)
    })
    .await
}

fn applies(condition: &Condition, held: Option<&Version>) -> bool {
    match condition {
        Condition::Absent => held.is_none(),
        Condition::Unchanged(version) => held == Some(version),
    }
}

async fn last_sequence(connection: &Connection, index: &str) -> Result<i64, CatalogError> {
    let mut rows = connection
        .query("SELECT value FROM sequences WHERE name = ?1", [index])
        .await
        .map_err(classify)?;
    match rows.next().await.map_err(classify)? {
        Some(row) => column_integer(&row, 0),
        None => Ok(0),
    }
}

async fn store_sequence(connection: &Connection, index: &str, value: i64) -> Result<(), CatalogError> {
    connection
        .execute(
            "INSERT INTO sequences (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (index, value),
        )
        .await
        .map_err(classify)?;
    Ok(())
}

/// `INSERT … ON CONFLICT … DO UPDATE` of the id, the sequence number and some columns.
pub(super) fn upsert(table: &str, id: &str, unique: &str, columns: &[String]) -> String {
    let places: Vec<String> = (1..=columns.len() + 2).map(|number| format!("?{number}")).collect();
    let updates: Vec<String> = columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    format!(
        "INSERT INTO {table} ({id}, seq_no, {}) VALUES ({}) ON CONFLICT ({unique}) DO UPDATE SET seq_no = excluded.seq_no, {}",
        columns.join(", "),
        places.join(", "),
        updates.join(", ")
    )
}

/// The same for the document beside a row.
pub(super) fn upsert_document(documents: &str, table: &str, id: &str) -> String {
    format!(
        "INSERT INTO {documents} (id, document) SELECT id, ?2 FROM {table} WHERE {id} = ?1
         ON CONFLICT (id) DO UPDATE SET document = excluded.document"
    )
}
