//! `/`: the list of opportunities.

use askama::Template;
use rust_decimal::Decimal;

use super::frame::Frame;
use super::{Page, Problem};

/// The columns: cell, name of the heading, and what `/opportunities` calls the order by it; `true` where greatest comes first.
type Column = (&'static str, &'static str, Option<(&'static str, bool)>);

#[derive(Template)]
#[template(path = "opportunities.html")]
struct Opportunities {
    frame: Frame,
    /// Gaps are recorded above this margin, percent.
    floor: Decimal,
    columns: Vec<Column>,
}

impl Opportunities {
    /// The script that fills it.
    fn script(&self) -> &'static str {
        "opportunities.js"
    }
}

pub(super) fn page(frame: Frame, floor: Decimal) -> Result<Page, Problem> {
    let words = frame.words;
    let columns = vec![
        ("title", words.column_title, Some(("title", false))),
        ("asin", words.column_asin, Some(("asin", false))),
        ("buy", words.column_buy, Some(("source_price_eur", false))),
        ("sell", words.column_sell, Some(("target_price_eur", false))),
        ("margin", words.column_margin, Some(("margin", true))),
        ("percent", words.column_percent, Some(("margin_percentage", true))),
        ("profit", words.column_profit, Some(("profit", true))),
        ("roi", words.column_roi, Some(("roi", true))),
        ("traps", words.column_traps, Some(("confidence", true))),
        ("ages", words.column_ages, Some(("oldest_leg", true))),
        ("links", words.column_links, None),
    ];
    Page::new(&Opportunities {
        frame,
        floor: floor.normalize(),
        columns,
    })
}
