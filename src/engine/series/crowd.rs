//! Rows in which a rule holds, as their parent knows them (`collapse_to`).

use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};

use super::Marks;

/// Rows that one account's own row remembers; one across accounts remembers more.
const ROWS_MAX: usize = 1024;
const ROWS_MAX_ACROSS: usize = super::members::VALUES_MAX;

/// A row: the newest time at which the rule became true in it, and since when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    row: u64,
    at: Timestamp,
    over: Option<Timestamp>,
}

impl Place {
    /// Whether it holds at a time, or was over less than `within_ms` before.
    fn counts(&self, time: Timestamp, within_ms: i64) -> bool {
        self.over.is_none_or(|over| over.plus(within_ms) > time)
    }
}

/// The rows, by their hash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Crowd {
    pub(super) marks: Marks,
    rows: Vec<Place>,
}

/// What rows are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// How many.
    pub rows: u64,
    /// When the rule became true in the first of them.
    pub first: Option<Timestamp>,
}

impl Crowd {
    /// The rule became true in a row.
    pub fn begin(&mut self, row: u64, at: Timestamp) {
        self.marks.newest = self.marks.newest.max(at);
        match self.rows.binary_search_by_key(&row, |own| own.row) {
            Ok(place) => {
                let own = &mut self.rows[place];
                if at > own.at {
                    (own.at, own.over) = (at, None);
                }
            }
            Err(place) => self.rows.insert(place, Place { row, at, over: None }),
        }
    }

    /// It is over there.
    pub fn end(&mut self, row: u64, over: Timestamp) {
        if let Ok(place) = self.rows.binary_search_by_key(&row, |own| own.row) {
            let own = &mut self.rows[place];
            if over >= own.at {
                own.over = own.over.max(Some(over));
            }
        }
    }

    /// Forgets what no one asks for any more, and what is over longest if there are too many.
    pub fn forget(&mut self, watermark: Timestamp, within_ms: i64, is_across: bool) {
        let newest = self.marks.newest;
        self.rows.retain(|own| own.counts(watermark.min(newest), within_ms));
        let most = if is_across { ROWS_MAX_ACROSS } else { ROWS_MAX };
        while self.rows.len() > most {
            let oldest = self.rows.iter().enumerate();
            let oldest = oldest.min_by_key(|(_, own)| (own.over.is_none(), own.over, own.at, own.row));
            let Some((place, _)) = oldest else { return };
            self.rows.remove(place);
        }
    }

    /// The rows in which it became true within so long before the newest of all.
    #[must_use]
    pub fn rising(&self, within_ms: i64) -> Seen {
        let from = self.marks.newest.plus(-within_ms);
        Self::seen(self.rows.iter().filter(|own| own.at > from))
    }

    /// The rows in which it holds at a time, or was over less than so long before.
    #[must_use]
    pub fn present(&self, time: Timestamp, within_ms: i64) -> Seen {
        Self::seen(self.rows.iter().filter(|own| own.counts(time, within_ms)))
    }

    fn seen<'p>(rows: impl Iterator<Item = &'p Place> + Clone) -> Seen {
        Seen { rows: rows.clone().count() as u64, first: rows.map(|own| own.at).min() }
    }

    /// When the last row will have been over for so long; `None` while one holds.
    #[must_use]
    pub fn ends(&self, within_ms: i64) -> Option<Timestamp> {
        let over: Option<Vec<Timestamp>> = self.rows.iter().map(|own| own.over).collect();
        over?.into_iter().max().map(|over| over.plus(within_ms))
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.rows.len() as u64);
        for own in &self.rows {
            out.extend_from_slice(&own.row.to_le_bytes());
            put_signed(out, own.at.0);
            // Never less than nothing: how long it held, and one.
            put_varint(out, own.over.map_or(0, |over| over.since(own.at).unsigned_abs() + 1));
        }
    }

    pub(super) fn decode(marks: Marks, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut rows: Vec<Place> = Vec::new();
        for _ in 0..reader.count()? {
            let row = u64::from_le_bytes(reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?);
            let at = reader.time()?;
            let held = reader.varint()?.checked_sub(1).map(i64::try_from).transpose();
            let held = held.map_err(|_| FormatError::Malformed("time"))?;
            if rows.last().is_some_and(|last| last.row >= row) {
                return Err(FormatError::Malformed("rows"));
            }
            rows.push(Place { row, at, over: held.map(|held| at.plus(held)) });
        }
        Ok(Self { marks, rows })
    }

    pub(super) const fn heap_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Place>()
    }
}

