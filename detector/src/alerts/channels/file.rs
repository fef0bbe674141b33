//! `ALERT_CHANNELS`: the operator's file, JSON.

use std::collections::BTreeMap;

use lettre::message::Mailbox;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use shared::config::Secret;
use shared::domain::alert::ChannelName;

use super::Channel;
use super::discord::Discord;
use super::mail::{Encryption, Mail};
use super::ntfy::Ntfy;
use super::telegram::Telegram;
use super::webhook::Webhook;

const TELEGRAM: &str = "https://api.telegram.org";
/// HMAC-SHA256 has keys as long as its output; a short one can be guessed from one message.
const SHORTEST_KEY: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    channels: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Entry {
    Smtp {
        host: String,
        port: Option<u16>,
        tls: Option<Encryption>,
        username: Option<String>,
        password: Option<String>,
        password_file: Option<String>,
        from: String,
        to: Vec<String>,
    },
    Webhook {
        url: Option<String>,
        url_file: Option<String>,
        secret: Option<String>,
        secret_file: Option<String>,
    },
    Telegram {
        token: Option<String>,
        token_file: Option<String>,
        chat_id: Value,
        url: Option<String>,
    },
    Discord {
        url: Option<String>,
        url_file: Option<String>,
    },
    Ntfy {
        url: Option<String>,
        url_file: Option<String>,
        token: Option<String>,
        token_file: Option<String>,
    },
}

/// All channels, or all mistakes; none of them shows a value, since any may be a secret in the wrong place.
pub(super) fn parse(text: &str) -> Result<BTreeMap<ChannelName, Channel>, Vec<String>> {
    let document: Document = serde_json::from_str(text).map_err(|error| vec![in_words(&error)])?;
    let mut channels = BTreeMap::new();
    let mut mistakes = Vec::new();
    for (name, entry) in document.channels {
        let parsed_name = name.parse::<ChannelName>().map_err(|error| error.to_string());
        let channel = serde_json::from_value::<Entry>(entry)
            .map_err(|error| in_words(&error))
            .and_then(Entry::into_channel);
        match (parsed_name, channel) {
            (Ok(name), Ok(channel)) => drop(channels.insert(name, channel)),
            (parsed_name, channel) => {
                let wrong = [parsed_name.err(), channel.err()];
                mistakes.extend(wrong.into_iter().flatten().map(|mistake| format!("channel {name:?}: {mistake}")));
            }
        }
    }
    if mistakes.is_empty() { Ok(channels) } else { Err(mistakes) }
}

/// Serde shows values of a wrong type, which may be secrets: only what it says of names and places is told.
fn in_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let is_about_names = ["missing field", "unknown field", "unknown variant", "duplicate field"]
        .iter()
        .any(|known| text.starts_with(known));
    if is_about_names {
        text
    } else if error.line() > 0 {
        format!("is not as expected at line {} column {}", error.line(), error.column())
    } else {
        "a field has a value of the wrong type".into()
    }
}

fn secret(name: &str, direct: Option<String>, file: Option<String>) -> Result<Option<Secret>, String> {
    let text = match (direct, file) {
        (Some(_), Some(_)) => return Err(format!("{name} and {name}_file are both given: one of them is enough")),
        (None, None) => return Ok(None),
        (Some(text), None) => text,
        (None, Some(path)) => std::fs::read_to_string(&path).map_err(|error| format!("{name}_file: {path} cannot be read: {error}"))?,
    };
    let text = text.trim();
    if text.is_empty() {
        Err(format!("{name} is empty"))
    } else {
        Ok(Some(Secret::new(text)))
    }
}

fn needed(name: &str, direct: Option<String>, file: Option<String>) -> Result<Secret, String> {
    secret(name, direct, file)?.ok_or_else(|| format!("{name} is missing; {name}_file may name a file that holds it"))
}

