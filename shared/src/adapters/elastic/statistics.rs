//! Counts for `/stats`, by aggregations.

use std::collections::BTreeMap;

use elasticsearch::http::Method;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde::Deserialize;
use serde_json::{Number, Value, json};

use super::client::{Client, malformed};
use super::search::{SHARD_TIMEOUT, active_opportunity, refuse_partial};
use crate::domain::{Marketplace, Percentage, UnixMillis};
use crate::ports::catalog::{CatalogError, Facets, MarketStatistics, NameCount, RouteStatistics, Statistics};

const WHAT: &str = "statistics";

#[derive(Deserialize)]
struct Answer<A> {
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    hits: Hits,
    aggregations: A,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

#[derive(Deserialize)]
struct Hits {
    total: HitsTotal,
}

#[derive(Deserialize)]
struct HitsTotal {
    value: u64,
}

/// Elasticsearch calculates in floating point and writes `1.7681328E12`; whole up to 2^53.
#[derive(Deserialize)]
struct Metric {
    value: Option<Number>,
}

impl Metric {
    fn whole(&self) -> Result<Option<i64>, CatalogError> {
        let Some(number) = &self.value else { return Ok(None) };
        let text = number.to_string();
        let decimal = Decimal::from_scientific(&text).or_else(|_| text.parse());
        let whole = decimal.ok().filter(Decimal::is_integer).and_then(|decimal| decimal.to_i64());
        whole.map(Some).ok_or_else(|| malformed(WHAT, &format!("{text} is no whole number")))
    }

