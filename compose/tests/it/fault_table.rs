//! `compose/FAULTS.md`: every fault that is provided for, what must hold under it, and the tests that show it.
//!
//! A test shows a row when its name begins with the row's number (`t05_...`); its doc comment names the guard it tests
//! and what was seen with the guard taken out. Rows that no test shows stand in [`OPEN`] with the reason.
//!
//! `UPDATE_SCHEMAS=1 cargo test -p compose --test it fault_table` writes the file anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use crate::workspace_shape::{MEMBERS, root, sources};

/// Number, fault, what must hold.
const ROWS: [(&str, &str, &str); 55] = [
    (
        "T01",
        "the enricher is killed between any two steps of a batch",
        "nothing is lost; state and publications are as if it had not been",
    ),
    (
        "T02",
        "some items of a write are put off, again and again",
        "only those are sent again, in the order of their key; each counts once",
    ),
    (
        "T03",
        "the catalog answers 429 for a minute",
        "memory stays level, the group stays together, all is made up for",
    ),
    (
        "T04",
        "the catalog refuses connections for minutes",
        "the member stays, paused; memory stays level; it recovers by itself",
    ),
    (
        "T05",
        "the catalog takes connections and never answers",
        "a timeout ends each request, it is sent again; a shutdown does not hang",
    ),
    (
        "T06",
        "the catalog answers 401 for a while",
        "no offset moves, not ready, no dead letter; goes on once cured",
    ),
    ("T07", "the catalog's indices are blocked (403)", "as T06"),
    (
        "T08",
        "one document is refused, also one folded from several records",
        "that record alone is a dead letter, all others are written",
    ),
    (
        "T09",
        "the catalog refuses every document",
        "the limit of dead letters halts the partition, its offset stays",
    ),
    (
        "T10",
        "a request is too large (413)",
        "it is halved until it fits; a document too large by itself is a dead letter",
    ),
    (
        "T11",
        "the catalog's answer is cut, miscounted, or something else",
        "the outcome counts as unknown, the whole write is repeated; no panic",
    ),
    (
        "T12",
        "one key twice in a batch and in two at once, answers out of order",
        "the newest observation of each marketplace stays",
    ),
    (
        "T13",
        "the whole topic is read again onto a full catalog",
        "no document and no revision changes, nothing is dead-lettered",
    ),
    ("T14", "the topic is deleted and made anew", "what comes into it is read"),
    ("T15", "partitions are added under load", "the new ones are read from their beginning"),
    (
        "T16",
        "two updates of one article and marketplace within one Keepa minute",
        "both count, the later fetch stays",
    ),
    (
        "T17",
        "the producer's clock jumps by an hour",
        "what lies more than five minutes ahead is a dead letter; a key's times keep growing; nothing freezes",
    ),
    (
        "T18",
        "an older record comes again after a product became inactive",
        "it does not come back, however late and after whatever restart",
    ),
    ("T18b", "a write while the index is missing", "no index comes into being by it"),
    (
        "T19",
        "a partition is taken away while its batch is being written",
        "in time: the offset stays moved; too late: it does not move and the next owner repeats",
    ),
    ("T20", "a partition is taken and given back at once", "records go on flowing"),
    (
        "T21",
        "members come and go every few seconds",
        "nothing is lost, every partition gets on, it ends balanced",
    ),
    (
        "T22",
        "a worker takes longer than the poll interval",
        "the member comes back and commits nothing of what it lost",
    ),
    ("T23", "a static member restarts within its session", "no rebalance"),
    ("T24", "two processes under one instance name", "one of them ends with a clear error"),
    (
        "T25",
        "a flood of client events beside an idle partition",
        "its one record is read within a second",
    ),
    ("T26", "a partition's queue freezes", "it is noticed, counted and healed"),
    (
        "T27",
        "SIGTERM under load",
        "exit code 0 in time, offsets committed, at most the batch in flight is repeated",
    ),
    ("T28", "SIGTERM while the catalog or Kafka is away", "it ends in time"),
    ("T29", "SIGTERM in the middle of a rebalance", "it ends in time"),
    (
        "T30",
        "a broker restarts, a leader or coordinator moves",
        "the commit is repeated, few records are read twice",
    ),
    (
        "T31",
        "a commit is answered with a rebalance or another generation",
        "not fatal, and no circle of lost assignments",
    ),
    (
        "T32",
        "records expire before they are read",
        "an alarm, and an operator's word before anything is passed over",
    ),
    (
        "T33",
        "bytes that are no record: cut JSON, empty, unknown version, too large, odd keys",
        "a dead letter each, bit for bit",
    ),
    (
        "T34",
        "dead letters cannot be written; a record as large as may be",
        "the partition waits; the largest record fits into a dead letter",
    ),
    ("T35", "headers of dead letters, field by field", "each is exact"),
    ("T36", "dead letters are replayed, twice", "all are written, the second time changes nothing"),
    (
        "T37",
        "a slow catalog beside a fast one",
        "the limit of concurrent writes settles near the best",
    ),
    ("T38", "many partitions, paused, with full prefetch", "memory stays below its limit"),
    ("T39", "the oldest offset stuck, later ones settled without end", "memory is bounded"),
    (
        "T40",
        "alias or index vanish under load",
        "nothing is created by itself; stop and alarm; goes on once they are back",
    ),
    (
        "T41",
        "the alias moves to a rebuilt index under load",
        "no read fails, no write is lost, the new index is right",
    ),
    (
        "T42",
        "a message with more, fewer or changed fields",
        "more are ignored, fewer erase nothing, a changed type is a dead letter",
    ),
    (
        "T43",
        "a node of the catalog leaves in the middle of a write",
        "repeated without a second revision",
    ),
    (
        "T44",
        "the connection is cut between a request and its answer",
        "repeating does no harm, the revision grows once",
    ),
    (
        "T45",
        "the producer's broker is away, its queue full, a message too large",
        "each loss surfaces, nothing is paid for twice without need",
    ),
    (
        "T46",
        "the producer is killed between Keepa's answer and the broker's",
        "at most one request is asked again",
    ),
    (
        "T47",
        "Keepa puts off, charges below zero, changes its refill",
        "its word counts, it is never hammered",
    ),
    ("T48", "two producers at once", "one asks, the other waits for its turn"),
    ("T49", "the scheduler's clock jumps by an hour", "no flood of jobs and none forgotten"),
    ("T50", "everything read and committed", "the lag is zero"),
    (
        "T51",
        "the books of a running enricher",
        "consumed = settled + left to the next owner + in flight, record by record",
    ),
    (
        "T52",
        "catching up with a long log",
        "rate, memory and freshness are told, the rate is no worse than the machine allows",
    ),
    (
        "T53",
        "half of all records have one key",
        "none is reordered, the other keys stay fresh, folding saves the writes",
    ),
    ("T54", "everything that is logged under faults", "never the Keepa key, a password or a payload"),
];

