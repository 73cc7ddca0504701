//! Counts and sums per pane or local day, with the running total of the newest window.

use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader};
use crate::rules::program::{Measure, Series};

use crate::engine::number::Exact;

use super::accounts::{Accounts, Owned};
use super::cells::{Cell, Cells, Total};
use super::grain::{Grain, pane_of, pane_start};
use super::{Floor, Marks, Measured, Span, Spread, Taken};

/// Cells, and the total over the window that ends with the newest one.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    pub(super) marks: Marks,
    pub(super) cells: Cells,
    /// Whose the matches are, if the series keeps that ([`crate::rules::program::Extras::accounts`]).
    pub(super) accounts: Option<Box<Accounts>>,
    running: Running,
}

/// The total of `len` cells up to `top`; no cells at all (`len` 0) after decoding, until the next sample rebuilds it.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    len: i64,
    top: i64,
    total: Total,
}

impl PartialEq for Counted {
    /// The running total follows from the rest.
    fn eq(&self, other: &Self) -> bool {
        self.marks == other.marks && self.cells == other.cells && self.accounts == other.accounts
    }
}

impl Eq for Counted {}

impl Counted {
    pub(super) fn add(
        &mut self,
        grain: &Grain,
        cell: i64,
        (time, weight, amount): (Timestamp, u32, Option<i64>),
        floor: Floor,
    ) -> Taken {
        let (top, lowest) = self.ends(grain, cell, floor);
        if cell < lowest {
            return Taken::Late;
        }
        self.marks.newest = self.marks.newest.max(time);
        self.roll(grain.window, top);
        let grown = self.cells.add(cell, weight, amount);
        if cell > self.running.top - self.running.len {
            self.running.total.events += grown.events;
            self.running.total.sum += grown.sum;
        }
        self.cells.forget_before(lowest);
        Taken::Applied
    }

    /// The newest cell, that of a sample included, and the lowest to keep.
    pub(super) fn ends(&self, grain: &Grain, cell: i64, floor: Floor) -> (i64, i64) {
        let top = self.cells.last().map_or(cell, |last| last.max(cell));
        (top, grain.lowest(top, floor))
    }

    /// Moves the running total on to the window of `len` cells that ends with `top`.
    fn roll(&mut self, len: i64, top: i64) {
        let running = &mut self.running;
        if running.len != len {
            *running = Running { len, top, total: self.cells.total(top - len + 1, top) };
        } else if top > running.top {
            let left = self.cells.total(running.top - len + 1, top.min(running.top + len) - len);
            running.total.events -= left.events;
            running.total.sum -= left.sum;
            running.top = top;
        }
    }

    pub(super) fn remove(&mut self, cell: i64, weight: u32, amount: Option<i64>) {
        let taken = self.cells.remove(cell, weight, amount);
        let running = &mut self.running;
        if cell <= running.top && cell > running.top - running.len {
            running.total.events -= taken.events;
            running.total.sum -= taken.sum;
        }
    }

    pub(super) fn reset(&mut self, at: Timestamp, cell: i64) {
        self.marks.reset = at;
        self.cells.forget_before(cell + 1);
        self.running.len = 0;
        if let Some(accounts) = &mut self.accounts {
            accounts.forget_before(cell + 1);
        }
    }

    /// The oldest cell, that of a sample included.
    pub(super) fn oldest(&self, cell: i64) -> i64 {
        self.cells.first_from(i64::MIN).unwrap_or(cell).min(cell)
    }

    /// Notes whose matches in a cell are.
    pub(super) fn add_account(&mut self, grain: &Grain, (cell, time): (i64, Timestamp), owned: Owned) {
        let oldest = self.oldest(cell);
        self.accounts.get_or_insert_default().add(grain, oldest, (cell, time), owned);
    }

    pub(super) fn total(&self, from: i64, to: i64) -> Total {
        let running = &self.running;
        if running.len > 0 && to == running.top && from == to - running.len + 1 {
            running.total
        } else {
            self.cells.total(from, to)
        }
    }

    pub(super) fn measured(
        &self,
        series: &Series,
        grain: &Grain,
        (from, to): (i64, i64),
        (value, events): (Exact, u64),
    ) -> Measured {
        // A share speaks of what it counts, not of what it is a share of.
        let summed = match series.measure {
            Measure::ShareOf(_) => Some(self.cells.summed_within(from, to)),
            _ => None,
        };
        let seen = summed.as_deref().unwrap_or_else(|| self.cells.within(from, to));
        let start = |index: i64| grain.span_ms.map(|span| pane_start(span, index));
        let is_days = grain.span_ms.is_none();
        let spread = series.extras.dispersion.then(|| Spread {
            cells: u32::try_from(to - from + 1).unwrap_or(0),
            sum: events,
            squares: seen.iter().map(|cell| u128::from(cell.events).pow(2)).sum(),
        });
        Measured {
            value,
            events,
            days: if is_days { u32::try_from(seen.len()).unwrap_or(u32::MAX) } else { 0 },
            first: seen.first().and_then(|cell| start(cell.index)),
            oldest: seen.first().and_then(|cell| start(cell.index)),
            last: seen.last().and_then(|cell| start(cell.index)),
            first_day: seen.first().filter(|_| is_days).and_then(|cell| i32::try_from(cell.index).ok()),
            spread,
        }
    }

    pub(super) fn next_change(&self, grain: &Grain, span: Span) -> Option<Timestamp> {
        let span_ms = grain.span_ms?;
        // A window that ends at t sees a pane one pane later than one up to t, and loses it as much later.
        let (t, delay) = match span {
            Span::UpTo(t) => (t, 0),
            Span::EndingAt(t) => (t, 1),
            Span::DaysSoFar { .. } | Span::DaysComplete { .. } | Span::Bucket(_) => return None,
        };
        let newest_seen = pane_of(span_ms, t) - delay;
        let enters = self.cells.first_from(newest_seen + 1);
        let leaves = self
            .cells
            .first_from(newest_seen - grain.window + 1)
            .filter(|cell| *cell <= newest_seen)
            .map(|cell| cell + grain.window);
        leaves.into_iter().chain(enters).min().map(|pane| pane_start(span_ms, pane + delay))
    }

    pub(super) fn is_empty_at(&self, grain: &Grain, floor: Floor) -> bool {
        self.cells.last().is_none_or(|last| grain.is_past(last, floor))
            && (self.marks.reset == Timestamp::MIN
                || grain.is_past(grain.cell(self.marks.reset, None), floor))
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.cells.encode(out);
    }

    pub(super) fn decode(marks: Marks, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self { marks, cells: Cells::decode(reader)?, ..Self::default() })
    }

    /// Newest match and cells, if nothing is summed, no reset is remembered, and nobody knows whose they are.
    pub(super) fn plain(&self) -> Option<(Timestamp, &[Cell])> {
        let cells = self.cells.plain()?;
        let is_plain = self.marks.reset == Timestamp::MIN && self.accounts.is_none();
        is_plain.then_some((self.marks.newest, cells))
    }

    /// What [`Counted::plain`] shows.
    pub(super) fn of(newest: Timestamp, cells: Vec<Cell>) -> Self {
        let marks = Marks { newest, ..Marks::default() };
        Self { marks, cells: Cells::of(cells), ..Self::default() }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.cells.heap_bytes() + self.accounts.as_ref().map_or(0, |accounts| accounts.heap_bytes())
    }
}
