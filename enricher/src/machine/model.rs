//! The machine among everything that can happen to it: two members, a catalog with other writers, results that fail, come
//! late or never, crashes and rebalances, in any order. After every step the invariants are checked, and in the end, once
//! nothing fails any more, everything has to be settled and equal to an independent merge.
//!
//! How many cases are tried is `PROPTEST_CASES`; each is some hundred steps.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use shared::ports::catalog::Condition;

use super::samples::{HIGH_WATER, START, Written, settings, version};
use super::*;
use crate::decode::{Input as RecordInput, decode};

const PARTITIONS: i32 = 2;
const MEMBERS: usize = 2;

fn any_written() -> impl Strategy<Value = Written> {
    let market = prop::sample::select(vec![Marketplace::DE, Marketplace::IT, Marketplace::ES]);
    prop_oneof![
        12 => (0..5u8, market, 0..6i64, 1..4i64).prop_map(|(article, market, at, price)| Written::Price { article, market, at, price }),
        1 => (0..5u8).prop_map(|article| Written::Garbage { article }),
        1 => (0..5u8, 0..6i64).prop_map(|(article, at)| Written::Poison { article, at }),
    ]
}

/// What happens next. Numbers choose among what there is.
#[derive(Debug, Clone, Copy)]
enum Event {
    Feed {
        partition: u8,
        records: u8,
    },
    /// An outside system does what a member wanted of it, or fails to.
    Perform {
        which: u8,
        fault: Fault,
    },
    /// A result arrives.
    Deliver {
        which: u8,
    },
    Pass {
        millis: u16,
    },
    Commit {
        partition: u8,
    },
    /// A partition moves to a member; `patient` is whether the drain ends in time.
    Move {
        partition: u8,
        to: u8,
        patient: bool,
    },
    /// A member dies and another process takes its place. What it had sent may still arrive.
    Crash {
        member: u8,
    },
    /// Somebody else writes a product that holds what the log says of it.
    Intrude {
        partition: u8,
        offset: u8,
    },
    ShutDown {
        member: u8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// It did not happen, and an error says so.
    Fails,
    /// It happened, and an error says that perhaps it did not.
    FailsAfterwards,
    /// Every second item is put off, or is not confirmed.
    InPart,
    /// An answer with an item too few.
    Short,
}

impl Fault {
    /// Whether the message in this place is said to be in the log.
    fn confirms(self, position: usize) -> bool {
        match self {
            Fault::None | Fault::Short => true,
            Fault::InPart => position.is_multiple_of(2),
            Fault::Fails | Fault::FailsAfterwards => false,
        }
    }

