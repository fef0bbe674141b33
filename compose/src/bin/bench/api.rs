//! The API under load. Cached: at the rate of the goal, due at fixed instants, and as fast as it goes (`wrk`, which keeps its
//! connections busy without a pause: a rate is then the most that gets through, a latency that of a full machine). Not
//! cached: questions that all differ, beside the same searches sent straight to Elasticsearch, taking turns.

mod load;

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use shared::adapters::kafka::{Message, Topic};
use shared::domain::UnixMillis;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

use self::load::{Pace, Samples};
use crate::measure::Spread;
use crate::process::{Service, free_address};
use crate::records::{Order, Records};
use crate::servers::Servers;

const CONNECTIONS: [u32; 3] = [1, 16, 128];
/// That of the goal.
const RATE: u32 = 10_000;
const PRODUCTS: usize = 5_000;
const MARKETS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(300);
/// The Java machine compiles what is used; until it has, it is slower.
const WARM_UP: Duration = Duration::from_secs(15);
/// So often the two that are compared take turns.
const TURNS: u32 = 5;
/// Opportunities change all the time where they matter: lists then live as short as they ever do.
const CHANGE_EVERY: Duration = Duration::from_millis(100);
/// What is asked for: the first page of the dashboard.
const LIST: &str = "/opportunities?limit=50&sort=-margin_percentage";
/// What browsers accept.
const BROWSER: &str = "gzip, deflate, br";
/// The first of the losses that questions differ by, cents; nothing loses as much, so all find the same. It is searched for
/// in what the API asks of Elasticsearch, so it has to be an odd number.
const FIRST_LOSS: u64 = 123_456_789;

/// What was asked, and how.
pub mod what {
    /// At [`super::RATE`].
    pub const CACHED: &str = "cached";
    /// Likewise, by clients that take compressed answers.
    pub const CACHED_COMPRESSED: &str = "cached, compressed";
    /// As fast as it goes, by `wrk`.
    pub const SATURATED: &str = "cached, as fast as it goes";
    /// Questions that all differ.
    pub const UNCACHED: &str = "uncached";
    /// The same searches at Elasticsearch.
    pub const DIRECT: &str = "direct";
}

/// One kind of request over some connections.
#[derive(Debug, Clone, Serialize)]
pub struct Load {
    /// `servers` or `embedded`.
    pub on: &'static str,
    /// One of [`what`].
    pub what: &'static str,
    /// Open at a time.
    pub connections: u32,
    /// Answers a second.
    pub per_second: f64,
    /// Milliseconds that half of them took at most.
    pub p50_ms: f64,
    /// Likewise ninety-nine in a hundred.
    pub p99_ms: f64,
    /// Likewise nine hundred and ninety-nine in a thousand; `wrk` is not asked.
    pub p999_ms: Option<f64>,
    /// What ninety-nine in a hundred took at most from when they were sent, without the queue on their connection.
    pub answer_p99_ms: Option<f64>,
    /// Likewise all of them.
    pub answer_max_ms: Option<f64>,
    /// Half of these took at most, by what half of the same searches took at Elasticsearch in the same turn.
    pub of_direct: Option<Spread>,
    /// Likewise the time of all.
    pub of_direct_time: Option<Spread>,
    /// By how much ninety-nine in a hundred were sent late at most because this program was not woken in time; it is in the others.
    pub late_p99_ms: Option<f64>,
}

impl Load {
    fn of(on: &'static str, what: &'static str, connections: u32, samples: &Samples) -> Load {
        Load {
            on,
            what,
            connections,
            per_second: samples.per_second(),
            p50_ms: samples.per_mille_ms(500),
            p99_ms: samples.per_mille_ms(990),
            p999_ms: Some(samples.per_mille_ms(999)),
            answer_p99_ms: Some(samples.answer_per_mille_ms(990)),
            answer_max_ms: Some(samples.answer_per_mille_ms(1_000)),
            of_direct: None,
            of_direct_time: None,
            late_p99_ms: Some(samples.late_p99_ms()).filter(|late| !late.is_nan()),
        }
    }

