//! What tasks tell each other: the items of frames that a task sends (`contracts.md` §4).
//!
//! The bytes, integers as varints (`±`: signed):
//!
//! ```text
//! rollup    8 kind part ±second n·member n·series n·attached
//! member    account has [±tier] [±arr_minor]                      has: bit 0 tier, bit 1 ARR
//! series    u32 n·share matches n·witness n·recanted              both are witnesses
//! share     member leaves ±newest count ±sum base
//! witness   topic partition ±offset ±time label weight
//! attached  u32 ±time value
//! broadcast 9, answer 11: then [`super::broadcast`]
//! claim 12, passed 13: then [`super::identity`]
//! task_time 10 kinds ±watermark…                                  kinds: bits; the others have none yet
//! ```

use crate::event::bytes::{FormatError, Reader, put_signed, put_text, put_value, put_varint};
use crate::event::{KINDS, SourcePartition, Timestamp, Value};

use super::broadcast::{Answer, Broadcast};
use super::frame::{RECORD, flag, put_sources};
use super::identity::{Claim, Passed};
use super::system::{put_source, source};
use super::{Coverage, head};

/// Item numbers; those below are kinds of events.
pub(super) const FIRST: u8 = 8;
const ROLLUP: u8 = 8;
const BROADCAST: u8 = 9;
const TASK_TIME: u8 = 10;
const ANSWER: u8 = 11;
const CLAIM: u8 = 12;
const PASSED: u8 = 13;

const HAS_TIER: u8 = 1;
const HAS_ARR: u8 = 2;

/// What a task tells another one.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// What events of one journal second contribute to one entity across accounts.
    Rollup(Rollup),
    /// What has become of an alert across accounts.
    Broadcast(Broadcast),
    /// Whom an alert across accounts would touch.
    Answer(Answer),
    /// Which account an alias stands for.
    Claim(Claim),
    /// An event that goes on to its account.
    Passed(Passed),
    /// The task's watermark of each kind; [`Timestamp::MIN`] while it has none.
    TaskTime([Timestamp; KINDS]),
}

/// What events of one journal second contribute to one entity across accounts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rollup {
    /// The kind of entity: `platform`, or the name of its part.
    pub kind: Box<str>,
    /// Which one; empty for the platform.
    pub part: Box<str>,
    /// The journal second, since the epoch.
    pub second: i64,
    /// Whose events they are; shares point into this list.
    pub members: Vec<Member>,
    /// By series.
    pub series: Vec<Contribution>,
    /// Values to collect.
    pub attached: Vec<Attachment>,
}

/// An account whose events contribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id; empty: events without account.
    pub account: Box<str>,
    /// Its tier.
    pub tier: Option<i64>,
    /// Its revenue a year, in the currency's smallest unit.
    pub arr_minor: Option<i64>,
}

/// What events contribute to one series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contribution {
    /// The series' key.
    pub series: u32,
    /// By account and cell of the series' time.
    pub shares: Vec<Share>,
    /// How many matches the witnesses and their like stand for.
    pub matches: u64,
    /// Where some of the events came from.
    pub witnesses: Vec<Witness>,
    /// Events that are no evidence any more.
    pub recanted: Vec<Witness>,
}

/// What the events of one account contribute to one cell of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Place of the account in [`Rollup::members`].
    pub member: u32,
    /// It is taken back, because the events' ticket belongs elsewhere now.
    pub leaves: bool,
    /// The newest event time among them: it says which cell.
    pub newest: Timestamp,
    /// How many matches they stand for.
    pub count: u64,
    /// Sum of the measured field, or the newest of it where each account counts once, millionths.
    pub sum: i64,
    /// How many matches of what a share is of.
    pub base: u64,
}

/// Where an event came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The source partition.
    pub source: SourcePartition,
    /// The record's offset.
    pub offset: i64,
    /// Event time.
    pub time: Timestamp,
    /// What it is called in evidence.
    pub label: Box<str>,
    /// How many matches it stands for.
    pub weight: u32,
}

/// A value that a rule collects.
#[derive(Debug, Clone, PartialEq)]
pub struct Attachment {
    /// Key of the rule's `attach`.
    pub key: u32,
    /// Event time.
    pub time: Timestamp,
    /// The value.
    pub value: Value<'static>,
}

