//! What keeps partitions from going on, on the process's health board as one component.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::domain::UnixMillis;
use shared::health::Health;

/// The component's name on the board.
pub(crate) const COMPONENT: &str = "enricher";

/// The troubles of all partitions of this member. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Troubles {
    health: Health,
    reasons: Arc<Mutex<BTreeMap<(i32, Kind), String>>>,
}

/// A partition can be in trouble for two reasons at once, and each ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The catalog or the event log does not do what it is asked.
    Outside,
    /// Too many records are refused.
    Halted,
}

impl Troubles {
    pub(crate) fn new(health: Health) -> Self {
        health.up(COMPONENT, UnixMillis::now());
        Troubles {
            health,
            reasons: Arc::default(),
        }
    }

    /// Those of one partition; they end when it is dropped.
    pub(crate) fn of(&self, partition: i32) -> Trouble {
        Trouble { all: self.clone(), partition }
    }

    fn set(&self, partition: i32, kind: Kind, reason: Option<String>) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = match reason {
            Some(reason) => reasons.insert((partition, kind), reason.clone()).as_ref() != Some(&reason),
            None => reasons.remove(&(partition, kind)).is_some(),
        };
        if !changed {
            return;
        }
        // Still under the lock, so that the board never ends with what was true before.
        match reasons.first_key_value() {
            Some(((partition, _), reason)) => self.health.down(COMPONENT, format!("partition {partition}: {reason}"), UnixMillis::now()),
            None => self.health.up(COMPONENT, UnixMillis::now()),
        }
    }
}

/// The trouble of one partition.
#[derive(Debug)]
pub(crate) struct Trouble {
    all: Troubles,
    partition: i32,
}

impl Trouble {
    /// What an outside system does not do.
    pub(crate) fn note(&self, reason: impl Into<String>) {
        self.all.set(self.partition, Kind::Outside, Some(reason.into()));
    }

    /// It does again.
    pub(crate) fn clear(&self) {
        self.all.set(self.partition, Kind::Outside, None);
    }

    /// Why the partition is halted.
    pub(crate) fn halt(&self, reason: String) {
        self.all.set(self.partition, Kind::Halted, Some(reason));
    }

    /// It is not any more.
    pub(crate) fn resume(&self) {
        self.all.set(self.partition, Kind::Halted, None);
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        self.clear();
        self.resume();
    }
}

#[cfg(test)]
mod tests {
    use shared::health::Condition;

    use super::*;

    #[test]
    fn the_component_is_down_while_any_partition_is_in_trouble() {
        let health = Health::default();
        let troubles = Troubles::new(health.clone());
        let condition = || health.snapshot()[COMPONENT].condition.clone();
        let (first, second) = (troubles.of(0), troubles.of(1));
        first.note("disk full");
        second.note("disk full");
        first.clear();
        assert_eq!(
            condition(),
            Condition::Down {
                reason: "partition 1: disk full".into()
            }
        );
        second.halt("too many".into());
        second.clear();
        assert_eq!(
            condition(),
            Condition::Down {
                reason: "partition 1: too many".into()
            }
        );
        drop(second);
        assert_eq!(condition(), Condition::Up);
    }
}
