//! Who works on a partition, what he lets go, and what the next one gets.

use std::time::Duration;

use shared::adapters::kafka::{ConsumerLimits, EventLogError, Message, Topic};

use super::bench::{Bench, Misbehaves, Recorder, RunningConsumer, Seen, eventually, metric, numbers, publish_numbers};

over_every_broker! {
    a_consumer_that_comes_back_goes_on_where_it_stopped,
    what_was_not_settled_is_read_again,
    t39_a_batch_that_is_stuck_pauses_its_partition_and_bounds_memory,
    t04_the_lag_of_a_paused_partition_goes_on_growing,
    t19_a_batch_that_is_settled_while_draining_counts,
    t19_a_batch_that_is_not_settled_in_time_is_left_to_the_next_owner,
    t19_a_second_member_takes_over_without_anything_being_settled_twice,
    t19_a_result_that_comes_after_the_drain_lets_nothing_go,
    t20_partitions_that_come_back_at_once_after_a_drain_that_timed_out_go_on,
    t27_a_stop_under_load_commits_what_is_settled_and_nothing_is_read_twice,
    t21_nothing_is_lost_while_members_come_and_go,
    t50_what_is_committed_is_the_next_offset_and_lag_is_zero_at_rest,
    a_panic_of_a_handler_ends_the_consumer,
    a_handler_that_gives_up_gets_its_batch_again,
}

/// Hardly waits for what is in hand when a partition is taken away.
fn hasty() -> ConsumerLimits {
    ConsumerLimits {
        drain: Duration::from_millis(50),
        ..ConsumerLimits::default()
    }
}

async fn a_consumer_that_comes_back_goes_on_where_it_stopped(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");

    let first = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &first);
    publish_numbers(&publisher, 10, 0..50).await;
    first.settled(50).await;
    consumer.stop().await;
    assert_eq!(first.seen().dropped, 3, "every worker is dropped with its partition");

    publish_numbers(&publisher, 10, 50..80).await;
    let second = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &second);
    let settled = second.settled(30).await;
    consumer.stop().await;
    assert_eq!(numbers(&settled), (50..80).collect::<Vec<_>>(), "nothing is read twice after a clean stop");
    assert_eq!(second.seen().taken.len(), 30);
}

async fn what_was_not_settled_is_read_again(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 10, 0..50).await;

    let first = Recorder::holding();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &first);
    first.until("records in hand", |seen| !seen.taken.is_empty()).await;
    consumer.drop_abruptly();
    assert!(first.seen().settled.is_empty());

    let second = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &second);
    let settled = second.settled(50).await;
    consumer.stop().await;
    assert_eq!(numbers(&settled), (0..50).collect::<Vec<_>>());
}

/// Guard: a partition that holds more than the high-water mark, its batch in hand included, is paused; taken out, it
/// never was.
async fn t39_a_batch_that_is_stuck_pauses_its_partition_and_bounds_memory(bench: Bench) {
    const PAYLOAD: usize = 20_000;
    const COUNT: usize = 300;
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let group = bench.group.clone();
    let limits = ConsumerLimits {
        batch_records: 5,
        high_water_bytes: 20 * PAYLOAD,
        low_water_bytes: 5 * PAYLOAD,
        ..ConsumerLimits::default()
    };
    for _ in 0..COUNT {
        // One key, so one partition.
        publisher
            .publish(Topic::RawUpdates, Message::new("k", Some(vec![b'x'; PAYLOAD])))
            .await
            .expect("published");
    }
    let recorder = Recorder::holding();
    let consumer = RunningConsumer::start(&log, &group, limits, &recorder);
    eventually("the partition to be paused", || metric("partitions_paused", &group) >= 1.0).await;
    // Two seconds later it still holds no more.
    let idles = recorder.seen().idles;
    recorder.until("time to pass", |seen| seen.idles >= idles + 4).await;
    let read = metric("records_consumed_total", &group);
    assert!((20.0..=22.0).contains(&read), "read ahead {read} records, the mark is at 20");
    assert!(recorder.seen().settled.is_empty());

    recorder.hold(false);
    let settled = recorder.settled(COUNT).await;
    assert_eq!(settled.len(), COUNT);
    assert!(
        settled.windows(2).all(|pair| pair[0].offset.0 + 1 == pair[1].offset.0),
        "no gap and nothing twice over pause and resume"
    );
    consumer.stop().await;
}

