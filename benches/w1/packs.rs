//! Both rule packs over the simulated company, in memory: what a step of the engine costs, and how large rows are.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use forewarn::engine::effects::Effects;
use forewarn::engine::rows::key::KeyParts;
use forewarn::engine::store::Store as _;
use forewarn::engine::{Activation, Engine, JournalRecord, Settings};
use forewarn::event::record::to_json;
use forewarn::event::{SourcePartition, Timestamp};
use forewarn::intake::text::Scorer;
use forewarn::intake::{Decoded, Intake, Record, SourceSettings};
use forewarn::journal::{Coverage, Entry, Frame, FrameBuilder, System};
use forewarn::replay::{declared_mappings, sources};
use forewarn::rules::{Loaded, Options, load, worst_bytes};
use forewarn::runtime::memory_store::MemoryStore;
use forewarn::simulate::{Company, Generated};

use super::engine::thread_seconds;

/// A Monday.
const START: &str = "2026-01-05T00:00:00Z";
/// Records of so much time are taken in together, ms; a tick follows.
const STEP_MS: i64 = 60_000;
/// A frame has no more events.
const FRAME_EVENTS: usize = 256;

/// What is known of a source.
struct Own {
    settings: SourceSettings,
    /// Records read.
    read: i64,
    /// Records covered by frames.
    covered: i64,
    newest: Timestamp,
}

/// The engine under measurement, and the intake before it, which is not measured.
struct Bench {
    intake: Intake,
    sources: Vec<Own>,
    builder: FrameBuilder,
    engine: Engine,
    store: MemoryStore,
    effects: Effects,
    offset: i64,
    events: u64,
    ticks: u64,
    revisions: usize,
    /// CPU of frames with events, and of ticks, seconds.
    spent: [f64; 2],
}

/// Runs a company of so many accounts and days; two tables.
pub fn run(accounts: usize, days: u32) -> Result<String> {
    let loaded = packs()?;
    let start = Timestamp::parse(START).context("a time of ours")?;
    let mut bench = Bench::new(&loaded, start)?;
    let mut company =
        Company::new(7, accounts, start, days).with_tests(&loaded.tests, accounts / 200).peekable();
    let end = start.plus(i64::from(days) * 86_400_000);
    let mut now = start;
    while now < end {
        now = now.plus(STEP_MS);
        while let Some(record) = company.next_if(|record| record.time <= now) {
            bench.take(&record, now)?;
        }
        bench.send(now)?;
        bench.tick(now)?;
    }
    bench.report(&loaded)
}

/// Both packs, every rule active.
fn packs() -> Result<Loaded> {
    let seed = include_str!("../../rules/seed.yaml").replacen("  status: shadow\n", "  status: active\n", 1);
    let files = [
        ("lookups.yaml", include_str!("../../rules/lookups.yaml")),
        ("seed.yaml", &seed),
        ("starter.yaml", include_str!("../../rules/starter.yaml")),
    ];
    load(&files, Options::default()).map_err(|mistakes| anyhow::anyhow!("{mistakes}"))
}

impl Bench {
    fn new(loaded: &Loaded, start: Timestamp) -> Result<Self> {
        let mut engine = Engine::new(Settings {
            application_id: "packs".into(),
            journal: "journal".into(),
            partition: 0,
            partitions: 1,
            hot_bytes: 4 << 30,
            activate: Activation::Replay(start),
        });
        engine.install(Arc::new(loaded.program.clone()));
        let settings = sources(&declared_mappings(loaded));
        let own = |settings: &SourceSettings| Own {
            settings: settings.clone(),
            read: 0,
            covered: 0,
            newest: Timestamp::MIN,
        };
        let mut bench = Self {
            sources: settings.iter().map(own).collect(),
            intake: Intake::new(settings, Scorer::english()?),
            builder: FrameBuilder::new(),
            engine,
            store: MemoryStore::new(),
            effects: Effects::default(),
            offset: 0,
            events: 0,
            ticks: 0,
            revisions: 0,
            spent: [0.0; 2],
        };
        for place in 0..bench.sources.len() {
            let own = &bench.sources[place];
            let (kind, lateness_ms) = (own.settings.kind, own.settings.lateness_ms);
            let added = System::SourceAdded { source: own.partition(), kind, first: 0, lateness_ms };
            bench.step(start, Entry::System(added))?;
        }
        Ok(bench)
    }

