//! Keepa's API as the product uses it: what is asked ([`request`]), how ([`client`]), what comes back ([`response`]),
//! what it costs ([`tokens`]), and what Keepa sends by itself ([`notification`]).

pub mod client;
pub mod notification;
pub mod request;
pub mod response;
pub mod tokens;

pub use client::{Answer, AskError, Client, ClientError, Timeouts};
pub use request::Request;
pub use tokens::{Admit, Meter, TokenBucket};
