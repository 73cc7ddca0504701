//! Alerts across accounts that are open anywhere, as every task knows them from broadcasts (`design.md` §6): they hold
//! others back, take the place of many, and make what they are about weigh more.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::bytes::{FormatError, Reader, put_bytes, put_varint};
use crate::event::{Timestamp, Value};
use crate::journal::broadcast::{Broadcast, SHARED};
use crate::rules::program::{Path, Severity};

use super::alert::Reason;
use super::firing::OpenAlert;
use super::ingest::hash_of;
use super::matches::{Subject, find};
use super::scene::{Case, Scene};
use super::step::Turn;
use super::store::RowKey;
use super::{Engine, StepError};

/// Rows that are remembered as held back; others look again by themselves.
const HELD_MAX: usize = 65_536;
/// After so long, ms.
const LOOK_AGAIN_MS: i64 = 600_000;

/// The open ones, and which rows they hold something back in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Incidents {
    open: BTreeMap<Box<str>, Broadcast>,
    held: BTreeSet<RowKey>,
}

impl Incidents {
    /// Those that are open, by id.
    pub fn open(&self) -> impl Iterator<Item = &Broadcast> {
        self.open.values()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes in what was told; whether others may be free now.
    fn hear(&mut self, told: &Broadcast) -> bool {
        if !told.open {
            return self.open.remove(&told.alert).is_some();
        }
        let before = self.open.insert(told.alert.clone(), told.clone());
        before.is_some_and(|before| before != *told)
    }

    /// Something in a row is held back by one of them; if there are too many such rows, when it is to look again.
    pub fn hold(&mut self, row: &RowKey, now: Timestamp) -> Option<Timestamp> {
        if self.held.len() >= HELD_MAX && !self.held.contains(row) {
            return Some(now.plus(LOOK_AGAIN_MS));
        }
        self.held.insert(row.clone());
        None
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.open.len() as u64);
        self.open.values().for_each(|own| own.encode(out));
        put_varint(out, self.held.len() as u64);
        self.held.iter().for_each(|row| put_bytes(out, &row.0));
    }

    /// Reads what [`Incidents::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut incidents = Self::default();
        for _ in 0..reader.count()? {
            let own = Broadcast::decode(reader)?;
            incidents.open.insert(own.alert.clone(), own);
        }
        for _ in 0..reader.count()? {
            incidents.held.insert(RowKey(reader.bytes()?.into()));
        }
        Ok(incidents)
    }
}

impl Scene<'_> {
    /// Tells all tasks what they must know of an open alert across accounts, if that has changed.
    pub(super) fn tell_incident(&mut self, alert: &OpenAlert, case: Case) {
        let rule = self.rule(case);
        let weighs = self.plan.program.priority.as_ref().is_some_and(|own| own.feature_severity.is_some());
        let known = self.task.incidents.open.get(&alert.alert_id);
        let matters =
            weighs || !rule.inhibits.is_empty() || rule.collapses.is_some() || rule.affects.is_some();
        if !self.is_heard() || !matters && known.is_none() {
            return;
        }
        let standing = self.standing(case);
        let text = |path: &Path| standing.value(path).and_then(|own| own.as_text().map(Box::from));
        let told = Broadcast {
            alert: alert.alert_id.clone(),
            open: true,
            rule: rule.key,
            kind: rule.entity.kind().into(),
            part: self.entity.part.unwrap_or_default().into(),
            severity: alert.severity as u8,
            equal: rule.inhibits.iter().map(|item| hash_of(&item.equal, &standing)).collect(),
            shared: SHARED.map(|field| text(&Path::Field(field))),
            touched: self.touched(case),
        };
        if known != Some(&told) {
            self.task.forwards.pending.tell(told);
        }
    }

    /// Tells all tasks that an alert across accounts is over.
    pub(super) fn tell_end(&mut self, alert: &OpenAlert) {
        // What was told last may not have come back yet.
        if self.is_heard() {
            let alert = alert.alert_id.clone();
            self.task.forwards.pending.tell(Broadcast { alert, ..Broadcast::default() });
        }
    }

    /// Whether what this row tells goes anywhere.
    pub(super) fn is_heard(&self) -> bool {
        let is_on = self.task.forwards.is_on() || !self.settings.is_live();
        is_on && self.plan.tells && self.entity.account.is_none()
    }

    /// Whether an open alert across accounts reaches this row: those that name whom they touch reach no other account.
    pub(super) fn is_reached(&self, incident: &Broadcast) -> bool {
        let (Some(touched), Some(_)) = (&incident.touched, self.entity.account) else { return true };
        let affects =
            self.plan.rule_of_key(incident.rule).and_then(|lead| self.plan.rule(lead).affects.as_ref());
        let list = affects.and_then(|affects| find(self.profile, affects.list));
        let Some(Value::List(values)) = list else { return false };
        values.iter().filter_map(Value::as_text).any(|own| touched.iter().any(|value| **value == *own))
    }

    /// What the feature that a case is about counts in priorities, 1 to 5: what the table says, or more while a grave alert
    /// across accounts is open that is about the same; `None` if nothing is known of it.
    pub(super) fn feature_severity(&self, case: Case, alert: &str) -> Option<u8> {
        let features = self.plan.program.priority.as_ref()?.feature_severity.as_ref()?;
        let standing = self.standing(case);
        let own = standing.value(&features.by);
        let listed = features.of(own.as_deref().and_then(Value::as_text));
        let shares = |incident: &&Broadcast| {
            SHARED.into_iter().zip(&incident.shared).any(|(field, told)| {
                let told = told.as_deref();
                told.is_some()
                    && standing.value(&Path::Field(field)).as_deref().and_then(Value::as_text) == told
            })
        };
        let others = self.task.incidents.open().filter(|incident| *incident.alert != *alert);
        let gravest = others.filter(shares).map(|incident| incident.severity).max();
        let raised =
            gravest.filter(|severity| *severity >= Severity::Warning as u8).map(|severity| severity + 2);
        listed.max(raised)
    }
}

