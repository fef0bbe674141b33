//! It lets nobody in, or lets nobody write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::script::{Fault, Request};
use super::store::item_error;
use super::world::{World, base, fault_length, updates};

/// A fault that only an operator cures: nothing is let go, nothing is a dead letter, and all goes on by itself afterwards.
async fn is_waited_out(reason: &str, fault: impl Fn(&Request) -> Fault + Send + 'static) {
    let world = World::new().await;
    let enricher = world.start();
    enricher.becomes_ready().await;
    let at = base();
    world.produce(&updates(0..30, at)).await;
    assert!(world.balance().await.is_empty());

    let cured = Arc::new(AtomicBool::new(false));
    let is_cured = Arc::clone(&cured);
    world
        .server
        .go_by(move |request| if is_cured.load(Ordering::SeqCst) { Fault::None } else { fault(request) });
    let committed = world.committed().await;
    // Known articles and new ones: some are written at once, some are read before.
    world.produce(&updates(20..60, at + 1)).await;
    enricher.is_down_for(reason).await;
    tokio::time::sleep(fault_length()).await;
    assert_eq!(world.committed().await, committed, "nothing was let go");
    assert!(!enricher.is_ready());
    assert!(world.dead_letters().await.is_empty());
    assert_eq!(world.products().len(), 30, "nothing was written");

    cured.store(true, Ordering::SeqCst);
    assert!(world.balance().await.is_empty());
    assert_eq!(world.products().len(), 60);
    enricher.becomes_ready().await;
    enricher.stop().await;
}

/// Guard: 401 and 403 in `is_configuration_fault`; taken out: the board says that the catalog is unavailable.
#[tokio::test(flavor = "multi_thread")]
async fn t06_denied_access_freezes_the_offset_until_it_is_granted() {
    is_waited_out("misconfigured: 401: security_exception", |_| {
        Fault::error(401, "security_exception", "unable to authenticate with provided credentials")
    })
    .await;
}

/// Guard: 401 and 403, and `cluster_block_exception`, in `is_configuration_fault`; taken out: as above.
#[tokio::test(flavor = "multi_thread")]
async fn t07_a_blocked_index_freezes_the_offset_until_it_is_released() {
    is_waited_out("misconfigured: 403: cluster_block_exception", |request| {
        if request.writes_products() {
            return Fault::error(
                403,
                "cluster_block_exception",
                "index [products-v1] blocked by: [FORBIDDEN/12/index read-only / allow delete]",
            );
        }
        Fault::None
    })
    .await;
}

/// The same of each item, with the status that a full disk has.
///
/// Guard: `is_configuration_fault` in `classify_item`; taken out: 403 cannot be understood and 429 is put off, and neither
/// calls the operator.
#[tokio::test(flavor = "multi_thread")]
async fn t07_a_block_told_item_by_item_freezes_the_offset_too() {
    for status in [403, 429] {
        is_waited_out("misconfigured: cluster_block_exception", move |request| {
            if request.writes_products() {
                return Fault::Items(Box::new(move |_| {
                    let reason = "index [products-v1] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark]";
                    Some(item_error(status, "cluster_block_exception", reason))
                }));
            }
            Fault::None
        })
        .await;
    }
}
