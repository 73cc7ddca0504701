//! The deterministic heart: a function of journal records and entity rows.
//!
//! It sees no clock, no randomness, no I/O and no order of a hash map; time enters as journal records.
//! It reads rows through [`store::Store`] and returns [`effects::Effects`]; who executes them is none of its business.
//!
//! The way of an event: [`Engine::step`] admits what a frame covers, [`ingest`] finds filters and rows, [`series`] count,
//! [`detect`] and [`judge`] reach a verdict, [`gates`] and [`lifecycle`] turn it into decisions and alerts. Ticks move the
//! watermarks on and run what [`timers`] wait for.

mod accounts;
mod across;
mod affected;
pub mod alert;
mod business;
pub mod calendar;
pub mod census;
mod clocks;
mod collapse;
mod conduct;
mod conversation;
mod dealings;
mod detect;
pub mod effects;
mod feelings;
mod firing;
mod forward;
mod gates;
mod groups;
mod health;
pub mod helpdesk;
mod hours;
pub mod identity;
mod incidents;
mod ingest;
mod issues;
mod judge;
mod lifecycle;
mod matches;
mod moves;
pub mod number;
pub mod peaks;
mod periods;
mod plan;
mod profile;
mod quick;
mod rollups;
pub mod rows;
mod samples;
mod scene;
pub mod series;
pub mod significance;
mod step;
pub mod store;
mod tails;
mod task;
#[cfg(test)]
mod tests;
mod tick;
mod tickets;
mod timers;
mod traffic;
pub mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::event::bytes::FormatError;
use crate::event::{KINDS, Kind, SourcePartition, Timestamp};
use crate::journal::Entry;
use crate::rules::program::{Program, Rule};

use calendar::Calendar;
use clocks::KindMask;
use plan::Plan;
use quick::Scratch;
use rows::cache::Rows;
use rows::deadlines::Deadlines;
use rows::wanted::Wanted;
use store::{Checkpoint, DeadlineClock, RowKey, Store, StoreError};
use task::Task;

/// This engine's version. Another version may say something else about the same journal, so it does not go on silently
/// where this one stopped in the middle.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A record of the journal, as the engine takes it in.
#[derive(Debug, Clone)]
pub struct JournalRecord<'a> {
    /// Its offset in the journal partition.
    pub offset: i64,
    /// Its `LogAppendTime`.
    pub time: Timestamp,
    /// Its content.
    pub entry: Entry<'a>,
}

/// How a rule set becomes active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// In the stream: new series are warming, `on_activate` is obeyed, midnight work is spread.
    Live,
    /// Before all history, or at this time: series are warming until what they show begins then. `on_activate` does
    /// nothing, midnight work is done at midnight.
    Replay(Timestamp),
}

/// What makes one task different from another.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The deployment's id, part of every alert's identity.
    pub application_id: Box<str>,
    /// The journal's topic: this task and its likes are sources under its name.
    pub journal: Box<str>,
    /// The journal partition.
    pub partition: u16,
    /// How many journal partitions there are.
    pub partitions: u16,
    /// Budget of rows in RAM, bytes.
    pub hot_bytes: usize,
    /// How rule sets become active.
    pub activate: Activation,
}

/// Local midnight's work of a task is spread over this time, ms.
const SPREAD_MS: u64 = 600_000;

impl Settings {
    const fn is_live(&self) -> bool {
        matches!(self.activate, Activation::Live)
    }

    /// By how much a row's work at local midnight is put off, ms.
    fn spread_ms(&self, row: &RowKey) -> i64 {
        match self.activate {
            Activation::Replay(_) => 0,
            Activation::Live => {
                let share = xxhash_rust::xxh3::xxh3_64(&row.0) % SPREAD_MS;
                i64::try_from(share).unwrap_or(0)
            }
        }
    }
}

