use std::sync::Arc;

use proptest::prelude::*;
use rust_decimal::Decimal;
use shared::domain::keepa_time::KeepaMinutes;
use shared::domain::price::{AttributeFacts, BuyBoxFacts, PriceFacts};
use shared::domain::profit::{Regime, Seller};
use shared::domain::rates::RatesOrigin;
use shared::domain::{Asin, MarketState, ObservedAt, Product, Register, Source};

use super::*;
use crate::settings::Rules;

use Marketplace::{DE, ES, FR, IT, JP, UK};

/// 2026-07-10T12:00Z.
const NOON: UnixMillis = UnixMillis(1_783_684_800_000);
const DAY: i64 = 86_400_000;

fn asin() -> Asin {
    "B0D1XD1ZV3".parse().unwrap()
}

fn basis() -> Basis {
    Basis {
        settings: Settings::new(
            &Rules {
                min_margin_percent: Decimal::TEN,
                leg_stale_after_ms: DAY,
                markets: vec![DE, FR, IT, ES, UK],
                seller: Arc::default(),
            },
            1,
        ),
        rates: Some(rates("2026-07-09", RatesOrigin::Ecb, "0.86120")),
        simulated: Some(false),
    }
}

fn rates(date: &str, origin: RatesOrigin, pounds: &str) -> ExchangeRates {
    ExchangeRates {
        date: date.parse().unwrap(),
        origin,
        units_per_eur: BTreeMap::from([(Currency::GBP, pounds.parse().unwrap()), (Currency::JPY, "170.00".parse().unwrap())]),
    }
}

fn observed(at: UnixMillis) -> ObservedAt {
    ObservedAt {
        last_update: KeepaMinutes::from_unix(at),
        fetched_at: at,
    }
}

/// A product whose new price was observed at an instant, by marketplace.
fn product(revision: i64, prices: &[(Marketplace, Option<i64>, UnixMillis)]) -> StoredProduct {
    let product = prices
        .iter()
        .map(|&(marketplace, new, at)| {
            let mut state = MarketState::observed(observed(at));
            state.prices = Some(Register::new(state.latest, PriceFacts { new, ..PriceFacts::default() }));
            Product::from_record(asin(), marketplace, Source::Keepa, state)
        })
        .reduce(|mut product, other| {
            product.merge(&other);
            product
        })
        .unwrap();
    StoredProduct {
        product,
        revision,
        listing: Listing {
            title: Some("Kettle".into()),
            ..Listing::default()
        },
    }
}

fn fresh(revision: i64, prices: &[(Marketplace, i64)]) -> StoredProduct {
    let prices: Vec<_> = prices.iter().map(|&(marketplace, price)| (marketplace, Some(price), NOON)).collect();
    product(revision, &prices)
}

fn evaluate(product: &StoredProduct, basis: &Basis, now: UnixMillis) -> Vec<RouteEvaluation> {
    Evaluator::new(basis, now).evaluate(product, now)
}

/// Open routes as `ES>IT 7.00 14.59`.
fn gaps(product: &StoredProduct, basis: &Basis) -> Vec<String> {
    evaluate(product, basis, NOON)
        .into_iter()
        .filter_map(|route| match route.finding {
            Finding::Open(numbers) => Some(format!(
                "{}>{} {} {}",
                route.id.source,
                route.id.target,
                numbers.margin.to_decimal(),
                numbers.margin_percentage
            )),
            _ => None,
        })
        .collect()
}

fn finding(product: &StoredProduct, basis: &Basis, now: UnixMillis, source: Marketplace, target: Marketplace) -> Finding {
    evaluate(product, basis, now)
        .into_iter()
        .find(|route| (route.id.source, route.id.target) == (source, target))
        .unwrap()
        .finding
}

#[test]
fn the_reference_case_has_one_opportunity() {
    let product = fresh(1, &[(DE, 4999), (IT, 5499), (ES, 4799)]);
    assert_eq!(gaps(&product, &basis()), ["ES>IT 7.00 14.59"]);
    assert_eq!(evaluate(&product, &basis(), NOON).len(), 20);
}

