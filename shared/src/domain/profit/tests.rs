//! The ledger against numbers worked out by hand, and against the laws that must hold whatever the numbers.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::domain::marketplace::Marketplace;
use crate::domain::money::{Currency, ExchangeRate, Money};

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

fn share(text: &str) -> Share {
    Share::new(decimal(text)).expect("a share")
}

fn given<T>(value: T) -> Sourced<T> {
    Sourced::known(value, Origin::Given, None)
}

fn eur(minor: i64) -> Sourced<Money> {
    given(Money::new(minor, Currency::EUR))
}

fn rate(marketplace: Marketplace, units: &str) -> ExchangeRate {
    match marketplace.currency() {
        Currency::EUR => ExchangeRate::EUR,
        currency => ExchangeRate::new(currency, decimal(units)).expect("a rate"),
    }
}

/// Buy in Spain at 49.90, sell in Italy at 89.90.
fn route() -> Route {
    Route {
        source: Marketplace::ES,
        target: Marketplace::IT,
        source_price: Money::new(4_990, Currency::EUR),
        target_price: Money::new(8_990, Currency::EUR),
    }
}

fn costs(regime: Regime) -> Costs {
    Costs {
        regime: given(regime),
        vat_source: given(share("0.21")),
        vat_target: given(share("0.22")),
        fee_vat: given(share("0.22")),
        export_zero_rated: false,
        own_fulfilment: false,
        referral: given(ReferralRule::flat(share("0.15"))),
        referral_minimum: eur(30),
        closing_fee: eur(0),
        fba_fee: eur(405),
        dsf_rate: given(share("0.02")),
        freight: eur(250),
        prep: eur(40),
        storage: eur(27),
        returns: eur(0),
        duty: eur(0),
        broker: eur(0),
        other: eur(0),
        exchange: Exchange {
            source: ExchangeRate::EUR,
            target: ExchangeRate::EUR,
            origin: Origin::Given,
            date: None,
            spread: given(Share::ZERO),
        },
    }
}

fn of(route: &Route, costs: &Costs) -> Ledger {
    ledger(route, costs).expect("sensible amounts")
}

fn text(percentage: Option<Decimal>) -> Option<String> {
    percentage.map(|percentage| percentage.to_string())
}

#[test]
fn a_gap_of_44_percent_is_a_net_margin_of_15() {
    let ledger = of(&route(), &costs(Regime::Rc));
    assert_eq!(ledger.purchase_cost.minor, 4_124);
    assert_eq!(ledger.sale_net.minor, 7_369);
    assert_eq!(ledger.output_vat.minor, 1_621);
    // 13.485 half up; banker's rounding would give 13.48.
    assert_eq!(ledger.referral_fee.minor, 1_349);
    assert_eq!(ledger.dsf.minor, 35);
    assert_eq!(ledger.profit.minor, 1_139);
    assert_eq!(ledger.capital.minor, 4_414);
    assert_eq!(text(ledger.roi_percentage).as_deref(), Some("25.80"));
    assert_eq!(text(ledger.net_margin_percentage).as_deref(), Some("15.46"));
    assert_eq!(text(ledger.gross_gap_percentage).as_deref(), Some("44.49"));
    assert_eq!(ledger.break_even_price.map(|price| price.minor), Some(7_281));
    assert_eq!(ledger.max_purchase_price.map(|price| price.minor), Some(6_368));
    assert_eq!(text(ledger.buffer_percentage).as_deref(), Some("19.01"));
    // The sale taken gross, without the digital services fee.
    assert_ne!(ledger.profit.minor, 2_795);
}

