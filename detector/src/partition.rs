//! One partition of `enriched.products`: products and requests in, opportunities written, events out.
//!
//! Of a batch only the newest revision of each product is evaluated: a gap that opened and closed within one batch is news
//! to nobody. No event that was stored is lost by that, since what may not have left is published before anything else.
//!
//! Order per product: read what is stored, publish what may not have left, decide, write, publish, and only then the next
//! batch; the offset goes after the confirmations.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _};
use shared::adapters::kafka::{Lease, LeaseLost, Message, PartitionHandler, PartitionHandlers, Publisher, Record, TRACEPARENT, Topic};
use shared::domain::opportunity::EventKind;
use shared::domain::{Asin, Marketplace, Opportunity, OpportunityId, StoredProduct, UnixMillis};
use shared::ports::Catalog;
use shared::ports::catalog::{Condition, Write, WriteOutcome};
use shared::retry::Backoff;
use shared::wire::{OpportunityEvent, ProductDocument};

use crate::basis::{BasisBoard, Clock};
use crate::book::{Book, Held};
use crate::detect::{Basis, Cause, Decision, Evaluator, News, decide, is_superseded, route_markets, unpublished};
use crate::metrics;
use crate::patience::{Patience, publish_until_confirmed};

/// Products worked on at once: some 2,000 routes to read at most.
const PRODUCTS_AT_ONCE: usize = 100;
/// Opportunities whose events are on their way at once; those of one go one after another.
const PUBLISHING_AT_ONCE: usize = 512;

/// What every partition's worker needs.
#[derive(Clone)]
pub(crate) struct Detector {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) publisher: Publisher,
    pub(crate) basis: Arc<BasisBoard>,
    pub(crate) patience: Patience,
    pub(crate) clock: Clock,
}

impl PartitionHandlers for Detector {
    type Handler = PartitionWorker;

    fn assigned(&self, _partition: i32, lease: Lease) -> PartitionWorker {
        PartitionWorker {
            detector: self.clone(),
            lease,
            book: Book::default(),
            evaluator: None,
        }
    }
}

/// The worker of one partition. It alone evaluates its ASINs while it holds the lease.
pub(crate) struct PartitionWorker {
    detector: Detector,
    lease: Lease,
    book: Book,
    /// Of the basis that it last evaluated by.
    evaluator: Option<(Arc<Basis>, Evaluator)>,
}

#[async_trait]
impl PartitionHandler for PartitionWorker {
    async fn settle(&mut self, batch: Vec<Record>) -> Result<(), LeaseLost> {
        let lease = self.lease.clone();
        tokio::select! {
            biased;
            () = lease.lost() => Err(LeaseLost),
            () = self.work_off(batch) => Ok(()),
        }
    }
}

impl PartitionWorker {
    async fn work_off(&mut self, batch: Vec<Record>) {
        let tasks = gather(&batch);
        drop(batch);
        let newest_request = tasks.iter().filter_map(Task::newest_request).max();
        let read = match newest_request {
            // What was changed before the request was made has to be seen.
            Some(made_at) => self.detector.basis.read_since(made_at).await,
            None => self.detector.basis.current().await,
        };
        let mut tasks = tasks.into_iter().peekable();
        while tasks.peek().is_some() {
            let some: Vec<Task> = tasks.by_ref().take(PRODUCTS_AT_ONCE).collect();
            self.work_on(some, &read.basis).await;
        }
        self.book.shrink();
    }

    async fn work_on(&mut self, mut tasks: Vec<Task>, basis: &Arc<Basis>) {
        self.read_products(&mut tasks).await;
        let mut retries = Backoff::for_outside_systems();
        // A round ends with what has to be decided again: somebody else wrote, or the catalog did not take it.
        while !tasks.is_empty() {
            self.read_opportunities(&tasks, basis).await;
            self.publish_unpublished(&tasks).await;
            let writes = self.decide_all(&tasks, basis);
            if writes.is_empty() {
                return;
            }
            let (events, again) = self.write(writes, &mut retries).await;
            self.publish(&tasks, events).await;
            tasks.retain(|task| again.contains(&task.asin));
        }
    }

