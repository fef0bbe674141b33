//! Made-up articles with odd data, and what a correct product must say of them.
//!
//! Nothing here uses the product's code: each article is built from the answer (its landed price and kind) by one of many
//! encodings Keepa is known for, and the expected opportunities are computed with integers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// Keepa's ids of the five marketplaces.
pub const MARKETS: [(&str, i64); 5] = [("DE", 3), ("FR", 4), ("IT", 8), ("ES", 9), ("UK", 2)];

/// GBP per EUR in units of 1/100000, as in [`rates_xml`].
const GBP_PER_EUR_E5: i128 = 86_120;

/// The exchange rates the tests run with, dated today.
pub fn rates_xml(today: &str) -> String {
    format!(
        "<?xml version='1.0' encoding='UTF-8'?><gesmes:Envelope xmlns:gesmes='http://www.gesmes.org/xml/2002-08-01' \
         xmlns='http://www.ecb.int/vocabulary/2002-08-01/eurofxref'><Cube><Cube time='{today}'><Cube currency='USD' rate='1.1400'/>\
         <Cube currency='GBP' rate='0.86120'/></Cube></Cube></gesmes:Envelope>"
    )
}

/// What must be shown of one article in one marketplace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Minor units.
    pub minor: i64,
    /// `buy_box`, `new` or `amazon`.
    pub kind: &'static str,
    /// Whether it is fresh enough to be a leg.
    pub fresh: bool,
}

/// One product object and what it means.
#[derive(Debug, Clone)]
pub struct Case {
    /// What Keepa answers; `None` = leaves it out.
    pub product: Option<Value>,
    /// What must be shown; `None` = no price.
    pub expected: Option<Expected>,
}

