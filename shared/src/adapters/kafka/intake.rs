//! What the reading thread needs of those who work on a partition.
//!
//! A partition is taken back in a fixed order, which [`Intake`] spells out: close, drain, fence. Whatever works on
//! records, the offset that goes is the one that [`Intake::take_settled`] or [`Intake::fence`] returned to the reading
//! thread while the partition was still owned.

use std::sync::Arc;
use std::time::Instant;

use super::record::{NextOffset, Record};

/// Takes in partitions. Called by the reading thread, inside the rebalance call-back.
pub trait Intakes: Send + Sync + 'static {
    /// A partition was given to this member. The epoch grows with every assignment of the partition.
    fn assigned(self: Arc<Self>, partition: i32, epoch: u64) -> Arc<dyn Intake>;
}

/// Takes in the records of one partition, from its assignment to its revocation.
///
/// Called by the reading thread only. Nothing here may block but [`Intake::drain`]: the loop has to turn whatever an
/// outside system does.
pub trait Intake: Send + Sync + 'static {
    /// Takes in the next record. False once closed.
    fn push(&self, record: Record) -> bool;

    /// Whether reading should be held back: too much is held, or was, and not enough of it is settled since.
    fn wants_pause(&self) -> bool;

    /// How far the group may go on, if that is news: every record before it is settled.
    fn take_settled(&self) -> Option<NextOffset>;

    /// First step of a revocation: takes in no more, and begins nothing more of what waits.
    fn close(&self);

    /// Second step: blocks until what was begun is settled, or until the deadline. Its results still count.
    fn drain(&self, deadline: Instant) -> bool;

    /// Last step: what comes from now on is too late and settles nothing.
    fn fence(&self) -> Fenced;

    /// What is held.
    fn load(&self) -> Load;

    /// Whether those who work have ended although the partition is owned: the consumer starts anew.
    fn has_given_up(&self) -> bool {
        false
    }
}

/// What is left when a partition was taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fenced {
    /// How far the group may go on, if that is news.
    pub settled: Option<NextOffset>,
    /// Records that were taken in and are left to the next owner.
    pub left_over: usize,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Records read and not yet settled.
    pub records: usize,
    /// The time of the oldest of them, milliseconds since the Unix epoch.
    pub oldest_ms: Option<i64>,
}
