//! One of each kind of document, from domain values: all there can be in it, then as little as there can be.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::value::RawValue;
use shared::domain::alert::{Figures, Rule};
use shared::domain::assessment::OpportunityScore;
use shared::domain::history::{HistoryFacts, SellerShare, SeriesHistory};
use shared::domain::listing::Listing;
use shared::domain::opportunity::{ClosedReason, Evaluation, EventKind, LastEvent, RatesUsed};
use shared::domain::price::{AttributeFacts, BuyBoxFacts, Category, OfferFacts, PriceFacts, PriceKind, SeriesStatistics, StatisticsFacts, StatisticsOrigin};
use shared::domain::profit::{ArticleFacts, Given, GivenReferral, Net, Origin, Regime, Route, Seller, Sources, resolve};
use shared::domain::rates::{ExchangeRates, RatesOrigin};
use shared::domain::{
    Asin, Assessment, Currency, KeepaMinutes, MarketState, Marketplace, Money, ObservedAt, Opportunity, OpportunityId, Percentage, Product, Register, Source,
    StoredProduct, Trap, TrapReason, UnixMillis,
};
use shared::wire::alert::{
    Alert, AlertSettings, ChannelRecord, ClosingDigest, Delivery, DeliveryKind, DeliveryStatus, RuleOrigin, RuleRecord, RuleTally, Standing, StandingRecord,
    Told,
};
use shared::wire::job::JobParameters;
use shared::wire::opportunity::append_catalog_json;
use shared::wire::product::{to_catalog_json, to_json};
use shared::wire::raw_update::RawEnvelope;
use shared::wire::state::{
    DetectorSettings, EnricherStatus, HistoryRecord, ProducerStatus, RatesRecord, RequestedJob, Run, RunProgress, RunStatus, SchedulerStatus, SellerDocument,
    WatchedAsin,
};
use shared::wire::{JobKind, JobRequest, OpportunityDocument, OpportunityEvent, ProductDocument, RawUpdate};

use super::through;

/// A kind of document.
pub(crate) struct Document {
    /// Its samples' files begin with this.
    pub(crate) name: &'static str,
    /// The topic's schema; state records have none, since nobody else reads them.
    pub(crate) schema: Option<&'static str>,
    /// Which of the schema's definitions it is; none = the whole.
    pub(crate) definition: Option<&'static str>,
    /// Documents as written: the first carries every field.
    pub(crate) values: Vec<Value>,
    /// Reads one and writes it again.
    pub(crate) read: fn(&Value) -> Result<Value, String>,
}

/// All kinds.
pub(crate) fn documents() -> Vec<Document> {
    let topic = |name, schema, definition, values, read| Document {
        name,
        schema: Some(schema),
        definition,
        values,
        read,
    };
    let state = |name, values, read| Document {
        name,
        schema: None,
        definition: None,
        values,
        read,
    };
    vec![
        topic("raw.keepa_updates.v1", "raw.keepa_updates.v1", Some("envelope"), envelopes(), read_envelope),
        topic("raw.keepa_updates.bare", "raw.keepa_updates.v1", Some("bare"), vec![bare()], |value| {
            Ok(value.clone())
        }),
        topic("raw.keepa_updates.dlq.v1", "raw.keepa_updates.dlq.v1", None, dead_letters(), |value| {
            Ok(value.clone())
        }),
        topic("enriched.products.v1", "enriched.products.v1", None, products(), product_through),
        topic(
            "alerts.opportunities.v1",
            "alerts.opportunities.v1",
            None,
            events(),
            through::<OpportunityEvent>,
        ),
        // As it is in an event, and was in catalogs once.
        topic(
            "opportunities",
            "alerts.opportunities.v1",
            Some("opportunity"),
            opportunities(),
            through::<OpportunityDocument>,
        ),
        topic("job.requests.v1", "job.requests.v1", None, requests(), through::<JobRequest>),
        state("products", catalog_products(), catalog_product_through),
        state("opportunities-by-position", catalog_opportunities(), catalog_opportunity_through),
        state("state-runs", runs(), through::<Run>),
        state("state-watchlist", watched(), through::<WatchedAsin>),
        state("state-rates", rates(), through::<RatesRecord>),
        state("state-settings.detector", settings(), through::<DetectorSettings>),
        state("state-status.producer", producer_status(), through::<ProducerStatus>),
        state("state-status.enricher", enricher_status(), through::<EnricherStatus>),
        state("state-status.scheduler", scheduler_status(), through::<SchedulerStatus>),
        state("state-settings.alerts", alert_settings(), through::<AlertSettings>),
        state("state-alert-rules", alert_rules(), through::<RuleRecord>),
        state("state-alerts.standing", standings(), through::<StandingRecord>),
        state("state-alerts.tally", tallies(), through::<RuleTally>),
        state("state-deliveries", deliveries(), through::<Delivery>),
        state("state-histories", histories(), through::<HistoryRecord>),
    ]
}

