//! `forewarn config check|show|reference`.

use std::io::Write;

use clap::{Args, Subcommand};

use super::files::ConfigArgs;
use super::{EXIT_CODES, Outcome};
use crate::config::{Config, REFERENCE};

/// Check, show or document the configuration
///
/// The configuration is layered: defaults, the file, environment variables FOREWARN__SECTION__KEY, and flags --set. What
/// counts in the end is what `config show` prints.
#[derive(Debug, Args)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say whether the configuration is valid
    ///
    /// Tells all mistakes at once, each with file, line and column, and what to write instead. Nothing is contacted:
    /// neither brokers nor registry.
    #[command(after_help = EXIT_CODES)]
    Check(ConfigArgs),
    /// Print the configuration that counts
    ///
    /// All layers merged, with every default. Secrets are hidden, references such as ${env:NAME} stay as they are
    /// written; so the output is itself a configuration file, but for literal secrets.
    #[command(after_help = EXIT_CODES)]
    Show(ConfigArgs),
    /// Print every option with its meaning and default
    ///
    /// The output is a configuration file in which three keys are still to be filled: application_id,
    /// kafka.bootstrap_servers and sources.
    #[command(after_help = EXIT_CODES)]
    Reference,
}

impl ConfigCommand {
    pub(super) fn run(self, out: &mut dyn Write) -> Outcome {
        match self.command {
            What::Check(args) => {
                let config = args.load()?;
                let (file, id, sources) =
                    (args.config.display(), config.application_id, config.sources.len());
                writeln!(out, "{file}: valid; application {id}, {sources} sources")?;
            }
            What::Show(args) => out.write_all(args.read(Config::show)?.as_bytes())?,
            What::Reference => out.write_all(REFERENCE.as_bytes())?,
        }
        Ok(())
    }
}
