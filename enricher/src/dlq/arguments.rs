//! What `enricher dlq` is asked to do. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::letter::Position;

/// What there is.
pub const HELP: &str = "\
Usage: enricher dlq list [--class CLASS] [--limit N] [--json]
       enricher dlq show PARTITION OFFSET [--raw]
       enricher dlq replay (--all | [--class CLASS] [--from P:O ...] [--only P:O ...]) [--dry-run]

Dead letters are records that no retry can cure, with the reason in their headers.

  list     the newest letters (100, or --limit), oldest first; --json prints an object per line
  show     one letter: headers and value; --raw prints nothing but the value, byte for byte
  replay   publishes letters again as records of raw.keepa_updates: --from those of partition P from offset O on,
           --only that one. It can be repeated: what was written before does not change again. A letter that was
           replayed and refused again is left to the newer one. --dry-run only says which.

Where the event log is, KAFKA_BROKERS and TOPIC_PREFIX say, and KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_* and KAFKA_SSL_CA how
it is reached. `compose` prints the address of its own.";

/// How many letters are listed unless it is said.
const LISTED: usize = 100;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Say what there is.
    Help,
    /// List the newest letters.
    List {
        /// Of this class only.
        class: Option<String>,
        /// So many at most.
        limit: usize,
        /// As JSON, an object per line.
        json: bool,
    },
    /// Show one letter.
    Show {
        /// Which.
        position: Position,
        /// Nothing but its value.
        raw: bool,
    },
    /// Publish letters again.
    Replay {
        /// Which.
        selection: Selection,
        /// Only say which.
        dry_run: bool,
    },
}

/// Which letters are replayed: those that meet every condition that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of this class.
    pub class: Option<String>,
    /// Of these partitions, from these offsets on.
    pub from: BTreeMap<i32, i64>,
    /// These as well, or these alone where no partition is named.
    pub only: BTreeSet<Position>,
}

impl Selection {
    /// Is the letter there, of that class, among them?
    #[must_use]
    pub fn takes(&self, position: Position, class: &str) -> bool {
        let of_class = self.class.as_deref().is_none_or(|wanted| wanted == class);
        let anywhere = self.from.is_empty() && self.only.is_empty();
        let from = self.from.get(&position.partition).is_some_and(|from| position.offset >= *from);
        of_class && (anywhere || from || self.only.contains(&position))
    }
}

/// Reads the arguments behind `dlq`.
///
/// # Errors
/// What is wrong with them, in a sentence.
pub fn parse(arguments: &[String]) -> Result<Command, String> {
    let Some((first, rest)) = arguments.split_first() else {
        return Err("dlq needs list, show or replay".to_owned());
    };
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return Ok(Command::Help);
    }
    let mut rest = rest.iter().map(String::as_str);
    match first.as_str() {
        "list" => list(&mut rest),
        "show" => show(&mut rest),
        "replay" => replay(&mut rest),
        other => Err(format!("dlq knows list, show and replay, not {other:?}")),
    }
}

fn list<'a>(rest: &mut impl Iterator<Item = &'a str>) -> Result<Command, String> {
    let (mut class, mut limit, mut json) = (None, LISTED, false);
    while let Some(argument) = rest.next() {
        match argument {
            "--class" => class = Some(value(argument, rest)?.to_owned()),
            "--limit" => {
                let text = value(argument, rest)?;
                limit = text
                    .parse()
                    .ok()
                    .filter(|limit| *limit > 0)
                    .ok_or_else(|| format!("--limit: a number is expected, not {text:?}"))?;
            }
            "--json" => json = true,
            other => return Err(unknown("list", other)),
        }
    }
    Ok(Command::List { class, limit, json })
}

fn show<'a>(rest: &mut impl Iterator<Item = &'a str>) -> Result<Command, String> {
    let (mut numbers, mut raw) = (Vec::new(), false);
    for argument in rest {
        match argument {
            "--raw" => raw = true,
            text if text.starts_with('-') => return Err(unknown("show", text)),
            text => numbers.push(text),
        }
    }
    let [partition, offset] = numbers[..] else {
        return Err("dlq show needs a partition and an offset".to_owned());
    };
    let text = format!("{partition}:{offset}");
    let position = text
        .parse()
        .map_err(|_| format!("a partition and an offset are expected, not {partition:?} and {offset:?}"))?;
    Ok(Command::Show { position, raw })
}

