//! Whom an alert across accounts touches, where the rule says by which list of the profile (`rules.md` §9, `affects`).
//!
//! Each task knows which of its accounts have a value in such a list. Before the alert opens, its row asks all tasks, and
//! waits for their answers a short while; each of them decides for its accounts once the alert is open.

use std::collections::BTreeSet;

use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};
use crate::event::{Field, Value};
use crate::journal::broadcast::{Answer, Broadcast};
use crate::journal::items::Member;

use super::alert::{Action, DecisionInput, EntityRef, Verdict, decision};
use super::firing::Fate;
use super::lifecycle::Revision;
use super::matches::{Subject, find};
use super::profile::Profile;
use super::rows::LIST;
use super::rows::key::KeyParts;
use super::scene::{Case, Scene};
use super::step::{Turn, account_key};
use super::store::RowKey;
use super::{Engine, StepError};

/// Rows among which the accounts with one value are divided, so that none becomes long.
const SHARDS: u64 = 64;
/// How many of the largest accounts an alert names.
const TOP: usize = 20;
/// Of how many accounts a task reads the profile, and for how many it leaves a decision.
const ACCOUNTS_MAX: usize = 10_000;
/// How long an opening waits for answers, ms of journal time.
const WAIT_MS: i64 = 5_000;

/// Whom an alert touches, as far as tasks have answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Affected {
    /// How many tasks have answered.
    tasks: u16,
    /// All of them have.
    pub is_exact: bool,
    /// How many accounts.
    pub accounts: u64,
    /// Their revenue a year together, in the smallest unit of their currencies.
    pub arr_minor: i64,
    /// The largest of them.
    pub top: Vec<Member>,
}

impl Affected {
    fn add(&mut self, answer: &Answer, tasks: u16) {
        self.tasks = self.tasks.saturating_add(1);
        self.is_exact = self.tasks >= tasks;
        self.accounts = self.accounts.saturating_add(answer.accounts);
        self.arr_minor = self.arr_minor.saturating_add(answer.arr_minor);
        self.top.extend(answer.top.iter().cloned());
        keep_largest(&mut self.top);
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.tasks));
        out.push(u8::from(self.is_exact));
        put_varint(out, self.accounts);
        put_signed(out, self.arr_minor);
        put_varint(out, self.top.len() as u64);
        self.top.iter().for_each(|member| member.encode(out));
    }

    /// Reads what [`Affected::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            tasks: u16::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("tasks"))?,
            is_exact: reader.byte()? != 0,
            accounts: reader.varint()?,
            arr_minor: reader.signed()?,
            top: (0..reader.count()?).map(|_| Member::decode(reader)).collect::<Result<_, _>>()?,
        })
    }
}

/// The largest come first; of equal ones by id.
fn keep_largest(members: &mut Vec<Member>) {
    members.sort_by(|one, other| {
        other.arr_minor.cmp(&one.arr_minor).then_with(|| one.account.cmp(&other.account))
    });
    members.truncate(TOP);
}

/// The texts of a list of a profile.
fn texts(profile: Option<&Profile>, field: Field) -> BTreeSet<Box<str>> {
    match find(profile.map(|own| own.fields.as_slice()), field) {
        Some(Value::List(values)) => values.iter().filter_map(Value::as_text).map(Box::from).collect(),
        _ => BTreeSet::new(),
    }
}

/// The row that lists accounts with a value.
fn index_key(field: Field, value: &str, shard: u64) -> RowKey {
    let kind = format!("{LIST}{}", field.spec().name);
    KeyParts { kind: &kind, account: Some(value), part: &shard.to_string() }.encode()
}

