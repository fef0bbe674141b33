//! How long an answer may be served again. Pure: time comes in.
//!
//! Opportunities are announced on the event log, so their lists live until the next change, 60 s at most. Nothing
//! announces products, runs and the counts of `/stats`: their answers live two seconds, which is how late a new price
//! may show and how often a query that many ask costs a search.

use shared::domain::UnixMillis;

/// No answer lives longer, milliseconds.
const AT_MOST: i64 = 60_000;
/// Every answer lives this long: changes drop it at most once a second.
const AT_LEAST: i64 = 1_000;
/// A search may lag this far behind the announcement of a write (the refresh interval of the search server, twice).
const SEARCH_LAG: i64 = 2_000;
/// What is not announced.
const UNANNOUNCED: i64 = 2_000;
/// What others have yet to write down, who just start.
const AWAITED: i64 = 100;
/// What was found fresh this long ago at most is served once more while it is renewed: a renewal takes a search, and whoever
/// asks does not wait for it. It shows no change later, since whoever waited would see it no sooner.
const JUST_NOW: i64 = 250;

/// What an answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DependsOn {
    /// On opportunities alone.
    Opportunities,
    /// On things whose changes nobody announces.
    More,
    /// On one document that is read by id, in real time.
    OneDocument,
    /// On a record that was not there: whoever writes it may just start.
    Awaited,
}

/// What is known of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Changes {
    /// When an opportunity was last announced to have changed.
    pub(crate) last: Option<UnixMillis>,
    /// Whether announcements arrive: the event log is there.
    pub(crate) are_followed: bool,
}

/// Whether an answer that was begun at `as_of` may be served now.
pub(crate) fn is_fresh(depends: DependsOn, as_of: UnixMillis, now: UnixMillis, changes: Changes) -> bool {
    let age = now.millis_since(as_of);
    let limit = match depends {
        DependsOn::OneDocument => AT_LEAST,
        DependsOn::Awaited => AWAITED,
        DependsOn::More => UNANNOUNCED,
        DependsOn::Opportunities if !changes.are_followed => UNANNOUNCED,
        DependsOn::Opportunities => {
            let may_lack_a_change = changes.last.is_some_and(|last| last.millis_since(as_of) > -SEARCH_LAG);
            if may_lack_a_change { AT_LEAST } else { AT_MOST }
        }
    };
    // A clock that was set back makes ages negative: those answers are asked for again.
    (0..limit).contains(&age)
}

/// Whether an answer that was last found fresh at `fresh_at` may be served while it is renewed.
pub(crate) fn was_fresh_just_now(fresh_at: UnixMillis, now: UnixMillis) -> bool {
    (0..JUST_NOW).contains(&now.millis_since(fresh_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(depends: DependsOn, last_change: Option<i64>, are_followed: bool, fresh: &[i64], stale: &[i64]) {
        let as_of = UnixMillis(1_000_000);
        let changes = Changes {
            last: last_change.map(|offset| as_of.plus_millis(offset)),
            are_followed,
        };
        for (ages, expected) in [(fresh, true), (stale, false)] {
            for &age in ages {
                let actual = is_fresh(depends, as_of, as_of.plus_millis(age), changes);
                assert_eq!(actual, expected, "{depends:?} {last_change:?} {are_followed} at age {age}");
            }
        }
    }

    #[test]
    fn lists_of_opportunities_live_a_minute_unless_something_changes() {
        check(DependsOn::Opportunities, None, true, &[0, 999, 59_999], &[60_000, -1]);
        check(DependsOn::Opportunities, Some(-2_000), true, &[59_999], &[60_000]);
    }

    #[test]
    fn a_change_drops_lists_but_not_more_than_once_a_second() {
        check(DependsOn::Opportunities, Some(500), true, &[999], &[1_000, 30_000]);
        check(DependsOn::Opportunities, Some(30_000), true, &[999], &[30_000]);
    }

    #[test]
    fn a_list_begun_right_after_a_change_may_lack_it_since_searches_lag() {
        check(DependsOn::Opportunities, Some(-1_999), true, &[999], &[1_000]);
    }

    #[test]
    fn without_announcements_lists_are_asked_for_again_soon() {
        check(DependsOn::Opportunities, None, false, &[1_999], &[2_000]);
    }

    #[test]
    fn what_was_fresh_a_moment_ago_bridges_its_renewal_and_a_clock_set_back_ends_that() {
        for (since, expected) in [(0, true), (249, true), (250, false), (60_000, false), (-1, false)] {
            assert_eq!(was_fresh_just_now(UnixMillis(1_000), UnixMillis(1_000 + since)), expected, "{since}");
        }
    }

    #[test]
    fn what_is_not_announced_lives_two_seconds_a_document_one_and_what_is_not_there_yet_a_moment() {
        check(DependsOn::More, None, true, &[0, 1_999], &[2_000]);
        check(DependsOn::OneDocument, None, true, &[0, 999], &[1_000]);
        check(DependsOn::Awaited, None, true, &[0, 99], &[100]);
    }
}
