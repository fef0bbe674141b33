//! [`ReferralRule`]: Amazon's referral fee as a function of the price the customer pays.
//!
//! There are two kinds, and taking one for the other is the commonest mistake: in a *whole* rule the price picks one rate
//! for all of it, in a *marginal* one each rate applies to its own portion of the price.
//!
//! Catalogs hold [`Step`] and [`Band`] by position, in costs: a new field comes last, with a default, and none moves or goes.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::decimal;
use super::share::Share;
use crate::domain::money::{Money, power_of_ten};

/// A rate up to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// In units of the store's currency (250, not 25000), the limit included; none on the last step.
    #[serde(default, deserialize_with = "decimal::read_option")]
    pub up_to: Option<Decimal>,
    /// Of the price, or of the portion of it.
    pub rate: Share,
}

/// A band of prices that is charged by portions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// The prices it is for, the limit included; none in the last band.
    #[serde(default, deserialize_with = "decimal::read_option")]
    pub up_to: Option<Decimal>,
    /// Rates of the portions of a price in this band.
    pub portions: Vec<Step>,
}

/// The kinds that users write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// The price picks one rate for the whole amount.
    Whole,
    /// Each rate applies to its portion.
    Marginal,
}

/// Bands of prices, each charged by portions. A whole rule has many bands of one portion, a marginal one a single band.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Band>", into = "Vec<Band>")]
pub struct ReferralRule(Rule);

/// Rules are copied with every ledger: shared, and without a list where there is but one rate.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Flat(Share),
    Bands(Arc<[Band]>),
}

/// Steps that are no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum NotARule {
    #[error("a referral rule needs at least one step")]
    Empty,
    #[error("too many steps: {MOST_STEPS} at most")]
    TooMany,
    #[error("the last step of a referral rule has no up_to, all others have one")]
    OpenEnd,
    #[error("the limits (up_to) of a referral rule grow from step to step, and lie between 0 and {MOST_LIMIT} with at most 2 decimals")]
    Limits,
}

const MOST_STEPS: usize = 20;
const MOST_LIMIT: i64 = 10_000_000;

fn check_limits(limits: &[Option<Decimal>]) -> Result<(), NotARule> {
    let Some((last, others)) = limits.split_last() else {
        return Err(NotARule::Empty);
    };
    if limits.len() > MOST_STEPS {
        return Err(NotARule::TooMany);
    }
    if last.is_some() || others.iter().any(Option::is_none) {
        return Err(NotARule::OpenEnd);
    }
    let mut before = Decimal::ZERO;
    for limit in others.iter().flatten() {
        if *limit <= before || *limit > Decimal::from(MOST_LIMIT) || limit.normalize().scale() > 2 {
            return Err(NotARule::Limits);
        }
        before = *limit;
    }
    Ok(())
}

impl TryFrom<Vec<Band>> for ReferralRule {
    type Error = NotARule;

    fn try_from(bands: Vec<Band>) -> Result<Self, Self::Error> {
        check_limits(&bands.iter().map(|band| band.up_to).collect::<Vec<_>>())?;
        for band in &bands {
            check_limits(&band.portions.iter().map(|portion| portion.up_to).collect::<Vec<_>>())?;
        }
        Ok(ReferralRule(match &bands[..] {
            [Band { portions, .. }] if portions.len() == 1 => Rule::Flat(portions[0].rate),
            _ => Rule::Bands(bands.into()),
        }))
    }
}

impl From<ReferralRule> for Vec<Band> {
    fn from(rule: ReferralRule) -> Self {
        match rule.0 {
            Rule::Flat(rate) => vec![Band {
                up_to: None,
                portions: vec![Step { up_to: None, rate }],
            }],
            Rule::Bands(bands) => bands.to_vec(),
        }
    }
}

/// A limit in hundredths, which it has no more decimals than.
fn hundredths(limit: Decimal) -> i128 {
    match limit.scale() {
        scale @ 0..=2 => limit.mantissa() * power_of_ten(2 - scale),
        scale => limit.mantissa() / power_of_ten(scale - 2),
    }
}

impl ReferralRule {
    /// One rate for every price.
    #[must_use]
    pub fn flat(rate: Share) -> ReferralRule {
        ReferralRule(Rule::Flat(rate))
    }

    /// A rule of one kind.
    ///
    /// # Errors
    /// [`NotARule`] for steps that are none, out of order or without an open end.
    pub fn of_steps(kind: RuleKind, steps: Vec<Step>) -> Result<ReferralRule, NotARule> {
        check_limits(&steps.iter().map(|step| step.up_to).collect::<Vec<_>>())?;
        let bands = match kind {
            RuleKind::Marginal => vec![Band { up_to: None, portions: steps }],
            RuleKind::Whole => steps
                .into_iter()
                .map(|step| Band {
                    up_to: step.up_to,
                    portions: vec![Step { up_to: None, rate: step.rate }],
                })
                .collect(),
        };
        ReferralRule::try_from(bands)
    }

    /// The fee on a price, in the store's currency; not rounded.
    #[must_use]
    pub fn fee(&self, price: Money) -> Decimal {
        let hundredths = i128::from(price.minor) * (100 / power_of_ten(price.currency.minor_digits()));
        let fee = self.fee_of(hundredths, 1);
        // Hundredths and ten decimals of the rate; less where an amount is beyond any price.
        Decimal::try_from_i128_with_scale(fee, 12).unwrap_or(Decimal::MAX)
    }

