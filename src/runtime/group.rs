//! Threads of workers: each has one life after another until it is told to stop, or fails in a way that no new life heals.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{error, info, warn};

use super::clock::Clock;
use super::http::{Pulse, Unready};
use super::worker::{Stop, WorkerError};
use crate::event::Timestamp;

/// First and longest pause before a new life.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// A life of this length, ms, shows that the trouble is over.
const HEALTHY_MS: i64 = 60_000;
/// Between two looks whether to stop.
const STEP: Duration = Duration::from_millis(100);

/// What a thread of workers needs beside the workers.
#[derive(Clone)]
pub struct Lives {
    /// The order to stop.
    pub stop: Arc<Stop>,
    /// The time.
    pub clock: Arc<dyn Clock + Send + Sync>,
    /// What the probes are told.
    pub pulse: Arc<Pulse>,
}

impl Lives {
    /// Lives one life after another. `life` makes a worker and runs it until told to stop. Between two lives nothing is under
    /// way: an order to stop that comes then is obeyed in order.
    ///
    /// # Errors
    /// The failure that no new life would heal, or that came while stopping.
    pub fn run(&self, life: &mut dyn FnMut(&Stop) -> Result<(), WorkerError>) -> Result<(), WorkerError> {
        let mut pause = PAUSE.0;
        loop {
            let began = self.clock.now();
            let Err(failure) = life(&self.stop) else {
                self.pulse.set(Unready::Draining, true);
                return Ok(());
            };
            if !failure.heals() || self.stop.is_set() {
                self.pulse.set(Unready::Failed, true);
                return Err(failure);
            }
            if self.clock.now().since(began) > HEALTHY_MS {
                pause = PAUSE.0;
            }
            warn!(%failure, ?pause, "the worker begins anew");
            self.pulse.set(Unready::Starting, true);
            if !self.wait(pause) {
                self.pulse.set(Unready::Draining, true);
                return Ok(());
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Waits, showing that we are alive; false if told to stop meanwhile.
    fn wait(&self, time: Duration) -> bool {
        let until = self.clock.now().plus(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let left = |now: Timestamp| Duration::from_millis(until.since(now).max(0).unsigned_abs());
        loop {
            let now = self.clock.now();
            self.pulse.beat(now);
            if self.stop.is_set() {
                return false;
            }
            if now >= until {
                return true;
            }
            self.clock.pause(left(now).min(STEP));
        }
    }

    /// The same on a thread of its own. A failure that ends it ends the other workers in order, too.
    ///
    /// # Errors
    /// If the thread can't be started.
    pub fn spawn(
        self,
        name: String,
        mut life: impl FnMut(&Stop) -> Result<(), WorkerError> + Send + 'static,
    ) -> std::io::Result<JoinHandle<Result<(), WorkerError>>> {
        std::thread::Builder::new().name(name.clone()).spawn(move || {
            let end = self.run(&mut life);
            match &end {
                Ok(()) => info!(worker = name, "ended in order"),
                Err(failure) => error!(worker = name, %failure, "gave up"),
            }
            self.stop.drain();
            end
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::VirtualClock;
    use crate::runtime::http::Health;
    use crate::runtime::source::SourceError;

    fn lives() -> (Lives, Arc<VirtualClock>) {
        let clock = Arc::new(VirtualClock::new(Timestamp(0)));
        let pulse = Health::default().worker("w", Timestamp(0));
        (Lives { stop: Arc::default(), clock: clock.clone(), pulse }, clock)
    }

    fn away() -> WorkerError {
        SourceError("the broker is away".to_owned()).into()
    }

    #[test]
    fn a_worker_begins_anew_with_growing_pauses() {
        let (lives, clock) = lives();
        let mut born = Vec::new();
        let end = lives.run(&mut |_| {
            born.push(clock.now().0);
            if born.len() < 5 { Err(away()) } else { Ok(()) }
        });
        assert!(end.is_ok());
        assert_eq!(born, [0, 100, 300, 700, 1500]);
    }

    #[test]
    fn what_does_not_heal_ends_it() {
        let (lives, _) = lives();
        let mut births = 0;
        let end = lives.run(&mut |_| {
            births += 1;
            Err(WorkerError::Store(crate::engine::store::StoreError::Corrupt("x".to_owned())))
        });
        assert!(matches!(end, Err(WorkerError::Store(_))));
        assert_eq!(births, 1);
    }

    #[test]
    fn a_failure_while_stopping_is_told() {
        let (lives, _) = lives();
        let end = lives.run(&mut |stop| {
            stop.drain();
            Err(away())
        });
        assert!(matches!(end, Err(WorkerError::Source(_))));
    }

    /// A clock in whose first pause the order to stop comes.
    struct Interrupted(Arc<Stop>);

    impl Clock for Interrupted {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }

        fn pause(&self, _: Duration) {
            self.0.drain();
        }
    }

    #[test]
    fn an_order_to_stop_between_two_lives_is_obeyed_in_order() {
        let (mut lives, _) = lives();
        lives.clock = Arc::new(Interrupted(Arc::clone(&lives.stop)));
        let mut births = 0;
        let end = lives.run(&mut |_| {
            births += 1;
            Err(away())
        });
        assert!(end.is_ok());
        assert_eq!(births, 1);
    }
}
