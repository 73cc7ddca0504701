//! Drives an engine through virtual time: events in, ticks each second, alerts and decisions out.

use std::sync::Arc;

use crate::engine::alert::{Alert, Decision};
use crate::engine::effects::{Effects, HealthRecord, Tally};
use crate::engine::plan::Plan;
use crate::engine::store::Store;
use crate::engine::{Activation, Engine, JournalRecord, Settings, StepError};
use crate::event::{
    Event, Field, FieldType, KINDS, Kind, SourcePartition, Timestamp, Traffic, Value, parse_date,
};
use crate::journal::{Coverage, Entry, Frame, FrameBuilder, System};
use crate::rules::program::Program;
use crate::runtime::memory_store::MemoryStore;

const LATENESS_MS: i64 = 600_000;

/// A record of the journal that a run wrote.
#[derive(Debug, Clone)]
pub struct Written {
    offset: i64,
    time: Timestamp,
    entry: Entry<'static>,
    bytes: Vec<u8>,
}

/// What came out: everything in order.
#[derive(Debug, Default, PartialEq)]
pub struct Output {
    pub alerts: Vec<Alert>,
    pub decisions: Vec<Decision>,
    pub health: Vec<HealthRecord>,
}

pub struct World {
    pub engine: Engine,
    pub store: MemoryStore,
    pub output: Output,
    pub tally: Tally,
    program: Arc<Program>,
    /// Since when its rules are active.
    began: Timestamp,
    /// Whether no event may take the short way.
    is_long: bool,
    /// By kind: next offset and newest event time of its only partition.
    sources: [(i64, Option<Timestamp>); KINDS],
    pub offset: i64,
    second: i64,
    pub journal: Vec<Written>,
}

pub fn settings() -> Settings {
    Settings {
        application_id: "replay".into(),
        journal: "journal".into(),
        partition: 0,
        partitions: 1,
        hot_bytes: 1 << 26,
        activate: Activation::Replay(Timestamp::MIN),
    }
}

fn settings_since(began: Timestamp) -> Settings {
    Settings { activate: Activation::Replay(began), ..settings() }
}

pub fn source(kind: Kind) -> SourcePartition {
    SourcePartition { topic: kind.name().into(), partition: 0 }
}

impl World {
    pub fn new(program: Program, start: Timestamp) -> Self {
        let program = Arc::new(program);
        let mut world = Self {
            engine: Engine::new(settings_since(start)),
            began: start,
            store: MemoryStore::new(),
            output: Output::default(),
            tally: Tally::default(),
            program,
            is_long: false,
            sources: [(0, None); KINDS],
            offset: -1,
            second: start.0.div_euclid(1000) - 1,
            journal: Vec::new(),
        };
        world.install();
        for kind in Kind::ALL {
            let added =
                System::SourceAdded { source: source(kind), kind, first: 0, lateness_ms: LATENESS_MS };
            world.step(start, Entry::System(added));
        }
        world
    }

    fn install(&mut self) {
        let mut plan = Plan::new(Arc::clone(&self.program));
        if self.is_long {
            plan.counts.fill(None);
            plan.fields.fill(None);
        }
        self.engine.install(Arc::clone(&self.program));
        self.engine.follow(plan);
    }

    /// Sends every event the long way from now on.
    pub fn go_long(&mut self) {
        self.is_long = true;
        self.install();
    }

    /// One record through the engine.
    pub fn try_step(&mut self, time: Timestamp, entry: Entry<'_>) -> Result<(), StepError> {
        let record = JournalRecord { offset: self.offset, time, entry };
        let mut effects = Effects::default();
        self.engine.step(&record, &mut self.store, &mut effects)?;
        self.take(effects);
        Ok(())
    }

