//! The enricher from Kafka to products that can be found, with every guarantee, beside the yardsticks of the same round.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Serialize;
use shared::adapters::kafka::Topic;
use shared::domain::UnixMillis;

use crate::apart::Work;
use crate::measure::{Measured, Stopwatch};
use crate::process::{Service, Settled, Used};
use crate::records::{Order, Records};
use crate::servers::Servers;
use crate::yardsticks::{self, Shape};

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Longer than any machine takes for a round.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// What takes a second is measured so often in a round, each time beside `_bulk`.
const SHORT_TURNS: usize = 3;
/// So often the Python design: Elasticsearch's part of what it costs differs most from one time to the next.
const CLASSIC_TURNS: usize = 2;
/// A process that is stopped while records are published stays in its group.
const SESSION: (&str, &str) = ("KAFKA_SESSION_TIMEOUT", "5m");

/// One round.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// In which order the records came.
    pub order: Order,
    /// In the order in which they were had.
    pub results: Vec<Compared>,
    /// Products compared with the truth, each time.
    pub verified: usize,
    /// Records of [`what::REPLAY_ALL`].
    pub backlog: usize,
    /// Resident MiB of the enricher when a tenth of them is settled, half, and all.
    pub backlog_mib: [f64; 3],
}

/// What was measured, and the yardstick beside it.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// One of [`what`].
    pub what: &'static str,
    /// What it took.
    pub measured: Measured,
    /// Its rate by that of `_bulk` alone, measured just before and just after: a machine changes its pace within minutes.
    pub of_bulk: f64,
}

/// The names of what is measured.
pub mod what {
    /// `_bulk` of ready documents.
    pub const BULK: &str = "_bulk of ready documents";
    /// Reading alone.
    pub const READING: &str = "reading alone";
    /// Read, parse, write a document a record, no guarantee.
    pub const BARE: &str = "bare loop";
    /// The usual design in Python.
    pub const CLASSIC: &str = "classic Python design";
    /// Into an empty catalog.
    pub const FIRST_FILL: &str = "enricher, first fill";
    /// The same records again, by the process that has settled them.
    pub const REPLAY_WARM: &str = "enricher, replay, warm";
    /// Other prices, by the process that has written the former.
    pub const OVERWRITE_WARM: &str = "enricher, overwrite, warm";
    /// Other prices, by a process that knows nothing yet.
    pub const OVERWRITE_COLD: &str = "enricher, overwrite, cold";
    /// The whole topic from its beginning, by a process that knows nothing yet; nothing changes.
    pub const REPLAY_ALL: &str = "enricher, replay of all, cold";
}

/// Records of the round before the first, which nobody looks at.
const WARM_UP_RECORDS: usize = 150_000;

/// Has Elasticsearch compile what it needs for products: written, read and written again.
///
/// # Errors
/// As [`round`].
pub async fn warm_up(seed: u64) -> anyhow::Result<()> {
    for order in [Order::Shuffled, Order::Close] {
        let servers = Servers::find()?;
        let outcome = fill_and_overwrite(&servers, order, seed).await;
        servers.remove_everything().await;
        outcome?;
    }
    Ok(())
}

async fn fill_and_overwrite(servers: &Servers, order: Order, seed: u64) -> anyhow::Result<()> {
    let now = UnixMillis::now();
    for number in 0..2 {
        let records = Records::plan(WARM_UP_RECORDS, order, seed, number, now.plus_millis((number - 2) * 600_000));
        servers.publish(&records).await?;
        let mut worker = Worker::start(servers).await?;
        worker.work_off(&records).await?;
        worker.end().await?;
        if order == Order::Close {
            yardsticks::classic(servers, records.len()).await?;
        }
    }
    Ok(())
}

