//! `compare`: a window against the one before.

use crate::engine::alert::{Observed, Reason, Unit};
use crate::engine::firing::ConditionState;
use crate::engine::number::Exact;
use crate::engine::series::{Measured, Span};
use crate::engine::significance::{self, Tail};
use crate::event::Timestamp;
use crate::rules::program::{Condition, Detector, Measure, Rung, SeriesIx, Window};

use super::count::enough_events;
use super::{
    BLANK, Judged, View, at_least, enough_accounts, is_upward, pane_end_from, pane_end_until, rung, span_ms,
};

/// Both windows: their measures and bounds.
struct Pair {
    current: Measured,
    /// The accounts of the current window.
    accounts: Option<u64>,
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
    let (current, previous) = (view.known(series, &pair.current), view.known(series, &pair.previous));
    let gap = current.zip(previous).map(|(current, previous)| current.minus(previous));
    let value = if difference {
        gap
    } else {
        gap.zip(previous).and_then(|(gap, previous)| gap.over(base(view, series, previous)))
    };
    let number = value.map_or(0, |value| rung(rungs, value));
    let reached = number > 0;
    let mut guard = None;
    if reached {
        guard = view.unknown_at(series, window, pair.baseline.0);
    }
    let p_value = p_value(condition, rungs, &pair);
    let gap = gap.unwrap_or(Exact::whole(0));
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
        accounts: pair.accounts,
        current,
        previous,
        measure_unit: unit,
        p_value,
        window: Some(pair.window),
        baseline_window: Some(pair.baseline),
        ..BLANK
    };
    Judged { reached, observed }
}

/// What a change is a share of: counts and sums have a floor of 1, what is relative itself has none.
fn base(view: &View<'_>, series: SeriesIx, previous: Exact) -> Exact {
    let measure = &view.series(series).0.measure;
    let relative = matches!(measure, Measure::Mean(_) | Measure::ShareOf(_) | Measure::Known(_));
    let one = Exact { num: previous.den, den: previous.den };
    if !relative && previous.order(one).is_lt() { one } else { previous }
}

fn pair(view: &mut View<'_>, (series, window): (SeriesIx, &Window), upward: bool, at: Timestamp) -> Pair {
    if let Window::Days { days } = window {
        let zone = view.series_zone(series);
        let (today, length) = (view.calendar.day_of(zone, at), i32::from(*days));
        let bounds = [today - 2 * length, today - length, today].map(|day| view.calendar.midnight(zone, day));
        let span = |last_complete_day| Span::DaysComplete { last_complete_day, days: *days };
        let current = view.measured(series, window, span(today - 1));
        return Pair {
            accounts: view.accounts(series, window, (span(today - 1), &current)),
            current,
            previous: view.measured(series, window, span(today - 1 - length)),
            window: (bounds[1], bounds[2]),
            baseline: (bounds[0], bounds[1]),
        };
    }
    let before = at.plus(-span_ms(window));
    let span = view.sliding(upward, at);
    let current = view.measured(series, window, span);
    Pair {
        accounts: view.accounts(series, window, (span, &current)),
        current,
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
    p && days
        && enough_accounts(condition, pair.accounts)
        && enough_events(condition, &pair.current)
        && enough_events(condition, &pair.previous)
        && at_least(pair.current.value, guards.min_current)
        && at_least(pair.previous.value, guards.min_previous)
        && at_least(size, guards.min_difference)
}

pub(super) fn next_mark(
    view: &mut View<'_>,
    condition: &Condition,
    (series, window): (SeriesIx, &Window),
    (state, after): (ConditionState, Timestamp),
) -> Option<Timestamp> {
    if let Window::Days { days } = window {
        return view.midnight_while_seen(series, (window, days.saturating_mul(2)), after);
    }
    let newest = view.series(series).1?.newest()?;
    // Both windows are past the newest match: nothing changes any more, unless it came late and made true what is not now.
    let since = pane_end_until(window, after);
    let is_past = newest.plus(2 * span_ms(window)) < since;
    if is_past && (state.since.is_none() || judge(view, condition, (series, window), since).reached) {
        return None;
    }
    pane_end_from(window, after.plus(1))
}
