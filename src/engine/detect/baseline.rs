//! `compare` against the baseline: a count against the own usual for these hours of the week (`detectors.md` §3.2).

use crate::engine::alert::{Observed, Reason, Unit};
use crate::engine::number::Exact;
use crate::engine::series::{Expected, SeriesState, Span};
use crate::engine::tails::upper_tail;
use crate::event::Timestamp;
use crate::rules::program::{Condition, SeriesIx, Window};

use super::{BLANK, Judged, View, at_least, enough_accounts, pane_end_from, pane_end_until, rung, span_ms};

/// A row younger than this has no usual.
const HISTORY_MS: i64 = 14 * 86_400_000;
/// What is expected is compared in these.
const PARTS: i128 = 1 << 32;

pub(super) fn judge(
    view: &mut View<'_>,
    condition: &Condition,
    (series, window): (SeriesIx, &Window),
    at: Timestamp,
) -> Judged {
    let bounds = (at.plus(-span_ms(window)), at);
    let Some(expected) = expected(view, series, bounds) else {
        return Judged { reached: false, observed: BLANK };
    };
    let measured = view.measured(series, window, Span::UpTo(at));
    let accounts = view.accounts(series, window, (Span::UpTo(at), &measured));
    let (current, usual) = (measured.value, in_parts(expected.mean));
    let value = current.minus(usual).over(usual);
    let number = value.map_or(0, |value| rung(condition.detector.rungs(), value));
    let reached = number > 0;
    let p_value = upper_tail(measured.events, expected.mean, expected.variance);
    let guards = &condition.guards;
    let significant = guards.significance.is_none_or(|bound| p_value <= bound.to_f64())
        && at_least(current, guards.min_current)
        && enough_accounts(condition, accounts);
    let mut guard = None;
    if reached {
        guard = unknown(view, series, at).or((!significant).then_some(Reason::NotSignificant));
    }
    let observed = Observed {
        guard,
        value,
        unit: Unit::Share,
        rung: number,
        onset: Some(bounds.0),
        events: Some(measured.events),
        accounts,
        current: Some(current),
        previous: Some(usual),
        measure_unit: Unit::Count,
        p_value: Some(p_value),
        window: Some(bounds),
        ..BLANK
    };
    Judged { reached, observed }
}

/// A mean as a fraction, never zero.
fn in_parts(mean: f64) -> Exact {
    #[expect(clippy::cast_possible_truncation, reason = "casts saturate")]
    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    let parts = libm::round(mean * PARTS as f64) as i128;
    Exact { num: parts.max(1), den: PARTS }
}

/// What is usual for a stretch of time, all hours folded that the watermark has passed.
fn expected(view: &mut View<'_>, series: SeriesIx, bounds: (Timestamp, Timestamp)) -> Option<Expected> {
    let (plan, row, until) = (view.plan, view.row, view.watermark);
    let own = &plan.program.series[usize::from(series.0)];
    let first = row.first_event()?.max(began(view, series));
    let zone = view.zone(&own.zone);
    let calendar = &mut *view.calendar;
    let profile = row.series(own.key)?.profile((first, until), |time| calendar.hour_at(zone, time))?;
    Some(profile.expected(bounds, &mut |time| calendar.hour_at(zone, time)))
}

fn began(view: &View<'_>, series: SeriesIx) -> Timestamp {
    view.ages.get(&view.series(series).0.key).map_or(Timestamp::MIN, |age| age.began)
}

/// Whether too little was seen to know what is usual.
fn unknown(view: &View<'_>, series: SeriesIx, at: Timestamp) -> Option<Reason> {
    let from = at.plus(-HISTORY_MS);
    if began(view, series) > from {
        return Some(Reason::Warming);
    }
    let known = view.row.first_event().is_some_and(|first| first <= from);
    if known { None } else { Some(Reason::InsufficientHistory) }
}

/// While it holds it is looked at with every pane; growth begins with an event.
pub(super) fn next_mark(
    view: &View<'_>,
    (series, window): (SeriesIx, &Window),
    (holds, after): (bool, Timestamp),
) -> Option<Timestamp> {
    let newest = view.series(series).1.and_then(SeriesState::newest)?;
    let seen = holds && newest.plus(2 * span_ms(window)) >= pane_end_until(window, after);
    if seen { pane_end_from(window, after.plus(1)) } else { None }
}
