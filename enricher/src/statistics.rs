//! Statistics of a price series as Keepa stores it: a step function over minutes. Pure.
//!
//! A value holds from its point until the next one; the last one holds until the product's last update, since after
//! that the price is unknown. Time without an offer counts for nothing but the out-of-stock percentage. The plain mean
//! of the points would be wrong: a price that stood for an hour would weigh as much as one that stood for a year.
//!
//! Everything is integer arithmetic; what does not fit 128 bits has no value (`None`) instead of a wrong one.
//!
//! ```
//! # use enricher::statistics::PriceSeries;
//! let series = PriceSeries::from_pairs(&[0, 1000, 60, -1, 90, 2000]).unwrap();
//! let window = series.window(0, 120);
//! assert_eq!(window.average_rounded(), Some(1333));          // 60 minutes at 1000, 30 at 2000
//! assert_eq!(window.out_of_stock_percentage_ceiled(), Some(25));
//! ```

#![deny(clippy::float_arithmetic, clippy::cast_precision_loss, clippy::cast_possible_truncation)]

use rust_decimal::Decimal;
use shared::domain::history::{SeriesHistory, WINDOW_DAYS};
use shared::domain::price::{SeriesStatistics, StatisticsOrigin};
use shared::domain::{KeepaMinutes, Percentage};

const MINUTES_PER_DAY: i64 = 24 * 60;
const DAYS_PER_TREND: i128 = 30;
/// Rounds a ratio to hundredths of percent.
const HUNDREDTHS_OF_PERCENT: u32 = 4;

/// A price series: minutes in ascending order, each with the landed price from then on, `None` = no offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceSeries {
    points: Vec<(i64, Option<i64>)>,
}

/// The numbers are no price series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a series of {length} numbers is not made of groups of {group}")]
pub struct BrokenSeries {
    /// How many numbers there are.
    pub length: usize,
    /// How many make one point.
    pub group: usize,
}

impl PriceSeries {
    /// From `[time, price, time, price, …]`; a price that is not greater than zero means no offer.
    ///
    /// # Errors
    /// If the numbers do not come in pairs.
    pub fn from_pairs(numbers: &[i64]) -> Result<Self, BrokenSeries> {
        Self::from_groups(numbers, 2, |point| point[1])
    }

    /// From `[time, price, shipping, …]`: landed prices, an unknown shipping (-1) counting as none.
    ///
    /// # Errors
    /// If the numbers do not come in triples.
    pub fn from_triples(numbers: &[i64]) -> Result<Self, BrokenSeries> {
        Self::from_groups(numbers, 3, |point| if point[1] > 0 { point[1].saturating_add(point[2].max(0)) } else { -1 })
    }

    fn from_groups(numbers: &[i64], group: usize, price: impl Fn(&[i64]) -> i64) -> Result<Self, BrokenSeries> {
        if !numbers.len().is_multiple_of(group) {
            return Err(BrokenSeries { length: numbers.len(), group });
        }
        let mut points: Vec<_> = numbers
            .chunks_exact(group)
            .map(|point| (point[0], Some(price(point)).filter(|&price| price > 0)))
            .collect();
        // Times increase strictly in all data seen; should they ever not, order is restored rather than weights made negative.
        points.sort_by_key(|&(time, _)| time);
        Ok(PriceSeries { points })
    }

    /// When the series begins.
    #[must_use]
    pub fn start(&self) -> Option<i64> {
        self.points.first().map(|&(time, _)| time)
    }

    /// The changes between two minutes, the last `most` of them: what stood at the beginning, then every price that differs
    /// from the one before it.
    #[must_use]
    pub fn changes(&self, from: i64, to: i64, most: usize) -> Vec<(i64, Option<i64>)> {
        let mut changes: Vec<(i64, Option<i64>)> = Vec::new();
        for &(time, price) in self.points.iter().filter(|&&(time, _)| time <= to) {
            let time = time.max(from);
            match changes.last_mut() {
                Some(last) if last.0 == time => last.1 = price,
                Some(last) if last.1 == price => {}
                _ => changes.push((time, price)),
            }
        }
        changes.split_off(changes.len().saturating_sub(most))
    }

