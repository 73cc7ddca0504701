//! The command line: one file a command. Commands parse, call a room and print; what they do lives elsewhere.

mod apply;
mod completions;
mod config;
mod demo;
mod dlq;
mod files;
mod health;
mod replay;
mod rules;
mod run;
mod simulate;
mod topics;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::document::Mistakes;

/// Ends every `--help`.
const EXIT_CODES: &str =
    "Exit codes: 0 ok, 1 failed, 2 usage or invalid configuration, rules, mappings or input.";

/// What was asked for.
#[derive(Debug, Parser)]
#[command(name = "forewarn", version, about, long_about = ABOUT, after_help = EXIT_CODES, propagate_version = true)]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const ABOUT: &str = "\
Reads what a company's product, error logs, billing and help desk say about each customer account on Kafka, and raises a \
risk alert with its evidence before the customer complains.

Begin with `forewarn demo`: it needs no Kafka. Then `forewarn config reference > forewarn.yaml`, `forewarn rules check`, \
`forewarn topics create`, `forewarn apply` and `forewarn run`.";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Run(run::Run),
    Apply(apply::Apply),
    Simulate(simulate::Simulate),
    Replay(replay::Replay),
    Rules(rules::Rules),
    Config(config::ConfigCommand),
    Topics(topics::Topics),
    Health(health::HealthCommand),
    Dlq(dlq::Dlq),
    Completions(completions::Completions),
}

/// Why a command ends badly.
#[derive(Debug)]
pub enum Failure {
    /// What it was given is invalid: exit code 2.
    Invalid(String),
    /// It was tried and failed: exit code 1.
    Failed(anyhow::Error),
    /// It ran, and its answer is no; everything is said already: exit code 1.
    Negative,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        Self::Invalid(mistakes.to_string())
    }
}

/// How a command ends.
type Outcome = Result<(), Failure>;

/// Parses the arguments of the process, runs the command and gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr());
    let ended = cli.command.run(&mut out);
    // A closed pipe behind us is nobody's failure.
    let _ = out.flush();
    let (code, text) = match ended {
        Ok(()) | Err(Failure::Failed(_)) if is_closed_pipe(&ended) => (0, None),
        Ok(()) => (0, None),
        Err(Failure::Negative) => (1, None),
        Err(Failure::Invalid(text)) => (2, Some(text)),
        Err(Failure::Failed(error)) => (1, Some(format!("{error:#}"))),
    };
    if let Some(text) = text {
        // With standard error gone there is nobody to tell.
        let _ = writeln!(err, "{}", text.trim_end());
    }
    ExitCode::from(code)
}

fn is_closed_pipe(ended: &Outcome) -> bool {
    let Err(Failure::Failed(error)) = ended else { return false };
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

impl Command {
    fn run(self, out: &mut dyn Write) -> Outcome {
        match self {
            Self::Demo(command) => command.run(out),
            Self::Run(command) => command.run(out),
            Self::Apply(command) => command.run(out),
            Self::Simulate(command) => command.run(out),
            Self::Replay(command) => command.run(out),
            Self::Rules(command) => command.run(out),
            Self::Config(command) => command.run(out),
            Self::Topics(command) => command.run(out),
            Self::Health(command) => command.run(out),
            Self::Dlq(command) => command.run(out),
            Self::Completions(command) => command.run(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::{Cli, EXIT_CODES};

    #[test]
    fn every_command_explains_itself() {
        let mut cli = Cli::command();
        cli.clone().debug_assert();
        cli.build();
        let mut seen = 0;
        let mut open: Vec<clap::Command> = cli.get_subcommands().cloned().collect();
        while let Some(mut command) = open.pop() {
            let name = command.get_name().to_owned();
            if name == "help" {
                continue;
            }
            open.extend(command.get_subcommands().cloned());
            let help = command.render_long_help().to_string();
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(help.contains(EXIT_CODES) || command.has_subcommands(), "{name} states no exit codes");
            let about = command.get_long_about().map(ToString::to_string).unwrap_or_default();
            assert!(about.len() > 80, "{name}: {about}");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{name} {} has no help", argument.get_id());
            }
            seen += 1;
        }
        assert!(seen >= 14, "{seen} commands");
    }
}