    /// Whether it is there.
    fn happens(self, position: usize) -> bool {
        self.confirms(position) || self == Fault::FailsAfterwards
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let fault = prop_oneof![
        6 => Just(Fault::None), 1 => Just(Fault::Fails), 1 => Just(Fault::FailsAfterwards), 1 => Just(Fault::InPart), 1 => Just(Fault::Short),
    ];
    prop_oneof![
        6 => (any::<u8>(), 1..6u8).prop_map(|(partition, records)| Event::Feed { partition, records }),
        10 => (any::<u8>(), fault).prop_map(|(which, fault)| Event::Perform { which, fault }),
        10 => any::<u8>().prop_map(|which| Event::Deliver { which }),
        6 => prop_oneof![0..20u16, 0..2_000u16].prop_map(|millis| Event::Pass { millis }),
        2 => any::<u8>().prop_map(|partition| Event::Commit { partition }),
        1 => (any::<u8>(), any::<u8>(), any::<bool>()).prop_map(|(partition, to, patient)| Event::Move { partition, to, patient }),
        1 => any::<u8>().prop_map(|member| Event::Crash { member }),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(partition, offset)| Event::Intrude { partition, offset }),
        1 => any::<u8>().prop_map(|member| Event::ShutDown { member }),
    ]
}

/// One process.
struct Member {
    machine: Machine,
    /// What it wants done.
    wanted: Vec<Output>,
    /// What was done and it does not know yet.
    results: Vec<Input>,
    paused: BTreeSet<i32>,
    stopping: bool,
    /// Calls whose write is not answered, by the ASINs in them; likewise publications.
    writing: BTreeMap<CallId, BTreeSet<Asin>>,
    publishing: BTreeMap<CallId, BTreeSet<Asin>>,
}

/// One partition of the log and who reads it.
struct Log {
    written: Vec<Written>,
    records: Vec<Record>,
    owner: Option<usize>,
    epoch: u64,
    /// What the owner reads next.
    position: usize,
    /// What the owner says is settled, and what of it is committed.
    stored: i64,
    committed: i64,
    letters: BTreeSet<i64>,
}

struct World {
    now: Duration,
    logs: Vec<Log>,
    members: Vec<Member>,
    catalog: BTreeMap<Asin, (StoredProduct, u64)>,
    seq_no: u64,
    published: BTreeMap<Asin, StoredProduct>,
    /// Writes of the dead that are still on their way.
    ghosts: Vec<Output>,
}

impl World {
    fn new(logs: [Vec<Written>; 2], seed: u64) -> World {
        let logs = logs.into_iter().zip(0..).map(|(written, partition)| Log {
            records: written.iter().zip(0..).map(|(written, offset)| written.record(partition, offset)).collect(),
            written,
            owner: None,
            epoch: 0,
            position: 0,
            stored: 0,
            committed: 0,
            letters: BTreeSet::new(),
        });
        let mut world = World {
            now: Duration::ZERO,
            logs: logs.collect(),
            members: Vec::new(),
            catalog: BTreeMap::new(),
            seq_no: 0,
            published: BTreeMap::new(),
            ghosts: Vec::new(),
        };
        for member in 0..MEMBERS {
            let member = world.newborn(seed + member as u64);
            world.members.push(member);
        }
        for partition in 0..PARTITIONS {
            world.assign(partition, partition as usize % MEMBERS);
        }
        world
    }

    fn newborn(&self, seed: u64) -> Member {
        Member {
            machine: Machine::new(settings(seed), self.moment()),
            wanted: Vec::new(),
            results: Vec::new(),
            paused: BTreeSet::new(),
            stopping: false,
            writing: BTreeMap::new(),
            publishing: BTreeMap::new(),
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            wall: UnixMillis(START + 1_000 + i64::try_from(self.now.as_millis()).expect("small")),
            elapsed: self.now,
        }
    }

    fn log(&mut self, partition: i32) -> &mut Log {
        &mut self.logs[usize::try_from(partition).expect("not negative")]
    }

    fn step(&mut self, member: usize, input: Input) {
        match &input {
            Input::WriteResult { call, .. } => drop(self.members[member].writing.remove(call)),
            Input::PublishResult { call, .. } => drop(self.members[member].publishing.remove(call)),
            _ => {}
        }
        let moment = self.moment();
        for output in self.members[member].machine.step(moment, input) {
            self.take(member, output);
        }
        self.check(member);
    }

    fn take(&mut self, member: usize, output: Output) {
        match output {
            Output::StoreOffset { partition, next } => {
                let log = self.log(partition);
                assert_eq!(log.owner, Some(member), "an offset of a partition that is not owned");
                assert!(next.0 > log.stored, "offsets go forward");
                log.stored = next.0;
                for offset in 0..next.0 {
                    self.check_settled(partition, offset);
                }
            }
            Output::Pause { partition } => assert!(self.members[member].paused.insert(partition), "paused twice"),
            Output::Resume { partition } => assert!(self.members[member].paused.remove(&partition), "resumed twice"),
            Output::Settled(_) | Output::Trouble(..) => {}
            work => {
                self.check_order(member, &work);
                self.members[member].wanted.push(work);
            }
        }
    }

