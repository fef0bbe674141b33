//! Runs that are killed, contradicted, too slow or not alone: the index in use stays in use, with all its documents.

use std::future::Future;
use std::time::Duration;

use elasticsearch::http::Method;
use serde_json::json;
use shared::adapters::elastic::ElasticCatalog;
use shared::adapters::elastic::reindex::{Documents, Plan, ReindexError, Step};
use shared::domain::{StoredProduct, UnixMillis};
use shared::ports::Catalog as _;
use shared::ports::catalog::{CatalogError, Condition, StateKind, StateRecord, Write, WriteOutcome};
use tokio::task::JoinSet;

use super::super::indices::operate;
use super::super::{create, update};
use super::{Own, some};

const ARTICLES: usize = 600;

/// Does something between two steps of a run.
fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

async fn filled(test: &str) -> Option<(Own, Vec<StoredProduct>)> {
    let own = Own::prepared(test).await?;
    let stored = some(5, ARTICLES);
    own.write(&stored).await;
    Some((own, stored))
}

/// A run that ends at this step as by kill -9: nothing is cleared away. Returns the step, none if the run came to its end.
async fn killed_at(own: &Own, plan: &Plan, number: usize) -> Option<Step> {
    let command = ElasticCatalog::connect(own.config.clone()).unwrap();
    let (plan, told) = (plan.clone(), std::sync::Arc::new(std::sync::Mutex::new(Vec::new())));
    let steps = std::sync::Arc::clone(&told);
    let mut task = JoinSet::new();
    task.spawn(async move {
        let shutdown = tokio_util::sync::CancellationToken::new();
        let mut report = |step| {
            let mut steps = steps.lock().unwrap();
            steps.push(step);
            if steps.len() > number {
                drop(steps);
                // Unwinds without a word: the future is dropped where it stands.
                std::panic::resume_unwind(Box::new("killed"));
            }
        };
        command.reindex(&plan, &shutdown, &mut report).await
    });
    match task.join_next().await.expect("one task") {
        Ok(done) => {
            done.unwrap();
            None
        }
        Err(killed) => {
            assert!(killed.is_panic());
            told.lock().unwrap().last().cloned()
        }
    }
}

#[tokio::test]
async fn a_run_that_is_killed_between_any_two_steps_harms_nothing_and_the_next_one_comes_to_its_end() {
    let mut tests = JoinSet::new();
    for number in 0..8 {
        tests.spawn(async move {
            let test = "a_run_that_is_killed_between_any_two_steps_harms_nothing_and_the_next_one_comes_to_its_end";
            let (own, mut stored) = filled(test).await?;
            let plan = plan_of_patience();
            let step = killed_at(&own, &plan, number).await.unwrap_or_else(|| panic!("there is no step {number}"));
            let is_closed = matches!(step, Step::Closed { .. } | Step::Copied { pass: 3, .. } | Step::Compared { .. });
            let used = if step == Step::Swapped { 2 } else { 1 };
            assert_eq!(own.current().await.0, format!("{}-v{used}", own.products()), "{step:?}");
            own.holds(&stored).await;
            if is_closed {
                let refused = own.catalog.write_products(&[create(some(6, ARTICLES + 1).remove(ARTICLES))]).await;
                assert!(matches!(refused, Err(CatalogError::Misconfigured { .. })), "{step:?}: {refused:?}");
            } else {
                own.takes_writes(&mut stored[7]).await;
            }
            let done = own.reindex(&plan, &mut |_| {}).await.unwrap_or_else(|error| panic!("after {step:?}: {error}"));
            assert_eq!(done.documents, ARTICLES as u64);
            own.holds(&stored).await;
            own.takes_writes(&mut stored[8]).await;
            own.holds(&stored).await;
            let (index, aliases) = own.current().await;
            assert_eq!((&index, aliases.len()), (&done.to, 2), "{aliases:?}");
            own.remove().await;
            Some(step)
        });
    }
    let steps: Vec<Step> = tests.join_all().await.into_iter().flatten().collect();
    if !steps.is_empty() {
        assert!(steps.contains(&Step::Swapped), "the last step is tried too: {steps:?}");
    }
}

