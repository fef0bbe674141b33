//! `/stats`: how the whole stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;
use poem::Request;
use poem_openapi::{Object, OpenApi};
use rust_decimal::Decimal;
use serde::Serialize;
use shared::domain::money::round_half_up;
use shared::domain::rates::RatesOrigin;
use shared::domain::{Currency, ExchangeRates, Marketplace, Money, UnixMillis};
use shared::ports::Catalog;
use shared::ports::catalog::{CatalogError, RouteStatistics, StateKind, StateQuery, Statistics};
use shared::wire::state::EnricherStatus;

use super::Group;
use crate::answer::Answered;
use crate::api::Api;
use crate::error::{FetchError, ListFailure};
use crate::freshness::DependsOn;
use crate::surroundings::Surroundings;
use crate::values::{Amount, Instant, Market, RatesFrom};

/// A page of state records, and how many pages are read at most: far more partitions than a topic has.
const PAGE: usize = 500;
const MAX_PAGES: usize = 20;

/// The handlers.
pub(crate) struct StatsRoutes {
    api: Arc<Api>,
}

/// Counts over everything, as of the answer.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Stats")]
struct StatsDocument {
    /// The data comes from the built-in simulator and is made up.
    simulated: bool,
    /// Products seen.
    products_total: u64,
    /// Products with a price within `STALE_AFTER` (7 days).
    products_active: u64,
    /// Gaps that exist now.
    opportunities_active: u64,
    /// Gaps are recorded above this margin, percent.
    min_margin_percentage: Amount,
    /// Greatest margin of an active opportunity, percent.
    #[oai(nullable)]
    best_margin_percentage: Option<Amount>,
    /// Mean margin of active opportunities, percent, rounded half up to two decimals.
    #[oai(nullable)]
    average_margin_percentage: Option<Amount>,
    /// Sum of the margins of active opportunities, EUR.
    total_margin: Amount,
    /// When a product was last fetched.
    #[oai(nullable)]
    last_updated: Option<Instant>,
    /// Every ordered pair of the watched marketplaces.
    routes: Vec<RouteDocument>,
    /// By marketplace.
    markets: BTreeMap<Market, MarketDocument>,
    /// Where data comes from.
    feed: FeedDocument,
    /// The rates that amounts are converted by; null until there are any.
    #[oai(nullable)]
    exchange_rates: Option<RatesDocument>,
}

/// Active opportunities from one marketplace to another.
#[derive(Debug, Clone, PartialEq, Object, Serialize)]
#[oai(rename = "RouteStats")]
struct RouteDocument {
    /// Where is bought.
    source_market: Market,
    /// Where is sold.
    target_market: Market,
    /// How many.
    opportunities: u64,
    /// Greatest margin, percent.
    #[oai(nullable)]
    best_margin_percentage: Option<Amount>,
    /// Mean margin, percent.
    #[oai(nullable)]
    average_margin_percentage: Option<Amount>,
}

/// One marketplace.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "MarketStats")]
struct MarketDocument {
    /// Products with a price there.
    products: u64,
    /// When one of them was last fetched.
    #[oai(nullable)]
    last_updated: Option<Instant>,
}

/// The way from Keepa to the catalog.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Feed")]
struct FeedDocument {
    /// Records worked through, repetitions included.
    records_total: u64,
    /// Of them, refused and kept aside in the dead-letter topic.
    dlq_total: u64,
    /// Keepa tokens at hand.
    #[oai(nullable)]
    tokens_left: Option<i64>,
    /// Keepa tokens that come back per minute.
    #[oai(nullable)]
    refill_rate: Option<i64>,
    /// Records that are not worked through yet, by consumer group: of those that run in this process, else of `enricher` and
    /// `detector` as the broker tells every ten seconds; null while nobody does.
    #[oai(nullable)]
    lag: Option<BTreeMap<String, i64>>,
    /// The oldest price that an active opportunity rests on: from when its age counts.
    #[oai(nullable)]
    oldest_leg: Option<Instant>,
}

