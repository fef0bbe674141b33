//! Keepa's product object: which of its fields say what, and what their sentinels mean.
//!
//! - `productType` other than 0: no marketplace price, whatever else the object carries: asked for and none.
//! - `stats` (or, without it, `csv`): the current prices. Keepa leaves out what was not asked for: `csv` null, `offers`
//!   absent, `buyBoxPrice` absent or -2. None of these erases what is held.
//! - `buyBoxPrice`: greater than 0 with a shipping of 0 or more is landed; a price of unknown shipping (-1) is no buy
//!   box; -1 is "asked for and none". Where it was not asked for, `current[18]` is taken if it is a price: it is landed
//!   already, but hides an unknown shipping, so it never overrules `buyBoxPrice`.

use std::borrow::Cow;

use compact_str::CompactString;
use shared::domain::history::HistoryFacts;
use shared::domain::price::{AttributeFacts, BuyBoxFacts, Category, OfferFacts, PriceFacts, PriceKind, SeriesStatistics, StatisticsFacts, StatisticsOrigin};
use shared::domain::{Asin, KeepaMinutes, MarketState, ObservedAt, Register, UnixMillis};
use shared::wire::state::HistoryRecord;

use super::json::{self, Wishes, told};
use super::scan::{Field, Json, Members, Object, Row, Scanner, Stop};
use super::{Refusal, RefusalClass, check_clock, sellers, title};
use crate::statistics::PriceSeries;

/// The series that are read, of all that Keepa has.
#[derive(Debug, Clone, Copy)]
enum Series {
    Amazon,
    New,
    SalesRank,
    ListPrice,
    NewFbm,
    NewFba,
    CountNew,
    BuyBox,
    CountNewFba,
    CountNewFbm,
}

/// Where Keepa has them, the same in `csv` and in every array of `stats`. In the order of the enum, which is ascending.
const INDICES: [usize; 10] = [0, 1, 3, 4, 7, 10, 11, 18, 34, 35];

/// History is kept for people this far back.
const HISTORY_MINUTES: i64 = 180 * 24 * 60;

const IMAGE_PREFIX: &str = "https://m.media-amazon.com/images/I/";

/// The product object: what is known of it, unread.
#[derive(Debug, Default)]
pub(super) struct KeepaProduct<'a> {
    pub(super) asin: Field<'a>,
    pub(super) domain_id: Field<'a>,
    product_type: Field<'a>,
    last_update: Field<'a>,
    stats: Object<'a, Stats<'a>>,
    csv: PerSeries<'a>,
    offers: Field<'a>,
    title: Field<'a>,
    brand: Field<'a>,
    images: Field<'a>,
    images_csv: Field<'a>,
    root_category: Field<'a>,
    category_tree: Field<'a>,
    ean_list: Field<'a>,
    upc_list: Field<'a>,
    gtin_list: Field<'a>,
    parent_asin: Field<'a>,
    monthly_sold: Field<'a>,
    number_of_items: Field<'a>,
    package_quantity: Field<'a>,
    package_weight: Field<'a>,
    package_length: Field<'a>,
    package_width: Field<'a>,
    package_height: Field<'a>,
    fba_fees: Field<'a>,
    referral_fee_percentage: Field<'a>,
    referral_fee_percent: Field<'a>,
    variable_closing_fee: Field<'a>,
    sales_rank_reference: Field<'a>,
    hazardous_materials: Field<'a>,
    is_heat_sensitive: Field<'a>,
    new_price_is_map: Field<'a>,
    buy_box_seller_id_history: Field<'a>,
}