impl Scene<'_> {
    /// The values by which a case's alert touches accounts; `None`: it touches all.
    pub(super) fn touched(&self, case: Case) -> Option<Vec<Box<str>>> {
        let affects = self.rule(case).affects.as_ref()?;
        let standing = self.standing(case);
        let own = standing.value(&affects.values);
        Some(match own.as_deref() {
            Some(Value::List(values)) => values.iter().filter_map(Value::as_text).map(Box::from).collect(),
            _ => Vec::new(),
        })
    }

    /// Whether an opening has to wait until it is known whom it touches; asks for that.
    pub(super) fn awaits_affected(&mut self, case: Case) -> bool {
        if !self.is_heard() || self.alert_of(case).is_some() {
            return false;
        }
        let Some(touched) = self.touched(case) else { return false };
        let (rule, now) = (self.rule(case), self.now());
        let Some(episode) = self.episode_mut(case) else { return false };
        let Some(activation) = episode.activation.as_mut() else { return false };
        let until = activation.begun.plus(WAIT_MS);
        if let Some(affected) = &episode.affected {
            return !affected.is_exact && now < until;
        }
        activation.until = Some(until);
        episode.affected = Some(Box::default());
        self.task.forwards.pending.tell(Broadcast {
            rule: rule.key,
            kind: rule.entity.kind().into(),
            part: self.entity.part.unwrap_or_default().into(),
            touched: Some(touched),
            ..Broadcast::default()
        });
        true
    }

    /// Takes an answer in.
    fn hear_answer(&mut self, answer: &Answer) {
        let Some(rule) = self.plan.rule_of_key(answer.rule) else { return };
        let tasks = if self.settings.is_live() { self.settings.partitions } else { 1 };
        let episodes = self.row.firing.rule(answer.rule).map_or(0, |own| own.episodes.len());
        for case in (0..episodes).map(|episode| Case { rule, episode }) {
            let Some(episode) = self.episode_mut(case) else { continue };
            let (Some(affected), Some(activation)) = (&mut episode.affected, episode.activation) else {
                continue;
            };
            affected.add(answer, tasks);
            let observed = self.observe(case);
            if activation.fate == Fate::New {
                self.pass_gates(case, &observed);
            } else if let Some(alert) = self.alert_of(case).filter(|_| answer.accounts > 0) {
                // It came after the opening.
                self.emit(alert, (case, &observed), Revision { action: Action::Updated, reason: None });
            }
        }
    }
}

impl Engine {
    /// Keeps who has which value in the lists by which alerts touch accounts.
    pub(super) fn index_lists(
        &mut self,
        account: &str,
        before: Option<&Profile>,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        if self.plan.affecting.is_empty() {
            return Ok(());
        }
        let now = self.rows.owner(&account_key(account), turn.store)?.0;
        for field in self.plan.affecting.clone() {
            let now = texts(now.as_deref(), field);
            for value in texts(before, field).difference(&now) {
                self.index((field, value), account, false, turn)?;
            }
            // What is the same is looked at too: the rule may be newer than the profile.
            for value in &now {
                self.index((field, value), account, true, turn)?;
            }
        }
        Ok(())
    }

    /// An account is gone from all lists.
    pub(super) fn forget_lists(&mut self, account: &str, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let profile = self.rows.owner(&account_key(account), turn.store)?.0;
        for field in self.plan.affecting.clone() {
            for value in texts(profile.as_deref(), field) {
                self.index((field, &value), account, false, turn)?;
            }
        }
        Ok(())
    }

    fn index(
        &mut self,
        (field, value): (Field, &str),
        account: &str,
        is_listed: bool,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        let shard = xxhash_rust::xxh3::xxh3_64(account.as_bytes()) % SHARDS;
        let key = index_key(field, value, shard);
        let row = self.rows.get(&key, turn.store)?;
        let place = row.map_or(Err(0), |row| row.parts.binary_search_by(|own| (**own).cmp(account)));
        match (place, is_listed) {
            (Err(place), true) => {
                self.rows.get_or_insert(&key, turn.store)?.parts.insert(place, account.into());
            }
            (Ok(place), false) => {
                self.rows.get_or_insert(&key, turn.store)?.parts.remove(place);
            }
            _ => {}
        }
        Ok(())
    }

    /// The accounts here that an alert touches, by id.
    fn touched_accounts(
        &mut self,
        told: &Broadcast,
        turn: &mut Turn<'_>,
    ) -> Result<BTreeSet<Box<str>>, StepError> {
        let lead = self.plan.rule_of_key(told.rule).map(|lead| self.plan.rule(lead));
        let list = lead.and_then(|lead| lead.affects.as_ref()).map(|affects| affects.list);
        let mut accounts = BTreeSet::new();
        let (Some(list), Some(values)) = (list, &told.touched) else { return Ok(accounts) };
        for value in values {
            for shard in 0..SHARDS {
                let row = self.rows.get(&index_key(list, value, shard), turn.store)?;
                accounts.extend(row.into_iter().flat_map(|row| row.parts.iter().cloned()));
            }
        }
        Ok(accounts)
    }

