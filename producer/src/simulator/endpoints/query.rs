//! `/query`: Keepa's product finder. Filters are joined by AND, the values of a list by OR.

use std::sync::Arc;

use serde_json::{Map, Value};
use shared::domain::Asin;

use super::super::envelope::{Payload, Rejection};
use super::super::history::History;
use super::super::price_type::{SALES, by_name};
use super::super::product::monthly_sold;
use super::super::statistics::{Summary, Window};
use super::super::world::View;
use super::{Call, has_all_words};

/// Results that can be paged through.
const MOST_RESULTS: usize = 10_000;

pub(super) fn answer(call: &Call<'_>) -> Result<Payload, Rejection> {
    let marketplace = call.parameters.marketplace()?;
    let wants_insights = call.parameters.flag("stats", false)?;
    let selection = call.selection()?;
    let invalid = |name: &str| Rejection::parameter(name);
    let number = |name: &str, default: usize| match selection.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => whole(value).and_then(|number| usize::try_from(number).ok()).ok_or_else(|| invalid(name)),
    };
    let page = number("page", 0)?;
    let per_page = number("perPage", 50)?.max(50);
    if page.saturating_mul(per_page) > MOST_RESULTS || per_page > MOST_RESULTS {
        return Err(invalid("perPage"));
    }
    let filters = filters(&selection)?;
    let order = order(&selection)?;
    let mut found: Vec<(Vec<i64>, Asin)> = Vec::new();
    for view in call.world.views(marketplace, call.now) {
        let facts = Facts { view, history: view.history() };
        if filters.iter().all(|filter| filter.admits(&facts)) {
            found.push((
                order.iter().map(|(metric, descending)| facts.sort_key(metric, *descending)).collect(),
                view.item.asin,
            ));
        }
    }
    found.sort_unstable();
    let total = found.len();
    let asins: Vec<Asin> = found.into_iter().skip(page * per_page).take(per_page).map(|(_, asin)| asin).collect();
    let cost = 10 + i64::try_from(asins.len().div_ceil(100)).expect("a small number") + if wants_insights { 30 } else { 0 };
    let payload = Payload::new(cost).with("asinList", &asins).with("totalResults", &total);
    Ok(if wants_insights {
        payload.with("searchInsights", &serde_json::json!({ "productCount": total }))
    } else {
        payload
    })
}

/// A product with what its filters ask about.
struct Facts<'w> {
    view: View<'w>,
    history: Arc<History>,
}

/// A number that a filter can bound or a sort can use.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Metric {
    Current(usize),
    /// Mean of so many days.
    Average(i32, usize),
    /// Mean of so many days less the current value.
    Delta(i32, usize),
    DeltaPercent(i32, usize),
    OutOfStock(i32, usize),
    RankDrops(i32),
    MonthlySold,
    LastPriceChange,
    LastUpdate,
    TrackingSince,
    PackageWeight,
}

impl Metric {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "monthlySold" => return Some(Metric::MonthlySold),
            "lastPriceChange" => return Some(Metric::LastPriceChange),
            "lastUpdate" => return Some(Metric::LastUpdate),
            "trackingSince" => return Some(Metric::TrackingSince),
            "packageWeight" => return Some(Metric::PackageWeight),
            _ => {}
        }
        if let Some(days) = text.strip_prefix("salesRankDrops") {
            return days.parse().ok().map(Metric::RankDrops);
        }
        let (metric, price_type) = text.split_once('_')?;
        let price_type = by_name(price_type)?;
        let days = |prefix: &str| {
            metric
                .strip_prefix(prefix)
                .and_then(|days| days.parse().ok())
                .filter(|days| (1..=365).contains(days))
        };
        if metric == "current" {
            return Some(Metric::Current(price_type));
        }
        None.or_else(|| days("avg").map(|days| Metric::Average(days, price_type)))
            .or_else(|| days("deltaPercent").map(|days| Metric::DeltaPercent(days, price_type)))
            .or_else(|| days("delta").map(|days| Metric::Delta(days, price_type)))
            .or_else(|| days("outOfStockPercentage").map(|days| Metric::OutOfStock(days, price_type)))
    }
}

