//! Connections to the file: opening, transactions, columns, and what an error means.
//!
//! libsql's futures do their work when polled and never wait, so they run on the threads that may block.

use std::path::Path;
use std::time::Duration;

use libsql::{Connection, Row, Statement, Value};

use crate::ports::catalog::CatalogError;

/// How long SQLite itself waits for another process (a person's `sqlite3`, a backup) before it says "busy".
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that is closed once.
///
/// libsql 0.9.30 closes the last handle of a connection twice: `LibsqlConnection` does so when dropped, then the
/// connection inside it. A statement that outlives both keeps the count of handles above one until it goes itself.
/// Hence the order of the fields.
pub(super) struct Session {
    pub(super) connection: Connection,
    _last_handle: Statement,
}

impl Session {
    /// Opens the file, which is made if missing, for durable writes: what is committed survives a loss of power.
    ///
    /// # Errors
    /// `Misconfigured`, naming the file.
    pub(super) async fn open(path: &Path) -> Result<Session, CatalogError> {
        let named = |error: CatalogError| match error {
            CatalogError::Misconfigured { reason } => CatalogError::Misconfigured {
                reason: format!("{}: {reason}", path.display()),
            },
            other => other,
        };
        let open = async {
            let database = libsql::Builder::new_local(path).build().await.map_err(classify)?;
            let connection = database.connect().map_err(classify)?;
            let last_handle = connection.prepare("SELECT 1").await.map_err(classify)?;
            let session = Session {
                connection,
                _last_handle: last_handle,
            };
            session.connection.busy_timeout(BUSY_TIMEOUT).map_err(classify)?;
            session
                .connection
                .execute_batch(
                    "PRAGMA journal_mode = WAL;
                     PRAGMA synchronous = FULL;
                     PRAGMA journal_size_limit = 67108864;
                     PRAGMA cache_size = -16384;
                     PRAGMA temp_store = MEMORY;",
                )
                .await
                .map_err(classify)?;
            Ok(session)
        };
        open.await.map_err(named)
    }

    /// Opens the file for reading.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub(super) async fn open_reader(path: &Path) -> Result<Session, CatalogError> {
        let session = Session::open(path).await?;
        session.connection.execute_batch("PRAGMA query_only = ON").await.map_err(classify)?;
        Ok(session)
    }
}

/// Runs `work` between `begin` and COMMIT; on any error nothing of it remains.
pub(super) async fn transaction<T>(connection: &Connection, begin: &str, work: impl AsyncFnOnce() -> Result<T, CatalogError>) -> Result<T, CatalogError> {
    // A panic in an earlier call may have left one open.
    roll_back(connection).await;
    connection.execute(begin, ()).await.map_err(classify)?;
    let result = match work().await {
        Ok(value) => connection.execute("COMMIT", ()).await.map(|_| value).map_err(classify),
        Err(error) => Err(error),
    };
    if result.is_err() {
        roll_back(connection).await;
    }
    result
}

async fn roll_back(connection: &Connection) {
    // After some errors SQLite has rolled back by itself.
    if !connection.is_autocommit()
        && let Err(error) = connection.execute("ROLLBACK", ()).await
    {
        tracing::warn!(%error, "a catalog transaction could not be rolled back");
    }
}

/// What an error of SQLite means to the caller.
pub(super) fn classify(error: libsql::Error) -> CatalogError {
    let reason = error.to_string();
    let libsql::Error::SqliteFailure(code, _) = error else {
        return match error {
            libsql::Error::ConnectionFailed(_) | libsql::Error::InvalidUTF8Path => CatalogError::Misconfigured { reason },
            _ => CatalogError::Unavailable { reason },
        };
    };
    // The low byte of an extended code is the primary one (https://sqlite.org/rescode.html).
    match code & 0xff {
        // BUSY, NOMEM, INTERRUPT, PROTOCOL (a race between processes), SCHEMA (changed meanwhile).
        5 | 7 | 9 | 15 | 17 => CatalogError::Unavailable { reason },
        // PERM, LOCKED, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, AUTH, NOTADB, and what only a wrong schema explains:
        // ERROR, NOTFOUND, CONSTRAINT, MISMATCH.
        _ => CatalogError::Misconfigured { reason },
    }
}

