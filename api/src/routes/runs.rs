//! `/runs`: executions of jobs.

use std::sync::Arc;

use poem::Request;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use shared::ports::catalog::{StateKind, StateQuery};
use shared::wire::state::{Run, RunStatus};

use super::{Group, TotalDocument, key};
use crate::answer::Answered;
use crate::api::Api;
use crate::error::{FetchError, ListFailure};
use crate::freshness::DependsOn;
use crate::params::{Cursor, DEFAULT_LIMIT, Limit, Name, Query};
use crate::values::{Instant, RunState};

/// The handlers.
pub(crate) struct RunRoutes {
    api: Arc<Api>,
}

/// One execution of a job.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Run")]
struct RunDocument {
    /// `JOB@TICK`, the instant the job was due.
    id: String,
    /// The job's name in the schedule.
    job: String,
    /// `queued`, `running`, `succeeded` or `failed`.
    status: RunState,
    /// When it began.
    started_at: Instant,
    /// When it ended; null until then.
    #[oai(nullable)]
    finished_at: Option<Instant>,
    /// How often it was begun.
    attempts: u32,
    /// Product records published.
    products: u64,
    /// Keepa tokens spent.
    tokens: i64,
    /// Why it failed.
    #[oai(nullable)]
    error: Option<String>,
}

/// One page of runs.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "RunList")]
struct RunListDocument {
    /// Newest first.
    items: Vec<RunDocument>,
    /// Over all pages.
    total: TotalDocument,
    /// For the next page, with the same other parameters; null on the last.
    #[oai(nullable)]
    next_cursor: Option<String>,
}

#[OpenApi(tag = "Group::Operations")]
impl RunRoutes {
    /// List runs
    ///
    /// Executions of jobs, newest first. An answer may be two seconds old.
    #[oai(path = "/runs", method = "get", operation_id = "list_runs")]
    async fn list(
        &self,
        request: &Request,
        /// Of this job.
        job: Query<Name>,
        /// In this state.
        status: Query<RunStatus>,
        /// Items a page.
        limit: Query<Limit>,
        /// `next_cursor` of the page before; belongs to the query it came with.
        cursor: Query<Cursor>,
    ) -> Result<Answered<RunListDocument>, ListFailure> {
        let query = StateQuery {
            group: job.0.map(|job| job.0),
            status: status.0.map(|status| status.name().to_owned()),
            ascending: false,
            limit: limit.0.map_or(DEFAULT_LIMIT, |limit| limit.0),
            cursor: cursor.0.map(|cursor| cursor.0),
        };
        let key = key("runs", &query);
        let held = self.api.answer(DependsOn::More, &key, list(Arc::clone(&self.api), query)).await?;
        Ok(Answered::new(held, request.headers(), self.api.now()))
    }
}

impl RunRoutes {
    pub(super) fn new(api: Arc<Api>) -> Self {
        RunRoutes { api }
    }
}

async fn list(api: Arc<Api>, query: StateQuery) -> Result<RunListDocument, FetchError> {
    let page = api.catalog.list_states(StateKind::Runs, &query).await?;
    let decode = |body| match serde_json::from_value::<Run>(body) {
        Ok(run) => Some(RunDocument::of(run)),
        Err(error) => {
            tracing::warn!(error = %error, "a run cannot be decoded and is left out");
            None
        }
    };
    Ok(RunListDocument {
        items: page.items.into_iter().filter_map(|record| decode(record.value.body)).collect(),
        total: page.total.into(),
        next_cursor: page.next_cursor,
    })
}

impl RunDocument {
    fn of(run: Run) -> Self {
        RunDocument {
            id: run.id,
            job: run.request.job,
            status: RunState(run.status.name()),
            started_at: run.started_at.into(),
            finished_at: run.finished_at.map(Instant),
            attempts: run.attempts,
            products: run.products,
            tokens: run.tokens,
            error: run.error,
        }
    }
}
