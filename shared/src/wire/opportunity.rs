//! The opportunity document: index `opportunities`, and inside the events of topic `alerts.opportunities`.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::json::{self, Form};
use crate::domain::listing::name_key;
use crate::domain::opportunity::{ClosedReason, Evaluation, LastEvent, RatesUsed};
use crate::domain::profit::{Costs, Net};
use crate::domain::{Asin, Assessment, Currency, Marketplace, Money, Opportunity, OpportunityId, Percentage, UnixMillis};

/// One opportunity. Times are Unix milliseconds, amounts minor units, percentages hundredths (1459 = 14.59 %).
/// `C` is `Unread` where lists read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "C: Deserialize<'de>"))]
#[allow(missing_docs)]
pub struct OpportunityDocument<C = Costs> {
    pub id: OpportunityId,
    pub asin: Asin,
    pub source_market: Marketplace,
    pub target_market: Marketplace,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category_key: Option<String>,
    pub source_price: Money,
    pub target_price: Money,
    pub source_price_eur: Money,
    pub target_price_eur: Money,
    pub margin: Money,
    pub margin_percentage: Percentage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange_rate: Option<RatesUsedDocument>,
    /// What is left of it for the configured seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<NetDocument<C>>,
    /// What speaks for and against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assessment: Option<Assessment>,
    pub is_active: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_reason: Option<ClosedReason>,
    pub first_seen: UnixMillis,
    pub opened_at: UnixMillis,
    pub last_seen: UnixMillis,
    pub source_observed_at: UnixMillis,
    pub target_observed_at: UnixMillis,
    /// The older of the two `observed_at`, for the freshness filter.
    pub oldest_leg_at: UnixMillis,
    pub event_seq: i64,
    pub last_event: LastEvent,
    pub evaluation: Evaluation,
}

/// Fields of a catalog's opportunity that nothing is searched by.
const BY_POSITION: &[&str] = &["exchange_rate", "costs", "last_event", "evaluation"];

/// Appends the document as a catalog holds it: what nothing is searched by stands by position.
///
/// So the fields of [`Costs`], [`LastEvent`], [`Evaluation`] and [`RatesUsedDocument`], and of what is in them, keep their order.
pub fn append_catalog_json(document: &OpportunityDocument, json: &mut Vec<u8>) {
    json::append(document, Form::NamedBut(BY_POSITION), json).expect("a document is plain structs with string keys, and memory takes it");
}

/// A profit: euro cents, hundredths of percent, and what the ledger is computed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct NetDocument<C = Costs> {
    pub profit: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roi: Option<Percentage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer: Option<Percentage>,
    pub costs: C,
}

impl From<Net> for NetDocument {
    fn from(net: Net) -> Self {
        NetDocument {
            profit: net.profit.minor,
            roi: net.roi,
            buffer: net.buffer,
            costs: net.costs,
        }
    }
}

impl<C> From<NetDocument<C>> for Net<C> {
    fn from(document: NetDocument<C>) -> Self {
        Net {
            profit: Money::new(document.profit, Currency::EUR),
            roi: document.roi,
            buffer: document.buffer,
            costs: document.costs,
        }
    }
}

/// Rates used: units per 1 EUR as decimal strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RatesUsedDocument {
    pub date: NaiveDate,
    pub rates: BTreeMap<Currency, String>,
}

impl From<RatesUsed> for RatesUsedDocument {
    fn from(used: RatesUsed) -> Self {
        RatesUsedDocument {
            date: used.date,
            rates: used.units_per_eur.into_iter().map(|(currency, rate)| (currency, rate.to_string())).collect(),
        }
    }
}

impl From<RatesUsedDocument> for RatesUsed {
    fn from(document: RatesUsedDocument) -> Self {
        // A rate that is no decimal cannot have been written by us; leaving it out shows as a missing rate.
        let units_per_eur = document
            .rates
            .into_iter()
            .filter_map(|(currency, rate)| Some((currency, rate.parse::<Decimal>().ok()?)))
            .collect();
        RatesUsed {
            date: document.date,
            units_per_eur,
        }
    }
}

