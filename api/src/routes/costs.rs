//! Costs as questions say them: the fields that `/profit` and `/opportunities/what-if` have in common.

use poem_openapi::Object;
use rust_decimal::Decimal;
use shared::domain::profit::{GivenReferral, NotARule, ReferralRule, RuleKind, Share, Step};

use crate::error::Problem;
use crate::sent::{SentNumber, SentShare, SentWord};

/// A document of costs, every one of which may be left out, with some fields of its own before them.
macro_rules! costs_document {
    ($(#[$docs:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$docs])*
        struct $name {
            $($own)*
            /// VAT in the price where it is bought.
            vat_source: Option<$crate::sent::SentShare>,
            /// VAT in the price where it is sold.
            vat_target: Option<$crate::sent::SentShare>,
            /// VAT on Amazon's fees that a small business does not recover; that of the target where it is left out.
            fee_vat: Option<$crate::sent::SentShare>,
            /// `IMPORT` only: the supplier sells without VAT, because it leaves the country.
            export_zero_rated: Option<$crate::sent::SentFlag>,
            /// Amazon's share of the price.
            referral: Option<$crate::routes::costs::ReferralDocument>,
            /// The referral fee is at least this, target currency.
            referral_minimum: Option<$crate::sent::SentNumber>,
            /// Closing fee of media, target currency.
            closing_fee: Option<$crate::sent::SentNumber>,
            /// Fulfilment by Amazon, target currency.
            fba_fee: Option<$crate::sent::SentNumber>,
            /// Digital services fee, of referral and fulfilment fee.
            dsf_rate: Option<$crate::sent::SentShare>,
            /// Inbound freight, EUR.
            freight: Option<$crate::sent::SentNumber>,
            /// Preparation, EUR.
            prep: Option<$crate::sent::SentNumber>,
            /// Storage until it is sold, EUR.
            storage: Option<$crate::sent::SentNumber>,
            /// Allowance for returns, EUR.
            returns: Option<$crate::sent::SentNumber>,
            /// Customs duty, EUR.
            duty: Option<$crate::sent::SentNumber>,
            /// Customs broker, EUR.
            broker: Option<$crate::sent::SentNumber>,
            /// Anything else, EUR.
            other: Option<$crate::sent::SentNumber>,
            /// For routes over currencies; today's where it is left out. Ignored between two marketplaces in EUR.
            exchange_rate: Option<$crate::routes::costs::ExchangeDocument>,
        }

        impl $name {
            /// The costs that were said, and not the regime.
            fn costs(&self) -> Result<shared::domain::profit::Given, $crate::error::Problem> {
                let number = |field: &str, sent: &Option<$crate::sent::SentNumber>| sent.as_ref().map(|sent| sent.read(field)).transpose();
                let share = |field: &str, sent: &Option<$crate::sent::SentShare>| sent.as_ref().map(|sent| sent.read(field)).transpose();
                let exchange = self.exchange_rate.as_ref();
                Ok(shared::domain::profit::Given {
                    regime: None,
                    vat_source: share("vat_source", &self.vat_source)?,
                    vat_target: share("vat_target", &self.vat_target)?,
                    fee_vat: share("fee_vat", &self.fee_vat)?,
                    export_zero_rated: self.export_zero_rated.as_ref().map(|sent| sent.read("export_zero_rated")).transpose()?,
                    referral: self.referral.as_ref().map($crate::routes::costs::referral).transpose()?,
                    referral_minimum: number("referral_minimum", &self.referral_minimum)?,
                    closing_fee: number("closing_fee", &self.closing_fee)?,
                    fba_fee: number("fba_fee", &self.fba_fee)?,
                    dsf_rate: share("dsf_rate", &self.dsf_rate)?,
                    freight: number("freight", &self.freight)?,
                    prep: number("prep", &self.prep)?,
                    storage: number("storage", &self.storage)?,
                    returns: number("returns", &self.returns)?,
                    duty: number("duty", &self.duty)?,
                    broker: number("broker", &self.broker)?,
                    other: number("other", &self.other)?,
                    units_per_eur: exchange.and_then(|exchange| exchange.units_per_eur.as_ref()).map($crate::routes::costs::units_per_eur).transpose()?,
                    spread: exchange
                        .and_then(|exchange| exchange.spread.as_ref())
                        .map(|sent| sent.read("exchange_rate.spread"))
                        .transpose()?,
                })
            }
        }
    };
}

pub(crate) use costs_document;

/// A referral fee: one `rate`, a `category` of the fee table, or a rule of a `kind` with `steps`.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Referral", deny_unknown_fields)]
pub(crate) struct ReferralDocument {
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
pub(crate) struct StepDocument {
    /// Up to this price, itself included, target currency; left out in the last step.
    up_to: Option<SentNumber>,
    /// Of the price, or of its portion.
    rate: SentShare,
}

/// Between the euro and the route's other currency.
#[derive(Debug, Clone, Object)]
#[oai(rename = "ExchangeRateAsked", deny_unknown_fields)]
pub(crate) struct ExchangeDocument {
    /// Units of the currency that is not the euro per 1 EUR.
    pub(crate) units_per_eur: Option<SentNumber>,
    /// Part of a payout that its conversion costs; 0 where it is left out.
    pub(crate) spread: Option<SentShare>,
}

/// Units of the route's other currency per 1 EUR.
pub(crate) fn units_per_eur(sent: &SentNumber) -> Result<Decimal, Problem> {
    let units = sent.read("exchange_rate.units_per_eur")?;
    if units > Decimal::ZERO {
        Ok(units)
    } else {
        Err(Problem::field("exchange_rate.units_per_eur", format!("is {units}: more than 0 is expected")))
    }
}

/// A referral fee as it was said.
pub(crate) fn referral(document: &ReferralDocument) -> Result<GivenReferral, Problem> {
    let rule = |rule: Result<ReferralRule, _>| {
        rule.map(GivenReferral::Rule)
            .map_err(|error: NotARule| Problem::field("referral", error.to_string()))
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
