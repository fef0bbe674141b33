//! Searches for opportunities, against a filter over a plain list.

use std::sync::Arc;

use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use shared::domain::{Opportunity, Percentage, TrapReason};
use shared::ports::catalog::{CatalogError, OpportunityQuery, OpportunitySort};

use super::samples::{CATEGORIES, MARKETS, asin, at, opportunities, opportunity_query, random};
use super::{Subject, all_written, contract, creates};

contract!(
    random_searches_equal_a_filter_over_a_list,
    activity_is_the_flag_and_the_age_of_the_older_leg,
    a_cursor_of_another_query_is_refused,
);

async fn store(subject: &Subject, opportunities: &[Opportunity]) {
    all_written(&subject.catalog.write_opportunities(&creates(opportunities)).await.unwrap());
    subject.refresh().await;
}

fn matches(opportunity: &Opportunity, query: &OpportunityQuery) -> bool {
    let same = |asked: &Option<String>, name: &Option<String>| {
        asked
            .as_ref()
            .is_none_or(|asked| name.as_ref().is_some_and(|name| name.to_lowercase() == asked.trim().to_lowercase()))
    };
    let oldest = opportunity.source_observed_at.min(opportunity.target_observed_at);
    let net = opportunity.net.as_ref();
    let assessment = opportunity.assessment.as_ref();
    let has = |reason| assessment.is_some_and(|assessment| assessment.traps.iter().any(|trap| trap.reason == reason));
    query.min_margin.is_none_or(|least| opportunity.margin_percentage >= least)
        && query.min_profit.is_none_or(|least| net.is_some_and(|net| net.profit.minor >= least))
        && query.min_roi.is_none_or(|least| net.and_then(|net| net.roi).is_some_and(|roi| roi >= least))
        && query
            .min_buffer
            .is_none_or(|least| net.and_then(|net| net.buffer).is_some_and(|buffer| buffer >= least))
        && query
            .min_confidence
            .is_none_or(|least| assessment.is_some_and(|assessment| assessment.confidence >= least))
        && query.trap.is_none_or(has)
        && !query.without_traps.iter().any(|&reason| has(reason))
        && query.source.is_none_or(|source| opportunity.id.source == source)
        && query.target.is_none_or(|target| opportunity.id.target == target)
        && query.asin.is_none_or(|asin| opportunity.id.asin == asin)
        && same(&query.brand, &opportunity.brand)
        && same(&query.category, &opportunity.category)
        && query.active.is_none_or(|(wanted, since)| (opportunity.is_active && oldest >= since) == wanted)
}

fn expected(opportunities: &[Opportunity], query: &OpportunityQuery) -> Vec<Opportunity> {
    let mut found: Vec<_> = opportunities.iter().filter(|opportunity| matches(opportunity, query)).cloned().collect();
    found.sort_by(|left, right| {
        // Whatever the direction, what is missing stands at the end.
        let by = |value: fn(&Opportunity) -> Option<i64>| match (value(left), value(right)) {
            (Some(left), Some(right)) => left.cmp(&right),
            (left, right) if query.sort.descending => left.is_some().cmp(&right.is_some()),
            (left, right) => right.is_some().cmp(&left.is_some()),
        };
        let by_field = match query.sort.field {
            OpportunitySort::Profit => by(|opportunity| Some(opportunity.net.as_ref()?.profit.minor)),
            OpportunitySort::Roi => by(|opportunity| Some(opportunity.net.as_ref()?.roi?.0)),
            OpportunitySort::Buffer => by(|opportunity| Some(opportunity.net.as_ref()?.buffer?.0)),
            OpportunitySort::Score => by(|opportunity| Some(opportunity.assessment.as_ref()?.score?.value.0)),
            OpportunitySort::MarginPercentage => left.margin_percentage.cmp(&right.margin_percentage),
            OpportunitySort::Margin => left.margin.minor.cmp(&right.margin.minor),
            OpportunitySort::SourcePriceEur => left.source_price_eur.minor.cmp(&right.source_price_eur.minor),
            OpportunitySort::TargetPriceEur => left.target_price_eur.minor.cmp(&right.target_price_eur.minor),
            OpportunitySort::Asin => left.id.asin.cmp(&right.id.asin),
            OpportunitySort::LastSeen => left.last_seen.cmp(&right.last_seen),
        };
        let by_field = if query.sort.descending { by_field.reverse() } else { by_field };
        by_field.then(left.id.to_string().cmp(&right.id.to_string()))
    });
    found
}

