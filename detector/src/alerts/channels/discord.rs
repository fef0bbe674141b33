//! A message through a webhook of a Discord channel. Who knows its URL can write there.

use reqwest::{Client, RequestBuilder};
use serde_json::json;
use shared::config::Secret;
use shared::wire::alert::Delivery;

use crate::alerts::message;

/// Discord takes 2000.
const MOST_CHARACTERS: usize = 1_900;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Discord {
    pub(super) url: Secret,
}

impl Discord {
    /// A title with `@everyone` in it calls nobody; links bring no previews.
    pub(super) fn request(&self, client: &Client, delivery: &Delivery) -> RequestBuilder {
        const SUPPRESS_EMBEDS: u32 = 1 << 2;
        let body = json!({
            "content": message::text(delivery, MOST_CHARACTERS),
            "allowed_mentions": {"parse": []},
            "flags": SUPPRESS_EMBEDS,
        });
        client
            .post(self.url.expose())
            .header("content-type", "application/json")
            .header("idempotency-key", &delivery.id)
            .body(body.to_string())
    }
}
