//! Runs the machine: feeds it, carries out what it says, brings the results back. No decision is made here.
//!
//! The reading thread gives records and takes offsets ([`Intakes`]); a task carries out reads, writes and publications,
//! and wakes the machine when time is due. Both step it under one lock, so a result that comes after its partition was
//! fenced finds an epoch that is no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::adapters::kafka::{EventLogError, Fenced, Intake, Intakes, Load, NextOffset, Record, Topic};
use shared::crash::CrashPoint;
use shared::domain::{Asin, UnixMillis};
use shared::ports::{Catalog, Ports};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{JoinError, JoinSet};

use crate::config::Config;
use crate::histories::{self, Histories};
use crate::machine::{Arrival, Input, Machine, Moment, Output, Settled, Trouble};
use crate::metrics;
use crate::publish::Outlet;
use crate::status::{Count, keep};
use crate::trouble::Troubles;

/// What saving the last counts may hold up the end.
const COUNTS_WITHIN: Duration = Duration::from_secs(1);
/// Dead letters are spoken of this often at most, with how many there were.
const SPEAK_EVERY: Duration = Duration::from_secs(1);

/// What stands between the machine and the outside.
pub struct Shell {
    state: Mutex<State>,
    /// Wakes the reading thread in a drain.
    stepped: Condvar,
    /// Wakes the task when something is due earlier than it knows.
    due_earlier: Notify,
    began: Instant,
    catalog: Arc<dyn Catalog>,
    outlet: Outlet,
    histories: Mutex<Histories>,
}

struct State {
    machine: Machine,
    /// To be taken by the reading thread.
    settled: BTreeMap<i32, NextOffset>,
    paused: BTreeSet<i32>,
    troubles: Troubles,
    spoken: Spoken,
    /// When the task wakes by itself, as far as it knows.
    wakes_at: Option<Duration>,
    work: UnboundedSender<Output>,
    counts: Option<UnboundedSender<Count>>,
}

/// When dead letters were last spoken of, and how many there were since.
#[derive(Default)]
struct Spoken {
    at: Option<Instant>,
    since: u64,
}

/// What the machine wants done; [`Shell::carry_out`] takes it.
pub struct Work {
    outputs: UnboundedReceiver<Output>,
    counts: UnboundedReceiver<Count>,
}

impl Shell {
    /// A shell around a machine that owns nothing.
    ///
    /// # Errors
    /// Where the event log's client library refuses its settings.
    pub fn new(config: &Config, ports: &Ports) -> Result<(Arc<Shell>, Work), EventLogError> {
        let began = Instant::now();
        let settings = config.machine.clone();
        let (work, outputs) = mpsc::unbounded_channel();
        let (count, counts) = mpsc::unbounded_channel();
        let shell = Shell {
            state: Mutex::new(State {
                machine: Machine::new(settings, moment(began)),
                settled: BTreeMap::new(),
                paused: BTreeSet::new(),
                troubles: Troubles::new(ports.health.clone()),
                spoken: Spoken::default(),
                wakes_at: None,
                work,
                counts: Some(count),
            }),
            stepped: Condvar::new(),
            due_earlier: Notify::new(),
            began,
            catalog: Arc::clone(&ports.catalog),
            outlet: Outlet::new(ports.event_log.publisher()?, ports.event_log.topic_name(Topic::RawUpdates)),
            histories: Mutex::default(),
        };
        Ok((Arc::new(shell), Work { outputs, counts }))
    }

