//! Records of alerts in the catalog: rules, what they told, and deliveries. Amounts are minor units, percentages hundredths,
//! times Unix milliseconds. None of them ever holds a secret: channels are known by name.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::alert::{ChannelName, Figures, RuleId};
use crate::domain::assessment::TrapReason;
use crate::domain::opportunity::{ClosedReason, Evaluation, EventKind};
use crate::domain::{Asin, Marketplace, Money, OpportunityId, UnixMillis};

/// Who wrote a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleOrigin {
    /// Somebody, through the API.
    Api,
    /// The operator's file: the API only shows it.
    File,
}

impl RuleOrigin {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RuleOrigin::Api => "api",
            RuleOrigin::File => "file",
        }
    }
}

/// `state-alert-rules`, id = the rule's: records are never deleted, so one that is gone says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleRecord {
    /// As [`crate::domain::alert::Rule::parse`] reads it.
    pub rule: Value,
    /// Who wrote it.
    pub origin: RuleOrigin,
    /// It tells of nothing that happened before.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
    /// It is gone.
    #[serde(default)]
    pub removed: bool,
}

impl RuleRecord {
    /// The `status` of records that are in use.
    pub const ACTIVE: &'static str = "active";
    /// The `status` of those that are gone.
    pub const REMOVED: &'static str = "removed";

    /// What lists filter by.
    #[must_use]
    pub fn status(&self) -> &'static str {
        if self.removed { RuleRecord::REMOVED } else { RuleRecord::ACTIVE }
    }
}

/// `state-settings`, id `alerts`: which channels the operator's file has, so that rules can be checked without knowing more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertSettings {
    /// Each with what it is.
    pub channels: Vec<ChannelRecord>,
}

impl AlertSettings {
    /// The record's id.
    pub const ID: &'static str = "alerts";
}

/// A channel's name and nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRecord {
    /// As rules name it.
    pub name: ChannelName,
    /// `smtp`, `webhook`, `telegram`, `discord` or `ntfy`.
    pub kind: String,
}

/// What a rule told of an opportunity, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What had happened.
    pub event: EventKind,
    /// When it was decided to tell.
    pub at: UnixMillis,
    /// The numbers that were told.
    pub figures: Figures,
}

/// How a rule stands towards an opportunity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Events up to this number are decided.
    pub decided_seq: i64,
    /// The opening that the rest is about.
    pub opened_at: UnixMillis,
    /// The newest evaluation that was looked at.
    pub evaluation: Evaluation,
    /// Reaching the thresholds would be news.
    pub armed: bool,
    /// Something of this opening was told.
    pub told_in_opening: bool,
    /// What was last told, of this opening or an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

/// `state-alerts`, id = `RULE.ASIN.SOURCE.TARGET`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StandingRecord {
    /// How the rule stands.
    pub standing: Standing,
    /// The delivery that the last decision asked for. It is created after this record is written, and again whenever the
    /// event comes again: a crash in between loses nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Box<Delivery>>,
}

/// `state-alerts`, id = `RULE`: what a rule has sent on a day, and the digest that is being closed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleTally {
    /// Days since 1970-01-01, UTC.
    pub day: i64,
    /// Idempotency keys of that day's messages: no more than the rule's daily cap.
    pub sent: BTreeSet<String>,
    /// When the last digest was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest_at: Option<UnixMillis>,
    /// What is in the digest that is being closed; it goes on after a crash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closing: Option<ClosingDigest>,
}

/// A digest whose contents are settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosingDigest {
    /// The delivery's id.
    pub id: String,
    /// When it was closed.
    pub at: UnixMillis,
    /// The deliveries that were held for it.
    pub held: Vec<String>,
}

/// What a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryKind {
    /// One alert.
    Alert,
    /// What was collected.
    Digest,
    /// Somebody tries out a rule.
    Test,
}

impl DeliveryKind {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DeliveryKind::Alert => "alert",
            DeliveryKind::Digest => "digest",
            DeliveryKind::Test => "test",
        }
    }
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// Waits for a digest.
    Held,
    /// Is in a digest, which has a delivery of its own.
    Digested,
    /// Is to be sent, for the first time or again.
    Waiting,
    /// The channel has taken it.
    Delivered,
    /// Given up.
    Failed,
}

