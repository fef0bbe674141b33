//! The resources, one file each: document, handler and its text in the API's document together.

mod alert_rules;
mod assessment;
mod competition;
mod costs;
mod deliveries;
mod health;
mod history;
mod metrics;
mod opportunities;
mod products;
mod profit;
mod runs;
mod statistics;
mod stats;
mod what_if;

use std::fmt::Write as _;
use std::sync::Arc;

use poem_openapi::{Object, Tags};
use serde::Serialize;
use shared::ports::catalog::Total;

use crate::api::Api;
use crate::values::Relation;

/// All of them.
pub(crate) type Routes = (
    products::ProductRoutes,
    history::HistoryRoutes,
    opportunities::OpportunityRoutes,
    what_if::WhatIfRoutes,
    profit::ProfitRoutes,
    stats::StatsRoutes,
    runs::RunRoutes,
    alert_rules::AlertRuleRoutes,
    deliveries::DeliveryRoutes,
    health::HealthRoutes,
    metrics::MetricsRoutes,
);

/// The handlers over what they share.
pub(crate) fn routes(api: Arc<Api>) -> Routes {
    (
        products::ProductRoutes::new(Arc::clone(&api)),
        history::HistoryRoutes::new(Arc::clone(&api)),
        opportunities::OpportunityRoutes::new(Arc::clone(&api)),
        what_if::WhatIfRoutes::new(Arc::clone(&api)),
        profit::ProfitRoutes::new(Arc::clone(&api)),
        stats::StatsRoutes::new(Arc::clone(&api)),
        runs::RunRoutes::new(Arc::clone(&api)),
        alert_rules::AlertRuleRoutes::new(Arc::clone(&api)),
        deliveries::DeliveryRoutes::new(Arc::clone(&api)),
        health::HealthRoutes::new(api),
        metrics::MetricsRoutes,
    )
}

/// Groups of operations in the document.
#[derive(Tags)]
enum Group {
    /// Articles and their prices in every marketplace.
    Products,
    /// Gaps between two marketplaces.
    Opportunities,
    /// Who is told when gaps open, improve and close. Whoever reaches the API can change that: it has no access control yet.
    Alerts,
    /// How the whole stands.
    Overview,
    /// For those who run it.
    Operations,
}

/// How many items match over all pages.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Total")]
struct TotalDocument {
    /// The number counted.
    value: u64,
    /// `eq`: that many match. `gte`: at least that many, counting stopped there.
    relation: Relation,
}

impl From<Total> for TotalDocument {
    fn from(total: Total) -> Self {
        TotalDocument {
            value: total.value,
            relation: Relation(if total.exact { "eq" } else { "gte" }),
        }
    }
}

/// The name of an answer: the resource and what was asked of it, in one form.
fn key(resource: &str, asked: &impl std::fmt::Debug) -> String {
    let mut key = resource.to_owned();
    // Writing to a string cannot fail.
    let _ = write!(key, " {asked:?}");
    key
}
