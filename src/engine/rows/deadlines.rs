//! When rows want to be looked at: an ordered index per clock. Near deadlines are in RAM, far ones in the store only.
//!
//! A row remembers the deadline it is armed for. One that only moves later is left as it is: when it comes, the row is
//! looked at and arms anew. So an entry in the index may come too early, never too late.

use std::collections::BTreeSet;

use crate::engine::store::{Deadline, DeadlineClock, RowKey, Store, StoreError};
use crate::event::Timestamp;

/// How far ahead stored deadlines are read at first.
const STRETCH_MS: i64 = 3_600_000;
/// Bounds of that: it is halved where deadlines are dense and doubled where they are not.
const STRETCHES_MS: (i64, i64) = (1_000, 30 * 86_400_000);
/// More deadlines in a stretch than this are dense.
const DENSE: usize = 50_000;

/// The deadlines of one task.
#[derive(Debug)]
pub struct Deadlines {
    clocks: [Clock; 2],
    /// Since the last checkpoint: disarmed, and armed, deadlines.
    disarmed: BTreeSet<Deadline>,
    armed: BTreeSet<Deadline>,
}

/// One clock's index.
#[derive(Debug)]
struct Clock {
    /// All deadlines up to `horizon`, and later ones until a checkpoint has stored them.
    near: BTreeSet<(Timestamp, RowKey)>,
    /// Stored deadlines up to here are in `near`.
    horizon: Timestamp,
    stretch_ms: i64,
    /// The store may hold deadlines beyond the horizon.
    stored: bool,
}

impl Default for Clock {
    fn default() -> Self {
        Self { near: BTreeSet::new(), horizon: Timestamp::MIN, stretch_ms: STRETCH_MS, stored: false }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self::new()
    }
}

