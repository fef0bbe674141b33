//! `/alerts/rules`: what people want to be told of. Rules name channels, which are the operator's file's: nothing that is
//! sent or answered here holds a secret, and no message goes where the operator did not want any to go.

use std::sync::Arc;

use poem_openapi::payload::Json;
use poem_openapi::types::ToJSON as _;
use poem_openapi::{ApiResponse, Object, OpenApi};
use rand::Rng as _;
use serde::Serialize;
use serde_json::Value;
use shared::domain::Percentage;
use shared::domain::alert::{Mistake, Rule, RuleId};
use shared::ports::catalog::{Condition, StateKind, StateQuery, StateRecord, Versioned, Write, WriteOutcome};
use shared::wire::alert::{AlertSettings, Delivery, RuleOrigin, RuleRecord};

use super::deliveries::DeliveryDocument;
use super::{Group, TotalDocument};
use crate::api::Api;
use crate::error::{ChangeFailure, DeedFailure, FetchError, ItemFailure, ListFailure, MakingFailure, Problem};
use crate::params::{Cursor, DEFAULT_LIMIT, Limit, Path, Query};
use crate::sent::{SentFlag, SentNumber, SentWord, SentWords};
use crate::values::{Amount, EventName, Instant, Market, RuleFrom, TrapCode};

/// The handlers.
pub(crate) struct AlertRuleRoutes {
    api: Arc<Api>,
}

/// A rule as it is sent. What is left out is as it is said here.
#[derive(Debug, Clone, Object)]
#[oai(rename = "AlertRuleInput", deny_unknown_fields)]
struct SentRule {
    /// Names it for ever, 1 to 64 of a-z, 0-9, `-` and `_`; made up where it is left out.
    id: Option<SentWord>,
    /// For people; the id.
    name: Option<SentWord>,
    /// Whether it tells anything; true.
    enabled: Option<SentFlag>,
    /// `opened`, `improved`, `closed`; all of them.
    events: Option<SentWords>,
    /// Margin of at least this many percent; none.
    min_margin: Option<SentNumber>,
    /// Margin of at least this, EUR; none.
    min_margin_eur: Option<SentNumber>,
    /// Profit of at least this for the configured seller, EUR; none. What has no known profit does not reach it; likewise the
    /// next two.
    min_profit: Option<SentNumber>,
    /// Return on capital of at least this many percent; none.
    min_roi: Option<SentNumber>,
    /// Buffer of at least this many percent; none.
    min_buffer: Option<SentNumber>,
    /// Confidence of at least this many percent; none.
    min_confidence: Option<SentNumber>,
    /// Bought in one of these marketplaces; anywhere.
    source_markets: Option<SentWords>,
    /// Sold in one of these marketplaces; anywhere.
    target_markets: Option<SentWords>,
    /// Of one of these brands, compared whole and without case; any.
    brands: Option<SentWords>,
    /// Of one of these root categories, likewise; any.
    categories: Option<SentWords>,
    /// Not what shows one of these traps, as `/opportunities` names them; none.
    without_traps: Option<SentWords>,
    /// Where it tells: a channel of the operator's file.
    channel: Option<SentWord>,
    /// How far below a threshold a number has to fall before reaching it is news again, and by how much the margin has to grow
    /// since it was last told to be an improvement: euros or percentage points; 1.
    hysteresis: Option<SentNumber>,
    /// Time between two messages about one opportunity, such as `6h`, up to `30d`; `0s`.
    cooldown: Option<SentWord>,
    /// Messages on a day (UTC) at most, 1 to 1000; 100.
    daily_cap: Option<SentNumber>,
    /// Collects, and tells once in this time, `1m` to `7d`; tells at once.
    digest: Option<SentWord>,
}

/// What somebody wants to be told of.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "AlertRule")]
struct RuleDocument {
    /// Names it for ever.
    id: String,
    /// For people.
    name: String,
    /// `api`, or `file`: the operator's, which can only be read here.
    origin: RuleFrom,
    /// Whether it tells anything.
    enabled: bool,
    /// What it tells.
    events: Vec<EventName>,
    /// Margin of at least this many percent; null = any.
    #[oai(nullable)]
    min_margin: Option<Amount>,
    /// Margin of at least this, EUR; null = any.
    #[oai(nullable)]
    min_margin_eur: Option<Amount>,
    /// Profit of at least this, EUR; null = any, also where it is not known.
    #[oai(nullable)]
    min_profit: Option<Amount>,
    /// Return on capital of at least this many percent; likewise.
    #[oai(nullable)]
    min_roi: Option<Amount>,
    /// Buffer of at least this many percent; likewise.
    #[oai(nullable)]
    min_buffer: Option<Amount>,
    /// Confidence of at least this many percent; likewise.
    #[oai(nullable)]
    min_confidence: Option<Amount>,
    /// Bought in one of these; empty = anywhere.
    source_markets: Vec<Market>,
    /// Sold in one of these; empty = anywhere.
    target_markets: Vec<Market>,
    /// Of one of these brands; empty = any.
    brands: Vec<String>,
    /// Of one of these root categories; empty = any.
    categories: Vec<String>,
    /// Not what shows one of these traps.
    without_traps: Vec<TrapCode>,
    /// Where it tells.
    channel: String,
    /// Euros or percentage points.
    hysteresis: Amount,
    /// Time between two messages about one opportunity.
    cooldown: String,
    /// Messages on a day (UTC) at most.
    daily_cap: u32,
    /// Collects, and tells once in this time; null = tells at once.
    #[oai(nullable)]
    digest: Option<String>,
    /// It tells of nothing that happened before.
    created_at: Instant,
    /// When it was last changed.
    updated_at: Instant,
}

