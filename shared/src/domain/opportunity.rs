//! [`Opportunity`]: an article bought in one marketplace and sold in another, as of when.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::asin::Asin;
use super::assessment::Assessment;
use super::keepa_time::UnixMillis;
use super::margin::Percentage;
use super::marketplace::Marketplace;
use super::money::{Currency, Money};
use super::product::Staleness;
use super::profit::{Costs, Net, Route, Unread};

/// `ASIN:SOURCE:TARGET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OpportunityId {
    /// The article.
    pub asin: Asin,
    /// Where it is bought.
    pub source: Marketplace,
    /// Where it is sold.
    pub target: Marketplace,
}

/// The text is not an opportunity id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an opportunity id: ASIN:SOURCE:TARGET with two different marketplaces is expected")]
pub struct InvalidOpportunityId {
    /// What was given, cut to 40 characters.
    pub text: String,
}

impl FromStr for OpportunityId {
    type Err = InvalidOpportunityId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidOpportunityId {
            text: text.chars().take(40).collect(),
        };
        let mut parts = text.split(':');
        let (Some(asin), Some(source), Some(target), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(invalid());
        };
        let id = OpportunityId {
            asin: asin.parse().map_err(|_| invalid())?,
            source: source.parse().map_err(|_| invalid())?,
            target: target.parse().map_err(|_| invalid())?,
        };
        if id.source == id.target { Err(invalid()) } else { Ok(id) }
    }
}

impl TryFrom<String> for OpportunityId {
    type Error = InvalidOpportunityId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<OpportunityId> for String {
    fn from(id: OpportunityId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for OpportunityId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.asin, self.source, self.target)
    }
}

impl OpportunityId {
    /// The ids of every ordered pair of `marketplaces`, 20 for five.
    pub fn routes(asin: Asin, marketplaces: &[Marketplace]) -> impl Iterator<Item = OpportunityId> + '_ {
        marketplaces.iter().flat_map(move |&source| {
            marketplaces
                .iter()
                .filter(move |&&target| target != source)
                .map(move |&target| OpportunityId { asin, source, target })
        })
    }
}

/// Why an opportunity is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedReason {
    /// The gap is no longer above the threshold.
    Gap,
    /// A leg has no price any more.
    PriceGone,
    /// A leg was observed too long ago.
    Stale,
    /// The exchange rate is missing or too old.
    Rate,
    /// The threshold or the marketplaces were changed.
    Config,
}

impl ClosedReason {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ClosedReason::Gap => "gap",
            ClosedReason::PriceGone => "price_gone",
            ClosedReason::Stale => "stale",
            ClosedReason::Rate => "rate",
            ClosedReason::Config => "config",
        }
    }
}

/// What happened to an opportunity, as told to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// It came into being, or again.
    Opened,
    /// Its margin grew by at least one percentage point since the last alert.
    Improved,
    /// Its numbers changed; raises no alert and no `event_seq`.
    Updated,
    /// It is gone.
    Closed,
}

impl EventKind {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Opened => "opened",
            EventKind::Improved => "improved",
            EventKind::Updated => "updated",
            EventKind::Closed => "closed",
        }
    }
}

/// What an evaluation was based on. Evaluations are ordered by it, field by field. Catalogs hold it by position, as they do
/// [`LastEvent`]: a new field comes last, with a default, and none moves or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Evaluation {
    /// Revision of the product.
    pub revision: i64,
    /// Date of the exchange rates.
    pub rates_date: NaiveDate,
    /// Version of the detector's settings.
    pub settings_version: i64,
    /// When it was made.
    pub evaluated_at: UnixMillis,
}

/// The last event, stored in the same write as the state, so that replay publishes it again under its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastEvent {
    /// Opened, improved or closed.
    pub kind: EventKind,
    /// When.
    pub at: UnixMillis,
    /// The margin then; a later one is `improved` when at least one point above it.
    pub margin_percentage: Percentage,
    /// The evaluation that raised it.
    pub evaluation: Evaluation,
}