    /// Says whom of the accounts here an alert would touch.
    pub(super) fn answer(&mut self, told: &Broadcast, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let accounts = self.touched_accounts(told, turn)?;
        let mut answer = Answer {
            rule: told.rule,
            kind: told.kind.clone(),
            part: told.part.clone(),
            accounts: accounts.len() as u64,
            ..Answer::default()
        };
        for account in accounts.into_iter().take(ACCOUNTS_MAX) {
            let profile = self.rows.owner(&account_key(&account), turn.store)?.0;
            let number = |field| match find(profile.as_deref().map(|own| own.fields.as_slice()), field) {
                Some(Value::Int(number)) => Some(*number),
                _ => None,
            };
            let (tier, arr_minor) = (number(Field::Tier), number(Field::ArrMinor));
            answer.arr_minor = answer.arr_minor.saturating_add(arr_minor.unwrap_or(0));
            answer.top.push(Member { account, tier, arr_minor });
        }
        keep_largest(&mut answer.top);
        self.task.forwards.pending.answer(answer);
        Ok(())
    }

    /// A row across accounts hears an answer.
    pub(super) fn take_answer(&mut self, answer: &Answer, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let key = KeyParts { kind: &answer.kind, account: None, part: &answer.part }.encode();
        self.with_row(&key, turn, |scene| {
            scene.hear_answer(answer);
            scene.plan.rule_places().collect()
        })
    }

    /// An alert across accounts is open: leaves a decision for each of the accounts here that it touches.
    pub(super) fn decide_affected(&mut self, told: &Broadcast, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let accounts = self.touched_accounts(told, turn)?;
        let Some(lead) = self.plan.rule_of_key(told.rule) else { return Ok(()) };
        for account in accounts.iter().take(ACCOUNTS_MAX) {
            let index = turn.effects.decisions.len() - turn.first_decision;
            turn.effects.decisions.push(decision(&DecisionInput {
                at: self.task.journal_time,
                program: &self.plan.program,
                rule: self.plan.rule(lead),
                entity: EntityRef { account: None, part: Some(&*told.part).filter(|part| !part.is_empty()) },
                dedup: &[],
                verdict: Verdict::Affected,
                reason: None,
                last: true,
                until: None,
                alert_id: Some(&told.alert),
                observed: &[],
                affected: Some(account),
                experiment: None,
                journal_partition: self.settings.partition,
                journal_offset: turn.offset,
                index: u32::try_from(index).unwrap_or(u32::MAX),
            }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Affected, TOP};
    use crate::event::bytes::Reader;
    use crate::journal::broadcast::Answer;
    use crate::journal::items::Member;

    fn answer(accounts: impl Iterator<Item = i64>) -> Answer {
        let top: Vec<Member> = accounts
            .map(|arr| Member { account: format!("a{arr}").into(), tier: None, arr_minor: Some(arr) })
            .collect();
        let arr_minor = top.iter().filter_map(|member| member.arr_minor).sum();
        Answer { accounts: top.len() as u64, arr_minor, top, ..Answer::default() }
    }

    #[test]
    fn answers_add_up_and_the_largest_are_named() {
        let mut affected = Affected::default();
        affected.add(&answer(0..15), 2);
        assert!(!affected.is_exact);
        affected.add(&answer(15..30), 2);
        assert_eq!((affected.is_exact, affected.accounts, affected.arr_minor), (true, 30, 435));
        assert_eq!(affected.top.len(), TOP);
        assert_eq!(affected.top.iter().filter_map(|own| own.arr_minor).min(), Some(10));
        let mut bytes = Vec::new();
        affected.encode(&mut bytes);
        assert_eq!(Affected::decode(&mut Reader::new(&bytes)), Ok(affected));
    }
}