impl Rollup {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, &self.kind);
        put_text(out, &self.part);
        put_signed(out, self.second);
        put_varint(out, self.members.len() as u64);
        self.members.iter().for_each(|member| member.encode(out));
        put_varint(out, self.series.len() as u64);
        for own in &self.series {
            put_varint(out, u64::from(own.series));
            put_varint(out, own.shares.len() as u64);
            own.shares.iter().for_each(|share| share.encode(out));
            put_varint(out, own.matches);
            put_witnesses(out, &own.witnesses);
            put_witnesses(out, &own.recanted);
        }
        put_varint(out, self.attached.len() as u64);
        for own in &self.attached {
            put_varint(out, u64::from(own.key));
            put_signed(out, own.time.0);
            put_value(out, &own.value);
        }
    }

    /// Reads what [`Rollup::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let (kind, part) = (reader.text()?.into(), reader.text()?.into());
        let mut rollup = Self { kind, part, second: reader.signed()?, ..Self::default() };
        for _ in 0..reader.count()? {
            rollup.members.push(Member::decode(reader)?);
        }
        let members = rollup.members.len();
        for _ in 0..reader.count()? {
            let mut own = Contribution { series: small(reader)?, ..Contribution::default() };
            for _ in 0..reader.count()? {
                own.shares.push(Share::decode(reader, members)?);
            }
            own.matches = reader.varint()?;
            own.witnesses = witnesses(reader)?;
            own.recanted = witnesses(reader)?;
            rollup.series.push(own);
        }
        for _ in 0..reader.count()? {
            let (key, time) = (small(reader)?, reader.time()?);
            rollup.attached.push(Attachment { key, time, value: reader.value()?.into_owned() });
        }
        Ok(rollup)
    }
}

impl Member {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, &self.account);
        let has = |holds: bool, bit: u8| if holds { bit } else { 0 };
        out.push(has(self.tier.is_some(), HAS_TIER) | has(self.arr_minor.is_some(), HAS_ARR));
        self.tier.into_iter().chain(self.arr_minor).for_each(|number| put_signed(out, number));
    }

    /// Reads what [`Member::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let account = reader.text()?.into();
        let has = reader.byte()?;
        let mut number = |bit: u8| if has & bit > 0 { reader.signed().map(Some) } else { Ok(None) };
        Ok(Self { account, tier: number(HAS_TIER)?, arr_minor: number(HAS_ARR)? })
    }
}

impl Share {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.member));
        out.push(u8::from(self.leaves));
        put_signed(out, self.newest.0);
        put_varint(out, self.count);
        put_signed(out, self.sum);
        put_varint(out, self.base);
    }

    fn decode(reader: &mut Reader<'_>, members: usize) -> Result<Self, FormatError> {
        let member = small(reader)?;
        if usize::try_from(member).is_ok_and(|member| member >= members) {
            return Err(FormatError::Malformed("member"));
        }
        Ok(Self {
            member,
            leaves: flag(reader)?,
            newest: reader.time()?,
            count: reader.varint()?,
            sum: reader.signed()?,
            base: reader.varint()?,
        })
    }
}

impl Witness {
    fn encode(&self, out: &mut Vec<u8>) {
        put_source(out, &self.source);
        put_signed(out, self.offset);
        put_signed(out, self.time.0);
        put_text(out, &self.label);
        put_varint(out, u64::from(self.weight));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            source: source(reader)?,
            offset: reader.signed()?,
            time: reader.time()?,
            label: reader.text()?.into(),
            weight: small(reader)?,
        })
    }
}

fn put_witnesses(out: &mut Vec<u8>, witnesses: &[Witness]) {
    put_varint(out, witnesses.len() as u64);
    witnesses.iter().for_each(|witness| witness.encode(out));
}

fn witnesses(reader: &mut Reader<'_>) -> Result<Vec<Witness>, FormatError> {
    (0..reader.count()?).map(|_| Witness::decode(reader)).collect()
}

fn small(reader: &mut Reader<'_>) -> Result<u32, FormatError> {
    u32::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("number"))
}

/// Appends the frame of a task that tells these items.
pub fn encode_items(items: &[Item], coverage: &Coverage, out: &mut Vec<u8>) {
    out.push(head(RECORD));
    // Items were made by no mapping.
    put_varint(out, 0);
    put_sources(out, std::slice::from_ref(coverage));
    put_varint(out, items.len() as u64);
    for item in items {
        match item {
            Item::Rollup(rollup) => {
                out.push(ROLLUP);
                rollup.encode(out);
            }
            Item::Broadcast(broadcast) => {
                out.push(BROADCAST);
                broadcast.encode(out);
            }
            Item::Answer(answer) => {
                out.push(ANSWER);
                answer.encode(out);
            }
            Item::Claim(claim) => {
                out.push(CLAIM);
                claim.encode(out);
            }
            Item::Passed(passed) => {
                out.push(PASSED);
                passed.encode(out);
            }
            Item::TaskTime(watermarks) => {
                out.push(TASK_TIME);
                put_watermarks(out, watermarks);
            }
        }
    }
}

/// Appends the watermarks of all kinds.
pub fn put_watermarks(out: &mut Vec<u8>, watermarks: &[Timestamp; KINDS]) {
    let known = |(_, time): &(usize, &Timestamp)| **time != Timestamp::MIN;
    let kinds = watermarks.iter().enumerate().filter(known).fold(0_u8, |kinds, (kind, _)| kinds | 1 << kind);
    out.push(kinds);
    watermarks.iter().enumerate().filter(known).for_each(|(_, time)| put_signed(out, time.0));
}

