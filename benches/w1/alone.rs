//! What intake itself costs: records in memory, no broker, no threads.

use anyhow::{Result, ensure};
use forewarn::event::{Kind, SourcePartition, Timestamp};
use forewarn::intake::text::Scorer;
use forewarn::intake::{Decoded, Intake, Record, Route, SchemaId, SourceSettings, partition_of, route};
use forewarn::journal::{Coverage, FrameBuilder};

use super::process::usage_of;
use super::workload::{self, Accounts, Spread};

/// Journal partitions, as by default.
const PARTITIONS: u32 = 12;
/// Size of a frame, as by default.
const FRAME_BYTES: usize = 32 << 10;
/// Records kept in memory: more than any cache holds.
const RECORDS: u64 = 200_000;
const START_MS: i64 = 1_767_225_600_000;

/// CPU of one thread, ns an event, and what it makes.
#[derive(Debug)]
pub struct Alone {
    /// From bytes to canonical events, each decoded.
    pub decode: f64,
    /// From bytes to frames, as the worker does it.
    pub frames: f64,
    /// Bytes of frames an event, before compression.
    pub bytes: f64,
    /// Events a frame.
    pub events_a_frame: f64,
}

/// Takes the records of a spread through intake, `rounds` times over.
#[expect(clippy::cast_precision_loss, reason = "counts of one workload")]
pub fn measure(spread: Spread, accounts: u32, rounds: u64) -> Result<Alone> {
    let records = records(spread, accounts);
    let mut intake = Intake::new(vec![SourceSettings::new("errors", Kind::ErrorLog)], Scorer::english()?);
    intake.add_schema(SchemaId::Number(workload::SCHEMA_ID.cast_signed()), workload::SCHEMA);
    let mut lanes: Vec<FrameBuilder> = (0..PARTITIONS).map(|_| FrameBuilder::new()).collect();
    let mut sent = (0, 0, Vec::new());
    let mut send = |lane: &mut FrameBuilder| {
        if lane.len_bytes() >= FRAME_BYTES {
            sent.2.clear();
            lane.finish(1, &coverage(), &mut sent.2);
            sent.0 += 1;
            sent.1 += sent.2.len();
        }
    };
    let lane_of = |key: &str| partition_of(key.as_bytes(), PARTITIONS) as usize;
    let mut kept = None;
    let decode = run(&records, rounds, &mut |record| {
        let mut out: Decoded<'_> = kept.take().unwrap_or_default();
        intake.decode(0, record, &mut out)?;
        ensure!(out.events.len() == 1, "a record is no event: {:?}", out.dead);
        kept = Some(out.recycle());
        Ok(())
    })?;
    // As the worker does it.
    let frames = run(&records, rounds, &mut |record| {
        if let Some(alike) = intake.alike(0, record) {
            let lane = &mut lanes[lane_of(alike.account)];
            lane.push_alike(&alike, 0, record.offset);
            send(lane);
            return Ok(());
        }
        let mut out: Decoded<'_> = kept.take().unwrap_or_default();
        intake.decode(0, record, &mut out)?;
        intake.learn(0, &out);
        for event in &out.events {
            let Some(Route::Key(key)) = route(event) else { continue };
            let lane = &mut lanes[lane_of(&key)];
            lane.push(event, 0);
            send(lane);
        }
        kept = Some(out.recycle());
        Ok(())
    })?;
    let under_way: usize = lanes.iter().map(FrameBuilder::events).sum();
    let events = (RECORDS * rounds) as f64 - under_way as f64;
    Ok(Alone { decode, frames, bytes: sent.1 as f64 / events, events_a_frame: events / f64::from(sent.0) })
}

fn coverage() -> [Coverage; 1] {
    let source = SourcePartition { topic: "errors".into(), partition: 0 };
    [Coverage { source, from: 0, to: 9, end: 10, watermark: Timestamp(START_MS), caught_up: false }]
}

fn records(spread: Spread, accounts: u32) -> Vec<Vec<u8>> {
    let mut accounts = Accounts::new(spread, accounts, 7);
    let record = |number: u64| {
        let mut value = Vec::new();
        let account = format!("acct-{:07}", accounts.draw());
        workload::encode(&mut value, &account, number, START_MS + number.cast_signed() / 2);
        value
    };
    (0..RECORDS).map(record).collect()
}

/// The best of as many rounds as there are: ns of CPU a record. On a shared machine the others were disturbed.
fn run(records: &[Vec<u8>], rounds: u64, take: &mut dyn FnMut(&Record<'_>) -> Result<()>) -> Result<f64> {
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let before = usage_of("self")?;
        for (offset, value) in (0..).zip(records) {
            let timestamp = Timestamp(START_MS + offset / 2);
            let value = Some(value.as_slice());
            take(&Record { partition: 0, offset, timestamp, key: None, value, headers: &() })?;
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of records")]
        let cost = (usage_of("self")?.cpu_seconds - before.cpu_seconds) * 1e9 / records.len() as f64;
        best = best.min(cost);
    }
    Ok(best)
}
