//! `cadence`: each of the last complete days, weeks or months.

use crate::engine::alert::{Observed, Reason};
use crate::engine::number::Exact;
use crate::engine::series::{Measured, Span, bucket_of, first_day};
use crate::event::Timestamp;
use crate::rules::program::{Bucket, Condition, Detector, Rung, SeriesIx, Window};

use super::{BLANK, Judged, Losses, View, at_least, is_upward, rung};

/// How many buckets before the run say what was usual.
const BEFORE: i32 = 8;

/// The parts of a cadence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cadence<'a> {
    series: SeriesIx,
    bucket: Bucket,
    /// How many buckets must meet the comparator.
    run: u16,
    rungs: &'a [Rung],
}

/// The parts of a condition that is a cadence.
pub(super) fn of(condition: &Condition) -> Option<Cadence<'_>> {
    match &condition.detector {
        Detector::Cadence { series, window: Window::Buckets { bucket, count }, rungs } => {
            Some(Cadence { series: *series, bucket: *bucket, run: *count, rungs })
        }
        _ => None,
    }
}

impl Cadence<'_> {
    fn measured(&self, view: &View<'_>, number: i32) -> Measured {
        let window = Window::Buckets { bucket: self.bucket, count: self.run };
        view.measured(self.series, &window, Span::Bucket(number))
    }

    /// The measure of a bucket; none of a mean, share or last of nothing.
    fn value(&self, view: &View<'_>, number: i32) -> Option<Exact> {
        view.known(self.series, &self.measured(view, number))
    }

    /// The local midnight at which a bucket begins.
    fn start(&self, view: &mut View<'_>, number: i32) -> Timestamp {
        let zone = view.series_zone(self.series);
        view.calendar.midnight(zone, first_day(self.bucket, number))
    }

    fn at(&self, view: &mut View<'_>, time: Timestamp) -> i32 {
        let zone = view.series_zone(self.series);
        bucket_of(self.bucket, view.calendar.day_of(zone, time))
    }

    /// The last buckets before one of which enough was seen, oldest first.
    fn seen_before(&self, view: &mut View<'_>, losses: &Losses<'_>, (count, end): (i32, i32)) -> Vec<i32> {
        if losses.0.is_empty() {
            return (end - count..end).collect();
        }
        let mut seen = Vec::new();
        for number in (end - self.kept()..end).rev() {
            let bounds = (self.start(view, number), self.start(view, number + 1));
            if !losses.tell(bounds) && seen.len() < usize::try_from(count).unwrap_or(0) {
                seen.push(number);
            }
        }
        seen.reverse();
        seen
    }

    /// How many complete buckets are kept.
    fn kept(&self) -> i32 {
        i32::from(self.run) + BEFORE
    }

    /// What was usual before the run: the lower median of up to eight buckets after those in which row or series begin.
    fn median(&self, view: &mut View<'_>, losses: &Losses<'_>, first: i32) -> Option<Exact> {
        let began = view.began(self.series);
        let begin = began.map(|began| self.at(view, began))?;
        let numbers = self.seen_before(view, losses, (BEFORE, first)).into_iter().filter(|own| *own > begin);
        let mut before: Vec<Exact> = numbers.filter_map(|number| self.value(view, number)).collect();
        before.sort_by(|one, other| one.order(*other));
        before.get(before.len().checked_sub(1)? / 2).copied()
    }
}

pub(super) fn judge(view: &mut View<'_>, condition: &Condition, at: Timestamp) -> Judged {
    let Some(own) = of(condition) else { return Judged { reached: false, observed: BLANK } };
    let running = own.at(view, at);
    let losses = Losses::of(view.plan, view.volumes, condition);
    let numbers = own.seen_before(view, &losses, (i32::from(own.run), running));
    let first = numbers.first().copied().unwrap_or(running - i32::from(own.run));
    // A bucket without value meets nothing, and neither does a run that is too short.
    let buckets: Option<Vec<Exact>> = numbers.iter().map(|number| own.value(view, *number)).collect();
    let buckets = buckets.filter(|buckets| buckets.len() == usize::from(own.run));
    let buckets = buckets.unwrap_or_default();
    let nearest = |one: &Exact, other: &Exact| one.order(*other);
    let value = if is_upward(own.rungs) {
        buckets.iter().copied().min_by(nearest)
    } else {
        buckets.iter().copied().max_by(nearest)
    };
    let number = value.map_or(0, |value| rung(own.rungs, value));
    let reached = number > 0;
    let (from, to) = (own.start(view, first), own.start(view, running));
    let median = own.median(view, &losses, first);
    let mut guard = if reached { view.unknown_before(own.series, from, |since| since < from) } else { None };
    if reached && guard.is_none() && condition.guards.min_previous.is_some() {
        guard = match median {
            None => Some(Reason::InsufficientHistory),
            Some(median) if !at_least(median, condition.guards.min_previous) => Some(Reason::NotSignificant),
            Some(_) => None,
        };
    }
    let unit = view.measure_unit(own.series);
    let observed = Observed {
        guard,
        value,
        unit,
        measure_unit: unit,
        rung: number,
        onset: Some(from),
        last_seen: view.series(own.series).1.and_then(crate::engine::series::SeriesState::newest),
        current: own.value(view, running),
        previous: median,
        window: Some((from, to)),
        buckets,
        ..BLANK
    };
    Judged { reached, observed }
}

/// The end of the running bucket, as long as the kept buckets show anything: later nothing changes.
pub(super) fn next_mark(view: &mut View<'_>, condition: &Condition, after: Timestamp) -> Option<Timestamp> {
    let own = of(condition)?;
    let newest = view.series(own.series).1?.newest()?;
    let running = own.at(view, after.plus(-view.spread_ms));
    let first = running - own.kept() - 1;
    let shows = (first..=running).any(|number| own.measured(view, number).events > 0);
    if newest <= after && !shows {
        return None;
    }
    Some(own.start(view, running + 1).plus(view.spread_ms))
}

/// Whether a time is the end of a bucket.
pub(super) fn is_end(view: &mut View<'_>, own: Cadence<'_>, at: Timestamp) -> bool {
    let at = at.plus(-view.spread_ms);
    let running = own.at(view, at);
    own.start(view, running) == at
}
