//! Accounts and what belongs to them: their profiles, which rows there are, and how all of it is forgotten.

use std::sync::Arc;

use crate::event::{Event, Field, Value};

use super::alert::Reason;
use super::census::Entry;
use super::dealings::Held;
use super::judge::Cause;
use super::matches::find;
use super::profile::Profile;
use super::rows::key::{KeyParts, account_range};
use super::scene::Case;
use super::step::{Turn, account_key};
use super::store::{DeadlineClock, RowKey};
use super::{Engine, StepError};

/// Most rows of one kind that an account may have (`rules.md` §15).
const fn most_rows(kind: &str) -> usize {
    match kind.as_bytes() {
        b"user" => 10_000,
        b"ticket" => 2_000,
        _ => 500,
    }
}

/// The key of the row that lists an account's rows of one kind.
fn list_key(kind: &str, account: &str) -> RowKey {
    KeyParts { kind: &format!("{}{kind}", super::rows::LIST), account: Some(account), part: "" }.encode()
}

impl Engine {
    /// Takes in what an account record says of an account or user.
    pub(super) fn take_profile(
        &mut self,
        event: &Event<'_>,
        account: &str,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        match &*event.name {
            "account.updated" => {
                let new = Profile::of(event);
                let row = self.rows.get_or_insert(&account_key(account), turn.store)?;
                let known = row.profile.as_ref();
                if known.is_none_or(|known| known.version <= new.version) {
                    let zone =
                        |fields: &[(Field, Value<'static>)]| find(Some(fields), Field::Timezone).cloned();
                    let moved = known.and_then(|known| zone(&known.fields)) != zone(&new.fields);
                    let known = known.is_some();
                    let before = row.profile.replace(Arc::new(new));
                    let now = row.profile.clone();
                    self.claim_aliases(account, (before.as_deref(), now.as_deref()), turn)?;
                    self.index_lists(account, before.as_deref(), turn)?;
                    self.judge_references(account, known, turn)?;
                    self.after_profile(account, moved, turn)?;
                }
            }
            "user.updated" => {
                let Some(user) = event.user.as_deref() else { return Ok(()) };
                let parts = KeyParts { kind: "user", account: Some(account), part: user };
                let key = parts.encode();
                self.register(&key, &parts, turn)?;
                let row = self.rows.get_or_insert(&key, turn.store)?;
                let mut new = Profile::of(event);
                new.version = event.time.0;
                if row.profile.as_ref().is_none_or(|known| known.version <= new.version) {
                    let is_first = row.profile.replace(Arc::new(new)).is_none();
                    if is_first {
                        self.claim_user(user, account, true, turn);
                    }
                }
            }
            "account.erased" => self.erase_account(account, turn)?,
            "user.erased" => {
                if let Some(user) = event.user.as_deref() {
                    let key = KeyParts { kind: "user", account: Some(account), part: user }.encode();
                    self.claim_user(user, account, false, turn);
                    self.erase_row(&key, turn)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Lists a row of an account when it is new; the longest idle one makes room.
    pub(super) fn register(
        &mut self,
        key: &RowKey,
        parts: &KeyParts<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        let Some(account) = parts.account.filter(|_| parts.kind != "account") else { return Ok(()) };
        if self.rows.exists(key, turn.store)? {
            return Ok(());
        }
        let list = self.rows.get_or_insert(&list_key(parts.kind, account), turn.store)?;
        list.parts.push(parts.part.into());
        // Making room costs a look at every row, so it is made for many.
        let most = most_rows(parts.kind);
        let crowd = if list.parts.len() > most { list.parts.clone() } else { Vec::new() };
        if !crowd.is_empty() {
            self.evict(parts.kind, account, &crowd, turn)?;
        }
        self.rows.get_or_insert(key, turn.store)?;
        Ok(())
    }

    fn evict(
        &mut self,
        kind: &str,
        account: &str,
        crowd: &[Box<str>],
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        let mut idle: Vec<(Option<crate::event::Timestamp>, Box<str>)> = Vec::with_capacity(crowd.len());
        for part in crowd {
            let key = KeyParts { kind, account: Some(account), part }.encode();
            let newest = self.rows.get(&key, turn.store)?.map(super::rows::row::Row::newest);
            idle.extend(newest.map(|newest| (newest, part.clone())));
        }
        idle.sort();
        let room = (most_rows(kind) / 20).max(1);
        for (_, part) in idle.into_iter().take(room) {
            let key = KeyParts { kind, account: Some(account), part: &part }.encode();
            self.erase_row(&key, turn)?;
            *turn.effects.tally.evicted.entry(kind.into()).or_default() += 1;
        }
        Ok(())
    }

    /// The kinds of rows that an account may have beside its own, in order.
    fn kinds_of_rows(&self) -> Vec<Box<str>> {
        let mut kinds: Vec<Box<str>> = vec!["user".into(), "ticket".into()];
        for entity in self.plan.entities.iter().filter(|entity| entity.account) {
            kinds.extend(entity.part.as_ref().map(|part| part.name.clone()));
        }
        kinds.sort();
        kinds.dedup();
        kinds
    }

    /// The keys of an account's rows of one kind.
    fn listed(&mut self, kind: &str, account: &str, turn: &mut Turn<'_>) -> Result<Vec<RowKey>, StepError> {
        let list = self.rows.get(&list_key(kind, account), turn.store)?;
        let key = |part: &str| KeyParts { kind, account: Some(account), part }.encode();
        Ok(list.map(|row| row.parts.iter().map(|part| key(part)).collect()).unwrap_or_default())
    }

    /// The keys of all rows of an account.
    fn rows_of(&mut self, account: &str, turn: &mut Turn<'_>) -> Result<Vec<RowKey>, StepError> {
        let mut keys = vec![account_key(account)];
        for kind in self.kinds_of_rows() {
            keys.extend(self.listed(&kind, account, turn)?);
        }
        Ok(keys)
    }

    /// Forgets an account and all that belongs to it; its open alerts are withdrawn.
    pub(super) fn erase_account(&mut self, account: &str, turn: &mut Turn<'_>) -> Result<(), StepError> {
        self.forget_lists(account, turn)?;
        // What an alert held back must not open when that one is withdrawn.
        let mut profile = None;
        if let Some(own) = self.rows.get_mut(&account_key(account), turn.store)? {
            own.dealings = None;
            profile = own.profile.clone();
        }
        self.claim_aliases(account, (profile.as_deref(), None), turn)?;
        for kind in self.kinds_of_rows() {
            for key in self.listed(&kind, account, turn)? {
                if &*kind == "user" {
                    let user = KeyParts::decode(&key)?.part.to_owned();
                    self.claim_user(&user, account, false, turn);
                }
                self.erase_row(&key, turn)?;
            }
            self.rows.remove(&list_key(&kind, account), turn.store)?;
        }
        self.erase_row(&account_key(account), turn)
    }

    /// Forgets a row; its open alerts are withdrawn.
    pub(super) fn erase_row(&mut self, key: &RowKey, turn: &mut Turn<'_>) -> Result<(), StepError> {
        if !self.rows.exists(key, turn.store)? {
            return Ok(());
        }
        self.with_row(key, turn, |scene| {
            scene.on_erased();
            Vec::new()
        })?;
        if let Some(row) = self.rows.remove(key, turn.store)? {
            self.task.forget(&Entry::of(&row.firing, self.task.day()));
            for clock in [DeadlineClock::Watermark, DeadlineClock::Journal] {
                if let Some(armed) = row.armed(clock) {
                    self.deadlines.disarm(key, clock, armed);
                }
            }
        }
        let parts = KeyParts::decode(key)?;
        if let Some(account) = parts.account.filter(|_| parts.kind != "account")
            && let Some(list) = self.rows.get_mut(&list_key(parts.kind, account), turn.store)?
        {
            list.parts.retain(|part| **part != *parts.part);
        }
        Ok(())
    }

    /// What is a share of something in the profile is judged anew when the profile changes, and what counts from a time
    /// in it, or by its business days, goes by the new one (`rules.md` §7, level, absence, milestone). `known`: there was a profile before.
    fn judge_references(&mut self, account: &str, known: bool, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let plan = Arc::clone(&self.plan);
        for (rule, touched) in &plan.referring {
            let keys = match &plan.rule(*rule).entity.part {
                None => vec![account_key(account)],
                Some(part) => self.listed(&part.name, account, turn)?,
            };
            for key in keys {
                self.with_row(&key, turn, |scene| {
                    let is_known = known || scene.row.first_event().is_some();
                    scene.prepare_known(*rule, is_known);
                    scene.look_at(Case { rule: *rule, episode: 0 }, Cause::Moved(touched));
                    vec![*rule]
                })?;
            }
        }
        Ok(())
    }

    /// A new profile may have changed who owns the account's open alerts, and what holds others back. `moved`: the
    /// account has another time zone.
    pub(super) fn after_profile(
        &mut self,
        account: &str,
        moved: bool,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        let mut keys: Vec<RowKey> = Vec::new();
        if moved {
            keys.push(account_key(account));
        }
        for entity in self.plan.entities.iter().filter(|entity| entity.account) {
            let kind = entity.part.as_ref().map_or("account", |part| &part.name);
            keys.extend(self.task.open.range(account_range(kind, account)).cloned());
        }
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            self.with_row(&key, turn, |scene| {
                for alert in 0..scene.row.firing.alerts.len() {
                    scene.revise_alert(alert);
                }
                scene.plan.rule_places().collect()
            })?;
        }
        self.look_at_held(account, turn)
    }

    /// What may hold others of an account back has changed: they are looked at again.
    pub(super) fn look_at_held(&mut self, account: &str, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let own = self.rows.get_or_insert(&account_key(account), turn.store)?;
        let Some(dealings) = &mut own.dealings else { return Ok(()) };
        let held = Arc::make_mut(dealings).take_held();
        if dealings.is_empty() {
            own.dealings = None;
        }
        let held = match held {
            Held::Rows(rows) => rows,
            Held::All => self.rows_of(account, turn)?,
        };
        for key in held {
            if !self.rows.exists(&key, turn.store)? {
                continue;
            }
            self.with_row(&key, turn, |scene| {
                scene.try_again(Reason::Inhibited);
                scene.plan.rule_places().collect()
            })?;
        }
        Ok(())
    }
}