#[test]
fn each_regime_is_a_cost_function_of_its_own() {
    for (regime, purchase, vat, profit, capital, roi) in [
        (Regime::Rc, 4_124, 1_621, 1_139, 4_414, "25.80"),
        (Regime::Dom, 4_124, 1_621, 1_139, 4_414, "25.80"),
        (Regime::Lost, 4_990, 1_621, 273, 5_280, "5.17"),
        (Regime::Import, 4_990, 1_621, 273, 5_280, "5.17"),
        (Regime::Small, 4_990, 0, 1_500, 5_280, "28.41"),
        // (89.90 - 49.90) * 22 / 122 = 7.2131
        (Regime::Margin, 4_990, 721, 1_173, 5_280, "22.22"),
    ] {
        let ledger = of(&route(), &costs(regime));
        let seen = (ledger.purchase_cost.minor, ledger.output_vat.minor, ledger.profit.minor, ledger.capital.minor);
        assert_eq!(seen, (purchase, vat, profit, capital), "{regime}");
        assert_eq!(text(ledger.roi_percentage).as_deref(), Some(roi), "{regime}");
    }
}

#[test]
fn an_export_without_vat_is_bought_net_and_duty_and_broker_are_costs() {
    let mut costs = costs(Regime::Import);
    (costs.duty, costs.broker) = (eur(150), eur(300));
    assert_eq!(of(&route(), &costs).profit.minor, 273 - 450);
    costs.export_zero_rated = true;
    assert_eq!(of(&route(), &costs).profit.minor, 1_139 - 450);
}

#[test]
fn the_margin_scheme_never_gives_vat_back() {
    let route = Route {
        target_price: Money::new(3_000, Currency::EUR),
        ..route()
    };
    assert_eq!(of(&route, &costs(Regime::Margin)).output_vat.minor, 0);
}

#[test]
fn a_sale_in_pounds_is_computed_in_pounds_and_converted_once() {
    let gbp = |minor| given(Money::new(minor, Currency::GBP));
    let route = Route {
        source: Marketplace::DE,
        target: Marketplace::UK,
        source_price: Money::new(4_990, Currency::EUR),
        target_price: Money::new(8_990, Currency::GBP),
    };
    let mut costs = costs(Regime::Import);
    (costs.vat_source, costs.vat_target) = (given(share("0.19")), given(share("0.20")));
    (costs.referral_minimum, costs.closing_fee, costs.fba_fee) = (gbp(25), gbp(0), gbp(304));
    costs.exchange.target = rate(Marketplace::UK, "0.85363");
    costs.exchange.spread = given(share("0.015"));
    let ledger = of(&route, &costs);
    // Net 74.92, VAT 14.98, referral 13.485 -> 13.49, DSF 0.02 * 16.53 = 0.3306 -> 0.33, proceeds 58.06 GBP = 68.02 EUR.
    assert_eq!((ledger.sale_net.minor, ledger.output_vat.minor), (7_492, 1_498));
    assert_eq!((ledger.referral_fee.minor, ledger.dsf.minor), (1_349, 33));
    let line = |name: &str| ledger.lines.iter().find(|line| line.name == name).expect(name).amount;
    assert_eq!(line("proceeds"), Money::new(5_806, Currency::GBP));
    assert_eq!(line("proceeds_eur"), Money::new(6_802, Currency::EUR));
    assert_eq!(line("fx_spread"), Money::new(102, Currency::EUR));
    assert_eq!(ledger.profit, Money::new(6_802 - 102 - 4_990 - 317, Currency::EUR));
    assert_eq!(ledger.break_even_price.expect("it pays").currency, Currency::GBP);
    assert_eq!(ledger.max_purchase_price.expect("it pays").currency, Currency::EUR);
}

#[test]
fn what_is_shipped_by_oneself_pays_no_fee_on_the_shipping() {
    let mut costs = costs(Regime::Small);
    costs.own_fulfilment = true;
    let ledger = of(&route(), &costs);
    // 2 % of 13.49, and VAT on 13.49 + 0.27 only.
    assert_eq!(ledger.dsf.minor, 27);
    let fee_vat = ledger.lines.iter().find(|line| line.name == "fee_vat").expect("a small business");
    assert_eq!(fee_vat.amount.minor, 303);
}

#[test]
fn what_can_never_pay_has_no_break_even() {
    let mut costs = costs(Regime::Lost);
    costs.referral = given(ReferralRule::flat(share("0.9")));
    let ledger = of(&route(), &costs);
    assert_eq!((ledger.break_even_price, ledger.buffer_percentage), (None, None));
    // And where even a gift would not pay, no purchase price is low enough.
    assert_eq!(ledger.max_purchase_price, None);
}

