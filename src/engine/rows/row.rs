//! What a row holds, and its bytes.

use crate::engine::series::SeriesState;
use crate::event::bytes::{FormatError, Reader, put_varint};
use crate::rules::program::Series;

/// Format of the bytes.
const VERSION: u8 = 1;

/// An entity's state: the sum of what the active rules need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// States by the key of their series, in order.
    series: Vec<(u32, SeriesState)>,
}

impl Row {
    /// The state of a series.
    #[must_use]
    pub fn series(&self, key: u32) -> Option<&SeriesState> {
        let place = self.series.binary_search_by_key(&key, |(own, _)| *own).ok()?;
        self.series.get(place).map(|(_, state)| state)
    }

    /// The state of a series, empty if it had none.
    pub fn series_mut(&mut self, series: &Series) -> &mut SeriesState {
        let place = match self.series.binary_search_by_key(&series.key, |(own, _)| *own) {
            Ok(place) => place,
            Err(place) => {
                self.series.insert(place, (series.key, SeriesState::new(series)));
                place
            }
        };
        &mut self.series[place].1
    }

    /// Forgets a series.
    pub fn remove_series(&mut self, key: u32) {
        if let Ok(place) = self.series.binary_search_by_key(&key, |(own, _)| *own) {
            self.series.remove(place);
        }
    }

    /// Keeps the series that the test holds for.
    pub fn retain_series(&mut self, mut keep: impl FnMut(u32, &SeriesState) -> bool) {
        self.series.retain(|(key, state)| keep(*key, state));
    }

    /// Whether it holds nothing, so that it need not be stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Appends the row: version, series by key.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_varint(out, self.series.len() as u64);
        for (key, state) in &self.series {
            out.extend_from_slice(&key.to_le_bytes());
            state.encode(out);
        }
    }

    /// Reads a row.
    ///
    /// # Errors
    /// If the bytes are of a later version, cut, or made by no writer.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        let count = reader.count()?;
        let mut series = Vec::with_capacity(count);
        for _ in 0..count {
            let key = reader.take(4)?.try_into().map_err(|_| FormatError::Truncated)?;
            series.push((u32::from_le_bytes(key), SeriesState::decode(&mut reader)?));
        }
        if !reader.is_empty() || !series.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(FormatError::Malformed("row"));
        }
        Ok(Self { series })
    }

    /// Bytes it holds on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let states: usize = self.series.iter().map(|(_, state)| state.heap_bytes()).sum();
        states + self.series.capacity() * size_of::<(u32, SeriesState)>()
    }
}
