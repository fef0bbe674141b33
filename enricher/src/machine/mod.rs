//! The enricher's decisions, as a machine without I/O: values in, values out, time included.
//!
//! ```text
//!  Assigned, Record, Tick, ReadResult, WriteResult,     +---------+   Read, Write, Publish, DeadLetter,
//!  PublishResult, DeadLetterResult, Revoking,      ---> | Machine | ---> StoreOffset, Pause, Resume,
//!  Revoked, Shutdown                                    +---------+   Settled, Trouble
//! ```
//!
//! Whoever runs it (`shell.rs`) carries out each output and brings the result back, in any order, late, or never. What
//! holds whatever it does (`model.rs` tries it on millions of interleavings):
//!
//! - *Nothing is let go early.* An offset is stored when every record before it is settled: written and published, proven
//!   stale, or a dead letter that the broker confirmed (`tracker.rs`).
//! - *Nothing is given up.* Failures are repeated without end. Of a call whose outcome is unknown the very same writes are
//!   sent again; if they had arrived, they conflict, and what is read then is our own write.
//! - *One bad record is one dead letter.* A document that is refused is taken apart and written record by record. A flood
//!   of refusals halts its partition: it is more likely our fault than the records'.
//! - *One ASIN has at most one write in flight,* and it is published before the next. Meanwhile its records gather, and
//!   are one write again.
//! - *A partition that was taken back settles nothing.* Results carry the epoch of the assignment that they belong to.
//!   First it is drained ([`Input::Revoking`]): what was begun may end, nothing more is begun. Then it is fenced
//!   ([`Input::Revoked`]).
//! - *Memory is bounded.* A partition that holds too much asks to be paused; what waits for a retry counts.
//!
//! Per partition: a record is decoded before it is taken in, and its update waits in the *lane* of its ASIN. Lanes that have
//! something to do and are not busy are *ready*; a *call* takes up to a batch of them through read, merge, write and
//! publish (`partition/`). How many calls run at a time is learnt (`concurrency.rs`).

mod concurrency;
mod delay;
mod lane;
#[cfg(test)]
mod model;
mod partition;
mod refusals;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
mod tracker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use shared::adapters::kafka::{NextOffset, Record, RecordOffset};
use shared::domain::{Asin, Marketplace, ObservedAt, Staleness, StoredProduct, UnixMillis};
use shared::ports::catalog::{Versioned, Write, WriteOutcome};
use shared::wire::state::HistoryRecord;

use crate::decode::{Decoded, DecodedWithHistory, Input as Decodable, Refusal, decode_with_history};
use crate::settled::Fingerprint;
use concurrency::{Answer, ConcurrencyLimit};
use delay::Delays;
use partition::Partition;

/// What the machine goes by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// In which order names are looked for.
    pub markets: Vec<Marketplace>,
    /// For the prices that lists filter by.
    pub staleness: Staleness,
    /// Products in one call of the catalog, at most.
    pub batch_products: usize,
    /// How long the first product of a call waits for others.
    pub linger: Duration,
    /// Calls of the catalog at a time, at most; how many it really takes is learnt.
    pub max_calls: u32,
    /// A partition holding more than this is paused.
    pub high_water_bytes: usize,
    /// A paused partition holding less than this goes on.
    pub low_water_bytes: usize,
    /// What all partitions may hold together, and a quarter more where some keep all of it: what is left is what one of
    /// them may hold, if that is less than its mark.
    pub member_bytes: usize,
    /// A partition with more records between the first unsettled one and the last is paused; goes on below half of it.
    pub window_records: usize,
    /// Bytes of merged products kept, all partitions together.
    pub cache_bytes: usize,
    /// Settled records that are known again, all partitions together; some 30 bytes each.
    pub known_records: usize,
    /// Where the catalog lacked this many articles in a row, a partition writes the next ones without looking for them
    /// first. One that is there all the same is a conflict, and read then.
    pub new_in_a_row: usize,
    /// A greater share of refused records halts a partition; 100 never does.
    pub dead_letter_percent: u8,
    /// What a halted partition waits before it tries the next refused record; up to six times as long later.
    pub dead_letter_pause: Duration,
    /// For the jitter of waits.
    pub seed: u64,
}

