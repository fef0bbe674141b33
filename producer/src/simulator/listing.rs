//! One article in one market: what is offered there, at what price, at any instant.
//!
//! Time is cut into segments of some minutes (the speed of the world decides how many); in each, the
//! offers stand still. The [`Quote`] of a segment is computed from the seed and the segment's number
//! alone. So nothing is stored, and a restart finds the prices where they were.

use shared::domain::{KeepaMinutes, Marketplace, UnixMillis};

use super::assortment::Item;
use super::noise::Noise;
use super::price_type::{
    AMAZON, BUY_BOX_SHIPPING, BUY_BOX_USED_SHIPPING, COUNT_NEW, COUNT_NEW_FBA, COUNT_NEW_FBM, COUNT_REVIEWS, COUNT_USED, LISTPRICE, NEW, NEW_FBA,
    NEW_FBM_SHIPPING, RATING, SALES, USED,
};
use super::vocabulary::{BOOKS, MARKETS, SELLERS};

/// The price types that the simulator knows values of.
pub(super) const FOLLOWED: [usize; 15] = [
    AMAZON,
    NEW,
    USED,
    SALES,
    LISTPRICE,
    NEW_FBM_SHIPPING,
    NEW_FBA,
    COUNT_NEW,
    COUNT_USED,
    RATING,
    COUNT_REVIEWS,
    BUY_BOX_SHIPPING,
    BUY_BOX_USED_SHIPPING,
    COUNT_NEW_FBA,
    COUNT_NEW_FBM,
];

/// From this day (2026-02-16) on, NEW includes the shipping.
const NEW_INCLUDES_SHIPPING: i32 = 7_956_000;
/// Minutes for which a price holds at speed 1.
const UNHURRIED_PERIOD: f64 = 1800.0;
/// Minutes between the points of a history that is older than [`RECENT`].
const SLOW_STEP: i64 = 2400;
/// Minutes of history that are shown at full speed.
const RECENT: i64 = 480;
/// Pence per cent, in thousandths.
const PENCE_PER_1000_CENTS: f64 = 850.0;

/// How an article stands in a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// There are, or were, offers.
    Offered,
    /// Amazon has a page for it; nobody ever offered it.
    NoOffers,
    /// Not known there.
    Absent,
}

/// Who sells it and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shop {
    /// The buy box is Amazon's or that of a seller who uses Amazon's warehouse: free shipping.
    Usual,
    /// The buy box belongs to a merchant who asks for shipping.
    MerchantShipped,
    /// There are offers, none of them has the buy box.
    NoBuyBox,
    /// The shipping of the buy box offer could not be determined (-1).
    UnknownShipping,
}

/// An article in a market.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) presence: Presence,
    pub(super) tracking_since: i32,
    noise: Noise,
    product_noise: Noise,
    market: usize,
    shop: Shop,
    sold_by_amazon: bool,
    /// Usual price in the market's minor unit.
    level: f64,
    /// Set for the reference article only.
    still_price: Option<i32>,
    ending: Ending,
    list_price: i32,
    rank_level: f64,
    has_used: bool,
    has_merchant: bool,
    rating: i32,
    /// Length of a segment in minutes, even.
    period: i64,
    phase: i64,
    /// How long after a Keepa step this listing is refreshed: spreads the changes over the two minutes.
    lag_ms: i64,
}

/// What prices end with in this shop.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// 24.99
    Unit99,
    /// 24.59
    Nine,
    /// 24.57
    Exact,
}

/// Everything on offer during one segment. -1 = none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quote {
    pub(super) amazon: i32,
    pub(super) lowest_new: i32,
    pub(super) used: i32,
    pub(super) rank: i32,
    pub(super) list_price: i32,
    /// Price and shipping.
    pub(super) merchant: (i32, i32),
    pub(super) fba: i32,
    pub(super) buy_box: (i32, i32),
    pub(super) buy_box_seller: Seller,
    pub(super) used_buy_box: (i32, i32),
    pub(super) count_used: i32,
    pub(super) count_fba: i32,
    pub(super) count_merchant: i32,
    pub(super) rating: i32,
    pub(super) reviews: i32,
}

