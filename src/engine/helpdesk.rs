//! What tickets say of the help desk (`contracts.md` §8.2): counted at the ticket's row, each thing once a ticket.

use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};
use crate::event::{Event, Field, Timestamp, Value};

use super::matches::find;
use super::tickets::Ticket;

/// Counters of one run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct TicketTally {
    /// Of each ticket created, follow-ups and merged ones apart: what it is about, the most precise name first.
    pub created: Vec<Vec<Box<str>>>,
    /// The same of those of them that repeat an issue.
    pub repeats: Vec<Vec<Box<str>>>,
    /// Tickets at their first escalation.
    pub escalated: u64,
    /// Tickets at their first escalation to engineering.
    pub to_engineering: u64,
    /// Tickets at the first request for a manager.
    pub manager_requests: u64,
    /// Tags that were there when they should have been, and those that were not, by the place in [`Tag::ALL`].
    pub tags: [Present; Tag::ALL.len()],
    /// From solved to tagged, ms.
    pub tag_lags_ms: Vec<i64>,
}

/// How many of something were there, and how many were not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as the type says")]
pub struct Present {
    pub yes: u64,
    pub no: u64,
}

impl Present {
    const fn add(&mut self, present: bool) {
        if present {
            self.yes += 1;
        } else {
            self.no += 1;
        }
    }
}

/// A tag that tickets should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// When it is solved.
    FeatureArea = 0,
    /// When it is escalated.
    EscalationReason = 1,
    /// When a repeat is solved.
    RootCause = 2,
}

impl Tag {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::FeatureArea, Self::EscalationReason, Self::RootCause];

    /// The label of the metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FeatureArea => "feature_area",
            Self::EscalationReason => "escalation_reason",
            Self::RootCause => "root_cause",
        }
    }
}

const CREATED: u8 = 1;
const ESCALATED: u8 = 1 << 1;
const ENGINEERING: u8 = 1 << 2;
const MANAGER: u8 = 1 << 3;
const TAGGED: u8 = 1 << 4;
/// In the bytes only: more of the ticket follows.
const MORE: u8 = 1 << 5;
/// It is on an issue that the account had before.
const REPEAT: u8 = 1 << 6;
/// In the bytes only: the time of creation follows.
const HAS_CREATED: u8 = 1 << 7;

/// What a ticket has been counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    flags: u8,
    solved: Option<Timestamp>,
    created: Option<Timestamp>,
}

impl Counted {
    /// Whether it had not been counted for this before.
    const fn first(&mut self, what: u8) -> bool {
        let new = self.flags & what == 0;
        self.flags |= what;
        new
    }

    const fn has(self, what: u8) -> bool {
        self.flags & what != 0
    }

    /// When the ticket was created, event time, if it is one of its own: no follow-up, and merged into none.
    #[must_use]
    pub const fn own_since(self) -> Option<Timestamp> {
        self.created
    }

    /// Appends its bytes, and whether more of the ticket follows.
    pub fn encode(self, out: &mut Vec<u8>, has_more: bool) {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = self.flags | flag(has_more, MORE) | flag(self.created.is_some(), HAS_CREATED);
        put_varint(out, u64::from(flags) << 1 | u64::from(self.solved.is_some()));
        self.solved.into_iter().chain(self.created).for_each(|time| put_signed(out, time.0));
    }

    /// Reads what [`Counted::encode`] wrote, and whether more of the ticket follows.
    ///
    /// # Errors
    /// If the bytes are not what it wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<(Self, bool), FormatError> {
        let packed = reader.varint()?;
        let flags = u8::try_from(packed >> 1).map_err(|_| FormatError::Malformed("ticket"))?;
        let solved = if packed & 1 == 0 { None } else { Some(reader.time()?) };
        let created = if flags & HAS_CREATED == 0 { None } else { Some(reader.time()?) };
        Ok((Self { flags: flags & !(MORE | HAS_CREATED), solved, created }, flags & MORE != 0))
    }
}

fn text<'a>(event: &'a Event<'_>, field: Field) -> Option<std::borrow::Cow<'a, str>> {
    match event.get(field)? {
        std::borrow::Cow::Borrowed(value) => value.as_text().map(std::borrow::Cow::Borrowed),
        std::borrow::Cow::Owned(value) => value.as_text().map(|text| text.to_owned().into()),
    }
}