    /// The fee on a price in hundredths of the store's unit, or in so many parts of one, in [`Share::PARTS`] of those.
    pub(super) fn fee_of(&self, price: i128, parts: i128) -> i128 {
        let bands = match &self.0 {
            Rule::Flat(rate) => return price * rate.parts(),
            Rule::Bands(bands) => bands,
        };
        let limit = |up_to: Decimal| hundredths(up_to) * parts;
        let Some(band) = bands.iter().find(|band| band.up_to.is_none_or(|up_to| price <= limit(up_to))) else {
            return 0;
        };
        let (mut fee, mut below) = (0, 0);
        for portion in &band.portions {
            let end = portion.up_to.map_or(price, |up_to| limit(up_to).min(price));
            fee += (end - below).max(0) * portion.rate.parts();
            below = end;
        }
        fee
    }

    /// Whether the fee on a price is that of a flat rate, but for a twentieth of a percent of the price.
    pub(super) fn is_close_to(&self, rate: Share, price: Money) -> bool {
        let hundredths = i128::from(price.minor) * (100 / power_of_ten(price.currency.minor_digits()));
        let difference = self.fee_of(hundredths, 1) - hundredths * rate.parts();
        difference.abs() <= hundredths * (Share::PARTS / 2_000)
    }

    /// The rate, where it is the same for all of a price of this size; none where portions of it have several.
    #[must_use]
    pub fn rate_at(&self, price: Decimal) -> Option<Share> {
        let bands = match &self.0 {
            Rule::Flat(rate) => return Some(*rate),
            Rule::Bands(bands) => bands,
        };
        let band = bands.iter().find(|band| band.up_to.is_none_or(|limit| price <= limit))?;
        let mut portions = band.portions.iter();
        let first = portions.next()?;
        first.up_to.is_none_or(|limit| price <= limit).then_some(first.rate)
    }

    /// Tells, in no order, the prices at which its slope changes or its value jumps, and those at which it crosses a minimum
    /// fee; all in hundredths of the store's unit, cut off. Between two of them the fee is a straight line.
    pub(super) fn kinks(&self, minimum: i128, mut kink: impl FnMut(i128)) {
        let minimum = minimum * Share::PARTS;
        let crossing = |rate: Share, fee: i128| {
            let rate = rate.parts();
            (rate > 0 && minimum > fee).then(|| (minimum - fee) / rate)
        };
        let bands = match &self.0 {
            Rule::Flat(rate) => {
                if let Some(price) = crossing(*rate, 0) {
                    kink(price);
                }
                return;
            }
            Rule::Bands(bands) => bands,
        };
        for band in &bands[..] {
            if let Some(up_to) = band.up_to {
                kink(hundredths(up_to));
            }
            let (mut below, mut fee) = (0, 0);
            for portion in &band.portions {
                if let Some(more) = crossing(portion.rate, fee) {
                    kink(below + more);
                }
                if let Some(up_to) = portion.up_to {
                    let up_to = hundredths(up_to);
                    kink(up_to);
                    fee += (up_to - below) * portion.rate.parts();
                    below = up_to;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a decimal")
    }

    fn rule(kind: RuleKind, steps: &[(Option<&str>, &str)]) -> Result<ReferralRule, NotARule> {
        let steps = steps.iter().map(|(up_to, rate)| Step {
            up_to: up_to.map(decimal),
            rate: Share::new(decimal(rate)).expect("a share"),
        });
        ReferralRule::of_steps(kind, steps.collect())
    }

    #[test]
    fn a_whole_rule_takes_one_rate_of_all_and_a_marginal_one_a_rate_of_each_portion() {
        let steps = [(Some("250"), "0.15"), (None, "0.05")];
        for (kind, price, expected) in [
            (RuleKind::Marginal, "399.00", "44.95"),
            (RuleKind::Whole, "399.00", "19.95"),
            (RuleKind::Marginal, "250", "37.5"),
            // The limit belongs to the lower band.
            (RuleKind::Whole, "250.00", "37.5"),
            (RuleKind::Whole, "250.01", "12.5005"),
            (RuleKind::Marginal, "250.01", "37.5005"),
        ] {
            let price = Money::from_decimal(decimal(price), Currency::EUR).expect("small");
            let fee = rule(kind, &steps).expect("a rule").fee(price);
            assert_eq!(fee, decimal(expected), "{kind:?} {price}");
        }
    }

    #[test]
    fn steps_grow_and_the_last_is_open() {
        for (steps, expected) in [
            (&[][..], NotARule::Empty),
            (&[(Some("10"), "0.1")], NotARule::OpenEnd),
            (&[(None, "0.1"), (None, "0.2")], NotARule::OpenEnd),
            (&[(Some("10"), "0.1"), (Some("10"), "0.1"), (None, "0.2")], NotARule::Limits),
            (&[(Some("0"), "0.1"), (None, "0.2")], NotARule::Limits),
            (&[(Some("1.001"), "0.1"), (None, "0.2")], NotARule::Limits),
        ] {
            assert_eq!(rule(RuleKind::Whole, steps), Err(expected), "{steps:?}");
        }
    }

    #[test]
    fn a_rate_is_told_only_where_there_is_one() {
        let watches = rule(RuleKind::Marginal, &[(Some("250"), "0.15"), (None, "0.05")]).expect("a rule");
        assert_eq!(watches.rate_at(decimal("250")).map(Share::get), Some(decimal("0.15")));
        assert_eq!(watches.rate_at(decimal("250.01")), None);
    }
}
