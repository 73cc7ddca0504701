//! `compare`: a window against the one before.

use crate::engine::alert::{Observed, Reason, Unit};
use crate::engine::number::Exact;
use crate::engine::series::{Measured, Span};
use crate::engine::significance::{self, Tail};
use crate::event::Timestamp;
use crate::rules::program::{Condition, Detector, Rung, SeriesIx, Window};

use super::{BLANK, Judged, View, at_least, is_upward, pane_end_from, rung, span_ms};

/// Both windows: their measures and bounds.
struct Pair {
    current: Measured,
    previous: Measured,
    window: (Timestamp, Timestamp),
    baseline: (Timestamp, Timestamp),
}

fn parts(condition: &Condition) -> (&[Rung], bool) {
    match &condition.detector {
        Detector::Compare { rungs, difference, .. } => (rungs, *difference),
        _ => (&[], false),
    }
}

pub(super) fn judge(
    view: &mut View<'_>,
    condition: &Condition,
    (series, window): (SeriesIx, &Window),
    at: Timestamp,
) -> Judged {
    let (rungs, difference) = parts(condition);
    let pair = pair(view, (series, window), is_upward(rungs), at);
    let (current, previous) = (pair.current.value, pair.previous.value);
    let gap = current.minus(previous);
    let one = Exact { num: previous.den, den: previous.den };
    let base = if previous.order(one).is_lt() { one } else { previous };
    let value = if difference { Some(gap) } else { gap.over(base) };
    let number = value.map_or(0, |value| rung(rungs, value));
    let reached = number > 0;
    let mut guard = None;
    if reached {
        let from = pair.baseline.0;
        let end = match window {
            Window::Days { .. } => {
                let zone = view.series_zone(series);
                let day = view.calendar.day_of(zone, from);
                Some(view.calendar.midnight(zone, day + 1))
            }
            _ => pane_end_from(window, from.plus(1)),
        };
        guard = view.unknown_before(series, from, |since| end.is_some_and(|end| since < end));
    }
    let p_value = p_value(condition, rungs, &pair);
    if reached && guard.is_none() && !significant(condition, &pair, gap, p_value) {
        guard = Some(Reason::NotSignificant);
    }
    let unit = view.measure_unit(series);
    let observed = Observed {
        guard,
        value,
        unit: if difference { unit } else { Unit::Share },
        rung: number,
        onset: Some(pair.window.0),
        events: Some(pair.current.events),
        accounts: Some(u64::from(pair.current.events > 0)),
        current: Some(current),
        previous: Some(previous),
        measure_unit: unit,
        p_value,
        window: Some(pair.window),
        baseline_window: Some(pair.baseline),
        ..BLANK
    };
    Judged { reached, observed }
}

fn pair(view: &mut View<'_>, (series, window): (SeriesIx, &Window), upward: bool, at: Timestamp) -> Pair {
    if let Window::Days { days } = window {
        let zone = view.series_zone(series);
        let (today, length) = (view.calendar.day_of(zone, at), i32::from(*days));
        let bounds = [today - 2 * length, today - length, today].map(|day| view.calendar.midnight(zone, day));
        let span = |last_complete_day| Span::DaysComplete { last_complete_day, days: *days };
        return Pair {
            current: view.measured(series, window, span(today - 1)),
            previous: view.measured(series, window, span(today - 1 - length)),
            window: (bounds[1], bounds[2]),
            baseline: (bounds[0], bounds[1]),
        };
    }
    let before = at.plus(-span_ms(window));
    Pair {
        current: view.measured(series, window, view.sliding(upward, at)),
        previous: view.measured(series, window, view.sliding(upward, before)),
        window: (before, at),
        baseline: (before.plus(-span_ms(window)), before),
    }
}

/// The p-value of the guard `significance`, if the rule has it.
fn p_value(condition: &Condition, rungs: &[Rung], pair: &Pair) -> Option<f64> {
    condition.guards.significance?;
    let spread = pair.previous.spread.filter(|_| condition.guards.own_dispersion);
    let dispersion = spread.as_ref().map_or(1.0, significance::dispersion);
    let tail = if is_upward(rungs) { Tail::Upper } else { Tail::Lower };
    Some(significance::p_value(pair.current.events, pair.previous.events, dispersion, tail))
}

fn significant(condition: &Condition, pair: &Pair, gap: Exact, p_value: Option<f64>) -> bool {
    let guards = &condition.guards;
    let p = match (guards.significance, p_value) {
        (Some(bound), Some(p)) => p <= bound.to_f64(),
        _ => true,
    };
    let size = if gap.num < 0 { Exact { num: -gap.num, den: gap.den } } else { gap };
    let days = guards.min_days.is_none_or(|bound| pair.current.days >= bound);
    let accounts = guards.min_accounts.is_none_or(|bound| bound <= u32::from(pair.current.events > 0));
    p && days
        && accounts
        && at_least(pair.current.value, guards.min_current)
        && at_least(pair.previous.value, guards.min_previous)
        && at_least(size, guards.min_difference)
}

pub(super) fn next_mark(
    view: &mut View<'_>,
    (series, window): (SeriesIx, &Window),
    after: Timestamp,
) -> Option<Timestamp> {
    if let Window::Days { days } = window {
        return view.midnight_while_seen(series, (window, days.saturating_mul(2)), after);
    }
    let (_, state) = view.series(series);
    let newest = state?.newest()?;
    // Both windows are past the newest match: nothing changes any more.
    if newest.plus(2 * span_ms(window)) < after {
        return None;
    }
    pane_end_from(window, after.plus(1))
}
