//! The production process: what a configuration says, put together on Kafka and RocksDB.

mod topics;

use std::path::PathBuf;
use std::sync::Arc;

use self::topics::{TOMBSTONES_MS, TopicMistakes};
use super::changelog::Changelog;
use super::clock::{Clock, SystemClock};
use super::deaths::Deaths;
use super::detect_worker::{
    DetectParts, DetectSettings, DetectWorker, OpenStore, OutputTopics, Quarantine, Sinks,
};
use super::group::Lives;
use super::http::{Health, HttpError, Server};
use super::intake_worker::{IntakeParts, IntakeSettings, IntakeWorker};
use super::kafka::admin::{Admin, AdminError, plans};
use super::kafka::changelog::{SystemRecords, read_partition};
use super::kafka::{Connection, Group, KafkaSource, PlainSink, RowsSink, TransactionalSink, read_rows};
use super::letters::LetterWriter;
use super::metrics::{Metrics, MetricsError};
use super::registry::{Location, Registry};
use super::rocks::{RocksMemory, RocksStore};
use super::shutdown::{exit_on_panic, obey_signals};
use super::sink::Sink;
use super::system::system_partition;
use super::worker::{Stop, WorkerError, spawn};
use crate::config::{Config, Delivery, Registry as RegistryConfig};
use crate::event::SourcePartition;
use crate::intake::breaker::Limits;
use crate::intake::text::{LexiconError, Scorer};
use crate::intake::{Format, Intake, SourceSettings};

/// Blocks that RocksDB keeps, and rows that it has not written to tables yet, bytes.
const ROCKS_BYTES: (usize, usize) = (64 << 20, 64 << 20);

