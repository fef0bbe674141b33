//! A member of a consumer group: one thread reads, and gives what it read to an [`Intake`] per partition.
//!
//! Everything that concerns the client library happens on the reading thread: polling, the rebalance call-back inside
//! it, pausing, and handing over offsets. So an offset can only be handed over by the thread that also takes partitions
//! away, and a result that comes after a partition was lost finds nobody to hand it to.
//!
//! Where a partition is read from is decided when it is assigned (`start.rs`). Until that is known it is held: assigned,
//! paused, and nothing of it is taken in. Where records expired unread it stays held, with an alarm, until an
//! operator accepts the gap ([`EventLogConfig::accepted_gaps`]).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::config::EventLogConfig;
use super::error::EventLogError;
use super::health::{Health, HealthSensor, SensorContext};
use super::intake::{Intake, Intakes};
use super::metrics;
use super::partition::Silence;
use super::places::Places;
use super::read::Copier;
use super::record::NextOffset;
use super::start::{AcceptedGap, Gap, Start};
use super::topic::Topic;
use crate::crash::CrashPoint;
use crate::domain::UnixMillis;

/// A poll returns after this long at the latest: the loop turns whatever the catalog does.
const POLL: Duration = Duration::from_millis(100);
/// The same while a partition is paused, so that it goes on soon after its worker caught up.
const POLL_PAUSED: Duration = Duration::from_millis(10);
/// A partition that is full is waited for this long before it is paused: a pause throws away what was fetched ahead, which a
/// worker that is merely busy would have to have fetched again all the time.
const BRAKE: Duration = Duration::from_millis(500);
/// Of more partitions than this, one that is full is paused at once.
const BRAKED_PARTITIONS: usize = 12;
/// How often it is looked at meanwhile.
const BRAKE_STEP: Duration = Duration::from_millis(1);
/// How often settled offsets are handed over and paused partitions looked at.
const HAND_OVER_EVERY: Duration = Duration::from_millis(50);
/// How often gauges are set and stalls looked for.
const OBSERVE_EVERY: Duration = Duration::from_secs(1);
/// What leaving the group may take beyond the drain before the thread is left to itself.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// How long a paused partition's end is waited for: nothing else is read meanwhile.
const ASK_WITHIN: Duration = Duration::from_millis(250);
/// What asking where to start may take in all on assignment; what is not known by then is asked for later.
const DECIDE_WITHIN: Duration = Duration::from_secs(5);
/// How often it is asked for again, and what that may take: the loop stands still meanwhile.
const DECIDE_AGAIN_EVERY: Duration = Duration::from_secs(2);
const DECIDE_AGAIN_WITHIN: Duration = Duration::from_secs(1);

/// What a member needs to know.
pub(super) struct Membership {
    pub(super) config: EventLogConfig,
    pub(super) sensor: Arc<HealthSensor>,
    pub(super) group: String,
    pub(super) topic: Topic,
    /// How long a revoked or closing partition waits for what was begun.
    pub(super) drain: Duration,
}

/// The reading thread's last word.
pub(super) type Ended = oneshot::Receiver<Result<(), EventLogError>>;

/// Reads until `shutdown`, then drains, commits and leaves.
pub(super) async fn consume(membership: Membership, intakes: Arc<dyn Intakes>, shutdown: CancellationToken) -> Result<(), EventLogError> {
    let (group, drain) = (membership.group.clone(), membership.drain);
    let stop = shutdown.child_token();
    // A dropped future leaves nobody to work: the thread closes at once, what was begun unsettled.
    let _stop_when_dropped = stop.clone().drop_guard();
    let ended = start_thread(membership, intakes, stop.clone())?;
    wait_for_end(ended, &group, drain, &stop).await
}

/// Waits for the reading thread, but after `stop` only for as long as leaving the group may take.
pub(super) async fn wait_for_end(mut ended: Ended, group: &str, drain: Duration, stop: &CancellationToken) -> Result<(), EventLogError> {
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(drain + CLOSE_WITHIN).await;
    };
    tokio::select! {
        end = &mut ended => end.unwrap_or_else(|_| Err(EventLogError::ThreadEnded {
            message: format!("the reader of group {group} panicked"),
        })),
        () = overdue => {
            tracing::warn!(group, "leaving the consumer group takes too long and is left to itself");
            Ok(())
        }
    }
}

