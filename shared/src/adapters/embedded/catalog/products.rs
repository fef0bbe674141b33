//! Products: rows, reads, searches.

use libsql::{Connection, Row, Value};

use super::connection::{column_integer, column_text};
use super::filter::{Filter, Order};
use super::table::{RowWrite, Table, find_rows, version};
use crate::adapters::paging::place_of_product;
use crate::adapters::words;
use crate::domain::listing::name_key;
use crate::domain::{Asin, Marketplace, StoredProduct};
use crate::ports::catalog::{CatalogError, Page, ProductQuery, ProductSort, Versioned, Write};
use crate::wire::{self, ProductDocument};

/// The name of the collection in versions.
const INDEX: &str = "products";

/// The column of a marketplace's price.
pub(super) fn price_column(marketplace: Marketplace) -> String {
    format!("price_{}", marketplace.code().to_lowercase())
}

pub(super) fn table() -> Table {
    let mut columns: Vec<String> = [
        "title_key",
        "brand_key",
        "category_key",
        "first_seen",
        "last_updated",
        "last_priced_at",
        "words",
        "score",
    ]
    .map(str::to_owned)
    .into();
    columns.extend(Marketplace::ALL.map(price_column));
    Table {
        index: INDEX,
        find: "SELECT seq_no FROM products WHERE asin = ?1".into(),
        upsert: super::table::upsert("products", "asin", "asin", &columns),
        upsert_document: Some(super::table::upsert_document("product_documents", "products", "asin")),
    }
}

/// What is written for a product.
pub(super) fn row(write: &Write<StoredProduct>) -> RowWrite {
    let StoredProduct { product, listing, .. } = &write.value;
    let key = |name: &Option<String>| name.as_deref().map_or(Value::Null, |name| Value::Text(name_key(name)));
    let optional_integer = |value: Option<i64>| value.map_or(Value::Null, Value::Integer);
    let mut columns = vec![
        key(&listing.title),
        key(&listing.brand),
        key(&listing.category),
        Value::Integer(product.first_seen.0),
        Value::Integer(product.last_updated.0),
        optional_integer(product.last_priced_at.map(|at| at.0)),
        Value::Text(words::of_product(&write.value)),
        optional_integer(listing.score.map(|score| score.0)),
    ];
    columns.extend(Marketplace::ALL.map(|marketplace| optional_integer(listing.prices.get(&marketplace).copied())));
    let document = String::from_utf8(wire::product::to_catalog_json(&write.value)).expect("JSON is UTF-8");
    RowWrite {
        id: product.asin.to_string(),
        condition: write.condition.clone(),
        columns,
        document: Some(document),
    }
}

fn decode(text: &str) -> Result<StoredProduct, CatalogError> {
    let document: ProductDocument = serde_json::from_str(text).map_err(|error| CatalogError::Misconfigured {
        reason: format!("a stored product cannot be read: {error}"),
    })?;
    Ok(document.into())
}

pub(super) async fn read(connection: &Connection, asins: &[Asin]) -> Result<Vec<Option<Versioned<StoredProduct>>>, CatalogError> {
    let select = "SELECT p.seq_no, d.document FROM products p JOIN product_documents d ON d.id = p.id WHERE p.asin = ?1";
    let keys = asins.iter().map(|asin| Value::Text(asin.to_string()));
    find_rows(connection, select, keys, |row| {
        Ok(Versioned {
            version: version(INDEX, column_integer(row, 0)?),
            value: decode(&column_text(row, 1)?)?,
        })
    })
    .await
}

pub(super) async fn search(connection: &Connection, query: &ProductQuery) -> Result<Page<StoredProduct>, CatalogError> {
    let from = ("products", "SELECT document FROM product_documents WHERE id = ?1");
    let decode = |row: &Row| decode(&column_text(row, 0)?);
    filter(query)
        .page(connection, from, query, &order(query), decode, |found| {
            place_of_product(found, query.sort.field)
        })
        .await
}

fn filter(query: &ProductQuery) -> Filter {
    let mut filter = Filter::default();
    if let Some(text) = &query.text {
        match full_text(text) {
            Some(expression) => filter.and("id IN (SELECT rowid FROM product_words WHERE product_words MATCH ?)", [Value::Text(expression)]),
            None => filter.and("FALSE", []),
        }
    }
    if let Some(market) = query.market {
        filter.and(format!("{} IS NOT NULL", price_column(market)), []);
    }
    filter.and_if("brand_key = ?", query.brand.as_deref().map(name_key));
    filter.and_if("category_key = ?", query.category.as_deref().map(name_key));
    match query.active {
        Some((true, after)) => filter.and("last_priced_at > ?", [Value::Integer(after.0)]),
        Some((false, after)) => filter.and("last_priced_at IS NULL OR last_priced_at <= ?", [Value::Integer(after.0)]),
        None => {}
    }
    if !query.price_bounds.is_empty() {
        let mut alternatives = Vec::new();
        let mut values = Vec::new();
        let asked = |marketplace| query.market.is_none_or(|market| market == marketplace);
        for (&marketplace, &(least, greatest)) in query.price_bounds.iter().filter(|&(&marketplace, _)| asked(marketplace)) {
            let column = price_column(marketplace);
            let mut alternative = format!("{column} IS NOT NULL");
            for (comparison, bound) in [(">=", least), ("<=", greatest)] {
                if let Some(bound) = bound {
                    alternative += &format!(" AND {column} {comparison} ?");
                    values.push(Value::Integer(bound));
                }
            }
            alternatives.push(alternative);
        }
        let condition = if alternatives.is_empty() { "FALSE".into() } else { alternatives.join(" OR ") };
        filter.and(condition, values);
    }
    filter
}

fn order(query: &ProductQuery) -> Order {
    let (column, nullable) = match query.sort.field {
        ProductSort::Asin => ("asin", false),
        ProductSort::Title => ("title_key", true),
        ProductSort::FirstSeen => ("first_seen", false),
        ProductSort::LastUpdated => ("last_updated", false),
        ProductSort::Score => ("score", true),
    };
    Order {
        column,
        nullable,
        descending: query.sort.descending,
        id: "asin",
    }
}

/// An FTS5 expression: every word, and the last as a beginning. None if there is no word.
///
/// Words consist of letters and digits only; in quotes none of them is an operator.
pub(super) fn full_text(text: &str) -> Option<String> {
    let words = words::query_words(text);
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    (!quoted.is_empty()).then(|| quoted.join(" ") + "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_quoted_words_whatever_it_contains() {
        for (text, expected) in [
            ("Sony WH-1000", Some(r#""sony" "wh" "1000"*"#)),
            ("\"a\" OR b*", Some(r#""a" "or" "b"*"#)),
            ("NEAR(x)", Some(r#""near" "x"*"#)),
            ("🎧", None),
            ("\0", None),
        ] {
            assert_eq!(full_text(text).as_deref(), expected, "{text:?}");
        }
    }
}
