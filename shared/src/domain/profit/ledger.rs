//! [`Ledger`]: why a route is worth what it is worth, line by line.

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::costs::{Costs, LedgerError, Origin, Route, Sourced};
use super::figures::Figures;
use super::regime::Regime;
use super::share::Share;
use super::tables::is_in_eu;
use crate::domain::margin::Percentage;
use crate::domain::money::{Currency, Money, MoneyError, percentage};

/// What a line does to the profit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Money that comes in.
    Adds,
    /// Money that goes out.
    Subtracts,
    /// A sum of lines above it.
    Sum,
    /// No money: what to know.
    Note,
}

impl Effect {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Effect::Adds => "adds",
            Effect::Subtracts => "subtracts",
            Effect::Sum => "sum",
            Effect::Note => "note",
        }
    }
}

/// One line: an amount, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `source_price`, `referral_fee`, `freight` and so on; `warning` for a note.
    pub name: &'static str,
    /// What it does to the profit; amounts have no sign of their own, except sums.
    pub effect: Effect,
    /// Rounded half up to the minor unit.
    pub amount: Money,
    /// The share or exchange rate that it was computed with.
    pub rate: Option<Decimal>,
    /// Where the rate or the amount comes from.
    pub origin: Origin,
    /// Since when, or of when, that is.
    pub date: Option<NaiveDate>,
    /// A default stood in.
    pub assumed: bool,
    /// For people, where there is something to say.
    pub note: Option<&'static str>,
}

/// A route's profit and everything it is made of. Percentages have two decimals, half up; what is undefined is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// In the order in which they are computed.
    pub lines: Vec<Line>,
    /// What the purchase costs, in the source's currency: net or gross of VAT, as the regime has it.
    pub purchase_cost: Money,
    /// `target price - output VAT`, in the target's currency.
    pub sale_net: Money,
    /// In the target's currency.
    pub output_vat: Money,
    /// In the target's currency.
    pub referral_fee: Money,
    /// Digital services fee, in the target's currency.
    pub dsf: Money,
    /// EUR.
    pub profit: Money,
    /// EUR tied up before the sale: purchase, freight, prep, duty, broker and other.
    pub capital: Money,
    /// `100 * profit / capital`.
    pub roi_percentage: Option<Decimal>,
    /// `100 * profit / net sale in EUR`.
    pub net_margin_percentage: Option<Decimal>,
    /// `100 * (S - B) / S`, both gross in EUR: says nothing of profit.
    pub gross_gap_percentage: Option<Decimal>,
    /// The least price, in the target's currency, at which nothing is lost.
    pub break_even_price: Option<Money>,
    /// The greatest price, in the source's currency, at which nothing is lost.
    pub max_purchase_price: Option<Money>,
    /// `100 * (S - break-even) / S`: how far the price may fall. Below zero where it has to rise.
    pub buffer_percentage: Option<Decimal>,
}

/// The ledger of a route under these costs.
///
/// Every line is rounded half up to the minor unit before the next is computed from it. The lines of the sale are computed
/// in the store's currency and converted once, as their sum; so is the purchase.
///
/// # Errors
/// [`LedgerError`] for amounts of another currency than the route's and for what is too large to stay exact.
pub fn ledger(route: &Route, costs: &Costs) -> Result<Ledger, LedgerError> {
    costs.check(route)?;
    let formula = costs.formula();
    let figures = formula.figures(route.source_price.minor, route.target_price.minor);
    let (source, target) = (route.source_price.currency, route.target_price.currency);

    let source_eur = costs.exchange.source.to_eur(route.source_price)?.minor;
    let target_eur = costs.exchange.target.to_eur(route.target_price)?.minor;
    let profit = money(figures.profit, Currency::EUR)?;
    let capital = money(figures.capital, Currency::EUR)?;
    let sale_net_eur = money(figures.sale_net_eur, Currency::EUR)?;
    let break_even_price = formula.break_even(route).map(|minor| Money::new(minor, target));
    Ok(Ledger {
        lines: lines(route, costs, &figures)?,
        purchase_cost: money(figures.purchase_cost, source)?,
        sale_net: money(figures.sale_net, target)?,
        output_vat: money(figures.output_vat, target)?,
        referral_fee: money(figures.referral, target)?,
        dsf: money(figures.dsf, target)?,
        profit,
        capital,
        roi_percentage: roi(profit, capital).map(Percentage::to_decimal),
        net_margin_percentage: (sale_net_eur.minor > 0).then(|| percentage(profit.minor, sale_net_eur.minor)).flatten(),
        gross_gap_percentage: percentage(target_eur - source_eur, target_eur),
        break_even_price,
        max_purchase_price: formula.max_purchase_price(route).map(|minor| Money::new(minor, source)),
        buffer_percentage: break_even_price.and_then(|price| buffer(route, price.minor)).map(Percentage::to_decimal),
    })
}

pub(super) fn money(minor: i128, currency: Currency) -> Result<Money, MoneyError> {
    let minor = i64::try_from(minor).map_err(|_| MoneyError::Overflow)?;
    Ok(Money::new(minor, currency))
}

/// None where no capital is tied up.
pub(super) fn roi(profit: Money, capital: Money) -> Option<Percentage> {
    (capital.minor > 0).then(|| Percentage::of(profit.minor, capital.minor)).flatten()
}

/// How far the target price may fall to the break-even.
pub(super) fn buffer(route: &Route, break_even: i64) -> Option<Percentage> {
    let price = route.target_price.minor;
    Percentage::of(price - break_even, price)
}

