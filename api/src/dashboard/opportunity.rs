//! `/o/{id}`: why one opportunity is worth what it is worth.

use askama::Template;
use shared::domain::OpportunityId;

use super::frame::Frame;
use super::{Page, Problem};

#[derive(Template)]
#[template(path = "opportunity.html")]
struct OnePage {
    frame: Frame,
    id: OpportunityId,
}

impl OnePage {
    /// The script that fills it.
    fn script(&self) -> &'static str {
        "opportunity.js"
    }
}

pub(super) fn page(frame: Frame, id: &str) -> Result<Page, Problem> {
    let id = id.parse().map_err(|_| Problem::NoSuchPath { path: format!("/o/{id}") })?;
    Page::new(&OnePage { frame, id })
}
