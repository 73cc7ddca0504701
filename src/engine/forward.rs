//! What a task sends to other tasks: contributions of its events to entities across accounts (`design.md` §6).
//!
//! Contributions of one journal second wait in the task's state; the first record of a later second sends them, one frame
//! a journal partition, each covering all of the own partition that it was not told of yet. What is sent therefore follows
//! from the journal alone: after a crash the same frames go out again, byte for byte, and their readers drop them.

use std::collections::BTreeMap;

use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};
use crate::event::routing::{alias_key, entity_key, partition_of};
use crate::event::{KINDS, Kind, SourcePartition, Timestamp, Value};
use crate::journal::broadcast::{Answer, Broadcast};
use crate::journal::identity::{Claim, Passed};
use crate::journal::items::{
    Attachment, Contribution, Item, Member, Rollup, Share, Witness, encode_items, put_watermarks, watermarks,
};
use crate::journal::{Coverage, System, encode_system};

use super::clocks::Clocks;
use super::effects::{Effects, Forward};
use super::store::RowKey;
use super::{Engine, Settings};

/// Most source positions, and values of one `attach`, of a roll-up's series.
const SHOWN_MAX: usize = 4;
/// Bytes of contributions that are sent at the end of a record, without waiting for the next second.
const PENDING_MAX: usize = 256 << 10;
/// Every partition hears from every task at least this often, seconds of journal time.
const SILENCE_MAX: i64 = 5;
/// About how many bytes the parts of a roll-up take.
const PART_BYTES: usize = 24;
/// A witness takes as much as so many parts.
const WITNESS_PARTS: usize = 3;
/// About how many bytes a broadcast takes.
const BROADCAST_BYTES: usize = 128;

/// How far one journal partition was told of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    /// The last offset that was covered.
    upto: i64,
    /// The journal second of the last frame.
    second: i64,
}

/// What a task knows of its dealings with other tasks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forwards {
    /// By journal partition; empty until this task was announced to them.
    sent: Vec<Sent>,
    /// What is not sent yet.
    pub pending: Pending,
    /// By journal partition: the watermarks that its task has told.
    peers: BTreeMap<u16, [Timestamp; KINDS]>,
    /// Watermarks across accounts up to which timers have run.
    pub timed: Clocks,
}

/// Contributions of one journal second.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pending {
    /// The second, since the epoch.
    second: i64,
    /// About how many bytes they take.
    bytes: usize,
    /// By the row that they go to.
    rows: BTreeMap<RowKey, Gathered>,
    /// What every task must know.
    broadcasts: Vec<Broadcast>,
    /// What rows across accounts have asked.
    answers: Vec<Answer>,
    /// Which aliases stand for accounts of this task, or no longer.
    claims: Vec<Claim>,
    /// Events that go on to their accounts.
    passed: Vec<Passed>,
}

/// What waits, taken out.
#[derive(Debug, Default)]
pub struct Taken {
    /// By row.
    pub rollups: Vec<Rollup>,
    /// For every task.
    pub broadcasts: Vec<Broadcast>,
    /// For the rows that have asked.
    pub answers: Vec<Answer>,
    /// For the rows of aliases.
    pub claims: Vec<Claim>,
    /// For their accounts.
    pub passed: Vec<Passed>,
}

/// A roll-up under construction, with the places of its parts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Gathered {
    rollup: Rollup,
    members: BTreeMap<Box<str>, u32>,
    /// By series and member: places among the shares of the series.
    shares: BTreeMap<(u32, u32), Vec<usize>>,
    /// About how many bytes it takes.
    bytes: usize,
}

/// What one event gives to one series.
#[derive(Debug, Clone, Copy)]
pub struct Gift {
    /// The series' key.
    pub series: u32,
    /// The account's place in the roll-up.
    pub member: u32,
    /// It is taken back.
    pub leaves: bool,
    /// Event time.
    pub time: Timestamp,
    /// How many matches it stands for, if it counts.
    pub count: u32,
    /// The measured field, millionths.
    pub sum: i64,
    /// Of that field the newest counts, not the sum.
    pub is_newest: bool,
    /// How many matches it stands for, if a share is of it.
    pub base: u32,
}

