//! `/opportunities`: gaps between two marketplaces.

#![deny(clippy::float_arithmetic, clippy::cast_precision_loss, clippy::cast_possible_truncation)]

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use poem::Request;
use poem_openapi::{Object, OpenApi};
use rust_decimal::Decimal;
use serde::Serialize;
use shared::domain::listing::name_key;
use shared::domain::opportunity::RatesUsed;
use shared::domain::profit::ledger;
use shared::domain::{Asin, Marketplace, Opportunity, OpportunityId, Percentage, Staleness, TrapReason, UnixMillis};
use shared::ports::catalog::{Facets, NameCount, OpportunityQuery, OpportunitySort, Sort};

use super::assessment::{ScoreDocument, TrapDocument};
use super::profit::LedgerDocument;
use super::{Group, TotalDocument, key};
use crate::answer::Answered;
use crate::api::Api;
use crate::error::{FetchError, ItemFailure, ListFailure, Problem};
use crate::freshness::DependsOn;
use crate::params::{Cursor, DEFAULT_LIMIT, Limit, MinMargin, MinProfit, Name, Path, Query, TrapReasons, Words};
use crate::values::{Amount, Closed, CurrencyCode, Instant, Market, TrapCode};

/// The handlers.
pub(crate) struct OpportunityRoutes {
    api: Arc<Api>,
}

/// An article bought in one marketplace and sold in another. The margin is the gap between two landed prices, before
/// VAT, fees and freight.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Opportunity")]
struct OpportunityDocument {
    /// `ASIN:SOURCE:TARGET`.
    id: String,
    /// The article.
    asin: String,
    /// Its title.
    #[oai(nullable)]
    title: Option<String>,
    /// Its brand.
    #[oai(nullable)]
    brand: Option<String>,
    /// Its main image.
    #[oai(nullable)]
    image_url: Option<String>,
    /// Where it is bought.
    source_market: Market,
    /// Where it is sold.
    target_market: Market,
    /// Landed price where it is bought, in `source_currency`.
    source_price: Amount,
    /// ISO 4217.
    source_currency: CurrencyCode,
    /// Landed price where it is sold, in `target_currency`.
    target_price: Amount,
    /// ISO 4217.
    target_currency: CurrencyCode,
    /// `source_price` in EUR, rounded half up to the cent.
    source_price_eur: Amount,
    /// `target_price` in EUR, rounded half up to the cent.
    target_price_eur: Amount,
    /// `target_price_eur - source_price_eur`, EUR.
    margin: Amount,
    /// The margin in percent of `source_price_eur`, two decimals.
    margin_percentage: Amount,
    /// What is left of the margin for the configured seller (`SELLER_PROFILE`) after VAT, fees, freight and currency, EUR;
    /// below zero is a loss. Null where a cost of the route is not known.
    #[oai(nullable)]
    profit: Option<Amount>,
    /// `100 * profit / capital`, the capital being purchase, freight, prep, duty, broker and other; null where none is tied up.
    #[oai(nullable)]
    roi_percentage: Option<Amount>,
    /// `100 * (target_price - break_even_price) / target_price`: how far the price may fall before the profit is gone; below
    /// zero it has to rise by that much. Null where no price breaks even.
    #[oai(nullable)]
    buffer_percentage: Option<Amount>,
    /// Reasons to distrust it, as of its last evaluation; null where it was not assessed yet.
    #[oai(nullable)]
    traps: Option<Vec<TrapDocument>>,
    /// Checks that could not be made because their data is not known.
    unchecked: Vec<TrapCode>,
    /// How far it can be trusted, 0 to 100: `100 * product of (1 - weight)` over the reasons found `* product of (1 - weight / 10)`
    /// over those that could not be checked. Null where it was not assessed yet.
    #[oai(nullable)]
    confidence: Option<Amount>,
    /// How good it is, for the order of lists; null without a profit.
    #[oai(nullable)]
    score: Option<ScoreDocument>,
    /// Currency of `margin` and of the prices in EUR.
    currency: CurrencyCode,
    /// The rates it was computed with; null when both prices are in EUR.
    #[oai(nullable)]
    exchange_rate: Option<RatesUsedDocument>,
    /// The gap exists, and neither price is older than `LEG_STALE_AFTER` (24 hours).
    is_active: bool,
    /// Why it is not active: `gap`, `price_gone`, `stale`, `rate` or `config`; null while it is.
    #[oai(nullable)]
    closed_reason: Option<Closed>,
    /// When the gap was first seen, ever.
    first_seen: Instant,
    /// When it last opened.
    opened_at: Instant,
    /// When it was last found open.
    last_seen: Instant,
    /// From when the age of the source price counts.
    source_observed_at: Instant,
    /// From when the age of the target price counts.
    target_observed_at: Instant,
    /// Where people buy it.
    buy_url: String,
    /// Where people sell it.
    sell_url: String,
}

