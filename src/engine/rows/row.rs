//! What a row holds, and its bytes.

use std::sync::Arc;

use crate::engine::dealings::Dealings;
use crate::engine::feelings::Feelings;
use crate::engine::firing::Firing;
use crate::engine::identity::AliasState;
use crate::engine::issues::Issues;
use crate::engine::profile::Profile;
use crate::engine::series::SeriesState;
use crate::engine::store::DeadlineClock;
use crate::engine::tickets::Ticket;
use crate::event::bytes::{FormatError, Reader, put_signed, put_text, put_varint};
use crate::event::{Kind, Timestamp};
use crate::rules::program::Series;

/// Format of the bytes. Those of version 2 have no issues, those of version 3 no feelings.
const VERSION: u8 = 4;

/// How many event ids of a kind an account remembers (`contracts.md` §2.1).
const IDS_MAX: usize = 32;
/// The same for the kinds with many events.
const IDS_MAX_BUSY: usize = 16;

/// Bits of the number behind the version: which parts a row has.
const HAS_FIRST: u16 = 1;
const HAS_IDS: u16 = 1 << 1;
const HAS_PROFILE: u16 = 1 << 2;
const HAS_TICKET: u16 = 1 << 3;
const HAS_FIRING: u16 = 1 << 4;
const HAS_WATERMARK_DEADLINE: u16 = 1 << 5;
const HAS_JOURNAL_DEADLINE: u16 = 1 << 6;
const HAS_PARTS: u16 = 1 << 7;
const HAS_DEALINGS: u16 = 1 << 8;
const HAS_ISSUES: u16 = 1 << 9;
const HAS_FEELINGS: u16 = 1 << 10;
const HAS_ALIAS: u16 = 1 << 11;

/// An entity's state: the sum of what the active rules need, and what is known of the entity itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// States by the key of their series, in order.
    series: Vec<(u32, SeriesState)>,
    /// Event time of the first event that met a filter.
    first_event: Option<Timestamp>,
    /// Ids of the newest events, by kind; only accounts have them.
    ids: Vec<Ids>,
    /// What the row is armed for, by clock.
    armed: [Option<Timestamp>; 2],
    /// What rules remember.
    pub firing: Firing,
    /// The newest profile of the account or user.
    pub profile: Option<Arc<Profile>>,
    /// The ticket, in a ticket's row.
    pub ticket: Option<Box<Ticket>>,
    /// What the account's rows must know of each other, in the account's own row.
    pub dealings: Option<Arc<Dealings>>,
    /// Whose the alias is, in an alias's row.
    pub alias: Option<Box<AliasState>>,
    /// The parts of an account's rows of one kind, in the row that lists them.
    pub parts: Vec<Box<str>>,
}

/// Ids of the newest events of one kind; the oldest is overwritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ids {
    pub kind: Kind,
    /// Place of the oldest.
    pub next: u8,
    pub seen: Vec<u64>,
}

/// How many ids of this kind are remembered.
pub(super) const fn ids_max(kind: Kind) -> usize {
    match kind {
        Kind::Usage | Kind::ErrorLog => IDS_MAX_BUSY,
        _ => IDS_MAX,
    }
}

impl Row {
    /// A row of these series by key, first event and deadlines, ids, firing and profile.
    pub(super) fn of_parts(
        series: Vec<(u32, SeriesState)>,
        (first_event, armed): (Option<Timestamp>, [Option<Timestamp>; 2]),
        ids: Vec<Ids>,
        (firing, profile): (Firing, Option<Arc<Profile>>),
    ) -> Self {
        Self { series, first_event, ids, armed, firing, profile, ..Self::default() }
    }

    /// All series, by key.
    pub(super) fn all_series(&self) -> &[(u32, SeriesState)] {
        &self.series
    }

    /// Ids of the newest events.
    pub(super) fn ids(&self) -> &[Ids] {
        &self.ids
    }

    /// The state of a series.
    #[must_use]
    pub fn series(&self, key: u32) -> Option<&SeriesState> {
        let place = self.series.binary_search_by_key(&key, |(own, _)| *own).ok()?;
        self.series.get(place).map(|(_, state)| state)
    }

    /// The state of a series, empty if it had none.
    pub fn series_mut(&mut self, series: &Series) -> &mut SeriesState {
        let place = match self.series.binary_search_by_key(&series.key, |(own, _)| *own) {
            Ok(place) => place,
            Err(place) => {
                // Most rows have few series: room for more would be most of the row.
                self.series.reserve_exact(1);
                self.series.insert(place, (series.key, SeriesState::new(series)));
                place
            }
        };
        &mut self.series[place].1
    }

    /// Forgets a series.
    pub fn remove_series(&mut self, key: u32) {
        if let Ok(place) = self.series.binary_search_by_key(&key, |(own, _)| *own) {
            self.series.remove(place);
        }
    }

