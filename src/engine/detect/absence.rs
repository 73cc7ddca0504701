//! `absence`: no match for that long.

use crate::engine::alert::{Observed, Reason, Unit};
use crate::engine::firing::ConditionState;
use crate::engine::matches::find;
use crate::engine::number::Exact;
use crate::event::{Timestamp, Value};
use crate::rules::program::{Condition, CountAs, Detector, Rung, SeriesIx};

use super::{BLANK, Judged, View, rung};

const DAY_MS: i64 = 86_400_000;

/// The parts of an absence.
fn parts(condition: &Condition) -> (&[Rung], CountAs, Option<crate::event::Field>) {
    match &condition.detector {
        Detector::Absence { rungs, count_as, arm, .. } => (rungs, *count_as, *arm),
        _ => (&[], CountAs::Elapsed, None),
    }
}

/// Last match and the time from which it counts; `None` while nothing is awaited.
fn base(
    view: &View<'_>,
    condition: &Condition,
    series: SeriesIx,
    state: ConditionState,
) -> Option<(Option<Timestamp>, Timestamp)> {
    let (shape, counted) = view.series(series);
    let last = counted.and_then(crate::engine::series::SeriesState::newest);
    if state.anchor.is_some_and(|until| last.is_none_or(|last| last <= until)) {
        return None;
    }
    let began = view.ages.get(&shape.key).map_or(Timestamp::MIN, |age| age.began);
    let armed = parts(condition).2.and_then(|field| match find(view.profile, field) {
        Some(Value::Time(time)) => Some((*time).max(began)),
        Some(Value::Date(day)) => Some(Timestamp(i64::from(*day) * DAY_MS).max(began)),
        _ => None,
    });
    Some((last, last.max(armed)?))
}

pub(super) fn judge(
    view: &mut View<'_>,
    condition: &Condition,
    series: SeriesIx,
    state: ConditionState,
    at: Timestamp,
) -> Judged {
    let (rungs, count_as, _) = parts(condition);
    let Some((last, from)) = base(view, condition, series, state) else {
        return Judged { reached: false, observed: BLANK };
    };
    let elapsed = at.since(from);
    let (value, unit) = match count_as {
        CountAs::Elapsed => (elapsed, Unit::Ms),
        CountAs::CalendarDays | CountAs::BusinessDays => {
            let zone = view.series_zone(series);
            let days = view.calendar.day_of(zone, at) - view.calendar.day_of(zone, from) - 1;
            (i64::from(days.max(0)), Unit::Days)
        }
    };
    let number = rung(rungs, Exact::whole(value));
    let for_ms = rungs.first().map_or(0, |rung| limit_ms(rung, count_as));
    let usual = view.series(series).1.and_then(|counted| counted.usual_gap_ms(for_ms));
    let unusual = match (condition.guards.usual_gap, usual) {
        (Some(times), Some(usual)) => {
            let needed = i128::from(times.mantissa) * i128::from(usual);
            i128::from(elapsed) * 10_i128.pow(u32::from(times.scale)) >= needed
        }
        _ => true,
    };
    let reached = number > 0;
    let observed = Observed {
        guard: if reached && !unusual { Some(Reason::NotSignificant) } else { None },
        value: Some(Exact::whole(value)),
        unit,
        measure_unit: unit,
        rung: number,
        onset: Some(from),
        elapsed_ms: Some(elapsed),
        last_seen: last,
        usual_gap_ms: usual,
        window: Some((from, at.max(from))),
        ..BLANK
    };
    Judged { reached, observed }
}

/// A rung's limit, ms.
fn limit_ms(rung: &Rung, count_as: CountAs) -> i64 {
    let whole = rung.limit.mantissa / 10_i64.pow(u32::from(rung.limit.scale));
    if count_as == CountAs::Elapsed { whole } else { whole.saturating_mul(DAY_MS) }
}

pub(super) fn next_mark(
    view: &mut View<'_>,
    condition: &Condition,
    series: SeriesIx,
    (state, holds): (ConditionState, bool),
    after: Timestamp,
) -> Option<Timestamp> {
    let (rungs, count_as, _) = parts(condition);
    let (_, from) = base(view, condition, series, state)?;
    let zone = view.series_zone(series);
    let mut marks: Vec<Timestamp> = Vec::new();
    for rung in rungs {
        marks.push(match count_as {
            CountAs::Elapsed => from.plus(limit_ms(rung, count_as)),
            _ => {
                let days = i32::try_from(limit_ms(rung, count_as) / DAY_MS).unwrap_or(i32::MAX);
                let day = view.calendar.day_of(zone, from).saturating_add(days).saturating_add(1);
                view.calendar.midnight(zone, day)
            }
        });
    }
    // A guard that fails now is looked at again with the days, like everything that holds.
    if holds {
        let today = view.calendar.day_of(zone, after.plus(-view.spread_ms));
        marks.push(view.calendar.midnight(zone, today + 1).plus(view.spread_ms));
    }
    marks.into_iter().filter(|mark| *mark > after).min()
}
