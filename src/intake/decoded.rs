//! What became of one source record: events, and an account of all that is none.

use crate::event::{Event, Field, KINDS, Kind, Text, Timestamp, Value};

/// Why an event is filtered (`contracts.md` §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Filtered {
    /// Test traffic.
    Test = 0,
    /// Traffic of our own staff.
    Internal = 1,
    /// Of an environment that the source does not admit.
    Environment = 2,
    /// No mapping has a row for it.
    Unmapped = 3,
    /// Excluded by configuration.
    Excluded = 4,
}

impl Filtered {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Test, Self::Internal, Self::Environment, Self::Unmapped, Self::Excluded];

    /// The label of the metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Internal => "internal",
            Self::Environment => "environment",
            Self::Unmapped => "unmapped",
            Self::Excluded => "excluded",
        }
    }
}

/// Where on its way a record failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the closed list of contracts.md §6")]
pub enum Stage {
    Decode,
    Map,
    Validate,
    Route,
    Engine,
}

impl Stage {
    /// Its spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Map => "map",
            Self::Validate => "validate",
            Self::Route => "route",
            Self::Engine => "engine",
        }
    }
}

/// Why a record is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the closed list of contracts.md §6")]
pub enum DeadReason {
    TooLarge,
    SchemaUnknown,
    DecodeFailed,
    MappingFailed,
    FieldMissing,
    FieldInvalid,
    ControlInvalid,
    Quarantined,
}

impl DeadReason {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::TooLarge,
        Self::SchemaUnknown,
        Self::DecodeFailed,
        Self::MappingFailed,
        Self::FieldMissing,
        Self::FieldInvalid,
        Self::ControlInvalid,
        Self::Quarantined,
    ];

    /// Its spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::SchemaUnknown => "schema_unknown",
            Self::DecodeFailed => "decode_failed",
            Self::MappingFailed => "mapping_failed",
            Self::FieldMissing => "field_missing",
            Self::FieldInvalid => "field_invalid",
            Self::ControlInvalid => "control_invalid",
            Self::Quarantined => "quarantined",
        }
    }
}

/// What is told beside a record that goes to the dead letters; the record itself goes there verbatim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it failed.
    pub stage: Stage,
    /// Why.
    pub reason: DeadReason,
    /// What the source (or the mapping that failed) carries.
    pub kind: Kind,
    /// The mapping that was applied, if any.
    pub mapping: Option<Box<str>>,
    /// For people; never quotes what a customer wrote.
    pub detail: String,
}

/// Events of one kind that came in with a record, and those that ended in intake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All of them: those handed on and those below.
    pub input: u32,
    /// Filtered, by the number of [`Filtered`].
    pub filtered: [u32; 5],
    /// Without account, alias and cross-account entity.
    pub unattributed: u32,
    /// Bad.
    pub dead: u32,
    /// Events handed on whose time was clamped.
    pub clamped: u32,
    /// Strings, lists and bodies that were cut.
    pub cut: u32,
}

type Fields<'a> = Vec<(Field, Value<'a>)>;
type Properties<'a> = Vec<(Text<'a>, Value<'a>)>;

/// Most lists and strings that are kept for later events.
const SPARE_MAX: usize = 64;

/// What one record yielded.
#[derive(Debug, Default)]
pub struct Decoded<'a> {
    /// Its events, in order; their places in the record are their `position.index`.
    pub events: Vec<Event<'a>>,
    /// If the record, or one of its events, is bad: why. It is one dead letter, whatever the number.
    pub dead: Option<DeadLetter>,
    /// Apart, so that handing this over costs no copy of them.
    counts: Box<[Counts; KINDS]>,
    touched: u8,
    notable: bool,
    index: u16,
    pub(super) found: Vec<(u16, Value<'a>)>,
    spare: Vec<(Fields<'a>, Properties<'a>)>,
    /// Memory of the fingerprints of messages.
    strings: Vec<String>,
}

/// An empty list of another lifetime in the same memory: collecting from a list of equal layout happens in place.
#[inline]
fn recycle<A, B>(list: Vec<A>, never: impl Fn(A) -> Option<B>) -> Vec<B> {
    list.into_iter().filter_map(never).collect()
}

