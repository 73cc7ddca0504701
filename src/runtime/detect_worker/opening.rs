//! Opening a task: fence who had it before, see what there is, restore what is lost. On a thread of its own, so that the
//! worker goes on with its other tasks and the group does not take it for dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use tracing::{info, warn};

use super::logged::Logged;
use super::recovery::{Base, Discard, Plan, Situation, State};
use super::{DetectParts, OpenStore, Quarantine, number};
use crate::engine::store::{Checkpoint, Marked, Store, StoreError};
use crate::engine::{Activation, Engine, Settings, StepError};
use crate::event::bytes::FormatError;
use crate::event::{SourcePartition, Timestamp};
use crate::runtime::changelog::Changelog;
use crate::runtime::changelog::marker::{self, Marker};
use crate::runtime::changelog::restore::Restore;
use crate::runtime::changelog::stamp::Stamp;
use crate::runtime::clock::Clock;
use crate::runtime::metrics::Metrics;
use crate::runtime::rocks::OpenError;
use crate::runtime::worker::{Spawn, WorkerError};

/// How long tombstones matter where there is no changelog: never.
const NEVER_MS: i64 = i64::MAX;

/// A task that is ready to read.
pub(super) struct Opened<T> {
    pub engine: Engine,
    pub store: T,
    /// The first offset to read.
    pub start: i64,
    /// Records before this offset were published already.
    pub silent_until: i64,
    /// Its part of the changelog.
    pub logged: Option<Logged>,
}

/// A task on its way.
pub(super) struct Opening<T> {
    pub partition: SourcePartition,
    pub begun: Timestamp,
    /// Whether its partition is paused: it need not be fetched yet.
    pub paused: bool,
    cancel: Arc<AtomicBool>,
    result: Receiver<Result<Opened<T>, WorkerError>>,
}

/// What the thread needs.
struct Job<T> {
    partition: SourcePartition,
    committed: Option<i64>,
    journal_start: i64,
    settings: Settings,
    engine: Box<str>,
    open_store: OpenStore<T>,
    changelog: Option<Arc<Changelog>>,
    quarantine: Option<Arc<Quarantine>>,
    clock: Arc<dyn Clock + Send + Sync>,
    metrics: Arc<Metrics>,
    cancel: Arc<AtomicBool>,
}

impl<T: Store + Send + 'static> Opening<T> {
    /// Begins to open the task of a partition.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub(super) fn begin(
        parts: &DetectParts<T>,
        spawn: Spawn,
        partition: &SourcePartition,
        (committed, journal_start): (Option<i64>, i64),
    ) -> Result<Self, WorkerError> {
        let cancel = Arc::new(AtomicBool::new(false));
        let job = Job {
            partition: partition.clone(),
            committed,
            journal_start,
            settings: Settings {
                application_id: parts.settings.application_id.as_str().into(),
                journal: parts.settings.journal.as_str().into(),
                partition: number(partition),
                partitions: parts.settings.partitions,
                hot_bytes: parts.settings.hot_bytes,
                activate: Activation::Live,
            },
            engine: parts.settings.engine.as_str().into(),
            open_store: Arc::clone(&parts.open_store),
            changelog: parts.changelog.clone(),
            quarantine: parts.quarantine.clone(),
            clock: Arc::clone(&parts.clock),
            metrics: Arc::clone(&parts.metrics),
            cancel: Arc::clone(&cancel),
        };
        let (send, result) = channel();
        let work = move || {
            // Nobody waits for a task that was given up meanwhile.
            let _ = send.send(job.run());
        };
        spawn("opening", Box::new(work))?;
        Ok(Self { partition: partition.clone(), begun: parts.clock.now(), paused: false, cancel, result })
    }

    /// The task, if it is ready.
    pub(super) fn ready(&self) -> Option<Result<Opened<T>, WorkerError>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(WorkerError::Aborted)),
        }
    }
}

impl<T> Drop for Opening<T> {
    /// Waits until the thread has let the store go: the next one opens the same.
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
        while self.result.recv().is_ok() {}
    }
}

