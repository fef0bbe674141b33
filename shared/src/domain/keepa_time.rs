//! Times: [`UnixMillis`] everywhere, [`KeepaMinutes`] at Keepa's edge. The only place that knows Keepa's epoch.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Minutes from the Unix epoch to Keepa's, 2011-01-01T00:00Z.
const KEEPA_EPOCH_MINUTES: i64 = 21_564_000;
const MILLIS_PER_MINUTE: i64 = 60_000;

/// An instant in milliseconds since 1970-01-01T00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

/// Keepa's time: whole minutes since 2011-01-01T00:00Z, always UTC; negative for dates before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeepaMinutes(pub i32);

impl UnixMillis {
    /// The machine's clock. Called by shells only; the core takes instants as arguments.
    #[must_use]
    pub fn now() -> Self {
        UnixMillis(Utc::now().timestamp_millis())
    }

    /// This instant moved by a number of milliseconds, saturating.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        UnixMillis(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this instant; negative if it is later.
    #[must_use]
    pub fn millis_since(self, earlier: UnixMillis) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// RFC 3339 in UTC with milliseconds: `2026-01-11T12:00:00.000Z`.
    ///
    /// Instants beyond the years that chrono knows are clamped to its ends.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// As chrono's type, clamped to the years that it knows.
    #[must_use]
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or(if self.0 < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC })
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_rfc3339())
    }
}

impl KeepaMinutes {
    /// `unix_ms = (k + 21564000) * 60000`, Keepa's documented formula.
    #[must_use]
    pub fn to_unix(self) -> UnixMillis {
        UnixMillis((i64::from(self.0) + KEEPA_EPOCH_MINUTES) * MILLIS_PER_MINUTE)
    }

    /// The minute an instant lies in: `floor(unix_ms / 60000) - 21564000`, clamped to 32 bits.
    #[must_use]
    pub fn from_unix(instant: UnixMillis) -> Self {
        let minutes = instant.0.div_euclid(MILLIS_PER_MINUTE) - KEEPA_EPOCH_MINUTES;
        KeepaMinutes(i32::try_from(minutes).unwrap_or(if minutes < 0 { i32::MIN } else { i32::MAX }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_instants_convert_both_ways() {
        for (minutes, millis) in [(411_180, 1_318_510_800_000), (0, 1_293_840_000_000), (-912_280, 1_239_103_200_000)] {
            assert_eq!(KeepaMinutes(minutes).to_unix(), UnixMillis(millis));
            assert_eq!(KeepaMinutes::from_unix(UnixMillis(millis)), KeepaMinutes(minutes));
        }
    }

    #[test]
    fn rfc3339_has_milliseconds_and_z() {
        assert_eq!(UnixMillis(1_768_132_800_007).to_rfc3339(), "2026-01-11T12:00:00.007Z");
    }

    proptest! {
        #[test]
        fn keepa_time_round_trips_negative_included(minutes: i32) {
            prop_assert_eq!(KeepaMinutes::from_unix(KeepaMinutes(minutes).to_unix()), KeepaMinutes(minutes));
        }

        #[test]
        fn an_instant_lies_within_its_keepa_minute(millis in -100_000_000_000_000_i64..100_000_000_000_000) {
            let start = KeepaMinutes::from_unix(UnixMillis(millis)).to_unix();
            prop_assert!((0..60_000).contains(&UnixMillis(millis).millis_since(start)));
        }

        #[test]
        fn no_instant_panics(millis: i64) {
            let _ = KeepaMinutes::from_unix(UnixMillis(millis));
            let _ = UnixMillis(millis).to_rfc3339();
        }
    }
}
