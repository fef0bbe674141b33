//! Statistics of a price series, as a part of a product.

use poem_openapi::Object;
use serde::Serialize;
use shared::domain::history::SeriesHistory;
use shared::domain::price::{SeriesStatistics, StatisticsOrigin};
use shared::domain::{Currency, KeepaMinutes, Money};

use crate::values::{Amount, Instant, StatisticsFrom};

/// Statistics of one price series, in the marketplace's currency. Keepa's own come with every record and leave price errors
/// out; `history` is there where a record brought the series itself.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "PriceStatistics")]
pub(super) struct StatisticsDocument {
    /// Mean of the last 30 days: every price counts for as long as it stood, time without an offer not at all.
    #[oai(nullable)]
    avg30: Option<Amount>,
    /// Mean of the last 90 days.
    #[oai(nullable)]
    avg90: Option<Amount>,
    /// Mean of the last 180 days.
    #[oai(nullable)]
    avg180: Option<Amount>,
    /// Mean of the last 365 days.
    #[oai(nullable)]
    avg365: Option<Amount>,
    /// Lowest price known.
    #[oai(nullable)]
    min: Option<Amount>,
    /// When that was.
    #[oai(nullable)]
    min_at: Option<Instant>,
    /// Highest price known.
    #[oai(nullable)]
    max: Option<Amount>,
    /// When that was.
    #[oai(nullable)]
    max_at: Option<Instant>,
    /// Share of the last 30 days without an offer, percent.
    #[oai(nullable)]
    out_of_stock_percentage_30: Option<i32>,
    /// Share of the last 90 days without an offer, percent.
    #[oai(nullable)]
    out_of_stock_percentage_90: Option<i32>,
    /// Share of the last 180 days without an offer, percent.
    #[oai(nullable)]
    out_of_stock_percentage_180: Option<i32>,
    /// Share of the last 365 days without an offer, percent.
    #[oai(nullable)]
    out_of_stock_percentage_365: Option<i32>,
    /// Where the figures above come from. `keepa`: as Keepa has them. `history`: computed from the history that came with the
    /// product.
    origin: StatisticsFrom,
    /// How far the present price lies below the mean of 90 days: `100 * (mean - now) / mean`, of the history's mean where there
    /// is one, else of `avg90`; negative above it.
    #[oai(nullable)]
    drop_percentage: Option<Amount>,
    /// How the series was spread over 90 days, computed from its history; null where none came yet.
    #[oai(nullable)]
    history: Option<HistoryDocument>,
}

/// A price series over the 90 days up to `to`: a step function in which each price weighs as long as it stood and time without
/// an offer nothing.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "PriceHistoryStatistics")]
struct HistoryDocument {
    /// 90 days before `to`, or the beginning of the series.
    from: Instant,
    /// The last update that brought the history: after it the price is not known.
    to: Instant,
    /// `sum(w * p) / sum(w)`, `w` = how long a price `p` stood.
    average: Amount,
    /// `sqrt(sum(w * (p - average)^2) / sum(w))`.
    standard_deviation: Amount,
    /// Standard deviation in percent of the average (CV).
    variation_percentage: Amount,
    /// The lowest price below or at which the series stood for 1 % of its time in stock.
    p1: Amount,
    /// For 10 %.
    p10: Amount,
    /// For 25 %.
    p25: Amount,
    /// For 50 %: the median.
    p50: Amount,
    /// For 75 %.
    p75: Amount,
    /// For 90 %.
    p90: Amount,
    /// For 99 %.
    p99: Amount,
    /// Share of the window without an offer, percent.
    out_of_stock_percentage: Amount,
    /// How often the price moved, per 30 days.
    changes_per_30_days: Amount,
    /// `100 * (1 - min(1, CV / 0.30))`: 100 is a price that never moved. Read it with `changes_per_30_days`.
    stability_percentage: Amount,
    /// `100 * (P75 - P25) / P50`: a spread that price errors do not move; 0 is a price that stands.
    #[oai(nullable)]
    robust_spread_percentage: Option<Amount>,
    /// Least-squares slope, percent of the average per 30 days; null where there is no time to measure it.
    #[oai(nullable)]
    trend_percentage_per_30_days: Option<Amount>,
    /// How much of the variance that slope explains (R²), percent; null where the price never moved.
    #[oai(nullable)]
    trend_fit_percentage: Option<Amount>,
    /// Median of the slopes between all pairs of daily medians (Theil and Sen), likewise: price errors do not move it.
    #[oai(nullable)]
    robust_trend_percentage_per_30_days: Option<Amount>,
    /// The largest fall from a peak to a later trough, percent of the peak.
    max_drawdown_percentage: Amount,
    /// How far the present price lies below the one before it: `100 * (previous - now) / previous`; null without one before.
    #[oai(nullable)]
    drop_from_previous_percentage: Option<Amount>,
    /// Where the present price lies between P10 (0) and P90 (100), cut to those; null where they are equal.
    #[oai(nullable)]
    position_in_range_percentage: Option<Amount>,
}