impl From<Opportunity> for OpportunityDocument {
    fn from(opportunity: Opportunity) -> Self {
        OpportunityDocument {
            id: opportunity.id,
            asin: opportunity.id.asin,
            source_market: opportunity.id.source,
            target_market: opportunity.id.target,
            brand_key: opportunity.brand.as_deref().map(name_key),
            category_key: opportunity.category.as_deref().map(name_key),
            oldest_leg_at: opportunity.oldest_leg(),
            title: opportunity.title,
            brand: opportunity.brand,
            category: opportunity.category,
            image_url: opportunity.image_url,
            source_price: opportunity.source_price,
            target_price: opportunity.target_price,
            source_price_eur: opportunity.source_price_eur,
            target_price_eur: opportunity.target_price_eur,
            margin: opportunity.margin,
            margin_percentage: opportunity.margin_percentage,
            exchange_rate: opportunity.exchange_rate.map(Into::into),
            net: opportunity.net.map(Into::into),
            assessment: opportunity.assessment,
            is_active: opportunity.is_active,
            closed_reason: opportunity.closed_reason,
            first_seen: opportunity.first_seen,
            opened_at: opportunity.opened_at,
            last_seen: opportunity.last_seen,
            source_observed_at: opportunity.source_observed_at,
            target_observed_at: opportunity.target_observed_at,
            event_seq: opportunity.event_seq,
            last_event: opportunity.last_event,
            evaluation: opportunity.evaluation,
        }
    }
}

impl<C> From<OpportunityDocument<C>> for Opportunity<C> {
    fn from(document: OpportunityDocument<C>) -> Self {
        Opportunity {
            id: document.id,
            title: document.title,
            brand: document.brand,
            category: document.category,
            image_url: document.image_url,
            source_price: document.source_price,
            target_price: document.target_price,
            source_price_eur: document.source_price_eur,
            target_price_eur: document.target_price_eur,
            margin: document.margin,
            margin_percentage: document.margin_percentage,
            exchange_rate: document.exchange_rate.map(Into::into),
            net: document.net.map(Into::into),
            assessment: document.assessment,
            is_active: document.is_active,
            closed_reason: document.closed_reason,
            first_seen: document.first_seen,
            opened_at: document.opened_at,
            last_seen: document.last_seen,
            source_observed_at: document.source_observed_at,
            target_observed_at: document.target_observed_at,
            event_seq: document.event_seq,
            last_event: document.last_event,
            evaluation: document.evaluation,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::assessment::OpportunityScore;
    use crate::domain::opportunity::EventKind;
    use crate::domain::profit::{ArticleFacts, Given, Regime, Route, Seller, Sources, resolve};
    use crate::domain::{Trap, TrapReason};

    fn money() -> impl Strategy<Value = Money> {
        (any::<i64>(), prop::sample::select(Currency::ALL.to_vec())).prop_map(|(minor, currency)| Money::new(minor, currency))
    }

    fn date() -> impl Strategy<Value = NaiveDate> {
        (0..60_000_i32).prop_map(|days| NaiveDate::from_num_days_from_ce_opt(700_000 + days).expect("a day of our age"))
    }

    fn evaluation() -> impl Strategy<Value = Evaluation> {
        (date(), any::<[i64; 3]>()).prop_map(|(rates_date, [revision, settings_version, evaluated_at])| Evaluation {
            revision,
            rates_date,
            settings_version,
            evaluated_at: UnixMillis(evaluated_at),
        })
    }

    fn last_event() -> impl Strategy<Value = LastEvent> {
        let kind = prop::sample::select(vec![EventKind::Opened, EventKind::Improved, EventKind::Closed]);
        (kind, any::<[i64; 2]>(), evaluation()).prop_map(|(kind, [at, margin_percentage], evaluation)| LastEvent {
            kind,
            at: UnixMillis(at),
            margin_percentage: Percentage(margin_percentage),
            evaluation,
        })
    }

    fn rates() -> impl Strategy<Value = Option<RatesUsed>> {
        let rate = (1..i64::MAX, 0..10_u32).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale));
        let rates = prop::collection::btree_map(prop::sample::select(Currency::ALL.to_vec()), rate, 0..3);
        prop::option::of((date(), rates).prop_map(|(date, units_per_eur)| RatesUsed { date, units_per_eur }))
    }

    fn id() -> impl Strategy<Value = OpportunityId> {
        ("[A-Z0-9]{10}", prop::sample::subsequence(Marketplace::ALL.to_vec(), 2), any::<bool>()).prop_map(|(asin, pair, turned)| OpportunityId {
            asin: asin.parse().expect("ten letters or digits"),
            source: pair[usize::from(turned)],
            target: pair[usize::from(!turned)],
        })
    }