    fn take(&mut self, record: &Generated, now: Timestamp) -> Result<()> {
        let place = self.sources.iter().position(|own| *own.settings.topic == *record.topic);
        let place = place.with_context(|| format!("no source {}", record.topic))?;
        let value = to_json(&record.value);
        let own = &mut self.sources[place];
        let record = Record {
            partition: 0,
            offset: own.read,
            timestamp: record.time,
            key: Some(record.key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &(),
        };
        own.read += 1;
        let mut decoded = Decoded::new();
        self.intake.decode(place, &record, &mut decoded).ok().context("a value of ours")?;
        for event in &decoded.events {
            own.newest = own.newest.max(event.time);
            self.builder.push(event, u16::try_from(place)?);
        }
        if self.builder.events() >= FRAME_EVENTS {
            self.send(now)?;
        }
        Ok(())
    }

    fn send(&mut self, now: Timestamp) -> Result<()> {
        let events = self.builder.events();
        if events == 0 {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let coverage = self.coverage(now);
        self.builder.finish(1, &coverage, &mut bytes);
        let from = thread_seconds()?;
        self.step(now, Entry::parse(&bytes)?)?;
        self.spent[0] += thread_seconds()? - from;
        self.events += events as u64;
        Ok(())
    }

    fn tick(&mut self, now: Timestamp) -> Result<()> {
        let sources = self.coverage(now);
        let from = thread_seconds()?;
        self.step(now, Entry::Frame(Frame::tick(sources)))?;
        self.spent[1] += thread_seconds()? - from;
        self.ticks += 1;
        Ok(())
    }

    fn coverage(&mut self, now: Timestamp) -> Vec<Coverage> {
        let of = |own: &mut Own| {
            let from = std::mem::replace(&mut own.covered, own.read);
            let watermark = own.newest.max(now).plus(-own.settings.lateness_ms);
            Coverage {
                source: own.partition(),
                from,
                to: own.read - 1,
                end: own.read,
                watermark,
                caught_up: true,
            }
        };
        self.sources.iter_mut().map(of).collect()
    }

    fn step(&mut self, time: Timestamp, entry: Entry<'_>) -> Result<()> {
        let record = JournalRecord { offset: self.offset, time, entry };
        self.engine.step(&record, &mut self.store, &mut self.effects)?;
        self.offset += 1;
        self.revisions += self.effects.alerts.len();
        self.effects.clear();
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn report(mut self, loaded: &Loaded) -> Result<String> {
        let checkpoint = self.engine.checkpoint(&mut self.store)?;
        self.store.checkpoint(&checkpoint)?;
        let mut sizes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (key, row) in self.store.rows() {
            let parts = KeyParts::decode(key)?;
            let across = if parts.account.is_none() { " across accounts" } else { "" };
            sizes.entry(format!("{}{across}", parts.kind)).or_default().push(row.len());
        }
        let mut text = format!(
            "| rules | events | ns an event | ticks | us a tick | rows | revisions |\n|---|---|---|---|---|---|---|\n\
             | {} | {} | {:.0} | {} | {:.1} | {} | {} |\n\n\
             | rows of | how many | median bytes | 99 of 100 below | largest |\n|---|---|---|---|---|",
            loaded.program.rules.len(),
            self.events,
            self.spent[0] / self.events.max(1) as f64 * 1e9,
            self.ticks,
            self.spent[1] / self.ticks.max(1) as f64 * 1e6,
            self.store.rows().len(),
            self.revisions,
        );
        for (kind, mut sizes) in sizes {
            sizes.sort_unstable();
            let at = |mille: usize| sizes[(sizes.len() - 1) * mille / 1000];
            text += &format!("\n| {kind} | {} | {} | {} | {} |", sizes.len(), at(500), at(990), at(1000));
        }
        for (kind, bytes) in worst_bytes(&loaded.program) {
            text += &format!("\nworst case of a row of {kind}: {bytes} bytes");
        }
        Ok(text)
    }
}

impl Own {
    fn partition(&self) -> SourcePartition {
        SourcePartition { topic: self.settings.topic.clone(), partition: 0 }
    }
}
