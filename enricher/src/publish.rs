//! Publishes products and dead letters, once, and says what the broker confirmed.

use futures_util::future::join_all;
use shared::adapters::kafka::{Message, PublishError, Publisher, Record, Topic};
use shared::wire::product::to_json;

use crate::decode::{Refusal, timestamp_of};
use crate::machine::{DeadLetter, Publication};

/// Messages on their way at a time; the publisher also bounds their bytes.
const AT_ONCE: usize = 1_000;
/// Names of headers that only dead letters have, and their replays, begin with this.
pub(crate) const DEAD_LETTER_HEADERS: &str = "dlq.";
/// How often a record was refused.
pub(crate) const ATTEMPTS: &str = "dlq.attempts";
/// The dead letter that a record, or a newer dead letter, was before it was replayed.
pub(crate) const REPLAYED_FROM: &str = "dlq.replayed-from";
/// Says [`OMITTED`] where the value was too large for a dead letter.
pub(crate) const PAYLOAD: &str = "dlq.payload";
pub(crate) const OMITTED: &str = "omitted";

/// The way out.
pub(crate) struct Outlet {
    publisher: Publisher,
    /// The full name of the topic that is read, for dead letters.
    source_topic: String,
}

impl Outlet {
    pub(crate) fn new(publisher: Publisher, source_topic: String) -> Self {
        Outlet { publisher, source_topic }
    }

    /// Publishes some of these products.
    ///
    /// # Errors
    /// Which of them were not confirmed, and why.
    pub(crate) async fn products(&self, products: &[Publication], which: &[usize]) -> Result<(), (Vec<usize>, String)> {
        send_some(which, |index| self.product(&products[index])).await
    }

    /// Publishes some of these dead letters, in their order.
    ///
    /// # Errors
    /// Which of them were not confirmed, and why.
    pub(crate) async fn dead_letters(&self, letters: &[DeadLetter], which: &[usize]) -> Result<(), (Vec<usize>, String)> {
        send_some(which, |index| self.dead_letter(&letters[index])).await
    }

    async fn product(&self, publication: &Publication) -> Result<(), PublishError> {
        let Publication { product, cause } = publication;
        let asin = product.product.asin;
        let message = Message::new(asin.as_str(), Some(to_json(product))).caused_by(cause);
        // The detector then reads the product from the catalog, where it is.
        let instead = || Message::new(asin.as_str(), None).with_header("reason", "reevaluate").caused_by(cause);
        self.send(Topic::EnrichedProducts, message, instead).await
    }

    async fn dead_letter(&self, letter: &DeadLetter) -> Result<(), PublishError> {
        let DeadLetter { record, refusal } = letter;
        let message = dead_letter(record, refusal, &self.source_topic);
        // Another producer's compressed record may be larger than a dead letter can be. It stays where it is.
        let instead = || {
            let without_value = Message {
                payload: None,
                ..dead_letter(record, refusal, &self.source_topic)
            };
            without_value.with_header(PAYLOAD, OMITTED)
        };
        self.send(Topic::RawUpdatesDlq, message, instead).await
    }

    async fn send(&self, topic: Topic, message: Message, instead: impl FnOnce() -> Message) -> Result<(), PublishError> {
        match self.publisher.publish(topic, message).await {
            Err(error @ PublishError::TooLarge { .. }) => {
                let instead = instead();
                tracing::error!(%error, key = %String::from_utf8_lossy(&instead.key), "a record is published without its value");
                self.publisher.publish(topic, instead).await.map(|_| ())
            }
            published => published.map(|_| ()),
        }
    }
}

/// Sends those that are named, a number of them at a time; with the first failure it does not try the rest.
async fn send_some<F: Future<Output = Result<(), PublishError>>>(which: &[usize], send: impl Fn(usize) -> F) -> Result<(), (Vec<usize>, String)> {
    let mut rest = which;
    while !rest.is_empty() {
        let (some, later) = rest.split_at(rest.len().min(AT_ONCE));
        let sent = join_all(some.iter().map(|&index| send(index))).await;
        let failed: Vec<(usize, PublishError)> = some.iter().zip(sent).filter_map(|(&index, sent)| Some((index, sent.err()?))).collect();
        if let Some((_, error)) = failed.first() {
            let reason = error.to_string();
            let unconfirmed = failed.iter().map(|&(index, _)| index).chain(later.iter().copied());
            return Err((unconfirmed.collect(), reason));
        }
        rest = later;
    }
    Ok(())
}

