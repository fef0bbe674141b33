//! Pure: one product over all marketplaces, and what that means for the opportunities stored of it.
//!
//! [`evaluate`] says of every ordered pair of marketplaces whether there is a gap now. [`decide`] compares that with what is
//! stored: opened, improved, updated, closed, or nothing. [`unpublished`] says which stored events may never have left,
//! because a crash came between the write and the publishing.
//!
//! Laws (property tests below): deciding twice is deciding once; `event_seq` grows by exactly one per event; replaying any
//! part of a history changes nothing; in whatever order evaluations come, the newest has the last word.

#![deny(clippy::float_arithmetic, clippy::cast_precision_loss, clippy::cast_possible_truncation)]

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use shared::domain::assessment::assess;
use shared::domain::margin::margin;
use shared::domain::opportunity::{ClosedReason, Evaluation, EventKind, LastEvent, RatesUsed};
use shared::domain::profit::{ArticleFacts, Given, Net, Route, Sources, resolve};
use shared::domain::{
    Asin, Assessment, Currency, ExchangeRate, ExchangeRates, Listing, Marketplace, Money, Opportunity, OpportunityId, Percentage, Product, ShownPrice,
    StoredProduct, UnixMillis,
};
use shared::wire::OpportunityEvent;

use crate::settings::Settings;

/// A margin that grew by this much since the last alert raises another: one percentage point.
const IMPROVED_BY: i64 = 100;

/// A request and the events that it raised may have been timed by two machines' clocks, milliseconds. What was told within
/// this time before a restart is told again by the sweep at start, under the same id.
const CLOCK_ALLOWANCE_MILLIS: i64 = 5_000;

/// The rates' date in evaluations that used none: routes within the euro, and all while there are no rates.
const NO_RATES_DATE: NaiveDate = NaiveDate::from_ymd_opt(1970, 1, 1).expect("a date");

/// What products are evaluated by, besides their own facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    /// Threshold, age of legs, marketplaces.
    pub settings: Settings,
    /// The catalog's rates; none yet = routes over currencies are closed.
    pub rates: Option<ExchangeRates>,
    /// Whether the data comes from the simulator; `None` = the producer has not said yet.
    pub simulated: Option<bool>,
}

/// The numbers of a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Numbers {
    pub source_price: Money,
    pub target_price: Money,
    pub source_price_eur: Money,
    pub target_price_eur: Money,
    pub margin: Money,
    pub margin_percentage: Percentage,
    pub exchange_rate: Option<RatesUsed>,
    /// Of an open gap only.
    pub net: Option<Net>,
    /// Of an open gap only.
    pub assessment: Option<Assessment>,
    pub source_observed_at: UnixMillis,
    pub target_observed_at: UnixMillis,
}

/// What an evaluation found on one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A gap above the threshold between two fresh prices.
    Open(Numbers),
    /// A gap that is not above the threshold, or is none at all.
    TooSmall(Numbers),
    /// No gap can be computed, or the route is not configured.
    Impossible(ClosedReason),
    /// It depends on whether data is simulated, which nobody has said yet: what is stored stays as it is.
    Unknown,
}

/// One route of one product, evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteEvaluation {
    /// ASIN and route.
    pub id: OpportunityId,
    /// What was found.
    pub finding: Finding,
    /// Where it stands in the order of evaluations.
    ///
    /// The rates' date counts only where rates were used: a route within the euro does not grow older with them.
    pub evaluation: Evaluation,
}

/// The ids under which opportunities of a product may be stored: all pairs of the configured marketplaces and of those that
/// the product knows, because marketplaces may have been configured that are so no longer.
#[must_use]
pub fn route_ids(asin: Asin, configured: &[Marketplace], known: impl IntoIterator<Item = Marketplace>) -> Vec<OpportunityId> {
    let mut all = configured.to_vec();
    let extra: BTreeSet<Marketplace> = known.into_iter().filter(|marketplace| !configured.contains(marketplace)).collect();
    all.extend(extra);
    OpportunityId::routes(asin, &all).collect()
}