/// The code's enumerations that schemas list, by name.
pub(crate) fn enumerations() -> BTreeMap<&'static str, BTreeSet<String>> {
    fn names<T: serde::Serialize>(values: &[T]) -> BTreeSet<String> {
        let name = |value| serde_json::to_value(value).expect("a name").as_str().expect("text").to_owned();
        values.iter().map(name).collect()
    }
    // A new variant does not compile here until it is listed.
    let kinds = [JobKind::Scrape, JobKind::Deals, JobKind::Sweep, JobKind::Rates];
    for kind in kinds {
        match kind {
            JobKind::Scrape | JobKind::Deals | JobKind::Sweep | JobKind::Rates => {}
        }
    }
    let events = [EventKind::Opened, EventKind::Improved, EventKind::Updated, EventKind::Closed];
    for event in events {
        match event {
            EventKind::Opened | EventKind::Improved | EventKind::Updated | EventKind::Closed => {}
        }
    }
    let reasons = [
        ClosedReason::Gap,
        ClosedReason::PriceGone,
        ClosedReason::Stale,
        ClosedReason::Rate,
        ClosedReason::Config,
    ];
    for reason in reasons {
        match reason {
            ClosedReason::Gap | ClosedReason::PriceGone | ClosedReason::Stale | ClosedReason::Rate | ClosedReason::Config => {}
        }
    }
    for regime in Regime::ALL {
        match regime {
            Regime::Rc | Regime::Dom | Regime::Lost | Regime::Small | Regime::Margin | Regime::Import => {}
        }
    }
    let cost_origins = [
        Origin::Given,
        Origin::Profile,
        Origin::Keepa,
        Origin::VatTable,
        Origin::FeeTable,
        Origin::Ecb,
        Origin::ShippedRates,
        Origin::Default,
        Origin::Computed,
    ];
    for origin in cost_origins {
        match origin {
            Origin::Given
            | Origin::Profile
            | Origin::Keepa
            | Origin::VatTable
            | Origin::FeeTable
            | Origin::Ecb
            | Origin::ShippedRates
            | Origin::Default
            | Origin::Computed => {}
        }
    }
    let sources = [Source::Keepa, Source::Feed, Source::Observation];
    for source in sources {
        match source {
            Source::Keepa | Source::Feed | Source::Observation => {}
        }
    }
    let origins = [StatisticsOrigin::Keepa, StatisticsOrigin::History];
    for origin in origins {
        match origin {
            StatisticsOrigin::Keepa | StatisticsOrigin::History => {}
        }
    }
    BTreeMap::from([
        ("VAT regimes", names(&Regime::ALL)),
        ("origins of costs", names(&cost_origins)),
        ("reasons to distrust", names(&TrapReason::ALL)),
        ("job kinds", names(&kinds)),
        ("event kinds", names(&events)),
        ("closed reasons", names(&reasons)),
        ("sources", names(&sources)),
        ("statistics origins", names(&origins)),
        ("marketplaces", names(&Marketplace::ALL)),
        ("currencies", names(&Currency::ALL)),
        (
            "Keepa domain ids",
            Marketplace::ALL.iter().map(|marketplace| marketplace.keepa_id().to_string()).collect(),
        ),
    ])
}

const NOON: UnixMillis = UnixMillis(1_768_132_800_000);

fn asin() -> Asin {
    "B0EXAMPLE1".parse().expect("a made-up ASIN")
}

fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, 9).expect("a day")
}

fn json(value: impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("JSON")
}

/// An envelope's fields written again, as the producer writes them.
pub(crate) fn write_envelope(envelope: &RawEnvelope<'_>) -> String {
    let marketplace = Marketplace::from_keepa_id(envelope.domain_id.expect("a domain")).expect("known");
    let update = RawUpdate::new(
        envelope.asin.as_deref().expect("an ASIN").parse().expect("valid"),
        marketplace,
        UnixMillis(envelope.fetched_at_ms.expect("a time")),
        envelope.source.as_deref().expect("a source"),
        envelope.run_id.as_deref(),
        envelope.product.expect("a product"),
    );
    String::from_utf8(update.to_bytes()).expect("UTF-8")
}

fn read_envelope(value: &Value) -> Result<Value, String> {
    let text = value.to_string();
    let envelope: RawEnvelope<'_> = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    if envelope.v != Some(i64::from(RawUpdate::VERSION)) {
        return Err("version".into());
    }
    let is_complete = envelope.asin.is_some() && envelope.domain_id.is_some() && envelope.fetched_at_ms.is_some();
    if !is_complete || envelope.source.is_none() || envelope.product.is_none() {
        return Err("incomplete".into());
    }
    serde_json::from_str(&write_envelope(&envelope)).map_err(|error| error.to_string())
}

fn envelopes() -> Vec<Value> {
    let product = RawValue::from_string(
        r#"{"asin":"B0EXAMPLE1","domainId":3,"title":"Brightwell desk lamp","brand":"Brightwell","productType":0,"lastUpdate":7904880,"stats":{"current":[4999,4999,-1,812],"buyBoxPrice":4899,"buyBoxShipping":0}}"#
            .to_owned(),
    )
    .expect("JSON");
    let write = |run_id: Option<&str>, source| {
        let update = RawUpdate::new(asin(), Marketplace::DE, NOON, source, run_id, &product);
        serde_json::from_slice(&update.to_bytes()).expect("JSON")
    };
    vec![write(Some("category-scrape@2026-01-11T12:00:00.000Z"), "scrape"), write(None, "watchlist")]
}

fn bare() -> Value {
    serde_json::json!({ "asin": "B0EXAMPLE1", "domain": 3, "title": "Brightwell desk lamp", "stats": { "current": 4999 } })
}

fn dead_letters() -> Vec<Value> {
    let letter = serde_json::json!({
        "key": "B0EXAMPLE1",
        "value": "{\"asin\":\"B0EXAMPLE1\",\"domain\":7}",
        "headers": {
            "dlq.topic": "raw.keepa_updates",
            "dlq.partition": "2",
            "dlq.offset": "48213",
            "dlq.timestamp": "1768132800000",
            "dlq.error.class": "domain",
            "dlq.error.message": "7 is not a Keepa domain id: 1 to 6 and 8 to 12 are",
            "dlq.attempts": "1",
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        },
    });
    let mut minimal = letter.clone();
    minimal["key"] = Value::Null;
    minimal["value"] = Value::Null;
    minimal["headers"].as_object_mut().expect("headers").remove("traceparent");
    let mut omitted = minimal.clone();
    omitted["headers"]["dlq.payload"] = "omitted".into();
    omitted["headers"]["dlq.replayed-from"] = "0:17".into();
    vec![letter, minimal, omitted]
}

fn observed() -> ObservedAt {
    ObservedAt {
        last_update: KeepaMinutes(7_904_878),
        fetched_at: NOON,
    }
}

fn register<F: Into<T>, T>(facts: F) -> Option<Register<T>> {
    Some(Register::new(observed(), facts))
}

fn series() -> SeriesStatistics {
    SeriesStatistics {
        avg30: Some(5_049),
        avg90: Some(5_120),
        avg180: Some(5_199),
        avg365: Some(5_250),
        min: Some(4_499),
        min_at: Some(KeepaMinutes(7_500_000)),
        max: Some(5_999),
        max_at: Some(KeepaMinutes(7_200_000)),
        out_of_stock_percentage_30: Some(0),
        out_of_stock_percentage_90: Some(3),
        out_of_stock_percentage_180: Some(5),
        out_of_stock_percentage_365: Some(11),
        origin: StatisticsOrigin::Keepa,
    }
}

