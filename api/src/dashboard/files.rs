//! Scripts, stylesheet and icon, under names that hold a fingerprint of what they are: a browser keeps them for ever, and a
//! new version has a new name.
//!
//! The scripts import each other by relative names, so all of them share one folder with one fingerprint; each language has
//! its own, in which `words.js` is different.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::LazyLock;

use bytes::Bytes;
use plotly::Plot;
use poem::Route;

use super::language::Language;
use super::words::Words;
use crate::assets::{Asset, Lifetime};

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! scripts {
    ($($name:literal),+ $(,)?) => {
        /// Our scripts by name.
        pub(super) const SCRIPTS: &[(&str, &str)] = &[$(($name, include_str!(concat!("assets/", $name)))),+];
    };
}
scripts!(
    "api.js",
    "chart.js",
    "dom.js",
    "format.js",
    "frame.js",
    "opportunities.js",
    "opportunity.js",
    "poll.js",
    "product.js",
    "routes.js",
    "system.js",
    "table.js",
);

const STYLE: &str = include_str!("assets/style.css");
const ICON: &str = include_str!("assets/icon.svg");

/// Where everything is.
pub(super) struct Files {
    pub(super) stylesheet: String,
    pub(super) icon: String,
    pub(super) plotly: String,
    plotly_script: Bytes,
    scripts: String,
}

/// Made once per process.
pub(super) static FILES: LazyLock<Files> = LazyLock::new(Files::new);

impl Files {
    fn new() -> Files {
        let ours = SCRIPTS
            .iter()
            .map(|(_, text)| *text)
            .chain(Language::ALL.map(|language| Words::of(language).name));
        let words: String = Language::ALL.map(words_script).concat();
        let plotly_script = plotly_script();
        Files {
            stylesheet: format!("/assets/style-{}.css", fingerprint([STYLE])),
            icon: icon_path(),
            plotly: format!("/assets/plotly-{}.js", fingerprint([plotly_script.as_str()])),
            plotly_script: plotly_script.into(),
            scripts: format!("/assets/scripts-{}", fingerprint(ours.chain([words.as_str()]))),
        }
    }

    /// Where a script is for readers of a language.
    pub(super) fn script(&self, language: Language, name: &str) -> String {
        format!("{}/{}/{name}", self.scripts, language.code())
    }

    /// All of them.
    pub(super) fn add_to(&self, mut routes: Route) -> Route {
        routes = routes
            .at(&self.stylesheet, file("text/css; charset=utf-8", STYLE.into()).route())
            .at(&self.icon, file("image/svg+xml", ICON.into()).route())
            .at(&self.plotly, file(JAVASCRIPT, self.plotly_script.clone()).route());
        for language in Language::ALL {
            for (name, text) in SCRIPTS {
                routes = routes.at(self.script(language, name), file(JAVASCRIPT, (*text).into()).route());
            }
            routes = routes.at(self.script(language, "words.js"), file(JAVASCRIPT, words_script(language).into()).route());
        }
        routes
    }
}

fn icon_path() -> String {
    format!("/assets/icon-{}.svg", fingerprint([ICON]))
}

fn file(content_type: &'static str, body: Bytes) -> Asset {
    Asset {
        content_type,
        body,
        content_security_policy: None,
        lifetime: Lifetime::ForEver,
    }
}

/// The words as a module, for the scripts.
fn words_script(language: Language) -> String {
    let words: serde_json::Map<String, serde_json::Value> = Words::of(language).all().map(|(name, text)| (name.into(), text.into())).collect();
    format!("export const words = {};\n", serde_json::Value::Object(words))
}

/// The image by which the map libraries inside Plotly try whether the browser knows WebP. No chart of ours needs them, and
/// pages take no images but ours and Amazon's: they get our icon.
const WEBP_PROBE: &str = "data:image/webp;base64,UklGRh4AAABXRUJQVlA4TBEAAAAvAQAAAAfQ//73v/+BiOh/AAA=";

/// Plotly's own script, out of what the crate makes for pages with everything inside; empty if that is not as expected, which
/// a test would tell.
fn plotly_script() -> String {
    let sources = Plot::offline_js_sources();
    let script = sources
        .split_once("<script type=\"text/javascript\">")
        .and_then(|(_, rest)| rest.split_once("</script>"));
    let icon = icon_path();
    script.map(|(script, _)| script.replace(WEBP_PROBE, &icon)).unwrap_or_default()
}

/// The same in every process of one build.
fn fingerprint<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = DefaultHasher::new();
    for text in texts {
        hasher.write(text.as_bytes());
        hasher.write_u8(0xff);
    }
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plotlys_script_is_whole() {
        let script = plotly_script();
        assert!(
            script.contains(&icon_path()) && !script.contains("data:image/webp"),
            "it tries no image of its own"
        );
        assert!(script.len() > 1_000_000, "{}", script.len());
        assert!(
            script.contains("plotly.js v3") && script.trim_end().ends_with(';'),
            "{}",
            &script[script.len() - 100..]
        );
    }

    #[test]
    fn a_script_imports_only_what_is_beside_it() {
        let names: Vec<&str> = SCRIPTS.iter().map(|(name, _)| *name).chain(["words.js"]).collect();
        for (name, text) in SCRIPTS {
            for imported in text.lines().filter(|line| line.starts_with("import ")) {
                let from = imported.split('"').nth(1).unwrap_or_default();
                assert!(names.iter().any(|known| from == format!("./{known}")), "{name}: {imported}");
            }
        }
    }

    #[test]
    fn text_goes_in_as_text_and_nothing_is_evaluated() {
        for (name, text) in SCRIPTS {
            for banned in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "://cdn",
            ] {
                assert!(!text.contains(banned), "{name} has {banned}");
            }
        }
    }
}