/// One page of rules.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "AlertRuleList")]
struct RuleListDocument {
    /// Oldest first.
    items: Vec<RuleDocument>,
    /// Over all pages.
    total: TotalDocument,
    /// For the next page, with the same other parameters; null on the last.
    #[oai(nullable)]
    next_cursor: Option<String>,
}

/// A page of rules.
#[derive(ApiResponse)]
enum RuleListAnswer {
    /// The rules.
    #[oai(status = 200)]
    Found(Json<RuleListDocument>),
}

/// One rule.
#[derive(ApiResponse)]
enum RuleAnswer {
    /// The rule.
    #[oai(status = 200)]
    Found(Json<RuleDocument>),
}

/// A rule that was made.
#[derive(ApiResponse)]
enum MadeAnswer {
    /// It is there, and in force within a few seconds.
    #[oai(status = 201)]
    Made(Json<RuleDocument>),
}

/// A rule that is gone.
#[derive(ApiResponse)]
enum RemovedAnswer {
    /// It is gone.
    #[oai(status = 204)]
    Removed,
}

/// A message that is on its way.
#[derive(ApiResponse)]
enum TestAnswer {
    /// It is to be sent: `/alerts/deliveries` shows what becomes of it.
    #[oai(status = 202)]
    Accepted(Json<DeliveryDocument>),
}

#[OpenApi(tag = "Group::Alerts")]
impl AlertRuleRoutes {
    /// List rules of alerts
    ///
    /// Those of the operator's file and those made here, oldest first. A list may lag a second behind.
    #[oai(path = "/alerts/rules", method = "get", operation_id = "list_alert_rules")]
    async fn list(
        &self,
        /// Items a page.
        limit: Query<Limit>,
        /// `next_cursor` of the page before.
        cursor: Query<Cursor>,
    ) -> Result<RuleListAnswer, ListFailure> {
        let query = StateQuery {
            group: None,
            status: Some(RuleRecord::ACTIVE.into()),
            ascending: true,
            limit: limit.0.map_or(DEFAULT_LIMIT, |limit| limit.0),
            cursor: cursor.0.map(|cursor| cursor.0),
        };
        let page = self.api.catalog.list_states(StateKind::AlertRules, &query).await;
        let page = page.map_err(FetchError::from).map_err(Problem::from)?;
        Ok(RuleListAnswer::Found(Json(RuleListDocument {
            items: page.items.into_iter().filter_map(|record| decode(record.value)).map(RuleDocument::of).collect(),
            total: page.total.into(),
            next_cursor: page.next_cursor,
        })))
    }

    /// One rule of alerts
    #[oai(path = "/alerts/rules/:id", method = "get", operation_id = "get_alert_rule")]
    async fn get(
        &self,
        /// The rule's id.
        id: Path<RuleId>,
    ) -> Result<RuleAnswer, ItemFailure> {
        let (rule, record, _) = self.known(&id.0).await?;
        Ok(RuleAnswer::Found(Json(RuleDocument::of((rule, record)))))
    }

    /// Make a rule of alerts
    ///
    /// It tells of what happens from now on. A rise that is less than one point of margin is seen with the next improvement.
    #[oai(path = "/alerts/rules", method = "post", operation_id = "make_alert_rule")]
    async fn make(&self, rule: Json<SentRule>) -> Result<MadeAnswer, MakingFailure> {
        let made_up = format!("rule-{:012x}", rand::rng().random::<u64>() & 0xffff_ffff_ffff);
        let rule = parse(&rule.0, made_up.parse().expect("a name"))?;
        self.check_channel(&rule).await?;
        let stored = self.read(&rule.id).await?;
        let condition = match stored {
            None => Condition::Absent,
            Some(stored) => {
                if decode_record(&stored.value).is_none_or(|record| !record.removed) {
                    return Err(Problem::conflict(format!("there is a rule {} already", rule.id)).into());
                }
                Condition::Unchanged(stored.version)
            }
        };
        let now = self.api.now();
        let record = RuleRecord {
            rule: rule.to_json(),
            origin: RuleOrigin::Api,
            created_at: now,
            updated_at: now,
            removed: false,
        };
        self.write(&rule.id, &record, condition).await?;
        Ok(MadeAnswer::Made(Json(RuleDocument::of((rule, record)))))
    }