/// Starts the reading thread; it ends after `stop`.
pub(super) fn start_thread(membership: Membership, intakes: Arc<dyn Intakes>, stop: CancellationToken) -> Result<Ended, EventLogError> {
    let (report, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name(format!("log-{}", membership.group))
        .spawn(move || {
            let outcome = read(Arc::new(membership), &intakes, &stop);
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
    OutOfRange,
    Fatal,
}

fn read(membership: Arc<Membership>, intakes: &Arc<dyn Intakes>, stop: &CancellationToken) -> Result<(), EventLogError> {
    let mut epochs = BTreeMap::new();
    loop {
        let context = Member {
            membership: Arc::clone(&membership),
            sensor: SensorContext(Arc::clone(&membership.sensor)),
            intakes: Arc::clone(intakes),
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
                    Anew::OutOfRange => "records that were to be read next are no longer there",
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
        let (mut any_paused, mut any_full) = (false, false);
        while !stop.is_cancelled() {
            if any_full {
                std::thread::sleep(BRAKE_STEP);
                any_full = member.brake(&self.consumer, &self.topic_name, Instant::now());
            } else {
                match self.consumer.poll(if any_paused { POLL_PAUSED } else { POLL }) {
                    Some(Ok(message)) => any_full = member.feed(&message),
                    Some(Err(error)) => {
                        if let Some(why) = self.after_error(&error)? {
                            return Ok(Some(why));
                        }
                    }
                    None => {}
                }
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
                member.decide_again(&self.consumer, &self.topic_name, now);
                member.ask_for_an_end(&self.consumer, &self.topic_name);
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
            // What is to be done about it is decided when the partition is assigned again.
            None if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => Ok(Some(Anew::OutOfRange)),
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
    intake: Arc<dyn Intake>,
    /// One for each partition: what a stuck record holds back is of its own.
    copier: Copier,
    paused: bool,
    /// Since when it has been full without being paused.
    full_since: Option<Instant>,
    /// Records taken in that the metrics have not been told of.
    consumed: u64,
    hold: Option<Hold>,
    /// Where reading started; none while that is not known.
    start: Option<NextOffset>,
    /// The group's place is to be moved there: it stands where nothing can be read.
    commit: Option<NextOffset>,
    silence: Silence,
    lag: i64,
    /// Where the partition was seen to end when it was last asked for, and when that was.
    asked: Option<(i64, Instant)>,
}

/// Why nothing of a partition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// The broker has not yet said where the partition begins and the group stands.
    Undecided {
        /// When it is asked again.
        next_try: Instant,
    },
    /// An operator has to accept that records were not read.
    Gap,
}

/// The call-backs of a group member. They run inside `poll`, on the reading thread, and may block.
struct Member {
    membership: Arc<Membership>,
    sensor: SensorContext,
    intakes: Arc<dyn Intakes>,
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

    /// Gives a record to its partition. Is that one full now?
    fn feed(&self, message: &BorrowedMessage<'_>) -> bool {
        let mut assignment = self.assignment();
        let Some(owned) = assignment.partitions.get_mut(&message.partition()) else {
            return false;
        };
        // Read before the pause took effect: it will be read again from wherever the partition starts.
        if owned.hold.is_some() {
            return false;
        }
        owned.silence.end(Instant::now());
        let record = owned.copier.record(self.membership.topic, message);
        if !owned.intake.push(record) {
            return false;
        }
        owned.consumed += 1;
        !owned.paused && owned.intake.wants_pause()
    }

    /// Pauses partitions that have been full for long enough. Are there others that are full?
    fn brake(&self, consumer: &BaseConsumer<Member>, topic_name: &str, now: Instant) -> bool {
        let mut any_full = false;
        let mut assignment = self.assignment();
        // Where one was waited for in vain, so would the others be; and what many have fetched ahead is memory, too.
        let mut in_vain = assignment.partitions.len() > BRAKED_PARTITIONS || assignment.partitions.values().any(|owned| owned.paused);
        for (&partition, owned) in &mut assignment.partitions {
            if owned.paused || owned.hold.is_some() || !owned.intake.wants_pause() {
                owned.full_since = None;
                continue;
            }
            let since = *owned.full_since.get_or_insert(now);
            if now.duration_since(since) < BRAKE && !in_vain {
                any_full = true;
                continue;
            }
            in_vain = true;
            owned.full_since = None;
            match consumer.pause(&one_partition(topic_name, partition)) {
                Ok(()) => owned.paused = true,
                Err(error) => tracing::warn!(partition, %error, "cannot pause a partition"),
            }
        }
        any_full
    }

    /// Hands settled offsets to the client library, and lets partitions go on whose workers caught up.
    fn hand_over_and_resume(&self, consumer: &BaseConsumer<Member>, topic_name: &str) -> bool {
        let mut any_paused = false;
        let mut assignment = self.assignment();
        for (&partition, owned) in &mut assignment.partitions {
            self.count(owned);
            if let Some(next) = owned.commit.take() {
                self.move_group(consumer, topic_name, partition, next);
            }
            if let Some(next) = owned.intake.take_settled() {
                self.hand_over(consumer, topic_name, partition, next);
            }
            if owned.paused && !owned.intake.wants_pause() {
                match consumer.resume(&one_partition(topic_name, partition)) {
                    Ok(()) => owned.paused = false,
                    Err(error) => tracing::warn!(partition, %error, "cannot resume a partition"),
                }
            }
            any_paused |= owned.paused;
        }
        any_paused
    }

    fn count(&self, owned: &mut Owned) {
        let consumed = std::mem::take(&mut owned.consumed);
        if consumed > 0 {
            metrics::RECORDS_CONSUMED
                .with_label_values(&[self.membership.topic.base_name(), self.group()])
                .inc_by(consumed);
        }
    }

    /// Moves the group's place although nothing was settled: where it stands there is nothing to be read, and the client
    /// library would only ever commit what is greater.
    fn move_group(&self, consumer: &BaseConsumer<Member>, topic_name: &str, partition: i32, next: NextOffset) {
        let mut offsets = TopicPartitionList::new();
        let committed = offsets
            .add_partition_offset(topic_name, partition, Offset::Offset(next.0))
            .and_then(|()| consumer.commit(&offsets, CommitMode::Async));
        if let Err(error) = committed {
            tracing::warn!(group = self.group(), partition, %error, "the group's place was not moved, the next assignment will try again");
        }
    }

    /// The one place where an offset is handed over. The list takes the value as it is: the *next* offset.
    fn hand_over(&self, consumer: &BaseConsumer<Member>, topic_name: &str, partition: i32, next: NextOffset) {
        let mut offsets = TopicPartitionList::new();
        let stored = offsets
            .add_partition_offset(topic_name, partition, Offset::Offset(next.0))
            .and_then(|()| consumer.store_offsets(&offsets));
        match stored {
            Ok(()) => CrashPoint::OffsetStored.pass(),
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
        self.assignment().partitions.values().any(|owned| owned.intake.has_given_up())
    }

    /// Sets the gauges. Is a partition stuck?
    fn observe(&self, now: Instant) -> bool {
        let wall = UnixMillis::now();
        let (mut records, mut paused, mut held, mut stalled) = (0, 0, 0, false);
        let up = *self.membership.sensor.subscribe().borrow() == Health::Up;
        for (&partition, owned) in &mut self.assignment().partitions {
            let load = owned.intake.load();
            records += load.records;
            paused += i64::from(owned.paused);
            held += i64::from(owned.hold.is_some());
            let age_ms = load.oldest_ms.map_or(0, |oldest| wall.millis_since(UnixMillis(oldest)).max(0));
            metrics::CONSUMER_LAG_SECONDS
                .with_label_values(&[self.group(), &partition.to_string()])
                .set(Duration::from_millis(age_ms.unsigned_abs()).as_secs_f64());
            let is_expecting = up && owned.lag > 0 && !owned.paused && owned.hold.is_none() && load.records == 0;
            if owned.silence.lasts(is_expecting, now) > self.membership.config.stalled_after {
                metrics::PARTITION_STALLS.with_label_values(&[self.group()]).inc();
                stalled = true;
            }
        }
        metrics::RECORDS_IN_FLIGHT.with_label_values(&[self.group()]).set(to_gauge(records));
        metrics::PARTITIONS_PAUSED.with_label_values(&[self.group()]).set(paused);
        metrics::PARTITIONS_HELD.with_label_values(&[self.group()]).set(held);
        stalled
    }

    /// Of a paused partition nothing is fetched, so nobody says how it grows: the one not asked for longest is asked for.
    fn ask_for_an_end(&self, consumer: &BaseConsumer<Member>, topic_name: &str) {
        if *self.membership.sensor.subscribe().borrow() != Health::Up {
            return;
        }
        let mut assignment = self.assignment();
        let paused = assignment.partitions.iter_mut().filter(|(_, owned)| owned.paused);
        let Some((&partition, owned)) = paused.min_by_key(|(_, owned)| owned.asked.map(|(_, at)| at)) else {
            return;
        };
        // Without an answer it is the next one's turn.
        let known = owned.asked.map_or(-1, |(end, _)| end);
        let end = consumer.fetch_watermarks(topic_name, partition, ASK_WITHIN).map_or(known, |(_, end)| end);
        owned.asked = Some((end, Instant::now()));
    }

    fn assign(&self, consumer: &BaseConsumer<Member>, partitions: &mut TopicPartitionList) {
        let numbers: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
        let topic_name = self.membership.config.topic_name(self.membership.topic);
        let closing = self.closing.load(Ordering::Acquire);
        let places = if closing {
            BTreeMap::new()
        } else {
            self.places(consumer, &topic_name, &numbers, DECIDE_WITHIN)
        };
        for &partition in &numbers {
            let from = match places.get(&partition) {
                // The library asks for it once more by itself, and checks that the log was not cut since.
                Some(Place { begin: false, start, .. }) if start.is_some() => Offset::Stored,
                Some(Place { start: Some(start), .. }) => Offset::Offset(start.0),
                // Held. Anything that is certain to be there.
                _ => Offset::Beginning,
            };
            if let Err(error) = partitions.set_partition_offset(&topic_name, partition, from) {
                tracing::error!(group = self.group(), partition, %error, "cannot set where a partition starts");
            }
        }
        let assigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
            _ => consumer.assign(partitions),
        };
        if let Err(error) = assigned {
            tracing::error!(group = self.group(), %error, "cannot take the partitions that were assigned");
        }
        if closing {
            return;
        }
        // A pause outlives the assignment it was made in.
        let _ = consumer.resume(partitions);
        let now = Instant::now();
        let mut assignment = self.assignment();
        for partition in numbers {
            let epoch = assignment.epochs.entry(partition).or_default();
            *epoch += 1;
            let mut owned = Owned {
                intake: Arc::clone(&self.intakes).assigned(partition, *epoch),
                copier: Copier::default(),
                paused: false,
                full_since: None,
                consumed: 0,
                hold: Some(Hold::Undecided {
                    next_try: now + DECIDE_AGAIN_EVERY,
                }),
                start: None,
                commit: None,
                silence: Silence::beginning(now),
                lag: 0,
                asked: None,
            };
            if let Some(place) = places.get(&partition) {
                self.settle_place(&mut owned, place);
            }
            if owned.hold.is_some()
                && let Err(error) = consumer.pause(&one_partition(&topic_name, partition))
            {
                tracing::warn!(partition, %error, "cannot pause a partition");
            }
            assignment.partitions.insert(partition, owned);
        }
        metrics::REBALANCES.with_label_values(&[self.group(), "assign"]).inc();
        tracing::info!(group = self.group(), partitions = ?assignment.partitions.keys(), "partitions assigned");
    }

    fn settle_place(&self, owned: &mut Owned, place: &Place) {
        owned.start = place.start;
        owned.hold = if place.start.is_some() { None } else { Some(Hold::Gap) };
        owned.commit = place.start.filter(|_| place.moves_group);
    }

    /// Asks again where held partitions start, which the broker did not say when they were assigned.
    fn decide_again(&self, consumer: &BaseConsumer<Member>, topic_name: &str, now: Instant) {
        let due: Vec<i32> = {
            let mut assignment = self.assignment();
            let due = assignment.partitions.iter_mut().filter_map(|(&partition, owned)| match &mut owned.hold {
                Some(Hold::Undecided { next_try }) if now >= *next_try => {
                    *next_try = now + DECIDE_AGAIN_EVERY;
                    Some(partition)
                }
                _ => None,
            });
            due.collect()
        };
        if due.is_empty() {
            return;
        }
        for (partition, place) in self.places(consumer, topic_name, &due, DECIDE_AGAIN_WITHIN) {
            if let Some(start) = place.start {
                let goes_on = consumer
                    .seek(topic_name, partition, Offset::Offset(start.0), DECIDE_AGAIN_WITHIN)
                    .and_then(|()| consumer.resume(&one_partition(topic_name, partition)));
                if let Err(error) = goes_on {
                    tracing::warn!(group = self.group(), partition, %error, "a held partition cannot go on yet");
                    continue;
                }
            }
            if let Some(owned) = self.assignment().partitions.get_mut(&partition) {
                self.settle_place(owned, &place);
                owned.silence.end(Instant::now());
            }
        }
    }

    /// Where these partitions start. Those that the broker does not tell of in time are left out.
    fn places(&self, consumer: &BaseConsumer<Member>, topic_name: &str, partitions: &[i32], within: Duration) -> BTreeMap<i32, Place> {
        let places = Places {
            consumer,
            topic_name,
            deadline: Instant::now() + within,
        };
        let decided = places.decide(partitions);
        let starts = decided.unwrap_or_else(|error| {
            // Said once: it is asked for again every other second.
            if within == DECIDE_WITHIN {
                tracing::warn!(group = self.group(), %error, "where to start is not known yet, partitions are held meanwhile");
            }
            BTreeMap::new()
        });
        starts.into_iter().map(|(partition, start)| (partition, self.place(partition, start))).collect()
    }

    /// What is done about a start that was decided; raises the alarms.
    fn place(&self, partition: i32, start: Start) -> Place {
        let group = self.group();
        match start {
            Start::Committed(start) => Place::at(start, false),
            Start::Beginning(start) => Place::at(start, true),
            Start::Recreated { committed, low } => {
                metrics::OFFSET_GAPS.with_label_values(&[group]).inc();
                tracing::error!(
                    group,
                    partition,
                    committed = committed.0,
                    begins_at = low.0,
                    "the group stands behind the end of the log: the topic was made anew, or cut, and is read from its beginning"
                );
                Place {
                    moves_group: true,
                    ..Place::at(low, true)
                }
            }
            Start::Gap(gap) => self.place_of_gap(partition, gap),
        }
    }

    fn place_of_gap(&self, partition: i32, gap: Gap) -> Place {
        let config = &self.membership.config;
        let group = self.group();
        let topic = config.topic_name(self.membership.topic);
        let named = AcceptedGap::new(group, &topic, partition, gap);
        let (committed, begins_at) = (gap.committed.map(|committed| committed.0), gap.low.0);
        metrics::OFFSET_GAPS.with_label_values(&[group]).inc();
        // There is one disk, whose limit drops the oldest records by intent, and nobody to ask.
        if config.embedded || config.accepted_gaps.contains(&named) {
            tracing::error!(group, partition, committed, begins_at, "records expired unread and are passed over");
            return Place {
                moves_group: true,
                ..Place::at(gap.low, true)
            };
        }
        tracing::error!(
            group,
            topic,
            partition,
            committed,
            begins_at,
            accept_with = %format!("KAFKA_ACCEPT_GAP={named}"),
            "records expired unread: the partition is held until the gap is accepted"
        );
        let stood = committed.map_or_else(|| "nowhere".to_owned(), |committed| format!("at {committed}"));
        self.membership.sensor.hold(
            named.clone(),
            format!("partition {partition} of {topic} is held: records expired before group {group} read them (it stood {stood}, the log begins at {begins_at}); KAFKA_ACCEPT_GAP={named} passes over them"),
        );
        Place {
            start: None,
            begin: false,
            moves_group: false,
        }
    }

    fn release_all(&self, consumer: &BaseConsumer<Member>, lost: bool) {
        let all = self.assignment().partitions.keys().copied().collect::<Vec<_>>();
        self.release(consumer, &all, lost);
    }

    /// Takes partitions back: stop feeding, drain, hand over, fence, drop. In this order.
    fn release(&self, consumer: &BaseConsumer<Member>, partitions: &[i32], lost: bool) {
        let mut released: Vec<(i32, Owned)> = {
            let mut assignment = self.assignment();
            partitions.iter().filter_map(|p| assignment.partitions.remove_entry(p)).collect()
        };
        if released.is_empty() {
            return;
        }
        for (_, owned) in &mut released {
            self.count(owned);
            owned.intake.close();
        }
        let began = Instant::now();
        let deadline = began + self.membership.drain;
        let topic_name = self.membership.config.topic_name(self.membership.topic);
        let mut left_over = 0;
        for (partition, owned) in &released {
            // What was lost belongs to somebody else already: waiting would only delay joining again.
            if !lost && !owned.intake.drain(deadline) {
                tracing::warn!(
                    group = self.group(),
                    partition,
                    "what was begun was not settled in time and is left to the next owner"
                );
            }
            let fenced = owned.intake.fence();
            if let Some(next) = fenced.settled.filter(|_| !lost) {
                self.hand_over(consumer, &topic_name, *partition, next);
            }
            left_over += fenced.left_over;
            self.membership.sensor.release(self.group(), &topic_name, *partition);
            let labels = [self.group(), &partition.to_string()];
            let _ = metrics::CONSUMER_LAG.remove_label_values(&labels);
            let _ = metrics::CONSUMER_LAG_SECONDS.remove_label_values(&labels);
        }
        metrics::DRAIN_SECONDS.with_label_values(&[self.group()]).set(began.elapsed().as_secs_f64());
        metrics::SKIPPED_REVOKED.with_label_values(&[self.group()]).inc_by(to_count(left_over));
        metrics::RECORDS_IN_FLIGHT.with_label_values(&[self.group()]).set(0);
        metrics::PARTITIONS_PAUSED.with_label_values(&[self.group()]).set(0);
        metrics::PARTITIONS_HELD.with_label_values(&[self.group()]).set(0);
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
                let Some(owned) = assignment.partitions.get_mut(number) else { continue };
                if let Some(lag) = lag(partition, owned) {
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
    /// In place of the library's own, which leaves it to a setting where a partition starts.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, partitions);
            return;
        }
        let lost = consumer.assignment_lost();
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS {
            let kind = if lost { "lost" } else { "revoke" };
            metrics::REBALANCES.with_label_values(&[self.group(), kind]).inc();
            let numbers: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
            self.release(consumer, &numbers, lost);
        } else {
            metrics::REBALANCES.with_label_values(&[self.group(), "error"]).inc();
            tracing::warn!(group = self.group(), error = %RDKafkaErrorCode::from(event), "a rebalance failed");
            self.release_all(consumer, lost);
        }
        let given_up = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
            _ => consumer.unassign(),
        };
        if let Err(error) = given_up {
            tracing::error!(group = self.group(), %error, "cannot give up the partitions that were revoked");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            Ok(()) => {
                self.sensor.0.up();
                CrashPoint::OffsetCommitted.pass();
            }
            Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            // Tried again with the next one; after a rebalance it is none of this member's business any more.
            Err(error) => tracing::debug!(group = self.group(), %error, "offsets were not committed"),
        }
    }
}

/// Where a partition starts, and what that means.
struct Place {
    /// None: nowhere, it is held.
    start: Option<NextOffset>,
    /// That is not where the group stands.
    begin: bool,
    /// The group's place is moved there.
    moves_group: bool,
}

impl Place {
    fn at(start: NextOffset, begin: bool) -> Place {
        Place {
            start: Some(start),
            begin,
            moves_group: false,
        }
    }
}

/// Records not yet handed over. Below zero the client library means "not known"; a partition of which nothing was handed
/// over yet has all from its start before it.
fn lag(partition: &rdkafka::statistics::Partition, owned: &Owned) -> Option<i64> {
    let end = partition.hi_offset.max(owned.asked.map_or(-1, |(end, _)| end));
    let start = owned.start.map_or(-1, |start| start.0);
    let next = partition.stored_offset.max(partition.committed_offset).max(start);
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
