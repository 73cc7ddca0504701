//! One record's way: decoded, counted, routed into frames or to the dead letters.

use std::sync::Arc;

use super::IntakeSettings;
use super::frames::Frames;
use super::letters::Letters;
use super::versions::Versions;
use crate::event::{Kind, Timestamp};
use crate::intake::{
    self, DeadLetter, Decoded, Filtered, Intake, NeedsSchema, Route, SchemaId, SourceSettings, partition_of,
    route,
};
use crate::runtime::letters::Failed;
use crate::runtime::metrics::Metrics;
use crate::runtime::registry::{Registry, RegistryError};
use crate::runtime::sink::Sink;
use crate::runtime::source::Record;
use crate::runtime::worker::WorkerError;

/// All that a record needs on its way, and nothing of the source that it came from.
pub(super) struct Taking {
    pub(super) settings: IntakeSettings,
    pub(super) frames: Frames,
    pub(super) letters: Letters,
    pub(super) metrics: Arc<Metrics>,
    /// The time at which the round began.
    pub(super) now: Timestamp,
    /// Why no more records are taken.
    pub(super) failed: Option<WorkerError>,
    pub(super) versions: Versions,
    /// Decodes with the version of the frames under construction.
    pub(super) intake: Intake,
    registry: Option<Registry>,
    /// Its memory is used again; not there while a record is decoded.
    decoded: Option<Decoded<'static>>,
    /// Records by source, since they were counted last.
    reads: Vec<u64>,
}

/// What a worker was given to read records with.
pub(super) struct Equipment {
    pub(super) intake: Intake,
    pub(super) versions: Versions,
    pub(super) registry: Option<Registry>,
    pub(super) metrics: Arc<Metrics>,
}

impl Taking {
    pub(super) fn new(
        settings: IntakeSettings,
        Equipment { intake, versions, registry, metrics }: Equipment,
        (frames, letters): (Frames, Letters),
        now: Timestamp,
    ) -> Self {
        let reads = vec![0; (0..).map_while(|place| intake.source(place)).count()];
        Self {
            settings,
            frames,
            letters,
            metrics,
            now,
            failed: None,
            versions,
            intake,
            registry,
            decoded: None,
            reads,
        }
    }

    /// The sources, by place.
    pub(super) fn sources(&self) -> impl Iterator<Item = &SourceSettings> {
        (0..).map_while(|place| self.intake.source(place))
    }

    /// The place and settings of a source.
    pub(super) fn source(&self, topic: &str) -> Option<(usize, &SourceSettings)> {
        self.sources().enumerate().find(|(_, source)| *source.topic == *topic)
    }

    /// Takes a record in. After a failure none is taken any more.
    pub(super) fn take(&mut self, record: &Record<'_>, sink: &mut impl Sink) {
        if self.failed.is_none()
            && let Err(error) = self.try_take(record, sink)
        {
            self.failed = Some(error);
        }
    }

    fn try_take(&mut self, record: &Record<'_>, sink: &mut impl Sink) -> Result<(), WorkerError> {
        let Some(place) = self.frames.slot_of(record.topic, record.partition) else { return Ok(()) };
        let Some(slot) = self.frames.slots().get(place) else { return Ok(()) };
        if record.offset < slot.next {
            return Ok(());
        }
        if record.offset >= slot.until || slot.generation != self.frames.generation() {
            self.switch(place, record.offset, sink)?;
        }
        let view = intake::Record {
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        self.reads[record.topic] += 1;
        self.frames.stamp(record.timestamp);
        let is_dead = if self.take_alike(place, record.topic, &view) {
            false
        } else {
            self.take_apart(place, record, &view, sink)?
        };
        let Some(slot) = self.frames.slots_mut().get_mut(place) else { return Ok(()) };
        slot.next = record.offset + 1;
        slot.newest = slot.newest.max(record.timestamp);
        if let Err(tripped) = slot.breaker.record(is_dead) {
            return Err(WorkerError::Breaker { source_partition: slot.source.clone(), tripped });
        }
        Ok(self.frames.send_full(sink)?)
    }

    /// The short way, for a record like one before; false: it has to be decoded.
    #[inline]
    fn take_alike(&mut self, place: usize, topic: usize, record: &intake::Record<'_>) -> bool {
        let Some(alike) = self.intake.alike(topic, record) else { return false };
        let count = u32::try_from(self.frames.partitions()).unwrap_or(u32::MAX);
        let partition = partition_of(alike.account.as_bytes(), count) as usize;
        self.frames.push_alike(partition, place, (&alike, record.offset), self.now);
        self.frames.seen(place, alike.time);
        true
    }

    /// The way of any record; whether it is a dead letter.
    fn take_apart(
        &mut self,
        place: usize,
        record: &Record<'_>,
        view: &intake::Record<'_>,
        sink: &mut impl Sink,
    ) -> Result<bool, WorkerError> {
        // Lists of a longer life serve a shorter one as they are; only the way back needs `recycle`.
        let mut decoded: Decoded<'_> = self.decoded.take().unwrap_or_default();
        self.decode(record.topic, view, &mut decoded)?;
        self.intake.learn(record.topic, &decoded);
        if decoded.is_notable() {
            self.count(&decoded);
        }
        self.route(place, &decoded);
        let dead = decoded.dead.take();
        if let Some(letter) = &dead {
            self.bury(place, record, letter, sink)?;
        }
        self.decoded = Some(decoded.recycle());
        Ok(dead.is_some())
    }

    /// Sends a record to the dead letters.
    fn bury(
        &mut self,
        slot: usize,
        record: &Record<'_>,
        letter: &DeadLetter,
        sink: &mut impl Sink,
    ) -> Result<(), WorkerError> {
        let token = self.frames.token();
        let topic = self.intake.source(record.topic).map_or("", |source| &source.topic);
        self.metrics.pipeline.dead_letter(topic, letter.kind, letter.reason.name());
        let failed = Failed { record, topic, letter, now: self.now };
        Ok(self.letters.send((token, slot), &failed, sink)?)
    }

    /// Decodes, fetching schemas as they are met.
    fn decode<'a>(
        &mut self,
        topic: usize,
        record: &intake::Record<'a>,
        out: &mut Decoded<'a>,
    ) -> Result<(), WorkerError> {
        while let Err(NeedsSchema(id)) = self.intake.decode(topic, record, out) {
            self.supply(id)?;
        }
        Ok(())
    }

