//! What the machine does step by step, where an exact moment or number counts.

use std::collections::VecDeque;

use shared::domain::{Listing, Product};
use shared::ports::catalog::Condition;

use super::samples::{START, Written, asin, settings, version};
use super::*;

/// Waits of outside systems: the bound of the first.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const A_MOMENT: Duration = Duration::from_nanos(1);

/// One product per call and no bound that could be met by chance.
fn roomy() -> Settings {
    Settings {
        batch_products: 1,
        linger: Duration::ZERO,
        high_water_bytes: usize::MAX,
        low_water_bytes: usize::MAX,
        member_bytes: usize::MAX,
        window_records: usize::MAX,
        new_in_a_row: usize::MAX,
        ..settings(1)
    }
}

fn price(article: u8) -> Written {
    Written::Price {
        article,
        market: Marketplace::DE,
        at: 0,
        price: 1,
    }
}

/// A machine and the clock that it is told.
struct Bench {
    machine: Machine,
    now: Duration,
    /// Of the next record of partition 0.
    offset: i64,
}

impl Bench {
    fn new(settings: Settings, partitions: i32) -> Self {
        let now = Duration::from_secs(1);
        let mut bench = Bench {
            machine: Machine::new(settings, moment(now)),
            now,
            offset: 0,
        };
        for partition in 0..partitions {
            assert!(bench.step(Input::Assigned { partition, epoch: 1 }).is_empty());
        }
        bench
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        self.machine.step(moment(self.now), input)
    }

    fn tick(&mut self, at: Duration) -> Vec<Output> {
        self.now = at;
        self.step(Input::Tick)
    }

    fn read(&mut self, record: Record) -> Vec<Output> {
        let look = self.machine.look_at(&record);
        self.step(Input::Record(Arrival::decode(record, look, moment(self.now).wall)))
    }

    /// Partition 0 gets its next record.
    fn feed(&mut self, written: Written) -> Vec<Output> {
        self.offset += 1;
        let record = written.record(0, self.offset - 1);
        self.read(record)
    }

    /// The outside system did what was wanted.
    fn done(&mut self, work: &Output) -> Vec<Output> {
        let input = answer(work).expect("something to be done");
        self.step(input)
    }

    /// Nothing ever fails; returns what nobody answers.
    fn carry_out(&mut self, outputs: Vec<Output>) -> Vec<String> {
        let mut outputs = VecDeque::from(outputs);
        let mut said = Vec::new();
        while let Some(output) = outputs.pop_front() {
            match answer(&output) {
                Some(input) => outputs.extend(self.step(input)),
                None => said.push(brief(&output)),
            }
        }
        said
    }

    /// Partition 0 is taken back: first drained, then fenced.
    fn revoking(&mut self) -> Vec<String> {
        briefs(&self.step(Input::Revoking { partition: 0 }))
    }

    fn revoked(&mut self) -> Vec<String> {
        briefs(&self.step(Input::Revoked { partition: 0 }))
    }

    /// What is due, is due after no more than this wait, and no earlier than when it is due. Returns what it is.
    fn wake(&mut self, at_most: Duration) -> Vec<Output> {
        let due = self.machine.wake_at().expect("something is due");
        let wait = due - self.now;
        assert!(wait >= at_most / 10 && wait <= at_most, "{wait:?} of {at_most:?}");
        assert_eq!(briefs(&self.tick(due - A_MOMENT)), [""; 0], "too early");
        assert_eq!(self.machine.wake_at(), Some(due));
        self.tick(due)
    }
}

fn moment(elapsed: Duration) -> Moment {
    Moment {
        wall: UnixMillis(START + 1_000),
        elapsed,
    }
}

/// What an outside system says that did what was wanted; the catalog holds nothing.
fn answer(work: &Output) -> Option<Input> {
    match work {
        Output::Read { call, asins } => Some(Input::ReadResult {
            call: *call,
            result: Ok(asins.iter().map(|_| None).collect()),
        }),
        Output::Write { .. } => Some(written_as(work, || WriteOutcome::Written(version(1)))),
        Output::Publish { call, .. } => Some(Input::PublishResult { call: *call, result: Ok(()) }),
        Output::DeadLetter { call, .. } => Some(Input::DeadLetterResult { call: *call, result: Ok(()) }),
        _ => None,
    }
}

fn written_as(work: &Output, outcome: impl Fn() -> WriteOutcome) -> Input {
    let Output::Write { call, writes } = work else { panic!("{}", brief(work)) };
    Input::WriteResult {
        call: *call,
        result: Ok(writes.iter().map(|_| outcome()).collect()),
    }
}

