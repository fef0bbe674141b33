//! Reasons to distrust an opportunity, and the confidence that is left.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{JudgedLeg, Leg};
use crate::domain::margin::Percentage;
use crate::domain::marketplace::Marketplace;
use crate::domain::money::divide_half_up;
use crate::domain::product::{Product, Staleness};
use crate::domain::source::BySource;

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
    pub const fn weight(self) -> u8 {
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

/// What the checks of a leg alone found.
#[derive(Debug, Clone, Copy)]
pub(super) struct LegChecks {
    is_outlier: Verdict,
    is_amazon_back: Verdict,
    is_held_by_one: Verdict,
    is_often_out_of_stock: Verdict,
    has_order_quantities: Verdict,
    is_hazardous: Verdict,
    is_heat_sensitive: Verdict,
    is_map_price: Verdict,
    is_old: Verdict,
    is_flooded: Verdict,
}

impl LegChecks {
    pub(super) fn of(leg: &Leg<'_>, staleness: Staleness) -> LegChecks {
        LegChecks {
            is_outlier: is_outlier(leg),
            is_amazon_back: is_amazon_back(leg),
            is_held_by_one: is_held_by_one(leg),
            is_often_out_of_stock: is_often_out_of_stock(leg),
            has_order_quantities: has_order_quantities(leg),
            is_hazardous: leg.attributes().and_then(|attributes| attributes.is_hazardous),
            is_heat_sensitive: leg.attributes().and_then(|attributes| attributes.is_heat_sensitive),
            is_map_price: is_map_price(leg),
            is_old: Some(leg.now.millis_since(leg.shown.observed_at) > staleness.leg_millis / STALE_PART),
            is_flooded: is_flooded(leg),
        }
    }
}

/// The traps of a route, and the checks that lacked their data, both in the order of [`TrapReason::ALL`].
pub(super) fn find(has_parent: bool, source: &JudgedLeg<'_>, target: &JudgedLeg<'_>) -> (Vec<Trap>, Vec<TrapReason>) {
    let (mut traps, mut unchecked) = (Vec::new(), Vec::with_capacity(TrapReason::ALL.len()));
    for reason in TrapReason::ALL {
        let (verdicts, count) = check(reason, has_parent, source, target);
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

fn check(reason: TrapReason, has_parent: bool, source: &JudgedLeg<'_>, target: &JudgedLeg<'_>) -> Verdicts {
    let each = |found: fn(&LegChecks) -> Verdict| {
        let of = |judged: &JudgedLeg<'_>| (Some(judged.leg.marketplace), found(&judged.checks));
        ([of(source), of(target)], 2)
    };
    let one = |judged: &JudgedLeg<'_>, found: fn(&LegChecks) -> Verdict| ([(Some(judged.leg.marketplace), found(&judged.checks)), (None, None)], 1);
    let together = |verdict: Verdict| ([(None, verdict), (None, None)], 1);
    match reason {
        TrapReason::EanMismatch => together(have_other_codes(&source.leg, &target.leg)),
        TrapReason::PackSizeMismatch => together(have_other_sizes(&source.leg, &target.leg)),
        TrapReason::VariationParent => together(is_variation_parent(has_parent, &source.leg, &target.leg)),
        TrapReason::PriceOutlier => each(|checks| checks.is_outlier),
        TrapReason::AmazonBack => one(target, |checks| checks.is_amazon_back),
        TrapReason::BoxHeldByOne => one(target, |checks| checks.is_held_by_one),
        TrapReason::OftenOutOfStock => each(|checks| checks.is_often_out_of_stock),
        TrapReason::OrderQuantity => one(source, |checks| checks.has_order_quantities),
        TrapReason::Hazardous => together(either(source.checks.is_hazardous, target.checks.is_hazardous)),
        TrapReason::HeatSensitive => together(either(source.checks.is_heat_sensitive, target.checks.is_heat_sensitive)),
        TrapReason::MapPrice => each(|checks| checks.is_map_price),
        TrapReason::StaleLeg => each(|checks| checks.is_old),
        TrapReason::OfferFlood => one(target, |checks| checks.is_flooded),
    }
}

/// A fact of the article, which one marketplace may know and the other not.
fn either(source: Verdict, target: Verdict) -> Verdict {
    match (source, target) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), _) | (_, Some(false)) => Some(false),
        (None, None) => None,
    }
}

