//! What is left of a price gap after VAT, fees, freight and currency: the profit engine. Pure.
//!
//! ```text
//!  seller profile --+
//!  dated tables   --+--> Costs --+
//!  Keepa's facts  --+            +--> ledger() --> Ledger: lines, profit, ROI, break-even, buffer
//!  two prices ------> Route -----+
//! ```
//!
//! Amounts are integers in minor units, shares decimals; every line is rounded half up before the next is computed from it.
//! A gap of 44.49 % between two gross prices can be a net margin of 15.46 %, or a loss: each country's VAT is in its
//! prices, and the seller's regime decides what becomes of it. This is arithmetic, not tax advice.

mod costs;
mod decimal;
mod figures;
mod ledger;
mod net;
mod profile;
mod referral;
mod regime;
mod resolve;
mod share;
pub mod tables;
#[cfg(test)]
mod tests;

pub use costs::{Costs, Exchange, LedgerError, Origin, Route, Sourced};
pub use ledger::{Effect, Ledger, Line, ledger};
pub use net::{Net, Unread};
pub use profile::{Cost, Fulfilment, ProfileError, RouteProfile, Seller, SellerProfile, UnitCosts};
pub use referral::{Band, NotARule, ReferralRule, RuleKind, Step};
pub use regime::{Regime, UnknownRegime};
pub use resolve::{ArticleFacts, Given, GivenReferral, SaleTerms, Sources, Terms, Unresolved, reconsider, resolve};
pub use share::{NotAShare, Share};
