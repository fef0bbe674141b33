//! [`Marketplace`]: currency, Keepa's domain id and host in one table.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::money::Currency;

/// An Amazon marketplace that Keepa follows.
///
/// Keepa's ids have a gap at 7, so an ordinal is never one; `MARKETPLACES` below is the only
/// place where they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[allow(missing_docs)]
pub enum Marketplace {
    US,
    UK,
    DE,
    FR,
    JP,
    CA,
    IT,
    ES,
    IN,
    MX,
    BR,
}

struct Row {
    marketplace: Marketplace,
    code: &'static str,
    keepa_id: i32,
    currency: Currency,
    host: &'static str,
    amazon_seller_id: Option<&'static str>,
}

const fn row(
    marketplace: Marketplace,
    code: &'static str,
    keepa_id: i32,
    currency: Currency,
    host: &'static str,
    amazon_seller_id: Option<&'static str>,
) -> Row {
    Row {
        marketplace,
        code,
        keepa_id,
        currency,
        host,
        amazon_seller_id,
    }
}

/// In the order of the enum: `Marketplace as usize` indexes it (a test checks).
const MARKETPLACES: [Row; 11] = [
    row(Marketplace::US, "US", 1, Currency::USD, "www.amazon.com", Some("ATVPDKIKX0DER")),
    row(Marketplace::UK, "UK", 2, Currency::GBP, "www.amazon.co.uk", Some("A3P5ROKL5A1OLE")),
    row(Marketplace::DE, "DE", 3, Currency::EUR, "www.amazon.de", Some("A3JWKAKR8XB7XF")),
    row(Marketplace::FR, "FR", 4, Currency::EUR, "www.amazon.fr", Some("A1X6FK5RDHNB96")),
    row(Marketplace::JP, "JP", 5, Currency::JPY, "www.amazon.co.jp", Some("AN1VRQENFRJN5")),
    row(Marketplace::CA, "CA", 6, Currency::CAD, "www.amazon.ca", Some("A3DWYIK6Y9EEQB")),
    row(Marketplace::IT, "IT", 8, Currency::EUR, "www.amazon.it", Some("A11IL2PNWYJU7H")),
    row(Marketplace::ES, "ES", 9, Currency::EUR, "www.amazon.es", Some("A1AT7YVPFBWXBL")),
    row(Marketplace::IN, "IN", 10, Currency::INR, "www.amazon.in", None),
    row(Marketplace::MX, "MX", 11, Currency::MXN, "www.amazon.com.mx", Some("AVDBXBAVVSXLQ")),
    row(Marketplace::BR, "BR", 12, Currency::BRL, "www.amazon.com.br", Some("A1ZZFT5FULY4LN")),
];

/// The text names no marketplace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a marketplace: one of DE, FR, IT, ES, UK, US, CA, JP, IN, MX, BR is expected")]
pub struct UnknownMarketplace {
    /// What was given, cut to 40 characters.
    pub text: String,
}

/// The number is no Keepa domain: 0, 7 and everything from 13 on are not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{id} is not a Keepa domain id: 1 to 6 and 8 to 12 are")]
pub struct UnknownKeepaDomain {
    /// The number given.
    pub id: i64,
}

impl Marketplace {
    /// All of them, in the order of Keepa's ids.
    pub const ALL: [Marketplace; 11] = {
        let mut all = [Marketplace::US; 11];
        let mut index = 0;
        while index < MARKETPLACES.len() {
            all[index] = MARKETPLACES[index].marketplace;
            index += 1;
        }
        all
    };

    fn row(self) -> &'static Row {
        &MARKETPLACES[self as usize]
    }

    /// The code users see: `DE`, `UK`, …
    #[must_use]
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// Keepa's domain id (1=US 2=UK 3=DE 4=FR 5=JP 6=CA 8=IT 9=ES 10=IN 11=MX 12=BR).
    #[must_use]
    pub fn keepa_id(self) -> i32 {
        self.row().keepa_id
    }

    /// The marketplace of a Keepa domain id.
    ///
    /// # Errors
    /// [`UnknownKeepaDomain`] for 0, 7 (reserved) and 13 and above.
    pub fn from_keepa_id(id: i64) -> Result<Self, UnknownKeepaDomain> {
        Self::ALL
            .into_iter()
            .find(|marketplace| i64::from(marketplace.keepa_id()) == id)
            .ok_or(UnknownKeepaDomain { id })
    }

    /// The currency prices are in.
    #[must_use]
    pub fn currency(self) -> Currency {
        self.row().currency
    }

    /// The web host, `www.amazon.de`.
    #[must_use]
    pub fn host(self) -> &'static str {
        self.row().host
    }

    /// Amazon's own id as a seller there, where it is known.
    #[must_use]
    pub fn amazon_seller_id(self) -> Option<&'static str> {
        self.row().amazon_seller_id
    }

    /// Where a person sees the article: `https://www.amazon.de/dp/B0D1XD1ZV3`.
    #[must_use]
    pub fn product_url(self, asin: super::Asin) -> String {
        format!("https://{}/dp/{asin}", self.host())
    }
}

impl FromStr for Marketplace {
    type Err = UnknownMarketplace;

    /// Case does not matter; `GB` is accepted for `UK`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let code = if text.eq_ignore_ascii_case("GB") { "UK" } else { text };
        Self::ALL
            .into_iter()
            .find(|marketplace| marketplace.code().eq_ignore_ascii_case(code))
            .ok_or_else(|| UnknownMarketplace {
                text: text.chars().take(40).collect(),
            })
    }
}

impl TryFrom<String> for Marketplace {
    type Error = UnknownMarketplace;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Marketplace> for String {
    fn from(marketplace: Marketplace) -> Self {
        marketplace.code().to_owned()
    }
}

impl fmt::Display for Marketplace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (index, row) in MARKETPLACES.iter().enumerate() {
            assert_eq!(row.marketplace as usize, index);
        }
    }

    #[test]
    fn keepa_ids_have_gaps() {
        let ids: Vec<i32> = Marketplace::ALL.iter().map(|marketplace| marketplace.keepa_id()).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12]);
        for id in [i64::MIN, -1, 0, 7, 13, 14, i64::MAX] {
            assert_eq!(Marketplace::from_keepa_id(id), Err(UnknownKeepaDomain { id }));
        }
        assert_eq!(Marketplace::from_keepa_id(8), Ok(Marketplace::IT));
    }

    #[test]
    fn codes_parse_in_any_case_and_gb_is_uk() {
        for marketplace in Marketplace::ALL {
            assert_eq!(marketplace.code().to_lowercase().parse(), Ok(marketplace));
        }
        assert_eq!("GB".parse(), Ok(Marketplace::UK));
        assert!("NL".parse::<Marketplace>().is_err());
    }
}