/// Fills an empty catalog once.
///
/// # Errors
/// As [`round`].
pub async fn fill(records: usize, order: Order, seed: u64) -> anyhow::Result<Measured> {
    let servers = Servers::find()?;
    let outcome = async {
        let records = Records::plan(records, order, seed, 0, UnixMillis::now().plus_millis(-60_000));
        servers.publish(&records).await?;
        let mut worker = Worker::start(&servers).await?;
        let measured = worker.work_off(&records).await?;
        servers.verify(&records.truth()).await?;
        worker.end().await?;
        Ok(measured)
    };
    let outcome = outcome.await;
    servers.remove_everything().await;
    outcome
}

/// Runs a round of about so many records on topics and indices of its own.
///
/// # Errors
/// What the servers say, or a product that is not as it should be.
pub async fn round(records: usize, order: Order, seed: u64) -> anyhow::Result<Round> {
    let servers = Servers::find()?;
    let outcome = measure(&servers, records, order, seed).await;
    servers.remove_everything().await;
    outcome
}

async fn measure(servers: &Servers, records: usize, order: Order, seed: u64) -> anyhow::Result<Round> {
    let now = UnixMillis::now();
    // Each overwrites the one before; none is of the future.
    let generation = |number: i64| {
        let seed = seed.wrapping_add(number.unsigned_abs());
        Records::plan(records, order, seed, number, now.plus_millis((number - 3) * 600_000))
    };
    let (first, second, third) = (generation(0), generation(1), generation(2));
    let mut verified = 0;

    servers.publish(&first).await?;
    let mut turns = Turns::begin(servers, first.len()).await?;
    for _ in 0..SHORT_TURNS {
        turns.add(what::READING, servers.task(first.len(), Work::Reading).measure().await?).await?;
    }
    turns.add(what::BARE, servers.task(first.len(), Work::BareLoop).measure().await?).await?;
    // It writes a document a record in whatever order they come.
    if order == Order::Close {
        for _ in 0..CLASSIC_TURNS {
            if let Some(classic) = yardsticks::classic(servers, first.len()).await? {
                turns.add(what::CLASSIC, classic).await?;
            }
        }
    }

    let mut worker = Worker::start(servers).await?;
    turns.add(what::FIRST_FILL, worker.work_off(&first).await?).await?;
    verified += servers.verify(&first.truth()).await?;
    worker.give(&first).await?;
    turns.add(what::REPLAY_WARM, worker.work_off(&first).await?).await?;
    verified += servers.verify(&first.truth()).await?;
    worker.give(&second).await?;
    turns.add(what::OVERWRITE_WARM, worker.work_off(&second).await?).await?;
    verified += servers.verify(&second.truth()).await?;
    worker.end().await?;

    servers.publish(&third).await?;
    let mut worker = Worker::start(servers).await?;
    turns.add(what::OVERWRITE_COLD, worker.work_off(&third).await?).await?;
    verified += servers.verify(&third.truth()).await?;
    worker.end().await?;

    servers.forget_group(enricher::GROUP).await?;
    let mut worker = Worker::start(servers).await?;
    let all = [&first, &first, &second, &third];
    turns.add(what::REPLAY_ALL, worker.work_off_all(&all).await?).await?;
    verified += servers.verify(&third.truth()).await?;
    let backlog_mib = worker.resident_mib;
    for _ in 1..SHORT_TURNS {
        worker.give(&third).await?;
        turns.add(what::REPLAY_WARM, worker.work_off(&third).await?).await?;
    }
    verified += servers.verify(&third.truth()).await?;
    worker.end().await?;
    Ok(Round {
        order,
        results: turns.results,
        verified,
        backlog: all.iter().map(|records| records.len()).sum(),
        backlog_mib,
    })
}

/// `_bulk` alone between any two that are measured.
struct Turns<'a> {
    servers: &'a Servers,
    documents: usize,
    shape: Shape,
    /// Its latest rate.
    ceiling: f64,
    results: Vec<Compared>,
}

