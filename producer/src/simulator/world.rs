//! [`World`]: all articles in all markets, at any instant. Pure: the same seed, article, market and
//! instant give the same answer in every process (what is computed once is only kept, never changed).

use std::sync::{Arc, Mutex, PoisonError};

use shared::domain::{Asin, KeepaMinutes, Marketplace, UnixMillis};

use super::assortment::{Assortment, Item};
use super::category_tree::CategoryTree;
use super::history::History;
use super::listing::{Listing, Presence, Quote};
use super::noise::Noise;
use super::product;
use super::sellers::Sellers;
use super::vocabulary::{MARKETS, market_index};

/// How much faster than in reality prices change by default: each price about every twelve minutes.
pub const DEFAULT_SPEED: f64 = 150.0;

/// The simulated articles, their markets, their prices.
#[derive(Debug)]
pub struct World {
    pub(super) assortment: Assortment,
    /// Article by article, in the order of the markets.
    listings: Vec<Listing>,
    histories: Vec<Mutex<Option<Arc<History>>>>,
    trees: Vec<CategoryTree>,
    sellers: Vec<Sellers>,
    pub(super) noise: Noise,
}

/// What a product request asks for, beside the ASIN and the market. The default is Keepa's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductOptions {
    /// `history`: whether to deliver `csv` and its kin.
    pub history: bool,
    /// `days`: cuts all history to the last days.
    pub days: Option<i32>,
    /// `stats`: adds the statistics, over this interval.
    pub stats: Option<StatsInterval>,
    /// `buybox`: buy box prices and their holders.
    pub buy_box: bool,
    /// `offers`: the offers themselves, and the price types that only they tell.
    pub offers: bool,
    /// `rating`: ratings and reviews.
    pub rating: bool,
}

/// The interval of `stats`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatsInterval {
    /// The last days.
    Days(i32),
    /// From one minute to another.
    Between(KeepaMinutes, KeepaMinutes),
}

impl Default for ProductOptions {
    fn default() -> Self {
        ProductOptions {
            history: true,
            days: None,
            stats: None,
            buy_box: false,
            offers: false,
            rating: false,
        }
    }
}

impl World {
    /// A world of some articles at the default speed.
    #[must_use]
    pub fn new(seed: u64, products: usize) -> Self {
        Self::with_speed(seed, products, DEFAULT_SPEED)
    }

    /// A world whose prices change `speed` times as fast as in reality.
    #[must_use]
    pub fn with_speed(seed: u64, products: usize, speed: f64) -> Self {
        let noise = Noise::new(seed);
        let assortment = Assortment::new(noise.named("assortment"), products);
        let markets = 0..MARKETS.len();
        let listings: Vec<Listing> = assortment
            .items
            .iter()
            .flat_map(|item| markets.clone().map(|market| Listing::new(item, market, speed)))
            .collect();
        World {
            histories: listings.iter().map(|_| Mutex::new(None)).collect(),
            listings,
            assortment,
            trees: markets.clone().map(|market| CategoryTree::new(noise, market)).collect(),
            sellers: markets.map(|market| Sellers::new(noise, market)).collect(),
            noise,
        }
    }

    /// All ASINs, the reference article first.
    #[must_use]
    pub fn asins(&self) -> &[Asin] {
        &self.assortment.asins
    }

    /// The markets that anything is sold in.
    #[must_use]
    pub fn marketplaces(&self) -> &'static [Marketplace] {
        &MARKETS
    }

    /// What a correct decoder must find in the answer to a request with statistics and buy box: the
    /// buy box with its shipping, else the lowest new price, else Amazon's; in the minor unit.
    #[must_use]
    pub fn landed_price(&self, asin: Asin, marketplace: Marketplace, at: UnixMillis) -> Option<i64> {
        self.view(asin, marketplace, at)?.quote().landed_price()
    }

    /// Keepa's product object, as JSON text; `None` where the article is not known in that market.
    #[must_use]
    pub fn product_json(&self, asin: Asin, marketplace: Marketplace, at: UnixMillis, options: &ProductOptions) -> Option<String> {
        let view = self.view(asin, marketplace, at)?;
        Some(json(&product::product(&view, options)))
    }

    /// The listing of an article, if the market knows it by then.
    pub(super) fn view(&self, asin: Asin, marketplace: Marketplace, at: UnixMillis) -> Option<View<'_>> {
        let market = market_index(marketplace)?;
        self.view_of(self.assortment.index_of(asin)?, market, at)
    }

    fn view_of(&self, item: usize, market: usize, at: UnixMillis) -> Option<View<'_>> {
        let listing = &self.listings[item * MARKETS.len() + market];
        let observed = listing.observed(at);
        listing.is_known(observed).then(|| View {
            item: &self.assortment.items[item],
            listing,
            history: &self.histories[item * MARKETS.len() + market],
            tree: &self.trees[market],
            sellers: &self.sellers[market],
            market,
            observed,
            now: KeepaMinutes::from_unix(at).0,
        })
    }

    /// Everything that a market knows, offered or not.
    pub(super) fn views(&self, marketplace: Marketplace, at: UnixMillis) -> impl Iterator<Item = View<'_>> {
        let market = market_index(marketplace);
        let items = if market.is_some() { 0..self.assortment.items.len() } else { 0..0 };
        items.filter_map(move |item| self.view_of(item, market?, at))
    }

    pub(super) fn tree(&self, marketplace: Marketplace) -> Option<&CategoryTree> {
        market_index(marketplace).map(|market| &self.trees[market])
    }

    pub(super) fn sellers(&self, marketplace: Marketplace) -> Option<&Sellers> {
        market_index(marketplace).map(|market| &self.sellers[market])
    }
}

/// One article in one market at one instant.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'w> {
    pub(super) item: &'w Item,
    pub(super) listing: &'w Listing,
    history: &'w Mutex<Option<Arc<History>>>,
    pub(super) tree: &'w CategoryTree,
    pub(super) sellers: &'w Sellers,
    /// Index into the markets, and so into all texts.
    pub(super) market: usize,
    /// Up to when Keepa knows the listing.
    pub(super) observed: i32,
    /// The minute of the answer.
    pub(super) now: i32,
}

impl View<'_> {
    pub(super) fn marketplace(&self) -> Marketplace {
        MARKETS[self.market]
    }

    /// The offers that Keepa saw last.
    pub(super) fn quote(&self) -> Quote {
        self.listing.quote_at(self.observed)
    }

    pub(super) fn history(&self) -> Arc<History> {
        // A panic cannot leave a wrong history behind: whatever is kept is checked against its segment.
        let mut kept = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        History::at(self.listing, self.observed, &mut kept)
    }

    pub(super) fn is_offered(&self) -> bool {
        self.listing.presence == Presence::Offered
    }
}

/// Everything that is sent serializes: no maps with other keys than strings and numbers.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain structures serialize")
}
