//! [`Catalog`]: products, opportunities and state, written conditionally and searched.
//!
//! Guarantees of every adapter (one contract suite proves them for all):
//! - A read by id sees every write that was confirmed before it (real time). A search may lag by the refresh interval
//!   (Elasticsearch) or not at all (embedded).
//! - A write carries a [`Condition`]. Of two writers with the same condition exactly one gets [`WriteOutcome::Written`],
//!   the other [`WriteOutcome::Conflict`]: nothing is ever overwritten unseen. Outcomes stand in the order of the writes;
//!   one bad item never fails the others.
//! - `Written` means durable: it survives kill -9 of this process.
//! - An `Err` of a write means *unknown outcome*: any part may have been written. Sending the same again is safe, since
//!   what had arrived answers `Conflict`.
//! - Nothing is retried inside except within the request's own time limit; the caller owns retries.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::domain::{Asin, ExchangeRates, ListedOpportunity, Marketplace, Opportunity, OpportunityId, Percentage, StoredProduct, TrapReason, UnixMillis};

/// Identifies the state of a document that was read; a write conditional on it fails if somebody wrote since.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    /// The concrete index: sequence numbers belong to it.
    pub index: Arc<str>,
    /// Elasticsearch's `_seq_no`, or the embedded catalog's counter.
    pub seq_no: u64,
    /// Elasticsearch's `_primary_term`; 1 where there is none.
    pub primary_term: u64,
}

/// A document as read, with what a conditional write needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned<T> {
    /// The document.
    pub value: T,
    /// Its version.
    pub version: Version,
}

impl<T> Versioned<T> {
    /// The same document, to be held by several.
    #[must_use]
    pub fn shared(self) -> Versioned<Arc<T>> {
        Versioned {
            value: Arc::new(self.value),
            version: self.version,
        }
    }
}

/// When a write applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Only if the id does not exist.
    Absent,
    /// Only if nothing was written since this version was read.
    Unchanged(Version),
}

/// A conditional write.
#[derive(Debug, Clone, PartialEq)]
pub struct Write<T> {
    /// The whole new document.
    pub value: T,
    /// When it applies.
    pub condition: Condition,
}

/// What became of one write.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteOutcome {
    /// Durable; the version for the next write.
    Written(Version),
    /// Somebody else wrote: read again, merge or decide again.
    Conflict,
    /// Not now (429, 503 of this item): send this item again.
    Retry {
        /// What the catalog said.
        reason: String,
    },
    /// Never: the document itself is refused.
    Refused {
        /// What the catalog said.
        reason: String,
    },
}

/// Why a call failed, by what the caller does next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// Not reachable, overloaded or answered nonsense: try again with back-off. A write's outcome is unknown.
    #[error("catalog is unavailable: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// Access denied, index missing, disk full, file locked: stop, keep the offset, not ready; try again until cured.
    #[error("catalog is misconfigured: {reason}")]
    Misconfigured {
        /// What is wrong.
        reason: String,
    },
    /// The cursor is not one of this query's.
    #[error("cursor is invalid: {reason}")]
    InvalidCursor {
        /// What is wrong with it.
        reason: String,
    },
}

/// A field to order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort<F> {
    /// The field; ties go by id ascending.
    pub field: F,
    /// Greatest first.
    pub descending: bool,
}

/// What `/products` can be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ProductSort {
    Asin,
    Title,
    FirstSeen,
    LastUpdated,
    Score,
}

/// What `/opportunities` can be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OpportunitySort {
    MarginPercentage,
    Margin,
    Profit,
    Roi,
    Buffer,
    Score,
    Confidence,
    SourcePriceEur,
    TargetPriceEur,
    Title,
    Asin,
    OldestLeg,
    LastSeen,
}

