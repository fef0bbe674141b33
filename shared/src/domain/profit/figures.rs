//! [`Formula`]: every number of a ledger as a function of the two prices. The formulas stand here, and only here.
//!
//! All of it is integers: shares and rates are fractions of two, and a line is one division, rounded half up. A ledger is
//! computed in minor units. Where a price is sought, the same formulas are computed in thousandths of them, which is as
//! good as not rounded.

use super::costs::{Costs, Route};
use super::referral::ReferralRule;
use super::regime::Regime;
use super::share::Share;
use crate::domain::money::{Currency, ExchangeRate, divide_half_up, power_of_ten};

/// Minor units are counted in these: what is shown.
const WHOLE: i128 = 1;
/// So fine that rounding hardly plays a part: to find the neighbourhood of a price.
const FINE: i128 = 1_000;

/// The lines of a ledger, in minor units: of the purchase in the source's currency, of the sale in the target's, `_eur` and
/// all others in euro cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) purchase_cost: i128,
    pub(super) purchase_cost_eur: i128,
    pub(super) output_vat: i128,
    pub(super) sale_net: i128,
    pub(super) sale_net_eur: i128,
    pub(super) referral: i128,
    pub(super) dsf: i128,
    pub(super) fee_vat: i128,
    pub(super) proceeds: i128,
    pub(super) proceeds_eur: i128,
    pub(super) fx_spread: i128,
    pub(super) profit: i128,
    pub(super) capital: i128,
}

/// A number greater than or equal to zero as a fraction.
#[derive(Debug, Clone, Copy)]
struct Ratio {
    part: i128,
    whole: i128,
}

impl Ratio {
    fn of(share: Share) -> Ratio {
        let share = share.get();
        Ratio {
            part: share.mantissa(),
            whole: power_of_ten(share.scale()),
        }
    }

    /// Minor units of a currency per euro cent.
    fn per_cent(rate: &ExchangeRate) -> Ratio {
        let (units, digits) = (rate.units_per_eur(), rate.currency().minor_digits());
        let units = if units.scale() > 10 { units.normalize() } else { units };
        let cents = Currency::EUR.minor_digits();
        Ratio {
            part: units.mantissa() * power_of_ten(digits.saturating_sub(cents)),
            whole: power_of_ten(units.scale() + cents.saturating_sub(digits)),
        }
    }

    fn is_one(self) -> bool {
        self.part == self.whole
    }

    fn times(self, amount: i128) -> i128 {
        // Most routes have neither a spread nor a digital services fee.
        if self.part == 0 {
            return 0;
        }
        divide_half_up(amount * self.part, self.whole)
    }

    fn divides(self, amount: i128) -> i128 {
        if self.is_one() {
            amount
        } else {
            divide_half_up(amount * self.whole, self.part)
        }
    }

    /// `amount / (1 + self)`.
    fn net_of(self, amount: i128) -> i128 {
        divide_half_up(amount * self.whole, self.whole + self.part)
    }
}

/// The costs of a route as plain integers: put together once, computed with for many prices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Formula<'a> {
    regime: Regime,
    /// The purchase is a cost without its VAT.
    is_bought_net: bool,
    vat_source: Ratio,
    vat_target: Ratio,
    fee_vat: Ratio,
    dsf: Ratio,
    spread: Ratio,
    per_cent_source: Ratio,
    per_cent_target: Ratio,
    referral: &'a ReferralRule,
    /// Hundredths of the store's unit per minor unit: rules have two decimals whatever the currency.
    hundredths: i128,
    referral_minimum: i128,
    closing: i128,
    fba: i128,
    /// As much of it as is a fee of Amazon's.
    amazon_fba: i128,
    other: i128,
    before_sale: i128,
}

/// What is spent.
#[derive(Debug, Clone, Copy)]
struct Purchase {
    cost: i128,
    cost_eur: i128,
    /// VAT included.
    price_eur: i128,
}

/// What comes in.
#[derive(Debug, Clone, Copy)]
struct Sale {
    output_vat: i128,
    net: i128,
    referral: i128,
    dsf: i128,
    fee_vat: i128,
    proceeds: i128,
    proceeds_eur: i128,
}

