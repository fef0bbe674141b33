//! [`Product`] and its merge: a map of last-writer-wins registers that cannot go wrong.
//!
//! One product per ASIN. Inside it, per marketplace and [`Source`], every group of facts is a
//! [`Register`] with its own [`ObservedAt`]. [`Product::merge`] keeps, per register, the greater
//! `observed_at`; ties go to the greater canonical bytes. It is therefore commutative, associative and
//! idempotent (property tests below): replay, duplicates and reordering change nothing. An update from
//! the log is itself a `Product` that holds one marketplace of one source.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::asin::Asin;
use super::history::{HistoryFacts, SeriesHistory};
use super::keepa_time::{KeepaMinutes, UnixMillis};
use super::marketplace::Marketplace;
use super::money::Money;
use super::price::{AttributeFacts, BuyBoxFacts, OfferFacts, PriceFacts, PriceKind, SeriesStatistics, StatisticsFacts};
use super::source::{BySource, Source};

/// When a fact was true: Keepa's own update first, then our fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObservedAt {
    /// Keepa's `lastUpdate`; where it is missing, the minute of the fetch.
    pub last_update: KeepaMinutes,
    /// When we fetched it; strictly increasing per ASIN within a producer.
    pub fetched_at: UnixMillis,
}

/// A last-writer-wins register: facts that are replaced as a whole and never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register<T> {
    /// When the facts were true.
    pub observed_at: ObservedAt,
    /// The facts; where they are large or own memory, shared by the held product, its write and its publication.
    pub facts: T,
}

impl<T> Register<T> {
    /// Facts that were true at a time.
    #[must_use]
    pub fn new(observed_at: ObservedAt, facts: impl Into<T>) -> Self {
        Register {
            observed_at,
            facts: facts.into(),
        }
    }
}

/// One marketplace as one source knows it. `None` = never told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketState {
    /// The newest record seen, whatever it carried.
    pub latest: ObservedAt,
    /// Current prices and rank.
    pub prices: Option<Register<PriceFacts>>,
    /// The buy box.
    pub buy_box: Option<Register<BuyBoxFacts>>,
    /// Statistics of the new and Amazon series.
    pub statistics: Option<Register<StatisticsFacts>>,
    /// Statistics of the buy-box series (they cost tokens, so they come less often).
    pub buy_box_statistics: Option<Register<Arc<SeriesStatistics>>>,
    /// How the prices were spread over time.
    pub history: Option<Register<Arc<HistoryFacts>>>,
    /// Offers.
    pub offers: Option<Register<OfferFacts>>,
    /// Title, brand, categories, sizes, fees.
    pub attributes: Option<Register<Arc<AttributeFacts>>>,
}

/// An article over all marketplaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its id.
    pub asin: Asin,
    /// What each source says of each marketplace.
    pub markets: BTreeMap<Marketplace, BySource<Arc<MarketState>>>,
    /// The least `fetched_at` of all records, stale ones included.
    pub first_seen: UnixMillis,
    /// The greatest `fetched_at` merged.
    pub last_updated: UnixMillis,
    /// The greatest `fetched_at` of a record that carried a price, stale ones included.
    pub last_priced_at: Option<UnixMillis>,
}

/// What an update did to a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Something changed: write, then publish.
    Changed,
    /// It is what is held (same `observed_at`): publish again, a crash may have come between.
    Unchanged,
    /// Older than what is held, and adds nothing.
    Stale,
}

/// How long facts count, for every decision that depends on the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staleness {
    /// A product without a priced record for this long is inactive (`STALE_AFTER`), milliseconds.
    pub product_millis: i64,
    /// A price observed longer ago than this is no leg of an opportunity (`LEG_STALE_AFTER`), milliseconds.
    pub leg_millis: i64,
}

impl Default for Staleness {
    fn default() -> Self {
        Staleness {
            product_millis: 7 * 24 * 3_600_000,
            leg_millis: 24 * 3_600_000,
        }
    }
}

