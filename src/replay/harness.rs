//! Drives one engine and one store with lines and ticks, step by step.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::line::{Line, LineError};
use super::{ReplayError, settings};
use crate::engine::effects::Effects;
use crate::engine::store::Store;
use crate::engine::{Engine, JournalRecord};
use crate::event::{Kind, SourcePartition, Timestamp};
use crate::intake::text::Scorer;
use crate::intake::{DeadLetter, Decoded, Intake, Record, SchemaId, SourceSettings};
use crate::journal::{Coverage, Entry, Frame, FrameBuilder, System};
use crate::rules::program::Program;

const SECOND_MS: i64 = 1000;

/// A record that was not taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// The line's number, from 1.
    pub line: u64,
    /// The source.
    pub source: SourcePartition,
    /// The offset.
    pub offset: i64,
    /// Why.
    pub letter: DeadLetter,
}

/// What became of the input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Lines read.
    pub lines: u64,
    /// Events that reached the engine.
    pub events: u64,
    /// Events filtered as test, internal, excluded, unmapped or of another environment.
    pub filtered: u64,
    /// Events without account, alias and cross-account entity.
    pub unattributed: u64,
    /// Records that are bad, as a whole or in one of their events.
    pub dead: Vec<Dead>,
}

/// A source partition and how far it has come.
#[derive(Debug, Clone)]
struct Own {
    partition: SourcePartition,
    /// The last offset that was read.
    last: i64,
    /// The last offset that the engine was told of: a line without events waits for the next frame or tick.
    covered: i64,
    watermark: Timestamp,
    lateness_ms: i64,
    /// Records wait there that are not read.
    stalled: bool,
}

/// An engine with its rows and its input.
pub struct Harness<S> {
    program: Arc<Program>,
    engine: Engine,
    store: S,
    intake: Intake,
    topics: Vec<SourceSettings>,
    sources: Vec<Own>,
    places: BTreeMap<SourcePartition, usize>,
    builder: FrameBuilder,
    /// Journal time; nothing before the first line.
    now: Option<Timestamp>,
    /// The second whose tick comes next.
    next_tick: Timestamp,
    offset: i64,
    twice: bool,
    /// Most lines of a frame.
    most: usize,
    /// The frame under construction: its sources, and how many lines it has.
    held: (Vec<Held>, usize),
    effects: Effects,
    report: Report,
}

impl<S: Store> Harness<S> {
    /// Announces partition 0 of every source, so that every kind ticks from the beginning. The program is active
    /// before all history; the store must be empty.
    ///
    /// # Errors
    /// If the engine refuses the announcements.
    pub fn new(
        program: Arc<Program>,
        store: S,
        inputs: (Vec<SourceSettings>, Scorer),
    ) -> Result<Self, ReplayError> {
        Self::since(program, store, inputs, Timestamp::MIN)
    }

    /// The same with rules that are active since a time: windows that begin before it are warming.
    ///
    /// # Errors
    /// As [`Harness::new`].
    pub fn since(
        program: Arc<Program>,
        store: S,
        (sources, scorer): (Vec<SourceSettings>, Scorer),
        began: Timestamp,
    ) -> Result<Self, ReplayError> {
        let mut harness = Self {
            engine: Engine::new(settings(began)),
            program,
            store,
            intake: Intake::new(sources.clone(), scorer),
            topics: sources,
            sources: Vec::new(),
            places: BTreeMap::new(),
            builder: FrameBuilder::new(),
            now: None,
            next_tick: Timestamp::MIN,
            offset: -1,
            twice: false,
            most: 1,
            held: (Vec::new(), 0),
            effects: Effects::default(),
            report: Report::default(),
        };
        harness.engine.install(Arc::clone(&harness.program));
        for place in 0..harness.topics.len() {
            harness.announce(place, 0)?;
        }
        Ok(harness)
    }

    /// From now on every frame and tick is delivered twice.
    pub fn deliver_twice(&mut self) {
        self.twice = true;
    }

    /// From now on a frame takes up to so many lines, as long as their timestamps are equal. What comes out is the same but
    /// for what is made of journal offsets: ids and origins.
    pub fn gather(&mut self, lines: usize) {
        self.most = lines;
    }

    /// Announces a partition before its first line, as intake does. Lines of partitions that were not announced announce
    /// them; but then the kind's watermark waits for them only from there on.
    ///
    /// # Errors
    /// If the topic is not known, or the engine refuses.
    pub fn add_partition(&mut self, line: &Line) -> Result<(), ReplayError> {
        let topic = self.topic(line)?;
        self.announce(topic, line.partition).map(|_| ())
    }

