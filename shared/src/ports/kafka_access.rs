//! How a Kafka is reached: encryption and who we are, as `KAFKA_SECURITY_PROTOCOL`, `KAFKA_SASL_*` and `KAFKA_SSL_CA` say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::{Environment, Secret};

/// Whether this build can encrypt: the client library needs OpenSSL for it, which is compiled along only on demand.
const HAS_TLS: bool = cfg!(feature = "kafka-tls");

/// Encryption and credentials. Shown without the password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaAccess {
    protocol: Protocol,
    sasl: Option<Sasl>,
    certificate_authority: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Protocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sasl {
    mechanism: Mechanism,
    username: String,
    password: Secret,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl Protocol {
    fn parse(text: &str) -> Option<Protocol> {
        match text.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => Some(Protocol::Plaintext),
            "SSL" => Some(Protocol::Ssl),
            "SASL_PLAINTEXT" => Some(Protocol::SaslPlaintext),
            "SASL_SSL" => Some(Protocol::SaslSsl),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Protocol::Plaintext => "plaintext",
            Protocol::Ssl => "ssl",
            Protocol::SaslPlaintext => "sasl_plaintext",
            Protocol::SaslSsl => "sasl_ssl",
        }
    }

    fn has_tls(self) -> bool {
        matches!(self, Protocol::Ssl | Protocol::SaslSsl)
    }

    fn has_sasl(self) -> bool {
        matches!(self, Protocol::SaslPlaintext | Protocol::SaslSsl)
    }
}