fn series_history() -> SeriesHistory {
    SeriesHistory {
        from: KeepaMinutes(7_775_278),
        to: KeepaMinutes(7_904_878),
        average: 5_120,
        deviation: 210,
        variation: Percentage(4_10),
        p1: 4_499,
        p10: 4_799,
        p25: 4_999,
        p50: 5_099,
        p75: 5_199,
        p90: 5_499,
        p99: 5_999,
        previous: Some(5_099),
        out_of_stock: Percentage(3_25),
        changes_per_month: Percentage(4_67),
        trend: Some(Percentage(-1_30)),
        trend_fit: Some(Percentage(12_00)),
        robust_trend: Some(Percentage(-90)),
        drawdown: Percentage(18_34),
    }
}

fn full_state() -> MarketState {
    MarketState {
        latest: observed(),
        prices: register(PriceFacts {
            new: Some(4_999),
            amazon: Some(5_099),
            list_price: Some(5_999),
            sales_rank: Some(812),
            rank_drops_30: Some(41),
            new_offers: Some(11),
            new_offers_avg30: Some(9),
            new_offers_fba: Some(5),
            new_offers_fbm: Some(6),
            is_map: Some(false),
        }),
        buy_box: register(BuyBoxFacts {
            landed: Some(4_899),
            updated_at: Some(KeepaMinutes(7_904_870)),
            seller_id: Some("A0MADEUPSELLER".into()),
            is_fba: Some(true),
            is_amazon: Some(false),
            is_map: Some(false),
            min_order_quantity: Some(2),
            max_order_quantity: Some(30),
            shares: vec![SellerShare {
                seller_id: "A0MADEUPSELLER".into(),
                share: Percentage(62_50),
            }],
            shares_origin: Some(StatisticsOrigin::Keepa),
        }),
        statistics: register(StatisticsFacts {
            new: series(),
            amazon: SeriesStatistics {
                origin: StatisticsOrigin::History,
                ..series()
            },
        }),
        buy_box_statistics: register(series()),
        history: register(HistoryFacts {
            new: Some(series_history()),
            amazon: Some(series_history()),
            buy_box: Some(series_history()),
        }),
        offers: register(OfferFacts {
            total: Some(14),
            fba: Some(5),
            fbm: Some(6),
            lowest_fba: Some(4_999),
            lowest_fbm_landed: Some(5_198),
        }),
        attributes: register(AttributeFacts {
            product_type: 0,
            title: Some("Brightwell desk lamp".into()),
            brand: Some("Brightwell".into()),
            image_url: Some("https://images.example/B0EXAMPLE1.jpg".into()),
            categories: vec![
                Category {
                    id: 213_083_031,
                    name: "Lighting".into(),
                },
                Category {
                    id: i64::MAX,
                    name: "Desk lamps".into(),
                },
            ],
            product_codes: vec!["4012345678901".into()],
            parent_asin: Some("B0EXAMPLE0".into()),
            monthly_sold: Some(300),
            number_of_items: Some(1),
            package_quantity: Some(1),
            package_weight_g: Some(1_250),
            package_mm: Some([410, 230, 120]),
            fba_fee: Some(512),
            referral_fee_percentage: Some(Decimal::new(1_501, 2)),
            closing_fee: Some(0),
            rank_category: Some("Lighting".into()),
            is_hazardous: Some(false),
            is_heat_sensitive: Some(false),
        }),
    }
}

/// Registers that are there and empty: asked for, and none.
fn empty_state() -> MarketState {
    MarketState {
        latest: observed(),
        prices: register(PriceFacts::default()),
        buy_box: register(BuyBoxFacts::default()),
        statistics: register(StatisticsFacts::default()),
        buy_box_statistics: register(SeriesStatistics::default()),
        history: register(HistoryFacts::default()),
        offers: register(OfferFacts::default()),
        attributes: register(AttributeFacts::default()),
    }
}

/// Reads a product and writes it again, as the topic carries it.
fn product_through(value: &Value) -> Result<Value, String> {
    rewritten(value, to_json)
}

