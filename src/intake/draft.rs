//! An event in the making: values arrive one by one, the end checks what the contract demands.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

use crate::event::{Event, Field, FieldSet, FieldType, Kind, Text, Timestamp, Traffic, Value};

use super::decoded::{DeadReason, Filtered};
use super::limits::{self, Unfit};
use super::mask::Fingerprints;
use super::properties::Property;
use super::require;
use super::route;
use super::text::Scorer;

/// Event times up to this much after the record's own time are believed, ms.
const AHEAD_MAX_MS: i64 = 300_000;
/// Most properties of an event.
const PROPERTIES_MAX: usize = 32;
/// Longest name of an event, in bytes.
const NAME_MAX: usize = 64;

/// Turns texts into what may be kept of them. One a thread.
pub struct Digest {
    /// For customers' messages.
    pub scorer: Scorer,
    /// For error messages.
    pub fingerprints: Fingerprints,
}

/// Where a value goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A field, those of the envelope included.
    Field(Field),
    /// A property.
    Property(Property),
}

/// Why an event is a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    pub reason: DeadReason,
    pub detail: String,
}

impl Bad {
    pub fn missing(field: Field) -> Self {
        Self { reason: DeadReason::FieldMissing, detail: format!("`{}` is missing", field.spec().name) }
    }

    pub fn invalid(name: &str, why: Unfit) -> Self {
        Self { reason: DeadReason::FieldInvalid, detail: format!("`{name}` is {}", why.0) }
    }
}

/// How an event ends that was read to its last value.
#[derive(Debug)]
pub enum End {
    /// It goes on.
    Event,
    /// It is dropped on purpose.
    Filtered(Filtered),
    /// Nobody knows whose it is.
    Unattributed,
    /// It is a dead letter.
    Bad(Bad),
}

/// What the source says of all its events.
pub struct Surroundings<'s> {
    /// Environments to admit.
    pub environments: &'s [Box<str>],
    /// Event names to drop.
    pub exclude: &'s [Box<str>],
    /// The record's own time; negative: none.
    pub timestamp: Timestamp,
    /// The record's key.
    pub key: Option<&'s [u8]>,
}

/// An event in the making.
pub struct Draft<'d, 'a> {
    pub event: &'d mut Event<'a>,
    /// The mapping has no row for what happened.
    pub unmapped: bool,
    cuts: u32,
    /// Memory for a fingerprint.
    spare: String,
    /// The fields that the event has, those of the envelope apart.
    seen: FieldSet,
    id: Option<Text<'a>>,
    time: Option<Timestamp>,
    message: Option<Text<'a>>,
    body: Option<Text<'a>>,
    bad: Option<Bad>,
    more_properties: bool,
}

/// What is left of a draft when its event is made.
pub struct Made {
    pub cuts: u32,
    pub clamped: bool,
    pub spare: String,
}

impl<'d, 'a> Draft<'d, 'a> {
    /// Lets go of the event.
    pub fn into_made(self) -> Made {
        Made { cuts: self.cuts, clamped: self.event.clamped, spare: self.spare }
    }

    pub fn new((event, spare): (&'d mut Event<'a>, String)) -> Self {
        Self {
            event,
            cuts: 0,
            unmapped: false,
            spare,
            seen: FieldSet::default(),
            id: None,
            time: None,
            message: None,
            body: None,
            bad: None,
            more_properties: false,
        }
    }

    /// Takes in a string that was not copied: [`Draft::put`], with a short cut for what is taken as it is.
    #[inline]
    pub fn put_text(&mut self, target: &Target, text: &'a str) {
        if let Target::Field(field) = target
            && self.take_text(*field, text)
        {
            return;
        }
        self.put(target, Value::Text(Cow::Borrowed(text)));
    }

    /// False: it needs a closer look.
    #[inline]
    fn take_text(&mut self, field: Field, text: &'a str) -> bool {
        let own = Cow::Borrowed(text);
        match field {
            Field::Event | Field::Type => self.event.name = own,
            Field::Message => self.message = Some(own),
            Field::AccountId if limits::fits_id(text) => self.event.account = Some(own),
            Field::UserId if limits::fits_id(text) => self.event.user = Some(own),
            Field::EventId if limits::fits_id(text) => self.id = Some(own),
            Field::AccountId
            | Field::UserId
            | Field::EventId
            | Field::AccountAlias
            | Field::Traffic
            | Field::Body
            | Field::Traceparent => return false,
            _ if field.spec().ty == FieldType::Text && limits::fits(field, text) => {
                self.push(field, Value::Text(own));
            }
            _ => return false,
        }
        true
    }

    /// Takes in an integer: [`Draft::put`], with a short cut.
    #[inline]
    pub fn put_int(&mut self, target: &Target, number: i64) {
        match target {
            Target::Field(field) if field.spec().ty == FieldType::Int => {
                self.push(*field, Value::Int(number));
            }
            _ => self.put(target, Value::Int(number)),
        }
    }

