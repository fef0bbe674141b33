//! Made-up products, opportunities and records.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use shared::domain::margin::margin;
use shared::domain::opportunity::{Evaluation, EventKind, LastEvent, RatesUsed};
use shared::domain::price::{AttributeFacts, BuyBoxFacts, Category, PriceFacts, SeriesStatistics, StatisticsFacts};
use shared::domain::profit::{ArticleFacts, Given, Net, Route, Seller, Sources, resolve};
use shared::domain::rates::RatesOrigin;
use shared::domain::{
    Asin, Currency, ExchangeRates, KeepaMinutes, Listing, MarketState, Marketplace, Money, ObservedAt, Opportunity, OpportunityId, Product, Register, Source,
    Staleness, StoredProduct, UnixMillis,
};
use shared::wire::state::{ProducerStatus, RatesRecord};

/// 2026-01-11T12:00:00.000Z.
pub const NOW: UnixMillis = UnixMillis(1_768_132_800_000);
pub const MARKETS: [Marketplace; 5] = [Marketplace::DE, Marketplace::FR, Marketplace::IT, Marketplace::ES, Marketplace::UK];
pub const REFERENCE: &str = "B0D1XD1ZV3";

pub fn asin(text: &str) -> Asin {
    text.parse().expect("an ASIN")
}

/// One marketplace as Keepa tells it at some instant: its lowest new offer in minor units, or none.
pub fn market(new: Option<i64>, at: UnixMillis) -> MarketState {
    let observed_at = ObservedAt {
        last_update: KeepaMinutes::from_unix(at),
        fetched_at: at,
    };
    let mut state = MarketState::observed(observed_at);
    state.prices = Some(Register::new(observed_at, PriceFacts { new, ..PriceFacts::default() }));
    state
}

/// A product with these new offers, fetched now.
pub fn product(asin_text: &str, title: &str, prices: &[(Marketplace, i64)]) -> StoredProduct {
    product_at(asin_text, title, prices, NOW)
}

pub fn product_at(asin_text: &str, title: &str, prices: &[(Marketplace, i64)], at: UnixMillis) -> StoredProduct {
    let attributes = AttributeFacts {
        title: Some(title.into()),
        brand: Some("Acme".into()),
        categories: vec![Category {
            id: 3_167_641,
            name: "Küche, Haushalt & Wohnen".into(),
        }],
        image_url: Some("https://m.media-amazon.com/images/I/made-up.jpg".into()),
        ..AttributeFacts::default()
    };
    let mut merged: Option<Product> = None;
    for &(marketplace, price) in prices {
        let mut state = market(Some(price), at);
        state.attributes = Some(Register::new(state.latest, attributes.clone()));
        let record = Product::from_record(asin(asin_text), marketplace, Source::Keepa, state);
        match &mut merged {
            None => merged = Some(record),
            Some(merged) => {
                merged.merge(&record);
            }
        }
    }
    stored(merged.expect("a price at least"))
}

pub fn stored(product: Product) -> StoredProduct {
    StoredProduct {
        listing: Listing::of(&product, &MARKETS, NOW, Staleness::default()),
        revision: product.last_updated.0,
        product,
    }
}

