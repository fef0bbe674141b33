//! How long to wait before the next try: the only code that names a back-off crate.
//!
//! `backoff` is unmaintained (RUSTSEC-2025-0012); it is kept behind these few lines, so that replacing it is one
//! file's change.

use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use tokio_util::sync::CancellationToken;

/// Exponential back-off with jitter and without a cap on attempts: a cap is a decision to lose data.
#[derive(Debug)]
pub struct Backoff {
    inner: ExponentialBackoff,
    attempts: u32,
}

/// The wait was ended because the process shuts down or the work is no longer ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("waiting for the next attempt was cancelled")]
pub struct Cancelled;

impl Backoff {
    /// Waits grow from about `initial` to about `max`, doubling, each random within +-50 %.
    #[must_use]
    pub fn new(initial: Duration, max: Duration) -> Self {
        let inner = ExponentialBackoffBuilder::new()
            .with_initial_interval(initial)
            .with_max_interval(max)
            .with_multiplier(2.0)
            .with_randomization_factor(0.5)
            .with_max_elapsed_time(None)
            .build();
        Backoff { inner, attempts: 0 }
    }

    /// For the catalog and the event log: 100 ms to 30 s.
    #[must_use]
    pub fn for_outside_systems() -> Self {
        Backoff::new(Duration::from_millis(100), Duration::from_secs(30))
    }

    /// How many waits were handed out since the last reset.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The next wait.
    pub fn next_delay(&mut self) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        // None only after a maximum elapsed time, which is not set.
        self.inner.next_backoff().unwrap_or(self.inner.max_interval)
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.inner.reset();
        self.attempts = 0;
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// [`Cancelled`] as soon as `cancel` is.
    pub async fn wait(&mut self, cancel: &CancellationToken) -> Result<(), Cancelled> {
        let delay = self.next_delay();
        tokio::select! {
            () = cancel.cancelled() => Err(Cancelled),
            () = tokio::time::sleep(delay) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let within = |delay: Duration, center: u64| delay >= Duration::from_millis(center / 2) && delay <= Duration::from_millis(center * 3 / 2);
        for center in [100, 200, 400, 800, 1000, 1000] {
            let delay = backoff.next_delay();
            assert!(within(delay, center), "{delay:?} around {center} ms");
        }
        backoff.reset();
        assert_eq!(backoff.attempts(), 0);
        assert!(within(backoff.next_delay(), 100));
    }

    #[tokio::test]
    async fn a_cancelled_wait_ends_at_once() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        assert_eq!(
            Backoff::new(Duration::from_secs(60), Duration::from_secs(60)).wait(&cancel).await,
            Err(Cancelled)
        );
    }
}