/// An opportunity with the ledger of its profit, and the other ways to sell the article.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "OpportunityDetail")]
struct DetailDocument {
    /// The opportunity.
    #[oai(flatten)]
    #[serde(flatten)]
    opportunity: OpportunityDocument,
    /// Why it is worth what it is worth to the configured seller, line by line, as of its last evaluation; null where a cost of
    /// the route is not known.
    #[oai(nullable)]
    ledger: Option<LedgerDocument>,
    /// The article's other routes on which a gap is open, by profit, greatest first.
    alternatives: Vec<AlternativeDocument>,
}

/// Another route of the same article.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "RouteAlternative")]
struct AlternativeDocument {
    /// `ASIN:SOURCE:TARGET`.
    id: String,
    /// Where it is bought.
    source_market: Market,
    /// Where it is sold.
    target_market: Market,
    /// EUR, gross.
    margin: Amount,
    /// In percent of the source price.
    margin_percentage: Amount,
    /// EUR, for the configured seller; null where it is not known.
    #[oai(nullable)]
    profit: Option<Amount>,
    /// Of the capital tied up; null where it is not known.
    #[oai(nullable)]
    roi_percentage: Option<Amount>,
}

/// Reference rates of the European Central Bank that were used.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "ExchangeRateUsed")]
struct RatesUsedDocument {
    /// The day they were published for.
    date: NaiveDate,
    /// Units per 1 EUR, by currency (ISO 4217).
    rates: BTreeMap<String, Amount>,
}

/// One page of opportunities.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "OpportunityList")]
struct OpportunityListDocument {
    /// In order.
    items: Vec<OpportunityDocument>,
    /// Over all pages.
    total: TotalDocument,
    /// For the next page, with the same other parameters; null on the last.
    #[oai(nullable)]
    next_cursor: Option<String>,
    /// What to know of this list: there when `min_margin` lies below the margin from which gaps are recorded at all.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<String>,
}

/// Names that active opportunities have.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "OpportunityFacets")]
struct FacetsDocument {
    /// Most frequent first.
    brands: Vec<NameCountDocument>,
    /// Root categories, likewise.
    categories: Vec<NameCountDocument>,
}

/// A name and how many active opportunities have it.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "NameCount")]
struct NameCountDocument {
    /// As one of them writes it.
    name: String,
    /// How many.
    count: u64,
}

/// What was asked, in one form.
#[derive(Debug, Clone)]
struct Asked {
    text: Option<String>,
    min_margin: Option<Percentage>,
    min_profit: Option<i64>,
    min_roi: Option<Percentage>,
    min_buffer: Option<Percentage>,
    min_confidence: Option<Percentage>,
    trap: Option<TrapReason>,
    without_traps: Vec<TrapReason>,
    source: Option<Marketplace>,
    target: Option<Marketplace>,
    asin: Option<Asin>,
    brand: Option<String>,
    category: Option<String>,
    active: bool,
    sort: Sort<OpportunitySort>,
    limit: usize,
    cursor: Option<String>,
}

impl Asked {
    fn query(self, now: UnixMillis, staleness: Staleness) -> OpportunityQuery {
        OpportunityQuery {
            text: self.text,
            min_margin: self.min_margin,
            min_profit: self.min_profit,
            min_roi: self.min_roi,
            min_buffer: self.min_buffer,
            min_confidence: self.min_confidence,
            trap: self.trap,
            without_traps: self.without_traps,
            source: self.source,
            target: self.target,
            asin: self.asin,
            brand: self.brand,
            category: self.category,
            active: Some((self.active, now.plus_millis(-staleness.leg_millis))),
            sort: self.sort,
            limit: self.limit,
            cursor: self.cursor,
        }
    }

