//! Dead letters: refused records, until the broker has confirmed that they are kept.

use std::sync::Arc;
use std::time::Duration;

use shared::adapters::kafka::RecordOffset;

use super::Partition;
use crate::decode::{Input, Refusal, decode};
use crate::fold::Update;
use crate::machine::delay::Delays;
use crate::machine::refusals::Verdict;
use crate::machine::{CallId, Common, DeadLetter, Output, Settled};

/// Dead letters on their way at a time. They leave in the order in which they were refused.
const LETTERS_AT_ONCE: usize = 200;

/// Dead letters on their way, or soon again.
#[derive(Debug)]
pub(super) struct Sending {
    number: u64,
    letters: Arc<[DeadLetter]>,
    which: Vec<usize>,
    failures: u32,
    /// When they are published again; none while they are on their way.
    pub(super) again_at: Option<Duration>,
}

impl Partition {
    pub(super) fn refuse(&mut self, offset: RecordOffset, refusal: Refusal, common: &mut Common) {
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

    /// Sends what was put off and is due.
    pub(super) fn send_letters_again(&mut self, common: &mut Common) {
        let (partition, epoch) = (self.number, self.epoch);
        if let Some(sending) = &mut self.sending
            && sending.again_at.take_if(|at| *at <= common.now.elapsed).is_some()
        {
            common.put(Output::DeadLetter {
                call: CallId {
                    partition,
                    epoch,
                    number: sending.number,
                },
                letters: Arc::clone(&sending.letters),
                which: sending.which.clone(),
            });
        }
    }

    pub(in crate::machine) fn take_dead_letters(&mut self, id: CallId, result: Result<(), (Vec<usize>, String)>, common: &mut Common) {
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
    pub(super) fn try_again(&mut self, offset: RecordOffset, common: &mut Common) {
        let Some(record) = self.open.record(offset) else { return };
        match decode(&Input::of(record), common.now.wall) {
            Ok(decoded) => {
                let asin = decoded.update.asin;
                self.lane(asin).add_alone([Update {
                    offset,
                    fingerprint: None,
                    product: decoded.update,
                }]);
                self.make_ready(asin, common);
            }
            Err(refusal) => self.refuse(offset, refusal, common),
        }
    }
}