/// The present, as the machine is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The clock on the wall: for revisions and for what lies in the future. It may jump.
    pub wall: UnixMillis,
    /// Since the machine was made: for waits. It does not.
    pub elapsed: Duration,
}

/// Names a call of the catalog and the publication that follows. Results of a former assignment carry its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// Whose records it is about.
    pub partition: i32,
    /// Of that assignment of the partition.
    pub epoch: u64,
    /// Unique in the machine.
    pub number: u64,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The partition is ours; its records come from now on.
    Assigned {
        /// Which.
        partition: i32,
        /// Greater than that of every earlier assignment of it.
        epoch: u64,
    },
    /// A record was read.
    Record(Arrival),
    /// What a [`Output::Read`] found, in its order; or why it failed.
    ReadResult {
        /// Which call.
        call: CallId,
        /// One for each ASIN.
        result: Result<Vec<Option<Versioned<StoredProduct>>>, String>,
    },
    /// What became of a [`Output::Write`], in its order; or why its outcome is unknown.
    WriteResult {
        /// Which call.
        call: CallId,
        /// One for each write.
        result: Result<Vec<WriteOutcome>, String>,
    },
    /// What became of a [`Output::Publish`].
    PublishResult {
        /// Which call.
        call: CallId,
        /// Why some were not confirmed, and which of the products those are.
        result: Result<(), (Vec<usize>, String)>,
    },
    /// What became of an [`Output::DeadLetter`].
    DeadLetterResult {
        /// Which call.
        call: CallId,
        /// Why some were not confirmed, and which of the letters those are.
        result: Result<(), (Vec<usize>, String)>,
    },
    /// Time passed. Due at [`Machine::wake_at`] at the latest.
    Tick,
    /// The partition will be taken back: what was begun may end, nothing more is begun.
    Revoking {
        /// Which.
        partition: i32,
    },
    /// The partition is no longer ours.
    Revoked {
        /// Which.
        partition: i32,
    },
    /// Every partition will be taken back.
    Shutdown,
}

/// A record that was read, and what it says: found out before the machine is stepped, since it takes longest.
#[derive(Debug, Clone)]
pub struct Arrival {
    record: Arc<Record>,
    fingerprint: Option<Fingerprint>,
    says: Says,
    /// What it tells of its marketplace's price over time: to be written before its product.
    pub history: Option<(Asin, Marketplace, HistoryRecord)>,
}

#[derive(Debug, Clone)]
enum Says {
    /// What a record that is settled has said.
    Nothing,
    Something(Result<Decoded, Refusal>),
}

impl Arrival {
    /// Decodes a record, as of `now`, unless [`Machine::look_at`] knew it.
    #[must_use]
    pub fn decode(record: Record, look: Look, now: UnixMillis) -> Self {
        let (says, history) = if look.is_settled {
            (Says::Nothing, None)
        } else {
            match decode_with_history(&Decodable::of(&record), now) {
                Ok(DecodedWithHistory { decoded, history }) => (Says::Something(Ok(decoded)), history),
                Err(refusal) => (Says::Something(Err(refusal)), None),
            }
        };
        Arrival {
            record: Arc::new(record),
            fingerprint: look.fingerprint,
            says,
            history,
        }
    }
}

/// What is seen of a record without decoding it.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    fingerprint: Option<Fingerprint>,
    /// It needs nothing: it was settled before.
    is_settled: bool,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Output {
    /// Read products in real time; answer with [`Input::ReadResult`].
    Read {
        /// For the answer.
        call: CallId,
        /// No ASIN occurs twice.
        asins: Vec<Asin>,
    },
    /// Write products conditionally; answer with [`Input::WriteResult`].
    Write {
        /// For the answer.
        call: CallId,
        /// No ASIN occurs twice.
        writes: Arc<Vec<Write<StoredProduct>>>,
    },
    /// Publish products and wait for the broker's confirmation; answer with [`Input::PublishResult`].
    Publish {
        /// For the answer.
        call: CallId,
        /// In any order.
        products: Arc<[Publication]>,
        /// Which of them: those that are not confirmed yet.
        which: Vec<usize>,
    },
    /// Publish dead letters in this order and wait for the broker's confirmation; answer with [`Input::DeadLetterResult`].
    DeadLetter {
        /// For the answer.
        call: CallId,
        /// In the order in which they were refused.
        letters: Arc<[DeadLetter]>,
        /// Which of them: those that are not confirmed yet.
        which: Vec<usize>,
    },
    /// The group may go on from here.
    StoreOffset {
        /// In this partition.
        partition: i32,
        /// One more than the offset of the last record of the settled prefix.
        next: NextOffset,
    },
    /// Too much is held: read no more of the partition.
    Pause {
        /// Which.
        partition: i32,
    },
    /// Go on reading it.
    Resume {
        /// Which.
        partition: i32,
    },
    /// Records were settled: to be counted.
    Settled(Settled),
    /// Something keeps records from being settled, or (`None`) does not any more.
    Trouble(Trouble, Option<String>),
}

