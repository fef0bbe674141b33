//! Searches: queries as JSON (pure), pages by `search_after`.

use bytes::Bytes;
use elasticsearch::http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::{Client, malformed};
use super::documents::{Document, decode, unreadable, version};
use super::languages::Language;
use crate::adapters::paging::{Paged, Place, SortValue, StateList};
use crate::adapters::words;
use crate::domain::listing::name_key;
use crate::ports::catalog::{CatalogError, OpportunityQuery, OpportunitySort, Page, ProductQuery, ProductSort, Total, Versioned};

/// Matches are counted up to here; beyond, a total says "at least".
const COUNTED: u32 = 10_000;
/// A shard that takes longer answers with what it has; such a partial answer is refused.
pub(super) const SHARD_TIMEOUT: &str = "10s";

/// Lucene indexes no longer term, and Elasticsearch refuses to look for one.
const MAX_TERM_BYTES: usize = 32_766;

/// A longer text is looked for as it is typed alone: each of its words costs a lookup per language.
const MAX_ANALYSED_CHARACTERS: usize = 150;

/// The reasons to distrust an opportunity.
const TRAPS: &str = "assessment.traps.reason";

/// Which matches, in which order.
pub(super) struct Search {
    pub(super) filter: Value,
    pub(super) sort: Value,
    /// What stands for a missing sort value where a page goes on: nothing for names, and for numbers the one that
    /// Elasticsearch puts at the end itself. It answers 500 where a number's place is null.
    pub(super) missing: Value,
}

/// A query as Elasticsearch's `bool` filter: no scoring.
fn all_of(conditions: Vec<Value>) -> Value {
    json!({"bool": {"filter": conditions}})
}

fn none_of(condition: Value) -> Value {
    json!({"bool": {"must_not": [condition]}})
}

fn term(field: &str, value: &str) -> Value {
    if value.len() > MAX_TERM_BYTES {
        return json!({"match_none": {}});
    }
    json!({"term": {field: {"value": value}}})
}

/// The order by a field, then by id. Documents without the field stand at the end.
fn order(field: &str, descending: bool, id: &str) -> Value {
    let direction = if descending { "desc" } else { "asc" };
    json!([{field: {"order": direction, "missing": "_last"}}, {id: {"order": "asc"}}])
}

pub(super) fn products(query: &ProductQuery) -> Search {
    let mut conditions = Vec::new();
    if let Some(text) = &query.text {
        conditions.push(text_condition(text));
    }
    if let Some(market) = query.market {
        conditions.push(json!({"exists": {"field": format!("prices.{market}")}}));
    }
    if let Some(brand) = &query.brand {
        conditions.push(term("keys.brand", &name_key(brand)));
    }
    if let Some(category) = &query.category {
        conditions.push(term("keys.category", &name_key(category)));
    }
    if let Some((wanted, after)) = query.active {
        let active = json!({"range": {"last_priced_at": {"gt": after}}});
        conditions.push(if wanted { active } else { none_of(active) });
    }
    if !query.price_bounds.is_empty() {
        let asked = query
            .price_bounds
            .iter()
            .filter(|&(&marketplace, _)| query.market.is_none_or(|market| market == marketplace));
        let alternatives: Vec<Value> = asked
            .map(|(marketplace, &(least, greatest))| match (least, greatest) {
                (None, None) => json!({"exists": {"field": format!("prices.{marketplace}")}}),
                (least, greatest) => {
                    let mut bounds = serde_json::Map::new();
                    bounds.extend(least.map(|least| ("gte".to_owned(), least.into())));
                    bounds.extend(greatest.map(|greatest| ("lte".to_owned(), greatest.into())));
                    json!({"range": {format!("prices.{marketplace}"): bounds}})
                }
            })
            .collect();
        conditions.push(if alternatives.is_empty() {
            json!({"match_none": {}})
        } else {
            json!({"bool": {"should": alternatives, "minimum_should_match": 1}})
        });
    }
    let field = match query.sort.field {
        ProductSort::Asin => "asin",
        ProductSort::Title => "keys.title",
        ProductSort::FirstSeen => "first_seen",
        ProductSort::LastUpdated => "last_updated",
        ProductSort::Score => "score",
    };
    Search {
        filter: all_of(conditions),
        sort: order(field, query.sort.descending, "asin"),
        missing: match query.sort.field {
            ProductSort::Score => missing_number(query.sort.descending),
            _ => Value::Null,
        },
    }
}