#[cfg(test)]
mod tests {
    use super::{Crowd, Seen};
    use crate::engine::series::Marks;
    use crate::event::Timestamp;
    use crate::event::bytes::Reader;

    fn crowd(begun: &[(u64, i64)]) -> Crowd {
        let mut crowd = Crowd::default();
        begun.iter().for_each(|(row, at)| crowd.begin(*row, Timestamp(*at)));
        crowd
    }

    fn seen(rows: u64, first: i64) -> Seen {
        Seen { rows, first: Some(Timestamp(first)) }
    }

    #[test]
    fn rows_count_from_their_newest_beginning() {
        let mut crowd = crowd(&[(7, 10), (3, 20), (7, 5)]);
        assert_eq!(crowd.rising(10), seen(1, 20), "the window excludes its beginning");
        assert_eq!(crowd.rising(11), seen(2, 10));
        crowd.end(3, Timestamp(19));
        assert_eq!(crowd.ends(10), None, "an end before the beginning is that of an earlier run");
        crowd.end(3, Timestamp(30));
        crowd.end(3, Timestamp(25));
        crowd.end(9, Timestamp(99));
        assert_eq!(
            (crowd.present(Timestamp(39), 10), crowd.present(Timestamp(40), 10)),
            (seen(2, 10), seen(1, 10))
        );
        crowd.end(7, Timestamp(10));
        assert_eq!(crowd.ends(10), Some(Timestamp(40)));
        crowd.begin(7, Timestamp(50));
        assert_eq!((crowd.ends(10), crowd.present(Timestamp(60), 10)), (None, seen(1, 50)));
        crowd.forget(Timestamp(39), 10, false);
        assert_eq!(crowd.present(Timestamp(20), 10).rows, 2);
        crowd.forget(Timestamp(40), 10, false);
        assert_eq!(crowd.present(Timestamp(20), 10).rows, 1);
    }

    #[test]
    fn of_too_many_those_that_are_over_longest_go_first() {
        let mut crowd = crowd(&(0..1026).map(|row| (row, 0)).collect::<Vec<_>>());
        crowd.end(8, Timestamp(9));
        crowd.end(4, Timestamp(10));
        crowd.forget(Timestamp(0), 1_000, false);
        assert_eq!((crowd.rows.len(), crowd.ends(1)), (1024, None));
        assert!(crowd.rows.iter().all(|own| own.over.is_none()));
        crowd.forget(Timestamp(0), 1_000, true);
        assert_eq!(crowd.rows.len(), 1024);
    }

    #[test]
    fn it_is_read_back() {
        let mut crowd = crowd(&[(7, 10), (3, -20)]);
        crowd.end(7, Timestamp(10));
        let mut bytes = Vec::new();
        crowd.encode(&mut bytes);
        assert_eq!(bytes, [2, 3, 0, 0, 0, 0, 0, 0, 0, 39, 0, 7, 0, 0, 0, 0, 0, 0, 0, 20, 1]);
        let marks = Marks { newest: Timestamp(10), ..Marks::default() };
        assert_eq!(Crowd::decode(marks, &mut Reader::new(&bytes)), Ok(crowd));
        for end in 0..bytes.len() {
            assert!(Crowd::decode(marks, &mut Reader::new(&bytes[..end])).is_err(), "{end}");
        }
        bytes[11] = 3;
        assert!(Crowd::decode(marks, &mut Reader::new(&bytes)).is_err(), "twice the same row");
    }
}
