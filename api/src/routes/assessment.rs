//! What speaks for and against an opportunity, as a part of it.

use poem_openapi::Object;
use serde::Serialize;
use shared::domain::assessment::OpportunityScore;
use shared::domain::{Assessment, Trap};

use crate::values::{Amount, Market, TrapCode};

/// A reason to distrust an opportunity: see the parameter `trap` for what each means.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Trap")]
pub(super) struct TrapDocument {
    /// Why.
    reason: TrapCode,
    /// The leg on which it was found; null where it is about the article or about both together.
    #[oai(nullable)]
    market: Option<Market>,
    /// How much of the confidence it takes, percent.
    weight: u8,
}

/// How good an opportunity is, 0 to 100: `market * safety * cheapness * confidence`, each as a share of one.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "OpportunityScore")]
pub(super) struct ScoreDocument {
    /// The score.
    value: Amount,
    /// Score of the target marketplace for this article (`competition` of the product says from what).
    market: Amount,
    /// `100 * min(1, buffer / 20 %)`, 0 without a profit.
    safety: Amount,
    /// `100 - position / 2`, where position is the source price's between its P10 (0) and its P90 (100) of 90 days; 75 where it
    /// is not known.
    cheapness: Amount,
    /// The confidence.
    confidence: Amount,
}

impl TrapDocument {
    pub(super) fn of(trap: Trap) -> Self {
        TrapDocument {
            reason: TrapCode(trap.reason.name()),
            market: trap.market.map(Market::from),
            weight: trap.reason.weight(),
        }
    }
}

impl ScoreDocument {
    pub(super) fn of(assessment: &Assessment) -> Option<Self> {
        let OpportunityScore {
            value,
            market,
            safety,
            cheapness,
        } = assessment.score?;
        Some(ScoreDocument {
            value: value.into(),
            market: market.into(),
            safety: safety.into(),
            cheapness: cheapness.into(),
            confidence: assessment.confidence.into(),
        })
    }
}
