//! Dead letters: what becomes one, what it carries, and what its replay does. Rows T33 to T36 of the fault list, over the
//! embedded broker and, where `KAFKA_BROKERS` is set, over a real Kafka.

use enricher::dlq::{self, Command, Replayed, Selection};
use serde_json::{Value, json};
use shared::adapters::kafka::{Lease, MAX_RECORD_BYTES, Message, Record, RecordOffset, Topic};
use shared::domain::{Marketplace, UnixMillis};
use shared::ports::catalog::Write;
use tokio_util::sync::CancellationToken;

use crate::harness::{Fault, World, base, batch, config, record, refused, update, worker_of};

macro_rules! over_every_broker {
    ($($test:ident,)*) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$test(super::World::new().await).await;
                }
            )*
        }
        mod kafka {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    if let Some(world) = super::World::over_kafka().await {
                        super::$test(world).await;
                    }
                }
            )*
        }
    };
}

over_every_broker! {
    t33_what_can_never_be_a_product_is_a_dead_letter_bit_for_bit,
    t34_a_record_at_the_size_limit_still_fits_into_a_dead_letter,
    t35_every_header_of_a_dead_letter_is_exact,
    t36_replayed_letters_are_written_and_replaying_twice_changes_nothing_more,
    a_letter_is_listed_and_shown,
}

const A: &str = "B0D1XD1ZV3";

/// Publishes a raw record and returns it as it is read.
async fn published(world: &World, key: &[u8], payload: Option<Vec<u8>>) -> Record {
    let message = Message {
        key: key.to_vec(),
        payload,
        headers: vec![
            ("traceparent".to_owned(), b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_vec()),
            ("origin".to_owned(), vec![0xff, 0x00]),
        ],
        timestamp_ms: Some(base()),
    };
    let publisher = world.ports.event_log.publisher().expect("a publisher");
    let position = publisher.publish(Topic::RawUpdates, message).await.expect("published");
    let records = world.records(Topic::RawUpdates).await;
    records.into_iter().find(|record| record.offset == position.offset).expect("it is there")
}

fn text(record: &Record, name: &str) -> String {
    String::from_utf8_lossy(record.header(name).unwrap_or_default()).into_owned()
}

/// Key, value, and the class it is refused with.
type Case<'a> = (&'a [u8], Option<Vec<u8>>, &'static str);

/// Guard: each of these is refused with its class, and the letter carries the bytes that were read; taken out (no look at
/// the clock): the record of the future was no letter, and the next one stood in its place.
async fn t33_what_can_never_be_a_product_is_a_dead_letter_bit_for_bit(world: World) {
    let valid = update(A, Marketplace::DE, base(), 5000).payload.expect("a value");
    let with = |name: &str, value: Value| {
        let mut envelope: Value = serde_json::from_slice(&valid).expect("JSON");
        envelope[name] = value;
        envelope.to_string().into_bytes()
    };
    let large = {
        let mut cut = with("padding", "x".repeat(2 * 1024 * 1024).into());
        cut.truncate(2 * 1024 * 1024);
        cut
    };
    let cases: Vec<Case<'_>> = vec![
        (A.as_bytes(), Some(b"{\"asin\":".to_vec()), "json"),
        (A.as_bytes(), Some(vec![b'{', 0xff, 0xfe, b'}']), "json"),
        (A.as_bytes(), Some(Vec::new()), "empty"),
        (A.as_bytes(), None, "empty"),
        (A.as_bytes(), Some(with("v", 2.into())), "version"),
        (A.as_bytes(), Some(with("v", "1".into())), "version"),
        (A.as_bytes(), Some(large), "json"),
        (&[0xff, 0x00, b'B'], Some(valid.to_vec()), "key"),
        (b"", Some(valid.to_vec()), "key"),
        (A.as_bytes(), Some(with("domain_id", 7.into())), "domain"),
        (A.as_bytes(), Some(with("fetched_at_ms", (UnixMillis::now().0 + 3_600_000).into())), "clock"),
    ];
    let mut worker = world.worker();
    for (key, payload, class) in cases {
        let record = published(&world, key, payload.clone()).await;
        assert_eq!(record.payload.as_deref(), payload.as_deref(), "{class}");
        worker.settle(vec![record.clone()]).await.expect("settled");
        let letter = world.dead_letters().await.pop().expect("a letter");
        assert_eq!((letter.payload, letter.key), (record.payload, record.key), "{class}");
        assert_eq!(letter.headers[..2], record.headers[..], "{class}");
        assert!(
            letter
                .headers
                .iter()
                .any(|(name, value)| name == "dlq.error.class" && value.as_deref() == Some(class.as_bytes())),
            "{class}"
        );
    }
    assert!(world.stored(A).await.is_none());
    world.end().await;
}

