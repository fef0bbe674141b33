//! Conditional writes and reads by id.

use std::sync::Arc;
use std::time::Instant;

use shared::domain::OpportunityId;
use shared::ports::catalog::{StateKind, Version, WriteOutcome};
use tokio::task::JoinSet;

use super::samples::{asin, opportunities, product, products, random, state};
use super::{Subject, all_written, contract, create, creates, update, written};

contract!(
    products_are_read_as_written_in_the_order_asked_for,
    opportunities_are_read_as_written_in_the_order_asked_for,
    states_are_read_as_written_in_the_order_asked_for,
    odd_texts_and_numbers_come_back_unchanged,
    an_existing_id_is_not_created_again,
    a_version_allows_one_write,
    a_version_of_another_collection_or_a_missing_document_conflicts,
    outcomes_stand_in_the_order_of_the_writes,
    of_many_writers_at_once_exactly_one_wins,
    of_many_creators_at_once_exactly_one_wins,
    writing_the_same_again_conflicts_and_harms_nothing,
    an_impossible_id_is_refused_alone,
    a_batch_of_two_thousand_is_written_and_read,
    nothing_is_asked_and_nothing_comes_back,
    preparing_again_keeps_everything,
);

async fn products_are_read_as_written_in_the_order_asked_for(subject: Arc<Subject>) {
    let stored = products(1, 3);
    let versions = all_written(&subject.catalog.write_products(&creates(&stored)).await.unwrap());
    let read = subject.catalog.read_products(&[asin(2), asin(99), asin(0), asin(2)]).await.unwrap();
    let expected = [Some(2), None, Some(0), Some(2)];
    assert_eq!(read.len(), expected.len());
    for (read, expected) in read.into_iter().zip(expected) {
        assert_eq!(read.as_ref().map(|read| &read.value), expected.map(|index: usize| &stored[index]));
        assert_eq!(read.as_ref().map(|read| &read.version), expected.map(|index: usize| &versions[index]));
    }
}

async fn opportunities_are_read_as_written_in_the_order_asked_for(subject: Arc<Subject>) {
    let stored = opportunities(1, 1);
    let versions = all_written(&subject.catalog.write_opportunities(&creates(&stored)).await.unwrap());
    let missing = OpportunityId { asin: asin(7), ..stored[0].id };
    let read = subject.catalog.read_opportunities(&[stored[19].id, missing, stored[3].id]).await.unwrap();
    let expected = [Some(19), None, Some(3)];
    for (read, expected) in read.into_iter().zip(expected) {
        assert_eq!(read.as_ref().map(|read| &read.value), expected.map(|index: usize| &stored[index]));
        assert_eq!(read.as_ref().map(|read| &read.version), expected.map(|index: usize| &versions[index]));
    }
}

async fn states_are_read_as_written_in_the_order_asked_for(subject: Arc<Subject>) {
    for kind in StateKind::ALL {
        let stored = [
            state("category-scrape@2026-01-11T12:00:00.000Z", Some("category-scrape"), Some("queued"), 5),
            state("ü/…#?&\"", None, None, -5),
        ];
        let versions = all_written(&subject.catalog.write_states(kind, &creates(&stored)).await.unwrap());
        let ids = [stored[1].id.clone(), "missing".into(), stored[0].id.clone()];
        let read = subject.catalog.read_states(kind, &ids).await.unwrap();
        let expected = [Some(1), None, Some(0)];
        for (read, expected) in read.into_iter().zip(expected) {
            assert_eq!(read.as_ref().map(|read| &read.value), expected.map(|index: usize| &stored[index]));
            assert_eq!(read.as_ref().map(|read| &read.version), expected.map(|index: usize| &versions[index]));
        }
        let body = serde_json::json!({"number": 18_446_744_073_709_551_615_u64});
        let replaced = shared::ports::catalog::StateRecord { body, ..stored[0].clone() };
        let outcomes = subject
            .catalog
            .write_states(kind, &[update(replaced.clone(), versions[0].clone())])
            .await
            .unwrap();
        all_written(&outcomes);
        let read = subject.catalog.read_states(kind, std::slice::from_ref(&replaced.id)).await.unwrap();
        assert_eq!(read[0].as_ref().unwrap().value, replaced);
    }
}

async fn odd_texts_and_numbers_come_back_unchanged(subject: Arc<Subject>) {
    let mut stored = Vec::new();
    for (number, title) in [
        "",
        " ",
        "🎧 \u{1F468}\u{200D}\u{1F469}",
        "a\0b",
        "\"'\\%_",
        "\u{FEFF}x",
        "\r\n\t",
        "x".repeat(3_000).as_str(),
    ]
    .into_iter()
    .enumerate()
    {
        let mut product = product(&mut random(3), number);
        product.listing.title = Some(title.to_owned());
        product.listing.brand = Some(title.to_owned());
        product.revision = i64::MAX - number as i64;
        stored.push(product);
    }
    all_written(&subject.catalog.write_products(&creates(&stored)).await.unwrap());
    let asins: Vec<_> = stored.iter().map(|stored| stored.product.asin).collect();
    let read = subject.catalog.read_products(&asins).await.unwrap();
    let read: Vec<_> = read.into_iter().map(|read| read.expect("there").value).collect();
    assert_eq!(read, stored);
}

