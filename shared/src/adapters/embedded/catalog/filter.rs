//! WHERE, ORDER BY and LIMIT of a search, built from parts; every value is a parameter.

use libsql::{Connection, Row, Value};

use super::connection::{classify, column_integer, transaction};
use super::table::find_rows;
use crate::adapters::paging::{Paged, Place, SortValue};
use crate::ports::catalog::{CatalogError, Page, Total};

/// Conditions that all hold.
#[derive(Default)]
pub(super) struct Filter {
    conditions: Vec<String>,
    parameters: Vec<Value>,
}

/// What a search is ordered by.
pub(super) struct Order {
    /// A column.
    pub(super) column: &'static str,
    /// It may be NULL; such rows stand at the end.
    pub(super) nullable: bool,
    /// Greatest first.
    pub(super) descending: bool,
    /// The column with the id; ties go by it, ascending.
    pub(super) id: &'static str,
}

impl Filter {
    /// Adds a condition; `?` stands for each value in turn.
    pub(super) fn and(&mut self, condition: impl Into<String>, values: impl IntoIterator<Item = Value>) {
        self.conditions.push(condition.into());
        self.parameters.extend(values);
    }

    /// Adds a condition if there is a value for it.
    pub(super) fn and_if(&mut self, condition: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.and(condition, [value.into()]);
        }
    }

    fn sql(&self) -> String {
        if self.conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE ({})", self.conditions.join(") AND ("))
        }
    }

    /// One page of the rows that hold all conditions. `select` fetches an item by its row id, parameter 1.
    pub(super) async fn page<T>(
        self,
        connection: &Connection,
        (table, select): (&str, &str),
        query: &impl Paged,
        order: &Order,
        decode: impl Fn(&Row) -> Result<T, CatalogError>,
        place_of: impl Fn(&T) -> Place,
    ) -> Result<Page<T>, CatalogError> {
        let place = query.place()?;
        // One transaction: the count, the ids and the items are of the same state.
        transaction(connection, "BEGIN DEFERRED", async || {
            let total = self.count(connection, table).await?;
            let ids = self.row_ids(connection, table, order, place, query.page_size() + 1).await?;
            let found = find_rows(connection, select, ids.into_iter().map(Value::Integer), decode).await?;
            let mut items: Vec<T> = found.into_iter().flatten().collect();
            let next_cursor = query.cut(&mut items, place_of);
            Ok(Page {
                items,
                total: Total { value: total, exact: true },
                next_cursor,
            })
        })
        .await
    }

    /// How many rows hold all conditions.
    async fn count(&self, connection: &Connection, table: &str) -> Result<u64, CatalogError> {
        let sql = format!("SELECT count(*) FROM {table}{}", self.sql());
        let mut rows = connection.query(&sql, self.parameters.clone()).await.map_err(classify)?;
        let row = rows.next().await.map_err(classify)?;
        Ok(row.map_or(Ok(0), |row| column_integer(&row, 0))?.unsigned_abs())
    }

    /// The row ids after `place`, in order, at most `limit`.
    async fn row_ids(mut self, connection: &Connection, table: &str, order: &Order, place: Option<Place>, limit: usize) -> Result<Vec<i64>, CatalogError> {
        if let Some(place) = place {
            self.after(order, place);
        }
        let sql = format!("SELECT id FROM {table}{} ORDER BY {} LIMIT {limit}", self.sql(), order.sql());
        let mut rows = connection.query(&sql, self.parameters).await.map_err(classify)?;
        let mut ids = Vec::new();
        while let Some(row) = rows.next().await.map_err(classify)? {
            ids.push(column_integer(&row, 0)?);
        }
        Ok(ids)
    }

    fn after(&mut self, order: &Order, place: Place) {
        let Order { column, id, .. } = order;
        let id_value = Value::Text(place.id);
        let value = match place.value {
            SortValue::Missing => return self.and(format!("{column} IS NULL AND {id} > ?"), [id_value]),
            SortValue::Integer(value) => Value::Integer(value),
            SortValue::Text(value) => Value::Text(value),
        };
        let beyond = if order.descending { "<" } else { ">" };
        let or_missing = if order.nullable { format!(" OR {column} IS NULL") } else { String::new() };
        // The first comparison says nothing new, but lets SQLite begin in the middle of an index.
        self.and(
            format!("({column} {beyond}= ? AND ({column} {beyond} ? OR {id} > ?)){or_missing}"),
            [value.clone(), value, id_value],
        );
    }
}

impl Order {
    fn sql(&self) -> String {
        let Order { column, id, .. } = self;
        let direction = if self.descending { "DESC" } else { "ASC" };
        let missing_last = if self.nullable { format!("{column} IS NULL, ") } else { String::new() };
        format!("{missing_last}{column} {direction}, {id} ASC")
    }
}
