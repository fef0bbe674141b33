//! What the suite needs of a broker and of consumers. No test sleeps: all wait for conditions, with a deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shared::adapters::embedded::broker::EmbeddedBroker;
use shared::adapters::kafka::{
    ConsumerLimits, EventLog, EventLogConfig, EventLogError, Lease, LeaseLost, Message, PartitionHandler, PartitionHandlers, Publisher, Record, Topic,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::servers::address_from;

/// No condition takes longer, on a busy machine either.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often [`eventually`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub const NO_LIMIT: u64 = u64::MAX;

/// Waits, and says what for when it was in vain.
pub async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// Waits for what nobody tells of: looks every few milliseconds.
pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let looked = async {
        while !is_so() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    within(what, looked).await;
}

/// A broker to test with, and a prefix that nobody else uses.
pub struct Bench {
    pub config: EventLogConfig,
    /// A consumer group that nobody else uses.
    pub group: String,
    _embedded: Option<RunningBroker>,
}

impl Bench {
    pub async fn embedded() -> Bench {
        let broker = RunningBroker::start_anew().await;
        Bench {
            config: config(&broker.bootstrap, true),
            group: random_group(),
            _embedded: Some(broker),
        }
    }

    /// The real one, where there is one.
    pub fn real() -> Option<Bench> {
        let brokers = address_from("KAFKA_BROKERS", std::thread::current().name().unwrap_or("a test"))?;
        Some(Bench::at(&brokers))
    }

    /// One that somebody else keeps running.
    pub fn at(brokers: &str) -> Bench {
        Bench {
            config: config(brokers, false),
            group: random_group(),
            _embedded: None,
        }
    }

    pub fn log(&self) -> EventLog {
        EventLog::new(self.config.clone())
    }

    /// A log with its topics.
    pub async fn ready(&self) -> EventLog {
        let log = self.log();
        within("topics", log.ensure_topics()).await.expect("topics are created");
        log
    }

    /// Where the group stands in the raw updates: per partition the offset it committed, if any.
    pub fn committed(&self) -> BTreeMap<i32, i64> {
        self.committed_of(&self.outsider())
    }

    /// Waits until the group stands at the end of every partition that holds something.
    pub async fn all_is_committed(&self) {
        let extent = within("an extent", self.log().extent(Topic::RawUpdates)).await.expect("an answer");
        let filled = extent.partitions.iter().filter(|(_, range)| !range.is_empty());
        let ends: BTreeMap<i32, i64> = filled.map(|(&partition, range)| (partition, range.end)).collect();
        let outsider = self.outsider();
        eventually("the group to stand at the end", || self.committed_of(&outsider) == ends).await;
    }

    /// Asks after the group and is no member of it.
    fn outsider(&self) -> BaseConsumer {
        ClientConfig::new()
            .set("bootstrap.servers", &self.config.brokers)
            .set("group.id", format!("{}{}", self.config.topic_prefix, self.group))
            .create()
            .expect("plain settings")
    }

    fn committed_of(&self, outsider: &BaseConsumer) -> BTreeMap<i32, i64> {
        let mut partitions = TopicPartitionList::new();
        for partition in 0..self.config.partitions {
            partitions.add_partition(&self.log().topic_name(Topic::RawUpdates), partition);
        }
        let answer = outsider.committed_offsets(partitions, DEADLINE).expect("an answer");
        let offsets = answer.elements().into_iter().filter_map(|element| match element.offset() {
            Offset::Offset(next) => Some((element.partition(), next)),
            _ => None,
        });
        offsets.collect()
    }
}

pub fn random_group() -> String {
    format!("group-{:08x}", rand::random::<u32>())
}

pub fn config(brokers: &str, embedded: bool) -> EventLogConfig {
    EventLogConfig {
        brokers: brokers.to_owned(),
        topic_prefix: format!("test-{:08x}.", rand::random::<u32>()),
        partitions: 3,
        replication: 1,
        embedded,
        instance_name: None,
        client_id: "test".to_owned(),
        extra: BTreeMap::new(),
        ..EventLogConfig::default()
    }
}

/// An embedded broker at work in a folder of its own, or in one that outlives it.
pub struct RunningBroker {
    pub bootstrap: String,
    pub broker: Arc<EmbeddedBroker>,
    stop: CancellationToken,
    task: JoinSet<()>,
    _dir: Option<tempfile::TempDir>,
}

impl RunningBroker {
    pub async fn start_anew() -> RunningBroker {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let broker = EmbeddedBroker::start(dir.path(), DAY, NO_LIMIT).await.expect("the broker starts");
        RunningBroker {
            _dir: Some(dir),
            ..RunningBroker::run(broker)
        }
    }

    pub async fn start_in(dir: &Path) -> RunningBroker {
        RunningBroker::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), dir).await
    }

    pub async fn start_on(address: SocketAddr, dir: &Path) -> RunningBroker {
        RunningBroker::run(EmbeddedBroker::start_on(address, dir, DAY, NO_LIMIT).await.expect("the broker starts"))
    }

    pub fn run(broker: EmbeddedBroker) -> RunningBroker {
        let (broker, stop) = (Arc::new(broker), CancellationToken::new());
        let mut task = JoinSet::new();
        task.spawn({
            let (broker, stop) = (Arc::clone(&broker), stop.clone());
            async move { broker.run(stop).await }
        });
        RunningBroker {
            bootstrap: broker.bootstrap(),
            broker,
            stop,
            task,
            _dir: None,
        }
    }

    pub async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = within("the broker to stop", self.task.join_next()).await {
            ended.expect("the broker does not panic");
        }
    }
}

