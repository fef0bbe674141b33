//! [`Owner`]: the one that holds the key. It decides what to ask (plan, jobs, tokens: all pure), asks, publishes, stores, in
//! this order, one request at a time; so a crash repeats at most one request.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::adapters::kafka::Publisher;
use shared::domain::{Asin, UnixMillis};
use shared::health::Condition;
use shared::ports::Ports;
use shared::retry::Backoff;
use shared::wire::state::{ProducerStatus, RunStatus};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::jobs::{self, DealPage, Job, Step};
use crate::keepa::request::PRODUCT_COST;
use crate::keepa::response::Products;
use crate::keepa::tokens::Pace;
use crate::keepa::{Admit, Answer, AskError, Client, Request, TokenBucket};
use crate::metrics;
use crate::plan::{PROBE_EVERY_MS, Plan, Seen, Share, Turn};
use crate::publish::{self, FetchClock, Origin};
use crate::round::{Batch, Verdict};
use crate::status::{self, StatusBoard, SteadyClock};
use crate::watchlist::{BY_DEMO, BY_FILE, WatchlistStore};

/// How often new runs are looked for besides being told of them.
const FIND_RUNS_EVERY: Duration = Duration::from_secs(2);
/// How long the loop sleeps at most: there is always something to tend.
const TEND_EVERY: Duration = Duration::from_secs(1);
/// How long the request in flight and its products are still tried for after the shutdown.
pub(crate) const GRACE: Duration = Duration::from_millis(2_500);
/// How long storing may take at the end.
const FINAL_SAVE: Duration = Duration::from_millis(1_500);
/// A server error is tried again this often before the request itself is suspected.
const SERVER_ERRORS: u32 = 4;
/// So many failures in a row make Keepa count as down.
const DOWN_AFTER: u32 = 3;
/// Between these and half as much more: waits after failures, a minute at most.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(500);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(40);
const PROBE_EVERY: Duration = Duration::from_millis(PROBE_EVERY_MS);

/// What the owner works with, and when it has to stop.
pub(crate) struct Means<'m> {
    pub(crate) config: &'m Config,
    pub(crate) ports: &'m Ports,
    pub(crate) client: &'m Client,
    pub(crate) publisher: &'m Publisher,
    pub(crate) clock: &'m mut FetchClock,
    /// Runs may have been accepted.
    pub(crate) accepted: &'m Notify,
    /// Nothing new is begun.
    pub(crate) stop: &'m CancellationToken,
    /// What is in flight is given up.
    pub(crate) over: &'m CancellationToken,
}

/// The owner of the key and the bucket.
pub(crate) struct Owner<'m> {
    means: Means<'m>,
    steady: SteadyClock,
    bucket: TokenBucket,
    pace: Pace,
    plan: Plan,
    store: WatchlistStore,
    jobs: Vec<Job>,
    share: Share,
    status: StatusBoard,
    /// `up`, or why not.
    keepa: String,
    fault: Option<Fault>,
    paused_until: Option<Instant>,
    pauses: Backoff,
    /// In a row, at one batch of the watchlist.
    server_errors: u32,
    waits: u32,
    find_runs_at: Instant,
    save_at: Instant,
    saves: Backoff,
}

/// The key or the parameters are refused: one ASIN a minute is tried.
struct Fault {
    next_probe: Instant,
    /// What was refused, for want of a watchlist.
    others: Vec<Asin>,
}

/// Who asks for products.
#[derive(Debug, Clone, PartialEq)]
enum Work {
    ReadMeter,
    Watchlist(Batch),
    Probe(Batch),
    /// Of the run with this id.
    Job(String, Step),
}

enum Next {
    Do(Work),
    Sleep(Duration),
}

/// What a failed request leads to.
enum Failure {
    /// The same again, later.
    Again,
    /// Keepa itself failed: the same again a few times, then it may be what is asked.
    ServerError(String),
    /// The request is refused for what it asks.
    Refused(String),
    /// Not paid for, or not there: nobody will be served.
    Denied(String),
}