/// Guard: the topic of dead letters takes 64 KiB more than the records', and goes uncompressed; taken out (no more than
/// theirs): the letter came without its value.
async fn t34_a_record_at_the_size_limit_still_fits_into_a_dead_letter(world: World) {
    let headers: usize = ["traceparent", "origin"].iter().map(|name| name.len()).sum::<usize>() + 55 + 2;
    let size = MAX_RECORD_BYTES - headers - A.len();
    // Noise: what counts is what arrives at the broker.
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).expect("eight bits")
    })
    .take(size)
    .collect();
    let record = published(&world, A.as_bytes(), Some(noise.clone())).await;
    world.worker().settle(vec![record]).await.expect("settled");
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert!(letters[0].payload.as_deref() == Some(noise.as_slice()), "the value is whole");
    assert_eq!(letters[0].header("dlq.payload"), None);

    // It fits, as it was, into its own topic again, but for the few bytes that say where it comes from.
    let before = UnixMillis::now().0;
    let short = published(&world, A.as_bytes(), Some(noise[..size - 200].to_vec())).await;
    world.worker().settle(vec![short]).await.expect("settled");
    let second = world.dead_letters().await.pop().expect("a letter");
    let only = Selection {
        only: [format!("{}:{}", second.partition, second.offset.0).parse().expect("a position")].into(),
        ..Selection::default()
    };
    assert_eq!(replay(&world, &only, false).await.0.letters, 1);
    let replayed = world.records(Topic::RawUpdates).await.pop().expect("it is there");
    assert!(replayed.payload.as_deref() == Some(&noise[..size - 200]) && replayed.timestamp_ms >= before);
    world.end().await;
}

/// Guard: each header is taken from the field that it names; the partition is not the offset; taken out (the offset for
/// both): the headers differ.
async fn t35_every_header_of_a_dead_letter_is_exact(world: World) {
    let header = |name: &str, value: &[u8]| (name.into(), Some(value.to_vec().into()));
    let mut bad = record(0, A, "not json");
    bad.partition = 5;
    bad.offset = RecordOffset(48_213);
    bad.timestamp_ms = 1_768_132_800_123;
    bad.headers = vec![
        header("traceparent", b"not a trace"),
        header("twice", b"1"),
        header("twice", b"2"),
        header("binary", &[0, 0xff]),
        header("empty", b""),
        header("dlq.attempts", b"3"),
        header("dlq.timestamp", b"1700000000000"),
        header("dlq.error.class", b"clock"),
    ];
    let before = UnixMillis::now().0;
    world.worker().settle(vec![bad.clone()]).await.expect("settled");
    let letter = world.dead_letters().await.pop().expect("a letter");
    let mut expected = bad.headers[..5].to_vec();
    expected.extend([
        header("dlq.topic", world.ports.event_log.topic_name(Topic::RawUpdates).as_bytes()),
        header("dlq.partition", b"5"),
        header("dlq.offset", b"48213"),
        header("dlq.timestamp", b"1700000000000"),
        header("dlq.error.class", b"json"),
        header("dlq.error.message", b"the value is not JSON: expected ident at line 1 column 2"),
        header("dlq.attempts", b"4"),
    ]);
    assert_eq!(letter.headers, expected);
    assert_eq!((letter.key, letter.payload), (bad.key, bad.payload));
    assert!(letter.timestamp_ms >= before, "its own time is that of the refusal");
    world.end().await;
}

async fn replay(world: &World, selection: &Selection, dry_run: bool) -> (Replayed, String) {
    let mut out = Vec::new();
    let replayed = dlq::replay(&world.of_commands, selection, dry_run, &mut out, &CancellationToken::new()).await;
    (replayed.expect("replayed"), String::from_utf8(out).expect("text"))
}

