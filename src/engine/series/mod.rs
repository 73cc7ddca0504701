//! The state of one series in one row: what was measured, cell by cell.
//!
//! Samples commute: in whichever order they arrive, windows show the same, save what was older than everything kept
//! when it came. The state describes itself when encoded; what it keeps follows the [`Series`] of each call, so a longer
//! window or a higher threshold grows into it.

mod accounts;
mod buckets;
mod cells;
mod codec;
mod counted;
mod course;
mod crowd;
mod distinct;
mod grain;
mod last;
mod latest;
mod members;
mod newest;
pub mod points;
mod readings;
mod ring;
mod shown;
mod steps;
#[cfg(test)]
mod tests;
mod usual;
mod values;

use crate::event::{Timestamp, Value};
use crate::rules::program::{Measure, Series, Window};

use super::calendar::LocalHour;
use super::number::Exact;
use counted::Counted;
use course::CourseState;
use distinct::Distinct;
use last::Last;
use latest::Latest;
use newest::Newest;
use points::{Given, PointsState};
use readings::Readings;
use ring::Ring;
use steps::Steps;
use usual::Usual;
use values::Values;

pub use accounts::Owned;
pub use buckets::{bucket_of, first_day};
pub use cells::Cell;
pub use course::Part;
pub use crowd::Crowd;
pub use grain::{Grain, pane_end_after, pane_end_until};
pub use points::{Hits, IMPORTED};
pub use readings::Pace;
pub use shown::{Measured, Span, Spread};
pub use steps::Chain;
pub use usual::{Expected, Profile, quarter_of};

/// Sums are kept in millionths.
pub const SUM_UNIT: i64 = 1_000_000;

/// What one event gives a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When it happened.
    pub time: Timestamp,
    /// How many matches it stands for: an error log's occurrences, else 1.
    pub weight: u32,
    /// The measured field's value; a measure of a field takes no sample without it.
    pub value: Option<Sampled>,
    /// The midnight at which the local day of the newest match began, this one included: an exact window then keeps the
    /// newest match of an earlier day ([`crate::rules::program::Extras::days`]).
    pub midnight: Option<Timestamp>,
    /// How much of the time since the newest match was lost, ms: it is no part of a gap.
    pub lost_ms: i64,
}

/// The value of a measured field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampled {
    /// Hash of the value, for `distinct` and `new`.
    Hash(u64),
    /// Millionths, for `sum`.
    Amount(i64),
    /// Millionths, and the hash of what they belong to.
    Keyed(i64, u64),
}

impl Sampled {
    /// What the measure needs of a field's value; `None` where it needs nothing or the value doesn't fit.
    #[must_use]
    pub fn of(measure: &Measure, value: &Value<'_>) -> Option<Self> {
        match measure {
            Measure::Distinct(_) | Measure::New(_) => Some(Self::Hash(hash_of_value(value))),
            Measure::Sum(_)
            | Measure::SumDistinct { .. }
            | Measure::Mean(_)
            | Measure::Last(_)
            | Measure::Known(_)
            | Measure::Reading { .. } => millionths(value).map(Self::Amount),
            _ => None,
        }
    }
}

impl Sampled {
    /// The value that counts once, and what is summed of it.
    const fn distinct(self) -> Option<(u64, Option<i64>)> {
        match self {
            Self::Hash(hash) => Some((hash, None)),
            Self::Keyed(amount, hash) => Some((hash, Some(amount))),
            Self::Amount(_) => None,
        }
    }
}

/// The hash by which values are told apart.
#[must_use]
pub fn hash_of_value(value: &Value<'_>) -> u64 {
    let mut bytes = Vec::with_capacity(32);
    crate::event::bytes::put_value(&mut bytes, value);
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

/// A number in [`SUM_UNIT`]s, saturating; `None` if the value is none.
#[must_use]
pub fn millionths(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(whole) => Some(whole.saturating_mul(SUM_UNIT)),
        #[expect(clippy::cast_possible_truncation, reason = "casts saturate")]
        #[expect(clippy::cast_precision_loss, reason = "the unit is far below 2^53")]
        Value::Double(double) => Some((double * SUM_UNIT as f64).round() as i64),
        _ => None,
    }
}

