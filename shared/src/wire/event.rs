//! Topic `alerts.opportunities`: what happened to an opportunity.

use serde::{Deserialize, Serialize};

use super::opportunity::OpportunityDocument;
use crate::domain::opportunity::EventKind;
use crate::domain::{Opportunity, UnixMillis};

/// One event, key = ASIN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpportunityEvent {
    /// Format version, 1.
    pub v: u8,
    /// The alert's id, `ASIN:SOURCE:TARGET#7`: the same on every repetition. None for `updated`, which raises no alert.
    pub alert_id: Option<String>,
    /// What happened.
    pub event: EventKind,
    /// When.
    pub at: UnixMillis,
    /// The opportunity as of the event.
    pub opportunity: OpportunityDocument,
}

impl OpportunityEvent {
    /// The event that an opportunity holds as its last one.
    #[must_use]
    pub fn last_of(opportunity: &Opportunity) -> Self {
        OpportunityEvent {
            v: 1,
            alert_id: Some(opportunity.alert_id()),
            event: opportunity.last_event.kind,
            at: opportunity.last_event.at,
            opportunity: opportunity.clone().into(),
        }
    }

    /// New numbers of an open opportunity.
    #[must_use]
    pub fn updated(opportunity: &Opportunity) -> Self {
        OpportunityEvent {
            v: 1,
            alert_id: None,
            event: EventKind::Updated,
            at: opportunity.evaluation.evaluated_at,
            opportunity: opportunity.clone().into(),
        }
    }
}
