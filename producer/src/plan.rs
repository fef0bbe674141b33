//! [`Plan`]: what of the watchlist is asked next with the tokens at hand. Pure.
//!
//! - Round by round: all marketplaces of as many articles as the balance pays for, longest not asked first, then the next.
//! - An article is due again `refresh` after its round began. Beyond that only tokens bound how often it is asked.
//! - A marketplace that left an article out of a 200 answer is asked for it ever more rarely, down to once a day.
//! - A request that fails changes nothing here: the same comes next.

use std::collections::{BTreeMap, BTreeSet};

use shared::domain::{Asin, Marketplace, UnixMillis};
use shared::wire::state::WatchedAsin;

use crate::keepa::request::{MAX_ASINS, MAX_ASINS_WITH_HISTORY, PRODUCT_COST};
use crate::round::{Batch, Round, Verdict};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// History is asked for again after this long.
const HISTORY_EVERY_MS: i64 = 30 * DAY_MS;
/// While the key or the parameters are at fault, one ASIN is asked this often.
pub const PROBE_EVERY_MS: u64 = 60_000;

/// What the watchlist wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// This request.
    Ask(Batch),
    /// Nothing before the balance is this high: one article in all its marketplaces.
    Save(i64),
    /// Nothing before this instant.
    Later(UnixMillis),
    /// Nothing at all: nobody is watched.
    Nothing,
}

/// What an answer said about the articles of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Left out of the answer, or said to be no article.
    pub missed: BTreeSet<Asin>,
}

#[derive(Debug, Clone)]
struct Watched {
    record: WatchedAsin,
    /// Order of articles that were never asked.
    rank: u64,
    /// A job asks for it at present; its first look is the job's.
    reserved: bool,
    held: Held,
}

/// Where an article stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Waiting(UnixMillis),
    Due,
    InRound,
}

/// The watchlist and its order.
#[derive(Debug)]
pub struct Plan {
    markets: Vec<Marketplace>,
    refresh_ms: i64,
    watched: BTreeMap<Asin, Watched>,
    waiting: BTreeSet<(UnixMillis, Asin)>,
    due: BTreeSet<(Option<UnixMillis>, u64, Asin)>,
    round: Round,
    round_began: UnixMillis,
    /// ASINs that Keepa refused for themselves: asked alone, so that they spoil no batch.
    refused: BTreeSet<Asin>,
    /// A product request was accepted since the last refusal: the key and the parameters are right.
    trusted: bool,
    last_probe: Option<Asin>,
    unsaved: BTreeSet<Asin>,
    next_rank: u64,
}

impl Plan {
    /// Nobody watched yet. `refresh_ms` is at least 1.
    #[must_use]
    pub fn new(markets: Vec<Marketplace>, refresh_ms: i64) -> Self {
        Plan {
            markets,
            refresh_ms: refresh_ms.max(1),
            watched: BTreeMap::new(),
            waiting: BTreeSet::new(),
            due: BTreeSet::new(),
            round: Round::default(),
            round_began: UnixMillis(0),
            refused: BTreeSet::new(),
            trusted: false,
            last_probe: None,
            unsaved: BTreeSet::new(),
            next_rank: 0,
        }
    }