/// Evaluates every route of a product: those configured, and those that the product's other marketplaces would make,
/// which are closed (`config`).
#[must_use]
pub fn evaluate(product: &StoredProduct, basis: &Basis, now: UnixMillis) -> Vec<RouteEvaluation> {
    let settings = &basis.settings;
    let prices: BTreeMap<Marketplace, ShownPrice> = product.product.shown_prices(now, settings.staleness());
    let is_configured = |marketplace: Marketplace| settings.markets.contains(&marketplace);
    route_ids(product.product.asin, &settings.markets, product.product.markets.keys().copied())
        .into_iter()
        .map(|id| {
            let over_currencies = id.source.currency() != Currency::EUR || id.target.currency() != Currency::EUR;
            let finding = if is_configured(id.source) && is_configured(id.target) {
                find(&id, &product.product, &prices, basis, now)
            } else {
                Finding::Impossible(ClosedReason::Config)
            };
            let rates_date = basis.rates.as_ref().filter(|_| over_currencies).map_or(NO_RATES_DATE, |rates| rates.date);
            RouteEvaluation {
                id,
                finding,
                evaluation: Evaluation {
                    revision: product.revision,
                    rates_date,
                    settings_version: settings.version,
                    evaluated_at: now,
                },
            }
        })
        .collect()
}

fn find(id: &OpportunityId, product: &Product, prices: &BTreeMap<Marketplace, ShownPrice>, basis: &Basis, now: UnixMillis) -> Finding {
    let staleness = basis.settings.staleness();
    let (Some(source), Some(target)) = (prices.get(&id.source), prices.get(&id.target)) else {
        return Finding::Impossible(ClosedReason::PriceGone);
    };
    if source.is_stale(now, staleness) || target.is_stale(now, staleness) {
        return Finding::Impossible(ClosedReason::Stale);
    }
    let foreign: BTreeSet<Currency> = [source.price.currency, target.price.currency]
        .into_iter()
        .filter(|&currency| currency != Currency::EUR)
        .collect();
    let rates = match usable_rates(basis, &foreign, now) {
        Ok(rates) => rates,
        Err(NoRates::Closed) => return Finding::Impossible(ClosedReason::Rate),
        Err(NoRates::Unknown) => return Finding::Unknown,
    };
    let rate = |currency: Currency| match currency {
        Currency::EUR => Some(ExchangeRate::EUR),
        currency => rates.and_then(|rates| rates.rate(currency)),
    };
    let (Some(source_rate), Some(target_rate)) = (rate(source.price.currency), rate(target.price.currency)) else {
        return Finding::Impossible(ClosedReason::Rate);
    };
    // A price that rounds to zero euros is none, as zero is none; nor is one beyond 64 bits of cents.
    let Ok(gap) = margin(source.price, &source_rate, target.price, &target_rate) else {
        return Finding::Impossible(ClosedReason::PriceGone);
    };
    let exchange_rate = rates.map(|rates| RatesUsed {
        date: rates.date,
        units_per_eur: foreign
            .iter()
            .filter_map(|currency| Some((*currency, *rates.units_per_eur.get(currency)?)))
            .collect(),
    });
    let mut numbers = Numbers {
        source_price: source.price,
        target_price: target.price,
        source_price_eur: gap.source_eur,
        target_price_eur: gap.target_eur,
        margin: gap.margin,
        margin_percentage: gap.percentage,
        exchange_rate,
        net: None,
        assessment: None,
        source_observed_at: source.observed_at,
        target_observed_at: target.observed_at,
    };
    // The rounded number decides, since it is the one that is shown.
    if gap.percentage.to_decimal() > basis.settings.min_margin_percent {
        numbers.net = net(id, product, &numbers, rates, basis, now);
        numbers.assessment = assess(product, id, numbers.net.as_ref(), now, staleness);
        Finding::Open(numbers)
    } else {
        Finding::TooSmall(numbers)
    }
}

/// What is left of a gap for the seller; none where a cost of the route is not known, which keeps no gap from being shown.
fn net(id: &OpportunityId, product: &Product, numbers: &Numbers, rates: Option<&ExchangeRates>, basis: &Basis, now: UnixMillis) -> Option<Net> {
    let route = Route {
        source: id.source,
        target: id.target,
        source_price: numbers.source_price,
        target_price: numbers.target_price,
    };
    let seller = &basis.settings.seller;
    let sources = Sources {
        profile: &seller.profile,
        tables: &seller.tables,
        rates,
        at: now.to_utc().date_naive(),
    };
    let costs = resolve(&route, &Given::default(), &ArticleFacts::of(product, id.target), &sources).ok()?;
    Net::of(&route, costs).ok()
}

/// Rates are needed and there are none to use.
enum NoRates {
    /// None that may be used.
    Closed,
    /// They may be used for simulated data only, or real data only, and nobody has said yet which it is.
    Unknown,
}

