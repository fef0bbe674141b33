//! Calls: products on their way through the catalog and the event log together.
//!
//! A call reads what the cache lacks, merges, writes what changed, publishes what was written or met again, and only
//! then lets its records go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use shared::adapters::kafka::RecordOffset;
use shared::domain::{Asin, Listing, ObservedAt, Source, StoredProduct, listing::next_revision};
use shared::ports::catalog::{Condition, Version, Versioned, Write, WriteOutcome};

use super::Partition;
use crate::decode::{Refusal, RefusalClass};
use crate::fold::{Fate, decide, identity};
use crate::machine::delay::Delays;
use crate::machine::lane::Job;
use crate::machine::{CallId, Common, Output, Publication, Settled};
use crate::settled::Fingerprint;

/// Writes put off this often in a row are worth a word.
const PATIENCE: u32 = 4;

/// Products on their way through the catalog and the event log together.
#[derive(Debug)]
pub(super) enum Call {
    Reading {
        began: Duration,
        asins: Vec<Asin>,
        jobs: Vec<Job>,
    },
    Writing {
        began: Duration,
        writes: Arc<Vec<Write<StoredProduct>>>,
        jobs: Vec<Job>,
        ended: Ended,
    },
    Publishing {
        products: Arc<[Publication]>,
        /// Those that are not confirmed.
        which: Vec<usize>,
        failures: u32,
        /// When they are published again; none while they are on their way.
        again_at: Option<Duration>,
        done: Vec<Done>,
    },
}

/// What the catalog has settled of a call: it is published before it counts.
#[derive(Debug, Default)]
pub(super) struct Ended {
    done: Vec<Done>,
    publications: Vec<Publication>,
}

/// A record that is older than this when it is taken in belongs to a backlog.
const LATE_AFTER: Duration = Duration::from_secs(5);
/// The most that a record of a backlog waits for others.
const LATE_LINGER: Duration = Duration::from_millis(250);

/// A job that the catalog is done with.
#[derive(Debug)]
pub(super) struct Done {
    asin: Asin,
    records: Vec<DoneRecord>,
}

#[derive(Debug)]
struct DoneRecord {
    offset: RecordOffset,
    fate: Fate,
    fingerprint: Option<Fingerprint>,
    observed: Option<(Source, ObservedAt)>,
}

impl Partition {
    /// Whether waiting for more would be of no use: to a partition that is paused nothing comes.
    pub(in crate::machine) fn has_full_batch(&self, common: &Common) -> bool {
        // Of many partitions none may hold a full batch and what gathers beside it: then half of what it may hold is a batch.
        let is_half_full = || self.calls.is_empty() && self.open.bytes() > common.share_bytes() / 2;
        self.paused || self.ready.len() >= common.settings.batch_products || is_half_full()
    }

    /// Until when the first product that is ready waits for others to be written with it. In a backlog, full batches are
    /// worth more than a tenth of what the records are late.
    pub(in crate::machine) fn lingers_until(&self, common: &Common) -> Duration {
        let late = (self.behind.saturating_sub(LATE_AFTER) / 10).min(LATE_LINGER);
        self.ready_since + common.settings.linger.max(late)
    }

    /// Since when a call has been due, if one is.
    pub(in crate::machine) fn due_since(&self, common: &Common) -> Option<Duration> {
        let due = !self.ready.is_empty() && (self.has_full_batch(common) || common.now.elapsed >= self.lingers_until(common));
        due.then_some(self.ready_since)
    }

    /// Takes what is ready, up to a batch, and begins with reading what the cache lacks.
    pub(in crate::machine) fn begin_call(&mut self, common: &mut Common) {
        let mut jobs = Vec::with_capacity(self.ready.len().min(common.settings.batch_products));
        let mut missing = Vec::new();
        let mut new = Vec::new();
        let looks_first = self.new_in_a_row < common.settings.new_in_a_row;
        while jobs.len() < common.settings.batch_products
            && let Some(asin) = self.ready.pop_front()
        {
            let Some(lane) = self.lanes.get_mut(&asin) else { continue };
            lane.queued = false;
            let Some(job) = lane.next(asin) else { continue };
            lane.busy = true;
            if job.again.is_none() {
                if self.cache.get(asin).is_some() {
                    common.tally.cache_hits += 1;
                } else {
                    common.tally.cache_misses += 1;
                    if looks_first || job.is_known {
                        missing.push(asin);
                    } else {
                        new.push(asin);
                    }
                }
            }
            jobs.push(job);
        }
        let began = common.now.elapsed;
        let number = common.next_call();
        common.limit.begin();
        if missing.is_empty() {
            let new = new.into_iter().map(|asin| (asin, None)).collect();
            self.merge(number, began, jobs, new, common);
            return;
        }
        // One read for all of them: it is made anyway.
        missing.extend(new);
        common.put(Output::Read {
            call: self.call(number),
            asins: missing.clone(),
        });
        self.calls.insert(number, Call::Reading { began, asins: missing, jobs });
    }

