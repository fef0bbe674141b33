//! `/products`: articles and what they cost where.

use std::collections::BTreeMap;
use std::sync::Arc;

use poem::Request;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use shared::domain::assessment::Leg;
use shared::domain::listing::name_key;
use shared::domain::{Asin, Currency, ExchangeRate, Marketplace, ShownPrice, Staleness, StoredProduct, UnixMillis};
use shared::ports::catalog::{ProductQuery, ProductSort, Sort, Total};

use super::competition::CompetitionDocument;
use super::statistics::StatisticsDocument;
use super::{Group, TotalDocument, key};
use crate::answer::Answered;
use crate::api::Api;
use crate::error::{FetchError, ItemFailure, ListFailure, Problem};
use crate::freshness::DependsOn;
use crate::params::{Cursor, DEFAULT_LIMIT, Euros, Limit, Name, Path, Query, Words};
use crate::prices::bounds;
use crate::values::{Amount, CurrencyCode, Instant, Kind, Market};

/// The handlers.
pub(crate) struct ProductRoutes {
    api: Arc<Api>,
}

/// An article over all marketplaces, as of the answer.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Product")]
struct ProductDocument {
    /// Amazon's article number, ten characters.
    asin: String,
    /// In the first of the watched marketplaces that has one; never shortened.
    #[oai(nullable)]
    title: Option<String>,
    /// Brand, likewise.
    #[oai(nullable)]
    brand: Option<String>,
    /// Name of the root category, likewise.
    #[oai(nullable)]
    category: Option<String>,
    /// Main image, likewise.
    #[oai(nullable)]
    image_url: Option<String>,
    /// Where people see it, by marketplace in which it was seen.
    amazon_urls: BTreeMap<Market, String>,
    /// Landed price by marketplace; one without a price is left out.
    current_prices: BTreeMap<Market, PriceDocument>,
    /// Statistics of the series that the current price belongs to, by marketplace.
    price_statistics: BTreeMap<Market, StatisticsDocument>,
    /// Sales rank by marketplace, 1 is best.
    sales_rank: BTreeMap<Market, i64>,
    /// Demand and competitors by marketplace.
    competition: BTreeMap<Market, CompetitionDocument>,
    /// Score of the marketplace that was best to sell it in at the last update, 0 to 100; `competition` says from what. Null
    /// without a price.
    #[oai(nullable)]
    score: Option<Amount>,
    /// When it was first seen.
    first_seen: Instant,
    /// When it was last fetched.
    last_updated: Instant,
    /// A price came in within `STALE_AFTER` (7 days).
    is_active: bool,
    /// Grows with every change.
    revision: i64,
}

/// What it costs in one marketplace, shipping included.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Price")]
struct PriceDocument {
    /// In the marketplace's currency, with its decimals.
    amount: Amount,
    /// ISO 4217.
    currency: CurrencyCode,
    /// In EUR at the rates of `/stats`, rounded half up to the cent; null without a rate.
    #[oai(nullable)]
    amount_eur: Option<Amount>,
    /// Which price it is: `buy_box` (landed), `new` (lowest new offer) or `amazon` (Amazon's own offer).
    kind: Kind,
    /// From when its age counts.
    observed_at: Instant,
}

/// One page of products.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "ProductList")]
struct ProductListDocument {
    /// In order.
    items: Vec<ProductDocument>,
    /// Over all pages.
    total: TotalDocument,
    /// For the next page, with the same other parameters; null on the last.
    #[oai(nullable)]
    next_cursor: Option<String>,
}

/// What was asked, in one form: the same questions share an answer.
#[derive(Debug, Clone)]
struct Asked {
    text: Option<String>,
    market: Option<Marketplace>,
    brand: Option<String>,
    category: Option<String>,
    active: Option<bool>,
    min_cents: Option<i64>,
    max_cents: Option<i64>,
    sort: Sort<ProductSort>,
    limit: usize,
    cursor: Option<String>,
}

