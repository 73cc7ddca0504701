//! The detect worker: journal records in, alerts and decisions out, rows kept.
//!
//! Effects leave in the order that [`crate::engine::effects`] states: forwards, which must be acknowledged first; alerts,
//! decisions and the journal position in one transaction, which runs while the next records are processed; then, now and then, a local checkpoint, never ahead of
//! what is committed; then, more rarely, a marker of the changelog, which is a checkpoint. Whatever goes wrong, the worker is
//! dropped without a further word: a new one begins at its checkpoints and replays silently what was published.

mod held;
mod logged;
mod opening;
mod publish;
mod quarantine;
mod recovery;
mod task;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use self::opening::Opening;
pub use self::publish::OutputTopics;
use self::publish::{publish_alert, publish_decision, publish_forward, publish_health};
pub use self::quarantine::{Quarantine, ReadPartition};
pub use self::recovery::RecoveryError;
use self::task::{Taken, Task};
use super::changelog::Changelog;
use super::changelog::stamp::Stamp;
use super::clock::{Clock, is_due};
use super::http::{Pulse, Unready};
use super::metrics::{Group, Metrics, Stage, StateBytes, Transacted};
use super::sink::Sink;
use super::source::{Assignment, Record, Source};
use super::worker::{Spawn, Stop, WorkerError};
use crate::engine::StepError;
use crate::engine::store::SharedStore;
use crate::event::{Kind, SourcePartition, Timestamp};
use crate::journal::{Entry, System};

/// Least time between the beginnings of two transactions that have something to say, ms.
const COMMIT_MS: i64 = 25;
/// The same for those that only move the position on, ms.
const QUIET_COMMIT_MS: i64 = 1000;
/// How often sizes, watermarks and lags are reported, ms.
const REPORT_MS: i64 = 1000;
/// How long a commit that is due is put off for forwards that are not acknowledged yet, ms; then all else waits for them.
const FORWARDS_MS: i64 = 250;
/// Longest wait for a transaction when partitions are given up or a checkpoint is due, ms.
const PATIENCE_MS: i64 = 60_000;
/// How long all else waits for forwards at a time.
const FORWARDS_WAIT: Duration = Duration::from_millis(200);
/// Longest wait for records while a task is about to be ready, or something is to be committed.
const BRIEF: Duration = Duration::from_millis(5);

/// How a detect worker works.
#[derive(Debug, Clone)]
pub struct DetectSettings {
    /// The deployment's id, part of every alert's identity.
    pub application_id: String,
    /// The journal's topic.
    pub journal: String,
    /// The engine's version, which checkpoints and markers carry.
    pub engine: String,
    /// How many partitions the journal has.
    pub partitions: u16,
    /// Where alerts and decisions go.
    pub topics: OutputTopics,
    /// Budget of rows in RAM, bytes, shared by the worker's tasks.
    pub hot_bytes: usize,
    /// Time between local checkpoints of a task, ms.
    pub checkpoint_ms: i64,
    /// Bytes of changed rows at which a checkpoint is due at once.
    pub dirty_bytes: usize,
}

/// Opens the store of a journal partition; told to, it removes what is there first.
pub type OpenStore<T> = Arc<dyn Fn(i32, bool) -> Result<T, WorkerError> + Send + Sync>;

/// What a worker needs beside its source and sink.
pub struct DetectParts<T> {
    /// How it works.
    pub settings: DetectSettings,
    /// Where rows live.
    pub open_store: OpenStore<T>,
    /// Where rows are kept for other machines; without it, a store that is lost is rebuilt from the journal.
    pub changelog: Option<Arc<Changelog>>,
    /// Leaves records out that engines die of; without it, they die of them again and again.
    pub quarantine: Option<Arc<Quarantine>>,
    /// Starts what goes on beside the worker.
    pub spawn: Spawn,
    /// The time.
    pub clock: Arc<dyn Clock + Send + Sync>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// What it tells the probes.
    pub pulse: Arc<Pulse>,
}

impl<T> DetectParts<T> {
    /// Who writes checkpoints now.
    fn stamp(&self) -> Stamp {
        Stamp {
            engine: self.settings.engine.as_str().into(),
            partitions: self.settings.partitions,
            written: self.clock.now(),
        }
    }
}