impl<'a> Members<'a> for KeepaProduct<'a> {
    fn member(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
        let field = match name {
            "asin" => &mut self.asin,
            "domainId" => &mut self.domain_id,
            "productType" => &mut self.product_type,
            "lastUpdate" => &mut self.last_update,
            "stats" => return scanner.descend(&mut self.stats),
            "csv" => return scanner.row(&mut self.csv, &INDICES),
            "offers" => &mut self.offers,
            "title" => &mut self.title,
            "brand" => &mut self.brand,
            "images" => &mut self.images,
            "imagesCSV" => &mut self.images_csv,
            "rootCategory" => &mut self.root_category,
            "categoryTree" => &mut self.category_tree,
            "eanList" => &mut self.ean_list,
            "upcList" => &mut self.upc_list,
            "gtinList" => &mut self.gtin_list,
            "parentAsin" => &mut self.parent_asin,
            "monthlySold" => &mut self.monthly_sold,
            "numberOfItems" => &mut self.number_of_items,
            "packageQuantity" => &mut self.package_quantity,
            "packageWeight" => &mut self.package_weight,
            "packageLength" => &mut self.package_length,
            "packageWidth" => &mut self.package_width,
            "packageHeight" => &mut self.package_height,
            "fbaFees" => &mut self.fba_fees,
            "referralFeePercentage" => &mut self.referral_fee_percentage,
            "referralFeePercent" => &mut self.referral_fee_percent,
            "variableClosingFee" => &mut self.variable_closing_fee,
            "salesRankReference" => &mut self.sales_rank_reference,
            "hazardousMaterials" => &mut self.hazardous_materials,
            "isHeatSensitive" => &mut self.is_heat_sensitive,
            "newPriceIsMAP" => &mut self.new_price_is_map,
            "buyBoxSellerIdHistory" => &mut self.buy_box_seller_id_history,
            _ => return scanner.pass_over(),
        };
        scanner.keep(field)
    }
}

#[derive(Debug, Default)]
struct Stats<'a> {
    current: PerSeries<'a>,
    avg30: PerSeries<'a>,
    avg90: PerSeries<'a>,
    avg180: PerSeries<'a>,
    avg365: PerSeries<'a>,
    min: PerSeries<'a>,
    max: PerSeries<'a>,
    out_of_stock_percentage30: PerSeries<'a>,
    out_of_stock_percentage90: PerSeries<'a>,
    out_of_stock_percentage180: PerSeries<'a>,
    out_of_stock_percentage365: PerSeries<'a>,
    buy_box_price: Field<'a>,
    buy_box_shipping: Field<'a>,
    buy_box_seller_id: Field<'a>,
    buy_box_is_fba: Field<'a>,
    buy_box_is_amazon: Field<'a>,
    buy_box_is_map: Field<'a>,
    buy_box_min_order_quantity: Field<'a>,
    buy_box_max_order_quantity: Field<'a>,
    buy_box_stats: Field<'a>,
    sales_rank_drops30: Field<'a>,
    last_buy_box_update: Field<'a>,
    total_offer_count: Field<'a>,
    retrieved_offer_count: Field<'a>,
    offer_count_fba: Field<'a>,
    offer_count_fbm: Field<'a>,
}

impl<'a> Members<'a> for Stats<'a> {
    fn member(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
        let field = match name {
            "current" => return scanner.row(&mut self.current, &INDICES),
            "avg30" => return scanner.row(&mut self.avg30, &INDICES),
            "avg90" => return scanner.row(&mut self.avg90, &INDICES),
            "avg180" => return scanner.row(&mut self.avg180, &INDICES),
            "avg365" => return scanner.row(&mut self.avg365, &INDICES),
            "min" => return scanner.row(&mut self.min, &INDICES),
            "max" => return scanner.row(&mut self.max, &INDICES),
            "outOfStockPercentage30" => return scanner.row(&mut self.out_of_stock_percentage30, &INDICES),
            "outOfStockPercentage90" => return scanner.row(&mut self.out_of_stock_percentage90, &INDICES),
            "outOfStockPercentage180" => return scanner.row(&mut self.out_of_stock_percentage180, &INDICES),
            "outOfStockPercentage365" => return scanner.row(&mut self.out_of_stock_percentage365, &INDICES),
            "buyBoxPrice" => &mut self.buy_box_price,
            "buyBoxShipping" => &mut self.buy_box_shipping,
            "buyBoxSellerId" => &mut self.buy_box_seller_id,
            "buyBoxIsFBA" => &mut self.buy_box_is_fba,
            "buyBoxIsAmazon" => &mut self.buy_box_is_amazon,
            "buyBoxIsMAP" => &mut self.buy_box_is_map,
            "buyBoxMinOrderQuantity" => &mut self.buy_box_min_order_quantity,
            "buyBoxMaxOrderQuantity" => &mut self.buy_box_max_order_quantity,
            "buyBoxStats" => &mut self.buy_box_stats,
            "salesRankDrops30" => &mut self.sales_rank_drops30,
            "lastBuyBoxUpdate" => &mut self.last_buy_box_update,
            "totalOfferCount" => &mut self.total_offer_count,
            "retrievedOfferCount" => &mut self.retrieved_offer_count,
            "offerCountFBA" => &mut self.offer_count_fba,
            "offerCountFBM" => &mut self.offer_count_fbm,
            _ => return scanner.pass_over(),
        };
        scanner.keep(field)
    }
}