    /// What the series was between two minutes. The beginning is moved to that of the series: before it, nothing is known.
    #[must_use]
    pub fn window(&self, from: i64, to: i64) -> Window {
        let start = self.start().map_or(to, |start| start.max(from)).min(to);
        let mut segments = Vec::new();
        for (index, &(time, price)) in self.points.iter().enumerate() {
            let begin = time.max(start);
            let end = self.points.get(index + 1).map_or(to, |&(next, _)| next).min(to);
            if let Some(price) = price
                && begin < end
            {
                segments.push(Segment { begin, end, price });
            }
        }
        Window { from: start, to, segments }
    }

    /// The figures a product document carries, as of `last_update`. Averages are rounded half up, out-of-stock
    /// percentages up, as Keepa's are.
    #[must_use]
    pub fn summary(&self, last_update: KeepaMinutes) -> SeriesStatistics {
        let to = i64::from(last_update.0);
        let days = |days: i64| self.window(to - days * MINUTES_PER_DAY, to);
        let (month, quarter, half, year) = (days(30), days(90), days(180), days(365));
        let known = self.points.iter().filter(|&&(time, _)| time <= to);
        let priced = known.filter_map(|&(time, price)| Some((time, price?)));
        // The earliest of equal extremes: min_by_key keeps the first, and so does max with the order of time reversed.
        let min = priced.clone().min_by_key(|&(_, price)| price);
        let max = priced.max_by_key(|&(time, price)| (price, std::cmp::Reverse(time)));
        let at = |extreme: Option<(i64, i64)>| extreme.and_then(|(time, _)| i32::try_from(time).ok()).map(KeepaMinutes);
        SeriesStatistics {
            avg30: month.average_rounded(),
            avg90: quarter.average_rounded(),
            avg180: half.average_rounded(),
            avg365: year.average_rounded(),
            min: min.map(|(_, price)| price),
            min_at: at(min),
            max: max.map(|(_, price)| price),
            max_at: at(max),
            out_of_stock_percentage_30: month.out_of_stock_percentage_ceiled(),
            out_of_stock_percentage_90: quarter.out_of_stock_percentage_ceiled(),
            out_of_stock_percentage_180: half.out_of_stock_percentage_ceiled(),
            out_of_stock_percentage_365: year.out_of_stock_percentage_ceiled(),
            origin: StatisticsOrigin::History,
        }
    }

    /// How the series was spread over the [`WINDOW_DAYS`] before `last_update`; none where it had no offer in them.
    #[must_use]
    pub fn distribution(&self, last_update: KeepaMinutes) -> Option<SeriesHistory> {
        let to = i64::from(last_update.0);
        let window = self.window(to - WINDOW_DAYS * MINUTES_PER_DAY, to);
        let [p1, p10, p25, p50, p75, p90, p99] = window.percentiles([1, 10, 25, 50, 75, 90, 99])?;
        let deviation = window.standard_deviation(0)?;
        let regression = window.regression();
        Some(SeriesHistory {
            from: KeepaMinutes(i32::try_from(window.from).ok()?),
            to: last_update,
            average: window.average_rounded()?,
            deviation: i64::try_from(deviation.mantissa()).ok()?,
            variation: hundredths(window.variation(HUNDREDTHS_OF_PERCENT)?)?,
            p1,
            p10,
            p25,
            p50,
            p75,
            p90,
            p99,
            previous: self.previous(to),
            out_of_stock: hundredths(window.out_of_stock_percentage(2)?)?,
            changes_per_month: window.changes_per_month()?,
            trend: window.trend().and_then(|(_, per_month)| hundredths(per_month)),
            trend_fit: regression.and_then(|regression| window.fit(&regression)),
            robust_trend: window.robust_trend(),
            drawdown: window.drawdown()?,
        })
    }