/// Rows that no test shows yet, and why.
const OPEN: &[(&str, &str)] = &[];

/// A test that shows a row.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shown {
    file: String,
    test: String,
    guard: Option<String>,
}

/// The number of the row that a function's name begins with.
fn row_of(name: &str) -> Option<String> {
    let (number, _) = name.strip_prefix('t')?.split_once('_')?;
    let digits = number.strip_suffix('b').unwrap_or(number);
    (digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| format!("T{number}"))
}

/// The guard that a doc comment names: from the word on, up to the next paragraph.
fn guard_in(doc: &[&str]) -> Option<String> {
    let text = doc.join("\n");
    let after = text.split_once("Guard: ").or_else(|| text.split_once("Guards: "))?.1;
    let paragraph = after.split("\n\n").next()?;
    Some(paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The tests of one file that are named after a row. A function without a test's attribute is one if a macro of its
/// file makes it one: then its name stands there again, in a list.
fn shown_in(file: &str, text: &str) -> Vec<(String, Shown)> {
    let mut shown = Vec::new();
    let (mut doc, mut is_test) = (Vec::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(said) = line.strip_prefix("///") {
            doc.push(said.trim());
            continue;
        }
        if line.starts_with("#[") {
            is_test |= line.contains("test");
            continue;
        }
        if let Some((_, rest)) = line
            .split_once("fn ")
            .filter(|(before, _)| matches!(*before, "" | "async " | "pub async " | "pub "))
            && let Some((name, _)) = rest.split_once('(')
            && let Some(row) = row_of(name)
            && (is_test || text.lines().any(|line| line.trim() == format!("{name},")))
        {
            let test = Shown {
                file: file.to_owned(),
                test: name.to_owned(),
                guard: guard_in(&doc),
            };
            shown.push((row, test));
        }
        doc.clear();
        is_test = false;
    }
    shown
}

fn shown() -> BTreeMap<String, BTreeSet<Shown>> {
    let mut shown: BTreeMap<String, BTreeSet<Shown>> = BTreeMap::new();
    for member in MEMBERS {
        let mut files = Vec::new();
        for folder in ["src", "tests"] {
            let folder = root().join(member).join(folder);
            if folder.is_dir() {
                sources(&folder, &mut files);
            }
        }
        // This file's own examples show nothing.
        for path in files
            .into_iter()
            .filter(|path| !path.ends_with(Path::new(file!()).file_name().expect("a file")))
        {
            let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
            for (row, test) in shown_in(&name, &std::fs::read_to_string(&path).expect("readable")) {
                shown.entry(row).or_default().insert(test);
            }
        }
    }
    shown
}

fn document(shown: &BTreeMap<String, BTreeSet<Shown>>) -> String {
    let mut text = String::from(
        "# Faults, and the tests that show what holds under them\n\n\
         Written by `UPDATE_SCHEMAS=1 cargo test -p compose --test it fault_table` from the tests' names and doc comments; the ordinary\n\
         run of the tests compares it. A guard is the code that makes the row hold, with what was seen once it was taken out.\n\n\
         | Row | Fault | What must hold | Tests and their guards |\n|---|---|---|---|\n",
    );
    for (row, fault, holds) in ROWS {
        let tests: Vec<String> = shown.get(row).into_iter().flatten().map(describe).collect();
        let open = OPEN.iter().find(|(open, _)| *open == row).map(|(_, reason)| format!("**open**: {reason}"));
        let cell = open.into_iter().chain(tests).collect::<Vec<_>>().join("<br>").replace('|', "\\|");
        writeln!(text, "| {row} | {fault} | {holds} | {cell} |").expect("a string takes all");
    }
    text
}

fn describe(test: &Shown) -> String {
    let guard = test.guard.as_deref().unwrap_or("(names no guard)");
    format!("`{}` in `{}`: {guard}", test.test, test.file)
}

#[test]
fn every_row_is_a_test_or_open_with_a_reason() {
    let shown = shown();
    let rows: BTreeSet<&str> = ROWS.iter().map(|(row, ..)| *row).collect();
    let unknown: Vec<_> = shown.keys().filter(|row| !rows.contains(row.as_str())).collect();
    assert!(unknown.is_empty(), "tests of rows that do not exist: {unknown:?}");
    let open: BTreeSet<&str> = OPEN.iter().map(|(row, _)| *row).collect();
    let silent: Vec<_> = rows.iter().filter(|row| !shown.contains_key(**row) && !open.contains(**row)).collect();
    assert!(silent.is_empty(), "neither a test nor a reason: {silent:?}");
    let settled: Vec<_> = open.iter().filter(|row| shown.contains_key(**row) || !rows.contains(**row)).collect();
    assert!(settled.is_empty(), "listed as open, and shown or no row at all: {settled:?}");
}

#[test]
fn every_test_of_a_row_names_the_guard_it_tests() {
    let all = shown().into_values().flatten();
    let silent: Vec<String> = all
        .filter(|test| test.guard.is_none())
        .map(|test| format!("{} in {}", test.test, test.file))
        .collect();
    assert!(silent.is_empty(), "no `/// Guard: ...` in {silent:#?}");
}

#[test]
fn the_document_is_what_the_tests_say() {
    let path = root().join("compose/FAULTS.md");
    let expected = document(&shown());
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &expected).expect("written");
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(held == expected, "compose/FAULTS.md is not what the tests say: run with UPDATE_SCHEMAS=1");
}

#[test]
fn a_row_is_shown_by_a_test_that_runs_and_not_by_a_name_alone() {
    let text = "
        over_all! {
            t33_listed,
        }
        /// Says more.
        ///
        /// Guard: the check of the
        /// key; taken out: a letter less.
        ///
        /// And more.
        #[tokio::test(flavor = \"multi_thread\")]
        async fn t05_waits() {}
        #[test]
        fn t18b_has_none() {}
        fn t06_is_a_helper(at: i64) {}
        /// Guard: its list.
        async fn t33_listed(world: World) {}
        #[test]
        fn t5_is_no_row() {}
        #[test]
        fn two_words() {}
    ";
    let found: Vec<(String, String, Option<String>)> = shown_in("a.rs", text).into_iter().map(|(row, test)| (row, test.test, test.guard)).collect();
    let guard = |text: &str| Some(text.to_owned());
    let expected = [
        (
            "T05".to_owned(),
            "t05_waits".to_owned(),
            guard("the check of the key; taken out: a letter less."),
        ),
        ("T18b".to_owned(), "t18b_has_none".to_owned(), None),
        ("T33".to_owned(), "t33_listed".to_owned(), guard("its list.")),
    ];
    assert_eq!(found, expected);
}
