//! Everything a test on real servers has to itself: topics and indices under a prefix, a Keepa, the services' logs.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use shared::adapters::elastic::{ElasticCatalog, ElasticConfig};
use shared::adapters::kafka::{EventLog, Message, Topic};
use shared::config::Environment;
use shared::ports::EventLogSettings;
use tokio::sync::OnceCell;

use super::accounts::assert_balanced;
use super::ledger::Ledger;
use super::positions::Positions;
use super::recorder::Recorder;
use super::secrets::assert_nothing_leaked;
use super::servers::Servers;
use super::services::Service;
use crate::double::{Double, Inputs, converges_within};
use crate::system::Api;

/// Seven processes at a time are enough for any machine.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
/// Consumer groups of the services.
const GROUPS: [&str; 4] = ["enricher", "detector", "detector-jobs", "producer"];
/// What an outage has piled up is worked off within this time, other tests running beside.
const RIGHT_WITHIN: Duration = Duration::from_secs(300);
/// What [`Bench::publish_bad_records`] publishes.
pub const BAD_RECORDS: u64 = 10;
/// How long the consumers may take to be done once nothing more comes.
pub const DONE_WITHIN: Duration = Duration::from_secs(120);

/// A test's own share of the servers.
pub struct Bench {
    /// The servers.
    pub servers: Servers,
    /// Keepa.
    pub double: Arc<Double>,
    inputs: Inputs,
    prefix: String,
    /// Where the services' logs are.
    pub logs: PathBuf,
    started: AtomicUsize,
    /// The topics.
    pub log: EventLog,
    /// Once they are there.
    topics_exist: OnceCell<()>,
    /// Where they end and groups stand.
    pub positions: Positions,
    /// The indices.
    pub catalog: ElasticCatalog,
}

/// The services at work.
pub struct Cluster {
    pub producer: Service,
    pub enrichers: Vec<Service>,
    pub detector: Service,
    pub api: Service,
    pub scheduler: Service,
    /// Where the API is asked.
    pub address: Api,
}

/// Runs a test where there are servers, and removes what it left there, also if it failed.
pub async fn on_real_servers(test: &str, body: impl AsyncFnOnce(&Bench)) {
    let _turn = ONE_AT_A_TIME.lock().await;
    if let Some(servers) = Servers::find(test).await {
        on(servers, body).await;
    }
}

/// The same where the servers can be stopped and started.
pub async fn on_controlled_servers(test: &str, body: impl AsyncFnOnce(&Bench)) {
    let _turn = ONE_AT_A_TIME.lock().await;
    if let Some(servers) = Servers::find_controlled(test).await {
        on(servers, body).await;
    }
}

async fn on(servers: Servers, body: impl AsyncFnOnce(&Bench)) {
    let bench = Bench::new(servers).await;
    let outcome = AssertUnwindSafe(body(&bench)).catch_unwind().await;
    bench.remove_everything().await;
    match outcome {
        Ok(()) => {
            assert_nothing_leaked(&bench.logs);
            std::fs::remove_dir_all(&bench.logs).expect("our own folder");
        }
        Err(panic) => {
            eprintln!("the services' logs are in {}", bench.logs.display());
            std::panic::resume_unwind(panic);
        }
    }
}

impl Bench {
    async fn new(servers: Servers) -> Bench {
        let prefix = format!("test-{:016x}-", rand::random::<u64>());
        let logs = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cluster-{prefix}logs"));
        std::fs::create_dir_all(&logs).expect("a folder for logs");
        let (double, address) = Double::start().await;
        let settings = EventLogSettings {
            topic_prefix: prefix.clone(),
            ..EventLogSettings::read(&Environment::default())
        };
        let url = servers.elasticsearch.parse().expect("ELASTICSEARCH_URL is a URL");
        let catalog = ElasticCatalog::connect(ElasticConfig {
            index_prefix: prefix.clone(),
            ..ElasticConfig::open(url)
        });
        let log = settings.connect(servers.brokers.clone(), false, "cluster-test");
        Bench {
            double,
            inputs: Inputs::new(address),
            logs,
            started: AtomicUsize::new(0),
            positions: Positions::new(&servers.brokers, log.clone()),
            log,
            topics_exist: OnceCell::new(),
            catalog: catalog.expect("a client"),
            prefix,
            servers,
        }
    }

