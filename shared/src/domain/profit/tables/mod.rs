//! Dated tables: VAT rates by country and class of goods, Amazon's fees by category, store and size.
//!
//! They are data, not code: fees changed twice within a year. `vat.json` and `fees.json` ship with the product; a file of
//! the same shape may take the place of either (`VAT_TABLE`, `FEE_TABLE`). A row holds from its `valid_from` until a later
//! row of the same key.

mod fees;
mod vat;

pub(super) use fees::EVERYTHING_ELSE;
pub use fees::{FbaSize, FeeTable};
pub(super) use vat::STANDARD;
pub use vat::VatTable;

use chrono::NaiveDate;

use crate::domain::marketplace::Marketplace;

/// Both tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// VAT rates.
    pub vat: VatTable,
    /// Amazon's fees.
    pub fees: FeeTable,
}

/// A file that is no table.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TableError {
    #[error("it is not a table")]
    Shape(#[from] serde_json::Error),
    #[error("{row}: {reason}")]
    Row { row: String, reason: String },
    #[error("{0}")]
    Missing(String),
}

impl Tables {
    /// Those that ship with the product.
    #[must_use]
    pub fn shipped() -> Tables {
        Tables {
            vat: VatTable::parse(include_str!("vat.json")).expect("a test parses it"),
            fees: FeeTable::parse(include_str!("fees.json")).expect("a test parses it"),
        }
    }
}

/// A row with the day from which it holds.
trait Dated {
    fn valid_from(&self) -> NaiveDate;
}

/// Of these rows the one that holds on a day.
fn in_force<'a, R: Dated>(rows: impl Iterator<Item = &'a R>, at: NaiveDate) -> Option<&'a R> {
    rows.filter(|row| row.valid_from() <= at).max_by_key(|row| row.valid_from())
}

/// Whether a marketplace's country is a member state.
#[must_use]
pub fn is_in_eu(marketplace: Marketplace) -> bool {
    matches!(marketplace, Marketplace::DE | Marketplace::FR | Marketplace::IT | Marketplace::ES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_tables_are_tables() {
        VatTable::parse(include_str!("vat.json")).expect("VAT rates");
        FeeTable::parse(include_str!("fees.json")).expect("fees");
    }
}
