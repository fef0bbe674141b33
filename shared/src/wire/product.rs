//! The product document: index `products`, topic `enriched.products`.
//!
//! It has two twins: [`ProductDocument`] is read, and owns what it read; [`to_json`] and [`to_catalog_json`] write from what
//! the product holds, without a copy of it. That the one reads what the others write is a property test.
//!
//! What is on the topic names every fact, and every register says when it was observed, as version 1 of the message promises.
//! A catalog's `markets`, which nobody else reads and no query looks into, hold the same by position ([`super::json`])
//! and a register's time only where it is another than the marketplace's `latest`: names and that one time over and over
//! would be two thirds of a document. [`ProductDocument`] reads both.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::json::{self, Form};
use crate::domain::history::HistoryFacts;
use crate::domain::listing::name_key;
use crate::domain::price::{AttributeFacts, BuyBoxFacts, OfferFacts, PriceFacts, SeriesStatistics, StatisticsFacts};
use crate::domain::{Asin, BySource, Listing, MarketState, Marketplace, ObservedAt, Percentage, Product, Register, Source, StoredProduct, UnixMillis};

/// One product, as it is read. Times are Unix milliseconds, amounts minor units of the marketplace's currency.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[allow(missing_docs)]
pub struct ProductDocument {
    pub asin: Asin,
    pub revision: i64,
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub brand: Option<String>,
    #[serde(default)]
    pub category: Option<String>,
    #[serde(default)]
    pub image_url: Option<String>,
    pub first_seen: UnixMillis,
    pub last_updated: UnixMillis,
    #[serde(default)]
    pub last_priced_at: Option<UnixMillis>,
    /// Landed prices as of the write, by marketplace: for filters only.
    #[serde(default)]
    pub prices: BTreeMap<Marketplace, i64>,
    /// Score of the best marketplace, hundredths of percent: for the order only.
    #[serde(default)]
    pub score: Option<Percentage>,
    /// The registers, by marketplace and source.
    pub markets: BTreeMap<Marketplace, BTreeMap<Source, MarketDocument>>,
}

/// One marketplace from one source, as it is read. Its fields stand in the order of [`WrittenMarket`]: catalogs hold them by
/// position.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[allow(missing_docs)]
pub struct MarketDocument {
    pub latest: ObservedAt,
    #[serde(default)]
    pub prices: Option<RegisterDocument<PriceFacts>>,
    #[serde(default)]
    pub buy_box: Option<RegisterDocument<BuyBoxFacts>>,
    #[serde(default)]
    pub statistics: Option<RegisterDocument<StatisticsFacts>>,
    #[serde(default)]
    pub buy_box_statistics: Option<RegisterDocument<Arc<SeriesStatistics>>>,
    #[serde(default)]
    pub history: Option<RegisterDocument<Arc<HistoryFacts>>>,
    #[serde(default)]
    pub offers: Option<RegisterDocument<OfferFacts>>,
    #[serde(default)]
    pub attributes: Option<RegisterDocument<Arc<AttributeFacts>>>,
}

/// A register: when, and what.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[allow(missing_docs)]
pub struct RegisterDocument<T> {
    /// Absent: with the marketplace's newest record.
    #[serde(default)]
    pub observed_at: Option<ObservedAt>,
    pub facts: T,
}

impl From<MarketDocument> for MarketState {
    fn from(document: MarketDocument) -> Self {
        fn register<T>(document: Option<RegisterDocument<T>>, latest: ObservedAt) -> Option<Register<T>> {
            document.map(|register| Register::new(register.observed_at.unwrap_or(latest), register.facts))
        }
        let latest = document.latest;
        MarketState {
            latest,
            prices: register(document.prices, latest),
            buy_box: register(document.buy_box, latest),
            statistics: register(document.statistics, latest),
            buy_box_statistics: register(document.buy_box_statistics, latest),
            history: register(document.history, latest),
            offers: register(document.offers, latest),
            attributes: register(document.attributes, latest),
        }
    }
}

impl From<ProductDocument> for StoredProduct {
    fn from(document: ProductDocument) -> Self {
        let states = |sources: BTreeMap<Source, MarketDocument>| sources.into_iter().map(|(source, state)| (source, Arc::new(state.into())));
        let markets = document.markets.into_iter();
        StoredProduct {
            product: Product {
                asin: document.asin,
                markets: markets.map(|(marketplace, sources)| (marketplace, states(sources).collect())).collect(),
                first_seen: document.first_seen,
                last_updated: document.last_updated,
                last_priced_at: document.last_priced_at,
            },
            revision: document.revision,
            listing: Listing {
                title: document.title,
                brand: document.brand,
                category: document.category,
                image_url: document.image_url,
                prices: document.prices,
                score: document.score,
            },
        }
    }
}

