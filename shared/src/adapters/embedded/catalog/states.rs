//! State records: rows, reads, lists.

use libsql::{Connection, Row, Value};

use super::connection::{column_integer, column_optional_text, column_text};
use super::filter::{Filter, Order};
use super::table::{RowWrite, Table, find_rows, version};
use crate::adapters::paging::{StateList, place_of_state};
use crate::domain::UnixMillis;
use crate::ports::catalog::{CatalogError, Page, StateKind, StateQuery, StateRecord, Versioned, Write};

pub(super) fn table(kind: StateKind) -> Table {
    let columns: Vec<String> = ["kind", "belongs_to", "status", "at", "body"].map(str::to_owned).into();
    Table {
        index: kind.collection(),
        find: format!("SELECT seq_no FROM states WHERE kind = '{}' AND record = ?1", kind.collection()),
        upsert: super::table::upsert("states", "record", "kind, record", &columns),
        upsert_document: None,
    }
}

/// What is written for a state record.
pub(super) fn row(kind: StateKind, write: Write<StateRecord>) -> RowWrite {
    let StateRecord { id, group, status, at, body } = write.value;
    let columns = vec![
        Value::Text(kind.collection().into()),
        group.map_or(Value::Null, Value::Text),
        status.map_or(Value::Null, Value::Text),
        Value::Integer(at.0),
        Value::Text(body.to_string()),
    ];
    RowWrite {
        id,
        condition: write.condition,
        columns,
        document: None,
    }
}

const COLUMNS: &str = "seq_no, record, belongs_to, status, at, body";

fn decode(kind: StateKind, row: &Row) -> Result<Versioned<StateRecord>, CatalogError> {
    let id = column_text(row, 1)?;
    let body = serde_json::from_str(&column_text(row, 5)?).map_err(|error| CatalogError::Misconfigured {
        reason: format!("{} {id:?} cannot be read: {error}", kind.collection()),
    })?;
    Ok(Versioned {
        version: version(kind.collection(), column_integer(row, 0)?),
        value: StateRecord {
            id,
            group: column_optional_text(row, 2)?,
            status: column_optional_text(row, 3)?,
            at: UnixMillis(column_integer(row, 4)?),
            body,
        },
    })
}

pub(super) async fn read(connection: &Connection, kind: StateKind, ids: &[String]) -> Result<Vec<Option<Versioned<StateRecord>>>, CatalogError> {
    let select = format!("SELECT {COLUMNS} FROM states WHERE kind = '{}' AND record = ?1", kind.collection());
    let keys = ids.iter().map(|id| Value::Text(id.clone()));
    find_rows(connection, &select, keys, |row| decode(kind, row)).await
}

pub(super) async fn list(connection: &Connection, kind: StateKind, query: &StateQuery) -> Result<Page<Versioned<StateRecord>>, CatalogError> {
    let mut filter = Filter::default();
    filter.and("kind = ?", [Value::Text(kind.collection().into())]);
    filter.and_if("belongs_to = ?", query.group.clone());
    filter.and_if("status = ?", query.status.clone());
    let order = Order {
        column: "at",
        nullable: false,
        descending: !query.ascending,
        id: "record",
    };
    let select = format!("SELECT {COLUMNS} FROM states WHERE id = ?1");
    let list = StateList { kind, query };
    filter
        .page(
            connection,
            ("states", &select),
            &list,
            &order,
            |row| decode(kind, row),
            |record| place_of_state(&record.value),
        )
        .await
}
