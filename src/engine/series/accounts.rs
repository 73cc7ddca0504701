//! Whose the matches of a row across accounts are: which accounts have matches in which panes or local days.

use std::collections::BTreeMap;

use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};
use crate::rules::program::{Series, Window};

use super::cells::INDEX_MAX;
use super::counted::Counted;
use super::grain::Grain;
use super::members::{Members, Room, VALUES_MAX};
use super::{SeriesState, Span};

/// Cells of accounts with several matches that are remembered; of more, the first match that leaves takes its account along.
const SEVERAL_MAX: usize = VALUES_MAX;

/// The accounts of a series' matches. It is exact up to [`VALUES_MAX`] accounts in the newest window; there it stays, and
/// accounts that were seen before that window make room for those in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    members: Members,
    /// By cell and account, how many matches there are where there are several: all must leave before the account does.
    /// Kept only where matches can leave.
    several: BTreeMap<(i64, u64), u32>,
}

/// Matches of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// Hash of the account.
    pub account: u64,
    /// How many matches.
    pub weight: u32,
    /// Whether they may leave again: tickets change what they are about.
    pub may_leave: bool,
}

impl Accounts {
    /// How many accounts the cells `from..=to` have.
    pub(super) fn count(&self, from: i64, to: i64) -> u64 {
        self.members.count(from, to)
    }

    /// Takes matches in; `oldest` is the oldest cell of the series.
    pub(super) fn add(&mut self, grain: &Grain, oldest: i64, (cell, time): (i64, Timestamp), owned: Owned) {
        let key = (cell, owned.account);
        let before = if self.members.has(cell, owned.account) {
            self.several.get(&key).copied().unwrap_or(1)
        } else {
            0
        };
        let room = Room { oldest, window: grain.window, most: VALUES_MAX };
        let mut taken = self.members.add(&room, cell, (time, owned.account, None));
        let seen = self.members.top() - grain.window + 1;
        let is_full = self.members.len() >= VALUES_MAX;
        if !taken && is_full && cell >= seen && self.count(seen, self.members.top()) < VALUES_MAX as u64 {
            self.forget_before(seen);
            taken = self.members.add(&room, cell, (time, owned.account, None));
        }
        if !taken || !owned.may_leave {
            return;
        }
        let known = self.several.len() < SEVERAL_MAX || self.several.contains_key(&key);
        let now = before.saturating_add(owned.weight);
        if now > 1 && known {
            self.several.insert(key, now);
        }
        // What lies before the oldest cell has left the windows.
        while self.several.first_key_value().is_some_and(|((cell, _), _)| *cell < oldest) {
            self.several.pop_first();
        }
    }

    /// Takes matches back.
    pub(super) fn remove(&mut self, cell: i64, owned: Owned) {
        let key = (cell, owned.account);
        let before = self.several.get(&key).copied().unwrap_or(1);
        let now = before.saturating_sub(owned.weight);
        if now == 0 {
            self.members.remove(cell, owned.account);
        }
        if now > 1 {
            self.several.insert(key, now);
        } else {
            self.several.remove(&key);
        }
    }

    /// Forgets the cells before `lowest`.
    pub(super) fn forget_before(&mut self, lowest: i64) {
        self.members.forget_before(lowest);
        self.several = self.several.split_off(&(lowest, 0));
    }

    /// Which accounts came in which cells, then of how many matches where there are several: cell, account, number.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.members.encode(out);
        put_varint(out, self.several.len() as u64);
        for ((cell, account), weight) in &self.several {
            put_signed(out, *cell);
            out.extend_from_slice(&account.to_le_bytes());
            put_varint(out, u64::from(*weight));
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let bad = FormatError::Malformed("accounts");
        let members = Members::decode(false, reader)?;
        let count = reader.count()?;
        if count > SEVERAL_MAX {
            return Err(bad);
        }
        let mut several = BTreeMap::new();
        for _ in 0..count {
            let cell = reader.signed()?;
            let account = reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?;
            let weight = u32::try_from(reader.varint()?).ok().filter(|weight| *weight > 1).ok_or(bad)?;
            if cell.abs_diff(0) > INDEX_MAX {
                return Err(bad);
            }
            several.insert((cell, u64::from_le_bytes(account)), weight);
        }
        Ok(Self { members, several })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let several = self.several.len() * (size_of::<(i64, u64)>() + size_of::<u32>());
        size_of::<Self>() + self.members.heap_bytes() + several
    }
}

impl SeriesState {
    /// The cells of matches, if it has any.
    pub(super) fn counted(&self) -> Option<&Counted> {
        match self {
            Self::Counted(counted) => Some(counted),
            Self::Distinct(distinct) => Some(&distinct.counted),
            Self::Usual(usual) => Some(&usual.counted),
            _ => None,
        }
    }

    pub(super) fn counted_mut(&mut self) -> Option<&mut Counted> {
        match self {
            Self::Counted(counted) => Some(counted),
            Self::Distinct(distinct) => Some(&mut distinct.counted),
            Self::Usual(usual) => Some(&mut usual.counted),
            _ => None,
        }
    }

    /// Notes whose the matches of a sample are that was taken in. `day` is as in [`SeriesState::add`].
    pub fn add_account(&mut self, series: &Series, (time, day): (Timestamp, Option<i32>), owned: Owned) {
        if time > self.marks().reset
            && let Some(counted) = self.counted_mut()
        {
            let grain = Grain::of(series);
            counted.add_account(&grain, (grain.cell(time, day), time), owned);
        }
    }

    /// Notes that matches of an account were taken back. `day` is as in [`SeriesState::add`].
    pub fn remove_account(&mut self, series: &Series, (time, day): (Timestamp, Option<i32>), owned: Owned) {
        if time > self.marks().reset
            && let Some(accounts) = self.counted_mut().and_then(|counted| counted.accounts.as_mut())
        {
            accounts.remove(Grain::of(series).cell(time, day), owned);
        }
    }

    /// Forgets whose the matches are, because nothing asks for it any more.
    pub fn forget_accounts(&mut self) {
        if let Some(counted) = self.counted_mut() {
            counted.accounts = None;
        }
    }

    /// How many accounts the matches of the rule's own `window` are of, as far as it was noted.
    #[must_use]
    pub fn accounts(&self, series: &Series, window: &Window, span: Span) -> u64 {
        let range = Grain::of(series).range(window, span);
        let accounts = self.counted().and_then(|counted| counted.accounts.as_ref());
        accounts.zip(range).map_or(0, |(accounts, (from, to))| accounts.count(from, to))
    }
}
