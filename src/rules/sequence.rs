//! `sequence`: events in an order.

use crate::document::{Code, Node, duration_text};
use crate::rules::compile::{Compiler, Filtered, Measured, Subject};
use crate::rules::detector::Judged;
use crate::rules::program::{Detector, Extras, FilterIx, Measure, Window};
use crate::rules::value;

/// How many times a step keeps.
const KEPT: u16 = 8;
/// The shortest and the longest time for a sequence, ms.
const WITHIN: (i64, i64) = (1_000, 63 * crate::document::DAY_MS);

impl<'n> Compiler<'n> {
    /// `sequence: {steps, within}`.
    pub fn sequence_detector(&mut self, node: &'n Node, subject: &Subject<'n>) -> Option<Judged> {
        let table = node.table("sequence", &["steps", "within"], &mut self.mistakes)?;
        let within_ms = table.required("within", &mut self.mistakes).and_then(|node| self.span_within(node));
        let node_of_steps = table.required("steps", &mut self.mistakes)?;
        let items = node_of_steps.list("steps", &mut self.mistakes)?;
        if !(2..=5).contains(&items.len()) {
            let sentence = format!("a sequence has 2 to 5 steps, this has {}", items.len());
            self.mistakes.report(node_of_steps.span, Code::E05, sentence);
            return None;
        }
        let steps: Vec<Option<Filtered>> =
            items.iter().map(|item| self.filter_node("step", item, subject)).collect();
        let steps: Vec<Filtered> = steps.into_iter().collect::<Option<_>>()?;
        let (within_ms, last) = (within_ms?, steps.last()?);
        let filters: Vec<FilterIx> = steps.iter().map(|step| step.filter).collect();
        let series = self.series(
            node.span,
            Measured {
                // The firing event is the newest one, so mostly the last step.
                filter: last.filter,
                measure: Measure::Steps(filters),
                window: Window::Exact { span_ms: within_ms, keep: KEPT },
                keep_days: 0,
                negative: false,
                reset: None,
                extras: Extras::default(),
                subject,
            },
        );
        Some(Judged {
            detector: Detector::Sequence { series, within_ms },
            kind: last.kind,
            fires: true,
            negative: false,
            durations: true,
            measure: None,
            name: "sequence",
        })
    }

    fn span_within(&mut self, node: &'n Node) -> Option<i64> {
        let ms = value::span_ms(node, &mut self.mistakes)?;
        if !(WITHIN.0..=WITHIN.1).contains(&ms) {
            let text = duration_text(ms);
            self.mistakes.report(node.span, Code::E05, format!("within {text} is not between 1s and 63d"));
            return None;
        }
        Some(ms)
    }
}
