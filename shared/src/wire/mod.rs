//! Serde twins of what leaves a process. What is serialized is a promise: fields are added, never changed.

pub mod alert;
pub mod event;
pub mod job;
mod json;
pub mod opportunity;
pub mod product;
pub mod raw_update;
pub mod state;

pub use event::OpportunityEvent;
pub use job::{JobKind, JobRequest};
pub use opportunity::OpportunityDocument;
pub use product::ProductDocument;
pub use raw_update::RawUpdate;
