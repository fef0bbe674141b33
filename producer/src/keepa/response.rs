//! Keepa's JSON, read leniently: any field may be absent, null or of another type than promised; unknown ones are ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use shared::domain::{Asin, Marketplace};

use super::tokens::Meter;

/// The most a body may weigh once decompressed: a hundred full histories are 25 MB.
pub const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// The longest message of Keepa's that is kept.
const MAX_MESSAGE_CHARS: usize = 300;

/// The body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The compressed stream is broken or cut.
    #[error("the gzip stream is broken: {0}")]
    Gzip(String),
    /// More than [`MAX_BODY_BYTES`].
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

/// The text of a body: gunzipped where it begins like gzip, whatever the headers say (Keepa compresses error bodies too,
/// and sometimes unasked).
///
/// A byte that is no UTF-8 becomes U+FFFD: it would be no JSON otherwise, and a whole batch that was paid for would be lost
/// for one letter.
///
/// # Errors
/// A broken stream, or more than `limit` bytes.
pub fn decode_body(bytes: Vec<u8>, limit: usize) -> Result<String, BodyError> {
    let plain = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::with_capacity(bytes.len().saturating_mul(4).min(limit));
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        flate2::read::MultiGzDecoder::new(bytes.as_slice())
            .take(most)
            .read_to_end(&mut plain)
            .map_err(|error| BodyError::Gzip(error.to_string()))?;
        plain
    } else {
        bytes
    };
    if plain.len() > limit {
        return Err(BodyError::TooLarge { limit });
    }
    Ok(String::from_utf8(plain).unwrap_or_else(|error| {
        tracing::warn!(bytes = error.as_bytes().len(), "keepa sent invalid utf-8, the bytes in question are replaced");
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    }))
}

/// Keepa's `error` object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeepaError {
    /// `invalidParameter`, …
    pub kind: String,
    /// For people.
    pub message: String,
    /// May itself hold JSON.
    pub details: String,
}

impl KeepaError {
    /// Message and details on one line, cut to what a log line bears.
    #[must_use]
    pub fn text(&self) -> String {
        let text = if self.details.is_empty() {
            self.message.clone()
        } else {
            format!("{} {}", self.message, self.details)
        };
        text.chars()
            .map(|character| if character.is_control() { ' ' } else { character })
            .take(MAX_MESSAGE_CHARS)
            .collect()
    }
}

/// What surrounds every JSON answer of Keepa's, the payload still unread.
#[derive(Debug, Default)]
pub struct Envelope<'b> {
    /// The bucket, if this is a reading of it: error envelopes carry zeros, which are none.
    pub meter: Option<Meter>,
    /// What the request cost.
    pub tokens_consumed: Option<i64>,
    /// What Keepa complains of; may stand beside a payload.
    pub error: Option<KeepaError>,
    payload: BTreeMap<&'static str, &'b RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Fields<'b> {
    #[serde(borrow, deserialize_with = "present")]
    timestamp: Option<&'b RawValue>,
    #[serde(deserialize_with = "lenient")]
    tokens_left: Option<f64>,
    #[serde(deserialize_with = "lenient")]
    refill_in: Option<f64>,
    #[serde(deserialize_with = "lenient")]
    refill_rate: Option<f64>,
    #[serde(deserialize_with = "lenient")]
    token_flow_reduction: Option<f64>,
    #[serde(deserialize_with = "lenient")]
    tokens_consumed: Option<f64>,
    #[serde(deserialize_with = "lenient")]
    error: Option<ErrorFields>,
    #[serde(borrow, deserialize_with = "present")]
    products: Option<&'b RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    categories: Option<&'b RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    best_sellers_list: Option<&'b RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    asin_list: Option<&'b RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    total_results: Option<&'b RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    deals: Option<&'b RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    sellers: Option<&'b RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorFields {
    #[serde(rename = "type", deserialize_with = "lenient")]
    kind: Option<String>,
    #[serde(deserialize_with = "lenient")]
    message: Option<String>,
    #[serde(deserialize_with = "lenient")]
    details: Option<String>,
}

