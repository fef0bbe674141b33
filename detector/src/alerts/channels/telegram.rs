//! A message of a Telegram bot (Bot API, `sendMessage`). The token stands in the path of the URL.

use reqwest::{Client, RequestBuilder};
use serde_json::json;
use shared::config::Secret;
use shared::wire::alert::Delivery;

use crate::alerts::message;

/// Telegram takes 4096.
const MOST_CHARACTERS: usize = 3_900;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Telegram {
    /// Where the Bot API is, without a slash at the end.
    pub(super) url: Secret,
    pub(super) token: Secret,
    pub(super) chat_id: String,
}

impl Telegram {
    /// Plain text: a title cannot become markup.
    pub(super) fn request(&self, client: &Client, delivery: &Delivery) -> RequestBuilder {
        let body = json!({
            "chat_id": self.chat_id,
            "text": message::text(delivery, MOST_CHARACTERS),
            "link_preview_options": {"is_disabled": true},
        });
        client
            .post(format!("{}/bot{}/sendMessage", self.url.expose(), self.token.expose()))
            .header("content-type", "application/json")
            .header("idempotency-key", &delivery.id)
            .body(body.to_string())
    }
}
