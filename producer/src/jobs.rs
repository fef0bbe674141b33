//! [`Job`]: a run of a scrape or a deals scan, step by step. What the next step is, is pure; progress is stored after each
//! step, so that a restart goes on where it was and pays for nothing twice.
//!
//! - A scrape lists the best sellers of its categories (given, or all roots of the marketplace), one category at a time,
//!   and asks for the details of each one's first articles in all `MARKETS` before it lists the next.
//! - A deals scan does the same page by page.
//! - What was asked since the run was accepted, by the run itself or by the watchlist, is not asked again.
//! - A run that has spent its token budget ends: succeeded, with a note; what was still pending is dropped.

use std::collections::BTreeSet;

use shared::domain::{Asin, Marketplace, UnixMillis};
use shared::ports::Catalog;
use shared::ports::catalog::{CatalogError, Condition, StateKind, StateQuery, StateRecord, Version, Versioned, Write, WriteOutcome};
use shared::retry::Backoff;
use shared::wire::job::{JobKind, JobRequest};
use shared::wire::state::{Run, RunProgress, RunStatus};
use tokio::time::Instant;

use crate::keepa::Request;
use crate::keepa::request::{DEALS_PER_PAGE, PRODUCT_COST};
use crate::owner::{FIRST_PAUSE, LONGEST_PAUSE};
use crate::plan::Plan;
use crate::round::{Batch, Round};

/// Articles taken per category or page where the job does not say.
pub const DEFAULT_LIMIT: u32 = 50;
/// Pages of deals looked at.
pub const DEAL_PAGES: u32 = 3;
/// Runs read per page.
const PAGE: usize = 100;
/// In `progress.cursor` of a deals scan: the last page was seen.
const NO_MORE_PAGES: &str = "end";

/// What a run does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The root categories are to be found out.
    Roots(Request),
    /// A category's best sellers are to be listed.
    Category(Request, i64),
    /// A page of deals is to be listed.
    DealPage(Request, u32),
    /// Details are to be asked for.
    Details(Batch),
    /// Nothing is left; a note says why it ended early.
    Finish(Option<String>),
}

impl Step {
    /// The most tokens it can cost.
    #[must_use]
    pub fn cost(&self) -> i64 {
        match self {
            Step::Roots(request) | Step::Category(request, _) | Step::DealPage(request, _) => request.cost(),
            Step::Details(batch) => PRODUCT_COST * i64::try_from(batch.asins.len()).unwrap_or(i64::MAX / PRODUCT_COST),
            Step::Finish(_) => 0,
        }
    }
}

/// A page of deals, as listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DealPage {
    /// From 0.
    pub number: u32,
    /// How many entries it had, readable or not.
    pub entries: usize,
    /// The articles.
    pub asins: Vec<Asin>,
}

/// A run and how far it is.
#[derive(Debug)]
pub struct Job {
    run: Run,
    round: Round,
    round_began: UnixMillis,
    version: Version,
    begun: bool,
    unsaved: bool,
    pauses: Backoff,
    server_errors: u32,
    not_before: Option<Instant>,
}

impl Job {
    /// Goes on with a run as stored.
    #[must_use]
    pub fn resume(run: Run, version: Version, now: UnixMillis) -> Self {
        let round = Round::new(run.progress.pending.clone());
        Job {
            run,
            round,
            round_began: now,
            version,
            begun: false,
            unsaved: false,
            pauses: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            server_errors: 0,
            not_before: None,
        }
    }

