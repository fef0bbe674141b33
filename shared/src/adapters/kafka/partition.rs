//! One assigned partition: what was read and is not yet settled. Pure but for the two ways of being woken.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::intake::{Fenced, Intake, Load};
use super::record::{NextOffset, Record};

/// How much is read ahead, taken at once, and waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerLimits {
    /// Records in one batch at most.
    pub batch_records: usize,
    /// Bytes in one batch at most; a single record may exceed it.
    pub batch_bytes: usize,
    /// A partition holding more than this, its batch in flight included, is paused.
    pub high_water_bytes: usize,
    /// A paused partition holding less than this goes on.
    pub low_water_bytes: usize,
    /// What all partitions of a member may hold together: where there are many of them the marks above are lower.
    pub member_bytes: usize,
    /// How long a revoked or closing partition waits for its batch in flight.
    pub drain: std::time::Duration,
}

impl Default for ConsumerLimits {
    fn default() -> ConsumerLimits {
        const MIB: usize = 1024 * 1024;
        ConsumerLimits {
            batch_records: 2000,
            batch_bytes: 5 * MIB,
            high_water_bytes: 16 * MIB,
            low_water_bytes: 4 * MIB,
            member_bytes: 64 * MIB,
            drain: std::time::Duration::from_secs(3),
        }
    }
}

impl ConsumerLimits {
    /// The limits of each of so many partitions.
    pub(super) fn among(mut self, partitions: usize) -> ConsumerLimits {
        let share = self.member_bytes / partitions.max(1);
        self.high_water_bytes = self.high_water_bytes.min(share);
        self.low_water_bytes = self.low_water_bytes.min(share / 4);
        self
    }
}

/// The right to work on a partition. It ends when the partition is revoked, and does not come back: a partition that
/// returns brings a new lease of a higher epoch.
#[derive(Clone, Debug)]
pub struct Lease {
    partition: i32,
    epoch: u64,
    ended: CancellationToken,
}

impl Lease {
    pub(super) fn new(partition: i32, epoch: u64) -> Lease {
        Lease {
            partition,
            epoch,
            ended: CancellationToken::new(),
        }
    }

    /// A lease that nobody ever ends: for the tests of handlers.
    pub fn for_test(partition: i32) -> Lease {
        Lease::new(partition, 1)
    }

    /// Does this member still own the partition?
    pub fn is_held(&self) -> bool {
        !self.ended.is_cancelled()
    }

    /// Returns once the partition is lost.
    pub async fn lost(&self) {
        self.ended.cancelled().await;
    }

    /// Grows with every assignment of the partition to this consumer.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Which partition it is for.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Ends the lease. Called by the reading thread, and by tests of handlers.
    pub fn end(&self) {
        self.ended.cancel();
    }
}

/// The partition is no longer this member's: what is in hand is left to the next owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the partition is no longer owned")]
pub struct LeaseLost;

/// What was read of a partition, what is being worked on, and how far it is settled.
///
/// A batch is settled as a whole before the next one is taken, so what is settled is always a contiguous prefix.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    waiting: VecDeque<Record>,
    waiting_bytes: usize,
    in_flight: Option<Batch>,
    /// Settled and not yet handed to the client library.
    settled: Option<NextOffset>,
    closed: bool,
    worker_gone: bool,
    /// Dropped when it was closed.
    dropped: usize,
    /// More was held than the high water mark, and has not come below the low one since.
    full: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Batch {
    records: usize,
    bytes: usize,
    oldest_ms: i64,
    next: NextOffset,
}

impl Mailbox {
    /// Takes in a record; refuses it once closed.
    pub(super) fn push(&mut self, record: Record) -> bool {
        if self.closed {
            return false;
        }
        self.waiting_bytes += record.size();
        self.waiting.push_back(record);
        true
    }

    /// Whether too much is held: with hysteresis, so that a partition is not paused and resumed at every record.
    pub(super) fn is_full(&mut self, limits: &ConsumerLimits) -> bool {
        let mark = if self.full { limits.low_water_bytes } else { limits.high_water_bytes };
        self.full = self.bytes() > mark;
        self.full
    }

