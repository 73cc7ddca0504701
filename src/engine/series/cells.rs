//! Counts and sums per cell of time, sparse: a cell is a pane or a local day.

use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};

/// Most cells one series keeps, whatever the watermark does; then the oldest goes.
pub(super) const CELLS_MAX: usize = 1024;

/// Farthest number of a cell, so that arithmetic on it stays in range.
pub(super) const INDEX_MAX: u64 = 1 << 60;

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Number of the pane or local day since the epoch.
    pub index: i64,
    /// Matches, saturating.
    pub events: u32,
}

/// Totals over a run of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Total {
    pub events: u64,
    pub sum: i128,
}

/// Cells in the order of time. `sums` is either empty (nothing is summed) or parallel to `cells`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cells {
    cells: Vec<Cell>,
    sums: Vec<i64>,
}

impl Cells {
    fn place(&self, index: i64) -> Result<usize, usize> {
        match self.cells.last() {
            Some(last) if last.index == index => Ok(self.cells.len() - 1),
            Some(last) if last.index > index => self.cells.binary_search_by_key(&index, |cell| cell.index),
            _ => Err(self.cells.len()),
        }
    }

    /// Adds to a cell; what changed.
    pub(super) fn add(&mut self, index: i64, events: u32, amount: Option<i64>) -> Total {
        let place = match self.place(index) {
            Ok(place) => place,
            Err(place) => {
                if self.cells.len() == self.cells.capacity() {
                    self.cells.reserve_exact((self.cells.len() / 2).max(2));
                }
                self.cells.insert(place, Cell { index, events: 0 });
                if !self.sums.is_empty() {
                    self.sums.insert(place, 0);
                }
                place
            }
        };
        let cell = &mut self.cells[place];
        let before = cell.events;
        cell.events = before.saturating_add(events);
        let grown = u64::from(cell.events - before);
        let Some(amount) = amount else { return Total { events: grown, sum: 0 } };
        if self.sums.is_empty() {
            self.sums.resize(self.cells.len(), 0);
        }
        let sum = &mut self.sums[place];
        let before = *sum;
        *sum = before.saturating_add(amount);
        Total { events: grown, sum: i128::from(*sum) - i128::from(before) }
    }

    /// Takes from a cell; what was taken.
    pub(super) fn remove(&mut self, index: i64, events: u32, amount: Option<i64>) -> Total {
        let Ok(place) = self.place(index) else { return Total::default() };
        let cell = &mut self.cells[place];
        let taken = cell.events.min(events);
        cell.events -= taken;
        let mut gone = 0;
        if let Some(sum) = self.sums.get_mut(place) {
            let before = *sum;
            *sum = before.saturating_sub(amount.unwrap_or(0));
            gone = i128::from(before) - i128::from(*sum);
        }
        // What is counted of a share may stand in a cell without anything that it is a share of.
        let empty = cell.events == 0 && self.sums.get(place).is_none_or(|sum| *sum == 0);
        if empty {
            self.cells.remove(place);
            if !self.sums.is_empty() {
                self.sums.remove(place);
            }
        }
        Total { events: u64::from(taken), sum: gone }
    }

    /// Forgets the cells before `lowest`, and the oldest beyond [`CELLS_MAX`].
    pub(super) fn forget_before(&mut self, lowest: i64) {
        let excess = self.cells.len().saturating_sub(CELLS_MAX);
        if excess == 0 && self.cells.first().is_none_or(|cell| cell.index >= lowest) {
            return;
        }
        let old = self.cells.partition_point(|cell| cell.index < lowest).max(excess);
        self.cells.drain(..old);
        if !self.sums.is_empty() {
            self.sums.drain(..old);
        }
    }

    fn bounds(&self, from: i64, to: i64) -> (usize, usize) {
        let lo = self.cells.partition_point(|cell| cell.index < from);
        let hi = self.cells.partition_point(|cell| cell.index <= to);
        (lo, hi.max(lo))
    }

