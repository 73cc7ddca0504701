//! `compare: {against: baseline}`: a count against the own usual for the hour of the week.

use crate::document::{Code, DAY_MS, Node, Table};
use crate::rules::compile::{Compiler, Filtered, Measured, Subject};
use crate::rules::detector::Judged;
use crate::rules::program::{Detector, Extras, Guards, Measure, Rung, Window};

const HOUR_MS: i64 = DAY_MS / 24;

impl<'n> Compiler<'n> {
    /// What is left of a `compare` whose `against` says `baseline`.
    pub fn baseline_detector(
        &mut self,
        (table, against): (&Table<'n>, &'n Node),
        (filtered, span_ms): (Filtered, i64),
        guards: &Guards,
        subject: &Subject<'n>,
    ) -> Option<Judged> {
        let measuring = self.measure(table, filtered.kind, subject);
        let rungs = self.rungs(table, false);
        let (measure, rungs) = (measuring?.measure, rungs?);
        let before = self.mistakes.len();
        if measure != Measure::Count {
            self.unfit(table, "measure", "only a count has a baseline", "leave `measure` out");
        }
        if table.entry("as").is_some() {
            self.unfit(table, "as", "as does not fit a baseline", "leave it out: it is a change");
        }
        let falls = |rung: &Rung| !rung.op.is_upward();
        if rungs.iter().any(falls) {
            let key = ["lt", "lte", "ladder"].into_iter().find(|key| table.entry(key).is_some());
            let why = "a baseline tells only what is more than usual";
            self.unfit(table, key.unwrap_or("ladder"), why, "use `gt` or `gte`");
        }
        if span_ms > DAY_MS || span_ms % HOUR_MS != 0 {
            let why = "a baseline is one of whole hours, up to 24";
            self.unfit(table, "within", why, "write `within: 1h`");
        }
        if guards.significance.is_none() {
            self.mistakes
                .report(against.span, Code::E08, "a baseline needs the guard significance")
                .hint("write `guard: {significance: 0.0001}`");
        }
        if self.mistakes.len() > before {
            return None;
        }
        let window = Window::Panes { span_ms };
        let series = self.series(
            against.span,
            Measured {
                filter: filtered.filter,
                measure: Measure::Usual,
                window,
                keep_days: 0,
                negative: false,
                reset: None,
                extras: Extras::of(guards),
                subject,
            },
        );
        Some(Judged {
            detector: Detector::Compare { series, window, difference: false, baseline: true, rungs },
            kind: filtered.kind,
            fires: true,
            negative: false,
            durations: false,
            measure: Some(Measure::Count),
            name: "compare",
        })
    }

    fn unfit(&mut self, table: &Table<'n>, key: &str, why: &str, hint: &'static str) {
        let span = table.entry(key).map_or(table.span, |entry| entry.node.span);
        self.mistakes.report(span, Code::E08, why).hint(hint);
    }
}