    /// Whatever has accumulated, up to the limits, at least one record.
    pub(super) fn take(&mut self, limits: &ConsumerLimits) -> Option<Vec<Record>> {
        if self.closed || self.in_flight.is_some() {
            return None;
        }
        let mut bytes = 0;
        let mut count = 0;
        for record in self.waiting.iter().take(limits.batch_records.max(1)) {
            if count > 0 && bytes + record.size() > limits.batch_bytes {
                break;
            }
            bytes += record.size();
            count += 1;
        }
        let batch: Vec<Record> = self.waiting.drain(..count).collect();
        let next = batch.last()?.offset.next();
        let oldest_ms = batch.iter().map(|record| record.timestamp_ms).min()?;
        self.waiting_bytes -= bytes;
        self.in_flight = Some(Batch {
            records: count,
            bytes,
            oldest_ms,
            next,
        });
        Some(batch)
    }

    /// The batch in flight is settled.
    pub(super) fn settle(&mut self) {
        if let Some(batch) = self.in_flight.take() {
            self.settled = Some(batch.next);
        }
    }

    /// The worker ended: nothing in flight will ever be settled.
    pub(super) fn worker_gone(&mut self) {
        self.worker_gone = true;
    }

    /// How far the group may go on, if that is news.
    pub(super) fn take_settled(&mut self) -> Option<NextOffset> {
        self.settled.take()
    }

    /// Takes and gives no more records; those that wait are dropped. What is in flight may still be settled.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiting_bytes = 0;
        self.dropped += std::mem::take(&mut self.waiting).len();
    }

    /// Records that were taken in and are not settled, those included that were dropped when it was closed.
    pub(super) fn left_over(&self) -> usize {
        self.dropped + self.records()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Is there nothing left to wait for?
    pub(super) fn is_drained(&self) -> bool {
        self.in_flight.is_none() || self.worker_gone
    }

    /// Waiting and in flight.
    pub(super) fn bytes(&self) -> usize {
        self.waiting_bytes + self.in_flight.map_or(0, |batch| batch.bytes)
    }

    /// Waiting and in flight.
    pub(super) fn records(&self) -> usize {
        self.waiting.len() + self.in_flight.map_or(0, |batch| batch.records)
    }

    pub(super) fn records_in_flight(&self) -> usize {
        self.in_flight.map_or(0, |batch| batch.records)
    }

    /// The time of the oldest unsettled record.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        let in_flight = self.in_flight.map(|batch| batch.oldest_ms);
        in_flight.or_else(|| self.waiting.front().map(|record| record.timestamp_ms))
    }
}

/// How long a partition has brought nothing although something is to be had.
///
/// Time in which nothing is expected does not count: a worker that was busy for long, the catalog being away, leaves a
/// partition that has brought nothing for long and is well.
#[derive(Debug)]
pub(super) struct Silence {
    since: Instant,
}

impl Silence {
    pub(super) fn beginning(now: Instant) -> Silence {
        Silence { since: now }
    }

    /// A record came.
    pub(super) fn end(&mut self, now: Instant) {
        self.since = now;
    }

    /// How long it has lasted. To be looked at often, with whether records are expected at this moment.
    pub(super) fn lasts(&mut self, is_expecting: bool, now: Instant) -> Duration {
        if !is_expecting {
            self.since = now;
        }
        now.saturating_duration_since(self.since)
    }
}

/// A mailbox between the reading thread and its worker.
pub(super) struct Slot {
    lease: Lease,
    limits: ConsumerLimits,
    /// Partitions that this member owns.
    owned: Arc<AtomicUsize>,
    mailbox: Mutex<Mailbox>,
    /// Wakes the worker: records came, or the mailbox is closed.
    fed: Notify,
    /// Wakes the reading thread in a drain.
    drained: Condvar,
}

