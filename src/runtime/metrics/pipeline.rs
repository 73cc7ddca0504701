//! The pipeline family (`contracts.md` §8.3): records, lags, transactions, state.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::{Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::labels::{AppState, Group, Journaled, ProduceError, Stage, Transacted};
use super::process::Process;
use super::{Catalogue, MetricsError};
use crate::engine::effects::{Outcome, Tally};
use crate::event::{KINDS, Kind, SourcePartition, Timestamp};
use crate::intake::{DeadReason, Filtered};

const STAGE_SECONDS: [f64; 7] = [0.000_01, 0.000_1, 0.001, 0.01, 0.1, 1.0, 10.0];
const LATENCY_SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// The item of roll-ups.
const ROLLUP: &str = "rollup";
const BROADCAST: &str = "broadcast";
const EVENT: &str = "event";
const LONG_SECONDS: [f64; 6] = [0.01, 0.1, 1.0, 10.0, 60.0, 600.0];

/// What a task says of itself now and then; gauges are sums or minima over the tasks of the process.
#[derive(Debug, Clone, Default)]
pub struct Task {
    /// Rows by kind of entity.
    pub entities: Vec<(String, u64)>,
    /// Watermark by kind of source, where there is one.
    pub watermarks: [Option<Timestamp>; KINDS],
    /// Which kinds of sources are stalled.
    pub stalled: [bool; KINDS],
    /// Events that wait until the account of their alias is known.
    pub waiting: u64,
}

/// Counters and gauges of the way from record to alert.
#[derive(Debug)]
pub struct Pipeline {
    input_records: IntCounterVec,
    input_events: IntCounterVec,
    events: IntCounterVec,
    events_filtered: IntCounterVec,
    events_clamped: IntCounterVec,
    events_cut: IntCounterVec,
    events_behind: IntCounterVec,
    dead_letters: IntCounterVec,
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
    watermark: GaugeVec,
    stalled: IntGaugeVec,
    journal_frames: IntCounterVec,
    journal_bytes: IntCounterVec,
    journal_duplicates: IntCounter,
    forwarded: IntCounterVec,
    recovered: IntCounter,
    waiting: IntGauge,
    entities: IntGaugeVec,
    evicted: IntCounterVec,
    stages: [Histogram; Stage::ALL.len()],
    alert_latency: Histogram,
    transaction: Histogram,
    rebalance: Histogram,
    restore: Histogram,
    changelog_marker: Gauge,
    transactions: IntCounterVec,
    rebalances: IntCounterVec,
    produce_errors: IntCounterVec,
    assigned: IntGaugeVec,
    restore_remaining: IntGaugeVec,
    pub(super) process: Process,
    tasks: Mutex<BTreeMap<u16, Task>>,
}