    /// Hands in a schema, or that there is none.
    fn supply(&mut self, id: SchemaId) -> Result<(), WorkerError> {
        let number = match id {
            SchemaId::Number(number) => u32::try_from(number).ok(),
            SchemaId::Guid(_) => None,
        };
        let (Some(number), Some(registry)) = (number, &mut self.registry) else {
            self.intake.refuse_schema(id, "no registry that knows such an id is configured");
            return Ok(());
        };
        match registry.schema(number, self.now) {
            Ok(schema) => self.intake.add_schema(id, &schema),
            Err(error @ (RegistryError::Unknown(_) | RegistryError::Unsupported { .. })) => {
                self.intake.refuse_schema(id, &error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Counts what became of a record's events where it is known here already.
    fn count(&self, decoded: &Decoded<'_>) {
        for kind in decoded.kinds() {
            self.count_kind(kind, decoded);
        }
    }

    fn count_kind(&self, kind: Kind, decoded: &Decoded<'_>) {
        let counts = decoded.counts(kind);
        let pipeline = &self.metrics.pipeline;
        for (reason, count) in Filtered::ALL.into_iter().zip(counts.filtered) {
            if count > 0 {
                pipeline.filtered(kind, reason.name(), u64::from(count));
            }
        }
        if counts.unattributed > 0 {
            let outcome = crate::engine::effects::Outcome::Unattributed;
            pipeline.ended(kind, outcome, u64::from(counts.unattributed));
        }
        if counts.clamped > 0 {
            pipeline.clamped(kind, u64::from(counts.clamped));
        }
        if counts.cut > 0 {
            pipeline.cut(kind, u64::from(counts.cut));
        }
    }

    /// Publishes the counts of records.
    pub(super) fn count_reads(&mut self) {
        for (topic, reads) in self.reads.iter_mut().enumerate() {
            if let Some(source) = self.intake.source(topic) {
                self.metrics.pipeline.read(&source.topic, std::mem::take(reads));
            }
        }
    }

    /// Puts events into the frames of the partitions that they belong to.
    fn route(&mut self, place: usize, decoded: &Decoded<'_>) {
        let partitions = self.frames.partitions();
        let count = u32::try_from(partitions).unwrap_or(u32::MAX);
        let now = self.now;
        let mut newest = Timestamp::MIN;
        for event in &decoded.events {
            match route(event) {
                Some(Route::Key(key)) => {
                    let partition = partition_of(key.as_bytes(), count) as usize;
                    self.frames.push(partition, place, event, now);
                }
                Some(Route::Partition(partition)) => {
                    self.frames.push(usize::from(partition) % partitions.max(1), place, event, now);
                }
                Some(Route::Everywhere) => {
                    for partition in 0..partitions {
                        self.frames.push(partition, place, event, now);
                    }
                }
                None => {}
            }
            newest = newest.max(event.time);
        }
        self.frames.seen(place, newest);
    }
}
