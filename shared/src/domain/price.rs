//! What one record says of one marketplace: groups of facts, each a register of its own in [`super::MarketState`].
//!
//! Amounts are minor units of the marketplace's currency and always greater than zero: Keepa's
//! sentinels (-1, -2, 0) end in the decoder. Texts are compact: most are short, and every record has ten
//! of them. The structs derive serde because a register's canonical bytes, which decide ties, are the JSON
//! of its facts.
//!
//! **A new field comes last in its struct, and none moves or goes**: catalogs hold facts by position.

use compact_str::CompactString;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize};

use super::history::SellerShare;
use super::keepa_time::KeepaMinutes;
use super::margin::Percentage;

/// In a list of fields `null` stands for what is left out where it is empty.
fn empty_where_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Which price a landed price is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceKind {
    /// What the buy box asks, shipping included (Keepa's series 18).
    BuyBox,
    /// The lowest new offer (series 1).
    New,
    /// Amazon's own offer (series 0).
    Amazon,
}

impl PriceKind {
    /// The name on the wire: `buy_box`, `new`, `amazon`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PriceKind::BuyBox => "buy_box",
            PriceKind::New => "new",
            PriceKind::Amazon => "amazon",
        }
    }
}

/// Current values that every record with stats or history carries. `None` = asked for and none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PriceFacts {
    /// Lowest new offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<i64>,
    /// Amazon's own offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amazon: Option<i64>,
    /// The list price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_price: Option<i64>,
    /// Sales rank in the reference category.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sales_rank: Option<i64>,
    /// How often the rank fell within 30 days: about so many sales, of articles that sell slowly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank_drops_30: Option<i32>,
    /// New offers, of everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_offers: Option<i32>,
    /// Their mean over 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_offers_avg30: Option<i32>,
    /// New offers fulfilled by Amazon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_offers_fba: Option<i32>,
    /// New offers fulfilled by the merchant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_offers_fbm: Option<i32>,
    /// The lowest new price is hidden by the maker's price policy (MAP).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_map: Option<bool>,
}

/// The new buy box. `landed: None` = asked for and none, or of unknown shipping.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuyBoxFacts {
    /// Price plus shipping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed: Option<i64>,
    /// When Keepa last looked at the buy box, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<KeepaMinutes>,
    /// Who holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seller_id: Option<CompactString>,
    /// Fulfilled by Amazon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_fba: Option<bool>,
    /// Amazon holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_amazon: Option<bool>,
    /// Its price is hidden by the maker's price policy (MAP).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_map: Option<bool>,
    /// An order has at least so many units, where more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_order_quantity: Option<i32>,
    /// An order has at most so many units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_order_quantity: Option<i32>,
    /// Who held it lately, greatest share first, at most [`MAX_SELLERS`].
    #[serde(deserialize_with = "empty_where_null", skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<SellerShare>,
    /// Where the shares come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares_origin: Option<StatisticsOrigin>,
}

/// Holders of the buy box that are kept; the others have the least shares.
pub const MAX_SELLERS: usize = 10;

/// Where statistics come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatisticsOrigin {
    /// Keepa's own `stats` (price-error spikes removed).
    #[default]
    Keepa,
    /// Computed from the record's history.
    History,
}

/// Statistics of one price series: minor units, percentages 0..=100.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct SeriesStatistics {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg30: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg90: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg180: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg365: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_at: Option<KeepaMinutes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_at: Option<KeepaMinutes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_stock_percentage_30: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_stock_percentage_90: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_stock_percentage_180: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_stock_percentage_365: Option<i32>,
    pub origin: StatisticsOrigin,
}

impl SeriesStatistics {
    /// `100 * (avg90 - now) / avg90`: how far a price lies below the mean of 90 days; negative above it.
    #[must_use]
    pub fn drop(&self, now: i64) -> Option<Percentage> {
        let average = self.avg90?;
        Percentage::of(average.checked_sub(now)?, average)
    }
}

/// Statistics of the series that need no extra tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatisticsFacts {
    /// Of the lowest new offer.
    pub new: SeriesStatistics,
    /// Of Amazon's own offer.
    pub amazon: SeriesStatistics,
}

/// Offers, where they were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OfferFacts {
    /// All offers, of all conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i32>,
    /// New offers fulfilled by Amazon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fba: Option<i32>,
    /// New offers fulfilled by the merchant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fbm: Option<i32>,
    /// Lowest third-party new offer fulfilled by Amazon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest_fba: Option<i64>,
    /// Lowest third-party new offer fulfilled by the merchant, landed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest_fbm_landed: Option<i64>,
}

/// A category: its id (differs per marketplace, up to 2^63-1) and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// Node id.
    pub id: i64,
    /// Name in the marketplace's language.
    pub name: CompactString,
}

/// What the article is, as one marketplace tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttributeFacts {
    /// Keepa's product type; 0 (standard) is the only one with marketplace prices.
    pub product_type: i32,
    /// HTML entities resolved, never shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<CompactString>,
    /// Brand name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brand: Option<CompactString>,
    /// Main image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url: Option<CompactString>,
    /// From the root category to the leaf.
    #[serde(deserialize_with = "empty_where_null", skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Category>,
    /// EAN, UPC and GTIN codes as given.
    #[serde(deserialize_with = "empty_where_null", skip_serializing_if = "Vec::is_empty")]
    pub product_codes: Vec<CompactString>,
    /// Variation parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_asin: Option<CompactString>,
    /// "Bought in past month", a floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly_sold: Option<i64>,
    /// Items in the pack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_of_items: Option<i32>,
    /// Packs in the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_quantity: Option<i32>,
    /// Package weight in grams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_weight_g: Option<i32>,
    /// Package length, width and height in millimetres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_mm: Option<[i32; 3]>,
    /// FBA pick and pack fee, minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fba_fee: Option<i64>,
    /// Referral fee in percent (15.01), normalized.
    #[serde(skip_serializing_if = "Option::is_none", with = "rust_decimal::serde::str_option")]
    pub referral_fee_percentage: Option<Decimal>,
    /// Closing fee of media, minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closing_fee: Option<i64>,
    /// The category that the sales rank counts in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank_category: Option<CompactString>,
    /// Amazon lists a hazard of it (batteries, liquids, aerosols).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_hazardous: Option<bool>,
    /// It melts: not taken in summer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_heat_sensitive: Option<bool>,
}
