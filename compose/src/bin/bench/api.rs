//! The API under load, cached and not, beside the same search sent straight to Elasticsearch. The load comes from `wrk`, which
//! keeps its connections busy without a pause: a rate is the most that gets through, a latency that of a full machine.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use shared::domain::UnixMillis;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::process::{Service, free_address};
use crate::records::{Order, Records};
use crate::servers::Servers;

const CONNECTIONS: [u32; 3] = [1, 16, 128];
const PRODUCTS: usize = 5_000;
const MARKETS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(300);
/// What is asked for: the first page of the dashboard.
const LIST: &str = "/opportunities?limit=50&sort=-margin_percentage";
/// With a margin, and a least profit, that differ each time: no two requests are the same, so no answer is kept for long
/// enough. Both are told in hundredths.
const NEVER_THE_SAME: &str = "/opportunities?limit=50&sort=-margin_percentage&min_margin=";

/// One kind of request over some connections.
#[derive(Debug, Clone, Serialize)]
pub struct Load {
    /// `servers` or `embedded`.
    pub on: &'static str,
    /// `cached`, `uncached`, or `direct`: the same search at Elasticsearch.
    pub what: &'static str,
    /// Open at a time.
    pub connections: u32,
    /// Requests a second.
    pub per_second: f64,
    /// Milliseconds that half of them took at most.
    pub p50_ms: f64,
    /// Likewise ninety-nine in a hundred.
    pub p99_ms: f64,
}

/// Measures both catalogs.
///
/// # Errors
/// A process that does not start; `wrk` that is not installed; an answer that is no success.
pub async fn run(seconds: u64, seed: u64) -> anyhow::Result<Vec<Load>> {
    let servers = Servers::find()?;
    let mut results = Vec::new();
    let outcome = on_servers(&servers, seconds, seed).await;
    servers.remove_everything().await;
    results.extend(outcome?);
    results.extend(embedded(seconds).await?);
    Ok(results)
}

async fn on_servers(servers: &Servers, seconds: u64, seed: u64) -> anyhow::Result<Vec<Load>> {
    servers
        .publish(&Records::plan(PRODUCTS * MARKETS, Order::Close, seed, 0, UnixMillis::now()))
        .await?;
    let rates = tempfile::tempdir()?;
    let rates = crate::freshness::shipped_rates(rates.path())?;
    let eavesdropper = Eavesdropper::start(servers).await?;
    let through = eavesdropper.url();
    let address = free_address()?;
    let enricher = Service::start("enricher", servers, &[])?;
    let detector = Service::start("detector", servers, &[("RATES_FILE", &rates)])?;
    let api = Service::start("api", servers, &[("API_LISTEN", &address), ("ELASTICSEARCH_URL", &through)])?;
    let base = format!("http://{address}");
    wait_for_gaps(&base).await?;
    for service in [enricher, detector] {
        service.terminate().await?;
    }
    let search = eavesdropper.search_of(&base).await?;
    api.terminate().await?;
    // Without anything between.
    let api = Service::start("api", servers, &[("API_LISTEN", &address)])?;
    wait_for_gaps(&base).await?;
    let mut results = Vec::new();
    for connections in CONNECTIONS {
        results.push(load("servers", "direct", connections, seconds, &search.url, Some(&search.script())).await?);
        results.push(uncached("servers", &base, connections, seconds).await?);
        results.push(load("servers", "cached", connections, seconds, &format!("{base}{LIST}"), None).await?);
    }
    api.terminate().await?;
    Ok(results)
}

async fn embedded(seconds: u64) -> anyhow::Result<Vec<Load>> {
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let process = Service::start_embedded(&folder.path().join("data"), &address)?;
    let base = format!("http://{address}");
    wait_for_gaps(&base).await?;
    let mut results = Vec::new();
    for connections in CONNECTIONS {
        results.push(uncached("embedded", &base, connections, seconds).await?);
        results.push(load("embedded", "cached", connections, seconds, &format!("{base}{LIST}"), None).await?);
    }
    process.terminate().await?;
    Ok(results)
}

