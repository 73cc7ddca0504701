//! Dead letters, for people: where each came from and what was wrong, without its content; and sending them again, as
//! they came.

use std::time::Duration;

use rdkafka::Message;
use rdkafka::message::Headers as _;

use super::changelog::{ChangelogError, visit_to_end};
use super::{Connection, PlainSink};
use crate::event::Timestamp;
use crate::runtime::dead_headers::revived;
use crate::runtime::sink::{Outgoing, Sink};

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

/// Which letters are sent again, and where to.
#[derive(Debug, Clone, Default)]
pub struct Again<'a> {
    /// Only those of this source topic.
    pub topic: Option<&'a str>,
    /// Only those with this reason.
    pub reason: Option<&'a str>,
    /// Only those written at or after this time.
    pub since: Option<Timestamp>,
    /// The topic to send them to; `None`: each to the topic that it came from.
    pub to: Option<&'a str>,
}

impl Again<'_> {
    fn asks_for(&self, letter: &LetterLine) -> bool {
        self.topic.is_none_or(|topic| topic == letter.topic)
            && self.reason.is_none_or(|reason| reason == letter.reason)
            && self.since.is_none_or(|since| since <= letter.time)
    }
}

/// Sends letters again: key and value as they are, headers as they were before the record died, and how often it died.
/// `sink` is `None` to only look. Tells of each letter and its new topic; letters that do not say where they came from are
/// told of without one.
///
/// # Errors
/// If letters can't be read or written. What was told of may then be written or not.
pub fn send_again(
    connection: &Connection,
    topic: &str,
    again: &Again<'_>,
    (mut sink, tell): (Option<&mut PlainSink>, &mut dyn FnMut(&LetterLine, Option<&str>)),
) -> Result<(), ChangelogError> {
    let mut tokens = Vec::new();
    visit_to_end(connection, topic, None, &mut |message| {
        let letter = letter(message);
        if !again.asks_for(&letter) {
            return Ok(());
        }
        let to = again.to.or_else(|| Some(letter.topic.as_str()).filter(|topic| !topic.is_empty()));
        tell(&letter, to);
        if let (Some(to), Some(sink)) = (to, &mut sink) {
            let all = message.headers().into_iter().flat_map(|headers| headers.iter());
            let all: Vec<(&str, &[u8])> =
                all.map(|header| (header.key, header.value.unwrap_or_default())).collect();
            let headers = revived(&all);
            sink.send(Outgoing {
                topic: to,
                partition: None,
                key: message.key(),
                value: message.payload(),
                headers: &headers,
                token: 0,
            })?;
            sink.acknowledged(Duration::ZERO, &mut tokens)?;
            tokens.clear();
        }
        Ok(())
    })?;
    Ok(())
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
