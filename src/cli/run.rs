//! `forewarn run`.

use std::io::Write;

use clap::Args;

use super::files::ConfigArgs;
use super::{EXIT_CODES, Failure, Outcome};
use crate::runtime::{logs, process};

/// Run intake and detect on Kafka
///
/// The production process. `roles` says whether it reads sources (intake), judges accounts (detect) or both, `threads` how
/// many of each; more processes with the same application_id share the work. What the rules are is journaled by
/// `forewarn apply`, so no process needs the files.
///
/// SIGTERM drains in order: stop reading, finish what is in flight, commit, write a checkpoint, leave. A second SIGTERM
/// aborts. Metrics and probes are at `http.listen`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    /// Create missing topics of ours first, as `topics create` does
    #[arg(long)]
    create_topics: bool,
}

impl Run {
    pub(super) fn run(self, _: &mut dyn Write) -> Outcome {
        let config = self.config.load()?;
        logs::init(config.logs.format, &config.logs.level)
            .map_err(|error| Failure::Invalid(error.to_string()))?;
        process::run(config, self.create_topics).map_err(|error| Failure::Failed(error.into()))
    }
}
