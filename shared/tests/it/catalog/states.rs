//! Lists of state records.

use std::sync::Arc;

use shared::domain::UnixMillis;
use shared::ports::catalog::{CatalogError, StateKind, StateQuery, StateRecord};

use super::samples::{state, state_query};
use super::{Subject, all_written, contract, creates, update};

contract!(
    lists_go_by_time_and_id_and_are_filtered,
    pages_over_ties_neither_skip_nor_repeat,
    a_list_gives_versions_that_allow_a_write,
    collections_do_not_mix,
    a_cursor_of_another_list_is_refused,
);

async fn store(subject: &Subject, kind: StateKind, records: &[StateRecord]) {
    all_written(&subject.catalog.write_states(kind, &creates(records)).await.unwrap());
    subject.refresh().await;
}

async fn ids(subject: &Subject, kind: StateKind, query: &StateQuery) -> Vec<String> {
    let page = subject.catalog.list_states(kind, query).await.unwrap();
    assert_eq!((page.total.value, page.next_cursor), (page.items.len() as u64, None));
    page.items.into_iter().map(|item| item.value.id).collect()
}

async fn lists_go_by_time_and_id_and_are_filtered(subject: Arc<Subject>) {
    let records = [
        state("a", Some("sweep"), Some("queued"), 1),
        state("b", Some("scrape"), Some("running"), 3),
        state("c", Some("sweep"), Some("running"), 3),
        state("d", None, None, -7),
        state("e", Some("Sweep"), Some("running"), 2),
    ];
    store(&subject, StateKind::Runs, &records).await;
    let query = |group: Option<&str>, status: Option<&str>, ascending| StateQuery {
        group: group.map(str::to_owned),
        status: status.map(str::to_owned),
        ascending,
        ..state_query()
    };
    for (query, expected) in [
        (query(None, None, false), "b c e a d"),
        (query(None, None, true), "d a e b c"),
        (query(Some("sweep"), None, false), "c a"),
        (query(None, Some("running"), true), "e b c"),
        (query(Some("sweep"), Some("running"), false), "c"),
        (query(Some("missing"), None, false), ""),
    ] {
        assert_eq!(ids(&subject, StateKind::Runs, &query).await.join(" "), expected, "{query:?}");
    }
}

async fn pages_over_ties_neither_skip_nor_repeat(subject: Arc<Subject>) {
    let records: Vec<_> = (0..53)
        .map(|number| state(&format!("{:02}", (number * 7) % 53), None, None, number % 3))
        .collect();
    store(&subject, StateKind::Watchlist, &records).await;
    for ascending in [false, true] {
        let mut expected: Vec<_> = records.iter().map(|record| (record.at, record.id.clone())).collect();
        expected.sort_by_key(|(at, id)| (if ascending { *at } else { UnixMillis(-at.0) }, id.clone()));
        let mut query = StateQuery {
            ascending,
            limit: 4,
            ..state_query()
        };
        let mut found = Vec::new();
        loop {
            let page = subject.catalog.list_states(StateKind::Watchlist, &query).await.unwrap();
            assert_eq!(page.total.value, 53);
            found.extend(page.items.into_iter().map(|item| (item.value.at, item.value.id)));
            match page.next_cursor {
                Some(cursor) => query.cursor = Some(cursor),
                None => break,
            }
        }
        assert_eq!(found, expected);
    }
}

async fn a_list_gives_versions_that_allow_a_write(subject: Arc<Subject>) {
    let record = state("a", Some("sweep"), Some("queued"), 1);
    store(&subject, StateKind::Runs, std::slice::from_ref(&record)).await;
    let item = subject.catalog.list_states(StateKind::Runs, &state_query()).await.unwrap().items.remove(0);
    assert_eq!(item.value, record);
    let read = subject.catalog.read_states(StateKind::Runs, &["a".into()]).await.unwrap().remove(0);
    assert_eq!(read.as_ref(), Some(&item));
    let mut changed = record;
    changed.status = Some("running".into());
    all_written(&subject.catalog.write_states(StateKind::Runs, &[update(changed, item.version)]).await.unwrap());
    subject.refresh().await;
    let running = StateQuery {
        status: Some("running".into()),
        ..state_query()
    };
    assert_eq!(ids(&subject, StateKind::Runs, &running).await, ["a"]);
}

async fn collections_do_not_mix(subject: Arc<Subject>) {
    for (index, kind) in StateKind::ALL.into_iter().enumerate() {
        store(&subject, kind, &[state("same", None, None, index as i64)]).await;
    }
    for (index, kind) in StateKind::ALL.into_iter().enumerate() {
        let page = subject.catalog.list_states(kind, &state_query()).await.unwrap();
        assert_eq!(page.items.len(), 1);
        assert_eq!(page.items[0].value, state("same", None, None, index as i64));
    }
}

async fn a_cursor_of_another_list_is_refused(subject: Arc<Subject>) {
    for kind in [StateKind::Runs, StateKind::Watchlist] {
        store(&subject, kind, &[state("a", None, None, 1), state("b", None, None, 2)]).await;
    }
    let query = StateQuery { limit: 1, ..state_query() };
    let cursor = subject.catalog.list_states(StateKind::Runs, &query).await.unwrap().next_cursor;
    assert!(cursor.is_some());
    let of_other_kind = StateQuery {
        cursor: cursor.clone(),
        ..query.clone()
    };
    let error = subject.catalog.list_states(StateKind::Watchlist, &of_other_kind).await.unwrap_err();
    assert!(matches!(error, CatalogError::InvalidCursor { .. }), "{error}");
    let of_other_order = StateQuery {
        cursor,
        ascending: true,
        ..query
    };
    let error = subject.catalog.list_states(StateKind::Runs, &of_other_order).await.unwrap_err();
    assert!(matches!(error, CatalogError::InvalidCursor { .. }), "{error}");
}
