//! Whether two indices hold the same documents: all are counted, a sample is compared whole.
//!
//! The sample is compared while writes go on, which proves what does not change any more; while writes pause only the rest
//! has to be looked at.

use std::collections::{BTreeMap, BTreeSet};

use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::client::{Client, malformed};
use super::super::documents::{Document, decode};
use super::ReindexError;
use crate::ports::catalog::CatalogError;

/// Documents read at once.
const PAGE: usize = 200;

/// Some of all ids that were offered, each as likely as any other: which, follows from the ids and the seed alone.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    size: usize,
    seed: u64,
    /// Those with the least hashes.
    held: BTreeSet<(u64, String)>,
    /// Of those that were the same in both when they were last compared, the checksums.
    proven: BTreeMap<String, u64>,
}

impl Sample {
    pub(super) fn new(size: usize, seed: u64) -> Sample {
        Sample {
            size,
            seed,
            held: BTreeSet::new(),
            proven: BTreeMap::new(),
        }
    }

    /// A document was copied, for the first time or again.
    pub(super) fn offer(&mut self, id: &str) {
        let hash = mixed(fnv(self.seed ^ FNV_OFFSET, id.as_bytes()));
        let is_full = self.held.len() >= self.size;
        if is_full && self.held.last().is_none_or(|(greatest, _)| hash > *greatest) {
            return;
        }
        self.proven.remove(id);
        self.held.insert((hash, id.to_owned()));
        if self.held.len() > self.size
            && let Some((_, dropped)) = self.held.pop_last()
        {
            self.proven.remove(&dropped);
        }
    }

    fn unproven(&self) -> Vec<String> {
        let ids = self.held.iter().map(|(_, id)| id);
        ids.filter(|id| !self.proven.contains_key(*id)).cloned().collect()
    }