#[test]
fn with_whole_bands_the_least_price_that_pays_may_lie_below_prices_that_do_not() {
    let route = Route {
        source_price: Money::new(100, Currency::EUR),
        ..route()
    };
    let mut costs = costs(Regime::Small);
    let steps = [(Some("10"), "0.05"), (None, "0.50")];
    let steps = steps.map(|(up_to, rate)| Step {
        up_to: up_to.map(decimal),
        rate: share(rate),
    });
    costs.referral = given(ReferralRule::of_steps(RuleKind::Whole, steps.to_vec()).expect("a rule"));
    let break_even = of(&route, &costs).break_even_price.expect("it pays").minor;
    assert!(break_even <= 1_000, "{break_even}");
    let profit_at = |minor| profit_at_sale(&route, &costs, minor);
    assert!(profit_at(break_even) >= 0 && profit_at(break_even - 1) < 0);
    assert!(profit_at(1_001) < 0, "the next band loses again");
}

#[test]
fn amounts_of_another_currency_or_beyond_all_sense_are_refused() {
    let of_route = |source: Money, target: Money| Route {
        source_price: source,
        target_price: target,
        ..route()
    };
    let euros = |minor| Money::new(minor, Currency::EUR);
    for (source, target, named) in [
        (euros(0), euros(1), "source_price"),
        (euros(1), euros(-1), "target_price"),
        (euros(1), Money::new(1, Currency::GBP), "target_price"),
        (euros(i64::MAX), euros(1), "source_price"),
    ] {
        let refused = ledger(&of_route(source, target), &costs(Regime::Rc)).expect_err("no route");
        assert!(refused.to_string().contains(named), "{refused}");
    }
    let mut wrong = costs(Regime::Rc);
    wrong.fba_fee = given(Money::new(1, Currency::GBP));
    assert!(ledger(&route(), &wrong).expect_err("pounds").to_string().contains("fba_fee"));
}

#[test]
fn an_unusual_regime_is_computed_and_warned_of() {
    let warned = |source, target, regime| {
        let gbp = rate(Marketplace::UK, "0.85");
        let of = |marketplace: Marketplace| if marketplace == Marketplace::UK { gbp } else { ExchangeRate::EUR };
        let mut costs = costs(regime);
        costs.exchange = Exchange {
            source: of(source),
            target: of(target),
            ..costs.exchange
        };
        for fee in [&mut costs.referral_minimum, &mut costs.closing_fee, &mut costs.fba_fee] {
            fee.value.currency = target.currency();
        }
        let route = Route {
            source,
            target,
            source_price: Money::new(4_990, source.currency()),
            target_price: Money::new(8_990, target.currency()),
        };
        super::ledger(&route, &costs).expect("computed").lines.iter().any(|line| line.name == "warning")
    };
    use Marketplace::{DE, IT, UK};
    assert!(!warned(DE, IT, Regime::Rc));
    assert!(warned(DE, UK, Regime::Rc));
    assert!(warned(DE, IT, Regime::Import));
    assert!(!warned(UK, DE, Regime::Import));
    assert!(warned(UK, DE, Regime::Lost));
}

fn profit_at_sale(route: &Route, costs: &Costs, minor: i64) -> i64 {
    let target_price = Money::new(minor, route.target_price.currency);
    of(&Route { target_price, ..*route }, costs).profit.minor
}

fn profit_at_purchase(route: &Route, costs: &Costs, minor: i64) -> i64 {
    let source_price = Money::new(minor, route.source_price.currency);
    of(&Route { source_price, ..*route }, costs).profit.minor
}

/// One of the amounts.
type Amount = for<'a> fn(&'a mut Costs) -> &'a mut Sourced<Money>;

fn any_share(most: i64) -> impl Strategy<Value = Share> {
    (0..=most).prop_map(|thousandths| Share::new(Decimal::new(thousandths, 3)).expect("a share"))
}