/// A small deterministic generator (splitmix64), so that a failure can be repeated.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number below `bound`.
    pub fn roll(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// The ASIN of the n-th made-up article; every seventh looks like a number.
pub fn asin(index: usize) -> String {
    if index.is_multiple_of(7) {
        format!("{:010}", 441_013_000 + index)
    } else {
        format!("B0TEST{index:04}")
    }
}

/// The minute since 2011-01-01 that Keepa counts in.
pub fn keepa_minutes(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(60_000) - 21_564_000
}

fn array(length: usize, values: &[(usize, i64)]) -> Value {
    let mut array = vec![-1_i64; length];
    for &(index, value) in values {
        array[index] = value;
    }
    json!(array)
}

/// The article in a marketplace at some revision of the world, as of `now`.
pub fn case(index: usize, domain: i64, world: u64, now_ms: i64) -> Case {
    let mut dice = Dice((index as u64) << 32 | (domain as u64) << 16 | world);
    let base = 1_000 + (Dice(index as u64).roll(9_000)) as i64;
    // Prices of an article lie within some 35 % of each other, so that gaps of every size occur.
    let price = base * (90 + dice.roll(35) as i64) / 100 + dice.roll(100) as i64;
    let price = if domain == 2 { price * 86 / 100 } else { price };
    let now = keepa_minutes(now_ms);
    let length = if dice.roll(2) == 0 { 34 } else { 36 };
    let shape = Dice((index as u64) << 8 | domain as u64).roll(20);
    let asin = asin(index);
    let mut product = json!({
        "asin": asin, "domainId": domain, "productType": 0, "lastUpdate": now - 1, "listedSince": -912_280, "csv": null,
        "title": format!("Artikel &amp; Söhne {index} <b>„{domain}“</b>"), "brand": if index.is_multiple_of(3) { Value::Null } else { json!("Müller &amp; Co") },
        "rootCategory": i64::MAX, "categories": null, "eanList": null, "referralFeePercentage": 15.01, "unknownField": {"deep": [1, null, {"x": 1e300}]},
        "buyBoxSellerIdHistory": [format!("{}", now - 100), "-1"], "publicationDate": 0, "fbaFees": null,
    });
    let expected = |minor, kind| Some(Expected { minor, kind, fresh: true });
    let other = price + 777;
    let min_max = json!([null, [-1, -1], [now - 5, 3]]);
    let stats_of = |current: Value, extra: Value| {
        let mut stats =
            json!({"current": current, "avg90": array(length, &[(1, price), (18, price)]), "min": min_max, "lastBuyBoxUpdate": null, "buyBoxSellerId": "-2"});
        for (key, value) in extra.as_object().expect("an object") {
            stats[key] = value.clone();
        }
        stats
    };
    let expected = match shape {
        0..=2 => {
            product["stats"] = stats_of(
                array(length, &[(0, other), (1, other), (18, price)]),
                json!({"buyBoxPrice": price, "buyBoxShipping": 0, "lastBuyBoxUpdate": now - 2}),
            );
            expected(price, "buy_box")
        }
        3 => {
            product["stats"] = stats_of(
                array(length, &[(1, other), (18, price)]),
                json!({"buyBoxPrice": price - 399, "buyBoxShipping": 399}),
            );
            expected(price, "buy_box")
        }
        // Not asked for by name, but the series has it, landed already.
        4 => {
            product["stats"] = stats_of(array(length, &[(1, other), (18, price)]), json!({"buyBoxPrice": -2, "buyBoxShipping": -2}));
            expected(price, "buy_box")
        }
        5 => {
            product["stats"] = stats_of(array(length, &[(1, price), (0, other)]), json!({}));
            expected(price, "new")
        }
        6 => {
            product["stats"] = stats_of(array(length, &[(1, price), (0, other)]), json!({"buyBoxPrice": -1, "buyBoxShipping": -1}));
            expected(price, "new")
        }
        // Shipping unknown: no buy box, although the series pretends one.
        7 => {
            product["stats"] = stats_of(array(length, &[(1, price), (18, other)]), json!({"buyBoxPrice": other, "buyBoxShipping": -1}));
            expected(price, "new")
        }
        8 => {
            product["stats"] = stats_of(array(length, &[(0, price), (1, 0)]), json!({"buyBoxPrice": -1}));
            expected(price, "amazon")
        }
        9 => {
            let mut csv = vec![Value::Null; length];
            csv[18] = json!([now - 900, other, 0, now - 500, -1, -1, now - 100, price - 299, 299]);
            csv[1] = json!([now - 900, other]);
            product["csv"] = json!(csv);
            expected(price, "buy_box")
        }
        10 => {
            let mut csv = vec![Value::Null; length];
            csv[18] = json!([now - 900, other, 0, now - 500, -1, -1]);
            csv[1] = json!([now - 900, other, now - 30, price]);
            csv[3] = json!([now - 900, 12]);
            product["csv"] = json!(csv);
            product["stats"] = Value::Null;
            expected(price, "new")
        }
        11 => {
            let mut csv = vec![Value::Null; length];
            csv[0] = json!([now - 900, price]);
            csv[1] = json!([now - 900, -1]);
            product["csv"] = json!(csv);
            expected(price, "amazon")
        }
        12 => {
            product["stats"] = stats_of(array(length, &[]), json!({"buyBoxPrice": -1, "buyBoxShipping": -1}));
            None
        }
        13 => {
            product["stats"] = Value::Null;
            None
        }
        14 => {
            product["productType"] = json!(if index.is_multiple_of(2) { 1 } else { 5 });
            product["stats"] = stats_of(array(length, &[(1, price)]), json!({}));
            None
        }
        15 => return Case { product: None, expected: None },
        // The price stands, but both looks at it are too old for a leg.
        16 => {
            product["lastUpdate"] = json!(now - 2 * 24 * 60);
            product["stats"] = stats_of(array(length, &[(1, price)]), json!({}));
            Some(Expected {
                minor: price,
                kind: "new",
                fresh: false,
            })
        }
        17 => {
            product["stats"] = stats_of(
                array(length, &[(1, other), (18, price)]),
                json!({"buyBoxPrice": price, "buyBoxShipping": 0, "lastBuyBoxUpdate": now - 2 * 24 * 60}),
            );
            Some(Expected {
                minor: price,
                kind: "buy_box",
                fresh: false,
            })
        }
        18 => {
            product["lastUpdate"] = json!(0);
            product["title"] = Value::Null;
            product["stats"] = stats_of(array(length, &[(1, price)]), json!({"buyBoxIsFBA": null}));
            expected(price, "new")
        }
        _ => {
            for key in ["lastUpdate", "title", "brand", "productType", "csv"] {
                product.as_object_mut().expect("an object").remove(key);
            }
            product["stats"] = stats_of(array(2, &[(1, price)]), json!({}));
            expected(price, "new")
        }
    };
    Case {
        product: Some(product),
        expected,
    }
}

fn div_half_up(numerator: i128, denominator: i128) -> i128 {
    let doubled = 2 * numerator.abs() + denominator;
    let rounded = doubled / (2 * denominator);
    if numerator < 0 { -rounded } else { rounded }
}

/// Minor units of a marketplace in euro cents, half up.
pub fn euro_cents(market: &str, minor: i64) -> i64 {
    if market == "UK" {
        div_half_up(i128::from(minor) * 100_000, GBP_PER_EUR_E5) as i64
    } else {
        minor
    }
}

/// Two decimals, as JSON shows them.
pub fn decimal(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100)
}