/// A product to be published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// As it is in the catalog.
    pub product: Arc<StoredProduct>,
    /// The last of the records that made it so: their traces go on.
    pub cause: Arc<Record>,
}

/// A record to be published as a dead letter.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// As it was read.
    pub record: Arc<Record>,
    /// Why.
    pub refusal: Refusal,
}

/// Records that were settled together.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Read from this partition.
    pub partition: i32,
    /// How many.
    pub records: u64,
    /// What was written was observed then.
    pub written: Vec<ObservedAt>,
    /// Those of them that became dead letters.
    pub dead_letters: Vec<(RecordOffset, Refusal)>,
}

/// What can be in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The catalog fails, or puts writes off.
    Catalog,
    /// The event log does not confirm what is published for this partition.
    EventLog(i32),
    /// Too many records of this partition are refused.
    Halted(i32),
}

/// Everything counted since the machine was made, in records unless said otherwise. At every moment
/// `consumed = written + unchanged + stale + dead_letters + given_up + in flight`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Tally {
    pub consumed: u64,
    pub written: u64,
    pub unchanged: u64,
    pub stale: u64,
    pub dead_letters: u64,
    /// Not settled when their partition was taken back.
    pub given_up: u64,
    /// Fields left out of records.
    pub ignored_fields: u64,
    /// Writes that found another writer's.
    pub conflicts: u64,
    /// Products merged without, or after, reading them.
    pub cache_hits: u64,
    pub cache_misses: u64,
    /// Results that came after their partition was taken back.
    pub late_results: u64,
}

/// The machine of one member: all its partitions.
#[derive(Debug)]
pub struct Machine {
    partitions: BTreeMap<i32, Partition>,
    common: Common,
}

/// What partitions share.
#[derive(Debug)]
struct Common {
    settings: Settings,
    now: Moment,
    limit: ConcurrencyLimit,
    gate: Gate,
    random: SmallRng,
    tally: Tally,
    calls: u64,
    /// Partitions that are owned.
    owned: usize,
    /// What they hold together.
    held_bytes: usize,
    outputs: Vec<Output>,
}

/// After a failed call nobody calls the catalog for a while, then one call tries.
#[derive(Debug, Default)]
struct Gate {
    failures: u32,
    opens_at: Duration,
    failed_at: Duration,
    failing_since: Option<Duration>,
    /// What is said of it now.
    reason: Option<String>,
}

impl Machine {
    /// A machine that owns nothing.
    #[must_use]
    pub fn new(settings: Settings, now: Moment) -> Self {
        let common = Common {
            now,
            limit: ConcurrencyLimit::new(settings.max_calls),
            gate: Gate::default(),
            random: SmallRng::seed_from_u64(settings.seed),
            tally: Tally::default(),
            calls: 0,
            owned: 0,
            held_bytes: 0,
            outputs: Vec::new(),
            settings,
        };
        Machine {
            partitions: BTreeMap::new(),
            common,
        }
    }

