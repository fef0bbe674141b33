//! `/bestsellers`: the ASINs of a category, best rank first.

use shared::domain::{Asin, KeepaMinutes};

use super::super::category_tree::Category;
use super::super::envelope::{Payload, Rejection};
use super::super::wire::BestSellersList;
use super::Call;

pub(super) fn answer(call: &Call<'_>) -> Result<Payload, Rejection> {
    let parameters = call.parameters;
    let marketplace = parameters.marketplace_but_brazil()?;
    let wanted = parameters.required("category")?;
    if !matches!(parameters.number("range", 0..=180)?, None | Some(0 | 30 | 90 | 180)) {
        return Err(Rejection::parameter("range"));
    }
    parameters.flag("variations", false)?;
    parameters.flag("sublist", false)?;
    parameters.number("month", 1..=12)?;
    parameters.number("year", 2010..=2100)?;
    let category = call.world.tree(marketplace).and_then(|tree| match wanted.parse() {
        Ok(id) => tree.get(id),
        // A product group goes by its name; its list has the category id 0.
        Err(_) => tree.roots().find(|root| root.name.eq_ignore_ascii_case(wanted)),
    });
    // No list costs nothing.
    let Some(category) = category else { return Ok(Payload::new(0)) };
    let list = BestSellersList {
        domain_id: marketplace.keepa_id(),
        last_update: KeepaMinutes::from_unix(call.now).0 / 60 * 60,
        category_id: if wanted.parse::<i64>().is_ok() { category.id } else { 0 },
        asin_list: by_rank(call, marketplace, category),
    };
    Ok(Payload::new(50).with("bestSellersList", &list))
}

fn by_rank(call: &Call<'_>, marketplace: shared::domain::Marketplace, category: &Category) -> Vec<Asin> {
    let mut ranked: Vec<(i32, Asin)> = call
        .world
        .views(marketplace, call.now)
        .filter(|view| category.part.holds(view.item.place))
        .map(|view| (view.quote().rank, view.item.asin))
        .filter(|(rank, _)| *rank > 0)
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, asin)| asin).collect()
}
