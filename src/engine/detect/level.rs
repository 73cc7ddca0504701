//! `level`: a value against a limit, or as a share of something in the profile.

use crate::engine::alert::{Observed, Unit};
use crate::engine::matches::find;
use crate::engine::number::Exact;
use crate::engine::series::{Pace, SUM_UNIT, Span, millionths};
use crate::event::{Timestamp, Value};
use crate::rules::program::{Condition, Detector, Reference, Rung, SeriesIx, Window};

use super::{BLANK, Judged, View, rung};

/// Judges the newest value, or what it will be.
pub(super) fn judge(view: &mut View<'_>, condition: &Condition, series: SeriesIx) -> Judged {
    let Detector::Level { relative_to, forecast_ms, rungs, .. } = &condition.detector else {
        return Judged { reached: false, observed: BLANK };
    };
    let (shape, Some(state)) = view.series(series) else {
        return Judged { reached: false, observed: BLANK };
    };
    let Some(newest) = state.newest() else { return Judged { reached: false, observed: BLANK } };
    let measured = state.over(shape, &Window::Newest, Span::UpTo(newest)).value;
    let pace = state.pace();
    let judged = match forecast_ms {
        Some(ms) => pace.map(|pace| foreseen(measured, pace, *ms)),
        None => Some(measured),
    };
    let (value, cap) = share(view, condition, judged);
    let number = value.map_or(0, |value| rung(rungs, value));
    let unit = view.measure_unit(series);
    let observed = Observed {
        value,
        unit: if relative_to.is_some() { Unit::Share } else { unit },
        measure_unit: unit,
        rung: number,
        onset: Some(newest),
        events: Some(1),
        accounts: Some(1),
        last_seen: Some(newest),
        current: Some(measured),
        previous: cap,
        eta: pace.and_then(|pace| eta((newest, measured), pace, cap.or_else(|| highest(rungs))?)),
        ..BLANK
    };
    Judged { reached: number > 0, observed }
}

/// The value after so long at a pace, in millionths.
fn foreseen(measured: Exact, pace: Pace, ms: i64) -> Exact {
    let moved = i128::from(pace.after(ms)) * measured.den;
    Exact { num: measured.num + moved / i128::from(SUM_UNIT), den: measured.den }
}

/// What a value that grows grows up to, if it is no share of anything.
fn highest(rungs: &[Rung]) -> Option<Exact> {
    let last = rungs.last().filter(|rung| rung.op.is_upward())?;
    Exact::ratio(i128::from(last.limit.mantissa), 10_i128.pow(u32::from(last.limit.scale)))
}

/// When a value reaches a limit at its pace; none where it does not grow, or is there.
fn eta((newest, measured): (Timestamp, Exact), pace: Pace, limit: Exact) -> Option<Timestamp> {
    let rise = limit.minus(measured);
    let millionths = rise.num.checked_mul(i128::from(SUM_UNIT))?;
    let rise = millionths / rise.den + i128::from(millionths > 0 && millionths % rise.den != 0);
    Some(newest.plus(pace.until(rise)?))
}

/// What a condition compares with its limits, and what it is a share of: a measure as it is, if it is a share of nothing;
/// no value where there is nothing to be a share of.
pub(super) fn share(
    view: &View<'_>,
    condition: &Condition,
    measured: Option<Exact>,
) -> (Option<Exact>, Option<Exact>) {
    let Detector::Level { relative_to: Some(reference), .. } = &condition.detector else {
        return (measured, None);
    };
    let cap = of_profile(view, reference);
    (cap.and_then(|cap| measured?.over(cap)), cap)
}

/// What a reference stands for now; nothing that is not above zero.
fn of_profile(view: &View<'_>, reference: &Reference) -> Option<Exact> {
    let number = |value: &Value<'_>| Exact::ratio(i128::from(millionths(value)?), i128::from(SUM_UNIT));
    let found = match reference {
        Reference::Number(field) => number(find(view.profile, *field)?),
        Reference::Entry(field) => match find(view.profile, *field)? {
            Value::Map(entries) => {
                let (_, value) = entries.iter().find(|(name, _)| Some(&**name) == view.part)?;
                number(value)
            }
            _ => None,
        },
        Reference::Length(field) => match find(view.profile, *field)? {
            Value::List(items) => i64::try_from(items.len()).ok().map(Exact::whole),
            _ => None,
        },
    };
    found.filter(|cap| cap.num > 0)
}

#[cfg(test)]
mod tests {
    use super::{eta, foreseen};
    use crate::engine::number::Exact;
    use crate::engine::series::{Pace, SUM_UNIT};
    use crate::event::Timestamp;

    const DAY: i64 = 86_400_000;

    #[test]
    fn a_limit_is_reached_at_the_pace_of_late() {
        let used = |units: i64| Exact { num: i128::from(units * SUM_UNIT), den: i128::from(SUM_UNIT) };
        let pace = Pace { change: 515 * SUM_UNIT, within_ms: 4 * DAY };
        let now = Timestamp(100);
        assert_eq!(foreseen(used(615), pace, 3 * DAY).num, 1_001_250_000);
        // 385 more at 515 in four days, up to the next millisecond.
        assert_eq!(eta((now, used(615)), pace, used(1000)), Some(Timestamp(100 + 258_361_166)));
        assert_eq!(eta((now, used(485)), pace, used(1000)), Some(Timestamp(100 + 4 * DAY)));
        assert_eq!(eta((now, used(1000)), pace, used(1000)), None);
        let falling = Pace { change: -1, within_ms: 3 };
        assert_eq!(eta((now, used(1)), falling, used(1000)), None);
        assert_eq!(foreseen(used(1), falling, 10).num, 1_000_000 - 4);
    }
}
