//! Writing frames. The layout is described at [`super::Frame`].
#![expect(
    clippy::cast_possible_truncation,
    reason = "a frame is far smaller than 4 GiB, and places in it are looked at with their bounds checked"
)]

use std::borrow::Cow;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::frame::{HAS_ACCOUNT, HAS_ALIAS, HAS_MORE, HAS_USER};
use super::frame::{MORE_CLAMPED, MORE_INDEX, MORE_PROPERTIES, PROPERTY_REFERENCE, RECORD};
use super::{Coverage, head};
use crate::event::bytes::{put_signed, put_text, put_value, put_varint};
use crate::event::{Alike, Event, Field, FieldType, MODELS, Position, Text, Timestamp, Value};

/// Strings (or shapes) that the frame has defined so far. What they are is looked up where their bytes stand.
#[derive(Debug, Default)]
struct Dictionary {
    places: HashTable<Place>,
}

/// Small, for a frame has hundreds and a worker many frames.
#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u32,
    index: u32,
    start: u32,
    length: u32,
}

impl Place {
    /// The bits that are kept of the hash, where a table looks for bits.
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Where bytes are among those defined: at this index, and whether they were before.
struct Found {
    index: u32,
    is_new: bool,
}

impl Dictionary {
    /// Looks bytes up; new ones will stand at `start` of what the next call is given as `held`.
    fn find(&mut self, held: &[u8], bytes: &[u8], start: usize) -> Found {
        let hash = FixedState::default().hash_one(bytes);
        let hash = (hash ^ hash >> 32) as u32;
        let stands = |place: &Place| {
            let start = place.start as usize;
            place.hash == hash && held.get(start..start + place.length as usize) == Some(bytes)
        };
        if let Some(place) = self.places.find(Place::spread(hash), stands) {
            return Found { index: place.index, is_new: false };
        }
        let index = self.places.len() as u32;
        let place = Place { hash, index, start: start as u32, length: bytes.len() as u32 };
        self.places.insert_unique(Place::spread(hash), place, |place| Place::spread(place.hash));
        Found { index, is_new: true }
    }

    /// Writes the string's index, and the string itself behind it if it is new.
    fn put(&mut self, body: &mut Vec<u8>, text: &str) {
        let lengths = varint_length(self.places.len() as u64) + varint_length(text.len() as u64);
        let found = self.find(body, text.as_bytes(), body.len() + lengths);
        put_varint(body, u64::from(found.index));
        if found.is_new {
            put_text(body, text);
        }
    }
}

/// How many bytes a varint takes.
const fn varint_length(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// What an event of a model is written with.
#[derive(Debug, Clone, Copy)]
struct Known {
    number: u64,
    shape: u32,
    count: u64,
    from: u32,
    to: u32,
}

/// Builds one frame after another in the same buffers.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    body: Vec<u8>,
    texts: Dictionary,
    accounts: Dictionary,
    shapes: Dictionary,
    /// The shapes' bytes with their strings in full, one after another.
    shape_bytes: Vec<u8>,
    /// The fields of the event that are not part of its shape.
    rest: Vec<u8>,
    /// What is known of models that the frame has events of, by number; empty before the first.
    models: Vec<Known>,
    /// Their fields beside the shape, one after another.
    model_rests: Vec<u8>,
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
        self.append(event, source);
    }

    /// Appends an event that is like another: what [`FrameBuilder::push`] would write, in fewer steps.
    pub fn push_alike(&mut self, alike: &Alike<'_>, source: u16, offset: i64) {
        let place = alike.number as usize % MODELS;
        let known = self.models.get(place).filter(|known| known.number == alike.number);
        let Some(known) = known.copied() else { return self.push_first(alike, place, source, offset) };
        let user = if alike.user.is_some() { HAS_USER } else { 0 };
        self.put_flags(alike.model.kind as u8 | HAS_ACCOUNT | user, (alike.model.traffic as u8) << 1);
        put_varint(&mut self.body, u64::from(known.shape));
        self.put_moment(alike.time, source, offset);
        self.body.extend_from_slice(&alike.id.to_le_bytes());
        self.accounts.put(&mut self.body, alike.account);
        if let Some(user) = alike.user {
            put_text(&mut self.body, user);
        }
        put_varint(&mut self.body, known.count);
        self.body.extend_from_slice(&self.model_rests[known.from as usize..known.to as usize]);
        self.events += 1;
    }

    /// The first of its model in this frame: the long way, of which the result is kept.
    fn push_first(&mut self, alike: &Alike<'_>, place: usize, source: u16, offset: i64) {
        let mut event: Event<'_> = alike.model.clone();
        event.account = Some(Cow::Borrowed(alike.account));
        event.user = alike.user.map(Cow::Borrowed);
        event.position = Position { source, offset, index: 0 };
        (event.id, event.time) = (alike.id, alike.time);
        let (shape, count) = self.append(&event, source);
        let from = self.model_rests.len() as u32;
        self.model_rests.extend_from_slice(&self.rest);
        let to = self.model_rests.len() as u32;
        if self.models.is_empty() {
            self.models.resize(MODELS, Known { number: u64::MAX, shape: 0, count: 0, from: 0, to: 0 });
        }
        self.models[place] = Known { number: alike.number, shape, count, from, to };
    }