    /// How many articles are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.watched.len()
    }

    /// Whether nobody is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// What is known about an article.
    #[must_use]
    pub fn record(&self, asin: Asin) -> Option<&WatchedAsin> {
        self.watched.get(&asin).map(|watched| &watched.record)
    }

    /// Watches an article as stored, or a new one, which is to be stored. One that is watched already stays as it is.
    pub fn watch(&mut self, asin: Asin, stored: Option<WatchedAsin>, added_by: &str, now: UnixMillis) {
        if self.watched.contains_key(&asin) {
            return;
        }
        if stored.is_none() {
            self.unsaved.insert(asin);
        }
        let record = stored.unwrap_or_else(|| WatchedAsin {
            added_by: added_by.to_owned(),
            ..WatchedAsin::default()
        });
        let record = not_in_the_future(record, now);
        let rank = self.next_rank;
        self.next_rank += 1;
        self.watched.insert(
            asin,
            Watched {
                record,
                rank,
                reserved: false,
                held: Held::Due,
            },
        );
        self.file(asin);
    }

    /// Takes what another writer stored: of each fact the newer.
    pub fn absorb(&mut self, asin: Asin, stored: &WatchedAsin) {
        self.change(asin, |record| *record = merged(record, stored));
    }

    /// Changes a record and files the article anew.
    fn change(&mut self, asin: Asin, change: impl FnOnce(&mut WatchedAsin)) {
        let Some(watched) = self.watched.get(&asin) else { return };
        let in_round = watched.held == Held::InRound;
        if !in_round {
            self.unfile(asin);
        }
        if let Some(watched) = self.watched.get_mut(&asin) {
            change(&mut watched.record);
        }
        if !in_round {
            self.file(asin);
        }
    }

    /// The records changed since they were last taken; [`Plan::not_saved`] gives them back.
    pub fn take_unsaved(&mut self) -> Vec<(Asin, WatchedAsin)> {
        let unsaved = std::mem::take(&mut self.unsaved);
        unsaved.into_iter().filter_map(|asin| Some((asin, self.record(asin)?.clone()))).collect()
    }

    /// These records could not be stored.
    pub fn not_saved(&mut self, asins: impl IntoIterator<Item = Asin>) {
        self.unsaved.extend(asins);
    }

    /// Whether anything waits to be stored.
    #[must_use]
    pub fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    /// A job is about to ask for these articles: those that are new are watched, and left to it until [`Plan::release`].
    pub fn reserve(&mut self, asins: &[Asin], job: &str, now: UnixMillis) {
        for &asin in asins {
            let is_new = !self.watched.contains_key(&asin);
            self.watch(asin, None, job, now);
            if is_new {
                // Stored with its first answer: nothing is known about it yet.
                self.unsaved.remove(&asin);
            }
            if let Some(watched) = self.watched.get_mut(&asin)
                && watched.record.last_asked_at.is_none()
                && watched.record.added_by == job
                && watched.held != Held::InRound
            {
                watched.reserved = true;
                self.unfile(asin);
            }
        }
    }

    /// The job is done with this article, in whatever way.
    pub fn release(&mut self, asin: Asin) {
        let Some(watched) = self.watched.get_mut(&asin).filter(|watched| watched.reserved) else {
            return;
        };
        watched.reserved = false;
        self.unsaved.insert(asin);
        self.file(asin);
    }

    /// Whether anything is due, or a round is under way.
    pub fn has_due(&mut self, now: UnixMillis) -> bool {
        self.promote(now);
        !self.round.is_done() || !self.due.is_empty()
    }

    /// What to ask next with `tokens` at hand. Asking again without an answer gives the same, but for the tokens.
    pub fn next(&mut self, tokens: i64, now: UnixMillis) -> Turn {
        self.promote(now);
        if self.round.is_done()
            && let Some(needed) = self.begin_round(tokens, now)
        {
            return Turn::Save(needed);
        }
        let most = usize::try_from(tokens / PRODUCT_COST).unwrap_or(0);
        match self
            .round
            .next(most, |asin, market| self.wants_history(asin, market, now), |asin| self.refused.contains(&asin))
        {
            Some(batch) => Turn::Ask(batch),
            None => self.waiting.first().map_or(Turn::Nothing, |(due, _)| Turn::Later(*due)),
        }
    }

    /// The batch of the watchlist's round was answered and its products are safe. Returns the ASINs proven to be refused by it.
    pub fn answered(&mut self, batch: &Batch, seen: &Seen) -> Vec<Asin> {
        let culprits = self.round.accepted(batch);
        self.note_answer(batch, seen, self.round_began);
        self.note_refused(&culprits, batch.market, self.round_began);
        self.complete(batch.asins.iter().chain(&culprits).copied());
        culprits
    }

    /// The batch of the watchlist's round was refused.
    pub fn refused(&mut self, batch: &Batch) -> Verdict {
        let verdict = self.round.refused(batch, self.blames(batch));
        if let Verdict::Culprits(culprits) = &verdict {
            self.note_refused(culprits, batch.market, self.round_began);
            self.complete(culprits.iter().copied());
        }
        verdict
    }

    /// Whether the refusal of this batch, if it is a single ASIN, speaks against the ASIN.
    #[must_use]
    pub fn blames(&self, batch: &Batch) -> bool {
        self.trusted || batch.asins.iter().all(|asin| self.refused.contains(asin))
    }

    /// Notes an answered product request of whatever origin: articles that are watched were asked at `began`.
    pub fn note_answer(&mut self, batch: &Batch, seen: &Seen, began: UnixMillis) {
        self.trusted = true;
        for &asin in &batch.asins {
            let Some(watched) = self.watched.get_mut(&asin) else { continue };
            let record = &mut watched.record;
            record.asked_at.insert(batch.market, began);
            if seen.missed.contains(&asin) {
                let misses = record.misses.entry(batch.market).or_insert(0);
                *misses = misses.saturating_add(1);
            } else {
                record.misses.remove(&batch.market);
                if batch.history {
                    record.history_asked_at.insert(batch.market, began);
                }
            }
            self.refused.remove(&asin);
            self.unsaved.insert(asin);
        }
    }

    /// Notes ASINs that Keepa refuses for themselves: they are asked alone from now on, and ever more rarely.
    pub fn note_refused(&mut self, asins: &[Asin], market: Marketplace, began: UnixMillis) {
        for &asin in asins {
            // The next refusal of a single ASIN needs its own proof that the key is right.
            self.trusted = false;
            self.refused.insert(asin);
            if let Some(watched) = self.watched.get_mut(&asin) {
                watched.record.asked_at.insert(market, began);
                let misses = watched.record.misses.entry(market).or_insert(0);
                *misses = misses.saturating_add(1);
                self.unsaved.insert(asin);
            }
        }
    }

    /// A job's batch was answered: nobody else needs to ask the same.
    pub fn job_answered(&mut self, batch: &Batch, seen: &Seen, began: UnixMillis) {
        self.note_answer(batch, seen, began);
        self.round.remove(batch.market, &batch.asins);
        self.complete(batch.asins.iter().copied());
    }

    /// A job asked for all marketplaces of these articles: they are due again `refresh` after `began`.
    pub fn note_complete(&mut self, asin: Asin, began: UnixMillis) {
        let Some(watched) = self.watched.get_mut(&asin) else { return };
        watched.reserved = false;
        self.unsaved.insert(asin);
        self.change(asin, |record| record.last_asked_at = record.last_asked_at.max(Some(began)));
    }

    /// One ASIN to try whether the key is accepted again: another one each time; of the watchlist, else of `others`.
    pub fn probe(&mut self, others: &[Asin]) -> Option<Batch> {
        let market = *self.markets.first()?;
        let after = |asin: &Asin| self.last_probe.is_none_or(|last| *asin > last);
        let fit = |asin: &&Asin| !self.refused.contains(asin);
        let next = self.watched.keys().filter(fit).find(|asin| after(asin));
        let asin = next
            .or_else(|| self.watched.keys().find(fit))
            .or_else(|| others.iter().find(|asin| after(asin)))
            .or_else(|| others.first())
            .or_else(|| self.watched.keys().next())
            .copied()?;
        self.last_probe = Some(asin);
        Some(Batch {
            market,
            asins: vec![asin],
            history: false,
        })
    }

    /// The probe was answered: the key is right.
    pub fn probe_answered(&mut self, batch: &Batch, seen: &Seen, now: UnixMillis) {
        self.note_answer(batch, seen, self.round_began.max(now));
        self.round.remove(batch.market, &batch.asins);
        self.round.key_is_proven();
        self.complete(batch.asins.iter().copied());
    }

    /// Whether history is to be asked for: on the first look and every 30 days.
    #[must_use]
    pub fn wants_history(&self, asin: Asin, market: Marketplace, now: UnixMillis) -> bool {
        let asked = self.watched.get(&asin).and_then(|watched| watched.record.history_asked_at.get(&market));
        asked.is_none_or(|asked| now.millis_since(*asked) >= HISTORY_EVERY_MS)
    }

    /// Whether Keepa refused the ASIN for itself.
    #[must_use]
    pub fn is_refused(&self, asin: Asin) -> bool {
        self.refused.contains(&asin)
    }

    /// Fills the round. Returns the tokens that one article needs where there are fewer.
    fn begin_round(&mut self, tokens: i64, now: UnixMillis) -> Option<i64> {
        let mut asks: BTreeMap<Marketplace, Vec<Asin>> = BTreeMap::new();
        let mut taken = Vec::new();
        let mut idle = Vec::new();
        let mut cost = 0;
        let mut limit = MAX_ASINS;
        let mut short_of = None;
        for &(_, _, asin) in &self.due {
            let markets = self.markets_to_ask(asin, now);
            if markets.is_empty() {
                idle.push(asin);
                continue;
            }
            if markets.iter().any(|market| self.wants_history(asin, *market, now)) {
                limit = MAX_ASINS_WITH_HISTORY;
            }
            cost += PRODUCT_COST * i64::try_from(markets.len()).unwrap_or(i64::MAX / PRODUCT_COST);
            if cost > tokens || taken.len() >= limit {
                short_of = taken.is_empty().then_some(cost);
                break;
            }
            for market in markets {
                asks.entry(market).or_default().push(asin);
            }
            taken.push(asin);
        }
        for asin in idle {
            self.unfile(asin);
            if self.close_interrupted(asin) {
                self.file(asin);
            } else {
                // All its marketplaces back off: it waits for the first of them.
                self.file_at(asin, self.next_after_misses(asin).max(now.plus_millis(1)));
            }
        }
        for asin in taken {
            self.unfile(asin);
            if let Some(watched) = self.watched.get_mut(&asin) {
                watched.held = Held::InRound;
            }
        }
        self.round = Round::new(self.markets.iter().filter_map(|market| Some((*market, asks.remove(market)?))));
        self.round_began = now;
        short_of
    }

    /// Articles of the round that are asked everywhere have been asked as of its beginning.
    fn complete(&mut self, asins: impl Iterator<Item = Asin>) {
        for asin in asins {
            if self.round.contains(asin) {
                continue;
            }
            let Some(watched) = self.watched.get_mut(&asin).filter(|watched| watched.held == Held::InRound) else {
                continue;
            };
            watched.record.last_asked_at = watched.record.last_asked_at.max(Some(self.round_began));
            self.unsaved.insert(asin);
            self.file(asin);
        }
    }

    /// All marketplaces but those that a round was through with when it was interrupted, and those that back off.
    fn markets_to_ask(&self, asin: Asin, now: UnixMillis) -> Vec<Marketplace> {
        let Some(watched) = self.watched.get(&asin) else { return Vec::new() };
        let record = &watched.record;
        let to_ask = |market: &Marketplace| {
            let Some(&asked_at) = record.asked_at.get(market) else { return true };
            let misses = record.misses.get(market).copied().unwrap_or(0);
            Some(asked_at) <= record.last_asked_at && now >= asked_at.plus_millis(self.pause_after(misses))
        };
        self.markets.iter().copied().filter(to_ask).collect()
    }

    /// How long a marketplace is left alone after so many misses in a row.
    fn pause_after(&self, misses: u32) -> i64 {
        if misses == 0 {
            0
        } else {
            self.refresh_ms.saturating_mul(1_i64 << misses.min(40)).min(DAY_MS.max(self.refresh_ms))
        }
    }

    fn next_after_misses(&self, asin: Asin) -> UnixMillis {
        let Some(watched) = self.watched.get(&asin) else { return UnixMillis(0) };
        let record = &watched.record;
        let next = |market: &Marketplace| {
            let asked_at = record.asked_at.get(market).copied().unwrap_or_default();
            asked_at.plus_millis(self.pause_after(record.misses.get(market).copied().unwrap_or(0)))
        };
        self.markets.iter().map(next).min().unwrap_or_default()
    }

    /// An article that nothing is left to ask of since a round that was interrupted: the round is complete for it.
    fn close_interrupted(&mut self, asin: Asin) -> bool {
        let Some(watched) = self.watched.get_mut(&asin) else { return false };
        let record = &mut watched.record;
        let since = record
            .asked_at
            .values()
            .copied()
            .filter(|asked_at| Some(*asked_at) > record.last_asked_at)
            .min();
        let Some(asked_at) = since else { return false };
        record.last_asked_at = Some(asked_at);
        self.unsaved.insert(asin);
        true
    }

    fn promote(&mut self, now: UnixMillis) {
        while let Some(&(due, asin)) = self.waiting.first().filter(|(due, _)| *due <= now) {
            self.waiting.remove(&(due, asin));
            if let Some(watched) = self.watched.get_mut(&asin) {
                watched.held = Held::Due;
                self.due.insert((watched.record.last_asked_at, watched.rank, asin));
            }
        }
    }

    /// Puts an article where it belongs by its record.
    fn file(&mut self, asin: Asin) {
        let Some(watched) = self.watched.get_mut(&asin).filter(|watched| !watched.reserved) else {
            return;
        };
        match watched.record.last_asked_at {
            None => {
                watched.held = Held::Due;
                self.due.insert((None, watched.rank, asin));
            }
            Some(asked) => {
                self.file_at(asin, asked.plus_millis(self.refresh_ms));
            }
        }
    }

    fn file_at(&mut self, asin: Asin, due: UnixMillis) {
        if let Some(watched) = self.watched.get_mut(&asin) {
            watched.held = Held::Waiting(due);
            self.waiting.insert((due, asin));
        }
    }

    fn unfile(&mut self, asin: Asin) {
        let Some(watched) = self.watched.get(&asin) else { return };
        match watched.held {
            Held::Waiting(due) => {
                self.waiting.remove(&(due, asin));
            }
            Held::Due => {
                self.due.remove(&(watched.record.last_asked_at, watched.rank, asin));
            }
            Held::InRound => {}
        }
    }
}

