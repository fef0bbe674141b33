//! [`Frame`]: what all pages have around them.

use poem::Request;
use poem::http::HeaderMap;

use super::cookie;
use super::files::{FILES, SCRIPTS};
use super::language::Language;
use super::words::Words;

/// What a page is rendered with, whatever it shows.
pub(super) struct Frame {
    pub(super) language: Language,
    pub(super) words: &'static Words,
    /// `light` or `dark` where the reader chose; else the system says.
    pub(super) theme: Option<&'static str>,
}

impl Frame {
    pub(super) fn of(request: &Request) -> Frame {
        Frame::of_headers(request.uri().query(), request.headers())
    }

    pub(super) fn of_headers(query: Option<&str>, headers: &HeaderMap) -> Frame {
        let language = Language::of_request(query, headers);
        let theme = cookie(headers, "theme");
        Frame {
            language,
            words: Words::of(language),
            theme: ["light", "dark"].into_iter().find(|known| theme == Some(known)),
        }
    }

    pub(super) fn languages(&self) -> [(&'static str, &'static str, bool); 2] {
        Language::ALL.map(|language| (language.code(), Words::of(language).name, language == self.language))
    }

    pub(super) fn themes(&self) -> [(&'static str, &'static str, bool); 3] {
        let chosen = self.theme.unwrap_or("auto");
        let words = self.words;
        [("auto", words.theme_auto), ("light", words.theme_light), ("dark", words.theme_dark)].map(|(code, name)| (code, name, code == chosen))
    }

    pub(super) fn stylesheet(&self) -> &'static str {
        &FILES.stylesheet
    }

    pub(super) fn icon(&self) -> &'static str {
        &FILES.icon
    }

    pub(super) fn plotly(&self) -> &'static str {
        &FILES.plotly
    }

    pub(super) fn script(&self, name: &str) -> String {
        FILES.script(self.language, name)
    }

    /// What a page's script imports, directly or not, so that the browser asks for all of it at once.
    pub(super) fn imports(&self, name: &str) -> Vec<String> {
        let text = |name: &str| SCRIPTS.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| *text);
        let mut found: Vec<&str> = vec![name];
        let mut looked_at = 0;
        while let Some(name) = found.get(looked_at).copied() {
            looked_at += 1;
            let imports = text(name)
                .lines()
                .filter(|line| line.starts_with("import "))
                .filter_map(|line| line.split('"').nth(1));
            for import in imports.filter_map(|from| from.strip_prefix("./")) {
                if !found.contains(&import) {
                    found.push(import);
                }
            }
        }
        found.into_iter().skip(1).map(|name| self.script(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_all_that_its_script_imports() {
        let frame = Frame::of_headers(Some("lang=de"), &HeaderMap::new());
        let imports = frame.imports("product.js");
        for name in ["/de/frame.js", "/de/words.js", "/de/chart.js", "/de/format.js"] {
            assert_eq!(imports.iter().filter(|import| import.ends_with(name)).count(), 1, "{name}: {imports:?}");
        }
    }
}