    /// The call, if it is in the stage that a result belongs to.
    fn take_call(&mut self, number: u64, is_in_stage: impl FnOnce(&Call) -> bool) -> Option<Call> {
        self.calls.get(&number).filter(|call| is_in_stage(call))?;
        self.calls.remove(&number)
    }

    pub(in crate::machine) fn take_read(&mut self, call: CallId, result: Result<Vec<Option<Versioned<StoredProduct>>>, String>, common: &mut Common) {
        let Some(Call::Reading { began, asins, jobs }) = self.take_call(call.number, |call| matches!(call, Call::Reading { .. })) else {
            common.take_late(true);
            return;
        };
        let reason = match result {
            Ok(products) if products.len() == asins.len() => {
                let found = products.iter().rposition(Option::is_some);
                let new = found.map_or(products.len(), |last| products.len() - last - 1);
                self.new_in_a_row = new + if found.is_some() { 0 } else { self.new_in_a_row };
                let shared = products.into_iter().map(|product| product.map(Versioned::shared));
                let read = asins.into_iter().zip(shared).collect();
                self.merge(call.number, began, jobs, read, common);
                return;
            }
            Ok(products) => format!("{} products for {} ids", products.len(), asins.len()),
            Err(reason) => reason,
        };
        common.catalog_failed(began, reason);
        for job in jobs {
            self.do_again(job, common);
        }
    }

    /// Merges; writes what changes and is done with the rest.
    fn merge(&mut self, number: u64, began: Duration, jobs: Vec<Job>, mut read: HashMap<Asin, Option<Versioned<Arc<StoredProduct>>>>, common: &mut Common) {
        if self.closed {
            // Nothing was written yet, and nothing more is.
            common.catalog_answered(began, None);
            return;
        }
        let now = common.now.wall;
        let (mut writing, mut writes) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
        let mut ended = Ended::default();
        for mut job in jobs {
            if let Some(write) = job.again.take() {
                writes.push(write);
                writing.push(job);
                continue;
            }
            let asin = job.group.asin;
            let held = match read.get(&asin) {
                Some(read) => read.as_ref(),
                None => self.cache.get(asin),
            };
            if held.is_none() && !read.contains_key(&asin) {
                // It was cached when the call began, and had to make room since.
                self.do_again(job, common);
                continue;
            }
            if let Some(held) = held
                && job.perhaps_written.as_ref() == Some(&*held.value)
            {
                let product = Arc::clone(&held.value);
                self.is_done(&mut ended, job, Some(product));
                continue;
            }
            let decision = decide(held.map(|held| &held.value.product), &job.group);
            job.fates = decision.fates;
            match decision.write {
                None => {
                    let product = held.filter(|_| decision.publish).map(|held| Arc::clone(&held.value));
                    self.is_done(&mut ended, job, product);
                }
                Some(product) => {
                    let listing = Listing::of(&product, &common.settings.markets, now, common.settings.staleness);
                    let revision = next_revision(held.map(|held| held.value.revision), now);
                    let condition = held.map_or(Condition::Absent, |held| Condition::Unchanged(held.version.clone()));
                    let value = StoredProduct { product, revision, listing };
                    writes.push(Write { value, condition });
                    writing.push(job);
                }
            }
        }
        // Only now: holding one product may drop another that was still to be merged.
        for (asin, product) in read.drain() {
            match product {
                Some(product) => self.cache.put(product),
                None => self.cache.remove(asin),
            }
        }
        if writing.is_empty() {
            common.catalog_answered(began, None);
            self.publish(number, ended, common);
            return;
        }
        let writes = Arc::new(writes);
        common.put(Output::Write {
            call: self.call(number),
            writes: Arc::clone(&writes),
        });
        let jobs = writing;
        self.calls.insert(number, Call::Writing { began, writes, jobs, ended });
    }

