//! [`Costs`]: everything a ledger is computed from besides the two prices, each with where it comes from.
//!
//! **A new field comes last in its struct, with a default, and none moves or goes**: catalogs hold costs by position.

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::referral::ReferralRule;
use super::regime::Regime;
use super::share::Share;
use crate::domain::marketplace::Marketplace;
use crate::domain::money::{Currency, ExchangeRate, Money, MoneyError};

/// Where a number comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Said in the question.
    Given,
    /// The seller profile.
    Profile,
    /// What Keepa says of this article in this marketplace.
    Keepa,
    /// The dated table of VAT rates.
    VatTable,
    /// The dated table of Amazon's fees.
    FeeTable,
    /// The European Central Bank's reference rates.
    Ecb,
    /// The dated set of exchange rates that ships with the product, for simulated data.
    ShippedRates,
    /// Nobody said anything: what the product takes then.
    Default,
    /// Computed from the lines above.
    Computed,
}

impl Origin {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Origin::Given => "given",
            Origin::Profile => "profile",
            Origin::Keepa => "keepa",
            Origin::VatTable => "vat_table",
            Origin::FeeTable => "fee_table",
            Origin::Ecb => "ecb",
            Origin::ShippedRates => "shipped_rates",
            Origin::Default => "default",
            Origin::Computed => "computed",
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Who says so.
    pub origin: Origin,
    /// Since when it is so (tables), or of when it is (rates, observations).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<NaiveDate>,
    /// A default stood in for what is not known of this article or seller.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub assumed: bool,
}

impl<T> Sourced<T> {
    /// Known from somewhere.
    pub fn known(value: T, origin: Origin, date: Option<NaiveDate>) -> Sourced<T> {
        Sourced {
            value,
            origin,
            date,
            assumed: false,
        }
    }

    /// A stand-in.
    pub fn assumed(value: T, origin: Origin, date: Option<NaiveDate>) -> Sourced<T> {
        Sourced {
            value,
            origin,
            date,
            assumed: true,
        }
    }

    /// Another value of the same origin.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced {
            value: map(self.value),
            origin: self.origin,
            date: self.date,
            assumed: self.assumed,
        }
    }
}

/// The rates of the two currencies, and what a payout in a foreign one costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Of the currency in which is bought.
    pub source: ExchangeRate,
    /// Of the currency in which is sold.
    pub target: ExchangeRate,
    /// Whose rates these are, and of which day.
    pub origin: Origin,
    /// The day they were published for; none where they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<NaiveDate>,
    /// Part of a payout that its conversion costs; 0 on a sale in EUR.
    pub spread: Sourced<Share>,
}

/// Everything besides the prices. Amounts of the sale are in the target's currency, all others in EUR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// The seller's position towards VAT on this route.
    pub regime: Sourced<Regime>,
    /// VAT in the price where it is bought.
    pub vat_source: Sourced<Share>,
    /// VAT in the price where it is sold; of the difference under [`Regime::Margin`].
    pub vat_target: Sourced<Share>,
    /// VAT on Amazon's fees that is not recovered: [`Regime::Small`] only.
    pub fee_vat: Sourced<Share>,
    /// [`Regime::Import`]: the supplier sells without VAT because it leaves the country. Seldom granted.
    pub export_zero_rated: bool,
    /// The seller ships to the customer: what stands for the fulfilment fee is no fee of Amazon's.
    pub own_fulfilment: bool,
    /// Amazon's share of the price.
    pub referral: Sourced<ReferralRule>,
    /// It is at least this, target currency.
    pub referral_minimum: Sourced<Money>,
    /// Closing fee of media, target currency.
    pub closing_fee: Sourced<Money>,
    /// Fulfilment per unit, target currency.
    pub fba_fee: Sourced<Money>,
    /// Digital services fee, of referral and fulfilment fee.
    pub dsf_rate: Sourced<Share>,
    /// Inbound freight, EUR.
    pub freight: Sourced<Money>,
    /// Preparation, EUR.
    pub prep: Sourced<Money>,
    /// Storage until it is sold, EUR.
    pub storage: Sourced<Money>,
    /// Allowance for returns, EUR.
    pub returns: Sourced<Money>,
    /// Customs duty, EUR.
    pub duty: Sourced<Money>,
    /// Customs broker, EUR.
    pub broker: Sourced<Money>,
    /// Anything else, EUR.
    pub other: Sourced<Money>,
    /// Between the currencies.
    pub exchange: Exchange,
}

