//! Keepa's JSON objects, field for field as they travel. Options that are `None` travel as `null`.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::domain::Asin;

/// `[minute, value]`, `[-1, -1]` where an interval holds nothing, `null` where there never was a value.
pub(super) type Extreme = Option<[i32; 2]>;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Product {
    pub(super) asin: Asin,
    pub(super) domain_id: i32,
    pub(super) product_type: i32,
    pub(super) title: Option<String>,
    pub(super) brand: Option<&'static str>,
    pub(super) manufacturer: Option<&'static str>,
    pub(super) author: Option<&'static str>,
    pub(super) model: Option<String>,
    pub(super) part_number: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) product_group: Option<&'static str>,
    pub(super) binding: Option<&'static str>,
    pub(super) color: Option<&'static str>,
    pub(super) size: Option<String>,
    pub(super) url_slug: Option<String>,
    pub(super) description: Option<String>,
    pub(super) features: Option<Vec<String>>,
    pub(super) ean_list: Option<Vec<String>>,
    pub(super) upc_list: Option<Vec<String>>,
    pub(super) gtin_list: Option<Vec<String>>,
    pub(super) images: Option<Vec<Image>>,
    #[serde(rename = "imagesCSV")]
    pub(super) images_csv: Option<String>,
    pub(super) root_category: i64,
    pub(super) categories: Option<Vec<i64>>,
    pub(super) category_tree: Option<Vec<TreeNode>>,
    pub(super) website_display_group: Option<&'static str>,
    pub(super) sales_rank_display_group: Option<&'static str>,
    pub(super) package_length: i64,
    pub(super) package_width: i64,
    pub(super) package_height: i64,
    pub(super) package_weight: i64,
    pub(super) item_length: i64,
    pub(super) item_width: i64,
    pub(super) item_height: i64,
    pub(super) item_weight: i64,
    pub(super) number_of_items: i32,
    pub(super) number_of_pages: i32,
    pub(super) package_quantity: i32,
    pub(super) publication_date: i32,
    pub(super) release_date: i32,
    pub(super) fba_fees: Option<FbaFees>,
    pub(super) referral_fee_percent: i32,
    pub(super) referral_fee_percentage: f64,
    pub(super) variable_closing_fee: Option<i32>,
    pub(super) monthly_sold: Option<i32>,
    pub(super) monthly_sold_history: Option<Vec<i32>>,
    pub(super) sales_rank_reference: i64,
    pub(super) sales_rank_reference_history: Option<Vec<i64>>,
    pub(super) sales_ranks: Option<BTreeMap<i64, Vec<i32>>>,
    pub(super) tracking_since: i32,
    pub(super) listed_since: i32,
    pub(super) last_update: i32,
    pub(super) last_price_change: i32,
    pub(super) last_rating_update: i32,
    pub(super) last_sold_update: i32,
    pub(super) last_ebay_update: i32,
    pub(super) availability_amazon: i32,
    pub(super) availability_amazon_delay: Option<[i32; 2]>,
    #[serde(rename = "newPriceIsMAP")]
    pub(super) new_price_is_map: bool,
    pub(super) buy_box_eligible_offer_counts: [i32; 8],
    pub(super) buy_box_seller_id_history: Option<Vec<String>>,
    pub(super) buy_box_used_history: Option<Vec<String>>,
    pub(super) parent_asin: Option<Asin>,
    pub(super) parent_asin_history: Option<Vec<String>>,
    #[serde(rename = "variationCSV")]
    pub(super) variation_csv: Option<String>,
    pub(super) variations: Option<Vec<String>>,
    pub(super) coupon: Option<[i32; 2]>,
    pub(super) coupon_history: Option<Vec<i32>>,
    pub(super) promotions: Option<Vec<String>>,
    pub(super) frequently_bought_together: Option<Vec<Asin>>,
    pub(super) ebay_listing_ids: Option<Vec<i64>>,
    pub(super) languages: Option<Vec<Vec<&'static str>>>,
    pub(super) is_adult_product: bool,
    pub(super) is_eligible_for_super_saver_shipping: bool,
    pub(super) is_eligible_for_trade_in: bool,
    pub(super) is_heat_sensitive: bool,
    #[serde(rename = "isRedirectASIN")]
    pub(super) is_redirect_asin: bool,
    #[serde(rename = "isSNS")]
    pub(super) is_sns: bool,
    #[serde(rename = "isB2B")]
    pub(super) is_b2b: bool,
    pub(super) launchpad: bool,
    pub(super) has_reviews: bool,
    pub(super) hazardous_materials: Option<Vec<Hazard>>,
    pub(super) offers_successful: bool,
    pub(super) offers: Option<Vec<Offer>>,
    pub(super) live_offers_order: Option<Vec<i32>>,
    pub(super) g: i32,
    pub(super) csv: Option<Vec<Option<Vec<i32>>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stats: Option<Stats>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Image {
    pub(super) l: String,
    #[serde(rename = "lH")]
    pub(super) l_h: i32,
    #[serde(rename = "lW")]
    pub(super) l_w: i32,
    pub(super) m: String,
    #[serde(rename = "mH")]
    pub(super) m_h: i32,
    #[serde(rename = "mW")]
    pub(super) m_w: i32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TreeNode {
    pub(super) cat_id: i64,
    pub(super) name: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FbaFees {
    pub(super) last_update: i32,
    pub(super) pick_and_pack_fee: i32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Offer {
    pub(super) offer_id: i32,
    pub(super) seller_id: String,
    pub(super) condition: i32,
    pub(super) condition_comment: Option<String>,
    pub(super) last_seen: i32,
    #[serde(rename = "offerCSV")]
    pub(super) offer_csv: Vec<i32>,
    #[serde(rename = "isFBA")]
    pub(super) is_fba: bool,
    pub(super) is_amazon: bool,
    pub(super) is_prime: bool,
    #[serde(rename = "isMAP")]
    pub(super) is_map: bool,
    pub(super) is_shippable: bool,
    pub(super) is_preorder: bool,
    pub(super) is_prime_excl: bool,
    pub(super) is_warehouse_deal: bool,
    pub(super) is_addon_item: bool,
    pub(super) is_scam: bool,
    pub(super) ships_from_china: bool,
    pub(super) last_stock_update: i32,
}

/// The arrays are indexed by price type.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stats {
    pub(super) current: Vec<i32>,
    pub(super) avg: Vec<i32>,
    pub(super) avg30: Vec<i32>,
    pub(super) avg90: Vec<i32>,
    pub(super) avg180: Vec<i32>,
    pub(super) avg365: Vec<i32>,
    pub(super) at_interval_start: Vec<i32>,
    pub(super) min: Vec<Extreme>,
    pub(super) max: Vec<Extreme>,
    pub(super) min_in_interval: Vec<Extreme>,
    pub(super) max_in_interval: Vec<Extreme>,
    pub(super) is_lowest: Vec<bool>,
    pub(super) is_lowest90: Vec<bool>,
    pub(super) out_of_stock_percentage_in_interval: Vec<i32>,
    pub(super) out_of_stock_percentage30: Vec<i32>,
    pub(super) out_of_stock_percentage90: Vec<i32>,
    pub(super) out_of_stock_percentage180: Vec<i32>,
    pub(super) out_of_stock_percentage365: Vec<i32>,
    pub(super) out_of_stock_count_amazon30: i32,
    pub(super) out_of_stock_count_amazon90: i32,
    pub(super) sales_rank_drops30: i32,
    pub(super) sales_rank_drops90: i32,
    pub(super) sales_rank_drops180: i32,
    pub(super) sales_rank_drops365: i32,
    #[serde(rename = "deltaPercent90_monthlySold")]
    pub(super) delta_percent90_monthly_sold: Option<i32>,
    pub(super) lightning_deal_info: Option<[i32; 2]>,
    pub(super) last_offers_update: i32,
    pub(super) total_offer_count: i32,
    pub(super) retrieved_offer_count: i32,
    #[serde(rename = "offerCountFBA")]
    pub(super) offer_count_fba: i32,
    #[serde(rename = "offerCountFBM")]
    pub(super) offer_count_fbm: i32,
    #[serde(rename = "sellerIdsLowestFBA")]
    pub(super) seller_ids_lowest_fba: Option<Vec<String>>,
    #[serde(rename = "sellerIdsLowestFBM")]
    pub(super) seller_ids_lowest_fbm: Option<Vec<String>>,
    pub(super) trade_in_price: i32,
    pub(super) last_buy_box_update: Option<i32>,
    pub(super) buy_box_price: i32,
    pub(super) buy_box_shipping: i32,
    pub(super) buy_box_used_price: Option<i32>,
    pub(super) buy_box_used_shipping: Option<i32>,
    pub(super) buy_box_seller_id: Option<String>,
    pub(super) buy_box_condition: Option<i32>,
    pub(super) buy_box_availability_message: Option<&'static str>,
    pub(super) buy_box_shipping_country: Option<&'static str>,
    pub(super) buy_box_is_unqualified: Option<bool>,
    pub(super) buy_box_is_shippable: Option<bool>,
    pub(super) buy_box_is_preorder: Option<bool>,
    pub(super) buy_box_is_backorder: Option<bool>,
    #[serde(rename = "buyBoxIsFBA")]
    pub(super) buy_box_is_fba: Option<bool>,
    pub(super) buy_box_is_amazon: Option<bool>,
    #[serde(rename = "buyBoxIsMAP")]
    pub(super) buy_box_is_map: Option<bool>,
    pub(super) buy_box_is_used: Option<bool>,
    pub(super) buy_box_is_prime_exclusive: Option<bool>,
    pub(super) buy_box_is_prime_eligible: Option<bool>,
    pub(super) buy_box_is_free_shipping_eligible: Option<bool>,
    pub(super) buy_box_is_warehouse_deal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) buy_box_stats: Option<BTreeMap<String, BuyBoxShare>>,
    pub(super) buy_box_min_order_quantity: Option<i32>,
    pub(super) buy_box_max_order_quantity: Option<i32>,
}

/// What Amazon says is dangerous about an article.
#[derive(Debug, Serialize)]
pub(super) struct Hazard {
    pub(super) aspect: &'static str,
    pub(super) value: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BuyBoxShare {
    pub(super) percentage_won: f32,
    pub(super) avg_price: i32,
    pub(super) avg_new_offer_count: i32,
    pub(super) avg_used_offer_count: i32,
    #[serde(rename = "isFBA")]
    pub(super) is_fba: bool,
    pub(super) last_seen: i32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BestSellersList {
    pub(super) domain_id: i32,
    pub(super) last_update: i32,
    pub(super) category_id: i64,
    pub(super) asin_list: Vec<Asin>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Category {
    pub(super) domain_id: i32,
    pub(super) cat_id: i64,
    pub(super) name: &'static str,
    pub(super) context_free_name: String,
    pub(super) website_display_group: Option<&'static str>,
    pub(super) children: Option<Vec<i64>>,
    pub(super) parent: i64,
    pub(super) highest_rank: i32,
    pub(super) lowest_rank: i32,
    pub(super) product_count: i32,
    pub(super) is_browse_node: bool,
    pub(super) avg_buy_box: Option<i32>,
    pub(super) avg_buy_box90: Option<i32>,
    pub(super) avg_buy_box365: Option<i32>,
    pub(super) avg_buy_box_deviation: Option<i32>,
    pub(super) avg_review_count: Option<i32>,
    pub(super) avg_rating: Option<i32>,
    #[serde(rename = "isFBAPercent")]
    pub(super) is_fba_percent: Option<f32>,
    pub(super) sold_by_amazon_percent: Option<f32>,
    pub(super) has_coupon_percent: Option<f32>,
    pub(super) avg_offer_count_new: Option<f32>,
    pub(super) avg_offer_count_used: Option<f32>,
    pub(super) seller_count: Option<i32>,
    pub(super) brand_count: Option<i32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deals {
    pub(super) dr: Vec<Deal>,
    pub(super) dr_date_index: Vec<i32>,
    pub(super) category_ids: Vec<i64>,
    pub(super) category_names: Vec<&'static str>,
    pub(super) category_count: Vec<i32>,
}

/// `delta`, `delta_percent` and `avg` are indexed by date range, then by price type.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deal {
    pub(super) asin: Asin,
    pub(super) title: String,
    /// The file name as ASCII codes.
    pub(super) image: Option<Vec<u8>>,
    pub(super) root_cat: i64,
    pub(super) categories: Vec<i64>,
    pub(super) current: Vec<i32>,
    pub(super) current_since: Vec<i32>,
    pub(super) delta_last: Vec<i32>,
    pub(super) delta: Vec<Vec<i32>>,
    pub(super) delta_percent: Vec<Vec<i32>>,
    pub(super) avg: Vec<Vec<i32>>,
    pub(super) creation_date: i32,
    pub(super) last_update: i32,
    pub(super) lightning_start: i32,
    pub(super) lightning_end: i32,
    pub(super) warehouse_condition: i32,
    pub(super) warehouse_condition_comment: Option<String>,
    pub(super) back_in_stock: Vec<bool>,
    pub(super) date_interval_index: i32,
    pub(super) sales_rank_drops30: i32,
    pub(super) sales_rank_drops90: i32,
    pub(super) sales_rank_drops180: i32,
    pub(super) sales_rank_drops365: i32,
    pub(super) flags: Option<i32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seller {
    pub(super) seller_id: String,
    pub(super) seller_name: String,
    pub(super) domain_id: i32,
    pub(super) tracked_since: i32,
    pub(super) last_update: i32,
    /// Rating in percent, then the number of ratings, both `[time, value]`.
    pub(super) csv: [Vec<i32>; 2],
    #[serde(rename = "hasFBA")]
    pub(super) has_fba: bool,
    pub(super) ships_from_china: bool,
    pub(super) is_scammer: bool,
    pub(super) address: Vec<String>,
    #[serde(rename = "vatID")]
    pub(super) vat_id: Option<String>,
    pub(super) positive_rating: [i32; 4],
    pub(super) rating_count: [i32; 4],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) asin_list: Option<Vec<Asin>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) asin_list_last_seen: Option<Vec<i32>>,
    pub(super) total_storefront_asins: Option<[i32; 2]>,
}
