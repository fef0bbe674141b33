//! [`Listing`]: what lists show and filter by, derived from a product when it is written.

use std::collections::BTreeMap;

use super::assessment::{Leg, MarketScore};
use super::keepa_time::UnixMillis;
use super::margin::Percentage;
use super::marketplace::Marketplace;
use super::product::{Product, Staleness};

/// A product's names and prices as of its last write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Of the first of `MARKETS` that has one.
    pub title: Option<String>,
    /// Likewise.
    pub brand: Option<String>,
    /// Name of the root category, likewise.
    pub category: Option<String>,
    /// Likewise.
    pub image_url: Option<String>,
    /// Landed prices in minor units of each marketplace's currency, for filters; what is shown is computed when read.
    pub prices: BTreeMap<Marketplace, i64>,
    /// Score of the marketplace that is best to sell in, for the order of lists; none without a price.
    pub score: Option<Percentage>,
}

/// A product as the catalog holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProduct {
    /// The merged facts.
    pub product: Product,
    /// Grows with every write: `max(previous + 1, write time in ms)`.
    pub revision: i64,
    /// Derived from the facts at the write.
    pub listing: Listing,
}

impl Listing {
    /// The listing of a product; `markets` says in which order names are looked for.
    #[must_use]
    pub fn of(product: &Product, markets: &[Marketplace], now: UnixMillis, staleness: Staleness) -> Self {
        let legs = product.markets.keys().filter_map(|&marketplace| Leg::of(product, marketplace, now, staleness));
        Listing {
            score: MarketScore::best(legs).map(|(_, score)| score.value),
            title: product.title(markets).map(str::to_owned),
            brand: product.brand(markets).map(str::to_owned),
            category: product.category(markets).map(str::to_owned),
            image_url: product.image_url(markets).map(str::to_owned),
            prices: product
                .shown_prices(now, staleness)
                .into_iter()
                .map(|(marketplace, shown)| (marketplace, shown.price.minor))
                .collect(),
        }
    }
}

/// The form in which names are compared: whole, without case.
#[must_use]
pub fn name_key(name: &str) -> String {
    name.trim().to_lowercase()
}

/// The revision of a write: greater than the previous one, and growing even over a rebuilt index.
#[must_use]
pub fn next_revision(previous: Option<i64>, now: UnixMillis) -> i64 {
    previous.map_or(now.0, |previous| now.0.max(previous.saturating_add(1)))
}