    /// Reads the products that are to be evaluated as they are now.
    async fn read_products(&self, tasks: &mut Vec<Task>) {
        let asins: Vec<Asin> = tasks.iter().filter(|task| task.read_now).map(|task| task.asin).collect();
        if !asins.is_empty() {
            let catalog = &self.detector.catalog;
            let answers = self.detector.patience.until_answered("read products", || catalog.read_products(&asins)).await;
            let found = answers.into_iter().flatten().map(|read| (read.value.product.asin, read.value));
            let mut found: HashMap<Asin, StoredProduct> = found.collect();
            for task in tasks.iter_mut() {
                if let Some(product) = found.remove(&task.asin) {
                    task.offer(product);
                }
            }
        }
        tasks.retain(|task| task.product.is_some());
    }

    /// Reads the opportunities of the products whose routes are not known yet.
    async fn read_opportunities(&mut self, tasks: &[Task], basis: &Basis) {
        let mut missing = Vec::new();
        for task in tasks {
            let markets = task.markets(basis);
            if !self.book.covers(task.asin, markets.iter().copied().collect()) {
                self.book.forget(task.asin);
                missing.push((task.asin, markets));
            }
        }
        if missing.is_empty() {
            return;
        }
        let ids: Vec<_> = missing.iter().flat_map(|(asin, markets)| OpportunityId::routes(*asin, markets)).collect();
        let catalog = &self.detector.catalog;
        let answers = self
            .detector
            .patience
            .until_answered("read opportunities", || catalog.read_opportunities(&ids))
            .await;
        let mut stored: HashMap<Asin, Vec<Held>> = HashMap::new();
        for read in answers.into_iter().flatten() {
            stored.entry(read.value.id.asin).or_default().push(Held::read(read));
        }
        for (asin, markets) in missing {
            self.book.enter(asin, markets.into_iter().collect(), stored.remove(&asin).unwrap_or_default());
        }
    }

    /// Publishes the stored events that the records at hand may have raised before a crash.
    async fn publish_unpublished(&mut self, tasks: &[Task]) {
        let mut events = Vec::new();
        for task in tasks {
            for held in self.book.routes_mut(task.asin).filter(|held| !held.published) {
                let mut unpublished = unpublished(&held.opportunity, &task.causes);
                // Settled once the newest of its events went out; until then an earlier record may only have brought the alert.
                held.published = unpublished
                    .last()
                    .is_some_and(|event| event.event == EventKind::Updated || held.opportunity.evaluation == held.opportunity.last_event.evaluation);
                events.append(&mut unpublished);
            }
        }
        if !events.is_empty() {
            metrics::REPUBLISHED.inc_by(events.len() as u64);
            tracing::debug!(events = events.len(), "stored events are published again");
            self.publish(tasks, events).await;
        }
    }

    fn decide_all(&mut self, tasks: &[Task], basis: &Arc<Basis>) -> Vec<PendingWrite> {
        let now = (self.detector.clock)();
        let still_holds = |(of, evaluator): &(Arc<Basis>, Evaluator)| Arc::ptr_eq(of, basis) && evaluator.is_of_day(now);
        let (_, evaluator) = match self.evaluator.take().filter(still_holds) {
            Some(held) => self.evaluator.insert(held),
            None => self.evaluator.insert((Arc::clone(basis), Evaluator::new(basis, now))),
        };
        let mut writes = Vec::new();
        for task in tasks {
            let Some(product) = &task.product else { continue };
            if is_superseded(product.revision, self.book.seen(task.asin)) {
                continue;
            }
            self.book.see(task.asin, product.revision);
            metrics::EVALUATIONS.inc();
            for route in evaluator.evaluate(product, now) {
                let held = self.book.route(&route.id);
                if let Decision::Write { opportunity, news } = decide(held.map(|held| &held.opportunity), &product.listing, &route) {
                    let condition = held.map_or(Condition::Absent, |held| Condition::Unchanged(held.version.clone()));
                    writes.push(PendingWrite {
                        write: Write {
                            value: *opportunity,
                            condition,
                        },
                        news,
                    });
                }
            }
        }
        writes
    }

