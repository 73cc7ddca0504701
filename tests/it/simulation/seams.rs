//! Clock and Store as the workers see them, and what kill -9 is here.

use std::time::Duration;

use forewarn::engine::store::{
    Changes, Checkpoint, CheckpointWriter, Deadline, DeadlineClock, DeadlinesOf, Marked, RestoredRow, RowKey,
    SharedStore, Store, StoreError, Usage,
};
use forewarn::event::{SourcePartition, Timestamp};
use forewarn::journal::{Entry, System};
use forewarn::runtime::clock::Clock;
use forewarn::runtime::mappings::{MappingLog, Trace};
use forewarn::runtime::memory_store::MemoryStore;
use forewarn::runtime::worker::WorkerError;

use super::cluster::Kept;
use super::fate::{Blow, Effect};
use super::world::{CHANGELOG, DETECT, JOURNAL, JOURNAL_PARTITIONS, world};

/// Carried by the unwinding that stands for kill -9.
pub struct Killed;

pub fn kill() -> ! {
    std::panic::resume_unwind(Box::new(Killed))
}

pub const SIMULATED: &str = "simulated";

/// A worker's clock.
pub struct SimClock(pub usize);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        world().now(self.0)
    }

    fn pause(&self, time: Duration) {
        world().pass(time.as_millis() as i64);
    }
}

/// Rows on the disk of a slot's machine.
#[derive(Debug, Default)]
pub struct Disk {
    pub now: MemoryStore,
    /// What a machine's death may bring back.
    pub before: Vec<MemoryStore>,
}

/// A store that outlives its worker.
pub struct SimStore {
    pub slot: usize,
    pub partition: i32,
}

impl SimStore {
    fn with<T>(&self, act: impl FnOnce(&mut MemoryStore) -> T) -> T {
        let world = world();
        let mut disks = world.disks.borrow_mut();
        act(&mut disks.entry((self.slot, self.partition)).or_default().now)
    }
}

impl SharedStore for SimStore {
    fn writer(&self) -> CheckpointWriter {
        let mut own = Self { slot: self.slot, partition: self.partition };
        Box::new(move |checkpoint| own.checkpoint(checkpoint))
    }
}

impl Store for SimStore {
    fn load(&mut self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.with(|store| store.load(keys))
    }

    fn deadlines(
        &mut self,
        clock: DeadlineClock,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Deadline>, StoreError> {
        self.with(|store| store.deadlines(clock, after, until))
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let world = world();
        let blow = world.strike(self.slot, Effect::Checkpoint);
        if blow == Some(Blow::Refuse) {
            return Err(StoreError::Failed(SIMULATED.to_owned()));
        }
        // What a checkpoint holds has been published, for everybody to see.
        let published = world.committed(DETECT, JOURNAL, self.partition as usize);
        assert!(
            checkpoint.position <= published,
            "a checkpoint at {}, ahead of {published}",
            checkpoint.position
        );
        let mut disks = world.disks.borrow_mut();
        let disk = disks.entry((self.slot, self.partition)).or_default();
        disk.before.push(disk.now.clone());
        let kept = disk.before.len().saturating_sub(3);
        disk.before.drain(..kept);
        disk.now.checkpoint(checkpoint)?;
        drop(disks);
        if blow == Some(Blow::KillAfter) {
            kill();
        }
        Ok(())
    }

    fn last_checkpoint(&mut self) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
        self.with(MemoryStore::last_checkpoint)
    }

    fn marked(&mut self) -> Result<Marked, StoreError> {
        self.with(MemoryStore::marked)
    }

    fn set_marked(&mut self, marked: Marked) -> Result<(), StoreError> {
        self.with(|store| store.set_marked(marked))
    }

    fn changes(&mut self) -> Result<Changes, StoreError> {
        self.with(MemoryStore::changes)
    }

    fn restore(&mut self, rows: &[RestoredRow]) -> Result<(), StoreError> {
        self.with(|store| store.restore(rows))
    }

    fn finish_restore(
        &mut self,
        marked: Marked,
        task: &[u8],
        deadlines: DeadlinesOf,
    ) -> Result<u64, StoreError> {
        self.with(|store| store.finish_restore(marked, task, deadlines))
    }

    fn usage(&self) -> Usage {
        self.with(|store| store.usage())
    }
}

/// The changelog's system records, and what the journal covers.
#[derive(Default)]
pub struct SimMappings {
    next: usize,
}

impl MappingLog for SimMappings {
    fn place(&self) -> SourcePartition {
        SourcePartition { topic: CHANGELOG.into(), partition: 0 }
    }

    fn news(&mut self) -> Result<Vec<System>, WorkerError> {
        let world = world();
        let cluster = world.cluster.borrow();
        let new = &cluster.log(&self.place())[self.next..];
        self.next += new.len();
        let system = |record: &std::rc::Rc<Kept>| match Entry::parse(record.value.as_deref()?) {
            Ok(Entry::System(system)) => Some(system),
            _ => None,
        };
        Ok(new.iter().filter_map(system).collect())
    }

    fn decoded(&mut self, source: &SourcePartition, start: i64) -> Result<Option<i64>, WorkerError> {
        let world = world();
        let cluster = world.cluster.borrow();
        let mut next = start;
        for partition in 0..JOURNAL_PARTITIONS as i32 {
            let mut trace = Trace::default();
            for record in cluster.log(&SourcePartition { topic: JOURNAL.into(), partition }) {
                trace.record(record.value.as_deref().unwrap_or_default(), source, start);
            }
            next = next.max(trace.next);
        }
        Ok(Some(next))
    }
}
