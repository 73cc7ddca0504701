//! `forewarn replay`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;

use super::files::{list, mappings, rule_set};
use super::{EXIT_CODES, Failure, Outcome};
use crate::engine::effects::Effects;
use crate::event::Timestamp;
use crate::event::record::to_json;
use crate::intake::text::Scorer;
use crate::replay::{Dead, Harness, Line, sources};
use crate::rules::Options;
use crate::runtime::memory_store::MemoryStore;

/// Run the engine over files, without Kafka
///
/// Reads JSON Lines such as {"topic":"usage","partition":0,"offset":17,"timestamp":1767571200000,"value":{...}}; partition,
/// offset, timestamp and key may be left out (partition 0, running offsets, event time), value may be null. Topics are named
/// usage, error-log, billing, ticket, account-profile, risk.outcomes, risk.control, or as a mapping says. The lines of a
/// folder's *.jsonl files are merged by timestamp.
///
/// The rules are active from before the first line and obey their status. Journal time is the highest timestamp so far,
/// ticks come each whole second, lateness is 10 minutes. The same input gives the same output, byte for byte: a support
/// case becomes a test.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Replay {
    /// The rule set: a folder, or a file
    #[arg(long, value_name = "DIR")]
    rules: PathBuf,
    /// Mappings of topics that do not have the canonical form
    #[arg(long, value_name = "DIR")]
    mappings: Option<PathBuf>,
    /// The lines: a file, or a folder of *.jsonl files
    #[arg(long, value_name = "FILE|DIR")]
    input: PathBuf,
    /// Where the alerts' `data` goes, one JSON object a line
    #[arg(long, value_name = "FILE")]
    alerts: PathBuf,
    /// Where the decisions go, one JSON object a line
    #[arg(long, value_name = "FILE")]
    decisions: PathBuf,
    /// Where bad records are listed, one JSON object a line; they are counted on standard error in any case
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// Let the clock run on to this time, such as 2026-02-01T00:00:00Z; default: the last line
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
}

/// A time as an argument.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|error| error.to_string())
}

/// The lines of an input, merged by timestamp; of equal time, by the name of the file.
struct Input {
    files: Vec<Reader>,
}

struct Reader {
    path: PathBuf,
    lines: std::io::Lines<BufReader<File>>,
    number: u64,
    next: Option<Line>,
}

impl Reader {
    fn open(path: PathBuf) -> Result<Self, Failure> {
        let file = File::open(&path)
            .map_err(|error| Failure::Invalid(format!("can't read {}: {error}", path.display())))?;
        let mut reader = Self { path, lines: BufReader::new(file).lines(), number: 0, next: None };
        reader.advance()?;
        Ok(reader)
    }

    fn advance(&mut self) -> Outcome {
        self.next = None;
        for text in self.lines.by_ref() {
            self.number += 1;
            let (path, number) = (self.path.display(), self.number);
            let text = text.map_err(|error| Failure::Invalid(format!("{path}:{number}: {error}")))?;
            if text.trim().is_empty() {
                continue;
            }
            let line =
                Line::parse(&text).map_err(|error| Failure::Invalid(format!("{path}:{number}: {error}")))?;
            self.next = Some(line);
            break;
        }
        Ok(())
    }
}

impl Input {
    fn open(path: &Path) -> Result<Self, Failure> {
        let files: Vec<Reader> =
            list(path, &["jsonl"])?.into_iter().map(Reader::open).collect::<Result<_, _>>()?;
        if files.is_empty() {
            let path = path.display();
            return Err(Failure::Invalid(format!("there is no file in {path}\n  hint: files end in .jsonl")));
        }
        Ok(Self { files })
    }

    /// The next line and where it stands.
    fn next(&mut self) -> Result<Option<(Line, String)>, Failure> {
        let waiting = self.files.iter_mut().filter(|file| file.next.is_some());
        let Some(file) = waiting.min_by_key(|file| file.next.as_ref().map(|line| line.timestamp)) else {
            return Ok(None);
        };
        let Some(line) = file.next.take() else { return Ok(None) };
        let place = format!("{}:{}", file.path.display(), file.number);
        file.advance()?;
        Ok(Some((line, place)))
    }
}

struct Output {
    alerts: BufWriter<File>,
    decisions: BufWriter<File>,
    alert_count: u64,
}

fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    let file = File::create(path).with_context(|| format!("can't write {}", path.display()))?;
    Ok(BufWriter::new(file))
}

impl Output {
    fn write(&mut self, effects: &Effects) -> Outcome {
        self.alert_count += effects.alerts.len() as u64;
        for alert in &effects.alerts {
            writeln!(self.alerts, "{}", to_json(&alert.data))?;
        }
        for decision in &effects.decisions {
            writeln!(self.decisions, "{}", to_json(&decision.data))?;
        }
        Ok(())
    }
}

impl Replay {
    pub(super) fn run(self, out: &mut dyn Write) -> Outcome {
        let loaded = rule_set(&self.rules, Options::default())?;
        let sources = sources(&mappings(self.mappings.as_deref())?);
        let scorer = Scorer::english().context("the lexicon can't be read")?;
        let program = Arc::new(loaded.program);
        let mut harness =
            Harness::new(program, MemoryStore::new(), (sources, scorer)).context("the engine can't start")?;
        self.announce(&mut harness)?;
        let mut output =
            Output { alerts: create(&self.alerts)?, decisions: create(&self.decisions)?, alert_count: 0 };
        let mut input = Input::open(&self.input)?;
        while let Some((line, place)) = input.next()? {
            harness.line(&line).with_context(|| place)?;
            output.write(&harness.take())?;
        }
        if let Some(end) = self.until.max(harness.now()) {
            harness.run_until(end).context("the clock can't run on")?;
            output.write(&harness.take())?;
        }
        output.alerts.flush()?;
        output.decisions.flush()?;
        let report = harness.report();
        writeln!(
            out,
            "{} lines, {} events, {} filtered, {} unattributed, {} dead letters; {} revisions of alerts",
            report.lines,
            report.events,
            report.filtered,
            report.unattributed,
            report.dead.len(),
            output.alert_count
        )?;
        self.dead_letters(&report.dead)
    }

    /// Announces all partitions before the first line, as intake does on a cluster; tells bad lines before any work.
    fn announce(&self, harness: &mut Harness<MemoryStore>) -> Outcome {
        let mut seen = BTreeSet::new();
        let mut input = Input::open(&self.input)?;
        while let Some((line, place)) = input.next()? {
            if seen.insert((line.topic.clone(), line.partition)) {
                let refused = |error| Failure::Invalid(format!("{place}: {error}"));
                harness.add_partition(&line).map_err(refused)?;
            }
        }
        Ok(())
    }

    fn dead_letters(&self, dead: &[Dead]) -> Outcome {
        let mut counts = std::collections::BTreeMap::<_, u64>::new();
        for dead in dead {
            *counts.entry((&*dead.source.topic, dead.letter.reason.name())).or_default() += 1;
        }
        let mut err = std::io::stderr();
        for ((topic, reason), count) in counts {
            writeln!(err, "dead letters: {count} of {topic}: {reason}")?;
        }
        let Some(path) = &self.dead_letters else { return Ok(()) };
        let mut file = create(path)?;
        for Dead { source, offset, letter, line } in dead {
            let json = serde_json::json!({
                "line": line, "topic": &*source.topic, "partition": source.partition, "offset": offset,
                "stage": letter.stage.name(), "reason": letter.reason.name(), "detail": letter.detail,
            });
            writeln!(file, "{json}")?;
        }
        Ok(file.flush()?)
    }
}