/// Of what the watchlist asks for.
const WATCHLIST: Origin<'_> = Origin {
    source: "watchlist",
    run_id: None,
};

impl<'m> Owner<'m> {
    pub(crate) fn new(means: Means<'m>, now: Instant) -> Self {
        let refresh_ms = i64::try_from(means.config.refresh.as_millis()).unwrap_or(i64::MAX);
        Owner {
            steady: SteadyClock::starting(UnixMillis::now(), now),
            bucket: TokenBucket::default(),
            pace: Pace::new(now),
            plan: Plan::new(means.config.markets.clone(), refresh_ms),
            store: WatchlistStore::default(),
            jobs: Vec::new(),
            share: Share::default(),
            status: StatusBoard::default(),
            keepa: "not asked yet".to_owned(),
            fault: None,
            paused_until: None,
            pauses: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            server_errors: 0,
            waits: 0,
            find_runs_at: now,
            save_at: now,
            saves: Backoff::for_outside_systems(),
            means,
        }
    }

    /// Works until told to stop.
    pub(crate) async fn run(mut self) {
        tracing::info!(simulated = self.means.config.simulated, "this producer owns the key");
        if self.load().await {
            while !self.means.stop.is_cancelled() {
                self.turn().await;
            }
            if tokio::time::timeout(FINAL_SAVE, self.save()).await.is_err() {
                tracing::warn!("what was asked last could not be stored in time and may be asked again");
            }
        }
        tracing::info!("this producer no longer owns the key");
    }

    /// One turn of the loop: tend, decide, do.
    async fn turn(&mut self) {
        self.tend().await;
        match self.decide(Instant::now()) {
            Next::Do(work) => {
                // Tokens are spent only while there is somewhere to put what they buy.
                if publish::log_answers(&self.means.ports.event_log, &self.means.ports.health, self.means.stop).await {
                    Box::pin(self.perform(work)).await;
                }
            }
            Next::Sleep(delay) => tokio::select! {
                () = tokio::time::sleep(delay.min(TEND_EVERY)) => {}
                () = self.means.accepted.notified() => self.find_runs_at = Instant::now(),
                () = self.means.stop.cancelled() => {}
            },
        }
    }

    /// Reads the watchlist and the runs, trying again until it is done. False if told to stop before.
    async fn load(&mut self) -> bool {
        let mut backoff = Backoff::for_outside_systems();
        loop {
            let attempt = async {
                let config = self.means.config;
                status::refuse_mixed_data(self.means.ports.catalog.as_ref(), config.simulated).await?;
                self.write_status().await;
                let demo: &[Asin] = if config.simulated { &config.initial_asins } else { &[] };
                let wanted = [(BY_FILE, config.watchlist.asins.as_slice()), (BY_DEMO, demo)];
                let catalog = self.means.ports.catalog.as_ref();
                self.store.load(catalog, &mut self.plan, &wanted, self.steady.at(Instant::now())).await?;
                self.find_runs(&[RunStatus::Running, RunStatus::Queued]).await
            };
            match attempt.await {
                Ok(()) => {
                    tracing::info!(asins = self.plan.len(), runs = self.jobs.len(), "watchlist loaded");
                    return true;
                }
                Err(error) => {
                    tracing::warn!(%error, "the watchlist cannot be loaded yet");
                    self.means.ports.health.down("keepa", format!("nothing is asked: {error}"), UnixMillis::now());
                }
            }
            if backoff.wait(self.means.stop).await.is_err() {
                return false;
            }
        }
    }

    /// New runs, what is to be stored, the status.
    async fn tend(&mut self) {
        let now = Instant::now();
        if now >= self.find_runs_at {
            self.find_runs_at = now + FIND_RUNS_EVERY;
            if let Err(error) = self.find_runs(&[RunStatus::Queued]).await {
                tracing::debug!(%error, "runs cannot be looked for");
            }
        }
        if now >= self.save_at {
            self.save().await;
        }
        self.write_status().await;
    }

