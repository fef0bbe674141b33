//! Pure: one product over all marketplaces, and what that means for the opportunities stored of it.
//!
//! [`Evaluator`] says of every ordered pair of marketplaces whether there is a gap now. [`decide`] compares that with what is
//! stored: opened, improved, updated, closed, or nothing. [`unpublished`] says which stored events may never have left,
//! because a crash came between the write and the publishing.
//!
//! Laws (property tests below): deciding twice is deciding once; `event_seq` grows by exactly one per event; replaying any
//! part of a history changes nothing; in whatever order evaluations come, the newest has the last word.

#![deny(clippy::float_arithmetic, clippy::cast_precision_loss, clippy::cast_possible_truncation)]

use std::cell::OnceCell;
use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use shared::domain::assessment::{self, JudgedLeg, has_variation_parent};
use shared::domain::margin::Margin;
use shared::domain::opportunity::{ClosedReason, Evaluation, EventKind, LastEvent, RatesUsed};
use shared::domain::profit::{ArticleFacts, Net, Route, SaleTerms, Terms};
use shared::domain::{
    Assessment, Currency, ExchangeRate, ExchangeRates, Listing, Marketplace, Money, Opportunity, OpportunityId, Percentage, Product, ShownPrice, StoredProduct,
    UnixMillis,
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

/// The two prices of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Prices {
    pub source: Money,
    pub target: Money,
    pub source_eur: Money,
    pub target_eur: Money,
}

/// The numbers of an open gap.
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
    pub net: Option<Net>,
    pub assessment: Option<Assessment>,
    pub source_observed_at: UnixMillis,
    pub target_observed_at: UnixMillis,
}

/// What an evaluation found on one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A gap above the threshold between two fresh prices.
    Open(Box<Numbers>),
    /// A gap that is not above the threshold, or is none at all.
    TooSmall(Prices),
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

/// The marketplaces between which opportunities of a product may be stored: the configured ones and those that the product
/// knows, because marketplaces may have been configured that are so no longer.
#[must_use]
pub fn route_markets(configured: &[Marketplace], known: impl IntoIterator<Item = Marketplace>) -> Vec<Marketplace> {
    let mut all = configured.to_vec();
    for marketplace in known {
        if !all.contains(&marketplace) {
            all.push(marketplace);
        }
    }
    all
}

/// Evaluates products by a basis on one day. What all products have in common is worked out once, when it is made.
#[derive(Debug, Clone)]
pub struct Evaluator {
    basis: Basis,
    /// A gap is open above so many hundredths of a percent.
    threshold: Percentage,
    terms: Terms,
}

impl Evaluator {
    /// For the day of `now`.
    #[must_use]
    pub fn new(basis: &Basis, now: UnixMillis) -> Evaluator {
        let settings = &basis.settings;
        Evaluator {
            // Whole hundredths are above a number if they are above what is left of it without its fraction.
            threshold: Percentage(hundredths_below(settings.min_margin_percent)),
            terms: Terms::new(&settings.seller, basis.rates.as_ref(), day(now), &settings.markets),
            basis: basis.clone(),
        }
    }

    /// Whether this is still the day that it was made for: costs are those of a day.
    #[must_use]
    pub fn is_of_day(&self, now: UnixMillis) -> bool {
        self.terms.day() == day(now)
    }

    /// Evaluates every route of a product: those configured, and those that the product's other marketplaces would make,
    /// which are closed (`config`).
    #[must_use]
    pub fn evaluate(&self, product: &StoredProduct, now: UnixMillis) -> Vec<RouteEvaluation> {
        let asin = product.product.asin;
        let evaluation = Evaluation {
            revision: product.revision,
            rates_date: NO_RATES_DATE,
            settings_version: self.basis.settings.version,
            evaluated_at: now,
        };
        let over_currencies = Evaluation {
            rates_date: self.basis.rates.as_ref().map_or(NO_RATES_DATE, |rates| rates.date),
            ..evaluation
        };
        let article = Article {
            evaluator: self,
            product: &product.product,
            now,
            has_parent: OnceCell::new(),
        };
        let legs = article.legs();
        let mut routes = Vec::with_capacity(legs.len() * legs.len().saturating_sub(1));
        for (source, source_leg) in &legs {
            for (target, target_leg) in &legs {
                if source == target {
                    continue;
                }
                let finding = match (source_leg, target_leg) {
                    (Ok(source), Ok(target)) => article.find(source, target),
                    (Err(one), Err(other)) => one.min(other).finding(),
                    (Err(fault), Ok(_)) | (Ok(_), Err(fault)) => fault.finding(),
                };
                let is_foreign = source.currency() != Currency::EUR || target.currency() != Currency::EUR;
                routes.push(RouteEvaluation {
                    id: OpportunityId {
                        asin,
                        source: *source,
                        target: *target,
                    },
                    finding,
                    evaluation: if is_foreign { over_currencies } else { evaluation },
                });
            }
        }
        routes
    }
}

