//! Reading frames.

use std::borrow::Cow;
use std::ops::Range;

use super::Coverage;
use super::items::{self, Item};
use crate::event::bytes::{FormatError, Reader, put_signed, put_text, put_varint};
use crate::event::{
    Event, Field, FieldSet, FieldType, KINDS, Kind, Position, SourcePartition, Text, Timestamp, Traffic,
    Value,
};

/// Type number of frames.
pub(super) const RECORD: u8 = 0;

/// Bits of an event's first byte; its lower half is the item's kind, the event kinds first.
pub(super) const HAS_ACCOUNT: u8 = 1 << 4;
pub(super) const HAS_ALIAS: u8 = 1 << 5;
pub(super) const HAS_USER: u8 = 1 << 6;
pub(super) const HAS_MORE: u8 = 1 << 7;
/// Bits of the second byte, which stands only where one is set. Bits 1 and 2 are the traffic.
pub(super) const MORE_CLAMPED: u8 = 1;
pub(super) const MORE_INDEX: u8 = 1 << 3;
pub(super) const MORE_PROPERTIES: u8 = 1 << 4;
/// Stands in the place of a value's tag before a string of the dictionary.
pub(super) const PROPERTY_REFERENCE: u8 = 9;

/// Canonical events on their way to one journal partition, and what they complete. What tasks tell each other comes in
/// frames of their own ([`super::items`]).
///
/// The bytes, integers as varints (`±`: signed):
///
/// ```text
/// frame     head mapping n·source n·item
/// source    topic (empty: that of the source before) partition ±from ±(to-from) ±(end-to) ±watermark caught_up
/// item      kind|flags [more] shape ±(time - last time) source ±(offset - last of source) [index] id8
///           [account] [alias] [user] n·field [n·property]
/// shape     index; one past the end: name n·field
/// field     gap<<1 value of the catalogue's type, times as ± from the event's; or gap<<1|1 and a tagged value
/// property  name, tagged value
/// ```
///
/// An event's name and those of its fields that repeat are its shape: few of them make up most streams, so each is
/// written once a frame and kind. An item's own fields are those that do not repeat.
///
/// Names, accounts and strings of shapes are an index into what the frame has defined so far; an index one past
/// the end is followed by the string that it defines. Accounts have a dictionary of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame<'a> {
    /// The version of the mapping that made the events.
    pub mapping: u64,
    /// What the frame covers; positions of events point into this list.
    pub sources: Vec<Coverage>,
    events: u64,
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// A frame without events.
    #[must_use]
    pub const fn tick(sources: Vec<Coverage>) -> Self {
        Self { mapping: 0, sources, events: 0, body: &[] }
    }

    /// How many events it says it has.
    #[must_use]
    pub const fn event_count(&self) -> u64 {
        self.events
    }

    /// Whether it is without events.
    #[must_use]
    pub const fn is_tick(&self) -> bool {
        self.events == 0
    }

    /// What a task tells, if a task sent it.
    #[must_use]
    pub fn items(&self) -> Option<Result<Vec<Item>, FormatError>> {
        let of_task = self.events > 0 && self.body.first().is_some_and(|first| first & 0x0f >= items::FIRST);
        of_task.then(|| items::parse(Reader::new(self.body), self.events))
    }

    /// Reads the events one after another into events that exist.
    #[must_use]
    pub fn cursor(&self) -> Cursor<'a> {
        Cursor {
            wanted: [FieldSet::ALL; KINDS],
            reader: Reader::new(self.body),
            left: self.events,
            texts: Vec::new(),
            accounts: Vec::new(),
            shapes: Vec::new(),
            shape_fields: Vec::new(),
            offsets: vec![0; self.sources.len()],
            time: 0,
        }
    }

    /// The events, each with memory of its own. Ends after the first error.
    #[must_use]
    pub fn events(&self) -> Events<'a> {
        Events { cursor: self.cursor() }
    }

    /// Reads what follows the first byte.
    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, FormatError> {
        let mapping = reader.varint()?;
        let count = reader.count()?;
        let mut sources: Vec<Coverage> = Vec::new();
        for _ in 0..count {
            let source = coverage(&mut reader, sources.last())?;
            sources.push(source);
        }
        let events = reader.varint()?;
        Ok(Self { mapping, sources, events, body: reader.rest() })
    }
}

/// Writes the list of sources of a frame.
pub(super) fn put_sources(out: &mut Vec<u8>, sources: &[Coverage]) {
    put_varint(out, sources.len() as u64);
    let mut topic = "";
    for coverage in sources {
        let own = &*coverage.source.topic;
        put_text(out, if own == topic { "" } else { own });
        topic = own;
        put_varint(out, u64::from(coverage.source.partition.cast_unsigned()));
        put_signed(out, coverage.from);
        put_signed(out, coverage.to.wrapping_sub(coverage.from));
        put_signed(out, coverage.end.wrapping_sub(coverage.to));
        put_signed(out, coverage.watermark.0);
        out.push(u8::from(coverage.caught_up));
    }
}