#[test]
fn a_gap_has_to_be_above_the_threshold_after_rounding() {
    // 10.00 % as shown is not above 10; 1000 to 1100 is exactly 10; 10.01 is above.
    for (source, target, expected) in [
        (4999, 5499, vec![]),
        (1000, 1100, vec![]),
        (10_000, 11_001, vec!["DE>IT 10.01 10.01"]),
        (100_000, 110_005, vec!["DE>IT 100.05 10.01"]),
        (100_000, 110_004, vec![]),
    ] {
        assert_eq!(gaps(&fresh(1, &[(DE, source), (IT, target)]), &basis()), expected, "{source} {target}");
    }
}

#[test]
fn pounds_are_rounded_to_euro_cents_before_the_difference() {
    let product = fresh(1, &[(UK, 4999), (DE, 6499)]);
    assert_eq!(gaps(&product, &basis()), ["UK>DE 6.94 11.96"]);
    let Finding::Open(numbers) = finding(&product, &basis(), NOON, UK, DE) else {
        panic!("a gap")
    };
    assert_eq!((numbers.source_price_eur.minor, numbers.target_price_eur.minor), (5805, 6499));
    let used = numbers.exchange_rate.expect("rates were used");
    assert_eq!(used.date.to_string(), "2026-07-09");
    assert_eq!(used.units_per_eur, BTreeMap::from([(Currency::GBP, "0.86120".parse().unwrap())]));
}

#[test]
fn a_route_within_the_euro_names_no_rates_and_does_not_age_with_them() {
    let product = fresh(1, &[(ES, 4799), (IT, 5499), (UK, 9999)]);
    for route in evaluate(&product, &basis(), NOON) {
        let over_currencies = [route.id.source, route.id.target].contains(&UK);
        assert_eq!(route.evaluation.rates_date == NO_RATES_DATE, !over_currencies, "{}", route.id);
        if let Finding::Open(numbers) = route.finding {
            assert_eq!(numbers.exchange_rate.is_some(), over_currencies, "{}", route.id);
        }
    }
}

#[test]
fn a_route_that_is_not_open_says_why() {
    let closed = |product: &StoredProduct, basis: &Basis, source, target| finding(product, basis, NOON, source, target);
    let two = fresh(1, &[(ES, 4799), (IT, 5499)]);
    assert!(matches!(closed(&two, &basis(), IT, ES), Finding::TooSmall(_)));
    assert_eq!(closed(&two, &basis(), ES, DE), Finding::Impossible(ClosedReason::PriceGone));

    let gone = product(1, &[(ES, None, NOON), (IT, Some(5499), NOON)]);
    assert_eq!(closed(&gone, &basis(), ES, IT), Finding::Impossible(ClosedReason::PriceGone));

    let mut narrow = basis();
    narrow.settings.markets = vec![DE, IT];
    assert_eq!(closed(&two, &narrow, ES, IT), Finding::Impossible(ClosedReason::Config));

    let foreign = fresh(1, &[(UK, 4999), (DE, 6499)]);
    let mut without = basis();
    without.rates = None;
    assert_eq!(closed(&foreign, &without, UK, DE), Finding::Impossible(ClosedReason::Rate));
    let mut other = basis();
    other.rates.as_mut().unwrap().units_per_eur.remove(&Currency::GBP);
    assert_eq!(closed(&foreign, &other, UK, DE), Finding::Impossible(ClosedReason::Rate));
}

#[test]
fn a_price_that_rounds_to_zero_euros_is_none() {
    let mut basis = basis();
    basis.settings.markets.push(JP);
    basis.rates.as_mut().unwrap().units_per_eur.insert(Currency::JPY, "300".parse().unwrap());
    let product = fresh(1, &[(JP, 1), (DE, 100)]);
    assert_eq!(finding(&product, &basis, NOON, JP, DE), Finding::Impossible(ClosedReason::PriceGone));
}

#[test]
fn a_leg_counts_up_to_its_age_and_not_a_millisecond_longer() {
    let product = product(1, &[(ES, Some(4799), NOON), (IT, Some(5499), NOON.plus_millis(DAY))]);
    let at = |millis| finding(&product, &basis(), NOON.plus_millis(millis), ES, IT);
    assert!(matches!(at(DAY), Finding::Open(_)));
    assert_eq!(at(DAY + 1), Finding::Impossible(ClosedReason::Stale));
}

