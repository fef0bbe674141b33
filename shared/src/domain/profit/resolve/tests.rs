use super::super::{Seller, ledger};
use super::*;

fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 1).expect("a day")
}

fn route(source: Marketplace, target: Marketplace) -> Route {
    Route {
        source,
        target,
        source_price: Money::new(4_990, source.currency()),
        target_price: Money::new(8_990, target.currency()),
    }
}

/// A small parcel of 850 g that Keepa has a fee of.
fn article() -> ArticleFacts<'static> {
    ArticleFacts {
        fba_fee: Some(400),
        weight_g: Some(850),
        observed: Some(day()),
        ..ArticleFacts::default()
    }
}

fn rates() -> ExchangeRates {
    ExchangeRates {
        date: day(),
        origin: RatesOrigin::Ecb,
        units_per_eur: [(Currency::GBP, Decimal::new(86_120, 5))].into(),
    }
}

fn resolved(profile: &str, route: &Route, given: &Given, article: &ArticleFacts<'_>) -> Result<Costs, Unresolved> {
    let tables = Tables::shipped();
    let profile = match profile {
        "" => Seller::default().profile,
        text => SellerProfile::parse(text, &tables).expect("a seller profile"),
    };
    let sources = Sources {
        profile: &profile,
        tables: &tables,
        rates: Some(&rates()),
        at: day(),
    };
    resolve(route, given, article, &sources)
}

/// Minor units, where they come from, whether they are assumed.
fn told(cost: &Sourced<Money>) -> (i64, Origin, bool) {
    (cost.value.minor, cost.origin, cost.assumed)
}

#[test]
fn fulfilment_costs_what_the_channel_costs() {
    use Marketplace::{DE, ES, IT, UK};
    use Origin::{Given as Said, Keepa, Profile};
    let unknown = ArticleFacts::default();
    let own = r#"{"fulfilment": "own", "own_shipping": {"IT": 5.90, "UK": "4.35"}}"#;
    let efn = r#"{"fulfilment": "efn"}"#;
    let dearer = r#"{"fulfilment": "efn", "efn_factor": 2}"#;
    let one_route = r#"{"routes": {"*:IT": {"fulfilment": "own"}, "ES:IT": {"fulfilment": "efn"}}, "own_shipping": {"IT": 5.90}}"#;
    let asked = Given {
        fba_fee: Some(Decimal::new(405, 2)),
        ..Given::default()
    };
    let nothing = Given::default();
    let known = article();
    for (profile, from, to, given, article, expected) in [
        ("", ES, IT, &nothing, &known, (400, Keepa, false)),
        ("", ES, IT, &asked, &known, (405, Said, false)),
        (efn, ES, IT, &nothing, &known, (600, Keepa, true)),
        (dearer, ES, IT, &nothing, &known, (800, Keepa, true)),
        (efn, ES, IT, &asked, &known, (405, Said, false)),
        // Over the customs border Amazon sends nothing: stock has to be there, at the plain fee.
        (efn, DE, UK, &nothing, &known, (400, Keepa, true)),
        (efn, UK, DE, &nothing, &known, (400, Keepa, true)),
        (own, ES, IT, &nothing, &known, (590, Profile, false)),
        (own, DE, UK, &nothing, &unknown, (435, Profile, false)),
        (own, ES, IT, &asked, &known, (405, Said, false)),
        (one_route, ES, IT, &nothing, &known, (600, Keepa, true)),
        (one_route, DE, IT, &nothing, &known, (590, Profile, false)),
        (one_route, IT, ES, &nothing, &known, (400, Keepa, false)),
    ] {
        let costs = resolved(profile, &route(from, to), given, article).expect("known");
        assert_eq!(told(&costs.fba_fee), expected, "{profile} {from} {to}");
        let is_own = expected.1 == Profile;
        assert_eq!(costs.own_fulfilment, is_own, "{profile} {from} {to}");
    }
    let refused = resolved(own, &route(IT, ES), &nothing, &known).expect_err("nobody says what shipping to Spain costs");
    assert!(refused.to_string().contains("own_shipping"), "{refused}");
}

#[test]
fn a_fee_that_nobody_tells_comes_from_the_table_by_size_and_is_assumed() {
    let sized = ArticleFacts {
        size: Some(FbaSize {
            mm: [300, 200, 100],
            weight_g: 850,
        }),
        ..ArticleFacts::default()
    };
    for article in [sized, ArticleFacts::default()] {
        let costs = resolved("", &route(Marketplace::ES, Marketplace::DE), &Given::default(), &article).expect("the table knows");
        assert_eq!((costs.fba_fee.origin, costs.fba_fee.assumed), (Origin::FeeTable, true), "{article:?}");
        assert!((200..1_500).contains(&costs.fba_fee.value.minor), "{:?}", costs.fba_fee);
    }
}

