//! What a rule makes of an event: a pure decision over what the rule told before. Time is an argument.
//!
//! Laws, shown by property tests:
//! - A message never goes beyond the rule's daily cap, and never comes within its cooldown after another of the same
//!   opportunity.
//! - Numbers that flicker around a threshold by less than the hysteresis are told once. They are news again after they fell
//!   further below, or after the opportunity closed.
//! - An event that comes again is decided as it was: nothing is told twice.

use shared::domain::alert::{Figures, Rule, RuleId, Wanted};
use shared::domain::assessment::TrapReason;
use shared::domain::opportunity::{Evaluation, EventKind};
use shared::domain::{OpportunityId, UnixMillis};
use shared::wire::OpportunityEvent;
use shared::wire::alert::{RuleTally, Standing, Told};

const DAY: i64 = 24 * 60 * 60 * 1_000;

/// What happened to an opportunity, as far as decisions go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Occasion {
    pub(crate) id: OpportunityId,
    /// The event's number; of an update, that of the event before it.
    pub(crate) seq: i64,
    pub(crate) kind: EventKind,
    pub(crate) at: UnixMillis,
    pub(crate) opened_at: UnixMillis,
    pub(crate) evaluation: Evaluation,
    pub(crate) figures: Figures,
    /// Each once.
    pub(crate) traps: Vec<TrapReason>,
    pub(crate) brand_key: Option<String>,
    pub(crate) category_key: Option<String>,
}

impl Occasion {
    pub(crate) fn of(event: &OpportunityEvent) -> Occasion {
        let opportunity = &event.opportunity;
        let net = opportunity.net.as_ref();
        let assessment = opportunity.assessment.as_ref();
        let mut traps: Vec<TrapReason> = assessment.iter().flat_map(|found| &found.traps).map(|trap| trap.reason).collect();
        // Both legs may show the same one; they stand in the order of the reasons.
        traps.dedup();
        Occasion {
            id: opportunity.id,
            seq: opportunity.event_seq,
            kind: event.event,
            at: event.at,
            opened_at: opportunity.opened_at,
            evaluation: opportunity.evaluation,
            figures: Figures {
                margin: opportunity.margin.minor,
                margin_percentage: opportunity.margin_percentage,
                profit: net.map(|net| net.profit),
                roi: net.and_then(|net| net.roi),
                buffer: net.and_then(|net| net.buffer),
                confidence: assessment.map(|assessment| assessment.confidence),
            },
            traps,
            brand_key: opportunity.brand_key.clone(),
            category_key: opportunity.category_key.clone(),
        }
    }
}

/// Why nothing is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reason {
    /// An update, which raises no alert.
    Update,
    /// It was decided before.
    Repeated,
    /// It happened before there was the rule.
    BeforeRule,
    /// The rule is about other routes, brands or categories.
    NotCovered,
    /// The rule does not want this kind of event.
    NotWanted,
    /// A threshold is not reached.
    BelowThreshold,
    /// It shows a trap that the rule does not put up with.
    Trapped,
    /// The numbers did not change enough since it was told.
    Flicker,
    /// It closed, and its opening was not told.
    NeverTold,
    /// Too soon after the last message about this opportunity.
    Cooldown,
    /// The day's messages are used up.
    DailyCap,
}

impl Reason {
    /// The label of the metric.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Reason::Update => "update",
            Reason::Repeated => "repeated",
            Reason::BeforeRule => "before_rule",
            Reason::NotCovered => "not_covered",
            Reason::NotWanted => "not_wanted",
            Reason::BelowThreshold => "below_threshold",
            Reason::Trapped => "trapped",
            Reason::Flicker => "flicker",
            Reason::NeverTold => "never_told",
            Reason::Cooldown => "cooldown",
            Reason::DailyCap => "daily_cap",
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Tell at once.
    Send,
    /// Keep it for the next digest.
    Hold,
    /// Tell nothing.
    Suppress(Reason),
}

/// A decision with what is to be remembered of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) decision: Decision,
    /// None: as it was.
    pub(crate) standing: Option<Standing>,
    /// None: as it was.
    pub(crate) tally: Option<RuleTally>,
}

/// A rule and the instant from which on it tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RuleInForce {
    pub(crate) rule: Rule,
    pub(crate) since: UnixMillis,
}

/// The idempotency key of what a rule tells of an event.
pub(crate) fn delivery_key(rule: &RuleId, occasion: &Occasion) -> String {
    format!("{}.{}", standing_key(rule, &occasion.id), occasion.seq)
}

/// The id of a rule's standing towards an opportunity.
pub(crate) fn standing_key(rule: &RuleId, id: &OpportunityId) -> String {
    format!("{rule}.{}.{}.{}", id.asin, id.source, id.target)
}

/// The day an instant lies in, UTC.
pub(crate) fn day_of(now: UnixMillis) -> i64 {
    now.0.div_euclid(DAY)
}

/// Counts a message, once however often it is asked; `None` where the day's messages are used up.
pub(crate) fn count(rule: &Rule, tally: &RuleTally, key: &str, now: UnixMillis) -> Option<RuleTally> {
    let mut tally = tally.clone();
    let day = day_of(now);
    if tally.day != day {
        tally.day = day;
        tally.sent.clear();
    }
    if !tally.sent.contains(key) {
        if tally.sent.len() >= usize::try_from(rule.daily_cap).unwrap_or(usize::MAX) {
            return None;
        }
        tally.sent.insert(key.to_owned());
    }
    Some(tally)
}

