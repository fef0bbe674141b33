//! `/opportunities/what-if`: the present opportunities under other costs.

#![deny(clippy::float_arithmetic, clippy::cast_precision_loss, clippy::cast_possible_truncation)]

use std::sync::Arc;

use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use rust_decimal::Decimal;
use serde::Serialize;
use shared::domain::profit::{Given, Net, Regime, Sources, reconsider};
use shared::domain::{Marketplace, Opportunity, UnixMillis};
use shared::ports::catalog::{OpportunityQuery, OpportunitySort, Sort};

use super::costs::costs_document;
use super::{Group, TotalDocument, profit};
use crate::api::Api;
use crate::error::{FetchError, Problem, QuestionFailure};
use crate::params::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::sent::{SentMarket, SentNumber, SentWord};
use crate::values::{Amount, Market};

/// The handlers.
pub(crate) struct WhatIfRoutes {
    api: Arc<Api>,
}

costs_document!(
    /// What would be different, and which opportunities are asked about: all active ones where nothing is said. What is left
    /// out of the costs stays as it is. Amounts are decimals, shares fractions (0.15 for 15 %).
    #[derive(Debug, Clone, Object)]
    #[oai(rename = "WhatIf", deny_unknown_fields)]
    WhatIfDocument {
        /// The position towards VAT on all of these routes: `RC`, `DOM`, `LOST`, `SMALL`, `MARGIN` or `IMPORT`.
        regime: Option<SentWord>,
        /// Bought in this marketplace only.
        source_market: Option<SentMarket>,
        /// Sold in this marketplace only.
        target_market: Option<SentMarket>,
        /// So many at most, 1 to 500, those of the greatest profit first; 50 where it is left out.
        limit: Option<SentNumber>,
    }
);

/// What became of an opportunity.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "WhatIfItem")]
struct ItemDocument {
    /// `ASIN:SOURCE:TARGET`.
    id: String,
    /// The article's title.
    #[oai(nullable)]
    title: Option<String>,
    /// Where it is bought.
    source_market: Market,
    /// Where it is sold.
    target_market: Market,
    /// EUR, as it is now.
    profit_before: Amount,
    /// EUR, as it would be.
    profit: Amount,
    /// Of the capital tied up, as it would be; null where none is.
    #[oai(nullable)]
    roi_percentage: Option<Amount>,
    /// How far the price may fall, as it would be; null where no price breaks even.
    #[oai(nullable)]
    buffer_percentage: Option<Amount>,
    /// There would still be a profit.
    survives: bool,
}

/// The opportunities under other costs.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "WhatIfAnswer")]
struct AnswerDocument {
    /// By the profit there would be, greatest first.
    items: Vec<ItemDocument>,
    /// How many of the items would still bring a profit.
    survivors: usize,
    /// How many opportunities match, those beyond `limit` and those of unknown profit included.
    total: TotalDocument,
}

/// How it answers.
#[derive(ApiResponse)]
enum WhatIfAnswer {
    /// The opportunities under other costs.
    #[oai(status = 200)]
    Computed(Json<AnswerDocument>),
}

fn to_limit(number: Decimal) -> Result<usize, Problem> {
    let limit = number.is_integer().then(|| usize::try_from(number).ok()).flatten();
    limit
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| Problem::field("limit", format!("is {number}: a whole number from 1 to {MAX_LIMIT} is expected")))
}

/// A question that was understood.
struct Asked {
    given: Given,
    source: Option<Marketplace>,
    target: Option<Marketplace>,
    limit: usize,
}

impl Asked {
    fn of(document: &WhatIfDocument) -> Result<Asked, Problem> {
        let market = |field: &str, sent: &Option<SentMarket>| sent.as_ref().map(|sent| sent.read(field).map(|market| market.0)).transpose();
        let regime = document.regime.as_ref().map(|sent| sent.read::<Regime>("regime", "a VAT regime such as RC"));
        let limit = document.limit.as_ref().map(|sent| sent.read("limit").and_then(to_limit)).transpose()?;
        Ok(Asked {
            given: Given {
                regime: regime.transpose()?,
                ..document.costs()?
            },
            source: market("source_market", &document.source_market)?,
            target: market("target_market", &document.target_market)?,
            limit: limit.unwrap_or(DEFAULT_LIMIT),
        })
    }

    fn query(&self, legs_since: UnixMillis) -> OpportunityQuery {
        OpportunityQuery {
            text: None,
            min_margin: None,
            min_profit: None,
            min_roi: None,
            min_buffer: None,
            min_confidence: None,
            trap: None,
            without_traps: Vec::new(),
            source: self.source,
            target: self.target,
            asin: None,
            brand: None,
            category: None,
            active: Some((true, legs_since)),
            sort: Sort {
                field: OpportunitySort::Profit,
                descending: true,
            },
            limit: self.limit,
            cursor: None,
        }
    }
}

#[OpenApi(tag = "Group::Opportunities")]
impl WhatIfRoutes {
    /// The present opportunities under other costs
    ///
    /// Freight of 3.20, or VAT that is not deducted: which would survive? Computed from what each opportunity's own ledger
    /// rests on, with what is said here in its place. Nothing is stored.
    #[oai(path = "/opportunities/what-if", method = "post", operation_id = "what_if")]
    async fn what_if(&self, question: Json<WhatIfDocument>) -> Result<WhatIfAnswer, QuestionFailure> {
        let asked = Asked::of(&question.0)?;
        let legs_since = self.api.now().plus_millis(-self.api.config.staleness.leg_millis);
        let page = self.api.catalog.search_opportunities(&asked.query(legs_since)).await;
        let page = page.map_err(FetchError::from).map_err(Problem::from)?;
        let seller = &self.api.config.seller;
        let sources = Sources {
            profile: &seller.profile,
            tables: &seller.tables,
            rates: None,
            at: self.api.now().to_utc().date_naive(),
        };
        let mut reconsidered = Vec::with_capacity(page.items.len());
        for opportunity in page.items {
            let Some(before) = opportunity.net.clone() else { continue };
            let route = opportunity.route();
            let costs = reconsider(&route, before.costs, &asked.given, &sources).map_err(profit::refuse)?;
            let net = Net::of(&route, costs).map_err(|error| Problem::question(error.to_string()))?;
            reconsidered.push((opportunity, net));
        }
        reconsidered.sort_by(|(left, net), (right, other)| other.profit.minor.cmp(&net.profit.minor).then_with(|| left.id.cmp(&right.id)));
        let items: Vec<ItemDocument> = reconsidered.into_iter().map(|(opportunity, net)| ItemDocument::of(opportunity, &net)).collect();
        Ok(WhatIfAnswer::Computed(Json(AnswerDocument {
            survivors: items.iter().filter(|item| item.survives).count(),
            items,
            total: page.total.into(),
        })))
    }
}

impl WhatIfRoutes {
    pub(super) fn new(api: Arc<Api>) -> Self {
        WhatIfRoutes { api }
    }
}

impl ItemDocument {
    fn of(opportunity: Opportunity, net: &Net) -> ItemDocument {
        ItemDocument {
            id: opportunity.id.to_string(),
            title: opportunity.title,
            source_market: opportunity.id.source.into(),
            target_market: opportunity.id.target.into(),
            profit_before: opportunity.net.map_or(net.profit, |before| before.profit).into(),
            profit: net.profit.into(),
            roi_percentage: net.roi.map(Amount::from),
            buffer_percentage: net.buffer.map(Amount::from),
            survives: net.profit.minor > 0,
        }
    }
}