impl<'a> Turns<'a> {
    async fn begin(servers: &'a Servers, documents: usize) -> anyhow::Result<Turns<'a>> {
        let (shape, measured) = yardsticks::bulk_ceiling(servers, documents).await?;
        Ok(Turns {
            servers,
            documents,
            shape,
            ceiling: measured.per_second,
            results: vec![Compared {
                what: what::BULK,
                measured,
                of_bulk: 1.0,
            }],
        })
    }

    async fn add(&mut self, what: &'static str, measured: Measured) -> anyhow::Result<()> {
        let bulk = yardsticks::bulk(self.servers, self.documents, self.shape).await?;
        let before = std::mem::replace(&mut self.ceiling, bulk.per_second);
        self.results.push(Compared {
            what,
            measured,
            of_bulk: 2.0 * measured.per_second / (before + bulk.per_second),
        });
        self.results.push(Compared {
            what: what::BULK,
            measured: bulk,
            of_bulk: 1.0,
        });
        Ok(())
    }
}

/// An enricher that works off what is there, and what it had done before.
struct Worker<'a> {
    servers: &'a Servers,
    service: Service,
    stopwatch: Stopwatch,
    before: Settled,
    used: Used,
    letters: u64,
    /// It starts with the first record that it reads, not with its process.
    is_new: bool,
    /// When a tenth of what it worked off last was settled, half, and all.
    resident_mib: [f64; 3],
}

impl<'a> Worker<'a> {
    async fn start(servers: &'a Servers) -> anyhow::Result<Worker<'a>> {
        Ok(Worker {
            servers,
            letters: servers.count(Topic::RawUpdatesDlq).await?,
            stopwatch: Stopwatch::start(),
            service: Service::start("enricher", servers, &[SESSION])?,
            before: Settled::default(),
            used: Used::default(),
            is_new: true,
            resident_mib: [f64::NAN; 3],
        })
    }

    /// Publishes records while it stands still, and lets it go on.
    async fn give(&mut self, records: &Records) -> anyhow::Result<()> {
        self.service.freeze(true)?;
        self.servers.publish(records).await?;
        self.stopwatch = Stopwatch::start();
        self.service.freeze(false)
    }

    async fn work_off(&mut self, records: &Records) -> anyhow::Result<Measured> {
        self.work_off_all(&[records]).await
    }

    /// Waits until all are settled, and checks what became of them.
    async fn work_off_all(&mut self, all: &[&Records]) -> anyhow::Result<Measured> {
        let count: usize = all.iter().map(|records| records.len()).sum();
        let malformed: usize = all.iter().map(|records| records.malformed()).sum();
        let mut began = (!self.is_new).then(Instant::now);
        let until = Instant::now() + PATIENCE;
        self.resident_mib = [f64::NAN; 3];
        let settled = loop {
            if let Some(now) = self.service.settled().await {
                let since = now.since(&self.before);
                if since.consumed > 0 {
                    began.get_or_insert_with(Instant::now);
                }
                for (mib, part) in self.resident_mib.iter_mut().zip([count / 10, count / 2, count]) {
                    if mib.is_nan() && since.all >= u64::try_from(part)? {
                        *mib = self.service.resident_mib()?;
                    }
                }
                if since.all >= u64::try_from(count)? {
                    self.before = now;
                    break since;
                }
            }
            self.service.is_alive()?;
            ensure!(Instant::now() < until, "the enricher does not come to the end");
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let took = began.map_or(f64::NAN, |began| began.elapsed().as_secs_f64());
        let now = self.service.used()?;
        let used = Used {
            cpu_seconds: now.cpu_seconds - self.used.cpu_seconds,
            ..now
        };
        (self.used, self.is_new) = (now, false);
        let measured = self.stopwatch.stop_other(count, took, used);
        ensure!(
            settled.all == u64::try_from(count)? && settled.dead_letters == u64::try_from(malformed)?,
            "{settled:?}, {count} records with {malformed} malformed are expected"
        );
        let letters = self.servers.count(Topic::RawUpdatesDlq).await?;
        ensure!(
            letters - self.letters == u64::try_from(malformed)?,
            "{} dead letters, {malformed} are expected",
            letters - self.letters
        );
        self.letters = letters;
        Ok(measured)
    }

    async fn end(self) -> anyhow::Result<()> {
        self.service.terminate().await
    }
}