    /// The last price before that minute's that differs from it, time without an offer left out.
    fn previous(&self, to: i64) -> Option<i64> {
        let mut prices = self.points.iter().rev().filter(|&&(time, _)| time < to).filter_map(|&(_, price)| price);
        let last = prices.next()?;
        prices.find(|&price| price != last)
    }
}

/// What a decimal of any scale is in its last place: 15.46 with two decimals is 1546.
fn hundredths(value: Decimal) -> Option<Percentage> {
    i64::try_from(value.mantissa()).ok().map(Percentage)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    begin: i64,
    end: i64,
    price: i64,
}

impl Segment {
    fn minutes(self) -> i128 {
        i128::from(self.end - self.begin)
    }
}

/// A slope, minor units per minute, as a fraction: both twelvefold, of the covariance and of the variance of time.
#[derive(Debug, Clone, Copy)]
struct Regression {
    numerator: i128,
    denominator: i128,
}

/// A series between two minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    from: i64,
    to: i64,
    /// In-stock time only, in order of time.
    segments: Vec<Segment>,
}

impl Window {
    /// Minutes with an offer.
    #[must_use]
    pub fn in_stock_minutes(&self) -> i64 {
        self.segments.iter().map(|segment| segment.end - segment.begin).sum()
    }

    /// The time-weighted average over in-stock time, rounded half up to `digits` decimals of a minor unit.
    #[must_use]
    pub fn average(&self, digits: u32) -> Option<Decimal> {
        ratio(self.price_minutes()?, self.weight(), digits)
    }

    /// The average in whole minor units, half up.
    #[must_use]
    pub fn average_rounded(&self) -> Option<i64> {
        rounded_quotient(self.price_minutes()?, self.weight()).and_then(|average| i64::try_from(average).ok())
    }

    /// The weighted standard deviation, rounded half up to `digits` decimals of a minor unit.
    #[must_use]
    pub fn standard_deviation(&self, digits: u32) -> Option<Decimal> {
        let scale = 10_i128.checked_pow(digits + 1)?;
        let scaled = self.deviation_minutes()?.checked_mul(scale.checked_mul(scale)?)?;
        // One digit more than asked for survives the integer root, so that the rounding is right but for ties.
        ratio(scaled.isqrt(), self.weight().checked_mul(10)?, 0).and_then(|value| shift(value, digits))
    }

    /// The coefficient of variation, standard deviation by average, rounded half up to `digits` decimals.
    #[must_use]
    pub fn variation(&self, digits: u32) -> Option<Decimal> {
        let scale = 10_i128.checked_pow(digits + 1)?;
        let scaled = self.deviation_minutes()?.checked_mul(scale.checked_mul(scale)?)?;
        ratio(scaled.isqrt(), self.price_minutes()?.checked_mul(10)?, 0).and_then(|value| shift(value, digits))
    }

    /// The smallest price whose cumulative in-stock time reaches `percent` of all of it.
    #[must_use]
    pub fn percentile(&self, percent: u8) -> Option<i64> {
        self.percentiles([percent]).map(|[price]| price)
    }

    /// The same for several, ascending.
    fn percentiles<const N: usize>(&self, percents: [u8; N]) -> Option<[i64; N]> {
        let mut by_price: Vec<Segment> = self.segments.clone();
        by_price.sort_unstable_by_key(|segment| segment.price);
        let weight = self.weight();
        let mut rest = by_price.iter();
        let (mut reached, mut price) = (0_i128, None);
        let mut found = [0; N];
        for (slot, percent) in found.iter_mut().zip(percents) {
            while price.is_none() || reached * 100 < weight * i128::from(percent) {
                let segment = rest.next()?;
                reached += segment.minutes();
                price = Some(segment.price);
            }
            *slot = price?;
        }
        Some(found)
    }