/// What the times of a share have in common: its reader knows only the newest of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The cell of the series.
    pub cell: i64,
    /// The quarter of an hour, if the series knows hours of the week; else 0.
    pub quarter: i64,
}

impl Gathered {
    fn of(rollup: Rollup) -> Self {
        let mut own = Self { rollup, ..Self::default() };
        for (place, member) in (0_u32..).zip(&own.rollup.members) {
            own.members.insert(member.account.clone(), place);
        }
        let texts: usize = own.rollup.members.iter().map(|member| member.account.len()).sum();
        let series = own.rollup.series.iter();
        let parts: usize = series.map(|own| own.shares.len() + WITNESS_PARTS * own.witnesses.len() + 1).sum();
        own.bytes = texts + (parts + own.rollup.members.len() + own.rollup.attached.len()) * PART_BYTES;
        for series in &own.rollup.series {
            for (place, share) in series.shares.iter().enumerate() {
                own.shares.entry((series.series, share.member)).or_default().push(place);
            }
        }
        own
    }

    /// The place of an account; its tier and revenue are those of its first event in the second.
    pub fn member(&mut self, account: &str, known: impl FnOnce() -> (Option<i64>, Option<i64>)) -> u32 {
        if let Some(place) = self.members.get(account) {
            return *place;
        }
        let place = u32::try_from(self.rollup.members.len()).unwrap_or(u32::MAX);
        let (tier, arr_minor) = known();
        self.rollup.members.push(Member { account: account.into(), tier, arr_minor });
        self.members.insert(account.into(), place);
        self.bytes += account.len() + PART_BYTES;
        place
    }

    /// What is gathered for a series, and about how many bytes all of it takes.
    fn series(&mut self, key: u32) -> (&mut Contribution, &mut usize) {
        let series = &mut self.rollup.series;
        let place = series.iter().position(|own| own.series == key).unwrap_or_else(|| {
            series.push(Contribution { series: key, ..Contribution::default() });
            self.bytes += PART_BYTES;
            series.len() - 1
        });
        (&mut series[place], &mut self.bytes)
    }

    /// Adds a gift to the share of its account and place.
    pub fn give(&mut self, gift: &Gift, mut cell: impl FnMut(Timestamp) -> Place) {
        let places = self.shares.get(&(gift.series, gift.member)).cloned().unwrap_or_default();
        let (own, bytes) = self.series(gift.series);
        let at = cell(gift.time);
        let mut same = |place: &&usize| {
            let share = &own.shares[**place];
            share.leaves == gift.leaves && cell(share.newest) == at
        };
        let place = places.iter().find(|place| same(place)).copied();
        if let Some(place) = place {
            let share = &mut own.shares[place];
            if !gift.is_newest {
                share.sum = share.sum.saturating_add(gift.sum);
            } else if gift.time >= share.newest {
                share.sum = gift.sum;
            }
            share.newest = share.newest.max(gift.time);
            share.count = share.count.saturating_add(u64::from(gift.count));
            share.base = share.base.saturating_add(u64::from(gift.base));
            return;
        }
        own.shares.push(Share {
            member: gift.member,
            leaves: gift.leaves,
            newest: gift.time,
            count: u64::from(gift.count),
            sum: gift.sum,
            base: u64::from(gift.base),
        });
        *bytes += PART_BYTES;
        let place = own.shares.len() - 1;
        self.shares.entry((gift.series, gift.member)).or_default().push(place);
    }

    /// Adds an event to a series' evidence; the newest are shown, the others are counted.
    pub fn witness(&mut self, series: u32, witness: Witness) {
        let (own, bytes) = self.series(series);
        own.matches = own.matches.saturating_add(u64::from(witness.weight));
        let at = own.witnesses.partition_point(|known| known.time <= witness.time);
        if own.witnesses.len() < SHOWN_MAX {
            own.witnesses.insert(at, witness);
            *bytes += WITNESS_PARTS * PART_BYTES;
        } else if at > 0 {
            own.witnesses.remove(0);
            own.witnesses.insert(at - 1, witness);
        }
    }

