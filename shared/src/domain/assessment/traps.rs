//! Reasons to distrust an opportunity, and the confidence that is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::Leg;
use crate::domain::margin::Percentage;
use crate::domain::marketplace::Marketplace;
use crate::domain::money::round_half_up;
use crate::domain::product::{Product, Staleness};

/// Keepa's product type of a variation parent, which nobody can buy.
const VARIATION_PARENT: i32 = 5;
/// Amazon was away from the listing for at least this share of 90 days: it came back.
const AMAZON_AWAY_PERCENT: i32 = 10;
/// One seller holds the box for at least this share of the time.
const HELD_BY_ONE: Percentage = Percentage(90_00);
/// Without an offer for more than this share of 90 days is often.
const OFTEN_OUT_PERCENT: i32 = 30;
/// An order of at most so many units is too small to send.
const FEW_UNITS: i32 = 5;
/// Offers doubled, and by at least this many: a flood.
const FLOOD_OFFERS: i32 = 3;
/// A leg is old after this part of the time after which it is no leg at all.
const STALE_PART: i64 = 4;

/// Why an opportunity may not be what it seems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrapReason {
    /// The two marketplaces tell different product codes (EAN, UPC, GTIN): perhaps different articles.
    EanMismatch,
    /// They tell different numbers of items or packs.
    PackSizeMismatch,
    /// Some marketplace, of the two or another, tells a variation parent, which cannot be bought: the two may sell different
    /// variations of it.
    VariationParent,
    /// A price lies outside what its series showed for 98 % of the last 90 days (P1 to P99): perhaps an error.
    PriceOutlier,
    /// Amazon offers it again in the target marketplace after it was away.
    AmazonBack,
    /// One seller holds the target's buy box for 90 % of the time or more.
    BoxHeldByOne,
    /// A price was missing for more than 30 % of the last 90 days.
    OftenOutOfStock,
    /// The source sells at least two, or at most five units to an order.
    OrderQuantity,
    /// Amazon lists a hazard.
    Hazardous,
    /// It melts.
    HeatSensitive,
    /// A price is hidden by the maker's price policy (MAP).
    MapPrice,
    /// A price was observed longer ago than a quarter of `LEG_STALE_AFTER`.
    StaleLeg,
    /// New offers in the target marketplace at least doubled against their mean of 30 days.
    OfferFlood,
}

impl TrapReason {
    /// All of them.
    pub const ALL: [TrapReason; 13] = [
        TrapReason::EanMismatch,
        TrapReason::PackSizeMismatch,
        TrapReason::VariationParent,
        TrapReason::PriceOutlier,
        TrapReason::AmazonBack,
        TrapReason::BoxHeldByOne,
        TrapReason::OftenOutOfStock,
        TrapReason::OrderQuantity,
        TrapReason::Hazardous,
        TrapReason::HeatSensitive,
        TrapReason::MapPrice,
        TrapReason::StaleLeg,
        TrapReason::OfferFlood,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TrapReason::EanMismatch => "ean_mismatch",
            TrapReason::PackSizeMismatch => "pack_size_mismatch",
            TrapReason::VariationParent => "variation_parent",
            TrapReason::PriceOutlier => "price_outlier",
            TrapReason::AmazonBack => "amazon_back",
            TrapReason::BoxHeldByOne => "box_held_by_one",
            TrapReason::OftenOutOfStock => "often_out_of_stock",
            TrapReason::OrderQuantity => "order_quantity",
            TrapReason::Hazardous => "hazardous",
            TrapReason::HeatSensitive => "heat_sensitive",
            TrapReason::MapPrice => "map_price",
            TrapReason::StaleLeg => "stale_leg",
            TrapReason::OfferFlood => "offer_flood",
        }
    }

    /// How much of the confidence it takes, percent: ours, by how often such a gap is none.
    #[must_use]
    pub fn weight(self) -> u8 {
        match self {
            TrapReason::VariationParent => 90,
            TrapReason::EanMismatch | TrapReason::PackSizeMismatch => 80,
            TrapReason::PriceOutlier | TrapReason::MapPrice => 50,
            TrapReason::AmazonBack | TrapReason::BoxHeldByOne => 40,
            TrapReason::OfferFlood => 30,
            TrapReason::OftenOutOfStock => 25,
            TrapReason::OrderQuantity | TrapReason::Hazardous => 20,
            TrapReason::StaleLeg => 15,
            TrapReason::HeatSensitive => 10,
        }
    }
}

