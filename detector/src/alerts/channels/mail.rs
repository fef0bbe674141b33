//! Mail over SMTP: plain text, with HTML beside it. The `Message-ID` is made of the idempotency key, so that a repeated
//! mail is seen to be the same one.

use std::time::Duration;

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use serde::Deserialize;
use shared::config::Secret;
use shared::wire::alert::Delivery;

use super::Outcome;
use crate::alerts::message;

/// A step of the conversation.
const STEP_WITHIN: Duration = Duration::from_secs(10);
/// All of it.
const SENT_WITHIN: Duration = Duration::from_secs(25);
const MOST_CHARACTERS: usize = 200_000;

/// How the connection is made safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Encryption {
    /// Begins in the open; goes on encrypted or not at all.
    Starttls,
    /// From the first byte.
    Tls,
    /// None: for a relay on this computer.
    None,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mail {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) encryption: Encryption,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) from: Mailbox,
    pub(super) to: Vec<Mailbox>,
}

impl Mail {
    pub(super) async fn send(&self, delivery: &Delivery) -> Outcome {
        let message = match self.message(delivery) {
            Ok(message) => message,
            Err(error) => {
                return Outcome::Refused {
                    reason: format!("the mail cannot be written: {error}"),
                };
            }
        };
        let transport = match self.transport() {
            Ok(transport) => transport,
            Err(error) => return outcome_of(&error),
        };
        match tokio::time::timeout(SENT_WITHIN, transport.send(message)).await {
            Ok(Ok(_taken)) => Outcome::Delivered,
            Ok(Err(error)) => outcome_of(&error),
            Err(_elapsed) => Outcome::Later {
                reason: format!("it did not take the mail within {} seconds", SENT_WITHIN.as_secs()),
                after_millis: None,
            },
        }
    }

    fn message(&self, delivery: &Delivery) -> Result<Message, lettre::error::Error> {
        let domain = self.from.email.domain();
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(message::subject(delivery))
            .message_id(Some(format!("<{}@{domain}>", delivery.id)));
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        let bodies = MultiPart::alternative_plain_html(message::text(delivery, MOST_CHARACTERS), message::html(delivery, MOST_CHARACTERS));
        let mut message = builder.multipart(bodies)?;
        let headers = message.headers_mut();
        headers.insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str("Idempotency-Key"), delivery.id.clone()));
        // Answering machines leave such mail alone.
        headers.insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into()));
        Ok(message)
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, lettre::transport::smtp::Error> {
        let tls = match self.encryption {
            Encryption::Starttls => Tls::Required(TlsParameters::new(self.host.clone())?),
            Encryption::Tls => Tls::Wrapper(TlsParameters::new(self.host.clone())?),
            Encryption::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.host)
            .port(self.port)
            .tls(tls)
            .timeout(Some(STEP_WITHIN));
        if let (Some(username), Some(password)) = (&self.username, &self.password) {
            builder = builder.credentials(Credentials::new(username.clone(), password.expose().to_owned()));
        }
        Ok(builder.build())
    }
}

/// A permanent answer (5xx) stays what it is; everything else may pass.
fn outcome_of(error: &lettre::transport::smtp::Error) -> Outcome {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let said = error.to_string();
        if !reason.contains(&said) {
            reason = format!("{reason}: {said}");
        }
        cause = error.source();
    }
    if error.is_permanent() || error.is_client() {
        Outcome::Refused { reason }
    } else {
        Outcome::Later { reason, after_millis: None }
    }
}