/// The document of a product as the topic carries it, JSON without line breaks; the same product gives the same bytes.
#[must_use]
pub fn to_json(stored: &StoredProduct) -> Vec<u8> {
    let mut json = Vec::with_capacity(NAMED_BYTES * (stored.product.markets.len() + 1));
    append(&Written::of(stored, Some(WrittenMarkets(&stored.product.markets))), &mut json);
    json
}

/// The document of a product as a catalog holds it, with `markets` by position; the same product gives the same bytes.
#[must_use]
pub fn to_catalog_json(stored: &StoredProduct) -> Vec<u8> {
    let mut json = Vec::with_capacity(POSITIONAL_BYTES * (stored.product.markets.len() + 1));
    append_catalog_json(stored, &mut json);
    json
}

/// [`to_catalog_json`], appended to what is there.
pub fn append_catalog_json(stored: &StoredProduct, json: &mut Vec<u8>) {
    append(&Written::of(stored, None), json);
    // Before the brace that closes the document.
    json.pop();
    json.extend_from_slice(b",\"markets\":{");
    for (place, (marketplace, sources)) in stored.product.markets.iter().enumerate() {
        begin_entry(place, marketplace, json);
        json.push(b'{');
        for (place, (source, state)) in sources.iter().enumerate() {
            begin_entry(place, &source, json);
            json::append(&WrittenMarket::of(state, Times::OtherThanLatest), Form::Positional, json).expect(PLAIN);
        }
        json.push(b'}');
    }
    json.extend_from_slice(b"}}");
}

/// What a marketplace takes, and what stands beside them.
const NAMED_BYTES: usize = 2_048;
/// The same by position.
const POSITIONAL_BYTES: usize = 768;
const PLAIN: &str = "a document is plain structs with string keys, and memory takes it";

fn append<T: Serialize>(value: &T, json: &mut Vec<u8>) {
    json::append(value, Form::Named, json).expect(PLAIN);
}

/// The comma where another entry of a map stands before, and the key.
fn begin_entry<K: Serialize>(place: usize, key: &K, json: &mut Vec<u8>) {
    if place > 0 {
        json.push(b',');
    }
    append(key, json);
    json.push(b':');
}

/// Which registers say when they were observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Always,
    OtherThanLatest,
}

/// One product, as it is written: what [`ProductDocument`] reads, and names in the form in which they are compared.
#[derive(Serialize)]
struct Written<'a> {
    asin: Asin,
    revision: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    brand: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<&'a str>,
    first_seen: UnixMillis,
    last_updated: UnixMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_priced_at: Option<UnixMillis>,
    prices: &'a BTreeMap<Marketplace, i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<Percentage>,
    keys: NameKeys,
    /// None: they follow by position.
    #[serde(skip_serializing_if = "Option::is_none")]
    markets: Option<WrittenMarkets<'a>>,
}

/// Names whole and without case ([`name_key`]).
#[derive(Serialize)]
struct NameKeys {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    brand: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<String>,
}

/// With names, and a time in each register.
struct WrittenMarkets<'a>(&'a BTreeMap<Marketplace, BySource<Arc<MarketState>>>);

struct WrittenSources<'a>(&'a BySource<Arc<MarketState>>);

#[derive(Serialize)]
struct WrittenMarket<'a> {
    latest: ObservedAt,
    #[serde(skip_serializing_if = "Option::is_none")]
    prices: Option<WrittenRegister<'a, PriceFacts>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buy_box: Option<WrittenRegister<'a, BuyBoxFacts>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<WrittenRegister<'a, StatisticsFacts>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buy_box_statistics: Option<WrittenRegister<'a, Arc<SeriesStatistics>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<WrittenRegister<'a, Arc<HistoryFacts>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offers: Option<WrittenRegister<'a, OfferFacts>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<WrittenRegister<'a, Arc<AttributeFacts>>>,
}

#[derive(Serialize)]
struct WrittenRegister<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_at: Option<ObservedAt>,
    facts: &'a T,
}

