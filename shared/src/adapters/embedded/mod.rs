//! What runs inside the process when nothing is installed.

#[cfg(feature = "embedded")]
pub mod broker;
#[cfg(feature = "embedded")]
pub mod catalog;