/// Likewise, as a catalog holds it.
fn catalog_product_through(value: &Value) -> Result<Value, String> {
    rewritten(value, to_catalog_json)
}

fn rewritten(value: &Value, write: fn(&StoredProduct) -> Vec<u8>) -> Result<Value, String> {
    let read: ProductDocument = serde_json::from_str(&value.to_string()).map_err(|error| error.to_string())?;
    Ok(written(&read.into(), write))
}

fn written(stored: &StoredProduct, write: fn(&StoredProduct) -> Vec<u8>) -> Value {
    serde_json::from_slice(&write(stored)).expect("JSON")
}

fn products() -> Vec<Value> {
    stored_products().iter().map(|stored| written(stored, to_json)).collect()
}

fn catalog_products() -> Vec<Value> {
    stored_products().iter().map(|stored| written(stored, to_catalog_json)).collect()
}

fn stored_products() -> [StoredProduct; 3] {
    let mut full = Product::from_record(asin(), Marketplace::DE, Source::Keepa, full_state());
    full.merge(&Product::from_record(asin(), Marketplace::UK, Source::Feed, MarketState::observed(observed())));
    let listing = Listing {
        title: Some("Brightwell desk lamp".into()),
        brand: Some("Brightwell".into()),
        category: Some("Lighting".into()),
        image_url: Some("https://images.example/B0EXAMPLE1.jpg".into()),
        prices: BTreeMap::from([(Marketplace::DE, 4_899)]),
        score: Some(Percentage(61_20)),
    };
    let empty = Product::from_record(asin(), Marketplace::JP, Source::Observation, empty_state());
    let nothing = Product {
        markets: BTreeMap::new(),
        ..empty.clone()
    };
    let unlisted = Listing::default;
    [(full, listing), (empty, unlisted()), (nothing, unlisted())].map(|(product, listing)| StoredProduct {
        product,
        revision: NOON.0,
        listing,
    })
}

fn evaluation() -> Evaluation {
    Evaluation {
        revision: NOON.0,
        rates_date: day(),
        settings_version: 3,
        evaluated_at: NOON,
    }
}

/// What is left on the route of the sample for the seller that is assumed.
fn net() -> Net {
    let route = Route {
        source: Marketplace::UK,
        target: Marketplace::IT,
        source_price: Money::new(4_999, Currency::GBP),
        target_price: Money::new(6_499, Currency::EUR),
    };
    let rates = ExchangeRates {
        date: day(),
        origin: RatesOrigin::Ecb,
        units_per_eur: BTreeMap::from([(Currency::GBP, Decimal::new(86_120, 5))]),
    };
    let seller = Seller::default();
    let sources = Sources {
        profile: &seller.profile,
        tables: &seller.tables,
        rates: Some(&rates),
        at: day(),
    };
    // With a rule of bands and portions.
    let given = Given {
        referral: Some(GivenReferral::Category("clothing".into())),
        ..Given::default()
    };
    let costs = resolve(&route, &given, &ArticleFacts::default(), &sources).expect("a European route");
    Net::of(&route, costs).expect("small amounts")
}

fn assessment() -> Assessment {
    Assessment {
        traps: vec![
            Trap {
                reason: TrapReason::EanMismatch,
                market: None,
            },
            Trap {
                reason: TrapReason::StaleLeg,
                market: Some(Marketplace::IT),
            },
        ],
        unchecked: vec![TrapReason::OfferFlood],
        confidence: Percentage(16_49),
        score: Some(OpportunityScore {
            value: Percentage(2_10),
            market: Percentage(61_20),
            safety: Percentage(27_70),
            cheapness: Percentage(75_00),
        }),
    }
}