    async fn find_runs(&mut self, statuses: &[RunStatus]) -> Result<(), shared::ports::catalog::CatalogError> {
        let found = jobs::find_unfinished(self.means.ports.catalog.as_ref(), statuses).await?;
        let now = self.steady.at(Instant::now());
        for (run, version) in found {
            if self.jobs.iter().any(|job| job.run().id == run.id) {
                continue;
            }
            let job = Job::resume(run, version, now);
            // What it asks for is left to it, also while it waits for its turn.
            self.plan.reserve(&job.pending_asins(), &job.run().request.job, now);
            self.jobs.push(job);
        }
        self.jobs.sort_by_key(|job| jobs::order(job.run()));
        Ok(())
    }

    /// Stores what changed. What cannot be stored now is stored later; no step of a run is taken before.
    async fn save(&mut self) {
        let mut failed = None;
        let catalog = self.means.ports.catalog.as_ref();
        let mut kept = Vec::with_capacity(self.jobs.len());
        for mut job in std::mem::take(&mut self.jobs) {
            if !job.is_unsaved() {
                kept.push(job);
                continue;
            }
            match job.save(catalog).await {
                Ok(true) if job.is_over() => {
                    let run = job.run();
                    tracing::info!(
                        run_id = run.id,
                        status = run.status.name(),
                        products = run.products,
                        tokens = run.tokens,
                        error = run.error,
                        "run ended"
                    );
                }
                Ok(true) => kept.push(job),
                Ok(false) => {
                    tracing::warn!(run_id = job.run().id, "somebody else changed the run, it is left to him");
                    for asin in job.pending_asins() {
                        self.plan.release(asin);
                    }
                }
                Err(error) => {
                    failed = Some(error);
                    kept.push(job);
                }
            }
        }
        self.jobs = kept;
        if self.plan.has_unsaved()
            && let Err(error) = self.store.save(catalog, &mut self.plan).await
        {
            failed = Some(error);
        }
        match failed {
            Some(error) => {
                let delay = self.saves.next_delay();
                self.save_at = Instant::now() + delay;
                tracing::warn!(%error, "what was asked cannot be stored yet");
            }
            None => self.saves.reset(),
        }
    }

    async fn write_status(&mut self) {
        let meter = self.bucket.meter();
        let status = ProducerStatus {
            simulated: self.means.config.simulated,
            tokens_left: meter.map(|meter| meter.tokens_left),
            refill_rate: meter.map(|meter| meter.refill_rate),
            keepa: self.keepa.clone(),
            at: UnixMillis::now(),
        };
        if let Err(error) = self.status.tend(self.means.ports.catalog.as_ref(), status, Instant::now()).await {
            tracing::debug!(%error, "the status cannot be stored yet");
        }
    }

