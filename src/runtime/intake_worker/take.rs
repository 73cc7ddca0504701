//! One record's way: decoded, counted, routed into frames or to the dead letters.

use std::sync::Arc;

use super::IntakeSettings;
use super::frames::Frames;
use super::letters::{Failed, Letters};
use crate::event::{Kind, Timestamp};
use crate::intake::{
    self, Decoded, Filtered, Headers, Intake, NeedsSchema, Route, SchemaId, SourceSettings, partition_of,
    route,
};
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
    intake: Intake,
    registry: Option<Registry>,
    decoded: Decoded<'static>,
    /// Records by source, since they were counted last.
    reads: Vec<u64>,
}

/// A record's headers, as intake reads them.
struct HeadersOf<'a>(&'a Record<'a>);

impl Headers for HeadersOf<'_> {
    fn header(&self, place: usize) -> Option<(&str, &[u8])> {
        self.0.headers.0.header(place)
    }
}

impl Taking {
    #[expect(clippy::too_many_arguments, reason = "the parts of a worker, put together once")]
    pub(super) fn new(
        settings: IntakeSettings,
        intake: Intake,
        registry: Option<Registry>,
        frames: Frames,
        letters: Letters,
        metrics: Arc<Metrics>,
        now: Timestamp,
    ) -> Self {
        let decoded = Decoded::new();
        Self {
            settings,
            frames,
            letters,
            metrics,
            now,
            failed: None,
            intake,
            registry,
            decoded,
            reads: Vec::new(),
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
        let headers = HeadersOf(record);
        let view = intake::Record {
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: &headers,
        };
        let mut decoded = std::mem::take(&mut self.decoded).recycle();
        self.decode(record.topic, &view, &mut decoded)?;
        self.count(record.topic, &decoded);
        self.frames.stamp(record.timestamp);
        self.route(place, &decoded);
        let dead = decoded.dead.take();
        if let Some(letter) = &dead {
            let token = self.frames.token();
            let topic = self.intake.source(record.topic).map_or("", |source| &source.topic);
            self.metrics.pipeline.dead_letter(topic, letter.kind, letter.reason.name());
            let failed = Failed { record, topic, slot: place, letter, now: self.now };
            self.letters.send(token, &failed, sink)?;
        }
        self.decoded = decoded.recycle();
        let Some(slot) = self.frames.slots_mut().get_mut(place) else { return Ok(()) };
        slot.next = record.offset + 1;
        slot.newest = slot.newest.max(record.timestamp);
        if let Err(tripped) = slot.breaker.record(dead.is_some()) {
            return Err(WorkerError::Breaker { source_partition: slot.source.clone(), tripped });
        }
        Ok(self.frames.send_full(self.settings.frame_bytes, sink)?)
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
    fn count(&mut self, topic: usize, decoded: &Decoded<'_>) {
        if self.reads.len() <= topic {
            self.reads.resize(topic + 1, 0);
        }
        self.reads[topic] += 1;
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
            if let Some(slot) = self.frames.slots_mut().get_mut(place) {
                slot.watermark = slot.watermark.max(event.time.plus(-slot.lateness_ms));
            }
        }
    }
}
