//! `/routes`: the matrix of marketplaces.

use askama::Template;

use super::frame::Frame;
use super::{Page, Problem};

#[derive(Template)]
#[template(path = "routes.html")]
struct Routes {
    frame: Frame,
}

impl Routes {
    /// The script that fills it.
    fn script(&self) -> &'static str {
        "routes.js"
    }
}

pub(super) fn page(frame: Frame) -> Result<Page, Problem> {
    Page::new(&Routes { frame })
}
