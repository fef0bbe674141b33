//! `enricher dlq`: looks at dead letters and publishes them again.
//!
//! Reading moves nothing and needs no consumer group, so it can be done at any time, while enrichers run. A replayed
//! letter is a record of `raw.keepa_updates` like any other: its merge is a no-op where it was written before, so replaying
//! twice changes nothing more. Letters stay where they are until they expire.

mod arguments;
mod letter;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::ControlFlow;

use anyhow::Context as _;
use futures_util::future::join_all;
use shared::adapters::kafka::{EventLog, Extent, Message, Record, Topic};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use arguments::{Command, HELP, Selection, parse};
pub use letter::Position;
use letter::{NotReplayable, Summary, again, position_of, printable};

/// Letters on their way from the reading thread.
const READ_AHEAD: usize = 64;
/// Letters and bytes that are published before their confirmations are waited for.
const AT_ONCE: usize = 200;
const BYTES_AT_ONCE: usize = 8 * 1024 * 1024;

/// Does what the command says and writes what there is to see.
///
/// # Errors
/// An event log that does not answer, a letter that is not there or was not confirmed, output that cannot be written.
pub async fn run(command: Command, event_log: EventLog, out: &mut impl Write, shutdown: CancellationToken) -> anyhow::Result<()> {
    let done = match command {
        Command::Help => writeln!(out, "{HELP}").map_err(anyhow::Error::from),
        Command::List { class, limit, json } => list(&event_log, class.as_deref(), limit, json, out, &shutdown).await,
        Command::Show { position, raw } => show(&event_log, position, raw, out, &shutdown).await,
        Command::Replay { selection, dry_run } => replay(&event_log, &selection, dry_run, out, &shutdown).await.map(drop),
    };
    match done {
        // A reader that has seen enough (`| head`) is no fault.
        Err(error)
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        done => done,
    }
}

async fn list(event_log: &EventLog, class: Option<&str>, limit: usize, json: bool, out: &mut impl Write, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let extent = extent(event_log).await?;
    let mut newest: BTreeMap<(i64, Position), Summary> = BTreeMap::new();
    let mut replayed = BTreeSet::new();
    let mut found = 0_usize;
    each(event_log, &extent, shutdown, async |record| {
        let summary = Summary::of(&record);
        replayed.extend(summary.replayed_from);
        if class.is_none_or(|class| class == summary.class) {
            found += 1;
            newest.insert((summary.timestamp_ms, position_of(&record)), summary);
            if newest.len() > limit {
                newest.pop_first();
            }
        }
        Ok(())
    })
    .await?;
    if !json {
        writeln!(
            out,
            "{:>9} {:>10}  {:<24} {:<8} {:<32} {:<12} MESSAGE",
            "PARTITION", "OFFSET", "TIME", "CLASS", "FROM", "KEY"
        )?;
    }
    for ((_, position), summary) in &newest {
        let refused_again = replayed.contains(position);
        if json {
            writeln!(out, "{}", summary.to_json(refused_again))?;
        } else {
            writeln!(out, "{}", summary.to_line(refused_again))?;
        }
    }
    if !json && found > newest.len() {
        writeln!(out, "the newest {} of {found}; --limit shows more", newest.len())?;
    }
    Ok(())
}

async fn show(event_log: &EventLog, position: Position, raw: bool, out: &mut impl Write, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let not_there = || anyhow::anyhow!("there is no dead letter at {position}");
    let whole = extent(event_log).await?;
    let there = whole.partitions.get(&position.partition).is_some_and(|range| range.contains(&position.offset));
    anyhow::ensure!(there, not_there());
    let one = Extent {
        partitions: BTreeMap::from([(position.partition, position.offset..position.offset + 1)]),
    };
    let mut found = None;
    each(event_log, &one, shutdown, async |record| {
        found = Some(record);
        Ok(())
    })
    .await?;
    let record = found.ok_or_else(not_there)?;
    let payload = record.payload.as_deref();
    if raw {
        out.write_all(payload.unwrap_or_default())?;
        return Ok(());
    }
    let key = record.key.as_deref().unwrap_or_default();
    writeln!(
        out,
        "position   {position}\ntime       {}\nkey        {}",
        Summary::of(&record).time(),
        printable(key)
    )?;
    for (name, value) in &record.headers {
        writeln!(out, "{name:<24} {}", value.as_deref().map_or_else(|| "(null)".to_owned(), printable))?;
    }
    match payload {
        None => writeln!(out, "\n(no value)")?,
        // What is JSON is laid out; what is not is shown so that no byte can fool a terminal.
        Some(bytes) => match serde_json::from_slice::<serde_json::Value>(bytes) {
            Ok(value) => writeln!(out, "\n{value:#}")?,
            Err(_) => writeln!(out, "\n{}", printable(bytes))?,
        },
    }
    Ok(())
}