/// The task can't go on from this record.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Offsets of a source never reached the journal.
    #[error(
        "records of {}-{} are missing: offset {expected} is due, the frame begins at {found}\n  \
         they were lost between intake and the journal; to go on without them, journal a source_moved record with a reason and an actor",
        source_partition.topic, source_partition.partition
    )]
    Gap {
        /// The source.
        source_partition: SourcePartition,
        /// The offset that is due.
        expected: i64,
        /// The offset that came.
        found: i64,
    },
    /// A task's frame covers offsets that are known already together with new ones: what it tells can't be divided.
    #[error(
        "a frame of {}-{} covers offsets from {from} on, up to {known} of which are known already\n  \
         tasks send the same frames again after a crash, so another version of the engine has divided them otherwise; to go on, journal a source_moved record with a reason and an actor",
        source_partition.topic, source_partition.partition
    )]
    Overlap {
        /// The source.
        source_partition: SourcePartition,
        /// The first offset of the frame.
        from: i64,
        /// The last offset that is known.
        known: i64,
    },
    /// A frame covers a source that was never announced.
    #[error(
        "source {}-{} was never announced to this journal partition\n  \
         its source_added record is lost or lies before the journal's start; journal it again",
        source_partition.topic, source_partition.partition
    )]
    Unannounced {
        /// The source.
        source_partition: SourcePartition,
    },
    /// The journal or the store holds bytes that this build can't read.
    #[error("the record at this position can't be read: {0}")]
    Format(#[from] FormatError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal holds rules that this build can't compile.
    #[error("the rule set in the journal can't be activated by this build:\n{0}")]
    Rules(String),
}

/// One task: a journal partition's rows and rules.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    plan: Arc<Plan>,
    task: Task,
    rows: Rows,
    deadlines: Deadlines,
    calendar: Calendar,
    /// Rows behind the highest watermark whose own kinds are not there yet.
    waiting: BTreeMap<KindMask, BTreeSet<(Timestamp, RowKey)>>,
    position: i64,
    /// Changes with the plan and with what counts as lost: what rests on another is out of date.
    epoch: u32,
    /// What counted as lost when it changed last.
    losses: [(usize, Option<(Timestamp, Timestamp)>); KINDS],
    /// Memory for the rows that a batch of events asks for.
    wanted: Wanted,
    /// Memory for the event at hand.
    scratch: Scratch,
    /// What the row at hand said before and says now, for the census.
    entries: [census::Entry; 2],
}

