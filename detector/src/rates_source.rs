//! Where rates come from: a file, a URL, or the set that ships with the product.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use shared::domain::rates::RatesOrigin;
use shared::domain::{ExchangeRates, UnixMillis};

use crate::rates::{self, RatesError};

/// The ECB's daily reference rates.
pub(crate) const ECB_URL: &str = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml";

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The daily document has 2 kB, that of 90 days some 300 kB.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A source of rates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RatesSource {
    /// The ECB's XML in a file (`RATES_FILE`).
    File(PathBuf),
    /// The ECB's XML at a URL (`ECB_RATES_URL`, or the ECB's own).
    Url(Url),
    /// The shipped set, for simulated data.
    Shipped,
}

/// Why rates could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// No answer, or none that can be used.
    #[error("{url}: {reason}")]
    Http {
        /// Without user, password and query.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The document is not what it should be.
    #[error("{place}: {source}")]
    Document {
        /// The file or URL.
        place: String,
        /// What is wrong with it.
        #[source]
        source: RatesError,
    },
}

impl RatesSource {
    /// The source to use: the configured one, else the shipped set with simulated data and the ECB with real data.
    /// `None` while that is not known.
    #[must_use]
    pub(crate) fn choose(configured: Option<&RatesSource>, simulated: Option<bool>) -> Option<RatesSource> {
        configured.cloned().or_else(|| {
            simulated.map(|simulated| {
                if simulated {
                    RatesSource::Shipped
                } else {
                    RatesSource::Url(Url::parse(ECB_URL).expect("a URL"))
                }
            })
        })
    }

    /// What its rates are marked with.
    #[must_use]
    pub(crate) fn origin(&self) -> RatesOrigin {
        match self {
            RatesSource::File(_) | RatesSource::Url(_) => RatesOrigin::Ecb,
            RatesSource::Shipped => RatesOrigin::Shipped,
        }
    }

    /// Whether asking costs nobody anything.
    #[must_use]
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, RatesSource::File(_) | RatesSource::Shipped)
    }

    /// The rates as the source has them now.
    ///
    /// # Errors
    /// See [`SourceError`]; rates are had whole or not at all.
    pub(crate) async fn fetch(&self, client: &reqwest::Client, now: UnixMillis) -> Result<ExchangeRates, SourceError> {
        let (place, xml) = match self {
            RatesSource::Shipped => return Ok(rates::shipped()),
            RatesSource::File(path) => {
                let read = tokio::fs::read(path).await;
                (
                    path.display().to_string(),
                    read.map_err(|source| SourceError::File { path: path.clone(), source })?,
                )
            }
            RatesSource::Url(url) => (shown(url), download(client, url).await?),
        };
        rates::parse(&xml, self.origin(), now).map_err(|source| SourceError::Document { place, source })
    }
}

/// The client for [`RatesSource::fetch`], with time-outs.
///
/// # Errors
/// If the TLS library cannot be set up.
pub(crate) fn http_client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN)
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .build()
}

async fn download(client: &reqwest::Client, url: &Url) -> Result<Vec<u8>, SourceError> {
    let failed = |reason: String| SourceError::Http { url: shown(url), reason };
    let broken = |error: reqwest::Error| failed(causes(&error.without_url()));
    let mut response = client.get(url.clone()).send().await.map_err(broken)?;
    if !response.status().is_success() {
        return Err(failed(format!("it answers {}", response.status())));
    }
    let mut xml = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if xml.len() + chunk.len() > MAX_BYTES {
            return Err(failed(format!("it answers with more than {MAX_BYTES} bytes")));
        }
        xml.extend_from_slice(&chunk);
    }
    Ok(xml)
}

/// An error with what lies beneath it: reqwest's own words stop at "error sending request".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A URL without what may be secret in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_source_comes_first_then_the_kind_of_data_decides() {
        let file = RatesSource::File("rates.xml".into());
        for simulated in [None, Some(true), Some(false)] {
            assert_eq!(RatesSource::choose(Some(&file), simulated), Some(file.clone()));
        }
        assert_eq!(RatesSource::choose(None, None), None);
        assert_eq!(RatesSource::choose(None, Some(true)), Some(RatesSource::Shipped));
        assert_eq!(RatesSource::choose(None, Some(false)).map(|source| source.origin()), Some(RatesOrigin::Ecb));
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let url = Url::parse("https://user:secret@example.org/rates.xml?token=secret#secret").unwrap();
        assert_eq!(shown(&url), "https://example.org/rates.xml");
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_or_holds_something_else_is_named() {
        let client = http_client().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates.xml");
        let source = RatesSource::File(path.clone());
        let now = UnixMillis(1_783_684_800_000);
        let error = source.fetch(&client, now).await.unwrap_err().to_string();
        assert!(error.contains("rates.xml cannot be read"), "{error}");
        std::fs::write(&path, "<html></html>").unwrap();
        let error = source.fetch(&client, now).await.unwrap_err().to_string();
        assert!(error.contains("rates.xml: it has no <Cube>"), "{error}");
        std::fs::write(&path, "<Cube time='2026-07-09'><Cube currency='GBP' rate='0.8612'/></Cube>").unwrap();
        assert_eq!(source.fetch(&client, now).await.unwrap().date.to_string(), "2026-07-09");
    }
}
