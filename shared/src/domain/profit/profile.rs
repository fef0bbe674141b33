//! [`SellerProfile`]: what a ledger needs to know of the seller, from a file.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::costs::Origin;
use super::decimal;
use super::regime::Regime;
use super::share::Share;
use super::tables::Tables;
use crate::domain::marketplace::Marketplace;
use crate::domain::money::{Currency, Money, MoneyError};

/// Who sends the article to the customer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fulfilment {
    /// Amazon, from stock in the country where it is sold.
    #[default]
    Fba,
    /// Amazon, from stock in another country of its European network: dearer, and not over a customs border.
    Efn,
    /// The seller.
    Own,
}

/// An amount of at least zero with at most the currency's decimals, written as a number or as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost(Decimal);

impl Cost {
    pub(super) fn to_money(self, currency: Currency) -> Result<Money, MoneyError> {
        Money::from_decimal(self.0, currency)
    }
}

impl<'de> Deserialize<'de> for Cost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let amount = decimal::of(&value).map(|amount| amount.normalize());
        let fits = |amount: &Decimal| !amount.is_sign_negative() && amount.scale() <= 2 && *amount <= Decimal::from(1_000_000);
        amount.filter(fits).map(Cost).ok_or_else(|| {
            let shown = decimal::shown(&value);
            serde::de::Error::custom(format!("{shown} is no cost: an amount from 0 to 1000000 with at most 2 decimals is expected"))
        })
    }
}

impl Serialize for Cost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string())
    }
}

/// Costs of a unit that the seller knows; all in EUR.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnitCosts {
    /// Inbound freight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freight: Option<Cost>,
    /// Inbound freight that goes by weight, on top: per kilogram of the packed article, where its weight is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freight_per_kg: Option<Cost>,
    /// Preparation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prep: Option<Cost>,
    /// Storage until it is sold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Cost>,
    /// Allowance for returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returns: Option<Cost>,
    /// Customs duty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duty: Option<Cost>,
    /// Customs broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<Cost>,
    /// Anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<Cost>,
}

/// What is different on some routes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteProfile {
    /// The seller's position towards VAT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regime: Option<Regime>,
    /// Who sends the article to the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fulfilment: Option<Fulfilment>,
    /// Costs of a unit.
    pub costs: UnitCosts,
}

/// Everything a ledger needs to know of a seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SellerProfile {
    /// Country where the seller is established, ISO 3166 (`UK` for the United Kingdom): for the digital services fee.
    pub home: String,
    /// The position towards VAT on every route of which nothing else is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regime: Option<Regime>,
    /// Who sends the article to the customer.
    pub fulfilment: Fulfilment,
    /// Costs of a unit.
    pub costs: UnitCosts,
    /// Class of goods for the VAT rates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vat_class: Option<String>,
    /// VAT on Amazon's fees, for a small business that does not recover it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee_vat: Option<Share>,
    /// Digital services fee, in place of the table's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dsf_rate: Option<Share>,
    /// Part of a payout in a foreign currency that its conversion costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<Share>,
    /// The supplier sells without VAT what leaves the customs territory.
    pub export_zero_rated: bool,
    /// By how much Amazon's fulfilment from another country is dearer than from the same.
    #[serde(deserialize_with = "decimal::read")]
    pub efn_factor: Decimal,
    /// What shipping to a customer costs the seller, by the marketplace's code, in its currency.
    pub own_shipping: BTreeMap<Marketplace, Cost>,
    /// What is different on some routes: `ES:IT`, `UK:*` (bought there), `*:UK` (sold there). The more exact one counts.
    pub routes: BTreeMap<String, RouteProfile>,
    /// Nobody wrote it: all of it is assumed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_default: bool,
}

impl Default for SellerProfile {
    /// A seller in Germany with stock at Amazon, and what a small parcel within Europe costs.
    fn default() -> Self {
        let cost = |cents| Some(Cost(Decimal::new(cents, 2)));
        SellerProfile {
            home: "DE".into(),
            regime: None,
            fulfilment: Fulfilment::Fba,
            costs: UnitCosts {
                freight: cost(250),
                prep: cost(40),
                storage: cost(27),
                ..UnitCosts::default()
            },
            vat_class: None,
            fee_vat: None,
            dsf_rate: None,
            spread: None,
            export_zero_rated: false,
            efn_factor: Decimal::new(15, 1),
            own_shipping: BTreeMap::new(),
            routes: BTreeMap::new(),
            is_default: true,
        }
    }
}

/// A seller, and the tables that fill what the profile leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seller {
    /// Who sells, how.
    pub profile: SellerProfile,
    /// VAT rates and fees.
    pub tables: Tables,
}

impl Default for Seller {
    /// The profile that is assumed, and the tables that ship with the product.
    fn default() -> Self {
        Seller {
            profile: SellerProfile::default(),
            tables: Tables::shipped(),
        }
    }
}

/// A file that is no seller profile.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ProfileError {
    #[error("it is no seller profile")]
    Shape(#[from] serde_json::Error),
    #[error("home is {0:?}: a country's code of two capital letters is expected, UK for the United Kingdom")]
    Home(String),
    #[error("{0:?} names no route: two marketplaces such as ES:IT are expected, or * for any on one side")]
    Route(String),
    #[error("{0:?} is a class of goods that no country in the VAT table has")]
    VatClass(String),
    #[error("efn_factor is {0}: 1 to 10 is expected")]
    EfnFactor(Decimal),
}

impl SellerProfile {
    /// Reads a profile.
    ///
    /// # Errors
    /// [`ProfileError`] names what is wrong.
    pub fn parse(text: &str, tables: &Tables) -> Result<SellerProfile, ProfileError> {
        let mut profile: SellerProfile = serde_json::from_str(text)?;
        profile.is_default = false;
        if profile.home == "GB" {
            profile.home = "UK".into();
        }
        if profile.home.len() != 2 || !profile.home.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(ProfileError::Home(profile.home));
        }
        for name in profile.routes.keys() {
            let side = |side: &str| side == "*" || side.parse::<Marketplace>().is_ok();
            let is_route = name
                .split_once(':')
                .is_some_and(|(from, to)| side(from) && side(to) && (from == "*" || from != to));
            if !is_route {
                return Err(ProfileError::Route(name.chars().take(20).collect()));
            }
        }
        if let Some(class) = profile.vat_class.as_ref().filter(|class| !tables.vat.has_class(class)) {
            return Err(ProfileError::VatClass(class.chars().take(40).collect()));
        }
        if profile.efn_factor < Decimal::ONE || profile.efn_factor > Decimal::TEN {
            return Err(ProfileError::EfnFactor(profile.efn_factor));
        }
        Ok(profile)
    }

    /// What is said of a route, the most exact first.
    pub(super) fn sayings(&self, source: Marketplace, target: Marketplace) -> impl Iterator<Item = &RouteProfile> {
        [format!("{source}:{target}"), format!("{source}:*"), format!("*:{target}"), "*:*".to_owned()]
            .into_iter()
            .filter_map(|name| self.routes.get(&name))
    }

    pub(super) fn origin(&self) -> Origin {
        if self.is_default { Origin::Default } else { Origin::Profile }
    }
}
