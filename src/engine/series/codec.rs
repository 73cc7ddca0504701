//! The bytes of series.

use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed};

use super::accounts::Accounts;
use super::cells::{Cell, put_cells};
use super::counted::Counted;
use super::course::CourseState;
use super::crowd::Crowd;
use super::distinct::Distinct;
use super::last::Last;
use super::latest::Latest;
use super::newest::Newest;
use super::points::PointsState;
use super::readings::Readings;
use super::ring::Ring;
use super::steps::Steps;
use super::usual::Usual;
use super::values::Values;
use super::{Marks, SeriesState};

const TAG_RING: u8 = 1;
const TAG_COUNTED: u8 = 2;
const TAG_DISTINCT: u8 = 3;
const TAG_NEWEST: u8 = 4;
const TAG_LAST: u8 = 5;
const TAG_POINTS: u8 = 6;
const TAG_STEPS: u8 = 7;
const TAG_COURSE: u8 = 8;
const TAG_VALUES: u8 = 9;
const TAG_READINGS: u8 = 10;
const TAG_SUM_DISTINCT: u8 = 11;
const TAG_USUAL: u8 = 12;
const TAG_LATEST: u8 = 13;
const TAG_CROWD: u8 = 14;
/// Added to the tag if whose the matches are follows the content.
const TAG_ACCOUNTS: u8 = 0x40;
/// Added to the tag if a reset is remembered.
const TAG_RESET: u8 = 0x80;

impl SeriesState {
    /// Appends the state: a tag, the marks, the content, the accounts.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let marks = self.marks();
        let tag = match self {
            Self::Ring(_) => TAG_RING,
            Self::Counted(_) => TAG_COUNTED,
            Self::Distinct(distinct) if distinct.is_summed() => TAG_SUM_DISTINCT,
            Self::Distinct(_) => TAG_DISTINCT,
            Self::Newest(_) => TAG_NEWEST,
            Self::Last(_) => TAG_LAST,
            Self::Latest(_) => TAG_LATEST,
            Self::Points(_) => TAG_POINTS,
            Self::Steps(_) => TAG_STEPS,
            Self::Course(_) => TAG_COURSE,
            Self::Values(_) => TAG_VALUES,
            Self::Crowd(_) => TAG_CROWD,
            Self::Readings(_) => TAG_READINGS,
            Self::Usual(_) => TAG_USUAL,
        };
        let is_reset = marks.reset != Timestamp::MIN;
        let accounts = self.counted().and_then(|counted| counted.accounts.as_ref());
        let reset = if is_reset { TAG_RESET } else { 0 };
        out.push(tag | reset | if accounts.is_some() { TAG_ACCOUNTS } else { 0 });
        if is_reset {
            put_signed(out, marks.reset.0);
        }
        put_signed(out, marks.newest.0);
        match self {
            Self::Ring(ring) => ring.encode(out),
            Self::Counted(counted) => counted.encode(out),
            Self::Distinct(distinct) => distinct.encode(out),
            Self::Newest(newest) => newest.encode(out),
            Self::Last(last) => last.encode(out),
            Self::Latest(latest) => latest.encode(out),
            Self::Points(points) => points.encode(out),
            Self::Steps(steps) => steps.encode(out),
            Self::Course(course) => course.encode(out),
            Self::Values(values) => values.encode(out),
            Self::Crowd(crowd) => crowd.encode(out),
            Self::Readings(readings) => readings.encode(out),
            Self::Usual(usual) => usual.encode(out),
        }
        if let Some(accounts) = accounts {
            accounts.encode(out);
        }
    }

    /// Reads what [`SeriesState::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are cut or no writer makes them.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let tag = reader.byte()?;
        let reset = if tag & TAG_RESET == 0 { Timestamp::MIN } else { reader.time()? };
        let marks = Marks { newest: reader.time()?, reset };
        let mut state = Self::decode_content(tag & !(TAG_RESET | TAG_ACCOUNTS), marks, reader)?;
        if tag & TAG_ACCOUNTS != 0 {
            let counted = state.counted_mut().ok_or(FormatError::Malformed("accounts of nothing"))?;
            counted.accounts = Some(Box::new(Accounts::decode(reader)?));
        }
        Ok(state)
    }

    fn decode_content(tag: u8, marks: Marks, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        match tag {
            TAG_RING => Ok(Self::Ring(Ring::decode(marks, reader)?)),
            TAG_COUNTED => Ok(Self::Counted(Box::new(Counted::decode(marks, reader)?))),
            TAG_DISTINCT => Ok(Self::Distinct(Box::new(Distinct::decode(marks, false, reader)?))),
            TAG_SUM_DISTINCT => Ok(Self::Distinct(Box::new(Distinct::decode(marks, true, reader)?))),
            TAG_NEWEST => Ok(Self::Newest(Newest::decode(marks, reader)?)),
            TAG_LAST => Ok(Self::Last(Last::decode(marks, reader)?)),
            TAG_LATEST => Ok(Self::Latest(Box::new(Latest::decode(marks, reader)?))),
            TAG_COURSE => Ok(Self::Course(Box::new(CourseState::decode(marks, reader)?))),
            TAG_CROWD => Ok(Self::Crowd(Box::new(Crowd::decode(marks, reader)?))),
            TAG_VALUES => Ok(Self::Values(Box::new(Values::decode(marks, reader)?))),
            TAG_READINGS => Ok(Self::Readings(Box::new(Readings::decode(marks, reader)?))),
            TAG_USUAL => Ok(Self::Usual(Box::new(Usual::decode(marks, reader)?))),
            TAG_STEPS => Ok(Self::Steps(Box::new(Steps::decode(marks, reader)?))),
            TAG_POINTS => Ok(Self::Points(Box::new(PointsState::decode(marks, reader)?))),
            _ => Err(FormatError::Malformed("series tag")),
        }
    }

    /// Appends plain counts, given from the newest to the oldest: the bytes of [`SeriesState::of_counts`].
    pub fn put_counts(out: &mut Vec<u8>, newest: Timestamp, cells: impl ExactSizeIterator<Item = Cell>) {
        out.push(TAG_COUNTED);
        put_signed(out, newest.0);
        put_cells(out, false, cells.map(|cell| (cell, None)));
    }
}