/// All the prices of a world, by ASIN and marketplace.
pub type World = BTreeMap<String, BTreeMap<&'static str, Expected>>;

/// What must be shown of `count` articles.
pub fn world(count: usize, world: u64, now_ms: i64) -> World {
    let prices = |index| {
        MARKETS
            .into_iter()
            .filter_map(move |(market, domain)| Some((market, case(index, domain, world, now_ms).expected?)))
            .collect()
    };
    (0..count).map(|index| (asin(index), prices(index))).collect()
}

/// ASINs that Keepa answers for in at least one marketplace.
pub fn known_asins(count: usize, now_ms: i64) -> BTreeSet<String> {
    (0..count)
        .filter(|&index| MARKETS.iter().any(|&(_, domain)| case(index, domain, 0, now_ms).product.is_some()))
        .map(asin)
        .collect()
}

/// Every opportunity above 10 %: id -> (margin, margin percentage, source price in EUR, target price in EUR).
pub fn opportunities(world: &World) -> BTreeMap<String, (String, String, String, String)> {
    let mut found = BTreeMap::new();
    for (asin, prices) in world {
        for (source, bought) in prices {
            for (target, sold) in prices {
                if source == target || !bought.fresh || !sold.fresh {
                    continue;
                }
                let (buy, sell) = (euro_cents(source, bought.minor), euro_cents(target, sold.minor));
                let percent = div_half_up(i128::from(sell - buy) * 10_000, i128::from(buy)) as i64;
                if percent > 1_000 {
                    found.insert(
                        format!("{asin}:{source}:{target}"),
                        (decimal(sell - buy), decimal(percent), decimal(buy), decimal(sell)),
                    );
                }
            }
        }
    }
    found
}

#[test]
fn the_independent_arithmetic_gives_the_reference_case() {
    let price = |minor| Expected {
        minor,
        kind: "buy_box",
        fresh: true,
    };
    let world = World::from([(
        "B0D1XD1ZV3".to_owned(),
        BTreeMap::from([("DE", price(4999)), ("IT", price(5499)), ("ES", price(4799))]),
    )]);
    let expected = BTreeMap::from([(
        "B0D1XD1ZV3:ES:IT".to_owned(),
        ("7.00".to_owned(), "14.59".to_owned(), "47.99".to_owned(), "54.99".to_owned()),
    )]);
    assert_eq!(opportunities(&world), expected);
}

#[test]
fn every_encoding_occurs_and_most_articles_have_a_gap_somewhere() {
    let world = world(300, 0, 1_795_000_000_000);
    let kinds: BTreeSet<&str> = world.values().flat_map(BTreeMap::values).map(|expected| expected.kind).collect();
    assert_eq!(kinds, BTreeSet::from(["amazon", "buy_box", "new"]));
    assert!(opportunities(&world).len() > 300);
}
