//! A new index of a collection, rebuilt from the one in use and put in its place, while services read and write.
//!
//! 1. `products-v2` is made with the present mapping. It is nobody's but this run's.
//! 2. Every document is read from `products-v1` and written by the present code ([`copy`]), then what has changed
//!    meanwhile, and again, until little is left. Services go on writing to `products-v1`.
//! 3. `products-v1` is closed for writes. Writers are told so, stop, keep their offsets and try again.
//! 4. The rest is copied, counts and a sample are compared ([`compare`]), and the alias moves: one request ([`swap`]).
//!
//! No read fails: the alias always names a whole index. No write is lost: none is confirmed between 3 and 4, and
//! `products-v1` stays closed for ever, so a request that is still on its way to it is refused. If step 4 does not come to
//! its end in time, `products-v1` is opened again and nothing has happened.
//!
//! A run can be killed between any two requests. Before step 3 that leaves an index that nobody reads; the next run
//! removes it. In step 3 and 4 it leaves `products-v1` closed: services open it again when the run's time is up
//! ([`reopen_abandoned`]), and the right to swap is taken from that run with it. After step 4 all is done. One run at a
//! time ([`lease`]); one that was only thought dead can do no harm, since every step that matters needs an alias that
//! bears its name.

mod compare;
mod copy;
mod lease;
mod swap;

use std::fmt;
use std::time::Duration;

use elasticsearch::http::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::compare::Sample;
use self::copy::Copying;
use self::lease::Lease;
use super::ElasticCatalog;
use super::documents::Document;
use super::indices::{self, Index};
use super::languages;
use super::schema::{self, Collection};
use crate::domain::{Opportunity, StoredProduct};
use crate::ports::catalog::CatalogError;

pub(super) use swap::reopen_abandoned;

/// The setting of an index that is closed for writes.
pub(super) const WRITE_BLOCK: &str = "index.blocks.write";

/// Once a pass found fewer changes than this, the rest is left to the last one.
const FEW: u64 = 500;
/// However it goes, there are no more passes than this: then the last one has to cope with the rest.
const MOST_PASSES: u32 = 10;

/// What can be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Documents {
    Products,
    Opportunities,
}

impl Documents {
    fn collection(self) -> Collection {
        match self {
            Documents::Products => Collection::Products,
            Documents::Opportunities => Collection::Opportunities,
        }
    }
}

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Of which documents.
    pub documents: Documents,
    /// The number of the new index; the next one unless it is said.
    pub to: Option<u32>,
    /// So many documents are compared whole.
    pub sample: usize,
    /// Which, follows from this.
    pub seed: u64,
    /// Writes are held up for this long at most.
    pub longest_pause: Duration,
}

impl Plan {
    /// The usual one.
    #[must_use]
    pub fn of(documents: Documents) -> Plan {
        Plan {
            documents,
            to: None,
            sample: 1_000,
            seed: 1,
            longest_pause: Duration::from_secs(10),
        }
    }
}

/// How far a run is. Each is told when it is done, before the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Another run is said to be at work: it is watched for a sign of life.
    Waiting,
    /// No other run is at work.
    Began,
    /// A run that was killed had closed this index: it takes writes again.
    Reopened {
        /// Which.
        index: String,
    },
    /// A run that did not come to its end had left this index.
    Removed {
        /// Which.
        index: String,
    },
    /// The new index is there.
    Created {
        /// The one in use.
        from: String,
        /// The new one.
        to: String,
    },
    /// Some of a pass is done.
    Copying {
        /// So many documents were copied in this pass.
        copied: u64,
        /// There are so many.
        of: u64,
    },
    /// A pass over what has changed since the one before; the first is over everything.
    Copied {
        /// From 1 on.
        pass: u32,
        /// So many documents.
        documents: u64,
    },
    /// Writes pause.
    Closed {
        /// The index that takes none any more.
        index: String,
    },
    /// Both are the same.
    Compared {
        /// So many documents in both.
        documents: u64,
        /// So many were compared whole.
        sampled: usize,
        /// Over these.
        checksum: u64,
    },
    /// The alias names the new index.
    Swapped,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Waiting => write!(formatter, "another run is at work, or was killed: waiting for a sign of life"),
            Step::Began => write!(formatter, "no other run is at work"),
            Step::Reopened { index } => write!(formatter, "{index} was left closed by a run that ended early: it takes writes again"),
            Step::Removed { index } => write!(formatter, "{index} was left unfinished by another run: removed"),
            Step::Created { from, to } => write!(formatter, "{from} is in use; {to} is made"),
            Step::Copying { copied, of } => write!(formatter, "copied {copied} of {of}"),
            Step::Copied { pass: 1, documents } => write!(formatter, "copied all {documents} documents"),
            Step::Copied { pass, documents } => write!(formatter, "pass {pass}: {documents} documents had changed meanwhile"),
            Step::Closed { index } => write!(formatter, "writes pause: {index} takes none any more"),
            Step::Compared { documents, sampled, checksum } => {
                write!(
                    formatter,
                    "{documents} documents in both; {sampled} sampled ones are the same, checksum {checksum:016x}"
                )
            }
            Step::Swapped => write!(formatter, "the alias names the new index"),
        }
    }
}