impl Asked {
    /// The catalog's query at some instant.
    fn query(self, now: UnixMillis, staleness: Staleness, rate: impl Fn(Currency) -> Option<ExchangeRate>) -> Option<ProductQuery> {
        let is_bounded = self.min_cents.is_some() || self.max_cents.is_some();
        let price_bounds = bounds(self.min_cents, self.max_cents, rate);
        if is_bounded && price_bounds.is_empty() {
            // To the catalog an empty map means no bound; here nothing can match.
            return None;
        }
        Some(ProductQuery {
            text: self.text,
            market: self.market,
            brand: self.brand,
            category: self.category,
            active: self.active.map(|wanted| (wanted, now.plus_millis(-staleness.product_millis))),
            price_bounds,
            sort: self.sort,
            limit: self.limit,
            cursor: self.cursor,
        })
    }
}

#[OpenApi(tag = "Group::Products")]
impl ProductRoutes {
    /// List products
    ///
    /// Every product seen, active or not, by ASIN unless `sort` says otherwise. An answer may be two seconds old.
    #[oai(path = "/products", method = "get", operation_id = "list_products")]
    #[allow(clippy::too_many_arguments)]
    async fn list(
        &self,
        request: &Request,
        /// Words that all occur in title, brand or category; or an ASIN.
        q: Query<Words>,
        /// A price is known in this marketplace; price bounds then hold there. `GB` is accepted for `UK`.
        market: Query<Market>,
        /// This brand, compared whole and without case.
        brand: Query<Name>,
        /// This root category, compared whole and without case.
        category: Query<Name>,
        /// Only active, or only inactive products; both unless given.
        active: Query<bool>,
        /// Landed price of at least this much, EUR, in one and the same marketplace as `max_price`.
        min_price: Query<Euros>,
        /// Landed price of at most this much, EUR.
        max_price: Query<Euros>,
        /// One field, `-` before it for descending; ties by ASIN.
        sort: Query<Sort<ProductSort>>,
        /// Items a page.
        limit: Query<Limit>,
        /// `next_cursor` of the page before; belongs to the query it came with.
        cursor: Query<Cursor>,
    ) -> Result<Answered<ProductListDocument>, ListFailure> {
        if let (Some(min), Some(max)) = (min_price.0, max_price.0)
            && min.0 > max.0
        {
            return Err(Problem::parameter("min_price", "must not be greater than max_price").into());
        }
        let asked = Asked {
            text: q.0.map(|words| words.0),
            market: market.0.map(|market| market.0),
            brand: brand.0.map(|brand| name_key(&brand.0)),
            category: category.0.map(|category| name_key(&category.0)),
            active: active.0,
            min_cents: min_price.0.map(Euros::cents_at_least),
            max_cents: max_price.0.map(Euros::cents_at_most),
            sort: sort.0.unwrap_or(Sort {
                field: ProductSort::Asin,
                descending: false,
            }),
            limit: limit.0.map_or(DEFAULT_LIMIT, |limit| limit.0),
            cursor: cursor.0.map(|cursor| cursor.0),
        };
        let key = key("products", &asked);
        let fetch = list(Arc::clone(&self.api), asked);
        let held = self.api.answer(DependsOn::More, &key, fetch).await?;
        Ok(Answered::new(held, request.headers(), self.api.now()))
    }

    /// One product
    #[oai(path = "/products/:asin", method = "get", operation_id = "get_product")]
    async fn get(
        &self,
        request: &Request,
        /// The article, in upper or lower case.
        asin: Path<Asin>,
    ) -> Result<Answered<ProductDocument>, ItemFailure> {
        let key = key("product", &asin.0);
        let held = self.api.answer(DependsOn::OneDocument, &key, get(Arc::clone(&self.api), asin.0)).await?;
        Ok(Answered::new(held, request.headers(), self.api.now()))
    }
}

impl ProductRoutes {
    pub(super) fn new(api: Arc<Api>) -> Self {
        ProductRoutes { api }
    }
}