impl StatisticsDocument {
    /// Of a series whose present price is `now`.
    pub(super) fn of(statistics: &SeriesStatistics, history: Option<&SeriesHistory>, now: Money) -> Self {
        let currency = now.currency;
        let amount = |minor: Option<i64>| minor.map(|minor| Amount::from(Money::new(minor, currency)));
        let instant = |minutes: Option<KeepaMinutes>| minutes.map(|minutes| Instant(minutes.to_unix()));
        let drop = match history {
            Some(history) => history.drop(now.minor),
            None => statistics.drop(now.minor),
        };
        StatisticsDocument {
            avg30: amount(statistics.avg30),
            avg90: amount(statistics.avg90),
            avg180: amount(statistics.avg180),
            avg365: amount(statistics.avg365),
            min: amount(statistics.min),
            min_at: instant(statistics.min_at),
            max: amount(statistics.max),
            max_at: instant(statistics.max_at),
            out_of_stock_percentage_30: statistics.out_of_stock_percentage_30,
            out_of_stock_percentage_90: statistics.out_of_stock_percentage_90,
            out_of_stock_percentage_180: statistics.out_of_stock_percentage_180,
            out_of_stock_percentage_365: statistics.out_of_stock_percentage_365,
            origin: statistics.origin.into(),
            drop_percentage: drop.map(Amount::from),
            history: history.map(|history| HistoryDocument::of(history, now.minor, currency)),
        }
    }
}

impl HistoryDocument {
    fn of(history: &SeriesHistory, now: i64, currency: Currency) -> Self {
        let amount = |minor: i64| Amount::from(Money::new(minor, currency));
        HistoryDocument {
            from: Instant(history.from.to_unix()),
            to: Instant(history.to.to_unix()),
            average: amount(history.average),
            standard_deviation: amount(history.deviation),
            variation_percentage: history.variation.into(),
            p1: amount(history.p1),
            p10: amount(history.p10),
            p25: amount(history.p25),
            p50: amount(history.p50),
            p75: amount(history.p75),
            p90: amount(history.p90),
            p99: amount(history.p99),
            out_of_stock_percentage: history.out_of_stock.into(),
            changes_per_30_days: history.changes_per_month.into(),
            stability_percentage: history.stability().into(),
            robust_spread_percentage: history.robust_spread().map(Amount::from),
            trend_percentage_per_30_days: history.trend.map(Amount::from),
            trend_fit_percentage: history.trend_fit.map(Amount::from),
            robust_trend_percentage_per_30_days: history.robust_trend.map(Amount::from),
            max_drawdown_percentage: history.drawdown.into(),
            drop_from_previous_percentage: history.drop_from_previous(now).map(Amount::from),
            position_in_range_percentage: history.position(now).map(Amount::from),
        }
    }
}

impl From<StatisticsOrigin> for StatisticsFrom {
    fn from(origin: StatisticsOrigin) -> Self {
        StatisticsFrom(match origin {
            StatisticsOrigin::Keepa => "keepa",
            StatisticsOrigin::History => "history",
        })
    }
}