/// What is bought and sold, where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where it is bought.
    pub source: Marketplace,
    /// Where it is sold.
    pub target: Marketplace,
    /// What the customer pays there, VAT included, in the source's currency.
    pub source_price: Money,
    /// What the customer pays here, VAT and shipping included, in the target's currency.
    pub target_price: Money,
}

/// Numbers from which no ledger can be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum LedgerError {
    #[error("{name} is {amount}: an amount in {expected} from {least} to {MOST_MINOR} minor units is expected")]
    Amount {
        name: &'static str,
        amount: Money,
        expected: Currency,
        least: i64,
    },
    #[error("the exchange rate of {0} lies outside 0.000001 to 1000000 units per euro, or has more than 10 decimals")]
    Rate(Currency),
    #[error("a spread of the whole payout leaves nothing to compute")]
    Spread,
    #[error("the result is beyond what can be shown")]
    Overflow(#[from] MoneyError),
}

/// Ten billion euros: amounts up to here, times any rate allowed, stay exact.
pub(super) const MOST_MINOR: i64 = 1_000_000_000_000;

impl Costs {
    /// Whether all of it is of the right currency and of a size that stays exact.
    pub(super) fn check(&self, route: &Route) -> Result<(), LedgerError> {
        let amount = |name, amount: Money, expected: Currency, least: i64| {
            let fits = amount.currency == expected && (least..=MOST_MINOR).contains(&amount.minor);
            let error = LedgerError::Amount { name, amount, expected, least };
            if fits { Ok(()) } else { Err(error) }
        };
        let of_sale = self.exchange.target.currency();
        amount("source_price", route.source_price, self.exchange.source.currency(), 1)?;
        amount("target_price", route.target_price, of_sale, 1)?;
        for (name, value) in [
            ("referral_minimum", &self.referral_minimum),
            ("closing_fee", &self.closing_fee),
            ("fba_fee", &self.fba_fee),
        ] {
            amount(name, value.value, of_sale, 0)?;
        }
        for (name, value) in self.in_eur() {
            amount(name, value.value, Currency::EUR, 0)?;
        }
        for rate in [&self.exchange.source, &self.exchange.target] {
            if rate.currency() == Currency::EUR {
                continue;
            }
            let units = rate.units_per_eur();
            if units < Decimal::new(1, 6) || units > Decimal::from(1_000_000) || units.scale() > 10 && units.normalize().scale() > 10 {
                return Err(LedgerError::Rate(rate.currency()));
            }
        }
        if self.exchange.spread.value == Share::ONE {
            return Err(LedgerError::Spread);
        }
        Ok(())
    }

    /// The costs in EUR, in the order in which they are shown.
    pub(super) fn in_eur(&self) -> [(&'static str, &Sourced<Money>); 7] {
        [
            ("freight", &self.freight),
            ("prep", &self.prep),
            ("storage", &self.storage),
            ("returns", &self.returns),
            ("duty", &self.duty),
            ("broker", &self.broker),
            ("other", &self.other),
        ]
    }

    /// Costs that tie up money before the sale: all in EUR but storage and returns.
    pub(super) fn before_sale(&self) -> [&Sourced<Money>; 5] {
        [&self.freight, &self.prep, &self.duty, &self.broker, &self.other]
    }
}
