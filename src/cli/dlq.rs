//! `forewarn dlq list`, `forewarn dlq replay`.

use std::io::Write;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::files::ConfigArgs;
use super::{EXIT_CODES, Failure, Outcome};
use crate::event::Timestamp;
use crate::runtime::kafka::{Again, Connection, LetterLine, PlainSink, newest_letters, send_again};
use crate::runtime::system::settle;

/// Look at the dead letters, and send them again
///
/// Records that could not be read lie in the topic `<application_id>-dlq`, byte for byte as they came, with their
/// coordinates and the reason in headers.
#[derive(Debug, Args)]
pub(super) struct Dlq {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the newest dead letters
    ///
    /// One line a record: source topic, partition and offset, stage, reason, detail. Values are not printed, since they may
    /// hold personal data.
    #[command(after_help = EXIT_CODES)]
    List(List),
    /// Send dead letters again, once what they died of is mended
    ///
    /// Key and value are sent as they came, without the headers that their death added, to the topic that each came from:
    /// intake reads them like any other record, with the mappings and schemas of today. Which partition, the key decides.
    /// Letters stay where they are, so tell with --topic, --reason and --since which are meant: what is sent twice is a
    /// duplicate only where events have ids of their own. A letter that dies again is a new letter, whose
    /// `forewarn.errors.attempt` is one higher.
    #[command(after_help = EXIT_CODES)]
    Replay(Replay),
}

#[derive(Debug, Args)]
struct Replay {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only those of this source topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Only those with this reason, for example mapping_failed
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only those written at or after this time
    #[arg(long, value_name = "TIME", value_parser = super::replay::time)]
    since: Option<Timestamp>,
    /// Send all of them to this source topic
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// Only list what would be sent
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    config: ConfigArgs,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Only those of this source topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
}

impl Dlq {
    pub(super) fn run(self, out: &mut dyn Write) -> Outcome {
        match self.command {
            What::List(list) => list.run(out),
            What::Replay(replay) => replay.run(out),
        }
    }
}

impl List {
    fn run(self, out: &mut dyn Write) -> Outcome {
        let Self { config, limit, topic } = self;
        let config = config.load()?;
        let dead = &config.topics.dead_letters;
        let letters = newest_letters(&Connection::of(&config), dead, (limit, topic.as_deref()))
            .with_context(|| format!("{dead} can't be listed"))?;
        for letter in &letters {
            writeln!(out, "{}", line(letter))?;
        }
        if letters.is_empty() {
            writeln!(out, "there are no dead letters in {dead}")?;
        }
        Ok(())
    }
}

impl Replay {
    fn run(self, out: &mut dyn Write) -> Outcome {
        let config = self.config.load()?;
        if let Some(to) = self.to.as_deref().filter(|to| config.sources.iter().all(|own| own.topic != **to)) {
            return Err(Failure::Invalid(format!("`{to}` is no source\n  hint: name a topic of `sources`")));
        }
        let connection = Connection::of(&config);
        let again = Again {
            topic: self.topic.as_deref(),
            reason: self.reason.as_deref(),
            since: self.since,
            to: self.to.as_deref(),
        };
        let (mut sent, mut lost, mut told) = (0_u64, 0_u64, Ok(()));
        let mut tell = |letter: &LetterLine, to: Option<&str>| {
            *(if to.is_some() { &mut sent } else { &mut lost }) += 1;
            if told.is_ok() {
                told = writeln!(out, "{}  -> {}", line(letter), to.unwrap_or("nowhere: it names no topic"));
            }
        };
        let mut sink = if self.dry_run {
            None
        } else {
            Some(PlainSink::open(&connection, "dlq").context("no producer")?)
        };
        let dead = &config.topics.dead_letters;
        send_again(&connection, dead, &again, (sink.as_mut(), &mut tell))
            .with_context(|| format!("{dead} can't be sent again"))?;
        told?;
        if let Some(sink) = &mut sink {
            settle(sink).context("the last letters were not taken")?;
        }
        let verb = if self.dry_run { "would be sent" } else { "sent" };
        writeln!(out, "{sent} letters {verb}, {lost} do not say where they came from")?;
        Ok(())
    }
}

/// A letter in one line.
fn line(letter: &LetterLine) -> String {
    let LetterLine { time, topic, position, stage, reason, detail, .. } = letter;
    let detail = detail.replace('\n', " ");
    format!("{time}  {topic}/{position}  {stage} {reason}  {detail}")
}