impl<'a> Decoded<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counters of a kind.
    #[must_use]
    pub const fn counts(&self, kind: Kind) -> &Counts {
        &self.counts[kind as usize]
    }

    /// The kinds with counters above zero.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(|kind| self.touched >> *kind as u8 & 1 == 1)
    }

    /// Whether any counter beside `input` is above zero.
    #[must_use]
    pub const fn is_notable(&self) -> bool {
        self.notable
    }

    /// The counters of a kind, to note something beside the input.
    pub(super) const fn note(&mut self, kind: Kind) -> &mut Counts {
        self.notable = true;
        self.counts_mut(kind)
    }

    pub(super) const fn counts_mut(&mut self, kind: Kind) -> &mut Counts {
        self.touched |= 1 << kind as u8;
        &mut self.counts[kind as usize]
    }

    /// The place of the next event in its record, whatever becomes of it.
    pub(super) const fn next_index(&mut self) -> u16 {
        self.index = self.index.saturating_add(1);
        self.index - 1
    }

    /// Forgets everything, keeping the memory.
    #[inline]
    pub fn clear(&mut self) {
        while let Some(event) = self.events.pop() {
            self.give_back(event);
        }
        self.found.clear();
        self.dead = None;
        self.index = 0;
        self.notable = false;
        while self.touched != 0 {
            self.counts[self.touched.trailing_zeros() as usize] = Counts::default();
            self.touched &= self.touched - 1;
        }
    }

    /// Forgets everything and is free for records of another lifetime, in the same memory.
    #[must_use]
    pub fn recycle<'b>(mut self) -> Decoded<'b> {
        self.clear();
        Decoded {
            events: recycle(self.events, |_| None),
            dead: None,
            counts: self.counts,
            touched: 0,
            notable: false,
            index: 0,
            found: recycle(self.found, |_| None),
            spare: self
                .spare
                .into_iter()
                .map(|(fields, properties)| (recycle(fields, |_| None), recycle(properties, |_| None)))
                .collect(),
            strings: self.strings,
        }
    }

    /// Begins an event, with recycled lists; it stands last among [`Decoded::events`]. Beside it a string in used memory.
    #[inline]
    pub(super) fn open(&mut self, kind: Kind) -> (&mut Event<'a>, String) {
        let (fields, properties) = self.spare.pop().unwrap_or_default();
        let event = Event { fields, properties, ..Event::new(kind, "", Timestamp::MIN) };
        (self.events.push_mut(event), self.strings.pop().unwrap_or_default())
    }

    /// Takes back the string if it was of no use.
    pub(super) fn keep(&mut self, text: String) {
        if text.capacity() > 0 && self.strings.len() < SPARE_MAX {
            self.strings.push(text);
        }
    }

    /// Drops the event that was begun last.
    pub(super) fn drop_last(&mut self) {
        if let Some(event) = self.events.pop() {
            self.give_back(event);
        }
    }

    /// Takes back the memory of an event that is of no use any more.
    fn give_back(&mut self, event: Event<'a>) {
        let (mut fields, mut properties) = (event.fields, event.properties);
        for (field, value) in fields.drain(..) {
            if field == Field::TemplateId
                && let Value::Text(Text::Owned(mut text)) = value
            {
                text.clear();
                self.keep(text);
            }
        }
        properties.clear();
        if self.spare.len() < SPARE_MAX {
            self.spare.push((fields, properties));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Decoded;
    use crate::event::{Field, Kind, Value};

    #[test]
    fn recycling_keeps_the_memory() {
        let mut decoded = Decoded::new();
        let text = String::from("borrowed");
        for _ in 0..2 {
            let (event, _) = decoded.open(Kind::Usage);
            event.fields.reserve(10);
            event.set(Field::Source, Value::text(text.as_str()));
        }
        let events = decoded.events.as_ptr() as usize;
        let fields = decoded.events[0].fields.as_ptr() as usize;
        let mut again: Decoded<'static> = decoded.recycle();
        drop(text);
        let (event, _) = again.open(Kind::Usage);
        assert!(event.fields.is_empty());
        assert_eq!(event.fields.as_ptr() as usize, fields);
        assert_eq!(again.events.as_ptr() as usize, events);
    }
}