    fn required(&self) -> Result<i64, CatalogError> {
        self.whole()?.ok_or_else(|| malformed(WHAT, &"a value is missing"))
    }
}

#[derive(Deserialize)]
struct ProductCounts {
    active: Filtered,
    last_updated: Metric,
    markets: Markets,
}

#[derive(Deserialize)]
struct Filtered {
    doc_count: u64,
}

#[derive(Deserialize)]
struct Markets {
    buckets: BTreeMap<Marketplace, Market>,
}

#[derive(Deserialize)]
struct Market {
    doc_count: u64,
    last_updated: Metric,
}

#[derive(Deserialize)]
struct OpportunityCounts {
    sources: Buckets<Source>,
}

#[derive(Deserialize)]
struct Buckets<T> {
    buckets: Vec<T>,
}

#[derive(Deserialize)]
struct Source {
    key: Marketplace,
    targets: Buckets<Target>,
}

#[derive(Deserialize)]
struct Target {
    key: Marketplace,
    doc_count: u64,
    best_margin: Metric,
    margin_percentage_sum: Metric,
    margin_sum: Metric,
    oldest_leg: Metric,
}

pub(super) async fn compute(
    client: &Client,
    products: &str,
    opportunities: &str,
    priced_after: UnixMillis,
    legs_since: UnixMillis,
) -> Result<Statistics, CatalogError> {
    let mut statistics = Statistics::default();
    let answer: Answer<ProductCounts> = aggregate(client, products, &product_counts(priced_after)).await?;
    statistics.products_total = answer.hits.total.value;
    statistics.products_active = answer.aggregations.active.doc_count;
    statistics.last_updated = answer.aggregations.last_updated.whole()?.map(UnixMillis);
    for (marketplace, market) in answer.aggregations.markets.buckets {
        if market.doc_count > 0 {
            let market = MarketStatistics {
                products: market.doc_count,
                last_updated: market.last_updated.whole()?.map(UnixMillis),
            };
            statistics.markets.insert(marketplace, market);
        }
    }
    let answer: Answer<OpportunityCounts> = aggregate(client, opportunities, &opportunity_counts(legs_since)).await?;
    for source in answer.aggregations.sources.buckets {
        for target in source.targets.buckets {
            let route = RouteStatistics {
                source: source.key,
                target: target.key,
                opportunities: target.doc_count,
                best_margin: Percentage(target.best_margin.required()?),
                margin_percentage_sum: target.margin_percentage_sum.required()?,
            };
            statistics.add_route(route, target.margin_sum.required()?, UnixMillis(target.oldest_leg.required()?));
        }
    }
    statistics.routes.sort_by_key(|route| (route.source, route.target));
    Ok(statistics)
}

#[derive(Deserialize)]
struct NameCounts {
    brands: Buckets<NameBucket>,
    categories: Buckets<NameBucket>,
}

#[derive(Deserialize)]
struct NameBucket {
    doc_count: u64,
    written: Written,
}

#[derive(Deserialize)]
struct Written {
    hits: WrittenHits,
}

#[derive(Deserialize)]
struct WrittenHits {
    hits: Vec<WrittenHit>,
}

#[derive(Deserialize)]
struct WrittenHit {
    #[serde(rename = "_source")]
    source: Names,
}

#[derive(Deserialize)]
struct Names {
    brand: Option<String>,
    category: Option<String>,
}

pub(super) async fn facets(client: &Client, opportunities: &str, legs_since: UnixMillis) -> Result<Facets, CatalogError> {
    // Names as one of the opportunities that have them writes it.
    let names = |key: &str, name: &str| {
        json!({
            "terms": {"field": key, "size": Facets::MOST, "order": [{"_count": "desc"}, {"_key": "asc"}]},
            "aggs": {"written": {"top_hits": {"size": 1, "_source": [name]}}},
        })
    };
    let body = json!({
        "size": 0,
        "track_total_hits": true,
        "timeout": SHARD_TIMEOUT,
        "query": active_opportunity(legs_since),
        "aggs": {"brands": names("brand_key", "brand"), "categories": names("category_key", "category")},
    });
    let answer: Answer<NameCounts> = aggregate(client, opportunities, &body).await?;
    let counts = |buckets: Vec<NameBucket>, name: fn(Names) -> Option<String>| {
        let count = |bucket: NameBucket| {
            let name = name(bucket.written.hits.hits.into_iter().next()?.source)?;
            Some(NameCount { name, count: bucket.doc_count })
        };
        buckets.into_iter().filter_map(count).collect()
    };
    Ok(Facets {
        brands: counts(answer.aggregations.brands.buckets, |names| names.brand),
        categories: counts(answer.aggregations.categories.buckets, |names| names.category),
    })
}

async fn aggregate<A: for<'de> Deserialize<'de>>(client: &Client, alias: &str, body: &Value) -> Result<Answer<A>, CatalogError> {
    let parameters = [("allow_partial_search_results", "false")];
    let answer = client.call(Method::Post, &format!("/{alias}/_search"), &parameters, Some(body)).await?;
    let answer: Answer<A> = serde_json::from_slice(&answer).map_err(|error| malformed(WHAT, &error))?;
    refuse_partial(answer.timed_out, answer.shards.failed)?;
    Ok(answer)
}

fn product_counts(priced_after: UnixMillis) -> Value {
    let newest = json!({"max": {"field": "last_updated"}});
    let markets: serde_json::Map<String, Value> = Marketplace::ALL
        .iter()
        .map(|marketplace| (marketplace.to_string(), json!({"exists": {"field": format!("prices.{marketplace}")}})))
        .collect();
    json!({
        "size": 0,
        "track_total_hits": true,
        "timeout": SHARD_TIMEOUT,
        "aggs": {
            "active": {"filter": {"range": {"last_priced_at": {"gt": priced_after}}}},
            "last_updated": newest,
            "markets": {"filters": {"filters": markets}, "aggs": {"last_updated": newest}},
        },
    })
}

fn opportunity_counts(legs_since: UnixMillis) -> Value {
    // Every marketplace has room, so no bucket is ever cut off or estimated.
    let room = Marketplace::ALL.len();
    json!({
        "size": 0,
        "track_total_hits": true,
        "timeout": SHARD_TIMEOUT,
        "query": active_opportunity(legs_since),
        "aggs": {"sources": {
            "terms": {"field": "source_market", "size": room},
            "aggs": {"targets": {
                "terms": {"field": "target_market", "size": room},
                "aggs": {
                    "best_margin": {"max": {"field": "margin_percentage"}},
                    "margin_percentage_sum": {"sum": {"field": "margin_percentage"}},
                    "margin_sum": {"sum": {"field": "margin.minor"}},
                    "oldest_leg": {"min": {"field": "oldest_leg_at"}},
                },
            }},
        }},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_from_floating_point_text() {
        for (text, expected) in [
            ("1.768132800007E12", Some(1_768_132_800_007)),
            ("-5.0", Some(-5)),
            ("0.0", Some(0)),
            ("9.007199254740992E15", Some(9_007_199_254_740_992)),
            ("17", Some(17)),
            ("null", None),
        ] {
            let metric: Metric = serde_json::from_str(&format!(r#"{{"value":{text}}}"#)).unwrap();
            assert_eq!(metric.whole().unwrap(), expected, "{text}");
        }
        for text in ["0.5", "1.0E300"] {
            let metric: Metric = serde_json::from_str(&format!(r#"{{"value":{text}}}"#)).unwrap();
            assert!(metric.whole().is_err(), "{text}");
        }
    }
}