#[derive(Debug, Default)]
struct FbaFees<'a> {
    pick_and_pack_fee: Field<'a>,
}

impl<'a> Members<'a> for FbaFees<'a> {
    fn member(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
        match name {
            "pickAndPackFee" => scanner.keep(&mut self.pick_and_pack_fee),
            _ => scanner.pass_over(),
        }
    }
}

#[derive(Debug, Default)]
struct TreeNode<'a> {
    cat_id: Field<'a>,
    name: Field<'a>,
}

impl<'a> Members<'a> for TreeNode<'a> {
    fn member(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
        match name {
            "catId" => scanner.keep(&mut self.cat_id),
            "name" => scanner.keep(&mut self.name),
            _ => scanner.pass_over(),
        }
    }
}

#[derive(Debug, Default)]
struct Image<'a> {
    l: Field<'a>,
    m: Field<'a>,
}

impl<'a> Members<'a> for Image<'a> {
    fn member(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
        match name {
            "l" => scanner.keep(&mut self.l),
            "m" => scanner.keep(&mut self.m),
            _ => scanner.pass_over(),
        }
    }
}

/// One of Keepa's arrays with a slot for each series.
type PerSeries<'a> = Row<'a, { INDICES.len() }>;

impl<'a> PerSeries<'a> {
    /// A slot that is null or beyond the end was not told.
    fn get(&self, series: Series) -> Field<'a> {
        told(self.kept[series as usize])
    }
}

/// Such an array where a price depends on it.
#[derive(Clone, Copy)]
struct Slots<'r, 'a> {
    name: &'static str,
    row: &'r PerSeries<'a>,
}

impl<'a> Slots<'_, 'a> {
    fn get(self, series: Series) -> Field<'a> {
        self.row.get(series)
    }

    /// The value of a slot, sentinels included.
    fn needed(self, series: Series) -> Result<Option<i64>, Refusal> {
        let index = INDICES[series as usize];
        json::needed_integer(format_args!("{}[{index}]", self.name), self.get(series))
    }

    /// A price or rank: greater than zero, or none.
    fn positive(self, series: Series) -> Result<Option<i64>, Refusal> {
        Ok(self.needed(series)?.filter(|&value| value > 0))
    }
}

fn slots<'r, 'a>(name: &'static str, row: &'r PerSeries<'a>) -> Result<Option<Slots<'r, 'a>>, Refusal> {
    Ok(json::needed_array(name, row.text)?.then_some(Slots { name, row }))
}

/// What the record says of prices and the buy box; `None` = it was not asked.
#[derive(Default)]
struct Prices {
    prices: Option<PriceFacts>,
    buy_box: Option<BuyBoxFacts>,
    statistics: Option<StatisticsFacts>,
    buy_box_statistics: Option<SeriesStatistics>,
    history: Option<HistoryFacts>,
    offers: Option<OfferFacts>,
}