impl<'b> Envelope<'b> {
    /// Reads the envelope; none if the body is not one (HTML, cut JSON, an object without any of its fields).
    #[must_use]
    pub fn read(body: &'b str) -> Option<Self> {
        let fields: Fields<'b> = serde_json::from_str(body).ok()?;
        let is_envelope = fields.timestamp.is_some() || fields.tokens_left.is_some() || fields.refill_in.is_some() || fields.error.is_some();
        if !is_envelope {
            return None;
        }
        let payload = [
            ("products", fields.products),
            ("categories", fields.categories),
            ("bestSellersList", fields.best_sellers_list),
            ("asinList", fields.asin_list),
            ("totalResults", fields.total_results),
            ("deals", fields.deals),
            ("sellers", fields.sellers),
        ];
        Some(Envelope {
            meter: meter(&fields),
            tokens_consumed: fields.tokens_consumed.and_then(whole),
            error: fields.error.map(|error| KeepaError {
                kind: error.kind.unwrap_or_default(),
                message: error.message.unwrap_or_default(),
                details: error.details.unwrap_or_default(),
            }),
            payload: payload.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        })
    }

    /// Whether anything but the envelope came.
    #[must_use]
    pub fn has_payload(&self) -> bool {
        !self.payload.is_empty()
    }

    fn get<T: Deserialize<'b>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.payload.get(name)?.get()).ok()
    }
}

/// A reading counts only with a refill rate above zero: the zeros of error envelopes would look like an empty bucket for ever.
fn meter(fields: &Fields<'_>) -> Option<Meter> {
    let refill_rate = fields.refill_rate.and_then(whole).filter(|rate| *rate > 0)?;
    let refill_in = fields.refill_in.and_then(whole).unwrap_or(0).clamp(0, 60_000);
    Some(Meter {
        tokens_left: fields.tokens_left.and_then(whole)?,
        refill_in: Duration::from_millis(refill_in.unsigned_abs()),
        refill_rate,
        flow_reduction_milli: fields
            .token_flow_reduction
            .and_then(|reduction| whole((reduction * 1_000.0).ceil()))
            .unwrap_or(0)
            .max(0),
    })
}

/// The whole number at or below, if it is one that tokens and milliseconds can be.
fn whole(number: f64) -> Option<i64> {
    const MOST: f64 = 1e12;
    // In range, so the cast neither saturates nor loses more than the fraction.
    #[allow(clippy::cast_possible_truncation)]
    (number.abs() <= MOST).then(|| number.floor() as i64)
}

/// A value of the promised type, or none.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    let raw = <&'de RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

/// A value that is there and not null, unread.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    let raw = <&'de RawValue>::deserialize(deserializer)?;
    Ok((raw.get() != "null").then_some(raw))
}

/// One product object as Keepa sent it, and what it is about.
#[derive(Debug, Clone)]
pub struct Product {
    /// Which article.
    pub asin: Asin,
    /// Where: what the object says, else what was asked for.
    pub marketplace: Marketplace,
    /// 0 standard … 4 invalid ASIN, 5 variation parent; 0 where absent.
    pub product_type: i64,
    /// Byte for byte.
    pub json: Box<RawValue>,
}

impl Product {
    /// Whether Keepa says that there is no such article.
    #[must_use]
    pub fn is_invalid_asin(&self) -> bool {
        self.product_type == 4
    }
}

/// The products of an answer, found by ASIN: order and completeness are not to be relied on.
#[derive(Debug, Default)]
pub struct Products {
    /// Those that came, once each, also such as were not asked for.
    pub found: Vec<Product>,
    /// Those that were asked for and did not come, in the order asked.
    pub left_out: Vec<Asin>,
    /// Objects that name no ASIN: nobody can tell what they are.
    pub unreadable: usize,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ProductPeek {
    #[serde(deserialize_with = "lenient")]
    asin: Option<String>,
    #[serde(deserialize_with = "lenient")]
    domain_id: Option<i64>,
    #[serde(deserialize_with = "lenient")]
    product_type: Option<i64>,
}

/// The answer to [`super::Request::Products`] or a product search.
#[must_use]
pub fn products(envelope: &Envelope<'_>, market: Marketplace, asked: &[Asin]) -> Products {
    let objects: Vec<&RawValue> = envelope.get("products").unwrap_or_default();
    let mut products = Products::default();
    let mut seen = BTreeSet::new();
    for object in objects.into_iter().filter(|object| object.get() != "null") {
        let peek: ProductPeek = serde_json::from_str(object.get()).unwrap_or_default();
        let Some(asin) = peek.asin.and_then(|asin| asin.parse::<Asin>().ok()) else {
            products.unreadable += 1;
            continue;
        };
        // An id that no marketplace has is left in the object for the decoder to refuse.
        let marketplace = peek.domain_id.and_then(|id| Marketplace::from_keepa_id(id).ok()).unwrap_or(market);
        if seen.insert((asin, marketplace)) {
            products.found.push(Product {
                asin,
                marketplace,
                product_type: peek.product_type.unwrap_or(0),
                json: object.to_owned(),
            });
        }
    }
    products.left_out = asked.iter().copied().filter(|asin| !seen.contains(&(*asin, market))).collect();
    products
}

fn asins_of(list: &RawValue) -> Vec<Asin> {
    let texts: Vec<&RawValue> = serde_json::from_str(list.get()).unwrap_or_default();
    let mut seen = BTreeSet::new();
    texts
        .into_iter()
        .filter_map(|text| serde_json::from_str::<Asin>(text.get()).ok())
        .filter(|asin| seen.insert(*asin))
        .collect()
}

/// The answer to [`super::Request::BestSellers`], best first, once each: in `bestSellersList`, or at top level. Empty where
/// there is no list.
#[must_use]
pub fn best_sellers(envelope: &Envelope<'_>) -> Vec<Asin> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct List<'b> {
        #[serde(borrow, default, deserialize_with = "present")]
        asin_list: Option<&'b RawValue>,
    }
    let list = envelope.get::<List<'_>>("bestSellersList").and_then(|list| list.asin_list);
    list.or_else(|| envelope.payload.get("asinList").copied()).map(asins_of).unwrap_or_default()
}

/// The answer to [`super::Request::Query`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// In the order of the selection.
    pub asins: Vec<Asin>,
    /// An estimate.
    pub total: Option<i64>,
}

