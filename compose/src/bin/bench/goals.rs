//! What is aimed at, and how far from it what was measured is. Pure.

use serde::Serialize;

/// One goal beside what was seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Goal {
    /// What is aimed at, with its unit.
    pub goal: String,
    /// The bound.
    pub wanted: f64,
    /// The worst that was measured of it: a median over the rounds, or a percentile.
    pub seen: f64,
    /// Whether more is better than less.
    pub at_least: bool,
    /// Where the time goes of what misses it, as far as this run tells.
    pub spent: String,
}

impl Goal {
    /// The least of some values has to be this much.
    #[must_use]
    pub fn at_least(goal: impl Into<String>, wanted: f64, seen: impl IntoIterator<Item = f64>) -> Goal {
        Goal::new(goal, wanted, seen.into_iter().fold(f64::NAN, f64::min), true)
    }

    /// The most of some values may be this much.
    #[must_use]
    pub fn at_most(goal: impl Into<String>, wanted: f64, seen: impl IntoIterator<Item = f64>) -> Goal {
        Goal::new(goal, wanted, seen.into_iter().fold(f64::NAN, f64::max), false)
    }

    fn new(goal: impl Into<String>, wanted: f64, seen: f64, at_least: bool) -> Goal {
        Goal {
            goal: goal.into(),
            wanted,
            seen,
            at_least,
            spent: String::new(),
        }
    }

    /// With a word on where the time goes.
    #[must_use]
    pub fn spent(self, spent: impl Into<String>) -> Goal {
        Goal { spent: spent.into(), ..self }
    }

    /// Whether it is met. What was not measured is not.
    #[must_use]
    pub fn is_met(&self) -> bool {
        if self.at_least { self.seen >= self.wanted } else { self.seen <= self.wanted }
    }

    /// By how many times it is missed.
    #[must_use]
    pub fn missed_by(&self) -> f64 {
        if self.at_least { self.wanted / self.seen } else { self.seen / self.wanted }
    }

    /// A row of a table: goal, bound, seen, whether it is met, where the time goes.
    #[must_use]
    pub fn row(&self) -> String {
        let bound = if self.at_least { "≥" } else { "≤" };
        let met = match self.is_met() {
            true => "met".to_owned(),
            false if self.seen.is_nan() => "**not measured**".to_owned(),
            false => format!("**missed, {:.2} times**", self.missed_by()),
        };
        let spent = if self.is_met() { "" } else { &self.spent };
        format!("| {} | {bound} {} | {} | {met} | {spent} |", self.goal, short(self.wanted), short(self.seen))
    }
}

/// Three digits, as people write them.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_value_decides_and_a_row_says_by_how_much_it_misses() {
        let cases = [
            (
                Goal::at_least("a rate", 70_000.0, [271_346.0, 80_000.0]),
                "| a rate | ≥ 70000 | 80000 | met |  |",
            ),
            (
                Goal::at_least("a ratio", 1.0, [0.5, 0.4]).spent("here"),
                "| a ratio | ≥ 1.00 | 0.40 | **missed, 2.50 times** | here |",
            ),
            (Goal::at_most("a time", 2.0, [1.0, 2.0]).spent("there"), "| a time | ≤ 2.00 | 2.00 | met |  |"),
            (
                Goal::at_most("a time", 2.0, [23.0, 2.0]),
                "| a time | ≤ 2.00 | 23.0 | **missed, 11.50 times** |  |",
            ),
            (Goal::at_most("a time", 2.0, []), "| a time | ≤ 2.00 | NaN | **not measured** |  |"),
        ];
        for (goal, row) in cases {
            assert_eq!(goal.row(), row);
        }
    }
}
