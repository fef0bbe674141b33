//! Searches for products, against a filter over a plain list.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use shared::domain::{Marketplace, StoredProduct};
use shared::ports::catalog::{CatalogError, ProductQuery, ProductSort, Sort};

use super::samples::{ADJECTIVES, BRANDS, CATEGORIES, MARKETS, NOUNS, asin, at, product, product_query, products, random};
use super::{Subject, all_written, contract, creates, update};

contract!(
    random_searches_equal_a_filter_over_a_list,
    price_bounds_hold_in_one_and_the_same_marketplace,
    names_are_compared_whole_and_without_case,
    activity_is_a_bound_on_the_last_price,
    pages_over_ties_neither_skip_nor_repeat,
    pages_go_on_while_products_are_added,
    a_cursor_of_another_query_is_refused,
    words_are_found_in_title_brand_category_and_asin,
    text_that_is_no_word_is_harmless,
    a_changed_name_is_found_by_its_new_words_only,
    products_without_a_title_stand_at_the_end,
    a_limit_of_nothing_counts_only,
);

async fn store(subject: &Subject, products: &[StoredProduct]) {
    all_written(&subject.catalog.write_products(&creates(products)).await.unwrap());
    subject.refresh().await;
}

async fn found(subject: &Subject, query: &ProductQuery) -> Vec<usize> {
    let page = subject.catalog.search_products(query).await.unwrap();
    assert_eq!(page.total.value, page.items.len() as u64, "{query:?}");
    assert!(page.total.exact);
    assert_eq!(page.next_cursor, None);
    page.items.iter().map(number).collect()
}

fn number(stored: &StoredProduct) -> usize {
    stored.product.asin.as_str()[2..].parse().expect("a made-up ASIN ends in a number")
}

/// All items over all pages.
async fn all_pages(subject: &Subject, query: &ProductQuery) -> Vec<StoredProduct> {
    let mut query = query.clone();
    let mut items = Vec::new();
    loop {
        let page = subject.catalog.search_products(&query).await.unwrap();
        assert!(page.items.len() <= query.limit);
        assert!(page.next_cursor.is_none() || page.items.len() == query.limit);
        items.extend(page.items);
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return items,
        }
    }
}

fn lower_words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn matches(stored: &StoredProduct, query: &ProductQuery) -> bool {
    let listing = &stored.listing;
    let text = query.text.as_ref().is_none_or(|text| {
        let names = [&listing.title, &listing.brand, &listing.category];
        let mut words: Vec<String> = names.into_iter().flatten().flat_map(|name| lower_words(name)).collect();
        words.push(stored.product.asin.as_str().to_lowercase());
        let mut asked = lower_words(text);
        let last = asked.pop().expect("a word");
        asked.iter().all(|word| words.contains(word)) && words.iter().any(|word| word.starts_with(&last))
    });
    let same = |asked: &Option<String>, name: &Option<String>| {
        asked
            .as_ref()
            .is_none_or(|asked| name.as_ref().is_some_and(|name| name.to_lowercase() == asked.trim().to_lowercase()))
    };
    let active = query
        .active
        .is_none_or(|(wanted, after)| stored.product.last_priced_at.is_some_and(|priced| priced > after) == wanted);
    let market = query.market.is_none_or(|market| listing.prices.contains_key(&market));
    let in_bounds = |marketplace: Marketplace, price: i64| {
        query.market.is_none_or(|market| market == marketplace)
            && query
                .price_bounds
                .get(&marketplace)
                .is_some_and(|(least, greatest)| least.is_none_or(|least| price >= least) && greatest.is_none_or(|greatest| price <= greatest))
    };
    let bounds = query.price_bounds.is_empty() || listing.prices.iter().any(|(&marketplace, &price)| in_bounds(marketplace, price));
    text && same(&query.brand, &listing.brand) && same(&query.category, &listing.category) && active && market && bounds
}