    /// How often the price moved from one offer to the next, per 30 days, hundredths.
    fn changes_per_month(&self) -> Option<Percentage> {
        let moves = self.segments.windows(2).filter(|pair| pair[0].price != pair[1].price).count();
        let minutes = DAYS_PER_TREND * i128::from(MINUTES_PER_DAY);
        let moves = i128::try_from(moves).ok()?.checked_mul(minutes)?;
        hundredths(ratio(moves, self.span(), 2)?)
    }

    /// The largest fall from a peak to a later trough, of the peak.
    fn drawdown(&self) -> Option<Percentage> {
        let mut peak = self.segments.first()?.price;
        let mut largest = Percentage(0);
        for segment in &self.segments {
            peak = peak.max(segment.price);
            let fall = ratio(i128::from(peak) - i128::from(segment.price), i128::from(peak), HUNDREDTHS_OF_PERCENT)?;
            largest = largest.max(hundredths(fall)?);
        }
        Some(largest)
    }

    /// The median price of each day that had an offer, by day of the window.
    fn daily_medians(&self) -> Vec<(i64, i64)> {
        let mut days = Vec::new();
        let mut begin = self.from;
        // Both run forward in time: each segment is looked at once for every day it lies in.
        let mut first = 0;
        while begin < self.to {
            let end = begin + MINUTES_PER_DAY;
            let of_day = self.segments[first..].iter().take_while(|segment| segment.begin < end);
            let cut = of_day.map(|segment| Segment {
                begin: segment.begin.max(begin),
                end: segment.end.min(end),
                price: segment.price,
            });
            let day = Window {
                from: begin,
                to: end.min(self.to),
                segments: cut.collect(),
            };
            if let Some(median) = day.percentile(50) {
                days.push(((begin - self.from) / MINUTES_PER_DAY, median));
            }
            first += self.segments[first..].iter().take_while(|segment| segment.end <= end).count();
            begin = end;
        }
        days
    }

    /// Theil and Sen's slope: the median of the slopes between all pairs of daily medians, percent of the average per 30 days.
    fn robust_trend(&self) -> Option<Percentage> {
        /// Decimals of a slope before the median is taken.
        const DIGITS: u32 = 6;
        let days = self.daily_medians();
        let mut slopes: Vec<i128> = Vec::with_capacity(days.len() * days.len().saturating_sub(1) / 2);
        for (index, &(day, price)) in days.iter().enumerate() {
            for &(later_day, later_price) in &days[index + 1..] {
                let rise = i128::from(later_price) - i128::from(price);
                slopes.push(rounded_quotient(rise * 10_i128.pow(DIGITS), i128::from(later_day - day))?);
            }
        }
        if slopes.is_empty() {
            return None;
        }
        let (count, middle) = (slopes.len(), slopes.len() / 2);
        // To order all of some 4,000 slopes takes longer than to compute them.
        let (below, &mut median, _) = slopes.select_nth_unstable(middle);
        let twice = match below.iter().max() {
            Some(largest_below) if count.is_multiple_of(2) => largest_below + median,
            _ => 2 * median,
        };
        // percent of the average = 100 * 30 * slope / average, with average = price minutes by weight.
        let numerator = twice.checked_mul(DAYS_PER_TREND)?.checked_mul(self.weight())?;
        let denominator = self.price_minutes()?.checked_mul(2 * 10_i128.pow(DIGITS))?;
        hundredths(ratio(numerator, denominator, HUNDREDTHS_OF_PERCENT)?)
    }

    /// The share of the window without an offer in percent, rounded half up to `digits` decimals.
    #[must_use]
    pub fn out_of_stock_percentage(&self, digits: u32) -> Option<Decimal> {
        ratio((self.span() - self.weight()).checked_mul(100)?, self.span(), digits)
    }

    /// The same in whole percent, rounded up as Keepa does.
    #[must_use]
    pub fn out_of_stock_percentage_ceiled(&self) -> Option<i32> {
        let (out, span) = (self.span() - self.weight(), self.span());
        (span > 0).then(|| i32::try_from((out * 100 + span - 1) / span).unwrap_or(100))
    }

