use chrono::NaiveDate;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::domain::history::tests::around_fifty;
use crate::domain::history::{HistoryFacts, SellerShare};
use crate::domain::money::round_half_up;
use crate::domain::price::StatisticsFacts;
use crate::domain::profit::{ArticleFacts, Given, Route, Seller, Sources, resolve};
use crate::domain::{Currency, KeepaMinutes, Money, ObservedAt, Register, Source};

const NOW: UnixMillis = UnixMillis(1_768_132_800_000);
const MINUTE: i64 = 60_000;

/// What is known of one leg; all of it says that nothing is wrong.
#[derive(Debug, Clone)]
struct Known {
    prices: PriceFacts,
    buy_box: BuyBoxFacts,
    amazon_out_of_stock: Option<i32>,
    out_of_stock: Option<i32>,
    history: Option<SeriesHistory>,
    attributes: Option<AttributeFacts>,
    age_millis: i64,
}

fn harmless() -> Known {
    Known {
        prices: PriceFacts {
            new: Some(5_000),
            new_offers: Some(5),
            new_offers_avg30: Some(4),
            is_map: Some(false),
            ..PriceFacts::default()
        },
        buy_box: BuyBoxFacts {
            landed: Some(5_000),
            is_map: Some(false),
            max_order_quantity: Some(30),
            shares: vec![share_of("A1", 60_00), share_of("B2", 40_00)],
            ..BuyBoxFacts::default()
        },
        amazon_out_of_stock: Some(100),
        out_of_stock: Some(5),
        history: Some(SeriesHistory {
            to: KeepaMinutes::from_unix(NOW),
            ..around_fifty()
        }),
        attributes: Some(AttributeFacts {
            product_codes: vec!["4012345678901".into()],
            number_of_items: Some(1),
            package_quantity: Some(1),
            monthly_sold: Some(30),
            is_hazardous: Some(false),
            is_heat_sensitive: Some(false),
            ..AttributeFacts::default()
        }),
        age_millis: 30 * MINUTE,
    }
}

fn share_of(seller_id: &str, share: i64) -> SellerShare {
    SellerShare {
        seller_id: seller_id.into(),
        share: Percentage(share),
    }
}

impl Known {
    fn state(self) -> MarketState {
        let observed_at = ObservedAt {
            last_update: KeepaMinutes::from_unix(NOW.plus_millis(-self.age_millis)),
            fetched_at: NOW.plus_millis(-self.age_millis),
        };
        let series = |out_of_stock| SeriesStatistics {
            out_of_stock_percentage_90: out_of_stock,
            ..SeriesStatistics::default()
        };
        let mut state = MarketState::observed(observed_at);
        state.prices = Some(Register::new(observed_at, self.prices));
        state.buy_box = Some(Register::new(observed_at, self.buy_box));
        let statistics = StatisticsFacts {
            new: series(self.out_of_stock),
            amazon: series(self.amazon_out_of_stock),
        };
        state.statistics = Some(Register::new(observed_at, statistics));
        state.buy_box_statistics = Some(Register::new(observed_at, series(self.out_of_stock)));
        state.history = self.history.map(|history| {
            let facts = HistoryFacts {
                buy_box: Some(history),
                ..HistoryFacts::default()
            };
            Register::new(observed_at, facts)
        });
        state.attributes = self.attributes.map(|facts| Register::new(observed_at, facts));
        state
    }
}

/// Bought in Spain, sold in Italy.
fn product(source: Known, target: Known) -> Product {
    let asin = "B0D1XD1ZV3".parse().expect("an ASIN");
    let mut product = Product::from_record(asin, Marketplace::ES, Source::Keepa, source.state());
    product.merge(&Product::from_record(asin, Marketplace::IT, Source::Keepa, target.state()));
    product
}

fn id() -> OpportunityId {
    "B0D1XD1ZV3:ES:IT".parse().expect("an id")
}

fn assessed(source: Known, target: Known) -> Assessment {
    assess(&product(source, target), &id(), None, NOW, Staleness::default()).expect("both legs show a price")
}

/// A change of what is known of the source, and of the target.
type Change = fn(&mut Known, &mut Known);

/// A reason, and the leg it was found on.
type Found = (TrapReason, Option<Marketplace>);

fn attributes(known: &mut Known) -> &mut AttributeFacts {
    known.attributes.as_mut().expect("known")
}

#[test]
fn nothing_speaks_against_what_is_known_to_be_harmless() {
    let found = assessed(harmless(), harmless());
    assert_eq!((found.traps, found.unchecked, found.confidence), (vec![], vec![], Percentage(10_000)));
}