#[test]
fn the_age_of_a_buy_box_counts_from_keepas_last_look_at_it() {
    let mut stored = fresh(1, &[(ES, 4799), (IT, 5499)]);
    let state = std::sync::Arc::make_mut(stored.product.markets.get_mut(&ES).unwrap().get_mut(Source::Keepa).unwrap());
    state.buy_box = Some(Register::new(
        state.latest,
        BuyBoxFacts {
            landed: Some(4000),
            updated_at: Some(KeepaMinutes::from_unix(NOON.plus_millis(-2 * DAY))),
            ..BuyBoxFacts::default()
        },
    ));
    assert_eq!(finding(&stored, &basis(), NOON, ES, IT), Finding::Impossible(ClosedReason::Stale));
}

#[test]
fn rates_have_to_be_the_ecbs_and_at_most_a_week_old_with_real_data() {
    let product = fresh(1, &[(UK, 4999), (DE, 6499)]);
    let closed = Some(ClosedReason::Rate);
    for (date, origin, simulated, expected) in [
        ("2026-07-03", RatesOrigin::Ecb, Some(false), Ok(())),
        ("2026-07-02", RatesOrigin::Ecb, Some(false), Err(closed)),
        ("2026-07-02", RatesOrigin::Ecb, Some(true), Ok(())),
        ("2026-01-09", RatesOrigin::Shipped, Some(true), Ok(())),
        ("2026-01-09", RatesOrigin::Shipped, Some(false), Err(closed)),
        // Nobody has said yet whether data is simulated: only what holds either way is said.
        ("2026-07-03", RatesOrigin::Ecb, None, Ok(())),
        ("2026-07-02", RatesOrigin::Ecb, None, Err(None)),
        ("2026-01-09", RatesOrigin::Shipped, None, Err(None)),
    ] {
        let basis = Basis {
            rates: Some(rates(date, origin, "0.86120")),
            simulated,
            ..basis()
        };
        let found = match finding(&product, &basis, NOON, UK, DE) {
            Finding::Open(_) | Finding::TooSmall(_) => Ok(()),
            Finding::Impossible(reason) => Err(Some(reason)),
            Finding::Unknown => Err(None),
        };
        assert_eq!(found, expected, "{date} {origin:?} {simulated:?}");
    }
}

/// What is stored of a route, and what was told of it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Story {
    stored: Option<Opportunity>,
    told: Vec<(EventKind, i64)>,
}

impl Story {
    fn apply(&mut self, route: &RouteEvaluation) -> Decision {
        let decision = decide(self.stored.as_ref(), &names(), route);
        if let Decision::Write { opportunity, news } = &decision {
            if let Some(event) = news.event(opportunity) {
                self.told.push((event.event, opportunity.event_seq));
            }
            self.stored = Some((**opportunity).clone());
        }
        decision
    }

    fn stored(&self) -> &Opportunity {
        self.stored.as_ref().expect("something is stored")
    }
}

fn names() -> Listing {
    fresh(1, &[(ES, 1)]).listing
}

/// ES to IT at a revision, evaluated at `NOON` plus milliseconds.
fn es_to_it(product: &StoredProduct, basis: &Basis, millis: i64) -> RouteEvaluation {
    evaluate(product, basis, NOON.plus_millis(millis))
        .into_iter()
        .find(|route| route.id.source == ES && route.id.target == IT)
        .unwrap()
}

fn priced(revision: i64, target: i64) -> RouteEvaluation {
    es_to_it(&fresh(revision, &[(ES, 10_000), (IT, target)]), &basis(), revision)
}

#[test]
fn an_opportunity_opens_improves_is_updated_closes_and_opens_again() {
    use EventKind::{Closed, Improved, Opened, Updated};
    let mut story = Story::default();
    // Percent over 100.00 EUR: 20, 20.99 (not a point more), 21 (a point above the alert), 15, 21.99, 22, 10, 12.
    for (revision, target) in [
        (1, 12_000),
        (2, 12_099),
        (3, 12_100),
        (4, 11_500),
        (5, 12_199),
        (6, 12_200),
        (7, 11_000),
        (8, 11_200),
    ] {
        story.apply(&priced(revision, target));
    }
    assert_eq!(
        story.told,
        [
            (Opened, 1),
            (Updated, 1),
            (Improved, 2),
            (Updated, 2),
            (Updated, 2),
            (Improved, 3),
            (Closed, 4),
            (Opened, 5)
        ]
    );
    let stored = story.stored();
    assert_eq!((stored.first_seen, stored.opened_at), (NOON.plus_millis(1), NOON.plus_millis(8)));
    assert_eq!(stored.alert_id(), "B0D1XD1ZV3:ES:IT#5");
    assert_eq!((stored.is_active, stored.closed_reason), (true, None));
}

