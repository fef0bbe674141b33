//! One task per partition: takes what has accumulated, has it settled as a whole, takes again.
//!
//! This serves every consumer whose records are settled batch after batch. What needs more than that implements
//! [`Intakes`] itself.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::consumer::{Membership, start_thread, wait_for_end};
use super::error::EventLogError;
use super::intake::{Intake, Intakes};
use super::partition::{ConsumerLimits, Lease, LeaseLost, Slot};
use super::record::Record;

/// A worker with nothing to do is told so this often.
const IDLE_EVERY: Duration = Duration::from_secs(1);
/// A handler that is told that its lease is lost has this long to return before it is dropped.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(1);

/// Makes one worker per assigned partition.
///
/// The worker owns the partition's state (caches) and is dropped when the partition is revoked.
pub trait PartitionHandlers: Send + Sync + 'static {
    /// The worker.
    type Handler: PartitionHandler;

    /// A partition was given to this member.
    fn assigned(&self, partition: i32, lease: Lease) -> Self::Handler;
}

/// Works on the records of one partition, in order.
#[async_trait]
pub trait PartitionHandler: Send + 'static {
    /// Settles every record of the batch, in order: written, proven stale, or dead-lettered with the broker's
    /// confirmation. Retries in place for as long as it takes; gives up only when the lease is lost. Then no offset
    /// moves, and the next owner starts with this batch.
    ///
    /// # Errors
    /// Only [`LeaseLost`]. While the lease is held it is taken for a fault of the handler: the consumer leaves the group,
    /// joins again and reads the batch anew.
    async fn settle(&mut self, batch: Vec<Record>) -> Result<(), LeaseLost>;

    /// Called about once a second while nothing arrives.
    async fn idle(&mut self) {}
}

/// Reads until `shutdown`, then drains, commits and leaves.
pub(super) async fn consume<H: PartitionHandlers>(
    membership: Membership,
    limits: ConsumerLimits,
    handlers: H,
    shutdown: CancellationToken,
) -> Result<(), EventLogError> {
    let group = membership.group.clone();
    let stop = shutdown.child_token();
    // A dropped future leaves nobody to work: the thread closes at once, its batches in flight unsettled.
    let _stop_when_dropped = stop.clone().drop_guard();
    let arrivals = Arc::new(Arrivals::new(limits));
    let ended = start_thread(membership, Arc::clone(&arrivals) as Arc<dyn Intakes>, stop.clone())?;
    let ended = wait_for_end(ended, &group, limits.drain, &stop);
    tokio::pin!(ended);

    let mut workers = JoinSet::new();
    let mut failure = None;
    let outcome = loop {
        tokio::select! {
            () = arrivals.changed.notified() => for slot in arrivals.take() {
                let handler = handlers.assigned(slot.lease().partition(), slot.lease().clone());
                workers.spawn(work(slot, handler));
            },
            Some(joined) = workers.join_next() => if let Err(error) = joined {
                failure = failure.or_else(|| panic_of(&group, error));
                stop.cancel();
            },
            end = &mut ended => break end,
        }
    };
    // All leases have ended with the thread; a worker that hangs on is dropped.
    arrivals.take().into_iter().for_each(|slot| slot.lease().end());
    let _ = tokio::time::timeout(GIVE_UP_WITHIN * 2, async {
        while let Some(joined) = workers.join_next().await {
            if let Err(error) = joined {
                failure = failure.take().or_else(|| panic_of(&group, error));
            }
        }
    })
    .await;
    failure.map_or(outcome, Err)
}

fn panic_of(group: &str, error: JoinError) -> Option<EventLogError> {
    let payload = error.try_into_panic().ok()?;
    Some(EventLogError::HandlerPanicked {
        group: group.to_owned(),
        message: panic_message(payload.as_ref()),
    })
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// Partitions that were given to this member and have no worker yet.
struct Arrivals {
    limits: ConsumerLimits,
    slots: Mutex<Vec<Arc<Slot>>>,
    changed: Notify,
}

impl Arrivals {
    fn new(limits: ConsumerLimits) -> Arrivals {
        Arrivals {
            limits,
            slots: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn take(&self) -> Vec<Arc<Slot>> {
        std::mem::take(&mut *self.slots.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Intakes for Arrivals {
    fn assigned(self: Arc<Self>, partition: i32, epoch: u64) -> Arc<dyn Intake> {
        let slot = Slot::new(partition, epoch, self.limits);
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&slot));
        self.changed.notify_one();
        slot
    }
}

/// The worker of one partition: takes whatever has accumulated, has it settled, takes again.
async fn work<P: PartitionHandler>(slot: Arc<Slot>, mut handler: P) {
    let _gone = GoneWhenDropped(Arc::clone(&slot));
    loop {
        let step = tokio::time::timeout(IDLE_EVERY, slot.next_batch()).await;
        match step {
            Ok(None) => return,
            Err(_nothing_came) => {
                if unless_lost(slot.lease(), handler.idle()).await.is_none() {
                    return;
                }
            }
            Ok(Some(batch)) => match unless_lost(slot.lease(), handler.settle(batch)).await {
                Some(Ok(())) => slot.settle(),
                // The guard says that nothing in flight will be settled: a lost partition is left alone, and one that
                // is still owned makes the reading thread start anew.
                Some(Err(LeaseLost)) | None => return,
            },
        }
    }
}

/// Lets the handler finish after its lease is lost, but not for ever.
async fn unless_lost<T>(lease: &Lease, work: impl Future<Output = T>) -> Option<T> {
    let too_late = async {
        lease.lost().await;
        tokio::time::sleep(GIVE_UP_WITHIN).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = too_late => None,
    }
}

struct GoneWhenDropped(Arc<Slot>);

impl Drop for GoneWhenDropped {
    fn drop(&mut self) {
        self.0.worker_gone();
    }
}
