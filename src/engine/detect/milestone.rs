//! `milestone`: something that was to be reached in time, and is not.

use crate::engine::alert::{Observed, Unit};
use crate::engine::matches::find;
use crate::engine::number::Exact;
use crate::engine::series::SeriesState;
use crate::event::{Timestamp, Value};
use crate::rules::program::{Begin, Condition, Course, Measure, Rung, SeriesIx};

use super::{BLANK, Judged, Losses, View};

/// The course of a milestone, and when it began; nothing while it has not.
fn begun<'a>(view: &mut View<'a>, ix: SeriesIx) -> Option<(&'a Course, Option<&'a SeriesState>, Timestamp)> {
    let plan = view.plan;
    let series = &plan.program.series[usize::from(ix.0)];
    let Measure::Course(course) = &series.measure else { return None };
    let row = view.row;
    let state = row.series(series.key);
    let start = match course.begin {
        Begin::At(_) => state?.course_start()?,
        Begin::On(field) => match find(view.profile, field)? {
            Value::Time(time) => *time,
            Value::Date(day) => {
                let (zone, day) = (view.series_zone(ix), *day);
                view.calendar.midnight(zone, day)
            }
            _ => return None,
        },
    };
    Some((course, state, start))
}

/// Whether all that is due is due before the date: on it nothing is due any more.
fn ends_on_date(course: &Course, rungs: &[Rung]) -> bool {
    matches!(course.begin, Begin::On(_)) && rungs.iter().all(|rung| rung.limit.mantissa < 0)
}

/// The numbers of the steps that are not done.
fn missing(course: &Course, state: Option<&SeriesState>, start: Timestamp) -> Vec<u8> {
    let names = course.steps.as_ref().map_or(0, |steps| steps.names.len());
    let undone = |number: &u8| !state.is_some_and(|state| state.is_done_since(*number, start));
    (0..u8::try_from(names).unwrap_or(u8::MAX)).filter(undone).collect()
}

/// Whether what a rung waits for has not come.
fn waits(rung: &Rung, missing: &[u8]) -> bool {
    rung.step.is_none_or(|step| missing.contains(&step))
}

pub(super) fn judge(
    view: &mut View<'_>,
    condition: &Condition,
    (series, rungs): (SeriesIx, &[Rung]),
    at: Timestamp,
) -> Judged {
    let Some((course, state, start)) = begun(view, series) else {
        return Judged { reached: false, observed: BLANK };
    };
    let over = ends_on_date(course, rungs) && at >= start;
    let elapsed = at.since(start) - Losses::of(view.plan, view.volumes, condition).ms(start, at);
    let missing = missing(course, state, start);
    let due = |rung: &&Rung| !over && elapsed >= rung.limit.mantissa && waits(rung, &missing);
    let number = (1_u8..).zip(rungs).filter(|(_, rung)| due(rung)).map(|(number, _)| number).last();
    let overdue = |step: &u8| rungs.iter().filter(due).any(|rung| rung.step == Some(*step));
    let steps = course.steps.as_ref().map(|steps| steps.names.len());
    let whole = |count: usize| i64::try_from(count).ok().map(Exact::whole);
    let observed = Observed {
        value: (!over).then(|| Exact::whole(elapsed)),
        unit: Unit::Ms,
        measure_unit: Unit::Count,
        rung: number.unwrap_or(0),
        onset: Some(start),
        elapsed_ms: Some(elapsed),
        last_seen: state.and_then(SeriesState::newest),
        current: steps.and_then(|steps| whole(steps - missing.len())),
        previous: steps.and_then(whole),
        window: Some((start.min(at), at.max(start))),
        step: missing.iter().copied().find(overdue).or(missing.first().copied()),
        missing,
        ..BLANK
    };
    Judged { reached: number.is_some(), observed }
}

pub(super) fn next_mark(
    view: &mut View<'_>,
    condition: &Condition,
    (series, rungs): (SeriesIx, &[Rung]),
    after: Timestamp,
) -> Option<Timestamp> {
    let (course, state, start) = begun(view, series)?;
    let missing = missing(course, state, start);
    let due = rungs.iter().filter(|rung| waits(rung, &missing)).map(|rung| rung.limit.mantissa);
    let end = ends_on_date(course, rungs).then_some(0);
    let losses = Losses::of(view.plan, view.volumes, condition);
    let at = |due: i64| if due > 0 { losses.after(start, due) } else { start.plus(due) };
    due.chain(end).map(at).filter(|mark| *mark > after).min()
}