impl Slot {
    pub(super) fn new(partition: i32, epoch: u64, limits: ConsumerLimits, owned: Arc<AtomicUsize>) -> Arc<Slot> {
        owned.fetch_add(1, Ordering::Relaxed);
        Arc::new(Slot {
            lease: Lease::new(partition, epoch),
            limits,
            owned,
            mailbox: Mutex::default(),
            fed: Notify::new(),
            drained: Condvar::new(),
        })
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The mailbox holds plain values, so a panic elsewhere leaves it whole.
    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch, or `None` once the mailbox is closed. Loses nothing when dropped while waiting.
    pub(super) async fn next_batch(&self) -> Option<Vec<Record>> {
        loop {
            {
                let mut mailbox = self.mailbox();
                if let Some(batch) = mailbox.take(&self.limits) {
                    return Some(batch);
                }
                if mailbox.is_closed() {
                    return None;
                }
            }
            // One waiter, and a wake-up that comes first is remembered.
            self.fed.notified().await;
        }
    }

    pub(super) fn settle(&self) {
        self.mailbox().settle();
        self.drained.notify_all();
    }

    pub(super) fn worker_gone(&self) {
        self.mailbox().worker_gone();
        self.drained.notify_all();
    }
}

impl Intake for Slot {
    fn push(&self, record: Record) -> bool {
        let taken = self.mailbox().push(record);
        if taken {
            self.fed.notify_one();
        }
        taken
    }

    fn wants_pause(&self) -> bool {
        self.mailbox().is_full(&self.limits.among(self.owned.load(Ordering::Relaxed)))
    }

    fn take_settled(&self) -> Option<NextOffset> {
        self.mailbox().take_settled()
    }

    fn close(&self) {
        self.mailbox().close();
        self.fed.notify_one();
    }