    /// Replace a rule of alerts
    ///
    /// The whole of it: what is left out is as for a new one. What it told before is remembered.
    #[oai(path = "/alerts/rules/:id", method = "put", operation_id = "replace_alert_rule")]
    async fn replace(
        &self,
        /// The rule's id.
        id: Path<RuleId>,
        rule: Json<SentRule>,
    ) -> Result<RuleAnswer, ChangeFailure> {
        let rule = parse(&rule.0, id.0.clone())?;
        if rule.id != id.0 {
            return Err(Problem::field("id", format!("is {}: that of the path, {}, is expected", rule.id, id.0)).into());
        }
        let (_, stored, condition) = self.known(&id.0).await?;
        check_origin(&id.0, &stored)?;
        self.check_channel(&rule).await?;
        let record = RuleRecord {
            rule: rule.to_json(),
            updated_at: self.api.now(),
            ..stored
        };
        self.write(&id.0, &record, condition).await?;
        Ok(RuleAnswer::Found(Json(RuleDocument::of((rule, record)))))
    }

    /// Remove a rule of alerts
    ///
    /// What it still has to deliver is delivered.
    #[oai(path = "/alerts/rules/:id", method = "delete", operation_id = "remove_alert_rule")]
    async fn remove(
        &self,
        /// The rule's id.
        id: Path<RuleId>,
    ) -> Result<RemovedAnswer, DeedFailure> {
        let (_, stored, condition) = self.known(&id.0).await?;
        check_origin(&id.0, &stored)?;
        let record = RuleRecord {
            removed: true,
            updated_at: self.api.now(),
            ..stored
        };
        self.write(&id.0, &record, condition).await?;
        Ok(RemovedAnswer::Removed)
    }

    /// Try a rule of alerts out
    ///
    /// Sends a message through its channel that says it is a test.
    #[oai(path = "/alerts/rules/:id/test", method = "post", operation_id = "test_alert_rule")]
    async fn test(
        &self,
        /// The rule's id.
        id: Path<RuleId>,
    ) -> Result<TestAnswer, DeedFailure> {
        let (rule, _, _) = self.known(&id.0).await?;
        let surroundings = self.api.surroundings().await.map_err(Problem::from)?;
        let delivery = Delivery::test(&rule, surroundings.is_simulated(), self.api.now());
        let write = Write {
            value: delivery.to_record(),
            condition: Condition::Absent,
        };
        put(&self.api, StateKind::Deliveries, write, "a test was asked for at this very moment").await?;
        Ok(TestAnswer::Accepted(Json(DeliveryDocument::of(delivery))))
    }
}

impl AlertRuleRoutes {
    pub(super) fn new(api: Arc<Api>) -> Self {
        AlertRuleRoutes { api }
    }

    async fn read(&self, id: &RuleId) -> Result<Option<Versioned<StateRecord>>, Problem> {
        let read = self.api.catalog.read_states(StateKind::AlertRules, &[id.to_string()]).await;
        Ok(read.map_err(FetchError::from)?.into_iter().flatten().next())
    }

    /// The rule, its record and what a write of it needs; a problem where there is none.
    async fn known(&self, id: &RuleId) -> Result<(Rule, RuleRecord, Condition), Problem> {
        let not_known = || Problem::NotKnown { what: format!("rule {id}") };
        let stored = self.read(id).await?.ok_or_else(not_known)?;
        let condition = Condition::Unchanged(stored.version);
        let (rule, record) = decode(stored.value).filter(|(_, record)| !record.removed).ok_or_else(not_known)?;
        Ok((rule, record, condition))
    }

    async fn write(&self, id: &RuleId, record: &RuleRecord, condition: Condition) -> Result<(), Problem> {
        let value = StateRecord {
            id: id.to_string(),
            group: Some(record.origin.name().into()),
            status: Some(record.status().into()),
            at: record.created_at,
            body: serde_json::to_value(record).expect("plain structs with string keys"),
        };
        let reason = "somebody else changed the rule at this moment: look at it and try again";
        put(&self.api, StateKind::AlertRules, Write { value, condition }, reason).await
    }

