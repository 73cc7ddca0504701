//! The intake worker: source records in, frames and dead letters out, offsets committed when every journal partition has
//! acknowledged what they led to.
//!
//! One thread, no locks. Whatever goes wrong, the worker is dropped and a new one begins at the committed offsets: what it
//! writes again is known to the readers by the ranges that its frames cover.

mod frames;
mod letters;
mod skew;
mod take;
mod versions;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info};

use self::frames::{Frames, Slot};
use self::letters::Letters;
use self::take::{Equipment, Taking};
use self::versions::Versions;
use super::clock::{Clock, is_due};
use super::http::{Pulse, Unready};
use super::letters::LetterWriter;
use super::mappings::MappingLog;
use super::metrics::{Group, Journaled, Metrics, Stage};
use super::registry::Registry;
use super::sink::{Outgoing, Sink};
use super::source::{Assignment, CommitMode, Source};
use super::worker::{Stop, WorkerError};
use crate::event::{SourcePartition, Timestamp};
use crate::intake::Intake;
use crate::intake::breaker::Limits;
use crate::journal::{System, encode_system};

/// How often every journal partition hears from every worker, ms.
const TICK_MS: i64 = 1000;
/// Longest wait for acknowledgements when partitions are given up or the worker ends.
const PATIENCE_MS: i64 = 30_000;

/// How an intake worker works.
#[derive(Debug, Clone)]
pub struct IntakeSettings {
    /// The journal's topic.
    pub journal: String,
    /// Its number of partitions.
    pub partitions: usize,
    /// Longest wait of an event for its frame to fill, ms.
    pub linger_ms: i64,
    /// Size at which a frame is sent, bytes.
    pub frame_bytes: usize,
    /// How dead letters are written.
    pub letters: LetterWriter,
    /// When bad records stop intake.
    pub limits: Limits,
    /// How far sources may run ahead of others in event time while old records are read, ms; 0: as far as they like.
    pub max_skew_ms: i64,
}

/// What a worker needs beside its source and sink.
pub struct IntakeParts {
    /// How it works.
    pub settings: IntakeSettings,
    /// Decodes the canonical form; its sources stand in the order of the topics that the source was opened with.
    pub intake: Intake,
    /// Where the mappings are, and from which offsets on.
    pub mappings: Box<dyn MappingLog>,
    /// Where schemas are asked for.
    pub registry: Option<Registry>,
    /// The time.
    pub clock: Arc<dyn Clock + Send + Sync>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// What it tells the probes.
    pub pulse: Arc<Pulse>,
}

/// An intake worker.
pub struct IntakeWorker<S, K> {
    source: S,
    sink: K,
    taking: Taking,
    clock: Arc<dyn Clock + Send + Sync>,
    pulse: Arc<Pulse>,
    next_tick: Timestamp,
    /// When partitions were given up whose successors are not known yet.
    revoked: Option<Timestamp>,
    tokens: Vec<u64>,
}

impl<S: Source, K: Sink> IntakeWorker<S, K> {
    /// A worker that owns nothing yet. The sink must be a plain one.
    #[must_use]
    pub fn new(source: S, sink: K, parts: IntakeParts) -> Self {
        let IntakeParts { settings, intake, mappings, registry, clock, metrics, pulse } = parts;
        let now = clock.now();
        let frames = Frames::new(&settings);
        let letters = Letters::new(settings.letters.clone());
        let versions = Versions::new(mappings, &intake);
        let equipment = Equipment { intake, versions, registry, metrics };
        let taking = Taking::new(settings, equipment, (frames, letters), now);
        taking.announce();
        Self { source, sink, taking, clock, pulse, next_tick: now, revoked: None, tokens: Vec::new() }
    }

    /// Works until told to stop, then finishes what it has taken in.
    ///
    /// # Errors
    /// If something fails: the worker must be dropped.
    pub fn run(&mut self, stop: &Stop) -> Result<(), WorkerError> {
        while !stop.is_set() {
            self.turn(Duration::from_millis(100))?;
        }
        self.finish(stop)
    }

    /// One round: what is due is sent and committed, then records are waited for, at most this long.
    ///
    /// # Errors
    /// If something fails: the worker must be dropped.
    pub fn turn(&mut self, wait: Duration) -> Result<(), WorkerError> {
        self.taking.now = self.clock.now();
        let now = self.taking.now;
        self.pulse.beat(now);
        if is_due(now, self.next_tick, TICK_MS) {
            self.tick()?;
        } else {
            self.taking.frames.send_due(now, self.taking.settings.linger_ms, &mut self.sink)?;
        }
        self.collect(Duration::ZERO)?;
        let wait = self.wait(now, wait);
        let (source, sink, taking) = (&mut self.source, &mut self.sink, &mut self.taking);
        let mut begun = None;
        let change = source.poll(wait, &mut |record| {
            begun.get_or_insert_with(Instant::now);
            taking.take(&record, sink);
        })?;
        if let Some(begun) = begun {
            taking.metrics.pipeline.observe(Stage::Decode, begun.elapsed());
        }
        if let Some(error) = taking.failed.take() {
            return Err(error);
        }
        match change {
            Assignment::Unchanged => Ok(()),
            Assignment::Assigned(partitions) => self.assigned(&partitions),
            Assignment::Revoked(partitions) => self.revoked(&partitions),
            Assignment::Lost(partitions) => {
                let first = partitions.into_iter().next();
                first.map_or(Ok(()), |partition| Err(WorkerError::Lost(partition)))
            }
        }
    }

