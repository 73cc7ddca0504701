//! The operator's port: `/metrics`, `/livez`, `/readyz`, `/startupz`.
//!
//! It runs on a thread of its own and only reads: [`Health`] and [`Metrics`] are what the workers publish.
//! Liveness is a heartbeat, so it stays true through restores, rebalances and broker outages; readiness comes from
//! progress and names its reasons; lag is in neither.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::clock::Clock;
use super::metrics::{AppState, Metrics};
use crate::event::Timestamp;

/// A worker whose last heartbeat is older than this is stuck, ms.
const HEARTBEAT_MS: i64 = 30_000;

/// Why a worker is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Unready {
    /// It has not joined its group yet.
    Starting = 0,
    /// It waits for partitions.
    Unassigned = 1,
    /// It replays what its rows lack.
    Restoring = 2,
    /// The brokers do not answer.
    BrokerAway = 3,
    /// It is shutting down.
    Draining = 4,
    /// It gave up.
    Failed = 5,
}

impl Unready {
    const ALL: [Self; 6] =
        [Self::Starting, Self::Unassigned, Self::Restoring, Self::BrokerAway, Self::Draining, Self::Failed];

    /// The word in the answer of `/readyz`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Unassigned => "unassigned",
            Self::Restoring => "restoring",
            Self::BrokerAway => "broker_away",
            Self::Draining => "draining",
            Self::Failed => "failed",
        }
    }
}

/// What one worker says of itself; it starts as [`Unready::Starting`].
#[derive(Debug)]
pub struct Pulse {
    name: String,
    beat: AtomicI64,
    reasons: AtomicU8,
}

impl Pulse {
    /// Says that the worker's loop went round. Ten times a second is plenty.
    pub fn beat(&self, now: Timestamp) {
        self.beat.store(now.0, Ordering::Relaxed);
    }

    /// Adds a reason why the worker is not ready, or takes it away.
    pub fn set(&self, reason: Unready, holds: bool) {
        let bit = 1 << reason as u8;
        if holds {
            self.reasons.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.reasons.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    fn reasons(&self) -> Vec<&'static str> {
        let bits = self.reasons.load(Ordering::Relaxed);
        Unready::ALL
            .into_iter()
            .filter(|reason| bits & (1 << *reason as u8) != 0)
            .map(Unready::name)
            .collect()
    }
}

/// What the workers publish about themselves for the probes.
#[derive(Debug, Default)]
pub struct Health {
    workers: Mutex<Vec<Arc<Pulse>>>,
    started: AtomicBool,
    draining: AtomicBool,
}

impl Health {
    fn workers(&self) -> MutexGuard<'_, Vec<Arc<Pulse>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a worker, which must beat from now on.
    #[must_use]
    pub fn worker(&self, name: impl Into<String>, now: Timestamp) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse {
            name: name.into(),
            beat: AtomicI64::new(now.0),
            reasons: AtomicU8::new(1 << Unready::Starting as u8),
        });
        self.workers().push(Arc::clone(&pulse));
        pulse
    }

    /// Takes a worker out, for one that ended in order.
    pub fn ended(&self, pulse: &Arc<Pulse>) {
        self.workers().retain(|own| !Arc::ptr_eq(own, pulse));
    }

    /// Says that the configuration is valid and the stores are open.
    pub fn started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// Says that the process is shutting down.
    pub fn draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether start-up is over.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// The workers that have not beaten for too long.
    #[must_use]
    pub fn stuck(&self, now: Timestamp) -> Vec<(String, i64)> {
        let age = |pulse: &Arc<Pulse>| {
            (pulse.name.clone(), now.0.saturating_sub(pulse.beat.load(Ordering::Relaxed)))
        };
        self.workers().iter().map(age).filter(|(_, age)| *age > HEARTBEAT_MS).collect()
    }

    /// What the process is doing, in one word: the worst that any worker says.
    #[must_use]
    pub fn doing(&self) -> AppState {
        if self.draining.load(Ordering::Relaxed) {
            return AppState::Draining;
        }
        let workers = self.workers();
        let any = |reason: Unready| {
            workers.iter().any(|pulse| pulse.reasons.load(Ordering::Relaxed) & (1 << reason as u8) != 0)
        };
        if any(Unready::Failed) {
            AppState::Failed
        } else if workers.is_empty() || !self.is_started() || any(Unready::Starting) {
            AppState::Starting
        } else if any(Unready::Unassigned) {
            AppState::Rebalancing
        } else if any(Unready::Restoring) {
            AppState::Restoring
        } else {
            AppState::Running
        }
    }

    /// Who is not ready and why; empty: the process is ready.
    #[must_use]
    pub fn unready(&self) -> Vec<(String, Vec<&'static str>)> {
        let whole = |reason: Unready| ("process".to_owned(), vec![reason.name()]);
        let workers = self.workers();
        let mut found: Vec<_> = workers
            .iter()
            .map(|pulse| (pulse.name.clone(), pulse.reasons()))
            .filter(|(_, reasons)| !reasons.is_empty())
            .collect();
        if self.draining.load(Ordering::Relaxed) {
            found.push(whole(Unready::Draining));
        } else if workers.is_empty() || !self.is_started() {
            found.push(whole(Unready::Starting));
        }
        found
    }
}

/// The port can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is taken or not ours.
    #[error(
        "can't listen on {address}: {source}\n  hint: set `http.listen` to a free address, or to port 0 for any"
    )]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The thread or its event loop could not be started.
    #[error("can't start the HTTP thread: {0}")]
    Start(std::io::Error),
}

