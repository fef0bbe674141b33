//! Updates of one ASIN that are written together, and what they do to what is held. Pure.
//!
//! Five marketplaces of one ASIN are one write. Every record keeps its own fate, so that the sums hold in records:
//! `consumed = written + unchanged + stale + dlq`.

use shared::adapters::kafka::RecordOffset;
use shared::domain::{Asin, Effect, Marketplace, ObservedAt, Product, Source};

use crate::settled::Fingerprint;

/// One decoded record.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Which record it is.
    pub offset: RecordOffset,
    /// By which it is known again.
    pub fingerprint: Option<Fingerprint>,
    /// What it says.
    pub product: Product,
}

/// Updates of one ASIN, in the order of their records; at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Of this article.
    pub asin: Asin,
    /// Its records.
    pub updates: Vec<Update>,
}

/// What became of a record that was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Something of it is in the document now.
    Written,
    /// It is what is held already; published again, a crash may have come between write and publish.
    Unchanged,
    /// Older than what is held, or superseded by another record that was written with it.
    Stale,
}

impl Fate {
    /// The name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fate::Written => "written",
            Fate::Unchanged => "unchanged",
            Fate::Stale => "stale",
        }
    }
}

/// What is to be done with a group, given what is held.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The product to be written; `None` if the group changes nothing.
    pub write: Option<Product>,
    /// Whether the product is published: after the write, or again because a record equals what is held.
    pub publish: bool,
    /// The fate of each record, should the write succeed.
    pub fates: Vec<(RecordOffset, Fate)>,
}

/// Merges a group into what is held and says what follows from it.
#[must_use]
pub fn decide(held: Option<&Product>, group: &Group) -> Decision {
    let mut updates = group.updates.iter().map(|update| &update.product);
    let (mut merged, mut changed) = match held {
        Some(held) => (held.clone(), false),
        None => match updates.next() {
            Some(first) => (first.clone(), true),
            None => {
                return Decision {
                    write: None,
                    publish: false,
                    fates: Vec::new(),
                };
            }
        },
    };
    for update in updates {
        changed |= merged.merge(update);
    }
    let fates = fates(held, changed.then_some(&merged), group);
    let publish = changed || fates.iter().any(|&(_, fate)| fate == Fate::Unchanged);
    Decision {
        write: changed.then_some(merged),
        publish,
        fates,
    }
}

/// The fate of each record of a group that turned `before` into `after` (`None`: changed nothing).
fn fates(before: Option<&Product>, after: Option<&Product>, group: &Group) -> Vec<(RecordOffset, Fate)> {
    let mut written: Vec<(Marketplace, Source, ObservedAt)> = Vec::new();
    let fate = |update: &Product, repeated: bool| match (before, after) {
        (Some(before), None) => {
            // Nothing changed, so no record can have: what is not at the frontier is older.
            if update.is_at_frontier_of(before) { Fate::Unchanged } else { Fate::Stale }
        }
        (_, None) => Fate::Stale,
        (_, Some(after)) => match update.effect_on(before) {
            Effect::Unchanged => Fate::Unchanged,
            Effect::Stale => Fate::Stale,
            Effect::Changed if !update.is_at_frontier_of(after) => Fate::Stale,
            Effect::Changed if repeated => Fate::Unchanged,
            Effect::Changed => Fate::Written,
        },
    };
    group
        .updates
        .iter()
        .map(|update| {
            let identity = identity(&update.product);
            let fate = fate(&update.product, identity.is_some_and(|identity| written.contains(&identity)));
            if fate == Fate::Written {
                written.extend(identity);
            }
            (update.offset, fate)
        })
        .collect()
}