impl KeepaProduct<'_> {
    /// The object as a marketplace's state, fetched at `fetched_at`.
    ///
    /// # Errors
    /// `clock` for a last update too far ahead of `now`; `shape` for a field of a wrong type that a price depends on.
    pub(super) fn state(&self, fetched_at: UnixMillis, now: UnixMillis, wishes: &Wishes) -> Result<MarketState, Refusal> {
        let observed_at = ObservedAt {
            last_update: self.last_update(fetched_at, now)?,
            fetched_at,
        };
        let product_type = json::needed_integer("product.productType", self.product_type)?.unwrap_or(0);
        let stats = json::needed_object("product.stats", &self.stats)?;
        let csv = slots("product.csv", &self.csv)?;
        let facts = if product_type == 0 {
            self.prices(stats, csv, observed_at.last_update, wishes)?
        } else {
            Prices {
                prices: Some(PriceFacts::default()),
                buy_box: Some(BuyBoxFacts::default()),
                ..Prices::default()
            }
        };
        let attributes = self.attributes(i32::try_from(product_type).unwrap_or(i32::MAX), wishes);
        let mut state = MarketState::observed(observed_at);
        state.prices = register(observed_at, facts.prices);
        state.buy_box = register(observed_at, facts.buy_box);
        state.statistics = register(observed_at, facts.statistics);
        state.buy_box_statistics = register(observed_at, facts.buy_box_statistics);
        state.history = register(observed_at, facts.history);
        state.offers = register(observed_at, facts.offers);
        state.attributes = register(observed_at, attributes);
        Ok(state)
    }

    /// What the price was over time: of the buy box, else the lowest new offer, else Amazon's own. None where no history came
    /// or no price was ever in it.
    pub(super) fn history(&self, fetched_at: UnixMillis, now: UnixMillis) -> Option<HistoryRecord> {
        let wishes = Wishes::default();
        let last_update = self.last_update(fetched_at, now).ok()?;
        let csv = slots("product.csv", &self.csv).ok()??;
        let to = i64::from(last_update.0);
        let kinds = [
            (PriceKind::BuyBox, Series::BuyBox),
            (PriceKind::New, Series::New),
            (PriceKind::Amazon, Series::Amazon),
        ];
        kinds.into_iter().find_map(|(kind, series)| {
            let changes = history(csv, series, &wishes)?.changes(to - HISTORY_MINUTES, to, HistoryRecord::MOST);
            let has_price = changes.iter().any(|(_, price)| price.is_some());
            let minutes = |time: i64| i32::try_from(time).ok().map(KeepaMinutes);
            has_price.then(|| HistoryRecord {
                observed_at: ObservedAt { last_update, fetched_at },
                kind,
                to: last_update,
                points: changes.into_iter().filter_map(|(time, price)| Some((minutes(time)?, price))).collect(),
            })
        })
    }

    /// Keepa's last update; missing, 0 or negative, it is the minute of the fetch.
    fn last_update(&self, fetched_at: UnixMillis, now: UnixMillis) -> Result<KeepaMinutes, Refusal> {
        let given = json::needed_time("product.lastUpdate", self.last_update)?.filter(|&minutes| minutes > 0);
        let Some(minutes) = given else {
            return Ok(KeepaMinutes::from_unix(fetched_at));
        };
        let minutes = i32::try_from(minutes)
            .map(KeepaMinutes)
            .map_err(|_| Refusal::new(RefusalClass::Clock, format!("product.lastUpdate is {minutes}, which is beyond any clock")))?;
        check_clock("product.lastUpdate", minutes.to_unix(), now)?;
        Ok(minutes)
    }

    fn prices(&self, stats: Option<&Stats<'_>>, csv: Option<Slots<'_, '_>>, last_update: KeepaMinutes, wishes: &Wishes) -> Result<Prices, Refusal> {
        let current = match stats {
            Some(stats) => slots("product.stats.current", &stats.current)?,
            None => None,
        };
        let mut facts = Prices::default();
        match (current, csv) {
            (Some(current), _) => facts.prices = prices_of_stats(current)?,
            (None, Some(csv)) => facts.prices = prices_of_history(csv)?,
            (None, None) => {}
        }
        if let Some(prices) = &mut facts.prices {
            prices.is_map = wishes.boolean(self.new_price_is_map);
            if let (Some(current), Some(stats)) = (current, stats) {
                stats.add_demand(prices, current, wishes);
            }
        }
        if let Some(stats) = stats {
            facts.buy_box = stats.buy_box(current, wishes)?;
            facts.offers = stats.offers(current, self.offers, wishes)?;
        }
        match (stats, csv) {
            (Some(stats), _) if current.is_some() => {
                stats.check_arrays(wishes);
                facts.statistics = Some(StatisticsFacts {
                    new: stats.of(Series::New, wishes),
                    amazon: stats.of(Series::Amazon, wishes),
                });
                facts.buy_box_statistics = facts.buy_box.is_some().then(|| stats.of(Series::BuyBox, wishes));
            }
            (_, Some(csv)) => {
                facts.statistics = statistics_of_history(csv, last_update, wishes);
                if facts.buy_box.is_none() {
                    facts.buy_box = buy_box_of_history(csv)?;
                }
                facts.buy_box_statistics = history(csv, Series::BuyBox, wishes).map(|series| series.summary(last_update));
            }
            _ => {}
        }
        if let Some(buy_box) = &mut facts.buy_box {
            let held = sellers::of_history(wishes.elements(self.buy_box_seller_id_history), last_update, wishes);
            let (shares, origin) = match held {
                Some(shares) => (shares, StatisticsOrigin::History),
                None => (
                    stats.map_or_else(Vec::new, |stats| sellers::of_stats(stats.buy_box_stats, wishes)),
                    StatisticsOrigin::Keepa,
                ),
            };
            buy_box.shares_origin = (!shares.is_empty()).then_some(origin);
            buy_box.shares = shares;
        }
        facts.history = csv.and_then(|csv| distributions(csv, last_update, wishes));
        Ok(facts)
    }

    /// What the article is; `None` where the object says nothing at all of it, as the stubs of unknown ASINs do.
    fn attributes(&self, product_type: i32, wishes: &Wishes) -> Option<AttributeFacts> {
        let categories = self.categories(wishes);
        let facts = AttributeFacts {
            product_type,
            rank_category: self.rank_category(&categories, wishes),
            title: wishes.text(self.title).as_deref().and_then(title::plain),
            brand: wishes.text(self.brand).as_deref().and_then(title::plain),
            image_url: self.image_url(wishes),
            categories,
            product_codes: self.product_codes(wishes),
            parent_asin: wishes
                .text(self.parent_asin)
                .and_then(|text| text.parse::<Asin>().ok())
                .map(|asin| asin.as_str().into()),
            monthly_sold: wishes.positive(self.monthly_sold),
            number_of_items: wishes.positive_i32(self.number_of_items),
            package_quantity: wishes.positive_i32(self.package_quantity),
            package_weight_g: wishes.positive_i32(self.package_weight),
            package_mm: self.package_mm(wishes),
            fba_fee: wishes
                .object::<FbaFees<'_>>(self.fba_fees)
                .and_then(|fees| wishes.positive(fees.pick_and_pack_fee)),
            referral_fee_percentage: self.referral_fee_percentage(wishes),
            closing_fee: wishes.positive(self.variable_closing_fee),
            is_hazardous: self
                .hazardous_materials
                .and_then(Json::elements)
                .map(|mut materials| materials.next().is_some()),
            is_heat_sensitive: wishes.boolean(self.is_heat_sensitive),
        };
        let nothing = AttributeFacts {
            product_type,
            ..AttributeFacts::default()
        };
        (facts != nothing).then_some(facts)
    }

    /// The first image, large where there is a large one.
    fn image_url(&self, wishes: &Wishes) -> Option<CompactString> {
        let listed = wishes.elements(self.images).next().and_then(|first| {
            let image: Image<'_> = wishes.object(Some(first))?;
            wishes.text(image.l).or_else(|| wishes.text(image.m))
        });
        let joined = || {
            let names = wishes.text(self.images_csv)?;
            let end = names.find(',').unwrap_or(names.len());
            Some(match names {
                Cow::Borrowed(names) => Cow::Borrowed(names[..end].trim()),
                Cow::Owned(names) => Cow::Owned(names[..end].trim().to_owned()),
            })
        };
        let name = listed.or_else(joined).filter(|name| is_image_name(name))?;
        let mut url = CompactString::with_capacity(IMAGE_PREFIX.len() + name.len());
        url.push_str(IMAGE_PREFIX);
        url.push_str(&name);
        Some(url)
    }

    /// From the root category to the leaf. Ids that mean "unknown" are left out.
    fn categories(&self, wishes: &Wishes) -> Vec<Category> {
        let mut categories: Vec<Category> = wishes
            .elements(self.category_tree)
            .filter_map(|node| {
                let node: TreeNode<'_> = wishes.object(Some(node))?;
                let id = wishes.positive(node.cat_id).filter(|&id| id != i64::MAX)?;
                let name = wishes.text(node.name).as_deref().and_then(title::plain)?;
                Some(Category { id, name })
            })
            .collect();
        // The tree begins with the root; should it ever not, the root category says where it is.
        if let Some(root) = wishes.positive(self.root_category)
            && let Some(position) = categories.iter().position(|category| category.id == root)
        {
            categories.drain(..position);
        }
        categories
    }

    /// The category that the rank counts in; the root, where Keepa does not say or names one beside the tree.
    fn rank_category(&self, categories: &[Category], wishes: &Wishes) -> Option<CompactString> {
        let reference = wishes.positive(self.sales_rank_reference);
        let named = reference.and_then(|id| categories.iter().find(|category| category.id == id));
        named.or(categories.first()).map(|category| category.name.clone())
    }

    fn product_codes(&self, wishes: &Wishes) -> Vec<CompactString> {
        let mut codes: Vec<CompactString> = Vec::new();
        for list in [self.ean_list, self.upc_list, self.gtin_list] {
            for code in wishes.elements(list) {
                let code = wishes.text(Some(code)).filter(|code| !codes.iter().any(|held| held == code));
                codes.extend(code.map(CompactString::from));
            }
        }
        codes
    }

    fn package_mm(&self, wishes: &Wishes) -> Option<[i32; 3]> {
        let [length, width, height] = [self.package_length, self.package_width, self.package_height].map(|side| wishes.positive_i32(side));
        Some([length?, width?, height?])
    }

    /// In percent, not basis points; the whole-numbered field is deprecated and stands in only.
    fn referral_fee_percentage(&self, wishes: &Wishes) -> Option<rust_decimal::Decimal> {
        use rust_decimal::Decimal;
        let plausible = |percent: &Decimal| (Decimal::ZERO..=Decimal::ONE_HUNDRED).contains(percent) && !percent.is_zero();
        let exact = wishes.decimal(self.referral_fee_percentage).filter(plausible);
        let percent = exact.or_else(|| wishes.decimal(self.referral_fee_percent).filter(plausible))?;
        Some(percent.normalize())
    }
}

