//! What the enricher reads from the environment.

use std::time::Duration;

use shared::config::Environment;

use crate::machine::Settings;

/// Settings of the enricher.
#[derive(Debug, Clone)]
pub struct Config {
    /// What its decisions go by:
    ///
    /// - `MARKETS`: in which order names are looked for. Every marketplace that Keepa knows is stored.
    /// - `STALE_AFTER` and `LEG_STALE_AFTER`, for the prices that lists filter by.
    /// - `ENRICHER_BATCH_PRODUCTS` (100): products written at once, and fewer where half of what a partition may hold has no more.
    ///   With more, the buffers hold no second batch while the first is on its way.
    /// - `ENRICHER_LINGER` (10ms): how long the first of them waits for others.
    /// - `ENRICHER_WRITES` (8): calls of the catalog at a time, at most.
    /// - `ENRICHER_BUFFER_BYTES` (8 MiB): what is held per partition before it is paused; of all together, some five times that at most:
    ///   a partition has what the others leave of four, and always a quarter of an even share.
    /// - `MERGE_CACHE_BYTES` (16 MiB): how much merged state is kept, all partitions together.
    /// - `ENRICHER_KNOWN_RECORDS` (400,000): settled records that are known again, all partitions together.
    /// - `DLQ_LIMIT_PERCENT` (50): a partition with a greater share of refused records halts; 100 never halts.
    /// - `DLQ_LIMIT_PAUSE` (10s): what a halted partition waits at first before it tries the next refused record.
    pub machine: Settings,
    /// `ENRICHER_DRAIN` (3s): how long a partition that is taken back waits for what was begun.
    pub drain: Duration,
}

/// Five batches: a handful of new articles among known ones says nothing of the next.
const NEW_IN_A_ROW: usize = 500;

impl Config {
    /// Reads the settings; mistakes are noted in the environment.
    #[must_use]
    pub fn read(environment: &Environment) -> Self {
        const MIB: usize = 1024 * 1024;
        let high_water_bytes = environment.integer("ENRICHER_BUFFER_BYTES", 8 * MIB, 1024..=1024 * MIB);
        Config {
            machine: Settings {
                markets: environment.markets(),
                staleness: environment.staleness(),
                batch_products: environment.integer("ENRICHER_BATCH_PRODUCTS", 100, 1..=10_000),
                linger: environment.duration("ENRICHER_LINGER", Duration::from_millis(10)),
                max_calls: environment.integer("ENRICHER_WRITES", 8, 1..=64),
                high_water_bytes,
                low_water_bytes: high_water_bytes / 2,
                member_bytes: high_water_bytes.saturating_mul(4),
                window_records: 100_000,
                cache_bytes: environment.integer("MERGE_CACHE_BYTES", 16 * MIB, 0..=usize::MAX),
                known_records: environment.integer("ENRICHER_KNOWN_RECORDS", 400_000, 0..=usize::MAX),
                new_in_a_row: NEW_IN_A_ROW,
                dead_letter_percent: environment.integer("DLQ_LIMIT_PERCENT", 50, 1..=100),
                dead_letter_pause: environment.duration("DLQ_LIMIT_PAUSE", Duration::from_secs(10)),
                seed: rand::random(),
            },
            drain: environment.duration("ENRICHER_DRAIN", Duration::from_secs(3)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_noted_and_name_their_variable() {
        let environment = Environment::of([("ENRICHER_BATCH_PRODUCTS", "none"), ("DLQ_LIMIT_PERCENT", "0"), ("MARKETS", "DE,NL")]);
        let _ = Config::read(&environment);
        let error = environment.finish(()).expect_err("three mistakes");
        assert_eq!(error.mistakes.len(), 3, "{error}");
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let environment = Environment::of([]);
        let config = Config::read(&environment);
        assert!(environment.finish(()).is_ok());
        assert_eq!((config.machine.markets.len(), config.machine.dead_letter_percent), (5, 50));
    }
}