fn day(instant: UnixMillis) -> NaiveDate {
    instant.to_utc().date_naive()
}

/// The greatest number of whole hundredths that is not above a percentage; bounds that no percentage reaches are cut.
fn hundredths_below(percent: Decimal) -> i64 {
    let hundredths = percent.checked_mul(Decimal::ONE_HUNDRED).map(|hundredths| hundredths.floor());
    let beyond = if percent.is_sign_negative() { i64::MIN } else { i64::MAX };
    hundredths.and_then(|hundredths| i64::try_from(hundredths).ok()).unwrap_or(beyond)
}

/// A marketplace is no leg of any route. Of two reasons the first in this order is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum NoLeg {
    /// It is not configured.
    NotConfigured,
    /// It shows no price.
    NoPrice,
    /// It shows one that is too old.
    Stale,
    /// Its currency has no rate that may be used.
    NoRate,
    /// Rates may be used for simulated data only, or real data only, and nobody has said yet which it is.
    UnknownRate,
    /// Its price is beyond 64 bits of euro cents.
    Overflow,
}

impl NoLeg {
    fn finding(self) -> Finding {
        match self {
            NoLeg::NotConfigured => Finding::Impossible(ClosedReason::Config),
            NoLeg::NoPrice | NoLeg::Overflow => Finding::Impossible(ClosedReason::PriceGone),
            NoLeg::Stale => Finding::Impossible(ClosedReason::Stale),
            NoLeg::NoRate => Finding::Impossible(ClosedReason::Rate),
            NoLeg::UnknownRate => Finding::Unknown,
        }
    }
}

/// A marketplace with a price that counts.
struct Leg<'a> {
    marketplace: Marketplace,
    assessed: assessment::Leg<'a>,
    shown: ShownPrice,
    eur: Money,
    /// What selling there costs; worked out for the first open gap that sells there.
    sale: OnceCell<Option<SaleTerms>>,
    /// Likewise for the first that buys or sells there.
    judged: OnceCell<JudgedLeg<'a>>,
}

/// One product, being evaluated.
struct Article<'a> {
    evaluator: &'a Evaluator,
    product: &'a Product,
    now: UnixMillis,
    has_parent: OnceCell<bool>,
}

impl<'a> Article<'a> {
    /// The configured marketplaces, then the others that the product knows.
    fn legs(&self) -> Vec<(Marketplace, Result<Leg<'a>, NoLeg>)> {
        let markets = &self.evaluator.basis.settings.markets;
        let mut legs = Vec::with_capacity(markets.len());
        legs.extend(markets.iter().map(|&marketplace| (marketplace, self.leg(marketplace))));
        let others = self.product.markets.keys().filter(|marketplace| !markets.contains(marketplace));
        legs.extend(others.map(|&marketplace| (marketplace, Err(NoLeg::NotConfigured))));
        legs
    }