fn expected(products: &[StoredProduct], query: &ProductQuery) -> Vec<StoredProduct> {
    let mut found: Vec<StoredProduct> = products.iter().filter(|stored| matches(stored, query)).cloned().collect();
    found.sort_by(|left, right| {
        let by_field = match query.sort.field {
            ProductSort::Asin => left.product.asin.cmp(&right.product.asin),
            ProductSort::FirstSeen => left.product.first_seen.cmp(&right.product.first_seen),
            ProductSort::LastUpdated => left.product.last_updated.cmp(&right.product.last_updated),
            ProductSort::Score => match (left.listing.score, right.listing.score) {
                (Some(left), Some(right)) => left.cmp(&right),
                (left, right) => {
                    let missing = left.is_none().cmp(&right.is_none());
                    if query.sort.descending { missing.reverse() } else { missing }
                }
            },
            ProductSort::Title => {
                let key = |stored: &StoredProduct| stored.listing.title.as_ref().map(|title| title.to_lowercase());
                match (key(left), key(right)) {
                    (Some(left), Some(right)) => left.cmp(&right),
                    // Without a title: at the end, whatever the direction.
                    (left, right) => {
                        let missing = left.is_none().cmp(&right.is_none());
                        if query.sort.descending { missing.reverse() } else { missing }
                    }
                }
            }
        };
        let by_field = if query.sort.descending { by_field.reverse() } else { by_field };
        by_field.then(left.product.asin.cmp(&right.product.asin))
    });
    found
}

fn random_query(random: &mut rand::rngs::SmallRng) -> ProductQuery {
    let mut query = product_query();
    let mut chance = |probability| random.random_bool(probability);
    let (text, market, brand, category, active, bounds) = (chance(0.3), chance(0.3), chance(0.3), chance(0.3), chance(0.4), chance(0.4));
    query.sort.descending = chance(0.5);
    if text {
        let words = [
            ADJECTIVES.choose(random).unwrap(),
            NOUNS.choose(random).unwrap(),
            BRANDS.choose(random).unwrap(),
        ];
        let count = random.random_range(1..=2);
        let mut asked: Vec<&str> = words.choose_multiple(random, count).map(|word| **word).collect();
        let last = asked.pop().unwrap();
        let cut = random.random_range(1..=last.len());
        asked.push(&last[..cut]);
        query.text = Some(asked.join(" ")).filter(|text| !lower_words(text).is_empty());
    }
    query.market = market.then(|| *MARKETS.choose(random).unwrap());
    query.brand = brand.then(|| format!(" {} ", BRANDS.choose(random).unwrap().to_uppercase()));
    query.category = category.then(|| CATEGORIES.choose(random).unwrap().to_lowercase());
    query.active = active.then(|| (random.random_bool(0.5), at(random.random_range(-1..21))));
    if bounds {
        for marketplace in MARKETS {
            if random.random_bool(0.6) {
                let least = random.random_bool(0.6).then(|| random.random_range(0..30));
                let greatest = random.random_bool(0.6).then(|| random.random_range(10..60));
                query.price_bounds.insert(marketplace, (least, greatest));
            }
        }
    }
    query.sort.field = *[
        ProductSort::Asin,
        ProductSort::Title,
        ProductSort::FirstSeen,
        ProductSort::LastUpdated,
        ProductSort::Score,
    ]
    .choose(random)
    .unwrap();
    query.limit = random.random_range(1..200);
    query
}

async fn random_searches_equal_a_filter_over_a_list(subject: Arc<Subject>) {
    let stored = products(11, 300);
    store(&subject, &stored).await;
    let mut random = random(12);
    let mut hits = 0;
    for _ in 0..150 {
        let query = random_query(&mut random);
        let expected = expected(&stored, &query);
        let total = subject.catalog.search_products(&query).await.unwrap().total;
        assert_eq!((total.value, total.exact), (expected.len() as u64, true), "{query:?}");
        let found = all_pages(&subject, &query).await;
        let numbers = |items: &[StoredProduct]| items.iter().map(number).collect::<Vec<_>>();
        assert_eq!(numbers(&found), numbers(&expected), "{query:?}");
        assert_eq!(found, expected);
        hits += found.len();
    }
    assert!(hits > 1_000, "the random queries find too little to tell anything: {hits}");
}

