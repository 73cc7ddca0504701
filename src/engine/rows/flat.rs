//! A row in few bytes: ids of events, counts per pane, and what rules remember while nothing has come of them.
//!
//! Most rows never know more, so most events find all of their row in one block of words: one miss of the cache after
//! the slot's. What doesn't fit becomes a [`Row`]; a checkpoint makes it flat again once it fits.
//!
//! A block is a sequence of lanes, in the order of their making. The first word of a lane is its tag (lowest byte), two
//! small numbers and the count of its items; the words after it, low halves of 64 bits first:
//!
//! | lane | head | item |
//! |---|---|---|
//! | ids (kind, place of the oldest) | – | id (2 words) |
//! | counts | series key, newest (2), base pane (2), total of the newest window | pane - base (16 bits), matches (16 bits) |
//! | calm rule (conditions, clear items) | rule key, version, matches, peak, base time (2), base offset (2) | time - base, offset - base, source (8 bits) label (13) weight (11) |

use std::sync::Arc;

use crate::engine::firing::{Calm, EVIDENCE_MAX, Firing, Peak, Proof, put_calm};
use crate::engine::peaks::Peaks;
use crate::engine::profile::Profile;
use crate::engine::series::{Cell, Floor, Grain, SeriesState, Taken};
use crate::engine::store::DeadlineClock;
use crate::event::{Kind, Timestamp};
use crate::rules::program::{Measure, Series, Window};

use super::row::{Ids, Parts, Row, ids_max, put_head, put_ids, put_times};

/// No time at all.
const NEVER: Timestamp = Timestamp::MAX;
/// Most cells of a lane of counts; more are kept elsewhere.
const CELLS_MAX: usize = 240;
/// How far a base lies before what came first: late samples lie between.
const CELL_LEAD: u16 = 1024;
const PROOF_LEAD: i64 = 1 << 31;
/// A total that must be summed up first.
const UNKNOWN: u32 = u32::MAX;
/// Memory grows in these steps (words), those of the allocator.
const STEP: usize = 16;

/// Widths of a proof's last word.
const LABEL_BITS: u32 = 13;
const WEIGHT_BITS: u32 = 11;
const LABEL_NONE: u32 = (1 << LABEL_BITS) - 1;

/// What a lane holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Ids = 1,
    Counts = 2,
    Calm = 3,
}

impl Tag {
    const fn of(head: u32) -> Self {
        match head & 0xff {
            1 => Self::Ids,
            2 => Self::Counts,
            _ => Self::Calm,
        }
    }

    /// Words before the items.
    const fn head(self) -> usize {
        match self {
            Self::Ids => 1,
            Self::Counts => 7,
            Self::Calm => 9,
        }
    }

    /// Words of an item.
    const fn item(self) -> usize {
        match self {
            Self::Ids => 2,
            Self::Counts => 1,
            Self::Calm => 3,
        }
    }
}

/// Places of the words of a head.
const KEY: usize = 1;
const NEWEST: usize = 2;
const BASE_PANE: usize = 4;
const TOTAL: usize = 6;
const VERSION: usize = 2;
const MATCHES: usize = 3;
const PEAK: usize = 4;
const BASE_TIME: usize = 5;
const BASE_OFFSET: usize = 7;

const fn head(tag: Tag, small: (u8, u8), items: u8) -> u32 {
    tag as u32 | (small.0 as u32) << 8 | (small.1 as u32) << 16 | (items as u32) << 24
}

const fn items(head: u32) -> usize {
    (head >> 24) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "two bytes of a word")]
const fn small(head: u32) -> (u8, u8) {
    ((head >> 8) as u8, (head >> 16) as u8)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
const fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

fn pane(cell: u32, base: i64) -> i64 {
    base + i64::from(cell >> 16)
}

/// A row in few bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Flat {
    /// The newest profile of the account.
    pub profile: Option<Arc<Profile>>,
    first_event: Timestamp,
    armed: [Timestamp; 2],
    words: Vec<u32>,
}

impl Default for Flat {
    fn default() -> Self {
        Self { profile: None, first_event: NEVER, armed: [NEVER; 2], words: Vec::new() }
    }
}

/// What counting a sample came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// What became of the sample.
    pub taken: Taken,
    /// The count of the window that ends with the newest match.
    pub value: u64,
}

