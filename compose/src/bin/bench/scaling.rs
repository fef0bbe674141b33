//! What the enricher does by itself: the same work over partitions and replicas, before a catalog that keeps nothing and
//! answers at once. Replicas are members of one group in a process of their own; Kafka is real.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use serde::Serialize;
use shared::config::Environment;
use shared::domain::{Asin, ListedOpportunity, Opportunity, OpportunityId, StoredProduct, UnixMillis};
use shared::health::Health;
use shared::ports::Ports;
use shared::ports::catalog::{
    Catalog, CatalogError, Facets, OpportunityQuery, Page, ProductQuery, StateKind, StateQuery, StateRecord, Statistics, Total, Version, Versioned, Write,
    WriteOutcome,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::apart::Work;
use crate::measure::{Measured, Spread, Stopwatch};
use crate::records::{Order, Records};
use crate::servers::Servers;

const PARTITIONS: [i32; 4] = [1, 3, 6, 12];
const REPLICAS: [usize; 3] = [1, 2, 3];
const LOOK_EVERY: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(300);

/// One way to share the work, over all rounds.
#[derive(Debug, Clone, Serialize)]
pub struct Shared {
    /// Of the topic.
    pub partitions: i32,
    /// Members of the group.
    pub replicas: usize,
    /// Records a second.
    pub per_second: Spread,
    /// Records in a second of one core of ours.
    pub per_core_second: Spread,
    /// The latter by that of one partition and one replica, measured just before and just after.
    pub of_one: Spread,
}

/// A topic of so many partitions, full of records.
struct Filled {
    partitions: i32,
    servers: Servers,
    records: usize,
}

/// Runs one partition with one replica, and every other number of partitions with every number of replicas, in each round.
///
/// # Errors
/// What the broker says.
pub async fn run(records: usize, rounds: usize, seed: u64) -> anyhow::Result<Vec<Shared>> {
    let mut topics = Vec::new();
    for partitions in PARTITIONS {
        let servers = Servers::find_with_partitions(partitions)?;
        topics.push(Filled {
            partitions,
            servers,
            records: 0,
        });
    }
    let outcome = over_rounds(&mut topics, records, rounds, seed).await;
    for topic in &topics {
        topic.servers.remove_everything().await;
    }
    outcome
}

async fn over_rounds(topics: &mut [Filled], records: usize, rounds: usize, seed: u64) -> anyhow::Result<Vec<Shared>> {
    for topic in topics.iter_mut() {
        let planned = Records::plan(records, Order::Close, seed, 0, UnixMillis::now());
        topic.servers.publish(&planned).await?;
        topic.records = planned.len();
    }
    let (one, others) = topics.split_first().context("there are topics")?;
    let mut found: BTreeMap<(i32, usize), Vec<Compared>> = BTreeMap::new();
    for _ in 0..rounds {
        // A machine changes its pace within minutes: one partition is measured before and after each of the others.
        let mut before = one.measure(1).await?;
        found.entry((one.partitions, 1)).or_default().push(Compared { measured: before, of_one: 1.0 });
        for topic in others {
            for replicas in REPLICAS {
                let measured = topic.measure(replicas).await?;
                let after = one.measure(1).await?;
                let of_one = 2.0 * per_core_second(&measured) / (per_core_second(&before) + per_core_second(&after));
                eprintln!(
                    "{} partitions, {replicas} replicas: {:.0} a second, {:.0} a core, {of_one:.2}",
                    topic.partitions,
                    measured.per_second,
                    per_core_second(&measured)
                );
                found.entry((topic.partitions, replicas)).or_default().push(Compared { measured, of_one });
                found.entry((one.partitions, 1)).or_default().push(Compared { measured: after, of_one: 1.0 });
                before = after;
            }
        }
    }
    let shared = |((partitions, replicas), results): (_, Vec<Compared>)| Shared {
        partitions,
        replicas,
        per_second: Spread::of(results.iter().map(|result| result.measured.per_second)),
        per_core_second: Spread::of(results.iter().map(|result| per_core_second(&result.measured))),
        of_one: Spread::of(results.iter().map(|result| result.of_one)),
    };
    Ok(found.into_iter().map(shared).collect())
}

impl Filled {
    async fn measure(&self, replicas: usize) -> anyhow::Result<Measured> {
        let measured = self.servers.task(self.records, Work::Scaling(replicas)).measure().await?;
        self.servers.forget_group(enricher::GROUP).await?;
        Ok(measured)
    }
}

/// One way once, and by one partition's beside it.
struct Compared {
    measured: Measured,
    of_one: f64,
}

fn per_core_second(measured: &Measured) -> f64 {
    100_000.0 / measured.client_cpu
}

/// So many members in this process, from the first settled record to the last.
///
/// # Errors
/// What the broker says.
pub async fn work_off(servers: &Servers, records: usize, replicas: usize) -> anyhow::Result<Measured> {
    let catalog: Arc<dyn Catalog> = Arc::new(NullCatalog::default());
    let shutdown = CancellationToken::new();
    let before = settled();
    let mut members = JoinSet::new();
    for _ in 0..replicas {
        let environment = Environment::default();
        let config = enricher::Config::read(&environment);
        let config = environment.finish(config).map_err(|error| anyhow::anyhow!("{error}"))?;
        let ports = Ports {
            event_log: servers.log.clone(),
            catalog: Arc::clone(&catalog),
            health: Health::default(),
        };
        members.spawn(enricher::run(config, ports, shutdown.clone()));
    }
    let until = Instant::now() + PATIENCE;
    let mut began = None;
    loop {
        let done = settled() - before;
        if done > 0 && began.is_none() {
            began = Some(Stopwatch::start());
        }
        if done >= u64::try_from(records)? {
            break;
        }
        ensure!(Instant::now() < until, "{done} of {records} records are settled");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let measured = began.context("records were settled")?.stop(records);
    shutdown.cancel();
    while let Some(ended) = members.join_next().await {
        ended??;
    }
    Ok(measured)
}

/// Records that the enrichers of this process have settled so far.
fn settled() -> u64 {
    let families = prometheus::gather().into_iter().filter(|family| family.name() == "records_settled_total");
    let counts = families.flat_map(|family| family.get_metric().iter().map(|metric| metric.get_counter().get_value()).collect::<Vec<_>>());
    counts.sum::<f64>() as u64
}

/// Takes everything and holds nothing.
#[derive(Debug, Default)]
struct NullCatalog {
    seq_no: AtomicU64,
}

impl NullCatalog {
    fn written<T>(&self, writes: &[Write<T>]) -> Vec<WriteOutcome> {
        let index: Arc<str> = "null".into();
        let outcome = |_| {
            WriteOutcome::Written(Version {
                index: Arc::clone(&index),
                seq_no: self.seq_no.fetch_add(1, Ordering::Relaxed),
                primary_term: 1,
            })
        };
        writes.iter().map(outcome).collect()
    }
}

fn nothing<T>() -> Page<T> {
    Page {
        items: Vec::new(),
        total: Total { value: 0, exact: true },
        next_cursor: None,
    }
}

#[async_trait]
impl Catalog for NullCatalog {
    async fn prepare(&self) -> Result<(), CatalogError> {
        Ok(())
    }

    async fn check(&self) -> Result<(), CatalogError> {
        Ok(())
    }

    async fn read_products(&self, asins: &[Asin]) -> Result<Vec<Option<Versioned<StoredProduct>>>, CatalogError> {
        Ok(vec![None; asins.len()])
    }

    async fn write_products(&self, writes: &[Write<StoredProduct>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        Ok(self.written(writes))
    }

    async fn search_products(&self, _: &ProductQuery) -> Result<Page<StoredProduct>, CatalogError> {
        Ok(nothing())
    }

    async fn read_opportunities(&self, ids: &[OpportunityId]) -> Result<Vec<Option<Versioned<Opportunity>>>, CatalogError> {
        Ok(vec![None; ids.len()])
    }

    async fn write_opportunities(&self, writes: &[Write<Opportunity>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        Ok(self.written(writes))
    }

    async fn search_opportunities(&self, _: &OpportunityQuery) -> Result<Page<Opportunity>, CatalogError> {
        Ok(nothing())
    }

    async fn list_opportunities(&self, _: &OpportunityQuery) -> Result<Page<ListedOpportunity>, CatalogError> {
        Ok(nothing())
    }

    async fn statistics(&self, _: UnixMillis, _: UnixMillis) -> Result<Statistics, CatalogError> {
        Ok(Statistics::default())
    }

    async fn facets(&self, _: UnixMillis) -> Result<Facets, CatalogError> {
        Ok(Facets::default())
    }

    async fn read_states(&self, _: StateKind, ids: &[String]) -> Result<Vec<Option<Versioned<StateRecord>>>, CatalogError> {
        Ok(vec![None; ids.len()])
    }

    async fn write_states(&self, _: StateKind, writes: &[Write<StateRecord>]) -> Result<Vec<WriteOutcome>, CatalogError> {
        Ok(self.written(writes))
    }

    async fn list_states(&self, _: StateKind, _: &StateQuery) -> Result<Page<Versioned<StateRecord>>, CatalogError> {
        Ok(nothing())
    }
}