/// Whether the rule looks at it at all: if not, nothing has to be read for it.
pub(crate) fn concerns(rule: &RuleInForce, occasion: &Occasion) -> Result<(), Reason> {
    if occasion.at < rule.since && occasion.kind != EventKind::Updated {
        return Err(Reason::BeforeRule);
    }
    let covered = rule.rule.covers(
        occasion.id.source,
        occasion.id.target,
        occasion.brand_key.as_deref(),
        occasion.category_key.as_deref(),
    );
    if covered { Ok(()) } else { Err(Reason::NotCovered) }
}

/// Decides. `standing` is what is remembered of this rule and this opportunity, `tally` of the rule.
pub(crate) fn decide(rule: &RuleInForce, standing: Option<&Standing>, tally: &RuleTally, occasion: &Occasion, now: UnixMillis) -> Verdict {
    let nothing = |reason, standing| Verdict {
        decision: Decision::Suppress(reason),
        standing,
        tally: None,
    };
    if let Err(reason) = concerns(rule, occasion) {
        return nothing(reason, None);
    }
    let rule = &rule.rule;
    let Some(wanted) = Wanted::of(occasion.kind) else {
        return nothing(Reason::Update, standing.and_then(|standing| after_update(rule, standing, occasion)));
    };
    if standing.is_some_and(|standing| occasion.seq <= standing.decided_seq) {
        return nothing(Reason::Repeated, None);
    }

    let same_opening = standing.filter(|standing| standing.opened_at == occasion.opened_at);
    let mut next = Standing {
        decided_seq: occasion.seq,
        opened_at: occasion.opened_at,
        evaluation: occasion.evaluation,
        // A new opening is news whatever was told of an earlier one.
        armed: same_opening.is_none_or(|standing| standing.armed) || rule.is_left(&occasion.figures),
        told_in_opening: same_opening.is_some_and(|standing| standing.told_in_opening),
        told: standing.and_then(|standing| standing.told.clone()),
    };
    let is_told = next.told_in_opening;
    if wanted == Wanted::Closed {
        next.armed = true;
        next.told_in_opening = false;
    }
    if let Err(reason) = is_news(rule, wanted, &next, is_told, occasion) {
        // What was never remembered and is no news need not be: the next event finds the same.
        return nothing(reason, standing.is_some().then_some(next));
    }
    let last_told_at = next.told.as_ref().map(|told| told.at);
    if last_told_at.is_some_and(|at| rule.cooldown_millis > 0 && now.millis_since(at) < rule.cooldown_millis) {
        return nothing(Reason::Cooldown, Some(next));
    }
    let counted = if rule.digest_millis.is_some() {
        // A digest counts when it is closed.
        None
    } else {
        match count(rule, tally, &delivery_key(&rule.id, occasion), now) {
            Some(counted) => Some(counted),
            None => return nothing(Reason::DailyCap, Some(next)),
        }
    };
    next.told = Some(Told {
        event: occasion.kind,
        at: now,
        figures: occasion.figures,
    });
    if wanted != Wanted::Closed {
        next.armed = false;
        next.told_in_opening = true;
    }
    Verdict {
        decision: if counted.is_some() { Decision::Send } else { Decision::Hold },
        standing: Some(next),
        tally: counted.filter(|counted| counted != tally),
    }
}

fn is_news(rule: &Rule, wanted: Wanted, next: &Standing, told_in_opening: bool, occasion: &Occasion) -> Result<(), Reason> {
    let figures = &occasion.figures;
    if wanted == Wanted::Closed {
        if !rule.events.contains(&Wanted::Closed) {
            return Err(Reason::NotWanted);
        }
        // Who wants to hear of closings only hears of those that had reached the thresholds.
        let wants_others = rule.events.len() > 1;
        let is_known = told_in_opening || (!wants_others && rule.is_reached(figures) && !rule.is_kept_from(&occasion.traps));
        return if is_known { Ok(()) } else { Err(Reason::NeverTold) };
    }
    if !rule.is_reached(figures) {
        return Err(Reason::BelowThreshold);
    }
    if rule.is_kept_from(&occasion.traps) {
        return Err(Reason::Trapped);
    }
    if next.armed {
        // An improvement that first reaches the thresholds is, for the rule, an opening.
        let is_wanted = rule.events.contains(&wanted) || rule.events.contains(&Wanted::Opened);
        return if is_wanted { Ok(()) } else { Err(Reason::NotWanted) };
    }
    if !rule.events.contains(&wanted) {
        return Err(Reason::NotWanted);
    }
    let least = rule.hysteresis.max(1);
    let has_grown = next
        .told
        .as_ref()
        .is_none_or(|told| figures.margin_percentage.0.saturating_sub(told.figures.margin_percentage.0) >= least);
    if has_grown { Ok(()) } else { Err(Reason::Flicker) }
}

/// An update tells nothing, but numbers that fell far enough make the next rise news. One that is older than what was seen
/// says nothing of the present.
fn after_update(rule: &Rule, standing: &Standing, occasion: &Occasion) -> Option<Standing> {
    let is_newer = occasion.opened_at == standing.opened_at && occasion.evaluation > standing.evaluation;
    let rearms = is_newer && !standing.armed && rule.is_left(&occasion.figures);
    rearms.then(|| Standing {
        armed: true,
        evaluation: occasion.evaluation,
        ..standing.clone()
    })
}

/// When the digest is due whose oldest alert was held at `oldest`, after one was closed at `closed`; at once for a rule that
/// collects no longer.
pub(crate) fn digest_due(rule: Option<&Rule>, oldest: UnixMillis, closed: Option<UnixMillis>) -> UnixMillis {
    let interval = rule.and_then(|rule| rule.digest_millis).unwrap_or(0);
    closed.map_or(oldest, |closed| oldest.max(closed)).plus_millis(interval)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