fn full_opportunity() -> Opportunity {
    let eur = |minor| Money::new(minor, Currency::EUR);
    Opportunity {
        id: OpportunityId {
            asin: asin(),
            source: Marketplace::UK,
            target: Marketplace::IT,
        },
        title: Some("Brightwell desk lamp".into()),
        brand: Some("Brightwell".into()),
        category: Some("Lighting".into()),
        image_url: Some("https://images.example/B0EXAMPLE1.jpg".into()),
        source_price: Money::new(4_999, Currency::GBP),
        target_price: eur(6_499),
        source_price_eur: eur(5_805),
        target_price_eur: eur(6_499),
        margin: eur(694),
        margin_percentage: Percentage(1_196),
        exchange_rate: Some(RatesUsed {
            date: day(),
            units_per_eur: BTreeMap::from([(Currency::GBP, Decimal::new(86_120, 5))]),
        }),
        net: Some(net()),
        assessment: Some(assessment()),
        is_active: false,
        closed_reason: Some(ClosedReason::Stale),
        first_seen: NOON.plus_millis(-172_800_000),
        opened_at: NOON.plus_millis(-86_400_000),
        last_seen: NOON.plus_millis(-60_000),
        source_observed_at: NOON.plus_millis(-7_200_000),
        target_observed_at: NOON.plus_millis(-86_460_000),
        event_seq: 4,
        last_event: LastEvent {
            kind: EventKind::Closed,
            at: NOON,
            margin_percentage: Percentage(1_196),
            evaluation: evaluation(),
        },
        evaluation: evaluation(),
    }
}

fn minimal_opportunity() -> Opportunity {
    Opportunity {
        title: None,
        brand: None,
        category: None,
        image_url: None,
        exchange_rate: None,
        assessment: None,
        net: None,
        is_active: true,
        closed_reason: None,
        ..full_opportunity()
    }
}

/// With a date for everything, and nothing that is known.
fn assumed_opportunity() -> Opportunity {
    fn assume(value: &mut Value) {
        let Some(object) = value.as_object_mut() else { return };
        object.values_mut().for_each(assume);
        if object.contains_key("value") {
            object.insert("date".into(), json(day()));
            object.insert("assumed".into(), true.into());
        }
    }
    let mut document = json(OpportunityDocument::from(full_opportunity()));
    assume(&mut document["net"]["costs"]);
    serde_json::from_value::<OpportunityDocument>(document).expect("an opportunity").into()
}

fn opportunities() -> Vec<Value> {
    [full_opportunity(), minimal_opportunity(), assumed_opportunity()]
        .map(|opportunity| json(OpportunityDocument::from(opportunity)))
        .into()
}

fn catalog_opportunities() -> Vec<Value> {
    [full_opportunity(), minimal_opportunity(), assumed_opportunity()]
        .map(|opportunity| of_catalog(&OpportunityDocument::from(opportunity)))
        .into()
}

/// Reads an opportunity and writes it again, as a catalog holds it.
fn catalog_opportunity_through(value: &Value) -> Result<Value, String> {
    let read: OpportunityDocument = serde_json::from_str(&value.to_string()).map_err(|error| error.to_string())?;
    Ok(of_catalog(&read))
}

fn of_catalog(document: &OpportunityDocument) -> Value {
    let mut json = Vec::new();
    append_catalog_json(document, &mut json);
    serde_json::from_slice(&json).expect("JSON")
}

fn events() -> Vec<Value> {
    vec![
        json(OpportunityEvent::last_of(&full_opportunity())),
        json(OpportunityEvent::updated(&minimal_opportunity())),
        json(OpportunityEvent::updated(&assumed_opportunity())),
    ]
}

fn full_request() -> JobRequest {
    JobRequest {
        v: 1,
        job: "category-scrape".into(),
        run_id: JobRequest::attempt_id("category-scrape", NOON, 2),
        kind: JobKind::Scrape,
        tick: NOON,
        priority: 10,
        token_budget: Some(2_000),
        parameters: JobParameters {
            market: Some(Marketplace::DE),
            categories: vec![213_083_031, i64::MAX],
            limit: Some(50),
        },
    }
}

fn minimal_request() -> JobRequest {
    JobRequest {
        v: 1,
        job: "sweep".into(),
        run_id: JobRequest::run_id("sweep", NOON),
        kind: JobKind::Sweep,
        tick: NOON,
        priority: 0,
        token_budget: None,
        parameters: JobParameters::default(),
    }
}

fn requests() -> Vec<Value> {
    vec![json(full_request()), json(minimal_request())]
}

