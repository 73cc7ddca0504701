//! Rules and observations that the tests of this room share.

use crate::engine::number::Exact;
use crate::rules::program::{Comparator, Condition, Decimal, Detector, Guards, Rung, SeriesIx, Window};

use super::{Observed, Unit};

/// A count of 10 minutes against one threshold.
pub fn condition_count(op: Comparator, limit: Decimal) -> Condition {
    Condition {
        name: "".into(),
        detector: Detector::Count {
            series: SeriesIx(0),
            window: Window::Panes { span_ms: 600_000 },
            rungs: vec![Rung { op, limit, severity: None, step: None }],
        },
        guards: Guards::default(),
        for_ms: 0,
    }
}

/// An observation that holds, with a value and nothing else.
pub fn observed(value: Exact, unit: Unit) -> Observed {
    Observed {
        met: true,
        guard: None,
        value: Some(value),
        unit,
        rung: 1,
        onset: None,
        events: None,
        accounts: None,
        elapsed_ms: None,
        last_seen: None,
        usual_gap_ms: None,
        current: None,
        previous: None,
        measure_unit: Unit::Count,
        p_value: None,
        window: None,
        baseline_window: None,
    }
}