/// A search for products; all given conditions hold.
#[derive(Debug, Clone, PartialEq)]
pub struct ProductQuery {
    /// Words that must all occur in title, brand or category, or an ASIN.
    pub text: Option<String>,
    /// A price is known there.
    pub market: Option<Marketplace>,
    /// Compared by [`crate::domain::listing::name_key`].
    pub brand: Option<String>,
    /// Likewise.
    pub category: Option<String>,
    /// `Some((true, t))`: last priced after `t`; `Some((false, t))`: not.
    pub active: Option<(bool, UnixMillis)>,
    /// Inclusive bounds in minor units of each marketplace's currency; both hold in one and the same marketplace
    /// (and in `market`, where given). Empty = no bound; a marketplace that is left out does not match.
    pub price_bounds: BTreeMap<Marketplace, (Option<i64>, Option<i64>)>,
    /// Order.
    pub sort: Sort<ProductSort>,
    /// At most this many.
    pub limit: usize,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// A search for opportunities; all given conditions hold.
#[derive(Debug, Clone, PartialEq)]
pub struct OpportunityQuery {
    /// Words that must all occur in title, brand or category, or an ASIN; the last may be a beginning.
    pub text: Option<String>,
    /// At least this margin.
    pub min_margin: Option<Percentage>,
    /// At least this profit for the configured seller, euro cents; what has none does not match.
    pub min_profit: Option<i64>,
    /// At least this return on the capital tied up; likewise.
    pub min_roi: Option<Percentage>,
    /// The target price may fall by at least this much; likewise.
    pub min_buffer: Option<Percentage>,
    /// At least this confidence; what is not assessed does not match.
    pub min_confidence: Option<Percentage>,
    /// This reason to distrust it was found.
    pub trap: Option<TrapReason>,
    /// None of these was found.
    pub without_traps: Vec<TrapReason>,
    /// Bought there.
    pub source: Option<Marketplace>,
    /// Sold there.
    pub target: Option<Marketplace>,
    /// Of this article.
    pub asin: Option<Asin>,
    /// Compared by [`crate::domain::listing::name_key`].
    pub brand: Option<String>,
    /// Likewise.
    pub category: Option<String>,
    /// `Some((true, t))`: open and the oldest leg not before `t`; `Some((false, t))`: not so.
    pub active: Option<(bool, UnixMillis)>,
    /// Order.
    pub sort: Sort<OpportunitySort>,
    /// At most this many.
    pub limit: usize,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// One page of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// In order.
    pub items: Vec<T>,
    /// How many match over all pages.
    pub total: Total,
    /// For the next page; none on the last.
    pub next_cursor: Option<String>,
}

/// How many match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// The number counted.
    pub value: u64,
    /// Whether that is all, or only the bound of counting.
    pub exact: bool,
}

/// Counts for `/stats`.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Statistics {
    pub products_total: u64,
    pub products_active: u64,
    /// Per marketplace: products with a price, and the newest `last_updated` among them.
    pub markets: BTreeMap<Marketplace, MarketStatistics>,
    pub last_updated: Option<UnixMillis>,
    /// Over active opportunities.
    pub opportunities_active: u64,
    pub best_margin: Option<Percentage>,
    /// Sum of the margin percentages in hundredths; with the count, the mean.
    pub margin_percentage_sum: i64,
    /// Sum of the margins, euro cents.
    pub margin_sum: i64,
    pub oldest_leg: Option<UnixMillis>,
    pub routes: Vec<RouteStatistics>,
}

impl Statistics {
    /// Adds the active opportunities of a route to the sums; for adapters.
    pub fn add_route(&mut self, route: RouteStatistics, margin_sum: i64, oldest_leg: UnixMillis) {
        self.opportunities_active = self.opportunities_active.saturating_add(route.opportunities);
        self.best_margin = self.best_margin.max(Some(route.best_margin));
        self.margin_percentage_sum = self.margin_percentage_sum.saturating_add(route.margin_percentage_sum);
        self.margin_sum = self.margin_sum.saturating_add(margin_sum);
        self.oldest_leg = Some(self.oldest_leg.map_or(oldest_leg, |oldest| oldest.min(oldest_leg)));
        self.routes.push(route);
    }
}

/// One marketplace in [`Statistics`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct MarketStatistics {
    pub products: u64,
    pub last_updated: Option<UnixMillis>,
}

/// One route in [`Statistics`], over active opportunities.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RouteStatistics {
    pub source: Marketplace,
    pub target: Marketplace,
    pub opportunities: u64,
    pub best_margin: Percentage,
    pub margin_percentage_sum: i64,
}

/// A name and how many have it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct NameCount {
    pub name: String,
    pub count: u64,
}

/// The names that active opportunities have, most frequent first, at most [`Facets::MOST`] of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Facets {
    pub brands: Vec<NameCount>,
    pub categories: Vec<NameCount>,
}

impl Facets {
    /// More names than anybody looks through.
    pub const MOST: usize = 200;
}

/// A collection of state records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum StateKind {
    Runs,
    Watchlist,
    Rates,
    Settings,
    Status,
    /// What people want to be told of.
    AlertRules,
    /// What each rule last told of each opportunity, and how much today.
    Alerts,
    /// What was sent, is to be sent, or waits for a digest.
    Deliveries,
    /// What an article's price in one marketplace was over time.
    Histories,
}

impl StateKind {
    /// All of them.
    pub const ALL: [StateKind; 9] = [
        StateKind::Runs,
        StateKind::Watchlist,
        StateKind::Rates,
        StateKind::Settings,
        StateKind::Status,
        StateKind::AlertRules,
        StateKind::Alerts,
        StateKind::Deliveries,
        StateKind::Histories,
    ];

