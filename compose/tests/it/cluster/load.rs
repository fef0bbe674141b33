//! Records of our own, as many as a test wants, straight into `raw.keepa_updates`.

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use serde_json::value::RawValue;
use shared::adapters::kafka::{Message, Topic};
use shared::domain::{Asin, Marketplace, UnixMillis};
use shared::wire::RawUpdate;

use super::bench::Bench;

/// How many confirmations are waited for at a time.
const AT_ONCE: usize = 1_000;

/// One update of an article in Germany.
#[derive(Debug, Clone, Copy)]
pub struct Update {
    /// Which article.
    pub article: usize,
    /// When it was fetched; decides what is newer.
    pub fetched_at: i64,
    /// New, in cents; none = out of stock.
    pub price: Option<i64>,
    /// Bytes of text beside it.
    pub weight: usize,
}

/// The ASIN of an article; none of those that the double knows.
pub fn asin(article: usize) -> Asin {
    format!("BL{article:08}").parse().expect("an ASIN")
}

/// Text that shrinks as Keepa's histories do: numbers, no two runs of them alike.
fn numbers(seed: i64, length: usize) -> String {
    let mut text = String::with_capacity(length + 20);
    let mut next = seed.unsigned_abs();
    while text.len() < length {
        // Knuth's multiplier; that the numbers are good ones does not matter.
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text.push_str(&next.to_string());
    }
    text
}

impl Update {
    /// The record.
    pub fn message(&self) -> Message {
        let product = json!({
            "asin": asin(self.article), "domainId": 3, "productType": 0, "title": format!("Artikel {}", self.article),
            "features": [numbers(self.fetched_at, self.weight)],
            "stats": {"current": [-1, self.price.unwrap_or(-1)]},
        });
        let product = RawValue::from_string(product.to_string()).expect("JSON");
        let fetched_at = UnixMillis(self.fetched_at);
        let update = RawUpdate::new(asin(self.article), Marketplace::DE, fetched_at, "watchlist", None, &product);
        Message::new(asin(self.article).as_str(), Some(update.to_bytes())).with_timestamp_ms(UnixMillis::now().0)
    }
}

impl Bench {
    /// Publishes updates; all are confirmed when it returns. The order of a key is that of the updates.
    pub async fn publish_updates(&self, updates: impl IntoIterator<Item = Update>) -> usize {
        self.ensure_topics().await;
        let publisher = self.log.publisher().expect("a publisher");
        let published = stream::iter(updates).map(|update| {
            let publisher = publisher.clone();
            async move { publisher.publish(Topic::RawUpdates, update.message()).await.expect("published") }
        });
        published.buffered(AT_ONCE).count().await
    }
}
