//! [`resolve`]: puts together the costs of a route from what was asked, the seller profile, Keepa's facts and the dated tables,
//! in this order.

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::costs::{Costs, Exchange, Origin, Route, Sourced};
use super::profile::{Cost, Fulfilment, RouteProfile, SellerProfile, UnitCosts};
use super::referral::ReferralRule;
use super::regime::Regime;
use super::share::Share;
use super::tables::{EVERYTHING_ELSE, FbaSize, STANDARD, Tables, is_in_eu};
use crate::domain::marketplace::Marketplace;
use crate::domain::money::{Currency, ExchangeRate, Money, MoneyError};
use crate::domain::product::{Product, Source};
use crate::domain::rates::{ExchangeRates, RatesOrigin};

/// What the question itself says: it comes before everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Given {
    pub regime: Option<Regime>,
    pub vat_source: Option<Share>,
    pub vat_target: Option<Share>,
    pub fee_vat: Option<Share>,
    pub export_zero_rated: Option<bool>,
    pub referral: Option<GivenReferral>,
    pub referral_minimum: Option<Decimal>,
    pub closing_fee: Option<Decimal>,
    pub fba_fee: Option<Decimal>,
    pub dsf_rate: Option<Share>,
    pub freight: Option<Decimal>,
    pub prep: Option<Decimal>,
    pub storage: Option<Decimal>,
    pub returns: Option<Decimal>,
    pub duty: Option<Decimal>,
    pub broker: Option<Decimal>,
    pub other: Option<Decimal>,
    /// Units of the route's currency that is not the euro per 1 EUR.
    pub units_per_eur: Option<Decimal>,
    pub spread: Option<Share>,
}

/// A referral fee as people say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenReferral {
    /// As a rule.
    Rule(ReferralRule),
    /// As a category of the fee table.
    Category(String),
}

/// What is known of the article in the marketplace where it is sold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArticleFacts {
    /// Name of its root category.
    pub category: Option<String>,
    /// Keepa's referral fee, percent.
    pub referral_percentage: Option<Decimal>,
    /// Keepa's fulfilment fee, minor units.
    pub fba_fee: Option<i64>,
    /// Keepa's closing fee, minor units.
    pub closing_fee: Option<i64>,
    /// Packed.
    pub size: Option<FbaSize>,
    /// Grams, packed.
    pub weight_g: Option<i32>,
    /// When Keepa said so.
    pub observed: Option<NaiveDate>,
}

impl ArticleFacts {
    /// What Keepa tells of a product in a marketplace.
    #[must_use]
    pub fn of(product: &Product, market: Marketplace) -> ArticleFacts {
        let state = product.markets.get(&market).and_then(|sources| sources.get(&Source::Keepa));
        let Some(attributes) = state.and_then(|state| state.attributes.as_ref()) else {
            return ArticleFacts::default();
        };
        let facts = &attributes.facts;
        let size = match (facts.package_mm, facts.package_weight_g) {
            (Some(mm), Some(weight_g)) => Some(FbaSize { mm, weight_g }),
            _ => None,
        };
        ArticleFacts {
            category: facts.categories.first().map(|category| category.name.clone()),
            referral_percentage: facts.referral_fee_percentage,
            fba_fee: facts.fba_fee,
            closing_fee: facts.closing_fee,
            size,
            weight_g: facts.package_weight_g,
            observed: Some(attributes.observed_at.last_update.to_unix().to_utc().date_naive()),
        }
    }
}

/// Why the costs of a route are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Unresolved {
    #[error("no table has {what} for {market}: say {field}")]
    Unknown {
        what: &'static str,
        market: Marketplace,
        field: &'static str,
    },
    #[error("{0:?} is no category of the fee table")]
    Category(String),
    #[error("there is no exchange rate of {0}")]
    NoRate(Currency),
    #[error("one exchange rate cannot serve a route between {0} and {1}: leave it out, and today's are taken")]
    TwoCurrencies(Currency, Currency),
    #[error("{field} is {amount}: an amount from 0 with at most {digits} decimals is expected")]
    Amount { field: &'static str, amount: Decimal, digits: u32 },
    #[error("an amount or rate is out of bounds")]
    Money(#[from] MoneyError),
}

/// Everything that costs are put together from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The seller.
    pub profile: &'a SellerProfile,
    /// VAT rates and fees.
    pub tables: &'a Tables,
    /// Exchange rates; none where there are none yet.
    pub rates: Option<&'a ExchangeRates>,
    /// The day that table rows have to hold on.
    pub at: NaiveDate,
}

