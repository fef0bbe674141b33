//! What the embedded catalog's file holds after its process is gone.

use std::path::Path;

use shared::adapters::embedded::catalog::EmbeddedCatalog;
use shared::ports::Catalog as _;
use shared::ports::catalog::{CatalogError, Condition, ProductQuery, StateKind, WriteOutcome};

use super::samples::{asin, opportunities, opportunity_query, product_query, products, state, state_query};
use super::{all_written, create, creates, update};

async fn assert_complete(path: &Path) {
    let catalog = EmbeddedCatalog::open(path).await.unwrap();
    let page = catalog.search_products(&product_query()).await.unwrap();
    assert_eq!(page.items, products(41, 50));
    let text = ProductQuery {
        text: Some(asin(7).to_string()),
        ..product_query()
    };
    assert_eq!(catalog.search_products(&text).await.unwrap().items.len(), 1);
    assert_eq!(catalog.search_opportunities(&opportunity_query()).await.unwrap().items.len(), 60);
    assert_eq!(catalog.list_states(StateKind::Runs, &state_query()).await.unwrap().items.len(), 1);
    // Versions go on where they were: one read before is still good, a new one is another.
    let read = catalog.read_products(&[asin(0)]).await.unwrap().remove(0).unwrap();
    let outcomes = catalog.write_products(&[update(read.value, read.version.clone())]).await.unwrap();
    assert!(super::written(&outcomes[0]).seq_no > read.version.seq_no.max(49), "{outcomes:?}");
}

async fn fill(catalog: &EmbeddedCatalog) {
    all_written(&catalog.write_products(&creates(&products(41, 50))).await.unwrap());
    all_written(&catalog.write_opportunities(&creates(&opportunities(42, 3))).await.unwrap());
    all_written(&catalog.write_states(StateKind::Runs, &[create(state("a", None, None, 0))]).await.unwrap());
}

#[tokio::test]
async fn a_closed_catalog_opens_again_with_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let catalog = EmbeddedCatalog::open(&path).await.unwrap();
    fill(&catalog).await;
    drop(catalog);
    assert_complete(&path).await;
}

#[tokio::test]
async fn what_is_on_the_disk_at_any_moment_after_a_write_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let catalog = EmbeddedCatalog::open(&path).await.unwrap();
    fill(&catalog).await;
    // What a killed process leaves behind: the file and its write-ahead log, nothing closed.
    let left = folder.path().join("left");
    std::fs::create_dir(&left).unwrap();
    for name in ["catalog.db", "catalog.db-wal"] {
        std::fs::copy(folder.path().join(name), left.join(name)).unwrap();
    }
    assert_complete(&left.join("catalog.db")).await;
}

#[tokio::test]
async fn a_call_that_is_given_up_blocks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = EmbeddedCatalog::open(&folder.path().join("catalog.db")).await.unwrap();
    let stored = products(43, 500);
    for _ in 0..10 {
        let writes = creates(&stored);
        tokio::select! {
            biased;
            _ = catalog.write_products(&writes) => {}
            () = tokio::task::yield_now() => {}
        }
    }
    let outcomes = catalog.write_products(&creates(&stored)).await.unwrap();
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, WriteOutcome::Written(_) | WriteOutcome::Conflict))
    );
    let asins: Vec<_> = stored.iter().map(|stored| stored.product.asin).collect();
    assert!(catalog.read_products(&asins).await.unwrap().iter().all(Option::is_some));
}

#[tokio::test]
async fn a_file_that_is_no_catalog_is_a_configuration_fault_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    std::fs::write(&path, "no database at all, whatever its name says".repeat(100)).unwrap();
    let error = EmbeddedCatalog::open(&path).await.unwrap_err();
    assert!(matches!(error, CatalogError::Misconfigured { .. }), "{error}");
    assert!(error.to_string().contains("catalog.db"), "{error}");
}

#[tokio::test]
async fn reads_and_searches_go_on_beside_a_long_write() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = EmbeddedCatalog::open(&folder.path().join("catalog.db")).await.unwrap();
    let stored = products(44, 1_000);
    let (first, rest) = stored.split_at(100);
    all_written(&catalog.write_products(&creates(first)).await.unwrap());
    let writes = creates(rest);
    assert!(writes.iter().all(|write| write.condition == Condition::Absent));
    let write = catalog.write_products(&writes);
    let read = async {
        for _ in 0..50 {
            // Either all of the other transaction or nothing of it.
            let total = catalog.search_products(&product_query()).await.unwrap().total.value;
            assert!(total == 100 || total == 1_000, "{total}");
        }
    };
    let (outcomes, ()) = tokio::join!(write, read);
    all_written(&outcomes.unwrap());
}
