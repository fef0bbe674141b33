//! Times, and what they cost: our CPU, the servers', memory.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::process::{Used, cpu_seconds_of, own_cpu_seconds};

/// By these arguments their processes are known: they run on this machine.
const KAFKA: &str = "kafka.Kafka";
const ELASTICSEARCH: &str = "org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch";

/// A number of records and what they took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Measured {
    /// Records a second.
    pub per_second: f64,
    /// CPU seconds of the client for 100,000 records.
    pub client_cpu: f64,
    /// Of Elasticsearch.
    pub elasticsearch_cpu: f64,
    /// Of Kafka.
    pub kafka_cpu: f64,
    /// Records a second at which these CPU seconds would fill every core of this machine.
    pub cap_per_second: f64,
    /// The most memory the client took, MiB; none where the client is this program.
    pub peak_mib: Option<f64>,
}

/// Since a moment.
pub struct Stopwatch {
    began: Instant,
    kafka: f64,
    elasticsearch: f64,
    own: f64,
}

impl Stopwatch {
    /// Begins now.
    #[must_use]
    pub fn start() -> Stopwatch {
        Stopwatch {
            kafka: cpu_seconds_of(KAFKA),
            elasticsearch: cpu_seconds_of(ELASTICSEARCH),
            own: own_cpu_seconds(),
            began: Instant::now(),
        }
    }

    /// Ends now; the client is this program.
    #[must_use]
    pub fn stop(&self, records: usize) -> Measured {
        let took = self.began.elapsed().as_secs_f64();
        let own = own_cpu_seconds() - self.own;
        self.measured(records, took, own, None)
    }

    /// Ended `took` seconds after it began; the client is a process of its own.
    #[must_use]
    pub fn stop_other(&self, records: usize, took: f64, used: Used) -> Measured {
        self.measured(records, took, used.cpu_seconds, Some(used.peak_mib))
    }

    fn measured(&self, records: usize, took: f64, client: f64, peak_mib: Option<f64>) -> Measured {
        let of_100_000 = |seconds: f64| seconds * 100_000.0 / records as f64;
        let elasticsearch = cpu_seconds_of(ELASTICSEARCH) - self.elasticsearch;
        let kafka = cpu_seconds_of(KAFKA) - self.kafka;
        Measured {
            per_second: records as f64 / took,
            client_cpu: of_100_000(client),
            elasticsearch_cpu: of_100_000(elasticsearch),
            kafka_cpu: of_100_000(kafka),
            cap_per_second: records as f64 * cores() as f64 / (client + elasticsearch + kafka),
            peak_mib,
        }
    }
}

/// Cores of this machine.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The least, the middle and the most of some rounds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    /// Least.
    pub min: f64,
    /// Median; of an even number, the lower of the two in the middle.
    pub median: f64,
    /// Most.
    pub max: f64,
}

impl Spread {
    /// Of at least one value.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Spread {
            min: at(0),
            median: at(values.len().saturating_sub(1) / 2),
            max: at(values.len().saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_the_values_in_order() {
        let spread = Spread::of([3.0, 1.0, 2.0, 9.0]);
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 9.0));
    }
}
