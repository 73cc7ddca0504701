//! `score`: points that fade.

use crate::engine::alert::{Observed, Unit};
use crate::engine::firing::ConditionState;
use crate::engine::series::Span;
use crate::event::Timestamp;
use crate::rules::program::{Comparator, Decimal, Rung, SeriesIx, Window};

use super::{BLANK, Judged, View, rung};

pub(super) fn judge(
    view: &mut View<'_>,
    (series, rungs, bands): (SeriesIx, &[Rung], &[(Box<str>, Decimal)]),
    state: ConditionState,
    at: Timestamp,
) -> Judged {
    let (own, points) = view.series(series);
    let Some(points) = points else { return Judged { reached: false, observed: BLANK } };
    let value = points.over(own, &Window::Newest, Span::UpTo(at)).value;
    let mut factors = points.factors(own, at);
    // The weightiest first; equal ones stay in the order of the rule.
    factors.sort_by_key(|(_, points)| std::cmp::Reverse(points.abs()));
    let number = rung(rungs, value);
    let band = bands.iter().position(|(_, upper)| value.holds(Comparator::Lte, *upper));
    let observed = Observed {
        value: Some(value),
        unit: Unit::Number,
        measure_unit: Unit::Number,
        rung: number,
        onset: Some(state.since.unwrap_or(at)),
        last_seen: points.newest(),
        band: band.and_then(|band| u8::try_from(band).ok()),
        factors,
        ..BLANK
    };
    Judged { reached: number > 0, observed }
}

/// Points fade step by step, and what holds is judged with each.
pub(super) fn next_mark(
    view: &View<'_>,
    series: SeriesIx,
    holds: bool,
    after: Timestamp,
) -> Option<Timestamp> {
    let (own, points) = view.series(series);
    points.filter(|_| holds)?.fades_after(own, after)
}