/// The landed price a marketplace shows at some instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownPrice {
    /// Landed, greater than zero.
    pub price: Money,
    /// Which price it is.
    pub kind: PriceKind,
    /// From when its age counts.
    pub observed_at: UnixMillis,
}

impl ShownPrice {
    /// Whether it is too old to be a leg of an opportunity.
    #[must_use]
    pub fn is_stale(&self, now: UnixMillis, staleness: Staleness) -> bool {
        now.millis_since(self.observed_at) > staleness.leg_millis
    }
}

/// Whether an update's register takes the place of the one held.
fn wins<T: Serialize + PartialEq>(held: &Option<Register<T>>, update: &Option<Register<T>>) -> bool {
    match (held, update) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(held), Some(update)) => match update.observed_at.cmp(&held.observed_at) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => update.facts != held.facts && canonical_bytes(&update.facts) > canonical_bytes(&held.facts),
        },
    }
}

fn join<T: Serialize + PartialEq + Clone>(held: &mut Option<Register<T>>, update: &Option<Register<T>>) {
    if wins(held, update) {
        held.clone_from(update);
    }
}

fn canonical_bytes<T: Serialize>(facts: &T) -> Vec<u8> {
    serde_json::to_vec(facts).expect("facts are plain structs with string keys")
}

impl MarketState {
    /// A state that knows nothing but when it was observed.
    #[must_use]
    pub fn observed(latest: ObservedAt) -> Self {
        MarketState {
            latest,
            prices: None,
            buy_box: None,
            statistics: None,
            buy_box_statistics: None,
            history: None,
            offers: None,
            attributes: None,
        }
    }

    /// Whether this state, seen as a record, carried a price.
    #[must_use]
    pub fn carries_price(&self) -> bool {
        let prices = self
            .prices
            .as_ref()
            .is_some_and(|register| register.facts.new.is_some() || register.facts.amazon.is_some());
        prices || self.buy_box.as_ref().is_some_and(|register| register.facts.landed.is_some())
    }

    /// Takes over what `update` knows better; the update itself where nothing else is left.
    fn merge(held: &mut Arc<MarketState>, update: &Arc<MarketState>) {
        if update.replaces(held) {
            held.clone_from(update);
        } else {
            // Copied only where it is shared with others.
            Arc::make_mut(held).join(update);
        }
    }

    fn join(&mut self, update: &MarketState) {
        self.latest = self.latest.max(update.latest);
        join(&mut self.prices, &update.prices);
        join(&mut self.buy_box, &update.buy_box);
        join(&mut self.statistics, &update.statistics);
        join(&mut self.buy_box_statistics, &update.buy_box_statistics);
        join(&mut self.history, &update.history);
        join(&mut self.offers, &update.offers);
        join(&mut self.attributes, &update.attributes);
    }

    /// Whether merging this update into what is held gives the update: it is newer in everything that is held.
    fn replaces(&self, held: &MarketState) -> bool {
        fn replaces<T: Serialize + PartialEq>(held: &Option<Register<T>>, update: &Option<Register<T>>) -> bool {
            held.is_none() || wins(held, update)
        }
        self.latest >= held.latest
            && replaces(&held.prices, &self.prices)
            && replaces(&held.buy_box, &self.buy_box)
            && replaces(&held.statistics, &self.statistics)
            && replaces(&held.buy_box_statistics, &self.buy_box_statistics)
            && replaces(&held.history, &self.history)
            && replaces(&held.offers, &self.offers)
            && replaces(&held.attributes, &self.attributes)
    }

    /// Whether merging this update would change anything.
    fn is_changed_by(&self, update: &MarketState) -> bool {
        update.latest > self.latest
            || wins(&self.prices, &update.prices)
            || wins(&self.buy_box, &update.buy_box)
            || wins(&self.statistics, &update.statistics)
            || wins(&self.buy_box_statistics, &update.buy_box_statistics)
            || wins(&self.history, &update.history)
            || wins(&self.offers, &update.offers)
            || wins(&self.attributes, &update.attributes)
    }

