//! [`Source`], who observed something, and [`BySource`], what each of them says.

use std::array;
use std::ops::Index;

use serde::{Deserialize, Serialize};

/// Who observed it. Sources are never ordered against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Keepa, through our producer.
    Keepa,
    /// An older feed that publishes bare records.
    Feed,
    /// A user of the API.
    Observation,
}

impl Source {
    /// All of them, in their order.
    pub const ALL: [Source; 3] = [Source::Keepa, Source::Feed, Source::Observation];
}

/// A map from sources that needs no memory beside itself: nearly always there is one entry, never more than three, and
/// there is such a map for every marketplace of every product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BySource<T>([Option<T>; Source::ALL.len()]);

impl<T> BySource<T> {
    /// What a source says.
    #[must_use]
    pub fn get(&self, source: Source) -> Option<&T> {
        self.0[source as usize].as_ref()
    }

    /// Likewise, to be changed.
    #[must_use]
    pub fn get_mut(&mut self, source: Source) -> Option<&mut T> {
        self.0[source as usize].as_mut()
    }

    /// Puts it in the place of what the source said, which is returned.
    pub fn insert(&mut self, source: Source, said: T) -> Option<T> {
        self.0[source as usize].replace(said)
    }

    /// Takes away what a source said.
    pub fn remove(&mut self, source: Source) -> Option<T> {
        self.0[source as usize].take()
    }

    /// Those that say something, in the order of the sources.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Source, &T)> {
        Source::ALL.into_iter().zip(&self.0).filter_map(|(source, said)| Some((source, said.as_ref()?)))
    }

    /// Who says something.
    pub fn keys(&self) -> impl Iterator<Item = Source> {
        self.iter().map(|(source, _)| source)
    }

    /// What is said.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }
}

impl<T> Default for BySource<T> {
    fn default() -> Self {
        BySource(array::from_fn(|_| None))
    }
}

impl<T, const N: usize> From<[(Source, T); N]> for BySource<T> {
    fn from(entries: [(Source, T); N]) -> Self {
        entries.into_iter().collect()
    }
}

/// Of several entries of one source the last counts.
impl<T> FromIterator<(Source, T)> for BySource<T> {
    fn from_iter<I: IntoIterator<Item = (Source, T)>>(entries: I) -> Self {
        let mut by_source = BySource::default();
        for (source, said) in entries {
            by_source.insert(source, said);
        }
        by_source
    }
}

/// # Panics
/// Where the source says nothing.
impl<T> Index<Source> for BySource<T> {
    type Output = T;

    fn index(&self, source: Source) -> &T {
        self.get(source).expect("the source says something")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_a_map_from_sources_is(deeds in prop::collection::vec((0..3_usize, prop::option::of(any::<u8>())), 0..12)) {
            let (mut by_source, mut map) = (BySource::default(), BTreeMap::new());
            for (source, said) in deeds {
                let source = Source::ALL[source];
                match said {
                    Some(said) => prop_assert_eq!(by_source.insert(source, said), map.insert(source, said)),
                    None => prop_assert_eq!(by_source.remove(source), map.remove(&source)),
                }
                prop_assert_eq!(by_source.get(source), map.get(&source));
                prop_assert_eq!(by_source.get_mut(source), map.get_mut(&source));
                prop_assert_eq!(by_source.iter().collect::<Vec<_>>(), map.iter().map(|(source, said)| (*source, said)).collect::<Vec<_>>());
                prop_assert!(by_source.keys().eq(map.keys().copied()) && by_source.values().eq(map.values()));
                prop_assert_eq!(by_source.iter().next_back(), map.iter().next_back().map(|(source, said)| (*source, said)));
                prop_assert_eq!(&map.iter().map(|(source, said)| (*source, *said)).collect::<BySource<u8>>(), &by_source);
            }
        }
    }
}