/// The rates to use; none where no currency but the euro is involved.
fn usable_rates<'a>(basis: &'a Basis, foreign: &BTreeSet<Currency>, now: UnixMillis) -> Result<Option<&'a ExchangeRates>, NoRates> {
    if foreign.is_empty() {
        return Ok(None);
    }
    let rates = basis.rates.as_ref().ok_or(NoRates::Closed)?;
    let usable = match basis.simulated {
        Some(simulated) => Some(rates.usable(now, simulated)),
        None => {
            let either_way = rates.usable(now, true);
            (rates.usable(now, false) == either_way).then_some(either_way)
        }
    };
    match usable {
        Some(true) => Ok(Some(rates)),
        Some(false) => Err(NoRates::Closed),
        None => Err(NoRates::Unknown),
    }
}

/// What to do about one route.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// What is stored says it already, or the evaluation is older than what is stored, or there is nothing to store.
    Nothing,
    /// Write this, then tell.
    Write {
        /// The whole new document.
        opportunity: Box<Opportunity>,
        /// What to tell.
        news: News,
    },
}

/// What a write is worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The opportunity's new `last_event`, an alert.
    Alert,
    /// Its numbers or names changed; no alert.
    Updated,
    /// Only the ages of its legs changed.
    Nothing,
}

impl News {
    /// The event that goes out for a written opportunity.
    #[must_use]
    pub fn event(self, opportunity: &Opportunity) -> Option<OpportunityEvent> {
        match self {
            News::Alert => Some(OpportunityEvent::last_of(opportunity)),
            News::Updated => Some(OpportunityEvent::updated(opportunity)),
            News::Nothing => None,
        }
    }
}

/// Compares an evaluation with what is stored of its route.
#[must_use]
pub fn decide(stored: Option<&Opportunity>, names: &Listing, route: &RouteEvaluation) -> Decision {
    let Some(stored) = stored else {
        return match &route.finding {
            Finding::Open(numbers) => open(None, names, route, numbers),
            Finding::TooSmall(_) | Finding::Impossible(_) | Finding::Unknown => Decision::Nothing,
        };
    };
    if route.evaluation < stored.evaluation {
        return Decision::Nothing;
    }
    match (&route.finding, stored.is_active) {
        (Finding::Unknown, _) | (Finding::TooSmall(_) | Finding::Impossible(_), false) => Decision::Nothing,
        (Finding::Open(numbers), false) => open(Some(stored), names, route, numbers),
        (Finding::Open(numbers), true) => update(stored, names, route, numbers),
        (Finding::Impossible(reason), true) => close(stored, route, *reason),
        (Finding::TooSmall(numbers), true) => {
            // Open before and closed now on the same prices: it is the threshold that moved.
            let reason = if has_prices(stored, numbers) {
                ClosedReason::Config
            } else {
                ClosedReason::Gap
            };
            close(stored, route, reason)
        }
    }
}

fn open(closed: Option<&Opportunity>, names: &Listing, route: &RouteEvaluation, numbers: &Numbers) -> Decision {
    let now = route.evaluation.evaluated_at;
    let opportunity = Opportunity {
        id: route.id,
        title: names.title.clone(),
        brand: names.brand.clone(),
        category: names.category.clone(),
        image_url: names.image_url.clone(),
        source_price: numbers.source_price,
        target_price: numbers.target_price,
        source_price_eur: numbers.source_price_eur,
        target_price_eur: numbers.target_price_eur,
        margin: numbers.margin,
        margin_percentage: numbers.margin_percentage,
        exchange_rate: numbers.exchange_rate.clone(),
        net: numbers.net.clone(),
        assessment: numbers.assessment.clone(),
        is_active: true,
        closed_reason: None,
        first_seen: closed.map_or(now, |closed| closed.first_seen),
        opened_at: now,
        last_seen: now,
        source_observed_at: numbers.source_observed_at,
        target_observed_at: numbers.target_observed_at,
        event_seq: closed.map_or(0, |closed| closed.event_seq) + 1,
        last_event: event(EventKind::Opened, numbers.margin_percentage, route.evaluation),
        evaluation: route.evaluation,
    };
    Decision::Write {
        opportunity: Box::new(opportunity),
        news: News::Alert,
    }
}