    /// How many there are, and one checksum over all.
    pub(super) fn sum(&self) -> (usize, u64) {
        let checksums = self.proven.values().map(|checksum| checksum.to_be_bytes());
        (self.proven.len(), checksums.fold(FNV_OFFSET, |sum, bytes| fnv(sum, &bytes)))
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: the same on every machine and in every version.
fn fnv(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Similar ids have similar hashes before this.
fn mixed(mut hash: u64) -> u64 {
    for multiplier in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53_u64] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(multiplier);
    }
    hash ^ (hash >> 33)
}

#[derive(Deserialize)]
struct Counted {
    count: u64,
}

/// How many documents a search finds.
pub(super) async fn count(client: &Client, index: &str) -> Result<u64, CatalogError> {
    let answer = client.call(Method::Get, &format!("/{index}/_count"), &[], None).await?;
    let counted: Counted = serde_json::from_slice(&answer).map_err(|error| malformed("a question for a count", &error))?;
    Ok(counted.count)
}

/// How many documents both have.
pub(super) async fn counts(client: &Client, from: &str, to: &str) -> Result<u64, ReindexError> {
    client.call(Method::Post, &format!("/{from},{to}/_refresh"), &[], None).await?;
    let (expected, found) = (count(client, from).await?, count(client, to).await?);
    if expected == found {
        return Ok(expected);
    }
    Err(ReindexError::Count {
        from: from.to_owned(),
        expected,
        to: to.to_owned(),
        found,
    })
}

/// Compares the sampled documents that are not proven: what is in the new index has to be what the present code makes of
/// the old one's. Returns an id that is not the same in both, if there is one: while writes go on that may be by right.
pub(super) async fn samples<T: Document>(client: &Client, from: &str, to: &str, sample: &mut Sample) -> Result<Option<String>, CatalogError> {
    let mut different = None;
    for ids in sample.unproven().chunks(PAGE) {
        let (old, new) = (sources(client, from, ids).await?, sources(client, to, ids).await?);
        for ((id, old), new) in ids.iter().zip(old).zip(new) {
            let expected = old.as_deref().map(|old| decode::<T>(id, old)).transpose()?.map(|value| value.to_source());
            let expected = expected.map(|expected| checksum(&expected)).transpose()?;
            let found = new.as_deref().map(|new| checksum(new.get().as_bytes())).transpose()?;
            match found {
                Some(found) if expected == Some(found) => drop(sample.proven.insert(id.clone(), found)),
                _ => different = Some(id.clone()),
            }
        }
    }
    Ok(different)
}

/// Of a document, in whatever order its fields stand.
fn checksum(source: &[u8]) -> Result<u64, CatalogError> {
    let value: Value = serde_json::from_slice(source).map_err(|error| malformed("a read by id", &error))?;
    Ok(mixed(fnv(FNV_OFFSET, value.to_string().as_bytes())))
}

#[derive(Deserialize)]
struct Found {
    docs: Vec<FoundDocument>,
}

#[derive(Deserialize)]
struct FoundDocument {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    found: Option<bool>,
    #[serde(default, rename = "_source")]
    source: Option<Box<RawValue>>,
}

/// Documents as they are stored, in real time, in the order asked for.
async fn sources(client: &Client, index: &str, ids: &[String]) -> Result<Vec<Option<Box<RawValue>>>, CatalogError> {
    let body = serde_json::json!({ "ids": ids });
    let answer = client.call(Method::Post, &format!("/{index}/_mget"), &[], Some(&body)).await?;
    let found: Found = serde_json::from_slice(&answer).map_err(|error| malformed("a read by id", &error))?;
    let in_order = found.docs.len() == ids.len() && found.docs.iter().zip(ids).all(|(document, id)| document.id == *id);
    // A document that could not be read says neither that it is there nor that it is not.
    if !in_order || found.docs.iter().any(|document| document.found.is_none()) {
        return Err(malformed("a read by id", &"not every document is answered for"));
    }
    Ok(found.docs.into_iter().map(|document| document.source).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(size: usize, seed: u64, ids: impl Iterator<Item = usize>) -> Vec<String> {
        let mut sample = Sample::new(size, seed);
        ids.for_each(|id| sample.offer(&format!("B0{id:08}")));
        sample.unproven()
    }

    #[test]
    fn a_sample_follows_from_the_ids_and_the_seed_and_from_no_order() {
        let one = sampled(100, 7, 0..5_000);
        assert_eq!(one.len(), 100);
        assert_eq!(one, sampled(100, 7, (0..5_000).rev().chain(0..2_000)));
        let another = sampled(100, 8, 0..5_000);
        assert!(one.iter().filter(|id| another.contains(id)).count() < 20, "another seed, another sample");
        assert_eq!(sampled(100, 7, 0..60).len(), 60);
        assert!(sampled(0, 7, 0..60).is_empty());
    }

    #[test]
    fn a_sample_is_of_all_parts_of_the_ids() {
        let sample = sampled(400, 1, 0..4_000);
        for quarter in 0..4 {
            let from = format!("B0{:08}", quarter * 1_000);
            let to = format!("B0{:08}", (quarter + 1) * 1_000);
            let count = sample.iter().filter(|id| **id >= from && **id < to).count();
            assert!((60..=140).contains(&count), "{count} of 400 are in the quarter from {from}");
        }
    }

    #[test]
    fn the_order_of_fields_does_not_count_and_every_digit_does() {
        let of = |text: &str| checksum(text.as_bytes()).unwrap();
        assert_eq!(of(r#"{"a":1,"b":[1.10]}"#), of(r#"{"b":[1.10], "a":1}"#));
        assert_ne!(of(r#"{"a":1,"b":[1.10]}"#), of(r#"{"a":1,"b":[1.1]}"#));
    }

    #[test]
    fn what_is_copied_again_has_to_be_proven_again() {
        let mut sample = Sample::new(2, 1);
        ["a", "b"].iter().for_each(|id| sample.offer(id));
        sample.proven.extend([("a".to_owned(), 7), ("b".to_owned(), 8)]);
        assert_eq!((sample.unproven(), sample.sum().0), (vec![], 2));
        sample.offer("b");
        assert_eq!((sample.unproven(), sample.sum().0), (vec!["b".to_owned()], 1));
        // And what is pushed out of the sample counts no more.
        (0..50).for_each(|id| sample.offer(&format!("{id}")));
        assert!(sample.held.len() == 2 && sample.proven.keys().all(|id| sample.held.iter().any(|(_, held)| held == id)));
    }
}
