//! [`Figures`]: the numbers of an opportunity that rules go by, at one moment.

use serde::{Deserialize, Serialize};

use crate::domain::margin::Percentage;
use crate::domain::opportunity::Opportunity;

/// What a threshold can be set on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// The gross gap, hundredths of percent of the source price.
    MarginPercentage,
    /// The gross gap, euro cents.
    Margin,
    /// What is left for the configured seller, euro cents.
    Profit,
    /// Of the capital tied up, hundredths of percent.
    Roi,
    /// How far the target price may fall, hundredths of percent.
    Buffer,
    /// How far the numbers can be trusted, hundredths of percent.
    Confidence,
}

impl Measure {
    /// All of them.
    pub const ALL: [Measure; 6] = [
        Measure::MarginPercentage,
        Measure::Margin,
        Measure::Profit,
        Measure::Roi,
        Measure::Buffer,
        Measure::Confidence,
    ];

    /// The field of a rule that sets its threshold.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Measure::MarginPercentage => "min_margin",
            Measure::Margin => "min_margin_eur",
            Measure::Profit => "min_profit",
            Measure::Roi => "min_roi",
            Measure::Buffer => "min_buffer",
            Measure::Confidence => "min_confidence",
        }
    }
}

/// The numbers of an opportunity. Amounts are euro cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// `target - source`, euro cents.
    pub margin: i64,
    /// Of the source price.
    pub margin_percentage: Percentage,
    /// Euro cents; none where the costs of the route are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profit: Option<i64>,
    /// Of the capital tied up; none where none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roi: Option<Percentage>,
    /// How far the target price may fall; none where no price breaks even.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer: Option<Percentage>,
    /// What is left of the confidence in them; none where the gap was never assessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Percentage>,
}

impl Figures {
    /// Those of an opportunity.
    #[must_use]
    pub fn of(opportunity: &Opportunity) -> Figures {
        let net = opportunity.net.as_ref();
        Figures {
            margin: opportunity.margin.minor,
            margin_percentage: opportunity.margin_percentage,
            profit: net.map(|net| net.profit.minor),
            roi: net.and_then(|net| net.roi),
            buffer: net.and_then(|net| net.buffer),
            confidence: opportunity.assessment.as_ref().map(|assessment| assessment.confidence),
        }
    }

    /// One of them, in hundredths of its unit; none where it is not known.
    #[must_use]
    pub fn get(&self, measure: Measure) -> Option<i64> {
        match measure {
            Measure::MarginPercentage => Some(self.margin_percentage.0),
            Measure::Margin => Some(self.margin),
            Measure::Profit => self.profit,
            Measure::Roi => self.roi.map(|roi| roi.0),
            Measure::Buffer => self.buffer.map(|buffer| buffer.0),
            Measure::Confidence => self.confidence.map(|confidence| confidence.0),
        }
    }

    /// By how much these are above earlier ones; what one of them does not know has no difference.
    #[must_use]
    pub fn minus(&self, earlier: &Figures) -> Figures {
        let percentage = |now: Option<Percentage>, then: Option<Percentage>| Some(Percentage(now?.0.saturating_sub(then?.0)));
        Figures {
            margin: self.margin.saturating_sub(earlier.margin),
            margin_percentage: Percentage(self.margin_percentage.0.saturating_sub(earlier.margin_percentage.0)),
            profit: self.profit.zip(earlier.profit).map(|(now, then)| now.saturating_sub(then)),
            roi: percentage(self.roi, earlier.roi),
            buffer: percentage(self.buffer, earlier.buffer),
            confidence: percentage(self.confidence, earlier.confidence),
        }
    }
}