impl Facts<'_> {
    fn summary(&self, days: i32, price_type: usize) -> Summary {
        let window = Window::last_days(days, self.view.now);
        Summary::of(self.history.points_since(price_type, window.from), window, self.view.now)
    }

    fn current(&self, price_type: usize) -> i32 {
        self.history.points(price_type).last().map_or(-1, |point| point.landed())
    }

    /// `None` where there is nothing to measure.
    fn measure(&self, metric: &Metric) -> Option<i64> {
        let known = |value: i32| (value >= 0).then(|| i64::from(value));
        match *metric {
            Metric::Current(price_type) => known(self.current(price_type)),
            Metric::Average(days, price_type) => known(self.summary(days, price_type).average()),
            Metric::Delta(days, price_type) => Some(known(self.summary(days, price_type).average())? - known(self.current(price_type))?),
            Metric::DeltaPercent(days, price_type) => {
                let average = known(self.summary(days, price_type).average()).filter(|average| *average > 0)?;
                Some(100 * (average - known(self.current(price_type))?) / average)
            }
            Metric::OutOfStock(days, price_type) => known(self.summary(days, price_type).out_of_stock_percentage()),
            Metric::RankDrops(days) => known(self.summary(days, SALES).drops),
            Metric::MonthlySold => monthly_sold(&self.view).and_then(known),
            Metric::LastPriceChange => known(self.history.last_price_change()),
            Metric::LastUpdate => known(self.view.observed),
            Metric::TrackingSince => known(self.view.listing.tracking_since),
            Metric::PackageWeight => Some(self.view.item.weight),
        }
    }

    /// Ascending order of the keys is the order asked for; products without the value come last.
    fn sort_key(&self, metric: &Metric, descending: bool) -> i64 {
        match self.measure(metric) {
            None => i64::MAX,
            Some(value) if descending => -value,
            Some(value) => value,
        }
    }
}

enum Filter {
    AtLeast(Metric, i64),
    AtMost(Metric, i64),
    RootCategory(Vec<i64>),
    Within(Vec<i64>),
    NotWithin(Vec<i64>),
    Brand(Vec<String>),
    Title(Vec<String>),
    ProductType(Vec<i64>),
    Lowest { days: Option<i32>, price_type: usize, wanted: bool },
}

impl Filter {
    fn admits(&self, facts: &Facts<'_>) -> bool {
        let view = &facts.view;
        let path = || view.tree.path(view.item.place);
        match self {
            // -1 asks for "none", as in `current_AMAZON_lte: -1`.
            Filter::AtLeast(metric, bound) => facts.measure(metric).map_or(*bound < 0, |value| value >= *bound),
            Filter::AtMost(metric, bound) => facts.measure(metric).map_or(*bound < 0, |value| value <= *bound),
            Filter::RootCategory(ids) => ids.contains(&path()[0].id),
            Filter::Within(ids) => path().iter().any(|category| ids.contains(&category.id)),
            Filter::NotWithin(ids) => !path().iter().any(|category| ids.contains(&category.id)),
            Filter::Brand(brands) => brands.iter().any(|brand| brand.eq_ignore_ascii_case(view.item.brand)),
            Filter::Title(words) => has_all_words(&view.item.title(view.market), words),
            Filter::ProductType(types) => types.contains(&0),
            Filter::Lowest { days, price_type, wanted } => {
                let current = facts.current(*price_type);
                let least = facts.summary(days.unwrap_or(36_500), *price_type).min;
                (current > 0 && least.is_some_and(|(_, least)| current <= least)) == *wanted
            }
        }
    }
}

