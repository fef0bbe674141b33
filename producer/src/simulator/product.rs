//! From a listing and its history to Keepa's product object.

use std::collections::BTreeMap;

use shared::domain::Asin;

use super::history::{History, Point};
use super::listing::{Quote, Seller};
use super::price_type::{
    AMAZON, BUY_BOX_SHIPPING, BUY_BOX_USED_SHIPPING, COUNT_REVIEWS, EXTRA_INFO_UPDATES, NEW_FBA, NEW_FBM_SHIPPING, PRICE_TYPES, RATING, SALES, is_price,
    is_triple,
};
use super::statistics::{Summary, Window};
use super::vocabulary::MARKETS;
use super::wire;
use super::world::{ProductOptions, StatsInterval, View};

/// Keepa's product object.
pub(super) fn product(view: &View<'_>, options: &ProductOptions) -> wire::Product {
    let item = view.item;
    let quote = view.quote();
    let history = view.history();
    let path = view.tree.path(item.place);
    let department = item.place.department();
    let is_book = item.is_book();
    let noise = item.noise.named("facts");
    let traps = Traps::of(view);
    let [length, width, height] = item.package;
    let monthly_sold = monthly_sold(view);
    let tracking_since = view.listing.tracking_since;
    let fees_known = item.weight > 0 && noise.named("fees").chance(0.95);
    wire::Product {
        asin: item.asin,
        domain_id: view.marketplace().keepa_id(),
        product_type: 0,
        title: Some(item.title(view.market)),
        // Now and then Keepa does not know the brand.
        brand: (!noise.named("brand").chance(0.02)).then_some(item.brand),
        manufacturer: Some(item.brand),
        author: item.author(),
        model: (!is_book).then(|| item.model.clone()),
        part_number: (!is_book).then(|| item.model.to_uppercase().replace(' ', "-")),
        kind: Some(if is_book {
            "ABIS_BOOK".to_owned()
        } else {
            item.place.kind().noun[4].to_uppercase().replace([' ', '&', ';', '-'], "_")
        }),
        product_group: None,
        binding: is_book.then_some(["Taschenbuch", "Broché", "Copertina flessibile", "Tapa blanda", "Paperback"][view.market]),
        color: item.colour(view.market),
        size: None,
        url_slug: Some(format!("{}-{}", item.brand, item.model).replace([' ', '&'], "-").replace("---", "-")),
        description: None,
        features: Some(department.features.iter().take(3).map(|feature| feature[view.market].to_owned()).collect()),
        ean_list: Some(vec![traps.ean.clone()]),
        upc_list: traps.ean.strip_prefix('0').map(|upc| vec![upc.trim_start_matches('0').to_owned()]),
        gtin_list: Some(vec![format!("0{}", traps.ean)]),
        images: images(view),
        images_csv: (noise.named("images").unit() > 0.25 && noise.named("images").unit() < 0.97).then(|| item.images.join(",")),
        root_category: path[0].id,
        categories: Some(vec![path[2].id]),
        category_tree: Some(
            path.iter()
                .map(|category| wire::TreeNode {
                    cat_id: category.id,
                    name: category.name,
                })
                .collect(),
        ),
        website_display_group: Some(department.display_group),
        sales_rank_display_group: Some(department.display_group),
        package_length: length,
        package_width: width,
        package_height: height,
        package_weight: item.weight,
        item_length: length * 9 / 10,
        item_width: width * 9 / 10,
        item_height: height * 9 / 10,
        item_weight: item.weight * 8 / 10,
        number_of_items: match traps.items {
            1 if noise.named("items").chance(0.3) => -1,
            items => items,
        },
        number_of_pages: if is_book { small(noise.named("pages").between(96, 640)) } else { -1 },
        package_quantity: if noise.named("quantity").chance(0.6) { -1 } else { 1 },
        publication_date: if is_book {
            20_200_101 + small(noise.named("published").between(0, 3)) * 10_000
        } else {
            0
        },
        release_date: if noise.named("released").chance(0.5) { 0 } else { -1 },
        fba_fees: fees_known.then(|| wire::FbaFees {
            last_update: view.observed - 30_000,
            pick_and_pack_fee: view.listing.fee_for(item.weight),
        }),
        referral_fee_percent: department.referral_fee_percentage as i32,
        referral_fee_percentage: department.referral_fee_percentage,
        variable_closing_fee: is_book.then_some(if view.market == 4 { 50 } else { 101 }),
        monthly_sold,
        monthly_sold_history: monthly_sold
            .filter(|_| options.history)
            .map(|sold| vec![tracking_since, (sold / 2).max(50), view.observed - 40_000, sold]),
        sales_rank_reference: path[0].id,
        sales_rank_reference_history: options.history.then(|| vec![i64::from(tracking_since), path[0].id]),
        sales_ranks: options.history.then(|| sales_ranks(view, &history, options)),
        tracking_since,
        // The listing is older than Keepa's interest in it; now and then from before Keepa's epoch.
        listed_since: if noise.named("listed").chance(0.05) {
            -912_280
        } else {
            tracking_since - small(noise.named("listed").between(0, 900_000))
        },
        last_update: view.observed,
        last_price_change: history.last_price_change(),
        last_rating_update: view.observed,
        last_sold_update: if monthly_sold.is_some() { view.observed } else { 0 },
        last_ebay_update: 0,
        availability_amazon: if quote.amazon > 0 { 0 } else { -1 },
        availability_amazon_delay: None,
        new_price_is_map: false,
        buy_box_eligible_offer_counts: [
            quote.count_fba.max(0) + i32::from(quote.amazon > 0),
            quote.count_merchant.max(0),
            0,
            0,
            0,
            0,
            0,
            0,
        ],
        buy_box_seller_id_history: (options.history && wants(options, BUY_BOX_SHIPPING)).then(|| seller_history(view, &history, options)),
        buy_box_used_history: None,
        parent_asin: None,
        parent_asin_history: None,
        variation_csv: None,
        variations: None,
        coupon: None,
        coupon_history: None,
        promotions: None,
        frequently_bought_together: None,
        ebay_listing_ids: None,
        languages: is_book.then(|| vec![vec![["Deutsch", "Français", "Italiano", "Español", "English"][view.market], "Published"]]),
        is_adult_product: false,
        is_eligible_for_super_saver_shipping: quote.amazon > 0,
        is_eligible_for_trade_in: false,
        is_heat_sensitive: traps.melts,
        is_redirect_asin: false,
        is_sns: false,
        is_b2b: false,
        launchpad: false,
        has_reviews: quote.reviews > 0,
        hazardous_materials: Some(traps.hazards),
        offers_successful: options.offers,
        offers: options.offers.then(|| offers(view, &quote)),
        live_offers_order: options.offers.then(|| (0..small(offers(view, &quote).len() as i64)).collect()),
        g: 0,
        csv: options.history.then(|| csv(view, &history, &quote, options)),
        stats: options.stats.map(|interval| stats(view, &history, &quote, options, interval)),
    }
}