impl Engine {
    /// Takes in what has become of an alert across accounts.
    pub(super) fn take_broadcast(&mut self, told: &Broadcast, turn: &mut Turn<'_>) -> Result<(), StepError> {
        if told.alert.is_empty() {
            return self.answer(told, turn);
        }
        let is_new = !self.task.incidents.open.contains_key(&told.alert);
        let frees = self.task.incidents.hear(told);
        if told.open {
            self.collapse_across(told, turn)?;
        }
        if told.open && is_new {
            self.decide_affected(told, turn)?;
        }
        if !frees {
            return Ok(());
        }
        for key in std::mem::take(&mut self.task.incidents.held) {
            if self.rows.exists(&key, turn.store)? {
                self.with_row(&key, turn, |scene| {
                    scene.try_again(Reason::Inhibited);
                    scene.plan.rule_places().collect()
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Incidents;
    use crate::engine::store::RowKey;
    use crate::event::Timestamp;
    use crate::event::bytes::Reader;
    use crate::journal::broadcast::Broadcast;

    fn told(severity: u8) -> Broadcast {
        Broadcast { alert: "a".into(), open: true, severity, ..Broadcast::default() }
    }

    #[test]
    fn others_may_be_free_when_one_changes_or_ends() {
        let mut incidents = Incidents::default();
        assert!(!incidents.hear(&told(1)) && !incidents.hear(&told(1)) && incidents.hear(&told(2)));
        let end = Broadcast { open: false, ..told(0) };
        assert!(incidents.hear(&end) && !incidents.hear(&end) && incidents.is_empty());
    }

    #[test]
    fn it_is_read_back() {
        let mut incidents = Incidents::default();
        incidents.hear(&told(1));
        assert_eq!(incidents.hold(&RowKey([1].into()), Timestamp(0)), None);
        let mut bytes = Vec::new();
        incidents.encode(&mut bytes);
        assert_eq!(Incidents::decode(&mut Reader::new(&bytes)), Ok(incidents));
    }

    #[test]
    fn rows_beyond_those_remembered_look_again_by_themselves() {
        let mut incidents = Incidents::default();
        let row = |number: usize| RowKey(number.to_be_bytes().into());
        for number in 0..super::HELD_MAX {
            assert_eq!(incidents.hold(&row(number), Timestamp(5)), None);
        }
        assert_eq!(incidents.hold(&row(1), Timestamp(5)), None);
        assert_eq!(incidents.hold(&row(super::HELD_MAX), Timestamp(5)), Some(Timestamp(600_005)));
    }
}
