//! Tables and how they came to be: one migration per version, each in a transaction of its own.
//!
//! What is filtered and sorted by stands in narrow tables with real columns; the documents stand in tables beside them,
//! so that a scan over all products or opportunities reads no document. A migration is never edited once released.

use libsql::Connection;

use super::connection::{self, column_integer};
use crate::ports::catalog::CatalogError;

/// The steps from version n to n + 1; SQLite's `user_version` says how many were taken.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/1.sql"),
    include_str!("migrations/2.sql"),
    include_str!("migrations/3.sql"),
    include_str!("migrations/4.sql"),
];

/// Takes the steps that the file lacks.
///
/// # Errors
/// `Misconfigured` for a file of a newer version, else as any write.
pub(super) async fn migrate(connection: &Connection) -> Result<(), CatalogError> {
    migrate_to(connection, MIGRATIONS.len()).await
}

async fn migrate_to(connection: &Connection, target: usize) -> Result<(), CatalogError> {
    if version(connection).await? == target {
        return Ok(());
    }
    connection::transaction(connection, "BEGIN IMMEDIATE", async || {
        // Read again: another process may have migrated meanwhile.
        let version = version(connection).await?;
        if version > target {
            return Err(CatalogError::Misconfigured {
                reason: format!("the catalog file is of version {version}, written by a newer program; this one knows versions up to {target}"),
            });
        }
        for migration in &MIGRATIONS[version..target] {
            connection.execute_batch(migration).await.map_err(connection::classify)?;
        }
        connection
            .execute(&format!("PRAGMA user_version = {target}"), ())
            .await
            .map_err(connection::classify)?;
        Ok(())
    })
    .await
}

async fn version(connection: &Connection) -> Result<usize, CatalogError> {
    let mut rows = connection.query("PRAGMA user_version", ()).await.map_err(connection::classify)?;
    let row = rows.next().await.map_err(connection::classify)?;
    let version = row.map_or(Ok(0), |row| column_integer(&row, 0))?;
    usize::try_from(version).map_err(|_| CatalogError::Misconfigured {
        reason: format!("the catalog file has the impossible version {version}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::embedded::catalog::connection::Session;
    use crate::domain::Marketplace;

    async fn names(connection: &Connection, sql: &str) -> Vec<String> {
        let mut rows = connection.query(sql, ()).await.unwrap();
        let mut names = Vec::new();
        while let Some(row) = rows.next().await.unwrap() {
            names.push(row.get_str(0).unwrap().to_owned());
        }
        names
    }

    #[tokio::test]
    async fn every_version_migrates_to_the_present_one_and_again_changes_nothing() {
        for start in 0..=MIGRATIONS.len() {
            let folder = tempfile::tempdir().unwrap();
            let session = Session::open(&folder.path().join("catalog.db")).await.unwrap();
            migrate_to(&session.connection, start).await.unwrap();
            migrate(&session.connection).await.unwrap();
            migrate(&session.connection).await.unwrap();
            assert_eq!(version(&session.connection).await.unwrap(), MIGRATIONS.len(), "from {start}");
            let tables = names(&session.connection, "SELECT name FROM sqlite_master WHERE type = 'table'").await;
            assert!(tables.iter().any(|name| name == "opportunities"), "{tables:?}");
        }
    }

    #[tokio::test]
    async fn a_file_of_a_newer_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let session = Session::open(&folder.path().join("catalog.db")).await.unwrap();
        session.connection.execute("PRAGMA user_version = 1000", ()).await.unwrap();
        let error = migrate(&session.connection).await.unwrap_err();
        assert!(
            matches!(error, CatalogError::Misconfigured { .. }) && error.to_string().contains("1000"),
            "{error}"
        );
        assert!(names(&session.connection, "SELECT name FROM sqlite_master").await.is_empty());
    }

    #[tokio::test]
    async fn a_failed_migration_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let session = Session::open(&folder.path().join("catalog.db")).await.unwrap();
        // The last table of the first migration is in the way.
        session.connection.execute("CREATE TABLE states (x)", ()).await.unwrap();
        migrate(&session.connection).await.unwrap_err();
        assert_eq!(version(&session.connection).await.unwrap(), 0);
        assert_eq!(names(&session.connection, "SELECT name FROM sqlite_master").await, ["states"]);
    }

    #[tokio::test]
    async fn every_marketplace_has_a_price_column() {
        let folder = tempfile::tempdir().unwrap();
        let session = Session::open(&folder.path().join("catalog.db")).await.unwrap();
        migrate(&session.connection).await.unwrap();
        let columns = names(&session.connection, "SELECT name FROM pragma_table_info('products')").await;
        for marketplace in Marketplace::ALL {
            assert!(columns.contains(&super::super::products::price_column(marketplace)), "{marketplace}");
        }
    }
}