#[tokio::test]
async fn an_index_that_a_killed_run_left_closed_takes_writes_again_by_itself() {
    let Some((own, mut stored)) = filled("an_index_that_a_killed_run_left_closed_takes_writes_again_by_itself").await else {
        return;
    };
    let step = killed_at(&own, &plan_of_patience(), 4).await;
    assert!(matches!(step, Some(Step::Closed { .. })), "{step:?}");
    let (index, aliases) = own.current().await;
    // What every service asks every few seconds. Until the run's time is up, it may still be at work.
    for _ in 0..2 {
        assert!(own.catalog.check().await.is_err());
    }
    let permit = aliases.iter().find(|alias| alias.contains("-closing-")).expect("it is closed");
    let long_past = json!({"actions": [
        {"remove": {"index": index, "alias": permit}},
        {"add": {"index": index, "alias": format!("{index}-closing-1768132800000-another")}},
    ]});
    let (status, text) = operate(&own.config, Method::Post, "/_aliases", Some(long_past)).await;
    assert_eq!(status, 200, "{text}");
    own.catalog.check().await.unwrap();
    own.takes_writes(&mut stored[3]).await;
    let (index, aliases) = own.current().await;
    assert_eq!((index, aliases.len()), (format!("{}-v1", own.products()), 2), "{aliases:?}");
    own.holds(&stored).await;
    own.reindex(&plan_of_patience(), &mut |_| {}).await.unwrap();
    own.holds(&stored).await;
    own.remove().await;
}

/// Many tests at once on a busy machine take their time.
fn plan_of_patience() -> Plan {
    Plan {
        longest_pause: Duration::from_secs(60),
        sample: 100,
        ..Plan::of(Documents::Products)
    }
}

/// What a run meets that has to end it: done between two of its steps.
async fn contradicted(test: &str, plan: &Plan, at: impl Fn(&Step) -> bool + Send + Sync, what: impl AsyncFn(&Own) + Sync) -> Option<ReindexError> {
    let (own, mut stored) = filled(test).await?;
    let mut met = false;
    let result = own
        .reindex(plan, &mut |step| {
            if at(&step) && !met {
                met = true;
                now(what(&own));
            }
        })
        .await;
    assert!(met, "the step did not come");
    assert_eq!(own.current().await.0, format!("{}-v1", own.products()));
    own.catalog.check().await.unwrap();
    own.takes_writes(&mut stored[3]).await;
    own.holds(&stored).await;
    // The cause is gone, and so is what was left.
    own.reindex(&plan_of_patience(), &mut |_| {}).await.unwrap();
    own.holds(&stored).await;
    own.remove().await;
    Some(result.expect_err("nothing was wrong"))
}