/// Weight and amount of a sample in a cell; `None`: it lacks what is measured. Of a share, the samples with a value count,
/// and the others are what it is a share of.
fn cell_parts(measure: &Measure, sample: &Sample) -> Option<(u32, Option<i64>)> {
    match (measure, sample.value) {
        (Measure::Sum(_), Some(Sampled::Amount(amount))) => Some((sample.weight, Some(amount))),
        (Measure::Mean(_), Some(Sampled::Amount(amount))) => Some((1, Some(amount))),
        (Measure::Sum(_) | Measure::Mean(_), _) => None,
        (Measure::ShareOf(_), Some(_)) => Some((0, Some(i64::from(sample.weight)))),
        (Measure::ShareOf(_), None) => Some((sample.weight, Some(0))),
        _ => Some((sample.weight, None)),
    }
}

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is in the state, or a reset or the cap of distinct values keeps it out.
    Applied,
    /// It is older than everything that a window can still see.
    Late,
}

/// No window of a negative condition that ends before this time will be asked for any more: the lowest watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor(pub Timestamp);

/// The state of one series in one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeriesState {
    /// The last timestamps, exactly.
    Ring(Ring),
    /// Counts and sums per pane or local day.
    Counted(Box<Counted>),
    /// Which values in which panes or local days.
    Distinct(Box<Distinct>),
    /// The last match and the usual gap.
    Newest(Newest),
    /// The last value.
    Last(Last),
    /// The last value of each pane or local day.
    Latest(Box<Latest>),
    /// The last value, what it belongs to, and those of the days before.
    Readings(Box<Readings>),
    /// Counts per pane, and what is usual for each hour of the week.
    Usual(Box<Usual>),
    /// Points that fade.
    Points(Box<PointsState>),
    /// Matches of the steps of a sequence.
    Steps(Box<Steps>),
    /// How far something has come.
    Course(Box<CourseState>),
    /// Which values there were.
    Values(Box<Values>),
    /// Rows in which a rule holds.
    Crowd(Box<Crowd>),
}

/// What every representation remembers; [`Timestamp::MIN`] stands for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marks {
    newest: Timestamp,
    reset: Timestamp,
}

impl Default for Marks {
    fn default() -> Self {
        Self { newest: Timestamp::MIN, reset: Timestamp::MIN }
    }
}

impl SeriesState {
    /// An empty state of the representation that the series needs.
    #[must_use]
    pub fn new(series: &Series) -> Self {
        match (&series.window, &series.measure) {
            (Window::Newest, Measure::Last(_)) => Self::Last(Last::default()),
            (Window::Newest, Measure::Score(_)) => Self::Points(Box::default()),
            (_, Measure::Steps(_)) => Self::Steps(Box::default()),
            (_, Measure::Course(_)) => Self::Course(Box::default()),
            (_, Measure::New(_)) => Self::Values(Box::default()),
            (_, Measure::Crowd(_)) => Self::Crowd(Box::default()),
            (_, Measure::Reading { .. }) => Self::Readings(Box::default()),
            (_, Measure::Usual) => Self::Usual(Box::default()),
            (Window::Newest, _) => Self::Newest(Newest::default()),
            (Window::Exact { .. }, _) => Self::Ring(Ring::default()),
            (_, Measure::Distinct(_) | Measure::SumDistinct { .. }) => Self::Distinct(Box::default()),
            (_, Measure::Last(_) | Measure::Known(_)) => Self::Latest(Box::default()),
            _ => Self::Counted(Box::default()),
        }
    }

