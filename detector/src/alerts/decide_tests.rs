use chrono::NaiveDate;
use proptest::prelude::*;
use serde_json::json;
use shared::domain::Percentage;

use super::*;
use crate::alerts::samples;

const HOUR: i64 = 60 * 60 * 1_000;
/// 2026-07-10T12:00Z.
const NOON: UnixMillis = UnixMillis(1_783_684_800_000);

fn rule(fields: serde_json::Value) -> RuleInForce {
    let mut all = json!({"id": "all", "channel": "hook"});
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    RuleInForce {
        rule: Rule::parse(&all, None).unwrap(),
        since: UnixMillis(0),
    }
}

/// Event number `seq` of opening `opening`, with this margin (hundredths of percent) and profit (cents).
fn occasion(seq: i64, kind: EventKind, opening: i64, percentage: i64, profit: Option<i64>) -> Occasion {
    Occasion {
        id: "B0D1XD1ZV3:ES:IT".parse().unwrap(),
        seq,
        kind,
        at: NOON,
        opened_at: NOON.plus_millis(opening),
        evaluation: Evaluation {
            revision: seq,
            rates_date: NaiveDate::default(),
            settings_version: 1,
            evaluated_at: NOON.plus_millis(seq),
        },
        figures: samples::figures(700, percentage, profit),
        traps: Vec::new(),
        brand_key: Some("bosch".into()),
        category_key: None,
    }
}

/// A rule that remembers.
struct Told {
    rule: RuleInForce,
    standing: Option<Standing>,
    tally: RuleTally,
}

impl Told {
    fn by(fields: serde_json::Value) -> Told {
        Told {
            rule: rule(fields),
            standing: None,
            tally: RuleTally::default(),
        }
    }

    fn hears(&mut self, occasion: &Occasion, now: UnixMillis) -> Decision {
        let verdict = decide(&self.rule, self.standing.as_ref(), &self.tally, occasion, now);
        self.standing = verdict.standing.or(self.standing.take());
        self.tally = verdict.tally.unwrap_or_else(|| self.tally.clone());
        verdict.decision
    }
}

use EventKind::{Closed, Improved, Opened, Updated};

/// Kind, opening, margin, profit, hours after noon, and what is decided.
type Step = (EventKind, i64, i64, Option<i64>, i64, Result<(), Reason>);

/// A way through events.
fn check(fields: serde_json::Value, way: &[Step]) {
    let mut told = Told::by(fields.clone());
    let mut seq = 0;
    let mut evaluation = 0;
    for (step, &(kind, opening, percentage, profit, hours, expected)) in way.iter().enumerate() {
        seq += i64::from(kind != Updated);
        evaluation += 1;
        let mut occasion = occasion(seq, kind, opening, percentage, profit);
        occasion.evaluation.revision = evaluation;
        let decision = told.hears(&occasion, NOON.plus_millis(hours * HOUR));
        let actual = match decision {
            Decision::Send | Decision::Hold => Ok(()),
            Decision::Suppress(reason) => Err(reason),
        };
        assert_eq!(actual, expected, "{fields}: step {step}, {kind:?}");
    }
}

#[test]
fn opened_improved_and_closed_are_told() {
    check(
        json!({}),
        &[
            (Opened, 1, 1_500, None, 0, Ok(())),
            (Updated, 1, 1_510, None, 0, Err(Reason::Update)),
            (Improved, 1, 1_650, None, 1, Ok(())),
            (Closed, 1, 1_650, None, 2, Ok(())),
            (Opened, 2, 1_400, None, 3, Ok(())),
        ],
    );
}

