//! [`Round`]: some articles, asked in some marketplaces, batch by batch; and [`Split`]: which ASIN of a refused batch it is
//! that Keepa does not take. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shared::domain::{Asin, Marketplace};

use crate::keepa::request::{MAX_ASINS, MAX_ASINS_WITH_HISTORY};

/// One product request to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Where.
    pub market: Marketplace,
    /// 1 to 100, or 20 with history.
    pub asins: Vec<Asin>,
    /// Whether history is asked for.
    pub history: bool,
}

/// What a refusal means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// These ASINs are refused for themselves (none = not known yet); go on.
    Culprits(Vec<Asin>),
    /// Not an ASIN's fault: the key or the parameters are refused.
    AtFault,
}

/// What is still to be asked, marketplace by marketplace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    remaining: VecDeque<(Marketplace, VecDeque<Asin>)>,
    split: Option<(Marketplace, bool, Split)>,
}

impl Round {
    /// These articles in these marketplaces; asked in the order given.
    #[must_use]
    pub fn new(asks: impl IntoIterator<Item = (Marketplace, Vec<Asin>)>) -> Self {
        let remaining = asks.into_iter().filter(|(_, asins)| !asins.is_empty());
        Round {
            remaining: remaining.map(|(market, asins)| (market, asins.into())).collect(),
            split: None,
        }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.remaining.is_empty()
    }

    /// What is left, as it is stored.
    #[must_use]
    pub fn pending(&self) -> BTreeMap<Marketplace, Vec<Asin>> {
        self.remaining
            .iter()
            .map(|(market, asins)| (*market, asins.iter().copied().collect()))
            .collect()
    }

    /// Whether an article is left in any marketplace.
    #[must_use]
    pub fn contains(&self, asin: Asin) -> bool {
        self.remaining.iter().any(|(_, asins)| asins.contains(&asin))
    }

    /// The next request, of at most `most` ASINs. All of a batch want history, or none does; an ASIN that is to go alone goes alone.
    pub fn next(&self, most: usize, wants_history: impl Fn(Asin, Marketplace) -> bool, goes_alone: impl Fn(Asin) -> bool) -> Option<Batch> {
        if let Some((market, history, split)) = &self.split
            && let Some(asins) = split.next()
        {
            return Some(Batch {
                market: *market,
                asins: asins.to_vec(),
                history: *history,
            });
        }
        let (market, asins) = self.remaining.front()?;
        let first = *asins.front()?;
        let history = wants_history(first, *market);
        let limit = if history { MAX_ASINS_WITH_HISTORY } else { MAX_ASINS };
        let asins = if goes_alone(first) {
            vec![first]
        } else {
            let alike = |asin: &Asin| wants_history(*asin, *market) == history && !goes_alone(*asin);
            asins.iter().copied().filter(alike).take(most.clamp(1, limit)).collect()
        };
        Some(Batch {
            market: *market,
            asins,
            history,
        })
    }

    /// Keepa answered the batch. Returns the ASINs that this answer proves to be refused: the other half of a split.
    pub fn accepted(&mut self, batch: &Batch) -> Vec<Asin> {
        let mut culprits = Vec::new();
        if let Some((market, _, split)) = &mut self.split
            && *market == batch.market
            && split.next() == Some(batch.asins.as_slice())
        {
            culprits = split.accepted();
        }
        self.remove(batch.market, &batch.asins);
        self.remove(batch.market, &culprits);
        culprits
    }

    /// Keepa refused the batch. `trusted`: other product requests were accepted since the last refusal, so that a single
    /// ASIN's refusal speaks against the ASIN.
    pub fn refused(&mut self, batch: &Batch, trusted: bool) -> Verdict {
        let verdict = match &mut self.split {
            Some((market, _, split)) if *market == batch.market && split.next() == Some(batch.asins.as_slice()) => split.refused(),
            _ => match batch.asins.as_slice() {
                [] => Verdict::AtFault,
                [single] if trusted => Verdict::Culprits(vec![*single]),
                [_] => Verdict::AtFault,
                several => {
                    self.split = Some((batch.market, batch.history, Split::of(several)));
                    Verdict::Culprits(Vec::new())
                }
            },
        };
        if let Verdict::Culprits(culprits) = &verdict {
            self.remove(batch.market, culprits);
        }
        verdict
    }

    /// The key and the parameters are right again, or after all: both halves in question are asked once more, and if both
    /// are refused again, it is for ASINs in both.
    pub fn key_is_proven(&mut self) {
        if let Some((_, _, split)) = &mut self.split
            && let Some(pair) = split.pairs.front_mut()
        {
            pair.first_refused = None;
            pair.key_is_proven = true;
        }
    }