    fn marks(&self) -> &Marks {
        match self {
            Self::Ring(ring) => &ring.marks,
            Self::Counted(counted) => &counted.marks,
            Self::Distinct(distinct) => &distinct.counted.marks,
            Self::Newest(newest) => &newest.marks,
            Self::Last(last) => &last.marks,
            Self::Latest(latest) => &latest.counted.marks,
            Self::Points(points) => &points.marks,
            Self::Steps(steps) => &steps.marks,
            Self::Course(course) => &course.marks,
            Self::Values(values) => &values.marks,
            Self::Crowd(crowd) => &crowd.marks,
            Self::Readings(readings) => &readings.marks,
            Self::Usual(usual) => &usual.counted.marks,
        }
    }

    /// Takes a sample in. `day` is the local day of its time in the series' zone; only day windows need it.
    pub fn add(&mut self, series: &Series, sample: &Sample, day: Option<i32>, floor: Floor) -> Taken {
        if sample.time <= self.marks().reset {
            return Taken::Applied;
        }
        match self {
            Self::Ring(ring) => ring.add(&series.window, sample.time, sample.midnight),
            Self::Newest(newest) => newest.add(series.extras.gaps_for_ms, sample, floor),
            Self::Last(last) => match sample.value {
                Some(Sampled::Amount(amount)) => last.add(sample.time, amount, floor),
                _ => Taken::Applied,
            },
            Self::Readings(readings) => match (sample.value, day) {
                (Some(Sampled::Keyed(amount, period)), Some(day)) => {
                    readings.add((sample.time, day), (amount, period), series.extras.pace, floor)
                }
                _ => Taken::Applied,
            },
            Self::Points(_) | Self::Steps(_) | Self::Course(_) | Self::Values(_) | Self::Crowd(_) => {
                Taken::Applied
            }
            Self::Counted(counted) => {
                let Some((weight, amount)) = cell_parts(&series.measure, sample) else {
                    return Taken::Applied;
                };
                let grain = Grain::of(series);
                let cell = grain.cell(sample.time, day);
                counted.add(&grain, cell, (sample.time, weight, amount), floor)
            }
            Self::Usual(usual) => {
                usual.note(sample.time, sample.weight);
                let grain = Grain::of(series);
                let cell = grain.cell(sample.time, day);
                usual.counted.add(&grain, cell, (sample.time, sample.weight, None), floor)
            }
            Self::Distinct(distinct) => {
                let Some(value) = sample.value.and_then(Sampled::distinct) else { return Taken::Applied };
                let grain = Grain::of(series);
                let cell = grain.cell(sample.time, day);
                distinct.add(&grain, cell, (sample.time, sample.weight, value), floor)
            }
            Self::Latest(latest) => {
                let Some(Sampled::Amount(amount)) = sample.value else { return Taken::Applied };
                let grain = Grain::of(series);
                let cell = grain.cell(sample.time, day);
                let keeps_older = matches!(series.measure, Measure::Known(_));
                latest.add(&grain, cell, (sample.time, sample.weight, amount), (keeps_older, floor))
            }
        }
    }

    /// Takes in an event that is one of these steps of a sequence, as bits; the chains that it completes as one of those
    /// `gained`, the shortest first.
    pub fn add_steps(
        &mut self,
        series: &Series,
        time: Timestamp,
        (steps, gained): (u8, u8),
    ) -> (Taken, Vec<Chain>) {
        match (self, &series.measure, &series.window) {
            (Self::Steps(own), Measure::Steps(filters), Window::Exact { span_ms, .. }) => {
                own.add((time, steps), gained, (filters.len(), *span_ms))
            }
            _ => (Taken::Applied, Vec::new()),
        }
    }

    /// Folds the hours of the week that end until a time, from that of `first` on, into what is usual.
    pub fn fold_hours(
        &mut self,
        (first, until): (Timestamp, Timestamp),
        mut hour_at: impl FnMut(Timestamp) -> LocalHour,
    ) {
        if let Self::Usual(usual) = self {
            usual.fold((first, until), &mut hour_at);
        }
    }