    fn told(self) -> Load {
        eprintln!("{}", serde_json::to_string(&self).unwrap_or_default());
        self
    }
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
    wait_for_gaps(&address).await?;
    for service in [enricher, detector] {
        service.terminate().await?;
    }
    let search = eavesdropper.search_of(&address).await?;
    api.terminate().await?;
    // Without anything between.
    let api = Service::start("api", servers, &[("API_LISTEN", &address)])?;
    wait_for_gaps(&address).await?;
    let questions = Arc::new(Questions {
        address: address.clone(),
        search,
        asked: AtomicU64::new(0),
    });
    let mut results = questions.measure_both(servers, seconds).await?;
    let changes = Changes::start(servers)?;
    results.extend(cached("servers", &address, seconds).await?);
    changes.stop().await;
    api.terminate().await?;
    Ok(results)
}

async fn embedded(seconds: u64) -> anyhow::Result<Vec<Load>> {
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let process = Service::start_embedded(&folder.path().join("data"), &address)?;
    wait_for_gaps(&address).await?;
    let mut results = Vec::new();
    let asked = Arc::new(AtomicU64::new(0));
    for connections in CONNECTIONS {
        let (to, asked) = (address.clone(), Arc::clone(&asked));
        let request = move |_| load::get(&to, &list_of(asked.fetch_add(1, Ordering::Relaxed)), None);
        let samples = offer(&address, connections, Pace::Closed, Duration::from_secs(seconds), request).await?;
        results.push(Load::of("embedded", what::UNCACHED, connections, &samples).told());
    }
    results.extend(cached("embedded", &address, seconds).await?);
    process.terminate().await?;
    Ok(results)
}

