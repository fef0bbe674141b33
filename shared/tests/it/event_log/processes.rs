//! Members in processes of their own, that are killed and put to sleep while they work.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::adapters::kafka::{ConsumerLimits, EventLog, EventLogConfig, Lease, LeaseLost, PartitionHandler, PartitionHandlers, Record, Topic};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, Recorder, RunningConsumer, Seen, eventually, metric, publish_numbers, within};
use super::mock::Mock;

/// What a member process is told: one variable each.
const BROKERS: &str = "EVENT_LOG_MEMBER_BROKERS";
const PREFIX: &str = "EVENT_LOG_MEMBER_PREFIX";
const GROUP: &str = "EVENT_LOG_MEMBER_GROUP";
const SESSION_MS: &str = "EVENT_LOG_MEMBER_SESSION_MS";
const HOLDS: &str = "EVENT_LOG_MEMBER_HOLDS";
const WORKS_MS: &str = "EVENT_LOG_MEMBER_WORKS_MS";
/// Before every line that it says.
const SAYS: &str = "member says: ";

/// How often a member is killed; 4 times where it is not set.
const ROUNDS: &str = "EVENT_LOG_CHURN_ROUNDS";

/// What a member process said so far.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// How often each partition was assigned.
    pub assigned: BTreeMap<i32, usize>,
    /// How often each record was settled; said before it is let go.
    settled: BTreeMap<(i32, i64), usize>,
    /// Partitions of which it had something in hand.
    taken: BTreeSet<i32>,
    /// Partitions that are paused.
    pub paused: usize,
    ended: bool,
}

/// A member of the bench's group in a process of its own.
pub struct MemberProcess {
    child: Child,
    said: Arc<watch::Sender<Said>>,
}

impl MemberProcess {
    pub fn start(bench: &Bench, holds: bool) -> MemberProcess {
        MemberProcess::start_with(bench, holds.then_some((HOLDS, "yes")))
    }

    fn start_with(bench: &Bench, variable: Option<(&str, &str)>) -> MemberProcess {
        let mut child = Command::new(std::env::current_exe().expect("this test's own binary"))
            .args(["event_log::processes::the_member_process", "--exact", "--nocapture"])
            .env(BROKERS, &bench.config.brokers)
            .env(PREFIX, &bench.config.topic_prefix)
            .env(GROUP, &bench.group)
            .env(SESSION_MS, &bench.config.extra["session.timeout.ms"])
            .envs(variable)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a second process");
        let said = Arc::new(watch::Sender::new(Said::default()));
        let stdout = child.stdout.take().expect("its output");
        std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                for line in std::io::BufReader::new(stdout).lines().map_while(Result::ok) {
                    if let Some((_, line)) = line.split_once(SAYS) {
                        said.send_modify(|said| said.hear(line));
                    }
                }
                said.send_modify(|said| said.ended = true);
            }
        });
        MemberProcess { child, said }
    }

    /// What the process holds in memory now.
    pub fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
        let kilobytes: usize = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
        kilobytes * 1024
    }

    pub async fn until(&self, what: &str, condition: impl Fn(&Said) -> bool) {
        let mut said = self.said.subscribe();
        within(what, said.wait_for(|said| condition(said))).await.expect("it is listened to");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success(), "kill {name}");
    }

    /// Lets go of what it holds.
    fn go_on(&mut self) {
        drop(self.child.stdin.take());
    }

    /// SIGKILL. What it said is complete when this returns.
    async fn kill(mut self) -> Said {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is gone");
        self.until("its last words", |said| said.ended).await;
        self.said.borrow().clone()
    }
}

impl Drop for MemberProcess {
    fn drop(&mut self) {
        // Also where the test fails; one that is gone cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |index: usize| words[index].parse::<i64>().expect("a number");
        let partition = || i32::try_from(number(1)).expect("a partition");
        match words[0] {
            "assigned" => *self.assigned.entry(partition()).or_default() += 1,
            "taken" => {
                self.taken.insert(partition());
            }
            "settled" => *self.settled.entry((partition(), number(2))).or_default() += 1,
            "paused" => self.paused = usize::try_from(number(1)).expect("a count"),
            _ => panic!("not understood: {line}"),
        }
    }

