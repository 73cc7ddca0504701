//! Frames under construction: one a journal partition, and the arithmetic of what each of them covers.

use std::time::{Duration, Instant};

use super::IntakeSettings;
use super::skew::Pace;
use crate::event::{Alike, Event, SourcePartition, Timestamp};
use crate::intake::SourceSettings;
use crate::intake::breaker::{Breaker, Limits};
use crate::journal::coverage::Pending;
use crate::journal::{Coverage, FrameBuilder};
use crate::runtime::latency;
use crate::runtime::sink::{Outgoing, Sink, SinkError};

/// A source partition that the worker owns.
#[derive(Debug)]
pub(super) struct Slot {
    /// Which.
    pub source: SourcePartition,
    /// Place of its topic in the worker's list of sources.
    pub topic: usize,
    /// Allowed lateness, ms.
    pub lateness_ms: i64,
    /// The offset that this worker began with.
    pub start: i64,
    /// No owner before this worker has read up to this offset or beyond.
    pub inherited: i64,
    /// The version of the mappings that decodes the next offset.
    pub generation: i64,
    /// The offset at which another version may begin.
    pub until: i64,
    /// The next offset to deal with: all before it is in frames, sent or under construction.
    pub next: i64,
    /// The log's end as far as it is known.
    pub end: i64,
    /// Highest event time less the lateness.
    pub watermark: Timestamp,
    /// Kafka's timestamp of the newest record.
    pub newest: Timestamp,
    /// Watches its bad records.
    pub breaker: Breaker,
    /// The offset that was committed last.
    pub committed: i64,
    /// Whether it is held back for others.
    pub pace: Pace,
}

impl Slot {
    /// A partition of the source at `topic` in the worker's list; all before `next` is dealt with.
    #[must_use]
    pub(super) fn new(
        source: SourcePartition,
        topic: usize,
        settings: &SourceSettings,
        next: i64,
        limits: Limits,
    ) -> Self {
        Self {
            source,
            topic,
            lateness_ms: settings.lateness_ms,
            start: next,
            inherited: next,
            generation: 0,
            until: i64::MAX,
            next,
            end: next,
            watermark: Timestamp::MIN,
            newest: Timestamp::MIN,
            breaker: Breaker::new(limits),
            committed: next,
            pace: Pace::new(next),
        }
    }
}

/// A slot's place in the list of sources of a frame.
#[expect(clippy::cast_possible_truncation, reason = "a worker owns far fewer than 65,536 partitions")]
const fn place(slot: usize) -> u16 {
    slot as u16
}

/// The frame that is being built for one journal partition.
#[derive(Debug, Default)]
struct Lane {
    builder: FrameBuilder,
    /// By slot: the first offset that the next frame covers.
    from: Vec<i64>,
    /// When the oldest event in it came.
    since: Option<Timestamp>,
    /// Kafka's timestamp of the oldest record in it.
    oldest: Option<Timestamp>,
}

/// What was sent, for the metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Frames, ticks among them.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long it took to hand over those that held events.
    pub times: Vec<Duration>,
}

/// All frames of a worker.
#[derive(Debug)]
pub(super) struct Frames {
    /// The journal's topic.
    journal: String,
    /// Version of the mappings that made the events under construction.
    generation: i64,
    /// Size at which a frame is sent, bytes.
    frame_bytes: usize,
    lanes: Vec<Lane>,
    /// The journal partitions whose frames have reached that size.
    full: Vec<usize>,
    slots: Vec<Slot>,
    /// The slot of the last record, as the next one is likely to be of the same.
    recent: usize,
    pending: Pending,
    next_token: u64,
    bytes: Vec<u8>,
    coverage: Vec<Coverage>,
    upto: Vec<(usize, i64)>,
    sent: Sent,
    /// Kafka's timestamp of the record whose events are pushed.
    stamped: Timestamp,
}

