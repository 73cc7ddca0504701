//! Conditions that count as one: nested `all` and `any`, and a whole `when` that has a `for` (`rules.md` §7).
//!
//! Their states and what is observed of them stand behind those of the conditions: each group's, then that of the whole.

use crate::event::Timestamp;
use crate::rules::program::{Combine, Part, Rule};

use super::alert::{Observed, Reason};
use super::detect::BLANK;
use super::firing::{ConditionState, Episode};

/// Since when a state holds with its `for`.
fn held_since(state: &ConditionState, for_ms: i64) -> Option<Timestamp> {
    state.since.filter(|_| state.held).map(|since| since.plus(for_ms))
}

/// The time from which all hold, or one does.
fn joined(combine: Combine, mut each: impl Iterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
    match combine {
        Combine::Any => each.flatten().min(),
        Combine::One | Combine::All => each.try_fold(None, |all, own| own.map(|own| all.max(Some(own))))?,
    }
}

fn settle(state: &mut ConditionState, since: Option<Timestamp>, (for_ms, clock): (i64, Timestamp)) {
    state.since = since.map(|since| state.since.unwrap_or(since));
    state.held = state.since.is_some_and(|since| for_ms == 0 || since.plus(for_ms) <= clock);
}

/// Remembers since when each group holds, and the whole, once its conditions are settled.
pub fn settle_groups(rule: &Rule, episode: &mut Episode, clock: Timestamp) {
    if !rule.is_grouped() {
        return;
    }
    let behind = rule.conditions.len();
    let of = |states: &[ConditionState], place: usize| {
        held_since(states.get(place)?, rule.conditions.get(place)?.for_ms)
    };
    episode.conditions.resize_with(rule.states(), Default::default);
    for (place, group) in rule.groups.iter().enumerate() {
        let since = joined(group.combine, group.places().map(|own| of(&episode.conditions, own)));
        settle(&mut episode.conditions[behind + place], since, (group.for_ms, clock));
    }
    let parts = rule.parts().map(|part| match part {
        Part::Condition(place) => of(&episode.conditions, place),
        Part::Group(place) => held_since(&episode.conditions[behind + place], rule.groups[place].for_ms),
    });
    let since = joined(rule.combine, parts);
    settle(&mut episode.conditions[behind + rule.groups.len()], since, (rule.for_ms, clock));
}

/// What is seen of parts that are joined.
fn join(combine: Combine, parts: &[&Observed], is_held: bool) -> Observed {
    let onsets = parts.iter().filter(|own| own.met || combine != Combine::Any).filter_map(|own| own.onset);
    let onset = if combine == Combine::Any { onsets.min() } else { onsets.max() };
    Observed {
        met: combine.is_true(parts.iter().map(|own| own.met)) && is_held,
        guard: guard(combine, parts),
        onset,
        ..BLANK
    }
}

/// The guard that fails, if that keeps parts from counting: of `all` the first, of `any` only if none is met.
fn guard(combine: Combine, parts: &[&Observed]) -> Option<Reason> {
    match combine {
        Combine::Any if parts.iter().any(|own| own.met) => None,
        _ => parts.iter().filter_map(|own| own.guard).min(),
    }
}

/// Appends what is seen of each group, and of the whole.
pub fn observe_groups(rule: &Rule, episode: &Episode, observed: &mut Vec<Observed>) {
    if !rule.is_grouped() || observed.len() != rule.conditions.len() {
        return;
    }
    let is_held = |place: usize| episode.conditions.get(place).is_some_and(|state| state.held);
    for (place, group) in rule.groups.iter().enumerate() {
        let members: Vec<&Observed> = group.places().filter_map(|own| observed.get(own)).collect();
        let seen = join(group.combine, &members, is_held(rule.conditions.len() + place));
        observed.push(seen);
    }
    let whole = join(rule.combine, &parts(rule, observed), is_held(observed.len()));
    observed.push(whole);
}

fn parts<'o>(rule: &Rule, observed: &'o [Observed]) -> Vec<&'o Observed> {
    let place = |part: Part| match part {
        Part::Condition(place) => place,
        Part::Group(place) => rule.conditions.len() + place,
    };
    rule.parts().filter_map(|part| observed.get(place(part))).collect()
}

/// The guard that keeps `when` from counting.
pub fn failing_guard(rule: &Rule, observed: &[Observed]) -> Option<Reason> {
    guard(rule.combine, &parts(rule, observed))
}

/// The times at which what waits for its `for` may have held that long.
pub fn marks(rule: &Rule, episode: &Episode) -> Vec<Timestamp> {
    let fors = rule.groups.iter().map(|group| group.for_ms).chain([rule.for_ms]);
    let states = episode.conditions.iter().skip(rule.conditions.len());
    let waiting = states.zip(fors).filter(|(state, for_ms)| !state.held && *for_ms > 0);
    waiting.filter_map(|(state, for_ms)| Some(state.since?.plus(for_ms))).collect()
}