impl Flat {
    /// The row in few bytes, if it fits.
    #[must_use]
    pub fn of(row: &Row) -> Option<Self> {
        let firing = &row.firing;
        let rest =
            row.ticket.is_none() && row.parts.is_empty() && row.dealings.is_none() && row.alias.is_none();
        if !rest || !firing.alerts.is_empty() || !firing.attached.is_empty() {
            return None;
        }
        let mut flat = Self { profile: row.profile.clone(), ..Self::default() };
        let known = |time: Option<Timestamp>| match time {
            Some(NEVER) => None,
            time => Some(time.unwrap_or(NEVER)),
        };
        flat.first_event = known(row.first_event())?;
        flat.armed = [known(row.armed(DeadlineClock::Watermark))?, known(row.armed(DeadlineClock::Journal))?];
        for ids in row.ids() {
            flat.push(head(Tag::Ids, (ids.kind as u8, ids.next), u8::try_from(ids.seen.len()).ok()?), &[]);
            ids.seen.iter().for_each(|id| flat.words.extend(halves(*id)));
        }
        for rule in &firing.rules {
            let (calm, evidence) = Calm::of(rule)?;
            let at = flat.push_calm(calm);
            for proof in evidence {
                if !flat.can_prove(at, proof) {
                    return None;
                }
                flat.prove_at(at, proof);
            }
            flat.words[at + MATCHES] = calm.matches;
        }
        for (key, state) in row.all_series() {
            let (newest, cells) = state.plain_counts()?;
            flat.push_counts(*key, newest, cells)?;
        }
        flat.words.shrink_to_fit();
        Some(flat)
    }

    /// The whole row.
    #[must_use]
    pub fn wake(self) -> Row {
        let time = |time: Timestamp| (time != NEVER).then_some(time);
        let firing = Firing {
            rules: self.calm().map(|(calm, evidence)| calm.wake(evidence.collect())).collect(),
            ..Firing::default()
        };
        let mut series: Vec<(u32, SeriesState)> = self
            .counts()
            .map(|(key, newest, cells)| (key, SeriesState::of_counts(newest, cells.collect())))
            .collect();
        series.sort_unstable_by_key(|(key, _)| *key);
        let ids = self.ids().collect();
        let armed = self.armed.map(time);
        Row::of_parts(series, (time(self.first_event), armed), ids, (firing, self.profile))
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Event time of the first event that met a filter.
    #[must_use]
    pub fn first_event(&self) -> Option<Timestamp> {
        (self.first_event != NEVER).then_some(self.first_event)
    }

    /// Takes note of an event that met a filter.
    pub fn note_event(&mut self, time: Timestamp) {
        self.first_event = self.first_event.min(time);
    }

    /// Bytes it holds on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let profile = self.profile.as_ref().map_or(0, |profile| profile.heap_bytes());
        self.words.capacity() * size_of::<u32>() + profile
    }

    /// Reads a word of each line of memory, so that all of them are on their way.
    #[must_use]
    pub fn touch(&self) -> u32 {
        self.words.iter().step_by(STEP).fold(0, |all, word| all ^ word)
    }

    /// Takes an event id in; false if it is among the newest of its kind already.
    pub fn note_id(&mut self, kind: Kind, id: u64) -> bool {
        let own = halves(id);
        let Some(at) = self.lane(Tag::Ids, kind as u32) else {
            self.push(head(Tag::Ids, (kind as u8, 0), 1), &own);
            return true;
        };
        let first = self.words[at];
        let (count, most) = (items(first), ids_max(kind));
        let from = at + Tag::Ids.head();
        let seen = self.words[from..from + 2 * count].as_chunks_mut::<2>().0;
        if seen.contains(&own) {
            return false;
        }
        if count < most {
            self.insert(from + 2 * count, own);
            self.words[at] += 1 << 24;
        } else {
            let next = usize::from(small(first).1) % most;
            seen[next] = own;
            let next = u8::try_from((next + 1) % most).unwrap_or(0);
            self.words[at] = head(Tag::Ids, (kind as u8, next), u8::try_from(count).unwrap_or(u8::MAX));
        }
        true
    }

    /// The version of a calm rule's last judgement, if the row has one.
    #[must_use]
    pub fn version(&self, rule: u32) -> Option<u32> {
        self.lane(Tag::Calm, rule).map(|at| self.words[at + VERSION])
    }

    /// Adds a calm rule without evidence.
    pub fn add_rule(&mut self, calm: Calm) {
        self.push_calm(calm);
    }

