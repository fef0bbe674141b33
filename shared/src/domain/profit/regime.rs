//! [`Regime`]: how value added tax falls on a purchase in one country and a sale in another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The seller's position towards value added tax on one route. Each is a cost function of its own; which applies is the
/// seller's to say, and this is arithmetic, not advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Regime {
    /// Registered, buys from a business in another member state with a valid VAT number: invoiced without VAT, reverse charge.
    Rc,
    /// Registered where it is bought: domestic invoice, the input VAT is deducted.
    Dom,
    /// Registered, but without an invoice that shows VAT, or a refund that is not pursued: the VAT paid is a cost.
    Lost,
    /// Not registered, or under a small-business scheme: no VAT on the sale, none deducted, none recovered on fees.
    Small,
    /// Margin scheme for second-hand goods: VAT on the difference of the two prices.
    Margin,
    /// Over a customs border: import VAT is recovered, duty and broker are costs.
    Import,
}

/// The text is no regime.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a VAT regime: one of RC, DOM, LOST, SMALL, MARGIN, IMPORT is expected")]
pub struct UnknownRegime {
    /// What was given, cut to 20 characters.
    pub text: String,
}

impl Regime {
    /// All of them.
    pub const ALL: [Regime; 6] = [Regime::Rc, Regime::Dom, Regime::Lost, Regime::Small, Regime::Margin, Regime::Import];

    /// The code users see.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Regime::Rc => "RC",
            Regime::Dom => "DOM",
            Regime::Lost => "LOST",
            Regime::Small => "SMALL",
            Regime::Margin => "MARGIN",
            Regime::Import => "IMPORT",
        }
    }
}

impl fmt::Display for Regime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.code())
    }
}

impl FromStr for Regime {
    type Err = UnknownRegime;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Regime::ALL.into_iter().find(|regime| regime.code() == text).ok_or_else(|| UnknownRegime {
            text: text.chars().take(20).collect(),
        })
    }
}
