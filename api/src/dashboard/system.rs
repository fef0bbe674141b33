//! `/system`: how everything that runs is doing.

use askama::Template;

use super::frame::Frame;
use super::{Page, Problem};

#[derive(Template)]
#[template(path = "system.html")]
struct System {
    frame: Frame,
}

impl System {
    /// The script that fills it.
    fn script(&self) -> &'static str {
        "system.js"
    }
}

pub(super) fn page(frame: Frame) -> Result<Page, Problem> {
    Page::new(&System { frame })
}
