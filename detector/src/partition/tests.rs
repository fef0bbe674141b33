use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use shared::adapters::kafka::RecordOffset;
use shared::domain::Marketplace::{ES, IT, UK};
use shared::domain::opportunity::ClosedReason;
use shared::domain::{ListedOpportunity, Marketplace, Opportunity, OpportunityId};
use shared::ports::catalog::{CatalogError, Facets, OpportunityQuery, Page, ProductQuery, StateKind, StateQuery, StateRecord, Statistics, Versioned};

use super::*;
use crate::bench::{Bench, document, product, until, within};
use crate::settings::Rules;

const ASIN: &str = "B0D1XD1ZV3";
const ROUTE: &str = "B0D1XD1ZV3:ES:IT";
const FIRST: &str = "B0D1XD1ZV3:ES:IT#1";

/// 2026-07-10T12:00Z.
const NOON: UnixMillis = UnixMillis(1_783_684_800_000);

/// What the catalog does with the next write of opportunities.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Writes and never answers: the process is killed there.
    WritesAndHangs,
    /// Writes, and the answer is lost.
    WritesAndFails,
    /// Does not write.
    Away,
    /// Not now, every item.
    Busy,
    /// Never, every item.
    Refuses,
    /// Too few outcomes.
    AnswersNonsense,
}

struct Faulty {
    inner: Arc<dyn Catalog>,
    faults: Mutex<VecDeque<Fault>>,
    reads: Mutex<usize>,
    written: tokio::sync::Notify,
}

impl Faulty {
    fn over(bench: &Bench, faults: &[Fault]) -> Arc<Faulty> {
        Arc::new(Faulty {
            inner: Arc::clone(&bench.catalog),
            faults: Mutex::new(faults.iter().copied().collect()),
            reads: Mutex::default(),
            written: tokio::sync::Notify::new(),
        })
    }
}

