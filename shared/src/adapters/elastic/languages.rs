//! The language that a marketplace's names are in, and which languages a server can analyse.
//!
//! Words are found as they are typed by the field `words`, on every server alike. Beside it, `texts` holds the names that
//! each marketplace uses, by language, so that another form of a word finds them too: `Kopfhörern` finds `Kopfhörer`.
//! A server that lacks a language's analyzer (Elasticsearch's own has them all, its minimal distribution none) is given
//! `standard` instead: then only whole words are found.

use std::collections::{BTreeMap, BTreeSet};

use elasticsearch::http::Method;
use serde_json::{Value, json};

use super::classify::{classify_call, error_cause};
use super::client::Client;
use crate::domain::{Marketplace, Product};
use crate::ports::catalog::CatalogError;

/// The analyzer that every server has.
const STANDARD: &str = "standard";

/// A language with an analyzer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Language {
    German,
    French,
    Italian,
    Spanish,
    English,
}

impl Language {
    pub(super) const ALL: [Language; 5] = [Language::German, Language::French, Language::Italian, Language::Spanish, Language::English];

    /// Of a marketplace's names; none where no analyzer is asked for.
    fn of(marketplace: Marketplace) -> Option<Language> {
        match marketplace {
            Marketplace::DE => Some(Language::German),
            Marketplace::FR => Some(Language::French),
            Marketplace::IT => Some(Language::Italian),
            Marketplace::ES | Marketplace::MX => Some(Language::Spanish),
            Marketplace::UK | Marketplace::US | Marketplace::CA | Marketplace::IN => Some(Language::English),
            Marketplace::JP | Marketplace::BR => None,
        }
    }

    /// Elasticsearch's name of the analyzer, and of the field.
    pub(super) fn name(self) -> &'static str {
        match self {
            Language::German => "german",
            Language::French => "french",
            Language::Italian => "italian",
            Language::Spanish => "spanish",
            Language::English => "english",
        }
    }

    /// The field that is searched.
    pub(super) fn field(self) -> String {
        format!("texts.{}", self.name())
    }
}

/// Title, brand and category of each marketplace, by language; each text once.
pub(super) fn texts(product: &Product) -> BTreeMap<&'static str, Vec<&str>> {
    let mut texts: BTreeMap<&'static str, Vec<&str>> = BTreeMap::new();
    for (marketplace, sources) in &product.markets {
        let Some(language) = Language::of(*marketplace) else { continue };
        for attributes in sources.values().filter_map(|state| state.attributes.as_ref()) {
            let facts = &attributes.facts;
            let category = facts.categories.first().map(|category| category.name.as_str());
            for name in [facts.title.as_deref(), facts.brand.as_deref(), category].into_iter().flatten() {
                let known = texts.entry(language.name()).or_default();
                if !known.contains(&name) {
                    known.push(name);
                }
            }
        }
    }
    texts
}

/// Asks the server which of the analyzers it has.
pub(super) async fn ask(client: &Client) -> Result<BTreeSet<Language>, CatalogError> {
    let mut found = BTreeSet::new();
    for language in Language::ALL {
        let body = json!({"analyzer": language.name(), "text": "a"});
        let answer = client.send(Method::Post, "/_analyze", &[], Some(body.to_string().into())).await?;
        if has_analyzer(answer.status, &answer.body)? {
            found.insert(language);
        }
    }
    Ok(found)
}

/// What the answer to the use of an analyzer means.
fn has_analyzer(status: u16, body: &[u8]) -> Result<bool, CatalogError> {
    let cause = error_cause(body).unwrap_or_default();
    match status {
        200..=299 => Ok(true),
        400 if cause.kind == "illegal_argument_exception" && cause.reason.contains("analyzer") => Ok(false),
        // Titles are no reason not to start.
        403 if cause.kind == "security_exception" => {
            tracing::warn!(
                reason = cause.reason,
                "which analyzers there are may not be asked: titles are analysed by standard"
            );
            Ok(false)
        }
        _ => Err(classify_call(status, body)),
    }
}