/// Guard: the end of a paused partition is asked for; taken out, lag stayed as it was at the pause.
async fn t04_the_lag_of_a_paused_partition_goes_on_growing(mut bench: Bench) {
    bench.config.extra.insert("statistics.interval.ms".to_owned(), "200".to_owned());
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let limits = ConsumerLimits {
        high_water_bytes: 1,
        low_water_bytes: 0,
        ..ConsumerLimits::default()
    };
    publish_numbers(&publisher, 1, 0..20).await;
    let recorder = Recorder::holding();
    let consumer = RunningConsumer::start(&log, &bench.group, limits, &recorder);
    eventually("the partition to be paused", || metric("partitions_paused", &bench.group) >= 1.0).await;
    publish_numbers(&publisher, 1, 20..70).await;
    eventually("all of it to be lag", || metric("consumer_lag", &bench.group) == 70.0).await;
    recorder.hold(false);
    recorder.settled(70).await;
    eventually("no lag", || metric("consumer_lag", &bench.group) == 0.0).await;
    consumer.stop().await;
}

/// Guard: the drain, at a stop as well; taken out (not handed over), the last record was read again.
async fn t19_a_batch_that_is_settled_while_draining_counts(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 1, 0..5).await;
    let first = Recorder::holding();
    let consumer = RunningConsumer::start(
        &log,
        &bench.group,
        ConsumerLimits {
            drain: Duration::from_secs(30),
            ..ConsumerLimits::default()
        },
        &first,
    );
    first.until("records in hand", |seen| !seen.taken.is_empty()).await;
    let in_hand = first.seen().taken.len();

    // Stopping waits for the batch; the batch is let go once the stop is under way.
    let stopping = consumer.stop();
    tokio::pin!(stopping);
    tokio::select! {
        biased;
        () = &mut stopping => panic!("it does not wait for the batch in hand"),
        () = std::future::ready(()) => {}
    }
    first.hold(false);
    stopping.await;
    assert!(first.seen().settled.len() >= in_hand);

    let settled = first.seen().settled.len();
    publish_numbers(&publisher, 1, 5..6).await;
    let second = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &second);
    let rest = second.settled(6 - settled).await;
    consumer.stop().await;
    assert_eq!(numbers(&rest), (settled..6).collect::<Vec<_>>());
}

/// Guard: the drain ends at its deadline, and what is in hand by then is not handed over; taken out (taken for settled),
/// nothing was left to the next owner.
async fn t19_a_batch_that_is_not_settled_in_time_is_left_to_the_next_owner(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 1, 0..5).await;
    let group = bench.group.clone();
    let first = Recorder::holding();
    let consumer = RunningConsumer::start(
        &log,
        &group,
        ConsumerLimits {
            drain: Duration::from_millis(50),
            ..ConsumerLimits::default()
        },
        &first,
    );
    first.until("records in hand", |seen| !seen.taken.is_empty()).await;
    consumer.stop().await;
    assert!(first.seen().settled.is_empty());
    assert!(metric("skipped_revoked_total", &group) >= 1.0);

    let second = Recorder::new();
    let consumer = RunningConsumer::start(&log, &group, ConsumerLimits::default(), &second);
    assert_eq!(numbers(&second.settled(5).await), (0..5).collect::<Vec<_>>());
    consumer.stop().await;
}

/// Guard: a revoke waits for what is in hand, and hands over what was settled meanwhile before the partition is given up;
/// taken out (not handed over), records were settled twice.
async fn t19_a_second_member_takes_over_without_anything_being_settled_twice(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let (first, second) = (Recorder::new(), Recorder::new());
    let one = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &first);
    publish_numbers(&publisher, 30, 0..100).await;
    first.settled(100).await;

    // Something is in hand on every partition when the second one joins, and is settled while the first one drains.
    first.hold(true);
    publish_numbers(&publisher, 30, 100..200).await;
    first
        .until("a batch in hand on all partitions", |seen| {
            (0..3).all(|partition| seen.taken.iter().skip(100).any(|record| record.partition == partition))
        })
        .await;
    let two = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &second);
    first.hold(false);
    second.until("the second member to own something", |seen| !seen.assigned.is_empty()).await;
    publish_numbers(&publisher, 30, 200..300).await;

    let all = || [first.seen().settled, second.seen().settled].concat();
    eventually("everything to be settled", || all().len() >= 300).await;
    assert_eq!(numbers(&all()), (0..300).collect::<Vec<_>>());
    assert!(!second.seen().settled.is_empty(), "both members work");
    one.stop().await;
    two.stop().await;
}

