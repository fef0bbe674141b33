//! What keeps records from being settled, on the process's health board as one component.

use std::collections::BTreeMap;

use shared::domain::UnixMillis;
use shared::health::Health;

use crate::machine::Trouble;

/// The component's name on the board.
pub(crate) const COMPONENT: &str = "enricher";

/// All troubles of this member: each ends by itself, and the component is down while there is any.
#[derive(Debug)]
pub(crate) struct Troubles {
    health: Health,
    reasons: BTreeMap<Trouble, String>,
}

impl Troubles {
    pub(crate) fn new(health: Health) -> Self {
        health.up(COMPONENT, UnixMillis::now());
        Troubles {
            health,
            reasons: BTreeMap::new(),
        }
    }

    /// A trouble has begun, changed, or (`None`) ended.
    pub(crate) fn set(&mut self, trouble: Trouble, reason: Option<String>) {
        let changed = match reason {
            Some(reason) => self.reasons.insert(trouble, reason.clone()) != Some(reason),
            None => self.reasons.remove(&trouble).is_some(),
        };
        if !changed {
            return;
        }
        match self.reasons.first_key_value() {
            Some((trouble, reason)) => self.health.down(COMPONENT, said(*trouble, reason), UnixMillis::now()),
            None => self.health.up(COMPONENT, UnixMillis::now()),
        }
    }
}

fn said(trouble: Trouble, reason: &str) -> String {
    match trouble {
        Trouble::Catalog => reason.to_owned(),
        Trouble::EventLog(partition) | Trouble::Halted(partition) => format!("partition {partition}: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use shared::health::Condition;

    use super::*;

    #[test]
    fn the_component_is_down_while_there_is_any_trouble() {
        let health = Health::default();
        let mut troubles = Troubles::new(health.clone());
        let condition = || health.snapshot()[COMPONENT].condition.clone();
        let down = |reason: &str| Condition::Down { reason: reason.into() };
        troubles.set(Trouble::Catalog, Some("disk full".into()));
        troubles.set(Trouble::Halted(1), Some("too many".into()));
        assert_eq!(condition(), down("disk full"));
        troubles.set(Trouble::Catalog, None);
        assert_eq!(condition(), down("partition 1: too many"));
        troubles.set(Trouble::EventLog(1), None);
        assert_eq!(condition(), down("partition 1: too many"));
        troubles.set(Trouble::Halted(1), None);
        assert_eq!(condition(), Condition::Up);
    }
}