/// What a run has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reindexed {
    /// The index that was in use. It is kept, and stays closed for writes.
    pub from: String,
    /// The one that is.
    pub to: String,
    /// How many documents it has.
    pub documents: u64,
    /// Writes paused for so long.
    pub paused: Duration,
}

/// Why a run has changed nothing.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ReindexError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("another run is at work on {0}")]
    AnotherRun(String),
    #[error("another run has taken over: this one was silent for too long")]
    TakenOver,
    #[error("{index} cannot be the new index: {reason}")]
    Target { index: String, reason: String },
    #[error("{index} is blocked by {block}, and not by a run of reindex: whoever set that has to take it away first")]
    Blocked { index: String, block: String },
    #[error("the new mapping refuses document {id:?}: {reason}")]
    Refused { id: String, reason: String },
    #[error("{from} has {expected} documents and {to} has {found}")]
    Count { from: String, expected: u64, to: String, found: u64 },
    #[error("document {id:?} is not in {to} what it is in {from}")]
    Different { id: String, from: String, to: String },
    #[error("copying the last changes and comparing took longer than writes may pause ({} s)", .0.as_secs_f32())]
    TooSlow(Duration),
    #[error("interrupted")]
    Interrupted,
    #[error("{reason}; {index} could not be opened for writes again ({source}): services do that by themselves within half a minute, or the next run does")]
    StillClosed {
        index: String,
        reason: Box<ReindexError>,
        source: CatalogError,
    },
}

/// Who is told how far a run is.
pub type Report<'a> = &'a mut (dyn FnMut(Step) + Send);

impl ElasticCatalog {
    /// Rebuilds an index and puts it in the place of the one in use; none if the index of that number is in use already.
    /// See [the module](self).
    ///
    /// # Errors
    /// Any means that the index that was in use is in use, with all its documents.
    pub async fn reindex(&self, plan: &Plan, shutdown: &CancellationToken, report: Report<'_>) -> Result<Option<Reindexed>, ReindexError> {
        let lease = Lease::take(self, &self.alias(plan.documents.collection()), shutdown, report).await?;
        report(Step::Began);
        let stop = shutdown.child_token();
        let done = CancellationToken::new();
        let work = async {
            let result = match plan.documents {
                Documents::Products => Box::pin(self.rebuild::<StoredProduct>(plan, lease.run(), &stop, report)).await,
                Documents::Opportunities => Box::pin(self.rebuild::<Opportunity>(plan, lease.run(), &stop, report)).await,
            };
            done.cancel();
            result
        };
        let (result, kept) = tokio::join!(work, lease.keep(&done, &stop));
        match (result, kept) {
            (Err(ReindexError::Interrupted), Err(lost)) => Err(lost),
            (result, Ok(())) => {
                lease.end().await;
                result
            }
            (result, Err(_)) => result,
        }
    }

