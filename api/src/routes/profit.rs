//! `/profit`: what is left of a gap, line by line.

use std::sync::Arc;

use chrono::NaiveDate;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use rust_decimal::Decimal;
use serde::Serialize;
use shared::domain::profit::{
    ArticleFacts, Given, GivenReferral, Ledger, Line, ReferralRule, Regime, Route, RuleKind, Share, Sources, Step, Unresolved, ledger, resolve,
};
use shared::domain::{Currency, Marketplace, Money};

use super::Group;
use crate::api::Api;
use crate::error::{Problem, QuestionFailure};
use crate::sent::{SentFlag, SentMarket, SentNumber, SentShare, SentWord};
use crate::values::{Amount, CurrencyCode, LineEffect, LineOrigin, RegimeCode};

/// The handlers.
pub(crate) struct ProfitRoutes {
    api: Arc<Api>,
}

/// A route and what is known of its costs. Amounts are decimals, shares fractions (0.15 for 15 %). What is left out comes
/// from the seller profile and the dated tables, and the lines of the answer say so.
#[derive(Debug, Clone, Object)]
#[oai(rename = "ProfitQuestion", deny_unknown_fields)]
struct QuestionDocument {
    /// The seller's position towards VAT. `RC`: invoiced without VAT, reverse charge. `DOM`: domestic invoice, input VAT
    /// deducted. `LOST`: the VAT paid is not deducted. `SMALL`: not registered, no VAT on the sale, VAT on Amazon's fees is a
    /// cost. `MARGIN`: margin scheme, VAT on the difference. `IMPORT`: over a customs border.
    regime: SentWord,
    /// Where it is bought. `GB` is accepted for `UK`.
    source_market: SentMarket,
    /// Where it is sold.
    target_market: SentMarket,
    /// Price paid where it is bought, VAT included, in that marketplace's currency.
    source_price: SentNumber,
    /// Price the customer pays where it is sold, VAT and shipping included, in that marketplace's currency.
    target_price: SentNumber,
    /// VAT in the price where it is bought.
    vat_source: Option<SentShare>,
    /// VAT in the price where it is sold.
    vat_target: Option<SentShare>,
    /// VAT on Amazon's fees that a small business does not recover; that of the target where it is left out.
    fee_vat: Option<SentShare>,
    /// `IMPORT` only: the supplier sells without VAT, because it leaves the country.
    export_zero_rated: Option<SentFlag>,
    /// Amazon's share of the price.
    referral: Option<ReferralDocument>,
    /// The referral fee is at least this, target currency.
    referral_minimum: Option<SentNumber>,
    /// Closing fee of media, target currency.
    closing_fee: Option<SentNumber>,
    /// Fulfilment by Amazon, target currency.
    fba_fee: Option<SentNumber>,
    /// Digital services fee, of referral and fulfilment fee.
    dsf_rate: Option<SentShare>,
    /// Inbound freight, EUR.
    freight: Option<SentNumber>,
    /// Preparation, EUR.
    prep: Option<SentNumber>,
    /// Storage until it is sold, EUR.
    storage: Option<SentNumber>,
    /// Allowance for returns, EUR.
    returns: Option<SentNumber>,
    /// Customs duty, EUR.
    duty: Option<SentNumber>,
    /// Customs broker, EUR.
    broker: Option<SentNumber>,
    /// Anything else, EUR.
    other: Option<SentNumber>,
    /// For routes over currencies; today's where it is left out. Ignored between two marketplaces in EUR.
    exchange_rate: Option<ExchangeDocument>,
}

/// A referral fee: one `rate`, a `category` of the fee table, or a rule of a `kind` with `steps`.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Referral", deny_unknown_fields)]
struct ReferralDocument {
    /// One rate for every price.
    rate: Option<SentShare>,
    /// A category of the fee table, such as `watches` or `everything_else`.
    category: Option<SentWord>,
    /// `whole`: the price picks one rate for all of it. `marginal`: each rate applies to its portion of the price.
    kind: Option<SentWord>,
    /// Rates by price, the last without `up_to`.
    steps: Option<Vec<StepDocument>>,
}

/// A rate up to a price.
#[derive(Debug, Clone, Object)]
#[oai(rename = "ReferralStep", deny_unknown_fields)]
struct StepDocument {
    /// Up to this price, itself included, target currency; left out in the last step.
    up_to: Option<SentNumber>,
    /// Of the price, or of its portion.
    rate: SentShare,
}