    /// Writes, and says which events are to go out and which products have to be decided again.
    async fn write(&mut self, pending: Vec<PendingWrite>, retries: &mut Backoff) -> (Vec<OpportunityEvent>, Vec<Asin>) {
        let (writes, news): (Vec<_>, Vec<_>) = pending.into_iter().map(|pending| (pending.write, pending.news)).unzip();
        let outcomes = match self.detector.catalog.write_opportunities(&writes).await {
            Ok(outcomes) if outcomes.len() == writes.len() => outcomes,
            answer => {
                // Any part may have been written. The same is sent again; what had arrived answers `Conflict` then.
                match answer {
                    Err(error) => self.detector.patience.wait("write opportunities", &error, retries).await,
                    Ok(outcomes) => {
                        tracing::error!(writes = writes.len(), outcomes = outcomes.len(), "the catalog's answer does not fit the writes");
                        tokio::time::sleep(retries.next_delay()).await;
                    }
                }
                return (Vec::new(), writes.iter().map(|write| write.value.id.asin).collect());
            }
        };
        let mut events = Vec::new();
        let mut again = Vec::new();
        if !outcomes.iter().any(|outcome| matches!(outcome, WriteOutcome::Retry { .. })) {
            self.detector.patience.answered(retries);
        }
        let mut is_busy = false;
        for ((write, news), outcome) in writes.into_iter().zip(news).zip(outcomes) {
            let opportunity = write.value;
            let asin = opportunity.id.asin;
            match outcome {
                WriteOutcome::Written(version) => {
                    if let Some(event) = news.event(&opportunity) {
                        metrics::OPPORTUNITIES.with_label_values(&[event.event.name()]).inc();
                        events.push(event);
                    }
                    self.book.put(Held {
                        opportunity,
                        version,
                        published: true,
                    });
                }
                WriteOutcome::Conflict => {
                    metrics::CONFLICTS.inc();
                    // What is stored now counts, for all routes of the product.
                    self.book.forget(asin);
                    again.push(asin);
                }
                WriteOutcome::Retry { reason } => {
                    tracing::debug!(%asin, reason, "the catalog does not take an opportunity now");
                    is_busy = true;
                    again.push(asin);
                }
                // It cannot happen with a document of ours and must not stop the partition for ever. The event is not
                // told: its number was not stored and would be given out again.
                WriteOutcome::Refused { reason } => {
                    metrics::WRITES_REFUSED.inc();
                    tracing::error!(id = %opportunity.id, reason, "the catalog refuses an opportunity: it is left as it was");
                }
            }
        }
        if is_busy {
            tokio::time::sleep(retries.next_delay()).await;
        }
        (events, again)
    }

    /// Publishes events and waits for all confirmations. Those of one opportunity, which stand side by side, keep their order.
    async fn publish(&self, tasks: &[Task], events: Vec<OpportunityEvent>) {
        let traces: HashMap<Asin, &[u8]> = tasks.iter().filter_map(|task| Some((task.asin, task.traceparent.as_deref()?))).collect();
        let publisher = &self.detector.publisher;
        stream::iter(by_opportunity(events))
            .map(|events| {
                let asin = events[0].opportunity.asin;
                let trace = traces.get(&asin).copied();
                async move {
                    for event in events {
                        let payload = serde_json::to_vec(&event).expect("an event is plain structs with string keys");
                        let message = Message::new(asin.as_str(), Some(payload)).with_parent(trace);
                        publish_until_confirmed(publisher, Topic::Alerts, message).await;
                    }
                }
            })
            .buffer_unordered(PUBLISHING_AT_ONCE)
            .collect::<()>()
            .await;
    }
}

