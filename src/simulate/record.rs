//! Canonical records in the making, and the queue in which they wait for their arrival.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::event::{Text, Timestamp, Value};

/// A record on its way to a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// The topic's name in the contract.
    pub topic: &'static str,
    /// The record's key.
    pub key: String,
    /// When it arrives; records come in this order.
    pub time: Timestamp,
    /// The record.
    pub value: Value<'static>,
}

/// A record whose fields are still being added.
#[derive(Debug)]
pub(super) struct Draft {
    topic: &'static str,
    key: String,
    arrival: i64,
    fields: Vec<(Text<'static>, Value<'static>)>,
    properties: Vec<(Text<'static>, Value<'static>)>,
}

impl Draft {
    /// A record of this topic that happened at `time` (ms) and arrives at once.
    pub(super) fn new(topic: &'static str, key: String, time: i64) -> Self {
        let fields = Vec::with_capacity(12);
        Self { topic, key, arrival: time, fields, properties: Vec::new() }
            .with("event_time", Value::Time(Timestamp(time)))
    }

    pub(super) fn with(mut self, name: &'static str, value: Value<'static>) -> Self {
        self.fields.push((Text::Borrowed(name), value));
        self
    }

    pub(super) fn text(self, name: &'static str, text: impl Into<Text<'static>>) -> Self {
        self.with(name, Value::Text(text.into()))
    }

    pub(super) fn int(self, name: &'static str, number: i64) -> Self {
        self.with(name, Value::Int(number))
    }

    pub(super) fn property(mut self, name: &'static str, value: Value<'static>) -> Self {
        self.properties.push((Text::Borrowed(name), value));
        self
    }

    /// Arrives so many milliseconds after it happened.
    pub(super) const fn delayed(mut self, ms: i64) -> Self {
        self.arrival += ms;
        self
    }
}

/// Records by arrival, those of one instant in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BinaryHeap<Reverse<Waiting>>,
    made: u64,
    earliest: i64,
}

#[derive(Debug)]
struct Waiting {
    made: u64,
    record: Generated,
}

impl Waiting {
    fn order(&self) -> (Timestamp, u64) {
        (self.record.time, self.made)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl Queue {
    /// A queue for records that arrive at this time (ms) or later; others are dropped.
    pub(super) fn from(earliest: i64) -> Self {
        Self { earliest, ..Self::default() }
    }

    pub(super) fn push(&mut self, draft: Draft) {
        let Draft { topic, key, arrival, mut fields, properties } = draft;
        if arrival < self.earliest {
            return;
        }
        if !properties.is_empty() {
            fields.push((Text::Borrowed("properties"), Value::Map(properties)));
        }
        let record = Generated { topic, key, time: Timestamp(arrival), value: Value::Map(fields) };
        self.waiting.push(Reverse(Waiting { made: self.made, record }));
        self.made += 1;
    }

    /// A record that is complete.
    pub(super) fn push_whole(&mut self, record: Generated) {
        self.waiting.push(Reverse(Waiting { made: self.made, record }));
        self.made += 1;
    }

    /// Delivers the same record once more, so many milliseconds later.
    pub(super) fn push_twice(&mut self, draft: Draft, later: i64) {
        let again = Draft {
            topic: draft.topic,
            key: draft.key.clone(),
            arrival: draft.arrival + later,
            fields: draft.fields.clone(),
            properties: draft.properties.clone(),
        };
        self.push(draft);
        self.push(again);
    }

    /// The next record that arrives before this time (ms).
    pub(super) fn pop(&mut self, before: i64) -> Option<Generated> {
        let Reverse(first) = self.waiting.peek()?;
        if first.record.time.0 >= before {
            return None;
        }
        self.waiting.pop().map(|Reverse(waiting)| waiting.record)
    }
}