async fn price_bounds_hold_in_one_and_the_same_marketplace(subject: Arc<Subject>) {
    let mut stored = products(1, 3);
    stored[0].listing.prices = BTreeMap::from([(Marketplace::DE, 1_000), (Marketplace::FR, 5_000)]);
    stored[1].listing.prices = BTreeMap::from([(Marketplace::DE, 3_000)]);
    stored[2].listing.prices = BTreeMap::from([(Marketplace::UK, 2_600)]);
    store(&subject, &stored).await;
    let bounds = |bounds: &[(Marketplace, Option<i64>, Option<i64>)]| {
        let bounds = bounds.iter().map(|&(marketplace, least, greatest)| (marketplace, (least, greatest))).collect();
        ProductQuery {
            price_bounds: bounds,
            ..product_query()
        }
    };
    let (de, fr, uk) = (Marketplace::DE, Marketplace::FR, Marketplace::UK);
    let wide = bounds(&[(de, Some(2_000), Some(4_000)), (fr, Some(2_000), Some(4_000)), (uk, Some(1_700), Some(3_500))]);
    // The first has one price below and one above: neither is within.
    assert_eq!(found(&subject, &wide).await, [1, 2]);
    let in_france = ProductQuery {
        market: Some(fr),
        ..wide.clone()
    };
    assert_eq!(found(&subject, &in_france).await, [0_usize; 0]);
    let left_out = ProductQuery {
        market: Some(uk),
        ..bounds(&[(de, None, None)])
    };
    assert_eq!(found(&subject, &left_out).await, [0_usize; 0]);
    assert_eq!(found(&subject, &bounds(&[(de, Some(1_000), Some(1_000))])).await, [0], "bounds are inclusive");
    assert_eq!(found(&subject, &bounds(&[(de, None, Some(2_999)), (fr, None, None)])).await, [0]);
    assert_eq!(found(&subject, &bounds(&[(de, None, None)])).await, [0, 1], "a price has to be there");
}

async fn names_are_compared_whole_and_without_case(subject: Arc<Subject>) {
    let mut stored = products(1, 5);
    for (product, brand) in stored
        .iter_mut()
        .zip([Some("De'Longhi"), Some("DE'LONGHI "), Some("Longhi"), Some("Ökö Tech"), None])
    {
        product.listing.brand = brand.map(str::to_owned);
        product.listing.category = brand.map(str::to_owned);
    }
    store(&subject, &stored).await;
    for (name, expected) in [
        ("de'longhi", vec![0, 1]),
        (" LONGHI ", vec![2]),
        ("longhi de", vec![]),
        ("öKÖ tech", vec![3]),
        ("oko tech", vec![]),
        ("*", vec![]),
    ] {
        let by_brand = ProductQuery {
            brand: Some(name.into()),
            ..product_query()
        };
        let by_category = ProductQuery {
            category: Some(name.into()),
            ..product_query()
        };
        assert_eq!(found(&subject, &by_brand).await, expected, "{name:?}");
        assert_eq!(found(&subject, &by_category).await, expected, "{name:?}");
    }
}

async fn activity_is_a_bound_on_the_last_price(subject: Arc<Subject>) {
    let mut stored = products(1, 3);
    for (product, priced) in stored.iter_mut().zip([Some(at(10)), Some(at(9)), None]) {
        product.product.last_priced_at = priced;
    }
    store(&subject, &stored).await;
    for (active, expected) in [
        (Some((true, at(9))), vec![0]),
        (Some((false, at(9))), vec![1, 2]),
        (Some((true, at(8))), vec![0, 1]),
        (Some((false, at(10))), vec![0, 1, 2]),
        (None, vec![0, 1, 2]),
    ] {
        let query = ProductQuery { active, ..product_query() };
        assert_eq!(found(&subject, &query).await, expected, "{active:?}");
    }
}

