//! [`Cache`]: answers kept for a while, asked for once however many want them, and served stale when there is no other.
//!
//! - Of concurrent calls for one key, one fetches and all get its outcome.
//! - What many ask for is renewed in the background ([`Renewals`]): whoever asks meanwhile is served what was fresh a moment
//!   ago, so nobody waits. If the renewal takes long, or nobody renews, the calls wait for it.
//! - A fetch that nobody waits for any more is dropped.
//! - Bounded by entries and bytes; what was used longest ago goes first.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use shared::domain::UnixMillis;

use crate::api::Clock;
use crate::error::FetchError;
use crate::freshness::was_fresh_just_now;
use crate::renewals::Renewals;

/// After a failed fetch, the held answer is served for this long before the next try, milliseconds.
const RETRY_AFTER_FAILURE: i64 = 1_000;

/// What can be kept.
pub(crate) trait Keep {
    /// Bytes, roughly.
    fn weight(&self) -> usize;

    /// Takes the place of an earlier value for the same key: what was made of that one on request is made of this one
    /// before it is served.
    fn follow(&self, _earlier: &Self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// Bounds of a cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CacheLimits {
    /// So many values at most.
    pub(crate) entries: usize,
    /// So many bytes at most, over all values.
    pub(crate) bytes: usize,
}

/// A value and how old it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held<V> {
    /// The value.
    pub(crate) value: V,
    /// When the fetch that brought it began.
    pub(crate) as_of: UnixMillis,
    /// It should have been fetched again, but cannot be.
    pub(crate) is_stale: bool,
}

/// How a call wants to be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<F> {
    /// Whether a value fetched at the first instant may be served at the second.
    pub(crate) is_fresh: F,
    /// The source is known to be away: what is held is served without asking.
    pub(crate) source_is_away: bool,
}

type Outcome<V> = Result<V, FetchError>;
type Fetch<V> = BoxFuture<'static, (UnixMillis, Outcome<V>)>;

struct Entry<V> {
    value: V,
    as_of: UnixMillis,
    weight: usize,
    last_used: u64,
    /// When a call last found it fresh.
    fresh_at: Option<UnixMillis>,
    failed_at: Option<UnixMillis>,
}

struct State<V> {
    entries: HashMap<String, Entry<V>>,
    in_flight: HashMap<String, WeakShared<Fetch<V>>>,
    bytes: usize,
    uses: u64,
}

/// See the module.
pub(crate) struct Cache<V> {
    state: Mutex<State<V>>,
    limits: CacheLimits,
    clock: Clock,
    renewals: Renewals,
}

enum Next<V: Clone> {
    Serve(Held<V>),
    /// Serve this if somebody else makes that fetch, else wait for it.
    Renew(Held<V>, Shared<Fetch<V>>),
    Await(Shared<Fetch<V>>),
}