    /// What is usual once the hours that end until a time are folded.
    pub fn profile(
        &self,
        (first, until): (Timestamp, Timestamp),
        mut hour_at: impl FnMut(Timestamp) -> LocalHour,
    ) -> Option<Profile> {
        match self {
            Self::Usual(usual) => Some(usual.folded((first, until), &mut hour_at)),
            _ => None,
        }
    }

    /// What the newest value belongs to.
    #[must_use]
    pub fn period(&self) -> Option<u64> {
        match self {
            Self::Readings(readings) => readings.period(),
            _ => None,
        }
    }

    /// How the newest value has moved of late.
    #[must_use]
    pub fn pace(&self) -> Option<Pace> {
        match self {
            Self::Readings(readings) => readings.pace(),
            _ => None,
        }
    }

    /// Takes in a value of a field; if there never was this one, the time of the first match.
    pub fn learn(&mut self, time: Timestamp, value: Sampled) -> Option<Timestamp> {
        match (self, value) {
            (Self::Values(values), Sampled::Hash(hash)) => values.add(time, hash),
            _ => None,
        }
    }

    /// Takes in an event that is part of a course.
    pub fn add_part(&mut self, series: &Series, time: Timestamp, part: Part) -> Taken {
        match (self, &series.measure) {
            (Self::Course(own), Measure::Course(course)) => own.add(course, time, part),
            _ => Taken::Applied,
        }
    }

    /// Takes back an event that was part of a course, because it moved to another row.
    pub fn remove_part(&mut self, time: Timestamp, part: Part) {
        if let Self::Course(own) = self {
            own.remove(time, part);
        }
    }

    /// The rows in which a rule holds.
    #[must_use]
    pub const fn crowd(&self) -> Option<&Crowd> {
        match self {
            Self::Crowd(crowd) => Some(crowd),
            _ => None,
        }
    }

    /// The rows in which a rule holds, to change.
    pub const fn crowd_mut(&mut self) -> Option<&mut Crowd> {
        match self {
            Self::Crowd(crowd) => Some(crowd),
            _ => None,
        }
    }

    /// The start that counts of a course that has begun and not ended.
    #[must_use]
    pub fn course_start(&self) -> Option<Timestamp> {
        match self {
            Self::Course(own) => own.start(),
            _ => None,
        }
    }

    /// Whether a step of a course was done at or after a time.
    #[must_use]
    pub fn is_done_since(&self, step: u8, start: Timestamp) -> bool {
        match self {
            Self::Course(own) => own.done_since(step, start).is_some(),
            _ => false,
        }
    }

    /// Takes back an event that was one of these steps, because it moved to another row.
    pub fn remove_steps(&mut self, time: Timestamp, steps: u8) {
        if let Self::Steps(own) = self {
            own.remove((time, steps));
        }
    }

    /// Takes in what an event gives a score.
    pub fn add_points(&mut self, series: &Series, time: Timestamp, hits: &Hits) {
        if let (Self::Points(points), Measure::Score(scoring)) = (self, &series.measure) {
            points.add(scoring, time, hits);
        }
    }

    /// Takes back what an event gave a score, because it moved to another row.
    pub fn remove_points(&mut self, time: Timestamp, hits: &Hits) {
        if let Self::Points(points) = self {
            points.remove(time, hits);
        }
    }

    /// What the factors of a score give at a time, in 256ths of a point, in the order of the rule; [`IMPORTED`] stands
    /// for an imported score.
    #[must_use]
    pub fn factors(&self, series: &Series, at: Timestamp) -> Vec<(u8, i64)> {
        match (self, &series.measure) {
            (Self::Points(points), Measure::Score(scoring)) => points.factors(scoring, at),
            _ => Vec::new(),
        }
    }

    /// All points of a score together, as of its newest event.
    #[must_use]
    pub fn together(&self, series: &Series) -> Option<Given> {
        match (self, &series.measure) {
            (Self::Points(points), Measure::Score(scoring)) => Some(points.together(scoring)),
            _ => None,
        }
    }

