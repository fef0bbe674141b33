//! [`Assessment`]: what speaks against an opportunity, how far its numbers can be trusted, and how good it is. Pure.
//!
//! The same ASIN is not always the same article, and a price is not always one that holds. Every check is a reason code that
//! can be filtered by ([`TrapReason`]); a check that lacks its data is told as such and never taken for passed.

mod score;
mod traps;

use serde::{Deserialize, Serialize};

pub use score::{MarketScore, OpportunityScore};
use traps::LegChecks;
pub use traps::{Trap, TrapReason, has_variation_parent};

use super::history::SeriesHistory;
use super::keepa_time::UnixMillis;
use super::margin::Percentage;
use super::marketplace::Marketplace;
use super::opportunity::OpportunityId;
use super::price::{AttributeFacts, BuyBoxFacts, PriceFacts, SeriesStatistics};
use super::product::{MarketState, Product, ShownPrice, Staleness};
use super::profit::Net;

/// A history that ended longer ago says nothing of the present price, milliseconds (45 days: it is asked for every 30).
const HISTORY_MILLIS: i64 = 45 * 24 * 3_600_000;

/// What speaks for and against an opportunity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// What speaks against it, in the order of [`TrapReason::ALL`].
    pub traps: Vec<Trap>,
    /// Checks that lacked their data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<TrapReason>,
    /// `100 * product of (1 - weight)` over the traps' reasons `* product of (1 - weight / 10)` over the unchecked ones.
    pub confidence: Percentage,
    /// How good it is; none without a profit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<OpportunityScore>,
}

/// One leg of a route: a marketplace's state, and the price it shows.
#[derive(Clone, Copy)]
pub struct Leg<'a> {
    marketplace: Marketplace,
    state: &'a MarketState,
    shown: ShownPrice,
    now: UnixMillis,
}

impl<'a> Leg<'a> {
    /// A marketplace's leg; none where it shows no price.
    #[must_use]
    pub fn of(product: &'a Product, marketplace: Marketplace, now: UnixMillis, staleness: Staleness) -> Option<Self> {
        let (state, shown) = product.shown(marketplace, now, staleness)?;
        Some(Leg {
            marketplace,
            state,
            shown,
            now,
        })
    }

    /// The price it shows.
    #[must_use]
    pub fn shown(&self) -> ShownPrice {
        self.shown
    }

    fn attributes(&self) -> Option<&'a AttributeFacts> {
        self.state.attributes.as_ref().map(|register| &*register.facts)
    }

    fn prices(&self) -> Option<&'a PriceFacts> {
        self.state.prices.as_ref().map(|register| &register.facts)
    }

    fn buy_box(&self) -> Option<&'a BuyBoxFacts> {
        self.state.buy_box.as_ref().map(|register| &register.facts)
    }

    fn statistics(&self) -> Option<&'a SeriesStatistics> {
        self.state.statistics_of(self.shown.kind)
    }

    /// The history of the shown price's series, while it says something of the present.
    fn history(&self) -> Option<&'a SeriesHistory> {
        let history = self.state.history_of(self.shown.kind)?;
        (self.now.millis_since(history.to.to_unix()) <= HISTORY_MILLIS).then_some(history)
    }
}

/// One leg with all that can be said of it alone, worked out once for every route that it is a leg of.
#[derive(Clone, Copy)]
pub struct JudgedLeg<'a> {
    leg: Leg<'a>,
    checks: LegChecks,
    /// Of the marketplace, to sell in.
    market: Percentage,
    /// Of the price, to buy at.
    cheapness: Percentage,
}

impl<'a> JudgedLeg<'a> {
    /// Looks at a leg.
    #[must_use]
    pub fn of(leg: Leg<'a>, staleness: Staleness) -> Self {
        JudgedLeg {
            checks: LegChecks::of(&leg, staleness),
            market: MarketScore::of(&leg).value,
            cheapness: score::cheapness(&leg),
            leg,
        }
    }
}

impl Assessment {
    /// Assesses an open gap between two legs of an article; `has_parent` is what [`has_variation_parent`] says of it.
    #[must_use]
    pub fn of(has_parent: bool, source: &JudgedLeg<'_>, target: &JudgedLeg<'_>, net: Option<&Net>) -> Assessment {
        let (traps, unchecked) = traps::find(has_parent, source, target);
        let confidence = traps::confidence(&traps, &unchecked);
        Assessment {
            traps,
            unchecked,
            confidence,
            score: net.map(|net| OpportunityScore::of(source, target, confidence, net)),
        }
    }
}

/// Assesses an open gap; none where a leg shows no price.
#[must_use]
pub fn assess(product: &Product, id: &OpportunityId, net: Option<&Net>, now: UnixMillis, staleness: Staleness) -> Option<Assessment> {
    let judged = |marketplace| Leg::of(product, marketplace, now, staleness).map(|leg| JudgedLeg::of(leg, staleness));
    let (source, target) = (judged(id.source)?, judged(id.target)?);
    Some(Assessment::of(has_variation_parent(product), &source, &target, net))
}

#[cfg(test)]
mod tests;