fn update(stored: &Opportunity, names: &Listing, route: &RouteEvaluation, numbers: &Numbers) -> Decision {
    let mut opportunity = Opportunity {
        title: names.title.clone(),
        brand: names.brand.clone(),
        category: names.category.clone(),
        image_url: names.image_url.clone(),
        source_price: numbers.source_price,
        target_price: numbers.target_price,
        source_price_eur: numbers.source_price_eur,
        target_price_eur: numbers.target_price_eur,
        margin: numbers.margin,
        margin_percentage: numbers.margin_percentage,
        exchange_rate: numbers.exchange_rate.clone(),
        net: numbers.net.clone(),
        assessment: numbers.assessment.clone(),
        ..stored.clone()
    };
    let is_news = opportunity != *stored;
    opportunity.source_observed_at = numbers.source_observed_at;
    opportunity.target_observed_at = numbers.target_observed_at;
    if opportunity == *stored {
        return Decision::Nothing;
    }
    opportunity.last_seen = route.evaluation.evaluated_at;
    opportunity.evaluation = route.evaluation;
    let improved = numbers.margin_percentage.0.saturating_sub(stored.last_event.margin_percentage.0) >= IMPROVED_BY;
    if improved {
        opportunity.event_seq += 1;
        opportunity.last_event = event(EventKind::Improved, numbers.margin_percentage, route.evaluation);
    }
    let news = match (improved, is_news) {
        (true, _) => News::Alert,
        (false, true) => News::Updated,
        (false, false) => News::Nothing,
    };
    Decision::Write {
        opportunity: Box::new(opportunity),
        news,
    }
}

/// A closed opportunity keeps the numbers it last had.
fn close(stored: &Opportunity, route: &RouteEvaluation, reason: ClosedReason) -> Decision {
    let opportunity = Opportunity {
        is_active: false,
        closed_reason: Some(reason),
        event_seq: stored.event_seq + 1,
        last_event: event(EventKind::Closed, stored.margin_percentage, route.evaluation),
        evaluation: route.evaluation,
        ..stored.clone()
    };
    Decision::Write {
        opportunity: Box::new(opportunity),
        news: News::Alert,
    }
}

fn event(kind: EventKind, margin_percentage: Percentage, evaluation: Evaluation) -> LastEvent {
    LastEvent {
        kind,
        at: evaluation.evaluated_at,
        margin_percentage,
        evaluation,
    }
}

fn has_prices(stored: &Opportunity, numbers: &Numbers) -> bool {
    (stored.source_price, stored.target_price) == (numbers.source_price, numbers.target_price)
        && (stored.source_price_eur, stored.target_price_eur) == (numbers.source_price_eur, numbers.target_price_eur)
}

/// A record at hand that may have been worked on before, by an owner that crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A product document of this revision.
    Product {
        /// Its revision.
        revision: i64,
    },
    /// A request to evaluate again; the product was read when the request was worked on.
    Request {
        /// When it was published.
        made_at: UnixMillis,
    },
}

impl Cause {
    /// Whether working on this record may have made that evaluation.
    fn may_have_made(self, evaluation: &Evaluation) -> bool {
        match self {
            Cause::Product { revision } => evaluation.revision == revision,
            Cause::Request { made_at } => evaluation.evaluated_at.plus_millis(CLOCK_ALLOWANCE_MILLIS) >= made_at,
        }
    }
}

/// The events of a stored opportunity that these records may have raised before a crash: written, and perhaps never
/// published. They are published (again) under the same id, before anything is written over them.
///
/// Offsets go after the confirmation, so an event that did not leave was raised by a record that comes again.
#[must_use]
pub fn unpublished(stored: &Opportunity, causes: &[Cause]) -> Vec<OpportunityEvent> {
    let raised_here = |evaluation: &Evaluation| causes.iter().any(|cause| cause.may_have_made(evaluation));
    let alert = raised_here(&stored.last_event.evaluation).then(|| OpportunityEvent::last_of(stored));
    let is_update = stored.is_active && stored.evaluation != stored.last_event.evaluation;
    let updated = (is_update && raised_here(&stored.evaluation)).then(|| OpportunityEvent::updated(stored));
    alert.into_iter().chain(updated).collect()
}

/// Whether a product is older than one that was seen of its ASIN: such a one has nothing to say.
#[must_use]
pub fn is_superseded(revision: i64, seen: Option<i64>) -> bool {
    seen.is_some_and(|seen| revision < seen)
}

#[cfg(test)]
mod tests;