/// A clock that ran ahead once must not keep an article from being asked.
fn not_in_the_future(mut record: WatchedAsin, now: UnixMillis) -> WatchedAsin {
    let clamp = |instant: &mut UnixMillis| *instant = (*instant).min(now);
    record.last_asked_at.iter_mut().for_each(clamp);
    record.asked_at.values_mut().for_each(clamp);
    record.history_asked_at.values_mut().for_each(clamp);
    record
}

/// Of each fact the newer; misses count where the marketplace was asked last.
#[must_use]
pub fn merged(ours: &WatchedAsin, theirs: &WatchedAsin) -> WatchedAsin {
    let mut merged = theirs.clone();
    merged.last_asked_at = ours.last_asked_at.max(theirs.last_asked_at);
    for (&market, &asked_at) in &ours.asked_at {
        if theirs.asked_at.get(&market).is_none_or(|theirs| *theirs <= asked_at) {
            merged.asked_at.insert(market, asked_at);
            match ours.misses.get(&market) {
                Some(&misses) => merged.misses.insert(market, misses),
                None => merged.misses.remove(&market),
            };
        }
    }
    for (&market, &asked_at) in &ours.history_asked_at {
        let newest = merged.history_asked_at.entry(market).or_insert(asked_at);
        *newest = (*newest).max(asked_at);
    }
    merged
}

