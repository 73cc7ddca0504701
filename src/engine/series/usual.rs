//! What is usual for an hour of the week: matches of whole local hours, folded into a level and a profile that fade
//! (`rules.md` §7, compare against the baseline; `detectors.md` §3.2).
//!
//! All is plain arithmetic in a fixed order, kept in single precision: the same everywhere, to the last bit.

use crate::engine::calendar::LocalHour;
use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed};

use super::Marks;
use super::cells::Cells;
use super::counted::Counted;

/// Hours of the week.
const HOURS: usize = 168;
/// Hours of the day.
const DAY: usize = 24;
/// Days from Monday to Friday.
const WEEKDAYS: usize = 5;
/// What an hour leaves of the level: half in a week.
const LEVEL_LEFT: f64 = 0.995_882_623_658_297_4;
/// What a week leaves of an hour of the week: half in four.
const PROFILE_LEFT: f64 = 0.840_896_415_253_714_5;
/// Open hours are counted in these, ms: every zone's hours begin with one.
const QUARTER_MS: i64 = 900_000;
/// Hours of silence before the first match that are folded at most: four and a half years, after which all has faded.
const SILENCE_MS: i64 = 238 * 168 * 3_600_000;
/// Nothing is folded yet.
const NEVER: Timestamp = Timestamp::MAX;

/// By weeks that an hour of the week has seen: the sum of what is left of each.
const WEIGHTS: [f64; 256] = weights();

const fn weights() -> [f64; 256] {
    let mut weights = [0.0; 256];
    let mut weeks = 1;
    while weeks < 256 {
        weights[weeks] = PROFILE_LEFT * weights[weeks - 1] + 1.0;
        weeks += 1;
    }
    weights
}

/// What is to be expected of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// Matches.
    pub mean: f64,
    /// Their variance.
    pub variance: f64,
}

/// The folded hours.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Start of the first hour that is not folded.
    next: Timestamp,
    /// Index of dispersion.
    dispersion: f32,
    /// Matches, fading.
    level: f32,
    /// Hours, fading, each as much as its hour of the week is worth.
    weight: f32,
    /// Of each hour of the week: matches, fading.
    sums: [f32; HOURS],
    /// Of each hour of the week: how often it was folded, saturating.
    weeks: [u8; HOURS],
}

impl Default for Profile {
    fn default() -> Self {
        Self { next: NEVER, dispersion: 1.0, level: 0.0, weight: 0.0, sums: [0.0; HOURS], weeks: [0; HOURS] }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "single precision is what is kept")]
const fn single(value: f64) -> f32 {
    value as f32
}

impl Profile {
    fn weight_of(&self, hour: usize) -> f64 {
        WEIGHTS[usize::from(self.weeks[hour])]
    }

    /// How much busier an hour of the week is than the mean of all: shrunk to its hour's weekdays or weekend, and that to
    /// flat.
    fn factor(&self, hour: usize) -> f64 {
        let (mut sum, mut weight) = (0.0, 0.0);
        for own in 0..HOURS {
            sum += f64::from(self.sums[own]);
            weight += self.weight_of(own);
        }
        let mean = if weight > 0.0 { sum / weight } else { 0.0 };
        let prior = 2.0 * mean.max(1.0);
        let days = if hour / DAY < WEEKDAYS { 0..WEEKDAYS } else { WEEKDAYS..HOURS / DAY };
        let (mut sum, mut weight) = (0.0, 0.0);
        for own in days.map(|day| day * DAY + hour % DAY) {
            sum += f64::from(self.sums[own]);
            weight += self.weight_of(own);
        }
        let shared = (sum + prior) / (mean * weight + prior);
        (f64::from(self.sums[hour]) + prior * shared) / (mean * self.weight_of(hour) + prior)
    }

    /// Matches of an hour of the week whose factor this is.
    fn mean(&self, factor: f64) -> f64 {
        let (level, weight) = (f64::from(self.level), f64::from(self.weight));
        if weight > 0.0 { factor * (level + 0.5) / weight } else { 0.5 }
    }

    fn fold_hour(&mut self, hour: usize, count: u64) {
        let factor = self.factor(hour);
        let mean = self.mean(factor);
        let folded: usize = self.weeks.iter().map(|weeks| usize::from(*weeks)).sum();
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let count = count as f64;
        let count = if folded >= HOURS { count.min(3.0 * mean + 5.0) } else { count };
        let apart = (count - mean) * (count - mean) / mean.max(0.25);
        self.dispersion = single(LEVEL_LEFT * f64::from(self.dispersion) + (1.0 - LEVEL_LEFT) * apart);
        self.level = single(LEVEL_LEFT * f64::from(self.level) + count);
        self.weight = single(LEVEL_LEFT * f64::from(self.weight) + factor);
        self.sums[hour] = single(PROFILE_LEFT * f64::from(self.sums[hour]) + count);
        self.weeks[hour] = self.weeks[hour].saturating_add(1);
    }

