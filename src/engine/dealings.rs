//! What the rows of one account must know of each other: when its people were contacted, which open alerts hold others
//! back, what its tickets were about, and how it feels. It lies in the account's own row.

use crate::event::bytes::{FormatError, Reader, put_bytes, put_signed, put_text, put_varint};
use crate::event::{Field, Timestamp, Value};
use crate::rules::program::{Contact, Rule};

use super::feelings::Feelings;
use super::issues::Issues;
use super::matches::find;
use super::store::RowKey;

/// Most contacts that are remembered; a budget is never larger.
const CONTACTS_MAX: usize = 64;
/// Most rows that are remembered as held back; where there are more, all rows of the account are looked at again.
const HELD_MAX: usize = 32;

/// An open alert that holds back families in its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inhibitor {
    /// The alert's id.
    pub alert: Box<str>,
    /// Key of the rule that leads it.
    pub rule: u32,
    /// By item of the rule's `inhibits`: hash of the fields that must have the same value in what is held back.
    pub equal: Vec<u64>,
}

/// The state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dealings {
    /// Journal times of openings to customers, oldest first.
    contacts: Vec<Timestamp>,
    /// Open alerts of rules with `inhibits`.
    pub inhibitors: Vec<Inhibitor>,
    /// Rows in which something is held back by them.
    held: Vec<RowKey>,
    /// There are more such rows.
    crowded: bool,
    /// What the account's tickets were about.
    pub issues: Issues,
    /// How the account feels.
    pub feelings: Feelings,
}

/// Which rows of an account must be looked at again.
#[derive(Debug, PartialEq, Eq)]
pub enum Held {
    /// These.
    Rows(Vec<RowKey>),
    /// Any of them.
    All,
}

/// What the budget of contacts says of an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Contacts in the time that counts.
    pub used: u16,
    /// How many there may be.
    pub max: u16,
    /// Journal time from which another one is allowed; `None`: now.
    pub until: Option<Timestamp>,
}

impl Dealings {
    /// Whether nothing is remembered.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.has_ties() && self.issues.is_empty() && self.feelings.is_empty()
    }

    /// Whether anything is remembered beside issues and feelings.
    #[must_use]
    pub const fn has_ties(&self) -> bool {
        !self.contacts.is_empty() || !self.inhibitors.is_empty() || !self.held.is_empty()
    }

    /// The newest contact before a journal time.
    #[must_use]
    pub fn last_contact_before(&self, time: Timestamp) -> Option<Timestamp> {
        self.contacts.iter().rev().find(|at| **at < time).copied()
    }

    /// An opening to customers goes out.
    pub fn note_contact(&mut self, now: Timestamp) {
        if self.contacts.len() >= CONTACTS_MAX {
            self.contacts.remove(0);
        }
        self.contacts.push(now);
    }

    /// Where the account stands with a rule's budget; the profile may state another maximum. `None`: it has no budget.
    #[must_use]
    pub fn spent(
        &self,
        contact: &Contact,
        profile: Option<&[(Field, Value<'static>)]>,
        now: Timestamp,
    ) -> Option<Spent> {
        let budget = contact.budget?;
        let max = match find(profile, Field::ContactBudgetOverride) {
            Some(Value::Int(max)) => u16::try_from((*max).max(0)).unwrap_or(u16::MAX),
            _ => budget.max,
        };
        let first = self.contacts.partition_point(|at| at.plus(budget.per_ms) <= now);
        let recent = &self.contacts[first..];
        let until = match recent.len().checked_sub(usize::from(max)) {
            None => None,
            // Nobody may be contacted at all: look again when the profile may say otherwise.
            Some(_) if max == 0 => Some(now.plus(budget.per_ms)),
            Some(over) => recent.get(over).map(|at| at.plus(budget.per_ms)),
        };
        Some(Spent { used: u16::try_from(recent.len()).unwrap_or(u16::MAX), max, until })
    }

    /// Until when a rule must not open to customers, because of its budget or the distance to the last contact.
    #[must_use]
    pub fn closed_until(
        &self,
        rule: &Rule,
        profile: Option<&[(Field, Value<'static>)]>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let contact = &rule.policy.contact;
        let budget = self.spent(contact, profile, now).and_then(|spent| spent.until);
        let gap = contact.gap_ms.and_then(|gap| Some(self.contacts.last()?.plus(gap)));
        budget.into_iter().chain(gap.filter(|until| *until > now)).max()
    }

    /// An alert with `inhibits` is open.
    pub fn inhibit(&mut self, inhibitor: Inhibitor) {
        self.inhibitors.push(inhibitor);
    }

    /// An alert holds nothing back any longer; whether it did.
    pub fn release(&mut self, alert: &str) -> bool {
        let before = self.inhibitors.len();
        self.inhibitors.retain(|own| *own.alert != *alert);
        before != self.inhibitors.len()
    }

    /// Whether it is known that something is held back in a row.
    #[must_use]
    pub fn holds(&self, row: &RowKey) -> bool {
        self.crowded || self.held.binary_search(row).is_ok()
    }

    /// Something is held back in a row.
    pub fn hold(&mut self, row: &RowKey) {
        match self.held.binary_search(row) {
            Err(_) if self.held.len() >= HELD_MAX => self.crowded = true,
            Err(place) => self.held.insert(place, row.clone()),
            Ok(_) => {}
        }
    }

    /// Takes out where something is held back; who is still held back says so again.
    pub fn take_held(&mut self) -> Held {
        let held = std::mem::take(&mut self.held);
        if std::mem::take(&mut self.crowded) { Held::All } else { Held::Rows(held) }
    }

    /// About how many bytes it occupies.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let held: usize = self.held.iter().map(|key| key.0.len() + 16).sum();
        size_of::<Self>()
            + self.contacts.len() * 8
            + self.inhibitors.len() * 96
            + held
            + self.issues.heap_bytes()
            + self.feelings.heap_bytes()
    }

    /// Appends its bytes, without issues and feelings.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.contacts.len() as u64);
        self.contacts.iter().for_each(|at| put_signed(out, at.0));
        put_varint(out, self.inhibitors.len() as u64);
        for own in &self.inhibitors {
            put_text(out, &own.alert);
            put_varint(out, u64::from(own.rule));
            put_varint(out, own.equal.len() as u64);
            own.equal.iter().for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
        }
        put_varint(out, self.held.len() as u64);
        self.held.iter().for_each(|row| put_bytes(out, &row.0));
        out.push(u8::from(self.crowded));
    }

    /// Reads what [`Dealings::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are not what it wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut dealings = Self::default();
        for _ in 0..reader.count()? {
            dealings.contacts.push(reader.time()?);
        }
        for _ in 0..reader.count()? {
            let alert = reader.text()?.into();
            let rule = u32::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("rule key"))?;
            let mut equal = Vec::new();
            for _ in 0..reader.count()? {
                let hash = reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?;
                equal.push(u64::from_le_bytes(hash));
            }
            dealings.inhibitors.push(Inhibitor { alert, rule, equal });
        }
        for _ in 0..reader.count()? {
            dealings.held.push(RowKey(reader.bytes()?.into()));
        }
        dealings.crowded = reader.byte()? != 0;
        Ok(dealings)
    }
}

