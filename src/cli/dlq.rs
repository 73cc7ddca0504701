//! `forewarn dlq list`.

use std::io::Write;

use clap::{Args, Subcommand};

use super::files::ConfigArgs;
use super::{EXIT_CODES, Outcome, not_wired};

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
    pub(super) fn run(self, _: &mut dyn Write) -> Outcome {
        let What::List(List { config, limit: _, topic: _ }) = self.command;
        config.load()?;
        Err(not_wired("dlq list"))
    }
}
