//! Keepa's product object: which of its fields say what, and what their sentinels mean.
//!
//! - `productType` other than 0: no marketplace price, whatever else the object carries: asked for and none.
//! - `stats` (or, without it, `csv`): the current prices. Keepa leaves out what was not asked for: `csv` null, `offers`
//!   absent, `buyBoxPrice` absent or -2. None of these erases what is held.
//! - `buyBoxPrice`: greater than 0 with a shipping of 0 or more is landed; a price of unknown shipping (-1) is no buy
//!   box; -1 is "asked for and none". Where it was not asked for, `current[18]` is taken if it is a price: it is landed
//!   already, but hides an unknown shipping, so it never overrules `buyBoxPrice`.

use serde::Deserialize;
use serde_json::value::RawValue;
use shared::domain::history::HistoryFacts;
use shared::domain::price::{AttributeFacts, BuyBoxFacts, Category, OfferFacts, PriceFacts, PriceKind, SeriesStatistics, StatisticsFacts, StatisticsOrigin};
use shared::domain::{Asin, KeepaMinutes, MarketState, ObservedAt, Register, UnixMillis};
use shared::wire::state::HistoryRecord;

use super::json::{self, Field, Wishes};
use super::{Refusal, RefusalClass, check_clock, sellers, title};
use crate::statistics::PriceSeries;

/// Indices of Keepa's series, the same in `csv` and in every array of `stats`.
const AMAZON: usize = 0;
const NEW: usize = 1;
const SALES_RANK: usize = 3;
const LIST_PRICE: usize = 4;
const NEW_FBM: usize = 7;
const NEW_FBA: usize = 10;
const COUNT_NEW: usize = 11;
const BUY_BOX: usize = 18;
const COUNT_NEW_FBA: usize = 34;
const COUNT_NEW_FBM: usize = 35;

/// History is kept for people this far back.
const HISTORY_MINUTES: i64 = 180 * 24 * 60;

const IMAGE_PREFIX: &str = "https://m.media-amazon.com/images/I/";