#[test]
fn what_shows_a_trap_that_the_rule_does_not_put_up_with_is_told_once_it_is_gone() {
    use TrapReason::{AmazonBack, EanMismatch, PriceOutlier};
    let mut told = Told::by(json!({"without_traps": ["price_outlier", "ean_mismatch"], "min_confidence": 50}));
    for (seq, kind, traps, confidence, expected) in [
        (1, Opened, &[AmazonBack, PriceOutlier][..], Some(3_000), Err(Reason::BelowThreshold)),
        (2, Improved, &[PriceOutlier], Some(5_000), Err(Reason::Trapped)),
        (3, Improved, &[AmazonBack], Some(6_000), Ok(())),
        (4, Improved, &[AmazonBack, EanMismatch], Some(6_000), Err(Reason::Trapped)),
        // That it is gone is told whatever it shows by then.
        (5, Closed, &[EanMismatch], Some(2_000), Ok(())),
        // One that was never assessed reaches no threshold.
        (6, Opened, &[], None, Err(Reason::BelowThreshold)),
    ] {
        let opening = if seq == 6 { 2 } else { 1 };
        let mut occasion = occasion(seq, kind, opening, 1_500 + 200 * seq, None);
        occasion.traps = traps.to_vec();
        occasion.figures.confidence = confidence.map(Percentage);
        let actual = match told.hears(&occasion, NOON) {
            Decision::Send | Decision::Hold => Ok(()),
            Decision::Suppress(reason) => Err(reason),
        };
        assert_eq!(actual, expected, "event {seq}");
    }
}

#[test]
fn only_the_kinds_that_are_wanted_are_told() {
    check(
        json!({"events": ["opened"]}),
        &[
            (Opened, 1, 1_500, None, 0, Ok(())),
            (Improved, 1, 1_700, None, 0, Err(Reason::NotWanted)),
            (Closed, 1, 1_700, None, 0, Err(Reason::NotWanted)),
        ],
    );
    check(
        json!({"events": ["closed"], "min_margin": 12}),
        &[
            (Opened, 1, 1_500, None, 0, Err(Reason::NotWanted)),
            (Closed, 1, 1_500, None, 0, Ok(())),
            (Opened, 2, 1_100, None, 0, Err(Reason::BelowThreshold)),
            (Closed, 2, 1_100, None, 0, Err(Reason::NeverTold)),
        ],
    );
    check(
        json!({"events": ["improved"]}),
        &[(Opened, 1, 1_500, None, 0, Err(Reason::NotWanted)), (Improved, 1, 1_700, None, 0, Ok(()))],
    );
}

#[test]
fn an_improvement_that_first_reaches_the_threshold_is_told_and_an_unknown_profit_reaches_none() {
    check(
        json!({"events": ["opened", "closed"], "min_profit": 5}),
        &[
            (Opened, 1, 1_500, None, 0, Err(Reason::BelowThreshold)),
            (Improved, 1, 1_700, Some(499), 0, Err(Reason::BelowThreshold)),
            (Improved, 1, 1_900, Some(500), 0, Ok(())),
            (Improved, 1, 2_100, Some(600), 0, Err(Reason::NotWanted)),
            (Closed, 1, 2_100, Some(600), 0, Ok(())),
        ],
    );
}

#[test]
fn a_rise_is_news_again_only_after_a_fall_below_the_hysteresis_or_a_closing() {
    check(
        json!({"min_profit": 5, "hysteresis": 0.5, "events": ["opened"]}),
        &[
            (Opened, 1, 1_500, Some(510), 0, Ok(())),
            (Updated, 1, 1_500, Some(451), 0, Err(Reason::Update)),
            (Improved, 1, 1_700, Some(520), 0, Err(Reason::NotWanted)),
            (Updated, 1, 1_500, None, 0, Err(Reason::Update)),
            (Improved, 1, 1_700, Some(520), 0, Err(Reason::NotWanted)),
            (Updated, 1, 1_500, Some(449), 0, Err(Reason::Update)),
            (Improved, 1, 1_700, Some(520), 0, Ok(())),
            (Closed, 1, 1_700, Some(520), 0, Err(Reason::NotWanted)),
            (Opened, 2, 1_700, Some(520), 0, Ok(())),
        ],
    );
}

#[test]
fn a_closing_that_was_missed_does_not_hide_the_next_opening() {
    check(json!({}), &[(Opened, 1, 1_500, None, 0, Ok(())), (Opened, 2, 1_500, None, 0, Ok(()))]);
}

#[test]
fn an_older_update_that_comes_again_does_not_rearm() {
    let mut told = Told::by(json!({"min_profit": 5}));
    let mut update = occasion(1, Updated, 1, 1_500, Some(100));
    update.evaluation.revision = 0;
    assert_eq!(told.hears(&occasion(1, Opened, 1, 1_500, Some(600)), NOON), Decision::Send);
    told.hears(&update, NOON);
    assert!(!told.standing.unwrap().armed);
}