    /// Takes out what was asked otherwise.
    pub fn remove(&mut self, market: Marketplace, asins: &[Asin]) {
        let gone: BTreeSet<Asin> = asins.iter().copied().collect();
        for (held, left) in &mut self.remaining {
            if *held == market {
                left.retain(|asin| !gone.contains(asin));
            }
        }
        self.remaining.retain(|(_, left)| !left.is_empty());
        if self.split.as_ref().is_some_and(|(_, _, split)| split.next().is_none()) {
            self.split = None;
        }
    }
}

/// A batch that was refused as a whole, taken apart by halves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The first pair is at work.
    pairs: VecDeque<Pair>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    first: Vec<Asin>,
    second: Vec<Asin>,
    first_refused: Option<bool>,
    /// Both halves may be refused without casting doubt on the key: it was proven since.
    key_is_proven: bool,
}

impl Split {
    /// A refused batch of two ASINs and more.
    #[must_use]
    pub fn of(refused: &[Asin]) -> Self {
        let mut split = Split { pairs: VecDeque::new() };
        split.take_apart(refused.to_vec(), false);
        split
    }

    /// What to ask next; none when the search is over.
    #[must_use]
    pub fn next(&self) -> Option<&[Asin]> {
        let pair = self.pairs.front()?;
        Some(if pair.first_refused.is_none() { &pair.first } else { &pair.second })
    }

    fn accepted(&mut self) -> Vec<Asin> {
        let Some(pair) = self.pairs.front_mut() else { return Vec::new() };
        match pair.first_refused {
            None => {
                pair.first_refused = Some(false);
                Vec::new()
            }
            // Neither half is refused: whatever it was, it is gone.
            Some(false) => {
                self.pairs.pop_front();
                Vec::new()
            }
            Some(true) => {
                let pair = self.pairs.pop_front();
                pair.and_then(|pair| self.take_apart(pair.first, pair.key_is_proven)).into_iter().collect()
            }
        }
    }

    fn refused(&mut self) -> Verdict {
        let Some(pair) = self.pairs.front_mut() else { return Verdict::AtFault };
        match pair.first_refused {
            None => {
                pair.first_refused = Some(true);
                Verdict::Culprits(Vec::new())
            }
            Some(false) => {
                let pair = self.pairs.pop_front();
                Verdict::Culprits(pair.and_then(|pair| self.take_apart(pair.second, pair.key_is_proven)).into_iter().collect())
            }
            Some(true) if pair.key_is_proven => {
                let Some(Pair { first, second, .. }) = self.pairs.pop_front() else {
                    return Verdict::AtFault;
                };
                let second = self.take_apart(second, true);
                let first = self.take_apart(first, true);
                Verdict::Culprits(first.into_iter().chain(second).collect())
            }
            Some(true) => Verdict::AtFault,
        }
    }

