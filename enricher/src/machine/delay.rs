//! How long to wait before the next try: exponential, with full jitter, without a cap on attempts. Pure but for the
//! random numbers, which are given.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::SmallRng;

/// The bounds of the waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delays {
    /// The bound of the first wait; it doubles with each.
    pub(crate) first: Duration,
    /// The bound of every wait.
    pub(crate) max: Duration,
}

impl Delays {
    /// For the catalog and the event log.
    pub(crate) const OUTSIDE_SYSTEMS: Delays = Delays {
        first: Duration::from_millis(100),
        max: Duration::from_secs(30),
    };

    /// The wait after the given number of failures in a row: random, so that many who failed at once do not come back at once.
    pub(crate) fn after(self, failures: u32, random: &mut SmallRng) -> Duration {
        let bound = self.bound(failures);
        bound.mul_f64(random.random_range(0.1..=1.0))
    }

    /// The longest wait after the given number of failures in a row.
    fn bound(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_never_end() {
        let delays = Delays::OUTSIDE_SYSTEMS;
        let bounds: Vec<u128> = [1, 2, 3, 9, 10, 1_000, u32::MAX]
            .iter()
            .map(|&failures| delays.bound(failures).as_millis())
            .collect();
        assert_eq!(bounds, [100, 200, 400, 25_600, 30_000, 30_000, 30_000]);
        let mut random = SmallRng::seed_from_u64(1);
        for failures in 1..100 {
            let wait = delays.after(failures, &mut random);
            assert!(wait >= delays.bound(failures) / 10 && wait <= delays.bound(failures));
        }
    }
}