    /// The cells of `from..=to`.
    pub(super) fn within(&self, from: i64, to: i64) -> &[Cell] {
        let (lo, hi) = self.bounds(from, to);
        &self.cells[lo..hi]
    }

    /// The cells of `from..=to` whose sum is not zero.
    pub(super) fn summed_within(&self, from: i64, to: i64) -> Vec<Cell> {
        let (lo, hi) = self.bounds(from, to);
        let sums = self.sums.get(lo..hi).unwrap_or_default();
        self.cells[lo..hi].iter().zip(sums).filter(|(_, sum)| **sum != 0).map(|(cell, _)| *cell).collect()
    }

    /// Totals over `from..=to`.
    pub(super) fn total(&self, from: i64, to: i64) -> Total {
        let (lo, hi) = self.bounds(from, to);
        let events = self.cells[lo..hi].iter().map(|cell| u64::from(cell.events)).sum();
        let sum = self.sums.get(lo..hi).map_or(0, |sums| sums.iter().copied().map(i128::from).sum());
        Total { events, sum }
    }

    /// The first cell not before `from`.
    pub(super) fn first_from(&self, from: i64) -> Option<i64> {
        let lo = self.cells.partition_point(|cell| cell.index < from);
        self.cells.get(lo).map(|cell| cell.index)
    }

    /// The newest cell.
    pub(super) fn last(&self) -> Option<i64> {
        self.cells.last().map(|cell| cell.index)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>() + self.sums.capacity() * size_of::<i64>()
    }

    /// The cells and their sums, as [`put_cells`] writes them.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let newest_first = self.cells.iter().enumerate().rev();
        let is_summed = !self.sums.is_empty();
        put_cells(out, is_summed, newest_first.map(|(place, cell)| (*cell, self.sums.get(place).copied())));
    }

    /// The cells, if nothing is summed.
    pub(super) fn plain(&self) -> Option<&[Cell]> {
        self.sums.is_empty().then_some(self.cells.as_slice())
    }

    /// Cells in order, without sums.
    pub(super) const fn of(cells: Vec<Cell>) -> Self {
        Self { cells, sums: Vec::new() }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let head = reader.varint()?;
        let count = usize::try_from(head >> 1).map_err(|_| FormatError::Malformed("cells"))?;
        if count > CELLS_MAX {
            return Err(FormatError::Malformed("cells"));
        }
        let summed = head & 1 == 1;
        let mut read = Self {
            cells: Vec::with_capacity(count),
            sums: Vec::with_capacity(if summed { count } else { 0 }),
        };
        let mut above: Option<i64> = None;
        for _ in 0..count {
            let index = match above {
                None => reader.signed()?,
                Some(above) => i64::try_from(reader.varint()?)
                    .ok()
                    .filter(|distance| *distance > 0)
                    .and_then(|distance| above.checked_sub(distance))
                    .ok_or(FormatError::Malformed("cell"))?,
            };
            if index.abs_diff(0) > INDEX_MAX {
                return Err(FormatError::Malformed("cell"));
            }
            above = Some(index);
            let events = u32::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("cell"))?;
            read.cells.push(Cell { index, events });
            if summed {
                read.sums.push(reader.signed()?);
            }
        }
        read.cells.reverse();
        read.sums.reverse();
        Ok(read)
    }
}

/// Appends cells from the newest to the oldest: the first index in full, then distances.
pub(super) fn put_cells(
    out: &mut Vec<u8>,
    is_summed: bool,
    cells: impl ExactSizeIterator<Item = (Cell, Option<i64>)>,
) {
    put_varint(out, (cells.len() as u64) << 1 | u64::from(is_summed));
    let mut above: Option<i64> = None;
    for (cell, sum) in cells {
        match above {
            None => put_signed(out, cell.index),
            Some(above) => put_varint(out, (above - cell.index).cast_unsigned()),
        }
        above = Some(cell.index);
        put_varint(out, u64::from(cell.events));
        if let Some(sum) = sum {
            put_signed(out, sum);
        }
    }
}
