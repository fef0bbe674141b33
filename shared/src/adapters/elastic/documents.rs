//! What is stored for each kind of document, and reading it back by id.

use std::sync::Arc;

use elasticsearch::http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::classify::{ErrorCause, is_configuration_fault};
use super::client::{Client, malformed};
use super::languages;
use crate::adapters::paging::refuse_id;
use crate::adapters::words;
use crate::domain::listing::name_key;
use crate::domain::{Opportunity, StoredProduct, UnixMillis};
use crate::ports::catalog::{CatalogError, StateRecord, Version, Versioned};
use crate::wire::{self, OpportunityDocument, ProductDocument};

/// More ids than this go in several requests.
const MAX_IDS: usize = 1_000;

/// A value as an Elasticsearch document.
pub(super) trait Document: Sized {
    /// Its id.
    fn id(&self) -> String;

    /// Appends the JSON stored, without line breaks.
    fn append_source(&self, json: &mut Vec<u8>);

    /// The JSON stored.
    fn to_source(&self) -> Vec<u8> {
        let mut json = Vec::new();
        self.append_source(&mut json);
        json
    }

    /// The value stored as this JSON.
    fn from_source(source: &str) -> serde_json::Result<Self>;
}

impl Document for StoredProduct {
    fn id(&self) -> String {
        self.product.asin.to_string()
    }

    fn append_source(&self, json: &mut Vec<u8>) {
        wire::product::append_catalog_json(self, json);
        add_field(json, "words", &words::of_product(self));
        add_field(json, "texts", &languages::texts(&self.product));
    }

    fn from_source(source: &str) -> serde_json::Result<Self> {
        serde_json::from_str::<ProductDocument>(source).map(Into::into)
    }
}

impl Document for Opportunity {
    fn id(&self) -> String {
        self.id.to_string()
    }

    fn append_source(&self, json: &mut Vec<u8>) {
        let document = OpportunityDocument::from(self.clone());
        wire::opportunity::append_catalog_json(&document, json);
        add_field(json, "words", &words::of_opportunity(&document));
        if let Some(title) = &document.title {
            add_field(json, "title_key", &name_key(title));
        }
    }

    fn from_source(source: &str) -> serde_json::Result<Self> {
        serde_json::from_str::<OpportunityDocument>(source).map(Into::into)
    }
}

/// A state record as stored.
#[derive(Serialize, Deserialize)]
struct StateDocument {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    at: UnixMillis,
    body: Value,
}

impl Document for StateRecord {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn append_source(&self, json: &mut Vec<u8>) {
        let StateRecord { id, group, status, at, body } = self.clone();
        append(json, &StateDocument { id, group, status, at, body });
    }

    fn from_source(source: &str) -> serde_json::Result<Self> {
        let StateDocument { id, group, status, at, body } = serde_json::from_str(source)?;
        Ok(StateRecord { id, group, status, at, body })
    }
}

/// Adds what is searched to the object that `json` ends with: it is this adapter's and no part of the document that others
/// read.
fn add_field<T: Serialize>(json: &mut Vec<u8>, name: &'static str, value: &T) {
    json.pop();
    json.push(b',');
    append(json, name);
    json.push(b':');
    append(json, value);
    json.push(b'}');
}

fn append<T: Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(json, value).expect("a document is plain data with string keys, and memory takes it");
}

/// Decodes a stored document.
pub(super) fn decode<T: Document>(id: &str, source: &RawValue) -> Result<T, CatalogError> {
    T::from_source(source.get()).map_err(|error| unreadable(id, &error))
}

/// A stored document that is not what we write.
pub(super) fn unreadable(id: &str, error: &serde_json::Error) -> CatalogError {
    CatalogError::Misconfigured {
        reason: format!("the stored document {id:?} cannot be read: {error}"),
    }
}

/// The version of a document as Elasticsearch tells it.
pub(super) fn version(index: Option<&str>, seq_no: Option<u64>, primary_term: Option<u64>) -> Option<Version> {
    Some(Version {
        index: Arc::from(index?),
        seq_no: seq_no?,
        primary_term: primary_term?,
    })
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    docs: Vec<FoundDocument<'a>>,
}