async fn pages_over_ties_neither_skip_nor_repeat(subject: Arc<Subject>) {
    let mut stored = products(1, 157);
    for (index, product) in stored.iter_mut().enumerate() {
        product.product.last_updated = at(i64::from(index % 50 == 0));
        product.listing.title = (index % 3 != 0).then(|| "the same".to_owned());
    }
    store(&subject, &stored).await;
    for field in [
        ProductSort::LastUpdated,
        ProductSort::Title,
        ProductSort::Asin,
        ProductSort::FirstSeen,
        ProductSort::Score,
    ] {
        for descending in [false, true] {
            let query = ProductQuery {
                sort: Sort { field, descending },
                limit: 7,
                ..product_query()
            };
            let found = all_pages(&subject, &query).await;
            assert_eq!(found, expected(&stored, &query), "{field:?} {descending}");
        }
    }
    // A last page that is exactly full has no next one.
    let query = ProductQuery { limit: 157, ..product_query() };
    assert_eq!(subject.catalog.search_products(&query).await.unwrap().next_cursor, None);
}

async fn pages_go_on_while_products_are_added(subject: Arc<Subject>) {
    let stored = products(1, 40);
    let (even, odd): (Vec<_>, Vec<_>) = stored.into_iter().partition(|stored| number(stored).is_multiple_of(2));
    store(&subject, &even).await;
    let mut query = ProductQuery { limit: 10, ..product_query() };
    let first = subject.catalog.search_products(&query).await.unwrap();
    store(&subject, &odd).await;
    query.cursor = first.next_cursor;
    query.limit = 100;
    let second = subject.catalog.search_products(&query).await.unwrap();
    let numbers: Vec<usize> = first.items.iter().chain(&second.items).map(number).collect();
    let expected: Vec<usize> = (0..20).step_by(2).chain(19..40).collect();
    assert_eq!(numbers, expected);
}

async fn a_cursor_of_another_query_is_refused(subject: Arc<Subject>) {
    store(&subject, &products(1, 5)).await;
    let query = ProductQuery { limit: 2, ..product_query() };
    let cursor = subject.catalog.search_products(&query).await.unwrap().next_cursor;
    assert!(cursor.is_some());
    let mut other = query.clone();
    other.brand = Some("Sony".into());
    other.cursor = cursor.clone();
    let mut nonsense = query.clone();
    nonsense.cursor = Some("nonsense".into());
    for query in [other, nonsense] {
        let error = subject.catalog.search_products(&query).await.unwrap_err();
        assert!(matches!(error, CatalogError::InvalidCursor { .. }), "{error}");
    }
    let next = ProductQuery { cursor, ..query };
    assert_eq!(subject.catalog.search_products(&next).await.unwrap().items.len(), 2);
}

async fn words_are_found_in_title_brand_category_and_asin(subject: Arc<Subject>) {
    let mut stored = products(1, 3);
    let names = [
        (Some("Kopfhörer WH-1000XM5, schwarz"), Some("Sony"), Some("Elektronik & Foto")),
        (Some("Écouteurs 1000 not"), Some("Bose"), None),
        (None, None, Some("Elektro")),
    ];
    for (product, (title, brand, category)) in stored.iter_mut().zip(names) {
        product.listing.title = title.map(str::to_owned);
        product.listing.brand = brand.map(str::to_owned);
        product.listing.category = category.map(str::to_owned);
    }
    store(&subject, &stored).await;
    for (text, expected) in [
        ("sony", vec![0]),
        ("SONY kopfhörer", vec![0]),
        ("kopfhorer", vec![0]),
        ("KOPFHÖRER foto", vec![0]),
        ("wh 1000xm5", vec![0]),
        ("1000XM5 wh", vec![0]),
        ("wh-1000", vec![0]),
        ("1000 bo", vec![1]),
        ("bo 1000", vec![]),
        ("elektro", vec![0, 2]),
        ("elektro sony", vec![]),
        ("ecouteurs", vec![1]),
        ("not", vec![1]),
        ("1000 NOT bose", vec![1]),
        ("sony bose", vec![]),
        ("sony OR bose", vec![]),
        (asin(2).as_str(), vec![2]),
        ("b000000001", vec![1]),
        ("b00000000", vec![0, 1, 2]),
    ] {
        let query = ProductQuery {
            text: Some(text.into()),
            ..product_query()
        };
        assert_eq!(found(&subject, &query).await, expected, "{text:?}");
    }
}

