//! Refused records of one partition: at once a dead letter each, or held back where there are too many of them.
//!
//! Of a halted partition one refused record at a time is tried once more, after a wait that grows; what is refused again
//! is a dead letter then, what is not says that the fault is cured, and the next is tried at once.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use shared::adapters::kafka::RecordOffset;

use super::delay::Delays;
use crate::decode::Refusal;
use crate::limit::DeadLetterLimit;

/// The refusals of one partition.
#[derive(Debug)]
pub(super) struct Refusals {
    limit: DeadLetterLimit,
    delays: Delays,
    /// Refused while there were too many.
    held: VecDeque<(RecordOffset, Refusal)>,
    /// Being tried once more.
    retrying: BTreeSet<RecordOffset>,
    /// When the next of those held is tried.
    next_try: Duration,
    /// Tries in a row that ended in a refusal.
    in_vain: u32,
    halted: bool,
}

/// What becomes of a refused record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A dead letter.
    Bury(Refusal),
    /// It waits to be tried once more.
    Hold,
}

impl Refusals {
    pub(super) fn new(percent: u8, pause: Duration) -> Self {
        Refusals {
            limit: DeadLetterLimit::new(percent),
            delays: Delays {
                first: pause,
                max: pause.saturating_mul(6),
            },
            held: VecDeque::new(),
            retrying: BTreeSet::new(),
            next_try: Duration::ZERO,
            in_vain: 0,
            halted: false,
        }
    }

    /// A record is refused.
    pub(super) fn refuse(&mut self, offset: RecordOffset, refusal: Refusal, now: Duration, random: &mut rand::rngs::SmallRng) -> Verdict {
        if self.retrying.remove(&offset) {
            self.limit.note(true);
            if self.limit.is_exceeded() {
                self.in_vain = self.in_vain.saturating_add(1);
                self.next_try = now + self.delays.after(self.in_vain, random);
            }
            return Verdict::Bury(refusal);
        }
        if self.held.is_empty() && !self.limit.is_exceeded() {
            self.limit.note(true);
            return Verdict::Bury(refusal);
        }
        if self.held.is_empty() && self.retrying.is_empty() && self.in_vain == 0 {
            self.in_vain = 1;
            self.next_try = now + self.delays.after(self.in_vain, random);
        }
        self.halted = true;
        self.held.push_back((offset, refusal));
        Verdict::Hold
    }

    /// A record is settled and was not refused.
    pub(super) fn accept(&mut self, offset: RecordOffset, now: Duration) {
        self.limit.note(false);
        if self.retrying.remove(&offset) || !self.limit.is_exceeded() {
            self.in_vain = 0;
            self.next_try = now;
        }
        if self.held.is_empty() && self.retrying.is_empty() && !self.limit.is_exceeded() {
            self.halted = false;
        }
    }

    /// The held record whose turn it is to be tried once more.
    pub(super) fn next_to_try(&mut self, now: Duration) -> Option<RecordOffset> {
        if self.wake_at()? > now {
            return None;
        }
        let (offset, _) = self.held.pop_front()?;
        self.retrying.insert(offset);
        Some(offset)
    }

    /// When [`Refusals::next_to_try`] has something.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        (!self.held.is_empty() && self.retrying.is_empty()).then_some(self.next_try)
    }

    /// Why the partition is halted, if it is.
    pub(super) fn halted(&self) -> Option<String> {
        let (refused, of) = self.limit.share();
        let last = self.held.back().map(|(_, refusal)| format!(", one of those held for {refusal}"));
        self.halted
            .then(|| format!("halted: {refused} of the last {of} records were refused{}", last.unwrap_or_default()))
    }

    /// Tries nothing more: the partition is taken back.
    pub(super) fn close(&mut self) {
        self.held.clear();
    }
}