#[test]
fn what_comes_within_the_cooldown_is_not_told() {
    check(
        json!({"cooldown": "2h"}),
        &[
            (Opened, 1, 1_500, None, 0, Ok(())),
            (Improved, 1, 1_700, None, 1, Err(Reason::Cooldown)),
            (Improved, 1, 1_900, None, 2, Ok(())),
            (Closed, 1, 1_900, None, 3, Err(Reason::Cooldown)),
            (Opened, 2, 1_900, None, 5, Ok(())),
        ],
    );
}

#[test]
fn a_days_messages_are_counted_by_utc_days() {
    check(
        json!({"daily_cap": 2}),
        &[
            (Opened, 1, 1_500, None, 0, Ok(())),
            (Closed, 1, 1_500, None, 1, Ok(())),
            (Opened, 2, 1_500, None, 11, Err(Reason::DailyCap)),
            // Its opening was not told.
            (Closed, 2, 1_500, None, 11, Err(Reason::NeverTold)),
            (Opened, 3, 1_500, None, 12, Ok(())),
        ],
    );
}

#[test]
fn a_rule_tells_nothing_from_before_it_was_there() {
    let mut told = Told::by(json!({}));
    told.rule.since = NOON.plus_millis(1);
    assert_eq!(
        told.hears(&occasion(1, Opened, 1, 1_500, None), NOON.plus_millis(2)),
        Decision::Suppress(Reason::BeforeRule)
    );
    assert_eq!(told.standing, None);
}

#[test]
fn a_digest_is_due_one_interval_after_its_oldest_alert_and_after_the_one_before() {
    let rule = rule(json!({"digest": "1h"})).rule;
    assert_eq!(digest_due(Some(&rule), NOON, None), NOON.plus_millis(HOUR));
    assert_eq!(digest_due(Some(&rule), NOON, Some(NOON.plus_millis(5))), NOON.plus_millis(HOUR + 5));
    assert_eq!(digest_due(None, NOON, None), NOON);
}

/// Any rule, with thresholds near the numbers of [`events`].
fn any_rule() -> impl Strategy<Value = serde_json::Value> {
    let events = prop::sample::subsequence(vec!["opened", "improved", "closed"], 1..=3);
    (events, prop::option::of(10..20_i64), prop::option::of(3..7_i64), 0..3_i64, 0..6_i64, 1..6_u32).prop_map(
        |(events, margin, profit, hysteresis, cooldown, cap)| {
            json!({"events": events, "min_margin": margin, "min_profit": profit, "hysteresis": hysteresis, "cooldown": format!("{cooldown}h"), "daily_cap": cap})
        },
    )
}

/// Events of two opportunities, in the order in which a detector raises them, with the hours between them.
fn events() -> impl Strategy<Value = Vec<(Occasion, i64)>> {
    let step = (any::<bool>(), 0..4_u8, 900..2_200_i64, prop::option::of(200..800_i64), 0..9_i64);
    prop::collection::vec(step, 1..60).prop_map(|steps| {
        let mut seqs = [0_i64; 2];
        let mut openings = [0_i64; 2];
        let mut is_open = [false; 2];
        let mut hours = 0;
        let mut events = Vec::new();
        for (revision, (other, kind, percentage, profit, passed)) in steps.into_iter().enumerate() {
            let which = usize::from(other);
            hours += passed;
            let kind = match (is_open[which], kind) {
                (false, _) => Opened,
                (true, 0) => Closed,
                (true, 1) => Updated,
                (true, _) => Improved,
            };
            is_open[which] = kind != Closed;
            if kind == Opened {
                openings[which] += 1;
            }
            seqs[which] += i64::from(kind != Updated);
            let mut event = occasion(seqs[which], kind, openings[which], percentage, profit);
            if other {
                event.id = "B0D1XD1ZV3:DE:IT".parse().unwrap();
            }
            event.evaluation.revision = i64::try_from(revision).unwrap();
            events.push((event, hours));
        }
        events
    })
}

