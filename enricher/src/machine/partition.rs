//! One partition of the machine: from a record that is taken in to an offset that is let go.
//!
//! A record is *open* from being taken in to being settled. Its update waits in the lane of its ASIN until a call takes
//! it. A call reads what the cache lacks, merges, writes what changed, publishes what was written or met again, and only
//! then are its records settled.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use shared::adapters::kafka::{Record, RecordOffset};
use shared::domain::{Asin, Listing, MarketState, ObservedAt, Product, StoredProduct, listing::next_revision};
use shared::ports::catalog::{Condition, Versioned, Write, WriteOutcome};

use super::delay::Delays;
use super::lane::{Job, Lane};
use super::refusals::{Refusals, Verdict};
use super::tracker::Tracker;
use super::{CallId, Common, DeadLetter, Output, Publication, Settings, Settled, Trouble};
use crate::cache::MergeCache;
use crate::decode::{Input, Refusal, RefusalClass, decode};
use crate::fold::{Fate, Update, decide};

/// Dead letters on their way at a time. They leave in the order in which they were refused.
const LETTERS_AT_ONCE: usize = 200;
/// Writes put off this often in a row are worth a word.
const PATIENCE: u32 = 4;

/// One partition of this member.
#[derive(Debug)]
pub(super) struct Partition {
    number: i32,
    epoch: u64,
    /// It will be taken back: nothing more is begun.
    closed: bool,
    paused: bool,
    open: Tracker,
    lanes: HashMap<Asin, Lane>,
    /// Lanes that have something to do and are not busy, in the order in which they became so.
    ready: VecDeque<Asin>,
    /// Since when there have been any.
    ready_since: Duration,
    /// Lanes whose writes were put off, by when they are ready again.
    delayed: BTreeSet<(Duration, Asin)>,
    cache: MergeCache,
    calls: BTreeMap<u64, Call>,
    refusals: Refusals,
    /// Refused records that wait for their turn.
    letters: VecDeque<(RecordOffset, Refusal)>,
    /// Dead letters that the broker has not confirmed.
    sending: Option<Sending>,
    log_in_trouble: bool,
    said_halted: Option<String>,
}

