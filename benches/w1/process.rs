//! The program under test as a child process, and what the kernel says it used.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A running `forewarn run`; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system time, seconds.
    pub cpu_seconds: f64,
    /// Peak resident memory, MiB.
    pub peak_mib: u64,
}

impl Running {
    /// Starts the program with this configuration; its log goes to `log`.
    pub fn start(config: &Path, log: &Path) -> Result<Self> {
        let log = File::create(log)?;
        let child = Command::new(env!("CARGO_BIN_EXE_forewarn"))
            .arg("run")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("could not start forewarn")?;
        Ok(Self { child })
    }

    /// What it has used so far; an error if it has ended.
    pub fn usage(&mut self) -> Result<Usage> {
        if let Some(status) = self.child.try_wait()? {
            bail!("forewarn ended early: {status}");
        }
        usage_of(&self.child.id().to_string())
    }

    /// Asks it to stop and waits.
    pub fn stop(mut self) -> Result<()> {
        Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("forewarn did not end cleanly: {status}");
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the process with this id (or `self`) has used so far.
pub fn usage_of(pid: &str) -> Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit(") ").next().context("no process state")?;
    let ticks: Vec<u64> = after_name.split(' ').skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("no peak memory")?;
    #[expect(clippy::cast_precision_loss, reason = "clock ticks of one process")]
    let cpu_seconds = ticks.iter().sum::<u64>() as f64 / 100.0;
    Ok(Usage { cpu_seconds, peak_mib: peak.parse::<u64>()? / 1024 })
}

/// Asks `done` every 20 ms until it says yes.
pub fn until(limit: Duration, what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    while !done()? {
        if start.elapsed() > limit {
            bail!("{what} took longer than {limit:?}");
        }
        // Times out by design: nobody sends.
        never.recv_timeout(Duration::from_millis(20)).unwrap_or(());
    }
    Ok(())
}