/// Between the euro and the route's other currency.
#[derive(Debug, Clone, Object)]
#[oai(rename = "ExchangeRateAsked", deny_unknown_fields)]
struct ExchangeDocument {
    /// Units of the currency that is not the euro per 1 EUR.
    units_per_eur: Option<SentNumber>,
    /// Part of a payout that its conversion costs; 0 where it is left out.
    spread: Option<SentShare>,
}

/// One line of a ledger.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "LedgerLine")]
pub(crate) struct LineDocument {
    /// What it is: `source_price`, `input_vat`, `purchase_cost`, `target_price`, `output_vat`, `sale_net`, `referral_fee`,
    /// `closing_fee`, `fba_fee`, `dsf`, `fee_vat`, `proceeds`, `fx_spread`, `freight`, `prep`, `storage`, `returns`, `duty`,
    /// `broker`, `other`, `profit`; `purchase_cost_eur` and `proceeds_eur` where they are converted; `warning`.
    name: String,
    /// Rounded half up to the minor unit, before the next line is computed from it.
    amount: Amount,
    /// ISO 4217.
    currency: CurrencyCode,
    /// `adds` to the profit, `subtracts` from it, is a `sum` of lines above, or a `note`.
    effect: LineEffect,
    /// The share, or the units per 1 EUR, that it was computed with; null where there is none, or several.
    #[oai(nullable)]
    rate: Option<Amount>,
    /// Who says so.
    source: LineOrigin,
    /// Since when that holds (tables), or of when it is (exchange rates, Keepa); null where it has no date.
    #[oai(nullable)]
    date: Option<NaiveDate>,
    /// A default stood in for what is not known of this article or seller.
    assumed: bool,
    /// What there is to say about it.
    #[oai(nullable)]
    note: Option<String>,
}

/// A ledger: the profit of a route and everything it is made of. Arithmetic under the regime that was chosen, not tax advice.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Ledger")]
pub(crate) struct LedgerDocument {
    /// In the order in which they are computed.
    lines: Vec<LineDocument>,
    /// The regime it was computed under.
    regime: RegimeCode,
    /// What the purchase costs, in the source market's currency: `source_price / (1 + vat_source)` under `RC` and `DOM` (and
    /// `IMPORT` of an export without VAT), else the price itself.
    purchase_cost: Amount,
    /// `target_price - output_vat`, target market's currency.
    sale_net: Amount,
    /// VAT on the sale, target market's currency: what is left of the price when `target_price / (1 + vat_target)` is taken
    /// away; 0 under `SMALL`; under `MARGIN` `(target - source) * vat / (1 + vat)`, never below 0.
    output_vat: Amount,
    /// Amazon's share: the rule on the gross price, at least the minimum; target market's currency.
    referral_fee: Amount,
    /// Digital services fee: `dsf_rate * (referral_fee + fba_fee)`, target market's currency.
    dsf: Amount,
    /// EUR: proceeds (net sale less all of Amazon's fees, converted once) less purchase, freight, prep, storage, returns, duty,
    /// broker, other and the spread of the conversion.
    profit: Amount,
    /// EUR tied up before the sale: purchase, freight, prep, duty, broker, other.
    capital: Amount,
    /// `100 * profit / capital`; null where no capital is tied up.
    #[oai(nullable)]
    roi_percentage: Option<Amount>,
    /// `100 * profit / sale_net` in EUR; null where nothing is left of the sale.
    #[oai(nullable)]
    net_margin_percentage: Option<Amount>,
    /// `100 * (target_price - source_price) / target_price`, both gross in EUR: for comparison, it says nothing of profit.
    #[oai(nullable)]
    gross_gap_percentage: Option<Amount>,
    /// The least `target_price` at which nothing is lost, every line rounded; null where none is high enough. With a rule of
    /// whole bands a higher price may lose again.
    #[oai(nullable)]
    break_even_price: Option<Amount>,
    /// The greatest `source_price` at which nothing is lost; null where none is low enough.
    #[oai(nullable)]
    max_purchase_price: Option<Amount>,
    /// `100 * (target_price - break_even_price) / target_price`: how far the price may fall.
    #[oai(nullable)]
    buffer_percentage: Option<Amount>,
    /// What the numbers are not.
    notice: String,
}