    async fn rebuild<T: Document>(&self, plan: &Plan, run: &str, stop: &CancellationToken, report: Report<'_>) -> Result<Option<Reindexed>, ReindexError> {
        let alias = self.alias(plan.documents.collection());
        let from = self.clear(&alias, report).await?;
        if plan.to == Some(from.number) {
            return Ok(None);
        }
        let to = self.make_index(plan, &from, run).await?;
        report(Step::Created {
            from: from.name.clone(),
            to: to.clone(),
        });
        let mut copying = Copying::new(&self.client, &from.name, indices::building(&to, run), Sample::new(plan.sample, plan.seed), stop);
        let mut before = u64::MAX;
        for pass in 1..=MOST_PASSES {
            let documents = copying.pass::<T>(report).await?;
            report(Step::Copied { pass, documents });
            if pass == 1 {
                // Takes its time, so it comes before the passes that get shorter.
                swap::open_for_traffic(&self.client, &to, &schema::settings(plan.documents.collection())).await?;
                compare::samples::<T>(&self.client, &from.name, &to, copying.sample()).await?;
            }
            // Writers that change as much during a pass as during the one before will do so during any other.
            let is_last = pass > 1 && (documents < FEW || documents > before / 2);
            if is_last {
                break;
            }
            before = if pass == 1 { u64::MAX } else { documents };
        }

        let closed = swap::Closed::close(&self.client, &from.name, run, plan.longest_pause).await?;
        report(Step::Closed { index: from.name.clone() });
        let finishing = Box::pin(self.finish::<T>(&alias, &to, run, &closed, &mut copying, report));
        let finished = match tokio::time::timeout_at((closed.since() + plan.longest_pause).into(), finishing).await {
            Ok(finished) => finished,
            Err(_elapsed) => Err(ReindexError::TooSlow(plan.longest_pause)),
        };
        let reindexed = |documents| Reindexed {
            from: from.name.clone(),
            to: to.clone(),
            documents,
            paused: closed.since().elapsed(),
        };
        match finished {
            Ok(documents) => Ok(Some(reindexed(documents))),
            Err(reason) => {
                let Err(source) = closed.reopen(&self.client).await else { return Err(reason) };
                // The right to swap is gone because it was used, if the answer alone was lost.
                match indices::current(&self.client, &alias).await {
                    Ok(current) if current.name == to => Ok(Some(reindexed(compare::count(&self.client, &to).await?))),
                    _ => Err(ReindexError::StillClosed {
                        index: from.name.clone(),
                        reason: Box::new(reason),
                        source,
                    }),
                }
            }
        }
    }

    /// Nothing is written meanwhile.
    async fn finish<T: Document>(
        &self,
        alias: &str,
        to: &str,
        run: &str,
        closed: &swap::Closed,
        copying: &mut Copying<'_>,
        report: Report<'_>,
    ) -> Result<u64, ReindexError> {
        let documents = copying.pass::<T>(report).await?;
        let pass = copying.passes();
        report(Step::Copied { pass, documents });
        let from = copying.from();
        let documents = compare::counts(&self.client, from, to).await?;
        if let Some(id) = compare::samples::<T>(&self.client, from, to, copying.sample()).await? {
            let (from, to) = (from.to_owned(), to.to_owned());
            return Err(ReindexError::Different { id, from, to });
        }
        let (sampled, checksum) = copying.sample().sum();
        report(Step::Compared { documents, sampled, checksum });
        closed.swap(&self.client, alias, to, run).await?;
        report(Step::Swapped);
        Ok(documents)
    }

    /// Takes away what runs that were killed have left. Returns the index in use, which takes writes.
    async fn clear(&self, alias: &str, report: Report<'_>) -> Result<Index, ReindexError> {
        let from = indices::current(&self.client, alias).await?;
        for closing in from.closings() {
            swap::reopen(&self.client, &from.name, closing).await?;
            report(Step::Reopened { index: from.name.clone() });
        }
        if let Some(block) = swap::block_of(&self.client, &from.name).await? {
            return Err(ReindexError::Blocked { index: from.name, block });
        }
        for index in indices::list(&self.client, alias).await? {
            if index.is_unfinished() {
                self.client.call(Method::Delete, &format!("/{}", index.name), &[], None).await?;
                report(Step::Removed { index: index.name });
            }
        }
        Ok(from)
    }

    async fn make_index(&self, plan: &Plan, from: &Index, run: &str) -> Result<String, ReindexError> {
        let collection = plan.documents.collection();
        let alias = self.alias(collection);
        let newest = indices::list(&self.client, &alias).await?.pop().map_or(from.number, |newest| newest.number);
        let number = plan.to.unwrap_or(newest.saturating_add(1));
        let index = indices::index_name(&alias, number);
        if number <= newest {
            let reason = format!("the number has to be above that of {}", indices::index_name(&alias, newest));
            return Err(ReindexError::Target { index, reason });
        }
        let languages = languages::ask(&self.client).await?;
        let mut body = schema::put_template(&self.client, &self.config, collection, &languages).await?;
        body["aliases"] = json!({ indices::versioned(&index): {}, indices::building(&index, run): {} });
        // Nobody searches it yet.
        body["settings"]["index"]["refresh_interval"] = "-1".into();
        self.client.call(Method::Put, &format!("/{index}"), &[], Some(&body)).await?;
        Ok(index)
    }
}