fn time(event: &Event<'_>, field: Field) -> Option<Timestamp> {
    match event.get(field).as_deref() {
        Some(Value::Time(time)) => Some(*time),
        _ => None,
    }
}

/// What a ticket is about, the most precise name first.
fn about(event: &Event<'_>, ticket: &Ticket) -> Vec<Box<str>> {
    let of_ticket = |field| find(Some(&ticket.attributes), field).and_then(Value::as_text);
    let known = [of_ticket(Field::IssueKey), of_ticket(Field::FeatureArea)];
    let mut about: Vec<Box<str>> = known.into_iter().flatten().map(Into::into).collect();
    about.extend(text(event, Field::Integration).map(|integration| (&*integration).into()));
    about
}

impl TicketTally {
    /// Takes in an event of a ticket, whose attributes are merged already; `repeats` says whether it is on an issue that the
    /// account had before.
    pub fn take(&mut self, event: &Event<'_>, ticket: &mut Ticket, repeats: bool) {
        if repeats && ticket.counted.first(REPEAT) {
            self.repeats.push(about(event, ticket));
        }
        self.count_escalation(event, ticket);
        self.count_tags(event, ticket);
        let asks = |value: &Value<'_>| matches!(value, Value::List(all) if all.iter().any(|class| class.as_text() == Some("manager_request")));
        if event.get(Field::TextClasses).as_deref().is_some_and(asks) && ticket.counted.first(MANAGER) {
            self.manager_requests += 1;
        }
    }

    /// Takes in the creation of a ticket, if the event is that.
    pub fn count_creation(&mut self, event: &Event<'_>, ticket: &mut Ticket) {
        if &*event.name != "ticket.created" || !ticket.counted.first(CREATED) {
            return;
        }
        let follows = matches!(event.get(Field::IsFollowUp).as_deref(), Some(Value::Bool(true)));
        if follows || event.get(Field::MergedInto).is_some() {
            return;
        }
        ticket.counted.created = Some(event.time);
        self.created.push(about(event, ticket));
    }

    fn count_escalation(&mut self, event: &Event<'_>, ticket: &mut Ticket) {
        if &*event.name != "ticket.escalated" {
            return;
        }
        if ticket.counted.first(ESCALATED) {
            self.escalated += 1;
            self.tags[Tag::EscalationReason as usize].add(event.get(Field::EscalationReason).is_some());
        }
        let to = text(event, Field::EscalatedTo);
        if to.as_deref() == Some("engineering") && ticket.counted.first(ENGINEERING) {
            self.to_engineering += 1;
        }
    }

    fn count_tags(&mut self, event: &Event<'_>, ticket: &mut Ticket) {
        let is_solved = text(event, Field::Status).as_deref() == Some("solved");
        if is_solved && ticket.counted.solved.is_none() {
            ticket.counted.solved = Some(time(event, Field::SolvedAt).unwrap_or(event.time));
            let tagged = find(Some(&ticket.attributes), Field::FeatureArea).is_some();
            self.tags[Tag::FeatureArea as usize].add(tagged);
            if ticket.counted.has(REPEAT) {
                let tagged = find(Some(&ticket.attributes), Field::RootCause).is_some();
                self.tags[Tag::RootCause as usize].add(tagged);
            }
        }
        // A ticket tagged before it was solved is tagged on time.
        if let (Some(solved), Some(tagged)) = (ticket.counted.solved, time(event, Field::TaggedAt))
            && ticket.counted.first(TAGGED)
        {
            self.tag_lags_ms.push(tagged.since(solved).max(0));
        }
    }

    /// Back to zero.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::{Counted, Present, Tag, TicketTally};
    use crate::engine::tickets::Ticket;
    use crate::event::bytes::Reader;
    use crate::event::{Event, Field, Kind, Timestamp, Value};