/// What came into the raw topic since there were so many records.
async fn arrived(world: &World, known: &mut usize) -> Vec<Record> {
    let records = world.records(Topic::RawUpdates).await;
    let new = records[*known..].to_vec();
    *known = records.len();
    new
}

/// Guards: original bytes, key, headers and time; merging is idempotent; a letter that was replayed and refused again is
/// left to the newer one, or each replay would double what is refused; taken
/// out (no word of the letter it was): the older one was replayed beside it.
async fn t36_replayed_letters_are_written_and_replaying_twice_changes_nothing_more(world: World) {
    let at = base();
    world.catalog.go_by(|writes| {
        let poisoned = |write: &Write<_>| {
            let write: &Write<shared::domain::StoredProduct> = write;
            write.value.listing.prices.values().any(|&price| price == 666)
        };
        Fault::Items(writes.iter().map(|write| poisoned(write).then(refused)).collect())
    });
    let bare = json!({"asin": "B000000003", "domain": 3, "title": "Lamp", "stats": {"current": 666}}).to_string();
    let records = batch(vec![
        update(A, Marketplace::DE, at + 1, 5000),
        update(A, Marketplace::IT, at + 2, 666),
        update("B000000002", Marketplace::DE, at + 3, 666),
        record(0, "B000000003", bare),
        record(0, A, "not json"),
    ]);
    world.worker().settle(records.clone()).await.expect("settled");
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), 4);

    // The fix.
    world.catalog.go_by(|_| Fault::None);
    let (planned, said) = replay(&world, &Selection::default(), true).await;
    assert_eq!((planned.letters, planned.superseded, planned.without_value), (4, 0, 0));
    assert_eq!(said.lines().count(), 5, "{said}");
    let mut known = 0;
    assert!(arrived(&world, &mut known).await.is_empty(), "a dry run publishes nothing");

    let before = UnixMillis::now().0;
    let (replayed, _) = replay(&world, &Selection::default(), false).await;
    assert_eq!(replayed, planned);
    let again = arrived(&world, &mut known).await;
    assert_eq!(again.len(), 4);
    for replayed in &again {
        let from = text(replayed, "dlq.replayed-from");
        let letter = letters
            .iter()
            .find(|letter| from == format!("{}:{}", letter.partition, letter.offset.0))
            .expect("it says which letter it was");
        let original = &records[usize::try_from(text(letter, "dlq.offset").parse::<i64>().expect("a number")).expect("small")];
        assert_eq!((&replayed.key, &replayed.payload), (&original.key, &original.payload));
        assert_eq!(replayed.headers[..1], original.headers[..], "the trace goes on");
        assert_eq!(text(replayed, "dlq.timestamp"), original.timestamp_ms.to_string());
        assert!(replayed.timestamp_ms >= before, "the present time");
    }
    let mut worker = worker_of(&world.ports, config(), Lease::for_test(0));
    worker.settle(again).await.expect("settled");
    let prices = async |asin: &str| world.stored(asin).await.map(|stored| stored.listing.prices);
    assert_eq!(prices(A).await, Some([(Marketplace::DE, 5000), (Marketplace::IT, 666)].into()));
    assert_eq!(prices("B000000002").await, Some([(Marketplace::DE, 666)].into()));
    assert_eq!(prices("B000000003").await, Some([(Marketplace::DE, 666)].into()));
    let bare = world.stored("B000000003").await.expect("stored");
    assert_eq!(
        bare.product.first_seen.0, records[3].timestamp_ms,
        "the bare form has the time of its first life"
    );

    // What is still bad is a newer letter, and counts on.
    let letters = world.dead_letters().await;
    assert_eq!(letters.len(), 5);
    assert_eq!(
        (text(&letters[4], "dlq.attempts"), text(&letters[4], "dlq.error.class")),
        ("2".into(), "json".into())
    );

    // Twice more: nothing changes, and what is refused does not multiply.
    let (held, calls) = (world.stored(A).await, world.catalog.calls().len());
    for attempts in ["3", "4"] {
        let (replayed, _) = replay(&world, &Selection::default(), false).await;
        assert_eq!(replayed.letters, 4, "three that were written, and the newest letter of the fourth");
        worker.settle(arrived(&world, &mut known).await).await.expect("settled");
        assert_eq!(
            world.dead_letters().await.last().map(|letter| text(letter, "dlq.attempts")),
            Some(attempts.to_owned())
        );
    }
    assert_eq!((world.stored(A).await, world.catalog.calls().len()), (held, calls), "no write");
    assert_eq!(world.dead_letters().await.len(), 7);

    // A part of them.
    let of_class = Selection {
        class: Some("json".to_owned()),
        ..Selection::default()
    };
    let (replayed, _) = replay(&world, &of_class, true).await;
    assert_eq!((replayed.letters, replayed.superseded), (1, 3));
    let from = Selection {
        from: [(0, letters[3].offset.0)].into(),
        ..Selection::default()
    };
    let (replayed, _) = replay(&world, &from, true).await;
    assert_eq!(replayed.letters + replayed.superseded, 4);
    world.end().await;
}

