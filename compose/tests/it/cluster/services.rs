//! A service as a process of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::system::Api;

/// How long a process may take to say where it is, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running process; killed when dropped.
pub struct Service {
    /// `producer`, `enricher`, ...
    pub name: &'static str,
    child: Child,
    log: PathBuf,
}

/// The binary of a service, which lies beside that of `compose`.
pub fn binary(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_compose")).with_file_name(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build --workspace --bins` before, or `cargo test --workspace`",
        path.display()
    );
    path
}

/// The binary with nothing of the caller's environment but what it needs to run.
pub fn command(name: &str, variables: &[(String, String)]) -> Command {
    let mut command = Command::new(binary(name));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

impl Service {
    /// Starts it; what it says goes to a file.
    pub fn start(name: &'static str, variables: &[(String, String)], log: PathBuf) -> Service {
        let file = std::fs::File::create(&log).expect("a file for the log");
        let child = command(name, variables)
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("the binary starts");
        Service { name, child, log }
    }

    /// `http://host:port` of `/health/*` and `/metrics`.
    pub async fn probes(&self) -> Api {
        self.address("probes and metrics are served address=").await
    }

    /// `http://host:port` of the API.
    pub async fn api(&self) -> Api {
        self.address("api listens address=").await
    }

    /// What it counts, in Prometheus' format.
    pub async fn metrics(&self) -> String {
        let metrics = reqwest::get(format!("{}/metrics", self.probes().await.url)).await.expect("metrics");
        metrics.text().await.expect("text")
    }

    /// What `/health/ready` answers: its status, and what it says of each component.
    pub async fn readiness(&self) -> (u16, String) {
        let answer = reqwest::get(format!("{}/health/ready", self.probes().await.url))
            .await
            .expect("the probes answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    /// The most memory it has taken so far, in KiB.
    pub fn peak_kib(&self) -> u64 {
        let pid = self.child.id().expect("running");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux tells");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")).and_then(|peak| peak.parse().ok());
        peak.unwrap_or_else(|| panic!("no VmHWM: {status}"))
    }

    async fn address(&self, said: &str) -> Api {
        let look = async {
            loop {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                if let Some((_, rest)) = log.split_once(said)
                    && let Some((address, _)) = rest.split_once(|character: char| character.is_whitespace())
                {
                    return Api::at(&format!("http://{address}"));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, look).await {
            Ok(api) => api,
            Err(_) => panic!("{} does not say {said:?}: {}", self.name, self.log.display()),
        }
    }

    /// Sends a signal by name.
    pub async fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("running").to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status().await.expect("kill is there");
        assert!(sent.success(), "kill -{signal} {}", self.name);
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// kill -9.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("the process is ours");
    }

    /// SIGTERM; it has to end by itself, in time and with code 0.
    pub async fn terminate(mut self) {
        self.signal("TERM").await;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let code = ended.unwrap_or_else(|_| panic!("{} does not end: {}", self.name, self.log.display()));
        assert_eq!(code.expect("waited for").code(), Some(0), "{}: {}", self.name, self.log.display());
    }
}
