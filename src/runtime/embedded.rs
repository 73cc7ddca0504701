//! The whole program in one process: the workers of production on a log in memory, rows on disk, and virtual time.
//!
//! Nothing here knows what is fed in or who looks at what comes out; the demo does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::clock::{Clock, VirtualClock};
use super::detect_worker::{DetectParts, DetectSettings, DetectWorker, OutputTopics, Sinks};
use super::http::Health;
use super::intake_worker::{IntakeParts, IntakeSettings, IntakeWorker};
use super::memory_log::{Given, LogError, MemoryLog, MemoryMappings, MemorySink, MemorySource, TimeOf};
use super::metrics::{Metrics, MetricsError};
use super::rocks::{RocksMemory, RocksStore};
use super::system::{SystemTopics, publish_system, system_partition};
use super::worker::{Stop, WorkerError, at_once};
use crate::config::HeaderDialect;
use crate::event::{SourcePartition, Timestamp};
use crate::intake::breaker::Limits;
use crate::intake::text::{LexiconError, Scorer};
use crate::intake::{Intake, SourceSettings, partition_of};
use crate::journal::System;

const APPLICATION: &str = "demo";
const JOURNAL: &str = "demo-journal";
const CHANGELOG: &str = "demo-changelog";
const DEAD_LETTERS: &str = "demo-dlq";
const ALERTS: &str = "risk.alerts";
const STATE: &str = "risk.alerts.state";
const DECISIONS: &str = "risk.decisions";
const HEALTH: &str = "risk.health";
/// Few, so that frames are full; as many as a small deployment has.
const JOURNAL_PARTITIONS: u16 = 4;
/// Rows held in RAM, bytes a task.
const HOT_BYTES: usize = 64 << 20;

/// The embedded program could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// A worker failed.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The log refused a record.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The lexicon.
    #[error(transparent)]
    Lexicon(#[from] LexiconError),
}

/// Workers, log and clock.
pub struct Embedded {
    clock: Arc<VirtualClock>,
    log: MemoryLog,
    intake: IntakeWorker<MemorySource, MemorySink>,
    detect: DetectWorker<MemorySource, MemorySink, RocksStore>,
    metrics: Arc<Metrics>,
    sources: Vec<SourcePartition>,
    /// How far the alerts were handed out, by partition.
    told: Vec<i64>,
}

impl Embedded {
    /// Begins at this time, with these sources, rows below `state`.
    ///
    /// # Errors
    /// If metrics or lexicon can't be made.
    pub fn new(now: Timestamp, sources: &[SourceSettings], state: PathBuf) -> Result<Self, EmbeddedError> {
        let clock = Arc::new(VirtualClock::new(now));
        let log = MemoryLog::new(Arc::clone(&clock) as Arc<dyn Clock + Send + Sync>, partition_of);
        let topics: Vec<&str> = sources.iter().map(|source| &*source.topic).collect();
        topics.iter().for_each(|topic| log.create(topic, 1, TimeOf::Creation));
        let partitions = usize::from(JOURNAL_PARTITIONS);
        log.create(JOURNAL, partitions, TimeOf::Append);
        for topic in [DEAD_LETTERS, ALERTS, STATE, DECISIONS, HEALTH] {
            log.create(topic, partitions, TimeOf::Append);
        }
        log.create(CHANGELOG, partitions + 1, TimeOf::Append);
        let (metrics, health) = (Arc::new(Metrics::new(25)?), Health::default());
        let parts = IntakeParts {
            settings: intake_settings(),
            intake: Intake::new(sources.to_vec(), Scorer::english()?),
            mappings: Box::new(mappings(&log)),
            registry: None,
            clock: Arc::clone(&clock) as Arc<dyn Clock + Send + Sync>,
            metrics: Arc::clone(&metrics),
            pulse: health.worker("intake", now),
        };
        let intake = IntakeWorker::new(log.source("demo-intake", &topics), log.sink(), parts);
        let memory = RocksMemory::new(32 << 20, 32 << 20);
        let parts = DetectParts {
            settings: detect_settings(),
            open_store: Arc::new(move |partition, discard| {
                if discard {
                    RocksStore::discard(&state, partition)?;
                }
                Ok(RocksStore::open(&state, partition, u32::from(JOURNAL_PARTITIONS), &memory)?)
            }),
            // Rows live as long as the log: neither outlives the process.
            changelog: None,
            quarantine: None,
            spawn: at_once,
            clock: Arc::clone(&clock) as Arc<dyn Clock + Send + Sync>,
            metrics: Arc::clone(&metrics),
            pulse: health.worker("detect", now),
        };
        let sink = log.transactional_sink("demo-0", "demo-detect");
        let sinks = Sinks { output: sink, forwards: Box::new(log.sink()) };
        let detect = DetectWorker::new(log.source("demo-detect", &[JOURNAL]), sinks, parts);
        let sources =
            topics.iter().map(|topic| SourcePartition { topic: (*topic).into(), partition: 0 }).collect();
        Ok(Self { clock, log, intake, detect, metrics, sources, told: vec![0; partitions] })
    }