impl<T: Store> Job<T> {
    fn run(mut self) -> Result<Opened<T>, WorkerError> {
        let place = self.partition.partition;
        let ours = Stamp {
            engine: self.engine.clone(),
            partitions: self.settings.partitions,
            written: self.clock.now(),
        };
        let changelog = self.changelog.take();
        // First the writer: nobody else adds to the changelog from now on, so what is read next stays true.
        let sink = changelog.as_ref().map(|own| (own.open_sink)(place)).transpose()?;
        let marker = changelog.as_ref().map(|own| marker::newest(own, place)).transpose()?.flatten();
        let (store, corrupt) = self.open(&ours)?;
        let known = marker.as_ref().map(|marker| state(place, marker.position, &marker.task)).transpose()?;
        let situation = Situation {
            partition: place,
            store: store.as_ref().map(|(_, state)| state.clone()),
            marker: known,
            committed: self.committed,
            journal_start: self.journal_start,
            ours: &ours,
            tombstones_ms: changelog.as_ref().map_or(NEVER_MS, |own| own.tombstones_ms),
        };
        let plan = situation.plan()?;
        let mut store = self.store_for(store.map(|(store, _)| store), &plan, corrupt)?;
        if let (Base::Changelog, Some(changelog)) = (plan.base, &changelog) {
            self.restore(changelog, &mut store)?;
        }
        let known = marker.as_ref().map(|marker| Marked { line: marker.line, position: marker.position });
        let marked = line_of(store.marked()?, known);
        store.set_marked(marked)?;
        info!(partition = place, ?plan, committed = self.committed, "task opened");
        let mut engine = self.engine(&mut store, &ours)?;
        if let Some(quarantine) = &self.quarantine {
            let told = quarantine.judge(&self.partition, plan.start, (ours.written, &self.metrics))?;
            told.into_iter().for_each(|offset| engine.leave_out(offset));
        }
        let foreign = situation.marker.is_some_and(|marker| marker.stamp.engine != ours.engine);
        let logged = match (changelog, sink) {
            (Some(changelog), Some(sink)) => {
                let reached = known.filter(|known| known.line == marked.line);
                let reached = reached.map_or(Marked::NONE, |known| known.position);
                let places = (place, self.settings.partitions);
                let mut logged = Logged::new(changelog, sink, places, reached, ours.written);
                if foreign {
                    logged.hurry();
                }
                Some(logged)
            }
            _ => None,
        };
        Ok(Opened { engine, store, start: plan.start, silent_until: plan.silent_until, logged })
    }

    /// The store and its state; none where it has no checkpoint. A corrupt one is discarded.
    fn open(&self, ours: &Stamp) -> Result<(Option<(T, State)>, Option<Discard>), WorkerError> {
        let place = self.partition.partition;
        let found = (self.open_store)(place, false).and_then(|mut store| {
            let Some((position, task)) = store.last_checkpoint()? else { return Ok(None) };
            // The engine says whether the state behind the stamp is sound.
            let state = state(place, position, &task)?;
            if state.stamp.engine == ours.engine {
                self.resume(position, &task)?;
            }
            Ok(Some((store, state)))
        });
        match found {
            Ok(Some(found)) => Ok((Some(found), None)),
            Ok(None) => Ok((None, Some(Discard::Unfinished))),
            Err(error) if is_corrupt(&error) => {
                warn!(partition = place, %error, "the local state can't be read");
                Ok((None, Some(Discard::Corrupt)))
            }
            Err(error) => Err(error),
        }
    }

    /// The store to go on with: the one that was found, or a new one.
    fn store_for(&self, found: Option<T>, plan: &Plan, lost: Option<Discard>) -> Result<T, WorkerError> {
        let place = self.partition.partition;
        let discard = plan.discard.or(lost);
        match (found, discard) {
            (Some(store), None) => Ok(store),
            (found, discard) => {
                if let Some(discard) = discard.filter(|discard| *discard != Discard::Unfinished) {
                    let reason = discard.reason();
                    warn!(partition = place, reason, "the local state is discarded and rebuilt");
                }
                drop(found);
                (self.open_store)(place, true)
            }
        }
    }

