//! `forewarn dlq list`.

use std::io::Write;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::files::ConfigArgs;
use super::{EXIT_CODES, Outcome};
use crate::runtime::kafka::{Connection, LetterLine, newest_letters};

/// Look at the dead letters
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
        let What::List(List { config, limit, topic }) = self.command;
        let config = config.load()?;
        let dead = &config.topics.dead_letters;
        let letters = newest_letters(&Connection::of(&config), dead, (limit, topic.as_deref()))
            .with_context(|| format!("{dead} can't be listed"))?;
        for letter in &letters {
            let LetterLine { time, topic, position, stage, reason, detail, .. } = letter;
            let detail = detail.replace('\n', " ");
            writeln!(out, "{time}  {topic}/{position}  {stage} {reason}  {detail}")?;
        }
        if letters.is_empty() {
            writeln!(out, "there are no dead letters in {dead}")?;
        }
        Ok(())
    }
}