fn coverage(reader: &mut Reader<'_>, before: Option<&Coverage>) -> Result<Coverage, FormatError> {
    let topic = match (reader.text()?, before) {
        ("", Some(before)) => before.source.topic.clone(),
        (topic, _) => topic.into(),
    };
    let partition = partition(reader)?;
    let from = reader.signed()?;
    let to = from.wrapping_add(reader.signed()?);
    let end = to.wrapping_add(reader.signed()?);
    let watermark = reader.time()?;
    let caught_up = flag(reader)?;
    Ok(Coverage { source: SourcePartition { topic, partition }, from, to, end, watermark, caught_up })
}

/// The number of a partition.
pub(super) fn partition(reader: &mut Reader<'_>) -> Result<i32, FormatError> {
    let number = u32::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("partition"))?;
    Ok(number.cast_signed())
}

/// A byte that is 0 or 1.
pub(super) fn flag(reader: &mut Reader<'_>) -> Result<bool, FormatError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(FormatError::Malformed("flag")),
    }
}

/// Reads a frame's events in their order.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    reader: Reader<'a>,
    left: u64,
    texts: Vec<&'a str>,
    accounts: Vec<&'a str>,
    shapes: Vec<Shape<'a>>,
    /// Fields of all shapes.
    shape_fields: Vec<(Field, Value<'a>)>,
    /// Offset of the last event, by source.
    offsets: Vec<i64>,
    time: i64,
    /// By kind: the fields to keep.
    wanted: [FieldSet; KINDS],
}

/// What events of a frame have in common.
#[derive(Debug, Clone)]
struct Shape<'a> {
    name: &'a str,
    /// Which of the fields of all shapes are its own.
    fields: Range<usize>,
}

/// The string of a dictionary that the next index means.
fn reference<'a>(reader: &mut Reader<'a>, defined: &mut Vec<&'a str>) -> Result<&'a str, FormatError> {
    let index = usize::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("reference"))?;
    if let Some(text) = defined.get(index) {
        return Ok(text);
    }
    if index > defined.len() {
        return Err(FormatError::Malformed("reference"));
    }
    let text = reader.text()?;
    defined.push(text);
    Ok(text)
}

impl<'a> Cursor<'a> {
    /// Leaves out the fields of a kind that are not among these.
    pub const fn keep(&mut self, kind: Kind, fields: FieldSet) {
        self.wanted[kind as usize] = fields;
    }

    /// Replaces the event by the next one, reusing its memory; false at the end.
    ///
    /// # Errors
    /// If the bytes are malformed; the event is then of no use, and the cursor at its end.
    pub fn next_into(&mut self, event: &mut Event<'a>) -> Result<bool, FormatError> {
        if self.left == 0 {
            let rest = std::mem::replace(&mut self.reader, Reader::new(&[]));
            return if rest.is_empty() { Ok(false) } else { Err(FormatError::Malformed("trailing bytes")) };
        }
        self.left -= 1;
        let read = self.read(event);
        if read.is_err() {
            self.left = 0;
            self.reader = Reader::new(&[]);
        }
        read.map(|()| true)
    }

    fn read(&mut self, event: &mut Event<'a>) -> Result<(), FormatError> {
        let first = self.reader.byte()?;
        let more = if first & HAS_MORE > 0 { self.reader.byte()? } else { 0 };
        event.kind = Kind::from_number(first & 0x0f).ok_or(FormatError::Malformed("item kind"))?;
        event.traffic = match more >> 1 & 3 {
            0 => Traffic::Customer,
            1 => Traffic::Automated,
            2 => Traffic::Internal,
            _ => Traffic::Test,
        };
        event.clamped = more & MORE_CLAMPED > 0;
        let wanted = self.wanted[event.kind as usize];
        let shape = self.shape(wanted)?;
        event.name = Cow::Borrowed(shape.name);
        self.time = self.time.wrapping_add(self.reader.signed()?);
        event.time = Timestamp(self.time);
        event.position = self.position(more)?;
        let id = self.reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?;
        event.id = u64::from_le_bytes(id);
        event.account = None;
        if first & HAS_ACCOUNT > 0 {
            event.account = Some(Cow::Borrowed(reference(&mut self.reader, &mut self.accounts)?));
        }
        event.alias = self.optional(first & HAS_ALIAS)?;
        event.user = self.optional(first & HAS_USER)?;
        event.fields.clear();
        self.fields(shape.fields, wanted, &mut event.fields)?;
        event.properties.clear();
        if more & MORE_PROPERTIES > 0 {
            self.properties(&mut event.properties)?;
        }
        Ok(())
    }

