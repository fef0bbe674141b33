//! [`Notification`]: what Keepa posts to a tracking's webhook.

use serde::Deserialize;
use shared::domain::{Asin, KeepaMinutes, Marketplace};

/// One notification: a tracked article changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Which article.
    pub asin: Asin,
    /// The tracking's main marketplace.
    pub marketplace: Marketplace,
    /// The marketplace whose price changed.
    pub notified_marketplace: Marketplace,
    /// When it was made.
    pub created_at: KeepaMinutes,
    /// Which price type.
    pub price_type: u32,
    /// By price type, in the minor unit of the notified marketplace; none where there is no offer.
    pub current: Vec<Option<i64>>,
    /// Whether the price fell; none where Keepa does not say.
    pub is_drop: Option<bool>,
    /// What the tracking was labelled with.
    pub meta_data: Option<String>,
}

/// The body is not a notification.
#[derive(Debug, thiserror::Error)]
pub enum InvalidNotification {
    /// Not JSON, or a field is missing or of the wrong type.
    #[error("the body is not a notification")]
    Json(#[from] serde_json::Error),
    /// A domain id that no marketplace has.
    #[error("the notification names an unknown marketplace")]
    Domain(#[from] shared::domain::marketplace::UnknownKeepaDomain),
}

/// Decodes the body of a webhook call.
///
/// # Errors
/// [`InvalidNotification`], naming what is wrong.
pub fn decode(body: &[u8]) -> Result<Notification, InvalidNotification> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Fields {
        asin: Asin,
        create_date: i32,
        domain_id: i64,
        #[serde(default)]
        notification_domain_id: Option<i64>,
        csv_type: u32,
        #[serde(default)]
        current_prices: Option<Vec<i64>>,
        #[serde(default)]
        is_drop: Option<bool>,
        #[serde(default)]
        meta_data: Option<String>,
    }
    let fields: Fields = serde_json::from_slice(body)?;
    Ok(Notification {
        asin: fields.asin,
        marketplace: Marketplace::from_keepa_id(fields.domain_id)?,
        notified_marketplace: Marketplace::from_keepa_id(fields.notification_domain_id.unwrap_or(fields.domain_id))?,
        created_at: KeepaMinutes(fields.create_date),
        price_type: fields.csv_type,
        current: fields
            .current_prices
            .unwrap_or_default()
            .into_iter()
            .map(|price| (price >= 0).then_some(price))
            .collect(),
        is_drop: fields.is_drop,
        meta_data: fields.meta_data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_notification_is_named() {
        for (body, expected) in [
            ("<html>", "not a notification"),
            (r#"{"asin":"x"}"#, "not a notification"),
            (r#"{"asin":"B0D1XD1ZV3","createDate":1,"domainId":7,"csvType":0}"#, "unknown marketplace"),
        ] {
            let error = decode(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{body}: {error}");
        }
    }
}