    /// How far a price lies below the average in percent of it, rounded half up to two decimals; negative above it.
    #[must_use]
    pub fn drop_percentage(&self, price: i64) -> Option<Decimal> {
        let (price_minutes, weight) = (self.price_minutes()?, self.weight());
        let below = price_minutes.checked_sub(i128::from(price).checked_mul(weight)?)?;
        ratio(below.checked_mul(100)?, price_minutes, 2)
    }

    /// The weighted least-squares slope over in-stock time: minor units per day, three decimals, and percent of the
    /// average per 30 days, two.
    #[must_use]
    pub fn trend(&self) -> Option<(Decimal, Decimal)> {
        let Regression { numerator, denominator } = self.regression()?;
        let per_day = ratio(numerator.checked_mul(i128::from(MINUTES_PER_DAY))?, denominator, 3)?;
        // Two divisions, since the product of both denominators would not fit: ten decimals in between.
        let exact_per_day = ratio(numerator.checked_mul(i128::from(MINUTES_PER_DAY))?, denominator, 10)?;
        let average = self.average(10)?;
        let per_month = exact_per_day.checked_mul(Decimal::from(DAYS_PER_TREND * 100))?.checked_div(average)?;
        Some((per_day, shared::domain::money::round_half_up(per_month, 2)))
    }

    /// R²: how much of the variance a least-squares slope explains. None where the price never moved.
    fn fit(&self, Regression { numerator, denominator }: &Regression) -> Option<Percentage> {
        // slope * numerator / (12 * variance), each with decimals of its own, since the squares would not fit.
        let slope = ratio(*numerator, *denominator, 12)?;
        let inverse = ratio(*numerator, self.deviation_minutes()?.checked_mul(12)?, 12)?;
        let fit = shared::domain::money::round_half_up(slope.checked_mul(inverse)?, HUNDREDTHS_OF_PERCENT);
        hundredths(fit.clamp(Decimal::ZERO, Decimal::ONE).trunc_with_scale(HUNDREDTHS_OF_PERCENT))
    }

    /// The least-squares line over in-stock time.
    fn regression(&self) -> Option<Regression> {
        let (mut first, mut second, mut mixed) = (0_i128, 0_i128, 0_i128);
        for segment in &self.segments {
            let (begin, end) = (i128::from(segment.begin - self.from), i128::from(segment.end - self.from));
            let squares = end.checked_mul(end)?.checked_sub(begin.checked_mul(begin)?)?;
            let cubes = end.checked_pow(3)?.checked_sub(begin.checked_pow(3)?)?;
            first = first.checked_add(squares)?;
            second = second.checked_add(cubes)?;
            mixed = mixed.checked_add(squares.checked_mul(i128::from(segment.price))?)?;
        }
        // With T = integral of t, Q = of t squared, M = of t*p, all over in-stock time: slope = (W*M - T*P) / (W*Q - T*T).
        // `first` is 2T, `second` 3Q, `mixed` 2M.
        let (weight, price_minutes) = (self.weight(), self.price_minutes()?);
        let numerator = weight.checked_mul(mixed)?.checked_sub(first.checked_mul(price_minutes)?)?.checked_mul(6)?;
        let denominator = weight
            .checked_mul(second)?
            .checked_mul(4)?
            .checked_sub(first.checked_mul(first)?.checked_mul(3)?)?;
        (denominator != 0).then_some(Regression { numerator, denominator })
    }

    fn span(&self) -> i128 {
        i128::from(self.to - self.from)
    }

    /// In-stock minutes.
    fn weight(&self) -> i128 {
        i128::from(self.in_stock_minutes())
    }

    /// Sum of price times minutes.
    fn price_minutes(&self) -> Option<i128> {
        self.segments.iter().try_fold(0_i128, |sum, segment| {
            sum.checked_add(segment.minutes().checked_mul(i128::from(segment.price))?)
        })
    }

