//! Keeps what the topics hold and what readers of the API see, for the [`Ledger`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use shared::adapters::elastic::ElasticCatalog;
use shared::adapters::kafka::{EventLog, FollowFrom, Record as LogRecord, Topic};
use shared::domain::{Asin, Source};
use shared::ports::Catalog as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ledger::{Ledger, Observed, Place, Position, Record, Seen};
use super::positions::Positions;
use crate::independent;
use crate::system::Api;

/// Longer than a record may be on its way to a follower.
const READ_WITHIN: Duration = Duration::from_secs(120);

/// Products in one request.
const READ_AT_ONCE: usize = 1_000;

#[derive(Default)]
struct Books {
    acknowledged: BTreeMap<Position, Record>,
    dead_letters: BTreeMap<Position, (Position, Vec<u8>)>,
    /// None: a request to evaluate again, which carries no product.
    published: BTreeMap<Position, Option<Seen>>,
    reads: Vec<Seen>,
}

/// Follows three topics and reads the API, until it is dropped.
pub struct Recorder {
    books: Arc<Mutex<Books>>,
    positions: Positions,
    _tasks: JoinSet<()>,
}

/// What of an envelope the ledger needs.
#[derive(Deserialize)]
struct Envelope {
    asin: String,
    domain_id: i64,
    fetched_at_ms: i64,
    product: Told,
}

#[derive(Deserialize)]
struct Told {
    #[serde(rename = "lastUpdate")]
    last_update: Option<i64>,
}

#[derive(Deserialize)]
struct Published {
    asin: String,
    revision: i64,
}

fn read_update(payload: &[u8]) -> Option<(Place, Observed)> {
    let envelope: Envelope = serde_json::from_slice(payload).ok()?;
    let (market, _) = independent::MARKETS.into_iter().find(|&(_, domain)| domain == envelope.domain_id)?;
    let minute = envelope.product.last_update.filter(|&minute| minute > 0);
    let minute = minute.unwrap_or_else(|| independent::keepa_minutes(envelope.fetched_at_ms));
    Some(((envelope.asin, market.to_owned()), (minute, envelope.fetched_at_ms)))
}

fn number(record: &LogRecord, header: &str) -> i64 {
    let text = record.header(header).and_then(|value| std::str::from_utf8(value).ok());
    text.and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("a dead letter without {header}"))
}

impl Books {
    fn note(&mut self, record: LogRecord) {
        let position = (record.partition, record.offset.0);
        match record.topic {
            Topic::RawUpdates => {
                let payload = record.payload.unwrap_or_default();
                let content = read_update(&payload).map_or_else(|| Record::Bad(payload.into()), |(place, observed)| Record::Update(place, observed));
                self.acknowledged.insert(position, content);
            }
            Topic::RawUpdatesDlq => {
                let partition = i32::try_from(number(&record, "dlq.partition")).expect("a partition");
                let origin = (partition, number(&record, "dlq.offset"));
                self.dead_letters.insert(position, (origin, record.payload.unwrap_or_default().into()));
            }
            Topic::EnrichedProducts => {
                let seen = record.payload.map(|payload| {
                    let published: Published = serde_json::from_slice(&payload).expect("a product");
                    Seen {
                        asin: published.asin,
                        revision: published.revision,
                    }
                });
                self.published.insert(position, seen);
            }
            other => panic!("{other} is not followed"),
        }
    }

    fn read_to(&self, topic: Topic, partition: i32) -> i64 {
        fn last<T>(positions: &BTreeMap<Position, T>, partition: i32) -> i64 {
            let range = positions.range((partition, 0)..(partition, i64::MAX));
            range.last().map_or(0, |((_, offset), _)| offset + 1)
        }
        match topic {
            Topic::RawUpdates => last(&self.acknowledged, partition),
            Topic::RawUpdatesDlq => last(&self.dead_letters, partition),
            _ => last(&self.published, partition),
        }
    }
}

impl Recorder {
    /// Starts following; `api` is read article by article, again and again.
    pub fn start(positions: Positions, log: &EventLog, api: Api) -> Recorder {
        let books: Arc<Mutex<Books>> = Arc::default();
        let mut tasks = JoinSet::new();
        for topic in [Topic::RawUpdates, Topic::EnrichedProducts, Topic::RawUpdatesDlq] {
            let noted = Arc::clone(&books);
            let following = log.follow(topic, FollowFrom::Beginning, CancellationToken::new(), move |record| {
                noted.lock().unwrap_or_else(PoisonError::into_inner).note(record);
            });
            tasks.spawn(async move { following.await.expect("following goes on") });
        }
        let noted = Arc::clone(&books);
        tasks.spawn(async move {
            for index in (0..crate::double::ARTICLES).cycle() {
                let asin = independent::asin(index);
                // While the catalog is away there is nothing to be seen, and nothing seen goes back.
                if let Some((200, product)) = api.try_get(&format!("/products/{asin}")).await {
                    let revision = product["revision"].as_i64().expect("a revision");
                    noted.lock().unwrap_or_else(PoisonError::into_inner).reads.push(Seen { asin, revision });
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Recorder {
            books,
            positions,
            _tasks: tasks,
        }
    }

    /// Waits until all that the topics hold was read.
    async fn catch_up(&self) {
        for topic in [Topic::RawUpdates, Topic::RawUpdatesDlq, Topic::EnrichedProducts] {
            let ends = self.positions.ends(topic).await;
            let reading = async {
                loop {
                    let behind = {
                        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
                        ends.iter().any(|(&partition, &end)| books.read_to(topic, partition) < end)
                    };
                    if !behind {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(READ_WITHIN, reading).await.expect("all is read");
        }
    }

    /// The books at this moment. Committed offsets are read first, and what is settled afterwards.
    pub async fn ledger(&self, group: String, catalog: &ElasticCatalog) -> Ledger {
        let committed = self.positions.committed(group, Topic::RawUpdates).await;
        self.catch_up().await;
        let mut held = BTreeMap::new();
        let mut revisions = BTreeMap::new();
        for asins in self.acknowledged_asins().chunks(READ_AT_ONCE) {
            for stored in catalog.read_products(asins).await.expect("the catalog answers").into_iter().flatten() {
                let product = stored.value.product;
                revisions.insert(product.asin.to_string(), stored.value.revision);
                for (market, sources) in &product.markets {
                    let latest = sources[Source::Keepa].latest;
                    let observed = (i64::from(latest.last_update.0), latest.fetched_at.0);
                    held.insert((product.asin.to_string(), market.code().to_owned()), observed);
                }
            }
        }
        // Once more: whatever the catalog holds was acknowledged before.
        self.catch_up().await;
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        Ledger {
            acknowledged: books.acknowledged.clone(),
            dead_letters: books.dead_letters.values().cloned().collect(),
            catalog: held,
            revisions,
            committed,
            published: books.published.values().flatten().cloned().collect(),
            reads: vec![books.reads.clone()],
        }
    }

    /// The articles of all records that were acknowledged and can be read.
    fn acknowledged_asins(&self) -> Vec<Asin> {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let asins: BTreeSet<&str> = books
            .acknowledged
            .values()
            .filter_map(|record| match record {
                Record::Update((asin, _market), _) => Some(asin.as_str()),
                Record::Bad(_) => None,
            })
            .collect();
        asins.into_iter().map(|asin| asin.parse().expect("an ASIN")).collect()
    }
}