    fn take(&mut self, effects: Effects) {
        self.output.alerts.extend(effects.alerts);
        self.output.decisions.extend(effects.decisions);
        self.output.health.extend(effects.health);
        for (own, new) in self.tally.events.iter_mut().flatten().zip(effects.tally.events.iter().flatten()) {
            *own += new;
        }
        let (tickets, more) = (&mut self.tally.tickets, &effects.tally.tickets);
        tickets.repeats.extend(more.repeats.iter().cloned());
        for (own, more) in tickets.tags.iter_mut().zip(more.tags) {
            own.yes += more.yes;
            own.no += more.no;
        }
        self.tally.journal_duplicates += effects.tally.journal_duplicates;
        self.tally.recovered += effects.tally.recovered;
        self.tally.rules.resize_with(effects.tally.rules.len(), Default::default);
        for (own, new) in self.tally.rules.iter_mut().zip(&effects.tally.rules) {
            own.evaluations += new.evaluations;
            own.activations += new.activations;
            own.merged += new.merged;
            own.reported_first += new.reported_first;
            own.peaks.add(&new.peaks);
            own.suppressed.resize(14, 0);
            for (own, new) in own.suppressed.iter_mut().zip(&new.suppressed) {
                *own += new;
            }
            for (own, new) in own.alerts.iter_mut().zip(&new.alerts) {
                *own += new;
            }
        }
    }

    fn step(&mut self, time: Timestamp, entry: Entry<'static>) {
        let (offset, bytes) = (self.offset, Vec::new());
        self.journal.push(Written { offset, time, entry: entry.clone(), bytes });
        self.try_step(time, entry).unwrap();
    }

    /// The same journal through another engine; `reopen` says before which records it is thrown away and resumed, `times`
    /// how often each record comes.
    pub fn again(&self, reopen: impl Fn(usize) -> bool, times: usize) -> Self {
        let mut world = Self::new((*self.program).clone(), self.began);
        world.engine = Engine::new(settings_since(self.began));
        world.install();
        for (place, written) in self.journal.iter().enumerate() {
            if reopen(place) {
                world.reopen_now();
            }
            world.offset = written.offset;
            for _ in 0..times {
                let entry = if written.bytes.is_empty() {
                    written.entry.clone()
                } else {
                    Entry::parse(&written.bytes).unwrap()
                };
                world.try_step(written.time, entry).unwrap();
            }
        }
        world
    }

    /// Checkpoints, forgets all that is in RAM, and goes on from the store.
    pub fn reopen_now(&mut self) {
        let checkpoint = self.engine.checkpoint(&mut self.store).unwrap();
        self.store.checkpoint(&checkpoint).unwrap();
        let (position, task) = self.store.last_checkpoint().unwrap().unwrap();
        self.engine = Engine::resume(settings(), position, &task).unwrap();
        self.install();
    }

    fn coverage(&self, kind: Kind, from: i64, to: i64) -> Coverage {
        let (next, newest) = self.sources[kind as usize];
        let watermark = newest.map_or(Timestamp::MIN, |newest| newest.plus(-LATENESS_MS));
        Coverage { source: source(kind), from, to, end: next, watermark, caught_up: true }
    }

    /// Ticks of all seconds before `time`; those at which nothing is due are left out.
    pub fn run_before(&mut self, time: Timestamp) {
        let last = (time.0 - 1).div_euclid(1000);
        while self.second < last {
            let due = self.engine.next_due().map_or(last, |due| -((-due.0).div_euclid(1000)));
            self.second = due.clamp(self.second + 1, last);
            self.tick(Timestamp(self.second * 1000));
        }
    }

    pub fn run_to(&mut self, time: Timestamp) {
        self.run_before(time.plus(1));
    }

    pub fn tick(&mut self, time: Timestamp) {
        let sources = Kind::ALL.map(|kind| {
            let (next, _) = self.sources[kind as usize];
            self.coverage(kind, next, next - 1)
        });
        self.step(time, Entry::Frame(Frame::tick(sources.to_vec())));
    }

    /// A tick that covers so many more records of a kind, none of them an event.
    pub fn tick_with(&mut self, time: Timestamp, kind: Kind, records: i64) {
        self.run_before(time);
        self.second = time.0.div_euclid(1000);
        let (next, _) = self.sources[kind as usize];
        self.sources[kind as usize].0 += records;
        self.offset += 1;
        let covered = self.coverage(kind, next, next + records - 1);
        self.step(time, Entry::Frame(Frame::tick(vec![covered])));
    }