    fn restore(&self, changelog: &Changelog, store: &mut T) -> Result<Marker, WorkerError> {
        let restore = Restore {
            changelog,
            partition: self.partition.partition,
            cancel: &self.cancel,
            clock: &*self.clock,
            metrics: &self.metrics,
        };
        restore.run(store)
    }

    fn engine(&self, store: &mut T, ours: &Stamp) -> Result<Engine, WorkerError> {
        let Some((position, task)) = store.last_checkpoint()? else {
            return Ok(Engine::new(self.settings.clone()));
        };
        let at = (self.partition.partition, position);
        let (stamp, state) = Stamp::split(&task).map_err(|error| WorkerError::journal(at, error.into()))?;
        if stamp.engine != ours.engine {
            // What is published from here on is this version's.
            let restamped = Checkpoint { position, task: ours.before(state), ..Checkpoint::default() };
            store.checkpoint(&restamped)?;
        }
        self.resume(position, &task)
    }

    fn resume(&self, position: i64, task: &[u8]) -> Result<Engine, WorkerError> {
        let at = (self.partition.partition, position);
        let (_, task) = Stamp::split(task).map_err(|error| WorkerError::journal(at, error.into()))?;
        Engine::resume(self.settings.clone(), position, task).map_err(|error| WorkerError::journal(at, error))
    }
}

/// What a checkpoint or marker says of itself.
fn state(partition: i32, position: i64, task: &[u8]) -> Result<State, WorkerError> {
    let split = Stamp::split(task).map_err(|error| WorkerError::journal((partition, position), error.into()));
    Ok(State { position, stamp: split?.0 })
}

/// Whether a store holds something else than was written.
fn is_corrupt(error: &WorkerError) -> bool {
    match error {
        WorkerError::Store(StoreError::Corrupt(_))
        | WorkerError::Open(OpenError::Store(StoreError::Corrupt(_))) => true,
        WorkerError::Journal { error, .. } => {
            use FormatError::{Malformed, Truncated};
            // What a later build wrote is not corrupt.
            matches!(
                **error,
                StepError::Format(Truncated | Malformed(_)) | StepError::Store(StoreError::Corrupt(_))
            )
        }
        _ => false,
    }
}

/// The line that a store goes on with: its own, as long as the changelog knows it as well as it does; else a new one.
fn line_of(own: Marked, known: Option<Marked>) -> Marked {
    match known {
        Some(known) if own.line == known.line && own.position <= known.position => own,
        Some(known) => Marked::begin(own.line.max(known.line) + 1),
        None if own.position == Marked::NONE && own.line > 0 => own,
        None => Marked::begin(own.line + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::line_of;
    use crate::engine::store::Marked;

    #[test]
    fn a_store_that_the_changelog_does_not_know_begins_a_new_line() {
        let at = |line, position| Marked { line, position };
        assert_eq!(line_of(Marked::begin(0), None), Marked::begin(1));
        assert_eq!(line_of(Marked::begin(3), None), Marked::begin(3));
        assert_eq!(line_of(at(1, 70), Some(at(1, 70))), at(1, 70));
        // Another machine went further: the changes since our own marker hold all that it changed, too.
        assert_eq!(line_of(at(1, 70), Some(at(1, 90))), at(1, 70));
        assert_eq!(line_of(at(1, 70), Some(at(1, 60))), Marked::begin(2), "the changelog was rolled back");
        assert_eq!(line_of(at(1, 70), Some(at(2, 90))), Marked::begin(3), "it follows another history");
        assert_eq!(line_of(at(4, 70), None), Marked::begin(5), "it was emptied");
        assert_eq!(line_of(Marked::begin(0), Some(at(2, 90))), Marked::begin(3));
    }
}
