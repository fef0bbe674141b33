//! [`Api`]: what all handlers share.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use shared::domain::UnixMillis;
use shared::health::Health;
use shared::ports::Catalog;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::cache::{Cache, CacheLimits, Held, Wanted};
use crate::config::Config;
use crate::error::{FetchError, Problem};
use crate::freshness::{Changes, DependsOn, is_fresh};
use crate::renewals::Renewals;
use crate::surroundings::Surroundings;

/// Tells the present. Tests set it.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// A fetch that takes longer counts as an outage.
const FETCH_LIMIT: Duration = Duration::from_secs(10);

/// Milliseconds.
const FOLLOWER_STARTS_WITHIN: i64 = 10_000;

const ANSWERS: CacheLimits = CacheLimits {
    entries: 1_000,
    bytes: 64 * 1024 * 1024,
};
const ONE: CacheLimits = CacheLimits { entries: 1, bytes: 1_000_000 };

/// What all handlers share.
pub struct Api {
    pub(crate) config: Config,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) health: Health,
    clock: Clock,
    answers: Arc<Cache<Answer>>,
    surroundings: Arc<Cache<Arc<Surroundings>>>,
    renewals: Renewals,
    /// When an opportunity was last announced to have changed; `i64::MIN` = never.
    changed_at: AtomicI64,
    /// Whether announcements are followed at all; tests and tools do without an event log.
    follows: AtomicBool,
    /// What the broker last said of the services' lag.
    lag: Mutex<Option<BTreeMap<String, i64>>>,
}

impl Api {
    /// Over a catalog and the process's board.
    #[must_use]
    pub fn new(config: Config, catalog: Arc<dyn Catalog>, health: Health, clock: Clock) -> Arc<Self> {
        let renewals = Renewals::default();
        Arc::new(Api {
            config,
            catalog,
            health,
            answers: Arc::new(Cache::new(ANSWERS, Arc::clone(&clock), renewals.clone())),
            surroundings: Arc::new(Cache::new(ONE, Arc::clone(&clock), renewals.clone())),
            renewals,
            clock,
            changed_at: AtomicI64::new(i64::MIN),
            follows: AtomicBool::new(false),
            lag: Mutex::default(),
        })
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        (self.clock)()
    }

    /// Says whether [`Api::note_change`] is called for every announcement, as long as the event log is up.
    ///
    /// The follower needs a moment to take its place; what changes meanwhile is not announced to us, so answers are not
    /// trusted for long until then.
    pub fn set_following(&self, follows: bool) {
        self.changed_at.store(self.now().plus_millis(FOLLOWER_STARTS_WITHIN).0, Ordering::Relaxed);
        self.follows.store(follows, Ordering::Relaxed);
    }

    /// An opportunity was announced to have changed.
    pub fn note_change(&self) {
        self.changed_at.fetch_max(self.now().0, Ordering::Relaxed);
    }

    /// Renews answers that many ask for, until the shutdown. Without it, calls wait for renewals.
    pub async fn renew(&self, shutdown: CancellationToken) {
        self.renewals.run(shutdown).await;
    }

    /// How far each consumer group was behind when the broker was last asked; none where it did not answer.
    pub(crate) fn set_lag(&self, lag: Option<BTreeMap<String, i64>>) {
        *self.lag.lock().unwrap_or_else(PoisonError::into_inner) = lag;
    }

    pub(crate) fn lag(&self) -> Option<BTreeMap<String, i64>> {
        crate::lag::lag(self.lag.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn changes(&self) -> Changes {
        let last = self.changed_at.load(Ordering::Relaxed);
        Changes {
            last: (last != i64::MIN).then_some(UnixMillis(last)),
            are_followed: self.follows.load(Ordering::Relaxed) && self.health.is_ready(&["event_log"]),
        }
    }

    fn catalog_is_down(&self) -> bool {
        self.health.is_down("catalog")
    }

    fn wanted(&self, depends: DependsOn) -> Wanted<impl Fn(UnixMillis, UnixMillis) -> bool> {
        let changes = self.changes();
        Wanted {
            is_fresh: move |as_of, now| is_fresh(depends, as_of, now, changes),
            source_is_away: self.catalog_is_down(),
        }
    }

    /// The answer to a request: `key` names it, `fetch` makes its document.
    pub(crate) async fn answer<T, Fut>(&self, depends: DependsOn, key: &str, fetch: Fut) -> Result<Held<Answer>, Problem>
    where
        T: Serialize,
        Fut: Future<Output = Result<T, FetchError>> + Send + 'static,
    {
        let answer = async move { Ok(Answer::of(&within_limit(fetch).await?)) };
        Ok(self.answers.get(key, self.wanted(depends), || answer).await?)
    }

    /// Rates, settings and the feed's state, as of two seconds ago at most (longer while the catalog is away). Until the producer
    /// has said for the first time what the feed is, that it has not is believed for a moment only: simulated data would pass for real.
    pub(crate) async fn surroundings(&self) -> Result<Arc<Surroundings>, FetchError> {
        let held = self.surroundings_by(DependsOn::More).await?;
        match held.producer {
            Some(_) => Ok(held),
            None => self.surroundings_by(DependsOn::Awaited).await,
        }
    }

    async fn surroundings_by(&self, depends: DependsOn) -> Result<Arc<Surroundings>, FetchError> {
        let catalog = Arc::clone(&self.catalog);
        let fetch = async move { within_limit(async move { Ok(Arc::new(Surroundings::read(&*catalog).await?)) }).await };
        let held = self.surroundings.get("surroundings", self.wanted(depends), || fetch).await?;
        Ok(held.value)
    }
}

async fn within_limit<T>(fetch: impl Future<Output = Result<T, FetchError>>) -> Result<T, FetchError> {
    tokio::time::timeout(FETCH_LIMIT, fetch).await.unwrap_or_else(|_elapsed| {
        Err(FetchError::Away {
            reason: format!("no answer within {} seconds", FETCH_LIMIT.as_secs()),
        })
    })
}