/// Codes without leading zeros: a UPC is an EAN that lacks them.
fn codes<'a>(leg: &Leg<'a>) -> impl Iterator<Item = &'a str> {
    let codes = leg.attributes().map_or(&[][..], |attributes| &attributes.product_codes);
    codes.iter().map(|code| code.trim().trim_start_matches('0')).filter(|code| !code.is_empty())
}

/// An article has one code or a few: comparing each with each is less work than putting them in order.
fn have_other_codes(source: &Leg<'_>, target: &Leg<'_>) -> Verdict {
    let are_told = codes(source).next().is_some() && codes(target).next().is_some();
    are_told.then(|| !codes(source).any(|code| codes(target).any(|other| other == code)))
}

fn have_other_sizes(source: &Leg<'_>, target: &Leg<'_>) -> Verdict {
    let (source, target) = (source.attributes()?, target.attributes()?);
    let pairs = [
        source.number_of_items.zip(target.number_of_items),
        source.package_quantity.zip(target.package_quantity),
    ];
    pairs.into_iter().flatten().map(|(one, other)| one != other).reduce(|one, other| one || other)
}

/// Whether some marketplace tells a variation parent. It shows no price there, so that one is no leg: all are looked at.
#[must_use]
pub fn has_variation_parent(product: &Product) -> bool {
    let mut states = product.markets.values().flat_map(BySource::values);
    states.any(|state| {
        let attributes = state.attributes.as_ref();
        attributes.is_some_and(|attributes| attributes.facts.product_type == VARIATION_PARENT)
    })
}

fn is_variation_parent(has_parent: bool, source: &Leg<'_>, target: &Leg<'_>) -> Verdict {
    let are_told = source.attributes().is_some() && target.attributes().is_some();
    (has_parent || are_told).then_some(has_parent)
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

/// A fraction in lowest terms.
#[derive(Debug, Clone, Copy)]
struct Fraction {
    part: i128,
    whole: i128,
}

impl Fraction {
    /// What of `whole` is kept once a reason's weight is taken.
    const fn kept(reason: TrapReason, whole: i128) -> Fraction {
        let part = whole - reason.weight() as i128;
        let (mut divisor, mut rest) = (whole, part);
        while rest != 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        Fraction {
            part: part / divisor,
            whole: whole / divisor,
        }
    }

    /// By reason, in the order of [`TrapReason::ALL`].
    const fn of_all(whole: i128) -> [Fraction; TrapReason::ALL.len()] {
        let mut kept = [Fraction { part: 1, whole: 1 }; TrapReason::ALL.len()];
        let mut index = 0;
        while index < kept.len() {
            kept[index] = Fraction::kept(TrapReason::ALL[index], whole);
            index += 1;
        }
        kept
    }
}

/// Of a reason that was found: `1 - weight`.
const FOUND: [Fraction; TrapReason::ALL.len()] = Fraction::of_all(100);
/// Of one that could not be checked: `1 - weight / 10`.
const UNCHECKED: [Fraction; TrapReason::ALL.len()] = Fraction::of_all(1_000);

/// See [`super::Assessment::confidence`]. In lowest terms, all thirteen reasons together stay far within 128 bits.
pub(super) fn confidence(traps: &[Trap], unchecked: &[TrapReason]) -> Percentage {
    let (mut part, mut whole) = (10_000, 1);
    let mut keep = |kept: Fraction| (part, whole) = (part * kept.part, whole * kept.whole);
    // A reason that was found on both legs counts once; the two stand side by side.
    for (place, trap) in traps.iter().enumerate() {
        if place == 0 || traps[place - 1].reason != trap.reason {
            keep(FOUND[trap.reason as usize]);
        }
    }
    unchecked.iter().for_each(|reason| keep(UNCHECKED[*reason as usize]));
    Percentage(i64::try_from(divide_half_up(part, whole)).expect("at most 100.00"))
}