/// The filters of a selection. What Keepa filters by and the simulator knows nothing of is passed over.
fn filters(selection: &Map<String, Value>) -> Result<Vec<Filter>, Rejection> {
    let mut filters = Vec::new();
    for (name, value) in selection {
        let invalid = || Rejection::parameter(name);
        if value.is_null() {
            continue;
        }
        let ids = || one_or_more(value, whole).ok_or_else(invalid);
        let texts = || one_or_more(value, |value| value.as_str().map(str::to_owned)).ok_or_else(invalid);
        filters.push(match name.as_str() {
            "rootCategory" => Filter::RootCategory(ids()?),
            "categories_include" => Filter::Within(ids()?),
            "categories_exclude" => Filter::NotWithin(ids()?),
            "brand" | "manufacturer" => Filter::Brand(texts()?),
            "title" => Filter::Title(
                texts()?
                    .iter()
                    .flat_map(|text| text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>())
                    .collect(),
            ),
            "productType" => Filter::ProductType(ids()?),
            other => {
                if let Some((metric, is_lower)) = bound(other) {
                    let limit = whole(value).ok_or_else(invalid)?;
                    if is_lower {
                        Filter::AtLeast(metric, limit)
                    } else {
                        Filter::AtMost(metric, limit)
                    }
                } else if let Some((days, price_type)) = lowest(other) {
                    Filter::Lowest {
                        days,
                        price_type,
                        wanted: value.as_bool().ok_or_else(invalid)?,
                    }
                } else {
                    continue;
                }
            }
        });
    }
    Ok(filters)
}

fn bound(name: &str) -> Option<(Metric, bool)> {
    let (metric, is_lower) = match (name.strip_suffix("_gte"), name.strip_suffix("_lte")) {
        (Some(metric), _) => (metric, true),
        (_, Some(metric)) => (metric, false),
        _ => return None,
    };
    Metric::parse(metric).map(|metric| (metric, is_lower))
}

fn lowest(name: &str) -> Option<(Option<i32>, usize)> {
    if let Some(price_type) = name.strip_prefix("isLowest90_") {
        return by_name(price_type).map(|price_type| (Some(90), price_type));
    }
    by_name(name.strip_prefix("isLowest_")?).map(|price_type| (None, price_type))
}

/// `[["current_SALES","asc"]]`, at most three, `true` for descending.
fn order(selection: &Map<String, Value>) -> Result<Vec<(Metric, bool)>, Rejection> {
    let invalid = || Rejection::parameter("sort");
    let Some(sort) = selection.get("sort").filter(|sort| !sort.is_null()) else {
        return Ok(vec![(Metric::Current(SALES), false)]);
    };
    let keys = sort.as_array().filter(|keys| keys.len() <= 3).ok_or_else(invalid)?;
    keys.iter()
        .map(|key| {
            let metric = key.get(0).and_then(Value::as_str).and_then(Metric::parse).ok_or_else(invalid)?;
            match key.get(1).and_then(Value::as_str) {
                Some("asc") => Ok((metric, false)),
                Some("desc") => Ok((metric, true)),
                _ => Err(invalid()),
            }
        })
        .collect()
}

/// Keepa takes numbers as numbers and as text.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

/// One value, or a list of at most fifty.
fn one_or_more<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Array(values) if values.len() <= 50 => values.iter().map(read).collect(),
        Value::Array(_) => None,
        value => read(value).map(|value| vec![value]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_metrics_are_read() {
        for (text, expected) in [
            ("current_SALES", Some(Metric::Current(3))),
            ("avg90_BUY_BOX_SHIPPING", Some(Metric::Average(90, 18))),
            ("delta7_NEW", Some(Metric::Delta(7, 1))),
            ("deltaPercent30_AMAZON", Some(Metric::DeltaPercent(30, 0))),
            ("outOfStockPercentage90_NEW", Some(Metric::OutOfStock(90, 1))),
            ("salesRankDrops30", Some(Metric::RankDrops(30))),
            ("current_BUYBOX", None),
            ("avg_NEW", None),
            ("nonsense", None),
        ] {
            assert_eq!(Metric::parse(text), expected, "{text}");
        }
    }
}
