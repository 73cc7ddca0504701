//! `sequence`: events in an order.

use crate::engine::alert::{Observed, Unit};
use crate::engine::firing::ConditionState;
use crate::engine::number::Exact;
use crate::rules::program::{Measure, SeriesIx};

use super::{BLANK, Judged, View};

/// True from a chain of events until the alert is over.
pub(super) fn judge(view: &View<'_>, (series, within_ms): (SeriesIx, i64), state: ConditionState) -> Judged {
    let (own, matches) = view.series(series);
    let steps = if let Measure::Steps(steps) = &own.measure { steps.len() } else { 0 };
    let elapsed = state.since.zip(state.anchor).map(|(last, first)| last.since(first));
    let observed = Observed {
        value: elapsed.map(Exact::whole),
        unit: Unit::Ms,
        measure_unit: Unit::Ms,
        rung: u8::from(state.since.is_some()),
        onset: state.anchor,
        events: state.since.map(|_| steps as u64),
        accounts: Some(1),
        elapsed_ms: elapsed,
        last_seen: matches.and_then(crate::engine::series::SeriesState::newest),
        window: state.since.map(|last| (last.plus(-within_ms), last)),
        ..BLANK
    };
    Judged { reached: state.since.is_some(), observed }
}