/// Guard: an offset is handed over only for what is owned at that moment, and a new owner begins where the group stands;
/// taken out (what is in hand after the drain taken for settled), nothing was left for the next owner.
async fn t19_a_result_that_comes_after_the_drain_lets_nothing_go(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 30, 0..60).await;
    let first = Recorder::misbehaving(Misbehaves::FinishesLate).held();
    let one = RunningConsumer::start(&log, &bench.group, hasty(), &first);
    first.until("a batch in hand on all partitions", Seen::has_all_partitions_in_hand).await;

    let second = Recorder::new();
    let two = RunningConsumer::start(&log, &bench.group, hasty(), &second);
    eventually("the drain to end in vain", || metric("skipped_revoked_total", &bench.group) >= 3.0).await;
    // Now come the results.
    first.hold(false);
    let taken_over = second.until("a share", |seen| !seen.assigned.is_empty()).await.assigned[0].0;
    let all = || first.seen().and(second.seen());
    eventually("all to be settled", || all().distinct() == 60).await;
    let begins_at = |seen: &Seen| {
        seen.settled
            .iter()
            .filter(|record| record.partition == taken_over)
            .map(|record| record.offset.0)
            .min()
    };
    second
        .until("the new owner to begin where nothing was let go", |seen| begins_at(seen) == Some(0))
        .await;

    publish_numbers(&publisher, 30, 60..120).await;
    eventually("what comes then", || all().distinct() == 120).await;
    one.stop().await;
    two.stop().await;
    bench.all_is_committed().await;
}

/// Guard: every assignment brings a worker and a mailbox of its own; the old worker's late result finds the old ones. Taken
/// out (what is in hand after the drain taken for settled), what was in hand did not come again.
async fn t20_partitions_that_come_back_at_once_after_a_drain_that_timed_out_go_on(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 30, 0..60).await;
    let first = Recorder::misbehaving(Misbehaves::FinishesLate).held();
    let one = RunningConsumer::start(&log, &bench.group, hasty(), &first);
    let in_hand = first.until("a batch in hand on all partitions", Seen::has_all_partitions_in_hand).await.taken;

    // Makes the group hand out all partitions anew; most of them go back to where they were, as soon as that is asked for.
    let second = Recorder::new();
    let two = RunningConsumer::start(&log, &bench.group, hasty(), &second);
    let back = first.until("some to be back", |seen| seen.assigned.len() > 3).await.assigned[3].0;
    // The old worker of that partition is still busy with the old batch, and done now.
    first.hold(false);
    let mut lost = in_hand.iter().filter(|record| record.partition == back);
    let seen = first
        .until("what was in hand once more", |seen| {
            lost.clone().all(|lost| seen.taken.iter().filter(|record| *record == lost).count() >= 2)
        })
        .await;
    assert!(lost.next().is_some());
    seen.assert_settled_once_per_lease();
    publish_numbers(&publisher, 30, 60..120).await;
    let all = || first.seen().and(second.seen());
    eventually("what comes then", || all().distinct() == 120).await;
    one.stop().await;
    two.stop().await;
    bench.all_is_committed().await;
}

/// Guard: stop feeding, drain, hand over, commit, leave, in this order; taken out (not handed over), 260 of 600 records
/// were settled again.
async fn t27_a_stop_under_load_commits_what_is_settled_and_nothing_is_read_twice(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let limits = ConsumerLimits {
        batch_records: 20,
        ..ConsumerLimits::default()
    };
    publish_numbers(&publisher, 30, 0..600).await;
    let first = Recorder::holding();
    let consumer = RunningConsumer::start(&log, &bench.group, limits, &first);
    first.until("a batch in hand on all partitions", Seen::has_all_partitions_in_hand).await;
    let stopping = consumer.stop();
    tokio::pin!(stopping);
    tokio::select! {
        biased;
        () = &mut stopping => panic!("it does not wait for what is in hand"),
        () = std::future::ready(()) => {}
    }
    first.hold(false);
    stopping.await;

    let settled = first.seen().distinct();
    assert!(settled > 0, "what was in hand was settled before the end");
    let second = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, limits, &second);
    let all = || first.seen().and(second.seen());
    eventually("the rest", || all().distinct() == 600).await;
    consumer.stop().await;
    assert_eq!(all().settled.len(), 600, "what was settled while stopping is not read again");
    bench.all_is_committed().await;
}

