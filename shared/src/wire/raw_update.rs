//! Topic `raw.keepa_updates`: the envelope around one product object, which stays byte for byte what Keepa said.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::{Asin, Marketplace, UnixMillis};

/// Envelope version 1, as the producer writes it. Fields stand in the documented order.
///
/// The decoder (enricher) reads it borrowed and checks each field by itself, so that every refusal names its class.
#[derive(Debug, Serialize)]
pub struct RawUpdate<'a> {
    v: u8,
    asin: Asin,
    domain_id: i32,
    fetched_at_ms: i64,
    source: &'a str,
    run_id: Option<&'a str>,
    product: &'a RawValue,
}

impl<'a> RawUpdate<'a> {
    /// The version written.
    pub const VERSION: u8 = 1;

    /// An envelope; `source` says why the product was asked for (`watchlist`, `scrape`, `deals`).
    #[must_use]
    pub fn new(asin: Asin, marketplace: Marketplace, fetched_at: UnixMillis, source: &'a str, run_id: Option<&'a str>, product: &'a RawValue) -> Self {
        RawUpdate {
            v: Self::VERSION,
            asin,
            domain_id: marketplace.keepa_id(),
            fetched_at_ms: fetched_at.0,
            source,
            run_id,
            product,
        }
    }

    /// The record's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an envelope is a plain struct")
    }
}

/// The envelope as read, borrowed from the record. Absent fields are `None`: the decoder decides.
#[derive(Debug, Deserialize)]
#[allow(missing_docs)]
pub struct RawEnvelope<'a> {
    #[serde(default)]
    pub v: Option<i64>,
    #[serde(default, borrow)]
    pub asin: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    pub domain_id: Option<i64>,
    #[serde(default)]
    pub fetched_at_ms: Option<i64>,
    #[serde(default, borrow)]
    pub source: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, borrow)]
    pub run_id: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, borrow)]
    pub product: Option<&'a RawValue>,
}