    fn topic(&self, line: &Line) -> Result<usize, ReplayError> {
        self.topics.iter().position(|topic| topic.topic == line.topic).ok_or_else(|| {
            let known: Vec<&str> = self.topics.iter().map(|topic| &*topic.topic).collect();
            let source = LineError::UnknownTopic { topic: line.topic.clone(), known: known.join(" ") };
            ReplayError::Line { number: self.report.lines, source }
        })
    }

    fn announce(&mut self, topic: usize, partition: i32) -> Result<usize, ReplayError> {
        let Some(settings) = self.topics.get(topic) else { return Ok(0) };
        let source = SourcePartition { topic: settings.topic.clone(), partition };
        if let Some(place) = self.places.get(&source) {
            return Ok(*place);
        }
        let (kind, lateness_ms) = (settings.kind, settings.lateness_ms);
        let (watermark, stalled) = (Timestamp::MIN, false);
        let own = Own { partition: source.clone(), last: -1, covered: -1, watermark, lateness_ms, stalled };
        self.sources.push(own);
        let place = self.sources.len() - 1;
        self.places.insert(source.clone(), place);
        self.deliver(Entry::System(System::SourceAdded { source, kind, first: 0, lateness_ms }))?;
        Ok(place)
    }

    /// Begins at this time without any line: the first tick is that of this second.
    pub fn begin(&mut self, time: Timestamp) {
        if self.now.is_none() {
            self.now = Some(time);
            self.next_tick = second_from(time);
        }
    }

    /// Takes in a line, after the ticks that are due before it, and gives its offset.
    ///
    /// # Errors
    /// If the topic is not known or the engine fails.
    pub fn line(&mut self, line: &Line) -> Result<i64, ReplayError> {
        self.report.lines += 1;
        let topic = self.topic(line)?;
        let place = self.announce(topic, line.partition)?;
        self.begin(line.timestamp);
        let (next, covered) = self.sources.get(place).map_or((0, -1), |own| (own.last + 1, own.covered));
        let offset = line.offset.unwrap_or(next);
        if self.now < Some(line.timestamp) || offset <= covered {
            self.send()?;
        }
        self.tick_until(line.timestamp.plus(-1))?;
        self.now = self.now.max(Some(line.timestamp));
        self.offset += 1;
        self.hold(line, topic, (place, offset));
        if self.held.1 >= self.most {
            self.send()?;
        }
        Ok(offset)
    }

    /// Puts the events of a line into the frame under construction, and that its source is covered up to it; a line without
    /// events leaves no trace there.
    fn hold(&mut self, line: &Line, topic: usize, (place, offset): (usize, i64)) {
        let record = Record {
            partition: line.partition,
            offset,
            timestamp: line.timestamp,
            key: line.key.as_deref().map(str::as_bytes),
            value: line.value.as_deref(),
            headers: &(),
        };
        let mut decoded = Decoded::new();
        while let Err(needs) = self.intake.decode(topic, &record, &mut decoded) {
            // Lines are JSON; a value that claims another schema can't be read here.
            self.refuse(needs.0);
        }
        self.book(&decoded, place, offset);
        let Some(own) = self.sources.get_mut(place) else { return };
        own.last = own.last.max(offset);
        let Some(newest) = decoded.events.iter().map(|event| event.time).max() else { return };
        own.watermark = own.watermark.max(Timestamp::plus(newest, -own.lateness_ms));
        let from = offset.min(own.covered + 1);
        own.covered = own.covered.max(offset);
        let (held, lines) = &mut self.held;
        *lines += 1;
        let slot = held.iter().position(|held| held.place == place).unwrap_or_else(|| {
            held.push(Held { place, from, to: offset });
            held.len() - 1
        });
        held[slot].to = offset;
        for event in &mut decoded.events {
            line.features.iter().for_each(|(field, value)| event.set(*field, value.clone()));
            self.builder.push(event, u16::try_from(slot).unwrap_or(u16::MAX));
        }
    }

    /// Delivers the frame under construction, if there is one.
    fn send(&mut self) -> Result<(), ReplayError> {
        let (held, lines) = std::mem::take(&mut self.held);
        if lines == 0 {
            return Ok(());
        }
        let of = |held: &Held| self.sources.get(held.place).map(|own| own.coverage(held.from, held.to));
        let coverage: Vec<Coverage> = held.iter().filter_map(of).collect();
        let mut bytes = Vec::new();
        self.builder.finish(0, &coverage, &mut bytes);
        let number = self.report.lines;
        for _ in 0..=usize::from(self.twice) {
            let entry = Entry::parse(&bytes).map_err(|source| ReplayError::Frame { number, source })?;
            self.deliver(entry)?;
        }
        Ok(())
    }

