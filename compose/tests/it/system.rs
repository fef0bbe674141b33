//! Starts the real binary as a user does, and reads where it is from what it prints.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Beyond this a test has hung; nothing here takes a tenth of it.
const DEADLINE: Duration = Duration::from_secs(90);

/// A running product; killed when dropped.
pub struct System {
    child: Child,
    /// How it is asked.
    pub api: Api,
    /// `127.0.0.1:port` of the event log.
    pub brokers: String,
    /// All it printed to standard output before it was ready.
    pub banner: String,
}

/// The API of a running product.
#[derive(Clone)]
pub struct Api {
    /// `http://127.0.0.1:port`
    pub url: String,
    http: reqwest::Client,
}

/// The binary with nothing of the caller's environment but what it needs to run.
pub fn command(data_dir: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compose"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
        .env("DATA_DIR", data_dir)
        .env("API_LISTEN", "127.0.0.1:0")
        .env("RUST_LOG", "warn")
        .envs(variables.iter().copied());
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

impl System {
    /// Starts it and waits until it says where it is.
    pub async fn start(data_dir: &Path, variables: &[(&str, &str)]) -> System {
        let mut child = command(data_dir, variables).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut banner = String::new();
        let mut found = BTreeMap::new();
        let read = async {
            while let Some(line) = lines.next_line().await.expect("readable output") {
                banner.push_str(&line);
                banner.push('\n');
                if let Some((name, value)) = line.trim().split_once("  ") {
                    found.insert(name.to_owned(), value.trim().to_owned());
                }
                if found.contains_key("stop") {
                    return;
                }
            }
            panic!("the product ended before it was ready; it printed:\n{banner}");
        };
        tokio::time::timeout(DEADLINE, read).await.expect("the product is ready before the deadline");
        System {
            child,
            api: Api::at(found["dashboard"].trim_end_matches('/')),
            brokers: found["event log"].clone(),
            banner,
        }
    }

    /// kill -9.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("the process is ours");
    }

    /// SIGTERM, and the exit code that follows.
    pub async fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().expect("running").to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill is there");
        assert!(sent.success());
        let ended = tokio::time::timeout(Duration::from_secs(10), self.child.wait())
            .await
            .expect("it ends within its deadline");
        ended.expect("waited for").code()
    }
}

impl Api {
    /// The API at `http://127.0.0.1:port`.
    pub fn at(url: &str) -> Api {
        Api {
            url: url.to_owned(),
            http: reqwest::Client::new(),
        }
    }

    /// The answer to a GET, if the product answers at all: status and JSON.
    pub async fn try_get(&self, path: &str) -> Option<(u16, Value)> {
        let response = self
            .http
            .get(format!("{}{path}", self.url))
            .timeout(Duration::from_secs(10))
            .send()
            .await
            .ok()?;
        let status = response.status().as_u16();
        Some((status, serde_json::from_str(&response.text().await.ok()?).ok()?))
    }

    /// The JSON of a GET that has to succeed.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.try_get(path).await.expect("the API answers");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// All items of a list, over all its pages.
    pub async fn get_all(&self, path: &str) -> Vec<Value> {
        self.try_get_all(path).await.unwrap_or_else(|why| panic!("{why}"))
    }

    /// All items of a list, over all its pages, or what was answered instead.
    pub async fn try_get_all(&self, path: &str) -> Result<Vec<Value>, String> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = match self.try_get(&format!("{path}{separator}limit=500{cursor}")).await {
                Some((200, page)) => page,
                other => return Err(format!("{path}: {other:?}")),
            };
            items.extend(page["items"].as_array().expect("a list").iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }

    /// Asks until `pick` finds what it looks for.
    pub async fn eventually<T>(&self, path: &str, what: &str, pick: impl Fn(&Value) -> Option<T>) -> T {
        let mut last = None;
        let search = async {
            loop {
                if let Some((200, body)) = self.try_get(path).await {
                    if let Some(found) = pick(&body) {
                        return found;
                    }
                    last = Some(body);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, search).await;
        found.unwrap_or_else(|_| panic!("{what}: not before the deadline; last answer of {path}: {}", last.unwrap_or_default()))
    }
}
