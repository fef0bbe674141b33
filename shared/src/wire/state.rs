//! Records of the catalog's `state-*` collections: everything that is neither a product nor an opportunity.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::job::JobRequest;
use crate::domain::price::PriceKind;
use crate::domain::profit::tables::{FeeTable, Tables, VatTable};
use crate::domain::profit::{Seller, SellerProfile};
use crate::domain::rates::{ExchangeRates, RatesOrigin};
use crate::domain::{Asin, Currency, KeepaMinutes, Marketplace, ObservedAt, UnixMillis};

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Accepted, not begun.
    Queued,
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// Given up, with its error.
    Failed,
}

impl RunStatus {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RunStatus::Queued => "queued",
            RunStatus::Running => "running",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
        }
    }
}

/// `state-runs`, id = run id (`job@tick`): one execution of a job. Creating it owns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Run {
    pub id: String,
    pub request: JobRequest,
    pub status: RunStatus,
    pub started_at: UnixMillis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<UnixMillis>,
    pub attempts: u32,
    /// Product records published.
    pub products: u64,
    /// Keepa tokens spent.
    pub tokens: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Progress, stored per step, so that a restart goes on where it was and pays for nothing twice.
    #[serde(default)]
    pub progress: RunProgress,
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunProgress {
    /// Categories or pages whose ASINs are known already.
    pub listed: Vec<String>,
    /// ASINs whose details are still to be asked, by marketplace.
    pub pending: BTreeMap<Marketplace, Vec<Asin>>,
    /// Where a sweep goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `state-watchlist`, id = ASIN: a watched article.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct WatchedAsin {
    /// Who put it there: `watchlist`, `demo`, or a job's name.
    pub added_by: String,
    /// When all its marketplaces were last asked; none = never.
    pub last_asked_at: Option<UnixMillis>,
    /// When each marketplace was last asked: how far an interrupted round got, and what `misses` count from.
    pub asked_at: BTreeMap<Marketplace, UnixMillis>,
    /// When history was last asked, by marketplace.
    pub history_asked_at: BTreeMap<Marketplace, UnixMillis>,
    /// Consecutive 200 answers that left the ASIN out, by marketplace: it backs off.
    pub misses: BTreeMap<Marketplace, u32>,
}

impl Default for WatchedAsin {
    fn default() -> Self {
        WatchedAsin {
            added_by: "watchlist".into(),
            last_asked_at: None,
            asked_at: BTreeMap::new(),
            history_asked_at: BTreeMap::new(),
            misses: BTreeMap::new(),
        }
    }
}

/// `state-rates`, id `current`: the exchange rates all replicas use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RatesRecord {
    pub date: NaiveDate,
    /// `ecb` or `shipped`.
    pub origin: String,
    /// Units per 1 EUR, decimal strings.
    pub rates: BTreeMap<Currency, String>,
    pub fetched_at: UnixMillis,
}

impl RatesRecord {
    /// The record of some rates.
    #[must_use]
    pub fn new(rates: &ExchangeRates, fetched_at: UnixMillis) -> Self {
        let origin = match rates.origin {
            RatesOrigin::Ecb => "ecb",
            RatesOrigin::Shipped => "shipped",
        };
        let units = rates.units_per_eur.iter().map(|(&currency, rate)| (currency, rate.to_string())).collect();
        RatesRecord {
            date: rates.date,
            origin: origin.into(),
            rates: units,
            fetched_at,
        }
    }

    /// The rates; what is not a decimal is left out and so counts as missing.
    #[must_use]
    pub fn to_rates(&self) -> ExchangeRates {
        let origin = if self.origin == "shipped" { RatesOrigin::Shipped } else { RatesOrigin::Ecb };
        let units_per_eur = self.rates.iter().filter_map(|(&currency, rate)| Some((currency, rate.parse().ok()?))).collect();
        ExchangeRates {
            date: self.date,
            origin,
            units_per_eur,
        }
    }
}

/// `state-settings`, id `detector`: what the detector evaluates by; its version orders evaluations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct DetectorSettings {
    pub version: i64,
    /// Decimal string, percent.
    pub min_margin_percent: String,
    pub leg_stale_after_ms: i64,
    pub markets: Vec<Marketplace>,
    /// For whom profits are computed; none in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<SellerDocument>,
}

/// A seller and the tables that fill what the profile leaves open, as texts of the shape of the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SellerDocument {
    pub profile: SellerProfile,
    pub vat_table: String,
    pub fee_table: String,
}

impl From<&Seller> for SellerDocument {
    fn from(seller: &Seller) -> Self {
        SellerDocument {
            profile: seller.profile.clone(),
            vat_table: seller.tables.vat.text().to_owned(),
            fee_table: seller.tables.fees.text().to_owned(),
        }
    }
}

impl SellerDocument {
    /// The seller; none where the tables cannot be read, which a newer version may have written.
    #[must_use]
    pub fn to_seller(&self) -> Option<Seller> {
        Some(Seller {
            profile: self.profile.clone(),
            tables: Tables {
                vat: VatTable::parse(&self.vat_table).ok()?,
                fees: FeeTable::parse(&self.fee_table).ok()?,
            },
        })
    }
}

/// `state-histories`, id `ASIN:MARKET`: what the article's landed price was over time, as the newest record that brought its
/// history tells it. For people to look at: nothing is computed from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct HistoryRecord {
    /// When the record was true; an older one never takes its place.
    pub observed_at: ObservedAt,
    /// Which price it is.
    pub kind: PriceKind,
    /// Where it ends: after that the price is not known from here.
    pub to: KeepaMinutes,
    /// In ascending order, each with the price from then on in minor units, none = no offer. At most [`HistoryRecord::MOST`].
    pub points: Vec<(KeepaMinutes, Option<i64>)>,
}

impl HistoryRecord {
    /// More changes than a chart can show.
    pub const MOST: usize = 400;

    /// Its id.
    #[must_use]
    pub fn id(asin: Asin, marketplace: Marketplace) -> String {
        format!("{asin}:{marketplace}")
    }
}

/// `state-status`, id `producer`: what others need to know of the feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ProducerStatus {
    /// Data comes from the simulator.
    pub simulated: bool,
    pub tokens_left: Option<i64>,
    pub refill_rate: Option<i64>,
    /// `up`, or why not.
    pub keepa: String,
    pub at: UnixMillis,
}

/// `state-status`, id `enricher-PARTITION`: what a partition's owners have settled so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnricherStatus {
    /// Records settled, repetitions included.
    pub records_total: u64,
    /// Of them, dead-lettered.
    pub dlq_total: u64,
}

/// `state-status`, id `scheduler`: what was last requested of each job. Whoever writes it has issued the tick.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulerStatus {
    /// By job name. Jobs unknown to a version of the scheduler are kept.
    pub jobs: BTreeMap<String, RequestedJob>,
}

/// The last tick of a job that was dealt with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedJob {
    /// The instant the job was due. No tick up to it is issued any more.
    pub tick: UnixMillis,
    /// Which attempt at that tick was requested last, counted from 1.
    pub attempt: u32,
    /// The run requested; none = the tick only marks where counting begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// When it was requested.
    pub requested_at: UnixMillis,
}
