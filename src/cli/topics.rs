//! `forewarn topics create|list`.

use std::io::Write;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::files::ConfigArgs;
use super::{EXIT_CODES, Failure, Outcome};
use crate::config::Config;
use crate::runtime::kafka::Connection;
use crate::runtime::kafka::admin::{Admin, TopicPlan, plans};

/// Create or list the topics of ours
///
/// Those are the journal, the changelog, the dead letters, the alerts with their state, and the decisions. Source topics
/// are the user's and never touched, unless `create --sources` is told to make them for a trial.
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
    /// state are compacted. A topic that exists is left as it is; `list` tells what is wrong with it.
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
    /// Copies of every partition; -1: the cluster's default
    #[arg(long, value_name = "N", default_value_t = -1, allow_hyphen_values = true)]
    replication_factor: i32,
    /// Also create the source topics of the configuration, for a trial
    #[arg(long)]
    sources: bool,
}

/// Partitions of source topics that are made for a trial.
const TRIAL_PARTITIONS: i32 = 4;

impl Topics {
    pub(super) fn run(self, out: &mut dyn Write) -> Outcome {
        match self.command {
            What::Create(create) => create.run(out),
            What::List(args) => list(&args.load()?, out),
        }
    }
}

fn admin(config: &Config) -> Result<Admin, Failure> {
    Ok(Admin::open(&Connection::of(config)).context("no admin client")?)
}

impl Create {
    fn run(self, out: &mut dyn Write) -> Outcome {
        let config = self.config.load()?;
        let mut wanted = plans(&config.topics, config.journal.partitions);
        if self.sources {
            wanted.extend(config.sources.iter().map(|source| TopicPlan {
                name: source.topic.clone(),
                partitions: TRIAL_PARTITIONS,
                config: Vec::new(),
            }));
        }
        let made =
            admin(&config)?.create(&wanted, self.replication_factor).context("topics were not made")?;
        for topic in &wanted {
            let what = if made.contains(&topic.name) { "created" } else { "exists" };
            writeln!(out, "{what:8} {}", topic.name)?;
        }
        Ok(())
    }
}

fn list(config: &Config, out: &mut dyn Write) -> Outcome {
    let wanted = plans(&config.topics, config.journal.partitions);
    let states = admin(config)?.describe(&wanted).context("topics could not be looked at")?;
    let mut good = true;
    for plan in &wanted {
        let Some(state) = states.iter().find(|state| state.name == plan.name) else {
            good = false;
            writeln!(out, "missing  {}", plan.name)?;
            continue;
        };
        good &= state.deviations.is_empty();
        let verdict = if state.deviations.is_empty() { "ok" } else { "wrong" };
        writeln!(out, "{verdict:8} {} ({} partitions)", state.name, state.partitions)?;
        for (name, found, planned) in &state.deviations {
            writeln!(out, "         {name} is {found}, it should be {planned}")?;
        }
    }
    if good { Ok(()) } else { Err(Failure::Negative) }
}