    /// When the points of a score fade next after a time; `None` if there is nothing left to fade.
    #[must_use]
    pub fn fades_after(&self, series: &Series, after: Timestamp) -> Option<Timestamp> {
        match (self, &series.measure) {
            (Self::Points(points), Measure::Score(scoring)) => points.fades_after(scoring, after),
            _ => None,
        }
    }

    /// Takes a sample's contribution back, because its event moved to another row. What the sample had pushed out does
    /// not return, a pane forgets a distinct value even if another sample brought it too, and the newest match stays.
    pub fn remove(&mut self, series: &Series, sample: &Sample, day: Option<i32>) {
        if sample.time <= self.marks().reset {
            return;
        }
        match self {
            Self::Ring(ring) => ring.remove(sample.time),
            Self::Newest(_)
            | Self::Last(_)
            | Self::Points(_)
            | Self::Steps(_)
            | Self::Course(_)
            | Self::Values(_)
            | Self::Crowd(_)
            | Self::Readings(_) => {}
            Self::Counted(counted) => {
                if let Some((weight, amount)) = cell_parts(&series.measure, sample) {
                    counted.remove(Grain::of(series).cell(sample.time, day), weight, amount);
                }
            }
            Self::Usual(usual) => {
                usual.forget(sample.time, sample.weight);
                usual.counted.remove(Grain::of(series).cell(sample.time, day), sample.weight, None);
            }
            Self::Distinct(distinct) => {
                if let Some((hash, _)) = sample.value.and_then(Sampled::distinct) {
                    distinct.remove(Grain::of(series).cell(sample.time, day), sample.weight, hash);
                }
            }
            Self::Latest(latest) => {
                if sample.value.is_some() {
                    latest.remove(Grain::of(series).cell(sample.time, day), (sample.time, sample.weight));
                }
            }
        }
    }

    /// Events up to `at` count no more, those that come later included. `day` is the local day of `at`.
    ///
    /// The cell of `at` is emptied as a whole: matches in it that happened after `at`, but came before the reset, are lost.
    pub fn reset(&mut self, series: &Series, at: Timestamp, day: Option<i32>) {
        if at <= self.marks().reset {
            return;
        }
        match self {
            Self::Ring(ring) => ring.reset(at),
            Self::Newest(newest) => newest.marks.reset = at,
            Self::Last(last) => last.marks.reset = at,
            Self::Points(points) => points.marks.reset = at,
            Self::Steps(steps) => steps.marks.reset = at,
            Self::Course(course) => course.marks.reset = at,
            Self::Values(values) => values.marks.reset = at,
            Self::Crowd(crowd) => crowd.marks.reset = at,
            Self::Readings(readings) => readings.marks.reset = at,
            Self::Counted(counted) => counted.reset(at, Grain::of(series).cell(at, day)),
            Self::Usual(usual) => usual.counted.reset(at, Grain::of(series).cell(at, day)),
            Self::Distinct(distinct) => distinct.reset(at, Grain::of(series).cell(at, day)),
            Self::Latest(latest) => latest.reset(at, Grain::of(series).cell(at, day)),
        }
    }

    /// Time of the last reset.
    #[must_use]
    pub fn reset_at(&self) -> Option<Timestamp> {
        let reset = self.marks().reset;
        (reset != Timestamp::MIN).then_some(reset)
    }

