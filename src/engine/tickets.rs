//! What is known of a ticket: its current attributes, and those of its events that move when they change.

use crate::event::bytes::{FormatError, Reader, put_signed, put_text, put_value, put_varint};
use crate::event::{Event, Field, Kind, Position, Timestamp, Value};

use super::conversation::Conversation;
use super::helpdesk::Counted;
use super::matches::{TICKET_ATTRIBUTES, find};
use super::profile::read_fields;

/// Most events of a ticket that are kept to be moved; the oldest go.
const KEPT_MAX: usize = 32;

/// When an attribute was said: event time, then source position.
pub type Stamp = (Timestamp, i64, u16);

/// The state of one ticket.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ticket {
    /// Current attributes, in the order of [`Field`]; the computed `issue_key` among them.
    pub attributes: Vec<(Field, Value<'static>)>,
    /// When each of [`TICKET_ATTRIBUTES`] was said.
    stamps: Vec<(Field, Stamp)>,
    /// Events that contribute to rows that depend on attributes.
    pub kept: Vec<Event<'static>>,
    /// What it has been counted for.
    pub counted: Counted,
    /// Who waits for whom.
    pub conversation: Conversation,
}

/// The stamp of an event.
#[must_use]
pub const fn stamp(event: &Event<'_>) -> Stamp {
    (event.time, event.position.offset, event.position.index)
}

impl Ticket {
    /// Merges an event's attributes in; whether anything changed.
    pub fn merge(&mut self, event: &Event<'_>) -> bool {
        let mut changed = false;
        for field in TICKET_ATTRIBUTES.into_iter().filter(|field| *field != Field::IssueKey) {
            let Some(value) = event.get(field) else { continue };
            let own = stamp(event);
            match self.stamps.iter_mut().find(|(known, _)| *known == field) {
                Some((_, known)) if *known > own => continue,
                Some((_, known)) => *known = own,
                None => self.stamps.push((field, own)),
            }
            if find(Some(&self.attributes), field) != Some(value.as_ref()) {
                set(&mut self.attributes, field, Some(value.into_owned().into_owned()));
                changed = true;
            }
        }
        if changed {
            let key = self.issue_key();
            set(&mut self.attributes, Field::IssueKey, key);
        }
        changed
    }

    /// `root_cause`, else `problem_id`, else `feature_area/category`.
    fn issue_key(&self) -> Option<Value<'static>> {
        let get = |field| find(Some(&self.attributes), field);
        if let Some(value) = get(Field::RootCause).or_else(|| get(Field::ProblemId)) {
            return Some(value.clone());
        }
        let area = get(Field::FeatureArea)?.as_text()?;
        let category = get(Field::Category).and_then(Value::as_text).unwrap_or("-");
        Some(Value::text(format!("{area}/{category}")))
    }

    /// Keeps an event that may have to move.
    pub fn keep(&mut self, event: Event<'static>) {
        let at = self.kept.partition_point(|own| stamp(own) <= stamp(&event));
        self.kept.insert(at, event);
        if self.kept.len() > KEPT_MAX {
            self.kept.remove(0);
        }
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_fields(out, &self.attributes);
        put_varint(out, self.stamps.len() as u64);
        for (field, (time, offset, index)) in &self.stamps {
            put_varint(out, u64::from(field.number()));
            put_signed(out, time.0);
            put_signed(out, *offset);
            put_varint(out, u64::from(*index));
        }
        put_varint(out, self.kept.len() as u64);
        self.kept.iter().for_each(|event| put_event(out, event));
        self.counted.encode(out, !self.conversation.is_empty());
        if !self.conversation.is_empty() {
            self.conversation.encode(out);
        }
    }

    /// Reads what [`Ticket::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are not what it wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let attributes = read_fields(reader)?;
        let mut ticket = Self { attributes, ..Self::default() };
        for _ in 0..reader.count()? {
            let number = u16::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("field"))?;
            let field = Field::from_number(number).ok_or(FormatError::Malformed("field"))?;
            ticket.stamps.push((field, (reader.time()?, reader.signed()?, small(reader)?)));
        }
        for _ in 0..reader.count()? {
            ticket.kept.push(event(reader)?);
        }
        let (counted, has_more) = Counted::decode(reader)?;
        ticket.counted = counted;
        if has_more {
            ticket.conversation = Conversation::decode(reader)?;
        }
        Ok(ticket)
    }
}