    /// Carries out what the machine wants done, until `consuming` ends; then saves the last counts.
    ///
    /// # Errors
    /// A panic of a task that did so: it would leave its records unsettled for ever.
    pub async fn carry_out<T>(self: Arc<Shell>, work: Work, consuming: impl Future<Output = T>) -> Result<T, JoinError> {
        let Work { mut outputs, counts } = work;
        let counting = keep(Arc::clone(&self.catalog), counts);
        tokio::pin!(consuming, counting);
        let mut tasks = JoinSet::new();
        let ended = loop {
            let wake = self.set_alarm();
            let due = async move {
                match wake {
                    Some(wake) => tokio::time::sleep_until(wake.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = &mut consuming => break ended,
                // It ends once nobody counts, which is below.
                () = &mut counting => unreachable!("the sender is held until this loop ends"),
                Some(output) = outputs.recv() => {
                    let shell = Arc::clone(&self);
                    tasks.spawn(async move {
                        if let Some(result) = shell.perform(output).await {
                            shell.step(result);
                        }
                    });
                }
                Some(ended) = tasks.join_next() => ended?,
                () = due => self.step(Input::Tick),
                () = self.due_earlier.notified() => {}
            }
        };
        self.state().counts = None;
        // A catalog that does not answer is no reason not to end.
        let _ = tokio::time::timeout(COUNTS_WITHIN, counting).await;
        Ok(ended)
    }

    async fn perform(&self, output: Output) -> Option<Input> {
        match output {
            Output::Read { call, asins } => {
                let result = self.catalog.read_products(&asins).await.map_err(|error| error.to_string());
                CrashPoint::CatalogRead.pass();
                Some(Input::ReadResult { call, result })
            }
            Output::Write { call, writes } => {
                metrics::BATCH_PRODUCTS.observe(writes.len() as f64);
                CrashPoint::CatalogWriting.pass();
                let timer = metrics::WRITE_SECONDS.start_timer();
                let result = match self.write_histories(writes.iter().map(|write| write.value.product.asin)).await {
                    Ok(()) => self.catalog.write_products(&writes).await.map_err(|error| error.to_string()),
                    // Both are tried again.
                    Err(reason) => Err(reason),
                };
                timer.observe_duration();
                CrashPoint::CatalogWritten.pass();
                Some(Input::WriteResult { call, result })
            }
            Output::Publish { call, products, which } => {
                let result = self.outlet.products(&products, &which).await;
                CrashPoint::ProductsPublished.pass();
                Some(Input::PublishResult { call, result })
            }
            Output::DeadLetter { call, letters, which } => {
                let result = self.outlet.dead_letters(&letters, &which).await;
                CrashPoint::DeadLettersPublished.pass();
                Some(Input::DeadLetterResult { call, result })
            }
            Output::StoreOffset { .. } | Output::Pause { .. } | Output::Resume { .. } | Output::Settled(_) | Output::Trouble(..) => None,
        }
    }

    /// Writes the histories that wait for these articles; keeps them where that fails.
    async fn write_histories(&self, asins: impl Iterator<Item = Asin>) -> Result<(), String> {
        let waiting = self.histories().take(asins);
        if waiting.is_empty() {
            return Ok(());
        }
        let result = histories::write(self.catalog.as_ref(), &waiting).await;
        CrashPoint::HistoriesWritten.pass();
        if result.is_err() {
            let mut histories = self.histories();
            for (asin, marketplace, history) in waiting {
                histories.put(asin, marketplace, history);
            }
        }
        result
    }

    /// What a record says, found out while nobody waits for the machine.
    fn look_at(&self, record: Record) -> Arrival {
        let look = self.state().machine.look_at(&record);
        let mut arrival = Arrival::decode(record, look, UnixMillis::now());
        if let Some((asin, marketplace, history)) = arrival.history.take() {
            self.histories().put(asin, marketplace, history);
        }
        arrival
    }

    fn histories(&self) -> MutexGuard<'_, Histories> {
        self.histories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the machine has to be woken.
    fn set_alarm(&self) -> Option<Instant> {
        let mut state = self.state();
        state.wakes_at = state.machine.wake_at();
        state.wakes_at.map(|at| self.began + at)
    }

    /// The state is plain values that are whole after every step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, input: Input) {
        let mut state = self.state();
        state.step(moment(self.began), input);
        drop(state);
        self.stepped.notify_all();
        self.due_earlier.notify_one();
    }

    /// Gives up what was begun as soon as it ended, and begins nothing more.
    pub fn shut_down(&self) {
        self.step(Input::Shutdown);
    }

    /// Takes in records of one partition, all before anything is done about the first. Returns how many were taken: none
    /// of a partition that is not owned or was closed, and none that was taken in before.
    pub fn push_all(&self, records: impl IntoIterator<Item = Record>) -> u64 {
        let arrivals: Vec<Arrival> = records.into_iter().map(|record| self.look_at(record)).collect();
        self.take_in(arrivals)
    }

    fn take_in(&self, arrivals: impl IntoIterator<Item = Arrival>) -> u64 {
        let mut state = self.state();
        let before = state.machine.tally().consumed;
        let now = moment(self.began);
        for arrival in arrivals {
            state.step(now, Input::Record(arrival));
        }
        let taken = state.machine.tally().consumed - before;
        // In a backlog most records change nothing about when the task is needed.
        let due = state.machine.wake_at();
        if due.is_some_and(|due| state.wakes_at.is_none_or(|at| at > due)) {
            state.wakes_at = due;
            drop(state);
            self.due_earlier.notify_one();
        }
        taken
    }
}

fn moment(began: Instant) -> Moment {
    Moment {
        wall: UnixMillis::now(),
        elapsed: began.elapsed(),
    }
}

impl State {
    fn step(&mut self, now: Moment, input: Input) {
        let before = self.machine.tally();
        for output in self.machine.step(now, input) {
            match output {
                Output::StoreOffset { partition, next } => {
                    CrashPoint::OffsetSettled.pass();
                    self.settled.insert(partition, next);
                }
                Output::Pause { partition } => {
                    self.paused.insert(partition);
                }
                Output::Resume { partition } => {
                    self.paused.remove(&partition);
                }
                Output::Settled(settled) => self.count(&settled),
                Output::Trouble(trouble, reason) => self.say(trouble, reason),
                // Nobody takes it any more: the process ends.
                work => drop(self.work.send(work)),
            }
        }
        metrics::count(&before, &self.machine.tally());
        metrics::CALL_LIMIT.set(i64::from(self.machine.call_limit()));
        metrics::OLDEST_RETRY_SECONDS.set(self.machine.failing_for(now).as_secs_f64());
    }