/// How `/profit` answers.
#[derive(ApiResponse)]
enum LedgerAnswer {
    /// The ledger.
    #[oai(status = 200)]
    Computed(Json<LedgerDocument>),
}

const NOTICE: &str = "Arithmetic under the VAT regime that was chosen, with fees as of their dates: not tax advice.";

#[OpenApi(tag = "Group::Opportunities")]
impl ProfitRoutes {
    /// What is left of a gap
    ///
    /// The ledger of one route under given prices and costs. Nothing is looked up of any article; today's exchange rate is,
    /// where the route needs one and none is given.
    #[oai(path = "/profit", method = "post", operation_id = "compute_profit")]
    async fn compute(&self, question: Json<QuestionDocument>) -> Result<LedgerAnswer, QuestionFailure> {
        let asked = Asked::of(&question.0)?;
        let needs_rates =
            asked.given.units_per_eur.is_none() && [asked.route.source, asked.route.target].iter().any(|market| market.currency() != Currency::EUR);
        let surroundings = match needs_rates {
            true => Some(self.api.surroundings().await.map_err(Problem::from)?),
            false => None,
        };
        let seller = &self.api.config.seller;
        let sources = Sources {
            profile: &seller.profile,
            tables: &seller.tables,
            rates: surroundings.as_ref().and_then(|surroundings| surroundings.usable_rates()),
            at: self.api.now().to_utc().date_naive(),
        };
        let costs = resolve(&asked.route, &asked.given, &ArticleFacts::default(), &sources).map_err(refuse)?;
        let ledger = ledger(&asked.route, &costs).map_err(|error| Problem::question(error.to_string()))?;
        Ok(LedgerAnswer::Computed(Json(LedgerDocument::of(ledger, costs.regime.value))))
    }
}

impl ProfitRoutes {
    pub(super) fn new(api: Arc<Api>) -> Self {
        ProfitRoutes { api }
    }
}

fn refuse(unresolved: Unresolved) -> Problem {
    match unresolved {
        Unresolved::NoRate(_) => Problem::question(format!("{unresolved}: say exchange_rate")),
        Unresolved::Amount { field, amount, digits } => {
            Problem::field(field, format!("is {amount}: an amount from 0 with at most {digits} decimals is expected"))
        }
        other => Problem::question(other.to_string()),
    }
}

/// A question that was understood.
struct Asked {
    route: Route,
    given: Given,
}

impl Asked {
    fn of(question: &QuestionDocument) -> Result<Asked, Problem> {
        let source = question.source_market.read("source_market")?.0;
        let target = question.target_market.read("target_market")?.0;
        if source == target {
            return Err(Problem::field("target_market", "is the market where it is bought"));
        }
        let route = Route {
            source,
            target,
            source_price: price("source_price", &question.source_price, source)?,
            target_price: price("target_price", &question.target_price, target)?,
        };
        let number = |field: &str, sent: &Option<SentNumber>| sent.as_ref().map(|sent| sent.read(field)).transpose();
        let share = |field: &str, sent: &Option<SentShare>| sent.as_ref().map(|sent| sent.read(field)).transpose();
        let exchange = question.exchange_rate.as_ref();
        let given = Given {
            regime: Some(question.regime.read::<Regime>("regime", "a VAT regime such as RC")?),
            vat_source: share("vat_source", &question.vat_source)?,
            vat_target: share("vat_target", &question.vat_target)?,
            fee_vat: share("fee_vat", &question.fee_vat)?,
            export_zero_rated: question.export_zero_rated.as_ref().map(|sent| sent.read("export_zero_rated")).transpose()?,
            referral: question.referral.as_ref().map(referral).transpose()?,
            referral_minimum: number("referral_minimum", &question.referral_minimum)?,
            closing_fee: number("closing_fee", &question.closing_fee)?,
            fba_fee: number("fba_fee", &question.fba_fee)?,
            dsf_rate: share("dsf_rate", &question.dsf_rate)?,
            freight: number("freight", &question.freight)?,
            prep: number("prep", &question.prep)?,
            storage: number("storage", &question.storage)?,
            returns: number("returns", &question.returns)?,
            duty: number("duty", &question.duty)?,
            broker: number("broker", &question.broker)?,
            other: number("other", &question.other)?,
            units_per_eur: exchange.and_then(|exchange| exchange.units_per_eur.as_ref()).map(units_per_eur).transpose()?,
            spread: exchange
                .and_then(|exchange| exchange.spread.as_ref())
                .map(|sent| sent.read("exchange_rate.spread"))
                .transpose()?,
        };
        Ok(Asked { route, given })
    }
}