async fn text_that_is_no_word_is_harmless(subject: Arc<Subject>) {
    store(&subject, &products(1, 3)).await;
    let long = "word ".repeat(5_000);
    let wide = "x".repeat(50_000);
    for text in [
        "",
        " ",
        "*",
        "\"",
        "'",
        "''; DROP TABLE products; --",
        "NEAR(",
        "NEAR(a b, 3)",
        "a NEAR/2 b",
        "title:x",
        "{title brand}: x",
        "^x",
        "-x",
        "+",
        "(",
        ")",
        "a AND",
        "OR",
        "NOT",
        "\0",
        "a\0b",
        "🎧",
        "🎧🎧 🎧",
        "\u{301}",
        "\u{FEFF}",
        "%",
        "_",
        "\\",
        "\\\"",
        "[",
        "?1",
        "?",
        "x*y*",
        "\n",
        long.as_str(),
        wide.as_str(),
    ] {
        let query = ProductQuery {
            text: Some(text.into()),
            ..product_query()
        };
        let found = found(&subject, &query).await;
        assert!(found.is_empty(), "{:?} finds {found:?}", &text[..text.len().min(30)]);
        let by_name = ProductQuery {
            brand: Some(text.into()),
            category: Some(text.into()),
            ..product_query()
        };
        subject.catalog.search_products(&by_name).await.unwrap();
    }
}

async fn a_changed_name_is_found_by_its_new_words_only(subject: Arc<Subject>) {
    let mut stored = products(1, 2);
    stored[0].listing.title = Some("anvil".into());
    let versions = all_written(&subject.catalog.write_products(&creates(&stored)).await.unwrap());
    stored[0].listing.title = Some("bellows".into());
    all_written(&subject.catalog.write_products(&[update(stored[0].clone(), versions[0].clone())]).await.unwrap());
    subject.refresh().await;
    for (text, expected) in [("anvil", vec![]), ("bellows", vec![0])] {
        let query = ProductQuery {
            text: Some(text.into()),
            ..product_query()
        };
        assert_eq!(found(&subject, &query).await, expected, "{text}");
    }
}

async fn products_without_a_title_stand_at_the_end(subject: Arc<Subject>) {
    let mut stored = products(1, 4);
    for (product, title) in stored.iter_mut().zip([None, Some("b"), None, Some("A")]) {
        product.listing.title = title.map(str::to_owned);
    }
    store(&subject, &stored).await;
    for (descending, expected) in [(false, [3, 1, 0, 2]), (true, [1, 3, 0, 2])] {
        let query = ProductQuery {
            sort: Sort {
                field: ProductSort::Title,
                descending,
            },
            ..product_query()
        };
        assert_eq!(found(&subject, &query).await, expected);
    }
}

async fn a_limit_of_nothing_counts_only(subject: Arc<Subject>) {
    let mut random = random(1);
    let stored: Vec<_> = (0..5).map(|number| product(&mut random, number)).collect();
    store(&subject, &stored).await;
    let page = subject.catalog.search_products(&ProductQuery { limit: 0, ..product_query() }).await.unwrap();
    assert_eq!((page.items.len(), page.total.value, page.next_cursor), (0, 5, None));
}