/// Reads [`Found`].
#[must_use]
pub fn found(envelope: &Envelope<'_>) -> Found {
    Found {
        asins: envelope.payload.get("asinList").copied().map(asins_of).unwrap_or_default(),
        total: envelope.get("totalResults"),
    }
}

/// A category of a marketplace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// Unique within the marketplace.
    pub id: i64,
    /// In the marketplace's language.
    pub name: String,
    /// None for a root.
    pub parent: Option<i64>,
    /// Ids of the categories below.
    pub children: Vec<i64>,
    /// An estimate.
    pub product_count: Option<i64>,
}

/// The answer to [`super::Request::Categories`] and [`super::Request::SearchCategories`], by id.
#[must_use]
pub fn categories(envelope: &Envelope<'_>) -> Vec<Category> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Fields {
        #[serde(deserialize_with = "lenient")]
        cat_id: Option<i64>,
        #[serde(deserialize_with = "lenient")]
        name: Option<String>,
        #[serde(deserialize_with = "lenient")]
        parent: Option<i64>,
        #[serde(deserialize_with = "lenient")]
        children: Option<Vec<i64>>,
        #[serde(deserialize_with = "lenient")]
        product_count: Option<i64>,
    }
    let by_id: BTreeMap<String, &RawValue> = envelope.get("categories").unwrap_or_default();
    let mut categories: Vec<Category> = by_id
        .into_iter()
        .filter_map(|(key, object)| {
            let fields: Fields = serde_json::from_str(object.get()).ok()?;
            Some(Category {
                id: fields.cat_id.or_else(|| key.parse().ok())?,
                name: fields.name.unwrap_or_default(),
                parent: fields.parent.filter(|parent| *parent != 0),
                children: fields.children.unwrap_or_default(),
                product_count: fields.product_count,
            })
        })
        .collect();
    categories.sort_by_key(|category| category.id);
    categories
}

/// An id that stands for an unknown root category, besides 0.
const UNKNOWN_ROOT: i64 = i64::MAX;

/// One recent price change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deal {
    /// Which article.
    pub asin: Asin,
    /// As shown in the marketplace.
    pub title: Option<String>,
    /// The file name of the image; on the wire an array of ASCII codes.
    pub image: Option<String>,
    /// None where unknown.
    pub root_category: Option<i64>,
    /// By price type, in the minor unit; none where there is no offer.
    pub current: Vec<Option<i64>>,
}

/// A page of deals.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Deals {
    /// In the order of the selection.
    pub deals: Vec<Deal>,
    /// Entries that name no ASIN.
    pub unreadable: usize,
    /// Names of root categories by id; the unknown one is not among them.
    pub category_names: BTreeMap<i64, String>,
}

/// The answer to [`super::Request::Deals`].
#[must_use]
pub fn deals(envelope: &Envelope<'_>) -> Deals {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Page<'b> {
        #[serde(borrow, deserialize_with = "present")]
        dr: Option<&'b RawValue>,
        #[serde(deserialize_with = "lenient")]
        category_ids: Option<Vec<i64>>,
        #[serde(deserialize_with = "lenient")]
        category_names: Option<Vec<Option<String>>>,
    }
    let page: Page<'_> = envelope.get("deals").unwrap_or_default();
    let objects: Vec<&RawValue> = page.dr.and_then(|dr| serde_json::from_str(dr.get()).ok()).unwrap_or_default();
    let mut deals = Deals::default();
    for object in objects {
        match deal(object) {
            Some(deal) => deals.deals.push(deal),
            None => deals.unreadable += 1,
        }
    }
    let names = page.category_names.unwrap_or_default().into_iter().map(Option::unwrap_or_default);
    let ids = page.category_ids.unwrap_or_default().into_iter();
    deals.category_names = ids.zip(names).filter(|(id, _)| *id != UNKNOWN_ROOT && *id != 0).collect();
    deals
}