#[test]
fn every_reason_is_found_where_it_is_and_nowhere_else() {
    use TrapReason::*;
    let (source, target, both) = (Some(Marketplace::ES), Some(Marketplace::IT), None);
    // (change, reason and leg where it is a trap)
    let cases: Vec<(Change, Option<Found>)> = vec![
        (
            |source, _| attributes(source).product_codes = vec!["5012345678900".into()],
            Some((EanMismatch, both)),
        ),
        // A UPC is an EAN without its leading zero, a GTIN one with more of them; one code in common is enough.
        (
            |source, target| {
                attributes(source).product_codes = vec!["188781000089".into(), "5".into()];
                attributes(target).product_codes = vec!["00188781000089".into()];
            },
            None,
        ),
        (|source, _| attributes(source).number_of_items = Some(2), Some((PackSizeMismatch, both))),
        (|_, target| attributes(target).package_quantity = Some(6), Some((PackSizeMismatch, both))),
        (|source, _| attributes(source).product_type = 5, Some((VariationParent, both))),
        (|source, _| source.buy_box.landed = Some(4_499), Some((PriceOutlier, source))),
        (|source, _| source.buy_box.landed = Some(4_500), None),
        (|_, target| target.buy_box.landed = Some(5_501), Some((PriceOutlier, target))),
        (
            |_, target| {
                target.prices.amazon = Some(5_000);
                target.amazon_out_of_stock = Some(10);
            },
            Some((AmazonBack, target)),
        ),
        // Amazon was always there: a competitor, no surprise.
        (
            |_, target| {
                target.prices.amazon = Some(5_000);
                target.amazon_out_of_stock = Some(9);
            },
            None,
        ),
        (|source, _| source.prices.amazon = Some(5_000), None),
        (|_, target| target.buy_box.shares = vec![share_of("A1", 90_00)], Some((BoxHeldByOne, target))),
        (|_, target| target.buy_box.shares = vec![share_of("A1", 89_99)], None),
        (|source, _| source.out_of_stock = Some(31), Some((OftenOutOfStock, source))),
        (|_, target| target.out_of_stock = Some(30), None),
        (|source, _| source.buy_box.min_order_quantity = Some(2), Some((OrderQuantity, source))),
        (|source, _| source.buy_box.max_order_quantity = Some(5), Some((OrderQuantity, source))),
        (|source, _| source.buy_box.max_order_quantity = Some(6), None),
        (|_, target| target.buy_box.max_order_quantity = Some(1), None),
        (|source, _| attributes(source).is_hazardous = Some(true), Some((Hazardous, both))),
        (|_, target| attributes(target).is_heat_sensitive = Some(true), Some((HeatSensitive, both))),
        (|source, _| source.prices.is_map = Some(true), Some((MapPrice, source))),
        (|_, target| target.buy_box.is_map = Some(true), Some((MapPrice, target))),
        (|source, _| source.age_millis = 6 * 3_600_000, None),
        (|source, _| source.age_millis = 6 * 3_600_000 + MINUTE, Some((StaleLeg, source))),
        (|_, target| target.prices.new_offers = Some(8), Some((OfferFlood, target))),
        (|_, target| target.prices.new_offers = Some(7), None),
        // From one offer to two is no flood.
        (
            |_, target| {
                target.prices.new_offers = Some(2);
                target.prices.new_offers_avg30 = Some(1);
            },
            None,
        ),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let (mut of_source, mut of_target) = (harmless(), harmless());
        change(&mut of_source, &mut of_target);
        let found = assessed(of_source, of_target);
        let traps: Vec<_> = found.traps.iter().map(|trap| (trap.reason, trap.market)).collect();
        assert_eq!(traps, expected.into_iter().collect::<Vec<_>>(), "case {number}");
        assert_eq!(found.unchecked, [], "case {number}");
        let kept = expected.map_or(100, |(reason, _)| 100 - i64::from(reason.weight()));
        assert_eq!(found.confidence, Percentage(kept * 100), "case {number}");
    }
}

#[test]
fn a_variation_parent_in_a_third_marketplace_is_a_trap() {
    let mut product = product(harmless(), harmless());
    let mut parent = harmless();
    parent.prices = PriceFacts::default();
    parent.buy_box = BuyBoxFacts::default();
    attributes(&mut parent).product_type = 5;
    product.merge(&Product::from_record(product.asin, Marketplace::DE, Source::Keepa, parent.state()));
    let found = assess(&product, &id(), None, NOW, Staleness::default()).expect("both legs show a price");
    let reason = TrapReason::VariationParent;
    assert_eq!(found.traps, [Trap { reason, market: None }]);
}