impl DeliveryStatus {
    /// All of them.
    pub const ALL: [DeliveryStatus; 5] = [
        DeliveryStatus::Held,
        DeliveryStatus::Digested,
        DeliveryStatus::Waiting,
        DeliveryStatus::Delivered,
        DeliveryStatus::Failed,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DeliveryStatus::Held => "held",
            DeliveryStatus::Digested => "digested",
            DeliveryStatus::Waiting => "waiting",
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::Failed => "failed",
        }
    }
}

/// `state-deliveries`, id = the idempotency key. Whoever creates it has decided that it is sent; whoever writes an attempt
/// into it is the one that sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// `RULE.ASIN.SOURCE.TARGET.SEQ`, `RULE.digest.MILLIS` or `RULE.test.MILLIS`: the idempotency key.
    pub id: String,
    /// Of this rule.
    pub rule: RuleId,
    /// Its name then.
    pub rule_name: String,
    /// Where to.
    pub channel: ChannelName,
    /// What it is.
    pub kind: DeliveryKind,
    /// How far it is.
    pub status: DeliveryStatus,
    /// When it was decided.
    pub created_at: UnixMillis,
    /// From when its age counts: its creation, or when somebody last had it sent again.
    pub due_since: UnixMillis,
    /// Not before this; while an attempt is under way, when it counts as lost.
    pub next_attempt_at: UnixMillis,
    /// Attempts since `due_since`.
    pub attempts: u32,
    /// Why the last attempt failed, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it was delivered or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<UnixMillis>,
    /// The digest it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The data comes from the simulator.
    pub simulated: bool,
    /// What it tells: one, of a digest all, of a test none.
    pub alerts: Vec<Alert>,
}

/// One event of an opportunity, as it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Alert {
    /// `ASIN:SOURCE:TARGET#7`.
    pub alert_id: String,
    pub event: EventKind,
    pub at: UnixMillis,
    pub opportunity: OpportunityId,
    pub asin: Asin,
    pub source_market: Marketplace,
    pub target_market: Marketplace,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    pub source_price: Money,
    pub target_price: Money,
    pub source_price_eur: Money,
    pub target_price_eur: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_reason: Option<ClosedReason>,
    pub figures: Figures,
    /// What speaks against it, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traps: Vec<TrapReason>,
    /// What the rule had told of it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Told>,
}

impl Alert {
    /// By how much the numbers are above what was told before.
    #[must_use]
    pub fn delta(&self) -> Option<Figures> {
        self.previous.as_ref().map(|previous| self.figures.minus(&previous.figures))
    }
}

impl Delivery {
    /// As the catalog holds it.
    ///
    /// # Panics
    /// Never: it is plain structs with string keys.
    #[must_use]
    pub fn to_record(&self) -> crate::ports::catalog::StateRecord {
        crate::ports::catalog::StateRecord {
            id: self.id.clone(),
            group: Some(self.rule.to_string()),
            status: Some(self.status.name().into()),
            at: self.created_at,
            body: serde_json::to_value(self).expect("plain structs with string keys"),
        }
    }

    /// A message that tries out a rule.
    #[must_use]
    pub fn test(rule: &crate::domain::alert::Rule, simulated: bool, now: UnixMillis) -> Delivery {
        Delivery {
            id: format!("{}.test.{}", rule.id, now.0),
            rule: rule.id.clone(),
            rule_name: rule.name.clone(),
            channel: rule.channel.clone(),
            kind: DeliveryKind::Test,
            status: DeliveryStatus::Waiting,
            created_at: now,
            due_since: now,
            next_attempt_at: now,
            attempts: 0,
            last_error: None,
            finished_at: None,
            digest: None,
            simulated,
            alerts: Vec::new(),
        }
    }

    /// Sends it again from the start: attempts and age count anew, the idempotency key stays.
    #[must_use]
    pub fn again(mut self, now: UnixMillis) -> Delivery {
        self.status = DeliveryStatus::Waiting;
        self.due_since = now;
        self.next_attempt_at = now;
        self.attempts = 0;
        self.finished_at = None;
        self
    }
}
