//! Switching from one version of the mappings to the next, at an offset that is written down before it is passed.

use std::collections::BTreeMap;

use tracing::{error, info};

use super::IntakeWorker;
use super::take::Taking;
use crate::event::SourcePartition;
use crate::intake::text::Scorer;
use crate::intake::{Intake, SourceSettings};
use crate::journal::encode_system;
use crate::runtime::mappings::{Book, First, MappingLog};
use crate::runtime::sink::{Outgoing, Sink};
use crate::runtime::source::Source;
use crate::runtime::system::changelog_key;
use crate::runtime::worker::WorkerError;

/// All versions that a worker knows of.
pub(super) struct Versions {
    log: Box<dyn MappingLog>,
    book: Book,
    /// The sources as the canonical form reads them.
    sources: Vec<SourceSettings>,
    /// Compiled versions that some partition still needs beside the one at work.
    idle: BTreeMap<i64, Intake>,
}

impl Versions {
    /// Nothing is known before the first [`Self::refresh`].
    pub(super) fn new(log: Box<dyn MappingLog>, intake: &Intake) -> Self {
        let sources = (0..).map_while(|place| intake.source(place)).cloned().collect();
        Self { log, book: Book::default(), sources, idle: BTreeMap::new() }
    }

    /// Takes in what the changelog says by now. A version that can't be used is told, and the old one goes on.
    pub(super) fn refresh(&mut self) -> Result<(), WorkerError> {
        for record in self.log.news()? {
            if let Err((generation, mistakes)) = self.book.take(&record) {
                error!(generation, %mistakes, "the new mappings can't be used; the old ones stay");
            }
        }
        Ok(())
    }

    /// Whether the partition was read before and not retired since, so that the journal knows it.
    pub(super) fn knows(&self, source: &SourcePartition) -> bool {
        self.book.reached(source).is_some()
    }

    /// Where a partition's next version begins, if there is one: at the next offset that nobody has decoded.
    fn due(&mut self, slot: &Ownership<'_>) -> Result<Option<First>, WorkerError> {
        let generation = self.book.newest();
        let reached = self.book.reached(slot.source);
        if reached.is_some_and(|reached| reached >= generation) {
            return Ok(None);
        }
        // Whoever owned it before has not read beyond the end that we found; how far it came, the journal tells.
        let offset = if reached.is_none() || slot.next >= slot.inherited {
            slot.next
        } else {
            self.log.decoded(slot.source, slot.start)?.unwrap_or(slot.inherited).max(slot.next)
        };
        Ok(Some(First { source: slot.source.clone(), generation, offset }))
    }

    fn compile(&self, generation: i64) -> Result<Intake, WorkerError> {
        let mappings = self.book.mappings(generation)?;
        let of_topic = |source: &SourceSettings| {
            mappings.iter().filter(|mapping| mapping.topic == source.topic).cloned().collect()
        };
        let sources = self.sources.iter();
        let sources =
            sources.map(|source| SourceSettings { mappings: of_topic(source), ..source.clone() }).collect();
        Ok(Intake::new(sources, Scorer::english()?))
    }
}

/// What a switch needs to know of an owned partition.
struct Ownership<'a> {
    source: &'a SourcePartition,
    next: i64,
    start: i64,
    inherited: i64,
}

impl<S: Source, K: Sink> IntakeWorker<S, K> {
    /// Looks for new mappings. For each partition the first offset of the newest is written to the changelog, acknowledged,
    /// before any record from there on is decoded.
    pub(super) fn activate(&mut self) -> Result<(), WorkerError> {
        self.taking.versions.refresh()?;
        let mut due = Vec::new();
        for slot in self.taking.frames.slots() {
            let (source, next, start, inherited) = (&slot.source, slot.next, slot.start, slot.inherited);
            due.extend(self.taking.versions.due(&Ownership { source, next, start, inherited })?);
        }
        if !due.is_empty() {
            let place = self.taking.versions.log.place();
            for first in &due {
                self.write_down(&place, first)?;
            }
            self.drain(None)?;
            // Another owner may have been first: its word counts, for it is the earlier.
            self.taking.versions.refresh()?;
        }
        self.taking.look_up_versions();
        Ok(())
    }

    fn write_down(&mut self, place: &SourcePartition, first: &First) -> Result<(), WorkerError> {
        let record = first.record();
        let mut bytes = Vec::new();
        encode_system(&record, &mut bytes);
        let key = changelog_key(&record).unwrap_or_default();
        let token = self.taking.frames.token();
        self.sink.send(Outgoing {
            topic: &place.topic,
            partition: Some(place.partition),
            key: Some(key.as_bytes()),
            value: Some(&bytes),
            headers: &[],
            token,
        })?;
        let First { source, generation, offset } = first;
        info!(topic = &*source.topic, partition = source.partition, generation, offset, "mappings begin");
        Ok(())
    }
}

impl Taking {
    /// Looks up which version each owned partition's next offset has.
    fn look_up_versions(&mut self) {
        for slot in self.frames.slots_mut() {
            (slot.generation, slot.until) = self.versions.book.at(&slot.source, slot.next);
        }
    }

    /// Makes the version of a partition's offset the one at work. A frame has events of one version only, so those under
    /// construction end here; where two versions are at work at once, while one partition lags, frames are short.
    #[cold]
    pub(super) fn switch(
        &mut self,
        place: usize,
        offset: i64,
        sink: &mut impl Sink,
    ) -> Result<(), WorkerError> {
        let Some(slot) = self.frames.slots_mut().get_mut(place) else { return Ok(()) };
        (slot.generation, slot.until) = self.versions.book.at(&slot.source, offset);
        let (generation, old) = (slot.generation, self.frames.generation());
        if generation == old {
            return Ok(());
        }
        self.frames.send_all(sink)?;
        self.frames.set_generation(generation);
        let new = match self.versions.idle.remove(&generation) {
            Some(intake) => intake,
            None => self.versions.compile(generation)?,
        };
        let before = std::mem::replace(&mut self.intake, new);
        self.versions.idle.insert(old, before);
        let needed = |own: &i64| self.frames.slots().iter().any(|slot| slot.generation == *own);
        self.versions.idle.retain(|own, _| needed(own));
        Ok(())
    }
}
