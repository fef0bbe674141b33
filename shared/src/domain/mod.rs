//! Values and rules, pure: no I/O, no async, no clock, no environment.
//!
//! Amounts are whole minor units or decimals; floating point has no place here.

#![deny(clippy::float_arithmetic, clippy::cast_precision_loss, clippy::cast_possible_truncation)]

pub mod alert;
pub mod asin;
pub mod assessment;
pub mod history;
pub mod keepa_time;
pub mod listing;
pub mod margin;
pub mod marketplace;
pub mod money;
pub mod opportunity;
pub mod price;
pub mod product;
pub mod profit;
pub mod rates;
pub mod source;

pub use asin::Asin;
pub use assessment::{Assessment, Trap, TrapReason};
pub use keepa_time::{KeepaMinutes, UnixMillis};
pub use listing::{Listing, StoredProduct};
pub use margin::Percentage;
pub use marketplace::Marketplace;
pub use money::{Currency, ExchangeRate, Money};
pub use opportunity::{ListedOpportunity, Opportunity, OpportunityId};
pub use product::{Effect, MarketState, ObservedAt, Product, Register, ShownPrice, Staleness};
pub use rates::ExchangeRates;
pub use source::{BySource, Source};
