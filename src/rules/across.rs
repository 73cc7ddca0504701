//! What rules of entities across accounts may ask for: roll-ups carry counts and sums, not events (`rules.md` §5).

use crate::document::{Code, Span};
use crate::event::{Field, Kind};
use crate::rules::compile::Compiler;
use crate::rules::detector::Judged;
use crate::rules::program::{Detector, Entity, Measure, Path};

/// The entities whose rows get events without account themselves.
const ADDRESSED: [&str; 4] = ["incident", "service", "integration", "feature_area"];

impl Compiler<'_> {
    /// Reports what a condition asks of a row across accounts that no roll-up carries.
    pub fn fits_across(&mut self, span: Span, judged: &Judged, entity: &Entity) {
        if entity.account {
            return;
        }
        match &judged.detector {
            Detector::Event { .. } | Detector::Sequence { .. } => {
                let what = if judged.name == "event" { "an event" } else { "a sequence" };
                self.is_seen_across(span, what, judged.kind, entity);
            }
            Detector::Milestone { .. } | Detector::Score { .. } => {
                let what = if judged.name == "milestone" { "a milestone" } else { "a score" };
                self.is_seen_across(span, what, judged.kind, entity);
            }
            Detector::Absence { arm: Some(field), .. } => {
                let sentence = format!("a row across accounts has no account.{}", field.spec().name);
                self.mistakes.report(span, Code::E08, sentence).hint("leave `arm` out");
            }
            Detector::Absence { until: Some(until), .. } => {
                let kind = self.program.filters.get(usize::from(until.0)).map(|filter| filter.kind);
                kind.into_iter().for_each(|kind| self.is_seen_across(span, "until", kind, entity));
            }
            Detector::Level { relative_to: Some(_), .. } => {
                self.mistakes
                    .report(span, Code::E08, "a row across accounts has no account to be a share of")
                    .hint("write the limit as a number");
            }
            _ => {}
        }
        let series = judged.detector.series().and_then(|ix| self.program.series.get(usize::from(ix.0)));
        let reset = series.and_then(|series| self.program.filters.get(usize::from(series.reset?.0)));
        if let Some(kind) = reset.map(|filter| filter.kind) {
            self.is_seen_across(span, "reset", kind, entity);
        }
        self.measure_fits_across(span, judged);
    }

    fn measure_fits_across(&mut self, span: Span, judged: &Judged) {
        let by_account = |path: &Path| *path == Path::Field(Field::AccountId);
        let fits = match &judged.measure {
            None | Some(Measure::Count | Measure::Sum(_) | Measure::ShareOf(_)) => true,
            Some(Measure::Distinct(path) | Measure::SumDistinct { by: path, .. }) => by_account(path),
            Some(_) => false,
        };
        if !fits {
            self.mistakes
                .report(span, Code::E08, "this measure does not fit an entity across accounts")
                .detail("it takes count, sum, share_of, distinct: account_id");
        }
    }

    /// Reports events that never reach a row across accounts themselves: all that belong to an account.
    pub fn is_seen_across(&mut self, span: Span, what: &str, kind: Kind, entity: &Entity) {
        let name = entity.part.as_ref().map_or("platform", |part| &*part.name);
        if entity.account || (kind == Kind::ErrorLog && ADDRESSED.contains(&name)) {
            return;
        }
        let sentence = if kind == Kind::ErrorLog {
            format!("{what} is not seen here: no event without account is of one {name}")
        } else {
            format!("{what} is not seen here: events of {} belong to accounts", kind.name())
        };
        self.mistakes.report(span, Code::E08, sentence).hint("use count with `gte: 1`");
    }
}
