//! `/alerts/deliveries`: what was told, is to be told, and what was given up.

use std::sync::Arc;

use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Serialize;
use shared::domain::alert::{Figures, RuleId};
use shared::domain::{Currency, Money};
use shared::ports::catalog::{Condition, StateKind, StateQuery, Write};
use shared::wire::alert::{Alert, Delivery, DeliveryStatus, Told};

use super::alert_rules::put;
use super::{Group, TotalDocument};
use crate::api::Api;
use crate::error::{DeedFailure, FetchError, ListFailure, Problem};
use crate::params::{Cursor, DEFAULT_LIMIT, DeliveryId, Limit, Path, Query};
use crate::values::{Amount, DeliveryOf, DeliveryState, EventName, Instant, Market, TrapCode};

/// Of one delivery: a page of digests would be endless otherwise.
const SHOWN_ALERTS: usize = 10;

/// The handlers.
pub(crate) struct DeliveryRoutes {
    api: Arc<Api>,
}

/// A message: one alert, a digest of several, or a test.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "AlertDelivery")]
pub(crate) struct DeliveryDocument {
    /// The idempotency key: the same on every repetition.
    id: String,
    /// The rule's id.
    rule: String,
    /// The rule's name then.
    rule_name: String,
    /// Where to.
    channel: String,
    /// `alert`, `digest` or `test`.
    kind: DeliveryOf,
    /// `held`: waits for a digest. `digested`: is in `digest`. `waiting`: is to be sent, for the first time or again.
    /// `delivered`: the channel has taken it. `failed`: refused, or given up after 20 attempts or a day.
    status: DeliveryState,
    /// When it was decided.
    created_at: Instant,
    /// When it is tried next; null unless it waits.
    #[oai(nullable)]
    next_attempt_at: Option<Instant>,
    /// Attempts so far, since it was last asked for.
    attempts: u32,
    /// Why the last attempt failed.
    #[oai(nullable)]
    last_error: Option<String>,
    /// When it was delivered or given up; null until then.
    #[oai(nullable)]
    finished_at: Option<Instant>,
    /// The delivery of the digest that it is in.
    #[oai(nullable)]
    digest: Option<String>,
    /// The data comes from the simulator.
    simulated: bool,
    /// How many alerts it tells: one, of a digest several, of a test none.
    alerts_total: usize,
    /// The first ten of them; those of a digest are deliveries of their own.
    alerts: Vec<AlertDocument>,
}

/// What happened to an opportunity.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Alert")]
struct AlertDocument {
    /// `ASIN:SOURCE:TARGET#7`.
    alert_id: String,
    /// `opened`, `improved` or `closed`.
    event: EventName,
    /// When.
    at: Instant,
    /// `ASIN:SOURCE:TARGET`.
    opportunity_id: String,
    /// The article's title.
    #[oai(nullable)]
    title: Option<String>,
    /// Where it is bought.
    source_market: Market,
    /// Where it is sold.
    target_market: Market,
    /// The numbers then.
    figures: FiguresDocument,
    /// What spoke against it.
    traps: Vec<TrapCode>,
    /// What the rule had last told of the opportunity; null where that is nothing.
    #[oai(nullable)]
    previous: Option<PreviousDocument>,
    /// By how much the numbers are above those told before.
    #[oai(nullable)]
    delta: Option<FiguresDocument>,
}

/// What was told before.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "AlertBefore")]
struct PreviousDocument {
    /// `opened`, `improved` or `closed`.
    event: EventName,
    /// When it was told.
    at: Instant,
    /// The numbers that were told.
    figures: FiguresDocument,
}

/// Numbers of an opportunity, or their differences.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "AlertFigures")]
struct FiguresDocument {
    /// Gross, EUR.
    margin: Amount,
    /// In percent of the source price.
    margin_percentage: Amount,
    /// For the configured seller, EUR; null where it is not known.
    #[oai(nullable)]
    profit: Option<Amount>,
    /// Of the capital tied up; null where it is not known.
    #[oai(nullable)]
    roi_percentage: Option<Amount>,
    /// How far the target price may fall; null where it is not known.
    #[oai(nullable)]
    buffer_percentage: Option<Amount>,
    /// How far the numbers can be trusted, percent; null where it is not known.
    #[oai(nullable)]
    confidence: Option<Amount>,
}

/// One page of deliveries.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "AlertDeliveryList")]
struct DeliveryListDocument {
    /// Newest first.
    items: Vec<DeliveryDocument>,
    /// Over all pages.
    total: TotalDocument,
    /// For the next page, with the same other parameters; null on the last.
    #[oai(nullable)]
    next_cursor: Option<String>,
}

/// A page of deliveries.
#[derive(ApiResponse)]
enum DeliveryListAnswer {
    /// The deliveries.
    #[oai(status = 200)]
    Found(Json<DeliveryListDocument>),
}

/// A delivery that is sent again.
#[derive(ApiResponse)]
enum RetryAnswer {
    /// It is to be sent again, under the same idempotency key.
    #[oai(status = 202)]
    Accepted(Json<DeliveryDocument>),
}

