//! Who is who: which account an alias stands for, and what becomes of events that know only an alias (`design.md` §3).
//!
//! An alias has a row of its own, in the journal partition of its key, where intake sends events without account. Accounts
//! tell it when their profiles name it. From then on it sends events on to the account; before, it keeps the newest.

use std::collections::BTreeSet;

use crate::event::bytes::{FormatError, Reader, put_signed, put_text, put_varint};
use crate::event::{Event, Field, Timestamp, Value};
use crate::journal::identity::{Claim, Passed};

use super::effects::Outcome;
use super::matches::find;
use super::profile::Profile;
use super::rows::key::KeyParts;
use super::step::{Turn, account_key};
use super::store::RowKey;
use super::{Engine, StepError};

/// An alias whose account is not known keeps so many events.
const WAITING_MAX: usize = 16;
/// For so long, ms of journal time.
const WAIT_MS: i64 = 24 * 3_600_000;
/// A profile names no more aliases; those behind them, in the order of bytes, are left out.
const ALIASES_MAX: usize = 256;
/// The namespace of the ids of an account's people.
const USER: &str = "user";
/// The namespace of the domains of their mail.
const EMAIL_DOMAIN: &str = "email_domain";

/// What the row of an alias knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AliasState {
    /// Which account it stands for.
    account: Option<Box<str>>,
    /// What waits for that to be known, with the journal time at which it came; the oldest first.
    waiting: Vec<(Timestamp, Passed)>,
}

impl AliasState {
    /// Forgets what has waited too long; how many events.
    fn expire(&mut self, now: Timestamp) -> u64 {
        let before = self.waiting.len();
        self.waiting.retain(|(since, _)| now.since(*since) <= WAIT_MS);
        (before - self.waiting.len()) as u64
    }

    /// Keeps an event; how many made room for it.
    fn keep(&mut self, now: Timestamp, passed: Passed) -> u64 {
        let mut gone = self.expire(now);
        if self.waiting.len() == WAITING_MAX {
            self.waiting.remove(0);
            gone += 1;
        }
        self.waiting.push((now, passed));
        gone
    }

    /// About how many bytes it occupies.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(|(_, passed)| 16 + passed.len_bytes()).sum();
        size_of::<Self>() + self.account.as_ref().map_or(0, |account| account.len()) + waiting
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, self.account.as_deref().unwrap_or_default());
        put_varint(out, self.waiting.len() as u64);
        for (since, passed) in &self.waiting {
            put_signed(out, since.0);
            passed.encode(out);
        }
    }

    /// Reads what [`AliasState::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let account = Some(reader.text()?).filter(|account| !account.is_empty()).map(Box::from);
        let mut own = Self { account, waiting: Vec::new() };
        for _ in 0..reader.count()? {
            own.waiting.push((reader.time()?, Passed::decode(reader)?));
        }
        Ok(own)
    }
}

/// The key of an alias's row.
fn alias_row(alias: &str) -> RowKey {
    KeyParts { kind: "alias", account: None, part: alias }.encode()
}

fn user_alias(user: &str) -> Box<str> {
    format!("{USER}:{user}").into()
}

/// The aliases that a profile names: external ids, domains of mail, people.
fn aliases(profile: Option<&Profile>) -> BTreeSet<Box<str>> {
    let value = |field| profile.and_then(|profile| find(Some(&profile.fields), field));
    let mut found = BTreeSet::new();
    let mut add = |space: &str, value: Option<&str>| {
        let value = value.filter(|value| !value.is_empty());
        found.extend(value.map(|value| Box::from(format!("{space}:{value}"))));
    };
    if let Some(Value::Map(ids)) = value(Field::ExternalIds) {
        ids.iter().for_each(|(space, id)| add(space, id.as_text()));
    }
    if let Some(Value::List(domains)) = value(Field::EmailDomains) {
        domains.iter().for_each(|domain| add(EMAIL_DOMAIN, domain.as_text()));
    }
    if let Some(Value::List(contacts)) = value(Field::Contacts) {
        contacts.iter().for_each(|own| add(USER, own.entry("user_id").and_then(Value::as_text)));
    }
    found.into_iter().take(ALIASES_MAX).collect()
}

impl Engine {
    /// Tells the rows of aliases that an account's profile names them, or no longer. A person who has a profile of their
    /// own in the account stays one of its people when its contacts name them no longer.
    pub(super) fn claim_aliases(
        &mut self,
        account: &str,
        (before, now): (Option<&Profile>, Option<&Profile>),
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        let (before, now) = (aliases(before), aliases(now));
        for alias in now.difference(&before) {
            self.claim(alias.clone(), account, true, turn);
        }
        for alias in before.difference(&now) {
            if !self.is_person(account, alias, turn)? {
                self.claim(alias.clone(), account, false, turn);
            }
        }
        Ok(())
    }

