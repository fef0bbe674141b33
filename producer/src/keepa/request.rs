//! [`Request`]: what can be asked of Keepa, what it costs at most, and how it is written into a query string.

use serde_json::{Value, json};
use shared::domain::{Asin, Marketplace};

/// The most ASINs in one product request.
pub const MAX_ASINS: usize = 100;
/// The most ASINs in one product request with history: a response of a hundred histories weighs up to 25 MB.
pub const MAX_ASINS_WITH_HISTORY: usize = 20;
/// Tokens per product and market: 1, and 2 for the buy box.
pub const PRODUCT_COST: i64 = 3;
/// How far back history is asked for, in days.
pub const HISTORY_DAYS: u32 = 400;
/// Deals per page.
pub const DEALS_PER_PAGE: usize = 150;
/// Category ids per request.
pub const MAX_CATEGORIES: usize = 10;

/// One request. All but [`Request::Token`] concern one marketplace.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Product objects with statistics and buy box; with history on demand.
    Products {
        /// Where.
        market: Marketplace,
        /// At most [`MAX_ASINS`], or [`MAX_ASINS_WITH_HISTORY`] with history.
        asins: Vec<Asin>,
        /// Whether the history of the last [`HISTORY_DAYS`] is wanted: it costs no more tokens.
        history: bool,
    },
    /// The best sellers of a category, best first.
    BestSellers {
        /// Where.
        market: Marketplace,
        /// The category's id.
        category: i64,
    },
    /// Categories by id; the id 0 stands for all root categories.
    Categories {
        /// Where.
        market: Marketplace,
        /// At most [`MAX_CATEGORIES`].
        ids: Vec<i64>,
    },
    /// Categories by keywords.
    SearchCategories {
        /// Where.
        market: Marketplace,
        /// Keywords of three characters and more; all must match.
        term: String,
    },
    /// Products by keywords.
    SearchProducts {
        /// Where.
        market: Marketplace,
        /// Keywords.
        term: String,
    },
    /// The product finder: ASINs by a selection.
    Query {
        /// Where.
        market: Marketplace,
        /// Keepa's selection object.
        selection: Value,
    },
    /// A page of recent price drops.
    Deals {
        /// Where.
        market: Marketplace,
        /// From 0.
        page: u32,
    },
    /// Sellers by id.
    Sellers {
        /// Where.
        market: Marketplace,
        /// At most 100; one with `storefront`.
        ids: Vec<String>,
        /// Whether the ASINs of the storefront are wanted.
        storefront: bool,
    },
    /// The state of the token bucket.
    Token,
}

impl Request {
    /// The path, which is also the label in metrics.
    #[must_use]
    pub fn endpoint(&self) -> &'static str {
        match self {
            Request::Products { .. } => "product",
            Request::BestSellers { .. } => "bestsellers",
            Request::Categories { .. } => "category",
            Request::SearchCategories { .. } | Request::SearchProducts { .. } => "search",
            Request::Query { .. } => "query",
            Request::Deals { .. } => "deal",
            Request::Sellers { .. } => "seller",
            Request::Token => "token",
        }
    }

    /// The most tokens it can cost.
    #[must_use]
    pub fn cost(&self) -> i64 {
        let count = |items: usize| i64::try_from(items).unwrap_or(i64::MAX);
        match self {
            Request::Products { asins, .. } => PRODUCT_COST.saturating_mul(count(asins.len())),
            Request::BestSellers { .. } => 50,
            Request::Categories { .. } | Request::SearchCategories { .. } => 1,
            // 10 a result page; without `page` it is the first 40 results at most.
            Request::SearchProducts { .. } => 40,
            Request::Query { selection, .. } => {
                let per_page = selection.get("perPage").and_then(Value::as_i64).unwrap_or(50).clamp(50, 10_000);
                let statistics = if selection.get("stats").is_some() { 40 } else { 0 };
                10 + per_page.div_euclid(100) + 1 + statistics
            }
            Request::Deals { .. } => 5,
            Request::Sellers { storefront: true, .. } => 10,
            Request::Sellers { ids, .. } => count(ids.len()),
            Request::Token => 0,
        }
    }

    /// The query string's pairs, without the key.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let domain = |market: &Marketplace| ("domain", market.keepa_id().to_string());
        match self {
            Request::Products { market, asins, history } => {
                let mut parameters = vec![
                    domain(market),
                    ("asin", joined(asins)),
                    ("stats", "90".to_owned()),
                    ("buybox", "1".to_owned()),
                    ("history", u8::from(*history).to_string()),
                ];
                if *history {
                    parameters.push(("days", HISTORY_DAYS.to_string()));
                }
                parameters
            }
            Request::BestSellers { market, category } => vec![domain(market), ("category", category.to_string())],
            Request::Categories { market, ids } => vec![domain(market), ("category", joined(ids)), ("parents", "0".to_owned())],
            Request::SearchCategories { market, term } => vec![domain(market), ("type", "category".to_owned()), ("term", term.clone())],
            Request::SearchProducts { market, term } => vec![domain(market), ("type", "product".to_owned()), ("term", term.clone())],
            Request::Query { market, selection } => vec![domain(market), ("selection", selection.to_string())],
            Request::Deals { market, page } => vec![("selection", deal_selection(*market, *page).to_string())],
            Request::Sellers { market, ids, storefront } => {
                let mut parameters = vec![domain(market), ("seller", ids.join(","))];
                if *storefront {
                    parameters.push(("storefront", "1".to_owned()));
                }
                parameters
            }
            Request::Token => Vec::new(),
        }
    }
}