    /// Takes in what happened and says what is to be done.
    pub fn step(&mut self, now: Moment, input: Input) -> Vec<Output> {
        self.common.now = now;
        let mut begins_calls = true;
        match input {
            Input::Assigned { partition, epoch } => {
                self.revoke(partition);
                let taken = Partition::new(partition, epoch, &self.common.settings);
                self.partitions.insert(partition, taken);
                self.share_out();
            }
            Input::Record(arrival) => match self.partitions.get_mut(&arrival.record.partition) {
                Some(partition) => {
                    partition.take_in(arrival, &mut self.common);
                    // Others may be right behind it.
                    begins_calls = partition.has_full_batch(&self.common);
                }
                None => begins_calls = false,
            },
            Input::ReadResult { call, result } => match self.owned(call.partition, call.epoch) {
                Some((partition, common)) => partition.take_read(call, result, common),
                None => self.common.take_late(true),
            },
            Input::WriteResult { call, result } => match self.owned(call.partition, call.epoch) {
                Some((partition, common)) => partition.take_written(call, result, common),
                None => self.common.take_late(true),
            },
            Input::PublishResult { call, result } => match self.owned(call.partition, call.epoch) {
                Some((partition, common)) => partition.take_published(call, result, common),
                None => self.common.take_late(false),
            },
            Input::DeadLetterResult { call, result } => match self.owned(call.partition, call.epoch) {
                Some((partition, common)) => partition.take_dead_letters(call, result, common),
                None => self.common.take_late(false),
            },
            Input::Tick => {
                for partition in self.partitions.values_mut() {
                    partition.take_tick(&mut self.common);
                }
            }
            Input::Revoking { partition } => {
                if let Some(partition) = self.partitions.get_mut(&partition) {
                    partition.close(&mut self.common);
                }
            }
            Input::Revoked { partition } => self.revoke(partition),
            Input::Shutdown => {
                for partition in self.partitions.values_mut() {
                    partition.close(&mut self.common);
                }
            }
        }
        if begins_calls {
            self.begin_calls();
        }
        std::mem::take(&mut self.common.outputs)
    }

    /// Whether a record that was just read needs decoding.
    #[must_use]
    pub fn look_at(&self, record: &Record) -> Look {
        let fingerprint = Fingerprint::of(record, self.common.settings.seed);
        let is_settled = fingerprint.is_some_and(|fingerprint| {
            let partition = self.partitions.get(&record.partition);
            partition.is_some_and(|partition| partition.has_settled(fingerprint))
        });
        Look { fingerprint, is_settled }
    }

    /// Whether nothing that was begun of a partition is still to come: it may be fenced.
    #[must_use]
    pub fn is_drained(&self, partition: i32) -> bool {
        self.partitions.get(&partition).is_none_or(Partition::is_drained)
    }

    /// Records of a partition that are not settled.
    #[must_use]
    pub fn unsettled(&self, partition: i32) -> usize {
        self.partitions.get(&partition).map_or(0, |partition| partition.tracker().unsettled())
    }

    /// Whether nothing is left of records that are settled: no lane, no call, no letter.
    #[cfg(test)]
    fn is_at_rest(&self) -> bool {
        self.partitions.values().all(Partition::is_at_rest)
    }

    /// When the oldest unsettled record of a partition was made, milliseconds since the Unix epoch.
    #[must_use]
    pub fn oldest_ms(&self, partition: i32) -> Option<i64> {
        self.partitions.get(&partition)?.tracker().oldest_ms()
    }

    /// Bytes that a partition holds.
    #[must_use]
    pub fn bytes(&self, partition: i32) -> usize {
        self.partitions.get(&partition).map_or(0, |partition| partition.tracker().bytes())
    }

    /// When the next [`Input::Tick`] is due, on the clock of [`Moment::elapsed`]; `None` while only results are waited for.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let of_partitions = self.partitions.values().filter_map(|partition| partition.wake_at(&self.common));
        of_partitions.min()
    }

    /// What was counted.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.common.tally
    }

    /// How many calls of the catalog may run at a time, as learnt so far.
    #[must_use]
    pub fn call_limit(&self) -> u32 {
        self.common.limit.calls()
    }

    /// For how long the catalog has been failing.
    #[must_use]
    pub fn failing_for(&self, now: Moment) -> Duration {
        self.common.gate.failing_since.map_or(Duration::ZERO, |since| now.elapsed.saturating_sub(since))
    }

    fn owned(&mut self, partition: i32, epoch: u64) -> Option<(&mut Partition, &mut Common)> {
        let partition = self.partitions.get_mut(&partition).filter(|partition| partition.epoch() == epoch)?;
        Some((partition, &mut self.common))
    }

    fn revoke(&mut self, partition: i32) {
        if let Some(partition) = self.partitions.remove(&partition) {
            partition.end(&mut self.common);
            self.share_out();
        }
        // What nobody waits for is nobody's trouble.
        if self.partitions.is_empty() {
            self.common.gate.failing_since = None;
            self.common.say_of_catalog(None);
        }
    }

    /// What a member may hold is shared among its partitions.
    fn share_out(&mut self) {
        self.common.owned = self.partitions.len();
        let owned = self.common.owned.max(1);
        let (cache_bytes, known_records) = (self.common.settings.cache_bytes / owned, self.common.settings.known_records / owned);
        for partition in self.partitions.values_mut() {
            partition.resize(cache_bytes, known_records);
        }
    }

    /// Begins calls while the catalog may be called: of those partitions first that have waited longest.
    fn begin_calls(&mut self) {
        while self.common.may_call() {
            let due = self
                .partitions
                .values_mut()
                .filter_map(|partition| Some((partition.due_since(&self.common)?, partition)));
            let Some((_, partition)) = due.min_by_key(|(since, _)| *since) else { break };
            partition.begin_call(&mut self.common);
        }
    }
}