/// Who holds the buy box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seller {
    Nobody,
    Amazon,
    /// Index into the sellers of the market.
    Merchant(usize),
}

impl Listing {
    pub(super) fn new(item: &Item, market: usize, speed: f64) -> Self {
        let noise = item.noise.named("market").at(market as u64);
        let still_price = still_price(item, MARKETS[market]);
        let presence = if item.is_reference {
            match MARKETS[market] {
                Marketplace::FR => Presence::NoOffers,
                Marketplace::UK => Presence::Absent,
                _ => Presence::Offered,
            }
        } else {
            let absent = if market == 0 { 0.02 } else { 0.09 };
            match noise.named("presence").unit() {
                draw if draw < absent => Presence::Absent,
                draw if draw < absent + 0.03 => Presence::NoOffers,
                _ => Presence::Offered,
            }
        };
        let shop = match noise.named("shop").unit() {
            _ if item.is_reference => Shop::Usual,
            draw if draw < 0.80 => Shop::Usual,
            draw if draw < 0.92 => Shop::MerchantShipped,
            draw if draw < 0.985 => Shop::NoBuyBox,
            _ => Shop::UnknownShipping,
        };
        let sold_by_amazon = item.is_reference || (matches!(shop, Shop::Usual | Shop::NoBuyBox) && noise.named("amazon").chance(0.6));
        let currency = if MARKETS[market] == Marketplace::UK {
            PENCE_PER_1000_CENTS / 1000.0
        } else {
            1.0
        };
        let level = item.price_level as f64 * currency * (1.0 + 0.03 * noise.named("level").around_zero());
        let ending = match (noise.named("ending").unit(), level) {
            (draw, level) if draw < 0.35 && level > 6_000.0 => Ending::Unit99,
            (draw, _) if draw < 0.75 => Ending::Nine,
            _ => Ending::Exact,
        };
        let list_price = if noise.named("list").chance(0.7) && !item.is_reference {
            (level * (1.12 + 0.25 * noise.named("list").at(1).unit()) / 100.0) as i32 * 100 + 99
        } else {
            -1
        };
        let half_period = (UNHURRIED_PERIOD / speed * (0.8 + 0.45 * noise.named("period").unit()) / 2.0).round() as i64;
        let period = half_period.clamp(1, 50_000) * 2;
        Listing {
            presence,
            tracking_since: item.tracking_since + i32::try_from(noise.named("tracking").below(20_000) * 2).expect("a small number"),
            noise,
            product_noise: item.noise,
            market,
            shop,
            sold_by_amazon,
            level,
            still_price,
            ending,
            list_price,
            rank_level: 40.0 + (item.popularity * item.popularity) as f64 * 90.0 * (0.6 + 0.8 * noise.named("rank").unit()),
            has_used: !item.is_reference && item.place.department != 5 && noise.named("used").chance(0.55),
            has_merchant: !item.is_reference && noise.named("merchant").chance(if item.place.department == BOOKS { 0.8 } else { 0.55 }),
            rating: i32::try_from(noise.named("rating").between(36, 49)).expect("a small number"),
            period,
            phase: noise.named("phase").between(0, period / 2) * 2,
            lag_ms: noise.named("lag").between(0, 119_999),
        }
    }

    /// The Keepa minute (even) up to which the listing is known at an instant: at most four minutes ago.
    pub(super) fn observed(&self, at: UnixMillis) -> i32 {
        let minutes = KeepaMinutes::from_unix(at.plus_millis(-self.lag_ms)).0;
        minutes.div_euclid(2) * 2
    }

    /// Known to Keepa at a minute, offered or not.
    pub(super) fn is_known(&self, observed: i32) -> bool {
        self.presence != Presence::Absent && observed >= self.tracking_since
    }

    /// The segment that a minute lies in.
    pub(super) fn segment_at(&self, minute: i32) -> i64 {
        let segment = (i64::from(minute) - self.phase).div_euclid(self.period);
        if self.start_of(segment) > minute { segment - 1 } else { segment }
    }

