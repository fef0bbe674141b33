//! What holds for the world as a whole, looked at through the JSON that clients see.

use serde_json::Value;
use shared::domain::{Asin, KeepaMinutes, Marketplace, UnixMillis};

use super::price_type::{PRICE_TYPES, is_price, is_triple};
use super::{ProductOptions, REFERENCE_ASIN, StatsInterval, World};

/// 2026-11-18, a moment within a Keepa minute.
const NOW: UnixMillis = UnixMillis(1_795_003_217_456);

fn everything() -> ProductOptions {
    ProductOptions {
        stats: Some(StatsInterval::Days(90)),
        buy_box: true,
        rating: true,
        ..ProductOptions::default()
    }
}

fn as_the_producer_asks() -> ProductOptions {
    ProductOptions {
        history: false,
        stats: Some(StatsInterval::Days(90)),
        buy_box: true,
        ..ProductOptions::default()
    }
}

fn parsed(world: &World, asin: Asin, marketplace: Marketplace, at: UnixMillis, options: &ProductOptions) -> Option<Value> {
    world
        .product_json(asin, marketplace, at, options)
        .map(|text| serde_json::from_str(&text).expect("JSON"))
}

fn products(world: &World, at: UnixMillis, options: &ProductOptions) -> Vec<(Asin, Marketplace, Value)> {
    let pairs = world
        .asins()
        .iter()
        .flat_map(|asin| world.marketplaces().iter().map(|marketplace| (*asin, *marketplace)));
    pairs
        .filter_map(|(asin, marketplace)| parsed(world, asin, marketplace, at, options).map(|product| (asin, marketplace, product)))
        .collect()
}

fn numbers(value: &Value) -> Vec<i64> {
    value
        .as_array()
        .map(|values| values.iter().map(|value| value.as_i64().expect("a whole number")).collect())
        .unwrap_or_default()
}

fn number(value: &Value) -> i64 {
    value.as_i64().expect("a whole number")
}

/// `(minute, landed value)` of a csv entry.
fn landed_points(csv: &Value, price_type: usize) -> Vec<(i64, i64)> {
    let step = if is_triple(price_type) { 3 } else { 2 };
    let landed = |point: &[i64]| {
        if point[1] < 0 {
            -1
        } else {
            point[1] + point.get(2).copied().unwrap_or(0).max(0)
        }
    };
    numbers(&csv[price_type]).chunks(step).map(|point| (point[0], landed(point))).collect()
}

/// Minute by minute, unlike the code under test: mean over the stocked minutes, and how many those are.
fn mean_and_stocked_minutes(points: &[(i64, i64)], from: i64, to: i64) -> (Option<i64>, i64) {
    let (mut sum, mut stocked) = (0, 0);
    for (index, (minute, value)) in points.iter().enumerate() {
        let end = points.get(index + 1).map_or(to, |next| next.0);
        let minutes = (end.min(to) - (*minute).max(from)).max(0);
        if *value >= 0 {
            sum += value * minutes;
            stocked += minutes;
        }
    }
    ((stocked > 0).then(|| sum / stocked.max(1)), stocked)
}

#[test]
fn statistics_recomputed_from_the_csv_agree() {
    let world = World::new(1, 80);
    let now = i64::from(KeepaMinutes::from_unix(NOW).0);
    for (asin, marketplace, product) in products(&world, NOW, &everything()) {
        let (csv, stats) = (&product["csv"], &product["stats"]);
        assert_eq!(csv.as_array().map(Vec::len), Some(PRICE_TYPES));
        for price_type in 0..PRICE_TYPES {
            let at = format!("{asin} {marketplace} type {price_type}");
            let points = landed_points(csv, price_type);
            assert_eq!(number(&stats["current"][price_type]), points.last().map_or(-1, |point| point.1), "{at}");
            for (days, average, missing) in [
                (30, "avg30", "outOfStockPercentage30"),
                (90, "avg90", "outOfStockPercentage90"),
                (90, "avg", "outOfStockPercentageInInterval"),
                (180, "avg180", "outOfStockPercentage180"),
                (365, "avg365", "outOfStockPercentage365"),
            ] {
                let (mean, stocked) = mean_and_stocked_minutes(&points, now - days * 1440, now);
                assert!((number(&stats[average][price_type]) - mean.unwrap_or(-1)).abs() <= 1, "{at} {average}");
                let percent = if points.is_empty() || !is_price(price_type) {
                    -1
                } else {
                    (100 * (days * 1440 - stocked) + days * 1440 - 1) / (days * 1440)
                };
                assert_eq!(number(&stats[missing][price_type]), percent, "{at} {missing}");
            }
            let start = points.iter().rev().find(|point| point.0 <= now - 90 * 1440).map_or(-1, |point| point.1);
            assert_eq!(number(&stats["atIntervalStart"][price_type]), start, "{at}");
            let priced = || points.iter().filter(|point| point.1 >= 0);
            // The first of equals.
            let least = priced()
                .rev()
                .min_by_key(|point| point.1)
                .map(|least| priced().find(|point| point.1 == least.1).expect("it is there"));
            let greatest = priced()
                .max_by_key(|point| point.1)
                .map(|greatest| priced().find(|point| point.1 == greatest.1).expect("it is there"));
            for (name, expected) in [("min", least), ("max", greatest)] {
                assert_eq!(
                    numbers(&stats[name][price_type]),
                    expected.map(|point| vec![point.0, point.1]).unwrap_or_default(),
                    "{at} {name}"
                );
            }
        }
    }
}

