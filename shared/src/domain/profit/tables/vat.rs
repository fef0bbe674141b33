//! [`VatTable`]: VAT rates, dated.

use std::sync::Arc;

use chrono::NaiveDate;
use serde::Deserialize;

use super::{Dated, TableError, in_force};
use crate::domain::profit::costs::{Origin, Sourced};
use crate::domain::profit::share::Share;

/// The class of goods that everything is in of which nothing else is known.
pub const STANDARD: &str = "standard";

/// VAT rates by country and class of goods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VatTable {
    rows: Vec<Row>,
    text: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    country: String,
    class: String,
    rate: Share,
    valid_from: NaiveDate,
}

impl Dated for Row {
    fn valid_from(&self) -> NaiveDate {
        self.valid_from
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "about")]
    _about: Option<String>,
    rates: Vec<Row>,
}

impl VatTable {
    /// Reads a table.
    ///
    /// # Errors
    /// What is no table, two rows of one key and day, and a country without a standard rate.
    pub fn parse(text: &str) -> Result<VatTable, TableError> {
        let File { rates: rows, .. } = serde_json::from_str(text)?;
        for (index, row) in rows.iter().enumerate() {
            let name = format!("{} {} from {}", row.country, row.class, row.valid_from);
            let is_same = |other: &Row| (&other.country, &other.class, other.valid_from) == (&row.country, &row.class, row.valid_from);
            if rows[..index].iter().any(is_same) {
                return Err(TableError::Row {
                    row: name,
                    reason: "stands there twice".into(),
                });
            }
            if !rows.iter().any(|other| other.country == row.country && other.class == STANDARD) {
                return Err(TableError::Missing(format!("{} has no standard rate", row.country)));
            }
        }
        if rows.is_empty() {
            return Err(TableError::Missing("there is no rate".into()));
        }
        Ok(VatTable { rows, text: text.into() })
    }

    /// The text that it was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The rate of a country and class on a day; of the standard class, and `assumed`, where the class has none. None for a
    /// country that is not in the table, or was not yet.
    #[must_use]
    pub fn rate(&self, country: &str, class: &str, at: NaiveDate) -> Option<Sourced<Share>> {
        let of = |class: &str| {
            let rows = self.rows.iter().filter(|row| row.country == country && row.class == class);
            in_force(rows, at).map(|row| Sourced::known(row.rate, Origin::VatTable, Some(row.valid_from)))
        };
        of(class).or_else(|| of(STANDARD).map(|rate| Sourced { assumed: true, ..rate }))
    }

    /// The classes that some country has.
    #[must_use]
    pub fn has_class(&self, class: &str) -> bool {
        self.rows.iter().any(|row| row.class == class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_holds_from_its_day_on() {
        let table = VatTable::parse(include_str!("vat.json")).expect("the shipped table");
        let day = |text: &str| text.parse::<NaiveDate>().expect("a day");
        for (country, class, at, expected) in [
            ("FI", STANDARD, "2024-08-31", Some(("0.24", false))),
            ("FI", STANDARD, "2024-09-01", Some(("0.255", false))),
            ("UK", "books", "2026-01-01", Some(("0", false))),
            // Luxembourg's books are not in the table: its standard rate stands in.
            ("LU", "books", "2026-01-01", Some(("0.17", true))),
            ("DE", STANDARD, "1970-01-01", None),
            ("US", STANDARD, "2026-01-01", None),
        ] {
            let found = table.rate(country, class, day(at)).map(|rate| (rate.value.to_string(), rate.assumed));
            assert_eq!(found, expected.map(|(rate, assumed)| (rate.to_owned(), assumed)), "{country} {class} {at}");
        }
    }

    #[test]
    fn a_table_that_contradicts_itself_is_refused() {
        let row = |country: &str, class: &str| format!(r#"{{"country":"{country}","class":"{class}","rate":"0.2","valid_from":"2020-01-01"}}"#);
        let table = |rows: &[String]| VatTable::parse(&format!(r#"{{"rates":[{}]}}"#, rows.join(","))).map_err(|error| error.to_string());
        for (rows, expected) in [
            (vec![row("DE", STANDARD), row("DE", STANDARD)], "stands there twice"),
            (vec![row("DE", "books")], "no standard rate"),
            (vec![], "no rate"),
        ] {
            let refused = table(&rows).expect_err("it is no table");
            assert!(refused.contains(expected), "{refused}");
        }
        assert!(VatTable::parse(r#"{"rates":[{"country":"DE","class":"standard","rate":"1.2","valid_from":"2020-01-01"}]}"#).is_err());
    }
}