    /// Some refused ASINs: halved, or proven to be the one.
    fn take_apart(&mut self, mut refused: Vec<Asin>, key_is_proven: bool) -> Option<Asin> {
        if refused.len() < 2 {
            return refused.pop();
        }
        let second = refused.split_off(refused.len() / 2);
        self.pairs.push_front(Pair {
            first: refused,
            second,
            first_refused: None,
            key_is_proven,
        });
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asin(number: usize) -> Asin {
        format!("B{number:09}").parse().unwrap()
    }

    fn asins(count: usize) -> Vec<Asin> {
        (0..count).map(asin).collect()
    }

    /// Asks a Keepa that refuses every batch with a bad ASIN in it, and every batch at all while the key is bad.
    /// Returns culprits, what was answered, the number of requests, and how often the key was suspected.
    fn ask_all(round: &mut Round, bad: &BTreeSet<Asin>, mut bad_key_for: usize) -> (BTreeSet<Asin>, Vec<Asin>, usize, usize) {
        let (mut culprits, mut answered, mut requests, mut suspected) = (BTreeSet::new(), Vec::new(), 0, 0);
        let mut trusted = false;
        while let Some(batch) = round.next(100, |_, _| false, |asin| culprits.contains(&asin)) {
            requests += 1;
            assert!(requests < 10_000, "no end");
            if bad_key_for > 0 || batch.asins.iter().any(|asin| bad.contains(asin)) {
                match round.refused(&batch, trusted) {
                    Verdict::Culprits(found) => {
                        trusted &= found.is_empty();
                        culprits.extend(found);
                    }
                    Verdict::AtFault => {
                        suspected += 1;
                        // One ASIN a minute is tried until the key is accepted again.
                        bad_key_for = bad_key_for.saturating_sub(1);
                        if bad_key_for == 0 {
                            trusted = true;
                            round.key_is_proven();
                        }
                    }
                }
            } else {
                culprits.extend(round.accepted(&batch));
                answered.extend(batch.asins);
                trusted = true;
            }
        }
        (culprits, answered, requests, suspected)
    }

    #[test]
    fn one_bad_asin_of_a_hundred_is_found_and_the_others_are_answered_once() {
        for position in [0, 1, 49, 50, 98, 99] {
            let mut round = Round::new([(Marketplace::DE, asins(100))]);
            let (culprits, answered, requests, suspected) = ask_all(&mut round, &BTreeSet::from([asin(position)]), 0);
            assert_eq!(culprits, BTreeSet::from([asin(position)]));
            assert_eq!((answered.len(), answered.iter().collect::<BTreeSet<_>>().len()), (99, 99));
            assert!(requests <= 15, "{requests} requests");
            assert_eq!(suspected, 0);
        }
    }

    #[test]
    fn both_halves_refused_casts_doubt_on_the_key() {
        let mut round = Round::new([(Marketplace::DE, asins(8))]);
        let (culprits, answered, _, suspected) = ask_all(&mut round, &BTreeSet::new(), 1);
        assert_eq!((culprits.len(), answered.len(), suspected), (0, 8, 1), "nothing was wrong with the ASINs");
    }

    #[test]
    fn bad_asins_in_both_halves_are_found_once_the_key_is_proven() {
        let bad = BTreeSet::from([asin(1), asin(6), asin(7)]);
        let mut round = Round::new([(Marketplace::DE, asins(8))]);
        let (culprits, answered, _, suspected) = ask_all(&mut round, &bad, 0);
        assert_eq!((culprits, answered.len()), (bad, 5));
        assert_eq!(suspected, 1);
    }

    #[test]
    fn a_single_refused_asin_is_blamed_only_if_others_were_accepted() {
        let batch = Batch {
            market: Marketplace::DE,
            asins: asins(1),
            history: false,
        };
        let mut round = Round::new([(Marketplace::DE, asins(1))]);
        assert_eq!(round.refused(&batch, false), Verdict::AtFault);
        assert!(!round.is_done(), "it is asked again");
        assert_eq!(round.refused(&batch, true), Verdict::Culprits(asins(1)));
        assert!(round.is_done());
    }

    #[test]
    fn batches_are_of_one_kind_and_within_keepas_limits() {
        let round = Round::new([(Marketplace::DE, asins(300)), (Marketplace::FR, asins(1))]);
        let next = |most, history: fn(Asin) -> bool| round.next(most, |asin, _| history(asin), |_| false).unwrap();
        assert_eq!(next(1_000, |_| false).asins.len(), 100);
        assert_eq!(next(1_000, |_| true).asins.len(), 20);
        assert_eq!(next(7, |_| true).asins.len(), 7);
        assert_eq!(next(0, |_| true).asins.len(), 1);
        let mixed = next(1_000, |candidate| candidate != asin(0));
        assert_eq!((mixed.asins, mixed.history), (vec![asin(0)], false));
        let alone = round.next(1_000, |_, _| false, |candidate| candidate == asin(0)).unwrap();
        assert_eq!(alone.asins, [asin(0)]);
    }

    #[test]
    fn markets_are_asked_one_after_the_other_and_what_is_answered_is_no_longer_pending() {
        let mut round = Round::new([(Marketplace::DE, asins(2)), (Marketplace::FR, vec![]), (Marketplace::IT, asins(1))]);
        let batch = round.next(10, |_, _| false, |_| false).unwrap();
        assert_eq!(batch.market, Marketplace::DE);
        round.accepted(&batch);
        assert_eq!(round.pending(), BTreeMap::from([(Marketplace::IT, asins(1))]));
        assert!(round.contains(asin(0)) && !round.contains(asin(1)));
        round.remove(Marketplace::IT, &asins(1));
        assert!(round.is_done());
    }

    proptest! {
        /// Whichever ASINs are bad, and for however long the key is: the search ends, blames the bad ones only, and
        /// every good one is answered exactly once.
        #[test]
        fn a_split_blames_the_bad_and_answers_the_good(count in 1usize..101, bad in proptest::collection::btree_set(0usize..101, 0..8), bad_key_for in 0usize..4) {
            let bad: BTreeSet<Asin> = bad.into_iter().filter(|number| *number < count).map(asin).collect();
            let mut round = Round::new([(Marketplace::DE, asins(count))]);
            let (culprits, mut answered, _, _) = ask_all(&mut round, &bad, bad_key_for);
            answered.sort();
            let good: Vec<Asin> = asins(count).into_iter().filter(|asin| !bad.contains(asin)).collect();
            prop_assert_eq!(answered, good);
            prop_assert_eq!(culprits, bad);
            prop_assert!(round.is_done());
        }
    }
}