async fn an_existing_id_is_not_created_again(subject: Arc<Subject>) {
    let mut product = products(1, 1).remove(0);
    let version = written(&subject.catalog.write_products(&[create(product.clone())]).await.unwrap()[0]);
    product.revision += 1;
    let outcomes = subject.catalog.write_products(&[create(product)]).await.unwrap();
    assert_eq!(outcomes, [WriteOutcome::Conflict]);
    let read = subject.catalog.read_products(&[asin(0)]).await.unwrap();
    assert_eq!(read[0].as_ref().unwrap().version, version);
}

async fn a_version_allows_one_write(subject: Arc<Subject>) {
    let mut product = products(1, 1).remove(0);
    let first = written(&subject.catalog.write_products(&[create(product.clone())]).await.unwrap()[0]);
    product.revision = 2;
    let second = written(&subject.catalog.write_products(&[update(product.clone(), first.clone())]).await.unwrap()[0]);
    assert_ne!(first, second);
    product.revision = 3;
    let late = subject.catalog.write_products(&[update(product.clone(), first)]).await.unwrap();
    assert_eq!(late, [WriteOutcome::Conflict]);
    let read = subject.catalog.read_products(&[asin(0)]).await.unwrap().remove(0).unwrap();
    assert_eq!((read.value.revision, &read.version), (2, &second));
    written(&subject.catalog.write_products(&[update(product, second)]).await.unwrap()[0]);
}

async fn a_version_of_another_collection_or_a_missing_document_conflicts(subject: Arc<Subject>) {
    let product = products(1, 1).remove(0);
    let version = written(&subject.catalog.write_products(&[create(product.clone())]).await.unwrap()[0]);
    let foreign = Version {
        index: "elsewhere-v9".into(),
        ..version.clone()
    };
    let later_term = Version {
        primary_term: version.primary_term + 7,
        ..version.clone()
    };
    for wrong in [foreign, later_term] {
        let outcomes = subject.catalog.write_products(&[update(product.clone(), wrong)]).await.unwrap();
        assert_eq!(outcomes, [WriteOutcome::Conflict]);
    }
    let missing = super::samples::product(&mut random(9), 9);
    let outcomes = subject.catalog.write_products(&[update(missing, version)]).await.unwrap();
    assert_eq!(outcomes, [WriteOutcome::Conflict]);
}

async fn outcomes_stand_in_the_order_of_the_writes(subject: Arc<Subject>) {
    let stored = products(1, 6);
    let versions = all_written(&subject.catalog.write_products(&creates(&stored[..3])).await.unwrap());
    let foreign = Version {
        index: "elsewhere-v9".into(),
        ..versions[0].clone()
    };
    let outcomes = subject
        .catalog
        .write_products(&[
            create(stored[0].clone()),
            create(stored[3].clone()),
            update(stored[1].clone(), versions[1].clone()),
            update(stored[2].clone(), foreign),
            update(stored[4].clone(), versions[2].clone()),
            create(stored[5].clone()),
        ])
        .await
        .unwrap();
    let written: Vec<bool> = outcomes.iter().map(|outcome| matches!(outcome, WriteOutcome::Written(_))).collect();
    assert_eq!(written, [false, true, true, false, false, true], "{outcomes:?}");
    let asins: Vec<_> = stored.iter().map(|stored| stored.product.asin).collect();
    let read = subject.catalog.read_products(&asins).await.unwrap();
    for (index, outcome) in outcomes.iter().enumerate() {
        if let WriteOutcome::Written(version) = outcome {
            let product = [0, 3, 1, 2, 4, 5][index];
            assert_eq!(read[product].as_ref().map(|read| &read.version), Some(version));
        }
    }
}

async fn of_many_writers_at_once_exactly_one_wins(subject: Arc<Subject>) {
    let product = products(1, 1).remove(0);
    let mut version = written(&subject.catalog.write_products(&[create(product.clone())]).await.unwrap()[0]);
    for round in 0..5 {
        let mut writers = JoinSet::new();
        for writer in 0..8 {
            let (subject, mut product, version) = (Arc::clone(&subject), product.clone(), version.clone());
            product.revision = 10 * round + writer;
            writers.spawn(async move {
                let outcomes = subject.catalog.write_products(&[update(product.clone(), version)]).await.unwrap();
                (product.revision, outcomes[0].clone())
            });
        }
        let outcomes = writers.join_all().await;
        let winners: Vec<_> = outcomes.iter().filter(|(_, outcome)| *outcome != WriteOutcome::Conflict).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        version = written(&winners[0].1);
        let read = subject.catalog.read_products(&[asin(0)]).await.unwrap().remove(0).unwrap();
        assert_eq!((read.value.revision, &read.version), (winners[0].0, &version));
    }
}

