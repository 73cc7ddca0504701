//! `forewarn apply`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::files::{ConfigArgs, documents, mappings, rule_set};
use super::{EXIT_CODES, Outcome, not_wired};
use crate::rules::Options;

/// Make rules and mappings the ones that run
///
/// Checks them like `rules check`, then writes them into the journal, so that every process switches at the same record and
/// a replay switches there too. Nothing else changes what runs. If anything is wrong, nothing is written and the old set
/// stays.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Apply {
    #[command(flatten)]
    config: ConfigArgs,
    /// The rule set: a folder, or a file
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Mappings of topics that do not have the canonical form
    #[arg(long, value_name = "DIR")]
    mappings: Option<PathBuf>,
    /// Check only; write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Apply {
    pub(super) fn run(self, out: &mut dyn Write) -> Outcome {
        self.config.load()?;
        if let Some(path) = &self.rules {
            let loaded = rule_set(path, Options::default())?;
            let (files, rules) = (documents(path)?.len(), loaded.program.rules.len());
            writeln!(
                out,
                "{}: {files} files, {rules} rules, rule set {}",
                path.display(),
                loaded.program.rule_set
            )?;
        }
        let mappings = mappings(self.mappings.as_deref())?;
        writeln!(out, "{} mappings", mappings.len())?;
        if self.dry_run { Ok(()) } else { Err(not_wired("apply")) }
    }
}
