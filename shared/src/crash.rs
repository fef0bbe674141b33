//! Where a test can make this process die, as by kill -9: after each step of a record's way into the catalog.
//!
//! Without the feature `crash-points`, which only tests switch on, a point is nothing at all. With it, a point dies where the
//! variable `FAILPOINTS` says so, in the `fail` crate's language: `catalog-written=2*off->return` dies at the third time.

/// A step after which a process may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// Products were read.
    CatalogRead,
    /// Products, and the histories that came with them, are about to be written.
    CatalogWriting,
    /// The catalog has the histories.
    HistoriesWritten,
    /// The catalog answered a write.
    CatalogWritten,
    /// The broker confirmed products.
    ProductsPublished,
    /// The broker confirmed dead letters.
    DeadLettersPublished,
    /// An offset may go.
    OffsetSettled,
    /// An offset was handed to the client library.
    OffsetStored,
    /// An offset was committed.
    OffsetCommitted,
}

impl CrashPoint {
    /// All of them, in the order of a record's way.
    pub const ALL: [CrashPoint; 9] = [
        CrashPoint::CatalogRead,
        CrashPoint::CatalogWriting,
        CrashPoint::HistoriesWritten,
        CrashPoint::CatalogWritten,
        CrashPoint::ProductsPublished,
        CrashPoint::DeadLettersPublished,
        CrashPoint::OffsetSettled,
        CrashPoint::OffsetStored,
        CrashPoint::OffsetCommitted,
    ];

    /// The name in `FAILPOINTS`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CrashPoint::CatalogRead => "catalog-read",
            CrashPoint::CatalogWriting => "catalog-writing",
            CrashPoint::HistoriesWritten => "histories-written",
            CrashPoint::CatalogWritten => "catalog-written",
            CrashPoint::ProductsPublished => "products-published",
            CrashPoint::DeadLettersPublished => "dead-letters-published",
            CrashPoint::OffsetSettled => "offset-settled",
            CrashPoint::OffsetStored => "offset-stored",
            CrashPoint::OffsetCommitted => "offset-committed",
        }
    }

    /// Dies here, if that is what a test wants.
    pub fn pass(self) {
        fail::fail_point!(self.name(), |_| std::process::abort());
    }
}
