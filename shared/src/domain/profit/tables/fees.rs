//! [`FeeTable`]: Amazon's referral, fulfilment and digital services fees, dated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Deserialize;

use super::{Dated, TableError, in_force};
use crate::domain::marketplace::Marketplace;
use crate::domain::money::{Money, MoneyError};
use crate::domain::profit::costs::{Origin, Sourced};
use crate::domain::profit::referral::{Band, NotARule, ReferralRule, RuleKind, Step};
use crate::domain::profit::share::Share;

/// The category of everything that is in no other.
pub const EVERYTHING_ELSE: &str = "everything_else";

/// Amazon's fees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeTable {
    referral: Vec<ReferralRow>,
    minimum: Vec<MinimumRow>,
    /// Category by the name that a root category has in some marketplace, lower case.
    categories: BTreeMap<String, String>,
    digital_services: Vec<DsfRow>,
    fba: Vec<FbaRow>,
    text: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ReferralRow {
    category: String,
    markets: Vec<Marketplace>,
    valid_from: NaiveDate,
    has_minimum: bool,
    rule: ReferralRule,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct MinimumRow {
    markets: Vec<Marketplace>,
    amount: Decimal,
    valid_from: NaiveDate,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct DsfRow {
    established: Vec<String>,
    markets: Vec<Marketplace>,
    rate: Share,
    valid_from: NaiveDate,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct FbaRow {
    markets: Vec<Marketplace>,
    valid_from: NaiveDate,
    /// Prices up to here pay the low-price fee, where a step has one.
    low_price_up_to: Option<Decimal>,
    /// The fee of an article whose size nobody knows.
    unknown_size: Decimal,
    tiers: Vec<Tier>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tier {
    name: String,
    /// Longest, middle and shortest side, millimetres; none for what fits in no other.
    max_mm: Option<[i32; 3]>,
    steps: Vec<WeightStep>,
    /// Per kilogram begun above the last step; without it, what is heavier belongs to the next tier.
    per_kg_above: Option<Decimal>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightStep {
    up_to_g: i64,
    fee: Decimal,
    low_price_fee: Option<Decimal>,
}

macro_rules! dated {
    ($($row:ty),+) => {
        $(impl Dated for $row {
            fn valid_from(&self) -> NaiveDate {
                self.valid_from
            }
        })+
    };
}
dated!(ReferralRow, MinimumRow, DsfRow, FbaRow);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "about")]
    _about: Option<String>,
    referral: Vec<ReferralFileRow>,
    referral_minimum: Vec<MinimumRow>,
    category_names: BTreeMap<String, Vec<String>>,
    digital_services: Vec<DsfRow>,
    fba: Vec<FbaRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReferralFileRow {
    category: String,
    markets: Vec<Marketplace>,
    valid_from: NaiveDate,
    /// For people: how well it is attested.
    #[serde(rename = "certainty")]
    _certainty: Option<String>,
    has_minimum: bool,
    kind: Option<RuleKind>,
    steps: Option<Vec<Step>>,
    bands: Option<Vec<Band>>,
}

/// Size and weight of a packed article.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FbaSize {
    /// Length, width and height in any order, millimetres.
    pub mm: [i32; 3],
    /// Grams.
    pub weight_g: i32,
}

impl FbaSize {
    /// The greater of weight and volume: a cubic centimetre counts as a fifth of a gram.
    fn chargeable_g(self) -> i64 {
        let [length, width, height] = self.mm.map(i64::from);
        // mm^3 / 1000 = cm^3; cm^3 / 5000 = kg.
        let volume_g = length.saturating_mul(width).saturating_mul(height) / 5_000;
        volume_g.max(self.weight_g.into())
    }

    fn fits(self, max_mm: [i32; 3]) -> bool {
        let sorted = |mut mm: [i32; 3]| {
            mm.sort_unstable();
            mm
        };
        sorted(self.mm).into_iter().zip(sorted(max_mm)).all(|(side, most)| side <= most)
    }
}

impl FeeTable {
    /// Reads a table.
    ///
    /// # Errors
    /// What is no table, two rows of one key and day, a rule that is none, a category without a rule for a name, and stores
    /// without the category of everything else.
    pub fn parse(text: &str) -> Result<FeeTable, TableError> {
        let file: File = serde_json::from_str(text)?;
        let mut referral: Vec<ReferralRow> = Vec::new();
        for row in file.referral {
            let name = format!("referral {} {:?} from {}", row.category, row.markets, row.valid_from);
            let refuse = |reason: String| TableError::Row { row: name.clone(), reason };
            let rule = match (row.kind, row.steps, row.bands) {
                (Some(kind), Some(steps), None) => ReferralRule::of_steps(kind, steps),
                (None, None, Some(bands)) => ReferralRule::try_from(bands),
                _ => return Err(refuse("either kind and steps, or bands are expected".into())),
            };
            let rule = rule.map_err(|error: NotARule| refuse(error.to_string()))?;
            let is_same = |other: &ReferralRow| {
                other.category == row.category && other.valid_from == row.valid_from && other.markets.iter().any(|market| row.markets.contains(market))
            };
            if referral.iter().any(is_same) {
                return Err(refuse("stands there twice".into()));
            }
            referral.push(ReferralRow {
                category: row.category,
                markets: row.markets,
                valid_from: row.valid_from,
                has_minimum: row.has_minimum,
                rule,
            });
        }
        let is_category = |slug: &str| referral.iter().any(|row| row.category == slug);
        if !is_category(EVERYTHING_ELSE) {
            return Err(TableError::Missing(format!("the category {EVERYTHING_ELSE} has no referral fee")));
        }
        let mut categories = BTreeMap::new();
        for (slug, names) in file.category_names {
            if !is_category(&slug) {
                return Err(TableError::Missing(format!("the category {slug} has names and no referral fee")));
            }
            for name in names {
                categories.insert(name.to_lowercase(), slug.clone());
            }
        }
        let negative = |amount: &Decimal| amount.is_sign_negative();
        if file.referral_minimum.iter().any(|row| negative(&row.amount)) {
            return Err(TableError::Missing("a minimum fee is below zero".into()));
        }
        for row in &file.fba {
            let steps = row.tiers.iter().flat_map(|tier| &tier.steps);
            let bad_fee = steps
                .clone()
                .any(|step| negative(&step.fee) || step.low_price_fee.as_ref().is_some_and(negative));
            if bad_fee || negative(&row.unknown_size) || row.tiers.iter().any(|tier| tier.steps.is_empty()) {
                return Err(TableError::Row {
                    row: format!("fba {:?} from {}", row.markets, row.valid_from),
                    reason: "each tier needs steps, and no fee is below zero".into(),
                });
            }
        }
        Ok(FeeTable {
            referral,
            minimum: file.referral_minimum,
            categories,
            digital_services: file.digital_services,
            fba: file.fba,
            text: text.into(),
        })
    }

    /// The text that it was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether there is a fee for a category.
    #[must_use]
    pub fn has_category(&self, slug: &str) -> bool {
        self.referral.iter().any(|row| row.category == slug)
    }

    /// All categories that there is a fee for.
    pub(in crate::domain::profit) fn categories(&self) -> BTreeSet<&str> {
        self.referral.iter().map(|row| row.category.as_str()).collect()
    }

    /// Names of root categories, lower case, and the categories that they are.
    pub(in crate::domain::profit) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.categories.iter().map(|(name, slug)| (name.as_str(), slug.as_str()))
    }

    /// The fee category of a root category's name, in the language of any marketplace; without case.
    #[must_use]
    pub fn category_of(&self, name: &str) -> Option<&str> {
        self.categories.get(&name.to_lowercase()).map(String::as_str)
    }

    fn referral_row(&self, category: &str, market: Marketplace, at: NaiveDate) -> Option<&ReferralRow> {
        in_force(self.referral.iter().filter(|row| row.category == category && row.markets.contains(&market)), at)
    }

    /// The rule of a category in a store on a day.
    #[must_use]
    pub fn referral(&self, category: &str, market: Marketplace, at: NaiveDate) -> Option<Sourced<ReferralRule>> {
        let row = self.referral_row(category, market, at)?;
        Some(Sourced::known(row.rule.clone(), Origin::FeeTable, Some(row.valid_from)))
    }

    /// The least referral fee in a store on a day: zero for categories that have none, and where no row says so.
    ///
    /// # Errors
    /// An amount beyond 64 bits.
    pub fn referral_minimum(&self, category: &str, market: Marketplace, at: NaiveDate) -> Result<Option<Sourced<Money>>, MoneyError> {
        let zero = Money::new(0, market.currency());
        if let Some(row) = self.referral_row(category, market, at).filter(|row| !row.has_minimum) {
            return Ok(Some(Sourced::known(zero, Origin::FeeTable, Some(row.valid_from))));
        }
        let Some(row) = in_force(self.minimum.iter().filter(|row| row.markets.contains(&market)), at) else {
            return Ok(None);
        };
        let amount = Money::from_decimal(row.amount, market.currency())?;
        Ok(Some(Sourced::known(amount, Origin::FeeTable, Some(row.valid_from))))
    }

    /// The digital services fee of a seller established in a country, in a store on a day.
    #[must_use]
    pub fn digital_services(&self, established: &str, market: Marketplace, at: NaiveDate) -> Option<Sourced<Share>> {
        let rows = self
            .digital_services
            .iter()
            .filter(|row| row.markets.contains(&market) && row.established.iter().any(|country| country == established));
        in_force(rows, at).map(|row| Sourced::known(row.rate, Origin::FeeTable, Some(row.valid_from)))
    }

    /// What Amazon takes for fulfilling a unit in a store, by size and price; always `assumed`: real fees are Keepa's.
    ///
    /// # Errors
    /// An amount beyond 64 bits.
    pub fn fba(&self, size: Option<FbaSize>, price: Money, market: Marketplace, at: NaiveDate) -> Result<Option<Sourced<Money>>, MoneyError> {
        let Some(row) = in_force(self.fba.iter().filter(|row| row.markets.contains(&market)), at) else {
            return Ok(None);
        };
        let is_low = row.low_price_up_to.is_some_and(|limit| price.to_decimal() <= limit);
        let fee = size.and_then(|size| row.fee(size, is_low)).unwrap_or(row.unknown_size);
        let fee = Money::from_decimal(fee, market.currency())?;
        Ok(Some(Sourced::assumed(fee, Origin::FeeTable, Some(row.valid_from))))
    }
}

impl FbaRow {
    fn fee(&self, size: FbaSize, is_low: bool) -> Option<Decimal> {
        let weight = size.chargeable_g();
        for tier in self.tiers.iter().filter(|tier| tier.max_mm.is_none_or(|most| size.fits(most))) {
            if let Some(step) = tier.steps.iter().find(|step| weight <= step.up_to_g) {
                return Some(step.low_price_fee.filter(|_| is_low).unwrap_or(step.fee));
            }
            if let (Some(per_kg), Some(last)) = (tier.per_kg_above, tier.steps.last()) {
                let kilograms = (weight - last.up_to_g + 999) / 1_000;
                return Some(last.fee + per_kg * Decimal::from(kilograms));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> FeeTable {
        FeeTable::parse(include_str!("fees.json")).expect("the shipped table")
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    #[test]
    fn fees_are_those_of_the_day_and_of_the_store() {
        let table = shipped();
        for (category, market, at, price, expected) in [
            ("watches", Marketplace::DE, "2026-03-01", "399.00", "44.95"),
            // In pounds the limit is another.
            ("watches", Marketplace::UK, "2026-03-01", "399.00", "42.45"),
            ("car_and_motorbike", Marketplace::DE, "2026-03-01", "100", "12"),
            ("beauty", Marketplace::DE, "2026-03-01", "10.00", "0.8"),
            ("home", Marketplace::FR, "2026-01-31", "20", "3"),
            ("home", Marketplace::FR, "2026-02-01", "20", "1.6"),
            ("clothing", Marketplace::IT, "2026-03-01", "15", "0.75"),
            ("clothing", Marketplace::IT, "2026-03-01", "20", "2"),
            ("clothing", Marketplace::IT, "2026-03-01", "50", "7.1"),
        ] {
            let rule = table.referral(category, market, day(at)).expect("a rule").value;
            let expected: Decimal = expected.parse().expect("a decimal");
            let price = Money::from_decimal(price.parse().expect("a decimal"), market.currency()).expect("small");
            assert_eq!(rule.fee(price), expected, "{category} {market} {at} {price}");
        }
        assert_eq!(table.referral("clothing", Marketplace::IT, day("2025-12-14")), None);
        assert_eq!(table.referral("watches", Marketplace::US, day("2026-03-01")), None);
    }

    #[test]
    fn media_and_grocery_have_no_minimum_fee() {
        let table = shipped();
        for (category, market, expected) in [
            ("toys", Marketplace::DE, 30),
            ("toys", Marketplace::UK, 25),
            ("books", Marketplace::DE, 0),
            ("grocery", Marketplace::ES, 0),
        ] {
            let minimum = table.referral_minimum(category, market, day("2026-03-01")).expect("small").expect("a row");
            assert_eq!(minimum.value.minor, expected, "{category} {market}");
        }
    }

    #[test]
    fn an_article_pays_for_the_smallest_tier_that_takes_it() {
        let table = shipped();
        let fee = |mm: [i32; 3], weight_g: i32, price: i64, market: Marketplace| {
            let price = Money::new(price, market.currency());
            let fee = table.fba(Some(FbaSize { mm, weight_g }), price, market, day("2026-03-01"));
            fee.expect("small").expect("a row").value.minor
        };
        for (mm, weight_g, price, market, expected) in [
            ([100, 50, 10], 15, 2_500, Marketplace::UK, 183),
            // Cheap ones pay less.
            ([100, 50, 10], 15, 1_500, Marketplace::UK, 146),
            ([20, 230, 330], 460, 2_500, Marketplace::DE, 216),
            ([100, 200, 300], 300, 2_500, Marketplace::DE, 424),
            // Its volume weighs 8 kg.
            ([450, 340, 260], 900, 2_500, Marketplace::DE, 754),
            ([1_000, 500, 500], 900, 2_500, Marketplace::DE, 754 + 38 * 40),
        ] {
            assert_eq!(fee(mm, weight_g, price, market), expected, "{mm:?} {weight_g} g {market}");
        }
        let unknown = table.fba(None, Money::new(2_500, Marketplace::DE.currency()), Marketplace::DE, day("2026-03-01"));
        let unknown = unknown.expect("small").expect("a row");
        assert_eq!((unknown.value.minor, unknown.assumed), (351, true));
    }

    #[test]
    fn root_categories_are_known_by_their_names() {
        let table = shipped();
        for (name, expected) in [
            ("Uhren", Some("watches")),
            ("relojes", Some("watches")),
            ("LIVRES", Some("books")),
            ("Nichts", None),
        ] {
            assert_eq!(table.category_of(name), expected, "{name}");
        }
    }

    #[test]
    fn the_digital_services_fee_goes_by_where_the_seller_is_established() {
        let table = shipped();
        let rate = |country: &str, at: &str| table.digital_services(country, Marketplace::DE, day(at)).map(|rate| rate.value.to_string());
        assert_eq!(rate("UK", "2026-03-01").as_deref(), Some("0.02"));
        assert_eq!(rate("IT", "2026-03-01").as_deref(), Some("0.03"));
        assert_eq!(rate("IT", "2024-09-30"), None);
        assert_eq!(rate("DE", "2026-03-01"), None);
    }
}