/// Reference rates of one day.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "ExchangeRates")]
struct RatesDocument {
    /// The day they were published for.
    date: NaiveDate,
    /// Units per 1 EUR, by currency (ISO 4217).
    rates: BTreeMap<String, Amount>,
    /// Older than four days.
    stale: bool,
    /// `ecb`: European Central Bank. `shipped`: the dated set for simulated data.
    origin: RatesFrom,
}

#[OpenApi(tag = "Group::Overview")]
impl StatsRoutes {
    /// How the whole stands
    ///
    /// Counts, margins by route, freshness by marketplace, feed and exchange rates. An answer may be two seconds old.
    #[oai(path = "/stats", method = "get", operation_id = "get_stats")]
    async fn get(&self, request: &Request) -> Result<Answered<StatsDocument>, ListFailure> {
        // The first that knows what the feed is does not wait for one that did not to grow old.
        let feed_is_known = self.api.surroundings().await.is_ok_and(|surroundings| surroundings.producer.is_some());
        let key = if feed_is_known { "stats" } else { "stats of an unknown feed" };
        let held = self.api.answer(DependsOn::More, key, get(Arc::clone(&self.api))).await?;
        Ok(Answered::new(held, request.headers(), self.api.now()))
    }
}

impl StatsRoutes {
    pub(super) fn new(api: Arc<Api>) -> Self {
        StatsRoutes { api }
    }
}

async fn get(api: Arc<Api>) -> Result<StatsDocument, FetchError> {
    let surroundings = api.surroundings().await?;
    let (now, staleness) = (api.now(), api.config.staleness);
    let statistics = api
        .catalog
        .statistics(now.plus_millis(-staleness.product_millis), now.plus_millis(-staleness.leg_millis))
        .await?;
    let settled = settled_records(&*api.catalog).await?;
    let floor = surroundings.min_margin_percent(api.config.min_margin_percent);
    let feed = (settled, api.lag());
    Ok(StatsDocument::of(&statistics, feed, &surroundings, floor, &api.config.markets, now))
}

/// What all partitions' owners have settled so far.
async fn settled_records(catalog: &dyn Catalog) -> Result<EnricherStatus, CatalogError> {
    let mut query = StateQuery {
        group: None,
        status: None,
        ascending: false,
        limit: PAGE,
        cursor: None,
    };
    let mut sum = EnricherStatus::default();
    for _ in 0..MAX_PAGES {
        let page = catalog.list_states(StateKind::Status, &query).await?;
        let enrichers = page.items.into_iter().filter(|record| record.value.id.starts_with("enricher-"));
        for status in enrichers.filter_map(|record| serde_json::from_value::<EnricherStatus>(record.value.body).ok()) {
            sum.records_total = sum.records_total.saturating_add(status.records_total);
            sum.dlq_total = sum.dlq_total.saturating_add(status.dlq_total);
        }
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => break,
        }
    }
    Ok(sum)
}

impl StatsDocument {
    fn of(
        statistics: &Statistics,
        (settled, lag): (EnricherStatus, Option<BTreeMap<String, i64>>),
        surroundings: &Surroundings,
        floor: Decimal,
        watched: &[Marketplace],
        now: UnixMillis,
    ) -> Self {
        let producer = surroundings.producer.as_ref();
        StatsDocument {
            simulated: surroundings.is_simulated(),
            products_total: statistics.products_total,
            products_active: statistics.products_active,
            opportunities_active: statistics.opportunities_active,
            min_margin_percentage: Amount::of_percent(floor),
            best_margin_percentage: statistics.best_margin.map(Amount::from),
            average_margin_percentage: mean(statistics.margin_percentage_sum, statistics.opportunities_active),
            total_margin: Money::new(statistics.margin_sum, Currency::EUR).into(),
            last_updated: statistics.last_updated.map(Instant),
            routes: routes(&statistics.routes, watched),
            markets: markets(statistics, watched),
            feed: FeedDocument {
                records_total: settled.records_total,
                dlq_total: settled.dlq_total,
                tokens_left: producer.and_then(|producer| producer.tokens_left),
                refill_rate: producer.and_then(|producer| producer.refill_rate),
                lag,
                oldest_leg: statistics.oldest_leg.map(Instant),
            },
            exchange_rates: surroundings.rates.as_ref().map(|rates| RatesDocument::of(rates, now)),
        }
    }
}