    /// Takes in a value. The first that does not fit makes the event bad, unless it is filtered anyway.
    #[inline]
    pub fn put(&mut self, target: &Target, value: Value<'a>) {
        let done = match target {
            Target::Field(field) => self.put_field(*field, value),
            Target::Property(property) => self.put_property(property, value),
        };
        if let Err(why) = done
            && self.bad.is_none()
        {
            self.bad = Some(match target {
                Target::Field(field) => Bad::invalid(field.spec().name, why),
                Target::Property(property) => Bad::invalid(&format!("properties.{}", property.name), why),
            });
        }
    }

    #[inline]
    fn put_field(&mut self, field: Field, value: Value<'a>) -> Result<(), Unfit> {
        match field {
            Field::Event | Field::Type => self.event.name = limits::string(value)?,
            Field::AccountId => self.event.account = Some(limits::id(value)?),
            Field::AccountAlias => self.event.alias = Some(limits::id(value)?),
            Field::UserId => self.event.user = Some(limits::id(value)?),
            Field::EventId => self.id = Some(limits::id(value)?),
            Field::EventTime => self.time = Some(limits::time(&value)?),
            Field::Traffic => {
                self.event.traffic = match &*limits::string(value)? {
                    "automated" => Traffic::Automated,
                    "internal" => Traffic::Internal,
                    "test" => Traffic::Test,
                    _ => Traffic::Customer,
                }
            }
            Field::Message => self.message = Some(limits::string(value)?),
            Field::Body => self.body = Some(limits::string(value)?),
            Field::Traceparent => {
                let text = limits::string(value)?;
                if is_sampled(&text) {
                    self.push(field, Value::Text(text));
                }
            }
            _ => {
                let value = limits::typed(field, value, &mut self.cuts)?;
                // An empty collection says as much as none.
                if !matches!(&value, Value::List(items) if items.is_empty())
                    && !matches!(&value, Value::Map(entries) if entries.is_empty())
                {
                    self.push(field, value);
                }
            }
        }
        Ok(())
    }

    fn put_property(&mut self, property: &Property, value: Value<'a>) -> Result<(), Unfit> {
        if self.event.properties.len() >= PROPERTIES_MAX {
            self.cuts += u32::from(!self.more_properties);
            self.more_properties = true;
            return Ok(());
        }
        let value = property.ty.typed(value, &mut self.cuts)?;
        match self.event.properties.binary_search_by(|(own, _)| own.cmp(&property.name)) {
            Ok(place) => self.event.properties[place].1 = value,
            Err(place) => self.event.properties.insert(place, (property.name.clone(), value)),
        }
        Ok(())
    }

    /// Sets a field; in the order of the catalogue this is but an append.
    #[inline]
    fn push(&mut self, field: Field, value: Value<'a>) {
        self.seen.insert(field);
        if self.event.fields.last().is_none_or(|(last, _)| *last < field) {
            self.event.fields.push((field, value));
        } else {
            self.event.set(field, value);
        }
    }

