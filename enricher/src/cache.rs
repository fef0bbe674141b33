//! What this owner of a partition wrote or read in real time: the merged products and their versions. Pure.
//!
//! It saves the read before a merge, which costs more than the write. It is bounded by (approximate) bytes and drops
//! the least recently used; it is dropped as a whole with the partition, since another owner writes then.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use shared::domain::history::SellerShare;
use shared::domain::{Asin, BySource, MarketState, Product, Register, StoredProduct};
use shared::ports::catalog::Versioned;

/// Products by ASIN, the least recently used dropped first.
#[derive(Debug)]
pub(crate) struct MergeCache {
    entries: HashMap<Asin, Entry>,
    by_use: BTreeMap<u64, Asin>,
    clock: u64,
    bytes: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    product: Versioned<Arc<StoredProduct>>,
    used: u64,
    bytes: usize,
}

impl MergeCache {
    pub(crate) fn new(max_bytes: usize) -> Self {
        MergeCache {
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            clock: 0,
            bytes: 0,
            max_bytes,
        }
    }

    /// Holds no more than this from now on.
    pub(crate) fn resize(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes;
        self.make_room();
    }

    #[cfg(test)]
    pub(crate) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// The product, if held; it counts as used.
    pub(crate) fn get(&mut self, asin: Asin) -> Option<&Versioned<Arc<StoredProduct>>> {
        self.clock += 1;
        let entry = self.entries.get_mut(&asin)?;
        self.by_use.remove(&entry.used);
        entry.used = self.clock;
        self.by_use.insert(entry.used, asin);
        Some(&entry.product)
    }

    /// Holds a product, in place of what was held of it.
    pub(crate) fn put(&mut self, product: Versioned<Arc<StoredProduct>>) {
        let asin = product.value.product.asin;
        self.remove(asin);
        self.clock += 1;
        let bytes = approximate_bytes(&product.value);
        self.bytes += bytes;
        self.by_use.insert(self.clock, asin);
        self.entries.insert(
            asin,
            Entry {
                product,
                used: self.clock,
                bytes,
            },
        );
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.bytes > self.max_bytes && self.entries.len() > 1 {
            let Some((_, &oldest)) = self.by_use.first_key_value() else { break };
            self.remove(oldest);
        }
    }