/// Products on their way through the catalog and the event log together.
#[derive(Debug)]
enum Call {
    Reading {
        began: Duration,
        asins: Vec<Asin>,
        jobs: Vec<Job>,
    },
    Writing {
        began: Duration,
        writes: Arc<[Write<StoredProduct>]>,
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
struct Ended {
    done: Vec<Done>,
    publications: Vec<Publication>,
}

/// A job that the catalog is done with.
#[derive(Debug)]
struct Done {
    asin: Asin,
    records: Vec<(RecordOffset, Fate, Option<ObservedAt>)>,
}

/// Dead letters on their way, or soon again.
#[derive(Debug)]
struct Sending {
    number: u64,
    letters: Arc<[DeadLetter]>,
    which: Vec<usize>,
    failures: u32,
    /// When they are published again; none while they are on their way.
    again_at: Option<Duration>,
}

impl Partition {
    pub(super) fn new(number: i32, epoch: u64, settings: &Settings) -> Self {
        Partition {
            number,
            epoch,
            closed: false,
            paused: false,
            open: Tracker::default(),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            ready_since: Duration::ZERO,
            delayed: BTreeSet::new(),
            cache: MergeCache::new(settings.cache_bytes),
            calls: BTreeMap::new(),
            refusals: Refusals::new(settings.dead_letter_percent, settings.dead_letter_pause),
            letters: VecDeque::new(),
            sending: None,
            log_in_trouble: false,
            said_halted: None,
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn tracker(&self) -> &Tracker {
        &self.open
    }

    pub(super) fn resize_cache(&mut self, bytes: usize) {
        self.cache.resize(bytes);
    }

    // ---- records in

    /// Decodes a record; its update waits in its lane.
    pub(super) fn take_in(&mut self, record: Record, common: &mut Common) {
        if self.closed {
            return;
        }
        let decoded = decode(&Input::of(&record), common.now.wall);
        let bytes = record.size() + decoded.as_ref().map_or(0, |decoded| update_bytes(&decoded.update));
        let offset = record.offset;
        if !self.open.begin(Arc::new(record), bytes) {
            return;
        }
        common.tally.consumed += 1;
        match decoded {
            Ok(decoded) => {
                common.tally.ignored_fields += u64::from(decoded.ignored_fields);
                let asin = decoded.update.asin;
                self.lane(asin).add(Update {
                    offset,
                    product: decoded.update,
                });
                self.make_ready(asin, common);
            }
            Err(refusal) => self.refuse(offset, refusal, common),
        }
        self.pause_or_resume(common);
    }

    fn lane(&mut self, asin: Asin) -> &mut Lane {
        self.lanes.entry(asin).or_default()
    }

    /// Queues a lane, unless it is busy, put off, queued already, or has nothing to do.
    fn make_ready(&mut self, asin: Asin, common: &Common) {
        let Some(lane) = self.lanes.get_mut(&asin) else { return };
        if lane.busy || lane.queued {
            return;
        }
        if lane.is_empty() || self.closed {
            self.lanes.remove(&asin);
            return;
        }
        lane.queued = true;
        if self.ready.is_empty() {
            self.ready_since = common.now.elapsed;
        }
        self.ready.push_back(asin);
    }

    // ---- calls of the catalog

    /// Whether waiting for more would be of no use.
    pub(super) fn has_full_batch(&self, common: &Common) -> bool {
        self.ready.len() >= common.settings.batch_products
    }

    /// Since when a call has been due, if one is.
    pub(super) fn due_since(&self, common: &Common) -> Option<Duration> {
        let due = !self.ready.is_empty() && (self.has_full_batch(common) || common.now.elapsed >= self.ready_since + common.settings.linger);
        due.then_some(self.ready_since)
    }

    /// Takes what is ready, up to a batch, and begins with reading what the cache lacks.
    pub(super) fn begin_call(&mut self, common: &mut Common) {
        let mut jobs = Vec::new();
        let mut missing = Vec::new();
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
                    missing.push(asin);
                }
            }
            jobs.push(job);
        }
        let began = common.now.elapsed;
        let number = common.next_call();
        common.limit.begin();
        if missing.is_empty() {
            self.merge(number, began, jobs, HashMap::new(), common);
            return;
        }
        common.put(Output::Read {
            call: self.call(number),
            asins: missing.clone(),
        });
        self.calls.insert(number, Call::Reading { began, asins: missing, jobs });
    }

    fn call(&self, number: u64) -> CallId {
        CallId {
            partition: self.number,
            epoch: self.epoch,
            number,
        }
    }

    /// The call, if it is in the stage that a result belongs to.
    fn take_call(&mut self, number: u64, is_in_stage: impl FnOnce(&Call) -> bool) -> Option<Call> {
        self.calls.get(&number).filter(|call| is_in_stage(call))?;
        self.calls.remove(&number)
    }

    pub(super) fn take_read(&mut self, call: CallId, result: Result<Vec<Option<Versioned<StoredProduct>>>, String>, common: &mut Common) {
        let Some(Call::Reading { began, asins, jobs }) = self.take_call(call.number, |call| matches!(call, Call::Reading { .. })) else {
            common.take_late(true);
            return;
        };
        let reason = match result {
            Ok(products) if products.len() == asins.len() => {
                let read = asins.into_iter().zip(products).collect();
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
    fn merge(&mut self, number: u64, began: Duration, jobs: Vec<Job>, mut read: HashMap<Asin, Option<Versioned<StoredProduct>>>, common: &mut Common) {
        if self.closed {
            // Nothing was written yet, and nothing more is.
            common.catalog_answered(began, None);
            return;
        }
        let now = common.now.wall;
        let (mut writing, mut writes) = (Vec::new(), Vec::new());
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
                && job.perhaps_written.as_ref() == Some(&held.value)
            {
                let product = held.value.clone();
                self.is_done(&mut ended, job, Some(product));
                continue;
            }
            let decision = decide(held.map(|held| &held.value.product), &job.group);
            job.fates = decision.fates;
            match decision.write {
                None => {
                    let product = held.filter(|_| decision.publish).map(|held| held.value.clone());
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
        let writes: Arc<[Write<StoredProduct>]> = writes.into();
        common.put(Output::Write {
            call: self.call(number),
            writes: Arc::clone(&writes),
        });
        let jobs = writing;
        self.calls.insert(number, Call::Writing { began, writes, jobs, ended });
    }

    pub(super) fn take_written(&mut self, id: CallId, result: Result<Vec<WriteOutcome>, String>, common: &mut Common) {
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
        let outcomes = match result {
            Ok(outcomes) if outcomes.len() == writes.len() => outcomes,
            other => {
                let reason = other.map_or_else(|reason| reason, |outcomes| format!("{} outcomes for {} writes", outcomes.len(), writes.len()));
                common.catalog_failed(began, reason);
                for (mut job, write) in jobs.into_iter().zip(writes.iter()) {
                    job.again = Some(write.clone());
                    job.outcome_unknown = true;
                    self.do_again(job, common);
                }
                self.publish(id.number, ended, common);
                return;
            }
        };
        let mut later = Vec::new();
        let mut put_off = None;
        for ((mut job, write), outcome) in jobs.into_iter().zip(writes.iter()).zip(outcomes) {
            if let WriteOutcome::Retry { reason } = outcome {
                put_off = Some(format!("the catalog puts writes off: {reason}"));
                job.again = Some(write.clone());
                later.push(job);
            } else {
                self.take_outcome(&mut ended, job, write, outcome, common);
            }
        }
        let times = self.do_later(later, common);
        common.catalog_answered(began, put_off.map(|reason| (reason, times > PATIENCE)));
        self.publish(id.number, ended, common);
    }

    fn take_outcome(&mut self, ended: &mut Ended, mut job: Job, write: &Write<StoredProduct>, outcome: WriteOutcome, common: &mut Common) {
        let asin = job.group.asin;
        match outcome {
            WriteOutcome::Written(version) => {
                self.lane(asin).put_off = 0;
                self.cache.put(Versioned {
                    value: write.value.clone(),
                    version,
                });
                self.is_done(ended, job, Some(write.value.clone()));
            }
            WriteOutcome::Conflict => {
                common.tally.conflicts += 1;
                self.cache.remove(asin);
                job.perhaps_written = job.outcome_unknown.then(|| write.value.clone());
                job.outcome_unknown = false;
                self.do_again(job, common);
            }
            WriteOutcome::Retry { .. } => {
                job.again = Some(write.clone());
                self.do_later(vec![job], common);
            }
            WriteOutcome::Refused { reason } => {
                let lane = self.lane(asin);
                lane.busy = false;
                lane.put_off = 0;
                match job.group.updates.as_slice() {
                    [only] => self.refuse(only.offset, Refusal::new(RefusalClass::Catalog, reason), common),
                    _ => lane.add_alone(job.group.updates),
                }
                self.make_ready(asin, common);
            }
        }
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

    // ---- publishing

    /// The catalog is done with a job.
    fn is_done(&self, ended: &mut Ended, job: Job, product: Option<StoredProduct>) {
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
            records: records.map(|(&(offset, fate), update)| (offset, fate, observed_at(&update.product))).collect(),
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

    pub(super) fn take_published(&mut self, id: CallId, result: Result<(), (Vec<usize>, String)>, common: &mut Common) {
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

    /// Lets records go; their lanes are free for what has gathered.
    fn settle(&mut self, done: Vec<Done>, common: &mut Common) {
        let mut settled = Settled {
            partition: self.number,
            records: 0,
            written: Vec::new(),
            dead_letters: Vec::new(),
        };
        for Done { asin, records } in done {
            for (offset, fate, observed_at) in records {
                settled.records += 1;
                match fate {
                    Fate::Written => {
                        common.tally.written += 1;
                        settled.written.extend(observed_at);
                    }
                    Fate::Unchanged => common.tally.unchanged += 1,
                    Fate::Stale => common.tally.stale += 1,
                }
                self.let_go(offset, common);
                self.refusals.accept(offset, common.now.elapsed);
            }
            self.lane(asin).busy = false;
            self.make_ready(asin, common);
        }
        if settled.records > 0 {
            common.put(Output::Settled(settled));
            self.say_halted(common);
            self.pause_or_resume(common);
        }
    }

    fn let_go(&mut self, offset: RecordOffset, common: &mut Common) {
        if let Some(next) = self.open.settle(offset) {
            common.put(Output::StoreOffset { partition: self.number, next });
        }
    }

    // ---- dead letters

    fn refuse(&mut self, offset: RecordOffset, refusal: Refusal, common: &mut Common) {
        match self.refusals.refuse(offset, refusal, common.now.elapsed, &mut common.random) {
            Verdict::Hold => {}
            Verdict::Bury(refusal) if !self.closed => {
                self.letters.push_back((offset, refusal));
                self.send_letters(common);
            }
            Verdict::Bury(_) => {}
        }
        self.say_halted(common);
    }

    /// Sends the next dead letters once the last ones are confirmed.
    fn send_letters(&mut self, common: &mut Common) {
        if self.sending.is_some() || self.letters.is_empty() {
            return;
        }
        let next = self.letters.drain(..self.letters.len().min(LETTERS_AT_ONCE));
        let letters: Arc<[DeadLetter]> = next
            .filter_map(|(offset, refusal)| {
                let record = Arc::clone(self.open.record(offset)?);
                Some(DeadLetter { record, refusal })
            })
            .collect();
        let which: Vec<usize> = (0..letters.len()).collect();
        let number = common.next_call();
        common.put(Output::DeadLetter {
            call: self.call(number),
            letters: Arc::clone(&letters),
            which: which.clone(),
        });
        self.sending = Some(Sending {
            number,
            letters,
            which,
            failures: 0,
            again_at: None,
        });
    }

    pub(super) fn take_dead_letters(&mut self, id: CallId, result: Result<(), (Vec<usize>, String)>, common: &mut Common) {
        let Some(mut sending) = self.sending.take_if(|sending| sending.number == id.number && sending.again_at.is_none()) else {
            common.take_late(false);
            return;
        };
        match result {
            Ok(()) => {
                self.say_of_log(None, common);
                self.bury(&sending.letters, common);
                self.send_letters(common);
            }
            Err((rest, reason)) => {
                self.say_of_log(Some(reason), common);
                if self.closed {
                    return;
                }
                // Where it does not say which, all of them.
                if !rest.is_empty() {
                    sending.which = rest;
                }
                sending.failures = sending.failures.saturating_add(1);
                sending.again_at = Some(common.now.elapsed + Delays::OUTSIDE_SYSTEMS.after(sending.failures, &mut common.random));
                self.sending = Some(sending);
            }
        }
    }

    /// The broker confirmed these letters.
    fn bury(&mut self, letters: &[DeadLetter], common: &mut Common) {
        for letter in letters {
            common.tally.dead_letters += 1;
            self.let_go(letter.record.offset, common);
        }
        common.put(Output::Settled(Settled {
            partition: self.number,
            records: u64::try_from(letters.len()).unwrap_or(u64::MAX),
            written: Vec::new(),
            dead_letters: letters.iter().map(|letter| (letter.record.offset, letter.refusal.clone())).collect(),
        }));
        self.pause_or_resume(common);
    }

    /// Tries a record that was held back once more: what was wrong may have been cured.
    fn try_again(&mut self, offset: RecordOffset, common: &mut Common) {
        let Some(record) = self.open.record(offset) else { return };
        match decode(&Input::of(record), common.now.wall) {
            Ok(decoded) => {
                let asin = decoded.update.asin;
                self.lane(asin).add_alone([Update {
                    offset,
                    product: decoded.update,
                }]);
                self.make_ready(asin, common);
            }
            Err(refusal) => self.refuse(offset, refusal, common),
        }
    }

    // ---- time, flow and ownership

    pub(super) fn take_tick(&mut self, common: &mut Common) {
        if self.closed {
            return;
        }
        let now = common.now.elapsed;
        while let Some(&(at, asin)) = self.delayed.first()
            && at <= now
        {
            self.delayed.remove(&(at, asin));
            self.lane(asin).queued = false;
            self.make_ready(asin, common);
        }
        while let Some(offset) = self.refusals.next_to_try(now) {
            self.try_again(offset, common);
        }
        for (&number, call) in &mut self.calls {
            if let Call::Publishing { products, which, again_at, .. } = call
                && again_at.is_some_and(|at| at <= now)
            {
                *again_at = None;
                common.put(Output::Publish {
                    call: CallId {
                        partition: self.number,
                        epoch: self.epoch,
                        number,
                    },
                    products: Arc::clone(products),
                    which: which.clone(),
                });
            }
        }
        if let Some(sending) = &mut self.sending
            && sending.again_at.is_some_and(|at| at <= now)
        {
            sending.again_at = None;
            common.put(Output::DeadLetter {
                call: CallId {
                    partition: self.number,
                    epoch: self.epoch,
                    number: sending.number,
                },
                letters: Arc::clone(&sending.letters),
                which: sending.which.clone(),
            });
        }
    }

    pub(super) fn wake_at(&self, common: &Common) -> Option<Duration> {
        if self.closed {
            return None;
        }
        let begins = (!self.ready.is_empty())
            .then(|| Some(common.may_call_at()?.max(self.ready_since + common.settings.linger)))
            .flatten();
        let delayed = self.delayed.first().map(|&(at, _)| at);
        let publishing = self.calls.values().filter_map(|call| match call {
            Call::Publishing { again_at, .. } => *again_at,
            Call::Reading { .. } | Call::Writing { .. } => None,
        });
        let letters = self.sending.as_ref().and_then(|sending| sending.again_at);
        let single = [begins, delayed, self.refusals.wake_at(), letters].into_iter().flatten();
        single.chain(publishing).min()
    }

    fn pause_or_resume(&mut self, common: &mut Common) {
        let settings = &common.settings;
        let share = settings.member_bytes / common.owned.max(1);
        let (bytes, records) = if self.paused {
            (settings.low_water_bytes.min(share / 4), settings.window_records / 2)
        } else {
            (settings.high_water_bytes.min(share), settings.window_records)
        };
        let full = self.open.bytes() > bytes || self.open.window() > records;
        if full != self.paused {
            self.paused = full;
            let partition = self.number;
            common.put(if full { Output::Pause { partition } } else { Output::Resume { partition } });
        }
    }

    /// Begins nothing more: what waits is left to the next owner, what was begun may end once.
    pub(super) fn close(&mut self, common: &mut Common) {
        self.closed = true;
        self.ready.clear();
        self.delayed.clear();
        self.lanes.clear();
        self.refusals.close();
        self.letters.clear();
        self.sending.take_if(|sending| sending.again_at.is_some());
        self.calls.retain(|_, call| !matches!(call, Call::Publishing { again_at: Some(_), .. }));
        self.say_halted(common);
    }

    /// Whether nothing is to come that could still settle a record.
    pub(super) fn is_drained(&self) -> bool {
        self.sending.is_none() && self.calls.values().all(|call| matches!(call, Call::Reading { .. }))
    }

    /// The partition is not ours any more.
    pub(super) fn end(mut self, common: &mut Common) {
        common.tally.given_up += u64::try_from(self.open.unsettled()).unwrap_or(u64::MAX);
        self.close(common);
        self.say_of_log(None, common);
        if self.said_halted.take().is_some() {
            common.put(Output::Trouble(Trouble::Halted(self.number), None));
        }
        if self.paused {
            common.put(Output::Resume { partition: self.number });
        }
    }

    fn say_of_log(&mut self, reason: Option<String>, common: &mut Common) {
        if reason.is_some() || self.log_in_trouble {
            self.log_in_trouble = reason.is_some();
            common.put(Output::Trouble(Trouble::EventLog(self.number), reason));
        }
    }

    fn say_halted(&mut self, common: &mut Common) {
        let halted = self.refusals.halted();
        if halted.is_some() != self.said_halted.is_some() {
            self.said_halted.clone_from(&halted);
            common.put(Output::Trouble(Trouble::Halted(self.number), halted));
        }
    }
}

/// When the one marketplace of an update was observed.
fn observed_at(update: &Product) -> Option<ObservedAt> {
    let state: &MarketState = update.markets.values().next()?.values().next()?;
    Some(state.latest)
}

/// What holding an update costs besides its record.
fn update_bytes(update: &Product) -> usize {
    update.markets.values().flat_map(BTreeMap::values).map(crate::cache::state_bytes).sum()
}
