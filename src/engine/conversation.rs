//! What a ticket's events come to: how long its customer waits for an answer, how often it came back, until when it is due.

use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};
use crate::event::{Event, Field, Timestamp, Value};

use super::tickets::{Stamp, stamp};

/// Most messages of a customer that are counted; the number stays there.
const ASKED_MAX: usize = 64;

/// What rules can test of a ticket (`rules.md` §3, `points.if`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// Public messages of the customer after the newest public one of an agent.
    pub unanswered: u32,
    /// How often it was reopened.
    pub reopens: u32,
    /// Whether an event of this time is later than its promise.
    pub past_sla: bool,
}

/// What is remembered of a ticket's events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conversation {
    /// The newest public message of an agent.
    answered: Option<Timestamp>,
    /// Public messages of the customer after that, in order.
    asked: Vec<Timestamp>,
    reopens: u32,
    /// What was promised last, and when that was said.
    due: Option<(Timestamp, Stamp)>,
}

impl Conversation {
    /// Takes an event of the ticket in.
    pub fn take(&mut self, event: &Event<'_>) {
        if &*event.name == "ticket.reopened" {
            self.reopens = self.reopens.saturating_add(1);
        }
        if let Some(Value::Time(due)) = event.get(Field::SlaBreachAt).as_deref()
            && self.due.is_none_or(|(_, said)| said <= stamp(event))
        {
            self.due = Some((*due, stamp(event)));
        }
        let public = event.get(Field::IsPublic).as_deref() != Some(&Value::Bool(false));
        if !public || !matches!(&*event.name, "ticket.created" | "ticket.comment_added") {
            return;
        }
        match event.get(Field::Author).as_deref().and_then(Value::as_text) {
            Some("agent") => {
                self.answered = self.answered.max(Some(event.time));
                self.asked.retain(|asked| Some(*asked) > self.answered);
            }
            Some("customer") if Some(event.time) > self.answered && self.asked.len() < ASKED_MAX => {
                let place = self.asked.partition_point(|asked| *asked <= event.time);
                self.asked.insert(place, event.time);
            }
            _ => {}
        }
    }

    /// What it comes to for an event of this time.
    #[must_use]
    pub fn facts(&self, time: Timestamp) -> Facts {
        Facts {
            unanswered: u32::try_from(self.asked.len()).unwrap_or(u32::MAX),
            reopens: self.reopens,
            past_sla: self.due.is_some_and(|(due, _)| time > due),
        }
    }

    /// Whether there is nothing to remember.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let known = u64::from(self.answered.is_some()) | u64::from(self.due.is_some()) << 1;
        put_varint(out, known);
        if let Some(answered) = self.answered {
            put_signed(out, answered.0);
        }
        if let Some((due, (time, offset, index))) = self.due {
            put_signed(out, due.0);
            put_signed(out, time.0);
            put_signed(out, offset);
            put_varint(out, u64::from(index));
        }
        put_varint(out, u64::from(self.reopens));
        put_varint(out, self.asked.len() as u64);
        self.asked.iter().for_each(|asked| put_signed(out, asked.0));
    }

    /// Reads what [`Conversation::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are not what it wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        const BAD: FormatError = FormatError::Malformed("conversation");
        let known = reader.varint()?;
        let answered = if known & 1 == 0 { None } else { Some(reader.time()?) };
        let due = if known & 2 == 0 {
            None
        } else {
            let (due, time, offset) = (reader.time()?, reader.time()?, reader.signed()?);
            Some((due, (time, offset, u16::try_from(reader.varint()?).map_err(|_| BAD)?)))
        };
        let reopens = u32::try_from(reader.varint()?).map_err(|_| BAD)?;
        let count = reader.count()?;
        if count > ASKED_MAX {
            return Err(BAD);
        }
        let asked = (0..count).map(|_| reader.time()).collect::<Result<_, _>>()?;
        Ok(Self { answered, asked, reopens, due })
    }
}

#[cfg(test)]
mod tests {
    use super::{Conversation, Facts};
    use crate::event::bytes::Reader;
    use crate::event::{Event, Field, Kind, Timestamp, Value};

    fn said(conversation: &mut Conversation, name: &str, (time, author): (i64, &str), public: bool) -> u32 {
        let mut event = Event::new(Kind::Ticket, name, Timestamp(time));
        event.set(Field::Author, Value::text(author.to_owned()));
        event.set(Field::IsPublic, Value::Bool(public));
        conversation.take(&event);
        conversation.facts(Timestamp(time)).unanswered
    }

    #[test]
    fn a_customer_waits_until_an_agent_answers_in_public() {
        let mut own = Conversation::default();
        assert_eq!(said(&mut own, "ticket.created", (10, "customer"), true), 1);
        assert_eq!(said(&mut own, "ticket.comment_added", (20, "customer"), true), 2);
        assert_eq!(said(&mut own, "ticket.comment_added", (25, "agent"), false), 2, "a note is no answer");
        assert_eq!(said(&mut own, "ticket.comment_added", (26, "customer"), false), 2);
        assert_eq!(said(&mut own, "ticket.comment_added", (27, "bot"), true), 2);
        assert_eq!(said(&mut own, "ticket.status_changed", (28, "agent"), true), 2);
        assert_eq!(
            said(&mut own, "ticket.comment_added", (15, "agent"), true),
            1,
            "a late answer to the first"
        );
        assert_eq!(said(&mut own, "ticket.comment_added", (14, "customer"), true), 1, "answered already");
        assert_eq!(said(&mut own, "ticket.comment_added", (20, "agent"), true), 0, "at the same time");
        for time in 30..130 {
            said(&mut own, "ticket.comment_added", (time, "customer"), true);
        }
        assert_eq!(own.facts(Timestamp(0)).unanswered, 64);
    }

    #[test]
    fn promises_and_returns_are_known_whatever_the_order() {
        let mut own = Conversation::default();
        let mut promised = |time: i64, due: i64| {
            let mut event = Event::new(Kind::Ticket, "ticket.updated", Timestamp(time));
            event.set(Field::SlaBreachAt, Value::Time(Timestamp(due)));
            own.take(&event);
        };
        promised(20, 100);
        promised(10, 50);
        own.take(&Event::new(Kind::Ticket, "ticket.reopened", Timestamp(30)));
        assert_eq!(own.facts(Timestamp(100)), Facts { unanswered: 0, reopens: 1, past_sla: false });
        assert!(own.facts(Timestamp(101)).past_sla);
        said(&mut own, "ticket.comment_added", (110, "agent"), true);
        said(&mut own, "ticket.comment_added", (120, "customer"), true);
        let mut bytes = Vec::new();
        own.encode(&mut bytes);
        assert_eq!(bytes, [3, 220, 1, 200, 1, 40, 0, 0, 1, 1, 240, 1]);
        assert_eq!(Conversation::decode(&mut Reader::new(&bytes)).unwrap(), own);
        assert!(Conversation::decode(&mut Reader::new(&[0, 0, 65])).is_err());
    }
}