    /// Takes an event out of a series' evidence.
    pub fn recant(&mut self, series: u32, witness: Witness) {
        let (own, _) = self.series(series);
        if own.recanted.len() < SHOWN_MAX {
            own.recanted.push(witness);
        }
    }

    /// Collects a value; of one `attach` the newest stay.
    pub fn attach(&mut self, key: u32, time: Timestamp, value: Value<'static>) {
        let attached = &mut self.rollup.attached;
        attached.push(Attachment { key, time, value });
        self.bytes += PART_BYTES;
        if attached.iter().filter(|own| own.key == key).count() > SHOWN_MAX {
            let oldest = attached
                .iter()
                .enumerate()
                .filter(|(_, own)| own.key == key)
                .min_by_key(|(place, own)| (own.time, *place));
            if let Some((place, _)) = oldest {
                attached.remove(place);
                self.bytes -= PART_BYTES;
            }
        }
    }
}

impl Pending {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.broadcasts.is_empty()
            && self.answers.is_empty()
            && self.claims.is_empty()
            && self.passed.is_empty()
    }

    /// Tells the row of an alias whose it is.
    pub fn claim(&mut self, claim: Claim) {
        self.bytes += BROADCAST_BYTES;
        self.claims.push(claim);
    }

    /// Sends an event on to its account.
    pub fn pass(&mut self, passed: Passed) {
        self.bytes += passed.len_bytes();
        self.passed.push(passed);
    }

    /// Tells every task something.
    pub fn tell(&mut self, told: Broadcast) {
        self.bytes += BROADCAST_BYTES;
        self.broadcasts.push(told);
    }

    /// Works on what waits for a row.
    pub fn at(&mut self, key: &RowKey, (kind, part): (&str, &str), work: impl FnOnce(&mut Gathered)) {
        let second = self.second;
        let own = self.rows.entry(key.clone()).or_insert_with(|| {
            let rollup = Rollup { kind: kind.into(), part: part.into(), second, ..Rollup::default() };
            Gathered::of(rollup)
        });
        let before = own.bytes;
        work(own);
        self.bytes = (self.bytes + own.bytes).saturating_sub(before);
    }

    /// Answers a row across accounts.
    pub fn answer(&mut self, answer: Answer) {
        self.bytes += BROADCAST_BYTES + answer.top.len() * PART_BYTES;
        self.answers.push(answer);
    }

    /// Takes out all that waits.
    pub fn take(&mut self) -> Taken {
        self.bytes = 0;
        Taken {
            rollups: std::mem::take(&mut self.rows).into_values().map(|own| own.rollup).collect(),
            broadcasts: std::mem::take(&mut self.broadcasts),
            answers: std::mem::take(&mut self.answers),
            claims: std::mem::take(&mut self.claims),
            passed: std::mem::take(&mut self.passed),
        }
    }
}