    /// A tick of a source in which there is more to read.
    pub fn tick_behind(&mut self, time: Timestamp, kind: Kind) {
        self.second = time.0.div_euclid(1000);
        let (next, _) = self.sources[kind as usize];
        let covered = Coverage { caught_up: false, end: next + 1, ..self.coverage(kind, next, next - 1) };
        self.step(time, Entry::Frame(Frame::tick(vec![covered])));
    }

    /// One source record with one event.
    pub fn line(&mut self, time: Timestamp, event: Event<'static>) {
        self.run_before(time);
        let kind = event.kind;
        self.offset += 1;
        let (next, newest) = &mut self.sources[kind as usize];
        let offset = *next;
        *next += 1;
        *newest = (*newest).max(Some(event.time));
        let mut bytes = Vec::new();
        let mut builder = FrameBuilder::new();
        let filtered = matches!(event.traffic, Traffic::Internal | Traffic::Test);
        if !filtered {
            let mut event = event;
            event.position.offset = offset;
            builder.push(&event, 0);
        }
        builder.finish(1, &[self.coverage(kind, offset, offset)], &mut bytes);
        self.try_step(time, Entry::parse(&bytes).unwrap()).unwrap();
        let entry = Entry::Frame(Frame::tick(Vec::new()));
        self.journal.push(Written { offset: self.offset, time, entry, bytes });
    }
}

/// The canonical event of a record, as intake would make it.
pub fn event_of(kind: Kind, record: &Value<'static>, at: Timestamp) -> Event<'static> {
    let Value::Map(entries) = record else { panic!("no record") };
    let mut event = Event::new(kind, "", at);
    for (name, value) in entries {
        set(&mut event, name, value);
    }
    if kind == Kind::ErrorLog && event.get(Field::SeverityNumber).is_none() {
        event.set(Field::SeverityNumber, Value::Int(17));
    }
    event
}

fn set(event: &mut Event<'static>, name: &str, value: &Value<'static>) {
    let text = || value.as_text().unwrap_or_default().to_owned();
    match name {
        "event" | "type" => event.name = text().into(),
        "account_id" => event.account = Some(text().into()),
        "account_alias" => event.alias = Some(text().into()),
        "user_id" => event.user = Some(text().into()),
        "event_id" => event.id = xxhash_rust::xxh3::xxh3_64(text().as_bytes()),
        "event_time" => {
            if let Value::Time(time) = value {
                event.time = *time;
            }
        }
        "traffic" => {
            event.traffic = match &*text() {
                "automated" => Traffic::Automated,
                "internal" => Traffic::Internal,
                "test" => Traffic::Test,
                _ => Traffic::Customer,
            }
        }
        "properties" => {
            let Value::Map(entries) = value else { return };
            event.properties = entries.clone();
            event.properties.sort_by(|a, b| a.0.cmp(&b.0));
        }
        _ => match (Field::named(event.kind, name), value) {
            (Some(field), _) => event.set(field, typed(field, value)),
            (None, Value::Map(entries)) => {
                entries.iter().for_each(|(inner, value)| set(event, &format!("{name}.{inner}"), value));
            }
            _ => panic!("{name} is no field"),
        },
    }
}

fn typed(field: Field, value: &Value<'static>) -> Value<'static> {
    match (field.spec().ty, value) {
        (FieldType::Time, Value::Text(text)) => Value::Time(Timestamp::parse(text).unwrap()),
        (FieldType::Dates, Value::List(days)) => Value::List(
            days.iter().filter_map(Value::as_text).map(|day| Value::Date(parse_date(day).unwrap())).collect(),
        ),
        (FieldType::Date, Value::Text(text)) => Value::Date(parse_date(text).unwrap()),
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        (FieldType::Double, Value::Int(number)) => Value::Double(*number as f64),
        _ => value.clone(),
    }
}
