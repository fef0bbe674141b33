//! `/p/{asin}`: one article in all marketplaces.

use askama::Template;
use shared::domain::Asin;

use super::frame::Frame;
use super::{POLICY_WITH_CHART, Page, Problem};

#[derive(Template)]
#[template(path = "product.html")]
struct Product {
    frame: Frame,
    asin: Asin,
}

impl Product {
    /// The script that fills it.
    fn script(&self) -> &'static str {
        "product.js"
    }
}

pub(super) fn page(frame: Frame, asin: &str) -> Result<Page, Problem> {
    let asin = asin.parse().map_err(|_| Problem::NoSuchPath { path: format!("/p/{asin}") })?;
    Page::with_policy(&Product { frame, asin }, POLICY_WITH_CHART)
}
