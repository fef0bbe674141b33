//! Where Elasticsearch is and how to get in.

use std::path::PathBuf;
use std::time::Duration;

use elasticsearch::auth::Credentials;
use url::{Host, Url};

use crate::config::{Environment, Secret};

/// Every request is given up after this long; a write's outcome is then unknown.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Settings of an [`super::ElasticCatalog`].
#[derive(Debug, Clone)]
pub struct ElasticConfig {
    /// Nodes, used in turn, and left out for a while after they did not answer; at least one, without credentials in them.
    pub urls: Vec<Url>,
    /// How requests prove who sends them.
    pub credentials: Option<ElasticCredentials>,
    /// A file with the certificates (PEM) that the server's is signed by, beside those the system trusts.
    pub certificate_authority: Option<PathBuf>,
    /// Stands before the name of every index, alias and template.
    pub index_prefix: String,
    /// Limit of one request, the answer included.
    pub request_timeout: Duration,
    /// Refuse documents with fields that the mappings lack, instead of not indexing these. For tests.
    pub strict_mappings: bool,
}

/// How requests prove who sends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElasticCredentials {
    /// The encoded form, or `id:key`.
    ApiKey(Secret),
    /// User name and password.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: Secret,
    },
}

impl ElasticConfig {
    /// Reads `ELASTICSEARCH_URL` (one or more, separated by commas), `ELASTICSEARCH_API_KEY` or
    /// `ELASTICSEARCH_USERNAME` and `_PASSWORD`, `ELASTICSEARCH_CA` and `INDEX_PREFIX`. None without a URL.
    ///
    /// Mistakes are noted on the environment.
    #[must_use]
    pub fn read(environment: &Environment) -> Option<ElasticConfig> {
        let urls = read_urls(environment)?;
        let credentials = read_credentials(environment);
        let certificate_authority = environment.text("ELASTICSEARCH_CA").map(PathBuf::from);
        if let Some(path) = &certificate_authority
            && !path.is_file()
        {
            environment.mistake(format!("ELASTICSEARCH_CA: there is no file {}", path.display()));
        }
        let index_prefix = environment.parsed(
            "INDEX_PREFIX",
            String::new(),
            "up to 100 lower-case letters, digits, '-', '_' or '.', a letter or digit first",
            |text| is_index_prefix(text).then(|| text.to_owned()),
        );
        Some(ElasticConfig {
            urls,
            credentials,
            certificate_authority,
            index_prefix,
            request_timeout: REQUEST_TIMEOUT,
            strict_mappings: false,
        })
    }

    /// Settings for a server without access control.
    #[must_use]
    pub fn open(url: Url) -> ElasticConfig {
        ElasticConfig {
            urls: vec![url],
            credentials: None,
            certificate_authority: None,
            index_prefix: String::new(),
            request_timeout: REQUEST_TIMEOUT,
            strict_mappings: false,
        }
    }
}

impl ElasticCredentials {
    pub(super) fn to_client(&self) -> Credentials {
        match self {
            ElasticCredentials::ApiKey(key) => match key.expose().split_once(':') {
                Some((id, key)) => Credentials::ApiKey(id.to_owned(), key.to_owned()),
                None => Credentials::EncodedApiKey(key.expose().to_owned()),
            },
            ElasticCredentials::Basic { username, password } => Credentials::Basic(username.clone(), password.expose().to_owned()),
        }
    }
}

fn read_urls(environment: &Environment) -> Option<Vec<Url>> {
    let text = environment.text("ELASTICSEARCH_URL")?;
    let mut urls = Vec::new();
    for (number, part) in text.split(',').map(str::trim).enumerate() {
        // The text is not repeated in a mistake: a password may stand in it.
        let wrong = |what: &str| environment.mistake(format!("ELASTICSEARCH_URL: {what} (address {})", number + 1));
        match Url::parse(part) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => wrong("an http or https address is expected"),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                wrong("credentials belong into ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD");
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => wrong("an address ends with its path"),
            Ok(url) => urls.push(url),
            Err(error) => wrong(&format!("an http or https address is expected: {error}")),
        }
    }
    if urls.is_empty() {
        // A mistake is noted; what is returned is never used.
        urls.push(Url::parse("http://127.0.0.1:9200").expect("a constant address"));
    }
    Some(urls)
}

