//! Alerts: [`Rule`], what somebody wants to be told of, and the numbers it goes by. What is decided by it is the detector's.

mod figures;
mod rule;

pub use figures::{Figures, Measure};
pub use rule::{ChannelName, Mistake, NotAName, Rule, RuleId, Wanted};