fn url(secret: Secret) -> Result<Secret, String> {
    let url = Url::parse(secret.expose()).ok();
    let is_usable = url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if is_usable { Ok(secret) } else { Err("url is no http(s) URL".into()) }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Entry {
    fn into_channel(self) -> Result<Channel, String> {
        match self {
            Entry::Smtp {
                host,
                port,
                tls,
                username,
                password,
                password_file,
                from,
                to,
            } => {
                let mailbox = |field: &str, text: &str| text.parse::<Mailbox>().map_err(|_| format!("{field} has what is no mail address"));
                let encryption = tls.unwrap_or(if port == Some(465) { Encryption::Tls } else { Encryption::Starttls });
                let password = secret("password", password, password_file)?;
                if username.is_some() != password.is_some() {
                    return Err("username and password go together".into());
                }
                if password.is_some() && encryption == Encryption::None && !is_loopback(&host) {
                    return Err("tls is none: the password would go over the network for all to read".into());
                }
                if host.is_empty() || to.is_empty() {
                    return Err("host and to must not be empty".into());
                }
                Ok(Channel::Mail(Mail {
                    port: port.unwrap_or(match encryption {
                        Encryption::Starttls => 587,
                        Encryption::Tls => 465,
                        Encryption::None => 25,
                    }),
                    host,
                    encryption,
                    username,
                    password,
                    from: mailbox("from", &from)?,
                    to: to.iter().map(|to| mailbox("to", to)).collect::<Result<_, _>>()?,
                }))
            }
            Entry::Webhook {
                url: direct,
                url_file,
                secret: key,
                secret_file,
            } => {
                let key = needed("secret", key, secret_file)?;
                if key.expose().len() < SHORTEST_KEY {
                    return Err(format!("secret is too short: at least {SHORTEST_KEY} characters are expected"));
                }
                Ok(Channel::Webhook(Webhook {
                    url: url(needed("url", direct, url_file)?)?,
                    secret: key,
                }))
            }
            Entry::Telegram {
                token,
                token_file,
                chat_id,
                url: direct,
            } => {
                let chat_id = match chat_id {
                    Value::String(text) => text,
                    Value::Number(number) => number.to_string(),
                    _ => return Err("chat_id is neither a number nor a text".into()),
                };
                let token = needed("token", token, token_file)?;
                // It becomes part of a path.
                let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
                if !token.expose().bytes().all(is_token) {
                    return Err("token is none of Telegram's".into());
                }
                let base = direct.unwrap_or_else(|| TELEGRAM.to_owned());
                Ok(Channel::Telegram(Telegram {
                    url: url(Secret::new(base.trim_end_matches('/')))?,
                    token,
                    chat_id,
                }))
            }
            Entry::Discord { url: direct, url_file } => Ok(Channel::Discord(Discord {
                url: url(needed("url", direct, url_file)?)?,
            })),
            Entry::Ntfy {
                url: direct,
                url_file,
                token,
                token_file,
            } => Ok(Channel::Ntfy(Ntfy {
                url: url(needed("url", direct, url_file)?)?,
                token: secret("token", token, token_file)?,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(channel: &str) -> String {
        parse(&format!(r#"{{"channels": {{"one": {channel}}}}}"#)).map_or_else(|mistakes| mistakes.join("; "), |_| String::new())
    }

    #[test]
    fn every_kind_of_channel_is_read_and_nothing_secret_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "correct horse\n").unwrap();
        let text = serde_json::json!({"channels": {
            "mail": {"type": "smtp", "host": "smtp.example.org", "username": "me", "password_file": path, "from": "a@example.org", "to": ["B <b@example.org>"]},
            "hook": {"type": "webhook", "url": "https://example.org/hooks/hidden-path?key=hidden-key", "secret": "battery staple battery"},
            "tg": {"type": "telegram", "token": "123:hidden-token", "chat_id": -100},
            "dc": {"type": "discord", "url": "https://discord.com/api/webhooks/1/hidden-hook"},
            "push": {"type": "ntfy", "url": "https://ntfy.sh/hidden-topic", "token": "tk_hidden"},
        }});
        let channels = super::super::Channels::parse(&text.to_string()).unwrap();
        let shown = channels.shown();
        assert_eq!(channels.records().len(), 5, "{shown}");
        assert!(
            shown.contains("mail (smtp smtp.example.org:587 ****)") && shown.contains("push (ntfy https://ntfy.sh ****)"),
            "{shown}"
        );
        for secret in ["hidden", "horse", "staple"] {
            assert!(
                !shown.contains(secret) && !format!("{channels:?}").contains(secret),
                "{secret}: {shown} {channels:?}"
            );
        }
    }

    #[test]
    fn mistakes_name_the_channel_and_the_field_and_show_no_value() {
        for (channel, expected) in [
            (r#"{"type": "pigeon"}"#, "unknown variant `pigeon`"),
            (r#"{"type": "ntfy"}"#, "url is missing"),
            (r#"{"type": "ntfy", "url": "ntfy.sh/hidden"}"#, "url is no http(s) URL"),
            (r#"{"type": "ntfy", "url": "https://ntfy.sh/x", "topic": "hidden"}"#, "unknown field `topic`"),
            (
                r#"{"type": "webhook", "url": "https://example.org", "secret": "hidden"}"#,
                "secret is too short",
            ),
            (r#"{"type": "webhook", "url": "https://example.org", "secret": ["hidden"]}"#, "wrong type"),
            (
                r#"{"type": "webhook", "url": "https://example.org", "secret": "a", "secret_file": "b"}"#,
                "both given",
            ),
            (
                r#"{"type": "webhook", "url": "https://example.org", "secret_file": "/nowhere"}"#,
                "/nowhere cannot be read",
            ),
            (r#"{"type": "telegram", "token": "a/../hidden", "chat_id": 1}"#, "token is none"),
            (r#"{"type": "telegram", "token": "1:a", "chat_id": []}"#, "chat_id"),
            (
                r#"{"type": "smtp", "host": "h", "from": "hidden", "to": ["a@b.c"]}"#,
                "from has what is no mail address",
            ),
            (r#"{"type": "smtp", "host": "h", "from": "a@b.c", "to": []}"#, "to must not be empty"),
            (
                r#"{"type": "smtp", "host": "h", "from": "a@b.c", "to": ["a@b.c"], "username": "u"}"#,
                "go together",
            ),
            (
                r#"{"type": "smtp", "host": "h", "from": "a@b.c", "to": ["a@b.c"], "username": "u", "password": "hidden", "tls": "none"}"#,
                "for all to read",
            ),
        ] {
            let told = mistakes(channel);
            assert!(told.starts_with("channel \"one\"") && told.contains(expected), "{channel}: {told}");
            assert!(!told.contains("hidden"), "{told}");
        }
        assert!(parse("{").is_err() && parse("[]").is_err());
    }
}
