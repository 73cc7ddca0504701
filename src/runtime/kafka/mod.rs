//! Kafka itself: the journal, the sources and what we publish, on librdkafka.
//!
//! No file but this folder's names the client, and [`batch`] alone calls it without the safe wrapper.

pub mod admin;
pub mod batch;
pub mod changelog;
pub mod dead_letters;
mod maker;
pub mod rows;
pub mod settings;
pub mod sink;
pub mod source;
mod watch;

pub use dead_letters::{Again, LetterLine, newest_letters, send_again};
pub use rows::{RowsSink, read_rows};
pub use settings::{Connection, Group};
pub use sink::{PlainSink, TransactionalSink};
pub use source::KafkaSource;

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::clock::{Clock, SystemClock};

/// How long calls that ask a broker may take before they count as failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause before a broker is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The first offset of a partition and the one after its last. While the partition finds a leader, which a new one does
/// a moment after it was made, the question is asked again.
fn bounds<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> KafkaResult<(i64, i64)> {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition};
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    loop {
        match consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT) {
            Err(KafkaError::MetadataFetch(LeaderNotAvailable | NotLeaderForPartition))
                if Instant::now() < deadline =>
            {
                SystemClock.pause(ASK_AGAIN);
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests;
