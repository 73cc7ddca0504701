//! Deadlines of a row, from its bytes: the index that a store keeps can be made again from the rows alone.

use crate::engine::store::{Deadline, DeadlineClock, RowKey, StoreError};

use super::row::Row;

/// What a stored row is armed for. Reads the whole row, so a row that this build can't read is noticed.
///
/// # Errors
/// If the bytes are not those of a row.
pub fn deadlines_of(key: &RowKey, bytes: &[u8]) -> Result<Vec<Deadline>, StoreError> {
    let row = Row::decode(bytes).map_err(|error| StoreError::Corrupt(format!("row {:?}: {error}", key.0)))?;
    let armed = |clock: DeadlineClock| row.armed(clock).map(|at| Deadline { clock, at, row: key.clone() });
    Ok([DeadlineClock::Watermark, DeadlineClock::Journal].into_iter().filter_map(armed).collect())
}

#[cfg(test)]
mod tests {
    use super::deadlines_of;
    use crate::engine::rows::row::Row;
    use crate::engine::store::{Deadline, DeadlineClock, RowKey};
    use crate::event::Timestamp;

    #[test]
    fn a_rows_bytes_tell_what_it_is_armed_for() {
        let (key, mut row) = (RowKey([1, 2].into()), Row::default());
        let deadlines = |row: &Row| {
            let mut bytes = Vec::new();
            row.encode(&mut bytes);
            deadlines_of(&key, &bytes).unwrap()
        };
        row.note_event(Timestamp(5));
        assert_eq!(deadlines(&row), []);
        row.set_armed(DeadlineClock::Journal, Some(Timestamp(9)));
        let journal = Deadline { clock: DeadlineClock::Journal, at: Timestamp(9), row: key.clone() };
        assert_eq!(deadlines(&row), [journal]);
        row.set_armed(DeadlineClock::Watermark, Some(Timestamp(7)));
        assert_eq!(deadlines(&row).len(), 2);
        assert!(deadlines_of(&key, &[99]).is_err());
    }
}
