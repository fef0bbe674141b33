//! `/category`: categories by id, and those above them.

use std::collections::BTreeMap;

use shared::domain::Marketplace;

use super::super::category_tree::{Category, CategoryTree};
use super::super::envelope::{Payload, Rejection};
use super::super::wire;
use super::Call;

pub(super) fn answer(call: &Call<'_>) -> Result<Payload, Rejection> {
    let marketplace = call.parameters.marketplace_but_brazil()?;
    let parents = call.parameters.flag("parents", false)?;
    let ids: Result<Vec<i64>, _> = call
        .parameters
        .list("category", 10)?
        .into_iter()
        .map(|id| id.parse().map_err(|_| Rejection::parameter("category")))
        .collect();
    let ids = ids?;
    let found: Vec<&Category> = match call.world.tree(marketplace) {
        None => Vec::new(),
        Some(tree) if ids == [0] => tree.roots().collect(),
        Some(tree) => ids.iter().filter_map(|id| tree.get(*id)).collect(),
    };
    Ok(payload(call, marketplace, &found, parents))
}

/// The categories, and if asked those above them, as maps by id; one token.
pub(super) fn payload(call: &Call<'_>, marketplace: Marketplace, found: &[&Category], parents: bool) -> Payload {
    let payload = Payload::new(1).with("categories", &by_id(call, marketplace, found));
    let Some(tree) = call.world.tree(marketplace).filter(|_| parents) else {
        return payload;
    };
    let above: Vec<&Category> = found.iter().flat_map(|category| ancestors_and_self(tree, category)).collect();
    payload.with("categoryParents", &by_id(call, marketplace, &above))
}

fn ancestors_and_self<'t>(tree: &'t CategoryTree, category: &'t Category) -> Vec<&'t Category> {
    let mut all = tree.ancestors(category);
    all.push(category);
    all
}

fn by_id(call: &Call<'_>, marketplace: Marketplace, categories: &[&Category]) -> BTreeMap<i64, wire::Category> {
    categories
        .iter()
        .map(|category| (category.id, described(call, marketplace, category)))
        .collect()
}

fn described(call: &Call<'_>, marketplace: Marketplace, category: &Category) -> wire::Category {
    let held: Vec<_> = call
        .world
        .views(marketplace, call.now)
        .filter(|view| category.part.holds(view.item.place))
        .collect();
    let quotes: Vec<_> = held.iter().map(|view| view.quote()).collect();
    let ranks = || quotes.iter().map(|quote| quote.rank).filter(|rank| *rank > 0);
    let prices: Vec<i64> = quotes
        .iter()
        .filter(|quote| quote.buy_box.0 > 0)
        .map(|quote| i64::from(quote.buy_box.0))
        .collect();
    let average = (!prices.is_empty()).then(|| i32::try_from(prices.iter().sum::<i64>() / prices.len() as i64).unwrap_or(i32::MAX));
    let share = |count: usize| (!quotes.is_empty()).then(|| (100.0 * count as f64 / quotes.len() as f64) as f32);
    let brands: std::collections::BTreeSet<&str> = held.iter().map(|view| view.item.brand).collect();
    wire::Category {
        domain_id: marketplace.keepa_id(),
        cat_id: category.id,
        name: category.name,
        context_free_name: category.full_name.clone(),
        website_display_group: None,
        children: (!category.children.is_empty()).then(|| category.children.clone()),
        parent: category.parent,
        highest_rank: ranks().min().unwrap_or(-1),
        lowest_rank: ranks().max().unwrap_or(-1),
        product_count: i32::try_from(held.len()).unwrap_or(i32::MAX),
        is_browse_node: true,
        avg_buy_box: average,
        avg_buy_box90: average,
        avg_buy_box365: average,
        avg_buy_box_deviation: None,
        avg_review_count: None,
        avg_rating: None,
        is_fba_percent: share(quotes.iter().filter(|quote| quote.fba > 0).count()),
        sold_by_amazon_percent: share(quotes.iter().filter(|quote| quote.amazon > 0).count()),
        has_coupon_percent: None,
        avg_offer_count_new: None,
        avg_offer_count_used: None,
        seller_count: None,
        brand_count: i32::try_from(brands.len()).ok(),
    }
}
