//! `forewarn simulate`.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{EXIT_CODES, Outcome, not_wired};

/// Write the simulated company to a cluster or to files
///
/// The same seeded company as in the demo, with the planted truth beside it. With --out, one *.jsonl file a topic in the
/// form that `replay` reads, and truth.json. With --bootstrap-servers, records go to the topics of the contract, in JSON or
/// in Avro with a schema registry.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Simulate {
    /// Write files into this folder
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "bootstrap_servers",
        conflicts_with = "bootstrap_servers"
    )]
    out: Option<PathBuf>,
    /// Write to this cluster: `host:port`, comma-separated
    #[arg(long, value_name = "SERVERS")]
    bootstrap_servers: Option<String>,
    /// How records on the cluster are encoded
    #[arg(long, value_enum, default_value = "json")]
    format: Encoding,
    /// Base address of the schema registry, for Avro
    #[arg(long, value_name = "URL", required_if_eq("format", "avro"))]
    registry: Option<String>,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Encoding {
    Json,
    Avro,
}

impl Simulate {
    pub(super) fn run(self, _: &mut dyn Write) -> Outcome {
        let Self { out: _, bootstrap_servers: _, format: _, registry: _, accounts: _, days: _, seed: _ } =
            self;
        Err(not_wired("simulate"))
    }
}
