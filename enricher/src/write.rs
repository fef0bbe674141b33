//! Writes groups of updates conditionally, for as long as it takes.
//!
//! - What the cache lacks is read in real time, in one call.
//! - A group that changes nothing is not written.
//! - *Conflict*: somebody else wrote. Read again, merge again, write what still changes.
//! - *Retry* and failed calls: the same write again, with a back-off and without end, until the lease is lost. A failed
//!   call may have written; then the repetition conflicts, and what is read is our own write.
//! - *Refused*: a group of several records is handed back to be written one by one; a record refused alone is a dead
//!   letter.

use std::collections::HashMap;
use std::sync::Arc;

use shared::adapters::kafka::{Lease, LeaseLost};
use shared::domain::{Asin, Listing, Marketplace, Staleness, StoredProduct, UnixMillis, listing::next_revision};
use shared::ports::Catalog;
use shared::ports::catalog::{Condition, Versioned, Write, WriteOutcome};
use shared::retry::Backoff;

use crate::cache::{MergeCache, approximate_bytes};
use crate::fold::{Fate, Group, decide};
use crate::metrics;
use crate::trouble::Trouble;

/// Products in one call of the catalog, at most.
const CALL_PRODUCTS: usize = 500;
/// Bytes in one call, roughly.
const CALL_BYTES: usize = 5 * 1024 * 1024;
/// Items put off this often in a row are worth a note on the health board.
const PATIENCE: u32 = 4;

/// What became of a group.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// In the catalog, or nothing to be written.
    Settled {
        /// Per record.
        fates: Vec<(usize, Fate)>,
        /// What is to be published.
        publish: Option<StoredProduct>,
    },
    /// Refused as a whole, and of several records: to be written one by one.
    Split(Group),
    /// Refused, and of one record.
    Refused {
        /// Which.
        record: usize,
        /// What the catalog said.
        reason: String,
    },
}

/// The writer of one partition, with what it knows of the catalog.
pub(crate) struct Writer {
    catalog: Arc<dyn Catalog>,
    cache: MergeCache,
    markets: Vec<Marketplace>,
    staleness: Staleness,
    lease: Lease,
}

/// A group on its way.
struct Job {
    group: Group,
    fates: Vec<(usize, Fate)>,
    /// The same write once more: its outcome is unknown, or it was put off.
    again: Option<Write<StoredProduct>>,
    /// A write of unknown outcome that met a conflict since: possibly our own.
    perhaps_written: Option<StoredProduct>,
    outcome_unknown: bool,
}

type ReadProducts = HashMap<Asin, Option<Versioned<StoredProduct>>>;

impl Writer {
    pub(crate) fn new(catalog: Arc<dyn Catalog>, cache_bytes: usize, markets: Vec<Marketplace>, staleness: Staleness, lease: Lease) -> Self {
        Writer {
            catalog,
            cache: MergeCache::new(cache_bytes),
            markets,
            staleness,
            lease,
        }
    }

    /// Merges and writes groups of different ASINs; returns when each has an outcome.
    pub(crate) async fn write(&mut self, groups: Vec<Group>, trouble: &Trouble) -> Result<Vec<Outcome>, LeaseLost> {
        let mut done = Vec::with_capacity(groups.len());
        let mut open: Vec<Job> = groups.into_iter().map(Job::new).collect();
        let mut backoff = Backoff::for_outside_systems();
        while !open.is_empty() {
            let read = self.read_missing(&open, trouble).await?;
            let planned = self.plan(std::mem::take(&mut open), read, &mut done);
            let mut put_off = None;
            for call in calls(planned) {
                let (jobs, writes): (Vec<Job>, Vec<Write<StoredProduct>>) = call.into_iter().unzip();
                if !self.lease.is_held() {
                    return Err(LeaseLost);
                }
                let timer = metrics::WRITE_SECONDS.start_timer();
                let answer = self.catalog.write_products(&writes).await;
                timer.observe_duration();
                match answer {
                    Ok(outcomes) if outcomes.len() == writes.len() => {
                        for ((job, write), outcome) in jobs.into_iter().zip(writes).zip(outcomes) {
                            match self.take(job, write, outcome) {
                                Taken::Done(outcome) => done.push(outcome),
                                Taken::Again(job) => open.push(job),
                                Taken::Later(job, reason) => {
                                    open.push(job);
                                    if backoff.attempts() >= PATIENCE {
                                        trouble.note(format!("the catalog puts writes off: {reason}"));
                                    }
                                    put_off = Some(reason);
                                }
                            }
                        }
                    }
                    other => {
                        let reason = match other {
                            Err(error) => error.to_string(),
                            Ok(outcomes) => format!("{} outcomes for {} writes", outcomes.len(), writes.len()),
                        };
                        trouble.note(reason.as_str());
                        open.extend(jobs.into_iter().zip(writes).map(|(job, write)| job.of_unknown_outcome(write)));
                        put_off = Some(reason);
                    }
                }
            }
            match put_off {
                Some(reason) => {
                    tracing::debug!(
                        partition = self.lease.partition(),
                        reason,
                        attempts = backoff.attempts(),
                        "products are written again"
                    );
                    wait(&mut backoff, &self.lease).await?;
                }
                None => backoff.reset(),
            }
        }
        trouble.clear();
        Ok(done)
    }