    fn add(&mut self, other: Said) {
        other
            .assigned
            .into_iter()
            .for_each(|(partition, times)| *self.assigned.entry(partition).or_default() += times);
        other
            .settled
            .into_iter()
            .for_each(|(place, times)| *self.settled.entry(place).or_default() += times);
    }
}

/// Not a test: the other process of those below. Alone it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_member_process() {
    let variable = |name: &str| std::env::var(name).ok();
    let (Some(brokers), Some(topic_prefix), Some(group), Some(session)) = (variable(BROKERS), variable(PREFIX), variable(GROUP), variable(SESSION_MS)) else {
        return;
    };
    let extra = [
        ("session.timeout.ms", session.as_str()),
        ("heartbeat.interval.ms", "100"),
        // What is handed over is committed at once: whatever is handed over too early is lost when it is killed.
        ("auto.commit.interval.ms", "20"),
    ];
    let log = EventLog::new(EventLogConfig {
        brokers,
        topic_prefix,
        extra: extra.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        client_id: "member".to_owned(),
        ..EventLogConfig::default()
    });
    let holds = variable(HOLDS).map(|_| {
        let holds = Arc::new(watch::Sender::new(true));
        std::thread::spawn({
            let holds = Arc::clone(&holds);
            move || {
                // Until the other side closes it.
                let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
                holds.send_replace(false);
            }
        });
        holds
    });
    std::thread::spawn({
        let group = group.clone();
        move || {
            let mut said = 0.0;
            loop {
                let paused = metric("partitions_paused", &group);
                if paused != said {
                    println!("{SAYS}paused {paused}");
                    said = paused;
                }
                std::thread::park_timeout(Duration::from_millis(100));
            }
        }
    });
    let ended = log
        .consume(
            &group,
            Topic::RawUpdates,
            ConsumerLimits::default(),
            Talkers {
                holds,
                works: Duration::from_millis(variable(WORKS_MS).map_or(0, |millis| millis.parse().expect("milliseconds"))),
            },
            CancellationToken::new(),
        )
        .await;
    panic!("it ended by itself: {ended:?}");
}

/// Says what it does. Where it holds, it settles nothing until it is let go on, and then what it has in hand of its first
/// leases and nothing more.
struct Talkers {
    holds: Option<Arc<watch::Sender<bool>>>,
    /// How long it works on a batch.
    works: Duration,
}

struct Talker {
    lease: Lease,
    holds: Option<watch::Receiver<bool>>,
    works: Duration,
}

impl PartitionHandlers for Talkers {
    type Handler = Talker;

    fn assigned(&self, partition: i32, lease: Lease) -> Talker {
        println!("{SAYS}assigned {partition}");
        Talker {
            lease,
            holds: self.holds.as_ref().map(|holds| holds.subscribe()),
            works: self.works,
        }
    }
}

#[async_trait]
impl PartitionHandler for Talker {
    async fn settle(&mut self, batch: Vec<Record>) -> Result<(), LeaseLost> {
        println!("{SAYS}taken {}", self.lease.partition());
        if let Some(holds) = &mut self.holds {
            let first = self.lease.epoch() == 1;
            // The sender lives as long as the process.
            let _ = holds.wait_for(|holds| first && !holds).await;
        }
        tokio::time::sleep(self.works).await;
        for record in batch {
            println!("{SAYS}settled {} {}", record.partition, record.offset.0);
        }
        Ok(())
    }
}

/// The shortest that brokers allow by default.
fn short_session() -> BTreeMap<String, String> {
    let settings = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500")];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn rounds() -> usize {
    std::env::var(ROUNDS).map_or(4, |rounds| rounds.parse().expect("EVENT_LOG_CHURN_ROUNDS is a number"))
}

/// Guard: what is committed was settled before, and a partition is read from there by whoever gets it. Taken out (committed
/// when read), what a killed member had in hand was never settled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t21_nothing_is_lost_while_members_are_killed_on_mock_brokers() {
    survives_kills(&Mock::of(1).bench).await;
}