/// Where a worker writes.
pub struct Sinks<K> {
    /// Alerts, decisions and positions: a transactional one that commits offsets of the source's group.
    pub output: K,
    /// The journal: a plain one.
    pub forwards: Box<dyn Sink + Send>,
}

/// A detect worker.
pub struct DetectWorker<S, K, T> {
    source: S,
    desk: Desk<K, T>,
    next_report: Timestamp,
}

/// The worker without its source: what records are taken into.
struct Desk<K, T> {
    sink: K,
    /// Where tasks write to each other.
    forwards: Box<dyn Sink + Send>,
    parts: DetectParts<T>,
    tasks: Vec<Task<T>>,
    /// Tasks that are not ready yet.
    openings: Vec<Opening<T>>,
    /// When the commit that is under way began.
    commit_began: Option<Timestamp>,
    last_commit: Timestamp,
    /// When partitions were given up whose successors are not known yet.
    revoked: Option<Timestamp>,
    failed: Option<WorkerError>,
}

impl<S: Source, K: Sink, T: SharedStore + Send + 'static> DetectWorker<S, K, T> {
    /// A worker that owns nothing yet. The source reads the journal alone.
    #[must_use]
    pub fn new(source: S, sinks: Sinks<K>, parts: DetectParts<T>) -> Self {
        let now = parts.clock.now();
        let desk = Desk {
            sink: sinks.output,
            forwards: sinks.forwards,
            parts,
            tasks: Vec::new(),
            openings: Vec::new(),
            commit_began: None,
            last_commit: Timestamp::MIN,
            revoked: None,
            failed: None,
        };
        Self { source, desk, next_report: now }
    }

    /// Works until told to stop, then commits and checkpoints what it has taken in.
    ///
    /// # Errors
    /// If something fails: the worker must be dropped.
    pub fn run(&mut self, stop: &Stop) -> Result<(), WorkerError> {
        while !stop.is_set() {
            self.turn(Duration::from_millis(100))?;
        }
        self.finish(stop)
    }

    /// One round: records are waited for, at most this long, and what is due is committed.
    ///
    /// # Errors
    /// If something fails: the worker must be dropped.
    pub fn turn(&mut self, wait: Duration) -> Result<(), WorkerError> {
        let end = self.try_turn(wait);
        if let Err(error) = &end {
            self.desk.discard_corrupt(error)?;
        }
        end
    }

    fn try_turn(&mut self, wait: Duration) -> Result<(), WorkerError> {
        let now = self.desk.parts.clock.now();
        self.desk.parts.pulse.beat(now);
        self.desk.commit_if_due(now)?;
        let wait = self.desk.wait(wait);
        let desk = &mut self.desk;
        let change = self.source.poll(wait, &mut |record| desk.take(&record))?;
        if let Some(error) = desk.failed.take() {
            return Err(error);
        }
        match change {
            Assignment::Unchanged => self.adopt(true)?,
            Assignment::Assigned(partitions) => self.assigned(&partitions)?,
            Assignment::Revoked(partitions) => self.revoked(&partitions)?,
            Assignment::Lost(partitions) => {
                let first = partitions.into_iter().next();
                return first.map_or(Ok(()), |partition| Err(WorkerError::Lost(partition)));
            }
        }
        let now = self.desk.parts.clock.now();
        self.desk.commit_if_due(now)?;
        self.desk.note_restored(now);
        if is_due(now, self.next_report, REPORT_MS) {
            self.next_report = now.plus(REPORT_MS);
            self.desk.report(now, &self.source);
        }
        self.desk.checkpoint_if_due(now)?;
        self.desk.log_if_due(now)
    }

    /// Begins to open the tasks of new partitions.
    fn assigned(&mut self, partitions: &[SourcePartition]) -> Result<(), WorkerError> {
        let begun = self.desk.revoked.take().unwrap_or_else(|| self.desk.parts.clock.now());
        for partition in partitions {
            let committed = self.source.committed(partition)?;
            let (low, high) = self.source.bounds(partition)?;
            info!(partition = partition.partition, committed, low, high, "task assigned");
            let parts = &self.desk.parts;
            let opening = Opening::begin(parts, parts.spawn, partition, (committed, low))?;
            self.desk.openings.push(opening);
        }
        self.adopt(false)?;
        let took = self.desk.parts.clock.now().since(begun).max(0).unsigned_abs();
        self.desk.parts.metrics.pipeline.rebalance(Group::Detect, Duration::from_millis(took));
        self.desk.tell_probes();
        Ok(())
    }

    /// Takes over tasks that are ready. The partitions of those that are not are paused, once they are `fetched`: what came
    /// before was read in vain.
    fn adopt(&mut self, fetched: bool) -> Result<(), WorkerError> {
        for mut opening in std::mem::take(&mut self.desk.openings) {
            let Some(opened) = opening.ready() else {
                if fetched && !opening.paused {
                    self.source.set_paused(&opening.partition, true)?;
                    opening.paused = true;
                }
                self.desk.openings.push(opening);
                continue;
            };
            let opened = opened?;
            if opening.paused {
                self.source.set_paused(&opening.partition, false)?;
            }
            self.source.seek(&opening.partition, opened.start)?;
            let mut task = Task::new(opening.partition.clone(), opened);
            task.restoring_since = Some(opening.begun);
            task.next_checkpoint = self.desk.first_checkpoint(&opening.partition);
            self.desk.adopt(task);
        }
        Ok(())
    }

    /// Commits and checkpoints tasks, and closes them.
    fn revoked(&mut self, partitions: &[SourcePartition]) -> Result<(), WorkerError> {
        self.desk.revoked = Some(self.desk.parts.clock.now());
        self.desk.settle(None)?;
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.desk.tasks)
            .into_iter()
            .partition(|task| partitions.contains(&task.partition));
        self.desk.tasks = kept;
        gone.iter().for_each(|task| self.desk.forget(&task.partition));
        let stamp = self.desk.parts.stamp();
        for mut task in gone {
            task.checkpoint(&stamp, self.desk.parts.spawn, &self.desk.parts.metrics)?;
        }
        self.desk.openings.retain(|opening| !partitions.contains(&opening.partition));
        self.desk.share_hot_bytes();
        self.desk.tell_probes();
        Ok(())
    }

    /// Commits, checkpoints and marks everything.
    ///
    /// # Errors
    /// If it can't be done in time, or the order to end at once comes.
    pub fn finish(&mut self, stop: &Stop) -> Result<(), WorkerError> {
        self.desk.openings.clear();
        self.desk.settle(Some(stop))?;
        let (stamp, spawn, metrics) =
            (self.desk.parts.stamp(), self.desk.parts.spawn, &self.desk.parts.metrics);
        self.desk.tasks.iter_mut().try_for_each(|task| task.checkpoint(&stamp, spawn, metrics))?;
        self.desk.log_all(stop)
    }
}

