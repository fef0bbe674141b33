//! What the same machine does in the same run without any guarantee: the ceilings that the product is compared with.

use std::fmt::Write as _;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde::Deserialize;
use shared::adapters::kafka::{FollowFrom, Record, Topic};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::measure::{Measured, Stopwatch};
use crate::process::{Used, ended_children_cpu_seconds};
use crate::servers::Servers;

/// Bytes of a document that stands for a slim record.
const DOCUMENT_BYTES: usize = 1_100;
/// Documents to a request and requests at a time.
pub type Shape = (usize, usize);
/// The most that gets through, and nearly as much at a fifth of the latency.
const SHAPES: [Shape; 2] = [(5_000, 4), (2_000, 2)];
/// So often the topic is read where nothing else is done.
const READINGS: usize = 2;
/// Records that may be read before they are written.
const READ_AHEAD: usize = 20_000;
/// In each of two shapes.
const WARM_UP_DOCUMENTS: usize = 300_000;
/// The Python design is given no more: it would take minutes.
const CLASSIC_RECORDS: usize = 60_000;

/// `_bulk` of ready documents, one for a record, in the better of two shapes, and which that is.
///
/// # Errors
/// What Elasticsearch says.
pub async fn bulk_ceiling(servers: &Servers, records: usize) -> anyhow::Result<(Shape, Measured)> {
    let mut best: Option<(Shape, Measured)> = None;
    for shape in SHAPES {
        let measured = bulk(servers, records, shape).await?;
        if best.as_ref().is_none_or(|(_, best)| best.per_second < measured.per_second) {
            best = Some((shape, measured));
        }
    }
    best.context("there are shapes")
}

/// `_bulk` of ready documents in one shape.
///
/// # Errors
/// What Elasticsearch says.
pub async fn bulk(servers: &Servers, records: usize, (documents, at_once): Shape) -> anyhow::Result<Measured> {
    let index = format!("{}ceiling", servers.prefix);
    servers.make_index(&index).await?;
    let bodies: Vec<String> = (0..records.div_ceil(documents))
        .map(|body| (body * documents..((body + 1) * documents).min(records)).map(ready).collect())
        .collect();
    let stopwatch = Stopwatch::start();
    write_all(servers, &index, bodies, at_once).await?;
    let measured = stopwatch.stop(records);
    servers.remove_index(&index).await?;
    Ok(measured)
}

/// Has Elasticsearch write until it has compiled what it needs for that.
///
/// # Errors
/// What Elasticsearch says.
pub async fn warm_up() -> anyhow::Result<()> {
    let servers = Servers::find()?;
    bulk_ceiling(&servers, WARM_UP_DOCUMENTS).await?;
    Ok(())
}

async fn write_all(servers: &Servers, index: &str, bodies: Vec<String>, at_once: usize) -> anyhow::Result<()> {
    let path = format!("{index}/_bulk?filter_path=errors");
    let written = stream::iter(bodies).map(|body| servers.ask(Method::POST, &path, "application/x-ndjson", body));
    let answers: Vec<_> = written.buffer_unordered(at_once).collect().await;
    for answer in answers {
        ensure!(answer?["errors"] == false, "a document was refused");
    }
    Ok(())
}