    /// Starts one service; `variables` win over those all have.
    pub fn start_service(&self, name: &'static str, variables: &[(&str, &str)]) -> Service {
        let mut all: BTreeMap<&str, &str> = [
            ("KAFKA_BROKERS", self.servers.brokers.as_str()),
            ("ELASTICSEARCH_URL", self.servers.elasticsearch.as_str()),
            ("TOPIC_PREFIX", self.prefix.as_str()),
            ("INDEX_PREFIX", self.prefix.as_str()),
            ("METRICS_LISTEN", "127.0.0.1:0"),
            ("API_LISTEN", "127.0.0.1:0"),
            // The shortest a broker takes: so long do the partitions of a killed member wait.
            ("KAFKA_SESSION_TIMEOUT", "6s"),
            ("RUST_LOG", "info,poem=warn"),
        ]
        .into();
        all.extend(self.inputs.variables());
        // Each article five times every three seconds: load enough, and an outage of minutes piles up no hours of work.
        all.insert("REFRESH_SECONDS", "3");
        all.extend(variables.iter().copied());
        let all: Vec<_> = all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        Service::start(name, &all, self.logs.join(format!("{number:03}-{name}.log")))
    }

    /// Starts all five services, so many enrichers among them.
    pub async fn start(&self, enrichers: usize) -> Cluster {
        self.start_with(enrichers, &[]).await
    }

    /// The same, with further variables for the enrichers.
    pub async fn start_with(&self, enrichers: usize, variables: &[(&str, &str)]) -> Cluster {
        self.start_each(enrichers, variables, &[]).await
    }

    /// The same, with further variables for all services.
    pub async fn start_all_with(&self, enrichers: usize, variables: &[(&str, &str)]) -> Cluster {
        self.start_each(enrichers, variables, variables).await
    }

    async fn start_each(&self, enrichers: usize, of_enrichers: &[(&str, &str)], of_others: &[(&str, &str)]) -> Cluster {
        let api = self.start_service("api", of_others);
        Cluster {
            producer: self.start_service("producer", of_others),
            enrichers: (0..enrichers).map(|_| self.start_service("enricher", of_enrichers)).collect(),
            detector: self.start_service("detector", of_others),
            scheduler: self.start_service("scheduler", of_others),
            address: api.api().await,
            api,
        }
    }

    /// Creates the topics where no service has done so.
    pub async fn ensure_topics(&self) {
        let ensure = async || self.log.ensure_topics().await.expect("topics");
        self.topics_exist.get_or_init(ensure).await;
    }

    /// Waits until everything shown equals the independent computation.
    pub async fn converges(&self, api: &Api) {
        converges_within(RIGHT_WITHIN, api, &self.double).await;
    }

    /// Starts to keep the books.
    pub fn record(&self, cluster: &Cluster) -> Recorder {
        Recorder::start(self.positions.clone(), &self.log, cluster.address.clone())
    }

    /// A group's name in the broker.
    fn group(&self, group: &str) -> String {
        format!("{}{group}", self.prefix)
    }

    /// The books at this moment.
    pub async fn ledger(&self, recorder: &Recorder) -> Ledger {
        recorder.ledger(self.group("enricher"), &self.catalog).await
    }

    /// Publishes records that nobody can read, too few to halt anybody.
    pub async fn publish_bad_records(&self) {
        let publisher = self.log.publisher().expect("a publisher");
        for number in 0..BAD_RECORDS {
            let message = Message::new(format!("B0BAD{number:05}"), Some([&[0xff, b'{'][..], &number.to_be_bytes()].concat()));
            publisher.publish(Topic::RawUpdates, message).await.expect("published");
        }
    }

