//! Which compression an answer is sent with (RFC 9110, 12.5.3).

use bytes::Bytes;
use poem::IntoResponse as _;
use poem::http::header::ACCEPT_ENCODING;
use poem::http::{HeaderMap, HeaderValue};
use poem::web::{Compress, CompressionAlgo, CompressionLevel};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

/// Below this, headers weigh more than what is saved, bytes.
const WORTH_COMPRESSING: usize = 1_024;

/// Quick levels: answers change all the time, and the link is rarely the bottleneck.
const QUICK: CompressionLevel = CompressionLevel::Precise(4);

/// The best of brotli and gzip that the client takes; none unless it says so.
pub(crate) fn choose(request: &HeaderMap) -> Option<CompressionAlgo> {
    let values = request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let offers = values.flat_map(|value| value.split(',')).filter_map(parse_offer);
    offers
        .filter(|(_, weight)| *weight > 0)
        .max_by_key(|(algorithm, weight)| (*weight, preference(*algorithm)))
        .map(|(algorithm, _)| algorithm)
}

fn preference(algorithm: CompressionAlgo) -> u8 {
    u8::from(algorithm == CompressionAlgo::BR)
}

/// `gzip;q=0.5`, the weight in thousandths.
fn parse_offer(offer: &str) -> Option<(CompressionAlgo, u32)> {
    let mut parts = offer.split(';').map(str::trim);
    let algorithm = match parts.next()? {
        name if name.eq_ignore_ascii_case("br") => CompressionAlgo::BR,
        name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => CompressionAlgo::GZIP,
        _ => return None,
    };
    let weight = match parts.next().and_then(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="))) {
        None => 1_000,
        Some(text) => thousandths(text)?,
    };
    Some((algorithm, weight))
}

fn thousandths(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_valid = matches!(whole, "0" | "1") && fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_valid.then(|| format!("{whole}{fraction:0<3}").parse().ok()).flatten()
}

/// What a body is when compressed: each form is made once, when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Forms {
    brotli: OnceCell<Option<Bytes>>,
    gzip: OnceCell<Option<Bytes>>,
}

impl Forms {
    /// This form of the body; none where it is not worth it.
    pub(crate) async fn get(&self, body: &Bytes, algorithm: CompressionAlgo) -> Option<Bytes> {
        if body.len() < WORTH_COMPRESSING {
            return None;
        }
        let form = self.form(algorithm)?;
        form.get_or_init(|| compressed(body.clone(), algorithm)).await.clone()
    }

    /// Makes those that were made of an earlier body; `is_same` if that was this one.
    pub(crate) async fn follow(&self, body: &Bytes, earlier: &Forms, is_same: bool) {
        for algorithm in [CompressionAlgo::BR, CompressionAlgo::GZIP] {
            let made = earlier.form(algorithm).and_then(OnceCell::get);
            match (self.form(algorithm), made) {
                (Some(form), Some(made)) if is_same => {
                    // If it was made meanwhile, it is the same.
                    let _ = form.set(made.clone());
                }
                (Some(_), Some(_)) => {
                    self.get(body, algorithm).await;
                }
                _ => {}
            }
        }
    }

    fn form(&self, algorithm: CompressionAlgo) -> Option<&OnceCell<Option<Bytes>>> {
        match algorithm {
            CompressionAlgo::BR => Some(&self.brotli),
            CompressionAlgo::GZIP => Some(&self.gzip),
            CompressionAlgo::DEFLATE | CompressionAlgo::ZSTD => None,
        }
    }
}

/// A body in another form; none if that fails.
///
/// On a thread of its own, since requests wait for those that answer them.
async fn compressed(body: Bytes, algorithm: CompressionAlgo) -> Option<Bytes> {
    let compress = move || {
        let response = Compress::new(body, algorithm).with_quality(QUICK).into_response();
        // It is in memory, so this waits for nothing.
        Handle::current().block_on(response.into_body().into_bytes()).map_err(|error| error.to_string())
    };
    let compressed = tokio::task::spawn_blocking(compress).await.map_err(|error| error.to_string()).flatten();
    compressed.inspect_err(|error| tracing::error!(error, "a body could not be compressed")).ok()
}

/// The value of `Content-Encoding`.
pub(crate) fn name(algorithm: CompressionAlgo) -> HeaderValue {
    HeaderValue::from_static(match algorithm {
        CompressionAlgo::BR => "br",
        CompressionAlgo::GZIP => "gzip",
        CompressionAlgo::DEFLATE => "deflate",
        CompressionAlgo::ZSTD => "zstd",
    })
}

/// Whether a body of this type gets smaller.
pub(crate) fn is_compressible(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.starts_with("text/") || kind.ends_with("json") || kind.ends_with("javascript") || kind.ends_with("+xml")
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[test]
    fn the_clients_weights_count_and_zero_means_no() {
        use CompressionAlgo::{BR, GZIP};
        for (sent, expected) in [
            ("gzip, deflate, br", Some(BR)),
            ("gzip", Some(GZIP)),
            ("br;q=0.5, gzip;q=0.8", Some(GZIP)),
            ("br; q=0.801, gzip;q=0.8", Some(BR)),
            ("gzip;q=0", None),
            ("br;q=0, gzip", Some(GZIP)),
            ("identity", None),
            ("*", None),
            ("gzip;q=nonsense", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(sent));
            assert_eq!(choose(&headers), expected, "{sent:?}");
        }
        assert_eq!(choose(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn a_form_is_made_once_and_of_the_next_body_before_it_is_asked_for() {
        let (body, other) = (Bytes::from("gap ".repeat(1_000)), Bytes::from("gone ".repeat(1_000)));
        let forms = Forms::default();
        let gzip = forms.get(&body, CompressionAlgo::GZIP).await.expect("a long body");
        assert!(gzip.len() < body.len() / 10);
        assert_eq!(forms.get(&body, CompressionAlgo::GZIP).await.unwrap().as_ptr(), gzip.as_ptr());

        let changed = Forms::default();
        changed.follow(&other, &forms, false).await;
        assert!(changed.gzip.initialized() && !changed.brotli.initialized());
        assert_ne!(changed.gzip.get(), forms.gzip.get());

        let unchanged = Forms::default();
        unchanged.follow(&body, &forms, true).await;
        assert_eq!(unchanged.get(&body, CompressionAlgo::GZIP).await.unwrap().as_ptr(), gzip.as_ptr());
    }

    #[tokio::test]
    async fn what_is_short_is_not_compressed() {
        assert_eq!(Forms::default().get(&Bytes::from("short"), CompressionAlgo::BR).await, None);
    }
}