fn register<F: Into<T>, T>(observed_at: ObservedAt, facts: Option<F>) -> Option<Register<T>> {
    facts.map(|facts| Register::new(observed_at, facts))
}

/// Image names are plain file names; anything else is no address we want to show.
fn is_image_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._+%~-,=@".contains(&byte);
    !name.is_empty() && name.len() <= 200 && name.bytes().all(allowed)
}

/// `stats.current`: `None` where it tells neither of the two prices, not even that there is none.
fn prices_of_stats(current: Slots<'_, '_>) -> Result<Option<PriceFacts>, Refusal> {
    let asked = current.get(Series::New).is_some() || current.get(Series::Amazon).is_some();
    let facts = PriceFacts {
        new: current.positive(Series::New)?,
        amazon: current.positive(Series::Amazon)?,
        list_price: current.positive(Series::ListPrice)?,
        sales_rank: current.positive(Series::SalesRank)?,
        ..PriceFacts::default()
    };
    Ok(asked.then_some(facts))
}

/// How many offers: -1 = none; other negative numbers say nothing.
fn count(number: i64) -> Option<i32> {
    (number >= -1).then(|| i32::try_from(number.max(0)).ok()).flatten()
}

/// The last points of the series; `None` where both price series are null.
fn prices_of_history(csv: Slots<'_, '_>) -> Result<Option<PriceFacts>, Refusal> {
    let asked = csv.get(Series::New).is_some() || csv.get(Series::Amazon).is_some();
    let last = |series| -> Result<Option<i64>, Refusal> { Ok(last_point::<2>(csv, series)?.map(|[_, value]| value).filter(|&value| value > 0)) };
    // Nothing of a count decides a price: what is broken is left out.
    let last_count = |series| count(last_point::<2>(csv, series).ok().flatten()?[1]);
    let facts = PriceFacts {
        new: last(Series::New)?,
        amazon: last(Series::Amazon)?,
        list_price: last(Series::ListPrice)?,
        sales_rank: last(Series::SalesRank)?,
        new_offers: last_count(Series::CountNew),
        new_offers_fba: last_count(Series::CountNewFba),
        new_offers_fbm: last_count(Series::CountNewFbm),
        ..PriceFacts::default()
    };
    Ok(asked.then_some(facts))
}

