//! `count`: a measure over a window.

use crate::engine::alert::{Observed, Reason, Unit};
use crate::engine::firing::ConditionState;
use crate::engine::series::{Measured, SeriesState, Span};
use crate::event::Timestamp;
use crate::rules::program::{Condition, Rung, SeriesIx, Window};

use super::{
    BLANK, Judged, View, enough_accounts, is_upward, level, pane_end_from, pane_end_until, rung, span_ms,
};

pub(super) fn judge(
    view: &mut View<'_>,
    (condition, rungs): (&Condition, &[Rung]),
    (series, window): (SeriesIx, &Window),
    at: Timestamp,
) -> Judged {
    let upward = is_upward(rungs);
    let (span, bounds) = match window {
        Window::Days { days } => over_days(view, (series, *days), (upward, at)),
        _ => (view.sliding(upward, at), (at.plus(-span_ms(window)), at)),
    };
    let measured = view.measured(series, window, span);
    let accounts = view.accounts(series, window, (span, &measured));
    let known = view.known(series, &measured);
    let (value, cap) = level::share(view, condition, known);
    let number = value.map_or(0, |value| rung(rungs, value));
    let reached = number > 0;
    let mut guard = None;
    if reached && !upward {
        guard = view.unknown_at(series, window, bounds.0);
    }
    let enough = enough_events(condition, &measured) && enough_accounts(condition, accounts);
    if reached && guard.is_none() && !(enough && enough_days(view, condition, series, &measured)) {
        guard = Some(Reason::NotSignificant);
    }
    let unit = view.measure_unit(series);
    let onset = match measured.first_day {
        Some(day) => {
            let zone = view.series_zone(series);
            Some(view.calendar.midnight(zone, day))
        }
        None => measured.first,
    };
    let observed = Observed {
        guard,
        value,
        unit: if cap.is_some() { Unit::Share } else { unit },
        measure_unit: unit,
        current: cap.and(known),
        previous: cap,
        rung: number,
        onset: if upward { onset } else { Some(bounds.0) },
        events: Some(measured.events),
        accounts,
        window: Some(bounds),
        ..BLANK
    };
    Judged { reached, observed }
}

fn over_days(
    view: &mut View<'_>,
    (series, days): (SeriesIx, u16),
    (upward, at): (bool, Timestamp),
) -> (Span, (Timestamp, Timestamp)) {
    let zone = view.series_zone(series);
    let today = view.calendar.day_of(zone, at);
    let length = i32::from(days);
    if upward {
        let from = view.calendar.midnight(zone, today - length + 1);
        return (Span::DaysSoFar { today }, (from, at));
    }
    let bounds = (view.calendar.midnight(zone, today - length), view.calendar.midnight(zone, today));
    (Span::DaysComplete { last_complete_day: today - 1, days }, bounds)
}

/// Guard `min_events`: what a share or mean is of.
pub(super) fn enough_events(condition: &Condition, measured: &Measured) -> bool {
    condition.guards.min_events.is_none_or(|bound| measured.events >= u64::from(bound))
}

/// Guard `min_days`.
fn enough_days(view: &mut View<'_>, condition: &Condition, series: SeriesIx, measured: &Measured) -> bool {
    let Some(bound) = condition.guards.min_days else { return true };
    let days = match (measured.oldest, measured.last) {
        (Some(oldest), Some(last)) => {
            let zone = view.series_zone(series);
            let days = [oldest, last].map(|time| view.calendar.day_of(zone, time));
            1 + u32::from(days[0] != days[1])
        }
        _ => measured.days,
    };
    days >= bound
}

pub(super) fn next_mark(
    view: &mut View<'_>,
    condition: &Condition,
    (series, window): (SeriesIx, &Window),
    (state, holds, after): (ConditionState, bool, Timestamp),
) -> Option<Timestamp> {
    let upward = is_upward(condition.detector.rungs());
    if upward && !holds {
        return None;
    }
    // A late event made it true for a time that the watermark has passed: it is judged again at the next opportunity.
    let stale = upward && state.since.is_some() && !holds_at(view, condition, (series, window), after);
    if let Window::Days { days } = window {
        return view
            .midnight_while_seen(series, (window, *days), after)
            .or_else(|| stale.then(|| view.midnight_after(series, after)));
    }
    let next_end = pane_end_from(window, after.plus(1));
    if stale {
        return next_end;
    }
    let (shape, state) = view.series(series);
    let state = state?;
    // What left since the last pane end is judged at the next one, whenever that is asked.
    let since = pane_end_until(window, after);
    let at = if upward { since.max(state.newest().unwrap_or(since)) } else { after };
    let change =
        state.next_change(shape, window, if upward { Span::UpTo(at) } else { Span::EndingAt(at) })?;
    pane_end_from(window, change.max(after.plus(1)))
}

/// Whether an upward count holds at the later of its newest match and the watermark.
fn holds_at(
    view: &mut View<'_>,
    condition: &Condition,
    (series, window): (SeriesIx, &Window),
    after: Timestamp,
) -> bool {
    let newest = view.series(series).1.and_then(SeriesState::newest);
    let at = newest.map_or(after, |newest| newest.max(after));
    let judged = judge(view, (condition, condition.detector.rungs()), (series, window), at);
    judged.reached && judged.observed.guard.is_none()
}
