//! [`Language`]: which one a reader gets. Pure.

use poem::http::HeaderMap;
use poem::http::header::ACCEPT_LANGUAGE;

use super::cookie;

/// A language that the pages speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    En,
    De,
}

impl Language {
    /// All of them; the first is for readers of any other.
    pub(crate) const ALL: [Language; 2] = [Language::En, Language::De];

    /// The code in `lang` and in `?lang=`.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::De => "de",
        }
    }

    fn of_code(code: &str) -> Option<Language> {
        let primary = code.split(['-', '_']).next().unwrap_or_default();
        Language::ALL.into_iter().find(|language| language.code().eq_ignore_ascii_case(primary))
    }

    /// What the address asks for, else what was chosen before, else what the browser prefers.
    pub(crate) fn of_request(query: Option<&str>, headers: &HeaderMap) -> Language {
        let asked = query.and_then(|query| url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "lang"));
        asked
            .and_then(|(_, code)| Language::of_code(&code))
            .or_else(|| cookie(headers, "language").and_then(Language::of_code))
            .or_else(|| preferred(headers))
            .unwrap_or(Language::En)
    }
}

/// The best of ours in `Accept-Language` (RFC 9110, 12.5.4).
fn preferred(headers: &HeaderMap) -> Option<Language> {
    let values = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
    let mut best: Option<(u32, Language)> = None;
    for offer in values.flat_map(|value| value.split(',')) {
        let mut parts = offer.split(';').map(str::trim);
        let Some(language) = parts.next().and_then(Language::of_code) else { continue };
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1_000), thousandths);
        if let Some(weight) = weight.filter(|weight| *weight > 0)
            && best.is_none_or(|(greatest, _)| weight > greatest)
        {
            best = Some((weight, language));
        }
    }
    best.map(|(_, language)| language)
}

/// `0.8` as 800; none where it is no weight.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_weight = matches!(whole, "0" | "1") && fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_weight.then(|| format!("{whole}{fraction:0<3}").parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;
    use poem::http::header::COOKIE;

    use super::*;

    #[test]
    fn the_address_comes_before_the_choice_and_the_choice_before_the_browser() {
        use Language::{De, En};
        for (query, chosen, accepted, expected) in [
            ("", "", "", En),
            ("", "", "de", De),
            ("", "", "de-AT,de;q=0.9,en;q=0.8", De),
            ("", "", "en-GB, de;q=0.9", En),
            ("", "", "de;q=0.5, en;q=0.7", En),
            ("", "", "de;q=0, fr", En),
            ("", "", "fr, it;q=0.9, DE;q=0.1", De),
            ("", "", "de;q=nonsense", En),
            ("", "language=de", "en", De),
            ("", "theme=dark; language=en", "de", En),
            ("", "language=xx", "de", De),
            ("lang=de", "language=en", "en", De),
            ("q=lang&lang=en-US", "language=de", "de", En),
            ("lang=", "language=de", "en", De),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(COOKIE, chosen), (ACCEPT_LANGUAGE, accepted)] {
                if !value.is_empty() {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            let language = Language::of_request(Some(query), &headers);
            assert_eq!(language, expected, "{query:?} {chosen:?} {accepted:?}");
        }
    }
}