/// What the workers of one or more members saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Taken in hand, in order, settled or not.
    pub taken: Vec<Record>,
    /// Settled.
    pub settled: Vec<Record>,
    /// Partitions assigned, with the epoch of the lease.
    pub assigned: Vec<(i32, u64)>,
    /// Workers that are gone.
    pub dropped: usize,
    /// Calls of `idle`.
    pub idles: usize,
}

impl Seen {
    /// How many records were settled, each counted once.
    pub fn distinct(&self) -> usize {
        let places: BTreeSet<_> = self.settled.iter().map(|record| (record.partition, record.offset)).collect();
        places.len()
    }

    /// How many workers there are.
    pub fn owned(&self) -> usize {
        self.assigned.len() - self.dropped
    }

    /// What two recorders saw.
    #[must_use]
    pub fn and(mut self, other: Seen) -> Seen {
        self.taken.extend(other.taken);
        self.settled.extend(other.settled);
        self.assigned.extend(other.assigned);
        self.dropped += other.dropped;
        self.idles += other.idles;
        self
    }

    pub fn has_all_partitions_in_hand(&self) -> bool {
        (0..3).all(|partition| self.taken.iter().any(|record| record.partition == partition))
    }

    /// Under one lease nothing is settled twice: no record was settled more often than its partition was assigned.
    pub fn assert_settled_once_per_lease(&self) {
        let mut times = BTreeMap::<_, usize>::new();
        for record in &self.settled {
            *times.entry((record.partition, record.offset)).or_default() += 1;
        }
        for ((partition, offset), times) in times {
            let leases = self.assigned.iter().filter(|(assigned, _)| *assigned == partition).count();
            assert!(
                times <= leases,
                "partition {partition}, {offset:?}: settled {times} times under {leases} leases"
            );
        }
    }
}