    /// Whether some of these facts are what `record` said: its newest ones, or any group that no newer record had.
    fn holds_any_of(&self, record: &MarketState) -> bool {
        fn is_of<T>(held: Option<&Register<T>>, said: Option<&Register<T>>) -> bool {
            held.zip(said).is_some_and(|(held, said)| held.observed_at == said.observed_at)
        }
        self.latest == record.latest
            || is_of(self.prices.as_ref(), record.prices.as_ref())
            || is_of(self.buy_box.as_ref(), record.buy_box.as_ref())
            || is_of(self.statistics.as_ref(), record.statistics.as_ref())
            || is_of(self.buy_box_statistics.as_ref(), record.buy_box_statistics.as_ref())
            || is_of(self.history.as_ref(), record.history.as_ref())
            || is_of(self.offers.as_ref(), record.offers.as_ref())
            || is_of(self.attributes.as_ref(), record.attributes.as_ref())
    }

    /// The landed price: buy box, else new, else Amazon's.
    ///
    /// A buy box kept over newer records that did not ask for it is no price once it is older than
    /// [`Staleness::leg_millis`]; one that the newest record carries stays the price, however old.
    fn shown_price(&self, marketplace: Marketplace, source: Source, now: UnixMillis, staleness: Staleness) -> Option<ShownPrice> {
        let shown = |minor: i64, kind, observed_at| ShownPrice {
            price: Money::new(minor, marketplace.currency()),
            kind,
            observed_at,
        };
        if let Some(register) = &self.buy_box
            && let Some(landed) = register.facts.landed
        {
            let price = shown(landed, PriceKind::BuyBox, buy_box_instant(register, source));
            let is_newest = register.observed_at == self.latest;
            if is_newest || !price.is_stale(now, staleness) {
                return Some(price);
            }
        }
        let register = self.prices.as_ref()?;
        let observed_at = register.observed_at.instant(source);
        let new = register.facts.new.map(|minor| shown(minor, PriceKind::New, observed_at));
        new.or_else(|| register.facts.amazon.map(|minor| shown(minor, PriceKind::Amazon, observed_at)))
    }

    /// Statistics of the series that a price of this kind belongs to.
    #[must_use]
    pub fn statistics_of(&self, kind: PriceKind) -> Option<&SeriesStatistics> {
        match kind {
            PriceKind::BuyBox => self.buy_box_statistics.as_ref().map(|register| &*register.facts),
            PriceKind::New => self.statistics.as_ref().map(|register| &register.facts.new),
            PriceKind::Amazon => self.statistics.as_ref().map(|register| &register.facts.amazon),
        }
    }

    /// How the series that a price of this kind belongs to was spread over time.
    #[must_use]
    pub fn history_of(&self, kind: PriceKind) -> Option<&SeriesHistory> {
        self.history.as_ref().and_then(|register| register.facts.of(kind))
    }
}

/// The age of a buy box counts from Keepa's last look at it where known, never from later than the fetch.
fn buy_box_instant(register: &Register<BuyBoxFacts>, source: Source) -> UnixMillis {
    match register.facts.updated_at {
        Some(updated_at) => updated_at.to_unix().min(register.observed_at.fetched_at),
        None => register.observed_at.instant(source),
    }
}

impl ObservedAt {
    /// The instant from which the age of facts counts: Keepa's update; for others, which have none, the record's time.
    #[must_use]
    pub fn instant(&self, source: Source) -> UnixMillis {
        match source {
            Source::Keepa => self.last_update.to_unix(),
            Source::Feed | Source::Observation => self.fetched_at,
        }
    }
}

impl Product {
    /// What one record says: one marketplace of one source.
    #[must_use]
    pub fn from_record(asin: Asin, marketplace: Marketplace, source: Source, state: MarketState) -> Self {
        let fetched_at = state.latest.fetched_at;
        let last_priced_at = state.carries_price().then_some(fetched_at);
        let markets = BTreeMap::from([(marketplace, BySource::from([(source, Arc::new(state))]))]);
        Product {
            asin,
            markets,
            first_seen: fetched_at,
            last_updated: fetched_at,
            last_priced_at,
        }
    }

