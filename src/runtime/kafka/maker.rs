//! The thread that makes transactions, and what becomes of it when the client does not come back.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::runtime::sink::SinkError;

/// A thread of its own that makes transactions: the client's calls block for several round trips.
///
/// Some never return: while the group's coordinator is down, the client adds offsets to a transaction without heeding the
/// time-out (librdkafka's issues 5456 and 5511). Such a thread is left behind, and with it its producer, which the next one
/// of the same id fences.
pub(super) struct Maker<T> {
    orders: Option<mpsc::Sender<T>>,
    results: mpsc::Receiver<Result<(), SinkError>>,
    thread: Option<JoinHandle<()>>,
    /// When the transaction under way counts as stuck.
    stuck_at: Option<Instant>,
    patience: Duration,
}

impl<T: Send + 'static> Maker<T> {
    /// Starts the thread, which ends after a failure.
    ///
    /// # Errors
    /// If there can be no thread.
    pub(super) fn start(
        name: String,
        patience: Duration,
        mut make: impl FnMut(T) -> Result<(), SinkError> + Send + 'static,
    ) -> Result<Self, SinkError> {
        let (orders, receive_order) = mpsc::channel();
        let (send_result, results) = mpsc::channel();
        let work = move || {
            for transaction in receive_order {
                let result = make(transaction);
                let failed = result.is_err();
                // Nobody listens any more: the sink is being dropped, and so is the producer then.
                if send_result.send(result).is_err() || failed {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name(name).spawn(work);
        let thread = Some(thread.map_err(|error| SinkError(error.to_string()))?);
        Ok(Self { orders: Some(orders), results, thread, stuck_at: None, patience })
    }

    /// Whether a transaction is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.stuck_at.is_some()
    }

    /// Has a transaction made; none must be under way.
    ///
    /// # Errors
    /// If an earlier one failed.
    pub(super) fn order(&mut self, transaction: T) -> Result<(), SinkError> {
        let sent = self.orders.as_ref().and_then(|orders| orders.send(transaction).ok());
        self.stuck_at = sent.map(|()| Instant::now() + self.patience);
        sent.ok_or_else(|| SinkError("an earlier transaction failed".to_owned()))
    }

    /// Waits up to `wait` for the transaction under way; whether none is any more.
    ///
    /// # Errors
    /// If it failed, or is stuck.
    pub(super) fn is_done(&mut self, wait: Duration) -> Result<bool, SinkError> {
        let Some(stuck_at) = self.stuck_at else { return Ok(true) };
        match self.results.recv_timeout(wait) {
            Ok(result) => {
                self.stuck_at = None;
                result.map(|()| true)
            }
            Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() < stuck_at => Ok(false),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let seconds = self.patience.as_secs();
                Err(SinkError(format!("the client has not come back from a transaction for {seconds} s")))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(SinkError("the thread that makes transactions is gone".to_owned()))
            }
        }
    }
}

impl<T> Drop for Maker<T> {
    /// Waits for the transaction under way: its outcome should be settled before anybody asks for the committed offsets. If
    /// it is stuck, the next producer of the same id settles it.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(stuck_at) = self.stuck_at {
            let left = stuck_at.saturating_duration_since(Instant::now());
            if self.results.recv_timeout(left) == Err(mpsc::RecvTimeoutError::Timeout) {
                warn!("a transaction is stuck in the client: its thread and producer are left behind");
                return;
            }
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            warn!("the thread that makes transactions had panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A maker whose transaction goes on until the gate is opened, and whether it has come back.
    fn gated(patience: Duration) -> (Maker<()>, mpsc::Sender<()>, Arc<AtomicBool>) {
        let (open, gate) = mpsc::channel::<()>();
        let returned = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&returned);
        let make = move |()| {
            // Longer than a test, but not for ever, lest a mistake hangs it.
            let end = gate.recv_timeout(Duration::from_secs(20));
            flag.store(true, Ordering::SeqCst);
            end.map_err(|error| SinkError(error.to_string()))
        };
        let mut maker = Maker::start("gated".to_owned(), patience, make).unwrap();
        assert_eq!(maker.is_done(Duration::ZERO), Ok(true));
        maker.order(()).unwrap();
        assert!(maker.is_busy());
        (maker, open, returned)
    }

    #[test]
    fn a_transaction_that_never_returns_ends_the_sink_but_not_the_worker() {
        let (mut maker, _open, returned) = gated(Duration::from_millis(50));
        let end = loop {
            match maker.is_done(Duration::from_millis(5)) {
                Ok(done) => assert!(!done),
                Err(error) => break error.to_string(),
            }
        };
        assert!(end.contains("has not come back"), "{end}");
        drop(maker);
        assert!(!returned.load(Ordering::SeqCst), "the thread was waited for");
    }

    #[test]
    fn a_transaction_under_way_is_waited_for_when_the_sink_is_dropped() {
        let (mut maker, open, returned) = gated(Duration::from_secs(60));
        assert_eq!(maker.is_done(Duration::ZERO), Ok(false));
        open.send(()).unwrap();
        drop(maker);
        assert!(returned.load(Ordering::SeqCst), "the thread was not waited for");
    }
}