    fn notice(&self, floor: Decimal) -> Option<String> {
        let asked = self.min_margin.map(Percentage::to_decimal).filter(|asked| *asked < floor)?;
        let (asked, floor) = (asked.normalize(), floor.normalize());
        Some(format!(
            "only gaps above {floor} % are recorded (MIN_MARGIN_PERCENT): min_margin={asked} finds no others"
        ))
    }
}

#[OpenApi(tag = "Group::Opportunities")]
impl OpportunityRoutes {
    /// List opportunities
    ///
    /// Active ones by margin in percent, greatest first, unless asked otherwise. An answer is kept until an opportunity
    /// changes, for a minute at most; a change shows within about a second.
    #[oai(path = "/opportunities", method = "get", operation_id = "list_opportunities")]
    #[allow(clippy::too_many_arguments)]
    async fn list(
        &self,
        request: &Request,
        /// Words that all occur in the article's title, brand or category; or an ASIN. The last may be a beginning.
        q: Query<Words>,
        /// Margin of at least this many percent.
        min_margin: Query<MinMargin>,
        /// Profit of at least this, EUR; where it is not known it is not found. Likewise the next two.
        min_profit: Query<MinProfit>,
        /// Return on capital of at least this many percent.
        min_roi: Query<MinMargin>,
        /// Buffer of at least this many percent.
        min_buffer: Query<MinMargin>,
        /// Confidence of at least this, 0 to 100; what was not assessed is not found.
        min_confidence: Query<MinMargin>,
        /// With this reason to distrust it. `ean_mismatch`: the two marketplaces tell different product codes.
        /// `pack_size_mismatch`: they tell different numbers of items or packs. `variation_parent`: some marketplace tells a
        /// parent of variations, which cannot be bought itself. `price_outlier`: a price outside P1 to P99 of its last 90 days. `amazon_back`: Amazon offers it
        /// where it is sold, after it was away for 10 % of 90 days or more. `box_held_by_one`: one seller holds that buy box for
        /// 90 % of the time or more. `often_out_of_stock`: a price was missing for more than 30 % of 90 days. `order_quantity`: it
        /// is sold from two units on, or up to five, to an order. `hazardous`, `heat_sensitive`: Amazon says so. `map_price`: a price
        /// is hidden by the maker's policy. `stale_leg`: a price is older than a quarter of `LEG_STALE_AFTER`. `offer_flood`: new
        /// offers where it is sold at least doubled against their mean of 30 days, and by three or more.
        trap: Query<TrapReason>,
        /// Without any of these, between commas, or `all`. Checks that could not be made count as passed here, and for
        /// `min_confidence` they do not.
        without_traps: Query<TrapReasons>,
        /// Bought in this marketplace. `GB` is accepted for `UK`.
        source_market: Query<Market>,
        /// Sold in this marketplace.
        target_market: Query<Market>,
        /// Of this article.
        asin: Query<Asin>,
        /// Of this brand, compared whole and without case.
        brand: Query<Name>,
        /// Of this root category, compared whole and without case.
        category: Query<Name>,
        /// Active ones (the default), or those that are not.
        active: Query<bool>,
        /// One field, `-` before it for descending; ties by id. `oldest_leg` is the older of the two `observed_at`.
        sort: Query<Sort<OpportunitySort>>,
        /// Items a page.
        limit: Query<Limit>,
        /// `next_cursor` of the page before; belongs to the query it came with.
        cursor: Query<Cursor>,
    ) -> Result<Answered<OpportunityListDocument>, ListFailure> {
        let asked = Asked {
            text: q.0.map(|words| words.0),
            min_margin: min_margin.0.map(MinMargin::at_least),
            min_profit: min_profit.0.map(MinProfit::cents),
            min_roi: min_roi.0.map(MinMargin::at_least),
            min_buffer: min_buffer.0.map(MinMargin::at_least),
            min_confidence: min_confidence.0.map(MinMargin::at_least),
            trap: trap.0,
            without_traps: without_traps.0.unwrap_or_default().0,
            source: source_market.0.map(|market| market.0),
            target: target_market.0.map(|market| market.0),
            asin: asin.0,
            brand: brand.0.map(|brand| name_key(&brand.0)),
            category: category.0.map(|category| name_key(&category.0)),
            active: active.0.unwrap_or(true),
            sort: sort.0.unwrap_or(Sort {
                field: OpportunitySort::MarginPercentage,
                descending: true,
            }),
            limit: limit.0.map_or(DEFAULT_LIMIT, |limit| limit.0),
            cursor: cursor.0.map(|cursor| cursor.0),
        };
        let key = key("opportunities", &asked);
        let fetch = list(Arc::clone(&self.api), asked);
        let held = self.api.answer(DependsOn::Opportunities, &key, fetch).await?;
        Ok(Answered::new(held, request.headers(), self.api.now()))
    }