/// The exchange rates an opportunity was computed with; none when both legs are in EUR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RatesUsed {
    /// Their date.
    pub date: NaiveDate,
    /// Units per 1 EUR of the currencies involved.
    pub units_per_eur: BTreeMap<Currency, Decimal>,
}

/// A gap between two marketplaces, open or closed. Closed ones keep the numbers they last had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opportunity<C = Costs> {
    /// ASIN and route.
    pub id: OpportunityId,
    /// For people.
    pub title: Option<String>,
    /// For filters.
    pub brand: Option<String>,
    /// For filters.
    pub category: Option<String>,
    /// For people.
    pub image_url: Option<String>,
    /// Landed price in the source marketplace's currency.
    pub source_price: Money,
    /// Landed price in the target marketplace's currency.
    pub target_price: Money,
    /// In EUR, rounded half up to the cent.
    pub source_price_eur: Money,
    /// In EUR, rounded half up to the cent.
    pub target_price_eur: Money,
    /// `target - source` in EUR.
    pub margin: Money,
    /// Of the source price.
    pub margin_percentage: Percentage,
    /// Rates used, unless both legs are in EUR.
    pub exchange_rate: Option<RatesUsed>,
    /// What is left of it for the configured seller; none where the costs of the route are not known.
    pub net: Option<Net<C>>,
    /// What speaks for and against it, as of its last evaluation.
    pub assessment: Option<Assessment>,
    /// Open, as of the last evaluation; see [`Opportunity::is_active_at`].
    pub is_active: bool,
    /// Why it is closed.
    pub closed_reason: Option<ClosedReason>,
    /// When it was first open ever.
    pub first_seen: UnixMillis,
    /// When the present (or last) opening began.
    pub opened_at: UnixMillis,
    /// When an evaluation last found it open.
    pub last_seen: UnixMillis,
    /// From when the age of the source leg counts.
    pub source_observed_at: UnixMillis,
    /// From when the age of the target leg counts.
    pub target_observed_at: UnixMillis,
    /// Grows by one per event; alert id = id + `event_seq`.
    pub event_seq: i64,
    /// The last event.
    pub last_event: LastEvent,
    /// What the stored numbers are based on.
    pub evaluation: Evaluation,
}

/// An opportunity as lists show it: without what its ledger is computed from.
pub type ListedOpportunity = Opportunity<Unread>;

impl<C> Opportunity<C> {
    /// What is bought and sold.
    #[must_use]
    pub fn route(&self) -> Route {
        Route {
            source: self.id.source,
            target: self.id.target,
            source_price: self.source_price,
            target_price: self.target_price,
        }
    }

    /// The older of the two legs.
    #[must_use]
    pub fn oldest_leg(&self) -> UnixMillis {
        self.source_observed_at.min(self.target_observed_at)
    }

    /// Whether it is open and both legs are still fresh: leg ages are computed again when read.
    #[must_use]
    pub fn is_active_at(&self, now: UnixMillis, staleness: Staleness) -> bool {
        self.is_active && now.millis_since(self.oldest_leg()) <= staleness.leg_millis
    }

    /// The id of the alert for the last event: `ASIN:SOURCE:TARGET#7`.
    #[must_use]
    pub fn alert_id(&self) -> String {
        format!("{}#{}", self.id, self.event_seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_asin_source_and_target() {
        let id: OpportunityId = "B0D1XD1ZV3:ES:IT".parse().expect("a valid id");
        assert_eq!(id.to_string(), "B0D1XD1ZV3:ES:IT");
        for wrong in ["", "B0D1XD1ZV3", "B0D1XD1ZV3:ES", "B0D1XD1ZV3:ES:ES", "B0D1XD1ZV3:ES:NL", "B0D1XD1ZV3:ES:IT:DE"] {
            assert!(wrong.parse::<OpportunityId>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn five_marketplaces_have_twenty_routes() {
        let markets = [Marketplace::DE, Marketplace::FR, Marketplace::IT, Marketplace::ES, Marketplace::UK];
        let routes: std::collections::BTreeSet<_> = OpportunityId::routes("B0D1XD1ZV3".parse().expect("valid"), &markets).collect();
        assert_eq!(routes.len(), 20);
    }
}