#[test]
fn the_landed_price_is_what_a_decoder_finds() {
    let world = World::new(1, 300);
    let mut kinds = [0; 3];
    for (asin, marketplace, product) in products(&world, NOW, &as_the_producer_asks()) {
        let stats = &product["stats"];
        let (price, shipping) = (number(&stats["buyBoxPrice"]), number(&stats["buyBoxShipping"]));
        let current = |price_type: usize| number(&stats["current"][price_type]);
        let decoded = if price > 0 && shipping >= 0 {
            kinds[0] += 1;
            Some(price + shipping)
        } else {
            assert_ne!(price, -2, "the buy box was asked for");
            let other = [1, 0].map(current).into_iter().find(|price| *price > 0);
            kinds[if other.is_some() { 1 } else { 2 }] += 1;
            other
        };
        assert_eq!(world.landed_price(asin, marketplace, NOW), decoded, "{asin} {marketplace}");
        assert_eq!(current(18), if price > 0 { price + shipping.max(0) } else { -1 });
    }
    assert!(kinds.iter().all(|count| *count > 20), "{kinds:?}");
}

#[test]
fn without_buybox_nothing_is_said_about_the_buy_box() {
    let world = World::new(1, 20);
    for (_, _, product) in products(
        &world,
        NOW,
        &ProductOptions {
            stats: Some(StatsInterval::Days(90)),
            ..ProductOptions::default()
        },
    ) {
        assert_eq!(
            (number(&product["stats"]["buyBoxPrice"]), number(&product["stats"]["buyBoxShipping"])),
            (-2, -2)
        );
        assert!(product["stats"]["lastBuyBoxUpdate"].is_null() && product["csv"][18].is_null() && product["buyBoxSellerIdHistory"].is_null());
        assert_eq!(number(&product["stats"]["current"][18]), -1);
    }
}

#[test]
fn the_reference_article_stands_still_and_has_one_opportunity() {
    let world = World::new(1, 300);
    let asin: Asin = REFERENCE_ASIN.parse().expect("an ASIN");
    for hour in 0..48 {
        let at = NOW.plus_millis(hour * 3_600_000);
        let price = |marketplace| world.landed_price(asin, marketplace, at);
        assert_eq!(
            [Marketplace::DE, Marketplace::IT, Marketplace::ES, Marketplace::FR, Marketplace::UK].map(price),
            [Some(4_999), Some(5_499), Some(4_799), None, None]
        );
    }
    // Rounded to two decimals, as they are compared: DE to IT is 10.00, not above 10.
    let above_ten: Vec<(String, f64)> = margins(&world, NOW)
        .into_iter()
        .filter(|(route, margin)| route.starts_with(REFERENCE_ASIN) && (margin * 100.0).round() > 1000.0)
        .collect();
    assert_eq!(above_ten.len(), 1, "{above_ten:?}");
    assert_eq!((above_ten[0].0.as_str(), (above_ten[0].1 * 100.0).round()), ("B0D1XD1ZV3:ES:IT", 1459.0));
    let product = parsed(&world, asin, Marketplace::ES, NOW, &everything()).expect("it is sold there");
    assert_eq!(numbers(&product["csv"][18]).len(), 3);
    assert_eq!(
        (number(&product["stats"]["buyBoxPrice"]), number(&product["stats"]["buyBoxShipping"])),
        (4_799, 0)
    );
    assert_eq!(number(&product["stats"]["avg90"][18]), 4_799);
}

#[test]
fn another_world_with_the_same_seed_says_the_same_and_with_another_seed_not() {
    let (first, second, other) = (World::new(7, 30), World::new(7, 30), World::new(8, 30));
    let later = NOW.plus_millis(5_000_000);
    for (asin, marketplace, product) in products(&first, later, &everything()) {
        // The first world was asked earlier, too, and keeps what it computed then.
        let _ = first.product_json(asin, marketplace, NOW, &everything());
        assert_eq!(parsed(&second, asin, marketplace, later, &everything()), Some(product.clone()));
    }
    assert_ne!(first.asins()[1..], other.asins()[1..]);
}

