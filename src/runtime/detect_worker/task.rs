//! One journal partition under way: its engine, its store, and how far its effects have been published.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::effects::{Effects, Tally};
use crate::engine::store::{Checkpoint, SharedStore, Usage};
use crate::engine::{Engine, JournalRecord};
use crate::event::{SourcePartition, Timestamp};
use crate::journal::Entry;
use crate::runtime::changelog::stamp::Stamp;
use crate::runtime::deaths;
use crate::runtime::latency;
use crate::runtime::metrics::{Metrics, Stage};
use crate::runtime::source::Record;
use crate::runtime::worker::{Spawn, WorkerError};

use super::held::{Held, View};
use super::logged::Logged;
use super::opening::Opened;

/// Longest wait for a write at a time, where nothing else is to be done.
const WRITE_WAIT: Duration = Duration::from_millis(50);

/// A task.
pub(super) struct Task<T> {
    /// The journal partition.
    pub partition: SourcePartition,
    /// When its rows are written next.
    pub next_checkpoint: Timestamp,
    engine: Engine,
    /// The checkpoint on its way, which lets the store go before the store is closed.
    held: Option<Held>,
    store: T,
    /// Records before this offset were published by an earlier life.
    silent_until: i64,
    /// The offset that the group knows.
    committed: i64,
    /// The offset that the commit under way will make known.
    committing: i64,
    effects: Effects,
    /// What the commit under way has counted.
    tally_under_way: Tally,
    /// For each revision of an alert since the last commit: how old the records behind it are.
    oldest: Vec<Timestamp>,
    /// The same of the commit under way.
    oldest_under_way: Vec<Timestamp>,
    /// When it was opened, until it has caught up with what was published.
    pub restoring_since: Option<Timestamp>,
    /// What the store said last.
    pub usage: Usage,
    /// Its part of the changelog, if one is kept.
    logged: Option<Logged>,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was replayed.
    Silent,
    /// Its effects wait in [`Task::effects`].
    Live,
}

impl<T: SharedStore> Task<T> {
    /// A task that was opened.
    pub(super) fn new(partition: SourcePartition, opened: Opened<T>) -> Self {
        let Opened { engine, store, start, silent_until, logged } = opened;
        Self {
            partition,
            next_checkpoint: Timestamp::MIN,
            engine,
            held: None,
            store,
            logged,
            silent_until,
            committed: start.max(silent_until),
            committing: start.max(silent_until),
            effects: Effects::default(),
            tally_under_way: Tally::default(),
            oldest: Vec::new(),
            oldest_under_way: Vec::new(),
            restoring_since: None,
            usage: Usage::default(),
        }
    }

    /// The engine, to look at.
    pub(super) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Changes the task's budget of rows in RAM, bytes.
    pub(super) fn set_hot_bytes(&mut self, budget: usize) {
        self.engine.set_hot_bytes(budget);
    }

    /// The store, to look at.
    pub(super) const fn store(&self) -> &T {
        &self.store
    }

    /// Whether it still replays what was published already.
    pub(super) const fn is_silent(&self) -> bool {
        self.engine.position() < self.silent_until
    }

    /// Takes a record in, whose value is this entry.
    ///
    /// # Errors
    /// If the engine can't go on: the task is then of no use.
    pub(super) fn take(
        &mut self,
        record: &Record<'_>,
        entry: Entry<'_>,
        metrics: &Metrics,
    ) -> Result<Taken, WorkerError> {
        let place = (record.partition, record.offset);
        let journal = JournalRecord { offset: record.offset, time: record.timestamp, entry };
        let silent = record.offset < self.silent_until;
        let begun = Instant::now();
        let mut view = View::new(self.held.as_ref(), &mut self.store);
        deaths::set_under_way(Some(place));
        let stepped = self.engine.step(&journal, &mut view, &mut self.effects);
        deaths::set_under_way(None);
        stepped.map_err(|error| WorkerError::journal(place, error))?;
        let (took, loading) = (begun.elapsed(), view.loading());
        metrics.pipeline.observe(Stage::Load, loading);
        metrics.pipeline.observe(Stage::Step, took.saturating_sub(loading));
        if silent {
            self.effects.clear();
            return Ok(Taken::Silent);
        }
        if !self.effects.alerts.is_empty()
            && let Some(oldest) = latency::read(record.headers)
        {
            self.oldest.resize(self.oldest.len() + self.effects.alerts.len(), oldest);
        }
        Ok(Taken::Live)
    }

    /// What the records since the last commit ask for; alerts and decisions are to be taken out.
    pub(super) const fn effects(&mut self) -> &mut Effects {
        &mut self.effects
    }

    /// Begins a commit: the offset that it will make known, if it is a new one.
    pub(super) fn begin_commit(&mut self) -> Option<(SourcePartition, i64)> {
        let position = self.engine.position();
        if self.is_silent() || position <= self.committed {
            return None;
        }
        self.committing = position;
        self.tally_under_way = std::mem::take(&mut self.effects.tally);
        self.oldest_under_way = std::mem::take(&mut self.oldest);
        Some((self.partition.clone(), position))
    }