    fn count(&mut self, settled: &Settled) {
        for observed_at in &settled.written {
            metrics::observe_freshness(observed_at);
        }
        for (_, refusal) in &settled.dead_letters {
            metrics::DEAD_LETTERS.with_label_values(&[refusal.class.name()]).inc();
        }
        let dead_letters = u64::try_from(settled.dead_letters.len()).unwrap_or(u64::MAX);
        self.spoken.since += dead_letters;
        if let Some((offset, refusal)) = settled.dead_letters.first()
            && self.spoken.at.is_none_or(|at| at.elapsed() >= SPEAK_EVERY)
        {
            let (class, message) = (refusal.class.name(), refusal.message.as_str());
            let dead_letters = std::mem::take(&mut self.spoken.since);
            self.spoken.at = Some(Instant::now());
            let partition = settled.partition;
            tracing::warn!(partition, offset = offset.0, class, message, dead_letters, "records became dead letters");
        }
        if let Some(counts) = &self.counts {
            // The other end goes first only when the process ends.
            let _ = counts.send(Count {
                partition: settled.partition,
                records: settled.records,
                dead_letters,
            });
        }
    }

    fn say(&mut self, trouble: Trouble, reason: Option<String>) {
        if let Trouble::Halted(partition) = trouble {
            metrics::DEAD_LETTERS_HALTED
                .with_label_values(&[&partition.to_string()])
                .set(i64::from(reason.is_some()));
            match &reason {
                Some(reason) => tracing::error!(partition, reason, "too many records are refused"),
                None => tracing::info!(partition, "the partition goes on"),
            }
        }
        self.troubles.set(trouble, reason);
    }
}

impl Intakes for Shell {
    fn assigned(self: Arc<Self>, partition: i32, epoch: u64) -> Arc<dyn Intake> {
        self.step(Input::Assigned { partition, epoch });
        Arc::new(Owned { shell: self, partition })
    }
}

/// One assigned partition, as the reading thread sees it.
struct Owned {
    shell: Arc<Shell>,
    partition: i32,
}

impl Intake for Owned {
    fn push(&self, record: Record) -> bool {
        self.shell.take_in([self.shell.look_at(record)]) > 0
    }

    fn wants_pause(&self) -> bool {
        self.shell.state().paused.contains(&self.partition)
    }

    fn take_settled(&self) -> Option<NextOffset> {
        self.shell.state().settled.remove(&self.partition)
    }

    fn close(&self) {
        self.shell.step(Input::Revoking { partition: self.partition });
    }

    fn drain(&self, deadline: Instant) -> bool {
        let mut state = self.shell.state();
        while !state.machine.is_drained(self.partition) {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return false;
            };
            state = self.shell.stepped.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn fence(&self) -> Fenced {
        let mut state = self.shell.state();
        let fenced = Fenced {
            settled: state.settled.remove(&self.partition),
            left_over: state.machine.unsettled(self.partition),
        };
        state.step(moment(self.shell.began), Input::Revoked { partition: self.partition });
        fenced
    }

    fn load(&self) -> Load {
        let state = self.shell.state();
        Load {
            records: state.machine.unsettled(self.partition),
            oldest_ms: state.machine.oldest_ms(self.partition),
        }
    }
}