impl<V: Clone + Keep + Send + Sync + 'static> Cache<V> {
    /// Empty.
    pub(crate) fn new(limits: CacheLimits, clock: Clock, renewals: Renewals) -> Self {
        let state = State {
            entries: HashMap::new(),
            in_flight: HashMap::new(),
            bytes: 0,
            uses: 0,
        };
        Cache {
            state: Mutex::new(state),
            limits,
            clock,
            renewals,
        }
    }

    /// The value of a key: held and fresh (or so a moment ago), else fetched, else held and stale.
    ///
    /// # Errors
    /// Why it could not be fetched, where nothing is held or no held value would do.
    pub(crate) async fn get<Fut>(
        self: &Arc<Self>,
        key: &str,
        wanted: Wanted<impl Fn(UnixMillis, UnixMillis) -> bool>,
        fetch: impl FnOnce() -> Fut,
    ) -> Result<Held<V>, FetchError>
    where
        Fut: Future<Output = Outcome<V>> + Send + 'static,
    {
        let shared = match self.next(key, &wanted, fetch) {
            Next::Serve(held) => return Ok(held),
            Next::Renew(held, shared) if self.renew(key, shared.clone()) => return Ok(held),
            Next::Renew(_, shared) | Next::Await(shared) => shared,
        };
        let (as_of, outcome) = self.made(key, shared).await;
        match outcome {
            Ok(value) => Ok(Held { value, as_of, is_stale: false }),
            Err(error @ FetchError::Away { .. }) => self.held(key).ok_or(error),
            Err(error) => Err(error),
        }
    }

    async fn made(&self, key: &str, fetch: Shared<Fetch<V>>) -> (UnixMillis, Outcome<V>) {
        let (as_of, outcome) = fetch.await;
        self.settle(key, as_of, &outcome);
        (as_of, outcome)
    }

    /// Whether somebody makes this fetch.
    fn renew(self: &Arc<Self>, key: &str, fetch: Shared<Fetch<V>>) -> bool {
        let (cache, key) = (Arc::clone(self), key.to_owned());
        self.renewals.begin(async move {
            // What came of it is in the cache.
            let _ = cache.made(&key, fetch).await;
        })
    }

    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next<Fut>(&self, key: &str, wanted: &Wanted<impl Fn(UnixMillis, UnixMillis) -> bool>, fetch: impl FnOnce() -> Fut) -> Next<V>
    where
        Fut: Future<Output = Outcome<V>> + Send + 'static,
    {
        let now = (self.clock)();
        let mut state = self.lock();
        state.uses += 1;
        let uses = state.uses;
        let mut earlier = None;
        let mut bridge = None;
        if let Some(entry) = state.entries.get_mut(key) {
            entry.last_used = uses;
            let is_fresh = (wanted.is_fresh)(entry.as_of, now);
            let has_just_failed = entry
                .failed_at
                .is_some_and(|failed_at| (0..RETRY_AFTER_FAILURE).contains(&now.millis_since(failed_at)));
            let held = |is_stale| Held {
                value: entry.value.clone(),
                as_of: entry.as_of,
                is_stale,
            };
            if is_fresh {
                let held = held(false);
                entry.fresh_at = Some(now);
                return Next::Serve(held);
            }
            if wanted.source_is_away || has_just_failed {
                return Next::Serve(held(true));
            }
            earlier = Some(entry.value.clone());
            bridge = entry.fresh_at.filter(|&fresh_at| was_fresh_just_now(fresh_at, now)).map(|_| held(false));
        }
        if let Some(shared) = state.in_flight.get(key).and_then(WeakShared::upgrade) {
            return bridge.map_or(Next::Await(shared), Next::Serve);
        }
        let fetch = fetch();
        let shared = async move {
            let outcome = fetch.await;
            if let (Ok(value), Some(earlier)) = (&outcome, &earlier) {
                value.follow(earlier).await;
            }
            (now, outcome)
        };
        let shared = shared.boxed().shared();
        // Fetches that everybody gave up leave their place behind.
        state.in_flight.retain(|_, fetch| fetch.upgrade().is_some());
        if let Some(weak) = shared.downgrade() {
            state.in_flight.insert(key.to_owned(), weak);
        }
        match bridge {
            Some(held) => Next::Renew(held, shared),
            None => Next::Await(shared),
        }
    }

    fn settle(&self, key: &str, as_of: UnixMillis, outcome: &Outcome<V>) {
        let now = (self.clock)();
        let mut state = self.lock();
        let is_done = state
            .in_flight
            .get(key)
            .is_some_and(|fetch| fetch.upgrade().is_none_or(|fetch| fetch.peek().is_some()));
        if is_done {
            state.in_flight.remove(key);
        }
        match outcome {
            Ok(value) => {
                let is_news = state.entries.get(key).is_none_or(|held| held.failed_at.is_some() || held.as_of != as_of);
                if is_news {
                    state.insert(key, value.clone(), as_of, now);
                    state.shrink(self.limits);
                }
            }
            Err(FetchError::Away { reason }) => {
                if let Some(entry) = state.entries.get_mut(key) {
                    if entry.failed_at.is_none() {
                        tracing::warn!(reason, "catalog is away, serving the last good answer");
                    }
                    entry.failed_at = Some(now);
                }
            }
            // It has to be told to the next who asks.
            Err(FetchError::Problem(_)) => {
                if let Some(entry) = state.entries.get_mut(key) {
                    entry.fresh_at = None;
                }
            }
        }
    }

    fn held(&self, key: &str) -> Option<Held<V>> {
        self.lock().entries.get(key).map(|entry| Held {
            value: entry.value.clone(),
            as_of: entry.as_of,
            is_stale: true,
        })
    }
}

impl<V: Keep> State<V> {
    fn insert(&mut self, key: &str, value: V, as_of: UnixMillis, now: UnixMillis) {
        let weight = value.weight() + key.len();
        let entry = Entry {
            value,
            as_of,
            weight,
            last_used: self.uses,
            fresh_at: Some(now),
            failed_at: None,
        };
        self.bytes += weight;
        if let Some(replaced) = self.entries.insert(key.to_owned(), entry) {
            self.bytes -= replaced.weight;
        }
    }

