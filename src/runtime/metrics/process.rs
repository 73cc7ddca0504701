//! What the process says of itself: its state, its store, its build and configuration.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Gauge, IntCounter, IntGauge, IntGaugeVec};

use super::labels::{AppState, StateBytes};
use super::pipeline::{Pipeline, name, seconds};
use super::{Catalogue, MetricsError};
use crate::engine::store::Usage;
use crate::event::Timestamp;

/// Gauges of the process as a whole.
#[derive(Debug)]
pub(super) struct Process {
    state: Vec<(StateBytes, IntGauge)>,
    write_stalls: IntCounter,
    background_errors: IntCounter,
    last_progress: Gauge,
    checkpoint: Gauge,
    reload_time: Gauge,
    reload: IntGauge,
    ready: IntGauge,
    throttle: Gauge,
    app_state: IntGaugeVec,
    rule_set_info: IntGaugeVec,
    /// How long brokers hold back each client of ours, by its name.
    throttled: Mutex<BTreeMap<String, Duration>>,
}

impl Process {
    pub(super) fn register(catalogue: &mut Catalogue) -> Result<Self, MetricsError> {
        let build = catalogue.whole_gauges(
            &name("build_info"),
            &["version", "revision"],
            "1, with the build's identity",
        )?;
        let revision = option_env!("FOREWARN_REVISION").unwrap_or("unknown");
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        Ok(Self {
            state: state_gauges(catalogue)?,
            write_stalls: catalogue.counter(
                &name("state_write_stalls_total"),
                "How often the store held writes back or stopped them",
            )?,
            background_errors: catalogue.counter(
                &name("state_background_errors_total"),
                "Failed flushes and compactions of the store",
            )?,
            last_progress: catalogue
                .gauge(&name("last_progress_timestamp_seconds"), "When a worker last made progress")?,
            checkpoint: catalogue
                .gauge(&name("checkpoint_timestamp_seconds"), "When the last local checkpoint was written")?,
            reload_time: catalogue.gauge(
                &name("config_last_reload_success_timestamp_seconds"),
                "When the configuration was read or rules became active, the later of the two",
            )?,
            reload: catalogue.whole_gauge(
                &name("config_last_reload_successful"),
                "0 if the last rules in the journal could not be activated, else 1",
            )?,
            ready: catalogue.whole_gauge(&name("ready"), "1 while `/readyz` says yes")?,
            throttle: catalogue.gauge(
                &name("kafka_throttle_seconds"),
                "The longest that a broker held back a request of any client of ours, of late: a quota is exceeded",
            )?,
            app_state: catalogue.whole_gauges(
                &name("app_state"),
                &["state"],
                "What the process is doing: one state is 1",
            )?,
            rule_set_info: catalogue.whole_gauges(
                &name("rule_set_info"),
                &["rule_set"],
                "1 for the active rule set",
            )?,
            throttled: Mutex::default(),
        })
    }
}

impl Pipeline {
    /// Sets a part of the state's size.
    pub fn set_state_bytes(&self, part: StateBytes, bytes: u64) {
        if let Some((_, gauge)) = self.process.state.iter().find(|(own, _)| *own == part) {
            gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// Sets the store's sizes: the sum over the tasks' stores, which share the block cache and the disk.
    pub fn set_stores(&self, stores: impl Iterator<Item = Usage>) {
        let mut all = Usage::default();
        for own in stores {
            all.disk += own.disk;
            all.memtable += own.memtable;
            all.pending_compaction += own.pending_compaction;
            all.block_cache = all.block_cache.max(own.block_cache);
            all.disk_free = all.disk_free.max(own.disk_free);
        }
        self.set_state_bytes(StateBytes::Sst, all.disk);
        self.set_state_bytes(StateBytes::Memtable, all.memtable);
        self.set_state_bytes(StateBytes::PendingCompaction, all.pending_compaction);
        self.set_state_bytes(StateBytes::BlockCache, all.block_cache);
        self.set_state_bytes(StateBytes::DiskFree, all.disk_free);
    }

    /// Counts what went wrong in a store since it was asked before.
    pub fn store_troubles(&self, before: &Usage, now: &Usage) {
        self.process.write_stalls.inc_by(now.write_stalls.saturating_sub(before.write_stalls));
        self.process.background_errors.inc_by(now.background_errors.saturating_sub(before.background_errors));
    }

    /// Says that a worker made progress now.
    pub fn progressed(&self, now: Timestamp) {
        self.process.last_progress.set(seconds(now.0));
    }

    /// Says that a checkpoint was written now.
    pub fn checkpointed(&self, now: Timestamp) {
        self.process.checkpoint.set(seconds(now.0));
    }

    /// Says that configuration or rules were read, and whether they could be used.
    pub fn reloaded(&self, now: Timestamp, successful: bool) {
        self.process.reload.set(i64::from(successful));
        if successful {
            let known = self.process.reload_time.get();
            self.process.reload_time.set(known.max(seconds(now.0)));
        }
    }

    /// Says whether the process is ready, and what it is doing.
    pub fn set_ready(&self, ready: bool, doing: AppState) {
        self.process.ready.set(i64::from(ready));
        for state in AppState::ALL {
            self.process.app_state.with_label_values(&[state.name()]).set(i64::from(state == doing));
        }
    }

    /// Says for how long brokers hold back a client of ours; `None`: the client is gone.
    pub fn throttled(&self, client: &str, time: Option<Duration>) {
        let mut clients = self.process.throttled.lock().unwrap_or_else(PoisonError::into_inner);
        match time {
            Some(time) => clients.insert(client.to_owned(), time),
            None => clients.remove(client),
        };
        let longest = clients.values().max().copied().unwrap_or_default();
        self.process.throttle.set(longest.as_secs_f64());
    }

    /// Says which rule set is active.
    pub(super) fn set_rule_set(&self, rule_set: &str) {
        self.process.rule_set_info.reset();
        self.process.rule_set_info.with_label_values(&[rule_set]).set(1);
    }
}

fn state_gauges(catalogue: &mut Catalogue) -> Result<Vec<(StateBytes, IntGauge)>, MetricsError> {
    StateBytes::ALL
        .into_iter()
        .map(|part| {
            let help = match part {
                StateBytes::Hot => "Rows held in memory",
                StateBytes::Sst => "Rows on disk",
                StateBytes::Memtable => "Write buffers of the store",
                StateBytes::BlockCache => "Block cache of the store",
                StateBytes::PendingCompaction => "Bytes the store has still to compact",
                StateBytes::DiskFree => "Free space of the state's file system",
            };
            Ok((part, catalogue.whole_gauge(&name(&format!("state_{}_bytes", part.name())), help)?))
        })
        .collect()
}