fn is_first_pass(step: &Step) -> bool {
    matches!(step, Step::Copied { pass: 1, .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_count_of_documents_ends_a_run_without_a_swap() {
    let error = contradicted(
        "another_count_of_documents_ends_a_run_without_a_swap",
        &plan_of_patience(),
        is_first_pass,
        async |own: &Own| {
            let path = format!("/{}-v2/_doc/B0EXTRA001", own.products());
            let (status, text) = operate(&own.config, Method::Put, &path, Some(json!({"asin": "B0EXTRA001"}))).await;
            assert_eq!(status, 201, "{text}");
        },
    )
    .await;
    if let Some(error) = error {
        let right = matches!(error, ReindexError::Count { expected, found, .. } if (expected, found) == (600, 601));
        assert!(right, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_is_another_one_ends_a_run_without_a_swap() {
    let error = contradicted(
        "a_document_that_is_another_one_ends_a_run_without_a_swap",
        &Plan {
            sample: ARTICLES,
            ..plan_of_patience()
        },
        is_first_pass,
        async |own: &Own| {
            let asin = some(5, 1).remove(0).product.asin;
            let path = format!("/{}-v2/_doc/{asin}", own.products());
            let (status, text) = operate(&own.config, Method::Put, &path, Some(json!({"asin": asin, "revision": 99}))).await;
            assert_eq!(status, 200, "{text}");
        },
    )
    .await;
    if let Some(error) = error {
        assert!(matches!(&error, ReindexError::Different { id, .. } if id == "B000000000"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_right_to_swap_was_taken_away_does_not_swap() {
    let error = contradicted(
        "a_run_whose_right_to_swap_was_taken_away_does_not_swap",
        &plan_of_patience(),
        |step| matches!(step, Step::Compared { .. }),
        async |own: &Own| {
            let (index, aliases) = own.current().await;
            let permit = aliases.iter().find(|alias| alias.contains("-closing-")).expect("it is closed");
            let actions = json!({"actions": [
                {"remove": {"index": index, "alias": permit}},
                {"add": {"index": index, "alias": format!("{index}-closing-0-given-up")}},
            ]});
            let (status, text) = operate(&own.config, Method::Post, "/_aliases", Some(actions)).await;
            assert_eq!(status, 200, "{text}");
        },
    )
    .await;
    if let Some(error) = error {
        assert!(matches!(&error, ReindexError::Catalog(CatalogError::Misconfigured { .. })), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_do_not_pause_for_longer_than_is_allowed() {
    let plan = Plan {
        longest_pause: Duration::from_millis(1),
        ..plan_of_patience()
    };
    let error = contradicted("writes_do_not_pause_for_longer_than_is_allowed", &plan, is_first_pass, async |_: &Own| {}).await;
    if let Some(error) = error {
        assert!(matches!(error, ReindexError::TooSlow(_)), "{error}");
    }
}

#[tokio::test]
async fn an_index_that_an_operator_has_blocked_is_left_alone() {
    let Some((own, stored)) = filled("an_index_that_an_operator_has_blocked_is_left_alone").await else {
        return;
    };
    let settings = format!("/{}/_settings", own.products());
    operate(&own.config, Method::Put, &settings, Some(json!({"index.blocks.write": true}))).await;
    let refused = own.reindex(&plan_of_patience(), &mut |_| {}).await;
    assert!(matches!(refused, Err(ReindexError::Blocked { .. })), "{refused:?}");
    assert!(own.catalog.check().await.is_err(), "and no service takes the block away");
    assert!(own.catalog.check().await.is_err());
    own.holds(&stored).await;
    own.remove().await;
}

#[tokio::test]
async fn a_document_that_the_present_code_cannot_read_ends_a_run_without_a_swap() {
    let Some((own, _)) = filled("a_document_that_the_present_code_cannot_read_ends_a_run_without_a_swap").await else {
        return;
    };
    let path = format!("/{}/_doc/B0ODD00001", own.products());
    operate(&own.config, Method::Put, &path, Some(json!({"asin": "B0ODD00001"}))).await;
    let refused = own.reindex(&plan_of_patience(), &mut |_| {}).await.unwrap_err().to_string();
    assert!(refused.contains("B0ODD00001"), "{refused}");
    assert!(own.current().await.0.ends_with("-v1"));
    own.remove().await;
}

#[tokio::test]
async fn a_second_run_is_refused_while_the_first_shows_signs_of_life() {
    let Some((own, _)) = filled("a_second_run_is_refused_while_the_first_shows_signs_of_life").await else {
        return;
    };
    // What a run at work writes every second.
    let id = format!("reindex-{}", own.products());
    let sign = |condition: Condition| Write {
        value: StateRecord {
            id: id.clone(),
            group: Some("reindex".into()),
            status: None,
            at: UnixMillis::now(),
            body: json!({"run": "another", "ended": false}),
        },
        condition,
    };
    let living = async {
        let mut condition = Condition::Absent;
        loop {
            let mut outcomes = own.catalog.write_states(StateKind::Status, &[sign(condition)]).await.unwrap();
            let WriteOutcome::Written(version) = outcomes.remove(0) else {
                panic!("{outcomes:?}")
            };
            condition = Condition::Unchanged(version);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let mut steps = Vec::new();
    let second = async {
        while own.catalog.read_states(StateKind::Status, std::slice::from_ref(&id)).await.unwrap()[0].is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        own.reindex(&plan_of_patience(), &mut |step| steps.push(step)).await
    };
    let refused = tokio::select! {
        () = living => unreachable!("it lives for ever"),
        refused = second => refused,
    };
    assert!(matches!(refused, Err(ReindexError::AnotherRun(_))), "{refused:?}");
    assert_eq!(steps, [Step::Waiting]);
    assert!(own.current().await.0.ends_with("-v1"));
    own.remove().await;
}

#[tokio::test]
async fn versions_of_the_old_index_conflict_in_the_new_one_also_for_who_has_not_heard_of_it() {
    let Some((own, stored)) = filled("versions_of_the_old_index_conflict_in_the_new_one").await else {
        return;
    };
    let read = own.catalog.read_products(&[stored[0].product.asin]).await.unwrap().remove(0).unwrap();
    // It knows the old index from a write on a version of it.
    let mut first = stored[1].clone();
    own.takes_writes(&mut first).await;
    own.reindex(&plan_of_patience(), &mut |_| {}).await.unwrap();
    let write = update(read.value.clone(), read.version.clone());
    let refused = own.catalog.write_products(std::slice::from_ref(&write)).await;
    assert!(
        matches!(refused, Err(CatalogError::Misconfigured { .. })),
        "the old index takes no writes: {refused:?}"
    );
    // And then it knows.
    assert_eq!(own.catalog.write_products(&[write]).await.unwrap(), [WriteOutcome::Conflict]);
    let read = own.catalog.read_products(&[stored[0].product.asin]).await.unwrap().remove(0).unwrap();
    let outcomes = own.catalog.write_products(&[update(read.value, read.version)]).await.unwrap();
    assert!(matches!(outcomes[0], WriteOutcome::Written(_)), "{outcomes:?}");
    own.remove().await;
}
