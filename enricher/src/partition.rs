//! The worker of one partition of `raw.keepa_updates`.
//!
//! A batch is decoded and folded per ASIN, written, published, and what was refused is dead-lettered; only then does it
//! count as settled and its offset goes. Every step is repeated in place for as long as it takes, and each is harmless
//! when the next owner repeats it: a merge that was done is a no-op, a product that was written and perhaps not
//! published equals what is held and is published again at its revision, a dead letter is possibly there twice.
//!
//! One ASIN has at most one write in flight, and it is published before its next one: a batch holds one write per ASIN,
//! batches follow each other, and records that have to be written one by one are published in between.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::adapters::kafka::{Lease, LeaseLost, PartitionHandler, PartitionHandlers, Publisher, Record, Topic};
use shared::domain::{MarketState, ObservedAt, Product, UnixMillis};
use shared::ports::{Catalog, Ports};
use shared::retry::Backoff;

use crate::config::Config;
use crate::decode::{Input, Refusal, RefusalClass, decode};
use crate::fold::{Fate, Update, fold};
use crate::limit::DeadLetterLimit;
use crate::metrics;
use crate::publish::Outlet;
use crate::status::Status;
use crate::trouble::{Trouble, Troubles};
use crate::write::{Outcome, Writer, wait};

/// Records decoded in one go before other tasks of the process get their turn.
const DECODED_AT_ONCE: usize = 64;

/// Makes the workers of this member's partitions.
pub struct Handlers {
    config: Config,
    catalog: Arc<dyn Catalog>,
    publisher: Publisher,
    source_topic: String,
    troubles: Troubles,
}

impl Handlers {
    /// Workers over these ports.
    ///
    /// # Errors
    /// Where the event log's client library refuses its settings.
    pub fn new(config: Config, ports: &Ports) -> Result<Self, shared::adapters::kafka::EventLogError> {
        Ok(Handlers {
            config,
            catalog: Arc::clone(&ports.catalog),
            publisher: ports.event_log.publisher()?,
            source_topic: ports.event_log.topic_name(Topic::RawUpdates),
            troubles: Troubles::new(ports.health.clone()),
        })
    }
}

impl PartitionHandlers for Handlers {
    type Handler = Partition;

    fn assigned(&self, partition: i32, lease: Lease) -> Partition {
        let Config {
            markets,
            staleness,
            dead_letter_percent,
            dead_letter_pause,
            cache_bytes,
            ..
        } = self.config.clone();
        Partition {
            number: partition,
            writer: Writer::new(Arc::clone(&self.catalog), cache_bytes, markets, staleness, lease.clone()),
            outlet: Outlet::new(self.publisher.clone(), lease.clone(), self.source_topic.clone()),
            limit: DeadLetterLimit::new(dead_letter_percent),
            cool_down: Backoff::new(dead_letter_pause, dead_letter_pause.saturating_mul(6)),
            status: Status::of(partition),
            catalog: Arc::clone(&self.catalog),
            trouble: self.troubles.of(partition),
            lease,
        }
    }
}

/// The worker of one partition.
pub struct Partition {
    number: i32,
    writer: Writer,
    outlet: Outlet,
    limit: DeadLetterLimit,
    cool_down: Backoff,
    status: Status,
    catalog: Arc<dyn Catalog>,
    trouble: Trouble,
    lease: Lease,
}

/// What became of a record.
#[derive(Debug)]
enum Verdict {
    Settled(Fate),
    Refused(Refusal),
}

/// The verdicts on a batch, in the order of its records; none = not yet.
type Verdicts = Vec<Option<Verdict>>;

#[async_trait]
impl PartitionHandler for Partition {
    async fn settle(&mut self, batch: Vec<Record>) -> Result<(), LeaseLost> {
        metrics::BATCH_RECORDS.observe(batch.len() as f64);
        let mut verdicts: Verdicts = Vec::new();
        verdicts.resize_with(batch.len(), || None);
        let updates = self.decode(&batch, &mut verdicts).await;
        self.write_and_publish(&batch, updates, &mut verdicts).await?;
        self.dead_letter(&batch, &mut verdicts).await?;
        self.count(&batch, &verdicts);
        self.status.save_if_due(self.catalog.as_ref()).await;
        Ok(())
    }