impl Forwards {
    /// A task that was told nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether other tasks know of this one.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        !self.sent.is_empty()
    }

    /// Another task was announced.
    pub fn add_peer(&mut self, partition: i32) {
        if let Ok(partition) = u16::try_from(partition) {
            self.peers.entry(partition).or_insert([Timestamp::MIN; KINDS]);
        }
    }

    /// Another task says how far it is.
    pub fn hear(&mut self, partition: i32, told: &[Timestamp; KINDS]) {
        let Ok(partition) = u16::try_from(partition) else { return };
        let own = self.peers.entry(partition).or_insert([Timestamp::MIN; KINDS]);
        own.iter_mut().zip(told).for_each(|(own, told)| *own = (*own).max(*told));
    }

    /// The watermark of each kind across accounts: that of the slowest of all tasks; none while one of them is silent.
    #[must_use]
    pub fn watermarks(&self, partitions: u16) -> [Timestamp; KINDS] {
        if self.peers.len() < usize::from(partitions) {
            return [Timestamp::MIN; KINDS];
        }
        let mut lowest = [Timestamp(i64::MAX); KINDS];
        for own in self.peers.values() {
            lowest.iter_mut().zip(own).for_each(|(lowest, own)| *lowest = (*lowest).min(*own));
        }
        lowest
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.sent.len() as u64);
        for sent in &self.sent {
            put_signed(out, sent.upto);
            put_signed(out, sent.second);
        }
        put_signed(out, self.pending.second);
        put_varint(out, self.pending.rows.len() as u64);
        for (key, own) in &self.pending.rows {
            crate::event::bytes::put_bytes(out, &key.0);
            own.rollup.encode(out);
        }
        put_varint(out, self.peers.len() as u64);
        for (partition, told) in &self.peers {
            put_varint(out, u64::from(*partition));
            put_watermarks(out, told);
        }
        self.timed.encode(out);
    }

    /// Appends what every task must know, and answers, which older builds did not tell.
    pub fn encode_broadcasts(&self, out: &mut Vec<u8>) {
        put_varint(out, self.pending.broadcasts.len() as u64);
        self.pending.broadcasts.iter().for_each(|own| own.encode(out));
        put_varint(out, self.pending.answers.len() as u64);
        self.pending.answers.iter().for_each(|own| own.encode(out));
    }

    /// Reads what [`Forwards::encode_broadcasts`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode_broadcasts(&mut self, reader: &mut Reader<'_>) -> Result<(), FormatError> {
        for _ in 0..reader.count()? {
            self.pending.tell(Broadcast::decode(reader)?);
        }
        for _ in 0..reader.count()? {
            self.pending.answer(Answer::decode(reader)?);
        }
        Ok(())
    }

    /// Appends what is under way about who is who, which older builds did not tell.
    pub fn encode_identity(&self, out: &mut Vec<u8>) {
        put_varint(out, self.pending.claims.len() as u64);
        self.pending.claims.iter().for_each(|own| own.encode(out));
        put_varint(out, self.pending.passed.len() as u64);
        self.pending.passed.iter().for_each(|own| own.encode(out));
    }

    /// Reads what [`Forwards::encode_identity`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode_identity(&mut self, reader: &mut Reader<'_>) -> Result<(), FormatError> {
        for _ in 0..reader.count()? {
            self.pending.claim(Claim::decode(reader)?);
        }
        for _ in 0..reader.count()? {
            self.pending.pass(Passed::decode(reader)?);
        }
        Ok(())
    }

    /// Reads what [`Forwards::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut forwards = Self::new();
        for _ in 0..reader.count()? {
            forwards.sent.push(Sent { upto: reader.signed()?, second: reader.signed()? });
        }
        forwards.pending.second = reader.signed()?;
        for _ in 0..reader.count()? {
            let key = RowKey(reader.bytes()?.into());
            let own = Gathered::of(Rollup::decode(reader)?);
            forwards.pending.bytes += own.bytes;
            forwards.pending.rows.insert(key, own);
        }
        for _ in 0..reader.count()? {
            let partition =
                u16::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("partition"))?;
            forwards.peers.insert(partition, watermarks(reader)?);
        }
        forwards.timed = Clocks::decode(reader)?;
        Ok(forwards)
    }
}

impl Settings {
    /// This task as a source of frames.
    pub(super) fn as_source(&self) -> SourcePartition {
        SourcePartition { topic: self.journal.clone(), partition: i32::from(self.partition) }
    }

    /// Where an entity across accounts lives.
    fn partition_across(&self, kind: &str, part: &str) -> u16 {
        self.partition_of(&entity_key(kind, if part.is_empty() { kind } else { part }))
    }

    fn partition_of(&self, key: &str) -> u16 {
        u16::try_from(partition_of(key.as_bytes(), u32::from(self.partitions))).unwrap_or(0)
    }
}