pub(super) fn name(name: &str) -> String {
    format!("forewarn_{name}")
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a gauge; exact for any time of this age")]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// The counters of the input law and what precedes it.
#[expect(clippy::struct_field_names, reason = "`input` is the word of the law")]
struct Input {
    records: IntCounterVec,
    input: IntCounterVec,
    ended: IntCounterVec,
    filtered: IntCounterVec,
    clamped: IntCounterVec,
    cut: IntCounterVec,
    behind: IntCounterVec,
    dead: IntCounterVec,
}

impl Input {
    fn register(catalogue: &mut Catalogue) -> Result<Self, MetricsError> {
        let kind = &["kind"][..];
        Ok(Self {
            records: catalogue.counters(
                &name("input_records_total"),
                &["topic"],
                "Records read from sources",
            )?,
            input: catalogue.counters(
                &name("input_events_total"),
                kind,
                "Events, each once, at the task that ends it",
            )?,
            ended: catalogue.counters(
                &name("events_total"),
                &["kind", "result"],
                "How they ended: applied, duplicate, late, filtered, unattributed, dead_letter",
            )?,
            filtered: catalogue.counters(
                &name("events_filtered_total"),
                &["kind", "reason"],
                "Filtered events: test, internal, environment, unmapped, excluded",
            )?,
            clamped: catalogue.counters(
                &name("events_clamped_total"),
                kind,
                "Events from the future, set to their record's timestamp",
            )?,
            cut: catalogue.counters(
                &name("events_cut_total"),
                kind,
                "Events of which a string, list or map was cut to its limit",
            )?,
            behind: catalogue.counters(
                &name("events_behind_total"),
                kind,
                "Events applied though older than the watermark",
            )?,
            dead: catalogue.counters(
                &name("dead_letters_total"),
                &["topic", "reason"],
                "Records written to the dead letters",
            )?,
        })
    }
}

impl Pipeline {
    #[expect(clippy::too_many_lines, reason = "a table of metrics, one entry each")]
    pub(super) fn register(catalogue: &mut Catalogue) -> Result<Self, MetricsError> {
        let Input { records, input, ended, filtered, clamped, cut, behind, dead } =
            Input::register(catalogue)?;
        let partition = &["topic", "partition"][..];
        let this = Self {
            input_records: records,
            input_events: input,
            events: ended,
            events_filtered: filtered,
            events_clamped: clamped,
            events_cut: cut,
            events_behind: behind,
            dead_letters: dead,
            lag_records: catalogue.whole_gauges(
                &name("consumer_lag_records"),
                partition,
                "Records between our position and the end, owned partitions only",
            )?,
            lag_seconds: catalogue.gauges(
                &name("consumer_lag_seconds"),
                partition,
                "Age of the newest record read while more are waiting, else 0",
            )?,
            stalled: catalogue.whole_gauges(
                &name("source_stalled"),
                &["kind"],
                "1 while too little comes of a kind of source, or intake is behind in it without progress",
            )?,
            watermark: catalogue.gauges(
                &name("watermark_timestamp_seconds"),
                &["kind"],
                "Event time up to which a kind of source is complete, lowest over the tasks",
            )?,
            journal_frames: catalogue.counters(
                &name("journal_frames_total"),
                &["origin"],
                "Frames and ticks written to the journal",
            )?,
            journal_bytes: catalogue.counters(
                &name("journal_bytes_total"),
                &["origin"],
                "Their bytes before compression",
            )?,
            journal_duplicates: catalogue
                .counter(&name("journal_duplicates_total"), "Frames that were read before and dropped")?,
            forwarded: catalogue.counters(
                &name("forwarded_total"),
                &["item"],
                "What tasks sent each other: contributions to entities across accounts (rollup), what all must know of their alerts (broadcast), events whose account an alias has told (event)",
            )?,
            recovered: catalogue.counter(
                &name("identity_recovered_total"),
                "Events that were counted as unattributed and have found their account after all",
            )?,
            waiting: catalogue.whole_gauge(
                &name("identity_pending_events"),
                "Events that wait until the account of their alias is known",
            )?,
            entities: catalogue.whole_gauges(
                &name("entities"),
                &["entity"],
                "Rows by kind of entity, as of the last checkpoint",
            )?,
            evicted: catalogue.counters(
                &name("entities_evicted_total"),
                &["entity"],
                "Rows forgotten because an account has too many of their kind",
            )?,
            stages: {
                let all = catalogue.histograms(
                    &name("stage_duration_seconds"),
                    &["stage"],
                    "Time a batch spends in a stage: source records become events (decode), full frames are handed to \
                     the producer (route); rows of a frame are loaded (load), its events judged (step), its alerts and \
                     decisions written (publish); a task's changed rows are stored (checkpoint)",
                    &STAGE_SECONDS,
                )?;
                Stage::ALL.map(|stage| all.with_label_values(&[stage.name()]))
            },
            alert_latency: one(catalogue, "alert_latency_seconds", LATENCY, &LATENCY_SECONDS)?,
            transaction: one(catalogue, "transaction_duration_seconds", TRANSACTION, &LONG_SECONDS)?,
            rebalance: one(catalogue, "rebalance_duration_seconds", REBALANCE, &LONG_SECONDS)?,
            restore: one(catalogue, "restore_duration_seconds", RESTORE, &LONG_SECONDS)?,
            changelog_marker: catalogue.gauge(
                &name("changelog_marker_timestamp_seconds"),
                "When the last marker was written to the changelog",
            )?,
            transactions: catalogue.counters(
                &name("transactions_total"),
                &["result"],
                "Transactions by how they ended",
            )?,
            rebalances: catalogue.counters(
                &name("rebalances_total"),
                &["group"],
                "Changes of the assignment",
            )?,
            produce_errors: catalogue.counters(
                &name("produce_errors_total"),
                &["topic", "reason"],
                "Records that could not be written",
            )?,
            assigned: catalogue.whole_gauges(
                &name("assigned_partitions"),
                &["topic"],
                "Partitions owned by this process",
            )?,
            restore_remaining: catalogue.whole_gauges(
                &name("restore_remaining_records"),
                &["partition"],
                "Offsets that a task has still to read before it is live: of the changelog, then of the journal",
            )?,
            process: Process::register(catalogue)?,
            tasks: Mutex::default(),
        };
        this.begin();
        Ok(this)
    }

    /// Series that must exist from the start, so that rates see the first increase.
    fn begin(&self) {
        for kind in Kind::SOURCES {
            self.input_events.with_label_values(&[kind.name()]);
            for outcome in Outcome::ALL {
                self.events.with_label_values(&[kind.name(), outcome.name()]);
            }
            for reason in Filtered::ALL {
                self.events_filtered.with_label_values(&[kind.name(), reason.name()]);
            }
            for series in [&self.events_clamped, &self.events_cut, &self.events_behind] {
                series.with_label_values(&[kind.name()]);
            }
        }
        for result in Transacted::ALL {
            self.transactions.with_label_values(&[result.name()]);
        }
        for group in Group::ALL {
            self.rebalances.with_label_values(&[group.name()]);
        }
        self.forwarded.with_label_values(&[ROLLUP]);
        self.forwarded.with_label_values(&[BROADCAST]);
        self.forwarded.with_label_values(&[EVENT]);
        for origin in Journaled::ALL {
            self.journal_frames.with_label_values(&[origin.name()]);
            self.journal_bytes.with_label_values(&[origin.name()]);
        }
        self.set_ready(false, AppState::Starting);
    }

    /// Makes the series of a source topic exist.
    pub fn announce_source(&self, topic: &str) {
        self.input_records.with_label_values(&[topic]);
        for reason in DeadReason::ALL {
            self.dead_letters.with_label_values(&[topic, reason.name()]);
        }
    }

    /// Makes the series of a topic of ours exist.
    pub fn announce_output(&self, topic: &str) {
        for reason in ProduceError::ALL {
            self.produce_errors.with_label_values(&[topic, reason.name()]);
        }
    }

    /// Adds what a committed run of the engine counted, rules apart.
    pub(super) fn apply(&self, tally: &Tally) {
        for (kind, outcomes) in Kind::ALL.into_iter().zip(&tally.events) {
            for (outcome, count) in Outcome::ALL.into_iter().zip(outcomes) {
                if *count > 0 {
                    self.ended(kind, outcome, *count);
                }
            }
        }
        for (kind, count) in Kind::ALL.into_iter().zip(&tally.behind) {
            self.events_behind.with_label_values(&[kind.name()]).inc_by(*count);
        }
        for (kind, count) in &tally.evicted {
            self.evicted.with_label_values(&[&**kind]).inc_by(*count);
        }
        self.journal_duplicates.inc_by(tally.journal_duplicates);
        self.forwarded.with_label_values(&[ROLLUP]).inc_by(tally.rollups);
        self.forwarded.with_label_values(&[BROADCAST]).inc_by(tally.broadcasts);
        self.forwarded.with_label_values(&[EVENT]).inc_by(tally.passed);
        self.recovered.inc_by(tally.recovered);
        self.journaled(Journaled::Task, tally.task_frames, tally.task_bytes);
    }

    /// Counts records read from a source topic.
    pub fn read(&self, topic: &str, records: u64) {
        self.input_records.with_label_values(&[topic]).inc_by(records);
    }

    /// Counts events that ended, at the one place where they end.
    pub fn ended(&self, kind: Kind, outcome: Outcome, events: u64) {
        self.input_events.with_label_values(&[kind.name()]).inc_by(events);
        self.events.with_label_values(&[kind.name(), outcome.name()]).inc_by(events);
    }

    /// Counts events that intake filtered; they end there.
    pub fn filtered(&self, kind: Kind, reason: &str, events: u64) {
        self.events_filtered.with_label_values(&[kind.name(), reason]).inc_by(events);
        self.ended(kind, Outcome::Filtered, events);
    }

    /// Counts events whose time was clamped.
    pub fn clamped(&self, kind: Kind, events: u64) {
        self.events_clamped.with_label_values(&[kind.name()]).inc_by(events);
    }

    /// Counts events of which something was cut.
    pub fn cut(&self, kind: Kind, events: u64) {
        self.events_cut.with_label_values(&[kind.name()]).inc_by(events);
    }

    /// Counts a dead letter whose events are counted where they end.
    pub fn letter(&self, topic: &str, reason: &str) {
        self.dead_letters.with_label_values(&[topic, reason]).inc();
    }

    /// Counts a dead letter; the event ends there.
    pub fn dead_letter(&self, topic: &str, kind: Kind, reason: &str) {
        self.letter(topic, reason);
        self.ended(kind, Outcome::DeadLetter, 1);
    }

    /// Sets the lag of an owned partition.
    pub fn set_lag(&self, source: &SourcePartition, records: i64, ms: i64) {
        let partition = source.partition.to_string();
        let labels = [&*source.topic, partition.as_str()];
        self.lag_records.with_label_values(&labels).set(records.max(0));
        self.lag_seconds.with_label_values(&labels).set(seconds(ms.max(0)));
    }

    /// Forgets the lag of a partition that is no longer owned.
    pub fn forget_partition(&self, source: &SourcePartition) {
        let partition = source.partition.to_string();
        let labels = [&*source.topic, partition.as_str()];
        // A partition that never had a lag has nothing to remove.
        let _ = self.lag_records.remove_label_values(&labels);
        let _ = self.lag_seconds.remove_label_values(&labels);
    }

    /// Adds to the number of owned partitions of a topic (negative: revoked).
    pub fn assigned(&self, topic: &str, partitions: i64) {
        self.assigned.with_label_values(&[topic]).add(partitions);
    }

    /// Counts frames written to the journal.
    pub fn journaled(&self, origin: Journaled, frames: u64, bytes: u64) {
        self.journal_frames.with_label_values(&[origin.name()]).inc_by(frames);
        self.journal_bytes.with_label_values(&[origin.name()]).inc_by(bytes);
    }

    /// Observes the time a batch spent in a stage.
    pub fn observe(&self, stage: Stage, time: std::time::Duration) {
        self.stages[stage as usize].observe(time.as_secs_f64());
    }

    /// Observes the time from a source record's timestamp to the commit of the alert it led to.
    pub fn alert_latency(&self, ms: i64) {
        self.alert_latency.observe(seconds(ms.max(0)));
    }

    /// Counts a transaction.
    pub fn transaction(&self, result: Transacted, time: std::time::Duration) {
        self.transactions.with_label_values(&[result.name()]).inc();
        self.transaction.observe(time.as_secs_f64());
    }

    /// Counts a change of the assignment.
    pub fn rebalance(&self, group: Group, time: std::time::Duration) {
        self.rebalances.with_label_values(&[group.name()]).inc();
        self.rebalance.observe(time.as_secs_f64());
    }

    /// Observes how long a task took to be back at its committed position.
    pub fn restored(&self, time: std::time::Duration) {
        self.restore.observe(time.as_secs_f64());
    }

    /// Says that a marker was written to the changelog now.
    pub fn marked(&self, now: Timestamp) {
        self.changelog_marker.set(seconds(now.0));
    }

    /// Counts a record that could not be written.
    pub fn produce_error(&self, topic: &str, reason: ProduceError) {
        self.produce_errors.with_label_values(&[topic, reason.name()]).inc();
    }

    /// Sets how much a task has still to restore or to replay; `None`: the task is no longer ours.
    pub fn set_restore_remaining(&self, partition: u16, records: Option<u64>) {
        let partition = partition.to_string();
        let labels = [partition.as_str()];
        match records {
            Some(records) => {
                let gauge = self.restore_remaining.with_label_values(&labels);
                gauge.set(i64::try_from(records).unwrap_or(i64::MAX));
            }
            // What was never said has nothing to remove.
            None => drop(self.restore_remaining.remove_label_values(&labels)),
        }
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<u16, Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a task says of itself, in place of what it said before.
    pub fn set_task(&self, partition: u16, task: Task) {
        let mut tasks = self.tasks();
        tasks.insert(partition, task);
        self.publish(&tasks);
    }

    /// Forgets a task that is no longer ours.
    pub fn forget_task(&self, partition: u16) {
        let mut tasks = self.tasks();
        tasks.remove(&partition);
        self.entities.reset();
        self.watermark.reset();
        self.stalled.reset();
        self.set_restore_remaining(partition, None);
        self.publish(&tasks);
    }

    fn publish(&self, tasks: &BTreeMap<u16, Task>) {
        let mut entities: BTreeMap<&str, u64> = BTreeMap::new();
        for (kind, rows) in tasks.values().flat_map(|task| &task.entities) {
            *entities.entry(kind).or_default() += rows;
        }
        for (kind, rows) in entities {
            self.entities.with_label_values(&[kind]).set(i64::try_from(rows).unwrap_or(i64::MAX));
        }
        let waiting: u64 = tasks.values().map(|task| task.waiting).sum();
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            let lowest =
                tasks.values().filter_map(|task| task.watermarks.get(place).copied().flatten()).min();
            if let Some(lowest) = lowest {
                self.watermark.with_label_values(&[kind.name()]).set(seconds(lowest.0));
                let is_stalled = tasks.values().any(|task| task.stalled.get(place).is_some_and(|own| *own));
                self.stalled.with_label_values(&[kind.name()]).set(i64::from(is_stalled));
            }
        }
    }
}

const LATENCY: &str = "From a source record's timestamp to the commit of the alert it led to";
const TRANSACTION: &str = "From the beginning of a transaction to its commit";
const REBALANCE: &str = "From revocation to the new assignment";
const RESTORE: &str = "From assignment of a task to live processing";

pub(super) fn one(
    catalogue: &mut Catalogue,
    own: &str,
    help: &'static str,
    buckets: &[f64],
) -> Result<Histogram, MetricsError> {
    Ok(catalogue.histograms(&name(own), &[], help, buckets)?.with_label_values::<&str>(&[]))
}
