//! The topics of the product and the settings they are created with.

use std::fmt;

/// What one record may weigh on every topic but the dead letters: key, payload and headers together.
///
/// Below the topics' `max.message.bytes` by what the batch around a single record adds.
pub const MAX_RECORD_BYTES: usize = TOPIC_MAX_MESSAGE_BYTES - BATCH_OVERHEAD_BYTES;

/// What a dead letter may weigh: a record at the limit of its own topic plus the headers that say what was wrong.
pub const MAX_DEAD_LETTER_BYTES: usize = DLQ_MAX_MESSAGE_BYTES - BATCH_OVERHEAD_BYTES;

const TOPIC_MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
const DLQ_MAX_MESSAGE_BYTES: usize = TOPIC_MAX_MESSAGE_BYTES + 64 * 1024;
/// Batch header (61 bytes), record framing and headers framing, rounded up generously.
const BATCH_OVERHEAD_BYTES: usize = 2 * 1024;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A topic of the event log. Its name in the broker is the configured prefix plus [`Topic::base_name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// What Keepa said, unchanged, one record per product and market; key = ASIN.
    RawUpdates,
    /// The whole stored product after a change; key = ASIN.
    EnrichedProducts,
    /// Opportunities opened, improved, updated, closed; key = ASIN.
    Alerts,
    /// What is to be done, and how much it may cost; key = job name.
    JobRequests,
    /// Records of [`Topic::RawUpdates`] that no retry can cure, with the reason in their headers.
    RawUpdatesDlq,
}

impl Topic {
    /// All topics, in the order they are created.
    pub const ALL: [Topic; 5] = [
        Topic::RawUpdates,
        Topic::EnrichedProducts,
        Topic::Alerts,
        Topic::JobRequests,
        Topic::RawUpdatesDlq,
    ];

    /// The name without the configured prefix.
    pub const fn base_name(self) -> &'static str {
        match self {
            Topic::RawUpdates => "raw.keepa_updates",
            Topic::EnrichedProducts => "enriched.products",
            Topic::Alerts => "alerts.opportunities",
            Topic::JobRequests => "job.requests",
            Topic::RawUpdatesDlq => "raw.keepa_updates.dlq",
        }
    }

    /// The most that key, payload and headers of one record may weigh together.
    pub const fn max_record_bytes(self) -> usize {
        self.max_message_bytes() - BATCH_OVERHEAD_BYTES
    }

    /// The topic setting `max.message.bytes`.
    pub(super) const fn max_message_bytes(self) -> usize {
        match self {
            Topic::RawUpdatesDlq => DLQ_MAX_MESSAGE_BYTES,
            _ => TOPIC_MAX_MESSAGE_BYTES,
        }
    }

    /// The topic setting `retention.ms`.
    pub(super) const fn retention_ms(self) -> u64 {
        match self {
            Topic::RawUpdatesDlq => 30 * DAY_MS,
            _ => 7 * DAY_MS,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base_name())
    }
}