fn replay<'a>(rest: &mut impl Iterator<Item = &'a str>) -> Result<Command, String> {
    let (mut selection, mut all, mut dry_run) = (Selection::default(), false, false);
    while let Some(argument) = rest.next() {
        match argument {
            "--all" => all = true,
            "--dry-run" => dry_run = true,
            "--class" => selection.class = Some(value(argument, rest)?.to_owned()),
            "--from" => {
                let Position { partition, offset } = position(argument, rest)?;
                if selection.from.insert(partition, offset).is_some() {
                    return Err(format!("--from: partition {partition} is named twice"));
                }
            }
            "--only" => {
                selection.only.insert(position(argument, rest)?);
            }
            other => return Err(unknown("replay", other)),
        }
    }
    // Everything is a lot; it is not what a forgotten argument means.
    match (all, selection == Selection::default()) {
        (true, false) => Err("--all and a selection exclude each other".to_owned()),
        (false, true) => Err("dlq replay needs --class, --from, --only or --all".to_owned()),
        _ => Ok(Command::Replay { selection, dry_run }),
    }
}

fn value<'a>(name: &str, rest: &mut impl Iterator<Item = &'a str>) -> Result<&'a str, String> {
    rest.next().ok_or_else(|| format!("{name} needs a value"))
}

fn position<'a>(name: &str, rest: &mut impl Iterator<Item = &'a str>) -> Result<Position, String> {
    let text = value(name, rest)?;
    text.parse().map_err(|_| format!("{name}: PARTITION:OFFSET is expected, not {text:?}"))
}

fn unknown(command: &str, argument: &str) -> String {
    format!("dlq {command} does not know {argument:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&arguments)
    }

    fn at(partition: i32, offset: i64) -> Position {
        Position { partition, offset }
    }

    #[test]
    fn arguments_are_read() {
        let list = |class: Option<&str>, limit, json| Command::List {
            class: class.map(str::to_owned),
            limit,
            json,
        };
        let show = |partition, offset, raw| Command::Show {
            position: at(partition, offset),
            raw,
        };
        let replay = |class: Option<&str>, from: &[(i32, i64)], only: &[(i32, i64)], dry_run| Command::Replay {
            selection: Selection {
                class: class.map(str::to_owned),
                from: from.iter().copied().collect(),
                only: only.iter().map(|&(partition, offset)| at(partition, offset)).collect(),
            },
            dry_run,
        };
        for (line, expected) in [
            ("list", list(None, 100, false)),
            ("list --json --limit 7 --class clock", list(Some("clock"), 7, true)),
            ("show 2 17", show(2, 17, false)),
            ("show --raw 2 17", show(2, 17, true)),
            ("replay --all", replay(None, &[], &[], false)),
            ("replay --all --dry-run", replay(None, &[], &[], true)),
            ("replay --class catalog", replay(Some("catalog"), &[], &[], false)),
            ("replay --from 0:5 --from 1:0 --class key", replay(Some("key"), &[(0, 5), (1, 0)], &[], false)),
            ("replay --only 0:5 --only 0:6", replay(None, &[], &[(0, 5), (0, 6)], false)),
            ("replay --help", Command::Help),
            ("--help", Command::Help),
        ] {
            assert_eq!(parsed(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (line, part) in [
            ("", "list, show or replay"),
            ("purge", "purge"),
            ("list --limit", "--limit needs a value"),
            ("list --limit 0", "--limit"),
            ("list --limit many", "many"),
            ("list --all", "--all"),
            ("show", "a partition and an offset"),
            ("show 1", "a partition and an offset"),
            ("show 1 2 3", "a partition and an offset"),
            ("show 1 x", "x"),
            ("show -1 2", "-1"),
            ("replay", "needs --class"),
            ("replay --dry-run", "needs --class"),
            ("replay --all --class key", "exclude"),
            ("replay --from 3", "PARTITION:OFFSET"),
            ("replay --from 3:4 --from 3:5", "twice"),
            ("replay 3:4", "3:4"),
        ] {
            let message = parsed(line).expect_err(line);
            assert!(message.contains(part), "{line}: {message}");
        }
    }

    #[test]
    fn a_selection_takes_what_meets_all_its_conditions() {
        let select = |line: &str| match parsed(&format!("replay {line}")) {
            Ok(Command::Replay { selection, .. }) => selection,
            other => panic!("{other:?}"),
        };
        for (line, position, class, expected) in [
            ("--all", at(0, 0), "key", true),
            ("--class key", at(5, 9), "key", true),
            ("--class key", at(5, 9), "json", false),
            ("--from 1:5", at(1, 5), "json", true),
            ("--from 1:5", at(1, 4), "json", false),
            ("--from 1:5", at(2, 7), "json", false),
            ("--from 1:5 --class key", at(1, 6), "json", false),
            ("--only 1:5", at(1, 5), "json", true),
            ("--only 1:5", at(1, 6), "json", false),
            ("--only 1:5 --from 2:0", at(2, 6), "json", true),
            ("--only 1:5 --class key", at(1, 5), "json", false),
        ] {
            assert_eq!(select(line).takes(position, class), expected, "{line} {position} {class}");
        }
    }
}