#[cfg(test)]
mod tests {
    use super::{Dealings, Held, Inhibitor, Spent};
    use crate::engine::store::RowKey;
    use crate::event::bytes::Reader;
    use crate::event::{Field, Timestamp, Value};
    use crate::rules::program::{ContactBudget, Policy};

    fn contacted(times: &[i64]) -> Dealings {
        let mut dealings = Dealings::default();
        times.iter().for_each(|at| dealings.note_contact(Timestamp(*at)));
        dealings
    }

    #[test]
    fn a_budget_is_free_again_when_the_oldest_contact_that_fills_it_is_past() {
        let mut contact = Policy::built_in().contact;
        contact.budget = Some(ContactBudget { max: 2, per_ms: 100 });
        let dealings = contacted(&[0, 40, 90]);
        let spent = |now| dealings.spent(&contact, None, Timestamp(now)).unwrap();
        assert_eq!(spent(99), Spent { used: 3, max: 2, until: Some(Timestamp(140)) });
        assert_eq!(spent(100), Spent { used: 2, max: 2, until: Some(Timestamp(140)) });
        assert_eq!(spent(140), Spent { used: 1, max: 2, until: None });
        let profile = [(Field::ContactBudgetOverride, Value::Int(0))];
        let none = dealings.spent(&contact, Some(&profile), Timestamp(500)).unwrap();
        assert_eq!(none, Spent { used: 0, max: 0, until: Some(Timestamp(600)) });
    }

    #[test]
    fn it_has_these_bytes_and_is_read_back() {
        let mut dealings = contacted(&[1, -2]);
        dealings.inhibit(Inhibitor { alert: "ab".into(), rule: 300, equal: vec![1] });
        dealings.hold(&RowKey([7, 8].into()));
        dealings.hold(&RowKey([7, 8].into()));
        let mut bytes = Vec::new();
        dealings.encode(&mut bytes);
        assert_eq!(bytes, [2, 2, 3, 1, 2, b'a', b'b', 0xac, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 7, 8, 0]);
        let mut reader = Reader::new(&bytes);
        assert_eq!(Dealings::decode(&mut reader).unwrap(), dealings);
        assert!(reader.is_empty());
        for end in 0..bytes.len() {
            assert!(Dealings::decode(&mut Reader::new(&bytes[..end])).is_err(), "{end}");
        }
        assert!(dealings.release("ab") && !dealings.release("ab"));
    }

    #[test]
    fn more_rows_than_are_remembered_are_all_rows() {
        let mut dealings = Dealings::default();
        let row = |number: u8| RowKey([number].into());
        (0..32).for_each(|number| dealings.hold(&row(number)));
        assert!(dealings.holds(&row(31)) && !dealings.holds(&row(32)));
        let mut crowded = dealings.clone();
        crowded.hold(&row(32));
        assert!(crowded.holds(&row(33)));
        assert_eq!(dealings.take_held(), Held::Rows((0..32).map(row).collect()));
        assert_eq!((crowded.take_held(), crowded.is_empty()), (Held::All, true));
    }
}
