//! Keepa's statistics of a series, by the rules that its own answers follow: time-weighted, landed
//! prices for triples, out-of-stock time left out of averages.

use super::history::Point;

/// A span of Keepa minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: i32,
    pub(super) to: i32,
}

impl Window {
    /// The last days before a minute.
    pub(super) fn last_days(days: i32, now: i32) -> Self {
        Window {
            from: now.saturating_sub(days.saturating_mul(1440)),
            to: now,
        }
    }

    fn length(self) -> i64 {
        i64::from(self.to) - i64::from(self.from)
    }
}

/// What a series was like within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    window: Window,
    in_stock: i64,
    sum: i64,
    /// In force where the window begins; -1 = none.
    pub(super) at_start: i32,
    /// Earliest least and greatest value, as `(minute, value)`.
    pub(super) min: Option<(i32, i32)>,
    pub(super) max: Option<(i32, i32)>,
    /// How often it was out of stock.
    pub(super) outages: i32,
    /// How often the value fell.
    pub(super) drops: i32,
}

impl Summary {
    /// Of a series known to be in force until `now`.
    pub(super) fn of(points: &[Point], window: Window, now: i32) -> Self {
        let mut summary = Summary {
            window,
            in_stock: 0,
            sum: 0,
            at_start: -1,
            min: None,
            max: None,
            outages: 0,
            drops: 0,
        };
        let mut previous = -1;
        for (index, point) in points.iter().enumerate() {
            let end = points.get(index + 1).map_or(now, |next| next.minute);
            let value = point.landed();
            let (from, to) = (point.minute.max(window.from), end.min(window.to));
            if point.minute <= window.from && window.from < end {
                summary.at_start = value;
            }
            if from < to || (point.minute >= window.from && point.minute <= window.to) {
                if value < 0 {
                    summary.outages += 1;
                } else {
                    let minutes = i64::from(to.max(from)) - i64::from(from);
                    summary.in_stock += minutes;
                    summary.sum += i64::from(value) * minutes;
                    if summary.min.is_none_or(|(_, least)| value < least) {
                        summary.min = Some((from, value));
                    }
                    if summary.max.is_none_or(|(_, greatest)| value > greatest) {
                        summary.max = Some((from, value));
                    }
                    if previous > value && point.minute >= window.from {
                        summary.drops += 1;
                    }
                }
            }
            previous = value;
        }
        summary
    }

    /// The mean of the time in stock, cut to a whole number; -1 = never in stock.
    pub(super) fn average(&self) -> i32 {
        if self.in_stock == 0 {
            -1
        } else {
            i32::try_from(self.sum / self.in_stock).expect("a mean of 32-bit values")
        }
    }

    /// Percent of the window, rounded up; time before the series began counts as out of stock.
    pub(super) fn out_of_stock_percentage(&self) -> i32 {
        let length = self.window.length();
        if length <= 0 {
            return -1;
        }
        let missing = length - self.in_stock;
        i32::try_from((missing * 100 + length - 1) / length).expect("a percentage")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(series: &[(i32, i32, i32)]) -> Vec<Point> {
        series
            .iter()
            .map(|(minute, value, shipping)| Point {
                minute: *minute,
                value: *value,
                shipping: *shipping,
            })
            .collect()
    }

    fn summary(series: &[(i32, i32, i32)], from: i32, to: i32) -> Summary {
        Summary::of(&points(series), Window { from, to }, to)
    }

    #[test]
    fn an_average_is_weighted_by_time_and_cut() {
        assert_eq!(summary(&[(0, 100, 0), (75, 201, 0)], 0, 100).average(), 125);
    }

    #[test]
    fn time_out_of_stock_is_left_out_of_the_average() {
        let summary = summary(&[(0, 100, 0), (50, -1, -1)], 0, 100);
        assert_eq!((summary.average(), summary.out_of_stock_percentage(), summary.outages), (100, 50, 1));
    }

    #[test]
    fn shipping_is_part_of_the_price_and_unknown_shipping_is_not() {
        assert_eq!(summary(&[(0, 1000, 399)], 0, 10).average(), 1399);
        assert_eq!(summary(&[(0, 1000, -1)], 0, 10).average(), 1000);
    }

    #[test]
    fn out_of_stock_is_rounded_up_and_counts_the_time_before_the_first_point() {
        assert_eq!(summary(&[(1, 100, 0)], 0, 1000).out_of_stock_percentage(), 1);
        assert_eq!(summary(&[(0, 100, 0)], 0, 1000).out_of_stock_percentage(), 0);
        assert_eq!(summary(&[(0, -1, 0)], 0, 1000).out_of_stock_percentage(), 100);
        assert_eq!(summary(&[], 0, 1000).out_of_stock_percentage(), 100);
    }

    #[test]
    fn the_value_in_force_at_the_start_counts_from_the_start() {
        let summary = summary(&[(0, 100, 0), (500, 80, 0), (700, 120, 0)], 400, 1000);
        assert_eq!(summary.at_start, 100);
        assert_eq!(summary.min, Some((500, 80)));
        assert_eq!(summary.max, Some((700, 120)));
        assert_eq!(summary.drops, 1);
        let earlier = Summary::of(&points(&[(0, 100, 0), (500, 80, 0)]), Window { from: 100, to: 400 }, 1000);
        assert_eq!((earlier.min, earlier.max), (Some((100, 100)), Some((100, 100))));
    }

    #[test]
    fn a_series_that_never_was_in_stock_has_no_average_and_no_extremes() {
        let summary = summary(&[(0, -1, 0)], 10, 20);
        assert_eq!((summary.average(), summary.at_start, summary.min, summary.max), (-1, -1, None, None));
    }
}
