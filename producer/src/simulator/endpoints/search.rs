//! `/search`: categories or products by words.

use shared::domain::Marketplace;

use super::super::envelope::{Payload, Rejection};
use super::super::product::product;
use super::super::world::{ProductOptions, View};
use super::{Call, category, has_all_words, search_words};

pub(super) fn answer(call: &Call<'_>) -> Result<Payload, Rejection> {
    let marketplace = call.parameters.marketplace_but_brazil()?;
    let words = search_words(call.parameters.required("term")?).ok_or_else(|| Rejection::parameter("term"))?;
    match call.parameters.required("type")? {
        "category" => {
            let parents = call.parameters.flag("parents", false)?;
            let tree = call.world.tree(marketplace);
            let found: Vec<_> = tree
                .into_iter()
                .flat_map(|tree| tree.all())
                .filter(|category| has_all_words(category.name, &words))
                .take(50)
                .collect();
            Ok(category::payload(call, marketplace, &found, parents))
        }
        "product" => products(call, marketplace, &words),
        _ => Err(Rejection::parameter("type")),
    }
}

fn products(call: &Call<'_>, marketplace: Marketplace, words: &[String]) -> Result<Payload, Rejection> {
    let asins_only = call.parameters.flag("asins-only", false)?;
    let options = ProductOptions {
        history: call.parameters.flag("history", true)?,
        stats: call.parameters.stats()?,
        rating: call.parameters.flag("rating", false)?,
        ..ProductOptions::default()
    };
    let page = call.parameters.number("page", 0..=9)?.map(|page| usize::try_from(page).expect("within bounds"));
    let mut found: Vec<(i32, View<'_>)> = call
        .world
        .views(marketplace, call.now)
        .filter(|view| has_all_words(&view.item.title(view.market), words))
        .map(|view| (view.quote().rank, view))
        .collect();
    // Products without a rank come last, as with Amazon's own search.
    found.sort_by_key(|(rank, view)| (*rank < 0, *rank, view.item.asin));
    // Pages of ten by the old way of paging, else the first twenty.
    let (skipped, taken) = page.map_or((0, 20), |page| (page * 10, 10));
    let shown: Vec<View<'_>> = found.into_iter().skip(skipped).take(taken).map(|(_, view)| view).collect();
    let payload = Payload::new(10);
    Ok(if asins_only {
        payload.with("asinList", &shown.iter().map(|view| view.item.asin).collect::<Vec<_>>())
    } else {
        payload.with("products", &shown.iter().map(|view| product(view, &options)).collect::<Vec<_>>())
    })
}