fn buy_box_of_history(csv: Slots<'_, '_>) -> Result<Option<BuyBoxFacts>, Refusal> {
    let last = last_point::<3>(csv, Series::BuyBox)?;
    Ok(last.map(|[_, price, shipping]| BuyBoxFacts {
        landed: landed(price, shipping),
        ..BuyBoxFacts::default()
    }))
}

/// Price plus shipping; a price of unknown shipping is not landed.
fn landed(price: i64, shipping: i64) -> Option<i64> {
    (price > 0 && shipping >= 0).then(|| price.checked_add(shipping)).flatten()
}

/// The last point of a series, without reading those before it: a history can hold thousands. `None` = null or empty.
fn last_point<const N: usize>(csv: Slots<'_, '_>, series: Series) -> Result<Option<[i64; N]>, Refusal> {
    let Some(points) = csv.get(series) else { return Ok(None) };
    let broken = |what: &str| Refusal::new(RefusalClass::Shape, format!("product.csv[{}] is {what}", INDICES[series as usize]));
    let inner = points.get().strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let numbers = inner.ok_or_else(|| broken(&format!("{}, an array is expected", points.kind())))?;
    if numbers.trim_ascii().is_empty() {
        return Ok(None);
    }
    let commas = numbers.bytes().filter(|&byte| byte == b',').count();
    if !(commas + 1).is_multiple_of(N) {
        return Err(broken(&format!("{} numbers, which do not come in groups of {N}", commas + 1)));
    }
    let mut point = [0; N];
    let mut parts = numbers.rsplit(',');
    for slot in point.iter_mut().rev() {
        let number = parts.next().and_then(|text| json::whole_number(text.trim_ascii()));
        let number = number.filter(|&number| i32::try_from(number).is_ok());
        *slot = number.ok_or_else(|| broken("not made of whole numbers of 32 bits"))?;
    }
    Ok(Some(point))
}

