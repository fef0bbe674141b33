//! What the enricher reads from the environment.

use std::time::Duration;

use shared::adapters::kafka::ConsumerLimits;
use shared::config::Environment;
use shared::domain::{Marketplace, Staleness};

/// Settings of the enricher.
#[derive(Debug, Clone)]
pub struct Config {
    /// `MARKETS`: in which order names are looked for. Every marketplace that Keepa knows is stored.
    pub markets: Vec<Marketplace>,
    /// `STALE_AFTER` and `LEG_STALE_AFTER`, for the prices that lists filter by.
    pub staleness: Staleness,
    /// `ENRICHER_BATCH_RECORDS` (2000) and `ENRICHER_BATCH_BYTES` (5 MiB): how much is settled at once.
    pub limits: ConsumerLimits,
    /// `DLQ_LIMIT_PERCENT` (50): a partition with a greater share of refused records halts; 100 never halts.
    pub dead_letter_percent: u8,
    /// `DLQ_LIMIT_PAUSE` (10s): what a halted partition waits before its next dead letter at first; up to six times as long later.
    pub dead_letter_pause: Duration,
    /// `MERGE_CACHE_BYTES` (32 MiB): how much merged state is kept per partition.
    pub cache_bytes: usize,
}

impl Config {
    /// Reads the settings; mistakes are noted in the environment.
    #[must_use]
    pub fn read(environment: &Environment) -> Self {
        const MIB: usize = 1024 * 1024;
        let limits = ConsumerLimits::default();
        let batch_bytes = environment.integer("ENRICHER_BATCH_BYTES", limits.batch_bytes, 1024..=64 * MIB);
        Config {
            markets: environment.markets(),
            staleness: environment.staleness(),
            limits: ConsumerLimits {
                batch_records: environment.integer("ENRICHER_BATCH_RECORDS", limits.batch_records, 1..=100_000),
                batch_bytes,
                // A batch has to fit below the mark at which the partition is paused.
                high_water_bytes: limits.high_water_bytes.max(2 * batch_bytes),
                ..limits
            },
            dead_letter_percent: environment.integer("DLQ_LIMIT_PERCENT", 50, 1..=100),
            dead_letter_pause: environment.duration("DLQ_LIMIT_PAUSE", Duration::from_secs(10)),
            cache_bytes: environment.integer("MERGE_CACHE_BYTES", 32 * MIB, 0..=usize::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_noted_and_name_their_variable() {
        let environment = Environment::of([("ENRICHER_BATCH_RECORDS", "none"), ("DLQ_LIMIT_PERCENT", "0"), ("MARKETS", "DE,NL")]);
        let _ = Config::read(&environment);
        let error = environment.finish(()).expect_err("three mistakes");
        assert_eq!(error.mistakes.len(), 3, "{error}");
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let environment = Environment::of([]);
        let config = Config::read(&environment);
        assert!(environment.finish(()).is_ok());
        assert_eq!((config.markets.len(), config.dead_letter_percent), (5, 50));
    }
}
