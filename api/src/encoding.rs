//! Which compression an answer is sent with (RFC 9110, 12.5.3).

use poem::http::HeaderMap;
use poem::http::header::ACCEPT_ENCODING;
use poem::web::{CompressionAlgo, CompressionLevel};

/// Below this, headers weigh more than what is saved, bytes.
pub(crate) const WORTH_COMPRESSING: usize = 1_024;

/// Quick levels: answers change all the time, and the link is rarely the bottleneck.
pub(crate) const QUICK: CompressionLevel = CompressionLevel::Precise(4);

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
}
