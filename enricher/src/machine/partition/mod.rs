//! One partition of the machine: from a record that is taken in to an offset that is let go.
//!
//! A record is *open* from being taken in to being settled. Its update waits in the lane of its ASIN until a call takes
//! it. A call reads what the cache lacks, merges, writes what changed, publishes what was written or met again, and only
//! then are its records settled ([`calls`]). A refused record is settled once its dead letter is kept ([`letters`]).

mod calls;
mod letters;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use shared::adapters::kafka::RecordOffset;
use shared::domain::{Asin, UnixMillis};

use self::calls::Call;
use self::letters::Sending;
use super::lane::Lane;
use super::refusals::Refusals;
use super::tracker::Tracker;
use super::{Arrival, CallId, Common, Output, Says, Settings, Trouble};
use crate::cache::{MergeCache, product_bytes};
use crate::decode::Refusal;
use crate::fold::Update;
use crate::settled::{Fingerprint, SettledRecords};

/// One partition of this member.
#[derive(Debug)]
pub(super) struct Partition {
    number: i32,
    epoch: u64,
    /// It will be taken back: nothing more is begun.
    closed: bool,
    paused: bool,
    open: Tracker,
    /// What of it is in [`Common::held_bytes`].
    told_bytes: usize,
    lanes: HashMap<Asin, Lane>,
    /// Lanes that have something to do and are not busy, in the order in which they became so.
    ready: VecDeque<Asin>,
    /// Since when there have been any.
    ready_since: Duration,
    /// How old the last record was when it was taken in.
    behind: Duration,
    /// Lanes whose writes were put off, by when they are ready again.
    delayed: BTreeSet<(Duration, Asin)>,
    cache: MergeCache,
    settled: SettledRecords,
    /// How many articles in a row the catalog was found to lack ([`Settings::new_in_a_row`]).
    new_in_a_row: usize,
    calls: BTreeMap<u64, Call>,
    refusals: Refusals,
    /// Refused records that wait for their turn.
    letters: VecDeque<(RecordOffset, Refusal)>,
    /// Dead letters that the broker has not confirmed.
    sending: Option<Sending>,
    log_in_trouble: bool,
    said_halted: Option<String>,
}

impl Partition {
    pub(super) fn new(number: i32, epoch: u64, settings: &Settings) -> Self {
        Partition {
            number,
            epoch,
            closed: false,
            paused: false,
            open: Tracker::default(),
            told_bytes: 0,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            ready_since: Duration::ZERO,
            behind: Duration::ZERO,
            delayed: BTreeSet::new(),
            cache: MergeCache::new(settings.cache_bytes),
            settled: SettledRecords::new(settings.known_records),
            new_in_a_row: 0,
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

    pub(super) fn resize(&mut self, cache_bytes: usize, known_records: usize) {
        self.cache.resize(cache_bytes);
        self.settled.resize(known_records);
    }

    /// Whether all that a record says is in the catalog and was published since.
    pub(super) fn has_settled(&self, fingerprint: Fingerprint) -> bool {
        self.settled.contains(fingerprint)
    }

    /// Takes in a record; its update waits in its lane.
    pub(super) fn take_in(&mut self, arrival: Arrival, common: &mut Common) {
        if self.closed {
            return;
        }
        let Arrival { record, fingerprint, says, .. } = arrival;
        let of_update = match &says {
            Says::Something(Ok(decoded)) => product_bytes(&decoded.update),
            Says::Something(Err(_)) | Says::Nothing => 0,
        };
        let bytes = record.size() + of_update;
        let offset = record.offset;
        let age = common.now.wall.millis_since(UnixMillis(record.timestamp_ms));
        self.behind = Duration::from_millis(u64::try_from(age).unwrap_or(0));
        if !self.open.begin(record, bytes) {
            return;
        }
        common.tally.consumed += 1;
        match says {
            Says::Nothing => self.settle_again(offset, common),
            Says::Something(Ok(decoded)) => {
                common.tally.ignored_fields += u64::from(decoded.ignored_fields);
                let asin = decoded.update.asin;
                self.lane(asin).add(Update {
                    offset,
                    fingerprint,
                    product: decoded.update,
                });
                self.make_ready(asin, common);
            }
            Says::Something(Err(refusal)) => self.refuse(offset, refusal, common),
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

    fn call(&self, number: u64) -> CallId {
        CallId {
            partition: self.number,
            epoch: self.epoch,
            number,
        }
    }

    fn let_go(&mut self, offset: RecordOffset, common: &mut Common) {
        if let Some(next) = self.open.settle(offset) {
            common.put(Output::StoreOffset { partition: self.number, next });
        }
    }

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
        self.publish_again(common);
        self.send_letters_again(common);
    }

    pub(super) fn wake_at(&self, common: &Common) -> Option<Duration> {
        if self.closed {
            return None;
        }
        // A full batch waits for no more.
        let lingers_until = if self.has_full_batch(common) {
            Duration::ZERO
        } else {
            self.lingers_until(common)
        };
        let begins = (!self.ready.is_empty()).then(|| Some(common.may_call_at()?.max(lingers_until))).flatten();
        let delayed = self.delayed.first().map(|&(at, _)| at);
        let publishing = self.calls.values().filter_map(|call| match call {
            Call::Publishing { again_at, .. } => *again_at,
            Call::Reading { .. } | Call::Writing { .. } => None,
        });
        let letters = self.sending.as_ref().and_then(|sending| sending.again_at);
        let single = [begins, delayed, self.refusals.wake_at(), letters].into_iter().flatten();
        single.chain(publishing).min()
    }

    #[cfg(test)]
    pub(super) fn is_at_rest(&self) -> bool {
        let nothing_waits = self.lanes.is_empty() && self.ready.is_empty() && self.delayed.is_empty() && self.letters.is_empty();
        nothing_waits && self.calls.is_empty() && self.sending.is_none() && !self.paused && self.open.unsettled() == 0
    }

    #[cfg(test)]
    pub(super) fn cache(&self) -> &MergeCache {
        &self.cache
    }

    /// Says what it holds now.
    fn tell_bytes(&mut self, bytes: usize, common: &mut Common) {
        common.held_bytes = common.held_bytes - self.told_bytes + bytes;
        self.told_bytes = bytes;
    }

    fn pause_or_resume(&mut self, common: &mut Common) {
        self.tell_bytes(self.open.bytes(), common);
        let settings = &common.settings;
        let (bytes, records) = if self.paused {
            (common.low_water_bytes(), settings.window_records / 2)
        } else {
            (common.high_water_bytes(), settings.window_records)
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
        self.tell_bytes(0, common);
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