/// What a replay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Letters that were published again, or would have been.
    pub letters: usize,
    /// Letters that were replayed before and refused again: the newer letter stands for them.
    pub superseded: usize,
    /// Letters without the original value, which was too large for them.
    pub without_value: usize,
}

/// Publishes the selected letters to `raw.keepa_updates`, each with the broker's confirmation.
///
/// # Errors
/// An event log that does not answer, or a letter that it did not confirm: some may be published then, and replaying all
/// of them again does no harm.
pub async fn replay(
    event_log: &EventLog,
    selection: &Selection,
    dry_run: bool,
    out: &mut impl Write,
    shutdown: &CancellationToken,
) -> anyhow::Result<Replayed> {
    // What is refused while this goes on is a new letter: it lies beyond the extent.
    let extent = extent(event_log).await?;
    let mut superseded = BTreeSet::new();
    each(event_log, &extent, shutdown, async |record| {
        superseded.extend(Summary::of(&record).replayed_from);
        Ok(())
    })
    .await?;

    let publisher = event_log.publisher()?;
    let mut replayed = Replayed::default();
    let mut batch: Vec<(Position, Message)> = Vec::new();
    let mut bytes = 0;
    let flush = async |batch: &mut Vec<(Position, Message)>| -> anyhow::Result<()> {
        let sending = batch.drain(..).map(async |(position, message)| {
            let published = publisher.publish(Topic::RawUpdates, message).await;
            published.with_context(|| format!("the dead letter at {position} was not replayed"))
        });
        join_all(sending).await.into_iter().collect::<anyhow::Result<Vec<_>>>().map(drop)
    };
    each(event_log, &extent, shutdown, async |record| {
        let position = position_of(&record);
        let summary = Summary::of(&record);
        if !selection.takes(position, &summary.class) {
            return Ok(());
        }
        if superseded.contains(&position) {
            replayed.superseded += 1;
            return Ok(());
        }
        match again(&record) {
            Err(NotReplayable::WithoutValue) => {
                replayed.without_value += 1;
                writeln!(
                    out,
                    "not replayed {position}: its value was too large for a dead letter; it was at {}",
                    summary.origin()
                )?;
            }
            Ok(_) if dry_run => {
                replayed.letters += 1;
                writeln!(out, "{}", summary.to_line(false))?;
            }
            Ok(message) => {
                replayed.letters += 1;
                bytes += message.size();
                batch.push((position, message));
                if batch.len() >= AT_ONCE || bytes >= BYTES_AT_ONCE {
                    bytes = 0;
                    flush(&mut batch).await?;
                }
            }
        }
        Ok(())
    })
    .await?;
    flush(&mut batch).await?;
    let Replayed {
        letters,
        superseded,
        without_value,
    } = replayed;
    let verb = if dry_run { "would be replayed" } else { "replayed" };
    writeln!(
        out,
        "{letters} dead letters {verb}, {superseded} left to a newer letter of the same record, {without_value} without their value"
    )?;
    Ok(replayed)
}

async fn extent(event_log: &EventLog) -> anyhow::Result<Extent> {
    let topic = event_log.topic_name(Topic::RawUpdatesDlq);
    event_log.extent(Topic::RawUpdatesDlq).await.with_context(|| format!("{topic} cannot be read"))
}

/// Hands each letter of an extent to `take`, which may take its time.
async fn each(
    event_log: &EventLog,
    extent: &Extent,
    shutdown: &CancellationToken,
    mut take: impl AsyncFnMut(Record) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (letters, mut arriving) = mpsc::channel(READ_AHEAD);
    let reading = event_log.read(Topic::RawUpdatesDlq, extent.clone(), shutdown.clone(), move |record| {
        match letters.blocking_send(record) {
            Ok(()) => ControlFlow::Continue(()),
            // Nobody wants more.
            Err(_) => ControlFlow::Break(()),
        }
    });
    let taking = async move {
        while let Some(record) = arriving.recv().await {
            take(record).await?;
        }
        anyhow::Ok(())
    };
    let (read, taken) = tokio::join!(reading, taking);
    taken?;
    read.context("the dead letters cannot be read")?;
    anyhow::ensure!(!shutdown.is_cancelled(), "interrupted");
    Ok(())
}
