//! Detect alone, without a broker: frames as intake makes them, through the engine with its rows in a real RocksDB.
//!
//! What is measured is all CPU of the process (RocksDB's own threads included) but that of making the frames.

use std::time::Instant;

use anyhow::{Context as _, Result};
use forewarn::engine::effects::Effects;
use forewarn::engine::store::Store as _;
use forewarn::engine::{Activation, Engine, JournalRecord, Settings};
use forewarn::event::{Event, Field, Kind, SourcePartition, Timestamp, Value};
use forewarn::journal::{Coverage, Entry, FrameBuilder, System};
use forewarn::runtime::rocks::{RocksMemory, RocksStore};

use super::workload::{Accounts, Spread};

/// Journal partitions, all of them worked on by one thread.
const TASKS: u16 = 12;
/// A frame is full with so many bytes.
const FRAME_BYTES: usize = 32 << 10;
/// Events between two checkpoints of a task: those of 5 s at 300,000 events/s.
const CHECKPOINT_EVENTS: u64 = 1_500_000;
/// Events between two ticks: those of a second at 300,000 events/s.
const TICK_EVENTS: u64 = 300_000;
/// Event time of the whole run, ms.
const SPAN_MS: u64 = 2 * 3_600_000;
const START_MS: i64 = 1_767_225_600_000;
const LATENESS_MS: i64 = 600_000;

/// Events that are made at a time, so that the making can be told from the work.
const BLOCK: u64 = 8192;

/// The frames of one journal partition.
#[derive(Default)]
struct Maker {
    builder: FrameBuilder,
    covered: i64,
}

/// A frame for the partition at a place.
struct Made {
    place: usize,
    time: Timestamp,
    bytes: Vec<u8>,
}

/// One journal partition: the engine that takes it.
struct Partition {
    offset: i64,
    engine: Engine,
    store: RocksStore,
    effects: Effects,
}

/// CPU and time spent on parts of the way.
#[derive(Debug, Default)]
struct Spent {
    making: f64,
    steps: f64,
    checkpoints: f64,
    longest: f64,
    written: u64,
    written_bytes: u64,
    alerts: usize,
}

/// Runs the workload; what it took.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub fn run(spread: Spread, events: u64, accounts: u32) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let memory = RocksMemory::new(64 << 20, 64 << 20);
    let mut draws = Accounts::new(spread, accounts, 7);
    let mut spent = Spent::default();
    let mut makers: Vec<Maker> = (0..TASKS).map(|_| Maker::default()).collect();
    let mut partitions = (0..TASKS)
        .map(|number| Partition::new(number, folder.path(), &memory))
        .collect::<Result<Vec<_>>>()?;
    let (begun, before) = (process_seconds()?, resident_bytes()?);
    let turn = CHECKPOINT_EVENTS / u64::from(TASKS);
    for block in 0..events.div_ceil(BLOCK) {
        let numbers = block * BLOCK..((block + 1) * BLOCK).min(events);
        let from = thread_seconds()?;
        let made = make(&mut makers, &mut draws, (numbers.clone(), events))?;
        spent.making += thread_seconds()? - from;
        let from = thread_seconds()?;
        for Made { place, time, bytes } in &made {
            let partition = &mut partitions[*place];
            partition.step(*time, Entry::parse(bytes)?)?;
            spent.alerts += partition.effects.alerts.len();
            partition.effects.clear();
        }
        spent.steps += thread_seconds()? - from;
        if numbers.end / turn > numbers.start / turn || numbers.end == events {
            let due = usize::try_from(numbers.end / turn % u64::from(TASKS))?;
            let all = numbers.end == events;
            for (place, partition) in partitions.iter_mut().enumerate() {
                if all || place == due {
                    partition.checkpoint(&mut spent)?;
                }
            }
        }
    }
    let total = process_seconds()? - begun - spent.making;
    let rows: usize = partitions.iter().map(|own| own.engine.hot_rows()).sum();
    let held: usize = partitions.iter().map(|own| own.engine.hot_bytes()).sum();
    let each = |seconds: f64| seconds / events as f64 * 1e9;
    Ok(format!(
        "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {} | {} | {} | {:.0} | {} | {:.0} | {} |",
        spread.name(),
        each(total),
        each(spent.steps),
        each(spent.checkpoints),
        each(spent.making),
        rows,
        held / rows.max(1),
        resident_bytes()?.saturating_sub(before) / rows.max(1),
        spent.longest * 1e3,
        spent.written,
        spent.written_bytes as f64 / spent.written.max(1) as f64,
        spent.alerts,
    ))
}

