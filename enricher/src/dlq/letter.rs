//! A dead letter as it lies in the topic: what its headers say, and the record it becomes again. Pure.

use std::fmt;
use std::str::FromStr;

use shared::adapters::kafka::{Message, Record};
use shared::domain::UnixMillis;

use crate::decode::DEAD_LETTER_TIMESTAMP;
use crate::publish::{ATTEMPTS, DEAD_LETTER_HEADERS, OMITTED, PAYLOAD, REPLAYED_FROM};

/// Where a letter lies: `PARTITION:OFFSET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Of the topic of dead letters.
    pub partition: i32,
    /// In it.
    pub offset: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.partition, self.offset)
    }
}

/// It is not of the form `PARTITION:OFFSET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("PARTITION:OFFSET is expected")]
pub struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Position, NoPosition> {
        let (partition, offset) = text.split_once(':').ok_or(NoPosition)?;
        let partition = partition.parse().ok().filter(|partition| *partition >= 0).ok_or(NoPosition)?;
        let offset = offset.parse().ok().filter(|offset| *offset >= 0).ok_or(NoPosition)?;
        Ok(Position { partition, offset })
    }
}

pub(super) fn position_of(record: &Record) -> Position {
    Position {
        partition: record.partition,
        offset: record.offset.0,
    }
}

/// What a list says of a letter; everything but the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    position: Position,
    /// When it became a dead letter.
    pub(super) timestamp_ms: i64,
    pub(super) class: String,
    message: String,
    /// Where the record was: topic, partition and offset, and its own time.
    origin: [String; 4],
    attempts: String,
    key: String,
    value_bytes: Option<usize>,
    /// The letter that this one was, before it was replayed.
    pub(super) replayed_from: Option<Position>,
}

impl Summary {
    pub(super) fn of(record: &Record) -> Summary {
        let text = |name: &str| record.header(name).map_or_else(|| "?".to_owned(), printable);
        Summary {
            position: position_of(record),
            timestamp_ms: record.timestamp_ms,
            class: text("dlq.error.class"),
            message: text("dlq.error.message"),
            origin: ["dlq.topic", "dlq.partition", "dlq.offset", DEAD_LETTER_TIMESTAMP].map(text),
            attempts: text(ATTEMPTS),
            key: printable(record.key.as_deref().unwrap_or_default()),
            value_bytes: record.payload.as_deref().map(<[u8]>::len),
            replayed_from: record.header(REPLAYED_FROM).and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()),
        }
    }

    pub(super) fn time(&self) -> String {
        UnixMillis(self.timestamp_ms).to_string()
    }

    /// Where the record was when it was refused.
    pub(super) fn origin(&self) -> String {
        let [topic, partition, offset, _] = &self.origin;
        format!("{topic} {partition}:{offset}")
    }

    pub(super) fn to_line(&self, refused_again: bool) -> String {
        let Position { partition, offset } = self.position;
        let note = if refused_again { " (replayed, refused again)" } else { "" };
        format!(
            "{partition:>9} {offset:>10}  {:<24} {:<8} {:<32} {:<12} {}{note}",
            self.time(),
            self.class,
            self.origin(),
            self.key,
            self.message
        )
    }

    pub(super) fn to_json(&self, refused_again: bool) -> serde_json::Value {
        let number = |text: &str| text.parse::<i64>().ok();
        let [topic, partition, offset, timestamp] = &self.origin;
        serde_json::json!({
            "partition": self.position.partition,
            "offset": self.position.offset,
            "timestamp_ms": self.timestamp_ms,
            "class": self.class,
            "message": self.message,
            "attempts": number(&self.attempts),
            "from": {"topic": topic, "partition": number(partition), "offset": number(offset), "timestamp_ms": number(timestamp)},
            "key": self.key,
            "value_bytes": self.value_bytes,
            "replayed_from": self.replayed_from.map(|position| position.to_string()),
            "refused_again": refused_again,
        })
    }
}

/// Why a letter cannot become a record again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotReplayable {
    /// The value was too large for a dead letter and was left out.
    WithoutValue,
}

/// The record that the letter was, to be published at the present time: its key, value and headers, its own time, how often
/// it was tried, and which letter it comes from.
pub(super) fn again(letter: &Record) -> Result<Message, NotReplayable> {
    if letter.header(PAYLOAD) == Some(OMITTED.as_bytes()) {
        return Err(NotReplayable::WithoutValue);
    }
    let originals = letter.headers.iter().filter(|(name, _)| !name.starts_with(DEAD_LETTER_HEADERS));
    let mut headers: Vec<(String, Vec<u8>)> = originals
        .map(|(name, value)| (name.to_string(), value.as_deref().unwrap_or_default().to_vec()))
        .collect();
    for name in [DEAD_LETTER_TIMESTAMP, ATTEMPTS] {
        if let Some(value) = letter.header(name) {
            headers.push((name.to_owned(), value.to_vec()));
        }
    }
    headers.push((REPLAYED_FROM.to_owned(), position_of(letter).to_string().into_bytes()));
    Ok(Message {
        key: letter.key.as_deref().unwrap_or_default().to_vec(),
        payload: letter.payload.as_deref().map(<[u8]>::to_vec),
        headers,
        timestamp_ms: None,
    })
}