    /// Whether an alias is that of somebody with a profile in this account.
    fn is_person(&mut self, account: &str, alias: &str, turn: &mut Turn<'_>) -> Result<bool, StepError> {
        let Some((USER, user)) = alias.split_once(':') else { return Ok(false) };
        let key = KeyParts { kind: "user", account: Some(account), part: user }.encode();
        Ok(self.rows.get(&key, turn.store)?.is_some_and(|row| row.profile.is_some()))
    }

    /// Tells that a person belongs to an account, or no longer.
    pub(super) fn claim_user(&mut self, user: &str, account: &str, holds: bool, turn: &mut Turn<'_>) {
        self.claim(user_alias(user), account, holds, turn);
    }

    fn claim(&mut self, alias: Box<str>, account: &str, holds: bool, turn: &mut Turn<'_>) {
        self.announce(turn.offset, turn.effects);
        self.task.forwards.pending.claim(Claim { alias, account: account.into(), holds });
    }

    /// Takes in whose an alias is; what has waited for that goes on.
    pub(super) fn take_claim(&mut self, claim: &Claim, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let key = alias_row(&claim.alias);
        if !claim.holds {
            let Some(row) = self.rows.get_mut(&key, turn.store)? else { return Ok(()) };
            if row.alias.as_ref().is_some_and(|own| own.account.as_ref() == Some(&claim.account)) {
                row.alias = None;
            }
            return Ok(());
        }
        let now = self.task.journal_time;
        let own = self.rows.get_or_insert(&key, turn.store)?.alias.get_or_insert_default();
        own.account = Some(claim.account.clone());
        let gone = own.expire(now);
        let waiting = std::mem::take(&mut own.waiting);
        self.task.waiting = self.task.waiting.saturating_sub(gone + waiting.len() as u64);
        if !waiting.is_empty() {
            self.announce(turn.offset, turn.effects);
        }
        for (_, passed) in waiting {
            self.task.forwards.pending.pass(passed.to(claim.account.clone(), true));
        }
        Ok(())
    }

    /// Takes an event that knows only an alias: it goes on to the account (`None`: it ends there), or waits for it.
    pub(super) fn take_aliased(
        &mut self,
        (event, alias): (&Event<'_>, &str),
        source: u16,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Outcome>, StepError> {
        let (now, key) = (self.task.journal_time, alias_row(alias));
        let Some(from) = self.task.sources.get(usize::from(source)).map(|own| own.source.clone()) else {
            return Ok(Some(Outcome::Unattributed));
        };
        let row = self.rows.get_or_insert(&key, turn.store)?;
        if let Some(account) = row.alias.as_ref().and_then(|own| own.account.clone()) {
            self.announce(turn.offset, turn.effects);
            self.task.forwards.pending.pass(Passed::of(event, from).to(account, false));
            return Ok(None);
        }
        if event.id != 0 && !row.note_id(event.kind, event.id) {
            return Ok(Some(Outcome::Duplicate));
        }
        let gone = row.alias.get_or_insert_default().keep(now, Passed::of(event, from));
        self.task.waiting = (self.task.waiting + 1).saturating_sub(gone);
        Ok(Some(Outcome::Unattributed))
    }

    /// Takes in an event that came by its alias.
    pub(super) fn take_passed(&mut self, passed: &Passed, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let (event, from) = passed.open()?;
        let watermarks = self.task.watermarks();
        let row = self.rows.get_or_insert(&account_key(&passed.account), turn.store)?;
        let outcome = if event.id != 0 && !row.note_id(event.kind, event.id) {
            Outcome::Duplicate
        } else {
            let source = self.task.place_of_evidence(&from, event.kind);
            self.take_long(&event, source, turn)?
        };
        if passed.late {
            turn.effects.tally.recovered += 1;
        } else {
            turn.effects.tally.end(&event, Some(outcome), &watermarks);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Kind, SourcePartition};

    fn passed(id: u64) -> Passed {
        let mut event = Event::new(Kind::Billing, "invoice.paid", Timestamp(5));
        event.id = id;
        Passed::of(&event, SourcePartition { topic: "bills".into(), partition: 0 })
    }

    #[test]
    fn the_newest_sixteen_wait_for_a_day() {
        let mut own = AliasState::default();
        let gone: u64 = (0_u64..20).map(|id| own.keep(Timestamp(id.cast_signed()), passed(id))).sum();
        assert_eq!((gone, own.waiting.len(), own.waiting[0].0), (4, 16, Timestamp(4)));
        assert_eq!(own.keep(Timestamp(WAIT_MS + 10), passed(20)), 6, "of up to 9 ms");
        assert_eq!((own.waiting.len(), own.waiting[0].0), (11, Timestamp(10)));
        let mut bytes = Vec::new();
        own.encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        assert_eq!(AliasState::decode(&mut reader), Ok(own));
        assert!(reader.is_empty());
    }
}