impl Frames {
    /// Frames for a journal of so many partitions.
    #[must_use]
    pub(super) fn new(settings: &IntakeSettings) -> Self {
        let IntakeSettings { partitions, frame_bytes, .. } = *settings;
        Self {
            journal: settings.journal.clone(),
            generation: 0,
            frame_bytes,
            full: Vec::new(),
            lanes: std::iter::repeat_with(Lane::default).take(partitions).collect(),
            slots: Vec::new(),
            recent: 0,
            pending: Pending::new(partitions),
            next_token: 0,
            bytes: Vec::new(),
            coverage: Vec::new(),
            upto: Vec::new(),
            sent: Sent::default(),
            stamped: Timestamp::MIN,
        }
    }

    /// The partitions that the worker owns, in the order in which frames list them.
    #[must_use]
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The same, to be changed.
    pub(super) fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// The version of the mappings that made the events under construction.
    #[must_use]
    pub(super) const fn generation(&self) -> i64 {
        self.generation
    }

    /// Sets it. No frame may hold events.
    pub(super) fn set_generation(&mut self, generation: i64) {
        debug_assert!(self.lanes.iter().all(|lane| lane.builder.events() == 0), "a frame has one version");
        self.generation = generation;
    }

    /// How many journal partitions there are.
    #[must_use]
    pub(super) fn partitions(&self) -> usize {
        self.lanes.len()
    }

    /// A token that no record had before.
    pub(super) fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// Takes over a source partition. No frame may hold events.
    pub(super) fn own(&mut self, slot: Slot) {
        debug_assert!(
            self.lanes.iter().all(|lane| lane.builder.events() == 0),
            "frames list sources by place"
        );
        self.pending.own(self.slots.len(), slot.next);
        for lane in &mut self.lanes {
            lane.from.push(slot.next);
        }
        self.slots.push(slot);
    }

    /// Gives source partitions up. Nothing may be under construction or under way.
    pub(super) fn disown(&mut self, concerned: &[SourcePartition]) {
        let kept: Vec<bool> = self.slots.iter().map(|slot| !concerned.contains(&slot.source)).collect();
        for lane in &mut self.lanes {
            let mut keep = kept.iter();
            lane.from.retain(|_| keep.next().copied().unwrap_or(false));
        }
        let mut keep = kept.iter();
        self.slots.retain(|_| keep.next().copied().unwrap_or(false));
        self.pending = Pending::new(self.lanes.len());
        for (place, slot) in self.slots.iter().enumerate() {
            self.pending.own(place, slot.next);
        }
    }

    /// The place of a source partition.
    pub(super) fn slot_of(&mut self, topic: usize, partition: i32) -> Option<usize> {
        let is = |slot: &Slot| slot.topic == topic && slot.source.partition == partition;
        if !self.slots.get(self.recent).is_some_and(is) {
            self.recent = self.slots.iter().position(is)?;
        }
        Some(self.recent)
    }

    /// Says which record the events that are pushed next are of, by Kafka's timestamp.
    pub(super) const fn stamp(&mut self, record: Timestamp) {
        self.stamped = record;
    }