    /// Folds the hours that end until a time, from that of `first` on.
    fn fold(
        &mut self,
        open: &Cells,
        (first, until): (Timestamp, Timestamp),
        hour_at: &mut impl FnMut(Timestamp) -> LocalHour,
    ) {
        let first = first.max(until.plus(-SILENCE_MS));
        let mut at = if self.next == NEVER { hour_at(first).start } else { self.next };
        loop {
            let hour = hour_at(at);
            if hour.end > until || hour.end <= at {
                break;
            }
            let (from, to) = (quarter_from(at), quarter_from(hour.end));
            self.fold_hour(usize::from(hour.of_week), open.total(from, to - 1).events);
            at = hour.end;
            self.next = at;
        }
    }

    /// What is to be expected from one time to another.
    pub fn expected(
        &self,
        (from, to): (Timestamp, Timestamp),
        hour_at: &mut impl FnMut(Timestamp) -> LocalHour,
    ) -> Expected {
        let (dispersion, level) = (f64::from(self.dispersion), f64::from(self.level));
        let mut expected = Expected { mean: 0.0, variance: 0.0 };
        let mut at = from;
        while at < to {
            let hour = hour_at(at);
            if hour.end <= at {
                break;
            }
            let mean = self.mean(self.factor(usize::from(hour.of_week)));
            let variance = mean * dispersion.max(1.0) + mean * mean / (level + 0.5);
            #[expect(clippy::cast_precision_loss, reason = "an hour has few milliseconds")]
            let share = hour.end.min(to).since(at) as f64 / hour.end.since(hour.start) as f64;
            expected.mean += mean * share;
            expected.variance += variance * share;
            at = hour.end;
        }
        expected
    }
}

/// The quarter of an hour of a time.
#[must_use]
pub const fn quarter_of(time: Timestamp) -> i64 {
    time.0.div_euclid(QUARTER_MS)
}

/// The first quarter that begins at or after a time.
fn quarter_from(time: Timestamp) -> i64 {
    -(-time.0).div_euclid(QUARTER_MS)
}

/// Matches per pane for the window that is compared, those of hours that are not folded, and the folded ones.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Usual {
    pub(super) counted: Counted,
    open: Cells,
    profile: Profile,
}

/// No number in it is none.
impl Eq for Usual {}

impl Usual {
    pub(super) fn fold(
        &mut self,
        (first, until): (Timestamp, Timestamp),
        hour_at: &mut impl FnMut(Timestamp) -> LocalHour,
    ) {
        self.profile.fold(&self.open, (first, until), hour_at);
        let next = self.profile.next;
        self.open.forget_before(if next == NEVER { i64::MIN } else { quarter_from(next) });
    }

    /// The profile as it is once all hours that end until a time are folded.
    pub(super) fn folded(
        &self,
        (first, until): (Timestamp, Timestamp),
        hour_at: &mut impl FnMut(Timestamp) -> LocalHour,
    ) -> Profile {
        let mut profile = self.profile.clone();
        profile.fold(&self.open, (first, until), hour_at);
        profile
    }

    fn is_open(&self, time: Timestamp) -> bool {
        self.profile.next == NEVER || time >= self.profile.next
    }

    /// Counts a match for its hour, unless that is folded already.
    pub(super) fn note(&mut self, time: Timestamp, weight: u32) {
        if self.is_open(time) {
            self.open.add(quarter_of(time), weight, None);
        }
    }

    pub(super) fn forget(&mut self, time: Timestamp, weight: u32) {
        if self.is_open(time) {
            self.open.remove(quarter_of(time), weight, None);
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.counted.encode(out);
        self.open.encode(out);
        let Profile { next, dispersion, level, weight, sums, weeks } = &self.profile;
        put_signed(out, next.0);
        for number in [dispersion, level, weight] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for (weeks, sum) in weeks.iter().zip(sums) {
            out.push(*weeks);
            if *weeks > 0 {
                out.extend_from_slice(&sum.to_le_bytes());
            }
        }
    }

    pub(super) fn decode(marks: Marks, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let counted = Counted::decode(marks, reader)?;
        let open = Cells::decode(reader)?;
        let next = reader.time()?;
        let [dispersion, level, weight] = [number(reader)?, number(reader)?, number(reader)?];
        let mut profile = Profile { next, dispersion, level, weight, ..Profile::default() };
        for (weeks, sum) in profile.weeks.iter_mut().zip(&mut profile.sums) {
            *weeks = reader.byte()?;
            if *weeks > 0 {
                *sum = number(reader)?;
            }
        }
        Ok(Self { counted, open, profile })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.counted.heap_bytes() + self.open.heap_bytes()
    }
}

/// A number that is not negative.
fn number(reader: &mut Reader<'_>) -> Result<f32, FormatError> {
    let bytes = reader.take(4)?.try_into().map_err(|_| FormatError::Truncated)?;
    let number = f32::from_le_bytes(bytes);
    if number.is_finite() && number >= 0.0 { Ok(number) } else { Err(FormatError::Malformed("baseline")) }
}