    /// One ASIN has one write in flight, and it is published before the next.
    fn check_order(&mut self, member: usize, work: &Output) {
        let member = &mut self.members[member];
        let of_others = |calls: &BTreeMap<CallId, BTreeSet<Asin>>, call: &CallId, asin: &Asin| {
            let same_owner = |other: &CallId| (other.partition, other.epoch) == (call.partition, call.epoch) && other != call;
            calls.iter().any(|(other, asins)| same_owner(other) && asins.contains(asin))
        };
        match work {
            Output::Write { call, writes } => {
                let asins: BTreeSet<Asin> = writes.iter().map(|write| write.value.product.asin).collect();
                assert_eq!(asins.len(), writes.len(), "an ASIN twice in one call");
                for asin in &asins {
                    assert!(!of_others(&member.writing, call, asin), "two writes of {asin} at a time");
                    assert!(
                        !of_others(&member.publishing, call, asin),
                        "{asin} is written before its last write is published"
                    );
                }
                member.writing.insert(*call, asins);
            }
            Output::Publish { call, products, .. } => {
                let asins = products.iter().map(|publication| publication.product.product.asin).collect();
                member.publishing.insert(*call, asins);
            }
            _ => {}
        }
    }

    /// Whether a record may be let go: in the catalog and published, or older than what is; or a dead letter.
    fn check_settled(&self, partition: i32, offset: i64) {
        let log = &self.logs[usize::try_from(partition).expect("not negative")];
        let index = usize::try_from(offset).expect("not negative");
        if log.written[index].is_bad() {
            assert!(log.letters.contains(&offset), "{partition}/{offset} is bad and no dead letter");
            return;
        }
        assert!(!log.letters.contains(&offset), "{partition}/{offset} is good and a dead letter");
        let update = decode(&RecordInput::of(&log.records[index]), UnixMillis(START + 1_000))
            .expect("a good record")
            .update;
        let held = self.catalog.get(&update.asin).map(|(stored, _)| &stored.product);
        let held = held.unwrap_or_else(|| panic!("{partition}/{offset} was let go and its product is not in the catalog"));
        let is_lost = |product: &shared::domain::Product| product.clone().merge(&update);
        assert!(!is_lost(held), "{partition}/{offset} was let go and is not in the catalog");
        // What is older than what is held was superseded by somebody who publishes.
        if update.is_at_frontier_of(held) {
            let published = self.published.get(&update.asin).map(|published| &published.product);
            assert!(
                published.is_some_and(|product| !is_lost(product)),
                "{partition}/{offset} was let go and is not published"
            );
        }
    }

    fn check(&self, member: usize) {
        let machine = &self.members[member].machine;
        let tally = machine.tally();
        let in_flight: usize = (0..PARTITIONS).map(|partition| machine.unsettled(partition)).sum();
        let sum = tally.written + tally.unchanged + tally.stale + tally.dead_letters + tally.given_up + in_flight as u64;
        assert_eq!(tally.consumed, sum, "{tally:?}");
        for partition in 0..PARTITIONS {
            // The record that went over the mark is held; the next is not given.
            assert!(machine.bytes(partition) <= HIGH_WATER + 8_000, "{} bytes are held", machine.bytes(partition));
        }
        let bytes: usize = (0..PARTITIONS).map(|partition| machine.bytes(partition)).sum();
        assert_eq!(machine.common.held_bytes, bytes);
        let over = PARTITIONS.unsigned_abs() as usize * 8_000;
        let most = machine.common.settings.member_bytes / 4 * 5 + over;
        assert!(bytes <= most, "{bytes} bytes are held by all");
    }

    fn assign(&mut self, partition: i32, to: usize) {
        let log = self.log(partition);
        log.owner = Some(to);
        log.epoch += 1;
        log.position = usize::try_from(log.committed).expect("not negative");
        log.stored = log.committed;
        let epoch = log.epoch;
        self.step(to, Input::Assigned { partition, epoch });
    }

    fn revoke(&mut self, partition: i32, patient: bool) {
        let Some(owner) = self.log(partition).owner else { return };
        self.step(owner, Input::Revoking { partition });
        if patient {
            // What was begun ends, well or not, and nothing more is begun: a drain takes a bounded number of steps.
            for _ in 0..1_000 {
                if self.members[owner].machine.is_drained(partition) {
                    break;
                }
                self.perform_of(owner, 0, Fault::None);
                self.deliver_to(owner, 0);
            }
            assert!(self.members[owner].machine.is_drained(partition), "the drain does not end");
        }
        let log = self.log(partition);
        log.committed = log.stored;
        log.owner = None;
        self.step(owner, Input::Revoked { partition });
    }