async fn said(world: &World, arguments: &str) -> anyhow::Result<Vec<u8>> {
    let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
    let command: Command = dlq::parse(&arguments).expect("valid arguments");
    let mut out = Vec::new();
    dlq::run(command, world.of_commands.clone(), &mut out, CancellationToken::new()).await?;
    Ok(out)
}

async fn a_letter_is_listed_and_shown(world: World) {
    let said_text = async |arguments: &str| String::from_utf8(said(&world, arguments).await.expect("it ends well")).expect("text");
    assert_eq!(said_text("list").await.lines().count(), 1, "an empty topic has a heading");
    assert_eq!(said_text("list --json").await, "");
    assert!(said_text("replay --all").await.starts_with("0 dead letters replayed"));

    let records = batch(vec![
        record(0, A, "not json"),
        record(0, A, ""),
        record(0, A, "{\"v\":7}"),
        record(0, A, vec![0xff, 0x1b]),
    ]);
    world.worker().settle(records).await.expect("settled");
    let letters = world.dead_letters().await;
    let place = |index: usize| (letters[index].partition, letters[index].offset.0);

    let list = said_text("list").await;
    let classes: Vec<&str> = list.lines().skip(1).map(|line| line.split_whitespace().nth(3).expect("a class")).collect();
    assert_eq!(classes, ["json", "empty", "version", "json"], "{list}");
    assert!(list.contains("raw.keepa_updates 0:2"), "{list}");
    assert_eq!(said_text("list --class version").await.lines().count(), 2);
    let short = said_text("list --limit 1 --json").await;
    let newest: Value = serde_json::from_str(&short).expect("one object");
    assert_eq!((newest["offset"].as_i64(), newest["value_bytes"].as_i64()), (Some(place(3).1), Some(2)));
    assert!(said_text("list --limit 2").await.contains("the newest 2 of 4"));

    let (partition, offset) = place(2);
    let shown = said_text(&format!("show {partition} {offset}")).await;
    for part in ["dlq.error.class          version", "\"v\": 7", "traceparent"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let (partition, offset) = place(3);
    assert!(said_text(&format!("show {partition} {offset}")).await.contains("\\xff\\u{1b}"));
    assert_eq!(
        said(&world, &format!("show {partition} {offset} --raw")).await.expect("it ends well"),
        [0xff, 0x1b]
    );
    for (partition, offset) in [(partition, 9_999), (77, 0)] {
        let error = said(&world, &format!("show {partition} {offset}")).await.expect_err("there is none");
        assert!(error.to_string().contains(&format!("{partition}:{offset}")), "{error}");
    }

    // What a letter could not carry is said, not replayed.
    let publisher = world.ports.event_log.publisher().expect("a publisher");
    let omitted = Message::new(A, None)
        .with_header("dlq.topic", "raw.keepa_updates")
        .with_header("dlq.partition", "2")
        .with_header("dlq.offset", "99")
        .with_header("dlq.error.class", "json")
        .with_header("dlq.payload", "omitted");
    let position = publisher.publish(Topic::RawUpdatesDlq, omitted).await.expect("published");
    let only = format!("replay --only {}:{}", position.partition, position.offset.0);
    let replayed = said_text(&only).await;
    assert!(
        replayed.contains("it was at raw.keepa_updates 2:99") && replayed.contains("0 dead letters replayed"),
        "{replayed}"
    );
    assert!(world.records(Topic::RawUpdates).await.is_empty());
    world.end().await;
}
