//! `collapse_to`: so many rows in which another rule has become true.

use crate::engine::alert::{Observed, Unit};
use crate::engine::firing::ConditionState;
use crate::engine::number::Exact;
use crate::engine::series::Crowd;
use crate::event::Timestamp;
use crate::rules::program::{Rung, SeriesIx};

use super::{BLANK, Judged, View};

fn crowd<'v>(view: &'v View<'_>, series: SeriesIx) -> Option<&'v Crowd> {
    view.series(series).1.and_then(|state| state.crowd())
}

/// True from the row that makes them enough until the last one has been over for `within_ms`.
pub(super) fn judge(
    view: &View<'_>,
    (series, within_ms, rungs): (SeriesIx, i64, &[Rung]),
    state: ConditionState,
) -> Judged {
    let Some(crowd) = crowd(view, series) else { return Judged { reached: false, observed: BLANK } };
    let present = crowd.present(view.watermark, within_ms);
    let holds = state.since.is_some();
    let seen = if holds { present } else { crowd.rising(within_ms) };
    let value = Exact { num: i128::from(seen.rows), den: 1 };
    let is_enough = rungs.iter().all(|rung| value.holds(rung.op, rung.limit));
    // Rows that are all over, and known to be, are no trouble that comes.
    let reached = present.rows > 0 && (holds || is_enough);
    let is_across = !view.series(series).0.entity.account;
    let newest = view.series(series).1.and_then(super::SeriesState::newest);
    let observed = Observed {
        value: Some(value),
        unit: Unit::Count,
        rung: u8::from(reached),
        onset: seen.first,
        accounts: is_across.then_some(seen.rows),
        window: newest.map(|newest| (newest.plus(-within_ms), newest)),
        ..BLANK
    };
    Judged { reached, observed }
}

/// When it is over, if nothing more comes.
pub(super) fn next_mark(
    view: &View<'_>,
    (series, within_ms): (SeriesIx, i64),
    (state, after): (ConditionState, Timestamp),
) -> Option<Timestamp> {
    state.since?;
    crowd(view, series)?.ends(within_ms).filter(|end| *end > after)
}