fn read_credentials(environment: &Environment) -> Option<ElasticCredentials> {
    let api_key = environment.secret("ELASTICSEARCH_API_KEY");
    let username = environment.text("ELASTICSEARCH_USERNAME");
    let password = environment.secret("ELASTICSEARCH_PASSWORD");
    match (api_key, username, password) {
        (None, None, None) => None,
        // It goes into a header, and the client library takes its form for granted.
        (Some(key), None, None) if key.expose().bytes().all(|byte| byte.is_ascii_graphic()) => Some(ElasticCredentials::ApiKey(key)),
        (Some(_), None, None) => {
            environment.mistake("ELASTICSEARCH_API_KEY: letters, digits and signs are expected, without spaces");
            None
        }
        (None, Some(username), Some(password)) => Some(ElasticCredentials::Basic { username, password }),
        (None, _, _) => {
            environment.mistake("ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD are only of use together");
            None
        }
        (Some(_), _, _) => {
            environment.mistake("ELASTICSEARCH_API_KEY and ELASTICSEARCH_USERNAME or _PASSWORD are both set: one of them is enough");
            None
        }
    }
}

/// Whether a node is on this machine: then bodies are not compressed and no proxy is asked.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// What Elasticsearch accepts in front of an index name.
fn is_index_prefix(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= 100 && text.bytes().all(allowed) && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&'static str, &'static str)]) -> Result<Option<ElasticConfig>, String> {
        let environment = Environment::of(variables.iter().copied());
        let config = ElasticConfig::read(&environment);
        environment.finish(config).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_url_there_is_no_elasticsearch() {
        assert!(read(&[("ELASTICSEARCH_API_KEY", "x")]).unwrap().is_none());
    }

    #[test]
    fn several_nodes_and_credentials_are_read() {
        let config = read(&[
            ("ELASTICSEARCH_URL", "https://one:9200, https://two:9200/es"),
            ("ELASTICSEARCH_USERNAME", "elastic"),
            ("ELASTICSEARCH_PASSWORD", "secret"),
            ("INDEX_PREFIX", "prod-"),
        ])
        .unwrap()
        .unwrap();
        assert_eq!(config.urls.len(), 2);
        assert_eq!(config.index_prefix, "prod-");
        assert!(matches!(config.credentials, Some(ElasticCredentials::Basic { .. })));
        assert!(!is_loopback(&config.urls[0]));
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn mistakes_name_the_variable_and_never_show_a_password() {
        for (variables, name) in [
            (vec![("ELASTICSEARCH_URL", "localhost:9200")], "ELASTICSEARCH_URL"),
            (vec![("ELASTICSEARCH_URL", "http://user:hunter2@localhost:9200")], "ELASTICSEARCH_URL"),
            (vec![("ELASTICSEARCH_URL", "http://a,,http://b")], "ELASTICSEARCH_URL"),
            (
                vec![("ELASTICSEARCH_URL", "http://a"), ("ELASTICSEARCH_API_KEY", "hunter2 x")],
                "ELASTICSEARCH_API_KEY",
            ),
            (
                vec![("ELASTICSEARCH_URL", "http://a"), ("ELASTICSEARCH_USERNAME", "u")],
                "ELASTICSEARCH_PASSWORD",
            ),
            (
                vec![
                    ("ELASTICSEARCH_URL", "http://a"),
                    ("ELASTICSEARCH_API_KEY", "k"),
                    ("ELASTICSEARCH_USERNAME", "u"),
                ],
                "ELASTICSEARCH_API_KEY",
            ),
            (
                vec![("ELASTICSEARCH_URL", "http://a"), ("ELASTICSEARCH_CA", "/missing.pem")],
                "ELASTICSEARCH_CA",
            ),
            (vec![("ELASTICSEARCH_URL", "http://a"), ("INDEX_PREFIX", "Prod*")], "INDEX_PREFIX"),
            (vec![("ELASTICSEARCH_URL", "http://a"), ("INDEX_PREFIX", "-x")], "INDEX_PREFIX"),
        ] {
            let error = read(&variables).unwrap_err();
            assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn this_machine_is_recognized() {
        for (url, expected) in [
            ("http://127.0.0.1:9200", true),
            ("http://localhost:9200", true),
            ("http://[::1]:9200", true),
            ("http://10.0.0.1:9200", false),
            ("http://localhost.example.com", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