/// A page's worth of opportunities has to be there before any time is taken.
async fn wait_for_gaps(base: &str) -> anyhow::Result<()> {
    let http = reqwest::Client::new();
    let began = std::time::Instant::now();
    loop {
        if let Ok(answer) = http.get(format!("{base}{LIST}")).send().await
            && answer.status().is_success()
            && answer.text().await?.matches("\"source_market\"").count() >= 50
        {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{base} shows no page of opportunities");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn uncached(on: &'static str, base: &str, connections: u32, seconds: u64) -> anyhow::Result<Load> {
    let script = format!(
        "local asked = 0\nfunction request()\n asked = asked + 1\n return wrk.format('GET', string.format('{NEVER_THE_SAME}%.2f&min_profit=-%.2f', asked % 900 / 100, asked / 90000))\nend\n"
    );
    load(on, "uncached", connections, seconds, base, Some(&script)).await
}

/// Runs `wrk` once.
async fn load(on: &'static str, what: &'static str, connections: u32, seconds: u64, url: &str, script: Option<&str>) -> anyhow::Result<Load> {
    const TELL: &str = "\nfunction done(summary, latency)\n local errors = summary.errors\n io.write(string.format('RESULT %f %f %f %d\\n', \
                        summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, \
                        errors.connect + errors.read + errors.write + errors.status + errors.timeout))\nend\n";
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("load.lua");
    std::fs::write(&path, format!("{}{TELL}", script.unwrap_or_default()))?;
    let output = wrk(&path, connections, seconds, url).await?;
    let line = output
        .lines()
        .find_map(|line| line.strip_prefix("RESULT "))
        .with_context(|| format!("wrk says {output}"))?;
    let numbers: Vec<f64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
    let [per_second, p50_ms, p99_ms, errors] = numbers[..] else {
        anyhow::bail!("wrk says {line}")
    };
    ensure!(errors == 0.0, "{errors} requests to {url} failed");
    let load = Load {
        on,
        what,
        connections,
        per_second,
        p50_ms,
        p99_ms,
    };
    eprintln!("{}", serde_json::to_string(&load)?);
    Ok(load)
}

async fn wrk(script: &Path, connections: u32, seconds: u64, url: &str) -> anyhow::Result<String> {
    let output = Command::new("wrk")
        .args([
            "--threads",
            "1",
            "--connections",
            &connections.to_string(),
            "--duration",
            &format!("{seconds}s"),
            "--script",
        ])
        .arg(script)
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .await
        .context("wrk is not installed (Debian's package wrk)")?;
    ensure!(output.status.success(), "wrk: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The search that the API sends for [`LIST`].
struct Search {
    url: String,
    body: String,
}

impl Search {
    fn script(&self) -> String {
        format!(
            "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = [==[{}]==]\n",
            self.body
        )
    }
}

/// Stands between the API and Elasticsearch and keeps what is asked.
struct Eavesdropper {
    address: String,
    elasticsearch: String,
    heard: Arc<Mutex<Vec<u8>>>,
    _listening: JoinSet<()>,
}

impl Eavesdropper {
    async fn start(servers: &Servers) -> anyhow::Result<Eavesdropper> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let elasticsearch = servers.elasticsearch.authority().to_owned();
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let mut listening = JoinSet::new();
        let (to, keeps) = (elasticsearch.clone(), Arc::clone(&heard));
        listening.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass_on(client, to.clone(), Arc::clone(&keeps)));
            }
        });
        Ok(Eavesdropper {
            address,
            elasticsearch,
            heard,
            _listening: listening,
        })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks the API once and finds the search in what it asked of Elasticsearch.
    async fn search_of(&self, base: &str) -> anyhow::Result<Search> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        // Answers are kept; this one is not.
        let url = format!("{base}{NEVER_THE_SAME}9.5");
        reqwest::Client::new().get(url).send().await?.error_for_status()?;
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8_lossy(&heard);
        let start = text
            .find("opportunities/_search")
            .and_then(|at| text[..at].rfind("POST "))
            .context("the API searched nothing")?;
        let (head, rest) = text[start..].split_once("\r\n\r\n").context("a request has a head")?;
        let path = head.split(' ').nth(1).context("a request has a path")?;
        let length = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
        let body = rest.get(..length.context("a search has a body")?).context("the body is whole")?;
        Ok(Search {
            url: format!("http://{}{path}", self.elasticsearch),
            body: body.to_owned(),
        })
    }
}

async fn pass_on(client: TcpStream, to: String, heard: Arc<Mutex<Vec<u8>>>) {
    let Ok(server) = TcpStream::connect(to).await else { return };
    let ((mut asks, mut hears), (mut answers, mut is_asked)) = (client.into_split(), server.into_split());
    let asking = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = asks.read(&mut buffer).await {
            heard.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
            if is_asked.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    // Either side may end it.
    tokio::select! {
        () = asking => {}
        _ = tokio::io::copy(&mut answers, &mut hears) => {}
    }
}
