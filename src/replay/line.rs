//! One line of input.

use crate::event::record::{JsonError, from_json, to_json};
use crate::event::{Field, Kind, Timestamp, Value};

/// A line that a replay can't read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is no JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It is JSON, but no object.
    #[error("a line is an object such as {{\"topic\":\"usage\",\"value\":{{…}}}}")]
    Shape,
    /// Something that a line does not have.
    #[error("unknown key `{0}`\n  a line takes topic partition offset timestamp key value")]
    Key(String),
    /// A part has the wrong type.
    #[error("`{key}` is no {expected}")]
    Type {
        /// Which part.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// It names no topic.
    #[error("there is no `topic`")]
    NoTopic,
    /// It names a topic that nothing is known of.
    #[error(
        "topic `{topic}` is not known\n  known are {known}; hint: name it in a mapping, or use the contract's names"
    )]
    UnknownTopic {
        /// The topic.
        topic: Box<str>,
        /// The topics that are known.
        known: String,
    },
    /// It has neither a timestamp nor an event time.
    #[error(
        "there is no `timestamp`, and the value has no `event_time` to take in its place\n  hint: add the record's timestamp in ms"
    )]
    NoTime,
}

/// A source record on its way into a replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The topic, named as in `contracts.md` §1 or in a mapping.
    pub topic: Box<str>,
    /// The partition; 0 if the line says nothing.
    pub partition: i32,
    /// The offset; `None`: the next of its partition.
    pub offset: Option<i64>,
    /// The record's timestamp; if the line has none, the event time.
    pub timestamp: Timestamp,
    /// The key.
    pub key: Option<String>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Text features that a rule's test states in place of a body.
    pub features: Vec<(Field, Value<'static>)>,
}

/// The topic of a kind in the contract.
#[must_use]
pub const fn topic_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Usage => "usage",
        Kind::ErrorLog => "error-log",
        Kind::Billing => "billing",
        Kind::Ticket => "ticket",
        Kind::Account => "account-profile",
        Kind::Outcome => "risk.outcomes",
        Kind::Control => "risk.control",
        Kind::Health => "risk.health",
    }
}

impl Line {
    /// Its topic as a name of the contract.
    #[must_use]
    pub fn known_topic(&self) -> &'static str {
        let known = Kind::ALL.into_iter().map(topic_of).find(|topic| **topic == *self.topic);
        known.unwrap_or("")
    }

    /// Reads a line of JSON.
    ///
    /// # Errors
    /// If it is no such line, or nothing says when it was written.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        let Value::Map(parts) = from_json(text)? else { return Err(LineError::Shape) };
        let (mut topic, mut partition, mut offset, mut timestamp) = (None, 0, None, None);
        let (mut key, mut value) = (None, None);
        for (name, part) in parts {
            match (&*name, part) {
                ("topic", Value::Text(text)) => topic = Some(text.into()),
                ("topic", _) => return Err(LineError::Type { key: "topic", expected: "string" }),
                ("partition", part) => {
                    let number = whole(&part).and_then(|number| i32::try_from(number).ok());
                    partition =
                        number.ok_or(LineError::Type { key: "partition", expected: "number from 0" })?;
                }
                ("offset", part) => {
                    offset = Some(
                        whole(&part).ok_or(LineError::Type { key: "offset", expected: "number from 0" })?,
                    );
                }
                ("timestamp", part) => {
                    let time = moment(&part).ok_or(LineError::Type { key: "timestamp", expected: "time" })?;
                    timestamp = Some(time);
                }
                ("key", Value::Text(text)) => key = Some(text.into_owned()),
                ("key", _) => return Err(LineError::Type { key: "key", expected: "string" }),
                ("value", part) => value = Some(part),
                _ => return Err(LineError::Key(name.into_owned())),
            }
        }
        let own_time = value.as_ref().and_then(|value| moment(value.entry("event_time")?));
        Ok(Self {
            topic: topic.ok_or(LineError::NoTopic)?,
            partition,
            offset,
            timestamp: timestamp.or(own_time).ok_or(LineError::NoTime)?,
            key,
            value: value.map(|value| to_json(&value).into_bytes()),
            features: Vec::new(),
        })
    }
}

fn whole(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number).filter(|number| *number >= 0),
        _ => None,
    }
}

/// Milliseconds, or a time as records write it.
fn moment(value: &Value<'_>) -> Option<Timestamp> {
    match value {
        Value::Int(ms) => Some(Timestamp(*ms)),
        Value::Text(text) => Timestamp::parse(text).ok(),
        _ => None,
    }
}
