//! Signals: the first drains, the second aborts, and what takes too long is ended.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{error, info};

use super::deaths::Deaths;
use super::http::Health;
use super::worker::Stop;

/// Exit code of a process that did not end in order.
const FAILED: i32 = 1;
/// How long an abort may take, as calls of the Kafka client can't be interrupted.
const ABORT: Duration = Duration::from_secs(2);

/// Obeys SIGTERM and SIGINT from now on: the workers finish what they have taken in within `deadline`.
///
/// # Errors
/// If the system does not allow it.
pub fn obey_signals(stop: Arc<Stop>, health: Arc<Health>, deadline: Duration) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if stop.is_set() {
                info!(signal, "ending at once");
                stop.abort();
                exit_after(ABORT);
            } else {
                info!(signal, "draining");
                health.draining();
                stop.drain();
                exit_after(deadline);
            }
        }
    })?;
    Ok(())
}

/// Ends the process if it is still there by then.
#[expect(clippy::disallowed_methods, reason = "a worker that hangs can only be ended from outside")]
fn exit_after(time: Duration) {
    let spawned = std::thread::Builder::new().name("deadline".to_owned()).spawn(move || {
        std::thread::sleep(time);
        error!("the workers did not end in time");
        std::process::exit(FAILED);
    });
    if spawned.is_err() {
        std::process::exit(FAILED);
    }
}

/// Makes a panic of any thread the end of the process: what a worker leaves half done must not be built on. What the engine
/// died of is noted.
#[expect(clippy::disallowed_methods, reason = "nothing may go on after a panic")]
pub fn exit_on_panic(deaths: Deaths) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        match deaths.note() {
            Ok(None) => {}
            Ok(Some(death)) => error!(offset = death.offset, times = death.times, "the engine died"),
            Err(error) => error!(%error, "what the engine died of can't be noted"),
        }
        error!("a bug: the process ends, to begin anew from what was committed");
        std::process::exit(101);
    }));
}
