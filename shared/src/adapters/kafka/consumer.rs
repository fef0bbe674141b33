//! A member of a consumer group: one thread reads, one task per partition works.
//!
//! Everything that concerns the client library happens on the reading thread: polling, the rebalance call-back inside
//! it, pausing, and handing over offsets. So an offset can only be handed over by the thread that also takes partitions
//! away, and a result that comes after a partition was lost finds nobody to hand it to.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::config::EventLogConfig;
use super::error::EventLogError;
use super::health::{Health, HealthSensor, SensorContext};
use super::metrics;
use super::partition::{ConsumerLimits, Lease, LeaseLost, Slot};
use super::record::{NextOffset, Record, RecordOffset};
use super::topic::Topic;
use crate::domain::UnixMillis;

/// A poll returns after this long at the latest: the loop turns whatever the catalog does.
const POLL: Duration = Duration::from_millis(100);
/// The same while a partition is paused, so that it goes on soon after its worker caught up.
const POLL_PAUSED: Duration = Duration::from_millis(10);
/// How often settled offsets are handed over and paused partitions looked at.
const HAND_OVER_EVERY: Duration = Duration::from_millis(50);
/// How often gauges are set and stalls looked for.
const OBSERVE_EVERY: Duration = Duration::from_secs(1);
/// A partition with lag that is not paused, holds nothing and brought nothing for this long is stuck in the client.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// A worker with nothing to do is told so this often.
const IDLE_EVERY: Duration = Duration::from_secs(1);
/// A handler that is told that its lease is lost has this long to return before it is dropped.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(1);
/// What leaving the group may take beyond the drain before the thread is left to itself.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// What asking for the group's committed offsets may take on assignment.
const COMMITTED_WITHIN: Duration = Duration::from_secs(2);

/// Makes one worker per assigned partition.
///
/// The worker owns the partition's state (caches) and is dropped when the partition is revoked.
pub trait PartitionHandlers: Send + Sync + 'static {
    /// The worker.
    type Handler: PartitionHandler;

    /// A partition was given to this member.
    fn assigned(&self, partition: i32, lease: Lease) -> Self::Handler;
}

/// Works on the records of one partition, in order.
#[async_trait]
pub trait PartitionHandler: Send + 'static {
    /// Settles every record of the batch, in order: written, proven stale, or dead-lettered with the broker's
    /// confirmation. Retries in place for as long as it takes; gives up only when the lease is lost. Then no offset
    /// moves, and the next owner starts with this batch.
    ///
    /// # Errors
    /// Only [`LeaseLost`]. While the lease is held it is taken for a fault of the handler: the consumer leaves the group,
    /// joins again and reads the batch anew.
    async fn settle(&mut self, batch: Vec<Record>) -> Result<(), LeaseLost>;

    /// Called about once a second while nothing arrives.
    async fn idle(&mut self) {}
}

/// What a member needs to know.
pub(super) struct Membership {
    pub(super) config: EventLogConfig,
    pub(super) sensor: Arc<HealthSensor>,
    pub(super) group: String,
    pub(super) topic: Topic,
    pub(super) limits: ConsumerLimits,
}

/// Reads until `shutdown`, then drains, commits and leaves.
pub(super) async fn consume<H: PartitionHandlers>(membership: Membership, handlers: H, shutdown: CancellationToken) -> Result<(), EventLogError> {
    let group = membership.group.clone();
    let limits = membership.limits;
    let stop = shutdown.child_token();
    // A dropped future leaves nobody to work: the thread closes at once, its batches in flight unsettled.
    let _stop_when_dropped = stop.clone().drop_guard();
    let arrivals = Arc::new(Arrivals::default());
    let mut ended = start_thread(membership, Arc::clone(&arrivals), stop.clone())?;

    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(limits.drain + CLOSE_WITHIN).await;
    };
    tokio::pin!(overdue);

    let mut workers = JoinSet::new();
    let mut failure = None;
    let outcome = loop {
        tokio::select! {
            () = arrivals.changed.notified() => for slot in arrivals.take() {
                let handler = handlers.assigned(slot.lease().partition(), slot.lease().clone());
                workers.spawn(work(slot, handler, limits));
            },
            Some(joined) = workers.join_next() => if let Err(error) = joined {
                failure = failure.or_else(|| panic_of(&group, error));
                stop.cancel();
            },
            end = &mut ended => break end.unwrap_or_else(|_| Err(EventLogError::ThreadEnded {
                message: format!("the reader of group {group} panicked"),
            })),
            () = &mut overdue => {
                tracing::warn!(group, "leaving the consumer group takes too long and is left to itself");
                break Ok(());
            }
        }
    };
    // All leases have ended with the thread; a worker that hangs on is dropped.
    arrivals.take().into_iter().for_each(|slot| slot.lease().end());
    let _ = tokio::time::timeout(GIVE_UP_WITHIN * 2, async {
        while let Some(joined) = workers.join_next().await {
            if let Err(error) = joined {
                failure = failure.take().or_else(|| panic_of(&group, error));
            }
        }
    })
    .await;
    failure.map_or(outcome, Err)
}