fn any_rule() -> impl Strategy<Value = ReferralRule> {
    let rate = || (5_i64..=20).prop_map(|percent| Share::new(Decimal::new(percent, 2)).expect("a share"));
    let kind = prop_oneof![Just(RuleKind::Whole), Just(RuleKind::Marginal)];
    (kind, 1_i64..400, rate(), rate()).prop_map(|(kind, limit, low, high)| {
        let steps = vec![
            Step {
                up_to: Some(Decimal::from(limit)),
                rate: low,
            },
            Step { up_to: None, rate: high },
        ];
        ReferralRule::of_steps(kind, steps).expect("a rule")
    })
}

prop_compose! {
    /// Any route of ours under any sensible costs.
    fn any_case()(
        source in proptest::sample::select(vec![Marketplace::DE, Marketplace::IT, Marketplace::UK]),
        target in proptest::sample::select(vec![Marketplace::ES, Marketplace::FR, Marketplace::UK]),
        regime in proptest::sample::select(Regime::ALL.to_vec()),
        prices in (1_i64..200_000, 1_i64..200_000),
        vat in (any_share(270), any_share(270), any_share(270)),
        referral in any_rule(),
        fees in (0_i64..100, 0_i64..200, 0_i64..1_500),
        dsf in any_share(30),
        in_eur in (0_i64..1_000, 0_i64..200, 0_i64..200, 0_i64..200, 0_i64..500),
        units in 80_000_i64..120_000,
        spread in any_share(20),
        flags in (any::<bool>(), any::<bool>()),
    ) -> (Route, Costs) {
        let of_target = |minor| given(Money::new(minor, target.currency()));
        let units = Decimal::new(units, 5).to_string();
        let route = Route {
            source,
            target,
            source_price: Money::new(prices.0, source.currency()),
            target_price: Money::new(prices.1, target.currency()),
        };
        let costs = Costs {
            vat_source: given(vat.0),
            vat_target: given(vat.1),
            fee_vat: given(vat.2),
            export_zero_rated: flags.0,
            own_fulfilment: flags.1,
            referral: given(referral),
            referral_minimum: of_target(fees.0),
            closing_fee: of_target(fees.1),
            fba_fee: of_target(fees.2),
            dsf_rate: given(dsf),
            freight: eur(in_eur.0),
            prep: eur(in_eur.1),
            storage: eur(in_eur.2),
            returns: eur(in_eur.3),
            duty: eur(in_eur.4),
            exchange: Exchange {
                source: rate(source, &units),
                target: rate(target, &units),
                origin: Origin::Given,
                date: None,
                spread: given(spread),
            },
            ..costs(regime)
        };
        (route, costs)
    }
}

