//! Writing frames. The layout is described at [`super::Frame`].

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use super::frame::{HAS_ACCOUNT, HAS_ALIAS, HAS_MORE, HAS_USER};
use super::frame::{MORE_CLAMPED, MORE_INDEX, MORE_PROPERTIES, PROPERTY_REFERENCE, RECORD};
use super::{Coverage, head};
use crate::event::bytes::{put_signed, put_text, put_value, put_varint};
use crate::event::{Event, Field, FieldType, Text, Value};

/// Strings that the frame has defined so far. Their text is looked up where the frame's body holds it.
#[derive(Debug, Default)]
struct Dictionary {
    places: HashTable<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u64,
    index: u32,
    start: usize,
    length: usize,
}

impl Dictionary {
    /// Writes the string's index, and the string itself behind it if it is new.
    fn put(&mut self, body: &mut Vec<u8>, text: &str) {
        let hash = FixedState::default().hash_one(text.as_bytes());
        let known = self
            .places
            .find(hash, |place| body.get(place.start..place.start + place.length) == Some(text.as_bytes()));
        if let Some(place) = known {
            put_varint(body, u64::from(place.index));
            return;
        }
        let Ok(index) = u32::try_from(self.places.len()) else { return };
        put_varint(body, u64::from(index));
        put_text(body, text);
        let place = Place { hash, index, start: body.len() - text.len(), length: text.len() };
        self.places.insert_unique(hash, place, |place| place.hash);
    }
}

/// Builds one frame after another in the same buffers.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    body: Vec<u8>,
    texts: Dictionary,
    accounts: Dictionary,
    /// Offset of the last event, by source.
    offsets: Vec<i64>,
    time: i64,
    events: usize,
}

impl FrameBuilder {
    /// A builder without events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of the events so far; the header comes on top.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.body.len()
    }

    /// Events so far.
    #[must_use]
    pub const fn events(&self) -> usize {
        self.events
    }

    /// Appends an event. `source` is the place of its source in the coverage that [`FrameBuilder::finish`] is given;
    /// the event's own `position.source` is not looked at.
    pub fn push(&mut self, event: &Event<'_>, source: u16) {
        self.put_head(event);
        self.texts.put(&mut self.body, &event.name);
        put_signed(&mut self.body, event.time.0.wrapping_sub(self.time));
        self.time = event.time.0;
        self.put_position(event, source);
        self.body.extend_from_slice(&event.id.to_le_bytes());
        if let Some(account) = &event.account {
            self.accounts.put(&mut self.body, account);
        }
        if let Some(alias) = &event.alias {
            put_text(&mut self.body, alias);
        }
        if let Some(user) = &event.user {
            put_text(&mut self.body, user);
        }
        self.put_fields(event);
        if !event.properties.is_empty() {
            self.put_properties(&event.properties);
        }
        self.events += 1;
    }

    /// Appends the frame to `out` and starts the next one. Without events it is a tick.
    pub fn finish(&mut self, mapping: u64, coverage: &[Coverage], out: &mut Vec<u8>) {
        debug_assert!(self.offsets.len() <= coverage.len(), "an event's source has no coverage");
        out.reserve(self.body.len() + 16 + 32 * coverage.len());
        out.push(head(RECORD));
        put_varint(out, mapping);
        super::frame::put_sources(out, coverage);
        put_varint(out, self.events as u64);
        out.extend_from_slice(&self.body);
        self.body.clear();
        self.texts.places.clear();
        self.accounts.places.clear();
        self.offsets.clear();
        self.time = 0;
        self.events = 0;
    }

    fn put_head(&mut self, event: &Event<'_>) {
        let mut more = (event.traffic as u8) << 1;
        for (holds, bit) in [
            (event.clamped, MORE_CLAMPED),
            (event.position.index > 0, MORE_INDEX),
            (!event.properties.is_empty(), MORE_PROPERTIES),
        ] {
            more |= if holds { bit } else { 0 };
        }
        let mut first = event.kind as u8;
        for (holds, bit) in [
            (event.account.is_some(), HAS_ACCOUNT),
            (event.alias.is_some(), HAS_ALIAS),
            (event.user.is_some(), HAS_USER),
            (more > 0, HAS_MORE),
        ] {
            first |= if holds { bit } else { 0 };
        }
        self.body.push(first);
        if more > 0 {
            self.body.push(more);
        }
    }

    fn put_position(&mut self, event: &Event<'_>, source: u16) {
        let place = usize::from(source);
        if self.offsets.len() <= place {
            self.offsets.resize(place + 1, 0);
        }
        put_varint(&mut self.body, u64::from(source));
        put_signed(&mut self.body, event.position.offset.wrapping_sub(self.offsets[place]));
        self.offsets[place] = event.position.offset;
        if event.position.index > 0 {
            put_varint(&mut self.body, u64::from(event.position.index));
        }
    }

    fn put_fields(&mut self, event: &Event<'_>) {
        put_varint(&mut self.body, event.fields.len() as u64);
        let mut next = 0;
        for (field, value) in &event.fields {
            debug_assert!(field.number() >= next, "fields are out of order");
            let gap = u64::from(field.number().wrapping_sub(next));
            next = field.number() + 1;
            if !self.put_plain(gap, *field, value, event.time.0) {
                put_varint(&mut self.body, gap << 1 | 1);
                put_value(&mut self.body, value);
            }
        }
    }

    /// Writes a value of the type that the catalogue gives to the field, which needs no tag; false: it is of another.
    fn put_plain(&mut self, gap: u64, field: Field, value: &Value<'_>, time: i64) -> bool {
        let spec = field.spec();
        let body = &mut self.body;
        match (spec.ty, value) {
            (FieldType::Text | FieldType::Enum(_), Value::Text(text)) => {
                put_varint(body, gap << 1);
                if spec.repeats { self.texts.put(body, text) } else { put_text(body, text) }
            }
            (FieldType::Int, Value::Int(value)) => {
                put_varint(body, gap << 1);
                put_signed(body, *value);
            }
            (FieldType::Double, Value::Double(value)) => {
                put_varint(body, gap << 1);
                body.extend_from_slice(&value.to_le_bytes());
            }
            (FieldType::Bool, Value::Bool(value)) => {
                put_varint(body, gap << 1);
                body.push(u8::from(*value));
            }
            (FieldType::Time, Value::Time(value)) => {
                put_varint(body, gap << 1);
                put_signed(body, value.0.wrapping_sub(time));
            }
            (FieldType::Date, Value::Date(value)) => {
                put_varint(body, gap << 1);
                put_signed(body, i64::from(*value));
            }
            _ => return false,
        }
        true
    }

    fn put_properties(&mut self, properties: &[(Text<'_>, Value<'_>)]) {
        put_varint(&mut self.body, properties.len() as u64);
        for (name, value) in properties {
            self.texts.put(&mut self.body, name);
            if let Value::Text(text) = value {
                self.body.push(PROPERTY_REFERENCE);
                self.texts.put(&mut self.body, text);
            } else {
                put_value(&mut self.body, value);
            }
        }
    }
}
