//! Where the servers are, and how they are stopped and started.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

/// A server of the tests.
#[derive(Debug, Clone, Copy)]
pub enum Server {
    Kafka,
    Elasticsearch,
}

/// The servers under test.
#[derive(Debug, Clone)]
pub struct Servers {
    /// `host:port,...`
    pub brokers: String,
    /// `http://host:port`
    pub elasticsearch: String,
    control: Option<PathBuf>,
}

/// How long a server may take to start: a minute more than the script gives it, which says what is wrong.
const STARTED_WITHIN: Duration = Duration::from_secs(240);

/// What a test does that has no servers: it says so and ends, except where nothing may be left out.
pub fn skip(test: &str, missing: &str) {
    assert!(
        std::env::var("REAL_SERVERS").as_deref() != Ok("required"),
        "{test} needs {missing}, and nothing is left out in CI"
    );
    // Not eprintln: the test runner would keep that to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test} needs {missing}");
}

/// A variable that is a whole number.
pub fn whole_number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}: a whole number is expected")))
}

impl Servers {
    /// Those that the environment names.
    pub async fn find(test: &str) -> Option<Servers> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (Some(brokers), Some(elasticsearch)) = (variable("KAFKA_BROKERS"), variable("ELASTICSEARCH_URL")) else {
            skip(test, "KAFKA_BROKERS and ELASTICSEARCH_URL");
            return None;
        };
        let control = match variable("COMPOSE_SERVERS") {
            Some(script) => Some(PathBuf::from(script)),
            None => managing(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/servers")), &brokers).await,
        };
        Some(Servers {
            brokers,
            elasticsearch,
            control,
        })
    }

    /// Those that the environment names, if they can be stopped and started.
    pub async fn find_controlled(test: &str) -> Option<Servers> {
        let servers = Servers::find(test).await?;
        if servers.control.is_none() {
            skip(test, "COMPOSE_SERVERS, or servers that compose/servers started");
            return None;
        }
        Some(servers)
    }

    /// kill -9.
    pub async fn kill(&self, server: Server) {
        self.order("kill", server).await;
    }

    /// Starts it again, with the data it had, and waits until it answers.
    pub async fn start(&self, server: Server) {
        self.order("start", server).await;
    }

    async fn order(&self, what: &str, server: Server) {
        let script = self.control.as_ref().expect("found with control");
        let name = match server {
            Server::Kafka => "kafka",
            Server::Elasticsearch => "elasticsearch",
        };
        let ended = Command::new(script).args([what, name]).kill_on_drop(true).status();
        let status = tokio::time::timeout(STARTED_WITHIN, ended).await.expect("in time").expect("it runs");
        assert!(status.success(), "{} {what} {name}: {status}", script.display());
    }
}

/// The script, if the servers in use are its own.
async fn managing(script: &Path, brokers: &str) -> Option<PathBuf> {
    let output = Command::new(script).arg("status").output().await.ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    (output.status.success() && said.contains(brokers)).then(|| script.to_owned())
}
