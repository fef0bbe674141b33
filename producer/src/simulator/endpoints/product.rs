//! `/product`: the product objects of ASINs or product codes.

use std::collections::BTreeSet;

use shared::domain::{Asin, Marketplace};

use super::super::envelope::{Payload, Rejection};
use super::super::noise::Noise;
use super::super::price_type::COUNT_REVIEWS;
use super::super::product::{product, unknown};
use super::super::world::{ProductOptions, View, json};
use super::Call;

/// How fresh `update` wants a product to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refresh {
    Never,
    Now,
    IfOlder,
}

pub(super) fn answer(call: &Call<'_>) -> Result<Payload, Rejection> {
    let parameters = call.parameters;
    let marketplace = parameters.marketplace()?;
    let offers = parameters.number("offers", 20..=100)?;
    let options = ProductOptions {
        history: parameters.flag("history", true)?,
        days: parameters.number("days", 1..=36_500)?.map(|days| i32::try_from(days).expect("within bounds")),
        stats: parameters.stats()?,
        buy_box: parameters.flag("buybox", false)?,
        offers: offers.is_some(),
        rating: parameters.flag("rating", false)?,
    };
    let stock = parameters.flag("stock", false)?;
    for accepted in ["only-live-offers", "rental", "videos", "aplus", "historical-variations"] {
        parameters.flag(accepted, false)?;
    }
    let refresh = match parameters.number("update", -1..=36_500)? {
        Some(-1) => Refresh::Never,
        Some(0) => Refresh::Now,
        _ => Refresh::IfOlder,
    };
    let most = if offers.is_some() { 20 } else { 100 };
    // Every ASIN once, and not in the order of the request: clients have to look at the ASIN.
    let asins: BTreeSet<Asin> = match (parameters.get("asin"), parameters.get("code")) {
        (Some(_), None) => parameters.asins(most)?.into_iter().collect(),
        (None, Some(_)) => asins_of_codes(call, most)?,
        _ => return Err(Rejection::parameter("asin")),
    };
    let mut cost = 0;
    let mut products = Vec::with_capacity(asins.len());
    for asin in asins {
        match call.world.view(asin, marketplace, call.now) {
            Some(view) => {
                cost += cost_of(&view, &options, stock, refresh);
                products.push(json(&product(&view, &options)));
            }
            None => {
                cost += i64::from(refresh != Refresh::Never);
                if is_answered_with_a_stub(call.world.noise, asin, marketplace) {
                    products.push(unknown(asin, marketplace.keepa_id(), &options));
                }
            }
        }
    }
    let mut payload = Payload::new(cost);
    payload.members.push(("products", format!("[{}]", products.join(","))));
    Ok(payload)
}

fn cost_of(view: &View<'_>, options: &ProductOptions, stock: bool, refresh: Refresh) -> i64 {
    if options.offers {
        // One page holds ten offers; there are never more here.
        return 6 + if stock { 2 } else { 0 };
    }
    let rated_lately = || {
        view.history()
            .points(COUNT_REVIEWS)
            .last()
            .is_some_and(|point| point.minute > view.now - 14 * 1440)
    };
    // Everything was updated within the hour, so that a live update costs its extra token.
    1 + if options.buy_box { 2 } else { 0 } + i64::from(refresh == Refresh::Now) + i64::from(options.rating && rated_lately())
}

fn asins_of_codes(call: &Call<'_>, most: usize) -> Result<BTreeSet<Asin>, Rejection> {
    let limit = call
        .parameters
        .number("code-limit", 1..=100)?
        .map_or(usize::MAX, |limit| usize::try_from(limit).expect("within bounds"));
    let mut asins = BTreeSet::new();
    for code in call.parameters.list("code", most)? {
        if !(8..=14).contains(&code.len()) || !code.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Rejection::parameter("code"));
        }
        let code = if code.len() == 14 { code.trim_start_matches('0') } else { code };
        asins.extend(
            call.world
                .assortment
                .indexes_of_code(code)
                .into_iter()
                .take(limit)
                .map(|index| call.world.asins()[index]),
        );
    }
    Ok(asins)
}

/// An unknown ASIN is either left out or answered with a stub; always the same for the same one.
fn is_answered_with_a_stub(noise: Noise, asin: Asin, marketplace: Marketplace) -> bool {
    noise.named("unknown").named(asin.as_str()).named(marketplace.code()).chance(0.5)
}