    /// The run as it is now.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The batches of its details.
    pub fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    /// `scrape` or `deals`, as records say where they come from.
    #[must_use]
    pub fn source(&self) -> &'static str {
        self.run.request.kind.name()
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.run.status, RunStatus::Succeeded | RunStatus::Failed)
    }

    /// Whether it was begun by this owner.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.begun
    }

    /// Whether its state is to be stored.
    #[must_use]
    pub fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    /// All articles still to be asked for.
    #[must_use]
    pub fn pending_asins(&self) -> Vec<Asin> {
        let asins: BTreeSet<Asin> = self.round.pending().into_values().flatten().collect();
        asins.into_iter().collect()
    }

    /// Begins, or begins again after a restart.
    pub fn begin(&mut self, plan: &mut Plan, now: UnixMillis) {
        self.begun = true;
        self.run.status = RunStatus::Running;
        self.run.attempts = self.run.attempts.saturating_add(1);
        self.round_began = now;
        plan.reserve(&self.pending_asins(), &self.run.request.job, now);
        self.unsaved = true;
    }

    /// What comes next with `tokens` at hand.
    #[must_use]
    pub fn next_step(&self, markets: &[Marketplace], tokens: i64, plan: &Plan, now: UnixMillis) -> Step {
        let budget = self.run.request.token_budget;
        let left = budget.map_or(i64::MAX, |budget| budget.saturating_sub(self.run.tokens));
        let step = self.unbounded_step(markets, tokens.min(left), plan, now);
        match (step.cost() > left, budget) {
            (true, Some(budget)) => Step::Finish(Some(format!("stopped at the token budget of {budget}"))),
            _ => step,
        }
    }

    fn unbounded_step(&self, markets: &[Marketplace], tokens: i64, plan: &Plan, now: UnixMillis) -> Step {
        let most = usize::try_from(tokens / PRODUCT_COST).unwrap_or(0);
        let batch = self
            .round
            .next(most, |asin, market| plan.wants_history(asin, market, now), |asin| plan.is_refused(asin));
        if let Some(batch) = batch {
            return Step::Details(batch);
        }
        let parameters = &self.run.request.parameters;
        let Some(market) = parameters.market.or_else(|| markets.first().copied()) else {
            return Step::Finish(None);
        };
        if self.run.request.kind == JobKind::Deals {
            return self.deal_step(market);
        }
        let categories = match (&parameters.categories, &self.run.progress.cursor) {
            (categories, _) if !categories.is_empty() => categories.clone(),
            (_, Some(roots)) => roots.split(',').filter_map(|id| id.parse().ok()).collect(),
            (_, None) => return Step::Roots(Request::Categories { market, ids: vec![0] }),
        };
        let is_listed = |category: &i64| self.run.progress.listed.iter().any(|listed| listed.parse() == Ok(*category));
        match categories.iter().find(|category| !is_listed(category)) {
            Some(&category) => Step::Category(Request::BestSellers { market, category }, category),
            None => Step::Finish(categories.is_empty().then(|| format!("keepa has no categories in {market}"))),
        }
    }

    fn deal_step(&self, market: Marketplace) -> Step {
        let page = u32::try_from(self.run.progress.listed.len()).unwrap_or(u32::MAX);
        if page >= DEAL_PAGES || self.run.progress.cursor.as_deref() == Some(NO_MORE_PAGES) {
            return Step::Finish(None);
        }
        Step::DealPage(Request::Deals { market, page }, page)
    }

    /// The root categories are known.
    pub fn note_roots(&mut self, ids: &[i64], tokens: i64) {
        self.run.progress.cursor = Some(ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        self.spent(tokens);
    }

    /// A category is listed: its best articles are to be asked for in all marketplaces.
    pub fn note_category(&mut self, category: i64, asins: &[Asin], markets: &[Marketplace], plan: &mut Plan, tokens: i64, now: UnixMillis) {
        self.run.progress.listed.push(category.to_string());
        self.ask_for(asins, markets, plan, now);
        self.spent(tokens);
    }

    /// A page of deals is listed.
    pub fn note_deal_page(&mut self, page: &DealPage, markets: &[Marketplace], plan: &mut Plan, tokens: i64, now: UnixMillis) {
        self.run.progress.listed.push(page.number.to_string());
        if page.entries < DEALS_PER_PAGE {
            self.run.progress.cursor = Some(NO_MORE_PAGES.to_owned());
        }
        self.ask_for(&page.asins, markets, plan, now);
        self.spent(tokens);
    }

    fn ask_for(&mut self, asins: &[Asin], markets: &[Marketplace], plan: &mut Plan, now: UnixMillis) {
        let limit = usize::try_from(self.run.request.parameters.limit.unwrap_or(DEFAULT_LIMIT)).unwrap_or(usize::MAX);
        let mut seen = BTreeSet::new();
        let asins: Vec<Asin> = asins.iter().copied().filter(|asin| seen.insert(*asin)).take(limit).collect();
        let asks: Vec<(Marketplace, Vec<Asin>)> = markets.iter().map(|market| (*market, asins.clone())).collect();
        self.round = Round::new(asks);
        self.round_began = now;
        self.skip_asked(plan);
        plan.reserve(&self.pending_asins(), &self.run.request.job, now);
    }

    /// Leaves out what was asked since the run was accepted.
    pub fn skip_asked(&mut self, plan: &mut Plan) {
        let since = self.run.started_at;
        for (market, asins) in self.round.pending() {
            let was_asked = |asin: &Asin| {
                plan.record(*asin)
                    .and_then(|record| record.asked_at.get(&market))
                    .is_some_and(|asked| *asked >= since)
            };
            let asked: Vec<Asin> = asins.into_iter().filter(was_asked).collect();
            if asked.is_empty() {
                continue;
            }
            self.round.remove(market, &asked);
            self.keep_pending();
            for asin in asked {
                if !self.round.contains(asin) {
                    plan.note_complete(asin, since);
                }
            }
        }
    }

    /// A step failed and may be tried again: not at once, so that the watchlist is not held up. Returns how often in a row
    /// Keepa itself failed (`by_server`) at it.
    pub fn note_failure(&mut self, by_server: bool, now: Instant) -> u32 {
        self.server_errors += u32::from(by_server);
        self.not_before = Some(now + self.pauses.next_delay());
        self.server_errors
    }

    /// Whether it may take a step: stored, not over, not waiting after a failure.
    #[must_use]
    pub fn is_ready(&self, now: Instant) -> bool {
        !self.unsaved && !self.is_over() && self.not_before.is_none_or(|not_before| not_before <= now)
    }

    /// Details were answered and published; `asins` are those that were settled by it, refused ones included.
    pub fn note_details(&mut self, asins: &[Asin], published: u64, tokens: i64, plan: &mut Plan) {
        self.run.products = self.run.products.saturating_add(published);
        self.keep_pending();
        for &asin in asins {
            if !self.round.contains(asin) {
                plan.note_complete(asin, self.round_began);
            }
        }
        self.spent(tokens);
    }

    /// When its present details were begun to be asked for.
    #[must_use]
    pub fn round_began(&self) -> UnixMillis {
        self.round_began
    }

    /// Ends well.
    pub fn succeed(&mut self, note: Option<String>, plan: &mut Plan, now: UnixMillis) {
        self.end(RunStatus::Succeeded, note, plan, now);
    }

    /// Ends badly.
    pub fn fail(&mut self, error: String, plan: &mut Plan, now: UnixMillis) {
        self.end(RunStatus::Failed, Some(error), plan, now);
    }

    fn end(&mut self, status: RunStatus, text: Option<String>, plan: &mut Plan, now: UnixMillis) {
        for asin in self.pending_asins() {
            plan.release(asin);
        }
        self.round = Round::default();
        self.run.progress.pending.clear();
        self.run.progress.cursor = None;
        self.run.status = status;
        self.run.error = text;
        self.run.finished_at = Some(now);
        self.unsaved = true;
    }

    /// A step succeeded.
    fn spent(&mut self, tokens: i64) {
        self.pauses.reset();
        self.server_errors = 0;
        self.not_before = None;
        self.run.tokens = self.run.tokens.saturating_add(tokens);
        self.unsaved = true;
    }

    fn keep_pending(&mut self) {
        self.run.progress.pending = self.round.pending();
        self.unsaved = true;
    }

    /// Stores the run. A record that somebody else changed is not overwritten: false, the run is his now.
    ///
    /// # Errors
    /// As the catalog's; the outcome is unknown and the same may be stored again.
    pub async fn save(&mut self, catalog: &dyn Catalog) -> Result<bool, CatalogError> {
        self.run.progress.pending = self.round.pending();
        let record = record_of(&self.run);
        let write = Write {
            value: record.clone(),
            condition: Condition::Unchanged(self.version.clone()),
        };
        let outcome = catalog.write_states(StateKind::Runs, &[write]).await?.pop();
        match outcome {
            Some(WriteOutcome::Written(version)) => {
                self.version = version;
                self.unsaved = false;
                Ok(true)
            }
            Some(WriteOutcome::Conflict) => {
                // Perhaps it was our own write, whose confirmation was lost.
                let stored = catalog.read_states(StateKind::Runs, std::slice::from_ref(&self.run.id)).await?.pop().flatten();
                match stored {
                    Some(stored) if stored.value == record => {
                        self.version = stored.version;
                        self.unsaved = false;
                        Ok(true)
                    }
                    _ => Ok(false),
                }
            }
            Some(WriteOutcome::Refused { reason }) => {
                tracing::error!(run_id = self.run.id, reason, "catalog refuses a run record");
                Ok(false)
            }
            Some(WriteOutcome::Retry { reason }) => Err(CatalogError::Unavailable { reason }),
            None => Err(CatalogError::Unavailable {
                reason: "no outcome for a run record".to_owned(),
            }),
        }
    }
}

