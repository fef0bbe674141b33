//! Where alerts go: mail, webhook, Telegram, Discord, ntfy, as the operator's file has them (`file.rs`).
//!
//! An attempt ends in an [`Outcome`], by what is to be done next. No outcome, and so no log and no record, ever holds a
//! secret of the channel: what a server or a library says is searched for them first.

mod discord;
mod file;
mod http;
mod mail;
mod ntfy;
mod telegram;
mod webhook;

use std::collections::BTreeMap;

use shared::config::Secret;
use shared::domain::UnixMillis;
use shared::domain::alert::ChannelName;
use shared::wire::alert::{ChannelRecord, Delivery};

pub(crate) use http::client;

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The channel has taken it.
    Delivered,
    /// Not now: it is away, overloaded, or asked to be left alone.
    Later {
        /// Why, without secrets.
        reason: String,
        /// How long it wants to be left alone.
        after_millis: Option<i64>,
    },
    /// Never like this: somebody has to change something.
    Refused {
        /// Why, without secrets.
        reason: String,
    },
}

impl Outcome {
    fn map_reason(self, change: impl Fn(String) -> String) -> Outcome {
        match self {
            Outcome::Delivered => Outcome::Delivered,
            Outcome::Later { reason, after_millis } => Outcome::Later {
                reason: change(reason),
                after_millis,
            },
            Outcome::Refused { reason } => Outcome::Refused { reason: change(reason) },
        }
    }
}

/// One way to reach somebody.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Channel {
    Mail(mail::Mail),
    Webhook(webhook::Webhook),
    Telegram(telegram::Telegram),
    Discord(discord::Discord),
    Ntfy(ntfy::Ntfy),
}

impl Channel {
    /// The `type` in the file.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Channel::Mail(_) => "smtp",
            Channel::Webhook(_) => "webhook",
            Channel::Telegram(_) => "telegram",
            Channel::Discord(_) => "discord",
            Channel::Ntfy(_) => "ntfy",
        }
    }

    /// Where it leads, as far as that is nobody's secret.
    fn shown(&self) -> String {
        let place = match self {
            Channel::Mail(mail) => format!("{}:{}", mail.host, mail.port),
            Channel::Webhook(webhook) => http::origin(&webhook.url),
            Channel::Telegram(telegram) => http::origin(&telegram.url),
            Channel::Discord(discord) => http::origin(&discord.url),
            Channel::Ntfy(ntfy) => http::origin(&ntfy.url),
        };
        format!("{} {place} ****", self.kind())
    }

    /// What must not be seen anywhere.
    fn secrets(&self) -> Vec<Secret> {
        let parts = |url: &Secret| http::secret_parts(url);
        match self {
            Channel::Mail(mail) => mail.password.iter().cloned().collect(),
            Channel::Webhook(webhook) => [vec![webhook.secret.clone()], parts(&webhook.url)].concat(),
            Channel::Telegram(telegram) => vec![telegram.token.clone()],
            Channel::Discord(discord) => parts(&discord.url),
            Channel::Ntfy(ntfy) => ntfy.token.iter().cloned().chain(parts(&ntfy.url)).collect(),
        }
    }

    /// Sends. Ends within half a minute.
    pub(crate) async fn send(&self, client: &reqwest::Client, delivery: &Delivery, now: UnixMillis) -> Outcome {
        let outcome = match self {
            Channel::Mail(mail) => mail.send(delivery).await,
            Channel::Webhook(webhook) => http::send(webhook.request(client, delivery, now)).await,
            Channel::Telegram(telegram) => http::send(telegram.request(client, delivery)).await,
            Channel::Discord(discord) => http::send(discord.request(client, delivery)).await,
            Channel::Ntfy(ntfy) => http::send(ntfy.request(client, delivery)).await,
        };
        let secrets = self.secrets();
        outcome.map_reason(|reason| secrets.iter().fold(reason, |reason, secret| reason.replace(secret.expose(), "****")))
    }
}

/// The channels of the operator's file, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Channels(BTreeMap<ChannelName, Channel>);

impl Channels {
    /// Reads the file's text. Secrets may be in files of their own.
    ///
    /// # Errors
    /// All mistakes, without secrets.
    pub(crate) fn parse(text: &str) -> Result<Channels, Vec<String>> {
        file::parse(text).map(Channels)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, name: &ChannelName) -> Option<&Channel> {
        self.0.get(name)
    }

    /// Their names, for mistakes.
    pub(crate) fn names(&self) -> String {
        if self.0.is_empty() {
            return "none".into();
        }
        self.0.keys().map(ChannelName::as_str).collect::<Vec<_>>().join(", ")
    }

    /// What others may know of them.
    pub(crate) fn records(&self) -> Vec<ChannelRecord> {
        let record = |(name, channel): (&ChannelName, &Channel)| ChannelRecord {
            name: name.clone(),
            kind: channel.kind().into(),
        };
        self.0.iter().map(record).collect()
    }

    /// For `--check`: secrets masked.
    pub(crate) fn shown(&self) -> String {
        self.0
            .iter()
            .map(|(name, channel)| format!("{name} ({})", channel.shown()))
            .collect::<Vec<_>>()
            .join(", ")
    }
}