impl Common {
    fn put(&mut self, output: Output) {
        self.outputs.push(output);
    }

    /// A partition holding more than this is paused: as much as is left to all of them. So a burst of one finds room
    /// while the others hold little, and where n hold much each has one part in n + 1 (the dynamic thresholds of switches
    /// that share a buffer among their ports: Choudhury and Hahne, 1998). A quarter of an even share is always left: of
    /// those that are halted, each keeps what it holds.
    fn high_water_bytes(&self) -> usize {
        let left = self.settings.member_bytes.saturating_sub(self.held_bytes);
        let least = self.settings.member_bytes / 4 / self.owned.max(1);
        self.settings.high_water_bytes.min(left.max(least))
    }

    /// A paused partition holding less than this goes on.
    fn low_water_bytes(&self) -> usize {
        self.settings.low_water_bytes.min(self.high_water_bytes() / 2)
    }

    /// What each partition may hold if all of them do.
    fn share_bytes(&self) -> usize {
        self.settings.high_water_bytes.min(self.settings.member_bytes / (self.owned + 1))
    }

    /// Whether the catalog may be called now.
    fn may_call(&self) -> bool {
        if self.gate.failures > 0 {
            return self.limit.running() == 0 && self.now.elapsed >= self.gate.opens_at;
        }
        self.limit.has_room()
    }

    /// When it may be called, if not only an answer is waited for.
    fn may_call_at(&self) -> Option<Duration> {
        match self.gate.failures {
            0 => self.limit.has_room().then_some(Duration::ZERO),
            _ => (self.limit.running() == 0).then_some(self.gate.opens_at),
        }
    }

    fn next_call(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    /// A call of the catalog that began at `began` did not succeed.
    fn catalog_failed(&mut self, began: Duration, reason: String) {
        self.limit.end(began, self.now.elapsed, Answer::Overloaded);
        self.gate.failing_since.get_or_insert(self.now.elapsed);
        // Of calls that were on their way together, one failure counts.
        if self.gate.failures == 0 || began >= self.gate.failed_at {
            self.gate.failures = self.gate.failures.saturating_add(1);
            self.gate.failed_at = self.now.elapsed;
            self.gate.opens_at = self.now.elapsed + Delays::OUTSIDE_SYSTEMS.after(self.gate.failures, &mut self.random);
        }
        self.say_of_catalog(Some(reason));
    }

    /// A call of the catalog that began at `began` was answered; where it put writes off, with the reason and whether
    /// that is worth a word.
    fn catalog_answered(&mut self, began: Duration, put_off: Option<(String, bool)>) {
        let answer = if put_off.is_some() { Answer::Overloaded } else { Answer::Taken };
        self.limit.end(began, self.now.elapsed, answer);
        self.gate.failures = 0;
        if put_off.is_none() {
            self.gate.failing_since = None;
        }
        self.say_of_catalog(put_off.and_then(|(reason, is_worth_a_word)| is_worth_a_word.then_some(reason)));
    }

    fn say_of_catalog(&mut self, reason: Option<String>) {
        if self.gate.reason != reason {
            self.gate.reason.clone_from(&reason);
            self.put(Output::Trouble(Trouble::Catalog, reason));
        }
    }

    /// A result for nobody; one of the catalog frees its place.
    fn take_late(&mut self, of_catalog: bool) {
        self.tally.late_results += 1;
        if of_catalog {
            self.limit.abandon();
        }
    }
}
