//! Which paths, methods and query parameters there are, taken from the API's own document, so that nothing is declared
//! twice: a parameter that the document does not name is refused, whatever the handler.

use std::sync::Arc;

use poem::http::Method;
use serde_json::Value;
use url::form_urlencoded;

use crate::error::Problem;
use crate::params::QueryValues;

/// More parameters than any operation has.
const MAX_PAIRS: usize = 64;

/// Every operation of the document.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operations {
    paths: Vec<PathItem>,
}

#[derive(Debug, Clone)]
struct PathItem {
    segments: Vec<String>,
    operations: Vec<(Method, Vec<String>)>,
}

impl Operations {
    /// Reads an OpenAPI document.
    pub(crate) fn of_document(document: &Value) -> Self {
        let paths = document["paths"].as_object().into_iter().flatten();
        let operations = |item: &Value| {
            let methods = item.as_object().into_iter().flatten();
            methods
                .filter_map(|(method, operation)| Some((Method::from_bytes(method.to_uppercase().as_bytes()).ok()?, query_names(operation))))
                .collect()
        };
        let paths = paths.map(|(path, item)| PathItem {
            segments: segments(path).map(str::to_owned).collect(),
            operations: operations(item),
        });
        Operations { paths: paths.collect() }
    }

    /// HEAD counts as GET and comes as such. The query's values, if the path is one of the document's; `None` leaves the request to the router.
    ///
    /// # Errors
    /// 405 with what is allowed, and 400 for a parameter that is unknown, repeated, empty or not text.
    pub(crate) fn check(&self, method: &Method, path: &str, query: Option<&str>) -> Result<Option<QueryValues>, Problem> {
        // A path of its own comes before one with a place for anything.
        let matching = self.paths.iter().filter(|item| item.matches(path));
        let Some(item) = matching.min_by_key(|item| item.places()) else {
            return Ok(None);
        };
        let Some((_, known)) = item.operations.iter().find(|(known, _)| known == method) else {
            return Err(Problem::Method {
                method: method.to_string(),
                allow: item.allow(),
            });
        };
        Ok(Some(QueryValues(Arc::new(query_values(query.unwrap_or_default(), known)?))))
    }
}

impl PathItem {
    fn matches(&self, path: &str) -> bool {
        let mut expected = self.segments.iter();
        let fits = segments(path).all(|segment| expected.next().is_some_and(|known| known.starts_with('{') || known == segment));
        fits && expected.next().is_none()
    }

    fn places(&self) -> usize {
        self.segments.iter().filter(|segment| segment.starts_with('{')).count()
    }

    fn allow(&self) -> String {
        let mut methods: Vec<&str> = self.operations.iter().map(|(method, _)| method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.join(", ")
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.trim_start_matches('/').split('/')
}

fn query_names(operation: &Value) -> Vec<String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters
        .filter(|parameter| parameter["in"] == "query")
        .filter_map(|parameter| parameter["name"].as_str().map(str::to_owned))
        .collect()
}

fn query_values(query: &str, known: &[String]) -> Result<Vec<(String, String)>, Problem> {
    let mut values: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()).take(MAX_PAIRS) {
        let refuse = |reason: String| Err(Problem::parameter(name.chars().take(40).collect::<String>(), reason));
        if !known.iter().any(|known| *known == name) {
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            return refuse(format!("is unknown here; known: {known}"));
        }
        if values.iter().any(|(earlier, _)| *earlier == name) {
            return refuse("is given more than once".into());
        }
        if value.is_empty() {
            return refuse("is empty: leave it out or give a value".into());
        }
        // What is not UTF-8 was decoded to U+FFFD.
        if value.chars().any(|character| character == '\u{FFFD}' || character.is_control()) {
            return refuse("is not text: UTF-8 without control characters is expected".into());
        }
        values.push((name.into_owned(), value.into_owned()));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn operations() -> Operations {
        let parameter = |name: &str| json!({"name": name, "in": "query"});
        Operations::of_document(&json!({"paths": {
            "/products": {"get": {"parameters": [parameter("q"), parameter("limit")]}},
            "/products/{asin}": {"get": {"parameters": [{"name": "asin", "in": "path"}]}},
            "/things": {"get": {}, "post": {}},
        }}))
    }

    fn check(query: &str, expected: Result<&[(&str, &str)], &str>) {
        let actual = operations().check(&Method::GET, "/products", Some(query));
        match (actual, expected) {
            (Ok(values), Ok(expected)) => {
                let values = values.expect("a known path").0;
                let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                assert_eq!(values, expected, "{query:?}");
            }
            (Err(problem), Err(expected)) => assert!(problem.to_string().starts_with(expected), "{query:?}: {problem}"),
            (actual, expected) => panic!("{query:?}: {actual:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn each_parameter_is_known_given_once_and_text() {
        check("", Ok(&[]));
        check("q=a+b%C3%A4&limit=5", Ok(&[("q", "a bä"), ("limit", "5")]));
        check("&&q=a&", Ok(&[("q", "a")]));
        check("page=2", Err("parameter page: is unknown"));
        check("Q=a", Err("parameter Q: is unknown"));
        check("asin=a", Err("parameter asin: is unknown"));
        check("q=a&q=b", Err("parameter q: is given more than once"));
        check("q=", Err("parameter q: is empty"));
        check("q", Err("parameter q: is empty"));
        check("q=%ff", Err("parameter q: is not text"));
        check("q=a%00b", Err("parameter q: is not text"));
        check("=a", Err("parameter : is unknown"));
    }

    #[test]
    fn paths_are_matched_whole() {
        let known = |path: &str| operations().check(&Method::GET, path, None).unwrap().is_some();
        for (path, expected) in [
            ("/products", true),
            ("/products/B0D1XD1ZV3", true),
            ("/products/", true),
            ("/products/a/b", false),
            ("/product", false),
            ("/", false),
            ("", false),
        ] {
            assert_eq!(known(path), expected, "{path:?}");
        }
    }

    #[test]
    fn another_method_is_told_what_is_allowed() {
        let problem = operations().check(&Method::DELETE, "/things", None).unwrap_err();
        assert!(matches!(problem, Problem::Method { allow, .. } if allow == "GET, POST, HEAD"));
    }

    proptest! {
        #[test]
        fn no_query_panics(query in ".*") {
            let _ = operations().check(&Method::GET, "/products", Some(&query));
        }
    }
}