/// How jobs and the watchlist share the tokens: while both have work, jobs get at most half.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Tokens that the watchlist spent more than the jobs, since both have work.
    lead: i64,
}

impl Share {
    /// Whether the next request is a job's.
    pub fn is_jobs_turn(&mut self, watchlist_has_work: bool, jobs_have_work: bool) -> bool {
        if !(watchlist_has_work && jobs_have_work) {
            self.lead = 0;
            return jobs_have_work;
        }
        self.lead >= 0
    }

    /// Counts what a request may cost, while both have work.
    pub fn spent(&mut self, by_job: bool, tokens: i64) {
        self.lead = if by_job {
            self.lead.saturating_sub(tokens)
        } else {
            self.lead.saturating_add(tokens)
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::domain::Marketplace::{DE, ES, FR, IT, UK};

    use super::*;

    const START: UnixMillis = UnixMillis(1_768_132_800_000);
    const RICH: i64 = 1_000_000;

    fn asin(number: usize) -> Asin {
        format!("B{number:09}").parse().unwrap()
    }

    fn plan_of(count: usize) -> Plan {
        let mut plan = Plan::new(vec![DE, FR, IT, ES, UK], 60_000);
        for number in 0..count {
            plan.watch(asin(number), None, "watchlist", START);
        }
        plan
    }

    fn asked(plan: &mut Plan, tokens: i64, now: UnixMillis) -> Batch {
        match plan.next(tokens, now) {
            Turn::Ask(batch) => batch,
            other => panic!("{other:?}"),
        }
    }

    /// Answers everything until nothing is due; returns the requests.
    fn answer_all(plan: &mut Plan, now: UnixMillis) -> Vec<Batch> {
        let mut batches = Vec::new();
        while let Turn::Ask(batch) = plan.next(RICH, now) {
            plan.answered(&batch, &Seen::default());
            batches.push(batch);
            assert!(batches.len() < 10_000);
        }
        batches
    }

    #[test]
    fn all_markets_of_a_group_are_asked_before_the_next_group() {
        let mut plan = plan_of(30);
        let batches = answer_all(&mut plan, START);
        let seen: Vec<(Marketplace, usize, bool)> = batches.iter().map(|batch| (batch.market, batch.asins.len(), batch.history)).collect();
        let group = |size| [DE, FR, IT, ES, UK].map(|market| (market, size, true));
        assert_eq!(seen, [group(20), group(10)].concat(), "a first look brings history, twenty at a time");
        let again = answer_all(&mut plan, START.plus_millis(60_000));
        let seen: Vec<(Marketplace, usize, bool)> = again.iter().map(|batch| (batch.market, batch.asins.len(), batch.history)).collect();
        assert_eq!(seen, [DE, FR, IT, ES, UK].map(|market| (market, 30, false)));
    }

    #[test]
    fn a_group_is_as_large_as_the_balance_pays_for_in_all_markets() {
        let mut plan = plan_of(30);
        assert_eq!(asked(&mut plan, 47, START).asins.len(), 3);
        let mut plan = plan_of(30);
        assert_eq!(plan.next(14, START), Turn::Save(15));
        assert_eq!(asked(&mut plan, 15, START).asins, [asin(0)]);
        // The tokens went elsewhere meanwhile: the same request, made smaller where possible.
        assert_eq!(asked(&mut plan, 0, START).asins, [asin(0)]);
    }

    #[test]
    fn articles_are_due_again_after_the_refresh_time_longest_not_asked_first() {
        let mut plan = plan_of(2);
        answer_all(&mut plan, START);
        assert_eq!(plan.next(RICH, START.plus_millis(59_999)), Turn::Later(START.plus_millis(60_000)));
        plan.watch(asin(7), None, "watchlist", START.plus_millis(10));
        plan.watch(
            asin(8),
            Some(WatchedAsin {
                last_asked_at: Some(UnixMillis(5)),
                ..WatchedAsin::default()
            }),
            "",
            START,
        );
        let now = START.plus_millis(60_000);
        let mut order = Vec::new();
        while let Turn::Ask(batch) = plan.next(15, now) {
            plan.answered(&batch, &Seen::default());
            order.extend(batch.asins);
        }
        order.dedup();
        assert_eq!(order, [asin(7), asin(8), asin(0), asin(1)], "never asked, then longest ago");
        assert_eq!(Plan::new(vec![DE], 1).next(RICH, START), Turn::Nothing);
    }

    #[test]
    fn the_order_survives_a_restart_in_the_middle_of_a_round() {
        let mut plan = plan_of(1);
        for expected in [DE, FR] {
            let batch = asked(&mut plan, RICH, START);
            assert_eq!(batch.market, expected);
            plan.answered(&batch, &Seen::default());
        }
        let stored = plan.take_unsaved();
        let mut restarted = Plan::new(vec![DE, FR, IT, ES, UK], 60_000);
        for (asin, record) in stored {
            restarted.watch(asin, Some(record), "", START.plus_millis(5_000));
        }
        let batches = answer_all(&mut restarted, START.plus_millis(5_000));
        assert_eq!(
            batches.iter().map(|batch| batch.market).collect::<Vec<_>>(),
            [IT, ES, UK],
            "what was answered is not asked again"
        );
        assert_eq!(restarted.next(RICH, START.plus_millis(5_001)), Turn::Later(START.plus_millis(65_000)));
    }

    #[test]
    fn a_restart_after_the_last_market_asks_nothing_again() {
        let record = WatchedAsin {
            asked_at: [DE, FR].into_iter().map(|market| (market, START)).collect(),
            ..WatchedAsin::default()
        };
        let mut plan = Plan::new(vec![DE, FR], 60_000);
        plan.watch(asin(1), Some(record), "", START.plus_millis(1));
        assert_eq!(plan.next(RICH, START.plus_millis(1)), Turn::Later(START.plus_millis(60_000)));
    }

    #[test]
    fn a_market_that_leaves_an_article_out_is_asked_ever_more_rarely() {
        let mut plan = plan_of(1);
        let mut asked_fr = Vec::new();
        for minute in 0..3_000 {
            let now = START.plus_millis(minute * MINUTE_MS);
            while let Turn::Ask(batch) = plan.next(RICH, now) {
                let missed = if batch.market == FR {
                    batch.asins.iter().copied().collect()
                } else {
                    BTreeSet::new()
                };
                if batch.market == FR {
                    asked_fr.push(minute);
                }
                plan.answered(&batch, &Seen { missed });
            }
        }
        assert_eq!(asked_fr, [0, 2, 6, 14, 30, 62, 126, 254, 510, 1_022, 2_046], "doubling");
        let record = plan.record(asin(0)).unwrap();
        assert_eq!(record.misses.get(&FR), Some(&11));
        assert_eq!(plan.pause_after(11), DAY_MS, "once a day at least");
        let now = START.plus_millis(2_046 * MINUTE_MS + DAY_MS);
        let batches = answer_all(&mut plan, now);
        assert!(batches.iter().any(|batch| batch.market == FR));
        assert_eq!(plan.record(asin(0)).unwrap().misses.get(&FR), None, "found again");
    }

    #[test]
    fn an_article_that_is_nowhere_waits_without_blocking_the_others() {
        let mut plan = plan_of(2);
        let now = START.plus_millis(60_000);
        for at in [START, now] {
            while let Turn::Ask(batch) = plan.next(RICH, at) {
                let missed = BTreeSet::from([asin(0)]);
                plan.answered(&batch, &Seen { missed });
            }
        }
        assert!(matches!(plan.next(RICH, now), Turn::Later(_)));
        assert_eq!(plan.record(asin(1)).unwrap().last_asked_at, Some(now));
        assert_eq!(plan.record(asin(0)).unwrap().last_asked_at, Some(START));
    }

    #[test]
    fn a_failed_request_puts_no_article_back() {
        let mut plan = plan_of(25);
        let first = asked(&mut plan, RICH, START);
        assert_eq!(asked(&mut plan, RICH, START.plus_millis(45_000)), first);
    }

    #[test]
    fn history_is_asked_again_after_thirty_days() {
        let mut plan = plan_of(1);
        answer_all(&mut plan, START);
        assert!(!plan.wants_history(asin(0), DE, START.plus_millis(HISTORY_EVERY_MS - 1)));
        assert!(plan.wants_history(asin(0), DE, START.plus_millis(HISTORY_EVERY_MS)));
    }

    #[test]
    fn a_refused_article_is_reported_backs_off_and_goes_alone_afterwards() {
        let mut plan = plan_of(20);
        let bad = asin(3);
        let mut reported = Vec::new();
        let mut sizes = Vec::new();
        for minute in 0..4 {
            let now = START.plus_millis(minute * MINUTE_MS);
            while let Turn::Ask(batch) = plan.next(RICH, now) {
                sizes.push((minute, batch.asins.len()));
                let found = if batch.asins.contains(&bad) {
                    match plan.refused(&batch) {
                        Verdict::Culprits(culprits) => culprits,
                        Verdict::AtFault => panic!("the key is right"),
                    }
                } else {
                    plan.answered(&batch, &Seen::default())
                };
                reported.extend(found.into_iter().map(|asin| (minute, batch.market, asin)));
            }
        }
        let markets = |minute| [DE, FR, IT, ES, UK].map(|market| (minute, market, bad));
        assert_eq!(
            reported,
            [markets(0), markets(2)].concat(),
            "in every market, and again after twice the refresh time"
        );
        assert!(
            sizes.iter().filter(|(minute, _)| *minute > 0).all(|(_, size)| [1, 19].contains(size)),
            "later it spoils no batch: {sizes:?}"
        );
    }

    #[test]
    fn a_clock_that_ran_ahead_keeps_nobody_from_being_asked() {
        let future = START.plus_millis(10 * DAY_MS);
        let mut plan = Plan::new(vec![DE], 60_000);
        let record = WatchedAsin {
            last_asked_at: Some(future),
            asked_at: BTreeMap::from([(DE, future)]),
            ..WatchedAsin::default()
        };
        plan.watch(asin(0), Some(record), "", START);
        assert!(matches!(plan.next(RICH, START.plus_millis(60_000)), Turn::Ask(_)));
    }

    #[test]
    fn what_a_job_asks_for_is_left_to_it_and_not_asked_twice() {
        let mut plan = plan_of(1);
        plan.reserve(&[asin(5), asin(0)], "category-scrape", START);
        let own = answer_all(&mut plan, START);
        assert!(
            own.iter().all(|batch| batch.asins == [asin(0)]),
            "the watchlist's own articles are not the job's to keep"
        );
        let batch = Batch {
            market: DE,
            asins: vec![asin(5)],
            history: true,
        };
        plan.note_answer(&batch, &Seen::default(), START);
        // The job ends early: the rest is the watchlist's.
        plan.release(asin(5));
        let rest = answer_all(&mut plan, START.plus_millis(1));
        assert_eq!(rest.iter().map(|batch| batch.market).collect::<Vec<_>>(), [FR, IT, ES, UK]);
        plan.reserve(&[asin(6)], "category-scrape", START);
        plan.note_complete(asin(6), START);
        assert_eq!(plan.next(RICH, START.plus_millis(2)), Turn::Later(START.plus_millis(60_000)));
    }

    #[test]
    fn probes_try_another_article_each_time() {
        let mut plan = plan_of(3);
        let probed: Vec<Asin> = (0..4).filter_map(|_| plan.probe(&[])).flat_map(|batch| batch.asins).collect();
        assert_eq!(probed, [asin(0), asin(1), asin(2), asin(0)]);
        let mut nobody = plan_of(0);
        assert_eq!(nobody.probe(&[]), None);
        let others = [asin(8), asin(9)];
        let probed: Vec<Asin> = (0..3).filter_map(|_| nobody.probe(&others)).flat_map(|batch| batch.asins).collect();
        assert_eq!(probed, [asin(8), asin(9), asin(8)]);
    }

    #[test]
    fn merging_keeps_of_each_fact_the_newer() {
        let ours = WatchedAsin {
            asked_at: BTreeMap::from([(DE, UnixMillis(5)), (FR, UnixMillis(1))]),
            misses: BTreeMap::from([(FR, 9)]),
            last_asked_at: Some(UnixMillis(1)),
            ..WatchedAsin::default()
        };
        let theirs = WatchedAsin {
            asked_at: BTreeMap::from([(DE, UnixMillis(4)), (FR, UnixMillis(2))]),
            misses: BTreeMap::from([(DE, 3), (FR, 1)]),
            last_asked_at: Some(UnixMillis(2)),
            added_by: "demo".into(),
            ..WatchedAsin::default()
        };
        let merged = merged(&ours, &theirs);
        assert_eq!(merged.asked_at, BTreeMap::from([(DE, UnixMillis(5)), (FR, UnixMillis(2))]));
        assert_eq!(merged.misses, BTreeMap::from([(FR, 1)]));
        assert_eq!((merged.last_asked_at, merged.added_by.as_str()), (Some(UnixMillis(2)), "demo"));
    }

    #[test]
    fn jobs_get_at_most_half_while_the_watchlist_has_work() {
        let mut share = Share::default();
        let (mut jobs, mut watchlist) = (0, 0);
        for _ in 0..1_000 {
            let by_job = share.is_jobs_turn(true, true);
            let cost = if by_job { 50 } else { 15 };
            share.spent(by_job, cost);
            if by_job {
                jobs += cost;
            } else {
                watchlist += cost;
            }
        }
        assert!((jobs - watchlist).abs() <= 65, "{jobs} against {watchlist}");
        assert!(share.is_jobs_turn(false, true) && !share.is_jobs_turn(true, false) && !share.is_jobs_turn(false, false));
    }

    proptest! {
        /// Whatever answers come in whatever time: no article is asked in a market twice within the refresh time, and
        /// nobody in a round was asked later than anybody outside of it.
        #[test]
        fn the_longest_not_asked_goes_first(
            count in 1usize..40,
            steps in proptest::collection::vec((0i64..40_000, 0i64..400, any::<bool>()), 1..200),
        ) {
            let mut plan = plan_of(count);
            let mut now = START;
            let mut last: BTreeMap<(Marketplace, Asin), UnixMillis> = BTreeMap::new();
            for (pause, tokens, fails) in steps {
                now = now.plus_millis(pause);
                let Turn::Ask(batch) = plan.next(tokens, now) else { continue };
                let limit = if batch.history { 20 } else { 100 };
                prop_assert!((1..=limit).contains(&batch.asins.len()));
                let asked = |inside: bool| plan.watched.iter().filter(move |(_, watched)| (watched.held == Held::InRound) == inside);
                let newest_inside = asked(true).map(|(_, watched)| watched.record.last_asked_at).max();
                let oldest_outside = asked(false).map(|(_, watched)| watched.record.last_asked_at).min();
                prop_assert!(oldest_outside.is_none() || newest_inside <= oldest_outside);
                if fails {
                    continue;
                }
                plan.answered(&batch, &Seen::default());
                for &asin in &batch.asins {
                    // Counted from the beginning of the round, which the answer may be later than.
                    let began = plan.record(asin).and_then(|record| record.asked_at.get(&batch.market).copied()).unwrap();
                    let before = last.insert((batch.market, asin), began);
                    prop_assert!(before.is_none_or(|before| began.millis_since(before) >= 60_000));
                }
            }
        }
    }
}