#[async_trait]
impl Catalog for Faulty {
    async fn prepare(&self) -> Result<(), CatalogError> {
        self.inner.prepare().await
    }
    async fn check(&self) -> Result<(), CatalogError> {
        self.inner.check().await
    }
    async fn read_products(&self, asins: &[Asin]) -> Result<Vec<Option<Versioned<StoredProduct>>>, CatalogError> {
        self.inner.read_products(asins).await
    }
    async fn write_products(&self, writes: &[Write<StoredProduct>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.inner.write_products(writes).await
    }
    async fn search_products(&self, query: &ProductQuery) -> Result<Page<StoredProduct>, CatalogError> {
        self.inner.search_products(query).await
    }
    async fn read_opportunities(&self, ids: &[OpportunityId]) -> Result<Vec<Option<Versioned<Opportunity>>>, CatalogError> {
        *self.reads.lock().unwrap() += 1;
        self.inner.read_opportunities(ids).await
    }
    async fn write_opportunities(&self, writes: &[Write<Opportunity>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        let fault = self.faults.lock().unwrap().pop_front();
        let away = Err(CatalogError::Unavailable { reason: "on purpose".into() });
        let each = |outcome: WriteOutcome| Ok(vec![outcome; writes.len()]);
        match fault {
            None => self.inner.write_opportunities(writes).await,
            Some(Fault::WritesAndHangs) => {
                self.inner.write_opportunities(writes).await?;
                self.written.notify_one();
                std::future::pending().await
            }
            Some(Fault::WritesAndFails) => {
                self.inner.write_opportunities(writes).await?;
                away
            }
            Some(Fault::Away) => away,
            Some(Fault::Busy) => each(WriteOutcome::Retry { reason: "on purpose".into() }),
            Some(Fault::Refuses) => each(WriteOutcome::Refused { reason: "on purpose".into() }),
            Some(Fault::AnswersNonsense) => Ok(Vec::new()),
        }
    }
    async fn search_opportunities(&self, query: &OpportunityQuery) -> Result<Page<Opportunity>, CatalogError> {
        self.inner.search_opportunities(query).await
    }
    async fn list_opportunities(&self, query: &OpportunityQuery) -> Result<Page<ListedOpportunity>, CatalogError> {
        self.inner.list_opportunities(query).await
    }
    async fn statistics(&self, priced_after: UnixMillis, legs_since: UnixMillis) -> Result<Statistics, CatalogError> {
        self.inner.statistics(priced_after, legs_since).await
    }
    async fn facets(&self, legs_since: UnixMillis) -> Result<Facets, CatalogError> {
        self.inner.facets(legs_since).await
    }

    async fn read_states(&self, kind: StateKind, ids: &[String]) -> Result<Vec<Option<Versioned<StateRecord>>>, CatalogError> {
        self.inner.read_states(kind, ids).await
    }
    async fn write_states(&self, kind: StateKind, writes: &[Write<StateRecord>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        self.inner.write_states(kind, writes).await
    }
    async fn list_states(&self, kind: StateKind, query: &StateQuery) -> Result<Page<Versioned<StateRecord>>, CatalogError> {
        self.inner.list_states(kind, query).await
    }
}

/// A worker whose clock stands at noon plus a number of milliseconds.
async fn worker(bench: &Bench, catalog: Arc<dyn Catalog>, markets: &[Marketplace], millis: i64) -> PartitionWorker {
    let clock: Clock = Arc::new(move || NOON.plus_millis(millis));
    let patience = Patience::new(bench.health.clone());
    let rules = Rules {
        min_margin_percent: 10.into(),
        leg_stale_after_ms: 86_400_000,
        markets: markets.to_vec(),
        seller: Arc::default(),
    };
    let board = BasisBoard::new(Arc::clone(&catalog), patience.clone(), rules, Arc::clone(&clock));
    board.begin().await;
    let detector = Detector {
        catalog,
        publisher: bench.log.publisher().unwrap(),
        basis: Arc::new(board),
        patience,
        clock,
    };
    detector.assigned(0, Lease::for_test(0))
}

async fn plain_worker(bench: &Bench, millis: i64) -> PartitionWorker {
    worker(bench, Arc::clone(&bench.catalog), &[ES, IT, UK], millis).await
}

fn es_it(revision: i64, spain: i64, italy: i64) -> StoredProduct {
    product(ASIN, revision, NOON, &[(ES, Some(spain)), (IT, Some(italy))])
}

fn to_record(message: Message, timestamp_ms: i64) -> Record {
    Record {
        topic: Topic::EnrichedProducts,
        partition: 0,
        offset: RecordOffset(0),
        key: Some(message.key.into()),
        payload: message.payload.map(Into::into),
        timestamp_ms,
        headers: message.headers.into_iter().map(|(name, value)| (name.into(), Some(value.into()))).collect(),
    }
}

fn record(product: &StoredProduct) -> Record {
    to_record(document(product), NOON.0)
}

fn request(made_at: UnixMillis) -> Record {
    to_record(Message::new(ASIN, None).with_header("reason", "reevaluate"), made_at.0)
}

async fn settle(worker: &mut PartitionWorker, batch: Vec<Record>) {
    within("the batch", worker.settle(batch)).await.unwrap();
}

/// All that came out up to now: an event of another product is sent after them and waited for.
async fn events_so_far(bench: &Bench) -> Vec<(String, EventKind)> {
    let mut last = plain_worker(bench, 0).await;
    let marker = format!("B{:09}", bench.events().len());
    settle(&mut last, vec![record_of(&marker)]).await;
    until("the marker", async || {
        bench.events().iter().any(|event| event.opportunity.asin.as_str() == marker).then_some(())
    })
    .await;
    let of_ours = |event: &OpportunityEvent| event.opportunity.asin.as_str() == ASIN;
    let events = bench.events().into_iter().filter(of_ours);
    events.map(|event| (event.alert_id.unwrap_or("-".into()), event.event)).collect()
}

fn record_of(asin: &str) -> Record {
    to_record(document(&product(asin, 1, NOON, &[(ES, Some(100)), (IT, Some(200))])), NOON.0)
}

macro_rules! async_test {
    ($(async fn $name:ident($bench:ident) $body:block)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let $bench = Bench::start().await;
            $body
        }
    )*};
}

async_test! {
    async fn a_gap_is_opened_updated_improved_and_closed(bench) {
        let mut worker = plain_worker(&bench, 0).await;
        for product in [es_it(1, 4799, 5499), es_it(2, 4798, 5499), es_it(3, 4700, 5499), es_it(4, 5400, 5499)] {
            settle(&mut worker, vec![record(&product)]).await;
        }
        use EventKind::{Closed, Improved, Opened, Updated};
        let expected = [("#1", Opened), ("-", Updated), ("#2", Improved), ("#3", Closed)];
        let expected = expected.map(|(id, event)| (if id == "-" { id.to_owned() } else { format!("{ROUTE}{id}") }, event));
        assert_eq!(events_so_far(&bench).await, expected);
        let stored = bench.opportunity(ROUTE).await.unwrap();
        assert_eq!((stored.closed_reason, stored.source_price.minor, stored.event_seq), (Some(ClosedReason::Gap), 4700, 3));
    }

    async fn of_one_batch_only_the_newest_revision_is_evaluated(bench) {
        let mut worker = plain_worker(&bench, 0).await;
        let batch = [es_it(1, 4799, 5499), es_it(3, 4799, 5599), es_it(2, 5400, 5499)];
        settle(&mut worker, batch.iter().map(record).collect()).await;
        assert_eq!(events_so_far(&bench).await, [(FIRST.to_owned(), EventKind::Opened)]);
        assert_eq!(bench.opportunity(ROUTE).await.unwrap().evaluation.revision, 3);
        // One that is older than what was seen has nothing to say, in a later batch either.
        settle(&mut worker, vec![record(&es_it(2, 5400, 5499))]).await;
        assert!(bench.opportunity(ROUTE).await.unwrap().is_active);
    }

    async fn a_request_evaluates_the_product_as_it_is_now(bench) {
        bench.store(&es_it(7, 4799, 5499)).await;
        let mut worker = plain_worker(&bench, 5).await;
        settle(&mut worker, vec![request(NOON)]).await;
        assert_eq!(bench.opportunity(ROUTE).await.unwrap().evaluation.revision, 7);
        // A product that the log brings later and that is older changes nothing.
        settle(&mut worker, vec![record(&es_it(6, 5400, 5499))]).await;
        assert!(bench.opportunity(ROUTE).await.unwrap().is_active);
        // A later sweep finds nothing new: nothing is written, nothing told again.
        let before = bench.opportunity(ROUTE).await;
        settle(&mut worker, vec![request(NOON.plus_millis(600_000))]).await;
        assert_eq!(bench.opportunity(ROUTE).await, before);
        assert_eq!(events_so_far(&bench).await, [(FIRST.to_owned(), EventKind::Opened)]);
    }

    async fn a_record_that_cannot_be_read_is_looked_up_in_the_catalog(bench) {
        bench.store(&es_it(7, 4799, 5499)).await;
        let mut worker = plain_worker(&bench, 0).await;
        let broken = |key: Option<&[u8]>, payload: &[u8]| Record {
            key: key.map(|key| key.to_vec().into()),
            payload: Some(payload.to_vec().into()),
            ..request(NOON)
        };
        let of_another = document(&product("B000000000", 1, NOON, &[(ES, Some(1)), (IT, Some(2))])).payload.unwrap();
        settle(&mut worker, vec![broken(None, b"{}"), broken(Some(b"\xff"), b"{}"), broken(Some(b"short"), b"{}")]).await;
        assert_eq!(bench.opportunity(ROUTE).await, None);
        settle(&mut worker, vec![broken(Some(ASIN.as_bytes()), &of_another)]).await;
        assert!(bench.opportunity(ROUTE).await.is_some());
        assert_eq!(bench.opportunity("B000000000:ES:IT").await, None);
        settle(&mut worker, vec![broken(Some(ASIN.as_bytes()), b"{\"asin\":")]).await;
    }

    async fn a_request_for_a_product_that_nobody_knows_is_settled(bench) {
        let mut worker = plain_worker(&bench, 0).await;
        settle(&mut worker, vec![request(NOON)]).await;
        assert_eq!(bench.opportunity(ROUTE).await, None);
    }

    async fn a_crash_between_write_and_publish_tells_the_same_alert(bench) {
        for batch in [vec![record(&es_it(7, 4799, 5499))], vec![request(NOON)], vec![record(&es_it(7, 4799, 5499)), request(NOON)]] {
            let bench = Bench::start().await;
            bench.store(&es_it(7, 4799, 5499)).await;
            let faulty = Faulty::over(&bench, &[Fault::WritesAndHangs]);
            let mut killed = worker(&bench, faulty.clone(), &[ES, IT, UK], 5).await;
            tokio::select! {
                settled = killed.settle(batch.clone()) => panic!("{settled:?}"),
                () = faulty.written.notified() => {}
            }
            drop(killed);
            assert!(bench.events().is_empty());
            let stored = bench.opportunity(ROUTE).await;

            let mut next = plain_worker(&bench, 60_000).await;
            settle(&mut next, batch.clone()).await;
            assert_eq!(events_so_far(&bench).await, [(FIRST.to_owned(), EventKind::Opened)]);
            assert_eq!(bench.opportunity(ROUTE).await, stored);
            // Told once by this owner: not again.
            settle(&mut next, batch).await;
            assert_eq!(events_so_far(&bench).await.len(), 1);
        }
        drop(bench);
    }

    async fn an_alert_that_did_not_leave_is_told_before_a_newer_product_changes_it(bench) {
        let faulty = Faulty::over(&bench, &[Fault::WritesAndHangs]);
        let mut killed = worker(&bench, faulty.clone(), &[ES, IT, UK], 0).await;
        tokio::select! {
            settled = killed.settle(vec![record(&es_it(1, 4799, 5499))]) => panic!("{settled:?}"),
            () = faulty.written.notified() => {}
        }
        drop(killed);
        // The record comes again together with a newer one, into which it is folded.
        let mut next = plain_worker(&bench, 1).await;
        settle(&mut next, vec![record(&es_it(1, 4799, 5499)), record(&es_it(2, 5400, 5499))]).await;
        let expected = [(FIRST.to_owned(), EventKind::Opened), (format!("{ROUTE}#2"), EventKind::Closed)];
        assert_eq!(events_so_far(&bench).await, expected);
    }

    async fn whatever_the_catalog_answers_the_alert_is_told_once_under_its_id(bench) {
        for (number, faults) in [
            vec![Fault::WritesAndFails],
            vec![Fault::Away, Fault::Away],
            vec![Fault::Busy, Fault::Busy],
            vec![Fault::AnswersNonsense],
            vec![Fault::Away, Fault::WritesAndFails, Fault::Busy],
        ].into_iter().enumerate() {
            let asin = format!("B00000001{number}");
            let faulty = Faulty::over(&bench, &faults);
            let mut worker = worker(&bench, faulty, &[ES, IT, UK], 0).await;
            settle(&mut worker, vec![record_of(&asin)]).await;
            let ids = bench.alert_ids(number + 1).await;
            assert_eq!(ids.last(), Some(&format!("{asin}:ES:IT#1")), "{faults:?}");
            assert_eq!(ids.len(), number + 1, "{faults:?}");
        }
        let health = bench.health.snapshot();
        assert_eq!(health["detector"].condition, shared::health::Condition::Up);
    }

    async fn an_opportunity_that_is_refused_stops_nothing_and_tells_nothing(bench) {
        let faulty = Faulty::over(&bench, &[Fault::Refuses]);
        let mut worker = worker(&bench, faulty, &[ES, IT, UK], 0).await;
        settle(&mut worker, vec![record(&es_it(1, 4799, 5499))]).await;
        assert!(events_so_far(&bench).await.is_empty());
        // The next revision is tried anew, under the id that was not given out.
        settle(&mut worker, vec![record(&es_it(2, 4799, 5499))]).await;
        assert_eq!(events_so_far(&bench).await, [(FIRST.to_owned(), EventKind::Opened)]);
    }

    async fn somebody_elses_write_is_read_and_decided_on(bench) {
        let (mut one, mut other) = (plain_worker(&bench, 0).await, plain_worker(&bench, 1).await);
        settle(&mut one, vec![record(&es_it(1, 4799, 5499))]).await;
        // Another owner closes it; this one still holds the open state and would improve it.
        settle(&mut other, vec![record(&es_it(2, 5400, 5499))]).await;
        settle(&mut one, vec![record(&es_it(3, 4500, 5499))]).await;
        let stored = bench.opportunity(ROUTE).await.unwrap();
        assert_eq!((stored.event_seq, stored.last_event.kind, stored.evaluation.revision), (3, EventKind::Opened, 3));
    }

    async fn what_is_known_of_a_product_is_not_read_again(bench) {
        let faulty = Faulty::over(&bench, &[]);
        let mut worker = worker(&bench, faulty.clone(), &[ES, IT, UK], 0).await;
        for revision in 1..5 {
            settle(&mut worker, vec![record(&es_it(revision, 4799, 5499 + revision))]).await;
        }
        // A marketplace that the product did not have before makes further routes only if it is not configured.
        let with_uk = product(ASIN, 5, NOON, &[(ES, Some(4799)), (IT, Some(5499)), (UK, Some(1))]);
        settle(&mut worker, vec![record(&with_uk)]).await;
        assert_eq!(*faulty.reads.lock().unwrap(), 1);
        let with_us = product(ASIN, 6, NOON, &[(ES, Some(4799)), (IT, Some(5499)), (Marketplace::US, Some(1))]);
        settle(&mut worker, vec![record(&with_us)]).await;
        assert_eq!(*faulty.reads.lock().unwrap(), 2);
    }

    async fn a_marketplace_that_is_no_longer_configured_closes_its_routes(bench) {
        bench.store(&es_it(1, 4799, 5499)).await;
        settle(&mut plain_worker(&bench, 0).await, vec![request(NOON)]).await;
        let mut narrow = worker(&bench, Arc::clone(&bench.catalog), &[IT, UK], 600_000).await;
        settle(&mut narrow, vec![request(NOON.plus_millis(600_000))]).await;
        let stored = bench.opportunity(ROUTE).await.unwrap();
        assert_eq!((stored.is_active, stored.closed_reason), (false, Some(ClosedReason::Config)));
    }

    async fn the_whole_log_read_again_changes_nothing(bench) {
        let history: Vec<_> = (1..30_i64).map(|revision| es_it(revision, 4000 + 200 * (revision % 7), 5000)).collect();
        let mut first = plain_worker(&bench, 0).await;
        for product in &history {
            settle(&mut first, vec![record(product)]).await;
        }
        let stored = bench.opportunity(ROUTE).await;
        let told = events_so_far(&bench).await;
        let mut again = plain_worker(&bench, 1000).await;
        for product in &history {
            settle(&mut again, vec![record(product)]).await;
        }
        assert_eq!(bench.opportunity(ROUTE).await, stored);
        let repeated = events_so_far(&bench).await.split_off(told.len());
        // Only the last alert and the update that followed it may not have left, as far as a new owner can know.
        assert_eq!(repeated, told[told.len() - 2..]);
    }

    async fn a_worker_gives_up_when_its_lease_is_lost_and_not_before(bench) {
        let faulty = Faulty::over(&bench, &[Fault::Away; 100]);
        let mut worker = worker(&bench, faulty, &[ES, IT, UK], 0).await;
        let lease = worker.lease.clone();
        let settle = worker.settle(vec![record(&es_it(1, 4799, 5499))]);
        tokio::pin!(settle);
        assert!(tokio::time::timeout(Duration::from_millis(500), &mut settle).await.is_err());
        lease.end();
        assert_eq!(within("giving up", settle).await, Err(LeaseLost));
    }
}