/// Mean of percentages given as their sum in hundredths.
fn mean(sum: i64, count: u64) -> Option<Amount> {
    let mean = Decimal::new(sum, 2).checked_div(Decimal::from(count))?;
    let mut mean = round_half_up(mean, 2);
    mean.rescale(2);
    Some(Amount(mean))
}

/// Every route of the watched marketplaces, then those of earlier settings that still have opportunities.
fn routes(found: &[RouteStatistics], watched: &[Marketplace]) -> Vec<RouteDocument> {
    let document = |source: Marketplace, target: Marketplace| {
        let found = found.iter().find(|route| (route.source, route.target) == (source, target));
        let opportunities = found.map_or(0, |route| route.opportunities);
        RouteDocument {
            source_market: source.into(),
            target_market: target.into(),
            opportunities,
            best_margin_percentage: found.filter(|_| opportunities > 0).map(|route| route.best_margin.into()),
            average_margin_percentage: found.and_then(|route| mean(route.margin_percentage_sum, opportunities)),
        }
    };
    let pairs = watched.iter().flat_map(|&source| watched.iter().map(move |&target| (source, target)));
    let mut routes: Vec<RouteDocument> = pairs
        .filter(|(source, target)| source != target)
        .map(|(source, target)| document(source, target))
        .collect();
    let is_watched = |route: &RouteStatistics| watched.contains(&route.source) && watched.contains(&route.target);
    routes.extend(
        found
            .iter()
            .filter(|route| !is_watched(route) && route.opportunities > 0)
            .map(|route| document(route.source, route.target)),
    );
    routes
}

fn markets(statistics: &Statistics, watched: &[Marketplace]) -> BTreeMap<Market, MarketDocument> {
    let all: BTreeSet<Marketplace> = watched.iter().chain(statistics.markets.keys()).copied().collect();
    let document = |marketplace: Marketplace| {
        let counted = statistics.markets.get(&marketplace).cloned().unwrap_or_default();
        MarketDocument {
            products: counted.products,
            last_updated: counted.last_updated.map(Instant),
        }
    };
    all.into_iter().map(|marketplace| (marketplace.into(), document(marketplace))).collect()
}

impl RatesDocument {
    fn of(rates: &ExchangeRates, now: UnixMillis) -> Self {
        RatesDocument {
            date: rates.date,
            rates: rates
                .units_per_eur
                .iter()
                .map(|(currency, rate)| (currency.code().to_owned(), Amount(*rate)))
                .collect(),
            stale: rates.is_stale(now),
            origin: RatesFrom(match rates.origin {
                RatesOrigin::Ecb => "ecb",
                RatesOrigin::Shipped => "shipped",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::Percentage;

    use super::*;

    #[test]
    fn means_are_rounded_half_up_and_there_is_none_of_nothing() {
        for (sum, count, expected) in [
            (1459, 1, Some("14.59")),
            (1459 + 1460, 2, Some("14.60")),
            (2000, 2, Some("10.00")),
            (1000, 3, Some("3.33")),
            (0, 0, None),
        ] {
            assert_eq!(mean(sum, count).map(|mean| mean.0.to_string()).as_deref(), expected, "{sum}/{count}");
        }
    }

    #[test]
    fn every_route_of_the_watched_marketplaces_is_listed_found_or_not() {
        use Marketplace::{DE, ES, IT, UK};
        let route = |source, target| RouteStatistics {
            source,
            target,
            opportunities: 2,
            best_margin: Percentage(2000),
            margin_percentage_sum: 3000,
        };
        let listed = routes(&[route(ES, IT), route(UK, DE)], &[DE, ES, IT]);
        assert_eq!(listed.len(), 7);
        let counts: Vec<(String, u64)> = listed
            .iter()
            .filter(|route| route.opportunities > 0)
            .map(|route| (format!("{}-{}", route.source_market, route.target_market), route.opportunities))
            .collect();
        assert_eq!(counts, [("ES-IT".into(), 2), ("UK-DE".into(), 2)]);
        let empty = &listed[0];
        assert_eq!((empty.best_margin_percentage, empty.average_margin_percentage), (None, None));
    }
}