    /// Time of the newest match after the last reset.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        let marks = self.marks();
        (marks.newest > marks.reset).then_some(marks.newest)
    }

    /// What the rule's own `window` shows. A span of days on panes, or the reverse, shows nothing.
    #[must_use]
    pub fn over(&self, series: &Series, window: &Window, span: Span) -> Measured {
        match self {
            Self::Ring(ring) => ring.over(window, span),
            Self::Newest(_) | Self::Steps(_) | Self::Course(_) | Self::Values(_) | Self::Crowd(_) => {
                Measured::NOTHING
            }
            Self::Last(last) => last.measured(),
            Self::Readings(readings) => readings.measured(),
            Self::Points(points) => match (&series.measure, span) {
                (Measure::Score(scoring), Span::UpTo(at) | Span::EndingAt(at)) => {
                    points.measured(scoring, at)
                }
                _ => Measured::NOTHING,
            },
            Self::Counted(counted) => {
                let grain = Grain::of(series);
                let Some((from, to)) = grain.range(window, span) else { return Measured::NOTHING };
                let total = counted.total(from, to);
                let unit = i128::from(SUM_UNIT);
                let value = match &series.measure {
                    Measure::Sum(_) => Exact::ratio(total.sum, unit),
                    Measure::Mean(_) => {
                        Exact::ratio(total.sum, unit.saturating_mul(i128::from(total.events)))
                    }
                    Measure::ShareOf(_) => Exact::ratio(total.sum, i128::from(total.events)),
                    _ => Some(count(total.events)),
                };
                let value = value.unwrap_or(Exact::whole(0));
                counted.measured(series, &grain, (from, to), (value, total.events))
            }
            Self::Usual(usual) => {
                let grain = Grain::of(series);
                let Some((from, to)) = grain.range(window, span) else { return Measured::NOTHING };
                let events = usual.counted.total(from, to).events;
                usual.counted.measured(series, &grain, (from, to), (count(events), events))
            }
            Self::Distinct(distinct) => {
                let grain = Grain::of(series);
                let Some((from, to)) = grain.range(window, span) else { return Measured::NOTHING };
                let events = distinct.counted.total(from, to).events;
                let value = match series.measure {
                    Measure::SumDistinct { .. } => {
                        Exact { num: distinct.sum(from, to), den: i128::from(SUM_UNIT) }
                    }
                    _ => count(distinct.count(from, to)),
                };
                distinct.counted.measured(series, &grain, (from, to), (value, events))
            }
            Self::Latest(latest) => {
                let grain = Grain::of(series);
                let Some((from, to)) = grain.range(window, span) else { return Measured::NOTHING };
                let events = latest.counted.total(from, to).events;
                let is_known = matches!(series.measure, Measure::Known(_));
                let found = latest.within(if is_known { i64::MIN } else { from }, to);
                let (value, time) =
                    found.map_or((Exact::whole(0), None), |(value, time)| (value, Some(time)));
                let measured = latest.counted.measured(series, &grain, (from, to), (value, events));
                if is_known { Measured { last: time, ..measured } } else { measured }
            }
        }
    }

    /// The measure of what was seen; none of a mean, share or last of nothing.
    #[must_use]
    pub const fn known(measure: &Measure, measured: &Measured) -> Option<Exact> {
        match measure {
            Measure::Mean(_) | Measure::ShareOf(_) | Measure::Last(_) if measured.events == 0 => None,
            Measure::Known(_) if measured.last.is_none() => None,
            _ => Some(measured.value),
        }
    }

    /// The measure alone of what [`SeriesState::over`] shows.
    #[must_use]
    pub fn value(&self, series: &Series, window: &Window, span: Span) -> Exact {
        match (self, &series.measure) {
            (Self::Counted(counted), Measure::Count) => {
                let range = Grain::of(series).range(window, span);
                count(range.map_or(0, |(from, to)| counted.total(from, to).events))
            }
            _ => self.over(series, window, span).value,
        }
    }

    /// Newest match and cells, if these counts are all that it knows.
    #[must_use]
    pub fn plain_counts(&self) -> Option<(Timestamp, &[Cell])> {
        match self {
            Self::Counted(counted) => counted.plain(),
            _ => None,
        }
    }

    /// The state that [`SeriesState::plain_counts`] shows.
    #[must_use]
    pub fn of_counts(newest: Timestamp, cells: Vec<Cell>) -> Self {
        Self::Counted(Box::new(Counted::of(newest, cells)))
    }

    /// When the window of `span` shows something else next, without any further event: a pane or timestamp leaves it, or
    /// one that lies ahead enters. `None` if never, and for day windows, which change at local midnight.
    #[must_use]
    pub fn next_change(&self, series: &Series, window: &Window, span: Span) -> Option<Timestamp> {
        match self {
            Self::Ring(ring) => ring.next_change(window, span, series.extras.days),
            Self::Newest(_)
            | Self::Last(_)
            | Self::Points(_)
            | Self::Steps(_)
            | Self::Course(_)
            | Self::Values(_)
            | Self::Crowd(_)
            | Self::Readings(_) => None,
            Self::Counted(counted) => counted.next_change(&Grain::of(series), span),
            Self::Distinct(distinct) => distinct.counted.next_change(&Grain::of(series), span),
            Self::Latest(latest) => latest.counted.next_change(&Grain::of(series), span),
            Self::Usual(usual) => usual.counted.next_change(&Grain::of(series), span),
        }
    }

    /// The own usual gap between matches, ms: the 95th percentile of the kept ones; `None` while fewer than 3 are known.
    #[must_use]
    pub fn usual_gap_ms(&self, for_ms: i64) -> Option<i64> {
        match self {
            Self::Newest(newest) => newest.usual_gap_ms(for_ms),
            _ => None,
        }
    }

    /// Whether nothing in it can show in any window that ends at or after `floor`, so that it may be dropped. A last
    /// match is never dropped.
    #[must_use]
    pub fn is_empty_at(&self, series: &Series, floor: Floor) -> bool {
        match self {
            Self::Ring(ring) => ring.is_empty_at(&series.window, floor),
            Self::Newest(newest) => newest.marks == Marks::default(),
            Self::Last(last) => last.marks == Marks::default(),
            Self::Course(course) => course.marks == Marks::default(),
            Self::Values(values) => values.marks == Marks::default(),
            Self::Crowd(crowd) => match series.window {
                Window::Exact { span_ms, .. } => crowd.ends(span_ms).is_some_and(|end| end <= floor.0),
                _ => true,
            },
            Self::Readings(readings) => readings.marks == Marks::default(),
            Self::Usual(usual) => usual.counted.marks == Marks::default(),
            Self::Points(points) => match &series.measure {
                Measure::Score(scoring) => points.fades_after(scoring, floor.0).is_none(),
                _ => true,
            },
            Self::Steps(steps) => match series.window {
                Window::Exact { span_ms, .. } => steps.is_past(span_ms, floor.0),
                _ => true,
            },
            Self::Counted(counted) => counted.is_empty_at(&Grain::of(series), floor),
            Self::Distinct(distinct) => distinct.counted.is_empty_at(&Grain::of(series), floor),
            Self::Latest(latest) if matches!(series.measure, Measure::Known(_)) => {
                latest.counted.marks == Marks::default()
            }
            Self::Latest(latest) => latest.counted.is_empty_at(&Grain::of(series), floor),
        }
    }

    /// Bytes it holds on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Ring(ring) => ring.heap_bytes(),
            Self::Newest(newest) => newest.heap_bytes(),
            Self::Last(_) => 0,
            Self::Course(course) => size_of::<CourseState>() + course.heap_bytes(),
            Self::Values(values) => size_of::<Values>() + values.heap_bytes(),
            Self::Crowd(crowd) => size_of::<Crowd>() + crowd.heap_bytes(),
            Self::Readings(readings) => size_of::<Readings>() + readings.heap_bytes(),
            Self::Usual(usual) => size_of::<Usual>() + usual.heap_bytes(),
            Self::Steps(steps) => size_of::<Steps>() + steps.heap_bytes(),
            Self::Points(points) => size_of::<PointsState>() + points.heap_bytes(),
            Self::Counted(counted) => size_of::<Counted>() + counted.heap_bytes(),
            Self::Distinct(distinct) => size_of::<Distinct>() + distinct.heap_bytes(),
            Self::Latest(latest) => size_of::<Latest>() + latest.heap_bytes(),
        }
    }
}

/// A count as an exact number, saturating.
fn count(events: u64) -> Exact {
    Exact { num: i128::from(events), den: 1 }
}