    fn drain(&self, deadline: Instant) -> bool {
        let mut mailbox = self.mailbox();
        while !mailbox.is_drained() {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return false;
            };
            mailbox = self.drained.wait_timeout(mailbox, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Under the lock of the mailbox: a result that comes later finds the lease ended and nobody to hand over.
    fn fence(&self) -> Fenced {
        let mut mailbox = self.mailbox();
        self.lease.end();
        self.owned.fetch_sub(1, Ordering::Relaxed);
        Fenced {
            settled: mailbox.take_settled(),
            left_over: mailbox.left_over(),
        }
    }

    fn load(&self) -> Load {
        let mailbox = self.mailbox();
        Load {
            records: mailbox.records(),
            oldest_ms: mailbox.oldest_ms(),
        }
    }

    fn has_given_up(&self) -> bool {
        let mailbox = self.mailbox();
        mailbox.records_in_flight() > 0 && mailbox.is_drained()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::RecordOffset;
    use super::super::topic::Topic;
    use super::*;
    use proptest::prelude::*;

    fn record(offset: i64, payload: usize) -> Record {
        Record {
            topic: Topic::RawUpdates,
            partition: 0,
            offset: RecordOffset(offset),
            key: None,
            payload: Some(vec![0; payload].into()),
            timestamp_ms: 1000 + offset,
            headers: vec![],
        }
    }

    fn limits(batch_records: usize, batch_bytes: usize) -> ConsumerLimits {
        ConsumerLimits {
            batch_records,
            batch_bytes,
            ..ConsumerLimits::default()
        }
    }

    #[test]
    fn a_batch_takes_what_has_accumulated_up_to_the_limits() {
        let mut mailbox = Mailbox::default();
        for offset in 0..5 {
            mailbox.push(record(offset, 10));
        }
        let batch = mailbox.take(&limits(3, usize::MAX)).expect("records wait");
        assert_eq!(batch.len(), 3);
        assert_eq!(mailbox.take(&limits(3, usize::MAX)), None, "one batch at a time");
        mailbox.settle();
        assert_eq!(mailbox.take_settled(), Some(NextOffset(3)));
        assert_eq!(mailbox.take_settled(), None, "handed over once");
    }

    #[test]
    fn many_partitions_share_what_a_member_may_hold() {
        const MIB: usize = 1024 * 1024;
        let marks = |partitions| {
            let limits = ConsumerLimits::default().among(partitions);
            (limits.high_water_bytes / MIB, limits.low_water_bytes / MIB)
        };
        assert_eq!((marks(0), marks(1), marks(4)), ((16, 4), (16, 4), (16, 4)));
        assert_eq!((marks(8), marks(32)), ((8, 2), (2, 0)));
        assert!(ConsumerLimits::default().among(32).low_water_bytes > 0);
    }

    #[test]
    fn a_record_over_the_batch_limit_goes_alone() {
        let mut mailbox = Mailbox::default();
        mailbox.push(record(0, 5000));
        mailbox.push(record(1, 10));
        assert_eq!(mailbox.take(&limits(10, 100)).map(|batch| batch.len()), Some(1));
    }

    #[test]
    fn a_closed_mailbox_still_settles_what_is_in_flight_and_gives_no_more() {
        let mut mailbox = Mailbox::default();
        mailbox.push(record(0, 1));
        mailbox.push(record(1, 1));
        let _ = mailbox.take(&limits(1, usize::MAX));
        mailbox.close();
        assert_eq!(mailbox.left_over(), 2);
        assert!(!mailbox.push(record(2, 1)));
        assert!(!mailbox.is_drained());
        mailbox.settle();
        assert!(mailbox.is_drained());
        assert_eq!(mailbox.take_settled(), Some(NextOffset(1)));
        assert_eq!(mailbox.take(&limits(1, usize::MAX)), None);
        assert_eq!(mailbox.bytes(), 0);
    }

    #[test]
    fn a_full_mailbox_stays_full_until_it_is_well_below_the_mark() {
        let limits = ConsumerLimits {
            high_water_bytes: 3 * record(0, 10).size(),
            low_water_bytes: record(0, 10).size(),
            ..limits(1, usize::MAX)
        };
        let mut mailbox = Mailbox::default();
        for (offset, full) in [(0, false), (1, false), (2, false), (3, true)] {
            mailbox.push(record(offset, 10));
            assert_eq!(mailbox.is_full(&limits), full, "{offset}");
        }
        for full in [true, true, false] {
            let _ = mailbox.take(&limits);
            mailbox.settle();
            assert_eq!(mailbox.is_full(&limits), full);
        }
    }

    #[test]
    fn a_partition_is_silent_only_while_something_is_expected_of_it() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut silence = Silence::beginning(began);
        assert_eq!(silence.lasts(true, at(5)), Duration::from_secs(5));
        // Its worker was busy for two minutes, then caught up.
        assert_eq!(silence.lasts(false, at(125)), Duration::ZERO);
        assert_eq!(silence.lasts(true, at(126)), Duration::from_secs(1));
        silence.end(at(130));
        assert_eq!(silence.lasts(true, at(200)), Duration::from_secs(70));
    }

    #[test]
    fn a_worker_that_is_gone_settles_nothing_and_is_not_waited_for() {
        let mut mailbox = Mailbox::default();
        mailbox.push(record(0, 1));
        let _ = mailbox.take(&limits(1, usize::MAX));
        mailbox.worker_gone();
        assert!(mailbox.is_drained());
        assert_eq!(mailbox.take_settled(), None);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Push,
        Take,
        Settle,
        HandOver,
        Close,
    }

    proptest! {
        /// Whatever the order of events: the offset handed over is one past the last record of a settled batch, every
        /// earlier record was settled, it never goes back, and the bytes counted are those held.
        #[test]
        fn what_is_handed_over_is_a_contiguous_settled_prefix(
            steps in proptest::collection::vec(
                prop_oneof![
                    4 => Just(Step::Push), 2 => Just(Step::Take), 2 => Just(Step::Settle),
                    2 => Just(Step::HandOver), 1 => Just(Step::Close),
                ],
                1..80,
            ),
            batch in 1usize..5,
        ) {
            let mut mailbox = Mailbox::default();
            let (mut pushed, mut settled_to, mut in_hand, mut handed) = (0i64, 0i64, None::<i64>, 0i64);
            for step in steps {
                match step {
                    Step::Push => if mailbox.push(record(pushed, 7)) { pushed += 1 },
                    Step::Take => if let Some(taken) = mailbox.take(&limits(batch, usize::MAX)) {
                        prop_assert_eq!(taken[0].offset.0, settled_to);
                        in_hand = taken.last().map(|last| last.offset.0 + 1);
                    },
                    Step::Settle => {
                        mailbox.settle();
                        settled_to = in_hand.take().unwrap_or(settled_to);
                    }
                    Step::HandOver => if let Some(next) = mailbox.take_settled() {
                        prop_assert_eq!(next.0, settled_to);
                        prop_assert!(next.0 > handed);
                        handed = next.0;
                    },
                    Step::Close => { mailbox.close(); }
                }
                prop_assert_eq!(mailbox.bytes(), mailbox.records() * record(0, 7).size());
            }
        }
    }
}
