//! A notification through ntfy. The topic is part of the URL; who knows it can read along, unless access needs a token.

use reqwest::{Client, RequestBuilder};
use shared::config::Secret;
use shared::wire::alert::Delivery;

use crate::alerts::message;

/// ntfy takes 4096 bytes as a message, more as an attachment; names of other alphabets take up to four a character.
const MOST_CHARACTERS: usize = 1_900;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ntfy {
    pub(super) url: Secret,
    pub(super) token: Option<Secret>,
}

impl Ntfy {
    /// The body is the message. Headers carry ASCII only, so other characters of the title are left out.
    pub(super) fn request(&self, client: &Client, delivery: &Delivery) -> RequestBuilder {
        let title: String = message::subject(delivery).chars().filter(|character| (' '..='~').contains(character)).collect();
        let request = client
            .post(self.url.expose())
            .header("idempotency-key", &delivery.id)
            .header("title", title)
            .body(message::text(delivery, MOST_CHARACTERS));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }
}