/// Asks a process at this address whether it is ready, and gives the body of its answer.
///
/// # Errors
/// If nobody answers in time.
pub fn ask_ready(address: SocketAddr, timeout: Duration) -> std::io::Result<(bool, String)> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    // HTTP/1.0: the answer ends with the connection and is never chunked.
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let ready = answer.split(' ').nth(1) == Some("200");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((ready, body.trim_end().to_owned()))
}

struct Shared {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    clock: Box<dyn Clock + Send + Sync>,
}

/// The running server; dropping it closes the port.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Opens the port and serves until dropped.
    ///
    /// # Errors
    /// If the address can't be bound or the thread can't be started.
    pub fn open(
        address: SocketAddr,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
        clock: Box<dyn Clock + Send + Sync>,
    ) -> Result<Self, HttpError> {
        let bind = |source| HttpError::Bind { address, source };
        let listener = TcpListener::bind(address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let router = router(Shared { health, metrics, clock });
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(HttpError::Start)?;
        let serve = move || {
            runtime.block_on(async move {
                let served = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => {
                        let end = async move {
                            // A dropped sender means the same as a message.
                            let _ = stopped.await;
                        };
                        axum::serve(listener, router).with_graceful_shutdown(end).await
                    }
                    Err(error) => Err(error),
                };
                if let Err(error) = served {
                    tracing::error!(%error, "the HTTP port failed");
                }
            });
        };
        let thread =
            std::thread::Builder::new().name("http".into()).spawn(serve).map_err(HttpError::Start)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread is told by its own message.
            let _ = thread.join();
        }
    }
}

fn router(shared: Shared) -> axum::Router {
    axum::Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .with_state(Arc::new(shared))
}

fn answer(good: bool, body: &serde_json::Value) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    shared.metrics.pipeline.set_ready(shared.health.unready().is_empty(), shared.health.doing());
    match shared.metrics.render() {
        Ok(page) => ([(header::CONTENT_TYPE, prometheus_text())], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

const fn prometheus_text() -> &'static str {
    "text/plain; version=0.0.4; charset=utf-8"
}

async fn livez(State(shared): State<Arc<Shared>>) -> Response {
    let stuck = shared.health.stuck(shared.clock.now());
    let list: Vec<_> = stuck.iter().map(|(name, age)| json!({"worker": name, "silent_ms": age})).collect();
    answer(stuck.is_empty(), &json!({"live": stuck.is_empty(), "stuck": list}))
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let unready = shared.health.unready();
    let list: Vec<_> = unready.iter().map(|(name, why)| json!({"worker": name, "reasons": why})).collect();
    answer(unready.is_empty(), &json!({"ready": unready.is_empty(), "unready": list}))
}

async fn startupz(State(shared): State<Arc<Shared>>) -> Response {
    let started = shared.health.is_started();
    answer(started, &json!({"started": started}))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Health, Server, Unready};
    use crate::event::Timestamp;
    use crate::runtime::clock::Clock;
    use crate::runtime::metrics::Metrics;

    struct At(i64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp(self.0)
        }

        fn pause(&self, _: Duration) {}
    }

    fn open(health: &Arc<Health>, now: i64) -> Server {
        let metrics = Arc::new(Metrics::new(25).unwrap());
        Server::open("127.0.0.1:0".parse().unwrap(), Arc::clone(health), metrics, Box::new(At(now))).unwrap()
    }

    fn ask(server: &Server, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    #[test]
    fn readiness_names_its_reasons() {
        let health = Arc::new(Health::default());
        let server = open(&health, 1000);
        assert_eq!(ask(&server, "/startupz").0, 503);
        let worker = health.worker("detect-0", Timestamp(1000));
        worker.set(Unready::Restoring, true);
        health.started();
        assert_eq!(ask(&server, "/startupz").0, 200);
        let (status, body) = ask(&server, "/readyz");
        assert_eq!(status, 503);
        let expected =
            r#"{"ready":false,"unready":[{"reasons":["starting","restoring"],"worker":"detect-0"}]}"#;
        assert_eq!(body.trim(), expected);
        worker.set(Unready::Starting, false);
        worker.set(Unready::Restoring, false);
        let asked = super::ask_ready(server.address(), Duration::from_secs(5)).unwrap();
        assert_eq!(asked, (true, r#"{"ready":true,"unready":[]}"#.to_owned()));
        let page = ask(&server, "/metrics").1;
        assert!(page.contains("\nforewarn_ready 1\n") && page.contains(r#"_app_state{state="running"} 1"#));
        health.draining();
        assert!(ask(&server, "/readyz").1.contains("draining"));
        let page = ask(&server, "/metrics").1;
        assert!(page.contains("\nforewarn_ready 0\n") && page.contains(r#"_app_state{state="draining"} 1"#));
        assert!(page.contains(r#"_app_state{state="running"} 0"#));
    }

    #[test]
    fn liveness_is_a_heartbeat() {
        let health = Arc::new(Health::default());
        let worker = health.worker("intake-0", Timestamp(0));
        let server = open(&health, 40_000);
        let (status, body) = ask(&server, "/livez");
        assert_eq!((status, body.contains("intake-0")), (503, true));
        worker.beat(Timestamp(39_000));
        assert_eq!(ask(&server, "/livez").0, 200);
        assert_eq!(ask(&server, "/nothing").0, 404);
    }
}