/// What is wrong with an article, so that there is something to be warned of; the reference article is spotless.
struct Traps {
    /// In one of its markets now and then another article's.
    ean: String,
    /// In one of its markets now and then a pack of several.
    items: i32,
    melts: bool,
    hazards: Vec<wire::Hazard>,
    /// At least, at most so many units to an order.
    order: (Option<i32>, Option<i32>),
}

impl Traps {
    fn of(view: &View<'_>) -> Self {
        let noise = view.item.noise.named("traps");
        let of_article = |name: &str, probability| !view.item.is_reference && noise.named(name).chance(probability);
        let of_market = |name: &str, probability| !view.item.is_reference && noise.named(name).at(view.market as u64).chance(probability);
        let hazards = of_article("hazard", 0.05).then_some(wire::Hazard {
            aspect: "contains_batteries",
            value: "lithium_ion",
        });
        Traps {
            ean: if of_market("ean", 0.02) {
                view.item.other_ean(view.market)
            } else {
                view.item.ean.clone()
            },
            items: if of_market("items", 0.02) { 3 } else { 1 },
            melts: of_article("melts", 0.02),
            hazards: hazards.into_iter().collect(),
            order: (of_market("min", 0.02).then_some(2), of_market("max", 0.04).then_some(3)),
        }
    }
}