    /// What to do now. Changes nothing that an answer would have to undo.
    fn decide(&mut self, now: Instant) -> Next {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Next::Sleep(until - now);
        }
        if let Some(next) = self.decide_probe(now) {
            return next;
        }
        if self.bucket.meter().is_none() {
            return self.when_admitted(Work::ReadMeter, 0, now);
        }
        let at = self.steady.at(now);
        let tokens = self.bucket.balance(now).unwrap_or(0);
        let job = self.jobs.iter().position(|job| job.is_ready(now));
        let is_jobs_turn = self.share.is_jobs_turn(self.plan.has_due(at), job.is_some());
        if let Some(index) = job.filter(|_| is_jobs_turn) {
            return self.decide_job(index, tokens, at, now);
        }
        match self.plan.next(tokens, at) {
            Turn::Ask(batch) => {
                let cost = cost_of(&batch);
                self.when_admitted(Work::Watchlist(batch), cost, now)
            }
            Turn::Save(needed) => Next::Sleep(self.wait_for(needed, now)),
            Turn::Later(due) => Next::Sleep(Duration::from_millis(due.millis_since(at).max(1).unsigned_abs())),
            Turn::Nothing => Next::Sleep(TEND_EVERY),
        }
    }

    fn decide_probe(&mut self, now: Instant) -> Option<Next> {
        let fault = self.fault.as_ref()?;
        if fault.next_probe > now {
            return Some(Next::Sleep(fault.next_probe - now));
        }
        let Some(batch) = self.plan.probe(&fault.others) else {
            // Nobody to try it with: the meter is asked instead.
            return Some(self.when_admitted(Work::ReadMeter, 0, now));
        };
        Some(match self.bucket.admit(cost_of(&batch), now) {
            // One ASIN is tried even without a reading: `/token` may be what is refused.
            Admit::Now | Admit::ReadFirst | Admit::Never { .. } => Next::Do(Work::Probe(batch)),
            Admit::Wait(delay) => Next::Sleep(delay),
        })
    }

    fn decide_job(&mut self, index: usize, tokens: i64, at: UnixMillis, now: Instant) -> Next {
        let job = &mut self.jobs[index];
        if !job.is_begun() {
            job.begin(&mut self.plan, at);
            return Next::Sleep(Duration::ZERO);
        }
        job.skip_asked(&mut self.plan);
        let step = job.next_step(&self.means.config.markets, tokens, &self.plan, at);
        if let Step::Finish(note) = step {
            job.succeed(note, &mut self.plan, UnixMillis::now());
            return Next::Sleep(Duration::ZERO);
        }
        let cost = step.cost();
        let work = Work::Job(job.run().id.clone(), step);
        self.when_admitted(work, cost, now)
    }

    fn when_admitted(&mut self, work: Work, cost: i64, now: Instant) -> Next {
        match self.bucket.admit(cost, now) {
            Admit::Now => {
                let paced = self.pace.take(cost, now);
                match paced {
                    Err(delay) if self.bucket.is_nearly_empty_after(cost, now) => Next::Sleep(delay),
                    _ => Next::Do(work),
                }
            }
            Admit::Wait(delay) => Next::Sleep(delay),
            Admit::ReadFirst => Next::Do(Work::ReadMeter),
            Admit::Never { capacity } => {
                tracing::error!(cost, capacity, "a request costs more than the token bucket holds");
                Next::Sleep(TEND_EVERY)
            }
        }
    }

    fn wait_for(&self, needed: i64, now: Instant) -> Duration {
        let capacity = self.bucket.meter().map_or(needed, |meter| meter.capacity());
        match self.bucket.admit(needed.min(capacity), now) {
            Admit::Wait(delay) => delay,
            _ => Duration::from_millis(10),
        }
    }

    async fn perform(&mut self, work: Work) {
        match work {
            Work::ReadMeter => self.read_meter().await,
            Work::Watchlist(batch) => self.ask_for_watchlist(batch).await,
            Work::Probe(batch) => self.probe(batch).await,
            Work::Job(run_id, Step::Details(batch)) => self.ask_for_details(&run_id, batch).await,
            Work::Job(run_id, step) => self.list(&run_id, step).await,
        }
    }

    async fn read_meter(&mut self) {
        let client = self.means.client;
        let Some(result) = self.metered(0, client.token()).await else { return };
        match result {
            Ok(_) => {
                if self.plan.is_empty() {
                    self.fault = None;
                }
                self.keepa_answered();
            }
            Err(error) => match self.failed(&error) {
                Failure::Again | Failure::ServerError(_) => {}
                Failure::Refused(reason) | Failure::Denied(reason) => {
                    let soon = self.fault.is_none();
                    self.at_fault(reason, Vec::new());
                    // A server without `/token` may well have products: that is found out at once.
                    if let Some(fault) = self.fault.as_mut().filter(|_| soon && !self.plan.is_empty()) {
                        fault.next_probe = Instant::now();
                    }
                }
            },
        }
    }

    async fn ask_for_watchlist(&mut self, batch: Batch) {
        let cost = cost_of(&batch);
        self.share.spent(false, cost);
        match self.ask_and_publish(&batch, cost, WATCHLIST).await {
            Asked::Published { seen, .. } => {
                self.server_errors = 0;
                let culprits = self.plan.answered(&batch, &seen);
                report_refused(&culprits);
            }
            Asked::ServerError(reason) => {
                self.server_errors += 1;
                if self.server_errors >= SERVER_ERRORS {
                    self.server_errors = 0;
                    self.watchlist_refused(batch, reason);
                }
            }
            Asked::Refused(reason) => self.watchlist_refused(batch, reason),
            Asked::Denied(reason) => self.at_fault(reason, batch.asins),
            Asked::NotNow => {}
        }
    }

    fn watchlist_refused(&mut self, batch: Batch, reason: String) {
        match self.plan.refused(&batch) {
            Verdict::Culprits(culprits) => report_refused(&culprits),
            Verdict::AtFault => self.at_fault(reason, batch.asins),
        }
    }

    async fn probe(&mut self, batch: Batch) {
        let cost = cost_of(&batch);
        match self.ask_and_publish(&batch, cost, WATCHLIST).await {
            Asked::Published { seen, .. } => {
                self.fault = None;
                tracing::info!("keepa accepts requests again");
                self.keepa_answered();
                let at = self.steady.at(Instant::now());
                self.plan.probe_answered(&batch, &seen, at);
                for job in &mut self.jobs {
                    job.round().key_is_proven();
                }
            }
            Asked::Refused(reason) | Asked::Denied(reason) | Asked::ServerError(reason) => self.at_fault(reason, batch.asins),
            Asked::NotNow => {}
        }
    }

    async fn ask_for_details(&mut self, run_id: &str, batch: Batch) {
        let cost = cost_of(&batch);
        self.share.spent(true, cost);
        let Some(source) = self.job(run_id).map(|job| job.source()) else { return };
        let asked = self.ask_and_publish(&batch, cost, Origin { source, run_id: Some(run_id) }).await;
        let Some(index) = self.jobs.iter().position(|job| job.run().id == run_id) else {
            return;
        };
        let (job, plan) = (&mut self.jobs[index], &mut self.plan);
        match asked {
            Asked::Published { seen, published, tokens } => {
                let culprits = job.round().accepted(&batch);
                plan.job_answered(&batch, &seen, job.round_began());
                plan.note_refused(&culprits, batch.market, job.round_began());
                report_refused(&culprits);
                let settled: Vec<Asin> = batch.asins.iter().chain(&culprits).copied().collect();
                job.note_details(&settled, published, tokens, plan);
            }
            Asked::ServerError(reason) => {
                if job.note_failure(true, Instant::now()) >= SERVER_ERRORS {
                    self.details_refused(index, batch, reason);
                }
            }
            Asked::Refused(reason) => self.details_refused(index, batch, reason),
            Asked::Denied(reason) => self.at_fault(reason, batch.asins),
            Asked::NotNow => {
                job.note_failure(false, Instant::now());
            }
        }
    }

    fn details_refused(&mut self, index: usize, batch: Batch, reason: String) {
        let (job, plan) = (&mut self.jobs[index], &mut self.plan);
        let blames = plan.blames(&batch);
        match job.round().refused(&batch, blames) {
            Verdict::Culprits(culprits) => {
                plan.note_refused(&culprits, batch.market, job.round_began());
                report_refused(&culprits);
                // Also where the search has only begun: a step forward, and the next is asked without a pause.
                job.note_details(&culprits, 0, 0, plan);
            }
            Verdict::AtFault => self.at_fault(reason, batch.asins),
        }
    }

    /// A step that finds articles: roots, a category's best sellers, a page of deals.
    async fn list(&mut self, run_id: &str, step: Step) {
        let cost = step.cost();
        self.share.spent(true, cost);
        let client = self.means.client;
        let listed = match &step {
            Step::Roots(Request::Categories { market, ids }) => {
                let roots = |categories: Vec<crate::keepa::response::Category>| Listed::Roots(categories.iter().map(|category| category.id).collect());
                self.metered(cost, async { client.categories(*market, ids).await.map(roots) }).await
            }
            Step::Category(Request::BestSellers { market, category }, _) => {
                let category = *category;
                self.metered(cost, async {
                    client.best_sellers(*market, category).await.map(|asins| Listed::Category(category, asins))
                })
                .await
            }
            Step::DealPage(Request::Deals { market, page }, _) => {
                let page = *page;
                let listed = move |deals: crate::keepa::response::Deals| {
                    let entries = deals.deals.len() + deals.unreadable;
                    Listed::DealPage(DealPage {
                        number: page,
                        entries,
                        asins: deals.deals.iter().map(|deal| deal.asin).collect(),
                    })
                };
                self.metered(cost, async { client.deals(*market, page).await.map(listed) }).await
            }
            _ => return,
        };
        let Some(listed) = listed else { return };
        let failure = match &listed {
            Ok(_) => None,
            Err(error) => Some(self.failed(error)),
        };
        if failure.is_none() {
            self.keepa_answered();
        }
        let at = self.steady.at(Instant::now());
        let Some(index) = self.jobs.iter().position(|job| job.run().id == run_id) else {
            return;
        };
        let (job, plan, markets) = (&mut self.jobs[index], &mut self.plan, &self.means.config.markets);
        match (listed, failure) {
            (Ok((Listed::Roots(ids), tokens)), _) => job.note_roots(&ids, tokens),
            (Ok((Listed::Category(category, asins), tokens)), _) => job.note_category(category, &asins, markets, plan, tokens, at),
            (Ok((Listed::DealPage(page), tokens)), _) => job.note_deal_page(&page, markets, plan, tokens, at),
            (Err(_), Some(Failure::Refused(reason) | Failure::Denied(reason))) => job.fail(reason, plan, UnixMillis::now()),
            (Err(_), Some(Failure::ServerError(reason))) => {
                if job.note_failure(true, Instant::now()) >= SERVER_ERRORS {
                    job.fail(reason, plan, UnixMillis::now());
                }
            }
            (Err(_), _) => {
                job.note_failure(false, Instant::now());
            }
        }
    }

    fn job(&self, run_id: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.run().id == run_id)
    }

    /// Asks for products and has the log confirm them.
    async fn ask_and_publish(&mut self, batch: &Batch, cost: i64, origin: Origin<'_>) -> Asked {
        let client = self.means.client;
        let result = self.metered(cost, client.products(batch.market, &batch.asins, batch.history)).await;
        let (products, tokens) = match result {
            None => return Asked::NotNow,
            Some(Ok(answer)) => answer,
            Some(Err(error)) => {
                return match self.failed(&error) {
                    Failure::Again => Asked::NotNow,
                    Failure::ServerError(reason) => Asked::ServerError(reason),
                    Failure::Refused(reason) => Asked::Refused(reason),
                    Failure::Denied(reason) => Asked::Denied(reason),
                };
            }
        };
        if self.fault.is_none() {
            self.keepa_answered();
        }
        let seen = seen_in(&products);
        if products.unreadable > 0 {
            tracing::warn!(count = products.unreadable, marketplace = %batch.market, "keepa sent products that name no asin");
        }
        let means = &mut self.means;
        let published = publish::publish_all(means.publisher, means.clock, products.found, origin, &means.ports.health, means.over).await;
        tracing::debug!(
            source = origin.source,
            marketplace = %batch.market,
            asked = batch.asins.len(),
            published = published.confirmed,
            left_out = seen.missed.len(),
            history = batch.history,
            tokens,
            "products published"
        );
        if published.unconfirmed > 0 {
            tracing::warn!(count = published.unconfirmed, "products were not confirmed in time and will be asked again");
            return Asked::NotNow;
        }
        Asked::Published {
            seen,
            published: u64::try_from(published.confirmed).unwrap_or(u64::MAX),
            tokens,
        }
    }

    /// Has a request's cost counted. `None` where the work was over before the answer came.
    async fn metered<T>(&mut self, cost: i64, asking: impl Future<Output = Answer<T>>) -> Option<Result<(T, i64), AskError>> {
        self.bucket.reserve(cost);
        let answer = tokio::select! {
            answer = asking => answer,
            () = self.means.over.cancelled() => return None,
        };
        match (&answer.meter, answer.tokens_consumed) {
            (Some(meter), _) => {
                self.bucket.observe(*meter, Instant::now());
                self.pace.follow(meter);
            }
            (None, Some(0)) => self.bucket.release(cost),
            // Charged or not, nobody knows: it stays reserved until the next reading.
            (None, _) => {}
        }
        let tokens = answer.tokens_consumed.unwrap_or(cost);
        Some(answer.result.map(|payload| (payload, tokens)))
    }

    fn keepa_answered(&mut self) {
        self.pauses.reset();
        self.waits = 0;
        if self.fault.is_none() {
            self.keepa = "up".to_owned();
            self.means.ports.health.up("keepa", UnixMillis::now());
        }
    }

    /// Sorts a failure, and sees to the waiting.
    fn failed(&mut self, error: &AskError) -> Failure {
        let now = Instant::now();
        match error {
            AskError::Wait { refill_in, endpoint } => {
                // One wait until the tick is Keepa's rule; a storm of them calls for more.
                let storm = if self.waits > 0 || refill_in.is_none() {
                    self.pauses.next_delay()
                } else {
                    Duration::ZERO
                };
                self.waits = self.waits.saturating_add(1);
                let wait = refill_in.unwrap_or(Duration::ZERO).max(storm);
                self.bucket.block(wait, now);
                tracing::info!(
                    endpoint,
                    wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                    "keepa has no tokens left"
                );
                Failure::Again
            }
            AskError::Retry { .. } => {
                self.pause(error.to_string(), now);
                Failure::Again
            }
            AskError::Failed { .. } => {
                self.pause(error.to_string(), now);
                Failure::ServerError(error.to_string())
            }
            AskError::Refused { .. } => Failure::Refused(error.to_string()),
            AskError::PaymentRequired { .. } | AskError::NotFound { .. } => Failure::Denied(error.to_string()),
        }
    }

    fn pause(&mut self, reason: String, now: Instant) {
        self.paused_until = Some(now + self.pauses.next_delay());
        if self.pauses.attempts() >= DOWN_AFTER {
            return self.keepa_is_down(reason);
        }
        // A single failure is everyday life.
        self.keepa = reason.clone();
        self.means.ports.health.set("keepa", Condition::Degraded { reason }, UnixMillis::now());
    }

    fn at_fault(&mut self, reason: String, others: Vec<Asin>) {
        let held = self.fault.take().map(|fault| fault.others).unwrap_or_default();
        let others = if held.is_empty() { others } else { held };
        self.fault = Some(Fault {
            next_probe: Instant::now() + PROBE_EVERY,
            others,
        });
        self.keepa_is_down(reason);
    }

    fn keepa_is_down(&mut self, reason: String) {
        self.keepa = reason.clone();
        self.means.ports.health.set("keepa", Condition::Down { reason }, UnixMillis::now());
    }
}

/// What became of a product request.
enum Asked {
    Published {
        seen: Seen,
        published: u64,
        tokens: i64,
    },
    ServerError(String),
    Refused(String),
    Denied(String),
    /// It will be asked again.
    NotNow,
}

enum Listed {
    Roots(Vec<i64>),
    Category(i64, Vec<Asin>),
    DealPage(DealPage),
}

fn cost_of(batch: &Batch) -> i64 {
    PRODUCT_COST * i64::try_from(batch.asins.len()).unwrap_or(i64::MAX / PRODUCT_COST)
}

/// Left out, or said to be no article: either way there is nothing to come back for soon.
fn seen_in(products: &Products) -> Seen {
    let invalid = products.found.iter().filter(|product| product.is_invalid_asin()).map(|product| product.asin);
    let missed: BTreeSet<Asin> = products.left_out.iter().copied().chain(invalid).collect();
    Seen { missed }
}

fn report_refused(asins: &[Asin]) {
    for asin in asins {
        metrics::REFUSED_ASINS.inc();
        tracing::warn!(%asin, "keepa refuses this asin, it is asked for again in a later cycle");
    }
}