impl Costs {
    /// The formula of these costs, which were checked ([`Costs::check`]).
    pub(super) fn formula(&self) -> Formula<'_> {
        let minor = |amount: crate::domain::Money| i128::from(amount.minor);
        let regime = self.regime.value;
        let target = self.exchange.target.currency();
        let fba = minor(self.fba_fee.value);
        Formula {
            regime,
            is_bought_net: match regime {
                Regime::Rc | Regime::Dom => true,
                Regime::Import => self.export_zero_rated,
                Regime::Lost | Regime::Small | Regime::Margin => false,
            },
            vat_source: Ratio::of(self.vat_source.value),
            vat_target: Ratio::of(self.vat_target.value),
            fee_vat: Ratio::of(self.fee_vat.value),
            dsf: Ratio::of(self.dsf_rate.value),
            spread: match target {
                Currency::EUR => Ratio::of(Share::ZERO),
                _ => Ratio::of(self.exchange.spread.value),
            },
            per_cent_source: Ratio::per_cent(&self.exchange.source),
            per_cent_target: Ratio::per_cent(&self.exchange.target),
            referral: &self.referral.value,
            hundredths: 100 / power_of_ten(target.minor_digits()),
            referral_minimum: minor(self.referral_minimum.value),
            closing: minor(self.closing_fee.value),
            fba,
            amazon_fba: if self.own_fulfilment { 0 } else { fba },
            other: self.in_eur().iter().map(|(_, cost)| minor(cost.value)).sum(),
            before_sale: self.before_sale().iter().map(|cost| minor(cost.value)).sum(),
        }
    }
}