    /// The index of the event's shape, and how many fields are not part of it.
    fn append(&mut self, event: &Event<'_>, source: u16) -> (u32, u64) {
        self.put_head(event);
        let (shape, rest) = self.put_shape(event);
        self.put_moment(event.time, source, event.position.offset);
        if event.position.index > 0 {
            put_varint(&mut self.body, u64::from(event.position.index));
        }
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
        put_varint(&mut self.body, rest);
        self.body.extend_from_slice(&self.rest);
        if !event.properties.is_empty() {
            self.put_properties(&event.properties);
        }
        self.events += 1;
        (shape, rest)
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
        self.shapes.places.clear();
        self.shape_bytes.clear();
        self.models.clear();
        self.model_rests.clear();
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
        ] {
            first |= if holds { bit } else { 0 };
        }
        self.put_flags(first, more);
    }

    fn put_flags(&mut self, first: u8, more: u8) {
        if more > 0 {
            self.body.extend_from_slice(&[first | HAS_MORE, more]);
        } else {
            self.body.push(first);
        }
    }

    fn put_moment(&mut self, time: Timestamp, source: u16, offset: i64) {
        put_signed(&mut self.body, time.0.wrapping_sub(self.time));
        self.time = time.0;
        let place = usize::from(source);
        if self.offsets.len() <= place {
            self.offsets.resize(place + 1, 0);
        }
        put_varint(&mut self.body, u64::from(source));
        put_signed(&mut self.body, offset.wrapping_sub(self.offsets[place]));
        self.offsets[place] = offset;
    }

    /// Writes the index of the event's shape, behind it the shape if it is new. The other fields go to `rest`.
    /// The index, and how many other fields there are.
    fn put_shape(&mut self, event: &Event<'_>) -> (u32, u64) {
        let start = self.shape_bytes.len();
        self.shape_bytes.push(event.kind as u8);
        put_text(&mut self.shape_bytes, &event.name);
        self.rest.clear();
        let (mut shape, mut rest) = (Gaps::default(), Gaps::default());
        for (field, value) in &event.fields {
            debug_assert!(field.number() >= shape.next.max(rest.next), "fields are out of order");
            if field.spec().repeats {
                put_field(&mut self.shape_bytes, None, shape.step(*field), (*field, value), event.time.0);
            } else {
                put_field(&mut self.rest, None, rest.step(*field), (*field, value), event.time.0);
            }
        }
        let (held, own) = self.shape_bytes.split_at(start);
        let found = self.shapes.find(held, own, start);
        put_varint(&mut self.body, u64::from(found.index));
        if found.is_new {
            self.define(event, shape.count);
        } else {
            self.shape_bytes.truncate(start);
        }
        (found.index, rest.count)
    }

    /// Writes a shape.
    fn define(&mut self, event: &Event<'_>, count: u64) {
        self.texts.put(&mut self.body, &event.name);
        put_varint(&mut self.body, count);
        let mut gaps = Gaps::default();
        for (field, value) in event.fields.iter().filter(|(field, _)| field.spec().repeats) {
            let texts = Some(&mut self.texts);
            put_field(&mut self.body, texts, gaps.step(*field), (*field, value), event.time.0);
        }
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

/// How far each field is from the one before.
#[derive(Debug, Default)]
struct Gaps {
    next: u16,
    count: u64,
}

impl Gaps {
    const fn step(&mut self, field: Field) -> u64 {
        let gap = field.number().wrapping_sub(self.next) as u64;
        self.next = field.number() + 1;
        self.count += 1;
        gap
    }
}

/// Writes a field. A value of the type that the catalogue gives to it needs no tag. `texts`: where its strings are.
fn put_field(
    out: &mut Vec<u8>,
    texts: Option<&mut Dictionary>,
    gap: u64,
    (field, value): (Field, &Value<'_>),
    time: i64,
) {
    let spec = field.spec();
    match (spec.ty, value) {
        (FieldType::Text | FieldType::Enum(_), Value::Text(text)) => {
            put_varint(out, gap << 1);
            match texts {
                Some(texts) => texts.put(out, text),
                None => put_text(out, text),
            }
        }
        (FieldType::Int, Value::Int(value)) => {
            put_varint(out, gap << 1);
            put_signed(out, *value);
        }
        (FieldType::Double, Value::Double(value)) => {
            put_varint(out, gap << 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        (FieldType::Bool, Value::Bool(value)) => {
            put_varint(out, gap << 1);
            out.push(u8::from(*value));
        }
        (FieldType::Time, Value::Time(value)) => {
            put_varint(out, gap << 1);
            put_signed(out, value.0.wrapping_sub(time));
        }
        (FieldType::Date, Value::Date(value)) => {
            put_varint(out, gap << 1);
            put_signed(out, i64::from(*value));
        }
        _ => {
            put_varint(out, gap << 1 | 1);
            put_value(out, value);
        }
    }
}