    /// Channels are told by whoever reads the operator's file.
    async fn check_channel(&self, rule: &Rule) -> Result<(), Problem> {
        let read = self.api.catalog.read_states(StateKind::Settings, &[AlertSettings::ID.to_owned()]).await;
        let record = read.map_err(FetchError::from)?.into_iter().flatten().next();
        let settings = record.and_then(|record| serde_json::from_value::<AlertSettings>(record.value.body).ok());
        let channels = settings.unwrap_or_default().channels;
        if channels.iter().any(|channel| channel.name == rule.channel) {
            return Ok(());
        }
        let known: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        Err(Problem::field(
            "channel",
            format!("is {}, which the operator's file (ALERT_CHANNELS) does not have; known: {known}", rule.channel),
        ))
    }
}

/// Writes one record.
pub(super) async fn put(api: &Api, kind: StateKind, write: Write<StateRecord>, conflict: &str) -> Result<(), Problem> {
    let outcomes = api.catalog.write_states(kind, &[write]).await.map_err(FetchError::from)?;
    match outcomes.into_iter().next() {
        Some(WriteOutcome::Written(_)) => Ok(()),
        Some(WriteOutcome::Conflict) => Err(Problem::conflict(conflict)),
        Some(WriteOutcome::Retry { reason }) => Err(FetchError::Away { reason }.into()),
        outcome @ (Some(WriteOutcome::Refused { .. }) | None) => {
            tracing::error!(collection = kind.collection(), ?outcome, "the catalog refuses a record");
            Err(Problem::Internal)
        }
    }
}

fn check_origin(id: &RuleId, stored: &RuleRecord) -> Result<(), Problem> {
    match stored.origin {
        RuleOrigin::Api => Ok(()),
        RuleOrigin::File => Err(Problem::conflict(format!(
            "rule {id} is one of the operator's file (ALERT_RULES): it is changed there"
        ))),
    }
}

fn parse(sent: &SentRule, id: RuleId) -> Result<Rule, Problem> {
    let value = sent.to_json().unwrap_or_default();
    Rule::parse(&value, Some(id)).map_err(|mistakes| problem(&mistakes))
}

/// All mistakes, the first one's field before them.
fn problem(mistakes: &[Mistake]) -> Problem {
    let mut mistakes = mistakes.iter();
    let Some(first) = mistakes.next() else { return Problem::Internal };
    let others: Vec<String> = mistakes.map(|mistake| format!("; field {}: {}", mistake.field, mistake.reason)).collect();
    Problem::field(first.field.clone(), format!("{}{}", first.reason, others.concat()))
}

fn decode_record(record: &StateRecord) -> Option<RuleRecord> {
    serde_json::from_value(record.body.clone()).ok()
}

/// What a newer version wrote is left out.
fn decode(stored: StateRecord) -> Option<(Rule, RuleRecord)> {
    let record: RuleRecord = serde_json::from_value(stored.body).ok()?;
    match Rule::parse(&record.rule, None) {
        Ok(rule) => Some((rule, record)),
        Err(mistakes) => {
            tracing::warn!(id = stored.id, mistakes = mistakes.len(), "a rule cannot be read and is left out");
            None
        }
    }
}

impl RuleDocument {
    fn of((rule, record): (Rule, RuleRecord)) -> Self {
        use shared::domain::alert::Measure;
        let hundredths = |value: i64| Amount::from(Percentage(value));
        let threshold = |measure: Measure| rule.thresholds.get(&measure).map(|&value| hundredths(value));
        let json = rule.to_json();
        let text = |field: &str| json.get(field).and_then(Value::as_str).map(str::to_owned);
        RuleDocument {
            min_margin: threshold(Measure::MarginPercentage),
            min_margin_eur: threshold(Measure::Margin),
            min_profit: threshold(Measure::Profit),
            min_roi: threshold(Measure::Roi),
            min_buffer: threshold(Measure::Buffer),
            min_confidence: threshold(Measure::Confidence),
            cooldown: text("cooldown").unwrap_or_default(),
            digest: text("digest"),
            id: rule.id.to_string(),
            origin: RuleFrom(record.origin.name()),
            enabled: rule.enabled,
            without_traps: rule.without_traps.iter().map(|trap| TrapCode(trap.name())).collect(),
            events: rule.events.iter().map(|wanted| EventName(wanted.name())).collect(),
            source_markets: rule.source_markets.iter().copied().map(Market::from).collect(),
            target_markets: rule.target_markets.iter().copied().map(Market::from).collect(),
            channel: rule.channel.to_string(),
            hysteresis: hundredths(rule.hysteresis),
            daily_cap: rule.daily_cap,
            created_at: record.created_at.into(),
            updated_at: record.updated_at.into(),
            name: rule.name,
            brands: rule.brands,
            categories: rule.categories,
        }
    }
}
