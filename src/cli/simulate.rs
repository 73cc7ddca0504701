//! `forewarn simulate`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::{EXIT_CODES, Failure, Outcome};
use crate::event::record::{Record, SourceWriter, source_schema, to_json};
use crate::event::{Kind, Timestamp, Value};
use crate::replay::topic_of;
use crate::runtime::clock::{Clock as _, SystemClock};
use crate::runtime::kafka::{Connection, PlainSink};
use crate::runtime::registry::{Location, Registry};
use crate::runtime::sink::{Outgoing, Sink as _};
use crate::simulate::{Company, Generated, Planted, Truth};

/// Where a company in files begins: a Monday.
const START: &str = "2026-01-05T00:00:00Z";
const DAY_MS: i64 = 86_400_000;
/// Acknowledgements are collected after so many records.
const BATCH: u64 = 10_000;
/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Write the simulated company to a cluster or to files
///
/// The same seeded company as in the demo, with the planted truth beside it. With --out, one *.jsonl file a topic in the
/// form that `replay` reads, and truth.json. With --bootstrap-servers, records go to the topics of the contract, in JSON or
/// in Avro with a schema registry.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Simulate {
    /// Write files into this folder
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "bootstrap_servers",
        conflicts_with = "bootstrap_servers"
    )]
    out: Option<PathBuf>,
    /// Write to this cluster: `host:port`, comma-separated
    #[arg(long, value_name = "SERVERS")]
    bootstrap_servers: Option<String>,
    /// How records on the cluster are encoded
    #[arg(long, value_enum, default_value = "json")]
    format: Encoding,
    /// Base address of the schema registry, for Avro
    #[arg(long, value_name = "URL", required_if_eq("format", "avro"))]
    registry: Option<String>,
    /// Put before the names of the topics on the cluster
    #[arg(long, value_name = "PREFIX", default_value = "", conflicts_with = "out")]
    topic_prefix: String,
    /// Customer accounts of the company
    #[arg(long, value_name = "N", default_value_t = 200)]
    accounts: usize,
    /// Simulated days
    #[arg(long, value_name = "N", default_value_t = 120)]
    days: u32,
    /// The first day; default: 2026-01-05 in files, on a cluster such that the last day is yesterday
    #[arg(long, value_name = "TIME", value_parser = super::replay::time)]
    start: Option<Timestamp>,
    /// Where the planted truth goes; default: truth.json in --out, else in this folder
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Another company
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Encoding {
    Json,
    Avro,
}

impl Simulate {
    pub(super) fn run(self, out: &mut dyn Write) -> Outcome {
        let span = i64::from(self.days) * DAY_MS;
        let start = match (self.start, &self.out) {
            (Some(start), _) => start,
            (None, Some(_)) => Timestamp::parse(START).context("the simulator's own start")?,
            // The company's last day ends today, so nothing it says lies in the future.
            (None, None) => SystemClock.now().plus(-span - DAY_MS),
        };
        let company = Company::new(self.seed, self.accounts, start, self.days);
        let truth = company.truth().to_vec();
        let records = match (&self.out, &self.bootstrap_servers) {
            (Some(folder), _) => to_files(company, folder)?,
            (None, Some(servers)) => self.to_cluster(company, servers)?,
            (None, None) => 0,
        };
        let folder = self.out.clone().unwrap_or_default();
        let file = self.truth.clone().unwrap_or_else(|| folder.join("truth.json"));
        std::fs::write(&file, truth_json(&truth))
            .with_context(|| format!("can't write {}", file.display()))?;
        writeln!(out, "{records} records; {} planted, told in {}", truth.len(), file.display())?;
        Ok(())
    }

    /// Writes the records to their topics and waits until the cluster has them.
    fn to_cluster(&self, company: Company<'_>, servers: &str) -> Result<u64, Failure> {
        let connection = Connection::new(servers, "forewarn-simulate", "0");
        let mut sink = PlainSink::open(&connection, "simulate").context("no producer")?;
        let writers = self.writers()?;
        let (mut records, mut tokens) = (0, Vec::new());
        for record in company {
            let writer = writers.iter().find(|(topic, _)| *topic == record.topic).map(|(_, writer)| writer);
            let value = match writer {
                Some(writer) => writer.write(&record.value).context("a record does not fit its schema")?,
                None => to_json(&record.value).into_bytes(),
            };
            let topic = format!("{}{}", self.topic_prefix, record.topic);
            let outgoing = Outgoing {
                topic: &topic,
                partition: None,
                key: Some(record.key.as_bytes()),
                value: Some(&value),
                headers: &[],
                token: records,
            };
            sink.send(outgoing).context("the cluster did not take a record")?;
            records += 1;
            if records % BATCH == 0 {
                sink.acknowledged(Duration::ZERO, &mut tokens).context("the cluster lost a record")?;
                tokens.clear();
            }
        }
        while sink.in_flight() > 0 {
            sink.acknowledged(PATIENCE, &mut tokens).context("the cluster lost a record")?;
            tokens.clear();
        }
        Ok(records)
    }

    /// With Avro, a writer a topic, its schema registered.
    fn writers(&self) -> Result<Vec<(&'static str, SourceWriter)>, Failure> {
        let (Encoding::Avro, Some(url)) = (self.format, &self.registry) else { return Ok(Vec::new()) };
        let mut registry = Registry::new(Location::Url { url: url.clone(), login: None, timeout: PATIENCE });
        let mut writers = Vec::new();
        for kind in Kind::SOURCES {
            let topic = topic_of(kind);
            let id = registry
                .register(&format!("{}{topic}-value", self.topic_prefix), source_schema(kind))
                .with_context(|| format!("the schema of {topic} was not registered"))?;
            writers.push((topic, SourceWriter::new(kind, id).context("a schema can't be used")?));
        }
        Ok(writers)
    }
}

/// Writes one file a topic, each line as `replay` reads it.
fn to_files(company: Company<'_>, folder: &Path) -> Result<u64, Failure> {
    std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    let mut files: BTreeMap<&str, BufWriter<File>> = BTreeMap::new();
    let mut records = 0;
    for Generated { topic, key, time, value } in company {
        let file = match files.entry(topic) {
            Entry::Occupied(file) => file.into_mut(),
            Entry::Vacant(place) => {
                let path = folder.join(format!("{topic}.jsonl"));
                let file = File::create(&path).with_context(|| format!("can't write {}", path.display()))?;
                place.insert(BufWriter::new(file))
            }
        };
        let line = Record::new()
            .text("topic", topic)
            .int("timestamp", time.0)
            .text("key", key.as_str())
            .with("value", value)
            .build();
        writeln!(file, "{}", to_json(&line))?;
        records += 1;
    }
    files.values_mut().try_for_each(Write::flush)?;
    Ok(records)
}

/// What was planted, as a JSON list.
fn truth_json(truth: &[Planted]) -> String {
    let rows = truth.iter().map(|planted| {
        let kind = if planted.kind == Truth::Incident { "incident" } else { "lookalike" };
        Record::new()
            .text("rule", &*planted.rule)
            .text("entity", &*planted.entity)
            .text("kind", kind)
            .with("onset", Value::Time(planted.onset))
            .with("from", Value::Time(planted.from))
            .with("until", Value::Time(planted.until))
            .build()
    });
    let lines: Vec<String> = rows.map(|row| to_json(&row)).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}