#[test]
fn freight_goes_by_the_unit_and_by_weight() {
    use Origin::{Default as Assumed, Given as Said, Profile};
    let by_weight = r#"{"costs": {"freight": 1.50, "freight_per_kg": 0.80}}"#;
    let weight_only = r#"{"costs": {"freight_per_kg": 0.80}}"#;
    let one_route = r#"{"costs": {"freight": 1.50}, "routes": {"ES:*": {"costs": {"freight_per_kg": 2}}}}"#;
    let heavy = |grams| ArticleFacts { weight_g: grams, ..article() };
    let nothing = Given::default();
    let asked = Given {
        freight: Some(Decimal::new(320, 2)),
        ..Given::default()
    };
    for (profile, given, grams, expected) in [
        ("", &nothing, Some(850), (250, Assumed, true)),
        (by_weight, &nothing, Some(850), (218, Profile, false)),
        // 0.804 of a cent's half: half up.
        (by_weight, &nothing, Some(1_006), (230, Profile, false)),
        (by_weight, &nothing, None, (150, Profile, true)),
        (by_weight, &nothing, Some(-1), (150, Profile, true)),
        (weight_only, &nothing, Some(1_000), (80, Profile, false)),
        (one_route, &nothing, Some(500), (250, Profile, false)),
        (by_weight, &asked, Some(850), (320, Said, false)),
    ] {
        let costs = resolved(profile, &route(Marketplace::ES, Marketplace::IT), given, &heavy(grams)).expect("known");
        assert_eq!(told(&costs.freight), expected, "{profile} {grams:?}");
    }
}

#[test]
fn the_most_exact_saying_of_a_route_counts() {
    let profile = r#"{"regime": "DOM", "costs": {"prep": 0.10}, "routes": {
        "*:*": {"costs": {"prep": 0.20}}, "*:UK": {"regime": "IMPORT", "costs": {"broker": 1.50}},
        "ES:*": {"regime": "LOST"}, "ES:UK": {"costs": {"duty": 0.90}}
    }}"#;
    for (from, to, regime, broker, duty) in [
        (Marketplace::DE, Marketplace::IT, Regime::Dom, 0, 0),
        (Marketplace::DE, Marketplace::UK, Regime::Import, 150, 0),
        (Marketplace::ES, Marketplace::UK, Regime::Lost, 150, 90),
        (Marketplace::ES, Marketplace::IT, Regime::Lost, 0, 0),
    ] {
        let costs = resolved(profile, &route(from, to), &Given::default(), &article()).expect("known");
        let found = (costs.regime.value, costs.broker.value.minor, costs.duty.value.minor, costs.prep.value.minor);
        assert_eq!(found, (regime, broker, duty, 20), "{from} {to}");
        assert!(!costs.regime.assumed);
    }
}

#[test]
fn without_a_profile_a_registered_seller_buys_within_the_union_and_imports_over_its_border() {
    for (from, to, regime) in [
        (Marketplace::ES, Marketplace::IT, Regime::Rc),
        (Marketplace::UK, Marketplace::DE, Regime::Import),
        (Marketplace::DE, Marketplace::UK, Regime::Import),
    ] {
        let costs = resolved("", &route(from, to), &Given::default(), &article()).expect("known");
        assert_eq!((costs.regime.value, costs.regime.assumed), (regime, true), "{from} {to}");
    }
}

#[test]
fn fees_of_the_digital_tax_follow_the_sellers_home_and_the_store() {
    // Of sellers elsewhere the table itself is not sure.
    for (home, to, expected, assumed) in [
        ("UK", Marketplace::DE, "0.02", false),
        ("FR", Marketplace::DE, "0.03", false),
        ("DE", Marketplace::DE, "0", true),
        ("DE", Marketplace::IT, "0", true),
    ] {
        let profile = format!(r#"{{"home": "{home}"}}"#);
        let costs = resolved(&profile, &route(Marketplace::ES, to), &Given::default(), &article()).expect("known");
        let found = (costs.dsf_rate.value.get().normalize().to_string(), costs.dsf_rate.assumed);
        assert_eq!(found, (expected.to_owned(), assumed), "{home} {to}");
    }
}

#[test]
fn own_shipping_bears_no_digital_fee_and_the_dearer_channel_earns_less() {
    let profit = |profile: &str| {
        let route = route(Marketplace::ES, Marketplace::IT);
        let costs = resolved(profile, &route, &Given::default(), &article()).expect("known");
        ledger(&route, &costs).expect("small amounts").profit.minor
    };
    let (fba, efn) = (profit(r#"{"home": "FR"}"#), profit(r#"{"home": "FR", "fulfilment": "efn"}"#));
    // 2.00 more, and 3 % of them.
    assert_eq!(fba - efn, 206);
    // The same 4.00 paid to a carrier: 3 % of them less.
    assert_eq!(profit(r#"{"home": "FR", "fulfilment": "own", "own_shipping": {"IT": 4}}"#) - fba, 12);
}