/// What Keepa answers for an ASIN that the market does not have: a stub of product type 4.
pub(super) fn unknown(asin: Asin, domain_id: i32, options: &ProductOptions) -> String {
    let stats = if options.stats.is_some() { r#","stats":null"# } else { "" };
    format!(
        r#"{{"asin":"{asin}","domainId":{domain_id},"productType":4,"title":null,"brand":null,"csv":null,"categories":null,"rootCategory":0,"eanList":null,"images":null,"imagesCSV":null,"offers":null,"lastUpdate":0,"lastPriceChange":0,"trackingSince":0{stats}}}"#
    )
}

/// Keepa's statistics.
pub(super) fn stats(view: &View<'_>, history: &History, quote: &Quote, options: &ProductOptions, interval: StatsInterval) -> wire::Stats {
    let now = view.now;
    let windows = Windows::new(now, interval);
    let series: Vec<Option<SeriesStats>> = (0..PRICE_TYPES)
        .map(|price_type| {
            if wants(options, price_type) {
                SeriesStats::of(history, price_type, &windows, now)
            } else {
                None
            }
        })
        .collect();
    let each = |value: fn(&SeriesStats) -> i32| -> Vec<i32> { series.iter().map(|stats| stats.as_ref().map_or(-1, value)).collect() };
    let extreme = |value: fn(&SeriesStats) -> wire::Extreme| -> Vec<wire::Extreme> { series.iter().map(|stats| stats.as_ref().and_then(value)).collect() };
    let missing = |value: fn(&SeriesStats) -> i32| -> Vec<i32> {
        series
            .iter()
            .enumerate()
            .map(|(price_type, stats)| stats.as_ref().filter(|_| is_price(price_type)).map_or(-1, value))
            .collect()
    };
    let flag = |value: fn(&SeriesStats) -> bool| -> Vec<bool> { series.iter().map(|stats| stats.as_ref().is_some_and(value)).collect() };
    let rank = |value: fn(&SeriesStats) -> i32| series[SALES].as_ref().map_or(0, value);
    let amazon = |value: fn(&SeriesStats) -> i32| series[AMAZON].as_ref().map_or(0, value);
    let asked_buy_box = wants(options, BUY_BOX_SHIPPING);
    let has_buy_box = asked_buy_box && quote.buy_box.0 > 0;
    let fba_holds = quote.fba > 0 && quote.buy_box == (quote.fba, 0);
    let told = |value: bool| has_buy_box.then_some(value);
    let (least, most) = Traps::of(view).order;
    let counted = |count: i32| if options.offers { count.max(0) } else { -2 };
    wire::Stats {
        current: each(|stats| stats.current),
        avg: each(|stats| stats.interval.average()),
        avg30: each(|stats| stats.last30.average()),
        avg90: each(|stats| stats.last90.average()),
        avg180: each(|stats| stats.last180.average()),
        avg365: each(|stats| stats.last365.average()),
        at_interval_start: each(|stats| stats.interval.at_start),
        min: extreme(|stats| stats.ever.min.map(pair)),
        max: extreme(|stats| stats.ever.max.map(pair)),
        min_in_interval: extreme(|stats| stats.ever.min.map(|_| stats.interval.min.map_or([-1, -1], pair))),
        max_in_interval: extreme(|stats| stats.ever.max.map(|_| stats.interval.max.map_or([-1, -1], pair))),
        is_lowest: flag(|stats| stats.is_least(&stats.ever)),
        is_lowest90: flag(|stats| stats.is_least(&stats.last90)),
        out_of_stock_percentage_in_interval: missing(|stats| stats.interval.out_of_stock_percentage()),
        out_of_stock_percentage30: missing(|stats| stats.last30.out_of_stock_percentage()),
        out_of_stock_percentage90: missing(|stats| stats.last90.out_of_stock_percentage()),
        out_of_stock_percentage180: missing(|stats| stats.last180.out_of_stock_percentage()),
        out_of_stock_percentage365: missing(|stats| stats.last365.out_of_stock_percentage()),
        out_of_stock_count_amazon30: amazon(|stats| stats.last30.outages),
        out_of_stock_count_amazon90: amazon(|stats| stats.last90.outages),
        sales_rank_drops30: rank(|stats| stats.last30.drops),
        sales_rank_drops90: rank(|stats| stats.last90.drops),
        sales_rank_drops180: rank(|stats| stats.last180.drops),
        sales_rank_drops365: rank(|stats| stats.last365.drops),
        delta_percent90_monthly_sold: None,
        lightning_deal_info: None,
        last_offers_update: view.observed,
        total_offer_count: quote.count_new().max(0) + quote.count_used.max(0),
        retrieved_offer_count: counted(quote.count_new().max(0) + quote.count_used.max(0)),
        offer_count_fba: counted(quote.count_fba),
        offer_count_fbm: counted(quote.count_merchant),
        seller_ids_lowest_fba: None,
        seller_ids_lowest_fbm: None,
        trade_in_price: if options.offers { -1 } else { -2 },
        last_buy_box_update: asked_buy_box.then_some(view.observed),
        buy_box_price: if asked_buy_box { quote.buy_box.0 } else { -2 },
        buy_box_shipping: if asked_buy_box { quote.buy_box.1 } else { -2 },
        buy_box_used_price: asked_buy_box.then_some(quote.used_buy_box.0),
        buy_box_used_shipping: asked_buy_box.then_some(quote.used_buy_box.1),
        buy_box_seller_id: if has_buy_box {
            view.sellers.id(quote.buy_box_seller).map(str::to_owned)
        } else {
            None
        },
        buy_box_condition: has_buy_box.then_some(1),
        buy_box_availability_message: has_buy_box.then_some("IN_STOCK"),
        buy_box_shipping_country: None,
        buy_box_is_unqualified: asked_buy_box.then_some(!has_buy_box && quote.lowest_new > 0),
        buy_box_is_shippable: told(quote.buy_box.1 >= 0),
        buy_box_is_preorder: told(false),
        buy_box_is_backorder: told(false),
        buy_box_is_fba: told(fba_holds),
        buy_box_is_amazon: told(quote.buy_box_seller == Seller::Amazon),
        buy_box_is_map: told(false),
        buy_box_is_used: told(false),
        buy_box_is_prime_exclusive: told(false),
        buy_box_is_prime_eligible: told(fba_holds || quote.buy_box_seller == Seller::Amazon),
        buy_box_is_free_shipping_eligible: told(quote.buy_box.1 == 0),
        buy_box_is_warehouse_deal: told(false),
        buy_box_min_order_quantity: told(true).and(least),
        buy_box_max_order_quantity: told(true).and(most),
        buy_box_stats: asked_buy_box.then(|| buy_box_shares(view, history, windows.interval)),
    }
}

/// Whether a request asks for a price type: some need `buybox`, `rating` or `offers`.
pub(super) fn wants(options: &ProductOptions, price_type: usize) -> bool {
    match price_type {
        BUY_BOX_SHIPPING | BUY_BOX_USED_SHIPPING => options.buy_box || options.offers,
        RATING | COUNT_REVIEWS => options.rating || options.offers,
        NEW_FBM_SHIPPING | NEW_FBA | EXTRA_INFO_UPDATES => options.offers,
        _ => true,
    }
}

struct Windows {
    interval: Window,
    days: [Window; 4],
}

impl Windows {
    fn new(now: i32, interval: StatsInterval) -> Self {
        let interval = match interval {
            StatsInterval::Days(days) => Window::last_days(days, now),
            StatsInterval::Between(from, to) => Window {
                from: from.0,
                to: to.0.min(now),
            },
        };
        Windows {
            interval,
            days: [30, 90, 180, 365].map(|days| Window::last_days(days, now)),
        }
    }
}

struct SeriesStats {
    current: i32,
    interval: Summary,
    last30: Summary,
    last90: Summary,
    last180: Summary,
    last365: Summary,
    ever: Summary,
}

impl SeriesStats {
    /// `None` for a series without points.
    fn of(history: &History, price_type: usize, windows: &Windows, now: i32) -> Option<Self> {
        let current = history.points(price_type).last()?.landed();
        let summary = |window: Window| Summary::of(history.points_since(price_type, window.from), window, now);
        let [last30, last90, last180, last365] = windows.days.map(summary);
        let interval = match windows.days.iter().position(|window| *window == windows.interval) {
            Some(index) => [last30, last90, last180, last365][index],
            None => summary(windows.interval),
        };
        let ever = Summary::of(history.points(price_type), Window { from: i32::MIN, to: now }, now);
        Some(SeriesStats {
            current,
            interval,
            last30,
            last90,
            last180,
            last365,
            ever,
        })
    }

    fn is_least(&self, summary: &Summary) -> bool {
        self.current > 0 && summary.min.is_some_and(|(_, least)| self.current <= least)
    }
}

fn pair((minute, value): (i32, i32)) -> [i32; 2] {
    [minute, value]
}

fn csv(view: &View<'_>, history: &History, quote: &Quote, options: &ProductOptions) -> Vec<Option<Vec<i32>>> {
    (0..PRICE_TYPES)
        .map(|price_type| {
            if price_type == EXTRA_INFO_UPDATES && options.offers {
                return Some(vec![view.observed, quote.count_new().max(0) + quote.count_used.max(0)]);
            }
            let mut numbers = Vec::new();
            for &Point { minute, value, shipping } in points(view, history, price_type, options) {
                numbers.extend([minute, value]);
                if is_triple(price_type) {
                    numbers.push(shipping);
                }
            }
            (wants(options, price_type) && !numbers.is_empty()).then_some(numbers)
        })
        .collect()
}

/// The points that `days` leaves: the first may be older than the cut, as it is still in force there.
fn points<'h>(view: &View<'_>, history: &'h History, price_type: usize, options: &ProductOptions) -> &'h [Point] {
    history.points_since(price_type, cut(view, options))
}

fn cut(view: &View<'_>, options: &ProductOptions) -> i32 {
    options.days.map_or(i32::MIN, |days| Window::last_days(days, view.now).from)
}

fn sales_ranks(view: &View<'_>, history: &History, options: &ProductOptions) -> BTreeMap<i64, Vec<i32>> {
    let [root, _, leaf] = view.tree.path(view.item.place);
    let ranks = points(view, history, SALES, options);
    if ranks.is_empty() {
        return BTreeMap::new();
    }
    let series = |divisor: i32| {
        ranks
            .iter()
            .flat_map(|point| [point.minute, if point.value < 0 { -1 } else { point.value / divisor + 1 }])
            .collect()
    };
    let main = ranks.iter().flat_map(|point| [point.minute, point.value]).collect();
    BTreeMap::from([(root.id, main), (leaf.id, series(40))])
}

fn seller_history(view: &View<'_>, history: &History, options: &ProductOptions) -> Vec<String> {
    let cut = cut(view, options);
    let all: Vec<(i32, Seller)> = history.buy_box_sellers().collect();
    let first = all.partition_point(|(minute, _)| *minute <= cut).saturating_sub(1);
    all[first..]
        .iter()
        .flat_map(|(minute, seller)| [minute.to_string(), view.sellers.id(*seller).unwrap_or("-1").to_owned()])
        .collect()
}

fn buy_box_shares(view: &View<'_>, history: &History, interval: Window) -> BTreeMap<String, wire::BuyBoxShare> {
    let length = f64::from(interval.to.saturating_sub(interval.from).max(1));
    let price = Summary::of(history.points_since(BUY_BOX_SHIPPING, interval.from), interval, view.now).average();
    let holders: Vec<(i32, Seller)> = history.buy_box_sellers().collect();
    let mut shares = BTreeMap::new();
    for (index, (minute, seller)) in holders.iter().enumerate() {
        let end = holders.get(index + 1).map_or(view.now, |next| next.0).min(interval.to);
        let minutes = end.saturating_sub((*minute).max(interval.from));
        if let Some(id) = view.sellers.id(*seller).filter(|_| minutes > 0) {
            let share = shares.entry(id.to_owned()).or_insert_with(|| wire::BuyBoxShare {
                percentage_won: 0.0,
                avg_price: price,
                avg_new_offer_count: 3,
                avg_used_offer_count: -1,
                is_fba: *seller != Seller::Amazon,
                last_seen: *minute,
            });
            share.percentage_won += (100.0 * f64::from(minutes) / length) as f32;
            share.last_seen = end.min(view.observed);
        }
    }
    shares
}

fn offers(view: &View<'_>, quote: &Quote) -> Vec<wire::Offer> {
    let other = |seller| match seller {
        Seller::Merchant(index) => Seller::Merchant((index + 7) % super::vocabulary::SELLERS.len()),
        _ => Seller::Merchant(3),
    };
    let new_offers = [
        (Seller::Amazon, (quote.amazon, 0), true),
        (
            if quote.buy_box == (quote.fba, 0) {
                quote.buy_box_seller
            } else {
                other(quote.buy_box_seller)
            },
            (quote.fba, 0),
            true,
        ),
        (
            if quote.buy_box == quote.merchant {
                quote.buy_box_seller
            } else {
                other(other(quote.buy_box_seller))
            },
            quote.merchant,
            false,
        ),
    ];
    let offer = |offer_id: usize, seller: Seller, (price, shipping): (i32, i32), is_fba: bool, condition: i32| wire::Offer {
        offer_id: small(offer_id as i64) + 1,
        seller_id: view.sellers.id(seller).unwrap_or("-2").to_owned(),
        condition,
        condition_comment: None,
        last_seen: view.observed,
        offer_csv: vec![view.observed, price, shipping],
        is_fba: is_fba && seller != Seller::Amazon,
        is_amazon: seller == Seller::Amazon,
        is_prime: is_fba,
        is_map: false,
        is_shippable: shipping >= 0,
        is_preorder: false,
        is_prime_excl: false,
        is_warehouse_deal: false,
        is_addon_item: false,
        is_scam: false,
        ships_from_china: false,
        last_stock_update: 0,
    };
    let mut offers: Vec<wire::Offer> = new_offers
        .into_iter()
        .enumerate()
        .filter(|(_, (_, price, _))| price.0 > 0)
        .map(|(index, (seller, price, is_fba))| offer(index, seller, price, is_fba, 1))
        .collect();
    if quote.used > 0 {
        offers.push(offer(3, other(quote.buy_box_seller), quote.used_buy_box, false, 3));
    }
    offers
}

/// As Amazon tells it: rough steps, and for most articles nothing.
pub(super) fn monthly_sold(view: &View<'_>) -> Option<i32> {
    const STEPS: &[i32] = &[50, 100, 200, 300, 400, 500, 700, 1_000, 2_000, 5_000];
    let noise = view.item.noise.named("sold").at(view.market as u64);
    let popular = usize::try_from(view.item.popularity / 4).unwrap_or(usize::MAX).min(STEPS.len() - 1);
    (view.is_offered() && noise.chance(0.55)).then(|| STEPS[STEPS.len() - 1 - popular])
}

/// Newer products carry `images`, older ones `imagesCSV`, many both, a few none.
fn images(view: &View<'_>) -> Option<Vec<wire::Image>> {
    let draw = view.item.noise.named("facts").named("images").unit();
    (draw < 0.8).then(|| {
        view.item
            .images
            .iter()
            .map(|name| wire::Image {
                l: name.clone(),
                l_h: 1500,
                l_w: 1500,
                m: name.replacen(&name[..2], "41", 1),
                m_h: 500,
                m_w: 500,
            })
            .collect()
    })
}

fn small(value: i64) -> i32 {
    i32::try_from(value).expect("a small number")
}

// The binding, languages and closing fee above are told by market index: five markets, in this order.
const _: () = assert!(MARKETS.len() == 5);
