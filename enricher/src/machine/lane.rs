//! What is to be done with one ASIN: the updates that wait, and the write they have become.

use std::collections::VecDeque;

use shared::adapters::kafka::RecordOffset;
use shared::domain::{Asin, StoredProduct};
use shared::ports::catalog::Write;

use crate::fold::{Fate, Group, Update};

/// One ASIN of a partition.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Is a call busy with it? Then nothing of it is begun.
    pub(super) busy: bool,
    /// Is it in the queue of those that are ready, or waiting to be?
    pub(super) queued: bool,
    /// A write that has to be done again, before anything else.
    job: Option<Job>,
    /// To be written one by one: together they were refused.
    alone: VecDeque<Update>,
    /// To be folded into one write.
    pending: Vec<Update>,
    /// How often in a row its write was put off.
    pub(super) put_off: u32,
}

/// Updates of one ASIN on their way into the catalog.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) group: Group,
    /// Should the write succeed.
    pub(super) fates: Vec<(RecordOffset, Fate)>,
    /// The same write once more: its outcome is unknown, or it was put off.
    pub(super) again: Option<Write<StoredProduct>>,
    /// A write of unknown outcome that met a conflict since: possibly our own.
    pub(super) perhaps_written: Option<StoredProduct>,
    pub(super) outcome_unknown: bool,
    /// It met a conflict: there is something, whatever other reads found.
    pub(super) is_known: bool,
}

impl Lane {
    /// Takes in an update that has others beside it.
    pub(super) fn add(&mut self, update: Update) {
        self.pending.push(update);
    }

    /// Takes in updates that have to be written one by one.
    pub(super) fn add_alone(&mut self, updates: impl IntoIterator<Item = Update>) {
        self.alone.extend(updates);
    }

    /// Takes back a write that has to be done again.
    pub(super) fn put_back(&mut self, job: Job) {
        debug_assert!(self.job.is_none(), "one write at a time");
        self.job = Some(job);
    }

    /// What is done next.
    pub(super) fn next(&mut self, asin: Asin) -> Option<Job> {
        if let Some(job) = self.job.take() {
            return Some(job);
        }
        let updates = match self.alone.pop_front() {
            Some(update) => vec![update],
            None => std::mem::take(&mut self.pending),
        };
        (!updates.is_empty()).then(|| Job::new(Group { asin, updates }))
    }

    /// Is there nothing left to be done?
    pub(super) fn is_empty(&self) -> bool {
        self.job.is_none() && self.alone.is_empty() && self.pending.is_empty()
    }
}

impl Job {
    fn new(group: Group) -> Self {
        Job {
            group,
            fates: Vec::new(),
            again: None,
            perhaps_written: None,
            outcome_unknown: false,
            is_known: false,
        }
    }
}