/// Whether the producer executes this kind of job.
#[must_use]
pub fn is_ours(kind: JobKind) -> bool {
    matches!(kind, JobKind::Scrape | JobKind::Deals)
}

/// A run as it is accepted.
#[must_use]
pub fn queued(request: JobRequest, now: UnixMillis) -> Run {
    Run {
        id: request.run_id.clone(),
        request,
        status: RunStatus::Queued,
        started_at: now,
        finished_at: None,
        attempts: 0,
        products: 0,
        tokens: 0,
        error: None,
        progress: RunProgress::default(),
    }
}

/// The state record of a run.
#[must_use]
pub fn record_of(run: &Run) -> StateRecord {
    StateRecord {
        id: run.id.clone(),
        group: Some(run.request.job.clone()),
        status: Some(run.status.name().to_owned()),
        at: run.started_at,
        body: serde_json::to_value(run).expect("a run is a plain struct"),
    }
}

/// Runs of ours that are not over, read in real time, highest priority first, then longest due.
///
/// # Errors
/// As the catalog's.
pub async fn find_unfinished(catalog: &dyn Catalog, statuses: &[RunStatus]) -> Result<Vec<(Run, Version)>, CatalogError> {
    let mut ids = BTreeSet::new();
    for status in statuses {
        let mut query = StateQuery {
            group: None,
            status: Some(status.name().to_owned()),
            ascending: true,
            limit: PAGE,
            cursor: None,
        };
        loop {
            let page = catalog.list_states(StateKind::Runs, &query).await?;
            // Others' runs are theirs; what cannot be read is nobody's to execute.
            let ours = |item: &Versioned<StateRecord>| serde_json::from_value::<Run>(item.value.body.clone()).is_ok_and(|run| is_ours(run.request.kind));
            ids.extend(page.items.into_iter().filter(ours).map(|item| item.value.id));
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
    }
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    // A search may lag: what is over meanwhile must not begin again.
    let ids: Vec<String> = ids.into_iter().collect();
    let records = catalog.read_states(StateKind::Runs, &ids).await?;
    let mut runs: Vec<(Run, Version)> = records
        .into_iter()
        .flatten()
        .filter_map(|record| Some((serde_json::from_value::<Run>(record.value.body).ok()?, record.version)))
        .filter(|(run, _)| matches!(run.status, RunStatus::Queued | RunStatus::Running))
        .collect();
    runs.sort_by_key(|(run, _)| order(run));
    Ok(runs)
}

/// Highest priority first, then longest due.
#[must_use]
pub fn order(run: &Run) -> (std::cmp::Reverse<i32>, UnixMillis, String) {
    (std::cmp::Reverse(run.request.priority), run.request.tick, run.id.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shared::domain::Marketplace::{DE, FR};
    use shared::wire::job::JobParameters;

    use super::*;
    use crate::plan::{Seen, Turn};

    const NOW: UnixMillis = UnixMillis(1_768_132_800_000);
    const RICH: i64 = 1_000_000;

    fn asin(number: usize) -> Asin {
        format!("B{number:09}").parse().unwrap()
    }

    fn version() -> Version {
        Version {
            index: Arc::from("runs"),
            seq_no: 1,
            primary_term: 1,
        }
    }

    fn job(kind: JobKind, parameters: JobParameters, token_budget: Option<i64>) -> Job {
        let request = JobRequest {
            v: 1,
            job: "category-scrape".into(),
            run_id: "category-scrape@x".into(),
            kind,
            tick: NOW,
            priority: 0,
            token_budget,
            parameters,
        };
        Job::resume(queued(request, NOW), version(), NOW)
    }

    fn answered(job: &mut Job, plan: &mut Plan, batch: &Batch) {
        let culprits = job.round().accepted(batch);
        assert!(culprits.is_empty());
        plan.job_answered(batch, &Seen::default(), job.round_began());
        let count = batch.asins.len();
        job.note_details(&batch.asins, count as u64, 3 * count as i64, plan);
    }

    #[test]
    fn a_scrape_without_categories_finds_the_roots_first_and_takes_one_after_the_other() {
        let mut plan = Plan::new(vec![DE, FR], 60_000);
        let mut job = job(
            JobKind::Scrape,
            JobParameters {
                limit: Some(2),
                ..JobParameters::default()
            },
            None,
        );
        job.begin(&mut plan, NOW);
        let next = |job: &Job, plan: &Plan| job.next_step(&[DE, FR], RICH, plan, NOW);
        assert_eq!(next(&job, &plan), Step::Roots(Request::Categories { market: DE, ids: vec![0] }));
        job.note_roots(&[7, 9], 1);
        assert!(matches!(next(&job, &plan), Step::Category(_, 7)));
        job.note_category(7, &[asin(1), asin(1), asin(2), asin(3)], &[DE, FR], &mut plan, 50, NOW);
        for market in [DE, FR] {
            let Step::Details(batch) = next(&job, &plan) else { panic!("details") };
            assert_eq!(
                batch,
                Batch {
                    market,
                    asins: vec![asin(1), asin(2)],
                    history: true
                }
            );
            answered(&mut job, &mut plan, &batch);
        }
        assert!(matches!(next(&job, &plan), Step::Category(_, 9)));
        job.note_category(9, &[asin(2)], &[DE, FR], &mut plan, 50, NOW);
        assert_eq!(next(&job, &plan), Step::Finish(None), "what the run asked already is not asked again");
        job.succeed(None, &mut plan, NOW);
        assert_eq!((job.run().products, job.run().tokens, job.run().attempts), (4, 1 + 50 + 6 + 6 + 50, 1));
        assert_eq!(
            plan.next(RICH, NOW),
            Turn::Later(NOW.plus_millis(60_000)),
            "the articles are watched from now on"
        );
    }

    #[test]
    fn a_restart_goes_on_with_what_is_pending() {
        let mut plan = Plan::new(vec![DE, FR], 60_000);
        let mut first = job(
            JobKind::Scrape,
            JobParameters {
                categories: vec![7],
                ..JobParameters::default()
            },
            None,
        );
        first.begin(&mut plan, NOW);
        first.note_category(7, &[asin(1), asin(2)], &[DE, FR], &mut plan, 50, NOW);
        let Step::Details(batch) = first.next_step(&[DE, FR], RICH, &plan, NOW) else {
            panic!("details")
        };
        answered(&mut first, &mut plan, &batch);
        first.keep_pending();

        let stored = serde_json::to_value(first.run()).unwrap();
        let mut plan = Plan::new(vec![DE, FR], 60_000);
        let mut second = Job::resume(serde_json::from_value(stored).unwrap(), version(), NOW);
        second.begin(&mut plan, NOW);
        assert_eq!(second.run().attempts, 2);
        let Step::Details(batch) = second.next_step(&[DE, FR], RICH, &plan, NOW) else {
            panic!("details")
        };
        assert_eq!((batch.market, batch.asins.len()), (FR, 2));
        answered(&mut second, &mut plan, &batch);
        assert_eq!(second.next_step(&[DE, FR], RICH, &plan, NOW), Step::Finish(None));
    }

    #[test]
    fn a_token_budget_is_never_exceeded() {
        let mut plan = Plan::new(vec![DE, FR], 60_000);
        let parameters = JobParameters {
            categories: vec![7],
            ..JobParameters::default()
        };
        let poor = job(JobKind::Scrape, parameters.clone(), Some(49));
        assert!(matches!(poor.next_step(&[DE], RICH, &plan, NOW), Step::Finish(Some(note)) if note.contains("49")));
        let mut job = job(JobKind::Scrape, parameters, Some(63));
        job.note_category(7, &[asin(1), asin(2), asin(3)], &[DE, FR], &mut plan, 50, NOW);
        let mut asked = 0;
        loop {
            match job.next_step(&[DE, FR], RICH, &plan, NOW) {
                Step::Details(batch) => {
                    asked += batch.asins.len();
                    answered(&mut job, &mut plan, &batch);
                }
                Step::Finish(note) => {
                    assert!(note.is_some_and(|note| note.contains("63")));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((asked, job.run().tokens), (4, 62));
        job.succeed(Some("budget".into()), &mut plan, NOW);
        assert!(job.run().progress.pending.is_empty());
    }

    #[test]
    fn deals_end_with_a_page_that_is_not_full() {
        let plan = &mut Plan::new(vec![DE], 60_000);
        let mut job = job(
            JobKind::Deals,
            JobParameters {
                limit: Some(0),
                ..JobParameters::default()
            },
            None,
        );
        let full: Vec<Asin> = (0..150).map(asin).collect();
        assert!(matches!(job.next_step(&[DE], RICH, plan, NOW), Step::DealPage(_, 0)));
        let page = |number, asins: &[Asin]| DealPage {
            number,
            entries: asins.len(),
            asins: asins.to_vec(),
        };
        job.note_deal_page(&page(0, &full), &[DE], plan, 5, NOW);
        assert!(matches!(job.next_step(&[DE], RICH, plan, NOW), Step::DealPage(_, 1)));
        job.note_deal_page(&page(1, &full[..149]), &[DE], plan, 5, NOW);
        assert_eq!(job.next_step(&[DE], RICH, plan, NOW), Step::Finish(None));
    }

    #[test]
    fn higher_priorities_and_longer_due_runs_come_first() {
        let run = |priority, tick| {
            let mut run = job(JobKind::Deals, JobParameters::default(), None).run;
            run.request.priority = priority;
            run.request.tick = UnixMillis(tick);
            run
        };
        let mut runs = [run(0, 1), run(5, 9), run(5, 2), run(-1, 0)];
        runs.sort_by_key(order);
        let sorted: Vec<(i32, i64)> = runs.iter().map(|run| (run.request.priority, run.request.tick.0)).collect();
        assert_eq!(sorted, [(5, 2), (5, 9), (0, 1), (-1, 0)]);
    }
}
