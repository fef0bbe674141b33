//! What Keepa remembers of a listing: one series per price type, points on change only.
//!
//! Older history is coarse (a point every day or two, still coarser after 400 days); the last hours
//! come at the world's full speed. What was computed is kept, and grows with time.

use std::sync::Arc;

use super::listing::{FOLLOWED, Listing, Seller};
use super::price_type::{AMAZON, BUY_BOX_SHIPPING, NEW, USED};

/// Values hold from their minute until that of the next point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) minute: i32,
    pub(super) value: i32,
    /// 0 where the type has no shipping.
    pub(super) shipping: i32,
}

impl Point {
    /// Price and shipping together, as statistics count them; -1 = none.
    pub(super) fn landed(self) -> i32 {
        if self.value < 0 { -1 } else { self.value + self.shipping.max(0) }
    }
}

/// After this many minutes (400 days) the history gets coarser still.
const LONG_AGO: i64 = 400 * 1440;
/// By this factor.
const COARSER: i64 = 4;

/// Series in the order of [`FOLLOWED`], then the buy box holders.
const SERIES: usize = FOLLOWED.len() + 1;
const SELLER_SERIES: usize = FOLLOWED.len();

/// The history of a listing, up to and with one segment.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    series: [Vec<Point>; SERIES],
    /// The segment that the last points come from.
    segment: i64,
    /// The coarse part: up to which segment it goes, and how many points of each series belong to it.
    coarse_segment: i64,
    coarse_lengths: [usize; SERIES],
}

impl History {
    /// The history of a listing as of a minute. `kept` is taken as far as it is still right, and brought up to date.
    pub(super) fn at(listing: &Listing, observed: i32, kept: &mut Option<Arc<History>>) -> Arc<Self> {
        let segment = listing.segment_at(observed);
        let coarse_segment = coarse_segment_at(listing, segment);
        let history = match kept {
            Some(history) if history.coarse_segment == coarse_segment => history,
            _ => kept.insert(Arc::new(History::coarse(listing, coarse_segment))),
        };
        if history.segment != segment {
            Arc::make_mut(history).recount_recent(listing, segment);
        }
        Arc::clone(history)
    }

    /// The part that changes only every day or two.
    fn coarse(listing: &Listing, coarse_segment: i64) -> Self {
        let mut history = History {
            segment: i64::MIN,
            coarse_segment,
            ..History::default()
        };
        let stride = listing.slow_stride();
        let first = listing.segment_at(listing.tracking_since);
        if coarse_segment > first {
            history.append(listing, first, listing.tracking_since);
            let long_ago = coarse_segment - listing.segments_in(LONG_AGO);
            let mut segment = first.div_euclid(stride) * stride + stride;
            while segment <= coarse_segment {
                history.append(listing, segment, listing.start_of(segment));
                let coarser = stride * COARSER;
                segment = if segment + coarser < long_ago {
                    segment.div_euclid(coarser) * coarser + coarser
                } else {
                    segment + stride
                };
            }
        }
        history.coarse_lengths = history.series.each_ref().map(Vec::len);
        history
    }

    /// Replaces everything after the coarse part.
    fn recount_recent(&mut self, listing: &Listing, segment: i64) {
        for (series, length) in self.series.iter_mut().zip(self.coarse_lengths) {
            series.truncate(length);
        }
        let first = listing.segment_at(listing.tracking_since);
        for recent in (segment - listing.recent_segments() + 1).max(first)..=segment {
            self.append(listing, recent, listing.start_of(recent).max(listing.tracking_since));
        }
        self.segment = segment;
    }

    /// Adds what a segment changed.
    fn append(&mut self, listing: &Listing, segment: i64, minute: i32) {
        let quote = listing.quote(segment);
        for (index, series) in self.series.iter_mut().enumerate() {
            let price_type = FOLLOWED.get(index).copied();
            let (value, shipping) = price_type.map_or((code_of(quote.buy_box_seller), 0), |price_type| quote.value(price_type));
            let is_new = match series.last() {
                Some(last) => (last.value, last.shipping) != (value, shipping),
                // A series may begin with "none" where Keepa looks for offers anyway, else it begins with its first value.
                None => value >= 0 || matches!(price_type, Some(AMAZON | NEW | USED | BUY_BOX_SHIPPING)),
            };
            if is_new {
                series.push(Point { minute, value, shipping });
            }
        }
    }

