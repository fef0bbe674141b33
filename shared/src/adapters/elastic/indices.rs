//! Names: of indices, and of the aliases by which an index says what may be done with it.
//!
//! Behind the alias `products` stands one index, `products-v7`. Further aliases belong to one index each; they change
//! together and at once, in a single request, which is what makes them fit to guard a swap:
//! - `products-v7-versioned`: where writes on a version of this index go. The alias `products` may have moved since the
//!   version was read, and in another index the same numbers mean something else.
//! - `products-v8-building-RUN`: is being filled by that run of `reindex`, and by no other.
//! - `products-v7-closing-DEADLINE-RUN`: that run has stopped writes, until that time at the latest; whoever takes this
//!   alias away takes from the run the right to swap.

use std::collections::{BTreeMap, BTreeSet};

use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, malformed};
use crate::domain::UnixMillis;
use crate::ports::catalog::CatalogError;

/// `products-v7`
pub(super) fn index_name(alias: &str, number: u32) -> String {
    format!("{alias}-v{number}")
}

/// 7 of `products-v7`.
pub(super) fn number_of(alias: &str, index: &str) -> Option<u32> {
    let digits = index.strip_prefix(alias)?.strip_prefix("-v")?;
    let number = digits.parse().ok()?;
    (index_name(alias, number) == index).then_some(number)
}

/// Where writes on a version of this index go.
pub(super) fn versioned(index: &str) -> String {
    format!("{index}-versioned")
}

pub(super) fn building(index: &str, run: &str) -> String {
    format!("{index}-building-{run}")
}

pub(super) fn closing(index: &str, deadline: UnixMillis, run: &str) -> String {
    format!("{index}-closing-{}-{run}", deadline.0)
}

/// The deadline of an alias that says an index is closed for writes.
pub(super) fn closing_deadline(index: &str, alias: &str) -> Option<UnixMillis> {
    let rest = alias.strip_prefix(index)?.strip_prefix("-closing-")?;
    rest.split('-').next()?.parse().ok().map(UnixMillis)
}

/// An index of a collection and its aliases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) number: u32,
    pub(super) aliases: BTreeSet<String>,
}

impl Index {
    /// Made by a run of `reindex` that has not come to its end.
    pub(super) fn is_unfinished(&self) -> bool {
        let prefix = building(&self.name, "");
        self.aliases.iter().any(|alias| alias.starts_with(&prefix))
    }

    /// The aliases that say it is closed for writes.
    pub(super) fn closings(&self) -> impl Iterator<Item = &str> {
        let is_closing = |alias: &&String| closing_deadline(&self.name, alias).is_some();
        self.aliases.iter().filter(is_closing).map(String::as_str)
    }
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    aliases: BTreeMap<String, Value>,
}

/// The aliases of these indices.
pub(super) async fn aliases(client: &Client, pattern: &str) -> Result<BTreeMap<String, BTreeSet<String>>, CatalogError> {
    let answer = client.call(Method::Get, &format!("/{pattern}/_alias"), &[], None).await?;
    let listed: BTreeMap<String, Listed> = serde_json::from_slice(&answer).map_err(|error| malformed("a question for aliases", &error))?;
    Ok(listed.into_iter().map(|(name, listed)| (name, listed.aliases.into_keys().collect())).collect())
}

/// All indices of a collection, the oldest first, whatever aliases they have.
pub(super) async fn list(client: &Client, alias: &str) -> Result<Vec<Index>, CatalogError> {
    let listed = aliases(client, &format!("{alias}-v*")).await?;
    let mut indices: Vec<Index> = listed
        .into_iter()
        .filter_map(|(name, aliases)| {
            let number = number_of(alias, &name)?;
            Some(Index { name, number, aliases })
        })
        .collect();
    indices.sort_by_key(|index| index.number);
    Ok(indices)
}

/// The one that the alias names.
pub(super) async fn current(client: &Client, alias: &str) -> Result<Index, CatalogError> {
    let misconfigured = |reason: String| CatalogError::Misconfigured { reason };
    let mut behind: Vec<Index> = list(client, alias).await?;
    behind.retain(|index| index.aliases.contains(alias));
    match (behind.pop(), behind.is_empty()) {
        (Some(index), true) => Ok(index),
        (None, _) => Err(misconfigured(format!("there is no alias {alias} of an index {alias}-v*"))),
        (Some(_), false) => Err(misconfigured(format!("the alias {alias} does not name exactly one index"))),
    }
}

/// Changes aliases, all at once or none.
pub(super) async fn change_aliases(client: &Client, actions: Vec<Value>) -> Result<(), CatalogError> {
    let body = json!({"actions": actions});
    client.call(Method::Post, "/_aliases", &[], Some(&body)).await.map(drop)
}

/// Fails, and with it everything in the same request, if the index has no such alias.
pub(super) fn remove(index: &str, alias: &str) -> Value {
    json!({"remove": {"index": index, "alias": alias, "must_exist": true}})
}

pub(super) fn add(index: &str, alias: &str) -> Value {
    json!({"add": {"index": index, "alias": alias}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_names_of_this_collection_alone() {
        for (index, expected) in [
            ("x-products-v1", Some(1)),
            ("x-products-v12", Some(12)),
            ("x-products-v01", None),
            ("x-products-v", None),
            ("x-products-v1-versioned", None),
            ("x-products-v99999999999", None),
            ("products-v1", None),
        ] {
            assert_eq!(number_of("x-products", index), expected, "{index}");
        }
    }

    #[test]
    fn aliases_say_what_may_be_done_with_an_index() {
        let index = |aliases: &[&str]| Index {
            name: "p-v2".into(),
            number: 2,
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        };
        assert!(index(&[&building("p-v2", "ab")]).is_unfinished());
        assert!(!index(&["p", "p-v2-versioned", &building("p-v22", "ab")]).is_unfinished());
        let closed = index(&["p", &closing("p-v2", UnixMillis(17), "ab"), "p-v2-closing-x-ab"]);
        assert_eq!(closed.closings().collect::<Vec<_>>(), ["p-v2-closing-17-ab"]);
        assert_eq!(closing_deadline("p-v2", "p-v2-closing-17-ab"), Some(UnixMillis(17)));
    }
}