    /// The minute (even) at which a segment begins; not quite regular.
    pub(super) fn start_of(&self, segment: i64) -> i32 {
        let jitter = if self.period < 4 {
            0
        } else {
            self.noise.at(segment as u64).at(1).between(0, self.period / 4 - 1) * 2
        };
        let start = segment * self.period + self.phase + jitter;
        i32::try_from(start).unwrap_or(if start < 0 { i32::MIN } else { i32::MAX })
    }

    /// Of how many segments the older history shows one.
    pub(super) fn slow_stride(&self) -> i64 {
        (SLOW_STEP / self.period).max(1)
    }

    /// How many segments are shown at full speed.
    pub(super) fn recent_segments(&self) -> i64 {
        (RECENT / self.period).max(1)
    }

    /// How many segments make up some minutes.
    pub(super) fn segments_in(&self, minutes: i64) -> i64 {
        minutes / self.period
    }

    /// The quote in force at a minute.
    pub(super) fn quote_at(&self, minute: i32) -> Quote {
        self.quote(self.segment_at(minute))
    }

    /// The offers of a segment.
    pub(super) fn quote(&self, segment: i64) -> Quote {
        let mut quote = Quote::none();
        quote.rating = self.rating;
        // Both grow in steps of about two weeks, so that their series stay short.
        let fortnight = i64::from(self.start_of(segment)) / 20_160;
        let reviews_per_fortnight = self.noise.named("reviews").between(0, 30);
        quote.reviews =
            saturated(self.noise.named("reviews").at(1).between(3, 800) + (fortnight - i64::from(self.tracking_since) / 20_160).max(0) * reviews_per_fortnight);
        if self.presence != Presence::Offered {
            quote.rating = -1;
            quote.reviews = -1;
            return quote;
        }
        quote.list_price = self.list_price;
        quote.rank = self.rank(segment);
        if let Some(price) = self.still_price {
            quote.amazon = price;
            quote.lowest_new = price;
            quote.buy_box = (price, 0);
            quote.buy_box_seller = Seller::Amazon;
            return quote;
        }
        let slow = self.noise.at(segment.div_euclid(12) as u64).named("slow");
        if self.has_used {
            quote.used = self.rounded(self.level * (0.55 + 0.25 * slow.named("used").unit())).max(99);
            quote.used_buy_box = (quote.used, slow.named("used").pick(&[0, 0, 299]));
            quote.count_used = saturated(slow.named("used").at(1).between(1, 6));
        }
        let out_of_stock = self.noise.at(segment.div_euclid(6) as u64).named("out of stock").chance(0.02);
        if !out_of_stock {
            self.fill_new_offers(&mut quote, segment, slow);
        }
        quote
    }

    fn fill_new_offers(&self, quote: &mut Quote, segment: i64, slow: Noise) {
        let price = self.rounded(self.price(segment)).max(199);
        let amazon_has_it = self.sold_by_amazon && !self.noise.at(segment.div_euclid(10) as u64).named("amazon out").chance(0.08);
        let seller = Seller::Merchant(
            usize::try_from(slow.named("seller").below(4) + self.noise.named("seller").below(SELLERS.len() as u64)).expect("small") % SELLERS.len(),
        );
        let above = |label: &str, low: f64, high: f64| self.rounded(f64::from(price) * (low + (high - low) * slow.named(label).unit())).max(199);
        // A merchant never asks for more shipping than half of the price.
        let shipping = self.noise.named("shipping").pick(&[299, 399, 499, 599]).min(price / 4);
        match self.shop {
            Shop::Usual | Shop::NoBuyBox if amazon_has_it => {
                quote.amazon = price;
                if self.noise.named("fba").chance(0.7) {
                    quote.fba = above("fba", 1.02, 1.15);
                }
            }
            Shop::Usual | Shop::NoBuyBox => quote.fba = price,
            Shop::MerchantShipped => quote.merchant = (price - shipping, shipping),
            Shop::UnknownShipping => {
                quote.merchant = (price, -1);
                quote.fba = above("fba", 1.01, 1.05);
            }
        }
        if self.has_merchant && quote.merchant.0 < 0 {
            quote.merchant = (above("merchant", 0.98, 1.12) - shipping, shipping);
        }
        (quote.buy_box, quote.buy_box_seller) = match self.shop {
            Shop::NoBuyBox => ((-1, -1), Seller::Nobody),
            Shop::MerchantShipped | Shop::UnknownShipping => (quote.merchant, seller),
            Shop::Usual if amazon_has_it => ((price, 0), Seller::Amazon),
            Shop::Usual => ((price, 0), seller),
        };
        let includes_shipping = self.start_of(segment) >= NEW_INCLUDES_SHIPPING;
        let merchant_price = quote.merchant.0 + if includes_shipping { quote.merchant.1.max(0) } else { 0 };
        quote.lowest_new = [quote.amazon, quote.fba, if quote.merchant.0 > 0 { merchant_price } else { -1 }]
            .into_iter()
            .filter(|price| *price > 0)
            .min()
            .unwrap_or(-1);
        let count = |label: &str, offered: i32| if offered > 0 { saturated(slow.named(label).between(1, 7)) } else { -1 };
        quote.count_fba = count("count fba", quote.fba);
        quote.count_merchant = count("count merchant", quote.merchant.0);
    }