    /// Takes over what `update` knows better; returns whether anything changed.
    ///
    /// # Panics
    /// If the ASINs differ, which is a mistake of the caller.
    pub fn merge(&mut self, update: &Product) -> bool {
        assert_eq!(self.asin, update.asin, "only updates of the same ASIN are merged");
        let mut changed = false;
        for (&marketplace, sources) in &update.markets {
            let held = self.markets.entry(marketplace).or_default();
            for (source, state) in sources.iter() {
                match held.get_mut(source) {
                    Some(held) if held.is_changed_by(state) => {
                        MarketState::merge(held, state);
                        changed = true;
                    }
                    Some(_) => {}
                    None => {
                        held.insert(source, Arc::clone(state));
                        changed = true;
                    }
                }
            }
        }
        changed |= replace_if(&mut self.first_seen, update.first_seen, |held, new| new < held);
        changed |= replace_if(&mut self.last_updated, update.last_updated, |held, new| new > held);
        changed |= replace_if(&mut self.last_priced_at, update.last_priced_at, |held, new| new > held);
        changed
    }

    /// Whether merging this update would change anything.
    fn is_changed_by(&self, update: &Product) -> bool {
        let in_facts = update.states().any(|(marketplace, source, state)| {
            let held = self.markets.get(&marketplace).and_then(|sources| sources.get(source));
            held.is_none_or(|held| held.is_changed_by(state))
        });
        in_facts || update.first_seen < self.first_seen || update.last_updated > self.last_updated || update.last_priced_at > self.last_priced_at
    }

    /// What merging a record of this product into `held` would do, or has done.
    #[must_use]
    pub fn effect_on(&self, held: Option<&Product>) -> Effect {
        let Some(held) = held else { return Effect::Changed };
        if held.is_changed_by(self) {
            Effect::Changed
        } else if self.is_at_frontier_of(held) {
            Effect::Unchanged
        } else {
            Effect::Stale
        }
    }

    /// Whether something of `held` is what this update said: a group of facts, or one of the times.
    ///
    /// Then the write that made `held` so may have been this update's, and a crash may have come before it was published.
    /// An update of which nothing is held any more was superseded by others, which are published for themselves.
    #[must_use]
    pub fn is_at_frontier_of(&self, held: &Product) -> bool {
        let in_facts = self.states().any(|(marketplace, source, state)| {
            let held = held.markets.get(&marketplace).and_then(|sources| sources.get(source));
            held.is_some_and(|held| held.holds_any_of(state))
        });
        in_facts
            || held.first_seen == self.first_seen
            || held.last_updated == self.last_updated
            || (self.last_priced_at.is_some() && held.last_priced_at == self.last_priced_at)
    }

    fn states(&self) -> impl Iterator<Item = (Marketplace, Source, &MarketState)> {
        self.markets
            .iter()
            .flat_map(|(&marketplace, sources)| sources.iter().map(move |(source, state)| (marketplace, source, &**state)))
    }

    /// The state shown for a marketplace: Keepa's while it is fresher than [`Staleness::leg_millis`], else the freshest.
    #[must_use]
    pub fn shown_state(&self, marketplace: Marketplace, now: UnixMillis, staleness: Staleness) -> Option<(Source, &MarketState)> {
        let sources = self.markets.get(&marketplace)?;
        let instant = |source: Source, state: &MarketState| state.latest.instant(source);
        if let Some(keepa) = sources.get(Source::Keepa)
            && now.millis_since(instant(Source::Keepa, keepa)) < staleness.leg_millis
        {
            return Some((Source::Keepa, keepa));
        }
        // Reversed, so that Keepa wins a tie: max_by_key keeps the last of equals.
        sources
            .iter()
            .rev()
            .max_by_key(|(source, state)| instant(*source, state))
            .map(|(source, state)| (source, &**state))
    }

    /// The landed price shown for a marketplace.
    #[must_use]
    pub fn shown_price(&self, marketplace: Marketplace, now: UnixMillis, staleness: Staleness) -> Option<ShownPrice> {
        self.shown(marketplace, now, staleness).map(|(_, price)| price)
    }