    /// Forgets a product: somebody else wrote it.
    pub(crate) fn remove(&mut self, asin: Asin) {
        if let Some(entry) = self.entries.remove(&asin) {
            self.by_use.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

/// What a stored product costs in memory, to within a factor of two.
pub(crate) fn approximate_bytes(stored: &StoredProduct) -> usize {
    const ENTRY: usize = 512;
    ENTRY + product_bytes(&stored.product) + text_bytes(&stored.listing.title) + text_bytes(&stored.listing.image_url)
}

/// What a product costs in memory, to within a factor of two; what it shares with others is counted as its own.
pub(crate) fn product_bytes(product: &Product) -> usize {
    /// A node of the map: it has room for eleven entries from the first on.
    const NODE: usize = 320;
    let states = product.markets.values().flat_map(BySource::values);
    NODE + states.map(|state| COUNTS + state_bytes(state)).sum::<usize>()
}

/// Stand before what is shared.
const COUNTS: usize = 16;

fn state_bytes(state: &MarketState) -> usize {
    fn shared_bytes<T>(register: &Option<Register<Arc<T>>>) -> usize {
        register.as_ref().map_or(0, |_| size_of::<T>() + COUNTS)
    }
    let attributes = state.attributes.as_ref().map_or(0, |register| {
        let facts = &register.facts;
        let categories: usize = facts.categories.iter().map(|category| category.name.len() + 40).sum();
        let codes: usize = facts.product_codes.iter().map(|code| code.len() + 24).sum();
        text_bytes(&facts.title) + text_bytes(&facts.brand) + text_bytes(&facts.image_url) + categories + codes
    });
    let sellers = state
        .buy_box
        .as_ref()
        .map_or(0, |register| register.facts.shares.len() * size_of::<SellerShare>());
    let apart = shared_bytes(&state.buy_box_statistics) + shared_bytes(&state.history) + shared_bytes(&state.attributes);
    size_of::<MarketState>() + apart + attributes + sellers
}

fn text_bytes<T: AsRef<str>>(text: &Option<T>) -> usize {
    text.as_ref().map_or(0, |text| text.as_ref().len())
}

#[cfg(test)]
mod tests {
    use compact_str::CompactString;
    use proptest::prelude::*;
    use shared::domain::history::HistoryFacts;
    use shared::domain::price::{AttributeFacts, BuyBoxFacts, Category, PriceFacts};
    use shared::domain::{KeepaMinutes, Listing, Marketplace, ObservedAt, Percentage, Source, UnixMillis};
    use shared::ports::catalog::Version;

    use super::*;

    fn asin(number: usize) -> Asin {
        format!("B{number:09}").parse().expect("an ASIN")
    }

    fn product(number: usize, revision: i64) -> Versioned<Arc<StoredProduct>> {
        Versioned {
            value: Arc::new(StoredProduct {
                product: Product {
                    asin: asin(number),
                    markets: BTreeMap::new(),
                    first_seen: UnixMillis(1),
                    last_updated: UnixMillis(1),
                    last_priced_at: None,
                },
                revision,
                listing: Listing::default(),
            }),
            version: Version {
                index: Arc::from("products"),
                seq_no: 1,
                primary_term: 1,
            },
        }
    }

    #[test]
    fn the_least_recently_used_product_is_dropped() {
        let one = approximate_bytes(&product(0, 1).value);
        let mut cache = MergeCache::new(3 * one);
        for number in 0..3 {
            cache.put(product(number, 1));
        }
        assert!(cache.get(asin(0)).is_some());
        cache.put(product(3, 1));
        assert!(cache.get(asin(1)).is_none());
        assert!([0, 2, 3].into_iter().all(|number| cache.get(asin(number)).is_some()));
    }

    #[test]
    fn a_product_is_held_once_in_its_newest_form() {
        let mut cache = MergeCache::new(usize::MAX);
        cache.put(product(1, 1));
        cache.put(product(1, 2));
        assert_eq!(cache.get(asin(1)).map(|product| product.value.revision), Some(2));
        cache.remove(asin(1));
        assert!(cache.get(asin(1)).is_none());
        assert_eq!((cache.bytes, cache.by_use.len()), (0, 0));
    }

    /// What is done to a cache, each with the number of a product or of products that there is room for.
    #[derive(Debug, Clone, Copy)]
    enum Deed {
        Put(usize),
        Get(usize),
        Remove(usize),
        Resize(usize),
    }

    fn deed() -> impl Strategy<Value = Deed> {
        (0..4, 0_usize..6).prop_map(|(kind, number)| match kind {
            0 => Deed::Put(number),
            1 => Deed::Get(number),
            2 => Deed::Remove(number),
            _ => Deed::Resize(number),
        })
    }

    proptest! {
        #[test]
        fn it_holds_what_a_list_in_the_order_of_use_holds(deeds in prop::collection::vec(deed(), 1..60)) {
            let one = approximate_bytes(&product(0, 1).value);
            let mut room = 3;
            let mut cache = MergeCache::new(room * one);
            // The least recently used first.
            let mut list: Vec<usize> = Vec::new();
            for deed in deeds {
                match deed {
                    Deed::Put(number) => {
                        cache.put(product(number, 1));
                        list.retain(|held| *held != number);
                        list.push(number);
                    }
                    Deed::Get(number) => {
                        let is_held = list.contains(&number);
                        prop_assert_eq!(cache.get(asin(number)).is_some(), is_held);
                        if is_held {
                            list.retain(|held| *held != number);
                            list.push(number);
                        }
                    }
                    Deed::Remove(number) => {
                        cache.remove(asin(number));
                        list.retain(|held| *held != number);
                    }
                    Deed::Resize(number) => {
                        room = number;
                        cache.resize(room * one);
                    }
                }
                let too_many = list.len().saturating_sub(room.max(1));
                list.drain(..too_many);
                let held: Vec<Asin> = cache.by_use.values().copied().collect();
                prop_assert_eq!(held, list.iter().map(|number| asin(*number)).collect::<Vec<_>>());
                prop_assert_eq!((cache.bytes, cache.entries.len(), cache.max_bytes()), (list.len() * one, list.len(), room * one));
            }
        }
    }

    fn observed_at() -> ObservedAt {
        ObservedAt {
            last_update: KeepaMinutes(1),
            fetched_at: UnixMillis(1),
        }
    }

    #[test]
    fn a_product_costs_what_its_parts_cost() {
        fn register<F: Into<T>, T>(facts: F) -> Option<Register<T>> {
            Some(Register::new(observed_at(), facts))
        }
        let bytes = |change: fn(&mut MarketState)| {
            let mut state = MarketState::observed(observed_at());
            change(&mut state);
            let mut stored = StoredProduct::clone(&product(1, 1).value);
            let states = BySource::from([(Source::Keepa, Arc::new(state))]);
            stored.product.markets.insert(Marketplace::DE, states);
            approximate_bytes(&stored)
        };
        let nothing = bytes(|_| {});
        assert_eq!(nothing, approximate_bytes(&product(1, 1).value) + 16 + size_of::<MarketState>());
        let text = |length: usize| Some("x".repeat(length));
        let mut listed = StoredProduct::clone(&product(1, 1).value);
        (listed.listing.title, listed.listing.image_url) = (text(20), text(300));
        assert_eq!(approximate_bytes(&listed), 512 + 320 + 320);
        let of_attributes = size_of::<AttributeFacts>() + 16;
        type Case = (&'static str, fn(&mut MarketState), usize);
        let cases: [Case; 8] = [
            ("prices", |state| state.prices = register(PriceFacts::default()), 0),
            (
                "a history",
                |state| state.history = register(HistoryFacts::default()),
                size_of::<HistoryFacts>() + 16,
            ),
            ("attributes", |state| state.attributes = register(AttributeFacts::default()), of_attributes),
            (
                "texts",
                |state| {
                    state.attributes = register(AttributeFacts {
                        title: Some("x".repeat(1_000).into()),
                        brand: Some("x".repeat(200).into()),
                        image_url: Some("x".repeat(30).into()),
                        ..AttributeFacts::default()
                    });
                },
                of_attributes + 1_230,
            ),
            (
                "categories",
                |state| {
                    let name = CompactString::from("x".repeat(100));
                    state.attributes = register(AttributeFacts {
                        categories: vec![Category { id: 1, name: name.clone() }, Category { id: 2, name }],
                        ..AttributeFacts::default()
                    });
                },
                of_attributes + 280,
            ),
            (
                "codes",
                |state| {
                    state.attributes = register(AttributeFacts {
                        product_codes: vec!["4000000000006".into(), "4000000000013".into()],
                        ..AttributeFacts::default()
                    });
                },
                of_attributes + 74,
            ),
            ("a buy box", |state| state.buy_box = register(BuyBoxFacts::default()), 0),
            (
                "sellers",
                |state| {
                    let share = SellerShare {
                        seller_id: "A1".into(),
                        share: Percentage(5_000),
                    };
                    state.buy_box = register(BuyBoxFacts {
                        shares: vec![share.clone(), share],
                        ..BuyBoxFacts::default()
                    });
                },
                2 * size_of::<SellerShare>(),
            ),
        ];
        for (what, change, more) in cases {
            assert_eq!(bytes(change), nothing + more, "{what}");
        }
    }

    #[test]
    fn a_product_larger_than_the_bound_is_held_alone() {
        let mut cache = MergeCache::new(1);
        cache.put(product(1, 1));
        cache.put(product(2, 1));
        assert!(cache.get(asin(1)).is_none() && cache.get(asin(2)).is_some());
    }
}