    pub(in crate::machine) fn take_written(&mut self, id: CallId, result: Result<Vec<WriteOutcome>, String>, common: &mut Common) {
        let Some(Call::Writing {
            began,
            writes,
            jobs,
            mut ended,
        }) = self.take_call(id.number, |call| matches!(call, Call::Writing { .. }))
        else {
            common.take_late(true);
            return;
        };
        // Whoever wrote them is done with them.
        let writes = Arc::unwrap_or_clone(writes);
        let outcomes = match result {
            Ok(outcomes) if outcomes.len() == writes.len() => outcomes,
            other => {
                let reason = other.map_or_else(|reason| reason, |outcomes| format!("{} outcomes for {} writes", outcomes.len(), writes.len()));
                common.catalog_failed(began, reason);
                for (mut job, write) in jobs.into_iter().zip(writes) {
                    job.again = Some(write);
                    job.outcome_unknown = true;
                    self.do_again(job, common);
                }
                self.publish(id.number, ended, common);
                return;
            }
        };
        ended.done.reserve(jobs.len());
        ended.publications.reserve(jobs.len());
        let mut later = Vec::new();
        let mut put_off = None;
        for ((mut job, write), outcome) in jobs.into_iter().zip(writes).zip(outcomes) {
            match outcome {
                WriteOutcome::Written(version) => self.was_written(&mut ended, job, write, version),
                WriteOutcome::Conflict => self.met_a_conflict(job, write, common),
                WriteOutcome::Retry { reason } => {
                    put_off = Some(format!("the catalog puts writes off: {reason}"));
                    job.again = Some(write);
                    later.push(job);
                }
                WriteOutcome::Refused { reason } => self.was_refused(job, reason, common),
            }
        }
        let times = self.do_later(later, common);
        common.catalog_answered(began, put_off.map(|reason| (reason, times > PATIENCE)));
        self.publish(id.number, ended, common);
    }

    fn was_written(&mut self, ended: &mut Ended, job: Job, write: Write<StoredProduct>, version: Version) {
        self.lane(job.group.asin).put_off = 0;
        let value = Arc::new(write.value);
        self.cache.put(Versioned {
            value: Arc::clone(&value),
            version,
        });
        self.is_done(ended, job, Some(value));
    }

    /// Somebody else wrote, or we did and were not told: reads and merges again.
    fn met_a_conflict(&mut self, mut job: Job, write: Write<StoredProduct>, common: &mut Common) {
        common.tally.conflicts += 1;
        self.new_in_a_row = 0;
        job.is_known = true;
        self.cache.remove(job.group.asin);
        job.perhaps_written = job.outcome_unknown.then_some(write.value);
        job.outcome_unknown = false;
        self.do_again(job, common);
    }

    /// Several records together are tried one by one: only what is refused alone is a dead letter.
    fn was_refused(&mut self, job: Job, reason: String, common: &mut Common) {
        let asin = job.group.asin;
        let lane = self.lane(asin);
        lane.busy = false;
        lane.put_off = 0;
        match job.group.updates.as_slice() {
            [only] => self.refuse(only.offset, Refusal::new(RefusalClass::Catalog, reason), common),
            _ => lane.add_alone(job.group.updates),
        }
        self.make_ready(asin, common);
    }

    /// Puts a job back into its lane, first in line; nothing is begun of a partition that is taken back.
    fn do_again(&mut self, job: Job, common: &Common) {
        let asin = job.group.asin;
        let lane = self.lane(asin);
        lane.busy = false;
        if !self.closed {
            self.lane(asin).put_back(job);
            self.make_ready(asin, common);
        }
    }

    /// As [`Partition::do_again`], after a wait: together, as they were put off. Returns how often in a row they were.
    fn do_later(&mut self, jobs: Vec<Job>, common: &mut Common) -> u32 {
        let mut times = 0;
        for job in &jobs {
            let lane = self.lane(job.group.asin);
            lane.busy = false;
            lane.put_off = lane.put_off.saturating_add(1);
            times = times.max(lane.put_off);
        }
        if self.closed || jobs.is_empty() {
            return times;
        }
        let at = common.now.elapsed + Delays::OUTSIDE_SYSTEMS.after(times, &mut common.random);
        for job in jobs {
            let asin = job.group.asin;
            let lane = self.lane(asin);
            lane.put_back(job);
            lane.queued = true;
            self.delayed.insert((at, asin));
        }
        times
    }