    /// Journals a system record, as `forewarn apply` does.
    ///
    /// # Errors
    /// If it is not acknowledged.
    pub fn apply(&mut self, system: &System) -> Result<(), EmbeddedError> {
        let topics = SystemTopics {
            journal: JOURNAL.to_owned(),
            partitions: JOURNAL_PARTITIONS,
            changelog: CHANGELOG.to_owned(),
        };
        Ok(publish_system(&mut self.log.sink(), &topics, system)?)
    }

    /// Appends a record to a source topic.
    ///
    /// # Errors
    /// If there is no such topic.
    pub fn append(&self, topic: &str, key: &str, time: Timestamp, value: &str) -> Result<(), EmbeddedError> {
        let partition = SourcePartition { topic: topic.into(), partition: 0 };
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        self.log.append(Given { partition: &partition, timestamp: time, key, value })?;
        Ok(())
    }

    /// Lets virtual time reach `time` and everything that was appended have its effects.
    ///
    /// # Errors
    /// If a worker fails.
    pub fn run_until(&mut self, time: Timestamp) -> Result<(), EmbeddedError> {
        self.clock.advance_to(time);
        // One round reads and fills frames, the next sends them; then detect reads, says, and commits.
        for _ in 0..2 {
            self.intake.turn(Duration::ZERO)?;
            self.clock.pause(Duration::from_millis(15));
        }
        for _ in 0..3 {
            self.detect.turn(Duration::ZERO)?;
            self.clock.pause(Duration::from_millis(30));
        }
        self.forget_what_is_read()
    }

    /// The alerts that were published since the last call, as JSON, by journal partition and order.
    ///
    /// # Errors
    /// If the log refuses.
    pub fn alerts(&mut self) -> Result<Vec<String>, EmbeddedError> {
        let mut found = Vec::new();
        for (partition, told) in (0_i32..).zip(&mut self.told) {
            let partition = SourcePartition { topic: ALERTS.into(), partition };
            for (offset, record) in self.log.read(&partition, *told)? {
                *told = offset + 1;
                found
                    .extend(record.value.as_deref().map(|value| String::from_utf8_lossy(value).into_owned()));
            }
            self.log.truncate(&partition, *told)?;
        }
        Ok(found)
    }

    /// Finishes what is under way.
    ///
    /// # Errors
    /// If a worker fails.
    pub fn finish(&mut self) -> Result<(), EmbeddedError> {
        let stop = Stop::default();
        self.intake.finish(&stop)?;
        self.detect.turn(Duration::ZERO)?;
        Ok(self.detect.finish(&stop)?)
    }

    /// What was counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Bounds memory: the log keeps only what somebody still has to read.
    fn forget_what_is_read(&self) -> Result<(), EmbeddedError> {
        for source in &self.sources {
            if let Some(offset) = self.log.committed("demo-intake", source) {
                self.log.truncate(source, offset)?;
            }
        }
        for partition in 0..i32::from(JOURNAL_PARTITIONS) {
            let journal = SourcePartition { topic: JOURNAL.into(), partition };
            if let Some(offset) = self.log.committed("demo-detect", &journal) {
                self.log.truncate(&journal, offset)?;
            }
        }
        Ok(())
    }
}

fn mappings(log: &MemoryLog) -> MemoryMappings {
    let at = |topic: &str, partition| SourcePartition { topic: topic.into(), partition };
    let system = system_partition(JOURNAL_PARTITIONS);
    let journal = (0..i32::from(JOURNAL_PARTITIONS)).map(|partition| at(JOURNAL, partition)).collect();
    log.mappings(at(CHANGELOG, system), journal)
}

fn intake_settings() -> IntakeSettings {
    IntakeSettings {
        journal: JOURNAL.to_owned(),
        partitions: usize::from(JOURNAL_PARTITIONS),
        linger_ms: 10,
        frame_bytes: 32 << 10,
        letters: super::letters::LetterWriter {
            topic: DEAD_LETTERS.to_owned(),
            dialect: HeaderDialect::Streams,
            instance: APPLICATION.to_owned(),
        },
        limits: Limits::default(),
        max_skew_ms: 0,
    }
}

fn detect_settings() -> DetectSettings {
    DetectSettings {
        application_id: APPLICATION.to_owned(),
        journal: JOURNAL.to_owned(),
        engine: crate::engine::VERSION.to_owned(),
        partitions: JOURNAL_PARTITIONS,
        topics: OutputTopics {
            alerts: ALERTS.to_owned(),
            alerts_state: STATE.to_owned(),
            decisions: DECISIONS.to_owned(),
            health: HEALTH.to_owned(),
        },
        hot_bytes: HOT_BYTES,
        checkpoint_ms: 3_600_000,
        dirty_bytes: HOT_BYTES / 4,
    }
}