impl Serialize for WrittenMarkets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(marketplace, sources)| (marketplace, WrittenSources(sources))))
    }
}

impl Serialize for WrittenSources<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(source, state)| (source, WrittenMarket::of(state, Times::Always))))
    }
}

impl<'a> WrittenMarket<'a> {
    fn of(state: &'a MarketState, times: Times) -> Self {
        let register_at = |observed_at| (times == Times::Always || observed_at != state.latest).then_some(observed_at);
        fn register<T>(register: &Option<Register<T>>, at: impl Fn(ObservedAt) -> Option<ObservedAt>) -> Option<WrittenRegister<'_, T>> {
            register.as_ref().map(|register| WrittenRegister {
                observed_at: at(register.observed_at),
                facts: &register.facts,
            })
        }
        WrittenMarket {
            latest: state.latest,
            prices: register(&state.prices, register_at),
            buy_box: register(&state.buy_box, register_at),
            statistics: register(&state.statistics, register_at),
            buy_box_statistics: register(&state.buy_box_statistics, register_at),
            history: register(&state.history, register_at),
            offers: register(&state.offers, register_at),
            attributes: register(&state.attributes, register_at),
        }
    }
}

impl<'a> Written<'a> {
    fn of(stored: &'a StoredProduct, markets: Option<WrittenMarkets<'a>>) -> Self {
        let StoredProduct { product, revision, listing } = stored;
        let key = |name: &Option<String>| name.as_deref().map(name_key);
        Written {
            asin: product.asin,
            revision: *revision,
            title: listing.title.as_deref(),
            brand: listing.brand.as_deref(),
            category: listing.category.as_deref(),
            image_url: listing.image_url.as_deref(),
            first_seen: product.first_seen,
            last_updated: product.last_updated,
            last_priced_at: product.last_priced_at,
            prices: &listing.prices,
            score: listing.score,
            keys: NameKeys {
                title: key(&listing.title),
                brand: key(&listing.brand),
                category: key(&listing.category),
            },
            markets,
        }
    }
}

#[cfg(test)]
mod tests {
    use compact_str::CompactString;
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;
    use crate::domain::KeepaMinutes;
    use crate::domain::history::{SellerShare, SeriesHistory};
    use crate::domain::price::{Category, StatisticsOrigin};

    fn observed_at() -> impl Strategy<Value = ObservedAt> {
        (any::<i32>(), any::<i64>()).prop_map(|(minutes, millis)| ObservedAt {
            last_update: KeepaMinutes(minutes),
            fetched_at: UnixMillis(millis),
        })
    }

    fn register<F: std::fmt::Debug + Into<T> + 'static, T: std::fmt::Debug + 'static>(
        facts: impl Strategy<Value = F> + 'static,
    ) -> BoxedStrategy<Option<Register<T>>> {
        prop::option::of((observed_at(), facts).prop_map(|(observed_at, facts)| Register::new(observed_at, facts))).boxed()
    }

    fn prices() -> impl Strategy<Value = PriceFacts> {
        any::<([Option<i64>; 4], [Option<i32>; 5], Option<bool>)>().prop_map(|(amounts, counts, is_map)| {
            let [new, amazon, list_price, sales_rank] = amounts;
            let [rank_drops_30, new_offers, new_offers_avg30, new_offers_fba, new_offers_fbm] = counts;
            PriceFacts {
                new,
                amazon,
                list_price,
                sales_rank,
                rank_drops_30,
                new_offers,
                new_offers_avg30,
                new_offers_fba,
                new_offers_fbm,
                is_map,
            }
        })
    }

    fn buy_box() -> impl Strategy<Value = BuyBoxFacts> {
        let shares = prop::collection::vec(any::<(String, i64)>(), 0..3);
        let told = any::<(Option<i64>, [Option<i32>; 3], Option<String>, [Option<bool>; 3])>();
        (told, shares).prop_map(|((landed, counts, seller_id, flags), shares)| {
            let [updated_at, min_order_quantity, max_order_quantity] = counts;
            let [is_fba, is_amazon, is_map] = flags;
            BuyBoxFacts {
                landed,
                updated_at: updated_at.map(KeepaMinutes),
                seller_id: seller_id.map(CompactString::from),
                is_fba,
                is_amazon,
                is_map,
                min_order_quantity,
                max_order_quantity,
                shares_origin: (!shares.is_empty()).then_some(StatisticsOrigin::History),
                shares: shares
                    .into_iter()
                    .map(|(seller_id, share)| SellerShare {
                        seller_id: seller_id.into(),
                        share: Percentage(share),
                    })
                    .collect(),
            }
        })
    }

