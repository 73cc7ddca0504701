//! A journal record of which the engine has died three times is left out, by all engines that come to it, and what it held
//! goes to the dead letters (`design.md` §4).
//!
//! The order to leave it out is a system record further on in the journal, so it is looked for where the last engine died,
//! before the next one begins.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tracing::{error, info, warn};

use crate::event::bytes::FormatError;
use crate::event::{Event, Kind, SourcePartition, Timestamp};
use crate::intake::{DeadLetter, DeadReason, Stage};
use crate::journal::{Entry, Frame, System, encode_system};
use crate::runtime::deaths::{Death, Deaths};
use crate::runtime::letters::{Failed, LetterWriter};
use crate::runtime::metrics::Metrics;
use crate::runtime::sink::{Outgoing, Sink};
use crate::runtime::source::Record;
use crate::runtime::system::settle;
use crate::runtime::worker::WorkerError;

/// So many deaths at one record are no accident.
const DEATHS: u32 = 3;

/// Visits a partition of any topic from an offset up to before another, or up to its present end if that comes first.
/// Records that are gone are passed over.
pub type ReadPartition = Arc<
    dyn Fn(
            &SourcePartition,
            Range<i64>,
            &mut dyn FnMut(&Record<'_>) -> Result<(), WorkerError>,
        ) -> Result<(), WorkerError>
        + Send
        + Sync,
>;

/// What it takes to leave a record out.
pub struct Quarantine {
    /// What this machine knows of deaths.
    pub deaths: Deaths,
    /// Reads the journal and the sources.
    pub read: ReadPartition,
    /// Opens a plain writer.
    pub open_sink: Arc<dyn Fn() -> Result<Box<dyn Sink + Send>, WorkerError> + Send + Sync>,
    /// How dead letters are written.
    pub letters: LetterWriter,
}

/// A journal record that engines die of.
struct Suspect {
    partition: SourcePartition,
    offset: i64,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    time: Timestamp,
}

/// Source records of a frame, by partition: their offsets, each with the kind of its events.
type Origins = BTreeMap<SourcePartition, BTreeMap<i64, Kind>>;

impl Quarantine {
    /// The records that an engine must leave out which begins at `start`: because this machine's engines died of one too
    /// often, or because it was said of others before.
    ///
    /// # Errors
    /// If logs can't be read or written, or the disk refuses.
    pub(super) fn judge(
        &self,
        journal: &SourcePartition,
        start: i64,
        (now, metrics): (Timestamp, &Metrics),
    ) -> Result<Vec<i64>, WorkerError> {
        let Some(Death { offset, times }) = self.deaths.of(journal.partition)? else { return Ok(Vec::new()) };
        if offset < start {
            // It is behind us.
            self.deaths.forget(journal.partition)?;
            return Ok(Vec::new());
        }
        warn!(partition = journal.partition, offset, times, "the engine died of this journal record before");
        let (suspect, mut told) = self.find(journal, start, offset)?;
        let is_new = times >= DEATHS && !told.contains(&offset);
        let Some(suspect) = suspect.filter(|_| is_new) else { return Ok(told) };
        let Ok(Entry::Frame(frame)) = Entry::parse(&suspect.value) else { return Ok(refuse(&suspect, told)) };
        if frame.is_tick() {
            return Ok(refuse(&suspect, told));
        }
        let mut sink = (self.open_sink)()?;
        let letters = self.bury(&suspect, &frame, now, (&mut *sink, metrics))?;
        settle(&mut *sink)?;
        // Only when the letters are safe: whoever reads the order does not write them again.
        let reason = format!("the engine died of it {times} times");
        order(&suspect, &reason, &mut *sink)?;
        settle(&mut *sink)?;
        info!(partition = journal.partition, offset, letters, "the journal record is quarantined");
        told.push(offset);
        Ok(told)
    }

    /// The record of which the last engine died, and all of which somebody has said that they are to be left out: an engine
    /// that dies of a second one has not stored yet what it was told of the first.
    fn find(
        &self,
        journal: &SourcePartition,
        start: i64,
        offset: i64,
    ) -> Result<(Option<Suspect>, Vec<i64>), WorkerError> {
        let (mut suspect, mut told) = (None, Vec::new());
        (self.read)(journal, start..i64::MAX, &mut |record| {
            let value = record.value.unwrap_or_default();
            if record.offset == offset {
                suspect = Some(Suspect {
                    partition: journal.clone(),
                    offset,
                    key: record.key.map(Into::into),
                    value: value.into(),
                    time: record.timestamp,
                });
            } else if let Ok(Entry::System(System::Quarantine { partition, offset, .. })) =
                Entry::parse(value)
                && partition == journal.partition
            {
                told.push(offset);
            }
            Ok(())
        })?;
        Ok((suspect, told))
    }

    /// Writes the dead letters of a record; how many. Events' are the source records that they came with; what tasks tell
    /// each other has no other form than the journal's.
    fn bury(
        &self,
        suspect: &Suspect,
        frame: &Frame<'_>,
        now: Timestamp,
        (sink, metrics): (&mut dyn Sink, &Metrics),
    ) -> Result<u64, WorkerError> {
        let mut sent = 0_u64;
        let mut send = |record: &Record<'_>, topic: &str, (kind, detail): (Kind, String)| {
            let letter = DeadLetter {
                stage: Stage::Engine,
                reason: DeadReason::Quarantined,
                kind,
                mapping: None,
                detail,
            };
            metrics.pipeline.letter(topic, letter.reason.name());
            self.letters.send(sent, &Failed { record, topic, letter: &letter, now }, sink)?;
            sent += 1;
            Ok::<(), WorkerError>(())
        };
        let place = format!("journal record {}/{}", suspect.partition.partition, suspect.offset);
        if frame.items().is_some() {
            let record = suspect.record();
            let detail = format!("the engine dies of {place}, which other tasks have told");
            send(&record, &suspect.partition.topic, (Kind::Usage, detail))?;
            return Ok(sent);
        }
        let malformed = |error: FormatError| {
            WorkerError::journal((suspect.partition.partition, suspect.offset), error.into())
        };
        for (source, mut offsets) in origins(frame).map_err(malformed)? {
            let bounds = offsets.first_key_value().zip(offsets.last_key_value());
            let Some(range) = bounds.map(|((first, _), (last, _))| *first..last + 1) else { continue };
            (self.read)(&source, range, &mut |record| match offsets.remove(&record.offset) {
                Some(kind) => {
                    send(record, &source.topic, (kind, format!("the engine dies of {place}, where it went")))
                }
                None => Ok(()),
            })?;
            for (offset, kind) in offsets {
                let detail = format!(
                    "the engine dies of {place}, where it went; the record itself is gone from its topic"
                );
                let gone = Record { offset, ..blank(source.partition, suspect.time) };
                send(&gone, &source.topic, (kind, detail))?;
            }
        }
        Ok(sent)
    }
}