    /// An event of this time was seen in a slot.
    #[inline]
    pub(super) fn seen(&mut self, slot: usize, time: Timestamp) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.watermark = slot.watermark.max(time.plus(-slot.lateness_ms));
        }
    }

    /// Puts an event of a slot into the frame for a journal partition.
    pub(super) fn push(&mut self, partition: usize, slot: usize, event: &Event<'_>, now: Timestamp) {
        self.put(partition, now, |builder| builder.push(event, place(slot)));
    }

    /// The same for an event like another, at this offset.
    #[inline]
    pub(super) fn push_alike(
        &mut self,
        partition: usize,
        slot: usize,
        (alike, offset): (&Alike<'_>, i64),
        now: Timestamp,
    ) {
        self.put(partition, now, |builder| builder.push_alike(alike, place(slot), offset));
    }

    #[inline]
    fn put(&mut self, partition: usize, now: Timestamp, push: impl FnOnce(&mut FrameBuilder)) {
        let Some(lane) = self.lanes.get_mut(partition) else { return };
        push(&mut lane.builder);
        lane.since.get_or_insert(now);
        lane.oldest = Some(lane.oldest.map_or(self.stamped, |oldest| oldest.min(self.stamped)));
        if lane.builder.len_bytes() >= self.frame_bytes {
            self.full.push(partition);
        }
    }

    /// The longest time that an event has waited, ms.
    #[must_use]
    pub(super) fn waited_ms(&self, now: Timestamp) -> Option<i64> {
        self.lanes.iter().filter_map(|lane| lane.since).min().map(|since| now.since(since))
    }

    /// Sends the frames that are full.
    ///
    /// # Errors
    /// If the sink fails.
    #[inline]
    pub(super) fn send_full(&mut self, sink: &mut impl Sink) -> Result<(), SinkError> {
        while let Some(partition) = self.full.pop() {
            // Several events of one record may have been too many.
            if self.lanes.get(partition).is_some_and(|lane| lane.builder.events() > 0) {
                self.send(partition, sink)?;
            }
        }
        Ok(())
    }

    /// Sends the frames whose first event has waited long enough.
    ///
    /// # Errors
    /// If the sink fails.
    pub(super) fn send_due(
        &mut self,
        now: Timestamp,
        linger_ms: i64,
        sink: &mut impl Sink,
    ) -> Result<(), SinkError> {
        self.send_where(sink, |lane| lane.since.is_some_and(|since| now.since(since) >= linger_ms))
    }

    /// Sends a frame to every partition, a tick where there is no event.
    ///
    /// # Errors
    /// If the sink fails.
    pub(super) fn send_all(&mut self, sink: &mut impl Sink) -> Result<(), SinkError> {
        if self.slots.is_empty() { Ok(()) } else { self.send_where(sink, |_| true) }
    }

    fn send_where(&mut self, sink: &mut impl Sink, due: impl Fn(&Lane) -> bool) -> Result<(), SinkError> {
        for partition in 0..self.lanes.len() {
            if self.lanes.get(partition).is_some_and(&due) {
                self.send(partition, sink)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, partition: usize, sink: &mut impl Sink) -> Result<(), SinkError> {
        let (token, begun) = (self.token(), Instant::now());
        let Some(lane) = self.lanes.get_mut(partition) else { return Ok(()) };
        self.coverage.clear();
        self.upto.clear();
        for (place, (slot, from)) in self.slots.iter().zip(&mut lane.from).enumerate() {
            let to = slot.next - 1;
            self.coverage.push(Coverage {
                source: slot.source.clone(),
                from: *from,
                to,
                end: slot.end.max(slot.next),
                watermark: slot.watermark,
                caught_up: slot.next >= slot.end,
            });
            self.upto.push((place, to));
            *from = slot.next;
        }
        self.bytes.clear();
        lane.builder.finish(self.generation.unsigned_abs(), &self.coverage, &mut self.bytes);
        lane.since = None;
        let oldest = lane.oldest.take().map(latency::write);
        let header = oldest.as_ref().map(|oldest| (latency::OLDEST, oldest.as_slice()));
        self.pending.sent(partition, token, &self.upto);
        self.sent.frames += 1;
        self.sent.bytes += self.bytes.len() as u64;
        sink.send(Outgoing {
            topic: &self.journal,
            partition: i32::try_from(partition).ok(),
            key: None,
            value: Some(&self.bytes),
            headers: header.as_slice(),
            token,
        })?;
        if header.is_some() {
            self.sent.times.push(begun.elapsed());
        }
        Ok(())
    }

    /// A frame was acknowledged.
    pub(super) fn acknowledged(&mut self, token: u64) {
        self.pending.acknowledged(token);
    }

    /// The offset that may be committed for a slot: the next to read.
    #[must_use]
    pub(super) fn committable(&self, slot: usize) -> Option<i64> {
        self.pending.committable(slot)
    }

    /// What was sent since the last call.
    pub(super) fn take_sent(&mut self) -> Sent {
        std::mem::take(&mut self.sent)
    }
}