#[test]
fn no_time_lies_in_the_future_and_every_product_is_fresh() {
    let world = World::new(1, 60);
    // Also at a time when Keepa's first look was just 400 days ago.
    for at in [NOW, UnixMillis(1_768_132_800_000)] {
        let now = i64::from(KeepaMinutes::from_unix(at).0);
        for (asin, _, product) in products(&world, at, &everything()) {
            let updated = number(&product["lastUpdate"]);
            assert!((now - 4..=now).contains(&updated), "{asin} {now} {updated}");
            assert!(number(&product["lastPriceChange"]) <= updated);
            for price_type in 0..PRICE_TYPES {
                assert!(landed_points(&product["csv"], price_type).iter().all(|point| point.0 <= updated));
            }
            assert!(number(&product["trackingSince"]) < now - 400 * 1440);
        }
    }
}

#[test]
fn days_cuts_the_history_but_keeps_the_point_in_force() {
    let world = World::new(1, 30);
    let cut = i64::from(KeepaMinutes::from_unix(NOW).0) - 3 * 1440;
    for (asin, marketplace, product) in products(&world, NOW, &ProductOptions { days: Some(3), ..everything() }) {
        let whole = parsed(&world, asin, marketplace, NOW, &everything()).expect("the same product");
        assert_eq!(product["stats"], whole["stats"]);
        for price_type in 0..PRICE_TYPES {
            let points = landed_points(&product["csv"], price_type);
            assert!(points.iter().skip(1).all(|point| point.0 > cut));
            assert!(landed_points(&whole["csv"], price_type).ends_with(&points));
        }
    }
}

#[test]
fn without_history_the_arrays_are_gone_and_the_statistics_stay() {
    let world = World::new(1, 10);
    for (asin, marketplace, product) in products(&world, NOW, &as_the_producer_asks()) {
        let whole = parsed(
            &world,
            asin,
            marketplace,
            NOW,
            &ProductOptions {
                history: true,
                ..as_the_producer_asks()
            },
        )
        .expect("the same product");
        assert!(product["csv"].is_null() && product["salesRanks"].is_null() && product["monthlySoldHistory"].is_null());
        assert_eq!(product["stats"], whole["stats"]);
    }
}

/// Euro cents.
fn in_euro(price: i64, marketplace: Marketplace) -> f64 {
    if marketplace == Marketplace::UK { price as f64 / 0.85 } else { price as f64 }
}

fn margins(world: &World, at: UnixMillis) -> Vec<(String, f64)> {
    let mut margins = Vec::new();
    for asin in world.asins() {
        let prices: Vec<(Marketplace, f64)> = world
            .marketplaces()
            .iter()
            .filter_map(|marketplace| Some((*marketplace, in_euro(world.landed_price(*asin, *marketplace, at)?, *marketplace))))
            .collect();
        for (source, bought) in &prices {
            for (target, sold) in prices.iter().filter(|(target, _)| target != source) {
                margins.push((format!("{asin}:{source}:{target}"), 100.0 * (sold - bought) / bought));
            }
        }
    }
    margins
}

#[test]
fn most_prices_lie_close_together_and_some_dozens_do_not() {
    let world = World::new(1, 300);
    let margins_now = margins(&world, NOW);
    let close = margins_now.iter().filter(|(_, margin)| margin.abs() <= 8.0).count();
    assert!(close * 10 > margins_now.len() * 9, "{close} of {}", margins_now.len());
    assert!(margins_now.iter().all(|(_, margin)| *margin < 120.0));
    for hour in 0..24 {
        let open = margins(&world, NOW.plus_millis(hour * 3_600_000))
            .iter()
            .filter(|(_, margin)| *margin > 10.0)
            .count();
        assert!((40..=260).contains(&open), "{open}");
    }
}

#[test]
fn gaps_open_and_close_within_the_hour_and_something_changes_every_few_seconds() {
    let world = World::new(1, 300);
    let open = |at| {
        margins(&world, at)
            .into_iter()
            .filter(|(_, margin)| *margin > 10.0)
            .map(|(route, _)| route)
            .collect::<std::collections::BTreeSet<_>>()
    };
    let (before, after) = (open(NOW), open(NOW.plus_millis(3_600_000)));
    assert!(before.difference(&after).count() > 10 && after.difference(&before).count() > 10);
    // Over two minutes, second by second.
    let prices = |at| margins(&world, at).into_iter().map(|(_, margin)| margin.to_bits()).collect::<Vec<_>>();
    let changed = (0..40)
        .filter(|step| prices(NOW.plus_millis(step * 3_000)) != prices(NOW.plus_millis((step + 1) * 3_000)))
        .count();
    assert!(changed >= 36, "{changed} of 40");
}
