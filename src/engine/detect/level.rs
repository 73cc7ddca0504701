//! `level`: a value against a limit, or as a share of something in the profile.

use crate::engine::alert::{Observed, Unit};
use crate::engine::matches::find;
use crate::engine::number::Exact;
use crate::engine::series::{SUM_UNIT, SeriesState, Span, millionths};
use crate::event::Value;
use crate::rules::program::{Condition, Detector, Reference, SeriesIx, Window};

use super::{BLANK, Judged, View, rung};

/// Judges the newest value.
pub(super) fn judge(
    view: &mut View<'_>,
    condition: &Condition,
    (series, relative_to): (SeriesIx, Option<&Reference>),
) -> Judged {
    let newest = view.series(series).1.and_then(SeriesState::newest);
    let Some(newest) = newest else { return Judged { reached: false, observed: BLANK } };
    let measured = view.measured(series, &Window::Newest, Span::UpTo(newest));
    let (value, cap) = share(view, condition, Some(measured.value));
    let number = value.map_or(0, |value| rung(condition.detector.rungs(), value));
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
        current: Some(measured.value),
        previous: cap,
        ..BLANK
    };
    Judged { reached: number > 0, observed }
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