/// The process could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Topics could not be made or looked at.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Topics are not as they must be.
    #[error(transparent)]
    Topics(#[from] TopicMistakes),
    /// The port for metrics and probes.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The lexicon.
    #[error(transparent)]
    Lexicon(#[from] LexiconError),
    /// Threads or signals.
    #[error("the system refuses: {0}")]
    System(#[from] std::io::Error),
    /// A worker gave up.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// A worker's thread ended without saying why.
    #[error("a worker's thread is gone")]
    Thread,
}

/// What all threads share.
struct Process {
    config: Arc<Config>,
    connection: Connection,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    stop: Arc<Stop>,
    clock: Arc<dyn Clock + Send + Sync>,
}

/// Runs until a signal ends it or a worker gives up.
///
/// # Errors
/// If it can't begin, or a worker gives up.
pub fn run(config: Config, create_topics: bool) -> Result<(), ProcessError> {
    exit_on_panic(Deaths::beside(&config.state.path));
    let metrics = Arc::new(Metrics::with_issues(config.metrics.max_rules, &config.metrics.issues)?);
    metrics.pipeline.reloaded(SystemClock.now(), true);
    let process = Process {
        connection: Connection { metrics: Some(Arc::clone(&metrics)), ..Connection::of(&config) },
        metrics,
        health: Arc::new(Health::default()),
        stop: Arc::default(),
        clock: Arc::new(SystemClock),
        config: Arc::new(config),
    };
    let config = &process.config;
    obey_signals(Arc::clone(&process.stop), Arc::clone(&process.health), config.shutdown)?;
    let clock = Box::new(SystemClock);
    let _server =
        Server::open(config.http.listen, Arc::clone(&process.health), Arc::clone(&process.metrics), clock)?;
    process.work(create_topics)
}

type Thread = std::thread::JoinHandle<Result<(), WorkerError>>;

impl Process {
    /// Runs the workers until all have ended.
    fn work(&self, create_topics: bool) -> Result<(), ProcessError> {
        self.check_topics(create_topics)?;
        let config = &self.config;
        let topics = &config.topics;
        for topic in [
            &topics.journal,
            &topics.dead_letters,
            &topics.alerts,
            &topics.alerts_state,
            &topics.decisions,
            &topics.health,
        ] {
            self.metrics.pipeline.announce_output(topic);
        }
        let mut threads = Vec::new();
        if config.roles.detect {
            let memory = Arc::new(RocksMemory::new(ROCKS_BYTES.0, ROCKS_BYTES.1));
            for thread in 0..config.threads.detect {
                threads.push(self.spawn_detect(thread, Arc::clone(&memory))?);
            }
        }
        if config.roles.intake {
            for thread in 0..config.threads.intake {
                threads.push(self.spawn_intake(thread)?);
            }
        }
        self.health.started();
        let mut end = Ok(());
        for thread in threads {
            let result = thread.join().map_err(|_| ProcessError::Thread).and_then(|result| Ok(result?));
            end = end.and(result);
        }
        end
    }

    /// Makes the topics of ours if told to, and checks what correctness leans on.
    fn check_topics(&self, create: bool) -> Result<(), ProcessError> {
        let admin = Admin::open(&self.connection)?;
        let plans = plans(&self.config.topics, self.config.journal.partitions);
        if create {
            admin.create(&plans, -1)?;
        }
        let states = admin.describe(&plans)?;
        Ok(topics::check(&plans, &states, (&self.config.topics, self.config.journal.partitions))?)
    }

    fn lives(&self, name: &str) -> Lives {
        Lives {
            stop: Arc::clone(&self.stop),
            clock: Arc::clone(&self.clock),
            pulse: self.health.worker(name, self.clock.now()),
        }
    }

    fn spawn_detect(&self, thread: usize, memory: Arc<RocksMemory>) -> Result<Thread, ProcessError> {
        let name = format!("detect-{thread}");
        let lives = self.lives(&name);
        let (pulse, metrics, clock) =
            (Arc::clone(&lives.pulse), Arc::clone(&self.metrics), Arc::clone(&self.clock));
        let (connection, config) = (self.connection.clone(), Arc::clone(&self.config));
        let life = move |stop: &Stop| {
            let journal = [config.topics.journal.clone()];
            let source = KafkaSource::open(&connection, Group::Detect, thread, &journal)?;
            let parts = DetectParts {
                settings: detect_settings(&config),
                open_store: open_store(
                    config.state.path.clone(),
                    u32::from(config.journal.partitions),
                    Arc::clone(&memory),
                ),
                changelog: Some(Arc::new(changelog(&connection, &config))),
                quarantine: Some(Arc::new(quarantine(&connection, &config))),
                spawn,
                clock: Arc::clone(&clock),
                metrics: Arc::clone(&metrics),
                pulse: Arc::clone(&pulse),
            };
            let forwards = Box::new(PlainSink::open(&connection, "forwards")?);
            match config.delivery {
                Delivery::ExactlyOnce => {
                    let output = TransactionalSink::open(&connection, thread, &source)?;
                    DetectWorker::new(source, Sinks { output, forwards }, parts).run(stop)
                }
                Delivery::AtLeastOnce => {
                    let output = PlainSink::open_for(&connection, "output", &source)?;
                    DetectWorker::new(source, Sinks { output, forwards }, parts).run(stop)
                }
            }
        };
        Ok(lives.spawn(name, life)?)
    }

    fn spawn_intake(&self, thread: usize) -> Result<Thread, ProcessError> {
        let name = format!("intake-{thread}");
        let lives = self.lives(&name);
        let (pulse, metrics, clock) =
            (Arc::clone(&lives.pulse), Arc::clone(&self.metrics), Arc::clone(&self.clock));
        let (connection, config) = (self.connection.clone(), Arc::clone(&self.config));
        let topics: Vec<String> = config.sources.iter().map(|source| source.topic.clone()).collect();
        // Read once, so that a lexicon that can't be used is known before the first thread begins.
        Scorer::english()?;
        let life = move |stop: &Stop| {
            let place = SourcePartition {
                topic: config.topics.changelog.as_str().into(),
                partition: system_partition(config.journal.partitions),
            };
            let mappings = SystemRecords::open(&connection, place, config.topics.journal.clone())?;
            let source = KafkaSource::open(&connection, Group::Intake, thread, &topics)?;
            let sink = PlainSink::open(&connection, "journal")?;
            let parts = IntakeParts {
                settings: intake_settings(&config),
                intake: Intake::new(source_settings(&config), Scorer::english()?),
                mappings: Box::new(mappings),
                registry: config.registry.as_ref().map(registry),
                clock: Arc::clone(&clock),
                metrics: Arc::clone(&metrics),
                pulse: Arc::clone(&pulse),
            };
            IntakeWorker::new(source, sink, parts).run(stop)
        };
        Ok(lives.spawn(name, life)?)
    }
}

/// How the changelog of a configuration is kept.
fn changelog(connection: &Connection, config: &Config) -> Changelog {
    let (writing, reading) = (connection.clone(), connection.clone());
    let topic = config.topics.changelog.clone();
    Changelog {
        topic: topic.clone(),
        interval_ms: ms(config.state.changelog),
        budget_ms: ms(config.state.recovery),
        tombstones_ms: TOMBSTONES_MS,
        open_sink: Arc::new(move |partition| {
            let sink = RowsSink::open(&writing, partition)?;
            Ok(Box::new(sink) as Box<dyn Sink + Send>)
        }),
        read: Arc::new(move |partition, newest, visit| {
            read_rows(&reading, (&topic, partition), newest, visit)
        }),
    }
}

/// What it takes to leave records out.
fn quarantine(connection: &Connection, config: &Config) -> Quarantine {
    let (writing, reading) = (connection.clone(), connection.clone());
    Quarantine {
        deaths: Deaths::beside(&config.state.path),
        read: Arc::new(move |partition, range, visit| read_partition(&reading, partition, range, visit)),
        open_sink: Arc::new(move || {
            let sink = PlainSink::open(&writing, "quarantine")?;
            Ok(Box::new(sink) as Box<dyn Sink + Send>)
        }),
        letters: letters(config),
    }
}

fn open_store(path: PathBuf, partitions: u32, memory: Arc<RocksMemory>) -> OpenStore<RocksStore> {
    Arc::new(move |partition, discard| {
        if discard {
            RocksStore::discard(&path, partition)?;
        }
        Ok(RocksStore::open(&path, partition, partitions, &memory)?)
    })
}

fn ms(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn detect_settings(config: &Config) -> DetectSettings {
    let hot_bytes = config.state.hot_bytes / config.threads.detect.max(1);
    DetectSettings {
        application_id: config.application_id.clone(),
        journal: config.topics.journal.clone(),
        engine: crate::engine::VERSION.to_owned(),
        partitions: config.journal.partitions,
        topics: OutputTopics {
            alerts: config.topics.alerts.clone(),
            alerts_state: config.topics.alerts_state.clone(),
            decisions: config.topics.decisions.clone(),
            health: config.topics.health.clone(),
        },
        hot_bytes,
        checkpoint_ms: ms(config.state.checkpoint),
        dirty_bytes: hot_bytes / 2,
    }
}

fn intake_settings(config: &Config) -> IntakeSettings {
    IntakeSettings {
        journal: config.topics.journal.clone(),
        partitions: usize::from(config.journal.partitions),
        linger_ms: ms(config.journal.linger),
        frame_bytes: config.journal.frame_bytes,
        letters: letters(config),
        limits: Limits {
            max_ratio: config.dlq.max_ratio,
            max_consecutive: config.dlq.max_consecutive,
            ..Limits::default()
        },
        max_skew_ms: ms(config.max_skew),
    }
}

/// How dead letters are written.
fn letters(config: &Config) -> LetterWriter {
    LetterWriter {
        topic: config.topics.dead_letters.clone(),
        dialect: config.dlq.headers,
        instance: config.instance.clone(),
    }
}

/// The sources as intake wants them.
fn source_settings(config: &Config) -> Vec<SourceSettings> {
    let own = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
    config
        .sources
        .iter()
        .map(|source| SourceSettings {
            format: match source.format {
                crate::config::Format::Auto => Format::Auto,
                crate::config::Format::Json => Format::Json,
                crate::config::Format::Avro => Format::Avro,
            },
            environments: own(&source.environments),
            exclude: own(&source.exclude),
            lateness_ms: ms(source.lateness),
            ..SourceSettings::new(source.topic.as_str(), source.kind)
        })
        .collect()
}

fn registry(config: &RegistryConfig) -> Registry {
    Registry::new(match config {
        RegistryConfig::Directory(folder) => Location::Directory(folder.clone()),
        RegistryConfig::Url { url, login, timeout } => Location::Url {
            url: url.clone(),
            login: login.as_ref().map(|(user, word)| (user.reveal().to_owned(), word.reveal().to_owned())),
            timeout: *timeout,
        },
    })
}

#[cfg(test)]
mod tests;