/// Reads what [`put_watermarks`] wrote.
///
/// # Errors
/// If the bytes are malformed.
pub fn watermarks(reader: &mut Reader<'_>) -> Result<[Timestamp; KINDS], FormatError> {
    let kinds = reader.byte()?;
    let mut watermarks = [Timestamp::MIN; KINDS];
    for (kind, own) in watermarks.iter_mut().enumerate() {
        if kinds & 1 << kind > 0 {
            *own = reader.time()?;
        }
    }
    Ok(watermarks)
}

/// Reads so many items, to the end.
pub(super) fn parse(mut reader: Reader<'_>, count: u64) -> Result<Vec<Item>, FormatError> {
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(match reader.byte()? {
            ROLLUP => Item::Rollup(Rollup::decode(&mut reader)?),
            BROADCAST => Item::Broadcast(Broadcast::decode(&mut reader)?),
            ANSWER => Item::Answer(Answer::decode(&mut reader)?),
            CLAIM => Item::Claim(Claim::decode(&mut reader)?),
            PASSED => Item::Passed(Passed::decode(&mut reader)?),
            TASK_TIME => Item::TaskTime(watermarks(&mut reader)?),
            _ => return Err(FormatError::Malformed("item kind")),
        });
    }
    if reader.is_empty() { Ok(items) } else { Err(FormatError::Malformed("trailing bytes")) }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::journal::Entry;

    fn check(items: Vec<Item>, expected: &Expect) {
        let source = SourcePartition { topic: "j".into(), partition: 2 };
        let coverage =
            Coverage { source, from: 7, to: 9, end: 10, watermark: Timestamp::MIN, caught_up: true };
        let mut out = Vec::new();
        encode_items(&items, &coverage, &mut out);
        crate::journal::tests::assert_bytes(&out, expected);
        let Ok(Entry::Frame(frame)) = Entry::parse(&out) else { panic!("a frame") };
        assert!(!frame.is_tick());
        assert_eq!(frame.items(), Some(Ok(items)));
        assert_eq!(frame.sources, [coverage]);
        out.push(0);
        let Ok(Entry::Frame(frame)) = Entry::parse(&out) else { panic!("a frame") };
        assert_eq!(frame.items(), Some(Err(FormatError::Malformed("trailing bytes"))));
    }

    #[test]
    fn a_rollup_has_these_bytes() {
        let source = SourcePartition { topic: "bills".into(), partition: 1 };
        let member = |account: &str, tier, arr_minor| Member { account: account.into(), tier, arr_minor };
        let share = Share { member: 1, leaves: false, newest: Timestamp(5), count: 3, sum: -4, base: 300 };
        let witness =
            Witness { source, offset: 64, time: Timestamp(-1), label: "invoice.paid".into(), weight: 2 };
        let rollup = Rollup {
            kind: "integration".into(),
            part: "slack".into(),
            second: 1,
            members: vec![member("acme", None, Some(100)), member("", Some(5), None)],
            series: vec![Contribution {
                series: 700,
                shares: vec![share],
                matches: 300,
                witnesses: vec![witness.clone()],
                recanted: vec![Witness { offset: 65, ..witness }],
            }],
            attached: vec![Attachment { key: 1, time: Timestamp(5), value: Value::text("t1") }],
        };
        check(
            vec![Item::Rollup(rollup)],
            &expect![[
                r#"10 00 01 01 6a 02 0e 04 02 ff ff ff ff ff ff ff ff ff 01 01 01 08 0b "integration" 05 "slack" 02 02 04 "acme" 02 c8 01 00 01 0a 01 bc 05 01 01 00 0a 03 07 ac 02 ac 02 01 05 "bills" 01 80 01 01 0c "invoice.paid" 02 01 05 "bills" 01 82 01 01 0c "invoice.paid" 02 01 01 0a 06 02 74 31"#
            ]],
        );
    }

    #[test]
    fn a_task_time_has_these_bytes() {
        let mut watermarks = [Timestamp::MIN; KINDS];
        (watermarks[1], watermarks[3]) = (Timestamp(10), Timestamp(-600_000));
        check(
            vec![Item::TaskTime(watermarks)],
            &expect!["10 00 01 01 6a 02 0e 04 02 ff ff ff ff ff ff ff ff ff 01 01 01 0a 0a 14 ff 9e 49"],
        );
    }

    #[test]
    fn a_share_of_nobody_is_malformed() {
        let share = Share { member: 1, leaves: false, newest: Timestamp(5), count: 3, sum: 0, base: 0 };
        let rollup = Rollup {
            series: vec![Contribution { series: 7, shares: vec![share], ..Contribution::default() }],
            ..Rollup::default()
        };
        let mut bytes = Vec::new();
        rollup.encode(&mut bytes);
        assert_eq!(Rollup::decode(&mut Reader::new(&bytes)), Err(FormatError::Malformed("member")));
    }
}