impl fmt::Display for TrapReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The text names no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no reason to distrust an opportunity; these are: {}", TrapReason::ALL.map(TrapReason::name).join(", "))]
pub struct UnknownTrapReason {
    /// What was given, cut to 40 characters.
    pub text: String,
}

impl FromStr for TrapReason {
    type Err = UnknownTrapReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = TrapReason::ALL.into_iter().find(|reason| reason.name() == text);
        found.ok_or_else(|| UnknownTrapReason {
            text: text.chars().take(40).collect(),
        })
    }
}

/// A reason, and where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Trap {
    /// Why.
    pub reason: TrapReason,
    /// The leg it was found on; none where it is about the two together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market: Option<Marketplace>,
}

/// What a check found; `None` = it lacks its data.
type Verdict = Option<bool>;

/// The traps of a route, and the checks that lacked their data, both in the order of [`TrapReason::ALL`].
pub(super) fn find(product: &Product, source: &Leg<'_>, target: &Leg<'_>, staleness: Staleness) -> (Vec<Trap>, Vec<TrapReason>) {
    let (mut traps, mut unchecked) = (Vec::new(), Vec::new());
    for reason in TrapReason::ALL {
        let (verdicts, count) = check(reason, product, source, target, staleness);
        let verdicts = &verdicts[..count];
        let found = verdicts.iter().filter(|(_, verdict)| *verdict == Some(true));
        let before = traps.len();
        traps.extend(found.map(|&(market, _)| Trap { reason, market }));
        if traps.len() == before && verdicts.iter().any(|(_, verdict)| verdict.is_none()) {
            unchecked.push(reason);
        }
    }
    (traps, unchecked)
}

/// At most two verdicts, and how many there are.
type Verdicts = ([(Option<Marketplace>, Verdict); 2], usize);

fn check(reason: TrapReason, product: &Product, source: &Leg<'_>, target: &Leg<'_>, staleness: Staleness) -> Verdicts {
    let each = |check: fn(&Leg<'_>) -> Verdict| {
        let of = |leg: &Leg<'_>| (Some(leg.marketplace), check(leg));
        ([of(source), of(target)], 2)
    };
    let one = |leg: &Leg<'_>, verdict: Verdict| ([(Some(leg.marketplace), verdict), (None, None)], 1);
    let together = |verdict: Verdict| ([(None, verdict), (None, None)], 1);
    match reason {
        TrapReason::EanMismatch => together(have_other_codes(source, target)),
        TrapReason::PackSizeMismatch => together(have_other_sizes(source, target)),
        TrapReason::VariationParent => together(is_variation_parent(product, source, target)),
        TrapReason::PriceOutlier => each(is_outlier),
        TrapReason::AmazonBack => one(target, is_amazon_back(target)),
        TrapReason::BoxHeldByOne => one(target, is_held_by_one(target)),
        TrapReason::OftenOutOfStock => each(is_often_out_of_stock),
        TrapReason::OrderQuantity => one(source, has_order_quantities(source)),
        TrapReason::Hazardous => together(either(source, target, |leg| leg.attributes()?.is_hazardous)),
        TrapReason::HeatSensitive => together(either(source, target, |leg| leg.attributes()?.is_heat_sensitive)),
        TrapReason::MapPrice => each(is_map_price),
        TrapReason::StaleLeg => {
            let is_old = |leg: &Leg<'_>| Some(leg.now.millis_since(leg.shown.observed_at) > staleness.leg_millis / STALE_PART);
            ([(Some(source.marketplace), is_old(source)), (Some(target.marketplace), is_old(target))], 2)
        }
        TrapReason::OfferFlood => one(target, is_flooded(target)),
    }
}

/// A fact of the article, which one marketplace may know and the other not.
fn either(source: &Leg<'_>, target: &Leg<'_>, fact: impl Fn(&Leg<'_>) -> Verdict) -> Verdict {
    match (fact(source), fact(target)) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), _) | (_, Some(false)) => Some(false),
        (None, None) => None,
    }
}