/// The formulas as they are written down, in decimals of any length: purchase cost, output VAT, referral fee, digital fee, VAT
/// on fees, proceeds, spread, profit and capital, minor units.
fn plain(route: &Route, costs: &Costs) -> [Decimal; 9] {
    let line = |value: Decimal| crate::domain::money::round_half_up(value, 0);
    let share = |share: &Sourced<Share>| share.value.get();
    let minor = |amount: &Sourced<Money>| Decimal::from(amount.value.minor);
    let net = |gross: Decimal, vat: Decimal| line(gross / (Decimal::ONE + vat));
    let (source, target) = (Decimal::from(route.source_price.minor), Decimal::from(route.target_price.minor));
    let (source_rate, target_rate) = (costs.exchange.source.units_per_eur(), costs.exchange.target.units_per_eur());
    let regime = costs.regime.value;
    let is_bought_net = matches!(regime, Regime::Rc | Regime::Dom) || regime == Regime::Import && costs.export_zero_rated;
    let purchase = if is_bought_net { net(source, share(&costs.vat_source)) } else { source };
    let purchase_eur = line(purchase / source_rate);
    let vat_target = share(&costs.vat_target);
    let vat = match regime {
        Regime::Small => Decimal::ZERO,
        Regime::Margin => {
            let difference = line(target / target_rate) - line(source / source_rate);
            line(line(difference.max(Decimal::ZERO) * vat_target / (Decimal::ONE + vat_target)) * target_rate)
        }
        _ => target - net(target, vat_target),
    };
    let by_rule = costs.referral.value.fee(route.target_price) * Decimal::ONE_HUNDRED;
    let referral = line(by_rule).max(minor(&costs.referral_minimum));
    let amazon_fba = if costs.own_fulfilment { Decimal::ZERO } else { minor(&costs.fba_fee) };
    let dsf = line(share(&costs.dsf_rate) * (referral + amazon_fba));
    let fee_vat = match regime {
        Regime::Small => line(share(&costs.fee_vat) * (referral + minor(&costs.closing_fee) + amazon_fba + dsf)),
        _ => Decimal::ZERO,
    };
    let proceeds = target - vat - referral - minor(&costs.closing_fee) - minor(&costs.fba_fee) - dsf - fee_vat;
    let proceeds_eur = line(proceeds / target_rate);
    let spread = if route.target_price.currency == Currency::EUR {
        Decimal::ZERO
    } else {
        share(&costs.exchange.spread)
    };
    let fx_spread = line(spread * proceeds_eur.max(Decimal::ZERO));
    let other: Decimal = costs.in_eur().iter().map(|(_, cost)| minor(cost)).sum();
    let before_sale: Decimal = costs.before_sale().iter().map(|cost| minor(cost)).sum();
    let profit = proceeds_eur - purchase_eur - other - fx_spread;
    [purchase, vat, referral, dsf, fee_vat, proceeds, fx_spread, profit, purchase_eur + before_sale]
}