fn runs() -> Vec<Value> {
    let full = Run {
        id: full_request().run_id,
        request: full_request(),
        status: RunStatus::Failed,
        started_at: NOON,
        finished_at: Some(NOON.plus_millis(90_000)),
        attempts: 2,
        products: 130,
        tokens: 440,
        error: Some("category 213083031 is not known in DE".into()),
        progress: RunProgress {
            listed: vec!["213083031".into()],
            pending: BTreeMap::from([(Marketplace::DE, vec![asin()])]),
            cursor: Some("B0EXAMPLE1".into()),
        },
    };
    let minimal = Run {
        request: minimal_request(),
        status: RunStatus::Queued,
        finished_at: None,
        error: None,
        progress: RunProgress::default(),
        ..full.clone()
    };
    vec![json(full), json(minimal)]
}

fn watched() -> Vec<Value> {
    let full = WatchedAsin {
        added_by: "category-scrape".into(),
        last_asked_at: Some(NOON),
        asked_at: BTreeMap::from([(Marketplace::DE, NOON)]),
        history_asked_at: BTreeMap::from([(Marketplace::DE, NOON)]),
        misses: BTreeMap::from([(Marketplace::FR, 2)]),
    };
    vec![json(full), json(WatchedAsin::default())]
}

fn rates() -> Vec<Value> {
    let rates = ExchangeRates {
        date: day(),
        origin: RatesOrigin::Ecb,
        units_per_eur: BTreeMap::from([(Currency::GBP, Decimal::new(86_120, 5)), (Currency::USD, Decimal::new(11_642, 4))]),
    };
    vec![json(RatesRecord::new(&rates, NOON))]
}

fn settings() -> Vec<Value> {
    vec![json(DetectorSettings {
        version: 3,
        min_margin_percent: "10".into(),
        leg_stale_after_ms: 86_400_000,
        markets: vec![Marketplace::DE, Marketplace::FR, Marketplace::IT, Marketplace::ES, Marketplace::UK],
        seller: Some(SellerDocument::from(&Seller::default())),
    })]
}

fn producer_status() -> Vec<Value> {
    let full = ProducerStatus {
        simulated: true,
        tokens_left: Some(1_180),
        refill_rate: Some(20),
        keepa: "up".into(),
        at: NOON,
    };
    let minimal = ProducerStatus {
        tokens_left: None,
        refill_rate: None,
        ..full.clone()
    };
    vec![json(full), json(minimal)]
}

fn enricher_status() -> Vec<Value> {
    vec![json(EnricherStatus {
        records_total: 48_213,
        dlq_total: 2,
    })]
}

fn scheduler_status() -> Vec<Value> {
    let job = |run_id: Option<String>| RequestedJob {
        tick: NOON,
        attempt: 1,
        run_id,
        requested_at: NOON.plus_millis(12),
    };
    let jobs = BTreeMap::from([
        ("category-scrape".to_owned(), job(Some(JobRequest::run_id("category-scrape", NOON)))),
        ("sweep".to_owned(), job(None)),
    ]);
    vec![json(SchedulerStatus { jobs }), json(SchedulerStatus::default())]
}

fn alert_settings() -> Vec<Value> {
    let channel = ChannelRecord {
        name: "mail".parse().expect("a name"),
        kind: "smtp".into(),
    };
    vec![json(AlertSettings { channels: vec![channel] }), json(AlertSettings::default())]
}

fn alert_rules() -> Vec<Value> {
    let full = serde_json::json!({
        "id": "spain-to-italy", "name": "Spain to Italy", "enabled": true, "events": ["opened", "improved", "closed"],
        "min_margin": 12.5, "min_margin_eur": 3, "min_profit": 5, "min_roi": 10, "min_buffer": 8, "min_confidence": 50,
        "source_markets": ["ES"], "target_markets": ["IT"], "brands": ["Brightwell"], "categories": ["Lighting"],
        "without_traps": ["price_outlier"], "channel": "mail", "hysteresis": 0.5, "cooldown": "6h", "daily_cap": 50, "digest": "1h",
    });
    let record = |rule: &Rule, origin, removed| RuleRecord {
        rule: rule.to_json(),
        origin,
        created_at: NOON,
        updated_at: NOON.plus_millis(60_000),
        removed,
    };
    let full = Rule::parse(&full, None).expect("a rule");
    let minimal = Rule::parse(&serde_json::json!({"id": "all", "channel": "mail"}), None).expect("a rule");
    vec![json(record(&full, RuleOrigin::Api, false)), json(record(&minimal, RuleOrigin::File, true))]
}