/// Where a number is missing: what Elasticsearch puts at the end itself.
fn missing_number(descending: bool) -> Value {
    if descending { i64::MIN } else { i64::MAX }.into()
}

/// Every word as it is typed, and the last as a beginning; or every word in some form, in the names of one language.
fn text_condition(text: &str) -> Value {
    let words = words::query_words(text);
    if words.is_empty() {
        return json!({"match_none": {}});
    }
    let mut alternatives = vec![typed(&words)];
    if text.chars().count() <= MAX_ANALYSED_CHARACTERS {
        alternatives.extend(Language::ALL.map(|language| json!({"match": {language.field(): {"query": text, "operator": "and"}}})));
    }
    json!({"bool": {"should": alternatives, "minimum_should_match": 1}})
}

/// Every word as it is typed, and the last as a beginning.
fn typed(words: &[String]) -> Value {
    json!({"match_bool_prefix": {"words": {"query": words.join(" "), "operator": "and"}}})
}

pub(super) fn opportunities(query: &OpportunityQuery) -> Search {
    let mut conditions = Vec::new();
    if let Some((wanted, since)) = query.active {
        let active = active_opportunity(since);
        conditions.push(if wanted { active } else { none_of(active) });
    }
    if let Some(text) = &query.text {
        let words = words::query_words(text);
        conditions.push(if words.is_empty() { json!({"match_none": {}}) } else { typed(&words) });
    }
    if let Some(least) = query.min_margin {
        conditions.push(json!({"range": {"margin_percentage": {"gte": least}}}));
    }
    let of_net = [
        ("net.profit", query.min_profit),
        ("net.roi", query.min_roi.map(|roi| roi.0)),
        ("net.buffer", query.min_buffer.map(|buffer| buffer.0)),
        ("assessment.confidence", query.min_confidence.map(|confidence| confidence.0)),
    ];
    if let Some(reason) = query.trap {
        conditions.push(term(TRAPS, reason.name()));
    }
    conditions.extend(query.without_traps.iter().map(|reason| none_of(term(TRAPS, reason.name()))));
    conditions.extend(of_net.into_iter().filter_map(|(field, least)| Some(json!({"range": {field: {"gte": least?}}}))));
    let names = [
        ("source_market", query.source.map(|source| source.code().to_owned())),
        ("target_market", query.target.map(|target| target.code().to_owned())),
        ("asin", query.asin.map(String::from)),
        ("brand_key", query.brand.as_deref().map(name_key)),
        ("category_key", query.category.as_deref().map(name_key)),
    ];
    conditions.extend(names.into_iter().filter_map(|(field, name)| name.map(|name| term(field, &name))));
    let field = match query.sort.field {
        OpportunitySort::MarginPercentage => "margin_percentage",
        OpportunitySort::Margin => "margin.minor",
        OpportunitySort::Profit => "net.profit",
        OpportunitySort::Roi => "net.roi",
        OpportunitySort::Buffer => "net.buffer",
        OpportunitySort::Score => "assessment.score.value",
        OpportunitySort::Confidence => "assessment.confidence",
        OpportunitySort::Title => "title_key",
        OpportunitySort::OldestLeg => "oldest_leg_at",
        OpportunitySort::SourcePriceEur => "source_price_eur.minor",
        OpportunitySort::TargetPriceEur => "target_price_eur.minor",
        OpportunitySort::Asin => "asin",
        OpportunitySort::LastSeen => "last_seen",
    };
    Search {
        filter: all_of(conditions),
        sort: order(field, query.sort.descending, "id"),
        missing: match query.sort.field {
            OpportunitySort::Title => Value::Null,
            _ => missing_number(query.sort.descending),
        },
    }
}