    fn perform_of(&mut self, member: usize, which: usize, fault: Fault) {
        if self.members[member].wanted.is_empty() {
            return;
        }
        let which = which % self.members[member].wanted.len();
        let work = self.members[member].wanted.remove(which);
        if let Some(result) = self.perform(work, fault) {
            self.members[member].results.push(result);
        }
    }

    fn deliver_to(&mut self, member: usize, which: usize) {
        if self.members[member].results.is_empty() {
            return;
        }
        let which = which % self.members[member].results.len();
        let result = self.members[member].results.remove(which);
        self.step(member, result);
    }

    /// The outside systems.
    fn perform(&mut self, work: Output, fault: Fault) -> Option<Input> {
        let failed = || "on purpose".to_owned();
        match work {
            Output::Read { call, asins } => {
                let mut products: Vec<_> = asins.iter().map(|asin| self.read(*asin)).collect();
                let result = match fault {
                    Fault::Fails | Fault::FailsAfterwards => Err(failed()),
                    Fault::Short => {
                        products.pop();
                        Ok(products)
                    }
                    Fault::None | Fault::InPart => Ok(products),
                };
                Some(Input::ReadResult { call, result })
            }
            Output::Write { call, writes } => {
                let mut outcomes = Vec::new();
                for (index, write) in writes.iter().enumerate() {
                    outcomes.push(match fault {
                        Fault::Fails => continue,
                        Fault::InPart if index.is_multiple_of(2) => WriteOutcome::Retry { reason: failed() },
                        _ => self.write(write),
                    });
                }
                let result = match fault {
                    Fault::Fails | Fault::FailsAfterwards => Err(failed()),
                    Fault::Short => {
                        outcomes.pop();
                        Ok(outcomes)
                    }
                    Fault::None | Fault::InPart => Ok(outcomes),
                };
                Some(Input::WriteResult { call, result })
            }
            Output::Publish { call, products, which } => {
                let mut rest = Vec::new();
                for (position, &index) in which.iter().enumerate() {
                    if fault.happens(position) {
                        self.publish(&products[index].product);
                    }
                    if !fault.confirms(position) {
                        rest.push(index);
                    }
                }
                let result = if rest.is_empty() { Ok(()) } else { Err((rest, failed())) };
                Some(Input::PublishResult { call, result })
            }
            Output::DeadLetter { call, letters, which } => {
                let mut rest = Vec::new();
                for (position, &index) in which.iter().enumerate() {
                    let record = &letters[index].record;
                    if fault.happens(position) {
                        self.log(record.partition).letters.insert(record.offset.0);
                    }
                    if !fault.confirms(position) {
                        rest.push(index);
                    }
                }
                let result = if rest.is_empty() { Ok(()) } else { Err((rest, failed())) };
                Some(Input::DeadLetterResult { call, result })
            }
            _ => None,
        }
    }

    fn read(&self, asin: Asin) -> Option<Versioned<StoredProduct>> {
        let (stored, seq_no) = self.catalog.get(&asin)?;
        Some(Versioned {
            value: stored.clone(),
            version: version(*seq_no),
        })
    }

    fn write(&mut self, write: &Write<StoredProduct>) -> WriteOutcome {
        let product = &write.value.product;
        if product.markets.contains_key(&Marketplace::UK) {
            return WriteOutcome::Refused { reason: "poison".into() };
        }
        let held = self.catalog.get(&product.asin);
        let applies = match (&write.condition, held) {
            (Condition::Absent, None) => true,
            (Condition::Unchanged(version), Some((_, seq_no))) => version.seq_no == *seq_no,
            _ => false,
        };
        if !applies {
            return WriteOutcome::Conflict;
        }
        if let Some((held, _)) = held {
            assert!(write.value.revision > held.revision, "revisions grow");
            assert_ne!(write.value.product, held.product, "a write that changes nothing");
        }
        self.seq_no += 1;
        self.catalog.insert(product.asin, (write.value.clone(), self.seq_no));
        WriteOutcome::Written(version(self.seq_no))
    }