impl<K: Sink, T: SharedStore + Send + 'static> Desk<K, T> {
    /// Takes checkpoints of the tasks whose time has come, one at a time and the one that has waited longest first, and moves
    /// on those that are held. The worker pauses only to copy what has changed; if there is too much of it, until it is
    /// written.
    fn checkpoint_if_due(&mut self, now: Timestamp) -> Result<(), WorkerError> {
        self.move_checkpoints(now, Duration::ZERO)?;
        let most = self.parts.settings.dirty_bytes;
        let interval = self.parts.settings.checkpoint_ms;
        loop {
            let dirty: usize = self.tasks.iter().map(|task| task.engine().dirty_bytes()).sum();
            let is_over = dirty > 0 && dirty >= most;
            let is_busy = self.tasks.iter().any(Task::holds_checkpoint);
            let next = if is_over {
                let free = |task: &&mut Task<T>| !task.holds_checkpoint() && task.engine().dirty_bytes() > 0;
                self.tasks.iter_mut().filter(free).max_by_key(|task| task.engine().dirty_bytes())
            } else if is_busy {
                None
            } else {
                let due = self.tasks.iter_mut().filter(|task| is_due(now, task.next_checkpoint, interval));
                due.min_by_key(|task| task.next_checkpoint)
            };
            let mut wait = Duration::ZERO;
            if let Some(task) = next {
                let stamp = self.parts.stamp();
                task.hold_checkpoint(&stamp)?;
                task.next_checkpoint = now.plus(self.parts.settings.checkpoint_ms);
            } else if is_over {
                self.settle(None)?;
                wait = BRIEF;
            } else {
                return Ok(());
            }
            self.move_checkpoints(now, wait)?;
        }
    }

    /// Writes held checkpoints whose position is committed; takes note of those that are written.
    fn move_checkpoints(&mut self, now: Timestamp, wait: Duration) -> Result<(), WorkerError> {
        for task in &mut self.tasks {
            if task.move_checkpoint(self.parts.spawn, wait, &self.parts.metrics)? {
                self.parts.metrics.pipeline.checkpointed(now);
            }
        }
        Ok(())
    }

    /// Takes a record in. After a failure none is taken any more.
    fn take(&mut self, record: &Record<'_>) {
        if self.failed.is_none()
            && let Err(error) = self.try_take(record)
        {
            self.failed = Some(error);
        }
    }

    fn try_take(&mut self, record: &Record<'_>) -> Result<(), WorkerError> {
        let own = |task: &Task<T>| task.partition.partition == record.partition;
        let Some(place) = self.tasks.iter().position(own) else { return Ok(()) };
        if self.tasks.get(place).is_some_and(|task| record.offset < task.engine().position()) {
            // It is known already.
            return Ok(());
        }
        let entry = Entry::parse(record.value.unwrap_or_default())
            .map_err(|error| WorkerError::journal((record.partition, record.offset), error.into()))?;
        let rules = matches!(entry, Entry::System(System::Rules { .. }));
        if rules {
            // What was counted must be published under the names of the old rules.
            self.settle(None)?;
        }
        let Some(task) = self.tasks.get_mut(place) else { return Ok(()) };
        let began = self.parts.clock.now();
        let metrics = &self.parts.metrics;
        let taken = task.take(record, entry, metrics).inspect_err(|error| {
            if matches!(error, WorkerError::Journal { error, .. } if matches!(**error, StepError::Rules(_))) {
                metrics.pipeline.reloaded(record.timestamp, false);
            }
        })?;
        task.worked(self.parts.clock.now().since(began));
        if rules {
            metrics.activate(task.engine().program());
            metrics.pipeline.reloaded(record.timestamp, true);
        }
        let effects = task.effects();
        if taken == Taken::Live && !effects.is_silent() {
            let begun = Instant::now();
            for forward in effects.forwards.drain(..) {
                publish_forward(&forward, &self.parts.settings.journal, &mut *self.forwards)?;
            }
            for alert in effects.alerts.drain(..) {
                publish_alert(&alert, &self.parts.settings.topics, &mut self.sink)?;
            }
            for decision in effects.decisions.drain(..) {
                publish_decision(&decision, &self.parts.settings.topics, &mut self.sink)?;
            }
            for record in effects.health.drain(..) {
                publish_health(&record, &self.parts.settings.topics, &mut self.sink)?;
            }
            metrics.pipeline.observe(Stage::Publish, begun.elapsed());
        }
        Ok(())
    }

    /// Goes on with a task that was opened.
    fn adopt(&mut self, task: Task<T>) {
        if !task.engine().program().rules.is_empty() {
            self.parts.metrics.activate(task.engine().program());
        }
        self.parts.metrics.pipeline.assigned(&task.partition.topic, 1);
        self.tasks.push(task);
        self.share_hot_bytes();
    }

    /// A store that holds something else than was written is of no use: the next worker rebuilds it.
    fn discard_corrupt(&mut self, error: &WorkerError) -> Result<(), WorkerError> {
        let Some(partition) = error.corrupt_partition() else { return Ok(()) };
        warn!(partition, %error, "the local state is corrupt: it is discarded and rebuilt");
        if let Some(place) = self.tasks.iter().position(|task| task.partition.partition == partition) {
            let task = self.tasks.remove(place);
            self.forget(&task.partition);
        }
        (self.parts.open_store)(partition, true).map(drop)
    }

    /// Keeps the changelog: what is due begins, what has ended is taken note of.
    fn log_if_due(&mut self, now: Timestamp) -> Result<(), WorkerError> {
        for task in &mut self.tasks {
            if task.log(self.parts.spawn, now, false)? {
                self.parts.metrics.pipeline.marked(now);
            }
        }
        Ok(())
    }

    /// Writes a last marker for each task, so that whoever comes next finds nothing between it and the committed offset.
    fn log_all(&mut self, stop: &Stop) -> Result<(), WorkerError> {
        // First what is under way, then what changed meanwhile.
        self.await_logs(stop)?;
        let now = self.parts.clock.now();
        for task in &mut self.tasks {
            task.log(self.parts.spawn, now, true)?;
        }
        self.await_logs(stop)
    }

    fn await_logs(&mut self, stop: &Stop) -> Result<(), WorkerError> {
        for task in &mut self.tasks {
            while task.is_logging(Duration::from_millis(50))? {
                if stop.is_abort() {
                    return Err(WorkerError::Aborted);
                }
            }
        }
        Ok(())
    }

    /// When a new task is checkpointed first: each partition has its own moment of the interval.
    fn first_checkpoint(&self, partition: &SourcePartition) -> Timestamp {
        let (every, count) =
            (self.parts.settings.checkpoint_ms, i64::from(self.parts.settings.partitions.max(1)));
        let share = every * (i64::from(partition.partition) % count + 1) / count;
        self.parts.clock.now().plus(share)
    }

    /// How long to wait for records: briefly, while there is something to commit.
    fn wait(&self, most: Duration) -> Duration {
        let commits = self.commit_began.is_some() || self.sink.in_flight() > 0;
        let busy = commits || self.forwards.in_flight() > 0 || !self.openings.is_empty();
        if busy { most.min(BRIEF) } else { most }
    }

    /// Moves the commit under way on, and begins the next one if it is due.
    fn commit_if_due(&mut self, now: Timestamp) -> Result<(), WorkerError> {
        if self.commit_began.is_some() && !self.await_commit(Duration::ZERO)? {
            return Ok(());
        }
        let due = |interval| is_due(now, self.last_commit.plus(interval), interval);
        let speaks = self.sink.in_flight() > 0 && due(COMMIT_MS);
        if speaks || (due(QUIET_COMMIT_MS) && self.tasks.iter().any(Task::is_behind)) {
            let longest = if speaks { COMMIT_MS } else { QUIET_COMMIT_MS } + FORWARDS_MS;
            if self.forwards_are_safe(if due(longest) { FORWARDS_WAIT } else { Duration::ZERO })? {
                self.begin_commit(now)?;
            }
        }
        Ok(())
    }

    /// Waits up to so long for forwards to be acknowledged; whether all are. What is committed before would be lost with
    /// the process.
    fn forwards_are_safe(&mut self, wait: Duration) -> Result<bool, WorkerError> {
        if self.forwards.in_flight() > 0 {
            self.forwards.acknowledged(wait, &mut Vec::new())?;
        }
        Ok(self.forwards.in_flight() == 0)
    }

    fn begin_commit(&mut self, now: Timestamp) -> Result<(), WorkerError> {
        let offsets: Vec<_> = self.tasks.iter_mut().filter_map(Task::begin_commit).collect();
        self.sink.start_commit(&offsets)?;
        self.commit_began = Some(now);
        self.last_commit = now;
        Ok(())
    }

    /// Waits for the commit under way; whether it is done.
    fn await_commit(&mut self, wait: Duration) -> Result<bool, WorkerError> {
        let Some(began) = self.commit_began else { return Ok(true) };
        let pipeline = &self.parts.metrics.pipeline;
        let took = |now: Timestamp| Duration::from_millis(now.since(began).max(0).unsigned_abs());
        match self.sink.commit_done(wait) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => {
                pipeline.transaction(Transacted::Fatal, took(self.parts.clock.now()));
                return Err(error.into());
            }
        }
        let now = self.parts.clock.now();
        pipeline.transaction(Transacted::Committed, took(now));
        pipeline.progressed(now);
        self.commit_began = None;
        for task in &mut self.tasks {
            task.commit_done(&self.parts.metrics, now);
        }
        Ok(true)
    }

    /// Commits all that was taken in and waits until it is done.
    fn settle(&mut self, stop: Option<&Stop>) -> Result<(), WorkerError> {
        let deadline = self.parts.clock.now().plus(PATIENCE_MS);
        loop {
            while !self.await_commit(Duration::from_millis(50))? {
                if stop.is_some_and(Stop::is_abort) {
                    return Err(WorkerError::Aborted);
                }
                if self.parts.clock.now() > deadline {
                    return Err(WorkerError::Unacknowledged(self.sink.in_flight()));
                }
            }
            if self.sink.in_flight() == 0 && !self.tasks.iter().any(Task::is_behind) {
                return Ok(());
            }
            while !self.forwards_are_safe(Duration::from_millis(50))? {
                if stop.is_some_and(Stop::is_abort) {
                    return Err(WorkerError::Aborted);
                }
                if self.parts.clock.now() > deadline {
                    return Err(WorkerError::Unacknowledged(self.forwards.in_flight()));
                }
            }
            self.begin_commit(self.parts.clock.now())?;
        }
    }

    /// Shares the budget of rows in RAM among the tasks that there are now.
    fn share_hot_bytes(&mut self) {
        let share = self.parts.settings.hot_bytes / self.tasks.len().max(1);
        self.tasks.iter_mut().for_each(|task| task.set_hot_bytes(share));
    }

    /// Takes note of tasks that have caught up with what was published.
    fn note_restored(&mut self, now: Timestamp) {
        for task in self.tasks.iter_mut().filter(|task| !task.is_silent()) {
            if let Some(since) = task.restoring_since.take() {
                let took = now.since(since).max(0).unsigned_abs();
                self.parts.metrics.pipeline.restored(Duration::from_millis(took));
            }
        }
    }

    fn tell_probes(&self) {
        let pulse = &self.parts.pulse;
        pulse.set(Unready::Starting, false);
        pulse.set(Unready::Unassigned, self.tasks.is_empty() && self.openings.is_empty());
        let restoring = !self.openings.is_empty() || self.tasks.iter().any(Task::is_silent);
        pulse.set(Unready::Restoring, restoring);
    }

    /// Reports sizes, watermarks and lags, and where entities stand.
    fn report(&mut self, now: Timestamp, source: &impl Source) {
        let metrics = &self.parts.metrics;
        let pipeline = &metrics.pipeline;
        for task in &mut self.tasks {
            let (own, usage) = (number(&task.partition), task.store().usage());
            pipeline.store_troubles(&task.usage, &usage);
            task.usage = usage;
            let engine = task.engine();
            let watermarks =
                Kind::ALL.map(|kind| Some(engine.watermark(kind)).filter(|time| *time > Timestamp::MIN));
            let entities = engine.tenants().map(|(kind, rows)| (kind.to_owned(), rows)).collect();
            let (stalled, waiting) = (engine.stalled(), engine.waiting());
            let told = super::metrics::Task { entities, watermarks, stalled, waiting };
            pipeline.set_task(own, told);
            metrics.trigger.set_task(own, engine.census());
            pipeline.set_restore_remaining(own, Some(task.remaining()));
            let behind = source.known_end(&task.partition).map_or(0, |end| end - engine.position());
            let age = if behind > 0 { now.since(engine.journal_time().max(Timestamp(0))) } else { 0 };
            pipeline.set_lag(&task.partition, behind, age);
        }
        let hot: usize = self.tasks.iter().map(|task| task.engine().hot_bytes()).sum();
        pipeline.set_state_bytes(StateBytes::Hot, hot as u64);
        pipeline.set_stores(self.tasks.iter().map(|task| task.usage));
        self.tell_probes();
    }
}

impl<K, T> Desk<K, T> {
    /// Takes a task out of the metrics.
    fn forget(&self, partition: &SourcePartition) {
        let metrics = &self.parts.metrics;
        metrics.pipeline.assigned(&partition.topic, -1);
        metrics.pipeline.forget_task(number(partition));
        metrics.pipeline.forget_partition(partition);
        metrics.trigger.forget_task(number(partition));
    }
}

impl<K, T> Drop for Desk<K, T> {
    /// Nothing is owned any more.
    fn drop(&mut self) {
        self.tasks.iter().for_each(|task| self.forget(&task.partition));
    }
}

/// A journal partition's number, as alerts carry it.
fn number(partition: &SourcePartition) -> u16 {
    u16::try_from(partition.partition).unwrap_or(u16::MAX)
}