/// Makes the frames of some events, and the ticks between them.
fn make(
    makers: &mut [Maker],
    draws: &mut Accounts,
    (numbers, events): (std::ops::Range<u64>, u64),
) -> Result<Vec<Made>> {
    let mut made = Vec::new();
    let time_of = |number: u64| i64::try_from(number * SPAN_MS / events).map(|ms| START_MS + ms);
    for number in numbers {
        let now = time_of(number)?;
        let account = format!("acct-{:07}", draws.draw());
        let place = usize::from(place_of(&account));
        makers[place].push(number, &account, now);
        if makers[place].builder.len_bytes() >= FRAME_BYTES {
            made.push(makers[place].finish(place, number, now));
        }
        if number % TICK_EVENTS == 0 || number + 1 == events {
            for (place, maker) in makers.iter_mut().enumerate() {
                if maker.builder.events() > 0 {
                    made.push(maker.finish(place, number, now));
                }
                made.push(maker.finish(place, number, now));
            }
        }
    }
    Ok(made)
}

impl Maker {
    fn push(&mut self, number: u64, account: &str, now: i64) {
        let mut event = Event::new(Kind::ErrorLog, "api.error", Timestamp(now));
        event.account = Some(account.into());
        event.id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        event.position.offset = number.cast_signed();
        let pick = |of: &[&'static str]| of[(number % of.len() as u64) as usize];
        event.set(Field::Source, Value::text("backend"));
        event.set(Field::SeverityNumber, Value::Int(17));
        event.set(Field::ErrorCode, Value::text(pick(&["E_AUTH", "E_NET", "E_QUOTA", "E_SCHEMA"])));
        event.set(Field::ErrorType, Value::text("UpstreamTimeout"));
        event.set(Field::Service, Value::text(pick(&["reports", "sync", "billing"])));
        event.set(Field::Region, Value::text("eu-central-1"));
        event.set(Field::HttpStatus, Value::Int(504));
        self.builder.push(&event, 0);
    }

    /// Ends the frame at an offset; without events it is a tick.
    fn finish(&mut self, place: usize, number: u64, now: i64) -> Made {
        let to = number.cast_signed();
        let coverage = Coverage {
            source: source(),
            from: self.covered,
            to,
            end: to + 1,
            watermark: Timestamp(now - LATENESS_MS),
            caught_up: true,
        };
        self.covered = to + 1;
        let mut bytes = Vec::with_capacity(self.builder.len_bytes() + 128);
        self.builder.finish(1, &[coverage], &mut bytes);
        Made { place, time: Timestamp(now), bytes }
    }
}

impl Partition {
    fn new(number: u16, folder: &std::path::Path, memory: &RocksMemory) -> Result<Self> {
        let settings = Settings {
            application_id: "w1".into(),
            journal: "journal".into(),
            partition: number,
            partitions: TASKS,
            hot_bytes: (2 << 30) / usize::from(TASKS),
            activate: Activation::Replay(Timestamp::MIN),
        };
        let loaded = forewarn::rules::load(
            &[("w1.yaml", include_str!("rules.yaml"))],
            forewarn::rules::Options::default(),
        );
        let program = loaded.map_err(|mistakes| anyhow::anyhow!("{mistakes}"))?.program;
        let mut engine = Engine::new(settings);
        engine.install(std::sync::Arc::new(program));
        let store = RocksStore::open(folder, i32::from(number), u32::from(TASKS), memory)?;
        let mut own = Self { offset: 0, engine, store, effects: Effects::default() };
        let (source, kind) = (source(), Kind::ErrorLog);
        let entry = Entry::System(System::SourceAdded { source, kind, first: 0, lateness_ms: LATENESS_MS });
        own.step(Timestamp(START_MS), entry)?;
        Ok(own)
    }

    fn step(&mut self, time: Timestamp, entry: Entry<'_>) -> Result<()> {
        let record = JournalRecord { offset: self.offset, time, entry };
        self.engine.step(&record, &mut self.store, &mut self.effects)?;
        self.offset += 1;
        Ok(())
    }

    fn checkpoint(&mut self, spent: &mut Spent) -> Result<()> {
        let (from, start) = (thread_seconds()?, Instant::now());
        let checkpoint = self.engine.checkpoint(&mut self.store)?;
        self.store.checkpoint(&checkpoint)?;
        spent.longest = spent.longest.max(start.elapsed().as_secs_f64());
        spent.checkpoints += thread_seconds()? - from;
        spent.written += checkpoint.rows.len() as u64;
        let bytes: usize = checkpoint.rows.iter().filter_map(|(_, row)| Some(row.as_ref()?.len())).sum();
        spent.written_bytes += bytes as u64;
        Ok(())
    }
}

fn source() -> SourcePartition {
    SourcePartition { topic: "errors".into(), partition: 0 }
}

/// Where an account goes; any even spread does.
fn place_of(account: &str) -> u16 {
    account.bytes().fold(7_u16, |hash, byte| hash.wrapping_mul(31).wrapping_add(u16::from(byte))) % TASKS
}

/// CPU time of this thread, seconds.
pub fn thread_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: u64 = text.split(' ').next().context("no scheduler statistics")?.parse()?;
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    Ok(nanoseconds as f64 / 1e9)
}

fn process_seconds() -> Result<f64> {
    Ok(super::process::usage_of("self")?.cpu_seconds)
}

fn resident_bytes() -> Result<usize> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = text.split(' ').nth(1).context("no resident pages")?.parse()?;
    Ok(pages * 4096)
}