/// A price as it stands in a shop: more than nothing, and no fraction of a minor unit.
fn price(field: &str, sent: &SentNumber, market: Marketplace) -> Result<Money, Problem> {
    let amount = sent.read(field)?;
    let currency = market.currency();
    let digits = currency.minor_digits();
    let is_price = amount > Decimal::ZERO && amount.normalize().scale() <= digits;
    let refused = || {
        Problem::field(
            field,
            format!("is {amount}: a price above 0 in {currency} with at most {digits} decimals is expected"),
        )
    };
    if !is_price {
        return Err(refused());
    }
    Money::from_decimal(amount, currency).map_err(|_| refused())
}

fn units_per_eur(sent: &SentNumber) -> Result<Decimal, Problem> {
    let units = sent.read("exchange_rate.units_per_eur")?;
    if units > Decimal::ZERO {
        Ok(units)
    } else {
        Err(Problem::field("exchange_rate.units_per_eur", format!("is {units}: more than 0 is expected")))
    }
}

fn referral(document: &ReferralDocument) -> Result<GivenReferral, Problem> {
    let rule = |rule: Result<ReferralRule, _>| {
        rule.map(GivenReferral::Rule)
            .map_err(|error: shared::domain::profit::NotARule| Problem::field("referral", error.to_string()))
    };
    match (&document.rate, &document.category, &document.kind, &document.steps) {
        (Some(rate), None, None, None) => Ok(GivenReferral::Rule(ReferralRule::flat(rate.read("referral.rate")?))),
        (None, Some(category), None, None) => Ok(GivenReferral::Category(category.read("referral.category", "a category")?)),
        (None, None, Some(kind), Some(steps)) => {
            let kind = match kind.read::<String>("referral.kind", "whole or marginal")?.as_str() {
                "whole" => RuleKind::Whole,
                "marginal" => RuleKind::Marginal,
                other => return Err(Problem::field("referral.kind", format!("is {other:.20}: whole or marginal is expected"))),
            };
            let steps = steps.iter().map(|step| {
                let up_to = step.up_to.as_ref().map(|sent| sent.read("referral.steps.up_to")).transpose()?;
                let rate: Share = step.rate.read("referral.steps.rate")?;
                Ok(Step { up_to, rate })
            });
            rule(ReferralRule::of_steps(kind, steps.collect::<Result<_, Problem>>()?))
        }
        _ => Err(Problem::field(
            "referral",
            "is expected to be a rate, a category, or a kind with steps".to_owned(),
        )),
    }
}

impl LedgerDocument {
    /// A ledger as it is shown.
    pub(crate) fn of(ledger: Ledger, regime: Regime) -> LedgerDocument {
        LedgerDocument {
            lines: ledger.lines.into_iter().map(LineDocument::of).collect(),
            regime: RegimeCode(regime.code()),
            purchase_cost: ledger.purchase_cost.into(),
            sale_net: ledger.sale_net.into(),
            output_vat: ledger.output_vat.into(),
            referral_fee: ledger.referral_fee.into(),
            dsf: ledger.dsf.into(),
            profit: ledger.profit.into(),
            capital: ledger.capital.into(),
            roi_percentage: ledger.roi_percentage.map(Amount),
            net_margin_percentage: ledger.net_margin_percentage.map(Amount),
            gross_gap_percentage: ledger.gross_gap_percentage.map(Amount),
            break_even_price: ledger.break_even_price.map(Amount::from),
            max_purchase_price: ledger.max_purchase_price.map(Amount::from),
            buffer_percentage: ledger.buffer_percentage.map(Amount),
            notice: NOTICE.to_owned(),
        }
    }
}

impl LineDocument {
    fn of(line: Line) -> LineDocument {
        LineDocument {
            name: line.name.to_owned(),
            amount: line.amount.into(),
            currency: CurrencyCode(line.amount.currency.code()),
            effect: LineEffect(line.effect.name()),
            rate: line.rate.map(Amount),
            source: LineOrigin(line.origin.name()),
            date: line.date,
            assumed: line.assumed,
            note: line.note.map(str::to_owned),
        }
    }
}
