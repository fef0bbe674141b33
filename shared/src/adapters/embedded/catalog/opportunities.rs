//! Opportunities: rows, reads, searches.

use std::collections::BTreeSet;

use libsql::{Connection, Row, Value};
use serde::de::DeserializeOwned;

use super::connection::{column_integer, column_text};
use super::filter::{Filter, Order};
use super::products::full_text;
use super::table::{RowWrite, Table, find_rows, version};
use crate::adapters::paging::place_of_opportunity;
use crate::adapters::words;
use crate::domain::listing::name_key;
use crate::domain::{Assessment, Opportunity, OpportunityId, TrapReason};
use crate::ports::catalog::{CatalogError, OpportunityQuery, OpportunitySort, Page, Versioned, Write};
use crate::wire::{self, OpportunityDocument};

/// The name of the collection in versions.
const INDEX: &str = "opportunities";

pub(super) fn table() -> Table {
    let columns: Vec<String> = [
        "asin",
        "source",
        "target",
        "brand_key",
        "category_key",
        "is_active",
        "oldest_leg_at",
        "last_seen",
        "margin_percentage",
        "margin",
        "source_price_eur",
        "target_price_eur",
        "profit",
        "roi",
        "buffer",
        "confidence",
        "score",
        "traps",
        "title_key",
        "words",
    ]
    .map(str::to_owned)
    .into();
    Table {
        index: INDEX,
        find: "SELECT seq_no FROM opportunities WHERE opportunity = ?1".into(),
        upsert: super::table::upsert("opportunities", "opportunity", "opportunity", &columns),
        upsert_document: Some(super::table::upsert_document("opportunity_documents", "opportunities", "opportunity")),
    }
}

/// What is written for an opportunity.
pub(super) fn row(write: Write<Opportunity>) -> RowWrite {
    let document = OpportunityDocument::from(write.value);
    let optional_text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
    let optional_integer = |number: Option<i64>| number.map_or(Value::Null, Value::Integer);
    let net = document.net.as_ref();
    let assessment = document.assessment.as_ref();
    let columns = vec![
        Value::Text(document.asin.to_string()),
        Value::Text(document.source_market.to_string()),
        Value::Text(document.target_market.to_string()),
        optional_text(&document.brand_key),
        optional_text(&document.category_key),
        Value::Integer(document.is_active.into()),
        Value::Integer(document.oldest_leg_at.0),
        Value::Integer(document.last_seen.0),
        Value::Integer(document.margin_percentage.0),
        Value::Integer(document.margin.minor),
        Value::Integer(document.source_price_eur.minor),
        Value::Integer(document.target_price_eur.minor),
        optional_integer(net.map(|net| net.profit)),
        optional_integer(net.and_then(|net| net.roi).map(|roi| roi.0)),
        optional_integer(net.and_then(|net| net.buffer).map(|buffer| buffer.0)),
        optional_integer(assessment.map(|assessment| assessment.confidence.0)),
        optional_integer(assessment.and_then(|assessment| assessment.score).map(|score| score.value.0)),
        assessment.map_or(Value::Null, |assessment| Value::Text(trap_list(assessment))),
        optional_text(&document.title.as_deref().map(name_key)),
        Value::Text(words::of_opportunity(&document)),
    ];
    let mut json = Vec::new();
    wire::opportunity::append_catalog_json(&document, &mut json);
    RowWrite {
        id: document.id.to_string(),
        condition: write.condition,
        columns,
        document: Some(String::from_utf8(json).expect("JSON is UTF-8")),
    }
}

/// `,ean_mismatch,stale_leg,`: every reason once, between commas.
fn trap_list(assessment: &Assessment) -> String {
    let reasons: BTreeSet<TrapReason> = assessment.traps.iter().map(|trap| trap.reason).collect();
    reasons.into_iter().fold(",".to_owned(), |list, reason| list + reason.name() + ",")
}

pub(super) fn decode<C: DeserializeOwned>(text: &str) -> Result<Opportunity<C>, CatalogError> {
    let document: OpportunityDocument<C> = serde_json::from_str(text).map_err(|error| CatalogError::Misconfigured {
        reason: format!("a stored opportunity cannot be read: {error}"),
    })?;
    Ok(document.into())
}