    /// Whether a match can stand as evidence in a row in few bytes at all.
    #[must_use]
    pub fn takes(proof: &Proof) -> bool {
        packed(proof, (proof.time.0, proof.offset)).is_some()
    }

    /// Whether a match can stand as evidence of this rule here; its bases may move for that.
    pub fn fits(&mut self, rule: u32, proof: &Proof) -> bool {
        self.lane(Tag::Calm, rule).is_some_and(|at| self.can_prove(at, proof))
    }

    /// Takes a match that fits in as evidence of a rule, as [`crate::engine::firing::Episode::prove`] does, and how near
    /// the rule is to its threshold.
    pub fn prove(&mut self, rule: u32, proof: &Proof, (peaks, ratio): (&mut Peaks, u16)) {
        let Some(at) = self.lane(Tag::Calm, rule) else { return };
        let matches = &mut self.words[at + MATCHES];
        *matches = matches.saturating_add(proof.weight);
        let mut peak = peak(self.words[at + PEAK]);
        peaks.note(rule, &mut peak, ratio);
        self.words[at + PEAK] = u32::from(peak.day) << 16 | u32::from(peak.ratio);
        self.prove_at(at, proof);
    }

    /// Whether a sample can be counted here.
    #[must_use]
    pub fn counts_here(&self, series: &Series, time: Timestamp, weight: u32) -> bool {
        let panes = matches!(series.window, Window::Panes { .. });
        if !panes || series.negative || series.extras.accounts || series.measure != Measure::Count {
            return false;
        }
        let Some(at) = self.lane(Tag::Counts, series.key) else { return fits_cell(weight) };
        let (cells, base) = (self.cells(at), self.wide(at + BASE_PANE));
        let cell = Grain::of(series).cell(time, None);
        let place = cells.partition_point(|own| pane(*own, base) < cell);
        match cells.get(place) {
            Some(own) if pane(*own, base) == cell => fits_cell((own & 0xffff).saturating_add(weight)),
            _ => cells.len() < CELLS_MAX && fits_cell(weight),
        }
    }

    /// Takes a sample that [`Flat::counts_here`] into a series, as [`SeriesState::add`] does.
    pub fn count(&mut self, series: &Series, (time, weight): (Timestamp, u32), floor: Floor) -> Counted {
        let grain = Grain::of(series);
        let cell = grain.cell(time, None);
        let Some(at) = self.lane(Tag::Counts, series.key) else {
            self.push_new_counts(series.key, time, (cell, weight));
            return Counted { taken: Taken::Applied, value: u64::from(weight) };
        };
        let cells = self.cells(at);
        let base = self.wide(at + BASE_PANE);
        let top_before = cells.last().map_or(cell, |last| pane(*last, base));
        let top = top_before.max(cell);
        let lowest = grain.lowest(top, floor);
        let taken = if cell < lowest { Taken::Late } else { Taken::Applied };
        if taken == Taken::Applied {
            let newest = self.wide(at + NEWEST).max(time.0);
            self.set_wide(at + NEWEST, newest);
            self.forget_before(at, lowest);
            self.add_to_cell(at, cell, weight);
            let seen = top - grain.window;
            if top > top_before || self.words[at + TOTAL] == UNKNOWN {
                self.words[at + TOTAL] = self.total(at, seen);
            } else if cell > seen {
                self.words[at + TOTAL] += weight;
            }
        }
        Counted { taken, value: u64::from(self.words[at + TOTAL]) }
    }

    /// Appends the row: the bytes of [`Row::encode`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let count = |tag: Tag| self.lanes().filter(|(_, head)| Tag::of(*head) == tag).count();
        let (counts, calm) = (count(Tag::Counts), count(Tag::Calm));
        let time = |time: Timestamp| (time != NEVER).then_some(time);
        let parts = Parts {
            times: [time(self.first_event), time(self.armed[0]), time(self.armed[1])],
            ids: self.ids_lanes().next().is_some(),
            profile: self.profile.is_some(),
            firing: calm > 0,
            ..Parts::default()
        };
        put_head(out, &parts, counts);
        // There are few, so the next key is looked for again and again.
        let mut last = None;
        while let Some((key, newest, cells)) =
            self.counts().filter(|(key, ..)| last < Some(*key)).min_by_key(|(key, ..)| *key)
        {
            last = Some(key);
            out.extend_from_slice(&key.to_le_bytes());
            SeriesState::put_counts(out, newest, cells.rev());
        }
        put_times(out, &parts);
        if parts.ids {
            put_ids(
                out,
                self.ids_lanes().map(|(kind, next, seen)| (kind, next, seen.iter().copied().map(whole))),
            );
        }
        if let Some(profile) = &self.profile {
            profile.encode(out);
        }
        if parts.firing {
            put_calm(out, calm, self.calm());
        }
    }
}