#[test]
fn a_closed_opportunity_keeps_its_last_numbers_and_its_reason() {
    let mut story = Story::default();
    story.apply(&priced(1, 12_000));
    story.apply(&priced(2, 10_500));
    let stored = story.stored().clone();
    assert_eq!((stored.is_active, stored.closed_reason), (false, Some(ClosedReason::Gap)));
    assert_eq!((stored.target_price.minor, stored.margin_percentage), (12_000, Percentage(2000)));
    assert_eq!((stored.last_seen, stored.last_event.kind), (NOON.plus_millis(1), EventKind::Closed));
    // Closed stays closed for the reason it closed for.
    let gone = es_to_it(&product(3, &[(ES, None, NOON), (IT, Some(1), NOON)]), &basis(), 3);
    assert_eq!(story.apply(&gone), Decision::Nothing);
}

#[test]
fn the_reason_is_config_when_the_threshold_moved_and_gap_when_a_price_did() {
    let mut raised = basis();
    raised.settings.min_margin_percent = Decimal::from(25);
    raised.settings.version = 2;
    for (target, expected) in [(12_000, ClosedReason::Config), (11_900, ClosedReason::Gap)] {
        let mut story = Story::default();
        story.apply(&priced(1, 12_000));
        story.apply(&es_to_it(&fresh(2, &[(ES, 10_000), (IT, target)]), &raised, 2));
        assert_eq!(story.stored().closed_reason, Some(expected));
    }
}

#[test]
fn an_older_evaluation_changes_nothing() {
    let basis_at = |date: &str, version| {
        let mut basis = basis();
        basis.rates = Some(rates(date, RatesOrigin::Ecb, "0.86120"));
        basis.settings.version = version;
        basis
    };
    let uk_to_de = |revision, target, basis: &Basis, millis| {
        evaluate(&fresh(revision, &[(UK, 4999), (DE, target)]), basis, NOON.plus_millis(millis))
            .into_iter()
            .find(|route| route.id.source == UK && route.id.target == DE)
            .unwrap()
    };
    let mut story = Story::default();
    story.apply(&uk_to_de(5, 7000, &basis_at("2026-07-09", 3), 100));
    let before = story.clone();
    for older in [
        uk_to_de(4, 1, &basis_at("2026-07-10", 9), 200),
        uk_to_de(5, 1, &basis_at("2026-07-08", 9), 200),
        uk_to_de(5, 1, &basis_at("2026-07-09", 2), 200),
        uk_to_de(5, 1, &basis_at("2026-07-09", 3), 99),
    ] {
        assert_eq!(story.apply(&older), Decision::Nothing);
    }
    assert_eq!(story, before);
    story.apply(&uk_to_de(5, 1, &basis_at("2026-07-09", 4), 1));
    assert!(!story.stored().is_active);
}

#[test]
fn a_leg_that_only_grew_younger_is_written_and_not_told() {
    let mut story = Story::default();
    story.apply(&priced(1, 12_000));
    let later = NOON.plus_millis(3_600_000);
    let refreshed = product(2, &[(ES, Some(10_000), later), (IT, Some(12_000), NOON)]);
    let Decision::Write { opportunity, news } = story.apply(&es_to_it(&refreshed, &basis(), 3_600_000)) else {
        panic!("a write")
    };
    assert_eq!((news, opportunity.source_observed_at), (News::Nothing, later));
    assert_eq!(story.told.len(), 1);
}

#[test]
fn a_sweep_that_finds_nothing_new_writes_nothing() {
    let mut story = Story::default();
    story.apply(&priced(1, 12_000));
    let again = es_to_it(&fresh(1, &[(ES, 10_000), (IT, 12_000)]), &basis(), 300_000);
    assert_eq!(story.apply(&again), Decision::Nothing);
}