    fn refuse(&mut self, id: SchemaId) {
        self.intake.refuse_schema(id, "a replay reads JSON only");
    }

    fn book(&mut self, decoded: &Decoded<'_>, place: usize, offset: i64) {
        self.report.events += decoded.events.len() as u64;
        for kind in Kind::ALL {
            let counts = decoded.counts(kind);
            self.report.filtered += counts.filtered.iter().map(|count| u64::from(*count)).sum::<u64>();
            self.report.unattributed += u64::from(counts.unattributed);
        }
        if let (Some(letter), Some(own)) = (&decoded.dead, self.sources.get(place)) {
            let source = own.partition.clone();
            self.report.dead.push(Dead { line: self.report.lines, source, offset, letter: letter.clone() });
        }
    }

    /// Runs the clock to this time: the ticks of all seconds up to it. Runs of ticks with nothing due are taken as one.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn run_until(&mut self, time: Timestamp) -> Result<(), ReplayError> {
        self.begin(time);
        self.send()?;
        self.tick_until(time)?;
        self.now = self.now.max(Some(time));
        Ok(())
    }

    /// From now on sources of a kind stand still though there is more to read, or no longer.
    pub fn stall(&mut self, kind: Kind, stalled: bool) {
        let topics = &self.topics;
        let of_kind = |own: &&mut Own| {
            topics.iter().any(|topic| topic.topic == own.partition.topic && topic.kind == kind)
        };
        self.sources.iter_mut().filter(of_kind).for_each(|own| own.stalled = stalled);
    }

    /// Says that too little comes of a kind since a time (`Ok`), or did until one (`Err`).
    pub fn force_volume(&mut self, kind: Kind, low: Result<Timestamp, Timestamp>) {
        self.engine.force_volume(kind, low);
    }

    fn tick_until(&mut self, time: Timestamp) -> Result<(), ReplayError> {
        let end = Timestamp(time.0.div_euclid(SECOND_MS) * SECOND_MS);
        while self.next_tick <= end {
            let due = self.engine.next_due().map_or(end, second_from);
            let at = due.clamp(self.next_tick, end);
            self.next_tick = at.plus(SECOND_MS);
            self.now = self.now.max(Some(at));
            for _ in 0..=usize::from(self.twice) {
                let sources =
                    self.sources.iter().map(|own| own.coverage(own.covered + 1, own.last)).collect();
                self.deliver(Entry::Frame(Frame::tick(sources)))?;
            }
            self.sources.iter_mut().for_each(|own| own.covered = own.last);
        }
        Ok(())
    }

    fn deliver(&mut self, entry: Entry<'_>) -> Result<(), ReplayError> {
        let time = self.now.unwrap_or(Timestamp::MIN);
        let record = JournalRecord { offset: self.offset, time, entry };
        self.engine.step(&record, &mut self.store, &mut self.effects)?;
        Ok(())
    }

    /// Alerts, decisions and counters since the last call, in order.
    pub fn take(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// If the store fails.
    pub fn commit(&mut self) -> Result<(), ReplayError> {
        let checkpoint = self.engine.checkpoint(&mut self.store)?;
        Ok(self.store.checkpoint(&checkpoint)?)
    }

    /// Writes a checkpoint and goes on with a new engine over the same store.
    ///
    /// # Errors
    /// If the store fails, or the engine can't read what it wrote.
    pub fn reopen(&mut self) -> Result<(), ReplayError> {
        self.commit()?;
        if let Some((position, task)) = self.store.last_checkpoint()? {
            self.engine = Engine::resume(settings(Timestamp::MIN), position, &task)?;
            self.engine.install(Arc::clone(&self.program));
        }
        Ok(())
    }

    /// What became of the input so far.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Journal time; `None` before the first line.
    #[must_use]
    pub const fn now(&self) -> Option<Timestamp> {
        self.now
    }
}

/// A source in the frame under construction, and the offsets that the frame will cover.
struct Held {
    place: usize,
    from: i64,
    to: i64,
}

impl Own {
    fn coverage(&self, from: i64, to: i64) -> Coverage {
        Coverage {
            source: self.partition.clone(),
            from,
            to,
            end: self.last + 1 + i64::from(self.stalled),
            watermark: self.watermark,
            caught_up: !self.stalled,
        }
    }
}

/// The first whole second that is not before this time.
fn second_from(time: Timestamp) -> Timestamp {
    Timestamp((time.0.saturating_add(SECOND_MS - 1)).div_euclid(SECOND_MS).saturating_mul(SECOND_MS))
}