    /// Of a route from Germany to the United Kingdom.
    fn net_of(source: i64, target: i64, regime: Regime, freight: Option<i64>) -> Net {
        let route = Route {
            source: Marketplace::DE,
            target: Marketplace::UK,
            source_price: Money::new(source, Currency::EUR),
            target_price: Money::new(target, Currency::GBP),
        };
        let given = Given {
            regime: Some(regime),
            freight: freight.map(|cents| Decimal::new(cents, 2)),
            units_per_eur: Some(Decimal::new(86_120, 5)),
            ..Given::default()
        };
        let seller = Seller::default();
        let sources = Sources {
            profile: &seller.profile,
            tables: &seller.tables,
            rates: None,
            at: NaiveDate::from_ymd_opt(2026, 3, 1).expect("a day"),
        };
        let costs = resolve(&route, &given, &ArticleFacts::default(), &sources).expect("a European route");
        Net::of(&route, costs).expect("small amounts")
    }

    /// A document of a profit, as good as any.
    pub(crate) fn any_net() -> serde_json::Value {
        let net = net_of(4_999, 6_499, Regime::Import, None);
        serde_json::to_value(NetDocument::from(net)).expect("plain data")
    }

    fn net() -> impl Strategy<Value = Net> {
        let prices = (1..100_000_i64, 1..100_000_i64);
        let regime = prop::sample::select(Regime::ALL.to_vec());
        (prices, regime, prop::option::of(0..10_000_i64)).prop_map(|((source, target), regime, freight)| net_of(source, target, regime, freight))
    }

    fn assessment() -> impl Strategy<Value = Option<Assessment>> {
        let markets = prop::sample::select(vec![None, Some(Marketplace::DE), Some(Marketplace::UK)]);
        let reason = || prop::sample::select(TrapReason::ALL.to_vec());
        let traps = prop::collection::vec((reason(), markets).prop_map(|(reason, market)| Trap { reason, market }), 0..4);
        let score = prop::option::of(any::<[i64; 4]>().prop_map(|numbers| {
            let [value, market, safety, cheapness] = numbers.map(Percentage);
            OpportunityScore {
                value,
                market,
                safety,
                cheapness,
            }
        }));
        let unchecked = prop::collection::vec(reason(), 0..3);
        prop::option::of(
            (traps, unchecked, any::<i64>(), score).prop_map(|(traps, unchecked, confidence, score)| Assessment {
                traps,
                unchecked,
                confidence: Percentage(confidence),
                score,
            }),
        )
    }

    fn closed_reason() -> impl Strategy<Value = Option<ClosedReason>> {
        use ClosedReason::{Config, Gap, PriceGone, Rate, Stale};
        prop::option::of(prop::sample::select(vec![Gap, PriceGone, Stale, Rate, Config]))
    }

    fn opportunity() -> impl Strategy<Value = Opportunity> {
        let amounts = [money(), money(), money(), money(), money()];
        let net = (prop::option::of(net()), assessment());
        let basis = (id(), rates(), net, closed_reason(), last_event(), evaluation());
        (basis, amounts, any::<[Option<String>; 4]>(), any::<[i64; 7]>(), any::<bool>()).prop_map(|(basis, amounts, names, numbers, is_active)| {
            let (id, exchange_rate, (net, assessment), closed_reason, last_event, evaluation) = basis;
            let [source_price, target_price, source_price_eur, target_price_eur, margin] = amounts;
            let [title, brand, category, image_url] = names;
            Opportunity {
                id,
                title,
                brand,
                category,
                image_url,
                source_price,
                target_price,
                source_price_eur,
                target_price_eur,
                margin,
                margin_percentage: Percentage(numbers[0]),
                exchange_rate,
                net,
                assessment,
                is_active,
                closed_reason,
                first_seen: UnixMillis(numbers[1]),
                opened_at: UnixMillis(numbers[2]),
                last_seen: UnixMillis(numbers[3]),
                source_observed_at: UnixMillis(numbers[4]),
                target_observed_at: UnixMillis(numbers[5]),
                event_seq: numbers[6],
                last_event,
                evaluation,
            }
        })
    }

    proptest! {
        #[test]
        fn an_opportunity_comes_back_from_its_document_and_from_json(opportunity in opportunity()) {
            let document = OpportunityDocument::from(opportunity.clone());
            prop_assert_eq!(Opportunity::from(document.clone()), opportunity.clone());
            let json = serde_json::to_string(&document).expect("JSON");
            let mut of_catalog = Vec::new();
            append_catalog_json(&document, &mut of_catalog);
            for json in [json.as_bytes(), &of_catalog] {
                let read: OpportunityDocument = serde_json::from_slice(json).expect("what was written is read");
                prop_assert_eq!(&read, &document);
                prop_assert_eq!(&Opportunity::from(read), &opportunity);
            }
            let again = serde_json::to_string(&OpportunityDocument::from(Opportunity::from(document))).expect("JSON");
            prop_assert_eq!(again, json);
        }
    }
}