/// The product object, unread.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct KeepaProduct<'a> {
    #[serde(borrow)]
    pub(super) asin: Field<'a>,
    #[serde(borrow)]
    pub(super) domain_id: Field<'a>,
    #[serde(borrow)]
    product_type: Field<'a>,
    #[serde(borrow)]
    last_update: Field<'a>,
    #[serde(borrow)]
    stats: Field<'a>,
    #[serde(borrow)]
    csv: Field<'a>,
    #[serde(borrow)]
    offers: Field<'a>,
    #[serde(borrow)]
    title: Field<'a>,
    #[serde(borrow)]
    brand: Field<'a>,
    #[serde(borrow)]
    images: Field<'a>,
    #[serde(borrow, rename = "imagesCSV")]
    images_csv: Field<'a>,
    #[serde(borrow)]
    root_category: Field<'a>,
    #[serde(borrow)]
    category_tree: Field<'a>,
    #[serde(borrow)]
    ean_list: Field<'a>,
    #[serde(borrow)]
    upc_list: Field<'a>,
    #[serde(borrow)]
    gtin_list: Field<'a>,
    #[serde(borrow)]
    parent_asin: Field<'a>,
    #[serde(borrow)]
    monthly_sold: Field<'a>,
    #[serde(borrow)]
    number_of_items: Field<'a>,
    #[serde(borrow)]
    package_quantity: Field<'a>,
    #[serde(borrow)]
    package_weight: Field<'a>,
    #[serde(borrow)]
    package_length: Field<'a>,
    #[serde(borrow)]
    package_width: Field<'a>,
    #[serde(borrow)]
    package_height: Field<'a>,
    #[serde(borrow)]
    fba_fees: Field<'a>,
    #[serde(borrow)]
    referral_fee_percentage: Field<'a>,
    #[serde(borrow)]
    referral_fee_percent: Field<'a>,
    #[serde(borrow)]
    variable_closing_fee: Field<'a>,
    #[serde(borrow)]
    sales_rank_reference: Field<'a>,
    #[serde(borrow)]
    hazardous_materials: Field<'a>,
    #[serde(borrow)]
    is_heat_sensitive: Field<'a>,
    #[serde(borrow, rename = "newPriceIsMAP")]
    new_price_is_map: Field<'a>,
    #[serde(borrow)]
    buy_box_seller_id_history: Field<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stats<'a> {
    #[serde(borrow)]
    current: Field<'a>,
    #[serde(borrow)]
    avg30: Field<'a>,
    #[serde(borrow)]
    avg90: Field<'a>,
    #[serde(borrow)]
    avg180: Field<'a>,
    #[serde(borrow)]
    avg365: Field<'a>,
    #[serde(borrow)]
    min: Field<'a>,
    #[serde(borrow)]
    max: Field<'a>,
    #[serde(borrow)]
    out_of_stock_percentage30: Field<'a>,
    #[serde(borrow)]
    out_of_stock_percentage90: Field<'a>,
    #[serde(borrow)]
    out_of_stock_percentage180: Field<'a>,
    #[serde(borrow)]
    out_of_stock_percentage365: Field<'a>,
    #[serde(borrow)]
    buy_box_price: Field<'a>,
    #[serde(borrow)]
    buy_box_shipping: Field<'a>,
    #[serde(borrow)]
    buy_box_seller_id: Field<'a>,
    #[serde(borrow, rename = "buyBoxIsFBA")]
    buy_box_is_fba: Field<'a>,
    #[serde(borrow)]
    buy_box_is_amazon: Field<'a>,
    #[serde(borrow, rename = "buyBoxIsMAP")]
    buy_box_is_map: Field<'a>,
    #[serde(borrow)]
    buy_box_min_order_quantity: Field<'a>,
    #[serde(borrow)]
    buy_box_max_order_quantity: Field<'a>,
    #[serde(borrow)]
    buy_box_stats: Field<'a>,
    #[serde(borrow)]
    sales_rank_drops30: Field<'a>,
    #[serde(borrow)]
    last_buy_box_update: Field<'a>,
    #[serde(borrow)]
    total_offer_count: Field<'a>,
    #[serde(borrow)]
    retrieved_offer_count: Field<'a>,
    #[serde(borrow, rename = "offerCountFBA")]
    offer_count_fba: Field<'a>,
    #[serde(borrow, rename = "offerCountFBM")]
    offer_count_fbm: Field<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FbaFees<'a> {
    #[serde(borrow)]
    pick_and_pack_fee: Field<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TreeNode<'a> {
    #[serde(borrow)]
    cat_id: Field<'a>,
    #[serde(borrow)]
    name: Field<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Image<'a> {
    #[serde(borrow)]
    l: Field<'a>,
    #[serde(borrow)]
    m: Field<'a>,
}

/// One of Keepa's arrays with a slot per series. A slot that is null or beyond the end was not told.
struct Slots<'a> {
    name: &'static str,
    slots: Vec<&'a RawValue>,
}

impl<'a> Slots<'a> {
    fn get(&self, index: usize) -> Field<'a> {
        self.slots.get(index).copied().filter(|raw| raw.get() != "null")
    }

    /// The value of a slot, sentinels included.
    fn needed(&self, index: usize) -> Result<Option<i64>, Refusal> {
        json::needed_integer(format_args!("{}[{index}]", self.name), self.get(index))
    }

    /// A price or rank: greater than zero, or none.
    fn positive(&self, index: usize) -> Result<Option<i64>, Refusal> {
        Ok(self.needed(index)?.filter(|&value| value > 0))
    }
}

