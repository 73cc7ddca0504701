//! A task's part of the changelog: when a marker is due, and the transaction under way.

use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use crate::engine::store::{Marked, Store};
use crate::event::Timestamp;
use crate::runtime::changelog::Changelog;
use crate::runtime::changelog::publish::{Place, Published, Publishing};
use crate::runtime::sink::Sink;
use crate::runtime::worker::{Spawn, WorkerError};

/// What a task knows of its changelog.
pub(super) struct Logged {
    changelog: Arc<Changelog>,
    partition: i32,
    /// The writer, while no transaction is under way.
    sink: Option<Box<dyn Sink + Send>>,
    under_way: Option<Publishing>,
    due: Timestamp,
    /// Position up to which the changelog holds our line already. Another machine went there while we were away; a marker
    /// before it would stand behind rows that know more.
    reached: i64,
    /// Time that processing took since the last marker, ms: a replay would take as long.
    busy_ms: i64,
}

impl Logged {
    /// A task whose first marker is due within an interval: those of a journal's partitions spread over it.
    pub(super) fn new(
        changelog: Arc<Changelog>,
        sink: Box<dyn Sink + Send>,
        (partition, partitions): (i32, u16),
        reached: i64,
        now: Timestamp,
    ) -> Self {
        let share = i64::from(partition) + 1;
        let due = now.plus(changelog.interval_ms.saturating_mul(share) / i64::from(partitions.max(1)));
        Self { changelog, partition, sink: Some(sink), under_way: None, due, reached, busy_ms: 0 }
    }

    /// The next marker is due as soon as there is something to mark: the last one is another version's.
    pub(super) const fn hurry(&mut self) {
        self.busy_ms = i64::MAX / 2;
    }

    /// Processing took this long.
    pub(super) const fn worked(&mut self, ms: i64) {
        self.busy_ms += ms;
    }

    /// Whether a transaction is under way.
    pub(super) const fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether a marker is due.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        !self.is_busy() && (now >= self.due || self.busy_ms >= self.changelog.budget_ms)
    }

    /// Begins to publish what changed up to the last checkpoint, if anything did.
    ///
    /// # Errors
    /// If the store fails.
    pub(super) fn begin(
        &mut self,
        store: &mut impl Store,
        spawn: Spawn,
        now: Timestamp,
    ) -> Result<(), WorkerError> {
        let marked = store.marked()?;
        let position = store.last_checkpoint()?.map_or(Marked::NONE, |(position, _)| position);
        if position <= marked.position || position < self.reached || self.under_way.is_some() {
            return Ok(());
        }
        self.due = now.plus(self.changelog.interval_ms);
        self.busy_ms = 0;
        let Some(sink) = self.sink.take() else { return Ok(()) };
        let place =
            Place { topic: self.changelog.topic.clone(), partition: self.partition, line: marked.line };
        self.under_way = Some(Publishing::begin(spawn, sink, place, store.changes()?)?);
        Ok(())
    }

    /// Takes note of a transaction that has ended within this time.
    ///
    /// # Errors
    /// If it was refused or its outcome is unknown: who took over has fenced us, or the log is away.
    pub(super) fn settle(
        &mut self,
        store: &mut impl Store,
        wait: Duration,
    ) -> Result<Option<Published>, WorkerError> {
        let Some(outcome) = self.under_way.as_ref().and_then(|under_way| under_way.outcome(wait)) else {
            return Ok(None);
        };
        self.under_way = None;
        let (sink, published) = outcome?;
        self.sink = Some(sink);
        store.set_marked(published.marked)?;
        let Published { marked, rows, bytes } = published;
        info!(partition = self.partition, position = marked.position, rows, bytes, "changelog marked");
        Ok(Some(published))
    }
}