    /// The state shown for a marketplace, and its landed price; none without a price.
    #[must_use]
    pub fn shown(&self, marketplace: Marketplace, now: UnixMillis, staleness: Staleness) -> Option<(&MarketState, ShownPrice)> {
        let (source, state) = self.shown_state(marketplace, now, staleness)?;
        Some((state, state.shown_price(marketplace, source, now, staleness)?))
    }

    /// All shown prices, by marketplace.
    #[must_use]
    pub fn shown_prices(&self, now: UnixMillis, staleness: Staleness) -> BTreeMap<Marketplace, ShownPrice> {
        self.markets
            .keys()
            .filter_map(|&marketplace| Some((marketplace, self.shown_price(marketplace, now, staleness)?)))
            .collect()
    }

    /// Whether a priced record came within [`Staleness::product_millis`].
    #[must_use]
    pub fn is_active(&self, now: UnixMillis, staleness: Staleness) -> bool {
        self.last_priced_at.is_some_and(|priced| now.millis_since(priced) < staleness.product_millis)
    }

    /// The first fact that `pick` finds in the marketplaces' attributes: those of `preferred` in its order, then the others.
    ///
    /// Within a marketplace Keepa comes before feeds, feeds before observations.
    #[must_use]
    pub fn first_attribute<'a, T>(&'a self, preferred: &[Marketplace], pick: impl Fn(&'a AttributeFacts) -> Option<T>) -> Option<T> {
        let others = self.markets.keys().copied().filter(|marketplace| !preferred.contains(marketplace));
        preferred
            .iter()
            .copied()
            .chain(others)
            .filter_map(|marketplace| self.markets.get(&marketplace))
            .flat_map(BySource::values)
            .filter_map(|state| state.attributes.as_ref())
            .find_map(|register| pick(&register.facts))
    }

    /// The title in the first of `preferred` that has one.
    #[must_use]
    pub fn title(&self, preferred: &[Marketplace]) -> Option<&str> {
        self.first_attribute(preferred, |facts| facts.title.as_deref())
    }

    /// The brand in the first of `preferred` that has one.
    #[must_use]
    pub fn brand(&self, preferred: &[Marketplace]) -> Option<&str> {
        self.first_attribute(preferred, |facts| facts.brand.as_deref())
    }

    /// The root category's name in the first of `preferred` that has one.
    #[must_use]
    pub fn category(&self, preferred: &[Marketplace]) -> Option<&str> {
        self.first_attribute(preferred, |facts| facts.categories.first().map(|category| category.name.as_str()))
    }

    /// The main image in the first of `preferred` that has one.
    #[must_use]
    pub fn image_url(&self, preferred: &[Marketplace]) -> Option<&str> {
        self.first_attribute(preferred, |facts| facts.image_url.as_deref())
    }
}