/// Bytes for a terminal: text as it is, control characters and what is no text escaped.
pub(super) fn printable(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use shared::adapters::kafka::{RecordOffset, Topic};

    use super::*;
    use crate::decode::{Input, Refusal, RefusalClass};
    use crate::publish::dead_letter;

    fn raw(headers: &[(&str, &str)]) -> Record {
        Record {
            topic: Topic::RawUpdates,
            partition: 1,
            offset: RecordOffset(48_213),
            key: Some("B0D1XD1ZV3".into()),
            payload: Some("{\"asin\"".into()),
            timestamp_ms: 1_768_132_800_000,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).into(), Some(value.as_bytes().to_vec().into())))
                .collect(),
        }
    }

    /// The message as it is read again.
    fn lying_at(message: Message, topic: Topic, partition: i32, offset: i64, timestamp_ms: i64) -> Record {
        Record {
            topic,
            partition,
            offset: RecordOffset(offset),
            key: Some(message.key.into()),
            payload: message.payload.map(Into::into),
            timestamp_ms,
            headers: message.headers.into_iter().map(|(name, value)| (name.into(), Some(value.into()))).collect(),
        }
    }

    fn letter_of(record: &Record) -> Record {
        let letter = dead_letter(record, &Refusal::new(RefusalClass::Json, "cut \u{1b}[31m"), "eu.raw.keepa_updates");
        lying_at(letter, Topic::RawUpdatesDlq, 2, 7, 1_768_132_900_000)
    }

    #[test]
    fn a_letter_becomes_the_record_it_was() {
        let record = raw(&[
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("twice", "1"),
            ("twice", "2"),
        ]);
        let message = again(&letter_of(&record)).expect("replayable");
        let replayed = lying_at(message, Topic::RawUpdates, 0, 50_000, 1_768_200_000_000);
        assert_eq!((&replayed.key, &replayed.payload), (&record.key, &record.payload));
        assert_eq!(replayed.headers[..3], record.headers[..]);
        let own: Vec<(&str, String)> = replayed.headers[3..]
            .iter()
            .map(|(name, value)| (name.as_str(), printable(value.as_deref().expect("a value"))))
            .collect();
        assert_eq!(
            own,
            [
                ("dlq.timestamp", "1768132800000".to_owned()),
                ("dlq.attempts", "1".to_owned()),
                ("dlq.replayed-from", "2:7".to_owned())
            ]
        );
        assert_eq!(Input::of(&replayed).timestamp.0, record.timestamp_ms, "the decoder takes the first life's time");
    }

    #[test]
    fn a_letter_that_is_refused_again_says_which_it_was_and_counts_on() {
        let first = letter_of(&raw(&[("other", "kept")]));
        let replayed = lying_at(again(&first).expect("replayable"), Topic::RawUpdates, 0, 50_000, 1_768_200_000_000);
        let second = letter_of(&replayed);
        let summary = Summary::of(&second);
        assert_eq!(summary.replayed_from, Some("2:7".parse().expect("a position")));
        assert_eq!((summary.attempts.as_str(), summary.origin().as_str()), ("2", "eu.raw.keepa_updates 0:50000"));
        assert_eq!(second.header(DEAD_LETTER_TIMESTAMP), first.header(DEAD_LETTER_TIMESTAMP));
        assert_eq!(second.header("other"), Some(&b"kept"[..]));
        let third = letter_of(&lying_at(again(&second).expect("replayable"), Topic::RawUpdates, 0, 60_000, 0));
        let of = |name: &str| third.headers.iter().filter(|(present, _)| present == name).count();
        assert_eq!((of("dlq.replayed-from"), of("dlq.attempts"), of("dlq.timestamp")), (1, 1, 1));
    }

    #[test]
    fn a_letter_without_its_value_is_not_replayed() {
        let mut letter = letter_of(&raw(&[]));
        letter.payload = None;
        assert!(again(&letter).is_ok(), "a record without a value is a record");
        letter.headers.push((PAYLOAD.into(), Some(OMITTED.into())));
        assert_eq!(again(&letter), Err(NotReplayable::WithoutValue));
    }

    #[test]
    fn a_letter_is_listed_without_its_value_and_cannot_fool_a_terminal() {
        let letter = letter_of(&raw(&[]));
        let line = Summary::of(&letter).to_line(true);
        assert!(line.contains("2026-01-11T12:01:40"), "{line}");
        for part in ["json", "eu.raw.keepa_updates 1:48213", "B0D1XD1ZV3", "cut \\u{1b}[31m", "refused again"] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert_eq!(
            Summary::of(&letter).to_json(false),
            serde_json::json!({
                "partition": 2, "offset": 7, "timestamp_ms": 1_768_132_900_000_i64, "class": "json", "message": "cut \\u{1b}[31m", "attempts": 1,
                "from": {"topic": "eu.raw.keepa_updates", "partition": 1, "offset": 48_213, "timestamp_ms": 1_768_132_800_000_i64},
                "key": "B0D1XD1ZV3", "value_bytes": 7, "replayed_from": null, "refused_again": false,
            })
        );
        // A record that somebody else put there.
        let foreign = Record {
            headers: vec![],
            key: None,
            payload: None,
            ..letter
        };
        assert_eq!(Summary::of(&foreign).class, "?");
        assert!(again(&foreign).is_ok());
    }

    #[test]
    fn bytes_are_shown_so_that_all_of_them_can_be_seen() {
        assert_eq!(printable(b"B0\xff\x00\n\xc3\xa4"), "B0\\xff\\u{0}\\nä");
    }
}