#[test]
fn a_check_that_lacks_its_data_is_told_and_never_taken_for_passed() {
    use TrapReason::*;
    let cases: Vec<(Change, Vec<TrapReason>)> = vec![
        (|source, _| attributes(source).product_codes.clear(), vec![EanMismatch]),
        (
            |source, target| {
                attributes(source).number_of_items = None;
                attributes(target).package_quantity = None;
            },
            vec![PackSizeMismatch],
        ),
        // One marketplace knows of the hazard: that is enough.
        (|source, _| attributes(source).is_hazardous = None, vec![]),
        (
            |source, target| {
                attributes(source).is_hazardous = None;
                attributes(target).is_hazardous = None;
            },
            vec![Hazardous],
        ),
        (|source, _| source.history = None, vec![PriceOutlier]),
        (
            |_, target| target.history.as_mut().expect("known").to = KeepaMinutes::from_unix(NOW.plus_millis(-46 * 24 * 3_600_000)),
            vec![PriceOutlier],
        ),
        (|_, target| target.prices.new_offers_avg30 = None, vec![OfferFlood]),
        (|_, target| target.buy_box.shares.clear(), vec![BoxHeldByOne]),
        (|source, _| source.out_of_stock = None, vec![OftenOutOfStock]),
        (
            |_, target| {
                target.prices.amazon = Some(5_000);
                target.amazon_out_of_stock = None;
            },
            vec![AmazonBack],
        ),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let (mut of_source, mut of_target) = (harmless(), harmless());
        change(&mut of_source, &mut of_target);
        let found = assessed(of_source, of_target);
        assert_eq!((found.traps, &found.unchecked), (vec![], &expected), "case {number}");
        assert_eq!(found.confidence < Percentage(10_000), !expected.is_empty(), "case {number}");
    }
}

#[test]
fn confidence_is_what_every_reason_leaves_of_it() {
    let (mut source, mut target) = (harmless(), harmless());
    // 0.50 of the outliers, though on both legs; 0.90 of what melts; 0.97 of the flood that cannot be checked.
    source.buy_box.landed = Some(4_000);
    target.buy_box.landed = Some(9_000);
    attributes(&mut source).is_heat_sensitive = Some(true);
    target.prices.new_offers = None;
    let found = assessed(source, target);
    assert_eq!(found.traps.len(), 3);
    assert_eq!(found.confidence, Percentage(43_65));
}

#[test]
fn a_market_is_as_good_as_its_factors() {
    let score = |known: Known| {
        let product = product(harmless(), known);
        MarketScore::of(&Leg::of(&product, Marketplace::IT, NOW, Staleness::default()).expect("a price"))
    };
    let known = score(harmless());
    let expected = MarketScore {
        // 30 sold: half of all demand; 5 offers: half of the room; CV 6 %.
        demand: Some(Percentage(50_00)),
        openness: Some(Percentage(40_00)),
        room: Some(Percentage(50_00)),
        stability: Some(Percentage(80_00)),
        availability: Some(Percentage(95_00)),
        // 0.35 * 50 + 0.20 * 40 + 0.15 * (50 + 80 + 95)
        value: Percentage(59_25),
    };
    assert_eq!(known, expected);
    let mut unknown = harmless();
    unknown.attributes = None;
    unknown.history = None;
    unknown.out_of_stock = None;
    unknown.buy_box.shares.clear();
    unknown.prices.new_offers = None;
    let factors = score(unknown);
    assert_eq!((factors.value, factors.demand, factors.availability), (Percentage(50_00), None, None));
}

fn net(source: i64, target: i64) -> Net {
    let route = Route {
        source: Marketplace::ES,
        target: Marketplace::IT,
        source_price: Money::new(source, Currency::EUR),
        target_price: Money::new(target, Currency::EUR),
    };
    let seller = Seller::default();
    let sources = Sources {
        profile: &seller.profile,
        tables: &seller.tables,
        rates: None,
        at: NaiveDate::from_ymd_opt(2026, 3, 1).expect("a day"),
    };
    let costs = resolve(&route, &Given::default(), &ArticleFacts::default(), &sources).expect("a route");
    Net::of(&route, costs).expect("small amounts")
}

