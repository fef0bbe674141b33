//! [`Figures`]: every number of a ledger as a function of the two prices. The formulas stand here, and only here.

use rust_decimal::Decimal;

use super::costs::{Costs, Route};
use super::regime::Regime;
use crate::domain::money::{Currency, ExchangeRate, round_half_up};

/// How a line is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    /// Half up to the minor unit, after every line: what is shown.
    Lines,
    /// Not at all: to find the neighbourhood of a price.
    None,
}

impl Rounding {
    fn line(self, value: Decimal) -> Decimal {
        match self {
            Rounding::Lines => round_half_up(value, 0),
            Rounding::None => value,
        }
    }
}

/// The lines of a ledger, in minor units: of the purchase in the source's currency, of the sale in the target's, `_eur` and
/// all others in euro cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) purchase_cost: Decimal,
    pub(super) purchase_cost_eur: Decimal,
    pub(super) output_vat: Decimal,
    pub(super) sale_net: Decimal,
    pub(super) sale_net_eur: Decimal,
    pub(super) referral: Decimal,
    pub(super) dsf: Decimal,
    pub(super) fee_vat: Decimal,
    pub(super) proceeds: Decimal,
    pub(super) proceeds_eur: Decimal,
    pub(super) fx_spread: Decimal,
    pub(super) profit: Decimal,
    pub(super) capital: Decimal,
}

/// Minor units of a currency per euro cent.
pub(super) fn minor_per_cent(rate: &ExchangeRate) -> Decimal {
    let digits = rate.currency().minor_digits();
    rate.units_per_eur() * Decimal::from(10_i64.pow(digits)) / Decimal::from(10_i64.pow(Currency::EUR.minor_digits()))
}

impl Costs {
    /// The figures of a route whose prices are these, in minor units.
    pub(super) fn figures(&self, source_price: Decimal, target_price: Decimal, rounding: Rounding) -> Figures {
        let line = |value| rounding.line(value);
        let per_cent_source = minor_per_cent(&self.exchange.source);
        let per_cent_target = minor_per_cent(&self.exchange.target);
        let minor = |amount: crate::domain::Money| Decimal::from(amount.minor);
        let net = |gross: Decimal, vat: Decimal| line(gross / (Decimal::ONE + vat));
        let regime = self.regime.value;
        let (vat_source, vat_target) = (self.vat_source.value.get(), self.vat_target.value.get());

        // The purchase.
        let purchase_cost = match regime {
            Regime::Rc | Regime::Dom => net(source_price, vat_source),
            Regime::Import if self.export_zero_rated => net(source_price, vat_source),
            Regime::Lost | Regime::Small | Regime::Margin | Regime::Import => source_price,
        };
        let purchase_cost_eur = line(purchase_cost / per_cent_source);

        // The sale, in the currency of the store. VAT is what is left of the price, so net and VAT always make the price.
        let output_vat = match regime {
            Regime::Rc | Regime::Dom | Regime::Lost | Regime::Import => target_price - net(target_price, vat_target),
            Regime::Small => Decimal::ZERO,
            Regime::Margin => {
                let difference = line(target_price / per_cent_target) - line(source_price / per_cent_source);
                let vat = line(difference.max(Decimal::ZERO) * vat_target / (Decimal::ONE + vat_target));
                line(vat * per_cent_target)
            }
        };
        let sale_net = target_price - output_vat;
        let units = Decimal::from(10_i64.pow(self.exchange.target.currency().minor_digits()));
        let referral = line(self.referral.value.fee(target_price / units) * units).max(minor(self.referral_minimum.value));
        let (closing, fba) = (minor(self.closing_fee.value), minor(self.fba_fee.value));
        let amazon_fba = if self.own_fulfilment { Decimal::ZERO } else { fba };
        let dsf = line(self.dsf_rate.value.get() * (referral + amazon_fba));
        let fee_vat = match regime {
            Regime::Small => line(self.fee_vat.value.get() * (referral + closing + amazon_fba + dsf)),
            _ => Decimal::ZERO,
        };
        let proceeds = sale_net - referral - closing - fba - dsf - fee_vat;
        let proceeds_eur = line(proceeds / per_cent_target);

        // The rest, in euros. Nobody pays for converting a payout that does not come.
        let fx_spread = match self.exchange.target.currency() {
            Currency::EUR => Decimal::ZERO,
            _ => line(self.exchange.spread.value.get() * proceeds_eur.max(Decimal::ZERO)),
        };
        let other: Decimal = self.in_eur().iter().map(|(_, cost)| minor(cost.value)).sum();
        let before_sale: Decimal = self.before_sale().iter().map(|cost| minor(cost.value)).sum();
        Figures {
            purchase_cost,
            purchase_cost_eur,
            output_vat,
            sale_net,
            sale_net_eur: line(sale_net / per_cent_target),
            referral,
            dsf,
            fee_vat,
            proceeds,
            proceeds_eur,
            fx_spread,
            profit: proceeds_eur - purchase_cost_eur - other - fx_spread,
            capital: purchase_cost_eur + before_sale,
        }
    }

