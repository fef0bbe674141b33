//! A Kafka that asks for a password over TLS: `export $(compose/servers up --only kafka --tls)`.
//!
//! Everything goes through the variables that an operator sets.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use shared::adapters::kafka::{ConsumerLimits, EventLog, EventLogError, Health};
use shared::config::Environment;
use shared::ports::EventLogSettings;

use super::bench::{Recorder, RunningConsumer, publish_numbers, random_group, within};
use crate::servers::address_from;

const WRONG_PASSWORD: &str = "not-the-password-at-all";

/// The variables of the Kafka that was brought up, some of them replaced; skipped where there is none.
fn log_with(replaced: &[(&str, &str)]) -> Option<EventLog> {
    captured();
    address_from("KAFKA_SSL_CA", std::thread::current().name().unwrap_or("a test"))?;
    let prefix = format!("test-{:08x}.", rand::random::<u32>());
    let given = [
        "KAFKA_BROKERS",
        "KAFKA_SECURITY_PROTOCOL",
        "KAFKA_SASL_MECHANISM",
        "KAFKA_SASL_USERNAME",
        "KAFKA_SASL_PASSWORD",
        "KAFKA_SSL_CA",
    ];
    let mut variables: std::collections::BTreeMap<&str, String> = given.iter().map(|name| (*name, std::env::var(name).expect(name))).collect();
    variables.insert("TOPIC_PREFIX", prefix);
    variables.extend(replaced.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let environment = Environment::of(variables.iter().map(|(name, value)| (*name, value.as_str())));
    let settings = EventLogSettings::read(&environment);
    let settings = environment.finish(settings).expect("valid settings");
    assert_silent(&format!("{settings:?}"));
    let brokers = settings.brokers.clone().expect("brokers");
    Some(settings.connect(brokers, false, "test"))
}

/// Everything that is logged in this process, down to the last detail.
fn captured() -> &'static Arc<Mutex<Vec<u8>>> {
    struct Into(Arc<Mutex<Vec<u8>>>);
    impl Write for Into {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    static CAPTURED: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    CAPTURED.get_or_init(|| {
        let captured = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&captured);
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || Into(Arc::clone(&into)))
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("nobody else logs in this process");
        captured
    })
}

/// Neither the right password nor the wrong one is in there.
fn assert_silent(text: &str) {
    for password in [std::env::var("KAFKA_SASL_PASSWORD").expect("a password").as_str(), WRONG_PASSWORD] {
        assert!(!text.contains(password), "a password in {text}");
    }
}

async fn assert_denied(log: &EventLog, why: &str) {
    for refused in [
        within("an answer", log.check()).await.expect_err("no access"),
        within("an answer", log.ensure_topics()).await.expect_err("no access"),
    ] {
        assert!(matches!(refused, EventLogError::AccessDenied { .. }), "{refused:?}");
        let text = refused.to_string();
        assert!(text.to_lowercase().contains(why), "{text}");
        assert_silent(&format!("{text} {refused:?}"));
        eprintln!("{text}");
    }
    let health = log.health().borrow().clone();
    assert!(
        matches!(&health, Health::Down { reason, .. } if reason.to_lowercase().contains(why)),
        "{health:?}"
    );
    assert_silent(&format!("{health:?}"));
    let logged = String::from_utf8_lossy(&captured().lock().expect("no panic")).into_owned();
    assert!(logged.to_lowercase().contains(why), "it is logged as well: {logged}");
    assert_silent(&logged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_authority_and_password_let_records_through() {
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let Some(log) = log_with(&[("KAFKA_SASL_MECHANISM", mechanism)]) else {
            return;
        };
        within("topics", log.ensure_topics()).await.expect("topics are created");
        let recorder = Recorder::new();
        let consumer = RunningConsumer::start(&log, &random_group(), ConsumerLimits::default(), &recorder);
        publish_numbers(&log.publisher().expect("a publisher"), 10, 0..50).await;
        assert_eq!(recorder.settled(50).await.len(), 50);
        consumer.stop().await;
        assert_eq!(*log.health().borrow(), Health::Up);
    }
    assert_silent(&String::from_utf8_lossy(&captured().lock().expect("no panic")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_authority_is_not_ours_is_not_trusted() {
    let foreign = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/event_log/foreign_authority.pem");
    let Some(log) = log_with(&[("KAFKA_SSL_CA", foreign)]) else { return };
    assert_denied(&log, "certificate verify failed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_said_to_be_one() {
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let Some(log) = log_with(&[("KAFKA_SASL_MECHANISM", mechanism), ("KAFKA_SASL_PASSWORD", WRONG_PASSWORD)]) else {
            return;
        };
        assert_denied(&log, "authentication").await;
    }
}