    /// The price asked in a segment, before rounding.
    fn price(&self, segment: i64) -> f64 {
        // Common to all markets: what the article costs this season.
        let season = 1.0 + 0.06 * self.product_noise.named("season").wave(i64::from(self.start_of(segment)), 86_400);
        let drift = 1.0 + 0.015 * self.noise.named("drift").wave(segment, 24);
        let step = 1.0 + 0.012 * self.noise.at(segment as u64).named("step").around_zero();
        // Now and then a market is on its own for a while: that opens a gap.
        let spell = self.noise.at((segment + self.phase % 5).div_euclid(5) as u64).named("spell");
        let alone = match spell.unit() {
            draw if draw < 0.018 => 0.71 + 0.18 * spell.at(1).unit(),
            draw if draw < 0.026 => 1.11 + 0.20 * spell.at(1).unit(),
            _ => 1.0,
        };
        self.level * season * drift * step * alone
    }

    fn rank(&self, segment: i64) -> i32 {
        let drift = 1.0 + 0.35 * self.noise.named("rank").wave(segment, 16);
        let step = 1.0 + 0.08 * self.noise.at(segment as u64).named("rank").around_zero();
        ((self.rank_level * drift * step) as i32).max(1)
    }

    fn rounded(&self, price: f64) -> i32 {
        let price = price as i32;
        match self.ending {
            Ending::Unit99 => (price + 50) / 100 * 100 - 1,
            Ending::Nine => price / 10 * 10 + 9,
            Ending::Exact => price,
        }
    }

    /// What Amazon asks for picking and packing, in the market's minor unit.
    pub(super) fn fee_for(&self, weight: i64) -> i32 {
        let fee = 240 + weight / 9;
        saturated(if self.market == 4 { fee * 85 / 100 } else { fee }.min(1_900))
    }
}

impl Quote {
    pub(super) fn none() -> Self {
        Quote {
            amazon: -1,
            lowest_new: -1,
            used: -1,
            rank: -1,
            list_price: -1,
            merchant: (-1, -1),
            fba: -1,
            buy_box: (-1, -1),
            buy_box_seller: Seller::Nobody,
            used_buy_box: (-1, -1),
            count_used: -1,
            count_fba: -1,
            count_merchant: -1,
            rating: -1,
            reviews: -1,
        }
    }

    /// New offers in all, Amazon's included.
    pub(super) fn count_new(&self) -> i32 {
        let count = self.count_fba.max(0) + self.count_merchant.max(0) + i32::from(self.amazon > 0);
        if count == 0 { -1 } else { count }
    }

