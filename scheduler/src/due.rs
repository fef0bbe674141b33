//! Pure: which tick of a job is due, given the last one issued and the present.

use shared::domain::UnixMillis;

use crate::jobs::FirstStart;
use crate::schedule::Schedule;

/// How far the last issued tick may lie ahead of the present clock without meaning anything: replicas' clocks differ.
/// More than this, and the clock has been set back.
pub(crate) const CLOCK_TOLERANCE_MS: i64 = 60_000;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing.
    Nothing,
    /// This tick: the latest one, whichever were missed before it.
    Tick(UnixMillis),
    /// Nothing, but counting begins at this tick: the job is new and waits, or the clock was set back.
    CountFrom(UnixMillis),
}

/// Which tick is due at `now`, when `last` is the last one dealt with.
///
/// Ticks missed while the scheduler was down, or skipped by a clock set forward, collapse into the latest. After a clock
/// set back nothing is due until the next tick of the new time: what had been issued ahead is not waited for, else a
/// clock that was once a year ahead would keep jobs from running for a year.
pub(crate) fn due(schedule: &Schedule, first_start: FirstStart, last: Option<UnixMillis>, now: UnixMillis) -> Due {
    let Some(latest) = schedule.latest_until(now) else { return Due::Nothing };
    match last {
        None => match first_start {
            FirstStart::AtOnce => Due::Tick(latest),
            FirstStart::NextTick => Due::CountFrom(latest),
        },
        Some(last) if last.millis_since(now) > CLOCK_TOLERANCE_MS => Due::CountFrom(latest),
        Some(last) if latest > last => Due::Tick(latest),
        Some(_) => Due::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    /// 2026-01-11T12:00:00Z.
    const NOON: UnixMillis = UnixMillis(1_768_132_800_000);

    fn every_five_minutes() -> Schedule {
        "0 */5 * * * *".parse().unwrap()
    }

    /// `last` and `now` in minutes from noon.
    fn check(first_start: FirstStart, last: Option<i64>, now: i64, expected: Due) {
        let instant = |minutes: i64| NOON.plus_millis(minutes * MINUTE);
        assert_eq!(
            due(&every_five_minutes(), first_start, last.map(instant), instant(now)),
            expected,
            "last {last:?}, now {now}"
        );
    }

    fn tick(minutes: i64) -> Due {
        Due::Tick(NOON.plus_millis(minutes * MINUTE))
    }

    fn count_from(minutes: i64) -> Due {
        Due::CountFrom(NOON.plus_millis(minutes * MINUTE))
    }

    #[test]
    fn a_new_job_runs_at_once_or_waits_for_its_next_tick() {
        check(FirstStart::AtOnce, None, 3, tick(0));
        check(FirstStart::NextTick, None, 3, count_from(0));
        check(FirstStart::NextTick, Some(0), 4, Due::Nothing);
        check(FirstStart::NextTick, Some(0), 5, tick(5));
    }

    #[test]
    fn missed_ticks_collapse_into_the_latest() {
        check(FirstStart::AtOnce, Some(0), 4, Due::Nothing);
        check(FirstStart::AtOnce, Some(0), 5, tick(5));
        check(FirstStart::AtOnce, Some(0), 24 * 60 + 3, tick(24 * 60));
    }

    #[test]
    fn a_tick_issued_by_a_replica_whose_clock_is_ahead_is_not_issued_again() {
        check(FirstStart::AtOnce, Some(5), 4, Due::Nothing);
    }

    #[test]
    fn a_clock_set_back_issues_nothing_at_once_and_goes_on_with_the_next_tick() {
        check(FirstStart::AtOnce, Some(60), 3, count_from(0));
        check(FirstStart::AtOnce, Some(0), 5, tick(5));
    }

    #[test]
    fn a_schedule_whose_time_has_not_come_yet_issues_nothing() {
        let future: Schedule = "0 0 0 1 1 * 2099".parse().unwrap();
        assert_eq!(due(&future, FirstStart::AtOnce, None, NOON), Due::Nothing);
    }

    /// Runs through instants as the loop does; what was issued, with the instant.
    fn walk(schedule: &Schedule, mut last: Option<UnixMillis>, instants: &[UnixMillis]) -> Vec<(UnixMillis, UnixMillis)> {
        let mut issued = Vec::new();
        for &now in instants {
            match due(schedule, FirstStart::AtOnce, last, now) {
                Due::Nothing => {}
                Due::CountFrom(tick) => last = Some(tick),
                Due::Tick(tick) => {
                    issued.push((now, tick));
                    last = Some(tick);
                }
            }
        }
        issued
    }

    fn instants(steps: &[i64]) -> Vec<UnixMillis> {
        let mut now = NOON;
        steps
            .iter()
            .map(|step| {
                now = now.plus_millis(*step);
                now
            })
            .collect()
    }

    proptest! {
        #[test]
        fn what_is_due_is_the_greatest_tick_between_the_two_instants(last_minutes in -500_i64..500, ahead_ms in 0_i64..20 * HOUR) {
            let schedule = every_five_minutes();
            let last = NOON.plus_millis(last_minutes * MINUTE);
            let now = last.plus_millis(ahead_ms);
            let naive = (last.0 + 1..=now.0).rev().take(5 * 60_000).find(|millis| millis % (5 * MINUTE) == 0);
            let expected = naive.map_or(Due::Nothing, |millis| Due::Tick(UnixMillis(millis)));
            prop_assert_eq!(due(&schedule, FirstStart::AtOnce, Some(last), now), expected);
        }

        #[test]
        fn forwards_and_within_the_tolerance_no_tick_is_issued_twice_and_none_that_is_due_is_left(
            steps in proptest::collection::vec(prop_oneof![0_i64..40_000, Just(HOUR), -CLOCK_TOLERANCE_MS..0], 1..200),
        ) {
            let schedule = every_five_minutes();
            // Steps back are small and never add up: each is followed by the way forward again.
            let steps: Vec<i64> = steps.iter().flat_map(|&step| if step < 0 { vec![step, -step] } else { vec![step] }).collect();
            let instants = instants(&steps);
            let issued = walk(&schedule, None, &instants);
            prop_assert!(issued.windows(2).all(|pair| pair[0].1 < pair[1].1), "{issued:?}");
            prop_assert!(issued.iter().all(|(now, tick)| tick <= now));
            let latest = instants.iter().max().and_then(|&greatest| schedule.latest_until(greatest));
            prop_assert_eq!(issued.last().map(|(_, tick)| *tick), latest);
        }

        /// Guard: a last tick ahead of the clock starts the counting anew; taken out: after an hour back nothing was requested for ten minutes.
        #[test]
        fn t49_clock_jumps_of_an_hour_neither_flood_nor_starve(
            steps in proptest::collection::vec(prop_oneof![8 => Just(30_000_i64), 1 => Just(HOUR), 1 => Just(-HOUR)], 1..400),
        ) {
            let schedule = every_five_minutes();
            let instants = instants(&steps);
            let issued = walk(&schedule, Some(NOON), &instants);
            // No flood: a jump adds at most one request to those of the time that passed.
            let passed: i64 = steps.iter().filter(|step| step.abs() < HOUR).sum();
            let jumps = i64::try_from(steps.iter().filter(|step| step.abs() == HOUR).count()).unwrap();
            prop_assert!(i64::try_from(issued.len()).unwrap() <= passed / (5 * MINUTE) + 1 + jumps, "{issued:?}");
            // No starving: ten minutes of steady time contain a request.
            for (index, window) in steps.windows(20).enumerate() {
                if window.iter().all(|&step| step == 30_000) {
                    let (from, to) = (instants[index], instants[index + 19]);
                    prop_assert!(issued.iter().any(|(now, _)| (from..=to).contains(now)), "nothing from {from} to {to}: {issued:?}");
                }
            }
        }
    }
}