    /// Keeps the series that the test holds for.
    pub fn retain_series(&mut self, mut keep: impl FnMut(u32, &SeriesState) -> bool) {
        self.series.retain(|(key, state)| keep(*key, state));
    }

    /// Event time of the entity's first event.
    #[must_use]
    pub const fn first_event(&self) -> Option<Timestamp> {
        self.first_event
    }

    /// Event time of the newest match of any series.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        self.series.iter().filter_map(|(_, state)| state.newest()).max()
    }

    /// Takes note of an event that met a filter.
    pub fn note_event(&mut self, time: Timestamp) {
        if self.first_event.is_none_or(|first| time < first) {
            self.first_event = Some(time);
            // Ages count from it.
            self.firing.forget_bounds();
        }
    }

    /// Takes an event id in; false if it is among the newest of its kind already.
    pub fn note_id(&mut self, kind: Kind, id: u64) -> bool {
        let most = ids_max(kind);
        let Some(ids) = self.ids.iter_mut().find(|ids| ids.kind == kind) else {
            self.ids.reserve_exact(1);
            self.ids.push(Ids { kind, next: 0, seen: vec![id] });
            return true;
        };
        if ids.seen.contains(&id) {
            return false;
        }
        if ids.seen.len() < most {
            if ids.seen.len() == ids.seen.capacity() {
                ids.seen.reserve_exact(if ids.seen.len() < 5 { 4 } else { most - ids.seen.len() });
            }
            ids.seen.push(id);
        } else {
            let next = usize::from(ids.next) % most;
            ids.seen[next] = id;
            ids.next = u8::try_from((next + 1) % most).unwrap_or(0);
        }
        true
    }

    /// What the row is armed for on a clock.
    #[must_use]
    pub const fn armed(&self, clock: DeadlineClock) -> Option<Timestamp> {
        self.armed[clock as usize]
    }

    /// Remembers what the row is armed for.
    pub const fn set_armed(&mut self, clock: DeadlineClock, at: Option<Timestamp>) {
        self.armed[clock as usize] = at;
    }

    /// Whether it holds nothing, so that it need not be stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Appends the row: version, what it has, series by key, and the rest.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let issues = self.dealings.as_ref().map(|own| &own.issues).filter(|own| !own.is_empty());
        let feelings = self.dealings.as_ref().map(|own| &own.feelings).filter(|own| !own.is_empty());
        let parts = Parts {
            times: [self.first_event, self.armed[0], self.armed[1]],
            ids: !self.ids.is_empty(),
            profile: self.profile.is_some(),
            ticket: self.ticket.is_some(),
            firing: !self.firing.is_empty(),
            listed: !self.parts.is_empty(),
            dealings: self.dealings.as_ref().is_some_and(|own| own.has_ties()),
            issues: issues.is_some(),
            feelings: feelings.is_some(),
            alias: self.alias.is_some(),
        };
        put_head(out, &parts, self.series.len());
        for (key, state) in &self.series {
            out.extend_from_slice(&key.to_le_bytes());
            state.encode(out);
        }
        put_times(out, &parts);
        if parts.ids {
            put_ids(out, self.ids.iter().map(|ids| (ids.kind as u8, ids.next, ids.seen.iter().copied())));
        }
        if let Some(profile) = &self.profile {
            profile.encode(out);
        }
        if let Some(ticket) = &self.ticket {
            ticket.encode(out);
        }
        if !self.firing.is_empty() {
            self.firing.encode(out);
        }
        if let Some(dealings) = self.dealings.as_ref().filter(|_| parts.dealings) {
            dealings.encode(out);
        }
        if let Some(issues) = issues {
            issues.encode(out);
        }
        if let Some(feelings) = feelings {
            feelings.encode(out);
        }
        if let Some(alias) = &self.alias {
            alias.encode(out);
        }
        if !self.parts.is_empty() {
            put_varint(out, self.parts.len() as u64);
            self.parts.iter().for_each(|part| put_text(out, part));
        }
    }

    /// Reads a row.
    ///
    /// # Errors
    /// If the bytes are of a later version, cut, or made by no writer.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        if !(2..=VERSION).contains(&version) {
            return Err(FormatError::Version(version));
        }
        let flags = reader.varint()?;
        let has = |bit: u16| flags & u64::from(bit) != 0;
        let count = reader.count()?;
        let mut series = Vec::with_capacity(count);
        for _ in 0..count {
            let key = reader.take(4)?.try_into().map_err(|_| FormatError::Truncated)?;
            series.push((u32::from_le_bytes(key), SeriesState::decode(&mut reader)?));
        }
        let mut row = Self { series, ..Self::default() };
        let mut time = |has: bool| if has { reader.time().map(Some) } else { Ok(None) };
        row.first_event = time(has(HAS_FIRST))?;
        row.armed = [time(has(HAS_WATERMARK_DEADLINE))?, time(has(HAS_JOURNAL_DEADLINE))?];
        if has(HAS_IDS) {
            for _ in 0..reader.count()? {
                row.ids.push(ids(&mut reader)?);
            }
        }
        if has(HAS_PROFILE) {
            row.profile = Some(Arc::new(Profile::decode(&mut reader)?));
        }
        if has(HAS_TICKET) {
            row.ticket = Some(Box::new(Ticket::decode(&mut reader)?));
        }
        if has(HAS_FIRING) {
            row.firing = Firing::decode(&mut reader)?;
        }
        if has(HAS_DEALINGS) {
            row.dealings = Some(Arc::new(Dealings::decode(&mut reader)?));
        }
        if has(HAS_ISSUES) {
            let issues = Issues::decode(&mut reader)?;
            Arc::make_mut(row.dealings.get_or_insert_default()).issues = issues;
        }
        if has(HAS_FEELINGS) {
            let feelings = Feelings::decode(&mut reader)?;
            Arc::make_mut(row.dealings.get_or_insert_default()).feelings = feelings;
        }
        if has(HAS_ALIAS) {
            row.alias = Some(Box::new(AliasState::decode(&mut reader)?));
        }
        if has(HAS_PARTS) {
            for _ in 0..reader.count()? {
                row.parts.push(reader.text()?.into());
            }
        }
        if !reader.is_empty() || !row.series.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(FormatError::Malformed("row"));
        }
        Ok(row)
    }

    /// Bytes it holds on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let states: usize = self.series.iter().map(|(_, state)| state.heap_bytes()).sum();
        let ids: usize = self.ids.iter().map(|ids| size_of::<Ids>() + ids.seen.capacity() * 8).sum();
        let profile = self.profile.as_ref().map_or(0, |profile| profile.heap_bytes());
        let ticket = self.ticket.as_ref().map_or(0, |ticket| 256 + ticket.kept.len() * 512);
        let parts: usize = self.parts.iter().map(|part| size_of::<Box<str>>() + part.len()).sum();
        let series = self.series.capacity() * size_of::<(u32, SeriesState)>();
        let dealings = self.dealings.as_ref().map_or(0, |dealings| dealings.heap_bytes());
        let alias = self.alias.as_ref().map_or(0, |alias| alias.heap_bytes());
        states + series + ids + profile + ticket + dealings + alias + parts + self.firing.heap_bytes()
    }
}

