//! The category tree of each market: three levels, ids of its own.

use std::collections::HashMap;

use super::assortment::Place;
use super::noise::Noise;
use super::vocabulary::{DEPARTMENTS, MARKETS};

/// A category of one market.
#[derive(Debug, Clone)]
pub(super) struct Category {
    pub(super) id: i64,
    /// 0 for roots.
    pub(super) parent: i64,
    pub(super) children: Vec<i64>,
    pub(super) name: &'static str,
    /// With the names above it, as Keepa's `contextFreeName`.
    pub(super) full_name: String,
    pub(super) part: Part,
}

/// Which part of the assortment a category holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Department(usize),
    Aisle(usize, usize),
    Kind(usize, usize, usize),
}

impl Part {
    pub(super) fn holds(self, place: Place) -> bool {
        match self {
            Part::Department(department) => place.department == department,
            Part::Aisle(department, aisle) => (place.department, place.aisle) == (department, aisle),
            Part::Kind(department, aisle, kind) => place == Place { department, aisle, kind },
        }
    }
}

/// The categories of one market.
#[derive(Debug)]
pub(super) struct CategoryTree {
    categories: Vec<Category>,
    by_id: HashMap<i64, usize>,
    by_part: HashMap<Part, usize>,
}

impl CategoryTree {
    pub(super) fn new(noise: Noise, market: usize) -> Self {
        let mut tree = CategoryTree {
            categories: Vec::new(),
            by_id: HashMap::new(),
            by_part: HashMap::new(),
        };
        let noise = noise.named("category").at(MARKETS[market].keepa_id() as u64);
        for (department, shelves) in DEPARTMENTS.iter().enumerate() {
            let root = tree.add(noise, None, shelves.name[market], Part::Department(department));
            for (aisle, kinds) in shelves.aisles.iter().enumerate() {
                let middle = tree.add(noise, Some(root), kinds.name[market], Part::Aisle(department, aisle));
                for (kind, sold) in kinds.kinds.iter().enumerate() {
                    tree.add(noise, Some(middle), sold.noun[market], Part::Kind(department, aisle, kind));
                }
            }
        }
        tree
    }

    fn add(&mut self, noise: Noise, parent: Option<usize>, name: &'static str, part: Part) -> usize {
        let index = self.categories.len();
        // Roots have short ids, the rest long ones, as on Amazon. Taken ids give way to the next draw.
        let range = if parent.is_none() {
            (50_000, 999_999_999)
        } else {
            (1_000_000_000, 99_999_999_999)
        };
        let id = (0_u64..)
            .map(|attempt| noise.at(index as u64).at(attempt).between(range.0, range.1) / 10 * 10 + 1)
            .find(|id| !self.by_id.contains_key(id))
            .expect("there are more ids than categories");
        let full_name = match parent {
            Some(parent) => format!("{} > {name}", self.categories[parent].full_name),
            None => name.to_owned(),
        };
        let parent_id = parent.map_or(0, |parent| self.categories[parent].id);
        if let Some(parent) = parent {
            self.categories[parent].children.push(id);
        }
        self.categories.push(Category {
            id,
            parent: parent_id,
            children: Vec::new(),
            name,
            full_name,
            part,
        });
        self.by_id.insert(id, index);
        self.by_part.insert(part, index);
        index
    }

    pub(super) fn all(&self) -> &[Category] {
        &self.categories
    }

    pub(super) fn roots(&self) -> impl Iterator<Item = &Category> {
        self.categories.iter().filter(|category| category.parent == 0)
    }

    pub(super) fn get(&self, id: i64) -> Option<&Category> {
        self.by_id.get(&id).map(|index| &self.categories[*index])
    }

    /// Root to leaf.
    pub(super) fn path(&self, place: Place) -> [&Category; 3] {
        let of = |part| &self.categories[self.by_part[&part]];
        [
            of(Part::Department(place.department)),
            of(Part::Aisle(place.department, place.aisle)),
            of(Part::Kind(place.department, place.aisle, place.kind)),
        ]
    }

    /// The categories above one, nearest first.
    pub(super) fn ancestors(&self, category: &Category) -> Vec<&Category> {
        let mut above = Vec::new();
        let mut parent = category.parent;
        while let Some(found) = self.get(parent) {
            above.push(found);
            parent = found.parent;
        }
        above
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_a_path_of_three_and_ids_differ_between_markets() {
        let noise = Noise::new(5);
        let german = CategoryTree::new(noise, 0);
        let british = CategoryTree::new(noise, 4);
        for place in Place::all() {
            let [root, middle, leaf] = german.path(place);
            assert_eq!((root.parent, middle.parent, leaf.parent), (0, root.id, middle.id));
            assert!(root.part.holds(place) && middle.part.holds(place) && leaf.part.holds(place));
            assert!(british.get(leaf.id).is_none());
            assert_eq!(german.ancestors(leaf).len(), 2);
        }
        assert_eq!(german.roots().count(), 10);
        assert_eq!(german.roots().next().map(|root| root.name), Some("Elektronik & Foto"));
    }
}