fn random_query(random: &mut rand::rngs::SmallRng) -> OpportunityQuery {
    let mut query = opportunity_query();
    query.min_margin = random.random_bool(0.4).then(|| Percentage(random.random_range(998..1022)));
    query.min_profit = random.random_bool(0.2).then(|| random.random_range(-3..3));
    query.min_roi = random.random_bool(0.2).then(|| Percentage(random.random_range(-3..3)));
    query.min_buffer = random.random_bool(0.2).then(|| Percentage(random.random_range(-3..3)));
    query.min_confidence = random.random_bool(0.2).then(|| Percentage(random.random_range(0..6)));
    query.trap = random.random_bool(0.15).then(|| *TrapReason::ALL.choose(random).unwrap());
    if random.random_bool(0.3) {
        query.without_traps = TrapReason::ALL.into_iter().filter(|_| random.random_bool(0.2)).collect();
    }
    query.source = random.random_bool(0.3).then(|| *MARKETS.choose(random).unwrap());
    query.target = random.random_bool(0.3).then(|| *MARKETS.choose(random).unwrap());
    query.asin = random.random_bool(0.3).then(|| asin(random.random_range(0..16)));
    query.brand = random.random_bool(0.2).then(|| " sONY".to_owned());
    query.category = random.random_bool(0.2).then(|| CATEGORIES.choose(random).unwrap().to_uppercase());
    query.active = random.random_bool(0.7).then(|| (random.random_bool(0.7), at(random.random_range(-1..21))));
    query.sort.field = *[
        OpportunitySort::MarginPercentage,
        OpportunitySort::Margin,
        OpportunitySort::Profit,
        OpportunitySort::Roi,
        OpportunitySort::Buffer,
        OpportunitySort::Score,
        OpportunitySort::SourcePriceEur,
        OpportunitySort::TargetPriceEur,
        OpportunitySort::Asin,
        OpportunitySort::LastSeen,
    ]
    .choose(random)
    .unwrap();
    query.sort.descending = random.random_bool(0.5);
    query.limit = random.random_range(1..200);
    query
}

async fn random_searches_equal_a_filter_over_a_list(subject: Arc<Subject>) {
    let stored = opportunities(21, 15);
    store(&subject, &stored).await;
    let mut random = random(22);
    let mut hits = 0;
    for _ in 0..150 {
        let mut query = random_query(&mut random);
        let expected = expected(&stored, &query);
        let mut found = Vec::new();
        loop {
            let page = subject.catalog.search_opportunities(&query).await.unwrap();
            assert_eq!((page.total.value, page.total.exact), (expected.len() as u64, true), "{query:?}");
            found.extend(page.items);
            match page.next_cursor {
                Some(cursor) => query.cursor = Some(cursor),
                None => break,
            }
        }
        let ids = |items: &[Opportunity]| items.iter().map(|item| item.id).collect::<Vec<_>>();
        assert_eq!(ids(&found), ids(&expected), "{query:?}");
        assert_eq!(found, expected);
        hits += found.len();
    }
    assert!(hits > 1_000, "the random queries find too little to tell anything: {hits}");
}

async fn activity_is_the_flag_and_the_age_of_the_older_leg(subject: Arc<Subject>) {
    let mut stored: Vec<Opportunity> = opportunities(1, 1).into_iter().take(3).collect();
    for (opportunity, (is_active, source, target)) in stored.iter_mut().zip([(true, 10, 20), (true, 20, 9), (false, 20, 20)]) {
        opportunity.is_active = is_active;
        opportunity.source_observed_at = at(source);
        opportunity.target_observed_at = at(target);
        opportunity.margin_percentage = Percentage(1000);
    }
    store(&subject, &stored).await;
    for (active, mut expected) in [
        (Some((true, at(10))), vec![0]),
        (Some((false, at(10))), vec![1, 2]),
        (Some((true, at(9))), vec![0, 1]),
        (None, vec![0, 1, 2]),
    ] {
        let page = subject
            .catalog
            .search_opportunities(&OpportunityQuery { active, ..opportunity_query() })
            .await
            .unwrap();
        let found: Vec<_> = page.items.iter().map(|item| item.id.to_string()).collect();
        expected.sort_by_key(|&index: &usize| stored[index].id.to_string());
        let expected: Vec<_> = expected.into_iter().map(|index| stored[index].id.to_string()).collect();
        assert_eq!(found, expected, "{active:?}");
    }
}

async fn a_cursor_of_another_query_is_refused(subject: Arc<Subject>) {
    store(&subject, &opportunities(1, 1)).await;
    let query = OpportunityQuery {
        limit: 2,
        ..opportunity_query()
    };
    let cursor = subject.catalog.search_opportunities(&query).await.unwrap().next_cursor;
    assert!(cursor.is_some());
    let mut other = query.clone();
    other.sort.descending = false;
    other.cursor = cursor;
    let error = subject.catalog.search_opportunities(&other).await.unwrap_err();
    assert!(matches!(error, CatalogError::InvalidCursor { .. }), "{error}");
}
