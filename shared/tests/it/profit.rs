//! The profit engine against the published vectors.

use std::io::Write as _;
use std::path::PathBuf;

use rust_decimal::Decimal;
use serde_json::Value;
use shared::domain::money::percentage;
use shared::domain::profit::{Costs, Exchange, Ledger, Origin, ReferralRule, Regime, Route, Share, Sourced, ledger, tables};
use shared::domain::{Currency, ExchangeRate, Marketplace, Money};

/// The vectors lie beside the workspace. Where they are missing the test says so and is skipped, except in CI, where that
/// is a failure.
fn vectors() -> Option<Value> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/profit.json");
    match std::fs::read_to_string(&file) {
        Ok(text) => Some(serde_json::from_str(&text).expect("the vectors are JSON")),
        Err(error) => {
            let said = format!("{} cannot be read: {error}", file.display());
            assert!(std::env::var("CI").is_err(), "{said}");
            // Not eprintln: the test runner would keep that to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {said}");
            None
        }
    }
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

fn given<T>(value: T) -> Sourced<T> {
    Sourced::known(value, Origin::Given, None)
}

/// Route and costs of a vector; all of them are in EUR.
fn question(inputs: &Value) -> (Route, Costs) {
    let word = |name: &str| inputs[name].as_str().expect(name);
    let minor = |name: &str| inputs[name].as_i64().expect(name);
    let eur = |minor: i64| given(Money::new(minor, Currency::EUR));
    let part = |name: &str| given(Share::new(decimal(word(name))).expect("a share"));
    let regime: Regime = word("regime").parse().expect("a regime");
    let route = Route {
        source: word("source_market").parse().expect("a market"),
        target: word("target_market").parse().expect("a market"),
        source_price: Money::new(minor("buy_gross"), Currency::EUR),
        target_price: Money::new(minor("sell_gross"), Currency::EUR),
    };
    let costs = Costs {
        regime: given(regime),
        vat_source: part("v_src"),
        vat_target: part("v_dst"),
        fee_vat: part(if regime == Regime::Small { "fee_vat" } else { "v_dst" }),
        export_zero_rated: false,
        own_fulfilment: false,
        referral: part("referral_rate").map(ReferralRule::flat),
        referral_minimum: eur(minor("referral_min")),
        closing_fee: eur(minor("closing")),
        fba_fee: eur(minor("fba")),
        dsf_rate: part("dsf_rate"),
        freight: eur(minor("freight")),
        prep: eur(minor("prep")),
        storage: eur(minor("storage")),
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
    };
    (route, costs)
}

fn of(route: &Route, costs: &Costs) -> Ledger {
    ledger(route, costs).expect("sensible amounts")
}

fn line(ledger: &Ledger, name: &str) -> Option<Decimal> {
    ledger.lines.iter().find(|line| line.name == name).map(|line| line.amount.minor.into())
}

#[test]
fn the_published_vectors_come_out() {
    let Some(file) = vectors() else { return };
    let all = file["vectors"].as_array().expect("a list");
    for vector in all {
        let of_id = |id: &Value| all.iter().find(|vector| vector["id"] == *id).expect("the vector it is about");
        let (route, costs) = question(vector.get("inputs_of").map_or(vector, of_id));
        let bought_at = |minor: i64| Route {
            source_price: Money::new(minor, Currency::EUR),
            ..route
        };
        let sold_at = |minor: i64| Route {
            target_price: Money::new(minor, Currency::EUR),
            ..route
        };
        let ledger = of(&route, &costs);
        if let Some(wrong) = vector.get("expect_not") {
            assert_ne!(Some(ledger.profit.minor), wrong["profit"].as_i64(), "{}", vector["id"]);
            continue;
        }
        let whole = |money: Money| Some(Decimal::from(money.minor));
        let others = ["freight", "prep", "storage", "returns", "duty", "broker", "other"];
        for (name, expected) in vector["expect"].as_object().expect("names and numbers") {
            let seen = match name.as_str() {
                "buy_cost" => whole(ledger.purchase_cost),
                "sell_net" => whole(ledger.sale_net),
                "vat_out" => whole(ledger.output_vat),
                "referral" => whole(ledger.referral_fee),
                "dsf" => whole(ledger.dsf),
                "fee_vat_cost" => line(&ledger, "fee_vat"),
                "other" => others.iter().map(|name| line(&ledger, name)).sum(),
                "profit" => whole(ledger.profit),
                "capital" => whole(ledger.capital),
                "roi_pct" => ledger.roi_percentage,
                "net_margin_pct" => ledger.net_margin_percentage,
                "gross_gap_pct" => ledger.gross_gap_percentage,
                "markup_pct" => percentage(route.target_price.minor - route.source_price.minor, route.source_price.minor),
                "break_even" => ledger.break_even_price.and_then(whole),
                "buffer_pct" => ledger.buffer_percentage,
                "max_buy_gross" => ledger.max_purchase_price.and_then(whole),
                "max_buy_net" => ledger
                    .max_purchase_price
                    .and_then(|price| whole(of(&bought_at(price.minor), &costs).purchase_cost)),
                other => panic!("a number that nobody computes: {other}"),
            };
            let expected = expected.as_str().map_or_else(|| expected.as_i64().expect("a number").into(), decimal);
            assert_eq!(seen, Some(expected), "{} {name}", vector["id"]);
        }
        let prices = |name: &str| {
            let prices = vector[name].as_object().into_iter().flatten();
            prices.map(|(price, profit)| (price.parse::<i64>().expect("minor units"), profit.as_i64().expect("minor units")))
        };
        for (price, profit) in prices("profit_at_sell_gross") {
            assert_eq!(of(&sold_at(price), &costs).profit.minor, profit, "{} sold at {price}", vector["id"]);
        }
        for (price, profit) in prices("profit_at_buy_gross") {
            assert_eq!(of(&bought_at(price), &costs).profit.minor, profit, "{} bought at {price}", vector["id"]);
        }
    }
}

#[test]
fn the_published_referral_brackets_are_those_of_the_table() {
    let Some(file) = vectors() else { return };
    let shipped = tables::Tables::shipped();
    for bracket in file["referral_brackets"].as_array().expect("a list") {
        let market: Marketplace = bracket["market"].as_str().expect("a market").parse().expect("a market");
        let price = Money::new(bracket["price"].as_i64().expect("a price"), market.currency());
        let day = "2026-07-01".parse().expect("a day");
        let rule = shipped
            .fees
            .referral(bracket["category"].as_str().expect("a category"), market, day)
            .expect("a rule")
            .value;
        let fee = Money::from_decimal(rule.fee(price), market.currency()).expect("small");
        assert_eq!(Some(fee.minor), bracket["referral"].as_i64(), "{bracket}");
    }
}
