//! Tickets on their way: attributes merge, and what a ticket contributed moves to where it belongs now (`rules.md` §5).

use std::sync::Arc;

use crate::event::{Event, Field, Kind, Value};
use crate::rules::program::{Entity, FilterIx};

use super::ingest::{Arrival, admits_traffic};
use super::matches::{Seen, Subject, holds};
use super::plan::Touch;
use super::rows::key::KeyParts;
use super::step::{Turn, key_text};
use super::store::RowKey;
use super::tickets::Ticket;
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
        turn.effects.tally.tickets.take(event, ticket);
        let now = (**ticket).clone();
        if changed {
            for kept in &before.kept {
                self.relocate(kept, (&before, &now), profile, turn)?;
            }
        }
        Ok(Some(now))
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
        let old = Seen { event: kept, ticket: Some(&before.attributes), profile, user: None };
        let new = Seen { ticket: Some(&now.attributes), ..old };
        let proof = self.proof(kept, kept.position.source);
        for ix in plan.filters(kept.kind, &kept.name) {
            let filter = plan.filter(*ix);
            if !plan.moves[usize::from(ix.0)] || !admits_traffic(kept, filter.names_traffic) {
                continue;
            }
            let (was, is) = (holds(&filter.matches, &old), holds(&filter.matches, &new));
            for (place, entity) in plan.entities.iter().enumerate() {
                let uses = plan.uses[usize::from(ix.0)].iter().filter(|it| usize::from(it.entity) == place);
                let counts = uses.filter(|it| {
                    matches!(
                        it.touch,
                        Touch::Add(_)
                            | Touch::Base(_)
                            | Touch::Step(..)
                            | Touch::Course(..)
                            | Touch::Attach(..)
                    )
                });
                let touches: Vec<(FilterIx, Touch)> = counts.map(|it| (*ix, it.touch)).collect();
                let (from, to) = (row_of(entity, &old, was), row_of(entity, &new, is));
                if touches.is_empty() || from == to {
                    continue;
                }
                let leaves = Arrival { seen: old, proof, touches: &touches };
                let comes = Arrival { seen: new, proof, touches: &touches };
                self.carry((from, &leaves), (to, &comes), turn)?;
            }
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

/// The row of an entity that an event contributes to, if its filter holds.
fn row_of(entity: &Entity, seen: &Seen<'_, '_>, holds: bool) -> Option<RowKey> {
    let part = entity.part.as_ref().and_then(|part| seen.value(&part.path));
    let text = part.as_deref().map(key_text);
    let parts = KeyParts::of(entity, seen.event.account.as_deref(), text.as_deref());
    parts.filter(|_| holds).map(|parts| parts.encode())
}
