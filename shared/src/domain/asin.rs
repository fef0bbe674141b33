//! [`Asin`]: Amazon's ten-character article number, parsed once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An Amazon Standard Identification Number: ten characters `A-Z0-9`, upper case.
///
/// Books carry their ISBN-10 as ASIN, so it may look like a number and start with zeros
/// (`055299068X`): it is never one.
///
/// ```
/// # use shared::domain::Asin;
/// let asin: Asin = "b0d1xd1zv3".parse().unwrap();
/// assert_eq!(asin.as_str(), "B0D1XD1ZV3");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Asin([u8; Asin::LENGTH]);

/// The text is not an ASIN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an ASIN: ten letters or digits are expected")]
pub struct InvalidAsin {
    /// What was given, cut to 40 characters.
    pub text: String,
}

impl Asin {
    /// How many characters an ASIN has.
    pub const LENGTH: usize = 10;

    /// The ten characters, upper case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an ASIN is ASCII, checked when parsed")
    }
}

impl FromStr for Asin {
    type Err = InvalidAsin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidAsin {
            text: text.chars().take(40).collect(),
        };
        let mut bytes: [u8; Asin::LENGTH] = text.as_bytes().try_into().map_err(|_| invalid())?;
        if !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return Err(invalid());
        }
        bytes.make_ascii_uppercase();
        Ok(Asin(bytes))
    }
}

impl TryFrom<String> for Asin {
    type Error = InvalidAsin;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Asin> for String {
    fn from(asin: Asin) -> Self {
        asin.as_str().to_owned()
    }
}

impl fmt::Display for Asin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Debug for Asin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asin_has_ten_letters_or_digits_and_is_upper_case() {
        for (text, expected) in [
            ("B0D1XD1ZV3", Some("B0D1XD1ZV3")),
            ("b0d1xd1zv3", Some("B0D1XD1ZV3")),
            ("0441013597", Some("0441013597")),
            ("055299068X", Some("055299068X")),
            ("B0D1XD1ZV", None),
            ("B0D1XD1ZV33", None),
            ("B0D1XD1Z 3", None),
            ("B0D1XD1ZÄ", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Asin>().ok().as_ref().map(Asin::as_str), expected, "{text:?}");
        }
    }

    #[test]
    fn json_goes_through_the_same_check() {
        assert!(serde_json::from_str::<Asin>("\"B0D1XD1ZV3\"").is_ok());
        let error = serde_json::from_str::<Asin>("\"nope\"").unwrap_err().to_string();
        assert!(error.contains("nope"), "{error}");
    }
}
