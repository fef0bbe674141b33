//! Alerts and deliveries for tests.

use shared::domain::alert::Figures;
use shared::domain::opportunity::EventKind;
use shared::domain::{Currency, Money, OpportunityId, Percentage, UnixMillis};
use shared::wire::alert::{Alert, Delivery, DeliveryKind, DeliveryStatus};

pub(crate) fn figures(margin: i64, percentage: i64, profit: Option<i64>) -> Figures {
    Figures {
        margin,
        margin_percentage: Percentage(percentage),
        profit,
        roi: None,
        buffer: None,
        confidence: None,
    }
}

pub(crate) fn alert(margin: i64, percentage: i64, profit: Option<i64>) -> Alert {
    let opportunity: OpportunityId = "B0D1XD1ZV3:ES:IT".parse().unwrap();
    let eur = |minor| Money::new(minor, Currency::EUR);
    Alert {
        alert_id: format!("{opportunity}#1"),
        event: EventKind::Opened,
        at: UnixMillis(1_768_132_800_000),
        asin: opportunity.asin,
        source_market: opportunity.source,
        target_market: opportunity.target,
        opportunity,
        title: Some("Kettle".into()),
        brand: None,
        category: None,
        source_price: eur(4_799),
        target_price: eur(4_799 + margin),
        source_price_eur: eur(4_799),
        target_price_eur: eur(4_799 + margin),
        closed_reason: None,
        figures: figures(margin, percentage, profit),
        traps: Vec::new(),
        previous: None,
    }
}

pub(crate) fn delivery(now: UnixMillis) -> Delivery {
    Delivery {
        id: "all.B0D1XD1ZV3.ES.IT.1".into(),
        rule: "all".parse().unwrap(),
        rule_name: "Everything".into(),
        channel: "hook".parse().unwrap(),
        kind: DeliveryKind::Alert,
        status: DeliveryStatus::Waiting,
        created_at: now,
        due_since: now,
        next_attempt_at: now,
        attempts: 0,
        last_error: None,
        finished_at: None,
        digest: None,
        simulated: false,
        alerts: vec![alert(700, 1_459, None)],
    }
}