fn put_off(work: &Output) -> Input {
    written_as(work, || WriteOutcome::Retry { reason: "busy".into() })
}

fn refused(work: &Output) -> Input {
    written_as(work, || WriteOutcome::Refused { reason: "poison".into() })
}

/// The event log confirms all but these.
fn unconfirmed(work: &Output, rest: &[usize]) -> Input {
    let result = Err((rest.to_vec(), "no leader".to_owned()));
    match work {
        Output::Publish { call, .. } => Input::PublishResult { call: *call, result },
        Output::DeadLetter { call, .. } => Input::DeadLetterResult { call: *call, result },
        _ => panic!("{}", brief(work)),
    }
}

fn brief(output: &Output) -> String {
    match output {
        Output::Read { asins, .. } => format!("read {}", asins.len()),
        Output::Write { writes, .. } => format!("write {}", writes.len()),
        Output::Publish { which, .. } => format!("publish {which:?}"),
        Output::DeadLetter { letters, which, .. } => {
            let offsets: Vec<i64> = which.iter().map(|&index| letters[index].record.offset.0).collect();
            match offsets.as_slice() {
                [first, .., last] => format!("letters {first} to {last}"),
                _ => format!("letters {offsets:?}"),
            }
        }
        Output::StoreOffset { next, .. } => format!("store {}", next.0),
        Output::Pause { partition } => format!("pause {partition}"),
        Output::Resume { partition } => format!("resume {partition}"),
        Output::Settled(settled) => format!("settled {}", settled.records),
        Output::Trouble(trouble, reason) => format!("{trouble:?}: {}", reason.as_deref().unwrap_or("over")),
    }
}

fn briefs(outputs: &[Output]) -> Vec<String> {
    outputs.iter().map(brief).collect()
}

fn only(outputs: Vec<Output>) -> Output {
    let [output] = <[Output; 1]>::try_from(outputs).unwrap_or_else(|outputs| panic!("{:?}", briefs(&outputs)));
    output
}