    async fn idle(&mut self) {
        self.status.save_if_due(self.catalog.as_ref()).await;
    }
}

impl Partition {
    async fn decode(&self, batch: &[Record], verdicts: &mut Verdicts) -> Vec<Update> {
        let now = UnixMillis::now();
        let mut updates = Vec::with_capacity(batch.len());
        for (index, record) in batch.iter().enumerate() {
            if index > 0 && index.is_multiple_of(DECODED_AT_ONCE) {
                tokio::task::yield_now().await;
            }
            match decode(&Input::of(record), now) {
                Ok(decoded) => {
                    metrics::IGNORED_FIELDS.inc_by(u64::from(decoded.ignored_fields));
                    updates.push(Update {
                        record: index,
                        product: decoded.update,
                    });
                }
                Err(refusal) => verdicts[index] = Some(Verdict::Refused(refusal)),
            }
        }
        updates
    }

    /// Settles updates, each ASIN's in one write; those of a refused document one by one.
    async fn write_and_publish(&mut self, batch: &[Record], updates: Vec<Update>, verdicts: &mut Verdicts) -> Result<(), LeaseLost> {
        let observed: BTreeMap<usize, ObservedAt> = updates
            .iter()
            .filter_map(|update| Some((update.record, observed_at(&update.product)?)))
            .collect();
        let mut wave = fold(updates);
        let mut one_by_one: Vec<VecDeque<Update>> = Vec::new();
        while !wave.is_empty() {
            let mut products = Vec::new();
            for outcome in self.writer.write(wave, &self.trouble).await? {
                match outcome {
                    Outcome::Settled { fates, publish } => {
                        if let (Some(product), Some(&(cause, _))) = (publish, fates.last()) {
                            products.push((product, &batch[cause]));
                        }
                        for (record, fate) in fates {
                            if fate == Fate::Written {
                                observe_freshness(observed.get(&record));
                            }
                            verdicts[record] = Some(Verdict::Settled(fate));
                        }
                    }
                    Outcome::Split(group) => one_by_one.push(group.updates.into()),
                    Outcome::Refused { record, reason } => {
                        verdicts[record] = Some(Verdict::Refused(Refusal::new(RefusalClass::Catalog, reason)));
                    }
                }
            }
            self.outlet.products(products, &self.trouble).await?;
            wave = fold(one_by_one.iter_mut().filter_map(VecDeque::pop_front));
        }
        Ok(())
    }

    /// Dead-letters what was refused, in the order of the records, unless that is too much: see `limit.rs`.
    async fn dead_letter(&mut self, batch: &[Record], verdicts: &mut Verdicts) -> Result<(), LeaseLost> {
        let mut letters: Vec<usize> = Vec::new();
        // Once halted, time has passed: whatever was refused before may have been cured since.
        let mut tried_again = false;
        for index in 0..batch.len() {
            if is_refused(verdicts, index) && (tried_again || self.limit.is_exceeded()) {
                tried_again = true;
                self.send_letters(batch, verdicts, std::mem::take(&mut letters)).await?;
                self.try_alone(batch, verdicts, index).await?;
                if is_refused(verdicts, index) && self.limit.is_exceeded() {
                    self.halt(&batch[index], &verdicts[index]);
                    wait(&mut self.cool_down, &self.lease).await?;
                    self.try_alone(batch, verdicts, index).await?;
                }
            }
            let refused = is_refused(verdicts, index);
            self.limit.note(refused);
            if refused {
                letters.push(index);
            }
        }
        self.send_letters(batch, verdicts, letters).await?;
        if !self.limit.is_exceeded() {
            self.go_on();
        }
        Ok(())
    }

    async fn send_letters(&self, batch: &[Record], verdicts: &Verdicts, letters: Vec<usize>) -> Result<(), LeaseLost> {
        let letters = letters.into_iter().filter_map(|index| match &verdicts[index] {
            Some(Verdict::Refused(refusal)) => Some((&batch[index], refusal)),
            _ => None,
        });
        self.outlet.dead_letters(letters.collect(), &self.trouble).await
    }

