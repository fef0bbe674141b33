//! The servers that a run is measured on: filled, asked, and what they cost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use reqwest::Url;
use serde_json::{Value, json};
use shared::adapters::elastic::{ElasticCatalog, ElasticConfig};
use shared::adapters::kafka::{EventLog, Topic};
use shared::config::Environment;
use shared::domain::{Asin, Marketplace, Money, Staleness, UnixMillis};
use shared::ports::{Catalog as _, EventLogSettings};

use crate::records::Records;

/// How many confirmations are waited for at a time.
const AT_ONCE: usize = 2_000;
/// Products read at once to be checked.
const CHECKED_AT_ONCE: usize = 500;
const PATIENCE: Duration = Duration::from_secs(30);

/// Kafka and Elasticsearch, and a prefix of our own on them.
pub struct Servers {
    /// `host:port,...`
    pub brokers: String,
    /// Without a path.
    pub elasticsearch: Url,
    /// Before the names of topics, groups and indices.
    pub prefix: String,
    /// Of the topics.
    pub partitions: i32,
    /// The topics.
    pub log: EventLog,
    http: reqwest::Client,
}

impl Servers {
    /// Those that the environment names.
    ///
    /// # Errors
    /// A variable that is missing or no URL.
    pub fn find() -> anyhow::Result<Servers> {
        Servers::find_with_partitions(3)
    }

    /// Likewise, for topics of so many partitions.
    ///
    /// # Errors
    /// As [`Servers::find`].
    pub fn find_with_partitions(partitions: i32) -> anyhow::Result<Servers> {
        Servers::under(format!("bench-{:08x}-", rand::random::<u32>()), partitions)
    }

    /// Likewise, with a prefix that is known.
    ///
    /// # Errors
    /// As [`Servers::find`].
    pub fn under(prefix: String, partitions: i32) -> anyhow::Result<Servers> {
        let variable = |name: &str| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            value.with_context(|| format!("{name} is not set: compose/bench starts servers and sets it"))
        };
        let brokers = variable("KAFKA_BROKERS")?;
        let elasticsearch = variable("ELASTICSEARCH_URL")?.parse().context("ELASTICSEARCH_URL")?;
        let settings = EventLogSettings {
            topic_prefix: prefix.clone(),
            partitions,
            ..EventLogSettings::read(&Environment::default())
        };
        Ok(Servers {
            log: settings.connect(brokers.clone(), false, "bench"),
            http: reqwest::Client::builder().timeout(Duration::from_secs(120)).build()?,
            brokers,
            elasticsearch,
            prefix,
            partitions,
        })
    }

    /// Publishes records; all are confirmed when it returns.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn publish(&self, records: &Records) -> anyhow::Result<()> {
        self.log.ensure_topics().await?;
        let publisher = self.log.publisher()?;
        let published = stream::iter(records.messages()).map(|message| {
            let publisher = publisher.clone();
            async move { publisher.publish(Topic::RawUpdates, message).await }
        });
        published.buffered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await?;
        Ok(())
    }

    /// Lets a consumer group begin anew; it has no members.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn forget_group(&self, group: &str) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", &self.brokers).create()?;
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let name = format!("{}{group}", self.prefix);
        let until = Instant::now() + PATIENCE;
        loop {
            let outcome = admin.delete_groups(&[&name], &options).await?;
            match outcome.into_iter().next() {
                Some(Err((_, error))) if Instant::now() < until => {
                    // A member that has just left may count for a moment.
                    eprintln!("group {name}: {error}, asked again");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Some(Err((_, error))) => anyhow::bail!("group {name} is not forgotten: {error}"),
                _ => return Ok(()),
            }
        }
    }

    /// Calls Elasticsearch; the answer's JSON.
    ///
    /// # Errors
    /// No answer, or one that is no success.
    pub async fn ask(&self, method: reqwest::Method, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> anyhow::Result<Value> {
        let url = self.elasticsearch.join(path)?;
        let answer = self.http.request(method, url).header("content-type", content_type).body(body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{path}: {status}: {}", text.chars().take(300).collect::<String>());
        Ok(serde_json::from_str(&text)?)
    }

    /// Makes an index like that of products, which may be written to at will.
    ///
    /// # Errors
    /// As [`Servers::ask`].
    pub async fn make_index(&self, name: &str) -> anyhow::Result<()> {
        let keyword = json!({"type": "keyword"});
        let body = json!({
            "settings": {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "1s"},
            "mappings": {"dynamic": false, "properties": {"asin": keyword, "market": keyword, "price": {"type": "long"}}},
        });
        self.ask(reqwest::Method::PUT, name, "application/json", body.to_string()).await?;
        Ok(())
    }

    /// Removes an index.
    ///
    /// # Errors
    /// As [`Servers::ask`].
    pub async fn remove_index(&self, name: &str) -> anyhow::Result<()> {
        self.ask(reqwest::Method::DELETE, name, "application/json", "").await?;
        Ok(())
    }

    /// The catalog of the products.
    ///
    /// # Errors
    /// Settings that the client refuses.
    pub fn catalog(&self) -> anyhow::Result<ElasticCatalog> {
        Ok(ElasticCatalog::connect(ElasticConfig {
            index_prefix: self.prefix.clone(),
            ..ElasticConfig::open(self.elasticsearch.clone())
        })?)
    }

    /// Compares every product with the truth, each price in its currency. Returns how many there are.
    ///
    /// # Errors
    /// The first that is missing, is too much or shows another price.
    pub async fn verify(&self, truth: &BTreeMap<Asin, BTreeMap<Marketplace, Money>>) -> anyhow::Result<usize> {
        let catalog = self.catalog()?;
        catalog.refresh().await?;
        let counted = self
            .ask(reqwest::Method::GET, &format!("{}products/_count", self.prefix), "application/json", "")
            .await?;
        ensure!(
            counted["count"].as_u64() == u64::try_from(truth.len()).ok(),
            "{} products, {} are expected",
            counted["count"],
            truth.len()
        );
        let asins: Vec<Asin> = truth.keys().copied().collect();
        let now = UnixMillis::now();
        for asins in asins.chunks(CHECKED_AT_ONCE) {
            let found = catalog.read_products(asins).await?;
            for (asin, found) in asins.iter().zip(found) {
                let product = found.with_context(|| format!("{asin} is missing"))?.value.product;
                let shown = product.shown_prices(now, Staleness::default());
                let shown: BTreeMap<Marketplace, Money> = shown.into_iter().map(|(market, shown)| (market, shown.price)).collect();
                ensure!(shown == truth[asin], "{asin} shows {shown:?}, {:?} is expected", truth[asin]);
            }
        }
        Ok(asins.len())
    }

    /// How many records a topic has.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn count(&self, topic: Topic) -> anyhow::Result<u64> {
        let extent = self.log.extent(topic).await?;
        Ok(extent.partitions.values().map(|offsets| offsets.end.abs_diff(offsets.start)).sum())
    }

    /// Removes everything of ours.
    pub async fn remove_everything(&self) {
        let removed = async { anyhow::Ok(self.catalog()?.remove_everything().await?) }.await;
        if let Err(error) = removed {
            eprintln!("indices {}* are left behind: {error:#}", self.prefix);
        }
        let topics = Topic::ALL.map(|topic| self.log.topic_name(topic));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let admin = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .create::<AdminClient<DefaultClientContext>>();
        if let Ok(admin) = admin
            && let Err(error) = admin.delete_topics(&topics, &AdminOptions::new()).await
        {
            eprintln!("topics {}* are left behind: {error}", self.prefix);
        }
    }
}
