//! [`Schedule`]: a cron expression in UTC, in either of the two usual forms.

use std::fmt;
use std::str::FromStr;

use shared::domain::UnixMillis;

/// When a job is due: whole seconds in UTC.
///
/// Two forms are read, told apart by the number of fields:
/// - six or seven: second, minute, hour, day of month, month, day of week, and optionally year. Days of the week are
///   names, or numbers from 1 = Sunday to 7 = Saturday;
/// - five, as in a crontab: minute, hour, day of month, month, day of week. Days of the week are names, or numbers from
///   0 = Sunday to 6 = Saturday, 7 being Sunday too.
///
/// `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` are understood as well.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Schedule {
    cron: cron::Schedule,
}

/// The text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSchedule {
    #[error(
        "{text:?} is not a cron expression: 6 fields with seconds (0 */5 * * * *), or 5 without (*/5 * * * *), or off \
         is expected"
    )]
    Syntax { text: String },
    #[error("{text:?} gives days of the month and days of the week: whether one or both must hold is read in two ways; leave one of them *")]
    TwoKindsOfDay { text: String },
    #[error("{text:?} never comes")]
    Never { text: String },
}

/// The crate knows the years 1970 to 2100; instants outside are taken as the nearest of these.
const FIRST_INSTANT: UnixMillis = UnixMillis(0);
const LAST_INSTANT: UnixMillis = UnixMillis(4_133_980_799_000);

const DAY_NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl FromStr for Schedule {
    type Err = InvalidSchedule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.chars().take(100).collect::<String>();
        let syntax = || InvalidSchedule::Syntax { text: shown() };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let expression = match fields.as_slice() {
            [minute, hour, day, month, weekday] => {
                if is_restricted(day) && is_restricted(weekday) {
                    return Err(InvalidSchedule::TwoKindsOfDay { text: shown() });
                }
                let weekday = crontab_weekdays(weekday).ok_or_else(syntax)?;
                format!("0 {minute} {hour} {day} {month} {weekday}")
            }
            _ => text.trim().to_owned(),
        };
        let schedule = Schedule {
            cron: expression.parse().map_err(|_| syntax())?,
        };
        if schedule.next_after(FIRST_INSTANT.plus_millis(-1_000)).is_none() {
            return Err(InvalidSchedule::Never { text: shown() });
        }
        Ok(schedule)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.cron.source())
    }
}

impl Schedule {
    /// The latest tick at or before an instant.
    pub(crate) fn latest_until(&self, instant: UnixMillis) -> Option<UnixMillis> {
        // The crate looks strictly before a whole second, and at a broken one's own second: one millisecond more makes
        // the two the same.
        let second = clamp(instant).0.div_euclid(1_000) * 1_000;
        let after = UnixMillis(second + 1).to_utc();
        let tick = self.cron.after(&after).next_back()?;
        Some(UnixMillis(tick.timestamp_millis()))
    }

    /// The first tick after an instant.
    pub(crate) fn next_after(&self, instant: UnixMillis) -> Option<UnixMillis> {
        let tick = self.cron.after(&clamp(instant).to_utc()).next()?;
        Some(UnixMillis(tick.timestamp_millis()))
    }
}

fn clamp(instant: UnixMillis) -> UnixMillis {
    instant.clamp(FIRST_INSTANT, LAST_INSTANT)
}

fn is_restricted(field: &str) -> bool {
    !matches!(field, "*" | "?")
}

/// A crontab's days of the week as a list of names, since the crate counts them otherwise.
fn crontab_weekdays(field: &str) -> Option<String> {
    if !is_restricted(field) {
        return Some("*".to_owned());
    }
    let mut days = [false; 7];
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| (1..=7).contains(step))?),
            None => (item, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (0, 6),
            Some((first, last)) => (weekday(first)?, weekday(last)?),
            None if item.contains('/') => (weekday(range)?, 6),
            None => (weekday(range)?, weekday(range)?),
        };
        // `fri-sun` and `5-7` end on the Sunday after.
        let last = if last == 0 && first > 0 && range.contains('-') { 7 } else { last };
        if first > last {
            return None;
        }
        for day in (first..=last).step_by(step) {
            days[day % 7] = true;
        }
    }
    let names: Vec<&str> = DAY_NAMES.into_iter().zip(days).filter_map(|(name, wanted)| wanted.then_some(name)).collect();
    Some(names.join(","))
}

