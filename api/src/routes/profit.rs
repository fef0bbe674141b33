//! `/profit`: what is left of a gap, line by line.

#![deny(clippy::float_arithmetic, clippy::cast_precision_loss, clippy::cast_possible_truncation)]

use std::sync::Arc;

use chrono::NaiveDate;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use rust_decimal::Decimal;
use serde::Serialize;
use shared::domain::profit::{ArticleFacts, Given, Ledger, Line, Regime, Route, Sources, Unresolved, ledger, resolve};
use shared::domain::{Currency, Marketplace, Money, UnixMillis};

use super::Group;
use super::costs::costs_document;
use crate::api::Api;
use crate::error::{Problem, QuestionFailure};
use crate::sent::{SentMarket, SentNumber, SentWord};
use crate::values::{Amount, CurrencyCode, LineEffect, LineOrigin, RegimeCode};

/// The handlers.
pub(crate) struct ProfitRoutes {
    api: Arc<Api>,
}

costs_document!(
    /// A route and what is known of its costs. Amounts are decimals, shares fractions (0.15 for 15 %). What is left out comes
    /// from the seller profile and the dated tables, and the lines of the answer say so.
    #[derive(Debug, Clone, Object)]
    #[oai(rename = "ProfitQuestion", deny_unknown_fields)]
    QuestionDocument {
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
    }
);

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
    /// Who says so; `observed`: the price as it was seen in the marketplace.
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

/// What nobody says, as a problem of the question.
pub(super) fn refuse(unresolved: Unresolved) -> Problem {
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
        let given = Given {
            regime: Some(question.regime.read::<Regime>("regime", "a VAT regime such as RC")?),
            ..question.costs()?
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

    /// Whose two prices are no question's, but were seen then.
    pub(super) fn of_observed_prices(mut self, source: UnixMillis, target: UnixMillis) -> LedgerDocument {
        for (name, at) in [("source_price", source), ("target_price", target)] {
            if let Some(line) = self.lines.iter_mut().find(|line| line.name == name) {
                line.source = LineOrigin("observed");
                line.date = Some(at.to_utc().date_naive());
            }
        }
        self
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