/// Guard: as above. Taken out, as above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t21_nothing_is_lost_while_members_are_killed_on_kafka() {
    if let Some(mut bench) = Bench::real() {
        bench.config.extra.extend(short_session());
        survives_kills(&bench).await;
    }
}

/// The group ends balanced, and every partition goes on.
async fn survives_kills(bench: &Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let mut said = Said::default();
    // Long enough to be killed with a batch in hand.
    let join = || MemberProcess::start_with(bench, Some((WORKS_MS, "300")));
    let mut members = vec![join()];
    let mut published = 0;
    for _ in 0..rounds() {
        members.push(join());
        members[1].until("a share of the newcomer", |said| !said.assigned.is_empty()).await;
        for _ in 0..4 {
            publish_numbers(&publisher, 30, published..published + 50).await;
            published += 50;
        }
        said.add(members.remove(0).kill().await);
        publish_numbers(&publisher, 30, published..published + 200).await;
        published += 200;
    }
    members.push(join());
    members[1].until("a share of the last one", |said| !said.assigned.is_empty()).await;
    let heard = || {
        let mut all = said.clone();
        members.iter().for_each(|member| all.add(member.said.borrow().clone()));
        all
    };
    eventually("everything to be settled", || heard().settled.len() == published).await;
    bench.all_is_committed().await;
    // Every partition goes on.
    publish_numbers(&publisher, 30, published..published + 90).await;
    eventually("what comes at last", || heard().settled.len() == published + 90).await;

    let all = heard();
    let twice: usize = all.settled.values().map(|times| times - 1).sum();
    eprintln!("{} records, {twice} settled more than once over {} kills", published + 90, rounds());
    for ((partition, offset), times) in &all.settled {
        let leases = all.assigned[partition];
        assert!(
            *times <= leases,
            "partition {partition}, offset {offset}: settled {times} times under {leases} leases"
        );
    }
}

/// Guard: what was lost is released without handing over, and the broker refuses commits of a generation that is over. The
/// first taken out (what is lost is drained and handed over), the second still held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t22_a_member_that_slept_beyond_its_session_commits_nothing_on_mock_brokers() {
    commits_nothing_after_sleep(&Mock::of(1).bench).await;
}

/// Guard: as above. The first taken out, the second still held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t22_a_member_that_slept_beyond_its_session_commits_nothing_on_kafka() {
    if let Some(mut bench) = Bench::real() {
        bench.config.extra.extend(short_session());
        commits_nothing_after_sleep(&bench).await;
    }
}

/// A process that is put to sleep beyond its session, with a batch in hand: when it wakes up it knows nothing of its loss
/// and settles the batch, while the new owner has the same records in hand.
async fn commits_nothing_after_sleep(bench: &Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 30, 0..60).await;
    let mut sleeper = MemberProcess::start(bench, true);
    sleeper.until("a batch in hand on all partitions", |said| said.taken.len() == 3).await;
    sleeper.signal("-STOP");

    let heir = Recorder::holding();
    let limits = ConsumerLimits {
        drain: Duration::from_millis(50),
        ..ConsumerLimits::default()
    };
    let member = RunningConsumer::start(&log, &bench.group, limits, &heir);
    heir.until("the heir to have it all in hand", Seen::has_all_partitions_in_hand).await;
    assert_eq!(heir.seen().assigned.len(), 3);
    sleeper.go_on();
    sleeper.signal("-CONT");
    let partitions = |said: &Said| said.settled.keys().map(|(partition, _)| *partition).collect::<BTreeSet<_>>().len();
    sleeper.until("the batches to be settled by who lost them", |said| partitions(said) == 3).await;
    // It notices, joins anew, and takes its share.
    sleeper
        .until("a share for who came back", |said| said.assigned.values().sum::<usize>() > 3)
        .await;
    eventually("the heir to be left with the rest", || metric("rebalances_total", &bench.group) >= 3.0).await;
    assert!(bench.committed().is_empty(), "nobody who owned it has settled it");

    heir.hold(false);
    let said = sleeper.kill().await;
    assert!(said.settled.values().all(|times| *times == 1));
    heir.until("all of it", |seen| seen.distinct() == 60).await;
    bench.all_is_committed().await;
    member.stop().await;
}
