//! `forewarn health`.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::files::ConfigArgs;
use super::{EXIT_CODES, Failure, Outcome};
use crate::runtime::http::ask_ready;

/// Ask the running process whether it is ready
///
/// Reads /readyz at the configured `http.listen` address and prints its answer: ready, or which worker is not and why.
/// Exits with 1 if it is not ready or can not be reached. Made for container health checks, since the image holds no shell and no curl.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct HealthCommand {
    #[command(flatten)]
    config: ConfigArgs,
    /// Longest wait for the answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    timeout: u64,
}

impl HealthCommand {
    pub(super) fn run(self, out: &mut dyn Write) -> Outcome {
        let address = reachable(self.config.load()?.http.listen);
        let (ready, body) = ask_ready(address, Duration::from_secs(self.timeout.max(1)))
            .with_context(|| format!("no process answers at http://{address}/readyz"))?;
        writeln!(out, "{body}")?;
        if ready { Ok(()) } else { Err(Failure::Negative) }
    }
}

/// Where to ask a process that listens here: on all interfaces means also on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
