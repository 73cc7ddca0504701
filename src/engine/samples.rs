//! What an event gives a series: a sample, a part of a course, points of a score.

use crate::event::{Event, Kind};
use crate::rules::program::{Measure, Points, Scoring, Series, Window};

use super::matches::{Seen, Subject, holds};
use super::plan::{Role, measured_path};
use super::series::{Hits, Part, Sample, Sampled, hash_of_value, millionths};

/// What an event is to a course; `None`: a step that it does not name.
pub fn part_of(own: &Series, role: Role, seen: &impl Subject) -> Option<Part> {
    let Measure::Course(course) = &own.measure else { return None };
    match role {
        Role::Start => Some(Part::Start),
        Role::End => Some(Part::End),
        Role::Step => {
            let value = seen.value(&course.steps.as_ref()?.field)?;
            course.number(value.as_text()?).map(Part::Step)
        }
    }
}

/// What an event gives a series; `None`: it lacks the measured field.
pub fn sample_of(own: &Series, seen: &impl Subject, event: &Event<'_>) -> Option<Sample> {
    let value = match measured_path(&own.measure) {
        Some(path) => Some(Sampled::of(&own.measure, seen.value(path)?.as_ref())?),
        None => None,
    };
    let base = base_of(event);
    let value = match (&own.measure, value) {
        (Measure::ShareOf(_), _) => Some(Sampled::Amount(i64::from(base.weight))),
        (Measure::Reading { period, .. }, Some(Sampled::Amount(amount))) => {
            let period = period.as_ref().and_then(|path| seen.value(path));
            Some(Sampled::Keyed(amount, period.map_or(0, |value| hash_of_value(&value))))
        }
        (Measure::SumDistinct { by, .. }, Some(Sampled::Amount(amount))) => {
            Some(Sampled::Keyed(amount, hash_of_value(seen.value(by)?.as_ref())))
        }
        (_, value) => value,
    };
    Some(Sample { value, ..base })
}

/// An event that is counted and nothing else.
pub fn base_of(event: &Event<'_>) -> Sample {
    let weight = if event.kind == Kind::ErrorLog { event.occurrences() } else { 1 };
    Sample { time: event.time, weight, value: None, midnight: None, lost_ms: 0 }
}

/// Whether the cells of a series are of the local calendar.
pub const fn has_days(own: &Series) -> bool {
    matches!(own.window, Window::Days { .. } | Window::Buckets { .. })
}

/// What an event gives a score.
pub fn hits(scoring: &Scoring, seen: &Seen<'_, '_>) -> Hits {
    let imported = scoring.imported.as_ref().and_then(|path| millionths(seen.value(path)?.as_ref()));
    // Half up.
    let parts = |millionths: i64| (i128::from(millionths) * 512 + 1_000_000).div_euclid(2_000_000);
    let imported = imported.map(|value| i32::try_from(parts(value)).unwrap_or(i32::MAX));
    let given = |points: &Points| match points {
        Points::If(matches, points) => holds(matches, seen).then_some(*points),
        Points::While(rule, points) => seen.held.contains(rule).then_some(*points),
        Points::By(path, values) => {
            let value = seen.value(path)?;
            let (_, points) = values.iter().find(|(own, _)| value.as_text() == Some(own))?;
            Some(*points)
        }
    };
    let numbered = (0_u8..).zip(&scoring.factors);
    let points = numbered.filter_map(|(number, factor)| Some((number, given(&factor.points)?))).collect();
    Hits { imported, points }
}
