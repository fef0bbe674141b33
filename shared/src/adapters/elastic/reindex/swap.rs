//! Closing the index in use for writes, moving the alias, and opening it again where that did not happen.
//!
//! The alias `products-v1-closing-DEADLINE-RUN` is the right to swap: the request that moves `products` takes it away too,
//! and fails as a whole where it is gone. Whoever opens `products-v1` takes it away first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::client::{Client, malformed};
use super::super::indices::{self, add, change_aliases, closing, remove};
use super::{ReindexError, WRITE_BLOCK};
use crate::domain::UnixMillis;
use crate::ports::catalog::CatalogError;
use crate::retry::Backoff;

/// A run that is late by this much has been killed: it gives up at its deadline.
const GRACE_MILLIS: i64 = 5_000;
/// For so long opening an index again is tried; after that services do it.
const REOPENING: Duration = Duration::from_secs(20);

/// An index that takes no writes, by order of this run.
pub(super) struct Closed {
    index: String,
    permit: String,
    since: Instant,
}

#[derive(Deserialize)]
struct BlockAnswer {
    acknowledged: bool,
    shards_acknowledged: bool,
}

impl Closed {
    /// When this returns, every write has been applied or will be refused.
    pub(super) async fn close(client: &Client, index: &str, run: &str, longest: Duration) -> Result<Closed, ReindexError> {
        let millis = i64::try_from(longest.as_millis()).unwrap_or(i64::MAX);
        let permit = closing(index, UnixMillis::now().plus_millis(millis), run);
        change_aliases(client, vec![add(index, &permit)]).await?;
        let closed = Closed {
            index: index.to_owned(),
            permit,
            since: Instant::now(),
        };
        let mut blocking = Box::pin(block(client, index, longest));
        match tokio::time::timeout(longest, &mut blocking).await {
            Ok(Ok(())) => Ok(closed),
            Ok(Err(error)) => Err(closed.reopen_after(client, error.into()).await),
            Err(_elapsed) => {
                // It has to have arrived, well or not: it would close the index after it was opened again.
                let _ = blocking.await;
                Err(closed.reopen_after(client, ReindexError::TooSlow(longest)).await)
            }
        }
    }

    /// When writes began to be refused.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Moves the alias, or changes nothing.
    pub(super) async fn swap(&self, client: &Client, alias: &str, to: &str, run: &str) -> Result<(), CatalogError> {
        let actions = vec![
            remove(&self.index, alias),
            remove(&self.index, &self.permit),
            remove(to, &indices::building(to, run)),
            add(to, alias),
        ];
        change_aliases(client, actions).await
    }

    /// Gives up the right to swap and lets writes in again.
    pub(super) async fn reopen(&self, client: &Client) -> Result<(), CatalogError> {
        let began = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        loop {
            match reopen(client, &self.index, &self.permit).await {
                Err(CatalogError::Unavailable { .. }) if began.elapsed() < REOPENING => tokio::time::sleep(backoff.next_delay()).await,
                done => return done,
            }
        }
    }

    async fn reopen_after(&self, client: &Client, reason: ReindexError) -> ReindexError {
        match self.reopen(client).await {
            Ok(()) => reason,
            Err(source) => ReindexError::StillClosed {
                index: self.index.clone(),
                reason: Box::new(reason),
                source,
            },
        }
    }
}

/// A master that is too busy forgets the order, and does not carry it out later.
async fn block(client: &Client, index: &str, longest: Duration) -> Result<(), CatalogError> {
    let patience = format!("{}ms", longest.max(Duration::from_secs(1)).as_millis());
    let path = format!("/{index}/_block/write");
    let answer = client.call(Method::Put, &path, &[("master_timeout", &patience)], None).await?;
    let answer: BlockAnswer = serde_json::from_slice(&answer).map_err(|error| malformed("a request to block writes", &error))?;
    if answer.acknowledged && answer.shards_acknowledged {
        return Ok(());
    }
    Err(CatalogError::Unavailable {
        reason: format!("not every part of {index} has confirmed that it takes no writes"),
    })
}

/// Lets writes into an index again that this alias says is closed. Can be repeated from any point.
pub(super) async fn reopen(client: &Client, index: &str, permit: &str) -> Result<(), CatalogError> {
    // The deadline of nobody, long past: if this ends early, whoever sees it goes on with the rest.
    let given_up = closing(index, UnixMillis(0), "given-up");
    let there = aliases_of(client, index).await?;
    let somebody_began = there.contains(&given_up) && (permit == given_up || !there.contains(permit));
    if !somebody_began {
        change_aliases(client, vec![remove(index, permit), add(index, &given_up)]).await?;
    }
    let settings = json!({ WRITE_BLOCK: null });
    client.call(Method::Put, &format!("/{index}/_settings"), &[], Some(&settings)).await?;
    change_aliases(client, vec![remove(index, &given_up)]).await
}

/// Lets writes into an index again that a run had closed whose time is up. Returns whether it did: a block that somebody
/// else has set stays.
pub(in super::super) async fn reopen_abandoned(client: &Client, index: &str, now: UnixMillis) -> Result<bool, CatalogError> {
    let aliases = aliases_of(client, index).await?;
    let closings: BTreeMap<&String, UnixMillis> = aliases
        .iter()
        .filter_map(|alias| Some((alias, indices::closing_deadline(index, alias)?)))
        .collect();
    if closings.is_empty() || closings.values().any(|deadline| now < deadline.plus_millis(GRACE_MILLIS)) {
        return Ok(false);
    }
    for permit in closings.into_keys() {
        reopen(client, index, permit).await?;
    }
    tracing::warn!(index, "a reindex that ended early had closed the index: it takes writes again");
    Ok(true)
}

async fn aliases_of(client: &Client, index: &str) -> Result<BTreeSet<String>, CatalogError> {
    Ok(indices::aliases(client, index).await?.remove(index).unwrap_or_default())
}

/// What blocks writes, if anything does.
pub(super) async fn block_of(client: &Client, index: &str) -> Result<Option<String>, CatalogError> {
    let path = format!("/{index}/_settings/index.blocks.*");
    let answer = client.call(Method::Get, &path, &[("flat_settings", "true")], None).await?;
    let settings: BTreeMap<String, Value> = serde_json::from_slice(&answer).map_err(|error| malformed("a question for settings", &error))?;
    let blocks = settings.get(index).and_then(|settings| settings["settings"].as_object()).into_iter().flatten();
    let mut blocks = blocks.filter(|(_, value)| value.as_str() == Some("true"));
    Ok(blocks.next().map(|(name, _)| name.clone()))
}

/// Gives a filled index the settings that it is to be used with.
pub(super) async fn open_for_traffic(client: &Client, index: &str, settings: &Value) -> Result<(), CatalogError> {
    let body = json!({"index": {"refresh_interval": settings["index"]["refresh_interval"]}});
    client.call(Method::Put, &format!("/{index}/_settings"), &[], Some(&body)).await?;
    client.call(Method::Post, &format!("/{index}/_refresh"), &[], None).await.map(drop)
}