impl Engine {
    /// A task that begins at the start of its journal partition.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let hot_bytes = settings.hot_bytes;
        Self {
            settings,
            plan: Arc::new(Plan::new(Arc::new(Program::default()))),
            task: Task::new(),
            rows: Rows::new(hot_bytes),
            deadlines: Deadlines::new(),
            calendar: Calendar::new(),
            waiting: BTreeMap::new(),
            position: 0,
            epoch: 0,
            losses: [(0, None); KINDS],
            wanted: Wanted::default(),
            scratch: Scratch::default(),
            entries: Default::default(),
        }
    }

    /// A task that goes on from a checkpoint: `position` and `task` are [`Store::last_checkpoint`]'s.
    ///
    /// # Errors
    /// If the task's state can't be read or its rules can't be compiled by this build.
    pub fn resume(settings: Settings, position: i64, task: &[u8]) -> Result<Self, StepError> {
        let mut engine = Self::new(settings);
        engine.task = Task::decode(task)?;
        engine.position = position;
        engine.deadlines = Deadlines::over_store();
        if engine.task.generation > 0 {
            let program = step::compile(&engine.task.body)?;
            engine.follow(Plan::new(Arc::new(program)));
        }
        Ok(engine)
    }

    /// Runs this program from before the first record on, or again after [`Engine::resume`]: for whoever compiles rules
    /// himself instead of journaling them. Series without age have been there for ever.
    pub fn install(&mut self, program: Arc<Program>) {
        let began = match self.settings.activate {
            Activation::Live => Timestamp::MIN,
            Activation::Replay(began) => began,
        };
        for series in &program.series {
            self.task.series.entry(series.key).or_insert(task::SeriesAge { began });
        }
        self.follow(Plan::new(program));
    }

    /// From now on this plan is followed.
    fn follow(&mut self, plan: Plan) {
        self.task.health_kinds = plan.health_kinds;
        self.plan = Arc::new(plan);
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Events that wait until the account of their alias is known.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.task.waiting
    }

    /// The next journal offset to read.
    #[must_use]
    pub const fn position(&self) -> i64 {
        self.position
    }

    /// The active rules.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.plan.program
    }

    /// Journal time: the highest `LogAppendTime` read.
    #[must_use]
    pub const fn journal_time(&self) -> Timestamp {
        self.task.journal_time
    }

    /// The watermark of a kind; [`Timestamp::MIN`] while it has none.
    #[must_use]
    pub fn watermark(&self, kind: Kind) -> Timestamp {
        self.task.watermarks()[kind as usize]
    }

    /// Whether each kind of source is stalled (`rules.md` §6), by its number.
    #[must_use]
    pub fn stalled(&self) -> [bool; KINDS] {
        self.task.stalled(&self.plan.program.stall)
    }

    /// Says that too little has come of a kind since a time (`Ok`), or that it did until a time (`Err`): rule tests do not have
    /// the weeks of events that it takes to notice it.
    pub fn force_volume(&mut self, kind: Kind, low: Result<Timestamp, Timestamp>) {
        self.task.volumes[kind as usize].force(low);
    }

    /// Bytes of rows that the next checkpoint writes.
    #[must_use]
    pub fn dirty_bytes(&self) -> usize {
        self.rows.dirty_bytes()
    }

    /// Bytes of rows in RAM.
    #[must_use]
    pub fn hot_bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// Leaves a journal record out when it comes: its events end as dead letters.
    pub fn leave_out(&mut self, offset: i64) {
        self.task.quarantined.insert(offset);
    }

    /// Changes the budget of rows in RAM, bytes: it is shared by the tasks of a process, which come and go.
    pub fn set_hot_bytes(&mut self, budget: usize) {
        self.settings.hot_bytes = budget;
        self.rows.set_budget(budget);
    }

    /// How many rows are in RAM.
    #[must_use]
    pub fn hot_rows(&self) -> usize {
        self.rows.len()
    }

    /// Where entities stand with each active rule, by its place in the program.
    pub fn census(&self) -> impl Iterator<Item = (&Rule, census::Counts)> {
        self.plan.program.rules.iter().map(|rule| (rule, self.task.census.counts(rule.key)))
    }

    /// How many rows there were at the last checkpoint, by kind of entity; nothing if an older build began this task's state.
    pub fn tenants(&self) -> impl Iterator<Item = (&str, u64)> {
        self.task.tenants.iter().flat_map(rows::tenants::Tenants::iter)
    }

    /// How many rows have an open alert.
    #[must_use]
    pub fn open_rows(&self) -> usize {
        self.task.open.len()
    }

    /// The earliest journal time at which a tick could do anything, as long as all sources are quiet and caught up.
    /// Ticks before it may be left out.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let lateness = self.task.shortest_lateness_ms();
        let waiting = self.waiting.values().filter_map(|rows| rows.first()).map(|(at, _)| *at).min();
        let marks = self.deadlines.next(DeadlineClock::Watermark).into_iter().chain(waiting).min();
        let marks = marks.map(|mark| mark.plus(lateness));
        let volumes = self.task.volumes.iter().filter_map(volume::Volume::next_due);
        let due =
            marks.into_iter().chain(self.deadlines.next(DeadlineClock::Journal)).chain(volumes).min()?;
        // What the store holds may have been due long ago.
        Some(due.max(self.task.journal_time))
    }

    /// Everything that changed since the last checkpoint, to be written atomically.
    ///
    /// # Errors
    /// If a row that waits can't be loaded.
    pub fn checkpoint(&mut self, store: &mut dyn Store) -> Result<Checkpoint, StepError> {
        for (at, key) in std::mem::take(&mut self.waiting).into_values().flatten() {
            if let Some(row) = self.rows.get_mut(&key, store)? {
                let armed = row.armed(DeadlineClock::Watermark);
                let armed = self.deadlines.arm(&key, DeadlineClock::Watermark, at, armed);
                row.set_armed(DeadlineClock::Watermark, Some(armed));
            }
        }
        let (disarmed, armed) = self.deadlines.take_changes();
        let dirty = self.rows.take_dirty();
        if let Some(tenants) = &mut self.task.tenants {
            tenants.change(dirty.moves())?;
        }
        Ok(Checkpoint {
            rows: dirty.rows,
            disarmed,
            armed,
            task: self.task.encode(),
            position: self.position,
        })
    }
}