impl Engine {
    /// The watermark of each kind across accounts. In a replay there is one task, which tells itself at once.
    pub(super) fn watermarks_across(&self) -> [Timestamp; KINDS] {
        if self.settings.is_live() {
            self.task.forwards.watermarks(self.settings.partitions)
        } else {
            self.task.watermarks()
        }
    }

    /// Whether contributions to entities across accounts are collected.
    pub(super) fn collects(&self) -> bool {
        self.plan.is_across && (self.task.forwards.is_on() || !self.settings.is_live())
    }

    /// Announces this task to every journal partition, as a source that is covered from this record on.
    pub(super) fn announce(&mut self, offset: i64, effects: &mut Effects) {
        if self.task.forwards.is_on() || !self.settings.is_live() {
            return;
        }
        let second = self.task.journal_time.0.div_euclid(1000);
        // A task carries events of all kinds; readers tell it by its topic.
        let added = System::SourceAdded {
            source: self.settings.as_source(),
            kind: Kind::Control,
            first: offset,
            lateness_ms: 0,
        };
        let mut bytes = Vec::new();
        encode_system(&added, &mut bytes);
        for partition in 0..self.settings.partitions {
            self.task.forwards.sent.push(Sent { upto: offset - 1, second });
            effects.forwards.push(Forward { partition, value: bytes.clone() });
        }
        self.task.forwards.pending.second = second;
    }

    /// Sends what waits, if the record at this offset is one of a later journal second than it.
    pub(super) fn forward_before(&mut self, offset: i64, effects: &mut Effects) {
        let forwards = &self.task.forwards;
        let second = self.task.journal_time.0.div_euclid(1000);
        if forwards.is_on() && second > forwards.pending.second {
            self.forward(offset - 1, second, effects);
        }
    }

    /// Sends what waits after the record at this offset, if it is too much to wait longer.
    pub(super) fn forward_after(&mut self, offset: i64, effects: &mut Effects) {
        let pending = &self.task.forwards.pending;
        if pending.bytes > PENDING_MAX && self.settings.is_live() {
            self.forward(offset, pending.second, effects);
        }
    }

