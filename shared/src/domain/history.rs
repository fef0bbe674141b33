//! How a price was spread over time: what a record's history says beyond averages. Held apart from the statistics that come
//! with every record, because history comes rarely: what was not asked for erases nothing.
//!
//! Shares and ratios are [`Percentage`]s (hundredths of percent), amounts minor units of the marketplace's currency. The
//! definitions are those of a step function: a value holds until the next one, time without an offer weighs nothing.
//!
//! **A new field comes last in its struct, with a default, and none moves or goes**: catalogs hold facts by position.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::keepa_time::KeepaMinutes;
use super::margin::Percentage;
use super::money::divide_half_up;
use super::price::PriceKind;

/// The window that a [`SeriesHistory`] looks at, days before the record's last update.
pub const WINDOW_DAYS: i64 = 90;

/// A coefficient of variation of this much, in hundredths of percent, is no stability at all (30 %).
const UNSTABLE: i64 = 30_00;

/// One price series over [`WINDOW_DAYS`]: time-weighted, over in-stock time only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesHistory {
    /// Where the window begins: [`WINDOW_DAYS`] before its end, or where the series does.
    pub from: KeepaMinutes,
    /// Where it ends: the product's last update. After that the price is not known.
    pub to: KeepaMinutes,
    /// Time-weighted average, half up.
    pub average: i64,
    /// Standard deviation, half up.
    pub deviation: i64,
    /// Standard deviation by average (CV).
    pub variation: Percentage,
    /// Below this price, or at it, the series stood for 1 % of the time.
    pub p1: i64,
    /// 10 %.
    pub p10: i64,
    /// 25 %.
    pub p25: i64,
    /// 50 %: the median.
    pub p50: i64,
    /// 75 %.
    pub p75: i64,
    /// 90 %.
    pub p90: i64,
    /// 99 %.
    pub p99: i64,
    /// The price before the last one that differs from it, in the whole series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<i64>,
    /// Time of the window without an offer.
    pub out_of_stock: Percentage,
    /// How often the price moved, per 30 days of the window; hundredths.
    pub changes_per_month: Percentage,
    /// Least-squares slope per 30 days, of the average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trend: Option<Percentage>,
    /// How much of the variance that slope explains (R², as a percentage).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trend_fit: Option<Percentage>,
    /// Theil and Sen's slope of daily medians per 30 days, of the average: price errors do not move it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robust_trend: Option<Percentage>,
    /// The largest fall from a peak to a later trough, of the peak.
    pub drawdown: Percentage,
}

impl SeriesHistory {
    /// `100 * (1 - min(1, CV / 0.30))`: 100 % for a price that never moved. To be read with `changes_per_month`, since a price
    /// that flips hourly and one that moved once can vary alike.
    #[must_use]
    pub fn stability(&self) -> Percentage {
        let lost = i128::from(self.variation.0.clamp(0, UNSTABLE)) * 10_000;
        Percentage(10_000 - i64::try_from(divide_half_up(lost, i128::from(UNSTABLE))).unwrap_or(10_000))
    }

    /// `100 * (P75 - P25) / P50`: the spread that price errors do not move.
    #[must_use]
    pub fn robust_spread(&self) -> Option<Percentage> {
        Percentage::of(self.p75 - self.p25, self.p50)
    }

    /// `100 * (average - now) / average`: how far a price lies below the average; negative above it.
    #[must_use]
    pub fn drop(&self, now: i64) -> Option<Percentage> {
        Percentage::of(self.average.checked_sub(now)?, self.average)
    }

    /// `100 * (previous - now) / previous`: how far a price lies below the one before.
    #[must_use]
    pub fn drop_from_previous(&self, now: i64) -> Option<Percentage> {
        let previous = self.previous?;
        Percentage::of(previous.checked_sub(now)?, previous)
    }

    /// `(now - P10) / (P90 - P10)`, cut to 0..=100 %: 0 is as cheap as it gets. None where the price did not move.
    #[must_use]
    pub fn position(&self, now: i64) -> Option<Percentage> {
        let width = self.p90 - self.p10;
        (width > 0).then(|| Percentage::of(now.clamp(self.p10, self.p90) - self.p10, width)).flatten()
    }

    /// Whether a price lies outside what the series showed for all but 1 % of the time at either end.
    #[must_use]
    pub fn is_outlier(&self, now: i64) -> bool {
        now < self.p1 || now > self.p99
    }
}

/// What the history of one marketplace says. None = the series was empty or always without an offer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryFacts {
    /// Of the lowest new offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<SeriesHistory>,
    /// Of Amazon's own offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amazon: Option<SeriesHistory>,
    /// Of the buy box.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buy_box: Option<SeriesHistory>,
}

impl HistoryFacts {
    /// The series that a price of this kind belongs to.
    #[must_use]
    pub fn of(&self, kind: PriceKind) -> Option<&SeriesHistory> {
        match kind {
            PriceKind::BuyBox => self.buy_box.as_ref(),
            PriceKind::New => self.new.as_ref(),
            PriceKind::Amazon => self.amazon.as_ref(),
        }
    }
}

/// Who held the buy box, and for how much of the time that somebody held it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SellerShare {
    /// Amazon's id of the seller.
    pub seller_id: CompactString,
    /// Of the time the box was held.
    pub share: Percentage,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A series that stood mostly at 50.00, once in a while at 45.00 or 55.00.
    pub(crate) fn around_fifty() -> SeriesHistory {
        SeriesHistory {
            from: KeepaMinutes(0),
            to: KeepaMinutes(129_600),
            average: 5000,
            deviation: 300,
            variation: Percentage(6_00),
            p1: 4500,
            p10: 4500,
            p25: 4800,
            p50: 5000,
            p75: 5200,
            p90: 5500,
            p99: 5500,
            previous: Some(4800),
            out_of_stock: Percentage(0),
            changes_per_month: Percentage(2_00),
            trend: None,
            trend_fit: None,
            robust_trend: None,
            drawdown: Percentage(18_18),
        }
    }

    #[test]
    fn figures_of_the_present_price_follow_from_the_series() {
        let series = around_fifty();
        assert_eq!(series.stability(), Percentage(80_00));
        assert_eq!(series.robust_spread(), Some(Percentage(8_00)));
        // (price, drop, drop from the previous one, position, outlier)
        let cases = [
            (4499, 10_02, 6_27, 0, true),
            (4500, 10_00, 6_25, 0, false),
            (5000, 0, -4_17, 50_00, false),
            (5500, -10_00, -14_58, 10_000, false),
            (5501, -10_02, -14_60, 10_000, true),
        ];
        for (price, drop, from_previous, position, outlier) in cases {
            assert_eq!(series.drop(price), Some(Percentage(drop)), "{price}");
            assert_eq!(series.drop_from_previous(price), Some(Percentage(from_previous)), "{price}");
            assert_eq!(series.position(price), Some(Percentage(position)), "{price}");
            assert_eq!(series.is_outlier(price), outlier, "{price}");
        }
    }

    #[test]
    fn a_price_that_never_moved_is_stable_and_has_no_position() {
        let series = SeriesHistory {
            variation: Percentage(0),
            p10: 5000,
            p90: 5000,
            previous: None,
            ..around_fifty()
        };
        assert_eq!(series.stability(), Percentage(10_000));
        assert_eq!((series.position(5000), series.drop_from_previous(5000)), (None, None));
        let wild = SeriesHistory {
            variation: Percentage(45_00),
            ..around_fifty()
        };
        assert_eq!(wild.stability(), Percentage(0));
    }
}