/// As many as a ledger has, warnings included.
const MOST_LINES: usize = 24;

/// Writes lines one after the other.
struct Writer {
    lines: Vec<Line>,
}

impl Writer {
    fn line(&mut self, name: &'static str, effect: Effect, amount: i128, currency: Currency) -> Result<&mut Line, MoneyError> {
        self.lines.push(Line {
            name,
            effect,
            amount: money(amount, currency)?,
            rate: None,
            origin: Origin::Computed,
            date: None,
            assumed: false,
            note: None,
        });
        Ok(self.lines.last_mut().expect("just pushed"))
    }
}

impl Line {
    fn of<T>(&mut self, sourced: &Sourced<T>) -> &mut Line {
        (self.origin, self.date, self.assumed) = (sourced.origin, sourced.date, sourced.assumed);
        self
    }

    fn at(&mut self, share: &Sourced<Share>) -> &mut Line {
        self.rate = Some(share.value.get());
        self.of(share)
    }

    fn note(&mut self, note: &'static str) {
        self.note = Some(note);
    }
}

fn lines(route: &Route, costs: &Costs, figures: &Figures) -> Result<Vec<Line>, MoneyError> {
    use Effect::{Adds, Note, Subtracts, Sum};
    let (source, target) = (route.source_price.currency, route.target_price.currency);
    let regime = costs.regime.value;
    let mut to = Writer {
        lines: Vec::with_capacity(MOST_LINES),
    };

    to.line("source_price", Subtracts, route.source_price.minor.into(), source)?.origin = Origin::Given;
    let deducted = i128::from(route.source_price.minor) - figures.purchase_cost;
    let input_vat = to.line("input_vat", Adds, deducted, source)?.at(&costs.vat_source);
    match regime {
        Regime::Rc => input_vat.note("invoiced without VAT: reverse charge"),
        Regime::Dom => input_vat.note("deducted as input VAT"),
        Regime::Import if costs.export_zero_rated => input_vat.note("sold without VAT: it leaves the country"),
        Regime::Lost | Regime::Import => input_vat.note("paid and not deducted"),
        Regime::Small | Regime::Margin => input_vat.note("not deductible"),
    }
    to.line("purchase_cost", Sum, figures.purchase_cost, source)?.of(&costs.regime);
    if source != Currency::EUR {
        let line = to.line("purchase_cost_eur", Sum, figures.purchase_cost_eur, Currency::EUR)?;
        (line.rate, line.origin, line.date) = (Some(costs.exchange.source.units_per_eur()), costs.exchange.origin, costs.exchange.date);
    }

    to.line("target_price", Adds, route.target_price.minor.into(), target)?.origin = Origin::Given;
    let output_vat = to.line("output_vat", Subtracts, figures.output_vat, target)?.at(&costs.vat_target);
    match regime {
        Regime::Small => output_vat.note("a small business charges none"),
        Regime::Margin => output_vat.note("of the difference of the two prices"),
        Regime::Rc | Regime::Dom | Regime::Lost | Regime::Import => {}
    }
    to.line("sale_net", Sum, figures.sale_net, target)?;
    let referral = to.line("referral_fee", Subtracts, figures.referral, target)?.of(&costs.referral);
    referral.rate = costs.referral.value.rate_at(route.target_price.to_decimal()).map(Share::get);
    if figures.referral == i128::from(costs.referral_minimum.value.minor) && figures.referral > 0 {
        referral.of(&costs.referral_minimum).note("the minimum");
    }
    to.line("closing_fee", Subtracts, costs.closing_fee.value.minor.into(), target)?
        .of(&costs.closing_fee);
    to.line("fba_fee", Subtracts, costs.fba_fee.value.minor.into(), target)?.of(&costs.fba_fee);
    to.line("dsf", Subtracts, figures.dsf, target)?.at(&costs.dsf_rate);
    if regime == Regime::Small {
        to.line("fee_vat", Subtracts, figures.fee_vat, target)?.at(&costs.fee_vat);
    }
    to.line("proceeds", Sum, figures.proceeds, target)?;
    if target != Currency::EUR {
        let line = to.line("proceeds_eur", Sum, figures.proceeds_eur, Currency::EUR)?;
        (line.rate, line.origin, line.date) = (Some(costs.exchange.target.units_per_eur()), costs.exchange.origin, costs.exchange.date);
        to.line("fx_spread", Subtracts, figures.fx_spread, Currency::EUR)?.at(&costs.exchange.spread);
    }
    for (name, cost) in costs.in_eur() {
        to.line(name, Subtracts, cost.value.minor.into(), Currency::EUR)?.of(cost);
    }
    to.line("profit", Sum, figures.profit, Currency::EUR)?;
    for warning in warnings(route, regime) {
        to.line("warning", Note, 0, Currency::EUR)?.of(&costs.regime).note(warning);
    }
    Ok(to.lines)
}

/// What is unusual about a regime on a route. It is computed all the same: the seller may know better.
fn warnings(route: &Route, regime: Regime) -> Vec<&'static str> {
    let within_eu = is_in_eu(route.source) && is_in_eu(route.target);
    let mut warnings = Vec::new();
    match regime {
        Regime::Rc if !within_eu => warnings.push("reverse charge between businesses is for purchases inside the European Union"),
        Regime::Import if within_eu => warnings.push("no customs border lies between two member states"),
        _ => {}
    }
    if !within_eu && matches!(regime, Regime::Dom | Regime::Lost | Regime::Small | Regime::Margin) {
        warnings.push("this route crosses a customs border: duty and broker are costs, and stock does not move across it within Amazon's network");
    }
    warnings
}
