//! Sweeps: a request to evaluate again for every product in the catalog.
//!
//! A sweep evaluates nothing itself: it publishes a record without a value per ASIN, so that all evaluation of a product
//! stays with the owner of its partition. Progress is stored per page; a restart goes on from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{self, StreamExt as _};
use shared::adapters::kafka::{Message, Publisher, Topic};
use shared::domain::{Asin, UnixMillis};
use shared::ports::Catalog;
use shared::ports::catalog::{CatalogError, ProductQuery, ProductSort, Sort};
use shared::wire::job::JobParameters;
use shared::wire::{JobKind, JobRequest};
use tokio::sync::mpsc;

use crate::jobs::Queues;
use crate::patience::{Patience, publish_until_confirmed};
use crate::runs::{Created, Lost, OwnedRun, Runs};

/// Products of one step; progress is stored after each.
const PAGE: usize = 200;
/// Requests on their way at once.
const PUBLISHING_AT_ONCE: usize = 64;

/// How often a sweep begins anew because its cursor is no longer valid.
const MAX_RESTARTS: u32 = 3;

/// The header that says why a record has no value.
pub(crate) const REASON: &str = "reason";
/// Its value.
pub(crate) const REEVALUATE: &str = "reevaluate";

/// Asks for sweeps from within the process: at start, for new rates, when it becomes known whether data is simulated.
#[derive(Clone)]
pub(crate) struct SweepRequests {
    runs: Runs,
    queues: Queues,
    /// One of these sweeps waits to begin: it will see all that changed until then.
    waiting: Arc<AtomicBool>,
}

impl SweepRequests {
    pub(crate) fn new(runs: Runs, queues: Queues) -> Self {
        SweepRequests {
            runs,
            queues,
            waiting: Arc::default(),
        }
    }

    /// Asks for a sweep, unless one waits already. `job` names the run: `sweep-on-start`.
    pub(crate) async fn request(&self, job: &'static str) {
        if self.waiting.swap(true, Ordering::AcqRel) {
            return;
        }
        let tick = (self.runs.clock)();
        let request = own_request(job, JobKind::Sweep, tick);
        match self.runs.create(request).await {
            Created::Owned(owned) => self.queues.hand_over(&self.runs, *owned).await,
            // Another replica, at the same millisecond: its sweep is as good.
            Created::Exists(_) => self.waiting.store(false, Ordering::Release),
            Created::Refused(reason) => {
                self.waiting.store(false, Ordering::Release);
                tracing::error!(job, reason, "the run of a sweep cannot be created");
            }
        }
    }
}

/// A request that the detector makes of itself.
pub(crate) fn own_request(job: &str, kind: JobKind, tick: UnixMillis) -> JobRequest {
    JobRequest {
        v: 1,
        job: job.into(),
        run_id: JobRequest::run_id(job, tick),
        kind,
        tick,
        priority: 0,
        token_budget: None,
        parameters: JobParameters::default(),
    }
}

/// Carries sweeps out, one after another.
pub(crate) struct Sweeper {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) publisher: Publisher,
    pub(crate) patience: Patience,
    pub(crate) runs: Runs,
    pub(crate) requests: SweepRequests,
}

impl Sweeper {
    /// Works until the queue is closed.
    pub(crate) async fn work(&self, mut queue: mpsc::Receiver<OwnedRun>) {
        while let Some(mut owned) = queue.recv().await {
            // What changes from now on may be missed by this sweep, so the next one is not the same.
            self.requests.waiting.store(false, Ordering::Release);
            let _ = self.carry_out(&mut owned).await;
            self.runs.put_down(&owned.run.id);
        }
    }

    async fn carry_out(&self, owned: &mut OwnedRun) -> Result<(), Lost> {
        self.runs.begin(owned).await?;
        let mut restarts = 0;
        loop {
            let page = self.page(owned.run.progress.cursor.clone()).await;
            let Some((asins, next)) = page else {
                // A cursor does not outlive everything: from the beginning then, asking twice does no harm.
                owned.run.progress.cursor = None;
                restarts += 1;
                if restarts > MAX_RESTARTS {
                    return self.runs.finish(owned, Some("the catalog refuses its own cursors".into())).await;
                }
                continue;
            };
            let count = asins.len() as u64;
            self.ask(asins).await;
            owned.run.products = owned.run.products.saturating_add(count);
            owned.run.progress.cursor = next;
            if owned.run.progress.cursor.is_none() {
                self.runs.finish(owned, None).await?;
                tracing::info!(run_id = owned.run.id, products = owned.run.products, "swept");
                return Ok(());
            }
            self.runs.save(owned).await?;
        }
    }

    /// The ASINs of one page and where the next one begins; `None` if the cursor is no longer valid.
    async fn page(&self, cursor: Option<String>) -> Option<(Vec<Asin>, Option<String>)> {
        let query = ProductQuery {
            text: None,
            market: None,
            brand: None,
            category: None,
            active: None,
            price_bounds: std::collections::BTreeMap::new(),
            sort: Sort {
                field: ProductSort::Asin,
                descending: false,
            },
            limit: PAGE,
            cursor,
        };
        let search = || async {
            match self.catalog.search_products(&query).await {
                Err(CatalogError::InvalidCursor { .. }) => Ok(None),
                answer => answer.map(Some),
            }
        };
        let page = self.patience.until_answered("list products", search).await?;
        Some((page.items.iter().map(|stored| stored.product.asin).collect(), page.next_cursor))
    }

    async fn ask(&self, asins: Vec<Asin>) {
        let made_at = (self.runs.clock)();
        stream::iter(asins)
            .map(|asin| {
                let message = Message::new(asin.as_str(), None).with_header(REASON, REEVALUATE).with_timestamp_ms(made_at.0);
                publish_until_confirmed(&self.publisher, Topic::EnrichedProducts, message)
            })
            .buffer_unordered(PUBLISHING_AT_ONCE)
            .collect::<()>()
            .await;
    }
}