fn replace_if<T: Copy>(held: &mut T, new: T, better: impl Fn(T, T) -> bool) -> bool {
    let replaces = better(*held, new);
    if replaces {
        *held = new;
    }
    replaces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asin() -> Asin {
        "B0D1XD1ZV3".parse().expect("a valid ASIN")
    }

    fn at(last_update: i32, fetched_at: i64) -> ObservedAt {
        ObservedAt {
            last_update: KeepaMinutes(last_update),
            fetched_at: UnixMillis(fetched_at),
        }
    }

    prop_compose! {
        // Few distinct values, so that ties and collisions are common.
        fn any_update()(
            marketplace in proptest::sample::select(vec![Marketplace::DE, Marketplace::IT]),
            source in proptest::sample::select(vec![Source::Keepa, Source::Feed]),
            last_update in 0..3_i32,
            fetched_at in 0..3_i64,
            new in proptest::option::of(proptest::option::of(1..3_i64)),
            landed in proptest::option::of(proptest::option::of(1..3_i64)),
            title in proptest::option::of("[ab]"),
        ) -> Product {
            let latest = at(last_update, fetched_at);
            let mut state = MarketState::observed(latest);
            state.prices = new.map(|new| Register::new(latest, PriceFacts { new, ..Default::default() }));
            state.buy_box = landed.map(|landed| Register::new(latest, BuyBoxFacts { landed, ..Default::default() }));
            state.attributes = title.map(|title| Register::new(latest, AttributeFacts { title: Some(title.into()), ..Default::default() }));
            Product::from_record(asin(), marketplace, source, state)
        }
    }

    fn any_product() -> impl Strategy<Value = Product> {
        proptest::collection::vec(any_update(), 1..6).prop_map(|updates| updates.into_iter().reduce(merged).expect("at least one"))
    }

    fn merged(mut left: Product, right: Product) -> Product {
        left.merge(&right);
        left
    }

    proptest! {
        #[test]
        fn merge_is_commutative(left in any_product(), right in any_product()) {
            prop_assert_eq!(merged(left.clone(), right.clone()), merged(right, left));
        }

        #[test]
        fn merge_is_associative(a in any_product(), b in any_product(), c in any_product()) {
            prop_assert_eq!(merged(merged(a.clone(), b.clone()), c.clone()), merged(a, merged(b, c)));
        }

        #[test]
        fn merge_is_idempotent(product in any_product(), update in any_product()) {
            let mut once = merged(product, update.clone());
            let twice = once.clone();
            prop_assert!(!once.merge(&update));
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn merge_says_whether_something_changed(product in any_product(), update in any_product()) {
            let mut after = product.clone();
            let changed = after.merge(&update);
            prop_assert_eq!(changed, after != product);
            prop_assert_eq!(changed, update.effect_on(Some(&product)) == Effect::Changed);
        }

        #[test]
        fn a_record_that_was_merged_is_never_a_change_again(records in proptest::collection::vec(any_update(), 1..8)) {
            let product = records.iter().cloned().reduce(merged).expect("at least one");
            for record in &records {
                prop_assert_ne!(record.effect_on(Some(&product)), Effect::Changed);
            }
        }
    }

    fn state(last_update: i32, new: Option<i64>, buy_box: Option<Option<i64>>) -> MarketState {
        let latest = at(last_update, 1_400_000_000_000 + i64::from(last_update));
        let mut state = MarketState::observed(latest);
        state.prices = Some(Register::new(
            latest,
            PriceFacts {
                new,
                amazon: Some(9900),
                ..Default::default()
            },
        ));
        state.buy_box = buy_box.map(|landed| Register::new(latest, BuyBoxFacts { landed, ..Default::default() }));
        state
    }

    fn shown(states: &[MarketState], now_minutes: i32) -> Option<(i64, PriceKind)> {
        let product = states
            .iter()
            .map(|state| Product::from_record(asin(), Marketplace::DE, Source::Keepa, state.clone()))
            .reduce(merged)
            .expect("at least one");
        product
            .shown_price(Marketplace::DE, KeepaMinutes(now_minutes).to_unix(), Staleness::default())
            .map(|shown| (shown.price.minor, shown.kind))
    }

    #[test]
    fn the_price_is_the_buy_box_then_new_then_amazons() {
        let day = 24 * 60;
        for (states, now, expected) in [
            (vec![state(0, Some(5000), Some(Some(4999)))], 1, Some((4999, PriceKind::BuyBox))),
            (vec![state(0, Some(5000), Some(None))], 1, Some((5000, PriceKind::New))),
            (vec![state(0, None, None)], 1, Some((9900, PriceKind::Amazon))),
            // Kept over a newer record that did not ask for it: a price while fresh, none afterwards.
            (
                vec![state(0, Some(5000), Some(Some(4999))), state(60, Some(5100), None)],
                day,
                Some((4999, PriceKind::BuyBox)),
            ),
            (
                vec![state(0, Some(5000), Some(Some(4999))), state(60, Some(5100), None)],
                day + 1,
                Some((5100, PriceKind::New)),
            ),
            // Carried by the newest record: the price, however old.
            (vec![state(0, Some(5000), Some(Some(4999)))], 30 * day, Some((4999, PriceKind::BuyBox))),
            // Asked for and none: the one held is erased.
            (
                vec![state(0, Some(5000), Some(Some(4999))), state(60, Some(5100), Some(None))],
                61,
                Some((5100, PriceKind::New)),
            ),
        ] {
            assert_eq!(shown(&states, now), expected, "{states:?} at {now}");
        }
    }

    #[test]
    fn keepas_state_is_shown_while_fresh_and_the_freshest_afterwards() {
        let day = 24 * 60;
        let feed_at = KeepaMinutes(day / 2);
        let mut feed = MarketState::observed(ObservedAt {
            last_update: feed_at,
            fetched_at: feed_at.to_unix(),
        });
        feed.prices = Some(Register::new(
            feed.latest,
            PriceFacts {
                new: Some(1),
                ..Default::default()
            },
        ));
        let mut product = Product::from_record(asin(), Marketplace::DE, Source::Keepa, state(0, Some(5000), None));
        product.merge(&Product::from_record(asin(), Marketplace::DE, Source::Feed, feed));
        let price_at = |minutes| {
            product
                .shown_price(Marketplace::DE, KeepaMinutes(minutes).to_unix(), Staleness::default())
                .map(|shown| shown.price.minor)
        };
        assert_eq!(price_at(day - 1), Some(5000));
        assert_eq!(price_at(day), Some(1));
    }

    #[test]
    fn an_update_that_is_newer_in_all_that_is_held_is_taken_as_it_is_and_others_are_merged() {
        let record = |minute, buy_box| Product::from_record(asin(), Marketplace::DE, Source::Keepa, state(minute, Some(5000), buy_box));
        let state_of = |product: &Product| Arc::clone(&product.markets[&Marketplace::DE][Source::Keepa]);
        let held = record(5, None);
        for (update, is_taken) in [(record(7, None), true), (record(7, Some(Some(1))), true), (record(3, Some(Some(1))), false)] {
            let both = merged(held.clone(), update.clone());
            assert_eq!(Arc::ptr_eq(&state_of(&both), &state_of(&update)), is_taken, "{update:?}");
        }
        let with_buy_box = record(5, Some(Some(1)));
        let without = record(7, None);
        let both = merged(with_buy_box, without.clone());
        assert!(!Arc::ptr_eq(&state_of(&both), &state_of(&without)) && state_of(&both).buy_box.is_some());
    }

    #[test]
    fn an_older_record_that_only_proves_an_earlier_first_seen_is_a_change() {
        let newer = Product::from_record(asin(), Marketplace::DE, Source::Keepa, state(10, Some(5000), None));
        let older = Product::from_record(asin(), Marketplace::DE, Source::Keepa, state(5, Some(4000), None));
        assert_eq!(older.effect_on(Some(&newer)), Effect::Changed);
        let both = merged(newer.clone(), older.clone());
        assert_eq!(both.first_seen, older.first_seen);
        // Its write may not have been published yet, as that of the newest.
        assert_eq!(older.effect_on(Some(&both)), Effect::Unchanged);
        assert_eq!(newer.effect_on(Some(&both)), Effect::Unchanged);
        let between = Product::from_record(asin(), Marketplace::DE, Source::Keepa, state(7, Some(4500), None));
        assert_eq!(between.effect_on(Some(&both)), Effect::Stale);
    }

    #[test]
    fn a_buy_box_that_no_newer_record_asked_for_keeps_its_record_at_the_frontier() {
        let with_buy_box = Product::from_record(asin(), Marketplace::DE, Source::Keepa, state(7, Some(1), Some(Some(2))));
        let [first, newer] = [5, 10].map(|minute| Product::from_record(asin(), Marketplace::DE, Source::Keepa, state(minute, Some(3), None)));
        let held = merged(merged(first, newer), with_buy_box.clone());
        assert_eq!(with_buy_box.effect_on(Some(&held)), Effect::Unchanged);
        let superseded = Product::from_record(asin(), Marketplace::DE, Source::Keepa, state(6, Some(1), Some(Some(2))));
        assert_eq!(superseded.effect_on(Some(&held)), Effect::Stale);
    }
}