/// Settles everything and writes down what it saw; can be told to hold, or to misbehave.
#[derive(Clone)]
pub struct Recorder {
    seen: Arc<watch::Sender<Seen>>,
    /// Batches are taken in hand and not settled while this is true.
    hold: Arc<watch::Sender<bool>>,
    misbehaves: Misbehaves,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Misbehaves {
    No,
    PanicsOn(&'static [u8]),
    GivesUpOnce,
    /// Finishes what it has in hand although the partition is lost, as a request does that is under way.
    FinishesLate,
}

impl Recorder {
    pub fn new() -> Recorder {
        Recorder::misbehaving(Misbehaves::No)
    }

    pub fn misbehaving(misbehaves: Misbehaves) -> Recorder {
        Recorder {
            seen: Arc::new(watch::Sender::default()),
            hold: Arc::new(watch::Sender::new(false)),
            misbehaves,
        }
    }

    pub fn holding() -> Recorder {
        Recorder::new().held()
    }

    #[must_use]
    pub fn held(self) -> Recorder {
        self.hold(true);
        self
    }

    pub fn hold(&self, hold: bool) {
        self.hold.send_replace(hold);
    }

    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    pub async fn until(&self, what: &str, condition: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.subscribe();
        within(what, async { seen.wait_for(|seen| condition(seen)).await.expect("the recorder lives").clone() }).await
    }

    pub async fn settled(&self, count: usize) -> Vec<Record> {
        self.until(&format!("{count} settled records"), |seen| seen.settled.len() >= count)
            .await
            .settled
    }
}

impl PartitionHandlers for Recorder {
    type Handler = RecordingWorker;

    fn assigned(&self, partition: i32, lease: Lease) -> RecordingWorker {
        assert_eq!(partition, lease.partition());
        assert!(lease.epoch() > 0);
        self.seen.send_modify(|seen| seen.assigned.push((partition, lease.epoch())));
        RecordingWorker { recorder: self.clone(), lease }
    }
}

pub struct RecordingWorker {
    recorder: Recorder,
    lease: Lease,
}

impl Drop for RecordingWorker {
    fn drop(&mut self) {
        self.recorder.seen.send_modify(|seen| seen.dropped += 1);
    }
}

#[async_trait]
impl PartitionHandler for RecordingWorker {
    async fn settle(&mut self, batch: Vec<Record>) -> Result<(), LeaseLost> {
        assert!(!batch.is_empty());
        assert!(batch.iter().all(|record| record.partition == self.lease.partition()));
        self.recorder.seen.send_modify(|seen| seen.taken.extend(batch.iter().cloned()));
        match self.recorder.misbehaves {
            Misbehaves::PanicsOn(payload) if batch.iter().any(|record| record.payload.as_deref() == Some(payload)) => panic!("the handler fell over"),
            // Its second lease is a new one.
            Misbehaves::GivesUpOnce if self.lease.epoch() == 1 => return Err(LeaseLost),
            _ => {}
        }
        let mut hold = self.recorder.hold.subscribe();
        let late = self.recorder.misbehaves == Misbehaves::FinishesLate;
        tokio::select! {
            biased;
            held = hold.wait_for(|hold| !hold) => drop(held),
            () = self.lease.lost(), if !late => return Err(LeaseLost),
        }
        self.recorder.seen.send_modify(|seen| seen.settled.extend(batch));
        Ok(())
    }

    async fn idle(&mut self) {
        self.recorder.seen.send_modify(|seen| seen.idles += 1);
    }
}

/// A member of a group at work.
pub struct RunningConsumer {
    stop: CancellationToken,
    task: JoinSet<Result<(), EventLogError>>,
}

impl RunningConsumer {
    pub fn start(log: &EventLog, group: &str, limits: ConsumerLimits, recorder: &Recorder) -> RunningConsumer {
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(log.consume(group, Topic::RawUpdates, limits, recorder.clone(), stop.clone()));
        RunningConsumer { stop, task }
    }

    /// Tells it to stop and waits until it has.
    pub async fn stop(self) {
        self.stop.cancel();
        self.ended().await.expect("the consumer ends well");
    }

    /// Waits until it ends by itself.
    pub async fn ended(mut self) -> Result<(), EventLogError> {
        within("the consumer to end", self.task.join_next())
            .await
            .expect("it runs")
            .expect("it does not panic itself")
    }

    /// Drops it in the middle of its work.
    pub fn drop_abruptly(self) {
        drop(self.task);
    }
}

/// Publishes payloads `from..to` under that many keys and returns when all are confirmed.
pub async fn publish_numbers(publisher: &Publisher, keys: usize, range: std::ops::Range<usize>) {
    let mut in_flight = JoinSet::new();
    for number in range {
        let message = Message::new(format!("key-{}", number % keys), Some(number.to_string().into_bytes()));
        let publisher = publisher.clone();
        // Polled in this order, which is the order they are handed to the client library in.
        let publish = async move { publisher.publish(Topic::RawUpdates, message).await.expect("published") };
        if keys == 1 {
            within("a confirmation", publish).await;
        } else {
            in_flight.spawn(publish);
        }
    }
    while let Some(done) = within("confirmations", in_flight.join_next()).await {
        done.expect("publishing does not panic");
    }
}

pub fn numbers(records: &[Record]) -> Vec<usize> {
    let mut numbers: Vec<usize> = records
        .iter()
        .map(|record| {
            let payload = record.payload.as_deref().expect("a payload");
            std::str::from_utf8(payload).expect("digits").parse().expect("a number")
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

/// A counter or gauge of the process, summed over all labels but the group.
pub fn metric(name: &str, group: &str) -> f64 {
    prometheus::gather()
        .iter()
        .filter(|family| family.name() == name)
        .flat_map(|family| family.get_metric())
        .filter(|metric| metric.get_label().iter().any(|label| label.name() == "group" && label.value() == group))
        .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
        .sum()
}
