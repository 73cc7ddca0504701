//! `forewarn topics create|list`.

use std::io::Write;

use clap::{Args, Subcommand};

use super::files::ConfigArgs;
use super::{EXIT_CODES, Outcome, not_wired};

/// Create or list the topics of ours
///
/// Those are the journal, the changelog, the dead letters, the alerts with their state, and the decisions. Source topics
/// are the user's and never touched.
#[derive(Debug, Args)]
pub(super) struct Topics {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Create the topics that are missing
    ///
    /// With the settings that correctness leans on: the journal has LogAppendTime and 7 days, the changelog and the alerts'
    /// state are compacted. A topic that exists is left as it is; what is wrong with it is told.
    #[command(after_help = EXIT_CODES)]
    Create(Create),
    /// List the topics and what is wrong with them
    ///
    /// One line a topic: partitions, settings, and whether they are what this build needs. Ends with 1 if something is
    /// missing or wrong.
    #[command(after_help = EXIT_CODES)]
    List(ConfigArgs),
}

#[derive(Debug, Args)]
struct Create {
    #[command(flatten)]
    config: ConfigArgs,
    /// Copies of every partition
    #[arg(long, value_name = "N", default_value_t = 3)]
    replication_factor: i32,
}

impl Topics {
    pub(super) fn run(self, _: &mut dyn Write) -> Outcome {
        match self.command {
            What::Create(create) => {
                create.config.load()?;
                let _ = create.replication_factor;
                Err(not_wired("topics create"))
            }
            What::List(args) => {
                args.load()?;
                Err(not_wired("topics list"))
            }
        }
    }
}
