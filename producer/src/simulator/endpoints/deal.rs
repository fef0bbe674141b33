//! `/deal`: products whose price changed within the last twelve hours.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use shared::domain::Marketplace;

use super::super::envelope::{Payload, Rejection};
use super::super::history::{History, Point};
use super::super::parameters::not_brazil;
use super::super::price_type::{PRICE_TYPES, SALES, is_deal_type};
use super::super::statistics::{Summary, Window};
use super::super::vocabulary::DEPARTMENTS;
use super::super::wire;
use super::super::world::View;
use super::Call;

const PAGE: usize = 150;
/// Minutes.
const RECENT: i32 = 12 * 60;
/// The date ranges in days: a "day" is an average of 48 hours.
const RANGES: [i32; 4] = [2, 7, 31, 90];
/// The root category of a product whose category Keepa does not know.
const UNKNOWN_ROOT: i64 = i64::MAX;

/// What is filtered by. Keepa knows more fields; they are passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Selection {
    page: usize,
    domain_id: Option<i64>,
    price_types: Vec<i64>,
    date_range: usize,
    delta_range: Option<[i64; 2]>,
    delta_percent_range: Option<[i64; 2]>,
    delta_last_range: Option<[i64; 2]>,
    current_range: Option<[i64; 2]>,
    sales_rank_range: Option<[i64; 2]>,
    min_rating: Option<i32>,
    is_lowest: bool,
    is_out_of_stock: bool,
    title_search: Option<String>,
    include_categories: Option<Vec<i64>>,
    exclude_categories: Option<Vec<i64>>,
    is_range_enabled: Option<bool>,
    sort_type: Option<i32>,
}

pub(super) fn answer(call: &Call<'_>) -> Result<Payload, Rejection> {
    let selection: Selection = serde_json::from_value(call.selection()?.into()).map_err(|_| Rejection::parameter("selection"))?;
    let marketplace = match selection.domain_id {
        Some(id) => Marketplace::from_keepa_id(id)
            .map_err(|_| Rejection::parameter("domainId"))
            .and_then(not_brazil)?,
        None => call.parameters.marketplace_but_brazil()?,
    };
    let price_type = match selection.price_types[..] {
        [price_type] if is_deal_type(price_type) => usize::try_from(price_type).expect("an index"),
        _ => return Err(Rejection::parameter("priceTypes")),
    };
    if selection.date_range >= RANGES.len() {
        return Err(Rejection::parameter("dateRange"));
    }
    if !matches!(selection.sort_type, None | Some(-4..=-1 | 1..=4)) {
        return Err(Rejection::parameter("sortType"));
    }
    if selection.page > 10_000 / PAGE {
        return Err(Rejection::parameter("page"));
    }
    let mut found: Vec<Candidate<'_>> = call
        .world
        .views(marketplace, call.now)
        .map(|view| Candidate { view, history: view.history() })
        .filter(|candidate| candidate.is_wanted(&selection, price_type))
        .collect();
    let (sort, reversed) = (selection.sort_type.unwrap_or(1).abs(), selection.sort_type.is_some_and(|sort| sort < 0));
    // The ASIN ends ties, so that pages never overlap.
    found.sort_by_cached_key(|candidate| {
        let key = candidate.sort_key(sort, selection.date_range, price_type);
        (if reversed { -key } else { key }, candidate.view.item.asin)
    });
    let (ids, names, counts) = categories(&found);
    let deals = wire::Deals {
        dr: found
            .iter()
            .skip(selection.page * PAGE)
            .take(PAGE)
            .map(|candidate| candidate.deal(price_type))
            .collect(),
        dr_date_index: Vec::new(),
        category_ids: ids,
        category_names: names,
        category_count: counts,
    };
    Ok(Payload::new(5).with("deals", &deals).with("dealsCached", &false))
}

struct Candidate<'w> {
    view: View<'w>,
    history: Arc<History>,
}