proptest! {
    #[test]
    fn integers_give_what_decimals_give((route, costs) in any_case()) {
        let figures = costs.formula().figures(route.source_price.minor, route.target_price.minor);
        let found = [
            figures.purchase_cost,
            figures.output_vat,
            figures.referral,
            figures.dsf,
            figures.fee_vat,
            figures.proceeds,
            figures.fx_spread,
            figures.profit,
            figures.capital,
        ];
        prop_assert_eq!(found.map(Decimal::from), plain(&route, &costs));
    }

    /// What is kept of a ledger is what the ledger says.
    #[test]
    fn the_numbers_that_are_kept_are_those_of_the_ledger((route, costs) in any_case()) {
        let ledger = of(&route, &costs);
        let net = Net::of(&route, costs).expect("sensible amounts");
        prop_assert_eq!(net.profit, ledger.profit);
        prop_assert_eq!(net.roi.map(|roi| roi.to_decimal()), ledger.roi_percentage);
        prop_assert_eq!(net.buffer.map(|buffer| buffer.to_decimal()), ledger.buffer_percentage);
    }

    #[test]
    fn net_and_vat_are_the_price((route, costs) in any_case()) {
        let ledger = of(&route, &costs);
        prop_assert_eq!(ledger.sale_net.minor + ledger.output_vat.minor, route.target_price.minor);
        prop_assert!(ledger.output_vat.minor >= 0);
    }

    /// What comes in less what goes out is every sum, in its currency.
    #[test]
    fn the_lines_add_up((route, costs) in any_case()) {
        let ledger = of(&route, &costs);
        let amount = |name: &str| ledger.lines.iter().find(|line| line.name == name).map(|line| line.amount.minor);
        let sum = |names: &[&str]| names.iter().map(|name| amount(name).unwrap_or(0)).sum::<i64>();
        prop_assert_eq!(amount("purchase_cost").unwrap(), sum(&["source_price"]) - sum(&["input_vat"]));
        prop_assert_eq!(amount("proceeds").unwrap(), sum(&["sale_net"]) - sum(&["referral_fee", "closing_fee", "fba_fee", "dsf", "fee_vat"]));
        let proceeds = amount("proceeds_eur").or(amount("proceeds")).unwrap();
        let purchase = amount("purchase_cost_eur").or(amount("purchase_cost")).unwrap();
        let costs_in_eur = sum(&["fx_spread", "freight", "prep", "storage", "returns", "duty", "broker", "other"]);
        prop_assert_eq!(ledger.profit.minor, proceeds - purchase - costs_in_eur);
        prop_assert_eq!(amount("profit"), Some(ledger.profit.minor));
    }

    #[test]
    fn profit_falls_in_every_cost((route, costs) in any_case(), more in 1_i64..5_000) {
        let profit = of(&route, &costs).profit.minor;
        let dearer = |change: &dyn Fn(&mut Costs)| {
            let mut dearer = costs.clone();
            change(&mut dearer);
            of(&route, &dearer).profit.minor
        };
        let in_eur: [Amount; 7] = [
            |costs| &mut costs.freight,
            |costs| &mut costs.prep,
            |costs| &mut costs.storage,
            |costs| &mut costs.returns,
            |costs| &mut costs.duty,
            |costs| &mut costs.broker,
            |costs| &mut costs.other,
        ];
        for cost in in_eur {
            // By as much as it grows.
            prop_assert_eq!(dearer(&|costs| cost(costs).value.minor += more), profit - more);
        }
        let of_amazon: [Amount; 3] = [|costs| &mut costs.referral_minimum, |costs| &mut costs.closing_fee, |costs| &mut costs.fba_fee];
        for cost in of_amazon {
            prop_assert!(dearer(&|costs| cost(costs).value.minor += more) <= profit);
        }
        prop_assert!(dearer(&|costs| costs.vat_target.value = share("0.3")) <= profit);
        prop_assert!(dearer(&|costs| costs.fee_vat.value = share("0.3")) <= profit);
        prop_assert!(dearer(&|costs| costs.dsf_rate.value = share("0.05")) <= profit);
        prop_assert!(dearer(&|costs| costs.exchange.spread.value = share("0.05")) <= profit);
        prop_assert!(profit_at_purchase(&route, &costs, route.source_price.minor + more) <= profit + 1);
    }

    /// Against trying every price, where there are few.
    #[test]
    fn break_even_is_the_least_price_that_loses_nothing((route, costs) in any_case(), cheap in 1_i64..3_000) {
        let route = Route { source_price: Money::new(cheap, route.source_price.currency), ..route };
        let found = of(&route, &costs).break_even_price.map(|price| price.minor);
        let tried = (1..=found.unwrap_or(20_000)).find(|&price| costs.formula().figures(cheap, price).profit >= 0);
        prop_assert_eq!(tried, found);
    }

    #[test]
    fn the_greatest_purchase_price_is_the_last_that_loses_nothing((route, costs) in any_case()) {
        let Some(found) = of(&route, &costs).max_purchase_price.map(|price| price.minor) else {
            prop_assert!(profit_at_purchase(&route, &costs, 1) < 0);
            return Ok(());
        };
        prop_assert!(profit_at_purchase(&route, &costs, found) >= 0);
        for dearer in 1..=20 {
            prop_assert!(profit_at_purchase(&route, &costs, found + dearer) < 0);
        }
    }

    #[test]
    fn no_amount_panics(
        (route, costs) in any_case(),
        amounts in prop_oneof![any::<(i64, i64, i64)>(), (1_i64..1_000_000_000_000, 1_i64..1_000_000_000_000, 0_i64..1_000_000_000_000)],
        rates in (1_i64..10_000_000_000_000_000, 1_i64..10_000_000_000_000_000),
        magnitudes in (0_u32..12, 0_u32..12),
    ) {
        let (source, target, fee) = amounts;
        let mut costs = costs;
        costs.fba_fee.value.minor = fee;
        let scaled = |units: i64, magnitude: u32| Decimal::new((units / 10_i64.pow(magnitude)).max(1), 10).to_string();
        costs.exchange.source = rate(route.source, &scaled(rates.0, magnitudes.0));
        costs.exchange.target = rate(route.target, &scaled(rates.1, magnitudes.1));
        let route = Route {
            source_price: Money::new(source, route.source_price.currency),
            target_price: Money::new(target, route.target_price.currency),
            ..route
        };
        let _ = ledger(&route, &costs);
    }
}