    /// Publishes a record with a text in it that nobody can read.
    pub async fn publish_payload_that_cannot_be_read(&self, text: &str) {
        let publisher = self.log.publisher().expect("a publisher");
        let cut = format!(r#"{{"v":1,"asin":"B0BAD00000","title":"{text}"#);
        let message = Message::new("B0BAD00000", Some(cut.into_bytes()));
        publisher.publish(Topic::RawUpdates, message).await.expect("published");
    }

    /// The enrichers' next offset, per partition.
    pub async fn committed(&self) -> BTreeMap<i32, i64> {
        self.positions.committed(self.group("enricher"), Topic::RawUpdates).await
    }

    /// Waits until the enrichers have committed all that there is.
    pub async fn reads_all(&self, within: Duration) {
        self.comes_to_the_end("enricher", Topic::RawUpdates, within).await;
    }

    /// Waits until there is nothing more to do for enrichers and detectors.
    pub async fn is_done(&self, within: Duration) {
        self.reads_all(within).await;
        self.comes_to_the_end("detector", Topic::EnrichedProducts, within).await;
    }

    async fn comes_to_the_end(&self, group: &str, topic: Topic, within: Duration) {
        let done = async {
            while self.positions.committed(self.group(group), topic).await != self.positions.ends(topic).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let done = tokio::time::timeout(within, done).await;
        assert!(done.is_ok(), "group {group} does not come to the end of {topic}");
    }

    /// Makes Elasticsearch forget at once what was deleted, as it does after a minute.
    pub async fn forget_deletes(&self) {
        let url = format!("{}/{}products*/_settings", self.servers.elasticsearch.trim_end_matches('/'), self.prefix);
        let settings = reqwest::Client::new().put(url).json(&serde_json::json!({"index.gc_deletes": "0s"})).send();
        let answer = settings.await.expect("an answer");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// An index that goes with the others when the test ends.
    pub fn scratch_index(&self) -> String {
        format!("{}scratch", self.prefix)
    }

    /// Stops the producer, waits until all is done, and checks the books. Returns them.
    pub async fn balance(&self, cluster: Cluster, recorder: &Recorder) -> Ledger {
        self.converges(&cluster.address).await;
        cluster.producer.terminate().await;
        self.is_done(DONE_WITHIN).await;
        assert_balanced(&cluster.enrichers).await;
        let ledger = self.ledger(recorder).await;
        assert_no_violations(&ledger.check_at_rest());
        let (settled, dead_letters) = ledger.balance();
        assert_eq!(settled + dead_letters, ledger.acknowledged.len());
        assert!(
            settled > crate::double::ARTICLES && dead_letters > 0,
            "{settled} settled, {dead_letters} dead letters"
        );
        self.converges(&cluster.address).await;
        let reads = ledger.reads[0].len();
        let published = ledger.published.len();
        eprintln!(
            "{settled} settled + {dead_letters} dead letters = {} acknowledged; {published} published; {reads} reads",
            ledger.acknowledged.len()
        );
        for service in [cluster.scheduler, cluster.detector, cluster.api].into_iter().chain(cluster.enrichers) {
            service.terminate().await;
        }
        ledger
    }

    async fn remove_everything(&self) {
        if let Err(error) = self.catalog.remove_everything().await {
            eprintln!("indices {}* are left behind: {error}", self.prefix);
        }
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.servers.brokers)
            .create()
            .expect("plain settings");
        let topics = Topic::ALL.map(|topic| self.log.topic_name(topic));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let groups = GROUPS.map(|group| self.group(group));
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
        if let Err(error) = admin.delete_topics(&topics, &options).await {
            eprintln!("topics {}* are left behind: {error}", self.prefix);
        }
        // Members that were killed may still count for some seconds: then the broker forgets the groups in a week.
        let _ = admin.delete_groups(&groups, &options).await;
    }
}

impl Cluster {
    /// SIGTERM to all; each ends in time and with code 0.
    pub async fn terminate(self) {
        for service in self.into_services() {
            service.terminate().await;
        }
    }

    /// All of them.
    pub fn into_services(self) -> Vec<Service> {
        let others = [self.producer, self.scheduler, self.detector, self.api];
        others.into_iter().chain(self.enrichers).collect()
    }

    /// Nobody has given up or crashed.
    pub fn assert_all_run(&mut self) {
        let others = [&mut self.producer, &mut self.detector, &mut self.api, &mut self.scheduler];
        for service in others.into_iter().chain(&mut self.enrichers) {
            assert!(service.is_running(), "{} ended", service.name);
        }
    }
}

/// Names the first few.
pub fn assert_no_violations(violations: &[super::ledger::Violation]) {
    let few: Vec<_> = violations.iter().take(10).collect();
    assert!(violations.is_empty(), "{} violations: {few:#?}", violations.len());
}
