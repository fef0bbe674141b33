//! How good a market is to sell in, and how good an opportunity is. Weights and bounds are ours, and told with every score.

use serde::{Deserialize, Serialize};

use super::{JudgedLeg, Leg};
use crate::domain::margin::Percentage;
use crate::domain::marketplace::Marketplace;
use crate::domain::profit::Net;

const ALL: i64 = 10_000;
/// What is not known counts as half.
const UNKNOWN: Percentage = Percentage(50_00);
/// So many sales a month are half of all demand.
const HALF_DEMAND: i64 = 30;
/// So many competing offers leave half of the room.
const HALF_ROOM: i64 = 5;
/// A buffer of this much is as safe as it gets.
const SAFE_BUFFER: i64 = 20_00;

// How much each factor of a market's score weighs, percent; together 100.
const DEMAND: i64 = 35;
const OPENNESS: i64 = 20;
const ROOM: i64 = 15;
const STABILITY: i64 = 15;
const AVAILABILITY: i64 = 15;

/// How good a marketplace is to sell an article in: factors of 0 to 100 %, none where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketScore {
    /// `0.35 demand + 0.20 openness + 0.15 room + 0.15 stability + 0.15 availability`; a factor that is not known counts as 50 %.
    pub value: Percentage,
    /// `s / (s + 30)`, `s` = units sold in the past month, else falls of the sales rank within 30 days.
    pub demand: Option<Percentage>,
    /// 100 % less the share of the seller who holds the buy box most.
    pub openness: Option<Percentage>,
    /// `5 / (5 + n)`, `n` = new offers fulfilled by Amazon, else all new offers.
    pub room: Option<Percentage>,
    /// `100 * (1 - min(1, CV / 0.30))` of the price over 90 days.
    pub stability: Option<Percentage>,
    /// 100 % less the share of 90 days without an offer.
    pub availability: Option<Percentage>,
}

impl MarketScore {
    /// The score of a marketplace.
    #[must_use]
    pub fn of(leg: &Leg<'_>) -> Self {
        let demand = sold(leg).and_then(|sold| Percentage::of(sold, sold.checked_add(HALF_DEMAND)?));
        let openness = leg.buy_box().and_then(|buy_box| buy_box.shares.first()).map(|strongest| rest(strongest.share));
        let room = offers(leg).and_then(|offers| Percentage::of(HALF_ROOM, offers.checked_add(HALF_ROOM)?));
        let stability = leg.history().map(|history| history.stability());
        let out_of_stock = leg.statistics().and_then(|statistics| statistics.out_of_stock_percentage_90);
        let availability = out_of_stock.map(|percent| rest(Percentage(i64::from(percent) * 100)));
        let weighted = [
            (demand, DEMAND),
            (openness, OPENNESS),
            (room, ROOM),
            (stability, STABILITY),
            (availability, AVAILABILITY),
        ];
        let sum: i64 = weighted.iter().map(|(factor, weight)| factor.unwrap_or(UNKNOWN).0 * weight).sum();
        MarketScore {
            value: Percentage((sum + 50) / 100),
            demand,
            openness,
            room,
            stability,
            availability,
        }
    }
}

/// How good an opportunity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpportunityScore {
    /// `market * safety * cheapness * confidence`, all as shares of one; 100 % is as good as it gets.
    pub value: Percentage,
    /// The target marketplace's score.
    pub market: Percentage,
    /// `min(1, buffer / 20 %)`, 0 without a profit: how far the price may fall before the profit is gone.
    pub safety: Percentage,
    /// `1 - position / 2`, where position is the source price's between its P10 (0) and P90 (1) of 90 days; 75 % where it is
    /// not known.
    pub cheapness: Percentage,
}

impl OpportunityScore {
    pub(super) fn of(source: &JudgedLeg<'_>, target: &JudgedLeg<'_>, confidence: Percentage, net: &Net) -> Self {
        let (market, cheapness) = (target.market, source.cheapness);
        let buffer = net.buffer.filter(|_| net.profit.minor > 0).map_or(0, |buffer| buffer.0.clamp(0, SAFE_BUFFER));
        let safety = Percentage::of(buffer, SAFE_BUFFER).unwrap_or_default();
        // At most 10,000 each, so the product fits.
        let product: i64 = [market, safety, cheapness, confidence].iter().map(|factor| factor.0).product();
        // Four factors of 10,000 and one of them kept: half up.
        let scale = ALL.pow(3);
        OpportunityScore {
            value: Percentage((product + scale / 2) / scale),
            market,
            safety,
            cheapness,
        }
    }
}

/// See [`OpportunityScore::cheapness`].
pub(super) fn cheapness(leg: &Leg<'_>) -> Percentage {
    let position = leg.history().and_then(|history| history.position(leg.shown.price.minor));
    Percentage(ALL - position.unwrap_or(UNKNOWN).0 / 2)
}

impl MarketScore {
    /// The marketplace that is best to sell in, by its score; the first of equals.
    #[must_use]
    pub fn best<'a>(legs: impl IntoIterator<Item = Leg<'a>>) -> Option<(Marketplace, MarketScore)> {
        legs.into_iter()
            .map(|leg| (leg.marketplace, MarketScore::of(&leg)))
            .reduce(|best, next| if next.1.value > best.1.value { next } else { best })
    }
}

fn rest(share: Percentage) -> Percentage {
    Percentage((ALL - share.0).clamp(0, ALL))
}

/// Units a month, as far as anybody knows.
fn sold(leg: &Leg<'_>) -> Option<i64> {
    let told = leg.attributes().and_then(|attributes| attributes.monthly_sold);
    told.or_else(|| leg.prices()?.rank_drops_30.map(i64::from)).filter(|&sold| sold >= 0)
}

fn offers(leg: &Leg<'_>) -> Option<i64> {
    let fetched = leg.state.offers.as_ref().and_then(|register| register.facts.fba);
    let counted = || leg.prices().and_then(|prices| prices.new_offers_fba.or(prices.new_offers));
    fetched.or_else(counted).map(i64::from).filter(|&offers| offers >= 0)
}