/// Puts `standard` into a mapping for every language that the server cannot analyse.
pub(super) fn restrict(mappings: &mut Value, available: &BTreeSet<Language>) {
    for language in Language::ALL.into_iter().filter(|language| !available.contains(language)) {
        if let Some(field) = mappings.pointer_mut(&pointer(language)) {
            field["analyzer"] = STANDARD.into();
        }
    }
}

/// Takes from a mapping the texts that an index has already: an analyzer cannot be changed. Returns the languages that
/// the index analyses in another way than this mapping would.
pub(super) fn keep_what_is_there(mappings: &mut Value, existing: &Value) -> Vec<Language> {
    let mut different = Vec::new();
    for language in Language::ALL {
        let (Some(wanted), Some(there)) = (mappings.pointer(&pointer(language)), existing.pointer(&pointer(language))) else {
            continue;
        };
        // Elasticsearch leaves out what is its default.
        if wanted["analyzer"] != *there.get("analyzer").unwrap_or(&Value::from(STANDARD)) {
            different.push(language);
        }
        if let Some(fields) = mappings.pointer_mut("/properties/texts/properties").and_then(Value::as_object_mut) {
            fields.remove(language.name());
        }
    }
    different
}

fn pointer(language: Language) -> String {
    format!("/properties/texts/properties/{}", language.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(analyzer_of_german: Option<&str>) -> Value {
        let mut german = json!({"type": "text"});
        if let Some(analyzer) = analyzer_of_german {
            german["analyzer"] = analyzer.into();
        }
        json!({"properties": {"asin": {"type": "keyword"}, "texts": {"properties": {"german": german, "french": {"type": "text", "analyzer": "french"}}}}})
    }

    fn analyzers(mapping: &Value) -> [&str; 2] {
        let of = |language: &str| mapping["properties"]["texts"]["properties"][language]["analyzer"].as_str().unwrap_or("-");
        [of("german"), of("french")]
    }

    #[test]
    fn an_analyzer_is_there_missing_or_unknown() {
        let missing = r#"{"error":{"type":"illegal_argument_exception","reason":"failed to find global analyzer [german]"},"status":400}"#;
        assert!(has_analyzer(200, br#"{"tokens":[]}"#).unwrap());
        assert!(!has_analyzer(400, missing.as_bytes()).unwrap());
        for (status, body) in [(400, "<html>bad request</html>"), (503, ""), (502, missing), (401, "{}")] {
            assert!(has_analyzer(status, body.as_bytes()).is_err(), "{status} {body}");
        }
        // Who may not ask starts all the same.
        assert!(!has_analyzer(403, br#"{"error":{"type":"security_exception","reason":"no"},"status":403}"#).unwrap());
    }

    #[test]
    fn what_a_server_cannot_analyse_is_standard() {
        for (available, expected) in [
            (vec![], ["standard", "standard"]),
            (vec![Language::German], ["german", "standard"]),
            (Language::ALL.to_vec(), ["german", "french"]),
        ] {
            let mut mapping = mapping(Some("german"));
            restrict(&mut mapping, &available.into_iter().collect());
            assert_eq!(analyzers(&mapping), expected);
        }
    }

    #[test]
    fn an_index_keeps_the_analyzers_it_has() {
        let bare = json!({"properties": {"asin": {"type": "keyword"}}});
        for (existing, different, left) in [
            (bare, vec![], ["german", "french"]),
            (mapping(Some("german")), vec![], ["-", "-"]),
            (mapping(None), vec![Language::German], ["-", "-"]),
            (mapping(Some("standard")), vec![Language::German], ["-", "-"]),
        ] {
            let mut wanted = mapping(Some("german"));
            assert_eq!(keep_what_is_there(&mut wanted, &existing), different, "{existing}");
            assert_eq!(analyzers(&wanted), left, "{existing}");
            assert_eq!(wanted["properties"]["asin"]["type"], "keyword");
        }
    }
}