fn ready(number: usize) -> String {
    let mut line = format!(r#"{{"index":{{"_id":"{number}","version":1,"version_type":"external"}}}}"#);
    line.push('\n');
    let start = line.len();
    let _ = write!(line, r#"{{"asin":"B{number:09}","market":"DE","price":{},"text":""#, number % 40_000);
    while line.len() - start < DOCUMENT_BYTES {
        let _ = write!(line, "{} ", number.wrapping_mul(2_654_435_761) % 1_000_003 + line.len());
    }
    line.push_str("\"}\n");
    line
}

/// Reads the topic and does nothing; several times, since once takes less than a second.
///
/// # Errors
/// What the servers say.
pub async fn consume(servers: &Servers, records: usize) -> anyhow::Result<Measured> {
    let stopwatch = Stopwatch::start();
    for _ in 0..READINGS {
        let mut reading = Reading::begin(servers);
        for _ in 0..records {
            reading.next().await?;
        }
    }
    Ok(stopwatch.stop(READINGS * records))
}

/// Reads, parses, writes a slim document for each record, and answers for nothing: no merge, no order, no offset.
///
/// # Errors
/// What the servers say.
pub async fn bare_loop(servers: &Servers, records: usize) -> anyhow::Result<Measured> {
    let (documents, at_once) = SHAPES[1];
    let index = format!("{}bare", servers.prefix);
    servers.make_index(&index).await?;
    let path: Arc<str> = format!("{index}/_bulk?filter_path=errors").into();
    let mut reading = Reading::begin(servers);
    let stopwatch = Stopwatch::start();
    let bodies = stream::unfold((0, &mut reading), |(read, reading)| async move {
        if read >= records {
            return None;
        }
        let count = documents.min(records - read);
        let mut body = String::with_capacity(count * (DOCUMENT_BYTES + 100));
        for _ in 0..count {
            match reading.next().await {
                Ok(record) => slim(&record, &mut body),
                Err(error) => return Some((Err(error), (records, reading))),
            }
        }
        Some((Ok(body), (read + count, reading)))
    });
    let written = bodies.map(|body| {
        let path = Arc::clone(&path);
        async move { servers.ask(Method::POST, &path, "application/x-ndjson", body?).await }
    });
    let answers: Vec<_> = written.buffer_unordered(at_once).collect().await;
    for answer in answers {
        ensure!(answer?["errors"] == false, "a document was refused");
    }
    let measured = stopwatch.stop(records);
    servers.remove_index(&index).await?;
    Ok(measured)
}

/// The usual design in Python on a part of the records, with the interpreter that `BENCH_PYTHON` names; none without it.
///
/// # Errors
/// What it or the servers say.
pub async fn classic(servers: &Servers, records: usize) -> anyhow::Result<Option<Measured>> {
    let Some(python) = std::env::var_os("BENCH_PYTHON") else {
        eprintln!("NOT RUN: the classic Python design, BENCH_PYTHON is not set; compose/bench installs what it needs and sets it");
        return Ok(None);
    };
    let records = records.min(CLASSIC_RECORDS);
    let index = format!("{}classic", servers.prefix);
    servers.make_index(&index).await?;
    let stopwatch = Stopwatch::start();
    let before = ended_children_cpu_seconds();
    let output = Command::new(python)
        .args(["-c", include_str!("classic.py"), &servers.brokers, &servers.log.topic_name(Topic::RawUpdates)])
        .args([servers.elasticsearch.as_str(), &index, &records.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .await
        .context("BENCH_PYTHON")?;
    ensure!(output.status.success(), "the Python design ended with {}", output.status);
    let took = String::from_utf8_lossy(&output.stdout).trim().parse().context("it prints seconds")?;
    let used = Used {
        cpu_seconds: ended_children_cpu_seconds() - before,
        peak_mib: f64::NAN,
    };
    let measured = stopwatch.stop_other(records, took, used);
    servers.remove_index(&index).await?;
    Ok(Some(Measured { peak_mib: None, ..measured }))
}

/// What a loop without care would read of a record.
#[derive(Deserialize)]
struct Parsed<'a> {
    asin: &'a str,
    #[serde(rename = "domain_id")]
    domain: i64,
    #[serde(borrow)]
    product: ParsedProduct<'a>,
}

#[derive(Deserialize)]
struct ParsedProduct<'a> {
    #[serde(borrow)]
    title: std::borrow::Cow<'a, str>,
    stats: ParsedStats,
}

#[derive(Deserialize)]
struct ParsedStats {
    current: Vec<i64>,
    avg30: Vec<i64>,
    avg90: Vec<i64>,
}

/// One that cannot be parsed is left out; nobody is told.
fn slim(record: &Record, body: &mut String) {
    let Some(parsed) = record.payload.as_deref().and_then(|payload| serde_json::from_slice::<Parsed<'_>>(payload).ok()) else {
        return;
    };
    let Parsed { asin, domain, product } = parsed;
    // Writing to a string cannot fail.
    let _ = write!(
        body,
        "{{\"index\":{{\"_id\":\"{asin}-{domain}\"}}}}\n{{\"asin\":\"{asin}\",\"market\":\"{domain}\",\"price\":{},\"title\":{:?},\"current\":{:?},\"avg30\":{:?},\"avg90\":{:?}}}\n",
        product.stats.current.get(1).unwrap_or(&-1),
        product.title,
        product.stats.current,
        product.stats.avg30,
        product.stats.avg90
    );
}

/// The topic from its beginning.
struct Reading {
    received: tokio::sync::mpsc::Receiver<Record>,
    end: CancellationToken,
    _tasks: JoinSet<()>,
}

impl Reading {
    fn begin(servers: &Servers) -> Reading {
        let (sender, received) = tokio::sync::mpsc::channel(READ_AHEAD);
        let end = CancellationToken::new();
        let following = servers.log.follow(Topic::RawUpdates, FollowFrom::Beginning, end.clone(), move |record| {
            // Whoever measures may have seen enough.
            let _ = sender.blocking_send(record);
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            if let Err(error) = following.await {
                eprintln!("the topic is read no further: {error}");
            }
        });
        Reading { received, end, _tasks: tasks }
    }

    async fn next(&mut self) -> anyhow::Result<Record> {
        self.received.recv().await.context("the topic is read no further")
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.end.cancel();
        self.received.close();
    }
}