    /// Sends all that waits to the partitions that it is for, and a sign of life to those that have heard nothing for long.
    pub(super) fn forward(&mut self, upto: i64, second: i64, effects: &mut Effects) {
        let watermarks = self.task.watermarks();
        let (settings, forwards) = (&self.settings, &mut self.task.forwards);
        let mut items: Vec<Vec<Item>> = vec![Vec::new(); forwards.sent.len()];
        let Taken { rollups, broadcasts, answers, claims, passed } = forwards.pending.take();
        effects.tally.rollups += rollups.len() as u64;
        effects.tally.broadcasts += broadcasts.len() as u64;
        effects.tally.passed += passed.len() as u64;
        let mut send = |partition: u16, item: Item| {
            items.get_mut(usize::from(partition)).into_iter().for_each(|own| own.push(item.clone()));
        };
        for rollup in rollups {
            send(settings.partition_across(&rollup.kind, &rollup.part), Item::Rollup(rollup));
        }
        for answer in answers {
            send(settings.partition_across(&answer.kind, &answer.part), Item::Answer(answer));
        }
        for claim in claims {
            send(settings.partition_of(&alias_key(&claim.alias)), Item::Claim(claim));
        }
        for passed in passed {
            send(settings.partition_of(&passed.account), Item::Passed(passed));
        }
        forwards.pending.second = second;
        for (partition, (mut items, sent)) in (0_u16..).zip(items.into_iter().zip(&mut forwards.sent)) {
            let is_silent = items.is_empty() && broadcasts.is_empty() && second < sent.second + SILENCE_MAX;
            if is_silent || upto <= sent.upto {
                continue;
            }
            items.extend(broadcasts.iter().cloned().map(Item::Broadcast));
            items.push(Item::TaskTime(watermarks));
            let coverage = Coverage {
                source: settings.as_source(),
                from: sent.upto + 1,
                to: upto,
                end: upto + 1,
                watermark: Timestamp::MIN,
                caught_up: true,
            };
            let mut value = Vec::new();
            encode_items(&items, &coverage, &mut value);
            effects.tally.task_frames += 1;
            effects.tally.task_bytes += value.len() as u64;
            effects.forwards.push(Forward { partition, value });
            *sent = Sent { upto, second };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwards() -> Forwards {
        let mut forwards = Forwards::new();
        forwards.sent = vec![Sent { upto: 4, second: 7 }, Sent { upto: -1, second: 7 }];
        forwards.pending.second = 8;
        let key = RowKey([0x8f].into());
        forwards.pending.at(&key, ("platform", ""), |rollup| {
            let member = rollup.member("a", || (Some(3), None));
            let gift = |time, count| Gift {
                series: 9,
                member,
                leaves: false,
                time: Timestamp(time),
                count,
                sum: 0,
                is_newest: false,
                base: 0,
            };
            let minute = |time: Timestamp| Place { cell: time.0 / 60, quarter: 0 };
            rollup.give(&gift(10, 1), minute);
            rollup.give(&gift(59, 2), minute);
            rollup.give(&gift(60, 4), minute);
            rollup.attach(1, Timestamp(1), Value::Int(5));
        });
        forwards.hear(1, &[Timestamp(5); KINDS]);
        forwards
    }

    #[test]
    fn its_state_has_these_bytes() {
        let mut out = Vec::new();
        forwards().encode(&mut out);
        let text: Vec<String> = out.iter().map(|byte| format!("{byte:02x}")).collect();
        expect_test::expect!["02 08 0e 01 0e 10 01 01 8f 08 70 6c 61 74 66 6f 72 6d 00 10 01 01 61 01 06 01 09 02 00 00 76 03 00 00 00 00 78 04 00 00 00 00 00 01 01 02 02 0a 01 01 ff 0a 0a 0a 0a 0a 0a 0a 0a 00"].assert_eq(&text.join(" "));
        assert_eq!(Forwards::decode(&mut Reader::new(&out)).unwrap(), forwards());
    }

    #[test]
    fn a_watermark_across_accounts_waits_for_every_task() {
        let mut forwards = Forwards::new();
        forwards.add_peer(0);
        forwards.hear(1, &[Timestamp(5); KINDS]);
        assert_eq!(forwards.watermarks(3), [Timestamp::MIN; KINDS], "one was not announced");
        forwards.hear(2, &[Timestamp(9); KINDS]);
        assert_eq!(forwards.watermarks(3), [Timestamp::MIN; KINDS], "one has said nothing");
        forwards.hear(0, &[Timestamp(7); KINDS]);
        forwards.hear(0, &[Timestamp(6); KINDS]);
        assert_eq!(forwards.watermarks(3), [Timestamp(5); KINDS]);
        forwards.hear(1, &[Timestamp(8); KINDS]);
        assert_eq!(forwards.watermarks(3), [Timestamp(7); KINDS], "a watermark never falls");
    }

    #[test]
    fn the_newest_four_are_shown_and_all_are_counted() {
        let mut rollup = Gathered::default();
        for time in [5, 1, 9, 3, 2, 7] {
            let source = SourcePartition { topic: "t".into(), partition: 0 };
            let witness =
                Witness { source, offset: time, time: Timestamp(time), label: "l".into(), weight: 2 };
            rollup.witness(4, witness);
            rollup.attach(1, Timestamp(time), Value::Int(time));
        }
        let own = &rollup.rollup.series[0];
        let shown: Vec<i64> = own.witnesses.iter().map(|witness| witness.offset).collect();
        assert_eq!((shown, own.matches), (vec![3, 5, 7, 9], 12));
        let attached: Vec<i64> = rollup.rollup.attached.iter().map(|own| own.time.0).collect();
        assert_eq!(attached, [5, 9, 3, 7]);
        let again = Gathered::of(rollup.rollup.clone());
        assert_eq!(again.bytes, rollup.bytes);
    }
}