    /// Whether there is something to commit.
    pub(super) const fn is_behind(&self) -> bool {
        !self.is_silent() && self.engine.position() > self.committed
    }

    /// How many offsets it has still to replay.
    pub(super) fn remaining(&self) -> u64 {
        u64::try_from(self.silent_until - self.engine.position()).unwrap_or(0)
    }

    /// The commit is done: what it counted counts.
    pub(super) fn commit_done(&mut self, metrics: &Metrics, now: Timestamp) {
        if self.committing > self.committed {
            self.committed = self.committing;
            metrics.apply(&self.tally_under_way, self.engine.program());
            self.tally_under_way.clear();
            for oldest in self.oldest_under_way.drain(..) {
                metrics.pipeline.alert_latency(now.since(oldest));
            }
        }
    }

    /// Takes a checkpoint, which [`Task::move_checkpoint`] writes once all that it stands for is committed. None may be
    /// held.
    ///
    /// # Errors
    /// If the store fails.
    pub(super) fn hold_checkpoint(&mut self, stamp: &Stamp) -> Result<(), WorkerError> {
        let begun = Instant::now();
        let checkpoint = self.take_checkpoint(stamp)?;
        self.held = Some(Held::new(Arc::new(checkpoint), begun.elapsed()));
        Ok(())
    }

    fn take_checkpoint(&mut self, stamp: &Stamp) -> Result<Checkpoint, WorkerError> {
        let place = (self.partition.partition, self.engine.position());
        let mut view = View::new(self.held.as_ref(), &mut self.store);
        let mut checkpoint =
            self.engine.checkpoint(&mut view).map_err(|error| WorkerError::journal(place, error))?;
        checkpoint.task = stamp.before(&checkpoint.task);
        Ok(checkpoint)
    }

    /// Whether a checkpoint is on its way.
    pub(super) const fn holds_checkpoint(&self) -> bool {
        self.held.is_some()
    }

    /// Moves the checkpoint that is held on: begins to write it, or takes note that it is written. Whether it is.
    ///
    /// # Errors
    /// If it can't be written.
    pub(super) fn move_checkpoint(
        &mut self,
        spawn: Spawn,
        wait: Duration,
        metrics: &Metrics,
    ) -> Result<bool, WorkerError> {
        let Some(held) = &mut self.held else { return Ok(false) };
        let position = held.position();
        if position > self.committed {
            return Ok(false);
        }
        held.begin(&self.store, spawn)?;
        let Some(outcome) = held.outcome(wait) else { return Ok(false) };
        self.held = None;
        let place = (self.partition.partition, position);
        let took = outcome.map_err(|error| WorkerError::journal(place, error.into()))?;
        metrics.pipeline.observe(Stage::Checkpoint, took);
        Ok(true)
    }

    /// Writes what changed since the last checkpoint and waits for it. All that was taken in must be committed.
    ///
    /// # Errors
    /// If the store fails.
    pub(super) fn checkpoint(
        &mut self,
        stamp: &Stamp,
        spawn: Spawn,
        metrics: &Metrics,
    ) -> Result<(), WorkerError> {
        debug_assert!(self.engine.position() <= self.committed, "a checkpoint ahead of what is published");
        while self.holds_checkpoint() {
            self.move_checkpoint(spawn, WRITE_WAIT, metrics)?;
        }
        self.hold_checkpoint(stamp)?;
        while self.holds_checkpoint() {
            self.move_checkpoint(spawn, WRITE_WAIT, metrics)?;
        }
        Ok(())
    }

    /// Processing took this long.
    pub(super) const fn worked(&mut self, ms: i64) {
        if let Some(logged) = &mut self.logged {
            logged.worked(ms);
        }
    }

    /// Takes note of a changelog's transaction that has ended, and begins the next one if it is due or asked for. Whether
    /// a marker was written.
    ///
    /// # Errors
    /// If the store or the changelog fails.
    pub(super) fn log(&mut self, spawn: Spawn, now: Timestamp, asked: bool) -> Result<bool, WorkerError> {
        let Some(logged) = &mut self.logged else { return Ok(false) };
        let marked = logged.settle(&mut self.store, Duration::ZERO)?.is_some();
        // What it reads must be the last checkpoint, so none may be written meanwhile.
        if (logged.is_due(now) || asked) && self.held.is_none() {
            logged.begin(&mut self.store, spawn, now)?;
        }
        Ok(marked)
    }

    /// Whether a changelog's transaction is under way after waiting so long for its end.
    ///
    /// # Errors
    /// If it failed.
    pub(super) fn is_logging(&mut self, wait: Duration) -> Result<bool, WorkerError> {
        let Some(logged) = &mut self.logged else { return Ok(false) };
        logged.settle(&mut self.store, wait)?;
        Ok(logged.is_busy())
    }
}