    /// `W * sum(w*p*p) - sum(w*p)^2`: the variance times the square of the weight.
    fn deviation_minutes(&self) -> Option<i128> {
        let squares = self.segments.iter().try_fold(0_i128, |sum, segment| {
            let square = i128::from(segment.price).checked_mul(i128::from(segment.price))?;
            sum.checked_add(segment.minutes().checked_mul(square)?)
        })?;
        let price_minutes = self.price_minutes()?;
        self.weight().checked_mul(squares)?.checked_sub(price_minutes.checked_mul(price_minutes)?)
    }
}

/// `numerator / denominator`, half up (away from zero); `None` for a denominator of zero.
fn rounded_quotient(numerator: i128, denominator: i128) -> Option<i128> {
    if denominator == 0 {
        return None;
    }
    let (magnitude, divisor) = (numerator.checked_abs()?, denominator.checked_abs()?);
    let quotient = magnitude.checked_mul(2)?.checked_add(divisor)? / divisor.checked_mul(2)?;
    Some(if (numerator < 0) == (denominator < 0) { quotient } else { -quotient })
}

/// `numerator / denominator` with `digits` decimals, half up.
fn ratio(numerator: i128, denominator: i128, digits: u32) -> Option<Decimal> {
    let scaled = numerator.checked_mul(10_i128.checked_pow(digits)?)?;
    Decimal::try_from_i128_with_scale(rounded_quotient(scaled, denominator)?, digits).ok()
}