fn deal(object: &RawValue) -> Option<Deal> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Fields {
        #[serde(deserialize_with = "lenient")]
        asin: Option<Asin>,
        #[serde(deserialize_with = "lenient")]
        title: Option<String>,
        #[serde(deserialize_with = "lenient")]
        image: Option<Vec<u8>>,
        #[serde(deserialize_with = "lenient")]
        root_cat: Option<i64>,
        #[serde(deserialize_with = "lenient")]
        current: Option<Vec<i64>>,
    }
    let fields: Fields = serde_json::from_str(object.get()).ok()?;
    Some(Deal {
        asin: fields.asin?,
        title: fields.title,
        image: fields
            .image
            .and_then(|codes| String::from_utf8(codes).ok())
            .filter(|name| name.is_ascii() && !name.is_empty()),
        root_category: fields.root_cat.filter(|id| *id != UNKNOWN_ROOT && *id != 0),
        current: fields
            .current
            .unwrap_or_default()
            .into_iter()
            .map(|price| (price >= 0).then_some(price))
            .collect(),
    })
}

/// A seller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seller {
    /// Unique.
    pub id: String,
    /// As shown to buyers.
    pub name: Option<String>,
    /// ASINs of the storefront, where asked for.
    pub asins: Vec<Asin>,
}

