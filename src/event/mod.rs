//! The vocabulary that all rooms speak: events, their fields, values and times.
//!
//! Pure: nothing here knows a clock, a topic client, a store or a rule.

pub mod bytes;
mod field;
pub mod record;
pub mod routing;
mod time;
mod value;

use std::borrow::Cow;

pub use field::{Field, FieldSet, FieldSpec, FieldType};
pub use time::{ParseTimeError, Timestamp, date_text, parse_date};
pub use value::{Text, Value};

/// A kind of event: which of the contract's records a topic carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// What people and machines do in the product.
    Usage = 0,
    /// Errors, health and incidents.
    ErrorLog = 1,
    /// Invoices, charges, subscriptions.
    Billing = 2,
    /// Tickets, chats, calls.
    Ticket = 3,
    /// Profiles of accounts and users, imported scores.
    Account = 4,
    /// What became of an alert.
    Outcome = 5,
    /// What an operator orders.
    Control = 6,
    /// How an account does: the engine makes these events itself, so no source carries them.
    Health = 7,
}

/// How many kinds there are.
pub const KINDS: usize = Kind::ALL.len();

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Usage,
        Self::ErrorLog,
        Self::Billing,
        Self::Ticket,
        Self::Account,
        Self::Outcome,
        Self::Control,
        Self::Health,
    ];

    /// The kinds of sources.
    pub const SOURCES: [Self; 7] = [
        Self::Usage,
        Self::ErrorLog,
        Self::Billing,
        Self::Ticket,
        Self::Account,
        Self::Outcome,
        Self::Control,
    ];

    /// The word of the rule language and of metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::ErrorLog => "error_log",
            Self::Billing => "billing",
            Self::Ticket => "ticket",
            Self::Account => "account",
            Self::Outcome => "outcome",
            Self::Control => "control",
            Self::Health => "health",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind with this number, as journals store it.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Under which field an event of this kind names what happened: `event` or `type`.
    #[must_use]
    pub const fn name_field(self) -> Field {
        match self {
            Self::Usage | Self::ErrorLog => Field::Event,
            _ => Field::Type,
        }
    }
}

/// Who caused an event. Test and internal traffic is filtered by intake and never reaches the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Traffic {
    /// A person of the customer.
    #[default]
    Customer = 0,
    /// API keys, bots, monitors.
    Automated = 1,
    /// Our own staff, impersonation.
    Internal = 2,
    /// Test traffic.
    Test = 3,
}

impl Traffic {
    /// The symbol of the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Automated => "automated",
            Self::Internal => "internal",
            Self::Test => "test",
        }
    }
}

/// One partition of one source topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourcePartition {
    /// The topic's name.
    pub topic: Box<str>,
    /// The partition's number.
    pub partition: i32,
}

/// Where an event came from: a record of a source, and which of the record's events it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The source's place in the list of sources of the frame that carries the event.
    pub source: u16,
    /// The record's offset.
    pub offset: i64,
    /// The event's place in its record.
    pub index: u16,
}

/// A canonical event: what a source record says, in the contract's own words.
///
/// Strings and values borrow from the record or frame that they were read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// The kind of source.
    pub kind: Kind,
    /// What happened, `thing.happened`.
    pub name: Text<'a>,
    /// When it happened, clamped by intake against the record's own Kafka timestamp.
    pub time: Timestamp,
    /// Whether the time was clamped.
    pub clamped: bool,
    /// The customer account.
    pub account: Option<Text<'a>>,
    /// `namespace:value`, only while the account is not known.
    pub alias: Option<Text<'a>>,
    /// The person, unique within the account.
    pub user: Option<Text<'a>>,
    /// Where the event came from.
    pub position: Position,
    /// XXH3-64 of the event id; repeats of it are dropped.
    pub id: u64,
    /// Who caused it.
    pub traffic: Traffic,
    /// The kind's fields that have a value, in the order of [`Field`], each once.
    /// The name, account, alias, user, id, time and traffic are not repeated here.
    pub fields: Vec<(Field, Value<'a>)>,
    /// Declared properties that have a value, by name, each once; without the `properties.` in front.
    pub properties: Vec<(Text<'a>, Value<'a>)>,
}

/// Most models at a time.
pub const MODELS: usize = 1024;

/// An event that has all but its id, its time, its account and its user in common with another one.
#[derive(Debug, Clone, Copy)]
pub struct Alike<'e> {
    /// The other one; its own account and user say nothing.
    pub model: &'e Event<'static>,
    /// The model's number: no other model ever has it.
    pub number: u64,
    /// The customer account.
    pub account: &'e str,
    /// The person.
    pub user: Option<&'e str>,
    /// XXH3-64 of the event id.
    pub id: u64,
    /// When it happened.
    pub time: Timestamp,
}

impl<'a> Event<'a> {
    /// An event without any optional part.
    #[must_use]
    pub fn new(kind: Kind, name: impl Into<Text<'a>>, time: Timestamp) -> Self {
        Self {
            kind,
            name: name.into(),
            time,
            clamped: false,
            account: None,
            alias: None,
            user: None,
            position: Position::default(),
            id: 0,
            traffic: Traffic::Customer,
            fields: Vec::new(),
            properties: Vec::new(),
        }
    }

    /// The value of a field, those of the envelope included; `None` where it has none.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<Cow<'_, Value<'a>>> {
        let owned = |text: &Text<'a>| Some(Cow::Owned(Value::Text(text.clone())));
        match field {
            Field::Event | Field::Type if field == self.kind.name_field() => owned(&self.name),
            Field::AccountId => self.account.as_ref().and_then(owned),
            Field::AccountAlias => self.alias.as_ref().and_then(owned),
            Field::UserId => self.user.as_ref().and_then(owned),
            Field::EventTime => Some(Cow::Owned(Value::Time(self.time))),
            Field::Traffic => Some(Cow::Owned(Value::text(self.traffic.name()))),
            _ => self
                .fields
                .binary_search_by_key(&field, |(name, _)| *name)
                .ok()
                .and_then(|place| self.fields.get(place))
                .map(|(_, value)| Cow::Borrowed(value)),
        }
    }

    /// The value of a declared property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Value<'a>> {
        self.properties.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// Sets a field, keeping the order.
    pub fn set(&mut self, field: Field, value: Value<'a>) {
        match self.fields.binary_search_by_key(&field, |(name, _)| *name) {
            Ok(place) => self.fields[place].1 = value,
            Err(place) => self.fields.insert(place, (field, value)),
        }
    }

    /// How often the event happened: error logs may stand for many occurrences.
    #[must_use]
    pub fn occurrences(&self) -> u32 {
        match self.get(Field::Occurrences).as_deref() {
            Some(Value::Int(count)) => u32::try_from((*count).max(1)).unwrap_or(u32::MAX),
            _ => 1,
        }
    }

    /// The same event, owning all that it borrowed.
    #[must_use]
    pub fn into_owned(self) -> Event<'static> {
        let own = |text: Text<'a>| -> Text<'static> { Cow::Owned(text.into_owned()) };
        Event {
            kind: self.kind,
            name: own(self.name),
            time: self.time,
            clamped: self.clamped,
            account: self.account.map(own),
            alias: self.alias.map(own),
            user: self.user.map(own),
            position: self.position,
            id: self.id,
            traffic: self.traffic,
            fields: self.fields.into_iter().map(|(field, value)| (field, value.into_owned())).collect(),
            properties: self
                .properties
                .into_iter()
                .map(|(name, value)| (own(name), value.into_owned()))
                .collect(),
        }
    }
}
