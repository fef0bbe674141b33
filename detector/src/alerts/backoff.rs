//! What becomes of a delivery after an attempt: pure, with time and chance as arguments.

use shared::domain::UnixMillis;
use shared::wire::alert::{Delivery, DeliveryStatus};

use super::channels::Outcome;

/// An attempt that was begun counts as lost after this: longer than any attempt may take.
pub(crate) const ATTEMPT_MILLIS: i64 = 60_000;
const FIRST_DELAY: i64 = 10_000;
const LONGEST_DELAY: i64 = 60 * 60 * 1_000;
/// Given up after so many attempts,
pub(crate) const MOST_ATTEMPTS: u32 = 20;
/// or when it is this old: what was a gap a day ago is none to act on.
pub(crate) const LONGEST_AGE: i64 = 24 * 60 * 60 * 1_000;
const LONGEST_ERROR: usize = 300;

/// A number from 0 to 999, by chance.
pub(crate) type Chance = u16;

/// The delivery with one more attempt under way: whoever writes this is the one that sends.
pub(crate) fn begun(delivery: &Delivery, now: UnixMillis) -> Delivery {
    Delivery {
        attempts: delivery.attempts.saturating_add(1),
        next_attempt_at: now.plus_millis(ATTEMPT_MILLIS),
        ..delivery.clone()
    }
}

/// The delivery after its attempt.
pub(crate) fn ended(delivery: &Delivery, outcome: &Outcome, now: UnixMillis, chance: Chance) -> Delivery {
    let mut next = delivery.clone();
    match outcome {
        Outcome::Delivered => {
            next.status = DeliveryStatus::Delivered;
            next.last_error = None;
            next.finished_at = Some(now);
        }
        Outcome::Refused { reason } => {
            next.status = DeliveryStatus::Failed;
            next.last_error = Some(cut(reason));
            next.finished_at = Some(now);
        }
        Outcome::Later { reason, after_millis } => {
            next.last_error = Some(cut(reason));
            next.next_attempt_at = now.plus_millis(delay(delivery.attempts, chance).max(after_millis.unwrap_or(0)));
            let is_given_up = delivery.attempts >= MOST_ATTEMPTS || next.next_attempt_at.millis_since(delivery.due_since) > LONGEST_AGE;
            if is_given_up {
                next.status = DeliveryStatus::Failed;
                next.finished_at = Some(now);
            }
        }
    }
    next
}

/// Doubles from ten seconds up to an hour; at least half of that, the rest by chance, so that not all come back at once.
pub(crate) fn delay(attempts: u32, chance: Chance) -> i64 {
    let doubled = FIRST_DELAY.saturating_mul(1_i64 << attempts.saturating_sub(1).min(20));
    let longest = doubled.min(LONGEST_DELAY);
    longest / 2 + longest / 2 * i64::from(chance.min(999)) / 999
}

fn cut(reason: &str) -> String {
    reason
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(LONGEST_ERROR)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::alerts::samples;

    #[test]
    fn delays_double_from_ten_seconds_to_an_hour() {
        for (attempts, least, most) in [
            (1, 5_000, 10_000),
            (2, 10_000, 20_000),
            (5, 80_000, 160_000),
            (12, 1_800_000, 3_600_000),
            (u32::MAX, 1_800_000, 3_600_000),
        ] {
            assert_eq!((delay(attempts, 0), delay(attempts, 999)), (least, most), "{attempts}");
        }
    }

    #[test]
    fn the_channel_says_how_long_it_wants_to_be_left_alone() {
        let later = |after_millis| Outcome::Later {
            reason: "busy".into(),
            after_millis,
        };
        let delivery = begun(&samples::delivery(UnixMillis(0)), UnixMillis(0));
        assert_eq!(ended(&delivery, &later(Some(90_000)), UnixMillis(1), 0).next_attempt_at, UnixMillis(90_001));
        assert_eq!(ended(&delivery, &later(Some(1)), UnixMillis(1), 0).next_attempt_at, UnixMillis(5_001));
        // A channel that wants to be left alone for a week is given up.
        assert_eq!(ended(&delivery, &later(Some(7 * LONGEST_AGE)), UnixMillis(1), 0).status, DeliveryStatus::Failed);
    }

    proptest! {
        #[test]
        fn a_channel_that_never_answers_is_given_up_within_a_day_and_somebody_may_start_over(chances in prop::collection::vec(0..1_000_u16, 40)) {
            let mut now = UnixMillis(1_000);
            let mut delivery = samples::delivery(now);
            for chance in chances {
                if delivery.status == DeliveryStatus::Failed {
                    break;
                }
                now = delivery.next_attempt_at.max(now);
                prop_assert!(now.millis_since(delivery.due_since) <= LONGEST_AGE);
                delivery = ended(&begun(&delivery, now), &Outcome::Later { reason: "away".into(), after_millis: None }, now, chance);
            }
            prop_assert_eq!(delivery.status, DeliveryStatus::Failed);
            prop_assert!(delivery.attempts <= MOST_ATTEMPTS);
            let again = delivery.clone().again(now);
            prop_assert_eq!((again.status, again.attempts, again.id), (DeliveryStatus::Waiting, 0, delivery.id));
        }

        #[test]
        fn no_delay_is_negative_or_longer_than_an_hour(attempts: u32, chance: u16) {
            prop_assert!((FIRST_DELAY / 2..=LONGEST_DELAY).contains(&delay(attempts, chance)));
        }
    }
}