    /// Value and, for triples, shipping (otherwise 0).
    pub(super) fn value(&self, price_type: usize) -> (i32, i32) {
        match price_type {
            AMAZON => (self.amazon, 0),
            NEW => (self.lowest_new, 0),
            USED => (self.used, 0),
            SALES => (self.rank, 0),
            LISTPRICE => (self.list_price, 0),
            NEW_FBM_SHIPPING => self.merchant,
            NEW_FBA => (self.fba, 0),
            COUNT_NEW => (self.count_new(), 0),
            COUNT_USED => (self.count_used, 0),
            RATING => (self.rating, 0),
            COUNT_REVIEWS => (self.reviews, 0),
            BUY_BOX_SHIPPING => self.buy_box,
            BUY_BOX_USED_SHIPPING => self.used_buy_box,
            COUNT_NEW_FBA => (self.count_fba, 0),
            COUNT_NEW_FBM => (self.count_merchant, 0),
            _ => (-1, 0),
        }
    }

    /// What a decoder must find: the buy box with its shipping, else the lowest new price, else Amazon's.
    pub(super) fn landed_price(&self) -> Option<i64> {
        let (price, shipping) = self.buy_box;
        if price > 0 && shipping >= 0 {
            return Some(i64::from(price) + i64::from(shipping));
        }
        [self.lowest_new, self.amazon].into_iter().find(|price| *price > 0).map(i64::from)
    }
}

fn still_price(item: &Item, marketplace: Marketplace) -> Option<i32> {
    match marketplace {
        _ if !item.is_reference => None,
        Marketplace::DE => Some(4_999),
        Marketplace::IT => Some(5_499),
        Marketplace::ES => Some(4_799),
        _ => None,
    }
}

fn saturated(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::assortment::Assortment;
    use super::*;

    const NOW: i32 = 8_358_000;

    fn listings(speed: f64) -> Vec<Listing> {
        let assortment = Assortment::new(Noise::new(1), 300);
        assortment
            .items
            .iter()
            .flat_map(|item| (0..5).map(|market| Listing::new(item, market, speed)).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn a_minute_lies_in_the_segment_that_began_last() {
        for listing in listings(150.0).iter().take(40) {
            for minute in (NOW..NOW + 200).step_by(2) {
                let segment = listing.segment_at(minute);
                assert!(listing.start_of(segment) <= minute && minute < listing.start_of(segment + 1));
                assert_eq!(listing.start_of(segment) % 2, 0);
            }
        }
    }

    #[test]
    fn at_the_default_speed_a_price_changes_about_every_ten_to_fifteen_minutes() {
        let mut changes = 0;
        let mut offered = 0;
        for listing in listings(150.0)
            .iter()
            .filter(|listing| listing.presence == Presence::Offered && listing.still_price.is_none())
        {
            offered += 1;
            let prices: Vec<_> = (0..720).map(|step| listing.quote_at(NOW + step * 2).landed_price()).collect();
            changes += prices.windows(2).filter(|pair| pair[0] != pair[1]).count();
        }
        let minutes_per_change = 1440.0 * f64::from(offered) / changes as f64;
        assert!((9.0..=17.0).contains(&minutes_per_change), "{minutes_per_change}");
    }

    #[test]
    fn every_way_of_selling_occurs() {
        let quotes: Vec<Quote> = listings(150.0).iter().map(|listing| listing.quote_at(NOW)).collect();
        let count = |is: fn(&Quote) -> bool| quotes.iter().filter(|quote| is(quote)).count();
        assert!(count(|quote| quote.buy_box.0 > 0 && quote.buy_box.1 == 0) > 700);
        assert!(count(|quote| quote.buy_box.0 > 0 && quote.buy_box.1 > 0) > 80);
        assert!(count(|quote| quote.buy_box.0 > 0 && quote.buy_box.1 < 0) > 5);
        assert!(count(|quote| quote.buy_box.0 < 0 && quote.lowest_new > 0) > 40);
        assert!(count(|quote| quote.landed_price().is_none()) > 50);
        assert!(count(|quote| quote.used > 0) > 300);
    }

    #[test]
    fn what_is_known_is_never_in_the_future_and_at_most_four_minutes_old() {
        let at = KeepaMinutes(NOW).to_unix().plus_millis(61_234);
        for listing in listings(150.0) {
            let age = at.millis_since(KeepaMinutes(listing.observed(at)).to_unix());
            assert!((0..240_000).contains(&age), "{age}");
        }
    }
}