/// New prices (Amazon included) that changed, newest first. Neither `delta` nor an order by percentage is relied on: they
/// compare with averages that glitches spoil.
fn deal_selection(market: Marketplace, page: u32) -> Value {
    json!({
        "page": page,
        "domainId": market.keepa_id(),
        "priceTypes": [1],
        "dateRange": 0,
        "sortType": 1,
        "filterErotic": true,
        "singleVariation": true,
        "isFilterEnabled": true,
        "isRangeEnabled": false,
    })
}

fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(request: &Request) -> String {
        request
            .parameters()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("&")
    }

    #[test]
    fn a_product_costs_three_tokens_and_history_costs_no_more() {
        let asins: Vec<Asin> = vec!["B0D1XD1ZV3".parse().unwrap(), "0441013597".parse().unwrap()];
        let plain = Request::Products {
            market: Marketplace::IT,
            asins: asins.clone(),
            history: false,
        };
        let history = Request::Products {
            market: Marketplace::IT,
            asins,
            history: true,
        };
        assert_eq!((plain.cost(), history.cost()), (6, 6));
        assert_eq!(written(&plain), "domain=8&asin=B0D1XD1ZV3,0441013597&stats=90&buybox=1&history=0");
        assert_eq!(written(&history), "domain=8&asin=B0D1XD1ZV3,0441013597&stats=90&buybox=1&history=1&days=400");
    }

    #[test]
    fn costs_are_those_of_keepas_table() {
        let market = Marketplace::DE;
        for (request, endpoint, cost) in [
            (Request::BestSellers { market, category: 1 }, "bestsellers", 50),
            (Request::Categories { market, ids: vec![0] }, "category", 1),
            (Request::SearchCategories { market, term: "garden".into() }, "search", 1),
            (Request::SearchProducts { market, term: "garden".into() }, "search", 40),
            (Request::Query { market, selection: json!({}) }, "query", 11),
            (
                Request::Query {
                    market,
                    selection: json!({"perPage": 1000}),
                },
                "query",
                21,
            ),
            (Request::Deals { market, page: 0 }, "deal", 5),
            (
                Request::Sellers {
                    market,
                    ids: vec!["A".into(), "B".into()],
                    storefront: false,
                },
                "seller",
                2,
            ),
            (
                Request::Sellers {
                    market,
                    ids: vec!["A".into()],
                    storefront: true,
                },
                "seller",
                10,
            ),
            (Request::Token, "token", 0),
        ] {
            assert_eq!((request.endpoint(), request.cost()), (endpoint, cost), "{request:?}");
        }
    }

    #[test]
    fn a_deal_selection_has_exactly_one_price_type_and_names_the_domain_itself() {
        let [(name, selection)] = Request::Deals {
            market: Marketplace::UK,
            page: 2,
        }
        .parameters()
        .try_into()
        .unwrap();
        let selection: Value = serde_json::from_str(&selection).unwrap();
        assert_eq!(name, "selection");
        assert_eq!((selection["domainId"].as_i64(), selection["page"].as_i64()), (Some(2), Some(2)));
        assert_eq!(selection["priceTypes"].as_array().map(Vec::len), Some(1));
    }
}