async fn of_many_creators_at_once_exactly_one_wins(subject: Arc<Subject>) {
    for round in 0..5 {
        let id = format!("job@{round}");
        let mut writers = JoinSet::new();
        for writer in 0..8 {
            let subject = Arc::clone(&subject);
            let record = state(&id, None, None, writer);
            writers.spawn(async move { subject.catalog.write_states(StateKind::Runs, &[create(record)]).await.unwrap().remove(0) });
        }
        let outcomes = writers.join_all().await;
        let winners = outcomes.iter().filter(|outcome| **outcome != WriteOutcome::Conflict).count();
        assert_eq!(winners, 1, "{outcomes:?}");
    }
}

async fn writing_the_same_again_conflicts_and_harms_nothing(subject: Arc<Subject>) {
    let stored = products(1, 20);
    let writes = creates(&stored);
    let versions = all_written(&subject.catalog.write_products(&writes).await.unwrap());
    let again = subject.catalog.write_products(&writes).await.unwrap();
    assert_eq!(again, vec![WriteOutcome::Conflict; 20]);
    let asins: Vec<_> = stored.iter().map(|stored| stored.product.asin).collect();
    let read = subject.catalog.read_products(&asins).await.unwrap();
    let read: Vec<_> = read.into_iter().map(|read| read.unwrap().version).collect();
    assert_eq!(read, versions);
}

async fn an_impossible_id_is_refused_alone(subject: Arc<Subject>) {
    let records = [
        state("good", None, None, 0),
        state("", None, None, 0),
        state(&"x".repeat(513), None, None, 0),
        state(&"ü".repeat(256), None, None, 0),
    ];
    let outcomes = subject.catalog.write_states(StateKind::Status, &creates(&records)).await.unwrap();
    let refused: Vec<bool> = outcomes.iter().map(|outcome| matches!(outcome, WriteOutcome::Refused { .. })).collect();
    assert_eq!(refused, [false, true, true, false], "{outcomes:?}");
    written(&outcomes[0]);
    written(&outcomes[3]);
    let ids: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
    let read = subject.catalog.read_states(StateKind::Status, &ids).await.unwrap();
    let there: Vec<bool> = read.iter().map(Option::is_some).collect();
    assert_eq!(there, [true, false, false, true]);
}

async fn a_batch_of_two_thousand_is_written_and_read(subject: Arc<Subject>) {
    let mut stored = products(5, 2_000);
    // About 4 kB a document, as merged products of five marketplaces are.
    for product in &mut stored {
        let state = product.product.markets[&shared::domain::Marketplace::DE].clone();
        for marketplace in super::samples::MARKETS {
            product.product.markets.insert(marketplace, state.clone());
        }
        product.listing.image_url = Some("x".repeat(1_500));
    }
    let start = Instant::now();
    let versions = all_written(&subject.catalog.write_products(&creates(&stored)).await.unwrap());
    let created = start.elapsed();
    let start = Instant::now();
    let asins: Vec<_> = stored.iter().map(|stored| stored.product.asin).collect();
    let read = subject.catalog.read_products(&asins).await.unwrap();
    let read_in = start.elapsed();
    for ((read, stored), version) in read.into_iter().zip(&stored).zip(&versions) {
        let read = read.expect("written");
        assert_eq!((&read.value, &read.version), (stored, version));
    }
    let updates: Vec<_> = stored.iter().cloned().zip(versions).map(|(stored, version)| update(stored, version)).collect();
    let start = Instant::now();
    all_written(&subject.catalog.write_products(&updates).await.unwrap());
    eprintln!("2,000 products: created in {created:?}, read in {read_in:?}, updated in {:?}", start.elapsed());
}

async fn nothing_is_asked_and_nothing_comes_back(subject: Arc<Subject>) {
    assert_eq!(subject.catalog.read_products(&[]).await.unwrap(), []);
    assert_eq!(subject.catalog.write_products(&[]).await.unwrap(), []);
    assert_eq!(subject.catalog.read_opportunities(&[]).await.unwrap(), []);
    assert_eq!(subject.catalog.write_opportunities(&[]).await.unwrap(), []);
    assert_eq!(subject.catalog.read_states(StateKind::Runs, &[]).await.unwrap(), []);
    assert_eq!(subject.catalog.write_states(StateKind::Runs, &[]).await.unwrap(), []);
}

async fn preparing_again_keeps_everything(subject: Arc<Subject>) {
    subject.catalog.check().await.unwrap();
    all_written(&subject.catalog.write_products(&creates(&products(1, 1))).await.unwrap());
    subject.catalog.prepare().await.unwrap();
    subject.catalog.check().await.unwrap();
    assert!(subject.catalog.read_products(&[asin(0)]).await.unwrap()[0].is_some());
}