    /// Consumers ignore a revision lower than one they have seen.
    fn publish(&mut self, product: &StoredProduct) {
        let known = self.published.get(&product.product.asin);
        if known.is_none_or(|known| known.revision <= product.revision) {
            self.published.insert(product.product.asin, product.clone());
        }
    }

    fn intrude(&mut self, partition: i32, offset: usize) {
        let log = self.log(partition);
        let Some(written) = log.written.get(offset).filter(|written| !written.is_bad()) else {
            return;
        };
        let _ = written;
        let update = decode(&RecordInput::of(&log.records[offset]), UnixMillis(START + 1_000))
            .expect("a good record")
            .update;
        let held = self.read(update.asin);
        let revision = held.as_ref().map_or(1, |held| held.value.revision + 1);
        let mut product = held.as_ref().map_or_else(|| update.clone(), |held| held.value.product.clone());
        if !product.merge(&update) && held.is_some() {
            return;
        }
        let value = StoredProduct {
            product,
            revision,
            listing: shared::domain::Listing::default(),
        };
        // Whoever writes publishes before it lets go; this one dies in between, which its own replay would mend. Here the
        // record is still in the log, so one of the members will.
        let condition = held.map_or(Condition::Absent, |held| Condition::Unchanged(held.version));
        self.write(&Write { value, condition });
    }

    fn happen(&mut self, event: Event) {
        let partition = |number: u8| i32::from(number) % PARTITIONS;
        match event {
            Event::Feed { partition: number, records } => {
                let partition = partition(number);
                for _ in 0..records {
                    let log = self.log(partition);
                    let (Some(owner), Some(record)) = (log.owner, log.records.get(log.position).cloned()) else {
                        return;
                    };
                    if self.members[owner].paused.contains(&partition) || self.members[owner].stopping {
                        return;
                    }
                    self.log(partition).position += 1;
                    let look = self.members[owner].machine.look_at(&record);
                    let arrival = Arrival::decode(record, look, self.moment().wall);
                    self.step(owner, Input::Record(arrival));
                }
            }
            Event::Perform { which, fault } => {
                let ghosts = self.ghosts.len();
                if ghosts > 0 && usize::from(which).is_multiple_of(4) {
                    let work = self.ghosts.remove(usize::from(which) % ghosts);
                    let _nobody_waits = self.perform(work, fault);
                } else {
                    self.perform_of(usize::from(which) % MEMBERS, usize::from(which) / MEMBERS, fault);
                }
            }
            Event::Deliver { which } => self.deliver_to(usize::from(which) % MEMBERS, usize::from(which) / MEMBERS),
            Event::Pass { millis } => {
                self.now += Duration::from_millis(u64::from(millis));
                for member in 0..MEMBERS {
                    self.step(member, Input::Tick);
                }
            }
            Event::Commit { partition: number } => {
                let log = self.log(partition(number));
                log.committed = log.stored;
            }
            Event::Move {
                partition: number,
                to,
                patient,
            } => {
                self.revoke(partition(number), patient);
                self.assign(partition(number), usize::from(to) % MEMBERS);
            }
            Event::Crash { member } => self.crash(usize::from(member) % MEMBERS),
            Event::Intrude { partition: number, offset } => self.intrude(partition(number), usize::from(offset)),
            Event::ShutDown { member } => {
                let member = usize::from(member) % MEMBERS;
                self.step(member, Input::Shutdown);
                self.members[member].stopping = true;
            }
        }
    }

    fn crash(&mut self, member: usize) {
        let seed = self.now.as_millis() as u64;
        let newborn = self.newborn(seed);
        let dead = std::mem::replace(&mut self.members[member], newborn);
        self.ghosts.extend(dead.wanted);
        for partition in 0..PARTITIONS {
            if self.log(partition).owner == Some(member) {
                self.assign(partition, member);
            }
        }
    }