    fn position(&mut self, more: u8) -> Result<Position, FormatError> {
        let source = u16::try_from(self.reader.varint()?).map_err(|_| FormatError::Malformed("source"))?;
        let last = self.offsets.get_mut(usize::from(source)).ok_or(FormatError::Malformed("source"))?;
        *last = last.wrapping_add(self.reader.signed()?);
        let offset = *last;
        let index = if more & MORE_INDEX > 0 { self.reader.varint()? } else { 0 };
        let index = u16::try_from(index).map_err(|_| FormatError::Malformed("index"))?;
        Ok(Position { source, offset, index })
    }

    fn optional(&mut self, present: u8) -> Result<Option<Text<'a>>, FormatError> {
        Ok(if present > 0 { Some(Cow::Borrowed(self.reader.text()?)) } else { None })
    }

    /// The shape that the next index means. It is one of events of one kind, so that what is wanted of it is always the same.
    fn shape(&mut self, wanted: FieldSet) -> Result<Shape<'a>, FormatError> {
        const MALFORMED: FormatError = FormatError::Malformed("shape");
        let index = usize::try_from(self.reader.varint()?).map_err(|_| MALFORMED)?;
        if index > self.shapes.len() {
            return Err(MALFORMED);
        }
        if index == self.shapes.len() {
            let name = reference(&mut self.reader, &mut self.texts)?;
            let start = self.shape_fields.len();
            let mut next = 0;
            for _ in 0..self.reader.count()? {
                let field = self.field(&mut next)?;
                if wanted.contains(field.0) {
                    self.shape_fields.push(field);
                }
            }
            self.shapes.push(Shape { name, fields: start..self.shape_fields.len() });
        }
        self.shapes.get(index).cloned().ok_or(MALFORMED)
    }

    /// The fields of a shape and those that follow, in their order.
    fn fields(
        &mut self,
        shape: Range<usize>,
        wanted: FieldSet,
        fields: &mut Vec<(Field, Value<'a>)>,
    ) -> Result<(), FormatError> {
        let (mut from, to) = (shape.start, shape.end);
        let mut next = 0;
        for _ in 0..self.reader.count()? {
            let own = self.field(&mut next)?;
            while let Some(shared) = self.shape_fields.get(from..to).and_then(<[_]>::first)
                && shared.0 <= own.0
            {
                if shared.0 == own.0 {
                    return Err(FormatError::Malformed("a field twice"));
                }
                fields.push(shared.clone());
                from += 1;
            }
            if wanted.contains(own.0) {
                fields.push(own);
            }
        }
        fields.extend_from_slice(self.shape_fields.get(from..to).unwrap_or_default());
        Ok(())
    }

    fn field(&mut self, next: &mut u64) -> Result<(Field, Value<'a>), FormatError> {
        let head = self.reader.varint()?;
        let number = *next + (head >> 1);
        let field = u16::try_from(number).ok().and_then(Field::from_number);
        let field = field.ok_or(FormatError::Malformed("field"))?;
        *next = number + 1;
        Ok((field, if head & 1 > 0 { self.reader.value()? } else { self.plain(field)? }))
    }

    fn plain(&mut self, field: Field) -> Result<Value<'a>, FormatError> {
        let spec = field.spec();
        Ok(match spec.ty {
            FieldType::Text | FieldType::Enum(_) if spec.repeats => {
                Value::Text(Cow::Borrowed(reference(&mut self.reader, &mut self.texts)?))
            }
            FieldType::Text | FieldType::Enum(_) => Value::Text(Cow::Borrowed(self.reader.text()?)),
            FieldType::Int => Value::Int(self.reader.signed()?),
            FieldType::Double => {
                let bytes = self.reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?;
                Value::Double(f64::from_le_bytes(bytes))
            }
            FieldType::Bool => Value::Bool(flag(&mut self.reader)?),
            FieldType::Time => Value::Time(Timestamp(self.time.wrapping_add(self.reader.signed()?))),
            FieldType::Date => {
                let day = i32::try_from(self.reader.signed()?);
                Value::Date(day.map_err(|_| FormatError::Malformed("date"))?)
            }
            _ => return Err(FormatError::Malformed("field")),
        })
    }

    fn properties(&mut self, properties: &mut Vec<(Text<'a>, Value<'a>)>) -> Result<(), FormatError> {
        for _ in 0..self.reader.count()? {
            let name = reference(&mut self.reader, &mut self.texts)?;
            let value = if self.reader.rest().first() == Some(&PROPERTY_REFERENCE) {
                self.reader.byte()?;
                Value::Text(Cow::Borrowed(reference(&mut self.reader, &mut self.texts)?))
            } else {
                self.reader.value()?
            };
            properties.push((Cow::Borrowed(name), value));
        }
        Ok(())
    }
}

/// The events of a frame, each with memory of its own.
#[derive(Debug, Clone)]
pub struct Events<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut event = Event::new(Kind::Usage, "", Timestamp(0));
        match self.cursor.next_into(&mut event) {
            Ok(true) => Some(Ok(event)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
