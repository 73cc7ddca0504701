//! Points that fade: what a score adds up (`detectors.md` §3.4).

use crate::engine::number::Exact;
use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};
use crate::rules::program::{Decimal, Scoring};

use super::{Marks, Measured};

/// Points are kept in these parts of one.
const PARTS: i128 = 256;
/// Ages count in these parts of the half-life.
const STEPS: i64 = 64;
/// After so many half-lives nothing is left of the largest number of points.
const GONE: i64 = 40;
/// Bits behind the point while points are summed up, so that whole half-lives are exact.
const BITS: u32 = 60;
/// The factor's number that stands for an imported score.
pub const IMPORTED: u8 = u8::MAX;

/// What one event gives a score, in 256ths of a point.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hits {
    /// The score that it sets.
    pub imported: Option<i32>,
    /// Numbers of the factors that it hits, and the points.
    pub points: Vec<(u8, i32)>,
}

impl Hits {
    /// Whether it gives nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.imported.is_none() && self.points.is_empty()
    }
}

/// Points in 256ths, and when they were given.
pub type Given = (Timestamp, i32);

/// An imported score, and the latest points of each factor, by event time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PointsState {
    pub(super) marks: Marks,
    imported: Option<Given>,
    factors: Vec<Vec<Given>>,
}

impl PointsState {
    /// Takes points in. An imported score ends all points up to its time, those of its own event too.
    pub(super) fn add(&mut self, scoring: &Scoring, time: Timestamp, hits: &Hits) {
        if time <= self.marks.reset {
            return;
        }
        self.marks.newest = self.marks.newest.max(time);
        if let Some(score) = hits.imported
            && self.imported.is_none_or(|(own, _)| own <= time)
        {
            self.imported = Some((time, score));
            self.factors.iter_mut().for_each(|given| given.retain(|(own, _)| *own > time));
        }
        if self.imported.is_some_and(|(own, _)| time <= own) {
            return;
        }
        self.factors.resize_with(scoring.factors.len(), Vec::new);
        for (number, points) in &hits.points {
            let place = usize::from(*number);
            let (Some(factor), Some(given)) = (scoring.factors.get(place), self.factors.get_mut(place))
            else {
                continue;
            };
            let at = given.partition_point(|(own, _)| *own <= time);
            given.insert(at, (time, *points));
            if given.len() > usize::from(factor.max) {
                given.remove(0);
            }
        }
    }

    /// Takes back what an event of this time gave; what that had pushed out does not return.
    pub(super) fn remove(&mut self, time: Timestamp, hits: &Hits) {
        for (number, points) in &hits.points {
            let Some(given) = self.factors.get_mut(usize::from(*number)) else { continue };
            if let Some(place) = given.iter().position(|own| *own == (time, *points)) {
                given.remove(place);
            }
        }
        self.imported = self.imported.filter(|own| hits.imported.is_none_or(|score| *own != (time, score)));
    }

    pub(super) fn measured(&self, scoring: &Scoring, at: Timestamp) -> Measured {
        Measured { value: within(scoring, self.sum(scoring, at)), ..Measured::NOTHING }
    }

    /// All points together as they are at its newest event, in 256ths, and when that was; whatever the range.
    pub(super) fn together(&self, scoring: &Scoring) -> Given {
        let at = self.marks.newest;
        let points = rounded(self.sum(scoring, at));
        (at, i32::try_from(points).unwrap_or(if points < 0 { i32::MIN } else { i32::MAX }))
    }

    /// What is left of all points at a time, with [`BITS`] behind the point.
    fn sum(&self, scoring: &Scoring, at: Timestamp) -> i128 {
        self.given().map(|(_, given)| faded(scoring, given, at)).sum()
    }

    pub(super) fn factors(&self, scoring: &Scoring, at: Timestamp) -> Vec<(u8, i64)> {
        let mut sums: Vec<(u8, i128)> = Vec::new();
        for (number, given) in self.given() {
            let points = faded(scoring, given, at);
            match sums.iter_mut().find(|(own, _)| *own == number) {
                Some((_, sum)) => *sum += points,
                None => sums.push((number, points)),
            }
        }
        let part = |(number, sum): (u8, i128)| (number, i64::try_from(rounded(sum)).unwrap_or(i64::MAX));
        sums.into_iter().map(part).filter(|(_, points)| *points != 0).collect()
    }