impl Candidate<'_> {
    fn last(&self, price_type: usize) -> Option<Point> {
        self.history.points(price_type).last().copied()
    }

    fn current(&self, price_type: usize) -> i32 {
        self.last(price_type).map_or(-1, Point::landed)
    }

    fn previous(&self, price_type: usize) -> i32 {
        self.history.points(price_type).iter().rev().nth(1).copied().map_or(-1, Point::landed)
    }

    /// -2 = no data, -1 = no offer in that time.
    fn average(&self, range: usize, price_type: usize) -> i32 {
        if self.last(price_type).is_none() {
            return -2;
        }
        let window = Window::last_days(RANGES[range], self.view.now);
        Summary::of(self.history.points_since(price_type, window.from), window, self.view.now).average()
    }

    /// Positive = dropped; 0 = unchanged or unknown.
    fn delta(&self, range: usize, price_type: usize) -> i32 {
        match (self.average(range, price_type), self.current(price_type)) {
            (average, current) if average > 0 && current > 0 => average - current,
            _ => 0,
        }
    }

    fn delta_percent(&self, range: usize, price_type: usize) -> i32 {
        let average = self.average(range, price_type);
        if average > 0 {
            i32::try_from(100 * i64::from(self.delta(range, price_type)) / i64::from(average)).unwrap_or(i32::MIN)
        } else {
            0
        }
    }

    fn delta_last(&self, price_type: usize) -> i32 {
        match (self.previous(price_type), self.current(price_type)) {
            (previous, current) if previous > 0 && current > 0 => previous - current,
            _ => 0,
        }
    }

    fn root(&self) -> i64 {
        let is_unknown = self.view.item.noise.named("deal").chance(0.02);
        if is_unknown {
            UNKNOWN_ROOT
        } else {
            self.view.tree.path(self.view.item.place)[0].id
        }
    }

    fn is_wanted(&self, selection: &Selection, price_type: usize) -> bool {
        let Some(last) = self.last(price_type) else { return false };
        let within = |range: Option<[i64; 2]>, value: i32| match range {
            Some([least, most]) if selection.is_range_enabled != Some(false) => (least..=most).contains(&i64::from(value)),
            _ => true,
        };
        let title_fits = || {
            let Some(text) = &selection.title_search else { return true };
            let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
            super::has_all_words(&self.view.item.title(self.view.market), &words)
        };
        let path = || self.view.tree.path(self.view.item.place).map(|category| category.id);
        let in_any = |ids: &Vec<i64>| path().iter().any(|id| ids.contains(id));
        let range = selection.date_range;
        (last.landed() < 0) == selection.is_out_of_stock
            && last.minute >= self.view.now - RECENT
            && title_fits()
            && selection.include_categories.as_ref().is_none_or(|ids| ids.is_empty() || in_any(ids))
            && !selection.exclude_categories.as_ref().is_some_and(in_any)
            && within(selection.current_range, last.landed())
            && within(selection.sales_rank_range, self.current(SALES))
            && within(selection.delta_range, self.delta(range, price_type))
            && within(selection.delta_percent_range, self.delta_percent(range, price_type))
            && within(selection.delta_last_range, self.delta_last(price_type))
            && selection.min_rating.is_none_or(|least| self.current(super::super::price_type::RATING) >= least)
            && (!selection.is_lowest || self.is_lowest(price_type))
    }

    fn is_lowest(&self, price_type: usize) -> bool {
        let ever = Summary::of(
            self.history.points(price_type),
            Window {
                from: i32::MIN,
                to: self.view.now,
            },
            self.view.now,
        );
        ever.min.is_some_and(|(_, least)| self.current(price_type) <= least)
    }

    /// Ascending: newest first, greatest drop first, best rank first.
    fn sort_key(&self, sort: i32, range: usize, price_type: usize) -> i64 {
        i64::from(match sort {
            2 => -self.delta(range, price_type),
            3 => match self.current(SALES) {
                rank if rank > 0 => rank,
                _ => i32::MAX,
            },
            4 => -self.delta_percent(range, price_type),
            _ => -self.last(price_type).map_or(0, |point| point.minute),
        })
    }

    fn deal(&self, price_type: usize) -> wire::Deal {
        let view = &self.view;
        let per_type = |value: &dyn Fn(usize) -> i32| -> Vec<i32> { (0..PRICE_TYPES).map(value).collect() };
        let per_range = |value: &dyn Fn(usize, usize) -> i32| -> Vec<Vec<i32>> {
            (0..RANGES.len())
                .map(|range| (0..PRICE_TYPES).map(|price_type| value(range, price_type)).collect())
                .collect()
        };
        let drops = |days: i32| {
            let window = Window::last_days(days, view.now);
            Summary::of(self.history.points_since(SALES, window.from), window, view.now).drops
        };
        let path = view.tree.path(view.item.place);
        wire::Deal {
            asin: view.item.asin,
            title: view.item.title(view.market),
            image: view.item.images.first().map(|name| name.clone().into_bytes()),
            root_cat: self.root(),
            categories: vec![path[1].id, path[2].id],
            current: per_type(&|price_type| self.current(price_type)),
            current_since: per_type(&|price_type| self.last(price_type).map_or(-1, |point| point.minute)),
            delta_last: per_type(&|price_type| self.delta_last(price_type)),
            delta: per_range(&|range, price_type| self.delta(range, price_type)),
            delta_percent: per_range(&|range, price_type| self.delta_percent(range, price_type)),
            avg: per_range(&|range, price_type| self.average(range, price_type)),
            creation_date: self.last(price_type).map_or(view.observed, |point| point.minute),
            last_update: view.observed,
            lightning_start: 0,
            lightning_end: 0,
            warehouse_condition: 0,
            warehouse_condition_comment: None,
            back_in_stock: (0..PRICE_TYPES)
                .map(|price_type| self.current(price_type) > 0 && self.history.points(price_type).len() > 1 && self.previous(price_type) < 0)
                .collect(),
            date_interval_index: 0,
            sales_rank_drops30: drops(30),
            sales_rank_drops90: drops(90),
            sales_rank_drops180: drops(180),
            sales_rank_drops365: drops(365),
            flags: None,
        }
    }
}

/// The root categories of all that was found, their names and counts, index by index.
fn categories(found: &[Candidate<'_>]) -> (Vec<i64>, Vec<&'static str>, Vec<i32>) {
    let mut counts: BTreeMap<i64, (&'static str, i32)> = BTreeMap::new();
    for candidate in found {
        let root = candidate.root();
        let name = if root == UNKNOWN_ROOT {
            "?"
        } else {
            DEPARTMENTS[candidate.view.item.place.department].name[candidate.view.market]
        };
        counts.entry(root).or_insert((name, 0)).1 += 1;
    }
    let ids = counts.keys().copied().collect();
    let (names, counts) = counts.into_values().unzip();
    (ids, names, counts)
}