#[OpenApi(tag = "Group::Alerts")]
impl DeliveryRoutes {
    /// List deliveries of alerts
    ///
    /// Newest first, those that failed among them. A list may lag a second behind.
    #[oai(path = "/alerts/deliveries", method = "get", operation_id = "list_alert_deliveries")]
    async fn list(
        &self,
        /// Of this rule.
        rule: Query<RuleId>,
        /// So far.
        status: Query<DeliveryStatus>,
        /// Items a page.
        limit: Query<Limit>,
        /// `next_cursor` of the page before; belongs to the query it came with.
        cursor: Query<Cursor>,
    ) -> Result<DeliveryListAnswer, ListFailure> {
        let query = StateQuery {
            group: rule.0.map(|rule| rule.to_string()),
            status: status.0.map(|status| status.name().to_owned()),
            ascending: false,
            limit: limit.0.map_or(DEFAULT_LIMIT, |limit| limit.0),
            cursor: cursor.0.map(|cursor| cursor.0),
        };
        let page = self.api.catalog.list_states(StateKind::Deliveries, &query).await;
        let page = page.map_err(FetchError::from).map_err(Problem::from)?;
        let decode = |body| match serde_json::from_value::<Delivery>(body) {
            Ok(delivery) => Some(DeliveryDocument::of(delivery)),
            Err(error) => {
                tracing::warn!(error = %error, "a delivery cannot be decoded and is left out");
                None
            }
        };
        Ok(DeliveryListAnswer::Found(Json(DeliveryListDocument {
            items: page.items.into_iter().filter_map(|record| decode(record.value.body)).collect(),
            total: page.total.into(),
            next_cursor: page.next_cursor,
        })))
    }

    /// Send a failed delivery again
    ///
    /// Attempts and age count anew; the idempotency key stays.
    #[oai(path = "/alerts/deliveries/:id/retry", method = "post", operation_id = "retry_alert_delivery")]
    async fn retry(
        &self,
        /// The delivery's id.
        id: Path<DeliveryId>,
    ) -> Result<RetryAnswer, DeedFailure> {
        let id = id.0.0;
        let read = self.api.catalog.read_states(StateKind::Deliveries, std::slice::from_ref(&id)).await;
        let stored = read.map_err(FetchError::from).map_err(Problem::from)?.into_iter().flatten().next();
        let not_known = || Problem::NotKnown {
            what: format!("delivery {id}"),
        };
        let stored = stored.ok_or_else(not_known)?;
        let delivery: Delivery = serde_json::from_value(stored.value.body).map_err(|_| not_known())?;
        if delivery.status != DeliveryStatus::Failed {
            let status = delivery.status.name();
            return Err(Problem::conflict(format!("delivery {id} is {status}: only one that failed is sent again")).into());
        }
        let delivery = delivery.again(self.api.now());
        let write = Write {
            value: delivery.to_record(),
            condition: Condition::Unchanged(stored.version),
        };
        put(&self.api, StateKind::Deliveries, write, "the delivery changed at this moment: look at it again").await?;
        Ok(RetryAnswer::Accepted(Json(DeliveryDocument::of(delivery))))
    }
}

impl DeliveryRoutes {
    pub(super) fn new(api: Arc<Api>) -> Self {
        DeliveryRoutes { api }
    }
}

impl DeliveryDocument {
    pub(super) fn of(delivery: Delivery) -> Self {
        let waits = delivery.status == DeliveryStatus::Waiting;
        DeliveryDocument {
            rule: delivery.rule.to_string(),
            channel: delivery.channel.to_string(),
            kind: DeliveryOf(delivery.kind.name()),
            status: DeliveryState(delivery.status.name()),
            created_at: delivery.created_at.into(),
            next_attempt_at: waits.then_some(Instant(delivery.next_attempt_at)),
            attempts: delivery.attempts,
            finished_at: delivery.finished_at.map(Instant),
            simulated: delivery.simulated,
            alerts_total: delivery.alerts.len(),
            alerts: delivery.alerts.into_iter().take(SHOWN_ALERTS).map(AlertDocument::of).collect(),
            id: delivery.id,
            rule_name: delivery.rule_name,
            last_error: delivery.last_error,
            digest: delivery.digest,
        }
    }
}

impl AlertDocument {
    fn of(alert: Alert) -> Self {
        let delta = alert.delta().as_ref().map(FiguresDocument::of);
        AlertDocument {
            event: EventName(alert.event.name()),
            at: alert.at.into(),
            opportunity_id: alert.opportunity.to_string(),
            source_market: alert.source_market.into(),
            target_market: alert.target_market.into(),
            figures: FiguresDocument::of(&alert.figures),
            traps: alert.traps.iter().map(|trap| TrapCode(trap.name())).collect(),
            previous: alert.previous.as_ref().map(PreviousDocument::of),
            delta,
            alert_id: alert.alert_id,
            title: alert.title,
        }
    }
}

impl PreviousDocument {
    fn of(told: &Told) -> Self {
        PreviousDocument {
            event: EventName(told.event.name()),
            at: told.at.into(),
            figures: FiguresDocument::of(&told.figures),
        }
    }
}

impl FiguresDocument {
    fn of(figures: &Figures) -> Self {
        let euros = |cents| Amount::from(Money::new(cents, Currency::EUR));
        FiguresDocument {
            margin: euros(figures.margin),
            margin_percentage: figures.margin_percentage.into(),
            profit: figures.profit.map(euros),
            roi_percentage: figures.roi.map(Amount::from),
            buffer_percentage: figures.buffer.map(Amount::from),
            confidence: figures.confidence.map(Amount::from),
        }
    }
}