fn set(fields: &mut Vec<(Field, Value<'static>)>, field: Field, value: Option<Value<'static>>) {
    match (fields.binary_search_by_key(&field, |(own, _)| *own), value) {
        (Ok(place), Some(value)) => fields[place].1 = value,
        (Ok(place), None) => {
            fields.remove(place);
        }
        (Err(place), Some(value)) => fields.insert(place, (field, value)),
        (Err(_), None) => {}
    }
}

fn small(reader: &mut Reader<'_>) -> Result<u16, FormatError> {
    u16::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("number"))
}

fn put_fields(out: &mut Vec<u8>, fields: &[(Field, Value<'static>)]) {
    put_varint(out, fields.len() as u64);
    for (field, value) in fields {
        put_varint(out, u64::from(field.number()));
        put_value(out, value);
    }
}

/// An event of this ticket: account and kind are the row's, id and traffic are no longer asked for.
fn put_event(out: &mut Vec<u8>, event: &Event<'static>) {
    put_text(out, &event.name);
    put_signed(out, event.time.0);
    put_varint(out, u64::from(event.position.source));
    put_signed(out, event.position.offset);
    put_varint(out, u64::from(event.position.index));
    put_text(out, event.account.as_deref().unwrap_or_default());
    out.push(u8::from(event.user.is_some()));
    if let Some(user) = &event.user {
        put_text(out, user);
    }
    put_fields(out, &event.fields);
    put_varint(out, event.properties.len() as u64);
    for (name, value) in &event.properties {
        put_text(out, name);
        put_value(out, value);
    }
}

fn event(reader: &mut Reader<'_>) -> Result<Event<'static>, FormatError> {
    let name = reader.text()?.to_owned();
    let mut event = Event::new(Kind::Ticket, name, reader.time()?);
    event.position = Position { source: small(reader)?, offset: reader.signed()?, index: small(reader)? };
    event.account = Some(reader.text()?.to_owned().into());
    if reader.byte()? != 0 {
        event.user = Some(reader.text()?.to_owned().into());
    }
    event.fields = read_fields(reader)?;
    for _ in 0..reader.count()? {
        event.properties.push((reader.text()?.to_owned().into(), reader.value()?.into_owned()));
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::Ticket;
    use crate::engine::matches::find;
    use crate::event::bytes::Reader;
    use crate::event::{Event, Field, Kind, Timestamp, Value};

    fn tagged(time: i64, tags: &[(Field, &'static str)]) -> Event<'static> {
        let mut event = Event::new(Kind::Ticket, "ticket.tags_changed", Timestamp(time));
        event.account = Some("acme".into());
        tags.iter().for_each(|(field, value)| event.set(*field, Value::text(*value)));
        event
    }

    fn key(ticket: &Ticket) -> Option<&str> {
        find(Some(&ticket.attributes), Field::IssueKey).and_then(Value::as_text)
    }

    #[test]
    fn the_issue_key_follows_the_newest_tags() {
        let mut ticket = Ticket::default();
        assert!(!ticket.merge(&tagged(1, &[])));
        assert!(ticket.merge(&tagged(2, &[(Field::FeatureArea, "export")])));
        assert_eq!(key(&ticket), Some("export/-"));
        ticket.merge(&tagged(5, &[(Field::Category, "error")]));
        assert_eq!(key(&ticket), Some("export/error"));
        ticket.merge(&tagged(6, &[(Field::RootCause, "token")]));
        assert_eq!(key(&ticket), Some("token"));
        assert!(!ticket.merge(&tagged(4, &[(Field::RootCause, "older")])), "an older tag changes nothing");
        assert_eq!(key(&ticket), Some("token"));
    }

    #[test]
    fn it_is_read_back() {
        let mut ticket = Ticket::default();
        ticket.merge(&tagged(2, &[(Field::FeatureArea, "export")]));
        ticket.keep(tagged(2, &[(Field::FeatureArea, "export")]));
        let mut bytes = Vec::new();
        ticket.encode(&mut bytes);
        assert_eq!(Ticket::decode(&mut Reader::new(&bytes)).unwrap(), ticket);
    }
}