impl Mechanism {
    fn parse(text: &str) -> Option<Mechanism> {
        match text.to_ascii_uppercase().as_str() {
            "PLAIN" => Some(Mechanism::Plain),
            "SCRAM-SHA-256" => Some(Mechanism::ScramSha256),
            "SCRAM-SHA-512" => Some(Mechanism::ScramSha512),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl KafkaAccess {
    /// Reads the variables; mistakes are noted in the environment, among them what this build cannot do.
    #[must_use]
    pub fn read(environment: &Environment) -> KafkaAccess {
        KafkaAccess::read_for(environment, HAS_TLS)
    }

    fn read_for(environment: &Environment, has_tls: bool) -> KafkaAccess {
        let protocol = environment.parsed(
            "KAFKA_SECURITY_PROTOCOL",
            Protocol::Plaintext,
            "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
            Protocol::parse,
        );
        let mechanism = environment.parsed("KAFKA_SASL_MECHANISM", None, "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", |text| {
            Mechanism::parse(text).map(Some)
        });
        let username = environment.text("KAFKA_SASL_USERNAME");
        let password = environment.secret("KAFKA_SASL_PASSWORD");
        let certificate_authority = environment.text("KAFKA_SSL_CA").map(PathBuf::from);

        let no_tls = |setting: &str| {
            environment.mistake(format!(
                "{setting} needs TLS for Kafka, which this build has not: build with --features kafka-tls"
            ));
        };
        if protocol.has_tls() && !has_tls {
            no_tls(&format!("KAFKA_SECURITY_PROTOCOL={}", protocol.name().to_ascii_uppercase()));
        }
        if let Some(path) = &certificate_authority {
            if !has_tls {
                no_tls("KAFKA_SSL_CA");
            } else if !protocol.has_tls() {
                environment.mistake("KAFKA_SSL_CA is set but KAFKA_SECURITY_PROTOCOL is neither SSL nor SASL_SSL");
            } else if !path.is_file() {
                environment.mistake(format!("KAFKA_SSL_CA: there is no file {}", path.display()));
            }
        }
        // The client library takes base64 and hashes from OpenSSL.
        if mechanism.is_some_and(|mechanism| mechanism != Mechanism::Plain) && !has_tls {
            no_tls("KAFKA_SASL_MECHANISM other than PLAIN");
        }
        let sasl = if protocol.has_sasl() {
            if username.is_none() {
                environment.mistake(format!("KAFKA_SASL_USERNAME is not set: {} needs it", protocol.name().to_ascii_uppercase()));
            }
            if password.is_none() {
                environment.mistake(format!("KAFKA_SASL_PASSWORD is not set: {} needs it", protocol.name().to_ascii_uppercase()));
            }
            username.zip(password).map(|(username, password)| Sasl {
                mechanism: mechanism.unwrap_or(Mechanism::Plain),
                username,
                password,
            })
        } else {
            for (name, is_set) in [
                ("KAFKA_SASL_MECHANISM", mechanism.is_some()),
                ("KAFKA_SASL_USERNAME", username.is_some()),
                ("KAFKA_SASL_PASSWORD", password.is_some()),
            ] {
                if is_set {
                    environment.mistake(format!("{name} is set but KAFKA_SECURITY_PROTOCOL is neither SASL_PLAINTEXT nor SASL_SSL"));
                }
            }
            None
        };
        KafkaAccess {
            protocol,
            sasl,
            certificate_authority,
        }
    }

    /// Is there anything that the embedded event log has no use for?
    pub(super) fn is_set(&self) -> bool {
        *self != KafkaAccess::default()
    }

    /// As the client library takes them. Holds the password.
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        let mut set = |name: &str, value: &str| {
            settings.insert(name.to_owned(), value.to_owned());
        };
        if self.protocol != Protocol::Plaintext {
            set("security.protocol", self.protocol.name());
        }
        if let Some(sasl) = &self.sasl {
            set("sasl.mechanisms", sasl.mechanism.name());
            set("sasl.username", &sasl.username);
            set("sasl.password", sasl.password.expose());
        }
        if self.protocol.has_tls() {
            match &self.certificate_authority {
                Some(path) => set("ssl.ca.location", &path.to_string_lossy()),
                // OpenSSL comes along with the program and does not know where this machine keeps its authorities.
                None => set("ssl.ca.location", "probe"),
            }
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "correct horse";

    fn read(variables: &[(&str, &str)], has_tls: bool) -> Result<KafkaAccess, Vec<String>> {
        let environment = Environment::of(variables.iter().copied());
        let access = KafkaAccess::read_for(&environment, has_tls);
        environment.finish(access).map_err(|error| error.mistakes)
    }

    fn settings(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        read(variables, true).expect("valid settings").settings().into_iter().collect()
    }

    #[test]
    fn settings_become_those_of_the_client_library() {
        let own =
            |settings: &[(&str, &str)]| -> Vec<(String, String)> { settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect() };
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let path = file.path().to_str().expect("UTF-8");
        assert_eq!(settings(&[]), []);
        assert_eq!(settings(&[("KAFKA_SECURITY_PROTOCOL", "plaintext")]), []);
        assert_eq!(
            settings(&[("KAFKA_SECURITY_PROTOCOL", "SSL")]),
            own(&[("security.protocol", "ssl"), ("ssl.ca.location", "probe")])
        );
        assert_eq!(
            settings(&[
                ("KAFKA_SECURITY_PROTOCOL", "sasl_plaintext"),
                ("KAFKA_SASL_USERNAME", "us"),
                ("KAFKA_SASL_PASSWORD", PASSWORD)
            ]),
            own(&[
                ("sasl.mechanisms", "PLAIN"),
                ("sasl.password", PASSWORD),
                ("sasl.username", "us"),
                ("security.protocol", "sasl_plaintext")
            ])
        );
        assert_eq!(
            settings(&[
                ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
                ("KAFKA_SASL_MECHANISM", "scram-sha-512"),
                ("KAFKA_SASL_USERNAME", "us"),
                ("KAFKA_SASL_PASSWORD", PASSWORD),
                ("KAFKA_SSL_CA", path),
            ]),
            own(&[
                ("sasl.mechanisms", "SCRAM-SHA-512"),
                ("sasl.password", PASSWORD),
                ("sasl.username", "us"),
                ("security.protocol", "sasl_ssl"),
                ("ssl.ca.location", path),
            ])
        );
    }

    #[test]
    fn what_does_not_fit_together_is_a_mistake_that_names_the_variable() {
        let sasl = [("KAFKA_SASL_USERNAME", "us"), ("KAFKA_SASL_PASSWORD", PASSWORD)];
        let with = |more: &[(&'static str, &'static str)]| [&sasl[..], more].concat();
        for (variables, has_tls, mistakes) in [
            (vec![("KAFKA_SECURITY_PROTOCOL", "TLS")], true, vec!["KAFKA_SECURITY_PROTOCOL"]),
            (vec![("KAFKA_SECURITY_PROTOCOL", "SSL")], false, vec!["--features kafka-tls"]),
            (with(&[("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")]), false, vec!["--features kafka-tls"]),
            (
                with(&[("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"), ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-256")]),
                false,
                vec!["--features kafka-tls"],
            ),
            (
                with(&[("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"), ("KAFKA_SASL_MECHANISM", "GSSAPI")]),
                true,
                vec!["KAFKA_SASL_MECHANISM"],
            ),
            (vec![("KAFKA_SSL_CA", "/missing.pem")], false, vec!["KAFKA_SSL_CA"]),
            (vec![("KAFKA_SSL_CA", "/missing.pem")], true, vec!["KAFKA_SSL_CA is set but"]),
            (
                vec![("KAFKA_SECURITY_PROTOCOL", "SSL"), ("KAFKA_SSL_CA", "/missing.pem")],
                true,
                vec!["there is no file /missing.pem"],
            ),
            (
                vec![("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")],
                true,
                vec!["KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"],
            ),
            (with(&[]), true, vec!["KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"]),
        ] {
            let found = read(&variables, has_tls).expect_err("a mistake");
            assert_eq!(found.len(), mistakes.len(), "{found:?}");
            for (found, expected) in found.iter().zip(mistakes) {
                assert!(found.contains(expected), "{found} for {variables:?}");
                assert!(!found.contains(PASSWORD), "{found}");
            }
        }
    }

    #[test]
    fn a_password_without_encryption_needs_no_special_build() {
        let plain = [
            ("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
            ("KAFKA_SASL_USERNAME", "us"),
            ("KAFKA_SASL_PASSWORD", PASSWORD),
        ];
        let access = read(&plain, false).expect("valid settings");
        assert!(access.is_set());
        assert!(!format!("{access:?}").contains(PASSWORD), "{access:?}");
    }
}