/// The costs of a route: what the question says, else the profile, else Keepa, else the tables.
///
/// # Errors
/// [`Unresolved`] names what nobody says.
pub fn resolve(route: &Route, given: &Given, article: &ArticleFacts, sources: &Sources<'_>) -> Result<Costs, Unresolved> {
    Resolver {
        route,
        given,
        article,
        sources,
    }
    .costs()
}

/// The costs of a route with other answers to some questions: what was known of the article stays.
///
/// # Errors
/// [`Unresolved`] names what cannot be.
pub fn reconsider(route: &Route, costs: Costs, given: &Given, sources: &Sources<'_>) -> Result<Costs, Unresolved> {
    let resolver = Resolver {
        route,
        given,
        article: &ArticleFacts::default(),
        sources,
    };
    resolver.reconsider(costs)
}

struct Resolver<'a> {
    route: &'a Route,
    given: &'a Given,
    article: &'a ArticleFacts,
    sources: &'a Sources<'a>,
}

impl Resolver<'_> {
    fn costs(&self) -> Result<Costs, Unresolved> {
        let Sources { profile, .. } = *self.sources;
        let Route { source, target, .. } = *self.route;
        let regime = self.regime();
        let category = self.category()?;
        let vat_target = self.vat(self.given.vat_target, target, "vat_target", category)?;
        let fulfilment = self.of_route(|saying| saying.fulfilment).unwrap_or(profile.fulfilment);
        let zero = Money::new(0, Currency::EUR);
        let unit = |field, given: Option<Decimal>, cost: fn(&UnitCosts) -> Option<Cost>| self.unit_cost(field, given, cost, zero);
        Ok(Costs {
            vat_source: self.vat(self.given.vat_source, source, "vat_source", category)?,
            fee_vat: self.share(self.given.fee_vat, profile.fee_vat).unwrap_or_else(|| Sourced {
                assumed: true,
                ..vat_target.clone()
            }),
            vat_target,
            export_zero_rated: self.given.export_zero_rated.unwrap_or(profile.export_zero_rated),
            own_fulfilment: fulfilment == Fulfilment::Own && self.given.fba_fee.is_none(),
            referral: self.referral(category)?,
            referral_minimum: self.referral_minimum(category)?,
            closing_fee: self.closing_fee()?,
            fba_fee: self.fba_fee(fulfilment)?,
            dsf_rate: self.dsf_rate(),
            freight: self.freight()?,
            prep: unit("prep", self.given.prep, |costs| costs.prep)?,
            storage: unit("storage", self.given.storage, |costs| costs.storage)?,
            returns: unit("returns", self.given.returns, |costs| costs.returns)?,
            duty: unit("duty", self.given.duty, |costs| costs.duty)?,
            broker: unit("broker", self.given.broker, |costs| costs.broker)?,
            other: unit("other", self.given.other, |costs| costs.other)?,
            exchange: self.exchange()?,
            regime,
        })
    }

    fn reconsider(&self, costs: Costs) -> Result<Costs, Unresolved> {
        let given = self.given;
        let share = |given: Option<Share>, held: Sourced<Share>| given.map_or(held, |share| Sourced::known(share, Origin::Given, None));
        let amount = |field, given: Option<Decimal>, held: Sourced<Money>| Ok::<_, Unresolved>(self.given(field, given, held.value.currency)?.unwrap_or(held));
        let exchange = match given.units_per_eur {
            Some(_) => self.exchange()?,
            None => costs.exchange,
        };
        Ok(Costs {
            regime: given.regime.map_or(costs.regime, |regime| Sourced::known(regime, Origin::Given, None)),
            vat_source: share(given.vat_source, costs.vat_source),
            vat_target: share(given.vat_target, costs.vat_target),
            fee_vat: share(given.fee_vat, costs.fee_vat),
            export_zero_rated: given.export_zero_rated.unwrap_or(costs.export_zero_rated),
            own_fulfilment: costs.own_fulfilment && given.fba_fee.is_none(),
            referral: if given.referral.is_some() {
                self.referral(self.category()?)?
            } else {
                costs.referral
            },
            referral_minimum: amount("referral_minimum", given.referral_minimum, costs.referral_minimum)?,
            closing_fee: amount("closing_fee", given.closing_fee, costs.closing_fee)?,
            fba_fee: amount("fba_fee", given.fba_fee, costs.fba_fee)?,
            dsf_rate: share(given.dsf_rate, costs.dsf_rate),
            freight: amount("freight", given.freight, costs.freight)?,
            prep: amount("prep", given.prep, costs.prep)?,
            storage: amount("storage", given.storage, costs.storage)?,
            returns: amount("returns", given.returns, costs.returns)?,
            duty: amount("duty", given.duty, costs.duty)?,
            broker: amount("broker", given.broker, costs.broker)?,
            other: amount("other", given.other, costs.other)?,
            exchange: Exchange {
                spread: share(given.spread, exchange.spread),
                ..exchange
            },
        })
    }

    /// What the profile says of this route.
    fn of_route<T>(&self, said: impl Fn(&RouteProfile) -> Option<T>) -> Option<T> {
        self.sources.profile.sayings(self.route.source, self.route.target).find_map(said)
    }

    fn share(&self, given: Option<Share>, profile: Option<Share>) -> Option<Sourced<Share>> {
        let given = given.map(|share| Sourced::known(share, Origin::Given, None));
        given.or_else(|| profile.map(|share| Sourced::known(share, Origin::Profile, None)))
    }

    /// Inside the union a registered seller buys from businesses, and over its border goods are imported.
    fn regime(&self) -> Sourced<Regime> {
        if let Some(regime) = self.given.regime {
            return Sourced::known(regime, Origin::Given, None);
        }
        match self.of_route(|saying| saying.regime).or(self.sources.profile.regime) {
            Some(regime) => Sourced::known(regime, Origin::Profile, None),
            None if is_in_eu(self.route.source) && is_in_eu(self.route.target) => Sourced::assumed(Regime::Rc, Origin::Default, None),
            None => Sourced::assumed(Regime::Import, Origin::Default, None),
        }
    }

    /// The category of the fee table, and whether somebody said so.
    fn category(&self) -> Result<(&str, bool), Unresolved> {
        let fees = &self.sources.tables.fees;
        if let Some(GivenReferral::Category(slug)) = &self.given.referral {
            return if fees.has_category(slug) {
                Ok((slug, true))
            } else {
                Err(Unresolved::Category(slug.chars().take(40).collect()))
            };
        }
        let known = self.article.category.as_deref().and_then(|name| fees.category_of(name));
        Ok((known.unwrap_or(EVERYTHING_ELSE), false))
    }

    fn vat(&self, given: Option<Share>, market: Marketplace, field: &'static str, (category, _): (&str, bool)) -> Result<Sourced<Share>, Unresolved> {
        if let Some(share) = given {
            return Ok(Sourced::known(share, Origin::Given, None));
        }
        let vat = &self.sources.tables.vat;
        let said = self.sources.profile.vat_class.as_deref();
        // Books have a class of their own; of everything else the class is not known.
        let class = said.or_else(|| vat.has_class(category).then_some(category)).unwrap_or(STANDARD);
        let rate = vat.rate(market.code(), class, self.sources.at);
        let rate = rate.map(|rate| Sourced {
            assumed: rate.assumed || said.is_none(),
            ..rate
        });
        rate.ok_or(Unresolved::Unknown {
            what: "a VAT rate",
            market,
            field,
        })
    }

    /// Keepa's rate is that of the article at about its present price. Where the table's rule says the same of that price it
    /// is taken, since it also knows of other prices.
    fn referral(&self, (category, is_given): (&str, bool)) -> Result<Sourced<ReferralRule>, Unresolved> {
        if let Some(GivenReferral::Rule(rule)) = &self.given.referral {
            return Ok(Sourced::known(rule.clone(), Origin::Given, None));
        }
        let market = self.route.target;
        let by_table = self.sources.tables.fees.referral(category, market, self.sources.at);
        let by_keepa = self.article.referral_percentage.and_then(|percent| Share::of_percent(percent).ok());
        match (by_keepa, by_table) {
            (Some(rate), by_table) if !is_given => {
                let price = self.route.target_price.to_decimal();
                let close = |rule: &ReferralRule| (rule.fee(price) - price * rate.get()).abs() <= price * Decimal::new(5, 4);
                let rule = by_table.map(|rule| rule.value).filter(close);
                let rule = rule.unwrap_or_else(|| ReferralRule::flat(rate));
                Ok(Sourced::known(rule, Origin::Keepa, self.article.observed))
            }
            (_, Some(by_table)) => Ok(Sourced {
                assumed: !is_given,
                ..by_table
            }),
            (_, None) => Err(Unresolved::Unknown {
                what: "a referral fee",
                market,
                field: "referral",
            }),
        }
    }

    /// A given amount, which must be one.
    fn given(&self, field: &'static str, given: Option<Decimal>, currency: Currency) -> Result<Option<Sourced<Money>>, Unresolved> {
        let Some(amount) = given else { return Ok(None) };
        let digits = currency.minor_digits();
        if amount.is_sign_negative() && !amount.is_zero() || amount.normalize().scale() > digits {
            return Err(Unresolved::Amount { field, amount, digits });
        }
        Ok(Some(Sourced::known(Money::from_decimal(amount, currency)?, Origin::Given, None)))
    }

    fn referral_minimum(&self, (category, is_given): (&str, bool)) -> Result<Sourced<Money>, Unresolved> {
        let market = self.route.target;
        if let Some(given) = self.given("referral_minimum", self.given.referral_minimum, market.currency())? {
            return Ok(given);
        }
        let by_table = self.sources.tables.fees.referral_minimum(category, market, self.sources.at)?;
        let minimum = by_table.unwrap_or_else(|| Sourced::known(Money::new(0, market.currency()), Origin::Default, None));
        Ok(Sourced { assumed: !is_given, ..minimum })
    }

    fn closing_fee(&self) -> Result<Sourced<Money>, Unresolved> {
        let currency = self.route.target.currency();
        if let Some(given) = self.given("closing_fee", self.given.closing_fee, currency)? {
            return Ok(given);
        }
        Ok(match self.article.closing_fee {
            Some(fee) => Sourced::known(Money::new(fee, currency), Origin::Keepa, self.article.observed),
            None => Sourced::assumed(Money::new(0, currency), Origin::Default, None),
        })
    }

    fn fba_fee(&self, fulfilment: Fulfilment) -> Result<Sourced<Money>, Unresolved> {
        let market = self.route.target;
        let currency = market.currency();
        if let Some(given) = self.given("fba_fee", self.given.fba_fee, currency)? {
            return Ok(given);
        }
        let profile = self.sources.profile;
        if fulfilment == Fulfilment::Own {
            return match profile.own_shipping.get(&market) {
                Some(cost) => Ok(Sourced::known(cost.to_money(currency)?, Origin::Profile, None)),
                None => Err(Unresolved::Unknown {
                    what: "a price of own shipping",
                    market,
                    field: "own_shipping in the seller profile, or fba_fee",
                }),
            };
        }
        let by_keepa = self
            .article
            .fba_fee
            .map(|fee| Sourced::known(Money::new(fee, currency), Origin::Keepa, self.article.observed));
        let fees = &self.sources.tables.fees;
        let fee = match by_keepa {
            Some(fee) => fee,
            None => fees
                .fba(self.article.size, self.route.target_price, market, self.sources.at)?
                .ok_or(Unresolved::Unknown {
                    what: "a fulfilment fee",
                    market,
                    field: "fba_fee",
                })?,
        };
        if fulfilment == Fulfilment::Fba {
            return Ok(fee);
        }
        if is_in_eu(self.route.source) != is_in_eu(market) {
            // Amazon sends nothing over a customs border: the stock has to be where it is sold.
            return Ok(Sourced { assumed: true, ..fee });
        }
        let dearer = Money::from_decimal(fee.value.to_decimal() * profile.efn_factor, currency)?;
        Ok(Sourced {
            value: dearer,
            assumed: true,
            ..fee
        })
    }

    fn dsf_rate(&self) -> Sourced<Share> {
        let profile = self.sources.profile;
        let said = self.share(self.given.dsf_rate, profile.dsf_rate);
        let by_table = || {
            let rate = self.sources.tables.fees.digital_services(&profile.home, self.route.target, self.sources.at)?;
            Some(Sourced {
                assumed: profile.is_default,
                ..rate
            })
        };
        said.or_else(by_table).unwrap_or_else(|| Sourced::assumed(Share::ZERO, Origin::Default, None))
    }

    /// What is given, else what the profile says of the route, else of all routes, else nothing.
    fn unit_cost(
        &self,
        field: &'static str,
        given: Option<Decimal>,
        cost: fn(&UnitCosts) -> Option<Cost>,
        nothing: Money,
    ) -> Result<Sourced<Money>, Unresolved> {
        if let Some(given) = self.given(field, given, Currency::EUR)? {
            return Ok(given);
        }
        let profile = self.sources.profile;
        let said = self.of_route(|saying| cost(&saying.costs)).or_else(|| cost(&profile.costs));
        Ok(match said {
            Some(said) => Sourced {
                assumed: profile.is_default,
                ..Sourced::known(said.to_money(Currency::EUR)?, profile.origin(), None)
            },
            None => Sourced::assumed(nothing, Origin::Default, None),
        })
    }

    fn freight(&self) -> Result<Sourced<Money>, Unresolved> {
        let nothing = Money::new(0, Currency::EUR);
        let freight = self.unit_cost("freight", self.given.freight, |costs| costs.freight, nothing)?;
        let per_kg = self.unit_cost("freight", None, |costs| costs.freight_per_kg, nothing)?;
        if freight.origin == Origin::Given || per_kg.value.minor == 0 {
            return Ok(freight);
        }
        let Some(weight_g) = self.article.weight_g.filter(|&grams| grams > 0) else {
            return Ok(Sourced { assumed: true, ..freight });
        };
        let by_weight = per_kg.value.to_decimal() * Decimal::from(weight_g) / Decimal::ONE_THOUSAND;
        let value = freight.value.plus(Money::from_decimal(by_weight, Currency::EUR)?)?;
        Ok(Sourced {
            origin: per_kg.origin,
            assumed: per_kg.assumed,
            ..Sourced { value, ..freight }
        })
    }

    fn exchange(&self) -> Result<Exchange, Unresolved> {
        let (source, target) = (self.route.source.currency(), self.route.target.currency());
        let profile = self.sources.profile;
        let spread = self
            .share(self.given.spread, profile.spread)
            .unwrap_or_else(|| Sourced::assumed(Share::ZERO, Origin::Default, None));
        let foreign: Vec<Currency> = [source, target].into_iter().filter(|&currency| currency != Currency::EUR).collect();
        if let Some(units) = self.given.units_per_eur.filter(|_| !foreign.is_empty()) {
            if foreign.len() == 2 && source != target {
                return Err(Unresolved::TwoCurrencies(source, target));
            }
            let rate = |currency| {
                if currency == Currency::EUR {
                    Ok(ExchangeRate::EUR)
                } else {
                    ExchangeRate::new(currency, units)
                }
            };
            return Ok(Exchange {
                source: rate(source)?,
                target: rate(target)?,
                origin: Origin::Given,
                date: None,
                spread,
            });
        }
        let rate = |currency| match currency {
            Currency::EUR => Ok(ExchangeRate::EUR),
            currency => self.sources.rates.and_then(|rates| rates.rate(currency)).ok_or(Unresolved::NoRate(currency)),
        };
        let of = self.sources.rates.filter(|_| !foreign.is_empty());
        Ok(Exchange {
            source: rate(source)?,
            target: rate(target)?,
            origin: match of.map(|rates| rates.origin) {
                Some(RatesOrigin::Shipped) => Origin::ShippedRates,
                Some(RatesOrigin::Ecb) => Origin::Ecb,
                None => Origin::Computed,
            },
            date: of.map(|rates| rates.date),
            spread,
        })
    }
}

#[cfg(test)]
mod tests;