fn weekday(text: &str) -> Option<usize> {
    if let Ok(number) = text.parse::<usize>() {
        return (number <= 7).then_some(number);
    }
    DAY_NAMES.iter().position(|name| name.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(text: &str) -> Schedule {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn at(text: &str) -> UnixMillis {
        UnixMillis(chrono::DateTime::parse_from_rfc3339(text).expect("RFC 3339").timestamp_millis())
    }

    #[test]
    fn the_next_and_the_latest_tick_are_found() {
        // 2026-01-11 is a Sunday.
        for (expression, now, latest, next) in [
            ("0 0 */2 * * *", "2026-01-11T12:00:00Z", "2026-01-11T12:00:00Z", "2026-01-11T14:00:00Z"),
            ("0 0 */2 * * *", "2026-01-11T12:00:00.999Z", "2026-01-11T12:00:00Z", "2026-01-11T14:00:00Z"),
            ("0 0 */2 * * *", "2026-01-11T11:59:59.999Z", "2026-01-11T10:00:00Z", "2026-01-11T12:00:00Z"),
            ("*/5 * * * *", "2026-01-11T12:04:59Z", "2026-01-11T12:00:00Z", "2026-01-11T12:05:00Z"),
            ("15 15 * * 1-5", "2026-01-11T12:00:00Z", "2026-01-09T15:15:00Z", "2026-01-12T15:15:00Z"),
            ("0 15 15 * * MON-FRI", "2026-01-11T12:00:00Z", "2026-01-09T15:15:00Z", "2026-01-12T15:15:00Z"),
            ("0 0 * * 0", "2026-01-14T12:00:00Z", "2026-01-11T00:00:00Z", "2026-01-18T00:00:00Z"),
            ("0 0 * * 7", "2026-01-14T12:00:00Z", "2026-01-11T00:00:00Z", "2026-01-18T00:00:00Z"),
            ("0 0 * * 5-7", "2026-01-10T12:00:00Z", "2026-01-10T00:00:00Z", "2026-01-11T00:00:00Z"),
            ("0 0 * * fri-sun", "2026-01-11T12:00:00Z", "2026-01-11T00:00:00Z", "2026-01-16T00:00:00Z"),
            ("0 0 * * */3", "2026-01-11T12:00:00Z", "2026-01-11T00:00:00Z", "2026-01-14T00:00:00Z"),
            ("0 0 29 2 *", "2026-01-11T12:00:00Z", "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("@daily", "2026-01-11T12:00:00Z", "2026-01-11T00:00:00Z", "2026-01-12T00:00:00Z"),
        ] {
            let schedule = schedule(expression);
            assert_eq!(schedule.latest_until(at(now)), Some(at(latest)), "{expression} until {now}");
            assert_eq!(schedule.next_after(at(now)), Some(at(next)), "{expression} after {now}");
        }
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        for (text, expected) in [
            ("", "not a cron expression"),
            ("often", "not a cron expression"),
            ("* * * *", "not a cron expression"),
            ("60 * * * *", "not a cron expression"),
            ("* * * * 8", "not a cron expression"),
            ("* * * * 5-2", "not a cron expression"),
            ("* * * * 1/0", "not a cron expression"),
            ("*/0 * * * * *", "not a cron expression"),
            ("0 0 1 * 1", "days of the week"),
            ("0 0 30 2 *", "never comes"),
        ] {
            let error = text.parse::<Schedule>().expect_err(text).to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn instants_beyond_the_calendar_do_not_panic() {
        let schedule = schedule("0 0 * * * *");
        for instant in [i64::MIN, -1, 0, i64::MAX] {
            let _ = schedule.latest_until(UnixMillis(instant));
            let _ = schedule.next_after(UnixMillis(instant));
        }
        assert_eq!(schedule.next_after(UnixMillis(i64::MAX)), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9*/,?a-zA-Z@ -]{0,30}") {
            let _ = text.parse::<Schedule>();
        }

        #[test]
        fn no_tick_lies_between_the_latest_and_the_next(
            expression in proptest::sample::select(vec!["*/7 * * * * *", "0 */5 * * * *", "30 15 6,14-17 * * *", "0 0 0 * * MON-FRI", "0 0 12 31 * *"]),
            now in 0_i64..4_000_000_000_000,
        ) {
            let schedule = schedule(expression);
            let now = UnixMillis(now);
            if let (Some(latest), Some(next)) = (schedule.latest_until(now), schedule.next_after(now)) {
                prop_assert!(latest <= now && now < next);
                prop_assert_eq!(schedule.next_after(latest), Some(next));
                prop_assert_eq!(schedule.latest_until(next), Some(next));
                prop_assert_eq!(schedule.latest_until(next.plus_millis(-1)), Some(latest));
            }
        }
    }
}