    /// The catalog is done with a job.
    fn is_done(&self, ended: &mut Ended, job: Job, product: Option<Arc<StoredProduct>>) {
        let last = job.fates.last().and_then(|&(offset, _)| self.open.record(offset));
        if let (Some(product), Some(cause)) = (product, last) {
            ended.publications.push(Publication {
                product,
                cause: Arc::clone(cause),
            });
        }
        let records = job.fates.iter().zip(&job.group.updates);
        ended.done.push(Done {
            asin: job.group.asin,
            records: records
                .map(|(&(offset, fate), update)| DoneRecord {
                    offset,
                    fate,
                    fingerprint: update.fingerprint,
                    observed: identity(&update.product).map(|(_, source, at)| (source, at)),
                })
                .collect(),
        });
    }

    /// What was written is published before it counts as settled.
    fn publish(&mut self, number: u64, ended: Ended, common: &mut Common) {
        let Ended { done, publications } = ended;
        if publications.is_empty() {
            self.settle(done, common);
            return;
        }
        let products: Arc<[Publication]> = publications.into();
        let which: Vec<usize> = (0..products.len()).collect();
        common.put(Output::Publish {
            call: self.call(number),
            products: Arc::clone(&products),
            which: which.clone(),
        });
        let call = Call::Publishing {
            products,
            which,
            failures: 0,
            again_at: None,
            done,
        };
        self.calls.insert(number, call);
    }

    pub(in crate::machine) fn take_published(&mut self, id: CallId, result: Result<(), (Vec<usize>, String)>, common: &mut Common) {
        let Some(Call::Publishing {
            products,
            which,
            failures,
            done,
            ..
        }) = self.take_call(id.number, |call| matches!(call, Call::Publishing { again_at: None, .. }))
        else {
            common.take_late(false);
            return;
        };
        match result {
            Err((rest, reason)) => {
                self.say_of_log(Some(reason), common);
                if self.closed {
                    return;
                }
                let failures = failures.saturating_add(1);
                let call = Call::Publishing {
                    products,
                    // Where it does not say which, all of them.
                    which: if rest.is_empty() { which } else { rest },
                    failures,
                    again_at: Some(common.now.elapsed + Delays::OUTSIDE_SYSTEMS.after(failures, &mut common.random)),
                    done,
                };
                self.calls.insert(id.number, call);
            }
            Ok(()) => {
                self.say_of_log(None, common);
                self.settle(done, common);
            }
        }
    }

    /// Publishes what was put off and is due.
    pub(super) fn publish_again(&mut self, common: &mut Common) {
        let (partition, epoch) = (self.number, self.epoch);
        for (&number, call) in &mut self.calls {
            if let Call::Publishing { products, which, again_at, .. } = call
                && again_at.take_if(|at| *at <= common.now.elapsed).is_some()
            {
                common.put(Output::Publish {
                    call: CallId { partition, epoch, number },
                    products: Arc::clone(products),
                    which: which.clone(),
                });
            }
        }
    }

    /// Lets a record go that says what a settled one has said.
    pub(super) fn settle_again(&mut self, offset: RecordOffset, common: &mut Common) {
        common.tally.unchanged += 1;
        self.let_go(offset, common);
        self.refusals.accept(offset, common.now.elapsed);
        common.put(Output::Settled(Settled {
            partition: self.number,
            records: 1,
            written: Vec::new(),
            dead_letters: Vec::new(),
        }));
    }

    /// Lets records go; their lanes are free for what has gathered.
    fn settle(&mut self, done: Vec<Done>, common: &mut Common) {
        let mut settled = Settled {
            partition: self.number,
            records: 0,
            written: Vec::with_capacity(done.iter().map(|done| done.records.len()).sum()),
            dead_letters: Vec::new(),
        };
        let mut next = None;
        for Done { asin, records } in done {
            for DoneRecord {
                offset,
                fate,
                fingerprint,
                observed,
            } in records
            {
                settled.records += 1;
                match fate {
                    Fate::Written => {
                        common.tally.written += 1;
                        settled.written.extend(observed.map(|(_, at)| at));
                    }
                    Fate::Unchanged => common.tally.unchanged += 1,
                    Fate::Stale => common.tally.stale += 1,
                }
                // Whatever it was, the product that it is part of was published: before, or just now.
                if let Some((fingerprint, (source, _))) = fingerprint.zip(observed) {
                    self.settled.insert(fingerprint, source);
                }
                next = self.open.settle(offset).or(next);
                self.refusals.accept(offset, common.now.elapsed);
            }
            self.lane(asin).busy = false;
            self.make_ready(asin, common);
        }
        if let Some(next) = next {
            common.put(Output::StoreOffset { partition: self.number, next });
        }
        if settled.records > 0 {
            common.put(Output::Settled(settled));
            self.say_halted(common);
            self.pause_or_resume(common);
        }
    }
}
