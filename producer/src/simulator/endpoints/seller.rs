//! `/seller`: who sells, and, if asked, what.

use std::collections::BTreeMap;

use shared::domain::{Asin, KeepaMinutes, Marketplace};

use super::super::envelope::{Payload, Rejection};
use super::super::listing::Seller;
use super::super::wire;
use super::Call;

pub(super) fn answer(call: &Call<'_>) -> Result<Payload, Rejection> {
    let marketplace = call.parameters.marketplace_but_brazil()?;
    let storefront = call.parameters.flag("storefront", false)?;
    let ids = call.parameters.list("seller", 100)?;
    if storefront && ids.len() > 1 {
        return Err(Rejection::parameter("storefront"));
    }
    let mut found = BTreeMap::new();
    for id in ids {
        if let Some(seller) = call.world.sellers(marketplace).and_then(|sellers| sellers.by_id(id)) {
            found.insert(id, described(call, marketplace, seller, id, storefront));
        }
    }
    // Unknown sellers cost nothing.
    let cost = i64::try_from(found.len()).expect("at most a hundred");
    let storefront_cost = if storefront && cost > 0 { 9 } else { 0 };
    Ok(Payload::new(cost + storefront_cost).with("sellers", &found))
}

fn described(call: &Call<'_>, marketplace: Marketplace, seller: Seller, id: &str, storefront: bool) -> wire::Seller {
    let now = KeepaMinutes::from_unix(call.now).0 / 2 * 2;
    let sellers = call.world.sellers(marketplace);
    let noise = sellers.map_or(call.world.noise, |sellers| sellers.noise(seller));
    let rating = i32::try_from(noise.at(1).between(82, 99)).expect("a percentage");
    let ratings = i32::try_from(noise.at(2).between(120, 48_000)).expect("a small number");
    let since = 5_500_000;
    let asins: Vec<Asin> = call
        .world
        .views(marketplace, call.now)
        .filter(|view| view.quote().buy_box_seller == seller)
        .map(|view| view.item.asin)
        .collect();
    let count = i32::try_from(asins.len()).unwrap_or(i32::MAX);
    wire::Seller {
        seller_id: id.to_owned(),
        seller_name: sellers.map(|sellers| sellers.name(seller)).unwrap_or_default().to_owned(),
        domain_id: marketplace.keepa_id(),
        tracked_since: since,
        last_update: now,
        csv: [vec![since, rating], vec![since, ratings]],
        has_fba: noise.at(3).chance(0.7),
        ships_from_china: false,
        is_scammer: false,
        address: vec!["Musterweg 1".to_owned(), marketplace.code().to_owned()],
        vat_id: None,
        positive_rating: [rating; 4],
        rating_count: [ratings / 40, ratings / 14, ratings / 4, ratings],
        asin_list_last_seen: storefront.then(|| vec![now; asins.len()]),
        asin_list: storefront.then_some(asins),
        total_storefront_asins: Some([now, count]),
    }
}