#[test]
fn an_opportunity_is_as_good_as_market_safety_cheapness_and_confidence_together() {
    let product = product(harmless(), harmless());
    let scored = |net: &Net| {
        assess(&product, &id(), Some(net), NOW, Staleness::default())
            .expect("prices")
            .score
            .expect("a profit")
    };
    let safe = scored(&net(2_000, 9_000));
    let expected = OpportunityScore {
        market: Percentage(59_25),
        safety: Percentage(10_000),
        // In the middle of its range.
        cheapness: Percentage(75_00),
        // 0.5925 * 1 * 0.75 * 1
        value: Percentage(44_44),
    };
    assert_eq!(safe, expected);
    let losing = scored(&net(8_000, 9_000));
    assert_eq!((losing.safety, losing.value), (Percentage(0), Percentage(0)));
    assert_eq!(assess(&product, &id(), None, NOW, Staleness::default()).expect("prices").score, None);
}

#[test]
fn a_route_without_a_price_is_not_assessed() {
    let mut nothing = harmless();
    nothing.buy_box.landed = None;
    nothing.prices.new = None;
    assert_eq!(assess(&product(harmless(), nothing), &id(), None, NOW, Staleness::default()), None);
}

#[test]
fn names_lead_back_to_their_reasons() {
    for reason in TrapReason::ALL {
        assert_eq!(reason.name().parse(), Ok(reason));
        assert_eq!(serde_json::to_value(reason).expect("plain"), reason.name());
        assert!((1..100).contains(&reason.weight()));
    }
    assert!("".parse::<TrapReason>().is_err() && "gap".parse::<TrapReason>().is_err());
}

fn any_known() -> impl Strategy<Value = Known> {
    let prices = (prop::option::of(1..10_000_i64), [prop::option::of(0..50_i32), prop::option::of(0..50_i32)]);
    let shares = prop::collection::vec(0..10_001_i64, 0..3);
    let times = (prop::option::of(0..101_i32), prop::option::of(0..101_i32), 0..86_400_000_i64, any::<bool>());
    (prices, shares, times, 1..1_000_000_i64, prop::option::of(any::<(Option<i64>, bool)>())).prop_map(
        |((amazon, [offers, mean]), shares, (out_of_stock, amazon_out_of_stock, age_millis, has_history), price, attributes)| {
            let mut known = harmless();
            known.prices.amazon = amazon;
            known.prices.new_offers = offers;
            known.prices.new_offers_avg30 = mean;
            known.buy_box.landed = Some(price);
            known.buy_box.shares = shares.into_iter().map(|share| share_of("A1", share)).collect();
            known.out_of_stock = out_of_stock;
            known.amazon_out_of_stock = amazon_out_of_stock;
            known.age_millis = age_millis;
            known.history = known.history.filter(|_| has_history);
            known.attributes = attributes.map(|(monthly_sold, is_hazardous)| AttributeFacts {
                monthly_sold,
                is_hazardous: Some(is_hazardous),
                ..AttributeFacts::default()
            });
            known
        },
    )
}

proptest! {
    /// Every reason is found, unchecked or neither.
    #[test]
    fn confidence_is_the_product_that_it_says(states in prop::collection::vec(0..3_u8, TrapReason::ALL.len())) {
        let of = |state: u8| TrapReason::ALL.into_iter().zip(&states).filter(move |(_, found)| **found == state).map(|(reason, _)| reason);
        let traps: Vec<Trap> = of(1).map(|reason| Trap { reason, market: None }).collect();
        let unchecked: Vec<TrapReason> = of(2).collect();
        let kept = |reason: TrapReason, digits: u32| Decimal::ONE - Decimal::new(reason.weight().into(), digits);
        let product: Decimal = of(1).map(|reason| kept(reason, 2)).chain(of(2).map(|reason| kept(reason, 3))).product();
        let expected = round_half_up(product * Decimal::ONE_HUNDRED, 2);
        prop_assert_eq!(traps::confidence(&traps, &unchecked).to_decimal(), expected);
    }

    #[test]
    fn everything_lies_between_0_and_100_and_nothing_is_both_found_and_unchecked(
        source in any_known(),
        target in any_known(),
        prices in (1..1_000_000_i64, 1..1_000_000_i64),
    ) {
        let product = product(source, target);
        let net = net(prices.0, prices.1);
        let Some(found) = assess(&product, &id(), Some(&net), NOW, Staleness::default()) else { return Ok(()) };
        let score = found.score.expect("there is a profit, or a loss");
        for value in [found.confidence, score.value, score.market, score.safety, score.cheapness] {
            prop_assert!((0..=10_000).contains(&value.0), "{found:?}");
        }
        prop_assert!(found.traps.iter().all(|trap| !found.unchecked.contains(&trap.reason)));
        prop_assert!(found.traps.is_sorted_by_key(|trap| trap.reason) && found.unchecked.is_sorted());
        prop_assert!(net.profit.minor > 0 || score.value == Percentage(0));
    }
}