    /// Brands and categories of opportunities
    ///
    /// Those of active opportunities with their numbers, most frequent first, at most 200 of each: what `brand` and `category`
    /// can be asked for.
    #[oai(path = "/opportunities/facets", method = "get", operation_id = "get_opportunity_facets")]
    async fn facets(&self, request: &Request) -> Result<Answered<FacetsDocument>, ListFailure> {
        let held = self
            .api
            .answer(DependsOn::Opportunities, "opportunity facets", facets(Arc::clone(&self.api)))
            .await?;
        Ok(Answered::new(held, request.headers(), self.api.now()))
    }

    /// One opportunity
    ///
    /// Open or closed; a closed one has the numbers it last had. With the ledger of its profit and the article's other routes.
    #[oai(path = "/opportunities/:id", method = "get", operation_id = "get_opportunity")]
    async fn get(
        &self,
        request: &Request,
        /// `ASIN:SOURCE:TARGET`.
        id: Path<OpportunityId>,
    ) -> Result<Answered<DetailDocument>, ItemFailure> {
        let key = key("opportunity", &id.0);
        let held = self.api.answer(DependsOn::OneDocument, &key, get(Arc::clone(&self.api), id.0)).await?;
        Ok(Answered::new(held, request.headers(), self.api.now()))
    }
}

impl OpportunityRoutes {
    pub(super) fn new(api: Arc<Api>) -> Self {
        OpportunityRoutes { api }
    }
}

async fn list(api: Arc<Api>, asked: Asked) -> Result<OpportunityListDocument, FetchError> {
    let surroundings = api.surroundings().await?;
    let notice = asked.notice(surroundings.min_margin_percent(api.config.min_margin_percent));
    let (now, staleness) = (api.now(), api.config.staleness);
    let page = api.catalog.list_opportunities(&asked.query(now, staleness)).await?;
    Ok(OpportunityListDocument {
        items: page
            .items
            .into_iter()
            .map(|opportunity| OpportunityDocument::of(opportunity, now, staleness))
            .collect(),
        total: page.total.into(),
        next_cursor: page.next_cursor,
        notice,
    })
}

async fn facets(api: Arc<Api>) -> Result<FacetsDocument, FetchError> {
    let legs_since = api.now().plus_millis(-api.config.staleness.leg_millis);
    let Facets { brands, categories } = api.catalog.facets(legs_since).await?;
    let documents = |counts: Vec<NameCount>| counts.into_iter().map(|NameCount { name, count }| NameCountDocument { name, count }).collect();
    Ok(FacetsDocument {
        brands: documents(brands),
        categories: documents(categories),
    })
}

async fn get(api: Arc<Api>, id: OpportunityId) -> Result<DetailDocument, FetchError> {
    let others = OpportunityId::routes(id.asin, &api.config.markets).filter(|&other| other != id);
    let ids: Vec<OpportunityId> = std::iter::once(id).chain(others).collect();
    let mut found = api.catalog.read_opportunities(&ids).await?.into_iter();
    let opportunity = found.next().flatten().ok_or_else(|| Problem::NotKnown {
        what: format!("opportunity {id}"),
    })?;
    let (now, staleness) = (api.now(), api.config.staleness);
    let mut others: Vec<Opportunity> = found.flatten().map(|other| other.value).collect();
    others.retain(|other| other.is_active_at(now, staleness));
    others.sort_by_key(|other| (std::cmp::Reverse(other.net.as_ref().map(|net| net.profit.minor)), other.id));
    let opportunity = opportunity.value;
    let ledger = opportunity.net.as_ref().and_then(|net| {
        // It was computed before, from the same numbers.
        let ledger = ledger(&opportunity.route(), &net.costs).ok()?;
        let document = LedgerDocument::of(ledger, net.costs.regime.value);
        Some(document.of_observed_prices(opportunity.source_observed_at, opportunity.target_observed_at))
    });
    Ok(DetailDocument {
        opportunity: OpportunityDocument::of(opportunity, now, staleness),
        ledger,
        alternatives: others.into_iter().map(AlternativeDocument::of).collect(),
    })
}