/// The original bytes, key and headers, and where and why they were refused.
pub(crate) fn dead_letter(record: &Record, refusal: &Refusal, topic: &str) -> Message {
    // What a replayed dead letter says of its former refusal would contradict what is said of this one.
    let attempts = record.header(ATTEMPTS).and_then(|value| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
    let originals = record.headers.iter().filter(|(name, _)| !name.starts_with(DEAD_LETTER_HEADERS));
    let mut headers: Vec<(String, Vec<u8>)> = originals
        .map(|(name, value)| (name.to_string(), value.as_deref().unwrap_or_default().to_vec()))
        .collect();
    for (name, value) in [
        ("dlq.topic", topic.to_owned()),
        ("dlq.partition", record.partition.to_string()),
        ("dlq.offset", record.offset.0.to_string()),
        ("dlq.timestamp", timestamp_of(record).0.to_string()),
        ("dlq.error.class", refusal.class.name().to_owned()),
        ("dlq.error.message", refusal.message.clone()),
        (ATTEMPTS, attempts.unwrap_or(0).saturating_add(1).to_string()),
    ] {
        headers.push((name.to_owned(), value.into_bytes()));
    }
    // So that the older letter is not replayed beside the newer one.
    if let Some(letter) = record.header(REPLAYED_FROM) {
        headers.push((REPLAYED_FROM.to_owned(), letter.to_vec()));
    }
    Message {
        key: record.key.as_deref().unwrap_or_default().to_vec(),
        payload: record.payload.as_deref().map(<[u8]>::to_vec),
        headers,
        timestamp_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use shared::adapters::kafka::RecordOffset;

    use super::*;
    use crate::decode::RefusalClass;

    fn record(headers: &[(&str, Option<&str>)]) -> Record {
        Record {
            topic: Topic::RawUpdates,
            partition: 2,
            offset: RecordOffset(77),
            key: Some(vec![0xff, 0x00].into()),
            payload: Some(vec![0xfe, b'{', 0x00].into()),
            timestamp_ms: 1_768_132_800_123,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).into(), value.map(|value| value.as_bytes().to_vec().into())))
                .collect(),
        }
    }

    fn headers(message: &Message) -> Vec<(&str, String)> {
        let shown = |value: &Vec<u8>| String::from_utf8_lossy(value).into_owned();
        message.headers.iter().map(|(name, value)| (name.as_str(), shown(value))).collect()
    }

    #[test]
    fn a_dead_letter_carries_everything_bit_for_bit() {
        let refusal = Refusal::new(RefusalClass::Json, "the value is not UTF-8");
        let letter = dead_letter(&record(&[("traceparent", Some("00-a-b-01")), ("none", None)]), &refusal, "eu.raw.keepa_updates");
        assert_eq!(
            (letter.key.as_slice(), letter.payload.as_deref()),
            (&[0xff, 0x00][..], Some(&[0xfe, b'{', 0x00][..]))
        );
        let expected = [
            ("traceparent", "00-a-b-01"),
            ("none", ""),
            ("dlq.topic", "eu.raw.keepa_updates"),
            ("dlq.partition", "2"),
            ("dlq.offset", "77"),
            ("dlq.timestamp", "1768132800123"),
            ("dlq.error.class", "json"),
            ("dlq.error.message", "the value is not UTF-8"),
            ("dlq.attempts", "1"),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        assert_eq!(headers(&letter), expected);
        assert_eq!(letter.timestamp_ms, None);
    }

    #[test]
    fn a_replayed_dead_letter_keeps_its_first_time_and_counts_its_attempts() {
        let replayed = record(&[
            ("dlq.timestamp", Some("1700000000000")),
            ("dlq.attempts", Some("2")),
            ("dlq.error.class", Some("clock")),
        ]);
        let letter = dead_letter(&replayed, &Refusal::new(RefusalClass::Shape, "x"), "raw");
        let headers = headers(&letter);
        let of = |wanted: &str| {
            headers
                .iter()
                .filter(|(name, _)| *name == wanted)
                .map(|(_, value)| value.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("dlq.timestamp"), ["1700000000000"]);
        assert_eq!(of("dlq.attempts"), ["3"]);
        assert_eq!(of("dlq.error.class"), ["shape"]);
    }
}
