//! Kafka itself: the journal, the sources and what we publish, on librdkafka.
//!
//! No file but this folder's names the client, and [`batch`] alone calls it without the safe wrapper.

pub mod admin;
pub mod batch;
pub mod changelog;
pub mod dead_letters;
pub mod rows;
pub mod settings;
pub mod sink;
pub mod source;
mod watch;

pub use dead_letters::{LetterLine, newest_letters};
pub use rows::{RowsSink, read_rows};
pub use settings::{Connection, Group};
pub use sink::{PlainSink, TransactionalSink};
pub use source::KafkaSource;

/// How long calls that ask a broker may take before they count as failed.
const REQUEST_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

#[cfg(test)]
mod tests;
