//! Publishing what changed since the last marker, on a thread of its own while processing goes on.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use super::marker::Marker;
use super::{MARKER_KEY, put_row, row_key};
use crate::engine::store::{Changes, Marked};
use crate::runtime::sink::{Outgoing, Sink};
use crate::runtime::worker::{Spawn, WorkerError};

/// Longest wait for a transaction's end. The producer gives up earlier.
const PATIENCE: Duration = Duration::from_secs(700);

/// Where a task's changes go.
#[derive(Debug, Clone)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The line that the store belongs to.
    pub line: u64,
}

/// A marker that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// What the store is to be told.
    pub marked: Marked,
    /// How many rows changed.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// The writer, handed back when its transaction is done. After an error it is of no use any more.
pub type Outcome = Result<(Box<dyn Sink + Send>, Published), WorkerError>;

/// A transaction under way.
pub struct Publishing(Receiver<Outcome>);

impl Publishing {
    /// Begins to publish.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn begin(
        spawn: Spawn,
        mut sink: Box<dyn Sink + Send>,
        place: Place,
        changes: Changes,
    ) -> Result<Self, WorkerError> {
        let (send, outcome) = channel();
        let publish = move || {
            let outcome = publish(&mut *sink, &place, changes).map(|published| (sink, published));
            // A task that is gone does not wait for it; the transaction is whole or nothing all the same.
            let _ = send.send(outcome);
        };
        spawn("changelog", Box::new(publish))?;
        Ok(Self(outcome))
    }

    /// How it ended, if it has within this time.
    pub fn outcome(&self, wait: Duration) -> Option<Outcome> {
        match self.0.recv_timeout(wait) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                Some(Err(crate::runtime::sink::SinkError("the changelog's thread is gone".to_owned()).into()))
            }
        }
    }
}

/// Publishes rows and marker in one transaction.
///
/// # Errors
/// If rows can't be read, or the outcome of the transaction is anything but sure.
pub fn publish(sink: &mut dyn Sink, place: &Place, changes: Changes) -> Result<Published, WorkerError> {
    let (mut value, mut rows, mut bytes) = (Vec::new(), 0_u64, 0_u64);
    let send = |sink: &mut dyn Sink, key: &[u8], value: Option<&[u8]>| {
        sink.send(Outgoing {
            topic: &place.topic,
            partition: Some(place.partition),
            key: Some(key),
            value,
            headers: &[],
            token: 0,
        })
    };
    for row in changes.rows {
        let (key, row) = row?;
        let key = row_key(&key);
        match &row {
            Some(row) => {
                put_row(&mut value, place.line, row);
                bytes += value.len() as u64;
                send(sink, &key, Some(&value))?;
            }
            None => send(sink, &key, None)?,
        }
        rows += 1;
        bytes += key.len() as u64;
    }
    let marker = Marker { line: place.line, position: changes.position, rows, task: changes.task };
    send(sink, MARKER_KEY, Some(&marker.encode()))?;
    sink.start_commit(&[])?;
    if !sink.commit_done(PATIENCE)? {
        return Err(WorkerError::Unacknowledged(sink.in_flight()));
    }
    Ok(Published { marked: Marked { line: place.line, position: changes.position }, rows, bytes })
}