    /// The value of a field outside the envelope.
    #[inline]
    fn value(&self, field: Field) -> Option<&Value<'a>> {
        if self.seen.contains(field) { require::value(self.event, field) } else { None }
    }

    fn text(&self, field: Field) -> Option<&Text<'a>> {
        match self.value(field)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    #[inline]
    fn default(&mut self, field: Field, value: Value<'a>) {
        if !self.seen.contains(field) {
            self.push(field, value);
        }
    }

    /// Completes and checks the event.
    pub fn finish(&mut self, around: &Surroundings<'_>, digest: &mut Digest) -> End {
        if let Some(reason) = self.filtered(around) {
            return End::Filtered(reason);
        }
        let done = match self.bad.take() {
            Some(bad) => Err(bad),
            None => self.complete(around, digest),
        };
        if let Err(bad) = done {
            return End::Bad(bad);
        }
        let attributed = self.event.account.is_some() || route::route(self.event).is_some();
        if attributed { End::Event } else { End::Unattributed }
    }

    fn filtered(&self, around: &Surroundings<'_>) -> Option<Filtered> {
        match self.event.traffic {
            Traffic::Test => return Some(Filtered::Test),
            Traffic::Internal => return Some(Filtered::Internal),
            Traffic::Customer | Traffic::Automated => {}
        }
        if let Some(environment) = self.text(Field::Environment)
            && !around.environments.iter().any(|own| **own == **environment)
        {
            return Some(Filtered::Environment);
        }
        if self.unmapped {
            return Some(Filtered::Unmapped);
        }
        around.exclude.iter().any(|name| **name == *self.event.name).then_some(Filtered::Excluded)
    }

    fn complete(&mut self, around: &Surroundings<'_>, digest: &mut Digest) -> Result<(), Bad> {
        self.set_name()?;
        self.set_time(around.timestamp)?;
        let id = self.id.as_ref().ok_or_else(|| Bad::missing(Field::EventId))?;
        self.event.id = xxh3_64(id.as_bytes());
        match self.event.kind {
            Kind::ErrorLog => self.complete_error(&mut digest.fingerprints),
            Kind::Billing => self.default(Field::ObjectVersion, Value::Int(self.event.time.0)),
            Kind::Ticket => self.complete_ticket(&mut digest.scorer),
            Kind::Account => self.complete_account(around),
            Kind::Usage | Kind::Outcome | Kind::Control | Kind::Health => {}
        }
        if self.event.account.is_some() {
            self.event.alias = None;
        }
        if let Some(alias) = &self.event.alias
            && alias.split_once(':').is_none_or(|(space, value)| space.is_empty() || value.is_empty())
        {
            return Err(Bad::invalid("account_alias", Unfit("not `namespace:value`")));
        }
        require::check(self.event)
    }

    fn set_name(&self) -> Result<(), Bad> {
        let name = &self.event.name;
        let field = self.event.kind.name_field();
        if name.is_empty() {
            return Err(Bad::missing(field));
        }
        let fits = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
        };
        if name.len() > NAME_MAX || !name.bytes().all(fits) {
            return Err(Bad::invalid(field.spec().name, Unfit("not a lower-case name of at most 64 bytes")));
        }
        Ok(())
    }

    /// The event's time: absent, the record's; too far after that, the record's as well.
    fn set_time(&mut self, record: Timestamp) -> Result<(), Bad> {
        let known = (record.0 >= 0).then_some(record);
        self.event.time = match (self.time, known) {
            (Some(time), Some(record)) if is_ahead(time, record) => {
                self.event.clamped = true;
                record
            }
            (Some(time), _) => time,
            (None, Some(record)) => record,
            (None, None) => return Err(Bad::missing(Field::EventTime)),
        };
        Ok(())
    }

    fn complete_error(&mut self, fingerprints: &mut Fingerprints) {
        self.default(Field::SeverityNumber, Value::Int(17));
        if !self.seen.contains(Field::ErrorCode) {
            let code = self.text(Field::ErrorType).cloned().unwrap_or(Cow::Borrowed("unclassified"));
            self.push(Field::ErrorCode, Value::Text(code));
        }
        if let Some(message) = self.message.take()
            && !self.seen.contains(Field::TemplateId)
        {
            let mut template = std::mem::take(&mut self.spare);
            fingerprints.template_id(&message, &mut template);
            self.push(Field::TemplateId, Value::Text(Cow::Owned(template)));
        }
        self.default(Field::Scope, Value::text("account"));
        // One occurrence is what absence means to every reader.
        if self.value(Field::Occurrences) == Some(&Value::Int(1)) {
            self.event.fields.retain(|(field, _)| *field != Field::Occurrences);
        }
    }

    fn complete_ticket(&mut self, scorer: &mut Scorer) {
        self.default(Field::Author, Value::text("system"));
        self.default(Field::IsPublic, Value::Bool(true));
        self.default(Field::IsFollowUp, Value::Bool(false));
        if self.event.user.is_none() {
            self.event.user = self.text(Field::RequesterId).cloned();
        }
        let Some(body) = self.body.take() else { return };
        let spoken = matches!(&*self.event.name, "ticket.created" | "ticket.comment_added")
            && self.text(Field::Author).is_some_and(|author| author == "customer")
            && self.value(Field::IsPublic) == Some(&Value::Bool(true));
        if spoken {
            let body = limits::body(body, &mut self.cuts);
            for (field, value) in scorer.features(&body) {
                self.push(field, value);
            }
        }
    }

    fn complete_account(&mut self, around: &Surroundings<'_>) {
        if self.event.account.is_none()
            && let Some(key) = around.key.and_then(|key| std::str::from_utf8(key).ok())
        {
            let account = key.split('/').next().unwrap_or(key);
            if (1..=128).contains(&account.len()) {
                self.event.account = Some(Cow::Owned(account.to_owned()));
            }
        }
        if self.event.name == "account.updated" {
            self.default(Field::DoNotContact, Value::Bool(false));
        } else {
            // The default of a column that all three types share says nothing about users and models.
            self.event.fields.retain(|(field, _)| *field != Field::DoNotContact);
        }
    }
}

/// Whether a time is too far after the record's own, which may be unknown.
const fn is_ahead(time: Timestamp, record: Timestamp) -> bool {
    record.0 >= 0 && time.since(record) > AHEAD_MAX_MS
}

/// The time that an event of a record says it has, unless it has to be another one.
pub fn believed(time: Timestamp, record: Timestamp) -> Option<Timestamp> {
    (limits::is_time(time) && !is_ahead(time, record)).then_some(time)
}

/// Whether a W3C trace context says that it is sampled.
fn is_sampled(traceparent: &str) -> bool {
    let bytes = traceparent.as_bytes();
    let hex = |byte: &u8| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase();
    let parts = [(0, 2), (3, 35), (36, 52), (53, 55)];
    bytes.len() == 55
        && parts.iter().all(|(from, to)| bytes[*from..*to].iter().all(hex))
        && [2, 35, 52].iter().all(|dash| bytes[*dash] == b'-')
        && matches!(bytes[54], b'1' | b'3' | b'5' | b'7' | b'9' | b'b' | b'd' | b'f')
}