/// The reference case, with a buy box in ES, statistics and a rank in DE, and a price in pounds.
pub fn reference() -> StoredProduct {
    use Marketplace::{DE, ES, IT, UK};
    let mut stored_product = product(REFERENCE, "Kettle \"1.7 l\" <b>", &[(DE, 4999), (IT, 5499), (ES, 5290), (UK, 4990)]);
    let product = &mut stored_product.product;
    let mut state = |marketplace: Marketplace, change: &dyn Fn(&mut MarketState)| {
        change(Arc::make_mut(
            product.markets.get_mut(&marketplace).expect("there").get_mut(Source::Keepa).expect("there"),
        ));
    };
    state(ES, &|state| {
        state.buy_box = Some(Register::new(
            state.latest,
            BuyBoxFacts {
                landed: Some(4799),
                updated_at: Some(KeepaMinutes::from_unix(NOW.plus_millis(-600_000))),
                ..BuyBoxFacts::default()
            },
        ));
    });
    state(DE, &|state| {
        state.statistics = Some(Register::new(
            state.latest,
            StatisticsFacts {
                new: SeriesStatistics {
                    avg30: Some(5010),
                    avg90: Some(5100),
                    min: Some(3990),
                    min_at: Some(KeepaMinutes::from_unix(NOW.plus_millis(-86_400_000))),
                    out_of_stock_percentage_90: Some(3),
                    ..SeriesStatistics::default()
                },
                amazon: SeriesStatistics {
                    avg30: Some(1),
                    ..SeriesStatistics::default()
                },
            },
        ));
        if let Some(prices) = &mut state.prices {
            prices.facts.sales_rank = Some(42);
        }
    });
    stored(stored_product.product)
}

pub fn rates() -> ExchangeRates {
    ExchangeRates {
        date: NaiveDate::from_ymd_opt(2026, 1, 9).expect("a date"),
        origin: RatesOrigin::Shipped,
        units_per_eur: BTreeMap::from([(Currency::GBP, Decimal::new(8612, 4))]),
    }
}

pub fn rates_record() -> RatesRecord {
    RatesRecord::new(&rates(), NOW)
}

pub fn producer_status(simulated: bool) -> ProducerStatus {
    ProducerStatus {
        simulated,
        tokens_left: Some(1_180),
        refill_rate: Some(20),
        keepa: "up".into(),
        at: NOW,
    }
}

/// An open opportunity between two prices in minor units of the marketplaces' currencies.
pub fn opportunity(id: &str, source: i64, target: i64) -> Opportunity {
    let id: OpportunityId = id.parse().expect("an opportunity id");
    let (source, target) = (Money::new(source, id.source.currency()), Money::new(target, id.target.currency()));
    let rate = |money: Money| rates().rate(money.currency).expect("a rate");
    let margin = margin(source, &rate(source), target, &rate(target)).expect("small amounts");
    let foreign = [source, target].into_iter().find(|money| money.currency != Currency::EUR);
    let evaluation = Evaluation {
        revision: 1,
        rates_date: rates().date,
        settings_version: 1,
        evaluated_at: NOW,
    };
    let route = Route {
        source: id.source,
        target: id.target,
        source_price: source,
        target_price: target,
    };
    let seller = Seller::default();
    let rates = rates();
    let sources = Sources {
        profile: &seller.profile,
        tables: &seller.tables,
        rates: Some(&rates),
        at: NOW.to_utc().date_naive(),
    };
    let costs = resolve(&route, &Given::default(), &ArticleFacts::default(), &sources);
    let net = costs.ok().map(|costs| Net::of(&route, costs).expect("small amounts"));
    Opportunity {
        id,
        title: Some(format!("Article {}", id.asin)),
        brand: Some("Acme".into()),
        category: Some("Garten".into()),
        image_url: None,
        source_price: source,
        target_price: target,
        source_price_eur: margin.source_eur,
        target_price_eur: margin.target_eur,
        margin: margin.margin,
        margin_percentage: margin.percentage,
        exchange_rate: foreign.map(|money| RatesUsed {
            date: rates.date,
            units_per_eur: BTreeMap::from([(money.currency, rates.units_per_eur[&money.currency])]),
        }),
        net,
        assessment: None,
        is_active: true,
        closed_reason: None,
        first_seen: NOW.plus_millis(-3_600_000),
        opened_at: NOW.plus_millis(-60_000),
        last_seen: NOW,
        source_observed_at: NOW.plus_millis(-120_000),
        target_observed_at: NOW.plus_millis(-180_000),
        event_seq: 1,
        last_event: LastEvent {
            kind: EventKind::Opened,
            at: NOW,
            margin_percentage: margin.percentage,
            evaluation,
        },
        evaluation,
    }
}