impl Suspect {
    fn record(&self) -> Record<'_> {
        Record {
            offset: self.offset,
            key: self.key.as_deref(),
            value: Some(&self.value),
            ..blank(self.partition.partition, self.time)
        }
    }
}

/// A record without content.
const fn blank(partition: i32, timestamp: Timestamp) -> Record<'static> {
    Record { topic: 0, partition, offset: 0, timestamp, key: None, value: None, headers: &() }
}

/// Where the events of a frame came from.
fn origins(frame: &Frame<'_>) -> Result<Origins, FormatError> {
    let mut origins = Origins::new();
    let mut cursor = frame.cursor();
    let mut event = Event::new(Kind::Usage, "", Timestamp(0));
    while cursor.next_into(&mut event)? {
        let Some(coverage) = frame.sources.get(usize::from(event.position.source)) else { continue };
        let own = origins.entry(coverage.source.clone()).or_default();
        own.insert(event.position.offset, event.kind);
    }
    Ok(origins)
}

/// A tick or an order can't be left out: what is due stays due, and an order left out would leave partitions in discord.
fn refuse(suspect: &Suspect, told: Vec<i64>) -> Vec<i64> {
    let Suspect { partition, offset, .. } = suspect;
    error!(
        partition = partition.partition,
        offset, "the engine dies of a tick or of an order, which can't be left out: run another version"
    );
    told
}

/// Tells all who come to the record to leave it out.
fn order(suspect: &Suspect, reason: &str, sink: &mut dyn Sink) -> Result<(), WorkerError> {
    let Suspect { partition, offset, .. } = suspect;
    let mut bytes = Vec::new();
    let told = System::Quarantine { partition: partition.partition, offset: *offset, reason: reason.into() };
    encode_system(&told, &mut bytes);
    Ok(sink.send(Outgoing {
        topic: &partition.topic,
        partition: Some(partition.partition),
        key: None,
        value: Some(&bytes),
        headers: &[],
        token: 0,
    })?)
}