const fn whole([low, high]: [u32; 2]) -> u64 {
    low as u64 | (high as u64) << 32
}

/// Lanes.
impl Flat {
    /// All lanes: where each begins, and its first word.
    fn lanes(&self) -> impl Iterator<Item = (usize, u32)> + Clone + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let head = *self.words.get(at)?;
            let own = at;
            at += length(head);
            Some((own, head))
        })
    }

    /// Where the lane of a kind of events, series or rule begins.
    fn lane(&self, tag: Tag, name: u32) -> Option<usize> {
        let mut at = 0;
        while let Some(head) = self.words.get(at) {
            let own = Tag::of(*head);
            let own_name = if own == Tag::Ids { u32::from(small(*head).0) } else { self.words[at + KEY] };
            if own == tag && own_name == name {
                return Some(at);
            }
            at += length(*head);
        }
        None
    }

    fn wide(&self, at: usize) -> i64 {
        whole([self.words[at], self.words[at + 1]]).cast_signed()
    }

    fn set_wide(&mut self, at: usize, value: i64) {
        self.words[at..at + 2].copy_from_slice(&halves(value.cast_unsigned()));
    }

    fn reserve(&mut self, more: usize) {
        let wanted = self.words.len() + more;
        if wanted > self.words.capacity() {
            // By a quarter at least, so that a row seldom moves while it grows.
            let target = (wanted + wanted / 4).next_multiple_of(STEP);
            self.words.reserve_exact(target - self.words.len());
        }
    }

    /// Appends a lane; where it begins.
    fn push(&mut self, first: u32, rest: &[u32]) -> usize {
        self.reserve(1 + rest.len());
        let at = self.words.len();
        self.words.push(first);
        self.words.extend_from_slice(rest);
        at
    }

    fn insert<const N: usize>(&mut self, at: usize, item: [u32; N]) {
        self.reserve(N);
        let end = self.words.len();
        self.words.extend_from_slice(&item);
        if at < end {
            self.words.copy_within(at..end, at + N);
            self.words[at..at + N].copy_from_slice(&item);
        }
    }

    fn ids_lanes(&self) -> impl Iterator<Item = (u8, u8, &[[u32; 2]])> + Clone + '_ {
        self.lanes().filter(|(_, head)| Tag::of(*head) == Tag::Ids).map(|(at, head)| {
            let (kind, next) = small(head);
            let from = at + Tag::Ids.head();
            (kind, next, self.words[from..from + 2 * items(head)].as_chunks::<2>().0)
        })
    }

    fn ids(&self) -> impl Iterator<Item = Ids> + '_ {
        self.ids_lanes().filter_map(|(kind, next, seen)| {
            Some(Ids {
                kind: Kind::from_number(kind)?,
                next,
                seen: seen.iter().copied().map(whole).collect(),
            })
        })
    }
}

const fn length(head: u32) -> usize {
    let tag = Tag::of(head);
    tag.head() + tag.item() * items(head)
}

/// Counts.
impl Flat {
    fn cells(&self, at: usize) -> &[u32] {
        let from = at + Tag::Counts.head();
        &self.words[from..from + items(self.words[at])]
    }

