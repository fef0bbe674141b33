//! Which node is asked next. Pure: time is an argument, and nothing is left to chance.
//!
//! Nodes are used in turn. One that failed is left out for a while, a second at first and twice as long each time, up to
//! a minute. When the while is over one request tries it; the others still leave it out until that one was answered.
//! When all are left out, the one whose while ends first is tried: being left out never makes a request fail.

use std::time::{Duration, Instant};

/// How long a node is left out after its first failure.
const FIRST: Duration = Duration::from_secs(1);
/// And after many.
const LONGEST: Duration = Duration::from_secs(60);

/// The nodes of one cluster by their places in the configuration.
#[derive(Debug, Clone)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    next: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// None while it works.
    quarantine: Option<Quarantine>,
}

#[derive(Debug, Clone, Copy)]
struct Quarantine {
    since: Instant,
    until: Instant,
    length: Duration,
}

impl Nodes {
    /// All are presumed to work.
    pub(super) fn new(count: usize) -> Nodes {
        Nodes {
            nodes: vec![Node::default(); count],
            next: 0,
        }
    }

    /// The node for the next request.
    pub(super) fn pick(&mut self, now: Instant) -> usize {
        let count = self.nodes.len();
        let in_turn = (self.next..self.next + count).map(|place| place % count);
        let usable = in_turn.clone().find(|&place| self.nodes[place].is_usable(now));
        // Of several that end at once the one whose turn it is.
        let place = usable.or_else(|| in_turn.min_by_key(|&place| self.nodes[place].quarantine.map(|quarantine| quarantine.until)));
        let place = place.unwrap_or(0);
        self.next = (place + 1) % count.max(1);
        if let Some(quarantine) = self.nodes.get_mut(place).and_then(|node| node.quarantine.as_mut()) {
            quarantine.until = now + quarantine.length;
        }
        place
    }

    /// It answered. True if it had been left out.
    pub(super) fn answered(&mut self, place: usize) -> bool {
        self.nodes[place].quarantine.take().is_some()
    }

    /// A request that began then was not answered. Gives how long the node is left out, unless that is known already.
    pub(super) fn failed(&mut self, place: usize, began: Instant, now: Instant) -> Option<Duration> {
        let node = &mut self.nodes[place];
        let length = match node.quarantine {
            // Requests that were on their way together fail together: that is one failure.
            Some(quarantine) if began < quarantine.since => return None,
            Some(quarantine) => (2 * quarantine.length).min(LONGEST),
            None => FIRST,
        };
        node.quarantine = Some(Quarantine {
            since: now,
            until: now + length,
            length,
        });
        Some(length)
    }

    /// How many are left out now or being tried.
    pub(super) fn quarantined(&self) -> usize {
        self.nodes.iter().filter(|node| node.quarantine.is_some()).count()
    }
}

impl Node {
    fn is_usable(&self, now: Instant) -> bool {
        self.quarantine.is_none_or(|quarantine| quarantine.until <= now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What happens at a second.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// This node is picked.
        Picks(usize),
        /// A request to this node that began at that second fails, and the node is left out for so many seconds.
        Fails(usize, u64, Option<u64>),
        /// This node answers.
        Answers(usize),
    }
    use Step::{Answers, Fails, Picks};

    fn check(count: usize, steps: &[(u64, Step)]) {
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let mut nodes = Nodes::new(count);
        for (number, &(second, step)) in steps.iter().enumerate() {
            match step {
                Picks(expected) => assert_eq!(nodes.pick(at(second)), expected, "step {number} of {steps:?}"),
                Answers(node) => {
                    nodes.answered(node);
                }
                Fails(node, began, length) => {
                    let left_out = nodes.failed(node, at(began), at(second));
                    assert_eq!(left_out, length.map(Duration::from_secs), "step {number} of {steps:?}");
                }
            }
        }
    }

    #[test]
    fn nodes_are_used_in_turn_and_one_that_fails_is_left_out_for_a_growing_while() {
        check(1, &[(0, Picks(0)), (0, Picks(0)), (0, Fails(0, 0, Some(1))), (0, Picks(0))]);
        check(3, &[(0, Picks(0)), (0, Picks(1)), (0, Picks(2)), (0, Picks(0))]);
        // Left out, tried by one request alone, and left out again for longer.
        check(
            2,
            &[
                (0, Picks(0)),
                (0, Fails(0, 0, Some(1))),
                (0, Picks(1)),
                (0, Picks(1)),
                (1, Picks(0)),
                (1, Picks(1)),
                (1, Picks(1)),
                (1, Fails(0, 1, Some(2))),
                (2, Picks(1)),
                (3, Picks(0)),
                (3, Fails(0, 3, Some(4))),
                (6, Picks(1)),
                (7, Picks(0)),
                // Cured: it has its turn again, and a new failure is a first one.
                (7, Answers(0)),
                (7, Picks(1)),
                (7, Picks(0)),
                (7, Fails(0, 7, Some(1))),
            ],
        );
    }

    #[test]
    fn requests_that_were_on_their_way_together_fail_as_one() {
        check(
            2,
            &[
                (5, Fails(0, 4, Some(1))),
                (6, Fails(0, 4, None)),
                (6, Fails(0, 3, None)),
                (6, Picks(0)),
                (7, Fails(0, 6, Some(2))),
            ],
        );
    }

    #[test]
    fn when_all_are_left_out_the_one_that_ends_first_is_tried() {
        check(
            3,
            &[
                (0, Fails(0, 0, Some(1))),
                (1, Fails(0, 1, Some(2))),
                (1, Fails(1, 1, Some(1))),
                (1, Fails(2, 1, Some(1))),
                // 0 until 3, 1 and 2 until 2; whoever is tried is left out by the next request.
                (1, Picks(1)),
                (1, Picks(2)),
                (1, Picks(1)),
                (3, Picks(2)),
                (3, Picks(0)),
            ],
        );
    }

    #[test]
    fn the_while_has_an_end() {
        let mut nodes = Nodes::new(1);
        let mut now = Instant::now();
        let mut lengths = Vec::new();
        for _ in 0..8 {
            let length = nodes.failed(0, now, now).expect("a new failure");
            lengths.push(length.as_secs());
            now += length;
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(nodes.quarantined(), 1);
        assert!(nodes.answered(0) && !nodes.answered(0));
        assert_eq!(nodes.quarantined(), 0);
    }

    proptest! {
        #[test]
        fn a_working_node_is_never_passed_over_for_one_that_is_left_out(
            count in 1_usize..5,
            steps in prop::collection::vec((0_u64..3_000, 0_usize..5, 0_u8..3), 1..200),
        ) {
            let mut nodes = Nodes::new(count);
            let mut now = Instant::now();
            for (millis, place, what) in steps {
                now += Duration::from_millis(millis);
                let usable: Vec<bool> = nodes.nodes.iter().map(|node| node.is_usable(now)).collect();
                let picked = nodes.pick(now);
                prop_assert!(picked < count);
                prop_assert!(usable[picked] || !usable.contains(&true), "{picked} of {usable:?}");
                match what {
                    0 => { nodes.failed(place % count, now, now); }
                    1 => { nodes.answered(place % count); }
                    _ => {}
                }
                let longest = nodes.nodes.iter().filter_map(|node| node.quarantine).map(|quarantine| quarantine.until - now).max();
                prop_assert!(longest.is_none_or(|longest| longest <= LONGEST));
            }
        }
    }
}