    /// From here on nothing fails. Everything has to be settled within a bounded number of steps.
    fn heal(&mut self) {
        for ghost in std::mem::take(&mut self.ghosts) {
            let _nobody_waits = self.perform(ghost, Fault::None);
        }
        for member in 0..MEMBERS {
            if self.members[member].stopping {
                self.crash(member);
            }
        }
        for _ in 0..20_000 {
            if self.logs.iter().all(|log| log.stored == log.records.len() as i64) {
                return;
            }
            for partition in 0..PARTITIONS {
                self.happen(Event::Feed {
                    partition: partition as u8,
                    records: 3,
                });
            }
            for member in 0..MEMBERS {
                self.perform_of(member, 0, Fault::None);
                self.deliver_to(member, 0);
            }
            // As a shell would: woken when something is due.
            let due = self.members.iter().filter_map(|member| member.machine.wake_at()).min();
            let idle = self.members.iter().all(|member| member.wanted.is_empty() && member.results.is_empty());
            if let Some(due) = due.filter(|due| idle || *due <= self.now) {
                self.now = self.now.max(due);
                for member in 0..MEMBERS {
                    self.step(member, Input::Tick);
                }
            }
        }
        let stuck: Vec<_> = self.logs.iter().map(|log| (log.stored, log.position, log.records.len())).collect();
        panic!("not everything is settled: (stored, read, written) = {stuck:?}");
    }

    fn check_end(&self) {
        assert!(
            self.members.iter().all(|member| member.machine.is_at_rest()),
            "something is left of settled records"
        );
        let mut expected: BTreeMap<Asin, shared::domain::Product> = BTreeMap::new();
        for log in &self.logs {
            for (written, record) in log.written.iter().zip(&log.records) {
                if written.is_bad() {
                    assert!(log.letters.contains(&record.offset.0));
                    continue;
                }
                let update = decode(&RecordInput::of(record), UnixMillis(START + 1_000)).expect("a good record").update;
                match expected.get_mut(&update.asin) {
                    Some(product) => drop(product.merge(&update)),
                    None => drop(expected.insert(update.asin, update)),
                }
            }
        }
        let stored: BTreeMap<Asin, _> = self.catalog.iter().map(|(asin, (stored, _))| (*asin, stored.product.clone())).collect();
        assert_eq!(stored, expected, "the catalog is what the log says");
        for (asin, (stored, _)) in &self.catalog {
            let published = &self.published[asin];
            assert_eq!(
                (published.revision, &published.product),
                (stored.revision, &stored.product),
                "the last revision is published"
            );
        }
    }
}

proptest! {
    /// Guard: the tracker, the epochs, the lanes and the publication before the offset (`machine/`); taken out: each of
    /// them makes this fail within a few cases.
    #[test]
    fn t01_whatever_happens_in_whatever_order_nothing_is_lost_let_go_early_or_written_twice(
        first in prop::collection::vec(any_written(), 0..40),
        second in prop::collection::vec(any_written(), 0..40),
        events in prop::collection::vec(any_event(), 0..400),
        seed in any::<u32>(),
    ) {
        let mut world = World::new([first, second], u64::from(seed));
        for event in events {
            world.happen(event);
        }
        world.heal();
        world.check_end();
    }

    #[test]
    fn a_flood_of_refusals_is_settled_in_the_end(
        bad in prop::collection::vec(prop_oneof![4 => Just(Written::Garbage { article: 1 }), 1 => Just(Written::Poison { article: 2, at: 1 }), 1 => Just(Written::Price { article: 3, market: Marketplace::DE, at: 2, price: 1 })], 100..260),
        events in prop::collection::vec(any_event(), 0..100),
    ) {
        let mut world = World::new([bad, vec![]], 7);
        for event in events {
            world.happen(event);
        }
        world.heal();
        world.check_end();
    }
}

#[test]
fn what_a_member_may_cache_is_shared_among_its_partitions() {
    let mut machine = Machine::new(
        settings(1),
        Moment {
            wall: UnixMillis(START),
            elapsed: Duration::ZERO,
        },
    );
    for (partition, each) in [(0, 12_000), (1, 6_000), (2, 4_000)] {
        machine.step(
            Moment {
                wall: UnixMillis(START),
                elapsed: Duration::ZERO,
            },
            Input::Assigned { partition, epoch: 1 },
        );
        let limits: Vec<usize> = machine.partitions.values().map(|partition| partition.cache().max_bytes()).collect();
        assert_eq!(limits, vec![each; machine.partitions.len()]);
    }
}
