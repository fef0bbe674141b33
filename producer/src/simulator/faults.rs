//! What goes wrong on purpose: by chance, repeatably from the seed, or because a test says so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::noise::Noise;

/// One way for a request to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 429 with a full envelope: no tokens left, the next ones after so many milliseconds.
    Status429 {
        /// What the envelope says in `refillIn`.
        refill_in_ms: u32,
    },
    /// Another status: 500 with an error envelope, everything else with a proxy's HTML page. Costs nothing.
    Status(u16),
    /// 200 with an HTML page. Costs nothing.
    Html,
    /// The right answer, so much later.
    Slow(Duration),
    /// The request is answered and charged, but the connection ends before the first byte.
    Drop,
    /// The request is answered and charged, but the connection ends in the middle of the body.
    Truncate,
}

/// How likely each fault is for any request, 0 to 1; the sum should not exceed 1. None by default.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// [`Fault::Status429`], with a second to wait.
    pub too_many_requests: f64,
    /// [`Fault::Status`] 500.
    pub server_error: f64,
    /// [`Fault::Status`] 503.
    pub unavailable: f64,
    /// [`Fault::Html`].
    pub html: f64,
    /// [`Fault::Slow`], by [`Faults::slow_by`].
    pub slow: f64,
    /// How slow.
    pub slow_by: Duration,
    /// [`Fault::Drop`].
    pub drop: f64,
    /// [`Fault::Truncate`].
    pub truncate: f64,
}

impl Faults {
    /// The fault of the request with this number, if it has one.
    pub(super) fn draw(&self, noise: Noise, request: u64) -> Option<Fault> {
        let mut draw = noise.named("fault").at(request).unit();
        let kinds = [
            (self.too_many_requests, Fault::Status429 { refill_in_ms: 1_000 }),
            (self.server_error, Fault::Status(500)),
            (self.unavailable, Fault::Status(503)),
            (self.html, Fault::Html),
            (self.slow, Fault::Slow(self.slow_by)),
            (self.drop, Fault::Drop),
            (self.truncate, Fault::Truncate),
        ];
        for (probability, fault) in kinds {
            if draw < probability {
                return Some(fault);
            }
            draw -= probability;
        }
        None
    }

    /// The probability with a name, as flags give it.
    pub(super) fn probability_mut(&mut self, kind: &str) -> Option<&mut f64> {
        match kind {
            "429" => Some(&mut self.too_many_requests),
            "500" => Some(&mut self.server_error),
            "503" => Some(&mut self.unavailable),
            "html" => Some(&mut self.html),
            "slow" => Some(&mut self.slow),
            "drop" => Some(&mut self.drop),
            "truncate" => Some(&mut self.truncate),
            _ => None,
        }
    }
}

/// Faults that a test orders, first in, first out. Clones share one script.
///
/// ```
/// # use producer::simulator::{Fault, FaultScript};
/// let script = FaultScript::default();
/// script.next(2, "/product", Fault::Status(503));
/// assert_eq!(script.pending(), 2);
/// ```
#[derive(Debug, Clone, Default)]
pub struct FaultScript {
    steps: Arc<Mutex<Vec<Step>>>,
}

#[derive(Debug)]
struct Step {
    path: Option<String>,
    remaining: u64,
    fault: Fault,
}

impl FaultScript {
    /// The next `count` requests to a path (`/product`) have this fault.
    pub fn next(&self, count: u64, path: &str, fault: Fault) {
        self.order(Some(path.trim_start_matches('/').to_owned()), count, fault);
    }

    /// The next `count` requests to whatever path have this fault.
    pub fn next_any(&self, count: u64, fault: Fault) {
        self.order(None, count, fault);
    }

    fn order(&self, path: Option<String>, count: u64, fault: Fault) {
        if count > 0 {
            self.lock().push(Step { path, remaining: count, fault });
        }
    }

    /// Every request from now on has this fault, until [`FaultScript::clear`].
    pub fn always(&self, fault: Fault) {
        self.next_any(u64::MAX, fault);
    }

    /// Forgets what was ordered.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// How many ordered faults have not happened yet.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.lock().iter().fold(0, |sum, step| sum.saturating_add(step.remaining))
    }

    /// The fault ordered for a request to this path (`product`).
    pub(super) fn take(&self, path: &str) -> Option<Fault> {
        let mut steps = self.lock();
        let index = steps.iter().position(|step| step.path.as_deref().is_none_or(|wanted| wanted == path))?;
        let fault = steps[index].fault.clone();
        steps[index].remaining = steps[index].remaining.saturating_sub(1);
        if steps[index].remaining == 0 {
            steps.remove(index);
        }
        Some(fault)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordered_faults_happen_in_order_and_only_on_their_path() {
        let script = FaultScript::default();
        script.next(2, "/product", Fault::Html);
        script.next_any(1, Fault::Drop);
        assert_eq!(script.take("token"), Some(Fault::Drop));
        assert_eq!(script.take("token"), None);
        assert_eq!(script.take("product"), Some(Fault::Html));
        assert_eq!(script.pending(), 1);
        script.clear();
        assert_eq!(script.take("product"), None);
        script.next(0, "/product", Fault::Html);
        assert_eq!(script.pending(), 0);
    }

    #[test]
    fn faults_by_chance_come_as_often_as_asked_and_repeat() {
        let faults = Faults {
            unavailable: 0.2,
            drop: 0.1,
            ..Faults::default()
        };
        let drawn: Vec<Option<Fault>> = (0..2_000).map(|request| faults.draw(Noise::new(3), request)).collect();
        let share = |fault: Fault| drawn.iter().filter(|drawn| **drawn == Some(fault.clone())).count();
        assert!((340..460).contains(&share(Fault::Status(503))));
        assert!((140..260).contains(&share(Fault::Drop)));
        assert_eq!(share(Fault::Html), 0);
        assert_eq!(drawn, (0..2_000).map(|request| faults.draw(Noise::new(3), request)).collect::<Vec<_>>());
        assert!((0..100).all(|request| Faults::default().draw(Noise::new(3), request).is_none()));
    }
}