impl Deadlines {
    /// The index over an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self {
            clocks: [Clock::default(), Clock::default()],
            disarmed: BTreeSet::new(),
            armed: BTreeSet::new(),
        }
    }

    /// The index over a store that may hold deadlines, all of them still unread.
    #[must_use]
    pub fn over_store() -> Self {
        let mut deadlines = Self::new();
        deadlines.clocks.iter_mut().for_each(|clock| clock.stored = true);
        deadlines
    }

    fn clock(&mut self, clock: DeadlineClock) -> &mut Clock {
        &mut self.clocks[clock as usize]
    }

    /// Makes sure that the row is looked at no later than `at`. `armed` is what the row is armed for on this clock; what
    /// it is armed for afterwards is returned, and the row must remember it.
    pub fn arm(
        &mut self,
        row: &RowKey,
        clock: DeadlineClock,
        at: Timestamp,
        armed: Option<Timestamp>,
    ) -> Timestamp {
        if let Some(armed) = armed {
            if armed <= at {
                return armed;
            }
            self.disarm(row, clock, armed);
        }
        let deadline = Deadline { clock, at, row: row.clone() };
        if !self.disarmed.remove(&deadline) {
            self.armed.insert(deadline);
        }
        self.clock(clock).near.insert((at, row.clone()));
        at
    }

    /// Takes the row out, because it is gone or has nothing to wait for. `armed` is what it is armed for.
    pub fn disarm(&mut self, row: &RowKey, clock: DeadlineClock, armed: Timestamp) {
        let entry = (armed, row.clone());
        self.clock(clock).near.remove(&entry);
        let deadline = Deadline { clock, at: armed, row: entry.1 };
        if !self.armed.remove(&deadline) {
            self.disarmed.insert(deadline);
        }
    }

    /// The deadlines at or before `upto`, in order of time and row, at most `most`. They are out of the index: each row
    /// is armed for nothing now.
    ///
    /// # Errors
    /// If the store fails.
    pub fn due(
        &mut self,
        clock: DeadlineClock,
        upto: Timestamp,
        most: usize,
        store: &mut dyn Store,
    ) -> Result<Vec<Deadline>, StoreError> {
        let mut due = Vec::new();
        while due.len() < most {
            let horizon = self.clock(clock).horizon;
            let near = &mut self.clock(clock).near;
            match near.first() {
                Some((at, _)) if *at <= upto && *at <= horizon => {
                    let Some((at, row)) = near.pop_first() else { break };
                    let deadline = Deadline { clock, at, row };
                    if !self.armed.remove(&deadline) {
                        self.disarmed.insert(deadline.clone());
                    }
                    due.push(deadline);
                }
                _ if horizon >= upto => break,
                _ => self.read_on(clock, upto, store)?,
            }
        }
        Ok(due)
    }

    /// Reads the next stretch of stored deadlines.
    fn read_on(
        &mut self,
        clock: DeadlineClock,
        upto: Timestamp,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        let Clock { horizon, stretch_ms, .. } = *self.clock(clock);
        // At first all that is due already is read at once: nothing says where it begins.
        let from = if horizon == Timestamp::MIN { upto } else { horizon };
        let until = from.plus(stretch_ms);
        let stored = store.deadlines(clock, horizon, until)?;
        let dense = stored.len() > DENSE;
        let new = stored.into_iter().filter(|deadline| !self.disarmed.contains(deadline));
        let entries: Vec<(Timestamp, RowKey)> = new.map(|deadline| (deadline.at, deadline.row)).collect();
        let own = self.clock(clock);
        own.near.extend(entries);
        own.horizon = until;
        let next = if dense { stretch_ms / 2 } else { stretch_ms * 2 };
        own.stretch_ms = next.clamp(STRETCHES_MS.0, STRETCHES_MS.1);
        Ok(())
    }

    /// The next time at which [`Deadlines::due`] may find something on this clock: the first deadline in RAM, or the end
    /// of what was read of the store, if it may hold later ones.
    #[must_use]
    pub fn next(&self, clock: DeadlineClock) -> Option<Timestamp> {
        let Clock { near, horizon, stored, .. } = &self.clocks[clock as usize];
        let unread = stored.then(|| horizon.plus(1));
        near.first().map(|(at, _)| *at).into_iter().chain(unread).min()
    }

    /// How many deadlines are in RAM.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clocks.iter().map(|clock| clock.near.len()).sum()
    }

    /// Whether none is in RAM.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What changed since the last call, for the checkpoint: disarmed and armed, each in order. Far deadlines leave RAM,
    /// so the checkpoint that carries this must be written before [`Deadlines::due`] is called again.
    pub fn take_changes(&mut self) -> (Vec<Deadline>, Vec<Deadline>) {
        for clock in &mut self.clocks {
            if clock.horizon == Timestamp::MAX {
                continue;
            }
            let beyond = (clock.horizon.plus(1), RowKey(Box::default()));
            clock.stored |= !clock.near.split_off(&beyond).is_empty();
        }
        let disarmed = std::mem::take(&mut self.disarmed).into_iter().collect();
        let armed = std::mem::take(&mut self.armed).into_iter().collect();
        (disarmed, armed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::Deadlines;
    use crate::engine::store::{Checkpoint, Deadline, DeadlineClock, RowKey, Store};
    use crate::event::Timestamp;
    use crate::runtime::memory_store::MemoryStore;

    const CLOCK: DeadlineClock = DeadlineClock::Watermark;
    const DAY: i64 = 86_400_000;

    fn row(number: u8) -> RowKey {
        RowKey(Box::from([1, number]))
    }

    fn checkpoint(deadlines: &mut Deadlines, store: &mut MemoryStore) {
        let (disarmed, armed) = deadlines.take_changes();
        store.checkpoint(&Checkpoint { disarmed, armed, ..Checkpoint::default() }).unwrap();
    }

    #[test]
    fn far_deadlines_leave_memory_and_come_back_in_time() {
        let (mut deadlines, mut store) = (Deadlines::new(), MemoryStore::new());
        assert!(deadlines.due(CLOCK, Timestamp(0), 9, &mut store).unwrap().is_empty());
        deadlines.arm(&row(1), CLOCK, Timestamp(10), None);
        deadlines.arm(&row(2), CLOCK, Timestamp(90 * DAY), None);
        assert_eq!((deadlines.len(), deadlines.next(CLOCK)), (2, Some(Timestamp(10))));
        checkpoint(&mut deadlines, &mut store);
        assert_eq!(deadlines.len(), 1);
        // The far one is in the store only: nothing is due before the end of what was read.
        assert_eq!(deadlines.next(CLOCK), Some(Timestamp(10)));
        assert_eq!(deadlines.due(CLOCK, Timestamp(10), 9, &mut store).unwrap().len(), 1);
        let unread = deadlines.next(CLOCK).unwrap();
        assert!(unread > Timestamp(10) && unread <= Timestamp(90 * DAY), "{unread}");
        deadlines.arm(&row(1), CLOCK, Timestamp(10), None);
        let due = deadlines.due(CLOCK, Timestamp(100 * DAY), 9, &mut store).unwrap();
        assert_eq!(due.iter().map(|due| due.at.0).collect::<Vec<_>>(), [10, 90 * DAY]);
        checkpoint(&mut deadlines, &mut store);
        assert!(Deadlines::new().due(CLOCK, Timestamp::MAX, 9, &mut store).unwrap().is_empty());
    }

    #[test]
    fn a_later_wish_keeps_the_earlier_deadline() {
        let mut deadlines = Deadlines::new();
        let armed = deadlines.arm(&row(1), CLOCK, Timestamp(10), None);
        assert_eq!(deadlines.arm(&row(1), CLOCK, Timestamp(20), Some(armed)), Timestamp(10));
        assert_eq!(deadlines.arm(&row(1), CLOCK, Timestamp(5), Some(armed)), Timestamp(5));
        let (disarmed, armed) = deadlines.take_changes();
        assert_eq!(disarmed, []);
        assert_eq!(armed, [Deadline { clock: CLOCK, at: Timestamp(5), row: row(1) }]);
    }

    #[derive(Debug, Clone)]
    enum Act {
        Arm(u8, i64),
        Disarm(u8),
        Pass(i64, usize),
        Checkpoint,
        Reopen,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let far = prop_oneof![0..3_600_000_i64, 0..DAY, 0..100 * DAY];
        let act = prop_oneof![
            6 => (0_u8..12, far).prop_map(|(row, ahead)| Act::Arm(row, ahead)),
            1 => (0_u8..12).prop_map(Act::Disarm),
            3 => (0..2 * DAY, 1_usize..5).prop_map(|(ahead, most)| Act::Pass(ahead, most)),
            1 => Just(Act::Checkpoint),
            1 => Just(Act::Reopen),
        ];
        prop::collection::vec(act, 1..150)
    }

    proptest! {
        #[test]
        fn every_armed_row_comes_once_and_in_order(acts in acts()) {
            let (mut deadlines, mut store) = (Deadlines::new(), MemoryStore::new());
            let mut armed: BTreeMap<u8, Timestamp> = BTreeMap::new();
            let mut now = Timestamp(0);
            for act in acts {
                match act {
                    Act::Arm(number, ahead) => {
                        let before = armed.get(&number).copied();
                        let after = deadlines.arm(&row(number), CLOCK, now.plus(ahead), before);
                        prop_assert_eq!(after, before.map_or(now.plus(ahead), |at| at.min(now.plus(ahead))));
                        armed.insert(number, after);
                    }
                    Act::Disarm(number) => {
                        if let Some(at) = armed.remove(&number) {
                            deadlines.disarm(&row(number), CLOCK, at);
                        }
                    }
                    Act::Pass(ahead, most) => {
                        now = now.plus(ahead);
                        let mut expected: Vec<(Timestamp, u8)> =
                            armed.iter().map(|(number, at)| (*at, *number)).filter(|(at, _)| *at <= now).collect();
                        expected.sort_unstable();
                        expected.truncate(most);
                        let due = deadlines.due(CLOCK, now, most, &mut store).unwrap();
                        let found: Vec<_> = due.iter().map(|due| (due.at, due.row.0[1])).collect();
                        prop_assert_eq!(&found, &expected);
                        for (_, number) in found {
                            armed.remove(&number);
                        }
                    }
                    Act::Checkpoint => checkpoint(&mut deadlines, &mut store),
                    Act::Reopen => {
                        checkpoint(&mut deadlines, &mut store);
                        deadlines = Deadlines::new();
                    }
                }
            }
        }
    }
}