/// What makes two records the same observation. A record has one marketplace of one source.
pub(crate) fn identity(update: &Product) -> Option<(Marketplace, Source, ObservedAt)> {
    let (&marketplace, sources) = update.markets.first_key_value()?;
    let (source, state) = sources.iter().next()?;
    Some((marketplace, source, state.latest))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use shared::domain::price::{BuyBoxFacts, PriceFacts};
    use shared::domain::{KeepaMinutes, MarketState, Register, UnixMillis};

    use super::*;

    fn asin(number: u8) -> Asin {
        format!("B00000000{}", number % 10).parse().expect("an ASIN")
    }

    fn observation(article: u8, marketplace: Marketplace, last_update: i32, fetched_at: i64, new: Option<i64>, buy_box: Option<i64>) -> Product {
        let observed_at = ObservedAt {
            last_update: KeepaMinutes(last_update),
            fetched_at: UnixMillis(fetched_at),
        };
        let mut state = MarketState::observed(observed_at);
        state.prices = Some(Register::new(observed_at, PriceFacts { new, ..PriceFacts::default() }));
        state.buy_box = buy_box.map(|landed| {
            Register::new(
                observed_at,
                BuyBoxFacts {
                    landed: Some(landed),
                    ..BuyBoxFacts::default()
                },
            )
        });
        Product::from_record(asin(article), marketplace, Source::Keepa, state)
    }

    fn updates(products: Vec<Product>) -> Vec<Update> {
        let numbered = products.into_iter().zip(0..);
        numbered
            .map(|(product, offset)| Update {
                offset: RecordOffset(offset),
                fingerprint: None,
                product,
            })
            .collect()
    }

    /// Groups updates by ASIN, in the order in which the ASINs first occur.
    fn fold(updates: Vec<Update>) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for update in updates {
            match groups.iter_mut().find(|group| group.asin == update.product.asin) {
                Some(group) => group.updates.push(update),
                None => groups.push(Group {
                    asin: update.product.asin,
                    updates: vec![update],
                }),
            }
        }
        groups
    }

    fn one_group(products: Vec<Product>) -> Group {
        let mut groups = fold(updates(products));
        assert_eq!(groups.len(), 1);
        groups.remove(0)
    }

    fn fates_of(held: Option<&Product>, products: Vec<Product>) -> Vec<Fate> {
        let decision = decide(held, &one_group(products));
        decision.fates.into_iter().map(|(_, fate)| fate).collect()
    }

    #[test]
    fn every_fate_has_its_name_in_metrics() {
        for (fate, name) in [(Fate::Written, "written"), (Fate::Unchanged, "unchanged"), (Fate::Stale, "stale")] {
            assert_eq!(fate.name(), name);
        }
    }

    #[test]
    fn five_marketplaces_of_one_article_are_one_write() {
        use Marketplace::{DE, ES, FR, IT, UK};
        let products = [DE, FR, IT, ES, UK].map(|marketplace| observation(1, marketplace, 10, 100, Some(5000), None));
        let group = one_group(products.to_vec());
        let decision = decide(None, &group);
        assert_eq!(decision.write.expect("a new product").markets.len(), 5);
        assert!(decision.publish && decision.fates.iter().all(|&(_, fate)| fate == Fate::Written));
    }

    #[test]
    fn a_record_superseded_in_its_batch_is_stale() {
        let older = observation(1, Marketplace::DE, 10, 100, Some(1), Some(1));
        let newer = observation(1, Marketplace::DE, 10, 101, Some(2), Some(2));
        // The first fetch stays the first: the older record proves it, so it is not lost without a trace.
        let held = observation(1, Marketplace::DE, 5, 50, Some(3), Some(3));
        assert_eq!(fates_of(Some(&held), vec![older.clone(), newer.clone()]), [Fate::Stale, Fate::Written]);
        assert_eq!(fates_of(Some(&held), vec![newer, older]), [Fate::Written, Fate::Stale]);
    }

    #[test]
    fn a_record_whose_buy_box_survives_a_newer_one_is_written() {
        let with_buy_box = observation(1, Marketplace::DE, 10, 100, Some(1), Some(1));
        let without = observation(1, Marketplace::DE, 11, 101, Some(2), None);
        let held = observation(1, Marketplace::DE, 5, 50, None, None);
        assert_eq!(fates_of(Some(&held), vec![with_buy_box, without]), [Fate::Written, Fate::Written]);
    }

    #[test]
    fn a_repetition_within_a_batch_is_unchanged() {
        let product = observation(1, Marketplace::DE, 10, 100, Some(1), None);
        assert_eq!(fates_of(None, vec![product.clone(), product]), [Fate::Written, Fate::Unchanged]);
    }

    #[test]
    fn a_replay_writes_nothing_and_publishes_what_equals_the_newest() {
        let older = observation(1, Marketplace::DE, 10, 100, Some(1), None);
        let newer = observation(1, Marketplace::DE, 20, 200, Some(2), None);
        let first = observation(1, Marketplace::DE, 5, 50, Some(3), None);
        let held = decide(None, &one_group(vec![first.clone(), older.clone(), newer.clone()])).write.expect("new");
        for (records, publish, fates) in [
            (vec![older.clone(), newer.clone()], true, vec![Fate::Stale, Fate::Unchanged]),
            (vec![older.clone()], false, vec![Fate::Stale]),
            (vec![newer, older], true, vec![Fate::Unchanged, Fate::Stale]),
            // What proves since when the product is known may not have been published either.
            (vec![first.clone()], true, vec![Fate::Unchanged]),
        ] {
            let decision = decide(Some(&held), &one_group(records));
            assert_eq!((decision.write, decision.publish), (None, publish));
            assert_eq!(decision.fates.into_iter().map(|(_, fate)| fate).collect::<Vec<_>>(), fates);
        }
    }

    #[test]
    fn of_two_updates_within_one_keepa_minute_the_later_fetch_wins() {
        let first = observation(1, Marketplace::DE, 10, 100, Some(1), None);
        let second = observation(1, Marketplace::DE, 10, 101, Some(2), None);
        for order in [vec![first.clone(), second.clone()], vec![second, first]] {
            let product = decide(None, &one_group(order)).write.expect("new");
            let prices = product.markets[&Marketplace::DE][Source::Keepa].prices.clone().expect("prices");
            assert_eq!((prices.facts.new, prices.observed_at.fetched_at), (Some(2), UnixMillis(101)));
        }
    }

    prop_compose! {
        fn any_observation()(
            article in 0..2_u8,
            marketplace in proptest::sample::select(vec![Marketplace::DE, Marketplace::IT]),
            last_update in 0..3_i32,
            fetched_at in 0..4_i64,
            new in proptest::option::of(1..3_i64),
            buy_box in proptest::option::of(1..3_i64),
        ) -> Product {
            observation(article, marketplace, last_update, fetched_at, new, buy_box)
        }
    }

    fn settled(batches: &[Vec<Product>]) -> HashMap<Asin, Product> {
        let mut held: HashMap<Asin, Product> = HashMap::new();
        for batch in batches {
            for group in fold(updates(batch.clone())) {
                if let Some(product) = decide(held.get(&group.asin), &group).write {
                    held.insert(group.asin, product);
                }
            }
        }
        held
    }

    proptest! {
        #[test]
        fn any_order_repetition_and_batching_ends_in_the_same_products(
            records in proptest::collection::vec(any_observation(), 1..12),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..24),
            cuts in proptest::collection::vec(1..5_usize, 1..24),
        ) {
            let expected = settled(std::slice::from_ref(&records));
            // All records, some again, in another order and other batches.
            let mut replay: Vec<Product> = order.iter().map(|index| index.get(&records).clone()).collect();
            replay.extend(records.iter().rev().cloned());
            let mut batches = Vec::new();
            let mut rest = replay.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (batch, later) = rest.split_at((*cut).min(rest.len()));
                batches.push(batch.to_vec());
                rest = later;
            }
            prop_assert_eq!(settled(&batches), expected);
        }

        #[test]
        fn every_record_has_exactly_one_fate_and_only_changes_are_written(
            held in proptest::collection::vec(any_observation(), 0..4),
            records in proptest::collection::vec(any_observation(), 1..8),
        ) {
            let held = settled(&[held]);
            let groups = fold(updates(records.clone()));
            let mut seen = Vec::new();
            for group in &groups {
                let before = held.get(&group.asin);
                let decision = decide(before, group);
                seen.extend(decision.fates.iter().map(|&(offset, _)| offset));
                let written = decision.fates.iter().any(|&(_, fate)| fate == Fate::Written);
                prop_assert_eq!(decision.write.is_some(), written, "{:?}", decision);
                prop_assert!(decision.write.as_ref() != before);
                if let Some(after) = &decision.write {
                    // Settled a second time, nothing is left to write.
                    prop_assert!(decide(Some(after), group).write.is_none());
                }
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..).map(RecordOffset).take(records.len()).collect::<Vec<_>>());
        }
    }
}
