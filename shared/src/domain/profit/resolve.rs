//! [`resolve`]: puts together the costs of a route from what was asked, the seller profile, Keepa's facts and the dated tables,
//! in this order. [`Terms`]: the same for all routes of many articles, with what they have in common looked up once.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::costs::{Costs, Exchange, Origin, Route, Sourced};
use super::profile::{Cost, Fulfilment, RouteProfile, Seller, SellerProfile, UnitCosts};
use super::referral::ReferralRule;
use super::regime::Regime;
use super::share::Share;
use super::tables::{EVERYTHING_ELSE, FbaSize, STANDARD, Tables, is_in_eu};
use crate::domain::marketplace::Marketplace;
use crate::domain::money::{Currency, ExchangeRate, Money, MoneyError};
use crate::domain::product::Product;
use crate::domain::rates::{ExchangeRates, RatesOrigin};
use crate::domain::source::Source;

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ArticleFacts<'a> {
    /// Name of its root category.
    pub category: Option<&'a str>,
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

impl<'a> ArticleFacts<'a> {
    /// What Keepa tells of a product in a marketplace.
    #[must_use]
    pub fn of(product: &'a Product, market: Marketplace) -> ArticleFacts<'a> {
        let state = product.markets.get(&market).and_then(|sources| sources.get(Source::Keepa));
        let Some(attributes) = state.and_then(|state| state.attributes.as_ref()) else {
            return ArticleFacts::default();
        };
        let facts = &attributes.facts;
        let size = match (facts.package_mm, facts.package_weight_g) {
            (Some(mm), Some(weight_g)) => Some(FbaSize { mm, weight_g }),
            _ => None,
        };
        ArticleFacts {
            category: facts.categories.first().map(|category| category.name.as_str()),
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
pub fn resolve(route: &Route, given: &Given, article: &ArticleFacts<'_>, sources: &Sources<'_>) -> Result<Costs, Unresolved> {
    let resolver = Resolver { given, sources };
    let category = resolver.category(article.category)?;
    let store = resolver.store(route.target, category);
    let sale = resolver.sale(&store, route.target_price, article)?;
    let vat_source = resolver.vat(given.vat_source, route.source, category.0);
    resolver.route(route.source, route.target).costs(&sale, route.source, vat_source)
}

/// The costs of a route with other answers to some questions: what was known of the article stays.
///
/// # Errors
/// [`Unresolved`] names what cannot be.
pub fn reconsider(route: &Route, costs: Costs, given: &Given, sources: &Sources<'_>) -> Result<Costs, Unresolved> {
    Resolver { given, sources }.reconsider(route, costs)
}

/// The costs of every route between some marketplaces on a day, as far as they depend on no article: made once, used for
/// every article.
#[derive(Debug, Clone)]
pub struct Terms {
    seller: Arc<Seller>,
    rates: Option<ExchangeRates>,
    at: NaiveDate,
    markets: Vec<Marketplace>,
    /// Places of the fee table's categories, by the lower-case name that a root category has.
    categories: HashMap<String, usize>,
    everything_else: usize,
    /// By marketplace and category.
    stores: Vec<Vec<StoreTerms>>,
    /// By source and target.
    routes: Vec<Vec<RouteTerms>>,
}

/// What a sale of an article costs, whatever the marketplace that it is bought in.
#[derive(Debug, Clone)]
pub struct SaleTerms {
    market: Marketplace,
    /// Place of its category in [`Terms`].
    category: usize,
    vat: Sourced<Share>,
    referral: Sourced<ReferralRule>,
    referral_minimum: Sourced<Money>,
    closing_fee: Sourced<Money>,
    fulfilment_fee: FulfilmentFee,
    weight_g: Option<i32>,
}

/// What fulfilment costs.
#[derive(Debug, Clone)]
enum FulfilmentFee {
    /// So much, whoever sends it: somebody said so.
    Given(Sourced<Money>),
    /// So much where Amazon sends it from stock in the country, and so much where the seller does.
    ByChannel {
        fba: Result<Sourced<Money>, Unresolved>,
        own: Result<Sourced<Money>, Unresolved>,
    },
}

/// What a store takes of a category of articles.
#[derive(Debug, Clone)]
struct StoreTerms {
    market: Marketplace,
    /// VAT in the prices that customers pay.
    vat: Option<Sourced<Share>>,
    /// None where no table has it.
    referral: Option<Sourced<ReferralRule>>,
    /// The question says the rule or the category: what Keepa says of the article does not count.
    is_referral_given: bool,
    referral_minimum: Result<Sourced<Money>, Unresolved>,
}

/// What a route costs, whatever the article.
#[derive(Debug, Clone)]
struct RouteTerms {
    regime: Sourced<Regime>,
    fee_vat: Option<Sourced<Share>>,
    export_zero_rated: bool,
    fulfilment: Fulfilment,
    /// By how much [`Fulfilment::Efn`] is dearer; none where it is not to be had.
    efn_factor: Option<Decimal>,
    dsf_rate: Sourced<Share>,
    in_eur: Result<InEur, Unresolved>,
    exchange: Result<Exchange, Unresolved>,
}

/// Costs of a unit.
#[derive(Debug, Clone)]
struct InEur {
    freight: Sourced<Money>,
    freight_per_kg: Sourced<Money>,
    prep: Sourced<Money>,
    storage: Sourced<Money>,
    returns: Sourced<Money>,
    duty: Sourced<Money>,
    broker: Sourced<Money>,
    other: Sourced<Money>,
}

impl Terms {
    /// The terms of a seller on a day, at these exchange rates.
    #[must_use]
    pub fn new(seller: &Arc<Seller>, rates: Option<&ExchangeRates>, at: NaiveDate, markets: &[Marketplace]) -> Terms {
        let fees = &seller.tables.fees;
        let sources = Sources {
            profile: &seller.profile,
            tables: &seller.tables,
            rates,
            at,
        };
        let given = Given::default();
        let resolver = Resolver {
            given: &given,
            sources: &sources,
        };
        let slugs: Vec<&str> = fees.categories().into_iter().collect();
        let place = |slug: &str| slugs.iter().position(|known| *known == slug);
        Terms {
            categories: fees.names().filter_map(|(name, slug)| Some((name.to_owned(), place(slug)?))).collect(),
            everything_else: place(EVERYTHING_ELSE).expect("the table has it"),
            stores: markets
                .iter()
                .map(|&market| slugs.iter().map(|slug| resolver.store(market, (slug, false))).collect())
                .collect(),
            routes: markets
                .iter()
                .map(|&source| markets.iter().map(|&target| resolver.route(source, target)).collect())
                .collect(),
            seller: Arc::clone(seller),
            rates: rates.cloned(),
            at,
            markets: markets.to_vec(),
        }
    }

    /// The day that they are of.
    #[must_use]
    pub fn day(&self) -> NaiveDate {
        self.at
    }

    /// What selling an article at a price costs.
    ///
    /// # Errors
    /// [`Unresolved`] names what nobody says.
    ///
    /// # Panics
    /// If the marketplace is not one of those that the terms were made for.
    pub fn sale(&self, market: Marketplace, price: Money, article: &ArticleFacts<'_>) -> Result<SaleTerms, Unresolved> {
        let sources = Sources {
            profile: &self.seller.profile,
            tables: &self.seller.tables,
            rates: self.rates.as_ref(),
            at: self.at,
        };
        let resolver = Resolver {
            given: &NOTHING,
            sources: &sources,
        };
        let known = article.category.and_then(|name| self.category(name));
        let category = known.unwrap_or(self.everything_else);
        let store = &self.stores[self.place(market)][category];
        let sale = resolver.sale(store, price, article)?;
        Ok(SaleTerms { category, ..sale })
    }

    /// The costs of buying in a marketplace what is then sold so.
    ///
    /// # Errors
    /// [`Unresolved`] names what nobody says.
    ///
    /// # Panics
    /// If the marketplace is not one of those that the terms were made for.
    pub fn costs(&self, source: Marketplace, sale: &SaleTerms) -> Result<Costs, Unresolved> {
        let place = self.place(source);
        let vat_source = self.stores[place][sale.category].vat.clone();
        self.routes[place][self.place(sale.market)].costs(sale, source, vat_source)
    }

    fn place(&self, market: Marketplace) -> usize {
        self.markets.iter().position(|known| *known == market).expect("a marketplace of the terms")
    }

    /// Most names are short and ASCII, and are made lower case without asking for memory.
    fn category(&self, name: &str) -> Option<usize> {
        let mut short = [0; 48];
        let lower = match short.get_mut(..name.len()) {
            Some(short) if name.is_ascii() => {
                short.copy_from_slice(name.as_bytes());
                short.make_ascii_lowercase();
                self.categories.get(std::str::from_utf8(short).ok()?)
            }
            _ => self.categories.get(&name.to_lowercase()),
        };
        lower.copied()
    }
}

/// The question of [`Terms`].
static NOTHING: LazyLock<Given> = LazyLock::new(Given::default);

impl RouteTerms {
    fn costs(&self, sale: &SaleTerms, source: Marketplace, vat_source: Option<Sourced<Share>>) -> Result<Costs, Unresolved> {
        let vat_source = vat_source.ok_or(Unresolved::Unknown {
            what: "a VAT rate",
            market: source,
            field: "vat_source",
        })?;
        let (fba_fee, own_fulfilment) = self.fulfilment_fee(sale)?;
        let in_eur = self.in_eur.as_ref().map_err(Clone::clone)?;
        Ok(Costs {
            regime: self.regime.clone(),
            vat_source,
            fee_vat: self.fee_vat.clone().unwrap_or_else(|| Sourced {
                assumed: true,
                ..sale.vat.clone()
            }),
            vat_target: sale.vat.clone(),
            export_zero_rated: self.export_zero_rated,
            own_fulfilment,
            referral: sale.referral.clone(),
            referral_minimum: sale.referral_minimum.clone(),
            closing_fee: sale.closing_fee.clone(),
            fba_fee,
            dsf_rate: self.dsf_rate.clone(),
            freight: in_eur.freight_of(sale.weight_g)?,
            prep: in_eur.prep.clone(),
            storage: in_eur.storage.clone(),
            returns: in_eur.returns.clone(),
            duty: in_eur.duty.clone(),
            broker: in_eur.broker.clone(),
            other: in_eur.other.clone(),
            exchange: self.exchange.clone()?,
        })
    }

    /// The fee, and whether it is the seller's own shipping.
    fn fulfilment_fee(&self, sale: &SaleTerms) -> Result<(Sourced<Money>, bool), Unresolved> {
        let (fba, own) = match &sale.fulfilment_fee {
            FulfilmentFee::Given(fee) => return Ok((fee.clone(), false)),
            FulfilmentFee::ByChannel { fba, own } => (fba, own),
        };
        match self.fulfilment {
            Fulfilment::Own => Ok((own.clone()?, true)),
            Fulfilment::Fba => Ok((fba.clone()?, false)),
            Fulfilment::Efn => {
                let fee = fba.clone()?;
                let value = match self.efn_factor {
                    Some(factor) => Money::from_decimal(fee.value.to_decimal() * factor, fee.value.currency)?,
                    // Amazon sends nothing over a customs border: the stock has to be where it is sold.
                    None => fee.value,
                };
                let dearer = Sourced { value, assumed: true, ..fee };
                Ok((dearer, false))
            }
        }
    }
}

impl InEur {
    fn freight_of(&self, weight_g: Option<i32>) -> Result<Sourced<Money>, Unresolved> {
        let (freight, per_kg) = (&self.freight, &self.freight_per_kg);
        if freight.origin == Origin::Given || per_kg.value.minor == 0 {
            return Ok(freight.clone());
        }
        let Some(weight_g) = weight_g.filter(|&grams| grams > 0) else {
            return Ok(Sourced {
                assumed: true,
                ..freight.clone()
            });
        };
        let by_weight = per_kg.value.to_decimal() * Decimal::from(weight_g) / Decimal::ONE_THOUSAND;
        Ok(Sourced {
            value: freight.value.plus(Money::from_decimal(by_weight, Currency::EUR)?)?,
            origin: per_kg.origin,
            assumed: per_kg.assumed,
            ..freight.clone()
        })
    }
}

struct Resolver<'a> {
    given: &'a Given,
    sources: &'a Sources<'a>,
}

impl Resolver<'_> {
    /// What a route costs, whatever the article.
    fn route(&self, source: Marketplace, target: Marketplace) -> RouteTerms {
        let Sources { profile, .. } = *self.sources;
        let sayings: Vec<&RouteProfile> = profile.sayings(source, target).collect();
        RouteTerms {
            regime: self.regime(source, target, &sayings),
            fee_vat: self.share(self.given.fee_vat, profile.fee_vat),
            export_zero_rated: self.given.export_zero_rated.unwrap_or(profile.export_zero_rated),
            fulfilment: of_route(&sayings, |saying| saying.fulfilment).unwrap_or(profile.fulfilment),
            efn_factor: (is_in_eu(source) == is_in_eu(target)).then_some(profile.efn_factor),
            dsf_rate: self.dsf_rate(target),
            in_eur: self.in_eur(&sayings),
            exchange: self.exchange(source, target),
        }
    }

    /// What a store takes of a category, of which somebody said that it is the article's, or not.
    fn store(&self, market: Marketplace, (category, is_said): (&str, bool)) -> StoreTerms {
        let fees = &self.sources.tables.fees;
        let (referral, is_referral_given) = match &self.given.referral {
            Some(GivenReferral::Rule(rule)) => (Some(Sourced::known(rule.clone(), Origin::Given, None)), true),
            Some(GivenReferral::Category(_)) | None => {
                let by_table = fees.referral(category, market, self.sources.at);
                let by_table = by_table.map(|rule| Sourced { assumed: !is_said, ..rule });
                (by_table, is_said)
            }
        };
        StoreTerms {
            market,
            vat: self.vat(self.given.vat_target, market, category),
            referral,
            is_referral_given,
            referral_minimum: self.referral_minimum(market, (category, is_said)),
        }
    }

    /// What a sale costs in a store; its category has no place in any [`Terms`].
    fn sale(&self, store: &StoreTerms, price: Money, article: &ArticleFacts<'_>) -> Result<SaleTerms, Unresolved> {
        let market = store.market;
        let vat = store.vat.clone().ok_or(Unresolved::Unknown {
            what: "a VAT rate",
            market,
            field: "vat_target",
        })?;
        Ok(SaleTerms {
            market,
            category: 0,
            vat,
            referral: store.referral_of(price, article)?,
            referral_minimum: store.referral_minimum.clone()?,
            closing_fee: self.closing_fee(market, article)?,
            fulfilment_fee: self.fulfilment_fee(market, price, article)?,
            weight_g: article.weight_g,
        })
    }

    fn reconsider(&self, route: &Route, costs: Costs) -> Result<Costs, Unresolved> {
        let given = self.given;
        let share = |given: Option<Share>, held: Sourced<Share>| given.map_or(held, |share| Sourced::known(share, Origin::Given, None));
        let amount = |field, given: Option<Decimal>, held: Sourced<Money>| Ok::<_, Unresolved>(self.given(field, given, held.value.currency)?.unwrap_or(held));
        let exchange = match given.units_per_eur {
            Some(_) => self.exchange(route.source, route.target)?,
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
                let store = self.store(route.target, self.category(None)?);
                store.referral_of(route.target_price, &ArticleFacts::default())?
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

    fn share(&self, given: Option<Share>, profile: Option<Share>) -> Option<Sourced<Share>> {
        let given = given.map(|share| Sourced::known(share, Origin::Given, None));
        given.or_else(|| profile.map(|share| Sourced::known(share, Origin::Profile, None)))
    }

    /// Inside the union a registered seller buys from businesses, and over its border goods are imported.
    fn regime(&self, source: Marketplace, target: Marketplace, sayings: &[&RouteProfile]) -> Sourced<Regime> {
        if let Some(regime) = self.given.regime {
            return Sourced::known(regime, Origin::Given, None);
        }
        match of_route(sayings, |saying| saying.regime).or(self.sources.profile.regime) {
            Some(regime) => Sourced::known(regime, Origin::Profile, None),
            None if is_in_eu(source) && is_in_eu(target) => Sourced::assumed(Regime::Rc, Origin::Default, None),
            None => Sourced::assumed(Regime::Import, Origin::Default, None),
        }
    }

    /// The category of the fee table, and whether somebody said so.
    fn category(&self, of_article: Option<&str>) -> Result<(&str, bool), Unresolved> {
        let fees = &self.sources.tables.fees;
        if let Some(GivenReferral::Category(slug)) = &self.given.referral {
            return if fees.has_category(slug) {
                Ok((slug, true))
            } else {
                Err(Unresolved::Category(slug.chars().take(40).collect()))
            };
        }
        let known = of_article.and_then(|name| fees.category_of(name));
        Ok((known.unwrap_or(EVERYTHING_ELSE), false))
    }

    fn vat(&self, given: Option<Share>, market: Marketplace, category: &str) -> Option<Sourced<Share>> {
        if let Some(share) = given {
            return Some(Sourced::known(share, Origin::Given, None));
        }
        let vat = &self.sources.tables.vat;
        let said = self.sources.profile.vat_class.as_deref();
        // Books have a class of their own; of everything else the class is not known.
        let class = said.or_else(|| vat.has_class(category).then_some(category)).unwrap_or(STANDARD);
        let rate = vat.rate(market.code(), class, self.sources.at)?;
        Some(Sourced {
            assumed: rate.assumed || said.is_none(),
            ..rate
        })
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

    fn referral_minimum(&self, market: Marketplace, (category, is_given): (&str, bool)) -> Result<Sourced<Money>, Unresolved> {
        if let Some(given) = self.given("referral_minimum", self.given.referral_minimum, market.currency())? {
            return Ok(given);
        }
        let by_table = self.sources.tables.fees.referral_minimum(category, market, self.sources.at)?;
        let minimum = by_table.unwrap_or_else(|| Sourced::known(Money::new(0, market.currency()), Origin::Default, None));
        Ok(Sourced { assumed: !is_given, ..minimum })
    }

    fn closing_fee(&self, market: Marketplace, article: &ArticleFacts<'_>) -> Result<Sourced<Money>, Unresolved> {
        let currency = market.currency();
        if let Some(given) = self.given("closing_fee", self.given.closing_fee, currency)? {
            return Ok(given);
        }
        Ok(match article.closing_fee {
            Some(fee) => Sourced::known(Money::new(fee, currency), Origin::Keepa, article.observed),
            None => Sourced::assumed(Money::new(0, currency), Origin::Default, None),
        })
    }

    fn fulfilment_fee(&self, market: Marketplace, price: Money, article: &ArticleFacts<'_>) -> Result<FulfilmentFee, Unresolved> {
        let currency = market.currency();
        if let Some(given) = self.given("fba_fee", self.given.fba_fee, currency)? {
            return Ok(FulfilmentFee::Given(given));
        }
        let own = match self.sources.profile.own_shipping.get(&market) {
            Some(cost) => cost
                .to_money(currency)
                .map(|cost| Sourced::known(cost, Origin::Profile, None))
                .map_err(Unresolved::from),
            None => Err(Unresolved::Unknown {
                what: "a price of own shipping",
                market,
                field: "own_shipping in the seller profile, or fba_fee",
            }),
        };
        let by_table = || {
            let fee = self.sources.tables.fees.fba(article.size, price, market, self.sources.at)?;
            fee.ok_or(Unresolved::Unknown {
                what: "a fulfilment fee",
                market,
                field: "fba_fee",
            })
        };
        let fba = match article.fba_fee {
            Some(fee) => Ok(Sourced::known(Money::new(fee, currency), Origin::Keepa, article.observed)),
            None => by_table(),
        };
        Ok(FulfilmentFee::ByChannel { fba, own })
    }

    fn dsf_rate(&self, market: Marketplace) -> Sourced<Share> {
        let profile = self.sources.profile;
        let said = self.share(self.given.dsf_rate, profile.dsf_rate);
        let by_table = || {
            let rate = self.sources.tables.fees.digital_services(&profile.home, market, self.sources.at)?;
            Some(Sourced {
                assumed: profile.is_default,
                ..rate
            })
        };
        said.or_else(by_table).unwrap_or_else(|| Sourced::assumed(Share::ZERO, Origin::Default, None))
    }

    fn in_eur(&self, sayings: &[&RouteProfile]) -> Result<InEur, Unresolved> {
        let unit = |field, given, cost: fn(&UnitCosts) -> Option<Cost>| self.unit_cost(sayings, field, given, cost);
        Ok(InEur {
            freight: unit("freight", self.given.freight, |costs| costs.freight)?,
            freight_per_kg: unit("freight", None, |costs| costs.freight_per_kg)?,
            prep: unit("prep", self.given.prep, |costs| costs.prep)?,
            storage: unit("storage", self.given.storage, |costs| costs.storage)?,
            returns: unit("returns", self.given.returns, |costs| costs.returns)?,
            duty: unit("duty", self.given.duty, |costs| costs.duty)?,
            broker: unit("broker", self.given.broker, |costs| costs.broker)?,
            other: unit("other", self.given.other, |costs| costs.other)?,
        })
    }

    /// What is given, else what the profile says of the route, else of all routes, else nothing.
    fn unit_cost(
        &self,
        sayings: &[&RouteProfile],
        field: &'static str,
        given: Option<Decimal>,
        cost: fn(&UnitCosts) -> Option<Cost>,
    ) -> Result<Sourced<Money>, Unresolved> {
        if let Some(given) = self.given(field, given, Currency::EUR)? {
            return Ok(given);
        }
        let profile = self.sources.profile;
        let said = of_route(sayings, |saying| cost(&saying.costs)).or_else(|| cost(&profile.costs));
        Ok(match said {
            Some(said) => Sourced {
                assumed: profile.is_default,
                ..Sourced::known(said.to_money(Currency::EUR)?, profile.origin(), None)
            },
            None => Sourced::assumed(Money::new(0, Currency::EUR), Origin::Default, None),
        })
    }

    fn exchange(&self, source: Marketplace, target: Marketplace) -> Result<Exchange, Unresolved> {
        let (source, target) = (source.currency(), target.currency());
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

impl StoreTerms {
    /// Keepa's rate is that of the article at about its present price. Where the table's rule says the same of that price it
    /// is taken, since it also knows of other prices.
    fn referral_of(&self, price: Money, article: &ArticleFacts<'_>) -> Result<Sourced<ReferralRule>, Unresolved> {
        let by_keepa = article.referral_percentage.and_then(|percent| Share::of_percent(percent).ok());
        match (by_keepa, &self.referral) {
            (Some(rate), by_table) if !self.is_referral_given => {
                let rule = by_table.as_ref().map(|rule| &rule.value).filter(|rule| rule.is_close_to(rate, price));
                let rule = rule.cloned().unwrap_or_else(|| ReferralRule::flat(rate));
                Ok(Sourced::known(rule, Origin::Keepa, article.observed))
            }
            (_, Some(rule)) => Ok(rule.clone()),
            (_, None) => Err(Unresolved::Unknown {
                what: "a referral fee",
                market: self.market,
                field: "referral",
            }),
        }
    }
}

/// What the profile says of a route, the most exact first.
fn of_route<T>(sayings: &[&RouteProfile], said: impl Fn(&RouteProfile) -> Option<T>) -> Option<T> {
    sayings.iter().find_map(|saying| said(saying))
}

#[cfg(test)]
mod tests;