fn panic_of(group: &str, error: JoinError) -> Option<EventLogError> {
    let payload = error.try_into_panic().ok()?;
    Some(EventLogError::HandlerPanicked {
        group: group.to_owned(),
        message: panic_message(payload.as_ref()),
    })
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// Partitions that were given to this member and have no worker yet.
#[derive(Default)]
struct Arrivals {
    slots: Mutex<Vec<Arc<Slot>>>,
    changed: Notify,
}

impl Arrivals {
    fn add(&self, slot: Arc<Slot>) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
        self.changed.notify_one();
    }

    fn take(&self) -> Vec<Arc<Slot>> {
        std::mem::take(&mut *self.slots.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The worker of one partition: takes whatever has accumulated, has it settled, takes again.
async fn work<P: PartitionHandler>(slot: Arc<Slot>, mut handler: P, limits: ConsumerLimits) {
    let _gone = GoneWhenDropped(Arc::clone(&slot));
    loop {
        let step = tokio::time::timeout(IDLE_EVERY, slot.next_batch(&limits)).await;
        match step {
            Ok(None) => return,
            Err(_nothing_came) => {
                if unless_lost(slot.lease(), handler.idle()).await.is_none() {
                    return;
                }
            }
            Ok(Some(batch)) => match unless_lost(slot.lease(), handler.settle(batch)).await {
                Some(Ok(())) => slot.settle(),
                // The guard says that nothing in flight will be settled: a lost partition is left alone, and one that
                // is still owned makes the reading thread start anew.
                Some(Err(LeaseLost)) | None => return,
            },
        }
    }
}

/// Lets the handler finish after its lease is lost, but not for ever.
async fn unless_lost<T>(lease: &Lease, work: impl Future<Output = T>) -> Option<T> {
    let too_late = async {
        lease.lost().await;
        tokio::time::sleep(GIVE_UP_WITHIN).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = too_late => None,
    }
}

struct GoneWhenDropped(Arc<Slot>);

impl Drop for GoneWhenDropped {
    fn drop(&mut self) {
        self.0.worker_gone();
    }
}

type Ended = oneshot::Receiver<Result<(), EventLogError>>;

fn start_thread(membership: Membership, arrivals: Arc<Arrivals>, stop: CancellationToken) -> Result<Ended, EventLogError> {
    let (report, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name(format!("log-{}", membership.group))
        .spawn(move || {
            let outcome = read(Arc::new(membership), &arrivals, &stop);
            // Nobody waiting is fine: the future was dropped, or gave up on a close that took too long.
            let _ = report.send(outcome);
        })
        .map_err(|error| EventLogError::ThreadEnded { message: error.to_string() })?;
    Ok(ended)
}

/// Why a consumer is given up while the member goes on.
enum Anew {
    Stalled,
    HandlerGaveUp,
    Fatal,
}

fn read(membership: Arc<Membership>, arrivals: &Arc<Arrivals>, stop: &CancellationToken) -> Result<(), EventLogError> {
    let mut epochs = BTreeMap::new();
    loop {
        let context = Member {
            membership: Arc::clone(&membership),
            sensor: SensorContext(Arc::clone(&membership.sensor)),
            arrivals: Arc::clone(arrivals),
            assignment: Mutex::new(Assignment {
                epochs: std::mem::take(&mut epochs),
                ..Assignment::default()
            }),
            closing: AtomicBool::new(false),
        };
        let reader = Reader::join(context)?;
        let outcome = reader.run(stop);
        epochs = reader.leave();
        match outcome? {
            None => return Ok(()),
            // A dropped future aborts its workers, which looks as if they had given up.
            Some(_) if stop.is_cancelled() => return Ok(()),
            Some(why) => {
                let why = match why {
                    Anew::Stalled => "a partition brought nothing in spite of lag",
                    Anew::HandlerGaveUp => "a handler gave up a partition that is still owned",
                    Anew::Fatal => "the client library met a fatal error",
                };
                tracing::warn!(group = membership.group, why, "joining the consumer group anew");
                // Not at once: whatever is wrong may still be wrong, and the group pays for every join.
                let until = Instant::now() + Duration::from_secs(1);
                while Instant::now() < until && !stop.is_cancelled() {
                    std::thread::sleep(POLL);
                }
            }
        }
    }
}

struct Reader {
    consumer: BaseConsumer<Member>,
    topic_name: String,
}

impl Reader {
    fn join(context: Member) -> Result<Reader, EventLogError> {
        let membership = Arc::clone(&context.membership);
        let settings = membership.config.member(&membership.group);
        let topic_name = membership.config.topic_name(membership.topic);
        let consumer = BaseConsumer::from_config_and_context(&settings, context).map_err(|source| EventLogError::classify("create a consumer", source))?;
        consumer
            .subscribe(&[&topic_name])
            .map_err(|source| EventLogError::classify("subscribe", source))?;
        Ok(Reader { consumer, topic_name })
    }

    /// Polls until told to stop (`None`), or until the consumer is of no more use.
    fn run(&self, stop: &CancellationToken) -> Result<Option<Anew>, EventLogError> {
        let member = self.consumer.context();
        let mut handed_over = Instant::now();
        let mut observed = Instant::now();
        let mut any_paused = false;
        while !stop.is_cancelled() {
            match self.consumer.poll(if any_paused { POLL_PAUSED } else { POLL }) {
                Some(Ok(message)) => member.feed(&self.consumer, &self.topic_name, &message),
                Some(Err(error)) => {
                    if let Some(why) = self.after_error(&error)? {
                        return Ok(Some(why));
                    }
                }
                None => {}
            }
            let now = Instant::now();
            if now.duration_since(handed_over) >= HAND_OVER_EVERY {
                handed_over = now;
                any_paused = member.hand_over_and_resume(&self.consumer, &self.topic_name);
                if member.gave_up() {
                    return Ok(Some(Anew::HandlerGaveUp));
                }
            }
            if now.duration_since(observed) >= OBSERVE_EVERY {
                observed = now;
                if member.observe(now) {
                    return Ok(Some(Anew::Stalled));
                }
            }
        }
        Ok(None)
    }

    fn after_error(&self, error: &KafkaError) -> Result<Option<Anew>, EventLogError> {
        let fatal = self.consumer.client().fatal_error();
        match fatal.as_ref().map(|(code, _)| *code) {
            Some(RDKafkaErrorCode::FencedInstanceId) => Err(EventLogError::InstanceNameTaken {
                group: self.consumer.context().membership.group.clone(),
            }),
            Some(_) => Ok(Some(Anew::Fatal)),
            None => {
                // Transient: the library goes on by itself, and the sensor has logged what is worth it.
                tracing::debug!(%error, "reading the event log");
                Ok(None)
            }
        }
    }

    /// Drains, hands over what is settled, commits and leaves. Blocks; runs on the reading thread.
    fn leave(self) -> BTreeMap<i32, u64> {
        let member = Arc::clone(self.consumer.context());
        member.closing.store(true, Ordering::Release);
        let lost = self.consumer.assignment_lost();
        member.release_all(&self.consumer, lost);
        // Leaving commits as well, but does not say whether it worked. With the broker away this would only hang.
        let reachable = *member.membership.sensor.subscribe().borrow() == Health::Up;
        if !lost && reachable {
            match self.consumer.commit_consumer_state(CommitMode::Sync) {
                Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
                Err(error) => tracing::warn!(
                    group = member.membership.group, %error,
                    "the last offsets were not committed, their records will be read again"
                ),
            }
        }
        drop(self.consumer);
        std::mem::take(&mut member.assignment().epochs)
    }
}

/// What this member owns. Behind a lock only because call-backs have no `&mut self`: one thread uses it.
#[derive(Default)]
struct Assignment {
    partitions: BTreeMap<i32, Owned>,
    epochs: BTreeMap<i32, u64>,
}

struct Owned {
    slot: Arc<Slot>,
    paused: bool,
    /// Where the group stood, until the first record shows whether the log still goes on there.
    committed: Option<NextOffset>,
    last_fed: Instant,
    lag: i64,
}

/// The call-backs of a group member. They run inside `poll`, on the reading thread, and may block.
struct Member {
    membership: Arc<Membership>,
    sensor: SensorContext,
    arrivals: Arc<Arrivals>,
    assignment: Mutex<Assignment>,
    closing: AtomicBool,
}

impl Member {
    fn assignment(&self) -> MutexGuard<'_, Assignment> {
        self.assignment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn group(&self) -> &str {
        &self.membership.group
    }

    fn feed(&self, consumer: &BaseConsumer<Member>, topic_name: &str, message: &BorrowedMessage<'_>) {
        let record = to_record(self.membership.topic, message);
        let mut assignment = self.assignment();
        let Some(owned) = assignment.partitions.get_mut(&record.partition) else {
            return;
        };
        self.check_continuity(owned, record.partition, record.offset);
        owned.last_fed = Instant::now();
        let partition = record.partition;
        if !owned.slot.push(record) {
            return;
        }
        metrics::RECORDS_CONSUMED
            .with_label_values(&[self.membership.topic.base_name(), self.group()])
            .inc();
        if !owned.paused && owned.slot.mailbox().bytes() > self.membership.limits.high_water_bytes {
            match consumer.pause(&one_partition(topic_name, partition)) {
                Ok(()) => owned.paused = true,
                Err(error) => tracing::warn!(partition, %error, "cannot pause a partition"),
            }
        }
    }

    /// The first record after an assignment shows whether the log goes on where the group stood.
    fn check_continuity(&self, owned: &mut Owned, partition: i32, first: RecordOffset) {
        let Some(committed) = owned.committed.take() else {
            return;
        };
        if first.0 != committed.0 {
            metrics::OFFSET_GAPS.with_label_values(&[self.group()]).inc();
            tracing::error!(
                group = self.group(),
                partition,
                committed = committed.0,
                found = first.0,
                "the log does not go on where the group stood: records were dropped unread, or the topic was made anew"
            );
        }
    }

    /// Hands settled offsets to the client library, and lets partitions go on whose workers caught up.
    fn hand_over_and_resume(&self, consumer: &BaseConsumer<Member>, topic_name: &str) -> bool {
        let mut any_paused = false;
        for (&partition, owned) in &mut self.assignment().partitions {
            let (settled, bytes) = {
                let mut mailbox = owned.slot.mailbox();
                (mailbox.take_settled(), mailbox.bytes())
            };
            if let Some(next) = settled {
                self.hand_over(consumer, topic_name, partition, next);
            }
            if owned.paused && bytes < self.membership.limits.low_water_bytes {
                match consumer.resume(&one_partition(topic_name, partition)) {
                    Ok(()) => owned.paused = false,
                    Err(error) => tracing::warn!(partition, %error, "cannot resume a partition"),
                }
            }
            any_paused |= owned.paused;
        }
        any_paused
    }

    /// The one place where an offset is handed over. The list takes the value as it is: the *next* offset.
    fn hand_over(&self, consumer: &BaseConsumer<Member>, topic_name: &str, partition: i32, next: NextOffset) {
        let mut offsets = TopicPartitionList::new();
        let stored = offsets
            .add_partition_offset(topic_name, partition, Offset::Offset(next.0))
            .and_then(|()| consumer.store_offsets(&offsets));
        match stored {
            Ok(()) => {}
            Err(KafkaError::StoreOffset(RDKafkaErrorCode::State)) => {
                tracing::debug!(group = self.group(), partition, "the partition was lost before its offset was stored");
            }
            Err(error) => {
                tracing::warn!(group = self.group(), partition, %error, "an offset was not stored, its records will be read again");
            }
        }
    }

    /// Did a worker end although its partition is still owned?
    fn gave_up(&self) -> bool {
        self.assignment().partitions.values().any(|owned| {
            let mailbox = owned.slot.mailbox();
            mailbox.records_in_flight() > 0 && mailbox.is_drained()
        })
    }

    /// Sets the gauges. Is a partition stuck?
    fn observe(&self, now: Instant) -> bool {
        let wall = UnixMillis::now();
        let (mut records, mut paused, mut stalled) = (0, 0, false);
        let up = *self.membership.sensor.subscribe().borrow() == Health::Up;
        for (&partition, owned) in &self.assignment().partitions {
            let mailbox = owned.slot.mailbox();
            records += mailbox.records();
            paused += i64::from(owned.paused);
            let age_ms = mailbox.oldest_ms().map_or(0, |oldest| wall.millis_since(UnixMillis(oldest)).max(0));
            metrics::CONSUMER_LAG_SECONDS
                .with_label_values(&[self.group(), &partition.to_string()])
                .set(Duration::from_millis(age_ms.unsigned_abs()).as_secs_f64());
            if up && owned.lag > 0 && !owned.paused && mailbox.records() == 0 && now.duration_since(owned.last_fed) > STALLED_AFTER {
                metrics::PARTITION_STALLS.with_label_values(&[self.group()]).inc();
                stalled = true;
            }
        }
        metrics::RECORDS_IN_FLIGHT.with_label_values(&[self.group()]).set(to_gauge(records));
        metrics::PARTITIONS_PAUSED.with_label_values(&[self.group()]).set(paused);
        stalled
    }

    fn assign(&self, consumer: &BaseConsumer<Member>, partitions: &TopicPartitionList) {
        if self.closing.load(Ordering::Acquire) {
            return;
        }
        let committed = self.committed(consumer, partitions);
        // A pause outlives the assignment it was made in.
        let _ = consumer.resume(partitions);
        let mut assignment = self.assignment();
        for partition in partitions.elements().iter().map(|element| element.partition()) {
            let epoch = assignment.epochs.entry(partition).or_default();
            *epoch += 1;
            let slot = Slot::new(partition, *epoch);
            let owned = Owned {
                slot: Arc::clone(&slot),
                paused: false,
                committed: committed.get(&partition).copied(),
                last_fed: Instant::now(),
                lag: 0,
            };
            assignment.partitions.insert(partition, owned);
            self.arrivals.add(slot);
        }
        metrics::REBALANCES.with_label_values(&[self.group(), "assign"]).inc();
        tracing::info!(group = self.group(), partitions = ?assignment.partitions.keys(), "partitions assigned");
    }

    /// Where the group stands. Only for the alarm of [`Member::check_continuity`], so no answer is no fault.
    fn committed(&self, consumer: &BaseConsumer<Member>, partitions: &TopicPartitionList) -> BTreeMap<i32, NextOffset> {
        let Ok(committed) = consumer.committed_offsets(partitions.clone(), COMMITTED_WITHIN) else {
            return BTreeMap::new();
        };
        committed
            .elements()
            .iter()
            .filter_map(|element| match element.offset() {
                Offset::Offset(next) => Some((element.partition(), NextOffset(next))),
                _ => None,
            })
            .collect()
    }

    fn release_all(&self, consumer: &BaseConsumer<Member>, lost: bool) {
        let all = self.assignment().partitions.keys().copied().collect::<Vec<_>>();
        self.release(consumer, &all, lost);
    }

    /// Takes partitions from their workers: stop feeding, drain, hand over, fence, drop. In this order.
    fn release(&self, consumer: &BaseConsumer<Member>, partitions: &[i32], lost: bool) {
        let released: Vec<(i32, Owned)> = {
            let mut assignment = self.assignment();
            partitions.iter().filter_map(|p| assignment.partitions.remove_entry(p)).collect()
        };
        if released.is_empty() {
            return;
        }
        let mut left_over: usize = released.iter().map(|(_, owned)| owned.slot.close()).sum();
        let began = Instant::now();
        let deadline = began + self.membership.limits.drain;
        let topic_name = self.membership.config.topic_name(self.membership.topic);
        for (partition, owned) in &released {
            // What was lost belongs to somebody else already: waiting would only delay joining again.
            if !lost && !owned.slot.wait_drained(deadline) {
                tracing::warn!(group = self.group(), partition, "a batch was not settled in time and is left to the next owner");
            }
            let mut mailbox = owned.slot.mailbox();
            if let Some(next) = mailbox.take_settled().filter(|_| !lost) {
                self.hand_over(consumer, &topic_name, *partition, next);
            }
            // Under the lock of the mailbox: a result that comes later finds the lease ended and nobody to hand over.
            owned.slot.lease().end();
            left_over += mailbox.records_in_flight();
            let labels = [self.group(), &partition.to_string()];
            let _ = metrics::CONSUMER_LAG.remove_label_values(&labels);
            let _ = metrics::CONSUMER_LAG_SECONDS.remove_label_values(&labels);
        }
        metrics::DRAIN_SECONDS.with_label_values(&[self.group()]).set(began.elapsed().as_secs_f64());
        metrics::SKIPPED_REVOKED.with_label_values(&[self.group()]).inc_by(to_count(left_over));
        metrics::RECORDS_IN_FLIGHT.with_label_values(&[self.group()]).set(0);
        metrics::PARTITIONS_PAUSED.with_label_values(&[self.group()]).set(0);
        tracing::info!(
            group = self.group(),
            partitions = ?released.iter().map(|(partition, _)| partition).collect::<Vec<_>>(),
            left_over,
            lost,
            "partitions released"
        );
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.sensor.log(level, facility, line);
    }

    fn stats(&self, statistics: Statistics) {
        let name = self.membership.config.topic_name(self.membership.topic);
        if let Some(topic) = statistics.topics.get(&name) {
            let mut assignment = self.assignment();
            for (number, partition) in &topic.partitions {
                if let (Some(owned), Some(lag)) = (assignment.partitions.get_mut(number), lag(partition)) {
                    owned.lag = lag;
                    metrics::CONSUMER_LAG.with_label_values(&[self.group(), &number.to_string()]).set(lag);
                }
            }
        }
        self.sensor.stats(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.sensor.error(error, reason);
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let lost = consumer.assignment_lost();
        match rebalance {
            Rebalance::Assign(_) => {}
            Rebalance::Revoke(partitions) => {
                let kind = if lost { "lost" } else { "revoke" };
                metrics::REBALANCES.with_label_values(&[self.group(), kind]).inc();
                let partitions: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
                self.release(consumer, &partitions, lost);
            }
            Rebalance::Error(error) => {
                metrics::REBALANCES.with_label_values(&[self.group(), "error"]).inc();
                tracing::warn!(group = self.group(), %error, "a rebalance failed");
                self.release_all(consumer, lost);
            }
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            self.assign(consumer, partitions);
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            Ok(()) => self.sensor.0.up(),
            Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            // Tried again with the next one; after a rebalance it is none of this member's business any more.
            Err(error) => tracing::debug!(group = self.group(), %error, "offsets were not committed"),
        }
    }
}

/// The call-backs of a client that reads without a group.
pub(super) struct ReadContext(pub(super) SensorContext);

impl ClientContext for ReadContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.0.log(level, facility, line);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.stats(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ConsumerContext for ReadContext {}

pub(super) fn to_record(topic: Topic, message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
    });
    Record {
        topic,
        partition: message.partition(),
        offset: RecordOffset(message.offset()),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        headers,
    }
}

/// Records not yet handed over. Below zero the client library means "not known"; a group that never handed anything
/// over has all of the log before it.
fn lag(partition: &rdkafka::statistics::Partition) -> Option<i64> {
    let end = partition.hi_offset;
    let next = partition.stored_offset.max(partition.committed_offset);
    let next = if next >= 0 { next } else { partition.lo_offset.max(0) };
    (end >= 0).then(|| (end - next).max(0))
}

fn one_partition(topic_name: &str, partition: i32) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(topic_name, partition);
    list
}

fn to_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn to_count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