    /// `state-runs`, `state-watchlist`, …
    #[must_use]
    pub fn collection(self) -> &'static str {
        match self {
            StateKind::Runs => "state-runs",
            StateKind::Watchlist => "state-watchlist",
            StateKind::Rates => "state-rates",
            StateKind::Settings => "state-settings",
            StateKind::Status => "state-status",
            StateKind::AlertRules => "state-alert-rules",
            StateKind::Alerts => "state-alerts",
            StateKind::Deliveries => "state-deliveries",
            StateKind::Histories => "state-histories",
        }
    }
}

/// A state record: a JSON body (see [`crate::wire::state`]) and what lists filter and order by.
#[derive(Debug, Clone, PartialEq)]
pub struct StateRecord {
    /// Unique in its collection; at most 512 bytes.
    pub id: String,
    /// What it belongs to: a run's job, a delivery's rule.
    pub group: Option<String>,
    /// A run's status, or a delivery's.
    pub status: Option<String>,
    /// What lists order by: a run's start.
    pub at: UnixMillis,
    /// The record itself.
    pub body: Value,
}

/// A list of state records by `at` and id, newest first unless `ascending`.
#[derive(Debug, Clone, PartialEq)]
pub struct StateQuery {
    /// Only this group.
    pub group: Option<String>,
    /// Only this status.
    pub status: Option<String>,
    /// Oldest first.
    pub ascending: bool,
    /// At most this many.
    pub limit: usize,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// The catalog. See the module for its guarantees.
#[async_trait]
pub trait Catalog: Send + Sync + 'static {
    /// Makes indices, templates, aliases or tables where they are missing, and migrates older ones. Idempotent.
    async fn prepare(&self) -> Result<(), CatalogError>;

    /// Whether it answers and would take a write.
    async fn check(&self) -> Result<(), CatalogError>;

    /// Products by id, in real time, in the order asked for.
    async fn read_products(&self, asins: &[Asin]) -> Result<Vec<Option<Versioned<StoredProduct>>>, CatalogError>;

    /// Writes products conditionally; no ASIN occurs twice.
    async fn write_products(&self, writes: &[Write<StoredProduct>]) -> Result<Vec<WriteOutcome>, CatalogError>;

    /// Searches products.
    async fn search_products(&self, query: &ProductQuery) -> Result<Page<StoredProduct>, CatalogError>;

    /// Opportunities by id, in real time, in the order asked for.
    async fn read_opportunities(&self, ids: &[OpportunityId]) -> Result<Vec<Option<Versioned<Opportunity>>>, CatalogError>;

    /// Writes opportunities conditionally; no id occurs twice.
    async fn write_opportunities(&self, writes: &[Write<Opportunity>]) -> Result<Vec<WriteOutcome>, CatalogError>;

    /// Searches opportunities, with what their ledgers are computed from.
    async fn search_opportunities(&self, query: &OpportunityQuery) -> Result<Page<Opportunity>, CatalogError>;

    /// Finds the same page as [`Catalog::search_opportunities`], for a list: less is read.
    async fn list_opportunities(&self, query: &OpportunityQuery) -> Result<Page<ListedOpportunity>, CatalogError>;

    /// Counts; a product is active if priced after `priced_after`, an opportunity if open and its oldest leg is not before `legs_since`.
    async fn statistics(&self, priced_after: UnixMillis, legs_since: UnixMillis) -> Result<Statistics, CatalogError>;

    /// Brands and categories of active opportunities; active as for [`Catalog::statistics`].
    async fn facets(&self, legs_since: UnixMillis) -> Result<Facets, CatalogError>;

    /// State records by id, in real time, in the order asked for.
    async fn read_states(&self, kind: StateKind, ids: &[String]) -> Result<Vec<Option<Versioned<StateRecord>>>, CatalogError>;

    /// Writes state records conditionally; no id occurs twice.
    async fn write_states(&self, kind: StateKind, writes: &[Write<StateRecord>]) -> Result<Vec<WriteOutcome>, CatalogError>;

    /// Lists state records.
    async fn list_states(&self, kind: StateKind, query: &StateQuery) -> Result<Page<Versioned<StateRecord>>, CatalogError>;
}

/// Reads the exchange rates that all replicas use.
///
/// # Errors
/// As the catalog's reads; a record that cannot be decoded counts as none.
pub async fn read_rates(catalog: &dyn Catalog) -> Result<Option<ExchangeRates>, CatalogError> {
    let records = catalog.read_states(StateKind::Rates, &["current".to_owned()]).await?;
    let record = records.into_iter().flatten().next();
    Ok(record
        .and_then(|record| serde_json::from_value::<crate::wire::state::RatesRecord>(record.value.body).ok())
        .map(|record| record.to_rates()))
}