/// Open, and the older leg observed at that instant or later.
pub(super) fn active_opportunity(since: crate::domain::UnixMillis) -> Value {
    all_of(vec![
        json!({"term": {"is_active": {"value": true}}}),
        json!({"range": {"oldest_leg_at": {"gte": since}}}),
    ])
}

pub(super) fn states(list: &StateList<'_>) -> Search {
    let names = [("group", &list.query.group), ("status", &list.query.status)];
    let conditions = names.into_iter().filter_map(|(field, name)| name.as_ref().map(|name| term(field, name)));
    Search {
        filter: all_of(conditions.collect()),
        sort: order("at", !list.query.ascending, "id"),
        missing: Value::Null,
    }
}

/// The body of a search for one page; one more than a page is asked for, to know whether there is a next one.
fn body(search: Search, place: Option<Place>, size: usize) -> Value {
    let mut body = json!({
        "query": search.filter,
        "sort": search.sort,
        "size": size + 1,
        "track_total_hits": COUNTED,
        "timeout": SHARD_TIMEOUT,
    });
    if let Some(Place { value, id }) = place {
        let value = match value {
            SortValue::Missing => search.missing,
            SortValue::Integer(value) => value.into(),
            SortValue::Text(value) => value.into(),
        };
        body["search_after"] = json!([value, id]);
    }
    body
}

/// An answer whose documents are read as an `S`.
#[derive(Deserialize)]
#[serde(bound(deserialize = "S: Deserialize<'de>"))]
struct SearchAnswer<S> {
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    hits: Hits<S>,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "S: Deserialize<'de>"))]
struct Hits<S> {
    total: HitsTotal,
    hits: Vec<Hit<S>>,
}

#[derive(Deserialize)]
struct HitsTotal {
    value: u64,
    relation: String,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "S: Deserialize<'de>"))]
struct Hit<S> {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_index")]
    index: Option<String>,
    #[serde(rename = "_seq_no")]
    seq_no: Option<u64>,
    #[serde(rename = "_primary_term")]
    primary_term: Option<u64>,
    #[serde(rename = "_source")]
    source: S,
}

/// Finds one page, of documents with their versions.
pub(super) async fn page<T: Document>(
    client: &Client,
    alias: &str,
    query: &impl Paged,
    search: Search,
    place_of: impl Fn(&T) -> Place,
) -> Result<Page<Versioned<T>>, CatalogError> {
    let mut body = body(search, query.place()?, query.page_size());
    body["seq_no_primary_term"] = true.into();
    let answer = ask(client, alias, &body).await?;
    let answer: SearchAnswer<&RawValue> = serde_json::from_slice(&answer).map_err(|error| malformed("a search", &error))?;
    let versioned = |hit: Hit<&RawValue>| {
        let version = version(hit.index.as_deref(), hit.seq_no, hit.primary_term).ok_or_else(|| malformed("a search", &"a hit has no version"))?;
        Ok(Versioned {
            value: decode(&hit.id, hit.source)?,
            version,
        })
    };
    cut(answer, query, versioned, |item| place_of(&item.value))
}

/// Finds one page, of values that are stored as a `D`. The whole answer is read at once, each document with it.
pub(super) async fn values<D, T>(
    client: &Client,
    alias: &str,
    query: &impl Paged,
    search: Search,
    place_of: impl Fn(&T) -> Place,
) -> Result<Page<T>, CatalogError>
where
    D: DeserializeOwned + Into<T>,
{
    let body = body(search, query.place()?, query.page_size());
    let answer = ask(client, alias, &body).await?;
    let text = std::str::from_utf8(&answer).map_err(|error| malformed("a search", &error))?;
    if let Ok(answer) = serde_json::from_str::<SearchAnswer<D>>(text) {
        return cut(answer, query, |hit| Ok(hit.source.into()), place_of);
    }
    // Something in it cannot be read: it is looked for and named.
    let answer: SearchAnswer<&RawValue> = serde_json::from_str(text).map_err(|error| malformed("a search", &error))?;
    let read = |hit: Hit<&RawValue>| {
        let document: D = serde_json::from_str(hit.source.get()).map_err(|error| unreadable(&hit.id, &error))?;
        Ok(document.into())
    };
    cut(answer, query, read, place_of)
}