/// Codes without leading zeros: a UPC is an EAN that lacks them.
fn codes<'a>(leg: &Leg<'a>) -> BTreeSet<&'a str> {
    let codes = leg.attributes().map_or(&[][..], |attributes| &attributes.product_codes);
    codes
        .iter()
        .map(|code| code.trim().trim_start_matches('0'))
        .filter(|code| !code.is_empty())
        .collect()
}

fn have_other_codes(source: &Leg<'_>, target: &Leg<'_>) -> Verdict {
    let (source, target) = (codes(source), codes(target));
    (!source.is_empty() && !target.is_empty()).then(|| source.is_disjoint(&target))
}

fn have_other_sizes(source: &Leg<'_>, target: &Leg<'_>) -> Verdict {
    let (source, target) = (source.attributes()?, target.attributes()?);
    let pairs = [
        source.number_of_items.zip(target.number_of_items),
        source.package_quantity.zip(target.package_quantity),
    ];
    pairs.into_iter().flatten().map(|(one, other)| one != other).reduce(|one, other| one || other)
}

/// A parent shows no price where it is told, so it is no leg: every marketplace is looked at.
fn is_variation_parent(product: &Product, source: &Leg<'_>, target: &Leg<'_>) -> Verdict {
    let states = product.markets.values().flat_map(BTreeMap::values);
    let mut types = states.filter_map(|state| Some(state.attributes.as_ref()?.facts.product_type));
    if types.any(|product_type| product_type == VARIATION_PARENT) {
        return Some(true);
    }
    (source.attributes().is_some() && target.attributes().is_some()).then_some(false)
}

fn is_outlier(leg: &Leg<'_>) -> Verdict {
    Some(leg.history()?.is_outlier(leg.shown.price.minor))
}

fn is_amazon_back(leg: &Leg<'_>) -> Verdict {
    if leg.prices()?.amazon.is_none() {
        return Some(false);
    }
    let amazon = &leg.state.statistics.as_ref()?.facts.amazon;
    Some(amazon.out_of_stock_percentage_90? >= AMAZON_AWAY_PERCENT)
}

fn is_held_by_one(leg: &Leg<'_>) -> Verdict {
    let strongest = leg.buy_box()?.shares.first()?;
    Some(strongest.share >= HELD_BY_ONE)
}

fn is_often_out_of_stock(leg: &Leg<'_>) -> Verdict {
    Some(leg.statistics()?.out_of_stock_percentage_90? > OFTEN_OUT_PERCENT)
}

fn has_order_quantities(leg: &Leg<'_>) -> Verdict {
    let buy_box = leg.buy_box().filter(|buy_box| buy_box.landed.is_some())?;
    let least = buy_box.min_order_quantity.is_some_and(|least| least > 1);
    Some(least || buy_box.max_order_quantity.is_some_and(|most| most <= FEW_UNITS))
}

fn is_map_price(leg: &Leg<'_>) -> Verdict {
    let of_prices = leg.prices().and_then(|prices| prices.is_map);
    let of_box = leg.buy_box().and_then(|buy_box| buy_box.is_map);
    match (of_prices, of_box) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (None, None) => None,
        _ => Some(false),
    }
}

fn is_flooded(leg: &Leg<'_>) -> Verdict {
    let prices = leg.prices()?;
    let (now, mean) = (prices.new_offers?, prices.new_offers_avg30?);
    Some(i64::from(now) >= 2 * i64::from(mean) && i64::from(now) >= i64::from(mean) + i64::from(FLOOD_OFFERS))
}

/// See [`super::Assessment::confidence`].
pub(super) fn confidence(traps: &[Trap], unchecked: &[TrapReason]) -> Percentage {
    let reasons: BTreeSet<TrapReason> = traps.iter().map(|trap| trap.reason).collect();
    let kept = |reason: TrapReason, scale: u32| Decimal::ONE - Decimal::new(reason.weight().into(), scale);
    let of_traps: Decimal = reasons.into_iter().map(|reason| kept(reason, 2)).product();
    let of_unchecked: Decimal = unchecked.iter().map(|&reason| kept(reason, 3)).product();
    let mut hundredths = round_half_up(Decimal::ONE_HUNDRED * of_traps * of_unchecked, 2);
    hundredths.rescale(2);
    Percentage(i64::try_from(hundredths.mantissa()).expect("at most 100.00"))
}