    /// How long to wait for records: not beyond what is due next.
    fn wait(&self, now: Timestamp, most: Duration) -> Duration {
        let tick = self.next_tick.since(now);
        let frame = self.taking.frames.waited_ms(now).map(|ms| self.taking.settings.linger_ms - ms);
        let due = frame.map_or(tick, |frame| frame.min(tick)).max(1);
        most.min(Duration::from_millis(due.unsigned_abs()))
    }

    /// Says in every journal partition how far the sources are, and commits what is acknowledged everywhere.
    fn tick(&mut self) -> Result<(), WorkerError> {
        self.next_tick = self.taking.now.plus(TICK_MS);
        self.activate()?;
        for slot in self.taking.frames.slots_mut() {
            // Markers of transactions are offsets too, which no record will ever cover.
            slot.next = self.source.position(&slot.source).unwrap_or(slot.next).max(slot.next);
            slot.end = self.source.known_end(&slot.source).unwrap_or(slot.end).max(slot.end);
        }
        self.hold()?;
        self.taking.frames.send_all(&mut self.sink)?;
        self.taking.report();
        self.commit(CommitMode::Background)
    }

    /// Holds partitions back that run ahead of others, and lets those go that do no longer.
    fn hold(&mut self) -> Result<(), WorkerError> {
        let (now, max_skew_ms) = (self.taking.now, self.taking.settings.max_skew_ms);
        let slots = self.taking.frames.slots_mut();
        for place in skew::hold(slots, now, max_skew_ms) {
            let Some(slot) = slots.get(place) else { continue };
            self.source.set_paused(&slot.source, slot.pace.held)?;
            let (topic, partition, next) = (&*slot.source.topic, slot.source.partition, slot.next);
            if slot.pace.held {
                info!(
                    topic,
                    partition, next, "held back: it is further ahead of another one than `max_skew`"
                );
            } else {
                info!(topic, partition, next, "read on");
            }
        }
        Ok(())
    }

    /// Takes in acknowledgements.
    fn collect(&mut self, wait: Duration) -> Result<(), WorkerError> {
        self.sink.acknowledged(wait, &mut self.tokens)?;
        for token in self.tokens.drain(..) {
            if !self.taking.letters.acknowledged(token) {
                self.taking.frames.acknowledged(token);
            }
        }
        Ok(())
    }

    /// Commits the offsets whose frames and dead letters are acknowledged everywhere.
    fn commit(&mut self, mode: CommitMode) -> Result<(), WorkerError> {
        let mut offsets = Vec::new();
        for place in 0..self.taking.frames.slots().len() {
            let Some(mut offset) = self.taking.frames.committable(place) else { continue };
            if let Some(letter) = self.taking.letters.first_under_way(place) {
                offset = offset.min(letter);
            }
            if let Some(slot) = self.taking.frames.slots_mut().get_mut(place)
                && offset > slot.committed
            {
                slot.committed = offset;
                offsets.push((slot.source.clone(), offset));
            }
        }
        if !offsets.is_empty() {
            self.source.commit(&offsets, mode)?;
        }
        Ok(())
    }

    /// Sends everything, waits until it is acknowledged, and commits.
    fn settle(&mut self, stop: Option<&Stop>) -> Result<(), WorkerError> {
        self.taking.frames.send_all(&mut self.sink)?;
        self.drain(stop)?;
        self.taking.report();
        self.commit(CommitMode::Wait)
    }

    /// Waits until everything that was sent is acknowledged.
    fn drain(&mut self, stop: Option<&Stop>) -> Result<(), WorkerError> {
        let deadline = self.clock.now().plus(PATIENCE_MS);
        while self.sink.in_flight() > 0 {
            self.collect(Duration::from_millis(50))?;
            if stop.is_some_and(Stop::is_abort) {
                return Err(WorkerError::Aborted);
            }
            if self.clock.now() > deadline {
                return Err(WorkerError::Unacknowledged(self.sink.in_flight()));
            }
        }
        self.collect(Duration::ZERO)
    }