    /// An imported score first, then the points in the order of the factors, older ones first.
    fn given(&self) -> impl Iterator<Item = (u8, Given)> {
        let live = |given: &Given| given.0 > self.marks.reset;
        let factors = (0_u8..).zip(&self.factors);
        let points = factors.flat_map(|(number, given)| given.iter().map(move |given| (number, *given)));
        self.imported
            .map(|given| (IMPORTED, given))
            .into_iter()
            .chain(points)
            .filter(move |(_, given)| live(given))
    }

    pub(super) fn fades_after(&self, scoring: &Scoring, after: Timestamp) -> Option<Timestamp> {
        let step = step_of(scoring, after) + 1;
        let newest = self.given().map(|(_, (time, _))| time).max()?;
        let gone = step_of(scoring, newest) + STEPS * GONE;
        (step <= gone).then(|| step_start(scoring, step))
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.imported.is_some()));
        let mut time = self.marks.newest.0;
        let mut put = |out: &mut Vec<u8>, given: &Given| {
            put_signed(out, time.wrapping_sub(given.0.0));
            put_signed(out, i64::from(given.1));
            time = given.0.0;
        };
        if let Some(given) = &self.imported {
            put(out, given);
        }
        put_varint(out, self.factors.len() as u64);
        for given in &self.factors {
            put_varint(out, given.len() as u64);
            given.iter().for_each(|given| put(out, given));
        }
    }

    pub(super) fn decode(marks: Marks, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut time = marks.newest.0;
        let mut given = |reader: &mut Reader<'_>| {
            time = time.wrapping_sub(reader.signed()?);
            let points = i32::try_from(reader.signed()?).map_err(|_| FormatError::Malformed("points"))?;
            Ok((Timestamp(time), points))
        };
        let mut state = Self { marks, imported: None, factors: Vec::new() };
        if reader.byte()? != 0 {
            state.imported = Some(given(reader)?);
        }
        for _ in 0..reader.count()? {
            let count = reader.count()?;
            state.factors.push((0..count).map(|_| given(reader)).collect::<Result<_, _>>()?);
        }
        Ok(state)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.factors.iter().map(|given| size_of::<Vec<Given>>() + given.capacity() * size_of::<Given>()).sum()
    }
}

/// The step of the clock, in 64ths of the half-life from the epoch on.
fn step_of(scoring: &Scoring, time: Timestamp) -> i64 {
    let steps = (i128::from(time.0) * i128::from(STEPS)).div_euclid(i128::from(scoring.half_life_ms.max(1)));
    i64::try_from(steps).unwrap_or(i64::MAX / 2)
}

/// The first millisecond of a step.
fn step_start(scoring: &Scoring, step: i64) -> Timestamp {
    let start = -(-i128::from(step) * i128::from(scoring.half_life_ms)).div_euclid(i128::from(STEPS));
    Timestamp(i64::try_from(start).unwrap_or(i64::MAX))
}

/// What is left of points at a time: 256ths, with [`BITS`] more behind the point.
fn faded(scoring: &Scoring, (time, points): Given, at: Timestamp) -> i128 {
    let age = (step_of(scoring, at) - step_of(scoring, time)).max(0);
    let (halvings, rest) = (age / STEPS, age % STEPS);
    if halvings >= GONE {
        return 0;
    }
    // The table's entries are exact powers for whole halvings; libm makes the others the same everywhere.
    #[expect(clippy::cast_precision_loss, reason = "less than 64")]
    let left = libm::exp2(-(rest as f64) / 64.0) * libm::exp2(f64::from(BITS));
    #[expect(clippy::cast_possible_truncation, reason = "at most 2^60, and without fraction")]
    let left = left as i128;
    (i128::from(points) * left) >> halvings
}

/// The score that points given once have become at a time.
#[must_use]
pub fn score_of(scoring: &Scoring, given: Given, at: Timestamp) -> Exact {
    within(scoring, faded(scoring, given, at))
}

/// A sum of points as a score: within the range.
fn within(scoring: &Scoring, sum: i128) -> Exact {
    let score = Exact { num: rounded(sum), den: PARTS };
    let (lowest, highest) = (exact(scoring.lowest), exact(scoring.highest));
    if score.order(lowest).is_lt() {
        lowest
    } else if score.order(highest).is_gt() {
        highest
    } else {
        score
    }
}

/// Whole 256ths, half up.
const fn rounded(sum: i128) -> i128 {
    (sum + (1 << (BITS - 1))) >> BITS
}

const fn exact(limit: Decimal) -> Exact {
    Exact { num: limit.mantissa as i128, den: 10_i128.pow(limit.scale as u32) }
}