    /// By how much the rounded profit can differ from the unrounded one, euro cents: half a unit per rounded line.
    fn rounding_error(&self) -> Decimal {
        let half = Decimal::new(5, 1);
        let cents_source = Decimal::ONE / minor_per_cent(&self.exchange.source);
        let cents_target = Decimal::ONE / minor_per_cent(&self.exchange.target);
        // Purchase: net. Sale: VAT or net, referral, fee; each fee carries those computed of it, at most twice over.
        // In EUR: the purchase, the proceeds, the spread, and three of the margin scheme.
        half * (cents_source + Decimal::from(9) * cents_target + Decimal::from(8))
    }

    /// The least target price, in minor units, at which the rounded profit is not negative; none up to ten million euros
    /// or so.
    ///
    /// Between the kinks the unrounded profit is a straight line of the price. So in each piece, from the cheapest on, the
    /// first price is sought at which rounding could lift the profit to zero, and from there on each price is tried. A rule
    /// with whole bands makes the profit fall at a limit: a higher price may lose again.
    pub(super) fn break_even(&self, route: &Route) -> Option<i64> {
        let source_price = Decimal::from(route.source_price.minor);
        let exact = |price: i64| self.figures(source_price, Decimal::from(price), Rounding::None).profit;
        let rounded = |price: i64| self.figures(source_price, Decimal::from(price), Rounding::Lines).profit;
        let error = self.rounding_error();

        let units = 10_i64.pow(self.exchange.target.currency().minor_digits());
        let minimum = self.referral_minimum.value.to_decimal();
        let mut ends: Vec<i64> = self
            .referral
            .value
            .kinks(minimum)
            .into_iter()
            .map(|kink| kink * Decimal::from(units))
            .chain([source_price / minor_per_cent(&self.exchange.source) * minor_per_cent(&self.exchange.target)])
            .filter_map(|kink| i64::try_from(kink.floor()).ok())
            .filter(|end| (1..MOST_PRICE).contains(end))
            .chain([MOST_PRICE])
            .collect();
        ends.sort_unstable();
        ends.dedup();

        let mut first = 1;
        for end in ends {
            let (at_first, at_end) = (exact(first), exact(end));
            let begin = match (at_first >= -error, at_end >= -error) {
                (true, _) => Some(first),
                (false, true) => Some(least(first, end, |price| exact(price) >= -error)),
                (false, false) => None,
            };
            // Beyond the last price that is sure to pay, and not longer than any sensible formula needs.
            let found = begin.and_then(|begin| (begin..=end).take(MOST_STEPS).find(|&price| rounded(price) >= Decimal::ZERO));
            if found.is_some() {
                return found;
            }
            first = end + 1;
        }
        None
    }

    /// The greatest source price, in minor units, at which the rounded profit is not negative; none where even the smallest
    /// is too dear.
    pub(super) fn max_purchase_price(&self, route: &Route) -> Option<i64> {
        let target_price = Decimal::from(route.target_price.minor);
        let exact = |price: i64| self.figures(Decimal::from(price), target_price, Rounding::None).profit;
        let rounded = |price: i64| self.figures(Decimal::from(price), target_price, Rounding::Lines).profit;
        let error = self.rounding_error();
        // The dearer the purchase, the smaller the profit: sought from above.
        let too_dear = least(1, MOST_PURCHASE, |price| exact(price) < -error);
        (1..too_dear).rev().take(MOST_STEPS).find(|&price| rounded(price) >= Decimal::ZERO)
    }
}

/// Prices are sought up to here.
const MOST_PRICE: i64 = 1_000_000_000;
/// Above what any price below [`super::costs::MOST_MINOR`] pays for, whatever the currencies.
const MOST_PURCHASE: i64 = 1_000_000_000_000_000_000;
/// Prices that are tried one by one: each changes the profit by a good part of a cent, and rounding moves it by some cents.
const MOST_STEPS: usize = 20_000;

/// The least number from `first` on to `last` for which `holds`, which from some number on holds for all; `last` where it
/// holds for none before.
fn least(first: i64, last: i64, holds: impl Fn(i64) -> bool) -> i64 {
    let (mut low, mut high) = (first, last);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}