    fn series() -> impl Strategy<Value = SeriesStatistics> {
        any::<([Option<i64>; 6], [Option<i32>; 6], bool)>().prop_map(|(amounts, small, from_history)| SeriesStatistics {
            avg30: amounts[0],
            avg90: amounts[1],
            avg180: amounts[2],
            avg365: amounts[3],
            min: amounts[4],
            min_at: small[4].map(KeepaMinutes),
            max: amounts[5],
            max_at: small[5].map(KeepaMinutes),
            out_of_stock_percentage_30: small[0],
            out_of_stock_percentage_90: small[1],
            out_of_stock_percentage_180: small[2],
            out_of_stock_percentage_365: small[3],
            origin: if from_history { StatisticsOrigin::History } else { StatisticsOrigin::Keepa },
        })
    }

    fn series_history() -> impl Strategy<Value = Option<SeriesHistory>> {
        prop::option::of(any::<([i32; 2], [i64; 14], [Option<i64>; 4])>().prop_map(|(times, numbers, optional)| {
            let [from, to] = times.map(KeepaMinutes);
            let [
                average,
                deviation,
                p1,
                p10,
                p25,
                p50,
                p75,
                p90,
                p99,
                variation,
                out_of_stock,
                changes,
                drawdown,
                _,
            ] = numbers;
            let [previous, trend, trend_fit, robust_trend] = optional;
            SeriesHistory {
                from,
                to,
                average,
                deviation,
                variation: Percentage(variation),
                p1,
                p10,
                p25,
                p50,
                p75,
                p90,
                p99,
                previous,
                out_of_stock: Percentage(out_of_stock),
                changes_per_month: Percentage(changes),
                trend: trend.map(Percentage),
                trend_fit: trend_fit.map(Percentage),
                robust_trend: robust_trend.map(Percentage),
                drawdown: Percentage(drawdown),
            }
        }))
    }

    fn history() -> impl Strategy<Value = HistoryFacts> {
        (series_history(), series_history(), series_history()).prop_map(|(new, amazon, buy_box)| HistoryFacts { new, amazon, buy_box })
    }

    fn statistics() -> impl Strategy<Value = StatisticsFacts> {
        (series(), series()).prop_map(|(new, amazon)| StatisticsFacts { new, amazon })
    }

    fn offers() -> impl Strategy<Value = OfferFacts> {
        any::<([Option<i32>; 3], [Option<i64>; 2])>().prop_map(|([total, fba, fbm], [lowest_fba, lowest_fbm_landed])| OfferFacts {
            total,
            fba,
            fbm,
            lowest_fba,
            lowest_fbm_landed,
        })
    }

    fn attributes() -> impl Strategy<Value = AttributeFacts> {
        let categories = prop::collection::vec(any::<(i64, String)>().prop_map(|(id, name)| Category { id, name: name.into() }), 0..3);
        let texts = any::<([Option<String>; 5], Vec<String>, [Option<bool>; 2])>();
        let numbers = any::<(i32, [Option<i32>; 3], Option<[i32; 3]>, [Option<i64>; 3], Option<(i64, u8)>)>();
        (categories, texts, numbers).prop_map(|(categories, texts, numbers)| {
            let (names, product_codes, [is_hazardous, is_heat_sensitive]) = texts;
            let [title, brand, image_url, parent_asin, rank_category] = names.map(|name| name.map(CompactString::from));
            let (product_type, [number_of_items, package_quantity, package_weight_g], package_mm, [monthly_sold, fba_fee, closing_fee], fee) = numbers;
            AttributeFacts {
                product_type,
                title,
                brand,
                image_url,
                categories,
                product_codes: product_codes.into_iter().map(CompactString::from).collect(),
                parent_asin,
                monthly_sold,
                number_of_items,
                package_quantity,
                package_weight_g,
                package_mm,
                fba_fee,
                referral_fee_percentage: fee.map(|(mantissa, scale)| Decimal::new(mantissa, u32::from(scale % 10)).normalize()),
                closing_fee,
                rank_category,
                is_hazardous,
                is_heat_sensitive,
            }
        })
    }