/// All that a rule told of events: key, opportunity, kind and instant. Each event comes `times` times.
fn tell(fields: &serde_json::Value, events: &[(Occasion, i64)], times: usize) -> Vec<(String, OpportunityId, EventKind, UnixMillis)> {
    let rule = rule(fields.clone());
    let mut standings = std::collections::BTreeMap::new();
    let mut tally = RuleTally::default();
    let mut told = Vec::new();
    for (event, hours) in events {
        let now = NOON.plus_millis(hours * HOUR);
        for _ in 0..times {
            let verdict = decide(&rule, standings.get(&event.id), &tally, event, now);
            tally = verdict.tally.unwrap_or(tally);
            if let Some(standing) = verdict.standing {
                standings.insert(event.id, standing);
            }
            if matches!(verdict.decision, Decision::Send | Decision::Hold) {
                told.push((delivery_key(&rule.rule.id, event), event.id, event.kind, now));
            }
        }
    }
    told
}

proptest! {
    #[test]
    fn no_day_has_more_messages_than_the_cap_and_no_two_come_within_the_cooldown(fields in any_rule(), events in events()) {
        let told = tell(&fields, &events, 1);
        let rule = rule(fields).rule;
        let mut days = std::collections::BTreeMap::<i64, u32>::new();
        let mut last = std::collections::BTreeMap::<OpportunityId, UnixMillis>::new();
        for (_, id, _, at) in told {
            *days.entry(day_of(at)).or_default() += 1;
            if let Some(before) = last.insert(id, at) {
                prop_assert!(at.millis_since(before) >= rule.cooldown_millis);
            }
        }
        prop_assert!(days.values().all(|&count| count <= rule.daily_cap), "{days:?}");
    }

    #[test]
    fn an_event_that_comes_again_is_told_once(fields in any_rule(), events in events(), times in 1..4_usize) {
        let once = tell(&fields, &events, 1);
        let keys: std::collections::BTreeSet<_> = once.iter().map(|(key, ..)| key.clone()).collect();
        prop_assert_eq!(keys.len(), once.len());
        prop_assert_eq!(tell(&fields, &events, times), once);
    }

    #[test]
    fn a_tail_that_is_read_again_tells_nothing(fields in any_rule(), events in events(), from in 0..60_usize) {
        let from = from.min(events.len());
        let again: Vec<_> = events.iter().chain(&events[from..]).map(|(event, _)| (event.clone(), 0)).collect();
        let first: Vec<_> = events.iter().map(|(event, _)| (event.clone(), 0)).collect();
        prop_assert_eq!(tell(&fields, &again, 1), tell(&fields, &first, 1));
    }

    #[test]
    fn a_digest_collects_whatever_the_cap_is(fields in any_rule(), events in events()) {
        let mut uncapped = fields.clone();
        uncapped["daily_cap"] = json!(1_000);
        let mut collected = fields;
        collected["digest"] = json!("1h");
        prop_assert_eq!(tell(&collected, &events, 1), tell(&uncapped, &events, 1));
    }

    #[test]
    fn numbers_that_flicker_within_the_hysteresis_are_told_once(
        values in prop::collection::vec((any::<bool>(), -99..100_i64, -99..100_i64), 1..40),
    ) {
        // Threshold 15.00 %, profit 5.00, hysteresis 1.00: margin and profit stay nearer than that.
        let fields = json!({"min_margin": 15, "min_profit": 5, "hysteresis": 1, "daily_cap": 1000});
        let mut seq = 0;
        let events: Vec<_> = values
            .into_iter()
            .enumerate()
            .map(|(revision, (is_update, margin, profit))| {
                let kind = if seq == 0 { Opened } else if is_update { Updated } else { Improved };
                seq += i64::from(kind != Updated);
                let mut event = occasion(seq, kind, 1, 1_500 + margin, Some(500 + profit));
                event.evaluation.revision = i64::try_from(revision).unwrap();
                (event, 0)
            })
            .collect();
        prop_assert!(tell(&fields, &events, 1).len() <= 1);
    }

    #[test]
    fn what_reaches_the_thresholds_is_told_unless_something_forbids_it(events in events()) {
        // Nothing forbids: every opening is told.
        let told = tell(&json!({"events": ["opened", "closed"], "daily_cap": 1000}), &events, 1);
        let wanted = events.iter().filter(|(event, _)| matches!(event.kind, Opened | Closed)).count();
        prop_assert_eq!(told.len(), wanted);
    }
}