/// The answer to [`super::Request::Sellers`], by id; unknown sellers are absent.
#[must_use]
pub fn sellers(envelope: &Envelope<'_>) -> Vec<Seller> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Fields<'b> {
        #[serde(deserialize_with = "lenient")]
        seller_name: Option<String>,
        #[serde(borrow, deserialize_with = "present")]
        asin_list: Option<&'b RawValue>,
    }
    let by_id: BTreeMap<String, &RawValue> = envelope.get("sellers").unwrap_or_default();
    by_id
        .into_iter()
        .filter_map(|(id, object)| {
            let fields: Fields<'_> = serde_json::from_str(object.get()).ok()?;
            Some(Seller {
                id,
                name: fields.seller_name,
                asins: fields.asin_list.map(asins_of).unwrap_or_default(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn asin(text: &str) -> Asin {
        text.parse().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_body_is_read_by_its_first_bytes() {
        assert_eq!(decode_body(b"{}".to_vec(), 10).unwrap(), "{}");
        assert_eq!(decode_body(gzip(b"{}"), 10).unwrap(), "{}");
        assert_eq!(decode_body(Vec::new(), 10).unwrap(), "");
        let mut cut = gzip(&[b'x'; 10_000]);
        cut.truncate(20);
        assert!(matches!(decode_body(cut, 100_000), Err(BodyError::Gzip(_))));
        assert_eq!(decode_body(gzip(&[b' '; 1_001]), 1_000), Err(BodyError::TooLarge { limit: 1_000 }));
        assert_eq!(decode_body(vec![b' '; 1_001], 1_000), Err(BodyError::TooLarge { limit: 1_000 }));
        assert_eq!(decode_body(vec![b'a', 0xff], 10).unwrap(), "a\u{FFFD}");
    }

    /// Guard: a refill rate of zero is no reading; taken out: an error envelope was read as an empty bucket.
    #[test]
    fn t47_a_reading_needs_a_refill_rate_above_zero() {
        let full = r#"{"timestamp":1,"tokensLeft":-17,"refillIn":59123,"refillRate":5,"tokenFlowReduction":0.9,"tokensConsumed":3}"#;
        let envelope = Envelope::read(full).unwrap();
        assert_eq!(
            envelope.meter,
            Some(Meter {
                tokens_left: -17,
                refill_in: Duration::from_millis(59_123),
                refill_rate: 5,
                flow_reduction_milli: 900
            })
        );
        assert_eq!(envelope.tokens_consumed, Some(3));
        for none in [
            r#"{"error":{"type":"invalidParameter"},"refillRate":0,"tokensLeft":0,"refillIn":0}"#,
            r#"{"timestamp":1,"refillRate":5}"#,
            r#"{"timestamp":1,"refillRate":"many","tokensLeft":[]}"#,
            r#"{"timestamp":1,"refillRate":1e300,"tokensLeft":5}"#,
        ] {
            assert_eq!(Envelope::read(none).unwrap().meter, None, "{none}");
        }
    }

    #[test]
    fn what_is_no_envelope_is_none() {
        for body in ["", "<html></html>", "{}", "[]", "null", r#"{"timestamp":1"#, "429 Too Many Requests"] {
            assert!(Envelope::read(body).is_none(), "{body}");
        }
    }

    #[test]
    fn products_are_found_by_asin_and_kept_byte_for_byte() {
        let odd = r#"{ "asin" : "0441013597","domainId":3,  "big":9223372036854775807, "f":15.010 }"#;
        let body = format!(
            r#"{{"timestamp":1,"products":[{odd},null,{{"asin":"B0D1XD1ZV3"}},{odd},{{"title":"no asin"}},7,{{"asin":"B00STRANGE","domainId":3,"productType":4}}]}}"#
        );
        let envelope = Envelope::read(&body).unwrap();
        let asked = [asin("B0D1XD1ZV3"), asin("B0MISSING1"), asin("0441013597")];
        let products = products(&envelope, Marketplace::DE, &asked);
        let found: Vec<&str> = products.found.iter().map(|product| product.asin.as_str()).collect();
        assert_eq!(found, ["0441013597", "B0D1XD1ZV3", "B00STRANGE"]);
        assert_eq!(products.found[0].json.get(), odd);
        assert!(products.found[2].is_invalid_asin());
        assert_eq!(products.left_out, [asin("B0MISSING1")]);
        assert_eq!(products.unreadable, 2);
    }

    #[test]
    fn a_product_of_another_market_does_not_stand_for_the_one_asked() {
        let body = r#"{"timestamp":1,"products":[{"asin":"B0D1XD1ZV3","domainId":1}]}"#;
        let products = products(&Envelope::read(body).unwrap(), Marketplace::DE, &[asin("B0D1XD1ZV3")]);
        assert_eq!(products.found[0].marketplace, Marketplace::US);
        assert_eq!(products.left_out, [asin("B0D1XD1ZV3")]);
    }

    #[test]
    fn best_sellers_are_read_from_either_place() {
        for (body, expected) in [
            (
                r#"{"timestamp":1,"bestSellersList":{"asinList":["B0D1XD1ZV3",null,"x","B0D1XD1ZV3","0441013597"]}}"#,
                2,
            ),
            (r#"{"timestamp":1,"asinList":["B0D1XD1ZV3"]}"#, 1),
            (r#"{"timestamp":1,"bestSellersList":null}"#, 0),
            (r#"{"timestamp":1,"bestSellersList":{}}"#, 0),
            (r#"{"timestamp":1}"#, 0),
        ] {
            assert_eq!(best_sellers(&Envelope::read(body).unwrap()).len(), expected, "{body}");
        }
    }

    #[test]
    fn categories_sellers_and_queries_are_read() {
        let body = r#"{"timestamp":1,"categories":{"5":{"catId":5,"name":"Garten","parent":0,"children":null},"9223372036854775807":{"name":null,"parent":5,"children":[1,2]}},
            "sellers":{"A1":{"sellerName":"Shop","asinList":["B0D1XD1ZV3"]},"A2":{}},"asinList":["0441013597"],"totalResults":77}"#;
        let envelope = Envelope::read(body).unwrap();
        let categories = categories(&envelope);
        assert_eq!((categories[0].id, categories[0].parent, categories[1].id), (5, None, i64::MAX));
        assert_eq!(categories[1].children, [1, 2]);
        let sellers = sellers(&envelope);
        assert_eq!(
            (sellers[0].name.as_deref(), sellers[0].asins.len(), sellers[1].name.as_deref()),
            (Some("Shop"), 1, None)
        );
        assert_eq!(
            found(&envelope),
            Found {
                asins: vec![asin("0441013597")],
                total: Some(77)
            }
        );
    }

    proptest! {
        #[test]
        fn no_body_panics(bytes: Vec<u8>, text in "[\\[\\]{}\",:0-9a-z]{0,60}") {
            let _ = decode_body(bytes, 1_000);
            let body = format!(r#"{{"timestamp":1,"products":{text},"deals":{text},"categories":{text}}}"#);
            for body in [text.clone(), body] {
                if let Some(envelope) = Envelope::read(&body) {
                    let _ = (products(&envelope, Marketplace::DE, &[]), deals(&envelope), categories(&envelope), sellers(&envelope));
                }
            }
        }
    }
}