async fn ask(client: &Client, alias: &str, body: &Value) -> Result<Bytes, CatalogError> {
    let parameters = [("allow_partial_search_results", "false")];
    client.call(Method::Post, &format!("/{alias}/_search"), &parameters, Some(body)).await
}

/// The page in an answer, which holds one item more if there is a next page.
fn cut<S, I>(
    answer: SearchAnswer<S>,
    query: &impl Paged,
    item: impl Fn(Hit<S>) -> Result<I, CatalogError>,
    place_of: impl Fn(&I) -> Place,
) -> Result<Page<I>, CatalogError> {
    refuse_partial(answer.timed_out, answer.shards.failed)?;
    let total = Total {
        value: answer.hits.total.value,
        exact: answer.hits.total.relation == "eq",
    };
    let mut items = answer.hits.hits.into_iter().map(item).collect::<Result<Vec<I>, _>>()?;
    let next_cursor = query.cut(&mut items, place_of);
    Ok(Page { items, total, next_cursor })
}

/// An answer that leaves something out is none.
pub(super) fn refuse_partial(timed_out: bool, failed_shards: u64) -> Result<(), CatalogError> {
    if timed_out || failed_shards > 0 {
        return Err(CatalogError::Unavailable {
            reason: format!("a search was not complete: timed out {timed_out}, failed shards {failed_shards}"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_only_ever_words() {
        let as_typed = |words: &str| json!({"match_bool_prefix": {"words": {"query": words, "operator": "and"}}});
        let condition = text_condition("Sony \"WH-1000*");
        assert_eq!(condition["bool"]["should"][0], as_typed("sony wh 1000"));
        assert_eq!(text_condition("*"), json!({"match_none": {}}));
        // As it is typed only.
        let long = "x".repeat(MAX_ANALYSED_CHARACTERS + 1);
        assert_eq!(text_condition(&long)["bool"]["should"], json!([as_typed(&long[..100])]));
    }

    #[test]
    fn a_text_is_looked_for_in_every_language_whole() {
        let condition = text_condition("Kopfhörern für Zuhause");
        let alternatives = condition["bool"]["should"].as_array().unwrap();
        assert_eq!(alternatives.len(), 1 + Language::ALL.len());
        assert_eq!(
            alternatives[1],
            json!({"match": {"texts.german": {"query": "Kopfhörern für Zuhause", "operator": "and"}}})
        );
        assert_eq!(condition["bool"]["minimum_should_match"], 1);
    }

    #[test]
    fn a_partial_answer_is_none() {
        assert!(refuse_partial(false, 0).is_ok());
        assert!(refuse_partial(true, 0).is_err() && refuse_partial(false, 1).is_err());
    }

    #[test]
    fn documents_are_read_with_the_answer_or_one_by_one() {
        let answer = r#"{"took":1,"timed_out":false,"_shards":{"failed":0},"hits":{"total":{"value":1,"relation":"eq"},
            "hits":[{"_index":"i","_id":"a","_source":{"n":1},"sort":[1]}]}}"#;
        #[derive(Deserialize)]
        struct Number {
            n: u8,
        }
        let read: SearchAnswer<Number> = serde_json::from_str(answer).unwrap();
        assert_eq!((read.hits.total.value, read.hits.hits[0].source.n), (1, 1));
        let read: SearchAnswer<&RawValue> = serde_json::from_str(answer).unwrap();
        assert_eq!((read.hits.hits[0].id.as_str(), read.hits.hits[0].source.get()), ("a", r#"{"n":1}"#));
    }

    #[test]
    fn a_page_goes_on_after_its_place() {
        let search = || Search {
            filter: json!({}),
            sort: json!([]),
            missing: json!(i64::MIN),
        };
        assert_eq!(body(search(), None, 50)["size"], 51);
        let place = Place {
            value: SortValue::Missing,
            id: "B1".into(),
        };
        assert_eq!(body(search(), Some(place), 50)["search_after"], json!([i64::MIN, "B1"]));
    }
}
