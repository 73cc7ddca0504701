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

/// Accounts of the measurement.
const ACCOUNTS: u64 = 1_000_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// An account by Zipf's law (exponent 1), near enough: its rank is spread evenly in its logarithm.
    fn zipf(&mut self) -> u64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank"
        )]
        let rank = libm::pow(ACCOUNTS as f64, self.next() as f64 / (1_u64 << 31) as f64) as u64;
        rank.wrapping_mul(7919) % ACCOUNTS
    }
}

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

#[test]
#[ignore = "a measurement, not a test"]
fn uniform() {
    measure(11_000, Random::next);
}

#[test]
#[ignore = "a measurement, not a test"]
fn zipf() {
    measure(5_000, Random::zipf);
}

fn measure(frames: i64, account: impl Fn(&mut Random) -> u64) {
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
    let each = 900_i64;
    let mut random = Random(1);
    let mut spent = std::time::Duration::ZERO;
    for frame in 0..frames {
        let time = Timestamp(1_767_571_200_000 + frame * 100);
        let mut builder = FrameBuilder::new();
        for n in 0..each {
            let mut event = Event::new(kind, "api.error", time);
            event.account = Some(format!("acct-{}", account(&mut random) % ACCOUNTS).into());
            event.id = random.next() << 31 | random.next();
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
        engine.step(&record, &mut store, &mut effects).unwrap();
        spent += begun.elapsed();
        effects.clear();
    }
    let events = u128::try_from(frames * each).unwrap();
    println!(
        "{} ns an event, {} rows of {} bytes, {} resident",
        spent.as_nanos() / events,
        engine.hot_rows(),
        engine.hot_bytes() / engine.hot_rows(),
        resident_bytes() / engine.hot_rows()
    );
    let begun = Instant::now();
    let checkpoint = engine.checkpoint(&mut store).unwrap();
    let bytes: usize = checkpoint.rows.iter().map(|(_, row)| row.as_ref().map_or(0, Vec::len)).sum();
    println!("{} bytes a stored row, {} ms", bytes / checkpoint.rows.len(), begun.elapsed().as_millis());
}