/// Guard: a revoked partition is drained and what was settled is handed over before it is given up; taken out (not handed
/// over), records were settled twice and the group did not stand at the end.
async fn t21_nothing_is_lost_while_members_come_and_go(bench: Bench) {
    let log = bench.ready().await;
    let publisher = log.publisher().expect("a publisher");
    let recorder = Recorder::new();
    let join = |recorder: &Recorder| RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), recorder);
    let mut members = vec![join(&recorder)];
    let mut published = 0;
    for round in 0..6 {
        members.push(join(&recorder));
        let owned = recorder.seen().assigned.len();
        publish_numbers(&publisher, 30, published..published + 200).await;
        published += 200;
        recorder.until("a rebalance", |seen| seen.assigned.len() > owned).await;
        let leaving = members.remove(0);
        if round % 2 == 0 {
            leaving.stop().await;
        } else {
            leaving.drop_abruptly();
        }
        publish_numbers(&publisher, 30, published..published + 200).await;
        published += 200;
    }
    let seen = recorder.until("everything to be settled", |seen| seen.distinct() == published).await;
    seen.assert_settled_once_per_lease();
    eprintln!("{published} records, {} settled more than once", seen.settled.len() - published);

    // The group ends balanced, and every partition goes on.
    let newcomer = Recorder::new();
    members.push(join(&newcomer));
    newcomer.until("a share", |seen| !seen.assigned.is_empty()).await;
    eventually("shares", || {
        recorder.seen().owned() + newcomer.seen().owned() == 3 && recorder.seen().owned() > 0
    })
    .await;
    publish_numbers(&publisher, 30, published..published + 60).await;
    let distinct = || recorder.seen().and(newcomer.seen()).distinct();
    eventually("the rest", || distinct() == published + 60).await;
    assert!(newcomer.seen().distinct() > 0, "both members work");
    for member in members {
        member.stop().await;
    }
    bench.all_is_committed().await;
}

/// Guard: what is handed over is `NextOffset`, one more than the last settled `RecordOffset`; taken out (one less), lag
/// stayed.
async fn t50_what_is_committed_is_the_next_offset_and_lag_is_zero_at_rest(mut bench: Bench) {
    bench.config.extra.insert("statistics.interval.ms".to_owned(), "200".to_owned());
    let log = bench.ready().await;
    publish_numbers(&log.publisher().expect("a publisher"), 10, 0..40).await;
    let recorder = Recorder::holding();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    eventually("lag", || {
        metric("consumer_lag", &bench.group) >= 40.0 && metric("consumer_lag_seconds", &bench.group) > 0.0
    })
    .await;
    assert!(bench.committed().is_empty(), "nothing is settled");
    recorder.hold(false);
    recorder.settled(40).await;
    eventually("no lag", || metric("consumer_lag", &bench.group) == 0.0).await;
    eventually("nothing in flight", || metric("records_in_flight", &bench.group) == 0.0).await;
    bench.all_is_committed().await;
    assert_eq!(metric("records_consumed_total", &bench.group), 40.0);
    consumer.stop().await;
}

async fn a_panic_of_a_handler_ends_the_consumer(bench: Bench) {
    let log = bench.ready().await;
    let recorder = Recorder::misbehaving(Misbehaves::PanicsOn(b"bad"));
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    let publisher = log.publisher().expect("a publisher");
    publisher
        .publish(Topic::RawUpdates, Message::new("k", Some(b"bad".to_vec())))
        .await
        .expect("published");
    let ended = consumer.ended().await;
    assert!(
        matches!(&ended, Err(EventLogError::HandlerPanicked { message, .. }) if message == "the handler fell over"),
        "{ended:?}"
    );

    let next = Recorder::new();
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &next);
    assert_eq!(next.settled(1).await[0].payload.as_deref(), Some(&b"bad"[..]), "it was not let go");
    consumer.stop().await;
}

async fn a_handler_that_gives_up_gets_its_batch_again(bench: Bench) {
    let log = bench.ready().await;
    let recorder = Recorder::misbehaving(Misbehaves::GivesUpOnce);
    let consumer = RunningConsumer::start(&log, &bench.group, ConsumerLimits::default(), &recorder);
    let publisher = log.publisher().expect("a publisher");
    publish_numbers(&publisher, 1, 0..3).await;
    assert_eq!(numbers(&recorder.settled(3).await), vec![0, 1, 2]);
    consumer.stop().await;
}
