//! Searches for opportunities, against a filter over a plain list.

use std::sync::Arc;

use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use shared::domain::listing::name_key;
use shared::domain::profit::Unread;
use shared::domain::{ListedOpportunity, Opportunity, Percentage, TrapReason};
use shared::ports::catalog::{CatalogError, NameCount, OpportunityQuery, OpportunitySort};
use shared::wire::OpportunityDocument;

use super::samples::{CATEGORIES, MARKETS, NOUNS, asin, at, opportunities, opportunity_query, random};
use super::{Subject, all_written, contract, creates};

contract!(
    random_searches_equal_a_filter_over_a_list,
    words_of_the_article_find_it_and_the_last_may_be_a_beginning,
    facets_count_the_names_of_active_ones,
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
    query.text.as_ref().is_none_or(|text| has_words(opportunity, text))
        && query.min_margin.is_none_or(|least| opportunity.margin_percentage >= least)
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
            OpportunitySort::Confidence => by(|opportunity| Some(opportunity.assessment.as_ref()?.confidence.0)),
            OpportunitySort::Title => name_key_of(left).cmp(&name_key_of(right)),
            OpportunitySort::OldestLeg => left.oldest_leg().cmp(&right.oldest_leg()),
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

/// A word of the samples' titles, whole or begun.
fn choose_word(random: &mut rand::rngs::SmallRng) -> String {
    let word = *NOUNS.choose(random).unwrap();
    word.chars().take(random.random_range(2..12)).collect()
}

/// Whether every word stands in the names, the last perhaps begun. Good enough for the words of the samples.
fn has_words(opportunity: &Opportunity, text: &str) -> bool {
    let names = [&opportunity.title, &opportunity.brand, &opportunity.category];
    let names: Vec<String> = names.into_iter().flatten().map(|name| folded(name)).collect();
    let mut words = names.iter().flat_map(|name| name.split(|character: char| !character.is_alphanumeric()));
    let wanted = folded(text);
    words.any(|word| word.starts_with(&wanted))
}

fn folded(text: &str) -> String {
    text.to_lowercase()
        .replace('ä', "a")
        .replace('ö', "o")
        .replace('ü', "u")
        .replace(['é', 'è'], "e")
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
    query.text = random.random_bool(0.2).then(|| choose_word(random));
    query.active = random.random_bool(0.7).then(|| (random.random_bool(0.7), at(random.random_range(-1..21))));
    query.sort.field = *[
        OpportunitySort::MarginPercentage,
        OpportunitySort::Margin,
        OpportunitySort::Profit,
        OpportunitySort::Roi,
        OpportunitySort::Buffer,
        OpportunitySort::Score,
        OpportunitySort::Confidence,
        OpportunitySort::Title,
        OpportunitySort::OldestLeg,
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
            let listed = subject.catalog.list_opportunities(&query).await.unwrap();
            assert_eq!((listed.total, &listed.next_cursor), (page.total, &page.next_cursor), "{query:?}");
            assert_eq!(listed.items, page.items.iter().cloned().map(without_costs).collect::<Vec<_>>(), "{query:?}");
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

/// What a list has of it.
fn without_costs(opportunity: Opportunity) -> ListedOpportunity {
    let document = serde_json::to_value(OpportunityDocument::from(opportunity)).unwrap();
    serde_json::from_value::<OpportunityDocument<Unread>>(document).unwrap().into()
}

/// Every opportunity of the samples has a title.
fn name_key_of(opportunity: &Opportunity) -> Option<String> {
    opportunity.title.as_deref().map(name_key)
}

async fn words_of_the_article_find_it_and_the_last_may_be_a_beginning(subject: Arc<Subject>) {
    let mut stored: Vec<Opportunity> = opportunities(31, 2);
    stored.truncate(3);
    for (opportunity, (title, brand, category)) in stored.iter_mut().zip([
        (Some("Kettle <b>1.7 l</b>"), Some("Acme"), Some("Küche")),
        (Some("Kettle, red"), None, None),
        (None, Some("Sony"), None),
    ]) {
        opportunity.title = title.map(str::to_owned);
        opportunity.brand = brand.map(str::to_owned);
        opportunity.category = category.map(str::to_owned);
    }
    store(&subject, &stored).await;
    let own_asin = stored[2].id.asin.to_string().to_lowercase();
    let others: Vec<usize> = (0..3).filter(|&index| stored[index].id.asin == stored[2].id.asin).collect();
    for (text, expected) in [
        ("kettle", vec![0, 1]),
        ("KETT", vec![0, 1]),
        ("acme ket", vec![0]),
        ("kuche", vec![0]),
        ("red kettle", vec![1]),
        ("kettle blue", vec![]),
        ("sony", vec![2]),
        (&*own_asin, others),
        ("🎧", vec![]),
    ] {
        let query = OpportunityQuery {
            text: Some(text.into()),
            ..opportunity_query()
        };
        let page = subject.catalog.search_opportunities(&query).await.unwrap();
        let mut found: Vec<_> = page.items.iter().map(|item| item.id.to_string()).collect();
        let mut expected: Vec<_> = expected.into_iter().map(|index: usize| stored[index].id.to_string()).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{text}");
    }
}

async fn facets_count_the_names_of_active_ones(subject: Arc<Subject>) {
    let mut stored: Vec<Opportunity> = opportunities(32, 2);
    stored.truncate(5);
    for (opportunity, (brand, category, is_active, seen)) in stored.iter_mut().zip([
        (Some("Sony"), Some("Küche"), true, 20),
        (Some("Acme"), Some("Küche"), true, 20),
        (Some("Acme"), None, true, 20),
        (Some("Acme"), Some("Garten"), false, 20),
        (Some("Sony"), Some("Garten"), true, 5),
    ]) {
        opportunity.brand = brand.map(str::to_owned);
        opportunity.category = category.map(str::to_owned);
        opportunity.is_active = is_active;
        opportunity.source_observed_at = at(seen);
        opportunity.target_observed_at = at(20);
    }
    store(&subject, &stored).await;
    let facets = subject.catalog.facets(at(10)).await.unwrap();
    let pairs = |counts: Vec<NameCount>| counts.into_iter().map(|count| (count.name, count.count)).collect::<Vec<_>>();
    assert_eq!(pairs(facets.brands), [("Acme".to_owned(), 2), ("Sony".to_owned(), 1)]);
    assert_eq!(pairs(facets.categories), [("Küche".to_owned(), 2)]);
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
