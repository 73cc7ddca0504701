//! How long an event takes: run by hand with `--ignored --nocapture --release`.

use std::time::Instant;

use crate::engine::effects::Effects;
use crate::engine::{Engine, JournalRecord};
use crate::event::{Event, Field, Kind, Timestamp, Value};
use crate::journal::{Coverage, Entry, FrameBuilder, System};
use crate::rules::{Options, load};
use crate::runtime::memory_store::MemoryStore;

use super::driver::{settings, source};

const RULE: &str = "
version: 1
name: speed
defaults: {status: active, policy: {cooldown: 1h}}
rules:
- id: burst
  title: t
  why: w
  severity: warning
  family: f
  entity: account
  when: {count: {topic: error_log, within: 1h, gte: 100}}
  clear: {if: {met: false}}
  alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}
";

#[test]
#[ignore = "a measurement, not a test"]
fn nanoseconds_an_event() {
    let mut engine = Engine::new(settings());
    engine.settings.hot_bytes = 4 << 30;
    let mut store = MemoryStore::new();
    let mut effects = Effects::default();
    let program = load(&[("speed.yaml", RULE)], Options::default()).unwrap().program;
    engine.plan = std::sync::Arc::new(crate::engine::plan::Plan::new(std::sync::Arc::new(program)));
    let kind = Kind::ErrorLog;
    let added = System::SourceAdded { source: source(kind), kind, first: 0, lateness_ms: 600_000 };
    let record = JournalRecord { offset: 0, time: Timestamp(0), entry: Entry::System(added) };
    engine.step(&record, &mut store, &mut effects).unwrap();
    let (frames, each) = (2000_i64, 500_i64);
    let mut random = 1_u64;
    let mut spent = std::time::Duration::ZERO;
    for frame in 0..frames {
        let time = Timestamp(1_767_571_200_000 + frame * 100);
        let mut builder = FrameBuilder::new();
        for n in 0..each {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut event = Event::new(kind, "api.error", time);
            event.account = Some(format!("acct-{}", (random >> 33) % 200_000).into());
            event.id = random;
            event.position.offset = frame * each + n;
            event.set(Field::ErrorCode, Value::text("E_TIMEOUT"));
            event.set(Field::Service, Value::text("billing-api"));
            builder.push(&event, 0);
        }
        let mut bytes = Vec::new();
        let coverage = Coverage {
            source: source(kind),
            from: frame * each,
            to: frame * each + each - 1,
            end: frame * each + each,
            watermark: time.plus(-600_000),
            caught_up: true,
        };
        builder.finish(1, &[coverage], &mut bytes);
        let record = JournalRecord { offset: frame, time, entry: Entry::parse(&bytes).unwrap() };
        let begun = Instant::now();
        engine.prefetch(&record, &mut store).unwrap();
        engine.step(&record, &mut store, &mut effects).unwrap();
        spent += begun.elapsed();
        effects.clear();
    }
    let events = u128::try_from(frames * each).unwrap();
    println!(
        "{} ns an event, {} bytes a row",
        spent.as_nanos() / events,
        engine.hot_bytes() / engine.hot_rows()
    );
    let begun = Instant::now();
    let checkpoint = engine.checkpoint(&mut store).unwrap();
    let bytes: usize = checkpoint.rows.iter().map(|(_, row)| row.as_ref().map_or(0, Vec::len)).sum();
    println!("{} bytes a stored row, {} ms", bytes / checkpoint.rows.len(), begun.elapsed().as_millis());
}