    fn event(name: &'static str, time: i64, fields: &[(Field, Value<'static>)]) -> Event<'static> {
        let mut event = Event::new(Kind::Ticket, name, Timestamp(time));
        event.account = Some("acme".into());
        fields.iter().for_each(|(field, value)| event.set(*field, value.clone()));
        event
    }

    #[test]
    fn each_thing_counts_once_a_ticket() {
        let (mut tally, mut ticket) = (TicketTally::default(), Ticket::default());
        let mut take = |event: Event<'static>| {
            ticket.merge(&event);
            tally.count_creation(&event, &mut ticket);
            tally.take(&event, &mut ticket, false);
        };
        let area = (Field::FeatureArea, Value::text("export"));
        take(event("ticket.created", 1, std::slice::from_ref(&area)));
        take(event("ticket.created", 1, &[area]));
        let class = Value::List(vec![Value::text("manager_request")]);
        take(event("ticket.comment_added", 2, &[(Field::TextClasses, class.clone())]));
        take(event("ticket.comment_added", 3, &[(Field::TextClasses, class)]));
        take(event("ticket.escalated", 4, &[(Field::EscalatedTo, Value::text("manager"))]));
        let engineering = (Field::EscalatedTo, Value::text("engineering"));
        take(event("ticket.escalated", 5, &[engineering, (Field::EscalationReason, Value::text("bug"))]));
        take(event("ticket.status_changed", 100, &[(Field::Status, Value::text("solved"))]));
        take(event("ticket.tags_changed", 160, &[(Field::TaggedAt, Value::Time(Timestamp(150)))]));
        take(event("ticket.tags_changed", 190, &[(Field::TaggedAt, Value::Time(Timestamp(190)))]));
        assert_eq!(tally.created, [[Box::from("export/-"), Box::from("export")]]);
        assert_eq!((tally.escalated, tally.to_engineering, tally.manager_requests), (1, 1, 1));
        assert_eq!(tally.tags[Tag::FeatureArea as usize], Present { yes: 1, no: 0 });
        assert_eq!(tally.tags[Tag::EscalationReason as usize], Present { yes: 0, no: 1 });
        assert_eq!(tally.tag_lags_ms, [50]);
    }

    #[test]
    fn follow_ups_are_no_new_tickets_and_a_ticket_tagged_early_has_no_lag() {
        let (mut tally, mut ticket) = (TicketTally::default(), Ticket::default());
        let follows = event("ticket.created", 1, &[(Field::IsFollowUp, Value::Bool(true))]);
        tally.count_creation(&follows, &mut ticket);
        assert_eq!(ticket.counted.own_since(), None);
        let solved = [
            (Field::Status, Value::text("solved")),
            (Field::SolvedAt, Value::Time(Timestamp(90))),
            (Field::TaggedAt, Value::Time(Timestamp(70))),
        ];
        tally.take(&event("ticket.status_changed", 100, &solved), &mut ticket, false);
        assert!(tally.created.is_empty());
        assert_eq!(tally.tags[Tag::FeatureArea as usize], Present { yes: 0, no: 1 });
        assert_eq!(tally.tag_lags_ms, [0]);
    }

    #[test]
    fn a_repeat_counts_once_and_should_have_a_root_cause_when_it_is_solved() {
        let (mut tally, mut ticket) = (TicketTally::default(), Ticket::default());
        let created = event("ticket.created", 7, &[(Field::RootCause, Value::text("token"))]);
        ticket.merge(&created);
        tally.count_creation(&created, &mut ticket);
        tally.take(&created, &mut ticket, true);
        let solved = event("ticket.status_changed", 100, &[(Field::Status, Value::text("solved"))]);
        tally.take(&solved, &mut ticket, true);
        assert_eq!(tally.repeats, [[Box::from("token")]]);
        assert_eq!(tally.tags[Tag::RootCause as usize], Present { yes: 1, no: 0 });
        assert_eq!(ticket.counted.own_since(), Some(Timestamp(7)));
        let mut bytes = Vec::new();
        ticket.counted.encode(&mut bytes, false);
        // Created, a repeat, and its two times.
        assert_eq!(bytes, [0x83, 3, 0xc8, 1, 14]);
        assert_eq!(Counted::decode(&mut Reader::new(&bytes)).unwrap(), (ticket.counted, false));
    }
}
