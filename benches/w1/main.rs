//! Workload W1 (`make bench`): ten million Avro error-log events on a real broker, one rule, exactly once.
//!
//! In one run, on one machine: a bare librdkafka batch consumer of the topic, then intake, then detect, each alone until
//! it has caught up, for Zipf(1.05) and uniform accounts; detect once more with the changelog, and both at once. Then the
//! time from record to committed alert at half the load that both at once could take.
//! All run as the real program, `forewarn run`.
//!
//! Before that, in memory: intake's own work, detect alone, and the engine with both rule packs over a simulated company
//! (`FOREWARN_BENCH_COMPANY` accounts, `FOREWARN_BENCH_DAYS` days). Without a broker this is all that is measured.
//!
//! `FOREWARN_BENCH_BROKERS` names the broker; `FOREWARN_BENCH_EVENTS` and `FOREWARN_BENCH_ACCOUNTS` make it smaller. With
//! `FOREWARN_BENCH_RATE`, events a second, nothing but the latency at that rate is measured.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "lengths and counts of one workload, all small"
)]

mod alone;
mod engine;
mod packs;
mod process;
mod stages;
mod workload;

use std::time::Duration;

use anyhow::{Context as _, Result};
use tikv_jemallocator::Jemalloc;

use stages::{Bench, Run, Stage};
use workload::Spread;

/// That of the program, as the engine runs in this process too.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn setting(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is no number: {text}")),
        Err(_) => Ok(default),
    }
}

fn main() -> Result<()> {
    let events = setting("FOREWARN_BENCH_EVENTS", 10_000_000)?;
    let accounts = u32::try_from(setting("FOREWARN_BENCH_ACCOUNTS", 1_000_000)?)?;
    let rate = setting("FOREWARN_BENCH_RATE", 0)?;
    if rate > 0 {
        let brokers = std::env::var("FOREWARN_BENCH_BROKERS").context("latency needs a broker")?;
        println!("{}", stages::latency(&brokers, accounts, rate)?);
        return Ok(());
    }
    println!("| spread | ns of CPU an event: decode | decode to frames | bytes an event | events a frame |");
    println!("|---|---|---|---|---|");
    for spread in Spread::ALL {
        let alone::Alone { decode, frames, bytes, events_a_frame } =
            alone::measure(spread, accounts, setting("FOREWARN_BENCH_ROUNDS", 20)?)?;
        println!("| {} | {decode:.0} | {frames:.0} | {bytes:.1} | {events_a_frame:.0} |", spread.name());
    }
    println!("\nw1: {events} events over {accounts} accounts\n");
    println!(
        "Detect alone, frames from memory and rows in RocksDB, ns of CPU an event:\n\n\
         | spread | all | engine | checkpoints | (making frames) | rows | bytes a row counted | resident | \
         longest checkpoint ms | rows written | bytes a stored row | revisions |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for spread in Spread::ALL {
        println!("{}", engine::run(spread, events, accounts)?);
    }
    println!("\nBoth rule packs over the simulated company, in memory:\n");
    let (company, days) = (setting("FOREWARN_BENCH_COMPANY", 1000)?, setting("FOREWARN_BENCH_DAYS", 100)?);
    println!("{}", packs::run(usize::try_from(company)?, u32::try_from(days)?)?);
    let Ok(brokers) = std::env::var("FOREWARN_BENCH_BROKERS") else {
        println!("\nw1: no more without FOREWARN_BENCH_BROKERS (use `make bench`)");
        return Ok(());
    };
    println!();
    println!(
        "| spread | stage | thousand events/s | CPU-s per million events | peak MiB | bytes out per byte in |"
    );
    println!("|---|---|---|---|---|---|");
    // Time for all events from topic to alert, the broker beside it on the same machine.
    let mut whole_seconds = 0.0;
    for spread in Spread::ALL {
        let bench = Bench::prepare(&brokers, spread, events, accounts)?;
        let bare = bench.bare()?;
        print_row(spread, "bare consumer", &bare, events);
        let intake = bench.run(Run::Intake)?;
        print_row(spread, "intake", &intake, events);
        let detect = bench.run(Run::Detect)?;
        print_row(spread, "detect", &detect, events);
        println!(
            "| {} | **intake + detect against bare** | | **{:.2}x** | | {} alerts |",
            spread.name(),
            (intake.cpu_seconds + detect.cpu_seconds) / bare.cpu_seconds,
            bench.alerts()?
        );
        print_row(spread, "detect with changelog", &bench.run(Run::Logged)?, events);
        let whole = bench.run(Run::Whole)?;
        print_row(spread, "both at once", &whole, events);
        whole_seconds = whole.seconds;
    }
    let half = Duration::from_secs_f64(2.0 * whole_seconds).as_millis().max(1);
    let rate = u64::try_from(u128::from(events) * 1000 / half)?;
    println!("\n{}", stages::latency(&brokers, accounts, rate)?);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn print_row(spread: Spread, name: &str, stage: &Stage, events: u64) {
    let events = events as f64;
    let ratio = stage.bytes_per_byte.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
    println!(
        "| {} | {name} | {:.0} | {:.2} | {} | {ratio} |",
        spread.name(),
        events / stage.seconds / 1e3,
        stage.cpu_seconds / events * 1e6,
        stage.peak_mib
    );
}
