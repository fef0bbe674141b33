//! [`Book`]: what is stored of the products of one partition, bounded; it saves reading before every decision.
//!
//! Of most routes nothing is stored, and that is what reading finds most often: so it is remembered for many more products
//! than opportunities are.
//!
//! True as long as the partition is owned, since nobody else writes its products' opportunities; conditional writes find
//! out where that is not so. It is dropped with the partition.

use std::collections::HashMap;

use shared::domain::{Asin, Marketplace, Opportunity, OpportunityId};
use shared::ports::catalog::{Version, Versioned};

/// What is held at most.
#[derive(Debug, Clone, Copy)]
struct Capacity {
    /// Products, of whatever is stored of them: 100 bytes each.
    products: usize,
    /// Stored opportunities: some 2 kB each.
    opportunities: usize,
}

const CAPACITY: Capacity = Capacity {
    products: 100_000,
    opportunities: 20_000,
};

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

/// A set of marketplaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Markets(u16);

impl Markets {
    fn has_all(self, others: Markets) -> bool {
        self.0 & others.0 == others.0
    }
}

impl FromIterator<Marketplace> for Markets {
    fn from_iter<I: IntoIterator<Item = Marketplace>>(markets: I) -> Self {
        Markets(markets.into_iter().fold(0, |set, market| set | 1 << market as u16))
    }
}

/// The routes of a product.
#[derive(Debug, Default)]
struct Page {
    /// All routes between these were looked for; one that is not in `stored` does not exist.
    covered: Markets,
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
    /// Stored opportunities on all pages.
    opportunities: usize,
}

impl Book {
    /// Whether all routes of a product between these marketplaces are known.
    pub(crate) fn covers(&mut self, asin: Asin, markets: Markets) -> bool {
        self.uses += 1;
        let used = self.uses;
        self.pages.get_mut(&asin).is_some_and(|page| {
            page.used = used;
            page.covered.has_all(markets)
        })
    }

    /// Takes in what was read of a product's routes between these marketplaces.
    pub(crate) fn enter(&mut self, asin: Asin, covered: Markets, stored: Vec<Held>) {
        self.forget(asin);
        self.uses += 1;
        self.opportunities += stored.len();
        let used = self.uses;
        self.pages.insert(asin, Page { covered, stored, used });
    }