/// A whole series; nothing where it is null or not made of points.
fn history(csv: Slots<'_, '_>, series: Series, wishes: &Wishes) -> Option<PriceSeries> {
    let numbers: Option<Vec<i64>> = wishes.elements(csv.get(series)).map(json::integer).collect();
    let numbers = numbers.filter(|numbers| !numbers.is_empty())?;
    let points = match series {
        Series::BuyBox => PriceSeries::from_triples(&numbers),
        _ => PriceSeries::from_pairs(&numbers),
    };
    points.ok()
}

/// How the series that came with the record were spread; none where none came.
fn distributions(csv: Slots<'_, '_>, last_update: KeepaMinutes, wishes: &Wishes) -> Option<HistoryFacts> {
    let asked = [Series::New, Series::Amazon, Series::BuyBox].iter().any(|&series| csv.get(series).is_some());
    let of = |series| history(csv, series, wishes).and_then(|points| points.distribution(last_update));
    asked.then(|| HistoryFacts {
        new: of(Series::New),
        amazon: of(Series::Amazon),
        buy_box: of(Series::BuyBox),
    })
}

fn statistics_of_history(csv: Slots<'_, '_>, last_update: KeepaMinutes, wishes: &Wishes) -> Option<StatisticsFacts> {
    let (new, amazon) = (history(csv, Series::New, wishes), history(csv, Series::Amazon, wishes));
    if new.is_none() && amazon.is_none() {
        return None;
    }
    let summary = |series: Option<PriceSeries>| {
        series.map_or_else(
            || SeriesStatistics {
                origin: StatisticsOrigin::History,
                ..SeriesStatistics::default()
            },
            |series| series.summary(last_update),
        )
    };
    Some(StatisticsFacts {
        new: summary(new),
        amazon: summary(amazon),
    })
}