    fn leg(&self, marketplace: Marketplace) -> Result<Leg<'a>, NoLeg> {
        let staleness = self.evaluator.basis.settings.staleness();
        let assessed = assessment::Leg::of(self.product, marketplace, self.now, staleness).ok_or(NoLeg::NoPrice)?;
        let shown = assessed.shown();
        if shown.is_stale(self.now, staleness) {
            return Err(NoLeg::Stale);
        }
        let rate = match shown.price.currency {
            Currency::EUR => ExchangeRate::EUR,
            currency => self.usable_rates()?.rate(currency).ok_or(NoLeg::NoRate)?,
        };
        Ok(Leg {
            marketplace,
            assessed,
            shown,
            eur: rate.to_eur(shown.price).map_err(|_| NoLeg::Overflow)?,
            sale: OnceCell::new(),
            judged: OnceCell::new(),
        })
    }

    fn usable_rates(&self) -> Result<&'a ExchangeRates, NoLeg> {
        let Basis { rates, simulated, .. } = &self.evaluator.basis;
        let rates = rates.as_ref().ok_or(NoLeg::NoRate)?;
        let usable = match simulated {
            Some(simulated) => Some(rates.usable(self.now, *simulated)),
            None => {
                let either_way = rates.usable(self.now, true);
                (rates.usable(self.now, false) == either_way).then_some(either_way)
            }
        };
        match usable {
            Some(true) => Ok(rates),
            Some(false) => Err(NoLeg::NoRate),
            None => Err(NoLeg::UnknownRate),
        }
    }

    fn find(&self, source: &Leg<'a>, target: &Leg<'a>) -> Finding {
        // A price that rounds to zero euros is none, as zero is none; nor is one beyond 64 bits of cents.
        let Ok(gap) = Margin::between(source.eur, target.eur) else {
            return Finding::Impossible(ClosedReason::PriceGone);
        };
        // The rounded number decides, since it is the one that is shown.
        if gap.percentage <= self.evaluator.threshold {
            return Finding::TooSmall(Prices {
                source: source.shown.price,
                target: target.shown.price,
                source_eur: source.eur,
                target_eur: target.eur,
            });
        }
        let net = self.net(source, target);
        let has_parent = *self.has_parent.get_or_init(|| has_variation_parent(self.product));
        let assessment = Assessment::of(has_parent, self.judged(source), self.judged(target), net.as_ref());
        Finding::Open(Box::new(Numbers {
            source_price: source.shown.price,
            target_price: target.shown.price,
            source_price_eur: gap.source_eur,
            target_price_eur: gap.target_eur,
            margin: gap.margin,
            margin_percentage: gap.percentage,
            exchange_rate: self.rates_used(source, target),
            net,
            assessment: Some(assessment),
            source_observed_at: source.shown.observed_at,
            target_observed_at: target.shown.observed_at,
        }))
    }

    fn judged<'l>(&self, leg: &'l Leg<'a>) -> &'l JudgedLeg<'a> {
        leg.judged
            .get_or_init(|| JudgedLeg::of(leg.assessed, self.evaluator.basis.settings.staleness()))
    }

    /// What is left of a gap for the seller; none where a cost of the route is not known, which keeps no gap from being shown.
    fn net(&self, source: &Leg<'_>, target: &Leg<'_>) -> Option<Net> {
        let terms = &self.evaluator.terms;
        let sale = || {
            let article = ArticleFacts::of(self.product, target.marketplace);
            terms.sale(target.marketplace, target.shown.price, &article).ok()
        };
        let costs = terms.costs(source.marketplace, target.sale.get_or_init(sale).as_ref()?).ok()?;
        let route = Route {
            source: source.marketplace,
            target: target.marketplace,
            source_price: source.shown.price,
            target_price: target.shown.price,
        };
        Net::of(&route, costs).ok()
    }

    fn rates_used(&self, source: &Leg<'_>, target: &Leg<'_>) -> Option<RatesUsed> {
        let currencies = [source.shown.price.currency, target.shown.price.currency];
        let foreign = currencies.into_iter().filter(|&currency| currency != Currency::EUR);
        let rates = self.evaluator.basis.rates.as_ref()?;
        let units_per_eur: BTreeMap<Currency, Decimal> = foreign.filter_map(|currency| Some((currency, *rates.units_per_eur.get(&currency)?))).collect();
        (!units_per_eur.is_empty()).then_some(RatesUsed {
            date: rates.date,
            units_per_eur,
        })
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
        (Finding::TooSmall(prices), true) => {
            // Open before and closed now on the same prices: it is the threshold that moved.
            let reason = if has_prices(stored, prices) {
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

fn has_prices(stored: &Opportunity, prices: &Prices) -> bool {
    (stored.source_price, stored.target_price) == (prices.source, prices.target)
        && (stored.source_price_eur, stored.target_price_eur) == (prices.source_eur, prices.target_eur)
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
