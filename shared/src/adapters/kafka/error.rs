//! What can go wrong, by what the caller does next.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::topic::Topic;

/// A fault of the event log outside of publishing.
#[derive(Debug, thiserror::Error)]
pub enum EventLogError {
    /// The broker does not answer, or not now: ask again later.
    #[error("the event log is not available: {step}")]
    Unavailable {
        /// What was being done.
        step: &'static str,
        /// The client library's word on it.
        #[source]
        source: KafkaError,
    },
    /// The broker or the client library refuses what was asked: no retry helps, an operator must look.
    #[error("the event log refuses: {step}")]
    Refused {
        /// What was being done.
        step: &'static str,
        /// The client library's word on it.
        #[source]
        source: KafkaError,
    },
    /// The broker does not let us in, or is not who it has to be: wrong password, wrong certificate authority. It is asked
    /// again all the same, as it may be cured on the other side.
    #[error("no access to the event log: {reason}")]
    AccessDenied {
        /// What the client library said; it never names the password.
        reason: String,
    },
    /// Another process uses the same instance name in this group: one of the two has to stop, and it is this one.
    #[error("another process is group {group}'s instance of the same name")]
    InstanceNameTaken {
        /// The consumer group.
        group: String,
    },
    /// A handler panicked. What it held is not settled; the process must not go on as if nothing had happened.
    #[error("the handler of group {group} panicked: {message}")]
    HandlerPanicked {
        /// The consumer group.
        group: String,
        /// What the panic said.
        message: String,
    },
    /// The thread that reads the log ended by a panic, or could not be started.
    #[error("the thread reading the event log ended: {message}")]
    ThreadEnded {
        /// What is known about it.
        message: String,
    },
}

impl EventLogError {
    /// Sorts the client library's error by what the caller can do about it.
    pub(super) fn classify(step: &'static str, source: KafkaError) -> EventLogError {
        if is_refusal(&source) {
            EventLogError::Refused { step, source }
        } else {
            EventLogError::Unavailable { step, source }
        }
    }

    /// Is it worth to ask again?
    pub fn is_retryable(&self) -> bool {
        matches!(self, EventLogError::Unavailable { .. })
    }
}

/// Why a record was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The record can never be taken as it is: dead-letter it, or make it smaller.
    #[error("a record of {bytes} bytes is over the limit of {limit} bytes of {topic}")]
    TooLarge {
        /// Where it was to go.
        topic: Topic,
        /// What it weighs.
        bytes: usize,
        /// What it may weigh.
        limit: usize,
    },
    /// Not confirmed: publish it again. It is possibly in the log already; consumers are idempotent.
    #[error("the event log did not confirm a record of {topic}")]
    Unavailable {
        /// Where it was to go.
        topic: Topic,
        /// The client library's word on it.
        #[source]
        source: KafkaError,
    },
    /// The broker or the client library refuses it: no retry helps, an operator must look.
    #[error("the event log refuses a record of {topic}")]
    Fatal {
        /// Where it was to go.
        topic: Topic,
        /// The client library's word on it.
        #[source]
        source: KafkaError,
    },
}

impl PublishError {
    pub(super) fn classify(topic: Topic, bytes: usize, source: KafkaError) -> PublishError {
        if matches!(source.rdkafka_error_code(), Some(RDKafkaErrorCode::MessageSizeTooLarge)) {
            PublishError::TooLarge {
                topic,
                bytes,
                limit: topic.max_record_bytes(),
            }
        } else if is_refusal(&source) {
            PublishError::Fatal { topic, source }
        } else {
            PublishError::Unavailable { topic, source }
        }
    }

    /// The label under which the failure is counted.
    pub(super) fn class(&self) -> &'static str {
        match self {
            PublishError::TooLarge { .. } => "too_large",
            PublishError::Unavailable { .. } => "unavailable",
            PublishError::Fatal { .. } => "fatal",
        }
    }
}

/// Refused for what was asked or by whom; everything else passes with time.
///
/// Unknown topics are not among them: a topic may be created a moment later.
fn is_refusal(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    if matches!(
        error,
        KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::Nul(_) | KafkaError::Subscription(_)
    ) {
        return true;
    }
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::SaslAuthenticationFailed
                | Code::Authentication
                | Code::UnsupportedSASLMechanism
                | Code::SecurityDisabled
                | Code::InvalidTopic
                | Code::InvalidConfig
                | Code::InvalidPartitions
                | Code::InvalidReplicationFactor
                | Code::PolicyViolation
                | Code::InvalidRecord
                | Code::InvalidArgument
                | Code::UnsupportedVersion
                | Code::UnsupportedFeature
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(code: RDKafkaErrorCode) -> &'static str {
        PublishError::classify(Topic::RawUpdates, 10, KafkaError::MessageProduction(code)).class()
    }

    #[test]
    fn a_failure_to_publish_is_sorted_by_what_the_caller_does_next() {
        assert_eq!(class_of(RDKafkaErrorCode::MessageSizeTooLarge), "too_large");
        assert_eq!(class_of(RDKafkaErrorCode::MessageTimedOut), "unavailable");
        assert_eq!(class_of(RDKafkaErrorCode::QueueFull), "unavailable");
        assert_eq!(class_of(RDKafkaErrorCode::PurgeQueue), "unavailable");
        assert_eq!(class_of(RDKafkaErrorCode::PurgeInflight), "unavailable");
        assert_eq!(class_of(RDKafkaErrorCode::NotEnoughReplicas), "unavailable");
        assert_eq!(class_of(RDKafkaErrorCode::UnknownTopicOrPartition), "unavailable");
        assert_eq!(class_of(RDKafkaErrorCode::TopicAuthorizationFailed), "fatal");
    }
}