    /// The routes have to be read again; the revision seen is kept.
    pub(crate) fn forget(&mut self, asin: Asin) {
        if let Some(page) = self.pages.remove(&asin) {
            self.opportunities -= page.stored.len();
        }
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
            None => {
                page.stored.push(written);
                self.opportunities += 1;
            }
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

    /// Drops the products used longest ago once too much is held, a quarter at a time.
    pub(crate) fn shrink(&mut self) {
        self.shrink_to(CAPACITY);
    }

    fn shrink_to(&mut self, capacity: Capacity) {
        if self.opportunities > capacity.opportunities {
            // Products of which nothing is stored are not what takes the room.
            self.drop_oldest(capacity.opportunities * 3 / 4, |page| page.stored.len());
        }
        if self.pages.len() > capacity.products {
            self.drop_oldest(capacity.products * 3 / 4, |_| 1);
        }
        if self.seen.len() > capacity.products {
            self.seen.retain(|asin, _| self.pages.contains_key(asin));
        }
    }

    /// Keeps the products used last, up to a total size; those without a size are kept.
    fn drop_oldest(&mut self, keep: usize, size: impl Fn(&Page) -> usize) {
        let mut sizes: Vec<(u64, usize)> = self.pages.values().map(|page| (page.used, size(page))).filter(|(_, size)| *size > 0).collect();
        sizes.sort_unstable_by_key(|(used, _)| std::cmp::Reverse(*used));
        let mut total = 0;
        let first_dropped = sizes.into_iter().find(|(_, size)| {
            total += size;
            total > keep
        });
        if let Some((used, _)) = first_dropped {
            self.pages.retain(|_, page| page.used > used || size(page) == 0);
            self.opportunities = self.pages.values().map(|page| page.stored.len()).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::Marketplace::{DE, FR, IT, UK};

    use shared::domain::UnixMillis;

    use super::*;
    use crate::bench::product;
    use crate::detect::{Basis, Decision, Evaluator, decide};
    use crate::settings::{Rules, Settings};

    fn asin(number: usize) -> Asin {
        format!("B{number:09}").parse().unwrap()
    }

    /// An open gap.
    fn opportunity(asin: Asin) -> Opportunity {
        let rules = Rules {
            min_margin_percent: 10.into(),
            leg_stale_after_ms: 86_400_000,
            markets: vec![DE, IT],
            seller: std::sync::Arc::default(),
        };
        let basis = Basis {
            settings: Settings::new(&rules, 1),
            rates: None,
            simulated: None,
        };
        let now = UnixMillis(1_783_684_800_000);
        let product = product(asin.as_str(), 1, now, &[(DE, Some(4_000)), (IT, Some(5_000))]);
        let routes = Evaluator::new(&basis, now).evaluate(&product, now);
        match decide(None, &product.listing, &routes[0]) {
            Decision::Write { opportunity, .. } => *opportunity,
            Decision::Nothing => panic!("a gap"),
        }
    }

    fn nothing() -> Markets {
        Markets::default()
    }

    /// Products of which so many routes are stored.
    fn book(stored: &[usize]) -> Book {
        let mut book = Book::default();
        for (number, &routes) in stored.iter().enumerate() {
            let held = |_| Held {
                opportunity: opportunity(asin(number)),
                version: Version {
                    index: "opportunities".into(),
                    seq_no: 1,
                    primary_term: 1,
                },
                published: true,
            };
            book.enter(asin(number), nothing(), (0..routes).map(held).collect());
            book.see(asin(number), 1);
        }
        book
    }

    fn kept(book: &mut Book, of: usize) -> Vec<usize> {
        (0..of).filter(|&number| book.covers(asin(number), nothing())).collect()
    }

    #[test]
    fn the_products_used_longest_ago_are_dropped_once_there_are_too_many() {
        let capacity = Capacity {
            products: 8,
            opportunities: 100,
        };
        let mut book = book(&[0; 8]);
        book.shrink_to(capacity);
        assert_eq!(book.pages.len(), 8);
        assert!(book.covers(asin(0), nothing()));
        book.enter(asin(8), nothing(), Vec::new());
        book.see(asin(8), 1);
        book.shrink_to(capacity);
        assert_eq!(kept(&mut book, 9), [0, 4, 5, 6, 7, 8]);
        assert_eq!((book.seen(asin(1)), book.seen(asin(0))), (None, Some(1)));
    }

    #[test]
    fn that_nothing_is_stored_is_remembered_when_opportunities_are_dropped() {
        let mut book = book(&[0, 3, 0, 2, 2, 2, 0]);
        book.shrink_to(Capacity {
            products: 100,
            opportunities: 8,
        });
        assert_eq!(kept(&mut book, 7), [0, 2, 3, 4, 5, 6]);
        // Opened again, it is read again: the revision seen is still known.
        assert_eq!(book.seen(asin(1)), Some(1));
    }

    #[test]
    fn routes_are_known_between_the_marketplaces_that_were_looked_at() {
        let mut book = Book::default();
        book.enter(asin(1), [DE, IT, UK].into_iter().collect(), Vec::new());
        assert!(book.covers(asin(1), [DE, UK].into_iter().collect()));
        assert!(!book.covers(asin(1), [DE, FR].into_iter().collect()));
        assert!(!book.covers(asin(2), nothing()));
    }

    #[test]
    fn the_revision_seen_is_kept_while_the_routes_are_read_again() {
        let mut book = Book::default();
        book.enter(asin(1), nothing(), Vec::new());
        book.see(asin(1), 7);
        book.see(asin(1), 6);
        book.forget(asin(1));
        assert!(!book.covers(asin(1), nothing()));
        assert_eq!(book.seen(asin(1)), Some(7));
    }
}