    /// Decodes and writes one refused record once more: what was wrong may have been cured.
    async fn try_alone(&mut self, batch: &[Record], verdicts: &mut Verdicts, index: usize) -> Result<(), LeaseLost> {
        match decode(&Input::of(&batch[index]), UnixMillis::now()) {
            Ok(decoded) => {
                let update = Update {
                    record: index,
                    product: decoded.update,
                };
                // Boxed: this is also called from what it calls, two steps up.
                Box::pin(self.write_and_publish(batch, vec![update], verdicts)).await
            }
            Err(refusal) => {
                verdicts[index] = Some(Verdict::Refused(refusal));
                Ok(())
            }
        }
    }

    fn halt(&self, record: &Record, verdict: &Option<Verdict>) {
        let (refused, of) = self.limit.share();
        let why = match verdict {
            Some(Verdict::Refused(refusal)) => refusal.to_string(),
            _ => String::new(),
        };
        metrics::DEAD_LETTERS_HALTED.with_label_values(&[&self.number.to_string()]).set(1);
        tracing::error!(
            partition = self.number,
            offset = record.offset.0,
            refused,
            of,
            why,
            "too many records are refused, the partition is halted"
        );
        self.trouble
            .halt(format!("halted: {refused} of the last {of} records were refused, the last one for {why}"));
    }

    fn go_on(&mut self) {
        metrics::DEAD_LETTERS_HALTED.with_label_values(&[&self.number.to_string()]).set(0);
        self.cool_down.reset();
        self.trouble.resume();
    }

    fn count(&mut self, batch: &[Record], verdicts: &Verdicts) {
        let mut outcomes: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut first_refused = None;
        for (record, verdict) in batch.iter().zip(verdicts) {
            let outcome = match verdict {
                Some(Verdict::Settled(fate)) => fate.name(),
                Some(Verdict::Refused(refusal)) => {
                    metrics::DEAD_LETTERS.with_label_values(&[refusal.class.name()]).inc();
                    first_refused.get_or_insert((record.offset.0, refusal));
                    "dlq"
                }
                None => {
                    debug_assert!(false, "every record of a settled batch has a verdict");
                    continue;
                }
            };
            *outcomes.entry(outcome).or_default() += 1;
        }
        for (outcome, count) in &outcomes {
            metrics::RECORDS_SETTLED.with_label_values(&[outcome]).inc_by(*count);
        }
        let of = |outcome| outcomes.get(outcome).copied().unwrap_or(0);
        let dead_letters = of("dlq");
        if let Some((offset, refusal)) = first_refused {
            let (class, message) = (refusal.class.name(), refusal.message.as_str());
            tracing::warn!(partition = self.number, dead_letters, offset, class, message, "records became dead letters");
        }
        let (written, unchanged, stale) = (of("written"), of("unchanged"), of("stale"));
        tracing::debug!(
            partition = self.number,
            records = batch.len(),
            written,
            unchanged,
            stale,
            dead_letters,
            "batch settled"
        );
        self.status.add(batch.len() as u64, dead_letters);
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        metrics::DEAD_LETTERS_HALTED.with_label_values(&[&self.number.to_string()]).set(0);
    }
}

fn is_refused(verdicts: &Verdicts, index: usize) -> bool {
    matches!(verdicts[index], Some(Verdict::Refused(_)))
}

/// When the one marketplace of a record was observed.
fn observed_at(update: &Product) -> Option<ObservedAt> {
    let state: &MarketState = update.markets.values().next()?.values().next()?;
    Some(state.latest)
}

fn observe_freshness(observed_at: Option<&ObservedAt>) {
    let Some(observed_at) = observed_at else { return };
    let now = UnixMillis::now();
    for (since, instant) in [("fetch", observed_at.fetched_at), ("last_update", observed_at.last_update.to_unix())] {
        let seconds = Duration::from_millis(u64::try_from(now.millis_since(instant)).unwrap_or(0)).as_secs_f64();
        metrics::FRESHNESS_SECONDS.with_label_values(&[since]).observe(seconds);
    }
}
