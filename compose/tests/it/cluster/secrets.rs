//! What services say: never a key, a password, or a payload at info and above.
//!
//! The logs of every test on real servers are looked through once it has passed, see [`super::bench`]; the test here adds
//! secrets of every kind, the most talkative level, and servers that refuse them.

use std::path::Path;
use std::time::Duration;

use shared::adapters::kafka::Topic;

use super::bench::{Bench, on_real_servers};
use crate::double::KEY;

const API_KEY: &str = "YXBpa2V5OmVsYXN0aWNzZWFyY2hhcGlrZXk0Mg==";
const KAFKA_PASSWORD: &str = "k4fk4passw0rdk4fk4passw0rd";
const ELASTICSEARCH_PASSWORD: &str = "el4sticpassw0rdel4sticpassw0rd";
const REFUSED_WITHIN: Duration = Duration::from_secs(60);
/// What stands in payloads and in nothing that is said of them: a field of Keepa's, the beginning of every title.
const PAYLOAD: [&str; 3] = ["\"lastUpdate\"", "Artikel & S", "p4yl04d"];

/// Lines that say what nobody may know: the secret or payload, and the line.
fn leaks(log: &str) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for line in log.lines() {
        for secret in [KEY, API_KEY, KAFKA_PASSWORD, ELASTICSEARCH_PASSWORD] {
            if line.contains(secret) {
                found.push((secret, line.to_owned()));
            }
        }
        // What is said at debug is said to who looks for a fault, payloads included.
        let is_detail = line.contains(" DEBUG ") || line.contains(" TRACE ");
        found.extend(
            PAYLOAD
                .into_iter()
                .filter(|mark| !is_detail && line.contains(mark))
                .map(|mark| (mark, line.to_owned())),
        );
    }
    found
}

/// Looks through all logs of a folder.
pub fn assert_nothing_leaked(logs: &Path) {
    let mut lines = 0;
    for entry in std::fs::read_dir(logs).expect("the folder of logs") {
        let path = entry.expect("an entry").path();
        let log = String::from_utf8_lossy(&std::fs::read(&path).expect("a log")).into_owned();
        lines += log.lines().count();
        let leaks = leaks(&log);
        assert!(leaks.is_empty(), "{}: {:#?}", path.display(), leaks.iter().take(5).collect::<Vec<_>>());
    }
    assert!(lines > 0, "nothing was said: the check proves nothing");
}

#[test]
fn a_leak_is_found_at_its_level() {
    let line = |level: &str, text: &str| format!("2026-01-11T12:00:00Z {level} enricher: {text}");
    assert!(leaks(&line(" INFO", "3 records settled")).is_empty());
    assert!(leaks(&line("DEBUG", r#"{"lastUpdate":5}"#)).is_empty());
    for (level, text) in [
        (" INFO", r#"{"lastUpdate":5}"#),
        (" WARN", "title=Artikel & Söhne 5"),
        ("DEBUG", KEY),
        ("TRACE", API_KEY),
    ] {
        assert_eq!(leaks(&line(level, text)).len(), 1, "{level} {text}");
    }
}

/// Guard: secrets are of a type that does not show them, and refusals name a place instead of the bytes. Taken out (the
/// refusal with its text), the payload stood in the enricher's log.
#[tokio::test(flavor = "multi_thread")]
async fn t54_nobody_says_a_key_a_password_or_a_payload() {
    on_real_servers("t54_nobody_says_a_key", async |bench: &Bench| {
        for level in ["info", "debug"] {
            // Elasticsearch without access control takes any key.
            let cluster = bench.start_all_with(1, &[("RUST_LOG", level), ("ELASTICSEARCH_API_KEY", API_KEY)]).await;
            // Of many that are refused within a second only the first is spoken of.
            let letters = bench.positions.count(Topic::RawUpdatesDlq).await;
            bench.publish_payload_that_cannot_be_read(PAYLOAD[2]).await;
            let refusing = async {
                while bench.positions.count(Topic::RawUpdatesDlq).await == letters {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            tokio::time::timeout(REFUSED_WITHIN, refusing).await.expect("the payload is refused");
            bench.publish_bad_records().await;
            bench.converges(&cluster.address).await;
            // One whose keys and passwords are refused: Keepa's by Keepa, the others by who does not know how to ask for them.
            let wrong = [
                ("RUST_LOG", level),
                ("KEEPA_API_KEY", &KEY[1..]),
                ("ELASTICSEARCH_USERNAME", "us"),
                ("ELASTICSEARCH_PASSWORD", ELASTICSEARCH_PASSWORD),
                ("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
                ("KAFKA_SASL_USERNAME", "us"),
                ("KAFKA_SASL_PASSWORD", KAFKA_PASSWORD),
            ];
            let refused = ["producer", "enricher"].map(|name| bench.start_service(name, &wrong));
            for service in &refused {
                let refusing = async {
                    while !service.readiness().await.1.contains("event_log: down") {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                };
                tokio::time::timeout(REFUSED_WITHIN, refusing).await.expect("the event log refuses it");
            }
            for service in cluster.into_services().into_iter().chain(refused) {
                service.terminate().await;
            }
        }
        assert_nothing_leaked(&bench.logs);
    })
    .await;
}
