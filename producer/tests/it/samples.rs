//! Keepa's real responses through the client's reading side.

use std::io::Write as _;
use std::path::PathBuf;

use producer::keepa::notification;
use producer::keepa::response::{self, Envelope};
use shared::domain::{Asin, KeepaMinutes, Marketplace};

/// A real response; none, loudly, where they are not at hand.
pub fn sample(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/keepa-samples").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{} is missing: {error}", path.display());
            // Not eprintln: the test runner would keep that to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED: {} is not there ({error})", path.display());
            None
        }
    }
}

#[test]
fn a_product_envelope_gives_the_product_byte_for_byte() {
    let Some(text) = sample("product-us-B0F7XPYCSJ-full.json") else { return };
    let envelope = Envelope::read(&text).unwrap();
    let meter = envelope.meter.unwrap();
    assert_eq!((meter.tokens_left, meter.refill_rate, envelope.tokens_consumed), (42, 60, Some(1)));
    let asin: Asin = "B0F7XPYCSJ".parse().unwrap();
    let products = response::products(&envelope, Marketplace::US, &[asin]);
    assert_eq!((products.found.len(), products.left_out.len(), products.unreadable), (1, 0, 0));
    assert_eq!(
        (products.found[0].asin, products.found[0].marketplace, products.found[0].product_type),
        (asin, Marketplace::US, 0)
    );
    assert!(text.contains(products.found[0].json.get()), "unchanged");
}

#[test]
fn a_page_of_deals_is_read_whole() {
    let Some(text) = sample("deal-us-150-a.json") else { return };
    let envelope = Envelope::read(&text).unwrap();
    assert_eq!((envelope.meter.unwrap().tokens_left, envelope.tokens_consumed), (295, Some(5)));
    let deals = response::deals(&envelope);
    assert_eq!((deals.deals.len(), deals.unreadable), (150, 0));
    assert_eq!(deals.deals[0].asin.as_str(), "B0916T3WFJ");
    assert_eq!(deals.deals[0].image.as_deref(), Some("41vzhAICFdL.jpg"), "ASCII codes");
    assert_eq!(
        (deals.deals[0].current.len(), deals.deals[0].current[0], deals.deals[0].current[1]),
        (34, None, Some(2499))
    );
    assert_eq!(deals.category_names.get(&1_055_398).map(String::as_str), Some("Home & Kitchen"));
    assert!(!deals.category_names.contains_key(&i64::MAX), "the unknown category has no name");
}

#[test]
fn a_token_envelope_is_a_reading_and_an_error_envelope_is_none() {
    let Some(text) = sample("token-status-de-plan.json") else { return };
    let meter = Envelope::read(&text).unwrap().meter.unwrap();
    assert_eq!((meter.tokens_left, meter.capacity(), meter.flow_reduction_milli), (1_200, 1_200, 0));
    let Some(text) = sample("error-invalid-key.json") else { return };
    let envelope = Envelope::read(&text).unwrap();
    assert_eq!(envelope.meter, None);
    assert_eq!(envelope.error.unwrap().kind, "invalidParameter");
}

#[test]
fn the_webhook_body_is_decoded() {
    let Some(text) = sample("tracking-webhook-notification.json") else { return };
    let notification = notification::decode(text.as_bytes()).unwrap();
    assert_eq!(notification.asin.as_str(), "1449308929");
    assert_eq!(
        (notification.marketplace, notification.notified_marketplace),
        (Marketplace::US, Marketplace::US)
    );
    assert_eq!((notification.created_at, notification.price_type), (KeepaMinutes(7_631_684), 0));
    assert_eq!(
        (notification.current.len(), notification.current[0], notification.current[5]),
        (28, Some(1984), None)
    );
    assert_eq!(notification.is_drop, None);
}
