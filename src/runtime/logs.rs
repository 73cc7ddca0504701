//! Logs: for people on a terminal, as JSON lines in containers.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Logs can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level or filter is malformed.
    #[error(
        "`{filter}` is no log filter: {reason}\n  hint: write a level such as `info`, or `info,forewarn::runtime=debug`"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody else set them up before.
    #[error("logs are set up twice")]
    Twice,
}

/// Sends the logs of the process to standard error; `filter` is a level or a list of `target=level`.
///
/// # Errors
/// If the filter is malformed or logs are set up already.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| LogError::Filter { filter: filter.to_owned(), reason: error.to_string() })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    if json { logs.json().flatten_event(true).try_init() } else { logs.try_init() }
        .map_err(|_| LogError::Twice)
}