    fn shrink(&mut self, limits: CacheLimits) {
        while self.entries.len() > limits.entries || self.bytes > limits.bytes {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last_used).map(|(key, _)| key.clone());
            let Some(removed) = oldest.and_then(|key| self.entries.remove(&key)) else {
                break;
            };
            self.bytes -= removed.weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

    use tokio::sync::Notify;
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use super::*;

    impl Keep for u64 {
        fn weight(&self) -> usize {
            10
        }
    }

    const LIMITS: CacheLimits = CacheLimits { entries: 3, bytes: 1_000 };

    /// A cache and the clock it goes by; its values live 100 ms.
    fn cache() -> (Arc<Cache<u64>>, Arc<AtomicI64>) {
        let time = Arc::new(AtomicI64::new(0));
        let clock = {
            let time = Arc::clone(&time);
            Arc::new(move || UnixMillis(time.load(Ordering::SeqCst)))
        };
        (Arc::new(Cache::new(LIMITS, clock, Renewals::default())), time)
    }

    /// A cache whose values are renewed in the background.
    async fn renewing_cache() -> (Arc<Cache<u64>>, Arc<AtomicI64>, JoinSet<()>) {
        let (cache, time) = cache();
        let mut renewing = JoinSet::new();
        let renewals = cache.renewals.clone();
        renewing.spawn(async move { renewals.run(CancellationToken::new()).await });
        tokio::task::yield_now().await;
        (cache, time, renewing)
    }

    /// Lets what is under way go on until nothing can.
    async fn everything_else_runs() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    fn wanted() -> Wanted<impl Fn(UnixMillis, UnixMillis) -> bool> {
        Wanted {
            is_fresh: |as_of, now: UnixMillis| now.millis_since(as_of) < 100,
            source_is_away: false,
        }
    }

    fn away() -> FetchError {
        FetchError::Away { reason: "gone".into() }
    }

    #[tokio::test]
    async fn a_fresh_value_is_not_fetched_again() {
        let (cache, time) = cache();
        cache.get("a", wanted(), || async { Ok(1) }).await.unwrap();
        time.store(99, Ordering::SeqCst);
        let held = cache.get("a", wanted(), || async { Ok(2) }).await.unwrap();
        assert_eq!((held.value, held.as_of, held.is_stale), (1, UnixMillis(0), false));
        time.store(100, Ordering::SeqCst);
        let held = cache.get("a", wanted(), || async { Ok(3) }).await.unwrap();
        assert_eq!((held.value, held.as_of), (3, UnixMillis(100)));
    }

    #[tokio::test]
    async fn concurrent_calls_fetch_once() {
        let (cache, _) = cache();
        let (fetches, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let call = || {
            let (cache, fetches, release) = (Arc::clone(&cache), Arc::clone(&fetches), Arc::clone(&release));
            async move {
                let fetch = || async move {
                    fetches.fetch_add(1, Ordering::SeqCst);
                    release.notified().await;
                    Ok(7)
                };
                cache.get("a", wanted(), fetch).await
            }
        };
        let release = async {
            tokio::task::yield_now().await;
            release.notify_one();
        };
        let (first, second, third, ()) = tokio::join!(call(), call(), call(), release);
        assert_eq!([first, second, third].map(|held| held.unwrap().value), [7, 7, 7]);
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
        assert!(cache.lock().in_flight.is_empty());
    }

    #[tokio::test]
    async fn nobody_waits_for_the_renewal_of_what_was_fresh_a_moment_ago() {
        let (cache, time, _renewing) = renewing_cache().await;
        let release = Arc::new(Notify::new());
        let slow = |value: u64| {
            let release = Arc::clone(&release);
            move || async move {
                release.notified().await;
                Ok(value)
            }
        };
        cache.get("a", wanted(), || async { Ok(1) }).await.unwrap();
        time.store(99, Ordering::SeqCst);
        cache.get("a", wanted(), std::future::pending).await.unwrap();
        time.store(110, Ordering::SeqCst);
        for _ in 0..3 {
            let held = cache.get("a", wanted(), slow(2)).now_or_never().expect("at once").unwrap();
            assert_eq!((held.value, held.as_of, held.is_stale), (1, UnixMillis(0), false));
        }
        everything_else_runs().await;
        release.notify_one();
        everything_else_runs().await;
        let held = cache.get("a", wanted(), std::future::pending).now_or_never().expect("at once").unwrap();
        assert_eq!((held.value, held.as_of), (2, UnixMillis(110)));
    }

    #[tokio::test]
    async fn a_renewal_that_takes_long_is_waited_for() {
        let (cache, time, _renewing) = renewing_cache().await;
        cache.get("a", wanted(), || async { Ok(1) }).await.unwrap();
        time.store(100, Ordering::SeqCst);
        let release = Arc::new(Notify::new());
        let released = Arc::clone(&release);
        let fetch = || async move {
            released.notified().await;
            Ok(2)
        };
        assert_eq!(cache.get("a", wanted(), fetch).await.unwrap().value, 1);
        time.store(1_000, Ordering::SeqCst);
        let mut waiting = Box::pin(cache.get("a", wanted(), std::future::pending));
        assert!((&mut waiting).now_or_never().is_none());
        release.notify_one();
        assert_eq!(waiting.await.unwrap().value, 2);
    }

    #[tokio::test]
    async fn what_nobody_asked_for_lately_is_not_served_out_of_date() {
        let (cache, time, _renewing) = renewing_cache().await;
        cache.get("a", wanted(), || async { Ok(1) }).await.unwrap();
        time.store(10_000, Ordering::SeqCst);
        assert_eq!(cache.get("a", wanted(), || async { Ok(2) }).await.unwrap().value, 2);
    }

    #[tokio::test]
    async fn a_refusal_of_a_renewal_is_told_to_the_next() {
        let (cache, time, _renewing) = renewing_cache().await;
        cache.get("a", wanted(), || async { Ok(1) }).await.unwrap();
        time.store(100, Ordering::SeqCst);
        let refusal = FetchError::Problem(crate::error::Problem::parameter("cursor", "no"));
        let refuse = || {
            let outcome = Err(refusal.clone());
            || async { outcome }
        };
        assert_eq!(cache.get("a", wanted(), refuse()).await.unwrap().value, 1);
        everything_else_runs().await;
        assert_eq!(cache.get("a", wanted(), refuse()).await, Err(refusal));
    }

    #[tokio::test]
    async fn a_fetch_that_is_given_up_does_not_block_the_next() {
        let (cache, _) = cache();
        let given_up = cache.get("a", wanted(), std::future::pending);
        assert!(given_up.now_or_never().is_none());
        assert_eq!(cache.get("a", wanted(), || async { Ok(2) }).await.unwrap().value, 2);
    }

    #[tokio::test]
    async fn without_the_source_the_last_good_value_is_served_and_says_so() {
        let (cache, time) = cache();
        assert_eq!(cache.get("a", wanted(), || async { Err(away()) }).await, Err(away()));
        cache.get("a", wanted(), || async { Ok(1) }).await.unwrap();
        time.store(1_000_000, Ordering::SeqCst);
        let held = cache.get("a", wanted(), || async { Err(away()) }).await.unwrap();
        assert_eq!((held.value, held.is_stale), (1, true));
        // Right after a failure nobody waits for the next one.
        time.store(1_000_999, Ordering::SeqCst);
        let held = cache.get("a", wanted(), std::future::pending).await.unwrap();
        assert_eq!((held.value, held.is_stale), (1, true));
        time.store(1_001_000, Ordering::SeqCst);
        let held = cache.get("a", wanted(), || async { Ok(2) }).await.unwrap();
        assert_eq!((held.value, held.is_stale), (2, false));
    }

    #[tokio::test]
    async fn a_source_known_to_be_away_is_not_asked_if_something_is_held() {
        let (cache, time) = cache();
        cache.get("a", wanted(), || async { Ok(1) }).await.unwrap();
        time.store(500, Ordering::SeqCst);
        let known = Wanted {
            source_is_away: true,
            ..wanted()
        };
        assert!(cache.get("a", known, std::future::pending).await.unwrap().is_stale);
    }

    #[tokio::test]
    async fn a_refusal_is_never_hidden_by_an_earlier_answer() {
        let (cache, time) = cache();
        cache.get("a", wanted(), || async { Ok(1) }).await.unwrap();
        time.store(100, Ordering::SeqCst);
        let refusal = FetchError::Problem(crate::error::Problem::parameter("cursor", "no"));
        let outcome = Err(refusal.clone());
        let error = cache.get("a", wanted(), || async { outcome }).await.unwrap_err();
        assert_eq!(error, refusal);
    }

    #[tokio::test]
    async fn what_was_used_longest_ago_goes_first() {
        let (cache, _) = cache();
        for key in ["a", "b", "c", "a", "d"] {
            cache.get(key, wanted(), || async { Ok(1) }).await.unwrap();
        }
        let mut keys: Vec<String> = cache.lock().entries.keys().cloned().collect();
        keys.sort();
        assert_eq!(keys, ["a", "c", "d"]);
        assert_eq!(cache.lock().bytes, 33);
    }
}