/// A whole number of the last of `digits` decimals.
fn shift(whole: Decimal, digits: u32) -> Option<Decimal> {
    Decimal::try_from_i128_with_scale(whole.mantissa(), digits).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(points: &[(i64, i64)]) -> PriceSeries {
        let numbers: Vec<i64> = points.iter().flat_map(|&(time, price)| [time, price]).collect();
        PriceSeries::from_pairs(&numbers).expect("pairs")
    }

    fn shown(value: Option<Decimal>) -> String {
        value.map_or_else(|| "none".into(), |value| value.to_string())
    }

    #[test]
    fn changes_begin_with_what_stood_and_repeat_nothing() {
        let series = PriceSeries::from_pairs(&[0, 1000, 10, 1000, 20, 1200, 30, -1, 40, -1, 50, 900]).unwrap();
        for (from, to, most, expected) in [
            (0, 60, 9, vec![(0, Some(1000)), (20, Some(1200)), (30, None), (50, Some(900))]),
            (25, 60, 9, vec![(25, Some(1200)), (30, None), (50, Some(900))]),
            (20, 45, 9, vec![(20, Some(1200)), (30, None)]),
            (0, 60, 2, vec![(30, None), (50, Some(900))]),
            (60, 60, 9, vec![(60, Some(900))]),
            (-5, -1, 9, vec![]),
        ] {
            assert_eq!(series.changes(from, to, most), expected, "{from}..{to} {most}");
        }
    }

    #[test]
    fn the_published_vectors_come_out() {
        let Some(text) = crate::samples::read("vectors/statistics.json") else {
            return;
        };
        let file: serde_json::Value = serde_json::from_str(&text).expect("the vectors are JSON");
        let number = |value: &serde_json::Value| value.as_i64().expect("a whole number");
        for vector in file["vectors"].as_array().expect("a list") {
            let points: Vec<(i64, i64)> = vector["csv"]
                .as_array()
                .expect("points")
                .iter()
                .map(|point| (number(&point[0]), number(&point[1])))
                .collect();
            let window = series(&points).window(number(&vector["window"]["from"]), number(&vector["window"]["to"]));
            let expected = &vector["expect"];
            let text = |name: &str| expected[name].as_str().expect("a decimal in quotes").to_owned();
            assert_eq!(window.in_stock_minutes(), number(&expected["in_stock_minutes"]));
            assert_eq!(shown(window.average(2)), text("twa"));
            assert_ne!(shown(window.average(2)), vector["expect_not"]["twa"].as_str().expect("the wrong average"));
            assert!((window.average_rounded().expect("in stock") - number(&expected["twa_keepa"])).abs() <= 1);
            assert_eq!(shown(window.standard_deviation(2)), text("sd"));
            assert_eq!(shown(window.variation(4)), text("cv"));
            assert_eq!(shown(window.out_of_stock_percentage(3)), text("out_of_stock_pct"));
            assert_eq!(
                window.out_of_stock_percentage_ceiled().map(i64::from),
                Some(number(&expected["out_of_stock_pct_keepa"]))
            );
            for (name, percent) in [("p25", 25), ("p50", 50), ("p90", 90)] {
                assert_eq!(window.percentile(percent), Some(number(&expected[name])), "{name}");
            }
            assert_eq!(shown(window.drop_percentage(4490)), text("drop_pct_of_4490_vs_twa"));
            let (per_day, per_month) = window.trend().expect("a trend");
            assert_eq!(per_day.to_string(), text("slope_cents_per_day"));
            assert_eq!(per_month.to_string(), text("slope_pct_per_30d"));
        }
    }

    #[test]
    fn a_distribution_says_how_the_window_went() {
        let days = |day: i64| day * MINUTES_PER_DAY;
        // Ten days at 50.00, ten at 40.00, ten without an offer, sixty at 60.00.
        let series = series(&[(0, 5000), (days(10), 4000), (days(20), -1), (days(30), 6000)]);
        let to = KeepaMinutes(i32::try_from(days(90)).expect("small"));
        let found = series.distribution(to).expect("offers");
        let expected = SeriesHistory {
            from: KeepaMinutes(0),
            to,
            // (10 * 5000 + 10 * 4000 + 60 * 6000) / 80
            average: 5625,
            // sqrt((10 * 625^2 + 10 * 1625^2 + 60 * 375^2) / 80) = 696.0
            deviation: 696,
            variation: Percentage(12_37),
            p1: 4000,
            p10: 4000,
            p25: 5000,
            p50: 6000,
            p75: 6000,
            p90: 6000,
            p99: 6000,
            previous: Some(4000),
            out_of_stock: Percentage(11_11),
            changes_per_month: Percentage(67),
            trend: found.trend,
            trend_fit: found.trend_fit,
            robust_trend: Some(Percentage(0)),
            drawdown: Percentage(20_00),
        };
        assert_eq!(found, expected);
        assert!(found.trend > Some(Percentage(0)) && found.trend_fit > Some(Percentage(30_00)), "{found:?}");
        // A price error moves the least-squares slope, not the robust one.
        let with_error = [(0, 5000), (days(80), 199_900), (days(81), 5000)];
        let with_error = super::tests::series(&with_error).distribution(to).expect("offers");
        assert_eq!((with_error.robust_trend, with_error.p99), (Some(Percentage(0)), 199_900));
        assert!(with_error.trend > Some(Percentage(10_00)), "{with_error:?}");
    }

    #[test]
    fn a_straight_line_fits_itself_whichever_way_it_is_measured() {
        let points: Vec<(i64, i64)> = (0..90).map(|day| (day * MINUTES_PER_DAY, 5000 + 10 * day)).collect();
        let found = series(&points).distribution(KeepaMinutes(90 * 1440)).expect("offers");
        // 300 per 30 days, of an average of 5445.
        assert_eq!((found.trend, found.robust_trend), (Some(Percentage(5_51)), Some(Percentage(5_51))));
        assert!(found.trend_fit >= Some(Percentage(99_98)), "{found:?}");
        assert_eq!((found.drawdown, found.changes_per_month), (Percentage(0), Percentage(29_67)));
    }

    #[test]
    fn a_series_without_an_offer_in_the_window_has_no_distribution() {
        for points in [vec![], vec![(0, -1)], vec![(0, 5000), (10, -1)]] {
            assert_eq!(series(&points).distribution(KeepaMinutes(200_000)), None, "{points:?}");
        }
    }

    #[test]
    fn a_window_begins_with_the_series_and_ends_with_the_last_update() {
        let window = series(&[(100, 1000)]).window(0, 200);
        assert_eq!((window.in_stock_minutes(), window.out_of_stock_percentage_ceiled()), (100, Some(0)));
    }

    #[test]
    fn no_offer_at_all_has_no_average_and_is_all_out_of_stock() {
        let summary = series(&[(0, -1)]).summary(KeepaMinutes(100_000));
        assert_eq!((summary.avg30, summary.min, summary.max), (None, None, None));
        assert_eq!(summary.out_of_stock_percentage_30, Some(100));
    }

    #[test]
    fn an_empty_series_has_no_figures() {
        let expected = SeriesStatistics {
            origin: StatisticsOrigin::History,
            ..Default::default()
        };
        assert_eq!(PriceSeries::default().summary(KeepaMinutes(5)), expected);
    }

    #[test]
    fn triples_are_landed_and_their_sentinels_are_no_offer() {
        let series = PriceSeries::from_triples(&[0, 1000, 399, 10, -1, -1, 20, 1200, 0, 30, 1100, -1]).expect("triples");
        let expected = [(0, Some(1399)), (10, None), (20, Some(1200)), (30, Some(1100))];
        assert_eq!(series.points, expected);
    }

    #[test]
    fn the_earliest_of_equal_extremes_counts() {
        let summary = series(&[(0, 500), (10, 900), (20, 500), (30, 900)]).summary(KeepaMinutes(40));
        assert_eq!((summary.min_at, summary.max_at), (Some(KeepaMinutes(0)), Some(KeepaMinutes(10))));
    }

    #[test]
    fn numbers_that_do_not_make_points_are_an_error() {
        assert_eq!(PriceSeries::from_pairs(&[1, 2, 3]), Err(BrokenSeries { length: 3, group: 2 }));
        assert_eq!(PriceSeries::from_triples(&[1, 2]), Err(BrokenSeries { length: 2, group: 3 }));
    }

    proptest! {
        #[test]
        fn a_constant_price_is_its_own_average_without_deviation(price in 1_i64..1_000_000, start in -1000_i64..1000, length in 1_i64..1_000_000) {
            let window = series(&[(start, price)]).window(start, start + length);
            prop_assert_eq!(window.average_rounded(), Some(price));
            prop_assert_eq!(window.standard_deviation(2), Some(Decimal::new(0, 2)));
            prop_assert_eq!(window.percentile(50), Some(price));
        }

        #[test]
        fn averages_lie_between_the_extremes_and_shares_between_0_and_100(
            points in proptest::collection::vec((0_i64..100_000, -1_i64..2_000_000), 0..20),
            from in 0_i64..100_000,
            length in 0_i64..100_000,
        ) {
            let window = series(&points).window(from, from + length);
            if let Some(average) = window.average_rounded() {
                prop_assert!(window.percentile(0) <= Some(average) && Some(average) <= window.percentile(100));
            }
            if let Some(share) = window.out_of_stock_percentage_ceiled() {
                prop_assert!((0..=100).contains(&share));
            }
        }

        #[test]
        fn no_numbers_panic(numbers in proptest::collection::vec(any::<i64>(), 0..12), from: i32, to: i32) {
            for series in [PriceSeries::from_pairs(&numbers), PriceSeries::from_triples(&numbers)].into_iter().flatten() {
                let window = series.window(i64::from(from), i64::from(to));
                let _ = (window.average(2), window.standard_deviation(2), window.variation(4), window.trend(), window.percentile(50));
                let _ = (window.drop_percentage(1), window.out_of_stock_percentage(3), series.summary(KeepaMinutes(to)));
                let _ = series.distribution(KeepaMinutes(to));
            }
        }
    }
}
