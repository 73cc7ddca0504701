//! `forewarn apply`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::files::{ConfigArgs, documents, mappings, rule_set};
use super::{EXIT_CODES, Failure, Outcome};
use crate::config::Config;
use crate::event::{Kind, SourcePartition};
use crate::journal::System;
use crate::rules::Options;
use crate::runtime::clock::{Clock as _, SystemClock};
use crate::runtime::kafka::changelog::SystemRecords;
use crate::runtime::kafka::{Connection, PlainSink};
use crate::runtime::mappings::Book;
use crate::runtime::system::{SystemTopics, publish_system, system_partition};

/// Make rules and mappings the ones that run
///
/// Checks them like `rules check`, then writes them into the journal, so that every process switches at the same record and
/// a replay switches there too. Nothing else changes what runs. If anything is wrong, nothing is written and the old set
/// stays.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Apply {
    #[command(flatten)]
    config: ConfigArgs,
    /// The rule set: a folder, or a file
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Mappings of topics that do not have the canonical form
    #[arg(long, value_name = "DIR")]
    mappings: Option<PathBuf>,
    /// A topic that is no source any more, as KIND:TOPIC; its kind's clock then no longer waits for it. First remove it from
    /// the configuration of every process
    #[arg(long, value_name = "KIND:TOPIC", value_parser = retired)]
    retire: Vec<(Kind, String)>,
    /// Check only; write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Apply {
    pub(super) fn run(self, out: &mut dyn Write) -> Outcome {
        let config = self.config.load()?;
        if self.rules.is_none() && self.mappings.is_none() && self.retire.is_empty() {
            return Err(Failure::Invalid(
                "nothing to apply\n  hint: name --rules, --mappings or --retire".to_owned(),
            ));
        }
        let generation = SystemClock.now().0;
        let mut records = Vec::new();
        if let Some(path) = &self.rules {
            let loaded = rule_set(path, Options::default())?;
            let body = body(path)?;
            let (rules, rule_set) = (loaded.program.written_rules(), loaded.program.rule_set);
            writeln!(out, "{} files, {rules} rules, rule set {rule_set}", body.len())?;
            records.push(System::Rules { generation, rule_set, body, seed: false });
        }
        if let Some(path) = &self.mappings {
            let found = mappings(Some(path))?;
            let body = body(path)?;
            let version = body_hash(&body);
            writeln!(out, "{} mappings, version {version}", found.len())?;
            records.push(System::Mapping { generation, version, body, first: Vec::new() });
        }
        for (kind, topic) in &self.retire {
            let retired = retire(&config, *kind, topic)?;
            writeln!(out, "{} partitions of {topic} are retired", retired.len())?;
            records.extend(retired);
        }
        if self.dry_run {
            return Ok(());
        }
        let mut sink = PlainSink::open(&Connection::of(&config), "apply").context("no producer")?;
        let topics = SystemTopics {
            journal: config.topics.journal.clone(),
            partitions: config.journal.partitions,
            changelog: config.topics.changelog.clone(),
        };
        for record in &records {
            publish_system(&mut sink, &topics, record).context("the journal did not take the record")?;
        }
        writeln!(out, "journaled in {} partitions of {}", topics.partitions, topics.journal)?;
        Ok(())
    }
}

fn retired(text: &str) -> Result<(Kind, String), String> {
    let (kind, topic) = text.split_once(':').ok_or("expected KIND:TOPIC")?;
    Ok((Kind::named(kind).ok_or("no such kind")?, topic.to_owned()))
}

/// What retires all partitions of a topic that were ever read.
fn retire(config: &Config, kind: Kind, topic: &str) -> Result<Vec<System>, Failure> {
    if config.sources.iter().any(|source| source.topic == topic) {
        return Err(Failure::Invalid(format!(
            "`{topic}` is still a source\n  hint: remove it from the configuration of every process, restart them, then retire it"
        )));
    }
    let place = SourcePartition {
        topic: config.topics.changelog.as_str().into(),
        partition: system_partition(config.journal.partitions),
    };
    let mut book = Book::default();
    let records = SystemRecords::open(&Connection::of(config), place, config.topics.journal.clone())
        .and_then(|mut records| records.read())
        .context("the changelog can't be read")?;
    for record in &records {
        // Mappings that this build can't use do not matter here.
        let _ = book.take(record);
    }
    let of = |source: &SourcePartition| System::SourceRetired { source: source.clone(), kind };
    let retired: Vec<System> = book.partitions(topic).map(of).collect();
    if retired.is_empty() {
        return Err(Failure::Invalid(format!("`{topic}` was never read")));
    }
    Ok(retired)
}

/// Names and texts of a folder's documents as the journal carries them: no path of this machine.
fn body(path: &Path) -> Result<Vec<(Box<str>, Box<str>)>, Failure> {
    let files = documents(path)?;
    let name = |file: &str| file.rsplit('/').next().unwrap_or(file).into();
    Ok(files.iter().map(|(file, text)| (name(file), text.as_str().into())).collect())
}

/// Hash of a body, for its version.
fn body_hash(body: &[(Box<str>, Box<str>)]) -> Box<str> {
    let joined: Vec<&str> = body.iter().flat_map(|(name, text)| [&**name, "\0", &**text, "\0"]).collect();
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(joined.concat().as_bytes())).into()
}