/// Which parts a row has, and its times: first event and deadlines.
#[expect(clippy::struct_excessive_bools, reason = "one bit of the head each")]
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub times: [Option<Timestamp>; 3],
    pub ids: bool,
    pub profile: bool,
    pub ticket: bool,
    pub firing: bool,
    pub listed: bool,
    pub dealings: bool,
    pub issues: bool,
    pub feelings: bool,
    pub alias: bool,
}

/// Appends version, which parts follow, and how many series.
pub(super) fn put_head(out: &mut Vec<u8>, parts: &Parts, series: usize) {
    let flag = |set: bool, bit: u16| if set { bit } else { 0 };
    out.push(VERSION);
    let flags = flag(parts.times[0].is_some(), HAS_FIRST)
        | flag(parts.ids, HAS_IDS)
        | flag(parts.profile, HAS_PROFILE)
        | flag(parts.ticket, HAS_TICKET)
        | flag(parts.firing, HAS_FIRING)
        | flag(parts.times[1].is_some(), HAS_WATERMARK_DEADLINE)
        | flag(parts.times[2].is_some(), HAS_JOURNAL_DEADLINE)
        | flag(parts.listed, HAS_PARTS)
        | flag(parts.dealings, HAS_DEALINGS)
        | flag(parts.issues, HAS_ISSUES)
        | flag(parts.feelings, HAS_FEELINGS)
        | flag(parts.alias, HAS_ALIAS);
    put_varint(out, u64::from(flags));
    put_varint(out, series as u64);
}

/// Appends the times that there are.
pub(super) fn put_times(out: &mut Vec<u8>, parts: &Parts) {
    parts.times.iter().flatten().for_each(|time| put_signed(out, time.0));
}

/// Appends ids by kind: the kind's number, the place of the oldest, the ids.
pub(super) fn put_ids<I>(out: &mut Vec<u8>, kinds: impl Iterator<Item = (u8, u8, I)> + Clone)
where
    I: ExactSizeIterator<Item = u64>,
{
    put_varint(out, kinds.clone().count() as u64);
    for (kind, next, seen) in kinds {
        out.push(kind);
        out.push(next);
        put_varint(out, seen.len() as u64);
        seen.for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
    }
}

fn ids(reader: &mut Reader<'_>) -> Result<Ids, FormatError> {
    let kind = Kind::from_number(reader.byte()?).ok_or(FormatError::Malformed("kind"))?;
    let next = reader.byte()?;
    let count = reader.count()?;
    let mut seen = Vec::with_capacity(count);
    for _ in 0..count {
        let id = reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?;
        seen.push(u64::from_le_bytes(id));
    }
    Ok(Ids { kind, next, seen })
}