#[test]
fn fields_that_were_left_out_are_added_up() {
    let mut bench = Bench::new(roomy(), 1);
    for (title, sum) in [("5", 1), ("[]", 2), (r#""a lamp""#, 2), ("{}", 3)] {
        let mut record = price(1).record(0, bench.offset);
        record.payload = Some(format!(r#"{{"asin":"{}","domain":3,"title":{title},"stats":{{"current":1}}}}"#, asin(1, 0)).into());
        bench.offset += 1;
        bench.read(record);
        assert_eq!(bench.machine.tally().ignored_fields, sum, "{title}");
    }
}

#[test]
fn what_it_tells_of_itself_follows_what_happens() {
    let mut bench = Bench::new(roomy(), 1);
    let price = |article, at| Written::Price {
        article,
        market: Marketplace::DE,
        at,
        price: 1,
    };
    let told = |bench: &Bench| {
        (
            bench.machine.oldest_ms(0),
            bench.machine.call_limit(),
            bench.machine.failing_for(moment(bench.now)),
        )
    };
    let second = Duration::from_secs;
    assert_eq!(told(&bench), (None, 2, second(0)));

    let first = only(bench.feed(price(1, 100)));
    let later = only(bench.feed(price(2, 200)));
    assert_eq!(told(&bench), (Some(START + 100), 2, second(0)));
    bench.carry_out(vec![first]);
    assert_eq!(bench.machine.oldest_ms(0), Some(START + 200), "the first is settled");

    let Output::Read { call, .. } = later else { panic!("{}", brief(&later)) };
    let result = Err("down".to_owned());
    bench.step(Input::ReadResult { call, result });
    bench.now += second(7);
    assert_eq!(told(&bench), (Some(START + 200), 1, second(7)));
}

#[test]
fn where_nothing_was_found_the_next_articles_are_created_without_a_look_until_one_is_there() {
    let mut bench = Bench::new(Settings { new_in_a_row: 2, ..roomy() }, 1);
    let mut next = (1..).map(price);
    let mut feed = |bench: &mut Bench| only(bench.feed(next.next().expect("there are more")));
    for _ in 0..2 {
        let read = feed(&mut bench);
        assert_eq!(brief(&read), "read 1");
        bench.carry_out(vec![read]);
    }
    for _ in 0..2 {
        let write = feed(&mut bench);
        let Output::Write { writes, .. } = &write else { panic!("{}", brief(&write)) };
        assert_eq!(writes[0].condition, Condition::Absent);
        bench.carry_out(vec![write]);
    }

    let write = feed(&mut bench);
    let conflict = written_as(&write, || WriteOutcome::Conflict);
    let read = only(bench.step(conflict));
    assert_eq!(brief(&read), "read 1", "it is there");
    bench.carry_out(vec![read]);
    assert_eq!(brief(&feed(&mut bench)), "read 1", "and so may others be");
}

#[test]
fn an_article_that_met_a_conflict_is_read_however_many_others_are_new() {
    let mut bench = Bench::new(Settings { new_in_a_row: 1, ..roomy() }, 1);
    let [known, new] = [1, 2].map(|article| only(bench.feed(price(article))));
    let write = only(bench.done(&known));
    let wait = written_as(&write, || WriteOutcome::Conflict);
    // The other one is new, which says nothing of this one.
    bench.carry_out(vec![new]);
    assert_eq!(brief(&only(bench.step(wait))), "read 1");
    assert_eq!(bench.machine.tally().conflicts, 1);
}

#[test]
fn one_article_that_is_found_among_new_ones_begins_the_row_anew() {
    for found in [0, 1] {
        let settings = Settings {
            batch_products: 2,
            new_in_a_row: 2,
            ..roomy()
        };
        let mut bench = Bench::new(settings, 1);
        bench.feed(price(1));
        let read = only(bench.feed(price(2)));
        let Output::Read { call, asins } = &read else { panic!("{}", brief(&read)) };
        let mut result = vec![None, None];
        result[found] = Some(Versioned {
            value: StoredProduct {
                product: Product {
                    asin: asins[found],
                    markets: BTreeMap::new(),
                    first_seen: UnixMillis(START),
                    last_updated: UnixMillis(START),
                    last_priced_at: None,
                },
                revision: 1,
                listing: Listing::default(),
            },
            version: version(7),
        });
        let written = bench.step(Input::ReadResult {
            call: *call,
            result: Ok(result),
        });
        bench.carry_out(written);
        bench.feed(price(3));
        assert_eq!(briefs(&bench.feed(price(4))), ["read 2"], "the one found was number {found}");
    }
}

/// Whether a product is remembered that was written before another, by a member with so much room and so many partitions.
fn is_remembered(cache_bytes: usize, partitions: i32) -> bool {
    let settings = Settings { cache_bytes, ..roomy() };
    let mut bench = Bench::new(settings, partitions);
    for article in [1, 2] {
        let read = bench.feed(price(article));
        bench.carry_out(read);
    }
    let again = only(bench.feed(Written::Price {
        article: 1,
        market: Marketplace::DE,
        at: 60_000,
        price: 2,
    }));
    matches!(again, Output::Write { .. })
}

#[test]
fn what_a_member_may_remember_is_shared_among_its_partitions() {
    let sizes: Vec<usize> = (0..100_000).collect();
    let enough = sizes.partition_point(|&bytes| !is_remembered(bytes, 1));
    assert!((1..100_000).contains(&enough), "{enough}");
    for partitions in [2, 5] {
        let all = enough * usize::try_from(partitions).expect("few");
        assert!(is_remembered(all, partitions), "{partitions}");
        assert!(!is_remembered(all - 1, partitions), "{partitions}");
    }
}

#[test]
fn of_calls_that_fail_together_one_counts_and_the_next_waits_longer() {
    for seed in 0..20 {
        let mut bench = Bench::new(Settings { seed, ..roomy() }, 1);
        let fails = |bench: &mut Bench, read: &Output| {
            let Output::Read { call, .. } = *read else { panic!("{}", brief(read)) };
            let result = Err("down".to_owned());
            bench.step(Input::ReadResult { call, result })
        };
        let together = [0, 1].map(|article| only(bench.feed(price(article))));
        bench.now += Duration::from_millis(1);
        together.iter().for_each(|read| drop(fails(&mut bench, read)));
        let next = only(bench.wake(FIRST_WAIT));
        fails(&mut bench, &next);
        bench.wake(2 * FIRST_WAIT);
    }
}

#[test]
fn a_batch_that_lingers_is_due_also_while_another_is_under_way() {
    let linger = Duration::from_millis(5);
    let settings = Settings {
        batch_products: 3,
        linger,
        ..roomy()
    };
    let mut bench = Bench::new(settings, 1);
    bench.feed(price(1));
    let due = bench.now + linger;
    assert_eq!(briefs(&bench.tick(due)), ["read 1"]);
    bench.feed(price(2));
    assert_eq!(bench.machine.wake_at(), Some(due + linger));
}

#[test]
fn a_partition_is_paused_above_its_marks_or_what_the_others_leave_and_goes_on_at_half_of_that() {
    let mut bench = Bench::new(roomy(), 1);
    bench.feed(price(0));
    let weight = bench.machine.bytes(0);
    let marks = |high_water_bytes, low_water_bytes| Settings {
        high_water_bytes,
        low_water_bytes,
        ..roomy()
    };
    let member = |member_bytes| Settings { member_bytes, ..roomy() };
    let window = |window_records| Settings { window_records, ..roomy() };
    // So many records another partition holds; so many are held when this one is paused, and so many when it goes on.
    for (what, settings, beside, paused, goes_on) in [
        ("just the marks", marks(4 * weight, weight), 0, 5, 1),
        ("a byte less", marks(4 * weight - 1, weight - 1), 0, 4, 0),
        ("a byte more", marks(4 * weight + 1, weight + 1), 0, 5, 1),
        ("the marks, whatever others hold", marks(4 * weight, weight), 9, 5, 1),
        ("as much as is left", member(18 * weight), 0, 10, 6),
        ("a byte less is left", member(18 * weight - 1), 0, 9, 5),
        ("as much as others leave", member(18 * weight), 6, 7, 4),
        ("others leave nothing: a quarter of an even share", member(18 * weight), 18, 3, 1),
        ("the window", window(4), 0, 5, 2),
        ("an odd window", window(5), 0, 6, 2),
    ] {
        let mut bench = Bench::new(settings, 2);
        for offset in 0..beside {
            // Of one article, so that only one call is taken up.
            bench.read(price(0).record(1, offset));
        }
        let mut outputs = Vec::new();
        let mut said = Vec::new();
        for article in 0..30 {
            outputs.extend(bench.feed(price(article)));
            if outputs.iter().any(|output| matches!(output, Output::Pause { .. })) {
                break;
            }
        }
        said.push(bench.machine.unsettled(0));
        let mut outputs = VecDeque::from(outputs);
        while let Some(output) = outputs.pop_front() {
            if let Some(input) = answer(&output) {
                outputs.extend(bench.step(input));
                said.extend(
                    outputs
                        .iter()
                        .any(|output| matches!(output, Output::Resume { .. }))
                        .then(|| bench.machine.unsettled(0)),
                );
                outputs.retain(|output| answer(output).is_some());
            }
        }
        assert_eq!(said, [paused, goes_on], "{what}");
    }
}

#[test]
fn what_was_settled_behind_an_unsettled_record_counts_for_the_window() {
    let settings = Settings { window_records: 4, ..roomy() };
    let mut bench = Bench::new(settings, 1);
    let stuck = only(bench.feed(price(0)));
    let rest: Vec<Output> = (1..5).flat_map(|article| bench.feed(price(article))).collect();
    assert_eq!(bench.carry_out(rest), ["pause 0", "settled 1", "settled 1", "settled 1", "settled 1"]);
    assert_eq!(bench.machine.unsettled(0), 1);
    assert_eq!(bench.carry_out(vec![stuck]), ["store 5", "settled 1", "resume 0"]);
}

#[test]
fn a_call_waits_for_others_until_it_is_full_or_has_lingered() {
    let settings = Settings {
        batch_products: 3,
        linger: Duration::from_millis(5),
        ..roomy()
    };
    let mut bench = Bench::new(settings, 1);
    let start = bench.now;
    assert_eq!(bench.machine.wake_at(), None);
    for article in 0..2 {
        bench.now = start + Duration::from_millis(u64::from(article));
        assert_eq!(briefs(&bench.feed(price(article))), [""; 0]);
        assert_eq!(bench.machine.wake_at(), Some(start + Duration::from_millis(5)), "the first one counts");
    }
    assert_eq!(briefs(&bench.tick(start + Duration::from_millis(5) - A_MOMENT)), [""; 0]);
    assert_eq!(briefs(&bench.tick(start + Duration::from_millis(5))), ["read 2"]);
    assert_eq!(bench.machine.wake_at(), None, "an answer is waited for");
    let full: Vec<String> = (2..5).flat_map(|article| briefs(&bench.feed(price(article)))).collect();
    assert_eq!(full, ["read 3"]);
}

#[test]
fn a_partition_that_is_paused_waits_for_no_others() {
    let settings = Settings {
        batch_products: 100,
        window_records: 3,
        linger: Duration::from_secs(1),
        ..roomy()
    };
    let mut bench = Bench::new(settings, 1);
    let fed: Vec<String> = (0..4).flat_map(|article| briefs(&bench.feed(price(article)))).collect();
    assert_eq!(fed, ["pause 0", "read 4"]);
}

#[test]
fn half_of_what_each_partition_may_hold_is_a_batch_so_that_the_next_gathers_beside_it() {
    let mut bench = Bench::new(roomy(), 1);
    bench.feed(price(0));
    let settings = Settings {
        batch_products: 100,
        linger: Duration::from_secs(1),
        member_bytes: 16 * bench.machine.bytes(0),
        ..roomy()
    };
    // Of three parts one is left to burst into.
    let mut bench = Bench::new(settings, 2);
    let fed: Vec<String> = (0..9).flat_map(|article| briefs(&bench.feed(price(article)))).collect();
    assert_eq!(fed, ["read 3", "pause 0", "read 6"]);
}

#[test]
fn in_a_backlog_a_call_waits_longer_for_others() {
    // The wall's clock stands a second after the start.
    for (at, linger) in [(0, 5), (-3_999, 5), (-4_050, 5), (-4_500, 50), (-5_000, 100), (-60_000, 250), (2_000, 5)] {
        let settings = Settings {
            batch_products: 2,
            linger: Duration::from_millis(5),
            ..roomy()
        };
        let mut bench = Bench::new(settings, 1);
        let late = |article| Written::Price {
            article,
            market: Marketplace::DE,
            at,
            price: 1,
        };
        assert_eq!(briefs(&bench.feed(late(0))), [""; 0], "{at}");
        let due = bench.now + Duration::from_millis(linger);
        assert_eq!(bench.machine.wake_at(), Some(due), "{at}");
        assert_eq!(briefs(&bench.tick(due - A_MOMENT)), [""; 0], "{at}");
        assert_eq!(briefs(&bench.tick(due)), ["read 1"], "{at}");
        // A full batch waits for nobody.
        bench.feed(late(1));
        assert_eq!(briefs(&bench.feed(late(2))), ["read 2"], "{at}");
    }
}

#[test]
fn a_settled_record_leaves_nothing_that_would_be_due() {
    let mut bench = Bench::new(roomy(), 1);
    let read = bench.feed(price(0));
    assert_eq!(bench.carry_out(read), ["store 1", "settled 1"]);
    assert!(bench.machine.is_at_rest());
    assert_eq!(bench.machine.wake_at(), None);
    assert_eq!(briefs(&bench.tick(bench.now * 2)), [""; 0]);
}

#[test]
fn writes_that_were_put_off_wait_together_and_longer_each_time() {
    let settings = Settings { batch_products: 2, ..roomy() };
    let mut bench = Bench::new(settings, 1);
    bench.feed(price(0));
    let read = only(bench.feed(price(1)));
    let mut write = only(bench.done(&read));
    for times in 0..4 {
        let said = bench.step(put_off(&write));
        assert_eq!(briefs(&said), [""; 0], "not worth a word yet");
        write = only(bench.wake(FIRST_WAIT * 2_u32.pow(times)));
        assert_eq!(brief(&write), "write 2");
    }
    let said = bench.step(put_off(&write));
    assert_eq!(briefs(&said), ["Catalog: the catalog puts writes off: busy"]);
    write = only(bench.wake(FIRST_WAIT * 16));
    assert_eq!(bench.carry_out(vec![write]), ["Catalog: over", "store 2", "settled 2"]);
}

#[test]
fn only_what_was_not_confirmed_is_published_again_after_waits_that_grow() {
    let settings = Settings { batch_products: 3, ..roomy() };
    let mut bench = Bench::new(settings, 1);
    let read = only((0..3).flat_map(|article| bench.feed(price(article))).collect());
    let write = only(bench.done(&read));
    let mut publish = only(bench.done(&write));
    assert_eq!(brief(&publish), "publish [0, 1, 2]");
    for (times, rest, again) in [(0, &[0, 2][..], "publish [0, 2]"), (1, &[], "publish [0, 2]"), (2, &[2], "publish [2]")] {
        assert_eq!(briefs(&bench.step(unconfirmed(&publish, rest))), ["EventLog(0): no leader"]);
        // A second answer is nobody's.
        assert_eq!(briefs(&bench.done(&publish)), [""; 0]);
        assert_eq!(bench.machine.tally().late_results, u64::from(times) + 1);
        publish = only(bench.wake(FIRST_WAIT * 2_u32.pow(times)));
        assert_eq!(brief(&publish), again);
    }
    assert_eq!(bench.carry_out(vec![publish]), ["EventLog(0): over", "store 3", "settled 3"]);
}

#[test]
fn dead_letters_leave_in_their_order_and_are_sent_again_until_all_are_confirmed() {
    let settings = Settings {
        dead_letter_percent: 100,
        ..roomy()
    };
    let mut bench = Bench::new(settings, 1);
    let garbage = Written::Garbage { article: 0 };
    let mut letters = only((0..251).flat_map(|_| bench.feed(garbage)).collect());
    assert_eq!(brief(&letters), "letters [0]");
    let said = bench.done(&letters);
    assert_eq!(briefs(&said), ["store 1", "settled 1", "letters 1 to 200"]);
    letters = said.into_iter().next_back().expect("letters");
    for (times, rest, again) in [(0, &[1, 7, 9][..], "letters 2 to 10"), (1, &[], "letters 2 to 10"), (2, &[9], "letters [10]")] {
        assert_eq!(briefs(&bench.step(unconfirmed(&letters, rest))), ["EventLog(0): no leader"]);
        assert_eq!(briefs(&bench.done(&letters)), [""; 0]);
        assert_eq!(bench.machine.tally().late_results, u64::from(times) + 1);
        letters = only(bench.wake(FIRST_WAIT * 2_u32.pow(times)));
        assert_eq!(brief(&letters), again);
    }
    let said = bench.done(&letters);
    assert_eq!((brief(&said[0]).as_str(), brief(&said[200]).as_str()), ("EventLog(0): over", "store 201"));
    assert_eq!(briefs(&said[201..]), ["settled 200", "letters 201 to 250"]);
    bench.carry_out(said);
    assert_eq!((bench.machine.tally().dead_letters, bench.machine.is_at_rest()), (251, true));
}

#[test]
fn the_log_is_in_trouble_until_it_confirms_or_nobody_waits_for_it() {
    let mut bench = Bench::new(roomy(), 1);
    let letter = only(bench.feed(Written::Garbage { article: 0 }));
    assert_eq!(briefs(&bench.done(&letter)), ["store 1", "settled 1"], "no word of a log that always confirmed");
    let letter = only(bench.feed(Written::Garbage { article: 0 }));
    assert_eq!(briefs(&bench.step(unconfirmed(&letter, &[]))), ["EventLog(0): no leader"]);
    let letter = only(bench.wake(FIRST_WAIT));
    assert_eq!(briefs(&bench.done(&letter)), ["EventLog(0): over", "store 2", "settled 1"]);
    let letter = only(bench.feed(Written::Garbage { article: 0 }));
    bench.step(unconfirmed(&letter, &[]));
    assert_eq!(bench.revoked(), ["EventLog(0): over"]);
    assert_eq!(bench.machine.tally().given_up, 1);
}

#[test]
fn a_halt_is_said_once_and_so_is_its_end() {
    let mut bench = Bench::new(roomy(), 1);
    let pause = roomy().dead_letter_pause;
    let letters = (0..100).flat_map(|_| bench.feed(Written::Garbage { article: 0 })).collect();
    bench.carry_out(letters);
    assert_eq!(bench.machine.tally().dead_letters, 100);
    let halted = "Halted(0): halted: 100 of the last 100 records were refused, one of those held for ";
    let said = only(bench.feed(Written::Garbage { article: 0 }));
    assert!(brief(&said).starts_with(halted), "{}", brief(&said));
    assert_eq!(briefs(&bench.feed(Written::Garbage { article: 0 })), [""; 0], "once");
    // What the catalog refuses is held as well.
    let read = only(bench.feed(Written::Poison { article: 1, at: 0 }));
    let write = only(bench.done(&read));
    assert_eq!(briefs(&bench.step(refused(&write))), [""; 0]);
    // What is still refused is a dead letter, after waits that grow.
    for (times, letter) in [(0, "letters [100]"), (1, "letters [101]")] {
        let outputs = bench.wake(pause * 2_u32.pow(times));
        assert_eq!(briefs(&outputs), [letter]);
        bench.carry_out(outputs);
    }
    // What is not goes its way, and then there is nothing more to be tried.
    let outputs = bench.wake(pause * 4);
    assert_eq!(briefs(&outputs), ["read 1"]);
    assert_eq!(bench.carry_out(outputs), ["store 103", "settled 1"]);
    assert_eq!(bench.machine.wake_at(), None);
    // The halt ends when no more than a half of the last records were refused.
    let said: Vec<String> = (0..101)
        .flat_map(|article| {
            let outputs = bench.feed(price(article));
            bench.carry_out(outputs)
        })
        .filter(|said| said.starts_with("Halted"))
        .collect();
    assert_eq!(said, ["Halted(0): over"]);
}

#[test]
fn a_halted_and_paused_partition_that_is_taken_back_is_neither() {
    let settings = Settings {
        window_records: 101,
        ..roomy()
    };
    let mut bench = Bench::new(settings, 1);
    let said: Vec<String> = (0..102).flat_map(|_| briefs(&bench.feed(Written::Garbage { article: 0 }))).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!((said[0].as_str(), said[2].as_str()), ("letters [0]", "pause 0"));
    assert!(said[1].starts_with("Halted(0): halted"), "{said:?}");
    // Of one that is only being drained the halt goes on.
    assert_eq!(bench.revoking(), [""; 0]);
    assert_eq!(bench.revoked(), ["Halted(0): over", "resume 0"]);
    assert_eq!(bench.machine.tally().given_up, 102);
}

#[test]
fn a_partition_is_drained_unless_a_write_a_publication_or_a_letter_is_on_its_way() {
    let mut bench = Bench::new(roomy(), 1);
    assert!(bench.machine.is_drained(0) && bench.machine.is_drained(7));
    let read = only(bench.feed(price(0)));
    assert!(bench.machine.is_drained(0), "a read settles nothing");
    let write = only(bench.done(&read));
    assert!(!bench.machine.is_drained(0), "a write");
    let publish = only(bench.done(&write));
    assert!(!bench.machine.is_drained(0), "a publication");
    bench.done(&publish);
    assert!(bench.machine.is_drained(0));
    let letter = only(bench.feed(Written::Garbage { article: 0 }));
    assert!(!bench.machine.is_drained(0), "a letter");
    bench.feed(price(1));
    assert!(!bench.machine.is_drained(0), "a letter and a read");
    bench.done(&letter);
    assert!(bench.machine.is_drained(0));
}

#[test]
fn what_was_begun_may_end_once_the_partition_is_taken_back_and_what_waits_is_dropped() {
    let settings = Settings { max_calls: 9, ..roomy() };
    let mut bench = Bench::new(settings, 1);
    let to_write = |bench: &mut Bench, article| {
        let read = only(bench.feed(price(article)));
        only(bench.done(&read))
    };
    let write = to_write(&mut bench, 0);
    let waiting = only(bench.done(&write));
    bench.step(unconfirmed(&waiting, &[]));
    let write = to_write(&mut bench, 1);
    let publishing = only(bench.done(&write));
    let writing = to_write(&mut bench, 2);
    let reading = only(bench.feed(price(3)));
    assert_eq!(briefs(&bench.feed(price(3))), [""; 0], "waits for the one before");
    assert_eq!(bench.revoking(), [""; 0]);
    assert_eq!(bench.machine.wake_at(), None);
    assert_eq!(briefs(&bench.tick(bench.now * 100)), [""; 0]);
    assert_eq!(briefs(&bench.feed(price(4))), [""; 0], "nothing is taken in");
    // The answer to a read begins no write.
    assert_eq!(briefs(&bench.done(&reading)), [""; 0]);
    assert_eq!(briefs(&bench.done(&publishing)), ["EventLog(0): over", "settled 1"]);
    let publish = only(bench.done(&writing));
    assert!(!bench.machine.is_drained(0));
    // Whatever is not confirmed now is left to the next owner.
    assert_eq!(briefs(&bench.step(unconfirmed(&publish, &[]))), ["EventLog(0): no leader"]);
    assert!(bench.machine.is_drained(0));
    assert_eq!(bench.revoked(), ["EventLog(0): over"]);
    let tally = bench.machine.tally();
    assert_eq!((tally.consumed, tally.written, tally.given_up, tally.late_results), (5, 1, 4, 0));
}

#[test]
fn letters_that_wait_are_dropped_when_the_partition_is_taken_back_and_those_on_their_way_are_not() {
    for waits in [false, true] {
        let mut bench = Bench::new(roomy(), 1);
        let letters = only((0..3).flat_map(|_| bench.feed(Written::Garbage { article: 0 })).collect());
        if waits {
            bench.step(unconfirmed(&letters, &[]));
        }
        bench.revoking();
        assert_eq!(bench.machine.is_drained(0), waits);
        let expected: &[&str] = if waits { &[] } else { &["store 1", "settled 1"] };
        assert_eq!(briefs(&bench.done(&letters)), expected);
        assert!(bench.machine.is_drained(0));
    }
}

/// What a lane still has to do when the answer to its write comes in is not begun in a partition that is taken back.
#[test]
fn records_that_were_refused_together_are_not_tried_one_by_one_once_the_partition_is_taken_back() {
    for taken_back in [false, true] {
        let settings = Settings { batch_products: 2, ..roomy() };
        let mut bench = Bench::new(settings, 1);
        bench.feed(price(0));
        bench.feed(price(0));
        let read = only(bench.tick(bench.now));
        let write = only(bench.done(&read));
        if taken_back {
            bench.revoking();
        }
        let outputs = bench.step(refused(&write));
        let expected: &[&str] = if taken_back { &[] } else { &["read 1"] };
        assert_eq!(briefs(&outputs), expected);
    }
}

#[test]
fn a_record_that_is_refused_once_the_partition_is_taken_back_is_no_dead_letter() {
    let mut bench = Bench::new(roomy(), 1);
    let read = only(bench.feed(price(0)));
    let write = only(bench.done(&read));
    bench.revoking();
    assert_eq!(briefs(&bench.step(refused(&write))), [""; 0]);
    assert!(bench.machine.is_drained(0));
}

#[test]
fn what_is_cached_and_what_has_to_be_read_is_counted() {
    let mut bench = Bench::new(roomy(), 1);
    let update = |article, at| Written::Price {
        article,
        market: Marketplace::DE,
        at,
        price: 1,
    };
    for (written, hits, misses) in [(update(0, 0), 0, 1), (update(0, 1), 1, 1), (update(1, 0), 1, 2), (update(0, 2), 2, 2)] {
        let work = bench.feed(written);
        bench.carry_out(work);
        let tally = bench.machine.tally();
        assert_eq!((tally.cache_hits, tally.cache_misses), (hits, misses), "{written:?}");
    }
}

/// Two products, and the one read that asks for both.
fn two_in_a_read() -> (Bench, Output) {
    let settings = Settings {
        batch_products: 2,
        linger: Duration::from_secs(1),
        ..roomy()
    };
    let mut bench = Bench::new(settings, 1);
    bench.feed(price(0));
    let read = only(bench.feed(price(1)));
    (bench, read)
}

#[test]
fn an_answer_with_fewer_products_than_were_asked_for_is_none() {
    let (mut bench, read) = two_in_a_read();
    let Output::Read { call, .. } = &read else { panic!("{}", brief(&read)) };
    let short = Input::ReadResult {
        call: *call,
        result: Ok(vec![None]),
    };
    let said = briefs(&bench.step(short));
    assert!(said.iter().all(|said| !said.starts_with("write")), "{said:?}");
    assert!(said.iter().any(|said| said.ends_with("1 products for 2 ids")), "{said:?}");
    let again = bench.wake(FIRST_WAIT);
    assert_eq!(briefs(&again), ["read 2"]);
    let said = bench.carry_out(again);
    assert!(said.contains(&"store 2".to_owned()), "{said:?}");
}

#[test]
fn an_answer_with_fewer_outcomes_than_writes_says_nothing_of_any() {
    let (mut bench, read) = two_in_a_read();
    let write = only(bench.done(&read));
    let Output::Write { call, writes } = &write else {
        panic!("{}", brief(&write))
    };
    assert_eq!(writes.len(), 2);
    let short = Input::WriteResult {
        call: *call,
        result: Ok(vec![WriteOutcome::Written(version(1))]),
    };
    let said = briefs(&bench.step(short));
    assert!(said.iter().all(|said| !said.starts_with("publish") && !said.starts_with("store")), "{said:?}");
    let again = bench.wake(FIRST_WAIT);
    let said = bench.carry_out(again);
    assert!(said.contains(&"store 2".to_owned()), "{said:?}");
}

#[test]
fn a_record_that_was_published_is_let_go_at_once_when_its_owner_reads_it_again() {
    let mut bench = Bench::new(roomy(), 1);
    for (number, is_known) in [(1, false), (2, true), (3, true)] {
        let outputs = bench.feed(price(1));
        let works = outputs
            .iter()
            .any(|output| matches!(output, Output::Read { .. } | Output::Write { .. } | Output::Publish { .. }));
        let lets_go = outputs
            .iter()
            .any(|output| matches!(output, Output::StoreOffset { next, .. } if next.0 == number));
        assert_eq!((works, lets_go), (!is_known, is_known), "record {number}");
        bench.carry_out(outputs);
    }
    assert_eq!((bench.machine.tally().written, bench.machine.tally().unchanged), (1, 2));
    // The next owner cannot know what was published before it.
    bench.revoked();
    bench.step(Input::Assigned { partition: 0, epoch: 2 });
    assert!(bench.feed(price(1)).iter().any(|output| matches!(output, Output::Read { .. })));
}