pub(super) async fn read(connection: &Connection, ids: &[OpportunityId]) -> Result<Vec<Option<Versioned<Opportunity>>>, CatalogError> {
    let select = "SELECT o.seq_no, d.document FROM opportunities o JOIN opportunity_documents d ON d.id = o.id WHERE o.opportunity = ?1";
    let keys = ids.iter().map(|id| Value::Text(id.to_string()));
    find_rows(connection, select, keys, |row| {
        Ok(Versioned {
            version: version(INDEX, column_integer(row, 0)?),
            value: decode(&column_text(row, 1)?)?,
        })
    })
    .await
}

pub(super) async fn search<C: DeserializeOwned>(connection: &Connection, query: &OpportunityQuery) -> Result<Page<Opportunity<C>>, CatalogError> {
    let from = ("opportunities", "SELECT document FROM opportunity_documents WHERE id = ?1");
    let decode = |row: &Row| decode(&column_text(row, 0)?);
    filter(query)
        .page(connection, from, query, &order(query), decode, |found| {
            place_of_opportunity(found, query.sort.field)
        })
        .await
}

fn filter(query: &OpportunityQuery) -> Filter {
    let mut filter = Filter::default();
    match query.active {
        Some((true, since)) => filter.and("is_active = 1 AND oldest_leg_at >= ?", [Value::Integer(since.0)]),
        Some((false, since)) => filter.and("is_active = 0 OR oldest_leg_at < ?", [Value::Integer(since.0)]),
        None => {}
    }
    if let Some(text) = &query.text {
        match full_text(text) {
            Some(expression) => filter.and(
                "id IN (SELECT rowid FROM opportunity_words WHERE opportunity_words MATCH ?)",
                [Value::Text(expression)],
            ),
            None => filter.and("FALSE", []),
        }
    }
    filter.and_if("margin_percentage >= ?", query.min_margin.map(|margin| margin.0));
    filter.and_if("profit >= ?", query.min_profit);
    filter.and_if("roi >= ?", query.min_roi.map(|roi| roi.0));
    filter.and_if("buffer >= ?", query.min_buffer.map(|buffer| buffer.0));
    filter.and_if("confidence >= ?", query.min_confidence.map(|confidence| confidence.0));
    let listed = |reason: &TrapReason| format!(",{reason},");
    filter.and_if("instr(traps, ?) > 0", query.trap.as_ref().map(listed));
    for reason in &query.without_traps {
        filter.and("ifnull(instr(traps, ?), 0) = 0", [Value::Text(listed(reason))]);
    }
    filter.and_if("source = ?", query.source.map(|marketplace| marketplace.code()));
    filter.and_if("target = ?", query.target.map(|marketplace| marketplace.code()));
    filter.and_if("asin = ?", query.asin.map(String::from));
    filter.and_if("brand_key = ?", query.brand.as_deref().map(name_key));
    filter.and_if("category_key = ?", query.category.as_deref().map(name_key));
    filter
}

fn order(query: &OpportunityQuery) -> Order {
    let column = match query.sort.field {
        OpportunitySort::MarginPercentage => "margin_percentage",
        OpportunitySort::Margin => "margin",
        OpportunitySort::Profit => "profit",
        OpportunitySort::Roi => "roi",
        OpportunitySort::Buffer => "buffer",
        OpportunitySort::Score => "score",
        OpportunitySort::Confidence => "confidence",
        OpportunitySort::Title => "title_key",
        OpportunitySort::OldestLeg => "oldest_leg_at",
        OpportunitySort::SourcePriceEur => "source_price_eur",
        OpportunitySort::TargetPriceEur => "target_price_eur",
        OpportunitySort::Asin => "asin",
        OpportunitySort::LastSeen => "last_seen",
    };
    Order {
        column,
        nullable: matches!(column, "profit" | "roi" | "buffer" | "score" | "confidence" | "title_key"),
        descending: query.sort.descending,
        id: "opportunity",
    }
}