fn told() -> Told {
    Told {
        event: EventKind::Opened,
        at: NOON,
        figures: Figures {
            margin: 694,
            margin_percentage: Percentage(1_196),
            profit: Some(212),
            roi: Some(Percentage(365)),
            buffer: Some(Percentage(260)),
            confidence: Some(Percentage(4_750)),
        },
    }
}

fn delivery() -> Delivery {
    let document: OpportunityDocument = serde_json::from_value(opportunities().remove(0)).expect("an opportunity");
    Delivery {
        id: "spain-to-italy.B0EXAMPLE1.UK.IT.4".into(),
        rule: "spain-to-italy".parse().expect("a name"),
        rule_name: "Spain to Italy".into(),
        channel: "mail".parse().expect("a name"),
        kind: DeliveryKind::Alert,
        status: DeliveryStatus::Failed,
        created_at: NOON,
        due_since: NOON,
        next_attempt_at: NOON.plus_millis(3_600_000),
        attempts: 20,
        last_error: Some("it answers 503 Service Unavailable".into()),
        finished_at: Some(NOON.plus_millis(43_200_000)),
        digest: Some("spain-to-italy.digest.1768136400000".into()),
        simulated: true,
        alerts: vec![Alert {
            alert_id: format!("{}#4", document.id),
            event: EventKind::Closed,
            at: NOON,
            opportunity: document.id,
            asin: document.asin,
            source_market: document.source_market,
            target_market: document.target_market,
            title: document.title,
            brand: document.brand,
            category: document.category,
            source_price: document.source_price,
            target_price: document.target_price,
            source_price_eur: document.source_price_eur,
            target_price_eur: document.target_price_eur,
            closed_reason: Some(ClosedReason::Gap),
            figures: told().figures,
            traps: vec![TrapReason::PriceOutlier, TrapReason::AmazonBack],
            previous: Some(told()),
        }],
    }
}

fn deliveries() -> Vec<Value> {
    let minimal = Delivery {
        id: "all.test.1768132800000".into(),
        kind: DeliveryKind::Test,
        status: DeliveryStatus::Waiting,
        attempts: 0,
        last_error: None,
        finished_at: None,
        digest: None,
        alerts: Vec::new(),
        ..delivery()
    };
    vec![json(delivery()), json(minimal)]
}

fn histories() -> Vec<Value> {
    let record = HistoryRecord {
        observed_at: ObservedAt {
            last_update: KeepaMinutes(7_897_680),
            fetched_at: NOON,
        },
        kind: PriceKind::BuyBox,
        to: KeepaMinutes(7_897_680),
        points: vec![
            (KeepaMinutes(7_638_480), Some(5_299)),
            (KeepaMinutes(7_700_000), None),
            (KeepaMinutes(7_720_000), Some(4_799)),
        ],
    };
    vec![json(record)]
}

fn standings() -> Vec<Value> {
    let evaluation = Evaluation {
        revision: NOON.0,
        rates_date: day(),
        settings_version: 3,
        evaluated_at: NOON,
    };
    let full = StandingRecord {
        standing: Standing {
            decided_seq: 4,
            opened_at: NOON,
            evaluation,
            armed: true,
            told_in_opening: false,
            told: Some(told()),
        },
        delivery: Some(Box::new(delivery())),
    };
    let minimal = StandingRecord {
        standing: Standing {
            told: None,
            ..full.standing.clone()
        },
        delivery: None,
    };
    vec![json(full), json(minimal)]
}

fn tallies() -> Vec<Value> {
    let full = RuleTally {
        day: 20_464,
        sent: BTreeSet::from([delivery().id]),
        digest_at: Some(NOON),
        closing: Some(ClosingDigest {
            id: "spain-to-italy.digest.1768136400000".into(),
            at: NOON,
            held: vec![delivery().id],
        }),
    };
    vec![json(full), json(RuleTally::default())]
}
