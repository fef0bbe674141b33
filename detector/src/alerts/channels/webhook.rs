//! A signed POST of JSON to a place of the operator's choice.

use hmac::{Hmac, Mac as _};
use reqwest::{Client, RequestBuilder};
use sha2::Sha256;
use shared::config::Secret;
use shared::domain::UnixMillis;
use shared::wire::alert::Delivery;

use crate::alerts::message;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Webhook {
    pub(super) url: Secret,
    pub(super) secret: Secret,
}

impl Webhook {
    /// `X-Signature: t=<seconds>,v1=<hex>`: HMAC-SHA256 with the secret over `<seconds>.<body>`. The receiver computes the
    /// same, and refuses times that are long past: so nobody can send it again.
    pub(super) fn request(&self, client: &Client, delivery: &Delivery, now: UnixMillis) -> RequestBuilder {
        let body = message::payload(delivery).to_string();
        let seconds = now.0.div_euclid(1_000);
        client
            .post(self.url.expose())
            .header("content-type", "application/json")
            .header("idempotency-key", &delivery.id)
            .header("x-signature", format!("t={seconds},v1={}", signature(&self.secret, seconds, &body)))
            .body(body)
    }
}

fn signature(secret: &Secret, seconds: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{seconds}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '1768132800.{}' | openssl dgst -sha256 -hmac 'battery staple'`
    #[test]
    fn the_signature_is_the_one_that_openssl_computes() {
        assert_eq!(
            signature(&Secret::new("battery staple"), 1_768_132_800, "{}"),
            "7682297b6dc96d09d4f543db15cdd46c0bc5f1ca47a0193e5c867b4b93516d70"
        );
    }
}
