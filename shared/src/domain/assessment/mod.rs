//! [`Assessment`]: what speaks against an opportunity, how far its numbers can be trusted, and how good it is. Pure.
//!
//! The same ASIN is not always the same article, and a price is not always one that holds. Every check is a reason code that
//! can be filtered by ([`TrapReason`]); a check that lacks its data is told as such and never taken for passed.

mod score;
mod traps;

use serde::{Deserialize, Serialize};

pub use score::{MarketScore, OpportunityScore};
pub use traps::{Trap, TrapReason};

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
        let (_, state) = product.shown_state(marketplace, now, staleness)?;
        let shown = product.shown_price(marketplace, now, staleness)?;
        Some(Leg {
            marketplace,
            state,
            shown,
            now,
        })
    }

    fn attributes(&self) -> Option<&'a AttributeFacts> {
        self.state.attributes.as_ref().map(|register| &*register.facts)
    }

    fn prices(&self) -> Option<&'a PriceFacts> {
        self.state.prices.as_ref().map(|register| &*register.facts)
    }

    fn buy_box(&self) -> Option<&'a BuyBoxFacts> {
        self.state.buy_box.as_ref().map(|register| &*register.facts)
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

/// Assesses an open gap; none where a leg shows no price.
#[must_use]
pub fn assess(product: &Product, id: &OpportunityId, net: Option<&Net>, now: UnixMillis, staleness: Staleness) -> Option<Assessment> {
    let source = Leg::of(product, id.source, now, staleness)?;
    let target = Leg::of(product, id.target, now, staleness)?;
    let (found, unchecked) = traps::find(product, &source, &target, staleness);
    let confidence = traps::confidence(&found, &unchecked);
    let score = net.map(|net| OpportunityScore::of(&source, &target, confidence, net));
    Some(Assessment {
        traps: found,
        unchecked,
        confidence,
        score,
    })
}

#[cfg(test)]
mod tests;
