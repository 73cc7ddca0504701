//! The newest dead letters, for people: where each came from and what was wrong, without its content.

use rdkafka::Message;
use rdkafka::message::Headers as _;

use super::Connection;
use super::changelog::{ChangelogError, visit_to_end};
use crate::event::Timestamp;

/// A dead letter as its headers tell it; what a header does not say is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterLine {
    /// When it was written.
    pub time: Timestamp,
    /// The source topic.
    pub topic: String,
    /// The source partition and offset, joined by `/`.
    pub position: String,
    /// Where on its way the record failed.
    pub stage: String,
    /// Why.
    pub reason: String,
    /// For people.
    pub detail: String,
    own: (i32, i64),
}

/// The newest letters of a dead-letter topic, oldest first, at most `limit`; only those of a source topic if one is named.
///
/// # Errors
/// If the topic can't be read.
pub fn newest_letters(
    connection: &Connection,
    topic: &str,
    (limit, source): (usize, Option<&str>),
) -> Result<Vec<LetterLine>, ChangelogError> {
    let mut letters = Vec::new();
    // A filter may pass over any number of letters.
    let newest = source.is_none().then(|| i64::try_from(limit).unwrap_or(i64::MAX));
    visit_to_end(connection, topic, newest, &mut |message| {
        let letter = letter(message);
        if source.is_none_or(|source| source == letter.topic) {
            letters.push(letter);
        }
        Ok(())
    })?;
    letters.sort_by_key(|letter| (letter.time, letter.own));
    letters.drain(..letters.len().saturating_sub(limit));
    Ok(letters)
}

fn letter(message: &impl Message) -> LetterLine {
    let header = |names: &[&str]| -> Vec<u8> {
        let Some(headers) = message.headers() else { return Vec::new() };
        // The last one counts: a record that died twice carries those of its first death too.
        let found = headers.iter().filter(|header| names.contains(&header.key)).last();
        found.and_then(|header| header.value).unwrap_or_default().to_vec()
    };
    let text = |names: &[&str]| String::from_utf8_lossy(&header(names)).into_owned();
    let numbers = |name: &str| {
        let (streams, connect) = (format!("__streams.errors.{name}"), format!("__connect.errors.{name}"));
        match header(&[&format!("kafka_dlt-original-{name}")]).as_slice() {
            [] => text(&[&streams, &connect]),
            // Spring writes numbers as big-endian integers.
            bytes => bytes.iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte)).to_string(),
        }
    };
    LetterLine {
        time: Timestamp(message.timestamp().to_millis().unwrap_or_default()),
        topic: text(&["__streams.errors.topic", "__connect.errors.topic", "kafka_dlt-original-topic"]),
        position: format!("{}/{}", numbers("partition"), numbers("offset")),
        stage: text(&["forewarn.errors.stage"]),
        reason: text(&["forewarn.errors.reason"]),
        detail: text(&[
            "__streams.errors.message",
            "__connect.errors.exception.message",
            "kafka_dlt-exception-message",
        ]),
        own: (message.partition(), message.offset()),
    }
}
