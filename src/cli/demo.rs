//! `forewarn demo`.

use std::io::Write;

use clap::Args;

use super::{EXIT_CODES, Outcome, not_wired};

/// Show the whole program at work, without Kafka
///
/// A simulated company with planted incidents runs through intake, journal and detect in this one process: an in-memory
/// log in place of Kafka, rows on disk in a temporary folder, virtual time as fast as the machine allows. Alerts are
/// printed as they open; at the end stands a table of planted incidents found and missed, false alerts, and time to
/// detect. Ctrl-C ends it cleanly.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Demo {
    /// Customer accounts of the company
    #[arg(long, value_name = "N", default_value_t = 200)]
    accounts: usize,
    /// Simulated days
    #[arg(long, value_name = "N", default_value_t = 120)]
    days: u32,
    /// Another company
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
}

impl Demo {
    pub(super) fn run(self, _: &mut dyn Write) -> Outcome {
        let Self { accounts: _, days: _, seed: _ } = self;
        Err(not_wired("demo"))
    }
}