    /// The points of a price type; empty where there never was a value.
    pub(super) fn points(&self, price_type: usize) -> &[Point] {
        FOLLOWED
            .iter()
            .position(|followed| *followed == price_type)
            .map_or(&[], |index| &self.series[index])
    }

    /// The points of a price type from the one in force at a minute on.
    pub(super) fn points_since(&self, price_type: usize, minute: i32) -> &[Point] {
        let points = self.points(price_type);
        &points[points.partition_point(|point| point.minute <= minute).saturating_sub(1)..]
    }

    /// Who held the buy box from when on.
    pub(super) fn buy_box_sellers(&self) -> impl DoubleEndedIterator<Item = (i32, Seller)> {
        self.series[SELLER_SERIES].iter().map(|point| (point.minute, seller_of(point.value)))
    }

    /// The last change of a price that Keepa counts as one.
    pub(super) fn last_price_change(&self) -> i32 {
        [AMAZON, NEW, USED]
            .into_iter()
            .filter_map(|price_type| self.points(price_type).last())
            .map(|point| point.minute)
            .max()
            .unwrap_or(0)
    }
}

/// The last segment that belongs to the coarse part when a segment is the present one.
fn coarse_segment_at(listing: &Listing, segment: i64) -> i64 {
    let stride = listing.slow_stride();
    (segment - listing.recent_segments()).div_euclid(stride) * stride
}

fn code_of(seller: Seller) -> i32 {
    match seller {
        Seller::Nobody => -1,
        Seller::Amazon => 0,
        Seller::Merchant(index) => i32::try_from(index).expect("a short list of sellers") + 1,
    }
}

fn seller_of(code: i32) -> Seller {
    match usize::try_from(code) {
        Err(_) => Seller::Nobody,
        Ok(0) => Seller::Amazon,
        Ok(number) => Seller::Merchant(number - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::assortment::Assortment;
    use super::super::noise::Noise;
    use super::super::price_type::{PRICE_TYPES, SALES};
    use super::*;

    const NOW: i32 = 8_358_000;

    fn listings() -> Vec<Listing> {
        let assortment = Assortment::new(Noise::new(1), 60);
        assortment
            .items
            .iter()
            .flat_map(|item| [0, 4].map(|market| Listing::new(item, market, 150.0)))
            .filter(|listing| listing.is_known(NOW))
            .collect()
    }

    #[test]
    fn times_grow_in_steps_of_two_and_never_pass_what_was_observed() {
        for listing in listings() {
            let history = History::at(&listing, NOW, &mut None);
            for price_type in 0..PRICE_TYPES {
                let minutes: Vec<i32> = history.points(price_type).iter().map(|point| point.minute).collect();
                assert!(minutes.windows(2).all(|pair| pair[0] < pair[1]), "{price_type} {minutes:?}");
                assert!(minutes.iter().all(|minute| minute % 2 == 0 && *minute <= NOW));
            }
        }
    }

    #[test]
    fn the_last_points_are_the_offers_of_now_and_the_first_lie_more_than_400_days_back() {
        for listing in listings() {
            let history = History::at(&listing, NOW, &mut None);
            let quote = listing.quote_at(NOW);
            for price_type in FOLLOWED {
                let last = history.points(price_type).last().map_or(-1, |point| point.value);
                assert_eq!(last, quote.value(price_type).0, "{price_type}");
            }
            if let Some(first) = history.points(SALES).first() {
                assert!(first.minute < NOW - 400 * 1440);
                assert!((150..900).contains(&history.points(SALES).len()), "{}", history.points(SALES).len());
            }
        }
    }

    #[test]
    fn a_history_brought_up_to_date_is_the_same_as_a_fresh_one() {
        for listing in listings() {
            let mut kept = None;
            for minute in (NOW - 20_000..NOW).step_by(1_234) {
                let cached = History::at(&listing, minute, &mut kept);
                let fresh = History::at(&listing, minute, &mut None);
                for price_type in FOLLOWED {
                    assert_eq!(cached.points(price_type), fresh.points(price_type));
                }
            }
        }
    }
}
