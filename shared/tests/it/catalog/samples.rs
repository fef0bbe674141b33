//! Made-up products, opportunities and state records, random but from a seed, with many ties.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rust_decimal::Decimal;
use serde_json::json;
use shared::domain::assessment::OpportunityScore;
use shared::domain::opportunity::{ClosedReason, Evaluation, EventKind, LastEvent, RatesUsed};
use shared::domain::price::{AttributeFacts, Category, PriceFacts};
use shared::domain::profit::{ArticleFacts, Given, Net, Route, Seller, Sources, resolve};
use shared::domain::{
    Asin, Assessment, BySource, Currency, KeepaMinutes, Listing, MarketState, Marketplace, Money, ObservedAt, Opportunity, OpportunityId, Percentage, Product,
    Register, Source, StoredProduct, Trap, TrapReason, UnixMillis,
};
use shared::ports::catalog::{OpportunityQuery, OpportunitySort, ProductQuery, ProductSort, Sort, StateQuery, StateRecord};

pub(crate) const MARKETS: [Marketplace; 5] = [Marketplace::DE, Marketplace::FR, Marketplace::IT, Marketplace::ES, Marketplace::UK];
pub(crate) const BRANDS: [&str; 4] = ["Sony", "Bosch", "LEGO", "De'Longhi"];
pub(crate) const CATEGORIES: [&str; 3] = ["Electronics", "Toys & Games", "Home"];
pub(crate) const NOUNS: [&str; 6] = ["headphones", "headset", "drill", "castle", "kettle", "espresso"];
pub(crate) const ADJECTIVES: [&str; 5] = ["red", "blue", "wireless", "mini", "Pro"];

/// An instant of 2026 plus some milliseconds.
pub(crate) fn at(millis: i64) -> UnixMillis {
    UnixMillis(1_768_132_800_000 + millis)
}

pub(crate) fn random(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

pub(crate) fn asin(number: usize) -> Asin {
    format!("B0{number:08}").parse().expect("ten digits")
}

fn maybe<T>(random: &mut SmallRng, value: T) -> Option<T> {
    random.random_bool(0.85).then_some(value)
}

fn choose<'a>(random: &mut SmallRng, from: &[&'a str]) -> &'a str {
    from.choose(random).expect("not empty")
}

/// A product with names from a small vocabulary and few different times and prices.
pub(crate) fn product(random: &mut SmallRng, number: usize) -> StoredProduct {
    let noun = choose(random, &NOUNS);
    let adjective = choose(random, &ADJECTIVES);
    let title = maybe(random, format!("{adjective} {noun}"));
    let brand = choose(random, &BRANDS).to_owned();
    let category = choose(random, &CATEGORIES).to_owned();
    let category = maybe(random, category);
    let first_seen = at(random.random_range(-5..5));
    let observed_at = ObservedAt {
        last_update: KeepaMinutes(random.random_range(0..8_000_000)),
        fetched_at: first_seen,
    };
    let mut state = MarketState::observed(observed_at);
    state.prices = Some(Register::new(
        observed_at,
        PriceFacts {
            new: Some(random.random_range(1..1_000_000)),
            ..PriceFacts::default()
        },
    ));
    state.attributes = Some(Register::new(
        observed_at,
        AttributeFacts {
            title: title.as_deref().map(Into::into),
            categories: category
                .iter()
                .map(|name| Category {
                    id: i64::MAX,
                    name: name.as_str().into(),
                })
                .collect(),
            referral_fee_percentage: Some(Decimal::new(1501, 2)),
            ..AttributeFacts::default()
        },
    ));
    let mut prices = BTreeMap::new();
    for marketplace in MARKETS {
        if random.random_bool(0.5) {
            prices.insert(marketplace, random.random_range(1..50));
        }
    }
    StoredProduct {
        product: Product {
            asin: asin(number),
            markets: BTreeMap::from([(Marketplace::DE, BySource::from([(Source::Keepa, state.into())]))]),
            first_seen,
            last_updated: at(random.random_range(0..20)),
            last_priced_at: random.random_bool(0.8).then(|| at(random.random_range(0..20))),
        },
        revision: random.random_range(1..i64::MAX),
        listing: Listing {
            title,
            brand: maybe(random, brand),
            category,
            image_url: maybe(random, "https://example.com/1.jpg".to_owned()),
            prices,
            score: random.random_bool(0.8).then(|| Percentage(random.random_range(0..6))),
        },
    }
}

pub(crate) fn products(seed: u64, count: usize) -> Vec<StoredProduct> {
    let mut random = random(seed);
    (0..count).map(|number| product(&mut random, number)).collect()
}

/// A profit; its numbers need not fit its costs.
fn net(random: &mut SmallRng) -> Net {
    let route = Route {
        source: Marketplace::DE,
        target: Marketplace::IT,
        source_price: Money::new(4_799, Currency::EUR),
        target_price: Money::new(5_499, Currency::EUR),
    };
    let seller = Seller::default();
    let sources = Sources {
        profile: &seller.profile,
        tables: &seller.tables,
        rates: None,
        at: NaiveDate::from_ymd_opt(2026, 1, 9).expect("a day"),
    };
    let costs = resolve(&route, &Given::default(), &ArticleFacts::default(), &sources).expect("a European route");
    let mut percentage = || random.random_bool(0.8).then(|| Percentage(random.random_range(-5..5)));
    let (roi, buffer) = (percentage(), percentage());
    Net {
        costs,
        profit: Money::new(random.random_range(-5..5), Currency::EUR),
        roi,
        buffer,
    }
}