fn slots<'a>(name: &'static str, field: Field<'a>) -> Result<Option<Slots<'a>>, Refusal> {
    Ok(json::needed_elements(name, field)?.map(|slots| Slots { name, slots }))
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
        let stats: Option<Stats<'_>> = json::needed_object("product.stats", self.stats)?;
        let csv = slots("product.csv", self.csv)?;
        let facts = if product_type == 0 {
            self.prices(stats.as_ref(), csv.as_ref(), observed_at.last_update, wishes)?
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
        let csv = slots("product.csv", self.csv).ok()??;
        let to = i64::from(last_update.0);
        let kinds = [(PriceKind::BuyBox, BUY_BOX), (PriceKind::New, NEW), (PriceKind::Amazon, AMAZON)];
        kinds.into_iter().find_map(|(kind, index)| {
            let changes = history(&csv, index, &wishes)?.changes(to - HISTORY_MINUTES, to, HistoryRecord::MOST);
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

    fn prices(&self, stats: Option<&Stats<'_>>, csv: Option<&Slots<'_>>, last_update: KeepaMinutes, wishes: &Wishes) -> Result<Prices, Refusal> {
        let current = match stats {
            Some(stats) => slots("product.stats.current", stats.current)?,
            None => None,
        };
        let mut facts = Prices::default();
        match (&current, csv) {
            (Some(current), _) => facts.prices = prices_of_stats(current)?,
            (None, Some(csv)) => facts.prices = prices_of_history(csv)?,
            (None, None) => {}
        }
        if let Some(prices) = &mut facts.prices {
            prices.is_map = wishes.boolean(self.new_price_is_map);
            if let (Some(current), Some(stats)) = (&current, stats) {
                stats.add_demand(prices, current, wishes);
            }
        }
        if let Some(stats) = stats {
            facts.buy_box = stats.buy_box(current.as_ref(), wishes)?;
            facts.offers = stats.offers(current.as_ref(), self.offers, wishes)?;
        }
        match (stats, csv) {
            (Some(stats), _) if current.is_some() => {
                let series = stats.series(wishes);
                facts.statistics = Some(StatisticsFacts {
                    new: series.of(NEW, wishes),
                    amazon: series.of(AMAZON, wishes),
                });
                facts.buy_box_statistics = facts.buy_box.is_some().then(|| series.of(BUY_BOX, wishes));
            }
            (_, Some(csv)) => {
                facts.statistics = statistics_of_history(csv, last_update, wishes);
                if facts.buy_box.is_none() {
                    facts.buy_box = buy_box_of_history(csv)?;
                }
                facts.buy_box_statistics = history(csv, BUY_BOX, wishes).map(|series| series.summary(last_update));
            }
            _ => {}
        }
        if let Some(buy_box) = &mut facts.buy_box {
            let held = sellers::of_history(&wishes.elements(self.buy_box_seller_id_history), last_update, wishes);
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
                .map(|asin| asin.as_str().to_owned()),
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
                .filter(|raw| raw.get().starts_with('['))
                .map(|raw| !wishes.elements(Some(raw)).is_empty()),
            is_heat_sensitive: wishes.boolean(self.is_heat_sensitive),
        };
        let nothing = AttributeFacts {
            product_type,
            ..AttributeFacts::default()
        };
        (facts != nothing).then_some(facts)
    }

    /// The first image, large where there is a large one.
    fn image_url(&self, wishes: &Wishes) -> Option<String> {
        let listed = wishes.elements(self.images).first().and_then(|raw| {
            let image: Image<'_> = wishes.object(Some(raw))?;
            wishes.text(image.l).or_else(|| wishes.text(image.m))
        });
        let joined = || {
            let names = wishes.text(self.images_csv)?;
            names.split(',').next().map(|name| name.trim().to_owned())
        };
        let name = listed.or_else(joined).filter(|name| is_image_name(name))?;
        Some(format!("{IMAGE_PREFIX}{name}"))
    }

    /// From the root category to the leaf. Ids that mean "unknown" are left out.
    fn categories(&self, wishes: &Wishes) -> Vec<Category> {
        let mut categories: Vec<Category> = wishes
            .elements(self.category_tree)
            .into_iter()
            .filter_map(|raw| {
                let node: TreeNode<'_> = wishes.object(Some(raw))?;
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
    fn rank_category(&self, categories: &[Category], wishes: &Wishes) -> Option<String> {
        let reference = wishes.positive(self.sales_rank_reference);
        let named = reference.and_then(|id| categories.iter().find(|category| category.id == id));
        named.or(categories.first()).map(|category| category.name.clone())
    }

    fn product_codes(&self, wishes: &Wishes) -> Vec<String> {
        let mut codes: Vec<String> = Vec::new();
        for list in [self.ean_list, self.upc_list, self.gtin_list] {
            for raw in wishes.elements(list) {
                let code = wishes.text(Some(raw));
                codes.extend(code.filter(|code| !codes.contains(code)));
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

fn register<T>(observed_at: ObservedAt, facts: Option<T>) -> Option<Register<T>> {
    facts.map(|facts| Register::new(observed_at, facts))
}

/// Image names are plain file names; anything else is no address we want to show.
fn is_image_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._+%~-,=@".contains(&byte);
    !name.is_empty() && name.len() <= 200 && name.bytes().all(allowed)
}

/// `stats.current`: `None` where it tells neither of the two prices, not even that there is none.
fn prices_of_stats(current: &Slots<'_>) -> Result<Option<PriceFacts>, Refusal> {
    let asked = current.get(NEW).is_some() || current.get(AMAZON).is_some();
    let facts = PriceFacts {
        new: current.positive(NEW)?,
        amazon: current.positive(AMAZON)?,
        list_price: current.positive(LIST_PRICE)?,
        sales_rank: current.positive(SALES_RANK)?,
        ..PriceFacts::default()
    };
    Ok(asked.then_some(facts))
}

/// How many offers: -1 = none; other negative numbers say nothing.
fn count(number: i64) -> Option<i32> {
    (number >= -1).then(|| i32::try_from(number.max(0)).ok()).flatten()
}

/// The last points of the series; `None` where both price series are null.
fn prices_of_history(csv: &Slots<'_>) -> Result<Option<PriceFacts>, Refusal> {
    let asked = csv.get(NEW).is_some() || csv.get(AMAZON).is_some();
    let last = |index| -> Result<Option<i64>, Refusal> { Ok(last_point::<2>(csv, index)?.map(|[_, value]| value).filter(|&value| value > 0)) };
    // Nothing of a count decides a price: what is broken is left out.
    let last_count = |index| count(last_point::<2>(csv, index).ok().flatten()?[1]);
    let facts = PriceFacts {
        new: last(NEW)?,
        amazon: last(AMAZON)?,
        list_price: last(LIST_PRICE)?,
        sales_rank: last(SALES_RANK)?,
        new_offers: last_count(COUNT_NEW),
        new_offers_fba: last_count(COUNT_NEW_FBA),
        new_offers_fbm: last_count(COUNT_NEW_FBM),
        ..PriceFacts::default()
    };
    Ok(asked.then_some(facts))
}

fn buy_box_of_history(csv: &Slots<'_>) -> Result<Option<BuyBoxFacts>, Refusal> {
    let last = last_point::<3>(csv, BUY_BOX)?;
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
fn last_point<const N: usize>(csv: &Slots<'_>, index: usize) -> Result<Option<[i64; N]>, Refusal> {
    let Some(raw) = csv.get(index) else { return Ok(None) };
    let broken = |what: &str| Refusal::new(RefusalClass::Shape, format!("product.csv[{index}] is {what}"));
    let inner = raw.get().strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let numbers = inner.ok_or_else(|| broken(&format!("{}, an array is expected", json::kind(raw))))?;
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
fn history(csv: &Slots<'_>, index: usize, wishes: &Wishes) -> Option<PriceSeries> {
    let numbers: Option<Vec<i64>> = wishes.elements(csv.get(index)).into_iter().map(json::integer).collect();
    let numbers = numbers.filter(|numbers| !numbers.is_empty())?;
    let series = if index == BUY_BOX {
        PriceSeries::from_triples(&numbers)
    } else {
        PriceSeries::from_pairs(&numbers)
    };
    series.ok()
}

/// How the series that came with the record were spread; none where none came.
fn distributions(csv: &Slots<'_>, last_update: KeepaMinutes, wishes: &Wishes) -> Option<HistoryFacts> {
    let asked = [NEW, AMAZON, BUY_BOX].iter().any(|&index| csv.get(index).is_some());
    let of = |index| history(csv, index, wishes).and_then(|series| series.distribution(last_update));
    asked.then(|| HistoryFacts {
        new: of(NEW),
        amazon: of(AMAZON),
        buy_box: of(BUY_BOX),
    })
}

fn statistics_of_history(csv: &Slots<'_>, last_update: KeepaMinutes, wishes: &Wishes) -> Option<StatisticsFacts> {
    let (new, amazon) = (history(csv, NEW, wishes), history(csv, AMAZON, wishes));
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

impl<'a> Stats<'a> {
    /// See the module for the rule.
    fn buy_box(&self, current: Option<&Slots<'_>>, wishes: &Wishes) -> Result<Option<BuyBoxFacts>, Refusal> {
        let price = json::needed_integer("product.stats.buyBoxPrice", self.buy_box_price)?;
        let shipping = json::needed_integer("product.stats.buyBoxShipping", self.buy_box_shipping)?;
        let landed = match price {
            None | Some(-2) => match current.map(|current| current.positive(BUY_BOX)).transpose()?.flatten() {
                Some(landed) => Some(landed),
                None => return Ok(None),
            },
            Some(price) => landed(price, shipping.unwrap_or(-1)),
        };
        if landed.is_none() {
            return Ok(Some(BuyBoxFacts::default()));
        }
        let updated_at = json::needed_time("product.stats.lastBuyBoxUpdate", self.last_buy_box_update)?;
        let seller_id = wishes.text(self.buy_box_seller_id).filter(|id| !id.starts_with('-'));
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
    fn add_demand(&self, prices: &mut PriceFacts, current: &Slots<'_>, wishes: &Wishes) {
        let count = |field: Field<'_>| count(wishes.integer(field)?);
        let averages = wishes.elements(self.avg30);
        prices.rank_drops_30 = wishes
            .integer(self.sales_rank_drops30)
            .and_then(|drops| i32::try_from(drops).ok())
            .filter(|&drops| drops >= 0);
        prices.new_offers = count(current.get(COUNT_NEW));
        prices.new_offers_avg30 = count(averages.get(COUNT_NEW).copied()).filter(|&mean| mean > 0);
        prices.new_offers_fba = count(current.get(COUNT_NEW_FBA));
        prices.new_offers_fbm = count(current.get(COUNT_NEW_FBM));
    }

    /// Offers were asked for where their number is told, or where a price that only they give is.
    fn offers(&self, current: Option<&Slots<'_>>, offers: Field<'_>, wishes: &Wishes) -> Result<Option<OfferFacts>, Refusal> {
        let count = |field| wishes.integer(field).filter(|&count| count >= 0).and_then(|count| i32::try_from(count).ok());
        let told = |field: Field<'_>| field.and_then(json::integer).is_some_and(|count| count != -2);
        let price = |index| current.map(|current| current.positive(index)).transpose().map(Option::flatten);
        let (lowest_fba, lowest_fbm_landed) = (price(NEW_FBA)?, price(NEW_FBM)?);
        let asked = told(self.retrieved_offer_count)
            || told(self.offer_count_fba)
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

    fn series(&self, wishes: &Wishes) -> KeepaSeries<'a> {
        KeepaSeries {
            averages: [self.avg30, self.avg90, self.avg180, self.avg365].map(|array| wishes.elements(array)),
            out_of_stock: [
                self.out_of_stock_percentage30,
                self.out_of_stock_percentage90,
                self.out_of_stock_percentage180,
                self.out_of_stock_percentage365,
            ]
            .map(|array| wishes.elements(array)),
            extremes: [self.min, self.max].map(|array| wishes.elements(array)),
        }
    }
}

/// Keepa's own statistics, a slot per series in each array.
struct KeepaSeries<'a> {
    averages: [Vec<&'a RawValue>; 4],
    out_of_stock: [Vec<&'a RawValue>; 4],
    extremes: [Vec<&'a RawValue>; 2],
}

impl KeepaSeries<'_> {
    fn of(&self, index: usize, wishes: &Wishes) -> SeriesStatistics {
        let average = |span: usize| wishes.positive(self.averages[span].get(index).copied());
        let percentage = |span: usize| {
            let percent = wishes.integer(self.out_of_stock[span].get(index).copied())?;
            i32::try_from(percent).ok().filter(|percent| (0..=100).contains(percent))
        };
        let extreme = |which: usize| {
            let point = wishes.elements(self.extremes[which].get(index).copied());
            let value = wishes.positive(point.get(1).copied());
            let time = wishes.integer(point.first().copied()).and_then(|time| i32::try_from(time).ok());
            (value, value.and(time).map(KeepaMinutes))
        };
        let ((min, min_at), (max, max_at)) = (extreme(0), extreme(1));
        SeriesStatistics {
            avg30: average(0),
            avg90: average(1),
            avg180: average(2),
            avg365: average(3),
            min,
            min_at,
            max,
            max_at,
            out_of_stock_percentage_30: percentage(0),
            out_of_stock_percentage_90: percentage(1),
            out_of_stock_percentage_180: percentage(2),
            out_of_stock_percentage_365: percentage(3),
            origin: StatisticsOrigin::Keepa,
        }
    }
}
