//! [`Health`]: which component is up, degraded or down, since when and why. One board per process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::UnixMillis;

/// State of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Works.
    Up,
    /// Works in part, or slower than it should.
    Degraded {
        /// Why, without secrets.
        reason: String,
    },
    /// Does not work.
    Down {
        /// Why, without secrets.
        reason: String,
    },
}

/// A component's condition and since when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentHealth {
    /// How it is.
    pub condition: Condition,
    /// Since when.
    pub since: UnixMillis,
}

/// The board. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Health {
    components: Arc<Mutex<BTreeMap<&'static str, ComponentHealth>>>,
}

impl Health {
    /// Notes a component's condition (`event_log`, `catalog`, `keepa`, …) and logs the change.
    pub fn set(&self, component: &'static str, condition: Condition, now: UnixMillis) {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        let before = components.get(component).map(|held| &held.condition);
        if before == Some(&condition) {
            return;
        }
        match (&condition, before) {
            (Condition::Up, None) => tracing::debug!(component, "component is up"),
            (Condition::Up, Some(_)) => tracing::info!(component, "component is up again"),
            // What is not there yet when a process starts is no fault.
            (Condition::Degraded { reason }, None) => tracing::info!(component, reason, "component is not up yet"),
            (Condition::Degraded { reason }, Some(_)) => tracing::warn!(component, reason, "component is degraded"),
            (Condition::Down { reason }, _) => tracing::error!(component, reason, "component is down"),
        }
        components.insert(component, ComponentHealth { condition, since: now });
    }

    /// Shorthand for [`Health::set`] with [`Condition::Up`].
    pub fn up(&self, component: &'static str, now: UnixMillis) {
        self.set(component, Condition::Up, now);
    }

    /// Shorthand for [`Health::set`] with [`Condition::Down`].
    pub fn down(&self, component: &'static str, reason: impl Into<String>, now: UnixMillis) {
        self.set(component, Condition::Down { reason: reason.into() }, now);
    }

    /// All components.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<&'static str, ComponentHealth> {
        self.components.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this component was reported to be down.
    #[must_use]
    pub fn is_down(&self, component: &str) -> bool {
        let held = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(component)
            .is_some_and(|component| matches!(component.condition, Condition::Down { .. }))
    }

    /// Whether none of these components is down; one that never reported counts as down.
    #[must_use]
    pub fn is_ready(&self, components: &[&str]) -> bool {
        let held = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        components
            .iter()
            .all(|name| held.get(name).is_some_and(|component| !matches!(component.condition, Condition::Down { .. })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_kept_while_the_condition_stays_the_same() {
        let health = Health::default();
        health.down("catalog", "refused", UnixMillis(1));
        health.down("catalog", "refused", UnixMillis(2));
        assert_eq!(health.snapshot()["catalog"].since, UnixMillis(1));
        assert!(!health.is_ready(&["catalog"]));
        assert!(health.is_down("catalog") && !health.is_down("event_log"));
        health.up("catalog", UnixMillis(3));
        assert!(!health.is_down("catalog"));
        assert!(health.is_ready(&["catalog"]) && !health.is_ready(&["catalog", "event_log"]));
    }
}