    /// Begins with partitions where the group left off; those that nobody has read are announced in the journal.
    fn assigned(&mut self, partitions: &[SourcePartition]) -> Result<(), WorkerError> {
        let begun = self.revoked.take().unwrap_or_else(|| self.clock.now());
        // Frames list sources by place: those under construction end before the list grows.
        self.taking.frames.send_all(&mut self.sink)?;
        self.taking.versions.refresh()?;
        for partition in partitions {
            let committed = self.source.committed(partition)?;
            let (low, high) = self.source.bounds(partition)?;
            let start = self.start(partition, committed, low)?;
            self.source.seek(partition, start)?;
            let inherited = if committed.is_some() { high } else { start };
            self.taking.own(partition, (start, high), inherited);
            self.taking.metrics.pipeline.assigned(&partition.topic, 1);
            info!(topic = &*partition.topic, partition = partition.partition, start, high, "reading");
        }
        self.activate()?;
        self.pulse.set(Unready::Starting, false);
        self.pulse.set(Unready::Unassigned, self.taking.frames.slots().is_empty());
        self.taking.metrics.pipeline.rebalance(Group::Intake, elapsed(begun, self.clock.now()));
        Ok(())
    }

    /// The offset to begin with.
    fn start(
        &mut self,
        partition: &SourcePartition,
        committed: Option<i64>,
        low: i64,
    ) -> Result<i64, WorkerError> {
        match committed {
            Some(offset) if offset >= low => {
                if !self.taking.versions.knows(partition) {
                    self.announce(partition, offset)?;
                }
                Ok(offset)
            }
            // The readers of the journal see that offsets are missing and stop: nobody but an operator may accept that.
            Some(offset) => {
                error!(
                    topic = &*partition.topic,
                    partition = partition.partition,
                    from = offset,
                    to = low - 1,
                    "offsets were deleted before they were read"
                );
                Ok(low)
            }
            None => {
                self.announce(partition, low)?;
                Ok(low)
            }
        }
    }

    /// Writes `source_added` to every journal partition, ahead of the first frame.
    fn announce(&mut self, partition: &SourcePartition, first: i64) -> Result<(), WorkerError> {
        let Some((_, settings)) = self.taking.source(&partition.topic) else { return Ok(()) };
        let added = System::SourceAdded {
            source: partition.clone(),
            kind: settings.kind,
            first,
            lateness_ms: settings.lateness_ms,
        };
        let mut bytes = Vec::new();
        encode_system(&added, &mut bytes);
        for journal_partition in 0..self.taking.frames.partitions() {
            let token = self.taking.frames.token();
            self.sink.send(Outgoing {
                topic: &self.taking.settings.journal,
                partition: i32::try_from(journal_partition).ok(),
                key: None,
                value: Some(&bytes),
                headers: &[],
                token,
            })?;
        }
        Ok(())
    }

    /// Gives partitions up when all that was read of them is safe.
    fn revoked(&mut self, partitions: &[SourcePartition]) -> Result<(), WorkerError> {
        self.revoked = Some(self.clock.now());
        self.settle(None)?;
        self.taking.frames.disown(partitions);
        self.pulse.set(Unready::Unassigned, self.taking.frames.slots().is_empty());
        partitions.iter().for_each(|partition| self.taking.forget(partition));
        Ok(())
    }

    /// Finishes what was taken in.
    ///
    /// # Errors
    /// If it can't be written in time, or the order to end at once comes.
    pub fn finish(&mut self, stop: &Stop) -> Result<(), WorkerError> {
        self.settle(Some(stop))
    }
}

impl<S, K> Drop for IntakeWorker<S, K> {
    /// Nothing is owned any more.
    fn drop(&mut self) {
        self.taking.frames.slots().iter().for_each(|slot| self.taking.forget(&slot.source));
    }
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_millis(to.since(from).max(0).unsigned_abs())
}

impl Taking {
    /// Makes the series of all sources exist.
    fn announce(&self) {
        self.sources().for_each(|source| self.metrics.pipeline.announce_source(&source.topic));
    }

    /// Takes a partition out of the metrics.
    fn forget(&self, partition: &SourcePartition) {
        self.metrics.pipeline.assigned(&partition.topic, -1);
        self.metrics.pipeline.forget_partition(partition);
    }

    /// Reports what was written and how far behind the sources are.
    fn report(&mut self) {
        let sent = self.frames.take_sent();
        self.metrics.pipeline.journaled(Journaled::Intake, sent.frames, sent.bytes);
        sent.times.into_iter().for_each(|time| self.metrics.pipeline.observe(Stage::Route, time));
        for slot in self.frames.slots() {
            let behind = slot.end - slot.next;
            let age = if behind > 0 { self.now.since(slot.newest.max(Timestamp(0))) } else { 0 };
            self.metrics.pipeline.set_lag(&slot.source, behind, age);
        }
        self.metrics.pipeline.progressed(self.now);
        self.count_reads();
    }

    /// Takes a partition over.
    fn own(&mut self, partition: &SourcePartition, (start, end): (i64, i64), inherited: i64) {
        let limits = self.settings.limits;
        let Some((topic, settings)) = self.source(&partition.topic) else { return };
        let mut slot = Slot::new(partition.clone(), topic, settings, start, limits);
        slot.end = end;
        slot.inherited = inherited;
        self.frames.own(slot);
    }
}