impl AlternativeDocument {
    fn of(opportunity: Opportunity) -> Self {
        let net = opportunity.net.as_ref();
        AlternativeDocument {
            id: opportunity.id.to_string(),
            source_market: opportunity.id.source.into(),
            target_market: opportunity.id.target.into(),
            margin: opportunity.margin.into(),
            margin_percentage: opportunity.margin_percentage.into(),
            profit: net.map(|net| net.profit.into()),
            roi_percentage: net.and_then(|net| net.roi).map(Amount::from),
        }
    }
}

impl OpportunityDocument {
    /// An opportunity as shown at some instant: the ages of its legs count from now.
    fn of<C>(opportunity: Opportunity<C>, now: UnixMillis, staleness: Staleness) -> Self {
        let is_active = opportunity.is_active_at(now, staleness);
        let closed_reason = match opportunity.closed_reason {
            Some(reason) => Some(Closed(reason.name())),
            None if is_active => None,
            // It aged since it was last evaluated.
            None => Some(Closed("stale")),
        };
        let OpportunityId { asin, source, target } = opportunity.id;
        let net = opportunity.net.as_ref();
        let assessment = opportunity.assessment.as_ref();
        OpportunityDocument {
            id: opportunity.id.to_string(),
            asin: asin.to_string(),
            title: opportunity.title,
            brand: opportunity.brand,
            image_url: opportunity.image_url,
            source_market: source.into(),
            target_market: target.into(),
            source_price: opportunity.source_price.into(),
            source_currency: CurrencyCode(opportunity.source_price.currency.code()),
            target_price: opportunity.target_price.into(),
            target_currency: CurrencyCode(opportunity.target_price.currency.code()),
            source_price_eur: opportunity.source_price_eur.into(),
            target_price_eur: opportunity.target_price_eur.into(),
            margin: opportunity.margin.into(),
            margin_percentage: opportunity.margin_percentage.into(),
            profit: net.map(|net| net.profit.into()),
            roi_percentage: net.and_then(|net| net.roi).map(Amount::from),
            buffer_percentage: net.and_then(|net| net.buffer).map(Amount::from),
            confidence: assessment.map(|assessment| assessment.confidence.into()),
            score: assessment.and_then(ScoreDocument::of),
            traps: assessment.map(|assessment| assessment.traps.iter().copied().map(TrapDocument::of).collect()),
            unchecked: assessment.map_or_else(Vec::new, |assessment| {
                assessment.unchecked.iter().map(|reason| TrapCode(reason.name())).collect()
            }),
            currency: CurrencyCode(opportunity.margin.currency.code()),
            exchange_rate: opportunity.exchange_rate.map(RatesUsedDocument::of),
            is_active,
            closed_reason,
            first_seen: opportunity.first_seen.into(),
            opened_at: opportunity.opened_at.into(),
            last_seen: opportunity.last_seen.into(),
            source_observed_at: opportunity.source_observed_at.into(),
            target_observed_at: opportunity.target_observed_at.into(),
            buy_url: source.product_url(asin),
            sell_url: target.product_url(asin),
        }
    }
}

impl RatesUsedDocument {
    fn of(used: RatesUsed) -> Self {
        RatesUsedDocument {
            date: used.date,
            rates: used
                .units_per_eur
                .into_iter()
                .map(|(currency, rate)| (currency.code().to_owned(), Amount(rate)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_margin_below_what_is_recorded_is_told() {
        let asked = |hundredths: Option<i64>| Asked {
            text: None,
            min_margin: hundredths.map(Percentage),
            min_profit: None,
            min_roi: None,
            min_buffer: None,
            min_confidence: None,
            trap: None,
            without_traps: Vec::new(),
            source: None,
            target: None,
            asin: None,
            brand: None,
            category: None,
            active: true,
            sort: Sort {
                field: OpportunitySort::Asin,
                descending: false,
            },
            limit: 1,
            cursor: None,
        };
        assert_eq!(asked(None).notice(Decimal::TEN), None);
        assert_eq!(asked(Some(1000)).notice(Decimal::TEN), None);
        let notice = asked(Some(550)).notice(Decimal::TEN).unwrap();
        assert!(notice.contains("above 10 %") && notice.contains("min_margin=5.5"), "{notice}");
    }
}