/// A page's worth of opportunities has to be there before any time is taken.
async fn wait_for_gaps(address: &str) -> anyhow::Result<()> {
    let http = reqwest::Client::new();
    let began = std::time::Instant::now();
    loop {
        if let Ok(answer) = http.get(format!("http://{address}{LIST}")).send().await
            && answer.status().is_success()
            && answer.text().await?.matches("\"source_market\"").count() >= 50
        {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{address} shows no page of opportunities");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The first page with the number of a question in it, which the API keeps apart from all others.
fn list_of(number: u64) -> String {
    let loss = FIRST_LOSS + number;
    format!("{LIST}&min_profit=-{}.{:02}", loss / 100, loss % 100)
}

/// One page, asked for by all.
async fn cached(on: &'static str, address: &str, seconds: u64) -> anyhow::Result<Vec<Load>> {
    let mut results = Vec::new();
    for connections in CONNECTIONS {
        for (what, accepted) in [(what::CACHED, None), (what::CACHED_COMPRESSED, Some(BROWSER))] {
            let request = load::get(address, LIST, accepted);
            let request = move |_| request.clone();
            // The first are those of a connection that is new.
            offer(address, connections, Pace::PerSecond(RATE), Duration::from_secs(1), request.clone()).await?;
            let samples = offer(address, connections, Pace::PerSecond(RATE), Duration::from_secs(seconds), request).await?;
            results.push(Load::of(on, what, connections, &samples).told());
        }
        results.push(saturate(on, connections, seconds, &format!("http://{address}{LIST}")).await?);
    }
    Ok(results)
}

/// [`load::run`] beside the async runtime.
async fn offer(
    address: &str,
    connections: u32,
    pace: Pace,
    duration: Duration,
    request: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static,
) -> anyhow::Result<Samples> {
    let address = address.to_owned();
    tokio::task::spawn_blocking(move || load::run(&address, connections, pace, duration, &request)).await?
}

/// Questions that were never asked before, and the searches that the API makes of them.
struct Questions {
    address: String,
    search: Search,
    asked: AtomicU64,
}

impl Questions {
    /// The same questions at the API and at Elasticsearch, in turns: what else the machine does meanwhile meets both.
    async fn measure_both(self: &Arc<Self>, servers: &Servers, seconds: u64) -> anyhow::Result<Vec<Load>> {
        for is_direct in [true, false] {
            self.offer(is_direct, 16, WARM_UP / 2).await?;
        }
        let before = answered_from_cache(servers).await?;
        let mut results = Vec::new();
        for connections in CONNECTIONS {
            let (mut all_direct, mut all_uncached) = (Samples::default(), Samples::default());
            let (mut of_p50, mut of_time) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                let turn = Duration::from_secs(seconds) / TURNS;
                let direct = self.offer(true, connections, turn).await?;
                let uncached = self.offer(false, connections, turn).await?;
                of_p50.push(uncached.per_mille_ms(500) / direct.per_mille_ms(500));
                of_time.push(direct.per_second() / uncached.per_second());
                all_direct.add(direct);
                all_uncached.add(uncached);
            }
            results.push(Load::of("servers", what::DIRECT, connections, &all_direct).told());
            let uncached = Load {
                of_direct: Some(Spread::of(of_p50)),
                of_direct_time: Some(Spread::of(of_time)),
                ..Load::of("servers", what::UNCACHED, connections, &all_uncached)
            };
            results.push(uncached.told());
        }
        let after = answered_from_cache(servers).await?;
        ensure!(before == after, "Elasticsearch answered {} searches from its cache", after - before);
        Ok(results)
    }

    async fn offer(self: &Arc<Self>, is_direct: bool, connections: u32, duration: Duration) -> anyhow::Result<Samples> {
        let questions = Arc::clone(self);
        let address = if is_direct { &self.search.address } else { &self.address };
        let request = move |_| {
            let number = questions.asked.fetch_add(1, Ordering::Relaxed);
            if is_direct {
                questions.search.request(number)
            } else {
                load::get(&questions.address, &list_of(number), None)
            }
        };
        offer(address, connections, Pace::Closed, duration, request).await
    }
}

/// How many searches Elasticsearch has answered without searching.
async fn answered_from_cache(servers: &Servers) -> anyhow::Result<u64> {
    let path = format!("{}*/_stats/request_cache", servers.prefix);
    let statistics = servers.ask(reqwest::Method::GET, &path, "application/json", "").await?;
    let hits = statistics["_all"]["total"]["request_cache"]["hit_count"].as_u64();
    hits.context("Elasticsearch tells how often it used its cache")
}

/// Announcements of changes, which the API follows.
struct Changes(JoinSet<()>);

impl Changes {
    fn start(servers: &Servers) -> anyhow::Result<Changes> {
        let publisher = servers.log.publisher()?;
        let mut announcing = JoinSet::new();
        announcing.spawn(async move {
            let mut tick = tokio::time::interval(CHANGE_EVERY);
            loop {
                tick.tick().await;
                let message = Message::new("B000000000", Some(b"{}".to_vec()));
                if let Err(error) = publisher.publish(Topic::Alerts, message).await {
                    eprintln!("a change is not announced: {error}");
                }
            }
        });
        Ok(Changes(announcing))
    }

    async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

/// Runs `wrk` once.
async fn saturate(on: &'static str, connections: u32, seconds: u64, url: &str) -> anyhow::Result<Load> {
    const TELL: &str = "function done(summary, latency)\n local errors = summary.errors\n io.write(string.format('RESULT %f %f %f %d\\n', \
                        summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, \
                        errors.connect + errors.read + errors.write + errors.status + errors.timeout))\nend\n";
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("load.lua");
    std::fs::write(&path, TELL)?;
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
        what: what::SATURATED,
        connections,
        per_second,
        p50_ms,
        p99_ms,
        p999_ms: None,
        answer_p99_ms: None,
        answer_max_ms: None,
        of_direct: None,
        of_direct_time: None,
        late_p99_ms: None,
    };
    Ok(load.told())
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

/// The search that the API makes of a question of [`list_of`].
struct Search {
    /// Elasticsearch's.
    address: String,
    path: String,
    /// Before and after the loss in it.
    body: (String, String),
}

impl Search {
    fn request(&self, number: u64) -> Vec<u8> {
        let (before, after) = &self.body;
        load::post(&self.address, &self.path, &format!("{before}-{}{after}", FIRST_LOSS + number))
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
    async fn search_of(&self, address: &str) -> anyhow::Result<Search> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let url = format!("http://{address}{}", list_of(0));
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
        let (before, after) = body.split_once(&format!("-{FIRST_LOSS}")).context("the search has the loss in it")?;
        Ok(Search {
            address: self.elasticsearch.clone(),
            path: path.to_owned(),
            body: (before.to_owned(), after.to_owned()),
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