#[test]
fn an_event_that_may_not_have_left_is_told_again_under_its_id() {
    let mut story = Story::default();
    story.apply(&priced(7, 12_000));
    let ids = |story: &Story, causes: &[Cause]| -> Vec<_> { unpublished(story.stored(), causes).into_iter().map(|event| event.alert_id).collect() };
    let first = Some("B0D1XD1ZV3:ES:IT#1".to_owned());
    let raised_at = story.stored().last_event.at;

    assert_eq!(ids(&story, &[Cause::Product { revision: 7 }]), std::slice::from_ref(&first));
    assert!(ids(&story, &[Cause::Product { revision: 6 }, Cause::Product { revision: 8 }]).is_empty());
    // Folded with a newer one, the record that raised it is still at hand.
    assert_eq!(
        ids(&story, &[Cause::Product { revision: 7 }, Cause::Product { revision: 8 }]),
        std::slice::from_ref(&first)
    );
    // A request that was made before the event may have raised it; one made long after it did not.
    assert_eq!(
        ids(
            &story,
            &[Cause::Request {
                made_at: raised_at.plus_millis(-5)
            }]
        ),
        std::slice::from_ref(&first)
    );
    assert!(
        ids(
            &story,
            &[Cause::Request {
                made_at: raised_at.plus_millis(300_000)
            }]
        )
        .is_empty()
    );

    // The update that followed is told again as well, after the alert.
    story.apply(&priced(8, 11_900));
    assert_eq!(ids(&story, &[Cause::Product { revision: 7 }, Cause::Product { revision: 8 }]), [first, None]);
}

#[test]
fn products_older_than_one_seen_are_superseded() {
    assert!(is_superseded(6, Some(7)));
    assert!(!is_superseded(7, Some(7)) && !is_superseded(8, Some(7)) && !is_superseded(1, None));
}

#[test]
fn routes_of_marketplaces_that_are_no_longer_configured_are_looked_at() {
    assert_eq!(route_markets(&[DE, IT], [IT, UK]), [DE, IT, UK]);
}

prop_compose! {
    /// What one revision of the product says; few distinct prices, so that repetitions and returns are common.
    fn any_history()(prices in proptest::collection::vec((any_price(), any_price()), 1..8)) -> Vec<StoredProduct> {
        (1..).zip(prices).map(|(revision, (source, target))| product(revision, &[(ES, source, NOON), (IT, target, NOON)])).collect()
    }
}

fn any_price() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        Just(None),
        Just(Some(10_000)),
        Just(Some(10_500)),
        Just(Some(11_500)),
        Just(Some(12_000)),
        Just(Some(13_000))
    ]
}

fn in_order(history: &[StoredProduct]) -> Story {
    let mut story = Story::default();
    for product in history {
        story.apply(&es_to_it(product, &basis(), product.revision));
    }
    story
}

/// What is stored says now: open with which numbers, or not.
fn present(story: &Story) -> Option<(i64, i64, Percentage)> {
    let stored = story.stored.as_ref().filter(|stored| stored.is_active)?;
    Some((stored.source_price.minor, stored.target_price.minor, stored.margin_percentage))
}

proptest! {
    #[test]
    fn deciding_twice_is_deciding_once(history in any_history()) {
        let mut story = Story::default();
        for product in &history {
            let route = es_to_it(product, &basis(), product.revision);
            story.apply(&route);
            prop_assert_eq!(story.apply(&route), Decision::Nothing);
        }
    }

    #[test]
    fn event_seq_grows_by_exactly_one_per_alert(history in any_history()) {
        let mut story = Story::default();
        for product in &history {
            let before = story.stored.as_ref().map_or(0, |stored| stored.event_seq);
            let decision = story.apply(&es_to_it(product, &basis(), product.revision));
            let after = story.stored.as_ref().map_or(0, |stored| stored.event_seq);
            let alerts = i64::from(matches!(decision, Decision::Write { news: News::Alert, .. }));
            prop_assert_eq!(after, before + alerts);
        }
    }

    #[test]
    fn an_opportunity_is_active_exactly_while_its_last_event_is_not_closed(history in any_history()) {
        let story = in_order(&history);
        if let Some(stored) = &story.stored {
            prop_assert_eq!(stored.is_active, stored.last_event.kind != EventKind::Closed);
            prop_assert_eq!(stored.closed_reason.is_none(), stored.is_active);
        }
    }

    #[test]
    fn replaying_any_part_of_a_history_later_changes_nothing(history in any_history(), from in 0..8_usize, to in 0..8_usize) {
        let story = in_order(&history);
        let mut replayed = story.clone();
        let part = history.get(from.min(history.len())..to.min(history.len())).unwrap_or_default();
        for product in part {
            replayed.apply(&es_to_it(product, &basis(), 1000 + product.revision));
        }
        prop_assert_eq!(replayed, story);
    }

    #[test]
    fn in_whatever_order_evaluations_come_the_newest_has_the_last_word(history in any_history(), order in proptest::collection::vec(0..8_usize, 0..16)) {
        let mut story = Story::default();
        let mut seen = None;
        for product in order.iter().filter_map(|&index| history.get(index)).chain(&history) {
            if is_superseded(product.revision, seen) {
                continue;
            }
            seen = Some(product.revision);
            story.apply(&es_to_it(product, &basis(), product.revision));
        }
        prop_assert_eq!(present(&story), present(&in_order(&history)));
    }

    #[test]
    fn whatever_was_told_last_can_be_told_again_by_the_record_that_raised_it(history in any_history()) {
        let mut story = Story::default();
        for product in &history {
            let decision = story.apply(&es_to_it(product, &basis(), product.revision));
            if let Decision::Write { opportunity, news } = decision && let Some(event) = news.event(&opportunity) {
                let again = unpublished(story.stored(), &[Cause::Product { revision: product.revision }]);
                prop_assert_eq!(again, vec![event]);
            }
        }
    }

    #[test]
    fn no_price_panics(source in 1..i64::MAX, target in 1..i64::MAX) {
        let _ = evaluate(&fresh(1, &[(UK, source), (DE, target)]), &basis(), NOON);
    }
}