#[derive(Deserialize)]
struct FoundDocument<'a> {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default, rename = "_index")]
    index: Option<String>,
    #[serde(default)]
    found: bool,
    #[serde(default, rename = "_seq_no")]
    seq_no: Option<u64>,
    #[serde(default, rename = "_primary_term")]
    primary_term: Option<u64>,
    #[serde(default, borrow, rename = "_source")]
    source: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<ErrorCause>,
}

/// Documents by id, in real time, in the order asked for.
pub(super) async fn read<T: Document>(client: &Client, alias: &str, ids: &[String]) -> Result<Vec<Option<Versioned<T>>>, CatalogError> {
    let mut read: Vec<Option<Versioned<T>>> = std::iter::repeat_with(|| None).take(ids.len()).collect();
    // An id that cannot be written is not there; asking for it would fail the whole request.
    let possible: Vec<usize> = (0..ids.len()).filter(|&place| refuse_id(&ids[place]).is_none()).collect();
    for places in possible.chunks(MAX_IDS) {
        let asked: Vec<&str> = places.iter().map(|&place| ids[place].as_str()).collect();
        let body = serde_json::json!({ "ids": asked });
        let answer = client.call(Method::Post, &format!("/{alias}/_mget"), &[], Some(&body)).await?;
        let found: Found<'_> = serde_json::from_slice(&answer).map_err(|error| malformed("a read by id", &error))?;
        if found.docs.len() != asked.len() {
            return Err(malformed("a read by id", &format!("{} documents stand for {}", found.docs.len(), asked.len())));
        }
        for (document, &place) in found.docs.into_iter().zip(places) {
            read[place] = read_one(document, &ids[place])?;
        }
    }
    Ok(read)
}

fn read_one<T: Document>(document: FoundDocument<'_>, id: &str) -> Result<Option<Versioned<T>>, CatalogError> {
    if let Some(cause) = document.error {
        let reason = cause.to_string();
        return Err(if is_configuration_fault(0, &cause) {
            CatalogError::Misconfigured { reason }
        } else {
            CatalogError::Unavailable { reason }
        });
    }
    if document.id != id {
        return Err(malformed("a read by id", &format!("{:?} stands for {id:?}", document.id)));
    }
    if !document.found {
        return Ok(None);
    }
    let version = version(document.index.as_deref(), document.seq_no, document.primary_term);
    let (Some(version), Some(source)) = (version, document.source) else {
        return Err(malformed("a read by id", &format!("{id:?} has no version or no source")));
    };
    Ok(Some(Versioned {
        value: decode(id, source)?,
        version,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(json: &str) -> Result<Option<Versioned<StateRecord>>, CatalogError> {
        read_one(serde_json::from_str(json).expect("JSON"), "a")
    }

    #[test]
    fn a_document_that_was_read_has_a_version_and_its_source() {
        let read = one(r#"{"_index":"s-v1","_id":"a","_seq_no":3,"_primary_term":1,"found":true,"_source":{"id":"a","at":5,"body":{"x":1}}}"#);
        let read = read.unwrap().unwrap();
        assert_eq!((read.value.at, &*read.version.index, read.version.seq_no), (UnixMillis(5), "s-v1", 3));
        assert_eq!(one(r#"{"_index":"s-v1","_id":"a","found":false}"#).unwrap(), None);
    }

    #[test]
    fn an_answer_that_is_odd_is_an_error_and_never_an_absence() {
        for (json, misconfigured) in [
            (r#"{"_id":"a","error":{"type":"index_not_found_exception","reason":"no such index"}}"#, true),
            (r#"{"_id":"a","error":{"type":"no_shard_available_action_exception","reason":"x"}}"#, false),
            (r#"{"_id":"b","found":false}"#, false),
            (r#"{"_id":"a","found":true}"#, false),
            (r#"{"_id":"a","found":true,"_index":"i","_seq_no":1,"_primary_term":1}"#, false),
            (
                r#"{"_id":"a","found":true,"_index":"i","_seq_no":1,"_primary_term":1,"_source":{"id":7}}"#,
                true,
            ),
        ] {
            let error = one(json).expect_err(json);
            assert_eq!(matches!(error, CatalogError::Misconfigured { .. }), misconfigured, "{json}: {error}");
        }
    }
}
