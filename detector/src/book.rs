//! [`Book`]: what is stored of the products of one partition, bounded; it saves reading before every decision.
//!
//! True as long as the partition is owned, since nobody else writes its products' opportunities; conditional writes find
//! out where that is not so. It is dropped with the partition.

use std::collections::HashMap;

use shared::domain::{Asin, Opportunity, OpportunityId};
use shared::ports::catalog::{Version, Versioned};

/// Products held. Some four stored routes each make it some 20 MB.
const CAPACITY: usize = 5_000;

/// A stored opportunity.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) opportunity: Opportunity,
    pub(crate) version: Version,
    /// Its last event, and the update after it, are known to have left: told, or told again, by this worker.
    pub(crate) published: bool,
}

impl Held {
    /// As read from the catalog: whether its event ever left is not known.
    pub(crate) fn read(read: Versioned<Opportunity>) -> Self {
        Held {
            opportunity: read.value,
            version: read.version,
            published: false,
        }
    }
}

/// The routes of a product.
#[derive(Debug, Default)]
struct Page {
    /// The routes that were looked for; one that is not in `stored` does not exist.
    covered: Vec<OpportunityId>,
    stored: Vec<Held>,
    used: u64,
}

/// The routes and revisions of many products.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pages: HashMap<Asin, Page>,
    /// The greatest revision seen of a product. It outlives the page while that is read again.
    seen: HashMap<Asin, i64>,
    uses: u64,
}

impl Book {
    /// Whether all these routes of a product are known.
    pub(crate) fn covers(&mut self, asin: Asin, ids: &[OpportunityId]) -> bool {
        self.uses += 1;
        let used = self.uses;
        self.pages.get_mut(&asin).is_some_and(|page| {
            page.used = used;
            ids.iter().all(|id| page.covered.contains(id))
        })
    }

    /// Takes in what was read of a product's routes.
    pub(crate) fn enter(&mut self, asin: Asin, covered: Vec<OpportunityId>, stored: Vec<Held>) {
        self.uses += 1;
        self.pages.insert(
            asin,
            Page {
                covered,
                stored,
                used: self.uses,
            },
        );
    }

    /// The routes have to be read again; the revision seen is kept.
    pub(crate) fn forget(&mut self, asin: Asin) {
        self.pages.remove(&asin);
    }

    /// What is stored of a route.
    pub(crate) fn route(&self, id: &OpportunityId) -> Option<&Held> {
        self.pages.get(&id.asin)?.stored.iter().find(|held| held.opportunity.id == *id)
    }

    /// All that is stored of a product.
    pub(crate) fn routes_mut(&mut self, asin: Asin) -> impl Iterator<Item = &mut Held> {
        self.pages.get_mut(&asin).into_iter().flat_map(|page| page.stored.iter_mut())
    }

    /// A route was written.
    pub(crate) fn put(&mut self, written: Held) {
        let Some(page) = self.pages.get_mut(&written.opportunity.id.asin) else {
            return;
        };
        match page.stored.iter_mut().find(|held| held.opportunity.id == written.opportunity.id) {
            Some(held) => *held = written,
            None => page.stored.push(written),
        }
    }

    /// The greatest revision seen of a product.
    pub(crate) fn seen(&self, asin: Asin) -> Option<i64> {
        self.seen.get(&asin).copied()
    }

    /// A product of this revision was seen.
    pub(crate) fn see(&mut self, asin: Asin, revision: i64) {
        let seen = self.seen.entry(asin).or_insert(revision);
        *seen = revision.max(*seen);
    }

    /// Drops the products used longest ago once there are too many, a quarter at a time.
    pub(crate) fn shrink(&mut self) {
        self.shrink_to(CAPACITY);
    }

    fn shrink_to(&mut self, capacity: usize) {
        if self.pages.len() > capacity {
            let mut uses: Vec<u64> = self.pages.values().map(|page| page.used).collect();
            uses.sort_unstable();
            let keep_from = uses[uses.len() - capacity * 3 / 4];
            self.pages.retain(|_, page| page.used >= keep_from);
        }
        if self.seen.len() > capacity {
            self.seen.retain(|asin, _| self.pages.contains_key(asin));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asin(number: usize) -> Asin {
        format!("B{number:09}").parse().unwrap()
    }

    #[test]
    fn the_products_used_longest_ago_are_dropped_once_there_are_too_many() {
        let mut book = Book::default();
        for number in 0..8 {
            book.enter(asin(number), Vec::new(), Vec::new());
            book.see(asin(number), 1);
        }
        book.shrink_to(8);
        assert_eq!(book.pages.len(), 8);
        assert!(book.covers(asin(0), &[]));
        book.enter(asin(8), Vec::new(), Vec::new());
        book.see(asin(8), 1);
        book.shrink_to(8);
        let kept: Vec<usize> = (0..9).filter(|&number| book.covers(asin(number), &[])).collect();
        assert_eq!(kept, [0, 4, 5, 6, 7, 8]);
        assert_eq!((book.seen(asin(1)), book.seen(asin(0))), (None, Some(1)));
    }

    #[test]
    fn the_revision_seen_is_kept_while_the_routes_are_read_again() {
        let mut book = Book::default();
        book.enter(asin(1), Vec::new(), Vec::new());
        book.see(asin(1), 7);
        book.see(asin(1), 6);
        book.forget(asin(1));
        assert!(!book.covers(asin(1), &[]));
        assert_eq!(book.seen(asin(1)), Some(7));
    }
}