impl Formula<'_> {
    /// The figures of a route whose prices are these, in minor units.
    pub(super) fn figures(&self, source_price: i64, target_price: i64) -> Figures {
        let purchase = self.purchase(source_price.into());
        let sale = self.sale(target_price.into(), &purchase, WHOLE);
        // Nobody pays for converting a payout that does not come.
        let fx_spread = self.spread.times(sale.proceeds_eur.max(0));
        Figures {
            purchase_cost: purchase.cost,
            purchase_cost_eur: purchase.cost_eur,
            output_vat: sale.output_vat,
            sale_net: sale.net,
            sale_net_eur: self.per_cent_target.divides(sale.net),
            referral: sale.referral,
            dsf: sale.dsf,
            fee_vat: sale.fee_vat,
            proceeds: sale.proceeds,
            proceeds_eur: sale.proceeds_eur,
            fx_spread,
            profit: sale.proceeds_eur - purchase.cost_eur - self.other - fx_spread,
            capital: purchase.cost_eur + self.before_sale,
        }
    }

    fn purchase(&self, price: i128) -> Purchase {
        let cost = if self.is_bought_net { self.vat_source.net_of(price) } else { price };
        Purchase {
            cost,
            cost_eur: self.per_cent_source.divides(cost),
            price_eur: self.per_cent_source.divides(price),
        }
    }

    /// The sale, in the currency of the store. Prices and results are counted in so many parts of a minor unit.
    fn sale(&self, price: i128, purchase: &Purchase, parts: i128) -> Sale {
        // VAT is what is left of the price, so net and VAT always make the price.
        let output_vat = match self.regime {
            Regime::Rc | Regime::Dom | Regime::Lost | Regime::Import => price - self.vat_target.net_of(price),
            Regime::Small => 0,
            Regime::Margin => {
                let difference = (self.per_cent_target.divides(price) - purchase.price_eur).max(0);
                let vat = divide_half_up(difference * self.vat_target.part, self.vat_target.whole + self.vat_target.part);
                self.per_cent_target.times(vat)
            }
        };
        let net = price - output_vat;
        let by_rule = self.referral.fee_of(price * self.hundredths, parts);
        let referral = divide_half_up(by_rule, Share::PARTS * self.hundredths).max(self.referral_minimum * parts);
        let dsf = self.dsf.times(referral + self.amazon_fba * parts);
        let fee_vat = match self.regime {
            Regime::Small => self.fee_vat.times(referral + (self.closing + self.amazon_fba) * parts + dsf),
            _ => 0,
        };
        let proceeds = net - referral - (self.closing + self.fba) * parts - dsf - fee_vat;
        Sale {
            output_vat,
            net,
            referral,
            dsf,
            fee_vat,
            proceeds,
            proceeds_eur: self.per_cent_target.divides(proceeds),
        }
    }

    fn profit(&self, sale: &Sale, purchase: &Purchase) -> i128 {
        sale.proceeds_eur - purchase.cost_eur - self.other - self.spread.times(sale.proceeds_eur.max(0))
    }

    fn fine_purchase(&self, price: i64) -> Purchase {
        self.purchase(i128::from(price) * FINE)
    }

    fn fine_sale(&self, price: i64, purchase: &Purchase) -> Sale {
        self.sale(i128::from(price) * FINE, purchase, FINE)
    }

    /// The profit of a purchase and a sale in thousandths of a cent. The spread is taken of proceeds below zero too, which keeps
    /// it a straight line and only makes losses look smaller than they are.
    fn fine_profit(&self, sale: &Sale, purchase: &Purchase) -> i128 {
        sale.proceeds_eur - purchase.cost_eur - self.other * FINE - self.spread.times(sale.proceeds_eur)
    }

    /// By how much the rounded profit can be greater than [`Formula::fine_profit`], in thousandths of a cent: half a unit per
    /// rounded line, of the currency that it is rounded in.
    fn rounding_error(&self) -> i128 {
        let is_levied = |ratio: Ratio| i128::from(ratio.part > 0);
        let is_converted = |ratio: Ratio| i128::from(!ratio.is_one());
        // Net price; referral fee; each fee carries the errors of those it is computed of, at most once over.
        let dsf = is_levied(self.dsf) * 2;
        let (of_vat, fee_vat) = match self.regime {
            Regime::Rc | Regime::Dom | Regime::Lost | Regime::Import | Regime::Margin => (1, 0),
            Regime::Small => (0, is_levied(self.fee_vat) * (2 + dsf)),
        };
        let of_sale = of_vat + 1 + dsf + fee_vat;
        // Under the margin scheme the difference of two converted prices carries half of theirs, and is rounded itself.
        let of_difference = if self.regime == Regime::Margin { 2 } else { 0 };
        let spread = is_levied(self.spread);
        let of_purchase = i128::from(self.is_bought_net);
        let in_cents = |halves: i128, per_cent: Ratio| halves * FINE * per_cent.whole / per_cent.part + 1;
        let halves = (in_cents(of_sale, self.per_cent_target) + (is_converted(self.per_cent_target) + of_difference) * FINE) * (1 + spread)
            + spread * FINE
            + in_cents(of_purchase, self.per_cent_source)
            + is_converted(self.per_cent_source) * FINE;
        // The fine profit is rounded as well, to a thousandth of that.
        halves / 2 + halves / FINE + 1
    }

    /// The least target price, in minor units, at which the rounded profit is not negative; none up to ten million euros
    /// or so.
    ///
    /// Between the kinks the unrounded profit is a straight line of the price. So in each piece, from the cheapest on, the
    /// first price is sought at which rounding could lift the profit to zero, and from there on each price is tried. A rule
    /// with whole bands makes the profit fall at a limit: a higher price may lose again.
    pub(super) fn break_even(&self, route: &Route) -> Option<i64> {
        let source_price = route.source_price.minor;
        let purchase = self.purchase(source_price.into());
        let pays = |price: i64| self.profit(&self.sale(price.into(), &purchase, WHOLE), &purchase) >= 0;
        let fine_purchase = self.fine_purchase(source_price);
        let at = |price: i64| (price, self.fine_profit(&self.fine_sale(price, &fine_purchase), &fine_purchase));
        let least = -self.rounding_error();

        let mut first = 1;
        while first <= MOST_PRICE {
            let end = self.end_of_piece(first, source_price);
            let (at_first, at_end) = (at(first), at(end));
            let begin = match (at_first.1 >= least, at_end.1 >= least) {
                (true, _) => Some(first),
                (false, true) => Some(first + until(least, at_first, at_end)),
                (false, false) => None,
            };
            // Beyond the last price that is sure to pay, and not longer than any sensible formula needs.
            let found = begin.and_then(|begin| (begin..=end).take(MOST_STEPS).find(|&price| pays(price)));
            if found.is_some() {
                return found;
            }
            first = end + 1;
        }
        None
    }

    /// The last price of the piece that begins with this one.
    fn end_of_piece(&self, first: i64, source_price: i64) -> i64 {
        let mut end = MOST_PRICE;
        let mut kink = |price: i128| {
            if let Ok(price) = i64::try_from(price)
                && (first..end).contains(&price)
            {
                end = price;
            }
        };
        self.referral
            .kinks(self.referral_minimum * self.hundredths, |hundredths| kink(hundredths / self.hundredths));
        if self.regime == Regime::Margin {
            kink(converted(source_price, self.per_cent_source, self.per_cent_target));
        }
        end
    }

    /// The greatest source price, in minor units, at which the rounded profit is not negative; none where even the smallest
    /// is too dear.
    pub(super) fn max_purchase_price(&self, route: &Route) -> Option<i64> {
        let target_price = route.target_price.minor;
        let pays = |price: i64| {
            let purchase = self.purchase(price.into());
            self.profit(&self.sale(target_price.into(), &purchase, WHOLE), &purchase) >= 0
        };
        let at = |price: i64| {
            let purchase = self.fine_purchase(price);
            (price, self.fine_profit(&self.fine_sale(target_price, &purchase), &purchase))
        };
        let least = -self.rounding_error();

        // The dearer the purchase, the smaller the profit: sought from above, where all of the sale would not pay for it, even
        // if half of the price were VAT. Under the margin scheme the line has a kink where nothing is left to be taxed.
        let in_source = |price: i64| i64::try_from(converted(price, self.per_cent_target, self.per_cent_source)).unwrap_or(i64::MAX / 4);
        let error_in_source = i64::try_from(self.per_cent_source.times(-least) / FINE).unwrap_or(i64::MAX / 4);
        let mut last = 2 * (in_source(target_price).min(i64::MAX / 4) + error_in_source.min(i64::MAX / 8) + 2);
        let kink = if self.regime == Regime::Margin { in_source(target_price) } else { 0 };
        for first in [kink + 1, 1] {
            if first > last {
                continue;
            }
            let (at_first, at_last) = (at(first), at(last));
            let begin = match (at_last.1 >= least, at_first.1 >= least) {
                (true, _) => Some(last),
                (false, true) => Some(last - until(least, at_last, at_first)),
                (false, false) => None,
            };
            let found = begin.and_then(|begin| (first..=begin).rev().take(MOST_STEPS).find(|&price| pays(price)));
            if found.is_some() {
                return found;
            }
            last = first - 1;
        }
        None
    }
}

/// Prices are sought up to here.
const MOST_PRICE: i64 = 1_000_000_000;
/// Prices that are tried one by one: each changes the profit by a good part of a cent, and rounding moves it by some cents.
const MOST_STEPS: usize = 20_000;

/// A price in another currency, given the minor units per euro cent of both; cut off.
fn converted(price: i64, from: Ratio, to: Ratio) -> i128 {
    let cents = i128::from(price) * from.whole;
    match cents.checked_mul(to.part) {
        Some(units) => units / (from.part * to.whole),
        // Beyond any price, at rates of sixteen digits.
        None => cents / from.part * to.part / to.whole,
    }
}

/// How many whole steps a straight line stays below `least`, on the way from a price where it does to one where it does not.
fn until(least: i128, (from, below): (i64, i128), (to, above): (i64, i128)) -> i64 {
    let (distance, rise) = (i128::from(to.abs_diff(from)), above - below);
    let steps = match (least - below).checked_mul(distance) {
        Some(product) => product / rise,
        // Beyond any price: at least as many.
        None => (least - below) / (rise / distance + 1),
    };
    i64::try_from(steps).expect("fewer than there are between two prices")
}
