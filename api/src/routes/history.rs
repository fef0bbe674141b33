//! `/products/{asin}/history`: what an article cost over time, for charts.

#![deny(clippy::float_arithmetic, clippy::cast_precision_loss, clippy::cast_possible_truncation)]

use std::collections::BTreeMap;
use std::sync::Arc;

use poem::Request;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use shared::domain::{Asin, ExchangeRate, Marketplace, Money, ShownPrice, UnixMillis};
use shared::ports::catalog::StateKind;
use shared::wire::state::HistoryRecord;

use super::{Group, key};
use crate::answer::Answered;
use crate::api::Api;
use crate::error::{FetchError, ItemFailure, Problem};
use crate::freshness::DependsOn;
use crate::params::Path;
use crate::values::{Amount, CurrencyCode, Instant, Kind, Market};

/// The handlers.
pub(crate) struct HistoryRoutes {
    api: Arc<Api>,
}

/// Prices of an article over time.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "ProductHistory")]
struct HistoryDocument {
    /// Amazon's article number.
    asin: String,
    /// By marketplace; one of which no history is held is left out.
    markets: BTreeMap<Market, SeriesDocument>,
}

/// Landed prices in one marketplace: a step function, each point holds until the next.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "PriceSeries")]
struct SeriesDocument {
    /// Of the amounts (ISO 4217).
    currency: CurrencyCode,
    /// Which price it is.
    kind: Kind,
    /// Where the held history ends: it comes with the first look at an article and every 30 days. Of the time after that only
    /// the present price is known, which is the last point if it is of the same kind.
    to: Instant,
    /// In ascending order: the changes of the 180 days up to `to`, at most 400, and the present price.
    points: Vec<PointDocument>,
}

/// A price from then on.
#[derive(Debug, Clone, PartialEq, Object, Serialize)]
#[oai(rename = "PricePoint")]
struct PointDocument {
    /// Since when.
    at: Instant,
    /// In the series' currency; null = no offer.
    #[oai(nullable)]
    amount: Option<Amount>,
    /// In EUR at the rates of `/stats`, those of today for the whole series; null = no offer, or no rate.
    #[oai(nullable)]
    amount_eur: Option<Amount>,
}

#[OpenApi(tag = "Group::Products")]
impl HistoryRoutes {
    /// What a product cost over time
    ///
    /// Empty where no history is held yet.
    #[oai(path = "/products/:asin/history", method = "get", operation_id = "get_product_history")]
    async fn get(
        &self,
        request: &Request,
        /// The article, in upper or lower case.
        asin: Path<Asin>,
    ) -> Result<Answered<HistoryDocument>, ItemFailure> {
        let key = key("product history", &asin.0);
        let held = self.api.answer(DependsOn::OneDocument, &key, get(Arc::clone(&self.api), asin.0)).await?;
        Ok(Answered::new(held, request.headers(), self.api.now()))
    }
}

impl HistoryRoutes {
    pub(super) fn new(api: Arc<Api>) -> Self {
        HistoryRoutes { api }
    }
}

async fn get(api: Arc<Api>, asin: Asin) -> Result<HistoryDocument, FetchError> {
    let surroundings = api.surroundings().await?;
    let found = api.catalog.read_products(&[asin]).await?.into_iter().flatten().next();
    let stored = found.ok_or_else(|| Problem::NotKnown {
        what: format!("product {asin}"),
    })?;
    let product = stored.value.product;
    let shown = product.shown_prices(api.now(), api.config.staleness);
    let markets: Vec<Marketplace> = product.markets.keys().copied().collect();
    let ids: Vec<String> = markets.iter().map(|&marketplace| HistoryRecord::id(asin, marketplace)).collect();
    let held = api.catalog.read_states(StateKind::Histories, &ids).await?;
    let series = markets.into_iter().zip(held).filter_map(|(marketplace, held)| {
        let record = match serde_json::from_value::<HistoryRecord>(held?.value.body) {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(%asin, %marketplace, error = %error, "a history cannot be decoded and is left out");
                return None;
            }
        };
        let rate = surroundings.rate(marketplace.currency());
        Some((
            marketplace.into(),
            SeriesDocument::of(&record, marketplace, shown.get(&marketplace), rate.as_ref()),
        ))
    });
    Ok(HistoryDocument {
        asin: asin.to_string(),
        markets: series.collect(),
    })
}

impl SeriesDocument {
    fn of(record: &HistoryRecord, marketplace: Marketplace, shown: Option<&ShownPrice>, rate: Option<&ExchangeRate>) -> Self {
        let currency = marketplace.currency();
        let point = |at: UnixMillis, minor: Option<i64>| {
            let money = minor.map(|minor| Money::new(minor, currency));
            PointDocument {
                at: at.into(),
                amount: money.map(Amount::from),
                amount_eur: money.and_then(|money| rate?.to_eur(money).ok()).map(Amount::from),
            }
        };
        let mut points: Vec<PointDocument> = record.points.iter().map(|&(at, minor)| point(at.to_unix(), minor)).collect();
        let to = record.to.to_unix();
        let present = shown.filter(|shown| shown.kind == record.kind && shown.observed_at >= to);
        match (present, record.points.last()) {
            (Some(present), _) => points.push(point(present.observed_at, Some(present.price.minor))),
            // It stood at least until then.
            (None, Some(&(at, minor))) if at.to_unix() < to => points.push(point(to, minor)),
            _ => {}
        }
        SeriesDocument {
            currency: CurrencyCode(currency.code()),
            kind: Kind(record.kind.name()),
            to: to.into(),
            points,
        }
    }
}
