//! `forewarn completions`.

use std::io::Write;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, EXIT_CODES, Outcome};

/// Print the completions of a shell
///
/// For bash: `forewarn completions bash > /etc/bash_completion.d/forewarn`. For zsh, put the output into a file
/// `_forewarn` in a folder of $fpath; for fish into ~/.config/fish/completions/forewarn.fish.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, out: &mut dyn Write) -> Outcome {
        // The generator panics on a closed pipe, so it writes to memory first.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "forewarn", &mut script);
        Ok(out.write_all(&script)?)
    }
}
