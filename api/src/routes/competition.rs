//! Who else sells an article in a marketplace and how well it sells there, as a part of a product.

use poem_openapi::Object;
use serde::Serialize;
use shared::domain::assessment::{Leg, MarketScore};
use shared::domain::{MarketState, Marketplace};

use crate::values::{Amount, StatisticsFrom};

/// Demand for an article in one marketplace, and who competes for it. Null = not known.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Competition")]
pub(super) struct CompetitionDocument {
    /// 1 is best.
    #[oai(nullable)]
    sales_rank: Option<i64>,
    /// The category that the rank counts in.
    #[oai(nullable)]
    sales_rank_category: Option<String>,
    /// How often the rank fell within 30 days: about so many sales, of articles that sell slowly.
    #[oai(nullable)]
    sales_rank_drops_30: Option<i32>,
    /// "Bought in past month": at least so many.
    #[oai(nullable)]
    monthly_sold: Option<i64>,
    /// New offers.
    #[oai(nullable)]
    offers_new: Option<i32>,
    /// New offers fulfilled by Amazon.
    #[oai(nullable)]
    offers_fba: Option<i32>,
    /// New offers fulfilled by the merchant.
    #[oai(nullable)]
    offers_fbm: Option<i32>,
    /// Amazon itself offers it now.
    #[oai(nullable)]
    amazon_in_stock: Option<bool>,
    /// Who held the buy box in the last 90 days, greatest share first, at most ten.
    sellers: Vec<SellerDocument>,
    /// Where the shares come from: `history` of the buy box, or `keepa`'s own figures.
    #[oai(nullable)]
    sellers_origin: Option<StatisticsFrom>,
    /// How good the marketplace is to sell it in; null without a price.
    #[oai(nullable)]
    score: Option<MarketScoreDocument>,
}

/// A holder of the buy box.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Seller")]
struct SellerDocument {
    /// Amazon's id of the seller.
    seller_id: String,
    /// Of the time that a known seller held the box, percent.
    buy_box_percentage: Amount,
    /// It is Amazon itself.
    is_amazon: bool,
}

/// How good a marketplace is to sell an article in, 0 to 100:
/// `0.35 demand + 0.20 openness + 0.15 room + 0.15 stability + 0.15 availability`. A factor that is not known is null and counts
/// as 50.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "MarketScore")]
struct MarketScoreDocument {
    /// The score.
    value: Amount,
    /// `100 * s / (s + 30)`, `s` = `monthly_sold`, else `sales_rank_drops_30`.
    #[oai(nullable)]
    demand: Option<Amount>,
    /// 100 less the greatest share of the buy box.
    #[oai(nullable)]
    openness: Option<Amount>,
    /// `100 * 5 / (5 + n)`, `n` = `offers_fba`, else `offers_new`.
    #[oai(nullable)]
    room: Option<Amount>,
    /// `100 * (1 - min(1, CV / 0.30))` of the price over 90 days.
    #[oai(nullable)]
    stability: Option<Amount>,
    /// 100 less the share of 90 days without an offer.
    #[oai(nullable)]
    availability: Option<Amount>,
}

impl CompetitionDocument {
    /// Of a marketplace's state; `leg` where it shows a price.
    pub(super) fn of(marketplace: Marketplace, state: &MarketState, leg: Option<Leg<'_>>) -> Self {
        let prices = state.prices.as_ref().map(|register| &register.facts);
        let attributes = state.attributes.as_ref().map(|register| &register.facts);
        let offers = state.offers.as_ref().map(|register| &register.facts);
        let buy_box = state.buy_box.as_ref().map(|register| &register.facts);
        let shares = buy_box.map_or(&[][..], |buy_box| &buy_box.shares);
        CompetitionDocument {
            sales_rank: prices.and_then(|prices| prices.sales_rank),
            sales_rank_category: attributes.and_then(|attributes| attributes.rank_category.as_deref()).map(str::to_owned),
            sales_rank_drops_30: prices.and_then(|prices| prices.rank_drops_30),
            monthly_sold: attributes.and_then(|attributes| attributes.monthly_sold),
            offers_new: prices.and_then(|prices| prices.new_offers),
            // Fetched offers are counted one by one; the others are what the listing says.
            offers_fba: offers.and_then(|offers| offers.fba).or_else(|| prices?.new_offers_fba),
            offers_fbm: offers.and_then(|offers| offers.fbm).or_else(|| prices?.new_offers_fbm),
            amazon_in_stock: prices.map(|prices| prices.amazon.is_some()),
            sellers: shares
                .iter()
                .map(|share| SellerDocument {
                    is_amazon: marketplace.amazon_seller_id() == Some(share.seller_id.as_str()),
                    seller_id: share.seller_id.to_string(),
                    buy_box_percentage: share.share.into(),
                })
                .collect(),
            sellers_origin: buy_box.and_then(|buy_box| buy_box.shares_origin).map(StatisticsFrom::from),
            score: leg.map(|leg| MarketScoreDocument::of(&MarketScore::of(&leg))),
        }
    }
}

impl MarketScoreDocument {
    fn of(score: &MarketScore) -> Self {
        MarketScoreDocument {
            value: score.value.into(),
            demand: score.demand.map(Amount::from),
            openness: score.openness.map(Amount::from),
            room: score.room.map(Amount::from),
            stability: score.stability.map(Amount::from),
            availability: score.availability.map(Amount::from),
        }
    }
}