    /// Reads what neither the cache holds nor a job carries.
    async fn read_missing(&mut self, jobs: &[Job], trouble: &Trouble) -> Result<ReadProducts, LeaseLost> {
        let mut missing: Vec<Asin> = Vec::new();
        for job in jobs.iter().filter(|job| job.again.is_none()) {
            if self.cache.get(job.group.asin).is_some() {
                metrics::CACHE_HITS.inc();
            } else {
                metrics::CACHE_MISSES.inc();
                missing.push(job.group.asin);
            }
        }
        let mut read = HashMap::with_capacity(missing.len());
        let mut backoff = Backoff::for_outside_systems();
        for asins in missing.chunks(CALL_PRODUCTS) {
            let products = loop {
                if !self.lease.is_held() {
                    return Err(LeaseLost);
                }
                match self.catalog.read_products(asins).await {
                    Ok(products) if products.len() == asins.len() => break products,
                    Ok(products) => trouble.note(format!("{} products for {} ids", products.len(), asins.len())),
                    Err(error) => trouble.note(error.to_string()),
                }
                wait(&mut backoff, &self.lease).await?;
            };
            backoff.reset();
            read.extend(asins.iter().copied().zip(products));
        }
        Ok(read)
    }

    /// Decides what is written; groups that change nothing are done.
    fn plan(&mut self, jobs: Vec<Job>, mut read: ReadProducts, done: &mut Vec<Outcome>) -> Vec<(Job, Write<StoredProduct>)> {
        let now = UnixMillis::now();
        let mut planned = Vec::with_capacity(jobs.len());
        for mut job in jobs {
            if let Some(write) = job.again.take() {
                planned.push((job, write));
                continue;
            }
            let asin = job.group.asin;
            let held = match read.get(&asin) {
                Some(read) => read.as_ref(),
                None => self.cache.get(asin),
            };
            if let (Some(perhaps), Some(held)) = (&job.perhaps_written, held)
                && *perhaps == held.value
            {
                done.push(Outcome::Settled {
                    fates: std::mem::take(&mut job.fates),
                    publish: Some(held.value.clone()),
                });
                continue;
            }
            let decision = decide(held.map(|held| &held.value.product), &job.group);
            match decision.write {
                None => done.push(Outcome::Settled {
                    fates: decision.fates,
                    publish: held.filter(|_| decision.publish).map(|held| held.value.clone()),
                }),
                Some(product) => {
                    let listing = Listing::of(&product, &self.markets, now, self.staleness);
                    let revision = next_revision(held.map(|held| held.value.revision), now);
                    let condition = held.map_or(Condition::Absent, |held| Condition::Unchanged(held.version.clone()));
                    let value = StoredProduct { product, revision, listing };
                    job.fates = decision.fates;
                    planned.push((job, Write { value, condition }));
                }
            }
        }
        // Only now: holding one product may drop another that was still to be merged.
        for (asin, product) in read.drain() {
            match product {
                Some(product) => self.cache.put(product),
                None => self.cache.remove(asin),
            }
        }
        planned
    }

    fn take(&mut self, mut job: Job, write: Write<StoredProduct>, outcome: WriteOutcome) -> Taken {
        match outcome {
            WriteOutcome::Written(version) => {
                self.cache.put(Versioned {
                    value: write.value.clone(),
                    version,
                });
                Taken::Done(Outcome::Settled {
                    fates: job.fates,
                    publish: Some(write.value),
                })
            }
            WriteOutcome::Conflict => {
                metrics::WRITE_CONFLICTS.inc();
                self.cache.remove(job.group.asin);
                job.perhaps_written = job.outcome_unknown.then_some(write.value);
                job.outcome_unknown = false;
                Taken::Again(job)
            }
            WriteOutcome::Retry { reason } => {
                job.again = Some(write);
                Taken::Later(job, reason)
            }
            WriteOutcome::Refused { reason } => match job.group.updates.as_slice() {
                [only] => Taken::Done(Outcome::Refused { record: only.record, reason }),
                _ => Taken::Done(Outcome::Split(job.group)),
            },
        }
    }
}

enum Taken {
    Done(Outcome),
    Again(Job),
    Later(Job, String),
}

impl Job {
    fn new(group: Group) -> Self {
        Job {
            group,
            fates: Vec::new(),
            again: None,
            perhaps_written: None,
            outcome_unknown: false,
        }
    }

    fn of_unknown_outcome(mut self, write: Write<StoredProduct>) -> Self {
        self.again = Some(write);
        self.outcome_unknown = true;
        self
    }
}

/// Cuts planned writes into calls of bounded size.
fn calls(planned: Vec<(Job, Write<StoredProduct>)>) -> Vec<Vec<(Job, Write<StoredProduct>)>> {
    let mut calls: Vec<Vec<_>> = Vec::new();
    let mut bytes = 0;
    for (job, write) in planned {
        let size = approximate_bytes(&write.value);
        match calls.last_mut() {
            Some(call) if call.len() < CALL_PRODUCTS && bytes + size <= CALL_BYTES => call.push((job, write)),
            _ => {
                calls.push(vec![(job, write)]);
                bytes = 0;
            }
        }
        bytes += size;
    }
    calls
}

/// Waits before the next try, unless the lease is lost.
pub(crate) async fn wait(backoff: &mut Backoff, lease: &Lease) -> Result<(), LeaseLost> {
    let delay = backoff.next_delay();
    tokio::select! {
        () = lease.lost() => Err(LeaseLost),
        () = tokio::time::sleep(delay) => Ok(()),
    }
}