/// An assessment; its numbers need not fit its reasons.
fn assessment(random: &mut SmallRng) -> Assessment {
    let mut reasons = TrapReason::ALL.to_vec();
    reasons.retain(|_| random.random_bool(0.15));
    let mut unchecked = TrapReason::ALL.to_vec();
    unchecked.retain(|_| random.random_bool(0.1));
    let score = random.random_bool(0.8).then(|| OpportunityScore {
        value: Percentage(random.random_range(0..6)),
        market: Percentage(50_00),
        safety: Percentage(0),
        cheapness: Percentage(75_00),
    });
    Assessment {
        traps: reasons
            .into_iter()
            .map(|reason| Trap {
                reason,
                market: random.random_bool(0.5).then_some(Marketplace::ES),
            })
            .collect(),
        unchecked,
        confidence: Percentage(random.random_range(0..6)),
        score,
    }
}

/// An opportunity of an article and route; the numbers need not fit each other, the catalog does not calculate.
pub(crate) fn opportunity(random: &mut SmallRng, id: OpportunityId) -> Opportunity {
    let evaluation = Evaluation {
        revision: random.random_range(0..1_000_000),
        rates_date: NaiveDate::from_ymd_opt(2026, 1, 9).expect("a day"),
        settings_version: 1,
        evaluated_at: at(random.random_range(0..10)),
    };
    let euros = |minor| Money::new(minor, Currency::EUR);
    let is_active = random.random_bool(0.7);
    let margin_percentage = Percentage(random.random_range(1000..1020));
    let category = choose(random, &CATEGORIES).to_owned();
    Opportunity {
        id,
        title: Some(format!("{} {}", choose(random, &ADJECTIVES), choose(random, &NOUNS))),
        brand: maybe(random, "Sony".to_owned()),
        category: maybe(random, category),
        image_url: None,
        source_price: Money::new(random.random_range(100..200), id.source.currency()),
        target_price: Money::new(random.random_range(100..200), id.target.currency()),
        source_price_eur: euros(random.random_range(100..110)),
        target_price_eur: euros(random.random_range(110..120)),
        margin: euros(random.random_range(-5..10)),
        margin_percentage,
        exchange_rate: (id.source == Marketplace::UK).then(|| RatesUsed {
            date: evaluation.rates_date,
            units_per_eur: BTreeMap::from([(Currency::GBP, Decimal::new(86120, 5))]),
        }),
        net: random.random_bool(0.8).then(|| net(random)),
        assessment: random.random_bool(0.8).then(|| assessment(random)),
        is_active,
        closed_reason: (!is_active).then_some(ClosedReason::Gap),
        first_seen: at(0),
        opened_at: at(1),
        last_seen: at(random.random_range(0..5)),
        source_observed_at: at(random.random_range(0..20)),
        target_observed_at: at(random.random_range(0..20)),
        event_seq: 3,
        last_event: LastEvent {
            kind: EventKind::Improved,
            at: at(2),
            margin_percentage,
            evaluation,
        },
        evaluation,
    }
}

/// Opportunities of all routes of some articles.
pub(crate) fn opportunities(seed: u64, articles: usize) -> Vec<Opportunity> {
    let mut random = random(seed);
    (0..articles)
        .flat_map(|number| OpportunityId::routes(asin(number), &MARKETS))
        .map(|id| opportunity(&mut random, id))
        .collect()
}

pub(crate) fn state(id: &str, group: Option<&str>, status: Option<&str>, millis: i64) -> StateRecord {
    StateRecord {
        id: id.into(),
        group: group.map(str::to_owned),
        status: status.map(str::to_owned),
        at: at(millis),
        body: json!({"id": id, "number": 9_223_372_036_854_775_807_i64, "decimal": "0.10", "nested": {"list": [1, null, "ü"]}}),
    }
}

pub(crate) fn product_query() -> ProductQuery {
    ProductQuery {
        text: None,
        market: None,
        brand: None,
        category: None,
        active: None,
        price_bounds: BTreeMap::new(),
        sort: Sort {
            field: ProductSort::Asin,
            descending: false,
        },
        limit: 1000,
        cursor: None,
    }
}

pub(crate) fn opportunity_query() -> OpportunityQuery {
    OpportunityQuery {
        text: None,
        min_margin: None,
        min_profit: None,
        min_roi: None,
        min_buffer: None,
        min_confidence: None,
        trap: None,
        without_traps: Vec::new(),
        source: None,
        target: None,
        asin: None,
        brand: None,
        category: None,
        active: None,
        sort: Sort {
            field: OpportunitySort::MarginPercentage,
            descending: true,
        },
        limit: 1000,
        cursor: None,
    }
}

pub(crate) fn state_query() -> StateQuery {
    StateQuery {
        group: None,
        status: None,
        ascending: false,
        limit: 1000,
        cursor: None,
    }
}