    fn counts(
        &self,
    ) -> impl Iterator<Item = (u32, Timestamp, impl DoubleEndedIterator<Item = Cell> + ExactSizeIterator + '_)> + '_
    {
        self.lanes().filter(|(_, head)| Tag::of(*head) == Tag::Counts).map(|(at, _)| {
            let base = self.wide(at + BASE_PANE);
            let cells = self.cells(at).iter().map(move |cell| cell_of(*cell, base));
            (self.words[at + KEY], Timestamp(self.wide(at + NEWEST)), cells)
        })
    }

    fn push_new_counts(&mut self, key: u32, newest: Timestamp, (cell, weight): (i64, u32)) {
        let ([newest, newest_high], base) = (halves(newest.0.cast_unsigned()), cell - i64::from(CELL_LEAD));
        let [low, high] = halves(base.cast_unsigned());
        let item = u32::from(CELL_LEAD) << 16 | weight;
        self.push(head(Tag::Counts, (0, 0), 1), &[key, newest, newest_high, low, high, weight, item]);
    }

    fn push_counts(&mut self, key: u32, newest: Timestamp, cells: &[Cell]) -> Option<()> {
        let (first, last) = (cells.first()?, cells.last()?);
        if cells.len() > CELLS_MAX || last.index - first.index > i64::from(CELL_LEAD) {
            return None;
        }
        let mut rest = cells.iter();
        let weight = |cell: &Cell| u16::try_from(cell.events).ok().map(u32::from);
        let own = rest.next()?;
        self.push_new_counts(key, newest, (own.index, weight(own)?));
        let at = self.words.len() - 1 - Tag::Counts.head();
        let base = self.wide(at + BASE_PANE);
        for cell in rest {
            let delta = u32::from(u16::try_from(cell.index - base).ok()?);
            self.words.push(delta << 16 | weight(cell)?);
            self.words[at] += 1 << 24;
        }
        // The total stands for a window of the series' own length, which is not known here: the next pane sums it up.
        self.words[at + TOTAL] = UNKNOWN;
        Some(())
    }

    /// Forgets the cells before `lowest`.
    fn forget_before(&mut self, at: usize, lowest: i64) {
        let base = self.wide(at + BASE_PANE);
        let gone = self.cells(at).partition_point(|cell| pane(*cell, base) < lowest);
        if gone > 0 {
            let from = at + Tag::Counts.head();
            self.words.drain(from..from + gone);
            self.words[at] -= u32::try_from(gone).unwrap_or(0) << 24;
        }
    }

    fn add_to_cell(&mut self, at: usize, cell: i64, weight: u32) {
        let from = at + Tag::Counts.head();
        let base = self.base_for(at, cell);
        let cells = self.cells(at);
        let place = match cells.last() {
            Some(last) if pane(*last, base) <= cell => cells.len() - usize::from(pane(*last, base) == cell),
            _ => cells.partition_point(|own| pane(*own, base) < cell),
        };
        match cells.get(place) {
            Some(own) if pane(*own, base) == cell => self.words[from + place] += weight,
            _ => {
                let delta = u32::try_from(cell - base).unwrap_or(0);
                self.insert(from + place, [delta << 16 | weight]);
                self.words[at] += 1 << 24;
            }
        }
    }

    /// The base of a lane of counts, moved on if the cell lies too far behind it.
    fn base_for(&mut self, at: usize, cell: i64) -> i64 {
        let base = self.wide(at + BASE_PANE);
        if cell - base <= i64::from(u16::MAX) {
            return base;
        }
        let moved = self.cells(at).first().map_or(cell, |first| pane(*first, base)) - i64::from(CELL_LEAD);
        let shift = u32::try_from(moved - base).unwrap_or(0);
        let from = at + Tag::Counts.head();
        let to = from + items(self.words[at]);
        self.words[from..to].iter_mut().for_each(|cell| *cell -= shift << 16);
        self.set_wide(at + BASE_PANE, moved);
        moved
    }

    /// The matches after a pane.
    fn total(&self, at: usize, after: i64) -> u32 {
        let base = self.wide(at + BASE_PANE);
        let seen = self.cells(at).iter().rev().take_while(|cell| pane(**cell, base) > after);
        seen.map(|cell| cell & 0xffff).sum()
    }
}

/// Whether so many matches fit into a cell.
fn fits_cell(matches: u32) -> bool {
    u16::try_from(matches).is_ok()
}

fn cell_of(cell: u32, base: i64) -> Cell {
    Cell { index: pane(cell, base), events: cell & 0xffff }
}

/// Calm rules.
impl Flat {
    fn push_calm(&mut self, calm: Calm) -> usize {
        let peak = u32::from(calm.peak.day) << 16 | u32::from(calm.peak.ratio);
        self.push(head(Tag::Calm, calm.shape, 0), &[calm.key, calm.version, calm.matches, peak, 0, 0, 0, 0])
    }