async fn list(api: Arc<Api>, asked: Asked) -> Result<ProductListDocument, FetchError> {
    let surroundings = api.surroundings().await?;
    let (now, staleness) = (api.now(), api.config.staleness);
    let rate = |currency| surroundings.rate(currency);
    let Some(query) = asked.query(now, staleness, rate) else {
        return Ok(ProductListDocument {
            items: Vec::new(),
            total: Total { value: 0, exact: true }.into(),
            next_cursor: None,
        });
    };
    let page = api.catalog.search_products(&query).await?;
    Ok(ProductListDocument {
        items: page.items.iter().map(|stored| ProductDocument::of(stored, now, staleness, rate)).collect(),
        total: page.total.into(),
        next_cursor: page.next_cursor,
    })
}

async fn get(api: Arc<Api>, asin: Asin) -> Result<ProductDocument, FetchError> {
    let surroundings = api.surroundings().await?;
    let found = api.catalog.read_products(&[asin]).await?.into_iter().flatten().next();
    let stored = found.ok_or_else(|| Problem::NotKnown {
        what: format!("product {asin}"),
    })?;
    Ok(ProductDocument::of(&stored.value, api.now(), api.config.staleness, |currency| {
        surroundings.rate(currency)
    }))
}

impl ProductDocument {
    /// A product as shown at some instant.
    fn of(stored: &StoredProduct, now: UnixMillis, staleness: Staleness, rate: impl Fn(Currency) -> Option<ExchangeRate>) -> Self {
        let StoredProduct { product, revision, listing } = stored;
        let shown_prices = product.shown_prices(now, staleness);
        let state = |marketplace| product.shown_state(marketplace, now, staleness).map(|(_, state)| state);
        let statistics = |(marketplace, shown): (&Marketplace, &ShownPrice)| {
            let state = state(*marketplace)?;
            let statistics = state.statistics_of(shown.kind)?;
            let history = state.history_of(shown.kind);
            Some(((*marketplace).into(), StatisticsDocument::of(statistics, history, shown.price)))
        };
        let competition = |&marketplace: &Marketplace| {
            let leg = Leg::of(product, marketplace, now, staleness);
            Some((marketplace.into(), CompetitionDocument::of(marketplace, state(marketplace)?, leg)))
        };
        let rank = |&marketplace: &Marketplace| {
            let rank = state(marketplace)?.prices.as_ref()?.facts.sales_rank?;
            Some((marketplace.into(), rank))
        };
        let url = |&marketplace: &Marketplace| (marketplace.into(), marketplace.product_url(product.asin));
        ProductDocument {
            asin: product.asin.to_string(),
            title: listing.title.clone(),
            brand: listing.brand.clone(),
            category: listing.category.clone(),
            image_url: listing.image_url.clone(),
            amazon_urls: product.markets.keys().map(url).collect(),
            price_statistics: shown_prices.iter().filter_map(statistics).collect(),
            current_prices: shown_prices
                .iter()
                .map(|(&marketplace, shown)| (marketplace.into(), PriceDocument::of(shown, &rate)))
                .collect(),
            sales_rank: product.markets.keys().filter_map(rank).collect(),
            competition: product.markets.keys().filter_map(competition).collect(),
            score: listing.score.map(Amount::from),
            first_seen: product.first_seen.into(),
            last_updated: product.last_updated.into(),
            is_active: product.is_active(now, staleness),
            revision: *revision,
        }
    }
}

impl PriceDocument {
    fn of(shown: &ShownPrice, rate: impl Fn(Currency) -> Option<ExchangeRate>) -> Self {
        let euros = rate(shown.price.currency).and_then(|rate| rate.to_eur(shown.price).ok());
        PriceDocument {
            amount: shown.price.into(),
            currency: CurrencyCode(shown.price.currency.code()),
            amount_eur: euros.map(Amount::from),
            kind: Kind(shown.kind.name()),
            observed_at: shown.observed_at.into(),
        }
    }
}
