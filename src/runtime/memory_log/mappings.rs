//! The mappings of a log in memory.

use super::MemoryLog;
use crate::event::SourcePartition;
use crate::journal::{Entry, System};
use crate::runtime::mappings::{MappingLog, Trace};
use crate::runtime::source::SourceError;
use crate::runtime::worker::WorkerError;

/// Reads system records of a changelog and what a journal covers.
#[derive(Debug)]
pub struct MemoryMappings {
    log: MemoryLog,
    place: SourcePartition,
    journal: Vec<SourcePartition>,
    next: i64,
}

impl MemoryLog {
    /// The system records at this place, beside these partitions of the journal.
    #[must_use]
    pub fn mappings(&self, place: SourcePartition, journal: Vec<SourcePartition>) -> MemoryMappings {
        MemoryMappings { log: self.clone(), place, journal, next: 0 }
    }
}

impl MappingLog for MemoryMappings {
    fn place(&self) -> SourcePartition {
        self.place.clone()
    }

    fn news(&mut self) -> Result<Vec<System>, WorkerError> {
        let mut found = Vec::new();
        for (offset, record) in self.log.read(&self.place, self.next).map_err(SourceError::from)? {
            self.next = offset + 1;
            if let Some(Ok(Entry::System(system))) = record.value.as_deref().map(Entry::parse) {
                found.push(system);
            }
        }
        Ok(found)
    }

    fn decoded(&mut self, source: &SourcePartition, start: i64) -> Result<Option<i64>, WorkerError> {
        let mut next = start;
        for partition in &self.journal {
            let mut trace = Trace::default();
            for (_, record) in self.log.read(partition, 0).map_err(SourceError::from)? {
                trace.record(record.value.as_deref().unwrap_or_default(), source, start);
            }
            next = next.max(trace.next);
        }
        Ok(Some(next))
    }
}