    fn calm(
        &self,
    ) -> impl Iterator<Item = (Calm, impl DoubleEndedIterator<Item = Proof> + ExactSizeIterator + Clone + '_)> + '_
    {
        self.lanes().filter(|(_, head)| Tag::of(*head) == Tag::Calm).map(|(at, head)| {
            let calm = Calm {
                key: self.words[at + KEY],
                version: self.words[at + VERSION],
                peak: peak(self.words[at + PEAK]),
                matches: self.words[at + MATCHES],
                shape: small(head),
            };
            let (time, offset) = (self.wide(at + BASE_TIME), self.wide(at + BASE_OFFSET));
            (calm, self.proofs(at).iter().map(move |packed| unpacked(*packed, (time, offset))))
        })
    }

    fn proofs(&self, at: usize) -> &[[u32; 3]] {
        let from = at + Tag::Calm.head();
        self.words[from..from + 3 * items(self.words[at])].as_chunks::<3>().0
    }

    fn can_prove(&mut self, at: usize, proof: &Proof) -> bool {
        let bases = (self.wide(at + BASE_TIME), self.wide(at + BASE_OFFSET));
        items(self.words[at]) > 0 && packed(proof, bases).is_some() || self.move_bases(at, proof)
    }

    /// Moves the bases so that a proof fits; false if then others don't.
    fn move_bases(&mut self, at: usize, proof: &Proof) -> bool {
        let before = (self.wide(at + BASE_TIME), self.wide(at + BASE_OFFSET));
        let bases = (proof.time.0.wrapping_sub(PROOF_LEAD), proof.offset.wrapping_sub(PROOF_LEAD));
        let moved = self.proofs(at).iter().map(|own| packed(&unpacked(*own, before), bases));
        let Some(moved) = moved.collect::<Option<Vec<_>>>() else { return false };
        if packed(proof, bases).is_none() {
            return false;
        }
        let from = at + Tag::Calm.head();
        for (place, own) in moved.iter().enumerate() {
            self.words[from + 3 * place..from + 3 * place + 3].copy_from_slice(own);
        }
        self.set_wide(at + BASE_TIME, bases.0);
        self.set_wide(at + BASE_OFFSET, bases.1);
        true
    }

    /// Takes a proof that fits in among the newest.
    fn prove_at(&mut self, at: usize, proof: &Proof) {
        if items(self.words[at]) == 0 {
            // The first one says where the bases lie.
            self.move_bases(at, proof);
        }
        let bases = (self.wide(at + BASE_TIME), self.wide(at + BASE_OFFSET));
        let Some(new) = packed(proof, bases) else { return };
        let own = self.proofs(at);
        let place = match own.last() {
            Some(last) if *last <= new => own.len(),
            _ => own.partition_point(|own| *own <= new),
        };
        let from = at + Tag::Calm.head();
        if own.len() < EVIDENCE_MAX {
            self.insert(from + 3 * place, new);
            self.words[at] += 1 << 24;
        } else if let Some(seat) = place.checked_sub(1) {
            // Full: the oldest makes room.
            self.words.copy_within(from + 3..from + 3 * place, from);
            self.words[from + 3 * seat..from + 3 * place].copy_from_slice(&new);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
const fn peak(word: u32) -> Peak {
    Peak { day: (word >> 16) as u16, ratio: word as u16 }
}

/// A proof as words that sort like it; `None` if it is too far from the bases or too large.
fn packed(proof: &Proof, (time, offset): (i64, i64)) -> Option<[u32; 3]> {
    let near = |value: i64, base: i64| value.checked_sub(base).and_then(|delta| u32::try_from(delta).ok());
    let source = u32::from(u8::try_from(proof.source).ok()?);
    let label = match proof.label {
        u16::MAX => LABEL_NONE,
        label if u32::from(label) < LABEL_NONE => u32::from(label),
        _ => return None,
    };
    if proof.weight >> WEIGHT_BITS != 0 {
        return None;
    }
    let rest = (source << LABEL_BITS | label) << WEIGHT_BITS | proof.weight;
    Some([near(proof.time.0, time)?, near(proof.offset, offset)?, rest])
}

fn unpacked([time, offset, rest]: [u32; 3], bases: (i64, i64)) -> Proof {
    let label = rest >> WEIGHT_BITS & LABEL_NONE;
    Proof {
        time: Timestamp(bases.0 + i64::from(time)),
        offset: bases.1 + i64::from(offset),
        source: u16::try_from(rest >> (LABEL_BITS + WEIGHT_BITS)).unwrap_or(0),
        label: if label == LABEL_NONE { u16::MAX } else { u16::try_from(label).unwrap_or(u16::MAX) },
        weight: rest & ((1 << WEIGHT_BITS) - 1),
    }
}
