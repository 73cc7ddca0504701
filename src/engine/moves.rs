//! Tickets on their way: attributes merge, and what a ticket contributed moves to where it belongs now (`rules.md` §5).

use std::borrow::Cow;
use std::sync::Arc;

use crate::event::{Event, Field, Kind, Timestamp, Value};
use crate::rules::program::{Entity, FilterIx};

use super::ingest::{Arrival, steps_of};
use super::issues::{Issue, NAMES};
use super::matches::{Seen, Subject, find, holds};
use super::plan::{Plan, Touch};
use super::rows::key::KeyParts;
use super::step::{Turn, account_key, key_text};
use super::store::RowKey;
use super::tickets::Ticket;
use super::traffic::admits_traffic;
use super::{Engine, StepError};

/// The fields of an account's profile, if it has one.
type Fields<'a> = Option<&'a [(Field, Value<'static>)]>;

impl Engine {
    /// Merges a ticket's attributes; what they were decides where its earlier events counted, so those move first.
    pub(super) fn take_ticket(
        &mut self,
        event: &Event<'_>,
        account: &str,
        profile: Fields<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Ticket>, StepError> {
        if event.kind != Kind::Ticket {
            return Ok(None);
        }
        let Some(id) = event.get(Field::TicketId).as_deref().and_then(Value::as_text).map(str::to_owned)
        else {
            return Ok(None);
        };
        let parts = KeyParts { kind: "ticket", account: Some(account), part: &id };
        let key = parts.encode();
        self.register(&key, &parts, turn)?;
        let row = self.rows.get_or_insert(&key, turn.store)?;
        let ticket = row.ticket.get_or_insert_default();
        let before = (**ticket).clone();
        let changed = ticket.merge(event);
        ticket.conversation.take(event);
        turn.effects.tally.tickets.count_creation(event, ticket);
        let (own_since, was) = (ticket.counted.own_since(), named(None, &before));
        let issues = named(Some(event), ticket);
        let repeats = match own_since.filter(|_| !issues.is_empty()) {
            Some(created) => self.report(account, (&id, created), (&was, &issues), turn)?,
            None => false,
        };
        let row = self.rows.get_or_insert(&key, turn.store)?;
        let ticket = row.ticket.get_or_insert_default();
        turn.effects.tally.tickets.take(event, ticket, repeats);
        let now = (**ticket).clone();
        if changed {
            for kept in &before.kept {
                self.relocate(kept, (&before, &now), profile, turn)?;
            }
        }
        Ok(Some(now))
    }

    /// Takes down what a ticket of an account is about; whether the account had a ticket on its issue before.
    fn report(
        &mut self,
        account: &str,
        (id, created): (&str, Timestamp),
        (was, issues): (&[(Field, Issue)], &[(Field, Issue)]),
        turn: &mut Turn<'_>,
    ) -> Result<bool, StepError> {
        let [a, b, c, d, ..] = xxhash_rust::xxh3::xxh3_64(id.as_bytes()).to_le_bytes();
        let ticket = u32::from_le_bytes([a, b, c, d]);
        let row = self.rows.get_or_insert(&account_key(account), turn.store)?;
        let known = &mut Arc::make_mut(row.dealings.get_or_insert_default()).issues;
        let all = |issues: &[(Field, Issue)]| issues.iter().map(|(_, issue)| *issue).collect::<Vec<_>>();
        known.report((ticket, created), &all(was), &all(issues));
        let key = issues.iter().find(|(field, _)| *field == Field::IssueKey);
        Ok(key.is_some_and(|(_, issue)| known.is_repeat(ticket, created, *issue)))
    }

    /// Moves what one earlier event of a ticket contributed to where it belongs now.
    fn relocate(
        &mut self,
        kept: &Event<'static>,
        (before, now): (&Ticket, &Ticket),
        profile: Fields<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        let plan = Arc::clone(&self.plan);
        let old = Seen {
            event: kept,
            ticket: Some(&before.attributes),
            facts: None,
            profile,
            user: None,
            held: &[],
        };
        let new = Seen { ticket: Some(&now.attributes), ..old };
        let proof = self.proof(kept, kept.position.source);
        let (was, is) = (matched(&plan, &old), matched(&plan, &new));
        self.contribute_anew((&old, &was), (&new, &is), kept.position.source)?;
        for (place, entity) in plan.entities.iter().enumerate() {
            let (mut leaving, mut coming) = (counted(&plan, place, &was), counted(&plan, place, &is));
            let (from, to) = (row_of(entity, &old), row_of(entity, &new));
            let mut stays: Vec<(FilterIx, Touch)> = Vec::new();
            if from == to {
                stays.clone_from(&leaving);
                leaving.retain(|touch| !is_kept(touch.1, &stays, &coming));
                let arrives = coming.clone();
                coming.retain(|touch| !is_kept(touch.1, &stays, &arrives));
            }
            let leaves = Arrival { seen: old, proof, touches: &leaving, before: &[] };
            let comes = Arrival { seen: new, proof, touches: &coming, before: &stays };
            let from = from.filter(|_| !leaving.is_empty());
            self.carry((from, &leaves), (to.filter(|_| !coming.is_empty()), &comes), turn)?;
        }
        Ok(())
    }

    /// Takes a contribution out of one row and into another.
    fn carry(
        &mut self,
        (from, leaves): (Option<RowKey>, &Arrival<'_, '_>),
        (to, comes): (Option<RowKey>, &Arrival<'_, '_>),
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        if let Some(key) = from {
            self.with_row(&key, turn, |scene| scene.withdraw(leaves))?;
        }
        if let Some(key) = to {
            let parts = KeyParts::decode(&key)?;
            self.register(&key, &parts, turn)?;
            self.with_row(&key, turn, |scene| scene.receive(comes).rules)?;
        }
        Ok(())
    }

    /// Keeps an event in its ticket's row, if its contributions may have to move.
    pub(super) fn keep_for_moving(
        &mut self,
        event: &Event<'_>,
        account: &str,
        source: u16,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        let plan = Arc::clone(&self.plan);
        let moves = plan.filters(event.kind, &event.name).iter().any(|ix| plan.moves[usize::from(ix.0)]);
        let Some(Value::Text(id)) = event.get(Field::TicketId).as_deref().cloned() else { return Ok(()) };
        if event.kind != Kind::Ticket || !moves {
            return Ok(());
        }
        let key = KeyParts { kind: "ticket", account: Some(account), part: &id }.encode();
        let row = self.rows.get_or_insert(&key, turn.store)?;
        let mut kept = event.clone().into_owned();
        kept.position.source = source;
        row.ticket.get_or_insert_default().keep(kept);
        Ok(())
    }
}

/// What a ticket, or an event of it, is about: the integration is not the ticket's, some events name it.
fn named(event: Option<&Event<'_>>, ticket: &Ticket) -> Vec<(Field, Issue)> {
    let name = |field| {
        let said = || event.and_then(|event| event.get(field));
        let own = find(Some(&ticket.attributes), field).map(Cow::Borrowed).or_else(said)?;
        Some((field, Issue::of(field, own.as_text()?)))
    };
    NAMES.into_iter().filter_map(name).collect()
}

/// The filters that an event matches.
fn matched(plan: &Plan, seen: &Seen<'_, '_>) -> Vec<FilterIx> {
    let own = |ix: &&FilterIx| {
        let filter = plan.filter(**ix);
        admits_traffic(seen.event, filter.names_traffic) && holds(&filter.matches, seen)
    };
    plan.filters(seen.event.kind, &seen.event.name).iter().filter(own).copied().collect()
}

/// What matches of these filters contribute to the rows of an entity.
fn counted(plan: &Plan, entity: usize, filters: &[FilterIx]) -> Vec<(FilterIx, Touch)> {
    let counts = |touch: Touch| {
        use Touch::{Add, Attach, Base, Course, Learn, Step};
        matches!(touch, Add(_) | Base(_) | Learn(_) | Step(..) | Course(..) | Attach(..))
    };
    let uses = filters.iter().flat_map(|ix| plan.uses[usize::from(ix.0)].iter().map(|it| (*ix, it)));
    let own = uses.filter(|(_, it)| usize::from(it.entity) == entity && counts(it.touch));
    own.map(|(ix, it)| (ix, it.touch)).collect()
}

/// Whether what an event is to a row stays as it is. The steps that it may be of a sequence are one thing: it fills one.
fn is_kept(touch: Touch, before: &[(FilterIx, Touch)], now: &[(FilterIx, Touch)]) -> bool {
    let is_among = |touches: &[(FilterIx, Touch)]| touches.iter().any(|(_, own)| *own == touch);
    match touch {
        Touch::Step(series, _) => steps_of(series, before) == steps_of(series, now),
        _ => is_among(before) && is_among(now),
    }
}

/// The row of an entity to which an event belongs.
fn row_of(entity: &Entity, seen: &Seen<'_, '_>) -> Option<RowKey> {
    let part = entity.part.as_ref().and_then(|part| seen.value(&part.path));
    let text = part.as_deref().map(key_text);
    KeyParts::of(entity, seen.event.account.as_deref(), text.as_deref()).map(|parts| parts.encode())
}