    /// A marketplace, some of whose registers are of its newest record.
    fn market_state() -> impl Strategy<Value = MarketState> {
        let first = (observed_at(), register(prices()), register(buy_box()));
        let second = (
            register(statistics()),
            register(series()),
            register(history()),
            register(offers()),
            register(attributes()),
        );
        (first, second, any::<bool>()).prop_map(
            |((latest, prices, buy_box), (statistics, buy_box_statistics, history, offers, attributes), is_of_latest)| MarketState {
                latest,
                prices: prices.map(|register: Register<PriceFacts>| Register {
                    observed_at: if is_of_latest { latest } else { register.observed_at },
                    ..register
                }),
                buy_box,
                statistics,
                buy_box_statistics,
                history,
                offers,
                attributes,
            },
        )
    }

    fn marketplace() -> impl Strategy<Value = Marketplace> {
        prop::sample::select(Marketplace::ALL.to_vec())
    }

    fn stored_product() -> impl Strategy<Value = StoredProduct> {
        let source = prop::sample::select(vec![Source::Keepa, Source::Feed, Source::Observation]);
        let sources = prop::collection::vec((source, market_state().prop_map(Arc::new)), 0..3).prop_map(BySource::from_iter);
        let markets = prop::collection::btree_map(marketplace(), sources, 0..3);
        let shown_prices = prop::collection::btree_map(marketplace(), any::<i64>(), 0..4);
        let times = any::<(i64, i64, Option<i64>, i64, Option<i64>)>();
        ("[A-Z0-9]{10}", markets, shown_prices, times, any::<[Option<String>; 4]>()).prop_map(|(asin, markets, prices, times, names)| {
            let (first_seen, last_updated, last_priced_at, revision, score) = times;
            let [title, brand, category, image_url] = names;
            StoredProduct {
                product: Product {
                    asin: asin.parse().expect("ten letters or digits"),
                    markets,
                    first_seen: UnixMillis(first_seen),
                    last_updated: UnixMillis(last_updated),
                    last_priced_at: last_priced_at.map(UnixMillis),
                },
                revision,
                listing: Listing {
                    title,
                    brand,
                    category,
                    image_url,
                    prices,
                    score: score.map(Percentage),
                },
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_product_comes_back_from_its_document(stored in stored_product()) {
            for write in [to_json, to_catalog_json] {
                let json = write(&stored);
                let read: StoredProduct = serde_json::from_slice::<ProductDocument>(&json).expect("what was written is read").into();
                prop_assert_eq!(&read, &stored);
                // A second turn writes the same bytes: nothing is lost to rounding or order.
                prop_assert_eq!(write(&read), json);
            }
        }
    }

    #[test]
    fn a_document_of_the_first_version_without_derived_fields_is_read() {
        let json = r#"{"asin":"B0D1XD1ZV3","revision":7,"first_seen":1,"last_updated":2,"markets":{}}"#;
        let stored: StoredProduct = serde_json::from_str::<ProductDocument>(json).expect("read").into();
        assert_eq!((stored.revision, stored.product.last_priced_at, stored.listing), (7, None, Listing::default()));
    }

    #[test]
    fn in_a_catalog_a_register_says_its_time_only_where_it_is_not_of_the_newest_record() {
        let [older, latest] = [1, 2].map(|minutes| ObservedAt {
            last_update: KeepaMinutes(minutes),
            fetched_at: UnixMillis(7),
        });
        let mut state = MarketState::observed(latest);
        state.prices = Some(Register::new(latest, PriceFacts::default()));
        state.offers = Some(Register::new(older, OfferFacts::default()));
        let times = |times| {
            let written = serde_json::to_value(WrittenMarket::of(&state, times)).expect("JSON");
            ["prices", "offers"].map(|register| written[register]["observed_at"]["last_update"].as_i64())
        };
        assert_eq!(times(Times::OtherThanLatest), [None, Some(1)]);
        assert_eq!(times(Times::Always), [Some(2), Some(1)]);
    }

    #[test]
    fn names_are_stored_in_the_form_in_which_they_are_compared() {
        let json = r#"{"asin":"B0D1XD1ZV3","revision":7,"brand":" De'Longhi","first_seen":1,"last_updated":2,"markets":{}}"#;
        let stored: StoredProduct = serde_json::from_str::<ProductDocument>(json).expect("read").into();
        let document: serde_json::Value = serde_json::from_slice(&to_json(&stored)).expect("JSON");
        assert_eq!(document["keys"], serde_json::json!({"brand": "de'longhi"}));
    }
}
