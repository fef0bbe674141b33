//! [`Cache`]: answers kept for a while, asked for once however many want them, and served stale when there is no other.
//!
//! - Of concurrent calls for one key, one fetches and all get its outcome.
//! - A fetch that nobody waits for any more is dropped.
//! - Bounded by entries and bytes; what was used longest ago goes first.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use shared::domain::UnixMillis;

use crate::api::Clock;
use crate::error::FetchError;

/// After a failed fetch, the held answer is served for this long before the next try, milliseconds.
const RETRY_AFTER_FAILURE: i64 = 1_000;

/// How much a value takes.
pub(crate) trait Weigh {
    /// Bytes, roughly.
    fn weight(&self) -> usize;
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
}

enum Next<V: Clone> {
    Serve(Held<V>),
    Await(Shared<Fetch<V>>),
}

impl<V: Clone + Weigh + Send + Sync + 'static> Cache<V> {
    /// Empty.
    pub(crate) fn new(limits: CacheLimits, clock: Clock) -> Self {
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
        }
    }

    /// The value of a key: held and fresh, else fetched, else held and stale.
    ///
    /// # Errors
    /// Why it could not be fetched, where nothing is held or no held value would do.
    pub(crate) async fn get<Fut>(
        &self,
        key: &str,
        wanted: Wanted<impl Fn(UnixMillis, UnixMillis) -> bool>,
        fetch: impl FnOnce() -> Fut,
    ) -> Result<Held<V>, FetchError>
    where
        Fut: Future<Output = Outcome<V>> + Send + 'static,
    {
        let shared = match self.next(key, &wanted, fetch) {
            Next::Serve(held) => return Ok(held),
            Next::Await(shared) => shared,
        };
        let (as_of, outcome) = shared.await;
        self.settle(key, as_of, &outcome);
        match outcome {
            Ok(value) => Ok(Held { value, as_of, is_stale: false }),
            Err(error @ FetchError::Away { .. }) => self.held(key).ok_or(error),
            Err(error) => Err(error),
        }
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
        if let Some(entry) = state.entries.get_mut(key) {
            entry.last_used = uses;
            let is_fresh = (wanted.is_fresh)(entry.as_of, now);
            let has_just_failed = entry
                .failed_at
                .is_some_and(|failed_at| (0..RETRY_AFTER_FAILURE).contains(&now.millis_since(failed_at)));
            if is_fresh || wanted.source_is_away || has_just_failed {
                return Next::Serve(Held {
                    value: entry.value.clone(),
                    as_of: entry.as_of,
                    is_stale: !is_fresh,
                });
            }
        }
        if let Some(shared) = state.in_flight.get(key).and_then(WeakShared::upgrade) {
            return Next::Await(shared);
        }
        let shared = fetch().map(move |outcome| (now, outcome)).boxed().shared();
        // Fetches that everybody gave up leave their place behind.
        state.in_flight.retain(|_, fetch| fetch.upgrade().is_some());
        if let Some(weak) = shared.downgrade() {
            state.in_flight.insert(key.to_owned(), weak);
        }
        Next::Await(shared)
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
                    state.insert(key, value.clone(), as_of);
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
            Err(FetchError::Problem(_)) => {}
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

impl<V: Weigh> State<V> {
    fn insert(&mut self, key: &str, value: V, as_of: UnixMillis) {
        let weight = value.weight() + key.len();
        let entry = Entry {
            value,
            as_of,
            weight,
            last_used: self.uses,
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

    use super::*;

    impl Weigh for u64 {
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
        (Arc::new(Cache::new(LIMITS, clock)), time)
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