/// A column that holds an integer. libsql's own conversion panics on anything else.
pub(super) fn column_integer(row: &Row, column: i32) -> Result<i64, CatalogError> {
    match row.get_value(column).map_err(classify)? {
        Value::Integer(value) => Ok(value),
        other => Err(unexpected(column, &other)),
    }
}

/// A column that holds an integer or nothing.
pub(super) fn column_optional_integer(row: &Row, column: i32) -> Result<Option<i64>, CatalogError> {
    match row.get_value(column).map_err(classify)? {
        Value::Integer(value) => Ok(Some(value)),
        Value::Null => Ok(None),
        other => Err(unexpected(column, &other)),
    }
}

/// A column that holds a text or nothing.
pub(super) fn column_optional_text(row: &Row, column: i32) -> Result<Option<String>, CatalogError> {
    match row.get_value(column).map_err(classify)? {
        Value::Text(value) => Ok(Some(value)),
        Value::Null => Ok(None),
        other => Err(unexpected(column, &other)),
    }
}

/// A column that holds a text.
pub(super) fn column_text(row: &Row, column: i32) -> Result<String, CatalogError> {
    column_optional_text(row, column)?.ok_or_else(|| unexpected(column, &Value::Null))
}

fn unexpected(column: i32, value: &Value) -> CatalogError {
    let found = match value {
        Value::Null => "nothing",
        Value::Integer(_) => "an integer",
        Value::Real(_) => "a real number",
        Value::Text(_) => "a text",
        Value::Blob(_) => "a blob",
    };
    CatalogError::Misconfigured {
        reason: format!("the catalog file is damaged: {found} stands in column {column} of a query"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_tried_again_and_a_full_or_broken_disk_is_not() {
        for (code, again) in [
            (5, true),
            (517, true),
            (9, true),
            (15, true),
            (3, false),
            (6, false),
            (8, false),
            (10, false),
            (266, false),
            (11, false),
            (13, false),
            (14, false),
            (26, false),
        ] {
            let error = classify(libsql::Error::SqliteFailure(code, "message".into()));
            assert_eq!(matches!(error, CatalogError::Unavailable { .. }), again, "{code}");
            assert!(error.to_string().contains("message"));
        }
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_or_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text.db");
        std::fs::write(&text, "this is no database, but long enough to have a header ".repeat(100)).unwrap();
        let missing = folder.path().join("missing").join("catalog.db");
        for path in [text, missing, folder.path().to_owned()] {
            let Err(error) = Session::open(&path).await else {
                panic!("{path:?} was opened")
            };
            assert!(matches!(error, CatalogError::Misconfigured { .. }), "{error}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }

    #[tokio::test]
    async fn a_transaction_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let session = Session::open(&folder.path().join("catalog.db")).await.unwrap();
        let connection = &session.connection;
        connection.execute("CREATE TABLE t (x)", ()).await.unwrap();
        let result: Result<(), CatalogError> = transaction(connection, "BEGIN IMMEDIATE", async || {
            connection.execute("INSERT INTO t VALUES (1)", ()).await.map_err(classify)?;
            connection.execute("INSERT INTO missing VALUES (1)", ()).await.map_err(classify)?;
            Ok(())
        })
        .await;
        result.unwrap_err();
        assert!(connection.is_autocommit());
        let mut rows = connection.query("SELECT count(*) FROM t", ()).await.unwrap();
        assert_eq!(column_integer(&rows.next().await.unwrap().unwrap(), 0).unwrap(), 0);
    }
}