/// Events of one opportunity together; they stand side by side.
fn by_opportunity(events: Vec<OpportunityEvent>) -> Vec<Vec<OpportunityEvent>> {
    let mut grouped: Vec<Vec<OpportunityEvent>> = Vec::with_capacity(events.len());
    for event in events {
        match grouped.last_mut() {
            Some(group) if group[0].opportunity.id == event.opportunity.id => group.push(event),
            _ => grouped.push(vec![event]),
        }
    }
    grouped
}

struct PendingWrite {
    write: Write<Opportunity>,
    news: News,
}

/// What a batch asks of one product.
#[derive(Debug)]
struct Task {
    asin: Asin,
    /// The newest known so far.
    product: Option<StoredProduct>,
    /// Evaluate it as it is now in the catalog.
    read_now: bool,
    /// The records that asked.
    causes: Vec<Cause>,
    /// Of the last of them.
    traceparent: Option<Vec<u8>>,
}

impl Task {
    fn offer(&mut self, product: StoredProduct) {
        if self.product.as_ref().is_none_or(|held| held.revision <= product.revision) {
            self.product = Some(product);
        }
    }

    fn newest_request(&self) -> Option<UnixMillis> {
        let requests = self.causes.iter().filter_map(|cause| match cause {
            Cause::Request { made_at } => Some(*made_at),
            Cause::Product { .. } => None,
        });
        requests.max()
    }

    /// Those between which opportunities of the product may be stored.
    fn markets(&self, basis: &Basis) -> Vec<Marketplace> {
        let known = self.product.iter().flat_map(|product| product.product.markets.keys().copied());
        route_markets(&basis.settings.markets, known)
    }
}

/// The tasks of a batch, in the order in which their products first occur.
fn gather(batch: &[Record]) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    let mut places: HashMap<Asin, usize> = HashMap::new();
    for record in batch {
        let Some(asin) = read_key(record) else {
            refuse(record, "its key is not an ASIN");
            continue;
        };
        let place = *places.entry(asin).or_insert_with(|| {
            tasks.push(Task {
                asin,
                product: None,
                read_now: false,
                causes: Vec::new(),
                traceparent: None,
            });
            tasks.len() - 1
        });
        let task = &mut tasks[place];
        if let Some(traceparent) = record.header(TRACEPARENT) {
            task.traceparent = Some(traceparent.to_vec());
        }
        match read_payload(record, asin) {
            Payload::Product(product) => {
                task.causes.push(Cause::Product { revision: product.revision });
                task.offer(*product);
            }
            // The catalog is the source: what a record does not say is read there.
            Payload::Request | Payload::Unreadable => {
                task.causes.push(Cause::Request {
                    made_at: UnixMillis(record.timestamp_ms),
                });
                task.read_now = true;
            }
        }
    }
    tasks
}

enum Payload {
    Product(Box<StoredProduct>),
    Request,
    Unreadable,
}

fn read_payload(record: &Record, asin: Asin) -> Payload {
    let Some(payload) = &record.payload else { return Payload::Request };
    match serde_json::from_slice::<ProductDocument>(payload) {
        Ok(document) if document.asin == asin => Payload::Product(Box::new(document.into())),
        Ok(_) => {
            refuse(record, "its key is not its product's ASIN");
            Payload::Unreadable
        }
        Err(error) => {
            refuse(record, &error.to_string());
            Payload::Unreadable
        }
    }
}

fn read_key(record: &Record) -> Option<Asin> {
    std::str::from_utf8(record.key.as_deref()?).ok()?.parse().ok()
}

fn refuse(record: &Record, reason: &str) {
    metrics::RECORDS_REFUSED.with_label_values(&[record.topic.base_name()]).inc();
    tracing::error!(partition = record.partition, offset = record.offset.0, reason, "a record cannot be read");
}

#[cfg(test)]
mod tests;