impl Stats<'_> {
    /// See the module for the rule.
    fn buy_box(&self, current: Option<Slots<'_, '_>>, wishes: &Wishes) -> Result<Option<BuyBoxFacts>, Refusal> {
        let price = json::needed_integer("product.stats.buyBoxPrice", self.buy_box_price)?;
        let shipping = json::needed_integer("product.stats.buyBoxShipping", self.buy_box_shipping)?;
        let landed = match price {
            None | Some(-2) => match current.map(|current| current.positive(Series::BuyBox)).transpose()?.flatten() {
                Some(landed) => Some(landed),
                None => return Ok(None),
            },
            Some(price) => landed(price, shipping.unwrap_or(-1)),
        };
        if landed.is_none() {
            return Ok(Some(BuyBoxFacts::default()));
        }
        let updated_at = json::needed_time("product.stats.lastBuyBoxUpdate", self.last_buy_box_update)?;
        let seller_id = wishes.text(self.buy_box_seller_id).filter(|id| !id.starts_with('-')).map(CompactString::from);
        Ok(Some(BuyBoxFacts {
            landed,
            updated_at: updated_at
                .filter(|&minutes| minutes > 0)
                .map(|minutes| KeepaMinutes(i32::try_from(minutes).unwrap_or(i32::MAX))),
            seller_id,
            is_fba: wishes.boolean(self.buy_box_is_fba),
            is_amazon: wishes.boolean(self.buy_box_is_amazon),
            is_map: wishes.boolean(self.buy_box_is_map),
            min_order_quantity: wishes.positive_i32(self.buy_box_min_order_quantity).filter(|&least| least > 1),
            max_order_quantity: wishes.positive_i32(self.buy_box_max_order_quantity),
            ..BuyBoxFacts::default()
        }))
    }

    /// What says how well it sells and who else offers it. Nothing of it decides a price: what is broken is left out.
    fn add_demand(&self, prices: &mut PriceFacts, current: Slots<'_, '_>, wishes: &Wishes) {
        let count = |field: Field<'_>| count(wishes.integer(field)?);
        wishes.array(self.avg30.text);
        prices.rank_drops_30 = wishes
            .integer(self.sales_rank_drops30)
            .and_then(|drops| i32::try_from(drops).ok())
            .filter(|&drops| drops >= 0);
        prices.new_offers = count(current.get(Series::CountNew));
        prices.new_offers_avg30 = count(self.avg30.get(Series::CountNew)).filter(|&mean| mean > 0);
        prices.new_offers_fba = count(current.get(Series::CountNewFba));
        prices.new_offers_fbm = count(current.get(Series::CountNewFbm));
    }

    /// Offers were asked for where their number is told, or where a price that only they give is.
    fn offers(&self, current: Option<Slots<'_, '_>>, offers: Field<'_>, wishes: &Wishes) -> Result<Option<OfferFacts>, Refusal> {
        let count = |field| wishes.integer(field).filter(|&count| count >= 0).and_then(|count| i32::try_from(count).ok());
        let is_told = |field: Field<'_>| field.and_then(json::integer).is_some_and(|count| count != -2);
        let price = |series| current.map(|current| current.positive(series)).transpose().map(Option::flatten);
        let (lowest_fba, lowest_fbm_landed) = (price(Series::NewFba)?, price(Series::NewFbm)?);
        let asked = is_told(self.retrieved_offer_count)
            || is_told(self.offer_count_fba)
            || offers.is_some_and(|offers| offers.get().starts_with('['))
            || lowest_fba.is_some()
            || lowest_fbm_landed.is_some();
        Ok(asked.then(|| OfferFacts {
            total: count(self.total_offer_count),
            fba: count(self.offer_count_fba),
            fbm: count(self.offer_count_fbm),
            lowest_fba,
            lowest_fbm_landed,
        }))
    }

    /// Counts the arrays of statistics that are none.
    fn check_arrays(&self, wishes: &Wishes) {
        for row in [
            &self.avg30,
            &self.avg90,
            &self.avg180,
            &self.avg365,
            &self.out_of_stock_percentage30,
            &self.out_of_stock_percentage90,
            &self.out_of_stock_percentage180,
            &self.out_of_stock_percentage365,
            &self.min,
            &self.max,
        ] {
            wishes.array(row.text);
        }
    }

    /// Keepa's own statistics of a series.
    fn of(&self, series: Series, wishes: &Wishes) -> SeriesStatistics {
        let average = |row: &PerSeries<'_>| wishes.positive(row.get(series));
        let percentage = |row: &PerSeries<'_>| {
            let percent = wishes.integer(row.get(series))?;
            i32::try_from(percent).ok().filter(|percent| (0..=100).contains(percent))
        };
        let extreme = |row: &PerSeries<'_>| {
            let mut point = wishes.elements(row.get(series));
            let time = wishes.integer(point.next()).and_then(|time| i32::try_from(time).ok());
            let value = wishes.positive(point.next());
            (value, value.and(time).map(KeepaMinutes))
        };
        let ((min, min_at), (max, max_at)) = (extreme(&self.min), extreme(&self.max));
        SeriesStatistics {
            avg30: average(&self.avg30),
            avg90: average(&self.avg90),
            avg180: average(&self.avg180),
            avg365: average(&self.avg365),
            min,
            min_at,
            max,
            max_at,
            out_of_stock_percentage_30: percentage(&self.out_of_stock_percentage30),
            out_of_stock_percentage_90: percentage(&self.out_of_stock_percentage90),
            out_of_stock_percentage_180: percentage(&self.out_of_stock_percentage180),
            out_of_stock_percentage_365: percentage(&self.out_of_stock_percentage365),
            origin: StatisticsOrigin::Keepa,
        }
    }
}