/// A product with two fresh prices, and what Keepa says of its fees in Italy.
fn with_fees(referral: Option<&str>, fba_fee: Option<i64>) -> StoredProduct {
    let mut product = fresh(1, &[(ES, 4_990), (IT, 8_990)]);
    let sources = product.product.markets.get_mut(&IT).expect("a price in Italy");
    let state = Arc::make_mut(sources.get_mut(Source::Keepa).expect("Keepa's"));
    let facts = AttributeFacts {
        referral_fee_percentage: referral.map(|percent| percent.parse().expect("a decimal")),
        fba_fee,
        ..AttributeFacts::default()
    };
    state.attributes = Some(Register::new(state.latest, facts));
    product
}

#[test]
fn an_open_gap_carries_what_is_left_of_it_by_keepas_own_fees_first() {
    for (referral, fba_fee, expected) in [
        // 73.69 - 13.49 - 4.05 - 41.24 - 3.17, no digital services fee in Germany.
        (Some("15"), Some(405), 1_174),
        (Some("7"), Some(405), 1_174 + 1_349 - 629),
        (None, Some(405), 1_174),
        (Some("15"), None, 1_174 + 405 - 351),
    ] {
        let product = with_fees(referral, fba_fee);
        let evaluations = evaluate(&product, &basis(), NOON);
        let open = evaluations.iter().find_map(|route| match &route.finding {
            Finding::Open(numbers) => Some(numbers),
            _ => None,
        });
        let net = open.expect("a gap").net.as_ref().expect("known costs");
        assert_eq!(net.profit.minor, expected, "{referral:?} {fba_fee:?}");
        let assumed = (net.costs.referral.assumed, net.costs.fba_fee.assumed);
        assert_eq!(assumed, (referral.is_none(), fba_fee.is_none()));
    }
}

#[test]
fn another_seller_changes_what_is_left_and_tells_without_an_alert() {
    let product = with_fees(Some("15"), Some(405));
    let mut basis = basis();
    let first = evaluate(&product, &basis, NOON)
        .into_iter()
        .find(|route| matches!(route.finding, Finding::Open(_)))
        .expect("a gap");
    let Decision::Write { opportunity, .. } = decide(None, &product.listing, &first) else {
        panic!("it opens")
    };
    let mut seller = Seller::default();
    seller.profile.regime = Some(Regime::Lost);
    basis.settings.seller = Arc::new(seller);
    basis.settings.version += 1;
    let again = evaluate(&product, &basis, NOON.plus_millis(1))
        .into_iter()
        .find(|route| route.id == first.id)
        .expect("the route");
    let Decision::Write { opportunity: changed, news } = decide(Some(&opportunity), &product.listing, &again) else {
        panic!("its profit changed")
    };
    assert_eq!(news, News::Updated);
    assert_eq!((changed.event_seq, changed.margin), (opportunity.event_seq, opportunity.margin));
    let profit = |opportunity: &Opportunity| opportunity.net.as_ref().expect("known costs").profit.minor;
    assert_eq!(profit(&changed), profit(&opportunity) - 866, "the VAT in 49.90");
}
