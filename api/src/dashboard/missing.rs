//! The page for an address where nothing is.

use askama::Template;

use super::frame::Frame;
use super::{Page, Problem};

#[derive(Template)]
#[template(path = "missing.html")]
struct Missing {
    frame: Frame,
}

impl Missing {
    /// The script that fills it.
    fn script(&self) -> &'static str {
        "frame.js"
    }
}

pub(super) fn page(frame: Frame) -> Result<Page, Problem> {
    Page::new(&Missing { frame })
}
